//! The host's switch as jobs see it: ports of guests, and the whole firewall as one versioned policy.
//!
//! ```text
//! policy ─► allowed ─┬─► flows        ─► ovs      Open vSwitch, kernel's or userspace datapath
//!   (what may pass)  └─► bridge/rules ─► bridge   VLAN-aware Linux bridge with nftables
//! ```
//!
//! Rule: a port forwards nothing before its rules stand; a port without a policy forwards nothing at all. Every
//! `ensure_*` is idempotent. It does not decide who may talk to whom: the policy says.

pub mod allowed;
pub mod bridge;
pub mod flows;
pub mod link;
pub mod ovs;
pub mod taps;

use crate::driver::DriverError;
use crate::policy::Policy;
use arame_schema::jobs::hva::Nic;
use arame_schema::model::{InstanceId, VifId};
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use std::net::Ipv4Addr;
use std::sync::Arc;
use uuid::Uuid;

/// A wished port: one NIC of one instance, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub installation: Uuid,
    pub instance: InstanceId,
    pub generation: u64,
    pub nic: Nic,
}

/// A port found on the switch that carries a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenPort {
    pub name: String,
    pub vif: VifId,
    pub instance: InstanceId,
    pub installation: Uuid,
    pub generation: u64,
    /// The switch's own number of the port; `None` while it has not taken the device in.
    pub number: Option<u32>,
}

#[async_trait]
pub trait Switch: Send + Sync + 'static {
    /// The ports exist, tagged and marked, and their rules stand.
    async fn ensure_ports(&self, ports: &[Port]) -> Result<(), DriverError>;

    /// No port of the instance is left but those named, nor rule, nor tracked connection of what goes.
    async fn ensure_no_ports(&self, instance: &InstanceId, but: &[VifId]) -> Result<(), DriverError>;

    /// The firewall is this policy, on ports that exist and on those to come.
    async fn ensure_policy(&self, policy: Arc<Policy>) -> Result<(), DriverError>;

    /// Every marked port.
    async fn survey(&self) -> Result<Vec<SeenPort>, DriverError>;

    /// Who speaks from this address of the metadata link. The switch itself wrote the address, by port.
    fn guest_at(&self, peer: Ipv4Addr) -> Option<VifId>;
}

/// Longest name of a network device (IFNAMSIZ less its NUL).
const DEVICE_NAME_MAX: usize = 15;

/// The tap of a vif: its id where that fits, else a digest of it. Known without asking anyone.
pub fn tap_name(vif: &VifId) -> String {
    if vif.as_str().len() <= DEVICE_NAME_MAX {
        return vif.to_string();
    }
    let digest = hex::encode(Sha256::digest(vif.as_str().as_bytes()));
    format!("vif_{}", &digest[..DEVICE_NAME_MAX - 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tap_is_named_after_its_vif_and_always_fits() {
        assert_eq!(tap_name(&"vif-abcd1234".parse().unwrap()), "vif-abcd1234");
        let long = tap_name(&"vif-chosen-by-an-operator".parse().unwrap());
        assert_eq!(long.len(), DEVICE_NAME_MAX);
        assert_ne!(long, tap_name(&"vif-chosen-by-an-operato2".parse().unwrap()));
    }
}
