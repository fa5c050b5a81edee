//! Which naming services serve a network, and which of those is its gateway.
//!
//! ```text
//!  too few that stay ──► place the emptiest others            a new version, which they are sent
//!  one that is to go ──► withdraw it                          only when those that stay serve
//!  gateway not heard, or to go ──► give it to one that serves a new version, which the former one lacks
//! ```
//!
//! Rule: pure. What is well placed is never moved. Nothing is withdrawn before the others answered that they serve; one
//! that is silent is replaced only where another can take its place, so that its return finds what it left.

/// Networks that one service takes: its node's trunk has no more tags (IEEE 802.1Q), and what it keeps of each in memory and
/// looks after every few seconds is bounded with them.
pub const NETWORKS_PER_SERVICE_MAX: u64 = 4_094;

/// How many naming services a network wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    Every,
    /// At least one.
    Of(u16),
}

impl Count {
    /// As it is written in rows, requests and configurations: 0 is every one.
    pub fn of_number(number: u16) -> Self {
        if number == 0 { Count::Every } else { Count::Of(number) }
    }

    fn most(self) -> usize {
        match self {
            Count::Every => usize::MAX,
            Count::Of(number) => usize::from(number.max(1)),
        }
    }
}

/// Since when a service was not heard, by one who listened all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Voice {
    Heard,
    /// Its heartbeats stopped: it is sent nothing new.
    Quiet,
    /// Longer than a gateway may be missing.
    Silent,
    /// Longer than a restart takes.
    Gone,
}

/// Whether a network's row names the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    None,
    Wanted,
    /// It is to serve the network no more and has not yet answered that it does not.
    Withdrawn,
}

/// A naming service as one network's plan sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub agent: String,
    pub node: String,
    pub place: Place,
    pub voice: Voice,
    /// An operator lets it have networks.
    pub enabled: bool,
    /// It says itself that something is wrong: it keeps what it has and gets nothing new.
    pub degraded: bool,
    /// It answered that it serves a version of this placement.
    pub serves: bool,
    /// It may still translate, although another is the gateway.
    pub may_translate: bool,
    /// What it serves: networks and their guests.
    pub networks: u64,
    pub guests: u64,
}

impl Service {
    fn stays(&self) -> bool {
        self.place == Place::Wanted && self.enabled && self.voice != Voice::Gone
    }

    fn is_ready(&self) -> bool {
        self.stays() && self.serves && self.voice == Voice::Heard
    }

    fn may_be_placed(&self) -> bool {
        self.place != Place::Wanted && self.enabled && !self.degraded && self.voice == Voice::Heard
    }

    fn may_be_gateway(&self) -> bool {
        self.place == Place::Wanted && self.voice == Voice::Heard
    }
}

/// What a network wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub count: Count,
    /// It leads outside, so one of its services is its gateway.
    pub has_way: bool,
    pub gateway: Option<String>,
}

/// What is to be written; nothing when all is as it should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub place: Vec<String>,
    pub withdraw: Vec<String>,
    pub gateway: Option<String>,
}

impl Changes {
    pub fn is_nothing(&self) -> bool {
        *self == Changes::default()
    }
}

pub fn changes(wish: &Wish, services: &[Service]) -> Changes {
    let place = to_place(wish, services);
    let gateway = next_gateway(wish, services, &place);
    let withdraw = to_withdraw(wish, services, gateway.as_deref());
    Changes { place, withdraw, gateway }
}

/// The emptiest of those that may serve it, on nodes where none serves it yet; a full one only where nobody else would.
fn to_place(wish: &Wish, services: &[Service]) -> Vec<String> {
    let staying: Vec<&Service> = services.iter().filter(|service| service.stays()).collect();
    let mut missing = wish.count.most().saturating_sub(staying.len());
    let mut nodes: Vec<&str> = staying.iter().map(|service| service.node.as_str()).collect();
    let mut free: Vec<&Service> = services.iter().filter(|service| service.may_be_placed()).collect();
    let mut placed = Vec::new();
    while missing > 0 {
        let rank = |service: &&&Service| {
            let is_full = service.networks >= NETWORKS_PER_SERVICE_MAX;
            let is_beside = nodes.contains(&service.node.as_str());
            (is_full, is_beside, service.guests, service.networks, service.agent.clone())
        };
        let Some(best) = free.iter().min_by_key(rank).copied() else { break };
        if best.networks >= NETWORKS_PER_SERVICE_MAX && !(staying.is_empty() && placed.is_empty()) {
            break;
        }
        free.retain(|service| service.agent != best.agent);
        nodes.push(&best.node);
        placed.push(best.agent.clone());
        missing -= 1;
    }
    placed
}

fn to_withdraw(wish: &Wish, services: &[Service], next: Option<&str>) -> Vec<String> {
    let wanted = || services.iter().filter(|service| service.place == Place::Wanted);
    let staying = wanted().filter(|service| service.stays()).count();
    let ready = wanted().filter(|service| service.is_ready()).count();
    let gateway = next.or(wish.gateway.as_deref()).filter(|_| wish.has_way);
    // What leaves through one that answers goes on until another leads it out.
    let holds_way = |service: &Service| {
        gateway == Some(&service.agent) || (service.voice == Voice::Heard && (service.may_translate || next.is_some()))
    };
    let most = wish.count.most();
    let mut withdrawn = Vec::new();
    for service in wanted().filter(|service| !service.stays()) {
        let needed = if service.enabled { most } else { most.min(staying).max(1) };
        if ready >= needed && !holds_way(service) {
            withdrawn.push(service.agent.clone());
        }
    }
    let mut surplus: Vec<&Service> = wanted().filter(|service| service.stays() && !holds_way(service)).collect();
    surplus.sort_by_key(|service| (service.is_ready(), u64::MAX - service.guests, u64::MAX - service.networks));
    let mut ready = ready;
    for service in surplus.into_iter().take(staying.saturating_sub(most)) {
        ready -= usize::from(service.is_ready());
        if ready < most {
            break;
        }
        withdrawn.push(service.agent.clone());
    }
    withdrawn
}

/// Another gateway, when there has to be one: one that serves, or at the very beginning one that is about to. A closed one
/// leads out only what nobody else can.
fn next_gateway(wish: &Wish, services: &[Service], placed: &[String]) -> Option<String> {
    if !wish.has_way {
        return None;
    }
    let now = services.iter().find(|service| Some(&service.agent) == wish.gateway.as_ref());
    let answers = now.is_some_and(|now| now.place == Place::Wanted && now.voice < Voice::Silent);
    if answers && now.is_some_and(|now| now.enabled) {
        return None;
    }
    let others = services.iter().filter(|one| one.may_be_gateway() && (one.enabled || !answers));
    let rank = |one: &&Service| (!one.serves, !one.enabled, one.guests, one.networks, one.agent.clone());
    let best = others.min_by_key(rank);
    if wish.gateway.is_some() {
        // Given to one that does not serve, the way would be nobody's.
        return best.filter(|service| service.serves).map(|service| service.agent.clone());
    }
    best.map(|service| service.agent.clone()).or_else(|| placed.first().cloned())
}

#[cfg(test)]
mod tests;
