//! Consoles and screens of guests, as the drivers show them.
//!
//! Rule: a console is opened fresh each time and belongs to nobody after it; whether somebody else views it is decided
//! above. Nothing is changed by looking.

use super::DriverError;
use crate::screen::Picture;
use arame_framework::stream::BoxedWire;
use arame_schema::model::{ConsoleKind, InstanceId, NoConsole};
use async_trait::async_trait;

/// Why there is nothing to see.
#[derive(Debug, Clone, PartialEq)]
pub enum NotShown {
    No(NoConsole),
    Failed(String),
}

impl From<DriverError> for NotShown {
    fn from(error: DriverError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl NotShown {
    /// As the question is answered.
    pub fn told(self) -> String {
        match self {
            NotShown::No(why) => why.as_str().to_owned(),
            NotShown::Failed(sentence) => sentence,
        }
    }
}

#[async_trait]
pub trait Consoles: Send + Sync + 'static {
    /// A guest's end of a console. It ends when the guest is switched off or moved away.
    async fn open(&self, instance: &InstanceId, kind: ConsoleKind) -> Result<BoxedWire, NotShown>;

    /// What the guest's screen shows.
    async fn picture(&self, instance: &InstanceId) -> Result<Picture, NotShown>;
}
