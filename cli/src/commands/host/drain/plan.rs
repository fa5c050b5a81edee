//! `arame host drain --plan`: where each machine would go and how long that would take; nothing is done.

use super::candidates;
use crate::commands::instance::forecast;
use crate::failure::CliError;
use crate::session::Session;
use crate::table::table;
use crate::words::{Message, say, word};
use arame_schema::api::{Instance, Language, MoveForecast, MovePlan};
use serde::Serialize;

/// What would become of one machine.
#[derive(Debug, Serialize)]
struct Step {
    id: String,
    /// Null: it would stay.
    to: Option<String>,
    forecast: Option<MoveForecast>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Refusals of one host after which the next is asked about.
const NEXT_HOST: [&str; 2] = ["out_of_host_capacity", "host_cannot_move"];

pub async fn run(session: &mut Session<'_>, host: &str, instances: &[Instance]) -> Result<(), CliError> {
    let mut steps = Vec::new();
    for one in instances {
        steps.push(step(session, one, host).await?);
    }
    session.print(&steps, |language| told(language, host, &steps))
}

async fn step(session: &Session<'_>, one: &Instance, from: &str) -> Result<Step, CliError> {
    let language = session.language();
    let stays = |reason| Step { id: one.id.clone(), to: None, forecast: None, reason: Some(reason) };
    if !matches!(one.state.as_str(), "running" | "migrating") {
        return Ok(stays(say(language, Message::NotRunning, &[("state", one.state.as_str())])));
    }
    let mut reason = word(language, Message::NoHostTakes).to_owned();
    for to in candidates(session, from).await? {
        let MovePlan { forecast, refusals, .. } = forecast::ask(session, &one.id, &to).await?;
        let Some(refusal) = refusals.into_iter().next() else {
            let reason = forecast.as_ref().and_then(|told| told.why.as_ref()).map(|why| why.sentence.clone());
            return Ok(Step { id: one.id.clone(), to: Some(to), forecast, reason });
        };
        if !NEXT_HOST.contains(&refusal.reason.as_str()) {
            return Ok(stays(refusal.message));
        }
        if refusal.reason == "host_cannot_move" {
            reason = refusal.message;
        }
    }
    Ok(stays(reason))
}

fn told(language: Language, host: &str, steps: &[Step]) -> String {
    if steps.is_empty() {
        return format!("{}\n", say(language, Message::Drained, &[("host", host)]));
    }
    let rows = steps.iter().map(|step| {
        let time = step.forecast.as_ref().map(|forecast| forecast::time(language, forecast));
        let dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        vec![step.id.clone(), dash(step.to.clone()), dash(time), dash(step.reason.clone())]
    });
    let head = [Message::Id, Message::Host, Message::Forecast, Message::Cause];
    let moves: Vec<&MoveForecast> = steps.iter().filter_map(|step| step.forecast.as_ref()).collect();
    table(language, &head, rows.collect()) + &forecast::sum(language, &moves)
}
