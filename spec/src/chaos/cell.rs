//! The cell: network, mount and process namespaces of its own for one test, entered by running the test's own program
//! again inside of them.
//!
//! Rule: whatever is made inside (links, mounts, processes, faked clocks) is gone when the inner program ends, however
//! it ends: the kernel kills every process of a process namespace with its first one. The machine's own namespaces are
//! never changed.

use anyhow::Context;
use std::process::{Command, ExitStatus, Stdio};

/// Set for the inner program.
const MARK: &str = "ARAME_CHAOS_CELL";

/// Where this program runs.
#[derive(Debug)]
pub enum Entered {
    Inside,
    /// The inner program ran, and this is how it ended.
    Outside(ExitStatus),
}

/// The words before a program that make the cell. The outer one dies with the thread that waits for it, the inner one
/// with the outer.
fn words() -> Vec<&'static str> {
    let mut words = vec!["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork"];
    words.extend(["--kill-child", "--mount-proc"]);
    if !nix::unistd::geteuid().is_root() {
        words.push("--map-root-user");
    }
    words.push("--");
    words
}

fn command() -> Command {
    let words = words();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

/// Whether the machine lets this user make one.
pub fn is_possible() -> bool {
    let tried = command().arg("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// Runs the named test of this program inside a cell, or says that this is the inside.
///
/// # Errors
/// The namespaces cannot be made.
pub fn enter(test: &str) -> anyhow::Result<Entered> {
    if std::env::var_os(MARK).is_some() {
        return Ok(Entered::Inside);
    }
    let own = std::env::current_exe()?;
    let status = command().arg(own).args(["--exact", test, "--nocapture"]).env(MARK, "1").stdin(Stdio::null()).status();
    Ok(Entered::Outside(status.context("unshare cannot be run")?))
}
