//! The timer: what no message woke up is found here. Polling is only the fallback.

use crate::app::advance::{self, Cause};
use crate::app::{App, AppError, consoles, networks, outcome, schedules, silences};
use crate::db;
use arame_schema::limits::DNS_TTL_SECONDS;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between looks at overdue jobs and unsettled rows.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Looks between two sweeps of what has grown old.
const SWEEP_EVERY: u32 = 30;

/// Least time a released address cools (DESIGN 3.11): the DNS TTL, which is 60 s as well.
const COOL_SECONDS: u32 = DNS_TTL_SECONDS;

/// Commits that follow each other closely share one numbering.
const NUMBER_PAUSE: Duration = Duration::from_millis(15);

/// Events left unnumbered by a process that died are numbered after this.
const NUMBER_FALLBACK: Duration = Duration::from_secs(5);

pub async fn run(app: App, stop: CancellationToken) {
    let mut timer = tokio::time::interval(LOOK_EVERY);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks: u32 = 0;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = timer.tick() => {}
        }
        looks = looks.wrapping_add(1);
        if let Err(error) = look(&app).await {
            tracing::warn!(%error, "the sweep could not look");
            // Who was not heard meanwhile may have spoken.
            app.naming_watch().forget();
            app.silence_watch().forget();
        }
        if looks.is_multiple_of(SWEEP_EVERY) {
            let swept = db::events::sweep(app.db()).await.and(db::usage::sweep(app.db()).await);
            let swept = swept.and(db::schedules::forget_deleted(app.db()).await);
            if let Err(error) = swept {
                tracing::warn!(%error, "old rows could not be swept");
            }
            if let Err(error) = db::join_tokens::sweep(app.db()).await {
                tracing::warn!(%error, "old join tokens could not be swept");
            }
            if let Err(error) = consoles::sweep(&app).await {
                tracing::warn!(%error, "consoles that were left behind could not be closed");
            }
        }
    }
}

async fn look(app: &App) -> Result<(), AppError> {
    for job in db::jobs::overdue(app.db()).await? {
        outcome::lost(app, job).await?;
    }
    for instance in db::instances::unsettled(app.db()).await? {
        crate::change!(app, "sweep", None, |tx, ringing| {
            advance::instance::advance(tx, ringing, &instance, Cause::fact()).await
        })?;
    }
    for volume in db::volumes::unsettled(app.db()).await? {
        crate::change!(app, "sweep", None, |tx, ringing| {
            advance::volume::advance(tx, ringing, &volume, Cause::fact()).await?;
            match db::volumes::find_open(tx, &volume).await? {
                Some(open) => advance::attachment::advance(tx, ringing, &open.id, Cause::fact()).await,
                None => Ok(()),
            }
        })?;
    }
    for snapshot in db::volume_snapshots::unsettled(app.db()).await? {
        crate::change!(app, "sweep", None, |tx, ringing| {
            advance::volume_snapshot::advance(tx, ringing, &snapshot, Cause::fact()).await
        })?;
    }
    for replica in db::replicas::unsettled(app.db()).await? {
        crate::change!(app, "sweep", None, |tx, ringing| {
            advance::replica::advance(tx, ringing, &replica, Cause::fact()).await
        })?;
    }
    for backup in db::backups::work::unsettled(app.db()).await? {
        crate::change!(app, "sweep", None, |tx, ringing| {
            advance::backup::advance(tx, ringing, &backup, Cause::fact()).await
        })?;
    }
    for image in db::access::unsettled_captures(app.db()).await? {
        crate::change!(app, "sweep", None, |tx, ringing| {
            advance::image::advance(tx, ringing, &image, Cause::fact()).await
        })?;
    }
    for (thing, kind) in db::snapshots::behind(app.db()).await? {
        crate::change!(app, "sweep", None, |tx, ringing| {
            match kind {
                db::snapshots::Kind::Network => advance::snapshot::network(tx, ringing, &thing, Cause::fact()).await,
                db::snapshots::Kind::Policy => advance::snapshot::policy(tx, ringing, &thing, Cause::fact()).await,
            }
        })?;
    }
    networks::naming::tend(app).await?;
    silences::tend(app).await?;
    // Who still answers for an address is not known to a database that forgot.
    if db::recovery::memory_of(app.db()).await?.lost.is_none() {
        db::networks::end_cooling(app.db(), COOL_SECONDS).await?;
        if db::networks::changes::end_deleted(app.db(), COOL_SECONDS).await? > 0 {
            db::networks::naming::end_orphans(app.db()).await?;
        }
        db::ip_pools::end_expired(app.db()).await?;
        db::dns_records::end_removed(app.db()).await?;
    }
    tend_schedules(app).await?;
    metrics::gauge!("arame_jobs_open").set(db::jobs::open_count(app.db()).await? as f64);
    Ok(())
}

/// One that cannot be tended does not keep the others waiting.
async fn tend_schedules(app: &App) -> Result<(), AppError> {
    for schedule in db::schedules::due(app.db()).await? {
        match schedules::tending::tend(app, &schedule).await {
            Err(error) if error.is_database_away() => return Err(error),
            Err(error) => tracing::error!(%error, schedule, "a schedule could not be tended"),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Gives committed events their public numbers: one writer at a time, soon after each commit.
pub async fn number_events(app: App, stop: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = app.events_waiting() => tokio::time::sleep(NUMBER_PAUSE).await,
            () = tokio::time::sleep(NUMBER_FALLBACK) => {}
        }
        loop {
            match crate::transact!(app.db(), "number events", None, db::DbError, |tx| { db::events::number(tx).await })
            {
                Ok(0) => break,
                Ok(_) => app.tick_events(),
                Err(error) => {
                    tracing::debug!(%error, "events could not be numbered yet");
                    break;
                }
            }
        }
    }
}
