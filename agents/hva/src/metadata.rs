//! What guests read at 169.254.169.254: the EC2 tree of Wakame-vdc, from the records on this host.
//!
//! Rule: a guest is named by the switch port its packets came in by, never by anything it says. Nothing secret to the
//! guest's owner is in it. It does not fetch anything: what is not on this host is not answered.

pub mod server;
pub mod tree;

use crate::policy::Policy;
use crate::records::Record;
use arame_schema::jobs::hva::PortPolicy;
use arame_schema::model::{InstanceId, VifId};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Guests by vif, and the ports' networks.
#[derive(Default)]
pub struct Directory {
    records: Mutex<HashMap<InstanceId, Arc<Record>>>,
    by_vif: ArcSwap<HashMap<VifId, Arc<Record>>>,
    ports: ArcSwap<HashMap<VifId, PortPolicy>>,
}

impl Directory {
    pub fn put(&self, record: &Record) {
        self.change(|records| {
            records.insert(record.instance.clone(), Arc::new(record.clone()));
        });
    }

    pub fn remove(&self, instance: &InstanceId) {
        self.change(|records| {
            records.remove(instance);
        });
    }

    pub fn set_policy(&self, policy: &Policy) {
        let ports = policy.ports.iter().map(|port| (port.vif.clone(), port.clone())).collect();
        self.ports.store(Arc::new(ports));
    }

    pub fn guest(&self, vif: &VifId) -> Option<Arc<Record>> {
        self.by_vif.load().get(vif).cloned()
    }

    /// Subnet and servers of a NIC, as far as the host's policy tells.
    pub fn port(&self, vif: &VifId) -> Option<PortPolicy> {
        self.ports.load().get(vif).cloned()
    }

    fn change(&self, work: impl FnOnce(&mut HashMap<InstanceId, Arc<Record>>)) {
        let mut records = self.records.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        work(&mut records);
        let by_vif = records.values().flat_map(|r| r.nics.iter().map(|nic| (nic.vif.clone(), r.clone())));
        self.by_vif.store(Arc::new(by_vif.collect()));
    }
}
