//! `/accounts/{id}/instances/poweroff` and its like: one verb on everything an account has of a kind.
//!
//! Rule: the answer is the original's, the ids it was asked of; `detail=true` tells also what refused, and why.

use super::answer::Refused;
use super::app;
use super::asked::Asked;
use app::accounts::bulk::{self, Force, Verb};
use arame_schema::api::{AskedOrDetail, DeleteVolume, PowerOff};
use arame_schema::model::AccountId;
use arame_schema::model::instance::Shutdown;
use axum::response::{IntoResponse, Response};

async fn ask_all(mut asked: Asked, verb: Verb) -> Result<Response, Refused> {
    let id: AccountId = asked.id("a-…")?;
    let detail = asked.fields.flag("detail")?.unwrap_or(false);
    asked.fields.clone().finish()?;
    let result = bulk::ask_all(asked.app(), &asked.caller, id.as_str(), verb).await?;
    if detail {
        return Ok(asked.answer(result)?.into_response());
    }
    Ok(asked.answer(result.asked)?.into_response())
}

/// Switch off every instance of an account. `force=true` (the default, as in the original) does not wait for guests.
#[utoipa::path(put, path = "/accounts/{id}/instances/poweroff", tag = "accounts", request_body = PowerOff,
    params(("detail" = Option<bool>, Query, description = "Answer also what refused it, and why.")),
    responses((status = 200, body = AskedOrDetail)))]
pub async fn power_off(mut asked: Asked) -> Result<Response, Refused> {
    let force = asked.fields.flag("force")?.unwrap_or(true);
    ask_all(asked, Verb::PowerOff(if force { Shutdown::Hard } else { Shutdown::Soft })).await
}

/// Switch on every halted instance of an account.
#[utoipa::path(put, path = "/accounts/{id}/instances/poweron", tag = "accounts",
    params(("detail" = Option<bool>, Query, description = "Answer also what refused it, and why.")),
    responses((status = 200, body = AskedOrDetail)))]
pub async fn power_on(asked: Asked) -> Result<Response, Refused> {
    ask_all(asked, Verb::PowerOn).await
}

/// Delete every instance of an account.
#[utoipa::path(delete, path = "/accounts/{id}/instances", tag = "accounts",
    params(("detail" = Option<bool>, Query, description = "Answer also what refused it, and why.")),
    responses((status = 200, body = AskedOrDetail)))]
pub async fn delete_instances(asked: Asked) -> Result<Response, Refused> {
    ask_all(asked, Verb::DeleteInstances).await
}

/// Delete every volume of an account that is not attached, with its data.
#[utoipa::path(delete, path = "/accounts/{id}/volumes", tag = "accounts",
    params(("with_snapshots" = Option<bool>, Query, description = "Their snapshots are deleted with them."),
        ("detail" = Option<bool>, Query, description = "Answer also what refused it, and why.")),
    responses((status = 200, body = AskedOrDetail)))]
pub async fn delete_volumes(mut asked: Asked) -> Result<Response, Refused> {
    let with_snapshots = asked.fields.flag("with_snapshots")?.unwrap_or_default();
    ask_all(asked, Verb::DeleteVolumes(DeleteVolume { with_snapshots })).await
}

/// Delete every security group of an account that nothing has.
#[utoipa::path(delete, path = "/accounts/{id}/security_groups", tag = "accounts",
    params(("detail" = Option<bool>, Query, description = "Answer also what refused it, and why.")),
    responses((status = 200, body = AskedOrDetail)))]
pub async fn delete_security_groups(asked: Asked) -> Result<Response, Refused> {
    ask_all(asked, Verb::DeleteSecurityGroups).await
}

/// Delete every key pair of an account that no live instance has; with `force=true` those too.
#[utoipa::path(delete, path = "/accounts/{id}/ssh_key_pairs", tag = "accounts",
    params(("force" = Option<bool>, Query, description = "Also those that live instances have."),
        ("detail" = Option<bool>, Query, description = "Answer also what refused it, and why.")),
    responses((status = 200, body = AskedOrDetail)))]
pub async fn delete_ssh_key_pairs(mut asked: Asked) -> Result<Response, Refused> {
    let force = asked.fields.flag("force")?.unwrap_or(false);
    ask_all(asked, Verb::DeleteSshKeyPairs(if force { Force::Yes } else { Force::No })).await
}

/// Delete every backup object of an account.
#[utoipa::path(delete, path = "/accounts/{id}/backup_objects", tag = "accounts",
    params(("detail" = Option<bool>, Query, description = "Answer also what refused it, and why.")),
    responses((status = 200, body = AskedOrDetail)))]
pub async fn delete_backup_objects(asked: Asked) -> Result<Response, Refused> {
    ask_all(asked, Verb::DeleteBackupObjects).await
}
