//! The whole road through a real data center: `arame up`, guests that boot, frames, disks, kills, `arame down`.
//!
//! One data center for one long story, because starting one costs half a minute and booting a guest a quarter. Each
//! step is a file here. What the machine lacks is said, and the story skipped.
//!
//! Kept for inspection after a failure with `ARAME_KEEP=1`.

mod behind;
mod browser;
mod consoles;
mod ending;
mod firewall;
mod isolation;
mod kills;
mod machines;
mod moves;
mod power;
mod refusals;
mod start;
mod stock;
mod volumes;

use arame_spec::real::{self, DataCenter};

#[tokio::test(flavor = "multi_thread")]
async fn a_data_center_serves_real_machines_through_kills_and_leaves_nothing() -> anyhow::Result<()> {
    if !real::able() {
        return Ok(());
    }
    let dc = DataCenter::new()?;
    start::it_comes_up_and_again_changes_nothing(&dc).await?;
    let trio = machines::three_are_launched_and_reached(&dc).await?;
    let stock = stock::a_stock_debian_is_launched(&dc).await?;
    isolation::two_networks_of_one_subnet_never_meet(&dc, &trio).await?;
    firewall::a_port_is_closed_until_it_is_opened(&dc, &trio).await?;
    moves::a_guest_moves_while_it_is_pinged(&dc, &trio).await?;
    consoles::a_guest_is_typed_to_and_seen(&dc, &trio.web1).await?;
    browser::a_guest_is_typed_to_in_a_browser(&dc, &trio.web2).await?;
    let volume = volumes::a_volume_outlives_its_machine(&dc, &trio).await?;
    power::a_machine_keeps_its_disk_through_power_off_and_reboot(&dc, &trio.web2).await?;
    kills::guests_go_on_while_everything_around_them_is_killed(&dc, &trio.web2).await?;
    behind::what_is_taken_away_is_put_back_or_told(&dc, &trio.web2).await?;
    behind::what_is_planted_is_kept(&dc, &trio.web2).await?;
    refusals::bad_input_is_refused_in_words_and_changes_nothing(&dc, &trio.web2).await?;
    stock::it_has_its_name_its_key_and_ran_its_script(&dc, stock.as_ref()).await?;
    ending::what_is_deleted_leaves_nothing(&dc, &volume).await?;
    ending::a_data_center_taken_down_leaves_nothing(&dc).await?;
    dc.ended_well();
    Ok(())
}
