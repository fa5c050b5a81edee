//! Another node's snapshot on its way into this node's store.
//!
//! ```text
//! job sta.replica.receive ─► comings (they outlive a job) ─► a part, proved equal ─► inside the job: the replica appears
//! ```
//!
//! Rule: what is asked for goes by what the store holds already; what cannot be gone on with is begun anew by the next job. It
//! decides about no retry, and believes nothing of what it receives: the store proves it.

use crate::config::FetchConfig;
use crate::fetch::downloads::{Downloads, Report};
use crate::fetch::error::FetchError;
use crate::fetch::link::{self, Answer, Link};
use crate::http::snapshots::{head_of, query_of};
use crate::store::replicas::{Begun, Pieces, Progress, check_head};
use crate::store::{NewReplica, Store, StoreError};
use arame_schema::jobs::sta::ReplicaSource;
use axum::http::StatusCode;
use futures_util::StreamExt;
use http_body_util::{BodyDataStream, BodyExt};
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// The bytes of an answer, and its connection.
type Coming = (BodyDataStream<Incoming>, AbortOnDropHandle<()>);

/// Replicas that come to this node.
pub struct Receiver {
    pub comings: Downloads<()>,
    parts: Arc<Parts>,
}

struct Parts {
    store: Arc<dyn Store>,
    link: Link,
    silence: Duration,
}

impl Receiver {
    pub fn new(config: &FetchConfig, store: Arc<dyn Store>) -> Self {
        let silence = Duration::from_secs(config.silence_seconds);
        Self { comings: Downloads::default(), parts: Arc::new(Parts { store, link: Link::new(config), silence }) }
    }

    /// The copy that a job asks for, as it will run whether or not the job still does.
    pub fn receive(
        &self,
        new: &NewReplica,
        from: &ReplicaSource,
        report: Report,
    ) -> impl Future<Output = Result<(), FetchError>> + use<> {
        let (parts, new, from) = (self.parts.clone(), new.clone(), from.clone());
        async move { Ok(parts.receive(&new, &from, report).await?) }
    }
}

impl Parts {
    async fn receive(&self, new: &NewReplica, from: &ReplicaSource, report: Report) -> Result<(), StoreError> {
        let here = self.store.kind();
        if from.offered.store != here {
            return Err(StoreError::ReplicaStoreDiffers { here, there: from.offered.store.clone() });
        }
        let Begun::Wants(asked) = self.store.begin_replica(new).await? else { return Ok(()) };
        let url = format!("{}?{}", from.offered.url, query_of(&asked));
        let answer = match self.link.get_from_peer(&url, Some(from.reader.expose())).await {
            Ok(answer) => answer,
            Err(FetchError::Strange { status, .. }) if status == StatusCode::CONFLICT.as_u16() => {
                self.store.abandon_replica(&new.key).await?;
                return Err(StoreError::ReplicaLeftBehind { reason: "its storage node has no such rest of it".into() });
            }
            Err(error) => return Err(StoreError::ReplicaNotSent { reason: error.to_string() }),
        };
        let head = head_of(answer.response.headers());
        let head = head.ok_or_else(|| StoreError::ReplicaNotSent { reason: "it does not say what it sends".into() })?;
        check_head(&head, new, here)?;
        let note = if head.base.is_some() { "receiving what changed" } else { "receiving the snapshot" };
        let progress: Progress = Arc::new(move |percent| report.tell(percent, note));
        match self.store.receive_replica(new, &head, self.pieces(answer), progress).await {
            Err(error @ (StoreError::ReplicaMismatch { .. } | StoreError::ReplicaLeftBehind { .. })) => {
                // What is not equal is no beginning of anything.
                self.store.abandon_replica(&new.key).await?;
                Err(error)
            }
            ended => ended,
        }
    }

    /// The bytes as they come. The connection ends with them.
    fn pieces(&self, answer: Answer) -> Pieces {
        let Answer { response, connection, .. } = answer;
        let (silence, body) = (self.silence, response.into_body().into_data_stream());
        let broken = |reason: String| Err(StoreError::ReplicaBrokenOff { reason });
        let next = move |state: Option<Coming>| async move {
            let (mut body, connection) = state?;
            match tokio::time::timeout(silence, body.next()).await {
                Err(_) => Some((broken(format!("nothing came for {silence:?}")), None)),
                Ok(None) => None,
                Ok(Some(Ok(piece))) => Some((Ok(piece), Some((body, connection)))),
                Ok(Some(Err(wrong))) => Some((broken(link::causes(&wrong)), None)),
            }
        };
        futures_util::stream::unfold(Some((body, connection)), next).boxed()
    }
}
