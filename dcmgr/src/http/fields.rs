//! Parameters read one by one into checked types. A refusal names the parameter as the client wrote it.
//!
//! Rule: null and absent are the same; an empty text is absent for everything but free text, because forms cannot say
//! null. Numbers and flags may be texts, as in forms.

use arame_schema::api::{Code, Refusal};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The parameters of one request, or of one hash inside it.
#[derive(Debug, Clone)]
pub struct Fields {
    values: Map<String, Value>,
    /// Names that must all have been asked for by [`Fields::finish`].
    exact: BTreeSet<String>,
    /// `vifs[eth0]` for a hash inside.
    prefix: String,
}

impl Fields {
    pub fn new(values: Map<String, Value>, exact_names: Vec<String>) -> Self {
        Self { values, exact: exact_names.into_iter().collect(), prefix: String::new() }
    }

    /// Free text of at most `bytes_max` bytes. An empty text is a text.
    pub fn text_within(&mut self, name: &str, bytes_max: usize) -> Result<Option<String>, Refusal> {
        match self.text(name)? {
            Some(text) if text.len() > bytes_max => {
                Err(self.invalid(name, short(&text), format!("<= {bytes_max} bytes")))
            }
            other => Ok(other),
        }
    }

    pub fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        match self.take(name) {
            Value::Null => Ok(None),
            Value::String(text) if text.contains('\0') => Err(self.invalid(name, short(&text), "text without NUL")),
            Value::String(text) => Ok(Some(text)),
            Value::Number(number) => Ok(Some(number.to_string())),
            Value::Bool(flag) => Ok(Some(flag.to_string())),
            other => Err(self.invalid(name, short(&other.to_string()), "text")),
        }
    }

    /// A value with a form of its own. `expected` shows it: `nw-…`, `192.0.2.1`.
    pub fn parsed<T: FromStr>(&mut self, name: &str, expected: &str) -> Result<Option<T>, Refusal> {
        match self.text(name)?.filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => match text.trim().parse() {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(self.invalid(name, short(&text), expected)),
            },
        }
    }

    pub fn number(&mut self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Refusal> {
        let expected = format!("{}..{}", range.start(), range.end());
        match self.text(name)?.filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => match text.trim().parse::<u64>() {
                Ok(number) if range.contains(&number) => Ok(Some(number)),
                _ => Err(self.invalid(name, short(&text), expected)),
            },
        }
    }

    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.text(name)?.as_deref() {
            None | Some("") => Ok(None),
            Some("true" | "1" | "on" | "yes") => Ok(Some(true)),
            Some("false" | "0" | "off" | "no") => Ok(Some(false)),
            Some(other) => Err(self.invalid(name, short(other), "true | false")),
        }
    }

    /// A list, or one value alone, or texts separated by commas or line ends.
    pub fn list<T: FromStr>(&mut self, name: &str, expected: &str) -> Result<Vec<T>, Refusal> {
        let items: Vec<String> = match self.take(name) {
            Value::Null => Vec::new(),
            Value::String(text) => text.split([',', '\n']).map(str::to_owned).collect(),
            Value::Array(items) => items
                .into_iter()
                .map(|item| match item {
                    Value::String(text) => Ok(text),
                    other => Err(self.invalid(name, short(&other.to_string()), expected)),
                })
                .collect::<Result<_, _>>()?,
            // `security_groups[0]=…`: a hash whose keys only count.
            Value::Object(hash) => hash.into_values().map(|v| v.as_str().unwrap_or_default().to_owned()).collect(),
            other => return Err(self.invalid(name, short(&other.to_string()), expected)),
        };
        let texts = items.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
        texts.map(|text| text.parse().map_err(|_| self.invalid(name, short(text), expected))).collect()
    }

    /// A hash of hashes by their keys, in the keys' order; or the same as JSON text, as the original's shell client
    /// sends it from a file.
    pub fn hashes(&mut self, name: &str) -> Result<Vec<(String, Fields)>, Refusal> {
        let value = match self.take(name) {
            Value::String(text) if text.trim().is_empty() => Value::Null,
            Value::String(text) => {
                serde_json::from_str(&text).map_err(|_| self.invalid(name, short(&text), "{\"eth0\": {…}}"))?
            }
            other => other,
        };
        let hash = match value {
            Value::Null => return Ok(Vec::new()),
            Value::Object(hash) => hash,
            other => return Err(self.invalid(name, short(&other.to_string()), "{\"eth0\": {…}}")),
        };
        let exact = self.exact.contains(name);
        hash.into_iter().map(|(key, value)| self.inner(name, key, value, exact)).collect()
    }

    /// A list of hashes: as an array, as a hash whose keys only count (`m[0][a]=…`), as either in JSON text, or, where a
    /// hash has two names, as texts `first:second` separated by commas.
    pub fn items(&mut self, name: &str, pair: [&str; 2], expected: &str) -> Result<Vec<Fields>, Refusal> {
        let value = match self.take(name) {
            Value::String(text) if text.trim_start().starts_with(['[', '{']) => {
                serde_json::from_str(&text).map_err(|_| self.invalid(name, short(&text), expected))?
            }
            other => other,
        };
        let items: Vec<Value> = match value {
            Value::Null => Vec::new(),
            Value::Array(items) => items,
            Value::Object(hash) => hash.into_values().collect(),
            Value::String(text) => {
                let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
                let split = |one: &str| {
                    let (first, second) =
                        one.split_once(':').ok_or_else(|| self.invalid(name, short(one), expected))?;
                    Ok(serde_json::json!({ pair[0]: first, pair[1]: second }))
                };
                texts.map(split).collect::<Result<_, Refusal>>()?
            }
            other => return Err(self.invalid(name, short(&other.to_string()), expected)),
        };
        let exact = self.exact.contains(name);
        let numbered = items.into_iter().enumerate();
        numbered.map(|(n, value)| Ok(self.inner(name, n.to_string(), value, exact)?.1)).collect()
    }

    /// A list of hashes, or a hash of hashes whose keys only order them, as forms write either.
    pub fn ordered(&mut self, name: &str) -> Result<Vec<Fields>, Refusal> {
        Ok(self.numbered(name)?.into_iter().map(|(_, fields)| fields).collect())
    }

    /// The same with the keys; those of a list are its places.
    pub fn numbered(&mut self, name: &str) -> Result<Vec<(String, Fields)>, Refusal> {
        if let Some(Value::Array(items)) = self.values.get(name) {
            let numbered = items.iter().enumerate().map(|(at, item)| (format!("{at:05}"), item.clone())).collect();
            self.values.insert(name.to_owned(), Value::Object(numbered));
        }
        self.hashes(name)
    }

    /// Whether it is a hash of plain values, or will be when its text is read.
    pub fn is_flat(&self, name: &str) -> bool {
        match self.values.get(name) {
            Some(Value::Object(hash)) => hash.values().all(|value| !value.is_object()),
            Some(Value::String(text)) => {
                let read = serde_json::from_str::<Map<String, Value>>(text);
                read.is_ok_and(|hash| hash.values().all(|value| !value.is_object()))
            }
            _ => false,
        }
    }

    /// A list of free texts, each as it came; one text alone is a list of one.
    pub fn texts(&mut self, name: &str) -> Result<Vec<String>, Refusal> {
        let items = match self.take(name) {
            Value::Null => Vec::new(),
            Value::Array(items) => items,
            Value::Object(hash) => hash.into_values().collect(),
            other => vec![other],
        };
        let text = |item: Value| match item {
            Value::String(text) if !text.contains('\0') => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(flag) => Ok(flag.to_string()),
            other => Err(self.invalid(name, short(&other.to_string()), "text")),
        };
        items.into_iter().map(text).collect()
    }

    /// A hash as it came, or the same as JSON text.
    pub fn map(&mut self, name: &str) -> Result<Option<Map<String, Value>>, Refusal> {
        match self.take(name) {
            Value::Null => Ok(None),
            Value::Object(hash) => Ok(Some(hash)),
            Value::String(text) if text.trim().is_empty() => Ok(None),
            Value::String(text) => match serde_json::from_str(&text) {
                Ok(hash) => Ok(Some(hash)),
                Err(_) => Err(self.invalid(name, short(&text), "{…}")),
            },
            other => Err(self.invalid(name, short(&other.to_string()), "{…}")),
        }
    }

    fn inner(&self, name: &str, key: String, value: Value, exact: bool) -> Result<(String, Fields), Refusal> {
        let prefix = format!("{}[{key}]", self.full(name));
        match value {
            Value::Object(values) => {
                let names = if exact { values.keys().cloned().collect() } else { BTreeSet::new() };
                Ok((key, Fields { values, exact: names, prefix }))
            }
            other => Err(Refusal::new(Code::InvalidParameter)
                .with("name", prefix)
                .with("value", short(&other.to_string()))
                .with("expected", "{…}")),
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.is_null())
    }

    /// The value, or the refusal that it is missing.
    pub fn needed<T>(&self, name: &str, value: Option<T>) -> Result<T, Refusal> {
        value.ok_or_else(|| Refusal::new(Code::MissingParameter).with("name", self.full(name)))
    }

    pub fn invalid(&self, name: &str, value: impl ToString, expected: impl ToString) -> Refusal {
        Refusal::new(Code::InvalidParameter)
            .with("name", self.full(name))
            .with("value", value)
            .with("expected", expected)
    }

    /// Refuses a name that nobody asked for, where names must be exact.
    pub fn finish(self) -> Result<(), Refusal> {
        match self.values.keys().find(|name| self.exact.contains(*name)) {
            Some(name) => Err(Refusal::new(Code::UnknownParameter).with("name", self.full(name))),
            None => Ok(()),
        }
    }

    fn take(&mut self, name: &str) -> Value {
        self.values.remove(name).unwrap_or(Value::Null)
    }

    fn full(&self, name: &str) -> String {
        if self.prefix.is_empty() { short(name) } else { format!("{}[{}]", self.prefix, short(name)) }
    }
}

/// What a refusal quotes: enough to recognise, not enough to flood.
pub fn short(text: &str) -> String {
    let mut quoted: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    if quoted.len() < text.len() {
        quoted.push('…');
    }
    quoted
}

const QUOTED_CHARS_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::model::SecurityGroupId;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        let Value::Object(values) = value else { panic!("an object is needed") };
        let names = values.keys().cloned().collect();
        Fields::new(values, names)
    }

    #[test]
    fn numbers_and_flags_may_be_texts() {
        let mut given = fields(json!({"a": 3, "b": "3", "c": "", "d": "true", "e": false, "f": null}));
        assert_eq!(given.number("a", 1..=9).unwrap(), Some(3));
        assert_eq!(given.number("b", 1..=9).unwrap(), Some(3));
        assert_eq!(given.number("c", 1..=9).unwrap(), None);
        assert_eq!(given.flag("d").unwrap(), Some(true));
        assert_eq!(given.flag("e").unwrap(), Some(false));
        assert_eq!(given.text("f").unwrap(), None);
    }

    #[test]
    fn a_bad_value_is_refused_with_its_name_value_and_form() {
        for (value, refused) in
            [(json!(0), "0"), (json!("ten"), "ten"), (json!(-1), "-1"), (json!(1.5), "1.5"), (json!([1]), "[1]")]
        {
            let refusal = fields(json!({ "n": value })).number("n", 1..=9).unwrap_err();
            assert_eq!(refusal.code, Code::InvalidParameter);
            assert_eq!((refusal.values["name"].as_str(), refusal.values["value"].as_str()), ("n", refused));
        }
    }

    #[test]
    fn lists_come_in_every_spelling() {
        for value in
            [json!(["sg-a", "sg-b"]), json!("sg-a,sg-b"), json!("sg-a\nsg-b\n"), json!({"0": "sg-a", "1": "sg-b"})]
        {
            let groups: Vec<SecurityGroupId> = fields(json!({ "g": value })).list("g", "sg-…").unwrap();
            assert_eq!(groups.len(), 2);
        }
        assert!(fields(json!({"g": ["vol-a"]})).list::<SecurityGroupId>("g", "sg-…").is_err());
        assert!(fields(json!({"g": [["sg-a"]]})).list::<SecurityGroupId>("g", "sg-…").is_err());
    }

    #[test]
    fn inner_names_are_refused_by_their_full_name() {
        let mut given = fields(json!({"vifs": {"eth0": {"network": "nw-a", "colour": "red"}}}));
        let (key, mut eth0) = given.hashes("vifs").unwrap().remove(0);
        assert_eq!(key, "eth0");
        eth0.text("network").unwrap();
        assert_eq!(eth0.finish().unwrap_err().values["name"], "vifs[eth0][colour]");
    }

    #[test]
    fn hashes_may_be_json_text() {
        let mut given = fields(json!({"vifs": "{\"eth0\": {\"network\": \"nw-a\"}}"}));
        assert_eq!(given.hashes("vifs").unwrap().len(), 1);
        assert!(fields(json!({"vifs": "{eth0"})).hashes("vifs").is_err());
        assert!(fields(json!({"vifs": ["a"]})).hashes("vifs").is_err());
        assert!(fields(json!({"vifs": {"eth0": "nw-a"}})).hashes("vifs").is_err());
    }
}
