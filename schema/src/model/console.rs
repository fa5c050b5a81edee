//! Consoles of an instance: which there are, and why an agent does not open one, in words that travel.
//!
//! Rule: the words are part of the wire: an agent of another version says the same.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConsoleKind {
    /// Its first serial port: text.
    Serial,
    /// Its screen, keyboard and pointer, in the RFB protocol (RFC 6143).
    Vnc,
}

impl ConsoleKind {
    pub const ALL: [ConsoleKind; 2] = [ConsoleKind::Serial, ConsoleKind::Vnc];

    pub fn as_str(self) -> &'static str {
        match self {
            ConsoleKind::Serial => "serial",
            ConsoleKind::Vnc => "vnc",
        }
    }
}

impl fmt::Display for ConsoleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ConsoleKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or("serial | vnc")
    }
}

/// Why an agent does not open a console or show a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoConsole {
    /// The guest does not run.
    Off,
    /// Another viewer has it.
    InUse,
    /// The guest was started without it, by an earlier version.
    Absent,
    /// The agent has as many streams as it may.
    TooMany,
}

impl NoConsole {
    pub const ALL: [NoConsole; 4] = [NoConsole::Off, NoConsole::InUse, NoConsole::Absent, NoConsole::TooMany];

    /// The answer to the question, instead of a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            NoConsole::Off => "guest_off",
            NoConsole::InUse => "console_in_use",
            NoConsole::Absent => "console_absent",
            NoConsole::TooMany => "too_many_streams",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        assert!(ConsoleKind::ALL.into_iter().all(|kind| kind.to_string().parse() == Ok(kind)));
        assert!(NoConsole::ALL.into_iter().all(|why| NoConsole::parse(why.as_str()) == Some(why)));
        assert!("telnet".parse::<ConsoleKind>().is_err() && NoConsole::parse("a sentence").is_none());
    }
}
