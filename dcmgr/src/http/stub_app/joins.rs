//! Machines that come and go, as the test application stands in for them: nobody does.

use super::sessions::Stranger;
use super::{App, Caller};
use arame_schema::api::{Join, Joined, Leave, Left, Refusal};
pub use tokens::*;

absent!(tokens:
    list(filter: ListFilter) -> Page<JoinToken>;
    get(id: &str) -> JoinToken;
    create(request: CreateJoinToken) -> JoinToken;
    revoke(id: &str) -> JoinToken;
);

pub async fn join(_: &App, stranger: &Stranger, _: &Join) -> Result<Joined, Refusal> {
    Err(Refusal::unknown(format!("{stranger:?}")))
}

pub async fn leave(_: &App, stranger: &Stranger, _: &Leave) -> Result<Left, Refusal> {
    Err(Refusal::unknown(format!("{stranger:?}")))
}
