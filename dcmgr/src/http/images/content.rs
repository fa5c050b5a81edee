//! `PUT /images/{id}/content`: an image's bytes on their way through, from the client to a storage node.
//!
//! Rule: they are never held here, only the piece that goes on now: the client is as fast as the storage node's disk. A
//! checksum that the client announced is compared before the last byte goes on, and a body that does not have it is broken
//! off, as one is that ends early. What was uploaded already is compared and not sent again.

use super::super::answer::{Answer, Refused};
use super::super::app;
use super::super::asked::Poured;
use super::checksum;
use app::images::bringing::Place;
use arame_schema::api::{Code, Image, Localise, Refusal};
use arame_schema::model::ImageId;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A client that sends nothing for as long has gone: as a storage node sees it.
const SILENCE: Duration = Duration::from_secs(30);

/// To connect to a storage node: it is near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// As long as a handler may wait for what an agent says.
const WHY_AWAITED: Duration = Duration::from_secs(2);
const WHY_LOOKED_FOR: Duration = Duration::from_millis(50);

/// What storage nodes are called where one is not there.
const STORAGE: &str = "storage";

/// Upload an image's bytes. Sent again, the same bytes change nothing; what broke off is sent again from its begin.
#[utoipa::path(put, path = "/images/{id}/content", tag = "images",
    params(("checksum" = Option<String>, Header, description = "SHA-256 of the bytes; or `Content-Digest`, `Digest`.")),
    request_body(content = String, content_type = "application/octet-stream", example = json!("the bytes of the file")),
    responses((status = 200, body = Image)))]
pub async fn upload(poured: Poured) -> Answer<Image> {
    let id: ImageId = poured.id("wmi-…")?;
    let announced = announced(&poured.headers)?;
    let length = length(&poured.headers);
    if length == Some(0) {
        return Err(Refusal::new(Code::MissingParameter).with("name", "body").into());
    }
    let (http, caller, frame) = (poured.http.clone(), poured.caller.clone(), poured.frame());
    let place = app::images::bringing::offer(&http.app, &caller, id.as_str()).await?;
    let measured = Measured::new(announced);
    let bytes = measured.clone().through(poured.body);
    let going = async {
        match place {
            Place::Compared { sha256 } => compare(bytes, &measured, &sha256).await,
            Place::Storage { url, ticket } => send(&url, &ticket, length, bytes, &measured).await,
        }
    };
    let ended = tokio::select! {
        ended = going => ended,
        () = http.stop.cancelled() => Err(Ended::Away("dcmgr".into())),
    };
    if let Err(ended) = ended {
        let ended = explained(&http.app, &caller, id.as_str(), ended).await;
        return Err(ended.refusal(id.as_str()));
    }
    let mut view = app::images::get(&http.app, &caller, id.as_str()).await?;
    view.localise(frame.language);
    Ok(Json(view))
}

/// How an upload ended that did not end well.
enum Ended {
    /// The client's doing, or its bytes'.
    Failed(String),
    /// Somebody of ours is not there.
    Away(String),
}

impl Ended {
    fn refusal(self, id: &str) -> Refused {
        Refused(match self {
            Ended::Failed(reason) => Refusal::new(Code::UploadFailed).with("id", id).with("reason", reason),
            Ended::Away(what) => Refusal::new(Code::Unavailable).with("what", what),
        })
    }
}

/// A storage node that turned a body away in its middle may not have been heard: its job's outcome says why.
async fn explained(app: &app::App, caller: &app::Caller, id: &str, ended: Ended) -> Ended {
    let end = Instant::now() + WHY_AWAITED;
    while matches!(ended, Ended::Away(_)) && Instant::now() < end {
        let found = app::images::get(app, caller, id).await.ok().and_then(|image| image.failure);
        if let Some(message) = found.and_then(|failure| failure.values.get("message").cloned()) {
            return Ended::Failed(message);
        }
        tokio::time::sleep(WHY_LOOKED_FOR).await;
    }
    ended
}

/// What went through so far, and why it was broken off.
#[derive(Clone)]
struct Measured(Arc<Mutex<State>>);

struct State {
    sum: Sha256,
    announced: Option<String>,
    broken: Option<String>,
}

impl Measured {
    fn new(announced: Option<String>) -> Self {
        Self(Arc::new(Mutex::new(State { sum: Sha256::new(), announced, broken: None })))
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn broken(&self) -> Option<String> {
        self.with(|state| state.broken.clone())
    }

    fn sum(&self) -> String {
        self.with(|state| hex::encode(state.sum.clone().finalize()))
    }

    fn break_off(&self, reason: String) -> std::io::Error {
        self.with(|state| state.broken = Some(reason.clone()));
        std::io::Error::other(reason)
    }

    /// The body, measured; at its end an error where it is not what was announced.
    fn through(self, body: Body) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
        futures_util::stream::try_unfold(body.into_data_stream(), move |mut body| {
            let measured = self.clone();
            async move {
                match tokio::time::timeout(SILENCE, body.next()).await {
                    Err(_) => Err(measured.break_off(format!("nothing came for {SILENCE:?}"))),
                    Ok(Some(Err(wrong))) => Err(measured.break_off(wrong.to_string())),
                    Ok(Some(Ok(piece))) => {
                        measured.with(|state| state.sum.update(&piece));
                        Ok(Some((piece, body)))
                    }
                    Ok(None) => match measured.with(|state| state.announced.clone()) {
                        Some(announced) if announced != measured.sum() => {
                            Err(measured.break_off(format!("its SHA-256 is {}", measured.sum())))
                        }
                        _ => Ok(None),
                    },
                }
            }
        })
    }
}

async fn compare(
    bytes: impl Stream<Item = std::io::Result<Bytes>>,
    measured: &Measured,
    sha256: &str,
) -> Result<(), Ended> {
    let mut bytes = std::pin::pin!(bytes);
    while let Some(piece) = bytes.next().await {
        piece.map_err(|wrong| Ended::Failed(wrong.to_string()))?;
    }
    match measured.sum() == sha256 {
        true => Ok(()),
        false => Err(Ended::Failed(format!("it has other bytes already, with SHA-256 {sha256}"))),
    }
}

/// In chunks: the storage node takes no body for whole whose end was not sent.
async fn send(
    url: &str,
    ticket: &str,
    length: Option<u64>,
    bytes: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    measured: &Measured,
) -> Result<(), Ended> {
    let away = |wrong: reqwest::Error| {
        tracing::warn!(error = ?wrong.without_url(), "a storage node did not take an upload");
        Ended::Away(STORAGE.into())
    };
    let client = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT).build().map_err(away)?;
    let mut request = client.put(url).bearer_auth(ticket).body(reqwest::Body::wrap_stream(bytes));
    if let Some(length) = length {
        request = request.header("arame-length", length);
    }
    let sent = request.send().await;
    if let Some(reason) = measured.broken() {
        return Err(Ended::Failed(reason));
    }
    let answer = sent.map_err(away)?;
    match answer.status().as_u16() {
        200 => Ok(()),
        422 => {
            let told: serde_json::Value = answer.json().await.map_err(away)?;
            Err(Ended::Failed(told["message"].as_str().unwrap_or("?").to_owned()))
        }
        // A newer upload took its place, or the job ended.
        404 | 409 => Err(Ended::Failed("another upload or a deletion took its place".into())),
        _ => Err(Ended::Away(STORAGE.into())),
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `checksum: <hex>`, `Content-Digest: sha-256=:<base64>:` (RFC 9530) or `Digest: SHA-256=<base64>` (RFC 3230).
fn announced(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(hexadecimal) = text("checksum") {
        return checksum(Some(hexadecimal.to_owned()));
    }
    let Some(list) = text("content-digest").or_else(|| text("digest")) else { return Ok(None) };
    for one in list.split(',').map(str::trim) {
        let Some((name, value)) = one.split_once('=') else { continue };
        if name.eq_ignore_ascii_case("sha-256") {
            let bytes = STANDARD.decode(value.trim_matches(':')).unwrap_or_default();
            return checksum(Some(hex::encode(bytes)).filter(|sum| !sum.is_empty()).or(Some(value.to_owned())));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(axum::http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn a_checksum_is_read_from_any_of_its_headers() {
        let (sum, coded) = ("ab".repeat(32), STANDARD.encode([0xab; 32]));
        let read = |name, value: &str| announced(&headers(name, value)).unwrap();
        assert_eq!(read("checksum", &sum), Some(sum.clone()));
        assert_eq!(read("content-digest", &format!("sha-512=:xx:, sha-256=:{coded}:")), Some(sum.clone()));
        assert_eq!(read("digest", &format!("SHA-256={coded}")), Some(sum));
        assert_eq!(read("digest", "md5=xyz"), None);
        assert!(announced(&headers("checksum", "abc")).is_err());
        assert!(announced(&headers("content-digest", "sha-256=:abc:")).is_err());
    }

    #[tokio::test]
    async fn a_body_without_the_announced_checksum_is_broken_off_before_its_end() {
        let good = hex::encode(Sha256::digest(b"hello"));
        for (announced, whole) in [(Some(good), true), (None, true), (Some("00".repeat(32)), false)] {
            let measured = Measured::new(announced);
            let pieces: Vec<_> = measured.clone().through(Body::from("hello")).collect().await;
            assert_eq!(pieces.iter().all(Result::is_ok), whole);
            assert_eq!(measured.broken().is_none(), whole);
        }
    }
}
