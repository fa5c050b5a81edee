//! Form bodies and query strings with Rack's nesting: `a[]=1`, `h[k]=v`, `vifs[eth0][network]=nw-…`,
//! `labels[][name]=x&labels[][value]=y`. Brackets may be raw or percent-encoded.
//!
//! Rule: bounded in parameters, depth and key length, and no input panics. What Rack refuses (a name used as a text
//! and as a hash, a broken escape) is refused. Values stay texts: what they mean is decided in `fields`.

use serde_json::{Map, Value};

/// Parameters of one request: the largest real one (monitors in bulk) has fewer than two hundred.
const PARAMETERS_MAX: usize = 1000;

/// Brackets of one name: the deepest real one has three.
const DEPTH_MAX: usize = 8;

/// Bytes of one name.
const NAME_LENGTH_MAX: usize = 256;

/// Why a form cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    #[error("more than {PARAMETERS_MAX} parameters")]
    TooMany,
    #[error("a name longer than {NAME_LENGTH_MAX} bytes")]
    NameTooLong,
    #[error("{name}: nested deeper than {DEPTH_MAX}")]
    TooDeep { name: String },
    #[error("a broken percent escape or text that is not UTF-8")]
    Escape,
    #[error("{name}: used both as a value and as a list or hash")]
    Conflict { name: String },
}

/// Reads a whole form. An empty text is an empty form.
pub fn parse(text: &str) -> Result<Map<String, Value>, FormError> {
    let mut form = Map::new();
    for (count, pair) in text.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        if count == PARAMETERS_MAX {
            return Err(FormError::TooMany);
        }
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (decode(name)?, Value::String(decode(value)?)),
            None => (decode(pair)?, Value::Null),
        };
        if name.len() > NAME_LENGTH_MAX {
            return Err(FormError::NameTooLong);
        }
        let steps = steps(&name)?;
        if let Some((first, rest)) = steps.split_first() {
            let slot = form.entry(first.to_string()).or_insert(Value::Null);
            put(slot, rest, value).map_err(|Clash| FormError::Conflict { name: name.clone() })?;
        }
    }
    Ok(form)
}

/// `a[b][][c]` is `a`, `b`, ``, `c`. A name whose brackets do not close is taken as it is, as Rack does.
fn steps(name: &str) -> Result<Vec<&str>, FormError> {
    let Some(open) = name.find('[').filter(|open| *open > 0 && name.ends_with(']')) else {
        return Ok(if name.is_empty() { vec![] } else { vec![name] });
    };
    let inner = &name[open + 1..name.len() - 1];
    let mut steps = vec![&name[..open]];
    steps.extend(inner.split("]["));
    if steps.len() > DEPTH_MAX {
        return Err(FormError::TooDeep { name: name.to_owned() });
    }
    Ok(steps)
}

/// A name was used in two ways.
struct Clash;

fn put(slot: &mut Value, steps: &[&str], value: Value) -> Result<(), Clash> {
    match steps {
        [] => {
            if matches!(slot, Value::Array(_) | Value::Object(_)) {
                return Err(Clash);
            }
            *slot = value;
            Ok(())
        }
        [""] => {
            list(slot)?.push(value);
            Ok(())
        }
        ["", key, ..] => {
            let items = list(slot)?;
            if items.last().is_none_or(|last| starts_anew(last, &steps[1..], key)) {
                items.push(Value::Null);
            }
            let last = items.len() - 1;
            put(&mut items[last], &steps[1..], value)
        }
        [key, rest @ ..] => {
            if slot.is_null() {
                *slot = Value::Object(Map::new());
            }
            let hash = slot.as_object_mut().ok_or(Clash)?;
            put(hash.entry(key.to_string()).or_insert(Value::Null), rest, value)
        }
    }
}

fn list(slot: &mut Value) -> Result<&mut Vec<Value>, Clash> {
    if slot.is_null() {
        *slot = Value::Array(Vec::new());
    }
    slot.as_array_mut().ok_or(Clash)
}

/// In `a[][x]` a new element begins when the last one has `x` already, unless `x` is itself a list.
fn starts_anew(last: &Value, rest: &[&str], key: &str) -> bool {
    match last {
        Value::Object(hash) => hash.contains_key(key) && rest.get(1) != Some(&""),
        _ => true,
    }
}

/// `application/x-www-form-urlencoded`: `+` is a space, `%XX` a byte, the whole UTF-8.
fn decode(text: &str) -> Result<String, FormError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().ok_or(FormError::Escape)?, rest.next().ok_or(FormError::Escape)?];
                hex::decode(digits).map_err(|_| FormError::Escape)?[0]
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| FormError::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(text: &str) -> Value {
        Value::Object(parse(text).unwrap())
    }

    #[test]
    fn nesting_is_read_as_rack_reads_it() {
        let cases = [
            ("", json!({})),
            ("a=1&b=2", json!({"a": "1", "b": "2"})),
            ("a=1&a=2", json!({"a": "2"})),
            ("a", json!({"a": null})),
            ("a=", json!({"a": ""})),
            ("a[]=1&a[]=2", json!({"a": ["1", "2"]})),
            ("h[k]=v&h[l]=w", json!({"h": {"k": "v", "l": "w"}})),
            (
                "vifs[eth0][network]=nw-demo1&vifs[eth0][security_groups][]=sg-a&vifs[eth0][security_groups][]=sg-b",
                json!({"vifs": {"eth0": {"network": "nw-demo1", "security_groups": ["sg-a", "sg-b"]}}}),
            ),
            ("vifs%5Beth0%5D%5Bindex%5D=0", json!({"vifs": {"eth0": {"index": "0"}}})),
            ("volumes[0][size]=1G&volumes[1][size]=2G", json!({"volumes": {"0": {"size": "1G"}, "1": {"size": "2G"}}})),
            (
                "labels[][name]=a&labels[][value]=1&labels[][name]=b&labels[][value]=2",
                json!({"labels": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]}),
            ),
            ("user_data=%23!%2Fbin%2Fsh%0Aecho+1%0A", json!({"user_data": "#!/bin/sh\necho 1\n"})),
            ("display_name=%E8%8D%92%E5%B8%83", json!({"display_name": "荒布"})),
            ("a[b=1", json!({"a[b": "1"})),
            ("&&a=1&", json!({"a": "1"})),
            ("=1", json!({})),
        ];
        for (text, wanted) in cases {
            assert_eq!(read(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_rack_refuses_is_refused() {
        for (text, wanted) in [
            ("a=1&a[b]=2", FormError::Conflict { name: "a[b]".into() }),
            ("a[]=1&a[b]=2", FormError::Conflict { name: "a[b]".into() }),
            ("a[b]=1&a=2", FormError::Conflict { name: "a".into() }),
            ("a=%", FormError::Escape),
            ("a=%zz", FormError::Escape),
            ("a=%ff", FormError::Escape),
        ] {
            assert_eq!(parse(text), Err(wanted), "{text}");
        }
    }

    #[test]
    fn names_depth_and_count_are_bounded() {
        let deep = format!("a{}=1", "[b]".repeat(DEPTH_MAX));
        assert!(matches!(parse(&deep), Err(FormError::TooDeep { .. })));
        let many = "a=1&".repeat(PARAMETERS_MAX + 1);
        assert_eq!(parse(&many), Err(FormError::TooMany));
        let long = format!("{}=1", "a".repeat(NAME_LENGTH_MAX + 1));
        assert_eq!(parse(&long), Err(FormError::NameTooLong));
        let allowed = format!("a{}=1", "[b]".repeat(DEPTH_MAX - 1));
        assert!(parse(&allowed).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_panics_and_the_result_is_never_larger_than_the_text(text in "[a-c=&%\\[\\]+0-9é]{0,200}") {
            if let Ok(form) = parse(&text) {
                let leaves = count(&Value::Object(form));
                prop_assert!(leaves <= text.len() + 1);
            }
        }

        #[test]
        fn every_plain_pair_is_read_back(name in "[a-z_]{1,20}", value in "\\PC{0,40}") {
            let escaped: String = value.bytes().map(|b| format!("%{b:02X}")).collect();
            let form = parse(&format!("{name}={escaped}")).unwrap();
            prop_assert_eq!(form.get(&name), Some(&Value::String(value)));
        }
    }

    fn count(value: &Value) -> usize {
        match value {
            Value::Array(items) => items.iter().map(count).sum(),
            Value::Object(hash) => hash.values().map(count).sum(),
            _ => 1,
        }
    }
}
