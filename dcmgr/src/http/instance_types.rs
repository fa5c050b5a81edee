//! `/instance_types`: a list, nothing else yet.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::list::{self, ListQuery};
use arame_schema::api::{InstanceType, Page};

/// List instance types.
#[utoipa::path(get, path = "/instance_types", tag = "instance types", params(ListQuery),
    responses((status = 200, body = Page<InstanceType>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<InstanceType>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::instance_types::list(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}
