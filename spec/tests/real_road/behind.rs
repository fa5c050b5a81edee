//! Behind our back: a port, a domain, a volume's file taken away on the machine itself, and things put there that are
//! not ours, or look like ours and have no row.

use anyhow::{Context, ensure};
use arame_spec::real::guest::{BOOT_LIMIT, Guest};
use arame_spec::real::{DataCenter, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Whatever is taken away is noticed within this (inventories come every 20 s).
const NOTICE_LIMIT: Duration = Duration::from_secs(30);

/// A machine that no row knows.
const PLANTED: &str = "i-planted1";

pub async fn what_is_taken_away_is_put_back_or_told(dc: &DataCenter, guest: &Guest) -> anyhow::Result<()> {
    dc.step("behind our back: a port is taken out of the switch");
    the_port(dc, guest).await?;
    dc.step("behind our back: the domain is destroyed, then also undefined");
    dc.in_guest(guest, "echo kept >/root/behind; sync").await?;
    the_domain(dc, guest, &["destroy"]).await?;
    the_domain(dc, guest, &["destroy", "undefine"]).await?;
    ensure!(dc.in_guest(guest, "cat /root/behind").await? == "kept", "another disk");
    dc.step("behind our back: a volume's file is removed");
    the_volume(dc).await?;
    Ok(())
}

async fn the_port(dc: &DataCenter, guest: &Guest) -> anyhow::Result<()> {
    let boot = dc.booted(guest).await?;
    let row = || async { dc.vsctl(&guest.host, &["get", "port", &guest.vif, "_uuid"]).await };
    let first = row().await?.well().context("control: the port is in the bridge")?;
    dc.vsctl(&guest.host, &["del-port", "ovs0", &guest.vif]).await?.well()?;
    let began = Instant::now();
    let remade = || async {
        let said = row().await?;
        Ok((said.ended_well() && said.out.trim() != first).then_some(()))
    };
    until("the port is taken in again", NOTICE_LIMIT, remade).await?;
    dc.note(&format!("taken in again after {:.1} s", began.elapsed().as_secs_f32()));
    let answers = || async { Ok(dc.boot_id(guest).await?.filter(|now| *now == boot)) };
    until("the same boot of the guest answers again", NOTICE_LIMIT, answers).await?;
    Ok(())
}

async fn the_domain(dc: &DataCenter, guest: &Guest, verbs: &[&str]) -> anyhow::Result<()> {
    let boot = dc.booted(guest).await?;
    for verb in verbs {
        dc.virsh(&guest.host, &[verb, &guest.id]).await?.well()?;
    }
    let began = Instant::now();
    let runs = || async {
        let said = dc.virsh(&guest.host, &["domstate", &guest.id]).await?;
        Ok((said.ended_well() && said.out.trim() == "running").then_some(()))
    };
    until("the domain runs again", NOTICE_LIMIT, runs).await?;
    dc.note(&format!(
        "{} after {}: runs again after {:.1} s",
        guest.name,
        verbs.join(", "),
        began.elapsed().as_secs_f32()
    ));
    let other = || async { Ok(dc.boot_id(guest).await?.filter(|now| *now != boot)) };
    until("another boot of the guest answers", BOOT_LIMIT, other).await?;
    let timeline = dc.done(&["jobs", "show", &guest.name]).await?;
    ensure!(timeline.contains("finished job hva.instance.apply"), "the timeline does not tell it: {timeline}");
    Ok(())
}

/// Data is never made again: the volume is lost, in words, until its owner deletes it.
async fn the_volume(dc: &DataCenter) -> anyhow::Result<()> {
    let folder = "data/sta.s1/volumes";
    let before = dc.files(folder);
    dc.done(&["volume", "create", "--size", "64M", "--name", "spare", "--wait"]).await?;
    let made: Vec<String> = dc.files(folder).into_iter().filter(|file| !before.contains(file)).collect();
    let [file] = made.as_slice() else { anyhow::bail!("one volume, these files: {made:?}") };
    std::fs::remove_file(dc.dir().join(folder).join(file))?;
    let began = Instant::now();
    let lost = || async {
        let view = dc.json(&["volume", "show", "spare"]).await?;
        Ok((view["state"] == "lost").then_some(view))
    };
    let view = until("the volume is lost", NOTICE_LIMIT, lost).await?;
    dc.note(&format!("noticed after {:.1} s", began.elapsed().as_secs_f32()));
    ensure!(!dc.files(folder).contains(file), "a blank one was made in its place");
    let findings = dc.json(&["audit", "--fresh"]).await?;
    let found = findings.as_array().and_then(|all| all.iter().find(|one| one["kind"] == "lost")).cloned();
    let found = found.with_context(|| format!("the audit does not list it: {findings:#}"))?;
    ensure!(found["thing"] == view["id"] && found["rule"] == "owner_deletes", "{found:#}");
    let told = dc.arame_in("ja_JP.UTF-8", &["audit"]).await?;
    ensure!(told.out.contains("見つかりません"), "{told:?}");
    dc.done(&["volume", "delete", "spare", "--wait"]).await?;
    until("the audit is empty again", NOTICE_LIMIT, || nothing_found(dc)).await
}

async fn nothing_found(dc: &DataCenter) -> anyhow::Result<Option<()>> {
    Ok((dc.json(&["audit", "--fresh"]).await? == json!([])).then_some(()))
}

/// Without our mark: neither listed nor touched. With our mark and no row: listed, kept, removed on request only.
pub async fn what_is_planted_is_kept(dc: &DataCenter, guest: &Guest) -> anyhow::Result<()> {
    dc.step("behind our back: strangers' things beside ours");
    let host = guest.host.as_str();
    dc.vsctl(host, &["add-port", "ovs0", "foreign0", "--", "set", "interface", "foreign0", "type=internal"])
        .await?
        .well()?;
    let xml = dc.dir().join("foreign.xml");
    std::fs::write(&xml, FOREIGN)?;
    dc.virsh(host, &["define", &xml.display().to_string()]).await?.well()?;
    let file = dc.dir().join("data/sta.s1/volumes/foreign");
    std::fs::write(&file, "not ours")?;
    let planted = plant(dc, guest)?;
    let found = until("the planted machine is listed", NOTICE_LIMIT, || async {
        let findings = dc.json(&["audit", "--fresh"]).await?;
        let all = findings.as_array().cloned().unwrap_or_default();
        Ok(all.iter().any(|one| one["owner"] == PLANTED).then_some(all))
    })
    .await?;
    let mut told: Vec<String> = found.iter().map(|one| format!("{} {}", one["id"], one["rule"])).collect();
    told.sort();
    // A stranger's file lies in the store's own folder: shown. Domains and ports beside ours are nobody's business.
    let shown = [
        format!("\"unknown/hva.{host}/{PLANTED}\" \"operator_decides\""),
        "\"unknown/sta.s1/foreign\" \"never_touched\"".to_owned(),
    ];
    ensure!(told == shown, "{found:#?}");
    // Two more inventories, and nothing of it is gone.
    nothing_found(dc).await?;
    nothing_found(dc).await?;
    ensure!(planted.is_dir(), "a machine without a row was removed");
    dc.done(&["audit", "remove", PLANTED]).await?;
    let removed = || async { Ok((!planted.exists()).then_some(())) };
    until("what was to be removed is removed", NOTICE_LIMIT, removed).await?;
    ensure!(std::fs::read_to_string(&file)? == "not ours");
    ensure!(dc.domains(host).await?.iter().any(|name| name == "foreign"));
    dc.vsctl(host, &["get", "port", "foreign0", "_uuid"]).await?.well()?;
    std::fs::remove_file(file)?;
    dc.virsh(host, &["undefine", "foreign"]).await?.well()?;
    dc.vsctl(host, &["del-port", "ovs0", "foreign0"]).await?.well()?;
    until("nothing is found any more", NOTICE_LIMIT, || nothing_found(dc)).await
}

/// The traces of a machine that no row knows: a copy of another's folder under its own name.
fn plant(dc: &DataCenter, guest: &Guest) -> anyhow::Result<std::path::PathBuf> {
    let folder = dc.dir().join(format!("data/hva.{}/instances", guest.host));
    let (from, to) = (folder.join(&guest.id), folder.join(PLANTED));
    std::fs::create_dir(&to)?;
    for entry in std::fs::read_dir(&from)?.flatten() {
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    let path = to.join("record.json");
    let mut record: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    record["instance"] = json!(PLANTED);
    record["uuid"] = json!("0f0e0d0c-0b0a-4908-8706-050403020100");
    record["hostname"] = json!("planted");
    record["attachments"] = json!([]);
    record["nics"][0]["vif"] = json!("vif-planted1");
    record["nics"][0]["mac"] = json!("52:54:00:f0:0d:01");
    record["nics"][0]["ipv4"] = json!(dc.address(200));
    std::fs::write(&path, serde_json::to_vec(&record)?)?;
    Ok(to)
}

const FOREIGN: &str = "<domain type='qemu'><name>foreign</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>\
    <os><type arch='x86_64'>hvm</type></os></domain>";
