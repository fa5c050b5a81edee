//! What the document tells of each operation beside its types: who may, which refusals, an example of its body.
//!
//! Rule: refusals that any operation of a kind may meet are derived from its kind; what is its own stands in the table.
//! Nothing here changes what an operation does: the fuzzer of `spec/tests` compares it with what it answers.

use super::super::roles;
use arame_schema::api::{Code, catalogue};
use axum::http::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What any request may meet.
const ALWAYS: &[Code] = &[
    Code::InvalidParameter,
    Code::InvalidBody,
    Code::UnknownParameter,
    Code::TooLarge,
    Code::TooManyFailures,
    Code::Unavailable,
    Code::Internal,
];

/// What any request with a credential may meet.
const WITH_CREDENTIAL: &[Code] =
    &[Code::Unauthenticated, Code::NotPermitted, Code::AccountNotPermitted, Code::DisabledAccount, Code::CompatRefused];

/// The refusals of an operation.
pub fn refusals(method: &Method, path: &str) -> Vec<Code> {
    let mut codes = ALWAYS.to_vec();
    match roles::words(method, path).first() {
        Some(&"anyone") => codes.push(Code::SignInFailed),
        _ => codes.extend(WITH_CREDENTIAL),
    }
    if roles::changes(method) {
        codes.extend([Code::IdempotencyConflict, Code::Repeated]);
    }
    if path.contains("{id}") {
        codes.push(Code::UnknownResource);
        if matches!(*method, Method::PUT | Method::DELETE) {
            codes.push(Code::Changed);
        }
    }
    if matches!(*method, Method::POST | Method::PUT) {
        codes.extend([Code::MissingParameter, Code::UnknownResource]);
    }
    let below = path.strip_prefix(super::API).unwrap_or(path);
    codes.extend(own(method.as_str(), below));
    codes
}

/// Refusals of one operation.
fn own(method: &str, below: &str) -> &'static [Code] {
    match (method, below) {
        ("POST", "/instances") => &[
            Code::AccountNeeded,
            Code::OutOfHostCapacity,
            Code::OutOfNetworkCapacity,
            Code::ExceedQuota,
            Code::DuplicateHostname,
            Code::DuplicateAddress,
            Code::DuplicateMacAddress,
            Code::AddressNotInNetwork,
            Code::InvalidImageState,
            Code::Recovering,
        ],
        ("DELETE", "/instances/{id}")
        | ("PUT", "/instances/{id}/poweroff" | "/instances/{id}/poweron" | "/instances/{id}/reboot") => {
            &[Code::InvalidInstanceState]
        }
        ("POST", "/volumes") => &[Code::AccountNeeded, Code::OutOfStorageCapacity, Code::ExceedQuota, Code::Recovering],
        ("DELETE", "/volumes/{id}") => &[Code::VolumeAttached, Code::VolumeHasSnapshots, Code::InvalidVolumeState],
        ("PUT", "/volumes/{id}/attach") => {
            &[Code::VolumeAttached, Code::InvalidVolumeState, Code::InvalidInstanceState, Code::ExceedQuota]
        }
        ("PUT", "/volumes/{id}/detach") => &[Code::VolumeNotAttached, Code::InvalidVolumeState],
        ("PUT", "/volumes/{id}/rollback") => &[
            Code::VolumeInUse,
            Code::NewerSnapshots,
            Code::InvalidSnapshotState,
            Code::InvalidVolumeState,
            Code::Recovering,
        ],
        ("POST", "/volume_snapshots") => &[Code::InvalidVolumeState, Code::ExceedQuota, Code::Recovering],
        ("DELETE", "/volume_snapshots/{id}") => &[Code::ResourceInUse, Code::InvalidSnapshotState],
        ("POST", "/security_groups") => &[Code::AccountNeeded, Code::InvalidSecurityGroupRule],
        ("PUT", "/security_groups/{id}") => &[Code::InvalidSecurityGroupRule],
        ("POST", "/ssh_key_pairs") => &[Code::AccountNeeded, Code::InvalidPublicKey],
        ("POST", "/accounts" | "/users") => &[Code::AlreadyExists],
        ("POST", "/tokens") => &[Code::AccountNeeded],
        ("POST", "/audit/adopt" | "/audit/remove") => &[Code::AccountNeeded, Code::NotAdoptable],
        ("DELETE", "/accounts/{id}" | "/security_groups/{id}" | "/ssh_key_pairs/{id}") => &[Code::ResourceInUse],
        ("PUT", "/whoami/password") => &[Code::SignInFailed],
        ("DELETE", "/sessions/current") => &[Code::UnknownResource],
        _ => &[],
    }
}

/// The words of refusals by their status.
pub fn by_status(codes: &[Code]) -> BTreeMap<u16, Vec<&'static str>> {
    let mut found: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
    for code in codes {
        let entry = catalogue::refusal(*code);
        let words = found.entry(entry.status).or_default();
        if !words.contains(&entry.wire) {
            words.push(entry.wire);
        }
    }
    found
}

/// An example of an operation's body, where a sample of its type would not do.
pub fn body(method: &Method, path: &str) -> Option<Value> {
    let below = path.strip_prefix(super::API).unwrap_or(path);
    let vifs = || json!({ "eth0": { "index": 0, "network": "nw-demo1", "security_groups": ["sg-default"] } });
    Some(match (method.as_str(), below) {
        ("POST", "/instances") => json!({ "image_id": "wmi-tiny", "instance_type": "tiny", "hostname": "web1",
            "ssh_key_id": "ssh-demo", "vifs": vifs() }),
        ("PUT", "/instances/{id}/poweroff") => json!({ "force": true }),
        ("POST", "/volumes") => json!({ "volume_size": 1024, "display_name": "data" }),
        ("PUT", "/volumes/{id}/attach") => json!({ "instance_id": "i-kpzz2px7" }),
        ("PUT", "/volumes/{id}/rollback") => json!({ "snapshot_id": "snap-before", "destroy_newer": false }),
        ("DELETE", "/volumes/{id}") => json!({ "with_snapshots": false }),
        ("POST", "/volume_snapshots") => json!({ "volume_id": "vol-data", "display_name": "before" }),
        ("POST", "/security_groups") => json!({ "display_name": "web", "rule": "tcp:80,80,ip4:0.0.0.0\n" }),
        ("PUT", "/security_groups/{id}") => json!({ "rule": "tcp:22,22,ip4:10.0.0.0/8\n" }),
        ("POST", "/ssh_key_pairs") => json!({ "display_name": "laptop" }),
        ("PUT", "/host_nodes/{id}" | "/storage_nodes/{id}") => json!({ "scheduling_enabled": false }),
        ("POST", "/accounts") => json!({ "id": "a-team", "display_name": "The team", "quota_instances": 20 }),
        ("PUT", "/accounts/{id}") => json!({ "quota_instances": "none", "enabled": true }),
        ("POST", "/tokens") => json!({ "role": "member", "display_name": "ci", "expires_in": 86400 }),
        ("POST", "/users") => json!({ "name": "hanako", "password": "correct horse battery",
            "memberships": [{ "account_id": "a-demo", "role": "member" }] }),
        ("PUT", "/users/{id}") => json!({ "enabled": false }),
        ("POST", "/sessions") => json!({ "name": "hanako", "password": "correct horse battery" }),
        ("PUT", "/whoami/password") => {
            json!({ "password": "correct horse battery", "new_password": "staple that too" })
        }
        ("POST", "/audit/adopt" | "/audit/remove") => json!({ "id": "i-kpzz2px7" }),
        _ => return None,
    })
}
