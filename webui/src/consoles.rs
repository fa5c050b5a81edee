//! `/api/12.03/instances/{id}/console`: a ticket is an ordinary request; a WebSocket is joined with one to the API, frame for
//! frame. Rule: the ticket in the first frame is the only credential; nothing is held of what the slower end does not
//! read. What the frames say is not looked at.

use crate::{Webui, pass};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::header::UPGRADE;
use axum::response::Response;
use futures_util::{SinkExt, StreamExt};
use std::time::Duration;
use tokio_tungstenite::tungstenite;

/// Longest frame either way, as the API's.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// Longest the API may take to open its end, and either to hear that the other closed.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
const FAREWELL_LIMIT: Duration = Duration::from_secs(2);

/// What noVNC asks for.
const PROTOCOL: &str = "binary";

pub async fn console(State(webui): State<Webui>, Path(id): Path<String>, request: Request) -> Response {
    if !request.headers().contains_key(UPGRADE) {
        return pass::through(State(webui), request).await;
    }
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut parts, &webui).await {
        Ok(upgrade) => {
            let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(FRAME_BYTES_MAX);
            upgrade.on_upgrade(move |browser| join(webui, id, browser))
        }
        Err(rejection) => axum::response::IntoResponse::into_response(rejection),
    }
}

async fn join(webui: Webui, id: String, mut browser: WebSocket) {
    // The id is a path segment: what is not one goes to no other path.
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let place = webui.api.replacen("http", "ws", 1);
    let url = format!("{place}/api/12.03/instances/{id}/console");
    let opened = tokio::time::timeout(OPEN_LIMIT, tokio_tungstenite::connect_async(url)).await;
    let api = match opened {
        Ok(Ok((api, _))) if plain => api,
        Ok(Ok(_)) | Ok(Err(_)) | Err(_) => {
            let close = CloseFrame { code: 1011, reason: "unreachable".into() };
            let _ = tokio::time::timeout(FAREWELL_LIMIT, browser.send(Message::Close(Some(close)))).await;
            return;
        }
    };
    let ((mut to_api, mut of_api), (mut to_browser, mut of_browser)) = (api.split(), browser.split());
    let up = async {
        while let Some(Ok(frame)) = of_browser.next().await {
            if to_api.send(upwards(frame)).await.is_err() {
                break;
            }
        }
    };
    let down = async {
        while let Some(Ok(frame)) = of_api.next().await {
            let Some(frame) = downwards(frame) else { continue };
            let last = matches!(frame, Message::Close(_));
            if to_browser.send(frame).await.is_err() || last {
                break;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
        () = webui.stop.cancelled() => {}
    }
    let _ = tokio::time::timeout(FAREWELL_LIMIT, to_api.close()).await;
    let _ = tokio::time::timeout(FAREWELL_LIMIT, to_browser.close()).await;
}

fn upwards(frame: Message) -> tungstenite::Message {
    match frame {
        Message::Text(text) => tungstenite::Message::text(text.as_str()),
        Message::Binary(bytes) => tungstenite::Message::Binary(bytes),
        Message::Ping(bytes) => tungstenite::Message::Ping(bytes),
        Message::Pong(bytes) => tungstenite::Message::Pong(bytes),
        Message::Close(_) => tungstenite::Message::Close(None),
    }
}

fn downwards(frame: tungstenite::Message) -> Option<Message> {
    match frame {
        tungstenite::Message::Text(text) => Some(Message::Text(text.as_str().into())),
        tungstenite::Message::Binary(bytes) => Some(Message::Binary(bytes)),
        tungstenite::Message::Ping(bytes) => Some(Message::Ping(bytes)),
        tungstenite::Message::Pong(bytes) => Some(Message::Pong(bytes)),
        tungstenite::Message::Close(close) => Some(Message::Close(
            close.map(|close| CloseFrame { code: close.code.into(), reason: close.reason.as_str().into() }),
        )),
        tungstenite::Message::Frame(_) => None,
    }
}
