//! The kit: an agent of any drivers in a folder of its own, jobs for it, a tgtd of its own.

use arame_framework::agent::{Agent, Listing, Standing, Stopped, Work};
use arame_schema::jobs::Job;
use arame_schema::jobs::hva::DiskFormat;
use arame_schema::jobs::report::{BackendStatus, FactReport};
use arame_schema::jobs::sta::*;
use arame_schema::model::{Fact, Secret};
use arame_sta::Sta;
use arame_sta::config::Config;
use arame_sta::faults::Fault;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub const INSTALLATION: Uuid = Uuid::from_u128(0xa4a3e);
pub const MIB: u64 = 1 << 20;
pub const SECRET: &str = "correcthorse16x";
pub const INITIATOR: &str = "iqn.2026-11.jp.arame:h1";

/// Prints the skip the summary counts, or panics where it must not be skipped.
pub fn lacks(what: &str) {
    arame_framework::testkit::skip(what);
}

pub fn is_root() -> bool {
    if nix::unistd::geteuid().is_root() {
        return true;
    }
    lacks("root");
    false
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drivers {
    Sim,
    File,
    FileTgt,
    /// In the lab machine only: [`crate::lab`].
    Zfs,
    /// The same.
    ZfsLio,
}

/// What a second process needs to open the same agent.
#[derive(Clone)]
pub struct Place {
    pub root: PathBuf,
    pub drivers: Drivers,
    pub portal: String,
    pub faults: Vec<Fault>,
    /// With [`Drivers::Zfs`]: a dataset of its own.
    pub pool: Option<String>,
    /// What images may be fetched from although it is on loopback.
    pub allowed: &'static str,
    pub keep_free_mib: Option<u64>,
    /// What is offered, where that is less than there is.
    pub disk_mib: Option<u64>,
    /// How long another side may say nothing.
    pub silence_seconds: u64,
    /// The kernel has one tree of targets for all tests of a machine.
    pub iqn_prefix: String,
}

/// Where each has a daemon of its own.
pub const IQN_PREFIX: &str = "iqn.2026-11.jp.arame";

/// One address of loopback: the others stand for the infrastructure's.
pub const ALLOWED: &str = "127.0.0.1/32";

impl Place {
    /// How its target daemon refuses a login to a target that is not there (RFC 7143 section 11.13.5): *not found*, or LIO's
    /// *service unavailable* (`iscsi_target_locate_portal`).
    pub fn no_such_target(&self) -> &'static str {
        if self.drivers == Drivers::ZfsLio { "0301" } else { "0203" }
    }

    pub fn config(&self) -> String {
        let Place { root, portal, iqn_prefix, .. } = self;
        let root = root.display();
        let (store, export) = match self.drivers {
            Drivers::Sim => ("sim", "sim"),
            Drivers::File => ("file", "sim"),
            Drivers::FileTgt => ("file", "tgt"),
            Drivers::Zfs => ("zfs", "sim"),
            Drivers::ZfsLio => ("zfs", "lio"),
        };
        let pool = self.pool.as_ref().map(|pool| format!("zfs_pool = \"{pool}\"\n")).unwrap_or_default();
        let kept = self.keep_free_mib.map(|mib| format!("keep_free_mib = {mib}\n")).unwrap_or_default();
        let offered = self.disk_mib.map(|mib| format!("disk_mib = {mib}\n")).unwrap_or_default();
        let silence = self.silence_seconds;
        let faults = self.faults.iter().map(|fault| {
            format!("[[sta.sim.faults]]\nat = \"{}\"\naction = \"{:?}\"\n", fault.at, fault.action).to_lowercase()
        });
        format!(
            r#"
[common]
agent = "sta.s1"
key_file = "{root}/key"
state_dir = "{root}/state"
broker = {{ host = "127.0.0.1", port = 1, vhost = "arame", user = "sta.s1", password_file = "{root}/password" }}
[sta]
node = "sn-s1"
store = "{store}"
data_dir = "{root}/data"
http_url = "http://storage:9080"
import_dirs = ["{root}/seed"]
{pool}{kept}{offered}[[sta.backups]]
storage = "bkst-local"
path = "{root}/backups"
keep_free_mib = 1
[sta.export]
driver = "{export}"
portal = "{portal}"
iqn_prefix = "{iqn_prefix}"
control_port = 1
ipc_socket = "{root}/tgtd"
[sta.fetch]
allow_networks = ["{}"]
image_mib_max = 8
silence_seconds = {silence}
ca_file = "{root}/ca.pem"
[sta.sim]
state_file = "{root}/world.json"
{}"#,
            self.allowed,
            faults.collect::<String>()
        )
    }

    pub async fn open(&self) -> anyhow::Result<Arc<Sta>> {
        std::fs::create_dir_all(self.root.join("seed"))?;
        let sta = arame_sta::agent::build(toml::from_str::<Config>(&self.config())?).await?;
        sta.joined(standing()).await;
        Ok(sta)
    }

    /// After a process that ended: here its tasks end a moment after it, and hold its folder so long.
    pub async fn reopen(&self) -> anyhow::Result<Arc<Sta>> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            match self.open().await {
                Err(error) if format!("{error:#}").contains("another agent holds") && Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                opened => return opened,
            }
        }
    }
}

pub fn standing() -> Standing {
    Standing::new(INSTALLATION, 1)
}

/// A tgtd of its own, gone with the test also when the test is killed.
pub struct Tgtd {
    child: Child,
}

impl Tgtd {
    pub fn start(root: &Path, portal: &str) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "tgtd", "-f", "-C", "1", "--iscsi", &format!("portal={portal}")])
            .env("TGT_IPC_SOCKET", root.join("tgtd"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = child else {
            lacks("tgt");
            return None;
        };
        let socket = root.join("tgtd.1");
        let up = wait_until(|| std::os::unix::net::UnixStream::connect(&socket).is_ok());
        if !up {
            let _ = child.kill();
            lacks("tgt");
            return None;
        }
        Some(Self { child })
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Tgtd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Looks again and again, for ten seconds at most.
pub fn wait_until(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

pub struct Kit {
    /// Taken out while another process holds the folder.
    agent: Option<Arc<Sta>>,
    pub place: Place,
    pub standing: Standing,
    pub tgtd: Option<Tgtd>,
    _folder: Option<TempDir>,
}

impl Kit {
    /// `None`: the machine lacks something, and that was said.
    pub async fn new(drivers: Drivers) -> Option<Kit> {
        let folder = tempfile::Builder::new().prefix("arame-sta-").tempdir().unwrap();
        let root = folder.path().to_owned();
        Kit::at(root, drivers, Some(folder)).await
    }

    pub async fn at(root: PathBuf, drivers: Drivers, folder: Option<TempDir>) -> Option<Kit> {
        let portal = format!("127.0.0.1:{}", free_port());
        let tgtd = match drivers {
            Drivers::FileTgt => Some(Tgtd::start(&root, &portal)?),
            Drivers::Sim | Drivers::File | Drivers::Zfs | Drivers::ZfsLio => None,
        };
        let pool = matches!(drivers, Drivers::Zfs | Drivers::ZfsLio).then(|| new_dataset(&pool()));
        let iqn_prefix = match drivers {
            Drivers::ZfsLio => format!("{IQN_PREFIX}.t{}", &Uuid::new_v4().simple().to_string()[..8]),
            _ => IQN_PREFIX.to_owned(),
        };
        let place = Place {
            root,
            drivers,
            portal,
            faults: Vec::new(),
            pool,
            allowed: ALLOWED,
            keep_free_mib: None,
            disk_mib: None,
            silence_seconds: 1,
            iqn_prefix,
        };
        let agent = Some(place.open().await.unwrap());
        Some(Kit { agent, place, standing: standing(), tgtd, _folder: folder })
    }

    pub fn sta(&self) -> &Arc<Sta> {
        self.agent.as_ref().unwrap()
    }

    /// Lets go of the folder: the agent's process ended.
    pub async fn release(self) -> Kit {
        Kit { agent: None, ..self }
    }

    /// The process ends and another begins.
    pub async fn restart(mut self) -> Kit {
        self.agent = None;
        self.agent = Some(self.place.reopen().await.unwrap());
        self.standing = Standing::new(INSTALLATION, 2);
        self
    }

    /// Every account the target daemon has; of the kernel's, those under this kit's prefix.
    pub fn accounts(&self) -> Vec<String> {
        if self.place.drivers == Drivers::ZfsLio {
            let ours = format!("/sys/kernel/config/target/iscsi/{}*/tpgt_1/acls/*/auth/userid", self.place.iqn_prefix);
            return told("sh", &["-c", &format!("cat {ours} 2>/dev/null || true")])
                .lines()
                .map(str::to_owned)
                .collect();
        }
        let output = Command::new("tgtadm")
            .args(["-C", "1", "--lld", "iscsi", "--op", "show", "--mode", "account"])
            .env("TGT_IPC_SOCKET", self.place.root.join("tgtd"))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter(|line| line.starts_with(' ')).map(|line| line.trim().to_owned()).collect()
    }

    pub async fn run(&self, job: Job, generation: u64) -> Result<Vec<FactReport>, Stopped> {
        self.run_as(job, generation, &self.standing).await
    }

    pub async fn run_as(&self, job: Job, generation: u64, standing: &Standing) -> Result<Vec<FactReport>, Stopped> {
        self.sta().handle(job.clone(), work(&job, generation, standing)).await
    }

    pub async fn list(&self) -> Listing {
        self.sta().list(self.standing.observe()).await
    }

    /// Kind and name of everything there is; every backend must have been seen.
    pub async fn things(&self) -> Vec<(String, String)> {
        let listing = self.list().await;
        for backend in &listing.backends {
            assert_eq!(backend.status, BackendStatus::Complete, "{}", backend.name);
        }
        listing.things.into_iter().map(|thing| (thing.kind, thing.name)).collect()
    }

    /// Writes a source below the import folder and answers the job that imports it.
    pub fn image(&self, name: &str, bytes: &[u8], format: DiskFormat) -> ImportImage {
        let path = self.place.root.join("seed").join(name);
        std::fs::write(&path, bytes).unwrap();
        ImportImage {
            image: format!("wmi-{name}").parse().unwrap(),
            source: format!("file://{}", path.display()),
            sha256: Some(hex::encode(Sha256::digest(bytes))),
            size_bytes: Some(bytes.len() as u64),
            format,
            peer: false,
            ticket: None,
        }
    }

    /// The job that fetches an image from there.
    pub fn fetch(&self, name: &str, source: &str, format: DiskFormat) -> ImportImage {
        ImportImage {
            image: format!("wmi-{name}").parse().unwrap(),
            source: source.to_owned(),
            sha256: None,
            size_bytes: None,
            format,
            peer: false,
            ticket: None,
        }
    }

    /// Writes to a volume as its guest would.
    pub fn write(&self, key: &str, text: &str) {
        if self.place.drivers == Drivers::Sim {
            let write = |state: &mut arame_sta::sim::State| {
                text.clone_into(&mut state.volumes.get_mut(key).unwrap().content);
            };
            return self.sta().world().change(write).unwrap();
        }
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::options().write(true).open(self.volume_file(key)).unwrap();
        file.write_all_at(format!("{text}\n").as_bytes(), MIB / 2).unwrap();
    }

    pub fn read(&self, key: &str) -> String {
        if self.place.drivers == Drivers::Sim {
            return self.sta().world().look(|state| state.volumes[key].content.clone());
        }
        let bytes = std::fs::read(self.volume_file(key)).unwrap();
        let text: Vec<u8> = bytes[MIB as usize / 2..].iter().copied().take_while(|byte| *byte != b'\n').collect();
        String::from_utf8(text).unwrap()
    }

    pub fn volume_file(&self, key: &str) -> PathBuf {
        match &self.place.pool {
            None => self.place.root.join("data/volumes").join(key),
            Some(pool) => Path::new("/dev/zvol").join(pool).join(format!("vol-{key}")),
        }
    }

    pub fn data_files(&self) -> Vec<String> {
        let mut found = Vec::new();
        for folder in ["volumes", "snapshots", "images", "replicas"] {
            if let Ok(entries) = std::fs::read_dir(self.place.root.join("data").join(folder)) {
                found.extend(entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()));
            }
        }
        found
    }
}

/// The pool of the machine the tests were sent to.
pub fn pool() -> String {
    std::env::var("ARAME_TEST_POOL")
        .expect("these tests are sent to the lab machine: `lab::the_contract_holds_on_a_real_pool`")
}

/// The output of a command that has to succeed.
pub fn told(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub fn new_dataset(pool: &str) -> String {
    let name = format!("{pool}/t{}", Uuid::new_v4().simple());
    told("zfs", &["create", "-o", "mountpoint=none", &name]);
    name
}

pub fn work(job: &Job, generation: u64, standing: &Standing) -> Work {
    let (progress, _) = mpsc::channel(16);
    let cancelled = CancellationToken::new();
    let budget = Duration::from_secs(60);
    Work::new(Uuid::new_v4(), thing(job), generation, standing.clone(), budget, cancelled, progress)
}

fn thing(job: &Job) -> String {
    match job {
        Job::ImportImage(job) => job.image.to_string(),
        Job::DeleteImage(job) => job.image.to_string(),
        Job::CreateVolume(job) => job.volume.to_string(),
        Job::DeleteVolume(job) => job.volume.to_string(),
        Job::ObserveVolume(job) => job.volume.to_string(),
        Job::MarkVolume(job) => job.volume.to_string(),
        Job::RollBackVolume(job) => job.volume.to_string(),
        Job::CreateSnapshot(job) => job.snapshot.to_string(),
        Job::DeleteSnapshot(job) => job.snapshot.to_string(),
        Job::ObserveSnapshot(job) => job.snapshot.to_string(),
        Job::SnapshotBackup(job)
        | Job::WriteBackup(job)
        | Job::DropBackup(job)
        | Job::DeleteBackup(job)
        | Job::ObserveBackup(job) => job.object.to_string(),
        Job::OfferSnapshot(job) => job.snapshot.to_string(),
        Job::ReceiveReplica(job) | Job::DeleteReplica(job) | Job::ObserveReplica(job) => job.replica.to_string(),
        Job::ExportVolume(job) => job.attachment.to_string(),
        Job::UnexportVolume(job) => job.attachment.to_string(),
        Job::FenceVolume(job) => job.attachment.to_string(),
        other => other.kind().to_owned(),
    }
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub fn create(key: &str, size_bytes: u64) -> Job {
    Job::CreateVolume(CreateVolume {
        volume: format!("vol-{key}").parse().unwrap(),
        account: "a-demo".parse().unwrap(),
        key: key.to_owned(),
        size_bytes,
        image: None,
        backup: None,
        snapshot: None,
        replica: None,
    })
}

/// A volume that begins with what a snapshot of another one holds.
pub fn clone_of(key: &str, size_bytes: u64, (volume, snapshot): (&str, &str)) -> Job {
    let Job::CreateVolume(job) = create(key, size_bytes) else { unreachable!("it is one") };
    let from = ClonedSnapshot {
        snapshot: format!("snap-{snapshot}").parse().unwrap(),
        key: snapshot.to_owned(),
        volume_key: volume.to_owned(),
    };
    Job::CreateVolume(CreateVolume { snapshot: Some(from), ..job })
}

pub fn create_from(key: &str, size_bytes: u64, image: &ImportImage) -> Job {
    let Job::CreateVolume(job) = create(key, size_bytes) else { unreachable!("it is one") };
    Job::CreateVolume(CreateVolume { image: Some(image.image.clone()), ..job })
}

pub fn delete(key: &str) -> Job {
    Job::DeleteVolume(DeleteVolume { volume: format!("vol-{key}").parse().unwrap(), key: key.to_owned() })
}

pub fn observe(key: &str) -> Job {
    Job::ObserveVolume(ObserveVolume { volume: format!("vol-{key}").parse().unwrap(), key: key.to_owned() })
}

pub fn mark_volume(key: &str) -> Job {
    Job::MarkVolume(MarkVolume { volume: format!("vol-{key}").parse().unwrap(), key: key.to_owned() })
}

pub fn take(volume: &str, key: &str) -> Job {
    Job::CreateSnapshot(CreateSnapshot {
        snapshot: format!("snap-{key}").parse().unwrap(),
        volume: format!("vol-{volume}").parse().unwrap(),
        key: key.to_owned(),
        volume_key: volume.to_owned(),
    })
}

pub fn drop_snapshot(volume: &str, key: &str) -> Job {
    let snapshot = format!("snap-{key}").parse().unwrap();
    Job::DeleteSnapshot(DeleteSnapshot { snapshot, key: key.to_owned(), volume_key: volume.to_owned() })
}

pub fn observe_snapshot(volume: &str, key: &str) -> Job {
    let snapshot = format!("snap-{key}").parse().unwrap();
    Job::ObserveSnapshot(ObserveSnapshot { snapshot, key: key.to_owned(), volume_key: volume.to_owned() })
}

pub fn roll_back(volume: &str, snapshot: &str, operation: u128) -> Job {
    Job::RollBackVolume(RollBackVolume {
        volume: format!("vol-{volume}").parse().unwrap(),
        key: volume.to_owned(),
        snapshot: format!("snap-{snapshot}").parse().unwrap(),
        snapshot_key: snapshot.to_owned(),
        operation: Uuid::from_u128(operation),
    })
}

pub fn export(key: &str, epoch: u64) -> Job {
    Job::ExportVolume(export_body(key, epoch))
}

pub fn export_body(key: &str, epoch: u64) -> ExportVolume {
    ExportVolume {
        attachment: format!("att-{key}").parse().unwrap(),
        volume: format!("vol-{key}").parse().unwrap(),
        key: key.to_owned(),
        epoch,
        initiator_iqn: INITIATOR.to_owned(),
        chap_user: format!("att-{key}-{epoch}"),
        chap_secret: Secret::new(SECRET),
    }
}

pub fn unexport(key: &str, epoch: u64) -> Job {
    Job::UnexportVolume(UnexportVolume {
        attachment: format!("att-{key}").parse().unwrap(),
        volume: format!("vol-{key}").parse().unwrap(),
        epoch,
    })
}

pub fn fence(key: &str, epoch: u64) -> Job {
    Job::FenceVolume(FenceVolume {
        attachment: format!("att-{key}").parse().unwrap(),
        volume: format!("vol-{key}").parse().unwrap(),
        epoch,
        initiator_iqn: INITIATOR.to_owned(),
    })
}

pub fn remove_image(image: &ImportImage) -> Job {
    Job::DeleteImage(DeleteImage { image: image.image.clone() })
}

/// The one fact of an answer.
pub fn value(answer: &Result<Vec<FactReport>, Stopped>) -> Fact {
    match answer {
        Ok(facts) => {
            assert_eq!(facts.len(), 1, "{facts:?}");
            facts[0].value
        }
        Err(stopped) => panic!("stopped: {stopped:?}"),
    }
}

pub fn code(answer: &Result<Vec<FactReport>, Stopped>) -> &str {
    match answer {
        Err(Stopped::Failed { code, .. }) => code,
        other => panic!("not failed: {other:?}"),
    }
}
