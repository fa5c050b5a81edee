//! What tenants do with instances.

pub mod addresses;
pub mod changes;
mod disks;
pub mod figures;
pub mod imaging;
mod launch;
mod planned;

pub use launch::create;
pub(super) use launch::{MAC_DRAWS_MAX, local_mac};
pub use planned::{plan, plan_delete};

use super::advance::{self, Cause};
use super::{App, AppError, Caller, lists, losses, moves};
use crate::db::instances::Ended;
use crate::db::{self, Tx};
use arame_schema::api::{self, Code, Event, Instance, ListFilter, Page, Refusal};
use arame_schema::model::AgentId;
use arame_schema::model::instance::{DesiredInstance, InstanceState, Shutdown};

pub async fn list(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<Instance>, Refusal> {
    let (states, ended) = states_of(filter.state.as_deref())?;
    lists::check_after(app, caller, &filter, db::Long::Instances).await?;
    let host = filter.host_node_id.as_ref().map(AsRef::as_ref);
    let wanted = db::instances::Filter { account: caller.scope(), states: &states, ended, host, filter: &filter };
    let counted = format!("instances {:?}", wanted.counted());
    let known = app.totals().get(&counted);
    if known.is_some_and(|told| told.is_due) {
        let (app, counted, count) = (app.clone(), counted.clone(), wanted.count());
        crate::rehearsal::spawn(async move {
            // Where it fails the next request counts, and tells why it cannot.
            if let Ok(total) = count.run(app.db()).await {
                app.totals().keep(counted, total);
            }
        });
    }
    let known = known.map(|told| told.total);
    let (total, shown) = db::instances::list(app.db(), &wanted, known).await.map_err(AppError::from)?;
    if known.is_none() {
        app.totals().keep(counted, total);
    }
    let results = changes::complete(app, shown).await?;
    Ok(Page { total, start: filter.start, limit: filter.limit, results })
}

/// The original's words for groups of states, and each state by itself.
fn states_of(word: Option<&str>) -> Result<(Vec<&'static str>, Ended), Refusal> {
    Ok(match word {
        None | Some("alive") => (Vec::new(), Ended::None),
        Some("alive_with_terminated") => (Vec::new(), Ended::Recent),
        Some("without_terminated") => (vec!["running", "halted"], Ended::None),
        Some("stopped") => (vec!["halted"], Ended::None),
        Some(word) => match InstanceState::parse(word) {
            Some(InstanceState::Terminated) => (vec![InstanceState::Terminated.as_str()], Ended::All),
            Some(state) => (vec![state.as_str()], Ended::None),
            None => {
                return Err(Refusal::new(Code::InvalidParameter)
                    .with("name", "state")
                    .with("value", word)
                    .with("expected", InstanceState::ALL.map(InstanceState::as_str).join(" | ")));
            }
        },
    })
}

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<Instance, Refusal> {
    let found = db::instances::get(app.db(), id, caller.scope()).await.map_err(AppError::from)?;
    let found = changes::complete(app, found.into_iter().collect()).await?;
    found.into_iter().next().ok_or_else(|| Refusal::unknown(id))
}

/// A line of the timeline about a request.
pub(super) async fn record(
    tx: &mut Tx,
    caller: &Caller,
    account: &str,
    resource: &str,
    code: &str,
    values: &[(&str, String)],
) -> Result<(), AppError> {
    Ok(db::events::insert(tx, &event_of(caller, account, resource, code, values)).await?)
}

fn event_of<'a>(
    caller: &Caller,
    account: &'a str,
    resource: &'a str,
    code: &'a str,
    values: &'a [(&'a str, String)],
) -> db::events::NewEvent<'a> {
    db::events::NewEvent { account: Some(account), resource, code, values, job: None, request: Some(caller.request) }
}

/// Locks an instance the caller may change.
pub(super) async fn lock_own(tx: &mut Tx, caller: &Caller, id: &str) -> Result<db::instances::InstanceRow, AppError> {
    let row = db::instances::lock(tx, id).await?;
    let own = row.filter(|row| caller.scope().is_none_or(|account| account == row.account));
    Ok(own.ok_or_else(|| Refusal::unknown(id))?)
}

/// Deletes from every state. Deleting what is being deleted answers the same again.
pub async fn delete(app: &App, caller: &Caller, id: &str) -> Result<Vec<String>, Refusal> {
    crate::change!(app, "delete instance", Some(caller.request), |tx, ringing| {
        lock_places(tx, id).await?;
        let row = lock_own(tx, caller, id).await?;
        if row.state == InstanceState::Terminated {
            return Err(refuse_state(&row, "not terminated"));
        }
        db::events::audit(tx, &caller.who(), "instance.delete", id).await?;
        if row.desired == DesiredInstance::Gone {
            return Ok(());
        }
        db::instances::set_desired(tx, id, DesiredInstance::Gone, Shutdown::Hard).await?;
        let open = db::volumes::attachments_of_instance(tx, id).await?;
        for attachment in &open {
            db::volumes::set_attachment_unwanted(tx, &attachment.id).await?;
        }
        record(tx, caller, &row.account, id, "delete_requested", &[("by", caller.token.clone())]).await?;
        advance::instance::advance(tx, ringing, id, Cause::request(caller.request)).await?;
        for attachment in &open {
            advance::attachment::advance(tx, ringing, &attachment.id, Cause::request(caller.request)).await?;
        }
        Ok(())
    })?;
    Ok(vec![id.to_owned()])
}

/// Networks come before instances in the lock order, and a delete may end the instance at once.
async fn lock_places(tx: &mut Tx, id: &str) -> Result<(), AppError> {
    let mut networks: Vec<String> =
        db::networks::vifs_of_instance(tx, id).await?.into_iter().map(|vif| vif.network).collect();
    networks.sort();
    networks.dedup();
    for network in networks {
        db::networks::lock(tx, &network).await?;
    }
    Ok(())
}

pub(super) fn refuse_state(row: &db::instances::InstanceRow, needed: &str) -> AppError {
    let refusal = Refusal::new(Code::InvalidInstanceState);
    refusal.with("id", &row.id).with("state", row.state).with("needed", needed).into()
}

async fn set_power(
    app: &App,
    caller: &Caller,
    id: &str,
    wish: (DesiredInstance, Shutdown),
    words: (&'static str, &'static str),
) -> Result<Instance, Refusal> {
    let (desired, method) = wish;
    let (verb, code) = words;
    crate::change!(app, verb, Some(caller.request), |tx, ringing| {
        let row = lock_own(tx, caller, id).await?;
        if row.desired == DesiredInstance::Gone {
            return Err(refuse_state(&row, "running | halted"));
        }
        if desired == DesiredInstance::Off {
            moves::refuse_while_moving(tx, id).await?;
        }
        losses::refuse_lost(tx, &row).await?;
        db::events::audit(tx, &caller.who(), verb, id).await?;
        let harder = row.shutdown == Shutdown::Soft && method == Shutdown::Hard && desired == DesiredInstance::Off;
        if row.desired == desired && row.failure_code.is_none() && !harder {
            return Ok(());
        }
        db::instances::set_desired(tx, id, desired, method).await?;
        record(tx, caller, &row.account, id, code, &[("by", caller.token.clone())]).await?;
        advance::instance::advance(tx, ringing, id, Cause::request(caller.request)).await
    })?;
    get(app, caller, id).await
}

/// Switches off; nothing is lost.
pub async fn power_off(app: &App, caller: &Caller, id: &str, method: Shutdown) -> Result<Instance, Refusal> {
    set_power(app, caller, id, (DesiredInstance::Off, method), ("instance.poweroff", "power_off_requested")).await
}

pub async fn power_on(app: &App, caller: &Caller, id: &str) -> Result<Instance, Refusal> {
    set_power(app, caller, id, (DesiredInstance::On, Shutdown::Soft), ("instance.poweron", "power_on_requested")).await
}

/// Reboots once, under an operation id (DESIGN 3.8).
pub async fn reboot(app: &App, caller: &Caller, id: &str) -> Result<Instance, Refusal> {
    crate::change!(app, "reboot instance", Some(caller.request), |tx, ringing| {
        let row = lock_own(tx, caller, id).await?;
        if let Some(key) = &caller.idempotency_key
            && db::access::made_with_key(tx, &caller.token, key).await?.is_some()
        {
            return Ok(());
        }
        moves::refuse_while_moving(tx, id).await?;
        if row.state != InstanceState::Running {
            return Err(refuse_state(&row, "running"));
        }
        db::events::audit(tx, &caller.who(), "instance.reboot", id).await?;
        // A generation of its own: a reboot that is still on its way when the next is asked for is refused.
        db::instances::bump(tx, id).await?;
        db::instances::set_operation(tx, id, Some(caller.request)).await?;
        record(tx, caller, &row.account, id, "reboot_requested", &[("by", caller.token.clone())]).await?;
        advance::instance::advance(tx, ringing, id, Cause::request(caller.request)).await
    })?;
    get(app, caller, id).await
}

/// The agent of the host it is on.
pub(super) async fn agent_of(app: &App, instance: &Instance) -> Result<AgentId, Refusal> {
    let host = instance.host_node.clone().unwrap_or_default();
    let unavailable = |what: String| Refusal::new(Code::Unavailable).with("what", what);
    let hosts = db::nodes::host(app.db(), &host).await.map_err(AppError::from)?;
    let agent = hosts.map(|host| host.node_id).ok_or_else(|| unavailable(host.clone()))?;
    agent.parse().map_err(|_| unavailable(agent.clone()))
}

/// The end of the serial console's log, asked of the host.
pub async fn console_log(app: &App, caller: &Caller, id: &str, bytes: u64) -> Result<String, Refusal> {
    let instance = get(app, caller, id).await?;
    let agent = agent_of(app, &instance).await?;
    let arguments = serde_json::json!({ "instance": id, "bytes": bytes });
    match app.questions().ask(agent, "hva.console_log", arguments).await {
        Ok(answer) => Ok(answer.as_str().map_or_else(|| answer.to_string(), str::to_owned)),
        Err(sentence) => Err(Refusal::new(Code::Unavailable).with("what", sentence)),
    }
}

pub async fn timeline(app: &App, caller: &Caller, id: &str) -> Result<Vec<Event>, Refusal> {
    get(app, caller, id).await?;
    Ok(db::events::of_resource(app.db(), id).await.map_err(AppError::from)?)
}

pub async fn placement(app: &App, caller: &Caller, id: &str) -> Result<api::Placement, Refusal> {
    get(app, caller, id).await?;
    let told = db::instances::placement(app.db(), id).await.map_err(AppError::from)?;
    told.ok_or_else(|| Refusal::unknown(id))
}
