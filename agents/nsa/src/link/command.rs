//! One external command: an argument vector, a time limit, its error output in the error. Never a shell.

use crate::limits::COMMAND_TIMEOUT;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("starting {command}")]
    Start {
        command: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{command} did not end within {COMMAND_TIMEOUT:?}")]
    Late { command: String },
    #[error("{command} ended with {status}: {stderr}")]
    Failed { command: String, status: std::process::ExitStatus, stderr: String },
}

/// Runs the command to its end and gives its standard output. A command that is late is killed.
///
/// # Errors
/// It cannot be started, is late, or ends with a status other than 0.
pub async fn run(program: &str, arguments: &[&str]) -> Result<String, CommandError> {
    run_with(program, arguments, None).await
}

/// The same with standard input.
///
/// # Errors
/// As [`run`].
pub async fn run_with(program: &str, arguments: &[&str], input: Option<&str>) -> Result<String, CommandError> {
    let shown = || format!("{program} {}", arguments.join(" "));
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let start = |source| CommandError::Start { command: shown(), source };
    let mut child = command.spawn().map_err(start)?;
    let ended = tokio::time::timeout(COMMAND_TIMEOUT, async {
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // A command that ends before reading everything says why by its status.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    });
    let output = ended.await.map_err(|_| CommandError::Late { command: shown() })?.map_err(start)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().chars().take(500).collect();
    Err(CommandError::Failed { command: shown(), status: output.status, stderr })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_command_says_what_it_said() {
        assert_eq!(run_with("cat", &[], Some("hi")).await.unwrap(), "hi");
        let error = run("ls", &["/no-such-place"]).await.unwrap_err().to_string();
        assert!(error.contains("/no-such-place") && error.contains("status: 2"), "{error}");
    }
}
