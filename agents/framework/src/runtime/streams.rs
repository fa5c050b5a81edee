//! Opens a stream that was asked for: the agent's end, the way to dcmgr, and the copying between them.
//!
//! Rule: the question is answered when dcmgr let the stream in, or with the reason why not; then nothing of it is left. A
//! stream lives no longer than this process wants to.

use super::Context;
use crate::rehearsal;
use crate::stream::{self, Limits};
use arame_schema::jobs::report::StreamAsk;
use arame_schema::model::NoConsole;
use serde_json::Value;
use std::sync::Arc;

pub(super) async fn open(context: &Arc<Context>, asked: StreamAsk) -> Result<Value, String> {
    let places = context.streams.places.clone();
    let place = places.try_acquire_owned().map_err(|_| NoConsole::TooMany.as_str().to_owned())?;
    let ours = context.agent.open(&asked.ask).await?;
    let mut theirs = context.streams.road.dial(&asked.stream.to).await?;
    stream::greet(&mut theirs, &asked.stream).await?;
    let (id, question, over) = (asked.stream.stream, asked.ask.question, context.streams.over.clone());
    tracing::info!(stream = %id, question, "a stream is open");
    rehearsal::spawn(async move {
        let ended = stream::carry(ours, theirs, Limits::default(), over).await;
        drop(place);
        tracing::info!(stream = %id, ?ended, "a stream is over");
    });
    Ok(Value::Null)
}
