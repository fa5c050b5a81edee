//! `arame console NAME`: a guest's serial console at this terminal.
//!
//! Rule: the terminal is as it was before on every way out of here; Ctrl-] is the one key that does not reach the guest. The
//! ticket goes into the first frame, never into a URL.

mod terminal;

use crate::failure::{CliError, REFUSED, UNREACHABLE};
use crate::names;
use crate::session::Session;
use crate::words::{Message, say};
use arame_schema::api::{ConsoleOpened, ConsoleTicket, ErrorBody, Instance, OpenConsole};
use arame_schema::model::ConsoleKind;
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use std::io::IsTerminal;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

/// What the guest wrote before: some lines, so that a prompt that waits is seen.
const SHOWN_FIRST: u64 = 1024;

/// To be let in: the host is asked on the way.
const OPEN_LIMIT: Duration = Duration::from_secs(15);

/// Ctrl-], as telnet and virsh have it.
const LEAVE: u8 = 0x1d;

/// After the end of input that is no terminal: so long silence is the end of the answer.
const SILENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Args)]
pub struct Console {
    /// Name or id / 名前または ID
    pub instance: String,
    /// Print what it wrote so far, and end / これまでの出力を表示して終わる
    #[arg(long)]
    pub log: bool,
    /// How much of the end, with --log / 末尾のバイト数（--log と共に）
    #[arg(long, requires = "log")]
    pub bytes: Option<u64>,
}

pub async fn run(session: &mut Session<'_>, console: Console) -> Result<(), CliError> {
    if console.log {
        return super::instance::console_log(session, &console.instance, console.bytes).await;
    }
    let id = names::id_of::<Instance>(&session.client, &console.instance).await?;
    let socket = open(session, &id).await?;
    session.remark(Message::ConsoleOpened, &[("id", &id)]);
    if let Ok(before) = session.client.text(&format!("/instances/{id}/console_log?bytes={SHOWN_FIRST}")).await {
        session.out.write_all(before.as_bytes())?;
        session.out.flush()?;
    }
    let end = attend(session, socket).await;
    session.remark(Message::ConsoleLeft, &[("id", &id)]);
    let failed = |status, words| Err(CliError::own(status, session.language(), words, &[("id", &id)]));
    match end? {
        End::Left => Ok(()),
        End::Ended => failed(REFUSED, [Message::ConsoleEnded, Message::ConsoleEndedCause, Message::ConsoleEndedNext]),
        End::Revoked => {
            failed(REFUSED, [Message::ConsoleRevoked, Message::ConsoleRevokedCause, Message::ConsoleRevokedNext])
        }
        End::Lost => failed(UNREACHABLE, [Message::ConsoleLost, Message::ConsoleLostCause, Message::ConsoleLostNext]),
    }
}

type Socket = WebSocketStream<TcpStream>;

/// Asks for a ticket and uses it.
async fn open(session: &Session<'_>, id: &str) -> Result<Socket, CliError> {
    let path = format!("/instances/{id}/console");
    let ticket: ConsoleTicket = session.client.post(&path, &OpenConsole { kind: ConsoleKind::Serial }).await?;
    let lost = |source: &dyn std::fmt::Display| {
        let url = &session.client.settings().url;
        let sentence = say(session.language(), Message::Unreachable, &[("url", url)]);
        CliError::because(UNREACHABLE, sentence, source, session.word(Message::UnreachableNext).into())
    };
    match tokio::time::timeout(OPEN_LIMIT, let_in(session, &ticket)).await {
        Ok(Ok(Ok(socket))) => Ok(socket),
        Ok(Ok(Err(refused))) => Err(CliError::Refused(refused)),
        Ok(Err(error)) => Err(lost(&error)),
        Err(late) => Err(lost(&late)),
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn let_in(session: &Session<'_>, ticket: &ConsoleTicket) -> Result<Result<Socket, Box<ErrorBody>>, Failure> {
    let url = &session.client.settings().url;
    let place = url.strip_prefix("http://").ok_or("the API's URL does not begin with http://")?.trim_end_matches('/');
    let host = place.split('/').next().unwrap_or(place);
    let at = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let stream = TcpStream::connect(&at).await?;
    stream.set_nodelay(true)?;
    let mut request = format!("ws://{place}{}", ticket.websocket).into_client_request()?;
    let language = HeaderValue::from_static(session.language().as_str());
    request.headers_mut().insert("accept-language", language);
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await?;
    let secret = ticket.ticket.clone().ok_or("the answer holds no ticket")?;
    socket.send(Frame::Text(secret.into())).await?;
    loop {
        match socket.next().await.ok_or("closed")?? {
            Frame::Text(text) if serde_json::from_str::<ConsoleOpened>(&text).is_ok() => return Ok(Ok(socket)),
            Frame::Text(text) => return Ok(Err(Box::new(serde_json::from_str(&text)?))),
            Frame::Close(_) => return Err("closed".into()),
            Frame::Binary(_) | Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => {}
        }
    }
}

/// How it came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The person left, or the input ended.
    Left,
    /// The machine's end.
    Ended,
    Revoked,
    Lost,
}

async fn attend(session: &mut Session<'_>, mut socket: Socket) -> Result<End, CliError> {
    let mut signals = terminal::Signals::listen()?;
    let _raw = terminal::Raw::enter();
    let is_terminal = std::io::stdin().is_terminal();
    let mut typed = terminal::input();
    let (mut input_over, mut heard) = (false, Instant::now());
    loop {
        tokio::select! {
            biased;
            () = signals.come() => break Ok(End::Left),
            frame = socket.next() => match frame {
                Some(Ok(Frame::Binary(bytes))) => {
                    heard = Instant::now();
                    session.out.write_all(&bytes)?;
                    session.out.flush()?;
                }
                Some(Ok(Frame::Close(said))) => break Ok(meaning(said.as_ref().map_or("", |close| close.reason.as_str()))),
                Some(Ok(Frame::Text(_) | Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => {}
                Some(Err(_)) | None => break Ok(End::Lost),
            },
            bytes = typed.recv(), if !input_over => match bytes {
                Some(bytes) => {
                    let (bytes, leaves) = until_leave(&bytes);
                    if !bytes.is_empty() && socket.send(Frame::Binary(bytes.to_vec().into())).await.is_err() {
                        break Ok(End::Lost);
                    }
                    if leaves {
                        break Ok(End::Left);
                    }
                }
                None if is_terminal => break Ok(End::Left),
                None => (input_over, heard) = (true, Instant::now()),
            },
            () = tokio::time::sleep_until(heard + SILENCE), if input_over => break Ok(End::Left),
        }
    }
}

/// What is for the guest, and whether the rest is not.
fn until_leave(bytes: &[u8]) -> (&[u8], bool) {
    match bytes.iter().position(|byte| *byte == LEAVE) {
        Some(at) => (&bytes[..at], true),
        None => (bytes, false),
    }
}

fn meaning(reason: &str) -> End {
    match reason {
        "ended" => End::Ended,
        "revoked" => End::Revoked,
        "closed" => End::Left,
        _ => End::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_the_leaving_key_still_goes_to_the_guest() {
        assert_eq!(until_leave(b"exit\r"), (&b"exit\r"[..], false));
        assert_eq!(until_leave(b"ls\r\x1dmore"), (&b"ls\r"[..], true));
    }

    #[test]
    fn the_ends_that_dcmgr_names_are_told_apart() {
        let ends = ["ended", "revoked", "stopping", "", "closed"].map(meaning);
        assert_eq!(ends, [End::Ended, End::Revoked, End::Lost, End::Lost, End::Left]);
    }
}
