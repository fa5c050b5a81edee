//! What follows from an outcome: facts are written, the job is closed, the thing and its neighbours are advanced, in
//! one transaction (DESIGN 3.2).

use super::advance::{self, Cause, moving};
use super::{App, AppError, Ringing, deaths};
use crate::db::jobs::JobRow;
use crate::db::{self, Tx};
use crate::plan::{Kind, Subject};
use crate::rehearsal::{self, Sabotage};
use arame_schema::jobs::report::{FactReport, JobResult, Outcome, Retry};
use arame_schema::jobs::sta::StoredImage;
use arame_schema::model::{Fact, FactName};

/// Attempts of a job that may give up.
const ATTEMPTS_MAX: u32 = 5;

/// First pause between attempts, doubled each time up to [`BACKOFF_MAX_MS`].
const BACKOFF_FIRST_MS: u64 = 500;
const BACKOFF_MAX_MS: u64 = 60_000;

/// The pause after an attempt. The one place that decides it (DESIGN 3.10).
fn backoff_ms(attempt: u32) -> u64 {
    (BACKOFF_FIRST_MS << attempt.saturating_sub(1).min(10)).min(BACKOFF_MAX_MS)
}

/// Takes an outcome in. Answers once everything that follows is committed; running it again changes nothing.
///
/// # Errors
/// The database's: the message is left unacknowledged and comes again.
pub async fn settle(app: &App, outcome: &Outcome) -> Result<(), AppError> {
    if let JobResult::Progress { percent, note } = &outcome.result {
        db::jobs::set_progress(app.db(), outcome.job, *percent, note).await?;
        return Ok(());
    }
    crate::change!(app, "outcome", None, |tx, ringing| { settle_in(tx, ringing, outcome).await })
}

async fn settle_in(tx: &mut Tx, ringing: &mut Ringing, outcome: &Outcome) -> Result<(), AppError> {
    let Some((job, process)) = db::jobs::find_answered(tx, outcome.job).await? else {
        tracing::warn!(job = %outcome.job, agent = %outcome.agent, "an outcome of a job that no row knows");
        return Ok(());
    };
    if job.agent != outcome.agent.as_str() {
        tracing::error!(job = %job.id, agent = %outcome.agent, "an agent answered another agent's job");
        return Ok(());
    }
    if outcome.incarnation < process {
        // Its place was taken: the process that has it now was rung for the same job and answers for itself.
        tracing::warn!(job = %job.id, agent = %outcome.agent, incarnation = outcome.incarnation, "a replaced process answered");
        return Ok(());
    }
    lock_around(tx, &job).await?;
    let (code, message) = error_of(&outcome.result).unzip();
    let state = state_word(&outcome.result);
    let error = code.as_deref().zip(message.as_deref());
    let open = db::jobs::close(tx, job.id, state, error).await?;
    if !open && !rehearsal::sabotaged(Sabotage::SettleLateOutcome) {
        // Overtaken by a newer wish or answered before: what it saw may be older than what the open job does.
        return look_again(tx, ringing, &job).await;
    }
    let was_on = db::facts::value(tx, &job.thing, &job.agent, FactName::Power).await?.0 == Fact::Yes;
    let mut changed = Changed::default();
    let open_move = db::moves::of_instance(tx, &job.thing).await?;
    let hidden = moving::is_hidden(tx, open_move.as_ref(), &job.agent).await?;
    let before = moving::before(tx, open_move, &job.agent).await?;
    for report in outcome.facts.iter().filter(|report| belongs(report, &job) && !hidden) {
        if db::facts::observe(tx, &job.agent, report).await? {
            changed.note(tx, report).await?;
        }
    }
    moving::overtake(tx, before, &job.agent).await?;
    tell_proof(tx, &job, outcome).await?;
    unplug_unnamed(tx, &job, outcome, &mut changed).await?;
    tell(tx, &job, &outcome.result).await?;
    let cause = decide(tx, &job, &outcome.result).await?;
    // What a host says of a guest that is on its way to another is no death.
    let cause = if hidden { cause } else { weigh_end(tx, &job, outcome, was_on, cause).await? };
    if job.kind == Kind::ImportImage && cause.attempt == 1 {
        // It is there, or it is given up: whoever waits for it hears of it.
        changed.images.push(job.thing.clone());
    }
    advance_thing(tx, ringing, &job, cause).await?;
    changed.advance(tx, ringing, &job).await
}

async fn tell_proof(tx: &mut Tx, job: &JobRow, outcome: &Outcome) -> Result<(), AppError> {
    if job.kind != Kind::FenceVolume {
        return Ok(());
    }
    let details = outcome.facts.iter().filter(|report| report.thing == job.thing).filter_map(|r| r.detail.clone());
    match details.filter_map(|detail| serde_json::from_value(detail).ok()).next() {
        Some(proof) => super::losses::tell_fenced(tx, &job.thing, &proof).await,
        None => Ok(()),
    }
}

/// A guest that ended under its job, or that its job started and that ended before it was looked at.
async fn weigh_end(
    tx: &mut Tx,
    job: &JobRow,
    outcome: &Outcome,
    was_on: bool,
    cause: Cause,
) -> Result<Cause, AppError> {
    let started = job.kind == Kind::ApplyInstance && matches!(outcome.result, JobResult::Done);
    let ended = outcome.facts.iter().filter(|report| report.thing == job.thing).find_map(deaths::ended_by);
    let Some(by) = ended.filter(|_| was_on || started) else { return Ok(cause) };
    let pause_ms = deaths::weigh(tx, &job.thing, by).await?;
    Ok(Cause { delay_ms: cause.delay_ms.max(pause_ms), ..cause })
}

/// Locks what comes before the thing in the lock order, when more than the thing will be written.
async fn lock_around(tx: &mut Tx, job: &JobRow) -> Result<(), AppError> {
    if matches!(job.kind, Kind::DeleteInstance | Kind::ApplyInstance) {
        let goes = |vif: &db::networks::VifRow| vif.leaving || job.kind == Kind::DeleteInstance;
        let vifs = db::networks::vifs_of_instance(tx, &job.thing).await?;
        let mut networks: Vec<String> = vifs.into_iter().filter(goes).map(|vif| vif.network).collect();
        networks.sort();
        networks.dedup();
        for network in networks {
            db::networks::lock(tx, &network).await?;
        }
    }
    match job.kind.subject() {
        Subject::Instance => drop(db::instances::lock(tx, &job.thing).await?),
        Subject::Volume => drop(db::volumes::lock(tx, &job.thing).await?),
        Subject::VolumeSnapshot => drop(db::volume_snapshots::lock(tx, &job.thing).await?),
        Subject::Replica => drop(db::replicas::lock(tx, &job.thing).await?),
        Subject::Backup => drop(db::backups::work::lock(tx, &job.thing).await?),
        Subject::Image => drop(db::access::lock_image(tx, &job.thing).await?),
        Subject::Attachment | Subject::Network | Subject::Policy => {}
    }
    Ok(())
}

/// A job's outcome speaks of its own thing, and of the plugs of its instance. Nothing else is believed.
fn belongs(report: &FactReport, job: &JobRow) -> bool {
    report.thing == job.thing || (report.name == FactName::Plugged && job.thing.starts_with("i-"))
}

fn state_word(result: &JobResult) -> &'static str {
    match result {
        JobResult::Done => "done",
        JobResult::Failed { .. } => "failed",
        JobResult::Refused { .. } => "refused",
        JobResult::Unsupported { .. } => "unsupported",
        JobResult::Overtaken => "overtaken",
        JobResult::HeldEpoch { .. } => "held",
        JobResult::Progress { .. } => "open",
    }
}

fn error_of(result: &JobResult) -> Option<(String, String)> {
    match result {
        JobResult::Failed { code, message, .. } => Some((code.clone(), message.clone())),
        JobResult::Unsupported { message } => Some(("unsupported".into(), message.clone())),
        JobResult::Refused { found_generation } => Some(("refused".into(), format!("generation {found_generation}"))),
        JobResult::HeldEpoch { highest_epoch } => Some(("held_epoch".into(), format!("epoch {highest_epoch}"))),
        JobResult::Done | JobResult::Overtaken | JobResult::Progress { .. } => None,
    }
}

/// A closed job was answered: if nothing is open that will tell, ask to look.
async fn look_again(tx: &mut Tx, ringing: &mut Ringing, job: &JobRow) -> Result<(), AppError> {
    if db::jobs::open_of(tx, &job.thing, &job.agent).await?.is_some() {
        return Ok(());
    }
    advance_thing(tx, ringing, job, Cause::fact()).await
}

/// A look at a domain names every plug it has or had: one that it does not name is not there. Else a plug that a job was
/// to make, and that failed before it, would stay maybe.
async fn unplug_unnamed(tx: &mut Tx, job: &JobRow, outcome: &Outcome, changed: &mut Changed) -> Result<(), AppError> {
    let is_look = |fact: &&FactReport| fact.name == FactName::Domain && fact.thing == job.thing;
    let Some(seen) = outcome.facts.iter().find(is_look) else { return Ok(()) };
    let named = |id: &str| outcome.facts.iter().any(|fact| fact.name == FactName::Plugged && fact.thing == id);
    let attachments = db::volumes::attachments_of_instance(tx, &job.thing).await?.into_iter().map(|open| open.id);
    let vifs =
        db::networks::vifs_of_instance(tx, &job.thing).await?.into_iter().filter(|vif| vif.asked_generation != 1);
    for plug in attachments.chain(vifs.map(|vif| vif.id)) {
        if named(&plug) {
            continue;
        }
        let report = FactReport {
            thing: plug,
            name: FactName::Plugged,
            value: Fact::No,
            generation: seen.generation,
            observed: seen.observed,
            detail: None,
        };
        if db::facts::observe(tx, &job.agent, &report).await? {
            changed.note(tx, &report).await?;
        }
    }
    Ok(())
}

/// The timeline's line about a job's end. Snapshots are too many to tell one by one.
async fn tell(tx: &mut Tx, job: &JobRow, result: &JobResult) -> Result<(), AppError> {
    if matches!(job.kind, Kind::ApplyNetwork | Kind::ApplyPolicy) && matches!(result, JobResult::Done) {
        return Ok(());
    }
    // A delete that never gives up tells its first attempts, then ever fewer: the timeline stays bounded.
    if job.attempt > ATTEMPTS_MAX && !job.attempt.is_power_of_two() && !matches!(result, JobResult::Done) {
        return Ok(());
    }
    let mut values = vec![("kind", job.kind.to_string()), ("agent", job.agent.clone())];
    let code = match result {
        JobResult::Done => "job_done",
        JobResult::Failed { code, message, .. } => {
            values.extend([("code", code.clone()), ("message", message.clone())]);
            "job_failed"
        }
        JobResult::Refused { found_generation } => {
            values.push(("found", found_generation.to_string()));
            "job_refused"
        }
        JobResult::Unsupported { message } => {
            values.push(("message", message.clone()));
            "job_unsupported"
        }
        JobResult::Overtaken => "job_overtaken",
        JobResult::HeldEpoch { .. } => "job_held",
        JobResult::Progress { .. } => return Ok(()),
    };
    let event = db::events::NewEvent {
        account: job.account.as_deref(),
        resource: &job.thing,
        code,
        values: &values,
        job: Some(job.id),
        request: None,
    };
    db::events::insert(tx, &event).await?;
    Ok(())
}

/// What the result means for the next attempt. The one place that decides about retries.
async fn decide(tx: &mut Tx, job: &JobRow, result: &JobResult) -> Result<Cause, AppError> {
    let again = Cause { request: None, attempt: job.attempt + 1, delay_ms: backoff_ms(job.attempt) };
    match result {
        JobResult::Done => {
            if job.kind == Kind::RebootInstance {
                db::instances::set_operation(tx, &job.thing, None).await?;
            }
            Ok(Cause::fact())
        }
        JobResult::Overtaken | JobResult::Progress { .. } => Ok(Cause::fact()),
        JobResult::Refused { found_generation } => {
            lift(tx, job, *found_generation).await?;
            Ok(Cause { delay_ms: 0, ..again })
        }
        JobResult::HeldEpoch { highest_epoch } => {
            super::recovery::weigh_held(tx, &job.agent, *highest_epoch).await?;
            Ok(again)
        }
        JobResult::Unsupported { message } => {
            give_up(tx, job, ("unsupported", message), true).await?;
            Ok(again)
        }
        JobResult::Failed { code, message, retry } => failed(tx, job, (code, message), *retry, again).await,
    }
}

async fn failed(
    tx: &mut Tx,
    job: &JobRow,
    reason: (&str, &str),
    retry: Retry,
    again: Cause,
) -> Result<Cause, AppError> {
    if job.kind == Kind::RebootInstance {
        // At most once: "may not have happened" is an honest answer (DESIGN 3.8).
        db::instances::set_operation(tx, &job.thing, None).await?;
        return Ok(Cause::fact());
    }
    if job.kind.never_gives_up() {
        return Ok(again);
    }
    if matches!(job.kind, Kind::ReceiveInstance | Kind::SendInstance) {
        let attempts = moving::failed(tx, &job.thing, reason, retry == Retry::Later).await?;
        return Ok(attempts.map_or(Cause::fact(), |attempts| Cause { delay_ms: backoff_ms(attempts), ..again }));
    }
    if job.kind == Kind::ReceiveReplica {
        advance::replica::doubt_offer(tx, &job.thing).await?;
    }
    match retry {
        Retry::Later if job.attempt < ATTEMPTS_MAX || waits_for_another(job.kind, reason.0) => Ok(again),
        Retry::Later | Retry::Elsewhere => {
            if !leave_host(tx, job).await? {
                give_up(tx, job, reason, false).await?;
            }
            Ok(Cause::fact())
        }
        Retry::Never => {
            give_up(tx, job, reason, true).await?;
            Ok(Cause::fact())
        }
    }
}

/// What is wrong is at the node that sends, or on the way from it: that node may be down for an hour, and what came is kept.
fn waits_for_another(kind: Kind, code: &str) -> bool {
    let is_elsewhere = ["replica_source_unavailable", "replica_broke_off", "agent_silent"].contains(&code);
    kind == Kind::ReceiveReplica && is_elsewhere
}

/// An instance never seen running may be placed again elsewhere (DESIGN 3.10), unless its request named the host.
async fn leave_host(tx: &mut Tx, job: &JobRow) -> Result<bool, AppError> {
    if job.kind != Kind::ApplyInstance {
        return Ok(false);
    }
    let Some(row) = db::instances::lock(tx, &job.thing).await? else { return Ok(false) };
    if row.pinned || row.ran_before || row.placements >= super::placement::PLACEMENTS_MAX {
        return Ok(false);
    }
    let mut tried = row.tried_hosts.clone();
    tried.extend(row.host);
    db::instances::set_leaving(tx, &row.id, &tried).await?;
    Ok(true)
}

async fn give_up(tx: &mut Tx, job: &JobRow, reason: (&str, &str), is_final: bool) -> Result<(), AppError> {
    match job.kind {
        Kind::ApplyInstance => db::instances::set_failure(tx, &job.thing, Some(reason), is_final).await?,
        Kind::CreateVolume => db::volumes::set_failure(tx, &job.thing, Some(reason), is_final).await?,
        Kind::CreateSnapshot => db::volume_snapshots::set_failure(tx, &job.thing, reason, is_final).await?,
        Kind::ReceiveReplica => db::replicas::set_failure(tx, &job.thing, reason, is_final).await?,
        Kind::SnapshotBackup | Kind::WriteBackup => {
            db::backups::work::set_failure(tx, &job.thing, reason, is_final).await?;
        }
        Kind::ReceiveInstance | Kind::SendInstance => {
            return moving::failed(tx, &job.thing, reason, false).await.map(drop);
        }
        // Told when it is sure that nothing of it can happen any more.
        Kind::RollBackVolume => return Ok(db::rollbacks::give_up(tx, &job.thing, reason).await?),
        Kind::ImportImage | Kind::TakeCapture => db::access::set_image_failure(tx, &job.thing, Some(reason)).await?,
        Kind::ExportVolume => {
            // The wish cannot be met: the attachment is taken back, the volume is free again.
            db::volumes::set_attachment_unwanted(tx, &job.thing).await?;
            if let Some(open) = db::volumes::find_attachment(tx, &job.thing).await? {
                db::instances::bump(tx, &open.instance).await?;
            }
        }
        _ => return Ok(()),
    }
    let values = [("code", reason.0.to_owned()), ("message", reason.1.to_owned())];
    // The copies of an image are every storage node's work; that there is none is its owner's to know.
    let owner = db::access::find_image(tx, &job.thing).await?.map(|image| image.account);
    let event = db::events::NewEvent {
        account: job.account.as_deref().or(owner.as_deref()),
        resource: &job.thing,
        code: "failed",
        values: &values,
        job: Some(job.id),
        request: None,
    };
    db::events::insert(tx, &event).await?;
    Ok(())
}

/// The thing carries a newer generation than its row: the database went back in time (DESIGN 3.6).
/// The row is lifted past what was found. Every generation that exists was given by a row: one above the row's own
/// was given by a database that knew more (DESIGN 3.6).
async fn lift(tx: &mut Tx, job: &JobRow, found: u64) -> Result<(), AppError> {
    let ours = db::generations::current(tx, job.kind, &job.thing).await?;
    if ours.is_some_and(|ours| found > ours) {
        let sign =
            format!("{} carries generation {found} at {}, its row is at {}", job.thing, job.agent, ours.unwrap_or(0));
        super::recovery::notice(tx, &sign).await?;
    }
    Ok(db::generations::lift(tx, job.kind, &job.thing, found).await?)
}

/// Advances the thing a job was about.
pub(super) async fn advance_thing(
    tx: &mut Tx,
    ringing: &mut Ringing,
    job: &JobRow,
    cause: Cause,
) -> Result<(), AppError> {
    match job.kind.subject() {
        Subject::Instance => advance::instance::advance(tx, ringing, &job.thing, cause).await,
        Subject::Volume => advance::volume::advance(tx, ringing, &job.thing, cause).await,
        Subject::VolumeSnapshot => advance::volume_snapshot::advance(tx, ringing, &job.thing, cause).await,
        Subject::Replica => advance::replica::advance(tx, ringing, &job.thing, cause).await,
        Subject::Backup => advance::backup::advance(tx, ringing, &job.thing, cause).await,
        Subject::Attachment => {
            advance::attachment::advance(tx, ringing, &job.thing, cause).await?;
            match db::volumes::find_attachment(tx, &job.thing).await? {
                Some(open) => advance::instance::advance(tx, ringing, &open.instance, Cause::fact()).await,
                None => Ok(()),
            }
        }
        Subject::Image => advance::image::advance_at(tx, ringing, &job.thing, &job.agent, cause).await,
        Subject::Network => {
            let Some(row) = db::networks::find(tx, &job.thing).await? else { return Ok(()) };
            advance::snapshot::row_at(tx, ringing, &row, &job.agent, cause).await
        }
        Subject::Policy => advance::snapshot::policy(tx, ringing, &job.thing, cause).await,
    }
}

/// What an interface's id begins with.
const VIF: &str = "vif-";

/// Neighbours whose plans read a fact that changed.
#[derive(Debug, Default)]
pub(super) struct Changed {
    attachments: Vec<String>,
    instances: Vec<String>,
    /// Snapshots and their version.
    networks: Vec<(String, u64)>,
    hosts: Vec<(String, u64)>,
    volumes: Vec<String>,
    images: Vec<String>,
    /// Images whose bytes are known from now on: every storage node may have them.
    settled: Vec<String>,
}

impl Changed {
    /// Remembers whom a written fact concerns, and what it proves of its own row.
    pub(super) async fn note(&mut self, tx: &mut Tx, report: &FactReport) -> Result<(), AppError> {
        let thing = report.thing.clone();
        match (report.name, report.value) {
            (FactName::Power, Fact::Yes) => db::instances::set_ran(tx, &thing).await?,
            (FactName::Plugged, _) if thing.starts_with(VIF) => {
                let vif = db::networks::changes::find_vif(tx, &thing, None).await?;
                self.instances.extend(vif.and_then(|vif| vif.instance));
            }
            (FactName::Plugged, _) => self.attachments.push(thing),
            (FactName::Exported, Fact::Yes) => {
                if let Some(open) = db::volumes::find_attachment(tx, &thing).await?
                    && open.wanted
                {
                    db::instances::bump(tx, &open.instance).await?;
                    self.instances.push(open.instance);
                }
            }
            (FactName::Volume, value) => {
                if value == Fact::Yes {
                    db::volumes::set_seen_present(tx, &thing).await?;
                }
                self.volumes.push(thing);
            }
            (FactName::Snapshot, Fact::Yes) if thing.starts_with("bo-") => {
                db::backups::work::set_snapshot_seen(tx, &thing).await?;
            }
            (FactName::Object, Fact::Yes) => {
                let stored = report.detail.clone().and_then(|detail| serde_json::from_value(detail).ok());
                db::backups::work::set_seen_present(tx, &thing, stored.as_ref()).await?;
            }
            (FactName::Snapshot, Fact::Yes) => db::volume_snapshots::set_seen_present(tx, &thing).await?,
            (FactName::Replica, Fact::Yes) => db::replicas::set_seen_present(tx, &thing).await?,
            (FactName::Applied, _) if thing.starts_with("nw-") => self.networks.push((thing, report.generation)),
            (FactName::Applied, _) => self.hosts.push((thing, report.generation)),
            (FactName::Image, Fact::Yes) => {
                db::access::set_image_failure(tx, &thing, None).await?;
                if self.settles(tx, report).await? {
                    self.settled.push(thing.clone());
                }
                self.images.push(thing);
            }
            // Its storage node may fetch it now.
            (FactName::Captured, Fact::Yes) => self.settled.push(thing),
            (
                FactName::Domain
                | FactName::Power
                | FactName::Exported
                | FactName::Snapshot
                | FactName::Offered
                | FactName::Replica
                | FactName::Image
                | FactName::Object
                | FactName::Captured,
                _,
            ) => {}
        }
        Ok(())
    }

    async fn settles(&self, tx: &mut Tx, report: &FactReport) -> Result<bool, AppError> {
        let stored = report.detail.clone().and_then(|detail| serde_json::from_value::<StoredImage>(detail).ok());
        match stored.and_then(|stored| stored.sha256.zip(stored.size_bytes)) {
            Some((sha256, size)) => Ok(db::access::settle_image(tx, &report.thing, &sha256, size).await?),
            None => Ok(false),
        }
    }

    /// Advances them, in the lock order of their kinds.
    pub(super) async fn advance(self, tx: &mut Tx, ringing: &mut Ringing, _job: &JobRow) -> Result<(), AppError> {
        self.advance_all(tx, ringing).await
    }

    pub(super) async fn advance_all(mut self, tx: &mut Tx, ringing: &mut Ringing) -> Result<(), AppError> {
        for (network, version) in &self.networks {
            self.instances.extend(db::instances::waiting_for_network(tx, network, *version).await?);
        }
        for (host, version) in &self.hosts {
            self.instances.extend(db::instances::waiting_for_policy(tx, host, *version).await?);
        }
        for image in &self.settled {
            advance::image::advance(tx, ringing, image, Cause::fact()).await?;
        }
        for image in &self.images {
            self.instances.extend(db::instances::waiting_for_image(tx, image).await?);
        }
        self.instances.sort();
        self.instances.dedup();
        for instance in &self.instances {
            advance::instance::advance(tx, ringing, instance, Cause::fact()).await?;
        }
        for volume in &self.volumes {
            if let Some(open) = db::volumes::open_attachment(tx, volume).await? {
                self.attachments.push(open.id);
            }
        }
        self.attachments.sort();
        self.attachments.dedup();
        for attachment in &self.attachments {
            advance::attachment::advance(tx, ringing, attachment, Cause::fact()).await?;
        }
        Ok(())
    }
}

/// A job whose deadline passed without a word: its facts stay maybe, and it is planned again.
pub async fn lost(app: &App, id: uuid::Uuid) -> Result<(), AppError> {
    let (code, message) = ("agent_silent", "no outcome arrived before the job's deadline");
    crate::change!(app, "unanswered", None, |tx, ringing| {
        let Some(job) = db::jobs::find(tx, id).await? else { return Ok(()) };
        lock_around(tx, &job).await?;
        if !db::jobs::close(tx, id, "lost", Some((code, message))).await? {
            return Ok(());
        }
        let result = JobResult::Failed { code: code.to_owned(), message: message.to_owned(), retry: Retry::Later };
        tell(tx, &job, &result).await?;
        let cause = decide(tx, &job, &result).await?;
        advance_thing(tx, ringing, &job, cause).await
    })
}

/// A job whose thing is no more.
pub async fn obsolete(app: &App, id: uuid::Uuid) -> Result<(), AppError> {
    crate::change!(app, "obsolete", None, |tx, _ringing| {
        db::jobs::close(tx, id, "obsolete", None).await?;
        Ok(())
    })
}
