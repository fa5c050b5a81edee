//! `arame volume …`

use super::{Waiting, volume_backup, volume_replica, volume_schedule, volume_snapshot};
use crate::failure::{CliError, USAGE};
use crate::names;
use crate::session::Session;
use crate::table::{self, fields};
use crate::wait::{self, Goal};
use crate::words::{Message, say};
use arame_schema::api::{Instance, Language, Volume, VolumeSnapshot};
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a volume, blank, from a backup or from a snapshot / 作成する（空、またはバックアップ・スナップショットから）
    Create {
        /// Like 10M, 1G, 2T; from a backup or snapshot it may be left out / サイズ（バックアップやスナップショットからなら省略できます）
        #[arg(long, required_unless_present_any = ["from_backup", "from_snapshot", "from_replica"])]
        size: Option<String>,
        /// The backup it begins with, bo-… / 元になるバックアップ
        #[arg(long)]
        from_backup: Option<String>,
        /// The snapshot it begins with, snap-… or its name / 元になるスナップショット
        #[arg(long, conflicts_with = "from_backup")]
        from_snapshot: Option<String>,
        /// The replica it begins with, rep-… / 元になる複製
        #[arg(long, conflicts_with_all = ["from_backup", "from_snapshot"])]
        from_replica: Option<String>,
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// List volumes / 一覧
    List {
        /// Deleted ones too / 削除済みも含める
        #[arg(long)]
        all: bool,
    },
    /// Show a volume / 詳細を表示する
    Show { volume: String },
    /// Rename / 名前を変える
    Update {
        volume: String,
        #[arg(long)]
        name: String,
    },
    /// Attach to an instance / インスタンスに接続する
    Attach {
        volume: String,
        instance: String,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Detach from its instance / 切り離す
    Detach {
        volume: String,
        /// Also when its guest does not let it go: it is switched off hard and started again / ゲストが手放さなくても切り離す（強制的に電源を切って起動し直します）
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Delete, with its data / 削除する（データも消えます）
    Delete {
        volume: String,
        /// Its snapshots too / スナップショットも一緒に削除する
        #[arg(long)]
        with_snapshots: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// What a volume held at one moment / スナップショット
    #[command(subcommand)]
    Snapshot(volume_snapshot::Command),
    /// Copies of snapshots on other storage nodes / 別のストレージノードにあるスナップショットの複製
    #[command(subcommand)]
    Replica(volume_replica::Command),
    /// Put a detached volume back to a snapshot; what was written since is lost / 切り離してあるボリュームをスナップショットの内容に戻す（以後の変更は失われます）
    Rollback(volume_snapshot::Rollback),
    /// Copy it to a backup storage; of a volume in use it is as after a power failure / バックアップを取る（使用中なら停電直後と同じ内容）
    Backup(volume_backup::Backup),
    /// What is made of it every hour, day or week, and how many are kept / 定期的な取得と世代管理
    #[command(subcommand)]
    Schedule(volume_schedule::Command),
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::Create { size, from_backup, from_snapshot, from_replica, name, waiting } => {
            let from = Begins { backup: from_backup, snapshot: from_snapshot, replica: from_replica };
            create(session, (size.as_deref(), from), name, waiting).await
        }
        Command::List { all } => list(session, all).await,
        Command::Show { volume } => {
            let view: Volume = names::get(&session.client, &volume).await?;
            session.print(&view, |language| show(language, &view))
        }
        Command::Update { volume, name } => {
            let id = names::id_of::<Volume>(&session.client, &volume).await?;
            let body = json!({ "display_name": name });
            let view: Volume = session.client.put(&format!("/volumes/{id}"), &body).await?;
            session.print(&view, |language| show(language, &view))
        }
        Command::Attach { volume, instance, waiting } => {
            let id = names::id_of::<Volume>(&session.client, &volume).await?;
            let instance = names::id_of::<Instance>(&session.client, &instance).await?;
            let after = newest(session, &id, &waiting).await?;
            let body = json!({ "instance_id": instance });
            let _: Volume = session.client.put(&format!("/volumes/{id}/attach"), &body).await?;
            finish(session, &id, &["attached"], after, waiting).await
        }
        Command::Detach { volume, force, waiting } => {
            let id = names::id_of::<Volume>(&session.client, &volume).await?;
            let after = newest(session, &id, &waiting).await?;
            let _: Volume = session.client.put(&format!("/volumes/{id}/detach"), &json!({ "force": force })).await?;
            finish(session, &id, &["available"], after, waiting).await
        }
        Command::Delete { volume, with_snapshots, waiting } => {
            let query = if with_snapshots { "?with_snapshots=true" } else { "" };
            delete(session, &volume, query, waiting).await
        }
        Command::Snapshot(command) => volume_snapshot::run(session, command).await,
        Command::Replica(command) => volume_replica::run(session, command).await,
        Command::Rollback(asked) => volume_snapshot::roll_back(session, asked).await,
        Command::Backup(asked) => volume_backup::run(session, asked).await,
        Command::Schedule(command) => volume_schedule::run(session, command).await,
    }
}

/// What a new volume holds; blank without either.
struct Begins {
    backup: Option<String>,
    snapshot: Option<String>,
    replica: Option<String>,
}

async fn create(
    session: &mut Session<'_>,
    (size, from): (Option<&str>, Begins),
    name: Option<String>,
    waiting: Waiting,
) -> Result<(), CliError> {
    let mut body = json!({});
    if let Some(size) = size {
        let mib = mib_of(size).ok_or_else(|| {
            let sentence = say(session.language(), Message::BadSize, &[("value", size)]);
            CliError::because(USAGE, sentence, "", session.word(Message::BadSizeNext).into())
        })?;
        body["volume_size"] = json!(mib);
    }
    if let Some(backup) = from.backup {
        body["backup_object_id"] = json!(backup);
    }
    if let Some(snapshot) = from.snapshot {
        body["snapshot_id"] = json!(names::id_of::<VolumeSnapshot>(&session.client, &snapshot).await?);
    }
    if let Some(replica) = from.replica {
        body["replica_id"] = json!(replica);
    }
    if let Some(name) = name {
        body["display_name"] = json!(name);
    }
    let volume: Volume = session.client.post("/volumes", &body).await?;
    finish(session, &volume.id, &["available"], 0, waiting).await
}

/// `10M`, `1G`, `2T`, also `1GiB` and `1gb`: always powers of 1024. A bare number is MiB, as in the API.
pub fn mib_of(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let factor = match text[digits..].trim() {
        "" | "m" | "mb" | "mib" => 1,
        "g" | "gb" | "gib" => 1024,
        "t" | "tb" | "tib" => 1024 * 1024,
        _ => return None,
    };
    number.checked_mul(factor).filter(|mib| *mib > 0)
}

async fn list(session: &mut Session<'_>, all: bool) -> Result<(), CliError> {
    let mut volumes: Vec<Volume> = session.client.list("/volumes").await?;
    volumes.retain(|one| all || one.deleted_at.is_none());
    session.print(&volumes, |language| {
        let head = [
            Message::Id,
            Message::Name,
            Message::State,
            Message::Size,
            Message::Instance,
            Message::Device,
            Message::Created,
        ];
        let rows = volumes.iter().map(|one| {
            vec![
                one.id.clone(),
                one.display_name.clone().unwrap_or_default(),
                one.state.to_string(),
                table::size(one.size),
                one.instance_id.clone().unwrap_or_else(|| "-".into()),
                one.guest_device_name.clone().unwrap_or_else(|| "-".into()),
                one.created_at.to_string(),
            ]
        });
        table::table(language, &head, rows.collect())
    })
}

pub(super) fn show(language: Language, one: &Volume) -> String {
    let mut pairs = vec![
        (Message::Id, one.id.clone()),
        (Message::Name, one.display_name.clone().unwrap_or_default()),
        (Message::State, one.state.to_string()),
        (Message::Size, table::size(one.size)),
        (Message::Instance, one.instance_id.clone().unwrap_or_default()),
        (Message::Device, one.guest_device_name.clone().unwrap_or_default()),
        (Message::Created, one.created_at.to_string()),
    ];
    if let Some(from) = &one.snapshot_id {
        pairs.push((Message::FromSnapshot, from.clone()));
    }
    if let Some(from) = &one.replica_id {
        pairs.push((Message::FromReplica, from.clone()));
    }
    if let Some(last) = &one.rollback {
        pairs.push((Message::Rollback, format!("{} ({})", last.snapshot_id, last.state)));
    }
    let failed = one.rollback.as_ref().and_then(|last| last.failure.as_ref());
    if let Some(failure) = one.failure.as_ref().or(failed) {
        pairs.push((Message::Failure, failure.sentence.clone()));
        pairs.push((Message::Cause, failure.cause.clone()));
        pairs.push((Message::NextStep, failure.next_step.clone()));
    }
    fields(language, pairs)
}

async fn delete(session: &mut Session<'_>, volume: &str, query: &str, waiting: Waiting) -> Result<(), CliError> {
    let id = names::id_of::<Volume>(&session.client, volume).await?;
    let after = newest(session, &id, &waiting).await?;
    let answer: Vec<String> = session.client.delete(&format!("/volumes/{id}{query}")).await?;
    if waiting.wait {
        let goal =
            Goal { path: format!("/volumes/{id}"), id: &id, states: &["deleted"], after, timeout: waiting.timeout() };
        wait::until::<Volume>(session, goal).await?;
    } else {
        session.remark(Message::Accepted, &[("id", &id)]);
    }
    session.print(&answer, |_| String::new())
}

pub(super) async fn newest(session: &Session<'_>, id: &str, waiting: &Waiting) -> Result<u64, CliError> {
    if waiting.wait { wait::newest_event(&session.client, id).await } else { Ok(0) }
}

pub(super) async fn finish(
    session: &mut Session<'_>,
    id: &str,
    states: &[&str],
    after: u64,
    waiting: Waiting,
) -> Result<(), CliError> {
    let path = format!("/volumes/{id}");
    let view = if waiting.wait {
        wait::until(session, Goal { path, id, states, after, timeout: waiting.timeout() }).await?
    } else {
        session.remark(Message::Accepted, &[("id", id)]);
        Some(session.client.get::<Volume>(&path).await?)
    };
    match view {
        Some(view) => session.print(&view, |language| show(language, &view)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, wanted) in
            [("10M", 10), ("1G", 1024), ("2T", 2 * 1024 * 1024), ("1GiB", 1024), (" 512 ", 512), ("3 gb", 3072)]
        {
            assert_eq!(mib_of(text), Some(wanted), "{text}");
        }
        for text in ["", "G", "1.5G", "-1G", "1X", "0", "99999999999999999999T", "18446744073709551615T"] {
            assert_eq!(mib_of(text), None, "{text}");
        }
    }
}
