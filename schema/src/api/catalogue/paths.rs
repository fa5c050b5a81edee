//! What is so at each part of the way from a guest to the disk of its volume, in words.
//!
//! Rule: what is, and where it is wrong also what to look at. A code that is not here is shown as it is.

use super::Sentence;

/// The sentence of a part's code.
pub fn path(code: &str) -> Option<&'static Sentence> {
    ALL.iter().find(|entry| entry.code == code)
}

pub static ALL: &[Sentence] = sentences! {
    "path_well": "ゲストからディスクまで、どこにも問題はありません", "nothing is wrong anywhere between the guest and the disk";
    "path_unused": "どのインスタンスにも接続されておらず、ディスクに問題はありません", "no machine has it attached, and nothing is wrong with the disk";
    "path_changing": "作業中です。終わるのを待ってください", "something is on its way: wait for its end";
    "path_unknown": "見えた範囲に問題はありませんが、確かめられない部分があります", "nothing is wrong with what could be seen, but a part of it could not be looked at";
    "unattached": "どのインスタンスにも接続されていません", "no machine has it attached";
    "instance_state": "インスタンス {instance} は {state} です", "instance {instance} is {state}";
    "instance_failed": "インスタンス {instance} は {state} で、失敗しています: {failure}", "instance {instance} is {state} and has failed: {failure}";
    "host_heard": "ホスト {host}（{agent}）は応答しています", "host {host} ({agent}) is heard";
    "host_silent": "ホスト {host}（{agent}）から応答がありません。最後は {since} です。電源、ネットワーク、エージェントを確かめてください", "host {host} ({agent}) is silent, heard last at {since}: look at its power, its network and its agent";
    "host_lost": "ホスト {host}（{agent}）は失われたと宣言されています", "host {host} ({agent}) was declared lost";
    "host_none": "インスタンスはまだどのホストにもありません", "the instance is on no host yet";
    "disk_plugged": "ゲストに {device} として接続されています", "it is plugged into the guest as {device}";
    "disk_counted": "ゲストに {device} として接続されています。開始から読み込み {reads} 回（{read_mib} MiB）、書き込み {writes} 回（{written_mib} MiB）", "it is plugged into the guest as {device}; since the guest began {reads} reads ({read_mib} MiB) and {writes} writes ({written_mib} MiB)";
    "disk_uncounted": "{device} として接続されているはずですが、ホストの最新の計測にこのディスクがありません。すぐに測り直されます", "it should be plugged as {device}, but the host's latest figures have no such disk; they are read anew in seconds";
    "disk_waits": "インスタンスは {state} なので、起動したときに接続されます", "the instance is {state}: it is plugged when that starts";
    "disk_missing": "接続されるはずですが、ゲストにありません", "it is to be plugged, and the guest does not have it";
    "disk_unsure": "ゲストに接続されているかどうかは、作業の結果が分かるまで不明です", "whether the guest has it is not known until a job is answered";
    "disk_leaving": "取り外しを待っています。ゲストがまだ手放していません", "it is to be taken out, and the guest has not let it go yet";
    "disk_gone": "ゲストからは取り外されました", "it is taken out of the guest";
    "attachment_settled": "接続 {attachment}（{epoch} 回目）に作業はありません", "nothing is to be done for attachment {attachment} (epoch {epoch})";
    "job_open": "{kind} を {agent} に頼んでいます（{attempt} 回目、{since} から）", "{agent} is asked for {kind} (attempt {attempt}, since {since})";
    "job_fails": "{kind} を {agent} に頼んでいます（{attempt} 回目）。前回の失敗: {failure}", "{agent} is asked for {kind} (attempt {attempt}); it failed last: {failure}";
    "attachment_fencing": "失われたホストからの道を閉じ、閉じたことを確かめています", "the way from the lost host is being closed, and that is being proved";
    "attachment_forced": "ゲストを待たずに取り外しています", "it is taken away without waiting for the guest";
    "session_up": "{initiator} が {portal} にログインしています", "{initiator} is logged in at {portal}";
    "session_none": "ゲストは動いていますが、ホストのセッションがありません。ホストと {portal} の間のネットワークを確かめてください", "the guest runs, but its host has no session: look at the network between the host and {portal}";
    "session_idle": "セッションはありません。ゲストが動いていないか、まだ接続されていません", "there is no session: the guest does not run, or it is not plugged yet";
    "session_foreign": "接続先でない {initiator} がログインしています", "{initiator} is logged in, which is not the one that is to be";
    "target_whole": "ターゲット {iqn} は {portal}（{export}）にあります", "target {iqn} stands at {portal} ({export})";
    "target_half": "ターゲット {iqn} は作りかけです", "target {iqn} is half made";
    "target_missing": "ターゲットがありません。{export} を確かめてください", "there is no target: look at {export}";
    "target_older": "ターゲット {iqn} は以前の接続のもので、いまの接続のものがありません", "target {iqn} is of an earlier attachment, and there is none of this one";
    "target_not_wanted": "ターゲットはありません（接続されていないため）", "there is no target, as nothing is attached";
    "target_left": "ターゲット {iqn} が残っていて、片付けを待っています", "target {iqn} is left and waits to be removed";
    "export_unavailable": "ターゲットを調べられません（{export}）: {reason}", "the targets cannot be looked at ({export}): {reason}";
    "volume_there": "{path} にあり、{size_mib} MiB です", "it is {path}, {size_mib} MiB";
    "volume_missing": "ストアにありません", "the store does not have it";
    "volume_not_yet": "まだ作られていません", "it is not made yet";
    "volume_foreign": "{path} は {owner} のものです", "{path} is of {owner}";
    "store_unavailable": "ストアを調べられません: {reason}", "the store cannot be looked at: {reason}";
    "pool_well": "{pool} の空きは {total_mib} MiB のうち {free_mib} MiB です", "{pool} has {free_mib} of {total_mib} MiB free";
    "pool_healthy": "プール {pool} は {health} で、空きは {total_mib} MiB のうち {free_mib} MiB です。{scan}", "pool {pool} is {health} and has {free_mib} of {total_mib} MiB free. {scan}";
    "pool_ill": "プール {pool} は {health} です: {note}", "pool {pool} is {health}: {note}";
    "pool_full": "{pool} の空きは {free_mib} MiB だけです（{kept_mib} MiB は残しておきます）。書き込みはやがて失敗します。不要なものを消すか広げてください", "{pool} has only {free_mib} MiB free ({kept_mib} MiB are kept): writes will fail; delete what is not needed, or enlarge it";
    "storage_heard": "ストレージノード {storage}（{agent}）は応答しています", "storage node {storage} ({agent}) is heard";
    "storage_cordoned": "ストレージノード {storage}（{agent}）は応答していますが、新しいボリュームを受け入れません", "storage node {storage} ({agent}) is heard, and takes no new volumes";
    "storage_degraded": "ストレージノード {storage}（{agent}）に問題があります: {reason}", "storage node {storage} ({agent}) has a trouble: {reason}";
    "storage_silent": "ストレージノード {storage}（{agent}）から応答がありません。最後は {since} です。電源、ネットワーク、エージェントを確かめてください", "storage node {storage} ({agent}) is silent, heard last at {since}: look at its power, its network and its agent";
    "not_answered": "{agent} が答えないので分かりません: {reason}", "not known, because {agent} does not answer: {reason}";
};
