//! The body of every refusal over HTTP: the original's three keys, then ours.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// What the original put before its class names.
pub const ERROR_MODULE: &str = "Dcmgr::Endpoints::Errors::";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// The original's class: `Dcmgr::Endpoints::Errors::UnknownUUIDResource`.
    pub error: String,
    /// One sentence in the reader's language.
    pub message: String,
    /// The original's number, a text: `100`.
    pub code: String,
    // Ours from here on.
    /// Our stable word: `unknown_resource`.
    pub reason: String,
    /// 原因
    pub cause: String,
    /// 対処
    pub next_step: String,
    /// `ja` or `en`.
    pub language: String,
    /// What a program may use, such as placement's verdict per host.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub detail: Option<Value>,
    /// As in the header X-VDC-Request-ID.
    pub request_id: String,
}
