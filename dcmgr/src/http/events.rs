//! `/events`: timelines as a list, or live as server-sent events (WHATWG HTML, section 9.2).
//!
//! Rule: ids are the public event numbers, in order and never reused, so a stream goes on where it was cut
//! (`Last-Event-ID`) without losing or repeating one. Streams are bounded in number and age; a client whose stream
//! ends connects again.

use super::Http;
use super::answer::Refused;
use super::app;
use super::app::Caller;
use super::asked::{Asked, Credential};
use arame_schema::api::{Code, Event, Language, Localise, Refusal};
use axum::Json;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::sse::{Event as Frame, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

/// Streams open at once: each costs a task, a socket and a query per tick.
pub const STREAMS_MAX: usize = 256;

/// Longest a stream lives: a client that lost the way of its stream connects anew now and then.
const STREAM_AGE_MAX: Duration = Duration::from_secs(15 * 60);

/// A comment line this often keeps proxies from cutting a silent stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Looked for anyway when no tick came: ticks are only a bell.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Events after a number. With `Accept: text/event-stream` live, else those there are.
#[utoipa::path(get, path = "/events", tag = "events",
    params(
        ("after" = Option<u64>, Query, description = "Event number to go on from; absent: a stream begins now, a list at 0."),
        ("last" = Option<u32>, Query, description = "In place of `after`: only the newest so many of the last 20,000 events, 1 to 200. Not of a stream."),
        ("resource" = Option<String>, Query, description = "Only this resource's."),
        ("Last-Event-ID" = Option<u64>, Header, description = "As `after`, sent by a client that connects again."),
    ),
    responses((status = 200, content((Vec<Event> = "application/json"), (Event = "text/event-stream")))))]
pub async fn events(mut asked: Asked) -> Result<Response, Refused> {
    let after = asked.fields.number("after", 0..=u64::MAX)?;
    let last = asked.fields.number("last", 1..=u64::from(app::events::BATCH))?;
    let resource = asked.fields.text_within("resource", 63)?.filter(|text| !text.is_empty());
    if !wants_stream(&asked.headers) {
        let (app, caller, resource) = (asked.app(), &asked.caller, resource.as_deref());
        let mut found = match last {
            Some(count) => app::events::newest(app, caller, count as u32, resource).await?,
            None => app::events::after(app, caller, after.unwrap_or(0), resource).await?,
        };
        found.localise(asked.frame().language);
        return Ok(Json(found).into_response());
    }
    let permit = asked.http.streams.clone().try_acquire_owned();
    let permit = permit.map_err(|_| Refusal::new(Code::Unavailable).with("what", "event stream"))?;
    let ticks = app::events::subscribe(asked.app());
    let after = last_event_id(&asked.headers).or(after).unwrap_or_else(|| *ticks.borrow());
    let follower = Follower {
        language: asked.frame().language,
        caller: asked.caller,
        credential: asked.credential,
        shown: Instant::now(),
        http: asked.http,
        resource,
        after,
        waiting: VecDeque::new(),
        ticks,
        ends: Instant::now() + STREAM_AGE_MAX,
        _permit: permit,
    };
    Ok(Sse::new(follow(follower)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

fn wants_stream(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|text| text.contains("text/event-stream"))
}

fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.trim().parse().ok()
}

/// The credential is shown again this often: a revoked one listens no longer than this and what is believed of it.
const SHOWN_AGAIN: Duration = Duration::from_secs(2);

struct Follower {
    http: Http,
    caller: Caller,
    credential: Credential,
    shown: Instant,
    language: Language,
    resource: Option<String>,
    after: u64,
    waiting: VecDeque<Event>,
    ticks: watch::Receiver<u64>,
    ends: Instant,
    _permit: OwnedSemaphorePermit,
}

fn follow(follower: Follower) -> impl Stream<Item = Result<Frame, Infallible>> {
    stream::unfold(follower, |mut follower| async move {
        let mut event = follower.next().await?;
        event.localise(follower.language);
        let frame = Frame::default().id(event.id.to_string()).event("event").json_data(&event);
        // A view is plain data; were it not, a comment keeps the stream's numbering honest.
        Some((Ok(frame.unwrap_or_else(|_| Frame::default().comment("unreadable event"))), follower))
    })
}

impl Follower {
    /// The next event, or the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.after = event.id;
                return Some(event);
            }
            if self.shown.elapsed() >= SHOWN_AGAIN {
                let Caller { role, account, .. } = self.credential.show(&self.http.app).await.ok()?;
                // Of another role or account: connected again it is given what it may see now.
                if (role, &account) != (self.caller.role, &self.caller.account) {
                    return None;
                }
                self.shown = Instant::now();
            }
            // Marked before looking: an event that comes while we look ticks again.
            self.ticks.borrow_and_update();
            match app::events::after(&self.http.app, &self.caller, self.after, self.resource.as_deref()).await {
                Ok(found) if !found.is_empty() => self.waiting = found.into(),
                Ok(_) => self.wait().await?,
                // The client connects again and is then told what is wrong.
                Err(_) => return None,
            }
        }
    }

    /// Until there may be something new. `None`: the stream ends.
    async fn wait(&mut self) -> Option<()> {
        tokio::select! {
            () = self.http.stop.cancelled() => None,
            () = tokio::time::sleep_until(self.ends) => None,
            changed = self.ticks.changed() => changed.ok(),
            () = tokio::time::sleep(LOOK_AGAIN.min(SHOWN_AGAIN)) => Some(()),
        }
    }
}
