//! Instances and their placement, for people.

use crate::table::{fields, table};
use crate::words::{Message, say, word};
use arame_schema::api::{
    DeletePlan, Instance, Language, LaunchPlan, Placement, PlannedRefusal, QuotaEffect, catalogue,
};

pub fn many(language: Language, instances: &[Instance]) -> String {
    let head =
        [Message::Id, Message::Name, Message::State, Message::Address, Message::Host, Message::Type, Message::Created];
    let rows = instances.iter().map(|one| {
        vec![
            one.id.clone(),
            name(one).to_owned(),
            one.state.to_string(),
            addresses(one).join(", "),
            one.host_node.clone().unwrap_or_else(|| "-".into()),
            size(one),
            one.created_at.to_string(),
        ]
    });
    table(language, &head, rows.collect())
}

pub fn one(language: Language, one: &Instance) -> String {
    let mut pairs = vec![
        (Message::Id, one.id.clone()),
        (Message::Name, name(one).to_owned()),
        (Message::State, one.state.to_string()),
        (Message::Hostname, one.hostname.clone()),
        (Message::Type, size(one)),
        (Message::Image, one.image_id.clone()),
        (Message::Host, one.host_node.clone().unwrap_or_default()),
        (Message::Hypervisor, one.hypervisor.clone()),
        (Message::Key, one.ssh_key_pair.as_ref().map(|key| key.uuid.clone()).unwrap_or_default()),
    ];
    for vif in &one.vif {
        let address = vif.ipv4.as_ref().map_or("-", |ipv4| ipv4.address.as_str());
        let mac = vif.mac_addr.as_deref().unwrap_or("-");
        let groups = vif.security_groups.join(",");
        pairs.push((Message::Address, format!("{address}  {}  {mac}  {groups}", vif.network_id)));
        pairs.push((Message::DnsName, vif.dns_name.clone().unwrap_or_default()));
    }
    for volume in &one.volume {
        pairs.push((Message::Volumes, format!("{}  {}", volume.vol_id, volume.state)));
    }
    if let Some(group) = &one.placement_group {
        pairs.push((
            Message::PlacementGroup,
            format!("{group} ({})", one.placement_policy.as_deref().unwrap_or_default()),
        ));
    }
    if let Some(group) = &one.node_group {
        pairs.push((Message::NodeGroup, group.clone()));
    }
    pairs.push((Message::RestartPolicy, one.restart_policy.clone()));
    pairs.push((Message::Created, one.created_at.to_string()));
    if let Some(failure) = &one.failure {
        pairs.push((Message::Failure, failure.sentence.clone()));
        pairs.push((Message::Cause, failure.cause.clone()));
        pairs.push((Message::NextStep, failure.next_step.clone()));
    }
    fields(language, pairs)
}

fn name(one: &Instance) -> &str {
    one.display_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&one.hostname)
}

pub fn addresses(one: &Instance) -> Vec<String> {
    one.vif.iter().filter_map(|vif| vif.ipv4.as_ref()).map(|ipv4| ipv4.address.clone()).collect()
}

fn size(one: &Instance) -> String {
    let numbers = format!("{} CPU, {} MiB", one.cpu_cores, one.memory_size);
    match one.instance_type.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => format!("{name} ({numbers})"),
        None => numbers,
    }
}

pub fn plan(language: Language, plan: &LaunchPlan) -> String {
    let mut text = placement(language, &plan.placement());
    text.push_str(&effects(language, &plan.quotas, &plan.refusals));
    text
}

pub fn delete_plan(language: Language, plan: &DeletePlan) -> String {
    let lines = vec![
        (Message::Instance, plan.id.clone()),
        (Message::Volumes, plan.detaches.join(", ")),
        (Message::VolumesGo, plan.deletes.join(", ")),
        (Message::Address, plan.releases.join(", ")),
    ];
    fields(language, lines) + &effects(language, &plan.quotas, &plan.refusals)
}

fn effects(language: Language, quotas: &[QuotaEffect], refusals: &[PlannedRefusal]) -> String {
    let limit = |quota: &QuotaEffect| quota.limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string());
    let row =
        |quota: &QuotaEffect| vec![quota.quota.clone(), quota.used.to_string(), quota.after.to_string(), limit(quota)];
    let head = [Message::Quota, Message::Used, Message::Then, Message::Limit];
    table(language, &head, quotas.iter().map(row).collect()) + &self::refusals(language, refusals)
}

/// What would refuse it, with the next step.
pub fn refusals(language: Language, refusals: &[PlannedRefusal]) -> String {
    let mut text = String::new();
    for refusal in refusals {
        text.push_str(&format!("{}: {}\n", word(language, Message::Error), refusal.message));
        text.push_str(&format!("{}: {}\n", word(language, Message::NextStep), refusal.next_step));
    }
    text
}

pub fn placement(language: Language, placement: &Placement) -> String {
    let mut text = match &placement.host {
        Some(host) if placement.fits => say(language, Message::Fits, &[("host", host)]),
        _ => word(language, Message::DoesNotFit).to_owned(),
    };
    text.push('\n');
    if let Some(change) = &placement.smallest_change {
        text.push_str(&format!("{}: {}\n", word(language, Message::NextStep), change.sentence));
    }
    let mut rows = Vec::new();
    for verdict in &placement.verdicts {
        for rule in &verdict.rules {
            let name = catalogue::placement_rule(&rule.rule).map_or(rule.rule.as_str(), |entry| entry.text(language));
            let verdict_word = word(language, if rule.ok { Message::Yes } else { Message::No });
            rows.push([verdict.host.as_str(), name, &rule.needed, &rule.had, verdict_word].map(str::to_owned).to_vec());
        }
    }
    let head = [Message::Host, Message::Rule, Message::Needed, Message::Had, Message::Verdict];
    text.push_str(&table(language, &head, rows));
    text
}
