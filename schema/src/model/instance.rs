//! The states of an instance as users see them: Wakame's words, derived from the wish and the facts, never stored as
//! a conclusion of anyone but dcmgr.
//!
//! ```text
//!            create                 guest seen            poweroff        guest gone
//! (new) ──► pending ──► initializing ──► running ──► halting ──► halted ──► starting ──► running
//!              │             │               │                     │
//!              └── failed ◄──┘               └── shuttingdown ◄────┘ delete ──► terminated
//! ```
//!
//! A running one that is brought to another host is `migrating` until it runs on one host and nothing is left on the other.

use super::Fact;
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceState {
    /// Placed; its network or firewall is not confirmed yet.
    Pending,
    /// Its host is building it for the first time.
    Initializing,
    /// Its host is starting it again.
    Starting,
    Running,
    /// It runs, and is brought to another host, or back.
    Migrating,
    Halting,
    Halted,
    /// It is being deleted.
    Shuttingdown,
    Terminated,
    /// Wish and facts differ and the attempts are used up; the row says why (DESIGN 3.10).
    Failed,
}

impl InstanceState {
    pub const ALL: [InstanceState; 10] = [
        InstanceState::Pending,
        InstanceState::Initializing,
        InstanceState::Starting,
        InstanceState::Running,
        InstanceState::Migrating,
        InstanceState::Halting,
        InstanceState::Halted,
        InstanceState::Shuttingdown,
        InstanceState::Terminated,
        InstanceState::Failed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            InstanceState::Pending => "pending",
            InstanceState::Initializing => "initializing",
            InstanceState::Starting => "starting",
            InstanceState::Running => "running",
            InstanceState::Migrating => "migrating",
            InstanceState::Halting => "halting",
            InstanceState::Halted => "halted",
            InstanceState::Shuttingdown => "shuttingdown",
            InstanceState::Terminated => "terminated",
            InstanceState::Failed => "failed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether a state is one that must end by itself (DESIGN 3.10: it has a deadline).
    pub fn is_transitional(self) -> bool {
        match self {
            InstanceState::Pending
            | InstanceState::Initializing
            | InstanceState::Starting
            | InstanceState::Migrating
            | InstanceState::Halting
            | InstanceState::Shuttingdown => true,
            InstanceState::Running | InstanceState::Halted | InstanceState::Terminated | InstanceState::Failed => false,
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the tenant wants of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DesiredInstance {
    On,
    Off,
    Gone,
}

/// What a state is derived from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InstanceView {
    pub desired: DesiredInstance,
    /// Some part of it exists on its host.
    pub domain: Fact,
    /// Its guest runs.
    pub power: Fact,
    /// Its guest was seen running at least once in its life.
    pub ran_before: bool,
    /// A reason stands on the row and no attempt is left.
    pub failed: bool,
    /// Two hosts may hold something of it: it is brought from one to the other.
    pub moving: bool,
}

/// The one table of an instance's states.
pub fn state(view: InstanceView) -> InstanceState {
    let InstanceView { desired, domain, power, ran_before, failed, moving } = view;
    match (desired, domain, power) {
        (DesiredInstance::Gone, Fact::No, Fact::No) => InstanceState::Terminated,
        (DesiredInstance::Gone, _, _) => InstanceState::Shuttingdown,
        (DesiredInstance::On | DesiredInstance::Off, _, _) if moving => InstanceState::Migrating,
        (DesiredInstance::On, _, Fact::Yes) => InstanceState::Running,
        (DesiredInstance::Off, _, Fact::No) if !failed => InstanceState::Halted,
        (DesiredInstance::On | DesiredInstance::Off, _, _) if failed => InstanceState::Failed,
        (DesiredInstance::Off, _, _) => InstanceState::Halting,
        (DesiredInstance::On, _, _) if ran_before => InstanceState::Starting,
        (DesiredInstance::On, Fact::No, _) => InstanceState::Pending,
        (DesiredInstance::On, Fact::Maybe | Fact::Yes, _) => InstanceState::Initializing,
    }
}

/// How a guest is to be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shutdown {
    /// ACPI power button, then hard after a grace period named by the job.
    Soft,
    /// At once.
    Hard,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_needs_the_fact_that_the_guest_runs() {
        for domain in [Fact::No, Fact::Maybe, Fact::Yes] {
            for power in [Fact::No, Fact::Maybe] {
                for (ran_before, failed) in [(false, false), (true, false), (false, true), (true, true)] {
                    let moving = false;
                    let view = InstanceView { desired: DesiredInstance::On, domain, power, ran_before, failed, moving };
                    assert_ne!(state(view), InstanceState::Running, "{view:?}");
                }
            }
        }
    }

    #[test]
    fn a_machine_between_two_hosts_is_migrating_until_it_is_to_go() {
        for (domain, power) in [(Fact::Yes, Fact::Yes), (Fact::Maybe, Fact::Maybe), (Fact::Yes, Fact::No)] {
            for (desired, moving) in [
                (DesiredInstance::On, InstanceState::Migrating),
                (DesiredInstance::Off, InstanceState::Migrating),
                (DesiredInstance::Gone, InstanceState::Shuttingdown),
            ] {
                let view = InstanceView { desired, domain, power, ran_before: true, failed: false, moving: true };
                assert_eq!(state(view), moving, "{view:?}");
            }
        }
    }

    #[test]
    fn terminated_needs_both_facts_to_be_no() {
        for domain in [Fact::No, Fact::Maybe, Fact::Yes] {
            for power in [Fact::No, Fact::Maybe, Fact::Yes] {
                let view = InstanceView {
                    desired: DesiredInstance::Gone,
                    domain,
                    power,
                    ran_before: true,
                    failed: true,
                    moving: true,
                };
                let gone = domain == Fact::No && power == Fact::No;
                assert_eq!(state(view) == InstanceState::Terminated, gone, "{view:?}");
            }
        }
    }

    #[test]
    fn the_state_table_reads_as_the_checked_in_text() {
        let mut table = String::from("desired domain power ran failed -> state\n");
        for desired in [DesiredInstance::On, DesiredInstance::Off, DesiredInstance::Gone] {
            for domain in [Fact::No, Fact::Maybe, Fact::Yes] {
                for power in [Fact::No, Fact::Maybe, Fact::Yes] {
                    for ran_before in [false, true] {
                        for failed in [false, true] {
                            let view = InstanceView { desired, domain, power, ran_before, failed, moving: false };
                            let line = format!(
                                "{:7} {:6} {:5} {:3} {:6} -> {}\n",
                                format!("{desired:?}").to_lowercase(),
                                domain.as_str(),
                                power.as_str(),
                                if ran_before { "yes" } else { "no" },
                                if failed { "yes" } else { "no" },
                                state(view)
                            );
                            table.push_str(&line);
                        }
                    }
                }
            }
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/model/instance_states.txt");
        if std::env::var_os("ARAME_BLESS").is_some() {
            std::fs::write(path, &table).unwrap();
        }
        assert_eq!(table, std::fs::read_to_string(path).unwrap(), "ARAME_BLESS=1 rewrites {path}");
    }
}
