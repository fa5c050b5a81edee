//! An agent's hello: who it is, its next incarnation, and what it has to be told.

use super::advance::{self, Cause};
use super::{App, AppError, Ringing};
use crate::db::agents::AgentRow;
use crate::db::{self, Tx};
use crate::rehearsal::{self, Sabotage};
use arame_schema::jobs::report::{Hello, Welcome};
use arame_schema::limits::{HEARTBEAT_INTERVAL, INVENTORY_INTERVAL};
use arame_schema::model::FactName;
use uuid::Uuid;

/// Why a host that was reinstalled, exchanged or copied is not taken for the one that joined.
const ANOTHER_MACHINE: &str = "this is not the machine that joined in this agent's name, or it lost everything it kept \
                               (was it reinstalled?): join it as a new host with an id of its own, or, when the former \
                               one is gone for good, run `arame audit adopt` with this agent's id";

/// How a hello is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Welcome(Welcome),
    /// The process exits with this sentence.
    Unwelcome {
        nonce: Uuid,
        reason: String,
    },
    /// Not an agent of ours at all: no queue to answer on is known.
    Silence,
}

/// Decides about a hello and records it. `user` is the broker-validated publisher.
///
/// # Errors
/// The database's: the hello comes again by itself.
pub async fn greet(app: &App, hello: &Hello, user: &str) -> Result<Answer, AppError> {
    if user != hello.agent.as_str() {
        tracing::error!(user, agent = %hello.agent, "a hello in another agent's name");
        return Ok(Answer::Silence);
    }
    crate::change!(app, "hello", None, |tx, _ringing| {
        let Some(row) = db::agents::lock(tx, hello.agent.as_str()).await? else {
            return Ok(unwelcome(hello, "this agent was never joined to this installation"));
        };
        if row.key_sha256 != db::seed::digest(hello.key.expose()) {
            return Ok(unwelcome(hello, "the key is not the one made when this agent joined"));
        }
        if is_late(&row, hello.nonce) || db::agents::was_replaced(tx, &row.id, hello.nonce).await? {
            return Ok(unwelcome(hello, "another process has taken this agent's place"));
        }
        if is_another_machine(&row, hello, db::agents::has_listed(tx, &row.id).await?) {
            db::agents::note_refused(tx, &row.id, &db::agents::machine(hello)).await?;
            return Ok(unwelcome(hello, ANOTHER_MACHINE));
        }
        let epoch = db::recovery::memory(tx).await?.epoch;
        super::recovery::weigh_hello(tx, hello, row.incarnation, epoch).await?;
        let incarnation = db::agents::greet(tx, &row, hello).await?;
        db::agents::set_offering(tx, &row, &hello.capacity).await?;
        db::facts::forget_applied(tx, &row.id).await?;
        if !rehearsal::sabotaged(Sabotage::ForgetToRingAfterHello) {
            db::jobs::ring_all_of(tx, &row.id).await?;
        }
        Ok(Answer::Welcome(welcome(app, hello.nonce, incarnation, epoch)))
    })
}

fn welcome(app: &App, nonce: Uuid, incarnation: u64, epoch: u64) -> Welcome {
    Welcome {
        nonce,
        incarnation,
        installation: app.installation(),
        epoch,
        heartbeat_ms: u64::try_from(HEARTBEAT_INTERVAL.as_millis()).unwrap_or(u64::MAX),
        inventory_ms: u64::try_from(INVENTORY_INTERVAL.as_millis()).unwrap_or(u64::MAX),
    }
}

/// What to tell an agent whose heart beats in another incarnation than its row's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    /// Its last welcome was lost, and without it the agent would count as silent for ever. Said again, it is taken by
    /// the process it is for; another one ends.
    Welcome(Welcome),
    /// Its incarnation was given by a database that knew more: its hello will say so, and it starts anew here.
    Hello,
}

/// # Errors
/// The database's.
pub async fn again(app: &App, agent: &str, incarnation: u64) -> Result<Option<Again>, AppError> {
    let Some(row) = db::agents::get(app.db(), agent).await? else { return Ok(None) };
    if row.incarnation < incarnation {
        return Ok(Some(Again::Hello));
    }
    let epoch = db::recovery::memory_of(app.db()).await?.epoch;
    let nonce = row.nonce.filter(|_| row.incarnation > incarnation);
    Ok(nonce.map(|nonce| Again::Welcome(welcome(app, nonce, row.incarnation, epoch))))
}

/// A hello that a process left behind, arriving after its successor was heard: taken for a newcomer's, it would end the
/// living one. A nonce tells when its process began, by the host's clock; should that clock have gone back, the newcomer
/// is taken once its predecessor is silent.
fn is_late(row: &AgentRow, nonce: Uuid) -> bool {
    let began = |nonce: Uuid| nonce.get_timestamp().map(|time| time.to_unix());
    match row.nonce {
        Some(known) => row.online && known != nonce && began(nonce).is_some() && began(nonce) < began(known),
        None => false,
    }
}

/// A host that was reinstalled is a new host (DESIGN, Identity): taken for the old one, its empty listing would be
/// believed, and what waits to be made would be made in the names of what was lost. A naming agent keeps nothing that
/// could be lost. `listed`: the agent once told what it has, and so had the database's epoch on its disk.
fn is_another_machine(row: &AgentRow, hello: &Hello, listed: bool) -> bool {
    let keeps_data = row.kind != "nsa";
    let moved = row.machine_id.as_deref().is_some_and(|known| known != db::agents::machine(hello));
    // Its own hello, said twice before the welcome came and heard late, knows nothing yet either.
    let is_next = row.nonce != Some(hello.nonce);
    let emptied = is_next && listed && hello.highest_epoch == 0 && hello.last_incarnation == 0;
    keeps_data && (moved || emptied)
}

fn unwelcome(hello: &Hello, reason: &str) -> Answer {
    tracing::warn!(agent = %hello.agent, reason, "a hello is refused");
    Answer::Unwelcome { nonce: hello.nonce, reason: reason.to_owned() }
}

/// After the welcome: everything this agent should know or do is planned again.
///
/// # Errors
/// The database's.
pub async fn catch_up(app: &App, agent: &str) -> Result<(), AppError> {
    let kind = crate::change!(app, "catch up", None, |tx, ringing| {
        let Some(row) = db::agents::find(tx, agent).await? else { return Ok(String::new()) };
        match row.kind.as_str() {
            "nsa" => networks(tx, ringing, &row).await,
            "sta" => storage(tx, ringing, &row).await,
            _ => host(tx, ringing, &row).await,
        }?;
        Ok(row.kind)
    })?;
    // Networks that wanted one more need not wait for the timer.
    if kind == "nsa" { super::networks::naming::tend_now(app).await } else { Ok(()) }
}

async fn networks(tx: &mut Tx, ringing: &mut Ringing, agent: &AgentRow) -> Result<(), AppError> {
    for network in db::networks::naming::of_agent(tx, &agent.id).await? {
        if let Some(row) = db::networks::find(tx, &network).await? {
            advance::snapshot::row_at(tx, ringing, &row, &agent.id, Cause::fact()).await?;
        }
    }
    Ok(())
}

async fn storage(tx: &mut Tx, ringing: &mut Ringing, agent: &AgentRow) -> Result<(), AppError> {
    for image in db::access::image_ids(tx).await? {
        advance::image::advance_at(tx, ringing, &image, &agent.id, Cause::fact()).await?;
    }
    for volume in db::volumes::on_node(tx, &agent.node).await? {
        advance::volume::advance(tx, ringing, &volume, Cause::fact()).await?;
    }
    for snapshot in db::volume_snapshots::on_node(tx, &agent.node).await? {
        advance::volume_snapshot::advance(tx, ringing, &snapshot, Cause::fact()).await?;
    }
    for replica in db::replicas::on_node(tx, &agent.node).await? {
        advance::replica::advance(tx, ringing, &replica, Cause::fact()).await?;
    }
    for backup in db::backups::work::on_node(tx, &agent.node).await? {
        advance::backup::advance(tx, ringing, &backup, Cause::fact()).await?;
    }
    Ok(())
}

/// A host that is back: what failed there for a passing reason is tried again (DESIGN 3.10).
async fn host(tx: &mut Tx, ringing: &mut Ringing, agent: &AgentRow) -> Result<(), AppError> {
    advance::snapshot::policy(tx, ringing, &agent.node, Cause::fact()).await?;
    let own = db::instances::on_host(tx, &agent.node).await?;
    for instance in &own {
        db::instances::forget_passing_failure(tx, instance).await?;
        advance::instance::advance(tx, ringing, instance, Cause::fact()).await?;
    }
    for image in db::access::captures_at(tx, &agent.id).await? {
        advance::capture::advance(tx, ringing, &image, Cause::fact()).await?;
    }
    // What a move left here while this host was not heard.
    let here = db::facts::of_agent(tx, &agent.id).await?.into_iter();
    let here = here.filter(|fact| fact.name == FactName::Domain && fact.value.may_be_so());
    for left in here.map(|fact| fact.thing).filter(|thing| !own.contains(thing)) {
        advance::instance::advance(tx, ringing, &left, Cause::fact()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Builder;

    fn row(nonce: Option<Uuid>, online: bool) -> AgentRow {
        AgentRow {
            id: "hva.h1".into(),
            kind: "hva".into(),
            node: "hn-h1".into(),
            key_sha256: String::new(),
            incarnation: 1,
            nonce,
            process_incarnation: 1,
            machine_id: Some("known".into()),
            version: None,
            kinds: Vec::new(),
            capacity: arame_schema::jobs::report::Capacity::default(),
            endpoints: std::collections::BTreeMap::new(),
            degraded: None,
            heard_at: None,
            refused: None,
            online,
        }
    }

    fn begun_at(millis: u64) -> Uuid {
        Builder::from_unix_timestamp_millis(millis, &[7; 10]).into_uuid()
    }

    #[test]
    fn a_hello_of_a_process_older_than_the_one_that_is_heard_is_late() {
        let known = row(Some(begun_at(2_000)), true);
        assert!(is_late(&known, begun_at(1_000)));
        assert!(!is_late(&known, begun_at(2_000)), "its own hello, said again");
        assert!(!is_late(&known, begun_at(3_000)), "its successor's");
        assert!(!is_late(&row(Some(begun_at(2_000)), false), begun_at(1_000)), "the known one is silent");
        assert!(!is_late(&known, Uuid::from_u128(1)), "an agent of another version says no time");
        assert!(!is_late(&row(None, true), begun_at(1_000)));
    }

    fn hello(machine: &str, highest_epoch: u64, last_incarnation: u64) -> Hello {
        Hello {
            v: arame_schema::limits::WIRE_VERSION,
            agent: "hva.h1".parse().unwrap(),
            kind: arame_schema::model::AgentId::kind(&"hva.h1".parse().unwrap()),
            nonce: begun_at(1),
            key: arame_schema::model::Secret::new("a key"),
            machine_id: machine.into(),
            version: String::new(),
            kinds: Vec::new(),
            highest_epoch,
            last_incarnation,
            capacity: arame_schema::jobs::report::Capacity::default(),
            endpoints: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn a_machine_that_is_not_the_one_that_joined_is_told_by_its_name_or_by_what_it_forgot() {
        let known = row(None, false);
        assert!(!is_another_machine(&known, &hello("known", 1, 0), true), "its next process");
        assert!(is_another_machine(&known, &hello("other", 1, 0), true), "its disk in another machine, or a copy");
        assert!(is_another_machine(&known, &hello("known", 0, 0), true), "reinstalled");
        assert!(!is_another_machine(&known, &hello("known", 0, 0), false), "it died before it kept anything");
        assert!(!is_another_machine(&known, &hello("known", 0, 3), true), "the same process");
        let greeted = row(Some(begun_at(1)), true);
        assert!(!is_another_machine(&greeted, &hello("known", 0, 0), true), "its own first hello, heard late");
        let naming = AgentRow { kind: "nsa".into(), ..row(None, false) };
        assert!(!is_another_machine(&naming, &hello("other", 0, 0), true), "it keeps nothing that could be lost");
        let accepted = AgentRow { machine_id: None, ..row(None, false) };
        assert!(!is_another_machine(&accepted, &hello("other", 0, 0), false), "an operator said so");
    }
}
