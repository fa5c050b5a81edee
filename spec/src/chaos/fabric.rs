//! The network of the cell: one bridge, and for every program a network namespace on it.
//!
//! Rule: a namespace is held open by a process of its own, so that it outlives the program in it and a program started
//! again finds its address. A cut drops what arrives, silently, on both ends: nobody is told, as with a pulled cable.

use anyhow::{Context, ensure};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// Longest `ip` and `nft` may take.
const LIMIT: Duration = Duration::from_secs(20);

const BRIDGE: &str = "chaos0";

/// Address of the kit itself; the programs have the others of its /24.
pub const KIT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

struct Place {
    holder: Child,
    address: Ipv4Addr,
    link: String,
}

#[derive(Default)]
pub struct Fabric {
    places: BTreeMap<String, Place>,
}

/// A cut that was made; [`Fabric::mend`] takes it away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// Between two programs, under a name.
    Between { table: String, ends: [String; 2] },
    /// One program from everybody.
    Off { program: String },
}

async fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.with_context(|| format!("{program} hangs"))??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
    Ok(())
}

impl Fabric {
    /// The bridge with the kit on it.
    ///
    /// # Errors
    /// `ip` refuses.
    pub async fn new() -> anyhow::Result<Fabric> {
        run("ip", &["link", "set", "lo", "up"]).await?;
        run("ip", &["link", "add", BRIDGE, "type", "bridge"]).await?;
        run("ip", &["addr", "add", &format!("{KIT}/24"), "dev", BRIDGE]).await?;
        run("ip", &["link", "set", BRIDGE, "up"]).await?;
        Ok(Fabric::default())
    }

    /// A namespace for a program, with the address of this number.
    ///
    /// # Errors
    /// `ip` refuses.
    pub async fn join(&mut self, program: &str, number: u8) -> anyhow::Result<Ipv4Addr> {
        let [a, b, c, _] = KIT.octets();
        let (address, link) = (Ipv4Addr::new(a, b, c, number), format!("chaos{number}"));
        let mut command = Command::new("unshare");
        command.args(["--net", "--", "sleep", "infinity"]).stdin(Stdio::null()).kill_on_drop(true);
        let holder = command.spawn()?;
        let pid = holder.id().context("the holder runs")?.to_string();
        let own = std::fs::read_link("/proc/self/ns/net")?;
        crate::processes::until("a namespace of its own", async || {
            Ok(std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|other| other != own))
        })
        .await?;
        run("ip", &["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &pid]).await?;
        run("ip", &["link", "set", &link, "master", BRIDGE, "up"]).await?;
        let inside = [vec!["addr", "add"], vec!["link", "set", "eth0", "up"], vec!["link", "set", "lo", "up"]];
        let text = format!("{address}/24");
        for mut words in inside {
            if words[0] == "addr" {
                words.extend([text.as_str(), "dev", "eth0"]);
            }
            let target = format!("/proc/{pid}/ns/net");
            let mut all = vec![format!("--net={target}"), "--".into(), "ip".into()];
            all.extend(words.into_iter().map(str::to_owned));
            run("nsenter", &all.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        }
        self.places.insert(program.to_owned(), Place { holder, address, link });
        Ok(address)
    }

    fn place(&self, program: &str) -> anyhow::Result<&Place> {
        self.places.get(program).with_context(|| format!("no place for {program}"))
    }

    /// # Errors
    /// No such program.
    pub fn address(&self, program: &str) -> anyhow::Result<Ipv4Addr> {
        Ok(self.place(program)?.address)
    }

    /// The words that put a program into its place.
    ///
    /// # Errors
    /// No such program.
    pub fn words(&self, program: &str) -> anyhow::Result<Vec<String>> {
        let pid = self.place(program)?.holder.id().context("the holder runs")?;
        Ok(vec!["nsenter".into(), format!("--net=/proc/{pid}/ns/net"), "--".into()])
    }

    async fn nft(&self, program: &str, rules: &str) -> anyhow::Result<()> {
        self.inside(program, &["nft", rules]).await
    }

    /// Runs a command in a program's place.
    ///
    /// # Errors
    /// It fails.
    pub async fn inside(&self, program: &str, command: &[&str]) -> anyhow::Result<()> {
        let words = self.words(program)?;
        let mut all: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        all.extend(command);
        run(&words[0], &all).await
    }

    /// Cuts two programs from each other; both reach everybody else.
    ///
    /// # Errors
    /// `nft` refuses.
    pub async fn cut(&self, name: &str, one: &str, other: &str) -> anyhow::Result<Cut> {
        for (here, there) in [(one, other), (other, one)] {
            let from = self.address(there)?;
            let rules = format!(
                "add table inet {name}; add chain inet {name} in {{ type filter hook input priority 0; }}; \
                 add rule inet {name} in ip saddr {from} drop"
            );
            self.nft(here, &rules).await?;
        }
        Ok(Cut::Between { table: name.to_owned(), ends: [one.to_owned(), other.to_owned()] })
    }

    /// Pulls one program's cable.
    ///
    /// # Errors
    /// `ip` refuses.
    pub async fn cut_off(&self, program: &str) -> anyhow::Result<Cut> {
        run("ip", &["link", "set", &self.place(program)?.link, "down"]).await?;
        Ok(Cut::Off { program: program.to_owned() })
    }

    /// # Errors
    /// `ip` or `nft` refuses.
    pub async fn mend(&self, cut: &Cut) -> anyhow::Result<()> {
        match cut {
            Cut::Off { program } => run("ip", &["link", "set", &self.place(program)?.link, "up"]).await,
            Cut::Between { table, ends } => {
                for end in ends {
                    self.nft(end, &format!("delete table inet {table}")).await?;
                }
                Ok(())
            }
        }
    }
}
