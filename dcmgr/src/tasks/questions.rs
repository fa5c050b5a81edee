//! Carries questions to agents. A question that cannot be sent is not repeated: its asker times out and says so.

use super::hear::control_message;
use crate::app::App;
use crate::app::questions::What;
use arame_framework::bus::{Address, Bus, Durability};
use arame_schema::jobs::control;
use arame_schema::limits::ASK_TIMEOUT;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// An inventory may wait for a busy agent a little longer than a question.
const INVENTORY_EXPIRES: Duration = Duration::from_secs(10);

pub async fn carry(app: App, bus: Arc<dyn Bus>, stop: CancellationToken) {
    let mut questions = app.questions().listen();
    loop {
        let question = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            question = questions.recv() => match question {
                Some(question) => question,
                None => return,
            },
        };
        let (kind, body, expires) = match question.what {
            What::Ask(ask) => (control::ASK, serde_json::to_value(ask).unwrap_or_default(), ASK_TIMEOUT),
            What::Stream(ask) => (control::ASK, serde_json::to_value(ask).unwrap_or_default(), ASK_TIMEOUT),
            What::Inventory => (control::INVENTORY, serde_json::Value::Null, INVENTORY_EXPIRES),
        };
        let envelope = control_message(&question.agent, kind, question.id, body);
        let body = serde_json::to_vec(&envelope).unwrap_or_default();
        let sent = bus.publish(&Address::Agent(question.agent), Durability::Transient { expires }, body).await;
        if let Err(error) = sent {
            tracing::debug!(%error, "a question could not be sent");
        }
    }
}
