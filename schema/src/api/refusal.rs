//! Refusals: a code, and the values its sentences speak of. The catalogue has the words, in both languages.
//!
//! Rule: a refusal changes nothing. Values are texts of the request or of rows, never secrets.

use std::collections::BTreeMap;

/// Every reason for which a request is refused or work fails. In braces: the values its sentences speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    Unauthenticated,
    NotPermitted,
    /// `{account}`: the credential may not act for it.
    AccountNotPermitted,
    /// `{account}`
    DisabledAccount,
    /// What is to be made needs an account, and the credential acts for all.
    AccountNeeded,
    /// `{id}`
    UnknownResource,
    /// `{name}`, `{value}`, `{expected}`: a form that needs no translation: `1..128`, `nw-…`, `true | false`.
    InvalidParameter,
    /// `{name}`
    MissingParameter,
    /// `{name}`
    UnknownParameter,
    /// `{reason}`
    InvalidBody,
    /// `{limit}`: bytes.
    TooLarge,
    /// `{method}`, `{path}`
    UnknownRoute,
    /// `{method}`, `{path}`
    MethodNotAllowed,
    /// The detail is the [`crate::api::Placement`]; its smallest change becomes the next step.
    OutOfHostCapacity,
    /// `{network}`
    OutOfNetworkCapacity,
    /// `{needed}`: with its unit.
    OutOfStorageCapacity,
    /// `{quota}`, `{limit}`, `{used}`
    ExceedQuota,
    /// `{hostname}`
    DuplicateHostname,
    /// `{address}`
    DuplicateAddress,
    /// `{mac}`
    DuplicateMacAddress,
    /// `{address}`, `{network}`
    AddressNotInNetwork,
    /// `{id}`, `{state}`, `{needed}`
    InvalidInstanceState,
    /// `{id}`, `{host}`: it is brought to that host; nothing else is done with it until that has ended.
    InstanceMigrating,
    /// `{id}`, `{volumes}`: it cannot be moved with them.
    InstanceHasVolumes,
    /// `{host}`: its agent does not take or send running machines.
    HostCannotMove,
    /// `{host}`: its agent makes no copies of machines' disks.
    HostMakesNoImages,
    /// `{id}`, `{state}`, `{needed}`
    InvalidVolumeState,
    /// `{id}`, `{state}`
    InvalidImageState,
    /// `{id}`, `{reason}`: its bytes did not come whole, or are not let in. It waits for them still.
    UploadFailed,
    /// `{line}`, `{text}`, `{reason}`
    InvalidSecurityGroupRule,
    /// `{reason}`
    InvalidPublicKey,
    /// `{id}`
    AlreadyExists,
    /// `{id}`, `{by}`
    ResourceInUse,
    /// `{id}`, `{instance}`
    VolumeAttached,
    /// `{id}`
    VolumeNotAttached,
    /// `{id}`, `{instance}`: it cannot be rolled back while somebody may write to it.
    VolumeInUse,
    /// `{id}`, `{snapshots}`
    VolumeHasSnapshots,
    /// `{id}`, `{snapshot}`, `{newer}`
    NewerSnapshots,
    /// `{id}`, `{snapshot}`, `{volumes}`: they were made from newer snapshots, which stay in the store with them.
    NewerSnapshotsUsed,
    /// `{id}`, `{state}`, `{needed}`
    InvalidSnapshotState,
    /// `{id}`, `{state}`, `{needed}`
    InvalidBackupState,
    /// `{id}`, `{node}`, `{storages}`: nothing carries a backup from where the volume is to where it was asked for.
    BackupStorageNotReached,
    /// `{key}`
    IdempotencyConflict,
    /// `{id}`: made by an earlier request with the same Idempotency-Key, whose answer is not known any more.
    Repeated,
    /// `{seconds}`: failed sign-ins or credentials, too many from one address or for one name.
    TooManyFailures,
    /// Name and password do not belong together.
    SignInFailed,
    /// `{etag}`: what was changed by somebody else since.
    Changed,
    /// `{reason}`: the listener for old clients does not take it.
    CompatRefused,
    /// `{what}`: `database`, `broker`, an agent's id.
    Unavailable,
    /// `{host}` (or a storage node), `{since}`: it is asked live and has not been heard since then.
    HostSilent,
    /// `{host}`: it is asked live, and its agent never joined.
    NeverHeard,
    /// `{host}`: it is heard, and so is not lost.
    HostHeard,
    /// `{id}`, `{host}`: the host was declared lost; nothing but a deletion is asked of its machines.
    HostLost,
    /// dcmgr has no settings by which machines could join.
    JoinNotOffered,
    /// No join token has this secret.
    JoinTokenUnknown,
    /// `{id}`, `{at}`: by another machine.
    JoinTokenUsed,
    /// `{id}`, `{at}`
    JoinTokenExpired,
    /// `{id}`, `{at}`
    JoinTokenRevoked,
    /// `{agent}`: a machine of this name is part of the data center.
    AgentHasJoined,
    /// `{id}`, `{by}`, `{command}`: what is on it, and what takes it away.
    NodeNotEmpty,
    /// `{id}`, `{instance}`: its guest does not let it go; only force takes it away.
    GuestHoldsVolume,
    /// The database lost its memory and the operator has not confirmed yet.
    Recovering,
    /// `{id}`
    NotAdoptable,
    /// `{id}`: a ticket that nobody made for it, or that was used before.
    TicketUsed,
    /// `{id}`
    TicketTooOld,
    /// `{id}`: another viewer has its console.
    ConsoleInUse,
    /// `{id}`: it was started by a version that gave it none.
    NoConsole,
    /// `{origin}`: pages from there may not open consoles.
    OriginRefused,
    /// `{what}`: the verb, or the part of it, that no agent can do yet.
    NotImplemented,
    /// `{id}`
    UnknownDcNetwork,
    /// `{id}`, `{mode}`
    DcNetworkNotPermitted,
    /// `{id}`
    NetworkNotEditable,
    /// `{id}`
    NoPassword,
    /// `{id}`, `{name}`
    UnknownLabel,
    /// `{id}`, `{network}`
    VifAttached,
    /// `{id}`, `{network}`
    VifNotAttached,
    /// `{id}`, `{group}`
    AlreadyInGroup,
    /// `{id}`, `{group}`
    NotInGroup,
    /// `{id}`: a dc network.
    OutOfSegments,
    /// `{id}`, `{by}`
    IpHandleInUse,
    /// `{id}`
    NoWayOut,
    /// `{id}`, `{network}`, `{outside}`
    AddressNotOutside,
    /// `{id}`, `{pool}`
    NetworkNotInDcNetwork,
    /// `{name}`
    NameTaken,
    /// `{id}`, `{what}`, `{limit}`
    TooMany,
    /// `{name}`, `{kind}`, `{other}`
    RecordConflict,
    /// `{name}`, `{chain}`
    RecordLoop,
    /// `{name}`, `{address}`
    NameOfExternalAddress,
    /// `{request}`: filled by the http layer.
    Internal,
}

impl Code {
    pub const ALL: [Code; 89] = [
        Code::Unauthenticated,
        Code::NotPermitted,
        Code::AccountNotPermitted,
        Code::DisabledAccount,
        Code::AccountNeeded,
        Code::UnknownResource,
        Code::InvalidParameter,
        Code::MissingParameter,
        Code::UnknownParameter,
        Code::InvalidBody,
        Code::TooLarge,
        Code::UnknownRoute,
        Code::MethodNotAllowed,
        Code::OutOfHostCapacity,
        Code::OutOfNetworkCapacity,
        Code::OutOfStorageCapacity,
        Code::ExceedQuota,
        Code::DuplicateHostname,
        Code::DuplicateAddress,
        Code::DuplicateMacAddress,
        Code::AddressNotInNetwork,
        Code::InvalidInstanceState,
        Code::InstanceMigrating,
        Code::InstanceHasVolumes,
        Code::HostCannotMove,
        Code::HostMakesNoImages,
        Code::InvalidVolumeState,
        Code::InvalidImageState,
        Code::UploadFailed,
        Code::InvalidSecurityGroupRule,
        Code::InvalidPublicKey,
        Code::AlreadyExists,
        Code::ResourceInUse,
        Code::VolumeAttached,
        Code::VolumeNotAttached,
        Code::VolumeInUse,
        Code::VolumeHasSnapshots,
        Code::NewerSnapshots,
        Code::NewerSnapshotsUsed,
        Code::InvalidSnapshotState,
        Code::InvalidBackupState,
        Code::BackupStorageNotReached,
        Code::IdempotencyConflict,
        Code::Repeated,
        Code::TooManyFailures,
        Code::SignInFailed,
        Code::Changed,
        Code::CompatRefused,
        Code::Unavailable,
        Code::HostSilent,
        Code::NeverHeard,
        Code::HostHeard,
        Code::HostLost,
        Code::JoinNotOffered,
        Code::JoinTokenUnknown,
        Code::JoinTokenUsed,
        Code::JoinTokenExpired,
        Code::JoinTokenRevoked,
        Code::AgentHasJoined,
        Code::NodeNotEmpty,
        Code::GuestHoldsVolume,
        Code::Recovering,
        Code::NotAdoptable,
        Code::TicketUsed,
        Code::TicketTooOld,
        Code::ConsoleInUse,
        Code::NoConsole,
        Code::OriginRefused,
        Code::NotImplemented,
        Code::UnknownDcNetwork,
        Code::DcNetworkNotPermitted,
        Code::NetworkNotEditable,
        Code::NoPassword,
        Code::UnknownLabel,
        Code::VifAttached,
        Code::VifNotAttached,
        Code::AlreadyInGroup,
        Code::NotInGroup,
        Code::OutOfSegments,
        Code::IpHandleInUse,
        Code::NoWayOut,
        Code::AddressNotOutside,
        Code::NetworkNotInDcNetwork,
        Code::NameTaken,
        Code::TooMany,
        Code::RecordConflict,
        Code::RecordLoop,
        Code::NameOfExternalAddress,
        Code::Internal,
    ];
}

/// A refusal on its way to the user. Values fill the `{name}` places of the catalogue's sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    pub values: BTreeMap<&'static str, String>,
    /// Machine-readable extra, such as the placement's verdicts per host.
    pub detail: Option<Box<serde_json::Value>>,
}

impl Refusal {
    pub fn new(code: Code) -> Self {
        Self { code, values: BTreeMap::new(), detail: None }
    }

    /// The resource is not there, or is another account's, which is the same answer.
    pub fn unknown(id: impl ToString) -> Self {
        Self::new(Code::UnknownResource).with("id", id)
    }

    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.values.insert(name, value.to_string());
        self
    }

    pub fn with_detail(mut self, detail: serde_json::Value) -> Self {
        self.detail = Some(Box::new(detail));
        self
    }
}
