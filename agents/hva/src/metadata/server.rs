//! The HTTP side of metadata: one listener on the switch's own link of this host.
//!
//! Rule: the address a question comes from was written by the switch for the port it came in by; an address the
//! switch does not know gets 404. EC2's session tokens (IMDSv2) are accepted: asked for by PUT, checked when sent.
//! A token belongs to a port and to this process's life. A guest is hostile: connections are bounded in number, per
//! guest too, and in age.

use crate::metadata::{Directory, tree};
use crate::records::Record;
use crate::switch::Switch;
use crate::switch::link::LISTENER;
use arame_schema::model::VifId;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rand::Rng;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};

const PORT: u16 = 80;
/// Between two attempts to listen.
const AGAIN: Duration = Duration::from_secs(1);
/// For a guest to say what it wants.
const HEADERS: Duration = Duration::from_secs(5);
/// Oldest connection; clients that keep one open ask again.
const AGE: Duration = Duration::from_secs(60);
/// Connections of one guest at a time: cloud-init uses one, a page of an agent a few.
const PER_GUEST: u32 = 16;
/// Longest head of a question.
const HEAD_BYTES: usize = 16 * 1024;
const TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";
/// EC2's bounds of a token's life.
const TTL_SECONDS: std::ops::RangeInclusive<u64> = 1..=21_600;
/// Connections waiting to be accepted, of all guests of the host.
const BACKLOG: u32 = 512;

#[derive(Clone)]
struct Service {
    guests: Arc<Directory>,
    switch: Arc<dyn Switch>,
    vendor_data: Option<Arc<str>>,
    /// Key of the tokens; a new process accepts none of the old one's, and clients ask again.
    key: Arc<[u8; 32]>,
    open: Arc<Mutex<HashMap<Ipv4Addr, u32>>>,
}

/// A guest's place among its connections; given back when dropped.
struct Place {
    open: Arc<Mutex<HashMap<Ipv4Addr, u32>>>,
    peer: Ipv4Addr,
}

impl Place {
    fn take(open: &Arc<Mutex<HashMap<Ipv4Addr, u32>>>, peer: Ipv4Addr) -> Option<Self> {
        let mut all = open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let count = all.entry(peer).or_default();
        if *count >= PER_GUEST {
            return None;
        }
        *count += 1;
        Some(Self { open: open.clone(), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.peer);
            }
        }
    }
}

/// Serves for the life of the process.
pub async fn serve(guests: Arc<Directory>, switch: Arc<dyn Switch>, vendor_data: Option<Arc<str>>) {
    let service = Service { guests, switch, vendor_data, key: Arc::new(rand::rng().random()), open: Arc::default() };
    loop {
        match listen() {
            Ok(listener) => loop {
                match listener.accept().await {
                    Ok((stream, peer)) => admit(&service, stream, peer),
                    Err(error) => {
                        // Out of file descriptors, most likely: the listener stays, a moment later it may go on.
                        tracing::warn!(%error, "a metadata connection was not accepted");
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            },
            Err(error) => tracing::warn!(%error, "the metadata listener cannot start"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The address may come and go with the switch, so it need not exist yet (`IP_FREEBIND`, ip(7)).
fn listen() -> std::io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_freebind_v4(true)?;
    socket.bind(&SocketAddr::V4(SocketAddrV4::new(LISTENER, PORT)).into())?;
    socket.listen(BACKLOG as i32)?;
    TcpListener::from_std(socket.into())
}

/// Serves one connection, if its guest has not too many.
fn admit(service: &Service, stream: TcpStream, peer: SocketAddr) {
    let IpAddr::V4(peer) = peer.ip() else { return };
    let Some(place) = Place::take(&service.open, peer) else { return };
    let service = service.clone();
    tokio::spawn(async move {
        let _place = place;
        let questions = service_fn(|request| {
            let response = answer(&service, peer, &request);
            async { Ok::<_, Infallible>(response) }
        });
        let mut server = hyper::server::conn::http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(HEAD_BYTES);
        // What a guest breaks off is its own affair.
        let _ = tokio::time::timeout(AGE, server.serve_connection(TokioIo::new(stream), questions)).await;
    });
}

fn answer<B>(service: &Service, peer: Ipv4Addr, request: &Request<B>) -> Response {
    let Some(vif) = service.switch.guest_at(peer) else {
        return not_found("no guest is known at this address");
    };
    let Some(record) = service.guests.guest(&vif) else {
        return not_found("this guest has no metadata");
    };
    let path = request.uri().path();
    match *request.method() {
        Method::PUT if path == "/latest/api/token" => token(service, &vif, request.headers()),
        Method::GET | Method::HEAD => {
            if !admitted(service, &vif, request.headers()) {
                (StatusCode::UNAUTHORIZED, "the token is not valid; ask for a new one\n").into_response()
            } else {
                read(service, &record, path)
            }
        }
        _ => (StatusCode::METHOD_NOT_ALLOWED, "metadata is read with GET\n").into_response(),
    }
}

fn not_found(line: &str) -> Response {
    (StatusCode::NOT_FOUND, format!("{line}\n")).into_response()
}

fn read(service: &Service, record: &Record, path: &str) -> Response {
    let path = path.trim_start_matches('/');
    if path.is_empty() {
        return plain(tree::VERSIONS.join("\n"));
    }
    let (version, rest) = path.split_once('/').unwrap_or((path, ""));
    if !tree::VERSIONS.contains(&version) {
        return not_found("this version is not known; ask / for those that are");
    }
    let mut leaves = tree::leaves(record, |vif| service.guests.port(vif));
    leaves.extend(service.vendor_data.as_ref().map(|text| ("vendor-data".to_owned(), text.to_string())));
    let keys: Vec<String> = record.metadata.ssh_keys.iter().map(|key| key.name.clone()).collect();
    match tree::text(&leaves, rest, &keys) {
        Some(text) => plain(text),
        None => not_found("there is nothing here"),
    }
}

fn plain(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn seal(service: &Service, vif: &VifId, until: u64) -> String {
    let mut digest = Sha256::new();
    digest.update(*service.key);
    digest.update(format!("{until}:{vif}").as_bytes());
    digest.update(*service.key);
    format!("{until:x}-{}", hex::encode(digest.finalize()))
}

fn token(service: &Service, vif: &VifId, headers: &HeaderMap) -> Response {
    // A guest's own proxy would hand the token to whoever asked it.
    if headers.contains_key("x-forwarded-for") {
        return (StatusCode::FORBIDDEN, "a token is not given through a proxy\n").into_response();
    }
    let ttl = headers.get(TTL_HEADER).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<u64>().ok());
    let Some(ttl) = ttl.filter(|ttl| TTL_SECONDS.contains(ttl)) else {
        let line = format!("{TTL_HEADER} must be 1 to {} seconds\n", TTL_SECONDS.end());
        return (StatusCode::BAD_REQUEST, line).into_response();
    };
    ([(TTL_HEADER, ttl.to_string())], seal(service, vif, now() + ttl)).into_response()
}

/// A token that is sent must be right; none at all is EC2's first version.
fn admitted(service: &Service, vif: &VifId, headers: &HeaderMap) -> bool {
    let Some(sent) = headers.get(TOKEN_HEADER) else { return true };
    let sent = sent.to_str().unwrap_or_default();
    let until = sent.split_once('-').and_then(|(until, _)| u64::from_str_radix(until, 16).ok()).unwrap_or(0);
    until >= now() && sent == seal(service, vif, until)
}
