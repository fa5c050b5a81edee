//! One verb on everything an account has of a kind, as the original's accounts had it.
//!
//! Rule: each thing is asked by a change of its own, as if it were asked alone: what refuses stays as it is and says why,
//! and does not keep the others. Nothing is asked that has the wish already.

use super::super::{App, AppError, Caller, backups, instances, security_groups, ssh_key_pairs, volumes};
use crate::db;
use crate::db::accounts::Things;
use arame_schema::api::{BulkRefusal, BulkResult, Code, DeleteVolume, Refusal, catalogue};
use arame_schema::model::instance::Shutdown;

/// Things that one call asks: each is a transaction, and a request has thirty seconds.
pub const ASKED_MAX: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    PowerOff(Shutdown),
    PowerOn,
    DeleteInstances,
    DeleteVolumes(DeleteVolume),
    DeleteSecurityGroups,
    DeleteSshKeyPairs(Force),
    DeleteBackupObjects,
}

/// Whether keys go that live instances have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    No,
    Yes,
}

impl Verb {
    /// Of the audit log.
    fn as_str(self) -> &'static str {
        match self {
            Verb::PowerOff(_) => "account.instances.poweroff",
            Verb::PowerOn => "account.instances.poweron",
            Verb::DeleteInstances => "account.instances.delete",
            Verb::DeleteVolumes(_) => "account.volumes.delete",
            Verb::DeleteSecurityGroups => "account.security_groups.delete",
            Verb::DeleteSshKeyPairs(_) => "account.ssh_key_pairs.delete",
            Verb::DeleteBackupObjects => "account.backup_objects.delete",
        }
    }

    /// What it is about and does not wish it yet.
    fn things(self) -> Things {
        match self {
            Verb::PowerOff(_) => Things::InstancesOn,
            Verb::PowerOn => Things::InstancesOff,
            Verb::DeleteInstances => Things::Instances,
            Verb::DeleteVolumes(_) => Things::Volumes,
            Verb::DeleteSecurityGroups => Things::SecurityGroups,
            Verb::DeleteSshKeyPairs(_) => Things::SshKeyPairs,
            Verb::DeleteBackupObjects => Things::BackupObjects,
        }
    }
}

/// Asks a verb of everything of an account.
///
/// # Errors
/// The account is not there, or the database is not: what was asked until then goes on.
pub async fn ask_all(app: &App, caller: &Caller, account: &str, verb: Verb) -> Result<BulkResult, Refusal> {
    super::get(app, caller, account).await?;
    let noted: Result<(), AppError> = crate::change!(app, verb.as_str(), Some(caller.request), |tx, _ringing| {
        Ok(db::events::audit(tx, &caller.who(), verb.as_str(), account).await?)
    });
    noted?;
    let found = db::accounts::things(app.db(), account, verb.things(), ASKED_MAX as u64 + 1).await;
    let mut found = found.map_err(AppError::from)?;
    let more = found.len() > ASKED_MAX;
    found.truncate(ASKED_MAX);
    let mut result = BulkResult { account_id: account.to_owned(), more, ..BulkResult::default() };
    for id in found {
        // A change is known by its request. The key belongs to the whole.
        let request = crate::rehearsal::uuid_v7();
        let alone = Caller { request, idempotency_key: None, account: Some(account.to_owned()), ..caller.clone() };
        match ask(app, &alone, &id, verb).await {
            Ok(()) => result.asked.push(id),
            // It went meanwhile.
            Err(refusal) if refusal.code == Code::UnknownResource => {}
            Err(refusal) if catalogue::refusal(refusal.code).status >= 500 => return Err(refusal),
            Err(refusal) => result.refused.push(BulkRefusal::new(&id, &refusal)),
        }
    }
    Ok(result)
}

async fn ask(app: &App, caller: &Caller, id: &str, verb: Verb) -> Result<(), Refusal> {
    match verb {
        Verb::PowerOff(method) => instances::power_off(app, caller, id, method).await.map(drop),
        Verb::PowerOn => instances::power_on(app, caller, id).await.map(drop),
        Verb::DeleteInstances => instances::delete(app, caller, id).await.map(drop),
        Verb::DeleteVolumes(request) => volumes::delete_as(app, caller, id, request).await.map(drop),
        Verb::DeleteSecurityGroups => security_groups::delete(app, caller, id).await.map(drop),
        Verb::DeleteSshKeyPairs(force) => ssh_key_pairs::delete(app, caller, id, force == Force::Yes).await.map(drop),
        Verb::DeleteBackupObjects => backups::delete_object(app, caller, id).await.map(drop),
    }
}
