//! Images from elsewhere: fetched from an address that a user gave, or brought to this node by an upload.
//!
//! ```text
//! job sta.image.import ─► downloads (one a image, they outlive a job) ─► link | uploads ─► staged ─► verified
//!        └──────────────────────────── inside the job: keep_image ◄────────────────────────────────────┘
//! ```
//!
//! Rule: what comes is a stranger's: bounded in size, time and silence, judged before anything else looks at it, and
//! nobody's until a job of its image takes it. It knows no image that is there already and decides about no retry.

pub mod address;
pub mod downloads;
pub mod error;
pub mod link;
pub mod uploads;

use crate::config::FetchConfig;
use crate::sandbox::Checker;
use crate::store::{Announced, Room, Staged, Store, StoreError, Verified, blocking};
use arame_schema::jobs::sta::{ImportImage, UPLOAD};
use downloads::{Downloads, Report};
use error::FetchError;
use futures_util::{Stream, StreamExt};
use http_body_util::BodyExt;
use hyper::body::Bytes;
use link::Link;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uploads::Uploads;

/// What is written at a time.
const BLOCK: usize = 1 << 20;
/// How long the rest of a refused upload is read.
const HEARD_OUT: Duration = Duration::from_secs(2);

/// Whether these bytes come from elsewhere than a file of the operator's.
pub fn is_remote(source: &str) -> bool {
    source == UPLOAD || source.starts_with("http://") || source.starts_with("https://")
}

/// Brings images in.
pub struct Fetch {
    pub downloads: Downloads<Verified>,
    pub uploads: Arc<Uploads>,
    bring: Arc<Bring>,
}

struct Bring {
    config: FetchConfig,
    link: Link,
    checker: Checker,
    store: Arc<dyn Store>,
    uploads: Arc<Uploads>,
}

impl Fetch {
    pub fn new(config: FetchConfig, store: Arc<dyn Store>) -> Self {
        let uploads = Arc::new(Uploads::default());
        let (link, checker) = (Link::new(&config), Checker::new(config.checker_uid));
        let bring = Arc::new(Bring { config, link, checker, store, uploads: uploads.clone() });
        Self { downloads: Downloads::default(), uploads, bring }
    }

    /// What the job asks for, as it will run whether or not the job still does.
    pub fn bring(
        &self,
        job: &ImportImage,
        report: Report,
    ) -> impl Future<Output = Result<Verified, FetchError>> + use<> {
        let (bring, job) = (self.bring.clone(), job.clone());
        async move { bring.run(&job, &report).await }
    }
}

impl Bring {
    async fn run(&self, job: &ImportImage, report: &Report) -> Result<Verified, FetchError> {
        let limit = Duration::from_secs(self.config.minutes_max * 60);
        let brought = async {
            match &job.ticket {
                Some(ticket) if job.source == UPLOAD => self.receive(job, ticket.expose(), report).await,
                None if job.source == UPLOAD => Err(FetchError::NobodyCame { limit: Duration::ZERO }),
                _ => self.fetch(job, report).await,
            }
        };
        tokio::time::timeout(limit, brought).await.unwrap_or(Err(FetchError::TooLong { limit }))
    }

    fn announced(&self, job: &ImportImage) -> Announced {
        Announced {
            image: job.image.clone(),
            format: job.format,
            sha256: job.sha256.clone(),
            size_bytes: job.size_bytes,
            disk_bytes_max: self.config.disk_mib_max << 20,
        }
    }

    async fn fetch(&self, job: &ImportImage, report: &Report) -> Result<Verified, FetchError> {
        let answer = match job.peer {
            true => self.link.get_from_peer(&job.source, job.ticket.as_ref().map(|shown| shown.expose())).await?,
            false => self.link.get(&job.source).await?,
        };
        let length = hyper::body::Body::size_hint(answer.response.body()).exact();
        let body =
            answer.response.into_body().into_data_stream().map(|piece| piece.map_err(|wrong| link::causes(&wrong)));
        let broken = |received, reason| FetchError::BrokenOff { received, reason };
        let staged = self.pour(job, length, std::pin::pin!(body), broken, report).await?;
        report.tell(100, "checking the image");
        Ok(staged.finish(&self.announced(job), &self.checker).await?)
    }

    async fn receive(&self, job: &ImportImage, ticket: &str, report: &Report) -> Result<Verified, FetchError> {
        let parcel = self.uploads.expect(ticket).await?;
        let body = parcel.body.into_data_stream().map(|piece| piece.map_err(|wrong| link::causes(&wrong)));
        let broken = |received, reason| FetchError::UploadBroken { received, reason };
        let mut body = std::pin::pin!(body);
        let received = async {
            let staged = self.pour(job, parcel.length, body.as_mut(), broken, report).await?;
            report.tell(100, "checking the image");
            Ok(staged.finish(&self.announced(job), &self.checker).await?)
        };
        let received: Result<Verified, FetchError> = received.await;
        let told = received.as_ref().map(|found| (found.sha256.clone(), found.size_bytes));
        let told = told.map_err(|error| (error.code().0.to_owned(), crate::store::sentence(error)));
        let _ = parcel.answer.send(told);
        if received.is_err() {
            // Who still sends hears the answer only when it is not cut off.
            let rest = async { while body.next().await.is_some() {} };
            let _ = tokio::time::timeout(HEARD_OUT, rest).await;
        }
        received
    }

    /// Writes what comes, within the bounds.
    async fn pour(
        &self,
        job: &ImportImage,
        length: Option<u64>,
        mut body: Pin<&mut impl Stream<Item = Result<Bytes, String>>>,
        broken: impl Fn(u64, String) -> FetchError,
        report: &Report,
    ) -> Result<Staged, FetchError> {
        let limit_mib = self.config.image_mib_max;
        let most = job.size_bytes.unwrap_or(u64::MAX).min(limit_mib << 20);
        let too_large = || match job.size_bytes {
            Some(announced) if announced <= limit_mib << 20 => {
                let reason = format!("more comes than the {announced} bytes that were announced");
                FetchError::Store(StoreError::ChecksumMismatch { image: job.image.clone(), reason })
            }
            _ => FetchError::TooLarge { limit_mib },
        };
        if length.is_some_and(|length| length > most) {
            return Err(too_large());
        }
        check_room(self.store.room().await?, length.unwrap_or(0))?;
        let mut staged = self.store.stage_image(&job.image).await?;
        let silence = Duration::from_secs(self.config.silence_seconds);
        let (mut block, mut received) = (Vec::with_capacity(BLOCK), 0u64);
        let mut pace = Pace::new(silence);
        loop {
            let piece = tokio::time::timeout(silence, body.next()).await;
            let Some(piece) = piece.map_err(|_| FetchError::Silent { silence })? else { break };
            let piece = piece.map_err(|reason| broken(received, reason))?;
            received += piece.len() as u64;
            if received > most {
                return Err(too_large());
            }
            pace.check(received)?;
            block.extend_from_slice(&piece);
            if block.len() >= BLOCK {
                (staged, block) = write(staged, block).await?;
                let of = length.or(job.size_bytes).unwrap_or(most).max(1);
                report.tell((u128::from(received) * 100 / u128::from(of)).min(99) as u8, "fetching the image");
            }
        }
        if length.is_some_and(|length| length != received) {
            return Err(broken(received, format!("{} bytes were announced", length.unwrap_or_default())));
        }
        Ok(write(staged, block).await?.0)
    }
}

async fn write(mut staged: Staged, mut block: Vec<u8>) -> Result<(Staged, Vec<u8>), StoreError> {
    blocking(move || {
        staged.write(&block)?;
        block.clear();
        Ok((staged, block))
    })
    .await
}

fn check_room(room: Room, needed: u64) -> Result<(), StoreError> {
    match needed > room.free_bytes {
        true => Err(StoreError::DiskFull { what: format!("{needed} bytes: {} are free", room.free_bytes) }),
        false => Ok(()),
    }
}

/// Somebody who sends a byte now and then is not silent, and does not get to the end either.
struct Pace {
    window: Duration,
    began: Instant,
    before: u64,
}

impl Pace {
    /// Of a window: less than this is a trickle. A modem of 1998 is faster.
    const BYTES_PER_SECOND_MIN: u64 = 4096;

    fn new(window: Duration) -> Self {
        Self { window, began: Instant::now(), before: 0 }
    }

    fn check(&mut self, received: u64) -> Result<(), FetchError> {
        if self.began.elapsed() < self.window {
            return Ok(());
        }
        if received - self.before < Self::BYTES_PER_SECOND_MIN * self.window.as_secs().max(1) {
            return Err(FetchError::Silent { silence: self.window });
        }
        (self.began, self.before) = (Instant::now(), received);
        Ok(())
    }
}
