//! The agents of a world: processes with simulated backends whose worlds are files, started, killed, started a second time
//! beside themselves, and reinstalled.
//!
//! Rule: the framework and the agents are the shipped ones; a backend outlives its processes as a real one does.

use super::World;
use crate::program::Program;
use anyhow::Context;
use arame_framework::agent::Agent;
use arame_framework::config::{Broker, Common};
use arame_hva::driver::sim::Sim;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// What a test may disturb from outside, and what became of processes.
#[derive(Clone, Default)]
pub(super) struct Backends {
    hypervisors: Arc<Mutex<BTreeMap<String, Sim>>>,
    storages: Arc<Mutex<BTreeMap<String, Arc<arame_sta::Sta>>>>,
    ends: Arc<Mutex<Vec<(String, String)>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Backends {
    pub fn hypervisor(&self, agent: &str) -> Option<Sim> {
        lock(&self.hypervisors).get(agent).cloned()
    }

    pub fn storage(&self, agent: &str) -> Option<Arc<arame_sta::Sta>> {
        lock(&self.storages).get(agent).cloned()
    }

    pub fn ends_of(&self, agent: &str) -> Vec<String> {
        lock(&self.ends).iter().filter(|(name, _)| name == agent).map(|(_, end)| end.clone()).collect()
    }
}

/// How a host comes back after its disks were wiped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Another machine with the agent's key.
    Machine,
    /// The same machine, with the key put back and nothing else.
    State,
    /// The same machine with a key of its own making.
    Key,
}

/// One process to start.
#[derive(Clone)]
struct Start {
    root: PathBuf,
    name: String,
    latency_ms: u64,
    /// Entries of the simulator's configuration.
    faults: String,
    /// The hypervisor that another process of the host uses already.
    shared: Option<Sim>,
    /// Of a storage node: [`super::Size::files`].
    files: bool,
}

impl Start {
    fn folder(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    fn common(&self) -> anyhow::Result<Common> {
        let (own, joined) = (self.folder().join("key"), self.root.join("agent.key"));
        let broker = Broker {
            host: "-".into(),
            port: 0,
            vhost: "-".into(),
            user: self.name.clone(),
            password_file: PathBuf::new(),
            ca_file: None,
            plain_text: true,
        };
        Ok(Common {
            agent: self.name.parse()?,
            key_file: if own.exists() { own } else { joined },
            state_dir: self.folder().join("state"),
            broker,
            streams: Default::default(),
            metrics: Default::default(),
        })
    }

    async fn build(&self, backends: &Backends) -> anyhow::Result<Arc<dyn Agent>> {
        let Start { root, name, latency_ms, faults, .. } = self;
        let common = format!(
            "[common]\nagent = '{name}'\nkey_file = 'x'\nstate_dir = '{}'\n[common.broker]\nhost = 'x'\nport = 1\n\
             vhost = 'x'\nuser = 'x'\npassword_file = 'x'\n",
            self.folder().join("state").display()
        );
        let (state, data) = (self.folder().join("world.json"), self.folder().join("data"));
        let (state, data) = (state.display(), data.display());
        let (kind, word) = name.split_once('.').context("an agent's name has a dot")?;
        Ok(match kind {
            "hva" => {
                let text = format!(
                    "{common}[hva]\nhost = 'hn-{word}'\ndriver = 'sim'\ndata_dir = '{data}'\ncpu_cores = 64\n\
                     memory_mib = 65536\ndisk_mib = 1000000\nfigures_every_seconds = 1\n[hva.sim]\nstate_file = '{state}'\n\
                     trunk = '{}'\nlatency_ms = {latency_ms}\n{faults}",
                    root.join("trunk").display()
                );
                let config = arame_hva::config::parse(Path::new("hva.toml"), &text)?;
                let sim = match &self.shared {
                    Some(sim) => sim.clone(),
                    None => Sim::open_as(&config.hva.sim, config.hva.host.as_str())?,
                };
                lock(&backends.hypervisors).insert(name.clone(), sim.clone());
                arame_hva::Hva::with_sim(config.hva, sim).await?
            }
            "sta" => {
                let listener = arame_sta::http::bind(([127, 0, 0, 1], 0).into()).await?;
                let http = listener.local_addr()?;
                // One address of loopback may be fetched from: the others stand for the infrastructure's.
                let (store, backups) = match self.files {
                    true => (format!("'file'\ndata_dir = '{data}'"), self.folder().join("backups")),
                    false => ("'sim'".to_owned(), "/nowhere".into()),
                };
                let text = format!(
                    "{common}[sta]\nnode = 'sn-{word}'\nstore = {store}\ndisk_mib = 1000000\nkeep_free_mib = 0\nfigures_every_seconds = 1\n\
                     http_url = 'http://{http}'\n\
                     import_dirs = ['{}']\n[[sta.backups]]\nstorage = 'bkst-local'\npath = '{}'\nkeep_free_mib = 0\n[sta.export]\ndriver = 'sim'\nportal = '127.0.0.1:3260'\n\
                     [sta.fetch]\nallow_networks = ['127.0.0.1/32']\nimage_mib_max = 8\nsilence_seconds = 2\n\
                     [sta.sim]\nstate_file = '{state}'\nlatency_ms = {latency_ms}\n{faults}",
                    root.display(),
                    backups.display()
                );
                let path = self.folder().join("sta.toml");
                std::fs::write(&path, text)?;
                let sta = arame_sta::agent::build(arame_sta::config::Config::read(&path)?).await?;
                lock(&backends.storages).insert(name.clone(), sta.clone());
                // In the agent's own runtime: it ends with it.
                tokio::spawn(arame_sta::http::serve(listener, sta.shelf()));
                sta
            }
            _ => {
                let text = format!(
                    "{common}[nsa]\ndriver = 'sim'\ndata_dir = '{data}'\n[nsa.sim]\nstate_file = '{state}'\n\
                     latency_ms = {latency_ms}\n{faults}"
                );
                let file = arame_nsa::config::File::parse(&text)?;
                Arc::new(arame_nsa::agent::NsaAgent::start(&file.nsa)?)
            }
        })
    }
}

impl World {
    /// An agent process with a simulated backend whose world is on disk.
    ///
    /// # Errors
    /// Its configuration is refused.
    pub async fn start_agent(&mut self, name: &str, latency_ms: u64) -> anyhow::Result<()> {
        self.start_agent_with(name, latency_ms, "").await
    }

    /// The same with `faults`: entries of the simulator's configuration, in its own form.
    ///
    /// # Errors
    /// Its configuration is refused.
    pub async fn start_agent_with(&mut self, name: &str, latency_ms: u64, faults: &str) -> anyhow::Result<()> {
        let (root, name, faults) = (self.folder.path().to_owned(), name.to_owned(), faults.to_owned());
        self.begin(Start { root, name, latency_ms, faults, shared: None, files: self.files }).await
    }

    /// A second process of an hva on its host, beside the first, which is not told of it.
    ///
    /// # Errors
    /// There is no first.
    pub async fn start_beside(&mut self, name: &str) -> anyhow::Result<()> {
        let older = self.agents.remove(name).with_context(|| format!("{name} does not run"))?;
        self.older.push(older);
        let (root, shared) = (self.folder.path().to_owned(), self.hypervisor(name));
        self.begin(Start {
            root,
            name: name.to_owned(),
            latency_ms: 0,
            faults: String::new(),
            shared,
            files: self.files,
        })
        .await
    }

    async fn begin(&mut self, start: Start) -> anyhow::Result<()> {
        std::fs::create_dir_all(start.folder())?;
        let (common, name) = (start.common()?, start.name.clone());
        self.broker.reconnect(&name);
        let (broker, backends) = (self.broker.clone(), self.backends.clone());
        let program = Program::start(&name)?;
        let begin = async move {
            let agent = start.build(&backends).await?;
            let bus = broker.bus(&start.name);
            tokio::spawn(async move {
                if let Err(error) = arame_framework::runtime::run(common, bus, agent, CancellationToken::new()).await {
                    tracing::error!(%error, agent = start.name, "an agent ended");
                    lock(&backends.ends).push((start.name, error.to_string()));
                }
            });
            Ok(())
        };
        program.run(begin).await?;
        self.agents.insert(name, program);
        Ok(())
    }

    /// The agent's process dies at once; what it made stays, on disk.
    pub async fn kill_agent(&mut self, name: &str) {
        if let Some(running) = self.agents.remove(name) {
            self.broker.disconnect(name);
            running.kill().await;
        }
    }

    /// Everything in the files of an agent's data folder, as one text: a nsa's snapshots.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn kept_by(&self, agent: &str) -> anyhow::Result<String> {
        let mut folders = vec![self.folder.path().join(agent).join("data")];
        let mut text = String::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(bytes) = std::fs::read(&path) {
                    // Gone meanwhile: a file written beside the one it replaces.
                    text.push_str(&String::from_utf8_lossy(&bytes));
                }
            }
        }
        Ok(text)
    }

    /// Kills the agent and wipes its host: nothing that it made and nothing that it kept is left.
    ///
    /// # Errors
    /// Its folder cannot be written.
    pub async fn reinstall(&mut self, name: &str, lost: Lost) -> anyhow::Result<()> {
        self.kill_agent(name).await;
        let folder = self.folder.path().join(name);
        let machine = folder.join("state/machine_id");
        let known = std::fs::read(&machine).ok();
        std::fs::remove_dir_all(&folder)?;
        std::fs::create_dir_all(folder.join("state"))?;
        match (lost, known) {
            (Lost::Machine, _) => std::fs::write(&machine, format!("{}\n", uuid::Uuid::new_v4().simple()))?,
            (Lost::State | Lost::Key, Some(known)) => std::fs::write(&machine, known)?,
            (Lost::State | Lost::Key, None) => {}
        }
        if lost == Lost::Key {
            std::fs::write(folder.join("key"), "a key of its own making")?;
        }
        Ok(())
    }
}
