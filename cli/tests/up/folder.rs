//! A data center's folder in a test: started and stopped by the built command, stopped also when the test fails.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

pub struct Folder {
    dir: tempfile::TempDir,
    options: Vec<String>,
}

impl Folder {
    /// `options` are those of `arame up` beside the folder.
    pub fn new(options: &[&str]) -> Self {
        // Short: sockets below it must fit into 108 bytes.
        let dir = tempfile::Builder::new().prefix("arame-up-").tempdir_in("/tmp").unwrap();
        Self { dir, options: options.iter().map(|word| (*word).to_owned()).collect() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn arame(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arame"));
        command.args(words).arg("--dir").arg(self.path()).env("LC_ALL", "C.UTF-8");
        command.output().unwrap()
    }

    /// `arame up -d`; gives what it said.
    pub fn up(&self) -> Output {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        self.arame(&[&["up", "-d", "--infrastructure-only"], options.as_slice()].concat())
    }

    pub fn up_successfully(&self) -> String {
        let output = self.up();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said
    }

    pub fn status(&self) -> Value {
        serde_json::from_slice(&self.arame(&["status", "--json"]).stdout).unwrap()
    }

    pub fn supervisor(&self) -> i32 {
        self.status()["supervisor"].as_i64().unwrap() as i32
    }

    /// The process of one child.
    pub fn pid(&self, name: &str) -> i32 {
        let status = self.status();
        let children = status["children"].as_array().unwrap();
        let child = children.iter().find(|child| child["name"] == name).unwrap_or_else(|| panic!("no child {name}"));
        child["pid"].as_i64().unwrap() as i32
    }

    pub fn pids(&self) -> Vec<(String, i64)> {
        let status = self.status();
        let children = status["children"].as_array().unwrap();
        children.iter().map(|c| (c["name"].as_str().unwrap().to_owned(), c["pid"].as_i64().unwrap())).collect()
    }

    pub fn all_run(&self) -> bool {
        let status = self.status();
        status["children"].as_array().is_some_and(|c| !c.is_empty() && c.iter().all(|child| child["running"] == true))
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The tag of everything outside the folder, read off the namespaces.
    pub fn tag(&self) -> String {
        use sha2::Digest;
        let path = self.path().canonicalize().unwrap();
        hex::encode(&sha2::Sha256::digest(path.as_os_str().as_encoded_bytes())[..3])
    }

    /// Whatever of this data center is left on the machine.
    pub fn left_behind(&self) -> Vec<String> {
        let mut left = Vec::new();
        let text = self.path().display().to_string();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            // Unprivileged children see their folder elsewhere: only their mounts tell whose they are.
            let mounts = std::fs::read_to_string(entry.path().join("mountinfo")).unwrap_or_default();
            if line.contains(&text) || mounts.contains(&text) {
                left.push(format!("process {line}"));
            }
        }
        let tag = self.tag();
        let netns = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
        left.extend(netns.filter_map(|e| e.file_name().into_string().ok()).filter(|name| name.contains(&tag)));
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        left.extend(mounts.lines().filter(|line| line.contains(&text)).map(|line| format!("mount {line}")));
        let routes = std::fs::read_to_string("/proc/net/route").unwrap();
        left.extend(routes.lines().filter(|line| line.contains(&tag)).map(|line| format!("route {line}")));
        left
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = self.arame(&["down"]);
    }
}

pub fn kill(pid: i32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
}

/// Waits for a condition, not for a time.
pub fn eventually(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
