//! Security groups. A change of rules raises the policy version of every host it concerns, in the same transaction.

use super::advance::{Cause, snapshot};
use super::instances::record;
use super::{App, AppError, Caller, Ringing, labels, once};
use crate::db::{self, Tx};
use arame_schema::api::{Code, CreateSecurityGroup, ListFilter, Page, Refusal, SecurityGroup, UpdateSecurityGroup};
use arame_schema::model::SecurityGroupId;
use arame_schema::model::security_group::{self, Source};

pub async fn list(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<SecurityGroup>, Refusal> {
    let found = db::access::groups(app.db(), caller.scope()).await.map_err(AppError::from)?;
    let mut page = super::page(found, &filter)?;
    labels::attach(app, &mut page.results).await?;
    Ok(page)
}

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<SecurityGroup, Refusal> {
    let found = db::access::group(app.db(), id, caller.scope()).await.map_err(AppError::from)?;
    let mut found = found.ok_or_else(|| Refusal::unknown(id))?;
    labels::attach(app, std::slice::from_mut(&mut found)).await?;
    Ok(found)
}

/// Rules are parsed, and the groups they name exist in the account.
async fn check_rules(tx: &mut Tx, text: &str, account: &str, own: &str) -> Result<(), AppError> {
    let rules = security_group::parse(text).map_err(|e| {
        let refusal = Refusal::new(Code::InvalidSecurityGroupRule);
        refusal.with("line", e.line).with("text", e.text).with("reason", e.reason)
    })?;
    for rule in rules {
        if let Source::Group(group) = rule.source
            && group.as_str() != own
            && !db::access::hold_group(tx, group.as_str(), account).await?
        {
            return Err(Refusal::unknown(group).into());
        }
    }
    Ok(())
}

pub async fn create(app: &App, caller: &Caller, request: CreateSecurityGroup) -> Result<SecurityGroup, Refusal> {
    once::check_choice(caller, request.id.as_ref())?;
    let account = caller.owner()?.to_owned();
    let id = request.id.clone().unwrap_or_else(|| SecurityGroupId::from_entropy(once::entropy())).to_string();
    let id = crate::change!(app, "create security group", Some(caller.request), |tx, _ringing| {
        if let Some(made) = once::made(tx, caller, SecurityGroupId::PREFIX).await? {
            return Ok(made);
        }
        check_rules(tx, &request.rule, &account, &id).await?;
        let name = request.display_name.as_deref().unwrap_or_default();
        db::access::insert_group(tx, &id, &account, name, &request.description, &request.rule).await?;
        once::keep(tx, caller, "security_group.create", &id).await?;
        tell(tx, caller, (&account, &id), "group_created").await?;
        Ok(id.clone())
    })
    .map_err(|error| once::taken(error, &id))?;
    get(app, caller, &id).await
}

pub async fn update(
    app: &App,
    caller: &Caller,
    id: &str,
    request: UpdateSecurityGroup,
) -> Result<SecurityGroup, Refusal> {
    crate::change!(app, "update security group", Some(caller.request), |tx, ringing| {
        // Hosts come before groups in the lock order: which they are is read first, then they are locked.
        let hosts = db::networks::hosts_of_group(tx, id).await?;
        let mut versions = Vec::new();
        if request.rule.is_some() {
            for host in &hosts {
                versions.push(db::nodes::bump_policy(tx, host).await?);
            }
        }
        let group = db::access::lock_group(tx, id, caller.scope()).await?.ok_or_else(|| Refusal::unknown(id))?;
        let rule = request.rule.clone().unwrap_or(group.rule);
        check_rules(tx, &rule, &group.account_id, id).await?;
        let name = request.display_name.clone().or(group.display_name).unwrap_or_default();
        let description = request.description.clone().unwrap_or(group.description);
        db::access::update_group(tx, id, &name, &description, &rule).await?;
        db::events::audit(tx, &caller.who(), "security_group.update", id).await?;
        tell(tx, caller, (&group.account_id, id), "group_changed").await?;
        if request.rule.is_some() {
            send(tx, ringing, &hosts, Cause::request(caller.request)).await?;
        }
        Ok(())
    })?;
    get(app, caller, id).await
}

/// A line of the group's timeline: its account's pages follow it.
async fn tell(tx: &mut Tx, caller: &Caller, (account, id): (&str, &str), code: &str) -> Result<(), AppError> {
    record(tx, caller, account, id, code, &[("by", caller.token.clone())]).await
}

async fn send(tx: &mut Tx, ringing: &mut Ringing, hosts: &[String], cause: Cause) -> Result<(), AppError> {
    for host in hosts {
        snapshot::policy(tx, ringing, host, cause).await?;
    }
    Ok(())
}

pub async fn delete(app: &App, caller: &Caller, id: &str) -> Result<Vec<String>, Refusal> {
    crate::change!(app, "delete security group", Some(caller.request), |tx, _ringing| {
        let group = db::access::lock_group(tx, id, caller.scope()).await?.ok_or_else(|| Refusal::unknown(id))?;
        let users = db::access::users_of_group(tx, id).await?;
        if !users.is_empty() {
            return Err(Refusal::new(Code::ResourceInUse).with("id", id).with("by", users.join(", ")).into());
        }
        db::access::delete_group(tx, id).await?;
        db::labels::forget(tx, id).await?;
        db::events::audit(tx, &caller.who(), "security_group.delete", id).await?;
        tell(tx, caller, (&group.account_id, id), "group_deleted").await
    })?;
    Ok(vec![id.to_owned()])
}
