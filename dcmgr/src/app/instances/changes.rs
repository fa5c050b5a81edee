//! What is changed of an instance beside its power: its words, its key, its groups, its monitoring, its password.
//!
//! Rule: groups are the policies' business and take effect at once; a key is in the metadata of the next start.

use super::super::advance::Cause;
use super::super::{App, AppError, Caller, labels, vifs};
use super::{get, lock_own, record, refuse_state};
use crate::db::instances::{Shown, Words};
use crate::db::{self, Tx};
use arame_schema::api::{Code, Instance, InstancePassword, Refusal, UpdateInstance};
use arame_schema::model::instance::DesiredInstance;
use arame_schema::model::restart::RestartPolicy;
use std::collections::{BTreeMap, BTreeSet};

/// Addresses that mails would go to.
const MAIL_ADDRESSES_MAX: usize = 16;

/// Writes what stands in other tables into the views that have some of it: labels and monitors.
pub(super) async fn complete(app: &App, mut shown: Vec<Shown>) -> Result<Vec<Instance>, Refusal> {
    let with_labels = shown.iter_mut().filter(|one| one.has_labels).map(|one| &mut one.instance);
    labels::attach(app, &mut with_labels.collect::<Vec<_>>()).await?;
    let monitored = shown.iter().filter(|one| one.has_monitors);
    let ids: Vec<&str> = monitored.map(|one| one.instance.id.as_str()).collect();
    let mut of: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (resource, monitor) in db::monitors::of_many(app.db(), &ids).await.map_err(AppError::from)? {
        of.entry(resource).or_default().push(monitor);
    }
    let mut views: Vec<Instance> = shown.into_iter().map(|one| one.instance).collect();
    for view in &mut views {
        let found = of.remove(&view.id).unwrap_or_default();
        view.monitoring.items = found.into_iter().map(|one| (one.id.clone(), one.into())).collect();
    }
    Ok(views)
}

pub async fn update(app: &App, caller: &Caller, id: &str, change: UpdateInstance) -> Result<Instance, Refusal> {
    let monitoring = change.monitoring.clone().unwrap_or_default();
    if monitoring.mail_address.as_ref().is_some_and(|all| all.len() > MAIL_ADDRESSES_MAX) {
        let refusal = Refusal::new(Code::TooMany).with("id", id).with("what", "monitoring[mail_address]");
        return Err(refusal.with("limit", MAIL_ADDRESSES_MAX));
    }
    let mail = monitoring.mail_address.map(|all| serde_json::json!(all).to_string());
    crate::change!(app, "update instance", Some(caller.request), |tx, ringing| {
        let row = lock_with_hosts(tx, caller, id, change.security_groups.is_some()).await?;
        if row.desired == DesiredInstance::Gone {
            return Err(refuse_state(&row, "running | halted"));
        }
        let ssh_key = change.ssh_key_id.as_ref().map(AsRef::as_ref);
        if let Some(key) = ssh_key
            && db::access::ssh_key(tx, key, &row.account).await?.is_none()
        {
            return Err(Refusal::unknown(key).into());
        }
        let words = Words {
            display_name: change.display_name.as_deref(),
            ssh_key,
            monitoring_enabled: monitoring.enabled,
            monitoring_mail: mail.clone(),
            restart_policy: change.restart_policy.map(RestartPolicy::as_str),
        };
        db::instances::set_words(tx, id, &words).await?;
        db::events::audit(tx, &caller.who(), "instance.update", id).await?;
        record(tx, caller, &row.account, id, "update_requested", &[("by", caller.token.clone())]).await?;
        let Some(groups) = &change.security_groups else { return Ok(()) };
        let groups: BTreeSet<String> = groups.iter().map(ToString::to_string).collect();
        for group in &groups {
            if !db::access::hold_group(tx, group, &row.account).await? {
                return Err(Refusal::unknown(group).into());
            }
        }
        for vif in db::networks::vifs_of_instance(tx, id).await? {
            if let Some(vif) = db::networks::changes::find_vif(tx, &vif.id, None).await? {
                vifs::set_groups(tx, ringing, &vif, &groups, Cause::request(caller.request)).await?;
            }
        }
        Ok(())
    })?;
    get(app, caller, id).await
}

/// The instance's row; before it that of its host when its groups change.
async fn lock_with_hosts(
    tx: &mut Tx,
    caller: &Caller,
    id: &str,
    groups_change: bool,
) -> Result<db::instances::InstanceRow, AppError> {
    if groups_change && let Some(host) = db::instances::find(tx, id).await?.and_then(|row| row.host) {
        db::nodes::lock_host(tx, &host).await?;
    }
    lock_own(tx, caller, id).await
}

pub async fn password(app: &App, caller: &Caller, id: &str) -> Result<InstancePassword, Refusal> {
    get(app, caller, id).await?;
    let found = db::instances::password(app.db(), id).await.map_err(AppError::from)?;
    let encrypted_password = found.ok_or_else(|| Refusal::new(Code::NoPassword).with("id", id))?;
    Ok(InstancePassword { id: id.to_owned(), encrypted_password })
}

/// Forgets the password; that there was none is no trouble.
pub async fn delete_password(app: &App, caller: &Caller, id: &str) -> Result<(), Refusal> {
    crate::change!(app, "delete password", Some(caller.request), |tx, _ringing| {
        lock_own(tx, caller, id).await?;
        db::instances::forget_password(tx, id).await?;
        Ok(db::events::audit(tx, &caller.who(), "instance.password", id).await?)
    })
    .map_err(Refusal::from)
}
