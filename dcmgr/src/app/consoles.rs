//! Consoles and screens of instances: tickets, who may open what, what is open, and what is told of it.
//!
//! ```text
//! POST ticket ── row (digest) ──► first frame of a WebSocket, at any dcmgr ── row used ──► agent asked ── stream ──► open
//!      │                                                                                                           │
//!      └── audit: console.ticket                               audit: console.open ◄──────────────► audit: console.close
//! ```
//!
//! Rule: a ticket opens one console of one instance once; whether the machine is there, on, and free is asked of its host
//! and not kept. What is open is shown to its token again and again, and ends with it. Nothing here speaks HTTP.

use super::sessions::Stranger;
use super::streams::Wire;
use super::{App, AppError, Caller, instances};
use crate::db;
use crate::db::consoles::Ticket;
use arame_schema::api::{Code, ConsoleTicket, Instance, Refusal};
use arame_schema::model::instance::InstanceState;
use arame_schema::model::{AgentId, ConsoleKind, NoConsole};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio_util::task::task_tracker::TaskTrackerToken;
use uuid::Uuid;

/// Makes a ticket for a running instance.
pub async fn ticket(app: &App, caller: &Caller, id: &str, kind: ConsoleKind) -> Result<ConsoleTicket, Refusal> {
    refuse_stopped(&instances::get(app, caller, id).await?)?;
    let secret = super::tokens::secret();
    let digest = db::seed::digest(&secret);
    let expires_at = crate::change!(app, "make console ticket", Some(caller.request), |tx, _ringing| {
        let new = db::consoles::NewTicket {
            sha256: &digest,
            instance: id,
            kind,
            token: &caller.token,
            account: caller.account.as_deref(),
        };
        let expires_at = db::consoles::insert(tx, new).await?;
        db::events::audit(tx, &caller.who(), "console.ticket", id).await?;
        Ok(expires_at)
    })?;
    let websocket = format!("/api/12.03/instances/{id}/console");
    Ok(ConsoleTicket { instance_id: id.to_owned(), kind, ticket: Some(secret), expires_at, websocket })
}

fn refuse_stopped(instance: &Instance) -> Result<(), Refusal> {
    match instance.state {
        InstanceState::Running | InstanceState::Migrating => Ok(()),
        _ => Err(is_off(&instance.id, instance.state.as_str())),
    }
}

fn is_off(id: &str, state: &str) -> Refusal {
    Refusal::new(Code::InvalidInstanceState).with("id", id).with("state", state).with("needed", "running")
}

/// An open console. Its end is to be told ([`close`]); should this process die, another tells it.
pub struct Console {
    pub kind: ConsoleKind,
    ticket: Ticket,
    _counted: TaskTrackerToken,
}

/// Uses a ticket; answers the console and its bytes. Whatever comes of it, the ticket is used.
pub async fn open(app: &App, stranger: &Stranger, id: &str, ticket: &str) -> Result<(Console, Wire), Refusal> {
    let digest = db::seed::digest(ticket);
    let ticket = crate::change!(app, "use console ticket", Some(stranger.request), |tx, _ringing| {
        let used = || Refusal::new(Code::TicketUsed).with("id", id);
        let found = db::consoles::lock(tx, &digest).await?.filter(|found| found.instance == id && !found.used);
        let found = found.ok_or_else(used)?;
        if found.too_old {
            return Err(Refusal::new(Code::TicketTooOld).with("id", id).into());
        }
        db::consoles::begin(tx, &digest, &stranger.address).await?;
        let found = Ticket { address: Some(stranger.address.clone()), ..found };
        audit(tx, &found, stranger.request, "console.open").await?;
        Ok(found)
    })?;
    let counted = app.streams().open.token();
    match connect(app, stranger, &ticket).await {
        Ok(wire) => Ok((Console { kind: ticket.kind, ticket, _counted: counted }, wire)),
        Err(refusal) => {
            end(app, &ticket).await;
            Err(refusal)
        }
    }
}

async fn audit(tx: &mut db::Tx, ticket: &Ticket, request: Uuid, verb: &str) -> Result<(), AppError> {
    let account = ticket.account.as_deref().unwrap_or("-");
    let address = ticket.address.as_deref().unwrap_or("local");
    let who = db::events::Who { request, token: &ticket.token, account, address, key: None };
    Ok(db::events::audit(tx, &who, verb, &ticket.instance).await?)
}

async fn connect(app: &App, stranger: &Stranger, ticket: &Ticket) -> Result<Wire, Refusal> {
    let caller = app.caller_of(&ticket.token, ticket.account.as_deref(), &stranger.address).await?;
    let instance = instances::get(app, &caller, &ticket.instance).await?;
    refuse_stopped(&instance)?;
    let agent = instances::agent_of(app, &instance).await?;
    let closed = || Refusal::new(Code::Unavailable).with("what", "console");
    let expected = app.streams().expect().ok_or_else(closed)?;
    let arguments = serde_json::json!({ "instance": ticket.instance, "kind": ticket.kind });
    let answered = app.questions().open(agent.clone(), "hva.console", arguments, expected.dial.clone()).await;
    answered.map_err(|why| refused(&ticket.instance, &agent, &why))?;
    expected.taken().await.ok_or_else(closed)
}

/// What an agent says instead of showing something, in words.
fn refused(id: &str, agent: &AgentId, why: &str) -> Refusal {
    match NoConsole::parse(why) {
        Some(NoConsole::Off) => is_off(id, "halted"),
        Some(NoConsole::InUse) => Refusal::new(Code::ConsoleInUse).with("id", id),
        Some(NoConsole::Absent) => Refusal::new(Code::NoConsole).with("id", id),
        Some(NoConsole::TooMany) => Refusal::new(Code::Unavailable).with("what", format!("{agent} (consoles)")),
        None => Refusal::new(Code::Unavailable).with("what", why),
    }
}

/// Whom an open console is shown to now.
///
/// # Errors
/// Its token does not let in any more, or no more for this instance.
pub async fn show(app: &App, console: &Console) -> Result<Caller, Refusal> {
    let Ticket { sha256, instance, token, account, address, .. } = &console.ticket;
    let address = address.as_deref().unwrap_or("local");
    let caller = app.caller_of(token, account.as_deref(), address).await?;
    instances::get(app, &caller, instance).await?;
    db::consoles::touch(app.db(), sha256).await.map_err(AppError::from)?;
    Ok(caller)
}

/// Tells that it is closed.
pub async fn close(app: &App, console: &Console) {
    end(app, &console.ticket).await;
}

/// Not told now, it is told by whoever looks for what was left behind.
async fn end(app: &App, ticket: &Ticket) {
    let request = crate::rehearsal::uuid_v7();
    let told = crate::change!(app, "close console", Some(request), |tx, _ringing| {
        if db::consoles::end(tx, &ticket.sha256).await? {
            audit(tx, ticket, request, "console.close").await?;
        }
        Ok(())
    });
    if let Err::<(), AppError>(error) = told {
        tracing::warn!(%error, instance = ticket.instance, "the end of a console could not be written down");
    }
}

/// Tells the ends of what a dcmgr that died had open, and forgets what is old.
///
/// # Errors
/// The database's.
pub async fn sweep(app: &App) -> Result<(), AppError> {
    for ticket in db::consoles::left_behind(app.db()).await? {
        end(app, &ticket).await;
    }
    Ok(db::consoles::sweep(app.db()).await?)
}

/// What the screen shows, as a PNG.
pub async fn screenshot(app: &App, caller: &Caller, id: &str) -> Result<Vec<u8>, Refusal> {
    let instance = instances::get(app, caller, id).await?;
    refuse_stopped(&instance)?;
    let agent = instances::agent_of(app, &instance).await?;
    let arguments = serde_json::json!({ "instance": id });
    let answer = app.questions().ask(agent.clone(), "hva.screenshot", arguments).await;
    let answer = answer.map_err(|why| refused(id, &agent, &why))?;
    let picture = answer.as_str().and_then(|text| STANDARD.decode(text).ok());
    picture.ok_or_else(|| Refusal::new(Code::Unavailable).with("what", agent.to_string()))
}

/// Pages that may open consoles, beside those of the API's own place.
pub fn origins(app: &App) -> &[String] {
    app.streams().origins()
}
