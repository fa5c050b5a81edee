//! A private switch in a namespace of its own, and client machines on its tagged ports. Everything ends with the lab.

use arame_nsa::config::Nsa;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

static COUNT: AtomicU32 = AtomicU32::new(0);

pub struct Lab {
    pub dir: tempfile::TempDir,
    /// Begins every namespace of this lab.
    pub word: String,
    daemons: Vec<Child>,
}

pub fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Standard output; a failure fails the test.
pub fn must(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Lab {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("nsa").tempdir().unwrap();
        let word = format!("nsat{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut lab = Self { dir, word, daemons: Vec::new() };
        must("ip", &["netns", "add", &lab.infra()]);
        must("ip", &["-n", &lab.infra(), "link", "set", "lo", "up"]);
        let db = lab.dir.path().join("conf.db");
        must("ovsdb-tool", &["create", db.to_str().unwrap(), "/usr/share/openvswitch/vswitch.ovsschema"]);
        lab.start_switch();
        lab
    }

    pub fn infra(&self) -> String {
        format!("{}-infra", self.word)
    }

    /// The nsa's own namespaces begin so.
    pub fn prefix(&self) -> String {
        format!("{}-nw-", self.word)
    }

    pub fn db_socket(&self) -> PathBuf {
        self.dir.path().join("db.sock")
    }

    pub fn config(&self) -> Nsa {
        crate::kit::netns_config(self.dir.path(), &self.db_socket(), &self.prefix())
    }

    pub fn vsctl(&self, arguments: &[&str]) -> String {
        let db = format!("--db=unix:{}", self.db_socket().display());
        let mut all = vec![db.as_str(), "--timeout=10"];
        all.extend_from_slice(arguments);
        must("ovs-vsctl", &all)
    }

    pub fn start_switch(&mut self) {
        let dir = self.dir.path().to_owned();
        let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        let log = |name: &str| format!("--log-file={}", path(name));
        let control = |name: &str| format!("--unixctl={}", path(name));
        let remote = format!("--remote=punix:{}", path("db.sock"));
        let server = [path("conf.db"), remote, control("db.ctl"), log("db.log")];
        self.daemon("ovsdb-server", &server);
        wait_for(|| self.db_socket().exists() && run("ovs-vsctl", &[&self.db(), "--no-wait", "init"]).status.success());
        let switchd = [format!("unix:{}", path("db.sock")), control("vs.ctl"), log("vs.log")];
        self.daemon("ovs-vswitchd", &switchd);
        self.vsctl(&["--may-exist", "add-br", "ovs0", "--", "set", "bridge", "ovs0", "datapath_type=netdev"]);
    }

    fn db(&self) -> String {
        format!("--db=unix:{}", self.db_socket().display())
    }

    fn daemon(&mut self, program: &str, arguments: &[String]) {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.infra(), program]).args(arguments);
        command.env("OVS_RUNDIR", self.dir.path()).env("OVS_DBDIR", self.dir.path()).env("OVS_LOGDIR", self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.daemons.push(command.spawn().unwrap());
    }

    pub fn stop_switch(&mut self) {
        for mut daemon in self.daemons.drain(..).rev() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
        let _ = std::fs::remove_file(self.db_socket());
    }

    /// A machine with the MAC on a port with the tag: a namespace whose `eth0` is up without an address.
    pub fn client(&self, name: &str, tag: u16, mac: &str) -> Client {
        let netns = format!("{}-{name}", self.word);
        let port = format!("c{name}");
        must("ip", &["netns", "add", &netns]);
        let infra = self.infra();
        let veth =
            ["link", "add", "name", &port, "type", "veth", "peer", "name", "eth0", "address", mac, "netns", &netns];
        must("ip", &[&["-n", infra.as_str()][..], &veth].concat());
        must("ip", &["-n", &infra, "link", "set", "dev", &port, "up"]);
        must("ip", &["-n", &netns, "link", "set", "dev", "lo", "up"]);
        must("ip", &["-n", &netns, "link", "set", "dev", "eth0", "up"]);
        must("ip", &["netns", "exec", &netns, "ethtool", "-K", "eth0", "tx", "off"]);
        self.vsctl(&["add-port", "ovs0", &port, &format!("tag={tag}")]);
        Client { netns, dir: self.dir.path().to_owned(), name: name.to_owned() }
    }

    /// Runs a test in a thread, and a runtime, that stand in the infrastructure's namespace.
    pub fn inside<T: Send + 'static, F: Future<Output = T>>(
        netns: &str,
        test: impl FnOnce() -> F + Send + 'static,
    ) -> T {
        let file = File::open(Path::new("/run/netns").join(netns)).unwrap();
        let body = move || {
            setns(&file, CloneFlags::CLONE_NEWNET).unwrap();
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(2).enable_all().build().unwrap().block_on(test())
        };
        std::thread::spawn(body).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            if name.starts_with(&format!("{}-", self.word)) {
                // A dhclient that went to the background before its pid file was there.
                let left = run("ip", &["netns", "pids", &name]);
                for pid in String::from_utf8_lossy(&left.stdout).split_whitespace() {
                    if pid != std::process::id().to_string() {
                        run("kill", &[pid]);
                    }
                }
                run("ip", &["netns", "del", &name]);
            }
        }
    }
}

pub struct Client {
    pub netns: String,
    dir: PathBuf,
    name: String,
}

/// What a client program was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub ip: String,
    /// The hook's environment.
    pub environment: String,
}

impl Lease {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.environment.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }
}

impl Client {
    pub fn exec(&self, program: &str, arguments: &[&str]) -> Output {
        run("ip", &[&["netns", "exec", &self.netns, program][..], arguments].concat())
    }

    fn hook(&self) -> (PathBuf, PathBuf) {
        use std::os::unix::fs::PermissionsExt;
        let (hook, out) = (self.dir.join(format!("{}.sh", self.name)), self.dir.join(format!("{}.env", self.name)));
        let text = format!("#!/bin/sh\necho event=$1 >>{0}\nenv >>{0}\n", out.display());
        std::fs::write(&hook, text).unwrap();
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
        let _ = std::fs::remove_file(&out);
        (hook, out)
    }

    /// busybox's client, `seconds` tries of one second.
    pub fn udhcpc(&self, seconds: u32, more: &[&str]) -> Option<Lease> {
        let (hook, out) = self.hook();
        let tries = seconds.to_string();
        let fixed = ["-i", "eth0", "-n", "-q", "-f", "-t", &tries, "-T", "1", "-A", "1", "-s", hook.to_str().unwrap()];
        self.exec("udhcpc", &[&fixed[..], more].concat());
        let environment = std::fs::read_to_string(out).unwrap_or_default();
        let bound = environment.split("event=bound").nth(1)?.to_owned();
        let ip = bound.lines().find_map(|line| line.strip_prefix("ip="))?.to_owned();
        Some(Lease { ip, environment: bound })
    }

    /// ISC's client.
    pub fn dhclient(&self, seconds: u32) -> Option<Lease> {
        let (hook, out) = self.hook();
        let path = |end: &str| self.dir.join(format!("{}.{end}", self.name)).to_str().unwrap().to_owned();
        let (leases, pid, conf) = (path("leases"), path("pid"), path("conf"));
        std::fs::write(&conf, format!("timeout {seconds};\nretry 1;\ninitial-interval 1;\n")).unwrap();
        let hook = hook.to_str().unwrap();
        let arguments = ["-4", "-1", "-v", "-cf", &conf, "-lf", &leases, "-pf", &pid, "-sf", hook, "eth0"];
        let said = self.exec("dhclient", &arguments);
        if let Ok(pid) = std::fs::read_to_string(&pid) {
            run("kill", &[pid.trim()]);
        }
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        let ip = said.lines().find_map(|line| line.strip_prefix("bound to "))?.split(' ').next()?.to_owned();
        Some(Lease { ip, environment: std::fs::read_to_string(out).unwrap_or_default() })
    }

    /// Gives the machine its address by hand.
    pub fn address(&self, cidr: &str) {
        must("ip", &["-n", &self.netns, "addr", "add", cidr, "dev", "eth0"]);
    }

    /// `dig` at 10.0.0.2, the whole answer.
    pub fn dig(&self, arguments: &[&str]) -> String {
        let output = self.exec("dig", &[&["@10.0.0.2", "+time=2", "+tries=1"][..], arguments].concat());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn dig_short(&self, arguments: &[&str]) -> String {
        self.dig(&[&["+short"][..], arguments].concat()).trim().to_owned()
    }
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "the private switch does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
}
