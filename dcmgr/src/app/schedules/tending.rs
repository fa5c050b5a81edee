//! What the sweep does with a schedule: what its last run made has ended, old things go, a run is due.
//!
//! ```text
//! tend_at has come ──► lock volume, schedule ──► the last run's end is written ──► what is kept no more goes
//!                                                                                   └─► due: made, skipped, or (again) refused
//! ```
//!
//! Rule: all of it is one transaction, with what is made and the next moment in it: whoever comes second, or after a crash,
//! finds a later `tend_at`. What is refused is tried once and written down in a transaction of its own, for which everything is
//! looked at again.

use super::{backup_of, moment, shown, zone_of};
use crate::app::backups::taken;
use crate::app::{App, AppError, Caller, Ringing, volume_snapshots};
use crate::db::backups::work;
use crate::db::schedules::{MadeRow, NewRun, ScheduleRow, Tended, Wish};
use crate::db::volumes::VolumeRow;
use crate::db::{self, Tx};
use crate::plan::retention::{self, Item, Standing, Verdict};
use crate::plan::schedule::{self, Act, Step};
use crate::rehearsal;
use arame_schema::api::{CreateVolumeSnapshot, Failure, Refusal, Role, Timestamp, catalogue};
use arame_schema::model::backup::BackupState;
use arame_schema::model::schedule::{Makes, RunResult};
use jiff::tz::TimeZone;
use time::Duration;

/// Between looks at something that is being made: an eighth of how long it takes already, within these.
const LOOK_AGAIN: std::ops::RangeInclusive<Duration> = Duration::seconds(2)..=Duration::seconds(20);

/// Between looks at something that is to go and is needed still.
const DEFERRED: Duration = Duration::minutes(1);

/// A zone that this machine's files do not know may be known by another dcmgr's, or tomorrow.
const ZONE_UNKNOWN: Duration = Duration::minutes(10);

/// Does what a schedule needs now. Run again, by whomever, it changes nothing.
///
/// # Errors
/// The database's.
pub async fn tend(app: &App, id: &str) -> Result<(), AppError> {
    let tended =
        crate::change!(app, "tend schedule", None, |tx, ringing| { tend_in(app, tx, ringing, (id, None)).await });
    match tended {
        Err(AppError::Refused(refusal)) => {
            crate::change!(app, "tell schedule", None, |tx, ringing| {
                tend_in(app, tx, ringing, (id, Some(&*refusal))).await
            })
        }
        other => other,
    }
}

async fn tend_in(
    app: &App,
    tx: &mut Tx,
    ringing: &mut Ringing,
    (id, refused): (&str, Option<&Refusal>),
) -> Result<(), AppError> {
    let Some((disk, row)) = db::schedules::lock(tx, id).await? else { return Ok(()) };
    let is_early = row.tend_at.is_none_or(|at| at > row.now);
    // What there is may not be known to a database that forgot: nothing is made, nothing deleted, no moment lost.
    if row.deleted || is_early || db::recovery::memory(tx).await?.lost.is_some() {
        return Ok(());
    }
    let mut tended = Tended {
        next_run: row.next_run,
        tend_at: None,
        making: row.making.clone(),
        prunes: row.prunes,
        failures_in_a_row: row.failures_in_a_row,
    };
    let Some(zone) = zone_of(&row.wish.time_zone) else {
        tracing::error!(schedule = id, zone = row.wish.time_zone, "no file of this machine knows this time zone");
        tended.tend_at = Some(Timestamp(row.now.0 + ZONE_UNKNOWN));
        return Ok(db::schedules::set_tended(tx, id, &tended).await?);
    };
    let mut began = settle(tx, &row, &mut tended).await?;
    if tended.prunes {
        tended.prunes = prune(tx, ringing, &disk, &row, &zone).await?;
    }
    if let Some(step) = due(tx, &row, &tended, &zone).await? {
        come(app, tx, ringing, (&row, &step), refused, &mut tended).await?;
        began = Some(row.now);
    }
    tended.tend_at = later(&row, &tended, began);
    Ok(db::schedules::set_tended(tx, id, &tended).await?)
}

/// When there is something to do again.
fn later(row: &ScheduleRow, tended: &Tended, began: Option<Timestamp>) -> Option<Timestamp> {
    let look = tended.making.as_ref().map(|_| {
        let lasts: Duration = began.map_or(Duration::ZERO, |began| row.now.0 - began.0);
        Timestamp(row.now.0 + (lasts / 8_i32).clamp(*LOOK_AGAIN.start(), *LOOK_AGAIN.end()))
    });
    let prune = tended.prunes.then_some(Timestamp(row.now.0 + DEFERRED));
    [tended.next_run, look, prune].into_iter().flatten().min()
}

/// A line of the volume's timeline.
async fn tell(tx: &mut Tx, row: &ScheduleRow, code: &str, values: &[(&str, String)]) -> Result<(), AppError> {
    let mut all = vec![("schedule", row.id.clone())];
    all.extend_from_slice(values);
    let event = db::events::NewEvent {
        account: Some(&row.account),
        resource: &row.volume,
        code,
        values: &all,
        job: None,
        request: None,
    };
    Ok(db::events::insert(tx, &event).await?)
}

/// Writes down how the last run ended, if it has. Answers when one that goes on began.
async fn settle(tx: &mut Tx, row: &ScheduleRow, tended: &mut Tended) -> Result<Option<Timestamp>, AppError> {
    let Some(made) = &row.making else { return Ok(None) };
    let found = db::schedules::find_made(tx, made, row.wish.makes).await?;
    let Some((result, failure)) = end_of(made, found) else {
        return Ok(db::schedules::begun_at(tx, &row.id, made).await?);
    };
    tended.making = None;
    db::schedules::end_run(tx, (&row.id, made), result, failure.as_ref()).await?;
    count(result);
    match (result, failure) {
        (RunResult::Whole, _) => {
            tended.failures_in_a_row = 0;
            tended.prunes = true;
            tell(tx, row, "schedule_ended_well", &[("object", made.clone())]).await?;
        }
        (RunResult::Failed, failure) => {
            tended.failures_in_a_row += 1;
            tended.prunes = true;
            let code = failure.map_or_else(|| "lost".to_owned(), |failure| failure.code);
            let values = [("code", code), ("count", tended.failures_in_a_row.to_string())];
            tell(tx, row, "schedule_failed", &values).await?;
        }
        (RunResult::Making | RunResult::Refused | RunResult::Skipped | RunResult::Ended, _) => {}
    }
    Ok(None)
}

/// How what was made ended; nothing while it is being made.
fn end_of(id: &str, made: Option<MadeRow>) -> Option<(RunResult, Option<Failure>)> {
    let deleted = || Failure::new("schedule_made_deleted").with("made", id);
    let Some(made) = made else { return Some((RunResult::Ended, Some(deleted()))) };
    // Snapshots have the states of backups.
    match BackupState::parse(&made.state) {
        Some(BackupState::Creating) => None,
        Some(BackupState::Available) => Some((RunResult::Whole, None)),
        Some(BackupState::Deleting | BackupState::Deleted) => Some((RunResult::Ended, Some(deleted()))),
        Some(BackupState::Failed | BackupState::Lost) | None => Some((RunResult::Failed, made.failure)),
    }
}

fn count(result: RunResult) {
    metrics::counter!("arame_schedule_runs_total", "result" => result.as_str()).increment(1);
}

/// Lets go what is kept no more. Answers whether something has to wait.
async fn prune(
    tx: &mut Tx,
    ringing: &mut Ringing,
    disk: &VolumeRow,
    row: &ScheduleRow,
    zone: &TimeZone,
) -> Result<bool, AppError> {
    let made = db::schedules::made(tx, &row.id, row.wish.makes).await?;
    let items = items(tx, disk, &row.wish, (&made, None), zone).await?;
    let verdicts = retention::judge(&items, row.wish.keep, zone);
    let caller = caller(&row.id, &row.account);
    for (one, _) in made.iter().zip(&verdicts).filter(|(_, verdict)| **verdict == Verdict::Goes) {
        tell(tx, row, "schedule_pruned", &[("object", one.id.clone())]).await?;
        match row.wish.makes {
            Makes::Backup => taken::unwant(tx, ringing, &caller, &one.id).await?,
            Makes::Snapshot => {
                if let Some((_, snapshot)) = db::volume_snapshots::lock(tx, &one.id).await? {
                    volume_snapshots::unwant(tx, ringing, &caller, &snapshot).await?;
                }
            }
        }
    }
    Ok(verdicts.contains(&Verdict::GoesLater))
}

/// What a schedule made as the retention judges it, with what it will make `next` at the end, if that is asked about. Of what
/// would go it is looked, with its row locked, whether it is needed.
pub(super) async fn items(
    tx: &mut Tx,
    disk: &VolumeRow,
    wish: &Wish,
    (made, next): (&[MadeRow], Option<Item>),
    zone: &TimeZone,
) -> Result<Vec<Item>, AppError> {
    let item = |one: &MadeRow| Item { order: one.seq, made_at: moment(one.created_at), standing: standing(one) };
    let mut items: Vec<Item> = made.iter().map(item).chain(next).collect();
    let verdicts = retention::judge(&items, wish.keep, zone);
    for ((one, item), verdict) in made.iter().zip(&mut items).zip(verdicts) {
        if let (Standing::Whole { marked, .. }, Verdict::Goes) = (item.standing, verdict) {
            let needed = is_needed(tx, disk, wish.makes, &one.id).await?;
            item.standing = Standing::Whole { marked, needed };
        }
    }
    Ok(items)
}

async fn is_needed(tx: &mut Tx, disk: &VolumeRow, makes: Makes, id: &str) -> Result<bool, AppError> {
    match makes {
        // A snapshot may be what the volume goes back to, or have to go in its own order for that.
        Makes::Snapshot => Ok(disk.rollback.is_some()),
        Makes::Backup => {
            work::lock(tx, id).await?;
            Ok(!work::restoring(tx, id).await?.is_empty())
        }
    }
}

fn standing(made: &MadeRow) -> Standing {
    match BackupState::parse(&made.state) {
        Some(BackupState::Creating) => Standing::Making,
        Some(BackupState::Available) => Standing::Whole { marked: made.kept, needed: false },
        Some(BackupState::Deleting | BackupState::Deleted) => Standing::Going,
        Some(BackupState::Failed) => Standing::Failed,
        Some(BackupState::Lost) | None => Standing::Lost,
    }
}

/// The moment that is to be come to now.
async fn due(tx: &mut Tx, row: &ScheduleRow, tended: &Tended, zone: &TimeZone) -> Result<Option<Step>, AppError> {
    let account = db::accounts::find(tx, &row.account).await?;
    let standing = schedule::Standing {
        next_run: row.next_run.filter(|_| row.wish.enabled).map(moment),
        making: tended.making.is_some(),
        account_enabled: account.is_some_and(|account| account.enabled),
    };
    Ok(schedule::step(row.wish.calendar, zone, standing, moment(row.now)))
}

/// Comes to a moment: makes what is to be made, or writes down why not.
async fn come(
    app: &App,
    tx: &mut Tx,
    ringing: &mut Ringing,
    (row, step): (&ScheduleRow, &Step),
    refused: Option<&Refusal>,
    tended: &mut Tended,
) -> Result<(), AppError> {
    tended.next_run = step.next_run.map(shown);
    let scheduled_for = shown(step.moment);
    if db::schedules::has_run(tx, &row.id, scheduled_for).await? {
        return Ok(());
    }
    let mut made = None;
    let (result, failure) = match (step.act, refused) {
        (Act::Skip(skipped), _) => {
            let failure = Failure::new(skipped.code()).with("account", &row.account);
            let failure = failure.with("made", tended.making.as_deref().unwrap_or("-"));
            tell(tx, row, "schedule_skipped", &[("code", failure.code.clone())]).await?;
            (RunResult::Skipped, Some(failure))
        }
        (Act::Make, Some(refusal)) => {
            let failure = failure_of(refusal);
            tended.failures_in_a_row += 1;
            let values = [("code", failure.code.clone()), ("count", tended.failures_in_a_row.to_string())];
            tell(tx, row, "schedule_refused", &values).await?;
            (RunResult::Refused, Some(failure))
        }
        (Act::Make, None) => {
            let run =
                Run { id: &row.id, account: &row.account, volume: &row.volume, wish: &row.wish, moment: scheduled_for };
            made = Some(make(app, tx, ringing, &run).await?);
            tended.making.clone_from(&made);
            (RunResult::Making, None)
        }
    };
    if result != RunResult::Making {
        count(result);
    }
    let new = NewRun {
        schedule: &row.id,
        scheduled_for,
        missed: step.missed,
        result,
        made: made.as_deref(),
        failure: failure.as_ref(),
    };
    Ok(db::schedules::insert_run(tx, &new).await?)
}

fn failure_of(refusal: &Refusal) -> Failure {
    let values = refusal.values.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    Failure { values: values.collect(), ..Failure::new(catalogue::refusal(refusal.code).wire) }
}

/// Who asks for what a schedule makes and deletes: the schedule, for its account.
fn caller(id: &str, account: &str) -> Caller {
    Caller {
        token: id.to_owned(),
        role: Role::Member,
        account: Some(account.to_owned()),
        request: rehearsal::uuid_v7(),
        address: "-".into(),
        idempotency_key: None,
    }
}

/// Something to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    pub id: &'a str,
    pub account: &'a str,
    pub volume: &'a str,
    pub wish: &'a Wish,
    pub moment: Timestamp,
}

/// Makes it, as a person would have. The volume's row is locked, or free.
pub(super) async fn make(app: &App, tx: &mut Tx, ringing: &mut Ringing, run: &Run<'_>) -> Result<String, AppError> {
    let (caller, name) = (caller(run.id, run.account), name_of(run));
    let made = match run.wish.makes {
        Makes::Backup => {
            let request = backup_of(run.wish, &name);
            taken::back_up_in(app, tx, ringing, &caller, (run.volume, &request)).await?
        }
        Makes::Snapshot => {
            let volume_id = run.volume.parse().map_err(|_| Refusal::unknown(run.volume))?;
            let request = CreateVolumeSnapshot { volume_id, display_name: Some(name) };
            volume_snapshots::take_in(tx, ringing, &caller, &request).await?
        }
    };
    db::schedules::set_made_by(tx, &made, run.wish.makes, run.id).await?;
    Ok(made)
}

/// The schedule's name and the moment by its zone's clock.
fn name_of(run: &Run<'_>) -> String {
    let zone = zone_of(&run.wish.time_zone).unwrap_or(TimeZone::UTC);
    let name = match run.wish.display_name.as_str() {
        "" => run.id,
        name => name,
    };
    format!("{name} {}", moment(run.moment).to_zoned(zone).strftime("%Y-%m-%d %H:%M"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn row(state: &str) -> MadeRow {
        MadeRow {
            seq: 1,
            id: "bo-1".into(),
            state: state.into(),
            created_at: Timestamp(datetime!(2026-01-01 03:00 UTC)),
            kept: false,
            failure: (state == "failed").then(|| Failure::new("disk_full")),
        }
    }

    #[test]
    fn a_run_ends_as_what_it_made() {
        let end =
            |state: &str| end_of("bo-1", Some(row(state))).map(|(result, failure)| (result, failure.map(|f| f.code)));
        assert_eq!(end("creating"), None);
        assert_eq!(end("available"), Some((RunResult::Whole, None)));
        assert_eq!(end("failed"), Some((RunResult::Failed, Some("disk_full".into()))));
        for gone in ["deleting", "deleted"] {
            assert_eq!(end(gone), Some((RunResult::Ended, Some("schedule_made_deleted".into()))));
        }
        assert_eq!(end_of("bo-1", None).map(|(result, _)| result), Some(RunResult::Ended));
        assert_eq!(standing(&row("lost")), Standing::Lost, "for a person to see");
    }
}
