//! Refusals about volumes, their snapshots and rollbacks, in words.
//!
//! Rule: as in the table above them, which names each of these for its code.

use crate::api::catalogue::{RefusalEntry, Words};

pub(super) fn volume_in_use() -> RefusalEntry {
    entry!(
        "volume_in_use",
        "InvalidVolumeState",
        140,
        400,
        (
            "ボリューム {id} はインスタンス {instance} に接続されているため、巻き戻せません。",
            "使用中に巻き戻すと、ゲストが覚えている内容と食い違い、データが壊れます。",
            "先に arame volume detach {id} --wait で切り離してください。"
        ),
        (
            "Volume {id} cannot be rolled back: it is attached to instance {instance}.",
            "Its guest would go on writing what fits no more, and the data would be damaged.",
            "Detach it first: arame volume detach {id} --wait"
        )
    )
}

pub(super) fn volume_has_snapshots() -> RefusalEntry {
    entry!(
        "volume_has_snapshots",
        "OperationNotPermitted",
        105,
        403,
        (
            "ボリューム {id} にはスナップショットがあるため、削除しません。",
            "スナップショットはボリュームと一緒に失われます: {snapshots}",
            "スナップショットも不要なら arame volume delete {id} --with-snapshots（API では with_snapshots=true）で一緒に削除してください。"
        ),
        (
            "Volume {id} has snapshots and is not deleted.",
            "They would be lost with it: {snapshots}",
            "If they are not needed either, delete them with it: arame volume delete {id} --with-snapshots (with_snapshots=true in the API)."
        )
    )
}

pub(super) fn newer_snapshots() -> RefusalEntry {
    entry!(
        "newer_snapshots",
        "OperationNotPermitted",
        105,
        403,
        (
            "ボリューム {id} には {snapshot} より新しいスナップショットがあります。",
            "巻き戻すと新しいスナップショットは失われます: {newer}",
            "失われてもよければ --destroy-newer（API では destroy_newer=true）を付けてください。そうでなければ最新のスナップショットを選んでください。"
        ),
        (
            "Volume {id} has snapshots newer than {snapshot}.",
            "They do not survive a rollback past them: {newer}",
            "If they may go, add --destroy-newer (destroy_newer=true in the API). Otherwise choose the newest snapshot."
        )
    )
}

pub(super) fn newer_snapshots_used() -> RefusalEntry {
    entry!(
        "newer_snapshots_used",
        "OperationNotPermitted",
        105,
        403,
        (
            "ボリューム {id} は {snapshot} まで巻き戻せません。",
            "より新しいスナップショットから作られたボリュームがあり、巻き戻すとその元の内容が失われます: {volumes}",
            "{snapshot} から新しいボリュームを作ってください（arame volume create --from-snapshot {snapshot}）。巻き戻すには、先に上のボリュームを削除してください。"
        ),
        (
            "Volume {id} cannot be rolled back to {snapshot}.",
            "Volumes were made from newer snapshots, and a rollback would take away what they stand on: {volumes}",
            "Make a new volume from it: arame volume create --from-snapshot {snapshot}. To roll back, delete those volumes first."
        )
    )
}

pub(super) fn invalid_snapshot_state() -> RefusalEntry {
    entry!(
        "invalid_snapshot_state",
        "InvalidVolumeState",
        140,
        400,
        (
            "スナップショット {id} は今 {state} なので、この操作はできません。",
            "この操作には {needed} の状態が必要です。",
            "arame volume snapshot list で状態を確かめてください。"
        ),
        (
            "Snapshot {id} is {state}: this cannot be done now.",
            "It must be {needed}.",
            "See its state with arame volume snapshot list."
        )
    )
}

pub(super) fn invalid_backup_state() -> RefusalEntry {
    entry!(
        "invalid_backup_state",
        "InvalidBackupObjectState",
        157,
        400,
        (
            "バックアップ {id} は今 {state} なので、この操作はできません。",
            "この操作には {needed} の状態が必要です。",
            "arame backup-object show {id} で状態を確かめてください。"
        ),
        (
            "Backup {id} is {state}: this cannot be done now.",
            "It must be {needed}.",
            "See its state with arame backup-object show {id}."
        )
    )
}

pub(super) fn backup_storage_not_reached() -> RefusalEntry {
    entry!(
        "backup_storage_not_reached",
        "OperationNotPermitted",
        105,
        400,
        (
            "{id} のバックアップをそこへは取れません。",
            "ストレージノード {node} から届くバックアップの保存先: {storages}",
            "届く保存先を指定してください。無ければ管理者がストレージエージェントの設定（sta.backups）に加えてください。"
        ),
        (
            "{id} cannot be backed up to there.",
            "Backup storages that are reached ({node}): {storages}",
            "Name one of them. Where there is none, an operator adds one to the storage agent's configuration (sta.backups)."
        )
    )
}

pub(super) fn guest_holds_volume() -> RefusalEntry {
    entry!(
        "guest_holds_volume",
        "InvalidVolumeState",
        140,
        409,
        (
            "ボリューム {id} はインスタンス {instance} のゲストが手放さないため、切り離せていません。",
            "切り離しを求めても、ゲストの OS が応じません。マウント中か、OS が止まっている可能性があります。",
            "ゲスト内でアンマウントしてください。すぐに切り離すには arame volume detach {id} --force（API では force=true）を使います。ゲストの電源はいったん強制的に切られ、ボリュームなしで起動し直されます。"
        ),
        (
            "Volume {id} is not detached: the guest of instance {instance} does not let it go.",
            "Its system was asked and does not answer: it may have the disk mounted, or hang.",
            "Unmount it in the guest. To take it away now: arame volume detach {id} --force (force=true in the API); the guest is switched off hard and started again without it."
        )
    )
}
