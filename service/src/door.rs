//! A server is at work when it answers: its own door is knocked at from outside, as a client would.

use crate::loops::Turns;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Asks `path` of the HTTP server at `listen` whenever a turn is due, for as long as it is polled; an answer, whichever, is a
/// turn. One that does not come within the time between two turns is none.
pub async fn watch_door(turns: Turns, listen: SocketAddr, path: &'static str) {
    let Some(every) = turns.every() else { return };
    let mut timer = tokio::time::interval(every);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        if let Ok(Ok(())) = tokio::time::timeout(every, knock(reached_at(listen), path)).await {
            turns.turned();
        }
    }
}

async fn knock(address: SocketAddr, path: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; 5];
    stream.read_exact(&mut head).await?;
    if head == *b"HTTP/" { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// One that listens everywhere is reached on loopback.
fn reached_at(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    (ip, listen.port()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Loops, Notifier};
    use std::time::Duration;
    use tokio::net::{TcpListener, UnixDatagram};

    #[test]
    fn a_door_that_is_open_everywhere_is_knocked_at_on_loopback() {
        let at = |text: &str| reached_at(text.parse().unwrap()).to_string();
        assert_eq!([at("0.0.0.0:80"), at("[::]:80"), at("10.0.0.1:80")], ["127.0.0.1:80", "[::1]:80", "10.0.0.1:80"]);
    }

    #[tokio::test]
    async fn a_server_that_takes_connections_and_answers_none_is_not_alive_and_one_that_answers_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let loops = Loops::new(Notifier::to(path.as_os_str()).unwrap(), Some(Duration::from_millis(400)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let watching = tokio::spawn(watch_door(loops.one_more(), listener.local_addr().unwrap(), "/"));
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(listener.accept().await.unwrap().0);
        }
        let mut buffer = [0; 64];
        assert!(manager.try_recv(&mut buffer).is_err(), "three turns were due, none was answered");
        let answering = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").await;
                held.push(stream);
            }
        });
        let length = manager.recv(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"WATCHDOG=1", "the control: it is heard when it answers");
        watching.abort();
        answering.abort();
    }
}
