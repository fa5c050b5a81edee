//! The host's firewall policy: what the last accepted job said, under its version.

use arame_schema::jobs::hva::{ApplyPolicy, PortPolicy};
use arame_schema::model::VifId;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// Version 0 is the policy of a host that was never told one: no port forwards anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub version: u64,
    pub ports: Vec<PortPolicy>,
    pub infrastructure: Vec<Ipv4Net>,
}

impl Policy {
    pub fn new(version: u64, job: ApplyPolicy) -> Self {
        Self { version, ports: job.ports, infrastructure: job.infrastructure }
    }

    pub fn port(&self, vif: &VifId) -> Option<&PortPolicy> {
        self.ports.iter().find(|port| port.vif == *vif)
    }
}
