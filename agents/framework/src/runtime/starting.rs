//! An agent that gives the next one of its process its turn once it has joined.
//!
//! Rule: to the runtime it is the agent itself; it changes nothing of what that answers.

use crate::agent::{Agent, Listing, Profile, Standing, Stopped, Work};
use crate::metrics::Sample;
use crate::stream::BoxedWire;
use arame_schema::jobs::Job;
use arame_schema::jobs::report::{Ask, FactReport};
use arame_schema::model::Observation;
use async_trait::async_trait;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedSemaphorePermit;

pub(super) struct Starting {
    pub agent: Arc<dyn Agent>,
    /// Given back by the first welcome.
    pub turn: Mutex<Option<OwnedSemaphorePermit>>,
}

#[async_trait]
impl Agent for Starting {
    fn profile(&self) -> Profile {
        self.agent.profile()
    }

    async fn joined(&self, standing: Standing) {
        drop(self.turn.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.agent.joined(standing).await;
    }

    fn linked(&self, is_up: bool) {
        self.agent.linked(is_up);
    }

    async fn handle(&self, job: Job, work: Work) -> Result<Vec<FactReport>, Stopped> {
        self.agent.handle(job, work).await
    }

    async fn list(&self, began: Observation) -> Listing {
        self.agent.list(began).await
    }

    async fn ask(&self, ask: Ask) -> Result<Value, String> {
        self.agent.ask(ask).await
    }

    async fn open(&self, ask: &Ask) -> Result<BoxedWire, String> {
        self.agent.open(ask).await
    }

    fn metrics(&self) -> Vec<Sample> {
        self.agent.metrics()
    }

    fn degraded(&self) -> Option<String> {
        self.agent.degraded()
    }

    async fn leaving(&self) {
        self.agent.leaving().await;
    }
}
