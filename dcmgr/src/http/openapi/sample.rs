//! Examples of answers, made from their types: each field by its name, so that a reader sees what it looks like.
//!
//! Rule: a sample is of its schema. It knows names, no resource of the data center.

use serde_json::{Map, Value, json};

/// Types within types that are followed: a page of rows with lists of things with words of their own has nine.
const DEPTH_MAX: u8 = 16;

/// A value of a schema. `schemas` are the document's components, `name` that of the field, `of` that of its type.
pub fn sample(schema: &Value, schemas: &Value, name: &str, of: &str, depth: u8) -> Value {
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let kind = reference.rsplit('/').next().unwrap_or_default();
        // The rows of a page are written out in its own schema.
        let of = kind.strip_prefix("Page_").unwrap_or(kind);
        return sample(&schemas[kind], schemas, name, of, depth + 1);
    }
    for given in ["example", "default", "const"] {
        if let Some(value) = schema.get(given) {
            return value.clone();
        }
    }
    if let Some(first) = schema["enum"].get(0).or_else(|| schema["examples"].get(0)) {
        return first.clone();
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[choice].as_array() {
            let some = choices.iter().find(|one| one["type"] != "null");
            return some.map_or(Value::Null, |one| sample(one, schemas, name, of, depth + 1));
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let mut whole = Map::new();
        for part in parts {
            if let Value::Object(fields) = sample(part, schemas, name, of, depth + 1) {
                whole.extend(fields);
            }
        }
        return Value::Object(whole);
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| **kind != "null").cloned().unwrap_or_default(),
        other => other.clone(),
    };
    match kind.as_str() {
        Some("object") => object(schema, schemas, of, depth),
        Some("array") => json!([sample(&schema["items"], schemas, name, of, depth + 1)]),
        Some("string") => Value::String(text(name, of).into()),
        Some("integer") => schema.get("minimum").filter(|least| **least != json!(0)).cloned().unwrap_or(json!(1)),
        Some("number") => json!(1.0),
        Some("boolean") => json!(true),
        _ => Value::Null,
    }
}

fn object(schema: &Value, schemas: &Value, of: &str, depth: u8) -> Value {
    let Some(properties) = schema["properties"].as_object() else { return json!({}) };
    // What is said once, of a making, is no part of what is shown every time.
    let shown = properties
        .iter()
        .filter(|(name, _)| !["secret", "private_key", "ticket", "invitation"].contains(&name.as_str()));
    let fields = shown.map(|(name, field)| (name.clone(), sample(field, schemas, name, of, depth + 1)));
    Value::Object(fields.collect())
}

/// A text that looks like what the field holds.
fn text(name: &str, of: &str) -> &'static str {
    match (name, of) {
        ("account_id" | "account", _) => "a-demo",
        ("image_id", _) => "wmi-tiny",
        ("instance_id" | "instance", _) => "i-kpzz2px7",
        ("network_id" | "network", _) => "nw-demo1",
        ("vif_id", _) => "vif-a1b2c3d4",
        ("volume_id" | "vol_id", _) => "vol-data",
        ("snapshot_id" | "snapshot", _) => "snap-before",
        ("host_node" | "host_node_id" | "host", _) => "hn-h1",
        ("placement_group", _) => "web",
        ("placement_policy", _) => "apart",
        ("restart_policy", _) => "on-failure",
        ("node_group", _) => "hng-fast",
        ("storage_node" | "storage_node_id", _) => "sn-s1",
        ("security_groups", _) => "sg-default",
        ("token" | "created_by", _) => "tok-demo",
        ("node_id", "Joined" | "Left") => "hn-h3",
        ("agent", "Joined" | "Left" | "JoinToken") => "hva.h3",
        ("broker_host", _) => "dcm.example",
        ("broker_vhost", _) => "arame",
        ("streams", _) => "dcm.example:9003",
        ("used_from", _) => "10.0.0.13",
        ("used_machine", _) => "4f1c6e6d7d5b4c0f8a4b1d2e3f405162",
        ("state", "JoinToken") => "open",
        ("agent" | "node_id", _) => "hva.h1",
        ("address" | "ipv4" | "ipv4_address", _) => "10.100.0.10",
        ("mac_addr" | "mac", _) => "52:54:00:0d:53:2c",
        ("hostname" | "display_name" | "name", _) => "web1",
        ("rule", _) => "tcp:22,22,ip4:0.0.0.0",
        ("arch", _) => "x86_64",
        ("state", _) => "running",
        ("language", _) => "en",
        ("request" | "request_id" | "operation" | "job", _) => "019ab000-0000-7000-8000-000000000000",
        ("id" | "uuid", "Account") => "a-demo",
        ("", "AskedOrDetail") | ("asked", _) => "i-kpzz2px7",
        ("id" | "uuid", "Image") => "wmi-tiny",
        ("id", "LostInstance") => "i-kpzz2px7",
        ("id", "FreedVolume") => "vol-data",
        ("id" | "uuid", "Instance" | "DeletePlan") => "i-kpzz2px7",
        ("id" | "uuid", "Volume") => "vol-data",
        ("id" | "uuid", "VolumeSnapshot") => "snap-before",
        ("id" | "uuid", "SnapshotReplica") => "rep-before",
        ("id" | "uuid", "VolumeSchedule") => "vsc-nightly",
        ("id" | "uuid", "Network") => "nw-demo1",
        ("id" | "uuid", "NetworkVif") => "vif-a1b2c3d4",
        ("id" | "uuid", "SecurityGroup") => "sg-default",
        ("id" | "uuid", "SshKeyPair") => "ssh-demo",
        ("id" | "uuid", "HostNode" | "HostLoss") => "hn-h1",
        ("id" | "uuid", "StorageNode") => "sn-s1",
        ("id" | "uuid", "Token" | "Session") => "tok-demo",
        ("id", "JoinToken") => "jt-h3",
        ("id" | "uuid", "User") => "u-hanako01",
        ("id" | "uuid", "InstanceType") => "it-tiny",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_deep_inside_a_page_is_one_of_its_words_and_not_null() {
        let mut schemas = serde_json::Map::new();
        schemas.insert("Role".into(), json!({ "type": "string", "enum": ["admin"] }));
        schemas.insert("Row0".into(), json!({ "type": "array", "items": { "$ref": "#/components/schemas/Role" } }));
        for n in 1..4 {
            let inner = json!({ "$ref": format!("#/components/schemas/Row{}", n - 1) });
            let row = json!({ "type": "object", "properties": { "in": inner } });
            schemas.insert(format!("Row{n}"), row);
        }
        let page = json!({ "type": "array", "items": { "$ref": "#/components/schemas/Row3" } });
        assert_eq!(sample(&page, &Value::Object(schemas), "", "", 0), json!([{ "in": { "in": { "in": ["admin"] } } }]));
    }

    #[test]
    fn a_sample_has_every_field_but_a_secret() {
        let schemas = json!({ "Token": { "type": "object", "properties": {
            "id": { "type": "string" }, "at": { "$ref": "#/components/schemas/Timestamp" },
            "secret": { "type": "string" }, "n": { "type": ["integer", "null"], "minimum": 0 } } },
            "Timestamp": { "type": "string", "example": "2015-04-28 06:22:55 UTC" } });
        let found = sample(&json!({ "$ref": "#/components/schemas/Token" }), &schemas, "", "", 0);
        assert_eq!(found, json!({ "id": "tok-demo", "at": "2015-04-28 06:22:55 UTC", "n": 1 }));
    }
}
