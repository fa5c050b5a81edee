//! One GET of a stranger's URL, redirects followed, every address checked and connected to as it was checked.
//!
//! ```text
//! url ─► scheme, no credentials ─► name resolved ─► every address checked ─► connected to one of those ─► TLS ─► GET
//!   ▲                                                                                                         │
//!   └──────────────────────────────── Location, five times at most ───────────────────────────────────────────┘
//! ```
//!
//! Rule: a name is resolved once per hop and the connection goes to an address of that answer: what a name means a moment
//! later is of no interest. No credential, cookie or referrer is sent, no proxy of the environment is used.

use super::address::Rules;
use super::error::FetchError;
use crate::config::FetchConfig;
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

/// As many as browsers' fetch standard allows would be 20; mirrors need two or three.
const REDIRECTS_MAX: usize = 5;
/// A name, a connection, a TLS handshake: each.
const STEP_LIMIT: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried.
const TRIED_MAX: usize = 4;
/// Bytes of the head of an answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How strangers' servers are reached.
#[derive(Debug, Clone)]
pub struct Link {
    rules: Rules,
    allow_http: bool,
    ca_file: PathBuf,
    silence: Duration,
}

/// An answer whose body is still to come. The connection ends with it.
pub struct Answer {
    pub url: Url,
    pub response: Response<Incoming>,
    /// Ends the connection when it is dropped.
    pub connection: AbortOnDropHandle<()>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Link {
    pub fn new(config: &FetchConfig) -> Self {
        Self {
            rules: Rules { allowed: config.allow_networks.clone(), refused: config.refuse_networks.clone() },
            allow_http: config.allow_http,
            ca_file: config.ca_file.clone(),
            silence: Duration::from_secs(config.silence_seconds),
        }
    }

    /// The answer of `source`, or of where it leads.
    ///
    /// # Errors
    /// Whatever is refused or does not answer, by name.
    pub async fn get(&self, source: &str) -> Result<Answer, FetchError> {
        let mut url = Url::parse(source).map_err(|wrong| refused(&short(source), wrong))?;
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.hop(url).await?;
            match next(&answer)? {
                None => return judge(answer),
                Some(there) => url = there,
            }
        }
        Err(refused(&short(source), format!("it leads on more than {REDIRECTS_MAX} times")))
    }

    /// The same from another storage node of this data center, whose address dcmgr named; `shown` is what it asks for.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn get_from_peer(&self, source: &str, shown: Option<&str>) -> Result<Answer, FetchError> {
        let url = Url::parse(source).map_err(|wrong| refused(&short(source), wrong))?;
        let addresses = resolve(&url).await?;
        match judge(self.ask(url, &addresses, shown).await?) {
            // It had it a moment ago, or dcmgr would not have named it.
            Err(FetchError::NotThere { url, status }) => Err(FetchError::Strange { url, status }),
            other => other,
        }
    }

    async fn hop(&self, url: Url) -> Result<Answer, FetchError> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused(&shown(&url), "credentials do not belong into an address"));
        }
        if !["http", "https"].contains(&url.scheme()) {
            return Err(refused(&shown(&url), "only https is fetched"));
        }
        let addresses = resolve(&url).await?;
        let own = own_addresses();
        for address in addresses.iter().map(SocketAddr::ip) {
            let verdict = self.rules.check(address);
            let verdict = match own.contains(&address.to_canonical()) && !self.rules.vouches(address) {
                true => verdict.and(Err("the storage node's own")),
                false => verdict,
            };
            verdict.map_err(|why| FetchError::AddressRefused { host: host_of(&url), address, why })?;
        }
        let vouched = addresses.iter().all(|address| self.rules.vouches(address.ip()));
        if url.scheme() == "http" && !self.allow_http && !vouched {
            return Err(refused(&shown(&url), "only https is fetched, unless the operator allows http"));
        }
        self.ask(url, &addresses, None).await
    }

    async fn ask(&self, url: Url, addresses: &[SocketAddr], shown: Option<&str>) -> Result<Answer, FetchError> {
        let host = host_of(&url);
        let unreachable = |reason: String| FetchError::Unreachable { host: host.clone(), reason };
        let tcp = connect(addresses).await.map_err(unreachable)?;
        let stream: Box<dyn Stream> = match url.scheme() {
            "https" => Box::new(self.secure(tcp, &url).await.map_err(unreachable)?),
            _ => Box::new(tcp),
        };
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|wrong| unreachable(wrong.to_string()))?;
        let driver = arame_framework::rehearsal::spawn(async move {
            // What goes wrong is told by the body as well.
            let _ = connection.await;
        });
        let driver = AbortOnDropHandle::new(driver);
        let request = request(&url, shown).map_err(|wrong| refused(&self::shown(&url), wrong))?;
        let asked = tokio::time::timeout(self.silence, sender.send_request(request)).await;
        let response = asked.map_err(|_| FetchError::Silent { silence: self.silence })?;
        let response = response.map_err(|wrong| unreachable(causes(&wrong)))?;
        Ok(Answer { url, response, connection: driver })
    }

    async fn secure(&self, tcp: TcpStream, url: &Url) -> Result<impl Stream + use<>, String> {
        let config = tls(&self.ca_file)?;
        let name = match url.host() {
            Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).map_err(|wrong| wrong.to_string())?,
            Some(Host::Ipv4(address)) => ServerName::from(IpAddr::from(address)),
            Some(Host::Ipv6(address)) => ServerName::from(IpAddr::from(address)),
            None => return Err("it names no host".into()),
        };
        let shaken = tokio::time::timeout(STEP_LIMIT, TlsConnector::from(config).connect(name, tcp)).await;
        shaken.map_err(|_| "the TLS handshake did not end".to_owned())?.map_err(|wrong| wrong.to_string())
    }
}

fn tls(ca_file: &Path) -> Result<Arc<ClientConfig>, String> {
    let wrong = |reason: String| format!("the authorities in {} cannot be read: {reason}", ca_file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).map_err(|e| wrong(e.to_string()))? {
        // One that is odd is left out: the others vouch still.
        let _ = roots.add(certificate.map_err(|e| wrong(e.to_string()))?);
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(e.to_string()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

async fn resolve(url: &Url) -> Result<Vec<SocketAddr>, FetchError> {
    let port = url.port_or_known_default().unwrap_or(443);
    let unknown = |reason: String| FetchError::HostUnknown { host: host_of(url), reason };
    let name = match url.host() {
        Some(Host::Ipv4(address)) => return Ok(vec![(address, port).into()]),
        Some(Host::Ipv6(address)) => return Ok(vec![(address, port).into()]),
        Some(Host::Domain(name)) => name.to_owned(),
        None => return Err(refused(&shown(url), "it names no host")),
    };
    let looked = tokio::time::timeout(STEP_LIMIT, lookup_host((name, port))).await;
    let found = looked.map_err(|_| unknown("no answer".into()))?.map_err(|wrong| unknown(wrong.to_string()))?;
    let found: Vec<SocketAddr> = found.collect();
    if found.is_empty() { Err(unknown("no address".into())) } else { Ok(found) }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut last = String::new();
    for address in addresses.iter().take(TRIED_MAX) {
        match tokio::time::timeout(STEP_LIMIT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(wrong)) => last = wrong.to_string(),
            Err(_) => last = format!("{address} did not answer"),
        }
    }
    Err(last)
}

fn request(url: &Url, shown: Option<&str>) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
    let host = match url.port() {
        Some(port) => format!("{}:{port}", host_of(url)),
        None => host_of(url),
    };
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let request = match shown {
        Some(shown) => Request::get(path).header(AUTHORIZATION, format!("Bearer {shown}")),
        None => Request::get(path),
    };
    request
        .header(HOST, host)
        .header(USER_AGENT, concat!("arame-sta/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*")
        .header(ACCEPT_ENCODING, "identity")
        .body(Empty::new())
}

/// Where an answer leads on to.
fn next(answer: &Answer) -> Result<Option<Url>, FetchError> {
    if ![301, 302, 303, 307, 308].contains(&answer.response.status().as_u16()) {
        return Ok(None);
    }
    let there = answer.response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if there.is_empty() {
        return Err(refused(&shown(&answer.url), "it leads on to nowhere"));
    }
    answer.url.join(there).map(Some).map_err(|wrong| refused(&shown(&answer.url), wrong))
}

fn judge(answer: Answer) -> Result<Answer, FetchError> {
    let (status, url) = (answer.response.status(), shown(&answer.url));
    let encoded = answer.response.headers().get(CONTENT_ENCODING).is_some_and(|value| value != "identity");
    match status {
        StatusCode::OK if encoded => Err(refused(&url, "it is sent compressed although that was not asked for")),
        StatusCode::OK => Ok(answer),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
            Err(FetchError::NotThere { url, status: status.as_u16() })
        }
        other => Err(FetchError::Strange { url, status: other.as_u16() }),
    }
}

/// Addresses of this machine: what listens there is not for users to reach.
fn own_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let storage = interface.address?;
        let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    };
    interfaces.filter_map(address).collect()
}

fn host_of(url: &Url) -> String {
    url.host_str().unwrap_or("?").to_owned()
}

/// Without the query: it may hold a key.
fn shown(url: &Url) -> String {
    short(&format!("{}://{}{}", url.scheme(), url.host_str().unwrap_or("?"), url.path()))
}

fn short(text: &str) -> String {
    text.split('?').next().unwrap_or_default().chars().take(200).collect()
}

fn refused(url: &str, reason: impl std::fmt::Display) -> FetchError {
    FetchError::UrlRefused { url: url.to_owned(), reason: reason.to_string() }
}

/// An error with its causes, as one line.
pub fn causes(error: &dyn std::error::Error) -> String {
    crate::store::sentence(error)
}
