//! A stranger's HTTP server on loopback, which says whatever it is told to say, also what no server should.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// What is said to one request.
pub enum Say {
    Whole(Vec<u8>),
    Status(u16),
    Redirect(String),
    /// Some bytes and an announcement of more.
    Short(Vec<u8>, u64),
    /// More than was announced.
    Long(Vec<u8>, u64),
    /// Some bytes, then silence for good.
    Stall(Vec<u8>),
    /// A byte now and then, for ever.
    Trickle,
    /// In chunks, without an end.
    Endless,
    /// The second part only when the gate is opened.
    Gated(Vec<u8>, Vec<u8>),
    Compressed(Vec<u8>),
}

type Answers = dyn Fn(&str) -> Say + Send + Sync;

pub struct Stranger {
    pub address: SocketAddr,
    pub gate: Arc<Semaphore>,
    asked: Arc<Mutex<Vec<String>>>,
    /// Connections whose other side went away while they were spoken to.
    pub left: Arc<Semaphore>,
}

impl Stranger {
    pub async fn new(answers: impl Fn(&str) -> Say + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1", None, answers).await
    }

    pub async fn at(
        address: &str,
        tls: Option<tokio_rustls::TlsAcceptor>,
        answers: impl Fn(&str) -> Say + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let (asked, gate, left) = (Arc::default(), Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let stranger = Self { address: listener.local_addr().unwrap(), gate, asked, left };
        let (asked, gate, left) = (stranger.asked.clone(), stranger.gate.clone(), stranger.left.clone());
        let answers: Arc<Answers> = Arc::new(answers);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, gate, left) = (asked.clone(), gate.clone(), left.clone());
                let (answers, tls) = (answers.clone(), tls.clone());
                tokio::spawn(async move {
                    let mut stream: Box<dyn Both> = match tls {
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                        None => Box::new(stream),
                    };
                    let head = head(&mut stream).await;
                    let path = head.split(' ').nth(1).unwrap_or("/").to_owned();
                    asked.lock().unwrap().push(head);
                    if speak(&mut stream, answers(&path), &gate).await.is_err() {
                        left.add_permits(1);
                    }
                });
            }
        });
        stranger
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The heads of the requests it was sent.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

pub trait Both: tokio::io::AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

async fn head(stream: &mut Box<dyn Both>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 10_000 {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

async fn speak(stream: &mut Box<dyn Both>, say: Say, gate: &Semaphore) -> std::io::Result<()> {
    let begin = |length: u64| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    match say {
        Say::Whole(bytes) => {
            stream.write_all(begin(bytes.len() as u64).as_bytes()).await?;
            stream.write_all(&bytes).await?;
        }
        Say::Compressed(bytes) => {
            let head = begin(bytes.len() as u64).replace("\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&bytes).await?;
        }
        Say::Status(status) => {
            let head = format!("HTTP/1.1 {status} So it is\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
        }
        Say::Redirect(to) => {
            let head =
                format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
        }
        Say::Short(bytes, length) | Say::Long(bytes, length) => {
            stream.write_all(begin(length).as_bytes()).await?;
            stream.write_all(&bytes).await?;
        }
        Say::Stall(bytes) => {
            stream.write_all(begin(1 << 20).as_bytes()).await?;
            stream.write_all(&bytes).await?;
            stream.flush().await?;
            // Until the other side has gone.
            stream.read_u8().await?;
        }
        Say::Trickle => {
            stream.write_all(begin(1 << 20).as_bytes()).await?;
            loop {
                stream.write_all(b"x").await?;
                stream.flush().await?;
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
        Say::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
            let chunk = [b"10000\r\n".as_slice(), &[7; 65536], b"\r\n"].concat();
            loop {
                stream.write_all(&chunk).await?;
            }
        }
        Say::Gated(first, second) => {
            stream.write_all(begin((first.len() + second.len()) as u64).as_bytes()).await?;
            stream.write_all(&first).await?;
            stream.flush().await?;
            tokio::select! {
                opened = gate.acquire() => opened.unwrap().forget(),
                gone = stream.read_u8() => return gone.map(drop),
            }
            stream.write_all(&second).await?;
        }
    }
    stream.shutdown().await
}
