//! The door for other machines: the same surface by TLS, with a certificate that may be renewed under it.
//!
//! ```text
//! TCP ─► place among those at the handshake ─► handshake, bounded in time ─► the server of the surface
//! ```
//!
//! Rule: who dawdles at the handshake holds nobody up but others who do; a pair of files that does not fit, as for the moment
//! between two renamings, is told and the last good one goes on being shown. Who the caller is says the credential, inside.

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Callers at the handshake at once; more wait in the kernel's queue.
const HANDSHAKES_MAX: usize = 256;

/// Two round trips and a signature; a slow client has had enough of it.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Pause after an accept that failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

/// What tells that a file is another: its inode, its size, when it was written.
type Version = Option<(u64, u64, i64, i64)>;

fn version(path: &Path) -> Version {
    let seen = std::fs::metadata(path).ok()?;
    Some((seen.ino(), seen.size(), seen.mtime(), seen.mtime_nsec()))
}

impl Pair {
    fn versions(&self) -> [Version; 2] {
        [version(&self.certificate_file), version(&self.key_file)]
    }

    fn acceptor(&self) -> anyhow::Result<TlsAcceptor> {
        let chain: Vec<_> = CertificateDer::pem_file_iter(&self.certificate_file)?.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&self.key_file)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// What is shown to callers, as the files have it.
struct Shown {
    pair: Pair,
    last: Mutex<([Version; 2], TlsAcceptor)>,
}

impl Shown {
    fn new(pair: Pair) -> anyhow::Result<Self> {
        let last = Mutex::new((pair.versions(), pair.acceptor()?));
        Ok(Self { pair, last })
    }

    fn acceptor(&self) -> TlsAcceptor {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.pair.versions();
        if now != last.0 {
            last.0 = now;
            match self.pair.acceptor() {
                Ok(acceptor) => last.1 = acceptor,
                Err(error) => {
                    let file = self.pair.certificate_file.display();
                    tracing::error!(%file, error = format!("{error:#}"), "the new certificate cannot be used");
                }
            }
        }
        last.1.clone()
    }
}

/// Where other machines come in.
pub struct TlsListener {
    bound: SocketAddr,
    callers: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    _end: DropGuard,
}

impl TlsListener {
    /// Binds the address and begins to take callers.
    ///
    /// # Errors
    /// The address is taken; the files do not hold a certificate and its key.
    pub async fn bind(listen: SocketAddr, pair: Pair) -> anyhow::Result<Self> {
        let shown = Arc::new(Shown::new(pair)?);
        let listener = TcpListener::bind(listen).await?;
        let bound = listener.local_addr()?;
        let (out, callers) = mpsc::channel(HANDSHAKES_MAX);
        let end = CancellationToken::new();
        let over = end.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = over.cancelled() => {}
                () = take(listener, shown, out) => {}
            }
        });
        Ok(Self { bound, callers, _end: end.drop_guard() })
    }
}

async fn take(listener: TcpListener, shown: Arc<Shown>, out: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>) {
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Ok(place) = places.clone().acquire_owned().await {
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, out) = (shown.acceptor(), out.clone());
        tokio::spawn(async move {
            let _ = socket.set_nodelay(true);
            match tokio::time::timeout(HANDSHAKE_LIMIT, tls.accept(socket)).await {
                Ok(Ok(wire)) => drop(out.send((wire, peer)).await),
                Ok(Err(error)) => tracing::debug!(%error, %peer, "a caller did not get through TLS"),
                Err(_) => tracing::debug!(%peer, "a caller did not end its handshake"),
            }
            drop(place);
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.callers.recv().await {
            Some(caller) => caller,
            // The task that takes them ends with this value only.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.bound)
    }
}

/// The caller's address, as axum hands it over for a listener of one's own.
#[derive(Debug, Clone, Copy)]
struct Caller(SocketAddr);

impl Connected<IncomingStream<'_, TlsListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// Serves `surface` there until `stop`; it sees callers' addresses as at any other listener.
///
/// # Errors
/// The server's.
pub async fn serve(surface: Router, listener: TlsListener, stop: CancellationToken) -> io::Result<()> {
    let named = |mut request: Request| {
        if let Some(ConnectInfo(Caller(peer))) = request.extensions().get().copied() {
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer));
        }
        request
    };
    let with = tower::Layer::layer(&tower::util::MapRequestLayer::new(named), surface);
    let service = Router::new().fallback_service(with).into_make_service_with_connect_info::<Caller>();
    axum::serve(listener, service).with_graceful_shutdown(async move { stop.cancelled().await }).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{Authority, Wish};
    use axum::routing::get;
    use std::time::SystemTime;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    fn sign(authority: &Path, pair: &Pair) {
        let wish = Wish {
            names: vec!["127.0.0.1".into()],
            certificate_file: pair.certificate_file.clone(),
            key_file: pair.key_file.clone(),
            group: None,
        };
        std::fs::create_dir_all(authority).unwrap();
        let now = SystemTime::now();
        Authority::at(authority, now).unwrap().ensure(&wish, now).unwrap();
    }

    /// What a client says and hears that believes this authority.
    async fn asked(at: SocketAddr, authority: &Path) -> Result<String, String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority.join("ca.pem")).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let socket = TcpStream::connect(at).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut wire = TlsConnector::from(Arc::new(config)).connect(name, socket).await.map_err(|e| e.to_string())?;
        wire.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut heard = String::new();
        wire.read_to_string(&mut heard).await.map_err(|e| e.to_string())?;
        Ok(heard)
    }

    #[tokio::test]
    async fn the_surface_is_served_by_tls_and_a_renewed_certificate_is_shown_without_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let pair = Pair { certificate_file: at("api.pem"), key_file: at("api.key") };
        let (own, next) = (at("own"), at("next"));
        sign(&own, &pair);
        let listener = TlsListener::bind(([127, 0, 0, 1], 0).into(), pair.clone()).await.unwrap();
        let bound = listener.local_addr().unwrap();
        let who = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { format!("you are at {}", peer.ip()) };
        let (surface, stop) = (Router::new().route("/", get(who)), CancellationToken::new());
        let serving = tokio::spawn(serve(surface, listener, stop.clone()));

        // Somebody who says nothing keeps nobody away.
        let silent = TcpStream::connect(bound).await.unwrap();
        let heard = asked(bound, &own).await.unwrap();
        assert!(heard.starts_with("HTTP/1.1 200") && heard.contains("you are at 127.0.0.1"), "{heard}");
        std::fs::create_dir_all(&next).unwrap();
        Authority::at(&next, SystemTime::now()).unwrap();
        let refused = asked(bound, &next).await.unwrap_err();
        assert!(refused.contains("invalid peer certificate"), "{refused}");

        sign(&next, &pair);
        assert!(asked(bound, &next).await.unwrap().contains("you are at"), "the new one is shown");
        assert!(asked(bound, &own).await.is_err());
        std::fs::write(&pair.certificate_file, "half of it").unwrap();
        assert!(asked(bound, &next).await.unwrap().contains("you are at"), "the last good one goes on");
        drop(silent);
        stop.cancel();
        serving.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_pair_that_does_not_fit_is_told_before_anything_is_served() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let pair = Pair { certificate_file: at("api.pem"), key_file: at("api.key") };
        sign(&at("ca"), &pair);
        let other = Pair { certificate_file: at("other.pem"), key_file: at("other.key") };
        sign(&at("ca"), &other);
        let mixed = Pair { key_file: other.key_file, ..pair.clone() };
        assert!(TlsListener::bind(([127, 0, 0, 1], 0).into(), mixed).await.is_err());
        TlsListener::bind(([127, 0, 0, 1], 0).into(), pair).await.unwrap();
    }
}
