//! Publishing with confirms, many at a time on one channel.
//!
//! Rule: taking the next number and sending are one step under the [`Door`]'s lock, because the broker counts what
//! it receives. Ok from the library means nothing; only the confirm does. Every waiter is answered: by its confirm,
//! by the end of the channel, or by its caller's time limit. The lock is not held while waiting for a confirm.

use super::callbacks::Door;
use crate::bus::{Durability, PublishError};
use amqprs::channel::{BasicPublishArguments, Channel};
use amqprs::{BasicProperties, DELIVERY_MODE_PERSISTENT, DELIVERY_MODE_TRANSIENT};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

type Answer = Result<(), PublishError>;

struct Waiter {
    answer: oneshot::Sender<Answer>,
    /// Named in [`PublishError::Unroutable`].
    to: String,
    returned: bool,
}

#[derive(Default)]
struct Waiting {
    by_number: BTreeMap<u64, Waiter>,
    /// Set once no confirm can come any more.
    ended: Option<PublishError>,
}

/// Messages sent and not yet confirmed. Its size is bounded by the number of callers waiting.
#[derive(Default)]
pub(super) struct Confirms(Mutex<Waiting>);

impl Confirms {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expect(&self, number: u64, to: String) -> Result<oneshot::Receiver<Answer>, PublishError> {
        let mut waiting = self.lock();
        if let Some(why) = &waiting.ended {
            return Err(why.clone());
        }
        let (answer, answered) = oneshot::channel();
        waiting.by_number.insert(number, Waiter { answer, to, returned: false });
        Ok(answered)
    }

    /// `number` alone, or all up to it when `multiple`.
    pub fn settle(&self, number: u64, multiple: bool, refused: Option<&str>) {
        let settled = {
            let mut waiting = self.lock();
            if multiple {
                let rest = waiting.by_number.split_off(&number.saturating_add(1));
                std::mem::replace(&mut waiting.by_number, rest).into_values().collect()
            } else {
                Vec::from_iter(waiting.by_number.remove(&number))
            }
        };
        for waiter in settled {
            let answer = match refused {
                Some(why) => Err(PublishError::Refused(why.to_owned())),
                None if waiter.returned => Err(PublishError::Unroutable(waiter.to)),
                None => Ok(()),
            };
            // The caller's time may be over.
            let _ = waiter.answer.send(answer);
        }
    }

    pub fn returned(&self, number: u64) {
        if let Some(waiter) = self.lock().by_number.get_mut(&number) {
            waiter.returned = true;
        }
    }

    /// The channel is gone. `reason` is the broker's when it closed the channel itself.
    pub fn end(&self, reason: Option<String>) {
        let why = reason.map_or(PublishError::Disconnected, PublishError::Refused);
        let waiters = {
            let mut waiting = self.lock();
            waiting.ended.get_or_insert_with(|| why.clone());
            std::mem::take(&mut waiting.by_number)
        };
        for waiter in waiters.into_values() {
            let _ = waiter.answer.send(Err(why.clone()));
        }
    }

    fn forget(&self, number: u64) {
        self.lock().by_number.remove(&number);
    }
}

/// Removes a waiter whose caller gave up, so that a broker alarm does not fill the map.
struct Forget<'a> {
    confirms: &'a Confirms,
    number: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.confirms.forget(self.number);
    }
}

/// The publishing channel of one connection.
pub(crate) struct Publisher {
    channel: Channel,
    door: Arc<tokio::sync::Mutex<Door>>,
    confirms: Arc<Confirms>,
}

impl Publisher {
    pub(super) fn new(channel: Channel, door: Arc<tokio::sync::Mutex<Door>>, confirms: Arc<Confirms>) -> Self {
        Self { channel, door, confirms }
    }

    /// The connection is thrown away: whoever still waits learns it now.
    pub(super) fn abandon(&self) {
        self.confirms.end(None);
    }

    pub(super) async fn publish(
        &self,
        exchange: &str,
        key: &str,
        user: &str,
        durability: Durability,
        body: Vec<u8>,
    ) -> Answer {
        let to = if exchange.is_empty() { key } else { exchange };
        let arguments = BasicPublishArguments::new(exchange, key).mandatory(true).finish();
        let mut door = self.door.lock().await;
        let number = door.published + 1;
        let answered = self.confirms.expect(number, to.to_owned())?;
        let _forget = Forget { confirms: &self.confirms, number };
        if !door.open || !self.channel.is_open() {
            return Err(PublishError::Disconnected);
        }
        let properties = properties(number, user, durability);
        // Safe to be dropped by the caller's time limit: the library hands the whole message over in one step, and
        // the number is taken in that same step or not at all.
        if self.channel.basic_publish(properties, body, arguments).await.is_err() {
            return Err(PublishError::Disconnected);
        }
        door.published = number;
        drop(door);
        answered.await.unwrap_or(Err(PublishError::Disconnected))
    }
}

fn properties(number: u64, user: &str, durability: Durability) -> BasicProperties {
    let (mode, expires) = match durability {
        Durability::Persistent { expires } => (DELIVERY_MODE_PERSISTENT, expires),
        Durability::Transient { expires } => (DELIVERY_MODE_TRANSIENT, Some(expires)),
    };
    let mut properties = BasicProperties::default();
    properties
        .with_content_type("application/json")
        .with_delivery_mode(mode)
        .with_message_id(&number.to_string())
        .with_user_id(user);
    if let Some(expires) = expires {
        // AMQP counts in milliseconds; 0 would mean "only if somebody takes it this moment".
        properties.with_expiration(&expires.as_millis().max(1).to_string());
    }
    properties.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_confirm_of_many_settles_all_up_to_its_number_and_no_more() {
        let confirms = Confirms::default();
        let mut answers: Vec<_> = (1..=4).map(|n| confirms.expect(n, "q".into()).unwrap()).collect();
        confirms.returned(2);
        confirms.settle(3, true, None);
        let last = answers.pop().unwrap();
        assert_eq!(answers.remove(0).await.unwrap(), Ok(()));
        assert_eq!(answers.remove(0).await.unwrap(), Err(PublishError::Unroutable("q".into())));
        assert_eq!(answers.remove(0).await.unwrap(), Ok(()));
        confirms.end(None);
        assert_eq!(last.await.unwrap(), Err(PublishError::Disconnected));
    }

    #[tokio::test]
    async fn nobody_waits_on_a_channel_that_has_ended() {
        let confirms = Confirms::default();
        confirms.end(Some("404 NOT_FOUND".into()));
        let refused = confirms.expect(1, "q".into()).map(|_| ());
        assert_eq!(refused, Err(PublishError::Refused("404 NOT_FOUND".into())));
    }
}
