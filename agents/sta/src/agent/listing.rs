//! What the agent has, as its inventory tells it, and the facts that follow from each thing.
//!
//! Rule: a backend is complete only when all of it was seen. What carries no mark of this installation has no facts.

use super::Sta;
use crate::export::Target;
use crate::jobs;
use crate::store::backups::Object;
use crate::store::{Image, Replica, Snapshot, StoreError, Volume, sentence, snapshots};
use arame_framework::agent::Listing;
use arame_schema::jobs::report::{Backend, BackendStatus, FactReport, InventoryThing};
use arame_schema::jobs::sta::{StoredBackup, StoredImage};
use arame_schema::model::{Fact, FactName, Observation};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::PoisonError;

impl Sta {
    pub(super) async fn list_store(&self, began: Observation, listing: &mut Listing) {
        let seen = async {
            let (volumes, snapshots) = (self.store.list_volumes().await?, self.store.list_snapshots().await?);
            let replicas = self.store.list_replicas().await?;
            Ok::<_, StoreError>((volumes, snapshots, replicas, self.store.list_images().await?))
        };
        let status = match seen.await {
            Ok((volumes, snapshots, replicas, images)) => {
                listing.kept_mib = self.kept(&volumes, &replicas).await;
                listing.things.extend(volumes.into_iter().map(|volume| self.volume_thing(volume, began)));
                listing.things.extend(snapshots.into_iter().map(|snapshot| self.snapshot_thing(snapshot, began)));
                listing.things.extend(replicas.into_iter().map(|replica| self.replica_thing(replica, began)));
                listing.things.extend(images.into_iter().map(|image| self.image_thing(image, began)));
                BackendStatus::Complete
            }
            Err(error) => BackendStatus::Unavailable { reason: sentence(&error) },
        };
        listing.backends.push(Backend { name: "store".into(), status });
    }

    /// `None`: it cannot be told now.
    async fn kept(&self, volumes: &[Volume], replicas: &[Replica]) -> Option<u64> {
        let (room, left) = (self.store.room().await.ok()?, self.store.left().await.ok()?);
        Some(kept_mib(room.total_bytes, left, volumes, replicas))
    }

    pub(super) async fn list_export(&self, began: Observation, listing: &mut Listing) {
        let (status, trouble) = match self.export.list().await {
            Ok(targets) => {
                listing.things.extend(self.target_things(targets, began));
                (BackendStatus::Complete, None)
            }
            Err(error) => (BackendStatus::Unavailable { reason: error.to_string() }, Some(error.to_string())),
        };
        listing.backends.push(Backend { name: "export".into(), status });
        self.health.write().unwrap_or_else(PoisonError::into_inner).export = trouble;
    }

    fn volume_thing(&self, volume: Volume, began: Observation) -> InventoryThing {
        let facts = volume.mark.iter().filter(|mark| Some(mark.installation) == self.installation());
        let facts = facts.map(|mark| jobs::volume_fact(&mark.owner, Some(&volume), mark.generation, began)).collect();
        InventoryThing {
            kind: "volume".into(),
            backend: "store".into(),
            owner: volume.mark.as_ref().map(|mark| mark.owner.clone()),
            generation: volume.mark.as_ref().map_or(0, |mark| mark.generation),
            installation: volume.mark.as_ref().map(|mark| mark.installation),
            holds_data: true,
            facts,
            detail: Some(json!({ "size_bytes": volume.size_bytes })),
            name: volume.key,
        }
    }

    fn snapshot_thing(&self, snapshot: Snapshot, began: Observation) -> InventoryThing {
        let facts = snapshot.mark.iter().filter(|mark| Some(mark.installation) == self.installation());
        let facts = facts.map(|mark| jobs::snapshot_fact(&mark.owner, Some(&snapshot), began)).collect();
        let Snapshot { volume_key, key, size_bytes, mark } = &snapshot;
        InventoryThing {
            kind: "snapshot".into(),
            name: snapshots::name(volume_key, key),
            backend: "store".into(),
            owner: mark.as_ref().map(|mark| mark.owner.clone()),
            generation: mark.as_ref().map_or(0, |mark| mark.generation),
            installation: mark.as_ref().map(|mark| mark.installation),
            holds_data: true,
            facts,
            detail: Some(json!({ "size_bytes": size_bytes, "volume_key": volume_key, "key": key })),
        }
    }

    fn replica_thing(&self, replica: Replica, began: Observation) -> InventoryThing {
        let facts = replica.mark.iter().filter(|mark| Some(mark.installation) == self.installation());
        let facts = facts.map(|mark| jobs::replica::replica_fact(&mark.owner, Some(&replica), began)).collect();
        InventoryThing {
            kind: "replica".into(),
            backend: "store".into(),
            owner: replica.mark.as_ref().map(|mark| mark.owner.clone()),
            generation: replica.mark.as_ref().map_or(0, |mark| mark.generation),
            installation: replica.mark.as_ref().map(|mark| mark.installation),
            holds_data: replica.guid.is_some(),
            facts,
            detail: Some(json!({
                "size_bytes": replica.size_bytes, "volume": replica.volume, "is_whole": replica.guid.is_some(),
                "origin": replica.origin,
            })),
            name: replica.key,
        }
    }

    fn image_thing(&self, image: Image, began: Observation) -> InventoryThing {
        let facts = image.mark.iter().filter(|mark| Some(mark.installation) == self.installation());
        let facts = facts.map(|mark| self.image_fact(&mark.owner, Some(&image), began)).collect();
        InventoryThing {
            kind: "image".into(),
            backend: "store".into(),
            owner: image.mark.as_ref().map(|mark| mark.owner.clone()),
            generation: image.mark.as_ref().map_or(0, |mark| mark.generation),
            installation: image.mark.as_ref().map(|mark| mark.installation),
            holds_data: true,
            facts,
            detail: Some(json!({ "size_bytes": image.size_bytes, "sha256": image.sha256 })),
            name: image.name,
        }
    }

    pub(super) async fn list_backups(&self, began: Observation, listing: &mut Listing) {
        for storage in self.backups.storages() {
            let status = match self.backups.list(&storage).await {
                Ok(objects) => {
                    listing.things.extend(objects.into_iter().map(|object| self.object_thing(object, began)));
                    BackendStatus::Complete
                }
                Err(error) => BackendStatus::Unavailable { reason: sentence(&error) },
            };
            listing.backends.push(Backend { name: storage.to_string(), status });
        }
    }

    fn object_thing(&self, object: Object, began: Observation) -> InventoryThing {
        let facts = object.mark.iter().filter(|mark| Some(mark.installation) == self.installation());
        let facts = facts.map(|mark| self.object_fact(&mark.owner, Some(&object), began)).collect();
        InventoryThing {
            kind: "backup".into(),
            backend: object.storage.to_string(),
            owner: object.mark.as_ref().map(|mark| mark.owner.clone()),
            generation: object.mark.as_ref().map_or(0, |mark| mark.generation),
            installation: object.mark.as_ref().map(|mark| mark.installation),
            holds_data: true,
            facts,
            detail: Some(json!({
                "size_bytes": object.size_bytes, "stored_bytes": object.stored_bytes, "origin": object.origin,
            })),
            name: object.name,
        }
    }

    pub(crate) fn object_fact(&self, owner: &str, object: Option<&Object>, observed: Observation) -> FactReport {
        let url = match self.config.http_url.trim_end_matches('/') {
            "" => String::new(),
            base => format!("{base}/backups/{owner}"),
        };
        let stored = object.map(|object| StoredBackup {
            url,
            sha256: object.sha256.clone(),
            size_bytes: object.size_bytes,
            stored_bytes: object.stored_bytes,
        });
        FactReport {
            thing: owner.to_owned(),
            name: FactName::Object,
            value: if object.is_some() { Fact::Yes } else { Fact::No },
            generation: object.and_then(|object| object.mark.as_ref()).map_or(0, |mark| mark.generation),
            observed,
            detail: stored.and_then(|stored| serde_json::to_value(stored).ok()),
        }
    }

    /// An attachment has one fact: of the target of its highest epoch.
    fn target_things(&self, targets: Vec<Target>, began: Observation) -> Vec<InventoryThing> {
        let mut newest: BTreeMap<String, u64> = BTreeMap::new();
        for target in &targets {
            let epoch = newest.entry(target.attachment.to_string()).or_default();
            *epoch = target.epoch.max(*epoch);
        }
        let thing = |target: Target| {
            let installation = target.mark.as_ref().map(|mark| mark.installation);
            let is_newest = newest.get(target.attachment.as_str()) == Some(&target.epoch);
            let speaks = is_newest && installation.is_some() && installation == self.installation();
            let facts = if speaks { vec![self.exported_fact(&target, began)] } else { Vec::new() };
            InventoryThing {
                kind: "target".into(),
                backend: "export".into(),
                owner: Some(target.attachment.to_string()),
                generation: target.mark.as_ref().map_or(0, |mark| mark.generation),
                installation,
                holds_data: false,
                facts,
                detail: Some(describe(&target)),
                name: target.iqn,
            }
        };
        targets.into_iter().map(thing).collect()
    }

    pub(crate) fn exported_fact(&self, target: &Target, observed: Observation) -> FactReport {
        FactReport {
            thing: target.attachment.to_string(),
            name: FactName::Exported,
            // Half-made: to be made when building up, to be removed when tearing down.
            value: if target.is_whole() { Fact::Yes } else { Fact::Maybe },
            generation: target.mark.as_ref().map_or(0, |mark| mark.generation),
            observed,
            detail: serde_json::to_value(target.as_exported(self.export.portal())).ok(),
        }
    }

    pub(crate) fn image_fact(&self, owner: &str, image: Option<&Image>, observed: Observation) -> FactReport {
        let stored = image.map(|image| StoredImage {
            url: self.image_url(owner),
            sha256: Some(image.sha256.clone()),
            size_bytes: Some(image.size_bytes),
        });
        FactReport {
            thing: owner.to_owned(),
            name: FactName::Image,
            value: if image.is_some() { Fact::Yes } else { Fact::No },
            generation: image.and_then(|image| image.mark.as_ref()).map_or(0, |mark| mark.generation),
            observed,
            detail: stored.and_then(|stored| serde_json::to_value(stored).ok()),
        }
    }
}

/// What is neither left nor counted by rows: of a volume's replicas they count the largest, for those share what did not change.
fn kept_mib(total: u64, left: u64, volumes: &[Volume], replicas: &[Replica]) -> u64 {
    let mut largest: BTreeMap<&str, u64> = BTreeMap::new();
    for replica in replicas {
        let of_volume = largest.entry(replica.volume.as_deref().unwrap_or(&replica.key)).or_default();
        *of_volume = replica.size_bytes.max(*of_volume);
    }
    let counted = volumes.iter().map(|volume| volume.size_bytes).chain(largest.into_values());
    counted.fold(total.saturating_sub(left), u64::saturating_sub).div_ceil(1 << 20)
}

pub(super) fn describe(target: &Target) -> Value {
    json!({
        "epoch": target.epoch,
        "volume": target.mark.as_ref().map(|mark| mark.volume.as_str()),
        "chap_user": target.mark.as_ref().map(|mark| mark.chap_user.as_str()),
        "initiators": target.initiators,
        "sessions": target.sessions,
    })
}
