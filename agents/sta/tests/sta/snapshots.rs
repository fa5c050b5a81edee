//! What every pair of drivers must do with snapshots and rollbacks. The words of the zfs commands are tried beside them.

use crate::kit::*;
use arame_framework::agent::{Agent, Standing, Stopped};
use arame_schema::jobs::Job;
use arame_schema::jobs::report::{FactReport, Retry};
use arame_schema::jobs::sta::SeenVolume;
use arame_schema::model::{Fact, FactName};
use uuid::Uuid;

macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod with_sim { $( #[tokio::test] async fn $name() { super::on(super::Drivers::Sim, async |kit| super::$name(kit).await).await } )* }
        mod with_file { $( #[tokio::test] async fn $name() { super::on(super::Drivers::File, async |kit| super::$name(kit).await).await } )* }
        mod with_zfs { $( #[tokio::test] #[ignore = "sent to the lab machine"] async fn $name() { super::on(super::Drivers::Zfs, async |kit| super::$name(kit).await).await } )* }
        mod with_file_and_tgt { $( #[tokio::test] async fn $name() { super::on(super::Drivers::FileTgt, async |kit| super::$name(kit).await).await } )* }
    };
}

contract!(
    a_snapshot_is_taken_listed_and_deleted,
    a_volume_is_rolled_back_once_for_an_operation,
    an_older_rollback_is_refused_and_a_mark_forbids_one_on_its_way,
    what_is_exported_is_not_rolled_back,
    a_rollback_to_nothing_changes_nothing,
    a_volume_with_snapshots_is_not_deleted,
    a_snapshot_of_a_volume_in_use_is_of_one_moment_or_refused,
    an_older_snapshot_job_is_refused,
    a_snapshot_of_another_installation_or_owner_is_not_touched,
    a_volume_of_a_snapshot_begins_with_its_bytes_and_lives_on_without_it,
    a_volume_of_a_snapshot_that_cannot_be_leaves_nothing,
    volumes_of_volumes_keep_their_bytes_in_whatever_order_the_others_go,
);

async fn on(drivers: Drivers, test: impl AsyncFnOnce(&Kit)) {
    if let Some(kit) = Kit::new(drivers).await {
        test(&kit).await;
        assert!(!kit.data_files().iter().any(|name| name.starts_with(".tmp-")), "{:?}", kit.data_files());
    }
}

#[tokio::test]
async fn a_file_store_tells_what_its_snapshots_may_come_to_keep() {
    let mut kit = Kit::new(Drivers::File).await.unwrap();
    kit.place.disk_mib = Some(64);
    let kit = kit.restart().await;
    kit.run(create("k1", 16 * MIB), 1).await.unwrap();
    assert_eq!(kit.list().await.kept_mib, Some(0), "control: a volume is counted by its row");
    kit.run(take("k1", "s1"), 1).await.unwrap();
    assert_eq!(kit.list().await.kept_mib, Some(16), "it may come to share nothing with its volume");
    kit.run(create("k2", 32 * MIB), 1).await.unwrap();
    assert_eq!(code(&kit.run(create("k3", MIB), 1).await), "disk_full", "what is told is what the store goes by");
    kit.run(drop_snapshot("k1", "s1"), 1).await.unwrap();
    assert_eq!(kit.list().await.kept_mib, Some(0));
    kit.run(create("k3", MIB), 1).await.unwrap();
}

fn carried(answer: &Result<Vec<FactReport>, Stopped>) -> (u64, Option<Uuid>) {
    let fact = &answer.as_ref().unwrap()[0];
    let seen: SeenVolume = serde_json::from_value(fact.detail.clone().unwrap()).unwrap();
    (fact.generation, seen.rollback)
}

fn refused(answer: &Result<Vec<FactReport>, Stopped>) -> u64 {
    match answer {
        Err(Stopped::Refused { found_generation, .. }) => *found_generation,
        other => panic!("not refused: {other:?}"),
    }
}

async fn a_snapshot_is_taken_listed_and_deleted(kit: &Kit) {
    assert_eq!(code(&kit.run(take("k1", "s1"), 1).await), "volume_missing");
    kit.run(create("k1", MIB), 1).await.unwrap();
    for _ in 0..2 {
        let taken = kit.run(take("k1", "s1"), 1).await;
        assert_eq!(value(&taken), Fact::Yes);
        let fact = &taken.unwrap()[0];
        assert_eq!((fact.thing.as_str(), fact.name, fact.generation), ("snap-s1", FactName::Snapshot, 1));
    }
    assert_eq!(value(&kit.run(observe_snapshot("k1", "s1"), 1).await), Fact::Yes);
    assert_eq!(value(&kit.run(observe_snapshot("k1", "s2"), 1).await), Fact::No);
    let listing = kit.list().await;
    let snapshot = listing.things.iter().find(|thing| thing.kind == "snapshot").unwrap();
    assert_eq!((snapshot.owner.as_deref(), snapshot.installation), (Some("snap-s1"), Some(INSTALLATION)));
    assert!(snapshot.holds_data && snapshot.facts[0].value == Fact::Yes);
    let detail = snapshot.detail.as_ref().unwrap();
    assert_eq!(
        (&detail["volume_key"], &detail["key"], &detail["size_bytes"]),
        (&"k1".into(), &"s1".into(), &MIB.into())
    );
    for _ in 0..2 {
        assert_eq!(value(&kit.run(drop_snapshot("k1", "s1"), 2).await), Fact::No);
    }
    assert_eq!(kit.things().await, [("volume".to_owned(), "k1".to_owned())]);
}

async fn a_volume_is_rolled_back_once_for_an_operation(kit: &Kit) {
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.write("k1", "old");
    kit.run(take("k1", "s1"), 1).await.unwrap();
    kit.write("k1", "new");
    let done = kit.run(roll_back("k1", "s1", 7), 2).await;
    assert_eq!((carried(&done), kit.read("k1").as_str()), ((2, Some(Uuid::from_u128(7))), "old"));
    kit.write("k1", "newest");
    let again = kit.run(roll_back("k1", "s1", 7), 2).await;
    assert_eq!((carried(&again), kit.read("k1").as_str()), ((2, Some(Uuid::from_u128(7))), "newest"));
    // A mark and a growth keep the note of it.
    kit.run(create("k1", 2 * MIB), 3).await.unwrap();
    let late = kit.run(roll_back("k1", "s1", 7), 2).await;
    assert_eq!((carried(&late), kit.read("k1").as_str()), ((3, Some(Uuid::from_u128(7))), "newest"));
    let other = kit.run(roll_back("k1", "s1", 8), 4).await;
    assert_eq!((carried(&other), kit.read("k1").as_str()), ((4, Some(Uuid::from_u128(8))), "old"), "control");
    assert_eq!(other.unwrap()[0].detail.as_ref().unwrap()["size_bytes"], 2 * MIB, "what has grown stays large");
    assert_eq!(value(&kit.run(observe_snapshot("k1", "s1"), 1).await), Fact::Yes, "the snapshot stays");
}

async fn an_older_rollback_is_refused_and_a_mark_forbids_one_on_its_way(kit: &Kit) {
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.write("k1", "old");
    kit.run(take("k1", "s1"), 1).await.unwrap();
    kit.write("k1", "new");
    for _ in 0..2 {
        let marked = kit.run(mark_volume("k1"), 5).await;
        assert_eq!((carried(&marked), kit.read("k1").as_str()), ((5, None), "new"));
    }
    assert_eq!(refused(&kit.run(roll_back("k1", "s1", 7), 4).await), 5);
    assert_eq!(refused(&kit.run(mark_volume("k1"), 4).await), 5);
    assert_eq!(kit.read("k1"), "new");
    kit.run(roll_back("k1", "s1", 7), 5).await.unwrap();
    assert_eq!(kit.read("k1"), "old", "control");
    assert_eq!(value(&kit.run(mark_volume("k2"), 5).await), Fact::No, "a mark makes nothing");
}

async fn what_is_exported_is_not_rolled_back(kit: &Kit) {
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.write("k1", "old");
    kit.run(take("k1", "s1"), 1).await.unwrap();
    kit.write("k1", "new");
    kit.run(export("k1", 1), 1).await.unwrap();
    let answer = kit.run(roll_back("k1", "s1", 7), 2).await;
    assert_eq!((code(&answer), kit.read("k1").as_str()), ("volume_exported", "new"));
    assert!(matches!(answer, Err(Stopped::Failed { retry: Retry::Later, .. })));
    kit.run(unexport("k1", 1), 2).await.unwrap();
    kit.run(roll_back("k1", "s1", 7), 2).await.unwrap();
    assert_eq!(kit.read("k1"), "old", "control");
    kit.run(export("k1", 2), 3).await.unwrap();
    kit.write("k1", "newest");
    let late = kit.run(roll_back("k1", "s1", 7), 2).await;
    assert_eq!((carried(&late).1, kit.read("k1").as_str()), (Some(Uuid::from_u128(7)), "newest"), "done long ago");
}

async fn a_rollback_to_nothing_changes_nothing(kit: &Kit) {
    assert_eq!(code(&kit.run(roll_back("k1", "s1", 7), 2).await), "volume_missing");
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.write("k1", "new");
    let answer = kit.run(roll_back("k1", "s1", 7), 2).await;
    assert_eq!((code(&answer), kit.read("k1").as_str()), ("snapshot_missing", "new"));
    assert!(matches!(answer, Err(Stopped::Failed { retry: Retry::Never, .. })));
    let seen = kit.run(observe("k1"), 1).await;
    assert_eq!(carried(&seen), (1, None));
}

async fn a_volume_with_snapshots_is_not_deleted(kit: &Kit) {
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.run(create("k10", MIB), 1).await.unwrap();
    kit.run(take("k10", "s1"), 1).await.unwrap();
    assert_eq!(code(&kit.run(delete("k10"), 2).await), "volume_has_snapshots");
    assert_eq!(value(&kit.run(delete("k1"), 2).await), Fact::No, "another's snapshot holds nothing");
    kit.run(drop_snapshot("k10", "s1"), 2).await.unwrap();
    assert_eq!(value(&kit.run(delete("k10"), 2).await), Fact::No, "control");
    assert_eq!(kit.things().await, []);
}

async fn a_snapshot_of_a_volume_in_use_is_of_one_moment_or_refused(kit: &Kit) {
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.write("k1", "old");
    kit.run(export("k1", 1), 1).await.unwrap();
    let taken = kit.run(take("k1", "s1"), 1).await;
    if let Err(Stopped::Failed { code, retry, facts, .. }) = &taken {
        // A file system that cannot clone: a copy that takes its time would be of no moment.
        assert_ne!(kit.place.drivers, Drivers::Sim);
        assert_eq!((code.as_str(), *retry, facts[0].value), ("snapshot_needs_detached", Retry::Never, Fact::No));
        kit.run(unexport("k1", 1), 2).await.unwrap();
        return assert_eq!(value(&kit.run(take("k1", "s1"), 1).await), Fact::Yes, "control");
    }
    assert_eq!(value(&taken), Fact::Yes);
    kit.write("k1", "new");
    kit.run(unexport("k1", 1), 2).await.unwrap();
    kit.run(roll_back("k1", "s1", 7), 2).await.unwrap();
    assert_eq!(kit.read("k1"), "old");
}

async fn an_older_snapshot_job_is_refused(kit: &Kit) {
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.run(take("k1", "s1"), 5).await.unwrap();
    assert_eq!(refused(&kit.run(take("k1", "s1"), 4).await), 5);
    assert_eq!(refused(&kit.run(drop_snapshot("k1", "s1"), 4).await), 5);
    assert_eq!(kit.run(take("k1", "s1"), 6).await.unwrap()[0].generation, 6);
    assert_eq!(value(&kit.run(drop_snapshot("k1", "s1"), 6).await), Fact::No, "control");
}

async fn a_snapshot_of_another_installation_or_owner_is_not_touched(kit: &Kit) {
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.write("k1", "old");
    kit.run(take("k1", "s1"), 1).await.unwrap();
    let other = Standing::new(Uuid::from_u128(99), 1);
    let jobs = [take("k1", "s1"), drop_snapshot("k1", "s1"), observe_snapshot("k1", "s1"), mark_volume("k1")];
    for job in jobs.into_iter().chain([roll_back("k1", "s1", 7)]) {
        assert_eq!(code(&kit.run_as(job.clone(), 100, &other).await), "foreign_thing", "{}", job.kind());
    }
    let Job::RollBackVolume(mut wrong) = roll_back("k1", "s1", 7) else { unreachable!("it is one") };
    wrong.snapshot = "snap-other".parse().unwrap();
    kit.write("k1", "new");
    assert_eq!(code(&kit.run(Job::RollBackVolume(wrong), 100).await), "foreign_thing");
    assert_eq!(kit.read("k1"), "new");
    kit.sta().joined(other).await;
    assert!(kit.list().await.things.iter().all(|thing| thing.facts.is_empty()), "listed without facts");
}

fn size_of(answer: &Result<Vec<FactReport>, Stopped>) -> u64 {
    let seen: SeenVolume = serde_json::from_value(answer.as_ref().unwrap()[0].detail.clone().unwrap()).unwrap();
    seen.size_bytes
}

async fn a_volume_of_a_snapshot_begins_with_its_bytes_and_lives_on_without_it(kit: &Kit) {
    kit.run(create("k1", 2 * MIB), 1).await.unwrap();
    kit.write("k1", "old");
    kit.run(take("k1", "s1"), 1).await.unwrap();
    kit.write("k1", "new");
    let made = kit.run(clone_of("k2", 4 * MIB, ("k1", "s1")), 1).await;
    assert_eq!((value(&made), size_of(&made), kit.read("k2").as_str()), (Fact::Yes, 4 * MIB, "old"));
    assert_eq!(made.unwrap()[0].thing, "vol-k2");
    kit.write("k2", "mine");
    let again = kit.run(clone_of("k2", 4 * MIB, ("k1", "s1")), 2).await;
    assert_eq!((size_of(&again), kit.read("k2").as_str()), (4 * MIB, "mine"), "what is there is never made again");
    assert_eq!(kit.read("k1"), "new", "the other volume has nothing of it");
    kit.run(roll_back("k1", "s1", 7), 2).await.unwrap();
    assert_eq!((kit.read("k1").as_str(), kit.read("k2").as_str()), ("old", "mine"));

    assert_eq!(value(&kit.run(drop_snapshot("k1", "s1"), 2).await), Fact::No);
    assert_eq!(value(&kit.run(observe_snapshot("k1", "s1"), 2).await), Fact::No);
    let volumes = [("volume".to_owned(), "k1".to_owned()), ("volume".to_owned(), "k2".to_owned())];
    assert_eq!(kit.things().await, volumes, "a deleted snapshot is not listed, whatever is made of it");
    for _ in 0..2 {
        assert_eq!(value(&kit.run(delete("k1"), 3).await), Fact::No);
    }
    assert_eq!((kit.things().await, kit.read("k2").as_str()), (volumes[1..].to_vec(), "mine"));
    kit.run(take("k2", "s2"), 1).await.unwrap();
    kit.write("k2", "worse");
    kit.run(roll_back("k2", "s2", 8), 3).await.unwrap();
    assert_eq!(kit.read("k2"), "mine", "a volume like any other");
    kit.run(drop_snapshot("k2", "s2"), 2).await.unwrap();
    assert_eq!(value(&kit.run(delete("k2"), 4).await), Fact::No);
    assert_eq!(kit.things().await, []);
}

async fn a_volume_of_a_snapshot_that_cannot_be_leaves_nothing(kit: &Kit) {
    kit.run(create("k1", 2 * MIB), 1).await.unwrap();
    let missing = kit.run(clone_of("k2", 2 * MIB, ("k1", "s1")), 1).await;
    assert_eq!(code(&missing), "snapshot_missing");
    assert!(matches!(missing, Err(Stopped::Failed { retry: Retry::Never, .. })));
    kit.run(take("k1", "s1"), 1).await.unwrap();
    assert_eq!(code(&kit.run(clone_of("k2", MIB, ("k1", "s1")), 1).await), "volume_too_small");
    let Job::CreateVolume(mut other) = clone_of("k2", 2 * MIB, ("k1", "s1")) else { unreachable!("it is one") };
    if let Some(from) = &mut other.snapshot {
        from.snapshot = "snap-other".parse().unwrap();
    }
    assert_eq!(code(&kit.run(Job::CreateVolume(other), 1).await), "foreign_thing");
    assert_eq!(kit.things().await.len(), 2, "{:?}", kit.things().await);
    assert_eq!(value(&kit.run(clone_of("k2", 2 * MIB, ("k1", "s1")), 1).await), Fact::Yes, "control");
}

async fn volumes_of_volumes_keep_their_bytes_in_whatever_order_the_others_go(kit: &Kit) {
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.write("k1", "one");
    kit.run(take("k1", "s1"), 1).await.unwrap();
    kit.write("k1", "two");
    kit.run(take("k1", "s2"), 1).await.unwrap();
    kit.run(clone_of("k2", MIB, ("k1", "s1")), 1).await.unwrap();
    kit.run(clone_of("k3", MIB, ("k1", "s2")), 1).await.unwrap();
    kit.run(clone_of("k4", MIB, ("k1", "s2")), 1).await.unwrap();
    kit.write("k2", "three");
    kit.run(take("k2", "s3"), 1).await.unwrap();
    kit.run(clone_of("k5", MIB, ("k2", "s3")), 1).await.unwrap();
    for (volume, snapshot) in [("k1", "s1"), ("k1", "s2"), ("k2", "s3")] {
        assert_eq!(value(&kit.run(drop_snapshot(volume, snapshot), 2).await), Fact::No);
    }
    // The one in the middle of two first, then where all of them come from.
    let mut left = vec![("k2", "three"), ("k1", "two"), ("k4", "two"), ("k3", "two"), ("k5", "three")];
    while !left.is_empty() {
        for (key, holds) in &left {
            assert_eq!(kit.read(key), *holds, "{key}");
        }
        let (key, _) = left.remove(0);
        assert_eq!(value(&kit.run(delete(key), 3).await), Fact::No, "{key}");
        assert_eq!(kit.things().await.len(), left.len(), "{key}");
    }
}
