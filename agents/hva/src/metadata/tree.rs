//! The tree itself: a path to its text. Pure.
//!
//! The form is EC2's as Wakame-vdc gave it: a folder lists its entries, one a line, folders with a slash at the end.

use crate::records::Record;
use arame_schema::jobs::hva::{Nic, PortPolicy};
use arame_schema::model::VifId;
use std::collections::BTreeMap;

/// Versions that answer; the tree is the same in all.
pub const VERSIONS: [&str; 3] = ["2009-04-04", "2011-01-01", "latest"];

/// What a guest may read: leaves by path below `/<version>/`.
pub fn leaves(record: &Record, port: impl Fn(&VifId) -> Option<PortPolicy>) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    let mut nics: Vec<&Nic> = record.nics.iter().collect();
    nics.sort_by_key(|nic| nic.index);
    let metadata = &record.metadata;
    let local_hostname = record.local_hostname();
    let groups = metadata.security_groups.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    if let Some(user_data) = &metadata.user_data {
        leaves.insert("user-data".to_owned(), user_data.clone());
    }
    let mut put = |name: &str, value: String| {
        leaves.insert(format!("meta-data/{name}"), value);
    };
    put("ami-id", record.image.to_string());
    put("ami-launch-index", "0".to_owned());
    put("instance-id", record.instance.to_string());
    put("instance-type", metadata.instance_type.clone());
    put("instance-action", "none".to_owned());
    put("hostname", record.hostname.clone());
    put("local-hostname", local_hostname.clone());
    put("reservation-id", record.instance.to_string());
    put("security-groups", groups.clone());
    if let Some(nic) = nics.first() {
        put("local-ipv4", nic.ipv4.to_string());
        put("mac", nic.mac.to_string());
    }
    for (index, key) in metadata.ssh_keys.iter().enumerate() {
        put(&format!("public-keys/{index}/openssh-key"), key.public_key.trim().to_owned() + "\n");
    }
    for nic in nics {
        for (name, value) in nic_leaves(nic, port(&nic.vif)) {
            put(&format!("network/interfaces/macs/{}/{name}", nic.mac), value);
        }
        put(&format!("network/interfaces/macs/{}/local-hostname", nic.mac), local_hostname.clone());
        put(&format!("network/interfaces/macs/{}/security-groups", nic.mac), groups.clone());
    }
    leaves
}

fn nic_leaves(nic: &Nic, port: Option<PortPolicy>) -> Vec<(&'static str, String)> {
    let mut leaves = vec![
        ("mac", nic.mac.to_string()),
        ("local-ipv4s", nic.ipv4.to_string()),
        ("device-number", nic.index.to_string()),
        ("interface-id", nic.vif.to_string()),
        ("x-mtu", nic.mtu.to_string()),
    ];
    if let Some(port) = port {
        leaves.push(("x-dns", port.dhcp_server.to_string()));
        leaves.push(("x-netmask", port.subnet.netmask().to_string()));
        leaves.push(("x-network", port.subnet.network().to_string()));
        leaves.push(("x-broadcast", port.subnet.broadcast().to_string()));
        leaves.push(("subnet-ipv4-cidr-block", port.subnet.to_string()));
    }
    leaves
}

/// The text at `path` (below `/<version>/`): a leaf, or a folder's entries. `keys` names the keys for EC2's odd
/// listing of `public-keys/` (`0=name`).
pub fn text(leaves: &BTreeMap<String, String>, path: &str, keys: &[String]) -> Option<String> {
    let path = path.trim_matches('/');
    if let Some(leaf) = leaves.get(path) {
        return Some(leaf.clone());
    }
    if path == "meta-data/public-keys" && !keys.is_empty() {
        let lines: Vec<String> = keys.iter().enumerate().map(|(i, name)| format!("{i}={name}")).collect();
        return Some(lines.join("\n"));
    }
    let folder = if path.is_empty() { String::new() } else { format!("{path}/") };
    let mut entries: Vec<String> = Vec::new();
    for below in leaves.keys().filter_map(|leaf| leaf.strip_prefix(&folder)) {
        let entry = match below.split_once('/') {
            Some((name, _)) => format!("{name}/"),
            None => below.to_owned(),
        };
        if entries.last() != Some(&entry) {
            entries.push(entry);
        }
    }
    entries.dedup();
    (!entries.is_empty()).then(|| entries.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::a_record;

    fn read(path: &str) -> Option<String> {
        text(&leaves(&a_record(), |_| None), path, &["demo".to_owned()])
    }

    #[test]
    fn the_usual_questions_of_cloud_init_are_answered() {
        assert_eq!(read("meta-data/instance-id").as_deref(), Some("i-web"));
        assert_eq!(read("meta-data/hostname").as_deref(), Some("web1"));
        assert_eq!(read("meta-data/local-hostname").as_deref(), Some("web1.demo.example"));
        assert_eq!(read("meta-data/local-ipv4").as_deref(), Some("10.0.0.5"));
        assert_eq!(read("meta-data/public-keys/0/openssh-key").as_deref(), Some("ssh-ed25519 AAAA demo\n"));
        assert_eq!(read("user-data").as_deref(), Some("#!/bin/sh\n"));
        assert_eq!(
            read("meta-data/network/interfaces/macs/52:54:00:00:00:01/mac").as_deref(),
            Some("52:54:00:00:00:01")
        );
    }

    #[test]
    fn a_folder_lists_its_entries_and_an_unknown_path_is_none() {
        assert_eq!(read("").as_deref(), Some("meta-data/\nuser-data"));
        let top = read("meta-data/").unwrap();
        assert!(
            top.lines().any(|line| line == "public-keys/") && top.lines().any(|line| line == "instance-id"),
            "{top}"
        );
        assert_eq!(read("meta-data/public-keys/").as_deref(), Some("0=demo"));
        assert_eq!(read("meta-data/nothing"), None);
    }
}
