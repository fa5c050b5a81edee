//! What a user meets of schedules, and what must not happen twice although two dcmgr look every two seconds.

use anyhow::{Context, ensure};
use arame_dcmgr::app;
use arame_dcmgr::db::Columns;
use arame_schema::api::{
    Code, CreateVolume, DeleteVolume, Language, ListFilter, Localise, Refusal, Role, SchedulePlan, ScheduleRun,
    SetBackupStorage, SetVolumeSchedule, UpdateBackupObject, VolumeSchedule,
};
use arame_schema::model::schedule::{Every, Makes, RunResult, Weekday};
use arame_spec::world::{Size, World};
use arame_sta::faults::{Action, Fault};
use tokio_util::sync::CancellationToken;

const STA: &str = "sta.s1";

fn told<T>(result: Result<T, Refusal>) -> anyhow::Result<T> {
    result.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))
}

fn code<T>(result: Result<T, Refusal>) -> Option<Code> {
    result.map_err(|refusal| refusal.code).err()
}

/// A data center with two dcmgr, a volume and a place for backups.
struct Story {
    world: World,
    second: CancellationToken,
    volume: String,
}

/// At a minute that is half an hour away: none comes by itself while a story is told.
fn hourly(makes: Makes, keep_last: u32) -> SetVolumeSchedule {
    SetVolumeSchedule {
        every: Some(Every::Hour),
        minute: Some((time::OffsetDateTime::now_utc().minute() + 30) % 60),
        makes: Some(makes),
        keep_last: Some(keep_last),
        display_name: Some("often".into()),
        ..SetVolumeSchedule::default()
    }
}

impl Story {
    async fn start() -> anyhow::Result<Story> {
        let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
        let second = world.second_whole().await?.1;
        let storage = SetBackupStorage {
            id: Some("bkst-local".parse()?),
            storage_type: Some("local".into()),
            ..SetBackupStorage::default()
        };
        told(app::backups::create_storage(&world.app, &world.caller("a-demo", Role::Admin), storage).await)?;
        let request = CreateVolume {
            volume_size: 64,
            display_name: Some("data".into()),
            backup_object_id: None,
            snapshot_id: None,
            replica_id: None,
        };
        let volume = told(app::volumes::create(&world.app, &world.demo(), request).await)?.id;
        world.volume_in(&volume, "available").await?;
        Ok(Story { world, second, volume })
    }

    async fn create(&self, request: SetVolumeSchedule) -> Result<VolumeSchedule, Refusal> {
        app::schedules::create(&self.world.app, &self.world.demo(), &self.volume, request).await
    }

    async fn schedule(&self, id: &str) -> anyhow::Result<VolumeSchedule> {
        told(app::schedules::get(&self.world.app, &self.world.demo(), &self.volume, id).await)
    }

    async fn update(&self, id: &str, request: SetVolumeSchedule) -> Result<VolumeSchedule, Refusal> {
        app::schedules::update(&self.world.app, &self.world.demo(), (&self.volume, id), request).await
    }

    async fn plan(&self, id: Option<&str>, request: SetVolumeSchedule) -> Result<SchedulePlan, Refusal> {
        app::schedules::plan(&self.world.app, &self.world.demo(), (&self.volume, id), request).await
    }

    /// The clock of this schedule is put on by an hour: everything of it was an hour earlier, and its next run is due.
    async fn an_hour_later(&self, id: &str) -> anyhow::Result<()> {
        let statements = [
            "UPDATE volume_schedule_runs SET scheduled_for = scheduled_for - INTERVAL 1 HOUR WHERE schedule_id = ? \
             ORDER BY scheduled_for",
            "UPDATE backup_objects SET created_at = created_at - INTERVAL 1 HOUR WHERE schedule_id = ?",
            "UPDATE volume_snapshots SET created_at = created_at - INTERVAL 1 HOUR WHERE schedule_id = ?",
            "UPDATE volume_schedules SET next_run = next_run - INTERVAL 1 HOUR, tend_at = next_run WHERE id = ?",
        ];
        for statement in statements {
            self.world.db().run(statement, (id,)).await?;
        }
        Ok(())
    }

    /// The next run has been come to and has ended.
    async fn next_run(&self, id: &str) -> anyhow::Result<ScheduleRun> {
        let before = self.runs(id).await?;
        self.an_hour_later(id).await?;
        let ended = async || {
            // One look: two would be of two moments.
            let now = self.schedule(id).await?;
            Ok(now.runs.len() > before && now.last_run.is_some_and(|run| run.ended_at.is_some()))
        };
        self.world.until("the next run has ended", ended).await?;
        self.schedule(id).await?.last_run.context("a run")
    }

    async fn runs(&self, id: &str) -> anyhow::Result<usize> {
        Ok(self.schedule(id).await?.runs.len())
    }

    /// Ids of what is there of a schedule, oldest first.
    async fn there(&self, id: &str, table: &str) -> anyhow::Result<Vec<String>> {
        let statement = format!(
            "SELECT id FROM {table} WHERE schedule_id = ? AND deleted_at IS NULL AND state <> 'deleting' ORDER BY seq"
        );
        self.world.db().rows(statement, (id,)).await?.iter().map(|row| Ok(row.text("id")?)).collect()
    }

    async fn codes(&self) -> anyhow::Result<Vec<String>> {
        let found = self.world.db().rows("SELECT code FROM events WHERE resource = ?", (&self.volume,)).await?;
        found.iter().map(|row| Ok(row.text("code")?)).collect()
    }

    fn arm(&self, at: &str, action: Action, times: u32) -> anyhow::Result<()> {
        let sta = self.world.storage(STA).context("the storage agent")?;
        sta.world().faults.arm(Fault { at: at.into(), action, times });
        Ok(())
    }

    /// Everything is deleted; nothing is left anywhere.
    async fn ends(self) -> anyhow::Result<()> {
        let (app, caller) = (&self.world.app, self.world.demo());
        told(app::volumes::delete_as(app, &caller, &self.volume, DeleteVolume { with_snapshots: true }).await)?;
        let objects = "SELECT id FROM backup_objects WHERE deleted_at IS NULL AND wanted = 1";
        for row in self.world.db().rows(objects, ()).await? {
            let id = row.text("id")?;
            told(app::backups::delete_object(app, &self.world.demo(), &id).await)?;
        }
        self.world.volume_in(&self.volume, "deleted").await?;
        let left = "SELECT COUNT(*) AS n FROM backup_objects WHERE deleted_at IS NULL";
        let none = async || {
            let found = self.world.db().rows(left, ()).await?;
            Ok(found.first().context("a count")?.col::<u64>("n")? == 0)
        };
        self.world.until("every backup is deleted", none).await?;
        let sta = self.world.storage(STA).context("the storage agent")?;
        let left = sta.world().look(|state| (state.volumes.len(), state.snapshots.len(), state.objects.len()));
        ensure!(left == (0, 0, 0), "{left:?} volumes, snapshots and objects are left");
        self.world.ends_clean().await?;
        self.second.cancel();
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_dcmgr_make_one_backup_of_a_moment_and_keep_as_many_as_they_were_told() -> anyhow::Result<()> {
    let story = Story::start().await?;
    let first = told(story.create(hourly(Makes::Backup, 2)).await)?;
    let second = told(story.create(hourly(Makes::Snapshot, 3)).await)?;
    for turn in 1..=5usize {
        for schedule in [&first, &second] {
            story.an_hour_later(&schedule.id).await?;
        }
        // Beside the two sweeps, four more come at the same moment.
        let mut rush = tokio::task::JoinSet::new();
        for id in [&first.id, &second.id, &first.id, &second.id] {
            let (app, id) = (story.world.app.clone(), id.clone());
            rush.spawn(async move { app::schedules::tending::tend(&app, &id).await });
        }
        while let Some(done) = rush.join_next().await {
            done?.map_err(|error| anyhow::anyhow!("{error}"))?;
        }
        for schedule in [&first, &second] {
            let ended = async || {
                let now = story.schedule(&schedule.id).await?;
                Ok(now.runs.len() == turn && now.last_run.is_some_and(|run| run.result == RunResult::Whole))
            };
            story.world.until(&format!("run {turn} of {} is whole", schedule.id), ended).await?;
        }
    }
    let made = "SELECT COUNT(*) AS n FROM backup_objects WHERE schedule_id = ? \
                UNION ALL SELECT COUNT(*) FROM volume_snapshots WHERE schedule_id = ?";
    for schedule in [&first, &second] {
        let counts = story.world.db().rows(made, (&schedule.id, &schedule.id)).await?;
        let all: u64 = counts.iter().map(|row| row.col::<u64>("n")).sum::<Result<u64, _>>()?;
        ensure!(all == 5, "{all} were made in five turns");
    }
    let kept = async || {
        let (backups, snapshots) =
            (story.there(&first.id, "backup_objects").await?, story.there(&second.id, "volume_snapshots").await?);
        Ok((backups.len(), snapshots.len()) == (2, 3))
    };
    story.world.until("two backups and three snapshots are kept", kept).await?;
    let codes = story.codes().await?;
    for wanted in ["schedule_created", "schedule_ended_well", "schedule_pruned"] {
        ensure!(codes.iter().any(|code| code == wanted), "{wanted} is not in the timeline: {codes:?}");
    }
    story.ends().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_storage_is_told_counted_and_tried_again() -> anyhow::Result<()> {
    let story = Story::start().await?;
    let id = told(story.create(hourly(Makes::Backup, 1)).await)?.id;
    ensure!(story.next_run(&id).await?.result == RunResult::Whole);
    let good = story.there(&id, "backup_objects").await?;
    story.arm("write_backup:before", Action::Full, 2)?;
    for count in 1..=2 {
        let mut run = story.next_run(&id).await?;
        run.localise(Language::Ja);
        let failure = run.failure.context("why")?;
        ensure!(run.result == RunResult::Failed && failure.code == "backup_storage_full", "{failure:?}");
        ensure!(!failure.sentence.is_empty() && !failure.next_step.is_empty(), "{failure:?}");
        let now = story.schedule(&id).await?;
        ensure!(now.failures_in_a_row == count && now.kept == 1, "{now:?}");
        ensure!(story.there(&id, "backup_objects").await?.first() == good.first(), "the last good one went");
    }
    ensure!(story.codes().await?.iter().filter(|code| *code == "schedule_failed").count() == 2);
    // There is room again: the good one of before goes now, and what failed with it.
    ensure!(story.next_run(&id).await?.result == RunResult::Whole);
    let one = async || Ok(story.there(&id, "backup_objects").await?.len() == 1);
    story.world.until("only the newest is kept", one).await?;
    ensure!(story.schedule(&id).await?.failures_in_a_row == 0);
    ensure!(story.there(&id, "backup_objects").await? != good);
    story.ends().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_made_marked_or_reads_is_not_deleted() -> anyhow::Result<()> {
    let story = Story::start().await?;
    let (app, world) = (&story.world.app, &story.world);
    let id = told(story.create(hourly(Makes::Backup, 1)).await)?.id;
    let by_hand = told(app::backups::back_up_volume(app, &world.demo(), &story.volume, Default::default()).await)?;
    let marked = story.next_run(&id).await?.made.context("a backup")?;
    let change = UpdateBackupObject { kept: Some(true), ..UpdateBackupObject::default() };
    ensure!(told(app::backups::update_object(app, &world.demo(), &marked, change).await)?.kept);
    let read = story.next_run(&id).await?.made.context("a backup")?;
    // A volume that is being made from it.
    story.arm("restore_volume:before", Action::Hang, 1)?;
    let request = CreateVolume {
        volume_size: 64,
        display_name: None,
        backup_object_id: Some(read.parse()?),
        snapshot_id: None,
        replica_id: None,
    };
    let restored = told(app::volumes::create(app, &world.demo(), request).await)?.id;
    let plan = told(story.plan(Some(&id), SetVolumeSchedule::default()).await)?;
    ensure!(plan.deferred == [read.clone()] && plan.deletes.is_empty() && plan.next_runs.len() == 5, "{plan:?}");
    ensure!(plan.keeps.iter().any(|one| one.id == marked && one.because == "marked"), "{plan:?}");
    ensure!(story.next_run(&id).await?.result == RunResult::Whole);
    ensure!(story.there(&id, "backup_objects").await?.contains(&read), "what is being read went");
    told(app::volumes::delete(app, &world.demo(), &restored).await)?;
    world.volume_in(&restored, "deleted").await?;
    let goes = async || {
        // A minute later.
        world.db().run("UPDATE volume_schedules SET tend_at = UTC_TIMESTAMP(3) WHERE id = ?", (&id,)).await?;
        Ok(!story.there(&id, "backup_objects").await?.contains(&read))
    };
    world.until("what was read goes when it is read", goes).await?;
    let there = story.there(&id, "backup_objects").await?;
    ensure!(there.len() == 2 && there.contains(&marked), "{there:?}");
    let state = told(app::backups::object(app, &world.demo(), &by_hand.backup_object_id).await)?.state;
    ensure!(state == "available", "what a person made is {state}");
    story.ends().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_be_made_says_why_and_the_next_one_is_tried() -> anyhow::Result<()> {
    let story = Story::start().await?;
    let world = &story.world;
    let id = told(story.create(hourly(Makes::Backup, 2)).await)?.id;
    // An earlier run has not ended.
    story.arm("copy_backup:before", Action::Hang, 1)?;
    story.an_hour_later(&id).await?;
    world.until("its backup is on its way", async || Ok(story.runs(&id).await? == 1)).await?;
    let skipped = async || {
        story.an_hour_later(&id).await?;
        let last = story.schedule(&id).await?.last_run;
        Ok(last.is_some_and(|run| run.result == RunResult::Skipped))
    };
    world.until("a run is skipped", skipped).await?;
    let now = story.schedule(&id).await?;
    let why = now.last_run.context("a run")?.failure.context("why")?;
    ensure!(why.code == "schedule_earlier_run" && why.values["made"].starts_with("bo-"), "{why:?}");
    let making = now.runs.last().and_then(|run| run.made.clone()).context("what is being made")?;
    told(app::backups::delete_object(&world.app, &world.demo(), &making).await)?;
    let ended = async || Ok(story.schedule(&id).await?.runs.iter().any(|run| run.result == RunResult::Ended));
    world.until("it was ended by a person", ended).await?;
    ensure!(story.next_run(&id).await?.result == RunResult::Whole, "and is made again");

    // The account is disabled.
    world.db().run("UPDATE accounts SET enabled = 0 WHERE id = 'a-demo'", ()).await?;
    let run = story.next_run(&id).await?;
    let why = run.failure.map(|failure| failure.code);
    ensure!((run.result, why.as_deref()) == (RunResult::Skipped, Some("schedule_account_disabled")), "{why:?}");
    world.db().run("UPDATE accounts SET enabled = 1 WHERE id = 'a-demo'", ()).await?;

    // The storage is not reached any more.
    world.db().run("UPDATE backup_storages SET deleted_at = UTC_TIMESTAMP(3) WHERE id = 'bkst-local'", ()).await?;
    let run = story.next_run(&id).await?;
    let why = run.failure.clone().context("why")?;
    ensure!((run.result, why.code.as_str()) == (RunResult::Refused, "backup_storage_not_reached"), "{why:?}");
    let plan = told(story.plan(Some(&id), SetVolumeSchedule::default()).await)?;
    ensure!(plan.refusals.first().is_some_and(|one| one.reason == "backup_storage_not_reached"), "{plan:?}");
    ensure!(story.schedule(&id).await?.failures_in_a_row == 1);
    world.db().run("UPDATE backup_storages SET deleted_at = NULL WHERE id = 'bkst-local'", ()).await?;
    ensure!(story.next_run(&id).await?.result == RunResult::Whole);

    // Nobody was there for three hours: one run.
    let off = SetVolumeSchedule { enabled: Some(false), ..SetVolumeSchedule::default() };
    let back = "UPDATE volume_schedules SET next_run = next_run - INTERVAL 3 HOUR WHERE id = ?";
    let runs = story.runs(&id).await?;
    for _ in 0..3 {
        let earlier = "UPDATE volume_schedule_runs SET scheduled_for = scheduled_for - INTERVAL 1 HOUR WHERE schedule_id = ? \
                       ORDER BY scheduled_for";
        world.db().run(earlier, (&id,)).await?;
    }
    world.db().run(back, (&id,)).await?;
    world.db().run("UPDATE volume_schedules SET tend_at = UTC_TIMESTAMP(3) WHERE id = ?", (&id,)).await?;
    let late = async || Ok(story.runs(&id).await? > runs);
    world.until("the late run was come to", late).await?;
    let run = story.schedule(&id).await?.last_run.context("a run")?;
    ensure!(run.missed == 2 && story.runs(&id).await? == runs + 1, "{run:?}");
    let whole = async || Ok(story.schedule(&id).await?.last_run.is_some_and(|run| run.result == RunResult::Whole));
    world.until("it is whole", whole).await?;
    ensure!(told(story.update(&id, off).await)?.next_run.is_none(), "switched off");
    story.ends().await
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_set_shown_and_refused_as_others_of_the_api() -> anyhow::Result<()> {
    let story = Story::start().await?;
    let (app, world) = (&story.world.app, &story.world);
    let week = SetVolumeSchedule {
        every: Some(Every::Week),
        weekday: Some(Weekday::Sunday),
        hour: Some(3),
        minute: Some(30),
        time_zone: Some("asia/tokyo".into()),
        makes: Some(Makes::Snapshot),
        keep_weekly: Some(4),
        ..SetVolumeSchedule::default()
    };
    let made = told(story.create(week.clone()).await)?;
    ensure!(made.time_zone == "Asia/Tokyo" && made.next_run.is_some() && made.id.starts_with("vsc-"), "{made:?}");
    ensure!(made.next_run.is_some_and(|at| at.to_string().ends_with("18:30:00 UTC")), "{:?}", made.next_run);
    for (wrong, wanted) in [
        (SetVolumeSchedule { every: None, ..week.clone() }, Code::MissingParameter),
        (SetVolumeSchedule { hour: None, ..week.clone() }, Code::MissingParameter),
        (SetVolumeSchedule { weekday: None, ..week.clone() }, Code::MissingParameter),
        (SetVolumeSchedule { time_zone: Some("Mars/Olympus".into()), ..week.clone() }, Code::InvalidParameter),
        (SetVolumeSchedule { backup_storage_id: Some("bkst-local".parse()?), ..week.clone() }, Code::InvalidParameter),
        (
            SetVolumeSchedule {
                makes: Some(Makes::Backup),
                backup_storage_id: Some("bkst-none".parse()?),
                ..week.clone()
            },
            Code::UnknownResource,
        ),
    ] {
        ensure!(code(story.create(wrong.clone()).await) == Some(wanted), "{wrong:?}");
        ensure!(code(story.plan(None, wrong.clone()).await).is_some() || wanted == Code::UnknownResource, "{wrong:?}");
    }
    let plan = told(story.plan(None, week.clone()).await)?;
    ensure!(plan.next_runs.first() == made.next_run.as_ref() && plan.refusals.is_empty(), "{plan:?}");
    let counts = story.world.db().rows("SELECT COUNT(*) AS n FROM volume_snapshots", ()).await?;
    ensure!(counts.first().context("a count")?.col::<u64>("n")? == 0, "a plan made something");

    let foreign = world.caller("a-other", Role::Member);
    ensure!(code(app::schedules::get(app, &foreign, &story.volume, &made.id).await) == Some(Code::UnknownResource));
    let other = SetVolumeSchedule { minute: Some(31), ..SetVolumeSchedule::default() };
    let refused = app::schedules::update(app, &foreign, (&story.volume, &made.id), other.clone()).await;
    ensure!(code(refused) == Some(Code::UnknownResource), "another's");
    let moved = told(story.update(&made.id, other).await)?;
    ensure!(moved.next_run.is_some_and(|at| at.to_string().ends_with("18:31:00 UTC")), "{:?}", moved.next_run);

    let mut keyed = world.demo();
    keyed.idempotency_key = Some("one".into());
    let once = told(app::schedules::create(app, &keyed, &story.volume, week.clone()).await)?;
    let repeated = arame_dcmgr::app::Caller { request: uuid::Uuid::now_v7(), ..keyed.clone() };
    let again = told(app::schedules::create(app, &repeated, &story.volume, week.clone()).await)?;
    ensure!(once.id == again.id, "a repeated creation is the same one");
    for _ in 2..8 {
        told(story.create(week.clone()).await)?;
    }
    ensure!(code(story.create(week.clone()).await) == Some(Code::TooMany), "the ninth");
    told(app::schedules::delete(app, &world.demo(), &story.volume, &made.id).await)?;
    ensure!(
        code(app::schedules::get(app, &world.demo(), &story.volume, &made.id).await) == Some(Code::UnknownResource)
    );
    let all = told(app::schedules::list(app, &world.demo(), &story.volume, ListFilter::default()).await)?;
    ensure!(all.total == 7, "{all:?}");

    // The volume goes, and its schedules with it.
    told(app::volumes::delete(app, &world.demo(), &story.volume).await)?;
    let left = world
        .db()
        .rows("SELECT COUNT(*) AS n FROM volume_schedules WHERE deleted_at IS NULL OR tend_at IS NOT NULL", ())
        .await?;
    ensure!(left.first().context("a count")?.col::<u64>("n")? == 0);
    world.volume_in(&story.volume, "deleted").await?;
    world.ends_clean().await?;
    story.second.cancel();
    Ok(())
}
