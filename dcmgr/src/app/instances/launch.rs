//! A launch: everything is allocated and the first jobs are queued, or nothing is (DESIGN 3.11).
//!
//! Rule: what is only read is read before the account's row is locked, because launches of one account wait for each other
//! from there on; then locks are taken in their order.

use super::super::advance::{self, Cause, snapshot};
use super::super::placement::company::Wishes;
use super::super::{App, AppError, Caller, Ringing, labels, placement, recovery};
use super::{addresses, disks, event_of, get};
use crate::db::access::ImageRow;
use crate::db::networks::{NetworkRow, NewVif};
use crate::db::{self, Tx};
use crate::plan::placement::Demand;
use arame_schema::api::{Code, CreateInstance, Instance, Refusal, VifRequest};
use arame_schema::limits::{CPU_CORES, HOSTNAME_LENGTH_MAX, MEMORY_MIB, NICS_MAX, USER_DATA_BYTES_MAX};
use arame_schema::model::{InstanceId, MacAddress, VifId};
use std::collections::BTreeMap;
use tokio::time::Instant;

/// MACs of our own choosing tried for one interface: sixteen taken ones in a row are no accident.
pub(in crate::app) const MAC_DRAWS_MAX: u32 = 16;

/// Boot disk when neither a type nor a size is named.
const DISK_MIB_DEFAULT: u64 = 1024;

/// A machine's size.
pub(super) struct Size {
    name: String,
    cpu_cores: u32,
    memory_mib: u64,
    disk_mib: u64,
}

pub(super) async fn size_of(app: &App, request: &CreateInstance) -> Result<Size, Refusal> {
    let types = db::access::instance_types(app.db()).await.map_err(AppError::from)?;
    let named = match &request.instance_type {
        None => None,
        Some(word) => {
            let found = types.iter().find(|t| t.id == *word || t.name == *word);
            Some(found.ok_or_else(|| {
                Refusal::new(Code::InvalidParameter)
                    .with("name", "instance_type")
                    .with("value", word)
                    .with("expected", types.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(" | "))
            })?)
        }
    };
    let missing = |name: &str| Refusal::new(Code::MissingParameter).with("name", name);
    let cpu_cores = request.cpu_cores.or(named.map(|t| t.cpu_cores)).ok_or_else(|| missing("cpu_cores"))?;
    let memory_mib = request.memory_size.or(named.map(|t| t.memory_size)).ok_or_else(|| missing("memory_size"))?;
    let outside = |name: &str, value: String, expected: String| {
        Refusal::new(Code::InvalidParameter).with("name", name).with("value", value).with("expected", expected)
    };
    if !CPU_CORES.contains(&cpu_cores) {
        return Err(outside("cpu_cores", cpu_cores.to_string(), format!("{}..{}", CPU_CORES.start(), CPU_CORES.end())));
    }
    if !MEMORY_MIB.contains(&memory_mib) {
        let range = format!("{}..{}", MEMORY_MIB.start(), MEMORY_MIB.end());
        return Err(outside("memory_size", memory_mib.to_string(), range));
    }
    let disk_mib = named.map_or(DISK_MIB_DEFAULT, |t| t.disk_size);
    Ok(Size { name: named.map(|t| t.name.clone()).unwrap_or_default(), cpu_cores, memory_mib, disk_mib })
}

pub(super) fn check_hostname(hostname: &str) -> Result<String, Refusal> {
    let lower = hostname.to_ascii_lowercase();
    let formed = !lower.is_empty()
        && lower.len() <= HOSTNAME_LENGTH_MAX
        && !lower.starts_with('-')
        && !lower.ends_with('-')
        && lower.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if formed {
        return Ok(lower);
    }
    Err(Refusal::new(Code::InvalidParameter)
        .with("name", "hostname")
        .with("value", hostname.chars().take(80).collect::<String>())
        .with("expected", "[0-9a-z][0-9a-z-]{0,31}"))
}

pub(super) fn demand(request: &CreateInstance, size: &Size, image: &ImageRow) -> Demand {
    Demand {
        cpu_cores: u64::from(size.cpu_cores),
        memory_mib: size.memory_mib,
        disk_mib: size.disk_mib,
        hypervisor: request.hypervisor.clone(),
        arch: image.arch.clone(),
        host: request.host_node_id.as_ref().map(ToString::to_string),
        ..Demand::default()
    }
}

pub(super) fn wishes<'a>(request: &'a CreateInstance, account: &'a str, id: &'a str) -> Wishes<'a> {
    Wishes {
        instance: id,
        account,
        group: request.placement_group.as_deref(),
        policy: request.placement_policy.unwrap_or_default(),
        node_group: request.node_group.as_ref().map(AsRef::as_ref),
    }
}

pub(super) fn check_request(request: &CreateInstance) -> Result<(), Refusal> {
    let invalid = |name: &str, value: String, expected: String| {
        Refusal::new(Code::InvalidParameter).with("name", name).with("value", value).with("expected", expected)
    };
    if request.vifs.len() > NICS_MAX {
        return Err(invalid("vifs", request.vifs.len().to_string(), format!("0..{NICS_MAX}")));
    }
    let mut indexes: Vec<u32> = request.vifs.values().map(|vif| vif.index).collect();
    indexes.sort_unstable();
    indexes.dedup();
    if indexes.len() != request.vifs.len() {
        return Err(invalid("vifs[index]", "twice the same".into(), "0, 1, 2, …".into()));
    }
    if let Some(data) = &request.user_data
        && data.len() > USER_DATA_BYTES_MAX
    {
        return Err(Refusal::new(Code::TooLarge).with("limit", USER_DATA_BYTES_MAX));
    }
    request.labels.iter().try_for_each(|(name, value)| labels::check(name, value))?;
    disks::check(request)
}

pub(super) async fn image_of(tx: &mut Tx, request: &CreateInstance, account: &str) -> Result<ImageRow, AppError> {
    let id = request.image_id.as_str();
    let row = db::access::usable_image(tx, id, account).await?.ok_or_else(|| Refusal::unknown(id))?;
    if row.is_uploaded() && !row.is_settled() && (!row.is_offered() || row.failure.is_some()) {
        // Whoever has the bytes may never bring them: there is nothing to wait for.
        return Err(Refusal::new(Code::InvalidImageState).with("id", id).with("state", "pending").into());
    }
    Ok(row)
}

/// Launches: everything is allocated, the first jobs are queued, or nothing is (DESIGN 3.11).
pub async fn create(app: &App, caller: &Caller, request: CreateInstance) -> Result<Instance, Refusal> {
    check_request(&request)?;
    let size = size_of(app, &request).await?;
    let account = caller.owner()?.to_owned();
    if let Some(key) = &caller.idempotency_key {
        let made = db::access::idempotent(app.db(), &caller.token, key).await.map_err(AppError::from)?;
        if let Some(made) = made {
            return get(app, caller, &made).await;
        }
    }
    let hostname = request.hostname.as_deref().map(check_hostname).transpose()?;
    let id = crate::change!(app, "create instance", Some(caller.request), |tx, ringing| {
        let id = InstanceId::from_entropy(entropy()).to_string();
        let name = hostname.clone().unwrap_or_else(|| id.clone());
        let new = New { app, caller, account: &account, id: &id, hostname: &name, request: &request, size: &size };
        create_in(tx, ringing, &new).await
    })
    .map_err(|error| duplicate_of(error, hostname.as_deref(), &request))?;
    get(app, caller, &id).await
}

pub(super) struct New<'a> {
    pub app: &'a App,
    pub caller: &'a Caller,
    pub account: &'a str,
    pub id: &'a str,
    pub hostname: &'a str,
    pub request: &'a CreateInstance,
    pub size: &'a Size,
}

/// A unique key that refused the row, told as what it means.
pub(super) fn duplicate_of(error: AppError, hostname: Option<&str>, request: &CreateInstance) -> AppError {
    let AppError::Db(inner) = &error else { return error };
    let Some(key) = inner.duplicate_key() else { return error };
    match key.rsplit('.').next().unwrap_or(&key) {
        "hostname" => Refusal::new(Code::DuplicateHostname).with("hostname", hostname.unwrap_or_default()).into(),
        "mac" => {
            let asked = request.vifs.values().filter_map(|vif| vif.mac_addr).map(|mac| mac.to_string());
            Refusal::new(Code::DuplicateMacAddress).with("mac", asked.collect::<Vec<_>>().join(", ")).into()
        }
        _ => error,
    }
}

pub(super) fn entropy() -> [u8; 8] {
    let mut bytes = [0; 8];
    crate::rehearsal::fill_bytes(&mut bytes);
    bytes
}

/// Answers the id of what was made, now or by an earlier request with the same key.
pub(super) async fn create_in(tx: &mut Tx, ringing: &mut Ringing, new: &New<'_>) -> Result<String, AppError> {
    let New { app, caller, account, id, request, size, .. } = *new;
    // Launches of one account wait for each other from its lock on: what needs none is read before.
    recovery::refuse_new(tx).await?;
    let image = image_of(tx, request, account).await?;
    let ssh_key = key_of(tx, request, account).await?;
    let mut demand = demand(request, size, &image);
    let begin = Instant::now();
    let ranking = placement::look(tx, app.hosts_hint(), &demand).await?;
    let looked = begin.elapsed();
    let quota = db::access::lock_account(tx, account).await?.ok_or_else(|| Refusal::unknown(account))?;
    if let Some(key) = &caller.idempotency_key
        && let Some(made) = db::access::made_with_key(tx, &caller.token, key).await?
    {
        return Ok(made);
    }
    if let Some(limit) = quota.instances {
        let used = db::instances::count_of_account(tx, account).await?;
        if used >= limit {
            let refusal = Refusal::new(Code::ExceedQuota);
            return Err(refusal.with("quota", "instance.count").with("limit", limit).with("used", used).into());
        }
    }
    disks::check_quota(tx, new).await?;
    let networks = lock_networks(tx, account, request).await?;
    let begin = Instant::now();
    placement::company::add(tx, &mut demand, wishes(request, account, id)).await?;
    let placement = placement::lock_best(tx, app.hosts_hint(), &mut demand, ranking).await?;
    metrics::histogram!("arame_placement_seconds").record(looked + begin.elapsed());
    let Some(host) = placement.host.clone() else {
        let detail = serde_json::to_value(&placement).unwrap_or_default();
        return Err(Refusal::new(Code::OutOfHostCapacity).with_detail(detail).into());
    };
    let policy = db::nodes::bump_policy(tx, &host).await?;
    let made = disks::make(tx, new).await?;
    if !db::access::hold_image(tx, &image.id).await? {
        return Err(Refusal::unknown(&image.id).into());
    }
    let told = serde_json::to_string(&placement).unwrap_or_default();
    let row = db::instances::NewInstance {
        id,
        account,
        uuid: crate::rehearsal::uuid_v4(),
        host: &host,
        image: &image.id,
        ssh_key: ssh_key.as_deref(),
        instance_type: &size.name,
        hostname: new.hostname,
        display_name: request.display_name.as_deref().unwrap_or(new.hostname),
        cpu_cores: size.cpu_cores,
        memory_mib: size.memory_mib,
        disk_mib: size.disk_mib,
        user_data: request.user_data.as_deref().unwrap_or_default(),
        need_policy_version: policy,
        pinned: request.host_node_id.is_some(),
        placement: &told,
        placement_group: request.placement_group.as_deref(),
        placement_policy: request.placement_group.as_ref().map(|_| request.placement_policy.unwrap_or_default()),
        node_group: request.node_group.as_ref().map(AsRef::as_ref),
        restart_policy: request.restart_policy.unwrap_or_default(),
    };
    db::instances::insert(tx, &row).await?;
    let (groups, versions) = plug_in(tx, new, &host, networks).await?;
    let told: [(&str, &[(&str, String)]); 2] =
        [("create_requested", &[("by", caller.token.clone())]), ("placed", &[("host", host.clone())])];
    let told = told.map(|(code, values)| event_of(caller, account, id, code, values));
    db::events::insert_all(tx, &told).await?;
    for (name, value) in &request.labels {
        db::labels::set(tx, id, name, value).await?;
    }
    db::events::audit(tx, &caller.who(), "instance.create", id).await?;
    if let Some(key) = &caller.idempotency_key {
        db::access::set_idempotent(tx, &caller.token, key, id).await?;
    }
    let cause = Cause::request(caller.request);
    snapshot::policy(tx, ringing, &host, cause).await?;
    for (network, version) in versions {
        snapshot::network_version(tx, ringing, &network, version, cause).await?;
    }
    placement::members_changed(tx, ringing, &groups, &host).await?;
    disks::attach(tx, ringing, new, made).await?;
    if image.failure.is_some() {
        advance::instance::advance(tx, ringing, id, cause).await?;
    }
    // Else there is nothing to decide yet: it needs a version of its host's policy that was given here.
    Ok(id.to_owned())
}

async fn key_of(tx: &mut Tx, request: &CreateInstance, account: &str) -> Result<Option<String>, AppError> {
    let Some(key) = &request.ssh_key_id else { return Ok(None) };
    if db::access::ssh_key(tx, key.as_str(), account).await?.is_none() {
        return Err(Refusal::unknown(key.as_str()).into());
    }
    Ok(Some(key.to_string()))
}

/// The networks of the request's interfaces, locked in the order of their ids. Without an interface the account's
/// first network is meant: a machine that cannot be reached helps nobody.
async fn lock_networks(
    tx: &mut Tx,
    account: &str,
    request: &CreateInstance,
) -> Result<Vec<(VifRequest, NetworkRow)>, AppError> {
    let mut wanted: Vec<VifRequest> = request.vifs.values().cloned().collect();
    if wanted.is_empty()
        && let Some(first) = db::networks::first_of_account(tx, account).await?
        && let Ok(network) = first.parse()
    {
        let security_groups = request.security_groups.clone();
        wanted.push(VifRequest { index: 0, network, security_groups, ipv4_addr: None, mac_addr: None });
    }
    wanted.sort_by(|a, b| (&a.network, a.index).cmp(&(&b.network, b.index)));
    let mut networks = Vec::with_capacity(wanted.len());
    for vif in wanted {
        let id = vif.network.as_str();
        let row = db::networks::lock(tx, id).await?.filter(|row| row.account == account && !row.is_deleted);
        networks.push((vif.clone(), row.ok_or_else(|| Refusal::unknown(id))?));
    }
    Ok(networks)
}

/// Gives every interface its address, MAC and groups. Answers the groups that gained a member, and the networks' versions
/// that know the interfaces.
async fn plug_in(
    tx: &mut Tx,
    new: &New<'_>,
    host: &str,
    networks: Vec<(VifRequest, NetworkRow)>,
) -> Result<(Vec<String>, BTreeMap<String, u64>), AppError> {
    let (mut all_groups, mut versions) = (Vec::new(), BTreeMap::new());
    for (vif, network) in networks {
        let ipv4 = addresses::address_for(tx, new.app, vif.ipv4_addr, &network).await?;
        let groups = groups_for(tx, new, &vif).await?;
        let need_version = db::networks::bump(tx, &network.id).await?;
        let id = VifId::from_entropy(entropy()).to_string();
        let row = NewVif {
            id: &id,
            account: new.account,
            instance: new.id,
            network: &network.id,
            host,
            index: vif.index,
            mac: vif.mac_addr.unwrap_or_else(local_mac),
            ipv4,
            need_version,
            groups: &groups,
        };
        insert_vif(tx, row, vif.mac_addr.is_none()).await?;
        all_groups.extend(groups);
        versions.insert(network.id, need_version);
    }
    Ok((all_groups, versions))
}

/// A MAC of our own choosing that somebody has is drawn anew: with 20,000 machines one launch in 800 meets one.
async fn insert_vif(tx: &mut Tx, mut row: NewVif<'_>, is_drawn: bool) -> Result<(), AppError> {
    let mut draws = if is_drawn { MAC_DRAWS_MAX } else { 1 };
    loop {
        draws -= 1;
        match db::networks::insert_vif(tx, &row).await {
            Err(error) if draws > 0 && error.is_duplicate("mac") => row.mac = local_mac(),
            ended => return Ok(ended?),
        }
    }
}

/// `52:54:00` is the prefix the original and QEMU use for guests; the rest is random, the unique key decides.
pub(in crate::app) fn local_mac() -> MacAddress {
    let [a, b, c, ..] = entropy();
    MacAddress([0x52, 0x54, 0x00, a, b, c])
}

async fn groups_for(tx: &mut Tx, new: &New<'_>, vif: &VifRequest) -> Result<Vec<String>, AppError> {
    let asked = if vif.security_groups.is_empty() { &new.request.security_groups } else { &vif.security_groups };
    let mut groups: Vec<String> = asked.iter().map(ToString::to_string).collect();
    groups.sort();
    groups.dedup();
    if groups.is_empty() {
        return Ok(Vec::from_iter(db::access::hold_default_group(tx, new.account).await?));
    }
    for group in &groups {
        if !db::access::hold_group(tx, group, new.account).await? {
            return Err(Refusal::unknown(group).into());
        }
    }
    Ok(groups)
}
