//! Chooses a host: ranked without locks, the winner locked and judged again, the next taken if it no longer fits.

use super::advance::{Cause, snapshot};
use super::{AppError, Ringing};
use crate::db::instances::InstanceRow;
use crate::db::{self, Tx};
use crate::plan::placement::{Candidate, Demand, Rule, Verdict, judge, rank, smallest_change};
use arame_schema::api::placement::SmallestChange;
use arame_schema::api::{self, HostVerdict, Refusal, RuleVerdict};

/// An instance is placed at most this often before its failure is final (DESIGN 3.10).
pub const PLACEMENTS_MAX: u32 = 3;

/// The verdicts, without locking or choosing anything.
pub async fn judge_all(tx: &mut Tx, demand: &Demand) -> Result<api::Placement, AppError> {
    let hosts = db::nodes::candidates(tx).await?;
    check_asked(demand, &hosts)?;
    let chosen = rank(demand, &hosts).into_iter().next();
    Ok(told(demand, &hosts, chosen))
}

/// Locks the best host that fits and answers it with the verdicts. `None` in `host`: nothing fits.
pub async fn choose(tx: &mut Tx, demand: &Demand) -> Result<api::Placement, AppError> {
    let mut hosts = db::nodes::candidates(tx).await?;
    check_asked(demand, &hosts)?;
    for name in rank(demand, &hosts) {
        let Some(locked) = db::nodes::lock_candidate(tx, &name).await? else { continue };
        let fits = judge(demand, &locked).fits();
        if let Some(place) = hosts.iter_mut().find(|host| host.host == name) {
            *place = locked;
        }
        if fits {
            return Ok(told(demand, &hosts, Some(name)));
        }
    }
    Ok(told(demand, &hosts, None))
}

/// A host that does not exist is not one that is full.
fn check_asked(demand: &Demand, hosts: &[Candidate]) -> Result<(), AppError> {
    match &demand.host {
        Some(asked) if !hosts.iter().any(|host| host.host == *asked) => Err(Refusal::unknown(asked).into()),
        _ => Ok(()),
    }
}

fn told(demand: &Demand, hosts: &[Candidate], chosen: Option<String>) -> api::Placement {
    let verdicts: Vec<Verdict> = hosts.iter().map(|host| judge(demand, host)).collect();
    let smallest = if chosen.is_none() { smallest_change(&verdicts).map(change) } else { None };
    api::Placement {
        fits: chosen.is_some(),
        host: chosen,
        verdicts: verdicts.iter().map(verdict_view).collect(),
        smallest_change: smallest,
    }
}

fn verdict_view(verdict: &Verdict) -> HostVerdict {
    let rule = |rule: &Rule| RuleVerdict {
        rule: rule.name.to_owned(),
        needed: rule.needed.clone(),
        had: rule.had.clone(),
        ok: rule.ok,
    };
    HostVerdict { host: verdict.host.clone(), fits: verdict.fits(), rules: verdict.rules.iter().map(rule).collect() }
}

/// Codes and values of the catalogue's changes (`schema::api::catalogue`).
fn change((verdict, rule): (&Verdict, &Rule)) -> SmallestChange {
    let code = match rule.name {
        "online" => "bring_online",
        "not_degraded" => "repair_host",
        "scheduling_enabled" => "enable_scheduling",
        "cpu_cores" => "free_cpu",
        "memory_size" => "free_memory",
        "disk_space" => "free_disk",
        _ => "other_host",
    };
    SmallestChange::new(code)
        .with("host", &verdict.host)
        .with("rule", rule.name)
        .with("amount", rule.lacks)
        .with("needed", &rule.needed)
        .with("had", &rule.had)
}

/// Places an instance anew after its host failed it. Answers false when it cannot: the reason is on the row.
pub async fn replace(tx: &mut Tx, ringing: &mut Ringing, row: &InstanceRow) -> Result<bool, AppError> {
    let image = db::access::find_image(tx, &row.image).await?;
    let demand = Demand {
        cpu_cores: u64::from(row.cpu_cores),
        memory_mib: row.memory_mib,
        disk_mib: row.disk_mib,
        hypervisor: None,
        arch: image.map(|image| image.arch).unwrap_or_default(),
        host: None,
        tried: row.tried_hosts.clone(),
    };
    let placement = choose(tx, &demand).await?;
    let Some(host) = placement.host.clone() else {
        give_up(tx, row).await?;
        return Ok(false);
    };
    let old = row.host.clone().unwrap_or_default();
    let version = db::nodes::bump_policy(tx, &host).await?;
    db::nodes::bump_policy(tx, &old).await?;
    let told = serde_json::to_string(&placement).unwrap_or_default();
    db::instances::set_host(tx, &row.id, &host, version, &told).await?;
    db::networks::move_vifs(tx, &row.id, &host).await?;
    db::volumes::renew_exports(tx, &row.id).await?;
    let values = [("from", old.clone()), ("host", host.clone())];
    let event = db::events::NewEvent {
        account: Some(&row.account),
        resource: &row.id,
        code: "placed_elsewhere",
        values: &values,
        job: None,
        request: None,
    };
    db::events::insert(tx, &event).await?;
    snapshot::policy(tx, ringing, &old, Cause::fact()).await?;
    snapshot::policy(tx, ringing, &host, Cause::fact()).await?;
    Ok(true)
}

/// Every host that fits has failed it: what the last one said is the reason.
async fn give_up(tx: &mut Tx, row: &InstanceRow) -> Result<(), AppError> {
    let last = db::jobs::last_error(tx, &row.id).await?;
    let (code, said) = last.unwrap_or_else(|| ("no_host_left".into(), "no host is left that fits".into()));
    let message = format!("{said} (no other host fits that has not failed it)");
    db::instances::set_failure(tx, &row.id, Some((&code, &message)), true).await?;
    let values = [("code", code), ("message", message)];
    let event = db::events::NewEvent {
        account: Some(&row.account),
        resource: &row.id,
        code: "failed",
        values: &values,
        job: None,
        request: None,
    };
    db::events::insert(tx, &event).await?;
    Ok(())
}

/// A group's members changed: hosts whose rules name the group get a new policy. `but` has one already. Answers them
/// with the version that knows the change.
pub async fn members_changed(
    tx: &mut Tx,
    ringing: &mut Ringing,
    groups: &[String],
    but: &str,
) -> Result<Vec<(String, u64)>, AppError> {
    let mut hosts = Vec::new();
    for group in groups {
        for host in db::networks::hosts_that_name(tx, group).await? {
            if host != but && !hosts.contains(&host) {
                hosts.push(host);
            }
        }
    }
    hosts.sort();
    let mut told = Vec::with_capacity(hosts.len());
    for host in hosts {
        let version = db::nodes::bump_policy(tx, &host).await?;
        snapshot::policy(tx, ringing, &host, Cause::fact()).await?;
        told.push((host, version));
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::api::catalogue::change as words;
    use arame_schema::api::{Language, Localise};

    #[test]
    fn every_broken_rule_has_a_change_in_words_without_gaps() {
        let demand = Demand {
            cpu_cores: 99,
            memory_mib: 9999,
            disk_mib: 9999,
            hypervisor: Some("kvm".into()),
            arch: "arm64".into(),
            host: Some("hn-b".into()),
            tried: vec!["hn-a".into()],
        };
        let host = Candidate {
            host: "hn-a".into(),
            online: false,
            degraded: Some("disk".into()),
            scheduling_enabled: false,
            hypervisor: "qemu".into(),
            arch: "x86_64".into(),
            cpu_offered: 1,
            cpu_used: 0,
            memory_offered: 1,
            memory_used: 0,
            disk_offered: 1,
            disk_used: 0,
        };
        let verdict = judge(&demand, &host);
        assert_eq!(verdict.rules.iter().filter(|rule| !rule.ok).count(), 10, "a rule is not broken here");
        for rule in &verdict.rules {
            let mut told = change((&verdict, rule));
            assert_eq!(words(&told.code).code, told.code, "no words for {}", told.code);
            for language in [Language::En, Language::Ja] {
                told.localise(language);
                assert!(!told.sentence.contains('?'), "{}: {}", rule.name, told.sentence);
            }
        }
    }
}
