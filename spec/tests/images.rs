//! Images from elsewhere, from the request to a machine that was made of one: registered by their address and uploaded, let
//! in or refused with words, interrupted, deleted on their way.
//!
//! Rule: whatever happens on the way, the image ends available or says why it is not, and nothing of it is left behind.

#[path = "../../agents/sta/tests/sta/stranger.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod stranger;

use anyhow::{Context, ensure};
use arame_schema::model::instance::InstanceState;
use arame_spec::surface::{ADMIN, Answer, DEMO, OTHER, Surface};
use arame_spec::world::{Size, World};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;
use stranger::{Say, Stranger};

fn disk() -> Vec<u8> {
    (0..300_000u32).map(|at| (at * 7 % 251) as u8).collect()
}

fn sum_of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The begin of a qcow2 on another file.
fn on_another() -> Vec<u8> {
    let mut bytes = b"QFI\xfb\0\0\0\x03\0\0\0\0\0\0\x02\0".to_vec();
    bytes.resize(65_536, 0);
    bytes
}

struct Story {
    world: World,
    surface: Surface,
}

impl Story {
    async fn begin(storage: usize) -> anyhow::Result<Story> {
        let world = World::start(Size { hosts: 1, storage, ..Size::default() }).await?;
        let surface = Surface::of(&world.app).await?;
        Ok(Story { world, surface })
    }

    async fn register(&self, body: Value) -> anyhow::Result<String> {
        let made = self.surface.done(DEMO, "POST", "/images", &body).await?;
        Ok(made["id"].as_str().context("an id")?.to_owned())
    }

    async fn image(&self, id: &str) -> anyhow::Result<Value> {
        self.surface.done(DEMO, "GET", &format!("/images/{id}"), &Value::Null).await
    }

    async fn becomes(&self, id: &str, state: &str) -> anyhow::Result<Value> {
        self.world.until(&format!("{id} is {state}"), async || Ok(self.image(id).await?["state"] == state)).await?;
        self.image(id).await
    }

    async fn delete(&self, id: &str) -> anyhow::Result<()> {
        self.surface.done(DEMO, "DELETE", &format!("/images/{id}"), &Value::Null).await.map(drop)
    }

    async fn upload(&self, id: &str, body: impl Into<reqwest::Body>, sum: Option<&str>) -> anyhow::Result<Answer> {
        let mut request = self.surface.request(DEMO, "PUT", &format!("/images/{id}/content"))?.body(body);
        if let Some(sum) = sum {
            request = request.header("checksum", sum);
        }
        self.surface.send(request).await
    }

    /// How many storage nodes have it.
    async fn copies(&self, id: &str) -> anyhow::Result<usize> {
        let statement = format!("SELECT agent_id FROM facts WHERE thing = '{id}' AND name = 'image' AND value = 'yes'");
        Ok(self.world.db().rows(statement, ()).await?.len())
    }

    /// What an account is told of it, each with the state it came to.
    async fn told(&self, secret: &str, id: &str) -> anyhow::Result<Vec<String>> {
        let events = self.surface.done(secret, "GET", &format!("/events?resource={id}"), &Value::Null).await?;
        let word = |event: &Value| {
            let to = event["values"]["to"].as_str().map(|to| format!(" {to}")).unwrap_or_default();
            format!("{}{to}", event["code"].as_str().unwrap_or_default())
        };
        Ok(events.as_array().context("a list")?.iter().map(word).collect())
    }

    async fn tells(&self, secret: &str, id: &str, wanted: &[&str]) -> anyhow::Result<()> {
        let so = async || Ok(self.told(secret, id).await? == wanted);
        self.world.until(&format!("of {id} is told: {wanted:?}"), so).await
    }

    async fn change(&self, secret: &str, id: &str, change: Value) -> anyhow::Result<()> {
        self.surface.done(secret, "PUT", &format!("/images/{id}"), &change).await.map(drop)
    }

    async fn end(self) -> anyhow::Result<()> {
        self.world.ends_clean().await?;
        self.surface.end().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_image_is_fetched_once_copied_to_every_storage_node_and_launched() -> anyhow::Result<()> {
    let stranger = Stranger::new(|path| match path {
        "/there" => Say::Redirect("/disk.raw".into()),
        _ => Say::Whole(disk()),
    })
    .await;
    let story = Story::begin(2).await?;
    let body = json!({ "uri": stranger.url("/there"), "file_format": "raw", "display_name": "fetched",
        "checksum": sum_of(&disk()) });
    let id = story.register(body).await?;
    let image = story.becomes(&id, "available").await?;
    ensure!((&image["size"], &image["checksum"]) == (&json!(300_000), &json!(sum_of(&disk()))), "{image}");
    story.world.until("both storage nodes have it", async || Ok(story.copies(&id).await? == 2)).await?;
    ensure!(stranger.asked().len() == 2, "the second copy came from the first: {:?}", stranger.asked());
    let launch = json!({ "image_id": id, "instance_type": "small" });
    let machine = story.surface.done(DEMO, "POST", "/instances", &launch).await?;
    let machine = machine["id"].as_str().context("an id")?;
    story.world.instance_in(machine, InstanceState::Running).await?;
    let used = story.surface.ask(DEMO, "DELETE", &format!("/images/{id}"), &Value::Null).await?;
    ensure!(used.reason() == "resource_in_use", "{used:?}");
    let foreign = story.surface.ask(OTHER, "GET", &format!("/images/{id}"), &Value::Null).await?;
    ensure!(foreign.status == 404, "{foreign:?}");
    story.surface.done(DEMO, "DELETE", &format!("/instances/{machine}"), &Value::Null).await?;
    story.world.instance_in(machine, InstanceState::Terminated).await?;
    story.delete(&id).await?;
    story.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_an_image_is_told_to_who_sees_it_and_to_nobody_else() -> anyhow::Result<()> {
    let stranger = Stranger::new(|path| match path {
        "/none" => Say::Status(404),
        _ => Say::Whole(disk()),
    })
    .await;
    let story = Story::begin(1).await?;
    let refused = story.register(json!({ "uri": stranger.url("/none"), "file_format": "raw" })).await?;
    story.becomes(&refused, "failed").await?;
    story.tells(DEMO, &refused, &["create_requested", "failed", "state_changed failed"]).await?;
    ensure!(story.told(OTHER, &refused).await?.is_empty(), "another account is told of it");

    let id = story.register(json!({ "uri": stranger.url("/there"), "file_format": "raw" })).await?;
    story.becomes(&id, "available").await?;
    let came = ["create_requested", "state_changed available"];
    story.tells(DEMO, &id, &came).await?;
    story.change(DEMO, &id, json!({ "display_name": "named" })).await?;
    story.change(ADMIN, &id, json!({ "is_public": true })).await?;
    // The control: what everybody sees is told to everybody, and what was before is not.
    story.tells(OTHER, &id, &["image_shared"]).await?;
    story.change(ADMIN, &id, json!({ "description": "for all" })).await?;
    story.change(ADMIN, &id, json!({ "is_public": false })).await?;
    story.delete(&id).await?;
    let own = [&came[..], &["image_changed", "image_shared", "image_changed", "image_unshared", "delete_requested"]];
    let own = [&own.concat()[..], &["state_changed deleted"]].concat();
    story.tells(DEMO, &id, &own).await?;
    story.tells(OTHER, &id, &["image_shared", "image_changed", "image_unshared"]).await?;
    story.delete(&refused).await?;
    story.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_let_in_says_why_in_both_languages() -> anyhow::Result<()> {
    let inside = Stranger::at("127.0.0.2", None, |_| Say::Whole(disk())).await;
    let leads = inside.url("/secret");
    let stranger = Stranger::new(move |path| match path {
        "/inside" => Say::Redirect(leads.clone()),
        "/short" => Say::Short(disk(), 400_000),
        "/stall" => Say::Stall(disk()),
        "/huge" => Say::Short(Vec::new(), 9 << 20),
        "/none" => Say::Status(404),
        "/refers" => Say::Whole(on_another()),
        _ => Say::Whole(disk()),
    })
    .await;
    let story = Story::begin(1).await?;
    let mut made = Vec::new();
    for (path, format, code) in [
        ("/inside", "raw", "image_address_refused"),
        ("/short", "raw", "image_broke_off"),
        ("/stall", "raw", "image_server_silent"),
        ("/huge", "raw", "image_too_large"),
        ("/none", "raw", "image_not_found"),
        ("/refers", "qcow2", "image_refused"),
        ("/refers", "raw", "image_broken"),
        ("/wrong", "raw", "image_checksum_mismatch"),
    ] {
        let sum = (path == "/wrong").then(|| "00".repeat(32));
        let body = json!({ "uri": stranger.url(path), "file_format": format, "checksum": sum });
        made.push((story.register(body).await?, code));
    }
    let good = story.register(json!({ "uri": stranger.url("/good"), "file_format": "raw" })).await?;
    story.becomes(&good, "available").await.context("control: the same server")?;
    for (id, code) in &made {
        let image = story.becomes(id, "failed").await?;
        ensure!(image["failure"]["code"] == *code, "{code}: {image}");
        let words = |image: &Value| image["failure"]["next_step"].as_str().unwrap_or_default().to_owned();
        let request = story.surface.request(DEMO, "GET", &format!("/images/{id}"))?.header("accept-language", "ja");
        let japanese = story.surface.send(request).await?.json();
        ensure!(!words(&image).is_empty() && image["failure"]["cause"] != "", "{image}");
        ensure!(!words(&japanese).is_empty(), "{japanese}");
        story.delete(id).await?;
    }
    ensure!(inside.asked().is_empty(), "the infrastructure was asked");
    let direct = reqwest::Client::builder().no_proxy().build()?.get(inside.url("/")).send().await?;
    ensure!(direct.status() == 200 && inside.asked().len() == 1, "control: it answers whoever gets there");
    for uri in ["file:///etc/passwd", "sim://tiny", "https://user:secret@example.org/"] {
        let body = json!({ "uri": uri, "file_format": "raw" });
        let refused = story.surface.ask(DEMO, "POST", "/images", &body).await?;
        ensure!((refused.status, refused.reason().as_str()) == (400, "invalid_parameter"), "{uri}: {refused:?}");
    }
    let public = json!({ "uri": stranger.url("/good"), "file_format": "raw", "is_public": true });
    ensure!(story.surface.ask(DEMO, "POST", "/images", &public).await?.status == 403, "a member made a public image");
    story.delete(&good).await?;
    story.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_leaves_the_image_waiting_and_the_same_bytes_twice_are_one() -> anyhow::Result<()> {
    let story = Story::begin(2).await?;
    let id = story.register(json!({ "file_format": "raw", "display_name": "uploaded" })).await?;
    ensure!(story.image(&id).await?["state"] == "pending", "{}", story.image(&id).await?);
    let launch = json!({ "image_id": id, "instance_type": "small" });
    let early = story.surface.ask(DEMO, "POST", "/instances", &launch).await?;
    ensure!(early.reason() == "invalid_image_state", "{early:?}");

    let wrong = story.upload(&id, disk(), Some(&"00".repeat(32))).await?;
    ensure!((wrong.status, wrong.reason().as_str()) == (400, "upload_failed"), "{wrong:?}");
    let broken = futures_util::stream::iter([Ok(disk()[..9].to_vec()), Err(std::io::Error::other("gone"))]);
    ensure!(story.upload(&id, reqwest::Body::wrap_stream(broken), None).await.is_err(), "it broke off");
    let refers = story.upload(&id, on_another(), None).await?;
    ensure!(refers.reason() == "upload_failed", "{refers:?}");
    story.world.until("it says why", async || Ok(story.image(&id).await?["failure"] != Value::Null)).await?;
    let image = story.image(&id).await?;
    ensure!(image["state"] == "pending" && image["failure"]["sentence"] != "", "{image}");
    let huge = story.upload(&id, vec![7u8; 9 << 20], None).await?;
    ensure!(huge.status == 400, "{huge:?}");

    let sent = story.upload(&id, disk(), Some(&sum_of(&disk()))).await?;
    ensure!(sent.status == 200, "{sent:?}");
    let image = story.becomes(&id, "available").await?;
    ensure!(image["checksum"] == sum_of(&disk()), "{image}");
    story.world.until("both storage nodes have it", async || Ok(story.copies(&id).await? == 2)).await?;
    ensure!(story.upload(&id, disk(), None).await?.status == 200, "the same bytes again");
    let other = story.upload(&id, vec![7u8; 1000], None).await?;
    ensure!(other.reason() == "upload_failed", "{other:?}");
    ensure!(story.image(&id).await?["state"] == "available", "other bytes changed nothing");
    let request = story.surface.request(OTHER, "PUT", &format!("/images/{id}/content"))?.body(disk());
    ensure!(story.surface.send(request).await?.status == 404, "another account uploaded");
    let machine = story.surface.done(DEMO, "POST", "/instances", &launch).await?;
    let machine = machine["id"].as_str().context("an id")?;
    story.world.instance_in(machine, InstanceState::Running).await?;
    story.surface.done(DEMO, "DELETE", &format!("/instances/{machine}"), &Value::Null).await?;
    story.world.instance_in(machine, InstanceState::Terminated).await?;
    story.delete(&id).await?;
    story.end().await
}

/// A body that begins and then waits for the gate.
fn gated(gate: &std::sync::Arc<tokio::sync::Semaphore>) -> reqwest::Body {
    let gate = gate.clone();
    let pieces = futures_util::stream::unfold(0, move |at| {
        let gate = gate.clone();
        async move {
            if at == 1 {
                gate.acquire().await.ok()?.forget();
            }
            (at < 2).then(|| (Ok::<_, std::io::Error>(disk()), at + 1))
        }
    });
    reqwest::Body::wrap_stream(pieces)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_or_a_killed_storage_agent_in_the_middle_leaves_nothing_behind() -> anyhow::Result<()> {
    let stranger = Stranger::new(|_| Say::Gated(disk(), disk())).await;
    let mut story = Story::begin(1).await?;
    let asked = async |story: &Story, count: usize| {
        story.world.until("the stranger is asked", async || Ok(stranger.asked().len() >= count)).await
    };

    let deleted = story.register(json!({ "uri": stranger.url("/a"), "file_format": "raw" })).await?;
    asked(&story, 1).await?;
    story.delete(&deleted).await?;
    let left = tokio::time::timeout(Duration::from_secs(20), stranger.left.acquire()).await;
    left.context("the stranger is spoken to although the image was deleted")??.forget();
    story.world.ends_clean().await?;

    let killed = story.register(json!({ "uri": stranger.url("/b"), "file_format": "raw" })).await?;
    asked(&story, 2).await?;
    story.world.kill_agent("sta.s1").await;
    ensure!(story.image(&killed).await?["state"] == "creating", "nothing is concluded from silence");
    story.world.start_agent("sta.s1", 0).await?;
    asked(&story, 3).await?;
    stranger.gate.add_permits(1);
    let image = story.becomes(&killed, "available").await?;
    ensure!(image["size"] == 600_000, "{image}");

    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let uploaded = story.register(json!({ "file_format": "raw" })).await?;
    let upload = async |story: &Story, body: reqwest::Body| {
        let request = story.surface.request(DEMO, "PUT", &format!("/images/{uploaded}/content"))?.body(body);
        anyhow::Ok(tokio::spawn(request.send()))
    };
    let creating = async |story: &Story| story.becomes(&uploaded, "creating").await.map(drop);
    let first = upload(&story, gated(&gate)).await?;
    creating(&story).await?;
    story.world.kill_agent("sta.s1").await;
    ensure!(first.await??.status() != 200, "an upload to a dead agent was answered as done");
    story.world.start_agent("sta.s1", 0).await?;
    story
        .world
        .until("the agent is heard", async || {
            let agents = arame_dcmgr::db::agents::all(story.world.db()).await?;
            Ok(agents.iter().any(|agent| agent.id == "sta.s1" && agent.online))
        })
        .await?;
    // A newer upload takes the place of one that hangs. The image is `creating` since the first: that says nothing of it.
    let hangs = upload(&story, gated(&gate)).await?;
    let begun = "SELECT id FROM events WHERE resource = ? AND code = 'upload_begun'";
    let begun = async || story.world.db().rows(begun, (&uploaded,)).await;
    story.world.until("it is begun", async || Ok(begun().await?.len() == 2)).await?;
    let sent = story.upload(&uploaded, disk(), None).await?;
    ensure!(sent.status == 200, "{sent:?}");
    ensure!(hangs.await??.status() != 200, "the older upload was answered as done");
    story.becomes(&uploaded, "available").await?;

    let gone = story.register(json!({ "file_format": "raw" })).await?;
    let request = story.surface.request(DEMO, "PUT", &format!("/images/{gone}/content"))?.body(gated(&gate));
    let going = tokio::spawn(request.send());
    story.becomes(&gone, "creating").await?;
    story.delete(&gone).await?;
    ensure!(going.await??.status() != 200, "an upload of a deleted image was answered as done");
    for id in [&killed, &uploaded] {
        story.delete(id).await?;
    }
    story.end().await
}
