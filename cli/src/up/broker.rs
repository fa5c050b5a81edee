//! The private RabbitMQ: own cookie, own ports, no Erlang port mapper, one virtual host, one user a program.
//!
//! What must stay true: the broker listens only on the addresses given here, its distribution port only on loopback;
//! there is no `guest`; what users may and which policies there are says [`broker`], in a definitions file read at every
//! start. The Erlang machine is started directly: the package's script would start two more of them first, which costs
//! seconds.

use super::children::{ChildSpec, Place, Stage};
use super::database::User;
use super::files;
use super::layout::{Kind, Layout, Wish};
use arame_schema::broker;
use arame_schema::model::AgentId;
use base64::Engine;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The path the broker sees its private folder under: exists wherever the package is installed.
const INSIDE: &str = "/var/lib/rabbitmq";

/// Memory at which the broker makes publishers wait: far above what a laboratory needs, far below the machine's.
const MEMORY_WATERMARK: &str = "1GB";

#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("the broker's files in {}: {source}", path.display())]
    Files { path: PathBuf, source: io::Error },
    #[error("RabbitMQ is not installed (no folder like {})", looked.display())]
    NotInstalled { looked: PathBuf },
}

fn seen_from_inside(outside: &Path, user: User) -> PathBuf {
    if user.is_some() { PathBuf::from(INSIDE) } else { outside.to_owned() }
}

/// Addresses the broker listens on.
fn listeners(layout: &Layout, wish: &Wish) -> Vec<SocketAddr> {
    match wish.kind {
        Kind::Real => vec![wish.broker(layout), wish.broker_for_agents()],
        Kind::Sim => vec![wish.broker(layout)],
    }
}

/// RabbitMQ's own scheme: base64(salt ++ sha256(salt ++ password)), a salt of four bytes.
fn password_hash(password: &str, salt: [u8; 4]) -> String {
    let mut salted = salt.to_vec();
    salted.extend_from_slice(password.as_bytes());
    let mut hash = salt.to_vec();
    hash.extend_from_slice(&Sha256::digest(&salted));
    base64::engine::general_purpose::STANDARD.encode(hash)
}

/// The salt is a function of the password: the file stays equal between starts, and the passwords are random anyway.
fn salt(password: &str) -> [u8; 4] {
    let digest = Sha256::digest(format!("salt {password}"));
    [digest[0], digest[1], digest[2], digest[3]]
}

/// Everything the broker must know, as its definitions file.
fn definitions(manager: &str, agents: &[(AgentId, String)]) -> Value {
    let ids: Vec<AgentId> = agents.iter().map(|(agent, _)| agent.clone()).collect();
    broker::definitions(&ids, |name| {
        let password =
            agents.iter().find(|(agent, _)| agent.as_str() == name).map_or(manager, |(_, password)| password);
        json!({
            "name": name, "password_hash": password_hash(password, salt(password)),
            "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ""
        })
    })
}

fn erlang_address(address: SocketAddr) -> String {
    format!("{{\"{}\",{}}}", address.ip(), address.port())
}

fn advanced_config(inside: &Path, listeners: &[SocketAddr]) -> String {
    let listeners: Vec<String> = listeners.iter().map(|address| erlang_address(*address)).collect();
    format!(
        "[{{rabbit, [\n  {{tcp_listeners, [{}]}},\n  {{load_definitions, \"{}/definitions.json\"}},\n  \
         {{loopback_users, []}},\n  {{vm_memory_high_watermark, {{absolute, \"{MEMORY_WATERMARK}\"}}}},\n  \
         {{log, [{{console, [{{enabled, true}}, {{level, warning}}]}}]}}\n]}}].\n",
        listeners.join(", "),
        inside.display()
    )
}

/// Writes the broker's files and the agents' passwords.
pub fn prepare(layout: &Layout, wish: &Wish, user: User, agents: &[AgentId]) -> Result<(), BrokerError> {
    let outside = layout.path("broker");
    let write = || -> io::Result<()> {
        files::folder(&outside, 0o700)?;
        files::give(&outside, user)?;
        let manager = files::secret(&layout.secret("broker-dcmgr"))?;
        let with_passwords: io::Result<Vec<(AgentId, String)>> = agents
            .iter()
            .map(|agent| Ok((agent.clone(), files::secret(&layout.secret(&format!("broker-{agent}")))?)))
            .collect();
        let definitions = serde_json::to_string_pretty(&definitions(&manager, &with_passwords?))?;
        let advanced = advanced_config(&seen_from_inside(&outside, user), &listeners(layout, wish));
        let cookie = files::secret(&layout.secret("broker-cookie"))?;
        let texts = [
            ("definitions.json", definitions),
            ("advanced.config", advanced),
            (".erlang.cookie", cookie),
            ("plugins", "[].\n".into()),
        ];
        for (name, text) in texts {
            let path = outside.join(name);
            files::replace_if_different(&path, text.as_bytes(), 0o400)?;
            files::give(&path, user)?;
        }
        Ok(())
    };
    write().map_err(|source| BrokerError::Files { path: outside.clone(), source })
}

/// The folder of the installed version, which holds its libraries.
fn home() -> Result<PathBuf, BrokerError> {
    let base = PathBuf::from("/usr/lib/rabbitmq/lib");
    let entries = std::fs::read_dir(&base).into_iter().flatten().flatten();
    let mut homes: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rabbitmq_server-")))
        .collect();
    homes.sort();
    homes.pop().ok_or(BrokerError::NotInstalled { looked: base.join("rabbitmq_server-*") })
}

pub fn child(layout: &Layout, wish: &Wish, user: User) -> Result<ChildSpec, BrokerError> {
    let home = home()?;
    let outside = layout.path("broker");
    let inside = seen_from_inside(&outside, user);
    let program = super::command::find("erl").unwrap_or_else(|| "erl".into());
    let mut spec = ChildSpec::new("rabbitmq", program, layout.log("rabbitmq"), Stage::Broker);
    spec.user = user;
    if user.is_some() {
        spec.binds = vec![(outside, PathBuf::from(INSIDE))];
    }
    if wish.kind == Kind::Real {
        spec.place = Place::Netns(layout.netns_fab());
    }
    spec = environment(spec, &home, &inside);
    Ok(spec.args(arguments(wish)))
}

fn environment(spec: ChildSpec, home: &Path, inside: &Path) -> ChildSpec {
    let inside_path = |name: &str| inside.join(name).display().to_string();
    spec.env("HOME", inside.display().to_string())
        .env("LANG", "C.UTF-8")
        .env("ERL_LIBS", home.join("plugins").display().to_string())
        .env("ERL_MAX_ETS_TABLES", "50000")
        .env("ERL_MAX_PORTS", "8192")
        .env("RABBITMQ_HOME", home.display().to_string())
        .env("RABBITMQ_NODENAME", "arame@localhost")
        .env("RABBITMQ_MNESIA_BASE", inside_path("mnesia"))
        .env("RABBITMQ_LOG_BASE", inside_path("log"))
        .env("RABBITMQ_LOGS", "-")
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", inside_path("plugins"))
        .env("RABBITMQ_CONFIG_FILE", inside_path("none"))
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", inside_path("advanced.config"))
        .env("RABBITMQ_CONF_ENV_FILE", inside_path("none-env"))
        .env("SYS_PREFIX", "")
}

fn arguments(wish: &Wish) -> Vec<String> {
    let distribution = match wish.kind {
        Kind::Real => 25672,
        Kind::Sim => wish.ports().broker_distribution(),
    };
    let port = distribution.to_string();
    // Naming the node here, and its port, is what makes the port mapper (epmd) and the script's extra Erlang
    // machines needless.
    let words = [
        "-noinput",
        "-s",
        "rabbit",
        "boot",
        "-boot",
        "start_sasl",
        "+W",
        "w",
        "+B",
        "i",
        "+sbwt",
        "none",
        "+sbwtdcpu",
        "none",
        "+sbwtdio",
        "none",
        "-sname",
        "arame@localhost",
        "-start_epmd",
        "false",
        "-erl_epmd_port",
        &port,
        // All the same RabbitMQ (rabbit_epmd_monitor) starts an Erlang machine once a minute only to make sure that
        // epmd runs; the daemon would outlive it. Children of this machine print their version and end instead.
        "-env",
        "ERL_AFLAGS",
        "-start_epmd false -version",
        "-kernel",
        "inet_dist_listen_min",
        &port,
        "-kernel",
        "inet_dist_listen_max",
        &port,
        "-kernel",
        "inet_dist_use_interface",
        "{127,0,0,1}",
        "-syslog",
        "logger",
        "[]",
        "-syslog",
        "syslog_error_logger",
        "false",
        "-kernel",
        "prevent_overlapping_partitions",
        "false",
    ];
    words.map(str::to_owned).to_vec()
}

/// Whether it answers the protocol header with `connection.start` (a method frame), not just accepts.
pub async fn is_ready(address: SocketAddr) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let talk = async {
        let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await.ok()?;
        let mut head = [0u8; 11];
        stream.read_exact(&mut head).await.ok()?;
        // frame type 1 (method), class 10, method 10
        (head[0] == 1 && head[7..11] == [0, 10, 0, 10]).then_some(())
    };
    matches!(tokio::time::timeout(Duration::from_secs(5), talk).await, Ok(Some(())))
}

#[cfg(test)]
mod tests {
    use super::super::layout::wish;
    use super::*;

    #[test]
    fn a_password_hash_has_the_documented_form() {
        // RabbitMQ's documentation, "Passwords": salt 908DC60A, password test12.
        let hash = password_hash("test12", [0x90, 0x8d, 0xc6, 0x0a]);
        assert_eq!(hash, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR");
    }

    #[test]
    fn every_user_has_its_own_password_and_there_is_no_guest() {
        let definitions = definitions("m", &[("hva.h1".parse().unwrap(), "p".into())]);
        let users = definitions["users"].as_array().unwrap();
        let hashes: Vec<(&str, &str)> = users
            .iter()
            .map(|user| (user["name"].as_str().unwrap(), user["password_hash"].as_str().unwrap()))
            .collect();
        let hash = |password: &str| password_hash(password, salt(password));
        assert_eq!(hashes, [("dcmgr", hash("m").as_str()), ("hva.h1", hash("p").as_str())]);
    }

    #[test]
    fn the_broker_listens_on_named_addresses_only() {
        for kind in [Kind::Real, Kind::Sim] {
            let layout = Layout::new(Path::new("/srv/var"));
            assert!(listeners(&layout, &wish(kind)).iter().all(|address| !address.ip().is_unspecified()));
        }
    }
}
