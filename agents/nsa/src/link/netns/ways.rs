//! The way out of a network in its namespace: the second port, forwarding, and the rules.
//!
//! Rule: the rules stand before the namespace forwards, and it forwards no more before they go. They are put in place whole
//! ([`way::rules`]); what the kernel told of them then is compared at each look, so that a rule somebody took away comes back.

use super::{
    FORWARDING, Inside, LinkError, LinkSpec, Made, Mark, Netns, OUTER, Port, inside, io_error, mac_of, way,
    way_port_name,
};
use crate::link::command::{CommandError, run, run_with};
use nix::net::if_::if_nametoindex;
use std::fs::File;

/// The rules as they are now, without counters.
async fn told(netns: &str) -> Result<String, CommandError> {
    run("ip", &["netns", "exec", netns, "nft", "--stateless", "list", "table", "ip", way::TABLE]).await
}

async fn set_rules(netns: &str, text: &str) -> Result<(), CommandError> {
    run_with("ip", &["netns", "exec", netns, "nft", "-f", "-"], Some(text)).await.map(drop)
}

async fn set_forwarding(netns: &File, value: &'static str) -> Result<(), LinkError> {
    inside(netns, move || std::fs::write(FORWARDING, value)).await?.map_err(|e| io_error("setting", FORWARDING, e))
}

/// Rules of a listing, or of what makes it.
fn count(text: &str) -> usize {
    let frame = ["table", "chain", "type", "delete", "}"];
    let is_rule = |line: &&str| !line.is_empty() && !frame.iter().any(|word| line.starts_with(word));
    text.lines().map(str::trim).filter(is_rule).count()
}

/// What is only kept is nothing where it does not stand.
pub(super) fn effective(spec: &LinkSpec, seen: &Inside) -> LinkSpec {
    let outside = spec.outside.clone().filter(|_| !spec.keeps_way || seen.outside_up);
    LinkSpec { outside, ..spec.clone() }
}

impl Netns {
    /// The second veth pair where the way out is here; no trace of one where it is not. Answers whether it was made.
    pub(super) async fn ensure_way(
        &self,
        spec: &LinkSpec,
        mark: Mark,
        (netns, file): (&str, &File),
        ports: &[Port],
    ) -> Result<bool, LinkError> {
        let port = way_port_name(&spec.network, mark.installation);
        let Some(outside) = &spec.outside else {
            let known = ports.iter().any(|row| row.name == port);
            if known || if_nametoindex(port.as_str()).is_ok() {
                set_forwarding(file, "0").await?;
                self.vsctl(&["--if-exists", "del-port", &self.switch.bridge, &port]).await?;
                set_rules(netns, &way::no_rules()).await?;
                if if_nametoindex(port.as_str()).is_ok() {
                    run("ip", &["link", "del", "dev", &port]).await?;
                }
            }
            return Ok(false);
        };
        let there = inside(file, || if_nametoindex(OUTER).is_ok()).await?;
        if there && if_nametoindex(port.as_str()).is_ok() {
            return Ok(false);
        }
        self.make_veth(&port, netns, OUTER, mac_of(spec, mark.installation, outside.address, &self.identity)).await?;
        Ok(true)
    }

    /// Rules, then forwarding, then the port. Answers the rules as the kernel tells them.
    pub(super) async fn open_way(
        &self,
        spec: &LinkSpec,
        mark: Mark,
        (netns, file): (&str, &File),
        ports: &[Port],
    ) -> Result<Option<String>, LinkError> {
        let (Some(outside), Some(gateway)) = (&spec.outside, spec.gateway) else { return Ok(None) };
        let subnet = ipnet::Ipv4Net::new(spec.server, spec.prefix_len).map(|net| net.trunc());
        let subnet = subnet.map_err(|e| io_error("reading", spec.server, std::io::Error::other(e)))?;
        let rules = way::rules(subnet, gateway, outside);
        set_rules(netns, &rules).await?;
        set_forwarding(file, "1").await?;
        let port = way_port_name(&spec.network, mark.installation);
        let mtu = outside.mtu.to_string();
        run("ip", &["link", "set", "dev", &port, "mtu", &mtu, "up"]).await?;
        let row = ports.iter().find(|row| row.name == port);
        self.shape_port(spec, mark, (&port, outside.vlan_tag), row).await?;
        let told = told(netns).await?;
        // What somebody takes away between the two must not be missing in what is compared later.
        if count(&told) < count(&rules) {
            return Err(io_error("setting", way::TABLE, std::io::Error::other("its rules were changed meanwhile")));
        }
        Ok(Some(told))
    }

    /// Whether the rules are those that were put in place. What cannot be listed is not there.
    pub(super) async fn has_rules(&self, spec: &LinkSpec, made: &Made) -> bool {
        match &made.rules {
            None => spec.outside.is_none(),
            Some(rules) => told(&self.netns(&spec.network)).await.is_ok_and(|told| told == *rules),
        }
    }
}
