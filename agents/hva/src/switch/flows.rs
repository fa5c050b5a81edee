//! The firewall as OpenFlow: one policy and the ports that exist, to the whole flow set. Pure.
//!
//! ```text
//! 0 classify ─► 10 egress of a guest ─► ct ─► 30 tracked ─► 40 switching ─┬─► 50 ingress of a guest ─► port
//!      │ trunk, tag known ───────────► ct ──────┘                         └─► 45 trunk, tag pushed
//!      └ metadata link ─► its guest
//! ```
//!
//! Rules: what no flow names is dropped, in every table. Zone of connection tracking is the VLAN tag, so equal
//! subnets never meet. A guest's own tag, MAC, ARP and IPv4 source are checked before anything else; what it may is in
//! [`allowed`]. Switching is explicit (no NORMAL, no learning): a MAC is a local port's or it is behind the trunk, so a
//! frame for one guest is never flooded to another. The same flows work on the kernel's and on the userspace datapath.

use crate::policy::Policy;
use crate::switch::allowed::{self, Frame, METADATA, Packet, Protocol, State, Way};
use crate::switch::link::{LISTENER, LISTENER_MAC, PEER_MAC, peer};
use arame_schema::jobs::hva::PortPolicy;
use ipnet::Ipv4Net;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

const EGRESS: u8 = 10;
const TRACKED: u8 = 30;
const SWITCHING: u8 = 40;
const TRUNK: u8 = 45;
const INGRESS: u8 = 50;
const RESPONDER: u8 = 60;

/// Matches a frame without any 802.1Q tag: a guest does not choose its VLAN.
const UNTAGGED: &str = "vlan_tci=0x0000/0x1000";

/// The switch's own ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uplinks {
    pub trunk: Option<u32>,
    pub metadata: Option<u32>,
}

/// Flows in the form `ovs-ofctl` reads, without cookie. `ports` are (OpenFlow port, its part of the policy).
pub fn compile(policy: &Policy, ports: &[(u32, &PortPolicy)], uplinks: Uplinks) -> Vec<String> {
    let mut set = FlowSet::default();
    for table in [0, EGRESS, TRACKED, SWITCHING, TRUNK, INGRESS, RESPONDER] {
        set.add(table, 0, "", "drop");
    }
    set.add(TRACKED, 100, "ct_state=+trk+inv,ip", "drop");
    set.add(TRACKED, 95, "ct_state=+trk+new,ip,reg6=1", "drop");
    set.add(TRACKED, 90, "ct_state=+trk,ip", &format!("goto_table:{SWITCHING}"));
    for (ofport, port) in ports {
        egress(&mut set, *ofport, port, policy, uplinks.metadata);
        ingress(&mut set, *ofport, port);
    }
    let mut segments: BTreeMap<u16, Vec<u32>> = BTreeMap::new();
    for (ofport, port) in ports {
        segments.entry(port.vlan_tag).or_default().push(*ofport);
    }
    for (tag, members) in &segments {
        segment(&mut set, *tag, members, uplinks.trunk);
    }
    if let Some(link) = uplinks.metadata {
        responder(&mut set, link);
    }
    set.flows
}

#[derive(Default)]
struct FlowSet {
    flows: Vec<String>,
    /// Table, priority and match of each: the same twice is one flow to the switch, and must count as one.
    known: HashSet<String>,
}

impl FlowSet {
    fn add(&mut self, table: u8, priority: u16, matching: &str, actions: &str) {
        let mut flow = format!("table={table},priority={priority}");
        if !matching.is_empty() {
            let _ = write!(flow, ",{matching}");
        }
        if self.known.insert(flow.clone()) {
            let _ = write!(flow, ",actions={actions}");
            self.flows.push(flow);
        }
    }
}

/// What a guest may send.
fn egress(set: &mut FlowSet, ofport: u32, port: &PortPolicy, policy: &Policy, link: Option<u32>) {
    let tag = port.vlan_tag;
    set.add(0, 100, &format!("in_port={ofport},{UNTAGGED}"), &format!("set_field:{tag}->reg0,goto_table:{EGRESS}"));
    let track = format!("ct(table={TRACKED},zone={tag})");
    for clause in allowed::egress(port, policy, link.is_some()) {
        let actions = match (clause.way, link) {
            (Way::Nowhere, _) | (Way::Metadata, None) => "drop".to_owned(),
            (Way::Segment, _) => format!("goto_table:{SWITCHING}"),
            (Way::Servers, _) => format!("goto_table:{TRUNK}"),
            (Way::Tracked, _) => track.clone(),
            (Way::Answering, _) => format!("set_field:1->reg6,{track}"),
            (Way::Metadata, Some(link)) => to_listener(ofport, link),
            (Way::MetadataArp, _) => answer_arp(LISTENER_MAC),
        };
        // What is dropped is dropped whoever says it.
        let whose = match clause.way {
            Way::Nowhere => format!("in_port={ofport}"),
            _ => format!("in_port={ofport},dl_src={}", port.mac),
        };
        for matching in matches(&clause.frame, port) {
            set.add(EGRESS, clause.precedence, &format!("{matching},{whose}"), &actions);
        }
    }
    if let Some(link) = link {
        from_listener(set, ofport, port, link);
    }
}

/// What a guest may hear. `reg1` is the port a frame is about to leave by.
fn ingress(set: &mut FlowSet, ofport: u32, port: &PortPolicy) {
    let tag = port.vlan_tag;
    let out = format!("output:{ofport}");
    for clause in allowed::ingress(port) {
        let (state, actions) = match (clause.passes, clause.state) {
            (false, _) => ("", "drop".to_owned()),
            (true, None) => ("", out.clone()),
            (true, Some(State::Established)) => (",ct_state=+trk+est", out.clone()),
            (true, Some(State::Related)) => (",ct_state=+trk+rel", out.clone()),
            (true, Some(State::New)) => (",ct_state=+trk+new", format!("ct(commit,zone={tag}),{out}")),
        };
        for matching in matches(&clause.frame, port) {
            set.add(INGRESS, clause.precedence, &format!("{matching}{state},reg1={ofport}"), &actions);
        }
    }
    let to_me = format!("reg0={tag},dl_dst={}", port.mac);
    set.add(SWITCHING, 100, &to_me, &format!("set_field:{ofport}->reg1,goto_table:{INGRESS}"));
}

/// To the metadata service: rewritten by port, so that who asks is not the guest's to say.
fn to_listener(ofport: u32, link: u32) -> String {
    let peer = peer(ofport);
    format!(
        "set_field:{PEER_MAC}->eth_src,set_field:{LISTENER_MAC}->eth_dst,set_field:{peer}->ip_src,set_field:{LISTENER}->ip_dst,output:{link}"
    )
}

/// And back to the guest that asked.
fn from_listener(set: &mut FlowSet, ofport: u32, port: &PortPolicy, link: u32) {
    let (mac, ip, peer) = (port.mac, port.ipv4, peer(ofport));
    let answer = format!("tcp,in_port={link},nw_src={LISTENER},nw_dst={peer},tp_src=80");
    let back = format!(
        "set_field:{LISTENER_MAC}->eth_src,set_field:{mac}->eth_dst,set_field:{METADATA}->ip_src,set_field:{ip}->ip_dst,output:{ofport}"
    );
    set.add(0, 100, &answer, &back);
}

/// The listener's host resolves guests: one MAC stands for all of them.
fn responder(set: &mut FlowSet, link: u32) {
    set.add(0, 90, &format!("arp,in_port={link}"), &format!("goto_table:{RESPONDER}"));
    set.add(RESPONDER, 100, "arp,arp_op=1,arp_tpa=198.18.0.0/16", &answer_arp(PEER_MAC));
}

/// Turns an ARP request into its answer and sends it back.
fn answer_arp(mac: &str) -> String {
    format!(
        "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:{mac}->eth_src,set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],set_field:{mac}->arp_sha,move:NXM_OF_ARP_TPA[]->NXM_NX_REG5[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],move:NXM_NX_REG5[]->NXM_OF_ARP_SPA[],in_port"
    )
}

/// One VLAN on this host: its members and the trunk.
fn segment(set: &mut FlowSet, tag: u16, members: &[u32], trunk: Option<u32>) {
    let mut everyone = String::new();
    for member in members {
        let _ = write!(everyone, "set_field:{member}->reg1,resubmit(,{INGRESS}),");
    }
    let _ = write!(everyone, "resubmit(,{TRUNK})");
    set.add(SWITCHING, 90, &format!("reg0={tag},dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"), &everyone);
    let Some(trunk) = trunk else { return };
    set.add(SWITCHING, 10, &format!("reg0={tag}"), &format!("goto_table:{TRUNK}"));
    let from = format!("in_port={trunk},dl_vlan={tag}");
    set.add(0, 100, &format!("arp,{from}"), &format!("pop_vlan,set_field:{tag}->reg0,goto_table:{SWITCHING}"));
    let track = format!("pop_vlan,set_field:{tag}->reg0,ct(table={TRACKED},zone={tag})");
    set.add(0, 100, &format!("ip,{from}"), &track);
    // What came by the trunk never goes back to it.
    set.add(TRUNK, 200, &format!("in_port={trunk}"), "drop");
    let push = format!("push_vlan:0x8100,set_field:{}->vlan_vid,output:{trunk}", 4096 + u32::from(tag));
    set.add(TRUNK, 100, &format!("ip,ct_state=+trk+new,reg0={tag}"), &format!("ct(commit,zone={tag}),{push}"));
    set.add(TRUNK, 90, &format!("reg0={tag}"), &push);
}

/// Matches of a clause's frame; port ranges become masked ports.
fn matches(frame: &Frame, port: &PortPolicy) -> Vec<String> {
    match frame {
        Frame::Arp => vec!["arp".to_owned()],
        Frame::ArpFrom(sender) => vec![format!("arp,arp_sha={},arp_spa={sender}", port.mac)],
        Frame::ArpAsking(target) => vec![format!("arp,arp_sha={},arp_op=1,arp_tpa={target}", port.mac)],
        Frame::Ip(packet) => packet_matches(packet),
    }
}

fn packet_matches(packet: &Packet) -> Vec<String> {
    let mut matching = match packet.protocol {
        None => "ip",
        Some(Protocol::Tcp) => "tcp",
        Some(Protocol::Udp) => "udp",
        Some(Protocol::Icmp) => "icmp",
    }
    .to_owned();
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = write!(matching, ",{name}={value}");
        }
    };
    field("nw_src", packet.source.map(net));
    field("nw_dst", packet.destination.map(net));
    field("tp_src", packet.source_port.map(|number| number.to_string()));
    field("icmp_type", packet.icmp_type.map(|kind| kind.to_string()));
    field("icmp_code", packet.icmp_code.map(|code| code.to_string()));
    let Some((first, last)) = packet.destination_ports else { return vec![matching] };
    let blocks = port_blocks(first, last).into_iter();
    blocks
        .map(|(port, mask)| match mask {
            0 => matching.clone(),
            0xffff => format!("{matching},tp_dst={port}"),
            _ => format!("{matching},tp_dst=0x{port:04x}/0x{mask:04x}"),
        })
        .collect()
}

/// One address is said without its length.
fn net(net: Ipv4Net) -> String {
    if net.prefix_len() == 32 { net.addr().to_string() } else { net.to_string() }
}

/// The fewest aligned blocks (value, mask) that cover a range of ports.
fn port_blocks(from: u16, to: u16) -> Vec<(u16, u16)> {
    let mut blocks = Vec::new();
    let (mut at, end) = (u32::from(from), u32::from(to));
    while at <= end {
        let mut size = if at == 0 { 0x1_0000 } else { 1 << at.trailing_zeros() };
        while at + size - 1 > end {
            size /= 2;
        }
        blocks.push((at as u16, !((size - 1) as u16)));
        at += size;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::jobs::hva::IngressRule;
    use arame_schema::model::security_group::Traffic;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    proptest! {
        #[test]
        fn a_range_of_ports_is_covered_exactly_once(a in any::<u16>(), b in any::<u16>(), probe in any::<u16>()) {
            let (from, to) = (a.min(b), a.max(b));
            let blocks = port_blocks(from, to);
            for port in [probe, from, to, from.wrapping_sub(1), to.wrapping_add(1)] {
                let covered = blocks.iter().filter(|(value, mask)| port & mask == *value).count();
                prop_assert_eq!(covered, usize::from((from..=to).contains(&port)));
            }
        }
    }

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

    #[test]
    fn a_port_without_rules_accepts_no_new_connection() {
        let policy = Policy::default();
        let mut member = port(100);
        let uplinks = Uplinks { trunk: Some(1), metadata: None };
        let accepts =
            |flows: &[String]| flows.iter().filter(|f| f.starts_with("table=50") && f.contains("+new")).count();
        assert_eq!(accepts(&compile(&policy, &[(7, &member)], uplinks)), 0);
        member
            .ingress
            .push(IngressRule { traffic: Traffic::Tcp { from: 22, to: 22 }, source: "0.0.0.0/0".parse().unwrap() });
        assert_eq!(accepts(&compile(&policy, &[(7, &member)], uplinks)), 1);
    }

    #[test]
    fn the_same_flow_is_never_given_twice() {
        let (mut first, second) = (port(100), port(200));
        let rule = IngressRule { traffic: Traffic::Tcp { from: 22, to: 22 }, source: "10.0.0.9/24".parse().unwrap() };
        first.ingress = vec![rule.clone(), IngressRule { source: "10.0.0.0/24".parse().unwrap(), ..rule }];
        let uplinks = Uplinks { trunk: Some(1), metadata: Some(2) };
        let flows = compile(&Policy::default(), &[(7, &first), (8, &second)], uplinks);
        let matches: HashSet<&str> = flows.iter().filter_map(|flow| flow.split(",actions=").next()).collect();
        assert_eq!(matches.len(), flows.len());
    }

    #[test]
    fn every_table_ends_in_a_drop() {
        let flows = compile(&Policy::default(), &[(7, &port(100))], Uplinks { trunk: Some(1), metadata: Some(2) });
        for table in [0, EGRESS, TRACKED, SWITCHING, TRUNK, INGRESS, RESPONDER] {
            assert!(flows.contains(&format!("table={table},priority=0,actions=drop")), "table {table}");
        }
    }
}
