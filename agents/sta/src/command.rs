//! Runs one external program: an argument vector, a time limit, its words read as text.
//!
//! Rule: never a shell, never without a limit, and the child dies with the call. It does not retry.

use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("`{program}` could not be started")]
    Start { program: String, source: std::io::Error },
    #[error("`{program}` did not end within {limit:?}")]
    Late { program: String, limit: Duration },
    #[error("`{program} {verb}` ended with {code}: {stderr}")]
    Failed { program: String, verb: String, code: i32, stderr: String },
}

/// What a program reads and where its output goes; output that is not piped is not answered.
pub struct Streams {
    pub input: Stdio,
    pub output: Stdio,
}

/// Standard output of the program when it ended well.
///
/// # Errors
/// It could not be started, ran too long, or ended with another code than 0.
pub async fn run(program: &str, arguments: &[String], limit: Duration) -> Result<String, CommandError> {
    run_with(program, arguments, limit, Streams { input: Stdio::null(), output: Stdio::piped() }).await
}

/// The same with streams of the caller's.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    program: &str,
    arguments: &[String],
    limit: Duration,
    streams: Streams,
) -> Result<String, CommandError> {
    let mut command = Command::new(program);
    // The C locale: messages are matched by their English text.
    command.args(arguments).env("LC_ALL", "C").stdin(streams.input).stdout(streams.output).stderr(Stdio::piped());
    let child = command.kill_on_drop(true).spawn();
    let child = child.map_err(|source| CommandError::Start { program: program.to_owned(), source })?;
    let output = tokio::time::timeout(limit, child.wait_with_output())
        .await
        .map_err(|_| CommandError::Late { program: program.to_owned(), limit })?
        .map_err(|source| CommandError::Start { program: program.to_owned(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(CommandError::Failed {
        program: program.to_owned(),
        verb: arguments.first().cloned().unwrap_or_default(),
        code: output.status.code().unwrap_or(-1),
        stderr: String::from_utf8_lossy(&output.stderr).trim().chars().take(400).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_hangs_is_ended_and_one_that_does_not_answers() {
        let text = run("echo", &["a b".to_owned()], Duration::from_secs(5)).await.unwrap();
        assert_eq!(text, "a b\n");
        let late = run("sleep", &["60".to_owned()], Duration::from_millis(50)).await;
        assert!(matches!(late, Err(CommandError::Late { .. })));
    }
}
