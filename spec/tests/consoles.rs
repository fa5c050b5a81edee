//! Consoles, from the ticket to the guest and back: who may, once, how long, and what is left when something dies.

use anyhow::{Context, bail, ensure};
use arame_schema::model::instance::InstanceState;
use arame_spec::surface::{ADMIN, Answer, DEMO, OTHER, Surface};
use arame_spec::world::{Size, World};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Longest anything here may take.
const LIMIT: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<TcpStream>;

/// A console as a client has it.
struct Client {
    socket: Socket,
    /// What the first frame was answered.
    first: Value,
}

async fn dial(surface: &Surface, id: &str, origin: Option<&str>) -> Result<Socket, Error> {
    let stream = TcpStream::connect(surface.address).await?;
    let url = format!("ws://{}/api/12.03/instances/{id}/console", surface.address);
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("accept-language", "en".parse()?);
    if let Some(origin) = origin {
        request.headers_mut().insert("origin", origin.parse()?);
    }
    Ok(tokio_tungstenite::client_async(request, stream).await?.0)
}

async fn enter(surface: &Surface, id: &str, ticket: &str) -> anyhow::Result<Client> {
    let mut socket = dial(surface, id, None).await?;
    socket.send(Message::Text(ticket.into())).await?;
    match tokio::time::timeout(LIMIT, socket.next()).await?.context("closed")?? {
        Message::Text(text) => Ok(Client { socket, first: serde_json::from_str(&text)? }),
        other => bail!("{other:?}"),
    }
}

impl Client {
    fn is_open(&self) -> bool {
        self.first["opened"].is_string()
    }

    fn reason(&self) -> &str {
        self.first["reason"].as_str().unwrap_or_default()
    }

    /// Types, and reads until something is seen.
    async fn say(&mut self, typed: &str, until: &str) -> anyhow::Result<String> {
        self.socket.send(Message::Binary(typed.as_bytes().to_vec().into())).await?;
        let mut seen = String::new();
        let reading = async {
            while !seen.contains(until) {
                match self.socket.next().await.context("closed")?? {
                    Message::Binary(bytes) => seen.push_str(&String::from_utf8_lossy(&bytes)),
                    Message::Close(close) => bail!("closed: {close:?}"),
                    _ => {}
                }
            }
            anyhow::Ok(())
        };
        let read = tokio::time::timeout(LIMIT, reading).await;
        read.with_context(|| format!("`{until}` was not seen"))??;
        Ok(seen)
    }

    /// The reason with which it is closed, and after how long.
    async fn closed(&mut self) -> anyhow::Result<(String, Duration)> {
        let began = Instant::now();
        let waiting = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(close))) => return close.map_or_else(String::new, |c| c.reason.to_string()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return "lost".to_owned(),
                }
            }
        };
        let reason = tokio::time::timeout(LIMIT, waiting).await.context("it stays open")?;
        Ok((reason, began.elapsed()))
    }
}

async fn asked(surface: &Surface, secret: &str, id: &str, kind: &str) -> anyhow::Result<Answer> {
    surface.ask(secret, "POST", &format!("/instances/{id}/console"), &json!({ "kind": kind })).await
}

async fn ticket(surface: &Surface, secret: &str, id: &str, kind: &str) -> anyhow::Result<String> {
    let answer = asked(surface, secret, id, kind).await?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(answer.json()["ticket"].as_str().context("a ticket")?.to_owned())
}

async fn open(surface: &Surface, secret: &str, id: &str, kind: &str) -> anyhow::Result<Client> {
    let client = enter(surface, id, &ticket(surface, secret, id, kind).await?).await?;
    ensure!(client.is_open(), "{}", client.first);
    Ok(client)
}

/// A world with one running instance of the demo account.
async fn started() -> anyhow::Result<(World, Surface, String)> {
    let world = World::start(Size { hosts: 2, ..Size::default() }).await?;
    let one = world.launch("web1").await?;
    world.instance_in(&one.id, InstanceState::Running).await?;
    let surface = Surface::of(&world.app).await?;
    Ok((world, surface, one.id))
}

/// Consoles that were opened and whose end nobody has told.
async fn unclosed(world: &World) -> anyhow::Result<u64> {
    let statement =
        "SELECT COUNT(*) AS open_ones FROM console_tickets WHERE opened_at IS NOT NULL AND closed_at IS NULL";
    let rows = world.db().rows(statement, ()).await?;
    Ok(arame_dcmgr::db::Columns::col(rows.first().context("a row")?, "open_ones")?)
}

/// Verbs of the log about an instance's consoles, oldest first.
async fn log(world: &World, id: &str) -> anyhow::Result<Vec<String>> {
    let statement = "SELECT verb FROM audit_log WHERE resource = ? AND verb LIKE 'console.%' ORDER BY seq";
    let rows = world.db().rows(statement, (id,)).await?;
    rows.iter().map(|row| Ok(arame_dcmgr::db::Columns::text(row, "verb")?)).collect()
}

/// Nobody has it open, at any place.
async fn nothing_is_open(world: &World) -> anyhow::Result<()> {
    world.until("every console is closed in the rows", async || Ok(unclosed(world).await? == 0)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_one_console_of_ones_own_machine_once() -> anyhow::Result<()> {
    let (world, surface, id) = started().await?;
    let first = ticket(&surface, DEMO, &id, "serial").await?;
    let mut client = enter(&surface, &id, &first).await?;
    ensure!(client.first == json!({ "opened": "serial" }), "{}", client.first);
    client.say("", "web1:~# ").await?;
    client.say("echo hello there\n", "\nhello there").await?;

    let again = enter(&surface, &id, &first).await?;
    ensure!(!again.is_open() && again.reason() == "ticket_used", "{}", again.first);
    let second = enter(&surface, &id, &ticket(&surface, DEMO, &id, "serial").await?).await?;
    ensure!(second.reason() == "console_in_use", "{}", second.first);
    ensure!(second.first["next_step"].as_str().is_some_and(|step| step.contains("--log")), "{}", second.first);
    // A screen is shown to many.
    let screens = [open(&surface, DEMO, &id, "vnc").await?, open(&surface, DEMO, &id, "vnc").await?];
    for mut screen in screens {
        screen.say("", "RFB 003.008\n").await?;
    }

    // What is another's is not there, with any ticket; and none of it is in a log or a row.
    let foreign = asked(&surface, OTHER, &id, "serial").await?;
    ensure!((foreign.status, foreign.reason().as_str()) == (404, "unknown_resource"), "{foreign:?}");
    let theirs = world.launch("web2").await?;
    world.instance_in(&theirs.id, InstanceState::Running).await?;
    let elsewhere = enter(&surface, &theirs.id, &ticket(&surface, DEMO, &id, "serial").await?).await?;
    ensure!(elsewhere.reason() == "ticket_used", "a ticket of another machine: {}", elsewhere.first);
    let auditor = surface.done(DEMO, "POST", "/tokens", &json!({ "role": "auditor" })).await?;
    let auditor = asked(&surface, auditor["secret"].as_str().unwrap_or_default(), &id, "serial").await?;
    ensure!((auditor.status, auditor.reason().as_str()) == (403, "not_permitted"), "{auditor:?}");
    let stored = world.db().rows("SELECT GROUP_CONCAT(ticket_sha256) AS all_of_it FROM console_tickets", ()).await?;
    let stored = arame_dcmgr::db::Columns::text(stored.first().context("a row")?, "all_of_it")?;
    ensure!(!stored.contains(&first), "a ticket is kept as it is");

    // The viewer leaves: the next one is let in.
    client.socket.close(None).await?;
    drop(client);
    world.until("the console is free", async || Ok(open(&surface, DEMO, &id, "serial").await.is_ok())).await?;
    nothing_is_open(&world).await?;
    let log = log(&world, &id).await?;
    let count = |verb: &str| log.iter().filter(|one| *one == verb).count();
    ensure!(count("console.open") == count("console.close") && count("console.open") >= 5, "{log:?}");
    ensure!(count("console.ticket") > count("console.open"), "{log:?}");
    surface.end().await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_opened_is_refused_in_words() -> anyhow::Result<()> {
    let (world, surface, id) = started().await?;
    let late = ticket(&surface, DEMO, &id, "serial").await?;
    // The database's clock is what counts: thirty seconds pass in its rows.
    let past = "UPDATE console_tickets SET created_at = created_at - INTERVAL 31 SECOND, \
                expires_at = expires_at - INTERVAL 31 SECOND";
    world.db().rows(past, ()).await?;
    let refused = enter(&surface, &id, &late).await?;
    ensure!(refused.reason() == "ticket_too_old", "{}", refused.first);
    let good = ticket(&surface, DEMO, &id, "serial").await?;
    world.db().rows("UPDATE console_tickets SET expires_at = expires_at - INTERVAL 25 SECOND", ()).await?;
    ensure!(enter(&surface, &id, &good).await?.is_open(), "the control: in time");
    let nonsense = enter(&surface, &id, "not-a-ticket").await?;
    ensure!(nonsense.reason() == "ticket_used", "{}", nonsense.first);

    // A page of another place is refused before anything is upgraded, and its ticket is not used up.
    let page = ticket(&surface, DEMO, &id, "vnc").await?;
    let evil = dial(&surface, &id, Some("https://evil.example")).await;
    let Err(Error::Http(answer)) = evil else { bail!("a page of another place was let in") };
    ensure!(answer.status() == 403, "{answer:?}");
    let own = format!("http://{}", surface.address);
    let mut own = dial(&surface, &id, Some(&own)).await?;
    own.send(Message::Text(page.as_str().into())).await?;
    ensure!(matches!(own.next().await, Some(Ok(Message::Text(text))) if text.contains("vnc")), "the control");
    let plain = surface.ask(DEMO, "GET", &format!("/instances/{id}/console"), &Value::Null).await?;
    ensure!((plain.status, plain.reason().as_str()) == (400, "invalid_parameter"), "{plain:?}");
    let bad = asked(&surface, DEMO, &id, "telnet").await?;
    ensure!((bad.status, bad.reason().as_str()) == (400, "invalid_parameter"), "{bad:?}");

    // The screen, and a machine that is off.
    let screen = |path: String| surface.request(DEMO, "GET", &path);
    let shown = surface.send(screen(format!("/instances/{id}/screenshot.png"))?).await?;
    ensure!(shown.status == 200 && shown.header("content-type") == Some("image/png"), "{}", shown.status);
    drop(own);
    nothing_is_open(&world).await?;
    let mut viewer = open(&surface, DEMO, &id, "serial").await?;
    let waiting = ticket(&surface, DEMO, &id, "serial").await?;
    surface.done(DEMO, "PUT", &format!("/instances/{id}/poweroff"), &json!({})).await?;
    ensure!(viewer.closed().await?.0 == "ended", "the console outlives its machine");
    world.instance_in(&id, InstanceState::Halted).await?;
    let off = asked(&surface, DEMO, &id, "serial").await?;
    ensure!(off.reason() == "invalid_instance_state", "{off:?}");
    let off = enter(&surface, &id, &waiting).await?;
    ensure!(off.reason() == "invalid_instance_state", "{}", off.first);
    let dark = surface.send(screen(format!("/instances/{id}/screenshot.png"))?).await?;
    ensure!(dark.reason() == "invalid_instance_state", "{dark:?}");
    surface.done(DEMO, "PUT", &format!("/instances/{id}/poweron"), &json!({})).await?;
    world.instance_in(&id, InstanceState::Running).await?;
    open(&surface, DEMO, &id, "serial").await?.say("\n", "web1:~# ").await?;
    nothing_is_open(&world).await?;
    surface.end().await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_ends_with_its_credential_and_no_other_does() -> anyhow::Result<()> {
    let (world, surface, id) = started().await?;
    let minted = surface.done(DEMO, "POST", "/tokens", &json!({ "role": "member" })).await?;
    let secret = minted["secret"].as_str().context("a secret")?;
    let mut theirs = open(&surface, secret, &id, "serial").await?;
    let mut mine = open(&surface, DEMO, &id, "vnc").await?;
    theirs.say("\n", "# ").await?;
    let token = minted["id"].as_str().context("an id")?;
    surface.done(ADMIN, "DELETE", &format!("/tokens/{token}"), &Value::Null).await?;
    let (reason, took) = theirs.closed().await?;
    ensure!(reason == "revoked" && took <= Duration::from_secs(5), "{reason} after {took:?}");
    mine.say("", "RFB").await.context("another's console ended too")?;
    drop(mine);
    nothing_is_open(&world).await?;
    surface.end().await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_dies_in_an_open_console_nothing_of_it_is_left() -> anyhow::Result<()> {
    let (mut world, surface, id) = started().await?;
    let host = world.instance(&id).await?.host_node.context("a host")?;
    let agent = format!("hva.{}", host.trim_start_matches("hn-"));

    // The agent: the client is told, the row is closed, the next process opens it again.
    let mut client = open(&surface, DEMO, &id, "serial").await?;
    client.say("\n", "# ").await?;
    world.kill_agent(&agent).await;
    ensure!(client.closed().await?.0 == "ended");
    nothing_is_open(&world).await?;
    world.start_agent(&agent, 0).await?;
    world.until("a console opens again", async || Ok(open(&surface, DEMO, &id, "serial").await.is_ok())).await?;
    nothing_is_open(&world).await?;

    // dcmgr: the agent's end is free at once, and the one that comes after it tells the end.
    let serving = world.serving().borrow().clone().context("a dcmgr")?;
    let doomed = serving.runtime.spawn({
        let app = serving.app.clone();
        async move { Surface::of(&app).await }
    });
    let doomed = doomed.await??;
    let mut client = open(&doomed, DEMO, &id, "serial").await?;
    client.say("\n", "# ").await?;
    world.kill_dcmgr().await;
    ensure!(client.closed().await?.0 == "lost");
    ensure!(unclosed(&world).await? == 1, "the dead tell nothing");
    surface.end().await?;
    world.restart_dcmgr().await?;
    let surface = Surface::of(&world.app).await?;
    world.until("the console is free", async || Ok(open(&surface, DEMO, &id, "serial").await.is_ok())).await?;
    let late = "UPDATE console_tickets SET seen_at = seen_at - INTERVAL 31 SECOND WHERE closed_at IS NULL";
    world
        .until("the end is told by another", async || {
            world.db().rows(late, ()).await?;
            arame_dcmgr::app::consoles::sweep(&world.app).await?;
            Ok(unclosed(&world).await? == 0)
        })
        .await?;
    let log = log(&world, &id).await?;
    let count = |verb: &str| log.iter().filter(|one| *one == verb).count();
    ensure!(count("console.open") == count("console.close"), "{log:?}");
    ensure!(world.app.streams().waiting() == 0, "a stream is waited for");
    surface.end().await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_of_one_dcmgr_opens_at_the_other_and_many_consoles_are_bounded() -> anyhow::Result<()> {
    let (world, surface, id) = started().await?;
    let (second, rung) = world.second_whole().await?;
    let beside = Surface::of(&second).await?;
    let mut client = enter(&beside, &id, &ticket(&surface, DEMO, &id, "serial").await?).await?;
    ensure!(client.is_open(), "{}", client.first);
    client.say("hostname\n", "\nweb1").await?;

    // One agent has so many streams, and the next is refused until one ends.
    let mut screens = Vec::new();
    while screens.len() < arame_schema::limits::AGENT_STREAMS_MAX - 1 {
        screens.push(open(&surface, DEMO, &id, "vnc").await?);
    }
    let over = enter(&surface, &id, &ticket(&surface, DEMO, &id, "vnc").await?).await?;
    ensure!(over.reason() == "unavailable", "{}", over.first);
    drop(screens.pop());
    world.until("there is room again", async || Ok(open(&surface, DEMO, &id, "vnc").await.is_ok())).await?;
    drop((screens, client));
    nothing_is_open(&world).await?;
    beside.end().await?;
    surface.end().await?;
    rung.cancel();
    world.ends_clean().await
}
