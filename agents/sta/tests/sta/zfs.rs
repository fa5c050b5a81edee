//! What only a real pool shows. Sent to the lab machine by [`crate::lab`].

use crate::kit::*;
use arame_framework::agent::{Agent, Stopped};
use arame_schema::jobs::Job;
use arame_schema::jobs::hva::DiskFormat;
use arame_schema::jobs::report::{Ask, BackendStatus, Retry};
use arame_schema::jobs::sta::path::{PATH, PathAnswer, PathQuestion};
use arame_schema::model::Fact;
use std::process::Command;

async fn kit() -> Kit {
    Kit::new(Drivers::Zfs).await.expect("nothing is lacking there")
}

/// Bytes that a dataset holds by itself.
fn used(kit: &Kit, name: &str) -> u64 {
    let dataset = format!("{}/{name}", kit.place.pool.as_ref().unwrap());
    told("zpool", &["sync"]);
    told("zfs", &["get", "-Hp", "-o", "value", "used", &dataset]).trim().parse().unwrap()
}

#[tokio::test]
#[ignore = "sent to the lab machine"]
async fn a_volume_of_an_image_is_a_clone_that_costs_nothing() {
    let kit = kit().await;
    let bytes: Vec<u8> = (0..8 * MIB).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
    let image = kit.image("a", &bytes, DiskFormat::Raw);
    kit.run(Job::ImportImage(image.clone()), 1).await.unwrap();
    kit.run(create_from("k1", 16 * MIB, &image), 1).await.unwrap();
    assert!(used(&kit, "img-wmi-a") > 7 * MIB, "control: the image's bytes are there");
    assert!(used(&kit, "vol-k1") < MIB / 4, "{}", used(&kit, "vol-k1"));
    let refused = kit.run(remove_image(&image), 2).await;
    assert!(matches!(refused, Err(Stopped::Failed { .. })), "an image in use is not deleted: {refused:?}");
    kit.run(delete("k1"), 2).await.unwrap();
    assert_eq!(value(&kit.run(remove_image(&image), 2).await), Fact::No, "control");
}

/// As an operator does it: whatever was written and closed is opened once more by udev, which looks what it is now
/// (`OPTIONS+="watch"` of 60-block.rules), and for so long `zpool export` says that the pool is busy.
fn export_pool(pool: &str) {
    let mut said = String::new();
    let exported = wait_until(|| {
        let output = Command::new("zpool").args(["export", pool]).output().unwrap();
        said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() || said.contains("pool is busy"), "{said}");
        output.status.success()
    });
    assert!(exported, "{said}");
}

#[tokio::test]
#[ignore = "sent to the lab machine"]
async fn a_pool_that_is_not_imported_hides_its_volumes_and_loses_none() {
    let second = std::env::var("ARAME_TEST_SECOND_POOL").unwrap();
    let mut kit = kit().await;
    kit.place.pool = Some(new_dataset(&second));
    let kit = kit.restart().await;
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.write("k1", "kept");
    export_pool(&second);
    let listing = kit.list().await;
    let hidden = listing.backends.iter().filter(|backend| backend.status != BackendStatus::Complete).count();
    assert!(hidden > 0 && listing.things.is_empty(), "{listing:?}");
    for job in [create("k1", MIB), create("k2", MIB), delete("k1"), observe("k1"), mark_volume("k1")] {
        let answer = kit.run(job.clone(), 2).await;
        assert_eq!(code(&answer), "store_unavailable", "{}", job.kind());
        let Err(Stopped::Failed { facts, .. }) = answer else { unreachable!("just seen") };
        assert!(facts.iter().all(|fact| fact.value == Fact::Maybe), "{facts:?}");
    }
    told("zpool", &["import", &second]);
    assert!(wait_until(|| kit.volume_file("k1").exists()));
    assert_eq!(kit.things().await, [("volume".to_owned(), "k1".to_owned())]);
    assert_eq!(kit.read("k1"), "kept");
    assert_eq!(value(&kit.run(create("k2", MIB), 2).await), Fact::Yes, "control");
}

async fn path(kit: &Kit, key: &str) -> PathAnswer {
    let arguments = serde_json::to_value(PathQuestion { key: key.to_owned() }).unwrap();
    let answer = kit.sta().ask(Ask { question: PATH.to_owned(), arguments }).await.unwrap();
    serde_json::from_value(answer).unwrap()
}

/// What `/metrics` says of the pool.
fn well(kit: &Kit) -> Vec<f64> {
    kit.sta().metrics().iter().filter(|one| one.name == "arame_storage_pool_well").map(|one| one.value).collect()
}

#[tokio::test]
#[ignore = "sent to the lab machine"]
async fn a_pool_that_lost_a_disk_of_its_mirror_says_so_and_serves_on() {
    let folder = tempfile::tempdir().unwrap();
    let disks = ["a", "b"].map(|name| {
        let path = folder.path().join(name);
        // The least that a pool takes for a disk (vdev.h: SPA_MINDEVSIZE).
        std::fs::File::create(&path).unwrap().set_len(64 * MIB).unwrap();
        path.display().to_string()
    });
    told("zpool", &["create", "-O", "mountpoint=none", "halved", "mirror", &disks[0], &disks[1]]);
    let mut kit = kit().await;
    kit.place.pool = Some(new_dataset("halved"));
    let kit = kit.restart().await;
    kit.run(create("k1", MIB), 1).await.unwrap();
    let whole = path(&kit, "k1").await;
    let pool = whole.pool.unwrap();
    assert_eq!((pool.name.as_str(), pool.health.as_deref(), pool.note), ("halved", Some("ONLINE"), None));
    assert!(whole.volume.is_some_and(|volume| volume.size_bytes == MIB), "the volume is told with it");
    assert_eq!(path(&kit, "k2").await.volume, None, "and one that is not there is not");
    kit.list().await;
    assert_eq!(well(&kit), [1.0]);
    told("zpool", &["offline", "halved", &disks[1]]);
    let pool = path(&kit, "k1").await.pool.unwrap();
    assert_eq!(pool.health.as_deref(), Some("DEGRADED"));
    assert!(pool.note.as_deref().is_some_and(|note| note.contains("zpool online")), "what can be done: {pool:?}");
    assert_eq!(value(&kit.run(create("k2", MIB), 1).await), Fact::Yes, "it serves on");
    kit.list().await;
    assert_eq!(well(&kit), [0.0]);
    told("zpool", &["online", "halved", &disks[1]]);
}

#[tokio::test]
#[ignore = "sent to the lab machine"]
async fn what_others_keep_in_the_pool_is_shown_or_left_out_and_never_touched() {
    let kit = kit().await;
    let pool = kit.place.pool.clone().unwrap();
    let foreign = format!("{pool}/vol-k1");
    told("zfs", &["create", "-s", "-V", "1M", &foreign]);
    told("zfs", &["create", "-s", "-V", "1M", &format!("{pool}/backup-of-somebody")]);
    told("zfs", &["snapshot", &format!("{foreign}@nightly")]);
    for job in [create("k1", 2 * MIB), delete("k1"), take("k1", "s1"), mark_volume("k1")] {
        assert_eq!(code(&kit.run(job.clone(), 9).await), "foreign_thing", "{}", job.kind());
    }
    let listing = kit.list().await;
    let names: Vec<_> = listing.things.iter().map(|thing| (thing.name.as_str(), thing.installation)).collect();
    assert_eq!(names, [("k1", None)]);
    assert_eq!(told("zfs", &["get", "-Hp", "-o", "value", "volsize", &foreign]).trim(), MIB.to_string());
    assert_eq!(value(&kit.run(create("k2", MIB), 1).await), Fact::Yes, "control");
}

#[tokio::test]
#[ignore = "sent to the lab machine"]
async fn more_than_the_pool_has_is_refused_before_it_is_full() {
    let kit = kit().await;
    let answer = kit.run(create("k1", 64 * 1024 * MIB), 1).await;
    assert_eq!(code(&answer), "disk_full");
    assert!(matches!(answer, Err(Stopped::Failed { retry: Retry::Elsewhere, .. })), "{answer:?}");
    assert_eq!(kit.things().await, []);
    assert_eq!(value(&kit.run(create("k1", 64 * MIB), 1).await), Fact::Yes, "control");
}

#[tokio::test]
#[ignore = "sent to the lab machine"]
async fn a_rollback_past_a_newer_snapshot_is_refused_and_destroys_nothing() {
    let kit = kit().await;
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.write("k1", "old");
    kit.run(take("k1", "s1"), 1).await.unwrap();
    kit.write("k1", "new");
    kit.run(take("k1", "s2"), 1).await.unwrap();
    let refused = kit.run(roll_back("k1", "s1", 7), 2).await;
    assert_eq!((code(&refused), kit.read("k1").as_str()), ("newer_snapshots", "new"));
    assert_eq!(value(&kit.run(observe_snapshot("k1", "s2"), 1).await), Fact::Yes);
    kit.run(roll_back("k1", "s2", 8), 3).await.unwrap();
    kit.run(drop_snapshot("k1", "s2"), 2).await.unwrap();
    kit.run(roll_back("k1", "s1", 9), 4).await.unwrap();
    assert_eq!(kit.read("k1"), "old", "control");
}

/// Every snapshot in the kit's part of the pool, whatever its name.
fn snapshots_in(pool: &str) -> Vec<String> {
    told("zfs", &["list", "-Hr", "-t", "snapshot", "-o", "name", pool]).lines().map(str::to_owned).collect()
}

#[tokio::test]
#[ignore = "sent to the lab machine"]
async fn what_a_deleted_volume_shared_goes_with_the_last_that_needs_it() {
    let kit = kit().await;
    let pool = kit.place.pool.clone().unwrap();
    kit.run(create("k1", 16 * MIB), 1).await.unwrap();
    let bytes: Vec<u8> = (0..8 * MIB).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
    std::fs::write(kit.volume_file("k1"), &bytes).unwrap();
    kit.run(take("k1", "s1"), 1).await.unwrap();
    kit.run(clone_of("k2", 32 * MIB, ("k1", "s1")), 1).await.unwrap();
    assert!(used(&kit, "vol-k1") > 7 * MIB, "control: the bytes are there");
    assert!(used(&kit, "vol-k2") < MIB / 4, "a clone costs nothing: {}", used(&kit, "vol-k2"));
    kit.run(drop_snapshot("k1", "s1"), 2).await.unwrap();
    assert_eq!(snapshots_in(&pool), [format!("{pool}/vol-k1@snap-s1")], "control: the pool keeps it for the clone");

    told("zfs", &["snapshot", &format!("{pool}/vol-k1@nightly")]);
    let held = kit.run(delete("k1"), 2).await;
    assert_eq!(code(&held), "in_use", "somebody else's snapshot is not carried off under another name");
    assert!(matches!(held, Err(Stopped::Failed { retry: Retry::Later, .. })));
    told("zfs", &["destroy", &format!("{pool}/vol-k1@nightly")]);
    assert_eq!(value(&kit.run(delete("k1"), 2).await), Fact::No, "control");
    assert_eq!(snapshots_in(&pool), [] as [&str; 0], "nobody needs it any more");
    assert!(used(&kit, "vol-k2") > 7 * MIB, "what was shared is the clone's: {}", used(&kit, "vol-k2"));
    assert_eq!(std::fs::read(kit.volume_file("k2")).unwrap()[..bytes.len()], bytes);
    kit.run(delete("k2"), 2).await.unwrap();
    assert_eq!(kit.things().await, []);
}

#[tokio::test]
#[ignore = "sent to the lab machine"]
async fn a_volume_that_was_promoted_and_one_that_was_deleted_leave_no_snapshot_behind() {
    let kit = kit().await;
    let pool = kit.place.pool.clone().unwrap();
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.run(take("k1", "s1"), 1).await.unwrap();
    kit.run(take("k1", "s2"), 1).await.unwrap();
    for (key, snapshot) in [("k2", "s1"), ("k3", "s2"), ("k4", "s2")] {
        kit.run(clone_of(key, MIB, ("k1", snapshot)), 1).await.unwrap();
    }
    for snapshot in ["s1", "s2"] {
        kit.run(drop_snapshot("k1", snapshot), 2).await.unwrap();
    }
    for (key, left) in [("k1", 2), ("k3", 2), ("k2", 0)] {
        assert_eq!(value(&kit.run(delete(key), 2).await), Fact::No, "{key}");
        let found = snapshots_in(&pool);
        assert!(found.len() <= left, "{key}: {found:?}");
    }
    assert_eq!(kit.things().await, [("volume".to_owned(), "k4".to_owned())]);
    assert_eq!(snapshots_in(&pool), [] as [&str; 0]);
}
