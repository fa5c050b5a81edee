//! What is declared on the broker, and by whom: the exchanges and their queues by dcmgr, a job queue by its agent.
//!
//! Rule: `x-queue-type` is the only argument ever declared; lengths, TTL and the delivery limit are policies, which an
//! operator may change without a 406. Every function here is called by the supervisor, one at a time, on a channel
//! of its own.

use super::callbacks::{Door, Ended, OnChannel, OnConnection, Reason};
use super::publisher::{Confirms, Publisher};
use super::tls::{self, Verdict};
use super::{ConnectError, HEARTBEAT_SECONDS, Role};
use crate::bus::{Distrust, Source};
use crate::config::Broker;
use amqprs::channel::{
    BasicConsumeArguments, BasicQosArguments, Channel, ConfirmSelectArguments, ConsumerMessage,
    ExchangeDeclareArguments, QueueBindArguments, QueueDeclareArguments, QueueDeleteArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use amqprs::{FieldTable, FieldValue};
use arame_schema::jobs::{DEAD_QUEUE, exchange};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What a synchronous call ended with; the broker's own words where it gave them.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub(super) struct CallError {
    what: String,
    why: String,
    /// It was the broker's certificate.
    pub distrust: Option<Distrust>,
}

fn failed(what: &str, reason: &Reason) -> impl FnOnce(amqprs::error::Error) -> CallError {
    let (what, reason) = (what.to_owned(), reason.clone());
    move |error| CallError { what, why: reason.get().unwrap_or_else(|| error.to_string()), distrust: None }
}

/// RabbitMQ answers wrong credentials by closing the socket unless the client announces that it understands better,
/// which the library does not.
fn told(error: &amqprs::error::Error) -> String {
    let text = error.to_string();
    match text.contains("reset by peer") || text.contains("shutdown") {
        true => format!("{text} (wrong user or password?)"),
        false => text,
    }
}

pub(super) async fn password(broker: &Broker) -> Result<String, ConnectError> {
    let path = broker.password_file.clone();
    let text = tokio::fs::read_to_string(&path).await;
    text.map(|text| text.trim_end().to_owned()).map_err(|source| ConnectError::Password { path, source })
}

/// Connects and declares what the role owns.
pub(super) async fn open(
    broker: Broker,
    role: Role,
    ended: mpsc::UnboundedSender<Ended>,
) -> Result<(Connection, Reason), CallError> {
    let at = format!("{}:{}{}", broker.host, broker.port, broker.vhost);
    let unusable = |why: String| CallError { what: at.clone(), why, distrust: None };
    let password = password(&broker).await.map_err(|error| unusable(error.to_string()))?;
    let tls = broker.ca_file.as_deref().map(|ca_file| tls::adaptor(ca_file, &broker.host)).transpose();
    let (adaptor, verdict) = tls.map_err(|error| unusable(format!("{error:#}")))?.unzip();
    let host = if broker.host.contains(':') { format!("[{}]", broker.host) } else { broker.host.clone() };
    let mut arguments = OpenConnectionArguments::new(&host, broker.port, &broker.user, &password);
    arguments.virtual_host(&broker.vhost).connection_name(&broker.user).heartbeat(HEARTBEAT_SECONDS);
    if let Some(adaptor) = adaptor {
        arguments.tls_adaptor(adaptor);
    }
    let reason = Reason::default();
    let connection = Connection::open(&arguments.finish()).await.map_err(|error| CallError {
        what: at.clone(),
        why: told(&error),
        distrust: verdict.as_ref().and_then(Verdict::get),
    })?;
    let callback = OnConnection { reason: reason.clone(), ended };
    connection.register_callback(callback).await.map_err(failed(&at, &reason))?;
    declare_own(&connection, &role).await?;
    Ok((connection, reason))
}

/// A channel with its callbacks; the door tells whether sending is still allowed.
pub(super) async fn channel(
    connection: &Connection,
    confirms: Option<Arc<Confirms>>,
    ended: Option<mpsc::UnboundedSender<Ended>>,
) -> Result<(Channel, Arc<tokio::sync::Mutex<Door>>, Reason), CallError> {
    let (door, reason) = (Door::new(), Reason::default());
    let channel = connection.open_channel(None).await.map_err(failed("open a channel", &reason))?;
    let callback = OnChannel { door: door.clone(), reason: reason.clone(), confirms, ended };
    channel.register_callback(callback).await.map_err(failed("open a channel", &reason))?;
    Ok((channel, door, reason))
}

async fn declare_own(connection: &Connection, role: &Role) -> Result<(), CallError> {
    let (channel, _door, reason) = channel(connection, None, None).await?;
    match role {
        Role::Agent(agent) => declare_quorum(&channel, &agent.queue(), &reason).await?,
        Role::Dcmgr => {
            for name in exchange::ALL {
                declare_exchange(&channel, name, &reason).await?;
                declare_behind(&channel, name, &reason).await?;
            }
        }
    }
    channel.close().await.map_err(failed("close a channel", &reason))
}

async fn declare_exchange(channel: &Channel, name: &str, reason: &Reason) -> Result<(), CallError> {
    let arguments = ExchangeDeclareArguments::new(name, "fanout").durable(true).finish();
    channel.exchange_declare(arguments).await.map_err(failed(&format!("declare exchange {name}"), reason))
}

/// The queue shared by all dcmgr processes: `dcmgr.hello` behind `arame.hello`. Replies have none: each process asks
/// for its own.
pub(super) fn queue_behind(exchange_name: &str) -> String {
    exchange_name.replacen("arame.", "dcmgr.", 1)
}

async fn declare_behind(channel: &Channel, name: &str, reason: &Reason) -> Result<(), CallError> {
    let queue = queue_behind(name);
    match name {
        exchange::HELLO | exchange::OUTCOME => declare_quorum(channel, &queue, reason).await?,
        exchange::REPLY => return Ok(()),
        _ => {
            let arguments = QueueDeclareArguments::durable_client_named(&queue);
            declare(channel, &queue, arguments, reason).await?;
        }
    }
    bind(channel, &queue, name, reason).await
}

async fn bind(channel: &Channel, queue: &str, exchange_name: &str, reason: &Reason) -> Result<(), CallError> {
    let arguments = QueueBindArguments::new(queue, exchange_name, "");
    channel.queue_bind(arguments).await.map_err(failed(&format!("bind queue {queue}"), reason))
}

async fn declare_quorum(channel: &Channel, queue: &str, reason: &Reason) -> Result<(), CallError> {
    let mut table = FieldTable::new();
    let key = "x-queue-type".try_into().expect("shorter than 255 bytes");
    table.insert(key, FieldValue::S("quorum".try_into().expect("short enough for AMQP")));
    let arguments = QueueDeclareArguments::durable_client_named(queue).arguments(table).finish();
    declare(channel, queue, arguments, reason).await.map(|_| ())
}

async fn declare(
    channel: &Channel,
    queue: &str,
    arguments: QueueDeclareArguments,
    reason: &Reason,
) -> Result<Option<String>, CallError> {
    let what = format!("declare queue {queue}");
    let declared = channel.queue_declare(arguments).await.map_err(failed(&what, reason))?;
    Ok(declared.map(|(name, ..)| name))
}

/// Whether dcmgr has declared every exchange: a passive declare asks and makes nothing.
pub(super) async fn exchanges_exist(connection: Connection) -> Result<(), CallError> {
    let (channel, _door, reason) = channel(&connection, None, None).await?;
    for name in exchange::ALL {
        let arguments = ExchangeDeclareArguments::new(name, "fanout").passive(true).finish();
        channel.exchange_declare(arguments).await.map_err(failed(&format!("look for exchange {name}"), &reason))?;
    }
    channel.close().await.map_err(failed("close a channel", &reason))
}

pub(super) async fn publisher(
    connection: Connection,
    ended: mpsc::UnboundedSender<Ended>,
) -> Result<Arc<Publisher>, CallError> {
    let confirms = Arc::new(Confirms::default());
    let (channel, door, reason) = channel(&connection, Some(confirms.clone()), Some(ended)).await?;
    let selected = channel.confirm_select(ConfirmSelectArguments::default()).await;
    selected.map_err(failed("ask for confirms", &reason))?;
    Ok(Arc::new(Publisher::new(channel, door, confirms)))
}

/// The quorum queue a source is read from, if it is one.
fn quorum_queue(source: &Source) -> Option<String> {
    match source {
        Source::AgentJobs(agent) => Some(agent.queue()),
        Source::Exchange(name) if [exchange::HELLO, exchange::OUTCOME].contains(name) => Some(queue_behind(name)),
        Source::Exchange(_) | Source::Fanout(_) | Source::Dead => None,
    }
}

/// A running consumer, ready to be pumped.
pub(super) struct Consuming {
    pub channel: Channel,
    pub door: Arc<tokio::sync::Mutex<Door>>,
    pub reason: Reason,
    pub messages: mpsc::UnboundedReceiver<ConsumerMessage>,
}

/// How a consumer finds its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    AsItIs,
    /// Quorum queues are deleted first and made anew, with whatever was in them.
    Anew,
}

/// Declares what the source needs (it may have been deleted meanwhile) and consumes it.
pub(super) async fn consume(
    connection: Connection,
    source: Source,
    prefetch: u16,
    found: Found,
) -> Result<Consuming, CallError> {
    let (channel, door, reason) = channel(&connection, None, None).await?;
    if let (Found::Anew, Some(queue)) = (found, quorum_queue(&source)) {
        let arguments = QueueDeleteArguments::new(&queue);
        channel.queue_delete(arguments).await.map_err(failed(&format!("delete queue {queue}"), &reason))?;
    }
    let (queue, exclusive) = match &source {
        Source::AgentJobs(agent) => {
            declare_quorum(&channel, &agent.queue(), &reason).await?;
            (agent.queue(), true)
        }
        Source::Exchange(name) => {
            declare_exchange(&channel, name, &reason).await?;
            declare_behind(&channel, name, &reason).await?;
            (queue_behind(name), false)
        }
        Source::Dead => {
            declare_quorum(&channel, DEAD_QUEUE, &reason).await?;
            (DEAD_QUEUE.to_owned(), false)
        }
        Source::Fanout(name) => {
            declare_exchange(&channel, name, &reason).await?;
            let mut arguments = QueueDeclareArguments::exclusive_server_named();
            arguments.auto_delete(true);
            let queue = declare(&channel, name, arguments, &reason).await?.unwrap_or_default();
            bind(&channel, &queue, name, &reason).await?;
            (queue, true)
        }
    };
    let what = format!("consume queue {queue}");
    let qos = BasicQosArguments::new(0, prefetch, false);
    channel.basic_qos(qos).await.map_err(failed(&what, &reason))?;
    let arguments = BasicConsumeArguments::new(&queue, "").manual_ack(true).exclusive(exclusive).finish();
    let (_, messages) = channel.basic_consume_rx(arguments).await.map_err(failed(&what, &reason))?;
    Ok(Consuming { channel, door, reason, messages })
}
