//! Headers that are right, each thing that can be wrong with one, and bytes of any kind.

use super::*;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

/// A header of version 3 as QEMU writes one for a disk of 16 MiB.
pub(super) fn good() -> Vec<u8> {
    let mut head = vec![0u8; 4096];
    head[..4].copy_from_slice(&MAGIC);
    put(&mut head, 4, 3, 4);
    put(&mut head, 20, 16, 4);
    put(&mut head, 24, 16 * MIB, 8);
    put(&mut head, 36, 1, 4);
    put(&mut head, 40, 3 << 16, 8);
    put(&mut head, 48, 1 << 16, 8);
    put(&mut head, 56, 1, 4);
    put(&mut head, 96, 4, 4);
    put(&mut head, 100, 112, 4);
    head
}

fn put(head: &mut [u8], at: usize, value: u64, bytes: usize) {
    head[at..at + bytes].copy_from_slice(&value.to_be_bytes()[8 - bytes..]);
}

fn with(at: usize, value: u64, bytes: usize) -> Vec<u8> {
    let mut head = good();
    put(&mut head, at, value, bytes);
    head
}

fn judged(head: &[u8]) -> Result<u64, Wrong> {
    check(DiskFormat::Qcow2, Seen { head, tail: &[], size_bytes: 256 << 10 })
}

fn as_raw(head: &[u8], tail: &[u8]) -> Result<u64, Wrong> {
    check(DiskFormat::Raw, Seen { head, tail, size_bytes: MIB })
}

#[test]
fn an_image_that_stands_alone_is_let_in() {
    assert_eq!(judged(&good()), Ok(16 * MIB));
    let mut second = good();
    put(&mut second, 4, 2, 4);
    assert_eq!(judged(&second), Ok(16 * MIB), "version 2");
    for feature in [0, 3, 4] {
        assert_eq!(judged(&with(72, 1 << feature, 8)), Ok(16 * MIB), "feature {feature}");
    }
}

#[test]
fn an_image_that_asks_for_what_is_not_allowed_is_refused() {
    let mut extension = good();
    put(&mut extension, 112, EXTENSION_DATA_FILE, 4);
    put(&mut extension, 116, 9, 4);
    for (head, reason) in [
        (with(8, 512, 8), "backing file"),
        (with(16, 9, 4), "backing file"),
        (with(32, 1, 4), "encrypted"),
        (with(32, 2, 4), "encrypted"),
        (with(72, EXTERNAL_DATA, 8), "external data file"),
        (with(72, 1 << 5, 8), "features"),
        (with(72, 1 << 63, 8), "features"),
        (with(60, 65, 4), "snapshots"),
        (extension, "external data file"),
    ] {
        match judged(&head) {
            Err(Wrong::Refused(told)) => assert!(told.contains(reason), "{told} / {reason}"),
            other => panic!("{reason}: {other:?}"),
        }
    }
}

#[test]
fn a_damaged_or_absurd_image_is_broken() {
    let mut other = good();
    other[0] = 0;
    for (head, what) in [
        (other, "another begin"),
        (Vec::new(), "nothing"),
        (good()[..60].to_vec(), "cut off"),
        (good()[..90].to_vec(), "cut off in version 3"),
        (with(4, 9, 4), "version 9"),
        (with(4, 1, 4), "version 1"),
        (with(20, 8, 4), "clusters of 256 bytes"),
        (with(20, 40, 4), "clusters of a TiB"),
        (with(72, CORRUPT, 8), "corrupt"),
        (with(100, 13, 4), "a header of 13 bytes"),
        (with(100, 0xffff_fff8, 4), "a header of 4 GiB"),
        (with(24, u64::MAX, 8), "a disk of 16 EiB"),
        (with(36, u64::from(u32::MAX), 4), "a first table of 32 GiB"),
        (with(36, 0, 4), "no first table"),
        (with(40, 3 << 40, 8), "a first table behind the end"),
        (with(40, 12345, 8), "a first table that is not aligned"),
        (with(40, u64::MAX << 16, 8), "a first table that wraps around"),
        (with(48, 0, 8), "no reference counts"),
        (with(56, u64::from(u32::MAX), 4), "reference counts of 256 TiB"),
    ] {
        assert!(matches!(judged(&head), Err(Wrong::Broken(_))), "{what}: {:?}", judged(&head));
    }
}

#[test]
fn raw_that_looks_like_something_else_is_not_raw() {
    assert_eq!(as_raw(&[0; 4096], &[0; 512]), Ok(MIB), "control: zeros");
    assert_eq!(as_raw(b"hello", b"hello"), Ok(MIB), "control: a few bytes");
    let mut boots = vec![0u8; 4096];
    boots[510..512].copy_from_slice(&[0x55, 0xaa]);
    assert_eq!(as_raw(&boots, &[0; 512]), Ok(MIB), "control: a boot sector");
    for (at, bytes, name) in OTHERS {
        let mut head = vec![0u8; 4096];
        head[at..at + bytes.len()].copy_from_slice(bytes);
        match as_raw(&head, &[0; 512]) {
            Err(Wrong::Broken(told)) => assert!(told.contains(name), "{told}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    for (bytes, name) in ENDS {
        let mut tail = vec![0u8; 512];
        tail[..bytes.len()].copy_from_slice(bytes);
        assert!(as_raw(&[0; 4096], &tail).is_err(), "{name}");
    }
    assert!(check(DiskFormat::Raw, Seen { head: &[], tail: &[], size_bytes: 0 }).is_err(), "nothing at all");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever is let in names no other file, wherever its other bytes lead.
    #[test]
    fn nothing_gets_through_with_a_backing_file(
        bytes in proptest::collection::vec((0usize..160, any::<u8>()), 0..24),
        size in 0u64..1 << 40,
        cut in 0usize..4200,
    ) {
        let mut head = good();
        for (at, byte) in bytes {
            head[at] = byte;
        }
        head.truncate(cut);
        let seen = Seen { head: &head, tail: &[], size_bytes: size };
        if check(DiskFormat::Qcow2, seen).is_ok() {
            prop_assert_eq!(number::<8>(&head, 8), Ok(0));
            prop_assert_eq!(number::<4>(&head, 32), Ok(0));
            if number::<4>(&head, 4) == Ok(3) {
                prop_assert_eq!(number::<8>(&head, 72).unwrap() & !FEATURES, 0);
            }
            prop_assert!(number::<4>(&head, 36).unwrap() * 8 <= size.next_multiple_of(1 << 21));
        }
    }

    #[test]
    fn bytes_of_any_kind_are_judged_without_a_panic(head in proptest::collection::vec(any::<u8>(), 0..600), size: u64) {
        for format in [DiskFormat::Raw, DiskFormat::Qcow2] {
            let _ = check(format, Seen { head: &head, tail: &head, size_bytes: size });
        }
    }
}
