//! The seam for rehearsals: on a thread that rehearses, whole programs run again and again exactly alike.
//!
//! Rule: on every other thread each function here is the plain call it stands for: the operating system's randomness,
//! `tokio::spawn`, `spawn_blocking`, or nothing at all. A rehearsing thread has one seed, from which everything is
//! drawn: ids, pauses, the order in which ready tasks run. This knows no program and decides nothing for one.

mod process;
mod stage;

pub use process::{Process, spawn};
pub use stage::{Note, Stage};

use rand::{Rng, RngCore};
use stage::{is_on, with};
use std::ops::Range;
use std::time::Duration;
use tokio::task::JoinError;
use uuid::Uuid;

/// The moment at which every rehearsal begins, in seconds since 1970: virtual time has no other origin.
pub const EPOCH_SECONDS: u64 = 1_767_225_600;

/// A step left out on purpose: a campaign that does not notice it proves nothing. Only builds with debug assertions
/// know them, and only a rehearsing thread may set one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The facts a job will touch stay as they were (DESIGN 3.4).
    DropMaybe,
    /// An agent does older jobs as well.
    SkipGenerationCheck,
    /// An outcome settles facts although its job is closed.
    SettleLateOutcome,
    /// An older observation of a fact wins over a newer one.
    BelieveOlderObservations,
    /// A released address is free at once.
    ReleaseWithoutCooling,
    /// An export goes although a plug may be there.
    UnexportWhilePlugged,
    /// A host lets another run its guest without having marked it as given away.
    SendWithoutMark,
    /// Harmless, and must be: a hello rings nothing, the timer does.
    ForgetToRingAfterHello,
}

impl Sabotage {
    pub const ALL: [Self; 8] = [
        Self::DropMaybe,
        Self::SkipGenerationCheck,
        Self::SettleLateOutcome,
        Self::BelieveOlderObservations,
        Self::ReleaseWithoutCooling,
        Self::UnexportWhilePlugged,
        Self::SendWithoutMark,
        Self::ForgetToRingAfterHello,
    ];
}

/// Whether a step shall be left out here and now.
pub fn sabotaged(what: Sabotage) -> bool {
    cfg!(debug_assertions) && with(|stage| stage.sabotage == Some(what)).unwrap_or(false)
}

/// Random bytes for ids and secrets.
pub fn fill_bytes(bytes: &mut [u8]) {
    if with(|stage| stage.rng.fill_bytes(bytes)).is_none() {
        rand::rng().fill_bytes(bytes);
    }
}

pub fn random_range(range: Range<u64>) -> u64 {
    let drawn = with(|stage| stage.rng.random_range(range.clone()));
    drawn.unwrap_or_else(|| rand::rng().random_range(range))
}

pub fn uuid_v4() -> Uuid {
    if !is_on() {
        return Uuid::new_v4();
    }
    let mut bytes = [0; 16];
    fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Ordered by time; in a rehearsal by virtual time, then by a count.
pub fn uuid_v7() -> Uuid {
    let Some((millis, count)) = with(stage::Stage::tick) else { return Uuid::now_v7() };
    let mut bytes = [0; 10];
    fill_bytes(&mut bytes[4..]);
    // RFC 9562 puts the version over the first four of these bits and the variant over the 17th and 18th.
    let [high, upper, lower, low] = [count >> 22, count >> 14, count >> 8, count].map(|part| (part & 0xff) as u8);
    bytes[..4].copy_from_slice(&[high & 0x0f, upper, lower & 0x3f, low]);
    uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
}

/// What a thing that takes `usual` takes this time.
pub fn jitter(usual: Duration) -> Duration {
    let most = u64::try_from(usual.as_micros()).unwrap_or(u64::MAX).saturating_mul(2);
    match with(|stage| stage.rng.random_range(0..=most)) {
        Some(micros) => Duration::from_micros(micros),
        None => usual,
    }
}

/// Work on files, on a thread that may block; in a rehearsal here and now.
///
/// # Errors
/// It panicked.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    if is_on() { Ok(work()) } else { tokio::task::spawn_blocking(work).await }
}

/// Lets others run, sometimes for a moment of virtual time. Nothing outside a rehearsal.
pub async fn pause() {
    match with(|stage| stage.rng.random_range(0..100u32)) {
        None | Some(0..=49) => {}
        Some(50..=84) => tokio::task::yield_now().await,
        Some(_) => tokio::time::sleep(Duration::from_micros(random_range(1..4_000))).await,
    }
}

/// Adds a line to the trace of a rehearsal.
pub fn note(line: impl FnOnce() -> String) {
    if is_on() {
        let line = line();
        with(|stage| stage.note(line));
    }
}

/// Passes a point at which the rehearsed process may end: it does so by unwinding from here.
pub fn point(name: &str, kind: &str) {
    let Some(watch) = with(|stage| stage.points.clone()) else { return };
    if watch(name, kind) {
        // Without the panic hook: a death that was asked for is no news.
        std::panic::resume_unwind(Box::new("the process ends here"));
    }
}
