//! What a link between two hosts carries, measured by sending nothing of worth over it.
//!
//! ```text
//! taker: listens for a moment ◄── word ── sender
//!        counts what comes    ◄── zeros ─
//!        ── what it counted ──►           at [`BYTES_MAX`] or after [`TIME_MAX`], whichever comes first; both close
//! ```
//!
//! Rules: who takes decides when it is enough and counts, because what was only handed to a kernel did not arrive. Who does
//! not know the word is not read from. The port is one of those that libvirt uses for migrations (`migration_port_max` in
//! qemu.conf), from the end that it takes last: what lets a migration through lets this through.

use arame_framework::rehearsal;
use arame_schema::jobs::forecast::{LinkEnd, LinkRate};
use std::io::{Error, ErrorKind, Result};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

/// Most that one measure carries.
const BYTES_MAX: u64 = 16 << 20;

/// Longest that it takes: a migration that shares the link shall not feel it.
const TIME_MAX: Duration = Duration::from_millis(400);

/// For so long somebody is waited for, and then for what comes.
const OPEN: Duration = Duration::from_secs(3);

/// Somebody else who knocks meanwhile is sent away, but not for ever.
const KNOCKS_MAX: usize = 3;

const PORTS: RangeInclusive<u16> = 49_200..=49_215;

/// Hexadecimal digits of 128 bits.
const WORD: usize = 32;
const CHUNK: usize = 128 << 10;
/// Between two looks at the count: about 250 in a whole measure.
const STEP_BYTES: u64 = 64 << 10;
const ANSWER_BYTES_MAX: u64 = 4096;

/// When so much had come, since the first byte.
type Sample = (Duration, u64);

/// Listens at this address for one measure.
///
/// # Errors
/// No port of the range is free there.
pub async fn open(at: IpAddr) -> Result<LinkEnd> {
    let mut refused = Error::from(ErrorKind::AddrInUse);
    for port in PORTS.rev() {
        match TcpListener::bind((at, port)).await {
            Ok(listener) => {
                let mut bytes = [0; WORD / 2];
                rehearsal::fill_bytes(&mut bytes);
                let word = hex::encode(bytes);
                tokio::spawn(timeout(OPEN, take(listener, word.clone())));
                return Ok(LinkEnd { port, word });
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

async fn take(listener: TcpListener, word: String) {
    for _ in 0..KNOCKS_MAX {
        let Ok((mut stream, from)) = listener.accept().await else { return };
        let mut said = [0; WORD];
        let knows = stream.read_exact(&mut said).await.is_ok() && said == word.as_bytes();
        if !knows {
            tracing::warn!(%from, "somebody without the word knocked where a link is measured");
            continue;
        }
        drop(listener);
        if let Err(error) = count(&mut stream).await {
            tracing::info!(%error, %from, "the measure of a link ended early");
        }
        return;
    }
}

/// Reads until it is enough, and tells what came.
async fn count(stream: &mut TcpStream) -> Result<()> {
    let (mut chunk, mut total, mut samples) = (vec![0; CHUNK], 0, Vec::new());
    let mut began: Option<Instant> = None;
    loop {
        let left = began.map_or(OPEN, |began| TIME_MAX.saturating_sub(began.elapsed()));
        let Ok(read) = timeout(left, stream.read(&mut chunk)).await else { break };
        let read = read? as u64;
        let began = *began.get_or_insert_with(Instant::now);
        total += read;
        let last = samples.last().map_or(0, |(_, bytes)| *bytes);
        if samples.is_empty() || total >= last + STEP_BYTES || read == 0 {
            samples.push((began.elapsed(), total));
        }
        if read == 0 || total >= BYTES_MAX {
            break;
        }
    }
    samples.extend(began.map(|began| (began.elapsed(), total)));
    let rate = rate(&samples).ok_or(ErrorKind::UnexpectedEof)?;
    stream.write_all(&serde_json::to_vec(&rate)?).await?;
    stream.shutdown().await?;
    // Closed with bytes unread, the kernel would take the answer back (RFC 1122, 4.2.2.13); the sender ends when it has it.
    let rest = async { while stream.read(&mut chunk).await.is_ok_and(|read| read > 0) {} };
    let _ = timeout(TIME_MAX, rest).await;
    Ok(())
}

/// What the samples say, without the first quarter of the time, in which TCP finds its pace (RFC 5681, slow start); the
/// slowest and the fastest of the four quarters of the rest.
fn rate(samples: &[Sample]) -> Option<LinkRate> {
    const PARTS: u32 = 4;
    let (whole, total) = *samples.last()?;
    let upto = |at: Duration| samples.iter().rev().find(|(when, _)| *when <= at).or(samples.first()).copied();
    let between = |(from, before): Sample, (to, after): Sample| {
        let micros = to.checked_sub(from).map_or(0, |apart| apart.as_micros());
        (micros > 0).then(|| u64::try_from(u128::from(after - before) * 1_000_000 / micros).unwrap_or(u64::MAX))
    };
    let begin = upto(whole / PARTS)?;
    let mean = between(begin, (whole, total))?;
    let part = whole.saturating_sub(begin.0) / PARTS;
    let ends = (0..=PARTS).map(|n| if n == PARTS { Some((whole, total)) } else { upto(begin.0 + part * n) });
    let ends: Vec<Sample> = ends.collect::<Option<_>>()?;
    let rates: Vec<u64> = ends.windows(2).filter_map(|pair| between(pair[0], pair[1])).collect();
    Some(LinkRate {
        bytes_per_second: mean,
        slowest_bytes_per_second: rates.iter().copied().min().unwrap_or(mean).min(mean),
        fastest_bytes_per_second: rates.iter().copied().max().unwrap_or(mean).max(mean),
        carried_bytes: total,
    })
}

/// Sends to an end until it has enough: what it counted.
///
/// # Errors
/// It cannot be reached, or says nothing.
pub async fn measure(host: &str, end: &LinkEnd) -> Result<LinkRate> {
    let limit = OPEN / 2;
    timeout(limit, send(host, end)).await.map_err(|_| Error::from(ErrorKind::TimedOut))?
}

async fn send(host: &str, end: &LinkEnd) -> Result<LinkRate> {
    let mut stream = TcpStream::connect((host, end.port)).await?;
    stream.write_all(end.word.as_bytes()).await?;
    let (read, mut write) = stream.split();
    let mut answer = Vec::new();
    let mut read = read.take(ANSWER_BYTES_MAX);
    let telling = read.read_to_end(&mut answer);
    let sending = async {
        let zeros = vec![0; CHUNK];
        // It ends when the other side closes.
        while write.write_all(&zeros).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    tokio::select! {
        told = telling => told?,
        () = sending => 0,
    };
    Ok(serde_json::from_slice(&answer)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn a_link_is_measured_once_and_its_end_closes() {
        let end = open(HERE).await.unwrap();
        let rate = measure("127.0.0.1", &end).await.unwrap();
        assert!(rate.carried_bytes > 0 && rate.carried_bytes < BYTES_MAX + CHUNK as u64, "{rate:?}");
        assert!(rate.slowest_bytes_per_second <= rate.bytes_per_second, "{rate:?}");
        assert!(rate.bytes_per_second <= rate.fastest_bytes_per_second, "{rate:?}");
        assert!(measure("127.0.0.1", &end).await.is_err(), "it takes one measure");
    }

    #[tokio::test]
    async fn who_does_not_know_the_word_is_sent_away_and_who_does_is_heard_after_it() {
        let end = open(HERE).await.unwrap();
        let stranger = LinkEnd { word: "0".repeat(WORD), ..end.clone() };
        assert!(measure("127.0.0.1", &stranger).await.is_err());
        assert!(measure("127.0.0.1", &end).await.is_ok(), "the control");
    }

    #[test]
    fn the_first_quarter_is_left_out_and_the_rest_has_its_slowest_and_fastest() {
        // 100 kB in each of the first 100 ms by 10, then 1 MB, 2 MB, 3 MB and 2 MB in 75 ms each.
        let mut samples: Vec<Sample> = (1..=10).map(|n| (MS * 10 * n, u64::from(n) * 10_000)).collect();
        for (n, more) in [(1, 1_000_000), (2, 2_000_000), (3, 3_000_000), (4, 2_000_000)] {
            let last = samples.last().unwrap().1;
            samples.push((MS * (100 + 75 * n), last + more));
        }
        let rate = rate(&samples).unwrap();
        assert_eq!(rate.bytes_per_second, 26_666_666, "8 MB in 300 ms");
        assert_eq!((rate.slowest_bytes_per_second, rate.fastest_bytes_per_second), (13_333_333, 40_000_000));
        assert_eq!(rate.carried_bytes, 8_100_000);
    }

    #[test]
    fn of_nothing_and_of_no_time_there_is_no_rate() {
        assert_eq!(rate(&[]), None);
        assert_eq!(rate(&[(Duration::ZERO, 7)]), None);
        assert!(rate(&[(Duration::ZERO, 7), (MS, 1_007)]).is_some(), "the control");
    }
}
