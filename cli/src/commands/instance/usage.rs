//! `arame instance usage`: what a guest uses, for people; `--json` is the API's answer.

use crate::failure::CliError;
use crate::names;
use crate::session::Session;
use crate::table::{fields, size, table};
use crate::words::{Message, say};
use arame_schema::api::{DiskUsage, Instance, InstanceUsage, Language, UsagePoint, VifUsage};

/// Points of the history that are shown: an hour in steps of five minutes fits a screen.
const POINTS: usize = 12;

/// From this many rounds on figures are called old.
pub const ROUNDS_OLD: f64 = 3.0;

pub async fn run(session: &mut Session<'_>, instance: &str) -> Result<(), CliError> {
    let id = names::id_of::<Instance>(&session.client, instance).await?;
    let view: InstanceUsage = session.client.get(&format!("/instances/{id}/usage")).await?;
    session.print(&view, |language| told(language, &view))
}

fn told(language: Language, view: &InstanceUsage) -> String {
    let Some(age) = view.age_seconds else {
        return format!("{}\n", say(language, Message::NothingRead, &[]));
    };
    let mut text = String::new();
    if age > view.every_seconds * ROUNDS_OLD {
        text.push_str(&format!("{}\n", say(language, Message::OldFigures, &[("age", &ago(age))])));
    }
    let mut pairs = vec![
        (Message::Instance, view.instance_id.clone()),
        (Message::Host, view.host_node_id.clone()),
        (Message::Age, ago(age)),
    ];
    if let Some(cpu) = view.cpu {
        pairs.push((Message::Cpu, format!("{} ({} CPU)", percent(cpu.percent), cpu.cores)));
        pairs.push((Message::CpuTime, format!("{:.1} s", cpu.seconds)));
    }
    if let Some(memory) = view.memory {
        pairs.push((Message::Memory, size(memory.bytes)));
        pairs.push((Message::MemoryGiven, memory.resident_bytes.map(size).unwrap_or_default()));
        pairs.push((Message::MemoryUsed, memory.used_bytes.map(size).unwrap_or_default()));
    }
    text.push_str(&fields(language, pairs));
    if !view.disks.is_empty() {
        text.push('\n');
        text.push_str(&disks(language, &view.disks));
    }
    if !view.vifs.is_empty() {
        text.push('\n');
        text.push_str(&vifs(language, &view.vifs));
    }
    if !view.history.is_empty() {
        text.push('\n');
        text.push_str(&history(language, &view.history));
    }
    text
}

/// `12 s`, `5 min`.
pub fn ago(seconds: f64) -> String {
    if seconds < 120.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

pub fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1} %"))
}

fn a_second(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{}/s", size(value.max(0.0) as u64)))
}

fn with_rate(total: u64, rate: Option<f64>) -> String {
    format!("{} ({})", size(total), a_second(rate))
}

fn disks(language: Language, all: &[DiskUsage]) -> String {
    let head =
        [Message::Device, Message::Volume, Message::ReadBytes, Message::Reads, Message::WrittenBytes, Message::Writes];
    let row = |disk: &DiskUsage| {
        vec![
            disk.device.clone(),
            disk.volume_id.clone().unwrap_or_else(|| "-".into()),
            with_rate(disk.read_bytes, disk.read_bytes_per_second),
            disk.reads.to_string(),
            with_rate(disk.written_bytes, disk.written_bytes_per_second),
            disk.writes.to_string(),
        ]
    };
    table(language, &head, all.iter().map(row).collect())
}

fn vifs(language: Language, all: &[VifUsage]) -> String {
    let head = [
        Message::Interface,
        Message::ReceivedBytes,
        Message::ReceivedPackets,
        Message::SentBytes,
        Message::SentPackets,
        Message::Drops,
    ];
    let row = |vif: &VifUsage| {
        vec![
            vif.vif_id.clone(),
            with_rate(vif.received_bytes, vif.received_bytes_per_second),
            vif.received_packets.to_string(),
            with_rate(vif.sent_bytes, vif.sent_bytes_per_second),
            vif.sent_packets.to_string(),
            format!("{}/{}", vif.received_drops, vif.sent_drops),
        ]
    };
    table(language, &head, all.iter().map(row).collect())
}

/// Of so many points only each of these is shown.
pub fn step_of(points: usize) -> usize {
    points.div_ceil(POINTS).max(1)
}

/// The newest of each stretch, newest first.
fn history(language: Language, points: &[UsagePoint]) -> String {
    let head = [
        Message::Ago,
        Message::Cpu,
        Message::Memory,
        Message::ReadBytes,
        Message::WrittenBytes,
        Message::ReceivedBytes,
        Message::SentBytes,
    ];
    let row = |point: &UsagePoint| {
        vec![
            ago(point.age_seconds),
            percent(point.cpu_percent),
            point.memory_bytes.map_or_else(|| "-".to_owned(), size),
            a_second(point.read_bytes_per_second),
            a_second(point.written_bytes_per_second),
            a_second(point.received_bytes_per_second),
            a_second(point.sent_bytes_per_second),
        ]
    };
    table(language, &head, points.iter().rev().step_by(step_of(points.len())).map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::api::{CpuUsage, MemoryUsage};

    /// Columns a terminal uses: two for kana and kanji.
    fn width(text: &str) -> usize {
        text.chars().map(|c| if matches!(c, '\u{3000}'..='\u{9fff}' | '\u{ff00}'..='\u{ff60}') { 2 } else { 1 }).sum()
    }

    fn view() -> InstanceUsage {
        let point = UsagePoint { age_seconds: 60.0, cpu_percent: Some(3.0), ..UsagePoint::default() };
        InstanceUsage {
            instance_id: "i-a".into(),
            host_node_id: "hn-a".into(),
            age_seconds: Some(4.0),
            every_seconds: 10.0,
            cpu: Some(CpuUsage { cores: 2, seconds: 12.5, percent: Some(25.0) }),
            memory: Some(MemoryUsage { bytes: 256 << 20, resident_bytes: Some(128 << 20), used_bytes: None }),
            disks: vec![DiskUsage { device: "vda".into(), read_bytes: 4096, ..DiskUsage::default() }],
            vifs: vec![VifUsage { vif_id: "vif-a".into(), sent_drops: 3, ..VifUsage::default() }],
            history: vec![point; 61],
        }
    }

    #[test]
    fn figures_line_up_in_both_languages_and_an_hour_fits_the_screen() {
        for language in Language::ALL {
            let text = told(language, &view());
            assert!(text.contains("25.0 % (2 CPU)") && text.contains("vda") && text.contains("0/3"), "{text}");
            assert!(text.lines().count() < 30, "{text}");
            let blocks: Vec<&str> = text.split("\n\n").collect();
            let [head, first, ..] = blocks[3].lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
            let column = crate::words::word(language, Message::Cpu);
            assert_eq!(
                width(&head[..head.find(column).unwrap()]),
                width(&first[..first.find("3.0 %").unwrap()]),
                "{text}"
            );
        }
    }

    #[test]
    fn old_figures_say_how_old_they_are_and_none_say_that_there_are_none() {
        let old = InstanceUsage { age_seconds: Some(300.0), ..view() };
        assert!(told(Language::En, &old).starts_with("These are from 5 min ago"), "{}", told(Language::En, &old));
        assert!(!told(Language::En, &view()).contains("These are"), "the control");
        let none = InstanceUsage { age_seconds: None, ..view() };
        assert!(told(Language::Ja, &none).contains("測られていません"));
    }
}
