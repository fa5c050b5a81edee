//! The rules of placement, named.

use super::Sentence;

/// The name of a placement's rule, if we know it.
pub fn placement_rule(rule: &str) -> Option<&'static Sentence> {
    ALL.iter().find(|entry| entry.code == rule)
}

pub static ALL: &[Sentence] = sentences! {
    "online": "エージェントが応答している", "the agent is heard";
    "scheduling_enabled": "配置が有効", "scheduling is enabled";
    "not_degraded": "不調でない", "not degraded";
    "understands": "必要な仕事を理解する", "understands the jobs needed";
    "hypervisor": "ハイパーバイザーの種類", "hypervisor";
    "arch": "アーキテクチャ", "architecture";
    "cpu_cores": "CPU コア", "CPU cores";
    "memory_size": "メモリー", "memory";
    "disk_space": "ディスク", "disk";
    "disk_left": "スナップショットなどを除いたディスクの残り", "disk left beside snapshots and other files";
    "reaches_backup": "バックアップに届く", "reaches the backup";
    "has_none_yet": "まだ持っていない", "has none of it yet";
    "same_store": "ストアの種類が同じ", "a store of the same kind";
    "packed": "詰めて配置（使用率の高い順）", "packed: the fullest first";
    "asked_for": "指定されたホスト", "host asked for";
    "not_tried": "まだ試していない", "not tried before";
};
