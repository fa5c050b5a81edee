//! Timeline entries in words, by their code.
//!
//! Rule: past facts. A code that is not here is shown as it is, with its values.

use super::Sentence;

/// The sentence of an event's code.
pub fn event(code: &str) -> Option<&'static Sentence> {
    ALL.iter().find(|entry| entry.code == code)
}

pub static ALL: &[Sentence] = sentences! {
    "create_requested": "作成が依頼されました（{by}）", "creation was asked for by {by}";
    "upload_begun": "アップロードが始まりました（{by}）", "an upload was begun by {by}";
    "delete_requested": "削除が依頼されました（{by}）", "deletion was asked for by {by}";
    "power_on_requested": "電源投入が依頼されました（{by}）", "power on was asked for by {by}";
    "power_off_requested": "電源断が依頼されました（{by}）", "power off was asked for by {by}";
    "reboot_requested": "再起動が依頼されました（{by}）", "reboot was asked for by {by}";
    "attach_requested": "インスタンス {instance} への接続が依頼されました（{by}）", "attaching to {instance} was asked for by {by}";
    "detach_requested": "切り離しが依頼されました（{by}）", "detaching was asked for by {by}";
    "interface_asked": "ネットワーク {network} のインターフェース {vif} の接続が依頼されました（{by}）", "interface {vif} of {network} was asked for by {by}";
    "interface_to_leave": "インターフェース {vif} の切り離しが依頼されました（{by}）", "detaching interface {vif} was asked for by {by}";
    "interface_left": "インターフェース {vif}（{network}）が切り離されました", "interface {vif} of {network} was detached";
    "kept_for_snapshots": "スナップショットがあるため、インスタンス {instance} と一緒には削除されませんでした", "kept when instance {instance} went, because it has snapshots";
    "snapshot_requested": "スナップショット {snapshot} の取得が依頼されました（{by}）", "snapshot {snapshot} was asked for by {by}";
    "rollback_requested": "スナップショット {snapshot} への巻き戻しが依頼されました（{by}）", "rolling back to {snapshot} was asked for by {by}";
    "rolled_back": "スナップショット {snapshot} の内容に戻りました", "rolled back to {snapshot}";
    "rollback_failed": "スナップショット {snapshot} へ巻き戻せませんでした（{code}）: {message}", "could not be rolled back to {snapshot} ({code}): {message}";
    "backup_requested": "バックアップ {object} の取得が依頼されました（{by}）", "backup {object} was asked for by {by}";
    "schedule_created": "スケジュール {schedule} が作られました（{by}）", "schedule {schedule} was made by {by}";
    "schedule_changed": "スケジュール {schedule} が変更されました（{by}）", "schedule {schedule} was changed by {by}";
    "schedule_deleted": "スケジュール {schedule} が削除されました（{by}）", "schedule {schedule} was deleted by {by}";
    "schedule_ended_well": "スケジュール {schedule} の {object} が完成しました", "{object} of schedule {schedule} is whole";
    "schedule_failed": "スケジュール {schedule} の回が失敗しました（{code}、続けて {count} 回目）", "a run of schedule {schedule} failed ({code}, {count} in a row)";
    "schedule_refused": "スケジュール {schedule} の回は断られました（{code}、続けて {count} 回目）", "a run of schedule {schedule} was refused ({code}, {count} in a row)";
    "schedule_skipped": "スケジュール {schedule} の回は行われませんでした（{code}）", "a run of schedule {schedule} was skipped ({code})";
    "schedule_pruned": "スケジュール {schedule} が古い {object} を削除します", "schedule {schedule} deletes {object}, which is older than what is kept";
    "image_changed": "名前か説明が変わりました", "its name or its description is another now";
    "image_shared": "すべてのアカウントに公開されました", "it is shared with every account now";
    "image_unshared": "公開が終わり、持ち主のアカウントだけが使えます", "it is shared no more: only its own account has it";
    "group_created": "セキュリティグループが作られました（{by}）", "the security group was made by {by}";
    "group_changed": "セキュリティグループが変更されました（{by}）", "the security group was changed by {by}";
    "group_deleted": "セキュリティグループが削除されました（{by}）", "the security group was deleted by {by}";
    "group_joined": "セキュリティグループ {group} に加わりました（{by}）", "it was put into security group {group} by {by}";
    "group_left": "セキュリティグループ {group} から外れました（{by}）", "it was taken out of security group {group} by {by}";
    "copied_off": "電源が切れているマシンのディスクの写しです", "it is a copy of the disk of a machine that was off";
    "copied_frozen": "ゲストのエージェントが書き込みを止めた瞬間の写しです。書きかけのデータはありません", "it is a copy of a moment at which the guest's agent held all writing: nothing is half written";
    "copied_running": "動いたままのマシンの写しです。内容は、その瞬間に電源が切れた場合と同じです", "it is a copy of a machine that ran on: as after a power cut at that moment";
    "image_requested": "このマシンからイメージ {image} を作る依頼がありました（{by}）", "an image of this machine, {image}, was asked for by {by}";
    "copy_requested": "{of} の写しが依頼されました（{by}）", "a copy of {of} was asked for by {by}";
    "clone_requested": "スナップショット {snapshot} からの作成が依頼されました（{by}）", "creation from snapshot {snapshot} was asked for by {by}";
    "clone_of_replica_requested": "複製 {replica} からの作成が依頼されました（{by}）", "creation from replica {replica} was asked for by {by}";
    "replica_requested": "スナップショット {snapshot} の複製が依頼されました（{by}）", "a replica of snapshot {snapshot} was asked for by {by}";
    "replicated": "スナップショット {snapshot} がストレージノード {node} にそろい、元と一致しました", "snapshot {snapshot} is whole on storage node {node}, and was proved equal";
    "restore_requested": "バックアップ {object} からの作成が依頼されました（{by}）", "creation from backup {object} was asked for by {by}";
    "update_requested": "変更が依頼されました（{by}）", "a change was asked for by {by}";
    "placed": "ホスト {host} に置かれました", "placed on host {host}";
    "placed_elsewhere": "ホスト {from} では起動できず、{host} に置き直されました", "could not start on {from}, placed on {host}";
    "move_requested": "ホスト {from} から {to} への移動が依頼されました（{by}）", "moving from {from} to {to} was asked for by {by}";
    "move_cancelled": "{to} への移動の取りやめが依頼されました（{by}）。{from} で動き続けます", "taking the move to {to} back was asked for by {by}; it stays on {from}";
    "move_given_up": "{to} への移動を諦め、{from} に留まります（{code}）: {message}", "the move to {to} was given up, it stays on {from} ({code}): {message}";
    "moved": "ホスト {from} から {to} へ移りました", "moved from {from} to {to}";
    "move_ended_back": "移動は行われず、ホスト {from} に留まりました", "not moved: it stayed on host {from}";
    "naming_service_placed": "ネーミングサービス {agent} がこのネットワークに応答することになりました", "naming service {agent} is to serve this network";
    "naming_service_withdrawn": "ネーミングサービス {agent} はこのネットワークから外れます", "naming service {agent} is to serve this network no more";
    "gateway_given": "{agent} がこのネットワークのゲートウェイになりました", "{agent} is this network's gateway now";
    "adopted": "記録のなかった実体が引き取られました（{by}）", "found without a row and adopted by {by}";
    "node_silent": "{agent} からの連絡が途絶えました", "{agent} is heard no more";
    "node_heard": "{agent} から再び連絡がありました（{seconds} 秒ぶり）", "{agent} is heard again, after {seconds} s";
    "host_declared_lost": "失われたホストと宣言されました（{by}）", "declared lost by {by}";
    "host_returned": "失われたとされていたホストが戻り、持っていたものをすべて手放しました", "came back and gave up everything it had";
    "lost_with_host": "ホスト {host} とともに失われました。ディスクはそのホストにあります", "lost with host {host}, where its disk is";
    "found_with_host": "戻ってきたホスト {host} にディスクがあります。電源を入れられます", "its disk is on host {host}, which came back: it can be switched on";
    "volume_fenced": "インスタンス {instance} からの経路を断ちました（切ったセッション {sessions}、{initiator} のログインは {refusal} で拒否）", "cut off from {instance}: {sessions} sessions ended, the login of {initiator} refused with {refusal}";
    "no_host_fits": "置けるホストがありません", "no host fits";
    "job_opened": "仕事 {kind} を {agent} に予定しました", "job {kind} was planned for {agent}";
    "job_published": "仕事 {kind} を {agent} に送りました", "job {kind} was sent to {agent}";
    "job_progress": "{agent}: {percent}% {note}（進行中）", "{agent}: {percent} % {note}";
    "job_done": "{agent} が仕事 {kind} を終えました", "{agent} finished job {kind}";
    "job_failed": "{agent} で仕事 {kind} が失敗しました（{code}）: {message}", "job {kind} failed at {agent} ({code}): {message}";
    "job_retried": "仕事 {kind} を再試行します（{attempt} 回目）", "job {kind} is tried again (attempt {attempt})";
    "job_superseded": "仕事 {kind} は新しい依頼に置き換えられました", "job {kind} was superseded by a newer wish";
    "job_overtaken": "仕事 {kind} は新しい仕事に追い越されました", "job {kind} was overtaken by a newer one";
    "job_refused": "{agent} は仕事 {kind} を断りました（世代 {found} が既にあります）", "{agent} refused job {kind}: it found generation {found}";
    "job_unsupported": "{agent} は仕事 {kind} を理解できません: {message}", "{agent} does not understand job {kind}: {message}";
    "job_held": "{agent} は仕事 {kind} を保留しています（データベースの巻き戻り）", "{agent} holds job {kind} back: the database went back in time";
    "state_changed": "状態が {from} から {to} になりました", "state changed from {from} to {to}";
    "failed": "失敗しました（{code}）: {message}", "failed ({code}): {message}";
    "guest_died": "ゲストが異常終了しました（続けて {count} 回目）。{seconds} 秒後に起動し直します", "the guest died ({count} in a row); it is started again after {seconds} s";
    "guest_died_and_stays_off": "ゲストが異常終了しました。方針に従い、起動し直しません", "the guest died; by its policy it stays off";
    "guest_keeps_dying": "ゲストが続けて {count} 回異常終了したため、起動し直すのをやめました", "the guest died {count} times in a row and is not started again";
    "force_detach_requested": "ゲストの応答を待たない強制的な切り離しが依頼されました（{by}）", "detaching by force, whatever the guest says, was asked for by {by}";
    "guest_shut_down": "ゲストが自ら電源を切りました", "the guest shut itself down";
    "recovered": "失敗から回復しました", "recovered from its failure";
    "lost": "データが失われました: {message}", "its data was lost: {message}";
    "found_missing": "{agent} の一覧にないため、作り直します", "not in the listing of {agent}: it is made again";
    "removed_leftover": "{agent} に残っていた {thing} を取り除きます", "{thing}, left over at {agent}, is removed";
    "agent_heard": "エージェント {agent} が参加しました", "agent {agent} joined";
    "agent_silent": "エージェント {agent} の連絡が途絶えました", "agent {agent} fell silent";
    "memory_loss": "データベースが巻き戻っていました。世代を {found} より先に進めました", "the database had gone back in time; the generation was lifted past {found}";
    "attempts_reset": "{agent} の復帰により再試行します", "tried again because {agent} came back";
};
