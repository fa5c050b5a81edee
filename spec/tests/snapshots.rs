//! Snapshots of volumes and rollbacks to them, on the real application and agents with a simulated store that keeps what
//! was written: a rollback happens once for a request, whatever is lost, killed or repeated, and never undoes what was
//! written after it.

#[path = "snapshots/replicas.rs"]
mod replicas;
#[path = "snapshots/room.rs"]
mod room;

use anyhow::{Context, ensure};
use arame_dcmgr::app;
use arame_dcmgr::db::{self, Columns};
use arame_framework::bus::memory::Faults;
use arame_framework::bus::{Address, Bus, Durability};
use arame_framework::crash::{self, Action};
use arame_schema::api::{
    Code, CreateVolume, CreateVolumeSnapshot, DeleteVolume, FindingKind, Refusal, RollBackVolume, Volume,
    VolumeSnapshot,
};
use arame_schema::jobs::{Envelope, Job, sta};
use arame_schema::limits::WIRE_VERSION;
use arame_schema::model::instance::{InstanceState, Shutdown};
use arame_spec::world::{Size, World};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

const STA: &str = "sta.s1";
const ROLLBACK: &str = "sta.volume.rollback";

fn told<T>(result: Result<T, Refusal>) -> anyhow::Result<T> {
    result.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))
}

fn code<T>(result: Result<T, Refusal>) -> Option<Code> {
    result.map_err(|refusal| refusal.code).err()
}

/// A data center with one volume.
struct Story {
    world: World,
    volume: String,
    key: String,
}

impl Story {
    async fn start() -> anyhow::Result<Story> {
        Story::on(World::start(Size { hosts: 1, ..Size::default() }).await?).await
    }

    async fn on(world: World) -> anyhow::Result<Story> {
        let request = CreateVolume {
            volume_size: 64,
            display_name: Some("data".into()),
            backup_object_id: None,
            snapshot_id: None,
            replica_id: None,
        };
        let volume = told(app::volumes::create(&world.app, &world.demo(), request).await)?.id;
        world.volume_in(&volume, "available").await?;
        let found = world.db().rows("SELECT backend_key FROM volumes WHERE id = ?", (&volume,)).await?;
        let key = found.first().context("the row")?.text("backend_key")?;
        Ok(Story { world, volume, key })
    }

    /// What the volume's guest would have written.
    fn write(&self, content: &str) -> anyhow::Result<()> {
        let sta = self.world.storage(STA).context("the storage agent")?;
        let written = sta.world().change(|state| {
            state.volumes.get_mut(&self.key).map(|volume| content.clone_into(&mut volume.content)).is_some()
        })?;
        ensure!(written, "the volume is not on its node");
        Ok(())
    }

    fn content(&self) -> anyhow::Result<String> {
        let sta = self.world.storage(STA).context("the storage agent")?;
        sta.world()
            .look(|state| state.volumes.get(&self.key).map(|volume| volume.content.clone()))
            .context("the volume")
    }

    async fn try_snapshot(&self) -> Result<VolumeSnapshot, Refusal> {
        let volume_id = self.volume.parse().map_err(|_| Refusal::unknown(&self.volume))?;
        let request = CreateVolumeSnapshot { volume_id, display_name: None };
        app::volume_snapshots::create(&self.world.app, &self.world.demo(), request).await
    }

    async fn snapshot(&self) -> anyhow::Result<String> {
        let id = told(self.try_snapshot().await)?.id;
        self.snapshot_in(&id, "available").await?;
        Ok(id)
    }

    async fn snapshot_in(&self, id: &str, state: &str) -> anyhow::Result<()> {
        let get = async || db::volume_snapshots::get(self.world.db(), id, None).await?.context("the snapshot");
        self.world.until(&format!("{id} is {state}"), async || Ok(get().await?.state.as_str() == state)).await
    }

    async fn roll_back(&self, snapshot: &str, destroy_newer: bool) -> Result<Volume, Refusal> {
        let snapshot_id = snapshot.parse().map_err(|_| Refusal::unknown(snapshot))?;
        let request = RollBackVolume { snapshot_id, destroy_newer };
        app::volume_snapshots::roll_back(&self.world.app, &self.world.demo(), &self.volume, request).await
    }

    /// The volume, free again, with the state of its last rollback.
    async fn ended(&self) -> anyhow::Result<(Volume, String)> {
        let volume = self.world.volume_in(&self.volume, "available").await?;
        let state = volume.rollback.as_ref().map(|rollback| rollback.state.clone()).unwrap_or_default();
        Ok((volume, state))
    }

    /// The message of the last rollback as it was, or under another operation.
    async fn ring_again(&self, operation: Option<Uuid>) -> anyhow::Result<()> {
        let statement = "SELECT v.rollback_operation AS operation, v.rollback_snapshot_id AS snapshot, p.backend_key, \
            v.rollback_generation AS generation, a.incarnation, i.epoch, j.id AS job FROM volumes v \
            JOIN volume_snapshots p ON p.id = v.rollback_snapshot_id JOIN agents a ON a.id = ? \
            JOIN installation i ON i.one = 1 JOIN jobs j ON j.thing = v.id AND j.kind = ? WHERE v.id = ? ORDER BY j.seq";
        let found = self.world.db().rows(statement, (STA, ROLLBACK, &self.volume)).await?;
        let row = found.first().context("a rollback")?;
        let body = sta::RollBackVolume {
            volume: self.volume.parse()?,
            key: self.key.clone(),
            snapshot: row.parsed("snapshot")?,
            snapshot_key: row.text("backend_key")?,
            operation: operation.map_or_else(|| row.parsed("operation"), Ok)?,
        };
        let envelope = Envelope {
            v: WIRE_VERSION,
            id: row.parsed("job")?,
            kind: ROLLBACK.into(),
            agent: STA.parse()?,
            incarnation: row.col("incarnation")?,
            epoch: row.col("epoch")?,
            thing: self.volume.clone(),
            generation: row.col("generation")?,
            budget_ms: 60_000,
            body: Envelope::body_of(&Job::RollBackVolume(body)),
            traceparent: None,
        };
        let heard = Arc::new(AtomicU32::new(0));
        let count = heard.clone();
        let hook = Action::Hook(Arc::new(move |_| count.store(1, Ordering::SeqCst)));
        let _armed = crash::arm("after_answer", Some(ROLLBACK), 1, hook);
        let to = Address::Agent(STA.parse()?);
        let body = serde_json::to_vec(&envelope)?;
        self.world.broker.bus("replay").publish(&to, Durability::Persistent { expires: None }, body).await?;
        self.world.until("the message was answered", async || Ok(heard.load(Ordering::SeqCst) > 0)).await
    }

    /// What was written after the rollback stays, however often its message comes; another operation shows that the
    /// message would do something.
    async fn newer_data_stays(&self) -> anyhow::Result<()> {
        self.write("newest")?;
        for _ in 0..2 {
            self.ring_again(None).await?;
            ensure!(self.content()? == "newest", "the rollback was done again: {}", self.content()?);
        }
        self.ring_again(Some(Uuid::now_v7())).await?;
        ensure!(self.content()? == "old", "control: the message of another operation rolls back");
        Ok(())
    }

    async fn ends(self) -> anyhow::Result<()> {
        let request = DeleteVolume { with_snapshots: true };
        told(app::volumes::delete_as(&self.world.app, &self.world.demo(), &self.volume, request).await)?;
        self.world.volume_in(&self.volume, "deleted").await?;
        let sta = self.world.storage(STA).context("the storage agent")?;
        let left = sta.world().look(|state| state.volumes.len() + state.snapshots.len());
        ensure!(left == 0, "{left} things are left in the store");
        self.world.ends_clean().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_goes_back_to_what_it_held_when_the_snapshot_was_taken() -> anyhow::Result<()> {
    let story = Story::start().await?;
    story.write("old")?;
    let snapshot = story.snapshot().await?;
    story.write("new")?;
    told(story.roll_back(&snapshot, false).await)?;
    let (volume, state) = story.ended().await?;
    ensure!((story.content()?.as_str(), state.as_str()) == ("old", "done"), "{volume:?}");
    let events = story.world.db().rows("SELECT code FROM events WHERE resource = ?", (&story.volume,)).await?;
    let codes: Vec<String> = events.iter().map(|row| row.text("code")).collect::<Result<_, _>>()?;
    for code in ["snapshot_requested", "rollback_requested", "rolled_back"] {
        ensure!(codes.iter().any(|told| told == code), "{code} is not in the timeline: {codes:?}");
    }
    story.newer_data_stays().await?;
    story.ends().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_whose_outcome_was_lost_is_not_done_again() -> anyhow::Result<()> {
    let story = Story::start().await?;
    story.write("old")?;
    let snapshot = story.snapshot().await?;
    story.write("new")?;
    // The bus loses everything from the moment of the answer on, until the answer is gone.
    let broker = story.world.broker.clone();
    let lose = Action::Hook(Arc::new(move |_| broker.set_faults(1, Faults { drop: 1.0, ..Faults::default() })));
    let broker = story.world.broker.clone();
    let lost = Arc::new(AtomicU32::new(0));
    let count = lost.clone();
    let heal = Action::Hook(Arc::new(move |_| {
        broker.set_faults(0, Faults::default());
        count.fetch_add(1, Ordering::SeqCst);
    }));
    let _armed =
        (crash::arm("before_answer", Some(ROLLBACK), 1, lose), crash::arm("after_answer", Some(ROLLBACK), 1, heal));
    told(story.roll_back(&snapshot, false).await)?;
    story.world.until("the outcome was lost", async || Ok(lost.load(Ordering::SeqCst) > 0)).await?;
    ensure!(story.world.broker.stats().dropped > 0 && story.content()? == "old", "it happened and nobody heard");
    let instance = story.world.launch("web1").await?;
    let refused = app::volumes::attach(&story.world.app, &story.world.demo(), &story.volume, &instance.id).await;
    ensure!(code(refused) == Some(Code::InvalidVolumeState), "nobody uses it while its outcome is not known");
    ensure!(code(story.try_snapshot().await) == Some(Code::InvalidVolumeState), "no snapshot of it either");
    let refused = app::volume_snapshots::delete(&story.world.app, &story.world.demo(), &snapshot).await;
    ensure!(code(refused) == Some(Code::ResourceInUse), "its snapshot is needed");
    let (_, state) = story.ended().await?;
    ensure!((story.content()?.as_str(), state.as_str()) == ("old", "done"), "{state}");
    story.newer_data_stays().await?;
    told(app::instances::delete(&story.world.app, &story.world.demo(), &instance.id).await)?;
    story.world.instance_in(&instance.id, InstanceState::Terminated).await?;
    story.ends().await
}

/// The storage agent dies at a point of the rollback and comes back.
async fn dies_at(point: &str) -> anyhow::Result<()> {
    let mut story = Story::start().await?;
    story.write("old")?;
    let snapshot = story.snapshot().await?;
    story.write("new")?;
    let met = Arc::new(AtomicU32::new(0));
    let count = met.clone();
    // The process stands still where it is until nobody hears it any more, then ends there by unwinding.
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let closed = gate.clone();
    let freeze = Action::Hook(Arc::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let held = closed.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _open = closed.1.wait_while(held, |open| !*open);
        panic!("killed, as the story asked");
    }));
    let _armed = crash::arm(point, Some(ROLLBACK), 1, freeze);
    told(story.roll_back(&snapshot, false).await)?;
    story.world.until(point, async || Ok(met.load(Ordering::SeqCst) > 0)).await?;
    story.world.broker.disconnect(STA);
    *gate.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    gate.1.notify_all();
    story.world.kill_agent(STA).await;
    let before = story.content()?;
    ensure!((before == "new") == (point == "before_effect"), "{point}: it holds {before}");
    story.world.start_agent(STA, 0).await?;
    let joined = async || {
        let agents = db::agents::all(story.world.db()).await?;
        Ok(agents.iter().any(|agent| agent.id == STA && agent.incarnation > 1))
    };
    story.world.until("the next process is welcomed", joined).await?;
    let (_, state) = story.ended().await?;
    ensure!((story.content()?.as_str(), state.as_str()) == ("old", "done"), "{point}: {state}, {}", story.content()?);
    story.newer_data_stays().await?;
    story.ends().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_agent_that_dies_before_the_effect_rolls_back_once() -> anyhow::Result<()> {
    dies_at("before_effect").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_agent_that_dies_after_the_effect_rolls_back_once() -> anyhow::Result<()> {
    dies_at("after_effect").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_agent_that_dies_before_its_answer_rolls_back_once() -> anyhow::Result<()> {
    dies_at("before_answer").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_agent_that_dies_after_its_answer_rolls_back_once() -> anyhow::Result<()> {
    dies_at("after_answer").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_was_given_up_cannot_happen_later() -> anyhow::Result<()> {
    let story = Story::start().await?;
    story.write("old")?;
    let snapshot = story.snapshot().await?;
    story.write("new")?;
    let sta = story.world.storage(STA).context("the storage agent")?;
    for _ in 0..5 {
        let at = "roll_back:before".to_owned();
        sta.world().faults.arm(arame_sta::faults::Fault { at, action: arame_sta::faults::Action::Fail, times: 1 });
    }
    told(story.roll_back(&snapshot, false).await)?;
    let (volume, state) = story.ended().await?;
    ensure!((story.content()?.as_str(), state.as_str()) == ("new", "failed"), "{volume:?}");
    let failure = volume.rollback.and_then(|rollback| rollback.failure).context("why")?;
    ensure!(failure.code == "injected", "{failure:?}");
    // The store works again, and a message of it that was late arrives.
    story.write("newest")?;
    story.ring_again(None).await?;
    ensure!(story.content()? == "newest", "a rollback that was given up happened: {}", story.content()?);
    told(story.roll_back(&snapshot, false).await)?;
    let (_, state) = story.ended().await?;
    ensure!((story.content()?.as_str(), state.as_str()) == ("old", "done"), "control: a new request is carried out");
    story.ends().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_went_back_does_not_roll_back_again() -> anyhow::Result<()> {
    let story = Story::start().await?;
    story.write("old")?;
    let snapshot = story.snapshot().await?;
    told(story.roll_back(&snapshot, false).await)?;
    story.ended().await?;
    story.write("newest")?;
    // The row as it was while the rollback was open.
    let back = "UPDATE volumes SET rollback_state = 'open', state = 'reverting', \
                state_since = UTC_TIMESTAMP(3) - INTERVAL 1 MINUTE WHERE id = ?";
    story.world.db().rows(back, (&story.volume,)).await?;
    let (_, state) = story.ended().await?;
    ensure!((story.content()?.as_str(), state.as_str()) == ("newest", "done"), "{}", story.content()?);
    // The same, and the fact is forgotten with it: the agent is asked.
    story.world.db().rows("UPDATE facts SET detail = NULL WHERE thing = ?", (&story.volume,)).await?;
    story.world.db().rows(back, (&story.volume,)).await?;
    let (_, state) = story.ended().await?;
    ensure!((story.content()?.as_str(), state.as_str()) == ("newest", "done"), "{}", story.content()?);
    let jobs = story.world.db().rows("SELECT COUNT(*) AS n FROM jobs WHERE kind = ?", (ROLLBACK,)).await?;
    ensure!(jobs.first().context("a count")?.col::<u64>("n")? == 2, "the agent was asked once again");
    story.ends().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_harm_is_refused_with_the_way_out() -> anyhow::Result<()> {
    let story = Story::start().await?;
    story.write("old")?;
    let first = story.snapshot().await?;
    let instance = story.world.launch("web1").await?;
    story.world.instance_in(&instance.id, InstanceState::Running).await?;
    let (app, caller) = (&story.world.app, story.world.demo());
    told(app::volumes::attach(app, &story.world.demo(), &story.volume, &instance.id).await)?;
    story.world.volume_in(&story.volume, "attached").await?;
    ensure!(code(story.roll_back(&first, false).await) == Some(Code::VolumeInUse), "attached to what runs");
    story.write("middle")?;
    let second = story.snapshot().await?;
    told(app::instances::power_off(app, &story.world.demo(), &instance.id, Shutdown::Hard).await)?;
    story.world.instance_in(&instance.id, InstanceState::Halted).await?;
    ensure!(code(story.roll_back(&first, false).await) == Some(Code::VolumeInUse), "attached to what is off");
    told(app::volumes::detach(app, &story.world.demo(), &story.volume).await)?;
    story.world.volume_in(&story.volume, "available").await?;
    story.write("new")?;
    let refused = story.roll_back(&first, false).await.err().context("newer snapshots forbid it")?;
    ensure!(refused.code == Code::NewerSnapshots && refused.values["newer"] == second, "{refused:?}");
    let kept = app::volumes::delete(app, &caller, &story.volume).await.err().context("snapshots forbid it")?;
    ensure!(kept.code == Code::VolumeHasSnapshots && kept.values["snapshots"].contains(&first), "{kept:?}");
    let foreign = story.world.caller("a-other", arame_schema::api::Role::Member);
    ensure!(code(app::volume_snapshots::get(app, &foreign, &first).await) == Some(Code::UnknownResource), "not theirs");

    told(story.roll_back(&second, false).await)?;
    let (_, state) = story.ended().await?;
    ensure!((story.content()?.as_str(), state.as_str()) == ("middle", "done"), "control: the newest needs no word");
    told(story.roll_back(&first, true).await)?;
    let (_, state) = story.ended().await?;
    ensure!((story.content()?.as_str(), state.as_str()) == ("old", "done"), "{state}");
    story.snapshot_in(&second, "deleted").await?;
    told(app::instances::delete(app, &story.world.demo(), &instance.id).await)?;
    story.world.instance_in(&instance.id, InstanceState::Terminated).await?;
    story.ends().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_knows_snapshots_that_are_lost_and_such_that_no_row_knows() -> anyhow::Result<()> {
    let story = Story::start().await?;
    story.write("old")?;
    let (lost, forgotten) = (story.snapshot().await?, story.snapshot().await?);
    let sta = story.world.storage(STA).context("the storage agent")?;
    let owned = |id: &str, owner: Option<&arame_sta::mark::Mark>| owner.is_some_and(|mark| mark.owner == id);
    sta.world().change(|state| state.snapshots.retain(|_, one| !owned(&lost, one.mark.as_ref())))?;
    story.world.db().rows("DELETE FROM volume_snapshots WHERE id = ?", (&forgotten,)).await?;
    story.world.db().rows("DELETE FROM facts WHERE thing = ?", (&forgotten,)).await?;
    let kinds = async || {
        let findings = told(app::audit::findings(&story.world.app, &story.world.demo(), true).await)?;
        Ok::<_, anyhow::Error>(
            findings.into_iter().map(|one| (one.kind, one.owner.unwrap_or_default())).collect::<Vec<_>>(),
        )
    };
    let both = [(FindingKind::Lost, lost.clone()), (FindingKind::Unknown, forgotten.clone())];
    let found = async || {
        let kinds = kinds().await?;
        Ok(both.iter().all(|one| kinds.contains(one)))
    };
    story.world.until("both are found", found).await?;
    story.snapshot_in(&lost, "lost").await?;
    told(app::adoption::adopt(&story.world.app, &story.world.demo(), &forgotten).await)?;
    story.snapshot_in(&forgotten, "available").await?;
    let there = sta.world().look(|state| state.snapshots.values().any(|one| owned(&lost, one.mark.as_ref())));
    ensure!(!there, "what was lost is not taken again");
    told(app::volume_snapshots::delete(&story.world.app, &story.world.demo(), &lost).await)?;
    story.snapshot_in(&lost, "deleted").await?;
    story.ends().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_with_one_key_is_one_rollback() -> anyhow::Result<()> {
    let story = Story::start().await?;
    story.write("old")?;
    let snapshot = story.snapshot().await?;
    let ask = async |key: &str| {
        let mut caller = story.world.demo();
        caller.idempotency_key = Some(key.to_owned());
        let request = RollBackVolume { snapshot_id: snapshot.parse()?, destroy_newer: false };
        told(app::volume_snapshots::roll_back(&story.world.app, &caller, &story.volume, request).await)
    };
    ask("one").await?;
    story.ended().await?;
    story.write("newest")?;
    ask("one").await?;
    tokio::time::timeout(Duration::from_secs(30), story.ended()).await??;
    ensure!(story.content()? == "newest", "a request said again was done again");
    ask("two").await?;
    story.ended().await?;
    ensure!(story.content()? == "old", "control: another request is another rollback");
    story.ends().await
}

impl Story {
    async fn try_clone(&self, snapshot: &str, volume_size: u64) -> Result<Volume, Refusal> {
        let snapshot_id = Some(snapshot.parse().map_err(|_| Refusal::unknown(snapshot))?);
        let request =
            CreateVolume { volume_size, display_name: None, backup_object_id: None, snapshot_id, replica_id: None };
        app::volumes::create(&self.world.app, &self.world.demo(), request).await
    }

    async fn clone_of(&self, snapshot: &str) -> anyhow::Result<String> {
        let id = told(self.try_clone(snapshot, 0).await)?.id;
        self.world.volume_in(&id, "available").await?;
        Ok(id)
    }

    async fn content_of(&self, volume: &str) -> anyhow::Result<String> {
        let found = self.world.db().rows("SELECT backend_key FROM volumes WHERE id = ?", (volume,)).await?;
        let key = found.first().context("the row")?.text("backend_key")?;
        let sta = self.world.storage(STA).context("the storage agent")?;
        sta.world().look(|state| state.volumes.get(&key).map(|volume| volume.content.clone())).context("the volume")
    }

    async fn delete_snapshot(&self, snapshot: &str) -> anyhow::Result<()> {
        told(app::volume_snapshots::delete(&self.world.app, &self.world.demo(), snapshot).await)?;
        self.snapshot_in(snapshot, "deleted").await
    }

    async fn delete_volume(&self, volume: &str) -> anyhow::Result<()> {
        told(app::volumes::delete(&self.world.app, &self.world.demo(), volume).await)?;
        self.world.volume_in(volume, "deleted").await.map(drop)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_made_of_a_snapshot_and_outlives_it_and_its_volume() -> anyhow::Result<()> {
    let story = Story::start().await?;
    story.write("old")?;
    let snapshot = story.snapshot().await?;
    story.write("new")?;
    let small = story.try_clone(&snapshot, 32).await.err().context("it is smaller than the snapshot")?;
    ensure!(small.code == Code::InvalidParameter && small.values["expected"] == ">= 64", "{small:?}");
    let larger = told(story.try_clone(&snapshot, 128).await)?;
    let made = story.clone_of(&snapshot).await?;
    let larger = story.world.volume_in(&larger.id, "available").await?;
    let made = story.world.volume_in(&made, "available").await?;
    ensure!((larger.size, made.size) == (128 << 20, 64 << 20), "{larger:?} {made:?}");
    ensure!(made.snapshot_id.as_ref() == Some(&snapshot) && made.backup_object_id.is_none(), "{made:?}");
    ensure!(story.content_of(&made.id).await? == "old" && story.content_of(&larger.id).await? == "old");
    ensure!(story.content()? == "new", "the volume itself has nothing of it");
    let asked = "SELECT code FROM events WHERE resource = ? AND code = 'clone_requested'";
    ensure!(story.world.db().rows(asked, (&made.id,)).await?.len() == 1, "it is told in the timeline");

    story.delete_snapshot(&snapshot).await?;
    let gone = story.try_clone(&snapshot, 0).await.err().context("a deleted snapshot")?;
    ensure!(gone.code == Code::UnknownResource, "{gone:?}");
    story.delete_volume(&story.volume).await?;
    ensure!(story.content_of(&made.id).await? == "old", "it needs neither");
    for id in [&made.id, &larger.id] {
        story.delete_volume(id).await?;
    }
    story.world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_deleted_while_a_volume_is_made_of_it_goes_when_that_is_there() -> anyhow::Result<()> {
    let story = Story::start().await?;
    story.write("old")?;
    let snapshot = story.snapshot().await?;
    let met = Arc::new(AtomicU32::new(0));
    let count = met.clone();
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let closed = gate.clone();
    let wait = Action::Hook(Arc::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let held = closed.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _open = closed.1.wait_while(held, |open| !*open);
    }));
    let _armed = crash::arm("before_effect", Some("sta.volume.create"), 1, wait);
    let made = told(story.try_clone(&snapshot, 0).await)?.id;
    story.world.until("it is being made", async || Ok(met.load(Ordering::SeqCst) > 0)).await?;
    let request = DeleteVolume { with_snapshots: true };
    told(app::volumes::delete_as(&story.world.app, &story.world.demo(), &story.volume, request).await)?;
    story.snapshot_in(&snapshot, "deleting").await?;
    let asked = "SELECT kind FROM jobs WHERE thing IN (?, ?) AND kind IN ('sta.snapshot.delete', 'sta.volume.delete')";
    let jobs = async || story.world.db().rows(asked, (&snapshot, &story.volume)).await;
    ensure!(jobs().await?.is_empty(), "nothing is taken from under it");
    *gate.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    gate.1.notify_all();
    story.world.volume_in(&made, "available").await?;
    story.snapshot_in(&snapshot, "deleted").await?;
    story.world.volume_in(&story.volume, "deleted").await?;
    ensure!(jobs().await?.len() == 2, "control: they went by these");
    ensure!(story.content_of(&made).await? == "old");
    story.delete_volume(&made).await?;
    story.world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_past_what_volumes_were_made_of_is_refused_before_anything_goes() -> anyhow::Result<()> {
    let story = Story::start().await?;
    story.write("old")?;
    let first = story.snapshot().await?;
    story.write("new")?;
    let second = story.snapshot().await?;
    let of_first = story.clone_of(&first).await?;
    let middle = story.clone_of(&second).await?;
    let refused = story.roll_back(&first, true).await.err().context("a volume stands on the newer one")?;
    ensure!(refused.code == Code::NewerSnapshotsUsed && refused.values["volumes"] == middle, "{refused:?}");
    story.snapshot_in(&second, "available").await?;
    // What was made of the middle one takes its place in the store when it goes.
    let volume_id = middle.parse()?;
    let request = CreateVolumeSnapshot { volume_id, display_name: None };
    let third = told(app::volume_snapshots::create(&story.world.app, &story.world.demo(), request).await)?.id;
    story.snapshot_in(&third, "available").await?;
    let last = story.clone_of(&third).await?;
    for snapshot in [&second, &third] {
        story.delete_snapshot(snapshot).await?;
    }
    story.delete_volume(&middle).await?;
    let refused = story.roll_back(&first, false).await.err().context("one stands on it still")?;
    ensure!(refused.code == Code::NewerSnapshotsUsed && refused.values["volumes"] == last, "{refused:?}");
    story.delete_volume(&last).await?;
    told(story.roll_back(&first, false).await)?;
    let (_, state) = story.ended().await?;
    ensure!(
        (story.content()?.as_str(), state.as_str()) == ("old", "done"),
        "control: what is made of this one forbids nothing"
    );
    story.delete_volume(&of_first).await?;
    story.ends().await
}
