//! The simulated worlds of all agents, read from their files as they are now.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Reads a file only when its bytes changed.
#[derive(Debug, Default)]
pub(super) struct Worlds {
    root: PathBuf,
    read: BTreeMap<PathBuf, (Vec<u8>, Value)>,
    /// By agent: hypervisors and storage.
    pub of: BTreeMap<String, Value>,
    /// What the naming service serves, by network: `version` and `snapshot`.
    pub networks: BTreeMap<String, Value>,
}

impl Worlds {
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), ..Self::default() }
    }

    pub fn hosts(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.of.iter().filter(|(agent, _)| agent.starts_with("hva.")).map(|(agent, world)| (agent.as_str(), world))
    }

    pub fn storage(&self) -> &Value {
        self.of.get("sta.s1").unwrap_or(&Value::Null)
    }

    /// Looks again. Answers whether anything changed.
    pub fn look(&mut self, agents: &[&str]) -> bool {
        let mut changed = false;
        for agent in agents.iter().filter(|agent| !agent.starts_with("nsa.")) {
            let path = self.root.join(agent).join("world.json");
            if let Some(value) = self.read(&path) {
                self.of.insert((*agent).to_owned(), value);
                changed = true;
            }
        }
        let folder = self.root.join("nsa.n1").join("data");
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
        files.sort();
        for path in files {
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            if let Some(value) = self.read(&path) {
                self.networks.insert(name, value);
                changed = true;
            }
        }
        changed
    }

    /// What the file says now; `None`: what it said before, or nothing.
    fn read(&mut self, path: &Path) -> Option<Value> {
        let bytes = std::fs::read(path).ok()?;
        if self.read.get(path).is_some_and(|(known, _)| *known == bytes) {
            return None;
        }
        let value: Value = serde_json::from_slice(&bytes).ok()?;
        self.read.insert(path.to_owned(), (bytes, value.clone()));
        Some(value)
    }
}

/// The entries of an object.
pub(super) fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The texts of a list.
pub(super) fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
