//! Real hosts for tests: namespaces with their own libvirt and Open vSwitch, and the agent running inside each.
//!
//! The agent must run in the host's namespaces, so the test program starts itself there again (`child`) and speaks
//! with it by lines of JSON. What the machine lacks is said and skipped.
#![allow(dead_code)]

use crate::fixtures::{self, INSTALLATION};
use arame_framework::agent::{Agent, Standing, Stopped, Work};
use arame_hva::{Hva, config};
use arame_schema::jobs::figures::{FIGURES, FiguresAnswer};
use arame_schema::jobs::report::{Ask, FactReport};
use arame_schema::jobs::{Envelope, Job};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub const CHILD: &str = "ARAME_HVA_TEST_CHILD";
const SUPPORT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support");

/// Whether everything is here; says what is not. Panics when `ARAME_REQUIRE` names it.
pub fn able() -> bool {
    let root = nix::unistd::geteuid().is_root();
    let program = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|dir| dir.join(name).exists())
    };
    let needs = [
        ("root", root),
        ("tun", Path::new("/dev/net/tun").exists()),
        ("libvirt", program("libvirtd") && program("qemu-system-x86_64")),
        ("ovs", program("ovs-vswitchd")),
        ("tgt", program("tgtd")),
        ("syslinux", program("syslinux") && program("mcopy") && program("busybox")),
    ];
    for (need, here) in needs {
        if !here {
            arame_framework::testkit::skip(need);
            return false;
        }
    }
    true
}

/// Where a host's libvirt takes guests: `h1` is 10.99.0.1.
pub fn migration_uri(host: &str) -> String {
    format!("qemu+tcp://10.99.0.{}/system", host.trim_start_matches('h'))
}

/// A fabric with hosts; gone when dropped.
pub struct Lab {
    pub base: PathBuf,
    name: String,
    _dir: tempfile::TempDir,
    pub image: (String, u64),
}

impl Lab {
    pub fn up(hosts: usize) -> Self {
        let dir = tempfile::Builder::new().prefix("hva-lab-").tempdir().unwrap();
        let name = format!("hv{}", std::process::id());
        let base = dir.path().to_owned();
        std::fs::create_dir_all(base.join("www")).unwrap();
        // Fetched once: a run of all tests has a temporary folder of its own and names a lasting one here.
        let cache = std::env::var_os("ARAME_TEST_CACHE").map_or_else(std::env::temp_dir, PathBuf::from);
        let cache = cache.join("arame-test-kernel");
        run(Command::new("bash").arg(format!("{SUPPORT}/guest.sh")).arg(base.join("www/tiny.qcow2")).arg(cache));
        let bytes = std::fs::read(base.join("www/tiny.qcow2")).unwrap();
        let image = (hex::encode(Sha256::digest(&bytes)), bytes.len() as u64);
        let lab = Self { base, name, _dir: dir, image };
        run(lab.script("up").arg(hosts.to_string()).stdout(Stdio::null()).stderr(Stdio::null()));
        lab
    }

    fn script(&self, verb: &str) -> Command {
        let mut command = Command::new("bash");
        command.arg(format!("{SUPPORT}/lab.sh")).arg(verb).arg(&self.base).arg(&self.name);
        command
    }

    /// Runs a program in `h1`, `fab`, `srv100`, …: its output, and whether it succeeded.
    pub fn inside(&self, place: &str, argv: &[&str]) -> (bool, String) {
        let output = self.script("in").arg(place).args(argv).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }

    /// The same without waiting.
    pub fn spawn_inside(&self, place: &str, argv: &[&str]) -> Child {
        let mut command = self.script("in");
        command.arg(place).args(argv).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// The test image, as a spec names it.
    pub fn with_image(&self, mut spec: arame_schema::jobs::hva::InstanceSpec) -> arame_schema::jobs::hva::InstanceSpec {
        spec.boot.sha256 = self.image.0.clone();
        spec.boot.size_bytes = self.image.1;
        spec
    }

    /// Starts the agent inside a host.
    pub fn agent(&self, host: &str) -> Host {
        let file = self.base.join(format!("{host}.toml"));
        std::fs::write(&file, self.config(host)).unwrap();
        let exe = std::env::current_exe().unwrap();
        let mut command = self.script("run");
        command.arg(host).arg("env").arg(format!("{CHILD}={}", file.display())).arg("RUST_LOG=info").arg(exe);
        command.args(["the_agent_inside_a_host", "--exact", "--nocapture", "--test-threads=1"]);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.base.join(format!("{host}.log")));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log.unwrap());
        Host::start(command, self.base.join(host).join("data"))
    }

    fn config(&self, host: &str) -> String {
        let base = self.base.display();
        format!(
            r#"
[common]
agent = "hva.{host}"
key_file = "/nonexistent"
state_dir = "{base}/{host}/state"
[common.broker]
host = "127.0.0.1"
port = 1
vhost = "/"
user = "x"
password_file = "/nonexistent"
[hva]
host = "hn-{host}"
driver = "libvirt"
figures_every_seconds = 1
data_dir = "{base}/{host}/data"
initiator_iqn = "iqn.2026-11.jp.arame:{host}"
[hva.libvirt]
uri = "qemu:///system"
domain_type = "qemu"
laboratory = true
migration_uri = "{}"
[hva.switch]
driver = "ovs"
bridge = "ovs0"
db_socket = "/run/openvswitch/db.sock"
run_dir = "/run/openvswitch"
"#,
            migration_uri(host)
        )
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("ARAME_KEEP_LAB").is_some() {
            println!("kept: {} ({})", self.base.display(), self.name);
            std::mem::forget(std::mem::replace(&mut self._dir, tempfile::tempdir().unwrap()));
            return;
        }
        if std::thread::panicking() {
            for entry in std::fs::read_dir(&self.base).into_iter().flatten().flatten() {
                if entry.path().extension().is_some_and(|e| e == "log") {
                    let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
                    println!("--- {}\n{}", entry.path().display(), tail(&text, 4000));
                }
            }
        }
        let _ = self.script("down").stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

fn tail(text: &str, bytes: usize) -> &str {
    let from = text.len().saturating_sub(bytes);
    (from..text.len()).find_map(|at| text.get(at..)).unwrap_or("")
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?} failed");
}

/// How a job ended, between the two processes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    pub facts: Vec<FactReport>,
    /// `done`, `failed`, `refused` or `overtaken`.
    pub result: String,
    #[serde(default)]
    pub code: String,
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub found_generation: u64,
    #[serde(default)]
    pub worked_ms: u64,
}

impl Answer {
    pub fn of(result: Result<Vec<FactReport>, Stopped>, worked: Duration) -> Self {
        let mut answer = Answer {
            facts: vec![],
            result: "done".into(),
            code: String::new(),
            message: String::new(),
            found_generation: 0,
            worked_ms: worked.as_millis() as u64,
        };
        match result {
            Ok(facts) => answer.facts = facts,
            Err(Stopped::Failed { code, message, facts, .. }) => {
                answer = Answer { facts, result: "failed".into(), code, message, ..answer };
            }
            Err(Stopped::Refused { found_generation, facts }) => {
                answer = Answer { facts, result: "refused".into(), found_generation, ..answer };
            }
            Err(Stopped::Overtaken { facts }) => answer = Answer { facts, result: "overtaken".into(), ..answer },
        }
        answer
    }

    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.result, "done", "{} {} {:?}", self.code, self.message, self.facts);
        self
    }
}

type Waiting = Arc<Mutex<HashMap<u64, Sender<Value>>>>;

/// The agent in a host, from outside.
pub struct Host {
    child: Child,
    stdin: Mutex<ChildStdin>,
    waiting: Waiting,
    next: Mutex<u64>,
    pub data: PathBuf,
}

impl Host {
    fn start(mut command: Command, data: PathBuf) -> Self {
        let mut child = command.spawn().unwrap();
        let stdin = Mutex::new(child.stdin.take().unwrap());
        let out = BufReader::new(child.stdout.take().unwrap());
        let waiting = Waiting::default();
        let heard = waiting.clone();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let Some(at) = line.find("@@") else { continue };
                let Ok(message) = serde_json::from_str::<Value>(&line[at + 2..]) else { continue };
                let waiter = message["id"].as_u64().and_then(|id| heard.lock().unwrap().remove(&id));
                if let Some(waiter) = waiter {
                    let _ = waiter.send(message["answer"].clone());
                }
            }
            heard.lock().unwrap().clear();
        });
        Self { child, stdin, waiting, next: Mutex::new(0), data }
    }

    fn send(&self, mut message: Value) -> (u64, Receiver<Value>) {
        let id = {
            let mut next = self.next.lock().unwrap();
            *next += 1;
            *next
        };
        message["id"] = json!(id);
        let (tell, answer) = channel();
        self.waiting.lock().unwrap().insert(id, tell);
        writeln!(self.stdin.lock().unwrap(), "{message}").unwrap();
        (id, answer)
    }

    fn ask_for(&self, message: Value) -> Value {
        self.send(message).1.recv_timeout(Duration::from_secs(180)).expect("the agent answers")
    }

    /// Runs one job to its end.
    #[track_caller]
    pub fn job(&self, job: &Job, thing: &str, generation: u64) -> Answer {
        self.job_for(INSTALLATION, job, thing, generation)
    }

    /// The same, as dcmgr of another installation.
    #[track_caller]
    pub fn job_for(&self, installation: Uuid, job: &Job, thing: &str, generation: u64) -> Answer {
        let mut message = Self::message(job, thing, generation);
        message["installation"] = json!(installation);
        serde_json::from_value(self.ask_for(message)).unwrap()
    }

    fn message(job: &Job, thing: &str, generation: u64) -> Value {
        json!({ "do": "job", "kind": job.kind(), "body": Envelope::body_of(job), "thing": thing, "generation": generation })
    }

    /// Begins a job that will be cancelled: its number and where the answer comes.
    pub fn begin(&self, job: &Job, thing: &str, generation: u64) -> (u64, Receiver<Value>) {
        self.send(Self::message(job, thing, generation))
    }

    pub fn cancel(&self, id: u64) {
        self.ask_for(json!({ "do": "cancel", "job": id }));
    }

    /// Things of the inventory, and whether every backend was complete.
    pub fn list(&self) -> Value {
        self.ask_for(json!({ "do": "list" }))
    }

    /// Waits for the agent to want an inventory by itself.
    pub fn survey_wanted(&self, limit: Duration) -> bool {
        self.ask_for(json!({ "do": "survey", "ms": limit.as_millis() as u64 })) == json!(true)
    }

    pub fn console(&self, instance: &str) -> String {
        let answer = self.ask_for(json!({ "do": "ask", "instance": instance }));
        answer.as_str().unwrap_or_default().to_owned()
    }

    /// Types into a console until it answers `until`, or says why it is not opened; see [`visit`].
    pub fn visit(&self, instance: &str, kind: &str, typed: &str, until: &str) -> Result<String, String> {
        let wish = json!({ "do": "open", "instance": instance, "kind": kind, "typed": typed, "until": until });
        serde_json::from_value(self.ask_for(wish)).unwrap()
    }

    /// The screen as a PNG in base64, or why not.
    pub fn screenshot(&self, instance: &str) -> Result<Value, String> {
        serde_json::from_value(self.ask_for(json!({ "do": "screenshot", "instance": instance }))).unwrap()
    }

    /// What is told of a guest's figures.
    pub fn figures(&self, instance: &str) -> FiguresAnswer {
        serde_json::from_value(self.ask_for(json!({ "do": "figures", "instance": instance }))).unwrap()
    }

    /// Any question, as dcmgr asks it.
    pub fn question(&self, question: &str, arguments: Value) -> Result<Value, String> {
        let asked = self.ask_for(json!({ "do": "question", "question": question, "arguments": arguments }));
        serde_json::from_value(asked).unwrap()
    }

    /// Kills the process as SIGKILL does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A guest's serial console, typed into through its socket, which one may have at a time. What the guest writes is read
/// from the log, and here thrown away: it must not wait for us.
pub struct Console<'a> {
    agent: &'a Host,
    instance: String,
    port: UnixStream,
}

impl<'a> Console<'a> {
    /// Waits until the guest is up.
    pub fn booted(lab: &Lab, host: &str, agent: &'a Host, instance: &str) -> Self {
        // The host's /run, seen from outside.
        let path = lab.base.join(host).join("run/arame-hva").join(format!("{instance}.serial"));
        let port = UnixStream::connect(path).unwrap();
        let mut written = port.try_clone().unwrap();
        std::thread::spawn(move || std::io::copy(&mut written, &mut std::io::sink()));
        let console = Self { agent, instance: instance.to_owned(), port };
        console.until("GUEST-UP", Duration::from_secs(60));
        console
    }

    pub fn until(&self, needle: &str, limit: Duration) -> String {
        let deadline = Instant::now() + limit;
        loop {
            let text = self.agent.console(&self.instance);
            if text.contains(needle) {
                return text;
            }
            assert!(Instant::now() < deadline, "`{needle}` did not appear in:\n{}", tail(&text, 3000));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs a shell line in the guest: its output, and whether it succeeded. The mark is split in the typed line so
    /// that its echo does not count.
    pub fn shell(&self, line: &str) -> (bool, String) {
        let number = Uuid::new_v4().as_u128() as u64;
        let typed = format!("echo BEG''{number:x}; {line}; echo EN''D{number:x}=$?.\n");
        (&self.port).write_all(typed.as_bytes()).unwrap();
        let text = self.until(&format!("END{number:x}="), Duration::from_secs(90));
        let begin = format!("BEG{number:x}");
        let body = text.rsplit(&begin).next().unwrap_or_default();
        let (output, rest) = body.split_once(&format!("END{number:x}=")).unwrap_or((body, ""));
        (rest.starts_with("0."), output.replace('\r', "").trim().to_owned())
    }
}

impl Drop for Console<'_> {
    /// The reading thread has the socket open too.
    fn drop(&mut self) {
        let _ = self.port.shutdown(std::net::Shutdown::Both);
    }
}

/// The other side: the agent inside the host. Returns at once in an ordinary test run.
pub fn child() {
    let Some(file) = std::env::var_os(CHILD) else { return };
    arame_framework::telemetry::init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = config::load(Path::new(&file)).unwrap();
        let hva = Hva::start(&config).await.unwrap();
        let standing = Standing::new(INSTALLATION, std::process::id().into());
        hva.joined(standing.clone()).await;
        serve(hva, standing).await;
    });
    std::process::exit(0);
}

async fn serve(hva: Arc<Hva>, standing: Standing) {
    let (lines, mut wanted) = tokio::sync::mpsc::channel(64);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let _ = lines.blocking_send(line);
        }
    });
    let cancels: Arc<Mutex<HashMap<u64, CancellationToken>>> = Arc::default();
    while let Some(line) = wanted.recv().await {
        let message: Value = serde_json::from_str(&line).unwrap();
        let (hva, standing, cancels) = (hva.clone(), standing.clone(), cancels.clone());
        tokio::spawn(async move {
            let id = message["id"].as_u64().unwrap();
            let answer = perform(&hva, &standing, &cancels, &message, id).await;
            println!("@@{}", json!({ "id": id, "answer": answer }));
        });
    }
}

async fn perform(
    hva: &Arc<Hva>,
    standing: &Standing,
    cancels: &Mutex<HashMap<u64, CancellationToken>>,
    message: &Value,
    id: u64,
) -> Value {
    match message["do"].as_str().unwrap() {
        "job" => {
            let job = json!({ "kind": message["kind"], "body": message["body"] });
            let job: Job = serde_json::from_value(job).unwrap();
            let cancelled = CancellationToken::new();
            cancels.lock().unwrap().insert(id, cancelled.clone());
            let (thing, generation) = (message["thing"].as_str().unwrap(), message["generation"].as_u64().unwrap());
            let installation = message["installation"].as_str().and_then(|text| text.parse().ok());
            let mut standing = standing.clone();
            standing.installation = installation.unwrap_or(INSTALLATION);
            let work: Work = fixtures::work_with(&standing, thing, generation, Duration::from_secs(120), cancelled);
            let began = Instant::now();
            let result = hva.handle(job, work).await;
            serde_json::to_value(Answer::of(result, began.elapsed())).unwrap()
        }
        "cancel" => {
            let job = message["job"].as_u64().unwrap();
            cancels.lock().unwrap()[&job].cancel();
            json!(true)
        }
        "list" => {
            let listing = hva.list(standing.observe()).await;
            json!({ "things": listing.things, "backends": listing.backends })
        }
        "survey" => {
            let limit = Duration::from_millis(message["ms"].as_u64().unwrap());
            json!(tokio::time::timeout(limit, standing.survey_wanted()).await.is_ok())
        }
        "open" => json!(visit(hva, message).await),
        "figures" => {
            let arguments = json!({ "instance": message["instance"] });
            hva.ask(Ask { question: FIGURES.into(), arguments }).await.unwrap()
        }
        "question" => {
            let question = message["question"].as_str().unwrap().to_owned();
            json!(hva.ask(Ask { question, arguments: message["arguments"].clone() }).await)
        }
        "screenshot" => {
            let arguments = json!({ "instance": message["instance"] });
            json!(hva.ask(Ask { question: "hva.screenshot".into(), arguments }).await)
        }
        _ => {
            let arguments = json!({ "instance": message["instance"] });
            hva.ask(Ask { question: "hva.console_log".into(), arguments }).await.unwrap_or(Value::Null)
        }
    }
}

/// Opens a console, types, and reads until something is seen; closes it. What was seen, or why it was not opened.
pub async fn visit(hva: &Arc<Hva>, wish: &Value) -> Result<String, String> {
    let arguments = json!({ "instance": wish["instance"], "kind": wish["kind"] });
    let ask = Ask { question: "hva.console".into(), arguments };
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut wire = loop {
        match hva.open(&ask).await {
            // The viewer before is still on its way out.
            Err(why) if why == "console_in_use" && Instant::now() < deadline => tokio::task::yield_now().await,
            opened => break opened?,
        }
    };
    let (typed, until) = (wish["typed"].as_str().unwrap(), wish["until"].as_str().unwrap());
    wire.write_all(typed.as_bytes()).await.map_err(|e| e.to_string())?;
    let mut seen = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&seen).contains(until) {
            if wire.read_buf(&mut seen).await.is_ok_and(|count| count == 0) {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(60), reading).await;
    Ok(String::from_utf8_lossy(&seen).into_owned())
}
