//! Security groups: closed means closed, opening takes moments, and who talks already goes on talking.

use super::machines::Trio;
use anyhow::{Context, ensure};
use arame_spec::real::guest::Guest;
use arame_spec::real::{DataCenter, until};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const PORT: u16 = 8080;
const GROUP: &str = "sg-default";
const ICMP: &str = "icmp:-1,-1,ip4:0.0.0.0";
const SSH: &str = "tcp:22,22,ip4:0.0.0.0";
const OPEN: &str = "tcp:8080,8080,ip4:0.0.0.0";

/// A guest under emulation answers a connection within this, however busy the machine.
const ANSWER_LIMIT: Duration = Duration::from_secs(4);

/// A changed rule is in force everywhere within this.
const CHANGE_LIMIT: Duration = Duration::from_secs(20);

pub async fn a_port_is_closed_until_it_is_opened(dc: &DataCenter, trio: &Trio) -> anyhow::Result<()> {
    let Trio { web1, web2, .. } = trio;
    dc.step("security group: port 8080 of web1 is closed");
    dc.in_guest(web1, "nc -ll -p 8080 -e cat </dev/null >/dev/null 2>&1 &").await?;
    let at_home = || async { answers(dc, web1, "127.0.0.1").await.map(|yes| yes.then_some(())) };
    until("web1's own listener", CHANGE_LIMIT, at_home).await?;
    ensure!(!answers(dc, web2, "web1").await?, "web2 reaches a closed port");
    ensure!(echo(web1).await.is_err(), "this machine reaches a closed port");
    let mut shell = Shell::open(dc, web1).await?;
    shell.says("before").await?;

    dc.step("security group: opened");
    let began = Instant::now();
    dc.done(&["security-group", "set-rules", GROUP, ICMP, SSH, OPEN]).await?;
    let mut held = until("the opened port", CHANGE_LIMIT, || async { Ok(echo(web1).await.ok()) }).await?;
    dc.note(&format!("open {:.2} s after the command began", began.elapsed().as_secs_f32()));
    ensure!(answers(dc, web2, "web1").await?, "web2 does not reach an open port");
    shell.says("after the opening").await?;

    dc.step("security group: closed again, while a connection stands");
    dc.done(&["security-group", "set-rules", GROUP, ICMP, SSH]).await?;
    until("the closed port", CHANGE_LIMIT, || async { Ok(echo(web1).await.is_err().then_some(())) }).await?;
    ensure!(!answers(dc, web2, "web1").await?, "web2 reaches a port that was closed again");
    exchange(&mut held, "still here").await.context("an established connection was cut")?;
    shell.says("after the closing").await?;
    Ok(())
}

/// Whether the echo server answers a guest.
async fn answers(dc: &DataCenter, from: &Guest, to: &str) -> anyhow::Result<bool> {
    // The pipe stays open for a moment, or nc would leave before the answer.
    let script = format!("(echo hello; sleep 2) | nc -w 4 {to} {PORT} | head -n 1");
    Ok(dc.try_in(from, &script).await?.out.trim() == "hello")
}

/// A connection from this machine on which the echo server answered.
async fn echo(guest: &Guest) -> anyhow::Result<BufReader<TcpStream>> {
    let connected = TcpStream::connect((guest.address.as_str(), PORT));
    let stream = tokio::time::timeout(ANSWER_LIMIT, connected).await??;
    let mut stream = BufReader::new(stream);
    exchange(&mut stream, "hello").await?;
    Ok(stream)
}

async fn exchange(stream: &mut BufReader<TcpStream>, words: &str) -> anyhow::Result<()> {
    stream.get_mut().write_all(format!("{words}\n").as_bytes()).await?;
    let mut line = String::new();
    tokio::time::timeout(ANSWER_LIMIT, stream.read_line(&mut line)).await.context("no answer")??;
    ensure!(line.trim() == words, "sent {words}, got {line}");
    Ok(())
}

/// An SSH session that stands through the changes.
struct Shell {
    _ssh: Child,
    keyboard: ChildStdin,
    screen: Lines<BufReader<ChildStdout>>,
}

impl Shell {
    async fn open(dc: &DataCenter, guest: &Guest) -> anyhow::Result<Self> {
        let mut command = Command::new(dc.program());
        command.arg("--dir").arg(dc.dir()).args(["ssh", &guest.name, "--", "cat"]).kill_on_drop(true);
        let mut ssh = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let keyboard = ssh.stdin.take().context("stdin was piped")?;
        let screen = BufReader::new(ssh.stdout.take().context("stdout was piped")?).lines();
        Ok(Self { _ssh: ssh, keyboard, screen })
    }

    async fn says(&mut self, words: &str) -> anyhow::Result<()> {
        self.keyboard.write_all(format!("{words}\n").as_bytes()).await?;
        let line = tokio::time::timeout(Duration::from_secs(30), self.screen.next_line()).await;
        let line = line.with_context(|| format!("the SSH session is dead: {words}"))??;
        ensure!(line.as_deref() == Some(words), "the SSH session said {line:?}");
        Ok(())
    }
}
