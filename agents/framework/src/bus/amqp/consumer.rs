//! Carries one consumer's messages to its subscriber and the acknowledgements back.
//!
//! Rule: an acknowledgement goes to the channel its message came by, or nowhere: the pump and its open
//! acknowledgements end with their channel, so an ack by an old connection is a no-op and the broker delivers again.

use super::callbacks::Ended;
use super::topology::Consuming;
use crate::bus::{Death, Delivery};
use amqprs::channel::{BasicAckArguments, BasicNackArguments, ConsumerMessage};
use amqprs::{FieldTable, FieldValue};
use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// A delivery dropped without an ack goes back after this time: at once would be a tight loop when its handler fails
/// for a lasting reason, and would use up the queue's delivery limit in milliseconds.
pub(in crate::bus) const REQUEUE_AFTER: Duration = Duration::from_secs(1);

/// A delivery's number and whether it was acknowledged.
type Settled = Pin<Box<dyn Future<Output = (u64, bool)> + Send>>;

/// Runs until the consumer or the session ends or the subscriber goes away, then tells which.
pub(super) async fn pump(
    number: usize,
    mut from: Consuming,
    to: mpsc::Sender<Delivery>,
    session: CancellationToken,
    ended: mpsc::UnboundedSender<Ended>,
) {
    let mut settled: FuturesUnordered<Settled> = FuturesUnordered::new();
    let mut next: Option<Delivery> = None;
    let unwanted = loop {
        tokio::select! {
            biased;
            () = session.cancelled() => break false,
            () = to.closed() => break true,
            Some((tag, acked)) = settled.next() => settle(&from, tag, acked).await,
            permit = to.reserve(), if next.is_some() => {
                if let (Ok(permit), Some(delivery)) = (permit, next.take()) {
                    permit.send(delivery);
                }
            }
            message = from.messages.recv(), if next.is_none() => {
                let Some(message) = message else { break false };
                next = delivery_of(message, &settled);
            }
        }
    };
    // What was acknowledged up to now is told, so that a good close does not deliver it again.
    while let Some(Some((tag, acked))) = settled.next().now_or_never() {
        settle(&from, tag, acked).await;
    }
    if let Some(reason) = from.reason.get() {
        tracing::debug!(reason, "a consumer ended");
    }
    let _ = ended.send(Ended::Consumer { number, unwanted });
}

fn delivery_of(mut message: ConsumerMessage, settled: &FuturesUnordered<Settled>) -> Option<Delivery> {
    let deliver = message.deliver.take()?;
    let (tag, redelivered) = (deliver.delivery_tag(), deliver.redelivered());
    let (done, acked) = oneshot::channel();
    settled.push(Box::pin(async move {
        let acked = acked.await.is_ok();
        if !acked {
            tokio::time::sleep(REQUEUE_AFTER).await;
        }
        (tag, acked)
    }));
    let properties = message.basic_properties.unwrap_or_default();
    let (user, death) = (properties.user_id().cloned(), properties.headers().and_then(death_of));
    Some(Delivery { body: message.content.unwrap_or_default(), user, redelivered, death, done: Some(done) })
}

fn death_of(headers: &FieldTable) -> Option<Death> {
    let text = |name: &str| match headers.get(&name.try_into().ok()?)? {
        FieldValue::S(text) => Some(text.to_string()),
        _ => None,
    };
    Some(Death { queue: text("x-first-death-queue")?, reason: text("x-first-death-reason")? })
}

async fn settle(from: &Consuming, tag: u64, acked: bool) {
    let door = from.door.lock().await;
    if !door.open || !from.channel.is_open() {
        return;
    }
    // An error means that the connection is going: the broker will deliver again.
    let _ = match acked {
        true => from.channel.basic_ack(BasicAckArguments::new(tag, false)).await,
        false => from.channel.basic_nack(BasicNackArguments::new(tag, false, true)).await,
    };
}
