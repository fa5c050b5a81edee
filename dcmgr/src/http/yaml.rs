//! Answers as the original's YAML, for clients that cut it with a shell: what Ruby's Psych wrote for hashes with symbol
//! keys.
//!
//! ```text
//! ---
//! - :total: 1
//!   :results:
//!   - :id: i-abc
//!     :terminated_at:
//!     :labels: []
//! ```
//!
//! Rule: keys stand in the order of the view and begin with a colon; a sequence inside a mapping is not indented; null
//! is nothing; a text that YAML 1.1 would take for something else is quoted; moments are timestamps. Any YAML parser
//! reads it (YAML 1.1, yaml.org/spec/1.1): a test holds it against one.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A JSON value that keeps the order of its keys.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Node::Null, Node::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(pair) = pairs.next_entry()? {
            map.push(pair);
        }
        Ok(Node::Map(map))
    }
}

/// The same document in YAML.
///
/// # Errors
/// `json` is not JSON.
pub fn from_json(json: &[u8]) -> serde_json::Result<String> {
    let node: Node = serde_json::from_slice(json)?;
    let mut out = String::from("---");
    match &node {
        Node::List(items) if !items.is_empty() => {
            out.push('\n');
            list(&mut out, items, 0);
        }
        Node::Map(pairs) if !pairs.is_empty() => {
            out.push('\n');
            map(&mut out, pairs, 0);
        }
        _ => value(&mut out, "", &node, 0),
    }
    Ok(out)
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// The first line goes on where the writer stands, when that is behind a dash.
fn map(out: &mut String, pairs: &[(String, Node)], indent: usize) {
    for (place, (key, node)) in pairs.iter().enumerate() {
        if place > 0 || out.ends_with('\n') {
            pad(out, indent);
        }
        out.push_str(&symbol(key));
        out.push(':');
        value(out, key, node, indent);
    }
}

fn list(out: &mut String, items: &[Node], indent: usize) {
    for (place, node) in items.iter().enumerate() {
        if place > 0 || out.ends_with('\n') {
            pad(out, indent);
        }
        out.push('-');
        match node {
            Node::Map(pairs) if !pairs.is_empty() => {
                out.push(' ');
                map(out, pairs, indent + 2);
            }
            Node::List(inner) if !inner.is_empty() => {
                out.push(' ');
                list(out, inner, indent + 2);
            }
            _ => value(out, "", node, indent),
        }
    }
}

/// What stands behind a key's colon or a dash, with the end of its line.
fn value(out: &mut String, key: &str, node: &Node, indent: usize) {
    match node {
        Node::Null => out.push('\n'),
        Node::Bool(yes) => out.push_str(&format!(" {yes}\n")),
        Node::Number(number) => out.push_str(&format!(" {number}\n")),
        Node::Text(text) => match moment(key, text) {
            Some(moment) => out.push_str(&format!(" {moment}\n")),
            None => scalar(out, text, indent),
        },
        Node::List(items) if items.is_empty() => out.push_str(" []\n"),
        Node::Map(pairs) if pairs.is_empty() => out.push_str(" {}\n"),
        Node::List(items) => {
            out.push('\n');
            list(out, items, indent);
        }
        Node::Map(pairs) => {
            out.push('\n');
            map(out, pairs, indent + 2);
        }
    }
}

/// A key as Ruby writes a symbol.
fn symbol(key: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@');
    if !key.is_empty() && key.chars().all(plain) { format!(":{key}") } else { format!(":{}", double_quoted(key)) }
}

/// `2015-04-28 06:22:55 UTC` of a key that names a moment, as a timestamp (yaml.org/type/timestamp).
fn moment(key: &str, text: &str) -> Option<String> {
    let named = key.ends_with("_at") || matches!(key, "at" | "since" | "until" | "time");
    let bare = text.strip_suffix(" UTC").filter(|bare| named && bare.len() == 19)?;
    let form = |(place, byte): (usize, u8)| match place {
        4 | 7 => byte == b'-',
        10 => byte == b' ',
        13 | 16 => byte == b':',
        _ => byte.is_ascii_digit(),
    };
    bare.bytes().enumerate().all(form).then(|| format!("{bare}.000000000 Z"))
}

fn scalar(out: &mut String, text: &str, indent: usize) {
    if is_block(text) {
        let chomp = if text.ends_with('\n') { "|" } else { "|-" };
        out.push_str(&format!(" {chomp}\n"));
        for line in text.lines() {
            if !line.is_empty() {
                pad(out, indent + 2);
            }
            out.push_str(line);
            out.push('\n');
        }
    } else if text.chars().any(|c| c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')) {
        out.push_str(&format!(" {}\n", double_quoted(text)));
    } else if is_plain(text) {
        out.push_str(&format!(" {text}\n"));
    } else {
        out.push_str(&format!(" '{}'\n", text.replace('\'', "''")));
    }
}

/// Lines that a literal block keeps byte for byte.
fn is_block(text: &str) -> bool {
    let odd = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    text.contains('\n')
        && !text.starts_with([' ', '\n', '\t'])
        && !text.ends_with("\n\n")
        && !text.chars().any(odd)
        && text.lines().all(|line| !line.ends_with(' ') && !line.starts_with(' '))
}

/// JSON's escapes are YAML's (YAML 1.2, section 1.3); what a line may not hold is written by its number.
fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Whether a text may stand without quotes and is read back as this text, by YAML 1.1 and 1.2.
fn is_plain(text: &str) -> bool {
    const INDICATORS: &[char] = &[
        '-', '?', ':', ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`', '=', '~', '<',
    ];
    let edges = text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) || text.ends_with(':');
    !text.is_empty()
        && !text.starts_with(INDICATORS)
        && !edges
        && !text.contains(": ")
        && !text.contains(" #")
        && !is_word(text)
        && !is_number(text)
        && !is_date(text)
}

/// A boolean or a null (yaml.org/type/bool, /null).
fn is_word(text: &str) -> bool {
    let words = ["y", "n", "yes", "no", "true", "false", "on", "off", "null", "nan", "inf"];
    words.contains(&text.to_ascii_lowercase().trim_start_matches(['.', '+']))
}

/// Anything that begins like a number and holds nothing a number cannot (yaml.org/type/int, /float), base 60 included:
/// a MAC address without letters is one. An address of four parts is not.
fn is_number(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '.'));
    let digits = |c: char| c.is_ascii_hexdigit() || matches!(c, '_' | ',' | '.' | ':' | '+' | '-' | 'x' | 'o');
    begins && text.chars().any(|c| c.is_ascii_digit()) && text.chars().all(digits) && text.matches('.').count() < 2
}

/// A date or a moment (yaml.org/type/timestamp).
fn is_date(text: &str) -> bool {
    let date = text.get(..10).unwrap_or(text);
    let mut parts = date.split('-');
    let year = parts.next().is_some_and(|year| year.len() == 4 && year.bytes().all(|b| b.is_ascii_digit()));
    year && parts.next().is_some_and(|month| month.bytes().all(|b| b.is_ascii_digit()) && !month.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn yaml(json: &str) -> String {
        from_json(json.as_bytes()).unwrap()
    }

    #[test]
    fn a_page_reads_as_the_originals_client_cuts_it() {
        let json = r#"[{"total":1,"start":0,"limit":250,"results":[{"id":"i-abc","account_id":"a-shpoolxx","host_node":null,
            "cpu_cores":1,"created_at":"2015-04-28 06:22:55 UTC","description":"","ssh_key_pair":{"uuid":"ssh-demo","display_name":"demo"},
            "volume":[],"vif":[{"vif_id":"vif-a","index":0,"ipv4":{"address":"10.0.2.100","nat_address":null},"security_groups":["sg-a","sg-b"]}],
            "ha_enabled":0,"labels":[],"monitoring":{"enabled":false,"mail_address":[],"items":{}}}]}]"#;
        let wanted = "---\n- :total: 1\n  :start: 0\n  :limit: 250\n  :results:\n  - :id: i-abc\n    :account_id: a-shpoolxx\n    \
                      :host_node:\n    :cpu_cores: 1\n    :created_at: 2015-04-28 06:22:55.000000000 Z\n    :description: ''\n    \
                      :ssh_key_pair:\n      :uuid: ssh-demo\n      :display_name: demo\n    :volume: []\n    :vif:\n    - :vif_id: vif-a\n      \
                      :index: 0\n      :ipv4:\n        :address: 10.0.2.100\n        :nat_address:\n      :security_groups:\n      - sg-a\n      \
                      - sg-b\n    :ha_enabled: 0\n    :labels: []\n    :monitoring:\n      :enabled: false\n      :mail_address: []\n      \
                      :items: {}\n";
        assert_eq!(yaml(json), wanted);
    }

    #[test]
    fn bare_arrays_and_scalars_have_their_form_too() {
        assert_eq!(yaml(r#"["i-abc"]"#), "---\n- i-abc\n");
        assert_eq!(yaml("{}"), "--- {}\n");
        assert_eq!(yaml("[]"), "--- []\n");
        assert_eq!(yaml(r#"[["10.0.0.1","10.0.0.9"]]"#), "---\n- - 10.0.0.1\n  - 10.0.0.9\n");
        assert_eq!(yaml(r#"{"encrypted_password":"abc\ndef\n"}"#), "---\n:encrypted_password: |\n  abc\n  def\n");
    }

    #[test]
    fn what_looks_like_something_else_is_quoted() {
        for text in [
            "",
            "12",
            "1.5",
            "0x1f",
            "52:54:00:11:22:33",
            "yes",
            "Null",
            "~",
            "2015-01-02",
            ":sym",
            "- a",
            "a: b",
            "1e3",
        ] {
            assert_eq!(yaml(&json!([text]).to_string()), format!("---\n- '{text}'\n"));
        }
        for text in [
            "i-1",
            "10.0.0.1",
            "52:54:00:aa:zz:01",
            "web server",
            "荒布",
            "it's",
            "a#b",
            "x86_64",
            "tcp:22,22,ip4:0.0.0.0",
        ] {
            assert_eq!(yaml(&json!([text]).to_string()), format!("---\n- {text}\n"));
        }
        // A moment's form in a name stays a name.
        assert_eq!(
            yaml(r#"{"display_name":"2015-04-28 06:22:55 UTC"}"#),
            "---\n:display_name: '2015-04-28 06:22:55 UTC'\n"
        );
    }

    /// As [`super::super::body`] reads it back: symbols are names.
    fn read_back(text: &str) -> Value {
        super::super::body::yaml_value(text).unwrap()
    }

    #[test]
    fn a_parser_reads_back_every_text_whatever_it_holds() {
        let pieces = [
            "",
            " ",
            "\n",
            "\t",
            "a",
            "-",
            ":",
            "#",
            "'",
            "\"",
            "\\",
            "1",
            ".",
            "yes",
            "荒",
            "\u{7}",
            "\r",
            "%",
            "{",
            "]",
            ",",
            "&",
            "*",
            "!",
            "|",
            ">",
            "~",
            "=",
            "<<",
            "2015-01-01",
            "null",
            "0x",
            "e",
            "+",
            "\u{2028}",
            "\u{feff}",
        ];
        let mut seen = 0;
        for a in pieces {
            for b in pieces {
                for c in pieces {
                    let text = format!("{a}{b}{c}");
                    let value = json!({ "k": text, "l": [text, { "m": text }] });
                    let written = from_json(value.to_string().as_bytes()).unwrap();
                    assert_eq!(read_back(&written), value, "{written}");
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, pieces.len().pow(3));
    }
}
