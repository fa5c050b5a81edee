//! Refusals about machines between two hosts, in words.
//!
//! Rule: as in the table above it, which calls these by their codes. A move is never the end of something else: what is
//! refused here can be asked for again when the move has ended.

use crate::api::catalogue::{RefusalEntry, Words};

pub(super) fn instance_migrating() -> RefusalEntry {
    entry!(
        "instance_migrating",
        "InvalidInstanceState",
        125,
        400,
        (
            "インスタンス {id} は今ホスト {host} への移動中なので、この操作はできません。",
            "移動中は二つのホストに同じマシンがあり、終わるまで他の変更を受け付けません（削除だけはできます）。",
            "arame instance show {id} で running に戻るのを待つか、arame instance move {id} --cancel で移動を取りやめてください。"
        ),
        (
            "Instance {id} is being moved to host {host}: this cannot be done now.",
            "During a move two hosts know the machine, and nothing else is changed until it has ended (but it can be deleted).",
            "Wait until arame instance show {id} says running, or take the move back with arame instance move {id} --cancel."
        )
    )
}

pub(super) fn instance_has_volumes() -> RefusalEntry {
    entry!(
        "instance_has_volumes",
        "OperationNotPermitted",
        105,
        403,
        (
            "インスタンス {id} にはボリュームが接続されているため、動かしたまま移動できません。",
            "接続中のボリュームを持ったままの移動にはまだ対応していません: {volumes}",
            "ゲストの中でアンマウントし、arame volume detach で切り離してから移動し、移動後に接続し直してください。"
        ),
        (
            "Instance {id} has attached volumes and cannot be moved while it runs.",
            "Moving a machine together with attached volumes is not supported yet: {volumes}",
            "Unmount them in the guest, detach them with arame volume detach, move, and attach them again."
        )
    )
}

pub(super) fn host_cannot_move() -> RefusalEntry {
    entry!(
        "host_cannot_move",
        "OperationNotPermitted",
        105,
        403,
        (
            "ホスト {host} は動いているマシンの受け渡しができません。",
            "そのホストのエージェントは受け渡しの仕事を理解しないか、設定されていません。",
            "別のホストを選ぶか、そのホストのエージェントを更新・設定してください。"
        ),
        (
            "Host {host} cannot hand over or take running machines.",
            "Its agent does not understand the jobs of a move, or is not configured for it.",
            "Choose another host, or update or configure the agent of that host."
        )
    )
}

pub(super) fn host_makes_no_images() -> RefusalEntry {
    entry!(
        "host_makes_no_images",
        "OperationNotPermitted",
        105,
        403,
        (
            "ホスト {host} のマシンからはイメージを作れません。",
            "そのホストのエージェントに、ディスクの写しを渡す場所（hva.captures）が設定されていません。",
            "管理者がそのホストのエージェントの設定に [hva.captures] を加えてください。"
        ),
        (
            "No image can be made of a machine on host {host}.",
            "Its agent is not configured to hand copies of disks on (hva.captures).",
            "An operator adds [hva.captures] to the configuration of that host's agent."
        )
    )
}
