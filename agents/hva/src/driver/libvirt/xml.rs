//! Domain, disk and secret XML: one typed writer, and a reader of the few things we look for.
//!
//! Rules: every disk says its format; what was read is never written back (libvirt knows elements we do not); names
//! given by users are escaped by the writer. The wire of aliases is ours: `ua-<vif id>`, `ua-<attachment id>`.

use crate::config::DomainType;
use crate::driver::{Machine, Mark};
use crate::switch::tap_name;
use arame_schema::jobs::hva::{Nic, PluggedVolume};
use arame_schema::limits::{NICS_MAX, VOLUMES_MAX};
use arame_schema::model::{AttachmentId, InstanceId, VifId};
use quick_xml::Writer;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use uuid::Uuid;

/// Our namespace in a domain's metadata.
pub const MARK_URI: &str = "https://arame.jp/xmlns/domain/1";
pub const MARK_KEY: &str = "arame";
const ALIAS: &str = "ua-";

/// The boot disk's, as its guest knows it.
pub const BOOT_DEVICE: &str = "vda";

/// The seed's, which is no disk of its owner's.
pub const SEED_DEVICE: &str = "sda";

/// Room for 2560 by 1600 points of 32 bits; memory of the host only as far as the guest draws.
const SCREEN_MEMORY_KIB: u32 = 16 * 1024;

/// An element being built.
#[derive(Debug, Clone)]
pub struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Element>,
    text: Option<String>,
}

impl Element {
    pub fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), children: Vec::new(), text: None }
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.attributes.push((name, value.to_string()));
        self
    }

    #[must_use]
    pub fn holding(mut self, child: Element) -> Self {
        self.children.push(child);
        self
    }

    #[must_use]
    pub fn holding_all(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children);
        self
    }

    #[must_use]
    pub fn saying(mut self, text: impl ToString) -> Self {
        self.text = Some(text.to_string());
        self
    }

    pub fn render(&self) -> String {
        let mut writer = Writer::new(Vec::new());
        // Writing into memory cannot fail.
        let _ = self.write(&mut writer);
        String::from_utf8_lossy(&writer.into_inner()).into_owned()
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        let mut start = BytesStart::new(self.name);
        for (name, value) in &self.attributes {
            start.push_attribute((*name, value.as_str()));
        }
        if self.children.is_empty() && self.text.is_none() {
            return writer.write_event(Event::Empty(start));
        }
        writer.write_event(Event::Start(start))?;
        if let Some(text) = &self.text {
            writer.write_event(Event::Text(BytesText::new(text)))?;
        }
        for child in &self.children {
            child.write(writer)?;
        }
        writer.write_event(Event::End(BytesEnd::new(self.name)))
    }
}

fn e(name: &'static str) -> Element {
    Element::new(name)
}

/// The mark as libvirt keeps it. `prefix` is how libvirt wants it inside a whole domain.
pub fn mark(mark: &Mark, inside_domain: bool) -> Element {
    let element = if inside_domain { e("arame:mark").with("xmlns:arame", MARK_URI) } else { e("mark") };
    let element = element
        .with("installation", mark.installation)
        .with("instance", &mark.instance)
        .with("account", &mark.account)
        .with("generation", mark.generation);
    let element = match mark.operation {
        Some(operation) => element.with("operation", operation),
        None => element,
    };
    let known = [("waiting", mark.waiting), ("arrived", mark.arrived), ("released", mark.released)];
    let known = known.into_iter().filter_map(|(name, generation)| Some((name, generation?)));
    known.fold(element, |element, (name, generation)| element.with(name, generation))
}

/// The guest's definition as it goes to a host that waits for it under this generation.
pub fn with_arrival(xml: &str, generation: u64) -> String {
    const MARK: &str = "<arame:mark";
    match xml.split_once(MARK) {
        Some((before, after)) => {
            let (element, rest) = after.split_once('>').unwrap_or((after, ""));
            // A guest that was moved before carries the generation of that time.
            let element = without(element, "arrived");
            format!("{before}{MARK} arrived=\"{generation}\"{element}>{rest}")
        }
        None => xml.to_owned(),
    }
}

/// An element's text without one of its attributes.
fn without(element: &str, attribute: &str) -> String {
    let named = format!(" {attribute}=");
    let Some((before, after)) = element.split_once(&named) else { return element.to_owned() };
    let rest = after.chars().next().and_then(|quote| after[1..].split_once(quote)).map_or("", |(_, rest)| rest);
    format!("{before}{rest}")
}

/// The port by which libvirt and `qemu-guest-agent` know each other (QEMU Guest Agent, "Options").
const AGENT_CHANNEL: &str = "org.qemu.guest_agent.0";

/// The whole domain. `targets` names the volumes' devices.
pub fn domain(
    machine: &Machine,
    kind: DomainType,
    emulator: Option<&str>,
    serial: &Path,
    targets: &BTreeMap<AttachmentId, String>,
) -> String {
    let spec = &machine.spec;
    let name = |text: &'static str, value: &dyn ToString| e(text).saying(value.to_string());
    let mut features = e("features").holding(e("acpi"));
    if kind == DomainType::Qemu {
        // The translation cache is most of an emulated guest's memory.
        let cache = e("tb-cache").with("unit", "MiB").saying(64);
        features = features.holding(e("tcg").holding(cache));
    }
    e("domain")
        .with("type", kind.as_str())
        .holding(name("name", &spec.instance))
        .holding(name("uuid", &spec.uuid))
        .holding(e("metadata").holding(mark(&machine.mark, true)))
        .holding(e("memory").with("unit", "MiB").saying(spec.memory_mib))
        .holding(name("vcpu", &spec.vcpus))
        .holding(e("os").holding(e("type").with("arch", "x86_64").with("machine", "q35").saying("hvm")))
        .holding(features)
        .holding(e("cpu").with("mode", if kind == DomainType::Kvm { "host-model" } else { "maximum" }))
        .holding(e("clock").with("offset", "utc"))
        .holding(name("on_poweroff", &"destroy"))
        .holding(name("on_reboot", &"restart"))
        .holding(name("on_crash", &"destroy"))
        .holding(devices(machine, kind, emulator, targets).holding_all(consoles(machine, serial)))
        .render()
}

fn devices(
    machine: &Machine,
    kind: DomainType,
    emulator: Option<&str>,
    targets: &BTreeMap<AttachmentId, String>,
) -> Element {
    let spec = &machine.spec;
    let volumes = spec.volumes.iter().filter_map(|volume| Some((volume, targets.get(&volume.attachment)?)));
    // Boot disk, the seed's controller, random numbers, pointer and the agent's channel take one each; as many interfaces and
    // volumes as may ever be attached can come while it runs.
    let ports = 5 + NICS_MAX.max(spec.nics.len()) + VOLUMES_MAX.max(spec.volumes.len());
    let mut nics: Vec<&Nic> = spec.nics.iter().collect();
    nics.sort_by_key(|nic| nic.index);
    e("devices")
        .holding_all(emulator.map(|path| e("emulator").saying(path)))
        .holding(e("controller").with("type", "pci").with("index", 0).with("model", "pcie-root"))
        .holding_all(
            (1..=ports)
                .map(|index| e("controller").with("type", "pci").with("index", index).with("model", "pcie-root-port")),
        )
        .holding(e("controller").with("type", "usb").with("model", "none"))
        .holding(boot_disk(machine))
        .holding(e("controller").with("type", "scsi").with("index", 0).with("model", "virtio-scsi"))
        .holding(seed_disk(machine))
        .holding_all(volumes.map(|(volume, target)| volume_disk(volume, target)))
        .holding_all(nics.into_iter().map(|nic| interface(nic, kind)))
        .holding(e("memballoon").with("model", "none"))
        .holding(rng())
}

/// The serial port, logged by QEMU whoever listens, a screen with a pointer that needs no capturing, and the channel of an agent
/// in the guest. They are reached by unix sockets of this host; libvirt names the last two's, in folders that QEMU may write to.
fn consoles(machine: &Machine, serial: &Path) -> [Element; 5] {
    let log = e("log").with("file", machine.console.display()).with("append", "on");
    let port = e("target").with("type", "isa-serial").with("port", 0);
    let socket = e("source").with("mode", "bind").with("path", serial.display());
    let listen = e("listen").with("type", "socket");
    [
        e("serial").with("type", "unix").holding(socket).holding(log).holding(port),
        e("graphics").with("type", "vnc").with("sharePolicy", "force-shared").holding(listen),
        e("video").holding(e("model").with("type", "vga").with("vram", SCREEN_MEMORY_KIB)),
        e("input").with("type", "tablet").with("bus", "virtio"),
        e("channel").with("type", "unix").holding(e("target").with("type", "virtio").with("name", AGENT_CHANNEL)),
    ]
}

fn rng() -> Element {
    let source = e("backend").with("model", "random").saying("/dev/urandom");
    e("rng").with("model", "virtio").holding(source)
}

fn boot_disk(machine: &Machine) -> Element {
    let driver = e("driver").with("name", "qemu").with("type", "qcow2").with("cache", "writeback");
    e("disk")
        .with("type", "file")
        .with("device", "disk")
        .holding(driver.with("discard", "unmap"))
        .holding(e("source").with("file", machine.disk.display()))
        .holding(e("target").with("dev", BOOT_DEVICE).with("bus", "virtio"))
        .holding(e("boot").with("order", 1))
}

/// On a bus of its own, so that volumes are named as if it were not there. Debian's cloud kernel has no SATA.
fn seed_disk(machine: &Machine) -> Element {
    e("disk")
        .with("type", "file")
        .with("device", "disk")
        .holding(e("driver").with("name", "qemu").with("type", "raw"))
        .holding(e("source").with("file", machine.seed.display()))
        .holding(e("target").with("dev", SEED_DEVICE).with("bus", "scsi"))
        .holding(e("readonly"))
}

/// A volume over QEMU's own initiator.
pub fn volume_disk(volume: &PluggedVolume, target: &str) -> Element {
    let (host, port) = volume.portal.rsplit_once(':').unwrap_or((volume.portal.as_str(), "3260"));
    let secret = e("secret").with("type", "iscsi").with("uuid", secret_uuid(&volume.attachment));
    let source = e("source")
        .with("protocol", "iscsi")
        .with("name", format!("{}/{}", volume.iqn, volume.lun))
        .holding(e("host").with("name", host).with("port", port))
        .holding(e("auth").with("username", &volume.chap_user).holding(secret))
        .holding(e("initiator").holding(e("iqn").with("name", &volume.initiator_iqn)));
    let driver = e("driver").with("name", "qemu").with("type", "raw").with("cache", "none");
    e("disk")
        .with("type", "network")
        .with("device", "disk")
        .holding(driver.with("discard", "unmap"))
        .holding(source)
        .holding(e("target").with("dev", target).with("bus", "virtio"))
        .holding(e("serial").saying(&volume.serial))
        .holding(e("alias").with("name", format!("{ALIAS}{}", volume.attachment)))
}

/// A NIC on a tap the switch already knows. Offloads are off: the userspace datapath forwards frames as they come, and
/// nobody would fill in a checksum left to hardware.
pub fn interface(nic: &Nic, kind: DomainType) -> Element {
    let off = |element: Element, names: &[&'static str]| names.iter().fold(element, |el, name| el.with(name, "off"));
    let mut driver = e("driver");
    if kind == DomainType::Qemu {
        driver = driver.with("name", "qemu");
    }
    let driver = driver
        .holding(off(e("host"), &["csum", "gso", "tso4", "tso6", "ecn", "ufo"]))
        .holding(off(e("guest"), &["csum", "tso4", "tso6", "ecn", "ufo"]));
    e("interface")
        .with("type", "ethernet")
        .holding(e("mac").with("address", nic.mac))
        .holding(e("target").with("dev", tap_name(&nic.vif)).with("managed", "no"))
        .holding(e("model").with("type", "virtio"))
        .holding(driver)
        .holding(e("mtu").with("size", nic.mtu))
        .holding(e("rom").with("enabled", "no"))
        .holding(e("alias").with("name", format!("{ALIAS}{}", nic.vif)))
}

/// How a running guest is asked to let a disk go: libvirt finds it by its target.
pub fn disk_to_detach(target: &str) -> String {
    e("disk")
        .with("type", "network")
        .with("device", "disk")
        .holding(e("target").with("dev", target).with("bus", "virtio"))
        .render()
}

/// The same of an interface: libvirt finds it by its address.
pub fn interface_to_detach(mac: &str) -> String {
    e("interface").with("type", "ethernet").holding(e("mac").with("address", mac)).render()
}

/// The same attachment has the same secret on every host and in every process.
pub fn secret_uuid(attachment: &AttachmentId) -> Uuid {
    let digest = Sha256::digest(format!("arame-chap:{attachment}").as_bytes());
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Kept in memory only (`ephemeral`) and never shown again (`private`). The description is its mark.
pub fn secret(owner: &Mark, attachment: &AttachmentId) -> String {
    let description = format!("arame {} {} {attachment}", owner.installation, owner.instance);
    let usage = e("usage").with("type", "iscsi").holding(e("target").saying(format!("arame-{attachment}")));
    e("secret")
        .with("ephemeral", "yes")
        .with("private", "yes")
        .holding(e("uuid").saying(secret_uuid(attachment)))
        .holding(e("description").saying(description))
        .holding(usage)
        .render()
}

/// Reads a secret's mark from its description.
pub fn secret_mark(xml: &str) -> Option<(Uuid, InstanceId, AttachmentId)> {
    let text = Reading::of(xml).description?;
    let mut words = text.split_whitespace();
    (words.next()? == "arame").then_some(())?;
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// What we look for in a domain's XML.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reading {
    pub mark: Option<Mark>,
    /// Devices of our volumes by attachment.
    pub volumes: BTreeMap<AttachmentId, String>,
    /// MAC addresses of our interfaces.
    pub nics: BTreeMap<VifId, String>,
    /// Every disk's device, ours or not.
    pub targets: Vec<String>,
    /// A program in the guest holds the agent's channel open.
    pub guest_agent: bool,
    /// A secret's description.
    pub description: Option<String>,
}

/// What was read of a disk or an interface so far.
#[derive(Debug, Default)]
struct Device {
    target: Option<String>,
    mac: Option<String>,
    alias: Option<String>,
}

impl Reading {
    /// XML that does not parse reads as empty: then it is not ours.
    pub fn of(xml: &str) -> Self {
        let mut reader = quick_xml::Reader::from_str(xml);
        let mut reading = Reading::default();
        let mut path: Vec<String> = Vec::new();
        let mut device = Device::default();
        loop {
            match reader.read_event() {
                Ok(Event::Start(start)) => {
                    let name = local(&start);
                    reading.element(&path, &name, &start, &mut device);
                    path.push(name);
                }
                Ok(Event::Empty(start)) => {
                    reading.element(&path, &local(&start), &start, &mut device);
                }
                Ok(Event::Text(text)) if path.len() == 2 && path[1] == "description" => {
                    reading.description = Some(text.trim().to_owned());
                }
                Ok(Event::End(_)) => {
                    let ended = path.pop();
                    if matches!(ended.as_deref(), Some("disk" | "interface")) {
                        reading.take(std::mem::take(&mut device));
                    }
                }
                Ok(Event::Eof) | Err(_) => return reading,
                Ok(_) => {}
            }
        }
    }

    fn element(&mut self, path: &[String], name: &str, start: &BytesStart<'_>, device: &mut Device) {
        match (path.last().map(String::as_str), name) {
            (Some("metadata"), "mark") => self.mark = read_mark(start),
            (Some("channel"), "target") if attribute(start, "name").as_deref() == Some(AGENT_CHANNEL) => {
                self.guest_agent = attribute(start, "state").as_deref() == Some("connected");
            }
            (Some("disk"), "target") => device.target = attribute(start, "dev"),
            (Some("interface"), "mac") => device.mac = attribute(start, "address"),
            (Some("disk" | "interface"), "alias") => device.alias = attribute(start, "name"),
            _ => {}
        }
    }

    fn take(&mut self, device: Device) {
        let own = device.alias.as_deref().and_then(|alias| alias.strip_prefix(ALIAS));
        if let (Some(mac), Some(vif)) = (device.mac, own.and_then(|own| own.parse().ok())) {
            self.nics.insert(vif, mac);
        }
        if let Some(target) = device.target {
            if let Some(attachment) = own.and_then(|own| own.parse().ok()) {
                self.volumes.insert(attachment, target.clone());
            }
            self.targets.push(target);
        }
    }
}

fn local(start: &BytesStart<'_>) -> String {
    start.local_name().as_ref().to_owned()
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = start.try_get_attribute(name).ok()??;
    Some(found.value.into_owned())
}

fn read_mark(start: &BytesStart<'_>) -> Option<Mark> {
    Some(Mark {
        installation: attribute(start, "installation")?.parse().ok()?,
        instance: attribute(start, "instance")?.parse().ok()?,
        account: attribute(start, "account")?.parse().ok()?,
        generation: attribute(start, "generation")?.parse().ok()?,
        operation: attribute(start, "operation").and_then(|text| text.parse().ok()),
        waiting: attribute(start, "waiting").and_then(|text| text.parse().ok()),
        arrived: attribute(start, "arrived").and_then(|text| text.parse().ok()),
        released: attribute(start, "released").and_then(|text| text.parse().ok()),
    })
}

/// Device names for the wanted attachments: those known keep theirs, the others take the first free one.
pub fn assign_targets<'a>(
    wanted: impl IntoIterator<Item = &'a AttachmentId>,
    known: &BTreeMap<AttachmentId, String>,
) -> BTreeMap<AttachmentId, String> {
    let wanted: Vec<&AttachmentId> = wanted.into_iter().collect();
    let mut taken: Vec<String> = known.values().cloned().collect();
    let mut assigned = BTreeMap::new();
    for attachment in wanted {
        let target = known.get(attachment).cloned().or_else(|| {
            let free = ('b'..='z').map(|letter| format!("vd{letter}")).find(|name| !taken.contains(name))?;
            taken.push(free.clone());
            Some(free)
        });
        if let Some(target) = target {
            assigned.insert(attachment.clone(), target);
        }
    }
    assigned
}

/// Whether QEMU runs as root, and which mandatory security model confines it, from libvirt's capabilities.
pub fn confinement(capabilities: &str) -> (bool, bool) {
    let root = ["<baselabel type='kvm'>+0:+0<", "<baselabel type='qemu'>+0:+0<"];
    let as_root = root.iter().any(|label| capabilities.contains(label));
    let confined = ["<model>apparmor</model>", "<model>selinux</model>"].iter().any(|m| capabilities.contains(m));
    (as_root, confined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn att(text: &str) -> AttachmentId {
        text.parse().unwrap()
    }

    fn a_mark() -> Mark {
        Mark {
            installation: Uuid::from_u128(7),
            instance: "i-a".parse().unwrap(),
            account: "a-b".parse().unwrap(),
            generation: 12,
            operation: Some(Uuid::from_u128(9)),
            waiting: None,
            arrived: None,
            released: None,
        }
    }

    #[test]
    fn a_mark_and_its_volumes_are_read_back() {
        let xml = format!(
            "<domain><metadata>{}</metadata><devices><disk><target dev='vda'/></disk>\
             <disk><target dev='vdc'/><alias name='ua-att-1'/></disk>\
             <interface><mac address='52:54:00:00:00:01'/><target dev='vif-a'/><alias name='ua-vif-a'/></interface>\
             </devices></domain>",
            mark(&a_mark(), true).render()
        );
        let reading = Reading::of(&xml);
        assert_eq!(reading.mark, Some(a_mark()));
        assert_eq!(reading.volumes, BTreeMap::from([(att("att-1"), "vdc".to_owned())]));
        assert_eq!(reading.targets, ["vda", "vdc"]);
        assert_eq!(reading.nics, BTreeMap::from([("vif-a".parse().unwrap(), "52:54:00:00:00:01".to_owned())]));
    }

    #[test]
    fn a_domain_without_our_mark_reads_as_not_ours() {
        let xml = "<domain><metadata><other:mark xmlns:other='x' generation='3'/></metadata></domain>";
        assert_eq!(Reading::of(xml).mark, None);
        assert_eq!(Reading::of("not xml <"), Reading::default());
    }

    #[test]
    fn a_secret_carries_its_mark_and_not_its_value() {
        let xml = secret(&a_mark(), &att("att-1"));
        assert_eq!(secret_mark(&xml), Some((Uuid::from_u128(7), "i-a".parse().unwrap(), att("att-1"))));
        assert!(xml.contains("ephemeral=\"yes\"") && xml.contains("private=\"yes\""));
    }

    #[test]
    fn a_plugged_volume_keeps_its_device_and_a_new_one_takes_a_free_one() {
        let known = BTreeMap::from([(att("att-2"), "vdb".to_owned())]);
        let assigned = assign_targets([&att("att-1"), &att("att-2")], &known);
        assert_eq!(assigned[&att("att-2")], "vdb");
        assert_eq!(assigned[&att("att-1")], "vdc");
    }

    #[test]
    fn what_a_user_names_cannot_leave_its_element() {
        let xml = Element::new("serial").saying("</serial><evil/>").render();
        assert!(!xml.contains("<evil"), "{xml}");
    }
}
