//! Schedules of a volume's snapshots and backups: what is asked for, what is shown, and what would be deleted.

use super::catalogue::{self, Words};
use super::{Failure, Language, Localise, PlannedRefusal, Timestamp};
use crate::model::BackupStorageId;
use crate::model::schedule::{Every, Makes, RunResult, Weekday};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Schedules of one volume.
pub const SCHEDULES_MAX: usize = 8;

/// Most that one count of a retention may say: a year of hours.
pub const KEEP_MAX: u64 = 8784;

/// Runs that are remembered of one schedule.
pub const RUNS_KEPT: usize = 50;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VolumeSchedule {
    pub id: String,
    pub uuid: String,
    pub account_id: String,
    pub volume_id: String,
    pub display_name: Option<String>,
    /// `snapshot` or `backup`.
    #[schema(value_type = String, example = "backup")]
    pub makes: Makes,
    /// Where backups go; null: the one storage that the volume's storage node reaches.
    pub backup_storage_id: Option<String>,
    /// `hour`, `day` or `week`.
    #[schema(value_type = String, example = "day")]
    pub every: Every,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 23; null of one that comes every hour.
    pub hour: Option<u8>,
    /// `monday` to `sunday`; null of one that does not come every week.
    #[schema(value_type = Option<String>, example = "sunday")]
    pub weekday: Option<Weekday>,
    /// The IANA name of the zone whose clock is meant.
    #[schema(example = "Asia/Tokyo")]
    pub time_zone: String,
    pub keep_last: u32,
    pub keep_hourly: u32,
    pub keep_daily: u32,
    pub keep_weekly: u32,
    pub keep_monthly: u32,
    pub enabled: bool,
    /// Null of one that is switched off.
    pub next_run: Option<Timestamp>,
    /// How many of what it made are there.
    pub kept: u64,
    /// Runs since the last one that ended well which failed or were refused.
    pub failures_in_a_row: u32,
    pub last_run: Option<ScheduleRun>,
    /// Newest first; empty in lists.
    #[serde(default)]
    pub runs: Vec<ScheduleRun>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// One moment of a schedule, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleRun {
    /// The moment that the schedule names.
    pub scheduled_for: Timestamp,
    /// When it was come to: later where everything was down.
    pub begun_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// `making`, `whole`, `failed`, `refused`, `skipped` or `ended`.
    #[schema(value_type = String, example = "whole")]
    pub result: RunResult,
    /// Moments before this one that nobody came to; this run stands for them too.
    pub missed: u32,
    /// The snapshot or backup object that was made.
    pub made: Option<String>,
    /// Why nothing was made, or why it is not whole.
    pub failure: Option<Failure>,
}

/// What a schedule would do. Nothing was changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SchedulePlan {
    /// The next moments at which it would come.
    pub next_runs: Vec<Timestamp>,
    /// What would stay of what is there, newest first.
    pub keeps: Vec<KeptRun>,
    /// What would be deleted, after the next run that ends well.
    pub deletes: Vec<String>,
    /// What would be deleted and is needed still: it goes when it is not.
    pub deferred: Vec<String>,
    /// Why a run would be refused now; empty: it would be made.
    pub refusals: Vec<PlannedRefusal>,
}

/// Something a schedule made that stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptRun {
    pub id: String,
    pub created_at: Option<Timestamp>,
    /// `last`, `hourly`, `daily`, `weekly`, `monthly`, `all` (nothing says how many), `marked` (somebody marked it
    /// to be kept), `making`, `lost`, `failure` (the last that failed).
    #[schema(example = "daily")]
    pub because: String,
}

/// What `plan` asks for decides which of the two is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ScheduleOrPlan {
    Schedule(Box<VolumeSchedule>),
    Plan(SchedulePlan),
}

/// What a schedule is to be. At a change what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetVolumeSchedule {
    /// `hour`, `day` or `week`; needed at the creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "day")]
    pub every: Option<Every>,
    /// `snapshot` or `backup`, which it is without it. At the creation only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "backup")]
    pub makes: Option<Makes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// `none`: the one storage that is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "bkst-local")]
    pub backup_storage_id: Option<StorageChoice>,
    /// 0 to 59.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minute: Option<u8>,
    /// 0 to 23.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hour: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "sunday")]
    pub weekday: Option<Weekday>,
    /// An IANA name. At the creation without it: the installation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Asia/Tokyo")]
    pub time_zone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_hourly: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_daily: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_weekly: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_monthly: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// A backup storage, or the word that none is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StorageChoice {
    Named(BackupStorageId),
    Any(AnyStorage),
}

/// The word `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnyStorage {
    None,
}

impl std::str::FromStr for StorageChoice {
    type Err = crate::model::IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(StorageChoice::Any(AnyStorage::None)),
            id => Ok(StorageChoice::Named(id.parse()?)),
        }
    }
}

impl StorageChoice {
    pub fn id(&self) -> Option<&BackupStorageId> {
        match self {
            StorageChoice::Named(id) => Some(id),
            StorageChoice::Any(AnyStorage::None) => None,
        }
    }
}

impl Localise for ScheduleRun {
    /// A run is refused with the words of a request, and fails with those of work.
    fn localise(&mut self, language: Language) {
        let Some(failure) = &mut self.failure else { return };
        failure.localise(language);
        if catalogue::knows_failure(&failure.code) {
            return;
        }
        let known = super::Code::ALL.into_iter().map(catalogue::refusal).find(|entry| entry.wire == failure.code);
        if let Some(entry) = known {
            let Words { sentence, cause, next_step } = entry.words(language);
            failure.sentence = catalogue::fill(sentence, &failure.values);
            failure.cause = catalogue::fill(cause, &failure.values);
            failure.next_step = catalogue::fill(next_step, &failure.values);
        }
    }
}

impl Localise for VolumeSchedule {
    fn localise(&mut self, language: Language) {
        self.last_run.localise(language);
        self.runs.localise(language);
    }
}

impl Localise for SchedulePlan {
    fn localise(&mut self, language: Language) {
        self.refusals.localise(language);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(code: &str) -> ScheduleRun {
        let at = Timestamp(time::OffsetDateTime::UNIX_EPOCH);
        let failure = Failure::new(code).with("quota", "snapshots of one volume").with("limit", 64).with("used", 64);
        ScheduleRun {
            scheduled_for: at,
            begun_at: at,
            ended_at: Some(at),
            result: RunResult::Refused,
            missed: 0,
            made: None,
            failure: Some(failure.with("message", "no room")),
        }
    }

    #[test]
    fn a_run_is_told_in_the_words_of_refusals_and_of_failures() {
        for code in ["exceed_quota", "disk_full", "schedule_earlier_run"] {
            for language in Language::ALL {
                let mut run = run(code);
                run.localise(language);
                let told = run.failure.unwrap();
                assert!(!told.sentence.contains(code), "{code} is told by its code: {told:?}");
                assert!(!told.cause.is_empty() && !told.next_step.is_empty(), "{told:?}");
            }
        }
        let mut limit = run("exceed_quota");
        limit.localise(Language::En);
        assert!(limit.failure.unwrap().sentence.contains("snapshots of one volume"));
    }

    #[test]
    fn a_storage_that_was_named_may_be_taken_back() {
        let text = r#"{"every":"week","weekday":"sunday","hour":3,"keep_weekly":4,"backup_storage_id":"none"}"#;
        let read: SetVolumeSchedule = serde_json::from_str(text).unwrap();
        assert_eq!((read.every, read.weekday, read.hour), (Some(Every::Week), Some(Weekday::Sunday), Some(3)));
        assert_eq!(read.backup_storage_id, Some(StorageChoice::Any(AnyStorage::None)));
        assert!("bkst-x".parse::<StorageChoice>().unwrap().id().is_some() && "x".parse::<StorageChoice>().is_err());
    }
}
