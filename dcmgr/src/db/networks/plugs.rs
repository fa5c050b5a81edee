//! Interfaces that come into an instance and leave it.
//!
//! Rule: the network's, the host's and the instance's rows are locked by the caller. An interface that left keeps its
//! address, which cools at all that knew it once it is given back.

use super::super::pool::run;
use super::super::{DbError, Tx};
use super::VifRow;
use super::changes::AnyVif;
use arame_schema::model::usage::Usage;

/// Where an interface goes.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub instance: &'a str,
    pub host: &'a str,
    pub index: u32,
    /// Versions that know it.
    pub network_version: u64,
    pub policy_version: u64,
}

pub async fn join(tx: &mut Tx, vif: &AnyVif, place: Place<'_>) -> Result<(), DbError> {
    let statement = "UPDATE network_vifs SET instance_id = ?, device_index = ?, need_network_version = ?, \
                     need_policy_version = ?, asked_generation = 0, leaving = 0, gone_network_version = NULL WHERE id = ?";
    run(tx, statement, (place.instance, place.index, place.network_version, place.policy_version, &vif.id)).await?;
    let lease = "UPDATE ip_leases SET host_node_id = ? WHERE vif_id = ? AND released_at IS NULL";
    run(tx, lease, (place.host, &vif.id)).await?;
    super::super::usage::set_address(tx, &vif.id, &vif.account, Some(Usage::Held)).await
}

/// The instance's next generation has it.
pub async fn ask_for(tx: &mut Tx, vif: &str, generation: u64) -> Result<(), DbError> {
    run(tx, "UPDATE network_vifs SET asked_generation = ? WHERE id = ?", (generation, vif)).await?;
    Ok(())
}

pub async fn set_leaving(tx: &mut Tx, vif: &str) -> Result<(), DbError> {
    run(tx, "UPDATE network_vifs SET leaving = 1 WHERE id = ?", (vif,)).await?;
    Ok(())
}

/// It belongs to no instance any more. Its address is its own still; given back it cools until these versions are
/// acknowledged.
pub async fn leave(tx: &mut Tx, vif: &VifRow, network_version: u64, policy_version: u64) -> Result<(), DbError> {
    let statement = "UPDATE network_vifs SET instance_id = '', device_index = 0, leaving = 0, asked_generation = 1, \
                     need_policy_version = 0, gone_network_version = ? WHERE id = ?";
    run(tx, statement, (network_version, &vif.id)).await?;
    let lease = "UPDATE ip_leases SET cool_network_version = ?, cool_policy_version = ? WHERE vif_id = ? \
                 AND released_at IS NULL";
    run(tx, lease, (network_version, policy_version, &vif.id)).await?;
    Ok(())
}
