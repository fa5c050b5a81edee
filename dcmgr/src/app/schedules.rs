//! Schedules of volumes, as tenants set them: what is made of a volume, when, and how many of those are kept.
//!
//! Rule: a schedule belongs to its volume and ends with it; what it made stays when it ends, and nothing deletes that any more.
//! Whatever it does is done in [`tending`], which both dcmgr may do at any time.

pub mod tending;

use super::backups::taken;
use super::instances::record;
use super::volumes::lock_own;
use super::{App, AppError, Caller, Ringing, once, recovery};
use crate::db::schedules::{ScheduleRow, Wish};
use crate::db::volumes::VolumeRow;
use crate::db::{self, Tx};
use crate::plan::retention::{Item, Standing, Verdict};
use crate::plan::{retention, schedule};
use arame_schema::api::schedule::SCHEDULES_MAX;
use arame_schema::api::{
    BackUpVolume, Code, KeptRun, ListFilter, Page, PlannedRefusal, Refusal, SchedulePlan, SetVolumeSchedule,
    StorageChoice, Timestamp, VolumeSchedule,
};
use arame_schema::model::VolumeScheduleId;
use arame_schema::model::schedule::{Calendar, Every, Keep, Makes, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// Moments that a plan shows.
const NEXT_RUNS_SHOWN: usize = 5;

/// The runs of each stand in the view of one; a list has the last.
pub async fn list(
    app: &App,
    caller: &Caller,
    volume: &str,
    filter: ListFilter,
) -> Result<Page<VolumeSchedule>, Refusal> {
    let mut found = of_volume(app, caller, volume).await?;
    found.iter_mut().for_each(|one| one.runs.clear());
    super::page(found, &filter)
}

pub async fn get(app: &App, caller: &Caller, volume: &str, id: &str) -> Result<VolumeSchedule, Refusal> {
    let found = of_volume(app, caller, volume).await?.into_iter().find(|one| one.id == id);
    found.ok_or_else(|| Refusal::unknown(id))
}

async fn of_volume(app: &App, caller: &Caller, volume: &str) -> Result<Vec<VolumeSchedule>, Refusal> {
    super::volumes::get(app, caller, volume).await?;
    Ok(db::schedules::of_volume(app.db(), volume).await.map_err(AppError::from)?)
}

fn missing(name: &str) -> Refusal {
    Refusal::new(Code::MissingParameter).with("name", name)
}

fn invalid(name: &str, value: impl ToString, expected: &str) -> Refusal {
    Refusal::new(Code::InvalidParameter).with("name", name).with("value", value).with("expected", expected)
}

/// The zone of this IANA name: from the machine's files, or from those that come with the program.
pub(super) fn zone_of(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).or_else(|_| TimeZoneDatabase::bundled().get(name)).ok()
}

/// A zone that a person named, with the name as the zone's files write it.
///
/// # Errors
/// No file knows it.
pub fn checked_zone(name: &str) -> Result<String, Refusal> {
    let short: String = name.chars().take(64).collect();
    let zone = zone_of(&short).ok_or_else(|| invalid("time_zone", &short, "Asia/Tokyo | Europe/Berlin | UTC"))?;
    Ok(zone.iana_name().map_or(short, str::to_owned))
}

/// The wish of a new schedule.
fn new_wish(app: &App, request: &SetVolumeSchedule) -> Result<Wish, Refusal> {
    let every = request.every.ok_or_else(|| missing("every"))?;
    if every != Every::Hour && request.hour.is_none() {
        return Err(missing("hour"));
    }
    if every == Every::Week && request.weekday.is_none() {
        return Err(missing("weekday"));
    }
    let blank = Wish {
        display_name: String::new(),
        makes: request.makes.unwrap_or(Makes::Backup),
        storage: None,
        calendar: Calendar { every, minute: 0, hour: 0, weekday: Weekday::Monday },
        time_zone: app.time_zone().to_owned(),
        keep: Keep::default(),
        enabled: true,
    };
    changed_wish(&blank, request)
}

/// A wish with what a request changes of it.
fn changed_wish(wish: &Wish, request: &SetVolumeSchedule) -> Result<Wish, Refusal> {
    let (old, keep) = (wish.calendar, wish.keep);
    let makes = wish.makes;
    if let Some(other) = request.makes.filter(|other| *other != makes) {
        return Err(invalid("makes", other, makes.as_str()));
    }
    let storage = match (&request.backup_storage_id, makes) {
        (None, _) => wish.storage.clone(),
        (Some(choice), Makes::Backup) => choice.id().map(ToString::to_string),
        (Some(StorageChoice::Any(_)), Makes::Snapshot) => None,
        // It stays in the volume's own pool.
        (Some(StorageChoice::Named(id)), Makes::Snapshot) => return Err(invalid("backup_storage_id", id, "none")),
    };
    Ok(Wish {
        display_name: request.display_name.clone().unwrap_or_else(|| wish.display_name.clone()),
        makes,
        storage,
        calendar: Calendar {
            every: request.every.unwrap_or(old.every),
            minute: request.minute.unwrap_or(old.minute),
            hour: request.hour.unwrap_or(old.hour),
            weekday: request.weekday.unwrap_or(old.weekday),
        },
        time_zone: request.time_zone.as_deref().map_or_else(|| Ok(wish.time_zone.clone()), checked_zone)?,
        keep: Keep {
            last: request.keep_last.unwrap_or(keep.last),
            hourly: request.keep_hourly.unwrap_or(keep.hourly),
            daily: request.keep_daily.unwrap_or(keep.daily),
            weekly: request.keep_weekly.unwrap_or(keep.weekly),
            monthly: request.keep_monthly.unwrap_or(keep.monthly),
        },
        enabled: request.enabled.unwrap_or(wish.enabled),
    })
}

/// What a backup by this schedule would be asked for with.
fn backup_of(wish: &Wish, name: &str) -> BackUpVolume {
    let backup_storage_id = wish.storage.as_deref().and_then(|id| id.parse().ok());
    BackUpVolume { backup_storage_id, description: None, display_name: Some(name.to_owned()) }
}

/// Its backups have a place; a storage that was never reached is told now, and not at night.
async fn check_place(tx: &mut Tx, disk: &VolumeRow, wish: &Wish) -> Result<(), AppError> {
    match wish.makes {
        Makes::Snapshot => Ok(()),
        Makes::Backup => taken::choose_storage(tx, disk, &backup_of(wish, "")).await.map(drop),
    }
}

/// The first moment after now; none of one that is switched off.
fn first_run(wish: &Wish, now: Timestamp) -> Result<Option<Timestamp>, AppError> {
    if !wish.enabled {
        return Ok(None);
    }
    let zone = zone_of(&wish.time_zone).ok_or_else(|| invalid("time_zone", &wish.time_zone, "Asia/Tokyo"))?;
    Ok(schedule::next(wish.calendar, &zone, moment(now)).map(shown))
}

/// A volume that may have schedules: it is not going.
async fn lock_volume(tx: &mut Tx, caller: &Caller, id: &str) -> Result<VolumeRow, AppError> {
    let disk = lock_own(tx, caller, id).await?;
    if disk.wanted {
        return Ok(disk);
    }
    let refusal = Refusal::new(Code::InvalidVolumeState).with("id", id).with("state", &disk.state);
    Err(refusal.with("needed", "available | attached").into())
}

async fn check_count(tx: &mut Tx, volume: &str) -> Result<(), AppError> {
    if db::schedules::count(tx, volume).await? < SCHEDULES_MAX as u64 {
        return Ok(());
    }
    let refusal = Refusal::new(Code::TooMany).with("id", volume).with("what", "schedules");
    Err(refusal.with("limit", SCHEDULES_MAX).into())
}

pub async fn create(
    app: &App,
    caller: &Caller,
    volume: &str,
    request: SetVolumeSchedule,
) -> Result<VolumeSchedule, Refusal> {
    super::volumes::get(app, caller, volume).await?;
    let wish = new_wish(app, &request)?;
    let id = crate::change!(app, "create schedule", Some(caller.request), |tx, _ringing| {
        let disk = lock_volume(tx, caller, volume).await?;
        if let Some(made) = once::made(tx, caller, VolumeScheduleId::PREFIX).await? {
            return Ok(made);
        }
        recovery::refuse_new(tx).await?;
        check_count(tx, volume).await?;
        check_place(tx, &disk, &wish).await?;
        let id = VolumeScheduleId::from_entropy(once::entropy()).to_string();
        let next_run = first_run(&wish, db::schedules::now(tx).await?)?;
        db::schedules::insert(tx, (&id, &disk.account, volume), &wish, next_run).await?;
        tell(tx, caller, &disk, ("schedule_created", &id)).await?;
        once::keep(tx, caller, "volume_schedule.create", &id).await?;
        Ok(id)
    })?;
    get(app, caller, volume, &id).await
}

/// A line of the volume's timeline about what somebody did with a schedule.
async fn tell(tx: &mut Tx, caller: &Caller, disk: &VolumeRow, (code, id): (&str, &str)) -> Result<(), AppError> {
    let values = [("by", caller.token.clone()), ("schedule", id.to_owned())];
    record(tx, caller, &disk.account, &disk.id, code, &values).await
}

/// The volume's and the schedule's rows, if the caller may change them.
async fn lock(tx: &mut Tx, caller: &Caller, volume: &str, id: &str) -> Result<(VolumeRow, ScheduleRow), AppError> {
    let disk = lock_own(tx, caller, volume).await?;
    let found = db::schedules::lock(tx, id).await?.map(|(_, row)| row);
    let row = found.filter(|row| row.volume == disk.id && !row.deleted).ok_or_else(|| Refusal::unknown(id))?;
    Ok((disk, row))
}

/// A change of when it comes counts from now: a moment that has passed is not made up for. Of a new retention something is
/// deleted after the next run that ends well.
pub async fn update(
    app: &App,
    caller: &Caller,
    (volume, id): (&str, &str),
    request: SetVolumeSchedule,
) -> Result<VolumeSchedule, Refusal> {
    crate::change!(app, "update schedule", Some(caller.request), |tx, _ringing| {
        let (disk, row) = lock(tx, caller, volume, id).await?;
        let wish = changed_wish(&row.wish, &request)?;
        if wish.storage != row.wish.storage {
            check_place(tx, &disk, &wish).await?;
        }
        let when = |wish: &Wish| (wish.calendar, wish.time_zone.clone(), wish.enabled);
        let next_run = if when(&wish) == when(&row.wish) { row.next_run } else { first_run(&wish, row.now)? };
        db::schedules::update(tx, id, &wish, next_run).await?;
        tell(tx, caller, &disk, ("schedule_changed", id)).await?;
        Ok(db::events::audit(tx, &caller.who(), "volume_schedule.update", id).await?)
    })?;
    get(app, caller, volume, id).await
}

/// What it made stays, and belongs to nobody's retention from then on.
pub async fn delete(app: &App, caller: &Caller, volume: &str, id: &str) -> Result<Vec<String>, Refusal> {
    crate::change!(app, "delete schedule", Some(caller.request), |tx, _ringing| {
        let (disk, _) = lock(tx, caller, volume, id).await?;
        db::schedules::delete(tx, id).await?;
        tell(tx, caller, &disk, ("schedule_deleted", id)).await?;
        Ok(db::events::audit(tx, &caller.who(), "volume_schedule.delete", id).await?)
    })?;
    Ok(vec![id.to_owned()])
}

/// What a schedule would do: of a new one, or of one that is there with what is asked for changed. Nothing is changed.
pub async fn plan(
    app: &App,
    caller: &Caller,
    (volume, id): (&str, Option<&str>),
    request: SetVolumeSchedule,
) -> Result<SchedulePlan, Refusal> {
    super::volumes::get(app, caller, volume).await?;
    let (mut plan, planned) = crate::transact!(app.db(), "plan schedule", None, AppError, |tx| {
        let (disk, wish) = match id {
            None => (lock_volume(tx, caller, volume).await?, new_wish(app, &request)?),
            Some(id) => {
                let (disk, row) = lock(tx, caller, volume, id).await?;
                (disk, changed_wish(&row.wish, &request)?)
            }
        };
        let now = db::schedules::now(tx).await?;
        let plan = told(tx, &disk, (id, &wish), now).await?;
        Ok((plan, (disk, wish, now)))
    })?;
    let (disk, wish, now) = planned;
    let id = id.unwrap_or("vsc-planned");
    let tried: Result<(), AppError> = crate::transact!(app.db(), "plan run", None, AppError, |tx| {
        let run = tending::Run { id, account: &disk.account, volume, wish: &wish, moment: now };
        tending::make(app, tx, &mut Ringing::default(), &run).await?;
        Err(AppError::Planned)
    });
    match tried {
        Ok(()) | Err(AppError::Planned) => {}
        Err(AppError::Refused(refusal)) => plan.refusals.push(PlannedRefusal::from(&*refusal)),
        Err(error) => return Err(error.into()),
    }
    Ok(plan)
}

/// When it comes, and what is kept after the next run that ends well.
async fn told(
    tx: &mut Tx,
    disk: &VolumeRow,
    (id, wish): (Option<&str>, &Wish),
    now: Timestamp,
) -> Result<SchedulePlan, AppError> {
    let zone = zone_of(&wish.time_zone).ok_or_else(|| invalid("time_zone", &wish.time_zone, "Asia/Tokyo"))?;
    let mut next_runs = Vec::new();
    let mut at = moment(now);
    while let Some(next) = schedule::next(wish.calendar, &zone, at).filter(|_| next_runs.len() < NEXT_RUNS_SHOWN) {
        next_runs.push(shown(next));
        at = next;
    }
    let Some(id) = id else { return Ok(SchedulePlan { next_runs, ..SchedulePlan::default() }) };
    let made = db::schedules::made(tx, id, wish.makes).await?;
    let next = Item {
        order: u64::MAX,
        made_at: moment(next_runs.first().copied().unwrap_or(now)),
        standing: Standing::Whole { marked: false, needed: false },
    };
    let items = tending::items(tx, disk, wish, (&made, Some(next)), &zone).await?;
    let verdicts = retention::judge(&items, wish.keep, &zone);
    let mut plan = SchedulePlan { next_runs, ..SchedulePlan::default() };
    for (one, verdict) in made.iter().zip(verdicts).rev() {
        match verdict {
            Verdict::Stays(because) => plan.keeps.push(KeptRun {
                id: one.id.clone(),
                created_at: Some(one.created_at),
                because: because.as_str().to_owned(),
            }),
            Verdict::Goes => plan.deletes.push(one.id.clone()),
            Verdict::GoesLater => plan.deferred.push(one.id.clone()),
            Verdict::Going => {}
        }
    }
    Ok(plan)
}

/// A moment of the database's clock as the plans count it.
fn moment(at: Timestamp) -> jiff::Timestamp {
    let millis = at.0.unix_timestamp_nanos().div_euclid(1_000_000);
    let millis = i64::try_from(millis).expect("a DATETIME has less than ten thousand years");
    jiff::Timestamp::from_millisecond(millis).expect("a DATETIME has less than ten thousand years")
}

fn shown(moment: jiff::Timestamp) -> Timestamp {
    let nanos = i128::from(moment.as_millisecond()) * 1_000_000;
    let at = time::OffsetDateTime::from_unix_timestamp_nanos(nanos);
    Timestamp(at.expect("a plan's moments have less than ten thousand years"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn wish() -> Wish {
        Wish {
            display_name: "nightly".into(),
            makes: Makes::Snapshot,
            storage: None,
            calendar: Calendar { every: Every::Day, minute: 5, hour: 3, weekday: Weekday::Monday },
            time_zone: "Asia/Tokyo".into(),
            keep: Keep { last: 3, ..Keep::default() },
            enabled: true,
        }
    }

    #[test]
    fn what_is_absent_stays_and_what_cannot_be_changed_is_refused() {
        assert_eq!(changed_wish(&wish(), &SetVolumeSchedule::default()).unwrap(), wish());
        let change = SetVolumeSchedule { keep_daily: Some(7), enabled: Some(false), ..SetVolumeSchedule::default() };
        let changed = changed_wish(&wish(), &change).unwrap();
        assert_eq!((changed.keep.last, changed.keep.daily, changed.enabled), (3, 7, false));
        let storage = Some("bkst-far".parse().unwrap());
        for refused in [
            SetVolumeSchedule { makes: Some(Makes::Backup), ..SetVolumeSchedule::default() },
            SetVolumeSchedule { backup_storage_id: storage, ..SetVolumeSchedule::default() },
            SetVolumeSchedule { time_zone: Some("Asia/Tokio".into()), ..SetVolumeSchedule::default() },
        ] {
            assert_eq!(changed_wish(&wish(), &refused).unwrap_err().code, Code::InvalidParameter, "{refused:?}");
        }
    }

    #[test]
    fn a_zone_is_known_by_its_own_name_and_moments_go_both_ways() {
        assert_eq!(checked_zone("asia/tokyo").unwrap(), "Asia/Tokyo");
        let at = Timestamp(datetime!(2026-11-23 18:05:00.123 UTC));
        assert_eq!(shown(moment(at)), at);
        let next = first_run(&wish(), Timestamp(datetime!(2026-11-23 18:05:00 UTC))).unwrap();
        assert_eq!(next, Some(Timestamp(datetime!(2026-11-24 18:05:00 UTC))), "03:05 in Tokyo");
    }
}
