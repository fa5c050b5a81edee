//! Runs one external program: an argument vector, a time limit, a bounded answer. Never a shell.
//!
//! Rule: a program that outlives its limit is killed and named in the error. It does not retry.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Bound of what an error quotes from a program's standard error.
const QUOTE_MAX: usize = 400;

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("{program} cannot be started: {source}")]
    Start { program: String, source: std::io::Error },
    #[error("{program} did not end within {limit:?}")]
    Late { program: String, limit: Duration },
    #[error("{program} {first}: {quote}")]
    Exit { program: String, first: String, quote: String },
}

/// A program and what it gets.
#[derive(Debug)]
pub struct Run {
    command: Command,
    program: String,
    first: String,
    input: Option<Vec<u8>>,
    limit: Duration,
}

impl Run {
    pub fn new(program: &str, limit: Duration) -> Self {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.env("LC_ALL", "C");
        Self { command, program: program.to_owned(), first: String::new(), input: None, limit }
    }

    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        let arg = arg.as_ref();
        if self.first.is_empty() && !arg.to_string_lossy().starts_with('-') {
            self.first = arg.to_string_lossy().into_owned();
        }
        self.command.arg(arg);
        self
    }

    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(self, args: I) -> Self {
        args.into_iter().fold(self, Run::arg)
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    #[must_use]
    pub fn input(mut self, bytes: Vec<u8>) -> Self {
        self.command.stdin(Stdio::piped());
        self.input = Some(bytes);
        self
    }

    /// The program's standard output when it ended with 0.
    pub async fn output(self) -> Result<String, CommandError> {
        let Run { mut command, program, first, input, limit } = self;
        let mut child = command.spawn().map_err(|source| CommandError::Start { program: program.clone(), source })?;
        let stdin = child.stdin.take();
        let feed = async move {
            if let (Some(mut pipe), Some(bytes)) = (stdin, input) {
                // A program that ends without reading says why on its own standard error.
                let _ = pipe.write_all(&bytes).await;
            }
        };
        let both = async { tokio::join!(feed, child.wait_with_output()).1 };
        let output = tokio::time::timeout(limit, both)
            .await
            .map_err(|_| CommandError::Late { program: program.clone(), limit })?
            .map_err(|source| CommandError::Start { program: program.clone(), source })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let quote = said.trim().replace('\n', " | ").chars().take(QUOTE_MAX).collect();
        Err(CommandError::Exit { program, first, quote })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_outlives_its_limit_is_named() {
        let late = Run::new("sleep", Duration::from_millis(50)).arg("5").output().await;
        assert!(matches!(late, Err(CommandError::Late { .. })), "{late:?}");
    }

    #[tokio::test]
    async fn input_reaches_the_program_and_its_output_comes_back() {
        let said = Run::new("cat", Duration::from_secs(5)).input(b"hello".to_vec()).output().await.unwrap();
        assert_eq!(said, "hello");
    }
}
