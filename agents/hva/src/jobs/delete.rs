//! `hva.instance.delete`: every part of the instance leaves this host, whatever state it is in.
//!
//! Rule: the guest first, the record last: a delete that was killed finds the rest by the record. What is not there is
//! done. The generation is remembered for a day, so that a job frozen on its way cannot raise the dead.

use super::{Found, effect, facts_of, find};
use crate::Hva;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::FactReport;
use arame_schema::model::{Fact, FactName, InstanceId};

pub async fn delete(hva: &Hva, instance: &InstanceId, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let before = find(hva, instance).await?;
    before.admit(work)?;
    effect(work, hva.compute.ensure_gone(instance)).await?;
    hva.guests.remove(instance);
    effect(work, hva.switch.ensure_no_ports(instance, &[])).await?;
    let generation = work.generation.max(before.grave.unwrap_or(0));
    effect(work, hva.store.bury(instance, generation)).await?;
    answer(hva, instance, &before, work).await
}

/// Nothing is left: seen, not concluded.
async fn answer(hva: &Hva, instance: &InstanceId, before: &Found, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let observed = work.standing.observe();
    let after = find(hva, instance).await?;
    let mut facts = facts_of(&after, instance, observed);
    let attachments = before.attachments().into_iter().map(|attachment| attachment.to_string());
    for plug in attachments.chain(before.vifs().into_iter().map(|vif| vif.to_string())) {
        if !facts.iter().any(|fact| fact.thing == plug) {
            let mut fact = work.fact(FactName::Plugged, Fact::No, observed);
            fact.thing = plug;
            facts.push(fact);
        }
    }
    for fact in &mut facts {
        fact.generation = fact.generation.max(work.generation);
    }
    Ok(facts)
}
