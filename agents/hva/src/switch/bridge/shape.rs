//! What the bridge shall be and what it is, and the commands that lead from one to the other. Pure.
//!
//! Rules: nothing is learnt: a guest's address is on its port by a static entry, everything else is behind the trunk, to
//! which alone unknown addresses are flooded. A port has the VLAN of its policy and no other, and none without a policy. A
//! port that is neither a guest's nor the trunk is not looked at.

use crate::switch::bridge::rules::Member;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A device, as `ip -json -details link show` tells it.
#[derive(Debug, Clone, Deserialize)]
pub struct Link {
    pub ifindex: u32,
    #[serde(rename = "ifname")]
    pub name: String,
    #[serde(default)]
    pub flags: Vec<String>,
    #[serde(default)]
    pub master: Option<String>,
    #[serde(default, rename = "ifalias")]
    pub alias: Option<String>,
    #[serde(default)]
    linkinfo: Info,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Info {
    #[serde(default, rename = "info_kind")]
    kind: String,
    #[serde(default, rename = "info_data")]
    data: Value,
    #[serde(default, rename = "info_slave_data")]
    slave: Value,
}

impl Link {
    pub fn is_up(&self) -> bool {
        self.flags.iter().any(|flag| flag == "UP")
    }

    pub fn is_tap(&self) -> bool {
        self.linkinfo.kind == "tun" && self.linkinfo.data["type"] == "tap"
    }

    pub fn is_bridge(&self) -> bool {
        self.linkinfo.kind == "bridge"
    }

    /// The bridge's number of this port.
    pub fn number(&self, bridge: &str) -> Option<u32> {
        let told = self.linkinfo.slave["no"].as_str().filter(|_| self.master.as_deref() == Some(bridge))?;
        u32::from_str_radix(told.trim_start_matches("0x"), 16).ok()
    }

    /// Whether a bridge is as ours is made.
    pub fn is_in_shape(&self) -> bool {
        let data = &self.linkinfo.data;
        let wished = [("vlan_filtering", 1), ("vlan_default_pvid", 0), ("stp_state", 0), ("mcast_snooping", 0)];
        self.is_up() && wished.iter().all(|(key, value)| data[key] == *value)
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.linkinfo.slave[key].as_bool()
    }
}

/// Words that make a bridge what [`Link::is_in_shape`] looks for; forwarding begins at once.
pub const SHAPE: &str = "type bridge vlan_filtering 1 vlan_default_pvid 0 stp_state 0 forward_delay 0 mcast_snooping 0";

#[derive(Debug, Deserialize)]
struct PortVlans {
    ifname: String,
    #[serde(default)]
    vlans: Vec<Vlan>,
}

#[derive(Debug, Deserialize)]
struct Vlan {
    vlan: u16,
    #[serde(default, rename = "vlanEnd")]
    last: Option<u16>,
    #[serde(default)]
    flags: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    mac: String,
    ifname: String,
    #[serde(default)]
    vlan: Option<u16>,
    #[serde(default)]
    state: String,
}

/// How a port has a VLAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// For frames without a tag, both ways.
    Access,
    Tagged,
    Otherwise,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub links: Vec<Link>,
    vlans: BTreeMap<String, BTreeMap<u16, How>>,
    /// Static entries: device, VLAN, address.
    entries: BTreeSet<(String, u16, String)>,
}

impl Seen {
    /// Reads the answers of `ip -json -details link show`, `bridge -json vlan show` and `bridge -json fdb show br …`.
    ///
    /// # Errors
    /// One of them is not understood.
    pub fn read(links: &str, vlans: &str, entries: &str) -> serde_json::Result<Self> {
        let mut seen = Self { links: list(links)?, ..Self::default() };
        for port in list::<PortVlans>(vlans)? {
            let known = seen.vlans.entry(port.ifname).or_default();
            for vlan in port.vlans {
                let has = |flag: &str| vlan.flags.iter().any(|f| f == flag);
                let how = match (has("PVID"), has("Egress Untagged")) {
                    (true, true) => How::Access,
                    (false, false) => How::Tagged,
                    _ => How::Otherwise,
                };
                known.extend((vlan.vlan..=vlan.last.unwrap_or(vlan.vlan)).map(|tag| (tag, how)));
            }
        }
        for entry in list::<Entry>(entries)? {
            let Some(tag) = entry.vlan.filter(|_| entry.state == "static") else { continue };
            seen.entries.insert((entry.ifname, tag, entry.mac));
        }
        Ok(seen)
    }

    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }
}

/// No answer at all is an empty list.
fn list<'a, T: Deserialize<'a>>(text: &'a str) -> serde_json::Result<Vec<T>> {
    if text.trim().is_empty() { Ok(Vec::new()) } else { serde_json::from_str(text) }
}

/// What ours shall be.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    pub bridge: &'a str,
    pub trunk: Option<&'a str>,
    /// Taps of guests, with a part in the policy or not.
    pub taps: &'a [&'a str],
    pub members: &'a [Member<'a>],
}

/// Lines for `ip -batch` and for `bridge -batch`, in this order; both empty when nothing is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Steps {
    pub ip: Vec<String>,
    pub bridge: Vec<String>,
}

impl Steps {
    pub fn is_empty(&self) -> bool {
        self.ip.is_empty() && self.bridge.is_empty()
    }
}

/// The shortest way from what was seen to what is wished.
pub fn steps(seen: &Seen, wish: &Wish) -> Steps {
    let mut steps = Steps::default();
    let ports = wish.taps.iter().copied().map(|tap| (tap, false)).chain(wish.trunk.map(|trunk| (trunk, true)));
    for (name, is_trunk) in ports {
        let Some(link) = seen.link(name) else { continue };
        let member = wish.members.iter().find(|member| member.tap == name);
        let wished: BTreeMap<u16, How> = match is_trunk {
            true => wish.members.iter().map(|member| (member.port.vlan_tag, How::Tagged)).collect(),
            false => member.iter().map(|member| (member.port.vlan_tag, How::Access)).collect(),
        };
        join(&mut steps, link, wish.bridge, is_trunk);
        let entry = member.map(|member| (name.to_owned(), member.port.vlan_tag, member.port.mac.to_string()));
        // An entry needs its port's VLAN, also to be removed.
        let known = seen.entries.iter().filter(|(device, ..)| device == name);
        for (_, tag, mac) in known.filter(|known| Some(*known) != entry.as_ref()) {
            steps.bridge.push(format!("fdb del {mac} dev {name} vlan {tag} master"));
        }
        vlans(&mut steps, seen, name, &wished);
        if let Some((_, tag, mac)) = entry.filter(|entry| !seen.entries.contains(entry)) {
            steps.bridge.push(format!("fdb replace {mac} dev {name} vlan {tag} master static"));
        }
    }
    steps
}

/// In the bridge, up, learning nothing; unknown addresses go to the trunk.
fn join(steps: &mut Steps, link: &Link, bridge: &str, floods: bool) {
    let name = &link.name;
    let is_in = link.master.as_deref() == Some(bridge);
    let told = |key: &str| link.flag(key).filter(|_| is_in);
    if told("learning") != Some(false) || told("flood") != Some(floods) || told("hairpin") != Some(false) {
        let flood = if floods { "on" } else { "off" };
        steps.bridge.push(format!("link set dev {name} learning off flood {flood} hairpin off"));
    }
    if !is_in {
        steps.ip.push(format!("link set dev {name} master {bridge}"));
    }
    if !link.is_up() {
        steps.ip.push(format!("link set dev {name} up"));
    }
}

fn vlans(steps: &mut Steps, seen: &Seen, name: &str, wished: &BTreeMap<u16, How>) {
    let none = BTreeMap::new();
    let known = seen.vlans.get(name).unwrap_or(&none);
    for tag in known.keys().filter(|tag| !wished.contains_key(tag)) {
        steps.bridge.push(format!("vlan del vid {tag} dev {name}"));
    }
    for (tag, how) in wished.iter().filter(|(tag, how)| known.get(tag) != Some(how)) {
        let flags = if *how == How::Access { " pvid untagged" } else { "" };
        steps.bridge.push(format!("vlan add vid {tag} dev {name}{flags}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::jobs::hva::PortPolicy;
    use std::net::Ipv4Addr;

    // Recorded of iproute2 6.1 on Debian's 6.1 kernel, without what is not read.
    const LINKS: &str = r#"[{"ifindex":2,"ifname":"br0","flags":["BROADCAST","UP"],"linkinfo":{"info_kind":"bridge","info_data":{"stp_state":0,"vlan_filtering":1,"vlan_default_pvid":0,"mcast_snooping":0}},"ifalias":"arame:bridge"},
        {"ifindex":3,"ifname":"vif-a","flags":["NO-CARRIER","UP"],"master":"br0","linkinfo":{"info_kind":"tun","info_data":{"type":"tap"},"info_slave_kind":"bridge","info_slave_data":{"hairpin":false,"learning":false,"flood":false,"no":"0x1f"}}},
        {"ifindex":5,"link":"t1","ifname":"eth1","flags":["UP"],"master":"br0","linkinfo":{"info_kind":"veth","info_slave_kind":"bridge","info_slave_data":{"hairpin":false,"learning":false,"flood":true,"no":"0x2"}}},
        {"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP"]}]"#;
    const VLANS: &str = r#"[{"ifname":"vif-a","vlans":[{"vlan":100,"flags":["PVID","Egress Untagged"]}]},{"ifname":"eth1","vlans":[{"vlan":100}]}]"#;
    const ENTRIES: &str = r#"[{"mac":"33:33:00:00:00:01","ifname":"br0","flags":["self"],"state":"permanent"},
        {"mac":"52:54:00:00:00:01","ifname":"vif-a","vlan":100,"flags":[],"master":"br0","state":"static"},
        {"mac":"52:76:a9:59:05:91","ifname":"vif-a","vlan":100,"flags":[],"master":"br0","state":"permanent"}]"#;

    fn port(tag: u16) -> PortPolicy {
        PortPolicy {
            vif: "vif-a".parse().unwrap(),
            instance: "i-a".parse().unwrap(),
            network: "nw-a".parse().unwrap(),
            vlan_tag: tag,
            mac: "52:54:00:00:00:01".parse().unwrap(),
            ipv4: Ipv4Addr::new(10, 0, 0, 5),
            subnet: "10.0.0.0/24".parse().unwrap(),
            dhcp_server: Ipv4Addr::new(10, 0, 0, 2),
            ingress: vec![],
        }
    }

    fn steps_from(links: &str, vlans: &str, entries: &str, port: Option<&PortPolicy>) -> Steps {
        let members: Vec<Member> =
            port.iter().map(|port| Member { tap: "vif-a", index: 3, number: 31, port }).collect();
        let wish = Wish { bridge: "br0", trunk: Some("eth1"), taps: &["vif-a"], members: &members };
        steps(&Seen::read(links, vlans, entries).unwrap(), &wish)
    }

    #[test]
    fn nothing_is_done_to_what_is_as_it_shall_be() {
        assert_eq!(steps_from(LINKS, VLANS, ENTRIES, Some(&port(100))), Steps::default());
        let seen = Seen::read(LINKS, VLANS, ENTRIES).unwrap();
        assert!(seen.link("br0").unwrap().is_in_shape());
        assert_eq!(seen.link("vif-a").unwrap().number("br0"), Some(31));
        assert_eq!(seen.link("vif-a").unwrap().number("br1"), None);
    }

    #[test]
    fn a_port_that_somebody_took_out_is_taken_in_with_all_it_had() {
        let out =
            LINKS.replacen(r#""master":"br0","linkinfo":{"info_kind":"tun""#, r#""linkinfo":{"info_kind":"tun""#, 1);
        let steps = steps_from(&out, r#"[{"ifname":"eth1","vlans":[{"vlan":100}]}]"#, "", Some(&port(100)));
        assert_eq!(steps.ip, ["link set dev vif-a master br0"]);
        let bridge = [
            "link set dev vif-a learning off flood off hairpin off",
            "vlan add vid 100 dev vif-a pvid untagged",
            "fdb replace 52:54:00:00:00:01 dev vif-a vlan 100 master static",
        ];
        assert_eq!(steps.bridge, bridge);
    }

    #[test]
    fn a_port_changes_its_vlan_and_loses_it_without_a_policy() {
        let moved = steps_from(LINKS, VLANS, ENTRIES, Some(&port(200)));
        let expected = [
            "fdb del 52:54:00:00:00:01 dev vif-a vlan 100 master",
            "vlan del vid 100 dev vif-a",
            "vlan add vid 200 dev vif-a pvid untagged",
            "fdb replace 52:54:00:00:00:01 dev vif-a vlan 200 master static",
            "vlan del vid 100 dev eth1",
            "vlan add vid 200 dev eth1",
        ];
        assert_eq!((moved.ip, moved.bridge), (vec![], expected.map(str::to_owned).to_vec()));
        let without = steps_from(LINKS, VLANS, ENTRIES, None).bridge;
        assert_eq!(without.len(), 3, "{without:?}");
        assert!(without.iter().all(|step| step.contains(" del ")), "{without:?}");
    }

    #[test]
    fn a_vlan_that_the_trunk_has_without_its_tag_is_put_right_and_a_range_is_read() {
        let wrong = VLANS
            .replace(r#"{"vlan":100}]"#, r#"{"vlan":100,"flags":["PVID","Egress Untagged"]},{"vlan":7,"vlanEnd":8}]"#);
        let steps = steps_from(LINKS, &wrong, ENTRIES, Some(&port(100)));
        assert_eq!(steps.bridge, ["vlan del vid 7 dev eth1", "vlan del vid 8 dev eth1", "vlan add vid 100 dev eth1"]);
    }

    #[test]
    fn somebody_elses_port_is_not_looked_at() {
        let other = LINKS
            .replace(r#"{"ifindex":1,"#, r#"{"ifindex":9,"ifname":"theirs","flags":[],"master":"br0"},{"ifindex":1,"#);
        let vlans = VLANS.replacen('[', r#"[{"ifname":"theirs","vlans":[{"vlan":9}]},"#, 1);
        assert_eq!(steps_from(&other, &vlans, ENTRIES, Some(&port(100))), Steps::default());
    }
}
