//! A read-only look at Open vSwitch's database over its socket (RFC 7047): the bridge's ports with tags and marks.
//!
//! A look costs well under a millisecond, so it can be taken every second; `ovs-vsctl` costs a process. Changes go
//! through `ovs-vsctl`, which also waits until the switch has acted on them.

use crate::limits::SWITCH_QUERY_TIMEOUT;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    /// Whether it is a port of our bridge.
    pub in_bridge: bool,
    pub tag: Option<u16>,
    pub external_ids: BTreeMap<String, String>,
}

/// Every port of the database, with whether it belongs to `bridge`.
///
/// # Errors
/// A sentence: no answer in time, or not the answer expected. Nothing is known then.
pub async fn ports(socket: &Path, bridge: &str) -> Result<Vec<Port>, String> {
    let asked = tokio::time::timeout(SWITCH_QUERY_TIMEOUT, ask(socket, bridge)).await;
    asked.map_err(|_| format!("{} was silent for {SWITCH_QUERY_TIMEOUT:?}", socket.display()))?
}

async fn ask(socket: &Path, bridge: &str) -> Result<Vec<Port>, String> {
    let io = |error: std::io::Error| format!("{}: {error}", socket.display());
    let mut stream = UnixStream::connect(socket).await.map_err(io)?;
    let question = json!({ "method": "transact", "id": 0, "params": ["Open_vSwitch",
        { "op": "select", "table": "Bridge", "where": [["name", "==", bridge]], "columns": ["ports"] },
        { "op": "select", "table": "Port", "where": [], "columns": ["_uuid", "name", "tag", "external_ids"] },
    ]});
    stream.write_all(question.to_string().as_bytes()).await.map_err(io)?;
    let (mut text, mut chunk) = (Vec::new(), vec![0u8; 64 * 1024]);
    loop {
        let read = stream.read(&mut chunk).await.map_err(io)?;
        if read == 0 {
            return Err(format!("{} closed without an answer", socket.display()));
        }
        text.extend_from_slice(&chunk[..read]);
        // The protocol has no frame but the JSON itself; only a closing brace can end an answer.
        if text.last() == Some(&b'}')
            && let Ok(answer) = serde_json::from_slice::<Value>(&text)
        {
            return read_answer(&answer, bridge);
        }
    }
}

fn read_answer(answer: &Value, bridge: &str) -> Result<Vec<Port>, String> {
    if !answer["error"].is_null() {
        return Err(format!("the switch's database refused: {}", answer["error"]));
    }
    let bridges = answer["result"][0]["rows"].as_array().ok_or("the answer has no bridges")?;
    let found = bridges.first().ok_or_else(|| format!("there is no bridge {bridge}"))?;
    let members: HashSet<&str> = uuids(&found["ports"]).collect();
    let rows = answer["result"][1]["rows"].as_array().ok_or("the answer has no ports")?;
    let port = |row: &Value| Port {
        name: row["name"].as_str().unwrap_or_default().to_owned(),
        in_bridge: row["_uuid"][1].as_str().is_some_and(|uuid| members.contains(uuid)),
        tag: row["tag"].as_u64().and_then(|tag| u16::try_from(tag).ok()),
        external_ids: pairs(&row["external_ids"]),
    };
    Ok(rows.iter().map(port).collect())
}

/// `["uuid", x]` or `["set", [["uuid", x], …]]`.
fn uuids(value: &Value) -> impl Iterator<Item = &str> {
    let one = (value[0] == "uuid").then(|| value[1].as_str()).flatten();
    let many = value[1].as_array().into_iter().flatten().filter_map(|item| item[1].as_str());
    one.into_iter().chain(many)
}

/// `["map", [[key, value], …]]`.
fn pairs(value: &Value) -> BTreeMap<String, String> {
    let items = value[1].as_array().into_iter().flatten();
    items.filter_map(|item| Some((item[0].as_str()?.to_owned(), item[1].as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_with_their_bridge_tag_and_marks() {
        let answer = json!({ "id": 0, "error": null, "result": [
            { "rows": [{ "ports": ["set", [["uuid", "u1"], ["uuid", "u2"]]] }] },
            { "rows": [
                { "_uuid": ["uuid", "u1"], "name": "a", "tag": 7, "external_ids": ["map", [["k", "v"]]] },
                { "_uuid": ["uuid", "u3"], "name": "b", "tag": ["set", []], "external_ids": ["map", []] },
            ] },
        ]});
        let ports = read_answer(&answer, "ovs0").unwrap();
        assert_eq!((ports[0].in_bridge, ports[0].tag, ports[0].external_ids["k"].as_str()), (true, Some(7), "v"));
        assert_eq!((ports[1].in_bridge, ports[1].tag), (false, None));
        let none = json!({ "id": 0, "error": null, "result": [{ "rows": [] }, { "rows": [] }] });
        assert!(read_answer(&none, "ovs0").unwrap_err().contains("no bridge ovs0"));
    }
}
