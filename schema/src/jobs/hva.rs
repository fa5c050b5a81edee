//! Jobs of the HyperVisorAgent. The instance owns its whole domain: one spec says power, disks and NICs.

use crate::model::instance::Shutdown;
use crate::model::security_group::Traffic;
use crate::model::{
    AccountId, AttachmentId, HostNodeId, ImageId, InstanceId, MacAddress, NetworkId, Secret, SecurityGroupId, VifId,
    VolumeId,
};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use uuid::Uuid;

/// Facts answered: `domain` and `power` of the instance, `plugged` of every attachment named in the spec and of every
/// one found plugged that the spec does not name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApplyInstance {
    pub spec: InstanceSpec,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceSpec {
    pub instance: InstanceId,
    pub account: AccountId,
    /// libvirt's domain UUID: made once by dcmgr, never changed.
    pub uuid: Uuid,
    pub hostname: String,
    pub vcpus: u32,
    pub memory_mib: u64,
    pub power: Power,
    pub boot: BootDisk,
    /// Exactly these volumes are plugged when the job is done; others are unplugged.
    #[serde(default)]
    pub volumes: Vec<PluggedVolume>,
    /// Attachments that are taken away also when the guest does not let them go: then it is switched off hard and, if it is to
    /// run, started without them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forced: Vec<AttachmentId>,
    #[serde(default)]
    pub nics: Vec<Nic>,
    pub metadata: Metadata,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Power {
    On,
    /// Off; a soft shutdown becomes a hard one after `grace_ms`.
    Off {
        method: Shutdown,
        grace_ms: u64,
    },
}

/// A local overlay on a cached, checksum-verified copy of the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootDisk {
    pub image: ImageId,
    /// Where the bytes are, `http://…`, served by an sta with range requests. `None`: no storage node has them now;
    /// a disk that was made already needs only the host's cached copy (else `image_unavailable`).
    #[serde(default)]
    pub url: Option<String>,
    /// SHA-256 of the file's bytes, lower-case hex. A cached or fetched file that differs is refused
    /// (`image_checksum_mismatch`) and deleted.
    pub sha256: String,
    pub size_bytes: u64,
    pub format: DiskFormat,
    /// Virtual size of the overlay; at least the image's own virtual size.
    pub disk_size_bytes: u64,
    /// The guest was seen running with it: it holds data. A missing one is a loss and is never made (DESIGN 3.9), also
    /// where every trace of it is gone.
    #[serde(default)]
    pub used: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskFormat {
    Raw,
    Qcow2,
}

/// A volume reached by QEMU's own iSCSI initiator (RFC 7143, CHAP RFC 1994): no device on the host, nothing to leak.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluggedVolume {
    pub volume: VolumeId,
    pub attachment: AttachmentId,
    /// Epoch of the attachment; part of the target's name.
    pub epoch: u64,
    /// Disk serial the guest sees (`/dev/disk/by-id/virtio-<serial>`), at most 20 bytes (virtio-blk's limit).
    pub serial: String,
    /// `address:port` of the target.
    pub portal: String,
    pub iqn: String,
    pub lun: u32,
    pub initiator_iqn: String,
    pub chap_user: String,
    pub chap_secret: Secret,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    pub vif: VifId,
    /// Order in the guest, from 0.
    pub index: u32,
    pub network: NetworkId,
    /// 802.1Q tag, 1 to 4094.
    pub vlan_tag: u16,
    pub mac: MacAddress,
    pub ipv4: Ipv4Addr,
    pub mtu: u16,
}

/// What the guest reads at 169.254.169.254.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Name and OpenSSH line of each key.
    #[serde(default)]
    pub ssh_keys: Vec<SshPublicKey>,
    #[serde(default)]
    pub user_data: Option<String>,
    pub instance_type: String,
    #[serde(default)]
    pub security_groups: Vec<SecurityGroupId>,
    /// Domain of the first NIC's network, for `local-hostname`.
    #[serde(default)]
    pub domain: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshPublicKey {
    pub name: String,
    pub public_key: String,
}

/// Facts answered: `domain` no, `power` no, `plugged` no for every attachment that was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteInstance {
    pub instance: InstanceId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebootInstance {
    pub instance: InstanceId,
    /// Written on the domain before the reboot; found there, the job is answered done without acting.
    pub operation: Uuid,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserveInstance {
    pub instance: InstanceId,
}

/// What the fact `domain` says of a guest between two hosts, in its detail's `guest`. Unsaid: an ordinary one, whose power
/// says whether it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Between {
    /// Made to receive; not whole, cannot run by itself.
    Waiting,
    /// Whole, its CPUs stand still.
    Paused,
    /// Given away: the other host may have run it since.
    Handed,
}

impl Between {
    pub const ALL: [Between; 3] = [Between::Waiting, Between::Paused, Between::Handed];
    /// The key in the fact's detail.
    pub const KEY: &'static str = "guest";

    pub fn as_str(self) -> &'static str {
        match self {
            Between::Waiting => "waiting",
            Between::Paused => "paused",
            Between::Handed => "handed",
        }
    }

    pub fn parse(text: &str) -> Option<Between> {
        Between::ALL.into_iter().find(|form| form.as_str() == text)
    }
}

/// Facts answered: as of [`ApplyInstance`], the domain `waiting`. Refused where a guest runs or is paused; what was handed
/// over before is replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReceiveInstance {
    /// What the guest is there, where it runs; its power is on.
    pub spec: InstanceSpec,
    pub from: HostNodeId,
}

/// The envelope's generation is that of the guest that waits; both hosts compare it before a page is copied. Facts
/// answered: of the sender alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendInstance {
    pub instance: InstanceId,
    pub to: HostNodeId,
    /// Where the other host takes guests, as it told in its hello.
    #[serde(default)]
    pub endpoints: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepInstance {
    pub instance: InstanceId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeInstance {
    pub instance: InstanceId,
}

/// Copy the machine's boot disk, as it is at one moment, into a file that storage nodes fetch. The envelope's thing is the
/// image that it becomes. Fact answered: `captured`, with [`Captured`] as detail; `maybe` while it is being made, so that the
/// job is asked for again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeCapture {
    pub image: ImageId,
    pub instance: InstanceId,
    /// Whoever shows it may fetch the copy over HTTP.
    pub reader: Secret,
}

/// No copy is left, and one that is being made ends. Fact answered: `captured`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropCapture {
    pub image: ImageId,
    pub instance: InstanceId,
}

/// Where a copy of a disk is fetched, and what it has to be. Its format is qcow2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    pub url: String,
    /// Of the file.
    pub sha256: String,
    pub size_bytes: u64,
    /// Of an agent that knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<Moment>,
}

/// What kind of moment a disk was copied at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    /// The machine was off.
    Off,
    /// It ran, and its agent held all writing: nothing is half written.
    Frozen,
    /// It ran on: as after a power cut.
    Running,
}

/// The endpoint of a host's hello that says where it serves copies of disks. A host without it makes none.
pub const CAPTURES: &str = "captures";

/// The whole firewall of a host. Version is the envelope's generation. Fact answered: `applied` of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyPolicy {
    pub host: HostNodeId,
    pub ports: Vec<PortPolicy>,
    /// Destinations no guest may reach, but for DHCP, DNS and metadata.
    #[serde(default)]
    pub infrastructure: Vec<Ipv4Net>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortPolicy {
    pub vif: VifId,
    pub instance: InstanceId,
    pub network: NetworkId,
    pub vlan_tag: u16,
    pub mac: MacAddress,
    pub ipv4: Ipv4Addr,
    pub subnet: Ipv4Net,
    /// The network's DHCP and DNS server: the only one this port may hear DHCP answers from.
    pub dhcp_server: Ipv4Addr,
    /// What may come in; groups already expanded to their members' addresses. All egress is let out but for
    /// anti-spoofing and infrastructure. Replies to what is let through follow by connection tracking.
    pub ingress: Vec<IngressRule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IngressRule {
    pub traffic: Traffic,
    pub source: Ipv4Net,
}
