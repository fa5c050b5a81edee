//! Copies that the database forgot: replicas and backups get their rows back from what is written beside their marks, with the
//! bytes that they had, or are removed; nothing of them is left then.

use super::{audit, go_back, of_kind, put_aside, settled, told};
use anyhow::{Context, ensure};
use arame_dcmgr::app;
use arame_dcmgr::db;
use arame_schema::api::{
    BackUpVolume, Code, CreateSnapshotReplica, CreateVolume, CreateVolumeSnapshot, DeleteVolume, Finding, FindingKind,
    Role, SetBackupStorage,
};
use arame_schema::jobs::sta::Origin;
use arame_schema::model::backup::BackupState;
use arame_spec::world::{Size, World};
use arame_sta::faults::{Action, Fault};
use arame_sta::mark::Mark;
use arame_sta::store::label;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

const HERE: &str = "sta.s1";
const THERE: &str = "sta.s2";
const MIB: u64 = 1 << 20;

struct Story {
    world: World,
    volume: String,
}

fn request(size: u64) -> CreateVolume {
    CreateVolume { volume_size: size, display_name: None, backup_object_id: None, snapshot_id: None, replica_id: None }
}

impl Story {
    /// Two storage nodes and a volume on the first, with a place for backups at each.
    async fn start(files: bool) -> anyhow::Result<Story> {
        let world = World::start(Size { hosts: 1, storage: 2, files, ..Size::default() }).await?;
        let storage = SetBackupStorage {
            id: Some("bkst-local".parse()?),
            storage_type: Some("local".into()),
            ..SetBackupStorage::default()
        };
        told(app::backups::create_storage(&world.app, &world.caller("a-demo", Role::Admin), storage).await)?;
        let volume = told(app::volumes::create(&world.app, &world.demo(), request(64)).await)?.id;
        world.volume_in(&volume, "available").await?;
        Ok(Story { world, volume })
    }

    fn sta(&self, agent: &str) -> anyhow::Result<Arc<arame_sta::Sta>> {
        self.world.storage(agent).context("the storage agent")
    }

    async fn agent_of(&self, volume: &str) -> anyhow::Result<&'static str> {
        let found = self.world.volume_in(volume, "available").await?;
        Ok(if found.storage_node_id.as_deref() == Some("sn-s1") { HERE } else { THERE })
    }

    async fn file_of(&self, volume: &str) -> anyhow::Result<PathBuf> {
        let found = self.sta(self.agent_of(volume).await?)?.store().list_volumes().await?;
        let is_it = |mark: &Option<Mark>| mark.as_ref().is_some_and(|mark| mark.owner == volume);
        Ok(found.into_iter().find(|one| is_it(&one.mark)).context("the volume's file")?.path)
    }

    /// What its guest would have written.
    async fn write(&self, words: &str) -> anyhow::Result<()> {
        let file = std::fs::File::options().write(true).open(self.file_of(&self.volume).await?)?;
        file.write_all_at(words.as_bytes(), 5 * MIB)?;
        Ok(file.sync_all()?)
    }

    async fn holds(&self, volume: &str, words: &str) -> anyhow::Result<()> {
        let file = std::fs::File::open(self.file_of(volume).await?)?;
        let mut found = vec![0; words.len() + 1];
        file.read_exact_at(&mut found, 5 * MIB)?;
        let wanted = format!("{words}\0");
        ensure!(found == wanted.as_bytes(), "{volume} holds {:?}", String::from_utf8_lossy(&found));
        Ok(())
    }

    async fn snapshot(&self) -> anyhow::Result<String> {
        let request = CreateVolumeSnapshot { volume_id: self.volume.parse()?, display_name: None };
        let id = told(app::volume_snapshots::create(&self.world.app, &self.world.demo(), request).await)?.id;
        let is = async || {
            let found = app::volume_snapshots::get(&self.world.app, &self.world.demo(), &id).await;
            Ok(told(found)?.state.as_str() == "available")
        };
        self.world.until("the snapshot is there", is).await?;
        Ok(id)
    }

    async fn ask_replica(&self, snapshot: &str) -> anyhow::Result<String> {
        let request = CreateSnapshotReplica { snapshot_id: snapshot.parse()?, storage_node_id: None };
        Ok(told(app::replicas::create(&self.world.app, &self.world.demo(), request).await)?.id)
    }

    async fn replica_in(&self, id: &str, state: &str) -> anyhow::Result<()> {
        let is = async || {
            let found = db::replicas::get(self.world.db(), id, None).await?.context("the replica")?;
            Ok(found.state.as_str() == state)
        };
        self.world.until(&format!("{id} is {state}"), is).await
    }

    async fn ask_backup(&self) -> anyhow::Result<String> {
        let (app, caller) = (&self.world.app, self.world.demo());
        let made = app::backups::back_up_volume(app, &caller, &self.volume, BackUpVolume::default()).await;
        Ok(told(made)?.backup_object_id)
    }

    async fn backup_in(&self, id: &str, state: BackupState) -> anyhow::Result<()> {
        let is = async || {
            let found = told(app::backups::object(&self.world.app, &self.world.demo(), id).await)?;
            Ok(found.state == state.as_str())
        };
        self.world.until(&format!("{id} is {state}"), is).await
    }

    async fn adopt(&self, id: &str) -> anyhow::Result<()> {
        let adopted = told(app::adoption::adopt(&self.world.app, &self.world.demo(), id).await)?;
        ensure!(adopted == id, "{adopted}");
        Ok(())
    }

    async fn remove(&self, id: &str) -> anyhow::Result<()> {
        told(app::adoption::remove(&self.world.app, &self.world.demo(), id).await).map(drop)
    }

    /// What the audit finds when nothing is under way.
    async fn unknown(&self, ids: &[&str]) -> anyhow::Result<()> {
        let of = |found: &[Finding]| {
            let mut owners: Vec<String> =
                of_kind(found, FindingKind::Unknown).into_iter().filter_map(|one| one.owner.clone()).collect();
            owners.sort();
            owners.dedup();
            owners
        };
        let mut wanted: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        wanted.sort();
        let is = async || Ok(of(&audit(&self.world).await?) == wanted);
        self.world.until("the audit tells what no row knows", is).await
    }

    async fn made_of(&self, request: CreateVolume) -> anyhow::Result<String> {
        let made = told(app::volumes::create(&self.world.app, &self.world.demo(), request).await)?.id;
        self.world.volume_in(&made, "available").await?;
        Ok(made)
    }

    /// Nothing is left anywhere.
    async fn ends(self, volumes: &[String]) -> anyhow::Result<()> {
        for volume in volumes.iter().chain([&self.volume]) {
            let request = DeleteVolume { with_snapshots: true };
            told(app::volumes::delete_as(&self.world.app, &self.world.demo(), volume, request).await)?;
            self.world.volume_in(volume, "deleted").await?;
        }
        for agent in [HERE, THERE] {
            let sta = self.sta(agent)?;
            let volumes = sta.store().list_volumes().await?.len();
            let snapshots = sta.store().list_snapshots().await?.len();
            let replicas = sta.store().list_replicas().await?.len();
            let objects = sta.backups().list(&"bkst-local".parse()?).await?.len();
            let left = (volumes, snapshots, replicas, objects);
            ensure!(left == (0, 0, 0, 0), "{left:?} volumes, snapshots, replicas, backups are left at {agent}");
        }
        self.world.ends_clean().await
    }
}

/// As an agent wrote it that did not note whose it is and of which snapshot.
async fn forget_origin(story: &Story, replica: &str) -> anyhow::Result<()> {
    for agent in [HERE, THERE] {
        let store = story.sta(agent)?.store();
        for found in store.list_replicas().await? {
            if found.mark.as_ref().is_some_and(|mark| mark.owner == replica) {
                let at = story.file_of(&story.volume).await?;
                let root = at.ancestors().nth(4).context("the agents' folders")?;
                let path = root.join(agent).join("data/replicas").join(&found.key);
                let mut known = label::read(&path)?.context("its label")?;
                let told = known.replica.as_mut().context("what is told of it")?;
                ensure!(told.origin.snapshot.is_some() && told.origin.account.is_some(), "control: {told:?}");
                told.origin = Origin::default();
                label::write(&std::fs::File::options().write(true).open(&path)?, &path, &known)?;
                return Ok(());
            }
        }
    }
    anyhow::bail!("{replica} is nowhere")
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_the_database_forgot_come_back_with_their_bytes_or_are_removed() -> anyhow::Result<()> {
    let mut story = Story::start(true).await?;
    story.write("first").await?;
    let first = story.snapshot().await?;
    story.write("second").await?;
    let second = story.snapshot().await?;
    let third = story.snapshot().await?;
    settled(&story.world).await?;
    put_aside(&story.world).await?;
    story.world.db().rows("UPDATE installation SET epoch = epoch + 1", ()).await?;
    let mut replicas = Vec::new();
    for snapshot in [&first, &second, &third] {
        let id = story.ask_replica(snapshot).await?;
        story.replica_in(&id, "available").await?;
        replicas.push(id);
    }
    let mut backups = Vec::new();
    for _ in 0..2 {
        let id = story.ask_backup().await?;
        story.backup_in(&id, BackupState::Available).await?;
        backups.push(id);
    }
    settled(&story.world).await?;
    story.write("newest").await?;
    let [kept, older, gone] = [&replicas[0], &replicas[1], &replicas[2]];
    let [saved, spare] = [&backups[0], &backups[1]];
    forget_origin(&story, older).await?;

    story.world.kill_dcmgr().await;
    go_back(&story.world).await?;
    story.world.restart_dcmgr().await?;
    story.unknown(&[kept, older, gone, saved, spare]).await?;
    for id in [kept, older, saved] {
        story.adopt(id).await.with_context(|| id.clone())?;
    }
    for id in [gone, spare] {
        story.remove(id).await.with_context(|| id.clone())?;
    }
    let again = app::adoption::adopt(&story.world.app, &story.world.demo(), kept).await;
    ensure!(again.is_err_and(|refusal| refusal.code == Code::NotAdoptable), "it has its row");
    told(app::recovery::confirm(&story.world.app, &story.world.demo()).await)?;
    story.replica_in(gone, "deleted").await?;
    story.backup_in(spare, BackupState::Deleted).await?;
    story.unknown(&[]).await?;
    settled(&story.world).await?;

    let told_of = async |id: &str| db::replicas::get(story.world.db(), id, None).await?.context("the replica");
    let back = told_of(kept).await?;
    ensure!((back.snapshot_id.as_str(), back.account_id.as_str()) == (first.as_str(), "a-demo"), "{back:?}");
    ensure!(back.state.as_str() == "available" && back.volume_id == story.volume, "{back:?}");
    let back = told_of(older).await?;
    ensure!((back.snapshot_id.as_str(), back.account_id.as_str()) == ("", "a-demo"), "its volume's account: {back:?}");
    let object = told(app::backups::object(&story.world.app, &story.world.demo(), saved).await)?;
    ensure!(object.source_volume_id.as_deref() == Some(&story.volume) && object.checksum.len() == 64, "{object:?}");

    let one = story.made_of(CreateVolume { replica_id: Some(kept.parse()?), ..request(0) }).await?;
    let two = story.made_of(CreateVolume { replica_id: Some(older.parse()?), ..request(0) }).await?;
    let three = story.made_of(CreateVolume { backup_object_id: Some(saved.parse()?), ..request(0) }).await?;
    story.holds(&one, "first").await?;
    story.holds(&two, "second").await?;
    story.holds(&three, "second").await?;
    story.holds(&story.volume, "newest").await?;
    ensure!(story.agent_of(&three).await? == story.agent_of(&story.volume).await?, "nobody else may read it");
    for id in [kept, older] {
        told(app::replicas::delete(&story.world.app, &story.world.demo(), id).await)?;
        story.replica_in(id, "deleted").await?;
    }
    told(app::backups::delete_object(&story.world.app, &story.world.demo(), saved).await)?;
    story.backup_in(saved, BackupState::Deleted).await?;
    story.ends(&[one, two, three]).await
}

/// Rows of a kind and what hangs on them.
async fn forget(story: &Story, table: &str, id: &str) -> anyhow::Result<()> {
    for statement in [
        format!("DELETE FROM {table} WHERE id = ?"),
        "DELETE FROM facts WHERE thing = ?".to_owned(),
        "DELETE FROM jobs WHERE thing = ?".to_owned(),
    ] {
        story.world.db().rows(statement, (id,)).await?;
    }
    Ok(())
}

/// Hangs a simulated storage node, and waits until it does.
async fn hung(story: &Story, agent: &str, at: &str) -> anyhow::Result<()> {
    let sta = story.sta(agent)?;
    story.world.until(at, async || Ok(sta.world().faults.waiting(at) == 0)).await
}

fn hang(story: &Story, agent: &str, at: &str) -> anyhow::Result<()> {
    story.sta(agent)?.world().faults.arm(Fault { at: at.into(), action: Action::Hang, times: 1 });
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_replica_that_the_database_forgot_goes_on_or_is_removed() -> anyhow::Result<()> {
    let mut story = Story::start(false).await?;
    let (here, there) = match story.agent_of(&story.volume).await? {
        HERE => (HERE, THERE),
        _ => (THERE, HERE),
    };
    let snapshot = story.snapshot().await?;
    for is_kept in [true, false] {
        hang(&story, there, "receive_replica:begun")?;
        let id = story.ask_replica(&snapshot).await?;
        hung(&story, there, "receive_replica:begun").await?;
        story.world.kill_agent(there).await;
        forget(&story, "snapshot_replicas", &id).await?;
        story.world.start_agent(there, 0).await?;
        story.unknown(&[&id]).await?;
        if is_kept {
            story.adopt(&id).await?;
            story.replica_in(&id, "available").await?;
            told(app::replicas::delete(&story.world.app, &story.world.demo(), &id).await)?;
        } else {
            story.remove(&id).await?;
        }
        story.replica_in(&id, "deleted").await?;
    }
    let left = story.sta(here)?.world().look(|state| state.replicas.len());
    ensure!(left == 0, "control: the volume's node has none");
    story.ends(&[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_snapshot_of_a_forgotten_backup_is_removed_and_is_nothing_to_adopt() -> anyhow::Result<()> {
    let story = Story::start(false).await?;
    let agent = story.agent_of(&story.volume).await?;
    hang(&story, agent, "copy_backup:before")?;
    let id = story.ask_backup().await?;
    hung(&story, agent, "copy_backup:before").await?;
    forget(&story, "backup_objects", &id).await?;
    story.unknown(&[&id]).await?;
    let refused = app::adoption::adopt(&story.world.app, &story.world.demo(), &id).await;
    ensure!(refused.is_err_and(|refusal| refusal.code == Code::NotAdoptable), "nobody knows where it was to lie");
    story.remove(&id).await?;
    story.backup_in(&id, BackupState::Deleted).await?;
    story.ends(&[]).await
}
