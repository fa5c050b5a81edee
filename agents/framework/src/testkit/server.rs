//! The RabbitMQ process of the test kit: definitions, start, kill, freeze, end.
//!
//! Rule: it listens on 127.0.0.1 only, its Erlang distribution included, and leaves no process behind: epmd is our
//! own child, so the node never starts one that outlives it.

use super::{AGENTS, DCMGR, Realm, START_LIMIT, VHOSTS};
use anyhow::{Context, bail, ensure};
use arame_schema::broker::Rights;
use base64::Engine;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const PASSWORD: &str = "testkit";
const BIN: &str = "/usr/lib/rabbitmq/bin";

pub(super) fn is_installed() -> bool {
    Path::new(BIN).join("rabbitmq-server").exists() && find("epmd").is_some()
}

/// A running server. See the module above for who ends it.
pub struct Rabbit {
    dir: PathBuf,
    ports: Ports,
    pid: Mutex<u32>,
    /// `None` for a shared server: only its keeper ends it.
    own: Option<Mutex<Own>>,
    /// Held as long as this process uses the server; its keeper waits for it.
    _use: Option<File>,
    next_vhost: AtomicUsize,
}

struct Own {
    node: Child,
    epmd: Child,
}

#[derive(Clone, Copy)]
struct Ports {
    amqp: u16,
    amqps: u16,
    dist: u16,
    epmd: u16,
    management: u16,
}

/// What a server shows to whoever comes by TLS. The files are read again for each connection.
#[derive(Debug, Clone)]
pub struct Shown {
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

impl Rabbit {
    /// A server of this value alone, ended when it is dropped: for tests that kill or freeze it.
    ///
    /// # Errors
    /// When it does not answer in time; the message holds the end of its log.
    pub fn private() -> anyhow::Result<Arc<Self>> {
        Self::private_with(None)
    }

    /// The same, which is also reached by TLS 1.3 at [`Rabbit::tls_port`].
    ///
    /// # Errors
    /// As [`Rabbit::private`].
    pub fn private_with_tls(shown: &Shown) -> anyhow::Result<Arc<Self>> {
        Self::private_with(Some(shown))
    }

    /// The same, with the management API at [`Rabbit::management_url`], where dcmgr's user is an administrator.
    ///
    /// # Errors
    /// As [`Rabbit::private`].
    pub fn private_with_management() -> anyhow::Result<Arc<Self>> {
        Self::private_of(None, true)
    }

    fn private_with(shown: Option<&Shown>) -> anyhow::Result<Arc<Self>> {
        Self::private_of(shown, false)
    }

    fn private_of(shown: Option<&Shown>, management: bool) -> anyhow::Result<Arc<Self>> {
        let ports = Ports::free()?;
        let dir = std::env::temp_dir().join(format!("arame-testkit-{}", ports.amqp));
        prepare(&dir, ports, shown)?;
        if management {
            offer_management(&dir, ports)?;
        }
        let holder = File::create(dir.join("use.lock"))?;
        holder.lock_shared()?;
        let epmd = start_epmd(ports)?;
        let node = start_node(&dir, ports)?;
        let pid = node.id();
        // For the case that this process is killed before it drops the value.
        start_keeper(&dir.join("use.lock"), &[pid, epmd.id()])?;
        let own = Some(Mutex::new(Own { node, epmd }));
        let server =
            Self { dir, ports, pid: Mutex::new(pid), own, _use: Some(holder), next_vhost: AtomicUsize::new(0) };
        server.wait_ready()?;
        Ok(Arc::new(server))
    }

    /// The server shared by the test processes of this moment; started by the first.
    ///
    /// # Errors
    /// As [`Rabbit::private`].
    pub fn shared() -> anyhow::Result<Arc<Self>> {
        static SHARED: Mutex<Option<Arc<Rabbit>>> = Mutex::new(None);
        let mut slot = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = slot.as_ref() {
            return Ok(server.clone());
        }
        let server = Arc::new(Self::adopt_or_start()?);
        *slot = Some(server.clone());
        Ok(server)
    }

    fn adopt_or_start() -> anyhow::Result<Self> {
        let base = std::env::temp_dir().join("arame-testkit-shared");
        std::fs::create_dir_all(&base)?;
        let start = File::create(base.join("start.lock"))?;
        start.lock()?;
        let holder = File::create(base.join("use.lock"))?;
        // The keeper of a server whose last user left holds this for the moment it takes to end that server.
        holder.lock_shared()?;
        if let Some(server) = Self::adopt(&base, holder.try_clone()?) {
            return Ok(server);
        }
        let ports = Ports::free()?;
        let dir = base.join("node");
        let _ = std::fs::remove_dir_all(&dir);
        prepare(&dir, ports, None)?;
        let epmd = start_epmd(ports)?;
        let node = start_node(&dir, ports)?;
        let pid = node.id();
        start_keeper(&base.join("use.lock"), &[pid, epmd.id()])?;
        let text = format!("{} {} {} {} {pid}", ports.amqp, ports.amqps, ports.dist, ports.epmd);
        std::fs::write(base.join("ports"), text)?;
        let server =
            Self { dir, ports, pid: Mutex::new(pid), own: None, _use: Some(holder), next_vhost: AtomicUsize::new(0) };
        server.wait_ready()?;
        Ok(server)
    }

    fn adopt(base: &Path, holder: File) -> Option<Self> {
        let text = std::fs::read_to_string(base.join("ports")).ok()?;
        let numbers: Vec<u32> = text.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [amqp, amqps, dist, epmd, pid] = numbers[..] else { return None };
        let port = |number: u32| u16::try_from(number).ok();
        let (amqp, amqps, dist, epmd) = (port(amqp)?, port(amqps)?, port(dist)?, port(epmd)?);
        // A shared server has no management API.
        let ports = Ports { amqp, amqps, dist, epmd, management: 0 };
        answers(ports.amqp).then(|| Self {
            dir: base.join("node"),
            ports,
            pid: Mutex::new(pid),
            own: None,
            _use: Some(holder),
            next_vhost: AtomicUsize::new(0),
        })
    }

    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    pub fn tls_port(&self) -> u16 {
        self.ports.amqps
    }

    /// Of a server that was made with it.
    pub fn management_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.management)
    }

    /// File with the password of every account.
    pub fn password_file(&self) -> PathBuf {
        self.dir.join("password")
    }

    /// A virtual host nobody else uses.
    ///
    /// # Errors
    /// When all of the server's are given out.
    pub fn realm(self: &Arc<Self>) -> anyhow::Result<Realm> {
        let number = match self.own {
            Some(_) => self.next_vhost.fetch_add(1, Ordering::SeqCst),
            None => next_of(&self.dir.join("next-vhost"))?,
        };
        if number >= VHOSTS {
            let vhost = format!("more{number}");
            self.add_vhost(&vhost)?;
            return Ok(Realm { server: self.clone(), vhost });
        }
        Ok(Realm { server: self.clone(), vhost: format!("t{number}") })
    }

    fn add_vhost(&self, vhost: &str) -> anyhow::Result<()> {
        self.ctl(&["add_vhost", vhost])?;
        for (user, rights) in accounts() {
            let Rights { configure, write, read } = rights;
            self.ctl(&["set_permissions", "-p", vhost, &user, &configure, &write, &read])?;
        }
        Ok(())
    }

    /// Runs `rabbitmqctl` on this server and gives what it printed.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn ctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(Path::new(BIN).join("rabbitmqctl"));
        environment(&mut command, &self.dir, self.ports);
        command.args(["--timeout", "60", "--node", &self.ports.node()]).args(arguments);
        let output = command.output()?;
        ensure!(output.status.success(), "rabbitmqctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// SIGKILL: no goodbye, nothing flushed.
    ///
    /// # Errors
    /// On a shared server, which is not this test's to kill.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.signal("-KILL")?;
        self.own()?.node.wait()?;
        Ok(())
    }

    /// Starts it again on the same data after [`Rabbit::kill`].
    ///
    /// # Errors
    /// As [`Rabbit::private`].
    pub fn restart(&self) -> anyhow::Result<()> {
        {
            let mut own = self.own()?;
            own.node = start_node(&self.dir, self.ports)?;
            start_keeper(&self.dir.join("use.lock"), &[own.node.id()])?;
            *self.pid.lock().unwrap_or_else(PoisonError::into_inner) = own.node.id();
        }
        self.wait_ready()
    }

    /// SIGSTOP: the connections stay, nothing answers.
    ///
    /// # Errors
    /// On a shared server.
    pub fn freeze(&self) -> anyhow::Result<()> {
        let _own = self.own()?;
        self.signal("-STOP")
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// On a shared server.
    pub fn thaw(&self) -> anyhow::Result<()> {
        let _own = self.own()?;
        self.signal("-CONT")
    }

    fn own(&self) -> anyhow::Result<std::sync::MutexGuard<'_, Own>> {
        let own = self.own.as_ref().context("a shared server is not this test's to kill")?;
        Ok(own.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let pid = *self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        signal_group(signal, pid)
    }

    fn wait_ready(&self) -> anyhow::Result<()> {
        let end = Instant::now() + START_LIMIT;
        while !answers(self.ports.amqp) {
            if Instant::now() > end {
                bail!("RabbitMQ did not answer within {START_LIMIT:?}: {}", log_end(&self.dir));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        let Some(own) = self.own.as_mut() else { return };
        let own = own.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = signal_group("-KILL", own.node.id());
        let _ = own.epmd.kill();
        for child in [&mut own.node, &mut own.epmd] {
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Ports {
    fn free() -> anyhow::Result<Self> {
        // All are bound at once, so that they differ.
        let held: Vec<TcpListener> =
            (0..5).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<std::io::Result<_>>()?;
        let port = |i: usize| held[i].local_addr().map(|address| address.port());
        Ok(Self { amqp: port(0)?, amqps: port(1)?, dist: port(2)?, epmd: port(3)?, management: port(4)? })
    }

    fn node(self) -> String {
        format!("arame-testkit-{}@localhost", self.amqp)
    }
}

/// Users and what they may: DESIGN, Permissions.
fn accounts() -> Vec<(String, Rights)> {
    let agents = AGENTS.iter().map(|agent| ((*agent).to_owned(), Rights::of_agent(&super::agent(agent))));
    std::iter::once((DCMGR.to_owned(), Rights::of_manager())).chain(agents).collect()
}

/// The plugin, on loopback, without its collector of statistics; and whom it serves, as often as the server begins.
fn offer_management(dir: &Path, ports: Ports) -> anyhow::Result<()> {
    std::fs::write(dir.join("plugins"), "[rabbitmq_management].\n")?;
    let mut known = definitions();
    let users = known["users"].as_array_mut().into_iter().flatten();
    users.filter(|user| user["name"] == DCMGR).for_each(|user| user["tags"] = json!("administrator"));
    std::fs::write(dir.join("definitions.json"), known.to_string())?;
    let mut conf = std::fs::OpenOptions::new().append(true).open(dir.join("rabbitmq.conf"))?;
    let port = ports.management;
    writeln!(
        conf,
        "management.tcp.port = {port}\nmanagement.tcp.ip = 127.0.0.1\nmanagement_agent.disable_metrics_collector = true"
    )?;
    Ok(())
}

fn prepare(dir: &Path, ports: Ports, shown: Option<&Shown>) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join("password"), format!("{PASSWORD}\n"))?;
    std::fs::write(dir.join("plugins"), "[].\n")?;
    std::fs::write(dir.join("env"), "")?;
    std::fs::write(dir.join("definitions.json"), definitions().to_string())?;
    let mut conf = format!(
        "listeners.tcp.1 = 127.0.0.1:{}\nload_definitions = {}\nloopback_users = none\nheartbeat = 60\n\
         vm_memory_high_watermark.relative = 0.8\ndisk_free_limit.absolute = 50MB\n",
        ports.amqp,
        dir.join("definitions.json").display()
    );
    if let Some(Shown { certificate_file, key_file }) = shown {
        write!(
            conf,
            "listeners.ssl.1 = 127.0.0.1:{}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n\
             ssl_options.verify = verify_none\nssl_options.fail_if_no_peer_cert = false\n\
             ssl_options.versions.1 = tlsv1.3\n",
            ports.amqps,
            certificate_file.display(),
            key_file.display()
        )?;
    }
    std::fs::write(dir.join("rabbitmq.conf"), conf)?;
    Ok(())
}

fn definitions() -> serde_json::Value {
    let vhosts: Vec<_> = (0..VHOSTS).map(|i| format!("t{i}")).collect();
    let everywhere = |(user, rights): (String, Rights)| {
        vhosts.iter().map(|vhost| rights.permission(&user, vhost)).collect::<Vec<_>>()
    };
    let permissions: Vec<_> = accounts().into_iter().flat_map(everywhere).collect();
    let users: Vec<_> = accounts()
        .into_iter()
        .map(|(name, ..)| {
            json!({ "name": name, "password_hash": password_hash(), "tags": [],
                    "hashing_algorithm": "rabbit_password_hashing_sha256" })
        })
        .collect();
    let vhosts: Vec<_> = vhosts.iter().map(|name| json!({ "name": name })).collect();
    json!({ "users": users, "vhosts": vhosts, "permissions": permissions })
}

/// RabbitMQ's form: base64 of a four-byte salt and the SHA-256 of salt and password.
fn password_hash() -> String {
    let salt = [7u8, 7, 7, 7];
    let mut hasher = Sha256::new();
    hasher.update(salt);
    hasher.update(PASSWORD.as_bytes());
    let mut bytes = salt.to_vec();
    bytes.extend_from_slice(&hasher.finalize());
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn environment(command: &mut Command, dir: &Path, ports: Ports) {
    command
        .env("HOME", dir)
        .env("RABBITMQ_NODENAME", ports.node())
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", ports.amqp.to_string())
        .env("RABBITMQ_DIST_PORT", ports.dist.to_string())
        .env("ERL_EPMD_PORT", ports.epmd.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_MNESIA_BASE", dir.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", dir.join("log"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("plugins"))
        .env("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq.conf"))
        .env("RABBITMQ_CONF_ENV_FILE", dir.join("env"))
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1} -ssl bypass_pem_cache true",
        )
        .stdin(Stdio::null());
}

fn start_epmd(ports: Ports) -> anyhow::Result<Child> {
    let epmd = find("epmd").context("epmd is not installed")?;
    let mut command = Command::new(epmd);
    command.args(["-address", "127.0.0.1", "-port", &ports.epmd.to_string()]);
    detached(&mut command).spawn().context("epmd")
}

fn start_node(dir: &Path, ports: Ports) -> anyhow::Result<Child> {
    let mut command = Command::new(Path::new(BIN).join("rabbitmq-server"));
    environment(&mut command, dir, ports);
    detached(&mut command).spawn().context("rabbitmq-server")
}

/// To the process group: the node's start script stays beside the node it started, and is not the node.
fn signal_group(signal: &str, leader: u32) -> anyhow::Result<()> {
    let group = format!("-{leader}");
    ensure!(Command::new("kill").args([signal, "--", &group]).status()?.success(), "kill {signal} {group}");
    Ok(())
}

/// Waits for the exclusive lock, that is until no test process uses the server, then ends the server's process groups.
fn start_keeper(lock: &Path, leaders: &[u32]) -> anyhow::Result<()> {
    let mut command = Command::new("flock");
    command
        .arg("--exclusive")
        .arg(lock)
        .args(["kill", "-KILL", "--"])
        .args(leaders.iter().map(|leader| format!("-{leader}")));
    detached(&mut command).spawn().context("flock")?;
    Ok(())
}

/// Out of the caller's process group, so that a signal to the test does not reach it, and away from its output.
fn detached(command: &mut Command) -> &mut Command {
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

/// Whether a broker sends its `Connection.Start` on that port.
fn answers(port: u16) -> bool {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut first = [0u8; 1];
    stream.write_all(b"AMQP\x00\x00\x09\x01").is_ok() && stream.read_exact(&mut first).is_ok() && first[0] == 1
}

/// Takes the next number from a file that several processes count in.
fn next_of(path: &Path) -> anyhow::Result<usize> {
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    file.lock()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let number: usize = text.trim().parse().unwrap_or(0);
    use std::io::Seek;
    file.rewind()?;
    file.set_len(0)?;
    write!(file, "{}", number + 1)?;
    Ok(number)
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.exists())
}

fn log_end(dir: &Path) -> String {
    let Ok(entries) = std::fs::read_dir(dir.join("log")) else { return "it wrote no log".into() };
    let texts = entries.flatten().filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    let all: String = texts.collect();
    let lines: Vec<&str> = all.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
