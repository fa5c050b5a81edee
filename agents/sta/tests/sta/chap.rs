//! Who gets to a volume through a real tgtd: only the named initiator with the right secret, and nobody afterwards.

use crate::kit::*;
use arame_schema::jobs::Job;
use arame_schema::jobs::report::BackendStatus;
use arame_schema::model::{Fact, Secret};
use std::io::Write;
use std::process::{Command, Stdio};

pub fn options(kit: &Kit, epoch: u64, initiator: &str, credentials: Option<(&str, &str)>) -> String {
    let login = credentials.map_or(String::new(), |(user, secret)| format!(",user={user},password={secret}"));
    format!(
        "driver=iscsi,transport=tcp,portal={},target={}:att-k1-{epoch},lun=1,initiator-name={initiator}{login}",
        kit.place.portal, kit.place.iqn_prefix
    )
}

/// `Err` is what QEMU complained of.
async fn login(options: String) -> Result<String, String> {
    let output = tokio::process::Command::new("timeout")
        .args(["20", "qemu-img", "info", "--image-opts", &options])
        .output()
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[tokio::test]
async fn only_the_named_initiator_with_the_right_secret_gets_in_and_nobody_after_the_unexport() {
    let Some(kit) = Kit::new(Drivers::FileTgt).await else { return };
    the_door_of_a_target(&kit).await;
}

#[tokio::test]
#[ignore = "sent to the lab machine"]
async fn with_zfs_and_lio_only_the_named_initiator_with_the_right_secret_gets_in() {
    the_door_of_a_target(&Kit::new(Drivers::ZfsLio).await.expect("nothing is lacking there")).await;
}

async fn the_door_of_a_target(kit: &Kit) {
    kit.run(create("k1", 16 * MIB), 1).await.unwrap();
    kit.run(export("k1", 1), 1).await.unwrap();
    let good = options(kit, 1, INITIATOR, Some(("att-k1-1", SECRET)));
    let seen = login(good.clone()).await.expect("control: the right secret gets in");
    assert!(seen.contains("16777216 bytes"), "{seen}");
    for (case, options) in [
        ("a wrong secret", options(kit, 1, INITIATOR, Some(("att-k1-1", "wrong-secret-16")))),
        ("another user", options(kit, 1, INITIATOR, Some(("att-k1-2", SECRET)))),
        ("no secret", options(kit, 1, INITIATOR, None)),
        ("another initiator", options(kit, 1, "iqn.2026-11.jp.arame:h2", Some(("att-k1-1", SECRET)))),
    ] {
        assert!(login(options).await.is_err(), "{case} got in");
    }
    assert!(login(good.clone()).await.is_ok(), "control: still so afterwards");
    assert_eq!(value(&kit.run(unexport("k1", 1), 2).await), Fact::No);
    assert!(login(good).await.is_err(), "old credentials got in after the unexport");
}

#[tokio::test]
async fn a_new_secret_for_a_standing_target_ends_the_old_one() {
    let Some(kit) = Kit::new(Drivers::FileTgt).await else { return };
    kit.run(create("k1", 16 * MIB), 1).await.unwrap();
    kit.run(export("k1", 1), 1).await.unwrap();
    let mut renewed = export_body("k1", 1);
    renewed.chap_secret = Secret::new("another-secret1");
    kit.run(Job::ExportVolume(renewed), 2).await.unwrap();
    assert!(login(options(&kit, 1, INITIATOR, Some(("att-k1-1", "another-secret1")))).await.is_ok(), "control");
    assert!(login(options(&kit, 1, INITIATOR, Some(("att-k1-1", SECRET)))).await.is_err());
}

#[tokio::test]
async fn a_session_that_writes_is_fenced_by_the_next_epoch() {
    let Some(kit) = Kit::new(Drivers::FileTgt).await else { return };
    kit.run(create("k1", 16 * MIB), 1).await.unwrap();
    kit.run(export("k1", 1), 1).await.unwrap();
    let mut guest = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "qemu-io", "-n", "-t", "none", "--image-opts"])
        .arg(options(&kit, 1, INITIATOR, Some(("att-k1-1", SECRET))))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut keyboard = guest.stdin.take().unwrap();
    let file = kit.place.root.join("data/volumes/k1");
    let first = || std::fs::read(&file).unwrap()[0];
    writeln!(keyboard, "write -P 0xaa 0 4096\nflush").unwrap();
    assert!(wait_until(|| first() == 0xaa), "control: the session writes");
    let sessions = |listing: &arame_framework::agent::Listing| {
        let target = listing.things.iter().find(|thing| thing.kind == "target").unwrap();
        target.detail.as_ref().unwrap()["sessions"].as_array().unwrap().len()
    };
    assert_eq!(sessions(&kit.list().await), 1, "control: the session is seen");

    let second = kit.run(export("k1", 2), 2).await;
    assert_eq!(value(&second), Fact::Yes);
    assert_eq!(sessions(&kit.list().await), 0);
    writeln!(keyboard, "write -P 0xbb 0 4096\nflush").unwrap();
    // The fenced writer keeps trying; whoever has the new epoch's secret reads and writes meanwhile.
    let image = options(&kit, 2, INITIATOR, Some(("att-k1-2", SECRET)));
    let writer = tokio::process::Command::new("timeout")
        .args(["20", "qemu-io", "-t", "none", "--image-opts", &image, "-c", "read -P 0xaa 0 4096"])
        .args(["-c", "write -P 0xcc 0 4096", "-c", "flush", "-c", "read -P 0xcc 0 4096"])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&writer.stdout).into_owned();
    assert!(writer.status.success() && !said.contains("verification failed"), "{said}");
    assert_eq!(first(), 0xcc);
    let _ = guest.kill();
    let _ = guest.wait();
    assert_eq!(first(), 0xcc);
}

#[tokio::test]
async fn a_dead_daemon_is_unavailable_and_a_restarted_one_has_nothing_exported() {
    let Some(mut kit) = Kit::new(Drivers::FileTgt).await else { return };
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.run(export("k1", 1), 1).await.unwrap();
    kit.tgtd.as_mut().unwrap().kill();
    let listing = kit.list().await;
    let status = |name: &str| &listing.backends.iter().find(|backend| backend.name == name).unwrap().status;
    assert!(matches!(status("export"), BackendStatus::Unavailable { .. }));
    assert_eq!(*status("store"), BackendStatus::Complete);
    assert_eq!(code(&kit.run(delete("k1"), 2).await), "export_unavailable", "who knows who writes to it");
    assert_eq!(code(&kit.run(export("k1", 1), 1).await), "export_unavailable");

    kit.tgtd = Tgtd::start(&kit.place.root, &kit.place.portal);
    assert_eq!(kit.things().await.len(), 1, "the volume, no target");
    assert_eq!(value(&kit.run(export("k1", 1), 1).await), Fact::Yes);
    assert!(login(options(&kit, 1, INITIATOR, Some(("att-k1-1", SECRET)))).await.is_ok());
}

#[tokio::test]
async fn values_that_could_break_out_of_a_request_are_refused() {
    let Some(kit) = Kit::new(Drivers::FileTgt).await else { return };
    kit.run(create("k1", MIB), 1).await.unwrap();
    let good = export_body("k1", 1);
    for (field, value) in [
        ("user", "a,password=x"),
        ("user", ""),
        ("initiator", "ALL x"),
        ("secret", "short"),
        ("secret", "with,comma-here"),
    ] {
        let mut bad = good.clone();
        match field {
            "user" => bad.chap_user = value.into(),
            "initiator" => bad.initiator_iqn = value.into(),
            _ => bad.chap_secret = Secret::new(value),
        }
        assert_eq!(code(&kit.run(Job::ExportVolume(bad), 1).await), "bad_name", "{field}={value}");
    }
    assert_eq!(kit.things().await.len(), 1);
    assert_eq!(crate::kit::value(&kit.run(Job::ExportVolume(good), 1).await), Fact::Yes, "control");
}
