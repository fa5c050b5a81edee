//! A request's body and query, whatever their form, as one set of parameters.
//!
//! ```text
//! query string ─► form ─┐
//!                       ├─► merged (the body wins) ─► Fields
//! form | JSON or YAML, {"instance": {…}} or {…} ─► ──┘
//! ```
//!
//! Rule: a flat JSON object is a modern client's and must be exact: unknown names are refused. Forms and envelopes
//! come from the original's clients, which send what it ignored: unknown names are let through.

use super::fields::Fields;
use super::form;
use arame_schema::api::{Code, Refusal};
use serde_json::{Map, Value};

/// Longest body: the largest field, a private key or user-data, needs a fraction of it.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The one-key envelopes of ActiveResource clients. None of them is a parameter's name.
const ENVELOPES: [&str; 12] = [
    "instance",
    "image",
    "volume",
    "volume_snapshot",
    "snapshot_replica",
    "network",
    "network_vif",
    "security_group",
    "ssh_key_pair",
    "host_node",
    "storage_node",
    "account",
];

/// Reads query and body. `content_type` is the header's text.
pub fn parameters(query: &str, content_type: &str, body: &[u8]) -> Result<Fields, Refusal> {
    let mut values = form::parse(query).map_err(unreadable)?;
    let text = std::str::from_utf8(body).map_err(unreadable)?;
    let (more, exact) = match kind(content_type, text) {
        Kind::Empty => (Map::new(), false),
        Kind::Form => (form::parse(text.trim_end_matches(['\r', '\n'])).map_err(unreadable)?, false),
        Kind::Json => unwrap_envelope(serde_json::from_str(text).map_err(unreadable)?)?,
        Kind::Yaml => unwrap_envelope(yaml_value(text).map_err(unreadable)?)?,
    };
    let exact_names = if exact { more.keys().cloned().collect() } else { Vec::new() };
    values.extend(more);
    Ok(Fields::new(values, exact_names))
}

enum Kind {
    Empty,
    Form,
    Json,
    Yaml,
}

/// A form that is a JSON object is taken for JSON: `curl -d '{…}'` names the wrong type, and no form looks like that.
fn kind(content_type: &str, text: &str) -> Kind {
    let media = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if text.trim().is_empty() {
        return Kind::Empty;
    }
    match media.as_str() {
        "application/json" | "text/json" => Kind::Json,
        "application/yaml" | "text/yaml" | "application/x-yaml" => Kind::Yaml,
        _ if text.trim_start().starts_with('{') => Kind::Json,
        _ => Kind::Form,
    }
}

/// A YAML document as JSON would say it: Ruby's symbols (`:name`) are names.
///
/// # Errors
/// What cannot be read, and where.
pub(super) fn yaml_value(text: &str) -> Result<Value, serde_saphyr::Error> {
    Ok(without_symbols(serde_saphyr::from_str(text)?))
}

fn without_symbols(value: Value) -> Value {
    match value {
        Value::Object(pairs) => {
            let bare = |key: String| key.strip_prefix(':').map(str::to_owned).unwrap_or(key);
            Value::Object(pairs.into_iter().map(|(key, value)| (bare(key), without_symbols(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_symbols).collect()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

/// The object's parameters, and whether it was flat.
fn unwrap_envelope(whole: Value) -> Result<(Map<String, Value>, bool), Refusal> {
    let object = match whole {
        Value::Object(object) => object,
        _ => return Err(unreadable("a body in JSON or YAML is one object")),
    };
    if object.len() == 1
        && let Some((name, Value::Object(_))) = object.iter().next()
        && ENVELOPES.contains(&name.as_str())
        && let Some((_, Value::Object(inner))) = object.clone().into_iter().next()
    {
        return Ok((inner, false));
    }
    Ok((object, true))
}

fn unreadable(reason: impl ToString) -> Refusal {
    Refusal::new(Code::InvalidBody).with("reason", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";
    const JSON: &str = "application/json";

    fn display_name(query: &str, content_type: &str, body: &str) -> Option<String> {
        let mut fields = parameters(query, content_type, body.as_bytes()).unwrap();
        fields.text("display_name").unwrap()
    }

    #[test]
    fn forms_envelopes_and_flat_json_say_the_same() {
        for (content_type, body) in [
            (FORM, "display_name=a+b"),
            (JSON, r#"{"instance": {"display_name": "a b"}}"#),
            (JSON, r#"{"display_name": "a b"}"#),
            ("application/json; charset=utf-8", r#"{"display_name": "a b"}"#),
            (FORM, r#"{"display_name": "a b"}"#),
            ("", "display_name=a%20b\n"),
            ("text/yaml", "---\n:instance:\n  :display_name: a b\n"),
            ("application/yaml; charset=utf-8", "display_name: a b\n"),
        ] {
            assert_eq!(display_name("", content_type, body), Some("a b".into()), "{content_type} {body}");
        }
    }

    #[test]
    fn the_body_wins_over_the_query() {
        assert_eq!(display_name("display_name=q", FORM, ""), Some("q".into()));
        assert_eq!(display_name("display_name=q", FORM, "display_name=b"), Some("b".into()));
    }

    #[test]
    fn an_empty_body_of_any_type_is_no_parameters() {
        for content_type in [FORM, JSON, "text/yaml", ""] {
            assert_eq!(display_name("", content_type, ""), None);
        }
    }

    #[test]
    fn unreadable_bodies_are_refused_with_the_reason() {
        for (content_type, body) in [(JSON, "{"), (JSON, "[1]"), (JSON, "1"), (FORM, "a=%"), ("text/yaml", "a: [")] {
            let refused = parameters("", content_type, body.as_bytes()).unwrap_err();
            assert_eq!(refused.code, Code::InvalidBody, "{content_type} {body}");
            assert!(!refused.values["reason"].is_empty());
        }
        assert_eq!(parameters("", FORM, b"a=\xff").unwrap_err().code, Code::InvalidBody);
    }

    #[test]
    fn only_flat_json_refuses_names_nobody_asked_for() {
        let unknown = |content_type, body: &str| parameters("x=1", content_type, body.as_bytes()).unwrap().finish();
        assert_eq!(unknown(JSON, r#"{"colour": "red"}"#).unwrap_err().code, Code::UnknownParameter);
        assert!(unknown(JSON, r#"{"instance": {"colour": "red"}}"#).is_ok());
        assert!(unknown(FORM, "colour=red").is_ok());
    }
}
