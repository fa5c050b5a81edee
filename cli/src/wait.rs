//! `--wait`: follows a resource's timeline live until it is as wanted, has failed, or time is over.
//!
//! Rule: the resource's own view decides, never an event: events are only told, and a bell to look again. A stream
//! that is cut is taken up where it was; without one, looking once a second is enough.

use crate::client::Client;
use crate::failure::{CliError, WAIT_FAILED};
use crate::session::Session;
use crate::table::plain;
use crate::words::{Message, say};
use arame_schema::api::{
    BackupObject, Event, Failure, Image, Instance, Language, SnapshotReplica, Volume, VolumeSnapshot,
};
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::Write;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Looked again this often when no event comes.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Before a cut stream is taken up again.
const RECONNECT: Duration = Duration::from_millis(500);

/// Events told at most ahead of the terminal.
const EVENTS_AHEAD: usize = 256;

/// A resource whose state can be waited for.
pub trait Watched: serde::de::DeserializeOwned + serde::Serialize {
    fn state(&self) -> String;
    fn failure(&self) -> Option<&Failure>;
    /// States out of which nothing more comes by itself.
    fn has_failed(&self) -> bool;
}

impl Watched for Instance {
    fn state(&self) -> String {
        self.state.to_string()
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    fn has_failed(&self) -> bool {
        self.state.as_str() == "failed"
    }
}

impl Watched for Volume {
    fn state(&self) -> String {
        self.state.to_string()
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    fn has_failed(&self) -> bool {
        matches!(self.state.as_str(), "failed" | "lost")
    }
}

impl Watched for Image {
    fn state(&self) -> String {
        self.state.clone()
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// One that waits for an upload that broke off waits for a person.
    fn has_failed(&self) -> bool {
        self.state == "failed" || (self.state == "pending" && self.failure.is_some())
    }
}

impl Watched for BackupObject {
    fn state(&self) -> String {
        self.state.clone()
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    fn has_failed(&self) -> bool {
        matches!(self.state.as_str(), "failed" | "lost")
    }
}

impl Watched for VolumeSnapshot {
    fn state(&self) -> String {
        self.state.to_string()
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    fn has_failed(&self) -> bool {
        matches!(self.state.as_str(), "failed" | "lost")
    }
}

impl Watched for SnapshotReplica {
    fn state(&self) -> String {
        self.state.to_string()
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    fn has_failed(&self) -> bool {
        matches!(self.state.as_str(), "failed" | "lost")
    }
}

/// What is waited for.
#[derive(Debug, Clone)]
pub struct Goal<'a> {
    /// `/instances/i-…`
    pub path: String,
    pub id: &'a str,
    /// Any of these states is the end. A resource that is not there any more is the end of `terminated`, `deleted`.
    pub states: &'a [&'a str],
    pub after: u64,
    pub timeout: Duration,
}

/// The number of the newest event of a resource: what came before is not told again.
pub async fn newest_event(client: &Client, id: &str) -> Result<u64, CliError> {
    Ok(events_of(client, id).await?.last().map_or(0, |event| event.id))
}

/// The timeline of a resource so far.
pub async fn events_of(client: &Client, id: &str) -> Result<Vec<Event>, CliError> {
    let mut events: Vec<Event> = Vec::new();
    // Bounded by what a page of events holds; a timeline longer than this many pages is told from its middle on.
    for _ in 0..100 {
        let newest = events.last().map_or(0, |event| event.id);
        let page: Vec<Event> = client.get(&format!("/events?after={newest}&resource={id}")).await?;
        if page.last().is_none_or(|last| last.id <= newest) {
            break;
        }
        events.extend(page);
    }
    Ok(events)
}

/// Waits for the goal. The last view, or `None` when the thing is gone.
pub async fn until<T: Watched>(session: &mut Session<'_>, goal: Goal<'_>) -> Result<Option<T>, CliError> {
    let began = Instant::now();
    let (client, language) = (session.client.clone(), session.language());
    let (_listener, mut events) = listen(client.clone(), goal.id.to_owned(), goal.after);
    let spinner = spinner(session.terminal);
    let mut told = Teller { language, began, spinner: &spinner, remarks: &mut *session.remarks };
    loop {
        let view: Option<T> = look(&client, &goal.path).await?;
        let state = view.as_ref().map_or_else(|| goal.states[0].to_owned(), Watched::state);
        if goal.states.contains(&state.as_str()) {
            told.finish(&mut events, goal.id, &state);
            return Ok(view);
        }
        if let Some(view) = view.filter(Watched::has_failed) {
            told.drain(&mut events);
            return Err(failed(language, goal.id, &view));
        }
        if began.elapsed() >= goal.timeout {
            told.drain(&mut events);
            return Err(timed_out(language, &goal, &state));
        }
        spinner.set_message(say(language, Message::Waiting, &[("id", goal.id), ("state", &state)]));
        if let Ok(Some(event)) = tokio::time::timeout(LOOK_AGAIN, events.recv()).await {
            told.tell(&event);
            told.drain(&mut events);
        }
    }
}

/// The view, or `None` when it is not there any more.
async fn look<T: Watched>(client: &Client, path: &str) -> Result<Option<T>, CliError> {
    match client.get(path).await {
        Ok(view) => Ok(Some(view)),
        Err(CliError::Refused(body)) if body.reason == "unknown_resource" => Ok(None),
        Err(other) => Err(other),
    }
}

/// Ends its task with the wait.
pub struct Listener(JoinHandle<()>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Events of a resource from after a number on, as they come, over every cut of the stream.
pub fn listen(client: Client, id: String, after: u64) -> (Listener, mpsc::Receiver<Event>) {
    let (sender, receiver) = mpsc::channel(EVENTS_AHEAD);
    let task = tokio::spawn(async move {
        let mut after = after;
        while !sender.is_closed() {
            let _ = listen_once(&client, &id, &mut after, &sender).await;
            tokio::time::sleep(RECONNECT).await;
        }
    });
    (Listener(task), receiver)
}

/// One connection's worth of events.
async fn listen_once(client: &Client, id: &str, after: &mut u64, sender: &mpsc::Sender<Event>) -> Result<(), CliError> {
    let mut pieces = client.follow(Some(id), Some(*after)).await?.bytes_stream();
    let mut reader = EventReader::default();
    while let Some(Ok(piece)) = pieces.next().await {
        for event in reader.feed(&piece) {
            *after = event.id;
            if sender.send(event).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Cuts a byte stream into events: lines `data: …`, one each, as our API writes them.
#[derive(Default)]
pub struct EventReader {
    rest: Vec<u8>,
}

/// A line longer than this is no event of ours.
const LINE_MAX: usize = 1024 * 1024;

impl EventReader {
    pub fn feed(&mut self, piece: &[u8]) -> Vec<Event> {
        self.rest.extend_from_slice(piece);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            if let Some(data) = line.strip_prefix(b"data:")
                && let Ok(event) = serde_json::from_slice(data.trim_ascii())
            {
                events.push(event);
            }
        }
        if self.rest.len() > LINE_MAX {
            self.rest.clear();
        }
        events
    }
}

fn spinner(terminal: bool) -> ProgressBar {
    let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let spinner = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{elapsed}]") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

/// Tells events as they come: above the spinner on a terminal, as plain lines elsewhere.
struct Teller<'a> {
    language: Language,
    began: Instant,
    spinner: &'a ProgressBar,
    remarks: &'a mut (dyn Write + Send),
}

impl Teller<'_> {
    fn tell(&mut self, event: &Event) {
        let line = format!("{:>7.1}s  {}", self.began.elapsed().as_secs_f64(), plain(&event.text));
        self.line(&line);
    }

    fn line(&mut self, line: &str) {
        if self.spinner.is_hidden() {
            let _ = writeln!(self.remarks, "{line}");
        } else {
            self.spinner.println(line);
        }
    }

    fn drain(&mut self, events: &mut mpsc::Receiver<Event>) {
        while let Ok(event) = events.try_recv() {
            self.tell(&event);
        }
    }

    fn finish(&mut self, events: &mut mpsc::Receiver<Event>, id: &str, state: &str) {
        self.drain(events);
        self.spinner.finish_and_clear();
        let seconds = format!("{:.1}", self.began.elapsed().as_secs_f64());
        let line = say(self.language, Message::Done, &[("id", id), ("state", state), ("seconds", &seconds)]);
        self.line(&line);
    }
}

fn failed<T: Watched>(language: Language, id: &str, view: &T) -> CliError {
    let sentence = say(language, Message::WaitFailed, &[("id", id), ("state", &view.state())]);
    CliError::Failed { sentence, failure: Box::new(view.failure().cloned().unwrap_or_default()) }
}

fn timed_out(language: Language, goal: &Goal<'_>, state: &str) -> CliError {
    let seconds = goal.timeout.as_secs().to_string();
    let values = [("id", goal.id), ("state", state), ("seconds", seconds.as_str())];
    let sentence = say(language, Message::WaitTimeout, &values);
    CliError::because(WAIT_FAILED, sentence, "", say(language, Message::WaitTimeoutNext, &[("id", goal.id)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_the_bytes_are_cut() {
        let one = |id: u64| {
            format!(
                "event: event\nid: {id}\ndata: {{\"id\":{id},\"at\":\"2026-01-02 03:04:05 UTC\",\"resource\":\"i-a\",\
                 \"operation\":null,\"code\":\"x\",\"values\":{{}},\"text\":\"起動\",\"job\":null,\"agent\":null}}\n\n"
            )
        };
        let bytes = format!(": keep\n\n{}{}", one(1), one(2)).into_bytes();
        for size in [1, 2, 3, 7, 64, bytes.len()] {
            let mut reader = EventReader::default();
            let events: Vec<Event> = bytes.chunks(size).flat_map(|piece| reader.feed(piece)).collect();
            assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), [1, 2], "pieces of {size}");
            assert_eq!(events[0].text, "起動");
        }
    }

    #[test]
    fn an_endless_line_is_not_kept() {
        let mut reader = EventReader::default();
        for _ in 0..3 {
            assert!(reader.feed(&vec![b'a'; LINE_MAX]).is_empty());
        }
        assert!(reader.rest.len() <= LINE_MAX);
    }
}
