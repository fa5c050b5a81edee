//! What the broker puts aside is shown, and nothing waits for it.

use crate::support::{audit, running};
use anyhow::{Context, ensure};
use arame_framework::bus::Death;
use arame_framework::testkit::DCMGR;
use arame_schema::api::{FindingKind, FindingRule, Language, Localise};
use arame_schema::jobs::DEAD_QUEUE;
use arame_spec::world::{Size, World};

fn death(reason: &str) -> Death {
    Death { queue: "job.hva.h1".into(), reason: reason.into() }
}

/// Sabotage: `hear::dead_came` notes what expired as well: every launch on a host that was away for minutes is found.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_put_aside_is_shown_with_its_head_for_a_day_and_one_that_expired_is_not() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let machine = running(&world, World::request("m1")).await?;
    let body = |thing: &str| {
        serde_json::json!({ "id": uuid::Uuid::now_v7(), "kind": "hva.instance.apply", "agent": "hva.h1", "thing": thing,
                            "body": { "secret": "s3cr3t" } })
        .to_string()
        .into_bytes()
    };
    world.broker.bury(DCMGR, death("expired"), body("i-late"));
    world.broker.bury(DCMGR, death(Death::DELIVERED_TOO_OFTEN), body(&machine.id));
    world.broker.bury("hva.h1", death(Death::DELIVERED_TOO_OFTEN), b"what is this".to_vec());
    world.until("all are taken in", async || Ok(world.broker.depth(DEAD_QUEUE) == Some(0))).await?;

    let mut dead = audit(&world).await?;
    dead.retain(|finding| finding.kind == FindingKind::DeadMessage);
    ensure!(dead.len() == 2 && dead.iter().all(|finding| finding.rule == FindingRule::ToldAgain), "{dead:?}");
    let thing = format!("hva.instance.apply {}", machine.id);
    let mut shown = dead.into_iter().find(|finding| finding.thing == thing).context("the job's message")?;
    ensure!(!serde_json::to_string(&shown)?.contains("s3cr3t"), "its body is kept: {shown:?}");
    shown.localise(Language::Ja);
    ensure!(shown.sentence.contains(&thing) && shown.next_step.contains("失われたものはありません"), "{shown:?}");

    world.db().run("UPDATE dead_messages SET put_aside_at = put_aside_at - INTERVAL 25 HOUR", ()).await?;
    ensure!(audit(&world).await?.is_empty(), "{:?}", audit(&world).await?);
    world.ends_clean().await
}
