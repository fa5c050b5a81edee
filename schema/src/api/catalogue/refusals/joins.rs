//! Refusals about machines that come and go, in words.
//!
//! Rule: as in the table above it, which calls these by their codes. They are read on the machine that is to join, by somebody
//! who has nothing of the data center before him but this sentence.

use crate::api::catalogue::{RefusalEntry, Words};

pub(super) fn not_offered() -> RefusalEntry {
    entry!(
        "join_not_offered",
        "OperationNotPermitted",
        105,
        403,
        (
            "このデータセンターには、機械がまだ参加できません。",
            "dcmgr.toml に [join] がないか、その設定が使えません: {what}",
            "管理サーバーの /etc/arame/dcmgr.toml の [join] を記入し、arame-dcmgr を再起動してください。"
        ),
        (
            "Machines cannot join this data center yet.",
            "dcmgr.toml has no [join], or what it says cannot be used: {what}",
            "Fill in [join] in the manager's /etc/arame/dcmgr.toml and restart arame-dcmgr."
        )
    )
}

pub(super) fn token_unknown() -> RefusalEntry {
    entry!(
        "join_token_unknown",
        "InvalidRequestCredentials",
        103,
        401,
        (
            "この参加トークンは、ここでは知られていません。",
            "写し間違えたか、別のデータセンターのトークンです。",
            "arame join-token create が表示した行を、全部そのまま写してください。"
        ),
        (
            "This join token is not known here.",
            "It was not copied whole, or it is another data center's.",
            "Copy the whole line that arame join-token create printed."
        )
    )
}

pub(super) fn token_used() -> RefusalEntry {
    entry!(
        "join_token_used",
        "OperationNotPermitted",
        105,
        403,
        (
            "参加トークン {id} は使用済みです。",
            "{at} に、別の機械（または初期化される前のこの機械）がこのトークンで参加しました。",
            "新しいトークンを arame join-token create で作ってください。使った覚えがないときは、arame join-token show {id} で参加元を確かめてください。"
        ),
        (
            "Join token {id} was used.",
            "At {at} another machine, or this one before it was installed anew, joined by it.",
            "Make a new one with arame join-token create. If nobody of yours used it, see with arame join-token show {id} from where it was."
        )
    )
}

pub(super) fn token_expired() -> RefusalEntry {
    entry!(
        "join_token_expired",
        "OperationNotPermitted",
        105,
        403,
        (
            "参加トークン {id} は期限切れです。",
            "{at} まで有効でした。",
            "新しいトークンを arame join-token create で作ってください。"
        ),
        ("Join token {id} has expired.", "It was good until {at}.", "Make a new one with arame join-token create.")
    )
}

pub(super) fn token_revoked() -> RefusalEntry {
    entry!(
        "join_token_revoked",
        "OperationNotPermitted",
        105,
        403,
        (
            "参加トークン {id} は取り消されています。",
            "{at} に取り消されました。",
            "新しいトークンを arame join-token create で作ってください。"
        ),
        ("Join token {id} was revoked.", "That was at {at}.", "Make a new one with arame join-token create.")
    )
}

pub(super) fn agent_has_joined() -> RefusalEntry {
    entry!(
        "agent_has_joined",
        "DatabaseError",
        110,
        409,
        (
            "{agent} はすでに参加しています。",
            "この名前の機械がデータセンターにあり、その鍵はその機械だけのものです。",
            "新しい機械には別の名前を選んでください。前の機械がもうないときは、空にしてから arame host delete（storage delete、naming delete）で外してください。"
        ),
        (
            "{agent} has joined already.",
            "A machine of this name is part of the data center, and its key is its own.",
            "Choose another name for a new machine. If the former one is gone, empty it and take it out with arame host delete (storage delete, naming delete)."
        )
    )
}

pub(super) fn node_not_empty() -> RefusalEntry {
    entry!(
        "node_not_empty",
        "OperationNotPermitted",
        105,
        403,
        (
            "{id} はまだ空ではないので、外せません。",
            "次のものがあります: {by}",
            "空にしてからもう一度実行してください: {command}"
        ),
        ("{id} is not empty and cannot leave.", "On it are: {by}", "Empty it, then try again: {command}")
    )
}
