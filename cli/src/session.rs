//! One run of the command: the client, where the answer goes, and the ways every command answers.

use crate::client::Client;
use crate::failure::CliError;
use crate::words::{Message, say, word};
use arame_schema::api::Language;
use serde::Serialize;
use std::io::Write;

/// What every command has at hand.
pub struct Session<'a> {
    pub client: Client,
    pub json: bool,
    pub out: &'a mut (dyn Write + Send),
    /// Progress and remarks; never what a program reads.
    pub remarks: &'a mut (dyn Write + Send),
    /// Whether a person watches the remarks.
    pub terminal: bool,
}

impl Session<'_> {
    pub fn language(&self) -> Language {
        self.client.language()
    }

    pub fn word(&self, message: Message) -> &'static str {
        word(self.language(), message)
    }

    /// JSON when asked for, else what people read.
    pub fn print<T: Serialize>(
        &mut self,
        view: &T,
        for_people: impl FnOnce(Language) -> String,
    ) -> Result<(), CliError> {
        if self.json {
            let text = serde_json::to_string_pretty(view).map_err(std::io::Error::other)?;
            writeln!(self.out, "{text}")?;
        } else {
            self.out.write_all(for_people(self.client.language()).as_bytes())?;
        }
        Ok(())
    }

    /// A remark beside the answer. That nobody reads it is no failure.
    pub fn remark(&mut self, message: Message, values: &[(&str, &str)]) {
        let _ = writeln!(self.remarks, "{}", say(self.client.language(), message, values));
    }

    pub fn yes_no(&self, value: Answer) -> &'static str {
        self.word(if value == Answer::Yes { Message::Yes } else { Message::No })
    }
}

/// A yes or no that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Yes,
    No,
}

impl From<bool> for Answer {
    fn from(value: bool) -> Self {
        if value { Answer::Yes } else { Answer::No }
    }
}
