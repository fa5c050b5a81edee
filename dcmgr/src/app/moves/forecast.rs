//! What a move would be, without doing it: whether it would be refused, and if not, how long it takes.
//!
//! ```text
//! the move, in a transaction that is rolled back ─► refused? told as that, and nothing is measured
//!        └► the other host opens a link's end ─► this host measures its guest and the link ─► plan::forecast
//! ```
//!
//! Rule: two questions to agents, each of at most two seconds, never repeated; nothing of their answers is kept. A host that
//! is silent is not asked. A measure that goes on is told as that: the next question finds it.

use super::super::{App, AppError, Caller, Ringing};
use crate::db;
use crate::plan::forecast::{Never, Outlook, outlook};
use arame_schema::api::{
    ForecastReason, HostNode, MoveForecast, MovePlan, Placement, PlannedRefusal, Refusal, Timestamp,
};
use arame_schema::jobs::forecast::{
    FORECAST, ForecastAnswer, ForecastAsk, GuestLoad, LINK, LinkEnd, LinkRate, Measured, NOT_UNDERSTOOD, Unmeasured,
};
use arame_schema::limits::JOB_BUDGET_MAX;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a move to a host would do, and how long it would take.
pub async fn plan(app: &App, caller: &Caller, id: &str, to: &str) -> Result<MovePlan, Refusal> {
    let from = super::super::instances::get(app, caller, id).await?.host_node;
    // A key would be answered by what it made.
    let unkeyed = Caller { idempotency_key: None, ..caller.clone() };
    let tried: Result<(), AppError> = crate::transact!(app.db(), "plan move", None, AppError, |tx| {
        super::start_in(tx, &mut Ringing::default(), &unkeyed, id, to).await?;
        Err(AppError::Planned)
    });
    let mut plan = MovePlan { id: id.to_owned(), from: from.clone(), to: to.to_owned(), ..MovePlan::default() };
    match tried {
        Ok(()) | Err(AppError::Planned) => {}
        Err(AppError::Refused(refusal)) => {
            let judged: Option<Placement> = refusal.detail.clone().and_then(|told| serde_json::from_value(*told).ok());
            plan.verdicts = judged.map(|placement| placement.verdicts).unwrap_or_default();
            plan.refusals.push(PlannedRefusal::from(&*refusal));
            return Ok(plan);
        }
        Err(error) => return Err(error.into()),
    }
    let (Some(here), Some(there)) = (found(app, from.as_deref()).await?, found(app, Some(to)).await?) else {
        return Ok(plan);
    };
    let now = db::audit::now(app.db()).await.map_err(AppError::from)?;
    plan.forecast = Some(match measured(app, id, &here, &there).await {
        Ok(answer) => told(&answer, (&here.id, to), now),
        Err(why) => MoveForecast { why: Some(why), ..MoveForecast::default() },
    });
    Ok(plan)
}

async fn found(app: &App, id: Option<&str>) -> Result<Option<HostNode>, Refusal> {
    let Some(id) = id else { return Ok(None) };
    Ok(db::nodes::host(app.db(), id).await.map_err(AppError::from)?)
}

/// What the two hosts measured, or why they did not.
async fn measured(app: &App, id: &str, here: &HostNode, there: &HostNode) -> Result<ForecastAnswer, ForecastReason> {
    if let Some(silent) = [here, there].into_iter().find(|host| host.status != "online") {
        let since = silent.last_seen_at.map_or_else(|| "-".to_owned(), |since| since.to_string());
        return Err(ForecastReason::new("host_silent").with("host", &silent.id).with("since", since));
    }
    let unasked = |sentence: String| no_answer(&here.id, &sentence);
    let arguments = ForecastAsk {
        instance: id.parse().map_err(|_| unasked(format!("{id} is no instance")))?,
        to: there.id.parse().map_err(|_| unasked(format!("{} is no host", there.id)))?,
        endpoints: endpoints(app, &there.node_id).await.map_err(|refusal| unasked(format!("{:?}", refusal.code)))?,
        link: None,
    };
    let opened = ask(app, there, LINK, serde_json::Value::Null).await;
    if let Err(why) = &opened
        && why.code == "agent_too_old"
    {
        return Err(why.clone());
    }
    // Without an end the host that has the guest may still remember what the link carried.
    let link: Option<LinkEnd> = opened.ok().and_then(|end| serde_json::from_value(end).ok());
    let arguments = serde_json::to_value(ForecastAsk { link, ..arguments }).map_err(|e| unasked(e.to_string()))?;
    let answer = ask(app, here, FORECAST, arguments).await?;
    serde_json::from_value(answer).map_err(|error| unasked(error.to_string()))
}

async fn endpoints(app: &App, agent: &str) -> Result<BTreeMap<String, String>, Refusal> {
    let told = crate::transact!(app.db(), "endpoints of a host", None, AppError, |tx| {
        Ok(db::agents::find(tx, agent).await?)
    })?;
    Ok(told.map(|agent| agent.endpoints).unwrap_or_default())
}

async fn ask(
    app: &App,
    host: &HostNode,
    question: &str,
    arguments: serde_json::Value,
) -> Result<serde_json::Value, ForecastReason> {
    let agent = host.node_id.parse().map_err(|_| no_answer(&host.id, "it has no agent"))?;
    app.questions().ask(agent, question, arguments).await.map_err(|sentence| no_answer(&host.id, &sentence))
}

fn no_answer(host: &str, sentence: &str) -> ForecastReason {
    match sentence.contains(NOT_UNDERSTOOD) {
        true => ForecastReason::new("agent_too_old").with("host", host),
        false => ForecastReason::new("no_answer").with("host", host).with("message", sentence),
    }
}

/// What was measured, and what follows of it. Both hosts by their ids.
fn told(answer: &ForecastAnswer, (from, to): (&str, &str), now: Timestamp) -> MoveForecast {
    let (load, load_age) = known(&answer.load);
    let (link, link_age) = known(&answer.link);
    let oldest = load_age.into_iter().chain(link_age).max();
    let mut view = MoveForecast {
        memory_bytes: load.map(|load| load.memory_bytes),
        disk_bytes: load.map(|load| load.disk_bytes),
        dirty_bytes_per_second: load.map(|load| load.dirty_bytes_per_second),
        link_bytes_per_second: link.map(|link| carried(load, link)),
        measured_at: oldest.map(|age| Timestamp(now.0 - Duration::from_millis(age))),
        ..MoveForecast::default()
    };
    let missing = unmeasured(&answer.load, from).or_else(|| unmeasured(&answer.link, to));
    let (Some(load), Some(link), None) = (load, link, &missing) else {
        view.why = missing;
        return view;
    };
    match outlook(load, link) {
        Outlook::Ends { seconds, plus_minus, pause_ms } => {
            view.seconds = Some(seconds);
            view.plus_minus_seconds = plus_minus;
            view.pause_ms = Some(pause_ms);
            view.converges = Some(true);
            view.why = plus_minus.is_none().then(|| {
                let most = load.dirty_bytes_per_second.saturating_add(load.dirty_error_bytes_per_second);
                ForecastReason::new("may_not_converge").with("dirty", mib(most)).with("pause", load.pause_limit_ms)
            });
        }
        Outlook::Never(never) => {
            view.converges = Some(matches!(never, Never::TooLong { .. }));
            view.why = Some(never_ends(never, load, carried(Some(load), link)));
        }
    }
    view
}

fn known<T>(measure: &Measured<T>) -> (Option<&T>, Option<u64>) {
    match measure {
        Measured::Known { age_ms, value } => (Some(value), Some(*age_ms)),
        Measured::Unknown { .. } => (None, None),
    }
}

/// What of the link a migration may use.
fn carried(load: Option<&GuestLoad>, link: &LinkRate) -> u64 {
    load.and_then(|load| load.limit_bytes_per_second).map_or(link.bytes_per_second, |l| l.min(link.bytes_per_second))
}

fn never_ends(never: Never, load: &GuestLoad, link: u64) -> ForecastReason {
    let reason = match never {
        Never::Memory => ForecastReason::new("will_not_converge").with("dirty", mib(load.dirty_bytes_per_second)),
        Never::Disk => {
            ForecastReason::new("disk_will_not_converge").with("written", mib(load.written_bytes_per_second))
        }
        Never::TooLong { seconds } => {
            ForecastReason::new("too_long").with("seconds", seconds).with("limit", JOB_BUDGET_MAX.as_secs())
        }
    };
    reason.with("link", mib(link))
}

fn unmeasured<T>(measure: &Measured<T>, host: &str) -> Option<ForecastReason> {
    let Measured::Unknown { why, message } = measure else { return None };
    let code = match why {
        Unmeasured::Measuring => "measuring",
        Unmeasured::NotRunning => "not_running",
        Unmeasured::NoLink => "no_link",
        Unmeasured::LinkUnreachable => "link_unreachable",
        Unmeasured::Failed => "measure_failed",
    };
    Some(ForecastReason::new(code).with("host", host).with("message", message))
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const HOSTS: (&str, &str) = ("hn-a", "hn-b");

    fn now() -> Timestamp {
        Timestamp(time::OffsetDateTime::UNIX_EPOCH + Duration::from_secs(100))
    }

    fn answer(dirty: u64, rate: u64) -> ForecastAnswer {
        let load = GuestLoad {
            memory_bytes: 1024 * MIB,
            disk_bytes: 0,
            dirty_bytes_per_second: dirty,
            pause_limit_ms: 300,
            ..GuestLoad::default()
        };
        let link = LinkRate {
            bytes_per_second: rate,
            slowest_bytes_per_second: rate,
            fastest_bytes_per_second: rate,
            carried_bytes: MIB,
        };
        ForecastAnswer {
            load: Measured::Known { age_ms: 1_000, value: load },
            link: Measured::Known { age_ms: 9_000, value: link },
        }
    }

    #[test]
    fn what_ends_is_told_with_its_figures_and_the_age_of_the_oldest() {
        let view = told(&answer(MIB, 100 * MIB), HOSTS, now());
        assert_eq!((view.seconds, view.converges, view.why), (Some(13), Some(true), None));
        assert!(view.plus_minus_seconds.is_some_and(|plus_minus| plus_minus < 13));
        assert_eq!((view.memory_bytes, view.link_bytes_per_second), (Some(1024 * MIB), Some(100 * MIB)));
        assert_eq!(view.measured_at.map(|at| at.0.unix_timestamp()), Some(91));
    }

    #[test]
    fn what_does_not_end_has_no_seconds_and_says_why_with_both_rates() {
        let view = told(&answer(900 * MIB, 110 * MIB), HOSTS, now());
        assert_eq!((view.seconds, view.pause_ms, view.converges), (None, None, Some(false)));
        let why = view.why.unwrap();
        assert_eq!(why.code, "will_not_converge");
        assert_eq!((why.values["dirty"].as_str(), why.values["link"].as_str()), ("900.0 MiB", "110.0 MiB"));
        let maybe = told(&answer(50 * MIB, 100 * MIB), HOSTS, now());
        assert!(maybe.seconds.is_some() && maybe.plus_minus_seconds.is_none());
        assert_eq!(maybe.why.unwrap().code, "may_not_converge");
    }

    #[test]
    fn what_was_not_measured_is_null_and_says_whose_it_is() {
        let unknown = Measured::Unknown { why: Unmeasured::LinkUnreachable, message: "refused".into() };
        let view = told(&ForecastAnswer { link: unknown, ..answer(MIB, MIB) }, HOSTS, now());
        assert_eq!((view.seconds, view.link_bytes_per_second, view.converges), (None, None, None));
        assert_eq!(view.memory_bytes, Some(1024 * MIB), "what is known is told");
        let why = view.why.unwrap();
        assert_eq!((why.code.as_str(), why.values["host"].as_str()), ("link_unreachable", "hn-b"));
    }

    #[test]
    fn an_agent_that_does_not_know_the_question_is_told_as_old() {
        let said = "this host does not understand the question `hva.forecast`";
        assert_eq!(no_answer("hn-a", said).code, "agent_too_old");
        assert_eq!(no_answer("hn-a", "hva.a did not answer within 2 s").code, "no_answer");
    }
}
