//! Why a volume is reached by its machine, or is not: what is known here, and what its host and its storage node see now.
//!
//! Rule: nothing is concluded of an agent that is not heard; it is not asked either. What follows from what is in [`steps`].

mod steps;

use super::super::{App, AppError, Caller};
use super::get;
use crate::db;
use arame_schema::api::{HostNode, Refusal, StorageNode, VolumeWhy};
use arame_schema::jobs::figures::{DiskTotals, FIGURES, FiguresAnswer};
use arame_schema::jobs::sta::path::{PATH, PathAnswer, PathQuestion};
use serde::de::DeserializeOwned;
use serde_json::Value;
use steps::{Counted, Known};

pub async fn why(app: &App, caller: &Caller, id: &str) -> Result<VolumeWhy, Refusal> {
    let volume = get(app, caller, id).await?;
    let row = db::volume_paths::of_volume(app.db(), id).await.map_err(AppError::from)?;
    let row = row.ok_or_else(|| Refusal::unknown(id))?;
    let [attachment, instance] = match &row.attachment {
        Some(open) => [open.id.as_str(), open.instance.as_str()],
        None => [""; 2],
    };
    let jobs = db::volume_paths::open_jobs(app.db(), [id, attachment, instance]).await.map_err(AppError::from)?;
    let storage = db::nodes::storage_one(app.db(), &row.storage_node).await.map_err(AppError::from)?;
    let storage = storage.ok_or_else(|| Refusal::unknown(&row.storage_node))?;
    let host = match row.attachment.as_ref().and_then(|open| open.host.as_deref()) {
        Some(host) => db::nodes::host(app.db(), host).await.map_err(AppError::from)?,
        None => None,
    };
    let (stored, counted) =
        tokio::join!(stored(app, &storage, &row.key), counted(app, host.as_ref(), instance, attachment));
    let path = steps::path(
        &Known { volume: &volume, row: &row, jobs: &jobs, host: host.as_ref(), storage: &storage },
        stored,
        counted,
    );
    let verdict = steps::verdict(&path, row.attachment.is_some());
    Ok(VolumeWhy {
        volume_id: volume.id,
        account_id: volume.account_id,
        instance_id: row.attachment.map(|open| open.instance),
        code: verdict.code,
        sentence: String::new(),
        values: verdict.values,
        path,
    })
}

async fn stored(app: &App, storage: &StorageNode, key: &str) -> Result<PathAnswer, String> {
    ask(app, (&storage.node_id, &storage.status), PATH, &PathQuestion { key: key.to_owned() }).await
}

/// What the host counted of the disk, if it is asked at all.
async fn counted(app: &App, host: Option<&HostNode>, instance: &str, attachment: &str) -> Counted {
    let Some(host) = host else { return Counted::NotAsked };
    let question = serde_json::json!({ "instance": instance });
    let answer: Result<FiguresAnswer, String> = ask(app, (&host.node_id, &host.status), FIGURES, &question).await;
    let Ok(newest) = answer.map(|answer| answer.readings.into_iter().next_back()) else { return Counted::NotAsked };
    let Some(disks) = newest.map(|reading| reading.totals.disks).filter(|disks| !disks.is_empty()) else {
        return Counted::NotAsked;
    };
    let is_it = |disk: &DiskTotals| disk.attachment.as_ref().is_some_and(|id| id.as_str() == attachment);
    disks.into_values().find(is_it).map_or(Counted::Missing, Counted::Disk)
}

async fn ask<T: DeserializeOwned>(
    app: &App,
    (agent, status): (&str, &str),
    question: &str,
    arguments: &impl serde::Serialize,
) -> Result<T, String> {
    if status != "online" {
        return Err(status.to_owned());
    }
    let agent = agent.parse().map_err(|_| format!("{agent} is no agent"))?;
    let arguments = serde_json::to_value(arguments).unwrap_or(Value::Null);
    let answer = app.questions().ask(agent, question, arguments).await?;
    serde_json::from_value(answer).map_err(|error| error.to_string())
}
