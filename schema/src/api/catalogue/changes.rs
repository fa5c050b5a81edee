//! The smallest change that would make an instance fit, in words.

use super::Sentence;

/// The sentence of a change's code.
pub fn change(code: &str) -> &'static Sentence {
    ALL.iter().find(|entry| entry.code == code).unwrap_or(&GENERIC)
}

pub static GENERIC: Sentence =
    Sentence { code: "generic", ja: "{code} を変えれば置けます。", en: "It would fit if {code} changed." };

/// Places any change may use: `{host}`, `{rule}`, `{needed}`, `{had}`, `{amount}` (how much is lacking, or there in all).
pub static ALL: &[Sentence] = sentences! {
    "free_memory": "ホスト {host} であと {amount} MiB のメモリーが空けば置けます。", "It would fit on {host} if {amount} MiB more memory were free.";
    "free_cpu": "ホスト {host} であと {amount} コアの CPU が空けば置けます。", "It would fit on {host} if {amount} more CPU cores were free.";
    "free_disk": "ホスト {host} であと {amount} MiB のディスクが空けば置けます。", "It would fit on {host} if {amount} MiB more disk were free.";
    "smaller_memory": "ホスト {host} 全体でもメモリーは {amount} MiB です。それより小さい構成を選んでください。", "Host {host} has {amount} MiB of memory in all: choose something smaller.";
    "smaller_cpu": "ホスト {host} 全体でも {amount} コアです。それより小さい構成を選んでください。", "Host {host} has {amount} CPU cores to give in all: choose something smaller.";
    "smaller_disk": "ホスト {host} 全体でもディスクは {amount} MiB です。それより小さい構成を選んでください。", "Host {host} has {amount} MiB of disk in all: choose something smaller.";
    "enable_scheduling": "ホスト {host} の配置を有効にすれば置けます（arame host enable {host}）。", "It would fit on {host} if scheduling were enabled there (arame host enable {host}).";
    "bring_online": "ホスト {host} が復帰すれば置けます。", "It would fit on {host} if that host came back online.";
    "repair_host": "ホスト {host} の不調が解消すれば置けます（{had}）。", "It would fit on {host} if that host were well again ({had}).";
    "storage_free": "ストレージノード {host} であと {amount} MiB 空けば置けます。", "It would fit on storage node {host} if {amount} MiB more were free.";
    "storage_kept": "ストレージノード {host} に残っているのは {had} です（必要: {needed}）。スナップショット、イメージ、他のファイルが {amount} MiB を占めています。不要なスナップショットを削除するか、ストアを広げてください。", "Storage node {host} has {had} left of the {needed} needed: snapshots, images and other files keep {amount} MiB. Delete snapshots that are not needed, or enlarge the store.";
    "storage_smaller": "ストレージノード {host} は全体でも {amount} MiB です。それより小さいサイズを選んでください。", "Storage node {host} has {amount} MiB in all: choose a smaller size.";
    "storage_online": "ストレージノード {host} のエージェントが復帰すれば置けます。", "It would fit on storage node {host} if its agent came back.";
    "storage_enable": "ストレージノード {host} の配置を有効にすれば置けます（arame storage enable {host}）。", "It would fit on storage node {host} if scheduling were enabled there (arame storage enable {host}).";
    "storage_repair": "ストレージノード {host} の不調が解消すれば置けます（{had}）。", "It would fit on storage node {host} if it were well again ({had}).";
    "leave_group": "ホスト {host} には同じグループのインスタンスがあります：{had}。ホストを増やすか、placement_policy を spread にすれば置けます。", "Host {host} has instances of the same group, {had}: it would fit with another host, or with placement_policy spread.";
    "join_group": "ホスト {host} には同じグループのインスタンスがありません：{had}。グループのあるホストを空けるか、placement_policy を外せば置けます。", "Host {host} has no instance of the same group, {had}: it would fit if the group's host had room, or without placement_policy.";
    "in_node_group": "ホスト {host} はホストグループ {needed} に入っていません。グループに加えれば置けます（arame host-group update）。", "Host {host} is not in the host group {needed}: it would fit if it were (arame host-group update).";
    "storage_another": "ストレージノード {host} にはすでにあります。別のストレージノードを選ぶか、追加してください。", "Storage node {host} has it already: choose another storage node, or add one.";
    "storage_same_store": "ストレージノード {host} のストアは {had} です。{needed} のストアを持つストレージノードを選ぶか、バックアップを使ってください。", "The store of storage node {host} is {had}: choose a storage node with {needed}, or use a backup.";
    "storage_reach": "ストレージノード {host} がバックアップに届けば置けます（{had}）。", "It would fit on storage node {host} if the backup could be reached from there ({had}).";
    "other_host": "ホスト {host} は「{rule}」が {had} です。要求の {needed} を変えれば置けます。", "On {host} the {rule} is {had}; it would fit if {needed} were not asked for.";
};
