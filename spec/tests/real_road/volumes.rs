//! A volume: plugged into a machine that runs, kept from strangers, and alive after its machine is gone.

use super::machines::Trio;
use anyhow::{Context, ensure};
use arame_spec::real::guest::Guest;
use arame_spec::real::{DataCenter, until};
use std::time::{Duration, Instant};

/// From the answer of the API to the disk in the guest.
const APPEAR_LIMIT: Duration = Duration::from_secs(20);
/// Two of a host's readings, and a slow machine.
const FIGURES_LIMIT: Duration = Duration::from_secs(60);

pub struct Volume {
    pub name: &'static str,
    /// Under which the guest and the target know it.
    pub serial: String,
}

pub async fn a_volume_outlives_its_machine(dc: &DataCenter, trio: &Trio) -> anyhow::Result<Volume> {
    let Trio { web1, web2, .. } = trio;
    dc.step("volume: 1 GiB into web1 while it runs");
    dc.done(&["volume", "create", "--size", "1G", "--name", "data", "--wait"]).await?;
    let began = Instant::now();
    let view = dc.json(&["volume", "attach", "data", "web1", "--wait"]).await?;
    ensure!(view["state"] == "attached" && view["size"] == 1024 * 1024 * 1024, "{view}");
    let device = view["guest_device_name"].as_str().context("no device name")?;
    let serial = device.rsplit("virtio-").next().context("a device name without serial")?.to_owned();
    let volume = Volume { name: "data", serial };
    let disk = appears(dc, web1, &volume).await?;
    dc.note(&format!("{disk} in web1 {:.1} s after the command began", began.elapsed().as_secs_f32()));
    only_web1s_host_gets_in(dc, &volume).await?;
    the_path_is_whole(dc).await?;
    let write = format!("mkfs.ext4 -q {disk} && mount {disk} /mnt && echo kept >/mnt/word && sync && umount /mnt");
    dc.in_guest(web1, &write).await?;

    dc.step("volume: detach, delete web1, attach to web2 on the other host");
    dc.done(&["volume", "detach", "data", "--wait"]).await?;
    let gone = || async { Ok(find(dc, web1, &volume).await?.is_none().then_some(())) };
    until("the disk leaves web1", APPEAR_LIMIT, gone).await?;
    dc.done(&["instance", "delete", "web1", "--wait"]).await?;
    dc.done(&["volume", "attach", "data", "web2", "--wait"]).await?;
    let disk = appears(dc, web2, &volume).await?;
    let word = dc.in_guest(web2, &format!("mount {disk} /mnt && cat /mnt/word && umount /mnt")).await?;
    ensure!(word == "kept", "the file says {word}");
    Ok(volume)
}

/// From the guest to the disk, with the session that really is there.
async fn the_path_is_whole(dc: &DataCenter) -> anyhow::Result<()> {
    let well = || async {
        let view = dc.json(&["storage", "why", "data"]).await?;
        let codes: Vec<&str> =
            view["path"].as_array().into_iter().flatten().filter_map(|step| step["code"].as_str()).collect();
        let is_whole =
            ["disk_counted", "session_up", "target_whole", "volume_there"].iter().all(|code| codes.contains(code));
        Ok((view["code"] == "path_well" && is_whole).then_some(()))
    };
    // The disk is in its host's figures ten seconds later.
    until("the whole path to be seen", FIGURES_LIMIT, well).await?;
    dc.note(&dc.done(&["storage", "why", "data"]).await?);
    Ok(())
}

/// The device with the volume's serial in a guest.
pub async fn find(dc: &DataCenter, guest: &Guest, volume: &Volume) -> anyhow::Result<Option<String>> {
    let script = format!("grep -l {} /sys/block/vd*/serial", volume.serial);
    let said = dc.try_in(guest, &script).await?;
    let name = said.out.trim().strip_prefix("/sys/block/").and_then(|rest| rest.strip_suffix("/serial"));
    Ok(name.map(|name| format!("/dev/{name}")))
}

pub async fn appears(dc: &DataCenter, guest: &Guest, volume: &Volume) -> anyhow::Result<String> {
    let what = format!("the volume's disk in {}", guest.name);
    until(&what, APPEAR_LIMIT, || find(dc, guest, volume)).await
}

/// Neither without nor with a wrong secret, nor under another host's name; with the right one the same tool gets in.
async fn only_web1s_host_gets_in(dc: &DataCenter, volume: &Volume) -> anyhow::Result<()> {
    dc.step("volume: strangers at the target");
    let listing = dc.targets().await?;
    ensure!(listing.contains(&volume.serial), "{listing}");
    let target = listing.split_whitespace().find(|word| word.contains(":att-")).context("no target")?.to_owned();
    let (user, secret) = dc.attachment_secret().await?;
    let own = format!("{}:h1", target.split(':').next().unwrap_or_default());
    let strange = own.replace(":h1", ":h2");
    let login = |initiator: &str, credentials: &str| {
        let words = format!(
            "driver=iscsi,transport=tcp,portal=10.99.0.254:3260,target={target},lun=1,initiator-name={initiator}{credentials}"
        );
        async move { dc.inside("h1", &["timeout", "15", "qemu-img", "info", "--image-opts", &words]).await }
    };
    let right = format!(",user={user},password={secret}");
    let wrong = format!(",user={user},password={}", "x".repeat(secret.len()));
    let said = login(&own, &right).await?;
    ensure!(said.ended_well(), "control: the right secret gets in: {said:?}");
    for (case, initiator, credentials) in
        [("without a secret", &own, ""), ("a wrong secret", &own, wrong.as_str()), ("another host", &strange, &right)]
    {
        let said = login(initiator, credentials).await?;
        ensure!(said.code == Some(1) && said.err.contains("Failed to log in"), "{case}: {said:?}");
    }
    Ok(())
}
