//! The application's verbs as this layer's own tests see them: the same signatures, over a small memory.
//!
//! Rule: it decides nothing and is part of no program. That the real application has these signatures is checked by
//! every build that is not a test.

use arame_schema::api::{Health, Refusal, Role};
use arame_schema::model::{AccountId, TokenId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use uuid::Uuid;

#[derive(Clone)]
pub struct App {
    pub(crate) memory: Arc<Mutex<Vec<arame_schema::api::Event>>>,
    pub(crate) ticks: watch::Sender<u64>,
    /// By key: the request's digest and its answer.
    pub(crate) answers: Arc<Mutex<HashMap<String, (String, String)>>>,
    /// Secrets that are let in no longer.
    pub(crate) revoked: Arc<Mutex<Vec<String>>>,
}

#[derive(Debug, Clone)]
pub struct Caller {
    pub token: TokenId,
    pub role: Role,
    pub account: AccountId,
    pub request: Uuid,
    pub address: String,
    pub idempotency_key: Option<String>,
}

impl Default for App {
    fn default() -> Self {
        Self { memory: Arc::default(), ticks: watch::Sender::new(0), answers: Arc::default(), revoked: Arc::default() }
    }
}

impl App {
    /// Secrets are the roles' words.
    pub async fn authenticate(&self, secret: &str, account: Option<&str>, address: &str) -> Result<Caller, Refusal> {
        let refused = || Refusal::new(arame_schema::api::Code::Unauthenticated);
        let role = Role::parse(secret).ok_or_else(refused)?;
        if self.revoked.lock().expect("no holder panics").iter().any(|one| one == secret) {
            return Err(refused());
        }
        let account = account.filter(|account| *account != "all").unwrap_or("a-demo");
        Ok(Caller {
            token: "tok-stub".parse().map_err(|_| refused())?,
            role,
            account: account.parse().map_err(|_| refused())?,
            request: Uuid::nil(),
            address: address.to_owned(),
            idempotency_key: None,
        })
    }

    pub async fn health(&self) -> Health {
        Health { database: true, broker: true }
    }

    pub fn metrics(&self) -> String {
        "# stub\n".into()
    }

    /// Adds an event, as the writer of events does.
    pub fn tell(&self, event: arame_schema::api::Event) {
        let id = event.id;
        self.memory.lock().expect("no holder panics").push(event);
        self.ticks.send_replace(id);
    }
}

macro_rules! absent {
    ($module:ident: $($verb:ident($($name:ident: $kind:ty),*) -> $view:ty;)* $({ $($more:item)* })?) => {
        pub mod $module {
            #![allow(unused_imports, unused_variables, dead_code)]
            use super::{App, Caller};
            use arame_schema::api::*;
            use arame_schema::model::instance::Shutdown;
            $($($more)*)?
            $(pub async fn $verb(app: &App, caller: &Caller $(, $name: $kind)*) -> Result<$view, Refusal> {
                crate::http::app::nothing(stringify!($verb)).await
            })*
        }
    };
}

async fn nothing<T>(verb: &str) -> Result<T, Refusal> {
    if verb == "reboot" {
        panic!("the stub panics here, so that tests see what a panic becomes");
    }
    Err(Refusal::unknown(verb))
}

macro_rules! listed {
    ($($module:ident $view:ident),*) => { $(pub mod $module {
        use super::{App, Caller};
        use arame_schema::api::*;
        pub async fn list(_: &App, _: &Caller, _: ListFilter) -> Result<Page<$view>, Refusal> {
            Ok(Page::whole(Vec::new()))
        }
    })* };
}

listed!(audit_log AuditEntry);

pub mod instance_types {
    use super::{App, Caller, nothing};
    use arame_schema::api::*;

    pub async fn list(_: &App, _: &Caller, _: ListFilter) -> Result<Page<InstanceType>, Refusal> {
        Ok(Page::whole(Vec::new()))
    }

    pub async fn get(_: &App, _: &Caller, _: &str) -> Result<InstanceType, Refusal> {
        nothing("get").await
    }

    pub async fn create(_: &App, _: &Caller, _: SetInstanceType) -> Result<InstanceType, Refusal> {
        nothing("create").await
    }

    pub async fn update(_: &App, _: &Caller, _: &str, _: SetInstanceType) -> Result<InstanceType, Refusal> {
        nothing("update").await
    }

    pub async fn delete(_: &App, _: &Caller, _: &str) -> Result<Vec<String>, Refusal> {
        nothing("delete").await
    }
}

absent!(users:
    list(filter: ListFilter) -> Page<User>;
    get(id: &str) -> User;
    create(request: CreateUser) -> User;
    update(id: &str, request: UpdateUser) -> User;
    delete(id: &str) -> Vec<String>;
);

pub mod sessions {
    use super::{App, Caller};
    use arame_schema::api::*;

    #[derive(Debug, Clone)]
    pub struct Stranger {
        pub request: uuid::Uuid,
        pub address: String,
    }

    pub fn is_operators(role: Role) -> bool {
        matches!(role, Role::Admin | Role::Operator)
    }

    pub async fn create(_: &App, stranger: &Stranger, _: CreateSession) -> Result<Session, Refusal> {
        Err(Refusal::unknown(format!("{stranger:?}")))
    }

    pub async fn end(_: &App, caller: &Caller) -> Result<Vec<String>, Refusal> {
        Ok(vec![caller.token.to_string()])
    }

    pub async fn whoami(_: &App, caller: &Caller) -> Result<Whoami, Refusal> {
        let (role, account_id) = (caller.role, Some(caller.account.to_string()));
        Ok(Whoami { token: caller.token.to_string(), role, account_id, user: None, expires_at: None })
    }

    pub async fn change_password(_: &App, _: &Caller, _: ChangePassword) -> Result<Whoami, Refusal> {
        Err(Refusal::new(Code::NotPermitted))
    }
}

pub mod guards {
    use super::App;
    use arame_schema::api::Refusal;

    pub struct Guard;

    impl Guard {
        pub async fn release(self) {}
    }

    pub async fn hold(_: &App, _: &str) -> Result<Guard, Refusal> {
        Ok(Guard)
    }
}

pub mod idempotency {
    use super::{App, Caller};
    use arame_schema::api::{Code, Refusal};

    pub async fn answered(app: &App, caller: &Caller, digest: &str) -> Result<Option<String>, Refusal> {
        let Some(key) = &caller.idempotency_key else { return Ok(None) };
        match app.answers.lock().expect("no holder panics").get(key) {
            Some((request, _)) if request != digest => Err(Refusal::new(Code::IdempotencyConflict).with("key", key)),
            found => Ok(found.map(|(_, answer)| answer.clone())),
        }
    }

    pub async fn keep(app: &App, _token: &str, key: &str, digest: &str, answer: &[u8]) {
        let answer = String::from_utf8_lossy(answer).into_owned();
        app.answers.lock().expect("no holder panics").insert(key.to_owned(), (digest.to_owned(), answer));
    }
}

absent!(tokens:
    list(filter: ListFilter) -> Page<Token>;
    get(id: &str) -> Token;
    create(request: CreateToken) -> Token;
    revoke(id: &str) -> Vec<String>;
);

pub mod accounts {
    use super::{App, Caller};
    use arame_schema::api::*;

    pub mod bulk {
        use super::super::{App, Caller};
        use arame_schema::api::*;
        use arame_schema::model::instance::Shutdown;

        #[derive(Debug, Clone, Copy)]
        pub enum Verb {
            PowerOff(Shutdown),
            PowerOn,
            DeleteInstances,
            DeleteVolumes(DeleteVolume),
            DeleteSecurityGroups,
            DeleteSshKeyPairs(Force),
            DeleteBackupObjects,
        }

        #[derive(Debug, Clone, Copy)]
        pub enum Force {
            No,
            Yes,
        }

        pub async fn ask_all(_: &App, _: &Caller, account: &str, verb: Verb) -> Result<BulkResult, Refusal> {
            Err(Refusal::unknown(format!("{account} {verb:?}")))
        }
    }

    #[derive(Debug, Default)]
    pub struct Change {
        pub display_name: Option<String>,
        pub description: Option<String>,
        pub enabled: Option<bool>,
        pub quota_instances: Option<Option<u64>>,
        pub quota_volumes: Option<Option<u64>>,
    }

    pub async fn list(_: &App, _: &Caller, _: ListFilter) -> Result<Page<Account>, Refusal> {
        Ok(Page::whole(Vec::new()))
    }

    pub async fn get(_: &App, _: &Caller, id: &str) -> Result<Account, Refusal> {
        Err(Refusal::unknown(id))
    }

    pub async fn usage(_: &App, _: &Caller, id: &str) -> Result<AccountUsage, Refusal> {
        Err(Refusal::unknown(id))
    }

    pub async fn create(_: &App, _: &Caller, _: CreateAccount) -> Result<Account, Refusal> {
        Err(Refusal::unknown("create"))
    }

    pub async fn update(_: &App, _: &Caller, id: &str, _: Change) -> Result<Account, Refusal> {
        Err(Refusal::unknown(id))
    }

    pub async fn delete(_: &App, _: &Caller, id: &str) -> Result<Vec<String>, Refusal> {
        Err(Refusal::unknown(id))
    }
}

absent!(instances:
    get(id: &str) -> Instance;
    create(request: CreateInstance) -> Instance;
    plan(request: CreateInstance) -> LaunchPlan;
    plan_delete(id: &str) -> DeletePlan;
    delete(id: &str) -> Vec<String>;
    power_off(id: &str, method: Shutdown) -> Instance;
    power_on(id: &str) -> Instance;
    reboot(id: &str) -> Instance;
    console_log(id: &str, bytes: u64) -> String;
    timeline(id: &str) -> Vec<Event>;
    placement(id: &str) -> Placement;
    list(filter: ListFilter) -> Page<Instance>;
    {
        pub use super::inside::figures;
        pub mod changes {
            use super::super::{App, Caller};
            use arame_schema::api::*;
            pub async fn update(_: &App, _: &Caller, id: &str, _: UpdateInstance) -> Result<Instance, Refusal> {
                Err(Refusal::unknown(id))
            }
            pub async fn password(_: &App, _: &Caller, id: &str) -> Result<InstancePassword, Refusal> {
                Err(Refusal::unknown(id))
            }
            pub async fn delete_password(_: &App, _: &Caller, id: &str) -> Result<(), Refusal> {
                Err(Refusal::unknown(id))
            }
        }
        pub mod imaging {
            use super::super::{App, Caller};
            use arame_schema::api::*;
            pub async fn back_up(_: &App, _: &Caller, id: &str, _: BackUpInstance) -> Result<InstanceBackup, Refusal> {
                Err(Refusal::unknown(id))
            }
        }
    }
);
pub mod consoles {
    use super::sessions::Stranger;
    use super::{App, Caller, nothing};
    use arame_schema::api::{ConsoleTicket, Refusal};
    use arame_schema::model::ConsoleKind;

    pub struct Console {
        pub kind: ConsoleKind,
    }

    pub type Wire = tokio::io::DuplexStream;

    pub async fn ticket(_: &App, _: &Caller, id: &str, _: ConsoleKind) -> Result<ConsoleTicket, Refusal> {
        Err(Refusal::unknown(id))
    }

    pub async fn screenshot(_: &App, _: &Caller, id: &str) -> Result<Vec<u8>, Refusal> {
        Err(Refusal::unknown(id))
    }

    pub async fn open(_: &App, _: &Stranger, _: &str, _: &str) -> Result<(Console, Wire), Refusal> {
        nothing("console").await
    }

    pub async fn show(_: &App, _: &Console) -> Result<Caller, Refusal> {
        nothing("console").await
    }

    pub async fn close(_: &App, _: &Console) {}

    pub fn origins(_: &App) -> &[String] {
        &[]
    }
}

absent!(images:
    list(filter: ListFilter, public: Option<bool>) -> Page<Image>;
    get(id: &str) -> Image;
    update(id: &str, change: UpdateImage) -> Image;
    delete(id: &str) -> Vec<String>;
    {
        pub mod bringing {
            use super::super::{App, Caller};
            use arame_schema::api::*;
            #[allow(dead_code)]
            pub enum Place {
                Storage { url: String, ticket: String },
                Compared { sha256: String },
            }
            pub async fn create(_: &App, _: &Caller, _: CreateImage) -> Result<Image, Refusal> {
                Err(Refusal::new(Code::AccountNeeded))
            }
            pub async fn offer(_: &App, _: &Caller, id: &str) -> Result<Place, Refusal> {
                Err(Refusal::unknown(id))
            }
        }
    }
);
absent!(dc_networks:
    list(filter: ListFilter, name: Option<&str>) -> Page<DcNetwork>;
    get(id: &str) -> DcNetwork;
    create(request: CreateDcNetwork) -> DcNetwork;
    update(id: &str, request: UpdateDcNetwork) -> DcNetwork;
    offer(id: &str, modes: &[String], offer: Offer) -> Vec<String>;
    delete(id: &str) -> Vec<String>;
    {
        pub enum Offer {
            Add,
            Delete,
        }
    }
);
absent!(vifs:
    get(id: &str) -> NetworkVif;
    change_group(id: &str, group: &str, turn: Turn) -> NetworkVif;
    {
        pub enum Turn {
            Add,
            Remove,
        }
    }
);
absent!(labels:
    list(id: &str, name: Option<&str>) -> Vec<Label>;
    get(id: &str, name: &str) -> Label;
    set(id: &str, labels: &[(String, String)]) -> Vec<Label>;
    delete(id: &str, name: &str) -> ();
    delete_all(id: &str) -> ();
);
absent!(monitors:
    list(id: &str) -> Vec<Monitor>;
    get(id: &str, monitor: &str) -> Monitor;
    create(id: &str, new: NewMonitor) -> Monitor;
    replace(id: &str, all: &[NewMonitor]) -> Vec<Monitor>;
    update(id: &str, monitor: &str, change: SetMonitor) -> Monitor;
    delete(id: &str, monitor: &str) -> Vec<String>;
    {
        pub struct NewMonitor {
            pub enabled: bool,
            pub title: String,
            pub params: serde_json::Map<String, serde_json::Value>,
        }
    }
);
absent!(node_groups:
    list(kind: Kind, filter: ListFilter, name: Option<&str>) -> Page<NodeGroup>;
    get(kind: Kind, id: &str) -> NodeGroup;
    create(kind: Kind, request: CreateNodeGroup) -> NodeGroup;
    update(kind: Kind, id: &str, request: UpdateNodeGroup) -> NodeGroup;
    delete(kind: Kind, id: &str) -> Vec<String>;
    {
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub enum Kind {
            Hosts,
            Networks,
            Storage,
        }
    }
);
absent!(backups:
    storages(filter: ListFilter, kind: Option<&str>) -> Page<BackupStorage>;
    storage(id: &str) -> BackupStorage;
    create_storage(request: SetBackupStorage) -> BackupStorage;
    update_storage(id: &str, request: SetBackupStorage) -> Vec<String>;
    delete_storage(id: &str) -> Vec<String>;
    objects(filter: ListFilter, storage: Option<&str>) -> Page<BackupObject>;
    object(id: &str) -> BackupObject;
    create_object(request: CreateBackupObject) -> BackupObject;
    update_object(id: &str, request: UpdateBackupObject) -> BackupObject;
    delete_object(id: &str) -> Vec<String>;
    back_up_volume(id: &str, request: BackUpVolume) -> VolumeBackup;
    back_up_attached(of: (&str, &str), request: BackUpVolume) -> VolumeBackup;
    copy_object(id: &str, request: CopyTo) -> CopyRequested;
    copy_image(id: &str, request: CopyTo) -> CopyRequested;
);
absent!(ip_pools:
    list(filter: ListFilter) -> Page<IpPool>;
    get(id: &str) -> IpPool;
    create(request: CreateIpPool) -> IpPool;
    delete(id: &str) -> Vec<String>;
    handles(id: &str, filter: ListFilter) -> Page<IpHandle>;
    handle(id: &str) -> IpHandle;
    acquire(id: &str, network: &str) -> AcquiredAddress;
    release(id: &str, handle: &str) -> ();
    expire(id: &str, seconds: u64) -> IpHandle;
);
absent!(usage:
    between(to: Narrowed, span: Span) -> Vec<UsageInterval>;
    over_time(account: &str, span: Span) -> UsageOverTime;
    {
        pub struct Narrowed {
            pub account: Option<String>,
            pub resource: Option<String>,
            pub resource_type: Option<String>,
            pub what: Option<String>,
        }
        pub fn totals_csv(_: &UsageOverTime) -> String {
            String::new()
        }
        pub fn csv(_: &[UsageInterval]) -> String {
            String::new()
        }
    }
);
#[path = "stub_app/inside.rs"]
mod inside;

absent!(moves:
    start(id: &str, host: &str) -> ();
    cancel(id: &str) -> ();
    {
        pub use super::inside::forecast;
    }
);
absent!(volumes:
    of_instance(id: &str) -> Vec<Volume>;
    update(id: &str, change: UpdateVolume) -> Volume;
    list(filter: ListFilter) -> Page<Volume>;
    get(id: &str) -> Volume;
    create(request: CreateVolume) -> Volume;
    delete_as(id: &str, request: DeleteVolume) -> Vec<String>;
    attach(id: &str, instance_id: &str) -> Volume;
    detach_as(id: &str, request: DetachVolume) -> Volume;
    {
        pub use super::inside::path;
    }
);
absent!(schedules:
    list(id: &str, filter: ListFilter) -> Page<VolumeSchedule>;
    get(id: &str, schedule: &str) -> VolumeSchedule;
    create(id: &str, request: SetVolumeSchedule) -> VolumeSchedule;
    update(of: (&str, &str), request: SetVolumeSchedule) -> VolumeSchedule;
    delete(id: &str, schedule: &str) -> Vec<String>;
    plan(of: (&str, Option<&str>), request: SetVolumeSchedule) -> SchedulePlan;
);
absent!(volume_snapshots:
    list(filter: ListFilter, volume: Option<&str>) -> Page<VolumeSnapshot>;
    get(id: &str) -> VolumeSnapshot;
    create(request: CreateVolumeSnapshot) -> VolumeSnapshot;
    update(id: &str, request: UpdateVolumeSnapshot) -> VolumeSnapshot;
    delete(id: &str) -> Vec<String>;
    roll_back(id: &str, request: RollBackVolume) -> Volume;
);
absent!(replicas:
    list(filter: ListFilter, of: (Option<&str>, Option<&str>)) -> Page<SnapshotReplica>;
    get(id: &str) -> SnapshotReplica;
    create(request: CreateSnapshotReplica) -> SnapshotReplica;
    delete(id: &str) -> Vec<String>;
);
#[path = "stub_app/networks.rs"]
mod inside_networks;

absent!(networks:
    list(filter: ListFilter, to: Narrowed) -> Page<Network>;
    get(id: &str) -> Network;
    vifs(filter: ListFilter) -> Page<NetworkVif>;
    create(request: CreateNetwork) -> Network;
    update(id: &str, request: UpdateNetwork) -> Network;
    delete(id: &str) -> Vec<String>;
    {
        pub struct Narrowed {
            pub dc_network: Option<String>,
            pub has_service: Option<String>,
        }
        pub use super::inside_networks::{outside, parts, records, why};
    }
);
absent!(security_groups:
    list(filter: ListFilter) -> Page<SecurityGroup>;
    get(id: &str) -> SecurityGroup;
    create(request: CreateSecurityGroup) -> SecurityGroup;
    update(id: &str, request: UpdateSecurityGroup) -> SecurityGroup;
    delete(id: &str) -> Vec<String>;
);
absent!(ssh_key_pairs:
    list(filter: ListFilter) -> Page<SshKeyPair>;
    get(id: &str) -> SshKeyPair;
    create(request: CreateSshKeyPair) -> SshKeyPair;
    update(id: &str, change: UpdateSshKeyPair) -> Vec<String>;
    delete(id: &str, force: bool) -> Vec<String>;
);
absent!(nodes:
    hosts(filter: ListFilter) -> Page<HostNode>;
    host(id: &str) -> HostNode;
    storage(filter: ListFilter) -> Page<StorageNode>;
    storage_one(id: &str) -> StorageNode;
    hosts_where(filter: ListFilter, to: NodeFilter) -> Page<HostNode>;
    storage_where(filter: ListFilter, to: NodeFilter) -> Page<StorageNode>;
    update(id: &str, change: UpdateNode) -> ();
    create_host(request: CreateNode) -> HostNode;
    create_storage(request: CreateNode) -> StorageNode;
    delete_host(id: &str) -> ();
    delete_storage(id: &str) -> StorageNode;
    {
        pub mod figures {
            use super::super::{App, Caller};
            use arame_schema::api::{NodeUsage, Refusal};
            pub async fn of_host(_: &App, _: &Caller, id: &str) -> Result<NodeUsage, Refusal> {
                Err(Refusal::unknown(id))
            }
            pub async fn of_storage(_: &App, _: &Caller, id: &str) -> Result<NodeUsage, Refusal> {
                Err(Refusal::unknown(id))
            }
        }
    }
);
absent!(naming_nodes:
    list(filter: ListFilter) -> Page<NamingNode>;
    get(id: &str) -> NamingNode;
    set_scheduling(id: &str, enabled: bool) -> NamingNode;
    delete(id: &str) -> NamingNode;
);
absent!(losses:
    declare(id: &str, request: DeclareLost) -> HostLoss;
    plan(id: &str) -> HostLoss;
);
absent!(jobs: list(filter: ListFilter, thing: Option<String>) -> Page<Job>; get(id: &str) -> Job;);
absent!(audit: findings(fresh: bool) -> Vec<Finding>;);
absent!(adoption: adopt(id: &str) -> String; remove(id: &str) -> String;);
absent!(recovery: confirm() -> (););

#[path = "stub_app/events.rs"]
pub mod events;
#[path = "stub_app/joins.rs"]
pub mod joins;
