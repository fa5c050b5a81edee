//! `arame seed apply FILE`: makes what a file declares, with the ids it gives, and changes what differs.
//!
//! Rule: applied twice, the second time changes nothing and says so. Ids are the file's, byte for byte. What cannot be
//! changed and differs is refused before anything after it is touched; nothing is ever deleted.

mod kinds;

use super::record::escaped;
use crate::client::Client;
use crate::failure::{CliError, REFUSED, USAGE};
use crate::session::Session;
use crate::table::table;
use crate::words::{Message, say, word};
use clap::Subcommand;
use kinds::{KINDS, Kind};
use serde::Serialize;
use serde_json::{Map, Value};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make what a file (TOML, or YAML by its name) declares / ファイルに書かれたものを用意する
    Apply { file: PathBuf },
}

/// What became of one declared thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Created,
    Changed,
    Unchanged,
}

impl Outcome {
    fn message(self) -> Message {
        match self {
            Outcome::Created => Message::SeedCreated,
            Outcome::Changed => Message::SeedChanged,
            Outcome::Unchanged => Message::SeedUnchanged,
        }
    }
}

#[derive(Debug, Serialize)]
struct Line {
    kind: &'static str,
    id: String,
    outcome: Outcome,
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    let Command::Apply { file } = command;
    let seed = read(session, &file)?;
    let folder = file.parent().unwrap_or(Path::new(".")).to_owned();
    let mut lines = Vec::new();
    for kind in KINDS {
        for declared in seed.items(kind.section) {
            let one = One { session, folder: &folder, kind, declared };
            lines.push(one.apply().await?);
        }
    }
    session.print(&lines, |language| {
        let row = |line: &Line| {
            vec![line.kind.to_owned(), line.id.clone(), word(language, line.outcome.message()).to_owned()]
        };
        table(language, &[Message::Kind, Message::Id, Message::Result], lines.iter().map(row).collect())
    })
}

/// The file's sections, each a list of tables.
struct Seed(Map<String, Value>);

impl Seed {
    fn items(&self, section: &str) -> Vec<Map<String, Value>> {
        let items = self.0.get(section).and_then(Value::as_array).cloned().unwrap_or_default();
        items.into_iter().filter_map(|item| item.as_object().cloned()).collect()
    }
}

fn read(session: &Session<'_>, file: &Path) -> Result<Seed, CliError> {
    let shown = file.display().to_string();
    let unreadable = |cause: String| {
        let sentence = say(session.language(), Message::FileUnreadable, &[("path", &shown)]);
        CliError::because(USAGE, sentence, cause, session.word(Message::SeedFormNext).into())
    };
    let text = std::fs::read_to_string(file).map_err(|source| unreadable(source.to_string()))?;
    let sections = parse(&text, file).map_err(&unreadable)?;
    check(&sections).map_err(unreadable)?;
    Ok(Seed(sections))
}

fn parse(text: &str, file: &Path) -> Result<Map<String, Value>, String> {
    let is_yaml = file.extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
    if is_yaml {
        return serde_saphyr::from_str(text).map_err(|error| error.to_string());
    }
    toml::from_str(text).map_err(|error| error.to_string())
}

/// Every section is known and a list of tables with an id.
fn check(sections: &Map<String, Value>) -> Result<(), String> {
    for (name, items) in sections {
        let kind = KINDS.iter().find(|kind| kind.section == name);
        let kind = kind.ok_or_else(|| {
            let known: Vec<&str> = KINDS.iter().map(|kind| kind.section).collect();
            format!("[[{name}]]: {}", known.join(", "))
        })?;
        let items = items.as_array().ok_or_else(|| format!("{name}: [[{name}]]"))?;
        for item in items {
            let id = item.get(kind.name).and_then(Value::as_str);
            if id.is_none_or(str::is_empty) {
                return Err(format!("[[{name}]]: {} = \"…\"", kind.name));
            }
            // What is told once and kept nowhere would be lost.
            if !kind.secret_file.is_empty() && item.get(kind.secret_file).is_none_or(|file| !file.is_string()) {
                return Err(format!("[[{name}]]: {} = \"…\"", kind.secret_file));
            }
        }
    }
    Ok(())
}

/// One declared thing on its way.
struct One<'a, 's> {
    session: &'a Session<'s>,
    folder: &'a Path,
    kind: &'static Kind,
    declared: Map<String, Value>,
}

impl One<'_, '_> {
    async fn apply(mut self) -> Result<Line, CliError> {
        let id = self.declared[self.kind.name].as_str().unwrap_or_default().to_owned();
        let account = self.take_text("account");
        let client = match &account {
            Some(account) => self.session.client.for_account(account),
            None => self.session.client.clone(),
        };
        let key_file = self.take_text(self.kind.secret_file);
        self.read_public_key()?;
        let parts: Vec<(&str, Value)> =
            self.kind.parts.iter().filter_map(|part| Some((*part, self.declared.remove(*part)?))).collect();
        let (mut outcome, mut view) = match self.find(&client, &id).await? {
            Some(view) => (self.change(&client, &id, &view).await?, view),
            None => (Outcome::Created, self.create(&client, key_file).await?),
        };
        for (part, wanted) in parts {
            let changed = kinds::apply_part(&client, (self.kind, &id), part, &wanted, &view).await?;
            if changed && outcome == Outcome::Unchanged {
                outcome = Outcome::Changed;
            }
            if changed {
                view = client.get(&self.place(&id)).await?;
            }
        }
        Ok(Line { kind: self.kind.section, id, outcome })
    }

    fn place(&self, id: &str) -> String {
        format!("{}/{}", self.kind.path, escaped(id))
    }

    fn take_text(&mut self, name: &str) -> Option<String> {
        self.declared.remove(name).and_then(|value| value.as_str().map(str::to_owned))
    }

    /// A key's line may stand in a file beside the seed.
    fn read_public_key(&mut self) -> Result<(), CliError> {
        let Some(file) = self.take_text("public_key_file") else { return Ok(()) };
        let path = self.folder.join(file);
        let text = std::fs::read_to_string(&path).map_err(|source| {
            let shown = path.display().to_string();
            let sentence = say(self.session.language(), Message::FileUnreadable, &[("path", &shown)]);
            CliError::because(USAGE, sentence, source, self.session.word(Message::FileNext).into())
        })?;
        self.declared.insert("public_key".into(), Value::String(text.trim().to_owned()));
        Ok(())
    }

    /// What is there under this id.
    async fn find(&self, client: &Client, id: &str) -> Result<Option<Value>, CliError> {
        if self.kind.name != "id" {
            let all: Vec<Value> = client.list(self.kind.path).await?;
            return Ok(all.into_iter().find(|one| one[self.kind.name].as_str() == Some(id)));
        }
        match client.get(&self.place(id)).await {
            Ok(view) => Ok(Some(view)),
            Err(CliError::Refused(body)) if body.reason == "unknown_resource" => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// What differs is changed; what cannot be is refused.
    async fn change(&self, client: &Client, id: &str, view: &Value) -> Result<Outcome, CliError> {
        let mut change = Map::new();
        for (name, wanted) in self.declared.iter().filter(|(name, _)| *name != self.kind.name) {
            let place = self.kind.place_of(name);
            let had = view.pointer(&place).cloned().unwrap_or(Value::Null);
            if kinds::is_same(name, wanted, &had) {
                continue;
            }
            if !self.kind.changeable.contains(&name.as_str()) {
                let words = [Message::SeedFixed, Message::SeedFixedCause, Message::SeedFixedNext];
                let (had, wanted) = (kinds::plain(&had), kinds::plain(wanted));
                let values = [("id", id), ("field", name.as_str()), ("had", &had), ("wanted", &wanted)];
                return Err(CliError::own(REFUSED, self.session.language(), words, &values));
            }
            change.insert(name.clone(), kinds::sent(name, wanted));
        }
        if change.is_empty() {
            return Ok(Outcome::Unchanged);
        }
        client.put::<Value>(&self.place(id), &change).await?;
        Ok(Outcome::Changed)
    }

    async fn create(&self, client: &Client, key_file: Option<String>) -> Result<Value, CliError> {
        // Opened before it is made: a secret that could not be kept would be lost.
        let mut kept = match key_file {
            Some(file) => Some(self.open_secret(&self.folder.join(file))?),
            None => None,
        };
        let mut body = self.declared.clone();
        body.extend(self.kind.at_creation.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))));
        let view: Value = client.post(self.kind.path, &body).await?;
        let secret = view.get("join_key").or_else(|| view.get("secret")).and_then(Value::as_str);
        if let (Some(file), Some(secret)) = (&mut kept, secret) {
            writeln!(file, "{secret}")?;
        }
        Ok(view)
    }

    fn open_secret(&self, path: &Path) -> Result<std::fs::File, CliError> {
        let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        opened.map_err(|source| {
            let shown = path.display().to_string();
            let sentence = say(self.session.language(), Message::FileUnwritable, &[("path", &shown)]);
            CliError::because(USAGE, sentence, source, self.session.word(Message::FileNext).into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checked_in_example_is_a_seed_and_yaml_says_the_same() {
        let text = include_str!("../../seed.example.toml");
        let sections = parse(text, Path::new("seed.toml")).unwrap();
        check(&sections).unwrap();
        assert!(sections.len() >= 10, "the example shows only {:?}", sections.keys());
        let yaml = "dc_network:\n  - id: dcn-lab\n    name: lab\n";
        let yaml = parse(yaml, Path::new("seed.yml")).unwrap();
        check(&yaml).unwrap();
        assert_eq!(Seed(yaml).items("dc_network")[0]["id"], "dcn-lab");
    }

    #[test]
    fn unknown_sections_and_things_without_id_are_refused() {
        let lost = "[[host_node]]\nid = 'hn-a'\nnode_id = 'hva.a'";
        for text in [lost, "[[colour]]\nid = 'a'", "[[network]]\nprefix = 24", "network = 1", "[[network]]\nid = ''"] {
            let sections = parse(text, Path::new("seed.toml")).unwrap();
            assert!(check(&sections).is_err(), "{text}");
        }
    }
}
