//! `arame up`, and `arame up` again.

use anyhow::ensure;
use arame_spec::real::DataCenter;
use std::time::Duration;

/// What `up` may take when everything runs already.
const AGAIN_LIMIT: Duration = Duration::from_secs(1);

pub async fn it_comes_up_and_again_changes_nothing(dc: &DataCenter) -> anyhow::Result<()> {
    dc.step("arame up");
    let said = dc.up().await?;
    ensure!(said.ended_well(), "{said:?}");
    dc.note(&format!("up after {:.1} s", said.took.as_secs_f32()));
    let before = dc.status().await?.running();
    ensure!(before.len() >= 10, "children of two hosts: {before:?}");

    dc.step("arame up again");
    let said = dc.up().await?;
    ensure!(said.ended_well() && said.err.contains("nothing was changed"), "{said:?}");
    ensure!(said.took <= AGAIN_LIMIT, "{:?}", said.took);
    ensure!(dc.status().await?.running() == before, "the children changed");
    Ok(())
}
