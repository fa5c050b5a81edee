//! The probes: every 100 ms whether the API answers, a name resolves, an address is offered; and one canary machine
//! after the other, whose launches tell whether jobs are done.
//!
//! Rule: a service is up when one of its two processes gives the right answer: that is what a client with two addresses
//! sees. The canaries are requests like any other and stand in the ledger.

use super::center::{Ask, Center};
use super::files::{DHCP_PORT, DNS_PORT, DOMAIN, NETWORK};
use super::ledger::{Ended, Ledger, Machine};
use super::wire;
use crate::wishes::End;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Between two questions to one service.
const EVERY: Duration = Duration::from_millis(100);

/// Between two questions to DHCP: a server earns a hardware address five answers a second and keeps silent beyond.
const DHCP_EVERY: Duration = Duration::from_millis(300);

/// An answer that takes longer is none: what a person calls "it hangs".
const ANSWER_LIMIT: Duration = Duration::from_millis(800);

/// A canary that takes longer to run means that jobs are not done. Undisturbed it takes a few tenths of a second.
const CANARY_LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    Api,
    Jobs,
    Dhcp,
    Dns,
}

impl Service {
    pub const ALL: [Service; 4] = [Service::Api, Service::Jobs, Service::Dhcp, Service::Dns];

    pub fn as_str(self) -> &'static str {
        match self {
            Service::Api => "API",
            Service::Jobs => "jobs",
            Service::Dhcp => "DHCP",
            Service::Dns => "DNS",
        }
    }
}

/// When a service was asked and whether it answered.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub at: Instant,
    pub up: bool,
}

#[derive(Debug, Default)]
struct Series {
    samples: [Vec<Sample>; 4],
    /// What launches of canaries took.
    canaries: Vec<Duration>,
    /// When the newest canary that came to run was begun.
    newest: Option<Instant>,
}

#[derive(Debug, Default)]
pub struct Record {
    series: Mutex<Series>,
}

/// What a service lost between two moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loss {
    pub down: Duration,
    /// From the moment everything was healed until it answered for good.
    pub repair: Duration,
}

impl Record {
    fn note(&self, service: Service, up: bool) {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        series.samples[service as usize].push(Sample { at: Instant::now(), up });
    }

    /// Whether a canary begun after a moment came to run, and every service answered all through the last `span`.
    pub fn all_up(&self, after: Instant, span: Duration) -> bool {
        let since = Instant::now() - span;
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let is_proven = series.newest.is_some_and(|begun| begun >= after);
        is_proven
            && series.samples.iter().all(|samples| {
                let mut recent = samples.iter().rev().take_while(|sample| sample.at >= since).peekable();
                recent.peek().is_some() && recent.all(|sample| sample.up)
            })
    }

    pub fn loss(&self, service: Service, from: Instant, healed: Instant, to: Instant) -> Loss {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        loss(&series.samples[service as usize], from, healed, to)
    }

    /// Launch times of all canaries so far.
    pub fn canaries(&self) -> Vec<Duration> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner).canaries.clone()
    }

    pub fn counts(&self) -> Vec<(Service, usize, usize)> {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |service: Service| {
            let samples = &series.samples[service as usize];
            (service, samples.len(), samples.iter().filter(|sample| !sample.up).count())
        };
        Service::ALL.map(count).to_vec()
    }
}

/// A sample speaks for the time since the one before it.
fn loss(samples: &[Sample], from: Instant, healed: Instant, to: Instant) -> Loss {
    let (mut loss, mut before) = (Loss::default(), from);
    for sample in samples.iter().filter(|sample| sample.at >= from && sample.at <= to) {
        if !sample.up {
            loss.down += sample.at - before;
            loss.repair = sample.at.saturating_duration_since(healed);
        }
        before = sample.at;
    }
    loss
}

/// A machine that is never touched: what the probes ask about.
#[derive(Debug, Clone)]
pub struct Lighthouse {
    pub id: String,
    address: Ipv4Addr,
    mac: [u8; 6],
}

/// The name of the lighthouse.
const LIGHTHOUSE: &str = "lighthouse";

/// How a launch was answered.
enum Launched {
    Accepted(String),
    /// With a reason: no host is heard at this moment.
    Refused,
}

async fn launch(center: &Center, name: &str, ledger: &Ledger) -> anyhow::Result<Launched> {
    let vifs = json!({ "eth0": { "index": "0", "network": NETWORK } });
    let body = json!({ "image_id": "wmi-tiny", "instance_type": "tiny", "hostname": name, "vifs": vifs });
    let key = Uuid::new_v4().to_string();
    let ask = Ask { method: "POST", path: "/instances", body, key: Some(&key), limit: None };
    let (answer, _) = center.insist(ask).await?;
    if answer.reason() == "out_of_host_capacity" {
        ledger.refuse(answer.reason());
        return Ok(Launched::Refused);
    }
    let id = answer.body["id"].as_str().with_context(|| format!("{name}: {} {}", answer.status, answer.body))?;
    let machine = Machine { name: name.to_owned(), end: End::Running, ran: false, reboots: 0, failed: false };
    ledger.book().machines.insert(id.to_owned(), machine);
    Ok(Launched::Accepted(id.to_owned()))
}

impl Lighthouse {
    /// # Errors
    /// It does not come to run.
    pub async fn light(center: &Center, ledger: &Ledger) -> anyhow::Result<Lighthouse> {
        let Launched::Accepted(id) = launch(center, LIGHTHOUSE, ledger).await? else {
            bail!("no host takes the lighthouse");
        };
        let path = format!("/instances/{id}");
        crate::processes::until("the lighthouse runs", async || Ok(center.get(&path).await?["state"] == "running"))
            .await?;
        let row = center.get(&path).await?;
        let vif = &row["vif"][0];
        let address = vif["ipv4"]["address"].as_str().context("it has an address")?.parse()?;
        let mac = vif["mac_addr"].as_str().context("it has a hardware address")?;
        let octets: Vec<u8> = mac.split(':').filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
        let mac = octets.try_into().ok().with_context(|| format!("{mac} is no hardware address"))?;
        if let Some(machine) = ledger.book().machines.get_mut(&id) {
            machine.ran = true;
        }
        Ok(Lighthouse { id, address, mac })
    }
}

/// Where the network's DNS and DHCP answer at an nsa: its place in the runs of ports stands in its world.
fn port_of(center: &Center, nsa: &str, base: u16) -> Option<SocketAddr> {
    let text = std::fs::read(center.world_file(nsa)).ok()?;
    let world: Value = serde_json::from_slice(&text).ok()?;
    let slot = u16::try_from(world["links"][NETWORK]["slot"].as_u64()?).ok()?;
    Some(SocketAddr::from((center.fabric.address(nsa).ok()?, base + slot)))
}

/// Whoever asks the API, DNS and DHCP.
pub struct Watch {
    center: Arc<Center>,
    record: Arc<Record>,
    light: Lighthouse,
    name: String,
    path: String,
    dns: [Option<SocketAddr>; 2],
    dhcp: [Option<SocketAddr>; 2],
}

impl Watch {
    pub fn new(center: Arc<Center>, record: Arc<Record>, light: Lighthouse) -> Watch {
        let at = |base| ["nsa.n1", "nsa.n2"].map(|nsa| port_of(&center, nsa, base));
        let (dns, dhcp) = (at(DNS_PORT), at(DHCP_PORT));
        let (name, path) = (format!("{LIGHTHOUSE}.{DOMAIN}"), format!("/instances/{}", light.id));
        Watch { center, record, light, name, path, dns, dhcp }
    }

    /// Asks until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        tokio::join!(
            self.sample(Service::Api, &stop),
            self.sample(Service::Dns, &stop),
            self.sample(Service::Dhcp, &stop),
        );
    }

    async fn sample(&self, service: Service, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let (first, second) = tokio::join!(self.answers(service, 0), self.answers(service, 1));
            self.record.note(service, first || second);
            tokio::time::sleep(if service == Service::Dhcp { DHCP_EVERY } else { EVERY }).await;
        }
    }

    async fn answers(&self, service: Service, number: usize) -> bool {
        let light = &self.light;
        match (service, self.dns[number], self.dhcp[number]) {
            (Service::Api, ..) => {
                let ask = Ask { limit: Some(ANSWER_LIMIT), ..Ask::get(&self.path) };
                self.center.ask_at(number, ask).await.is_ok_and(|answer| answer.status == 200)
            }
            (Service::Dns, Some(at), _) => wire::resolves(at, &self.name, light.address, ANSWER_LIMIT).await,
            (Service::Dhcp, _, Some(at)) => wire::offers(at, light.mac, light.address, ANSWER_LIMIT).await,
            (Service::Jobs | Service::Dns | Service::Dhcp, ..) => false,
        }
    }
}

/// One canary after the other until told to stop: launched, seen running, deleted, seen gone.
pub async fn canaries(center: Arc<Center>, ledger: Arc<Ledger>, record: Arc<Record>, stop: CancellationToken) {
    let mut number = 0;
    while !stop.is_cancelled() {
        number += 1;
        let name = format!("canary{number}");
        let began = Instant::now();
        let id = match watched(&record, began, launch(&center, &name, &ledger)).await {
            Ok(Launched::Accepted(id)) => id,
            Ok(Launched::Refused) => {
                record.note(Service::Jobs, false);
                tokio::time::sleep(EVERY).await;
                continue;
            }
            Err(error) => {
                ledger.book().unanswered.insert(name);
                ledger.wrong(format!("a canary: {error:#}"));
                continue;
            }
        };
        let entry = ledger.accept("canary", &id);
        let ended = watched(&record, began, becomes(&center, &id, "running")).await;
        let took = began.elapsed();
        if ended == Ended::AsAsked {
            let mut series = record.series.lock().unwrap_or_else(PoisonError::into_inner);
            series.canaries.push(took);
            series.newest = Some(began);
        }
        ledger.end(entry, ended, took);
        remove(&center, &ledger, &record, &id).await;
        tokio::time::sleep(EVERY).await;
    }
}

/// Runs it, and notes all the while whether it takes too long.
async fn watched<T>(record: &Record, began: Instant, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            value = &mut work => return value,
            () = tokio::time::sleep(EVERY) => record.note(Service::Jobs, began.elapsed() < CANARY_LIMIT),
        }
    }
}

async fn becomes(center: &Center, id: &str, wanted: &str) -> Ended {
    let path = format!("/instances/{id}");
    let end = Instant::now() + super::center::PATIENCE;
    let mut state = String::new();
    while Instant::now() < end {
        if let Ok((answer, _)) = center.insist(Ask::get(&path)).await {
            state = answer.body["state"].as_str().unwrap_or_default().to_owned();
            if state == wanted || (answer.status == 404 && wanted == "terminated") {
                return Ended::AsAsked;
            }
            if state == "failed" {
                let code = answer.body["failure"]["code"].as_str().unwrap_or_default();
                return Ended::Failed { code: code.to_owned() };
            }
        }
        tokio::time::sleep(EVERY).await;
    }
    Ended::Stuck { state }
}

async fn remove(center: &Center, ledger: &Ledger, record: &Record, id: &str) {
    let path = format!("/instances/{id}");
    let ask = Ask { method: "DELETE", path: &path, body: Value::Null, key: None, limit: None };
    let began = Instant::now();
    if let Err(error) = watched(record, began, center.insist(ask)).await {
        ledger.wrong(format!("a canary's delete: {error:#}"));
    }
    ledger.wish(id, End::Terminated);
    let entry = ledger.accept("delete a canary", id);
    let ended = watched(record, began, becomes(center, id, "terminated")).await;
    ledger.end(entry, ended, began.elapsed());
}

/// Deletes the lighthouse: nobody asks any more.
pub async fn put_out(center: &Center, ledger: &Ledger, record: &Record, light: &Lighthouse) {
    remove(center, ledger, record, &light.id).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_the_time_before_each_failed_question() {
        let start = Instant::now();
        let at = |tenths: u64, up| Sample { at: start + Duration::from_millis(100 * tenths), up };
        let samples = [at(1, true), at(2, false), at(3, false), at(4, true), at(9, false), at(10, true)];
        let moment = |tenths: u64| start + Duration::from_millis(100 * tenths);
        let told = loss(&samples, start, moment(2), moment(5));
        assert_eq!(told, Loss { down: Duration::from_millis(200), repair: Duration::from_millis(100) });
        assert_eq!(loss(&samples, moment(4), moment(4), moment(8)), Loss::default(), "the control: nothing was lost");
    }
}
