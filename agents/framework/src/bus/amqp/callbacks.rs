//! What the broker tells by itself: closes, cancels, confirms, returns.
//!
//! Rule: the end of a callback object is the end of its channel or connection, however that came about (closed by the
//! broker, lost network, a panic inside the library): its `Drop` tells. The close callback shuts the [`Door`] before
//! it returns, and the library answers the broker only afterwards, so nothing is ever sent on a channel the broker
//! has closed (it would close the whole connection with 504).

use super::publisher::Confirms;
use amqprs::callbacks::{ChannelCallback, ConnectionCallback};
use amqprs::channel::Channel;
use amqprs::connection::Connection;
use amqprs::{Ack, BasicProperties, Cancel, Close, CloseChannel, Nack, Return};
use async_trait::async_trait;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

type Answer<T> = Result<T, amqprs::error::Error>;

/// What ended; told to the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Connection,
    Publisher,
    /// The subscription's number, and whether it was its receiver that went away.
    Consumer {
        number: usize,
        unwanted: bool,
    },
}

/// Held by whoever sends on a channel, for as long as sending takes. `open` is false once the broker closed it.
#[derive(Debug)]
pub(super) struct Door {
    pub open: bool,
    /// Number of the last message published on the channel; the broker counts alike.
    pub published: u64,
}

impl Door {
    pub fn new() -> Arc<tokio::sync::Mutex<Door>> {
        Arc::new(tokio::sync::Mutex::new(Door { open: true, published: 0 }))
    }
}

/// Why the broker closed something: the error of the call that was under way does not say.
#[derive(Debug, Clone, Default)]
pub(super) struct Reason(Arc<Mutex<Option<String>>>);

impl Reason {
    pub fn set(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    pub fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(super) struct OnChannel {
    pub door: Arc<tokio::sync::Mutex<Door>>,
    pub reason: Reason,
    /// Publishers only.
    pub confirms: Option<Arc<Confirms>>,
    /// Who is told of the end, if it is not told by the end of a receiver.
    pub ended: Option<mpsc::UnboundedSender<Ended>>,
}

impl Drop for OnChannel {
    fn drop(&mut self) {
        if let Some(confirms) = &self.confirms {
            confirms.end(self.reason.get());
        }
        if let Some(ended) = &self.ended {
            let _ = ended.send(Ended::Publisher);
        }
    }
}

#[async_trait]
impl ChannelCallback for OnChannel {
    async fn close(&mut self, _: &Channel, close: CloseChannel) -> Answer<()> {
        self.reason.set(format!("{} {}", close.reply_code(), close.reply_text()));
        self.door.lock().await.open = false;
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Answer<()> {
        // Ends the consumer's receiver; its pump tells the supervisor.
        self.reason.set("the queue was deleted or moved".into());
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Answer<bool> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        if let Some(confirms) = &self.confirms {
            confirms.settle(ack.delivery_tag(), ack.mutiple(), None);
        }
    }

    async fn publish_nack(&mut self, _: &Channel, nack: Nack) {
        if let Some(confirms) = &self.confirms {
            confirms.settle(nack.delivery_tag(), nack.multiple(), Some("the broker could not keep it"));
        }
    }

    async fn publish_return(&mut self, _: &Channel, _: Return, properties: BasicProperties, _: Vec<u8>) {
        // The return names no number; we gave ours as message id. The confirm follows and settles it.
        let number = properties.message_id().and_then(|id| id.parse().ok());
        if let (Some(confirms), Some(number)) = (&self.confirms, number) {
            confirms.returned(number);
        }
    }
}

pub(super) struct OnConnection {
    pub reason: Reason,
    pub ended: mpsc::UnboundedSender<Ended>,
}

impl Drop for OnConnection {
    fn drop(&mut self) {
        let _ = self.ended.send(Ended::Connection);
    }
}

#[async_trait]
impl ConnectionCallback for OnConnection {
    async fn close(&mut self, _: &Connection, close: Close) -> Answer<()> {
        self.reason.set(format!("{} {}", close.reply_code(), close.reply_text()));
        Ok(())
    }

    async fn blocked(&mut self, _: &Connection, _: String) {}

    async fn unblocked(&mut self, _: &Connection) {}

    async fn secret_updated(&mut self, _: &Connection) {}
}
