//! The firewall as nftables: one policy and the ports that exist, to the whole of our two tables. Pure.
//!
//! ```text
//! table bridge                                                         table netdev, on the taps and on the link
//!   prerouting ─► from_<tap>, from_trunk ─► (connection tracking)         from_<tap>: questions for metadata ─► link
//!   forward    ─► to_<tap>, to_trunk                                      answer:     the listener's answers ─► tap
//!   input, output ─► nothing: the host is not on its guests' networks
//! ```
//!
//! Rules: a frame of our bridge that no rule names is dropped, at each hook; frames of other bridges pass at once. Sources
//! are checked before connection tracking sees a packet, and its zone is the VLAN tag, so equal subnets never meet. A frame's
//! mark carries its tag from the port it came in by, so that a frame leaves by no port of another tag, whatever the bridge's
//! own VLAN table says. Each text is one transaction (`nft(8)`): no packet sees half of it, and tracked connections go on.

use crate::policy::Policy;
use crate::switch::allowed::{self, Frame, METADATA, Packet, Protocol, State, Way};
use crate::switch::link::{LISTENER, LISTENER_MAC, PEER_MAC, peer};
use arame_schema::jobs::hva::PortPolicy;
use std::collections::BTreeSet;

/// Name of both tables.
pub const TABLE: &str = "arame_switch";
/// Our mark: both tables carry a comment that begins with it.
pub const COMMENT: &str = "arame policy";
/// The end of the link that is the switch's.
pub const SWITCH_END: &str = "ameta1";

/// Before `NF_IP_PRI_CONNTRACK` (-200): sources are checked, zones and exceptions chosen.
const BEFORE_TRACKING: i32 = -300;
/// Ahead of whatever else looks at a tap.
const FIRST: i32 = -500;

/// Bits of a frame's mark beside its tag.
const TAG_BITS: u32 = 0xfff;
const ANSWERING: u32 = 0x1_0000;
const SERVERS: u32 = 0x2_0000;

/// A port that exists and has a part in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    pub tap: &'a str,
    /// The device's index: one that was made anew has another, and is another device to rules that name it.
    pub index: u32,
    /// The bridge's number of it.
    pub number: u32,
    pub port: &'a PortPolicy,
}

/// Text of tables, with every statement on a line of its own.
#[derive(Default)]
struct Script(String);

impl Script {
    fn line(&mut self, line: impl AsRef<str>) {
        self.0.push_str(line.as_ref());
        self.0.push('\n');
    }

    fn table(family: &str, version: u64) -> Self {
        let mut script = Self::default();
        let table = format!("table {family} {TABLE}");
        script.line(&table);
        script.line(format!("delete {table}"));
        script.line(format!("{table} {{"));
        script.line(format!("comment \"{COMMENT} {version}\""));
        script
    }

    fn chain(&mut self, name: &str, rules: &[String]) {
        self.line(format!("chain {name} {{"));
        for rule in rules {
            self.line(rule);
        }
        self.line("}");
    }

    fn hook(&mut self, name: &str, priority: i32, rule: String) {
        self.chain(name, &[format!("type filter hook {name} priority {priority}; policy accept;"), rule]);
    }

    fn end(mut self) -> String {
        self.line("}");
        self.0
    }
}

/// `KEY vmap { … }`; nothing when there is nothing to choose from.
fn choice(key: &str, of: impl IntoIterator<Item = (String, String)>) -> Option<String> {
    let arms: Vec<String> = of.into_iter().map(|(value, chain)| format!("{value} : goto {chain}")).collect();
    (!arms.is_empty()).then(|| format!("{key} vmap {{ {} }}", arms.join(", ")))
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// Input of `nft -f`: the whole firewall of the bridge. `trunk` carries tagged frames; with `metadata` that service is there.
pub fn firewall(bridge: &str, trunk: Option<&str>, members: &[Member], policy: &Policy, metadata: bool) -> String {
    let mut script = Script::table("bridge", policy.version);
    let tags: BTreeSet<u16> = members.iter().map(|member| member.port.vlan_tag).collect();
    let ports = |direction: &str| -> Vec<(String, String)> {
        let taps = members.iter().map(|m| (quoted(m.tap), format!("{direction}_{}", m.tap)));
        taps.chain(trunk.map(|name| (quoted(name), format!("{direction}_trunk")))).collect()
    };
    for member in members {
        script.chain(&format!("from_{}", member.tap), &sent(member.port, policy, metadata));
        script.chain(&format!("to_{}", member.tap), &heard(member.port));
    }
    if trunk.is_some() {
        trunk_chains(&mut script, &tags);
    }
    let inward = choice("iifname", ports("from")).into_iter().chain(["drop".to_owned()]);
    script.chain("inward", &inward.collect::<Vec<_>>());
    let mut onward = vec![
        "meta protocol != { ip, arp } drop".to_owned(),
        "meta protocol ip ct state invalid drop".to_owned(),
        format!("meta protocol ip ct state new meta mark & {ANSWERING:#x} == {ANSWERING:#x} drop"),
    ];
    onward.extend(choice("oifname", ports("to")));
    onward.push("drop".to_owned());
    script.chain("onward", &onward);
    script.hook("prerouting", BEFORE_TRACKING, format!("meta ibrname {} goto inward", quoted(bridge)));
    script.hook("forward", 0, format!("meta ibrname {} goto onward", quoted(bridge)));
    script.hook("input", 0, format!("meta ibrname {} drop", quoted(bridge)));
    script.hook("output", 0, format!("meta obrname {} drop", quoted(bridge)));
    script.end()
}

/// What a guest may send. Anything that has a tag is neither IPv4 nor ARP by its Ethernet type.
fn sent(port: &PortPolicy, policy: &Policy, metadata: bool) -> Vec<String> {
    let tag = u32::from(port.vlan_tag);
    let mut rules = vec!["ether type != { ip, arp } drop".to_owned(), format!("ether saddr != {} drop", port.mac)];
    for clause in allowed::egress(port, policy, metadata) {
        let marked = |bits: u32| format!("meta mark set {:#x} accept", tag | bits);
        let verdict = match clause.way {
            Way::Nowhere => "drop".to_owned(),
            Way::Segment => marked(0),
            Way::Servers => format!("notrack {}", marked(SERVERS)),
            Way::Tracked => format!("ct zone set {tag} {}", marked(0)),
            Way::Answering => format!("ct zone set {tag} {}", marked(ANSWERING)),
            // Taken at the tap, before the bridge.
            Way::Metadata | Way::MetadataArp => continue,
        };
        rules.push(format!("{} {verdict}", matching(&clause.frame, port)));
    }
    rules.push("drop".to_owned());
    rules
}

/// What a guest may hear.
fn heard(port: &PortPolicy) -> Vec<String> {
    let mut rules = vec![
        format!("meta mark & {TAG_BITS:#x} != {:#x} drop", port.vlan_tag),
        format!("meta mark & {SERVERS:#x} == {SERVERS:#x} drop"),
        format!("ether daddr & 01:00:00:00:00:00 == 00:00:00:00:00:00 ether daddr != {} drop", port.mac),
    ];
    for clause in allowed::ingress(port) {
        let state = match clause.state {
            None => "",
            Some(State::Established) => " ct state established",
            Some(State::Related) => " ct state related",
            Some(State::New) => " ct state new",
        };
        let verdict = if clause.passes { "accept" } else { "drop" };
        rules.push(format!("{}{state} {verdict}", matching(&clause.frame, port)));
    }
    rules.push("drop".to_owned());
    rules
}

/// One VLAN each: what came by the trunk is believed to be of the tag that it carries, and what leaves carries it.
fn trunk_chains(script: &mut Script, tags: &BTreeSet<u16>) {
    for tag in tags {
        let marked = format!("meta mark set {tag:#x} accept");
        let inward = [
            format!("meta protocol arp {marked}"),
            format!("meta protocol ip udp sport 67 udp dport 68 notrack {marked}"),
            format!("meta protocol ip ct zone set {tag} {marked}"),
            "drop".to_owned(),
        ];
        script.chain(&format!("from_trunk_{tag}"), &inward);
        // The mark is ours alone: outside of the bridge it could mean something to somebody else.
        let outward = [format!("vlan id {tag} meta mark set 0 accept"), "drop".to_owned()];
        script.chain(&format!("to_trunk_{tag}"), &outward);
    }
    for (direction, key) in [("from", "vlan id".to_owned()), ("to", format!("meta mark & {TAG_BITS:#x}"))] {
        let arms = tags.iter().map(|tag| (tag.to_string(), format!("{direction}_trunk_{tag}")));
        let rules = choice(&key, arms).into_iter().chain(["drop".to_owned()]);
        script.chain(&format!("{direction}_trunk"), &rules.collect::<Vec<_>>());
    }
}

fn matching(frame: &Frame, port: &PortPolicy) -> String {
    match frame {
        Frame::Arp => "meta protocol arp".to_owned(),
        Frame::ArpFrom(sender) => format!("arp saddr ether {} arp saddr ip {sender}", port.mac),
        Frame::ArpAsking(target) => {
            format!("arp operation request arp saddr ether {} arp daddr ip {target}", port.mac)
        }
        Frame::Ip(packet) => packet_matching(packet),
    }
}

fn packet_matching(packet: &Packet) -> String {
    /// All ports: no condition.
    const ALL: (u16, u16) = (0, u16::MAX);
    let mut words = vec!["meta protocol ip".to_owned()];
    words.extend(packet.source.map(|net| format!("ip saddr {net}")));
    words.extend(packet.destination.map(|net| format!("ip daddr {net}")));
    let Some(protocol) = packet.protocol else { return words.join(" ") };
    let name = match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Icmp => "icmp",
    };
    words.push(format!("meta l4proto {name}"));
    words.extend(packet.source_port.map(|number| format!("{name} sport {number}")));
    words.extend(packet.destination_ports.filter(|ports| *ports != ALL).map(|(first, last)| match first == last {
        true => format!("{name} dport {first}"),
        false => format!("{name} dport {first}-{last}"),
    }));
    words.extend(packet.icmp_type.map(|kind| format!("icmp type {kind}")));
    words.extend(packet.icmp_code.map(|code| format!("icmp code {code}")));
    words.join(" ")
}

/// Input of `nft -f`: who asks for metadata is written here, by the tap the question came in by. Every named device must
/// exist.
pub fn metadata(members: &[Member], policy: &Policy) -> String {
    let mut script = Script::table("netdev", policy.version);
    for Member { tap, index, number, port } in members {
        script.line(format!("# {tap} is device {index}"));
        let (mac, ipv4, peer) = (port.mac, port.ipv4, peer(*number));
        let mut asks = vec!["ether type != { ip, arp } accept".to_owned(), format!("ether saddr != {mac} accept")];
        for clause in allowed::egress(port, policy, true) {
            let ask = matching(&clause.frame, port);
            match clause.way {
                Way::Metadata => asks.push(format!(
                    "{ask} ip saddr set {peer} ip daddr set {LISTENER} ether saddr set {PEER_MAC} ether daddr set {LISTENER_MAC} fwd to \"{SWITCH_END}\""
                )),
                // The question, turned into its answer and sent back.
                Way::MetadataArp => asks.push(format!(
                    "{ask} arp operation set reply arp daddr ether set {mac} arp daddr ip set {ipv4} arp saddr ether set {LISTENER_MAC} arp saddr ip set {METADATA} ether daddr set {mac} ether saddr set {LISTENER_MAC} fwd to \"{tap}\""
                )),
                Way::Nowhere | Way::Segment | Way::Servers | Way::Tracked | Way::Answering => {}
            }
        }
        script.chain(&format!("from_{tap}"), &asks);
        let answer = format!(
            "ip saddr set {METADATA} ip daddr set {ipv4} ether saddr set {LISTENER_MAC} ether daddr set {mac} fwd to \"{tap}\""
        );
        script.chain(&format!("to_{tap}"), &[answer]);
    }
    let listener = choice(
        &format!("ip saddr {LISTENER} tcp sport 80 ip daddr"),
        members.iter().map(|member| (peer(member.number).to_string(), format!("to_{}", member.tap))),
    );
    script.chain("answer", &listener.into_iter().chain(["drop".to_owned()]).collect::<Vec<_>>());
    let taps = members.iter().map(|member| (quoted(member.tap), format!("from_{}", member.tap)));
    let all = taps.chain([(quoted(SWITCH_END), "answer".to_owned())]);
    let devices: Vec<String> = members.iter().map(|member| quoted(member.tap)).chain([quoted(SWITCH_END)]).collect();
    let hook =
        format!("type filter hook ingress devices = {{ {} }} priority {FIRST}; policy accept;", devices.join(", "));
    script.chain("ask", &[hook].into_iter().chain(choice("iifname", all)).collect::<Vec<_>>());
    script.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::jobs::hva::IngressRule;
    use arame_schema::model::security_group::Traffic;
    use std::net::Ipv4Addr;

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

    /// Rules of a chain.
    fn chain<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
        let after = text.split(&format!("chain {name} {{\n")).nth(1).expect("the chain is there");
        after.lines().take_while(|line| *line != "}").collect()
    }

    #[test]
    fn every_chain_that_decides_ends_in_a_drop() {
        let one = port(100);
        let members = [Member { tap: "vif-a", index: 3, number: 1, port: &one }];
        let text = firewall("br0", Some("eth1"), &members, &Policy::default(), true);
        let deciding =
            ["inward", "onward", "from_vif-a", "to_vif-a", "from_trunk", "to_trunk", "from_trunk_100", "to_trunk_100"];
        for name in deciding {
            assert_eq!(chain(&text, name).last(), Some(&"drop"), "{name}");
        }
        let empty = firewall("br0", None, &[], &Policy::default(), true);
        assert_eq!(chain(&empty, "inward"), ["drop"], "a bridge without ports");
        assert_eq!(chain(&empty, "onward").last(), Some(&"drop"));
    }

    #[test]
    fn every_jump_leads_to_a_chain_and_every_chain_is_reached() {
        let (one, two) = (port(100), port(200));
        let members = [
            Member { tap: "vif-a", index: 3, number: 1, port: &one },
            Member { tap: "vif-b", index: 4, number: 2, port: &two },
        ];
        let policy = Policy::default();
        for text in [firewall("br0", Some("eth1"), &members, &policy, true), metadata(&members, &policy)] {
            let defined: BTreeSet<&str> =
                text.lines().filter_map(|line| line.strip_prefix("chain ")?.strip_suffix(" {")).collect();
            let hooked = ["prerouting", "forward", "input", "output", "ask"];
            let words: Vec<&str> = text.split([' ', ',', '\n']).collect();
            let reached: BTreeSet<&str> =
                words.windows(2).filter(|pair| pair[0] == "goto").map(|pair| pair[1]).chain(hooked).collect();
            assert!(defined.iter().all(|name| reached.contains(name)), "{defined:?} {reached:?}");
            let missing: Vec<_> = reached.difference(&defined).filter(|name| !hooked.contains(name)).collect();
            assert!(missing.is_empty(), "{missing:?}");
        }
    }

    #[test]
    fn a_port_without_rules_accepts_no_new_connection() {
        let mut member = port(100);
        let accepts = |port: &PortPolicy| heard(port).iter().filter(|rule| rule.contains("state new")).count();
        assert_eq!(accepts(&member), 0);
        let source = "10.0.0.9/24".parse().unwrap();
        member.ingress.push(IngressRule { traffic: Traffic::Tcp { from: 22, to: 80 }, source });
        assert_eq!(accepts(&member), 1);
        let expected = "meta protocol ip ip saddr 10.0.0.0/24 meta l4proto tcp tcp dport 22-80 ct state new accept";
        assert!(heard(&member).contains(&expected.to_owned()), "{:?}", heard(&member));
    }

    #[test]
    fn no_two_vlans_share_a_zone_or_a_mark() {
        let (one, two) = (port(100), port(200));
        let policy = Policy { infrastructure: vec!["10.99.0.0/24".parse().unwrap()], ..Policy::default() };
        let words = |port: &PortPolicy| -> BTreeSet<String> {
            let rules = sent(port, &policy, true).join("\n");
            let values = rules.split("set ").skip(1).filter_map(|rest| rest.split_whitespace().next());
            values.map(str::to_owned).collect()
        };
        assert!(words(&one).len() == 4 && words(&one).is_disjoint(&words(&two)), "{:?}", words(&one));
    }
}
