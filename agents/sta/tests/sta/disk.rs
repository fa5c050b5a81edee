//! Real disks in trouble: full, unmounted, without extended attributes.

use crate::kit::*;
use arame_framework::agent::{Agent, Stopped};
use arame_schema::jobs::Job;
use arame_schema::jobs::hva::DiskFormat;
use arame_schema::jobs::report::{BackendStatus, Retry};
use arame_schema::model::Fact;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of memory under the agent's data folder, unmounted with the test.
struct Mount(PathBuf);

impl Mount {
    fn new(place: &Path, kind: &str, options: &str) -> Option<Self> {
        if !is_root() {
            return None;
        }
        std::fs::create_dir_all(place).unwrap();
        let mounted = Command::new("mount").args(["-t", kind, "-o", options, "arame-sta-test"]).arg(place).status();
        if !mounted.is_ok_and(|status| status.success()) {
            lacks("mount");
            return None;
        }
        Some(Self(place.to_owned()))
    }

    fn unmount(&self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.unmount();
    }
}

async fn mounted(kind: &str, options: &str) -> Option<(Kit, Mount)> {
    let folder = tempfile::Builder::new().prefix("arame-sta-").tempdir().unwrap();
    let mount = Mount::new(&folder.path().join("data"), kind, options)?;
    let kit = Kit::at(folder.path().to_owned(), Drivers::File, Some(folder)).await?;
    Some((kit, mount))
}

fn noise(mib: u64) -> Vec<u8> {
    (0..mib * MIB).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8 | 1).collect()
}

#[tokio::test]
async fn a_full_disk_fails_the_import_and_leaves_nothing() {
    let Some((kit, _mount)) = mounted("tmpfs", "size=8m").await else { return };
    let large = kit.image("large", &noise(16), DiskFormat::Raw);
    let answer = kit.run(Job::ImportImage(large), 1).await;
    assert_eq!(code(&answer), "disk_full");
    assert!(matches!(answer, Err(Stopped::Failed { retry: Retry::Elsewhere, .. })));
    assert_eq!(kit.data_files(), [] as [&str; 0]);

    let small = kit.image("small", &noise(3), DiskFormat::Raw);
    assert_eq!(value(&kit.run(Job::ImportImage(small.clone()), 1).await), Fact::Yes, "control: a small one fits");
    let copied = kit.run(create_from("k1", 7 * MIB, &small), 1).await;
    assert_eq!(value(&copied), Fact::Yes);
    let second = kit.run(create_from("k2", 7 * MIB, &small), 1).await;
    assert_eq!(code(&second), "disk_full", "more is promised than there is");

    assert_eq!(kit.sta().degraded(), None, "control: a quarter is free");
    let _ = std::fs::write(kit.place.root.join("data/other"), noise(3));
    kit.list().await;
    assert!(kit.sta().degraded().unwrap().contains("0 MiB of 8 are free"));
}

#[tokio::test]
async fn how_much_is_kept_free_is_the_operators_to_say() {
    let Some((mut kit, _mount)) = mounted("tmpfs", "size=64m").await else { return };
    std::fs::write(kit.place.root.join("data/other"), noise(62)).unwrap();
    kit.list().await;
    let why = kit.sta().degraded().unwrap();
    assert!(why.ends_with("MiB of 64 are free, 3 are kept free (sta.keep_free_mib)"), "{why}");
    kit.place.keep_free_mib = Some(1);
    let mut kit = kit.restart().await;
    assert_eq!(kit.sta().degraded(), None, "less than 5 % is enough where it was said so");
    kit.place.keep_free_mib = Some(32);
    let kit = kit.restart().await;
    assert!(kit.sta().degraded().unwrap().contains("32 are kept free"));
}

#[tokio::test]
async fn a_copy_that_meets_a_full_disk_leaves_nothing() {
    let Some((kit, _mount)) = mounted("tmpfs", "size=9m").await else { return };
    let image = kit.image("a", &noise(4), DiskFormat::Raw);
    kit.run(Job::ImportImage(image.clone()), 1).await.unwrap();
    std::fs::write(kit.place.root.join("data/other"), noise(3)).unwrap();
    let answer = kit.run(create_from("k1", 5 * MIB, &image), 1).await;
    assert_eq!(code(&answer), "disk_full");
    assert_eq!(kit.things().await.len(), 1);
    assert!(!kit.data_files().iter().any(|name| name.starts_with(".tmp-")));
    std::fs::remove_file(kit.place.root.join("data/other")).unwrap();
    assert_eq!(value(&kit.run(create_from("k1", 5 * MIB, &image), 1).await), Fact::Yes, "control");
}

#[tokio::test]
async fn an_unmounted_disk_is_unavailable_and_not_empty() {
    let Some((kit, mount)) = mounted("tmpfs", "size=8m").await else { return };
    kit.run(create("k1", MIB), 1).await.unwrap();
    assert_eq!(kit.things().await.len(), 1, "control");
    mount.unmount();
    let store = |listing: arame_framework::agent::Listing| listing.backends[0].status.clone();
    assert!(matches!(store(kit.list().await), BackendStatus::Unavailable { .. }));
    for job in [create("k1", MIB), delete("k1"), observe("k1")] {
        assert_eq!(code(&kit.run(job, 2).await), "store_unavailable");
    }
    assert!(kit.sta().degraded().is_some());
    let kit = kit.restart().await;
    assert!(matches!(store(kit.list().await), BackendStatus::Unavailable { .. }), "also after a restart");
    assert_eq!(code(&kit.run(create("k2", MIB), 1).await), "store_unavailable");
}

#[tokio::test]
async fn marks_live_beside_the_files_where_there_are_no_attributes() {
    let Some((kit, _mount)) = mounted("ramfs", "rw").await else { return };
    if xattr::set(kit.place.root.join("data/.lock"), "user.x", b"y").is_ok() {
        return lacks("a file system without attributes");
    }
    // ramfs has no size: nothing is promised there.
    let image = kit.image("a", &noise(1), DiskFormat::Raw);
    assert_eq!(value(&kit.run(Job::ImportImage(image.clone()), 3).await), Fact::Yes);
    assert_eq!(kit.things().await, [("image".to_owned(), "wmi-a".to_owned())]);
    let listing = kit.list().await;
    assert_eq!((listing.things[0].generation, listing.things[0].installation), (3, Some(INSTALLATION)));
    assert_eq!(value(&kit.run(remove_image(&image), 4).await), Fact::No);
    assert_eq!(kit.data_files(), [] as [&str; 0], "neither file nor mark is left");
}

#[tokio::test]
async fn a_volume_shares_its_images_blocks_where_the_file_system_can() {
    if !is_root() {
        return;
    }
    let folder = tempfile::Builder::new().prefix("arame-sta-").tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::File::create(&disk).unwrap().set_len(320 * MIB).unwrap();
    let made = Command::new("mkfs.xfs").args(["-q", "-m", "reflink=1"]).arg(&disk).status();
    if !made.is_ok_and(|status| status.success()) {
        return lacks("xfs");
    }
    let place = folder.path().join("data");
    std::fs::create_dir(&place).unwrap();
    let mounted = Command::new("mount").args(["-o", "loop"]).arg(&disk).arg(&place).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return lacks("xfs");
    }
    let mount = Mount(place.clone());
    let kit = Kit::at(folder.path().to_owned(), Drivers::File, Some(folder)).await.unwrap();
    let _unmounted_first = mount;
    let image = kit.image("a", &noise(48), DiskFormat::Raw);
    kit.run(Job::ImportImage(image.clone()), 1).await.unwrap();
    let free = || nix::sys::statvfs::statvfs(&place).map(|stat| stat.blocks_free() * stat.fragment_size()).unwrap();
    let before = free();
    kit.run(create_from("k1", 48 * MIB, &image), 1).await.unwrap();
    let taken = before.saturating_sub(free());
    assert!(taken < 8 * MIB, "a volume of 48 MiB took {taken} bytes");
    assert_eq!(std::fs::read(place.join("volumes/k1")).unwrap(), noise(48));
    std::fs::write(place.join("copy"), noise(48)).unwrap();
    nix::unistd::syncfs(std::fs::File::open(&place).unwrap()).unwrap();
    assert!(before - free() > 40 * MIB, "control: a copy takes room");
}
