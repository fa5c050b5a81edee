//! What an inventory means: new facts, and absence where every listing is complete (DESIGN 3.9).

use super::advance::{self, Cause, moving};
use super::deaths;
use super::outcome::Changed;
use super::{App, AppError, Ringing};
use crate::db::facts::FactRow;
use crate::db::{self, Tx};
use crate::plan::Kind;
use arame_schema::jobs::hva::Nic;
use arame_schema::jobs::report::{BackendStatus, FactReport, Inventory, InventoryThing};
use arame_schema::model::{Fact, FactName};
use std::collections::BTreeMap;

/// Takes an inventory in: stored for the audit, its facts written, what follows queued.
///
/// # Errors
/// The database's; the next inventory brings the same.
pub async fn settle(app: &App, inventory: &Inventory) -> Result<(), AppError> {
    let agent = inventory.agent.as_str();
    if let Some(kept_mib) = inventory.kept_mib {
        db::nodes::set_kept(app.db(), (agent, inventory.began.incarnation), kept_mib).await?;
    }
    crate::change!(app, "inventory", None, |tx, ringing| {
        let known = db::agents::find(tx, agent).await?;
        let Some(known) = known.filter(|row| row.incarnation == inventory.began.incarnation) else { return Ok(()) };
        if !db::agents::set_inventory(tx, inventory).await? {
            return Ok(());
        }
        weigh(tx, inventory).await?;
        reserve_unknown(tx, app, &known.node, inventory).await?;
        let news = news(tx, app, inventory).await?;
        take(tx, ringing, agent, news).await?;
        super::losses::weigh_return(tx, ringing, &known.node, inventory).await
    })
}

/// A snapshot newer than its row was given by a database that knew more.
async fn weigh(tx: &mut Tx, inventory: &Inventory) -> Result<(), AppError> {
    for fact in inventory.things.iter().flat_map(|thing| &thing.facts).filter(|fact| fact.name == FactName::Applied) {
        let kind = if fact.thing.starts_with("hn-") { Kind::ApplyPolicy } else { Kind::ApplyNetwork };
        let version = db::generations::current(tx, kind, &fact.thing).await?;
        if version.is_some_and(|version| fact.generation > version) {
            let (agent, found, ours) = (&inventory.agent, fact.generation, version.unwrap_or(0));
            let sign = format!("{agent} serves version {found} of {}, its row is at {ours}", fact.thing);
            super::recovery::notice(tx, &sign).await?;
        }
    }
    Ok(())
}

/// Guests of ours without a row keep their addresses: nobody else gets them (DESIGN 3.9).
async fn reserve_unknown(tx: &mut Tx, app: &App, node: &str, inventory: &Inventory) -> Result<(), AppError> {
    let of_ours = |thing: &&InventoryThing| thing.installation == Some(app.installation()) && thing.kind == "overlay";
    let guests: Vec<(&str, &InventoryThing)> =
        inventory.things.iter().filter(of_ours).filter_map(|thing| Some((thing.owner.as_deref()?, thing))).collect();
    let owners: Vec<&str> = guests.iter().map(|(owner, _)| *owner).collect();
    let known = db::instances::known(tx, &owners).await?;
    let unknown = guests.into_iter().filter(|(owner, _)| !known.iter().any(|id| id == owner));
    for (_, thing) in unknown {
        let nics = thing.detail.as_ref().map(|detail| detail["nics"].clone()).unwrap_or_default();
        for nic in serde_json::from_value::<Vec<Nic>>(nics).unwrap_or_default() {
            let (mac, ipv4) = (nic.mac.to_string(), nic.ipv4);
            let nic = db::recovery::Nic { vif: nic.vif.as_str(), network: nic.network.as_str(), mac: &mac, ipv4 };
            db::recovery::reserve(tx, node, &nic).await?;
        }
    }
    Ok(())
}

/// Facts of the listing that differ from what is known, absences among them.
async fn news(tx: &mut Tx, app: &App, inventory: &Inventory) -> Result<Vec<FactReport>, AppError> {
    let agent = inventory.agent.as_str();
    let held: BTreeMap<(String, FactName), FactRow> =
        db::facts::of_agent(tx, agent).await?.into_iter().map(|fact| ((fact.thing.clone(), fact.name), fact)).collect();
    let ours = inventory.things.iter().filter(|thing| thing.installation.is_none_or(|i| i == app.installation()));
    let mut seen = BTreeMap::new();
    for report in ours.flat_map(|thing| &thing.facts) {
        // Two things may be evidence of one fact (a domain and its overlay): the most present one counts.
        let place = seen.entry((report.thing.clone(), report.name)).or_insert_with(|| report.clone());
        if report.value > place.value {
            *place = report.clone();
        }
    }
    let mut news: Vec<FactReport> = seen
        .values()
        .filter(|report| held.get(&(report.thing.clone(), report.name)).is_none_or(|fact| is_news(fact, report)))
        .cloned()
        .collect();
    // Who names no backend has looked at none.
    let complete = !inventory.backends.is_empty()
        && inventory.backends.iter().all(|backend| backend.status == BackendStatus::Complete);
    if complete {
        // Told anew at each hello, or asked for again when somebody needs them: an inventory does not list them.
        let untold = [FactName::Applied, FactName::Offered];
        let absent = held.values().filter(|fact| {
            fact.value.may_be_so()
                && !untold.contains(&fact.name)
                && !seen.contains_key(&(fact.thing.clone(), fact.name))
        });
        news.extend(absent.map(|fact| FactReport {
            thing: fact.thing.clone(),
            name: fact.name,
            value: Fact::No,
            generation: 0,
            observed: inventory.began,
            detail: None,
        }));
    }
    Ok(news)
}

/// What a host holds of a guest between two hosts is in the detail of its domain.
fn is_news(fact: &FactRow, report: &FactReport) -> bool {
    fact.value != report.value
        || fact.generation != report.generation
        || (fact.name == FactName::Domain && fact.detail != report.detail)
}

/// Writes the news of things that no open job is about, and advances them.
async fn take(tx: &mut Tx, ringing: &mut Ringing, agent: &str, mut news: Vec<FactReport>) -> Result<(), AppError> {
    let mut changed = Changed::default();
    // With how long its next start has to wait.
    let mut things = BTreeMap::new();
    let mut before = Vec::new();
    if !news.is_empty() {
        for open in db::moves::of_agent(tx, agent).await? {
            let hidden = moving::is_hidden(tx, Some(&open), agent).await?;
            if hidden {
                news.retain(|report| !moving::is_about(report, &open));
            } else if news.iter().any(|report| moving::is_about(report, &open)) {
                before.push(moving::before(tx, Some(open), agent).await?);
            }
        }
    }
    for report in news {
        // The open job is about to tell, and may be changing it right now.
        if db::jobs::open_of(tx, &report.thing, agent).await?.is_some() || plug_is_busy(tx, &report, agent).await? {
            continue;
        }
        let ran = db::facts::value(tx, &report.thing, agent, FactName::Power).await?.0 == Fact::Yes;
        if is_known(tx, &report.thing, agent).await? && db::facts::observe(tx, agent, &report).await? {
            changed.note(tx, &report).await?;
            let ended = deaths::ended_by(&report).filter(|_| ran);
            let pause_ms = match ended {
                Some(by) => deaths::weigh(tx, &report.thing, by).await?,
                None => 0,
            };
            *things.entry(report.thing).or_insert(0) += pause_ms;
        }
    }
    for before in before {
        moving::overtake(tx, before, agent).await?;
    }
    for (thing, pause_ms) in &things {
        let cause = Cause { delay_ms: *pause_ms, ..Cause::fact() };
        advance_any(tx, ringing, thing, agent, cause).await?;
    }
    changed.advance_all(tx, ringing).await
}

/// A plug belongs to its instance's plan: its open job is the instance's.
async fn plug_is_busy(tx: &mut Tx, report: &FactReport, agent: &str) -> Result<bool, AppError> {
    if report.name != FactName::Plugged {
        return Ok(false);
    }
    let instance = match db::volumes::find_attachment(tx, &report.thing).await? {
        Some(attachment) => Some(attachment.instance),
        None => db::networks::changes::find_vif(tx, &report.thing, None).await?.and_then(|vif| vif.instance),
    };
    let Some(instance) = instance else { return Ok(false) };
    Ok(db::jobs::open_of(tx, &instance, agent).await?.is_some())
}

/// Whether a row knows the thing. What no row knows is the audit's, not a plan's.
async fn is_known(tx: &mut Tx, thing: &str, agent: &str) -> Result<bool, AppError> {
    Ok(match thing.split('-').next() {
        Some("i") => db::instances::find(tx, thing).await?.is_some(),
        Some("vol") => db::volumes::lock(tx, thing).await?.is_some(),
        Some("att") => db::volumes::find_attachment(tx, thing).await?.is_some(),
        Some("vif") => {
            let vif = db::networks::changes::find_vif(tx, thing, None).await?;
            vif.is_some_and(|vif| vif.instance.is_some())
        }
        Some("snap") => db::volume_snapshots::lock(tx, thing).await?.is_some(),
        Some("rep") => db::replicas::lock(tx, thing).await?.is_some(),
        // What several nodes reach is told by the one that wrote it.
        Some("bo") => match db::backups::work::lock(tx, thing).await? {
            Some((_, row)) if !row.deleted => {
                db::nodes::agent_of_storage(tx, &row.node).await?.as_deref() == Some(agent)
            }
            _ => false,
        },
        Some("wmi") => db::access::find_image(tx, thing).await?.is_some(),
        Some("nw") => db::networks::find(tx, thing).await?.is_some(),
        Some("hn") => db::nodes::agent_of_host(tx, thing).await?.is_some(),
        _ => false,
    })
}

async fn advance_any(
    tx: &mut Tx,
    ringing: &mut Ringing,
    thing: &str,
    agent: &str,
    cause: Cause,
) -> Result<(), AppError> {
    match thing.split('-').next() {
        Some("i") => advance::instance::advance(tx, ringing, thing, cause).await,
        Some("vol") => advance::volume::advance(tx, ringing, thing, cause).await,
        Some("snap") => advance::volume_snapshot::advance(tx, ringing, thing, cause).await,
        Some("rep") => advance::replica::advance(tx, ringing, thing, cause).await,
        Some("bo") => advance::backup::advance(tx, ringing, thing, cause).await,
        Some("att") => advance::attachment::advance(tx, ringing, thing, cause).await,
        Some("wmi") => advance::image::advance_at(tx, ringing, thing, agent, cause).await,
        Some("nw") => {
            let Some(row) = db::networks::find(tx, thing).await? else { return Ok(()) };
            advance::snapshot::row_at(tx, ringing, &row, agent, cause).await
        }
        Some("hn") => advance::snapshot::policy(tx, ringing, thing, cause).await,
        _ => Ok(()),
    }
}
