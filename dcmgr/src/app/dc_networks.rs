//! Dc networks: made and changed by operators, seen by everybody who may make networks in them.
//!
//! Rule: no two have a tag in common, because every segment is on the same trunk.

use super::{App, AppError, Caller, once};
use crate::db::{self, Tx};
use arame_schema::api::dc_network::{NETWORK_MODE, NETWORK_MODES};
use arame_schema::api::{
    Code, CreateDcNetwork, DcNetwork, ListFilter, Page, Refusal, Role, Timestamp, UpdateDcNetwork,
};
use arame_schema::model::DcNetworkId;
use std::ops::RangeInclusive;

/// Tags that mean a segment (IEEE 802.1Q: 0 is none, 4095 is reserved).
const TAGS: RangeInclusive<u16> = 1..=4094;

/// Tags of a dc network whose request names none, and the first of them: below lie those that switches use themselves.
const TAGS_DEFAULT: u16 = 100;

pub(super) fn shown(caller: &Caller, mut network: DcNetwork) -> DcNetwork {
    if matches!(caller.role, Role::Member) {
        (network.vlan_first, network.vlan_last) = (None, None);
    }
    network
}

pub async fn list(
    app: &App,
    caller: &Caller,
    filter: ListFilter,
    name: Option<&str>,
) -> Result<Page<DcNetwork>, Refusal> {
    let found = db::dc_networks::list(app.db()).await.map_err(AppError::from)?;
    let wanted = found.into_iter().filter(|one| name.is_none_or(|name| one.name == name));
    super::page(wanted.map(|one| shown(caller, one)).collect(), &filter)
}

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<DcNetwork, Refusal> {
    let found = db::dc_networks::list(app.db()).await.map_err(AppError::from)?;
    let found = found.into_iter().find(|one| one.id == id);
    found.map(|one| shown(caller, one)).ok_or_else(|| Refusal::unknown(id))
}

pub async fn create(app: &App, caller: &Caller, request: CreateDcNetwork) -> Result<DcNetwork, Refusal> {
    let id = request.id.clone().unwrap_or_else(|| DcNetworkId::from_entropy(once::entropy())).to_string();
    let made = crate::change!(app, "create dc network", Some(caller.request), |tx, _ringing| {
        let all = db::dc_networks::lock_all(tx).await?;
        if let Some(made) = once::made(tx, caller, DcNetworkId::PREFIX).await? {
            return Ok(made);
        }
        check_name(&all, &request.name, &id)?;
        let (vlan_first, vlan_last) = tags(&all, request.vlan_first, request.vlan_last)?;
        let now = Timestamp(time::OffsetDateTime::UNIX_EPOCH);
        let network = DcNetwork {
            uuid: id.clone(),
            id: id.clone(),
            name: request.name.clone(),
            description: request.description.clone(),
            created_at: now,
            updated_at: now,
            vlan_lease_id: None,
            offering_network_modes: vec![NETWORK_MODE.to_owned()],
            allow_new_networks: request.allow_new_networks,
            vlan_first: Some(vlan_first),
            vlan_last: Some(vlan_last),
        };
        db::dc_networks::insert(tx, &network).await?;
        once::keep(tx, caller, "dc_network.create", &id).await?;
        Ok(id.clone())
    })
    .map_err(|error| once::taken(error, &id))?;
    get(app, caller, &made).await
}

fn check_name(all: &[DcNetwork], name: &str, own: &str) -> Result<(), Refusal> {
    let formed = !name.is_empty() && name.len() <= 63 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !formed {
        let refusal = Refusal::new(Code::InvalidParameter).with("name", "name");
        return Err(refusal.with("value", name.chars().take(80).collect::<String>()).with("expected", "[A-Za-z0-9_]+"));
    }
    // The column compares without case.
    if all.iter().any(|other| other.id != own && other.name.eq_ignore_ascii_case(name)) {
        return Err(Refusal::new(Code::NameTaken).with("name", name));
    }
    Ok(())
}

/// The tags that were asked for, or the first free hundred.
fn tags(all: &[DcNetwork], first: Option<u16>, last: Option<u16>) -> Result<(u16, u16), Refusal> {
    let is_free = |first: u16, last: u16| {
        all.iter().all(|one| {
            one.vlan_last.is_none_or(|other| other < first) || one.vlan_first.is_none_or(|other| other > last)
        })
    };
    let invalid = |value: String, expected: String| {
        Refusal::new(Code::InvalidParameter).with("name", "vlan_first").with("value", value).with("expected", expected)
    };
    let Some(first) = first.or(last) else {
        let starts = (TAGS_DEFAULT..*TAGS.end() - TAGS_DEFAULT).step_by(TAGS_DEFAULT.into());
        let free = starts.map(|first| (first, first + TAGS_DEFAULT - 1)).find(|(first, last)| is_free(*first, *last));
        return free.ok_or_else(|| invalid("-".into(), "vlan_first, vlan_last".into()));
    };
    let last = last.unwrap_or(first);
    let formed = TAGS.contains(&first) && TAGS.contains(&last) && first <= last;
    if !formed || !is_free(first, last) {
        let held: Vec<String> = all
            .iter()
            .map(|one| format!("{} {}..{}", one.id, one.vlan_first.unwrap_or(0), one.vlan_last.unwrap_or(0)))
            .collect();
        return Err(invalid(format!("{first}..{last}"), format!("1..4094 but not {}", held.join(", "))));
    }
    Ok((first, last))
}

async fn lock(tx: &mut Tx, id: &str) -> Result<DcNetwork, AppError> {
    Ok(db::dc_networks::lock(tx, id).await?.ok_or_else(|| Refusal::unknown(id))?)
}

pub async fn update(app: &App, caller: &Caller, id: &str, request: UpdateDcNetwork) -> Result<DcNetwork, Refusal> {
    crate::change!(app, "update dc network", Some(caller.request), |tx, _ringing| {
        let all = db::dc_networks::lock_all(tx).await?;
        let mut network = lock(tx, id).await?;
        if let Some(name) = &request.name {
            check_name(&all, name, id)?;
            network.name.clone_from(name);
        }
        if let Some(description) = &request.description {
            network.description.clone_from(description);
        }
        network.allow_new_networks = request.allow_new_networks.unwrap_or(network.allow_new_networks);
        db::dc_networks::update(tx, &network).await?;
        Ok(db::events::audit(tx, &caller.who(), "dc_network.update", id).await?)
    })?;
    get(app, caller, id).await
}

/// Whether modes are offered from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    Add,
    Delete,
}

/// Offers modes, or does not any more; the networks that are there stay. Answers those that are offered.
pub async fn offer(
    app: &App,
    caller: &Caller,
    id: &str,
    modes: &[String],
    offer: Offer,
) -> Result<Vec<String>, Refusal> {
    if let Some(other) = modes.iter().find(|mode| !NETWORK_MODES.contains(&mode.as_str())) {
        let refusal = Refusal::new(Code::InvalidParameter).with("name", "mode");
        let value: String = other.chars().take(80).collect();
        return Err(refusal.with("value", value).with("expected", NETWORK_MODES.join(" | ")));
    }
    crate::change!(app, "offer modes", Some(caller.request), |tx, _ringing| {
        let mut network = lock(tx, id).await?;
        network.offering_network_modes.retain(|mode| !modes.contains(mode));
        if offer == Offer::Add {
            network.offering_network_modes.extend(modes.iter().cloned());
            network.offering_network_modes.sort();
            network.offering_network_modes.dedup();
        }
        db::dc_networks::update(tx, &network).await?;
        db::events::audit(tx, &caller.who(), "dc_network.modes", id).await?;
        Ok(network.offering_network_modes)
    })
    .map_err(Refusal::from)
}

/// Ends one in which no network is, nor one whose tag still cools.
pub async fn delete(app: &App, caller: &Caller, id: &str) -> Result<Vec<String>, Refusal> {
    crate::change!(app, "delete dc network", Some(caller.request), |tx, _ringing| {
        lock(tx, id).await?;
        let mut users = db::dc_networks::users(tx, id).await?;
        users.extend(db::ip_pools::of_dc_network(tx, id).await?);
        if !users.is_empty() {
            return Err(Refusal::new(Code::ResourceInUse).with("id", id).with("by", users.join(", ")).into());
        }
        db::dc_networks::delete(tx, id).await?;
        Ok(db::events::audit(tx, &caller.who(), "dc_network.delete", id).await?)
    })?;
    Ok(vec![id.to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_tags(first: u16, last: u16) -> DcNetwork {
        let now = Timestamp(time::OffsetDateTime::UNIX_EPOCH);
        DcNetwork {
            id: "dcn-a".into(),
            name: "a".into(),
            description: String::new(),
            created_at: now,
            updated_at: now,
            uuid: "dcn-a".into(),
            vlan_lease_id: None,
            offering_network_modes: Vec::new(),
            allow_new_networks: true,
            vlan_first: Some(first),
            vlan_last: Some(last),
        }
    }

    #[test]
    fn tags_of_two_dc_networks_never_overlap() {
        let all = [with_tags(100, 199), with_tags(300, 349)];
        assert_eq!(tags(&all, None, None).unwrap(), (200, 299), "the first free hundred");
        assert_eq!(tags(&all, Some(350), Some(360)).unwrap(), (350, 360));
        assert_eq!(tags(&all, Some(350), None).unwrap(), (350, 350));
        for (first, last) in [(150, 250), (90, 100), (199, 199), (310, 320), (0, 5), (4000, 4095), (20, 10)] {
            assert!(tags(&all, Some(first), Some(last)).is_err(), "{first}..{last}");
        }
    }

    #[test]
    fn names_are_plain_and_taken_once_whatever_their_case() {
        let all = [with_tags(1, 2)];
        assert!(check_name(&all, "b", "dcn-b").is_ok() && check_name(&all, "A", "dcn-a").is_ok());
        assert_eq!(check_name(&all, "A", "dcn-b").unwrap_err().code, Code::NameTaken);
        assert_eq!(check_name(&all, "a b", "dcn-b").unwrap_err().code, Code::InvalidParameter);
    }
}
