//! `arame host usage` and `arame storage usage`: what a host or a storage node itself is busy with, for people; `--json` is the
//! API's answer.

use super::instance::usage::{ROUNDS_OLD, ago, percent, step_of};
use crate::failure::CliError;
use crate::session::Session;
use crate::table::{fields, size, table};
use crate::words::{Message, say};
use arame_schema::api::{Language, NodeUsage, NodeUsagePoint};

/// `path` is that of the host or storage node.
pub async fn run(session: &mut Session<'_>, path: &str) -> Result<(), CliError> {
    let view: NodeUsage = session.client.get(&format!("{path}/usage")).await?;
    session.print(&view, |language| told(language, &view))
}

fn told(language: Language, view: &NodeUsage) -> String {
    let Some(age) = view.age_seconds else {
        return format!("{}\n", say(language, Message::NothingReadOfNode, &[]));
    };
    let mut text = String::new();
    if age > view.every_seconds * ROUNDS_OLD {
        text.push_str(&format!("{}\n", say(language, Message::OldFiguresOfNode, &[("age", &ago(age))])));
    }
    let of = |used: u64, all: u64| format!("{} / {}", size(used), size(all));
    let mut pairs =
        vec![(Message::Id, view.id.clone()), (Message::Agent, view.node_id.clone()), (Message::Age, ago(age))];
    if let Some(cpu) = view.cpu {
        pairs.push((Message::Cpu, format!("{} ({} CPU)", percent(cpu.percent), cpu.cores)));
    }
    if let Some(load) = view.load {
        let all = [load.one_minute, load.five_minutes, load.fifteen_minutes];
        pairs.push((Message::Load, all.map(|one| format!("{one:.2}")).join(" ")));
    }
    if let Some(memory) = view.memory {
        let used = memory.bytes.saturating_sub(memory.available_bytes);
        pairs.push((Message::Memory, of(used, memory.bytes)));
    }
    if let Some(disk) = view.disk {
        pairs.push((Message::Disk, of(disk.bytes.saturating_sub(disk.free_bytes), disk.bytes)));
    }
    text.push_str(&fields(language, pairs));
    if !view.history.is_empty() {
        text.push('\n');
        text.push_str(&history(language, &view.history));
    }
    text
}

/// The newest of each stretch, newest first.
fn history(language: Language, points: &[NodeUsagePoint]) -> String {
    let head = [Message::Ago, Message::Cpu, Message::Load, Message::Memory, Message::Disk];
    let row = |point: &NodeUsagePoint| {
        vec![
            ago(point.age_seconds),
            percent(point.cpu_percent),
            format!("{:.2}", point.load),
            size(point.memory_used_bytes),
            point.disk_used_bytes.map_or_else(|| "-".to_owned(), size),
        ]
    };
    table(language, &head, points.iter().rev().step_by(step_of(points.len())).map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::api::{LoadAverage, NodeCpu, NodeDisk, NodeMemory};

    fn view() -> NodeUsage {
        let point = NodeUsagePoint { age_seconds: 60.0, load: 1.25, ..NodeUsagePoint::default() };
        NodeUsage {
            id: "hn-a".into(),
            node_id: "hva.a".into(),
            age_seconds: Some(4.0),
            every_seconds: 10.0,
            cpu: Some(NodeCpu { cores: 8, percent: Some(37.5) }),
            load: Some(LoadAverage { one_minute: 1.25, five_minutes: 1.0, fifteen_minutes: 0.5 }),
            memory: Some(NodeMemory { bytes: 8 << 30, available_bytes: 6 << 30 }),
            disk: Some(NodeDisk { bytes: 100 << 30, free_bytes: 60 << 30 }),
            history: vec![point; 61],
        }
    }

    #[test]
    fn what_a_machine_is_busy_with_fits_the_screen_in_both_languages() {
        for language in Language::ALL {
            let text = told(language, &view());
            assert!(text.contains("37.5 % (8 CPU)") && text.contains("1.25 1.00 0.50"), "{text}");
            assert!(text.contains(&format!("{} / {}", size(2 << 30), size(8 << 30))), "{text}");
            assert!(text.lines().count() < 30, "{text}");
        }
    }

    #[test]
    fn old_figures_of_a_machine_say_so_and_none_say_that_there_are_none() {
        let old = NodeUsage { age_seconds: Some(300.0), ..view() };
        assert!(told(Language::En, &old).starts_with("These are from 5 min ago"), "{}", told(Language::En, &old));
        assert!(!told(Language::En, &view()).contains("These are"), "the control");
        let none = NodeUsage { age_seconds: None, ..view() };
        assert!(told(Language::Ja, &none).contains("測られていません"));
    }
}
