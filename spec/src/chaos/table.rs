//! The table at the end of a campaign.

use super::evidence::Evidence;
use super::faults::Kind;
use super::judge::Verdict;
use super::ledger::{Book, Ended};
use super::probes::{Loss, Record, Service};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Findings of one class that are shown; the rest is counted.
const SHOWN_MAX: usize = 20;

/// One fault, or two at once, and what followed.
#[derive(Debug, Clone)]
pub struct Incident {
    pub kinds: Vec<Kind>,
    /// Of each, whether a job was open.
    pub met: Vec<bool>,
    pub losses: [Loss; 4],
}

#[derive(Debug, Default)]
pub struct Tally {
    pub incidents: Vec<Incident>,
    /// Moments that did not come.
    pub missed: BTreeMap<Kind, u32>,
}

impl Tally {
    pub fn injected(&self) -> usize {
        self.incidents.iter().map(|incident| incident.kinds.len()).sum()
    }

    pub fn met(&self) -> usize {
        self.incidents.iter().flat_map(|incident| &incident.met).filter(|met| **met).count()
    }

    pub fn count(&self, kind: Kind) -> usize {
        self.incidents.iter().flat_map(|incident| &incident.kinds).filter(|other| **other == kind).count()
    }

    fn met_of(&self, kind: Kind) -> usize {
        let pairs = self.incidents.iter().flat_map(|incident| incident.kinds.iter().zip(&incident.met));
        pairs.filter(|(other, met)| **other == kind && **met).count()
    }

    /// What incidents of this kind alone, or of two kinds, cost a service: medians and longest.
    fn losses(&self, of: impl Fn(&[Kind]) -> bool, service: Service) -> Option<[Duration; 4]> {
        let losses = self.incidents.iter().filter(|incident| of(&incident.kinds));
        let losses: Vec<Loss> = losses.map(|incident| incident.losses[service as usize]).collect();
        let [down, repair] = [|loss: &Loss| loss.down, |loss: &Loss| loss.repair].map(|part| {
            let mut all: Vec<Duration> = losses.iter().map(part).collect();
            all.sort();
            all
        });
        Some([*down.get(down.len() / 2)?, *down.last()?, *repair.get(repair.len() / 2)?, *repair.last()?])
    }

    /// By kind: how often, how often with open jobs, and what it cost each service.
    pub fn text(&self) -> String {
        let mut text =
            String::from("\n  faults                     done  met a job   downtime and repair in s, median/longest\n");
        let _ = writeln!(text, "  {:24} {:>6} {:>10}   {}", "", "", "", header());
        for kind in Kind::ALL {
            let costs = Service::ALL.map(|service| self.losses(|kinds| kinds == [kind], service));
            let missed = self.missed.get(&kind).map(|n| format!("  (moment not caught: {n})")).unwrap_or_default();
            let costs = cells(costs);
            let _ = writeln!(
                text,
                "  {:24} {:>6} {:>10}   {costs}{missed}",
                kind.as_str(),
                self.count(kind),
                self.met_of(kind)
            );
        }
        let two = self.incidents.iter().filter(|incident| incident.kinds.len() > 1).count();
        let costs = cells(Service::ALL.map(|service| self.losses(|kinds| kinds.len() > 1, service)));
        let _ = writeln!(text, "  {:24} {two:>6} {:>10}   {costs}", "two at once", "");
        let _ = writeln!(text, "  {:24} {:>6} {:>10}", "all", self.injected(), self.met());
        text
    }
}

fn header() -> String {
    Service::ALL.map(|service| format!("{:<24}", format!("{} down, repair", service.as_str()))).concat()
}

fn cells(costs: [Option<[Duration; 4]>; 4]) -> String {
    let cell = |cost: Option<[Duration; 4]>| match cost {
        Some(cost) => {
            let [a, b, c, d] = cost.map(|time| time.as_secs_f32());
            format!("{:<24}", format!("{a:.1}/{b:.1}, {c:.1}/{d:.1}"))
        }
        None => format!("{:<24}", "-"),
    };
    costs.map(cell).concat()
}

/// What became of the requests.
pub fn requests(book: &Book) -> String {
    let mut text =
        String::from("\n  requests        accepted  as asked  overtaken  failed    late   median s  longest s\n");
    let mut kinds: Vec<&str> = book.requests.iter().map(|request| request.what).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for what in kinds.iter().copied().chain(["all"]) {
        let of: Vec<_> = book.requests.iter().filter(|r| what == "all" || r.what == what).collect();
        let count = |is: fn(&Ended) -> bool| of.iter().filter(|request| is(&request.ended)).count();
        let mut took: Vec<Duration> =
            of.iter().filter(|r| r.ended == Ended::AsAsked).map(|request| request.took).collect();
        took.sort();
        let at = |place: usize| took.get(place).copied().unwrap_or_default().as_secs_f32();
        let _ = writeln!(
            text,
            "  {what:16} {:>7} {:>9} {:>10} {:>7} {:>7} {:>10.2} {:>10.2}",
            of.len(),
            count(|ended| *ended == Ended::AsAsked),
            count(|ended| *ended == Ended::Overtaken),
            count(|ended| matches!(ended, Ended::Failed { .. })),
            count(|ended| matches!(ended, Ended::Stuck { .. })),
            at(took.len() / 2),
            at(took.len().saturating_sub(1)),
        );
    }
    let mut reasons: BTreeMap<&str, u32> = BTreeMap::new();
    for request in &book.requests {
        if let Ended::Failed { code } = &request.ended {
            *reasons.entry(code).or_default() += 1;
        }
    }
    let _ = writeln!(text, "  failed with a reason: {reasons:?}; refused: {:?}", book.refused);
    text
}

/// The four numbers that must be nought, and what stands behind them.
pub fn verdict(evidence: &Evidence, verdict: &Verdict) -> String {
    let numbers = verdict.classes().map(|(name, found)| format!("{name} {}", found.len())).join(", ");
    let machines = evidence.machines.len();
    let mut text = format!("\n  {numbers} (of {machines} machines and {} disks ever made)\n", evidence.disks.len());
    for (name, found) in verdict.classes() {
        for line in found.iter().take(SHOWN_MAX) {
            let _ = writeln!(text, "    {name}: {line}");
        }
        if found.len() > SHOWN_MAX {
            let _ = writeln!(text, "    {name}: and {} more", found.len() - SHOWN_MAX);
        }
    }
    text
}

/// How often each service was asked, and how long canaries took.
pub fn probes(record: &Record) -> String {
    let counts = record
        .counts()
        .into_iter()
        .map(|(service, asked, down)| format!("{} asked {asked} times, {down} without an answer", service.as_str()));
    let mut canaries = record.canaries();
    canaries.sort();
    let at = |place: usize| canaries.get(place).copied().unwrap_or_default().as_secs_f32();
    let (median, longest) = (at(canaries.len() / 2), at(canaries.len().saturating_sub(1)));
    let told = format!("{} canaries ran after {median:.2} s (median), {longest:.2} s (longest)", canaries.len());
    format!("\n  probes: {}; {told}\n", counts.collect::<Vec<_>>().join("; "))
}
