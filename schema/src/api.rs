//! What goes over HTTP: views in the order they are written, requests, refusals with their catalogue.
//!
//! Rule: the fields of a view stand in the original's order, ours after them, and never change their meaning: the API
//! only grows. Ids and times are texts, missing values are null. Nothing here reads a row or answers a request.

pub mod account;
pub mod audit;
pub mod catalogue;
pub mod error;
pub mod event;
pub mod failure;
pub mod health;
pub mod image;
pub mod instance;
pub mod instance_type;
pub mod job;
pub mod language;
pub mod network;
pub mod node;
pub mod page;
pub mod placement;
pub mod refusal;
pub mod requests;
pub mod role;
pub mod security_group;
pub mod ssh_key_pair;
pub mod timestamp;
pub mod user;
pub mod volume;
pub mod volume_snapshot;

pub use account::{Account, AccountUsage, AuditEntry, Token};
pub use audit::{Finding, FindingKind, FindingRule};
pub use error::ErrorBody;
pub use event::Event;
pub use failure::{Failure, Progress};
pub use health::Health;
pub use image::Image;
pub use instance::{Instance, InstanceVif, InstanceVolume, KeyOfInstance, VifIpv4};
pub use instance_type::InstanceType;
pub use job::{Job, JobError};
pub use language::{Language, Localise};
pub use network::{DcNetwork, Network, NetworkService, NetworkVif};
pub use node::{HostNode, StorageNode};
pub use page::Page;
pub use placement::{DeletePlan, HostVerdict, LaunchPlan, Placement, PlannedRefusal, QuotaEffect, RuleVerdict};
pub use refusal::{Code, Refusal};
pub use requests::{
    AttachVolume, CreateAccount, CreateInstance, CreateSecurityGroup, CreateSshKeyPair, CreateToken, CreateVolume,
    CreateVolumeSnapshot, Decide, DeleteVolume, ListFilter, MoveInstance, PowerOff, RollBackVolume, SetScheduling,
    SortOrder, UpdateAccount, UpdateSecurityGroup, VifRequest,
};
pub use role::Role;
pub use security_group::{SecurityGroup, SecurityGroupRule};
pub use ssh_key_pair::SshKeyPair;
pub use timestamp::Timestamp;
pub use user::{ChangePassword, CreateSession, CreateUser, Membership, Session, UpdateUser, User, Whoami};
pub use volume::{Volume, VolumeRollback};
pub use volume_snapshot::VolumeSnapshot;
