//! This machine: its files below a root, its packages, its service manager.
//!
//! Rule: a file appears whole, with its mode, or not at all; a secret never stands in a file that others read, not for a moment.

use arame_schema::model::{AgentId, AgentKind};
use rand::RngCore;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Random bytes of a key and of a password.
const SECRET_BYTES: usize = 32;

/// An agent says hello as soon as it runs; a slow machine, and a broker under load, need some of this.
const JOIN_LIMIT: Duration = Duration::from_secs(90);

/// Between two looks at a service.
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Clone)]
pub struct Machine {
    pub root: PathBuf,
}

/// How a started service came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    Joined,
    /// Its own words.
    Ended(String),
    Late(String),
}

impl Machine {
    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub fn settings(&self, kind: AgentKind) -> PathBuf {
        super::settings::path(&self.root, kind)
    }

    pub fn key(&self, kind: AgentKind) -> PathBuf {
        self.at(&format!("etc/arame/{kind}.key"))
    }

    pub fn password(&self, kind: AgentKind) -> PathBuf {
        self.at(&format!("etc/arame/{kind}.broker-password"))
    }

    /// Where the manager is that this agent joined: host and port, one line.
    pub fn manager(&self, kind: AgentKind) -> PathBuf {
        self.at(&format!("etc/arame/{kind}.manager"))
    }

    pub fn authority(&self) -> PathBuf {
        self.at("etc/arame/ca.pem")
    }

    pub fn state(&self, kind: AgentKind) -> PathBuf {
        self.at(&format!("var/lib/arame/{kind}/state"))
    }

    pub fn has_package(&self, kind: AgentKind) -> bool {
        self.settings(kind).exists() && self.at(&format!("usr/bin/arame-{kind}")).exists()
    }

    /// machine-id(5); empty where there is none.
    pub fn id(&self) -> String {
        std::fs::read_to_string(self.at("etc/machine-id")).unwrap_or_default().trim().chars().take(64).collect()
    }

    /// A secret that an earlier try left, or a new one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn secret(&self, path: &Path) -> io::Result<String> {
        let kept = std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        if kept.len() == 2 * SECRET_BYTES && kept.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(kept);
        }
        let mut bytes = [0; SECRET_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        let secret = hex::encode(bytes);
        place(path, &format!("{secret}\n"), 0o600)?;
        Ok(secret)
    }
}

/// The file is whole and has its mode, or as it was. One that is there keeps its owner.
///
/// # Errors
/// It cannot be written.
pub fn place(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    remove(&beside)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    if let Ok(before) = std::fs::metadata(path) {
        chown(&beside, Some(before.uid()), Some(before.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Also what is not there.
///
/// # Errors
/// It is there and stays.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn systemctl(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("systemctl").args(arguments).output().map_err(|error| format!("systemctl: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// Starts the service anew, now and with the machine.
///
/// # Errors
/// The service manager's words. That the program ended is told by [`joined`].
pub fn start(kind: AgentKind) -> Result<(), String> {
    systemctl(&["enable", &unit(kind)])?;
    // What failed before counts against a start limit.
    let _ = systemctl(&["reset-failed", &unit(kind)]);
    let _ = systemctl(&["restart", &unit(kind)]);
    Ok(())
}

/// # Errors
/// The service manager's words.
pub fn stop(kind: AgentKind) -> Result<(), String> {
    systemctl(&["disable", "--now", &unit(kind)]).map(drop)
}

fn unit(kind: AgentKind) -> String {
    format!("arame-{kind}.service")
}

/// Waits for an agent's own word that it has joined.
///
/// # Errors
/// The service manager's words.
pub async fn joined(kind: AgentKind, agent: &AgentId) -> Result<Started, String> {
    let (since, wanted) = (Instant::now(), format!("{agent} has joined"));
    loop {
        let told = systemctl(&["show", "--property=ActiveState,StatusText", &unit(kind)])?;
        let of = |name: &str| told.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
        let (state, status) = (of("ActiveState="), of("StatusText="));
        if state == "active" && status.starts_with(&wanted) {
            return Ok(Started::Joined);
        }
        if state == "failed" {
            return Ok(Started::Ended(status));
        }
        if since.elapsed() > JOIN_LIMIT {
            return Ok(Started::Late(status));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_kept_for_the_next_try_and_one_by_hand_is_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("etc/arame")).unwrap();
        let machine = Machine { root: folder.path().to_owned() };
        let path = machine.key(AgentKind::Hva);
        let first = machine.secret(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(machine.secret(&path).unwrap(), first);
        std::fs::write(&path, "a-key\n").unwrap();
        assert_ne!(machine.secret(&path).unwrap(), "a-key");
    }

    #[test]
    fn a_file_is_replaced_whole_and_what_a_killed_run_left_beside_it_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        std::fs::write(folder.path().join("x.toml.new"), "half").unwrap();
        place(&path, "one", 0o640).unwrap();
        place(&path, "two", 0o640).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(!folder.path().join("x.toml.new").exists());
    }
}
