//! Programs of the machine: argument vectors with a time limit, and what they said. Never a shell on this side.

use anyhow::{Context, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Programs that only ask the kernel or a local daemon.
pub const SHORT: Duration = Duration::from_secs(20);

/// How a program ended and what it said.
#[derive(Debug, Clone)]
pub struct Said {
    /// None: killed by a signal.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
    pub took: Duration,
}

impl Said {
    pub fn ended_well(&self) -> bool {
        self.code == Some(0)
    }

    /// Its standard output without spaces around it, when it succeeded.
    ///
    /// # Errors
    /// It did not.
    pub fn well(self) -> anyhow::Result<String> {
        match self.code {
            Some(0) => Ok(self.out.trim().to_owned()),
            code => bail!("status {code:?}\nout: {}\nerr: {}", self.out.trim(), self.err.trim()),
        }
    }
}

/// # Errors
/// It cannot be started, or is not done in time (then it is killed).
pub async fn run<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: &[S], limit: Duration) -> anyhow::Result<Said> {
    run_in("C", program, args, limit).await
}

/// The same in the language of a locale.
///
/// # Errors
/// As [`run`].
pub async fn run_in<S: AsRef<OsStr>>(
    locale: &str,
    program: impl AsRef<OsStr>,
    args: &[S],
    limit: Duration,
) -> anyhow::Result<Said> {
    let program = program.as_ref();
    let began = Instant::now();
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    command.env_remove("LC_ALL").env_remove("LC_MESSAGES").env("LANG", locale);
    let words = || args.iter().map(|word| word.as_ref().to_string_lossy()).collect::<Vec<_>>().join(" ");
    let line = || format!("{} {}", program.to_string_lossy(), words());
    let output = tokio::time::timeout(limit, command.output()).await;
    let output = output.with_context(|| format!("not done within {limit:?}: {}", line()))?.with_context(line)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let took = began.elapsed();
    Ok(Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr), took })
}

/// Where a program is, also where a user's PATH does not look.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|path: &PathBuf| Path::is_file(path))
}
