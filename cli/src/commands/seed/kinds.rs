//! What a seed may declare, in the order it is made: which fields can be changed later, and where a view shows them.

use super::super::record::escaped;
use crate::client::Client;
use crate::failure::CliError;
use serde_json::{Value, json};

/// One section of a seed.
pub struct Kind {
    pub section: &'static str,
    pub path: &'static str,
    /// What it is found by: its id, or for a token, which has none of its own choice, its name.
    pub name: &'static str,
    pub changeable: &'static [&'static str],
    /// Where a view has a field that a request names otherwise.
    pub shown: &'static [(&'static str, &'static str)],
    /// Lists that are added to by verbs of their own.
    pub parts: &'static [&'static str],
    /// Names the file for what is told once.
    pub secret_file: &'static str,
    /// Sent with its creation, so that its parts can be added.
    pub at_creation: &'static [(&'static str, bool)],
}

const PLAIN: Kind = Kind {
    section: "",
    path: "",
    name: "id",
    changeable: &[],
    shown: &[],
    parts: &[],
    secret_file: "",
    at_creation: &[],
};

pub const KINDS: &[Kind] = &[
    Kind {
        section: "account",
        path: "/accounts",
        changeable: &["display_name", "description", "enabled", "quota_instances", "quota_volumes"],
        ..PLAIN
    },
    Kind { section: "token", path: "/tokens", name: "display_name", secret_file: "secret_file", ..PLAIN },
    Kind {
        section: "instance_type",
        path: "/instance_types",
        changeable: &["name", "cpu_cores", "memory_size", "disk_size", "description"],
        ..PLAIN
    },
    Kind {
        section: "dc_network",
        path: "/dc_networks",
        changeable: &["name", "description", "allow_new_networks"],
        parts: &["offering_network_modes"],
        ..PLAIN
    },
    Kind {
        section: "network",
        path: "/networks",
        changeable: &["display_name", "description"],
        shown: &[
            ("dc_network", "/dc_network/id"),
            ("network", "/ipv4_network"),
            ("gw", "/ipv4_gw"),
            ("service_gateway", "/ipv4_gw"),
            ("service_dhcp", "/dhcp_server"),
            ("service_dns", "/dns_server"),
        ],
        parts: &["dhcp_ranges", "editable"],
        // Ranges are added first; whether it stays so is its last part.
        at_creation: &[("editable", true)],
        ..PLAIN
    },
    Kind {
        section: "host_node",
        path: "/host_nodes",
        changeable: &["display_name", "scheduling_enabled"],
        secret_file: "key_file",
        ..PLAIN
    },
    Kind {
        section: "storage_node",
        path: "/storage_nodes",
        changeable: &["display_name", "scheduling_enabled"],
        secret_file: "key_file",
        ..PLAIN
    },
    Kind {
        section: "security_group",
        path: "/security_groups",
        changeable: &["rule", "display_name", "description"],
        ..PLAIN
    },
    Kind { section: "ssh_key_pair", path: "/ssh_key_pairs", changeable: &["display_name", "description"], ..PLAIN },
    Kind { section: "image", path: "/images", changeable: &["display_name", "description", "is_public"], ..PLAIN },
    Kind { section: "ip_pool", path: "/ip_pools", ..PLAIN },
    Kind {
        section: "backup_storage",
        path: "/backup_storages",
        changeable: &["display_name", "description", "base_uri", "storage_type"],
        ..PLAIN
    },
    Kind {
        section: "host_node_group",
        path: "/host_node_groups",
        changeable: &["name", "attributes", "host_nodes"],
        shown: &[("host_nodes", "/mapped_uuids")],
        parts: &["host_nodes"],
        ..PLAIN
    },
    Kind {
        section: "network_group",
        path: "/network_groups",
        changeable: &["name", "attributes", "networks"],
        shown: &[("networks", "/mapped_uuids")],
        parts: &["networks"],
        ..PLAIN
    },
    Kind {
        section: "storage_node_group",
        path: "/storage_node_groups",
        changeable: &["name", "attributes", "storage_nodes"],
        shown: &[("storage_nodes", "/mapped_uuids")],
        parts: &["storage_nodes"],
        ..PLAIN
    },
];

impl Kind {
    /// Where a view has a field.
    pub fn place_of(&self, name: &str) -> String {
        let found = self.shown.iter().find(|(field, _)| *field == name);
        found.map_or_else(|| format!("/{name}"), |(_, place)| (*place).to_owned())
    }
}

/// What people and comparisons see of a value: numbers and texts of the same digits are the same.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Object(object) => object.get("id").map_or_else(|| value.to_string(), plain),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// Whether a declared value is what is there.
pub fn is_same(name: &str, wanted: &Value, had: &Value) -> bool {
    match name {
        // The comment behind a key is not the key.
        "public_key" => key_of(&plain(wanted)) == key_of(&plain(had)),
        "dc_networks" => named(wanted, had),
        _ => plain(wanted) == plain(had),
    }
}

fn key_of(line: &str) -> Vec<String> {
    line.split_whitespace().take(2).map(str::to_owned).collect()
}

/// Whether each of the declared is the id or the name of what is there.
fn named(wanted: &Value, had: &Value) -> bool {
    let (Some(wanted), Some(had)) = (wanted.as_array(), had.as_array()) else { return false };
    let is = |word: &Value, one: &Value| one["id"] == *word || one["name"] == *word;
    wanted.len() == had.len() && wanted.iter().all(|word| had.iter().any(|one| is(word, one)))
}

/// A quota that is taken away is a word in the API.
pub fn sent(name: &str, wanted: &Value) -> Value {
    if name.starts_with("quota_") { json!(plain(wanted)) } else { wanted.clone() }
}

/// Adds what a declared part has and the view has not. Answers whether there was anything.
pub async fn apply_part(
    client: &Client,
    (kind, id): (&Kind, &str),
    part: &str,
    wanted: &Value,
    view: &Value,
) -> Result<bool, CliError> {
    let place = format!("{}/{}", kind.path, escaped(id));
    let had = view.pointer(&kind.place_of(part)).cloned().unwrap_or(Value::Null);
    let missing = || -> Vec<Value> {
        let known = had.as_array().cloned().unwrap_or_default();
        let wanted = wanted.as_array().cloned().unwrap_or_default();
        wanted.into_iter().filter(|one| !known.contains(one)).collect()
    };
    match part {
        "offering_network_modes" => {
            let missing = missing();
            if !missing.is_empty() {
                client.put::<Value>(&format!("{place}/offering_modes/add"), &json!({ "mode": missing })).await?;
            }
            Ok(!missing.is_empty())
        }
        "dhcp_ranges" => {
            let missing = missing();
            if !missing.is_empty() && view["editable"] != true {
                client.put::<Value>(&place, &json!({ "editable": true })).await?;
            }
            for range in &missing {
                let body = json!({ "range_begin": range[0], "range_end": range[1] });
                client.put::<Value>(&format!("{place}/dhcp_ranges/add"), &body).await?;
            }
            if !missing.is_empty() && view["editable"] != true {
                client.put::<Value>(&place, &json!({ "editable": false })).await?;
            }
            Ok(!missing.is_empty())
        }
        _ => {
            if is_same(part, wanted, &had) {
                return Ok(false);
            }
            client.put::<Value>(&place, &json!({ part: wanted })).await?;
            Ok(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_otherwise_and_means_the_same_is_the_same() {
        assert!(is_same("prefix", &json!(24), &json!("24")) && !is_same("prefix", &json!(24), &json!(25)));
        assert!(is_same("public_key", &json!("ssh-ed25519 AAAA me"), &json!("ssh-ed25519 AAAA you")));
        let there = json!([{ "id": "dcn-a", "name": "a" }, { "id": "dcn-b", "name": "b" }]);
        assert!(is_same("dc_networks", &json!(["b", "dcn-a"]), &there));
        assert!(!is_same("dc_networks", &json!(["b"]), &there));
        assert!(is_same("dc_network", &json!("dcn-a"), &json!({ "id": "dcn-a" })));
    }
}
