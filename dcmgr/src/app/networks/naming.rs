//! Naming services of networks: placed, repaired, and the gateway handed on.
//!
//! Rule: a network's services are looked at under the lock of its row, so of two dcmgr that see the same death one acts. A
//! silence counts only while this process listened all the time: after its own outage, or one of the broker or the database,
//! everybody is given the time again.

use super::super::advance::{Cause, snapshot};
use super::super::{App, AppError, Ringing};
use crate::db::networks::NetworkRow;
use crate::db::networks::naming::{NamedNetwork, NamingAgent, PlaceRow};
use crate::db::{self, Tx};
use crate::plan::naming::{Changes, Count, Place, Service, Voice, Wish, changes};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Looks (one every two seconds) at which an agent was not heard, before a gateway is handed on: with the three heartbeats
/// after which it counts as offline some twenty seconds.
const LOOKS_UNTIL_SILENT: u32 = 4;

/// The same before its networks are given to others: half a minute, longer than the restart of a program.
const LOOKS_UNTIL_GONE: u32 = 8;

/// Looks after which all networks are looked at, whether or not anything changed.
const LOOKS_UNTIL_ALL: u32 = 15;

/// Networks put right in one look: the next one goes on.
const NETWORKS_A_LOOK: usize = 200;

/// What one dcmgr heard of the naming services, look by look.
#[derive(Debug, Default)]
pub struct Watch {
    state: Mutex<Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    /// Looks in a row at which an agent was not heard.
    missed: BTreeMap<String, u32>,
    /// The agents as they were when every network had what it wants.
    settled: Option<Vec<(NamingAgent, Voice)>>,
    looks: u32,
}

impl Watch {
    /// Counts a look. Where nobody at all is heard, it is this side that is deaf.
    fn look(&self, agents: &[NamingAgent], is_listening: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_listening || !agents.iter().any(|agent| agent.online) {
            state.missed.clear();
            return;
        }
        let missed = |agent: &NamingAgent| state.missed.get(&agent.id).copied().unwrap_or(0).saturating_add(1);
        let counted = agents.iter().filter(|agent| !agent.online).map(|agent| (agent.id.clone(), missed(agent)));
        state.missed = counted.collect();
    }

    /// What was heard before it was deaf counts no more.
    pub fn forget(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).missed.clear();
    }

    fn voice(&self, agent: &NamingAgent) -> Voice {
        if agent.online {
            return Voice::Heard;
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.missed.get(&agent.id).copied().unwrap_or(0) {
            0..LOOKS_UNTIL_SILENT => Voice::Quiet,
            LOOKS_UNTIL_SILENT..LOOKS_UNTIL_GONE => Voice::Silent,
            LOOKS_UNTIL_GONE.. => Voice::Gone,
        }
    }

    /// Whether every network has to be looked at: somebody came, went or fell silent, or something is still under way.
    fn is_news(&self, now: &[(NamingAgent, Voice)]) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.looks = state.looks.wrapping_add(1);
        state.settled.as_deref() != Some(now) || state.looks.is_multiple_of(LOOKS_UNTIL_ALL)
    }

    fn settle(&self, now: Option<Vec<(NamingAgent, Voice)>>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).settled = now;
    }
}

/// Agents with their voices and loads: what is looked at once for many networks.
struct Company {
    agents: Vec<(NamingAgent, Voice)>,
    loads: BTreeMap<String, (u64, u64)>,
}

impl Company {
    async fn of(app: &App, tx: &mut Tx) -> Result<Self, AppError> {
        let agents = db::networks::naming::agents(tx).await?.into_iter();
        let agents = agents.map(|agent| (agent.clone(), app.naming_watch().voice(&agent))).collect();
        Ok(Company { agents, loads: db::networks::naming::loads(tx).await? })
    }

    fn services(&self, network: &NamedNetwork) -> Vec<Service> {
        let service = |(agent, voice): &(NamingAgent, Voice)| {
            let place = network.places.iter().find(|place| place.agent == agent.id);
            let (networks, guests) = self.loads.get(&agent.id).copied().unwrap_or_default();
            Service {
                agent: agent.id.clone(),
                node: agent.node.clone(),
                place: place.map_or(Place::None, |place| place.place),
                voice: *voice,
                enabled: agent.enabled,
                degraded: agent.degraded,
                serves: place.is_some_and(|place| place.serves),
                may_translate: place.is_some_and(|place| place.may_translate),
                networks,
                guests,
            }
        };
        self.agents.iter().map(service).collect()
    }

    fn wanted(&self, network: &NamedNetwork, count: Count) -> Changes {
        let wish =
            Wish { count: network.count.unwrap_or(count), has_way: network.has_way, gateway: network.gateway.clone() };
        changes(&wish, &self.services(network))
    }

    /// Whether a service that is heard has still to answer something before all is well.
    fn is_under_way(&self, network: &NamedNetwork) -> bool {
        let is_heard = |id: &str| self.agents.iter().any(|(agent, _)| agent.id == id && agent.online);
        let waits = |place: &&PlaceRow| place.place == Place::Withdrawn || !place.serves || place.may_translate;
        network.places.iter().filter(waits).any(|place| is_heard(&place.agent))
    }
}

/// Gives a network whose row is locked the services it wants. Answers whether its version was raised; whoever calls sends it.
pub(in crate::app) async fn look(app: &App, tx: &mut Tx, network: &str) -> Result<bool, AppError> {
    let company = Company::of(app, tx).await?;
    put_right(app, tx, &company, network).await
}

async fn put_right(app: &App, tx: &mut Tx, company: &Company, network: &str) -> Result<bool, AppError> {
    let Some(row) = db::networks::find(tx, network).await? else { return Ok(false) };
    let Some(named) = db::networks::naming::network(tx, network).await? else { return Ok(false) };
    let changes = company.wanted(&named, app.naming_services());
    if changes.is_nothing() {
        return Ok(false);
    }
    // A service that left is given only what is newer than its leaving; what it answers at that version is about it; and a
    // gateway's rules come with a version.
    let version = db::networks::bump(tx, network).await?;
    for agent in &changes.place {
        db::networks::naming::place(tx, network, agent, version).await?;
        tell(tx, &row, "naming_service_placed", agent).await?;
    }
    for agent in &changes.withdraw {
        db::networks::naming::withdraw(tx, network, agent, version).await?;
        tell(tx, &row, "naming_service_withdrawn", agent).await?;
    }
    if let Some(agent) = &changes.gateway {
        db::networks::naming::give_gateway(tx, network, agent, version).await?;
        tell(tx, &row, "gateway_given", agent).await?;
    }
    Ok(true)
}

async fn tell(tx: &mut Tx, network: &NetworkRow, code: &'static str, agent: &str) -> Result<(), AppError> {
    let values = [("agent", agent.to_owned())];
    let event = db::events::NewEvent {
        account: Some(&network.account),
        resource: &network.id,
        code,
        values: &values,
        job: None,
        request: None,
    };
    Ok(db::events::insert(tx, &event).await?)
}

/// Looks at the naming services, and at every network when something changed.
///
/// # Errors
/// The database's: the next look goes on.
pub async fn tend(app: &App) -> Result<(), AppError> {
    let agents = db::networks::naming::agents_of(app.db()).await?;
    let watch = app.naming_watch();
    watch.look(&agents, app.is_broker_up());
    let now: Vec<(NamingAgent, Voice)> = agents.into_iter().map(|agent| (agent.clone(), watch.voice(&agent))).collect();
    if !watch.is_news(&now) {
        return Ok(());
    }
    put_all_right(app, now).await
}

/// The same at once, because somebody came.
///
/// # Errors
/// The database's.
pub async fn tend_now(app: &App) -> Result<(), AppError> {
    let agents = db::networks::naming::agents_of(app.db()).await?.into_iter();
    let now = agents.map(|agent| (agent.clone(), app.naming_watch().voice(&agent))).collect();
    put_all_right(app, now).await
}

async fn put_all_right(app: &App, now: Vec<(NamingAgent, Voice)>) -> Result<(), AppError> {
    if db::recovery::memory_of(app.db()).await?.lost.is_some() {
        return Ok(());
    }
    // Without loads: whether something is to be done does not depend on them, only what.
    let company = Company { agents: now, loads: BTreeMap::new() };
    let networks = db::networks::naming::networks(app.db()).await?;
    let is_wrong = |network: &&NamedNetwork| !company.wanted(network, app.naming_services()).is_nothing();
    let wrong: Vec<&NamedNetwork> = networks.iter().filter(is_wrong).collect();
    let is_settled = wrong.is_empty() && !networks.iter().any(|network| company.is_under_way(network));
    for network in wrong.into_iter().take(NETWORKS_A_LOOK) {
        repair(app, &network.id).await?;
    }
    app.naming_watch().settle(is_settled.then_some(company.agents));
    Ok(())
}

async fn repair(app: &App, network: &str) -> Result<(), AppError> {
    crate::change!(app, "naming services", None, |tx, ringing| {
        if db::networks::lock(tx, network).await?.is_none_or(|row| row.is_deleted) {
            return Ok(());
        }
        look_and_send(app, tx, ringing, network, Cause::fact()).await
    })
}

/// Puts a network's services right and sends what follows.
pub(in crate::app) async fn look_and_send(
    app: &App,
    tx: &mut Tx,
    ringing: &mut Ringing,
    network: &str,
    cause: Cause,
) -> Result<(), AppError> {
    if look(app, tx, network).await? {
        snapshot::network(tx, ringing, network, cause).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(id: &str, online: bool) -> NamingAgent {
        NamingAgent { id: id.into(), node: format!("nn-{id}"), online, degraded: false, enabled: true }
    }

    fn after(looks: u32, watch: &Watch, agents: &[NamingAgent]) -> Voice {
        for _ in 0..looks {
            watch.look(agents, true);
        }
        watch.voice(&agents[0])
    }

    #[test]
    fn a_silence_is_counted_by_looks_and_ends_with_the_first_word() {
        let watch = Watch::default();
        let silent = [agent("a", false), agent("b", true)];
        assert_eq!(after(1, &watch, &silent), Voice::Quiet);
        assert_eq!(after(LOOKS_UNTIL_SILENT - 1, &watch, &silent), Voice::Silent);
        assert_eq!(after(LOOKS_UNTIL_GONE - LOOKS_UNTIL_SILENT, &watch, &silent), Voice::Gone);
        assert_eq!(watch.voice(&silent[1]), Voice::Heard);
        assert_eq!(after(1, &watch, &[agent("a", true), agent("b", true)]), Voice::Heard);
        assert_eq!(after(1, &watch, &silent), Voice::Quiet);
    }

    #[test]
    fn who_hears_nobody_or_has_no_broker_concludes_nothing() {
        let watch = Watch::default();
        let (silent, all) = ([agent("a", false), agent("b", true)], [agent("a", false), agent("b", false)]);
        assert_eq!(after(LOOKS_UNTIL_GONE, &watch, &silent), Voice::Gone, "the control");
        watch.look(&all, true);
        assert_eq!(watch.voice(&all[0]), Voice::Quiet);
        assert_eq!(after(LOOKS_UNTIL_GONE, &watch, &silent), Voice::Gone);
        watch.look(&silent, false);
        assert_eq!(watch.voice(&silent[0]), Voice::Quiet);
        assert_eq!(after(LOOKS_UNTIL_GONE, &watch, &silent), Voice::Gone);
        watch.forget();
        assert_eq!(watch.voice(&silent[0]), Voice::Quiet);
    }

    #[test]
    fn nothing_is_looked_at_twice_while_nobody_came_or_went() {
        let watch = Watch::default();
        let now = vec![(agent("a", true), Voice::Heard)];
        assert!(watch.is_news(&now));
        watch.settle(Some(now.clone()));
        assert!(!watch.is_news(&now));
        let silent = vec![(agent("a", true), Voice::Silent)];
        assert!(watch.is_news(&silent));
        let looks = (0..LOOKS_UNTIL_ALL).filter(|_| watch.is_news(&now)).count();
        assert_eq!(looks, 1, "and all of them now and then");
    }
}
