//! Tables and lists of fields for people. Columns line up with Japanese text too: widths are those of the terminal.
//!
//! Rule: what a program reads is `--json`; these forms may change.

use crate::words::{Message, word};
use arame_schema::api::Language;
use comfy_table::{ContentArrangement, Table, presets};

/// A table with a heading line. Without rows only a word that there is nothing.
pub fn table(language: Language, head: &[Message], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return format!("{}\n", word(language, Message::None_));
    }
    let mut table = bare();
    table.set_header(head.iter().map(|message| word(language, *message)));
    table.add_rows(rows.into_iter().map(|row| row.iter().map(|cell| plain(cell)).collect::<Vec<_>>()));
    printed(&table)
}

/// One thing's fields, one a line. Empty ones are left out.
pub fn fields(language: Language, pairs: Vec<(Message, String)>) -> String {
    let mut table = bare();
    for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
        table.add_row(vec![word(language, name).to_owned(), plain(&value)]);
    }
    printed(&table)
}

/// Lines without a heading.
pub fn lines(rows: Vec<Vec<String>>) -> String {
    let mut table = bare();
    table.add_rows(rows.into_iter().map(|row| row.iter().map(|cell| plain(cell)).collect::<Vec<_>>()));
    printed(&table)
}

fn bare() -> Table {
    let mut table = Table::new();
    // No wrapping: a wrapped id cannot be copied, and a pipe has no width.
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).force_no_tty();
    table
}

fn printed(table: &Table) -> String {
    let lines = table.lines().map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(&line).trim_end()));
    lines.collect()
}

/// Without control characters: a name somebody chose must not steer the reader's terminal.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Bytes for people: `1 GiB`, `200 MiB`. Exact, or with one decimal.
pub fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in UNITS {
        let whole = bytes >> shift;
        if whole > 0 {
            let rest = ((bytes - (whole << shift)) * 10) >> shift;
            return if rest == 0 { format!("{whole} {unit}") } else { format!("{whole}.{rest} {unit}") };
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns a terminal uses: two for kana and kanji.
    fn width(text: &str) -> usize {
        text.chars().map(|c| if matches!(c, '\u{3000}'..='\u{9fff}' | '\u{ff00}'..='\u{ff60}') { 2 } else { 1 }).sum()
    }

    #[test]
    fn columns_line_up_under_japanese_headings_and_values() {
        let rows = vec![vec!["荒布サーバー".into(), "running".into()], vec!["web1".into(), "halted".into()]];
        let text = table(Language::Ja, &[Message::Name, Message::State], rows);
        let lines: Vec<&str> = text.lines().collect();
        let column = |line: &str, word: &str| width(&line[..line.find(word).unwrap()]);
        assert_eq!(column(lines[0], "状態"), column(lines[1], "running"), "{text}");
        assert_eq!(column(lines[1], "running"), column(lines[2], "halted"), "{text}");
        assert!(lines.iter().all(|line| !line.starts_with(' ') && !line.ends_with(' ')), "{text}");
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        let rows = vec![vec!["web\u{1b}[31m\r1".into(), "荒布".into()]];
        let text = table(Language::En, &[Message::Name, Message::State], rows);
        assert!(!text.contains(['\u{1b}', '\r']) && text.contains("荒布"), "{text:?}");
    }

    #[test]
    fn sizes_are_short_and_true() {
        for (bytes, wanted) in
            [(0, "0 B"), (1023, "1023 B"), (1 << 30, "1 GiB"), (3 << 29, "1.5 GiB"), (200 << 20, "200 MiB")]
        {
            assert_eq!(size(bytes), wanted);
        }
    }
}
