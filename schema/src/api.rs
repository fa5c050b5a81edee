//! What goes over HTTP: views in the order they are written, requests, refusals with their catalogue.
//!
//! Rule: the fields of a view stand in the original's order, ours after them, and never change their meaning: the API
//! only grows. Ids and times are texts, missing values are null. Nothing here reads a row or answers a request.

pub mod account;
pub mod audit;
pub mod backup;
pub mod catalogue;
pub mod console;
pub mod dc_network;
pub mod dns_record;
pub mod error;
pub mod event;
pub mod failure;
pub mod figures;
pub mod forecast;
pub mod health;
pub mod host_loss;
pub mod image;
pub mod instance;
pub mod instance_type;
pub mod ip_pool;
pub mod job;
pub mod join;
pub mod label;
pub mod language;
pub mod monitor;
pub mod network;
pub mod node;
pub mod node_group;
pub mod page;
pub mod placement;
pub mod refusal;
pub mod requests;
pub mod role;
pub mod route;
pub mod schedule;
pub mod security_group;
pub mod snapshot_replica;
pub mod ssh_key_pair;
pub mod timestamp;
pub mod usage;
pub mod user;
pub mod volume;
pub mod volume_snapshot;
pub mod volume_why;
pub mod why;

pub use account::{Account, AccountUsage, AskedOrDetail, AuditEntry, BulkRefusal, BulkResult, Token};
pub use audit::{Finding, FindingKind, FindingRule};
pub use backup::{
    BackUpInstance, BackUpVolume, BackupObject, BackupStorage, CopyRequested, CopyTo, CreateBackupObject,
    InstanceBackup, SetBackupStorage, StorageOfBackup, UpdateBackupObject, VolumeBackup,
};
pub use console::{ConsoleOpened, ConsoleTicket, OpenConsole};
pub use dc_network::{CreateDcNetwork, DcNetwork, OfferingModes, UpdateDcNetwork};
pub use dns_record::{CreateDnsRecord, DnsRecord};
pub use error::ErrorBody;
pub use event::Event;
pub use failure::{Failure, Progress};
pub use figures::{
    CpuUsage, DiskUsage, InstanceUsage, LoadAverage, MemoryUsage, NodeCpu, NodeDisk, NodeMemory, NodeUsage,
    NodeUsagePoint, UsagePoint, VifUsage,
};
pub use forecast::{ForecastReason, MoveForecast, MovePlan, MovedOrPlan};
pub use health::Health;
pub use host_loss::{DeclareLost, FreedVolume, HostLoss, InstanceFate, LostInstance};
pub use image::{CreateImage, Image, ImageFormat, UpdateImage};
pub use instance::{
    Instance, InstancePassword, InstanceVif, InstanceVolume, KeyOfInstance, UpdateInstance, UpdateMonitoring, VifIpv4,
};
pub use instance_type::{InstanceType, SetInstanceType};
pub use ip_pool::{
    AcquireAddress, AcquiredAddress, CreateIpPool, ExpireHandle, HandleNetwork, IpHandle, IpHandleOfLease, IpPool,
    ReleaseAddress,
};
pub use job::{Job, JobError};
pub use join::{CreateJoinToken, Invitation, Join, JoinToken, JoinTokenState, Joined, Leave, Left};
pub use label::{Label, SetLabel, SetLabels};
pub use language::{Language, Localise};
pub use monitor::{Monitor, MonitorItem, SetMonitor};
pub use network::{
    AttachVif, BindAddress, ChangeSecurityGroup, CreateNetwork, CreateVif, DhcpRange, ExternalAddress, NamingService,
    Network, NetworkRoute, NetworkService, NetworkVif, Nothing, ReserveAddresses, RouteEnd, SetNetworkService,
    UpdateNetwork,
};
pub use node::{CreateNode, HostNode, NamingNode, NodeFilter, SetNamingNode, StorageNode, UpdateNode};
pub use node_group::{CreateNodeGroup, NodeGroup, UpdateNodeGroup};
pub use page::Page;
pub use placement::{DeletePlan, HostVerdict, LaunchPlan, Placement, PlannedRefusal, QuotaEffect, RuleVerdict};
pub use refusal::{Code, Refusal};
pub use requests::{
    AttachVolume, CreateAccount, CreateInstance, CreateSecurityGroup, CreateSnapshotReplica, CreateSshKeyPair,
    CreateToken, CreateVolume, CreateVolumeSnapshot, Decide, DeleteVolume, DetachVolume, ListFilter, MoveInstance, Nil,
    PowerOff, RollBackVolume, SetScheduling, SortOrder, Span, UpdateAccount, UpdateSecurityGroup, VifRequest,
    VolumeRequest,
};
pub use role::Role;
pub use route::StaticRoute;
pub use schedule::{KeptRun, SchedulePlan, ScheduleRun, SetVolumeSchedule, StorageChoice, VolumeSchedule};
pub use security_group::{SecurityGroup, SecurityGroupRule};
pub use snapshot_replica::SnapshotReplica;
pub use ssh_key_pair::{SshKeyPair, UpdateSshKeyPair};
pub use timestamp::Timestamp;
pub use usage::{UsageInterval, UsageNowOrOverTime, UsageOverTime, UsageTotal};
pub use user::{ChangePassword, CreateSession, CreateUser, Membership, Session, UpdateUser, User, Whoami};
pub use volume::{UpdateVolume, Volume, VolumeRollback};
pub use volume_snapshot::{UpdateVolumeSnapshot, VolumeSnapshot};
pub use volume_why::{PathCondition, PathPart, VolumePathStep, VolumeWhy};
pub use why::{DhcpExchange, DhcpOption, DnsQuestion, NetworkWhy, WhyOfService};
