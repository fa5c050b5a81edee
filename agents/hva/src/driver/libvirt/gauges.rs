//! What a move of a running guest has to carry: its memory and how fast it changes, its disk, the limits that libvirt holds a
//! migration to; and the link, by [`links`].
//!
//! Rules: memory that changes is found by QEMU's sampling of pages (`page-sampling`), which looks and does not touch. The
//! bitmap of QEMU 7.2 ends the guest under its own emulation, and slows it under KVM: it is never used. Of memory at most
//! what the host has given is told, because pages that were never touched are not sent.

use super::stats::{self, Fields};
use super::{Libvirt, QUICK, Told, failed, owned, power_of};
use crate::driver::gauges::{Gauges, LinkTo};
use crate::driver::{DriverError, SeenPower, links};
use arame_schema::jobs::forecast::{GuestLoad, LinkEnd, LinkRate};
use arame_schema::jobs::report::Retry;
use arame_schema::model::InstanceId;
use async_trait::async_trait;
use std::time::{Duration, Instant};
use virt::connect::Connect;
use virt::domain::Domain;

/// libvirt takes whole seconds, and one at least.
const LOOKED: Duration = Duration::from_secs(1);

/// Between two looks at whether QEMU has ended its measure, and how long it is waited for.
const STEP: Duration = Duration::from_millis(50);
const LATEST: Duration = Duration::from_secs(10);

/// What one sampled page stands for: QEMU looks at 512 of each GiB (`sample-pages` of calc-dirty-rate).
const SAMPLED_BYTES: u64 = (1 << 30) / 512;

/// virDomainDirtyRateStatus: VIR_DOMAIN_DIRTYRATE_MEASURED.
const MEASURED: u64 = virt_sys::VIR_DOMAIN_DIRTYRATE_MEASURED as u64;

/// What was there when the measure began.
struct Begun {
    at: Instant,
    written: Option<u64>,
}

/// Of a number of bytes changed in a second, the deviation that comes of looking at samples: as many as were found changed
/// vary by their root (Poisson), and one that was not found is possible.
fn deviation(bytes: u64) -> u64 {
    ((bytes.max(SAMPLED_BYTES) as f64) * SAMPLED_BYTES as f64).sqrt() as u64
}

fn running(link: &Connect, name: &str) -> Told<Option<Domain>> {
    let Some((domain, _)) = owned(link, name)? else { return Ok(None) };
    Ok((power_of(&domain)? != SeenPower::Off).then_some(domain))
}

/// Bytes written to the guest's own disk since it began.
fn written(fields: &Fields) -> Option<u64> {
    let (number, _) = fields.devices("block").into_iter().find(|(_, device)| device == super::xml::BOOT_DEVICE)?;
    fields.known(&format!("block.{number}.wr.bytes"))
}

fn begin(link: &Connect, name: &str) -> Told<Option<Begun>> {
    let Some(domain) = running(link, name)? else { return Ok(None) };
    let before =
        stats::of(&domain, virt_sys::VIR_DOMAIN_STATS_BLOCK).map_err(|e| failed("read a disk's figures", &e))?;
    let begun = Begun { at: Instant::now(), written: written(&before) };
    stats::begin_dirty_rate(&domain, LOOKED).map_err(|e| failed("measure how memory changes", &e))?;
    Ok(Some(begun))
}

/// `Ok(None)`: not yet.
fn end(link: &Connect, name: &str, begun: &Begun) -> Told<Option<GuestLoad>> {
    let wanted =
        virt_sys::VIR_DOMAIN_STATS_DIRTYRATE | virt_sys::VIR_DOMAIN_STATS_BALLOON | virt_sys::VIR_DOMAIN_STATS_BLOCK;
    let stopped = || DriverError::new("libvirt_error", format!("{name} stopped meanwhile"), Retry::Later);
    let domain = running(link, name)?.ok_or_else(stopped)?;
    let fields = stats::of(&domain, wanted).map_err(|e| failed("read a guest's figures", &e))?;
    if fields.known("dirtyrate.calc_status") != Some(MEASURED) {
        return Ok(None);
    }
    let untold = |what: &str| DriverError::new("libvirt_error", format!("libvirt does not tell {what}"), Retry::Later);
    let kib = |field: &str| fields.known(field).ok_or_else(|| untold(field));
    let changed = kib("dirtyrate.megabytes_per_second")? << 20;
    let given = kib("balloon.current")?.min(fields.known("balloon.rss").unwrap_or(u64::MAX)) << 10;
    let disk = domain.get_block_info(super::xml::BOOT_DEVICE, 0).map_err(|e| failed("look at the disk", &e))?;
    let pause = stats::pause_limit(&domain).map_err(|e| failed("read the limit of the pause", &e))?;
    let speed = domain.migrate_get_max_speed(0).map_err(|e| failed("read the limit of the rate", &e))?;
    let seconds = begun.at.elapsed().as_secs_f64();
    let more = written(&fields).zip(begun.written).map_or(0, |(after, before)| after.saturating_sub(before));
    Ok(Some(GuestLoad {
        memory_bytes: given,
        disk_bytes: disk.allocation,
        dirty_bytes_per_second: changed,
        dirty_error_bytes_per_second: deviation(changed),
        written_bytes_per_second: (more as f64 / seconds) as u64,
        pause_limit_ms: pause,
        limit_bytes_per_second: limit(speed),
    }))
}

/// libvirt's MiB a second; its highest number is no limit.
fn limit(mib: u64) -> Option<u64> {
    const NONE: u64 = (i64::MAX >> 20) as u64;
    (mib > 0 && mib < NONE).then_some(mib << 20)
}

/// The host of a URI such as `qemu+tls://root@h2.example:16514/system`, RFC 3986 section 3.2.2.
fn host_of(uri: &str) -> Option<&str> {
    let authority = uri.split_once("://")?.1.split(['/', '?', '#']).next()?;
    let place = authority.rsplit('@').next()?;
    let host = match place.strip_prefix('[') {
        Some(literal) => literal.split_once(']')?.0,
        None => place.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}

fn unreachable(what: &str, error: &std::io::Error) -> DriverError {
    DriverError::new("link_unreachable", format!("{what}: {error}"), Retry::Later)
}

fn nowhere(host: &str) -> DriverError {
    DriverError::new("host_cannot_move", format!("{host} does not say where its libvirt takes guests"), Retry::Never)
}

#[async_trait]
impl Gauges for Libvirt {
    async fn load(&self, instance: &InstanceId) -> Told<Option<GuestLoad>> {
        let name = instance.to_string();
        let begun = self.call("begin to look at a guest", QUICK, move |link| begin(link, &name)).await?;
        let Some(begun) = begun else { return Ok(None) };
        let begun = std::sync::Arc::new(begun);
        tokio::time::sleep(LOOKED).await;
        while begun.at.elapsed() < LATEST {
            let (name, since) = (instance.to_string(), begun.clone());
            let load = self.call("look at a guest", QUICK, move |link| end(link, &name, &since)).await?;
            if load.is_some() {
                return Ok(load);
            }
            tokio::time::sleep(STEP).await;
        }
        let message = format!("QEMU does not tell how fast the memory of {instance} changes");
        Err(DriverError::new("libvirt_error", message, Retry::Later))
    }

    async fn open_link(&self) -> Told<LinkEnd> {
        let host = self.migration_uri().and_then(|uri| host_of(uri)).ok_or_else(|| nowhere("this host"))?;
        let found = tokio::net::lookup_host((host, 0)).await.map_err(|error| unreachable(host, &error))?.next();
        let at = found.ok_or_else(|| nowhere("this host"))?.ip();
        links::open(at).await.map_err(|error| unreachable("no end of a link can be opened", &error))
    }

    async fn measure_link(&self, to: &LinkTo) -> Told<LinkRate> {
        let uri = to.endpoints.get(super::moves::ENDPOINT);
        let host = uri.and_then(|uri| host_of(uri)).ok_or_else(|| nowhere(to.host.as_str()))?;
        let measured = links::measure(host, &to.end).await;
        measured.map_err(|error| unreachable(&format!("{host} port {}", to.end.port), &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_uri_is_where_guests_are_sent() {
        for (uri, host) in [
            ("qemu+tcp://10.99.0.2/system", Some("10.99.0.2")),
            ("qemu+tls://root@h2.example:16514/system?no_verify=1", Some("h2.example")),
            ("qemu+tls://[2001:db8::2]:16514/system", Some("2001:db8::2")),
            ("qemu+ssh://h3", Some("h3")),
            ("qemu:///system", None),
            ("h2", None),
        ] {
            assert_eq!(host_of(uri), host, "{uri}");
        }
    }

    #[test]
    fn few_samples_are_less_sure_than_many() {
        assert_eq!(deviation(0), SAMPLED_BYTES, "what was not found may be one");
        assert_eq!(deviation(100 * SAMPLED_BYTES), 10 * SAMPLED_BYTES);
    }

    #[test]
    fn libvirts_highest_number_is_no_limit() {
        assert_eq!((limit(8_796_093_022_207), limit(0), limit(5)), (None, None, Some(5 << 20)));
    }
}
