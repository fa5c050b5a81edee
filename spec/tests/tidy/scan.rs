//! Reads Rust source just far enough to tell code, comments and strings apart, and to list what `use` lines import.
//!
//! Not a parser: what it does not understand it takes for code, which makes checks stricter, never laxer.

/// A source taken apart.
pub struct Source {
    /// The text without comments and without what strings hold.
    pub code: String,
    /// What string literals hold.
    pub strings: Vec<String>,
}

impl Source {
    pub fn scan(text: &str) -> Source {
        let (mut code, mut strings) = (String::with_capacity(text.len()), Vec::new());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let taken = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                rest.find("*/").map_or(rest.len(), |end| end + 2)
            } else if let Some((length, held)) = string(rest, code.chars().next_back()) {
                code.push_str("\"\"");
                strings.push(held);
                length
            } else if let Some(length) = character(rest) {
                code.push_str("' '");
                length
            } else {
                code.push(first);
                first.len_utf8()
            };
            rest = &rest[taken..];
        }
        Source { code, strings }
    }
}

/// Length and content of a string literal that begins here, raw or not.
fn string(rest: &str, before: Option<char>) -> Option<(usize, String)> {
    let in_a_word = before.is_some_and(part_of_word);
    if !in_a_word && let Some(raw) = rest.strip_prefix('r') {
        let hashes = raw.bytes().take_while(|b| *b == b'#').count();
        if let Some(body) = raw[hashes..].strip_prefix('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let end = body.find(&close)?;
            return Some((1 + hashes + 1 + end + close.len(), body[..end].to_owned()));
        }
    }
    let body = rest.strip_prefix('"')?;
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some((at + 2, body[..at].to_owned())),
            _ => {}
        }
    }
    None
}

/// Length of a character literal that begins here; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    if body.starts_with('\\') {
        return body[2..].find('\'').map(|end| 1 + 2 + end + 1);
    }
    let c = body.chars().next()?;
    body[c.len_utf8()..].starts_with('\'').then_some(1 + c.len_utf8() + 1)
}

/// Whether `path` stands in `code` as itself and not as a part of a longer word.
pub fn has_path(code: &str, path: &str) -> bool {
    places(code, path).any(|after| !after.starts_with(part_of_word))
}

/// Whether something below `path` is named in `code`: a variable may be called as a library is.
pub fn has_below(code: &str, path: &str) -> bool {
    places(code, path).any(|after| after.starts_with("::"))
}

fn part_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What follows each place where `path` begins; `arame_schema::api` does not begin the crate `api`.
fn places<'a>(code: &'a str, path: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(path).filter_map(move |(at, _)| {
        let begins = !code[..at].ends_with(part_of_word) && !code[..at].ends_with("::");
        begins.then(|| &code[at + path.len()..])
    })
}

/// Every path that `use` lines import, groups written out: `use a::{b, c::d}` is `a::b` and `a::c::d`.
pub fn imported(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let starts_statement = code[..at].trim_end_matches([' ', '\t']).chars().next_back();
        let public = code[..at].trim_end().ends_with("pub") || code[..at].trim_end().ends_with(')');
        if starts_statement.is_none_or(|c| "\n;{}".contains(c)) || public {
            let tree: String = code[at + 4..].chars().take_while(|c| *c != ';').collect();
            expand("", tree.trim(), &mut paths);
        }
    }
    paths
}

fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((head, group)) = tree.split_once('{') else {
        let plain = tree.split(" as ").next().unwrap_or(tree).trim();
        if !plain.is_empty() {
            paths.push(format!("{prefix}{plain}"));
        }
        return;
    };
    let inside = group.trim_end().strip_suffix('}').unwrap_or(group);
    let prefix = format!("{prefix}{}", head.trim());
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, inside[start..at].trim(), paths);
                start = at + 1;
            }
            _ => {}
        }
    }
    expand(&prefix, inside[start..].trim(), paths);
}

#[test]
fn a_source_is_taken_apart() {
    let source = Source::scan("let a = \"x // \\\" y\"; // tail\nlet c = '\"'; /* z */ r#\"SELECT \"1\"\"# &'a str");
    assert_eq!(source.strings, ["x // \\\" y", "SELECT \"1\""]);
    assert_eq!(source.code, "let a = \"\"; \nlet c = ' ';  \"\" &'a str");
}

#[test]
fn groups_of_imports_are_written_out() {
    let paths = imported("use crate::{db::{self, Tx}, app};\npub use super::plan as p;\nlet reuse = 1;");
    assert_eq!(paths, ["crate::db::self", "crate::db::Tx", "crate::app", "super::plan"]);
}
