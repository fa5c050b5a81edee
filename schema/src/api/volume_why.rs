//! Why a volume is reached by its machine, or is not: the path from the guest to the disk, part by part.
//!
//! Rule: `sentence` is made of `code` and `values` in the reader's language. What could not be looked at is `unknown`, never
//! well and never a trouble; the verdict is the trouble nearest to the disk, because what lies before it follows from it.

use super::{Failure, Language, Localise, catalogue};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VolumeWhy {
    pub volume_id: String,
    pub account_id: String,
    pub instance_id: Option<String>,
    /// Of the trouble nearest to the disk; `path_well` or `path_unused` where there is none.
    pub code: String,
    pub sentence: String,
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// From the guest to the disk.
    pub path: Vec<VolumePathStep>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathPart {
    Instance,
    Host,
    /// The device in the guest.
    Disk,
    Attachment,
    /// The host's iSCSI session.
    Session,
    /// The iSCSI target.
    Target,
    /// The dataset or file.
    Volume,
    Pool,
    StorageNode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathCondition {
    Well,
    Trouble,
    /// Something is on its way; it ends by itself.
    Changing,
    /// It could not be looked at.
    Unknown,
    /// There is none, and none is wanted.
    Absent,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VolumePathStep {
    pub part: PathPart,
    pub condition: PathCondition,
    pub code: String,
    pub sentence: String,
    #[serde(default)]
    pub values: BTreeMap<String, String>,
}

impl VolumePathStep {
    pub fn new(part: PathPart, condition: PathCondition, code: &str) -> Self {
        Self { part, condition, code: code.to_owned(), sentence: String::new(), values: BTreeMap::new() }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.values.insert(name.to_owned(), value.to_string());
        self
    }
}

impl Localise for VolumeWhy {
    fn localise(&mut self, language: Language) {
        self.sentence = said(&self.code, &self.values, language);
        for step in &mut self.path {
            step.sentence = said(&step.code, &step.values, language);
        }
    }
}

/// A code that the catalogue does not know is shown as it is. A failure among the values is told by its own words.
fn said(code: &str, values: &BTreeMap<String, String>, language: Language) -> String {
    let mut values = values.clone();
    if let Some(failed) = values.get("failure_code") {
        let mut failure = Failure { values: values.clone(), ..Failure::new(failed.clone()) };
        failure.localise(language);
        values.insert("failure".into(), failure.sentence);
    }
    catalogue::path(code).map_or_else(|| code.to_owned(), |entry| catalogue::fill(entry.text(language), &values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_in_the_readers_language() {
        let step = VolumePathStep::new(PathPart::Host, PathCondition::Trouble, "host_silent").with("host", "hn-a");
        let mut why = VolumeWhy {
            volume_id: "vol-a".into(),
            account_id: "a-a".into(),
            instance_id: None,
            code: "host_silent".into(),
            sentence: String::new(),
            values: step.values.clone(),
            path: vec![step],
        };
        why.localise(Language::En);
        assert!(why.sentence.contains("hn-a") && why.sentence.contains("silent"), "{}", why.sentence);
        assert_eq!(why.path[0].sentence, why.sentence);
        why.localise(Language::Ja);
        assert!(why.path[0].sentence.contains("ホスト"), "{}", why.path[0].sentence);
    }
}
