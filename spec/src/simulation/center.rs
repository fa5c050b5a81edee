//! The data center of one run: its processes in one thread, their worlds in a folder.
//!
//! Rule: a process is killed at once, wherever it is; what its simulated world held stays in its file, and the next
//! incarnation finds it there. Programs are started as their `main` starts them, but for listeners.

use super::machine::Machine;
use super::orders::QUOTA_OTHER;
use anyhow::Context;
use arame_dcmgr::app::{App, Parts};
use arame_dcmgr::db::secrets::Vault;
use arame_dcmgr::db::seed::{self, Seed};
use arame_dcmgr::{db, tasks};
use arame_framework::agent::Agent;
use arame_framework::bus::memory::MemoryBroker;
use arame_framework::config::{Broker, Common};
use arame_framework::rehearsal::{self, Process};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub const AGENTS: [&str; 4] = ["hva.h1", "hva.h2", "sta.s1", "nsa.n1"];

pub const DCMGR: &str = "dcmgr";

/// What each simulated effect takes about.
const LATENCY_MS: u64 = 40;

/// A supervisor's pause before it starts again what ended.
const DISPLACED_PAUSE: Duration = Duration::from_secs(1);

/// Who starts what has ended looks this often.
const SUPERVISOR_LOOKS_EVERY: Duration = Duration::from_millis(50);

/// A hand on the simulated driver of the living process.
#[derive(Clone)]
pub enum Driver {
    Hva(arame_hva::driver::sim::Sim),
    Sta(Arc<arame_sta::agent::Sta>),
    Nsa(Arc<arame_nsa::link::sim::Sim>),
}

pub struct Center {
    pub machine: Arc<Machine>,
    pub broker: MemoryBroker,
    folder: TempDir,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    processes: BTreeMap<String, Process>,
    app: Option<App>,
    drivers: BTreeMap<String, Driver>,
    /// Dead processes and when they are started again.
    dead: VecDeque<(String, tokio::time::Instant)>,
    restarts: u64,
    displaced: u64,
    /// A panic, or another end nobody asked for.
    ended_badly: Option<String>,
}

impl Center {
    /// The rows and files of a data center in which nothing runs yet.
    ///
    /// # Errors
    /// The database's, or the disk's.
    pub async fn prepare(machine: Arc<Machine>) -> anyhow::Result<Arc<Center>> {
        let mut names = tempfile::Builder::new();
        let names = names.prefix("arame-simulation-");
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { names.tempdir_in(memory)? } else { names.tempdir()? };
        machine.reset()?;
        let db = machine.db();
        seed::install(&db).await?;
        seed::apply(&db, &seed_of(folder.path())?).await?;
        let storage = "INSERT INTO backup_storages (id, storage_type, created_at, updated_at) \
                       VALUES ('bkst-local', 'local', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
        db.rows(storage, ()).await?;
        std::fs::write(folder.path().join("vault.key"), "5a".repeat(32))?;
        Ok(Arc::new(Center { machine, broker: MemoryBroker::new(), folder, state: Mutex::default() }))
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts everything, and whoever starts again what ends.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn start(self: &Arc<Self>) -> anyhow::Result<()> {
        for agent in AGENTS {
            std::fs::create_dir_all(self.folder().join(agent))?;
        }
        self.start_dcmgr();
        for agent in AGENTS {
            self.start_agent(agent);
        }
        let center = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SUPERVISOR_LOOKS_EVERY).await;
                let Some(center) = center.upgrade() else { return };
                center.start_the_dead(tokio::time::Instant::now());
            }
        });
        Ok(())
    }

    fn start_the_dead(self: &Arc<Self>, until: tokio::time::Instant) {
        let due: Vec<String> = {
            let mut state = self.lock();
            let (due, rest) = std::mem::take(&mut state.dead).into_iter().partition(|(_, at)| *at <= until);
            state.dead = rest;
            let due: VecDeque<(String, tokio::time::Instant)> = due;
            due.into_iter().map(|(name, _)| name).collect()
        };
        for name in due {
            rehearsal::note(|| format!("start {name}"));
            self.lock().restarts += 1;
            if name == DCMGR { self.start_dcmgr() } else { self.start_agent(&name) }
        }
    }

    /// Everything dead is started now.
    pub fn start_all(self: &Arc<Self>) {
        self.start_the_dead(tokio::time::Instant::now() + Duration::from_secs(24 * 3600));
    }

    pub fn restarts(&self) -> u64 {
        self.lock().restarts
    }

    pub fn displaced(&self) -> u64 {
        self.lock().displaced
    }

    /// What ended although nobody killed it.
    pub fn ended_badly(&self) -> Option<String> {
        self.lock().ended_badly.clone()
    }

    pub fn note_bad_end(&self, what: String) {
        rehearsal::note(|| format!("BAD END {what}"));
        self.lock().ended_badly.get_or_insert(what);
    }

    /// The process ends now; it is started again after `pause`. Answers whether it was alive.
    pub fn kill(&self, name: &str, pause: Duration) -> bool {
        let process = {
            let mut state = self.lock();
            let Some(process) = state.processes.remove(name) else { return false };
            if name == DCMGR {
                state.app = None;
            }
            state.drivers.remove(name);
            state.dead.push_back((name.to_owned(), tokio::time::Instant::now() + pause));
            process
        };
        rehearsal::note(|| format!("kill {name} for {pause:?}"));
        self.broker.disconnect(name);
        process.kill();
        true
    }

    pub fn is_alive(&self, name: &str) -> bool {
        self.lock().processes.contains_key(name)
    }

    /// Whoever answers requests now.
    pub fn serving(&self) -> Option<(App, Process)> {
        let state = self.lock();
        Some((state.app.clone()?, state.processes.get(DCMGR)?.clone()))
    }

    pub fn driver(&self, agent: &str) -> Option<Driver> {
        self.lock().drivers.get(agent).cloned()
    }

    fn start_dcmgr(self: &Arc<Self>) {
        let process = Process::new(DCMGR);
        self.lock().processes.insert(DCMGR.to_owned(), process.clone());
        let (center, own) = (self.clone(), process.clone());
        process.spawn(async move {
            let db = center.machine.db();
            let installation = loop {
                match db::recovery::installation(&db).await {
                    Ok(found) => break found,
                    // Its supervisor would start it again.
                    Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
                }
            };
            let vault = match Vault::open(&center.folder().join("vault.key")) {
                Ok(vault) => vault,
                Err(error) => return center.note_bad_end(format!("dcmgr: {error}")),
            };
            let time_zone = "UTC".to_owned();
            let infrastructure = Vec::new();
            let parts = Parts { db, vault, installation, infrastructure, time_zone, naming_services: 2, metrics: None };
            let (app, rung) = App::new(parts);
            let bus = center.broker.bus(DCMGR);
            let mut running = tasks::start(&app, bus, rung, CancellationToken::new()).await;
            if !own.is_over() {
                center.lock().app = Some(app);
            }
            while let Some(ended) = running.join_next().await {
                if own.is_over() {
                    return;
                }
                center.note_bad_end(format!("a task of dcmgr: {ended:?}"));
            }
        });
    }

    fn start_agent(self: &Arc<Self>, name: &str) {
        let process = Process::new(name);
        self.lock().processes.insert(name.to_owned(), process.clone());
        let (center, name) = (self.clone(), name.to_owned());
        process.spawn(async move {
            match center.run_agent(&name).await {
                // A hello of its dead predecessor was heard after its own, and it was silent meanwhile. It ends, as it
                // must: two processes may not serve one id. Its supervisor starts it again.
                Err(error) if is_displaced(&error) => {
                    rehearsal::note(|| format!("displaced: {error}"));
                    center.lock().displaced += 1;
                    center.kill(&name, DISPLACED_PAUSE);
                }
                ended => center.note_bad_end(format!("{name}: {ended:?}")),
            }
        });
    }

    async fn run_agent(&self, name: &str) -> anyhow::Result<()> {
        let common = Common {
            agent: name.parse()?,
            key_file: self.folder().join("agent.key"),
            state_dir: self.folder().join(name).join("state"),
            broker: Broker {
                host: "-".into(),
                port: 0,
                vhost: "-".into(),
                user: name.to_owned(),
                password_file: PathBuf::new(),
                ca_file: None,
                plain_text: true,
            },
            streams: Default::default(),
            metrics: Default::default(),
        };
        let (agent, driver) = build(self.folder(), name).await?;
        self.lock().drivers.insert(name.to_owned(), driver);
        arame_framework::runtime::run(common, self.broker.bus(name), agent, CancellationToken::new()).await
    }
}

/// It was told that another process of its id is there.
fn is_displaced(error: &anyhow::Error) -> bool {
    let told = error.to_string();
    told.starts_with("another process joined") || told.ends_with("another process has taken this agent's place")
}

async fn build(root: &Path, name: &str) -> anyhow::Result<(Arc<dyn Agent>, Driver)> {
    let common = format!(
        "[common]\nagent = '{name}'\nkey_file = 'x'\nstate_dir = '{0}'\n[common.broker]\nhost = 'x'\nport = 1\n\
         vhost = 'x'\nuser = 'x'\npassword_file = 'x'\n",
        root.join(name).join("state").display()
    );
    let state = root.join(name).join("world.json");
    let state = format!("state_file = '{}'\nlatency_ms = {LATENCY_MS}\n", state.display());
    let data = root.join(name).join("data");
    let (kind, word) = name.split_once('.').context("an agent's name has a dot")?;
    Ok(match kind {
        "hva" => {
            let text = format!(
                "{common}[hva]\nhost = 'hn-{word}'\ndriver = 'sim'\ndata_dir = '{}'\ncpu_cores = 64\n\
                 memory_mib = 65536\ndisk_mib = 1000000\n[hva.sim]\ntrunk = '{}'\n{state}",
                data.display(),
                root.join("trunk").display()
            );
            let config = arame_hva::config::parse(Path::new("hva.toml"), &text)?;
            let sim = arame_hva::driver::sim::Sim::open_as(&config.hva.sim, config.hva.host.as_str())?;
            (arame_hva::Hva::with_sim(config.hva, sim.clone()).await?, Driver::Hva(sim))
        }
        "sta" => {
            let text = format!(
                "{common}[sta]\nnode = 'sn-{word}'\nstore = 'sim'\ndisk_mib = 1000000\nhttp_url = 'http://sta'\n\
                 import_dirs = ['{}']\n[[sta.backups]]\nstorage = 'bkst-local'\npath = '/nowhere'\n[sta.export]\ndriver = 'sim'\nportal = '127.0.0.1:3260'\n[sta.sim]\n{state}",
                root.display()
            );
            let sta = arame_sta::agent::build(toml::from_str(&text)?).await?;
            (sta.clone(), Driver::Sta(sta))
        }
        _ => {
            let text = format!("{common}[nsa]\ndriver = 'sim'\ndata_dir = '{}'\n[nsa.sim]\n{state}", data.display());
            let config = arame_nsa::config::File::parse(&text)?.nsa;
            let sim = Arc::new(arame_nsa::link::sim::Sim::open(config.sim.clone())?);
            (Arc::new(arame_nsa::agent::NsaAgent::with_sim(&config, sim.clone())?), Driver::Nsa(sim))
        }
    })
}

fn file(folder: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, text)?;
    Ok(path)
}

fn seed_of(folder: &Path) -> anyhow::Result<Seed> {
    let key = file(folder, "agent.key", "join-key")?;
    let token = file(folder, "token", "secret")?;
    let bytes = "a bootable disk, in this world";
    let image = file(folder, "tiny.raw", bytes)?;
    // Not the bytes that were promised.
    let damaged = file(folder, "damaged.raw", "something else")?;
    let sha256 = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bytes.as_bytes()));
    let mut text = format!(
        "[[account]]\nid = 'a-demo'\nquota_instances = 40\n[[account]]\nid = 'a-other'\nquota_instances = {QUOTA_OTHER}\n\
         [[token]]\nid = 'tok-demo'\naccount = 'a-demo'\nrole = 'admin'\nsecret_file = '{}'\n\
         [[dc_network]]\nid = 'dcn-main'\nname = 'main'\nvlan_first = 100\nvlan_last = 199\n\
         [[instance_type]]\nid = 'it-small'\nname = 'small'\ncpu_cores = 1\nmemory_mib = 128\ndisk_mib = 64\n",
        token.display()
    );
    for (id, path) in [("wmi-tiny", &image), ("wmi-damaged", &damaged)] {
        write!(
            text,
            "[[image]]\nid = '{id}'\naccount = 'a-demo'\nname = '{id}'\npublic = true\npath = '{}'\n\
             sha256 = '{sha256}'\nsize_bytes = {}\nformat = 'raw'\narch = 'x86_64'\n",
            path.display(),
            std::fs::metadata(path)?.len()
        )?;
    }
    for (word, tag) in [("demo", 101), ("other", 102)] {
        write!(
            text,
            "[[security_group]]\nid = 'sg-{word}'\naccount = 'a-{word}'\nname = 'default'\nrule = ''\n\
             [[network]]\nid = 'nw-{word}'\naccount = 'a-{word}'\ndc_network = 'dcn-main'\nname = 'nw-{word}'\n\
             vlan_tag = {tag}\nsubnet = '10.100.0.0/24'\ngateway = '10.100.0.1'\nserver = '10.100.0.2'\n\
             domain = '{word}.example'\nrange_begin = '10.100.0.10'\nrange_end = '10.100.0.250'\n"
        )?;
    }
    for agent in AGENTS {
        let (kind, word) = agent.split_once('.').context("an agent's name has a dot")?;
        let node = format!("{}n-{word}", &kind[..1]);
        write!(text, "[[agent]]\nid = '{agent}'\nnode = '{node}'\nkey_file = '{}'\n", key.display())?;
    }
    Ok(toml::from_str(&text)?)
}
