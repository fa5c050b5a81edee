//! The settings that packages install, held against the programs that read them.
//!
//! Rule: uncommented they are valid, and no field that a program knows is missing in them: serde tells the fields of a table when
//! it meets one that is unknown.

use std::path::Path;
use toml::{Table, Value};

type Read = fn(&str) -> Result<(), String>;

const FILES: [(&str, Read); 4] = [("dcmgr", dcmgr), ("hva", hva), ("sta", sta), ("nsa", nsa)];

/// Of tables whose driver is another; they stand in the file with two `#`.
const FIELD_UNKNOWN: &str = "zzz_unknown";

fn dcmgr(text: &str) -> Result<(), String> {
    toml::from_str::<arame_dcmgr::config::Config>(text).map(drop).map_err(|error| error.message().to_owned())
}

fn hva(text: &str) -> Result<(), String> {
    let read = arame_hva::config::parse(Path::new("hva.toml"), text);
    read.map(drop).map_err(|error| std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string))
}

fn sta(text: &str) -> Result<(), String> {
    toml::from_str::<arame_sta::config::Config>(text).map(drop).map_err(|error| error.message().to_owned())
}

fn nsa(text: &str) -> Result<(), String> {
    arame_nsa::config::File::parse(text).map(drop).map_err(|error| format!("{error:#}"))
}

fn installed(name: &str) -> String {
    std::fs::read_to_string(super::root().join(format!("packages/arame-{name}/{name}.toml"))).unwrap()
}

/// The file with its settings in force: `#word` is one, `# word` and `##` are none.
fn in_force(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '[') => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Every table in `table`, as the way to it; tables of a list by its first.
fn ways(table: &Table, way: &[String]) -> Vec<Vec<String>> {
    let mut found = vec![way.to_vec()];
    for (name, value) in table {
        let inner = match value {
            Value::Table(inner) => Some(inner),
            Value::Array(list) => list.first().and_then(Value::as_table),
            _ => None,
        };
        if let Some(inner) = inner {
            found.extend(ways(inner, &[way, std::slice::from_ref(name)].concat()));
        }
    }
    found
}

fn at<'t>(table: &'t mut Table, way: &[String]) -> &'t mut Table {
    way.iter().fold(table, |table, name| match table.get_mut(name).unwrap() {
        Value::Table(inner) => inner,
        Value::Array(list) => list[0].as_table_mut().unwrap(),
        other => panic!("{name} is {other}"),
    })
}

/// The words between backticks after `expected`.
fn fields(refusal: &str) -> Vec<String> {
    let (_, expected) = refusal.split_once("expected").unwrap_or_else(|| panic!("{refusal}"));
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn settings_as_installed_set_nothing_and_in_force_they_are_valid() {
    for (name, read) in FILES {
        let text = installed(name);
        let refused = read(&text).unwrap_err();
        assert!(refused.contains("missing field"), "{name}: {refused}");
        read(&in_force(&text)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn every_field_that_a_program_knows_is_in_the_settings_that_its_package_installs() {
    for (name, read) in FILES {
        let text = in_force(&installed(name));
        let table: Table = text.parse().unwrap();
        let mut looked_at = 0;
        for way in ways(&table, &[]) {
            let mut asked = table.clone();
            at(&mut asked, &way).insert(FIELD_UNKNOWN.into(), Value::Boolean(true));
            let refusal = read(&toml::to_string(&asked).unwrap()).unwrap_err();
            assert!(refusal.contains(FIELD_UNKNOWN), "{name} {way:?}: {refusal}");
            let there = at(&mut asked, &way);
            for field in fields(&refusal) {
                assert!(there.contains_key(&field), "{name}: {way:?} has no `{field}`");
                looked_at += 1;
            }
        }
        assert!(looked_at > 15, "{name}: only {looked_at} fields were looked at");
    }
}
