//! The roads of the machine: TCP with TLS, plain TCP where it does not leave the machine, unix sockets.
//!
//! Rule: plain TCP is for loopback; elsewhere only a configuration that says `laboratory` has it, and a warning is logged.
//! An end is an address with a port, or the absolute path of a unix socket, which its owner alone may open.

use super::tls::{Trust, acceptor};
use super::{BoxedWire, Door, GREETING_LIMIT, Road};
use crate::config::{StreamDoor, Streams};
use anyhow::Context;
use async_trait::async_trait;
use socket2::{SockRef, TcpKeepalive};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// To connect: the question of which this is the answer waits two seconds.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Callers that have not been heard yet; more wait at the door.
const UNHEARD_MAX: usize = 64;

/// A peer whose machine is gone is noticed within this, and twice as much.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Pause after an accept that failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The roads that an agent's configuration names.
pub struct Configured {
    ends: Vec<String>,
    trust: Option<Trust>,
    laboratory: bool,
}

impl Configured {
    /// # Errors
    /// The file of `ca_file` cannot be used.
    pub fn new(config: &Streams) -> anyhow::Result<Self> {
        let trust = config.ca_file.as_deref().map(Trust::of).transpose()?;
        if config.laboratory {
            tracing::warn!("streams may go without TLS: laboratory settings");
        }
        Ok(Self { ends: config.dcmgr.clone(), trust, laboratory: config.laboratory })
    }

    async fn connect(&self, to: &str) -> Result<BoxedWire, String> {
        let unreachable = |e: std::io::Error| format!("{to} cannot be reached: {e}");
        if to.starts_with('/') {
            return Ok(Box::new(UnixStream::connect(to).await.map_err(unreachable)?));
        }
        let socket = TcpStream::connect(to).await.map_err(unreachable)?;
        let loopback = socket.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
        keep_alive(&socket);
        match &self.trust {
            Some(trust) => trust.connect(host_of(to), socket).await,
            None if loopback || self.laboratory => Ok(Box::new(socket)),
            None => Err(format!("{to} is another machine: its stream needs TLS, and no ca_file is configured")),
        }
    }
}

#[async_trait]
impl Road for Configured {
    async fn dial(&self, to: &str) -> Result<BoxedWire, String> {
        if !self.ends.iter().any(|end| end == to) {
            return Err(format!("{to} is not among the ends of streams in this agent's configuration"));
        }
        match tokio::time::timeout(CONNECT_LIMIT, self.connect(to)).await {
            Ok(wire) => wire,
            Err(_) => Err(format!("{to} did not answer within {CONNECT_LIMIT:?}")),
        }
    }
}

/// `h1.example` of `h1.example:9003`, `::1` of `[::1]:9003`.
fn host_of(to: &str) -> &str {
    let host = to.rsplit_once(':').map_or(to, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

fn keep_alive(socket: &TcpStream) {
    let _ = socket.set_nodelay(true);
    let probes = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3).with_retries(3);
    let _ = SockRef::from(socket).set_tcp_keepalive(&probes);
}

/// What is shown to callers; the files are read for each, so that a renewed certificate needs no restart.
#[derive(Debug, Clone)]
struct Shown {
    certificate_file: PathBuf,
    key_file: PathBuf,
}

impl Shown {
    fn acceptor(&self) -> anyhow::Result<TlsAcceptor> {
        acceptor(&self.certificate_file, &self.key_file)
    }
}

enum Listening {
    Tcp(TcpListener, Option<Shown>),
    Unix(UnixListener),
}

/// Opens dcmgr's end; callers come until `stop`.
///
/// # Errors
/// The address is taken, or would be plain TCP that leaves the machine.
pub async fn door(config: &StreamDoor, stop: CancellationToken) -> anyhow::Result<Door> {
    let (listening, bound) = listen(config).await?;
    let name = config.reached_at.clone().unwrap_or(bound);
    let (out, callers) = mpsc::channel(UNHEARD_MAX);
    tracing::info!(name, "streams are taken");
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = take(listening, out) => {}
        }
    });
    Ok(Door { name, callers })
}

async fn listen(config: &StreamDoor) -> anyhow::Result<(Listening, String)> {
    let at = &config.listen;
    if at.starts_with('/') {
        return Ok((Listening::Unix(unix(Path::new(at))?), at.clone()));
    }
    let tls = match (&config.certificate_file, &config.key_file) {
        (Some(certificate), Some(key)) => {
            let shown = Shown { certificate_file: certificate.clone(), key_file: key.clone() };
            // What cannot be shown now is told now.
            shown.acceptor()?;
            Some(shown)
        }
        (None, None) => None,
        _ => anyhow::bail!("[streams]: certificate_file and key_file go together"),
    };
    let listener = TcpListener::bind(at).await.with_context(|| format!("cannot listen for streams on {at}"))?;
    let bound = listener.local_addr()?;
    if tls.is_none() && !bound.ip().is_loopback() {
        anyhow::ensure!(
            config.laboratory,
            "[streams]: {bound} is reached from other machines: name certificate_file and key_file"
        );
        tracing::warn!(%bound, "streams go without TLS: laboratory settings");
    }
    Ok((Listening::Tcp(listener, tls), bound.to_string()))
}

fn unix(path: &Path) -> anyhow::Result<UnixListener> {
    // Left by a process that was killed; one that listens would still have it open, and loses nothing by this.
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path).with_context(|| format!("cannot listen on `{}`", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn take(listening: Listening, out: mpsc::Sender<BoxedWire>) {
    let places = Arc::new(Semaphore::new(UNHEARD_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (wire, tls): (BoxedWire, _) = match &listening {
            Listening::Unix(listener) => match listener.accept().await {
                Ok((socket, _)) => (Box::new(socket), None),
                Err(error) => {
                    wait_after(&error).await;
                    continue;
                }
            },
            Listening::Tcp(listener, tls) => match listener.accept().await {
                Ok((socket, _)) => {
                    keep_alive(&socket);
                    (Box::new(socket), tls.clone())
                }
                Err(error) => {
                    wait_after(&error).await;
                    continue;
                }
            },
        };
        let out = out.clone();
        tokio::spawn(async move {
            if let Some(wire) = shaken(wire, tls).await {
                let _ = out.send(wire).await;
            }
            drop(place);
        });
    }
}

async fn wait_after(error: &std::io::Error) {
    tracing::warn!(%error, "a stream could not be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

async fn shaken(wire: BoxedWire, shown: Option<Shown>) -> Option<BoxedWire> {
    let Some(shown) = shown else { return Some(wire) };
    let tls = match shown.acceptor() {
        Ok(tls) => tls,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "streams by TLS cannot be taken");
            return None;
        }
    };
    match tokio::time::timeout(GREETING_LIMIT, tls.accept(wire)).await {
        Ok(Ok(wire)) => Some(Box::new(wire)),
        Ok(Err(error)) => {
            tracing::info!(%error, "a caller did not get through TLS");
            None
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{greet, hear, let_in};
    use arame_schema::jobs::report::Dial;
    use arame_schema::model::Secret;
    use std::process::Command;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use uuid::Uuid;

    fn road(dcmgr: &str, ca_file: Option<PathBuf>) -> Configured {
        Configured::new(&Streams { dcmgr: vec![dcmgr.to_owned()], ca_file, laboratory: false }).unwrap()
    }

    fn at(listen: &str) -> StreamDoor {
        StreamDoor { listen: listen.to_owned(), ..StreamDoor::default() }
    }

    /// A stream through the door carries `hello` there and `bye` back.
    async fn through(door: &mut Door, road: &Configured) -> Result<(), String> {
        let dial = Dial { to: door.name.clone(), stream: Uuid::from_u128(1), secret: Secret::new("s") };
        let calling = async {
            let mut wire = road.dial(&dial.to).await?;
            greet(&mut wire, &dial).await?;
            wire.write_all(b"hello").await.map_err(|e| e.to_string())?;
            let mut said = [0; 3];
            wire.read_exact(&mut said).await.map_err(|e| e.to_string())?;
            assert_eq!(&said, b"bye");
            Ok(())
        };
        let answering = async {
            let mut wire = door.callers.recv().await.unwrap();
            assert!(hear(&mut wire).await.is_some());
            let_in(&mut wire).await.unwrap();
            let mut said = [0; 5];
            wire.read_exact(&mut said).await.unwrap();
            wire.write_all(b"bye").await.unwrap();
            wire.flush().await.unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            done = calling => done,
            () = answering => unreachable!(),
        }
    }

    #[tokio::test]
    async fn loopback_and_a_unix_socket_need_no_tls_and_what_is_not_configured_is_not_dialed() {
        let folder = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let path = folder.path().join("s").display().to_string();
        for listen in ["127.0.0.1:0", path.as_str(), path.as_str()] {
            let mut door = door(&at(listen), stop.clone()).await.unwrap();
            let name = door.name.clone();
            through(&mut door, &road(&name, None)).await.unwrap();
            let refused = road("127.0.0.1:1", None).dial(&name).await.err().unwrap();
            assert!(refused.contains("configuration"), "{refused}");
        }
        stop.cancel();
    }

    #[tokio::test]
    async fn plain_tcp_does_not_leave_the_machine_unless_a_laboratory_says_so() {
        let stop = CancellationToken::new();
        let refused = door(&at("0.0.0.0:0"), stop.clone()).await.err().unwrap();
        assert!(refused.to_string().contains("certificate_file"), "{refused}");
        let lab = StreamDoor { laboratory: true, ..at("0.0.0.0:0") };
        door(&lab, stop.clone()).await.unwrap();
        stop.cancel();
    }

    /// A certificate for 127.0.0.1 that signs itself, and its key.
    fn certificate(folder: &Path, name: &str) -> Option<(PathBuf, PathBuf)> {
        let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        let wish = folder.join("wish.cnf");
        let text = "[req]\ndistinguished_name = dn\nx509_extensions = v3\nprompt = no\n[dn]\nCN = dcmgr\n\
                    [v3]\nsubjectAltName = IP:127.0.0.1\nbasicConstraints = critical, CA:FALSE\n";
        std::fs::write(&wish, text).ok()?;
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "2", "-config"])
            .arg(&wish)
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .ok()?;
        made.status.success().then_some((certificate, key))
    }

    #[tokio::test]
    async fn with_tls_the_agent_believes_whom_its_configuration_names_and_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let (Some((certificate_file, key_file)), Some((stranger, strangers_key))) =
            (certificate(folder.path(), "dcmgr"), certificate(folder.path(), "stranger"))
        else {
            crate::testkit::skip("openssl");
            return;
        };
        let stop = CancellationToken::new();
        let config = StreamDoor {
            certificate_file: Some(certificate_file.clone()),
            key_file: Some(key_file.clone()),
            ..at("127.0.0.1:0")
        };
        let mut door = door(&config, stop.clone()).await.unwrap();
        let name = door.name.clone();
        through(&mut door, &road(&name, Some(certificate_file.clone()))).await.unwrap();
        let refused = road(&name, Some(stranger.clone())).dial(&name).await.err().unwrap();
        assert!(refused.contains("not believed"), "{refused}");
        let without = road(&name, None);
        let plain = through(&mut door, &without);
        assert!(tokio::time::timeout(Duration::from_secs(5), plain).await.unwrap().is_err(), "TLS was left out");
        // Renewed: the next caller sees the other one.
        std::fs::copy(&stranger, &certificate_file).unwrap();
        std::fs::copy(&strangers_key, &key_file).unwrap();
        through(&mut door, &road(&name, Some(stranger))).await.unwrap();
        stop.cancel();
    }
}
