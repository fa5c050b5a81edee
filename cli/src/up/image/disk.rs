//! A disk for BIOS machines put together from partition files: boot code, MBR partition table, FAT, ext4.
//!
//! Only whole partition files are copied; holes stay holes, so a large empty disk costs nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

pub const SECTOR: u64 = 512;

/// Where partitions begin and the unit of their sizes: 1 MiB, what every partitioning program uses today.
pub const ALIGNMENT: u64 = 1024 * 1024;

const TYPE_FAT32_LBA: u8 = 0x0c;
const TYPE_LINUX: u8 = 0x83;

/// One primary partition, in sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    pub start: u64,
    pub length: u64,
    kind: u8,
    active: Active,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Active {
    Yes,
    No,
}

/// The first sector: boot code, table, signature.
pub fn master_boot_record(boot_code: &[u8], partitions: &[Partition]) -> [u8; 512] {
    let mut sector = [0u8; 512];
    let code = boot_code.len().min(440);
    sector[..code].copy_from_slice(&boot_code[..code]);
    for (slot, partition) in partitions.iter().take(4).enumerate() {
        let entry = &mut sector[446 + slot * 16..462 + slot * 16];
        entry[0] = if partition.active == Active::Yes { 0x80 } else { 0 };
        // Cylinder/head/sector values that mean "use the LBA fields".
        entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[4] = partition.kind;
        entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[8..12].copy_from_slice(&(partition.start as u32).to_le_bytes());
        entry[12..16].copy_from_slice(&(partition.length as u32).to_le_bytes());
    }
    sector[510] = 0x55;
    sector[511] = 0xaa;
    sector
}

/// Writes `disk` from the boot partition's and the root partition's files.
pub fn assemble(disk: &Path, boot_code: &[u8], boot: &Path, root: &Path) -> io::Result<()> {
    let boot_bytes = boot.metadata()?.len().next_multiple_of(ALIGNMENT);
    let root_bytes = root.metadata()?.len().next_multiple_of(ALIGNMENT);
    let first =
        Partition { start: ALIGNMENT / SECTOR, length: boot_bytes / SECTOR, kind: TYPE_FAT32_LBA, active: Active::Yes };
    let second = Partition {
        start: first.start + first.length,
        length: root_bytes / SECTOR,
        kind: TYPE_LINUX,
        active: Active::No,
    };
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(disk)?;
    file.set_len(ALIGNMENT + boot_bytes + root_bytes)?;
    file.write_all(&master_boot_record(boot_code, &[first, second]))?;
    copy_sparse(boot, &mut file, first.start * SECTOR)?;
    copy_sparse(root, &mut file, second.start * SECTOR)?;
    file.sync_all()
}

fn copy_sparse(from: &Path, to: &mut File, offset: u64) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut block = vec![0u8; 64 * 1024];
    let mut at = offset;
    loop {
        let read = source.read(&mut block)?;
        if read == 0 {
            return Ok(());
        }
        if block[..read].iter().any(|byte| *byte != 0) {
            to.seek(SeekFrom::Start(at))?;
            to.write_all(&block[..read])?;
        }
        at += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_holds_both_partitions_where_its_table_says() {
        let dir = tempfile::tempdir().unwrap();
        let (boot, root, disk) = (dir.path().join("b"), dir.path().join("r"), dir.path().join("d"));
        std::fs::write(&boot, vec![1u8; 3000]).unwrap();
        std::fs::write(&root, vec![2u8; 5000]).unwrap();
        assemble(&disk, &[0x90; 440], &boot, &root).unwrap();
        let bytes = std::fs::read(&disk).unwrap();
        assert_eq!(bytes.len() as u64, 3 * ALIGNMENT);
        assert_eq!((bytes[0], bytes[510], bytes[511]), (0x90, 0x55, 0xaa));
        let start = |slot: usize| u32::from_le_bytes(bytes[454 + slot * 16..458 + slot * 16].try_into().unwrap());
        assert_eq!((start(0), start(1)), (2048, 4096));
        assert_eq!((bytes[446], bytes[462]), (0x80, 0));
        assert_eq!(bytes[2048 * 512], 1);
        assert_eq!(bytes[4096 * 512], 2);
    }
}
