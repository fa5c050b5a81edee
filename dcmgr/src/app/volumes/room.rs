//! Chooses the storage node of a new volume, and says of each why it is not the one when none is.

use crate::app::AppError;
use crate::db::{self, Tx};
use arame_schema::api::placement::SmallestChange;
use arame_schema::api::{Code, HostVerdict, Placement, Refusal, RuleVerdict, StorageNode};
use std::collections::BTreeMap;

/// What its volumes and replicas leave, as far as the rows know.
fn unpromised(node: &StorageNode) -> u64 {
    node.offering_disk_space_mb.saturating_sub(node.used_disk_space_mb)
}

/// What truly fits: without what the store keeps beside them, as it last told. MiB.
pub(in crate::app) fn room(node: &StorageNode) -> u64 {
    unpromised(node).saturating_sub(node.kept_disk_space_mb)
}

/// What is needed of a storage node.
#[derive(Debug, Clone, Default)]
pub struct Need {
    pub mib: u64,
    /// Of a volume from a backup: how each node would read it, or why it cannot; by the node's id.
    pub reach: Option<BTreeMap<String, Result<String, String>>>,
    /// Of a volume from a snapshot: the node that has it.
    pub only: Option<String>,
    /// Of a replica: what it is a copy of.
    pub copied: Option<Copied>,
}

/// A snapshot that is to be copied to another storage node.
#[derive(Debug, Clone, Default)]
pub struct Copied {
    /// The node that has it.
    pub from: String,
    /// The kind of its store: streams of one are understood by no other.
    pub store: String,
    /// Nodes that have a replica of it.
    pub held_by: Vec<String>,
}

impl Copied {
    fn judge(&self, node: &StorageNode) -> Vec<RuleVerdict> {
        let rule = |rule: &str, needed: &str, had: &str, ok: bool| RuleVerdict {
            rule: rule.to_owned(),
            needed: needed.to_owned(),
            had: had.to_owned(),
            ok,
        };
        let has = node.id == self.from || self.held_by.contains(&node.id);
        vec![
            rule("has_none_yet", "no", if has { "yes" } else { "no" }, !has),
            rule("same_store", &self.store, &node.storage_type, node.storage_type == self.store),
        ]
    }
}

impl Need {
    /// A blank volume.
    pub fn of(mib: u64) -> Self {
        Self { mib, ..Self::default() }
    }
}

/// Each rule with what it needs and what the node has, in the order a person would look.
fn judge(node: &StorageNode, need: &Need) -> HostVerdict {
    let needed_mib = need.mib;
    let rule = |rule: &str, needed: &str, had: String, ok: bool| RuleVerdict {
        rule: rule.to_owned(),
        needed: needed.to_owned(),
        had,
        ok,
    };
    let well = node.degraded.clone().unwrap_or_else(|| "well".into());
    let enabled = if node.scheduling_enabled { "enabled" } else { "disabled" };
    let needed = format!("{needed_mib} MiB");
    let mut rules = vec![
        rule("online", "online", node.status.clone(), node.status == "online"),
        rule("not_degraded", "well", well, node.degraded.is_none()),
        rule("scheduling_enabled", "enabled", enabled.to_owned(), node.scheduling_enabled),
        rule("disk_space", &needed, format!("{} MiB", unpromised(node)), unpromised(node) >= needed_mib),
    ];
    if node.kept_disk_space_mb > 0 {
        rules.push(rule("disk_left", &needed, format!("{} MiB", room(node)), room(node) >= needed_mib));
    }
    if let Some(copied) = &need.copied {
        rules.splice(0..0, copied.judge(node));
    }
    if let Some(reach) = &need.reach {
        let found = reach.get(&node.id).cloned().unwrap_or_else(|| Err("-".into()));
        let (ok, had) = (found.is_ok(), found.unwrap_or_else(|why| why));
        rules.push(rule("reaches_backup", "directly | by another node", had, ok));
    }
    HostVerdict { host: node.id.clone(), fits: rules.iter().all(|rule| rule.ok), rules }
}

/// The storage node with the most room that is heard and well; its row is locked and judged again.
///
/// # Errors
/// None takes it: the detail is the verdict of each.
pub(in crate::app) async fn choose_node(tx: &mut Tx, need: &Need) -> Result<String, AppError> {
    // On the transaction's own connection: a second one for each would let a crowd wait for itself.
    let mut nodes = db::nodes::storage_candidates(tx).await?;
    nodes.retain(|node| need.only.as_ref().is_none_or(|only| *only == node.id));
    nodes.sort_by_key(|node| std::cmp::Reverse(room(node)));
    for node in &mut nodes {
        if !judge(node, need).fits {
            continue;
        }
        let Some(locked) = db::nodes::lock_storage(tx, &node.id).await? else { continue };
        *node = locked;
        if judge(node, need).fits {
            return Ok(node.id.clone());
        }
    }
    Err(refuse(&nodes, need).into())
}

/// That none takes so much, with the verdict of each.
pub fn refuse(nodes: &[StorageNode], need: &Need) -> Refusal {
    let refusal = Refusal::new(Code::OutOfStorageCapacity).with("needed", format!("{} MiB", need.mib));
    refusal.with_detail(serde_json::to_value(told(nodes, need)).unwrap_or_default())
}

fn told(nodes: &[StorageNode], need: &Need) -> Placement {
    let verdicts: Vec<HostVerdict> = nodes.iter().map(|node| judge(node, need)).collect();
    let broken = |verdict: &HostVerdict| verdict.rules.iter().filter(|rule| !rule.ok).count();
    // The one with the fewest things wrong, and of those the one with the most room.
    let nearest = nodes.iter().zip(&verdicts).min_by_key(|(_, verdict)| broken(verdict));
    let smallest_change = nearest.and_then(|(node, verdict)| change(node, verdict, need.mib));
    Placement { fits: false, host: None, verdicts, left_out: 0, smallest_change }
}

/// Codes and values of the catalogue's changes (`schema::api::catalogue`).
fn change(node: &StorageNode, verdict: &HostVerdict, needed_mib: u64) -> Option<SmallestChange> {
    let rule = verdict.rules.iter().find(|rule| !rule.ok)?;
    let all = node.offering_disk_space_mb;
    let (code, amount) = match rule.rule.as_str() {
        "online" => ("storage_online", 0),
        "not_degraded" => ("storage_repair", 0),
        "scheduling_enabled" => ("storage_enable", 0),
        "reaches_backup" => ("storage_reach", 0),
        "has_none_yet" => ("storage_another", 0),
        "same_store" => ("storage_same_store", 0),
        "disk_left" => ("storage_kept", node.kept_disk_space_mb),
        _ if needed_mib > all => ("storage_smaller", all),
        _ => ("storage_free", needed_mib.saturating_sub(unpromised(node))),
    };
    let change = SmallestChange::new(code).with("host", &node.id).with("rule", &rule.rule);
    Some(change.with("amount", amount).with("needed", &rule.needed).with("had", &rule.had))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::api::{Language, Localise};

    fn node(id: &str, change: impl FnOnce(&mut StorageNode)) -> StorageNode {
        let value = serde_json::json!({
            "id": id, "uuid": id, "node_id": "sta.s1", "offering_disk_space_mb": 1000, "used_disk_space_mb": 200,
            "storage_type": "file", "created_at": "2026-01-01 00:00:00 UTC", "updated_at": "2026-01-01 00:00:00 UTC",
            "display_name": null, "status": "online", "scheduling_enabled": true, "degraded": null,
            "volumes": 0, "version": null, "last_seen_at": null,
        });
        let mut node = serde_json::from_value(value).unwrap();
        change(&mut node);
        node
    }

    #[test]
    fn a_silent_node_is_told_from_a_full_one_and_the_nearest_change_is_named_in_both_languages() {
        let silent = || node("sn-silent", |node| node.status = "offline".into());
        let full = || node("sn-full", |node| node.used_disk_space_mb = 900);
        let shut = || node("sn-shut", |node| node.scheduling_enabled = false);
        let ill = || node("sn-ill", |node| node.degraded = Some("pool".into()));
        let kept = || node("sn-kept", |node| node.kept_disk_space_mb = 350);
        let small = || node("sn-small", |node| node.offering_disk_space_mb = 300);
        for (nodes, code, says) in [
            (vec![silent()], "storage_online", "sn-silent"),
            (vec![full()], "storage_free", "400 MiB"),
            (vec![shut()], "storage_enable", "sn-shut"),
            (vec![ill()], "storage_repair", "pool"),
            (vec![small()], "storage_smaller", "300 MiB"),
            (vec![kept()], "storage_kept", "350 MiB"),
        ] {
            let mut told = told(&nodes, &Need::of(500));
            for language in [Language::En, Language::Ja] {
                told.localise(language);
                let change = told.smallest_change.as_ref().unwrap();
                assert_eq!(change.code, code);
                assert!(change.sentence.contains(says) && !change.sentence.contains('?'), "{}", change.sentence);
            }
        }
        let told = told(&[silent(), full()], &Need::of(500));
        let broken: Vec<&str> = told
            .verdicts
            .iter()
            .map(|verdict| verdict.rules.iter().find(|rule| !rule.ok).map_or("", |rule| rule.rule.as_str()))
            .collect();
        assert_eq!(broken, ["online", "disk_space"]);
        let verdict = judge(&kept(), &Need::of(500));
        let left = verdict.rules.iter().find(|rule| !rule.ok).unwrap();
        assert_eq!((left.rule.as_str(), left.needed.as_str(), left.had.as_str()), ("disk_left", "500 MiB", "450 MiB"));
        assert!(judge(&kept(), &Need::of(450)).fits, "control: so much truly fits");
        assert!(judge(&node("sn-a", |_| {}), &Need::of(500)).fits, "control");
    }

    #[test]
    fn a_replica_goes_to_another_node_with_a_store_of_the_same_kind_and_else_it_is_said_what_is_missing() {
        let zfs = node("sn-zfs", |node| node.storage_type = "zfs".into());
        let nodes = [node("sn-a", |_| {}), node("sn-b", |_| {}), node("sn-c", |_| {}), zfs];
        let copied = Copied { from: "sn-a".into(), store: "file".into(), held_by: vec!["sn-b".into()] };
        let need = Need { copied: Some(copied), ..Need::of(100) };
        let fits: Vec<&str> =
            nodes.iter().filter(|node| judge(node, &need).fits).map(|node| node.id.as_str()).collect();
        assert_eq!(fits, ["sn-c"]);
        for (nodes, code, says) in [
            (&nodes[..1], "storage_another", "sn-a"),
            (&nodes[1..2], "storage_another", "sn-b"),
            (&nodes[3..], "storage_same_store", "zfs"),
        ] {
            let mut told = told(nodes, &need);
            for language in [Language::En, Language::Ja] {
                told.localise(language);
                let change = told.smallest_change.as_ref().unwrap();
                assert_eq!(change.code, code);
                assert!(change.sentence.contains(says) && !change.sentence.contains('?'), "{}", change.sentence);
            }
        }
    }

    #[test]
    fn a_node_that_cannot_read_the_backup_is_told_from_those_that_can_in_both_languages() {
        let nodes = [node("sn-a", |_| {}), node("sn-b", |_| {})];
        let reach = BTreeMap::from([
            ("sn-a".to_owned(), Ok("bkst-local".to_owned())),
            ("sn-b".to_owned(), Err("sn-a offline".to_owned())),
        ]);
        let need = Need { reach: Some(reach), ..Need::of(500) };
        assert!(judge(&nodes[0], &need).fits && !judge(&nodes[1], &need).fits);
        let mut told = told(&nodes[1..], &need);
        for language in [Language::En, Language::Ja] {
            told.localise(language);
            let change = told.smallest_change.as_ref().unwrap();
            assert!(change.code == "storage_reach" && change.sentence.contains("sn-a offline"), "{change:?}");
        }
    }
}
