//! What every store must do with backups: copied from a snapshot of their own, whole or not at all, and restored only when
//! the content is what was written.

use crate::kit::*;
use arame_framework::agent::Stopped;
use arame_schema::jobs::Job;
use arame_schema::jobs::report::{BackendStatus, FactReport};
use arame_schema::jobs::sta::{Backup, CreateVolume, RestoredBackup, StoredBackup};
use arame_schema::model::{Fact, FactName, Secret};
use std::fs;
use std::path::PathBuf;

macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod with_sim { $( #[tokio::test] async fn $name() { super::on(super::Drivers::Sim, async |kit| super::$name(kit).await).await } )* }
        mod with_file { $( #[tokio::test] async fn $name() { super::on(super::Drivers::File, async |kit| super::$name(kit).await).await } )* }
        mod with_zfs { $( #[tokio::test] #[ignore = "sent to the lab machine"] async fn $name() { super::on(super::Drivers::Zfs, async |kit| super::$name(kit).await).await } )* }
    };
}

contract!(
    a_backup_is_of_the_moment_of_its_snapshot_and_is_restored,
    a_backup_that_is_there_is_never_written_again,
    a_restore_whose_content_is_not_what_was_written_leaves_nothing,
    a_deleted_backup_and_its_snapshot_are_gone_and_older_jobs_refused,
    a_snapshot_of_another_backup_is_not_touched,
    a_storage_that_is_not_configured_is_unavailable,
);

const SIZE: u64 = 8 * MIB;

async fn on(drivers: Drivers, test: impl AsyncFnOnce(&Kit)) {
    if let Some(kit) = Kit::new(drivers).await {
        test(&kit).await;
        let mut left = kit.data_files();
        left.extend(backup_files(&kit));
        assert!(!left.iter().any(|name| name.starts_with(".tmp-")), "{left:?}");
    }
}

fn folder(kit: &Kit) -> PathBuf {
    kit.place.root.join("backups")
}

fn backup_files(kit: &Kit) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder(kit)) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name != ".arame-backups").collect()
}

pub fn backup(object: &str, volume: &str) -> Backup {
    Backup {
        object: format!("bo-{object}").parse().unwrap(),
        storage: "bkst-local".parse().unwrap(),
        volume: format!("vol-{volume}").parse().ok(),
        key: format!("b{object}"),
        volume_key: volume.to_owned(),
        reader: None,
        from: None,
        origin: None,
    }
}

pub fn write(object: &str, volume: &str) -> Job {
    Job::WriteBackup(Backup { reader: Some(Secret::new("let me in")), ..backup(object, volume) })
}

fn fact(answer: &Result<Vec<FactReport>, Stopped>, name: FactName) -> FactReport {
    answer.as_ref().unwrap().iter().find(|fact| fact.name == name).unwrap().clone()
}

fn stored(answer: &Result<Vec<FactReport>, Stopped>) -> StoredBackup {
    serde_json::from_value(fact(answer, FactName::Object).detail.unwrap()).unwrap()
}

fn restore(volume: &str, object: &str, sha256: &str) -> Job {
    restore_into(volume, SIZE, object, sha256)
}

/// From the backup `bo-a`.
pub fn restore_of(volume: &str, size_bytes: u64, sha256: &str) -> Job {
    restore_into(volume, size_bytes, "a", sha256)
}

fn restore_into(volume: &str, size_bytes: u64, object: &str, sha256: &str) -> Job {
    let Job::CreateVolume(job) = create(volume, size_bytes) else { unreachable!("it is one") };
    let backup = RestoredBackup {
        object: format!("bo-{object}").parse().unwrap(),
        storage: "bkst-local".parse().unwrap(),
        sha256: sha256.to_owned(),
        url: None,
        reader: None,
    };
    Job::CreateVolume(CreateVolume { backup: Some(backup), ..job })
}

/// A volume with `text` in it and a backup of that; what was told of the backup.
async fn backed_up(kit: &Kit, text: &str) -> StoredBackup {
    kit.run(create("k1", SIZE), 1).await.unwrap();
    kit.write("k1", text);
    kit.run(Job::SnapshotBackup(backup("a", "k1")), 1).await.unwrap();
    stored(&kit.run(write("a", "k1"), 1).await)
}

async fn a_backup_is_of_the_moment_of_its_snapshot_and_is_restored(kit: &Kit) {
    kit.run(create("k1", SIZE), 1).await.unwrap();
    kit.write("k1", "old");
    let taken = kit.run(Job::SnapshotBackup(backup("a", "k1")), 1).await;
    assert_eq!(fact(&taken, FactName::Snapshot).value, Fact::Yes);
    assert_eq!(fact(&taken, FactName::Object).value, Fact::No);
    kit.write("k1", "new");
    let written = kit.run(write("a", "k1"), 1).await;
    let stored = stored(&written);
    assert_eq!((stored.size_bytes, stored.sha256.len()), (SIZE, 64));
    assert!(stored.stored_bytes < SIZE / 10, "{stored:?}");
    assert_eq!(stored.url, "http://storage:9080/backups/bo-a");
    let dropped = kit.run(Job::DropBackup(backup("a", "k1")), 1).await;
    let snapshot = fact(&dropped, FactName::Snapshot);
    assert_eq!((snapshot.value, snapshot.generation), (Fact::No, 1), "it is answered with its own generation");

    let things = kit.things().await;
    assert!(things.contains(&("backup".into(), "bo-a".into())) && things.len() == 2, "{things:?}");
    let restored = kit.run(restore("k2", "a", &stored.sha256), 1).await;
    assert_eq!(value(&restored), Fact::Yes);
    assert_eq!((kit.read("k1").as_str(), kit.read("k2").as_str()), ("new", "old"));
    assert_eq!(value(&kit.run(restore("k2", "a", &stored.sha256), 1).await), Fact::Yes, "it is there already");
}

async fn a_backup_that_is_there_is_never_written_again(kit: &Kit) {
    let first = backed_up(kit, "old").await;
    kit.run(Job::DropBackup(backup("a", "k1")), 1).await.unwrap();
    kit.write("k1", "new");
    kit.run(Job::SnapshotBackup(backup("a", "k1")), 1).await.unwrap();
    let again = kit.run(write("a", "k1"), 2).await;
    assert_eq!(stored(&again).sha256, first.sha256);
    assert_eq!(fact(&again, FactName::Object).generation, 2, "only its mark is newer");
    kit.run(Job::DropBackup(backup("a", "k1")), 2).await.unwrap();
}

async fn a_restore_whose_content_is_not_what_was_written_leaves_nothing(kit: &Kit) {
    let stored = backed_up(kit, "data").await;
    let lying = "0".repeat(64);
    let answer = kit.run(restore("k2", "a", &lying), 1).await;
    assert_eq!(code(&answer), "backup_checksum_mismatch");
    assert_eq!(code(&kit.run(restore("k2", "b", &lying), 1).await), "backup_missing");
    let things = kit.things().await;
    assert!(!things.iter().any(|(_, name)| name == "k2"), "{things:?}");
    if kit.place.drivers == Drivers::File {
        let file = folder(kit).join("bo-a");
        let whole = fs::read(&file).unwrap();
        for (bytes, what) in [(&whole[..whole.len() - 1], "cut"), (&whole[..20], "short"), (&[][..], "empty")] {
            fs::write(&file, bytes).unwrap();
            assert_eq!(
                code(&kit.run(restore("k2", "a", &stored.sha256), 1).await),
                "backup_checksum_mismatch",
                "{what}"
            );
        }
        fs::write(&file, &whole).unwrap();
    }
    assert_eq!(value(&kit.run(restore("k2", "a", &stored.sha256), 1).await), Fact::Yes, "control");
}

async fn a_deleted_backup_and_its_snapshot_are_gone_and_older_jobs_refused(kit: &Kit) {
    backed_up(kit, "data").await;
    kit.run(write("a", "k1"), 3).await.unwrap();
    let refused = kit.run(Job::DeleteBackup(backup("a", "k1")), 2).await;
    assert!(matches!(refused, Err(Stopped::Refused { found_generation: 3, .. })), "{refused:?}");
    for _ in 0..2 {
        let deleted = kit.run(Job::DeleteBackup(backup("a", "k1")), 3).await;
        assert_eq!(fact(&deleted, FactName::Object).value, Fact::No);
    }
    kit.run(Job::DropBackup(backup("a", "k1")), 3).await.unwrap();
    assert_eq!(kit.things().await, [("volume".to_owned(), "k1".to_owned())]);
    assert!(backup_files(kit).is_empty());
    kit.run(delete("k1"), 2).await.unwrap();
}

async fn a_snapshot_of_another_backup_is_not_touched(kit: &Kit) {
    backed_up(kit, "data").await;
    let thief = Backup { key: "ba".into(), ..backup("b", "k1") };
    assert_eq!(code(&kit.run(Job::DropBackup(thief.clone()), 9).await), "foreign_thing");
    assert_eq!(code(&kit.run(Job::WriteBackup(thief), 9).await), "foreign_thing");
    let seen = kit.run(Job::ObserveBackup(backup("a", "k1")), 1).await;
    assert_eq!((fact(&seen, FactName::Snapshot).value, fact(&seen, FactName::Object).value), (Fact::Yes, Fact::Yes));
    kit.run(Job::DropBackup(backup("a", "k1")), 1).await.unwrap();
}

async fn a_storage_that_is_not_configured_is_unavailable(kit: &Kit) {
    kit.run(create("k1", SIZE), 1).await.unwrap();
    let elsewhere = Backup { storage: "bkst-other".parse().unwrap(), ..backup("a", "k1") };
    kit.run(Job::SnapshotBackup(elsewhere.clone()), 1).await.unwrap();
    assert_eq!(code(&kit.run(Job::WriteBackup(elsewhere.clone()), 1).await), "backup_storage_unavailable");
    assert_eq!(code(&kit.run(Job::DeleteBackup(elsewhere.clone()), 1).await), "backup_storage_unavailable");
    let dropped = kit.run(Job::DropBackup(elsewhere), 1).await;
    assert_eq!(fact(&dropped, FactName::Snapshot).value, Fact::No, "its snapshot goes all the same");
}

#[tokio::test]
async fn a_place_that_is_gone_is_told_of_and_nothing_is_said_of_what_is_in_it() {
    let Some(kit) = Kit::new(Drivers::File).await else { return };
    backed_up(&kit, "data").await;
    fs::rename(folder(&kit), kit.place.root.join("elsewhere")).unwrap();
    let listing = kit.list().await;
    let backend = listing.backends.iter().find(|backend| backend.name == "bkst-local").unwrap();
    assert!(matches!(backend.status, BackendStatus::Unavailable { .. }));
    assert!(!listing.things.iter().any(|thing| thing.kind == "backup"));
    assert_eq!(code(&kit.run(Job::ObserveBackup(backup("a", "k1")), 1).await), "backup_storage_unavailable");
    fs::rename(kit.place.root.join("elsewhere"), folder(&kit)).unwrap();
    assert!(kit.things().await.contains(&("backup".into(), "bo-a".into())), "control");
}

#[tokio::test]
async fn another_node_reads_a_backup_over_http_with_what_was_made_for_it() {
    let Some(kit) = Kit::new(Drivers::File).await else { return };
    let stored = backed_up(&kit, "data").await;
    let listener = arame_sta::http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = format!("http://{}/backups/bo-a", listener.local_addr().unwrap());
    let served = tokio::spawn(arame_sta::http::serve(listener, kit.sta().shelf()));

    let Some(other) = Kit::new(Drivers::File).await else { return };
    let from_there = |reader: &str| {
        let Job::CreateVolume(job) = restore("k9", "a", &stored.sha256) else { unreachable!("it is one") };
        let backup = RestoredBackup {
            storage: "bkst-theirs".parse().unwrap(),
            url: Some(url.clone()),
            reader: Some(Secret::new(reader)),
            ..job.backup.clone().unwrap()
        };
        Job::CreateVolume(CreateVolume { backup: Some(backup), ..job })
    };
    assert!(other.run(from_there("guessed"), 1).await.is_err());
    assert!(other.data_files().is_empty(), "{:?}", other.data_files());
    assert_eq!(value(&other.run(from_there("let me in"), 1).await), Fact::Yes, "control");
    assert_eq!(other.read("k9"), "data");
    let plain = reqwest::get(&url).await.unwrap().status();
    assert_eq!(plain, 401);
    served.abort();
}
