//! Chooses a host: ranked without locks, the winner locked and judged again, the next taken if it no longer fits.

pub mod company;

use super::advance::{Cause, snapshot};
use super::{AppError, Ringing};
use crate::db::instances::InstanceRow;
use crate::db::{self, Tx};
use crate::plan::placement::{Candidate, Demand, Rule, Verdict, fits, judge, rank, smallest_change};
use arame_schema::api::placement::SmallestChange;
use arame_schema::api::{self, HostVerdict, Refusal, RuleVerdict};
use company::Wishes;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// An instance is placed at most this often before its failure is final (DESIGN 3.10).
pub const PLACEMENTS_MAX: u32 = 3;

/// Verdicts told of a placement that found no host: what a person reads.
const VERDICTS_MAX: usize = 50;

/// Verdicts told and stored of one that did. Each is some 600 bytes in the row of an instance: 50 of them made 20,000
/// launches on 1,000 hosts 600 MB, of which little fits into the database's memory.
const VERDICTS_OF_A_FIT: usize = 12;

/// From this many hosts on, or virtual CPUs given to guests, they are not read and counted anew for each launch.
const HOSTS_READ_ANEW: usize = 50;
const GUESTS_READ_ANEW: u64 = 500;

/// From this age on a ranking is read anew, by one launch; the others go on with the old one meanwhile. It is only a hint:
/// the winner is locked and judged by what is true then, and nothing is refused by it.
const RANKING_AGE: Duration = Duration::from_secs(1);

/// How long one launch may take to read it before another tries.
const RENEWAL: Duration = Duration::from_secs(2);

/// Hosts as they were read last, with what was placed since by this process.
#[derive(Debug, Default)]
pub struct Hint(Mutex<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    /// When it has to be read anew.
    until: Instant,
    hosts: Vec<Candidate>,
}

impl Hint {
    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None`: the caller reads them anew.
    fn get(&self) -> Option<Vec<Candidate>> {
        let mut kept = self.lock();
        let kept = kept.as_mut()?;
        let now = Instant::now();
        if kept.until <= now {
            kept.until = now + RENEWAL;
            return None;
        }
        Some(kept.hosts.clone())
    }

    fn keep(&self, hosts: &[Candidate]) {
        let guests: u64 = hosts.iter().map(|host| host.cpu_used).sum();
        if hosts.len() > HOSTS_READ_ANEW || guests > GUESTS_READ_ANEW {
            *self.lock() = Some(Kept { until: Instant::now() + RANKING_AGE, hosts: hosts.to_vec() });
        }
    }

    /// So that the next launch goes elsewhere.
    fn place(&self, locked: &Candidate, demand: &Demand) {
        if let Some(kept) = self.lock().as_mut()
            && let Some(host) = kept.hosts.iter_mut().find(|host| host.host == locked.host)
        {
            host.clone_from(locked);
            host.cpu_used += demand.cpu_cores;
            host.memory_used += demand.memory_mib;
            host.disk_used += demand.disk_mib;
        }
    }
}

/// Hosts in the order of their worth, nothing locked yet.
pub struct Ranking {
    hosts: Vec<Candidate>,
    is_new: bool,
}

/// Looks at the hosts: the first part of [`choose`], for callers that hold no lock yet.
pub async fn look(tx: &mut Tx, hint: &Hint, demand: &Demand) -> Result<Ranking, AppError> {
    if let Some(hosts) = hint.get()
        && check_asked(demand, &hosts).is_ok()
    {
        return Ok(Ranking { hosts, is_new: false });
    }
    let hosts = db::nodes::candidates(tx).await?;
    hint.keep(&hosts);
    check_asked(demand, &hosts)?;
    Ok(Ranking { hosts, is_new: true })
}

/// The second part: locks the best host that fits and answers it with the verdicts. `None` in `host`: nothing fits.
pub async fn lock_best(
    tx: &mut Tx,
    hint: &Hint,
    demand: &mut Demand,
    ranking: Ranking,
) -> Result<api::Placement, AppError> {
    let Ranking { mut hosts, is_new } = ranking;
    if let Some(name) = lock_first(tx, hint, demand, &mut hosts).await? {
        return Ok(told(demand, &hosts, Some(name)));
    }
    if is_new {
        return Ok(told(demand, &hosts, None));
    }
    // Nobody is refused by what was true a moment ago.
    let mut hosts = db::nodes::candidates(tx).await?;
    hint.keep(&hosts);
    let found = lock_first(tx, hint, demand, &mut hosts).await?;
    Ok(told(demand, &hosts, found))
}

async fn lock_first(
    tx: &mut Tx,
    hint: &Hint,
    demand: &mut Demand,
    hosts: &mut [Candidate],
) -> Result<Option<String>, AppError> {
    for name in rank(demand, hosts) {
        let Some(locked) = db::nodes::lock_candidate(tx, &name).await? else { continue };
        company::look_again(tx, demand, &name).await?;
        let fits = fits(demand, &locked);
        if fits {
            hint.place(&locked, demand);
        }
        if let Some(place) = hosts.iter_mut().find(|host| host.host == name) {
            *place = locked;
        }
        if fits {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// The verdicts, without locking or choosing anything.
pub async fn judge_all(tx: &mut Tx, demand: &Demand) -> Result<api::Placement, AppError> {
    let hosts = db::nodes::candidates(tx).await?;
    check_asked(demand, &hosts)?;
    let chosen = rank(demand, &hosts).into_iter().next();
    Ok(told(demand, &hosts, chosen))
}

/// Locks the best host that fits and answers it with the verdicts. `None` in `host`: nothing fits.
pub async fn choose(tx: &mut Tx, demand: &mut Demand) -> Result<api::Placement, AppError> {
    let hint = Hint::default();
    let ranking = look(tx, &hint, demand).await?;
    lock_best(tx, &hint, demand, ranking).await
}

/// A host that does not exist is not one that is full.
fn check_asked(demand: &Demand, hosts: &[Candidate]) -> Result<(), AppError> {
    match &demand.host {
        Some(asked) if !hosts.iter().any(|host| host.host == *asked) => Err(Refusal::unknown(asked).into()),
        _ => Ok(()),
    }
}

fn told(demand: &Demand, hosts: &[Candidate], chosen: Option<String>) -> api::Placement {
    let smallest = match chosen {
        Some(_) => None,
        None => {
            let verdicts: Vec<Verdict> = hosts.iter().map(|host| judge(demand, host)).collect();
            smallest_change(&verdicts).map(change)
        }
    };
    let telling = most_telling(demand, hosts, chosen.as_deref());
    api::Placement {
        fits: chosen.is_some(),
        host: chosen,
        left_out: (hosts.len() - telling.len()) as u64,
        verdicts: telling.into_iter().map(|host| verdict_view(&judge(demand, host))).collect(),
        smallest_change: smallest,
    }
}

/// The chosen host and the one asked for, then those that do not fit, then the others; at most [`VERDICTS_MAX`] or
/// [`VERDICTS_OF_A_FIT`], in the order of all.
fn most_telling<'a>(demand: &Demand, hosts: &'a [Candidate], chosen: Option<&str>) -> Vec<&'a Candidate> {
    let mut places: Vec<usize> = (0..hosts.len()).collect();
    let most = if chosen.is_some() { VERDICTS_OF_A_FIT } else { VERDICTS_MAX };
    if places.len() > most {
        let is_named = |host: &str| chosen == Some(host) || demand.host.as_deref() == Some(host);
        places.sort_by_cached_key(|place| (!is_named(&hosts[*place].host), fits(demand, &hosts[*place])));
        places.truncate(most);
        places.sort_unstable();
    }
    places.into_iter().map(|place| &hosts[place]).collect()
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
        "cpu_cores" if rule.beyond.is_some() => "smaller_cpu",
        "cpu_cores" => "free_cpu",
        "memory_size" if rule.beyond.is_some() => "smaller_memory",
        "memory_size" => "free_memory",
        "disk_space" if rule.beyond.is_some() => "smaller_disk",
        "disk_space" => "free_disk",
        "apart_from" => "leave_group",
        "together_with" => "join_group",
        "node_group" => "in_node_group",
        _ => "other_host",
    };
    SmallestChange::new(code)
        .with("host", &verdict.host)
        .with("rule", rule.name)
        .with("amount", rule.beyond.unwrap_or(rule.lacks))
        .with("needed", &rule.needed)
        .with("had", &rule.had)
}

/// Places an instance anew after its host failed it. Answers false when it cannot: the reason is on the row.
pub async fn replace(tx: &mut Tx, ringing: &mut Ringing, row: &InstanceRow) -> Result<bool, AppError> {
    let image = db::access::find_image(tx, &row.image).await?;
    let mut demand = Demand {
        cpu_cores: u64::from(row.cpu_cores),
        memory_mib: row.memory_mib,
        disk_mib: row.disk_mib,
        hypervisor: None,
        arch: image.map(|image| image.arch).unwrap_or_default(),
        host: None,
        tried: row.tried_hosts.clone(),
        ..Demand::default()
    };
    company::add(tx, &mut demand, Wishes::of(row)).await?;
    let placement = choose(tx, &mut demand).await?;
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
    use crate::plan::placement::Company;
    use arame_schema::api::catalogue::change as words;
    use arame_schema::api::{Language, Localise};
    use arame_schema::model::placement::PlacementPolicy;

    fn candidate(name: String, memory_used: u64) -> Candidate {
        Candidate {
            host: name,
            online: true,
            degraded: None,
            scheduling_enabled: true,
            hypervisor: "kvm".into(),
            arch: "x86_64".into(),
            cpu_offered: 8,
            cpu_used: 0,
            memory_offered: 1000,
            memory_used,
            disk_offered: 1000,
            disk_used: 0,
        }
    }

    fn small_demand() -> Demand {
        Demand {
            cpu_cores: 1,
            memory_mib: 10,
            disk_mib: 10,
            hypervisor: None,
            arch: "x86_64".into(),
            ..Demand::default()
        }
    }

    /// So many others on `hn-a`, and one elsewhere.
    fn company_of(policy: PlacementPolicy, here: u64) -> Option<Company> {
        let at = [("hn-a".to_owned(), here), ("hn-z".to_owned(), 1)].into();
        Some(Company { group: "web".into(), policy, at, account: "a-demo".into(), instance: "i-new".into() })
    }

    #[test]
    fn of_many_hosts_the_chosen_and_those_that_do_not_fit_are_told() {
        let full = [7, 500, 900];
        let host = |n: usize| candidate(format!("hn-{n}"), if full.contains(&n) { 1000 } else { 0 });
        let hosts: Vec<Candidate> = (0..1000).map(host).collect();
        let told = told(&small_demand(), &hosts, Some("hn-777".into()));
        let names: Vec<&str> = told.verdicts.iter().map(|verdict| verdict.host.as_str()).collect();
        assert_eq!((names.len(), told.left_out), (VERDICTS_OF_A_FIT, 988));
        assert!(["hn-7", "hn-500", "hn-777", "hn-900"].iter().all(|name| names.contains(name)), "{names:?}");
        let asked = Demand { host: Some("hn-999".into()), memory_mib: 10_000, ..small_demand() };
        let refused = super::told(&asked, &hosts, None);
        assert_eq!((refused.verdicts.len(), refused.left_out), (VERDICTS_MAX, 950));
        assert!(refused.verdicts.iter().any(|verdict| verdict.host == "hn-999"), "the one asked for is told of");
        let few = super::told(&small_demand(), &hosts[..10], Some("hn-3".into()));
        assert_eq!((few.verdicts.len(), few.left_out), (10, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_ranking_that_is_kept_knows_what_was_placed_since_and_is_soon_forgotten() {
        let hint = Hint::default();
        let hosts: Vec<Candidate> = (0..=HOSTS_READ_ANEW).map(|n| candidate(format!("hn-{n:03}"), 0)).collect();
        hint.keep(&hosts[1..]);
        assert!(hint.get().is_none(), "so few are read each time");
        hint.keep(&hosts);
        hint.place(&hosts[0], &small_demand());
        let best = rank(&small_demand(), &hint.get().unwrap()).remove(0);
        assert_eq!(best, "hn-001", "the first has one more than the others");
        tokio::time::advance(RANKING_AGE).await;
        assert!(hint.get().is_none());
    }

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
            node_group: Some(("hng-x".into(), Vec::new())),
            company: company_of(PlacementPolicy::Apart, 1),
            weight: Default::default(),
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
        assert_eq!(verdict.rules.iter().filter(|rule| !rule.ok).count(), 12, "a rule is not broken here");
        let alone = Demand { company: company_of(PlacementPolicy::Together, 0), ..small_demand() };
        let elsewhere = judge(&alone, &host).rules.into_iter().filter(|rule| rule.name == "together_with");
        for rule in verdict.rules.iter().cloned().chain(elsewhere) {
            let mut told = change((&verdict, &rule));
            assert_eq!(words(&told.code).code, told.code, "no words for {}", told.code);
            for language in [Language::En, Language::Ja] {
                told.localise(language);
                assert!(!told.sentence.contains('?'), "{}: {}", rule.name, told.sentence);
            }
        }
    }
}
