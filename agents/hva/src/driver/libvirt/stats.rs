//! The counters of running guests, by one call of libvirt for all, and what they mean. The second file of this crate with
//! `unsafe`: the binding neither reads the records nor gives their memory back.
//!
//! Rule: the call waits for no guest that is busy with something else (`NOWAIT`): of that one less is known this time. What
//! libvirt gave is copied and freed before anybody looks at it.
#![allow(unsafe_code)]

use super::xml::{self, Reading as Described};
use super::{DriverError, Libvirt, QUICK, Told, described, failed};
use crate::driver::meters::Meters;
use crate::switch::tap_name;
use arame_schema::jobs::figures::{DiskTotals, MemoryNow, Totals, VifTotals};
use arame_schema::jobs::report::Retry;
use arame_schema::model::{AttachmentId, InstanceId, VifId};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error as VirtError;

const WANTED: u32 = virt_sys::VIR_DOMAIN_STATS_STATE
    | virt_sys::VIR_DOMAIN_STATS_CPU_TOTAL
    | virt_sys::VIR_DOMAIN_STATS_BALLOON
    | virt_sys::VIR_DOMAIN_STATS_VCPU
    | virt_sys::VIR_DOMAIN_STATS_INTERFACE
    | virt_sys::VIR_DOMAIN_STATS_BLOCK;

/// Most fields of one guest that are looked at: 40 of each device and of each CPU are less.
const FIELDS_MAX: usize = 8192;

/// A guest's numbers and names, under libvirt's own names (virConnectGetAllDomainStats).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields {
    numbers: BTreeMap<String, u64>,
    texts: BTreeMap<String, String>,
}

/// Of every guest that runs: its name and its fields.
fn all(connection: &Connect) -> Result<Vec<(String, Fields)>, VirtError> {
    let flags = virt_sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | virt_sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT;
    let mut records: *mut virt_sys::virDomainStatsRecordPtr = std::ptr::null_mut();
    // SAFETY: the connection is open as long as the reference; libvirt writes the list's address.
    let count = unsafe { virt_sys::virConnectGetAllDomainStats(connection.as_ptr(), WANTED, &mut records, flags) };
    let count = usize::try_from(count).map_err(|_| VirtError::last_error())?;
    // SAFETY: libvirt filled `count` records just now.
    Ok(unsafe { taken(records, count) })
}

/// The fields of one guest. Of one that is busy with something else less is known.
pub(super) fn of(domain: &Domain, wanted: u32) -> Result<Fields, VirtError> {
    let mut domains = [domain.as_ptr(), std::ptr::null_mut()];
    let mut records: *mut virt_sys::virDomainStatsRecordPtr = std::ptr::null_mut();
    let flags = virt_sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT;
    // SAFETY: the list is ended by a null and outlives the call, as the domain does.
    let count = unsafe { virt_sys::virDomainListGetStats(domains.as_mut_ptr(), wanted, &mut records, flags) };
    let count = usize::try_from(count).map_err(|_| VirtError::last_error())?;
    // SAFETY: libvirt filled `count` records just now.
    let found = unsafe { taken(records, count) };
    Ok(found.into_iter().next().map(|(_, fields)| fields).unwrap_or_default())
}

/// QEMU begins to look for so many seconds at how fast the guest's memory changes, by samples of its pages.
pub(super) fn begin_dirty_rate(domain: &Domain, looked: Duration) -> Result<(), VirtError> {
    let seconds = i32::try_from(looked.as_secs()).unwrap_or(1);
    let mode = virt_sys::VIR_DOMAIN_DIRTYRATE_MODE_PAGE_SAMPLING;
    // SAFETY: the pointer is the domain's own and lives as long as the reference.
    let answer = unsafe { virt_sys::virDomainStartDirtyRateCalc(domain.as_ptr(), seconds, mode) };
    if answer == 0 { Ok(()) } else { Err(VirtError::last_error()) }
}

/// For how many milliseconds a migration may let the guest stand still.
pub(super) fn pause_limit(domain: &Domain) -> Result<u64, VirtError> {
    let mut limit = 0;
    // SAFETY: the pointer is the domain's own; libvirt writes one number.
    let answer = unsafe { virt_sys::virDomainMigrateGetMaxDowntime(domain.as_ptr(), &mut limit, 0) };
    if answer == 0 { Ok(limit) } else { Err(VirtError::last_error()) }
}

/// Copies the records and gives them back.
///
/// # Safety
/// libvirt filled so many records and they were not freed.
unsafe fn taken(records: *mut virt_sys::virDomainStatsRecordPtr, count: usize) -> Vec<(String, Fields)> {
    let mut found = Vec::with_capacity(count);
    for place in 0..count {
        // SAFETY: libvirt filled `count` records; each lives until the list is freed below.
        unsafe {
            let record = &**records.add(place);
            let name = virt_sys::virDomainGetName(record.dom);
            if !name.is_null() {
                found.push((CStr::from_ptr(name).to_string_lossy().into_owned(), copied(record)));
            }
        }
    }
    // SAFETY: given by the caller, freed once; nothing of it was kept.
    unsafe { virt_sys::virDomainStatsRecordListFree(records) };
    found
}

/// # Safety
/// The record is one that libvirt filled and that was not freed.
unsafe fn copied(record: &virt_sys::virDomainStatsRecord) -> Fields {
    let mut fields = Fields::default();
    let count = usize::try_from(record.nparams).unwrap_or(0).min(FIELDS_MAX);
    for place in 0..count {
        // SAFETY: `nparams` parameters are there; which member of the union was written is said by the type; the name is
        // ended by a zero within its array, and so is a text.
        unsafe {
            let field = &*record.params.add(place);
            let name = CStr::from_ptr(field.field.as_ptr()).to_string_lossy().into_owned();
            let number = match field.type_ as u32 {
                virt_sys::VIR_TYPED_PARAM_INT => u64::try_from(field.value.i).ok(),
                virt_sys::VIR_TYPED_PARAM_UINT => Some(u64::from(field.value.ui)),
                virt_sys::VIR_TYPED_PARAM_LLONG => u64::try_from(field.value.l).ok(),
                virt_sys::VIR_TYPED_PARAM_ULLONG => Some(field.value.ul),
                virt_sys::VIR_TYPED_PARAM_STRING if !field.value.s.is_null() => {
                    let text = CStr::from_ptr(field.value.s).to_string_lossy().into_owned();
                    fields.texts.insert(name, text);
                    continue;
                }
                _ => None,
            };
            fields.numbers.extend(number.map(|number| (name, number)));
        }
    }
    fields
}

impl Fields {
    pub(super) fn known(&self, name: &str) -> Option<u64> {
        self.numbers.get(name).copied()
    }

    fn number(&self, name: &str) -> u64 {
        self.known(name).unwrap_or(0)
    }

    /// The devices of a kind, as libvirt numbers them, with their names: `block` or `net`.
    pub(super) fn devices(&self, kind: &str) -> Vec<(u64, String)> {
        let named = |number| Some((number, self.texts.get(&format!("{kind}.{number}.name"))?.clone()));
        (0..self.number(&format!("{kind}.count"))).filter_map(named).collect()
    }

    /// What the numbers mean, with the names that the definition has for the devices.
    fn totals(&self, described: &Described) -> Totals {
        let of =
            |device: &str| described.volumes.iter().find(|(_, target)| *target == device).map(|(id, _)| id.clone());
        let own = self.devices("block").into_iter().filter(|(_, device)| device != xml::SEED_DEVICE);
        let disks = own.map(|(n, device)| {
            let attachment: Option<AttachmentId> = of(&device);
            let number = |what: &str| self.number(&format!("block.{n}.{what}"));
            let totals = DiskTotals {
                attachment,
                read_bytes: number("rd.bytes"),
                reads: number("rd.reqs"),
                written_bytes: number("wr.bytes"),
                writes: number("wr.reqs"),
            };
            (device, totals)
        });
        let vif_of = |tap: &str| -> Option<VifId> { described.nics.keys().find(|vif| tap_name(vif) == tap).cloned() };
        let vifs = self.devices("net").into_iter().filter_map(|(n, tap)| {
            let number = |what: &str| self.number(&format!("net.{n}.{what}"));
            // libvirt turns the tap's two ways round: they are the guest's.
            let totals = VifTotals {
                received_bytes: number("rx.bytes"),
                received_packets: number("rx.pkts"),
                received_drops: number("rx.drop"),
                sent_bytes: number("tx.bytes"),
                sent_packets: number("tx.pkts"),
                sent_drops: number("tx.drop"),
            };
            Some((vif_of(&tap)?, totals))
        });
        let known = |name: &str| self.known(name);
        let memory = MemoryNow {
            kib: self.number("balloon.current"),
            resident_kib: known("balloon.rss"),
            usable_kib: known("balloon.usable").or(known("balloon.unused")),
        };
        let vcpus = u32::try_from(self.number("vcpu.current")).unwrap_or(0);
        Totals { vcpus, cpu_ns: self.number("cpu.time"), memory, disks: disks.collect(), vifs: vifs.collect() }
    }
}

/// What the definitions of guests said about their devices, so that they are not asked for each time.
pub(super) type Known = Arc<Mutex<BTreeMap<String, (Vec<String>, Described)>>>;

/// Up while a reading has not come back.
struct Under(Arc<AtomicBool>);

impl Drop for Under {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[async_trait]
impl Meters for Libvirt {
    async fn read(&self) -> Told<Vec<(InstanceId, Totals)>> {
        if self.metering.swap(true, Ordering::AcqRel) {
            let message = "the last reading of the guests' figures has not come back";
            return Err(DriverError::new("libvirt_hung", message, Retry::Later));
        }
        let (under, known) = (Under(self.metering.clone()), self.known.clone());
        self.call("read the guests' figures", QUICK, move |link| {
            let _under = under;
            let read = all(link).map_err(|e| failed("read the guests' figures", &e))?;
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|name, _| read.iter().any(|(found, _)| found == name));
            let totals = |(name, fields): (String, Fields)| {
                let instance: InstanceId = name.parse().ok()?;
                let described = devices_of(link, &mut known, &name, &fields)?;
                Some((instance, fields.totals(described)))
            };
            Ok(read.into_iter().filter_map(totals).collect())
        })
        .await
    }
}

/// The definition's names for the devices; none of a guest that is not ours. Where a disk was exchanged for another the
/// device's name says nothing of it, so guests with volumes are described each time.
fn devices_of<'a>(
    link: &Connect,
    known: &'a mut BTreeMap<String, (Vec<String>, Described)>,
    name: &str,
    fields: &Fields,
) -> Option<&'a Described> {
    let disks = fields.devices("block");
    let names: Vec<String> = disks.iter().chain(&fields.devices("net")).map(|(_, device)| device.clone()).collect();
    let is_known = disks.len() < 2 && known.get(name).is_some_and(|(devices, _)| *devices == names);
    if !is_known {
        let domain = Domain::lookup_by_name(link, name).ok()?;
        known.insert(name.to_owned(), (names, described(&domain, 0).ok()?));
    }
    let (_, described) = known.get(name)?;
    described.mark.as_ref().filter(|mark| mark.instance.as_str() == name).map(|_| described)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libvirts_numbers_are_told_by_our_names() {
        let mut fields = Fields::default();
        for (name, value) in [
            ("cpu.time", 1_500_000_000),
            ("vcpu.current", 2),
            ("balloon.current", 262_144),
            ("balloon.rss", 100_000),
            ("block.count", 2),
            ("block.0.rd.bytes", 4096),
            ("block.0.rd.reqs", 3),
            ("block.1.wr.bytes", 512),
            ("block.1.wr.reqs", 1),
            ("net.count", 2),
            ("net.0.rx.bytes", 342),
            ("net.0.tx.drop", 5),
            ("net.1.rx.bytes", 9),
        ] {
            fields.numbers.insert(name.into(), value);
        }
        for (name, value) in
            [("block.0.name", "vda"), ("block.1.name", "vdb"), ("net.0.name", "vif-a"), ("net.1.name", "tap9")]
        {
            fields.texts.insert(name.into(), value.into());
        }
        let described = Described {
            volumes: BTreeMap::from([("att-1".parse().unwrap(), "vdb".to_owned())]),
            nics: BTreeMap::from([("vif-a".parse().unwrap(), "52:54:00:00:00:01".to_owned())]),
            ..Described::default()
        };
        let totals = fields.totals(&described);
        assert_eq!((totals.vcpus, totals.cpu_ns), (2, 1_500_000_000));
        assert_eq!(totals.memory, MemoryNow { kib: 262_144, resident_kib: Some(100_000), usable_kib: None });
        assert_eq!((totals.disks["vda"].read_bytes, totals.disks["vda"].reads), (4096, 3));
        assert_eq!(totals.disks["vda"].attachment, None);
        assert_eq!(totals.disks["vdb"].attachment, Some("att-1".parse().unwrap()));
        assert_eq!(totals.disks["vdb"].written_bytes, 512);
        let ours: Vec<(&str, u64, u64)> =
            totals.vifs.iter().map(|(id, vif)| (id.as_str(), vif.received_bytes, vif.sent_drops)).collect();
        assert_eq!(ours, [("vif-a", 342, 5)], "a tap that is no interface of ours is not told");
    }

    #[test]
    fn of_a_guest_that_was_busy_what_is_missing_is_not_made_up() {
        let fields = Fields { numbers: BTreeMap::from([("cpu.time".into(), 7)]), ..Fields::default() };
        let totals = fields.totals(&Described::default());
        assert_eq!(totals, Totals { cpu_ns: 7, ..Totals::default() });
    }
}
