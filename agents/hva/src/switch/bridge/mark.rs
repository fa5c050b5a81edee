//! The mark on a device of the bridge switch: the device's alias (`ip-link(8)`), which the kernel keeps as long as the device.
//!
//! Rule: a device without our mark is never changed or removed, but what the configuration names and what a start that was
//! cut short left half made. The words have no space and no quote, so that any tool takes them as they are.

use crate::switch::Port;
use arame_schema::model::{InstanceId, VifId};
use std::fmt;
use std::net::Ipv4Addr;
use uuid::Uuid;

/// The bridge itself.
pub const BRIDGE: &str = "arame:bridge";
/// Both ends of the link to the metadata service.
pub const METADATA: &str = "arame:metadata";
const PORT: &str = "arame:port";

/// What a guest's tap carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortMark {
    pub installation: Uuid,
    pub generation: u64,
    /// By these two its tracked connections are found when it goes.
    pub vlan_tag: u16,
    pub ipv4: Ipv4Addr,
    pub instance: InstanceId,
    pub vif: VifId,
}

impl PortMark {
    pub fn of(port: &Port) -> Self {
        Self {
            installation: port.installation,
            generation: port.generation,
            vlan_tag: port.nic.vlan_tag,
            ipv4: port.nic.ipv4,
            instance: port.instance.clone(),
            vif: port.nic.vif.clone(),
        }
    }

    /// Reads an alias; `None` when it is no guest's port of ours.
    pub fn parse(alias: &str) -> Option<Self> {
        let mut words = alias.strip_prefix(PORT)?.strip_prefix(':')?.split(':');
        let mut next = || words.next();
        let mark = Self {
            installation: next()?.parse().ok()?,
            generation: next()?.parse().ok()?,
            vlan_tag: next()?.parse().ok()?,
            ipv4: next()?.parse().ok()?,
            instance: next()?.parse().ok()?,
            vif: next()?.parse().ok()?,
        };
        words.next().is_none().then_some(mark)
    }
}

impl fmt::Display for PortMark {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { installation, generation, vlan_tag, ipv4, instance, vif } = self;
        write!(to, "{PORT}:{installation}:{generation}:{vlan_tag}:{ipv4}:{instance}:{vif}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::limits::ID_LENGTH_MAX;

    /// IFALIASZ of linux/if.h, less its NUL.
    const ALIAS_MAX: usize = 255;

    #[test]
    fn a_mark_reads_as_it_was_written_and_fits_however_long_its_ids_are() {
        let mark = PortMark {
            installation: Uuid::from_u128(7),
            generation: u64::MAX,
            vlan_tag: 4094,
            ipv4: Ipv4Addr::new(255, 255, 255, 255),
            instance: format!("i-{}", "x".repeat(ID_LENGTH_MAX - 2)).parse().unwrap(),
            vif: format!("vif-{}", "x".repeat(ID_LENGTH_MAX - 4)).parse().unwrap(),
        };
        let text = mark.to_string();
        assert_eq!(PortMark::parse(&text), Some(mark));
        assert!(text.len() <= ALIAS_MAX, "{}", text.len());
        for other in ["", BRIDGE, METADATA, "arame:port", "arame:port:x", &format!("{text}:more"), "somebody's"] {
            assert_eq!(PortMark::parse(other), None, "{other}");
        }
    }
}
