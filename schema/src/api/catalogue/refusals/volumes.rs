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
