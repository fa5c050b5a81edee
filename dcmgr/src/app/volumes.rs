//! What tenants do with volumes.

pub mod path;
pub(super) mod room;

use super::advance::{self, Cause};
use super::instances::record;
use super::{App, AppError, Caller, backups, lists};
use crate::db::volume_snapshots::SnapshotRow;
use crate::db::volumes::{AttachmentRow, NewVolume};
use crate::db::{self, Tx};
use arame_schema::api::{
    Code, CreateVolume, DeleteVolume, DetachVolume, ListFilter, Page, Refusal, UpdateVolume, Volume,
};
use arame_schema::limits::{VOLUME_SIZE_MIB, VOLUMES_MAX};
use arame_schema::model::instance::DesiredInstance;
use arame_schema::model::volume::VolumeState;
use arame_schema::model::volume_snapshot::VolumeSnapshotState;
use arame_schema::model::{AttachmentId, BackupObjectId, VolumeId, VolumeSnapshotId};
use room::Need;

pub async fn list(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<Volume>, Refusal> {
    let (alive, state) = match filter.state.as_deref() {
        None | Some("alive") => (true, None),
        Some("alive_with_deleted") => (false, None),
        Some(word) if VolumeState::parse(word).is_some() => (word != "deleted", Some(word)),
        Some(word) => {
            let expected = VolumeState::ALL.map(VolumeState::as_str).join(" | ");
            let refusal = Refusal::new(Code::InvalidParameter).with("name", "state");
            return Err(refusal.with("value", word).with("expected", expected));
        }
    };
    lists::check_after(app, caller, &filter, db::Long::Volumes).await?;
    let to = db::volumes::Narrowed { account: caller.scope(), alive, state, instance: None, filter: &filter };
    let found = db::volumes::list(app.db(), to).await;
    let (total, results) = found.map_err(AppError::from)?;
    Ok(Page { total, start: filter.start, limit: filter.limit, results })
}

/// Volumes that are attached to an instance, or on their way to or from it.
pub async fn of_instance(app: &App, caller: &Caller, instance: &str) -> Result<Vec<Volume>, Refusal> {
    super::instances::get(app, caller, instance).await?;
    let filter = ListFilter { limit: VOLUMES_MAX as u64, ..ListFilter::default() };
    let to = db::volumes::Narrowed {
        account: caller.scope(),
        alive: true,
        state: None,
        instance: Some(instance),
        filter: &filter,
    };
    Ok(db::volumes::list(app.db(), to).await.map_err(AppError::from)?.1)
}

pub async fn update(app: &App, caller: &Caller, id: &str, change: UpdateVolume) -> Result<Volume, Refusal> {
    crate::change!(app, "update volume", Some(caller.request), |tx, _ringing| {
        lock_own(tx, caller, id).await?;
        if let Some(name) = &change.display_name {
            db::volumes::set_name(tx, id, name).await?;
        }
        Ok(db::events::audit(tx, &caller.who(), "volume.update", id).await?)
    })?;
    get(app, caller, id).await
}

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<Volume, Refusal> {
    let found = db::volumes::get(app.db(), id, caller.scope()).await.map_err(AppError::from)?;
    found.ok_or_else(|| Refusal::unknown(id))
}

/// # Errors
/// No volume may have this size.
pub(super) fn check_size(size_mib: u64) -> Result<(), Refusal> {
    if VOLUME_SIZE_MIB.contains(&size_mib) {
        return Ok(());
    }
    let range = format!("{}..{}", VOLUME_SIZE_MIB.start(), VOLUME_SIZE_MIB.end());
    let refusal = Refusal::new(Code::InvalidParameter).with("name", "volume_size");
    Err(refusal.with("value", size_mib).with("expected", range))
}

pub(super) fn entropy() -> [u8; 8] {
    let mut bytes = [0; 8];
    crate::rehearsal::fill_bytes(&mut bytes);
    bytes
}

pub async fn create(app: &App, caller: &Caller, request: CreateVolume) -> Result<Volume, Refusal> {
    if request.volume_size > 0 || (!request.begins_with_something()) {
        check_size(request.volume_size)?;
    }
    let account = caller.owner()?.to_owned();
    if let Some(key) = &caller.idempotency_key {
        let made = db::access::idempotent(app.db(), &caller.token, key).await.map_err(AppError::from)?;
        if let Some(made) = made {
            return get(app, caller, &made).await;
        }
    }
    let id = crate::change!(app, "create volume", Some(caller.request), |tx, ringing| {
        check_quota(tx, &account, 1).await?;
        if let Some(key) = &caller.idempotency_key
            && let Some(made) = db::access::made_with_key(tx, &caller.token, key).await?
        {
            return Ok(made);
        }
        let name = request.display_name.as_deref().unwrap_or_default();
        let begins = Begins::asked(&request);
        let need = begins.need(tx, caller, request.volume_size).await?;
        let id = insert_new(tx, &account, &need, (name, begins)).await?;
        let by = ("by", caller.token.clone());
        let (code, from) = begins.told();
        let values: Vec<_> = [by].into_iter().chain(from).collect();
        record(tx, caller, &account, &id, code, &values).await?;
        db::events::audit(tx, &caller.who(), "volume.create", &id).await?;
        if let Some(key) = &caller.idempotency_key {
            db::access::set_idempotent(tx, &caller.token, key, &id).await?;
        }
        advance::volume::advance(tx, ringing, &id, Cause::request(caller.request)).await?;
        Ok(id)
    })?;
    get(app, caller, &id).await
}

/// What a new volume holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Begins<'a> {
    Blank,
    Backup(&'a str),
    Snapshot(&'a str),
    Replica(&'a str),
}

impl<'a> Begins<'a> {
    fn asked(request: &'a CreateVolume) -> Self {
        match &request.replica_id {
            Some(from) => Begins::Replica(from.as_str()),
            None => Begins::of(request.backup_object_id.as_ref(), request.snapshot_id.as_ref()),
        }
    }

    pub(super) fn of(backup: Option<&'a BackupObjectId>, snapshot: Option<&'a VolumeSnapshotId>) -> Self {
        match (backup, snapshot) {
            (Some(from), _) => Begins::Backup(from.as_str()),
            (None, Some(from)) => Begins::Snapshot(from.as_str()),
            (None, None) => Begins::Blank,
        }
    }

    /// The event that tells of it, and what it names.
    pub(super) fn told(self) -> (&'static str, Option<(&'static str, String)>) {
        match self {
            Begins::Blank => ("create_requested", None),
            Begins::Backup(from) => ("restore_requested", Some(("object", from.to_owned()))),
            Begins::Snapshot(from) => ("clone_requested", Some(("snapshot", from.to_owned()))),
            Begins::Replica(from) => ("clone_of_replica_requested", Some(("replica", from.to_owned()))),
        }
    }

    /// What it needs of a storage node, of so many MiB or, with 0, as many as what it begins with.
    pub(super) async fn need(self, tx: &mut Tx, caller: &Caller, asked_mib: u64) -> Result<Need, AppError> {
        match self {
            Begins::Blank => Ok(Need::of(asked_mib)),
            Begins::Backup(from) => need_of(tx, caller, from, asked_mib).await,
            Begins::Snapshot(from) => {
                let source = super::volume_snapshots::source_of(tx, caller, from).await?;
                let least = source.size_bytes.div_ceil(1 << 20);
                check_least(asked_mib, least)?;
                Ok(Need { only: Some(source.node), ..Need::of(asked_mib.max(least)) })
            }
            Begins::Replica(from) => {
                let source = super::replicas::source_of_volume(tx, caller, from).await?;
                let least = source.size_bytes.div_ceil(1 << 20);
                check_least(asked_mib, least)?;
                Ok(Need { only: Some(source.node), ..Need::of(asked_mib.max(least)) })
            }
        }
    }
}

/// # Errors
/// It would be smaller than what it begins with.
fn check_least(asked_mib: u64, least: u64) -> Result<(), Refusal> {
    if asked_mib == 0 || asked_mib >= least {
        return Ok(());
    }
    let refusal = Refusal::new(Code::InvalidParameter).with("name", "volume_size").with("value", asked_mib);
    Err(refusal.with("expected", format!(">= {least}")))
}

/// What a volume from a backup needs: at least the room of what was backed up, on a node that can read it.
async fn need_of(tx: &mut Tx, caller: &Caller, from: &str, asked_mib: u64) -> Result<Need, AppError> {
    let row = backups::taken::source_of(tx, caller, from).await?;
    let least = row.size_bytes.div_ceil(1 << 20);
    check_least(asked_mib, least)?;
    backups::taken::need(tx, &row, asked_mib.max(least)).await
}

/// The row of a new volume, on the storage node with the most room, or with its snapshot. The account's row is locked.
pub(super) async fn insert_new(
    tx: &mut Tx,
    account: &str,
    need: &Need,
    (display_name, begins): (&str, Begins<'_>),
) -> Result<String, AppError> {
    let node = room::choose_node(tx, need).await?;
    let id = VolumeId::from_entropy(entropy()).to_string();
    // Short and internal: it is the name in the store and the serial in the guest (20 bytes at most).
    let key = format!("v{}", hex::encode(entropy()));
    let (backup_object, snapshot, replica) = match begins {
        Begins::Blank => (None, None, None),
        Begins::Backup(from) => (Some(from), None, None),
        Begins::Snapshot(from) => (None, Some(from), None),
        Begins::Replica(from) => (None, None, Some(from)),
    };
    let volume = NewVolume {
        id: &id,
        account,
        node: &node,
        key: &key,
        size_bytes: need.mib << 20,
        display_name,
        backup_object,
        snapshot,
        replica,
    };
    db::volumes::insert(tx, &volume).await?;
    Ok(id)
}

/// Whether an account may have so many more volumes. Locks its row.
pub(super) async fn check_quota(tx: &mut Tx, account: &str, more: u64) -> Result<(), AppError> {
    let quota = db::access::lock_account(tx, account).await?.ok_or_else(|| Refusal::unknown(account))?;
    super::recovery::refuse_new(tx).await?;
    let Some(limit) = quota.volumes else { return Ok(()) };
    let used = db::volumes::count_of_account(tx, account).await?;
    if used + more > limit {
        let refusal = Refusal::new(Code::ExceedQuota).with("quota", "volume.count");
        return Err(refusal.with("limit", limit).with("used", used).into());
    }
    Ok(())
}

pub(super) async fn lock_own(tx: &mut Tx, caller: &Caller, id: &str) -> Result<db::volumes::VolumeRow, AppError> {
    let row = db::volumes::lock(tx, id).await?;
    let own = row.filter(|row| !row.deleted && caller.scope().is_none_or(|account| account == row.account));
    Ok(own.ok_or_else(|| Refusal::unknown(id))?)
}

/// Deletes; refused while it has snapshots.
pub async fn delete(app: &App, caller: &Caller, id: &str) -> Result<Vec<String>, Refusal> {
    delete_as(app, caller, id, DeleteVolume::default()).await
}

pub async fn delete_as(app: &App, caller: &Caller, id: &str, request: DeleteVolume) -> Result<Vec<String>, Refusal> {
    crate::change!(app, "delete volume", Some(caller.request), |tx, ringing| {
        let row = lock_own(tx, caller, id).await?;
        if let Some(open) = db::volumes::open_attachment(tx, id).await?
            && open.wanted
        {
            return Err(Refusal::new(Code::VolumeAttached).with("id", id).with("instance", open.instance).into());
        }
        let snapshots = db::volume_snapshots::of_volume(tx, id).await?;
        // One that was never taken holds nothing, one that goes already needs no word.
        let holds = |one: &&SnapshotRow| one.wanted && one.state != VolumeSnapshotState::Failed;
        let held: Vec<&str> = snapshots.iter().filter(holds).map(|one| one.id.as_str()).collect();
        if !held.is_empty() && !request.with_snapshots {
            let refusal = Refusal::new(Code::VolumeHasSnapshots).with("id", id);
            return Err(refusal.with("snapshots", held.join(", ")).into());
        }
        db::events::audit(tx, &caller.who(), "volume.delete", id).await?;
        if !row.wanted {
            return Ok(());
        }
        db::volumes::set_unwanted(tx, id).await?;
        record(tx, caller, &row.account, id, "delete_requested", &[("by", caller.token.clone())]).await?;
        for snapshot in snapshots.iter().filter(|one| one.wanted) {
            super::volume_snapshots::unwant(tx, ringing, caller, snapshot).await?;
        }
        advance::volume::advance(tx, ringing, id, Cause::request(caller.request)).await
    })?;
    Ok(vec![id.to_owned()])
}

/// Attaches to an instance of the same account. The export is made first, then the disk is plugged.
pub async fn attach(app: &App, caller: &Caller, id: &str, instance: &str) -> Result<Volume, Refusal> {
    crate::change!(app, "attach volume", Some(caller.request), |tx, ringing| {
        let machine = db::instances::lock(tx, instance).await?;
        let disk = lock_own(tx, caller, id).await?;
        let machine = machine.filter(|row| row.account == disk.account);
        let machine = machine.ok_or_else(|| Refusal::unknown(instance))?;
        if machine.desired == DesiredInstance::Gone {
            let refusal = Refusal::new(Code::InvalidInstanceState).with("id", instance);
            return Err(refusal.with("state", machine.state).with("needed", "running | halted").into());
        }
        super::moves::refuse_while_moving(tx, instance).await?;
        super::losses::refuse_lost(tx, &machine).await?;
        if let Some(open) = db::volumes::open_attachment(tx, id).await? {
            if open.wanted && open.instance == instance {
                return Ok(());
            }
            return Err(Refusal::new(Code::VolumeAttached).with("id", id).with("instance", open.instance).into());
        }
        if disk.state != VolumeState::Available.as_str() {
            let refusal = Refusal::new(Code::InvalidVolumeState).with("id", id);
            return Err(refusal.with("state", disk.state).with("needed", "available").into());
        }
        if db::volumes::attachments_of_instance(tx, instance).await?.len() >= VOLUMES_MAX {
            let refusal = Refusal::new(Code::ExceedQuota).with("quota", "volumes of one instance");
            return Err(refusal.with("limit", VOLUMES_MAX).with("used", VOLUMES_MAX).into());
        }
        let attaching = Attaching { volume: id, instance, deletes_volume: false };
        let attachment = new_attachment(app, tx, attaching).await?;
        db::volumes::insert_attachment(tx, &attachment).await?;
        db::events::audit(tx, &caller.who(), "volume.attach", id).await?;
        let values = [("by", caller.token.clone()), ("instance", instance.to_owned())];
        record(tx, caller, &disk.account, id, "attach_requested", &values).await?;
        advance::attachment::advance(tx, ringing, &attachment.id, Cause::request(caller.request)).await
    })?;
    get(app, caller, id).await
}

/// What is attached to what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attaching<'a> {
    pub volume: &'a str,
    pub instance: &'a str,
    /// The volume goes with the instance, unless it is detached before.
    pub deletes_volume: bool,
}

pub(super) async fn new_attachment(
    app: &App,
    tx: &mut Tx,
    attaching: Attaching<'_>,
) -> Result<AttachmentRow, AppError> {
    let Attaching { volume, instance, deletes_volume } = attaching;
    let id = AttachmentId::from_entropy(entropy()).to_string();
    let epoch = db::volumes::next_epoch(tx, volume).await?;
    let row = attachment_with(app, &id, (volume, instance), epoch, &id)?;
    Ok(AttachmentRow { deletes_volume, ..row })
}

/// An attachment's row with a new secret.
pub(super) fn attachment_with(
    app: &App,
    id: &str,
    (volume, instance): (&str, &str),
    epoch: u64,
    chap_user: &str,
) -> Result<AttachmentRow, AppError> {
    // 96 random bits as RFC 7143 asks, in 16 characters: the longest secret every initiator takes.
    let mut bits = [0; 12];
    crate::rehearsal::fill_bytes(&mut bits);
    let secret = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE, bits);
    Ok(AttachmentRow {
        chap_user: chap_user.to_owned(),
        id: id.to_owned(),
        volume: volume.to_owned(),
        instance: instance.to_owned(),
        epoch,
        wanted: true,
        generation: 1,
        deletes_volume: false,
        chap_secret_sealed: app.vault().seal(&secret)?,
        forced: false,
        fencing: false,
    })
}

/// Detaches: unplugged first, then the export goes.
pub async fn detach(app: &App, caller: &Caller, id: &str) -> Result<Volume, Refusal> {
    detach_as(app, caller, id, DetachVolume::default()).await
}

/// A guest that holds its volume is told of when it is asked for again; only `force` takes it away, by switching the guest
/// off. Also then the export goes only when the host was seen without the disk.
pub async fn detach_as(app: &App, caller: &Caller, id: &str, request: DetachVolume) -> Result<Volume, Refusal> {
    crate::change!(app, "detach volume", Some(caller.request), |tx, ringing| {
        let found = db::volumes::find_open(tx, id).await?;
        let machine = match &found {
            Some(open) => db::instances::lock(tx, &open.instance).await?,
            None => None,
        };
        let disk = lock_own(tx, caller, id).await?;
        let Some(open) = found else {
            return Err(Refusal::new(Code::VolumeNotAttached).with("id", id).into());
        };
        let is_held = machine.is_some_and(|row| row.failure_code.as_deref() == Some("guest_holds_volume"));
        if !open.wanted && is_held && !request.force {
            return Err(Refusal::new(Code::GuestHoldsVolume).with("id", id).with("instance", open.instance).into());
        }
        if request.force {
            super::moves::refuse_while_moving(tx, &open.instance).await?;
        }
        let verb = if request.force { "volume.detach.force" } else { "volume.detach" };
        db::events::audit(tx, &caller.who(), verb, id).await?;
        let newly_forced = request.force && !open.forced;
        if !open.wanted && !newly_forced {
            return Ok(());
        }
        if newly_forced {
            db::volumes::set_attachment_forced(tx, &open.id).await?;
        }
        db::volumes::set_attachment_unwanted(tx, &open.id).await?;
        db::instances::bump(tx, &open.instance).await?;
        let by = [("by", caller.token.clone())];
        let code = if newly_forced { "force_detach_requested" } else { "detach_requested" };
        record(tx, caller, &disk.account, id, code, &by).await?;
        if newly_forced {
            record(tx, caller, &disk.account, &open.instance, code, &by).await?;
        }
        let cause = Cause::request(caller.request);
        advance::instance::advance(tx, ringing, &open.instance, cause).await?;
        advance::attachment::advance(tx, ringing, &open.id, cause).await
    })?;
    get(app, caller, id).await
}
