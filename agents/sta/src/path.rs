//! What this node holds of a volume and who reaches it, looked at when somebody asks.
//!
//! Rule: nothing is changed and nothing is remembered; of what cannot be looked at its trouble is told.

use crate::agent::Sta;
use crate::export::Target;
use crate::store::{Room, Volume};
use arame_schema::jobs::sta::path::{PathAnswer, PathPool, PathQuestion, PathTarget, PathVolume};

pub(crate) async fn answer(sta: &Sta, question: &PathQuestion) -> PathAnswer {
    let mut told = PathAnswer {
        store: sta.store.kind().to_owned(),
        export: sta.export.kind().to_owned(),
        portal: sta.export.portal().to_owned(),
        ..PathAnswer::default()
    };
    match sta.store.find_volume(&question.key).await {
        Ok(found) => told.volume = found.map(volume),
        Err(error) => told.store_trouble = Some(crate::store::sentence(&error)),
    }
    // A pool that is not imported has no words of its own: the store's trouble says it.
    if let Ok(pool) = sta.store.pool().await {
        let room = sta.store.room().await.unwrap_or_default();
        let Room { total_bytes, free_bytes } = room;
        let kept_bytes = sta.kept_bytes(room);
        let crate::store::Pool { name, health, note, scan } = pool;
        told.pool = Some(PathPool { name, health, note, scan, total_bytes, free_bytes, kept_bytes });
    }
    match sta.export.list().await {
        Ok(targets) => {
            let path = told.volume.as_ref().map(|volume| volume.path.clone());
            told.targets =
                targets.iter().filter(|one| serves(one, &question.key, path.as_deref())).map(target).collect();
        }
        Err(error) => told.export_trouble = Some(error.to_string()),
    }
    told
}

/// By what is remembered of it, and by what it serves where nothing is.
fn serves(target: &Target, key: &str, path: Option<&str>) -> bool {
    let served = target.path.as_ref().and_then(|path| path.to_str());
    target.mark.as_ref().map_or(served.is_some() && served == path, |mark| mark.key == key)
}

fn volume(found: Volume) -> PathVolume {
    let (owner, generation) = found.mark.map(|mark| (mark.owner, mark.generation)).unzip();
    PathVolume {
        path: found.path.display().to_string(),
        size_bytes: found.size_bytes,
        owner,
        generation: generation.unwrap_or_default(),
    }
}

fn target(found: &Target) -> PathTarget {
    PathTarget {
        iqn: found.iqn.clone(),
        attachment: found.attachment.clone(),
        epoch: found.epoch,
        whole: found.is_whole(),
        initiators: found.initiators.clone(),
        sessions: found.sessions.clone(),
    }
}
