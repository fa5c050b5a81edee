//! Tidiness that no compiler keeps: which folder may import what, where SQL stands, how files begin, how long they are.
//!
//! Rule: every check has its positive control: a made-up text that breaks it is found. What a check cannot see (a macro
//! that expands to an import) is left to review. The table of imports is the one of ARCHITECTURE.md.

#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/scan.rs"]
mod scan;

use scan::Source;
use std::path::{Path, PathBuf};

/// STYLE's guide is about 400 lines; from here on a reason is needed.
const LINES_MAX: usize = 600;

/// Longer than [`LINES_MAX`], and why.
const LONG_FILES: &[(&str, &str)] = &[];

/// Folders of this machine that must not be written into anything. Split, so that this file passes.
const MACHINE_PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];

/// Files in which a path of that form is no path of a machine, and why.
const MACHINE_PATHS_ALLOWED: &[(&str, &str)] = &[];

/// Macros that mark unfinished work, and one that is for a developer's eyes only.
const UNFINISHED: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];

/// Where SQL may stand beside `dcmgr/src/db`: the kit reads rows when it explains a failed story, benches count.
const SQL_PLACES: [&str; 3] = ["dcmgr/src/db", "spec/", "cli/src/up/database.rs"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file of the project by its path from the root, but for what is built, fetched or made by running it.
fn files() -> Vec<(String, PathBuf)> {
    let (mut found, mut folders) = (Vec::new(), vec![root()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let (path, kind) = entry.map(|entry| (entry.path(), entry.file_type().unwrap())).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let built = ["target", ".git", "var", "node_modules", "dist"].contains(&name.as_str());
            if kind.is_dir() && !built {
                folders.push(path);
            } else if kind.is_file() && name != "Cargo.lock" && name != ".git" {
                found.push((path.strip_prefix(root()).unwrap().display().to_string(), path));
            }
        }
    }
    found.sort();
    found
}

fn rust_sources() -> Vec<(String, String)> {
    let rust = files().into_iter().filter(|(name, _)| name.ends_with(".rs"));
    let sources: Vec<_> = rust.map(|(name, path)| (name, std::fs::read_to_string(path).unwrap())).collect();
    assert!(sources.len() > 100, "only {} sources were found: the walk is broken", sources.len());
    sources
}

fn none(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn folders_import_only_what_they_may() {
    let broken = rust_sources().iter().flat_map(|(name, text)| imports::broken(name, text)).collect();
    none(broken);
}

#[test]
fn a_forbidden_import_is_found_however_it_is_written() {
    for (place, path) in imports::samples() {
        let top = path.split("::").next().unwrap();
        let (head, tail) = path.rsplit_once("::").unwrap_or(("", path));
        let mut ways = vec![format!("use {path};"), format!("fn f() {{ {path}::run(); }}")];
        if !head.is_empty() {
            ways.push(format!("use {head}::{{\n    other,\n    {tail}::thing,\n}};"));
        }
        for way in ways {
            assert!(!imports::broken(&place, &way).is_empty(), "{place}: `{way}` was not found");
        }
        let harmless = format!("// {path}\nfn f() {{ g(\"{path}\") }}\nuse {top}_of_another_name::x;");
        assert_eq!(imports::broken(&place, &harmless), Vec::<String>::new(), "{place}");
    }
}

fn sql_in(name: &str, text: &str) -> Vec<String> {
    if SQL_PLACES.iter().any(|place| name.starts_with(place)) {
        return Vec::new();
    }
    let is_sql = |text: &str| {
        let starts = ["SELECT ", "INSERT INTO ", "INSERT IGNORE ", "DELETE FROM ", "REPLACE INTO "];
        starts.iter().any(|word| text.contains(word)) || (text.contains("UPDATE ") && text.contains(" SET "))
    };
    let strings = Source::scan(text).strings.into_iter().filter(|text| is_sql(text));
    strings.map(|text| format!("{name}: SQL outside dcmgr/src/db: {text}")).collect()
}

#[test]
fn sql_stands_only_where_the_database_is() {
    let made_up = "fn f() { run(\"UPDATE jobs SET open = 0\"); run(\"SELECT 1\") }";
    assert_eq!(sql_in("dcmgr/src/app/x.rs", made_up).len(), 2);
    assert_eq!(sql_in("dcmgr/src/db/x.rs", made_up), Vec::<String>::new());
    assert_eq!(sql_in("dcmgr/src/app/x.rs", "// SELECT a row\nfn f() {}"), Vec::<String>::new());
    none(rust_sources().iter().flat_map(|(name, text)| sql_in(name, text)).collect());
}

fn unfinished_in(name: &str, text: &str) -> Vec<String> {
    let code = Source::scan(text).code;
    let found = UNFINISHED.iter().filter(|mark| scan::has_path(&code, mark));
    found.map(|mark| format!("{name}: {mark}")).collect()
}

#[test]
fn nothing_unfinished_is_left() {
    assert_eq!(unfinished_in("x.rs", "fn f() { todo!() }"), ["x.rs: todo!"]);
    assert_eq!(unfinished_in("x.rs", "fn f() { dbg!(1); let s = \"todo!\"; } // unimplemented!()"), ["x.rs: dbg!"]);
    none(rust_sources().iter().flat_map(|(name, text)| unfinished_in(name, text)).collect());
}

fn says_what_it_is(text: &str) -> bool {
    text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 12)
}

#[test]
fn every_file_begins_by_saying_what_it_is() {
    assert!(says_what_it_is("//! Ids: one newtype per kind.\nuse x;"));
    assert!(!says_what_it_is("use x;\n//! Too late."));
    assert!(!says_what_it_is("//!\nuse x;"));
    let silent = rust_sources().into_iter().filter(|(_, text)| !says_what_it_is(text));
    none(silent.map(|(name, _)| format!("{name} does not begin with `//! `, what it is")).collect());
}

#[test]
fn no_file_is_long_without_a_reason() {
    let allowed = |name: &str| LONG_FILES.iter().any(|(file, reason)| *file == name && !reason.is_empty());
    let is_long = |text: &str| text.lines().count() > LINES_MAX;
    assert!(is_long(&"x\n".repeat(LINES_MAX + 1)) && !is_long(&"x\n".repeat(LINES_MAX)));
    let sources = rust_sources();
    let long = sources.iter().filter(|(name, text)| is_long(text) && !allowed(name));
    none(long.map(|(name, text)| format!("{name} has {} lines", text.lines().count())).collect());
    for (file, _) in LONG_FILES {
        assert!(sources.iter().any(|(name, text)| name == file && is_long(text)), "{file} needs no exception any more");
    }
}

fn machine_paths_in(name: &str, text: &str) -> Vec<String> {
    let found = text.lines().enumerate().filter(|(_, line)| MACHINE_PATHS.iter().any(|path| line.contains(path)));
    found.map(|(at, line)| format!("{name}:{}: {}", at + 1, line.trim())).collect()
}

#[test]
fn no_path_of_a_developers_machine_is_written_down() {
    let made_up = format!("let x = \"{}me/project\";", MACHINE_PATHS[1]);
    assert_eq!(machine_paths_in("x.rs", &made_up).len(), 1);
    let texts = files().into_iter().filter_map(|(name, path)| Some((name, std::fs::read_to_string(path).ok()?)));
    let allowed = |name: &str| MACHINE_PATHS_ALLOWED.iter().any(|(file, _)| *file == name);
    none(texts.filter(|(name, _)| !allowed(name)).flat_map(|(name, text)| machine_paths_in(&name, &text)).collect());
}
