//! A guest of the real road, and how the story speaks with it: by SSH with the demo key.

use super::program::{Said, run};
use super::{DataCenter, until};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::time::Duration;

/// A guest under emulation on a busy machine boots in 10 to 60 s.
pub const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// One command in a guest: a key exchange takes an emulated processor a second or two.
const SSH_LIMIT: Duration = Duration::from_secs(60);

/// One question to a guest that may be booting: one that was reset within it never answers, and tells nobody.
const QUESTION_LIMIT: Duration = Duration::from_secs(20);

/// What the API says of an instance, as far as the story needs it.
#[derive(Debug, Clone)]
pub struct Guest {
    pub name: String,
    pub id: String,
    pub host: String,
    pub address: String,
    pub mac: String,
    pub vif: String,
    pub network: String,
}

impl Guest {
    fn read(name: &str, view: &Value) -> anyhow::Result<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned).with_context(|| format!("{name}: {view}"));
        let vif = &view["vif"][0];
        Ok(Self {
            name: name.to_owned(),
            id: text(&view["id"])?,
            host: text(&view["host_node"])?.trim_start_matches("hn-").to_owned(),
            address: text(&vif["ipv4"]["address"])?,
            mac: text(&vif["mac_addr"])?.to_lowercase(),
            vif: text(&vif["vif_id"])?,
            network: text(&vif["network_id"])?,
        })
    }

    /// The second demo network is reached only from its gateway's namespace.
    fn is_behind_gateway2(&self) -> bool {
        self.network == "nw-demo2"
    }
}

impl DataCenter {
    /// Launches a machine and follows it until it runs.
    ///
    /// # Errors
    /// It does not come to run, or on another host than asked for.
    pub async fn launch(&self, name: &str, host: &str, more: &[&str]) -> anyhow::Result<Guest> {
        self.launch_of("tiny", name, host, more).await
    }

    /// The same of another image.
    ///
    /// # Errors
    /// As [`DataCenter::launch`].
    pub async fn launch_of(&self, image: &str, name: &str, host: &str, more: &[&str]) -> anyhow::Result<Guest> {
        let node = format!("hn-{host}");
        let mut words = vec!["instance", "create", "--image", image, "--name", name, "--host", &node];
        words.extend(["--ssh-key", "demo", "--wait", "--json"]);
        words.extend(more);
        let said = self.arame(&words).await?;
        let took = said.took;
        let view: Value = serde_json::from_str(&said.well()?)?;
        ensure!(view["state"] == "running", "{view}");
        let guest = Guest::read(name, &view)?;
        ensure!(guest.host == host, "asked for {host}: {guest:?}");
        self.note(&format!("{name} ({}, {}) runs after {:.1} s", guest.id, guest.address, took.as_secs_f32()));
        Ok(guest)
    }

    /// One attempt of a command in a guest.
    ///
    /// # Errors
    /// `ssh` cannot be run; a guest that does not answer is no error but a status of 255.
    pub async fn try_in(&self, guest: &Guest, script: &str) -> anyhow::Result<Said> {
        self.try_as("root", guest, script).await
    }

    /// The same as another user of the guest.
    ///
    /// # Errors
    /// As [`DataCenter::try_in`].
    pub async fn try_as(&self, user: &str, guest: &Guest, script: &str) -> anyhow::Result<Said> {
        let key = self.dir().join("keys/demo").display().to_string();
        let known = format!("UserKnownHostsFile={}", self.dir().join("run/known_hosts").display());
        let alias = format!("HostKeyAlias={}", guest.id);
        let target = format!("{user}@{}", guest.address);
        let namespace = self.namespace("gw2")?;
        let mut words: Vec<&str> = Vec::new();
        if guest.is_behind_gateway2() {
            words.extend(["ip", "netns", "exec", &namespace]);
        }
        words.extend(["ssh", "-i", &key, "-o", "IdentitiesOnly=yes", "-o", &known, "-o", &alias]);
        words.extend(["-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]);
        words.extend(["-o", "ConnectTimeout=5", &target, "--", script]);
        run(words[0], &words[1..], SSH_LIMIT).await
    }

    /// A command in a guest that must succeed: what it printed.
    ///
    /// # Errors
    /// It did not.
    pub async fn in_guest(&self, guest: &Guest, script: &str) -> anyhow::Result<String> {
        self.try_in(guest, script).await?.well().with_context(|| format!("in {}: {script}", guest.name))
    }

    /// Waits until the guest lets us in: what it says its boot is.
    ///
    /// # Errors
    /// It does not within [`BOOT_LIMIT`].
    pub async fn booted(&self, guest: &Guest) -> anyhow::Result<String> {
        let began = std::time::Instant::now();
        let what = format!("{} lets us in by SSH", guest.name);
        let boot = until(&what, BOOT_LIMIT, || self.boot_id(guest)).await?;
        self.note(&format!("{} lets us in after another {:.1} s", guest.name, began.elapsed().as_secs_f32()));
        Ok(boot)
    }

    /// Which boot of the guest this is, when it answers.
    ///
    /// # Errors
    /// `ssh` cannot be run.
    pub async fn boot_id(&self, guest: &Guest) -> anyhow::Result<Option<String>> {
        let asked = self.try_in(guest, "cat /proc/sys/kernel/random/boot_id");
        let Ok(said) = tokio::time::timeout(QUESTION_LIMIT, asked).await else { return Ok(None) };
        let said = said?;
        Ok(said.ended_well().then(|| said.out.trim().to_owned()))
    }
}
