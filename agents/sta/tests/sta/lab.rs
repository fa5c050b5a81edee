//! Sends this very program to the lab machine (`scripts/lab-machine`), which has what this machine's kernel lacks.
//!
//! Rule: what is sent there is marked as ignored here, and here its count is asserted, so that none is forgotten.

use crate::kit::lacks;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Tests that are only run there: those named `with_zfs` (also `with_zfs_and_lio`), and all of [`crate::zfs`].
const SENT: usize = 78;

fn machine() -> Option<PathBuf> {
    let cache = std::env::var_os("ARAME_TEST_CACHE").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-cache"));
    let machine = cache.join("lab");
    if machine.join("archive").exists() {
        return Some(machine);
    }
    lacks("lab machine");
    None
}

#[test]
fn the_contract_holds_on_a_real_pool() {
    let Some(machine) = machine() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/lab-machine");
    let output = Command::new(script)
        .arg("run")
        .arg(machine)
        .arg(std::env::current_exe().unwrap())
        .args(["--include-ignored", "--test-threads", "2", "zfs"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("test result: ok. {SENT} passed")), "{said}");
    println!("{said}");
}
