//! The end: after deletion nothing is left in any backend, after `arame down` nothing on the machine.

use super::machines::dig;
use super::volumes::Volume;
use anyhow::ensure;
use arame_spec::real::look::Footprint;
use arame_spec::real::{DataCenter, until};
use std::time::Duration;

const HOSTS: [&str; 2] = ["h1", "h2"];

/// Records and leases follow the deletion within moments.
const SETTLE_LIMIT: Duration = Duration::from_secs(30);

pub async fn what_is_deleted_leaves_nothing(dc: &DataCenter, volume: &Volume) -> anyhow::Result<()> {
    dc.step("delete everything");
    let before = remains(dc, volume).await?;
    for kind in ["domain", "tap", "port", "flow", "target", "volume", "disk", "name", "lease"] {
        ensure!(before.iter().any(|line| line.starts_with(kind)), "control: no {kind} is seen before: {before:?}");
    }
    let machines = ["web2", "web3", "other1"];
    let deleted = machines.map(|name| async move { dc.done(&["instance", "delete", name, "--wait"]).await });
    let [one, two, three] = deleted;
    tokio::try_join!(one, two, three)?;
    dc.done(&["volume", "delete", volume.name, "--wait"]).await?;
    let left = until("nothing is left", SETTLE_LIMIT, || async {
        let left = remains(dc, volume).await?;
        Ok(left.is_empty().then_some(()))
    });
    if let Err(error) = left.await {
        anyhow::bail!("{error}: {:?}", remains(dc, volume).await?);
    }
    let findings = dc.json(&["audit", "--fresh"]).await?;
    ensure!(findings == serde_json::json!([]), "{findings:#}");
    Ok(())
}

/// Everything of machines and volumes that any backend still has, one line each.
async fn remains(dc: &DataCenter, volume: &Volume) -> anyhow::Result<Vec<String>> {
    let mut left = Vec::new();
    for host in HOSTS {
        let mut put =
            |kind: &str, found: Vec<String>| left.extend(found.iter().map(|one| format!("{kind} {host} {one}")));
        put("domain", dc.domains(host).await?);
        put("tap", dc.taps(host).await?);
        put("port", dc.ports(host).await?);
        // A guest's flows name its MAC or its VLAN.
        let of_guests = |flow: &String| flow.contains("52:54:00:") || flow.contains("dl_vlan=");
        put("flow", dc.flows(host).await?.into_iter().filter(of_guests).collect());
        put("disk", dc.files(&format!("data/hva.{host}/instances")));
    }
    let targets = dc.targets().await?;
    left.extend(targets.lines().filter(|line| line.starts_with("Target")).map(|line| format!("target {line}")));
    left.extend(dc.files("data/sta.s1/volumes").iter().map(|file| format!("volume {file}")));
    ensure!(!volume.serial.is_empty(), "a volume without serial");
    let server = format!("@{}", dc.address(2));
    for name in ["web1", "web2", "web3"] {
        let address = dig(&[&server, &format!("{name}.demo1.arame.internal")]).await?;
        left.extend(address.lines().map(|address| format!("name {name} {address}")));
    }
    for network in ["nw-demo1", "nw-demo2"] {
        left.extend(leases(dc, network)?.into_iter().map(|lease| format!("lease {network} {lease}")));
    }
    Ok(left)
}

/// The hosts the DHCP server would answer.
fn leases(dc: &DataCenter, network: &str) -> anyhow::Result<Vec<String>> {
    let path = dc.dir().join(format!("data/nsa.n1/{network}.json"));
    let snapshot: serde_json::Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let hosts = snapshot["snapshot"]["hosts"].as_array().cloned().unwrap_or_default();
    Ok(hosts.iter().map(|host| format!("{} {}", host["mac"], host["ipv4"])).collect())
}

pub async fn a_data_center_taken_down_leaves_nothing(dc: &DataCenter) -> anyhow::Result<()> {
    dc.step("arame down");
    let marks = dc.marks()?;
    let before = dc.footprint(&marks).await?;
    let Footprint { processes, namespaces, mounts, links, routes } = &before;
    for (kind, found) in
        [("process", processes), ("namespace", namespaces), ("mount", mounts), ("link", links), ("route", routes)]
    {
        ensure!(!found.is_empty(), "control: no {kind} is seen before: {before:?}");
    }
    let said = dc.down().await?;
    ensure!(said.ended_well(), "{said:?}");
    dc.note(&format!("down after {:.1} s", said.took.as_secs_f32()));
    let after = dc.footprint(&marks).await?;
    ensure!(after == Footprint::default(), "left behind: {after:#?}");
    Ok(())
}
