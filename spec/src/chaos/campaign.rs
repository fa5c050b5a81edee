//! One campaign: bring up, load and faults for so many minutes, then quiet, evidence, judgement; then everything is
//! deleted and judged again.
//!
//! Rule: it ends with a table whatever happened, and fails when the judge finds anything, when a kind of fault never
//! happened, or when fewer than half of the faults met an open job: a campaign that visited nothing proves nothing.

use super::center::{Ask, Center, PATIENCE};
use super::evidence::{Evidence, Sabotage, spoil};
use super::faults::{Deck, Fault, Holds, Kind};
use super::files::{MANAGERS, REAL};
use super::inject::{self, Injected};
use super::judge::{Verdict, judge};
use super::ledger::Ledger;
use super::load::Client;
use super::probes::{self, Lighthouse, Record, Service, Watch};
use super::table::{self, Incident, Tally};
use super::tap::Tap;
use crate::processes;
use anyhow::{Context, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Clients at a time: with the canaries enough that most faults meet an open job, few enough for two busy cores.
const CLIENTS: u64 = 6;

/// How often two faults happen at once.
const TWO_AT_ONCE: f64 = 0.2;

/// A repair is over when every service answered this long; the next fault does not wait longer than the second.
const STEADY: Duration = Duration::from_millis(700);
const REPAIR_LIMIT: Duration = Duration::from_secs(45);

/// Between a repair and the next fault.
const PAUSE_MAX_MS: u64 = 1000;

/// The end is quiet when no job was open in this many looks in a row.
const QUIET_LOOKS: u32 = 5;
const QUIET_LIMIT: Duration = Duration::from_secs(240);

#[derive(Debug, Clone)]
pub struct Options {
    pub seed: u64,
    pub time: Duration,
    pub programs: PathBuf,
    pub holds: Holds,
    pub sabotage: Option<Sabotage>,
    /// With a host on libvirt.
    pub with_host: bool,
    /// This kind of fault and no other.
    pub only: Option<Kind>,
}

/// What a campaign came to.
#[derive(Debug)]
pub struct Told {
    pub tally: Tally,
    /// With everything there, and with everything deleted.
    pub verdicts: [Verdict; 2],
    pub accepted: usize,
    /// Machines that ran on the host on libvirt.
    pub on_host: u64,
    pub text: String,
}

struct Campaign {
    center: Arc<Center>,
    tap: Tap,
    rng: StdRng,
    ledger: Arc<Ledger>,
    record: Arc<Record>,
    tally: Tally,
}

/// Runs one. The center stays up for a look when the campaign fails on its way; it is ended with the cell.
///
/// # Errors
/// The kit failed, or the data center did not come to rest; with a picture of it.
pub async fn run(options: &Options) -> anyhow::Result<Told> {
    let began = Instant::now();
    let center = Arc::new(Center::up(&options.programs, options.with_host).await?);
    println!("the data center is up after {:.1} s", began.elapsed().as_secs_f32());
    let tap = Tap::open(&center).await?;
    let (ledger, record) = (Arc::new(Ledger::default()), Arc::new(Record::default()));
    let rng = StdRng::seed_from_u64(options.seed);
    let mut campaign = Campaign { center, tap, rng, ledger, record, tally: Tally::default() };
    let told = campaign.whole(options).await;
    match told {
        Ok(told) if told.verdicts.iter().all(Verdict::is_clean) => {
            campaign.center.forget().await?;
            Ok(told)
        }
        Ok(mut told) => {
            told.text += &campaign.picture().await;
            Ok(told)
        }
        Err(error) => {
            let text = campaign.tally.text() + &table::requests(&campaign.ledger.book().clone());
            Err(error.context(format!("{text}\n{}", campaign.picture().await)))
        }
    }
}

impl Campaign {
    async fn whole(&mut self, options: &Options) -> anyhow::Result<Told> {
        let light = Lighthouse::light(&self.center, &self.ledger).await?;
        let stop = CancellationToken::new();
        let (mut asking, mut watching) = (JoinSet::new(), JoinSet::new());
        for number in 1..=CLIENTS {
            let client = Client::new(self.center.clone(), self.ledger.clone(), options.seed, number);
            asking.spawn(client.run(stop.clone()));
        }
        let (center, ledger, record) = (self.center.clone(), self.ledger.clone(), self.record.clone());
        asking.spawn(probes::canaries(center, ledger, record, stop.clone()));
        let watched = CancellationToken::new();
        let watch = Watch::new(self.center.clone(), self.record.clone(), light.clone());
        watching.spawn(watch.run(watched.clone()));
        let faults = self.faults(options).await;
        stop.cancel();
        while asking.join_next().await.transpose().context("a client fell over")?.is_some() {}
        watched.cancel();
        while watching.join_next().await.transpose().context("a probe fell over")?.is_some() {}
        faults?;
        let first = self.judged(options.sabotage).await?;
        let done = format!(
            "SELECT COUNT(DISTINCT thing) FROM arame.jobs WHERE agent_id = '{REAL}' AND kind = 'hva.instance.apply' \
             AND state = 'done'"
        );
        let on_host = self.center.number(&done).await?;
        self.clear(&light).await?;
        let second = self.judged(None).await?;
        Ok(self.tell([first, second], on_host))
    }

    async fn faults(&mut self, options: &Options) -> anyhow::Result<()> {
        let mut without: Vec<Kind> =
            Kind::ALL.into_iter().filter(|kind| options.only.is_some_and(|only| only != *kind)).collect();
        if !self.center.has_clocks() {
            without.push(Kind::StepClock);
        }
        if !options.with_host {
            without.extend(Kind::OF_THE_HOST);
        }
        let mut deck = Deck::new(options.holds, without, options.with_host);
        let end = Instant::now() + options.time;
        self.steady(Instant::now()).await;
        while Instant::now() < end {
            let pause = self.rng.random_range(0..PAUSE_MAX_MS);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let first = deck.draw(&mut self.rng);
            let second = if self.rng.random_bool(TWO_AT_ONCE) { Some(deck.draw(&mut self.rng)) } else { None };
            let (second, back) = match second {
                Some(second) if first.goes_with(&second) => (Some(second), None),
                Some(second) => (None, Some(second.kind)),
                None => (None, None),
            };
            back.into_iter().for_each(|kind| deck.put_back(kind));
            self.incident([Some(first), second].into_iter().flatten().collect()).await?;
        }
        Ok(())
    }

    /// Injects, holds, heals, waits for the repair, and writes down what it cost.
    async fn incident(&mut self, faults: Vec<Fault>) -> anyhow::Result<()> {
        let from = Instant::now();
        let mut done: Vec<(Fault, Injected, Instant)> = Vec::new();
        for fault in faults {
            match inject::inject(&self.center, &self.tap, &mut self.rng, &fault).await? {
                Some(injected) => {
                    let until = Instant::now() + fault.hold;
                    done.push((fault, injected, until));
                }
                None => {
                    println!("{}: its moment did not come", fault.told());
                    *self.tally.missed.entry(fault.kind).or_default() += 1;
                }
            }
        }
        done.sort_by_key(|(_, _, until)| *until);
        for (_, injected, until) in &done {
            tokio::time::sleep_until(*until).await;
            inject::heal(&self.center, &injected.heal).await?;
        }
        if done.is_empty() {
            return Ok(());
        }
        self.servers_answer().await?;
        let healed = Instant::now();
        self.steady(healed).await;
        let to = Instant::now();
        let losses = Service::ALL.map(|service| self.record.loss(service, from, healed, to));
        let told: Vec<String> =
            done.iter().map(|(fault, i, _)| format!("{}, {} jobs open", fault.told(), i.open)).collect();
        let costs = Service::ALL.iter().zip(&losses).map(|(service, loss)| {
            format!("{} {:.1}/{:.1}", service.as_str(), loss.down.as_secs_f32(), loss.repair.as_secs_f32())
        });
        println!("{}: down/repair {}", told.join(" and "), costs.collect::<Vec<_>>().join(", "));
        let met = done.iter().map(|(_, injected, _)| injected.open > 0).collect();
        let kinds = done.iter().map(|(fault, _, _)| fault.kind).collect();
        self.tally.incidents.push(Incident { kinds, met, losses });
        Ok(())
    }

    /// What a server itself takes to start is its own; a repair begins when it answers.
    async fn servers_answer(&self) -> anyhow::Result<()> {
        processes::until("the broker and the database answer", async || {
            Ok(self.center.broker_answers().await && self.center.number("SELECT 1").await.is_ok())
        })
        .await
    }

    /// Waits until a launch asked for after this moment has run and every service answers steadily; a repair that takes
    /// longer than the limit is in the table as that.
    async fn steady(&self, healed: Instant) {
        let end = Instant::now() + REPAIR_LIMIT;
        while !self.record.all_up(healed, STEADY) && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Everything at rest, then judged.
    async fn judged(&self, sabotage: Option<Sabotage>) -> anyhow::Result<Verdict> {
        self.center.all_alive().await?;
        self.quiet().await;
        let findings = self.audit().await?;
        let book = self.ledger.book().clone();
        let mut evidence = Evidence::gather(&self.center, book, findings).await?;
        if let Some(sabotage) = sabotage {
            spoil(&mut evidence, sabotage);
        }
        let verdict = judge(&evidence);
        println!("{}", table::verdict(&evidence, &verdict));
        Ok(verdict)
    }

    /// No job open for a while; what stays open the judge finds.
    async fn quiet(&self) {
        let (mut looks, end) = (0, Instant::now() + QUIET_LIMIT);
        while looks < QUIET_LOOKS && Instant::now() < end {
            looks = if self.center.open_jobs().await.is_ok_and(|open| open == 0) { looks + 1 } else { 0 };
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Asked until nothing is found; what stays for as long as a client's patience is a finding.
    async fn audit(&self) -> anyhow::Result<Vec<String>> {
        let end = Instant::now() + PATIENCE;
        loop {
            let (answer, _) =
                self.center.insist(Ask { limit: Some(PATIENCE), ..Ask::get("/audit?fresh=true") }).await?;
            let findings = answer.body.as_array().context("findings are a list")?;
            if findings.is_empty() || Instant::now() > end {
                return Ok(findings.iter().map(ToString::to_string).collect());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn clear(&self, light: &Lighthouse) -> anyhow::Result<()> {
        let mut clearing = JoinSet::new();
        for number in 1..=CLIENTS {
            clearing.spawn(Client::successor(self.center.clone(), self.ledger.clone(), number).clear());
        }
        while clearing.join_next().await.transpose().context("a client fell over")?.is_some() {}
        probes::put_out(&self.center, &self.ledger, &self.record, light).await;
        Ok(())
    }

    fn tell(&mut self, verdicts: [Verdict; 2], on_host: u64) -> Told {
        let book = self.ledger.book().clone();
        let mut text = self.tally.text() + &table::requests(&book) + &table::probes(&self.record);
        let (messages, jobs) = self.tap.seen();
        text += &format!("  {messages} job messages of {jobs} jobs passed the broker\n");
        for program in self.center.programs() {
            let ends = program.own_ends();
            text += &format!("  {} started {} times", program.name(), program.starts());
            text += &if ends.is_empty() { "\n".to_owned() } else { format!(", ended by itself: {ends:?}\n") };
        }
        Told { tally: std::mem::take(&mut self.tally), verdicts, accepted: book.requests.len(), on_host, text }
    }

    /// What a person needs to begin with.
    async fn picture(&self) -> String {
        let statements = [
            "SELECT CONCAT_WS(' ', 'instance', id, state, desired, generation, IFNULL(host_node_id, '-'), IFNULL(failure_code, '-'), IFNULL(failure_message, '')) FROM arame.instances WHERE terminated_at IS NULL",
            "SELECT CONCAT_WS(' ', 'volume', id, state, wanted, generation, storage_node_id, IFNULL(failure_code, '-')) FROM arame.volumes WHERE deleted_at IS NULL",
            "SELECT CONCAT_WS(' ', 'job', kind, thing, agent_id, generation, state, attempt, rings, not_before, IFNULL(rung_at, '-'), deadline, IFNULL(error_message, '')) FROM arame.jobs WHERE open = 1",
            "SELECT CONCAT_WS(' ', 'agent', id, incarnation, heard_at, UTC_TIMESTAMP(3)) FROM arame.agents",
        ];
        let mut text = format!("logs are kept in {}\n", self.center.path("log").display());
        for statement in statements {
            match self.center.texts(statement).await {
                Ok(lines) => text += &(lines.join("\n") + "\n"),
                Err(error) => text += &format!("{statement}: {error:#}\n"),
            }
        }
        for name in MANAGERS {
            text += &format!("== {name}\n{}", self.center.log_tail(name, 12));
        }
        text
    }
}

/// What a campaign must have visited.
///
/// # Errors
/// What it did not.
pub fn visited(told: &Told, options: &Options, every_kind: bool) -> anyhow::Result<()> {
    let tally = &told.tally;
    if options.with_host {
        ensure!(told.on_host >= 3, "only {} machines were asked for on the host on libvirt", told.on_host);
    }
    ensure!(told.accepted >= 50, "only {} requests were accepted: nothing was loaded", told.accepted);
    ensure!(tally.met() * 2 >= tally.injected(), "only {} of {} faults met an open job", tally.met(), tally.injected());
    if every_kind {
        let can = |kind: &Kind| options.with_host || !Kind::OF_THE_HOST.contains(kind);
        let never = Kind::ALL.into_iter().filter(can).filter(|kind| tally.count(*kind) == 0).map(Kind::as_str);
        let never: Vec<&str> = never.collect();
        ensure!(never.is_empty(), "never happened: {}", never.join(", "));
    }
    Ok(())
}
