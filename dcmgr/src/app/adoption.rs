//! Takes in what exists with our mark and without a row: the operator's answer to the audit (DESIGN 3.9).
//!
//! Rule: adopting writes rows from what the agent tells and asks nothing of the world; from then on the thing is like
//! any other. Removing is adopting and deleting at once: there is one way things go. What is not ours, has a row, or
//! is no instance, volume, snapshot, copy of one or attachment of theirs is refused. An attachment's secret is not asked for (agents
//! keep none): its row gets a new one, so the guest's disk has to be plugged anew should its target ever be.
//! A machine that asks in another's name is adopted by its agent's id.

mod copies;

use self::copies::Fate;
use super::advance::{self, Cause, snapshot};
use super::{App, AppError, Caller, Ringing, audit, instances, volume_snapshots, volumes};
use crate::db::networks::NewVif;
use crate::db::volumes::AttachmentRow;
use crate::db::{self, Tx};
use arame_schema::api::{Code, Finding, FindingKind, Placement, Refusal};
use arame_schema::jobs::hva::{Metadata, Nic};
use arame_schema::jobs::report::{FactReport, InventoryThing};
use arame_schema::model::{AccountId, Fact, FactName, ImageId};
use serde::Deserialize;
use std::cmp::Reverse;
use uuid::Uuid;

/// What a host keeps of an instance (`hva.describe`); fields it has beyond these do not matter here.
#[derive(Debug, Deserialize)]
struct Described {
    account: AccountId,
    generation: u64,
    uuid: Uuid,
    disk_size_bytes: u64,
    hostname: String,
    image: ImageId,
    vcpus: u32,
    memory_mib: u64,
    nics: Vec<Nic>,
    metadata: Metadata,
}

/// A thing in an agent's newest inventory.
struct Place {
    agent: String,
    node: String,
    things: Vec<InventoryThing>,
}

/// Adopts by the finding's id or by the owner it names. Answers the resource's id.
///
/// # Errors
/// `not_adoptable`, `unknown_resource` for a network or image it needs, a name or address taken by another.
pub async fn adopt(app: &App, caller: &Caller, id: &str) -> Result<String, Refusal> {
    if let Some(agent) = machine_of(app, caller, id).await? {
        accept_machine(app, caller, &agent).await?;
        return Ok(agent);
    }
    let owner = owner_of(app, caller, id).await?;
    let place = place_of(app, &owner).await?;
    if owner.starts_with("i-") {
        adopt_instance(app, caller, &owner, &place).await?;
    } else if owner.starts_with("vol-") {
        adopt_volume(app, caller, &owner, &place).await?;
    } else if owner.starts_with("snap-") {
        adopt_snapshot(app, caller, &owner, &place).await?;
    } else if owner.starts_with("rep-") {
        copies::replica(app, caller, (&owner, Fate::Kept), &place).await?;
    } else if owner.starts_with("bo-") {
        copies::backup(app, caller, (&owner, Fate::Kept), &place).await?;
    } else if owner.starts_with("att-") {
        adopt_attachment(app, caller, &owner, &place).await?;
    } else {
        return Err(refused(id));
    }
    Ok(owner)
}

/// Adopts and deletes.
///
/// # Errors
/// As [`adopt`].
pub async fn remove(app: &App, caller: &Caller, id: &str) -> Result<String, Refusal> {
    let owner = owner_of(app, caller, id).await?;
    if owner.starts_with("att-") {
        let place = place_of(app, &owner).await?;
        end_attachment(app, caller, &owner, &place).await?;
        return Ok(owner);
    }
    if owner.starts_with("rep-") {
        copies::replica(app, caller, (&owner, Fate::Removed), &place_of(app, &owner).await?).await?;
        return Ok(owner);
    }
    if owner.starts_with("bo-") {
        copies::backup(app, caller, (&owner, Fate::Removed), &place_of(app, &owner).await?).await?;
        return Ok(owner);
    }
    let owner = adopt(app, caller, id).await?;
    // Two changes, and a change is known by its request.
    let caller = &Caller { request: crate::rehearsal::uuid_v7(), ..caller.clone() };
    if owner.starts_with("i-") {
        instances::delete(app, caller, &owner).await?;
    } else if owner.starts_with("snap-") {
        volume_snapshots::delete(app, caller, &owner).await?;
    } else {
        volumes::delete(app, caller, &owner).await?;
    }
    Ok(owner)
}

/// The agent in whose name another machine asks, if the finding or the agent is named.
async fn machine_of(app: &App, caller: &Caller, id: &str) -> Result<Option<String>, Refusal> {
    let findings = audit::findings(app, caller, false).await?;
    let mut asking = findings.into_iter().filter(|finding| finding.kind == FindingKind::AnotherMachine);
    Ok(asking.find(|finding| finding.id == id || finding.thing == id).and_then(|finding| finding.agent))
}

/// The operator swears that the former machine is gone for good: the one that asks takes its place at its next hello, and
/// what its complete listing does not have was lost with the former one.
async fn accept_machine(app: &App, caller: &Caller, agent: &str) -> Result<(), Refusal> {
    let accepted = crate::change!(app, "accept machine", Some(caller.request), |tx, _ringing| {
        if db::agents::accept_machine(tx, agent).await? {
            db::events::audit(tx, &caller.who(), "agent.accept_machine", agent).await?;
            return Ok::<_, AppError>(true);
        }
        Ok(false)
    })?;
    if accepted { Ok(()) } else { Err(refused(agent)) }
}

fn refused(id: &str) -> Refusal {
    Refusal::new(Code::NotAdoptable).with("id", id)
}

/// The owner of an unknown thing that the audit shows now.
async fn owner_of(app: &App, caller: &Caller, id: &str) -> Result<String, Refusal> {
    let findings = audit::findings(app, caller, false).await?;
    let names = |finding: &Finding| finding.id == id || finding.thing == id || finding.owner.as_deref() == Some(id);
    let mut unknown = findings.into_iter().filter(|finding| finding.kind == FindingKind::Unknown);
    unknown.find(names).and_then(|finding| finding.owner).ok_or_else(|| refused(id))
}

/// Where it is. What several nodes reach (a backup in a shared place) is at one that is heard, and at the one with most of it.
async fn place_of(app: &App, owner: &str) -> Result<Place, Refusal> {
    let agents = db::agents::all(app.db()).await.map_err(AppError::from)?;
    let mut places = Vec::new();
    for row in db::agents::inventories(app.db()).await.map_err(AppError::from)? {
        let of_owner = |thing: &InventoryThing| {
            thing.owner.as_deref() == Some(owner) && thing.installation == Some(app.installation())
        };
        let things: Vec<InventoryThing> = row.inventory.things.into_iter().filter(of_owner).collect();
        let agent = row.inventory.agent.to_string();
        let known = agents.iter().find(|known| known.id == agent);
        if let (Some(known), true) = (known, things.iter().any(|thing| !thing.facts.is_empty())) {
            places.push((known.online, Place { agent, node: known.node.clone(), things }));
        }
    }
    let nearest = places.into_iter().min_by_key(|(online, place)| Reverse((*online, place.things.len())));
    nearest.map(|(_, place)| place).ok_or_else(|| refused(owner))
}

async fn adopt_instance(app: &App, caller: &Caller, id: &str, place: &Place) -> Result<(), Refusal> {
    let agent = place.agent.parse().map_err(|_| refused(id))?;
    let told = app.questions().ask(agent, "hva.describe", serde_json::json!({ "instance": id })).await;
    let told = told.map_err(|sentence| Refusal::new(Code::Unavailable).with("what", sentence))?;
    let described: Described = serde_json::from_value(told).map_err(|_| refused(id))?;
    let adopted = crate::change!(app, "adopt instance", Some(caller.request), |tx, ringing| {
        write_instance(tx, ringing, caller, (id, &described), place).await
    });
    adopted.map_err(|error: AppError| taken(error, &described))
}

/// A key that another row holds.
fn taken(error: AppError, described: &Described) -> Refusal {
    let key = match &error {
        AppError::Db(inner) => inner.duplicate_key().unwrap_or_default(),
        AppError::Refused(_) | AppError::Planned | AppError::Seal(_) => String::new(),
    };
    let addresses: Vec<String> = described.nics.iter().map(|nic| nic.ipv4.to_string()).collect();
    match key.rsplit('.').next().unwrap_or_default() {
        "hostname" => Refusal::new(Code::DuplicateHostname).with("hostname", &described.hostname),
        "PRIMARY" | "mac" => Refusal::new(Code::DuplicateAddress).with("address", addresses.join(", ")),
        _ => error.into(),
    }
}

async fn write_instance(
    tx: &mut Tx,
    ringing: &mut Ringing,
    caller: &Caller,
    (id, described): (&str, &Described),
    place: &Place,
) -> Result<(), AppError> {
    let account = described.account.as_str();
    db::access::lock_account(tx, account).await?.ok_or_else(|| Refusal::unknown(account))?;
    let image = described.image.as_str();
    db::access::find_image(tx, image).await?.ok_or_else(|| Refusal::unknown(image))?;
    let policy = db::nodes::bump_policy(tx, &place.node).await?;
    let user_data = described.metadata.user_data.clone().unwrap_or_default();
    let placement = Placement {
        fits: true,
        host: Some(place.node.clone()),
        verdicts: Vec::new(),
        left_out: 0,
        smallest_change: None,
    };
    let placement = serde_json::to_string(&placement).unwrap_or_default();
    let ssh_key = key_of(tx, account, &described.metadata).await?;
    let row = db::instances::NewInstance {
        id,
        account,
        uuid: described.uuid,
        host: &place.node,
        image,
        ssh_key: ssh_key.as_deref(),
        instance_type: &described.metadata.instance_type,
        hostname: &described.hostname,
        display_name: &described.hostname,
        cpu_cores: described.vcpus,
        memory_mib: described.memory_mib,
        disk_mib: described.disk_size_bytes >> 20,
        user_data: &user_data,
        need_policy_version: policy,
        pinned: false,
        placement: &placement,
        placement_group: None,
        placement_policy: None,
        restart_policy: Default::default(),
        node_group: None,
    };
    db::instances::insert(tx, &row).await?;
    let power = place.things.iter().flat_map(|thing| &thing.facts).find(|fact| fact.name == FactName::Power);
    let is_on = power.is_some_and(|fact| fact.value == Fact::Yes);
    db::instances::set_adopted(tx, id, described.generation, is_on).await?;
    write_vifs(tx, id, described, place).await?;
    settle_in(tx, caller, account, id, place).await?;
    snapshot::policy(tx, ringing, &place.node, Cause::fact()).await?;
    for nic in &described.nics {
        snapshot::network(tx, ringing, nic.network.as_str(), Cause::fact()).await?;
    }
    advance::instance::advance(tx, ringing, id, Cause::fact()).await
}

/// The account's key with the same line, if it still has one.
async fn key_of(tx: &mut Tx, account: &str, metadata: &Metadata) -> Result<Option<String>, AppError> {
    for key in &metadata.ssh_keys {
        if let Some(id) = db::access::ssh_key_with_line(tx, account, &key.public_key).await? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

async fn write_vifs(tx: &mut Tx, id: &str, described: &Described, place: &Place) -> Result<(), AppError> {
    let account = described.account.as_str();
    let mut nics: Vec<&Nic> = described.nics.iter().collect();
    nics.sort_by(|a, b| a.network.as_str().cmp(b.network.as_str()));
    let mut groups = Vec::new();
    for group in &described.metadata.security_groups {
        if db::access::hold_group(tx, group.as_str(), account).await? {
            groups.push(group.to_string());
        }
    }
    for nic in nics {
        let network = nic.network.as_str();
        let row = db::networks::lock(tx, network).await?.filter(|row| row.account == account);
        row.ok_or_else(|| Refusal::unknown(network))?;
        let need_version = db::networks::bump(tx, network).await?;
        db::recovery::take_reserved(tx, nic.vif.as_str()).await?;
        let vif = NewVif {
            id: nic.vif.as_str(),
            account,
            instance: id,
            network,
            host: &place.node,
            index: nic.index,
            mac: nic.mac,
            ipv4: nic.ipv4,
            need_version,
            groups: &groups,
        };
        db::networks::insert_vif(tx, &vif).await?;
    }
    Ok(())
}

/// Its facts as last listed, and the timeline's first line.
async fn settle_in(tx: &mut Tx, caller: &Caller, account: &str, id: &str, place: &Place) -> Result<(), AppError> {
    for fact in place.things.iter().flat_map(|thing| &thing.facts).filter(|fact| fact.thing == id) {
        db::facts::observe(tx, &place.agent, fact).await?;
    }
    instances::record(tx, caller, account, id, "adopted", &[("by", caller.token.clone())]).await?;
    Ok(db::events::audit(tx, &caller.who(), "audit.adopt", id).await?)
}

async fn adopt_volume(app: &App, caller: &Caller, id: &str, place: &Place) -> Result<(), Refusal> {
    // A volume's mark names no account: the operator's request does.
    let account = caller.owner()?;
    let thing = place.things.iter().find(|thing| thing.kind == "volume").ok_or_else(|| refused(id))?;
    let size_bytes = thing.detail.as_ref().and_then(|detail| detail["size_bytes"].as_u64());
    let size_bytes = size_bytes.ok_or_else(|| refused(id))?;
    crate::change!(app, "adopt volume", Some(caller.request), |tx, ringing| {
        db::access::lock_account(tx, account).await?.ok_or_else(|| Refusal::unknown(account))?;
        let row = db::volumes::NewVolume {
            id,
            account,
            node: &place.node,
            key: &thing.name,
            size_bytes,
            display_name: id,
            backup_object: None,
            snapshot: None,
            replica: None,
        };
        db::volumes::insert(tx, &row).await?;
        db::volumes::set_adopted(tx, id, thing.generation).await?;
        settle_in(tx, caller, account, id, place).await?;
        advance::volume::advance(tx, ringing, id, Cause::fact()).await
    })?;
    Ok(())
}

/// A snapshot belongs to whom its volume belongs to: an unknown volume is adopted before its snapshots.
async fn adopt_snapshot(app: &App, caller: &Caller, id: &str, place: &Place) -> Result<(), Refusal> {
    let thing = place.things.iter().find(|thing| thing.kind == "snapshot").ok_or_else(|| refused(id))?;
    let told = |name: &str| thing.detail.as_ref().map(|detail| detail[name].clone()).unwrap_or_default();
    let (volume_key, key) = (told("volume_key"), told("key"));
    let (Some(volume_key), Some(key)) = (volume_key.as_str(), key.as_str()) else { return Err(refused(id)) };
    let size_bytes = told("size_bytes").as_u64().ok_or_else(|| refused(id))?;
    crate::change!(app, "adopt snapshot", Some(caller.request), |tx, ringing| {
        let disk = db::volumes::lock_key(tx, volume_key).await?.ok_or_else(|| Refusal::unknown(volume_key))?;
        let row = db::volume_snapshots::NewSnapshot {
            id,
            account: &disk.account,
            volume: &disk.id,
            node: &place.node,
            key,
            size_bytes,
            display_name: id,
        };
        db::volume_snapshots::insert(tx, &row).await?;
        db::volume_snapshots::set_adopted(tx, id, thing.generation).await?;
        settle_in(tx, caller, &disk.account, id, place).await?;
        advance::volume_snapshot::advance(tx, ringing, id, Cause::fact()).await
    })?;
    Ok(())
}

/// What a storage node lists of a target.
#[derive(Debug, Deserialize)]
struct Exported {
    epoch: u64,
    volume: String,
    chap_user: String,
}

/// A plug as a host lists it.
struct Plug {
    agent: String,
    guest: String,
    fact: FactReport,
}

/// Where it is plugged, by the hosts' newest inventories.
async fn plug_of(app: &App, id: &str) -> Result<Option<Plug>, AppError> {
    let is_it = |fact: &&FactReport| fact.name == FactName::Plugged && fact.thing == id && fact.value == Fact::Yes;
    for row in db::agents::inventories(app.db()).await? {
        for thing in &row.inventory.things {
            if let (Some(fact), Some(guest)) = (thing.facts.iter().find(is_it), &thing.owner) {
                let agent = row.inventory.agent.to_string();
                return Ok(Some(Plug { agent, guest: guest.clone(), fact: fact.clone() }));
            }
        }
    }
    Ok(None)
}

fn exported(id: &str, place: &Place) -> Result<(Exported, u64), Refusal> {
    let target = place.things.iter().find(|thing| thing.kind == "target").ok_or_else(|| refused(id))?;
    let detail = target.detail.clone().unwrap_or_default();
    Ok((serde_json::from_value(detail).map_err(|_| refused(id))?, target.generation))
}

async fn adopt_attachment(app: &App, caller: &Caller, id: &str, place: &Place) -> Result<(), Refusal> {
    let (exported, generation) = exported(id, place)?;
    let Plug { agent, guest, fact } = plug_of(app, id).await?.ok_or_else(|| refused(id))?;
    crate::change!(app, "adopt attachment", Some(caller.request), |tx, ringing| {
        db::instances::lock(tx, &guest).await?.ok_or_else(|| Refusal::unknown(&guest))?;
        let disk = db::volumes::lock(tx, &exported.volume).await?;
        let disk = disk.ok_or_else(|| Refusal::unknown(&exported.volume))?;
        let row = volumes::attachment_with(app, id, (&exported.volume, &guest), exported.epoch, &exported.chap_user)?;
        db::volumes::insert_adopted(tx, &AttachmentRow { generation, ..row }).await?;
        db::facts::observe(tx, &agent, &fact).await?;
        settle_in(tx, caller, &disk.account, id, place).await?;
        advance::attachment::advance(tx, ringing, id, Cause::fact()).await?;
        advance::instance::advance(tx, ringing, &guest, Cause::fact()).await
    })?;
    Ok(())
}

/// Unplugged where it is plugged, then unexported.
async fn end_attachment(app: &App, caller: &Caller, id: &str, place: &Place) -> Result<(), Refusal> {
    let (exported, generation) = exported(id, place)?;
    if plug_of(app, id).await?.is_some() {
        adopt_attachment(app, caller, id, place).await?;
        let caller = &Caller { request: crate::rehearsal::uuid_v7(), ..caller.clone() };
        volumes::detach(app, caller, &exported.volume).await?;
        return Ok(());
    }
    crate::change!(app, "end attachment", Some(caller.request), |tx, ringing| {
        let disk = db::volumes::lock(tx, &exported.volume).await?;
        let disk = disk.ok_or_else(|| Refusal::unknown(&exported.volume))?;
        let row = volumes::attachment_with(app, id, (&exported.volume, ""), exported.epoch, &exported.chap_user)?;
        db::volumes::insert_adopted(tx, &AttachmentRow { generation: generation + 1, wanted: false, ..row }).await?;
        settle_in(tx, caller, &disk.account, id, place).await?;
        advance::attachment::advance(tx, ringing, id, Cause::fact()).await
    })?;
    Ok(())
}
