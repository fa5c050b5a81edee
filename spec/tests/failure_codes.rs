//! Every failure code that an agent may answer has words of its own in the catalogue.
//!
//! Rule: found by reading the agents' source: a line that names a retry and a quoted word names a code. A code spread
//! over several lines is not found; it is then told by the generic entry, with the agent's own message.

use arame_schema::api::catalogue::knows_failure;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The first quoted word of a line that names a retry.
fn code_of(line: &str) -> Option<&str> {
    let word = line.split_once("Retry::")?.0.split('"').nth(1)?;
    let formed = word.len() > 3 && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    formed.then_some(word)
}

#[test]
fn every_failure_code_of_an_agent_is_told_in_words() {
    let mut files = Vec::new();
    for agent in ["framework", "hva", "sta", "nsa"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../agents").join(agent).join("src"), &mut files);
    }
    let mut codes = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        // What a file's own tests make up is no agent's answer.
        let program = text.split("#[cfg(test)]").next().unwrap_or("");
        codes.extend(program.lines().filter_map(code_of).map(str::to_owned));
    }
    assert!(codes.len() > 20, "only {codes:?} were found: the agents are written otherwise now");
    let untold: Vec<&String> = codes.iter().filter(|code| *code != "overtaken" && !knows_failure(code)).collect();
    assert!(untold.is_empty(), "no words for {untold:?}");
    assert!(!knows_failure("flux_capacitor"));
}
