//! From what is known and seen to the parts of the path, in order from the guest to the disk. Pure.

use crate::db::volume_paths::{AttachedRow, PathJob, PathRow};
use arame_schema::api::{
    HostNode, PathCondition as Is, PathPart as Part, StorageNode, Timestamp, Volume, VolumePathStep,
};
use arame_schema::jobs::figures::DiskTotals;
use arame_schema::jobs::sta::path::{PathAnswer, PathPool, PathTarget};
use arame_schema::model::Fact;

pub(super) struct Known<'a> {
    pub volume: &'a Volume,
    pub row: &'a PathRow,
    pub jobs: &'a [PathJob],
    pub host: Option<&'a HostNode>,
    pub storage: &'a StorageNode,
}

/// What the host's figures say of the disk.
pub(super) enum Counted {
    NotAsked,
    /// Its latest figures have disks, and not this one.
    Missing,
    Disk(DiskTotals),
}

pub(super) fn path(known: &Known<'_>, stored: Result<PathAnswer, String>, counted: Counted) -> Vec<VolumePathStep> {
    let mut path = Vec::new();
    match &known.row.attachment {
        None => path.push(VolumePathStep::new(Part::Instance, Is::Absent, "unattached")),
        Some(open) => {
            path.push(instance(open));
            path.push(host(known.host));
            path.push(disk(known, open, counted));
        }
    }
    path.extend(work(known));
    match &stored {
        Ok(answer) => {
            path.extend(session(known, answer));
            path.push(target(known, answer));
            path.push(dataset(known, answer));
            path.extend(answer.pool.as_ref().map(pool));
        }
        Err(reason) => {
            let agent = &known.storage.node_id;
            let unknown = |part| VolumePathStep::new(part, Is::Unknown, "not_answered").with("agent", agent);
            path.extend([Part::Target, Part::Volume, Part::Pool].map(|part| unknown(part).with("reason", reason)));
        }
    }
    path.push(storage(known.storage, stored.as_ref().ok()));
    path
}

/// The trouble nearest to the disk: what lies before it follows from it.
pub(super) fn verdict(path: &[VolumePathStep], attached: bool) -> VolumePathStep {
    if let Some(worst) = path.iter().rev().find(|step| step.condition == Is::Trouble) {
        return worst.clone();
    }
    let some = |condition| path.iter().any(|step| step.condition == condition);
    let code = match attached {
        _ if some(Is::Unknown) => "path_unknown",
        _ if some(Is::Changing) => "path_changing",
        true => "path_well",
        false => "path_unused",
    };
    VolumePathStep::new(Part::Volume, Is::Well, code)
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

fn moment(seen: Option<Timestamp>) -> String {
    seen.map_or_else(|| "-".to_owned(), |at| at.to_string())
}

fn failing(step: VolumePathStep, failure: &(String, String)) -> VolumePathStep {
    step.with("failure_code", &failure.0).with("message", &failure.1)
}

fn instance(open: &AttachedRow) -> VolumePathStep {
    let step = |condition, code: &str| {
        let step = VolumePathStep::new(Part::Instance, condition, code);
        step.with("instance", &open.instance).with("state", &open.state)
    };
    match &open.failure {
        Some(failure) => failing(step(Is::Trouble, "instance_failed"), failure),
        None => step(Is::Well, "instance_state"),
    }
}

fn host(host: Option<&HostNode>) -> VolumePathStep {
    let Some(host) = host else { return VolumePathStep::new(Part::Host, Is::Changing, "host_none") };
    let (condition, code) = match host.status.as_str() {
        "online" => (Is::Well, "host_heard"),
        "lost" => (Is::Trouble, "host_lost"),
        _ => (Is::Trouble, "host_silent"),
    };
    let step = VolumePathStep::new(Part::Host, condition, code).with("host", &host.id).with("agent", &host.node_id);
    if code == "host_silent" { step.with("since", moment(host.last_seen_at)) } else { step }
}

/// Has its guest been told to run, and is it known to.
fn runs(open: &AttachedRow) -> bool {
    open.power == Fact::Yes
}

fn disk(known: &Known<'_>, open: &AttachedRow, counted: Counted) -> VolumePathStep {
    let device = known.volume.guest_device_name.as_deref().unwrap_or("-");
    let step = |condition, code: &str| VolumePathStep::new(Part::Disk, condition, code);
    match (open.wanted, open.plugged) {
        (_, Fact::Maybe) => step(Is::Changing, "disk_unsure"),
        (false, Fact::Yes) => step(Is::Changing, "disk_leaving"),
        (false, Fact::No) => step(Is::Absent, "disk_gone"),
        (true, Fact::No) if !runs(open) => step(Is::Changing, "disk_waits").with("state", &open.state),
        (true, Fact::No) if is_worked_on(known) => step(Is::Changing, "disk_unsure"),
        (true, Fact::No) => step(Is::Trouble, "disk_missing"),
        (true, Fact::Yes) => match counted {
            Counted::Missing => step(Is::Unknown, "disk_uncounted").with("device", device),
            Counted::NotAsked => step(Is::Well, "disk_plugged").with("device", device),
            Counted::Disk(totals) => {
                let step = step(Is::Well, "disk_counted").with("device", device).with("reads", totals.reads);
                let step = step.with("read_mib", mib(totals.read_bytes)).with("writes", totals.writes);
                step.with("written_mib", mib(totals.written_bytes))
            }
        },
    }
}

fn is_worked_on(known: &Known<'_>) -> bool {
    !known.jobs.is_empty()
}

/// What is being done to it: every open job, and why the attachment is as it is.
fn work(known: &Known<'_>) -> Vec<VolumePathStep> {
    let mut found: Vec<VolumePathStep> = known.jobs.iter().map(job).collect();
    let Some(open) = &known.row.attachment else { return found };
    let said = match (open.fencing, open.forced) {
        (true, _) => Some("attachment_fencing"),
        (false, true) => Some("attachment_forced"),
        (false, false) => None,
    };
    found.extend(said.map(|code| VolumePathStep::new(Part::Attachment, Is::Changing, code)));
    if found.is_empty() {
        let settled = VolumePathStep::new(Part::Attachment, Is::Well, "attachment_settled");
        found.push(settled.with("attachment", &open.id).with("epoch", open.epoch));
    }
    found
}

fn job(job: &PathJob) -> VolumePathStep {
    let step = |condition, code: &str| {
        let step = VolumePathStep::new(Part::Attachment, condition, code);
        step.with("kind", &job.kind).with("agent", &job.agent).with("attempt", job.attempt)
    };
    match &job.failure {
        Some(failure) => failing(step(Is::Trouble, "job_fails"), failure),
        None => step(Is::Changing, "job_open").with("since", job.since),
    }
}

/// The target of the open attachment, as it is seen.
fn own<'a>(known: &Known<'_>, answer: &'a PathAnswer) -> Option<&'a PathTarget> {
    let open = known.row.attachment.as_ref()?;
    answer.targets.iter().find(|target| target.attachment.as_str() == open.id && target.epoch == open.epoch)
}

/// Who is logged in. Nothing where the targets could not be looked at: that is said once, at the target.
fn session(known: &Known<'_>, answer: &PathAnswer) -> Option<VolumePathStep> {
    let open = known.row.attachment.as_ref().filter(|_| answer.export_trouble.is_none())?;
    let step = |condition, code: &str| VolumePathStep::new(Part::Session, condition, code);
    let initiator = open.initiator.as_deref().unwrap_or("-");
    let sessions = || answer.targets.iter().flat_map(|target| &target.sessions);
    if let Some(stranger) = sessions().find(|session| *session != initiator) {
        return Some(step(Is::Trouble, "session_foreign").with("initiator", stranger));
    }
    let portal = &answer.portal;
    let is_due = runs(open) && open.plugged == Fact::Yes && open.wanted;
    Some(match own(known, answer).is_some_and(|target| !target.sessions.is_empty()) {
        true => step(Is::Well, "session_up").with("initiator", initiator).with("portal", portal),
        // A simulated target has no sessions to count.
        false if is_due && answer.export != "sim" => step(Is::Trouble, "session_none").with("portal", portal),
        false => step(Is::Absent, "session_idle"),
    })
}

fn target(known: &Known<'_>, answer: &PathAnswer) -> VolumePathStep {
    let step =
        |condition, code: &str| VolumePathStep::new(Part::Target, condition, code).with("export", &answer.export);
    if let Some(reason) = &answer.export_trouble {
        return step(Is::Trouble, "export_unavailable").with("reason", reason);
    }
    let any = answer.targets.first();
    let is_wanted = known.row.attachment.as_ref().is_some_and(|open| open.wanted && open.host.is_some());
    match (own(known, answer), any) {
        (Some(target), _) if target.whole => {
            step(Is::Well, "target_whole").with("iqn", &target.iqn).with("portal", &answer.portal)
        }
        (Some(target), _) => {
            let condition = if is_worked_on(known) { Is::Changing } else { Is::Trouble };
            step(condition, "target_half").with("iqn", &target.iqn)
        }
        (None, _) if is_wanted && is_worked_on(known) => step(Is::Changing, "target_missing"),
        (None, Some(target)) if is_wanted => step(Is::Trouble, "target_older").with("iqn", &target.iqn),
        (None, None) if is_wanted => step(Is::Trouble, "target_missing"),
        (None, Some(target)) => step(Is::Changing, "target_left").with("iqn", &target.iqn),
        (None, None) => step(Is::Absent, "target_not_wanted"),
    }
}

fn dataset(known: &Known<'_>, answer: &PathAnswer) -> VolumePathStep {
    let step = |condition, code: &str| VolumePathStep::new(Part::Volume, condition, code);
    if let Some(reason) = &answer.store_trouble {
        return step(Is::Trouble, "store_unavailable").with("reason", reason);
    }
    match &answer.volume {
        Some(found) => match found.owner.as_deref() {
            Some(owner) if owner == known.volume.id => {
                step(Is::Well, "volume_there").with("path", &found.path).with("size_mib", mib(found.size_bytes))
            }
            owner => {
                let foreign = step(Is::Trouble, "volume_foreign").with("path", &found.path);
                foreign.with("owner", owner.unwrap_or("-"))
            }
        },
        None if known.row.was_present => step(Is::Trouble, "volume_missing"),
        None => step(Is::Changing, "volume_not_yet"),
    }
}

fn pool(pool: &PathPool) -> VolumePathStep {
    let step = |condition, code: &str| {
        let step = VolumePathStep::new(Part::Pool, condition, code).with("pool", &pool.name);
        step.with("free_mib", mib(pool.free_bytes)).with("total_mib", mib(pool.total_bytes))
    };
    let note = pool.note.as_deref().unwrap_or_default();
    match pool.health.as_deref() {
        Some(health) if health != "ONLINE" || !note.is_empty() => {
            step(Is::Trouble, "pool_ill").with("health", health).with("note", note)
        }
        _ if pool.total_bytes > 0 && pool.free_bytes < pool.kept_bytes => {
            step(Is::Trouble, "pool_full").with("kept_mib", mib(pool.kept_bytes))
        }
        Some(health) => {
            let scan = pool.scan.as_deref().unwrap_or_default();
            step(Is::Well, "pool_healthy").with("health", health).with("scan", scan)
        }
        None => step(Is::Well, "pool_well"),
    }
}

/// `answer`: what else is wrong there is told by its own part already.
fn storage(node: &StorageNode, answer: Option<&PathAnswer>) -> VolumePathStep {
    let step = |condition, code: &str| {
        let step = VolumePathStep::new(Part::StorageNode, condition, code);
        step.with("storage", &node.id).with("agent", &node.node_id)
    };
    let told = answer.is_some_and(|answer| {
        answer.store_trouble.is_some()
            || answer.export_trouble.is_some()
            || answer.pool.as_ref().is_some_and(|its| pool(its).condition == Is::Trouble)
    });
    match (node.status.as_str(), &node.degraded) {
        ("online", Some(reason)) if !told => step(Is::Trouble, "storage_degraded").with("reason", reason),
        ("online", _) if !node.scheduling_enabled => step(Is::Well, "storage_cordoned"),
        ("online", _) => step(Is::Well, "storage_heard"),
        _ => step(Is::Trouble, "storage_silent").with("since", moment(node.last_seen_at)),
    }
}

#[cfg(test)]
mod tests;
