//! External programs: an argument vector, a time limit, and an error that says which program and what it printed.
//!
//! There is no shell and no retry here; a program that overruns its limit is killed.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// What most programs need at most: they only talk to the kernel or to a local socket.
pub const SHORT: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("{program} cannot be started: {source}")]
    Start { program: String, source: std::io::Error },
    #[error("{program} did not end within {limit:?}")]
    Late { program: String, limit: Duration },
    #[error("`{line}` failed ({status}): {stderr}")]
    Failed { line: String, status: std::process::ExitStatus, stderr: String },
}

/// A program call being put together.
#[derive(Debug, Clone)]
pub struct Call {
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    directory: Option<std::path::PathBuf>,
    input: Option<Vec<u8>>,
    limit: Duration,
    user: Option<(u32, u32)>,
}

impl Call {
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            envs: Vec::new(),
            directory: None,
            input: None,
            limit: SHORT,
            user: None,
        }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    pub fn directory(mut self, directory: impl Into<std::path::PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    pub fn user(mut self, user: Option<(u32, u32)>) -> Self {
        self.user = user;
        self
    }

    fn program_name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    fn line(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).envs(self.envs.iter().map(|(n, v)| (n, v)));
        // Messages of external programs are parsed in places: always the C locale.
        command.env("LC_ALL", "C").kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if let Some((uid, gid)) = self.user {
            command.gid(gid).uid(uid);
        }
        command
    }

    /// Runs it and gives what it printed, whatever its exit status.
    pub async fn output(&self) -> Result<std::process::Output, CommandError> {
        let start = |source| CommandError::Start { program: self.program_name(), source };
        let mut child = self.command().spawn().map_err(start)?;
        let input = self.input.clone().zip(child.stdin.take());
        let work = async {
            if let Some((bytes, mut stdin)) = input {
                use tokio::io::AsyncWriteExt;
                // A program that does not read its input says so by its exit status.
                let _ = stdin.write_all(&bytes).await;
                drop(stdin);
            }
            child.wait_with_output().await
        };
        match tokio::time::timeout(self.limit, work).await {
            Ok(output) => output.map_err(start),
            Err(_) => Err(CommandError::Late { program: self.program_name(), limit: self.limit }),
        }
    }

    /// Runs it; anything but success is an error. Gives its standard output.
    pub async fn run(&self) -> Result<String, CommandError> {
        let output = self.output().await?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let mut stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if stderr.is_empty() {
            stderr = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        }
        let tail: Vec<&str> = stderr.lines().rev().take(6).collect();
        let stderr = tail.into_iter().rev().collect::<Vec<_>>().join("; ");
        Err(CommandError::Failed { line: self.line(), status: output.status, stderr })
    }
}

/// A program as it would be found through `PATH`, with the folders of administration programs added.
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    if program.contains('/') {
        let path = std::path::PathBuf::from(program);
        return path.is_file().then_some(path);
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let extra = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    path.split(':').chain(extra).map(|dir| std::path::Path::new(dir).join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_overruns_its_limit_is_named() {
        let late = Call::new("sleep").arg("30").limit(Duration::from_millis(100)).run().await;
        assert!(matches!(late, Err(CommandError::Late { program, .. }) if program == "sleep"));
    }

    #[tokio::test]
    async fn a_failing_program_tells_what_it_printed() {
        let failed = Call::new("ls").arg("/does-not-exist-here").run().await.unwrap_err().to_string();
        assert!(failed.contains("ls /does-not-exist-here") && failed.contains("No such file"), "{failed}");
    }

    #[tokio::test]
    async fn input_reaches_the_program() {
        assert_eq!(Call::new("cat").input("ok").run().await.unwrap(), "ok");
    }
}
