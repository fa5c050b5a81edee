//! `/audit`: where the rows and the world differ, and the operator's answers. Empty on a healthy system.

use super::answer::{Answer, Refused};
use super::app;
use super::asked::Asked;
use arame_schema::api::{Decide, Finding};

/// Findings. `fresh=true` asks every agent first and waits for inventories begun after the question.
#[utoipa::path(get, path = "/audit", tag = "audit",
    params(("fresh" = Option<bool>, Query, description = "Ask every agent first.")),
    responses((status = 200, body = Vec<Finding>)))]
pub async fn findings(mut asked: Asked) -> Answer<Vec<Finding>> {
    let fresh = asked.fields.flag("fresh")?.unwrap_or(false);
    let findings = app::audit::findings(asked.app(), &asked.caller, fresh).await?;
    asked.answer(findings)
}

/// Take in what exists with our mark and without a row: an instance or a volume, by the finding's id or its owner's.
/// Nothing in the world changes. A volume goes to the account of the request. Answers what is left to decide.
#[utoipa::path(post, path = "/audit/adopt", tag = "audit", request_body = Decide,
    responses((status = 200, body = Vec<Finding>)))]
pub async fn adopt(mut asked: Asked) -> Answer<Vec<Finding>> {
    let id = named(&mut asked)?;
    app::adoption::adopt(asked.app(), &asked.caller, &id).await?;
    left(asked).await
}

/// Delete what exists with our mark and without a row, with its data. Answers what is left to decide.
#[utoipa::path(post, path = "/audit/remove", tag = "audit", request_body = Decide,
    responses((status = 200, body = Vec<Finding>)))]
pub async fn remove(mut asked: Asked) -> Answer<Vec<Finding>> {
    let id = named(&mut asked)?;
    app::adoption::remove(asked.app(), &asked.caller, &id).await?;
    left(asked).await
}

/// Go on after a memory loss: the database went back in time, and the operator has decided about what it did not
/// know. Answers what is left.
#[utoipa::path(post, path = "/audit/confirm", tag = "audit", responses((status = 200, body = Vec<Finding>)))]
pub async fn confirm(asked: Asked) -> Answer<Vec<Finding>> {
    asked.fields.clone().finish()?;
    app::recovery::confirm(asked.app(), &asked.caller).await?;
    left(asked).await
}

fn named(asked: &mut Asked) -> Result<String, Refused> {
    let id = asked.fields.text("id")?;
    let id = asked.fields.needed("id", id)?;
    asked.fields.clone().finish()?;
    Ok(id)
}

async fn left(asked: Asked) -> Answer<Vec<Finding>> {
    let findings = app::audit::findings(asked.app(), &asked.caller, false).await?;
    asked.answer(findings)
}
