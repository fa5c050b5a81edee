//! Figures of guests: the readings of the last hour, in bounded memory, as an answer and as series for
//! `/metrics`.
//!
//! ```text
//! driver ── every 10 s ──► last two readings ── one a minute ──► the last hour
//!                                   └──────────────┬──────────────────┘
//!                        hva.figures (from memory, at once)    /metrics
//! ```
//!
//! Rule: whoever asks is answered from memory: a hypervisor that hangs makes figures old, and nothing else. Nothing is
//! concluded from them, no state and no fact.

use crate::driver::meters::Meters;
use arame_framework::history::{History, KEPT};
use arame_framework::metrics::{Form, Sample};
use arame_schema::jobs::figures::{DiskTotals, FiguresAnswer, Reading, Totals, VifTotals};
use arame_schema::model::{InstanceId, VifId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// Guests remembered at most: more than a host can run.
const GUESTS_MAX: usize = 4096;

/// The figures of a host's guests.
#[derive(Debug)]
pub struct Figures {
    every: Duration,
    guests: Mutex<BTreeMap<InstanceId, History<Totals>>>,
}

impl Figures {
    pub fn new(every: Duration) -> Self {
        Self { every, guests: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<InstanceId, History<Totals>>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what was read at `at`. Guests that are not in it are remembered for an hour.
    pub fn take(&self, at: Instant, read: Vec<(InstanceId, Totals)>) {
        let mut guests = self.lock();
        for (instance, totals) in read {
            if guests.len() < GUESTS_MAX || guests.contains_key(&instance) {
                guests.entry(instance).or_default().take(at, totals);
            }
        }
        guests.retain(|_, history| history.newest(at).is_some_and(|(age, _)| age <= KEPT));
    }

    /// The answer to `hva.figures`.
    pub fn answer(&self, instance: &InstanceId, now: Instant) -> FiguresAnswer {
        let told =
            |(age, totals): (Duration, &Totals)| Reading { age_ms: age.as_millis() as u64, totals: totals.clone() };
        let readings = self.lock().get(instance).map(|one| one.readings(now).into_iter().map(told).collect());
        let readings = readings.unwrap_or_default();
        FiguresAnswer { instance: instance.clone(), every_ms: self.every.as_millis() as u64, readings }
    }

    /// For `/metrics`, each guest's labelled by its id. A guest that was not read for three rounds is left out: a scraper knows
    /// what to make of a series that ends, not of one that stands still.
    pub fn samples(&self, now: Instant) -> Vec<Sample> {
        let guests = self.lock();
        let is_fresh = |(age, _): &(Duration, &Totals)| *age <= self.every * 3;
        let newest =
            guests.iter().filter_map(|(instance, history)| Some((instance, history.newest(now).filter(is_fresh)?.1)));
        newest
            .flat_map(|(instance, totals)| {
                let all = of_guest(totals).into_iter().chain(of_disks(totals)).chain(of_vifs(totals));
                all.map(move |sample| sample.of("instance", instance))
            })
            .collect()
    }
}

fn of_guest(totals: &Totals) -> Vec<Sample> {
    const KIB: f64 = 1024.0;
    let cpu = Sample {
        form: Form::Counter,
        ..Sample::gauge(
            "arame_guest_cpu_seconds_total",
            "CPU time of the guest since it began.",
            totals.cpu_ns as f64 / 1e9,
        )
    };
    let vcpus = Sample::gauge("arame_guest_vcpus", "Virtual CPUs of the guest.", f64::from(totals.vcpus));
    let known = [
        ("arame_guest_memory_bytes", "Memory that the guest has.", Some(totals.memory.kib)),
        (
            "arame_guest_memory_resident_bytes",
            "Memory that the host has really given to it.",
            totals.memory.resident_kib,
        ),
        ("arame_guest_memory_usable_bytes", "Memory that the guest says it could still use.", totals.memory.usable_kib),
    ];
    let memory = known.into_iter().filter_map(|(name, help, kib)| Some(Sample::gauge(name, help, kib? as f64 * KIB)));
    [cpu, vcpus].into_iter().chain(memory).collect()
}

fn of_disks(totals: &Totals) -> Vec<Sample> {
    let of = |(device, disk): (&String, &DiskTotals)| {
        [
            ("arame_guest_disk_read_bytes_total", "Bytes read from the disk.", disk.read_bytes),
            ("arame_guest_disk_reads_total", "Reads of the disk.", disk.reads),
            ("arame_guest_disk_written_bytes_total", "Bytes written to the disk.", disk.written_bytes),
            ("arame_guest_disk_writes_total", "Writes to the disk.", disk.writes),
        ]
        .map(|(name, help, value)| Sample::counter(name, help, value).of("device", device))
    };
    totals.disks.iter().flat_map(of).collect()
}

fn of_vifs(totals: &Totals) -> Vec<Sample> {
    let of = |(vif, counted): (&VifId, &VifTotals)| {
        [
            ("arame_guest_network_received_bytes_total", "Bytes that came to the guest.", counted.received_bytes),
            ("arame_guest_network_received_packets_total", "Packets that came to it.", counted.received_packets),
            ("arame_guest_network_received_drops_total", "Packets to it that were dropped.", counted.received_drops),
            ("arame_guest_network_sent_bytes_total", "Bytes that the guest sent.", counted.sent_bytes),
            ("arame_guest_network_sent_packets_total", "Packets that it sent.", counted.sent_packets),
            ("arame_guest_network_sent_drops_total", "Packets of it that were dropped.", counted.sent_drops),
        ]
        .map(|(name, help, value)| Sample::counter(name, help, value).of("vif", vif))
    };
    totals.vifs.iter().flat_map(of).collect()
}

/// Reads again and again until nobody holds the figures any more.
pub async fn watch(figures: Weak<Figures>, meters: Arc<dyn Meters>) {
    let Some(every) = figures.upgrade().map(|figures| figures.every) else { return };
    let mut round = tokio::time::interval(every);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_well = true;
    loop {
        round.tick().await;
        if figures.strong_count() == 0 {
            return;
        }
        let read = meters.read().await;
        let Some(figures) = figures.upgrade() else { return };
        match read {
            Ok(read) => {
                figures.take(Instant::now(), read);
                is_well = true;
            }
            // Told once: the figures' age says the rest.
            Err(error) if is_well => {
                tracing::warn!(%error, "the figures of guests cannot be read");
                is_well = false;
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_framework::metrics;
    use arame_schema::jobs::figures::MemoryNow;

    const EVERY: Duration = Duration::from_secs(10);

    fn id(name: &str) -> InstanceId {
        name.parse().unwrap()
    }

    fn busy(seconds: u64) -> Totals {
        Totals { vcpus: 1, cpu_ns: seconds * 500_000_000, ..Totals::default() }
    }

    #[tokio::test]
    async fn the_last_hour_is_kept_by_the_minute_and_no_more_of_it() {
        let (figures, begin) = (Figures::new(EVERY), Instant::now());
        for round in 0..3 * 360 {
            figures.take(begin + EVERY * round, vec![(id("i-a"), busy(u64::from(round) * 10))]);
        }
        let now = begin + EVERY * (3 * 360 - 1);
        let readings = figures.answer(&id("i-a"), now).readings;
        assert!((60..=63).contains(&readings.len()), "{}", readings.len());
        let ages: Vec<u64> = readings.iter().map(|reading| reading.age_ms).collect();
        assert!(ages.is_sorted_by(|older, newer| older > newer), "{ages:?}");
        assert_eq!(ages[ages.len() - 2..], [10_000, 0], "and the last two");
        assert!(ages[0] <= 3_600_000 && ages[0] > 3_500_000, "{ages:?}");
        assert!(ages[..ages.len() - 2].windows(2).all(|pair| pair[0] - pair[1] == 60_000), "{ages:?}");
    }

    #[tokio::test]
    async fn a_guest_that_is_read_no_more_is_told_as_old_and_forgotten_after_an_hour() {
        let (figures, begin) = (Figures::new(EVERY), Instant::now());
        figures.take(begin, vec![(id("i-a"), busy(1)), (id("i-b"), busy(1))]);
        figures.take(begin + EVERY, vec![(id("i-b"), busy(2))]);
        let answer = figures.answer(&id("i-a"), begin + EVERY);
        assert_eq!(answer.readings.last().map(|reading| reading.age_ms), Some(10_000));
        assert_eq!(figures.answer(&id("i-b"), begin + EVERY).readings.last().unwrap().age_ms, 0, "the control");
        figures.take(begin + KEPT + EVERY, vec![(id("i-b"), busy(3))]);
        assert!(figures.answer(&id("i-a"), begin + KEPT + EVERY).readings.is_empty());
        assert_eq!(figures.lock().len(), 1);
        assert!(figures.answer(&id("i-never"), begin).readings.is_empty());
    }

    #[tokio::test]
    async fn guests_are_series_labelled_by_their_ids_and_old_ones_are_none() {
        let (figures, now) = (Figures::new(EVERY), Instant::now());
        let disk = DiskTotals { read_bytes: 4096, reads: 2, ..DiskTotals::default() };
        let vif = VifTotals { sent_drops: 7, ..VifTotals::default() };
        let totals = Totals {
            memory: MemoryNow { kib: 2, resident_kib: Some(1), usable_kib: None },
            disks: BTreeMap::from([("vda".to_owned(), disk)]),
            vifs: BTreeMap::from([("vif-a".parse().unwrap(), vif)]),
            ..busy(3)
        };
        figures.take(now, vec![(id("i-a"), totals)]);
        let text = metrics::text(figures.samples(now));
        for line in [
            "# TYPE arame_guest_cpu_seconds_total counter",
            "arame_guest_cpu_seconds_total{instance=\"i-a\"} 1.5",
            "arame_guest_memory_bytes{instance=\"i-a\"} 2048",
            "arame_guest_memory_resident_bytes{instance=\"i-a\"} 1024",
            "arame_guest_disk_read_bytes_total{device=\"vda\",instance=\"i-a\"} 4096",
            "arame_guest_network_sent_drops_total{vif=\"vif-a\",instance=\"i-a\"} 7",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("usable"), "what is not known is no series:\n{text}");
        assert_eq!(figures.samples(now + EVERY * 4), []);
    }
}
