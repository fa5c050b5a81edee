//! `hva.policy.apply`: the whole firewall of the host, one version.
//!
//! Rule: a version never goes back. It is on disk before it is on the switch, so that a restarted agent or switch
//! repairs to it; established connections are not touched.

use super::effect;
use crate::Hva;
use crate::policy::Policy;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::hva::ApplyPolicy;
use arame_schema::jobs::report::{FactReport, Retry};
use arame_schema::model::{Fact, FactName};
use std::sync::Arc;

pub async fn apply(hva: &Hva, job: ApplyPolicy, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    if job.host != hva.config.host {
        let message = format!("the policy is for {}, this is {}", job.host, hva.config.host);
        return Err(Stopped::failed("wrong_agent", message, Retry::Never));
    }
    let observed = work.standing.observe();
    let current = hva.policy.load_full();
    if current.version > work.generation {
        let mut fact = work.fact(FactName::Applied, Fact::Yes, observed);
        fact.generation = current.version;
        return Err(Stopped::Refused { found_generation: current.version, facts: vec![fact] });
    }
    let policy = Arc::new(Policy::new(work.generation, job));
    if *policy != *current {
        effect(work, hva.store.keep_policy(&policy)).await?;
        hva.policy.store(policy.clone());
        hva.guests.set_policy(&policy);
    }
    effect(work, hva.switch.ensure_policy(policy)).await?;
    Ok(vec![work.fact(FactName::Applied, Fact::Yes, observed)])
}
