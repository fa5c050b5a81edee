//! A data center in one process: real application and agents, simulated backends, a bus in memory.

mod agents;
mod wire;

pub use agents::Lost;

use crate::database::Database;
use crate::program::Program;
use agents::Backends;
use anyhow::{Context, bail, ensure};
use arame_dcmgr::app::{self, App, Caller, Parts};
use arame_dcmgr::db::secrets::Vault;
use arame_dcmgr::db::seed::{self, Seed};
use arame_dcmgr::db::{self, Db};
use arame_dcmgr::tasks;
use arame_framework::bus::memory::MemoryBroker;
use arame_hva::driver::sim::Sim;
use arame_schema::api::{CreateInstance, Instance, Role, Volume};
use arame_schema::model::instance::InstanceState;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Longest a story waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    pub app: App,
    pub broker: MemoryBroker,
    pub database: Database,
    folder: TempDir,
    config: db::pool::Config,
    /// The kit's own sessions: it looks also while dcmgr is dead.
    db: Db,
    agents: BTreeMap<String, Program>,
    /// [`Size::files`].
    files: bool,
    /// Processes whose place another has taken.
    older: Vec<Program>,
    backends: Backends,
    dcmgr: Option<Program>,
    serving: watch::Sender<Option<Serving>>,
}

/// A dcmgr that can be asked: its application, and where requests to it have to run so that they die with it.
#[derive(Clone)]
pub struct Serving {
    pub app: App,
    pub runtime: Handle,
}

/// How big a world is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub hosts: usize,
    pub storage: usize,
    pub naming: usize,
    /// What each simulated effect takes.
    pub latency_ms: u64,
    /// Storage nodes keep volumes and backups as files, not as words.
    pub files: bool,
}

impl Default for Size {
    fn default() -> Self {
        Size { hosts: 2, storage: 1, naming: 1, latency_ms: 0, files: false }
    }
}

fn secret(folder: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, text)?;
    Ok(path)
}

fn agent_names(size: Size) -> Vec<(String, String)> {
    let mut names = Vec::new();
    for n in 1..=size.hosts {
        names.push((format!("hva.h{n}"), format!("hn-h{n}")));
    }
    for n in 1..=size.storage {
        names.push((format!("sta.s{n}"), format!("sn-s{n}")));
    }
    for n in 1..=size.naming {
        names.push((format!("nsa.n{n}"), format!("nn-n{n}")));
    }
    names
}

fn seed_of(folder: &Path, size: Size) -> anyhow::Result<Seed> {
    let key = secret(folder, "agent.key", "join-key")?;
    let demo = secret(folder, "demo.token", "demo-secret")?;
    let other = secret(folder, "other.token", "other-secret")?;
    let admin = secret(folder, "admin.token", "admin-secret")?;
    let bytes = b"a bootable disk, in this world".to_vec();
    let image = folder.join("tiny.raw");
    std::fs::write(&image, &bytes)?;
    let sha256 = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&bytes));
    let mut text = format!(
        "[[account]]\nid = 'a-demo'\nquota_instances = 400\n[[account]]\nid = 'a-other'\nquota_instances = 2\n\
         [[token]]\nid = 'tok-demo'\naccount = 'a-demo'\nrole = 'member'\nsecret_file = '{}'\n\
         [[token]]\nid = 'tok-other'\naccount = 'a-other'\nrole = 'member'\nsecret_file = '{}'\n\
         [[token]]\nid = 'tok-admin'\naccount = 'a-demo'\nrole = 'admin'\nsecret_file = '{}'\n\
         [[dc_network]]\nid = 'dcn-main'\nname = 'main'\nvlan_first = 100\nvlan_last = 199\n\
         [[instance_type]]\nid = 'it-small'\nname = 'small'\ncpu_cores = 1\nmemory_mib = 128\ndisk_mib = 64\n\
         [[security_group]]\nid = 'sg-default'\naccount = 'a-demo'\nname = 'default'\nrule = 'icmp:-1,-1,ip4:0.0.0.0'\n\
         [[security_group]]\nid = 'sg-other'\naccount = 'a-other'\nname = 'default'\nrule = ''\n\
         [[image]]\nid = 'wmi-tiny'\naccount = 'a-demo'\nname = 'tiny'\npublic = true\npath = '{}'\nsha256 = '{sha256}'\n\
         size_bytes = {}\nformat = 'raw'\narch = 'x86_64'\n",
        demo.display(),
        other.display(),
        admin.display(),
        image.display(),
        bytes.len()
    );
    // Not the bytes that were promised.
    let damaged = folder.join("damaged.raw");
    std::fs::write(&damaged, b"something else")?;
    write!(
        text,
        "[[image]]\nid = 'wmi-damaged'\naccount = 'a-demo'\nname = 'damaged'\npublic = true\npath = '{}'\n\
         sha256 = '{sha256}'\nsize_bytes = 14\nformat = 'raw'\narch = 'x86_64'\n",
        damaged.display()
    )?;
    for (id, account, tag) in [("nw-demo1", "a-demo", 101), ("nw-demo2", "a-demo", 102), ("nw-other", "a-other", 103)] {
        write!(
            text,
            "[[network]]\nid = '{id}'\naccount = '{account}'\ndc_network = 'dcn-main'\nname = '{id}'\nvlan_tag = {tag}\n\
             subnet = '10.100.0.0/22'\ngateway = '10.100.0.1'\nserver = '10.100.0.2'\ndomain = '{id}.example'\n\
             range_begin = '10.100.0.10'\nrange_end = '10.100.3.250'\n"
        )?;
    }
    for (agent, node) in agent_names(size) {
        write!(text, "[[agent]]\nid = '{agent}'\nnode = '{node}'\nkey_file = '{}'\n", key.display())?;
    }
    Ok(toml::from_str(&text)?)
}

/// dcmgr as its `main` starts it, but for the listener.
async fn dcmgr(config: &db::pool::Config, broker: &MemoryBroker, folder: &Path) -> anyhow::Result<(App, Program)> {
    let program = Program::start("dcmgr")?;
    let (config, broker, key) = (config.clone(), broker.clone(), folder.join("vault.key"));
    let begin = async move {
        let db = Db::open(&config)?;
        let installation = db::recovery::installation(&db).await?;
        let vault = Vault::open(&key)?;
        let time_zone = "UTC".to_owned();
        let infrastructure = Vec::new();
        let parts = Parts { db, vault, installation, infrastructure, time_zone, naming_services: 2, metrics: None };
        let (app, rung) = App::new(parts);
        let mut tasks = tasks::start(&app, broker.bus("dcmgr"), rung, CancellationToken::new()).await;
        tokio::spawn(async move { while tasks.join_next().await.is_some() {} });
        Ok(app)
    };
    let app = program.run(begin).await?;
    Ok((app, program))
}

impl World {
    /// Starts everything and waits until every agent is heard and the image can be launched.
    ///
    /// # Errors
    /// Whatever does not come up, by name.
    pub async fn start(size: Size) -> anyhow::Result<World> {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let database = Database::start().await?;
        let config = database.create("arame").await?;
        let folder = tempfile::Builder::new().prefix("arame-world-").tempdir()?;
        let broker = MemoryBroker::new();
        let db = Db::open(&config)?;
        db.migrate().await?;
        seed::install(&db).await?;
        seed::apply(&db, &seed_of(folder.path(), size)?).await?;
        secret(folder.path(), "vault.key", &"5a".repeat(32))?;
        let (app, running) = dcmgr(&config, &broker, folder.path()).await?;
        let serving = watch::channel(running.handle().map(|runtime| Serving { app: app.clone(), runtime })).0;
        let (agents, older, dcmgr) = (BTreeMap::new(), Vec::new(), Some(running));
        let backends = Backends::default();
        let mut world = World {
            app,
            broker,
            database,
            folder,
            config,
            db,
            agents,
            files: size.files,
            older,
            backends,
            dcmgr,
            serving,
        };
        for (agent, _) in agent_names(size) {
            world.start_agent(&agent, size.latency_ms).await?;
        }
        world.until_ready(agent_names(size).len()).await?;
        Ok(world)
    }

    /// dcmgr dies at once, as by SIGKILL: its tasks stop wherever they are.
    pub async fn kill_dcmgr(&mut self) {
        self.serving.send_replace(None);
        if let Some(running) = self.dcmgr.take() {
            self.broker.disconnect("dcmgr");
            running.kill().await;
        }
    }

    /// A new dcmgr process takes over.
    ///
    /// # Errors
    /// The database is not there.
    pub async fn restart_dcmgr(&mut self) -> anyhow::Result<()> {
        self.kill_dcmgr().await;
        self.broker.reconnect("dcmgr");
        let (app, running) = dcmgr(&self.config, &self.broker, self.folder.path()).await?;
        self.app = app.clone();
        self.serving.send_replace(running.handle().map(|runtime| Serving { app, runtime }));
        self.dcmgr = Some(running);
        Ok(())
    }

    /// The simulated hypervisor of an hva.
    pub fn hypervisor(&self, agent: &str) -> Option<Sim> {
        self.backends.hypervisor(agent)
    }

    /// A storage agent with its simulated store and exports: these outlive it on disk, so ask for it anew after its
    /// restart.
    pub fn storage(&self, agent: &str) -> Option<Arc<arame_sta::Sta>> {
        self.backends.storage(agent)
    }

    /// The sentences with which processes of an agent have ended by themselves, in order.
    pub fn ends_of(&self, agent: &str) -> Vec<String> {
        self.backends.ends_of(agent)
    }

    /// Whoever answers requests now, followed across deaths.
    pub fn serving(&self) -> watch::Receiver<Option<Serving>> {
        self.serving.subscribe()
    }

    /// How a dcmgr reaches the database.
    pub fn database_config(&self) -> &db::pool::Config {
        &self.config
    }

    /// The file with which secrets in the database are opened.
    pub fn vault_key(&self) -> PathBuf {
        self.folder.path().join("vault.key")
    }

    /// The kit's own view of the rows.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The simulated worlds of the agents, from their files.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn worlds(&self) -> anyhow::Result<BTreeMap<String, serde_json::Value>> {
        let names = self.agents.keys();
        names.map(|name| Ok((name.clone(), crate::processes::world(&self.world_file(name))?))).collect()
    }

    fn world_file(&self, agent: &str) -> PathBuf {
        self.folder.path().join(agent).join("world.json")
    }

    async fn until_ready(&self, agents: usize) -> anyhow::Result<()> {
        self.until("every agent is heard and the image is there", async || {
            let heard = db::agents::all(&self.db).await?.iter().filter(|agent| agent.online).count();
            let image = db::access::image(&self.db, "wmi-tiny", None).await?;
            // A hello that was said again before its welcome came is answered with one more incarnation.
            let steady = self.broker.depth("dcmgr.hello") == Some(0) && self.listed().await? == agents;
            Ok(heard == agents && steady && image.is_some_and(|image| image.state == "available"))
        })
        .await
    }

    /// Agents that have listed what they have in their present incarnation.
    async fn listed(&self) -> anyhow::Result<usize> {
        let agents = db::agents::all(&self.db).await?;
        let listed = db::agents::inventories(&self.db).await?;
        let has = |agent: &&db::agents::AgentRow| {
            let of_agent = |row: &&db::agents::InventoryRow| row.inventory.agent.as_str() == agent.id;
            listed.iter().find(of_agent).is_some_and(|row| row.inventory.began.incarnation == agent.incarnation)
        };
        Ok(agents.iter().filter(has).count())
    }

    /// Waits for a condition.
    ///
    /// # Errors
    /// It did not come to pass within a minute; `what` says which.
    pub async fn until<F>(&self, what: &str, condition: F) -> anyhow::Result<()>
    where
        F: AsyncFn() -> anyhow::Result<bool>,
    {
        let end = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < end {
            if condition().await? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("not within {PATIENCE:?}: {what}\n{}", self.picture().await?)
    }

    /// Everything open, for a message a person can start from.
    ///
    /// # Errors
    /// The database's.
    pub async fn picture(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        let statements = [
            "SELECT CONCAT_WS(' ', 'job', kind, thing, agent_id, state, attempt, IFNULL(rung_at, '-'), rings, IFNULL(error_message, '')) AS line FROM jobs WHERE open = 1 OR state NOT IN ('done') ORDER BY seq DESC LIMIT 30",
            "SELECT CONCAT_WS(' ', 'instance', id, state, desired, generation, IFNULL(failure_code, '-')) AS line FROM instances WHERE terminated_at IS NULL LIMIT 20",
            "SELECT CONCAT_WS(' ', 'fact', thing, agent_id, name, value, generation) AS line FROM facts LIMIT 60",
            "SELECT CONCAT_WS(' ', 'agent', id, incarnation, heard_at) AS line FROM agents",
        ];
        for statement in statements {
            for row in self.db.rows(statement, ()).await? {
                writeln!(text, "{}", db::Columns::text(&row, "line")?)?;
            }
        }
        Ok(text)
    }

    /// A caller of the demo account.
    pub fn demo(&self) -> Caller {
        self.caller("a-demo", Role::Member)
    }

    pub fn caller(&self, account: &str, role: Role) -> Caller {
        Caller {
            token: "tok-demo".into(),
            role,
            account: Some(account.to_owned()),
            request: Uuid::now_v7(),
            address: "127.0.0.1".into(),
            idempotency_key: None,
        }
    }

    /// The smallest launch request.
    pub fn request(hostname: &str) -> CreateInstance {
        let text = serde_json::json!({ "image_id": "wmi-tiny", "instance_type": "small", "hostname": hostname });
        serde_json::from_value(text).expect("the smallest request is well formed")
    }

    /// # Errors
    /// The refusal.
    pub async fn launch(&self, hostname: &str) -> anyhow::Result<Instance> {
        let made = app::instances::create(&self.app, &self.demo(), Self::request(hostname)).await;
        made.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))
    }

    /// # Errors
    /// Not reached in time, or failed although another state was awaited.
    pub async fn instance_in(&self, id: &str, wanted: InstanceState) -> anyhow::Result<Instance> {
        let what = format!("{id} is {wanted}");
        self.until(&what, async || {
            let now = self.instance(id).await?;
            ensure!(
                now.state != InstanceState::Failed || wanted == InstanceState::Failed,
                "{id} failed: {:?}",
                now.failure
            );
            Ok(now.state == wanted)
        })
        .await?;
        self.instance(id).await
    }

    /// # Errors
    /// Unknown.
    pub async fn instance(&self, id: &str) -> anyhow::Result<Instance> {
        let found = db::instances::get(&self.db, id, None).await?.with_context(|| format!("{id} is unknown"))?;
        Ok(found.instance)
    }

    /// # Errors
    /// Not reached in time.
    pub async fn volume_in(&self, id: &str, wanted: &str) -> anyhow::Result<Volume> {
        let get = async || db::volumes::get(&self.db, id, None).await?.with_context(|| format!("{id} is unknown"));
        self.until(&format!("{id} is {wanted}"), async || Ok(get().await?.state.as_str() == wanted)).await?;
        get().await
    }

    /// The end every story must reach: no open job, an audit that finds nothing in listings begun now.
    ///
    /// # Errors
    /// What is left.
    pub async fn ends_clean(&self) -> anyhow::Result<()> {
        self.until("no job is open", async || Ok(db::jobs::open_count(&self.db).await? == 0)).await?;
        let findings = app::audit::findings(&self.app, &self.demo(), true).await;
        let findings = findings.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
        ensure!(findings.is_empty(), "the audit finds {findings:#?}");
        Ok(())
    }
}
