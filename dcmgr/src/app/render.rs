//! Makes the message of a job at the moment it is rung, from the rows as they are (spec/decisions/0002).
//!
//! Rule: what builds up or tears down carries the generation its job was queued at, never a newer one of its row: a
//! job that was superseded while it was being rung must look older than the one that took its place. Snapshots carry
//! the newest version: any of them holds all before it.
//!
//! Job rows hold no bodies: no secret is stored in them, a snapshot that waited carries the newest version, and a
//! message rung again tells the same as the rows do.

mod backup;
mod network;
mod replica;

use super::{App, AppError, advance, recovery};
use crate::db::access::ImageRow;
use crate::db::instances::InstanceRow;
use crate::db::jobs::JobRow;
use crate::db::volumes::AttachmentRow;
use crate::db::{self, DbError, Tx};
use crate::plan::Kind;
use crate::plan::attachment::is_pluggable;
use crate::plan::interface;
use arame_schema::jobs::hva::{self, DiskFormat, Power};
use arame_schema::jobs::sta::{ExportedTarget, StoredImage};
use arame_schema::jobs::{Envelope, Job, nsa, sta};
use arame_schema::limits::WIRE_VERSION;
use arame_schema::model::instance::DesiredInstance;
use arame_schema::model::security_group::{self, Source};
use arame_schema::model::{Fact, FactName, Secret};
use std::collections::BTreeMap;
use std::str::FromStr;

/// A guest gets this long to switch itself off before it is switched off: what cloud images need with services to stop.
const SHUTDOWN_GRACE_MS: u64 = 30_000;

/// What became of a job that was to be rung.
#[derive(Debug)]
pub enum Rendered {
    Message(Box<Envelope>),
    /// The thing is no more: the job is closed.
    Obsolete,
    /// The database lost its memory: the job waits for the operator.
    Held,
}

/// A generation and a job, or why there is none.
#[expect(clippy::large_enum_variant, reason = "one at a time, on its way to the wire")]
enum Body {
    Job(u64, Job),
    Obsolete,
}

fn id<T: FromStr>(text: &str) -> Result<T, AppError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|e: T::Err| {
        AppError::Db(DbError::Column { table: "a row", column: "id".into(), reason: e.to_string() })
    })
}

/// Reads what the job needs, in one transaction, and writes its envelope.
pub async fn render(app: &App, job: &JobRow) -> Result<Rendered, AppError> {
    let job = job.clone();
    let made = crate::transact!(app.db(), "render", None, AppError, |tx| {
        let memory = db::recovery::memory(tx).await?;
        if recovery::is_held(&memory, job.kind) {
            return Ok(None);
        }
        let agent = db::agents::find(tx, &job.agent).await?;
        let incarnation = agent.map_or(0, |agent| agent.incarnation);
        Ok::<_, AppError>(Some((memory.epoch, incarnation, body(app, tx, &job, memory.epoch).await?)))
    })?;
    let Some((epoch, incarnation, body)) = made else { return Ok(Rendered::Held) };
    Ok(match body {
        Body::Obsolete => Rendered::Obsolete,
        Body::Job(generation, body) => Rendered::Message(Box::new(Envelope {
            v: WIRE_VERSION,
            id: job.id,
            kind: body.kind().to_owned(),
            agent: id(&job.agent)?,
            incarnation,
            epoch,
            thing: job.thing.clone(),
            generation,
            budget_ms: u64::try_from(job.budget_ms).unwrap_or(0),
            body: Envelope::body_of(&body),
            traceparent: None,
        })),
    })
}

async fn body(app: &App, tx: &mut Tx, job: &JobRow, epoch: u64) -> Result<Body, AppError> {
    match job.kind {
        Kind::ApplyInstance => apply_instance(app, tx, job).await,
        Kind::DeleteInstance => {
            Ok(Body::Job(job.generation, Job::DeleteInstance(hva::DeleteInstance { instance: id(&job.thing)? })))
        }
        Kind::RebootInstance => match job.operation {
            Some(operation) => {
                let body = hva::RebootInstance { instance: id(&job.thing)?, operation };
                Ok(Body::Job(job.generation, Job::RebootInstance(body)))
            }
            None => Ok(Body::Obsolete),
        },
        Kind::ObserveInstance => {
            Ok(Body::Job(job.generation, Job::ObserveInstance(hva::ObserveInstance { instance: id(&job.thing)? })))
        }
        Kind::ReceiveInstance => receive_instance(app, tx, job).await,
        Kind::SendInstance => send_instance(tx, job).await,
        Kind::KeepInstance => {
            Ok(Body::Job(job.generation, Job::KeepInstance(hva::KeepInstance { instance: id(&job.thing)? })))
        }
        Kind::ResumeInstance => {
            Ok(Body::Job(job.generation, Job::ResumeInstance(hva::ResumeInstance { instance: id(&job.thing)? })))
        }
        Kind::ApplyPolicy => apply_policy(app, tx, job).await,
        Kind::ImportImage | Kind::DeleteImage => image(app, tx, job).await,
        Kind::TakeCapture | Kind::DropCapture => capture(app, tx, job).await,
        Kind::CreateVolume | Kind::DeleteVolume | Kind::ObserveVolume | Kind::MarkVolume => volume(app, tx, job).await,
        Kind::RollBackVolume => rollback(tx, job).await,
        Kind::CreateSnapshot | Kind::DeleteSnapshot | Kind::ObserveSnapshot => snapshot(tx, job).await,
        Kind::OfferSnapshot | Kind::ReceiveReplica | Kind::DeleteReplica | Kind::ObserveReplica => {
            replica::body(app, tx, job).await
        }
        Kind::SnapshotBackup | Kind::WriteBackup | Kind::DropBackup | Kind::DeleteBackup | Kind::ObserveBackup => {
            backup::body(app, tx, job).await
        }
        Kind::ExportVolume | Kind::UnexportVolume | Kind::FenceVolume => attachment(app, tx, job).await,
        Kind::ApplyNetwork => network::apply(app, tx, job, epoch).await,
        Kind::DeleteNetwork => {
            Ok(Body::Job(job.generation, Job::DeleteNetwork(nsa::DeleteNetwork { network: id(&job.thing)? })))
        }
    }
}

fn format_of(text: &str) -> DiskFormat {
    if text == "qcow2" { DiskFormat::Qcow2 } else { DiskFormat::Raw }
}

async fn apply_instance(app: &App, tx: &mut Tx, job: &JobRow) -> Result<Body, AppError> {
    let Some(row) = db::instances::lock(tx, &job.thing).await? else { return Ok(Body::Obsolete) };
    if db::jobs::open_of(tx, &job.thing, &job.agent).await?.is_none_or(|(open, _)| open != job.id) {
        return Ok(Body::Obsolete);
    }
    let Some(spec) = spec(app, tx, job, &row).await? else { return Ok(Body::Obsolete) };
    Ok(Body::Job(row.generation, Job::ApplyInstance(Box::new(hva::ApplyInstance { spec }))))
}

/// What a guest shall be on the host of a job.
async fn spec(app: &App, tx: &mut Tx, job: &JobRow, row: &InstanceRow) -> Result<Option<hva::InstanceSpec>, AppError> {
    let Some(image) = db::access::find_image(tx, &row.image).await? else { return Ok(None) };
    let stored = db::facts::of_thing(tx, &row.image).await?.into_iter().find_map(|fact| {
        let here = fact.name == FactName::Image && fact.value == Fact::Yes && fact.generation >= image.generation;
        here.then_some(fact.detail).flatten()
    });
    // A machine whose disk exists is switched on and off whether or not its image is still kept somewhere.
    let stored = stored.and_then(|detail| serde_json::from_value::<StoredImage>(detail).ok());
    let power = match row.desired {
        DesiredInstance::On => Power::On,
        DesiredInstance::Off | DesiredInstance::Gone => {
            Power::Off { method: row.shutdown, grace_ms: SHUTDOWN_GRACE_MS }
        }
    };
    let (nics, domain) = nics(tx, row, &job.agent).await?;
    Ok(Some(hva::InstanceSpec {
        instance: id(&row.id)?,
        account: id(&row.account)?,
        uuid: row.uuid,
        hostname: row.hostname.clone(),
        vcpus: row.cpu_cores,
        memory_mib: row.memory_mib,
        power,
        boot: boot_disk(row, &image, stored)?,
        volumes: plugged_volumes(app, tx, row, &job.agent).await?,
        forced: forced(tx, row).await?,
        nics,
        metadata: metadata(tx, row, domain).await?,
    }))
}

/// A job of a move that is not asked for any more is not sent.
async fn open_move(tx: &mut Tx, job: &JobRow) -> Result<Option<(InstanceRow, db::moves::MoveRow)>, AppError> {
    let Some(row) = db::instances::lock(tx, &job.thing).await? else { return Ok(None) };
    let Some(open) = db::moves::of_instance(tx, &job.thing).await? else { return Ok(None) };
    let still = db::jobs::open_of(tx, &job.thing, &job.agent).await?.is_some_and(|(open, _)| open == job.id);
    Ok(still.then_some((row, open)))
}

async fn receive_instance(app: &App, tx: &mut Tx, job: &JobRow) -> Result<Body, AppError> {
    let Some((row, open)) = open_move(tx, job).await? else { return Ok(Body::Obsolete) };
    let Some(side) = open.side_of(&job.agent) else { return Ok(Body::Obsolete) };
    let Some(spec) = spec(app, tx, job, &row).await? else { return Ok(Body::Obsolete) };
    // Whatever is wished of its power comes after it has arrived.
    let spec = hva::InstanceSpec { power: Power::On, ..spec };
    let from = id(&open.end(side.other()).host)?;
    Ok(Body::Job(job.generation, Job::ReceiveInstance(Box::new(hva::ReceiveInstance { spec, from }))))
}

async fn send_instance(tx: &mut Tx, job: &JobRow) -> Result<Body, AppError> {
    let Some((_, open)) = open_move(tx, job).await? else { return Ok(Body::Obsolete) };
    let Some(side) = open.side_of(&job.agent) else { return Ok(Body::Obsolete) };
    let other = open.end(side.other());
    let told = db::agents::find(tx, &other.agent).await?;
    let send = hva::SendInstance {
        instance: id(&job.thing)?,
        to: id(&other.host)?,
        endpoints: told.map(|agent| agent.endpoints).unwrap_or_default(),
    };
    Ok(Body::Job(job.generation, Job::SendInstance(send)))
}

fn boot_disk(row: &InstanceRow, image: &ImageRow, stored: Option<StoredImage>) -> Result<hva::BootDisk, AppError> {
    Ok(hva::BootDisk {
        image: id(&image.id)?,
        url: stored.map(|stored| stored.url),
        sha256: image.sha256.clone(),
        size_bytes: image.size_bytes,
        format: format_of(&image.format),
        disk_size_bytes: row.disk_mib << 20,
        used: row.ran_before,
    })
}

/// Interfaces that belong into the spec, as their plan says, and the domain of the first. As with volumes: what this
/// message plugs into a running guest is maybe plugged before it is sent.
async fn nics(tx: &mut Tx, row: &InstanceRow, agent: &str) -> Result<(Vec<hva::Nic>, String), AppError> {
    let mut nics = Vec::new();
    let mut domain = String::new();
    let facts = advance::instance::facts_at(tx, &row.id, agent).await?;
    let running = facts.power == Fact::Yes && facts.domain == Fact::Yes;
    let seen = advance::interface::look(tx, row, agent).await?;
    advance::interface::write_maybe(tx, &seen, agent, Kind::ApplyInstance, running).await?;
    for one in seen.into_iter().filter(|one| interface::belongs(one.wanted(), one.facts, running)) {
        let vif = one.vif;
        let Some(network) = db::networks::find(tx, &vif.network).await? else { continue };
        if nics.is_empty() {
            domain.clone_from(&network.domain);
        }
        nics.push(hva::Nic {
            vif: id(&vif.id)?,
            index: vif.index,
            network: id(&vif.network)?,
            vlan_tag: network.vlan_tag,
            mac: vif.mac,
            ipv4: vif.ipv4,
            mtu: network.mtu,
        });
    }
    Ok((nics, domain))
}

async fn metadata(tx: &mut Tx, row: &InstanceRow, domain: String) -> Result<hva::Metadata, AppError> {
    let user_data = db::instances::user_data(tx, &row.id).await?;
    let mut ssh_keys = Vec::new();
    if let Some(key) = &row.ssh_key
        && let Some(key) = db::access::ssh_key(tx, key, &row.account).await?
    {
        ssh_keys.push(hva::SshPublicKey { name: key.display_name.unwrap_or(key.id), public_key: key.public_key });
    }
    let mut security_groups = Vec::new();
    for vif in db::networks::vifs_of_instance(tx, &row.id).await? {
        for group in db::networks::groups_of_vif(tx, &vif.id).await? {
            security_groups.push(id(&group)?);
        }
    }
    security_groups.dedup();
    Ok(hva::Metadata {
        ssh_keys,
        user_data: (!user_data.is_empty()).then_some(user_data),
        instance_type: row.instance_type.clone(),
        security_groups,
        domain,
    })
}

/// Attachments that belong into the spec, as their plan says. The job may have been queued before their exports stood:
/// what this message plugs is maybe plugged before it is sent (DESIGN 3.4).
async fn plugged_volumes(
    app: &App,
    tx: &mut Tx,
    row: &InstanceRow,
    agent: &str,
) -> Result<Vec<hva::PluggedVolume>, AppError> {
    let mut volumes = Vec::new();
    for open in db::volumes::attachments_of_instance(tx, &row.id).await? {
        let (wish, facts) = advance::attachment::facts_at(tx, &open, agent).await?;
        if !is_pluggable(wish, facts) || row.desired == DesiredInstance::Gone {
            continue;
        }
        let told = db::facts::of_thing(tx, &open.id).await?;
        let target = told.into_iter().filter(|fact| fact.name == FactName::Exported);
        let target = target.max_by_key(|fact| (fact.value, fact.generation));
        let Some(detail) = target.and_then(|fact| fact.detail) else { continue };
        let Ok(target) = serde_json::from_value::<ExportedTarget>(detail) else { continue };
        let Some(disk) = db::volumes::lock(tx, &open.volume).await? else { continue };
        if facts.plugged != Fact::Yes {
            db::facts::set_maybe(tx, &open.id, agent, FactName::Plugged).await?;
        }
        volumes.push(hva::PluggedVolume {
            volume: id(&open.volume)?,
            attachment: id(&open.id)?,
            epoch: open.epoch,
            serial: disk.key,
            portal: target.portal,
            iqn: target.iqn,
            lun: target.lun,
            initiator_iqn: initiator(tx, row).await?,
            chap_user: open.chap_user.clone(),
            chap_secret: Secret::new(app.vault().unseal(&open.chap_secret_sealed)?),
        });
    }
    Ok(volumes)
}

/// Disks that go whatever the guest says.
async fn forced(tx: &mut Tx, row: &InstanceRow) -> Result<Vec<arame_schema::model::AttachmentId>, AppError> {
    let open = db::volumes::attachments_of_instance(tx, &row.id).await?;
    open.iter().filter(|one| one.forced && !one.wanted).map(|one| id(&one.id)).collect()
}

/// The initiator name that the instance's host told in its hello.
async fn initiator(tx: &mut Tx, row: &InstanceRow) -> Result<String, AppError> {
    let host = row.host.as_deref().unwrap_or_default();
    let Some(agent) = db::nodes::agent_of_host(tx, host).await? else { return Ok(String::new()) };
    let told = db::agents::find(tx, &agent).await?.and_then(|a| a.endpoints.get("initiator_iqn").cloned());
    Ok(told.unwrap_or_else(|| format!("iqn.2026-11.jp.arame:{host}")))
}

async fn apply_policy(app: &App, tx: &mut Tx, job: &JobRow) -> Result<Body, AppError> {
    let version = db::nodes::policy_version(tx, &job.thing).await?;
    let mut ports = Vec::new();
    let found = db::networks::policy_ports(tx, &job.thing).await?;
    let rules = rules(tx, &job.thing).await?;
    for port in found {
        let mut ingress = Vec::new();
        for rule in port.groups.iter().filter_map(|group| rules.get(group)).flatten() {
            if !ingress.contains(rule) {
                ingress.push(rule.clone());
            }
        }
        ports.push(hva::PortPolicy {
            vif: id(&port.vif.id)?,
            instance: id(&port.vif.instance)?,
            network: id(&port.vif.network)?,
            vlan_tag: port.vlan_tag,
            mac: port.vif.mac,
            ipv4: port.vif.ipv4,
            subnet: port.subnet,
            dhcp_server: port.server,
            ingress,
        });
    }
    let body = hva::ApplyPolicy { host: id(&job.thing)?, ports, infrastructure: app.infrastructure().to_vec() };
    Ok(Body::Job(version, Job::ApplyPolicy(body)))
}

/// The rules of every group on a host, read after its ports: a group that came between has no port here.
async fn rules(tx: &mut Tx, host: &str) -> Result<BTreeMap<String, Vec<hva::IngressRule>>, AppError> {
    let mut groups = BTreeMap::new();
    for (group, text) in db::networks::rules_on_host(tx, host).await? {
        let mut rules = Vec::new();
        for rule in security_group::parse(&text).unwrap_or_default() {
            let sources = sources(tx, &rule.source).await?;
            rules.extend(sources.into_iter().map(|source| hva::IngressRule { traffic: rule.traffic, source }));
        }
        groups.insert(group, rules);
    }
    Ok(groups)
}

async fn sources(tx: &mut Tx, source: &Source) -> Result<Vec<ipnet::Ipv4Net>, AppError> {
    Ok(match source {
        Source::Net(net) => vec![*net],
        Source::Group(group) => {
            let members = db::networks::member_addresses(tx, group.as_str()).await?;
            members.into_iter().map(ipnet::Ipv4Net::from).collect()
        }
    })
}

async fn image(app: &App, tx: &mut Tx, job: &JobRow) -> Result<Body, AppError> {
    let Some(row) = db::access::find_image(tx, &job.thing).await? else { return Ok(Body::Obsolete) };
    let body = match job.kind {
        Kind::ImportImage if !row.wanted => return Ok(Body::Obsolete),
        Kind::DeleteImage => Job::DeleteImage(sta::DeleteImage { image: id(&row.id)? }),
        _ => match import(app, tx, job, &row).await? {
            Some(import) => Job::ImportImage(import),
            None => return Ok(Body::Obsolete),
        },
    };
    Ok(Body::Job(job.generation, body))
}

/// A copy of a machine's disk is wished as long as no storage node has it.
async fn capture(app: &App, tx: &mut Tx, job: &JobRow) -> Result<Body, AppError> {
    let Some(row) = db::access::find_image(tx, &job.thing).await? else { return Ok(Body::Obsolete) };
    let Some(capture) = &row.capture else { return Ok(Body::Obsolete) };
    let (image, instance) = (id(&row.id)?, id(&capture.instance)?);
    let body = match job.kind {
        Kind::DropCapture => Job::DropCapture(hva::DropCapture { image, instance }),
        _ if !advance::capture::wish(&row).needed() => return Ok(Body::Obsolete),
        _ => {
            let reader = Secret::new(app.vault().unseal(&capture.reader_sealed)?);
            Job::TakeCapture(hva::TakeCapture { image, instance, reader })
        }
    };
    Ok(Body::Job(job.generation, body))
}

/// From the host that has the copy of a machine's disk.
async fn import_captured(app: &App, row: &ImageRow, served: hva::Captured) -> Result<sta::ImportImage, AppError> {
    let sealed = row.capture.as_ref().map(|capture| capture.reader_sealed.as_str());
    Ok(sta::ImportImage {
        image: id(&row.id)?,
        peer: true,
        source: served.url,
        sha256: Some(served.sha256),
        size_bytes: Some(served.size_bytes),
        format: format_of(&row.format),
        ticket: sealed.map(|sealed| app.vault().unseal(sealed).map(Secret::new)).transpose()?,
    })
}

/// From another storage node where one has it, else from its source; an upload with the ticket that is shown. `None`: from
/// nowhere any more.
async fn import(app: &App, tx: &mut Tx, job: &JobRow, row: &ImageRow) -> Result<Option<sta::ImportImage>, AppError> {
    if !row.is_settled()
        && let Some(served) = advance::capture::served(tx, row).await?
    {
        return import_captured(app, row, served).await.map(Some);
    }
    let peer = match row.brought_by.is_some() && row.is_settled() {
        true => advance::image::peer(tx, row, &job.agent).await?,
        false => None,
    };
    if peer.is_none() && row.capture.is_some() {
        return Ok(None);
    }
    let offered = row.is_uploaded() && row.is_offered() && peer.is_none();
    let ticket = row.ticket_sealed.as_deref().filter(|_| offered);
    Ok(Some(sta::ImportImage {
        image: id(&row.id)?,
        peer: peer.is_some(),
        source: peer.unwrap_or_else(|| row.source.clone()),
        sha256: Some(row.sha256.clone()).filter(|known| !known.is_empty()),
        size_bytes: Some(row.size_bytes).filter(|_| row.is_settled()),
        format: format_of(&row.format),
        ticket: ticket.map(|sealed| app.vault().unseal(sealed).map(Secret::new)).transpose()?,
    }))
}

async fn volume(app: &App, tx: &mut Tx, job: &JobRow) -> Result<Body, AppError> {
    let Some(row) = db::volumes::lock(tx, &job.thing).await? else { return Ok(Body::Obsolete) };
    let (volume, key) = (id(&row.id)?, row.key.clone());
    let body = match job.kind {
        Kind::CreateVolume if !row.wanted => return Ok(Body::Obsolete),
        Kind::DeleteVolume => Job::DeleteVolume(sta::DeleteVolume { volume, key }),
        Kind::ObserveVolume => Job::ObserveVolume(sta::ObserveVolume { volume, key }),
        Kind::MarkVolume => Job::MarkVolume(sta::MarkVolume { volume, key }),
        _ => Job::CreateVolume(sta::CreateVolume {
            volume,
            account: id(&row.account)?,
            key,
            size_bytes: row.size_bytes,
            image: None,
            backup: match &row.backup_object {
                None => None,
                // Without its backup it would be a blank one in its name.
                Some(object) => match backup::restored(app, tx, job, object).await? {
                    Some(from) => Some(from),
                    None => return Ok(Body::Obsolete),
                },
            },
            snapshot: match &row.snapshot {
                None => None,
                Some(snapshot) => Some(cloned(tx, snapshot).await?),
            },
            replica: match &row.replica {
                None => None,
                Some(replica) => Some(replicated(tx, replica).await?),
            },
        }),
    };
    Ok(Body::Job(job.generation, body))
}

/// The snapshot that a volume begins with. Its row and its volume's outlive both.
async fn cloned(tx: &mut Tx, snapshot: &str) -> Result<sta::ClonedSnapshot, AppError> {
    let lost = |what: &str| DbError::Column { table: "volumes", column: "snapshot_id".into(), reason: what.to_owned() };
    let row = db::volume_snapshots::find(tx, snapshot).await?.ok_or_else(|| lost("no such snapshot"))?;
    let volume_key = db::volumes::key_of(tx, &row.volume).await?.ok_or_else(|| lost("no such volume"))?;
    Ok(sta::ClonedSnapshot { snapshot: id(&row.id)?, key: row.key, volume_key })
}

/// The replica that a volume begins with.
async fn replicated(tx: &mut Tx, replica: &str) -> Result<sta::ClonedReplica, AppError> {
    let lost = || DbError::Column { table: "volumes", column: "replica_id".into(), reason: "no such replica".into() };
    let row = db::replicas::find(tx, replica).await?.ok_or_else(lost)?;
    Ok(sta::ClonedReplica { replica: id(&row.id)?, key: row.key })
}

/// Only the operation that the row still asks for.
async fn rollback(tx: &mut Tx, job: &JobRow) -> Result<Body, AppError> {
    let Some(row) = db::volumes::lock(tx, &job.thing).await? else { return Ok(Body::Obsolete) };
    let Some(open) = row.rollback.filter(|open| Some(open.operation) == job.operation) else {
        return Ok(Body::Obsolete);
    };
    let Some(snapshot) = db::volume_snapshots::find(tx, &open.snapshot).await? else { return Ok(Body::Obsolete) };
    let body = sta::RollBackVolume {
        volume: id(&row.id)?,
        key: row.key,
        snapshot: id(&snapshot.id)?,
        snapshot_key: snapshot.key,
        operation: open.operation,
    };
    Ok(Body::Job(job.generation, Job::RollBackVolume(body)))
}

async fn snapshot(tx: &mut Tx, job: &JobRow) -> Result<Body, AppError> {
    let Some((disk, row)) = db::volume_snapshots::lock(tx, &job.thing).await? else { return Ok(Body::Obsolete) };
    let (snapshot, key, volume_key) = (id(&row.id)?, row.key, disk.key);
    let body = match job.kind {
        Kind::CreateSnapshot if !row.wanted => return Ok(Body::Obsolete),
        Kind::DeleteSnapshot => Job::DeleteSnapshot(sta::DeleteSnapshot { snapshot, key, volume_key }),
        Kind::ObserveSnapshot => Job::ObserveSnapshot(sta::ObserveSnapshot { snapshot, key, volume_key }),
        _ => {
            let volume = id(&disk.id)?;
            Job::CreateSnapshot(sta::CreateSnapshot { snapshot, volume, key, volume_key })
        }
    };
    Ok(Body::Job(job.generation, body))
}

async fn attachment(app: &App, tx: &mut Tx, job: &JobRow) -> Result<Body, AppError> {
    let Some(open) = db::volumes::find_attachment(tx, &job.thing).await? else { return Ok(Body::Obsolete) };
    if job.kind == Kind::UnexportVolume {
        let body = sta::UnexportVolume { attachment: id(&open.id)?, volume: id(&open.volume)?, epoch: open.epoch };
        return Ok(Body::Job(job.generation, Job::UnexportVolume(body)));
    }
    if job.kind == Kind::FenceVolume {
        let Some(instance) = db::instances::find(tx, &open.instance).await?.filter(|_| open.fencing) else {
            return Ok(Body::Obsolete);
        };
        let initiator_iqn = initiator(tx, &instance).await?;
        let (attachment, volume) = (id(&open.id)?, id(&open.volume)?);
        let body = sta::FenceVolume { attachment, volume, epoch: open.epoch, initiator_iqn };
        return Ok(Body::Job(job.generation, Job::FenceVolume(body)));
    }
    if !open.wanted {
        return Ok(Body::Obsolete);
    }
    export(app, tx, &open, job.generation).await
}

async fn export(app: &App, tx: &mut Tx, open: &AttachmentRow, generation: u64) -> Result<Body, AppError> {
    let Some(disk) = db::volumes::lock(tx, &open.volume).await? else { return Ok(Body::Obsolete) };
    let Some(instance) = db::instances::find(tx, &open.instance).await? else { return Ok(Body::Obsolete) };
    let body = sta::ExportVolume {
        attachment: id(&open.id)?,
        volume: id(&open.volume)?,
        key: disk.key,
        epoch: open.epoch,
        initiator_iqn: initiator(tx, &instance).await?,
        chap_user: open.chap_user.clone(),
        chap_secret: Secret::new(app.vault().unseal(&open.chap_secret_sealed)?),
    };
    Ok(Body::Job(generation, Job::ExportVolume(body)))
}
