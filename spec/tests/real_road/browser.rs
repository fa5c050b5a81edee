//! A real machine in a real browser: its serial console is typed into on the page, its screen is seen, its figures are drawn. The
//! browser's side is `webui/e2e/guest.mjs`.

use anyhow::{Context, ensure};
use arame_spec::real::guest::Guest;
use arame_spec::real::{DataCenter, program, until};
use std::path::Path;
use std::time::Duration;

/// Longest the browser's side may take, under emulation on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);

/// What is typed where a name is asked for: nobody has it, so the guest echoes it, asks for a password and refuses.
const TYPED: &str = "typed-in-a-browser";

/// The same on the machine's screen, key by key: on a keyboard of the layout that the page is told, each has its place.
const TYPED_ON_SCREEN: &str = "Typed-on_the-Screen7";

/// What is missing of what this step needs.
fn lacks(pages: &Path) -> Option<&'static str> {
    let built = pages.join("node_modules").is_dir() && pages.join("dist/index.html").is_file();
    if !built || program::find("node").is_none() {
        return Some("node");
    }
    let chromium = std::env::var_os("CHROMIUM").is_some() || program::find("chromium").is_some();
    (!chromium).then_some("chromium")
}

pub async fn a_guest_is_typed_to_in_a_browser(dc: &DataCenter, guest: &Guest) -> anyhow::Result<()> {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the project's root")?.join("webui");
    if let Some(need) = lacks(&pages) {
        arame_framework::testkit::skip(need);
        return Ok(());
    }
    dc.step("browser: sign in, the console typed into, the screen, the figures");
    let log = || async { dc.done(&["console", &guest.name, "--log"]).await };
    ensure!(!log().await?.contains(TYPED), "control: it is in the log before it was typed");
    // What its first virtual console shows, as text (vcs(4)).
    let screen = || async { dc.in_guest(guest, "cat /dev/vcs1").await };
    ensure!(!screen().await?.contains(TYPED_ON_SCREEN), "control: it is on the screen before it was typed");
    let settings = [
        format!("ARAME_WEBUI_URL={}", dc.webui()),
        format!("ARAME_TOKEN_FILE={}", dc.dir().join("tokens/demo").display()),
        format!("ARAME_INSTANCE={}", guest.id),
        format!("ARAME_TYPED={TYPED}"),
        format!("ARAME_TYPED_ON_SCREEN={TYPED_ON_SCREEN}"),
    ];
    let file = pages.join("e2e/guest.mjs").display().to_string();
    let mut words: Vec<&str> = settings.iter().map(String::as_str).collect();
    words.extend(["node", "--test", "--test-reporter=spec", &file]);
    let said = program::run("env", &words, LIMIT).await?;
    dc.note(&format!("the browser's side took {:.1} s", said.took.as_secs_f32()));
    said.well().context("the browser's side")?;
    ensure!(log().await?.contains(TYPED), "what was typed in the page was not echoed by the guest");
    // The page has pressed the last key; the guest may be about to write it.
    let shows = || async { Ok(screen().await?.contains(TYPED_ON_SCREEN).then_some(())) };
    until("what was typed into the page's screen is on the guest's", LIMIT, shows).await?;
    Ok(())
}
