//! `sta.snapshot.offer`: another storage node may read the snapshot, or nobody any more; what it has to know is answered.
//!
//! Rule: it changes no byte, and refuses no generation but a newer one's of the snapshot itself. The token is kept as its
//! digest only.

use super::{effect, judge, see_snapshot, settle};
use crate::agent::Sta;
use crate::store::SnapshotKeys;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::{FactReport, Retry};
use arame_schema::jobs::sta::{OfferSnapshot, OfferedSnapshot};
use arame_schema::model::{Fact, FactName};
use serde_json::json;
use sha2::{Digest, Sha256};

pub async fn run(sta: &Sta, job: OfferSnapshot, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let _volume = sta.volume_locks.change(&job.volume_key).await;
    let ended = offer(sta, &job, work).await;
    let seen = see_snapshot(sta, &job.snapshot, (&job.volume_key, &job.key), work).await;
    let offered = match ended {
        Ok(offered) => offered,
        Err(stopped) => return settle(Err(stopped), seen),
    };
    let mut facts = seen?;
    let may_be_read = if job.reader.is_some() { Fact::Yes } else { Fact::No };
    let told = work.fact(FactName::Offered, may_be_read, work.standing.observe());
    facts.push(FactReport { detail: Some(json!(offered)).filter(|_| job.reader.is_some()), ..told });
    Ok(facts)
}

async fn offer(sta: &Sta, job: &OfferSnapshot, work: &Work) -> Result<OfferedSnapshot, Stopped> {
    let Some(found) = sta.store.find_snapshot(&job.volume_key, &job.key).await? else {
        return Err(Stopped::failed("snapshot_missing", format!("{} is not in the store", job.snapshot), Retry::Never));
    };
    judge(found.mark.as_ref(), &job.key, job.snapshot.as_str(), work)?;
    let at = SnapshotKeys { volume_key: job.volume_key.clone(), key: job.key.clone() };
    let reader = job.reader.as_ref().map(|reader| hex::encode(Sha256::digest(reader.expose()))).unwrap_or_default();
    effect(work, async { sta.store.offer_snapshot(&at, &reader).await.map(drop) }).await?;
    let offer = sta.store.find_offer(&at).await?;
    let Some(offer) = offer else {
        return Err(Stopped::failed("snapshot_missing", format!("{} went", job.snapshot), Retry::Later));
    };
    Ok(OfferedSnapshot {
        url: sta.snapshot_url(&at),
        guid: offer.guid,
        size_bytes: offer.size_bytes,
        store: sta.store.kind().to_owned(),
    })
}
