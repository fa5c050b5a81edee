//! The web console's server: serves the pages, keeps the session in a cookie that no script reads, and passes the REST API,
//! its event stream and its consoles through.
//!
//! ```text
//! browser ── pages ───────────────► embedded files, strict content security policy
//!         ── /session ────────────► POST /sessions, or a token that is looked at; the secret becomes the cookie
//!         ── /api/12.03/… ────────► the same path of the API, with the cookie's secret as bearer
//!         ══ …/console (WebSocket)► the same, byte for byte
//! ```
//!
//! Rule: no state is kept here, so any number may run and any may be killed; a secret leaves only towards the API. What
//! changes something must come from a page of this very place: a header no other place can set, and its Origin. This
//! knows no resource: what may be done is the API's to say.

mod consoles;
mod guard;
mod pages;
mod pass;
mod session;

use axum::Router;
use axum::routing::{any, post};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;
use url::Url;

/// What every request shares.
#[derive(Clone)]
pub struct Webui {
    api: Arc<str>,
    client: reqwest::Client,
    cookie: session::Cookie,
    stop: CancellationToken,
}

/// Whether browsers come by HTTPS (a proxy before this program): then the cookie goes nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Plain,
    Tls,
}

impl Webui {
    /// # Errors
    /// No client can be made.
    pub fn new(api: &Url, transport: Transport, stop: CancellationToken) -> Result<Self, reqwest::Error> {
        // No limit on the whole of a request: an upload or an event stream lasts as long as the API lets it.
        let client = reqwest::Client::builder()
            .connect_timeout(pass::CONNECT_LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let api = api.as_str().trim_end_matches('/').into();
        Ok(Self { api, client, cookie: session::Cookie::new(transport), stop })
    }
}

/// The whole surface.
pub fn router(webui: Webui) -> Router {
    let pages = Router::new().fallback(pages::page).layer(CompressionLayer::new().gzip(true));
    Router::new()
        .route("/session", post(session::begin).delete(session::end))
        .route("/api/12.03/instances/{id}/console", any(consoles::console))
        .route("/api/12.03/{*path}", any(pass::through))
        .fallback_service(pages)
        .layer(axum::middleware::from_fn(guard::guard))
        .with_state(webui)
}

/// Serves until it is stopped.
///
/// # Errors
/// The listener fails.
pub async fn serve(webui: Webui, listener: TcpListener) -> std::io::Result<()> {
    let stop = webui.stop.clone();
    axum::serve(listener, router(webui)).with_graceful_shutdown(async move { stop.cancelled().await }).await
}
