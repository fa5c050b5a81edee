//! Every part's conditions, and the verdict where several are wrong.

use super::*;
use arame_schema::api::catalogue;
use arame_schema::jobs::sta::path::PathVolume;
use arame_schema::model::volume::VolumeState;
use serde_json::json;

fn volume() -> Volume {
    let at = "2026-11-23 00:00:00 UTC";
    serde_json::from_value(json!({
        "id": "vol-a", "account_id": "a-demo", "uuid": "vol-a", "status": "online", "state": VolumeState::Attached, "size": 1 << 30,
        "instance_id": "i-a", "guest_device_name": "/dev/disk/by-id/virtio-k1", "created_at": at, "updated_at": at,
        "service_type": "std", "volume_type": "x", "store_type": "shared", "generation": 3,
    }))
    .unwrap()
}

fn host(status: &str) -> HostNode {
    let at = "2026-11-23 00:00:00 UTC";
    serde_json::from_value(json!({
        "id": "hn-h1", "uuid": "hn-h1", "created_at": at, "updated_at": at, "node_id": "hva.h1", "arch": "x86_64",
        "hypervisor": "kvm", "offering_cpu_cores": 1, "offering_memory_size": 1, "offering_disk_space_mb": 1,
        "scheduling_enabled": true, "status": status, "used_cpu_cores": 0, "used_memory_size": 0, "used_disk_space_mb": 0,
        "cpu_allocation_percent": 100, "reserved_memory_size": 0, "reserved_disk_space_mb": 0, "instances": 1, "driver": "kvm",
        "last_seen_at": at,
    }))
    .unwrap()
}

fn node(status: &str, degraded: Option<&str>) -> StorageNode {
    let at = "2026-11-23 00:00:00 UTC";
    serde_json::from_value(json!({
        "id": "sn-s1", "uuid": "sn-s1", "node_id": "sta.s1", "offering_disk_space_mb": 1, "storage_type": "zfs", "created_at": at,
        "updated_at": at, "scheduling_enabled": true, "status": status, "used_disk_space_mb": 1, "volumes": 1,
        "last_seen_at": at, "degraded": degraded,
    }))
    .unwrap()
}

fn open() -> AttachedRow {
    AttachedRow {
        id: "att-a".into(),
        instance: "i-a".into(),
        epoch: 2,
        wanted: true,
        forced: false,
        fencing: false,
        plugged: Fact::Yes,
        power: Fact::Yes,
        state: "running".into(),
        failure: None,
        host: Some("hn-h1".into()),
        initiator: Some("iqn.h1".into()),
    }
}

fn target(epoch: u64) -> PathTarget {
    PathTarget {
        iqn: format!("iqn.t:att-a-{epoch}"),
        attachment: "att-a".parse().unwrap(),
        epoch,
        whole: true,
        initiators: vec!["iqn.h1".into()],
        sessions: vec!["iqn.h1".into()],
    }
}

fn answer() -> PathAnswer {
    let found = PathVolume {
        path: "/dev/zvol/tank/vol-k1".into(),
        size_bytes: 1 << 30,
        owner: Some("vol-a".into()),
        generation: 3,
    };
    let pool = PathPool {
        name: "tank".into(),
        health: Some("ONLINE".into()),
        total_bytes: 100 << 30,
        free_bytes: 50 << 30,
        kept_bytes: 5 << 30,
        ..PathPool::default()
    };
    PathAnswer {
        store: "zfs".into(),
        volume: Some(found),
        pool: Some(pool),
        export: "lio".into(),
        portal: "192.0.2.1:3260".into(),
        targets: vec![target(2)],
        ..PathAnswer::default()
    }
}

/// One case: what is known, and what the storage node answers.
struct Case {
    open: Option<AttachedRow>,
    jobs: Vec<PathJob>,
    host: &'static str,
    node: StorageNode,
    stored: Result<PathAnswer, String>,
}

fn well() -> Case {
    Case { open: Some(open()), jobs: Vec::new(), host: "online", node: node("online", None), stored: Ok(answer()) }
}

/// Code of the verdict, and every part's with its condition; each is in the catalogue, with all its values.
fn told(case: Case) -> (String, Vec<(Part, Is, String)>) {
    let row = PathRow { key: "k1".into(), was_present: true, storage_node: "sn-s1".into(), attachment: case.open };
    let (volume, host) = (volume(), host(case.host));
    let host = row.attachment.as_ref().and_then(|open| open.host.as_ref()).map(|_| &host);
    let known = Known { volume: &volume, row: &row, jobs: &case.jobs, host, storage: &case.node };
    let disk = DiskTotals { reads: 7, ..DiskTotals::default() };
    let path = path(&known, case.stored, Counted::Disk(disk));
    for step in &path {
        let entry = catalogue::path(&step.code).unwrap_or_else(|| panic!("{} has no words", step.code));
        let mut values = step.values.clone();
        if values.contains_key("failure_code") {
            values.insert("failure".into(), "it failed".into());
        }
        let text = catalogue::fill(entry.ja, &values);
        assert!(!text.contains('{'), "{}: {text}", step.code);
    }
    let verdict = verdict(&path, row.attachment.is_some());
    assert!(catalogue::path(&verdict.code).is_some(), "{}", verdict.code);
    (verdict.code, path.into_iter().map(|step| (step.part, step.condition, step.code)).collect())
}

fn stored(change: impl FnOnce(&mut PathAnswer)) -> Case {
    let mut answer = answer();
    change(&mut answer);
    Case { stored: Ok(answer), ..well() }
}

fn attached(change: impl FnOnce(&mut AttachedRow)) -> Case {
    let mut row = open();
    change(&mut row);
    Case { open: Some(row), ..well() }
}

fn has(path: &[(Part, Is, String)], part: Part, condition: Is, code: &str) -> bool {
    path.iter().any(|step| step == &(part, condition, code.to_owned()))
}

#[test]
fn a_path_that_is_well_names_every_part_from_the_guest_to_the_disk() {
    let (verdict, path) = told(well());
    assert_eq!(verdict, "path_well");
    let parts: Vec<Part> = path.iter().map(|step| step.0).collect();
    let [guest, far] = [
        [Part::Instance, Part::Host, Part::Disk, Part::Attachment],
        [Part::Session, Part::Target, Part::Volume, Part::Pool],
    ];
    assert_eq!(parts, [&guest[..], &far, &[Part::StorageNode]].concat());
    assert!(path.iter().all(|step| step.1 == Is::Well), "{path:?}");
}

#[test]
fn the_verdict_is_the_trouble_nearest_to_the_disk() {
    for (wanted, case) in [
        ("storage_silent", Case { node: node("offline", None), stored: Err("offline".into()), ..well() }),
        ("pool_ill", stored(|a| a.pool.as_mut().unwrap().health = Some("DEGRADED".into()))),
        ("pool_full", stored(|a| a.pool.as_mut().unwrap().free_bytes = 1)),
        ("volume_missing", stored(|a| a.volume = None)),
        ("volume_foreign", stored(|a| a.volume.as_mut().unwrap().owner = Some("vol-b".into()))),
        ("store_unavailable", stored(|a| a.store_trouble = Some("the pool is SUSPENDED".into()))),
        ("export_unavailable", stored(|a| a.export_trouble = Some("tgtd does not answer".into()))),
        ("target_missing", stored(|a| a.targets.clear())),
        ("target_older", stored(|a| a.targets = vec![target(1)])),
        ("target_half", stored(|a| a.targets[0].whole = false)),
        ("session_none", stored(|a| a.targets[0].sessions.clear())),
        ("session_foreign", stored(|a| a.targets[0].sessions = vec!["iqn.other".into()])),
        ("disk_missing", attached(|row| row.plugged = Fact::No)),
        ("host_silent", Case { host: "offline", ..well() }),
        ("host_lost", Case { host: "lost", ..well() }),
        ("instance_failed", attached(|row| row.failure = Some(("host_lost".into(), String::new())))),
        ("storage_degraded", Case { node: node("online", Some("clock is wrong")), ..well() }),
    ] {
        let (verdict, path) = told(case);
        assert_eq!(verdict, wanted, "{path:?}");
    }
    let both = stored(|a| {
        a.targets[0].sessions.clear();
        a.pool.as_mut().unwrap().health = Some("FAULTED".into());
    });
    let (verdict, path) = told(both);
    assert_eq!(verdict, "pool_ill");
    assert!(has(&path, Part::Session, Is::Trouble, "session_none"), "the other stands there too: {path:?}");
}

#[test]
fn what_is_not_heard_is_unknown_and_nothing_is_concluded_of_it() {
    let (_, path) = told(Case { node: node("offline", None), stored: Err("offline".into()), ..well() });
    for part in [Part::Target, Part::Volume, Part::Pool] {
        assert!(has(&path, part, Is::Unknown, "not_answered"), "{path:?}");
    }
    assert!(!path.iter().any(|step| step.0 == Part::Session), "nobody counts sessions: {path:?}");
    // It is heard, and does not answer.
    let (verdict, _) = told(Case { stored: Err("no answer".into()), ..well() });
    assert_eq!(verdict, "path_unknown");
}

#[test]
fn work_on_its_way_is_no_trouble_until_it_fails() {
    let job = |attempt, failure| PathJob {
        thing: "att-a".into(),
        kind: "sta.volume.export".into(),
        agent: "sta.s1".into(),
        attempt,
        since: time::OffsetDateTime::UNIX_EPOCH.into(),
        failure,
    };
    let coming = |jobs| {
        let mut case = stored(|a| a.targets.clear());
        case.open.as_mut().unwrap().plugged = Fact::No;
        Case { jobs, ..case }
    };
    let (verdict, path) = told(coming(vec![job(1, None)]));
    assert_eq!(verdict, "path_changing");
    assert!(has(&path, Part::Attachment, Is::Changing, "job_open"), "{path:?}");
    let failed = vec![job(3, Some(("export_error".to_owned(), "tgtd refused".to_owned())))];
    assert_eq!(told(coming(failed)).0, "job_fails");
    assert_eq!(told(coming(Vec::new())).0, "target_missing", "the control: nobody works on it");
}

#[test]
fn a_volume_of_nobody_and_one_of_a_machine_that_is_off_have_nothing_wrong() {
    let alone = Case { open: None, ..stored(|a| a.targets.clear()) };
    let (verdict, path) = told(alone);
    assert_eq!(verdict, "path_unused");
    assert!(has(&path, Part::Target, Is::Absent, "target_not_wanted"), "{path:?}");
    let mut off = stored(|a| a.targets[0].sessions.clear());
    let row = off.open.as_mut().unwrap();
    (row.power, row.plugged, row.state) = (Fact::No, Fact::No, "halted".into());
    let (verdict, path) = told(off);
    assert_eq!(verdict, "path_changing");
    assert!(has(&path, Part::Disk, Is::Changing, "disk_waits"), "{path:?}");
    assert!(has(&path, Part::Session, Is::Absent, "session_idle"), "{path:?}");
}
