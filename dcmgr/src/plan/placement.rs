//! Where an instance goes: every host gets a verdict per rule; the least loaded of those that fit is chosen.

/// What the instance asks of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    pub cpu_offered: u64,
    pub cpu_used: u64,
    pub memory_offered: u64,
    pub memory_used: u64,
    pub disk_offered: u64,
    pub disk_used: u64,
}

/// Virtual CPUs promised per real one: guests of a small cloud idle most of the time; memory is never promised twice.
pub const CPU_OVERCOMMIT: u64 = 8;

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
        && free(host.cpu_offered * CPU_OVERCOMMIT, host.cpu_used) >= demand.cpu_cores
        && free(host.memory_offered, host.memory_used) >= demand.memory_mib
        && free(host.disk_offered, host.disk_used) >= demand.disk_mib
        && demand.host.as_ref().is_none_or(|asked| *asked == host.host)
        && !demand.tried.contains(&host.host)
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
        room("cpu_cores", demand.cpu_cores, host.cpu_offered * CPU_OVERCOMMIT, host.cpu_used, ""),
        room("memory_size", demand.memory_mib, host.memory_offered, host.memory_used, " MiB"),
        room("disk_space", demand.disk_mib, host.disk_offered, host.disk_used, " MiB"),
    ];
    if let Some(asked) = &demand.host {
        rules.push(yes_no("asked_for", asked, host.host.clone(), *asked == host.host));
    }
    if demand.tried.contains(&host.host) {
        rules.push(yes_no("not_tried", "a host that has not failed it", "failed it already".into(), false));
    }
    Verdict { host: host.host.clone(), rules }
}

/// Hosts that fit, best first: the smallest share of memory used after placing, then of CPU, then by name.
pub fn rank(demand: &Demand, hosts: &[Candidate]) -> Vec<String> {
    let share =
        |used: u64, more: u64, offered: u64| ((used + more) * 1_000_000).checked_div(offered).unwrap_or(u64::MAX);
    let mut fitting: Vec<_> = hosts
        .iter()
        .filter(|host| fits(demand, host))
        .map(|host| {
            let memory = share(host.memory_used, demand.memory_mib, host.memory_offered);
            let cpu = share(host.cpu_used, demand.cpu_cores, host.cpu_offered * CPU_OVERCOMMIT);
            (memory, cpu, host.host.clone())
        })
        .collect();
    fitting.sort();
    fitting.into_iter().map(|(_, _, host)| host).collect()
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
        Demand {
            cpu_cores: 1,
            memory_mib,
            disk_mib: 100,
            hypervisor: None,
            arch: "x86_64".into(),
            host: None,
            tried: Vec::new(),
        }
    }

    fn host(name: &str, memory_used: u64) -> Candidate {
        Candidate {
            host: name.into(),
            online: true,
            degraded: None,
            scheduling_enabled: true,
            hypervisor: "kvm".into(),
            arch: "x86_64".into(),
            cpu_offered: 4,
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
        let changes: [fn(&mut Candidate, &mut Demand); 11] = [
            |_, _| {},
            |host, _| host.online = false,
            |host, _| host.degraded = Some("disk".into()),
            |host, _| host.scheduling_enabled = false,
            |_, demand| demand.hypervisor = Some("qemu".into()),
            |_, demand| demand.arch = "arm64".into(),
            |_, demand| demand.cpu_cores = 4 * CPU_OVERCOMMIT + 1,
            |host, _| host.memory_used = 4096,
            |host, _| host.disk_used = 9_901,
            |_, demand| demand.host = Some("hn-b".into()),
            |_, demand| demand.tried = vec!["hn-a".into()],
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
