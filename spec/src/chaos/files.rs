//! What the programs of the cell read: configurations, the seed, the broker's definitions, the database's settings.
//!
//! Rule: the same settings `arame up` writes, but for addresses (each program has its own) and one thing: the broker
//! copies every published message to [`TAP`], so that the kit can tell what was sent and send it again later. The
//! passwords are known and worth nothing: nobody outside the cell reaches anything in it.

use super::fabric::Fabric;
use super::host::Host;
use anyhow::Context;
use arame_schema::broker;
pub use arame_schema::broker::{MANAGER as MANAGER_USER, VHOST};
use arame_schema::model::AgentId;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// Copies of everything published.
pub const TAP: &str = "chaos.tap";

pub const MANAGERS: [&str; 2] = ["dcmgr.1", "dcmgr.2"];
pub const AGENTS: [&str; 7] = ["hva.h1", "hva.h2", "hva.h3", "sta.s1", "sta.s2", "nsa.n1", "nsa.n2"];
/// The hva on libvirt, where the machine can, and the host it lives in.
pub const REAL: &str = "hva.h4";
pub const HOST: &str = "host.h4";
pub const DATABASE: &str = "mariadb";
pub const BROKER: &str = "rabbitmq";

pub const API_PORT: u16 = 9001;
pub const BROKER_PORT: u16 = 5672;
/// First ports of the runs on which a simulated nsa answers, one port a network.
pub const DNS_PORT: u16 = 5300;
pub const DHCP_PORT: u16 = 6700;

/// The network the load uses, and its domain.
pub const NETWORK: &str = "nw-demo1";
pub const DOMAIN: &str = "demo1.arame.internal";

/// Memory of every machine of the load.
pub const MEMORY_MIB: u32 = 192;

/// What the image of the cell is: nothing to boot from.
pub static IMAGE: [u8; 64 * 1024] = [0; 64 * 1024];

const PASSWORD: &str = "of-the-cell";

/// Every program with the last number of its address.
pub const NUMBERS: [(&str, u8); 12] = [
    (DATABASE, 2),
    (BROKER, 3),
    ("dcmgr.1", 11),
    ("dcmgr.2", 12),
    ("hva.h1", 21),
    ("hva.h2", 22),
    ("hva.h3", 23),
    (REAL, 24),
    ("sta.s1", 31),
    ("sta.s2", 32),
    ("nsa.n1", 41),
    ("nsa.n2", 42),
];

/// Of a program's environment.
pub type Variables = Vec<(String, String)>;

/// The writer, and where everything is.
pub struct Files<'a> {
    pub folder: &'a Path,
    pub fabric: &'a Fabric,
    /// There is a host on libvirt.
    pub with_host: bool,
}

/// Every agent of a cell.
pub fn agents(with_host: bool) -> Vec<&'static str> {
    AGENTS.into_iter().chain(with_host.then_some(REAL)).collect()
}

impl Files<'_> {
    fn agents(&self) -> Vec<&'static str> {
        agents(self.with_host)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// Everything but the agents' configurations, which change while they run.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn all(&self) -> anyhow::Result<()> {
        for folder in ["log", "clock", "db/tmp", "broker", "images", "run"] {
            std::fs::create_dir_all(self.path(folder))?;
        }
        self.write("password", &format!("{PASSWORD}\n"))?;
        self.write("token", "a-token-of-the-cell\n")?;
        self.write("dcmgr-key", &"5a".repeat(32))?;
        std::fs::write(self.path("images/simulated.raw"), IMAGE)?;
        for agent in self.agents() {
            self.write(&format!("key-{agent}"), &format!("key of {agent}\n"))?;
            self.agent(agent, 0)?;
        }
        if self.with_host {
            let host = Host::new(self.folder);
            host.write(self.fabric.address(REAL)?)?;
            host.know_image(&image_digest(), &IMAGE)?;
        }
        for (name, _) in NUMBERS {
            self.write(&format!("clock/{name}"), "+0\n")?;
        }
        for manager in MANAGERS {
            self.manager(manager)?;
        }
        self.seed()?;
        self.database()?;
        self.broker()
    }

    fn broker_section(&self, name: &str, user: &str) -> anyhow::Result<String> {
        Ok(format!(
            "[{name}]\nhost = \"{}\"\nport = {BROKER_PORT}\nvhost = \"{VHOST}\"\nuser = \"{user}\"\npassword_file = \"{}\"\nplain_text = true\n",
            self.fabric.address(BROKER)?,
            self.path("password").display()
        ))
    }

    fn manager(&self, name: &str) -> anyhow::Result<()> {
        let text = format!(
            "listen = \"{}:{API_PORT}\"\nsecret_key_file = \"{}\"\ninfrastructure = []\n\n[database]\nhost = \"{}\"\n\
             port = 3306\nuser = \"arame\"\npassword_file = \"{}\"\nname = \"arame\"\n\n{}",
            self.fabric.address(name)?,
            self.path("dcmgr-key").display(),
            self.fabric.address(DATABASE)?,
            self.path("password").display(),
            self.broker_section("broker", MANAGER_USER)?
        );
        self.write(&format!("etc/{name}.toml"), &text).map(drop)
    }

    /// The file of one agent, with what each effect of its simulated backend takes.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn agent(&self, agent: &str, latency_ms: u64) -> anyhow::Result<()> {
        let (kind, name) = agent.split_once('.').context("an agent's id has a kind")?;
        let state = self.path(&format!("state/{agent}"));
        std::fs::create_dir_all(&state)?;
        let (dir, address) = (state.display(), self.fabric.address(agent)?);
        let mut text = format!(
            "[common]\nagent = \"{agent}\"\nkey_file = \"{}\"\nstate_dir = \"{dir}\"\n\n{}\n",
            self.path(&format!("key-{agent}")).display(),
            self.broker_section("common.broker", agent)?
        );
        let sim = format!("state_file = \"{dir}/world.json\"\nlatency_ms = {latency_ms}\n");
        match kind {
            _ if agent == REAL => text += &Host::new(self.folder).section(),
            "hva" => write!(
                text,
                "[hva]\nhost = \"hn-{name}\"\ndriver = \"sim\"\ndata_dir = \"{dir}/data\"\n\
                 initiator_iqn = \"iqn.2026-11.jp.arame:{name}\"\ncpu_cores = 256\nmemory_mib = 1048576\n\
                 disk_mib = 16777216\n\n[hva.sim]\ntrunk = \"{}\"\n{sim}",
                self.path("state/trunk").display()
            )?,
            "sta" => write!(
                text,
                "[sta]\nnode = \"sn-{name}\"\nstore = \"sim\"\nimport_dirs = [\"{}\"]\n\n[[sta.backups]]\nstorage = \"bkst-local\"\npath = \"/nowhere\"\n\n[sta.export]\ndriver = \"sim\"\n\
                 portal = \"{address}:3260\"\n\n[sta.sim]\n{sim}",
                self.path("images").display()
            )?,
            _ => write!(
                text,
                "[nsa]\ndriver = \"sim\"\ndata_dir = \"{dir}/data\"\n\n[nsa.sim]\n{sim}\
                 listen_dns = \"{address}:{DNS_PORT}\"\nlisten_dhcp = \"{address}:{DHCP_PORT}\"\n"
            )?,
        }
        self.write(&format!("etc/{agent}.toml"), &text).map(drop)
    }

    fn seed(&self) -> anyhow::Result<()> {
        let mut text = format!(
            "[[account]]\nid = \"a-demo\"\n\n[[dc_network]]\nid = \"dcn-demo\"\nname = \"demo\"\nvlan_first = 101\n\
             vlan_last = 199\n\n[[instance_type]]\nid = \"it-tiny\"\nname = \"tiny\"\ncpu_cores = 1\n\
             memory_mib = {MEMORY_MIB}\ndisk_mib = 512\n\n[[security_group]]\nid = \"sg-default\"\naccount = \"a-demo\"\nname = \"default\"\n\
             rule = \"icmp:-1,-1,ip4:0.0.0.0\\n\"\n\n",
        );
        let token = self.path("token");
        write!(text, "[[token]]\nid = \"tok-admin\"\naccount = \"a-demo\"\nrole = \"admin\"\n")?;
        write!(text, "secret_file = \"{}\"\n\n", token.display())?;
        for agent in self.agents() {
            let (kind, name) = agent.split_once('.').context("an agent's id has a kind")?;
            let node = match kind {
                "hva" => format!("hn-{name}"),
                "sta" => format!("sn-{name}"),
                _ => format!("nn-{name}"),
            };
            let key = self.path(&format!("key-{agent}"));
            write!(text, "[[agent]]\nid = \"{agent}\"\nnode = \"{node}\"\nkey_file = \"{}\"\n\n", key.display())?;
        }
        // Room for a long campaign: released addresses cool for a minute.
        write!(
            text,
            "[[network]]\nid = \"{NETWORK}\"\naccount = \"a-demo\"\ndc_network = \"dcn-demo\"\nname = \"demo1\"\n\
             vlan_tag = 101\nsubnet = \"10.100.0.0/18\"\ngateway = \"10.100.0.1\"\nserver = \"10.100.0.2\"\n\
             domain = \"{DOMAIN}\"\nrange_begin = \"10.100.0.10\"\nrange_end = \"10.100.63.250\"\n\n"
        )?;
        let image = self.path("images/simulated.raw");
        write!(
            text,
            "[[image]]\nid = \"wmi-tiny\"\naccount = \"a-demo\"\nname = \"tiny\"\npublic = true\npath = \"{}\"\n\
             sha256 = \"{}\"\nsize_bytes = {}\nformat = \"raw\"\narch = \"x86_64\"\n",
            image.display(),
            image_digest(),
            IMAGE.len()
        )?;
        self.write("etc/seed.toml", &text).map(drop)
    }

    fn database(&self) -> anyhow::Result<()> {
        let init = format!(
            "CREATE DATABASE IF NOT EXISTS arame CHARACTER SET utf8mb4;\n\
             CREATE USER IF NOT EXISTS 'arame'@'%' IDENTIFIED BY '{PASSWORD}';\n\
             GRANT ALL PRIVILEGES ON arame.* TO 'arame'@'%';\n"
        );
        self.write("db/init.sql", &init).map(drop)
    }

    /// Arguments of the database server. Durable: a killed server loses nothing it confirmed.
    ///
    /// # Errors
    /// It has no address.
    pub fn database_words(&self) -> anyhow::Result<Vec<String>> {
        let db = self.path("db");
        let db = db.display();
        Ok(vec![
            "mariadbd".into(),
            "--no-defaults".into(),
            format!("--datadir={db}/data"),
            format!("--socket={db}/s.sock"),
            format!("--pid-file={db}/pid"),
            format!("--tmpdir={db}/tmp"),
            format!("--init-file={db}/init.sql"),
            format!("--bind-address={}", self.fabric.address(DATABASE)?),
            "--port=3306".into(),
            "--skip-name-resolve".into(),
            "--skip-log-bin".into(),
            "--user=root".into(),
            "--character-set-server=utf8mb4".into(),
            "--performance-schema=OFF".into(),
            "--max-connections=200".into(),
            "--innodb-buffer-pool-size=64M".into(),
            "--innodb-log-file-size=16M".into(),
            "--innodb-flush-log-at-trx-commit=1".into(),
        ])
    }

    fn broker(&self) -> anyhow::Result<()> {
        self.write("broker/definitions.json", &definitions(&self.agents())?.to_string())?;
        self.write("broker/plugins", "[].\n")?;
        let cookie = self.write("broker/.erlang.cookie", "ofthecell")?;
        std::fs::set_permissions(&cookie, std::os::unix::fs::PermissionsExt::from_mode(0o400))?;
        let advanced = format!(
            "[{{rabbit, [\n  {{tcp_listeners, [{{\"{}\",{BROKER_PORT}}}]}},\n  {{load_definitions, \
             \"{}/definitions.json\"}},\n  {{loopback_users, []}},\n  {{trace_vhosts, [<<\"{VHOST}\">>]}},\n  \
             {{vm_memory_high_watermark, {{absolute, \"1GB\"}}}},\n  {{disk_free_limit, 50000000}},\n  \
             {{log, [{{console, [{{enabled, true}}, {{level, warning}}]}}]}}\n]}}].\n",
            self.fabric.address(BROKER)?,
            self.path("broker").display()
        );
        self.write("broker/advanced.config", &advanced).map(drop)
    }

    /// What the broker is started with: the Erlang machine itself, without the package's scripts.
    ///
    /// # Errors
    /// RabbitMQ is not installed.
    pub fn broker_words(&self) -> anyhow::Result<(Vec<String>, Variables)> {
        let home = rabbitmq_home()?;
        let broker = self.path("broker");
        let at = |name: &str| broker.join(name).display().to_string();
        let env = [
            ("HOME", broker.display().to_string()),
            ("LANG", "C.UTF-8".into()),
            ("ERL_LIBS", home.join("plugins").display().to_string()),
            ("ERL_MAX_ETS_TABLES", "50000".into()),
            ("ERL_MAX_PORTS", "8192".into()),
            ("RABBITMQ_HOME", home.display().to_string()),
            ("RABBITMQ_NODENAME", "arame@localhost".into()),
            ("RABBITMQ_MNESIA_BASE", at("mnesia")),
            ("RABBITMQ_LOG_BASE", at("log")),
            ("RABBITMQ_LOGS", "-".into()),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins")),
            ("RABBITMQ_CONFIG_FILE", at("none")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", at("advanced.config")),
            ("RABBITMQ_CONF_ENV_FILE", at("none-env")),
            ("SYS_PREFIX", String::new()),
        ];
        let words = "erl -noinput -s rabbit boot -boot start_sasl +W w +B i +sbwt none \
                     +sbwtdcpu none +sbwtdio none -sname arame@localhost -start_epmd false -erl_epmd_port 25672 -env \
                     ERL_AFLAGS";
        let mut words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        // RabbitMQ starts an Erlang machine once a minute to see that its port mapper runs; this one ends at once.
        words.push("-start_epmd false -version".into());
        let rest = "-kernel inet_dist_listen_min 25672 -kernel inet_dist_listen_max 25672 -kernel \
                    inet_dist_use_interface {127,0,0,1} -syslog logger [] -syslog syslog_error_logger false -kernel \
                    prevent_overlapping_partitions false";
        words.extend(rest.split_whitespace().map(str::to_owned));
        Ok((words, env.map(|(name, value)| (name.to_owned(), value)).to_vec()))
    }
}

fn rabbitmq_home() -> anyhow::Result<PathBuf> {
    let entries = std::fs::read_dir("/usr/lib/rabbitmq/lib")?.flatten().map(|entry| entry.path());
    let is_home =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rabbitmq_server-"));
    let mut homes: Vec<PathBuf> = entries.filter(is_home).collect();
    homes.sort();
    homes.pop().context("RabbitMQ is not installed")
}

fn image_digest() -> String {
    hex::encode(Sha256::digest(IMAGE))
}

/// RabbitMQ's own scheme: base64(salt ++ sha256(salt ++ password)).
fn password_hash() -> String {
    use base64::Engine;
    let mut salted = b"salt".to_vec();
    salted.extend_from_slice(PASSWORD.as_bytes());
    let mut hash = b"salt".to_vec();
    hash.extend_from_slice(&Sha256::digest(&salted));
    base64::engine::general_purpose::STANDARD.encode(hash)
}

/// Users, permissions and policies as `arame up` sets them, and the tap.
fn definitions(agents: &[&str]) -> anyhow::Result<Value> {
    let agents = agents.iter().map(|agent| agent.parse()).collect::<Result<Vec<AgentId>, _>>()?;
    let mut definitions = broker::definitions(&agents, |name| {
        json!({ "name": name, "password_hash": password_hash(), "tags": "",
                "hashing_algorithm": "rabbit_password_hashing_sha256" })
    });
    definitions["exchanges"].as_array_mut().context("exchanges are a list")?.push(broker::fanout(TAP));
    // The broker's own exchange of traces: `publish.<exchange>` for every message published.
    definitions["bindings"] = json!([{ "source": "amq.rabbitmq.trace", "vhost": VHOST, "destination": TAP,
                                       "destination_type": "exchange", "routing_key": "publish.#", "arguments": {} }]);
    Ok(definitions)
}

/// What makes a program's clock the one of its file, and leaves its monotonic clock alone.
pub fn clock_env(folder: &Path, program: &str) -> Option<Variables> {
    let library = faketime_library()?;
    let file = folder.join("clock").join(program);
    let env = [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("NO_FAKE_STAT", "1".to_owned()),
    ];
    Some(env.map(|(name, value)| (name.to_owned(), value)).to_vec())
}

/// Debian's libfaketime, where its package puts it.
pub fn faketime_library() -> Option<PathBuf> {
    let entries = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let at = |entry: std::fs::DirEntry| entry.path().join("faketime/libfaketimeMT.so.1");
    entries.map(at).find(|path| path.is_file())
}

/// How the kit reaches the broker, as one of its users.
pub fn broker_for(folder: &Path, address: Ipv4Addr, user: &str) -> arame_framework::config::Broker {
    arame_framework::config::Broker {
        host: address.to_string(),
        port: BROKER_PORT,
        vhost: VHOST.to_owned(),
        user: user.to_owned(),
        password_file: folder.join("password"),
        ca_file: None,
        plain_text: true,
    }
}
