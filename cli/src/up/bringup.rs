//! Everything that has to happen until a machine can be launched, side by side as far as it can be.
//!
//! ```text
//! MariaDB ───────────────────────────────┐
//! namespaces ─┬─ RabbitMQ ───────────────┼─ dcmgr ─┐
//!             ├─ switch, iSCSI target ───┤         ├─ API answers
//!             └─ hosts ──────────────────┼─ agents ┘
//! guest image ┬─ KVM probe ──────────────┘
//! boot sector ┘
//! ```
//!
//! Each step first looks at what is there: after a supervisor was killed most of them find it done. No undo here:
//! who fails is torn down as a whole.

use super::children::{Arrival, ChildError, ChildSpec, Place, Stage};
use super::configs::{self, Capacity};
use super::image::{Builder, GuestImage, ImageError, Origin};
use super::kvm::{self, Acceleration, FirstLook};
use super::layout::{Kind, Layout, Wish};
use super::progress::Progress;
use super::supervisor::Shared;
use super::words::Text;
use super::{api, broker, database, fabric, files, hosts, preflight, seed};
use nix::sys::signal::Signal;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

/// RabbitMQ took 3.6 s on an idle machine, 14 s on a busy one.
const BROKER_LIMIT: Duration = Duration::from_secs(120);
const DATABASE_LIMIT: Duration = Duration::from_secs(60);
const HOST_LIMIT: Duration = Duration::from_secs(60);
const API_LIMIT: Duration = Duration::from_secs(60);
const WEBUI_LIMIT: Duration = Duration::from_secs(20);
const JOIN_LIMIT: Duration = Duration::from_secs(60);
/// A queue of its own is declared for each.
const JOIN_PER_HOST: Duration = Duration::from_millis(100);

/// Between two looks at something that is about to be ready.
const LOOK_INTERVAL: Duration = Duration::from_millis(40);
const LOOK_PER_HOST: Duration = Duration::from_millis(1);

#[derive(Debug, thiserror::Error)]
pub enum UpError {
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error(transparent)]
    Database(#[from] database::DatabaseError),
    #[error(transparent)]
    Broker(#[from] broker::BrokerError),
    #[error(transparent)]
    Fabric(#[from] fabric::FabricError),
    #[error("{source}{}", mirror_fix(source))]
    Image {
        #[from]
        source: ImageError,
    },
    #[error("{what}: {source}")]
    File { what: &'static str, source: io::Error },
    #[error("not online after {} s: {late}; their logs are below log/", limit.as_secs())]
    NotOnline { late: String, limit: Duration },
    #[error("user `nobody` does not exist, and SUDO_UID names nobody else to run MariaDB and RabbitMQ as")]
    User,
}

fn mirror_fix(error: &ImageError) -> &'static str {
    match error {
        ImageError::Mirror { .. } | ImageError::NoKernel { .. } => {
            "\n  fix / 対処: run `apt-get update` and check that this machine reaches its Debian mirror \
             (apt-get update を実行し、Debian ミラーに届くか確かめてください)"
        }
        ImageError::Incomplete { .. } | ImageError::Tool(_) | ImageError::File { .. } => "",
    }
}

fn file(what: &'static str) -> impl FnOnce(io::Error) -> UpError {
    move |source| UpError::File { what, source }
}

/// Whether this project's own programs are started too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    Started,
    Left,
}

pub struct Bringup<'a> {
    pub layout: &'a Layout,
    pub wish: &'a Wish,
    pub programs: PathBuf,
    pub arame: PathBuf,
    pub own: Own,
    pub progress: &'a Progress,
    pub children: &'a Shared,
}

impl Bringup<'_> {
    pub async fn all(&self) -> Result<(), UpError> {
        self.folders()?;
        let user = unprivileged_user(self.layout)?;
        let agents = configs::agents(self.wish);
        broker::prepare(self.layout, self.wish, user, &agents)?;
        let guest = async {
            let (image, look) = tokio::try_join!(self.guest_image(), self.first_look())?;
            let acceleration = self.acceleration(look, &image).await?;
            self.write_configs(&image, acceleration)
        };
        tokio::try_join!(self.database(user), self.network(user), guest)?;
        self.own_programs().await?;
        self.children.lock().unwrap_or_else(PoisonError::into_inner).stop_unwanted();
        Ok(())
    }

    fn folders(&self) -> Result<(), UpError> {
        for (name, permissions) in [
            ("run", 0o755),
            ("log", 0o755),
            ("etc", 0o700),
            ("secrets", 0o700),
            ("tokens", 0o700),
            ("keys", 0o700),
            ("state", 0o755),
            ("data", 0o755),
            ("images", 0o755),
            ("cache", 0o755),
            ("hosts", 0o755),
        ] {
            files::folder(&self.layout.path(name), permissions).map_err(file("folders"))?;
        }
        seed::prepare(self.layout).map_err(file("tokens and keys"))
    }

    fn ensure(&self, spec: ChildSpec) -> Result<Arrival, ChildError> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner).ensure(spec)
    }

    fn was_left_alive(&self, name: &str) -> bool {
        self.children.lock().unwrap_or_else(PoisonError::into_inner).was_left_alive(name)
    }

    /// Waits until the child is ready; fails at once when it dies.
    async fn ready<F, R>(&self, name: &str, limit: Duration, is_ready: F) -> Result<(), UpError>
    where
        F: Fn() -> R,
        R: Future<Output = bool>,
    {
        let deadline = tokio::time::Instant::now() + limit;
        while !is_ready().await {
            self.check(name, limit, deadline)?;
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    /// Whether there is a reason to go on waiting for a child.
    fn check(&self, name: &str, limit: Duration, deadline: tokio::time::Instant) -> Result<(), UpError> {
        let children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.check(name)?;
        if tokio::time::Instant::now() > deadline {
            return Err(children.late(name, limit).into());
        }
        Ok(())
    }

    async fn database(&self, user: database::User) -> Result<(), UpError> {
        let step = self.progress.step(Text::plain("MariaDB"));
        database::prepare(self.layout, self.wish.hosts, user, &self.arame).await?;
        let arrival = self.ensure(database::child(self.layout, user))?;
        self.ready("mariadb", DATABASE_LIMIT, || database::is_ready(self.layout)).await?;
        step.done_with(found(arrival));
        Ok(())
    }

    async fn network(&self, user: database::User) -> Result<(), UpError> {
        if self.wish.kind == Kind::Sim {
            return self.broker(user).await;
        }
        self.namespaces().await?;
        let storage = async { self.storage_target() };
        tokio::try_join!(self.broker(user), self.switch(), storage, self.hosts())?;
        Ok(())
    }

    async fn broker(&self, user: database::User) -> Result<(), UpError> {
        let step = self.progress.step(Text::plain("RabbitMQ"));
        let arrival = self.ensure(broker::child(self.layout, self.wish, user)?)?;
        let address = self.wish.broker(self.layout);
        self.ready("rabbitmq", BROKER_LIMIT, || broker::is_ready(address)).await?;
        step.done_with(found(arrival));
        Ok(())
    }

    async fn namespaces(&self) -> Result<(), UpError> {
        let step = self.progress.step(Text::new("Networks in namespaces", "名前空間のネットワーク"));
        if fabric::stands(self.layout) {
            step.done_with(found(Arrival::Adopted));
            return Ok(());
        }
        // Whoever lives in namespaces that are made anew would stay in the old ones.
        let names = self.children.lock().unwrap_or_else(PoisonError::into_inner).by_stage();
        let inside = [Stage::Agent, Stage::Storage, Stage::Host, Stage::Switch, Stage::Broker];
        for name in names.into_iter().filter(|(stage, _)| inside.contains(stage)).flat_map(|(_, names)| names) {
            self.children.lock().unwrap_or_else(PoisonError::into_inner).stop(&name);
        }
        fabric::remove(self.layout).await;
        fabric::make(self.layout, self.wish).await?;
        step.done();
        Ok(())
    }

    async fn switch(&self) -> Result<(), UpError> {
        let step = self.progress.step(Text::new("Open vSwitch of the infrastructure", "基盤側の Open vSwitch"));
        let [database, daemon] = fabric::switch_children(self.layout);
        if !self.was_left_alive(&database.name) {
            fabric::make_switch_database(self.layout).await?;
        }
        let arrival = self.ensure(database)?;
        self.ensure(daemon)?;
        fabric::make_switch(self.layout).await?;
        step.done_with(found(arrival));
        Ok(())
    }

    fn storage_target(&self) -> Result<(), UpError> {
        let port = configs::TGT_CONTROL_PORT.to_string();
        let portal = format!("portal={}", configs::portal(self.wish));
        let program = super::command::find("tgtd").unwrap_or_else(|| "tgtd".into());
        let mut spec = ChildSpec::new("tgtd", program, self.layout.log("tgtd"), Stage::Storage)
            .args(["-f", "-C", &port, "--iscsi", &portal])
            .env("TGT_IPC_SOCKET", configs::tgt_socket(self.layout).display().to_string())
            .place(Place::Netns(self.layout.netns_fab()));
        // It ignores SIGTERM while it has targets; the volumes' data is in their files already.
        spec.stop = Signal::SIGKILL;
        self.ensure(spec)?;
        Ok(())
    }

    async fn hosts(&self) -> Result<(), UpError> {
        let count = self.wish.hosts;
        let label = Text::new(format!("{count} hypervisor hosts"), format!("ハイパーバイザーホスト {count} 台"));
        let step = self.progress.step(label);
        let mut arrivals = Vec::new();
        for host in 1..=count {
            arrivals.push(self.host(host).await?);
        }
        for host in 1..=count {
            let name = hosts::child_name(host);
            self.ready(&name, HOST_LIMIT, || hosts::is_ready(self.layout, host)).await?;
        }
        let adopted = arrivals.iter().all(|arrival| *arrival == Arrival::Adopted);
        step.done_with(found(if adopted { Arrival::Adopted } else { Arrival::Started }));
        Ok(())
    }

    async fn host(&self, host: u16) -> Result<Arrival, UpError> {
        let name = hosts::child_name(host);
        hosts::prepare(self.layout, self.wish, host).map_err(file("a host's folders"))?;
        let alive = self.was_left_alive(&name);
        let made = fabric::make_host(self.layout, self.wish, host).await?;
        if made && alive {
            self.children.lock().unwrap_or_else(PoisonError::into_inner).stop(&name);
        }
        if made || !alive {
            // Of the last life of this host.
            let _ = std::fs::remove_file(self.layout.host(host).join("run/ready"));
        }
        Ok(self.ensure(hosts::child(self.layout, host, &self.arame))?)
    }

    async fn guest_image(&self) -> Result<GuestImage, UpError> {
        if self.wish.kind == Kind::Sim {
            let image = simulated_image(&self.layout.path("images")).map_err(file("the simulated image"))?;
            return Ok(image);
        }
        let step = self
            .progress
            .step(Text::new("Guest image from Debian packages", "Debian パッケージからゲストイメージを作成"));
        let builder = Builder { cache: self.layout.path("cache"), images: self.layout.path("images") };
        let registered = seed::path(self.layout).exists().then(|| builder.made()).flatten();
        let (image, origin) = match registered {
            Some(image) => (image, Origin::Cached),
            None => builder.ensure().await?,
        };
        let size = format!("{} MB", image.size_bytes / 1_000_000);
        step.done_with(match origin {
            Origin::Built => Text::plain(size),
            Origin::Cached => found(Arrival::Adopted),
        });
        Ok(image)
    }

    async fn first_look(&self) -> Result<FirstLook, UpError> {
        if self.wish.kind == Kind::Sim {
            return Ok(FirstLook::Decided(Acceleration::Qemu));
        }
        kvm::first_look(self.layout).await.map_err(file("the verdict on KVM"))
    }

    async fn acceleration(&self, look: FirstLook, image: &GuestImage) -> Result<Acceleration, UpError> {
        if self.wish.kind == Kind::Sim {
            return Ok(Acceleration::Qemu);
        }
        let step = self.progress.step(Text::new("Does KVM boot a guest?", "KVM でゲストが起動するか確認"));
        let acceleration = kvm::decide(self.layout, look, image).await.map_err(file("the verdict on KVM"))?;
        step.done_with(match acceleration {
            Acceleration::Kvm => Text::new("yes", "はい"),
            Acceleration::Qemu => Text::new(
                "no: QEMU emulates, guests will be slow",
                "いいえ: QEMU のエミュレーションを使うため、ゲストは低速です",
            ),
        });
        Ok(acceleration)
    }

    fn write_configs(&self, image: &GuestImage, acceleration: Acceleration) -> Result<(), UpError> {
        let capacity = Capacity {
            cpus: std::thread::available_parallelism().map_or(1, |count| count.get() as u32),
            memory_mib: preflight::total_memory_mib().unwrap_or(4096),
            disk_mib: preflight::free_disk_mib(self.layout.dir()).unwrap_or(10_240),
        };
        let writer = configs::Writer { layout: self.layout, wish: self.wish, capacity };
        writer.dcmgr().map_err(file("dcmgr.toml"))?;
        for agent in configs::agents(self.wish) {
            writer.agent(&agent, acceleration).map_err(file("an agent's configuration"))?;
        }
        seed::write(self.layout, self.wish, image).map_err(file("seed.toml"))?;
        preflight::found(self.layout, self.wish).map_err(file("founded.json"))
    }

    async fn own_programs(&self) -> Result<(), UpError> {
        if self.own == Own::Left {
            return Ok(());
        }
        let step = self.progress.step(Text::new("dcmgr and the agents", "dcmgr とエージェント"));
        let mut dcmgr = self.own_child("dcmgr", "arame-dcmgr", Stage::Manager).args(["serve"]);
        dcmgr = dcmgr.args(["--config".into(), self.layout.config("dcmgr").into_os_string()]);
        let arrival = self.ensure(dcmgr.args(["--seed".into(), seed::path(self.layout).into_os_string()]))?;
        for group in configs::groups(self.wish) {
            let Some(first) = group.agents.first() else { continue };
            let program = format!("arame-{}", first.kind());
            let mut spec = self.own_child(&group.name, &program, Stage::Agent).place(self.place_of(first));
            for agent in &group.agents {
                spec = spec.args(["--config".into(), self.layout.config(agent.as_str()).into_os_string()]);
            }
            self.ensure(spec)?;
        }
        let api = api::Api::new(self.wish.listen, &self.layout.token("admin")).map_err(file("the admin token"))?;
        self.ready("dcmgr", API_LIMIT, || api.is_healthy()).await?;
        step.done_with(found(arrival));
        tokio::try_join!(self.agents_online(&api), self.webui())?;
        Ok(())
    }

    /// The web console, a client of the API like any other.
    async fn webui(&self) -> Result<(), UpError> {
        let Some(listen) = self.wish.webui else { return Ok(()) };
        let step = self.progress.step(Text::new("Web console", "管理画面"));
        let api = format!("http://{}", self.wish.listen);
        let spec = self.own_child("webui", "arame-webui", Stage::Agent);
        let arrival = self.ensure(spec.args(["--listen", &listen.to_string(), "--api", &api]))?;
        self.ready("webui", WEBUI_LIMIT, || async { tokio::net::TcpStream::connect(listen).await.is_ok() }).await?;
        step.done_with(found(arrival));
        Ok(())
    }

    /// A data center whose hosts are not online yet would refuse the first launch.
    async fn agents_online(&self, api: &api::Api) -> Result<(), UpError> {
        let step = self
            .progress
            .step(Text::new("Hosts and storage come online", "ホストとストレージがオンラインになるのを待機"));
        let limit = JOIN_LIMIT + JOIN_PER_HOST * u32::from(self.wish.hosts);
        let deadline = tokio::time::Instant::now() + limit;
        let hosts = usize::from(self.wish.hosts);
        loop {
            let late = api.missing(hosts).await;
            if late.is_empty() {
                step.done();
                return Ok(());
            }
            for group in configs::groups(self.wish) {
                self.children.lock().unwrap_or_else(PoisonError::into_inner).check(&group.name)?;
            }
            if tokio::time::Instant::now() > deadline {
                return Err(UpError::NotOnline { late, limit });
            }
            // The list of a thousand hosts is long: they are not to be kept from joining by looks at it.
            tokio::time::sleep(LOOK_INTERVAL.max(LOOK_PER_HOST * u32::from(self.wish.hosts))).await;
        }
    }

    fn own_child(&self, name: &str, program: &str, stage: Stage) -> ChildSpec {
        ChildSpec::new(name, self.programs.join(program), self.layout.log(name), stage)
    }

    fn place_of(&self, agent: &arame_schema::model::AgentId) -> Place {
        use arame_schema::model::AgentKind;
        match (self.wish.kind, agent.kind()) {
            (Kind::Sim, _) => Place::Machine,
            (Kind::Real, AgentKind::Hva) => Place::Host(format!("host-{}", agent.name())),
            (Kind::Real, AgentKind::Sta | AgentKind::Nsa) => Place::Netns(self.layout.netns_fab()),
        }
    }
}

fn found(arrival: Arrival) -> Text {
    match arrival {
        Arrival::Started => Text::plain(""),
        Arrival::Adopted => Text::new("was there already", "既存"),
    }
}

/// Whom MariaDB and RabbitMQ run as: whose the database is already, else who called sudo, else `nobody`; without
/// privileges, ourselves.
fn unprivileged_user(layout: &Layout) -> Result<database::User, UpError> {
    use std::os::unix::fs::MetadataExt;
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    if let Ok(owner) = std::fs::metadata(layout.path("db"))
        && owner.uid() != 0
    {
        return Ok(Some((owner.uid(), owner.gid())));
    }
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok().filter(|id| *id != 0);
    if let (Some(uid), Some(gid)) = (number("SUDO_UID"), number("SUDO_GID")) {
        return Ok(Some((uid, gid)));
    }
    let nobody = nix::unistd::User::from_name("nobody").ok().flatten().ok_or(UpError::User)?;
    Ok(Some((nobody.uid.as_raw(), nobody.gid.as_raw())))
}

/// Simulated hosts never boot it: a small file with a true checksum is enough.
fn simulated_image(folder: &Path) -> io::Result<GuestImage> {
    use sha2::{Digest, Sha256};
    let content = [0u8; 64 * 1024];
    let path = folder.join("simulated.raw");
    files::replace_if_different(&path, &content, 0o644)?;
    Ok(GuestImage {
        path,
        sha256: hex::encode(Sha256::digest(content)),
        size_bytes: content.len() as u64,
        format: "raw".into(),
        arch: "x86_64".into(),
    })
}
