//! Frames as they pass a device: tcpdump into a file, read back with its 802.1Q tags.
//!
//! Rule: a capture says nothing before tcpdump said that it listens, and nothing after it was ended in order, so
//! that "was not seen" means "did not pass".

use super::program::{SHORT, run};
use super::{DataCenter, until};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub from: String,
    pub to: String,
    pub tag: Option<u16>,
    pub rest: String,
}

impl Frame {
    /// Sent by or to this MAC.
    pub fn concerns(&self, mac: &str) -> bool {
        self.from == mac || self.to == mac
    }
}

pub struct Capture {
    tcpdump: Child,
    file: PathBuf,
}

impl DataCenter {
    /// Captures at a device in a namespace, from now on.
    ///
    /// # Errors
    /// tcpdump does not come to listen.
    pub async fn capture(&self, namespace: &str, device: &str) -> anyhow::Result<Capture> {
        let file = self.dir().join(format!("{namespace}-{device}.pcap"));
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(namespace)?, "tcpdump", "-i", device, "-nn", "-U"]);
        // Without -Z tcpdump would give up its rights and could not write here.
        command.args(["--immediate-mode", "-Z", "root", "-w"]).arg(&file);
        let mut tcpdump =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut lines = BufReader::new(tcpdump.stderr.take().context("stderr was piped")?).lines();
        let listens = async {
            while let Some(line) = lines.next_line().await? {
                if line.contains("listening on") {
                    return Ok(());
                }
            }
            anyhow::bail!("tcpdump ended")
        };
        tokio::time::timeout(SHORT, listens).await.with_context(|| format!("tcpdump at {device}"))??;
        // Somebody has to read what it says in the end.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Capture { tcpdump, file })
    }
}

impl Capture {
    /// Where the frames are written, readable with tcpdump at any time.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What passed so far.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn frames(&self) -> anyhow::Result<Vec<Frame>> {
        read(&self.file).await
    }

    /// Waits until such a frame has passed.
    ///
    /// # Errors
    /// None passes in time.
    pub async fn sees(&self, what: &str, wanted: impl Fn(&Frame) -> bool) -> anyhow::Result<()> {
        let look = || async { Ok(self.frames().await?.into_iter().find(|frame| wanted(frame))) };
        until(what, Duration::from_secs(15), look).await.map(|_| ())
    }

    /// Ends it: everything that passed.
    ///
    /// # Errors
    /// tcpdump does not end, or the file cannot be read.
    pub async fn end(mut self) -> anyhow::Result<Vec<Frame>> {
        let pid = self.tcpdump.id().context("tcpdump has ended")?;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGINT)?;
        tokio::time::timeout(SHORT, self.tcpdump.wait()).await.context("tcpdump does not end")??;
        read(&self.file).await
    }
}

async fn read(file: &Path) -> anyhow::Result<Vec<Frame>> {
    let path = file.display().to_string();
    // A file that is still written may end in half a frame: what came before it is printed all the same.
    let said = run("tcpdump", &["-e", "-nn", "-t", "-r", &path], SHORT).await?;
    Ok(said.out.lines().filter_map(parse).collect())
}

/// `aa:… > bb:…, ethertype 802.1Q (0x8100), length 102: vlan 101, p 0, ethertype IPv4 (0x0800), …`
fn parse(line: &str) -> Option<Frame> {
    let (from, rest) = line.split_once(" > ")?;
    let (to, rest) = rest.split_once(", ")?;
    let tag = match rest.contains("ethertype 802.1Q") {
        true => Some(rest.split("vlan ").nth(1)?.split(',').next()?.trim().parse().ok()?),
        false => None,
    };
    let to = if to == "Broadcast" { "ff:ff:ff:ff:ff:ff" } else { to };
    Some(Frame { from: from.trim().to_lowercase(), to: to.to_lowercase(), tag, rest: rest.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_tcpdump_tells_who_speaks_to_whom_and_with_which_tag() {
        let tagged = parse(
            "52:54:00:f2:85:f1 > ff:ff:ff:ff:ff:ff, ethertype 802.1Q (0x8100), length 46: vlan 101, p 0, ethertype ARP (0x0806), Request who-has 10.1.1.1",
        );
        let tagged = tagged.unwrap();
        assert_eq!((tagged.from.as_str(), tagged.tag), ("52:54:00:f2:85:f1", Some(101)));
        assert!(tagged.concerns("ff:ff:ff:ff:ff:ff") && !tagged.concerns("52:54:00:f2:85:f2"));
        let plain = parse("52:54:00:f2:85:f1 > 52:54:00:00:00:01, ethertype IPv4 (0x0800), length 98: 10.0.0.1");
        assert_eq!(plain.unwrap().tag, None);
        assert_eq!(parse("reading from file x"), None);
    }
}
