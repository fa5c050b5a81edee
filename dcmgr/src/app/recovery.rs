//! A database that went back in time (DESIGN 3.6): noticed by what agents carry, held until an operator confirms.
//!
//! ```text
//! agent knows more than the rows ──► lost (once) ──► nothing that acts is rung, nothing new is made
//!                                     │ audit lists what has no row; adopt or remove
//!                                     └─ confirm ──► a higher epoch, rows not behind the world, jobs go on
//! ```
//!
//! Rule: what runs goes on. While it is not confirmed no agent is asked for anything but to look, so nothing is
//! stopped, deleted or overwritten by rows that do not know better.

use super::{App, AppError, Caller, Ringing, advance, welcome};
use crate::db::{self, Tx};
use crate::plan::Kind;
use advance::Cause;
use arame_schema::api::{Code, Finding, FindingKind, FindingRule, Refusal};
use arame_schema::jobs::report::Hello;

/// Raises memory loss; the first sign counts, later ones change nothing.
pub async fn notice(tx: &mut Tx, sign: &str) -> Result<(), AppError> {
    if db::recovery::set_lost(tx, sign).await? {
        tracing::error!(sign, "memory_loss: the database is older than what agents have seen; jobs are held");
        metrics::counter!("arame_memory_losses_total").increment(1);
    }
    Ok(())
}

/// What a hello tells about the database's age.
pub async fn weigh_hello(tx: &mut Tx, hello: &Hello, known_incarnation: u64, epoch: u64) -> Result<(), AppError> {
    if hello.highest_epoch > epoch {
        return weigh_held(tx, hello.agent.as_str(), hello.highest_epoch).await;
    }
    if hello.last_incarnation > known_incarnation {
        let (agent, last) = (&hello.agent, hello.last_incarnation);
        let sign = format!("{agent} was given incarnation {last}, this database knows only {known_incarnation}");
        return notice(tx, &sign).await;
    }
    Ok(())
}

/// An agent held a job back because it has met a newer database. One that answers an envelope from before the operator
/// confirmed has met nothing that this database does not know by now.
pub async fn weigh_held(tx: &mut Tx, agent: &str, highest_epoch: u64) -> Result<(), AppError> {
    let epoch = db::recovery::memory(tx).await?.epoch;
    if highest_epoch <= epoch {
        return Ok(());
    }
    // Else a confirmation would stop below it, and the agent hold on for ever.
    db::agents::set_met(tx, agent, highest_epoch).await?;
    notice(tx, &format!("{agent} has met epoch {highest_epoch}, this database is of epoch {epoch}")).await
}

/// Whether a job may be rung while the memory is lost: only looking is safe.
pub fn is_held(memory: &db::recovery::Memory, kind: Kind) -> bool {
    let looks = matches!(
        kind,
        Kind::ObserveInstance
            | Kind::ObserveVolume
            | Kind::ObserveSnapshot
            | Kind::ObserveReplica
            | Kind::ObserveBackup
    );
    memory.lost.is_some() && !looks
}

/// Nothing new is made while addresses and names in use may be unknown.
///
/// # Errors
/// `recovering`.
pub async fn refuse_new(tx: &mut Tx) -> Result<(), AppError> {
    match db::recovery::memory(tx).await?.lost {
        Some(_) => Err(Refusal::new(Code::Recovering).into()),
        None => Ok(()),
    }
}

/// The audit's line about it.
pub async fn finding(app: &App) -> Result<Option<Finding>, AppError> {
    let lost = db::recovery::memory_of(app.db()).await?.lost;
    Ok(lost.map(|loss| Finding {
        id: FindingKind::MemoryLoss.as_str().to_owned(),
        kind: FindingKind::MemoryLoss,
        thing: "database".into(),
        agent: None,
        owner: None,
        since: loss.since,
        rule: FindingRule::Held,
        sentence: String::new(),
        next_step: String::new(),
        detail: serde_json::json!({ "reason": loss.sign }),
    }))
}

/// The operator has looked: work goes on. Confirming when nothing is lost changes nothing.
///
/// # Errors
/// The database's.
pub async fn confirm(app: &App, caller: &Caller) -> Result<(), Refusal> {
    let agents = crate::change!(app, "confirm memory", Some(caller.request), |tx, ringing| {
        if db::recovery::memory(tx).await?.lost.is_none() {
            return Ok(Vec::new());
        }
        db::recovery::set_confirmed(tx).await?;
        db::events::audit(tx, &caller.who(), "memory.confirm", "database").await?;
        for id in db::recovery::forgotten(tx).await? {
            give_up(tx, ringing, &id).await?;
        }
        let agents = db::agents::joined(tx).await?;
        Ok::<_, AppError>(agents)
    })?;
    for agent in agents {
        welcome::catch_up(app, &agent).await?;
    }
    Ok(())
}

/// It was being made when the memory ends: it may have run and been deleted since. It is not made again.
async fn give_up(tx: &mut Tx, ringing: &mut Ringing, id: &str) -> Result<(), AppError> {
    let reason = ("memory_loss", "no host has it any more");
    db::instances::set_failure(tx, id, Some(reason), true).await?;
    advance::instance::advance(tx, ringing, id, Cause::fact()).await
}
