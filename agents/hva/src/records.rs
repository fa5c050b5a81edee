//! What the agent keeps of each instance on this host's disk: the mark of its files, and what its guest may read.
//!
//! Rule: no secret is in it. It is written before any effect and removed after the last, so a part without a record
//! does not exist. It holds no truth of dcmgr's: delete it and an `ApplyInstance` writes it again.

use crate::switch::Port;
use arame_schema::jobs::hva::{InstanceSpec, Metadata, Nic};
use arame_schema::model::{AccountId, AttachmentId, ImageId, InstanceId, VifId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a record says of a guest between two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Made to receive. Its guest comes from another host; once its domain is marked *released* this is history.
    Waiting,
    /// Given away. Written before the other host may run it, and never taken back.
    Handed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub installation: Uuid,
    pub instance: InstanceId,
    pub account: AccountId,
    pub generation: u64,
    /// The last generation that was carried out to its end. A job that failed on its way has written its own above.
    #[serde(default)]
    pub applied: u64,
    /// The overlay was finished once: from then on a missing overlay is a loss, never made again (DESIGN 3.9).
    #[serde(default)]
    pub disk_made: bool,
    /// What `hva.describe` tells whoever adopts the instance; nil and 0 in a record of an older agent.
    #[serde(default)]
    pub uuid: Uuid,
    #[serde(default)]
    pub disk_size_bytes: u64,
    pub hostname: String,
    pub image: ImageId,
    pub vcpus: u32,
    pub memory_mib: u64,
    pub nics: Vec<Nic>,
    pub metadata: Metadata,
    /// Attachments ever wished into it since it was made and not yet seen unplugged.
    #[serde(default)]
    pub attachments: Vec<AttachmentId>,
    /// The same of interfaces.
    #[serde(default)]
    pub vifs: Vec<VifId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
}

impl Record {
    pub fn of(installation: Uuid, generation: u64, spec: &InstanceSpec, before: Option<&Record>) -> Self {
        let mut attachments: Vec<AttachmentId> = before.map(|old| old.attachments.clone()).unwrap_or_default();
        for volume in &spec.volumes {
            if !attachments.contains(&volume.attachment) {
                attachments.push(volume.attachment.clone());
            }
        }
        // A record of an older agent names only those it has.
        let mut vifs: Vec<VifId> = before
            .map(|old| old.vifs.iter().chain(old.nics.iter().map(|nic| &nic.vif)).cloned().collect())
            .unwrap_or_default();
        vifs.extend(spec.nics.iter().map(|nic| nic.vif.clone()));
        vifs.sort();
        vifs.dedup();
        Self {
            installation,
            instance: spec.instance.clone(),
            account: spec.account.clone(),
            generation,
            applied: before.map_or(0, |old| old.applied),
            disk_made: before.is_some_and(|old| old.disk_made),
            uuid: spec.uuid,
            disk_size_bytes: spec.boot.disk_size_bytes,
            hostname: spec.hostname.clone(),
            image: spec.boot.image.clone(),
            vcpus: spec.vcpus,
            memory_mib: spec.memory_mib,
            nics: spec.nics.clone(),
            metadata: spec.metadata.clone(),
            attachments,
            vifs,
            side: None,
        }
    }

    /// The name with its network's domain, where there is one.
    pub fn local_hostname(&self) -> String {
        match self.metadata.domain.as_str() {
            "" => self.hostname.clone(),
            domain => format!("{}.{domain}", self.hostname),
        }
    }

    /// The ports its guest has at the switch.
    pub fn ports(&self) -> impl Iterator<Item = Port> {
        self.nics.iter().map(|nic| Port {
            installation: self.installation,
            instance: self.instance.clone(),
            generation: self.generation,
            nic: nic.clone(),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use arame_schema::jobs::hva::SshPublicKey;

    pub fn a_record() -> Record {
        Record {
            installation: uuid::Uuid::nil(),
            instance: "i-web".parse().unwrap(),
            account: "a-demo".parse().unwrap(),
            generation: 1,
            applied: 1,
            disk_made: true,
            uuid: uuid::Uuid::nil(),
            disk_size_bytes: 0,
            hostname: "web1".into(),
            image: "wmi-tiny".parse().unwrap(),
            vcpus: 1,
            memory_mib: 128,
            nics: vec![Nic {
                vif: "vif-a".parse().unwrap(),
                index: 0,
                network: "nw-demo1".parse().unwrap(),
                vlan_tag: 100,
                mac: "52:54:00:00:00:01".parse().unwrap(),
                ipv4: "10.0.0.5".parse().unwrap(),
                mtu: 1400,
            }],
            metadata: Metadata {
                ssh_keys: vec![SshPublicKey { name: "demo".into(), public_key: "ssh-ed25519 AAAA demo".into() }],
                user_data: Some("#!/bin/sh\n".into()),
                instance_type: "tiny".into(),
                security_groups: vec!["sg-web".parse().unwrap()],
                domain: "demo.example".into(),
            },
            attachments: vec![],
            vifs: Vec::new(),
            side: None,
        }
    }
}
