//! The devices between guests and the switch: one tap for each interface, which its guest's QEMU opens.
//!
//! Rule: a tap outlives its guest's power cycles and goes with its port. The host itself says nothing on it.

use crate::command::{CommandError, Run};
use crate::switch::{Port, tap_name};
use std::time::Duration;

/// `ip` on a living machine.
const LIMIT: Duration = Duration::from_secs(10);

/// Index of a device of this host; 0 when there is none.
pub fn index(name: &str) -> u32 {
    nix::net::if_::if_nametoindex(name).unwrap_or(0)
}

pub fn exists(name: &str) -> bool {
    index(name) != 0
}

/// The port's tap exists and is up, with its MTU and, where the switch marks devices, its mark.
pub async fn ensure(port: &Port, mark: Option<String>) -> Result<(), CommandError> {
    let (name, mtu) = (tap_name(&port.nic.vif), port.nic.mtu);
    let mut script = String::new();
    if !exists(&name) {
        script.push_str(&format!("tuntap add dev {name} mode tap\n"));
    }
    if let Some(mark) = mark {
        script.push_str(&format!("link set dev {name} alias {mark}\n"));
    }
    // Not even an IPv6 router solicitation.
    script.push_str(&format!("link set dev {name} mtu {mtu} addrgenmode none\nlink set dev {name} up\n"));
    batch(script).await
}

pub async fn remove(name: &str) -> Result<(), CommandError> {
    Run::new("ip", LIMIT).args(["link", "del", "dev", name]).output().await.map(drop)
}

/// Lines for `ip`, of which the first that fails ends it.
pub async fn batch(script: String) -> Result<(), CommandError> {
    Run::new("ip", LIMIT).args(["-batch", "-"]).input(script.into_bytes()).output().await.map(drop)
}
