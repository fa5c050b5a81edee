//! Takes in copies without a row, or has them removed: replicas of snapshots, and backups. What they are of and whose, is
//! written beside their marks ([`Origin`]).
//!
//! Rule: one transaction makes the row and, of one that is to go, gives it up; the copy then goes by its own plan, as any other.
//! It belongs to whom its mark names; where that is silent (an older agent wrote it), to its volume's account, else to the one
//! that the operator names. Nobody knows any more what a reader has to show for an adopted backup: only nodes that reach its
//! storage themselves read it.

use super::{Place, refused, settle_in};
use crate::app::advance::{self, Cause};
use crate::app::backups::taken;
use crate::app::{App, AppError, Caller, once, replicas};
use crate::db::backups::work::{self, Copied, NewBackup};
use crate::db::replicas::NewReplica;
use crate::db::{self, Tx};
use arame_schema::api::Refusal;
use arame_schema::jobs::report::InventoryThing;
use arame_schema::jobs::sta::{Origin, StoredBackup};
use arame_schema::model::FactName;

/// What becomes of a copy that gets its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    Removed,
}

/// A member of what a storage node lists of a thing.
fn told(thing: &InventoryThing, name: &str) -> serde_json::Value {
    thing.detail.as_ref().map(|detail| detail[name].clone()).unwrap_or_default()
}

fn origin_of(thing: Option<&InventoryThing>) -> Origin {
    let origin = thing.map(|thing| told(thing, "origin")).unwrap_or_default();
    serde_json::from_value(origin).unwrap_or_default()
}

async fn account_of(app: &App, caller: &Caller, origin: &Origin, volume: Option<&str>) -> Result<String, Refusal> {
    if let Some(account) = &origin.account {
        return Ok(account.to_string());
    }
    let of_volume = match volume {
        Some(volume) => db::volumes::get(app.db(), volume, None).await.map_err(AppError::from)?,
        None => None,
    };
    of_volume.map_or_else(|| caller.owner().map(str::to_owned), |volume| Ok(volume.account_id))
}

/// Two that ask at once: the row of the one is the other's.
fn made_meanwhile(error: AppError) -> Result<(), Refusal> {
    match &error {
        AppError::Db(inner) if inner.duplicate_key().is_some_and(|key| !key.is_empty()) => Ok(()),
        AppError::Db(_) | AppError::Refused(_) | AppError::Planned | AppError::Seal(_) => Err(error.into()),
    }
}

pub(super) async fn replica(
    app: &App,
    caller: &Caller,
    (id, fate): (&str, Fate),
    place: &Place,
) -> Result<(), Refusal> {
    let thing = place.things.iter().find(|thing| thing.kind == "replica").ok_or_else(|| refused(id))?;
    let (volume, origin) = (told(thing, "volume"), origin_of(Some(thing)));
    let volume = volume.as_str().ok_or_else(|| refused(id))?;
    let size_bytes = told(thing, "size_bytes").as_u64().ok_or_else(|| refused(id))?;
    let is_whole = told(thing, "is_whole").as_bool().unwrap_or(false);
    let account = account_of(app, caller, &origin, Some(volume)).await?;
    let adopted = crate::change!(app, "adopt replica", Some(caller.request), |tx, ringing| {
        db::access::lock_account(tx, &account).await?.ok_or_else(|| Refusal::unknown(&account))?;
        if db::replicas::lock(tx, id).await?.is_some() {
            return Ok(());
        }
        let snapshot = origin.snapshot.as_ref().map_or("", |snapshot| snapshot.as_str());
        let row =
            NewReplica { id, account: &account, volume, snapshot, node: &place.node, key: &thing.name, size_bytes };
        db::replicas::insert(tx, &row).await?;
        if is_whole {
            db::replicas::set_adopted(tx, id, thing.generation).await?;
        } else {
            begin_again(app, tx, (id, fate), thing.generation, snapshot).await?;
        }
        settle_in(tx, caller, &account, id, place).await?;
        match fate {
            Fate::Kept => advance::replica::advance(tx, ringing, id, Cause::fact()).await,
            Fate::Removed => replicas::give_back(tx, ringing, caller, id).await,
        }
    });
    adopted.or_else(made_meanwhile)
}

/// A part goes on to be received, which needs its snapshot.
async fn begin_again(
    app: &App,
    tx: &mut Tx,
    (id, fate): (&str, Fate),
    generation: u64,
    snapshot: &str,
) -> Result<(), AppError> {
    db::replicas::set_generation(tx, id, generation).await?;
    if fate == Fate::Removed {
        return Ok(());
    }
    let source = db::volume_snapshots::find(tx, snapshot).await?.ok_or_else(|| {
        let missing = if snapshot.is_empty() { id } else { snapshot };
        Refusal::unknown(missing)
    })?;
    db::replicas::reader_of(tx, &source.id, &taken::reader(app)?).await?;
    Ok(())
}

/// What a storage node has of a backup: the object, and what may be left of its own snapshot.
struct Left<'a> {
    object: Option<&'a InventoryThing>,
    snapshot: Option<&'a InventoryThing>,
    stored: Option<StoredBackup>,
    origin: Origin,
}

impl<'a> Left<'a> {
    fn at(place: &'a Place) -> Self {
        let of_kind = |kind: &str| place.things.iter().find(|thing| thing.kind == kind);
        let object = of_kind("backup");
        let fact = object.and_then(|thing| thing.facts.iter().find(|fact| fact.name == FactName::Object));
        let stored = fact.and_then(|fact| fact.detail.clone());
        Self {
            object,
            snapshot: of_kind("snapshot"),
            stored: stored.and_then(|detail| serde_json::from_value(detail).ok()),
            origin: origin_of(object),
        }
    }

    fn generation(&self) -> u64 {
        self.object.iter().chain(&self.snapshot).map(|thing| thing.generation).max().unwrap_or(0)
    }

    fn copied(&self) -> Option<Copied> {
        let object = self.origin.object.as_ref().map(|object| Copied::Object(object.to_string()));
        object.or_else(|| self.origin.image.as_ref().map(|image| Copied::Image(image.to_string())))
    }
}

pub(super) async fn backup(app: &App, caller: &Caller, (id, fate): (&str, Fate), place: &Place) -> Result<(), Refusal> {
    let left = Left::at(place);
    // A snapshot alone does not say into which storage it was to be copied.
    if left.object.is_none() && fate == Fate::Kept {
        return Err(refused(id));
    }
    let volume = left.origin.volume.as_ref().map(|volume| volume.as_str());
    let account = account_of(app, caller, &left.origin, volume).await?;
    let adopted = crate::change!(app, "adopt backup", Some(caller.request), |tx, ringing| {
        db::access::lock_account(tx, &account).await?.ok_or_else(|| Refusal::unknown(&account))?;
        if work::find(tx, id).await?.is_some() {
            return Ok(());
        }
        insert_backup(tx, (id, &account), place, &left).await?;
        settle_in(tx, caller, &account, id, place).await?;
        if left.object.is_none() {
            // It may be on its way into one.
            db::facts::set_maybe(tx, id, &place.agent, FactName::Object).await?;
        }
        match fate {
            Fate::Kept => advance::backup::advance(tx, ringing, id, Cause::fact()).await,
            Fate::Removed => taken::unwant(tx, ringing, caller, id).await,
        }
    });
    adopted.or_else(made_meanwhile)
}

async fn insert_backup(
    tx: &mut Tx,
    (id, account): (&str, &str),
    place: &Place,
    left: &Left<'_>,
) -> Result<(), AppError> {
    // Its snapshot is dropped by the volume's name on the store: that volume is adopted first.
    let (key, held) = match left.snapshot {
        None => (format!("b{}", hex::encode(once::entropy())), None),
        Some(snapshot) => {
            let (key, volume) = (told(snapshot, "key"), told(snapshot, "volume_key"));
            let (Some(key), Some(volume)) = (key.as_str(), volume.as_str()) else { return Err(refused(id).into()) };
            let disk = db::volumes::lock_key(tx, volume).await?.ok_or_else(|| Refusal::unknown(volume))?;
            (key.to_owned(), Some(disk.id))
        }
    };
    let storage = match left.object {
        Some(object) => object.backend.clone(),
        None => any_storage(tx, place).await?.ok_or_else(|| refused(id))?,
    };
    db::backups::lock_storage(tx, &storage).await?.ok_or_else(|| Refusal::unknown(&storage))?;
    let volume = held.or(left.origin.volume.as_ref().map(ToString::to_string));
    let copied = left.copied();
    let size_bytes = left.stored.as_ref().map_or(0, |stored| stored.size_bytes);
    let row = NewBackup {
        id,
        account,
        storage: &storage,
        volume: volume.as_deref(),
        copied: copied.as_ref(),
        node: &place.node,
        key: &key,
        size_bytes,
        reader_sealed: None,
        display_name: id,
        description: "",
    };
    work::insert(tx, &row).await?;
    Ok(work::set_adopted(tx, id, left.generation(), left.stored.as_ref()).await?)
}

/// One that the node reaches: of a backup that is in none yet.
async fn any_storage(tx: &mut Tx, place: &Place) -> Result<Option<String>, AppError> {
    let agent = db::agents::find(tx, &place.agent).await?;
    Ok(agent.iter().flat_map(taken::told).next())
}
