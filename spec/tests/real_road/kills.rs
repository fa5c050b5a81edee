//! SIGKILL around running guests: the supervisor, dcmgr, an agent, the iSCSI target, libvirt.

use anyhow::{Context, ensure};
use arame_spec::real::guest::Guest;
use arame_spec::real::look::{below, is_alive, kill};
use arame_spec::real::{DataCenter, until};
use std::time::{Duration, Instant};

/// Restart, join and the next inventory (20 s) with its repairs.
const RECOVERY_LIMIT: Duration = Duration::from_secs(90);

pub async fn guests_go_on_while_everything_around_them_is_killed(dc: &DataCenter, guest: &Guest) -> anyhow::Result<()> {
    let boot = dc.booted(guest).await?;
    the_supervisor(dc).await?;
    ensure!(dc.boot_id(guest).await?.as_deref() == Some(&boot), "the guest did not live through the supervisor");

    dc.step("kill an agent, dcmgr, the iSCSI target and a host's libvirt");
    foreign_account(dc)?;
    let before = dc.status().await?;
    for name in ["hva.h2", "tgtd", "dcmgr"] {
        kill(before.pid(name)?)?;
    }
    let libvirtd = below(before.pid("host-h2")?, "libvirtd").context("no libvirtd in h2")?;
    kill(libvirtd)?;
    let began = Instant::now();
    let again = || async {
        let now = dc.status().await?.running();
        let back = before.running().iter().all(|(name, pid)| match name.as_str() {
            "hva.h2" | "tgtd" | "dcmgr" => now.iter().any(|(other, new)| other == name && new != pid),
            _ => now.contains(&(name.clone(), *pid)),
        });
        let libvirt = below(before.pid("host-h2")?, "libvirtd").is_some_and(|pid| pid != libvirtd && is_alive(pid));
        Ok((back && libvirt).then_some(()))
    };
    until("everything killed runs again, the rest untouched", RECOVERY_LIMIT, again).await?;
    until("both hosts are online", RECOVERY_LIMIT, || online(dc)).await?;
    dc.note(&format!("both hosts online again after {:.1} s", began.elapsed().as_secs_f32()));
    ensure!(dc.boot_id(guest).await?.as_deref() == Some(&boot), "the guest did not live through it");
    the_disk_comes_back(dc, guest, began).await?;
    ensure!(dc.boot_id(guest).await?.as_deref() == Some(&boot), "the guest did not live through it");

    dc.step("and launch another");
    let web3 = dc.launch("web3", "h2", &["--network", "nw-demo1"]).await?;
    dc.booted(&web3).await?;
    dc.in_guest(guest, "ping -c 1 -W 5 web3").await?;
    Ok(())
}

async fn the_supervisor(dc: &DataCenter) -> anyhow::Result<()> {
    dc.step("kill the supervisor, arame up again");
    let before = dc.status().await?;
    let supervisor = before.supervisor().context("no supervisor")?;
    kill(supervisor)?;
    let dead = || async { Ok((!is_alive(supervisor)).then_some(())) };
    until("the supervisor is dead", Duration::from_secs(5), dead).await?;
    let said = dc.up().await?;
    ensure!(said.ended_well() && said.err.contains("was there already"), "{said:?}");
    dc.note(&format!("up after {:.1} s", said.took.as_secs_f32()));
    let after = dc.status().await?;
    ensure!(after.supervisor().is_some_and(|pid| pid != supervisor), "{after:?}");
    ensure!(after.running() == before.running(), "it did not adopt all: {before:?} {after:?}");
    Ok(())
}

async fn online(dc: &DataCenter) -> anyhow::Result<Option<()>> {
    let said = dc.arame(&["host", "list", "--json"]).await?;
    let hosts: serde_json::Value = serde_json::from_str(&said.out).unwrap_or_default();
    let count = hosts.as_array().map_or(0, |hosts| hosts.iter().filter(|host| host["status"] == "online").count());
    Ok((said.ended_well() && count == 2).then_some(()))
}

/// The volume's disk is reached again over the new target: what the guest writes comes to its end.
async fn the_disk_comes_back(dc: &DataCenter, guest: &Guest, began: Instant) -> anyhow::Result<()> {
    let script = "d=/dev/$(ls /sys/block | grep -v vda | grep vd); \
                  timeout 40 dd if=/dev/zero of=$d bs=4096 count=1 seek=200000 conv=fsync 2>&1";
    let written = || async { Ok(dc.try_in(guest, script).await?.ended_well().then_some(())) };
    until("the guest writes to its volume again", RECOVERY_LIMIT * 2, written).await?;
    dc.note(&format!("the guest writes to its volume {:.1} s after the kills", began.elapsed().as_secs_f32()));
    Ok(())
}

/// A second account, as an operator adds one: dcmgr reads its seed at every start.
fn foreign_account(dc: &DataCenter) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let token = dc.dir().join("tokens/stranger");
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&token)?;
    writeln!(file, "a-stranger-s-own-token")?;
    let seed = dc.dir().join("etc/seed.toml");
    let mut file = std::fs::OpenOptions::new().append(true).open(seed)?;
    writeln!(file, "\n[[account]]\nid = \"a-stranger\"\n\n[[token]]\nid = \"tok-stranger\"")?;
    writeln!(file, "account = \"a-stranger\"\nrole = \"member\"\nsecret_file = \"{}\"", token.display())?;
    Ok(())
}
