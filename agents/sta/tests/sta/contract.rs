//! What every pair of drivers must do, in the order a volume lives.

use crate::kit::*;
use arame_framework::agent::{Agent, Standing, Stopped};
use arame_schema::jobs::Job;
use arame_schema::jobs::hva::DiskFormat;
use arame_schema::jobs::report::{BackendStatus, Retry};
use arame_schema::jobs::sta::{ExportedTarget, FenceProof};
use arame_schema::model::{Fact, FactName};
use uuid::Uuid;

macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod with_sim { $( #[tokio::test] async fn $name() { super::on(super::Drivers::Sim, async |kit| super::$name(kit).await).await } )* }
        mod with_file { $( #[tokio::test] async fn $name() { super::on(super::Drivers::File, async |kit| super::$name(kit).await).await } )* }
        mod with_zfs { $( #[tokio::test] #[ignore = "sent to the lab machine"] async fn $name() { super::on(super::Drivers::Zfs, async |kit| super::$name(kit).await).await } )* }
        mod with_zfs_and_lio { $( #[tokio::test] #[ignore = "sent to the lab machine"] async fn $name() { super::on(super::Drivers::ZfsLio, async |kit| super::$name(kit).await).await } )* }
        mod with_file_and_tgt { $( #[tokio::test] async fn $name() { super::on(super::Drivers::FileTgt, async |kit| super::$name(kit).await).await } )* }
    };
}

contract!(
    a_volume_is_created_grown_exported_and_deleted,
    a_duplicate_job_changes_nothing,
    an_older_job_is_refused_with_the_generation_found,
    a_thing_of_another_installation_or_owner_is_not_touched,
    an_exported_volume_is_not_deleted,
    a_newer_epoch_replaces_the_older_target,
    an_older_epoch_or_a_late_export_does_not_come_back,
    a_fence_is_proved_as_often_as_asked_and_nothing_older_comes_back,
    a_fence_of_an_older_epoch_proves_nothing_of_the_newer_one,
    a_missing_volume_is_not_exported,
    deleting_what_does_not_exist_is_done,
    an_image_is_imported_verified_and_deleted,
    a_bad_image_leaves_nothing,
    a_volume_begins_with_its_images_bytes,
    a_cancelled_or_spent_job_has_no_effect,
    another_attachments_account_is_not_taken,
    two_attachments_of_one_volume_may_stand_during_a_migration,
);

async fn on(drivers: Drivers, test: impl AsyncFnOnce(&Kit)) {
    if let Some(kit) = Kit::new(drivers).await {
        test(&kit).await;
        assert!(!kit.data_files().iter().any(|name| name.starts_with(".tmp-")), "{:?}", kit.data_files());
    }
}

async fn a_volume_is_created_grown_exported_and_deleted(kit: &Kit) {
    let made = kit.run(create("k1", 16 * MIB), 1).await;
    assert_eq!(value(&made), Fact::Yes);
    let fact = &made.unwrap()[0];
    assert_eq!((fact.thing.as_str(), fact.name, fact.generation), ("vol-k1", FactName::Volume, 1));
    assert_eq!(fact.detail.as_ref().unwrap()["size_bytes"], 16 * MIB);

    let grown = kit.run(create("k1", 32 * MIB), 2).await.unwrap();
    assert_eq!((grown[0].generation, &grown[0].detail.as_ref().unwrap()["size_bytes"]), (2, &(32 * MIB).into()));
    let kept = kit.run(create("k1", 8 * MIB), 3).await.unwrap();
    assert_eq!(kept[0].detail.as_ref().unwrap()["size_bytes"], 32 * MIB, "a volume only grows");

    let exported = kit.run(export("k1", 1), 1).await.unwrap();
    assert_eq!((exported[0].name, exported[0].value), (FactName::Exported, Fact::Yes));
    let target: ExportedTarget = serde_json::from_value(exported[0].detail.clone().unwrap()).unwrap();
    assert_eq!(target.iqn, format!("{}:att-k1-1", kit.place.iqn_prefix));
    assert_eq!((target.portal.as_str(), target.lun), (kit.place.portal.as_str(), 1));

    let listing = kit.list().await;
    let names: Vec<_> = listing.things.iter().map(|thing| (thing.kind.as_str(), thing.owner.as_deref())).collect();
    assert_eq!(names, [("volume", Some("vol-k1")), ("target", Some("att-k1"))]);
    for thing in &listing.things {
        assert_eq!(thing.installation, Some(INSTALLATION));
        assert_eq!(thing.facts.iter().map(|fact| fact.value).collect::<Vec<_>>(), [Fact::Yes]);
    }

    assert_eq!(value(&kit.run(unexport("k1", 1), 2).await), Fact::No);
    assert_eq!(value(&kit.run(delete("k1"), 4).await), Fact::No);
    assert_eq!(kit.things().await, []);
}

async fn a_duplicate_job_changes_nothing(kit: &Kit) {
    for _ in 0..2 {
        assert_eq!(value(&kit.run(create("k1", MIB), 1).await), Fact::Yes);
    }
    let mut seen = Vec::new();
    for _ in 0..2 {
        let facts = kit.run(export("k1", 1), 1).await.unwrap();
        seen.push((facts[0].value, facts[0].generation, facts[0].detail.clone()));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(kit.things().await.len(), 2);
    for _ in 0..2 {
        assert_eq!(value(&kit.run(unexport("k1", 1), 2).await), Fact::No);
    }
    for _ in 0..2 {
        assert_eq!(value(&kit.run(delete("k1"), 2).await), Fact::No);
    }
}

async fn an_older_job_is_refused_with_the_generation_found(kit: &Kit) {
    kit.run(create("k1", MIB), 5).await.unwrap();
    kit.run(export("k1", 1), 7).await.unwrap();
    let image = kit.image("a", b"hello", DiskFormat::Raw);
    kit.run(Job::ImportImage(image.clone()), 9).await.unwrap();
    for (job, generation, found) in [
        (create("k1", 9 * MIB), 4, 5),
        (delete("k1"), 4, 5),
        (export("k1", 1), 6, 7),
        (unexport("k1", 1), 6, 7),
        (Job::ImportImage(image.clone()), 8, 9),
        (remove_image(&image), 8, 9),
    ] {
        match kit.run(job.clone(), generation).await {
            Err(Stopped::Refused { found_generation, facts }) => {
                assert_eq!(found_generation, found, "{}", job.kind());
                assert_eq!(facts[0].value, Fact::Yes, "{}", job.kind());
            }
            other => panic!("{}: {other:?}", job.kind()),
        }
    }
    assert_eq!(kit.run(observe("k1"), 1).await.unwrap()[0].generation, 5, "an observation refuses nothing");
    assert_eq!(kit.things().await.len(), 3);
}

async fn a_thing_of_another_installation_or_owner_is_not_touched(kit: &Kit) {
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.run(export("k1", 1), 1).await.unwrap();
    let other = Standing::new(Uuid::from_u128(99), 1);
    for job in [create("k1", 2 * MIB), delete("k1"), observe("k1"), export("k1", 2), unexport("k1", 2)] {
        let answer = kit.run_as(job.clone(), 100, &other).await;
        assert_eq!(code(&answer), "foreign_thing", "{}", job.kind());
        assert!(matches!(answer, Err(Stopped::Failed { retry: Retry::Never, .. })));
    }
    let Job::DeleteVolume(mut wrong) = delete("k1") else { unreachable!("it is one") };
    wrong.volume = "vol-other".parse().unwrap();
    assert_eq!(code(&kit.run(Job::DeleteVolume(wrong), 100).await), "foreign_thing");
    assert_eq!(kit.run(observe("k1"), 1).await.unwrap()[0].detail.as_ref().unwrap()["size_bytes"], MIB);
    assert_eq!(kit.things().await.len(), 2);

    kit.sta().joined(other).await;
    let seen = kit.list().await;
    assert!(seen.things.iter().all(|thing| thing.facts.is_empty()), "foreign things are listed without facts");
    assert_eq!(seen.things.len(), 2);
}

async fn an_exported_volume_is_not_deleted(kit: &Kit) {
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.run(export("k1", 1), 1).await.unwrap();
    let refused = kit.run(delete("k1"), 2).await;
    assert_eq!(code(&refused), "volume_exported");
    let Err(Stopped::Failed { retry, facts, .. }) = refused else { unreachable!("just seen") };
    assert_eq!((retry, facts[0].value), (Retry::Later, Fact::Yes));
    kit.run(unexport("k1", 1), 2).await.unwrap();
    assert_eq!(value(&kit.run(delete("k1"), 2).await), Fact::No, "control");
}

async fn a_newer_epoch_replaces_the_older_target(kit: &Kit) {
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.run(export("k1", 1), 1).await.unwrap();
    let second = kit.run(export("k1", 2), 2).await.unwrap();
    assert_eq!(second[0].detail.as_ref().unwrap()["iqn"], format!("{}:att-k1-2", kit.place.iqn_prefix));
    let names: Vec<_> = kit.things().await.into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["k1".to_owned(), format!("{}:att-k1-2", kit.place.iqn_prefix)]);
}

async fn an_older_epoch_or_a_late_export_does_not_come_back(kit: &Kit) {
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.run(export("k1", 2), 1).await.unwrap();
    assert_eq!(code(&kit.run(export("k1", 1), 3).await), "stale_epoch");
    assert_eq!(value(&kit.run(unexport("k1", 1), 3).await), Fact::Yes, "the newer target stays");
    assert_eq!(value(&kit.run(unexport("k1", 2), 4).await), Fact::No);
    let late = kit.run(export("k1", 2), 1).await;
    assert!(matches!(late, Err(Stopped::Refused { found_generation: 4, .. })), "{late:?}");
    assert_eq!(kit.things().await.len(), 1);
    assert_eq!(value(&kit.run(export("k1", 3), 5).await), Fact::Yes, "control: a newer wish is served");
}

async fn a_fence_is_proved_as_often_as_asked_and_nothing_older_comes_back(kit: &Kit) {
    for key in ["k1", "k3"] {
        kit.run(create(key, MIB), 1).await.unwrap();
        kit.run(export(key, 1), 1).await.unwrap();
    }
    for _ in 0..2 {
        let answer = kit.run(fence("k1", 1), 2).await;
        assert_eq!(value(&answer), Fact::No);
        let fact = &answer.unwrap()[0];
        let proof: FenceProof = serde_json::from_value(fact.detail.clone().unwrap()).unwrap();
        assert_eq!((fact.name, fact.generation), (FactName::Exported, 2));
        assert_eq!((proof.target, proof.epoch), (format!("{}:att-k1-1", kit.place.iqn_prefix), 1));
        assert_eq!((proof.initiator.as_str(), proof.refusal.as_str()), (INITIATOR, kit.place.no_such_target()));
        assert!(proof.observed <= fact.observed, "the proof is older than the look that tells of it");
        assert_eq!(kit.things().await.len(), 3, "the other's volume is served as before");
    }
    let late = kit.run(export("k1", 1), 1).await;
    assert!(matches!(late, Err(Stopped::Refused { found_generation: 2, .. })), "{late:?}");
    assert_eq!(value(&kit.run(export("k1", 2), 3).await), Fact::Yes, "control: a newer wish is served");
    assert_eq!(value(&kit.run(fence("k2", 1), 1).await), Fact::No, "what was never exported is fenced");
    let other = kit.run_as(fence("k1", 2), 100, &Standing::new(Uuid::from_u128(99), 1)).await;
    assert_eq!(code(&other), "foreign_thing");
    assert_eq!(kit.things().await.len(), 4, "another installation's is not touched");
    for (key, epoch) in [("k1", 2), ("k3", 1)] {
        let answer = kit.run(fence(key, epoch), 4).await.unwrap();
        let told = answer[0].detail.as_ref().unwrap()["refusal"].clone();
        let expected = if key == "k1" { kit.place.no_such_target() } else { "closed" };
        assert_eq!(told, expected, "without any target nobody is answered");
    }
}

async fn a_fence_of_an_older_epoch_proves_nothing_of_the_newer_one(kit: &Kit) {
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.run(export("k1", 1), 1).await.unwrap();
    kit.run(export("k1", 2), 2).await.unwrap();
    let late = kit.run(fence("k1", 1), 1).await;
    assert!(matches!(late, Err(Stopped::Refused { found_generation: 2, .. })), "{late:?}");
    let answer = kit.run(fence("k1", 1), 3).await;
    assert_eq!(value(&answer), Fact::Yes, "the newer target stays");
    let said = answer.unwrap()[0].detail.clone().unwrap();
    assert!(serde_json::from_value::<FenceProof>(said).is_err(), "and there is no proof");
    let whole = kit.run(fence("k1", 2), 3).await;
    assert_eq!(value(&whole), Fact::No, "control");
    assert!(serde_json::from_value::<FenceProof>(whole.unwrap()[0].detail.clone().unwrap()).is_ok(), "control");
}

async fn a_missing_volume_is_not_exported(kit: &Kit) {
    assert_eq!(code(&kit.run(export("k1", 1), 1).await), "volume_missing");
    assert_eq!(kit.things().await, []);
}

async fn deleting_what_does_not_exist_is_done(kit: &Kit) {
    let image = kit.image("a", b"hello", DiskFormat::Raw);
    for job in [delete("k1"), unexport("k1", 1), remove_image(&image), observe("k1")] {
        assert_eq!(value(&kit.run(job, 1).await), Fact::No);
    }
}

async fn an_image_is_imported_verified_and_deleted(kit: &Kit) {
    let mut bytes = vec![0u8; 3 * MIB as usize];
    bytes[5] = 1;
    let image = kit.image("a", &bytes, DiskFormat::Raw);
    for _ in 0..2 {
        let facts = kit.run(Job::ImportImage(image.clone()), 1).await.unwrap();
        assert_eq!((facts[0].name, facts[0].value), (FactName::Image, Fact::Yes));
        assert_eq!(facts[0].detail.as_ref().unwrap()["url"], "http://storage:9080/images/wmi-a");
    }
    let other = kit.image("a", b"other bytes", DiskFormat::Raw);
    assert_eq!(code(&kit.run(Job::ImportImage(other), 2).await), "image_checksum_mismatch");
    let again = kit.run(Job::ImportImage(image.clone()), 3).await.unwrap();
    assert_eq!(again[0].generation, 3);
    assert_eq!(kit.things().await, [("image".to_owned(), "wmi-a".to_owned())]);
    assert_eq!(value(&kit.run(remove_image(&image), 4).await), Fact::No);
    assert_eq!(kit.things().await, []);
}

async fn a_bad_image_leaves_nothing(kit: &Kit) {
    let good = kit.image("a", &[7; 4096], DiskFormat::Raw);
    let (mut wrong_sum, mut short, mut long, mut elsewhere, mut none) =
        (good.clone(), good.clone(), good.clone(), good.clone(), good.clone());
    wrong_sum.sha256 = Some("00".repeat(32));
    short.size_bytes = Some(4095);
    long.size_bytes = Some(4097);
    elsewhere.source = "file:///etc/hostname".into();
    none.source += ".none";
    let not_qcow2 = kit.image("b", &[7; 4096], DiskFormat::Qcow2);
    let mut backed = b"QFI\xfb\0\0\0\x03\0\0\0\0\0\0\x02\0".to_vec();
    backed.resize(4096, 0);
    let hidden = kit.image("c", &backed, DiskFormat::Raw);
    let refers = kit.image("d", &backed, DiskFormat::Qcow2);
    for (job, expected) in [
        (wrong_sum, "image_checksum_mismatch"),
        (short, "image_checksum_mismatch"),
        (long, "image_checksum_mismatch"),
        (elsewhere, "image_refused"),
        (none, "image_source_missing"),
        (not_qcow2, "image_broken"),
        (hidden, "image_broken"),
        (refers, "image_refused"),
    ] {
        let answer = kit.run(Job::ImportImage(job.clone()), 1).await;
        assert_eq!(code(&answer), expected, "{answer:?}");
        let Err(Stopped::Failed { facts, .. }) = answer else { unreachable!("just seen") };
        assert_eq!(facts[0].value, Fact::No);
        assert_eq!(kit.things().await, []);
    }
    assert_eq!(value(&kit.run(Job::ImportImage(good), 1).await), Fact::Yes, "control");
}

async fn a_volume_begins_with_its_images_bytes(kit: &Kit) {
    let mut bytes = vec![0u8; 5 * MIB as usize];
    for (at, byte) in bytes.iter_mut().enumerate().skip(2 * MIB as usize).take(100_000) {
        *byte = at as u8;
    }
    let image = kit.image("a", &bytes, DiskFormat::Raw);
    assert_eq!(code(&kit.run(create_from("k1", 16 * MIB, &image), 1).await), "image_missing");
    kit.run(Job::ImportImage(image.clone()), 1).await.unwrap();
    assert_eq!(code(&kit.run(create_from("k1", 4 * MIB, &image), 1).await), "volume_too_small");
    let made = kit.run(create_from("k1", 16 * MIB, &image), 1).await;
    assert_eq!(value(&made), Fact::Yes);
    if kit.place.drivers != Drivers::Sim {
        let volume = std::fs::read(kit.volume_file("k1")).unwrap();
        assert_eq!(volume.len() as u64, 16 * MIB);
        assert_eq!(volume[..bytes.len()], bytes);
        assert!(volume[bytes.len()..].iter().all(|byte| *byte == 0));
    }
}

async fn a_cancelled_or_spent_job_has_no_effect(kit: &Kit) {
    let job = create("k1", MIB);
    let cancelled = work(&job, 1, &kit.standing);
    cancelled.cancelled().cancel();
    assert!(matches!(kit.sta().handle(job.clone(), cancelled).await, Err(Stopped::Overtaken { .. })));
    assert_eq!(kit.things().await, []);
    assert_eq!(value(&kit.run(job, 1).await), Fact::Yes, "control");
}

async fn another_attachments_account_is_not_taken(kit: &Kit) {
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.run(create("k2", MIB), 1).await.unwrap();
    kit.run(export("k1", 1), 1).await.unwrap();
    let mut thief = export_body("k2", 1);
    thief.chap_user = export_body("k1", 1).chap_user;
    assert_eq!(code(&kit.run(Job::ExportVolume(thief), 1).await), "foreign_thing");
    assert_eq!(kit.things().await.len(), 3);
    assert_eq!(value(&kit.run(export("k2", 1), 1).await), Fact::Yes, "control");
}

async fn two_attachments_of_one_volume_may_stand_during_a_migration(kit: &Kit) {
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.run(export("k1", 1), 1).await.unwrap();
    let mut second = export_body("k1", 1);
    second.attachment = "att-second".parse().unwrap();
    second.chap_user = "second".into();
    second.initiator_iqn = "iqn.2026-11.jp.arame:h2".into();
    assert_eq!(value(&kit.run(Job::ExportVolume(second), 1).await), Fact::Yes);
    assert_eq!(kit.things().await.len(), 3);
    assert_eq!(value(&kit.run(unexport("k1", 1), 2).await), Fact::No);
    assert_eq!(code(&kit.run(delete("k1"), 2).await), "volume_exported");
}

mod across_a_restart {
    use super::*;

    async fn outlives_the_process(drivers: Drivers) {
        let Some(kit) = Kit::new(drivers).await else { return };
        kit.run(create("k1", MIB), 3).await.unwrap();
        kit.run(export("k1", 1), 3).await.unwrap();
        let image = kit.image("a", b"hello", DiskFormat::Raw);
        kit.run(Job::ImportImage(image), 4).await.unwrap();
        let plain = |listing: arame_framework::agent::Listing| {
            assert!(listing.backends.iter().all(|backend| backend.status == BackendStatus::Complete));
            listing.things.into_iter().map(|thing| (thing.name, thing.owner, thing.generation)).collect::<Vec<_>>()
        };
        let before = plain(kit.list().await);
        assert_eq!(before.len(), 3);
        let kit = kit.restart().await;
        assert_eq!(plain(kit.list().await), before, "{drivers:?}");
        let late = kit.run(unexport("k1", 1), 2).await;
        assert!(matches!(late, Err(Stopped::Refused { found_generation: 3, .. })), "{late:?}");
    }

    #[tokio::test]
    async fn the_world_outlives_the_process() {
        for drivers in [Drivers::Sim, Drivers::File, Drivers::FileTgt] {
            outlives_the_process(drivers).await;
        }
    }

    mod with_zfs {
        #[tokio::test]
        #[ignore = "sent to the lab machine"]
        async fn the_world_outlives_the_process() {
            super::outlives_the_process(super::Drivers::Zfs).await;
        }

        #[tokio::test]
        #[ignore = "sent to the lab machine"]
        async fn the_world_with_its_exports_outlives_the_process() {
            super::outlives_the_process(super::Drivers::ZfsLio).await;
        }
    }
}
