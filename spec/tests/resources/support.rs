//! What these stories share: callers, refusals, requests.

use arame_dcmgr::app::Caller;
use arame_schema::api::{Code, Refusal, Role};
use arame_spec::world::{Size, World};

pub fn told<T>(result: Result<T, Refusal>) -> anyhow::Result<T> {
    result.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))
}

pub fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>, code: Code) -> anyhow::Result<Refusal> {
    match result {
        Err(refusal) if refusal.code == code => Ok(refusal),
        other => anyhow::bail!("not refused as {code:?}: {other:?}"),
    }
}

/// One host, one storage node, one naming service.
pub async fn small() -> anyhow::Result<World> {
    World::start(Size { hosts: 1, ..Size::default() }).await
}

/// Each change is known by its request, so every call gets a caller of its own.
pub fn operator(world: &World) -> Caller {
    world.caller("a-demo", Role::Operator)
}

/// A form's text as a request.
pub fn json<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).expect("the request is well formed")
}

/// A number from the kit's own look at the rows.
pub async fn count(world: &World, statement: &str) -> anyhow::Result<u64> {
    let rows = world.db().rows(statement, ()).await?;
    let row = rows.first().ok_or_else(|| anyhow::anyhow!("no row: {statement}"))?;
    Ok(arame_dcmgr::db::Columns::col(row, "n")?)
}
