//! Specs and work for tests: small, complete, and the same for the simulator and the real drivers.
#![allow(dead_code)]

use arame_framework::agent::{Standing, Work};
use arame_schema::jobs::hva::*;
use arame_schema::jobs::report::FactReport;
use arame_schema::model::instance::Shutdown;
use arame_schema::model::security_group::Traffic;
use arame_schema::model::{Fact, FactName, MacAddress};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub const INSTALLATION: Uuid = Uuid::from_u128(0xa7a3e);

pub fn standing() -> Standing {
    Standing::new(INSTALLATION, 1)
}

pub fn work(standing: &Standing, thing: &str, generation: u64) -> Work {
    work_with(standing, thing, generation, Duration::from_secs(120), CancellationToken::new())
}

pub fn work_with(
    standing: &Standing,
    thing: &str,
    generation: u64,
    budget: Duration,
    cancelled: CancellationToken,
) -> Work {
    let (progress, _) = mpsc::channel(64);
    Work::new(Uuid::now_v7(), thing.to_owned(), generation, standing.clone(), budget, cancelled, progress)
}

/// An instance with one NIC at 10.0.0.`last`; a test guest takes its address from its MAC.
pub fn spec(name: &str, tag: u16, last: u8) -> InstanceSpec {
    InstanceSpec {
        instance: format!("i-{name}").parse().unwrap(),
        account: "a-demo".parse().unwrap(),
        uuid: Uuid::new_v4(),
        hostname: name.to_owned(),
        vcpus: 1,
        memory_mib: 128,
        power: Power::On,
        boot: BootDisk {
            image: "wmi-tiny".parse().unwrap(),
            url: Some("http://10.99.0.254:8080/tiny.qcow2".into()),
            sha256: "0".repeat(64),
            size_bytes: 1,
            format: DiskFormat::Qcow2,
            disk_size_bytes: 64 << 20,
            used: false,
        },
        volumes: vec![],
        forced: vec![],
        nics: vec![Nic {
            vif: format!("vif-{name}").parse().unwrap(),
            index: 0,
            network: format!("nw-{tag}").parse().unwrap(),
            vlan_tag: tag,
            mac: mac(last),
            ipv4: Ipv4Addr::new(10, 0, 0, last),
            mtu: 1500,
        }],
        metadata: Metadata {
            ssh_keys: vec![SshPublicKey { name: "demo".into(), public_key: "ssh-ed25519 AAAA demo".into() }],
            user_data: Some("#!/bin/sh\necho hi\n".into()),
            instance_type: "tiny".into(),
            security_groups: vec!["sg-web".parse().unwrap()],
            domain: "demo.example".into(),
        },
    }
}

pub fn mac(last: u8) -> MacAddress {
    MacAddress([0x52, 0x54, 10, 0, 0, last])
}

pub fn off() -> Power {
    Power::Off { method: Shutdown::Hard, grace_ms: 0 }
}

pub fn volume(name: &str, portal: &str) -> PluggedVolume {
    PluggedVolume {
        volume: format!("vol-{name}").parse().unwrap(),
        attachment: format!("att-{name}").parse().unwrap(),
        epoch: 1,
        serial: format!("vol-{name}"),
        portal: portal.to_owned(),
        iqn: format!("iqn.2026-11.jp.arame:vol-{name}"),
        lun: 1,
        initiator_iqn: "iqn.2026-11.jp.arame:h1".into(),
        chap_user: "u1".into(),
        chap_secret: arame_schema::model::Secret::new("secretsecret"),
    }
}

/// The policy entry of the spec's first NIC with these open TCP ports, and pings.
pub fn port(spec: &InstanceSpec, open: &[u16]) -> PortPolicy {
    let nic = &spec.nics[0];
    let anywhere: ipnet::Ipv4Net = "0.0.0.0/0".parse().unwrap();
    let mut ingress: Vec<IngressRule> = open
        .iter()
        .map(|port| IngressRule { traffic: Traffic::Tcp { from: *port, to: *port }, source: anywhere })
        .collect();
    ingress.push(IngressRule { traffic: Traffic::Icmp { kind: Some(8), code: None }, source: anywhere });
    PortPolicy {
        vif: nic.vif.clone(),
        instance: spec.instance.clone(),
        network: nic.network.clone(),
        vlan_tag: nic.vlan_tag,
        mac: nic.mac,
        ipv4: nic.ipv4,
        subnet: "10.0.0.0/24".parse().unwrap(),
        dhcp_server: Ipv4Addr::new(10, 0, 0, 2),
        ingress,
    }
}

pub fn fact(facts: &[FactReport], thing: &str, name: FactName) -> Option<Fact> {
    facts.iter().find(|fact| fact.thing == thing && fact.name == name).map(|fact| fact.value)
}
