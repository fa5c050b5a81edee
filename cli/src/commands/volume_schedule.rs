//! `arame volume schedule …`: what is made of a volume by the clock, and how many of those are kept.

use crate::failure::{CliError, USAGE};
use crate::names;
use crate::session::Session;
use crate::table::{fields, table};
use crate::words::{Message, say, word};
use arame_schema::api::{Language, SchedulePlan, ScheduleRun, Volume, VolumeSchedule};
use arame_schema::model::schedule::{Every, Makes, RunResult, Weekday};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make snapshots or backups every hour, day or week / 定期的にスナップショットやバックアップを取る
    Create {
        volume: String,
        /// hour, day, week / 間隔
        #[arg(long)]
        every: Every,
        /// backup, or a snapshot in the volume's own pool / バックアップか、同じプール内のスナップショットか
        #[arg(long, default_value = "backup")]
        make: Makes,
        #[command(flatten)]
        wish: Wish,
        /// Only show what it would do / 何が起こるかだけを表示する
        #[arg(long)]
        plan: bool,
    },
    /// List a volume's schedules / 一覧
    List { volume: String },
    /// Show a schedule with its last runs / 詳細と最近の結果を表示する
    Show { volume: String, schedule: String },
    /// Change a schedule; what is not named stays / 変更する（指定しないものはそのまま）
    Update {
        volume: String,
        schedule: String,
        #[arg(long)]
        every: Option<Every>,
        #[command(flatten)]
        wish: Wish,
        /// Switch it on again / 再び有効にする
        #[arg(long, conflicts_with = "off")]
        on: bool,
        /// Only show what it would do, and what would be deleted / 何が起こり、何が削除されるかだけを表示する
        #[arg(long)]
        plan: bool,
    },
    /// Delete a schedule; what it made stays / 削除する（作られたものは残ります）
    Delete { volume: String, schedule: String },
}

#[derive(Debug, Default, Args)]
pub struct Wish {
    /// 03:30 by the clock of the time zone; every hour: :30 / 時刻（毎時なら :30）
    #[arg(long, value_parser = time_of_day)]
    pub at: Option<At>,
    /// monday to sunday / 曜日
    #[arg(long)]
    pub weekday: Option<Weekday>,
    /// Like Asia/Tokyo / タイムゾーン
    #[arg(long)]
    pub zone: Option<String>,
    /// The backup storage; none: the only one that is reached / 保存先（none なら唯一の保存先）
    #[arg(long)]
    pub to: Option<String>,
    #[arg(long)]
    pub name: Option<String>,
    /// How many of the last ones are kept; without any count all are / 最近のものを残す数（どれも指定しなければすべて残す）
    #[arg(long)]
    pub keep_last: Option<u32>,
    /// One of each of so many hours before those / それより前の、各時間に1つずつ残す数
    #[arg(long)]
    pub keep_hourly: Option<u32>,
    /// The same of days / 各日に1つずつ残す数
    #[arg(long)]
    pub keep_daily: Option<u32>,
    /// The same of weeks / 各週に1つずつ残す数
    #[arg(long)]
    pub keep_weekly: Option<u32>,
    /// The same of months / 各月に1つずつ残す数
    #[arg(long)]
    pub keep_monthly: Option<u32>,
    /// It comes no more until it is switched on / 止めておく
    #[arg(long)]
    pub off: bool,
}

/// A time of day; without its hour that of every hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    hour: Option<u8>,
    minute: u8,
}

fn time_of_day(text: &str) -> Result<At, String> {
    let wrong = || "03:30 | :30".to_owned();
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let hour = match hour {
        "" => None,
        hour => Some(hour.parse().ok().filter(|hour| *hour < 24).ok_or_else(wrong)?),
    };
    let minute = minute.parse().ok().filter(|minute| *minute < 60).ok_or_else(wrong)?;
    Ok(At { hour, minute })
}

impl Wish {
    fn body(self) -> Map<String, Value> {
        let given = [
            ("minute", self.at.map(|at| json!(at.minute))),
            ("hour", self.at.and_then(|at| at.hour).map(|hour| json!(hour))),
            ("weekday", self.weekday.map(|weekday| json!(weekday))),
            ("time_zone", self.zone.map(|zone| json!(zone))),
            ("backup_storage_id", self.to.map(|to| json!(to))),
            ("display_name", self.name.map(|name| json!(name))),
            ("keep_last", self.keep_last.map(|count| json!(count))),
            ("keep_hourly", self.keep_hourly.map(|count| json!(count))),
            ("keep_daily", self.keep_daily.map(|count| json!(count))),
            ("keep_weekly", self.keep_weekly.map(|count| json!(count))),
            ("keep_monthly", self.keep_monthly.map(|count| json!(count))),
            ("enabled", self.off.then_some(json!(false))),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::Create { volume, every, make, wish, plan } => {
            let id = names::id_of::<Volume>(&session.client, &volume).await?;
            let mut body = wish.body();
            body.extend([("every".to_owned(), json!(every)), ("makes".to_owned(), json!(make))]);
            let (path, body) = (format!("/volumes/{id}/schedules"), Value::Object(body));
            if plan {
                let plan: SchedulePlan = session.client.post(&format!("{path}?plan=true"), &body).await?;
                return session.print(&plan, |language| planned(language, &plan));
            }
            let view: VolumeSchedule = session.client.post(&path, &body).await?;
            session.print(&view, |language| shown(language, &view))
        }
        Command::List { volume } => {
            let id = names::id_of::<Volume>(&session.client, &volume).await?;
            let all: Vec<VolumeSchedule> = session.client.list(&format!("/volumes/{id}/schedules")).await?;
            session.print(&all, |language| many(language, &all))
        }
        Command::Show { volume, schedule } => {
            let path = path_of(session, &volume, &schedule).await?;
            let view: VolumeSchedule = session.client.get(&path).await?;
            session.print(&view, |language| shown(language, &view))
        }
        Command::Update { volume, schedule, every, wish, on, plan } => {
            let path = path_of(session, &volume, &schedule).await?;
            let mut body = wish.body();
            body.extend(every.map(|every| ("every".to_owned(), json!(every))));
            body.extend(on.then(|| ("enabled".to_owned(), json!(true))));
            let body = Value::Object(body);
            if plan {
                let plan: SchedulePlan = session.client.put(&format!("{path}?plan=true"), &body).await?;
                return session.print(&plan, |language| planned(language, &plan));
            }
            let view: VolumeSchedule = session.client.put(&path, &body).await?;
            session.print(&view, |language| shown(language, &view))
        }
        Command::Delete { volume, schedule } => {
            let path = path_of(session, &volume, &schedule).await?;
            let answer: Vec<String> = session.client.delete(&path).await?;
            session.remark(Message::Deleted, &[("id", answer.first().map_or("", String::as_str))]);
            session.print(&answer, |_| String::new())
        }
    }
}

/// A schedule of a volume, by its id or its name.
async fn path_of(session: &Session<'_>, volume: &str, schedule: &str) -> Result<String, CliError> {
    let id = names::id_of::<Volume>(&session.client, volume).await?;
    if schedule.starts_with("vsc-") {
        return Ok(format!("/volumes/{id}/schedules/{schedule}"));
    }
    let all: Vec<VolumeSchedule> = session.client.list(&format!("/volumes/{id}/schedules")).await?;
    let named: Vec<&VolumeSchedule> = all.iter().filter(|one| one.display_name.as_deref() == Some(schedule)).collect();
    if let [one] = named.as_slice() {
        return Ok(format!("/volumes/{id}/schedules/{}", one.id));
    }
    let known: Vec<String> =
        all.iter().map(|one| format!("{} ({})", one.id, one.display_name.as_deref().unwrap_or("-"))).collect();
    let language = session.language();
    let kind = word(language, Message::Schedule);
    let (sentence, cause, next) = match named.is_empty() {
        true => (Message::UnknownName, Message::UnknownNameCause, Message::UnknownNameNext),
        false => (Message::AmbiguousName, Message::AmbiguousNameCause, Message::AmbiguousNameNext),
    };
    let values = [("kind", kind), ("name", schedule), ("known", &known.join(", "))];
    Err(CliError::because(
        USAGE,
        say(language, sentence, &values),
        say(language, cause, &values),
        say(language, next, &values),
    ))
}

/// When it comes, as a person says it.
fn when(language: Language, one: &VolumeSchedule) -> String {
    let clock = match one.hour {
        Some(hour) => format!("{hour:02}:{:02}", one.minute),
        None => format!(":{:02}", one.minute),
    };
    let every = match (one.every, one.weekday) {
        (Every::Hour, _) => word(language, Message::Hourly).to_owned(),
        (Every::Day, _) => word(language, Message::Daily).to_owned(),
        (Every::Week, Some(day)) => say(language, Message::EveryWeekday, &[("weekday", weekday(language, day))]),
        (Every::Week, None) => word(language, Message::Weekly).to_owned(),
    };
    format!("{every} {clock} {}", one.time_zone)
}

fn weekday(language: Language, day: Weekday) -> &'static str {
    let message = match day {
        Weekday::Monday => Message::Monday,
        Weekday::Tuesday => Message::Tuesday,
        Weekday::Wednesday => Message::Wednesday,
        Weekday::Thursday => Message::Thursday,
        Weekday::Friday => Message::Friday,
        Weekday::Saturday => Message::Saturday,
        Weekday::Sunday => Message::Sunday,
    };
    word(language, message)
}

fn makes(language: Language, makes: Makes) -> String {
    let message = match makes {
        Makes::Snapshot => Message::MakesSnapshot,
        Makes::Backup => Message::MakesBackup,
    };
    word(language, message).to_owned()
}

/// `the last 3, 7 daily`; all, where nothing says how many.
fn keeps(language: Language, one: &VolumeSchedule) -> String {
    let counts = [
        (Message::KeepLast, one.keep_last),
        (Message::KeepHourly, one.keep_hourly),
        (Message::KeepDaily, one.keep_daily),
        (Message::KeepWeekly, one.keep_weekly),
        (Message::KeepMonthly, one.keep_monthly),
    ];
    let some = counts.iter().filter(|(_, count)| *count > 0);
    let told: Vec<String> =
        some.map(|(message, count)| say(language, *message, &[("n", &count.to_string())])).collect();
    if told.is_empty() { word(language, Message::All).to_owned() } else { told.join(", ") }
}

fn result(language: Language, run: &ScheduleRun) -> String {
    let told = word(
        language,
        match run.result {
            RunResult::Making => Message::RunMaking,
            RunResult::Whole => Message::RunWhole,
            RunResult::Failed => Message::RunFailed,
            RunResult::Refused => Message::RunRefused,
            RunResult::Skipped => Message::RunSkipped,
            RunResult::Ended => Message::RunEnded,
        },
    );
    run.failure.as_ref().map_or_else(|| told.to_owned(), |failure| format!("{told} ({})", failure.code))
}

/// Why one is kept; a word of a newer manager as it stands.
fn because(language: Language, why: &str) -> &str {
    let message = match why {
        "last" => Message::BecauseLast,
        "hourly" => Message::BecauseHourly,
        "daily" => Message::BecauseDaily,
        "weekly" => Message::BecauseWeekly,
        "monthly" => Message::BecauseMonthly,
        "all" => Message::BecauseAll,
        "marked" => Message::BecauseMarked,
        "making" => Message::BecauseMaking,
        "lost" => Message::BecauseLost,
        "failure" => Message::BecauseFailure,
        other => return other,
    };
    word(language, message)
}

fn next(language: Language, one: &VolumeSchedule) -> String {
    one.next_run.map_or_else(|| word(language, Message::Off).to_owned(), |at| at.to_string())
}

fn many(language: Language, all: &[VolumeSchedule]) -> String {
    let head = [
        Message::Id,
        Message::Name,
        Message::Makes,
        Message::When,
        Message::Keeps,
        Message::Kept,
        Message::NextRun,
        Message::LastResult,
    ];
    let rows = all.iter().map(|one| {
        vec![
            one.id.clone(),
            one.display_name.clone().unwrap_or_default(),
            makes(language, one.makes),
            when(language, one),
            keeps(language, one),
            one.kept.to_string(),
            next(language, one),
            one.last_run.as_ref().map_or_else(|| "-".to_owned(), |run| result(language, run)),
        ]
    });
    table(language, &head, rows.collect())
}

fn shown(language: Language, one: &VolumeSchedule) -> String {
    let mut pairs = vec![
        (Message::Id, one.id.clone()),
        (Message::Name, one.display_name.clone().unwrap_or_default()),
        (Message::Volume, one.volume_id.clone()),
        (Message::Makes, makes(language, one.makes)),
        (Message::Place, one.backup_storage_id.clone().unwrap_or_default()),
        (Message::When, when(language, one)),
        (Message::Keeps, keeps(language, one)),
        (Message::Kept, one.kept.to_string()),
        (Message::NextRun, next(language, one)),
    ];
    if let Some(failure) = one.last_run.as_ref().and_then(|run| run.failure.as_ref()) {
        pairs.push((Message::Failure, failure.sentence.clone()));
        pairs.push((Message::Cause, failure.cause.clone()));
        pairs.push((Message::NextStep, failure.next_step.clone()));
    }
    let mut text = fields(language, pairs);
    if !one.runs.is_empty() {
        let head = [Message::ScheduledFor, Message::LastResult, Message::Made, Message::Missed];
        let row = |run: &ScheduleRun| {
            let made = run.made.clone().unwrap_or_else(|| "-".into());
            vec![run.scheduled_for.to_string(), result(language, run), made, run.missed.to_string()]
        };
        text.push('\n');
        text.push_str(&table(language, &head, one.runs.iter().map(row).collect()));
    }
    text
}

fn planned(language: Language, plan: &SchedulePlan) -> String {
    let runs: Vec<String> = plan.next_runs.iter().map(ToString::to_string).collect();
    let none = || word(language, Message::None_).to_owned();
    let listed = |all: &[String]| if all.is_empty() { none() } else { all.join(", ") };
    let kept: Vec<String> =
        plan.keeps.iter().map(|one| format!("{} ({})", one.id, because(language, &one.because))).collect();
    let mut pairs = vec![
        (Message::NextRun, listed(&runs)),
        (Message::WouldKeep, listed(&kept)),
        (Message::WouldDelete, listed(&plan.deletes)),
    ];
    if !plan.deferred.is_empty() {
        pairs.push((Message::WouldDeleteLater, listed(&plan.deferred)));
    }
    for refusal in &plan.refusals {
        pairs.push((Message::Failure, refusal.message.clone()));
        pairs.push((Message::NextStep, refusal.next_step.clone()));
    }
    fields(language, pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_read_as_a_clock_shows_it() {
        assert_eq!(time_of_day("03:30"), Ok(At { hour: Some(3), minute: 30 }));
        assert_eq!(time_of_day(":05"), Ok(At { hour: None, minute: 5 }));
        for wrong in ["24:00", "3", "03:60", "a:b", ""] {
            assert!(time_of_day(wrong).is_err(), "{wrong}");
        }
    }

    fn weekly() -> VolumeSchedule {
        serde_json::from_value(json!({
            "id": "vsc-a", "uuid": "vsc-a", "volume_id": "vol-a", "display_name": "nightly", "makes": "backup", "every": "week",
            "minute": 30, "hour": 3, "weekday": "sunday", "time_zone": "Asia/Tokyo", "backup_storage_id": null,
            "keep_last": 3, "keep_hourly": 0, "keep_daily": 7, "keep_weekly": 0, "keep_monthly": 0, "enabled": true,
            "kept": 2, "next_run": "2026-01-04 03:30:00 UTC", "created_at": "2026-01-01 00:00:00 UTC",
            "updated_at": "2026-01-01 00:00:00 UTC", "account_id": "a-demo", "runs": [], "failures_in_a_row": 0,
            "last_run": { "scheduled_for": "2026-01-01 00:00:00 UTC", "begun_at": "2026-01-01 00:00:00 UTC", "ended_at": null, "result": "whole",
                "made": "bo-a", "missed": 0, "failure": null }
        }))
        .unwrap()
    }

    #[test]
    fn a_japanese_list_of_schedules_has_no_english_word_of_ours() {
        let told = many(Language::Ja, &[weekly()]);
        for word in ["バックアップ", "毎週日曜日 03:30", "直近 3 個, 7 日分", "成功"] {
            assert!(told.contains(word), "{word} is not in\n{told}");
        }
        for word in ["last", "daily", "sunday", "backup", "whole"] {
            assert!(!told.contains(word), "{word} is in\n{told}");
        }
        let english = many(Language::En, &[weekly()]);
        assert!(english.contains("the last 3, 7 daily") && english.contains("Sundays 03:30"), "{english}");
        assert_eq!(
            (because(Language::Ja, "marked"), because(Language::Ja, "of-tomorrow")),
            ("保護されている", "of-tomorrow")
        );
    }

    #[test]
    fn only_what_is_named_is_sent() {
        let wish = Wish { at: Some(At { hour: None, minute: 15 }), keep_daily: Some(7), off: true, ..Wish::default() };
        assert_eq!(Value::Object(wish.body()), json!({ "minute": 15, "keep_daily": 7, "enabled": false }));
        assert!(Wish::default().body().is_empty());
    }
}
