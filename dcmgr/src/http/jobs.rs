//! `/jobs`: what dcmgr asked of which agent, and how it went. Bodies are never shown.

use super::answer::{Answer, Refused};
use super::app;
use super::asked::Asked;
use super::fields::short;
use super::list::{self, ListQuery};
use arame_schema::api::{Code, Job, Page, Refusal};
use uuid::Uuid;

/// List jobs, newest first.
#[utoipa::path(get, path = "/jobs", tag = "jobs",
    params(ListQuery, ("thing" = Option<String>, Query, description = "Only jobs about this resource.")),
    responses((status = 200, body = Page<Job>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<Job>; 1]> {
    let thing = asked.fields.text_within("thing", 63)?.filter(|text| !text.is_empty());
    let filter = list::filter(&mut asked.fields)?;
    let page = app::jobs::list(asked.app(), &asked.caller, filter, thing).await?;
    asked.page(page)
}

/// Show a job.
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs", responses((status = 200, body = Job)))]
pub async fn get(asked: Asked) -> Answer<Job> {
    let text = asked.raw_id();
    let id: Uuid = text.parse().map_err(|_| {
        let refusal = Refusal::new(Code::InvalidParameter).with("name", "id").with("value", short(text));
        Refused(refusal.with("expected", "UUID"))
    })?;
    let view = app::jobs::get(asked.app(), &asked.caller, &id.to_string()).await?;
    asked.answer(view)
}
