//! Processes by (pid, start time): a pid alone may have been given to a stranger.
//!
//! Everything is read from /proc; nothing here starts or ends anything but by [`signal`].

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// One process, for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    pub pid: i32,
    /// Clock ticks since boot at which it started (`proc(5)`, field 22).
    pub start: u64,
}

struct Stat {
    state: u8,
    parent: i32,
    start: u64,
}

/// `pid (any name) S ppid … starttime`: the name may hold spaces and parentheses, so parsing begins at the last `)`.
fn parse(text: &str) -> Option<Stat> {
    let rest = text.get(text.rfind(')')? + 2..)?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let state = *words.first()?.as_bytes().first()?;
    Some(Stat { state, parent: words.get(1)?.parse().ok()?, start: words.get(19)?.parse().ok()? })
}

fn stat(pid: i32) -> Option<Stat> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The process that has this pid now.
pub fn identify(pid: i32) -> Option<Identity> {
    stat(pid).map(|stat| Identity { pid, start: stat.start })
}

pub fn own() -> Identity {
    let pid = std::process::id() as i32;
    identify(pid).unwrap_or(Identity { pid, start: 0 })
}

/// Whether exactly this process still runs. A dead child of ours is reaped on the way.
pub fn is_alive(process: Identity) -> bool {
    match stat(process.pid) {
        Some(stat) if stat.start == process.start => {
            if stat.state != b'Z' && stat.state != b'X' {
                return true;
            }
            if stat.parent == std::process::id() as i32 {
                // A program of many threads is a zombie before its last thread is gone; then it still holds ports.
                let waited = waitpid(Pid::from_raw(process.pid), Some(WaitPidFlag::WNOHANG));
                return matches!(waited, Ok(WaitStatus::StillAlive));
            }
            threads(process.pid) > 1
        }
        _ => false,
    }
}

fn threads(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// Sends a signal, but never to a stranger.
pub fn signal(process: Identity, signal: Signal) {
    if is_alive(process) {
        let _ = kill(Pid::from_raw(process.pid), signal);
    }
}

/// All processes with their parents.
fn all() -> Vec<(i32, Stat)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| stat(pid).map(|stat| (pid, stat))).collect()
}

/// The one child of a process that only waits for it (`unshare --fork`).
pub fn only_child(pid: i32) -> Option<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok();
    let listed = children.and_then(|text| text.split_whitespace().next()?.parse().ok());
    // Kernels without CONFIG_PROC_CHILDREN: look at everybody's parent.
    listed.or_else(|| all().into_iter().find(|(_, stat)| stat.parent == pid).map(|(child, _)| child))
}

/// Identifies this boot of the machine: after a restart no process of before lives, whatever its numbers say.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_is_no_obstacle() {
        let text = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1000 10";
        let stat = parse(text).unwrap();
        assert_eq!((stat.state, stat.parent, stat.start), (b'S', 7, 12345));
    }

    #[test]
    fn a_reused_pid_is_a_stranger() {
        let own = own();
        assert!(is_alive(own));
        assert!(!is_alive(Identity { start: own.start + 1, ..own }));
    }
}
