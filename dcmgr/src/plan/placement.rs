//! Where an instance goes: every host gets a verdict per rule; of those that fit the emptiest is chosen, or the fullest
//! where guests are packed.

use arame_schema::model::placement::{PlacementPolicy, PlacementWeight};
use std::collections::BTreeMap;

/// The others of an instance's group, where they are or are going.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    pub group: String,
    pub policy: PlacementPolicy,
    /// How many of them each host has.
    pub at: BTreeMap<String, u64>,
    /// Whose group it is, and who is not counted.
    pub account: String,
    pub instance: String,
}

impl Company {
    fn at(&self, host: &str) -> u64 {
        self.at.get(host).copied().unwrap_or(0)
    }

    /// Whether the host is one that the group's rule allows.
    fn allows(&self, host: &str) -> bool {
        match self.policy {
            PlacementPolicy::Apart => self.at(host) == 0,
            PlacementPolicy::Together => self.at.is_empty() || self.at(host) > 0,
            PlacementPolicy::Spread => true,
        }
    }
}

/// What the instance asks of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    pub cpu_cores: u64,
    pub memory_mib: u64,
    pub disk_mib: u64,
    /// `None`: any.
    pub hypervisor: Option<String>,
    pub arch: String,
    /// Only this host.
    pub host: Option<String>,
    /// Hosts that failed it already.
    pub tried: Vec<String>,
    /// Only hosts of this group: its id and its members.
    pub node_group: Option<(String, Vec<String>)>,
    pub company: Option<Company>,
    pub weight: PlacementWeight,
}

/// A host as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub host: String,
    pub online: bool,
    pub degraded: Option<String>,
    pub scheduling_enabled: bool,
    pub hypervisor: String,
    pub arch: String,
    /// Virtual CPUs that it promises in all.
    pub cpu_offered: u64,
    pub cpu_used: u64,
    /// Without what it keeps for itself, as the disk's.
    pub memory_offered: u64,
    pub memory_used: u64,
    pub disk_offered: u64,
    pub disk_used: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub name: &'static str,
    pub needed: String,
    pub had: String,
    pub ok: bool,
    /// How far it is from fitting, in the rule's unit; orders the smallest change.
    pub lacks: u64,
    /// The host's whole room, when even that is less than what is needed: nothing that becomes free helps.
    pub beyond: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub host: String,
    pub rules: Vec<Rule>,
}

impl Verdict {
    pub fn fits(&self) -> bool {
        self.rules.iter().all(|rule| rule.ok)
    }
}

/// Whether a host fits, without the words: what [`judge`] says of every rule.
pub fn fits(demand: &Demand, host: &Candidate) -> bool {
    let free = |offered: u64, used: u64| offered.saturating_sub(used);
    host.online
        && host.degraded.is_none()
        && host.scheduling_enabled
        && demand.hypervisor.as_ref().is_none_or(|asked| *asked == host.hypervisor)
        && demand.arch == host.arch
        && free(host.cpu_offered, host.cpu_used) >= demand.cpu_cores
        && free(host.memory_offered, host.memory_used) >= demand.memory_mib
        && free(host.disk_offered, host.disk_used) >= demand.disk_mib
        && demand.host.as_ref().is_none_or(|asked| *asked == host.host)
        && !demand.tried.contains(&host.host)
        && demand.node_group.as_ref().is_none_or(|(_, members)| members.contains(&host.host))
        && demand.company.as_ref().is_none_or(|company| company.allows(&host.host))
}

/// Judges one host.
pub fn judge(demand: &Demand, host: &Candidate) -> Verdict {
    let yes_no = |name, needed: &str, had: String, ok: bool| Rule {
        name,
        needed: needed.into(),
        had,
        ok,
        lacks: u64::from(!ok),
        beyond: None,
    };
    let room = |name, needed: u64, offered: u64, used: u64, unit: &str| {
        let free = offered.saturating_sub(used);
        Rule {
            name,
            needed: format!("{needed}{unit}"),
            had: format!("{free}{unit}"),
            ok: free >= needed,
            lacks: needed.saturating_sub(free),
            beyond: (needed > offered).then_some(offered),
        }
    };
    let hypervisor = demand.hypervisor.clone().unwrap_or_else(|| host.hypervisor.clone());
    let mut rules = vec![
        yes_no("online", "online", if host.online { "online" } else { "offline" }.into(), host.online),
        yes_no("not_degraded", "well", host.degraded.clone().unwrap_or_else(|| "well".into()), host.degraded.is_none()),
        yes_no(
            "scheduling_enabled",
            "yes",
            if host.scheduling_enabled { "yes" } else { "no" }.into(),
            host.scheduling_enabled,
        ),
        yes_no("hypervisor", &hypervisor, host.hypervisor.clone(), hypervisor == host.hypervisor),
        yes_no("arch", &demand.arch, host.arch.clone(), demand.arch == host.arch),
        room("cpu_cores", demand.cpu_cores, host.cpu_offered, host.cpu_used, ""),
        room("memory_size", demand.memory_mib, host.memory_offered, host.memory_used, " MiB"),
        room("disk_space", demand.disk_mib, host.disk_offered, host.disk_used, " MiB"),
    ];
    if demand.weight == PlacementWeight::Pack {
        // No rule that can be broken: it tells why a fuller host came before an emptier one.
        let full = memory_share(demand, host).min(1_000_000) / 10_000;
        rules.push(yes_no("packed", "the fullest", format!("{full} %"), true));
    }
    if let Some(asked) = &demand.host {
        rules.push(yes_no("asked_for", asked, host.host.clone(), *asked == host.host));
    }
    if demand.tried.contains(&host.host) {
        rules.push(yes_no("not_tried", "a host that has not failed it", "failed it already".into(), false));
    }
    if let Some((group, members)) = &demand.node_group {
        let is_member = members.contains(&host.host);
        rules.push(yes_no("node_group", group, if is_member { group.clone() } else { "-".into() }, is_member));
    }
    if let Some(company) = &demand.company {
        let needed = match company.policy {
            PlacementPolicy::Apart => "0",
            PlacementPolicy::Together => ">= 1",
            PlacementPolicy::Spread => ">= 0",
        };
        let rule = match company.policy {
            PlacementPolicy::Apart => "apart_from",
            PlacementPolicy::Together => "together_with",
            PlacementPolicy::Spread => "spread_from",
        };
        let had = format!("{} ({})", company.at(&host.host), company.group);
        rules.push(yes_no(rule, needed, had, company.allows(&host.host)));
    }
    Verdict { host: host.host.clone(), rules }
}

/// In millionths of what is offered.
fn share(used: u64, more: u64, offered: u64) -> u64 {
    ((used + more) * 1_000_000).checked_div(offered).unwrap_or(u64::MAX)
}

/// Of its memory, when it has the instance too.
fn memory_share(demand: &Demand, host: &Candidate) -> u64 {
    share(host.memory_used, demand.memory_mib, host.memory_offered)
}

/// Hosts that fit, best first: of a group that is spread the fewest others, then the smallest share of memory used after
/// placing (the greatest where guests are packed), then of CPU, then by name.
pub fn rank(demand: &Demand, hosts: &[Candidate]) -> Vec<String> {
    let mut fitting: Vec<_> = hosts
        .iter()
        .filter(|host| fits(demand, host))
        .map(|host| {
            let weighed = |share: u64| match demand.weight {
                PlacementWeight::Spread => share,
                PlacementWeight::Pack => u64::MAX - share,
            };
            let memory = weighed(memory_share(demand, host));
            let cpu = weighed(share(host.cpu_used, demand.cpu_cores, host.cpu_offered));
            let spread = demand.company.as_ref().filter(|company| company.policy == PlacementPolicy::Spread);
            (spread.map_or(0, |company| company.at(&host.host)), memory, cpu, host.host.clone())
        })
        .collect();
    fitting.sort();
    fitting.into_iter().map(|(.., host)| host).collect()
}

/// The one rule whose change would let the demand fit, of the host that needs the fewest changes: of the host that was
/// asked for, if one was. A host that has the room when others leave comes before one that never has it.
pub fn smallest_change(verdicts: &[Verdict]) -> Option<(&Verdict, &Rule)> {
    let broken = |verdict: &Verdict| verdict.rules.iter().filter(|rule| !rule.ok).count();
    let nearest = verdicts.iter().filter(|verdict| !verdict.fits()).min_by_key(|verdict| {
        let too_small = verdict.rules.iter().any(|rule| rule.beyond.is_some());
        let is_another = verdict.rules.iter().any(|rule| rule.name == "asked_for" && !rule.ok);
        (is_another, broken(verdict), too_small, verdict.rules.iter().map(|rule| rule.lacks).sum::<u64>())
    })?;
    let mut broken: Vec<&Rule> = nearest.rules.iter().filter(|rule| !rule.ok).collect();
    broken.sort_by_key(|rule| rule.beyond.is_none());
    broken.first().map(|rule| (nearest, *rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(memory_mib: u64) -> Demand {
        Demand { cpu_cores: 1, memory_mib, disk_mib: 100, hypervisor: None, arch: "x86_64".into(), ..Demand::default() }
    }

    fn company(policy: PlacementPolicy, at: &[(&str, u64)]) -> Option<Company> {
        let at = at.iter().map(|(host, count)| ((*host).to_owned(), *count)).collect();
        Some(Company { group: "web".into(), policy, at, account: "a-demo".into(), instance: "i-new".into() })
    }

    fn host(name: &str, memory_used: u64) -> Candidate {
        Candidate {
            host: name.into(),
            online: true,
            degraded: None,
            scheduling_enabled: true,
            hypervisor: "kvm".into(),
            arch: "x86_64".into(),
            cpu_offered: 32,
            cpu_used: 0,
            memory_offered: 4096,
            memory_used,
            disk_offered: 10_000,
            disk_used: 0,
        }
    }

    #[test]
    fn the_emptier_host_is_chosen() {
        let hosts = [host("hn-a", 2048), host("hn-b", 512)];
        assert_eq!(rank(&demand(256), &hosts), vec!["hn-b".to_owned(), "hn-a".to_owned()]);
    }

    #[test]
    fn where_guests_are_packed_the_fuller_host_is_chosen_as_long_as_it_fits_and_says_so() {
        let hosts = [host("hn-a", 2048), host("hn-b", 512), host("hn-c", 4000)];
        let packed = Demand { weight: PlacementWeight::Pack, ..demand(256) };
        assert_eq!(rank(&packed, &hosts), ["hn-a", "hn-b"], "the fullest of all has no room");
        assert_eq!(rank(&demand(256), &hosts), ["hn-b", "hn-a"], "the control");
        let told = |demand: &Demand| judge(demand, &hosts[0]).rules.into_iter().find(|rule| rule.name == "packed");
        assert_eq!(told(&packed).map(|rule| (rule.had, rule.ok)), Some(("56 %".to_owned(), true)));
        assert_eq!(told(&demand(256)), None);
        let spread = Demand { company: company(PlacementPolicy::Spread, &[("hn-a", 1)]), ..packed };
        assert_eq!(rank(&spread, &hosts), ["hn-b", "hn-a"], "what its group wishes comes first");
    }

    #[test]
    fn a_silent_host_is_never_chosen() {
        let mut silent = host("hn-a", 0);
        silent.online = false;
        assert!(rank(&demand(256), &[silent.clone()]).is_empty());
        let verdict = judge(&demand(256), &silent);
        assert_eq!(verdict.rules.iter().filter(|rule| !rule.ok).map(|rule| rule.name).collect::<Vec<_>>(), ["online"]);
    }

    #[test]
    fn whether_a_host_fits_is_what_its_rules_say() {
        let good = host("hn-a", 0);
        let changes: [fn(&mut Candidate, &mut Demand); 14] = [
            |_, _| {},
            |host, _| host.online = false,
            |host, _| host.degraded = Some("disk".into()),
            |host, _| host.scheduling_enabled = false,
            |_, demand| demand.hypervisor = Some("qemu".into()),
            |_, demand| demand.arch = "arm64".into(),
            |_, demand| demand.cpu_cores = 33,
            |host, _| host.memory_used = 4096,
            |host, _| host.disk_used = 9_901,
            |_, demand| demand.host = Some("hn-b".into()),
            |_, demand| demand.tried = vec!["hn-a".into()],
            |_, demand| demand.node_group = Some(("hng-x".into(), vec!["hn-b".into()])),
            |_, demand| demand.company = company(PlacementPolicy::Apart, &[("hn-a", 1)]),
            |_, demand| demand.company = company(PlacementPolicy::Together, &[("hn-b", 1)]),
        ];
        let verdicts = changes.map(|change| {
            let (mut host, mut demand) = (good.clone(), demand(100));
            change(&mut host, &mut demand);
            assert_eq!(fits(&demand, &host), judge(&demand, &host).fits(), "{demand:?} {host:?}");
            fits(&demand, &host)
        });
        assert_eq!(verdicts.iter().filter(|fits| **fits).count(), 1, "each change breaks a rule");
    }

    #[test]
    fn a_group_keeps_apart_together_or_prefers_the_host_with_the_fewest_of_it() {
        let hosts = [host("hn-a", 0), host("hn-b", 2048), host("hn-c", 1024)];
        let ranked = |policy, at: &[(&str, u64)]| rank(&Demand { company: company(policy, at), ..demand(100) }, &hosts);
        let there = [("hn-a", 2), ("hn-c", 1)];
        assert_eq!(ranked(PlacementPolicy::Apart, &there), ["hn-b"]);
        assert_eq!(ranked(PlacementPolicy::Together, &there), ["hn-a", "hn-c"]);
        assert_eq!(ranked(PlacementPolicy::Spread, &there), ["hn-b", "hn-c", "hn-a"]);
        for policy in PlacementPolicy::ALL {
            assert_eq!(
                ranked(policy, &[]),
                ["hn-a", "hn-c", "hn-b"],
                "the first of its group goes where there is room"
            );
        }
    }

    #[test]
    fn the_smallest_change_names_the_host_that_is_nearest() {
        let verdicts = [judge(&demand(4000), &host("hn-a", 2048)), judge(&demand(4000), &host("hn-b", 200))];
        let (verdict, rule) = smallest_change(&verdicts).unwrap();
        assert_eq!((verdict.host.as_str(), rule.name, rule.lacks), ("hn-b", "memory_size", 104));
    }

    #[test]
    fn of_a_host_that_was_asked_for_its_own_reason_is_told() {
        let asked = Demand { host: Some("hn-b".into()), ..demand(4000) };
        let verdicts = [judge(&asked, &host("hn-a", 0)), judge(&asked, &host("hn-b", 200))];
        let (verdict, rule) = smallest_change(&verdicts).unwrap();
        assert_eq!((verdict.host.as_str(), rule.name), ("hn-b", "memory_size"));
        let unknown = Demand { host: Some("hn-c".into()), ..demand(100) };
        let verdicts = [judge(&unknown, &host("hn-a", 0))];
        assert_eq!(smallest_change(&verdicts).unwrap().1.name, "asked_for", "the control: there is no such host");
    }

    #[test]
    fn what_no_host_has_room_for_is_too_large_and_what_another_holds_may_become_free() {
        let beyond = |hosts: &[Candidate]| {
            let verdicts: Vec<Verdict> = hosts.iter().map(|host| judge(&demand(5000), host)).collect();
            smallest_change(&verdicts).map(|(verdict, rule)| (verdict.host.clone(), rule.name, rule.beyond))
        };
        let (mut large, small) = (host("hn-a", 4096), host("hn-b", 0));
        assert_eq!(beyond(std::slice::from_ref(&small)), Some(("hn-b".into(), "memory_size", Some(4096))));
        large.memory_offered = 8192;
        assert_eq!(beyond(&[large, small]), Some(("hn-a".into(), "memory_size", None)));
    }

    #[test]
    fn a_host_that_failed_it_is_not_tried_again() {
        let mut asked = demand(100);
        asked.tried.push("hn-a".into());
        assert_eq!(rank(&asked, &[host("hn-a", 0), host("hn-b", 4000 - 100)]), vec!["hn-b".to_owned()]);
    }
}
