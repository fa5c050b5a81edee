//! Jobs as plans see them, and what to do about one that is already open.

use std::fmt;

/// Every kind of job, without its body: the body is made when the job is rung (spec/decisions/0002).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    ApplyInstance,
    DeleteInstance,
    RebootInstance,
    ObserveInstance,
    ReceiveInstance,
    SendInstance,
    KeepInstance,
    ResumeInstance,
    TakeCapture,
    DropCapture,
    ApplyPolicy,
    ImportImage,
    DeleteImage,
    CreateVolume,
    DeleteVolume,
    ObserveVolume,
    ExportVolume,
    UnexportVolume,
    FenceVolume,
    MarkVolume,
    RollBackVolume,
    CreateSnapshot,
    DeleteSnapshot,
    ObserveSnapshot,
    OfferSnapshot,
    ReceiveReplica,
    DeleteReplica,
    ObserveReplica,
    SnapshotBackup,
    WriteBackup,
    DropBackup,
    DeleteBackup,
    ObserveBackup,
    ApplyNetwork,
    DeleteNetwork,
}

/// What a kind of job is about: whose generation it carries, whose lock it needs, who advances after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    Instance,
    /// A host's policy.
    Policy,
    Image,
    Volume,
    /// An attachment, which has the export.
    Attachment,
    VolumeSnapshot,
    /// A copy of a snapshot on another storage node.
    Replica,
    Backup,
    Network,
}

impl Kind {
    pub const ALL: [Kind; 35] = [
        Kind::ApplyInstance,
        Kind::DeleteInstance,
        Kind::RebootInstance,
        Kind::ObserveInstance,
        Kind::ReceiveInstance,
        Kind::SendInstance,
        Kind::KeepInstance,
        Kind::ResumeInstance,
        Kind::TakeCapture,
        Kind::DropCapture,
        Kind::ApplyPolicy,
        Kind::ImportImage,
        Kind::DeleteImage,
        Kind::CreateVolume,
        Kind::DeleteVolume,
        Kind::ObserveVolume,
        Kind::ExportVolume,
        Kind::UnexportVolume,
        Kind::FenceVolume,
        Kind::MarkVolume,
        Kind::RollBackVolume,
        Kind::CreateSnapshot,
        Kind::DeleteSnapshot,
        Kind::ObserveSnapshot,
        Kind::OfferSnapshot,
        Kind::ReceiveReplica,
        Kind::DeleteReplica,
        Kind::ObserveReplica,
        Kind::SnapshotBackup,
        Kind::WriteBackup,
        Kind::DropBackup,
        Kind::DeleteBackup,
        Kind::ObserveBackup,
        Kind::ApplyNetwork,
        Kind::DeleteNetwork,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::ApplyInstance => "hva.instance.apply",
            Kind::DeleteInstance => "hva.instance.delete",
            Kind::RebootInstance => "hva.instance.reboot",
            Kind::ObserveInstance => "hva.instance.observe",
            Kind::ReceiveInstance => "hva.instance.receive",
            Kind::SendInstance => "hva.instance.send",
            Kind::KeepInstance => "hva.instance.keep",
            Kind::ResumeInstance => "hva.instance.resume",
            Kind::TakeCapture => "hva.capture.take",
            Kind::DropCapture => "hva.capture.drop",
            Kind::ApplyPolicy => "hva.policy.apply",
            Kind::ImportImage => "sta.image.import",
            Kind::DeleteImage => "sta.image.delete",
            Kind::CreateVolume => "sta.volume.create",
            Kind::DeleteVolume => "sta.volume.delete",
            Kind::ObserveVolume => "sta.volume.observe",
            Kind::ExportVolume => "sta.volume.export",
            Kind::UnexportVolume => "sta.volume.unexport",
            Kind::FenceVolume => "sta.volume.fence",
            Kind::MarkVolume => "sta.volume.mark",
            Kind::RollBackVolume => "sta.volume.rollback",
            Kind::CreateSnapshot => "sta.snapshot.create",
            Kind::DeleteSnapshot => "sta.snapshot.delete",
            Kind::ObserveSnapshot => "sta.snapshot.observe",
            Kind::OfferSnapshot => "sta.snapshot.offer",
            Kind::ReceiveReplica => "sta.replica.receive",
            Kind::DeleteReplica => "sta.replica.delete",
            Kind::ObserveReplica => "sta.replica.observe",
            Kind::SnapshotBackup => "sta.backup.snapshot",
            Kind::WriteBackup => "sta.backup.write",
            Kind::DropBackup => "sta.backup.drop",
            Kind::DeleteBackup => "sta.backup.delete",
            Kind::ObserveBackup => "sta.backup.observe",
            Kind::ApplyNetwork => "nsa.network.apply",
            Kind::DeleteNetwork => "nsa.network.delete",
        }
    }

    pub fn parse(text: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    pub fn subject(self) -> Subject {
        match self {
            Kind::ApplyInstance
            | Kind::DeleteInstance
            | Kind::RebootInstance
            | Kind::ObserveInstance
            | Kind::ReceiveInstance
            | Kind::SendInstance
            | Kind::KeepInstance
            | Kind::ResumeInstance => Subject::Instance,
            Kind::ApplyPolicy => Subject::Policy,
            Kind::ImportImage | Kind::DeleteImage | Kind::TakeCapture | Kind::DropCapture => Subject::Image,
            Kind::CreateVolume | Kind::DeleteVolume | Kind::ObserveVolume | Kind::MarkVolume | Kind::RollBackVolume => {
                Subject::Volume
            }
            Kind::ExportVolume | Kind::UnexportVolume | Kind::FenceVolume => Subject::Attachment,
            Kind::CreateSnapshot | Kind::DeleteSnapshot | Kind::ObserveSnapshot | Kind::OfferSnapshot => {
                Subject::VolumeSnapshot
            }
            Kind::ReceiveReplica | Kind::DeleteReplica | Kind::ObserveReplica => Subject::Replica,
            Kind::SnapshotBackup | Kind::WriteBackup | Kind::DropBackup | Kind::DeleteBackup | Kind::ObserveBackup => {
                Subject::Backup
            }
            Kind::ApplyNetwork | Kind::DeleteNetwork => Subject::Network,
        }
    }

    /// Deletes never give up, they alert (DESIGN 3.10).
    pub fn never_gives_up(self) -> bool {
        match self {
            Kind::DeleteInstance
            | Kind::DropCapture
            | Kind::DeleteImage
            | Kind::DeleteVolume
            | Kind::UnexportVolume
            | Kind::FenceVolume
            | Kind::DeleteNetwork
            | Kind::ApplyNetwork
            | Kind::ApplyPolicy
            | Kind::ObserveInstance
            | Kind::KeepInstance
            | Kind::ResumeInstance
            | Kind::ObserveVolume
            | Kind::MarkVolume
            | Kind::DeleteSnapshot
            | Kind::ObserveSnapshot
            | Kind::OfferSnapshot
            | Kind::DeleteReplica
            | Kind::ObserveReplica
            | Kind::DropBackup
            | Kind::DeleteBackup
            | Kind::ObserveBackup => true,
            Kind::ApplyInstance
            | Kind::RebootInstance
            | Kind::ReceiveInstance
            | Kind::SendInstance
            | Kind::TakeCapture
            | Kind::ImportImage
            | Kind::CreateVolume
            | Kind::RollBackVolume
            | Kind::CreateSnapshot
            | Kind::ReceiveReplica
            | Kind::SnapshotBackup
            | Kind::WriteBackup
            | Kind::ExportVolume => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The job a plan wants to be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wanted {
    pub kind: Kind,
    pub generation: u64,
}

/// The job that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Open {
    pub kind: Kind,
    pub generation: u64,
}

/// What to do with the one open job of a (thing, agent).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    Nothing,
    /// Queue it.
    Insert(Wanted),
    /// Close the open one `superseded` (its facts stay maybe) and queue this one, in one transaction.
    Supersede(Wanted),
}

/// Compares what is wanted with what is open.
///
/// Snapshots (a network's, a host's policy) are never superseded: their body is made when they are rung, so an open
/// one carries the newest version there is or is followed by one that does; superseding would let a steady stream of
/// changes starve every outcome. An observation never displaces a job that will be answered anyway.
pub fn step(open: Option<Open>, wanted: Option<Wanted>) -> Step {
    match (open, wanted) {
        (_, None) => Step::Nothing,
        (None, Some(wanted)) => Step::Insert(wanted),
        (Some(open), Some(wanted)) if open.kind == wanted.kind && open.generation >= wanted.generation => Step::Nothing,
        (Some(_), Some(wanted)) => match wanted.kind {
            Kind::ApplyPolicy
            | Kind::ApplyNetwork
            | Kind::ObserveInstance
            | Kind::ObserveVolume
            | Kind::ObserveSnapshot
            | Kind::ObserveReplica
            | Kind::ObserveBackup => Step::Nothing,
            Kind::ApplyInstance
            | Kind::DeleteInstance
            | Kind::RebootInstance
            | Kind::ReceiveInstance
            | Kind::SendInstance
            | Kind::KeepInstance
            | Kind::ResumeInstance
            | Kind::TakeCapture
            | Kind::DropCapture
            | Kind::ImportImage
            | Kind::DeleteImage
            | Kind::CreateVolume
            | Kind::DeleteVolume
            | Kind::ExportVolume
            | Kind::UnexportVolume
            | Kind::FenceVolume
            | Kind::MarkVolume
            | Kind::RollBackVolume
            | Kind::CreateSnapshot
            | Kind::DeleteSnapshot
            | Kind::OfferSnapshot
            | Kind::ReceiveReplica
            | Kind::DeleteReplica
            | Kind::SnapshotBackup
            | Kind::WriteBackup
            | Kind::DropBackup
            | Kind::DeleteBackup
            | Kind::DeleteNetwork => Step::Supersede(wanted),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_are_those_of_the_wire() {
        let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        // A network is planned once, however it is sent: whole or by what changed.
        let is_planned = |kind: &&str| *kind != "nsa.network.change";
        let mut wire: Vec<&str> = arame_schema::jobs::Job::KINDS.into_iter().filter(is_planned).collect();
        wire.sort_unstable();
        let mut ours = kinds.clone();
        ours.sort_unstable();
        assert_eq!(ours, wire);
    }

    #[test]
    fn a_stream_of_versions_never_supersedes_a_snapshot_on_its_way() {
        let open = Some(Open { kind: Kind::ApplyNetwork, generation: 5 });
        let wanted = Some(Wanted { kind: Kind::ApplyNetwork, generation: 9 });
        assert_eq!(step(open, wanted), Step::Nothing);
    }

    #[test]
    fn a_delete_supersedes_whatever_is_open() {
        let open = Some(Open { kind: Kind::ApplyInstance, generation: 1 });
        let wanted = Wanted { kind: Kind::DeleteInstance, generation: 2 };
        assert_eq!(step(open, Some(wanted)), Step::Supersede(wanted));
    }
}
