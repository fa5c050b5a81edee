//! What a launch or a deletion would do, without doing it.
//!
//! Rule: nothing is changed. A launch is carried out in a transaction that is always rolled back, so that what is told is
//! what the real request would meet, to the last address; nothing that it queued is rung.

use super::launch::{
    New, check_hostname, check_request, create_in, demand, duplicate_of, entropy, image_of, size_of, wishes,
};
use super::{lock_own, refuse_state};
use crate::app::{App, AppError, Caller, Ringing, placement};
use crate::db;
use arame_schema::api::{Code, CreateInstance, DeletePlan, LaunchPlan, PlannedRefusal, QuotaEffect, Refusal};
use arame_schema::model::InstanceId;
use arame_schema::model::instance::{DesiredInstance, InstanceState};

/// The instances of an account against its quota, now and with so many more or fewer.
async fn quota(app: &App, account: &str, more: i64) -> Result<QuotaEffect, Refusal> {
    let told = crate::transact!(app.db(), "plan quota", None, AppError, |tx| {
        let known = db::accounts::find(tx, account).await?.ok_or_else(|| Refusal::unknown(account))?;
        let used = db::instances::count_of_account(tx, account).await?;
        let after = used.saturating_add_signed(more);
        Ok(QuotaEffect { quota: "instance.count".into(), used, after, limit: known.quota_instances })
    })?;
    Ok(told)
}

/// The volumes of an account against its quota, now and with so many more.
async fn volume_quota(app: &App, account: &str, more: u64) -> Result<QuotaEffect, Refusal> {
    let told = crate::transact!(app.db(), "plan quota", None, AppError, |tx| {
        let known = db::accounts::find(tx, account).await?.ok_or_else(|| Refusal::unknown(account))?;
        let used = db::volumes::count_of_account(tx, account).await?;
        Ok(QuotaEffect { quota: "volume.count".into(), used, after: used + more, limit: known.quota_volumes })
    })?;
    Ok(told)
}

/// The verdicts of a launch, its effect on the quota, and what would refuse it.
pub async fn plan(app: &App, caller: &Caller, request: CreateInstance) -> Result<LaunchPlan, Refusal> {
    check_request(&request)?;
    let size = size_of(app, &request).await?;
    let account = caller.owner()?.to_owned();
    let hostname = request.hostname.as_deref().map(check_hostname).transpose()?;
    let verdicts = crate::transact!(app.db(), "plan", None, AppError, |tx| {
        let image = image_of(tx, &request, &account).await?;
        let mut demand = demand(&request, &size, &image);
        placement::company::add(tx, &mut demand, wishes(&request, &account, "")).await?;
        placement::judge_all(tx, &demand).await
    })?;
    // A key would be answered by what it made.
    let caller = Caller { idempotency_key: None, ..caller.clone() };
    let id = InstanceId::from_entropy(entropy()).to_string();
    let name = hostname.clone().unwrap_or_else(|| id.clone());
    let tried: Result<(), AppError> = crate::transact!(app.db(), "plan launch", None, AppError, |tx| {
        let new =
            New { app, caller: &caller, account: &account, id: &id, hostname: &name, request: &request, size: &size };
        create_in(tx, &mut Ringing::default(), &new).await?;
        Err(AppError::Planned)
    });
    let refusals = match tried.map_err(|error| duplicate_of(error, hostname.as_deref(), &request)) {
        Ok(()) | Err(AppError::Planned) => Vec::new(),
        Err(AppError::Refused(refusal)) => vec![PlannedRefusal::from(&*refusal)],
        Err(error) => return Err(error.into()),
    };
    let mut quotas = vec![quota(app, &account, 1).await?];
    let volumes = request.volumes.values().filter(|one| one.volume_id.is_none()).count() as u64;
    if volumes > 0 {
        quotas.push(volume_quota(app, &account, volumes).await?);
    }
    Ok(LaunchPlan::new(verdicts, quotas, refusals))
}

/// What a deletion would take away, and what would refuse it.
pub async fn plan_delete(app: &App, caller: &Caller, id: &str) -> Result<DeletePlan, Refusal> {
    let (account, mut plan) = crate::transact!(app.db(), "plan delete", None, AppError, |tx| {
        let row = lock_own(tx, caller, id).await?;
        let gone = row.state == InstanceState::Terminated;
        let refusal = gone.then(|| refuse_state(&row, "not terminated"));
        let refusals = match refusal {
            Some(AppError::Refused(refusal)) => vec![PlannedRefusal::from(&*refusal)],
            Some(_) => vec![PlannedRefusal::from(&Refusal::new(Code::Internal))],
            None => Vec::new(),
        };
        let attached = db::volumes::attachments_of_instance(tx, id).await?;
        let interfaces = db::networks::vifs_of_instance(tx, id).await?;
        let (go, stay): (Vec<_>, Vec<_>) = attached.into_iter().partition(|one| one.deletes_volume);
        let plan = DeletePlan {
            id: id.to_owned(),
            detaches: stay.into_iter().map(|one| one.volume).collect(),
            deletes: go.into_iter().map(|one| one.volume).collect(),
            releases: interfaces.into_iter().map(|one| one.ipv4.to_string()).collect(),
            quotas: Vec::new(),
            refusals,
        };
        // What goes already frees its place whether it is asked for again or not.
        let frees = i64::from(!gone && row.desired != DesiredInstance::Gone);
        Ok(((row.account, frees), plan))
    })?;
    let (account, frees) = account;
    plan.quotas.push(quota(app, &account, -frees).await?);
    Ok(plan)
}
