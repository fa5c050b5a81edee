//! The process dies at every named point; the next one starts, runs the job again, and all is as it should be.

use crate::backups::{backup, restore_of, write};
use crate::kit::*;
use arame_framework::agent::{Agent, Stopped};
use arame_schema::jobs::hva::DiskFormat;
use arame_schema::jobs::sta::ImportImage;
use arame_schema::jobs::{Envelope, Job};
use arame_schema::model::Fact;
use arame_sta::faults::{Action, Fault};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use uuid::Uuid;

const CHILD: &str = "ARAME_STA_TEST_CRASH";

/// The process that dies: opens the agent of the folder in the environment and runs its job. Not a test by itself.
#[tokio::test]
async fn child() {
    let Ok(order) = std::env::var(CHILD) else { return };
    let order: serde_json::Value = serde_json::from_str(&order).unwrap();
    let text = |name: &str| order[name].as_str().unwrap().to_owned();
    let place = Place {
        pool: order["pool"].as_str().map(str::to_owned),
        allowed: ALLOWED,
        keep_free_mib: None,
        disk_mib: None,
        silence_seconds: 60,
        iqn_prefix: text("iqn_prefix"),
        root: text("root").into(),
        drivers: if order["pool"].is_null() { Drivers::FileTgt } else { Drivers::ZfsLio },
        portal: text("portal"),
        faults: vec![Fault { at: text("at"), action: Action::Crash, times: 1 }],
    };
    let envelope: Envelope = serde_json::from_value(order["envelope"].clone()).unwrap();
    let job = envelope.job().unwrap();
    let sta = place.open().await.unwrap();
    let answer = sta.handle(job.clone(), work(&job, envelope.generation, &standing())).await;
    panic!("the point was never reached: {answer:?}");
}

/// Set where a process only serves what is in its folder, until it is killed.
pub const CHILD_SERVES: &str = "ARAME_STA_TEST_SERVES";

/// The process that serves. Not a test by itself.
#[tokio::test]
async fn child_that_serves() {
    let Ok(order) = std::env::var(CHILD_SERVES) else { return };
    let order: serde_json::Value = serde_json::from_str(&order).unwrap();
    let place = Place {
        pool: order["pool"].as_str().map(str::to_owned),
        allowed: ALLOWED,
        keep_free_mib: None,
        disk_mib: None,
        silence_seconds: 60,
        iqn_prefix: IQN_PREFIX.to_owned(),
        root: order["root"].as_str().unwrap().into(),
        drivers: if order["pool"].is_null() { Drivers::File } else { Drivers::Zfs },
        portal: "127.0.0.1:1".to_owned(),
        faults: Vec::new(),
    };
    let sta = place.open().await.unwrap();
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], order["port"].as_u64().unwrap() as u16));
    arame_sta::http::serve(arame_sta::http::bind(listen).await.unwrap(), sta.shelf()).await;
}

pub fn crash(kit: &Kit, at: &str, job: &Job, generation: u64) {
    let envelope = Envelope {
        v: 1,
        id: Uuid::new_v4(),
        kind: job.kind().to_owned(),
        agent: "sta.s1".parse().unwrap(),
        incarnation: 1,
        epoch: 1,
        thing: String::new(),
        generation,
        budget_ms: 60_000,
        body: Envelope::body_of(job),
        traceparent: None,
    };
    let Place { root, portal, pool, iqn_prefix, .. } = &kit.place;
    let order = serde_json::json!({
        "root": root, "portal": portal, "pool": pool, "iqn_prefix": iqn_prefix, "at": at, "envelope": envelope,
    });
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture"])
        .env(CHILD, order.to_string())
        .current_dir(&kit.place.root)
        .output()
        .unwrap();
    assert_eq!(output.status.signal(), Some(6), "{at}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Prepares, lets a process die at the point, and answers the next process.
async fn dies(before: &[(Job, u64)], at: &str, job: &Job, generation: u64) -> Option<Kit> {
    dies_with(Drivers::FileTgt, before, at, job, generation).await
}

async fn dies_with(drivers: Drivers, before: &[(Job, u64)], at: &str, job: &Job, generation: u64) -> Option<Kit> {
    let kit = Kit::new(drivers).await?;
    for (job, generation) in before {
        kit.run(job.clone(), *generation).await.unwrap();
    }
    let kit = kit.release().await;
    crash(&kit, at, job, generation);
    let kit = kit.restart().await;
    assert!(!kit.data_files().iter().any(|name| name.starts_with(".tmp-")), "{at}: {:?}", kit.data_files());
    Some(kit)
}

async fn converges(before: &[(Job, u64)], points: &[&str], job: Job, generation: u64, end: Fact) {
    converges_with(Drivers::FileTgt, before, points, job, generation, end).await;
}

async fn converges_with(
    drivers: Drivers,
    before: &[(Job, u64)],
    points: &[&str],
    job: Job,
    generation: u64,
    end: Fact,
) {
    for at in points {
        let Some(kit) = dies_with(drivers, before, at, &job, generation).await else { return };
        for _ in 0..2 {
            assert_eq!(value(&kit.run(job.clone(), generation).await), end, "{at}");
        }
        let clean = [(unexport("k1", 9), 100), (drop_snapshot("k1", "s1"), 100), (delete("k1"), 100)];
        for (job, generation) in clean {
            assert_eq!(value(&kit.run(job, generation).await), Fact::No, "{at}");
        }
        assert!(kit.things().await.iter().all(|(kind, _)| kind == "image"), "{at}: {:?}", kit.things().await);
    }
}

#[tokio::test]
async fn a_creation_killed_at_any_point_converges() {
    let points = [
        "sta.volume.create:before",
        "create_volume:before",
        "create_volume:sized",
        "create_volume:marked",
        "create_volume:after",
        "sta.volume.create:answer",
    ];
    converges(&[], &points, create("k1", MIB), 1, Fact::Yes).await;
    converges(&[(create("k1", MIB), 1)], &["update_volume:sized"], create("k1", 2 * MIB), 2, Fact::Yes).await;
}

#[tokio::test]
async fn a_deletion_killed_at_any_point_converges() {
    let points = ["delete_volume:before", "delete_volume:after", "sta.volume.delete:answer"];
    converges(&[(create("k1", MIB), 1)], &points, delete("k1"), 2, Fact::No).await;
}

#[tokio::test]
async fn a_snapshot_killed_at_any_point_converges() {
    let before = [(create("k1", MIB), 1)];
    let points = [
        "sta.snapshot.create:before",
        "create_snapshot:before",
        "create_snapshot:marked",
        "create_snapshot:after",
        "sta.snapshot.create:answer",
    ];
    converges(&before, &points, take("k1", "s1"), 1, Fact::Yes).await;
    let before = [(create("k1", MIB), 1), (take("k1", "s1"), 1)];
    let points = ["delete_snapshot:before", "delete_snapshot:after", "sta.snapshot.delete:answer"];
    converges(&before, &points, drop_snapshot("k1", "s1"), 2, Fact::No).await;
}

/// Of the volume `k2` that is made of `k1@s1`, and of the end of `k1`.
async fn clones_converge(drivers: Drivers, makes: &[&str], ends: &[&str]) {
    let before = [(create("k1", MIB), 1), (take("k1", "s1"), 1)];
    let clone = clone_of("k2", 2 * MIB, ("k1", "s1"));
    for at in makes {
        let Some(kit) = dies_with(drivers, &before, at, &clone, 1).await else { return };
        for _ in 0..2 {
            let answer = kit.run(clone.clone(), 1).await;
            assert_eq!(value(&answer), Fact::Yes, "{at}");
            assert_eq!(answer.unwrap()[0].detail.as_ref().unwrap()["size_bytes"], 2 * MIB, "{at}");
        }
        kit.write("k2", "mine");
        for (job, generation) in [(drop_snapshot("k1", "s1"), 2), (delete("k1"), 2)] {
            assert_eq!(value(&kit.run(job, generation).await), Fact::No, "{at}");
        }
        assert_eq!(kit.read("k2"), "mine", "{at}");
        assert_eq!(value(&kit.run(delete("k2"), 2).await), Fact::No, "{at}");
        assert_eq!(kit.things().await, [], "{at}");
    }
    let before = [&before[..], &[(clone, 1), (drop_snapshot("k1", "s1"), 2)]].concat();
    for at in ends {
        let Some(kit) = dies_with(drivers, &before, at, &delete("k1"), 3).await else { return };
        kit.write("k2", "mine");
        for _ in 0..2 {
            assert_eq!(value(&kit.run(delete("k1"), 3).await), Fact::No, "{at}");
        }
        assert_eq!(kit.read("k2"), "mine", "{at}");
        assert_eq!(value(&kit.run(delete("k2"), 2).await), Fact::No, "{at}");
        assert_eq!(kit.things().await, [], "{at}");
    }
}

#[tokio::test]
async fn a_volume_of_a_snapshot_killed_at_any_point_converges() {
    let makes = ["create_volume:before", "create_volume:copied", "create_volume:sized", "create_volume:after"];
    clones_converge(Drivers::FileTgt, &makes, &["delete_volume:before", "delete_volume:after"]).await;
}

#[tokio::test]
#[ignore = "sent to the lab machine"]
async fn with_zfs_and_lio_a_volume_of_a_snapshot_killed_at_any_point_converges() {
    let makes = ["create_volume:before", "create_volume:cloned", "create_volume:after"];
    let ends = ["delete_volume:before", "delete_volume:handed_over", "delete_volume:after"];
    clones_converge(Drivers::ZfsLio, &makes, &ends).await;
}

#[tokio::test]
async fn a_backup_or_restore_killed_at_any_point_leaves_nothing_half_made() {
    let size = 24 * MIB;
    let before = [(create("k1", size), 1), (Job::SnapshotBackup(backup("a", "k1")), 1)];
    let temporary = |kit: &Kit| -> Vec<String> {
        let names = std::fs::read_dir(kit.place.root.join("backups")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(".tmp-")).collect()
    };
    for at in [
        "sta.backup.write:before",
        "write_backup:before",
        "write_backup:halfway",
        "write_backup:marked",
        "write_backup:after",
        "sta.backup.write:answer",
    ] {
        let Some(kit) = dies(&before, at, &write("a", "k1"), 1).await else { return };
        assert!(temporary(&kit).is_empty(), "{at}: {:?}", temporary(&kit));
        for _ in 0..2 {
            let facts = kit.run(write("a", "k1"), 1).await.unwrap();
            assert!(facts.iter().all(|fact| fact.value == Fact::Yes), "{at}: {facts:?}");
        }
        kit.run(Job::DropBackup(backup("a", "k1")), 1).await.unwrap();
        assert_eq!(kit.things().await.len(), 2, "{at}: the volume and its backup");
    }
    let Some(kit) = Kit::new(Drivers::FileTgt).await else { return };
    for (job, generation) in before.iter().cloned().chain([(write("a", "k1"), 1)]) {
        kit.run(job, generation).await.unwrap();
    }
    let facts = kit.run(Job::ObserveBackup(backup("a", "k1")), 1).await.unwrap();
    let told = facts.into_iter().find_map(|fact| fact.detail?["sha256"].as_str().map(str::to_owned)).unwrap();
    let before: Vec<(Job, u64)> = before.into_iter().chain([(write("a", "k1"), 1)]).collect();
    for at in ["restore_volume:before", "restore_volume:marked", "restore_volume:after", "sta.volume.create:answer"] {
        let job = restore_of("k2", size, &told);
        let Some(kit) = dies(&before, at, &job, 1).await else { return };
        assert_eq!(value(&kit.run(job, 1).await), Fact::Yes, "{at}");
    }
}

#[tokio::test]
async fn a_rollback_killed_at_any_point_is_done_once() {
    for at in [
        "sta.volume.rollback:before",
        "roll_back:before",
        "roll_back:marked",
        "roll_back:renamed",
        "roll_back:after",
        "sta.volume.rollback:answer",
    ] {
        let Some(kit) = Kit::new(Drivers::FileTgt).await else { return };
        kit.run(create("k1", MIB), 1).await.unwrap();
        kit.write("k1", "old");
        kit.run(take("k1", "s1"), 1).await.unwrap();
        kit.write("k1", "new");
        let kit = kit.release().await;
        crash(&kit, at, &roll_back("k1", "s1", 7), 2);
        let kit = kit.restart().await;
        let undone = ["sta.volume.rollback:before", "roll_back:before", "roll_back:marked"].contains(&at);
        assert_eq!(kit.read("k1"), if undone { "new" } else { "old" }, "{at}: whole or not at all");
        assert_eq!(value(&kit.run(roll_back("k1", "s1", 7), 2).await), Fact::Yes, "{at}");
        assert_eq!(kit.read("k1"), "old", "{at}");
        kit.write("k1", "newest");
        assert_eq!(value(&kit.run(roll_back("k1", "s1", 7), 2).await), Fact::Yes, "{at}");
        assert_eq!(kit.read("k1"), "newest", "{at}: what was written after it stays");
        assert!(!kit.data_files().iter().any(|name| name.starts_with(".tmp-")), "{at}: {:?}", kit.data_files());
    }
}

const EXPORT_POINTS: [&str; 9] = [
    "export:before",
    "export:remembered",
    "export:target",
    "export:lun",
    "export:account",
    "export:bound",
    "export:allowed",
    "export:after",
    "sta.volume.export:answer",
];

const UNEXPORT_POINTS: [&str; 7] = [
    "unexport:before",
    "unexport:denied",
    "unexport:closed",
    "unexport:target",
    "unexport:account",
    "unexport:after",
    "sta.volume.unexport:answer",
];

/// That the volume can be deleted in the end says too that the target daemon has let go of it.
async fn exports_and_unexports_converge(drivers: Drivers) {
    let before = [(create("k1", MIB), 1)];
    converges_with(drivers, &before, &EXPORT_POINTS, export("k1", 1), 1, Fact::Yes).await;
    let before = [(create("k1", MIB), 1), (export("k1", 1), 1)];
    converges_with(drivers, &before, &UNEXPORT_POINTS, unexport("k1", 1), 2, Fact::No).await;
}

#[tokio::test]
async fn an_export_and_an_unexport_killed_at_any_point_converge() {
    exports_and_unexports_converge(Drivers::FileTgt).await;
}

#[tokio::test]
#[ignore = "sent to the lab machine"]
async fn with_zfs_and_lio_an_export_and_an_unexport_killed_at_any_point_converge() {
    exports_and_unexports_converge(Drivers::ZfsLio).await;
}

#[tokio::test]
async fn a_fence_killed_at_any_point_is_proved_by_the_next_process() {
    a_fence_is_proved_by_the_next_process(Drivers::FileTgt).await;
}

#[tokio::test]
#[ignore = "sent to the lab machine"]
async fn with_zfs_and_lio_a_fence_killed_at_any_point_is_proved_by_the_next_process() {
    a_fence_is_proved_by_the_next_process(Drivers::ZfsLio).await;
}

async fn a_fence_is_proved_by_the_next_process(drivers: Drivers) {
    let before = [(create("k1", MIB), 1), (export("k1", 1), 1)];
    let points = [
        "sta.volume.fence:before",
        "unexport:before",
        "unexport:denied",
        "unexport:closed",
        "unexport:target",
        "unexport:account",
        "unexport:after",
        "fence:removed",
        "fence:refused",
        "sta.volume.fence:answer",
    ];
    for at in points {
        let Some(kit) = dies_with(drivers, &before, at, &fence("k1", 1), 2).await else { return };
        let answer = kit.run(fence("k1", 1), 2).await;
        assert_eq!(value(&answer), Fact::No, "{at}");
        assert_eq!(answer.unwrap()[0].detail.as_ref().unwrap()["refusal"], "closed", "{at}");
        assert_eq!(kit.accounts(), [] as [&str; 0], "{at}");
        let late = kit.run(export("k1", 1), 1).await;
        assert!(matches!(late, Err(Stopped::Refused { .. })), "{at}: {late:?}");
    }
}

#[tokio::test]
async fn a_half_removed_target_of_an_older_epoch_leaves_no_account() {
    let before = [(create("k1", MIB), 1), (export("k1", 1), 1)];
    for at in ["unexport:denied", "unexport:target", "unexport:account"] {
        let Some(kit) = dies(&before, at, &export("k1", 2), 2).await else { return };
        assert_eq!(value(&kit.run(export("k1", 2), 2).await), Fact::Yes, "{at}");
        assert_eq!(kit.accounts(), ["att-k1-2"], "{at}");
        assert_eq!(value(&kit.run(unexport("k1", 2), 3).await), Fact::No, "{at}");
        assert_eq!(kit.accounts(), [] as [&str; 0], "{at}");
    }
}

#[tokio::test]
async fn an_import_killed_at_any_point_converges_and_leaves_no_temporary_file() {
    for at in [
        "import_image:before",
        "import_image:copied",
        "import_image:marked",
        "import_image:after",
        "sta.image.import:answer",
    ] {
        let Some(kit) = Kit::new(Drivers::FileTgt).await else { return };
        let image: ImportImage = kit.image("a", &[7; 100_000], DiskFormat::Raw);
        let job = Job::ImportImage(image.clone());
        let kit = kit.release().await;
        crash(&kit, at, &job, 1);
        if at == "import_image:copied" {
            assert!(kit.data_files().iter().any(|name| name.starts_with(".tmp-")), "control: it died half-way");
        }
        let kit = kit.restart().await;
        assert!(!kit.data_files().iter().any(|name| name.starts_with(".tmp-")), "{at}: {:?}", kit.data_files());
        for _ in 0..2 {
            assert_eq!(value(&kit.run(job.clone(), 1).await), Fact::Yes, "{at}");
        }
        assert_eq!(value(&kit.run(remove_image(&image), 2).await), Fact::No, "{at}");
        assert_eq!(kit.data_files(), [] as [&str; 0]);
    }
}

#[tokio::test]
async fn a_deletion_of_an_image_killed_at_any_point_converges() {
    for at in ["delete_image:before", "delete_image:after", "sta.image.delete:answer"] {
        let Some(kit) = Kit::new(Drivers::FileTgt).await else { return };
        let image = kit.image("a", &[7; 1000], DiskFormat::Raw);
        kit.run(Job::ImportImage(image.clone()), 1).await.unwrap();
        let kit = kit.release().await;
        crash(&kit, at, &remove_image(&image), 2);
        let kit = kit.restart().await;
        assert_eq!(value(&kit.run(remove_image(&image), 2).await), Fact::No, "{at}");
        assert_eq!(kit.data_files(), [] as [&str; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_killed_at_any_point_converges_and_leaves_no_temporary_file() {
    let stranger = crate::stranger::Stranger::new(|_| crate::stranger::Say::Whole(vec![7; 100_000])).await;
    for at in ["import_image:before", "import_image:marked", "import_image:after", "sta.image.import:answer"] {
        let Some(kit) = Kit::new(Drivers::FileTgt).await else { return };
        let image = kit.fetch("a", &stranger.url("/a"), DiskFormat::Raw);
        let job = Job::ImportImage(image.clone());
        let kit = kit.release().await;
        crash(&kit, at, &job, 1);
        let kit = kit.restart().await;
        assert!(!kit.data_files().iter().any(|name| name.starts_with(".tmp-")), "{at}: {:?}", kit.data_files());
        for _ in 0..2 {
            assert_eq!(value(&kit.run(job.clone(), 1).await), Fact::Yes, "{at}");
        }
        assert_eq!(value(&kit.run(remove_image(&image), 2).await), Fact::No, "{at}");
        assert_eq!(kit.data_files(), [] as [&str; 0]);
    }
    assert!(stranger.asked().len() >= 6, "the fetches came from there: {:?}", stranger.asked());
}
