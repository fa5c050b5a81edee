//! `arame storage why`: the way from a volume's guest to its disk, part by part, and the trouble nearest to the disk.

use crate::failure::CliError;
use crate::names;
use crate::session::Session;
use crate::table::{lines, plain};
use crate::words::{Message, word};
use arame_schema::api::{Language, PathCondition, PathPart, Volume, VolumePathStep, VolumeWhy};

pub async fn run(session: &mut Session<'_>, volume: &str) -> Result<(), CliError> {
    let id = names::id_of::<Volume>(&session.client, volume).await?;
    let view: VolumeWhy = session.client.get(&format!("/volumes/{id}/why")).await?;
    session.print(&view, |language| told(language, &view))
}

fn told(language: Language, view: &VolumeWhy) -> String {
    let row = |step: &VolumePathStep| {
        vec![mark(step.condition).to_owned(), word(language, part_name(step.part)).to_owned(), step.sentence.clone()]
    };
    format!("{}  {}\n\n{}", view.volume_id, plain(&view.sentence), lines(view.path.iter().map(row).collect()))
}

fn mark(condition: PathCondition) -> &'static str {
    match condition {
        PathCondition::Well => "✓",
        PathCondition::Trouble => "✗",
        PathCondition::Changing => "…",
        PathCondition::Unknown => "?",
        PathCondition::Absent => "-",
    }
}

fn part_name(part: PathPart) -> Message {
    match part {
        PathPart::Instance => Message::PartInstance,
        PathPart::Host => Message::PartHost,
        PathPart::Disk => Message::PartDisk,
        PathPart::Attachment => Message::PartAttachment,
        PathPart::Session => Message::PartSession,
        PathPart::Target => Message::PartTarget,
        PathPart::Volume => Message::PartVolume,
        PathPart::Pool => Message::PartPool,
        PathPart::StorageNode => Message::PartStorageNode,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::api::Localise;

    #[test]
    fn the_path_is_a_line_a_part_in_the_readers_language() {
        let step = |part, condition, code: &str| VolumePathStep::new(part, condition, code).with("state", "running");
        let mut view = VolumeWhy {
            volume_id: "vol-a".into(),
            account_id: "a-demo".into(),
            instance_id: Some("i-a".into()),
            code: "volume_missing".into(),
            sentence: String::new(),
            values: std::collections::BTreeMap::new(),
            path: vec![
                step(PathPart::Disk, PathCondition::Changing, "disk_waits"),
                step(PathPart::Volume, PathCondition::Trouble, "volume_missing"),
            ],
        };
        view.localise(Language::En);
        let text = told(Language::En, &view);
        assert!(text.starts_with("vol-a  the store does not have it\n"), "{text}");
        assert!(text.contains("…  disk in the guest  the instance is running"), "{text}");
        assert!(text.contains("✗  volume             the store does not have it"), "{text}");
        view.localise(Language::Ja);
        assert!(
            told(Language::Ja, &view).contains("✗  ボリューム        ストアにありません"),
            "{}",
            told(Language::Ja, &view)
        );
    }
}
