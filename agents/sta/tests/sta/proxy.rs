//! A wire between two storage nodes that can be cut, slowed or tampered with; it counts what passed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What becomes of an answer's body, by the bytes of it that passed.
#[derive(Clone)]
pub enum Trouble {
    None,
    /// One bit is another from there on once.
    Flip(u64),
    /// The connection is gone.
    Cut(u64),
    /// A byte at a time.
    Trickle(u64),
    /// That process is killed, and what it still sent passes.
    Kill(u64, i32),
}

pub struct Proxy {
    pub address: SocketAddr,
    /// Bytes of bodies.
    pub passed: Arc<AtomicU64>,
    /// The trouble began.
    pub struck: Arc<Notify>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub async fn new(to: SocketAddr, trouble: Trouble) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (passed, struck) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let (counted, told) = (passed.clone(), struck.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, to, trouble.clone(), counted.clone(), told.clone()));
            }
        });
        Self { address, passed, struck, task }
    }
}

async fn carry(client: TcpStream, to: SocketAddr, trouble: Trouble, passed: Arc<AtomicU64>, struck: Arc<Notify>) {
    let Ok(server) = TcpStream::connect(to).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    });
    let (mut head, mut body) = (Vec::new(), 0u64);
    let mut block = vec![0; 64 << 10];
    while let Ok(count) = from_server.read(&mut block).await {
        if count == 0 {
            break;
        }
        let mut piece = block[..count].to_vec();
        let before = match head.ends_with(b"\r\n\r\n") {
            true => 0,
            false => {
                let at = (1..=count).find(|at| {
                    head.push(block[at - 1]);
                    head.ends_with(b"\r\n\r\n")
                });
                at.unwrap_or(count)
            }
        };
        let here = (count - before) as u64;
        let reaches = |at: u64| body <= at && at < body + here;
        match trouble {
            Trouble::Flip(at) if reaches(at) => {
                piece[before + (at - body) as usize] ^= 1;
                struck.notify_one();
            }
            Trouble::Cut(at) if body + here > at => {
                let _ = to_client.write_all(&piece[..before + (at - body) as usize]).await;
                struck.notify_one();
                break;
            }
            Trouble::Trickle(at) if body + here > at => {
                let first = before + at.saturating_sub(body) as usize;
                let _ = to_client.write_all(&piece[..first]).await;
                struck.notify_one();
                for byte in &piece[first..] {
                    if to_client.write_all(std::slice::from_ref(byte)).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                break;
            }
            Trouble::Kill(at, process) if reaches(at) => {
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), nix::sys::signal::Signal::SIGKILL).unwrap();
                struck.notify_one();
            }
            Trouble::None | Trouble::Flip(_) | Trouble::Cut(_) | Trouble::Trickle(_) | Trouble::Kill(..) => {}
        }
        body += here;
        passed.fetch_add(here, Ordering::SeqCst);
        if to_client.write_all(&piece).await.is_err() {
            break;
        }
    }
    asking.abort();
}
