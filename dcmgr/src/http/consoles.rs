//! `/instances/{id}/console`, `/instances/{id}/screenshot.png`: a live console by WebSocket, and a picture of the screen.
//!
//! ```text
//! client: POST …/console {kind} ─► ticket          GET …/console, Upgrade: websocket  ─► 101
//!         text frame: the ticket ─►                ◄─ text frame: {"opened":"serial"}, or the refusal and a close
//!         binary frames ◄────────────────────────► binary frames, until either end closes
//! ```
//!
//! Rule: no ticket in a URL, no page of another place (Origin), nothing held of what a slow client does not read. A
//! console ends within seconds of its credential. What may be opened is the application's question.

use super::answer::{Answer, Refused, told};
use super::app;
use super::asked::Asked;
use super::front::Frame;
use super::{API, Http, roles};
use app::consoles::Console;
use app::sessions::Stranger;
use arame_schema::api::{Code, ConsoleOpened, ConsoleTicket, OpenConsole, Refusal};
use arame_schema::model::{ConsoleKind, InstanceId};
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, Path, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

const ID: &str = "i-…";

/// What noVNC asks for; a client may ask for nothing.
const PROTOCOL: &str = "binary";

/// The route whose right an open console needs, again and again.
const ROUTE: &str = "/instances/{id}/console";

/// Longest a client may take to send its ticket.
const TICKET_LIMIT: Duration = Duration::from_secs(10);

/// Longest frame of a client: what is pasted at once.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// Bytes read of a console at a time, and all that is held of it.
const BUFFER: usize = 16 * 1024;

/// Between two looks at whether the credential still lets in.
const SHOWN_AGAIN: Duration = Duration::from_secs(2);

/// Between two pings, and how long a client that answers none is believed to be there.
const PING: Duration = Duration::from_secs(15);
const SILENCE_MAX: Duration = Duration::from_secs(50);

/// A client that takes nothing for this long has gone.
const SEND_LIMIT: Duration = Duration::from_secs(60);

/// To say why it ends.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

/// The WebSocket, which no document of OpenAPI can describe: the operation of the ticket tells of it.
pub fn routes() -> Router<Http> {
    Router::new().route(&format!("{API}{ROUTE}"), get(socket))
}

/// A ticket for a console of a running instance: within 30 seconds the first text frame of one WebSocket at the same path
/// (GET with Upgrade). It answers `{"opened": kind}` or the refusal as text; then binary frames are the console's bytes.
#[utoipa::path(post, path = "/instances/{id}/console", tag = "instances", request_body = OpenConsole,
    responses((status = 200, body = ConsoleTicket)))]
pub async fn ticket(mut asked: Asked) -> Answer<ConsoleTicket> {
    let id: InstanceId = asked.id(ID)?;
    let kind: Option<ConsoleKind> = asked.fields.parsed("kind", "serial | vnc")?;
    let kind = asked.fields.needed("kind", kind)?;
    asked.fields.clone().finish()?;
    let ticket = app::consoles::ticket(asked.app(), &asked.caller, id.as_str(), kind).await?;
    asked.answer(ticket)
}

/// What the screen shows now.
#[utoipa::path(get, path = "/instances/{id}/screenshot.png", tag = "instances",
    responses((status = 200, body = String, content_type = "image/png")))]
pub async fn screenshot(asked: Asked) -> Result<Response, Refused> {
    let id: InstanceId = asked.id(ID)?;
    let picture = app::consoles::screenshot(asked.app(), &asked.caller, id.as_str()).await?;
    Ok(([(CONTENT_TYPE, "image/png")], picture).into_response())
}

/// A client at the door.
struct Visitor {
    http: Http,
    instance: String,
    stranger: Stranger,
    frame: Frame,
    _place: OwnedSemaphorePermit,
}

async fn socket(
    State(http): State<Http>,
    Path(id): Path<String>,
    Extension(frame): Extension<Frame>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refused> {
    check_origin(&headers, app::consoles::origins(&http.app))?;
    let expected = |name: &str, value: &str, expected: &str| {
        let refusal = Refusal::new(Code::InvalidParameter).with("name", name).with("value", value);
        refusal.with("expected", expected)
    };
    let instance: InstanceId = id.parse().map_err(|_| expected("id", &super::fields::short(&id), ID))?;
    let upgrade = upgrade.map_err(|_| expected("Upgrade", "-", "websocket"))?;
    let place = http.consoles.clone().try_acquire_owned();
    let place = place.map_err(|_| Refusal::new(Code::Unavailable).with("what", "consoles"))?;
    let address = peer.map_or_else(|| "local".into(), |Extension(ConnectInfo(peer))| peer.ip().to_string());
    let stranger = Stranger { request: frame.request, address };
    let visitor = Visitor { http, instance: instance.to_string(), stranger, frame, _place: place };
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(FRAME_BYTES_MAX).max_frame_size(FRAME_BYTES_MAX);
    Ok(upgrade.on_upgrade(move |socket| attend(visitor, socket)))
}

/// A browser says from which page it comes; other clients say nothing, and have no cookies to be misused.
fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), Refusal> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or("?");
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let place = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let is_same =
        host.is_some() && place.is_some_and(|place| host.is_some_and(|host| host.eq_ignore_ascii_case(place)));
    if is_same || allowed.iter().any(|one| one == origin) {
        return Ok(());
    }
    Err(Refusal::new(Code::OriginRefused).with("origin", super::fields::short(origin)))
}

/// Why an open console ends, as the close frame says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The machine, its host or the way to it.
    Machine,
    Client,
    /// The credential.
    Revoked,
    /// This dcmgr.
    Stopping,
}

impl End {
    /// RFC 6455, section 7.4: a code, and a word for clients.
    fn close(self) -> CloseFrame {
        let (code, reason) = match self {
            End::Machine => (1000, "ended"),
            End::Client => (1000, "closed"),
            End::Revoked => (1008, "revoked"),
            End::Stopping => (1001, "stopping"),
        };
        CloseFrame { code, reason: reason.into() }
    }
}

async fn attend(visitor: Visitor, mut socket: WebSocket) {
    let opened = match tokio::time::timeout(TICKET_LIMIT, first_frame(&mut socket)).await {
        Ok(Some(ticket)) => app::consoles::open(&visitor.http.app, &visitor.stranger, &visitor.instance, &ticket).await,
        Ok(None) | Err(_) => Err(Refusal::new(Code::TicketUsed).with("id", &visitor.instance)),
    };
    match opened {
        Ok((console, wire)) => {
            let end = serve(&visitor, &console, wire, socket).await;
            tracing::info!(instance = visitor.instance, kind = %console.kind, ?end, "a console is closed");
            app::consoles::close(&visitor.http.app, &console).await;
        }
        Err(refusal) => refuse(socket, refusal, visitor.frame).await,
    }
}

async fn first_frame(socket: &mut WebSocket) -> Option<String> {
    loop {
        match socket.recv().await?.ok()? {
            Message::Text(text) => return Some(text.as_str().trim().to_owned()),
            Message::Binary(bytes) => return String::from_utf8(bytes.to_vec()).ok(),
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(_) => return None,
        }
    }
}

/// In words, and closed. That nobody hears it is no failure.
async fn refuse(mut socket: WebSocket, refusal: Refusal, frame: Frame) {
    let body = told(refusal, frame);
    let close = CloseFrame { code: 1008, reason: body.reason.clone().into() };
    let text = serde_json::to_string(&body).unwrap_or_default();
    let _ = tokio::time::timeout(FAREWELL_LIMIT, async {
        socket.send(Message::Text(text.into())).await?;
        socket.send(Message::Close(Some(close))).await
    })
    .await;
}

/// Carries bytes until one of the ends, or the credential.
async fn serve(visitor: &Visitor, console: &Console, wire: impl AsyncRead + AsyncWrite, mut socket: WebSocket) -> End {
    let opened = serde_json::to_string(&ConsoleOpened { opened: console.kind }).unwrap_or_default();
    if socket.send(Message::Text(opened.into())).await.is_err() {
        return End::Client;
    }
    let ((read, write), (mut sink, stream)) = (tokio::io::split(wire), socket.split());
    let (heard, last) = watch::channel(Instant::now());
    let end = tokio::select! {
        end = to_client(read, &mut sink, last) => end,
        end = to_machine(stream, write, heard) => end,
        end = shown(visitor, console) => end,
        () = visitor.http.stop.cancelled() => End::Stopping,
    };
    let _ = tokio::time::timeout(FAREWELL_LIMIT, sink.send(Message::Close(Some(end.close())))).await;
    end
}

async fn to_client(
    mut read: impl AsyncRead + Unpin,
    sink: &mut SplitSink<WebSocket, Message>,
    last: watch::Receiver<Instant>,
) -> End {
    let mut buffer = vec![0; BUFFER];
    let mut pings = tokio::time::interval_at(Instant::now() + PING, PING);
    loop {
        let message = tokio::select! {
            count = read.read(&mut buffer) => match count {
                Ok(0) | Err(_) => return End::Machine,
                Ok(count) => Message::Binary(buffer[..count].to_vec().into()),
            },
            _ = pings.tick() => Message::Ping(Vec::new().into()),
        };
        if last.borrow().elapsed() > SILENCE_MAX {
            return End::Client;
        }
        match tokio::time::timeout(SEND_LIMIT, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return End::Client,
        }
    }
}

async fn to_machine(
    mut stream: SplitStream<WebSocket>,
    mut write: impl AsyncWrite + Unpin,
    heard: watch::Sender<Instant>,
) -> End {
    while let Some(Ok(message)) = stream.next().await {
        heard.send_replace(Instant::now());
        let written = match message {
            Message::Binary(bytes) => write.write_all(&bytes).await,
            Message::Text(text) => write.write_all(text.as_bytes()).await,
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return End::Client,
        };
        if written.is_err() || write.flush().await.is_err() {
            return End::Machine;
        }
    }
    End::Client
}

/// Shows the console to its credential again and again; resolves when it lets in no more.
async fn shown(visitor: &Visitor, console: &Console) -> End {
    let route = format!("{API}{ROUTE}");
    loop {
        tokio::time::sleep(SHOWN_AGAIN).await;
        match app::consoles::show(&visitor.http.app, console).await {
            Ok(caller) if roles::permits(caller.role, &Method::POST, &route) => {}
            // A database that is away for a moment takes no right away, and gives none: what is open goes on.
            Err(refusal) if refusal.code == Code::Unavailable => {}
            Ok(_) | Err(_) => return End::Revoked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn pages_of_the_apis_own_place_and_of_the_list_may_open_consoles_and_no_others() {
        let headers = |origin: &str| {
            let host = (HOST, HeaderValue::from_static("console.example:9001"));
            HeaderMap::from_iter([host, (ORIGIN, HeaderValue::from_str(origin).unwrap())])
        };
        let allowed = ["https://ui.example".to_owned()];
        for fine in ["http://console.example:9001", "https://Console.example:9001", "https://ui.example"] {
            assert!(check_origin(&headers(fine), &allowed).is_ok(), "{fine}");
        }
        for bad in ["http://evil.example", "http://console.example", "https://ui.example:1", "null", "file://", ""] {
            let refusal = check_origin(&headers(bad), &allowed).unwrap_err();
            assert_eq!(refusal.code, Code::OriginRefused, "{bad}");
        }
        assert!(check_origin(&HeaderMap::new(), &[]).is_ok(), "a client that is no browser");
    }
}
