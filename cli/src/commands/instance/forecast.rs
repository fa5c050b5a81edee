//! How long a move would take, for people: asked of the API before anything is done; `--json` is its answer.
//!
//! Rule: a time that is not known is told as not known, with the reason and the next step.

use super::show;
use crate::failure::CliError;
use crate::session::Session;
use crate::table::{fields, size};
use crate::words::{Message, say, word};
use arame_schema::api::{Language, MoveForecast, MovePlan};
use serde_json::json;
use std::time::Duration;

/// A measure takes a second or two: it is asked for again so often while it goes on.
const ASKED_MAX: usize = 5;
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// The plan of a move, with its forecast when that can be had.
pub(crate) async fn ask(session: &Session<'_>, id: &str, to: &str) -> Result<MovePlan, CliError> {
    let path = format!("/instances/{id}/move?plan=true");
    let mut asked = 1;
    loop {
        let plan: MovePlan = session.client.put(&path, &json!({ "host_node_id": to })).await?;
        if asked == ASKED_MAX || !is_measured_now(&plan) {
            return Ok(plan);
        }
        asked += 1;
        tokio::time::sleep(ASKED_EVERY).await;
    }
}

fn is_measured_now(plan: &MovePlan) -> bool {
    let why = plan.forecast.as_ref().and_then(|forecast| forecast.why.as_ref());
    why.is_some_and(|why| why.code == "measuring")
}

/// `14 s ± 4`, `22 s or more`, or that it is not known or would not end.
pub(crate) fn time(language: Language, forecast: &MoveForecast) -> String {
    let number = |number: u64| number.to_string();
    match (forecast.seconds, forecast.plus_minus_seconds) {
        (Some(seconds), Some(span)) => {
            say(language, Message::ForecastTime, &[("seconds", &number(seconds)), ("span", &number(span))])
        }
        (Some(seconds), None) => say(language, Message::ForecastLeast, &[("seconds", &number(seconds))]),
        (None, _) if forecast.converges.is_some() => word(language, Message::ForecastNever).to_owned(),
        (None, _) => word(language, Message::ForecastUnknown).to_owned(),
    }
}

pub(super) fn plan(language: Language, plan: &MovePlan) -> String {
    let from = plan.from.clone().unwrap_or_else(|| "-".into());
    let mut pairs = vec![(Message::Instance, plan.id.clone()), (Message::Host, format!("{from} → {}", plan.to))];
    if let Some(forecast) = &plan.forecast {
        let rate = |rate: Option<u64>| rate.map(|rate| format!("{}/s", size(rate))).unwrap_or_default();
        pairs.push((Message::Forecast, time(language, forecast)));
        pairs.push((Message::Pause, forecast.pause_ms.map(|ms| format!("{ms} ms")).unwrap_or_default()));
        pairs.push((Message::Memory, forecast.memory_bytes.map(size).unwrap_or_default()));
        pairs.push((Message::Changes, rate(forecast.dirty_bytes_per_second)));
        pairs.push((Message::Disk, forecast.disk_bytes.map(size).unwrap_or_default()));
        pairs.push((Message::LinkRate, rate(forecast.link_bytes_per_second)));
        pairs.push((Message::MeasuredAt, forecast.measured_at.as_ref().map(ToString::to_string).unwrap_or_default()));
        if let Some(why) = &forecast.why {
            pairs.push((Message::Cause, why.sentence.clone()));
            pairs.push((Message::NextStep, why.next_step.clone()));
        }
    }
    fields(language, pairs) + &show::refusals(language, &plan.refusals)
}

/// Of several moves one after the other: the sum of what is known, and of how many nothing is.
pub(crate) fn sum(language: Language, forecasts: &[&MoveForecast]) -> String {
    let known: Vec<(u64, Option<u64>)> =
        forecasts.iter().filter_map(|one| Some((one.seconds?, one.plus_minus_seconds))).collect();
    let unknown = forecasts.len() - known.len();
    // What one is wrong by, the next likely is too: errors of one link add up.
    let all = MoveForecast {
        seconds: Some(known.iter().map(|(seconds, _)| seconds).sum()),
        plus_minus_seconds: known.iter().map(|(_, span)| *span).sum(),
        ..MoveForecast::default()
    };
    let mut text = format!("{}: {}\n", word(language, Message::InAll), time(language, &all));
    if unknown > 0 {
        text.push_str(&say(language, Message::ForecastWithout, &[("count", &unknown.to_string())]));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::api::ForecastReason;

    fn of(seconds: Option<u64>, span: Option<u64>) -> MoveForecast {
        MoveForecast { seconds, plus_minus_seconds: span, ..MoveForecast::default() }
    }

    #[test]
    fn a_time_is_told_with_its_uncertainty_in_both_languages() {
        assert_eq!(time(Language::En, &of(Some(14), Some(4))), "14 s ± 4");
        assert_eq!(time(Language::Ja, &of(Some(14), Some(4))), "約 14 秒（±4 秒）");
        assert_eq!(time(Language::En, &of(Some(22), None)), "22 s or more");
        assert_eq!(time(Language::En, &of(None, None)), "not known");
        let never = MoveForecast { converges: Some(false), ..of(None, None) };
        assert_eq!(time(Language::Ja, &never), "終わりません");
    }

    #[test]
    fn a_sum_says_of_how_many_nothing_is_known_and_of_one_that_may_not_end_no_uncertainty() {
        let (short, long, none) = (of(Some(3), Some(1)), of(Some(14), Some(4)), of(None, None));
        assert_eq!(sum(Language::En, &[&short, &long]), "in all: 17 s ± 5\n");
        assert_eq!(sum(Language::En, &[&short, &none]), "in all: 3 s ± 1\n1 of them without a time: not in the sum\n");
        assert_eq!(sum(Language::En, &[&short, &of(Some(9), None)]), "in all: 12 s or more\n");
    }

    #[test]
    fn a_plan_tells_why_nothing_is_known() {
        let why = ForecastReason { sentence: "host hn-a is silent".into(), ..ForecastReason::new("host_silent") };
        let forecast = MoveForecast { why: Some(why), ..MoveForecast::default() };
        let view = MovePlan { id: "i-a".into(), to: "hn-b".into(), forecast: Some(forecast), ..MovePlan::default() };
        let text = plan(Language::En, &view);
        assert!(text.contains("not known") && text.contains("host hn-a is silent"), "{text}");
    }
}
