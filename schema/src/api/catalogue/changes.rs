//! The smallest change that would make an instance fit, in words.

use super::Sentence;

/// The sentence of a change's code.
pub fn change(code: &str) -> &'static Sentence {
    ALL.iter().find(|entry| entry.code == code).unwrap_or(&GENERIC)
}

macro_rules! sentences {
    ($($code:literal: $ja:literal, $en:literal;)*) => {
        &[$(Sentence { code: $code, ja: $ja, en: $en }),*]
    };
}

pub static GENERIC: Sentence =
    Sentence { code: "generic", ja: "{code} を変えれば置けます。", en: "It would fit if {code} changed." };

pub static ALL: &[Sentence] = sentences! {
    "free_memory": "ホスト {host} であと {missing} MiB のメモリーが空けば置けます。", "It would fit on {host} if {missing} MiB more memory were free.";
    "free_cpu_cores": "ホスト {host} であと {missing} コアの CPU が空けば置けます。", "It would fit on {host} if {missing} more CPU cores were free.";
    "free_disk_space": "ホスト {host} であと {missing} MiB のディスクが空けば置けます。", "It would fit on {host} if {missing} MiB more disk were free.";
    "enable_scheduling": "ホスト {host} の配置を有効にすれば置けます（arame host enable {host}）。", "It would fit on {host} if scheduling were enabled there (arame host enable {host}).";
    "bring_online": "ホスト {host} が復帰すれば置けます。", "It would fit on {host} if that host came back online.";
    "repair_degraded": "ホスト {host} の不調が解消すれば置けます。", "It would fit on {host} if that host were not degraded.";
    "choose_other_host": "host_node_id の指定を外せば、ホスト {host} に置けます。", "It would fit on {host} if no other host were asked for.";
    "choose_hypervisor": "hypervisor を {hypervisor} にすれば、ホスト {host} に置けます。", "It would fit on {host} with hypervisor {hypervisor}.";
    "choose_image": "アーキテクチャ {arch} のイメージなら、ホスト {host} に置けます。", "It would fit on {host} with an image for {arch}.";
    "add_host": "ホストを追加してください（arame up --hosts N）。", "Add a host (arame up --hosts N).";
};
