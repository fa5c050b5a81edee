//! What users ask for, already checked: ids are ids, sizes are within limits. dcmgr's http layer parses bodies into
//! these; the CLI writes them as flat JSON.
//!
//! Rule: a value of these types needs no further check of its form. Whether what it names exists is the application's
//! question.

use crate::model::placement::PlacementPolicy;
use crate::model::restart::RestartPolicy;
use crate::model::{
    BackupObjectId, HostNodeGroupId, HostNodeId, ImageId, InstanceId, MacAddress, NetworkId, SecurityGroupId,
    SnapshotReplicaId, SshKeyPairId, StorageNodeId, VolumeId, VolumeSnapshotId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use utoipa::ToSchema;

/// Rows of a page when the request names no limit, or 0: the original's.
pub const LIST_LIMIT_DEFAULT: u64 = 250;

/// Most rows of one page: bounds an answer's size. A greater limit is taken for this one.
pub const LIST_LIMIT_MAX: u64 = 1000;

/// `instance_type` (an id or a name) gives the size; `cpu_cores` and `memory_size` override it, and both are there
/// when it is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateInstance {
    #[schema(value_type = String, example = "wmi-tiny")]
    pub image_id: ImageId,
    /// Id or name; `instance_spec_name` is the original's word for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_cores: Option<u32>,
    /// MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_size: Option<u64>,
    /// `kvm` unless said; a host with another hypervisor does not fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<String>,
    /// By the name of the interface (`eth0`); at most [`crate::limits::NICS_MAX`].
    #[serde(default)]
    pub vifs: BTreeMap<String, VifRequest>,
    /// Lower case; made from the id when absent. Unique in its account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ssh_key_id: Option<SshKeyPairId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Only this host will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub host_node_id: Option<HostNodeId>,
    /// Only hosts of this group (`GET /host_node_groups`) will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub node_group: Option<HostNodeGroupId>,
    /// Instances of the account with the same word here are placed with an eye to each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement_group: Option<String>,
    /// `apart` (the default: no two on one host), `together` or `spread`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "apart")]
    pub placement_policy: Option<PlacementPolicy>,
    /// What follows when its guest dies by itself: `always` (the default), `on-failure` or `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "always")]
    pub restart_policy: Option<RestartPolicy>,
    /// For interfaces that name none.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub security_groups: Vec<SecurityGroupId>,
    /// Made or attached with it, all or nothing; by names that only order them. At most [`crate::limits::VOLUMES_MAX`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, VolumeRequest>,
    /// Its labels from the beginning: name and value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A volume of a launch: one that is there (`volume_id`), or a new one, of a size, from a backup or from a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VolumeRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub volume_id: Option<VolumeId>,
    /// MiB. `size` is the original's word: bytes, or with a suffix K, M, G or T.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_size: Option<u64>,
    /// A new one begins with what this backup holds; without a size it is as large as that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub backup_object_id: Option<BackupObjectId>,
    /// A new one begins with what this snapshot holds, on the snapshot's storage node; without a size it is as large as that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub snapshot_id: Option<VolumeSnapshotId>,
    /// Of a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Deleted with the instance, unless it is detached before. Unless said: a new one is, one that was there is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_on_termination: Option<bool>,
}

impl VolumeRequest {
    /// Whether it goes with its instance.
    pub fn goes(&self) -> bool {
        self.delete_on_termination.unwrap_or(self.volume_id.is_none())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VifRequest {
    /// Order in the guest, from 0; no two are equal.
    pub index: u32,
    #[schema(value_type = String, example = "nw-demo1")]
    pub network: NetworkId,
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub security_groups: Vec<SecurityGroupId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ipv4_addr: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub mac_addr: Option<MacAddress>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateVolume {
    /// MiB. From a backup or a snapshot it may be left out (0): as large as what that is of, and never smaller.
    #[serde(default)]
    pub volume_size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// It begins with what this backup holds; blank without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub backup_object_id: Option<BackupObjectId>,
    /// It begins with what this snapshot holds, on the same storage node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub snapshot_id: Option<VolumeSnapshotId>,
    /// It begins with what this replica holds, on the storage node that has the replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub replica_id: Option<SnapshotReplicaId>,
}

impl CreateVolume {
    /// Not blank: its size is that of what it begins with, or larger.
    pub fn begins_with_something(&self) -> bool {
        self.backup_object_id.is_some() || self.snapshot_id.is_some() || self.replica_id.is_some()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttachVolume {
    #[schema(value_type = String)]
    pub instance_id: InstanceId,
}

/// How a volume is detached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DetachVolume {
    /// Also when its guest does not let it go: the guest is then switched off hard and started again without it, so what it
    /// had not written is lost. Without, such a guest keeps its volume and is asked again.
    #[serde(default)]
    pub force: bool,
}

/// How a volume is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeleteVolume {
    /// Its snapshots are deleted with it. Without, a volume that has snapshots is not deleted.
    #[serde(default)]
    pub with_snapshots: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateVolumeSnapshot {
    #[schema(value_type = String, example = "vol-data")]
    pub volume_id: VolumeId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateSnapshotReplica {
    #[schema(value_type = String, example = "snap-before")]
    pub snapshot_id: VolumeSnapshotId,
    /// Where it is copied to; without, the storage node with the most room that has a store of the same kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub storage_node_id: Option<StorageNodeId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RollBackVolume {
    #[schema(value_type = String, example = "snap-before")]
    pub snapshot_id: VolumeSnapshotId,
    /// Snapshots newer than this one are deleted first. Without, they forbid the rollback.
    #[serde(default)]
    pub destroy_newer: bool,
}

/// `rule` was parsed: its lines are rules of [`crate::model::security_group`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateSecurityGroup {
    /// Of an operator's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub id: Option<SecurityGroupId>,
    #[serde(default)]
    pub rule: String,
    #[serde(default)]
    pub description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// What is absent stays; an empty rule text clears the rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateSecurityGroup {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// Without a public key a pair is made and its private key is in the answer, once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateSshKeyPair {
    /// Of an operator's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub id: Option<SshKeyPairId>,
    /// Of the pair that is made: `ed25519` (unless said) or `rsa`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    #[serde(default)]
    pub description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateAccount {
    /// `a-…`; one is chosen when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_instances: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_volumes: Option<u64>,
}

/// What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateAccount {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// `none` takes the limit away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_instances: Option<String>,
    /// `none` takes the limit away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_volumes: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateToken {
    /// Not above that of the token it is made with.
    pub role: super::Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Seconds until it ends; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
}

/// Absent is true: the original's default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PowerOff {
    pub force: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoveInstance {
    /// The host it is brought to.
    pub host_node_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetScheduling {
    pub scheduling_enabled: bool,
}

/// What the operator decides about: a finding's id, or the id of the resource it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Decide {
    pub id: String,
}

/// What a list is narrowed to. Start and limit are within bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListFilter {
    /// A state's word, or one of the original's groups (`alive`, `alive_with_terminated`, …).
    pub state: Option<String>,
    /// Exactly this name.
    pub display_name: Option<String>,
    /// Ids that begin with this.
    pub id: Option<String>,
    /// Ids that begin with this, and names, host names and addresses that contain it; letters of either case.
    #[serde(default)]
    pub search: Option<String>,
    /// Only of this host.
    pub host_node_id: Option<HostNodeId>,
    /// Goes on behind this row, wherever it is by now: for long lists cheaper than a great `start`.
    #[serde(default)]
    pub after: Option<String>,
    pub start: u64,
    pub limit: u64,
    /// Newest first when absent. The column was checked against the resource's list.
    pub sort: Option<(String, SortOrder)>,
    pub created: Span,
    /// Of when it was deleted or terminated.
    pub ended: Span,
    /// Columns that are null, or are not.
    pub nil: Vec<(String, Nil)>,
}

/// From and to, both included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub since: Option<super::Timestamp>,
    pub until: Option<super::Timestamp>,
}

impl Span {
    /// Whether a moment lies in it; what has no moment lies in the whole of time only.
    pub fn holds(self, moment: Option<super::Timestamp>) -> bool {
        match moment {
            Some(moment) => {
                self.since.is_none_or(|since| moment >= since) && self.until.is_none_or(|until| moment <= until)
            }
            None => self.since.is_none() && self.until.is_none(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nil {
    IsNil,
    IsNotNil,
}

impl Default for ListFilter {
    fn default() -> Self {
        Self {
            state: None,
            display_name: None,
            id: None,
            search: None,
            host_node_id: None,
            after: None,
            start: 0,
            limit: LIST_LIMIT_DEFAULT,
            sort: None,
            created: Span::default(),
            ended: Span::default(),
            nil: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SortOrder {
    Ascending,
    Descending,
}
