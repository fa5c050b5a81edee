//! The switch driver on Open vSwitch: taps, ports, flows, and a watcher that puts back what the bridge lost.
//!
//! Rule: the bridge's flows are ours alone. Each change is one bundle (OpenFlow 1.4 and later): the new set added
//! under a new cookie, the old cookie deleted, and no packet sees half of it. Connection tracking is not touched by a
//! change, so what is established goes on. A cookie is `0xa7`, 40 bits of the policy's version, 16 bits of revision.

mod db;
mod openflow;

use crate::command::{CommandError, Run};
use crate::config::OvsConfig;
use crate::driver::DriverError;
use crate::policy::Policy;
use crate::switch::flows::{self, Uplinks};
use crate::switch::link::{self, LISTENER, LISTENER_MAC, METADATA_LINK};
use crate::switch::{Port, SeenPort, Switch, tap_name, taps};
use arame_schema::jobs::report::Retry;
use arame_schema::model::{InstanceId, VifId};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use db::{Db, DbError, Interface, map};
use openflow::Probe;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

/// `ovs-ofctl` on a living machine.
const TOOL_LIMIT: Duration = Duration::from_secs(10);
/// For the switch to take a device in; beyond it the switch is not running.
const PORT_LIMIT: Duration = Duration::from_secs(10);
/// For an inventory to wait on a database that is being reached.
const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// For the metadata device within one round of the watcher; the next round goes on waiting.
const LINK_LIMIT: Duration = Duration::from_millis(500);
/// Between two counts of our flows: with the reconnect below, a repair within 2 s.
const WATCH: Duration = Duration::from_secs(1);
/// Between two attempts to reach a switch that is away.
const REACH: Duration = Duration::from_millis(200);
const COOKIE_MARK: u64 = 0xa7 << 56;

const INSTALLATION: &str = "arame-installation";
const INSTANCE: &str = "arame-instance";
const VIF: &str = "arame-vif";
const GENERATION: &str = "arame-generation";
const ADDRESS: &str = "arame-ipv4";
const TAG: &str = "arame-tag";

/// What the bridge was last given.
#[derive(Default)]
struct Applied {
    cookie: u64,
    flows: Vec<String>,
    /// Nothing is known about the bridge's flows: a new process, or a switch that restarted.
    unknown: bool,
}

struct Inner {
    config: OvsConfig,
    db: Db,
    metadata: bool,
    policy: ArcSwap<Policy>,
    guests: ArcSwap<HashMap<u32, VifId>>,
    /// Ports that the switch shall have, by the name of their tap. Held while rows are written, so that a repair and a
    /// job never write the same row.
    ports: Mutex<BTreeMap<String, Port>>,
    applied: Mutex<Applied>,
    /// Index of the metadata device that was last given its address; 0: none.
    link_index: AtomicU32,
}

#[derive(Clone)]
pub struct Ovs {
    inner: Arc<Inner>,
}

impl From<DbError> for DriverError {
    fn from(error: DbError) -> Self {
        DriverError::new("switch_error", error.to_string(), Retry::Later)
    }
}

impl From<CommandError> for DriverError {
    fn from(error: CommandError) -> Self {
        DriverError::new("host_error", error.to_string(), Retry::Later)
    }
}

impl Ovs {
    /// Starts the driver with the policy and the ports the host had last; its watcher runs until the last clone is gone.
    pub fn start(config: &OvsConfig, metadata: bool, policy: Policy, ports: Vec<Port>) -> Self {
        let ports = ports.into_iter().map(|port| (tap_name(&port.nic.vif), port)).collect();
        let inner = Arc::new(Inner {
            config: config.clone(),
            db: Db::connect(&config.db_socket),
            metadata,
            policy: ArcSwap::from_pointee(policy),
            guests: ArcSwap::default(),
            ports: Mutex::new(ports),
            applied: Mutex::new(Applied { unknown: true, ..Applied::default() }),
            link_index: AtomicU32::new(0),
        });
        tokio::spawn(watch(Arc::downgrade(&inner)));
        Self { inner }
    }
}

#[async_trait]
impl Switch for Ovs {
    async fn ensure_ports(&self, ports: &[Port]) -> Result<(), DriverError> {
        for port in ports {
            taps::ensure(port, None).await?;
        }
        self.inner.ensure_rows(ports).await?;
        let names: Vec<String> = ports.iter().map(|port| tap_name(&port.nic.vif)).collect();
        self.inner.until_plugged(&names, PORT_LIMIT).await?;
        self.inner.sync().await
    }

    async fn ensure_no_ports(&self, instance: &InstanceId, but: &[VifId]) -> Result<(), DriverError> {
        self.inner.remove(instance, but).await
    }

    async fn ensure_policy(&self, policy: Arc<Policy>) -> Result<(), DriverError> {
        self.inner.policy.store(policy);
        self.inner.sync().await
    }

    async fn survey(&self) -> Result<Vec<SeenPort>, DriverError> {
        // A database that is just being reached is worth a moment: a listing of nothing known helps nobody.
        let _ = self.inner.db.until(LOOK_LIMIT, |copy| copy.connected.then_some(())).await;
        let interfaces = self.inner.interfaces()?;
        // A switch that does not take its flows is not in order, whatever its database lists.
        self.inner.sync().await?;
        Ok(interfaces.iter().filter_map(seen).collect())
    }

    fn guest_at(&self, peer: Ipv4Addr) -> Option<VifId> {
        let ofport = link::number_of(peer)?;
        self.inner.guests.load().get(&ofport).cloned()
    }
}

fn seen(interface: &Interface) -> Option<SeenPort> {
    let mark = |key: &str| interface.external_ids.get(key);
    Some(SeenPort {
        name: interface.name.clone(),
        vif: mark(VIF)?.parse().ok()?,
        instance: mark(INSTANCE)?.parse().ok()?,
        installation: mark(INSTALLATION)?.parse().ok()?,
        generation: mark(GENERATION)?.parse().ok()?,
        number: interface.ofport.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0),
    })
}

fn marks(port: &Port) -> Value {
    map([
        (INSTALLATION, port.installation.to_string()),
        (INSTANCE, port.instance.to_string()),
        (VIF, port.nic.vif.to_string()),
        (GENERATION, port.generation.to_string()),
        (ADDRESS, port.nic.ipv4.to_string()),
        (TAG, port.nic.vlan_tag.to_string()),
        ("iface-id", port.nic.vif.to_string()),
        ("attached-mac", port.nic.mac.to_string()),
    ])
}

/// Rows for a new port of the bridge (ovs-vswitchd.conf.db(5)).
fn insertion(bridge: &str, name: &str, interface: Value, port: Value) -> Vec<Value> {
    let named = |mut row: Value| {
        row["name"] = json!(name);
        row
    };
    let mut port = named(port);
    port["interfaces"] = json!(["named-uuid", "the_interface"]);
    vec![
        json!({ "op": "insert", "table": "Interface", "row": named(interface), "uuid-name": "the_interface" }),
        json!({ "op": "insert", "table": "Port", "row": port, "uuid-name": "the_port" }),
        json!({ "op": "mutate", "table": "Bridge", "where": [["name", "==", bridge]],
            "mutations": [["ports", "insert", ["named-uuid", "the_port"]]] }),
        bell(),
    ]
}

/// Wakes ovs-vswitchd the way ovs-vsctl does.
fn bell() -> Value {
    json!({ "op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]] })
}

impl Inner {
    fn interfaces(&self) -> Result<Vec<Interface>, DriverError> {
        Ok(self.db.look(|copy| copy.interfaces(&self.config.bridge))?)
    }

    /// Waits for the first answer of a database that is being reached.
    async fn reached(&self) -> Result<(), DriverError> {
        let bridge = self.config.bridge.as_str();
        let found = self.db.until(PORT_LIMIT, |copy| copy.bridge(bridge).map(|_| ())).await;
        found.map_err(|source| {
            let message = format!("bridge {bridge} is not there: {source}");
            DriverError::new("switch_error", message, Retry::Later)
        })
    }

    async fn ensure_rows(&self, ports: &[Port]) -> Result<(), DriverError> {
        let mut wished = self.ports.lock().await;
        for port in ports {
            self.ensure_row(port).await?;
            wished.insert(tap_name(&port.nic.vif), port.clone());
        }
        Ok(())
    }

    /// Takes devices in again that somebody took out of the bridge. One without its device is left to its instance's
    /// next job: after a start of the host nothing is made for guests that may be elsewhere by now.
    async fn restore_rows(&self) -> Result<(), DriverError> {
        let wished = self.ports.lock().await;
        let interfaces = self.interfaces()?;
        let lost = |name: &str| !interfaces.iter().any(|i| i.name == name) && taps::exists(name);
        for (name, port) in wished.iter().filter(|(name, _)| lost(name)) {
            tracing::warn!(port = name, instance = %port.instance, "the bridge lost a guest's port; it is taken in again");
            self.ensure_row(port).await?;
        }
        Ok(())
    }

    async fn ensure_row(&self, port: &Port) -> Result<(), DriverError> {
        self.reached().await?;
        let name = tap_name(&port.nic.vif);
        let interfaces = self.interfaces()?;
        let Some(found) = interfaces.iter().find(|interface| interface.name == name) else {
            let row = json!({ "external_ids": marks(port), "mtu_request": port.nic.mtu });
            let access = json!({ "tag": port.nic.vlan_tag, "vlan_mode": "access" });
            self.db.transact(insertion(&self.config.bridge, &name, row, access)).await?;
            return Ok(());
        };
        let mark = |key: &str| found.external_ids.get(key).map(String::as_str);
        if mark(INSTANCE).is_some_and(|owner| owner != port.instance.as_str()) {
            let message = format!("port {name} belongs to {}", mark(INSTANCE).unwrap_or_default());
            return Err(DriverError::new("port_taken", message, Retry::Never));
        }
        if mark(GENERATION) == Some(port.generation.to_string().as_str()) {
            return Ok(());
        }
        let update = |table: &str, row: Value| json!({ "op": "update", "table": table, "where": [["name", "==", name]], "row": row });
        let operations = vec![
            update("Interface", json!({ "external_ids": marks(port) })),
            update("Port", json!({ "tag": port.nic.vlan_tag, "vlan_mode": "access" })),
        ];
        self.db.transact(operations).await?;
        Ok(())
    }

    async fn until_plugged(&self, names: &[String], limit: Duration) -> Result<(), DriverError> {
        let plugged = self.db.until(limit, |copy| {
            let interfaces = copy.interfaces(&self.config.bridge);
            let ready =
                |name: &String| interfaces.iter().any(|i| i.name == *name && i.ofport.is_some_and(|number| number > 0));
            names.iter().all(ready).then_some(())
        });
        plugged.await.map_err(|source| {
            let errors: Vec<String> =
                self.interfaces().unwrap_or_default().into_iter().filter_map(|i| i.error).collect();
            let message = format!("the switch did not take {} in: {source} {}", names.join(", "), errors.join("; "));
            DriverError::new("switch_error", message, Retry::Later)
        })
    }

    async fn remove(&self, instance: &InstanceId, but: &[VifId]) -> Result<(), DriverError> {
        self.reached().await?;
        let mut wished = self.ports.lock().await;
        wished.retain(|_, port| port.instance != *instance || but.contains(&port.nic.vif));
        let interfaces = self.interfaces()?;
        let owned: Vec<&Interface> = interfaces
            .iter()
            .filter(|i| i.external_ids.get(INSTANCE).is_some_and(|owner| owner == instance.as_str()))
            .filter(|i| !i.external_ids.get(VIF).is_some_and(|vif| but.iter().any(|kept| kept.as_str() == vif)))
            .collect();
        if owned.is_empty() {
            return Ok(());
        }
        let rows: Vec<Value> = owned.iter().map(|i| json!(["uuid", i.port])).collect();
        let without = json!({ "op": "mutate", "table": "Bridge", "where": [["name", "==", self.config.bridge]],
            "mutations": [["ports", "delete", ["set", rows]]] });
        self.db.transact(vec![without, bell()]).await?;
        for interface in owned.iter().filter(|i| taps::exists(&i.name)) {
            taps::remove(&interface.name).await?;
        }
        let gone = |copy: &db::Copy| {
            let left = copy.interfaces(&self.config.bridge);
            (!owned.iter().any(|i| left.iter().any(|l| l.name == i.name))).then_some(())
        };
        self.db.until(PORT_LIMIT, gone).await?;
        drop(wished);
        self.sync().await?;
        for interface in owned {
            self.forget_connections(interface).await;
        }
        Ok(())
    }

    /// A later guest with the same address must not inherit what this one had open. The entries also time out by
    /// themselves, so a switch that cannot do it is only noted.
    async fn forget_connections(&self, interface: &Interface) {
        let (Some(tag), Some(address)) = (interface.external_ids.get(TAG), interface.external_ids.get(ADDRESS)) else {
            return;
        };
        for side in ["ct_nw_src", "ct_nw_dst"] {
            let zone = format!("zone={tag}");
            let tuple = format!("{side}={address}");
            let flush = Run::new("ovs-ofctl", TOOL_LIMIT).args(["ct-flush", &self.target(), &zone, &tuple]);
            if let Err(error) = flush.output().await {
                tracing::warn!(%error, "tracked connections of a removed port stay until they time out");
            }
        }
    }

    fn management(&self) -> PathBuf {
        self.config.run_dir.join(format!("{}.mgmt", self.config.bridge))
    }

    fn target(&self) -> String {
        format!("unix:{}", self.management().display())
    }

    /// Makes the bridge's flows what policy and ports say. Cheap when they are already.
    async fn sync(&self) -> Result<(), DriverError> {
        self.reached().await?;
        let mut applied = self.applied.lock().await;
        // Read under the lock: of many callers at once the first writes for all.
        let policy = self.policy.load_full();
        let interfaces = self.interfaces()?;
        let number = |i: &Interface| i.ofport.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        let named = |name: &str| interfaces.iter().find(|i| i.name == name).and_then(number);
        let trunk = match &self.config.trunk {
            Some(name) => named(name),
            None => interfaces.iter().find(|i| i.trunk).and_then(number),
        };
        let uplinks = Uplinks { trunk, metadata: named(METADATA_LINK) };
        let mut guests = HashMap::new();
        let mut members = Vec::new();
        for port in interfaces.iter().filter_map(seen) {
            let Some(ofport) = port.number else { continue };
            if let Some(rules) = policy.port(&port.vif).filter(|rules| rules.instance == port.instance) {
                members.push((ofport, rules));
            }
            guests.insert(ofport, port.vif);
        }
        members.sort_by_key(|(ofport, _)| *ofport);
        let wanted = flows::compile(&policy, &members, uplinks);
        self.guests.store(Arc::new(guests));
        if !applied.unknown && applied.flows == wanted && version_of(applied.cookie) == policy.version & VERSION_MASK {
            return Ok(());
        }
        self.replace(&mut applied, policy.version, wanted).await
    }

    async fn replace(&self, applied: &mut Applied, version: u64, wanted: Vec<String>) -> Result<(), DriverError> {
        let revision = if applied.unknown { rand::random::<u16>() } else { (applied.cookie as u16).wrapping_add(1) };
        let cookie = COOKIE_MARK | (version & VERSION_MASK) << 16 | u64::from(revision);
        let mut bundle = String::new();
        if applied.unknown {
            bundle.push_str("flow delete\n");
        }
        for flow in &wanted {
            bundle.push_str(&format!("flow add cookie={cookie:#x},{flow}\n"));
        }
        if !applied.unknown {
            bundle.push_str(&format!("flow delete cookie={:#x}/-1\n", applied.cookie));
        }
        let run = Run::new("ovs-ofctl", TOOL_LIMIT).args(["-O", "OpenFlow15", "bundle", &self.target(), "-"]);
        applied.unknown = true;
        run.input(bundle.into_bytes()).output().await.map_err(|error| {
            DriverError::new("switch_error", format!("flows were not accepted: {error}"), Retry::Later)
        })?;
        *applied = Applied { cookie, flows: wanted, unknown: false };
        Ok(())
    }

    /// The internal port to this host, with the listener's address on it. A restarted switch makes the device anew.
    async fn ensure_metadata_link(&self) -> Result<(), DriverError> {
        self.reached().await?;
        if !self.interfaces()?.iter().any(|i| i.name == METADATA_LINK) {
            let row = json!({ "type": "internal", "mac": LISTENER_MAC });
            self.db.transact(insertion(&self.config.bridge, METADATA_LINK, row, json!({}))).await?;
        }
        self.until_plugged(&[METADATA_LINK.to_owned()], LINK_LIMIT).await?;
        let script = format!(
            "link set dev {METADATA_LINK} addrgenmode none\nlink set dev {METADATA_LINK} up\naddr replace {LISTENER}/15 dev {METADATA_LINK}\n"
        );
        taps::batch(script).await?;
        self.link_index.store(taps::index(METADATA_LINK), Ordering::Relaxed);
        Ok(())
    }

    fn link_lost(&self) -> bool {
        let index = taps::index(METADATA_LINK);
        self.metadata && (index == 0 || index != self.link_index.load(Ordering::Relaxed))
    }

    /// Whether the switch has every flow we gave it.
    async fn intact(&self, probe: &mut Probe) -> std::io::Result<bool> {
        let applied = self.applied.lock().await;
        if applied.unknown {
            return Ok(false);
        }
        Ok(probe.count(applied.cookie).await? as usize == applied.flows.len())
    }

    /// Follows what changed: ports taken out or numbered anew, a metadata device made anew.
    async fn follow(&self) {
        if let Err(error) = self.restore_rows().await {
            tracing::warn!(%error, "a port is not back yet");
        }
        for _ in 0..2 {
            if let Err(error) = self.sync().await {
                tracing::warn!(%error, "flows do not follow the ports");
            }
            if !self.link_lost() {
                return;
            }
            // After the firewall: a device the switch is slow to make must not hold that up.
            if let Err(error) = self.ensure_metadata_link().await {
                tracing::warn!(%error, "no metadata link yet");
            }
        }
    }

    async fn repair(&self) {
        self.applied.lock().await.unknown = true;
        match self.sync().await {
            Ok(()) => tracing::info!("the bridge has its flows"),
            Err(error) => tracing::warn!(%error, "flows could not be put back"),
        }
        self.follow().await;
    }
}

const VERSION_MASK: u64 = 0xff_ffff_ffff;

fn version_of(cookie: u64) -> u64 {
    cookie >> 16 & VERSION_MASK
}

/// Runs beside the driver: reconnects, counts, repairs, follows ports that the switch numbers anew.
async fn watch(inner: std::sync::Weak<Inner>) {
    let mut probe: Option<Probe> = None;
    let mut changed = false;
    loop {
        let Some(inner) = inner.upgrade() else { return };
        let Some(open) = probe.as_mut() else {
            match Probe::connect(&inner.management()).await {
                Ok(open) => {
                    probe = Some(open);
                    inner.repair().await;
                }
                Err(_) => tokio::time::sleep(REACH).await,
            }
            continue;
        };
        // Before looking: a change that comes while we look is looked at in the next round, at once.
        let mut changes = inner.db.changes();
        changes.mark_unchanged();
        match inner.intact(open).await {
            Ok(true) if changed || inner.link_lost() => inner.follow().await,
            Ok(true) => {}
            Ok(false) => inner.repair().await,
            Err(_) => {
                probe = None;
                continue;
            }
        }
        drop(inner);
        changed = tokio::time::timeout(WATCH, changes.changed()).await.is_ok();
    }
}
