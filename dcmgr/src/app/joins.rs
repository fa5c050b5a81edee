//! Machines that join by a one-time token, and leave.
//!
//! ```text
//! token: open ─► used, by one machine ─► the same machine again: the same answer    expired, revoked, another's: refused
//! take:  the broker answers? ─► row of the agent, token used (one transaction) ─► user of the broker ─► answer
//! leave: empty? ─► its rows go (one transaction) ─► user of the broker goes      left over: the sweep takes it away
//! ```
//!
//! Rule: the machine draws its agent's key and its password, so that a lost answer loses nothing: whoever shows the same key
//! is the same machine. Nothing is written while the broker's users cannot be made. No secret is kept but as a digest.

use super::sessions::Stranger;
use super::{App, AppError, Caller, once};
use crate::authority;
use crate::db::{self, Tx};
use arame_schema::api::join::{JoinTokenState, host_and_port};
use arame_schema::api::{
    Code, CreateJoinToken, Invitation, Join, JoinToken, Joined, Leave, Left, ListFilter, Page, Refusal,
};
use arame_schema::model::{AgentId, AgentKind, HostNodeId, JoinTokenId, Secret, StorageNodeId};
use async_trait::async_trait;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Long enough to walk to the machine, short enough that a line left in a terminal opens nothing.
const LASTS_SECONDS: u64 = 3600;

/// The broker's users, as far as they are agents'.
#[async_trait]
pub trait BrokerUsers: Send + Sync {
    /// Whether users could be made now; the error says why not.
    async fn check(&self) -> Result<(), String>;
    /// Makes an agent's user with its rights, or gives it this password.
    async fn put(&self, agent: &AgentId, password: &Secret) -> Result<(), String>;
    /// Those that [`BrokerUsers::put`] made.
    async fn made(&self) -> Result<Vec<AgentId>, String>;
    /// Also of one that is not there.
    async fn remove(&self, agent: &AgentId) -> Result<(), String>;
}

/// What machines are told that join, and who makes their users.
pub struct Gate {
    /// Host and port of the API by TLS, as other machines reach it.
    pub manager: String,
    /// Whose key an invitation names.
    pub ca_file: PathBuf,
    /// Host and port of the broker by TLS, as other machines reach it.
    pub broker: String,
    pub vhost: String,
    pub streams: Option<String>,
    pub users: Arc<dyn BrokerUsers>,
    /// A user that is made is not swept away by this process.
    pub turn: Mutex<()>,
}

fn gate(app: &App) -> Result<&Gate, Refusal> {
    app.gate().ok_or_else(|| Refusal::new(Code::JoinNotOffered).with("what", "[join]"))
}

fn away(reason: String) -> Refusal {
    Refusal::new(Code::Unavailable).with("what", reason)
}

pub async fn list(app: &App, _caller: &Caller, filter: ListFilter) -> Result<Page<JoinToken>, Refusal> {
    super::page(db::join_tokens::list(app.db()).await.map_err(AppError::from)?, &filter)
}

pub async fn get(app: &App, _caller: &Caller, id: &str) -> Result<JoinToken, Refusal> {
    let found = db::join_tokens::get(app.db(), id).await.map_err(AppError::from)?;
    found.ok_or_else(|| Refusal::unknown(id))
}

/// An invitation for a machine that has not joined.
pub async fn create(app: &App, caller: &Caller, request: CreateJoinToken) -> Result<JoinToken, Refusal> {
    let gate = gate(app)?;
    let agent: AgentId = request.agent.parse().map_err(|_| {
        let refusal = Refusal::new(Code::InvalidParameter).with("name", "agent").with("value", &request.agent);
        refusal.with("expected", "hva.… | sta.… | nsa.…")
    })?;
    let pin = authority::pin(&gate.ca_file)
        .map_err(|error| Refusal::new(Code::JoinNotOffered).with("what", error.to_string()))?;
    let id = JoinTokenId::from_entropy(once::entropy()).to_string();
    let secret = super::tokens::secret();
    let made = crate::change!(app, "create join token", Some(caller.request), |tx, _ringing| {
        refuse_joined(tx, &agent).await?;
        let row = db::join_tokens::NewToken {
            id: &id,
            agent: agent.as_str(),
            secret_sha256: &db::seed::digest(&secret),
            created_by: &caller.token,
            expires_in_s: request.expires_in.unwrap_or(LASTS_SECONDS),
        };
        db::join_tokens::insert(tx, row).await?;
        db::events::audit(tx, &caller.who(), "join_token.create", &id).await?;
        let made = db::join_tokens::lock(tx, &id).await?;
        made.ok_or_else(|| AppError::from(Refusal::unknown(&id)))
    })?;
    let invitation = Invitation { agent, manager: gate.manager.clone(), pin, secret: Secret::new(secret) };
    Ok(JoinToken { invitation: Some(invitation.text()), ..made.view })
}

/// The agent's row, where one waits for its machine.
async fn refuse_joined(tx: &mut Tx, agent: &AgentId) -> Result<Option<db::agents::AgentRow>, AppError> {
    match db::agents::lock(tx, agent.as_str()).await? {
        Some(row) if row.incarnation > 0 => {
            Err(Refusal::new(Code::AgentHasJoined).with("agent", agent.as_str()).into())
        }
        found => Ok(found),
    }
}

/// Revoked twice is revoked; one that was used is not: who joined by it is taken out by its own command.
pub async fn revoke(app: &App, caller: &Caller, id: &str) -> Result<JoinToken, Refusal> {
    Ok(crate::change!(app, "revoke join token", Some(caller.request), |tx, _ringing| {
        let row = db::join_tokens::lock(tx, id).await?.ok_or_else(|| Refusal::unknown(id))?;
        if let Some(at) = row.view.used_at {
            return Err(Refusal::new(Code::JoinTokenUsed).with("id", id).with("at", at).into());
        }
        db::join_tokens::revoke(tx, id).await?;
        db::events::audit(tx, &caller.who(), "join_token.revoke", id).await?;
        let row = db::join_tokens::lock(tx, id).await?;
        Ok(row.ok_or_else(|| Refusal::unknown(id))?.view)
    })?)
}

/// A machine that joins: its agent may say hello from now on, and its user is at the broker.
pub async fn join(app: &App, stranger: &Stranger, request: &Join) -> Result<Joined, Refusal> {
    let gate = gate(app)?;
    let digest = db::seed::digest(request.secret.expose());
    // By the token: whoever guesses others keeps nobody from using his own.
    app.credentials().check_sign_in(&digest, &stranger.address)?;
    gate.users.check().await.map_err(away)?;
    let _turn = gate.turn.lock().await;
    let taken = crate::change!(app, "join", Some(stranger.request), |tx, _ringing| {
        let Some(token) = db::join_tokens::lock_secret(tx, &digest).await? else { return Ok(None) };
        Ok(Some(take(tx, stranger, request, &token).await?))
    })?;
    let Some((agent, node_id)) = taken else {
        app.credentials().sign_in_failed(&digest, &stranger.address);
        return Err(Refusal::new(Code::JoinTokenUnknown));
    };
    gate.users.put(&agent, &request.broker_password).await.map_err(away)?;
    let (host, port) = host_and_port(&gate.broker)
        .ok_or_else(|| Refusal::new(Code::JoinNotOffered).with("what", format!("broker = \"{}\"", gate.broker)))?;
    Ok(Joined {
        agent: agent.to_string(),
        node_id,
        broker_host: host.to_owned(),
        broker_port: port,
        broker_vhost: gate.vhost.clone(),
        streams: gate.streams.clone(),
    })
}

/// The agent and its node. Uses the token up, or finds that this machine has.
async fn take(
    tx: &mut Tx,
    stranger: &Stranger,
    request: &Join,
    token: &db::join_tokens::Row,
) -> Result<(AgentId, String), AppError> {
    let (view, key) = (&token.view, db::seed::digest(request.agent_key.expose()));
    let refused = |code: Code, at: Option<arame_schema::api::Timestamp>| {
        let at = at.map(|at| at.to_string()).unwrap_or_default();
        AppError::from(Refusal::new(code).with("id", &view.id).with("at", at))
    };
    let agent: AgentId = view.agent.parse().map_err(|_| Refusal::unknown(&view.agent))?;
    match view.state {
        JoinTokenState::Open => {}
        JoinTokenState::Expired => return Err(refused(Code::JoinTokenExpired, Some(view.expires_at))),
        JoinTokenState::Revoked => return Err(refused(Code::JoinTokenRevoked, view.revoked_at)),
        JoinTokenState::Used => {
            let row = db::agents::lock(tx, agent.as_str()).await?.filter(|row| row.key_sha256 == key);
            return match row {
                Some(row) if token.used_key.as_ref() == Some(&key) => Ok((agent, row.node)),
                _ => Err(refused(Code::JoinTokenUsed, view.used_at)),
            };
        }
    }
    let node = match refuse_joined(tx, &agent).await? {
        Some(row) => {
            db::agents::set_key(tx, &row.id, &key).await?;
            row.node
        }
        None => register(tx, &agent, &key).await?,
    };
    db::join_tokens::use_up(tx, &view.id, &key, &stranger.address, &request.machine).await?;
    let who = db::events::Who {
        request: stranger.request,
        token: &view.id,
        account: "-",
        address: &stranger.address,
        key: None,
    };
    db::events::audit(tx, &who, "node.join", &node).await?;
    Ok((agent, node))
}

/// The node of a machine that nobody registered before: called as its agent, where an id can be.
async fn register(tx: &mut Tx, agent: &AgentId, key_sha256: &str) -> Result<String, AppError> {
    let name = agent.name();
    let (wanted, drawn) = match agent.kind() {
        AgentKind::Hva => {
            let wanted = format!("{}-{name}", HostNodeId::PREFIX).parse::<HostNodeId>().map(String::from);
            (wanted, HostNodeId::from_entropy(once::entropy()).to_string())
        }
        AgentKind::Sta => {
            let wanted = format!("{}-{name}", StorageNodeId::PREFIX).parse::<StorageNodeId>().map(String::from);
            (wanted, StorageNodeId::from_entropy(once::entropy()).to_string())
        }
        AgentKind::Nsa => {
            let node = format!("nn-{name}");
            db::agents::insert(tx, agent, &node, key_sha256).await?;
            return Ok(node);
        }
    };
    let id = match wanted {
        Ok(wanted) if !db::nodes::is_known(tx, &wanted, agent.as_str()).await? => wanted,
        Ok(_) | Err(_) => drawn,
    };
    let node = db::nodes::NewNode { id: &id, agent, key_sha256, display_name: "", scheduling_enabled: true };
    db::nodes::insert(tx, node).await?;
    Ok(id)
}

/// A machine that leaves, or asks whether it may: who it is says its agent's key.
pub async fn leave(app: &App, stranger: &Stranger, request: &Leave) -> Result<Left, Refusal> {
    let (agent, key) = (&request.agent, db::seed::digest(request.agent_key.expose()));
    app.credentials().check_sign_in(&key, &stranger.address)?;
    let left = crate::change!(app, "leave", Some(stranger.request), |tx, _ringing| {
        let Some(row) = db::agents::lock(tx, agent).await? else { return Err(Refusal::unknown(agent).into()) };
        if row.key_sha256 != key {
            return Ok(None);
        }
        empty(tx, &row).await?;
        if !request.check {
            end(tx, &row).await?;
            let who = db::events::Who {
                request: stranger.request,
                token: &row.id,
                account: "-",
                address: &stranger.address,
                key: None,
            };
            db::events::audit(tx, &who, "node.leave", &row.node).await?;
        }
        Ok(Some(Left { agent: row.id, node_id: row.node }))
    })?;
    let Some(left) = left else {
        app.credentials().sign_in_failed(&key, &stranger.address);
        return Err(Refusal::new(Code::Unauthenticated));
    };
    if !request.check {
        retire(app, &left.agent).await;
    }
    Ok(left)
}

/// Refuses while something is on it, with the command that takes it away.
async fn empty(tx: &mut Tx, row: &db::agents::AgentRow) -> Result<(), AppError> {
    let (held, command) = match row.kind.as_str() {
        "hva" => {
            db::nodes::lock_host(tx, &row.node).await?;
            (db::instances::on_host(tx, &row.node).await?, format!("arame host drain {}", row.node))
        }
        "sta" => {
            db::nodes::lock_storage(tx, &row.node).await?;
            let held = db::nodes::held_by_storage(tx, &row.node, &row.id).await?;
            (held, format!("arame storage disable {}; arame volume delete …", row.node))
        }
        _ => (db::networks::naming::of_agent(tx, &row.id).await?, format!("arame naming disable {}", row.id)),
    };
    if held.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = held.into_iter().take(SHOWN_MAX).collect();
    let refusal = Refusal::new(Code::NodeNotEmpty).with("id", &row.node).with("by", shown.join(", "));
    Err(refusal.with("command", command).into())
}

/// Of what is on a node, in a refusal.
const SHOWN_MAX: usize = 20;

async fn end(tx: &mut Tx, row: &db::agents::AgentRow) -> Result<(), AppError> {
    if row.kind == "nsa" {
        db::networks::naming::end_agent(tx, &row.id).await?;
        return Ok(db::nodes::end_agent(tx, &row.id).await?);
    }
    db::nodes::delete(tx, &row.node, &row.id).await?;
    Ok(db::node_groups::forget_member(tx, &row.node).await?)
}

/// Takes an ended agent's user away from the broker. What fails is done by the next [`sweep`].
pub(super) async fn retire(app: &App, agent: &str) {
    let (Some(gate), Ok(agent)) = (app.gate(), agent.parse::<AgentId>()) else { return };
    let _turn = gate.turn.lock().await;
    if let Err(reason) = gate.users.remove(&agent).await {
        tracing::warn!(%agent, reason, "its user is still at the broker");
    }
}

/// Takes users of the broker away whose agents are no more.
///
/// # Errors
/// The database's.
pub async fn sweep(app: &App) -> Result<(), AppError> {
    let Some(gate) = app.gate() else { return Ok(()) };
    let _turn = gate.turn.lock().await;
    let made = match gate.users.made().await {
        Ok(made) => made,
        Err(reason) => {
            tracing::warn!(reason, "the broker's users could not be looked at");
            return Ok(());
        }
    };
    for agent in made {
        if db::agents::get(app.db(), agent.as_str()).await?.is_some() {
            continue;
        }
        match gate.users.remove(&agent).await {
            Ok(()) => tracing::info!(%agent, "its user was left over at the broker and is gone"),
            Err(reason) => tracing::warn!(%agent, reason, "its user is still at the broker"),
        }
    }
    Ok(())
}
