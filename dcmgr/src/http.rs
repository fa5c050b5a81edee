//! The REST surface: bytes of HTTP on one side, the application's verbs on the other.
//!
//! ```text
//! connection ─► extension stripped ─► routing ─► front (id, language, timeout, panics) ─► Asked ─► handler ─► app
//!                                                  ▲                                       │
//!                                                  └── refusals are put into words here ◄──┘
//! ```
//!
//! Rule: no row, no job and no decision is known here. Every request carries a credential but for `healthz` and the
//! OpenAPI document, every route is in the table of `roles`, every answer but a stream is JSON of a schema view.

// Tests of this layer run over a small memory: what it does to requests and answers needs no database. The real
// application is compiled against in every other build, and tried by the tests of `dcmgr/tests`.
#[cfg(test)]
#[path = "http/stub_app.rs"]
pub mod app;
#[cfg(not(test))]
use crate::app;

mod accounts;
mod answer;
mod asked;
mod audit;
mod backups;
mod body;
mod bulk;
pub mod compat;
mod conditional;
mod consoles;
mod credential;
mod dc_networks;
mod dns_records;
mod docs;
mod events;
mod fields;
mod form;
mod front;
mod images;
mod instance_types;
mod instances;
mod ip_pools;
mod jobs;
mod joins;
mod labels;
mod list;
mod monitors;
mod naming_nodes;
mod networks;
mod node_groups;
mod nodes;
mod observe;
mod openapi;
mod reports;
mod resources;
mod roles;
mod schedules;
mod security_groups;
mod sessions;
mod snapshot_replicas;
mod ssh_key_pairs;
mod status;
#[cfg(test)]
mod surface_tests;
mod tls;
mod users;
mod vifs;
mod volume_snapshots;
mod volumes;
mod yaml;

use app::App;
use arame_schema::limits::CONSOLES_MAX;
use axum::Router;
use axum::http::header::ETAG;
use axum::http::{Extensions, HeaderMap, StatusCode, Version};
use compat::Attached;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

pub use openapi::document;
pub use tls::{Pair, TlsListener};

/// Where the API lives. The version is the original's.
pub const API: &str = "/api/12.03";

/// What every request shares.
#[derive(Clone)]
pub struct Http {
    pub(crate) app: App,
    /// Ends the event streams, which would otherwise hold a graceful shutdown back.
    pub(crate) stop: CancellationToken,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) consoles: Arc<Semaphore>,
    /// The surface itself, for a look at a resource before it is changed.
    pub(crate) whole: Arc<OnceLock<Router>>,
}

/// Shorter answers are not worth their compression.
const COMPRESSED_FROM: u64 = 1024;

/// The whole surface as a router.
pub fn router(app: App, stop: CancellationToken) -> Router {
    let streams = Arc::new(Semaphore::new(events::STREAMS_MAX));
    let consoles = Arc::new(Semaphore::new(CONSOLES_MAX));
    let http = Http { app, stop, streams, consoles, whole: Arc::default() };
    let whole = http.whole.clone();
    let (routes, _) = openapi::routes().split_for_parts();
    // A strong ETag is of the bytes that leave, so what has one leaves as it is; streams are not held back.
    let plain = |_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions| !headers.contains_key(ETAG);
    let worth = SizeAbove::new(COMPRESSED_FROM).and(NotForContentType::const_new("text/event-stream")).and(plain);
    let inner = routes
        .merge(consoles::routes())
        .merge(observe::routes())
        .merge(docs::routes())
        .merge(status::routes())
        .fallback(front::unknown_route)
        .method_not_allowed_fallback(front::method_not_allowed)
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(front::panicked))
        .layer(axum::middleware::from_fn_with_state(http.clone(), front::frame))
        .layer(CompressionLayer::new().gzip(true).compress_when(worth))
        .with_state(http);
    let _ = whole.set(inner.clone());
    // Outside of routing, which must not see the extension.
    let stripped = tower::Layer::layer(&tower::util::MapRequestLayer::new(front::strip_extension), inner);
    Router::new().fallback_service(stripped)
}

/// Serves until `stop` fires, then ends the requests that are under way.
pub async fn serve(app: App, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
    let service = router(app, stop.clone()).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(async move { stop.cancelled().await }).await
}

/// The same for other machines, by TLS.
///
/// # Errors
/// The server's.
pub async fn serve_tls(app: App, listener: TlsListener, stop: CancellationToken) -> std::io::Result<()> {
    tls::serve(router(app, stop.clone()), listener, stop).await
}

/// Where old clients come in.
pub enum CompatListener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Serves old clients, which send no credential: each request is given this token's secret.
pub async fn serve_compat(
    app: App,
    listener: CompatListener,
    secret: &str,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let attached = Attached(secret.into());
    let attach = move |mut request: axum::extract::Request| {
        request.extensions_mut().insert(attached.clone());
        request
    };
    let with = tower::Layer::layer(&tower::util::MapRequestLayer::new(attach), router(app, stop.clone()));
    let service = Router::new().fallback_service(with);
    let ended = async move { stop.cancelled().await };
    match listener {
        CompatListener::Tcp(listener) => {
            let service = service.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, service).with_graceful_shutdown(ended).await
        }
        CompatListener::Unix(listener) => axum::serve(listener, service).with_graceful_shutdown(ended).await,
    }
}
