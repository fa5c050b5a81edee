//! Live migration between two libvirts: memory and the overlay go from host to host, directly.
//!
//! ```text
//! waits:  the domain is defined, marked `waiting`; its overlay lies on the same image
//! sent:   migrated, *paused* at the other host; here it is off, its definition stays
//! let go: marked `released` at the other host, then resumed there
//! ```
//!
//! Rule: libvirt never starts the guest at the other host by itself (VIR_MIGRATE_PAUSED). Should the two lose each other at
//! the end of a migration, each may believe that it has the guest, and that is harmless: only one is let run.

use super::{Libvirt, Told, described, failed, owned, power_of};
use crate::driver::{DriverError, Machine, Mark, SeenPower, Sending};
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::Retry;
use std::time::Duration;
use virt::connect::Connect;
use virt::domain::{Domain, MigrateParameters};

/// Endpoint in the hello: the URI under which other hosts' libvirts reach this one.
pub const ENDPOINT: &str = "libvirt";

/// Between two looks at how far a migration is.
const PROGRESS: Duration = Duration::from_secs(1);

/// Files of the host that sends, each with what is to stand in its place where the guest goes.
struct Places(Vec<(String, String)>);

impl Places {
    /// Of two definitions of the same guest, which is ours: it has a boot disk and a log.
    fn of(here: &str, there: &str) -> Option<Self> {
        let disk = |device| Some((file_of_disk(here, device)?, file_of_disk(there, device)?));
        let element = |begin| Some((file_of(here, begin)?, file_of(there, begin)?));
        let needed = [disk(super::xml::BOOT_DEVICE)?, element("<log file=")?];
        // A guest that an earlier version started has neither.
        let newer = [disk(super::xml::SEED_DEVICE), element("<source mode='bind' path=")];
        Some(Self(needed.into_iter().chain(newer.into_iter().flatten()).collect()))
    }

    /// The guest as it is here, with the files of the other host.
    fn moved(&self, xml: &str) -> String {
        let moved = self.0.iter().fold(xml.to_owned(), |xml, (here, there)| xml.replace(here, there));
        without_screen_sockets(moved)
    }
}

/// The socket of the screen is named by each libvirt for itself, after its own number of the guest.
fn without_screen_sockets(mut xml: String) -> String {
    const NAMED: &str = " socket='";
    let mut from = 0;
    while let Some(begin) = xml[from..].find(NAMED).map(|at| from + at) {
        let value = begin + NAMED.len();
        let Some(end) = xml[value..].find('\'').map(|at| value + at) else { break };
        if xml[value..end].ends_with("/vnc.sock") {
            xml.replace_range(begin..=end, "");
        }
        from = begin + 1;
    }
    xml
}

/// The file of the disk that the guest knows by this device name.
fn file_of_disk(xml: &str, device: &str) -> Option<String> {
    let named = [format!("<target dev='{device}'"), format!("<target dev=\"{device}\"")];
    let mut disks = xml.split("<disk").skip(1).filter_map(|rest| rest.split("</disk>").next());
    file_of(disks.find(|disk| named.iter().any(|name| disk.contains(name)))?, "<source file=")
}

/// The file that the first such element names.
pub(super) fn file_of(xml: &str, element: &str) -> Option<String> {
    let rest = xml.split_once(element)?.1;
    let quote = rest.chars().next()?;
    Some(rest[1..].split_once(quote)?.0.to_owned())
}

fn elsewhere(sending: &Sending) -> Result<String, DriverError> {
    let missing = || {
        let message = format!("{} does not say where its libvirt takes guests", sending.to);
        DriverError::new("host_cannot_move", message, Retry::Never)
    };
    sending.endpoints.get(ENDPOINT).cloned().ok_or_else(missing)
}

/// The connection ends with this.
struct Other(Connect);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.close();
    }
}

fn reach(uri: &str) -> Told<Other> {
    let connection = Connect::open(Some(uri)).map_err(|e| {
        let message = format!("libvirt at {uri} cannot be reached: {}", e.message());
        DriverError::new("libvirt_unreachable", message, Retry::Later)
    })?;
    let _ = connection.set_keep_alive(5, 3);
    Ok(Other(connection))
}

/// The domain that waits at the other host, of this generation.
fn waiting(other: &Connect, sending: &Sending) -> Told<Domain> {
    let not_waited_for = || {
        let Sending { instance, to, generation, .. } = sending;
        let message = format!("{to} does not wait for {instance} of generation {generation}");
        DriverError::new("not_waited_for", message, Retry::Later)
    };
    let (domain, kept) = owned(other, sending.instance.as_str())?.ok_or_else(not_waited_for)?;
    let waits = kept.mark.is_some_and(|mark| mark.waiting == Some(sending.generation));
    if waits && power_of(&domain)? == SeenPower::Off { Ok(domain) } else { Err(not_waited_for()) }
}

fn migrate(here: &Connect, uri: &str, sending: &Sending) -> Told<()> {
    let other = reach(uri)?;
    let there = described_text(&waiting(&other.0, sending)?, virt_sys::VIR_DOMAIN_XML_INACTIVE)?;
    drop(other);
    let Some((domain, _)) = owned(here, sending.instance.as_str())? else {
        return Err(DriverError::new("domain_missing", format!("{} is not defined", sending.instance), Retry::Later));
    };
    let live = described_text(&domain, virt_sys::VIR_DOMAIN_XML_MIGRATABLE)?;
    let kept = described_text(&domain, virt_sys::VIR_DOMAIN_XML_INACTIVE | virt_sys::VIR_DOMAIN_XML_MIGRATABLE)?;
    let strange = || DriverError::new("libvirt_error", "a domain without a boot disk or log", Retry::Later);
    let places = Places::of(&live, &there).ok_or_else(strange)?;
    let arrived = |xml: &str| super::xml::with_arrival(&places.moved(xml), sending.generation);
    let parameters = MigrateParameters {
        dest_xml: Some(arrived(&live)),
        persist_xml: Some(arrived(&kept)),
        migrate_disks: vec![super::xml::BOOT_DEVICE.to_owned()],
        ..MigrateParameters::default()
    };
    let flags = virt_sys::VIR_MIGRATE_LIVE
        | virt_sys::VIR_MIGRATE_PEER2PEER
        | virt_sys::VIR_MIGRATE_PERSIST_DEST
        | virt_sys::VIR_MIGRATE_NON_SHARED_INC
        | virt_sys::VIR_MIGRATE_PAUSED;
    domain.migrate_to_uri3(Some(uri), parameters, flags).map_err(|e| failed("migrate", &e))
}

fn described_text(domain: &Domain, flags: u32) -> Told<String> {
    domain.get_xml_desc(flags).map_err(|e| failed("describe", &e))
}

/// The guest that arrived runs at the other host. It is marked as let go first: whatever pauses it from then on (a full disk,
/// somebody's hand), it is whole and that host's.
fn let_run(uri: &str, sending: &Sending) -> Told<()> {
    let other = reach(uri)?;
    let missing = || {
        let message = format!("{} is not at {} any more", sending.instance, sending.to);
        DriverError::new("not_waited_for", message, Retry::Later)
    };
    let (domain, _) = owned(&other.0, sending.instance.as_str())?.ok_or_else(missing)?;
    let arrived = described(&domain, 0)?.mark.filter(|mark| mark.arrived == Some(sending.generation));
    match (power_of(&domain)?, arrived) {
        (SeenPower::On, _) => Ok(()),
        (SeenPower::Paused, Some(mark)) => {
            super::remark(&domain, &Mark { released: mark.arrived, ..mark }, true)?;
            domain.resume().map(drop).map_err(|e| failed("resume", &e))
        }
        (SeenPower::Paused | SeenPower::Off, _) => Err(missing()),
    }
}

impl Libvirt {
    pub(super) fn migration_uri(&self) -> Option<&String> {
        self.config.migration_uri.as_ref()
    }

    pub(super) async fn wait_for(&self, machine: &Machine) -> Result<(), Stopped> {
        let (mut machine, config) = (machine.clone(), self.config.clone());
        machine.mark.waiting = Some(machine.mark.generation);
        let defined = self.call("define", super::QUICK, move |link| super::define(link, &machine, &config));
        Ok(defined.await?)
    }

    /// Memory and overlay; ended when the job is overtaken.
    pub(super) async fn migrate_away(&self, sending: &Sending, work: &Work) -> Result<(), Stopped> {
        let (uri, asked) = (elsewhere(sending)?, sending.clone());
        let migrating = self.call("migrate", work.budget_left(), move |link| migrate(link, &uri, &asked));
        tokio::pin!(migrating);
        let mut looks = tokio::time::interval(PROGRESS);
        let mut aborted = false;
        loop {
            tokio::select! {
                biased;
                ended = &mut migrating => {
                    return match ended {
                        Ok(()) => Ok(()),
                        Err(_) if aborted => Err(Stopped::Overtaken { facts: Vec::new() }),
                        Err(error) => Err(error.into()),
                    };
                }
                () = work.cancelled().cancelled(), if !aborted => {
                    aborted = true;
                    self.abort(sending).await;
                }
                _ = looks.tick() => self.tell_progress(sending, work).await,
            }
        }
    }

    async fn abort(&self, sending: &Sending) {
        let name = sending.instance.to_string();
        let aborted = self.call("end a migration", super::QUICK, move |link| match owned(link, &name)? {
            Some((domain, _)) => Ok(super::events::abort_job(&domain)),
            None => Ok(false),
        });
        // When it was over already, what is there is looked at after it.
        let ended = aborted.await.unwrap_or(false);
        tracing::info!(instance = %sending.instance, ended, "a migration is to end");
    }

    async fn tell_progress(&self, sending: &Sending, work: &Work) {
        let name = sending.instance.to_string();
        let looked = self.call("look at a migration", super::QUICK, move |link| {
            let Some((domain, _)) = owned(link, &name)? else { return Ok(None) };
            let job = domain.get_job_info().map_err(|e| failed("look at a migration", &e))?;
            Ok(job.data_total.zip(job.data_processed))
        });
        if let Ok(Some((total, done))) = looked.await
            && total > 0
        {
            work.progress((done.min(total) * 100 / total) as u8, format!("{} of {} MiB sent", done >> 20, total >> 20));
        }
    }

    pub(super) async fn release(&self, sending: &Sending) -> Result<(), Stopped> {
        let (uri, asked) = (elsewhere(sending)?, sending.clone());
        Ok(self.call("let a guest run", super::START, move |_| let_run(&uri, &asked)).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_host_that_sends_become_those_of_the_other() {
        let disk = |path: &str, device: &str| {
            format!("<disk type='file'><source file='{path}' index='1'/><target dev='{device}' bus='virtio'/></disk>")
        };
        let of = |dir: &str| {
            let boot = disk(&format!("{dir}/i-a/disk.qcow2"), "vda");
            format!("{boot}<serial><log file=\"{dir}/i-a/console.log\"/></serial>")
        };
        let places = Places::of(&of("/data/h1"), &of("/data/h2")).unwrap();
        assert_eq!(places.moved(&of("/data/h1")), of("/data/h2"));
        assert!(Places::of("<domain/>", &of("/x")).is_none(), "a domain that is not ours");
        let with_serial = |dir: &str, number: u8| {
            let screen = format!("/var/lib/libvirt/qemu/domain-{number}-i-a/vnc.sock");
            let named = |name: &str| if number > 0 { format!(" {name}='{screen}'") } else { String::new() };
            // In whatever order libvirt tells the disks.
            let seed = disk(&format!("{dir}/i-a/seed.img"), "sda");
            format!(
                "{seed}{}<serial type='unix'><source mode='bind' path='{dir}/i-a.serial'/></serial>\
                 <graphics type='vnc'{}><listen type='socket'{}/></graphics>",
                of(dir),
                named("socket"),
                named("socket")
            )
        };
        let (here, there) = (with_serial("/run/h1", 3), with_serial("/run/h2", 0));
        assert_eq!(Places::of(&here, &there).unwrap().moved(&here), there, "no file of this host is named there");
        let older = Places::of(&of("/data/h1"), &there).unwrap();
        assert_eq!(older.moved(&of("/data/h1")), of("/run/h2"), "started by an earlier version");
    }
}
