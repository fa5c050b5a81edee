//! What a join writes into an agent's settings, and a leave takes out of them.
//!
//! Rule: comments and whatever was filled in by hand stay. What only this machine's operator can know is his to say (`--set`, or
//! in the file before); what is missing is told by its name before anything is sent.

use arame_schema::api::Joined;
use arame_schema::model::{AgentId, AgentKind};
use std::net::IpAddr;
use std::path::Path;
use toml_edit::{DocumentMut, Item, Table, Value};

/// The agents' settings on this machine.
pub struct Settings {
    kind: AgentKind,
    document: DocumentMut,
}

/// A setting that has no place: `hva.driver.x` where `hva.driver` is a text; or no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettable(pub String);

/// What the joined machine is told, and found.
pub struct Facts<'a> {
    pub agent: &'a AgentId,
    pub joined: &'a Joined,
    pub own_address: IpAddr,
    /// `/dev/kvm` is there.
    pub has_kvm: bool,
}

/// Of the broker, in what a leave takes out.
const BROKER: [&str; 6] = ["host", "port", "vhost", "user", "password_file", "ca_file"];

impl Settings {
    /// # Errors
    /// The text is no TOML; which place is wrong.
    pub fn read(kind: AgentKind, text: &str) -> Result<Self, String> {
        Ok(Self { kind, document: text.parse().map_err(|error: toml_edit::TomlError| error.to_string())? })
    }

    pub fn text(&self) -> String {
        self.document.to_string()
    }

    /// A text at a dotted name.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        let mut item: &Item = self.document.as_item();
        for part in name.split('.') {
            item = item.get(part)?;
        }
        item.as_str()
    }

    fn has(&self, name: &str) -> bool {
        let mut item: &Item = self.document.as_item();
        name.split('.').all(|part| match item.get(part) {
            Some(inner) => {
                item = inner;
                true
            }
            None => false,
        })
    }

    /// `name=value`, the value as TOML has it; what is no TOML value is a text.
    ///
    /// # Errors
    /// No such form, or a place that is taken by something else.
    pub fn set_said(&mut self, said: &str) -> Result<(), Unsettable> {
        let (name, value) = said.split_once('=').ok_or_else(|| Unsettable(said.to_owned()))?;
        let value = value.trim().parse::<Value>().unwrap_or_else(|_| Value::from(value.trim()));
        self.set(name.trim(), value)
    }

    /// # Errors
    /// A part of the name is no name, or is a value.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> Result<(), Unsettable> {
        let unsettable = || Unsettable(name.to_owned());
        let mut parts: Vec<&str> = name.split('.').collect();
        let plain = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !parts.iter().all(plain) {
            return Err(unsettable());
        }
        let last = parts.pop().ok_or_else(unsettable)?;
        let mut table: &mut Table = self.document.as_table_mut();
        for part in parts {
            let item = table.entry(part).or_insert_with(|| Item::Table(Table::new()));
            table = item.as_table_mut().ok_or_else(unsettable)?;
        }
        if table.get(last).is_some_and(Item::is_table) {
            return Err(unsettable());
        }
        table.insert(last, Item::Value(value.into()));
        Ok(())
    }

    fn set_where_unsaid(&mut self, name: &str, value: impl Into<Value>) -> Result<(), Unsettable> {
        if self.has(name) { Ok(()) } else { self.set(name, value) }
    }

    /// A setting without which nobody could say what the machine is for.
    pub fn missing(&self) -> Option<&'static str> {
        let text = |name: &str| self.text_of(name).unwrap_or_default();
        match self.kind {
            AgentKind::Sta if text("sta.store").is_empty() => Some("sta.store"),
            AgentKind::Sta if text("sta.store") == "zfs" && text("sta.zfs_pool").is_empty() => Some("sta.zfs_pool"),
            AgentKind::Hva | AgentKind::Sta | AgentKind::Nsa => None,
        }
    }

    /// Everything that a join says, and what can be found out where it was not said.
    ///
    /// # Errors
    /// A place that is taken by something else.
    pub fn fill_in(&mut self, facts: &Facts<'_>) -> Result<(), Unsettable> {
        let kind = self.kind;
        let joined = facts.joined;
        self.set("common.agent", facts.agent.as_str())?;
        self.set("common.key_file", format!("/etc/arame/{kind}.key"))?;
        self.set_where_unsaid("common.state_dir", format!("/var/lib/arame/{kind}/state"))?;
        self.set("common.broker.host", joined.broker_host.as_str())?;
        self.set("common.broker.port", i64::from(joined.broker_port))?;
        self.set("common.broker.vhost", joined.broker_vhost.as_str())?;
        self.set("common.broker.user", facts.agent.as_str())?;
        self.set("common.broker.password_file", format!("/etc/arame/{kind}.broker-password"))?;
        self.set("common.broker.ca_file", "/etc/arame/ca.pem")?;
        if let Some(streams) = &joined.streams {
            let ends: toml_edit::Array = [streams.as_str()].into_iter().collect();
            self.set("common.streams.dcmgr", ends)?;
            self.set_where_unsaid("common.streams.ca_file", "/etc/arame/ca.pem")?;
        }
        match kind {
            AgentKind::Hva => self.fill_in_host(facts),
            AgentKind::Sta => self.fill_in_storage(facts),
            AgentKind::Nsa => self.fill_in_naming(),
        }
    }

    fn fill_in_host(&mut self, facts: &Facts<'_>) -> Result<(), Unsettable> {
        self.set("hva.host", facts.joined.node_id.as_str())?;
        self.set_where_unsaid("hva.driver", "libvirt")?;
        self.set_where_unsaid("hva.data_dir", "/var/lib/arame/hva/data")?;
        if self.text_of("hva.driver") != Some("libvirt") {
            return Ok(());
        }
        self.set_where_unsaid("hva.initiator_iqn", format!("iqn.2026-11.jp.arame:{}", facts.agent.name()))?;
        self.set_where_unsaid("hva.libvirt.uri", "qemu:///system")?;
        self.set_where_unsaid("hva.libvirt.domain_type", if facts.has_kvm { "kvm" } else { "qemu" })?;
        self.set_where_unsaid("hva.switch.driver", "ovs")?;
        if self.text_of("hva.switch.driver") != Some("ovs") {
            return Ok(());
        }
        self.set_where_unsaid("hva.switch.bridge", "ovs0")?;
        self.set_where_unsaid("hva.switch.db_socket", "/run/openvswitch/db.sock")?;
        self.set_where_unsaid("hva.switch.run_dir", "/run/openvswitch")
    }

    fn fill_in_storage(&mut self, facts: &Facts<'_>) -> Result<(), Unsettable> {
        self.set("sta.node", facts.joined.node_id.as_str())?;
        let own = facts.own_address;
        let place = |port: u16| std::net::SocketAddr::new(own, port).to_string();
        let store = self.text_of("sta.store").unwrap_or_default().to_owned();
        let driver = match store.as_str() {
            "zfs" => "lio",
            "file" => "tgt",
            _ => "sim",
        };
        self.set_where_unsaid("sta.export.driver", driver)?;
        self.set_where_unsaid("sta.export.portal", place(3260))?;
        if store != "sim" {
            self.set_where_unsaid("sta.data_dir", "/var/lib/arame/sta/data")?;
            self.set_where_unsaid("sta.http_listen", place(9080))?;
            self.set_where_unsaid("sta.http_url", format!("http://{}", place(9080)))?;
        }
        Ok(())
    }

    fn fill_in_naming(&mut self) -> Result<(), Unsettable> {
        self.set_where_unsaid("nsa.driver", "netns")?;
        self.set_where_unsaid("nsa.data_dir", "/var/lib/arame/nsa/networks")?;
        // The table stands in the file that the package brings: half filled in it would be a mistake, whatever the driver.
        self.set_where_unsaid("nsa.switch.bridge", "ovs0")?;
        self.set_where_unsaid("nsa.switch.db_socket", "/run/openvswitch/db.sock")
    }

    /// What a join said goes; what was said of the machine itself stays for the next one.
    pub fn forget(&mut self) {
        let own = match self.kind {
            AgentKind::Hva => ("hva", "host"),
            AgentKind::Sta => ("sta", "node"),
            AgentKind::Nsa => ("nsa", ""),
        };
        let mut remove = |tables: &[&str], name: &str| {
            let mut table: Option<&mut Table> = Some(self.document.as_table_mut());
            for part in tables {
                table = table.and_then(|table| table.get_mut(part)).and_then(Item::as_table_mut);
            }
            table.map(|table| table.remove(name));
        };
        for name in ["agent", "key_file", "streams"] {
            remove(&["common"], name);
        }
        for name in BROKER {
            remove(&["common", "broker"], name);
        }
        remove(&[own.0], own.1);
    }
}

/// `/etc/arame/hva.toml`, below a root.
pub fn path(root: &Path, kind: AgentKind) -> std::path::PathBuf {
    root.join(format!("etc/arame/{kind}.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packaged(kind: AgentKind) -> Settings {
        let path = format!("{}/../packages/arame-{kind}/{kind}.toml", env!("CARGO_MANIFEST_DIR"));
        Settings::read(kind, &std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn filled(kind: AgentKind, said: &[&str]) -> Settings {
        let mut settings = packaged(kind);
        for one in said {
            settings.set_said(one).unwrap();
        }
        let agent: AgentId = format!("{kind}.h3").parse().unwrap();
        let joined = Joined {
            agent: agent.to_string(),
            node_id: "xx-h3".into(),
            broker_host: "dcm.example".into(),
            broker_port: 5671,
            broker_vhost: "arame".into(),
            streams: Some("dcm.example:9003".into()),
        };
        let own_address = "10.0.0.13".parse().unwrap();
        settings.fill_in(&Facts { agent: &agent, joined: &joined, own_address, has_kvm: false }).unwrap();
        settings
    }

    #[test]
    fn a_host_is_filled_in_around_what_was_said_of_it() {
        let settings = filled(AgentKind::Hva, &["hva.switch.trunk=eth1", "hva.cpu_cores=8"]);
        for (name, value) in [
            ("common.agent", "hva.h3"),
            ("common.broker.host", "dcm.example"),
            ("common.broker.ca_file", "/etc/arame/ca.pem"),
            ("hva.host", "xx-h3"),
            ("hva.driver", "libvirt"),
            ("hva.libvirt.domain_type", "qemu"),
            ("hva.switch.trunk", "eth1"),
            ("hva.switch.driver", "ovs"),
        ] {
            assert_eq!(settings.text_of(name), Some(value), "{name}");
        }
        let text = settings.text();
        assert!(text.contains("cpu_cores = 8") && text.contains("port = 5671"), "{text}");
        assert!(text.contains("# Settings of arame-hva."), "comments stay: {text}");
        let bridge = filled(AgentKind::Hva, &["hva.switch.driver=bridge", "hva.switch.bridge=arame0"]);
        assert!(!bridge.has("hva.switch.db_socket"));
    }

    #[test]
    fn where_volumes_go_is_asked_and_not_guessed() {
        let mut settings = packaged(AgentKind::Sta);
        assert_eq!(settings.missing(), Some("sta.store"));
        settings.set_said("sta.store = zfs").unwrap();
        assert_eq!(settings.missing(), Some("sta.zfs_pool"));
        settings.set_said("sta.zfs_pool=tank/arame").unwrap();
        assert_eq!(settings.missing(), None);
        let settings = filled(AgentKind::Sta, &["sta.store=zfs", "sta.zfs_pool=tank/arame"]);
        assert_eq!(settings.text_of("sta.export.driver"), Some("lio"));
        assert_eq!(settings.text_of("sta.export.portal"), Some("10.0.0.13:3260"));
        assert_eq!(settings.text_of("sta.http_url"), Some("http://10.0.0.13:9080"));
    }

    #[test]
    fn a_leave_takes_out_what_the_join_said_and_nothing_else() {
        let mut settings = filled(AgentKind::Nsa, &["nsa.switch.bridge=br1"]);
        settings.forget();
        assert_eq!((settings.text_of("common.agent"), settings.text_of("common.broker.user")), (None, None));
        assert_eq!(settings.text_of("nsa.switch.bridge"), Some("br1"));
        assert!(!settings.has("common.streams"));
    }

    #[test]
    fn a_setting_that_has_no_place_is_told_by_its_name() {
        let mut settings = filled(AgentKind::Hva, &[]);
        for said in ["hva.driver.x=1", "hva..x=1", "hva=1", "hva.switch", "a b=1"] {
            assert!(settings.set_said(said).is_err(), "{said}");
        }
    }
}
