//! The walks of the plans: one model each, of the rows as dcmgr keeps them and of the world as it is.
//!
//! Rules: a model's world imports nothing of a plan but its types; it is the agent, not the planner. What dcmgr writes
//! around a plan (maybe first, generations, attempts, leaving a host) is modelled as `app` does it, and a sabotage is one
//! rule left out: its walk must find a wrong history, else the rule is not proved. Time is left out: a deadline is a
//! trouble that can come at any moment.

mod backup;
mod capture;
mod image;
mod instance;
mod interface;
mod loss;
mod meeting;
mod migration;
mod moving;
mod naming;
mod replica;
mod rollback;
mod snapshot;
mod volume;
mod volume_snapshot;

use arame_schema::model::Fact;

/// One rule left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sabotage {
    None,
    /// The transaction that queues a job does not write maybe.
    DropMaybe,
    /// The agent does a job that is older than the thing it finds, or than the thing's grave.
    SkipGenerationCheck,
    /// The outcome of a superseded or lost job settles facts.
    SettleLateOutcome,
    /// A newer wish queues its job and leaves the older one open.
    ForgetToSupersede,
    /// What an incomplete listing does not name is taken as absent.
    ConcludeFromIncompleteListing,
    /// A host is left because nothing was seen there, without a delete that forbids what is still on its way.
    LeaveHostWithoutDelete,
    /// A failure is forgotten without a new generation: what was on its way before still counts.
    ForgetFailureInPlace,
    /// An export is removed although its plug may exist.
    UnexportUnderPlug,
    /// An export is removed because it was asked for by force, although its plug may exist.
    UnexportByForce,
    /// The job that is to take a held disk away does not say so.
    ForgetForce,
    /// A disk is put into a domain's spec although its export does not surely stand.
    PlugWithoutExport,
    /// A domain counts as current by its generation alone, whatever is plugged.
    ForgetDisks,
    /// That no plug was seen is believed although the host does not carry the wish without it.
    BelieveOlderLook,
    /// A reboot is asked for without a new generation.
    RebootInPlace,
    /// The copy of a machine's disk counts as gone because none was seen, without a removal that forbids one still on its way.
    EndWithoutDrop,
    /// An attachment ends because no export was seen, without a removal that forbids one still on its way.
    EndWithoutUnexport,
    /// Something that held data and is missing is made again.
    CreateAgain,
    /// A thing is deleted although an attachment of it is open.
    DeleteWhileAttached,
    /// A volume is deleted although it has snapshots.
    DeleteUnderSnapshots,
    /// A snapshot is deleted although a volume is being made of it.
    DeleteUnderClone,
    /// A snapshot is deleted although another storage node receives it.
    DeleteUnderReader,
    /// That a snapshot is offered is believed although it was not sent.
    BelieveAnOldOffer,
    /// A snapshot that waits with its end is not looked at when what it waited for is over.
    ForgetWhoWaits,
    /// The agent rolls back again although the volume carries the operation.
    IgnoreOperation,
    /// A rollback that is given up frees the volume at once, without a mark that forbids what is still on its way.
    ReleaseWithoutMark,
    /// A rollback that was refused is asked for again above what was found.
    PlanAtNewGeneration,
    /// A volume is attached although its rollback is open.
    AttachWhileReverting,
    /// The agent rolls back what is exported.
    RollBackInUse,
    /// A launch waits for every nsa instead of one.
    WaitForEveryNsa,
    /// A snapshot on its way is superseded by each newer version.
    SupersedeSnapshots,
    /// A guest that waits elsewhere is taken as absent when it is only not heard.
    ResumeWhileMaybe,
    /// The waiting guest is removed before the sender is told that it keeps its guest.
    RemoveBeforeKeep,
    /// A host is given disks while it may still do what is older than the wish.
    AttachWithoutClearing,
    /// An image is asked for before anybody brings its bytes.
    ImportBeforeOffer,
    /// What comes to wait on a host after its move had ended is not looked at.
    LeaveStrays,
    /// A send that has to be finished makes its sender maybe, although that gave the guest away.
    ForgetWhoGaveAway,
    /// A running guest gets an interface before its port's rules stand.
    PlugBeforePort,
    /// A naming service is withdrawn before another one answered that it serves.
    WithdrawBeforeServed,
    /// A network is given to a naming service, or to another gateway, without a new version.
    PlaceAtOldVersion,
    /// A gateway stays where nobody is heard.
    KeepDeadGateway,
    /// A fence is believed before it is proved.
    BelieveUnprovedFence,
    /// A machine of a lost host starts elsewhere before its volumes are fenced.
    StartBeforeProof,
    /// A proof of an older export counts for the one that was made after it.
    BelieveOlderProof,
    /// A lost host that is heard again is a host like any other at once.
    BelieveAReturnAtOnce,
}

fn seen(is_so: bool) -> Fact {
    if is_so { Fact::Yes } else { Fact::No }
}

/// Whether a fact says surely what is not so.
fn is_false(fact: Fact, is_so: bool) -> bool {
    match fact {
        Fact::Yes => !is_so,
        Fact::No => is_so,
        Fact::Maybe => false,
    }
}
