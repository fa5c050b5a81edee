//! A database that went back in time, under running guests (DESIGN 3.6): nothing is stopped or deleted, everything
//! newer is listed and brought back by `adopt`, its addresses stay reserved, deleted things stay deleted, and the
//! loss is raised once.

#[path = "memory_loss/copies.rs"]
mod copies;

use anyhow::{Context, ensure};
use arame_dcmgr::app;
use arame_dcmgr::db::Columns;
use arame_schema::api::{Code, Finding, FindingKind, Instance, Refusal};
use arame_schema::model::instance::{InstanceState, Shutdown};
use arame_spec::processes::{Backends, Processes, programs, until};
use arame_spec::wishes::{Order, send};
use arame_spec::world::{Size, World};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn told<T>(result: Result<T, Refusal>) -> anyhow::Result<T> {
    result.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))
}

async fn tables(world: &World) -> anyhow::Result<Vec<String>> {
    let found =
        world.db().rows("SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()", ());
    Ok(found.await?.iter().map(|row| row.text("name")).collect::<Result<_, _>>()?)
}

/// Everything the database knows now, put aside.
async fn put_aside(world: &World) -> anyhow::Result<()> {
    world.db().rows("CREATE DATABASE put_aside", ()).await?;
    for table in tables(world).await? {
        world.db().rows(format!("CREATE TABLE put_aside.{table} LIKE {table}"), ()).await?;
        world.db().rows(format!("INSERT INTO put_aside.{table} SELECT * FROM {table}"), ()).await?;
    }
    Ok(())
}

/// The database knows what it knew then, and nothing else.
async fn go_back(world: &World) -> anyhow::Result<()> {
    for table in tables(world).await? {
        world.db().rows(format!("DELETE FROM {table}"), ()).await?;
        world.db().rows(format!("INSERT INTO {table} SELECT * FROM put_aside.{table}"), ()).await?;
    }
    Ok(())
}

async fn audit(world: &World) -> anyhow::Result<Vec<Finding>> {
    told(app::audit::findings(&world.app, &world.demo(), true).await)
}

fn of_kind(findings: &[Finding], kind: FindingKind) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.kind == kind).collect()
}

/// Domains with their power, over all hosts.
fn domains(world: &World) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for (agent, seen) in world.worlds()?.into_iter().filter(|(agent, _)| agent.starts_with("hva.")) {
        let domains = seen["domains"].as_object().context("domains")?;
        found.extend(domains.iter().map(|(id, domain)| format!("{agent} {id} {}", domain["power"])));
    }
    Ok(found)
}

fn address(instance: &Instance) -> String {
    instance.vif.first().and_then(|vif| vif.ipv4.as_ref()).map(|ipv4| ipv4.address.clone()).unwrap_or_default()
}

async fn running(world: &World, names: &[impl AsRef<str>]) -> anyhow::Result<Vec<Instance>> {
    let mut made = Vec::new();
    for name in names {
        made.push(world.launch(name.as_ref()).await?);
    }
    let mut running = Vec::new();
    for one in made {
        running.push(world.instance_in(&one.id, InstanceState::Running).await?);
    }
    Ok(running)
}

async fn delete(world: &World, id: &str) -> anyhow::Result<()> {
    told(app::instances::delete(&world.app, &world.demo(), id).await)?;
    world.instance_in(id, InstanceState::Terminated).await.map(|_| ())
}

async fn settled(world: &World) -> anyhow::Result<()> {
    world.until("no job is open", async || Ok(arame_dcmgr::db::jobs::open_count(world.db()).await? == 0)).await
}

/// What the database had forgotten.
struct Forgotten {
    old: Vec<Instance>,
    new: Vec<Instance>,
    volume: String,
    /// Of the new volume in a machine that the copy knows.
    attachment: String,
    domains: BTreeSet<String>,
}

impl Forgotten {
    /// A disk's attachment is adopted after the disk.
    fn unknown(&self) -> impl Iterator<Item = &str> {
        self.new.iter().map(|one| one.id.as_str()).chain([self.volume.as_str(), self.attachment.as_str()])
    }
}

/// Attachments that are plugged anywhere.
fn plugs(world: &World) -> anyhow::Result<Vec<String>> {
    let hosts = world.worlds()?.into_iter().filter(|(agent, _)| agent.starts_with("hva."));
    let mut found = Vec::new();
    for (_, seen) in hosts {
        for domain in seen["domains"].as_object().context("domains")?.values() {
            let live = domain["live"].as_array().into_iter().flatten();
            found.extend(live.filter_map(|id| id.as_str()).map(str::to_owned));
        }
    }
    Ok(found)
}

/// Launches and deletions that the database forgets.
const LAUNCHES: usize = 50;
const DELETES: usize = 20;

/// Machines are known to the copy; then more are launched, some of the old deleted, one is switched off, a volume is made.
async fn history(world: &World) -> anyhow::Result<Forgotten> {
    let names = |word: &str, count: usize| (1..=count).map(|n| format!("{word}{n}")).collect::<Vec<_>>();
    let old = running(world, &names("old", DELETES + 4)).await?;
    settled(world).await?;
    put_aside(world).await?;
    world.db().rows("UPDATE installation SET epoch = epoch + 1", ()).await?;
    let new = running(world, &names("new", LAUNCHES)).await?;
    for gone in &old[..DELETES] {
        delete(world, &gone.id).await?;
    }
    let off = &old[DELETES].id;
    told(app::instances::power_off(&world.app, &world.demo(), off, Shutdown::Hard).await)?;
    world.instance_in(off, InstanceState::Halted).await?;
    let request = arame_schema::api::CreateVolume {
        volume_size: 64,
        display_name: None,
        backup_object_id: None,
        snapshot_id: None,
        replica_id: None,
    };
    let volume = told(app::volumes::create(&world.app, &world.demo(), request).await)?;
    world.volume_in(&volume.id, "available").await?;
    told(app::volumes::attach(&world.app, &world.demo(), &volume.id, &old[DELETES + 1].id).await)?;
    world.volume_in(&volume.id, "attached").await?;
    settled(world).await?;
    let rows = world.db().rows("SELECT id FROM attachments WHERE open = 1", ()).await?;
    let attachment = rows.first().context("an attachment")?.text("id")?;
    Ok(Forgotten { old, new, volume: volume.id, attachment, domains: domains(world)? })
}

/// Lists what is unknown, after the loss was noticed; nothing in the world has moved.
async fn noticed(world: &World, then: &Forgotten) -> anyhow::Result<Vec<Finding>> {
    let seen = std::sync::Mutex::new(Vec::new());
    let look = async || {
        let findings = audit(world).await?;
        let ready = of_kind(&findings, FindingKind::MemoryLoss).len() == 1
            && of_kind(&findings, FindingKind::ListingIncomplete).is_empty();
        *seen.lock().expect("no holder panics") = findings;
        Ok(ready)
    };
    world.until("the loss is noticed", look).await?;
    let findings = seen.into_inner().expect("no holder panics");
    let unknown = of_kind(&findings, FindingKind::Unknown);
    for id in then.unknown() {
        ensure!(unknown.iter().any(|one| one.owner.as_deref() == Some(id)), "{id} is not listed: {unknown:#?}");
    }
    ensure!(domains(world)? == then.domains, "something moved in the world");
    Ok(findings)
}

async fn comes_back(world: &World, then: &Forgotten) -> anyhow::Result<()> {
    let refused = app::instances::create(&world.app, &world.demo(), World::request("early")).await;
    ensure!(refused.as_ref().is_err_and(|refusal| refusal.code == Code::Recovering), "{refused:?}");
    let early = app::adoption::adopt(&world.app, &world.demo(), &then.attachment).await;
    ensure!(
        early.is_err_and(|refusal| refusal.code == Code::UnknownResource),
        "an attachment of a volume without a row"
    );
    for id in then.unknown() {
        told(app::adoption::adopt(&world.app, &world.demo(), id).await).with_context(|| id.to_owned())?;
    }
    ensure!(domains(world)? == then.domains, "adopting moved something in the world");
    told(app::recovery::confirm(&world.app, &world.demo()).await)?;
    told(app::recovery::confirm(&world.app, &world.demo()).await)?;
    for one in &then.new {
        let back = world.instance_in(&one.id, InstanceState::Running).await?;
        ensure!((back.hostname.as_str(), address(&back)) == (one.hostname.as_str(), address(one)), "{back:?}");
        ensure!(back.host_node == one.host_node, "{back:?}");
    }
    world.volume_in(&then.volume, "attached").await?;
    ensure!(plugs(world)? == [then.attachment.as_str()], "the disk left its guest: {:?}", plugs(world)?);
    // Deleted things stay deleted: the row that came back is told as lost, and no host makes it again.
    for gone in &then.old[..DELETES] {
        let lost = world.instance_in(&gone.id, InstanceState::Failed).await?;
        ensure!(lost.failure.as_ref().is_some_and(|failure| failure.code == "disk_lost"), "{lost:?}");
        ensure!(!domains(world)?.iter().any(|line| line.contains(&gone.id)));
    }
    // A new machine gets an address of its own.
    let fresh = running(world, &["fresh"]).await?;
    let taken: BTreeSet<String> = then.old.iter().chain(&then.new).map(address).collect();
    ensure!(!taken.contains(&address(&fresh[0])), "{} is in use", address(&fresh[0]));
    world
        .until("the loss is over", async || Ok(of_kind(&audit(world).await?, FindingKind::MemoryLoss).is_empty()))
        .await?;
    told(app::volumes::detach(&world.app, &world.demo(), &then.volume).await)?;
    world.volume_in(&then.volume, "available").await?;
    for one in then.old.iter().chain(&then.new).chain(&fresh) {
        delete(world, &one.id).await?;
    }
    told(app::volumes::delete(&world.app, &world.demo(), &then.volume).await)?;
    world.volume_in(&then.volume, "deleted").await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_stops_nothing_and_gets_everything_back() -> anyhow::Result<()> {
    let mut world = World::start(Size::default()).await?;
    let then = history(&world).await?;
    world.kill_dcmgr().await;
    go_back(&world).await?;
    world.restart_dcmgr().await?;
    noticed(&world, &then).await?;
    comes_back(&world, &then).await
}

/// No epoch tells it: the database is the same one, without its last seconds, and dcmgr does not even notice a break.
#[tokio::test(flavor = "multi_thread")]
async fn a_failover_that_lost_the_last_seconds_is_noticed_and_mended() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let then = history(&world).await?;
    world.db().rows("UPDATE put_aside.installation SET epoch = epoch + 1", ()).await?;
    go_back(&world).await?;
    noticed(&world, &then).await?;
    comes_back(&world, &then).await
}

/// A dump played in by hand, behind everyone's back: no process starts, so no hello tells it. The first deletion does.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_deletion_raises_the_loss_and_a_confirmation_lets_it_go_on() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let one = running(&world, &["web1"]).await?.remove(0);
    world.db().rows("UPDATE installation SET epoch = epoch + 5", ()).await?;
    let two = running(&world, &["web2"]).await?.remove(0);
    settled(&world).await?;
    world.db().rows("UPDATE installation SET epoch = epoch - 5", ()).await?;
    let before = domains(&world)?;
    ensure!(of_kind(&audit(&world).await?, FindingKind::MemoryLoss).is_empty(), "control: nobody noticed yet");
    told(app::instances::delete(&world.app, &world.demo(), &one.id).await)?;
    let raised = async || {
        let findings = audit(&world).await?;
        let loss = of_kind(&findings, FindingKind::MemoryLoss);
        Ok(loss.first().is_some_and(|loss| loss.detail["reason"].as_str().is_some_and(|sign| sign.contains("epoch"))))
    };
    world.until("the loss is raised", raised).await?;
    ensure!(domains(&world)? == before, "a held job acted");
    told(app::recovery::confirm(&world.app, &world.demo()).await)?;
    world.instance_in(&one.id, InstanceState::Terminated).await?;
    delete(&world, &two.id).await?;
    ensure!(of_kind(&audit(&world).await?, FindingKind::MemoryLoss).is_empty());
    world.ends_clean().await
}

/// Without the loss: what is planted with our mark is shown, kept and removable, and nothing is held.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_row_is_shown_kept_and_removed_only_on_request() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let one = running(&world, &["web1"]).await?.remove(0);
    settled(&world).await?;
    let before = domains(&world)?;
    // Its row is gone, with all that names it.
    for statement in [
        "DELETE FROM network_vif_security_groups",
        "DELETE FROM network_vifs",
        "DELETE FROM ip_leases",
        "DELETE FROM instances",
        "DELETE FROM facts WHERE thing LIKE 'i-%'",
    ] {
        world.db().rows(statement, ()).await?;
    }
    let findings = audit(&world).await?;
    ensure!(of_kind(&findings, FindingKind::MemoryLoss).is_empty(), "{findings:#?}");
    ensure!(of_kind(&findings, FindingKind::Unknown).iter().any(|f| f.owner.as_deref() == Some(one.id.as_str())));
    ensure!(domains(&world)? == before);
    // Its address is reserved although no row uses it.
    let other = running(&world, &["web2"]).await?.remove(0);
    ensure!(address(&other) != address(&one), "{} twice", address(&one));
    let refused = app::adoption::adopt(&world.app, &world.demo(), "i-nobody").await;
    ensure!(refused.is_err_and(|refusal| refusal.code == Code::NotAdoptable));
    told(app::adoption::remove(&world.app, &world.demo(), &one.id).await)?;
    world.instance_in(&one.id, InstanceState::Terminated).await?;
    ensure!(!domains(&world)?.iter().any(|line| line.contains(&one.id)));
    delete(&world, &other.id).await?;
    world.ends_clean().await
}

/// A disk in a guest, whose attachment no row knows: shown, left plugged, and taken out only on request.
#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_without_a_row_stays_until_it_is_removed() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let one = running(&world, &["web1"]).await?.remove(0);
    let request = arame_schema::api::CreateVolume {
        volume_size: 64,
        display_name: None,
        backup_object_id: None,
        snapshot_id: None,
        replica_id: None,
    };
    let volume = told(app::volumes::create(&world.app, &world.demo(), request).await)?.id;
    world.volume_in(&volume, "available").await?;
    told(app::volumes::attach(&world.app, &world.demo(), &volume, &one.id).await)?;
    world.volume_in(&volume, "attached").await?;
    settled(&world).await?;
    let rows = world.db().rows("SELECT id FROM attachments", ()).await?;
    let id = rows.first().context("an attachment")?.text("id")?;
    for statement in ["DELETE FROM attachments", "DELETE FROM facts WHERE thing LIKE 'att-%'"] {
        world.db().rows(statement, ()).await?;
    }
    let findings = audit(&world).await?;
    ensure!(of_kind(&findings, FindingKind::Unknown).iter().any(|f| f.owner.as_deref() == Some(id.as_str())));
    ensure!(plugs(&world)? == [id.as_str()]);
    told(app::adoption::remove(&world.app, &world.demo(), &id).await)?;
    world.volume_in(&volume, "available").await?;
    ensure!(plugs(&world)?.is_empty());
    told(app::volumes::delete(&world.app, &world.demo(), &volume).await)?;
    world.volume_in(&volume, "deleted").await?;
    delete(&world, &one.id).await?;
    world.ends_clean().await
}

async fn arame(center: &Processes, words: &[&str]) -> anyhow::Result<()> {
    let mut command = tokio::process::Command::new(programs()?.join("arame"));
    let output = command.args(words).arg("--dir").arg(center.path("")).output().await?;
    ensure!(output.status.success(), "arame {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The commands themselves, on a data center of processes.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_launched_after_the_backup_survives_its_restore() -> anyhow::Result<()> {
    let mut center = Processes::up(Backends::Simulated, 2).await?;
    let file = center.path("backup.arame").display().to_string();
    let launch = async |name: &str| send(&center, &Order::Launch { name: name.into() }).await?.context("it was made");
    let is = async |id: &str, state: &str| {
        let path = format!("/instances/{id}");
        until(&format!("{id} is {state}"), async || Ok(center.get(&path).await?["state"] == state)).await
    };
    let before = launch("before").await?;
    is(&before, "running").await?;
    arame(&center, &["backup", &file]).await?;
    // A later backup, which is not the one restored: the agents have met its epoch.
    arame(&center, &["backup", &center.path("later.arame").display().to_string()]).await?;
    let after = launch("after").await?;
    is(&after, "running").await?;
    arame(&center, &["restore", &file]).await?;
    let lists = async || {
        let findings = center.get("/audit?fresh=true").await?;
        Ok(findings.as_array().is_some_and(|all| all.iter().any(|one| one["owner"] == after.as_str())))
    };
    until("the newer machine is listed", lists).await?;
    let adopted = center.insist("POST", "/audit/adopt", &json!({ "id": after }), None).await?;
    ensure!(adopted.status == 200, "{adopted:?}");
    let confirmed = center.insist("POST", "/audit/confirm", &Value::Null, None).await?;
    ensure!(confirmed.status == 200, "{confirmed:?}");
    is(&before, "running").await?;
    is(&after, "running").await?;
    send(&center, &Order::Delete { machine: before.clone() }).await?;
    is(&before, "terminated").await?;
    until("nothing is left to decide", async || Ok(center.get("/audit?fresh=true").await? == json!([]))).await?;
    center.down().await
}
