//! Machines that join by a one-time token and leave, by the real surface, with a real broker's management API: who gets in, once;
//! who is refused and reads why; that nothing half-made stays, and no user of a machine that is gone.

use anyhow::{Context, ensure};
use arame_dcmgr::app::joins::{self, Gate};
use arame_dcmgr::authority::Authority;
use arame_dcmgr::config::LocalUrl;
use arame_dcmgr::tasks::management::Management;
use arame_framework::testkit::{self, DCMGR, Rabbit};
use arame_schema::api::Invitation;
use arame_spec::surface::{ADMIN, Answer, Surface};
use arame_spec::world::{Size, World};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;

struct Story {
    world: World,
    surface: Surface,
    broker: Arc<Rabbit>,
    vhost: String,
    _authority: tempfile::TempDir,
}

impl Story {
    async fn begin() -> anyhow::Result<Self> {
        let broker = Rabbit::private_with_management()?;
        let realm = broker.realm()?;
        let authority = tempfile::tempdir()?;
        Authority::at(authority.path(), SystemTime::now())?;
        let world = World::start(Size::default()).await?;
        let url = LocalUrl::try_from(broker.management_url()).map_err(anyhow::Error::msg)?;
        let settings = realm.broker(DCMGR);
        world.app.open_gate(Gate {
            manager: "dcm.example:9443".into(),
            ca_file: authority.path().join("ca.pem"),
            broker: "dcm.example:5671".into(),
            vhost: settings.vhost.clone(),
            streams: Some("dcm.example:9003".into()),
            users: Arc::new(Management::new(&url.0, &settings)?),
            turn: tokio::sync::Mutex::new(()),
        });
        let surface = Surface::of(&world.app).await?;
        let vhost = realm.vhost().to_owned();
        Ok(Self { world, surface, broker, vhost, _authority: authority })
    }

    async fn invite(&self, agent: &str) -> anyhow::Result<(String, Invitation)> {
        let made = self.surface.done(ADMIN, "POST", "/join_tokens", &json!({ "agent": agent })).await?;
        let invitation = made["invitation"].as_str().context("an invitation")?.parse()?;
        Ok((made["id"].as_str().context("an id")?.to_owned(), invitation))
    }

    async fn open(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let request = reqwest::Client::new().post(self.surface.url(path));
        self.surface.send(request.header("accept-language", "en").json(body)).await
    }

    async fn join(&self, invitation: &Invitation, machine: char) -> anyhow::Result<Answer> {
        let drawn = |of: char| format!("{of}{machine}").repeat(32);
        let body = json!({ "secret": invitation.secret.expose(), "agent_key": drawn('a'), "broker_password": drawn('b'),
                           "machine": machine.to_string() });
        self.open("/join", &body).await
    }

    async fn leave(&self, agent: &str, machine: char, check: bool) -> anyhow::Result<Answer> {
        let key = format!("a{machine}").repeat(32);
        self.open("/leave", &json!({ "agent": agent, "agent_key": key, "check": check })).await
    }

    fn users(&self) -> anyhow::Result<String> {
        self.broker.ctl(&["list_users", "--silent"])
    }

    fn lets_in(&self, user: &str, password: &str) -> bool {
        self.broker.ctl(&["authenticate_user", user, password]).is_ok()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_joins_once_by_its_token_and_what_it_drew_is_its_own() -> anyhow::Result<()> {
    if testkit::lacks_rabbitmq() {
        return Ok(());
    }
    let story = Story::begin().await?;
    let (id, invitation) = story.invite("hva.h9").await?;
    ensure!((invitation.manager.as_str(), invitation.agent.as_str()) == ("dcm.example:9443", "hva.h9"));
    let joined = story.join(&invitation, '1').await?;
    ensure!(joined.status == 200, "{joined:?}");
    let told = joined.json();
    ensure!(
        (&told["node_id"], &told["broker_host"], &told["broker_port"])
            == (&json!("hn-h9"), &json!("dcm.example"), &json!(5671))
    );
    let host = story.surface.done(ADMIN, "GET", "/host_nodes/hn-h9", &Value::Null).await?;
    ensure!(host["node_id"] == "hva.h9" && host["status"] == "offline", "{host}");

    // What it drew is its password, and with it its own queue.
    ensure!(story.lets_in("hva.h9", &"b1".repeat(32)), "{}", story.users()?);
    ensure!(!story.lets_in("hva.h9", &"b2".repeat(32)));
    let rights = story.broker.ctl(&["list_user_permissions", "hva.h9", "--silent"])?;
    ensure!(rights.contains(&story.vhost) && rights.contains("^job\\.hva\\.h9$"), "{rights}");

    // A lost answer: the same machine is answered the same. Another is not, nor is the first one's password changed by it.
    let again = story.join(&invitation, '1').await?;
    ensure!((again.status, again.json()) == (200, told), "{again:?}");
    let other = story.join(&invitation, '2').await?;
    ensure!((other.status, other.reason().as_str()) == (403, "join_token_used"), "{other:?}");
    ensure!(story.lets_in("hva.h9", &"b1".repeat(32)));
    let shown = story.surface.done(ADMIN, "GET", &format!("/join_tokens/{id}"), &Value::Null).await?;
    ensure!(shown["state"] == "used" && shown["used_machine"] == "1" && shown["invitation"].is_null(), "{shown}");
    let revoked = story.surface.ask(ADMIN, "DELETE", &format!("/join_tokens/{id}"), &Value::Null).await?;
    ensure!(revoked.reason() == "join_token_used", "{revoked:?}");
    let log = story.surface.done(ADMIN, "GET", "/audit_log?limit=50", &Value::Null).await?;
    let verbs: Vec<&str> =
        log[0]["results"].as_array().context("lines")?.iter().filter_map(|one| one["verb"].as_str()).collect();
    ensure!(verbs.contains(&"node.join") && verbs.contains(&"join_token.create"), "{verbs:?}");
    ensure!(!log.to_string().contains(invitation.secret.expose()), "no secret is in the log");

    // Storage nodes and naming services as well.
    for (agent, node) in [("sta.s9", "sn-s9"), ("nsa.n9", "nn-n9")] {
        let (_, invitation) = story.invite(agent).await?;
        let joined = story.join(&invitation, '3').await?;
        ensure!(joined.json()["node_id"] == node, "{joined:?}");
    }
    story.world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_not_good_is_refused_by_its_reason_and_nothing_half_made_stays() -> anyhow::Result<()> {
    if testkit::lacks_rabbitmq() {
        return Ok(());
    }
    let story = Story::begin().await?;
    let (_, mut forged) = story.invite("hva.h9").await?;
    forged.secret = arame_schema::model::Secret::new("x".repeat(43));
    let refused = story.join(&forged, '1').await?;
    ensure!((refused.status, refused.reason().as_str()) == (401, "join_token_unknown"), "{refused:?}");

    let (id, revoked) = story.invite("hva.h9").await?;
    story.surface.done(ADMIN, "DELETE", &format!("/join_tokens/{id}"), &Value::Null).await?;
    let refused = story.join(&revoked, '1').await?;
    ensure!(refused.reason() == "join_token_revoked", "{refused:?}");

    let short =
        story.surface.done(ADMIN, "POST", "/join_tokens", &json!({ "agent": "hva.h9", "expires_in": 1 })).await?;
    let path = format!("/join_tokens/{}", short["id"].as_str().context("an id")?);
    let is_over = async || Ok(story.surface.done(ADMIN, "GET", &path, &Value::Null).await?["state"] == "expired");
    story.world.until("the token expires", is_over).await?;
    let refused = story.join(&short["invitation"].as_str().context("an invitation")?.parse()?, '1').await?;
    ensure!(refused.reason() == "join_token_expired", "{refused:?}");

    let known = story.surface.ask(ADMIN, "POST", "/join_tokens", &json!({ "agent": "hva.h1" })).await?;
    ensure!((known.status, known.reason().as_str()) == (409, "agent_has_joined"), "{known:?}");
    let unknown = story.surface.ask(ADMIN, "POST", "/join_tokens", &json!({ "agent": "dcmgr.x" })).await?;
    ensure!(unknown.reason() == "invalid_parameter", "{unknown:?}");

    // The broker is away: nothing is written, and the same token is good as soon as it is back.
    let (id, invitation) = story.invite("hva.h9").await?;
    story.broker.kill()?;
    let refused = story.join(&invitation, '1').await?;
    ensure!(refused.reason() == "unavailable", "{refused:?}");
    let shown = story.surface.done(ADMIN, "GET", &format!("/join_tokens/{id}"), &Value::Null).await?;
    ensure!(shown["state"] == "open", "{shown}");
    let host = story.surface.ask(ADMIN, "GET", "/host_nodes/hn-h9", &Value::Null).await?;
    ensure!(host.status == 404, "{host:?}");
    story.broker.restart()?;
    let joined = async || Ok(story.join(&invitation, '1').await?.status == 200);
    story.world.until("the machine joins once the broker is back", joined).await?;
    ensure!(story.lets_in("hva.h9", &"b1".repeat(32)));
    story.world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_leaves_when_it_is_empty_and_its_user_with_it() -> anyhow::Result<()> {
    if testkit::lacks_rabbitmq() {
        return Ok(());
    }
    let story = Story::begin().await?;
    for agent in ["hva.h9", "sta.s9", "nsa.n9"] {
        let (_, invitation) = story.invite(agent).await?;
        let joined = story.join(&invitation, '1').await?;
        ensure!(joined.status == 200, "{joined:?}");
        // Not by another's key; and a question changes nothing.
        ensure!(story.leave(agent, '2', false).await?.reason() == "unauthenticated");
        ensure!(story.leave(agent, '1', true).await?.status == 200);
        ensure!(story.users()?.contains(agent));
        let left = story.leave(agent, '1', false).await?;
        ensure!(left.status == 200 && left.json()["agent"] == agent, "{left:?}");
        ensure!(!story.users()?.contains(agent), "{}", story.users()?);
        ensure!(story.leave(agent, '1', false).await?.reason() == "unknown_resource", "typed again");
        // The name is free again.
        story.invite(agent).await?;
    }
    let host = story.surface.ask(ADMIN, "GET", "/host_nodes/hn-h9", &Value::Null).await?;
    ensure!(host.status == 404, "{host:?}");

    // Not while something is on it: what, and which command takes it away.
    let (_, invitation) = story.invite("hva.h9").await?;
    story.join(&invitation, '1').await?;
    let instance = story.world.launch("web1").await?;
    let moved = format!("UPDATE instances SET host_node_id = 'hn-h9' WHERE id = '{}'", instance.id);
    story.world.db().run(&moved, ()).await?;
    let refused = story.leave("hva.h9", '1', true).await?;
    let words = refused.json();
    ensure!(refused.reason() == "node_not_empty", "{refused:?}");
    ensure!(words["cause"].as_str().is_some_and(|text| text.contains(&instance.id)), "{words}");
    ensure!(words["next_step"].as_str().is_some_and(|text| text.contains("arame host drain hn-h9")), "{words}");
    let back = format!(
        "UPDATE instances SET host_node_id = '{}' WHERE id = '{}'",
        instance.host_node.context("a host")?,
        instance.id
    );
    story.world.db().run(&back, ()).await?;

    // An operator takes a machine out that is gone: its user goes as well, and one left over by a broker that was away is swept.
    story.surface.done(ADMIN, "DELETE", "/host_nodes/hn-h9", &Value::Null).await?;
    ensure!(!story.users()?.contains("hva.h9"), "{}", story.users()?);
    let (_, invitation) = story.invite("sta.s9").await?;
    story.join(&invitation, '1').await?;
    story.broker.kill()?;
    ensure!(story.leave("sta.s9", '1', false).await?.status == 200, "it may leave without the broker");
    story.broker.restart()?;
    let swept = async || {
        joins::sweep(&story.world.app).await?;
        Ok(!story.users()?.contains("sta.s9"))
    };
    story.world.until("the user that was left over is gone", swept).await?;
    ensure!(story.users()?.contains(DCMGR), "nobody else's is taken away");
    Ok(())
}
