//! Consoles: a ticket that opens one once, and what is said when it is open.

use super::Timestamp;
use super::language::wordless;
use crate::model::ConsoleKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenConsole {
    /// `serial` (text) or `vnc` (RFB, as noVNC speaks it).
    #[schema(value_type = String, example = "serial")]
    pub kind: ConsoleKind,
}

/// Opens one console of one instance, once, within thirty seconds.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsoleTicket {
    pub instance_id: String,
    #[schema(value_type = String, example = "serial")]
    pub kind: ConsoleKind,
    /// The first frame of the WebSocket. Shown once; never part of a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    pub expires_at: Timestamp,
    /// Path of the WebSocket.
    #[schema(example = "/api/12.03/instances/i-kpzz2px7/console")]
    pub websocket: String,
}

/// The first frame that the WebSocket answers, as text: what follows are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleOpened {
    pub opened: ConsoleKind,
}

wordless!(ConsoleTicket);
