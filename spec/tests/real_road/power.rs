//! Power: a soft power-off, power on, reboot, a QEMU that dies; the boot disk keeps what was written, the console tells it.

use anyhow::{Context, ensure};
use arame_spec::real::guest::{BOOT_LIMIT, Guest};
use arame_spec::real::look::{kill, qemu_of};
use arame_spec::real::{DataCenter, until};
use std::time::Instant;

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
    its_hypervisor_process_is_killed(dc, guest).await
}

/// A guest that dies is noticed, told, and started again by its policy with the disk it had.
async fn its_hypervisor_process_is_killed(dc: &DataCenter, guest: &Guest) -> anyhow::Result<()> {
    dc.step("power: its QEMU is killed");
    let before = dc.booted(guest).await?;
    kill(qemu_of(&guest.id).context("no QEMU of the guest")?)?;
    let began = Instant::now();
    let told = || async {
        let said = dc.arame(&["instance", "timeline", &guest.name, "--json"]).await?;
        let events: serde_json::Value = serde_json::from_str(&said.out).unwrap_or_default();
        let is_told = events.as_array().is_some_and(|all| all.iter().any(|event| event["code"] == "guest_died"));
        Ok(is_told.then_some(()))
    };
    until("its death is told", BOOT_LIMIT, told).await?;
    dc.note(&format!("its death is told after {:.1} s", began.elapsed().as_secs_f32()));
    let other = || async { Ok(dc.boot_id(guest).await?.filter(|boot| *boot != before)) };
    until("it is started again", BOOT_LIMIT, other).await?;
    dc.note(&format!("it answers again after {:.1} s", began.elapsed().as_secs_f32()));
    ensure!(dc.in_guest(guest, "cat /root/word").await? == "written");
    Ok(())
}

async fn console(dc: &DataCenter, name: &str) -> anyhow::Result<String> {
    dc.done(&["instance", "console-log", name]).await
}
