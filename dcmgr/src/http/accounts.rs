//! `/accounts`: a list, nothing else yet.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::list::{self, ListQuery};
use arame_schema::api::{Account, Page};

/// List accounts.
#[utoipa::path(get, path = "/accounts", tag = "accounts", params(ListQuery),
    responses((status = 200, body = Page<Account>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<Account>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::accounts::list(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}
