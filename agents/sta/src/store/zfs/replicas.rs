//! Replicas as zvols `<pool>/rep-<key>` with one snapshot; what is being received is `<pool>/part-<key>/bytes`.
//!
//! ```text
//! create part-k (marked, empty) ─► receive -s part-k/bytes@rep-k ─► guid and size are the snapshot's ─► set the mark on it
//!        ─► rename it rep-k ─► destroy part-k
//! ```
//!
//! Rule: what is received has the mark of the dataset above it from its first moment, and no device. A stream carries the
//! checksum of every record and ZFS applies none that differs; that it is the right snapshot, its `guid` says. A difference is
//! received as a clone of its base (`-o origin`): ZFS refuses another base than the stream was made from. One `zfs receive`
//! a key: the next look waits for its end.

use super::words::replicas::{self as words, Standing};
use super::words::{self as plain, Trouble};
use super::{COMMAND_LIMIT, ZfsStore, typed};
use crate::command::{self, CommandError};
use crate::mark::Mark;
use crate::store::replicas::{
    Asked, Begun, Head, NewReplica, Offer, Pieces, Progress, Replica, Replicas, Sending, held,
};
use crate::store::snapshots::{SnapshotKeys, Snapshots};
use crate::store::{StoreError, check_key};
use async_trait::async_trait;
use futures_util::StreamExt;
use hyper::body::Bytes;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::OwnedMutexGuard;

/// Sent at a time.
const PIECE_BYTES: usize = 256 << 10;
/// `zfs receive` writes the last of it out after its input ended: transaction groups of a loaded pool.
const RECEIVE_ENDS: Duration = Duration::from_secs(300);
/// Pieces after which the tests' fault of half a stream strikes.
const HALFWAY_BYTES: u64 = 16 << 20;

/// What is being received, by its key.
#[derive(Default)]
pub struct Receiving(Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Receiving {
    /// Until nothing is received under that key any more, and nothing is while it is held.
    async fn alone(&self, key: &str) -> OwnedMutexGuard<()> {
        let one = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, one| Arc::strong_count(one) > 1);
            all.entry(key.to_owned()).or_default().clone()
        };
        one.lock_owned().await
    }
}

impl ZfsStore {
    pub(super) fn replica(&self, key: &str) -> String {
        format!("{}/rep-{key}", self.pool)
    }

    pub(super) fn replica_snapshot(&self, key: &str) -> String {
        format!("{}@{}", self.replica(key), words::snapshot(key))
    }

    fn part(&self, key: &str) -> String {
        format!("{}/part-{key}", self.pool)
    }

    fn bytes(&self, key: &str) -> String {
        format!("{}/{}", self.part(key), words::BYTES)
    }

    async fn is_there(&self, name: &str) -> Result<bool, StoreError> {
        let asked = ["list", "-H", "-o", "name", name].map(str::to_owned);
        match command::run("zfs", &asked, COMMAND_LIMIT).await {
            Ok(_) => Ok(true),
            Err(CommandError::Failed { stderr, .. }) if plain::trouble(&stderr) == Trouble::Missing => Ok(false),
            Err(error) => Err(typed(name, error)),
        }
    }

    async fn standing(&self, key: &str) -> Result<Standing, StoreError> {
        let bytes = self.bytes(key);
        match self.is_there(&bytes).await? {
            true => words::standing(&self.zfs(&bytes, words::show_part(&bytes)).await?),
            false => Ok(Standing::Nothing),
        }
    }

    async fn remove_part(&self, key: &str) -> Result<(), StoreError> {
        let part = self.part(key);
        if self.is_there(&part).await? {
            self.zfs(&part, plain::destroy_with_snapshots(&part)).await?;
        }
        Ok(())
    }

    /// What a token is of, and about how much is left.
    async fn look_into(&self, token: &str, offer: &Offer) -> Result<u64, StoreError> {
        let left = |reason: String| StoreError::ReplicaLeftBehind { reason };
        if !words::is_token(token) {
            return Err(left("it does not say from where".into()));
        }
        let asked = words::would(&words::send_rest(token));
        let text = command::run("zfs", &asked, COMMAND_LIMIT).await;
        // A snapshot that went, another pool's token: it is begun anew.
        let (size, guid) = words::told(&text.map_err(|error| left(crate::store::sentence(&error)))?);
        match guid == Some(offer.guid) {
            true => Ok(size.unwrap_or(0)),
            false => Err(left("it is of another snapshot".into())),
        }
    }

    async fn begin_to_receive(&self, new: &NewReplica, base: Option<u64>) -> Result<Option<String>, StoreError> {
        self.check_promised(new.size_bytes).await?;
        let origin = match base {
            None => None,
            Some(guid) => {
                let gone = || StoreError::ReplicaLeftBehind { reason: format!("no replica is of snapshot {guid}") };
                let whole = self.list_replicas().await?.into_iter().find(|one| one.guid == Some(guid));
                Some(self.replica_snapshot(&whole.ok_or_else(gone)?.key))
            }
        };
        let part = self.part(&new.key);
        if !self.is_there(&part).await? {
            self.zfs(&part, words::create_part(&part, (&new.mark, &new.volume, &new.origin))).await?;
        }
        self.faults.hit("receive_replica:begun").await?;
        Ok(origin)
    }
}

#[async_trait]
impl Replicas for ZfsStore {
    async fn offer_snapshot(&self, at: &SnapshotKeys, reader: &str) -> Result<Offer, StoreError> {
        let name = self.snapshot(&at.volume_key, &at.key);
        self.zfs(&name, words::offer(&name, reader)).await?;
        let gone = || StoreError::Unavailable { reason: format!("{name} went while it was used") };
        self.find_offer(at).await?.ok_or_else(gone)
    }

    async fn find_offer(&self, at: &SnapshotKeys) -> Result<Option<Offer>, StoreError> {
        if self.find_snapshot(&at.volume_key, &at.key).await?.is_none() {
            return Ok(None);
        }
        let name = self.snapshot(&at.volume_key, &at.key);
        words::offered(&self.zfs(&name, words::show_offer(&name)).await?)
    }

    async fn send_snapshot(&self, at: &SnapshotKeys, asked: &Asked) -> Result<Sending, StoreError> {
        let gone = || StoreError::Unavailable { reason: format!("{}@{} is not offered", at.volume_key, at.key) };
        let offer = self.find_offer(at).await?.ok_or_else(gone)?;
        let (volume, name) = (self.volume(&at.volume_key), self.snapshot(&at.volume_key, &at.key));
        let (arguments, base, stream_bytes) = match &asked.resume {
            Some(token) => {
                let left = self.look_into(token, &offer).await?;
                (words::send_rest(token), asked.held.last().copied(), left)
            }
            None => {
                let all = self.zfs(&volume, words::list_guids(&volume)).await?;
                let base = words::base(&all, offer.guid, &asked.held)?;
                let arguments = words::send(&name, base.as_ref().map(|base| base.0.as_str()));
                let would = self.zfs(&name, words::would(&arguments)).await?;
                (arguments, base.map(|base| base.1), words::told(&would).0.unwrap_or(0))
            }
        };
        let head = Head { store: "zfs".into(), guid: offer.guid, base, size_bytes: offer.size_bytes, stream_bytes };
        Ok(Sending { head, pieces: sent(&arguments)? })
    }

    async fn find_replica(&self, key: &str) -> Result<Option<Replica>, StoreError> {
        check_key(key)?;
        Ok(self.list_replicas().await?.into_iter().find(|replica| replica.key == key))
    }

    async fn list_replicas(&self) -> Result<Vec<Replica>, StoreError> {
        self.check_pool().await?;
        words::replicas(&self.zfs(&self.pool, words::list(&self.pool)).await?, &self.pool)
    }

    async fn begin_replica(&self, new: &NewReplica) -> Result<Begun, StoreError> {
        check_key(&new.key)?;
        self.faults.hit("receive_replica:before").await?;
        self.check_pool().await?;
        let _alone = self.receiving.alone(&new.key).await;
        let whole = Standing::Whole { guid: new.guid, size_bytes: plain::rounded(new.size_bytes) };
        match self.standing(&new.key).await? {
            found if found == whole => Ok(Begun::Proved),
            Standing::Token(token) => Ok(Begun::Wants(Asked { held: Vec::new(), resume: Some(token) })),
            Standing::Whole { .. } | Standing::Nothing => {
                self.remove_part(&new.key).await?;
                Ok(Begun::Wants(Asked { held: held(&self.list_replicas().await?, new), resume: None }))
            }
        }
    }

    async fn receive_replica(
        &self,
        new: &NewReplica,
        head: &Head,
        mut pieces: Pieces,
        progress: Progress,
    ) -> Result<(), StoreError> {
        let alone = self.receiving.alone(&new.key).await;
        let target = format!("{}@{}", self.bytes(&new.key), words::snapshot(&new.key));
        let arguments = match self.standing(&new.key).await? {
            Standing::Token(_) => words::receive(&target, None),
            Standing::Whole { .. } | Standing::Nothing => {
                let origin = self.begin_to_receive(new, head.base).await?;
                words::receive(&target, origin.as_deref())
            }
        };
        let mut receive = Receive::start(&arguments, alone)?;
        let mut taken = 0u64;
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) if !receive.write(&piece).await? => break,
                Ok(piece) => taken += piece.len() as u64,
                Err(error) => {
                    // What came is kept once it has seen the end.
                    let _ = receive.end(&target).await;
                    return Err(error);
                }
            }
            if taken >= HALFWAY_BYTES {
                self.faults.hit("receive_replica:halfway").await?;
            }
            progress((u128::from(taken) * 100 / u128::from(head.stream_bytes.max(taken).max(1))).min(99) as u8);
        }
        let _alone = receive.end(&target).await?;
        self.faults.hit("receive_replica:received").await?;
        match self.standing(&new.key).await? {
            Standing::Whole { guid, size_bytes }
                if (guid, size_bytes) == (new.guid, plain::rounded(new.size_bytes)) => {}
            other => {
                let reason = format!("it is {other:?}, sent was {} of {} bytes", new.guid, new.size_bytes);
                return Err(StoreError::ReplicaMismatch { replica: new.mark.owner.clone(), reason });
            }
        }
        Ok(self.faults.hit("receive_replica:proved").await?)
    }

    async fn keep_replica(&self, new: &NewReplica) -> Result<(), StoreError> {
        let _alone = self.receiving.alone(&new.key).await;
        let (bytes, name) = (self.bytes(&new.key), self.replica(&new.key));
        self.zfs(&bytes, words::set_replica(&bytes, (&new.mark, &new.volume, &new.origin))).await?;
        self.faults.hit("receive_replica:marked").await?;
        self.zfs(&name, plain::rename(&bytes, &name)).await?;
        self.faults.hit("receive_replica:renamed").await?;
        self.remove_part(&new.key).await?;
        Ok(self.faults.hit("receive_replica:after").await?)
    }

    async fn mark_replica(&self, key: &str, mark: &Mark) -> Result<(), StoreError> {
        let name = self.replica(key);
        self.zfs(&name, plain::set_mark(&name, mark)).await.map(|_| ())
    }

    async fn abandon_replica(&self, key: &str) -> Result<(), StoreError> {
        check_key(key)?;
        self.check_pool().await?;
        let _alone = self.receiving.alone(key).await;
        self.remove_part(key).await
    }

    async fn delete_replica(&self, key: &str) -> Result<(), StoreError> {
        self.faults.hit("delete_replica:before").await?;
        self.abandon_replica(key).await?;
        self.faults.hit("delete_replica:half").await?;
        let (name, snapshot) = (self.replica(key), self.replica_snapshot(key));
        if !self.is_there(&name).await? {
            return Ok(());
        }
        if self.is_there(&snapshot).await? {
            self.zfs(&snapshot, plain::destroy_deferred(&snapshot)).await?;
        }
        self.faults.hit("delete_replica:deferred").await?;
        self.hand_over(&name).await?;
        self.zfs(&name, plain::destroy(&name)).await?;
        Ok(self.faults.hit("delete_replica:after").await?)
    }
}

/// The stream of `zfs send`; it dies with whoever reads.
fn sent(arguments: &[String]) -> Result<Pieces, StoreError> {
    let mut command = Command::new("zfs");
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().map_err(not_started)?;
    let (Some(output), Some(complaints)) = (child.stdout.take(), child.stderr.take()) else { return Err(no_pipes()) };
    let next = |state: Option<(Child, ChildStdout, ChildStderr)>| async {
        let (child, mut output, complaints) = state?;
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        match (&mut output).take(PIECE_BYTES as u64).read_to_end(&mut piece).await {
            Ok(0) => ended(child, complaints, "the snapshot").await.err().map(|error| (Err(error), None)),
            Ok(_) => Some((Ok(Bytes::from(piece)), Some((child, output, complaints)))),
            Err(error) => Some((Err(not_started(error)), None)),
        }
    };
    Ok(futures_util::stream::unfold(Some((child, output, complaints)), next).boxed())
}

fn not_started(source: std::io::Error) -> StoreError {
    CommandError::Start { program: "zfs".into(), source }.into()
}

fn no_pipes() -> StoreError {
    StoreError::Unavailable { reason: "`zfs` was started without its pipes".into() }
}

/// How it ended.
async fn ended(mut child: Child, mut complaints: ChildStderr, name: &str) -> Result<(), StoreError> {
    let late = || CommandError::Late { program: "zfs".into(), limit: RECEIVE_ENDS };
    let mut said = Vec::new();
    let end = async {
        let _ = (&mut complaints).take(64 << 10).read_to_end(&mut said).await;
        child.wait().await
    };
    let status = tokio::time::timeout(RECEIVE_ENDS, end).await.map_err(|_| late())?.map_err(not_started)?;
    if status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&said).trim().chars().take(400).collect();
    let verb = "send or receive".to_owned();
    Err(typed(name, CommandError::Failed { program: "zfs".into(), verb, code: status.code().unwrap_or(-1), stderr }))
}

/// A `zfs receive`: nobody else looks at its key before it ended, also where nobody waits for it any more.
struct Receive {
    child: Option<Child>,
    input: Option<ChildStdin>,
    complaints: Option<ChildStderr>,
    alone: Option<OwnedMutexGuard<()>>,
}

impl Receive {
    fn start(arguments: &[String], alone: OwnedMutexGuard<()>) -> Result<Self, StoreError> {
        let mut command = Command::new("zfs");
        command.args(arguments).env("LC_ALL", "C").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().map_err(not_started)?;
        let (input, complaints) = (child.stdin.take(), child.stderr.take());
        Ok(Self { child: Some(child), input, complaints, alone: Some(alone) })
    }

    /// Whether it takes any: one that ended says why at its end.
    async fn write(&mut self, piece: &[u8]) -> Result<bool, StoreError> {
        let Some(input) = &mut self.input else { return Ok(false) };
        let late = |_| StoreError::from(CommandError::Late { program: "zfs".into(), limit: RECEIVE_ENDS });
        let written = tokio::time::timeout(RECEIVE_ENDS, input.write_all(piece)).await.map_err(late)?;
        Ok(written.is_ok())
    }

    async fn end(mut self, name: &str) -> Result<Option<OwnedMutexGuard<()>>, StoreError> {
        self.input = None;
        let (Some(child), Some(complaints)) = (self.child.take(), self.complaints.take()) else {
            return Err(no_pipes());
        };
        ended(child, complaints, name).await?;
        Ok(self.alone.take())
    }
}

impl Drop for Receive {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let alone = self.alone.take();
        drop(arame_framework::rehearsal::spawn(async move {
            // SIGKILL: what came so far is kept, and is removed or gone on with by whoever looks next.
            let _ = child.kill().await;
            drop(alone);
        }));
    }
}
