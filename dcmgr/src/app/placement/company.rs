//! What an instance wishes beside room: hosts of a group, and an eye to the others of its placement group.
//!
//! Rule: that no two are on one host is judged again under the lock of the chosen host, which every placement takes, so that
//! it holds whoever else is placed at the same moment. That the first two of a group that stays together meet is kept by the
//! lock of their account.

use crate::app::AppError;
use crate::db::instances::InstanceRow;
use crate::db::{self, Tx};
use crate::plan::placement::{Company, Demand};
use arame_schema::api::Refusal;
use arame_schema::model::placement::{PlacementPolicy, PlacementWeight};

/// Whose wishes: an instance that is to be made, or one that is there.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    pub instance: &'a str,
    pub account: &'a str,
    pub group: Option<&'a str>,
    pub policy: PlacementPolicy,
    pub node_group: Option<&'a str>,
}

impl<'a> Wishes<'a> {
    /// Of one that goes to another host. Those that stay together are taken there one by one: it is not asked of each.
    pub fn of(row: &'a InstanceRow) -> Wishes<'a> {
        let together = row.placement_policy == PlacementPolicy::Together;
        Wishes {
            instance: &row.id,
            account: &row.account,
            group: row.placement_group.as_deref().filter(|_| !together),
            policy: row.placement_policy,
            node_group: row.node_group.as_deref(),
        }
    }
}

/// Adds the wishes to what is asked of a host.
///
/// # Errors
/// The group of hosts is not there.
pub async fn add(tx: &mut Tx, demand: &mut Demand, wishes: Wishes<'_>) -> Result<(), AppError> {
    if let Some(group) = wishes.node_group {
        let held = db::node_groups::hold_hosts(tx, group).await?.ok_or_else(|| Refusal::unknown(group))?;
        let weight = held.placement_weight.as_deref().and_then(PlacementWeight::parse);
        demand.weight = weight.unwrap_or(demand.weight);
        demand.node_group = Some((group.to_owned(), held.mapped_uuids));
    }
    if let Some(group) = wishes.group {
        let at = db::instances::company::others(tx, wishes.account, group, wishes.instance).await?;
        demand.company = Some(Company {
            group: group.to_owned(),
            policy: wishes.policy,
            at,
            account: wishes.account.to_owned(),
            instance: wishes.instance.to_owned(),
        });
    }
    Ok(())
}

/// Counts the others on a host whose row is locked.
pub async fn look_again(tx: &mut Tx, demand: &mut Demand, host: &str) -> Result<(), AppError> {
    let Some(company) = demand.company.as_mut().filter(|company| company.policy == PlacementPolicy::Apart) else {
        return Ok(());
    };
    let there =
        db::instances::company::others_at(tx, &company.account, &company.group, &company.instance, host).await?;
    company.at.insert(host.to_owned(), there);
    Ok(())
}
