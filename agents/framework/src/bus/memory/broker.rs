//! Queues, bindings, connections and faults of the in-memory broker. Pure state under one lock: nothing here waits.
//!
//! Rule: a message is in exactly one place, a queue or the hands of one subscription, until it is acknowledged or
//! expires. A cut connection puts back what it held, in order, marked redelivered.

use crate::bus::{Address, Death, Delivery, Durability, Link, PublishError, Source};
use crate::rehearsal;
use arame_schema::jobs::{DEAD_QUEUE, exchange};
use futures_util::future::{FutureExt, Shared};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

pub(super) type PartyId = u64;
pub(super) type SubscriptionId = u64;

/// Chances from 0 to 1, drawn for each message. All zero: a perfect broker.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// Confirmed and then lost, as by a broker that loses its disk.
    pub drop: f64,
    /// Delivered twice.
    pub duplicate: f64,
    /// Kept back for a time up to `delay_max`.
    pub delay: f64,
    pub delay_max: Duration,
    /// Put in front of messages that came earlier.
    pub reorder: f64,
    /// Taken, but the publisher is told that the connection broke: it cannot know.
    pub unconfirmed: f64,
}

/// What a campaign prints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    pub published: u64,
    pub delivered: u64,
    pub redelivered: u64,
    pub expired: u64,
    pub dropped: u64,
    pub duplicated: u64,
    pub delayed: u64,
    pub reordered: u64,
    pub unconfirmed: u64,
    pub kept_back: u64,
    pub disconnects: u64,
}

#[derive(Debug, Clone)]
struct Message {
    body: Vec<u8>,
    user: String,
    redelivered: bool,
    death: Option<Death>,
    expires: Option<Instant>,
    visible: Instant,
}

pub(super) type Matches = Box<dyn Fn(&[u8]) -> bool + Send>;

/// Messages to one queue that wait until a test lets them through.
struct Keeping {
    queue: String,
    /// `None`: it takes no more.
    matches: Option<Matches>,
    /// With the time each had when it came.
    kept: Vec<(Message, Option<Duration>)>,
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<Message>,
    /// In the order they came; of an exclusive queue only the first is served.
    consumers: Vec<SubscriptionId>,
    exclusive: bool,
}

struct Party {
    user: String,
    up: bool,
    link: Link,
    /// One for each who follows: told in the order they came, so that a run can be repeated.
    followers: Vec<watch::Sender<Link>>,
    frozen: watch::Sender<bool>,
}

struct Subscription {
    party: PartyId,
    source: Source,
    queue: String,
    prefetch: usize,
    news: Arc<Notify>,
    held: BTreeMap<u64, Held>,
}

/// In a subscriber's hands.
struct Held {
    message: Message,
    acked: Acked,
}

/// Resolves `Ok` when the delivery was acknowledged. Asked again when the connection ends, so that an ack given
/// before counts although the task that carries it has not run yet: runs are repeatable.
pub(super) type Acked = Shared<oneshot::Receiver<()>>;

#[derive(Default)]
pub(super) struct State {
    queues: HashMap<String, Queue>,
    bindings: HashMap<&'static str, Vec<String>>,
    parties: HashMap<PartyId, Party>,
    subscriptions: HashMap<SubscriptionId, Subscription>,
    keeping: BTreeMap<u64, Keeping>,
    faults: Faults,
    rng: Option<StdRng>,
    last: u64,
    pub(super) stats: Stats,
}

pub(super) enum Take {
    Message {
        tag: u64,
        delivery: Delivery,
        acked: Acked,
    },
    /// Nothing now; look again at that time or when told.
    Wait(Option<Instant>),
    Gone,
}

impl Party {
    fn set_link(&mut self, link: Link) {
        self.link = link;
        self.followers.retain(|follower| follower.send(link).is_ok());
    }
}

/// What a message is about, for the trace of a rehearsal.
fn about(body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let words = ["kind", "thing", "generation", "incarnation", "open_jobs", "result"];
    let told = words.iter().filter_map(|word| value.get(word).map(|value| format!("{word}={value}")));
    told.collect::<Vec<_>>().join(" ")
}

fn queue_behind(name: &str) -> String {
    name.replacen("arame.", "dcmgr.", 1)
}

impl State {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub fn set_faults(&mut self, seed: u64, faults: Faults) {
        self.rng = Some(StdRng::seed_from_u64(seed));
        self.faults = faults;
    }

    fn chance(&mut self, of: f64) -> bool {
        of > 0.0 && self.rng.as_mut().is_some_and(|rng| rng.random_bool(of.min(1.0)))
    }

    pub fn join(&mut self, user: &str, declares: bool) -> (PartyId, watch::Receiver<bool>) {
        if declares {
            for name in exchange::ALL.into_iter().filter(|name| *name != exchange::REPLY) {
                self.declare_behind(name);
            }
        }
        let link = Link { up: true, session: 1, distrust: None };
        let (frozen, seen) = watch::channel(false);
        let party = self.number();
        self.parties.insert(party, Party { user: user.to_owned(), up: true, link, followers: Vec::new(), frozen });
        (party, seen)
    }

    /// Follows a participant's connection; of one that has left, only that it is down.
    pub fn follow(&mut self, party: PartyId) -> watch::Receiver<Link> {
        let known = self.parties.get_mut(&party);
        let (told, followed) = watch::channel(known.as_ref().map_or(Link::NONE_YET, |known| known.link));
        if let Some(known) = known {
            known.followers.push(told);
        }
        followed
    }

    fn declare_behind(&mut self, name: &'static str) -> String {
        let queue = queue_behind(name);
        self.queues.entry(queue.clone()).or_default();
        let bound = self.bindings.entry(name).or_default();
        if !bound.contains(&queue) {
            bound.push(queue.clone());
        }
        queue
    }

    pub fn leave(&mut self, party: PartyId) {
        let Some(mut gone) = self.parties.remove(&party) else { return };
        gone.set_link(Link { up: false, ..gone.link });
        for number in self.of_party(party) {
            self.unsubscribe(number);
        }
    }

    fn of_party(&self, party: PartyId) -> Vec<SubscriptionId> {
        let mut own: Vec<_> = self.subscriptions.iter().filter(|(_, s)| s.party == party).map(|(n, _)| *n).collect();
        own.sort_unstable();
        own
    }

    fn of_user(&self, user: &str) -> Vec<PartyId> {
        let mut own: Vec<_> = self.parties.iter().filter(|(_, p)| p.user == user).map(|(n, _)| *n).collect();
        own.sort_unstable();
        own
    }

    pub fn set_up(&mut self, user: &str, up: bool) {
        for party in self.of_user(user) {
            let Some(known) = self.parties.get_mut(&party).filter(|known| known.up != up) else { continue };
            known.up = up;
            known.set_link(Link { up, session: known.link.session + u64::from(up), distrust: None });
            self.stats.disconnects += u64::from(!up);
            for number in self.of_party(party) {
                if up { self.attach(number) } else { self.detach(number) }
            }
        }
    }

    pub fn set_frozen(&mut self, user: &str, frozen: bool) {
        for party in self.of_user(user) {
            if let Some(party) = self.parties.get(&party) {
                party.frozen.send_replace(frozen);
            }
            for number in self.of_party(party) {
                self.tell(number);
            }
        }
    }

    fn tell(&self, number: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get(&number) {
            subscription.news.notify_one();
        }
    }

    fn tell_queue(&self, queue: &str) {
        for number in self.queues.get(queue).map(|queue| queue.consumers.as_slice()).unwrap_or_default() {
            self.tell(*number);
        }
    }

    /// `None`: the connection is closed for good.
    pub fn subscribe(&mut self, party: PartyId, source: Source, prefetch: usize) -> Option<SubscriptionId> {
        let up = self.parties.get(&party)?.up;
        let number = self.number();
        let queue = match &source {
            Source::AgentJobs(agent) => agent.queue(),
            Source::Exchange(name) => queue_behind(name),
            Source::Fanout(name) => format!("{name}.{number}"),
            Source::Dead => DEAD_QUEUE.to_owned(),
        };
        let news = Arc::new(Notify::new());
        let subscription = Subscription { party, source, queue, prefetch, news, held: BTreeMap::new() };
        self.subscriptions.insert(number, subscription);
        if up {
            self.attach(number);
        }
        Some(number)
    }

    fn attach(&mut self, number: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get(&number) else { return };
        let (source, name) = (subscription.source.clone(), subscription.queue.clone());
        match source {
            Source::AgentJobs(_) | Source::Dead => {}
            Source::Exchange(exchange) => drop(self.declare_behind(exchange)),
            Source::Fanout(exchange) => self.bindings.entry(exchange).or_default().push(name.clone()),
        }
        let queue = self.queues.entry(name).or_default();
        queue.exclusive = matches!(source, Source::AgentJobs(_));
        queue.consumers.push(number);
        self.tell(number);
    }

    fn detach(&mut self, number: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(&number) else { return };
        let held = std::mem::take(&mut subscription.held);
        let (source, name) = (subscription.source.clone(), subscription.queue.clone());
        subscription.news.notify_one();
        if let Source::Fanout(exchange) = source {
            self.queues.remove(&name);
            self.bindings.entry(exchange).or_default().retain(|bound| *bound != name);
            return;
        }
        if let Some(queue) = self.queues.get_mut(&name) {
            queue.consumers.retain(|consumer| *consumer != number);
            for Held { mut message, acked } in held.into_values().rev() {
                if acked.now_or_never() == Some(Ok(())) {
                    continue;
                }
                message.redelivered = true;
                queue.ready.push_front(message);
            }
        }
        self.tell_queue(&name);
    }

    pub fn unsubscribe(&mut self, number: SubscriptionId) {
        self.detach(number);
        self.subscriptions.remove(&number);
    }

    pub fn publish(
        &mut self,
        party: PartyId,
        user: &str,
        to: &Address,
        durability: Durability,
        body: Vec<u8>,
    ) -> Result<(), PublishError> {
        if !self.parties.get(&party).is_some_and(|party| party.up) {
            return Err(PublishError::Disconnected);
        }
        let (name, queues) = match to {
            Address::Agent(agent) => (agent.queue(), vec![agent.queue()]),
            Address::Exchange(name) => ((*name).to_owned(), self.bindings.get(name).cloned().unwrap_or_default()),
        };
        let known: Vec<String> = queues.into_iter().filter(|queue| self.queues.contains_key(queue)).collect();
        if known.is_empty() {
            return Err(PublishError::Unroutable(name));
        }
        self.stats.published += 1;
        let now = Instant::now();
        let expires = match durability {
            Durability::Persistent { expires } => expires,
            Durability::Transient { expires } => Some(expires),
        };
        let expires = expires.map(|time| now + time);
        let message = Message { body, user: user.to_owned(), redelivered: false, death: None, expires, visible: now };
        for queue in known {
            self.enqueue(&queue, message.clone());
        }
        if self.chance(self.faults.unconfirmed) {
            self.stats.unconfirmed += 1;
            return Err(PublishError::Disconnected);
        }
        Ok(())
    }

    /// Into the queue of the dead, as the real broker does with what was delivered too often.
    pub fn bury(&mut self, user: &str, death: Death, body: Vec<u8>) {
        let visible = Instant::now();
        let message =
            Message { body, user: user.to_owned(), redelivered: false, death: Some(death), expires: None, visible };
        self.queues.entry(DEAD_QUEUE.to_owned()).or_default().ready.push_back(message);
        self.tell_queue(DEAD_QUEUE);
    }

    pub fn keep_back(&mut self, queue: &str, matches: Matches) -> u64 {
        let number = self.number();
        self.keeping.insert(number, Keeping { queue: queue.to_owned(), matches: Some(matches), kept: Vec::new() });
        number
    }

    pub fn kept_bodies(&self, number: u64) -> Vec<Vec<u8>> {
        let kept = self.keeping.get(&number).map(|keeping| keeping.kept.as_slice()).unwrap_or_default();
        kept.iter().map(|(message, _)| message.body.clone()).collect()
    }

    pub fn keep_no_more(&mut self, number: u64) {
        if let Some(keeping) = self.keeping.get_mut(&number) {
            keeping.matches = None;
        }
    }

    pub fn lose_kept(&mut self, number: u64) {
        self.keeping.remove(&number);
    }

    /// A no-op when they were lost.
    pub fn let_through(&mut self, number: u64) {
        let Some(Keeping { queue, kept, .. }) = self.keeping.remove(&number) else { return };
        let now = Instant::now();
        for (message, lifetime) in kept {
            let expires = lifetime.map(|time| now + time);
            self.enqueue(&queue, Message { expires, visible: now, ..message });
        }
    }

    /// Whether a test keeps the message back.
    fn is_kept(&mut self, name: &str, message: &Message) -> bool {
        let wants = |keeping: &Keeping| keeping.matches.as_ref().is_some_and(|matches| matches(&message.body));
        let Some(keeping) = self.keeping.values_mut().find(|keeping| keeping.queue == name && wants(keeping)) else {
            return false;
        };
        let lifetime = message.expires.map(|end| end.saturating_duration_since(Instant::now()));
        keeping.kept.push((message.clone(), lifetime));
        self.stats.kept_back += 1;
        true
    }

    /// Where the faults are: between the confirm and the queue.
    fn enqueue(&mut self, name: &str, mut message: Message) {
        if self.is_kept(name, &message) {
            return;
        }
        if self.chance(self.faults.drop) {
            self.stats.dropped += 1;
            rehearsal::note(|| format!("bus lost {} -> {name} {}", message.user, about(&message.body)));
            return;
        }
        rehearsal::note(|| format!("bus {} -> {name} {}", message.user, about(&message.body)));
        let copies = if self.chance(self.faults.duplicate) { 2 } else { 1 };
        self.stats.duplicated += copies - 1;
        for _ in 0..copies {
            if self.chance(self.faults.delay) {
                self.stats.delayed += 1;
                let most = u64::try_from(self.faults.delay_max.as_micros()).unwrap_or(u64::MAX);
                let by = self.rng.as_mut().map_or(0, |rng| rng.random_range(0..=most));
                message.visible += Duration::from_micros(by);
            }
            let place = self.place_in(name);
            if let Some(queue) = self.queues.get_mut(name) {
                queue.ready.insert(place, message.clone());
            }
        }
        self.tell_queue(name);
    }

    fn place_in(&mut self, name: &str) -> usize {
        let end = self.queues.get(name).map_or(0, |queue| queue.ready.len());
        if end == 0 || !self.chance(self.faults.reorder) {
            return end;
        }
        self.stats.reordered += 1;
        self.rng.as_mut().map_or(end, |rng| rng.random_range(0..end))
    }

    pub fn take(&mut self, number: SubscriptionId) -> (Take, Arc<Notify>) {
        let Some(subscription) = self.subscriptions.get(&number) else { return (Take::Gone, Arc::new(Notify::new())) };
        let news = subscription.news.clone();
        let frozen = self.parties.get(&subscription.party).is_none_or(|party| *party.frozen.borrow());
        let full = subscription.held.len() >= subscription.prefetch;
        let name = subscription.queue.clone();
        let served = self.queues.get(&name).is_some_and(|queue| {
            if queue.exclusive { queue.consumers.first() == Some(&number) } else { queue.consumers.contains(&number) }
        });
        if frozen || full || !served {
            return (Take::Wait(None), news);
        }
        (self.take_from(number, &name), news)
    }

    fn take_from(&mut self, number: SubscriptionId, name: &str) -> Take {
        let now = Instant::now();
        let Some(queue) = self.queues.get_mut(name) else { return Take::Wait(None) };
        let before = queue.ready.len();
        queue.ready.retain(|message| message.expires.is_none_or(|end| end > now));
        self.stats.expired += (before - queue.ready.len()) as u64;
        let Some(place) = queue.ready.iter().position(|message| message.visible <= now) else {
            return Take::Wait(queue.ready.iter().map(|message| message.visible).min());
        };
        let Some(message) = queue.ready.remove(place) else { return Take::Wait(None) };
        let tag = self.number();
        self.stats.delivered += 1;
        self.stats.redelivered += u64::from(message.redelivered);
        rehearsal::note(|| format!("bus {name} delivers {}", about(&message.body)));
        let (done, acked) = oneshot::channel();
        let acked = acked.shared();
        let delivery = Delivery {
            body: message.body.clone(),
            user: Some(message.user.clone()),
            redelivered: message.redelivered,
            death: message.death.clone(),
            done: Some(done),
        };
        if let Some(subscription) = self.subscriptions.get_mut(&number) {
            subscription.held.insert(tag, Held { message, acked: acked.clone() });
        }
        Take::Message { tag, delivery, acked }
    }

    /// A no-op when the connection it came by was cut meanwhile: the message is no longer in these hands.
    pub fn acknowledge(&mut self, number: SubscriptionId, tag: u64) {
        if let Some(subscription) = self.subscriptions.get_mut(&number) {
            subscription.held.remove(&tag);
            subscription.news.notify_one();
        }
    }

    pub fn requeue(&mut self, number: SubscriptionId, tag: u64) {
        let Some(subscription) = self.subscriptions.get_mut(&number) else { return };
        let Some(Held { mut message, .. }) = subscription.held.remove(&tag) else { return };
        message.redelivered = true;
        let name = subscription.queue.clone();
        if let Some(queue) = self.queues.get_mut(&name) {
            queue.ready.push_front(message);
        }
        self.tell_queue(&name);
    }

    pub fn depth(&self, name: &str) -> Option<usize> {
        let queue = self.queues.get(name)?;
        let held = self.subscriptions.values().filter(|s| s.queue == name).map(|s| s.held.len()).sum::<usize>();
        Some(queue.ready.len() + held)
    }
}
