//! Power: a soft power-off, power on, reboot; the boot disk keeps what was written, the console tells it.

use anyhow::ensure;
use arame_spec::real::guest::{BOOT_LIMIT, Guest};
use arame_spec::real::{DataCenter, until};

pub async fn a_machine_keeps_its_disk_through_power_off_and_reboot(
    dc: &DataCenter,
    guest: &Guest,
) -> anyhow::Result<()> {
    dc.step("power: off (softly) and on");
    let name = guest.name.as_str();
    dc.in_guest(guest, "echo written >/root/word; sync").await?;
    let first = dc.booted(guest).await?;
    dc.done(&["instance", "poweroff", name, "--wait"]).await?;
    ensure!(console(dc, name).await?.contains("power button pressed"), "the guest was not asked to power off");
    ensure!(dc.boot_id(guest).await?.is_none(), "a machine that is off answers");
    dc.done(&["instance", "poweron", name, "--wait"]).await?;
    let second = dc.booted(guest).await?;
    ensure!(first != second, "it never was off");
    ensure!(dc.in_guest(guest, "cat /root/word").await? == "written");

    dc.step("power: reboot");
    dc.done(&["instance", "reboot", name]).await?;
    let other = || async { Ok(dc.boot_id(guest).await?.filter(|boot| *boot != second)) };
    until("another boot", BOOT_LIMIT, other).await?;
    ensure!(dc.in_guest(guest, "cat /root/word").await? == "written");
    let told = format!("arame-guest: {} is {name}", guest.id);
    ensure!(console(dc, name).await?.contains(&told), "the console does not say `{told}`");
    Ok(())
}

async fn console(dc: &DataCenter, name: &str) -> anyhow::Result<String> {
    dc.done(&["instance", "console-log", name]).await
}
