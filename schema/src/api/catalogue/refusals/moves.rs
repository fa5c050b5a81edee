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

pub(super) fn host_heard() -> RefusalEntry {
    entry!(
        "host_heard",
        "OperationNotPermitted",
        105,
        409,
        (
            "ホスト {host} からは連絡があるため、失われたものとして扱えません。",
            "そのホストのエージェントが応答しています。その上のマシンは動いているかもしれません。",
            "動いているなら arame host drain {host} で移してください。本当に止めるなら、ホストの電源を切り、15 秒待ってから、もう一度実行してください。"
        ),
        (
            "Host {host} is heard: it cannot be declared lost.",
            "Its agent answers, and its machines may well run.",
            "If they do, move them with arame host drain {host}. If it is to end, cut its power, wait 15 seconds, and do this again."
        )
    )
}

pub(super) fn host_lost() -> RefusalEntry {
    entry!(
        "host_lost",
        "OperationNotPermitted",
        105,
        409,
        (
            "インスタンス {id} のホスト {host} は失われたと宣言されています。できるのは削除だけです。",
            "このマシンのディスクはそのホストにあります。接続されていたボリュームは切り離され、他のマシンに接続できます。",
            "ボリュームを新しいマシンに接続してください。ホストがディスクとともに戻れば、電源を入れ直せます。要らなければ arame instance delete {id} で削除してください。"
        ),
        (
            "Host {host} of instance {id} was declared lost: it can only be deleted.",
            "The machine's disk is on that host. The volumes it had are detached and can be attached to other machines.",
            "Attach its volumes to a new machine. If the host comes back with the disk, it can be switched on again. If it is not needed, delete it with arame instance delete {id}."
        )
    )
}
