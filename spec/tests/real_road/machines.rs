//! Three machines: two of one network on two hosts, one of another network with the same subnet.

use anyhow::ensure;
use arame_spec::real::guest::Guest;
use arame_spec::real::program::{SHORT, run};
use arame_spec::real::{DataCenter, until};

pub struct Trio {
    /// On h1, network 1.
    pub web1: Guest,
    /// On h2, network 1.
    pub web2: Guest,
    /// On h1 beside web1, network 2.
    pub other1: Guest,
}

pub async fn three_are_launched_and_reached(dc: &DataCenter) -> anyhow::Result<Trio> {
    dc.step("launch web1 on h1, web2 on h2, other1 on h1 in the second network");
    let apart = dc.address(50);
    // Its own address, so that it is clear whom web1 does not reach.
    let second = ["--network", "nw-demo2", "--address", &apart];
    let (web1, web2, other1) = tokio::try_join!(
        dc.launch("web1", "h1", &["--network", "nw-demo1"]),
        dc.launch("web2", "h2", &["--network", "nw-demo1"]),
        dc.launch("other1", "h1", &second)
    )?;
    tokio::try_join!(dc.booted(&web1), dc.booted(&web2), dc.booted(&other1))?;

    dc.step("reach them: ping, arame ssh, dig, by name from guest to guest");
    for guest in [&web1, &web2] {
        run("ping", &["-c1", "-W5", &guest.address], SHORT).await?.well()?;
        let name = dc.done(&["ssh", &guest.name, "--", "hostname"]).await?;
        ensure!(name == guest.name, "{} calls itself {name}", guest.id);
    }
    names(dc, &web1, &other1).await?;
    dc.in_guest(&web1, "ping -c 1 -W 5 web2").await?;
    let banner = dc.in_guest(&web1, "nc -w 5 web2 22 </dev/null | head -n 1").await?;
    ensure!(banner.starts_with("SSH-2.0"), "web2's SSH server says {banner}");
    Ok(Trio { web1, web2, other1 })
}

async fn names(dc: &DataCenter, web1: &Guest, other1: &Guest) -> anyhow::Result<()> {
    let server = format!("@{}", dc.address(2));
    let full = "web1.demo1.arame.internal";
    let forward = || async { Ok(Some(dig(&[&server, full]).await?).filter(|found| *found == web1.address)) };
    until("the A record", SHORT, forward).await?;
    ensure!(dig(&[&server, "-x", &web1.address]).await? == format!("{full}."), "the PTR record");
    // The other network's server is another one at the same address.
    let inside = |name: &'static str| {
        let server = server.clone();
        async move { dc.inside("gw2", &["dig", "+short", "+time=5", &server, name]).await?.well() }
    };
    ensure!(inside("other1.demo2.arame.internal").await? == other1.address, "the second network's own name");
    ensure!(inside(full).await?.is_empty(), "the second network's server knows the first one's names");
    Ok(())
}

/// The short answer; empty where there is none.
pub async fn dig(words: &[&str]) -> anyhow::Result<String> {
    let all: Vec<&str> = ["+short", "+time=5", "+tries=2"].into_iter().chain(words.iter().copied()).collect();
    run("dig", &all, SHORT).await?.well()
}
