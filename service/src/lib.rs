//! What every long-running program owes whoever runs it as a service: it says when it serves, what it is at, that it still
//! works, that it leaves; and it ends in words and with a code of its own where its configuration is not filled in.
//!
//! ```text
//! start ─► READY=1 (it serves) ─► STATUS=… as it changes ─► STOPPING=1 ─► end
//!                └─► WATCHDOG=1 whenever every loop that counts has turned once more
//! ```
//!
//! Rule: no timer feeds the watchdog. [`Loops`] tells of life when each loop turned since the last time, and those turn only
//! by themselves. Without a service manager (`arame up`, a shell, tests) all of this does nothing.

mod configuration;
mod door;
mod loops;
mod notifier;

pub use configuration::{EXIT_CONFIGURATION, Unusable, configured, readable};
pub use door::watch_door;
pub use loops::{Loops, Turns};
pub use notifier::Notifier;

use std::process::{ExitCode, Termination};

/// Tells the end of a program and gives its exit code: 78 (`EX_CONFIG` of sysexits.h) for a configuration that only a person
/// can mend, 1 for everything else that failed.
pub fn ended<T: Termination>(notifier: &Notifier, result: anyhow::Result<T>) -> ExitCode {
    let error = match result {
        Ok(code) => return code.report(),
        Err(error) => error,
    };
    match error.downcast_ref::<Unusable>() {
        Some(unusable) => {
            notifier.status(&format!("{unusable} / {}", unusable.japanese()));
            eprintln!("{unusable}\n{}", unusable.japanese());
            ExitCode::from(EXIT_CONFIGURATION)
        }
        None => {
            notifier.status(&format!("{error:#}"));
            eprintln!("Error: {error:?}");
            ExitCode::FAILURE
        }
    }
}
