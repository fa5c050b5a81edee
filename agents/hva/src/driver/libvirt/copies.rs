//! A running guest's boot disk, copied as it was at one moment: libvirt's backup job in push mode.
//!
//! Rule: QEMU keeps what the guest overwrites meanwhile for the job alone; no snapshot and no chain comes of it, whoever
//! dies when. A job that goes on is found by the domain itself and ended there. It names `vda` and no other disk.

use super::events::{self, Ended};
use super::{Libvirt, QUICK, Told, described, failed, owned, power_of};
use crate::driver::captures::Report;
use crate::driver::{DriverError, SeenPower};
use arame_schema::jobs::report::Retry;
use arame_schema::model::InstanceId;
use std::path::Path;
use std::time::{Duration, Instant};
use virt::connect::Connect;
use virt::domain::Domain;

/// Between two looks at how far it is.
const PROGRESS: Duration = Duration::from_millis(300);
/// An agent that holds, a job that begins, an agent that lets go: each has its own limit ([`events::AGENT_SECONDS`]).
const BEGINNING: Duration = Duration::from_secs(60);
/// QEMU ends a job that is told to within this.
const ENDING: Duration = Duration::from_secs(10);

/// How a copy is.
enum Seen {
    Going(u8),
    Done,
    Broken(String),
}

fn wish(target: &str) -> String {
    format!(
        "<domainbackup mode='push'><disks><disk name='vda' backup='yes' type='file'><driver type='qcow2'/>\
         <target file='{}'/></disk></disks></domainbackup>",
        target.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
    )
}

/// The guest that runs under this name, by its number at libvirt: a restarted one has another.
fn running(link: &Connect, name: &str) -> Told<Option<(Domain, u32)>> {
    let Some((domain, _)) = owned(link, name)? else { return Ok(None) };
    if power_of(&domain)? == SeenPower::Off {
        return Ok(None);
    }
    let number = domain.get_id();
    Ok(number.map(|number| (domain, number)))
}

fn end(link: &Connect, name: &str) -> Told<()> {
    let until = Instant::now() + ENDING;
    loop {
        let Some((domain, _)) = running(link, name)? else { return Ok(()) };
        if !events::is_backed_up(&domain) {
            return Ok(());
        }
        if Instant::now() >= until {
            let message = format!("a copy of {name}'s disk does not end");
            return Err(DriverError::new("libvirt_error", message, Retry::Later));
        }
        events::abort_job(&domain);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A copy that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// The guest's number at libvirt: a restarted one has another.
    pub guest: u32,
    /// Its file systems were held at the moment of the copy.
    pub frozen: bool,
}

fn begin(link: &Connect, name: &str, target: &str, hold: bool) -> Told<Option<Begun>> {
    let Some((domain, guest)) = running(link, name)? else { return Ok(None) };
    // What an earlier job ended with is forgotten by being read.
    events::ended_job(&domain);
    let frozen = hold && events::freeze(&domain);
    let refused = (!events::begin_backup(&domain, &wish(target))).then(virt::error::Error::last_error);
    if hold && !events::thaw(&domain) {
        tracing::warn!(instance = name, "the guest's agent did not let go at once");
    }
    match refused {
        Some(why) => Err(failed("begin a copy of the disk", &why)),
        None => Ok(Some(Begun { guest, frozen })),
    }
}

/// A guest that does not run, or whose agent is gone, holds nothing.
fn thaw(link: &Connect, name: &str) -> Told<()> {
    let Some((domain, _)) = running(link, name)? else { return Ok(()) };
    if !described(&domain, 0)?.guest_agent || events::thaw(&domain) {
        return Ok(());
    }
    Err(failed("let a guest's file systems go", &virt::error::Error::last_error()))
}

fn look(link: &Connect, name: &str, number: u32) -> Told<Seen> {
    let stopped = || Seen::Broken("the machine stopped while its disk was copied".into());
    let Some((domain, now)) = running(link, name)? else { return Ok(stopped()) };
    if now != number {
        return Ok(stopped());
    }
    if events::is_backed_up(&domain) {
        let told = domain.get_job_info().ok();
        let done = told.as_ref().and_then(|told| told.disk_processed).unwrap_or(0);
        let of = told.and_then(|told| told.disk_total).unwrap_or(0).max(1);
        return Ok(Seen::Going((u128::from(done) * 100 / u128::from(of)).min(98) as u8));
    }
    Ok(match events::ended_job(&domain) {
        Ended::Completed => Seen::Done,
        Ended::Otherwise(kind) => Seen::Broken(format!("libvirt ended the copy (job type {kind})")),
    })
}

impl Libvirt {
    /// Whether a program in the running guest answers as its agent (`qemu-guest-agent`).
    pub async fn has_guest_agent(&self, instance: &InstanceId) -> Told<bool> {
        let name = instance.to_string();
        let look = move |link: &Connect| match running(link, &name)? {
            Some((domain, _)) => described(&domain, 0).map(|reading| reading.guest_agent),
            None => Ok(false),
        };
        self.call("look for a guest's agent", QUICK, look).await
    }

    /// Begins to copy the running guest's disk to `target`; `hold`: its agent is asked to hold all writing meanwhile, and to
    /// let go. `None`: no guest runs.
    pub async fn begin_copy(&self, instance: &InstanceId, target: &Path, hold: bool) -> Told<Option<Begun>> {
        let (name, file) = (instance.to_string(), target.display().to_string());
        self.call("begin a copy of the disk", BEGINNING, move |link| begin(link, &name, &file, hold)).await
    }

    /// Lets the guest's file systems go, whether or not they are held.
    ///
    /// # Errors
    /// Its agent is there and does not answer: they may be held.
    pub async fn thaw(&self, instance: &InstanceId) -> Told<()> {
        let name = instance.to_string();
        self.call("let a guest's file systems go", BEGINNING, move |link| thaw(link, &name)).await
    }

    /// Waits until the copy of this guest is whole.
    pub async fn watch_copy(&self, instance: &InstanceId, guest: u32, report: &Report) -> Told<()> {
        loop {
            tokio::time::sleep(PROGRESS).await;
            let name = instance.to_string();
            match self.call("look at a copy of the disk", QUICK, move |link| look(link, &name, guest)).await? {
                Seen::Going(percent) => report.tell(percent),
                Seen::Done => return Ok(()),
                Seen::Broken(why) => return Err(DriverError::new("capture_interrupted", why, Retry::Later)),
            }
        }
    }

    /// No copy of the guest's disk goes on.
    pub async fn end_copy(&self, instance: &InstanceId) -> Told<()> {
        let name = instance.to_string();
        self.call("end a copy of the disk", QUICK, move |link| end(link, &name)).await
    }
}
