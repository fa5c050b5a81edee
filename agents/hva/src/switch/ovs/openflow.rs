//! A quiet OpenFlow 1.3 connection to the bridge that counts our flows every second.
//!
//! Rule: it only looks. A switch that restarts ends the connection, and flows that vanish change the count; either
//! way the caller is told within about a second and puts the flows back. It installs nothing: `ovs-ofctl bundle`
//! does, in one transaction.

use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// OpenFlow 1.3, which every Open vSwitch since 2.4 speaks on its management socket.
const VERSION: u8 = 4;
const HELLO: u8 = 0;
const ECHO_REQUEST: u8 = 2;
const ECHO_REPLY: u8 = 3;
const MULTIPART_REQUEST: u8 = 18;
const MULTIPART_REPLY: u8 = 19;
const AGGREGATE: u16 = 2;
const HEADER: usize = 8;
/// An answer takes no longer on a living switch.
const LIMIT: Duration = Duration::from_secs(2);

pub struct Probe {
    stream: UnixStream,
}

impl Probe {
    /// Connects and greets.
    pub async fn connect(socket: &Path) -> std::io::Result<Self> {
        let mut stream = within(UnixStream::connect(socket)).await?;
        stream.write_all(&[VERSION, HELLO, 0, 8, 0, 0, 0, 1]).await?;
        Ok(Self { stream })
    }

    /// How many flows of the bridge carry this cookie.
    pub async fn count(&mut self, cookie: u64) -> std::io::Result<u32> {
        self.stream.write_all(&aggregate(cookie)).await?;
        within(async {
            loop {
                let (kind, xid, body) = self.receive().await?;
                match kind {
                    ECHO_REQUEST => self.echo(xid, &body).await?,
                    MULTIPART_REPLY => return flow_count(&body),
                    _ => {}
                }
            }
        })
        .await
    }

    async fn receive(&mut self) -> std::io::Result<(u8, [u8; 4], Vec<u8>)> {
        let mut header = [0u8; HEADER];
        self.stream.read_exact(&mut header).await?;
        let [_, kind, high, low, x0, x1, x2, x3] = header;
        let length = usize::from(u16::from_be_bytes([high, low])).saturating_sub(HEADER);
        let mut body = vec![0u8; length];
        self.stream.read_exact(&mut body).await?;
        Ok((kind, [x0, x1, x2, x3], body))
    }

    async fn echo(&mut self, xid: [u8; 4], body: &[u8]) -> std::io::Result<()> {
        let length = ((HEADER + body.len()) as u16).to_be_bytes();
        let mut message = vec![VERSION, ECHO_REPLY, length[0], length[1]];
        message.extend_from_slice(&xid);
        message.extend_from_slice(body);
        self.stream.write_all(&message).await
    }
}

async fn within<T>(work: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    tokio::time::timeout(LIMIT, work).await.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
}

/// `ofp_aggregate_stats_request` (OpenFlow 1.3.5, 7.3.5.3): all tables, one cookie, an empty match.
fn aggregate(cookie: u64) -> Vec<u8> {
    let mut body = Vec::with_capacity(56);
    body.extend_from_slice(&AGGREGATE.to_be_bytes());
    body.extend_from_slice(&[0; 6]);
    body.extend_from_slice(&[0xff, 0, 0, 0]);
    body.extend_from_slice(&u32::MAX.to_be_bytes());
    body.extend_from_slice(&u32::MAX.to_be_bytes());
    body.extend_from_slice(&[0; 4]);
    body.extend_from_slice(&cookie.to_be_bytes());
    body.extend_from_slice(&u64::MAX.to_be_bytes());
    body.extend_from_slice(&[0, 1, 0, 4, 0, 0, 0, 0]);
    let length = ((HEADER + body.len()) as u16).to_be_bytes();
    let mut message = vec![VERSION, MULTIPART_REQUEST, length[0], length[1], 0, 0, 0, 2];
    message.extend_from_slice(&body);
    message
}

/// `flow_count` after the multipart header, packet_count and byte_count.
fn flow_count(body: &[u8]) -> std::io::Result<u32> {
    let bytes = body.get(24..28).and_then(|part| part.try_into().ok());
    bytes.map(u32::from_be_bytes).ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidData))
}
