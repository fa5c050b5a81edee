//! Whether this host's kernel and programs can do what the bridge switch asks of them.
//!
//! Rule: what is missing is said once, at the start, with the module's name and what to do; nothing is changed to find out
//! but a device that is made and removed. It loads nothing by itself: the kernel does where it may.

use crate::command::{CommandError, Run};
use crate::driver::DriverError;
use arame_schema::jobs::report::Retry;
use std::path::Path;
use std::time::Duration;

/// A module that is loaded on the way takes its time.
const LIMIT: Duration = Duration::from_secs(10);
/// Made and removed again.
const PROBE: &str = "arame-probe";
/// Of `br_netfilter`, where that is loaded: 1 sends bridged frames through the host's own rules.
const HOST_RULES: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

struct Part {
    what: &'static str,
    module: &'static str,
    option: &'static str,
    /// Only checked by the kernel, not put in place.
    rules: &'static str,
}

const PARTS: [Part; 3] = [
    Part {
        what: "rules for bridges",
        module: "nf_tables",
        option: "CONFIG_NF_TABLES_BRIDGE",
        rules: "table bridge arame_probe {\nchain c {\nether saddr 02:00:00:00:00:01 drop\n}\n}\n",
    },
    Part {
        what: "rules by the bridge's name",
        module: "nft_meta_bridge",
        option: "CONFIG_NFT_BRIDGE_META",
        rules: "table bridge arame_probe {\nchain c {\nmeta ibrname \"x\" drop\n}\n}\n",
    },
    Part {
        what: "connection tracking of bridged packets",
        module: "nf_conntrack_bridge",
        option: "CONFIG_NF_CONNTRACK_BRIDGE",
        rules: "table bridge arame_probe {\nchain c {\nct zone set 1\nct state new drop\n}\n}\n",
    },
];

/// What metadata needs beside them.
const FORWARD: Part = Part {
    what: "forwarding to a device",
    module: "nft_fwd_netdev",
    option: "CONFIG_NFT_FWD_NETDEV",
    rules: "table netdev arame_probe {\nchain c {\nfwd to \"lo\"\n}\n}\n",
};

fn refusal(what: &str, module: &str, option: &str, error: &CommandError) -> DriverError {
    let message = format!(
        "driver \"bridge\" of [hva.switch] needs the kernel's {what}: load the module {module} (`modprobe {module}`, and a \
         line in /etc/modules-load.d so that it is there after a start of the host), or boot a kernel that has it \
         ({option}), or use driver \"ovs\" ({error})"
    );
    DriverError::new("configuration", message, Retry::Never)
}

fn no_program(error: &CommandError) -> Option<DriverError> {
    let CommandError::Start { program, .. } = error else { return None };
    let package = if program == "nft" { "nftables" } else { "iproute2" };
    let message = format!(
        "driver \"bridge\" of [hva.switch] needs the program {program}: install the package {package} ({error})"
    );
    Some(DriverError::new("configuration", message, Retry::Never))
}

/// Everything is there, or a sentence about the first thing that is not.
pub async fn check(metadata: bool) -> Result<(), DriverError> {
    for part in PARTS.iter().chain(metadata.then_some(&FORWARD)) {
        let run = Run::new("nft", LIMIT).args(["-c", "-f", "-"]).input(part.rules.into()).output();
        run.await.map_err(|e| no_program(&e).unwrap_or_else(|| refusal(part.what, part.module, part.option, &e)))?;
    }
    // Left by a process that was killed in this very place.
    let ip = |words: &'static [&'static str]| Run::new("ip", LIMIT).args(words.iter().chain(&[PROBE])).output();
    let _ = ip(&["link", "del", "dev"]).await;
    let script = format!("link add name {PROBE} type bridge vlan_filtering 1\nlink del dev {PROBE}\n");
    let made = Run::new("ip", LIMIT).args(["-batch", "-"]).input(script.into_bytes()).output().await;
    made.map_err(|e| {
        no_program(&e).unwrap_or_else(|| {
            refusal("VLAN-aware bridge", "bridge", "CONFIG_BRIDGE and CONFIG_BRIDGE_VLAN_FILTERING", &e)
        })
    })?;
    Run::new("bridge", LIMIT).arg("-V").output().await.map_err(|e| no_program(&e).unwrap_or_else(|| e.into()))?;
    host_rules(Path::new(HOST_RULES))
}

/// Two firewalls, one of which knows nothing of networks with equal subnets, are refused.
fn host_rules(setting: &Path) -> Result<(), DriverError> {
    let told = std::fs::read_to_string(setting).unwrap_or_default();
    if told.trim() != "1" {
        return Ok(());
    }
    let message = "br_netfilter sends guests' packets through this host's own iptables rules and connection tracking, where \
                   equal subnets meet: set net.bridge.bridge-nf-call-iptables = 0 (sysctl), or use driver \"ovs\"";
    Err(DriverError::new("configuration", message.to_owned(), Retry::Never))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_judges_bridged_packets_by_its_own_rules_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let setting = dir.path().join("call");
        assert!(host_rules(&setting).is_ok(), "br_netfilter is not loaded");
        std::fs::write(&setting, "0\n").unwrap();
        assert!(host_rules(&setting).is_ok());
        std::fs::write(&setting, "1\n").unwrap();
        let refused = host_rules(&setting).unwrap_err();
        assert!(refused.to_string().contains("bridge-nf-call-iptables = 0"), "{refused}");
    }
}
