//! From one version to the next by what changed.
//!
//! Rule: a difference is only put on the very version it was made from, of the same history; what comes out has as many
//! hosts and records as dcmgr counted. Anything else is a gap: the old version is served on, and dcmgr sends the whole.

use super::{Served, SnapshotError, check_host, check_network, domain_of, zone_name};
use arame_schema::jobs::nsa::ChangeNetwork;
use hickory_proto::rr::LowerName;
use std::sync::Arc;

/// Why a difference cannot be put on what is served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    #[error("it is from version {base} of history {history}, and version {served} of history {own} is served")]
    OtherBase { base: u64, history: u64, served: u64, own: u64 },
    #[error("it would make {found} {what}, and {wanted} there are")]
    Count { what: &'static str, found: u64, wanted: u64 },
    #[error(transparent)]
    Contradiction(#[from] SnapshotError),
}

impl Served {
    /// The next version. `self` stays as it is.
    ///
    /// # Errors
    /// A gap.
    pub fn changed(&self, change: &ChangeNetwork, version: u64) -> Result<Served, ChangeError> {
        let same_base = change.base == self.version && change.history == self.history;
        if !same_base {
            let (base, history) = (change.base, change.history);
            return Err(ChangeError::OtherBase { base, history, served: self.version, own: self.history });
        }
        check_network(&change.head)?;
        let mut next = self.clone();
        next.version = version;
        let moved = next.set_head(change)?;
        for vif in &change.hosts_gone {
            next.remove_host(vif);
        }
        for host in &change.hosts {
            next.remove_host(&host.vif);
            next.add_host(host.clone())?;
        }
        let renamed = next.origin_name != self.origin_name;
        if renamed || !change.records.is_empty() || !change.records_gone.is_empty() {
            let domain = domain_of(&next.head);
            next.records = Arc::new(self.records.with(&change.records_gone, &change.records, &domain));
        }
        if moved {
            next.hosts.iter().try_for_each(|(_, host)| check_host(&next.head, host))?;
        }
        next.name_itself()?;
        next.check_counts(change)?;
        Ok(next)
    }

    /// Answers whether addresses have to be looked at again.
    fn set_head(&mut self, change: &ChangeNetwork) -> Result<bool, SnapshotError> {
        let (old, new) = (&*self.head, &change.head);
        let moved = (old.subnet, old.server, old.gateway) != (new.subnet, new.server, new.gateway);
        let origin_name = zone_name(new)?;
        self.origin = LowerName::new(&origin_name);
        self.origin_name = origin_name;
        if *old != change.head {
            self.head = Arc::new(change.head.clone());
            self.prepare();
        }
        Ok(moved)
    }

    fn check_counts(&self, change: &ChangeNetwork) -> Result<(), ChangeError> {
        let counts = [
            ("hosts", self.host_count() as u64, change.host_count),
            ("records", self.record_count() as u64, change.record_count),
        ];
        match counts.into_iter().find(|(_, found, wanted)| found != wanted) {
            Some((what, found, wanted)) => Err(ChangeError::Count { what, found, wanted }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::snapshot;
    use super::*;
    use arame_schema::jobs::nsa::{NetworkHost, NetworkSnapshot};
    use arame_schema::model::NetworkRecord;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};

    fn host(last: u8, name: &str) -> NetworkHost {
        serde_json::from_value(serde_json::json!({
            "vif": format!("vif-{last}"), "instance": "i-x", "mac": format!("52:54:00:00:01:{last:02x}"),
            "ipv4": format!("10.0.0.{last}"), "hostname": name }))
        .unwrap()
    }

    fn record(n: u8) -> NetworkRecord {
        let id = format!("dnr-{n}").parse().unwrap();
        NetworkRecord { id, name: format!("r{n}"), kind: "TXT".into(), value: "x".into(), ttl_seconds: None }
    }

    /// What leads from one snapshot to another, as dcmgr makes it.
    pub(crate) fn difference(from: &Served, to: &NetworkSnapshot) -> ChangeNetwork {
        let old = from.to_snapshot();
        let gone = |vif| to.hosts.iter().all(|host| host.vif != vif);
        ChangeNetwork {
            base: from.version,
            history: from.history,
            head: NetworkSnapshot { hosts: Vec::new(), records: Vec::new(), ..to.clone() },
            hosts: to.hosts.iter().filter(|host| !old.hosts.contains(host)).cloned().collect(),
            hosts_gone: old.hosts.iter().map(|host| host.vif.clone()).filter(|vif| gone(vif.clone())).collect(),
            records: to.records.iter().filter(|record| !old.records.contains(record)).cloned().collect(),
            records_gone: old
                .records
                .iter()
                .map(|r| r.id.clone())
                .filter(|id| to.records.iter().all(|r| r.id != *id))
                .collect(),
            host_count: to.hosts.len() as u64,
            record_count: to.records.len() as u64,
        }
    }

    proptest! {
        #[test]
        fn a_way_of_differences_ends_where_whole_snapshots_do(
            steps in prop::collection::vec((prop::collection::btree_map(3u8..200, "[a-c]{1,2}", 0..40),
                                            prop::collection::btree_set(0u8..20, 0..8), any::<bool>()), 1..8),
        ) {
            let mut served = Served::new(snapshot(), 1, 7).unwrap();
            for (version, (hosts, records, renamed)) in (2..).zip(&steps) {
                let mut next = snapshot();
                next.hosts = hosts.iter().map(|(last, name)| host(*last, name)).collect();
                next.records = records.iter().map(|n| record(*n)).collect();
                if *renamed { next.domain = "other.example".into(); }
                let changed = served.changed(&difference(&served, &next), version).unwrap();
                let whole = Served::new(next, version, 7).unwrap();
                prop_assert!(crate::snapshot::is_same(&changed.to_snapshot(), &whole.to_snapshot()));
                for name in ["a", "b", "ab", "ns", "ns0"] {
                    prop_assert_eq!(changed.addresses(name), whole.addresses(name));
                }
                prop_assert_eq!(&changed.records, &whole.records);
                prop_assert_eq!(&changed.name_server, &whole.name_server);
                served = changed;
            }
        }
    }

    /// Versions are made, their differences lost, doubled and late; a gap fetches the whole. Answers how many gaps there
    /// were, and whether all ended right. The sabotage: a difference is believed wherever it comes.
    fn campaign(seed: u64, believes_any: bool) -> (usize, bool) {
        let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
        let mut wanted = snapshot();
        let mut served = Served::new(wanted.clone(), 1, 1).unwrap();
        let (mut version, mut gaps, mut on_their_way): (u64, usize, Vec<(u64, ChangeNetwork)>) = (1, 0, Vec::new());
        // What dcmgr believes is served: it learns of it late.
        let mut believed = served.clone();
        for _ in 0..60 {
            version += 1;
            let last = rng.random_range(20..60);
            let had = wanted.hosts.len();
            wanted.hosts.retain(|host| host.ipv4.octets()[3] != last);
            if wanted.hosts.len() == had {
                wanted.hosts.push(host(last, &format!("h{last}")));
            }
            on_their_way.push((version, difference(&believed, &wanted)));
            let fate = rng.random_range(0..4);
            if fate == 0 {
                on_their_way.pop();
            }
            if fate < 2 || on_their_way.is_empty() {
                continue;
            }
            let late = rng.random_range(0..on_their_way.len().min(3));
            let (to, mut change) = on_their_way[on_their_way.len() - 1 - late].clone();
            if to <= served.version {
                continue;
            }
            if believes_any {
                (change.base, change.history) = (served.version, served.history);
                let is_there = |vif| served.hosts.get(vif).is_some();
                let come = change.hosts.iter().filter(|host| !is_there(&host.vif)).count();
                let gone = change.hosts_gone.iter().filter(|vif| is_there(vif)).count();
                change.host_count = (served.host_count() + come - gone) as u64;
            }
            served = match served.changed(&change, to) {
                Ok(next) => next,
                Err(_) => {
                    gaps += 1;
                    Served::new(wanted.clone(), version, 1).unwrap()
                }
            };
            if rng.random_bool(0.5) {
                believed = served.clone();
            }
            if served.version == version && !crate::snapshot::is_same(&served.to_snapshot(), &wanted) {
                return (gaps, false);
            }
        }
        (gaps, true)
    }

    #[test]
    fn whatever_is_lost_or_late_a_version_is_what_it_was_made_as() {
        let runs: Vec<_> = (0..200).map(|seed| campaign(seed, false)).collect();
        let gaps: usize = runs.iter().map(|(gaps, _)| gaps).sum();
        println!("200 histories of 60 versions, {gaps} gaps");
        assert!(gaps > 500, "too few gaps: {gaps}");
        assert!(runs.iter().all(|(_, right)| *right));
        let found = (0..200).filter(|seed| !campaign(*seed, true).1).count();
        assert!(found > 50, "the sabotage was found by {found} of 200");
    }

    #[test]
    fn a_difference_from_another_version_history_or_count_is_a_gap() {
        let served = Served::new(snapshot(), 4, 7).unwrap();
        let mut next = snapshot();
        next.hosts.push(host(50, "new"));
        let good = difference(&served, &next);
        assert_eq!(served.changed(&good, 5).unwrap().host_count(), 3, "the control");
        for broken in [
            ChangeNetwork { base: 3, ..good.clone() },
            ChangeNetwork { history: 8, ..good.clone() },
            ChangeNetwork { host_count: 4, ..good.clone() },
            ChangeNetwork { record_count: 1, ..good.clone() },
            ChangeNetwork { hosts: vec![host(10, "thief")], ..good.clone() },
        ] {
            assert!(served.changed(&broken, 5).is_err(), "{broken:?}");
        }
        let mut moved = good.clone();
        moved.head.gateway = Some(served.to_snapshot().hosts[0].ipv4);
        assert!(matches!(served.changed(&moved, 5), Err(ChangeError::Contradiction(_))));
        assert_eq!((served.version, served.host_count()), (4, 2), "and what is served stays");
    }
}
