//! What arrives on the agent's own queue, and what counts of it.
//!
//! Rule: a message for another agent or another incarnation is acknowledged and void. A job of a later incarnation
//! than ours is held, in small number, while a welcome is awaited: it may be ours. Whatever cannot be understood is
//! answered `unsupported` by its id if it has one.

use super::work::Assignment;
use super::{Joined, Runtime, streams, survey};
use crate::agent::Standing;
use crate::bus::Delivery;
use crate::rehearsal;
use arame_schema::jobs::report::{Ask, JobResult, Outcome, Reply, StreamAsk, Unwelcome, Welcome};
use arame_schema::jobs::{Envelope, control, exchange};
use arame_schema::limits::{ASK_TIMEOUT, WIRE_VERSION};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Jobs held until the welcome; of more, the oldest is the least likely to be ours.
const HELD_MAX: usize = 64;

type Flow = ControlFlow<anyhow::Error>;

impl Runtime {
    pub(super) async fn receive(&mut self, delivery: Delivery, received: Instant) -> Flow {
        let envelope = match serde_json::from_slice::<Envelope>(&delivery.body) {
            Ok(envelope) => envelope,
            Err(error) => {
                self.answer_unreadable(&delivery.body, &error.to_string());
                delivery.ack();
                return Flow::Continue(());
            }
        };
        if envelope.agent != self.context.id {
            tracing::warn!(id = %envelope.id, agent = %envelope.agent, "a message for another agent is dropped");
            delivery.ack();
            return Flow::Continue(());
        }
        match envelope.kind.as_str() {
            control::WELCOME => {
                delivery.ack();
                match body::<Welcome>(&envelope) {
                    Some(welcome) => self.welcomed(welcome).await,
                    None => Flow::Continue(()),
                }
            }
            control::UNWELCOME => {
                delivery.ack();
                self.refused(body::<Unwelcome>(&envelope))
            }
            control::HELLO_AGAIN => {
                delivery.ack();
                if !self.schedule.is_awaiting() {
                    self.schedule.begin();
                }
                Flow::Continue(())
            }
            control::INVENTORY => {
                self.asked_inventory(envelope.id);
                delivery.ack();
                Flow::Continue(())
            }
            control::ASK => {
                self.asked(&envelope);
                delivery.ack();
                Flow::Continue(())
            }
            control::CONFIRM_EPOCH => self.epoch_confirmed(envelope.epoch, delivery).await,
            _ => self.take_job(envelope, delivery, received).await,
        }
    }

    async fn welcomed(&mut self, welcome: Welcome) -> Flow {
        let current = self.joined.as_ref().map(|joined| joined.standing.clone());
        let known = current.as_ref().map(|standing| standing.incarnation);
        if welcome.nonce != self.identity.nonce {
            return match known {
                Some(ours) if welcome.incarnation > ours => Flow::Break(anyhow::anyhow!(
                    "another process joined as {} (incarnation {}, ours was {ours}); this older one ends",
                    self.context.id,
                    welcome.incarnation
                )),
                // Left over from an earlier process of ours.
                _ => Flow::Continue(()),
            };
        }
        match known.cmp(&Some(welcome.incarnation)) {
            std::cmp::Ordering::Greater => return Flow::Continue(()),
            std::cmp::Ordering::Equal => self.schedule.welcomed(),
            std::cmp::Ordering::Less => {
                if let Err(error) = self.join(current, welcome).await {
                    return Flow::Break(error);
                }
            }
        }
        self.release_held().await
    }

    async fn join(&mut self, current: Option<Standing>, welcome: Welcome) -> anyhow::Result<()> {
        let standing = match current {
            None => Standing::new(welcome.installation, welcome.incarnation),
            Some(standing) if standing.installation == welcome.installation => standing.renewed(welcome.incarnation),
            Some(standing) => anyhow::bail!(
                "dcmgr now speaks for installation {}, this process joined {}; it ends",
                welcome.installation,
                standing.installation
            ),
        };
        self.meet_epoch(welcome.epoch).await?;
        if welcome.epoch < self.context.keeps.epoch() {
            tracing::error!(epoch = welcome.epoch, "the database is older than one met before; deletions are held");
        }
        self.schedule.welcomed();
        // The old standing's heartbeats end before the new one's begin.
        self.joined = None;
        self.context.agent.joined(standing.clone()).await;
        let over = CancellationToken::new();
        let asks = survey::start(self.context.clone(), standing.clone(), &welcome, over.clone());
        self.context.counts.incarnation.store(welcome.incarnation, Ordering::Relaxed);
        self.post.tell(&format!("{} has joined (incarnation {})", self.context.id, welcome.incarnation));
        tracing::info!(incarnation = welcome.incarnation, installation = %welcome.installation, "joined");
        self.joined = Some(Joined { standing, asks, _over: over.drop_guard() });
        Ok(())
    }

    fn refused(&self, unwelcome: Option<Unwelcome>) -> Flow {
        match unwelcome {
            Some(unwelcome) if unwelcome.nonce == self.identity.nonce => {
                tracing::error!(reason = unwelcome.reason, "dcmgr refused this agent");
                Flow::Break(anyhow::anyhow!("dcmgr refused {}: {}", self.context.id, unwelcome.reason))
            }
            _ => Flow::Continue(()),
        }
    }

    /// The welcome is here: what was held is ours now or never. Holding on would say hello for ever for the sake of
    /// a job that no welcome explains.
    async fn release_held(&mut self) -> Flow {
        let ours = self.joined.as_ref().map(|joined| joined.standing.incarnation);
        for (delivery, received) in std::mem::take(&mut self.held) {
            match serde_json::from_slice::<Envelope>(&delivery.body) {
                Ok(envelope) if Some(envelope.incarnation) <= ours => {
                    self.take_job(envelope, delivery, received).await?;
                }
                _ => {
                    tracing::warn!("a job of an incarnation nobody announced is dropped");
                    delivery.ack();
                }
            }
        }
        Flow::Continue(())
    }

    async fn take_job(&mut self, envelope: Envelope, delivery: Delivery, received: Instant) -> Flow {
        let ours = self.joined.as_ref().map(|joined| joined.standing.incarnation);
        if ours.is_none_or(|ours| envelope.incarnation > ours) {
            // dcmgr knows a later incarnation: its welcome is still to come, or was lost.
            if ours.is_some() && !self.schedule.is_awaiting() {
                self.schedule.begin();
            }
            self.held.push_back((delivery, received));
            if self.held.len() > HELD_MAX
                && let Some((oldest, _)) = self.held.pop_front()
            {
                oldest.ack();
            }
            return Flow::Continue(());
        }
        if ours != Some(envelope.incarnation) {
            tracing::info!(id = %envelope.id, incarnation = envelope.incarnation, "a job for an older incarnation is dropped");
            delivery.ack();
            return Flow::Continue(());
        }
        if let Err(error) = self.meet_epoch(envelope.epoch).await {
            // Not acknowledged: running it without the number on disk would be unsafe after a restart.
            tracing::error!(error = format!("{error:#}"), "a job is left in the queue");
            return Flow::Continue(());
        }
        self.offer(envelope, received);
        delivery.ack();
        Flow::Continue(())
    }

    fn offer(&mut self, envelope: Envelope, received: Instant) {
        let Some(joined) = &self.joined else { return };
        let understood = self.kinds.contains(&envelope.kind.as_str());
        match envelope.job() {
            Ok(what) if understood => self.lanes.offer(Assignment::new(envelope, what, received), joined),
            Ok(_) => self.unsupported(envelope, "this agent does not do this kind of job".into()),
            Err(error) => self.unsupported(envelope, error.to_string()),
        }
    }

    fn unsupported(&self, envelope: Envelope, message: String) {
        tracing::warn!(id = %envelope.id, kind = envelope.kind, message, "not supported");
        self.context.outbox.put(Outcome {
            v: WIRE_VERSION,
            job: envelope.id,
            kind: envelope.kind,
            agent: self.context.id.clone(),
            incarnation: envelope.incarnation,
            thing: envelope.thing,
            result: JobResult::Unsupported { message },
            facts: Vec::new(),
            waited_ms: 0,
            worked_ms: 0,
            traceparent: envelope.traceparent,
        });
    }

    /// Not even an envelope: whatever can be read of it is answered, if it names us.
    fn answer_unreadable(&self, bytes: &[u8], why: &str) {
        let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let id = text("id").parse::<Uuid>();
        tracing::warn!(why, "a message cannot be read");
        if let Ok(id) = id
            && text("agent") == self.context.id.as_str()
        {
            let envelope = Envelope {
                v: WIRE_VERSION,
                id,
                kind: text("kind"),
                agent: self.context.id.clone(),
                incarnation: value.get("incarnation").and_then(Value::as_u64).unwrap_or_default(),
                epoch: 0,
                thing: text("thing"),
                generation: 0,
                budget_ms: 0,
                body: Value::Null,
                traceparent: None,
            };
            self.unsupported(envelope, format!("the message cannot be read: {why}"));
        }
    }

    fn asked_inventory(&self, id: Uuid) {
        let Some(joined) = &self.joined else { return };
        if joined.asks.try_send(id).is_err() {
            tracing::warn!(%id, "too many inventories are asked for; this question is dropped");
        }
    }

    fn asked(&self, envelope: &Envelope) {
        let (context, id) = (self.context.clone(), envelope.id);
        let question = Question::of(envelope.body.clone());
        let permit = context.questions.clone().try_acquire_owned();
        rehearsal::spawn(async move {
            let answer = match (question, permit) {
                (Err(error), _) => Err(format!("the question cannot be read: {error}")),
                (_, Err(_)) => Err("too many questions at a time; ask again".into()),
                (Ok(question), Ok(_permit)) => {
                    let answer = async {
                        match question {
                            Question::Plain(ask) => context.agent.ask(ask).await,
                            Question::Stream(ask) => streams::open(&context, ask).await,
                        }
                    };
                    match tokio::time::timeout(ASK_TIMEOUT, answer).await {
                        Ok(answer) => answer,
                        Err(_) => Err(format!("no answer within {} s", ASK_TIMEOUT.as_secs())),
                    }
                }
            };
            let reply = Reply { v: WIRE_VERSION, agent: context.id.clone(), asked: id, answer };
            survey::send(context.bus.as_ref(), exchange::REPLY, &reply, ASK_TIMEOUT).await;
        });
    }

    async fn epoch_confirmed(&mut self, epoch: u64, delivery: Delivery) -> Flow {
        match self.set_epoch(epoch).await {
            Ok(()) => {
                tracing::warn!(epoch, "the operator confirmed the database's epoch");
                delivery.ack();
            }
            Err(error) => tracing::error!(error = format!("{error:#}"), "the confirmation is left in the queue"),
        }
        Flow::Continue(())
    }
}

/// What an envelope asks: an answer, or a stream.
enum Question {
    Plain(Ask),
    Stream(StreamAsk),
}

impl Question {
    fn of(body: Value) -> serde_json::Result<Self> {
        match body.get("stream") {
            Some(_) => serde_json::from_value(body).map(Question::Stream),
            None => serde_json::from_value(body).map(Question::Plain),
        }
    }
}

fn body<T: DeserializeOwned>(envelope: &Envelope) -> Option<T> {
    let read = serde_json::from_value(envelope.body.clone());
    read.inspect_err(|error| tracing::warn!(kind = envelope.kind, %error, "a message cannot be read")).ok()
}
