//! What an image file says of itself in its first bytes, judged before any other program looks at it.
//!
//! Rule: an image stands alone: it names no other file, holds no key, asks for nothing that we do not know, and its tables
//! are no larger than its disk needs. Raw is whatever does not look like something else, since somebody who guesses
//! formats would open it as that. Layout: QEMU's docs/interop/qcow2.txt. It reads no file and runs no program.

use super::StoreError;
use arame_schema::jobs::hva::DiskFormat;
use arame_schema::model::ImageId;

/// What is looked at of the begin: the longest header with its extensions that an image needs.
pub const HEAD_BYTES: usize = 4096;
/// And of the end: where fixed VHD and Apple's images have their name.
pub const TAIL_BYTES: usize = 512;

const MAGIC: [u8; 4] = *b"QFI\xfb";
/// Incompatible features that are understood: dirty (bit 0), compression type (bit 3), extended L2 entries (bit 4).
const FEATURES: u64 = 1 << 0 | 1 << 3 | 1 << 4;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
/// Clusters of 512 bytes to 2 MiB, as QEMU has them.
const CLUSTER_BITS: std::ops::RangeInclusive<u64> = 9..=21;
/// QEMU's own bounds (`QCOW_MAX_L1_SIZE`, `QCOW_MAX_REFTABLE_SIZE`).
const L1_BYTES_MAX: u64 = 32 << 20;
const REFCOUNT_TABLE_BYTES_MAX: u64 = 8 << 20;
/// Snapshots inside the file: they cost memory to read, and nobody here sees them.
const SNAPSHOTS_MAX: u64 = 64;
/// Header extension that names an external data file.
const EXTENSION_DATA_FILE: u64 = 0x4441_5441;

/// Begins of other formats: offset, bytes, name.
const OTHERS: [(usize, &[u8], &str); 21] = [
    (0, b"QFI\xfb", "a qcow2 image"),
    (0, b"QED\0", "a QED image"),
    (0, b"KDMV", "a VMDK image"),
    (0, b"COWD", "a VMDK image"),
    (0, b"# Disk DescriptorFile", "a VMDK description, which names other files"),
    (0, b"vhdxfile", "a VHDX image"),
    (0, b"conectix", "a VHD image"),
    (64, b"\x7f\x10\xda\xbe", "a VirtualBox image"),
    (0, b"LUKS\xba\xbe", "encrypted (LUKS)"),
    (0, b"WithoutFreeSpace", "a Parallels image"),
    (0, b"WithouFreSpacExt", "a Parallels image"),
    (0, b"Bochs Virtual HD Image", "a Bochs image"),
    (0, b"#!/bin/sh\n#V2.0 Format\n", "a cloop image"),
    (0, b"\x1f\x8b", "compressed (gzip)"),
    (0, b"\xfd7zXZ\0", "compressed (xz)"),
    (0, b"BZh", "compressed (bzip2)"),
    (0, b"\x28\xb5\x2f\xfd", "compressed (zstd)"),
    (0, b"PK\x03\x04", "a zip archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"<!DOCTYPE", "a web page"),
    (0, b"<html", "a web page"),
];
const ENDS: [(&[u8], &str); 2] = [(b"conectix", "a VHD image"), (b"koly", "an Apple disk image")];

/// What is known of a file.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub head: &'a [u8],
    pub tail: &'a [u8],
    pub size_bytes: u64,
}

/// Why it is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// It is not what was announced, or is damaged.
    Broken(String),
    /// It asks for what is not allowed.
    Refused(String),
}

impl Wrong {
    pub fn of(self, image: &ImageId) -> StoreError {
        let image = image.clone();
        match self {
            Wrong::Broken(reason) => StoreError::ImageBroken { image, reason },
            Wrong::Refused(reason) => StoreError::ImageRefused { image, reason },
        }
    }
}

fn broken<T>(reason: &str) -> Result<T, Wrong> {
    Err(Wrong::Broken(reason.to_owned()))
}

fn refused<T>(reason: &str) -> Result<T, Wrong> {
    Err(Wrong::Refused(reason.to_owned()))
}

/// The size of the disk inside.
///
/// # Errors
/// What is wrong with it.
pub fn check(format: DiskFormat, seen: Seen<'_>) -> Result<u64, Wrong> {
    if seen.size_bytes == 0 {
        return broken("it is empty");
    }
    match format {
        DiskFormat::Raw => raw(seen),
        DiskFormat::Qcow2 => qcow2(seen),
    }
}

fn raw(seen: Seen<'_>) -> Result<u64, Wrong> {
    let begins = |(at, bytes, _): &&(usize, &[u8], &str)| {
        seen.head.get(*at..*at + bytes.len()).is_some_and(|found| found.eq_ignore_ascii_case(bytes))
    };
    if let Some((.., name)) = OTHERS.iter().find(begins) {
        return broken(&format!("announced as raw, but it is {name}"));
    }
    let ends = |(bytes, _): &&(&[u8], &str)| seen.tail.len() == TAIL_BYTES && seen.tail.starts_with(bytes);
    match ENDS.iter().find(ends) {
        Some((_, name)) => broken(&format!("announced as raw, but it is {name}")),
        None => Ok(seen.size_bytes),
    }
}

/// A big-endian number of `N` bytes at `offset`.
fn number<const N: usize>(head: &[u8], offset: usize) -> Result<u64, Wrong> {
    match head.get(offset..offset + N) {
        Some(bytes) => Ok(bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))),
        None => broken("its header is cut off"),
    }
}

fn qcow2(seen: Seen<'_>) -> Result<u64, Wrong> {
    let head = seen.head;
    if !head.starts_with(&MAGIC) {
        return broken("announced as qcow2, but it does not begin like one");
    }
    let version = number::<4>(head, 4)?;
    if number::<8>(head, 8)? != 0 || number::<4>(head, 16)? != 0 {
        return refused("it names a backing file");
    }
    if number::<4>(head, 32)? != 0 {
        return refused("it is encrypted");
    }
    let header_bytes = match version {
        2 => 72,
        3 => extended(head)?,
        _ => return broken("its qcow2 version is neither 2 nor 3"),
    };
    let cluster_bits = number::<4>(head, 20)?;
    if !CLUSTER_BITS.contains(&cluster_bits) {
        return broken("its clusters have no possible size");
    }
    let cluster = 1u64 << cluster_bits;
    if header_bytes > cluster {
        return broken("its header is longer than a cluster");
    }
    extensions(head, header_bytes, cluster)?;
    let disk = number::<8>(head, 24)?;
    tables(seen, cluster_bits, disk)?;
    Ok(disk)
}

/// The part of the header that version 3 adds; answers the header's length.
fn extended(head: &[u8]) -> Result<u64, Wrong> {
    let features = number::<8>(head, 72)?;
    if features & EXTERNAL_DATA != 0 {
        return refused("it names an external data file");
    }
    if features & CORRUPT != 0 {
        return broken("it is marked as corrupt");
    }
    if features & !FEATURES != 0 {
        return refused("it needs features that are not known here");
    }
    if number::<4>(head, 96)? > 6 {
        return broken("its reference counts have no possible size");
    }
    let length = number::<4>(head, 100)?;
    if length < 104 || !length.is_multiple_of(8) {
        return broken("its header has no possible length");
    }
    Ok(length)
}

/// Extensions that name another file. Those behind what is looked at name none that QEMU would open: it wants the feature.
fn extensions(head: &[u8], from: u64, cluster: u64) -> Result<(), Wrong> {
    let end = usize::try_from(cluster).unwrap_or(usize::MAX).min(head.len());
    let mut at = usize::try_from(from).unwrap_or(usize::MAX);
    while at.saturating_add(8) <= end {
        let (kind, length) = (number::<4>(head, at)?, number::<4>(head, at + 4)?);
        match kind {
            0 => return Ok(()),
            EXTENSION_DATA_FILE => return refused("it names an external data file"),
            _ => {}
        }
        let padded = length.div_ceil(8) * 8;
        at = at.saturating_add(8).saturating_add(usize::try_from(padded).unwrap_or(usize::MAX));
    }
    Ok(())
}

fn tables(seen: Seen<'_>, cluster_bits: u64, disk: u64) -> Result<(), Wrong> {
    let cluster = 1u64 << cluster_bits;
    let inside = |offset: u64, bytes: u64| {
        let end = offset.checked_add(bytes);
        offset.is_multiple_of(cluster) && end.is_some_and(|end| end <= seen.size_bytes.next_multiple_of(cluster))
    };
    // One entry of the first table leads to a cluster of entries of the second, each of which leads to a cluster.
    let extended_l2 = number::<4>(seen.head, 4)? == 3 && number::<8>(seen.head, 72)? & (1 << 4) != 0;
    let entry_bits = if extended_l2 { 4 } else { 3 };
    let needed = disk.div_ceil(1 << (2 * cluster_bits - entry_bits).min(63));
    let l1 = number::<4>(seen.head, 36)?;
    if l1 < needed || l1.saturating_mul(8) > L1_BYTES_MAX {
        return broken("its first table does not fit its disk");
    }
    let l1_offset = number::<8>(seen.head, 40)?;
    if l1 > 0 && (l1_offset == 0 || !inside(l1_offset, l1 * 8)) {
        return broken("its first table is not inside the file");
    }
    let (offset, clusters) = (number::<8>(seen.head, 48)?, number::<4>(seen.head, 56)?);
    let bytes = clusters.saturating_mul(cluster);
    if clusters == 0 || bytes > REFCOUNT_TABLE_BYTES_MAX || offset == 0 || !inside(offset, bytes) {
        return broken("its table of reference counts is not inside the file");
    }
    if number::<4>(seen.head, 60)? > SNAPSHOTS_MAX {
        return refused("it holds more snapshots than are let in");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
