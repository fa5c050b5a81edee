//! What a request with an Idempotency-Key was answered, for its repetition.
//!
//! Rule: whether a change happens twice is decided in its own transaction, by the key's row; the answer is a courtesy
//! that is kept after it. A secret that is shown once is not kept: its repetition is answered without it.

use super::{App, AppError, Caller};
use crate::db;
use arame_schema::api::{Code, Refusal};

/// Longest answer that is kept; a page of views is no answer to a change.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Fields that leave once.
const SECRETS: [&str; 3] = ["secret", "private_key", "ticket"];

/// The answer to an earlier request with the caller's key, if there was one and it is known.
///
/// # Errors
/// The key was used by another request.
pub async fn answered(app: &App, caller: &Caller, digest: &str) -> Result<Option<String>, Refusal> {
    let Some(key) = &caller.idempotency_key else { return Ok(None) };
    let known = db::idempotency::known(app.db(), &caller.token, key).await.map_err(AppError::from)?;
    match known.and_then(|known| known.answer) {
        Some((request, _)) if request != digest => Err(Refusal::new(Code::IdempotencyConflict).with("key", key)),
        Some((_, answer)) => Ok(Some(answer)),
        None => Ok(None),
    }
}

/// Keeps an answer. That it cannot be kept is no failure of the request, which is done.
pub async fn keep(app: &App, token: &str, key: &str, digest: &str, answer: &[u8]) {
    let Some(answer) = without_secrets(answer) else { return };
    if let Err(error) = db::idempotency::keep(app.db(), token, key, digest, &answer).await {
        tracing::warn!(%error, "an answer could not be kept for its repetition");
    }
}

fn without_secrets(answer: &[u8]) -> Option<String> {
    if answer.len() > ANSWER_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(answer).ok()?;
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let serde_json::Value::Object(mut object) = value else { return Some(text.to_owned()) };
    if !SECRETS.iter().any(|name| object.contains_key(*name)) {
        return Some(text.to_owned());
    }
    SECRETS.iter().for_each(|name| drop(object.remove(*name)));
    serde_json::to_string(&object).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_kept_and_everything_else_is_as_it_was() {
        let kept = without_secrets(br#"{"secret":"s3cret","id":"tok-a","n":1}"#).unwrap();
        assert!(!kept.contains("s3cret") && kept.contains("tok-a"), "{kept}");
        assert_eq!(without_secrets(br#"{"id":"i-a", "n":1}"#).unwrap(), r#"{"id":"i-a", "n":1}"#);
        assert_eq!(without_secrets(br#"["i-a"]"#).unwrap(), r#"["i-a"]"#);
        assert!(without_secrets(&vec![b' '; ANSWER_BYTES_MAX + 1]).is_none());
    }
}
