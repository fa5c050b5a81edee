//! Replicas: a snapshot comes to another storage node whole, as a difference where there is one before it, whoever dies
//! meanwhile; it outlives its snapshot and its volume, and nothing of it is left when it goes.

use super::{Story, code, told};
use anyhow::{Context, ensure};
use arame_dcmgr::app;
use arame_dcmgr::db::{self, Columns};
use arame_framework::crash::{self, Action};
use arame_schema::api::{
    Code, CreateSnapshotReplica, CreateVolume, DeleteVolume, Language, ListFilter, Localise, Placement, Refusal, Role,
    RollBackVolume, SnapshotReplica,
};
use arame_spec::world::{Size, World};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

const HERE: &str = "sta.s1";
const THERE: &str = "sta.s2";
const RECEIVE: &str = "sta.replica.receive";

/// A data center with two storage nodes and a volume on the first.
async fn two_nodes() -> anyhow::Result<Story> {
    Story::on(World::start(Size { hosts: 1, storage: 2, ..Size::default() }).await?).await
}

impl Story {
    async fn try_replicate(&self, snapshot: &str, node: Option<&str>) -> Result<SnapshotReplica, Refusal> {
        let request = CreateSnapshotReplica {
            snapshot_id: snapshot.parse().map_err(|_| Refusal::unknown(snapshot))?,
            storage_node_id: node.and_then(|node| node.parse().ok()),
        };
        app::replicas::create(&self.world.app, &self.world.demo(), request).await
    }

    async fn replica(&self, id: &str) -> anyhow::Result<SnapshotReplica> {
        db::replicas::get(self.world.db(), id, None).await?.context("the replica")
    }

    async fn replica_in(&self, id: &str, state: &str) -> anyhow::Result<SnapshotReplica> {
        self.world
            .until(&format!("{id} is {state}"), async || Ok(self.replica(id).await?.state.as_str() == state))
            .await?;
        self.replica(id).await
    }

    async fn replicate(&self, snapshot: &str) -> anyhow::Result<String> {
        let id = told(self.try_replicate(snapshot, None).await)?.id;
        self.replica_in(&id, "available").await?;
        Ok(id)
    }

    /// What a node has of a replica: its content, whether it came as a difference, whether it is whole.
    fn received(&self, agent: &str, id: &str) -> anyhow::Result<(String, bool, bool)> {
        let sta = self.world.storage(agent).context("a storage agent")?;
        let found = sta.world().look(|state| {
            let of = |mark: &arame_sta::mark::Mark| mark.owner == id;
            let found = state.replicas.values().find(|one| one.mark.as_ref().is_some_and(of));
            found.map(|one| (one.content.clone(), one.base.is_some(), one.is_whole))
        });
        found.with_context(|| format!("{id} is not at {agent}"))
    }

    /// Whether anybody may read a snapshot of the volume.
    fn is_offered(&self) -> anyhow::Result<bool> {
        let sta = self.world.storage(HERE).context("the storage agent")?;
        let read = |reader: &Option<String>| reader.as_ref().is_some_and(|digest| !digest.is_empty());
        Ok(sta.world().look(|state| state.snapshots.values().any(|one| read(&one.reader))))
    }

    async fn is_withdrawn(&self) -> anyhow::Result<()> {
        self.world.until("the snapshot is offered to nobody", async || Ok(!self.is_offered()?)).await
    }

    async fn volume_of(&self, replica: &str) -> anyhow::Result<String> {
        let request = CreateVolume {
            volume_size: 0,
            display_name: None,
            backup_object_id: None,
            snapshot_id: None,
            replica_id: Some(replica.parse()?),
        };
        let made = told(app::volumes::create(&self.world.app, &self.world.demo(), request).await)?;
        let made = self.world.volume_in(&made.id, "available").await?;
        ensure!(made.replica_id.as_deref() == Some(replica), "{made:?}");
        ensure!(made.storage_node_id.as_deref() == Some("sn-s2"), "it is where the replica is: {made:?}");
        Ok(made.id)
    }

    fn content_at(&self, agent: &str, volume: &str) -> anyhow::Result<String> {
        let sta = self.world.storage(agent).context("a storage agent")?;
        let found = sta.world().look(|state| {
            let of = |mark: &arame_sta::mark::Mark| mark.owner == volume;
            let found = state.volumes.values().find(|one| one.mark.as_ref().is_some_and(of));
            found.map(|one| one.content.clone())
        });
        found.with_context(|| format!("{volume} is not at {agent}"))
    }

    async fn unreplicate(&self, id: &str) -> anyhow::Result<()> {
        told(app::replicas::delete(&self.world.app, &self.world.demo(), id).await)?;
        self.replica_in(id, "deleted").await.map(drop)
    }

    async fn ends_empty(self, volumes: &[String]) -> anyhow::Result<()> {
        for volume in volumes {
            let request = DeleteVolume { with_snapshots: true };
            told(app::volumes::delete_as(&self.world.app, &self.world.demo(), volume, request).await)?;
            self.world.volume_in(volume, "deleted").await?;
        }
        for agent in [HERE, THERE] {
            let sta = self.world.storage(agent).context("a storage agent")?;
            let left = sta.world().look(|state| state.volumes.len() + state.snapshots.len() + state.replicas.len());
            ensure!(left == 0, "{left} things are left at {agent}");
        }
        self.world.ends_clean().await
    }
}

/// Holds a job where it is until it is let go.
struct Gate {
    open: Arc<(Mutex<bool>, Condvar)>,
    met: Arc<AtomicU32>,
    _armed: crash::Armed,
}

impl Gate {
    fn at(point: &'static str, dies: bool) -> Gate {
        let (open, met) = (Arc::new((Mutex::new(false), Condvar::new())), Arc::new(AtomicU32::new(0)));
        let (closed, count) = (open.clone(), met.clone());
        let hold = Action::Hook(Arc::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            let held = closed.0.lock().unwrap_or_else(PoisonError::into_inner);
            let held = closed.1.wait_while(held, |open| !*open);
            drop(held);
            assert!(!dies, "killed, as the story asked");
        }));
        Gate { open, met, _armed: crash::arm(point, Some(RECEIVE), 1, hold) }
    }

    async fn reached(&self, story: &Story) -> anyhow::Result<()> {
        story.world.until("the receiving is held", async || Ok(self.met.load(Ordering::SeqCst) > 0)).await
    }

    fn open(&self) {
        *self.open.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.open.1.notify_all();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_copied_to_another_node_then_what_changed_and_outlives_its_volume() -> anyhow::Result<()> {
    let story = two_nodes().await?;
    story.write("one")?;
    let first = story.snapshot().await?;
    let whole = story.replicate(&first).await?;
    ensure!(story.received(THERE, &whole)? == ("one".into(), false, true), "{:?}", story.received(THERE, &whole)?);
    story.is_withdrawn().await?;
    story.write("one and two")?;
    let second = story.snapshot().await?;
    let changed = story.replicate(&second).await?;
    ensure!(story.received(THERE, &changed)? == ("one and two".into(), true, true), "what changed came");
    let again = told(story.try_replicate(&second, Some("sn-s2")).await)?;
    ensure!(again.id == changed, "asked for again it is the same");
    let codes = story.world.db().rows("SELECT code FROM events WHERE resource = ?", (&changed,)).await?;
    let codes: Vec<String> = codes.iter().map(|row| row.text("code")).collect::<Result<_, _>>()?;
    ensure!(["replica_requested", "replicated"].iter().all(|one| codes.iter().any(|code| code == one)), "{codes:?}");

    // Its volume goes, and its snapshots: what was copied stays, and is a volume again.
    let request = DeleteVolume { with_snapshots: true };
    told(app::volumes::delete_as(&story.world.app, &story.world.demo(), &story.volume, request).await)?;
    story.world.volume_in(&story.volume, "deleted").await?;
    let operator = story.world.caller("a-demo", Role::Operator);
    let Err(refused) = app::accounts::delete(&story.world.app, &operator, "a-demo").await else {
        anyhow::bail!("an account went and left its replicas to nobody")
    };
    ensure!(refused.values.iter().any(|(_, value)| value.contains("2 replicas")), "{refused:?}");
    let copy = story.volume_of(&changed).await?;
    ensure!(story.content_at(THERE, &copy)? == "one and two", "{}", story.content_at(THERE, &copy)?);
    let listed = app::replicas::list(
        &story.world.app,
        &story.world.demo(),
        ListFilter { limit: 50, ..ListFilter::default() },
        (None, None),
    )
    .await;
    ensure!(told(listed)?.results.len() == 2, "both are listed");
    story.unreplicate(&whole).await?;
    story.unreplicate(&changed).await?;
    ensure!(story.content_at(THERE, &copy)? == "one and two", "the volume keeps what it holds");
    story.ends_empty(&[copy]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_cannot_be_is_refused_with_what_would_make_it_possible() -> anyhow::Result<()> {
    let story = two_nodes().await?;
    story.write("one")?;
    let snapshot = story.snapshot().await?;
    let refused = story.try_replicate(&snapshot, Some("sn-nowhere")).await;
    ensure!(code(refused) == Some(Code::UnknownResource), "an unknown node");
    let Err(refused) = story.try_replicate(&snapshot, Some("sn-s1")).await else {
        anyhow::bail!("a copy beside its snapshot was let in")
    };
    ensure!(refused.code == Code::OutOfStorageCapacity, "{refused:?}");
    let mut told_why: Placement = serde_json::from_value(*refused.detail.clone().context("verdicts")?)?;
    for language in [Language::En, Language::Ja] {
        told_why.localise(language);
        let change = told_why.smallest_change.as_ref().context("the smallest change")?;
        ensure!(change.code == "storage_another" && change.sentence.contains("sn-s1"), "{change:?}");
    }
    let replica = story.replicate(&snapshot).await?;
    let refused = story.try_replicate(&snapshot, None).await;
    ensure!(code(refused) == Some(Code::OutOfStorageCapacity), "every node has it");
    let stranger = story.world.caller("a-other", Role::Member);
    let refused = app::replicas::delete(&story.world.app, &stranger, &replica).await;
    ensure!(code(refused) == Some(Code::UnknownResource), "another account's is unknown");
    let refused = app::replicas::get(&story.world.app, &stranger, &replica).await;
    ensure!(code(refused) == Some(Code::UnknownResource), "to look at as well");
    story.unreplicate(&replica).await?;
    let volume = story.volume.clone();
    story.ends_empty(&[volume]).await
}

/// The receiving node dies at a point of it and comes back.
async fn receiver_dies_at(point: &'static str) -> anyhow::Result<()> {
    let mut story = two_nodes().await?;
    story.write("one")?;
    let snapshot = story.snapshot().await?;
    let gate = Gate::at(point, true);
    let replica = told(story.try_replicate(&snapshot, None).await)?.id;
    gate.reached(&story).await?;
    story.world.broker.disconnect(THERE);
    gate.open();
    story.world.kill_agent(THERE).await;
    story.world.start_agent(THERE, 0).await?;
    story.replica_in(&replica, "available").await?;
    ensure!(story.received(THERE, &replica)?.0 == "one", "{point}");
    story.is_withdrawn().await?;
    story.unreplicate(&replica).await?;
    let volume = story.volume.clone();
    story.ends_empty(&[volume]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_before_it_receives_receives_it_all_the_same() -> anyhow::Result<()> {
    receiver_dies_at("before_effect").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_before_its_answer_has_received_it() -> anyhow::Result<()> {
    receiver_dies_at("before_answer").await
}

/// What becomes of the snapshot's node when it has offered the snapshot, before anybody hears of it.
fn after_the_offer(story: &Story, change: fn(&mut arame_sta::sim::State)) -> anyhow::Result<crash::Armed> {
    let sta = Arc::downgrade(&story.world.storage(HERE).context("the storage agent")?);
    let hook = Action::Hook(Arc::new(move |_| {
        if let Some(sta) = sta.upgrade() {
            let _ = sta.world().change(change);
        }
    }));
    Ok(crash::arm("before_answer", Some("sta.snapshot.offer"), 1, hook))
}

async fn is_not_sent(story: &Story, replica: &str) -> anyhow::Result<()> {
    let failed = async || {
        let told = "SELECT COUNT(*) AS n FROM jobs WHERE thing = ? AND error_code = 'replica_source_unavailable'";
        let found = story.world.db().rows(told, (replica,)).await?;
        Ok(found.first().context("a count")?.col::<u64>("n")? > 0)
    };
    story.world.until("it was not sent", failed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_dies_and_comes_back_elsewhere_is_asked_again_and_sends() -> anyhow::Result<()> {
    let mut story = two_nodes().await?;
    story.write("one")?;
    let snapshot = story.snapshot().await?;
    let away = |state: &mut arame_sta::sim::State| {
        state.unavailable.insert("store".into(), "the pool is not imported".into());
    };
    let armed = after_the_offer(&story, away)?;
    let replica = told(story.try_replicate(&snapshot, None).await)?.id;
    is_not_sent(&story, &replica).await?;
    ensure!(story.replica(&replica).await?.state.as_str() == "creating", "it is waited for");
    drop(armed);
    // Its next process listens on another port.
    story.world.kill_agent(HERE).await;
    story.world.start_agent(HERE, 0).await?;
    ensure!(story.replica(&replica).await?.state.as_str() == "creating", "control: its pool is still away");
    let sta = story.world.storage(HERE).context("the storage agent")?;
    sta.world().change(|state| state.unavailable.clear())?;
    drop(sta);
    story.replica_in(&replica, "available").await?;
    ensure!(story.received(THERE, &replica)?.0 == "one", "the bytes");
    story.is_withdrawn().await?;
    story.unreplicate(&replica).await?;
    let volume = story.volume.clone();
    story.ends_empty(&[volume]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_stays_while_it_is_copied_and_a_replica_that_is_deleted_meanwhile_leaves_nothing()
-> anyhow::Result<()> {
    let story = two_nodes().await?;
    story.write("one")?;
    let (older, snapshot) = (story.snapshot().await?, story.snapshot().await?);
    let gate = Gate::at("before_effect", false);
    let replica = told(story.try_replicate(&snapshot, None).await)?.id;
    gate.reached(&story).await?;
    let back = RollBackVolume { snapshot_id: older.parse()?, destroy_newer: true };
    let refused = app::volume_snapshots::roll_back(&story.world.app, &story.world.demo(), &story.volume, back).await;
    ensure!(code(refused) == Some(Code::ResourceInUse), "a rollback would take the snapshot away");
    told(app::volume_snapshots::delete(&story.world.app, &story.world.demo(), &snapshot).await)?;
    story.snapshot_in(&snapshot, "deleting").await?;
    let deletes = story.world.jobs_of(&snapshot).await?;
    ensure!(deletes.iter().all(|kind| kind != "sta.snapshot.delete"), "it is not deleted under its reader");
    gate.open();
    story.replica_in(&replica, "available").await?;
    story.snapshot_in(&snapshot, "deleted").await?;
    ensure!(story.received(THERE, &replica)?.0 == "one", "the replica came whole");

    let gate = Gate::at("before_effect", false);
    let other = told(story.try_replicate(&older, None).await)?.id;
    gate.reached(&story).await?;
    told(app::replicas::delete(&story.world.app, &story.world.demo(), &other).await)?;
    gate.open();
    story.replica_in(&other, "deleted").await?;
    story.is_withdrawn().await?;
    story.unreplicate(&replica).await?;
    let volume = story.volume.clone();
    story.ends_empty(&[volume]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_snapshot_is_lost_before_it_came_says_so_and_leaves_nothing() -> anyhow::Result<()> {
    let story = two_nodes().await?;
    story.write("one")?;
    let snapshot = story.snapshot().await?;
    let _armed = after_the_offer(&story, |state| state.snapshots.clear())?;
    let replica = told(story.try_replicate(&snapshot, None).await)?.id;
    let failed = story.replica_in(&replica, "failed").await?;
    ensure!(failed.failure.as_ref().is_some_and(|why| why.code == "replica_source_gone"), "{failed:?}");
    story.snapshot_in(&snapshot, "lost").await?;
    story.unreplicate(&replica).await?;
    let volume = story.volume.clone();
    story.ends_empty(&[volume]).await
}
