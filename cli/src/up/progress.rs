//! Progress as a person likes to see it: each step with its time, a spinner while it lasts.
//!
//! On a terminal steps that run side by side have a spinner line each; elsewhere there is one plain line when a step
//! ends. A supervisor in the background writes the same events to a file, which the command in front shows.

use super::words::{Language, Text};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "event")]
pub enum Event {
    Begin {
        step: u64,
        label: Text,
    },
    Done {
        step: u64,
        label: Text,
        detail: Option<Text>,
        elapsed_ms: u64,
    },
    Failed {
        step: u64,
        label: Text,
        elapsed_ms: u64,
    },
    Say {
        text: Text,
    },
    /// The last one: everything runs, or it does not.
    End {
        success: Success,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Success {
    Yes,
    No,
}

enum Sink {
    Terminal { bars: MultiProgress, running: Mutex<HashMap<u64, ProgressBar>> },
    Plain,
    File(Mutex<std::fs::File>),
}

#[derive(Clone)]
pub struct Progress {
    language: Language,
    sink: Arc<Sink>,
    next: Arc<AtomicU64>,
}

/// A running step. Dropped without `done` it counts as failed.
pub struct Step {
    progress: Progress,
    id: u64,
    label: Text,
    since: Instant,
    ended: bool,
}

impl Progress {
    fn with(language: Language, sink: Sink) -> Self {
        Self { language, sink: Arc::new(sink), next: Arc::new(AtomicU64::new(1)) }
    }

    /// To the person in front.
    pub fn shown(language: Language) -> Self {
        let terminal = || Sink::Terminal { bars: MultiProgress::new(), running: Mutex::new(HashMap::new()) };
        Self::with(language, if std::io::stderr().is_terminal() { terminal() } else { Sink::Plain })
    }

    /// To a file, for the command in front.
    pub fn recorded(file: std::fs::File) -> Self {
        Self::with(Language::En, Sink::File(Mutex::new(file)))
    }

    pub fn step(&self, label: Text) -> Step {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.emit(&Event::Begin { step: id, label: label.clone() });
        Step { progress: self.clone(), id, label, since: Instant::now(), ended: false }
    }

    pub fn say(&self, text: Text) {
        self.emit(&Event::Say { text });
    }

    pub fn end(&self, success: Success) {
        self.emit(&Event::End { success });
    }

    /// Shows or writes one event.
    pub fn emit(&self, event: &Event) {
        match &*self.sink {
            Sink::File(file) => {
                let line = serde_json::to_string(event).unwrap_or_default();
                if let Ok(mut file) = file.lock() {
                    // Progress is not worth failing for.
                    let _ = writeln!(file, "{line}");
                }
            }
            Sink::Plain => {
                if let Some(line) = self.line(event) {
                    eprintln!("{line}");
                }
            }
            Sink::Terminal { bars, running } => {
                let mut running = running.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                self.draw(event, bars, &mut running);
            }
        }
    }

    fn draw(&self, event: &Event, bars: &MultiProgress, running: &mut HashMap<u64, ProgressBar>) {
        if let Event::Begin { step, label } = event {
            let bar = bars.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("  {spinner:.cyan} {msg}  {elapsed:.dim}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_message(label.get(self.language).to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            running.insert(*step, bar);
            return;
        }
        if let Event::Done { step, .. } | Event::Failed { step, .. } = event
            && let Some(bar) = running.remove(step)
        {
            bar.finish_and_clear();
        }
        if let Some(line) = self.line(event) {
            // Falls silent when the terminal is gone.
            let _ = bars.println(line);
        }
    }

    fn line(&self, event: &Event) -> Option<String> {
        match event {
            Event::Begin { .. } | Event::End { .. } => None,
            Event::Done { label, detail, elapsed_ms, .. } => {
                let detail = detail.as_ref().map(|text| format!("  {}", text.get(self.language))).unwrap_or_default();
                Some(format!("  ✓ {}  {}{detail}", label.get(self.language), seconds(*elapsed_ms)))
            }
            Event::Failed { label, elapsed_ms, .. } => {
                Some(format!("  ✗ {}  {}", label.get(self.language), seconds(*elapsed_ms)))
            }
            Event::Say { text } => Some(text.get(self.language).to_owned()),
        }
    }
}

fn seconds(elapsed_ms: u64) -> String {
    format!("{}.{} s", elapsed_ms / 1000, elapsed_ms % 1000 / 100)
}

impl Step {
    fn elapsed_ms(&self) -> u64 {
        self.since.elapsed().as_millis() as u64
    }

    pub fn done(self) {
        self.finish(None);
    }

    pub fn done_with(self, detail: Text) {
        self.finish(Some(detail));
    }

    fn finish(mut self, detail: Option<Text>) {
        self.ended = true;
        let (step, label, elapsed_ms) = (self.id, self.label.clone(), self.elapsed_ms());
        self.progress.emit(&Event::Done { step, label, detail, elapsed_ms });
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.ended {
            let (step, label, elapsed_ms) = (self.id, self.label.clone(), self.elapsed_ms());
            self.progress.emit(&Event::Failed { step, label, elapsed_ms });
        }
    }
}
