//! A data center of two hosts at most, each with the switch under test, one cable, and the ports of its guests.

use crate::fixtures::{INSTALLATION, port, spec};
use crate::frames::mac;
use crate::kit::{Cable, Guest, Place, until};
use arame_hva::config::{BridgeConfig, OvsConfig, SwitchConfig};
use arame_hva::driver::DriverError;
use arame_hva::policy::Policy;
use arame_hva::switch::bridge::Bridge;
use arame_hva::switch::ovs::Ovs;
use arame_hva::switch::{Port, Switch, tap_name};
use arame_schema::jobs::hva::{InstanceSpec, PortPolicy};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// Which driver is under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ovs,
    Bridge,
}

/// Name of each host's uplink.
pub const TRUNK: &str = "up0";

pub struct Host {
    pub place: Place,
    kind: Kind,
    dir: tempfile::TempDir,
    switch: Option<Arc<dyn Switch>>,
    pub policy: Policy,
    ports: Vec<Port>,
    daemons: Vec<Child>,
}

impl Host {
    fn new(kind: Kind, cable: &Cable) -> Self {
        let place = Place::new();
        cable.trunk(&place, TRUNK);
        let dir = tempfile::tempdir().unwrap();
        let policy = Policy::default();
        let mut host = Self { place, kind, dir, switch: None, policy, ports: vec![], daemons: vec![] };
        if kind == Kind::Ovs {
            host.start_ovs();
        }
        host.start();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// ovs-vswitchd on its userspace datapath, with the uplink as its trunk.
    fn start_ovs(&mut self) {
        let text = |name: &str| self.path(name).display().to_string();
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        self.place.must("ovsdb-tool", &["create", &text("conf.db"), schema]);
        let log = |name: &str| format!("--log-file={}", text(name));
        let control = |name: &str| format!("--unixctl={}", text(name));
        let remote = format!("--remote=punix:{}", text("db.sock"));
        let db = format!("unix:{}", text("db.sock"));
        let server = vec![text("conf.db"), remote, control("db.ctl"), log("db.log")];
        let switchd = vec![db.clone(), control("vs.ctl"), log("vs.log")];
        self.daemon("ovsdb-server", server);
        let db = format!("--db={db}");
        until("the switch's database answers", || self.place.tell("ovs-vsctl", &[&db, "--no-wait", "init"]).0);
        self.daemon("ovs-vswitchd", switchd);
        let bridge = ["--", "set", "bridge", "ovs0", "datapath_type=netdev", "fail_mode=secure"];
        self.place.must("ovs-vsctl", &[&[db.as_str(), "--timeout=30", "add-br", "ovs0"], &bridge[..]].concat());
        let trunk = ["add-port", "ovs0", TRUNK, "--", "set", "port", TRUNK, "vlan_mode=trunk"];
        self.place.must("ovs-vsctl", &[&[db.as_str(), "--timeout=30"], &trunk[..]].concat());
    }

    fn daemon(&mut self, program: &str, arguments: Vec<String>) {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        for folder in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"] {
            command.env(folder, self.dir.path());
        }
        self.daemons.push(self.place.run(move || async move { command.spawn() }).unwrap());
    }

    pub fn config(&self) -> SwitchConfig {
        match self.kind {
            Kind::Ovs => SwitchConfig::Ovs(OvsConfig {
                bridge: "ovs0".into(),
                db_socket: self.path("db.sock"),
                run_dir: self.dir.path().to_owned(),
                trunk: None,
            }),
            Kind::Bridge => SwitchConfig::Bridge(BridgeConfig { bridge: "arame0".into(), trunk: Some(TRUNK.into()) }),
        }
    }

    /// A new process of the agent: it knows what its files tell.
    pub fn start(&mut self) {
        self.switch = None;
        let (config, policy, ports) = (self.config(), self.policy.clone(), self.ports.clone());
        self.switch = Some(self.place.run(move || open(config, policy, ports)).unwrap());
    }

    pub fn stop(&mut self) {
        self.switch = None;
    }

    /// Does something with the switch, in its host.
    pub fn with<T, F>(&self, work: impl FnOnce(Arc<dyn Switch>) -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let switch = self.switch.clone().unwrap();
        self.place.run(move || work(switch))
    }

    /// The next version of the policy, with these ports.
    pub fn allow(&mut self, ports: Vec<PortPolicy>) {
        self.policy = Policy { version: self.policy.version + 1, ports, ..self.policy.clone() };
        let policy = Arc::new(self.policy.clone());
        self.with(move |switch| async move { switch.ensure_policy(policy).await }).unwrap();
    }

    pub fn guard(&mut self, infrastructure: Vec<Ipv4Net>) {
        self.policy.infrastructure = infrastructure;
        self.allow(self.policy.ports.clone());
    }

    pub fn ensure(&self, ports: Vec<Port>) -> Result<(), DriverError> {
        self.with(move |switch| async move { switch.ensure_ports(&ports).await })
    }

    /// A guest on a port of its own, as the spec says.
    pub fn plug(&mut self, spec: &InstanceSpec) -> Guest {
        let wished = wished(spec, 1);
        self.ports.push(wished.clone());
        self.ensure(vec![wished]).unwrap();
        let nic = &spec.nics[0];
        Guest::plugged(&self.place, &tap_name(&nic.vif), mac(nic.mac), nic.ipv4)
    }

    /// No port of the instance.
    pub fn unplug(&mut self, spec: &InstanceSpec) {
        self.ports.retain(|port| port.instance != spec.instance);
        let instance = spec.instance.clone();
        self.with(move |switch| async move { switch.ensure_no_ports(&instance, &[]).await }).unwrap();
    }

    /// Everything the kernel or the switch tells of rules and ports, for a comparison.
    pub fn rules(&self) -> String {
        match self.kind {
            Kind::Ovs => {
                let bridge = format!("unix:{}", self.path("ovs0.mgmt").display());
                let text = self.place.tell("ovs-ofctl", &["-O", "OpenFlow15", "--no-stats", "dump-flows", &bridge]).1;
                let mut lines: Vec<&str> = text.lines().skip(1).collect();
                lines.sort_unstable();
                lines.join("\n")
            }
            Kind::Bridge => {
                let tables = self.place.tell("nft", &["--stateless", "-a", "list", "ruleset"]).1;
                let vlans = self.place.must("bridge", &["vlan", "show"]);
                vlans + &tables
            }
        }
    }

    /// Somebody deletes all rules.
    pub fn lose_rules(&self) {
        match self.kind {
            Kind::Ovs => {
                let bridge = format!("unix:{}", self.path("ovs0.mgmt").display());
                self.place.must("ovs-ofctl", &["-O", "OpenFlow15", "del-flows", &bridge]);
            }
            Kind::Bridge => drop(self.place.must("nft", &["flush", "ruleset"])),
        }
    }

    /// Somebody takes a port out of the switch.
    pub fn lose_port(&self, tap: &str) {
        match self.kind {
            Kind::Ovs => {
                let db = format!("--db=unix:{}", self.path("db.sock").display());
                self.place.must("ovs-vsctl", &[&db, "--timeout=30", "del-port", "ovs0", tap]);
            }
            Kind::Bridge => drop(self.place.must("ip", &["link", "set", "dev", tap, "nomaster"])),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// Opens a switch with metadata.
///
/// # Errors
/// The host is not ready.
pub async fn open(config: SwitchConfig, policy: Policy, ports: Vec<Port>) -> Result<Arc<dyn Switch>, DriverError> {
    Ok(match config {
        SwitchConfig::Ovs(config) => Arc::new(Ovs::start(&config, true, policy, ports)),
        SwitchConfig::Bridge(config) => Arc::new(Bridge::start(&config, true, policy, ports).await?),
    })
}

pub fn wished(spec: &InstanceSpec, generation: u64) -> Port {
    let (installation, instance) = (INSTALLATION, spec.instance.clone());
    Port { installation, instance, generation, nic: spec.nics[0].clone() }
}

pub struct World {
    pub cable: Cable,
    pub one: Host,
    kind: Kind,
}

impl World {
    pub fn new(kind: Kind) -> Self {
        let cable = Cable::default();
        let one = Host::new(kind, &cable);
        Self { cable, one, kind }
    }

    pub fn second_host(&self) -> Host {
        Host::new(self.kind, &self.cable)
    }

    /// A server of a network, beyond the trunk, that is no guest.
    pub fn server(&self, tag: u16, last: u8) -> Guest {
        self.cable.machine(tag, [0x52, 0x54, 0xee, 0, tag as u8, last], Ipv4Addr::new(10, 0, 0, last))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.cable.end();
    }
}

/// A guest's spec and its part of the policy, with these TCP ports open.
pub fn member(name: &str, tag: u16, last: u8, open: &[u16]) -> (InstanceSpec, PortPolicy) {
    let spec = spec(name, tag, last);
    let port = port(&spec, open);
    (spec, port)
}
