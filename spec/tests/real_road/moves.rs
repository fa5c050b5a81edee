//! A machine goes to another host while it runs and answers, and comes back.

use super::machines::Trio;
use anyhow::{Context, ensure};
use arame_spec::real::DataCenter;
use arame_spec::real::guest::Guest;
use arame_spec::real::program::run;
use std::time::{Duration, Instant};

/// Between two pings.
const PING_EVERY: f32 = 0.1;

/// Enough of them for a move under emulation on a busy machine.
const PINGS: usize = 300;
const PING_LIMIT: Duration = Duration::from_secs(90);

/// Pings that may stay unanswered: the guest stands still for the last of its memory, and the network learns its new place.
const LOST_MAX: usize = 60;

pub async fn a_guest_moves_while_it_is_pinged(dc: &DataCenter, trio: &Trio) -> anyhow::Result<()> {
    let web1 = &trio.web1;
    dc.step("web1 moves from h1 to h2 while it is pinged");
    let boot = dc.booted(web1).await?;
    under_ping(dc, web1, "h2").await?;
    dc.in_guest(web1, "ping -c 1 -W 5 web2").await.context("a name and a neighbour on the same host")?;
    ensure!(dc.boot_id(web1).await?.as_deref() == Some(&boot), "it was started anew");
    for (host, here) in [("h1", false), ("h2", true)] {
        ensure!(dc.domains(host).await?.contains(&web1.id) == here, "its domain on {host}");
        let ports = dc.ports(host).await?;
        ensure!(ports.iter().any(|port| port.contains(tail(&web1.vif))) == here, "its port on {host}: {ports:?}");
    }
    let closed = run("nc", &["-z", "-w", "3", &web1.address, "8080"], PING_LIMIT).await?;
    ensure!(!closed.ended_well(), "a closed port is open on the new host");
    let renewed = dc.try_in(web1, "udhcpc -n -q -t 5 -i eth0 2>&1 || true").await?;
    dc.note(&format!("asked for its lease again: {}", renewed.out.lines().last().unwrap_or("nothing")));
    ensure!(dc.boot_id(web1).await?.as_deref() == Some(&boot), "it keeps its address");

    dc.step("and back to h1");
    under_ping(dc, web1, "h1").await?;
    ensure!(dc.boot_id(web1).await?.as_deref() == Some(&boot), "it was started anew");
    ensure!(!dc.domains("h2").await?.contains(&web1.id), "its domain is left on h2");
    Ok(())
}

/// What is the same in an interface's id and in its port's name.
fn tail(vif: &str) -> &str {
    vif.trim_start_matches("vif-")
}

async fn under_ping(dc: &DataCenter, guest: &Guest, host: &str) -> anyhow::Result<()> {
    let (count, every, to) = (PINGS.to_string(), PING_EVERY.to_string(), format!("hn-{host}"));
    let words = ["-n", "-i", &every, "-c", &count, &guest.address];
    let moving = async {
        let began = Instant::now();
        let view = dc.json(&["--as", "admin", "instance", "move", &guest.id, "--to", &to, "--wait"]).await?;
        ensure!(view["host_node"] == to.as_str(), "{view}");
        anyhow::Ok(began.elapsed())
    };
    let (pinged, took) = tokio::try_join!(run("ping", &words, PING_LIMIT), moving)?;
    let answered: Vec<usize> = pinged.out.lines().filter_map(sequence).collect();
    let gap = answered.windows(2).map(|pair| pair[1] - pair[0] - 1).max().unwrap_or(PINGS);
    let lost = PINGS - answered.len().min(PINGS);
    dc.note(&format!(
        "{} is on {host} after {:.1} s; of {PINGS} pings {lost} were lost, {gap} in a row ({:.1} s)",
        guest.name,
        took.as_secs_f32(),
        gap as f32 * PING_EVERY
    ));
    ensure!(answered.len() > PINGS / 2 && lost <= LOST_MAX, "{lost} of {PINGS} pings were lost");
    Ok(())
}

/// The number of an answered ping.
fn sequence(line: &str) -> Option<usize> {
    line.split_once("icmp_seq=")?.1.split(' ').next()?.parse().ok()
}
