//! What the document tells of each operation beside its types: which refusals it may meet.
//!
//! Rule: refusals that any operation of a kind may meet are derived from its kind; what is its own stands in the table.
//! Nothing here changes what an operation does: the fuzzer of `spec/tests` compares it with what it answers.

use super::super::roles;
use arame_schema::api::{Code, catalogue};
use axum::http::Method;
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
        // Without an id it is another route's path.
        codes.extend([Code::UnknownResource, Code::MethodNotAllowed]);
        if matches!(*method, Method::PUT | Method::DELETE) {
            codes.push(Code::Changed);
        }
    }
    if matches!(*method, Method::POST | Method::PUT) {
        codes.extend([Code::MissingParameter, Code::UnknownResource]);
    }
    let below = path.strip_prefix(super::API).unwrap_or(path);
    codes.extend(of_kind(method, below));
    codes.extend(own(method.as_str(), below));
    codes
}

/// What else a change of the resources of a kind may meet.
fn of_kind(method: &Method, below: &str) -> &'static [Code] {
    if *method == Method::GET {
        return match below {
            "/reports" => &[Code::TooMany, Code::UnknownResource],
            "/networks/{id}/why" => &[Code::MissingParameter],
            "/instances/{id}/password" => &[Code::NoPassword],
            "/host_nodes/{id}/usage" | "/storage_nodes/{id}/usage" => &[Code::HostSilent, Code::NeverHeard],
            "/instances/{id}/usage" => &[Code::HostSilent, Code::NeverHeard, Code::InvalidInstanceState],
            "/instances/{id}/screenshot.png" => &[Code::InvalidInstanceState, Code::NoConsole],
            _ if below.ends_with("/labels/{name}") => &[Code::UnknownLabel],
            _ => &[],
        };
    }
    if below.contains("/labels") {
        return &[Code::TooMany, Code::UnknownLabel];
    }
    match below.split('/').nth(1).unwrap_or_default() {
        "dc_networks" => &[Code::NameTaken, Code::AlreadyExists, Code::ResourceInUse],
        "networks" => &[
            Code::AccountNeeded,
            Code::AlreadyExists,
            Code::AddressNotInNetwork,
            Code::DcNetworkNotPermitted,
            Code::DuplicateAddress,
            Code::DuplicateMacAddress,
            Code::ExceedQuota,
            Code::InstanceMigrating,
            Code::InvalidInstanceState,
            Code::NetworkNotEditable,
            Code::NotImplemented,
            Code::OutOfNetworkCapacity,
            Code::OutOfSegments,
            Code::RecordConflict,
            Code::RecordLoop,
            Code::NameOfExternalAddress,
            Code::Recovering,
            Code::ResourceInUse,
            Code::TooMany,
            Code::UnknownDcNetwork,
            Code::VifAttached,
            Code::VifNotAttached,
        ],
        "network_vifs" => &[
            Code::AddressNotOutside,
            Code::AlreadyExists,
            Code::AlreadyInGroup,
            Code::IpHandleInUse,
            Code::NameOfExternalAddress,
            Code::NoWayOut,
            Code::NotInGroup,
            Code::TooMany,
        ],
        "ip_pools" | "ip_handles" => &[
            Code::AlreadyExists,
            Code::IpHandleInUse,
            Code::NetworkNotInDcNetwork,
            Code::OutOfNetworkCapacity,
            Code::ResourceInUse,
            Code::UnknownDcNetwork,
        ],
        "host_node_groups" | "network_groups" | "storage_node_groups" => &[Code::AlreadyExists, Code::TooMany],
        "host_nodes" | "storage_nodes" | "backup_storages" => &[Code::AlreadyExists, Code::ResourceInUse],
        "backup_objects" => &[Code::AccountNeeded, Code::AlreadyExists, Code::ResourceInUse],
        "images" | "naming_nodes" => &[Code::ResourceInUse],
        "instance_types" => &[Code::AlreadyExists, Code::NameTaken, Code::ResourceInUse],
        "instances" => &[
            Code::HostCannotMove,
            Code::HostLost,
            Code::InstanceHasVolumes,
            Code::InstanceMigrating,
            Code::InvalidInstanceState,
            Code::NoPassword,
            Code::ResourceInUse,
            Code::TooMany,
        ],
        "volumes" => &[Code::InstanceMigrating],
        _ => &[],
    }
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
            Code::InvalidBackupState,
            Code::InvalidImageState,
            Code::InvalidVolumeState,
            Code::OutOfStorageCapacity,
            Code::Recovering,
            Code::VolumeAttached,
        ],
        ("DELETE", "/instances/{id}")
        | ("PUT", "/instances/{id}/poweroff" | "/instances/{id}/poweron" | "/instances/{id}/reboot") => {
            &[Code::InvalidInstanceState]
        }
        ("POST", "/images") => {
            &[Code::AccountNeeded, Code::AlreadyExists, Code::OutOfStorageCapacity, Code::Recovering]
        }
        ("PUT", "/images/{id}/content") => {
            &[Code::InvalidImageState, Code::OutOfStorageCapacity, Code::Recovering, Code::UploadFailed]
        }
        ("POST", "/volumes") => &[
            Code::AccountNeeded,
            Code::OutOfStorageCapacity,
            Code::ExceedQuota,
            Code::InvalidBackupState,
            Code::InvalidSnapshotState,
            Code::Recovering,
        ],
        ("PUT", "/volumes/{id}/backup" | "/instances/{id}/volumes/{volume}/backup") => {
            &[Code::BackupStorageNotReached, Code::InvalidVolumeState, Code::Recovering]
        }
        ("POST", "/volumes/{id}/schedules") => {
            &[Code::BackupStorageNotReached, Code::InvalidVolumeState, Code::Recovering, Code::TooMany]
        }
        ("PUT", "/volumes/{id}/schedules/{schedule}") => &[Code::BackupStorageNotReached],
        ("PUT", "/instances/{id}/backup") => &[
            Code::BackupStorageNotReached,
            Code::HostMakesNoImages,
            Code::InvalidVolumeState,
            Code::OutOfStorageCapacity,
            Code::Recovering,
        ],
        ("PUT", "/backup_objects/{id}/copy_to") => {
            &[Code::BackupStorageNotReached, Code::InvalidBackupState, Code::Recovering]
        }
        ("PUT", "/images/{id}/copy_to") => &[Code::BackupStorageNotReached, Code::InvalidImageState, Code::Recovering],
        ("DELETE", "/volumes/{id}") => &[Code::VolumeAttached, Code::VolumeHasSnapshots, Code::InvalidVolumeState],
        ("PUT", "/volumes/{id}/attach") => &[
            Code::VolumeAttached,
            Code::HostLost,
            Code::InvalidVolumeState,
            Code::InvalidInstanceState,
            Code::ExceedQuota,
        ],
        ("PUT", "/volumes/{id}/detach") => &[Code::GuestHoldsVolume, Code::VolumeNotAttached, Code::InvalidVolumeState],
        ("PUT", "/volumes/{id}/rollback") => &[
            Code::VolumeInUse,
            Code::NewerSnapshots,
            Code::NewerSnapshotsUsed,
            Code::ResourceInUse,
            Code::InvalidSnapshotState,
            Code::InvalidVolumeState,
            Code::Recovering,
        ],
        ("PUT", "/host_nodes/{id}/declare_lost") => &[Code::HostHeard, Code::InstanceMigrating],
        ("POST", "/volume_snapshots") => &[Code::InvalidVolumeState, Code::ExceedQuota, Code::Recovering],
        ("DELETE", "/volume_snapshots/{id}") => &[Code::ResourceInUse, Code::InvalidSnapshotState],
        ("POST", "/snapshot_replicas") => &[Code::InvalidSnapshotState, Code::OutOfStorageCapacity, Code::Recovering],
        ("POST", "/security_groups") => &[Code::AccountNeeded, Code::InvalidSecurityGroupRule],
        ("PUT", "/security_groups/{id}") => &[Code::InvalidSecurityGroupRule],
        ("POST", "/ssh_key_pairs") => &[Code::AccountNeeded, Code::InvalidPublicKey],
        ("POST", "/accounts" | "/users") => &[Code::AlreadyExists],
        ("POST", "/tokens") => &[Code::AccountNeeded],
        ("POST", "/audit/adopt" | "/audit/remove") => &[Code::AccountNeeded, Code::NotAdoptable],
        ("DELETE", "/accounts/{id}" | "/security_groups/{id}" | "/ssh_key_pairs/{id}") => &[Code::ResourceInUse],
        ("PUT", "/whoami/password") => &[Code::SignInFailed],
        ("POST", "/join_tokens") => &[Code::JoinNotOffered, Code::AgentHasJoined],
        ("DELETE", "/join_tokens/{id}") => &[Code::JoinTokenUsed],
        ("POST", "/join") => &[
            Code::JoinNotOffered,
            Code::JoinTokenUnknown,
            Code::JoinTokenUsed,
            Code::JoinTokenExpired,
            Code::JoinTokenRevoked,
            Code::AgentHasJoined,
        ],
        ("POST", "/leave") => &[Code::Unauthenticated, Code::NodeNotEmpty],
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
