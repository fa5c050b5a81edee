//! The view of an instance: the original's keys in its order, then ours.

use super::language::wordless;
use super::{Failure, Label, Language, Localise, MonitorItem, Progress, Timestamp};
use crate::model::instance::InstanceState;
use crate::model::restart::RestartPolicy;
use crate::model::{SecurityGroupId, SshKeyPairId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Instance {
    pub id: String,
    pub account_id: String,
    /// Id of its host, null before it has one.
    pub host_node: Option<String>,
    pub cpu_cores: u32,
    /// MiB.
    pub memory_size: u64,
    pub arch: String,
    pub image_id: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub terminated_at: Option<Timestamp>,
    /// The same moment as `terminated_at`.
    pub deleted_at: Option<Timestamp>,
    #[schema(value_type = String, example = "running")]
    pub state: InstanceState,
    /// `init`, `online` or `offline`: whether its host's agent is heard.
    pub status: String,
    pub ssh_key_pair: Option<KeyOfInstance>,
    pub volume: Vec<InstanceVolume>,
    pub vif: Vec<InstanceVif>,
    pub hostname: String,
    /// 0 or 1.
    pub ha_enabled: u8,
    pub hypervisor: String,
    pub display_name: Option<String>,
    pub service_type: String,
    #[serde(default)]
    pub monitoring: Monitoring,
    #[serde(default)]
    pub labels: Vec<Label>,
    pub boot_volume_id: Option<String>,
    // Ours from here on.
    pub instance_type: Option<String>,
    /// MiB of the boot disk.
    pub disk_size: u64,
    /// Raised by every change of what is wanted.
    pub generation: u64,
    /// Why it is not as wanted; null while nothing is wrong.
    pub failure: Option<Failure>,
    pub progress: Option<Progress>,
    /// It is placed with an eye to those of its account with the same word here.
    #[serde(default)]
    pub placement_group: Option<String>,
    /// `apart`, `together` or `spread`.
    #[serde(default)]
    pub placement_policy: Option<String>,
    /// Only hosts of this group will do.
    #[serde(default)]
    pub node_group: Option<String>,
    /// What follows when its guest dies by itself: `always` (started again, after ever longer rests), `on-failure` (given up
    /// after five deaths in a row) or `never` (it stays off). A guest that shuts itself down is halted by all of them.
    #[serde(default)]
    #[schema(example = "always")]
    pub restart_policy: String,
}

impl Localise for Instance {
    fn localise(&mut self, language: Language) {
        self.failure.localise(language);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyOfInstance {
    pub uuid: String,
    pub display_name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstanceVolume {
    pub vol_id: String,
    pub state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstanceVif {
    pub vif_id: String,
    pub network_id: String,
    pub index: u32,
    /// Absent without an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<VifIpv4>,
    pub security_groups: Vec<String>,
    // Ours.
    pub mac_addr: Option<String>,
    /// `web1.demo1.example`, as our DNS answers it.
    pub dns_name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VifIpv4 {
    pub address: String,
    pub nat_address: Option<String>,
}

/// What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateInstance {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Of the next start's metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ssh_key_id: Option<SshKeyPairId>,
    /// In place of those of every interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub security_groups: Option<Vec<SecurityGroupId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<UpdateMonitoring>,
    /// `always`, `on-failure` or `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "on-failure")]
    pub restart_policy: Option<RestartPolicy>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateMonitoring {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail_address: Option<Vec<String>>,
}

/// The administrator's password as the guest made it, encrypted for the instance's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstancePassword {
    pub id: String,
    pub encrypted_password: String,
}

wordless!(InstancePassword);

/// Kept for the original's clients; nothing is monitored by it yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Monitoring {
    pub enabled: bool,
    pub mail_address: Vec<String>,
    /// By the monitors' ids.
    #[serde(default)]
    pub items: BTreeMap<String, MonitorItem>,
}

/// For the document: what a creation answers, without and with `plan=true`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum InstanceOrPlan {
    Instance(Box<Instance>),
    Plan(super::LaunchPlan),
}

/// For the document: what a deletion answers, without and with `plan=true`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum DeletedOrPlan {
    Deleted(Vec<String>),
    Plan(super::DeletePlan),
}
