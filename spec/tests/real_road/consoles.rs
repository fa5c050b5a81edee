//! Consoles of real machines: the login prompt, a command that is typed, what the log has of it, a picture of the screen.

use anyhow::{Context, ensure};
use arame_spec::real::guest::Guest;
use arame_spec::real::{DataCenter, program};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// Longest a console may take to show something, under emulation on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

pub async fn a_guest_is_typed_to_and_seen(dc: &DataCenter, guest: &Guest) -> anyhow::Result<()> {
    dc.step("console: the login prompt, a word that is typed, the screen");
    // Nobody has that name: the guest asks for a password and says that it was wrong, and all of it is in the log.
    let steps = [("\n", "login:"), ("nobody-at-all\n", "assword:"), ("wrong\n", "ncorrect")];
    let seen = typed(dc, &guest.name, &steps).await?;
    dc.note(&format!("the console showed {} bytes", seen.len()));
    let log = dc.done(&["console", &guest.name, "--log"]).await?;
    ensure!(log.contains("nobody-at-all"), "what was typed and echoed is not in the log: {log}");
    let picture = dc.dir().join("screen.png");
    let token = std::fs::read_to_string(dc.dir().join("tokens/demo"))?;
    let header = format!("Authorization: Bearer {}", token.trim());
    let url = dc.api(&format!("/instances/{}/screenshot.png", guest.id));
    let words = ["-fsS", "-H", &header, "-o", picture.to_str().context("a path")?, &url];
    program::run("curl", &words, LIMIT).await?.well().context("a screenshot")?;
    ensure!(std::fs::read(&picture)?.starts_with(b"\x89PNG"), "the screenshot is no PNG");
    Ok(())
}

/// Types each text when the one before was answered by what follows it.
async fn typed(dc: &DataCenter, name: &str, steps: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut command = Command::new(dc.program());
    command.arg("--dir").arg(dc.dir()).args(["console", name]).env("LANG", "C").env_remove("LC_ALL");
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let (mut input, mut output) = (child.stdin.take().context("stdin")?, child.stdout.take().context("stdout")?);
    let mut seen = Vec::new();
    let typing = async {
        for (text, answer) in steps {
            let from = seen.len();
            input.write_all(text.as_bytes()).await?;
            while !String::from_utf8_lossy(&seen[from..]).contains(answer) {
                ensure!(output.read_buf(&mut seen).await? > 0, "it ended before `{answer}`");
            }
        }
        // Ctrl-].
        input.write_all(b"\x1d").await?;
        anyhow::Ok(())
    };
    let done = tokio::time::timeout(LIMIT, typing).await;
    let shown = String::from_utf8_lossy(&seen).into_owned();
    done.with_context(|| format!("not in time; it shows {shown}"))?.with_context(|| shown.clone())?;
    let ended = tokio::time::timeout(LIMIT, child.wait()).await.context("Ctrl-] does not leave")??;
    ensure!(ended.success(), "{ended}");
    Ok(shown)
}
