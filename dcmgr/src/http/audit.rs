//! `/audit`: where the rows and the world differ. Empty on a healthy system.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use arame_schema::api::Finding;

/// Findings. `fresh=true` asks every agent first and waits for inventories begun after the question.
#[utoipa::path(get, path = "/audit", tag = "audit",
    params(("fresh" = Option<bool>, Query, description = "Ask every agent first.")),
    responses((status = 200, body = Vec<Finding>)))]
pub async fn findings(mut asked: Asked) -> Answer<Vec<Finding>> {
    let fresh = asked.fields.flag("fresh")?.unwrap_or(false);
    let findings = app::audit::findings(asked.app(), &asked.caller, fresh).await?;
    asked.answer(findings)
}
