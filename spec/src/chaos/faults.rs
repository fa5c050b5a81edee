//! The faults: which there are, and the deck they are drawn from. Pure.
//!
//! Rule: a deck holds every kind once, so that a short campaign meets all of them; what a seed decides (kind, program,
//! how long) it decides here.

use super::files::{self, AGENTS, BROKER, DATABASE, HOST, MANAGERS, REAL};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    KillManager,
    KillAgent,
    KillBroker,
    /// The broker comes back without any queue or message.
    WipeBroker,
    KillDatabase,
    FreezeManager,
    FreezeAgent,
    FreezeBroker,
    FreezeDatabase,
    /// A dcmgr stops while its connection has a transaction with locks open.
    FreezeInTransaction,
    /// A dcmgr stops after it claimed a job and before it published it.
    FreezeRelay,
    CutBetween,
    CutOff,
    FullDisk,
    StepClock,
    SlowAgent,
    Replay,
    /// The process of one guest, from outside.
    KillGuest,
    KillLibvirt,
    KillSwitch,
    /// The power of the host on libvirt fails, with its agent.
    LosePower,
}

impl Kind {
    pub const ALL: [Kind; 21] = [
        Kind::KillManager,
        Kind::KillAgent,
        Kind::KillBroker,
        Kind::WipeBroker,
        Kind::KillDatabase,
        Kind::FreezeManager,
        Kind::FreezeAgent,
        Kind::FreezeBroker,
        Kind::FreezeDatabase,
        Kind::FreezeInTransaction,
        Kind::FreezeRelay,
        Kind::CutBetween,
        Kind::CutOff,
        Kind::FullDisk,
        Kind::StepClock,
        Kind::SlowAgent,
        Kind::Replay,
        Kind::KillGuest,
        Kind::KillLibvirt,
        Kind::KillSwitch,
        Kind::LosePower,
    ];

    /// Those that need a host on libvirt.
    pub const OF_THE_HOST: [Kind; 4] = [Kind::KillGuest, Kind::KillLibvirt, Kind::KillSwitch, Kind::LosePower];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::KillManager => "kill a dcmgr",
            Kind::KillAgent => "kill an agent",
            Kind::KillBroker => "kill the broker",
            Kind::WipeBroker => "broker without its queues",
            Kind::KillDatabase => "kill the database",
            Kind::FreezeManager => "freeze a dcmgr",
            Kind::FreezeAgent => "freeze an agent",
            Kind::FreezeBroker => "freeze the broker",
            Kind::FreezeDatabase => "freeze the database",
            Kind::FreezeInTransaction => "dcmgr in a transaction",
            Kind::FreezeRelay => "relay before publishing",
            Kind::CutBetween => "cut between two",
            Kind::CutOff => "cut one off",
            Kind::FullDisk => "full disk",
            Kind::StepClock => "clock step",
            Kind::SlowAgent => "slow agent",
            Kind::Replay => "messages replayed",
            Kind::KillGuest => "kill a guest's process",
            Kind::KillLibvirt => "kill libvirtd",
            Kind::KillSwitch => "kill the switch",
            Kind::LosePower => "a host loses power",
        }
    }
}

impl Kind {
    /// By the words of [`Kind::as_str`].
    pub fn parse(words: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == words)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    /// The program it strikes.
    pub program: &'static str,
    /// The other end of a cut.
    pub other: Option<&'static str>,
    /// How long it lasts; a kill is over at once.
    pub hold: Duration,
    /// Of a clock: seconds forward or back.
    pub step: i64,
}

impl Fault {
    pub fn told(&self) -> String {
        let mut text = format!("{} ({}", self.kind.as_str(), self.program);
        if let Some(other) = self.other {
            text.push_str(&format!(" and {other}"));
        }
        if self.step != 0 {
            text.push_str(&format!(", {:+} s", self.step));
        }
        if !self.hold.is_zero() {
            text.push_str(&format!(", {:.1} s", self.hold.as_secs_f32()));
        }
        text + ")"
    }

    fn programs(&self) -> Vec<&'static str> {
        let within = Kind::OF_THE_HOST.contains(&self.kind).then_some(REAL);
        [self.program].into_iter().chain(self.other).chain(within).collect()
    }

    /// A moment is caught by looking at the rows and at what is published: with a silent database the look would wait out
    /// its limit at every try, and keep the other fault from its end.
    fn can_be_caught_beside(&self, other: &Fault) -> bool {
        let looks = matches!(self.kind, Kind::FreezeInTransaction | Kind::FreezeRelay);
        !looks || other.programs().iter().all(|program| ![DATABASE, BROKER].contains(program))
    }

    /// Whether both may happen at once: each needs its program alive to be what it says it is.
    pub fn goes_with(&self, other: &Fault) -> bool {
        let apart = self.programs().iter().all(|program| !other.programs().contains(program));
        apart
            && self.can_be_caught_beside(other)
            && other.can_be_caught_beside(self)
            && self.kind != Kind::Replay
            && other.kind != Kind::Replay
    }
}

/// Longest and shortest a fault lasts.
#[derive(Debug, Clone, Copy)]
pub struct Holds {
    pub min_ms: u64,
    pub max_ms: u64,
}

impl Holds {
    /// For the two-minute form: every kind has its turn.
    pub const SHORT: Holds = Holds { min_ms: 1500, max_ms: 4000 };
    /// Longer than heartbeats, leases and the first backoffs.
    pub const LONG: Holds = Holds { min_ms: 2000, max_ms: 20_000 };
}

pub struct Deck {
    left: Vec<Kind>,
    holds: Holds,
    /// Kinds this machine cannot do.
    without: Vec<Kind>,
    agents: Vec<&'static str>,
}

/// Pairs of programs that talk to each other.
const TALKING: [(&str, &str); 12] = [
    ("dcmgr.1", DATABASE),
    ("dcmgr.2", DATABASE),
    ("dcmgr.1", BROKER),
    ("dcmgr.2", BROKER),
    ("hva.h1", BROKER),
    ("hva.h2", BROKER),
    ("hva.h3", BROKER),
    (REAL, BROKER),
    ("sta.s1", BROKER),
    ("sta.s2", BROKER),
    ("nsa.n1", BROKER),
    ("nsa.n2", BROKER),
];

/// How far a clock is stepped.
const STEP_SECONDS: i64 = 300;

impl Deck {
    pub fn new(holds: Holds, without: Vec<Kind>, with_host: bool) -> Deck {
        Deck { left: Vec::new(), holds, without, agents: files::agents(with_host) }
    }

    pub fn draw(&mut self, rng: &mut StdRng) -> Fault {
        if self.left.is_empty() {
            self.left = Kind::ALL.into_iter().filter(|kind| !self.without.contains(kind)).collect();
            self.left.shuffle(rng);
        }
        let kind = self.left.pop().unwrap_or(Kind::KillManager);
        self.fault(kind, rng)
    }

    /// Puts a kind back whose moment did not come.
    pub fn put_back(&mut self, kind: Kind) {
        self.left.insert(0, kind);
    }

    fn fault(&self, kind: Kind, rng: &mut StdRng) -> Fault {
        let manager = MANAGERS.choose(rng).copied().unwrap_or(MANAGERS[0]);
        let agent = self.agents.choose(rng).copied().unwrap_or(AGENTS[0]);
        // An effect of a simulated backend takes as long as its file says; a real one as long as it does.
        let simulated = AGENTS.choose(rng).copied().unwrap_or(AGENTS[0]);
        let lasting = Duration::from_millis(rng.random_range(self.holds.min_ms..=self.holds.max_ms));
        let talking: Vec<_> =
            TALKING.into_iter().filter(|(one, _)| *one != REAL || self.agents.contains(one)).collect();
        let (one, other) = talking.choose(rng).copied().unwrap_or(TALKING[0]);
        let step = if rng.random_bool(0.5) { STEP_SECONDS } else { -STEP_SECONDS };
        let any = if rng.random_bool(0.5) { manager } else { agent };
        let (program, partner, hold, step) = match kind {
            Kind::KillManager => (manager, None, Duration::ZERO, 0),
            Kind::KillAgent => (agent, None, Duration::ZERO, 0),
            Kind::KillBroker | Kind::WipeBroker => (BROKER, None, Duration::ZERO, 0),
            Kind::KillDatabase => (DATABASE, None, Duration::ZERO, 0),
            Kind::FreezeManager | Kind::FreezeInTransaction | Kind::FreezeRelay => (manager, None, lasting, 0),
            Kind::FreezeAgent | Kind::FullDisk => (agent, None, lasting, 0),
            Kind::SlowAgent => (simulated, None, lasting, 0),
            Kind::FreezeBroker => (BROKER, None, lasting, 0),
            Kind::FreezeDatabase => (DATABASE, None, lasting, 0),
            Kind::CutBetween => (one, Some(other), lasting, 0),
            Kind::CutOff => (any, None, lasting, 0),
            Kind::StepClock => (self.clocked(any, rng), None, lasting, step),
            Kind::Replay => (agent, None, Duration::ZERO, 0),
            Kind::KillGuest | Kind::KillLibvirt | Kind::KillSwitch | Kind::LosePower => (HOST, None, Duration::ZERO, 0),
        };
        Fault { kind, program, other: partner, hold, step }
    }

    /// Any program's clock, now and then the database's, by which due times are told.
    fn clocked(&self, any: &'static str, rng: &mut StdRng) -> &'static str {
        if rng.random_bool(0.25) { DATABASE } else { any }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::BTreeSet;

    #[test]
    fn a_deck_holds_every_kind_once_and_a_seed_draws_it_again() {
        let draw = |seed| {
            let (mut rng, mut deck) = (StdRng::seed_from_u64(seed), Deck::new(Holds::SHORT, Vec::new(), true));
            (0..Kind::ALL.len()).map(|_| deck.draw(&mut rng)).collect::<Vec<_>>()
        };
        let kinds: BTreeSet<Kind> = draw(7).iter().map(|fault| fault.kind).collect();
        assert_eq!(kinds.len(), Kind::ALL.len());
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8), "the control: another seed is another campaign");
    }

    #[test]
    fn two_faults_at_once_strike_different_programs() {
        let fault = |kind, program| Fault { kind, program, other: None, hold: Duration::ZERO, step: 0 };
        let kill = fault(Kind::KillAgent, "hva.h1");
        assert!(!kill.goes_with(&fault(Kind::FreezeAgent, "hva.h1")));
        assert!(kill.goes_with(&fault(Kind::FreezeAgent, "hva.h2")));
    }

    #[test]
    fn no_moment_is_caught_while_the_database_or_the_broker_is_silent() {
        let fault = |kind, program| Fault { kind, program, other: None, hold: Duration::ZERO, step: 0 };
        let frozen = fault(Kind::FreezeDatabase, DATABASE);
        for kind in [Kind::FreezeInTransaction, Kind::FreezeRelay] {
            let caught = fault(kind, "dcmgr.1");
            assert!(!caught.goes_with(&frozen) && !frozen.goes_with(&caught), "{kind:?}");
            assert!(caught.goes_with(&fault(Kind::FreezeAgent, "hva.h1")), "control");
        }
        assert!(frozen.goes_with(&fault(Kind::KillManager, "dcmgr.1")), "control");
    }
}
