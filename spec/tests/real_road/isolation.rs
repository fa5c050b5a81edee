//! Two networks of one subnet on one host: nobody reaches, nobody sees.

use super::machines::Trio;
use anyhow::ensure;
use arame_spec::real::DataCenter;
use arame_spec::real::capture::Frame;
use arame_spec::real::guest::Guest;

const TAG1: u16 = 101;
const TAG2: u16 = 102;

pub async fn two_networks_of_one_subnet_never_meet(dc: &DataCenter, trio: &Trio) -> anyhow::Result<()> {
    let Trio { web1, web2, other1 } = trio;
    dc.step("isolation: capture at the trunk of h1 and at the three taps");
    let trunk = dc.capture("fab", "h1t").await?;
    let at_web1 = dc.capture("h1", &web1.vif).await?;
    let at_other1 = dc.capture("h1", &other1.vif).await?;
    let at_web2 = dc.capture("h2", &web2.vif).await?;

    // Each question is asked of somebody who answers too: the same tool, the same guest.
    asks(dc, web1, &web2.address, Answer::Yes).await?;
    asks(dc, other1, &dc.address(1), Answer::Yes).await?;
    asks(dc, web1, &other1.address, Answer::No).await?;
    asks(dc, other1, &web1.address, Answer::No).await?;
    asks(dc, other1, &web2.address, Answer::No).await?;

    trunk.sees("web1's frames on the trunk", |f| f.from == web1.mac && f.tag == Some(TAG1)).await?;
    trunk.sees("web2's frames on the trunk", |f| f.from == web2.mac && f.tag == Some(TAG1)).await?;
    trunk.sees("other1's frames on the trunk", |f| f.from == other1.mac && f.tag == Some(TAG2)).await?;
    at_web1.sees("web2's frames at web1", |f| f.from == web2.mac).await?;
    at_other1.sees("other1's own frames", |f| f.from == other1.mac).await?;
    let asked_for = format!("who-has {}", other1.address);
    at_web2.sees("web1's broadcast at web2", |f| f.from == web1.mac && f.rest.contains(&asked_for)).await?;

    let (trunk, at_web1) = (trunk.end().await?, at_web1.end().await?);
    let (at_other1, at_web2) = (at_other1.end().await?, at_web2.end().await?);
    let frames = [trunk.len(), at_web1.len(), at_other1.len(), at_web2.len()];
    dc.note(&format!("frames at trunk, web1, other1, web2: {frames:?}"));
    carries_only(&trunk, &[web1, web2], TAG1)?;
    carries_only(&trunk, &[other1], TAG2)?;
    unseen(&at_web1, "web1", &[other1])?;
    unseen(&at_web2, "web2", &[other1])?;
    unseen(&at_other1, "other1", &[web1, web2])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
}

/// By ARP, which needs no firewall's leave and begins with a broadcast, and by ICMP.
async fn asks(dc: &DataCenter, from: &Guest, address: &str, wanted: Answer) -> anyhow::Result<()> {
    for tool in [format!("arping -c 2 -w 3 -I eth0 {address}"), format!("ping -c 2 -W 3 {address}")] {
        let said = dc.try_in(from, &tool).await?;
        ensure!(said.code.is_some_and(|code| code < 2), "{tool} could not be run: {said:?}");
        let got = if said.ended_well() { Answer::Yes } else { Answer::No };
        ensure!(got == wanted, "{} runs `{tool}`: {said:?}", from.name);
    }
    Ok(())
}

fn carries_only(frames: &[Frame], guests: &[&Guest], tag: u16) -> anyhow::Result<()> {
    for guest in guests {
        let strayed = frames.iter().find(|frame| frame.concerns(&guest.mac) && frame.tag != Some(tag));
        ensure!(strayed.is_none(), "a frame of {} without tag {tag}: {strayed:?}", guest.name);
    }
    Ok(())
}

fn unseen(frames: &[Frame], at: &str, guests: &[&Guest]) -> anyhow::Result<()> {
    for guest in guests {
        let seen = frames.iter().find(|frame| frame.concerns(&guest.mac) || frame.rest.contains(&guest.mac));
        ensure!(seen.is_none(), "{at} sees {}: {seen:?}", guest.name);
    }
    Ok(())
}
