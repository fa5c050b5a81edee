//! The sockets of one network's DNS: UDP and TCP loops with every wait and every queue bounded.
//!
//! hickory-server's own loops are not used: they take any number of connections and forwarded questions, and log a
//! line for each question, and a tenant must not be able to fill the descriptors, the memory or the disk of all.

use super::clients::Clients;
use super::{Forward, Handler, Verdict, batch, count};
use crate::limits::{
    ACCEPT_PAUSE, BATCHES_IN_A_ROW, DNS_QUESTION_MAX, DNS_TCP_CONNECTIONS, DNS_TCP_TIMEOUT, FORWARDS_AT_ONCE,
};
use hickory_server::net::xfer::Protocol;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Answers until it is dropped, or until a socket is broken for good.
///
/// # Errors
/// The error of the broken socket.
pub async fn run(handler: Handler, clients: Clients, udp: UdpSocket, tcp: TcpListener) -> io::Result<()> {
    let forwards = Arc::new(Semaphore::new(FORWARDS_AT_ONCE));
    tokio::select! {
        ended = run_udp(&handler, clients, Arc::new(udp), &forwards) => ended,
        never = run_tcp(&handler, tcp, &forwards) => never,
    }
}

async fn run_udp(
    handler: &Handler,
    mut clients: Clients,
    socket: Arc<UdpSocket>,
    forwards: &Arc<Semaphore>,
) -> io::Result<()> {
    let mut asking = JoinSet::new();
    loop {
        socket.readable().await?;
        for _ in 0..BATCHES_IN_A_ROW {
            let serve = || batch::serve(handler, &mut clients, socket.as_raw_fd());
            let done = match socket.try_io(Interest::READABLE, serve) {
                Ok(done) => done,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP answer to something we sent: the socket itself is well.
                Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::Interrupted) => continue,
                Err(e) => return Err(e),
            };
            while asking.try_join_next().is_some() {}
            for (forward, from) in done.forwards {
                ask_elsewhere(handler, (forward, from), &socket, forwards, &mut asking);
            }
            // What came meanwhile is worth another call only where the first was full; else the next wait tells.
            if !done.is_full {
                break;
            }
        }
        // Other networks' turn.
        tokio::task::yield_now().await;
    }
}

fn ask_elsewhere(
    handler: &Handler,
    (forward, from): (Forward, SocketAddr),
    socket: &Arc<UdpSocket>,
    forwards: &Arc<Semaphore>,
    asking: &mut JoinSet<()>,
) {
    let Ok(permit) = forwards.clone().try_acquire_owned() else {
        count(&handler.counters.too_many);
        // The asker asks again; a full queue or a vanished link is mended elsewhere.
        let _ = socket.try_send_to(&forward.give_up(), from);
        return;
    };
    let socket = socket.clone();
    asking.spawn(async move {
        let bytes = forward.ask().await;
        let _ = socket.send_to(&bytes, from).await;
        drop(permit);
    });
}

async fn run_tcp(handler: &Handler, listener: TcpListener, forwards: &Arc<Semaphore>) -> ! {
    let mut connections = JoinSet::new();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            // The peer gave up, or this process has no descriptor left: neither is the listener's end.
            Err(error) => {
                tracing::debug!(%error, "a TCP connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        if connections.len() >= DNS_TCP_CONNECTIONS {
            count(&handler.counters.too_many);
            continue;
        }
        connections.spawn(converse(handler.clone(), stream, from, forwards.clone()));
    }
}

/// One connection, one question after the other; ends with the first error, wait too long or question too big.
async fn converse(handler: Handler, mut stream: TcpStream, from: SocketAddr, forwards: Arc<Semaphore>) {
    let mut packet = vec![0u8; DNS_QUESTION_MAX];
    loop {
        let Ok(Ok(length)) = timeout(DNS_TCP_TIMEOUT, read_question(&mut stream, &mut packet)).await else { return };
        let bytes = match handler.handle(&packet[..length], from, Protocol::Tcp) {
            Verdict::Answered(bytes) => bytes,
            Verdict::Silence => return,
            Verdict::Forward(forward) => match forwards.try_acquire() {
                Ok(_permit) => forward.ask().await,
                Err(_) => {
                    count(&handler.counters.too_many);
                    forward.give_up()
                }
            },
        };
        let Ok(length) = u16::try_from(bytes.len()) else { return };
        let framed = [&length.to_be_bytes()[..], &bytes].concat();
        if !matches!(timeout(DNS_TCP_TIMEOUT, stream.write_all(&framed)).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn read_question(stream: &mut TcpStream, packet: &mut [u8]) -> io::Result<usize> {
    let length = usize::from(stream.read_u16().await?);
    let room = packet.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?;
    stream.read_exact(room).await?;
    Ok(length)
}
