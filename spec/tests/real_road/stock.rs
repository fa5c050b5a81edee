//! A stock Debian: its own kernel, systemd, OpenSSH and cloud-init as Debian ships them, told by nothing but its seed and its
//! network. It takes minutes under emulation, so it is launched early and looked at late.

use anyhow::ensure;
use arame_spec::real::guest::Guest;
use arame_spec::real::{DataCenter, until};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// systemd and cloud-init's Python on an emulated processor, beside everything else of the story.
const FIRST_BOOT_LIMIT: Duration = Duration::from_secs(480);

/// What its user wants done at the first start.
const USER_DATA: &str = "#!/bin/sh\necho \"seeded by $(hostname)\" >/root/seeded\n";

/// What a program inside asks for itself, by what Debian's minimal system has.
const METADATA: &str = "python3 -c \"import urllib.request as web; \
                        print(web.urlopen('http://169.254.169.254/latest/meta-data/instance-id').read().decode())\"";

/// The image that `scripts/debian-guest` makes; says so when it was not made.
fn image() -> Option<PathBuf> {
    let cache = std::env::var_os("ARAME_TEST_CACHE").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-cache"));
    let image = cache.join("debian.qcow2");
    if image.is_file() {
        return Some(image);
    }
    arame_framework::testkit::skip("debian guest");
    None
}

/// Uploads the image and launches a machine of it; it boots while the story goes on.
pub async fn a_stock_debian_is_launched(dc: &DataCenter) -> anyhow::Result<Option<Guest>> {
    let Some(image) = image() else { return Ok(None) };
    dc.step("upload a stock Debian and launch it with a key and a script");
    let script = dc.dir().join("user-data");
    std::fs::write(&script, USER_DATA)?;
    let (image, script) = (image.display().to_string(), script.display().to_string());
    dc.done(&["image", "upload", &image, "--name", "debian", "--wait"]).await?;
    let more = ["--network", "nw-demo1", "--type", "small", "--user-data", &script];
    dc.launch_of("debian", "stock1", "h2", &more).await.map(Some)
}

/// Its name, its key, its script, and the rest of the disk.
pub async fn it_has_its_name_its_key_and_ran_its_script(dc: &DataCenter, guest: Option<&Guest>) -> anyhow::Result<()> {
    let Some(guest) = guest else { return Ok(()) };
    dc.step("the stock Debian has its key, its name and ran its user-data");
    let inside = |script: &'static str| async move { dc.try_as("debian", guest, script).await };
    // Written at the end of its first start, after everything else of cloud-init.
    let written = || async {
        let said = inside("sudo cat /root/seeded").await?;
        Ok(said.ended_well().then(|| said.out.trim().to_owned()))
    };
    let seeded = until("its user-data was run", FIRST_BOOT_LIMIT, written).await?;
    ensure!(seeded == "seeded by stock1", "its script says {seeded}");
    ensure!(inside("hostname").await?.well()? == "stock1", "its name");
    let source = inside("cloud-id").await?.well()?;
    ensure!(source == "nocloud", "told by {source}");
    let same = inside(METADATA).await?.well()?;
    ensure!(same == guest.id, "over the network it is {same}");
    dc.note(&inside("uptime -p; lsblk -no NAME,SIZE,LABEL").await?.well()?.replace('\n', "; "));
    dc.done(&["instance", "delete", &guest.id, "--wait"]).await.map(drop)
}
