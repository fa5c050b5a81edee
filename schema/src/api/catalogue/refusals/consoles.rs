//! Refusals about what is asked of a host live, in words: consoles with their tickets, viewers and pages, and figures.
//!
//! Rule: as in the table above it, which calls these by their codes. None says whether a ticket that is not known ever was.

use crate::api::catalogue::{RefusalEntry, Words};

pub(super) fn ticket_used() -> RefusalEntry {
    entry!(
        "ticket_used",
        "InvalidRequestCredentials",
        103,
        403,
        (
            "このチケットでインスタンス {id} のコンソールを開くことはできません。",
            "チケットは一度しか使えません。使用済みか、このインスタンスのものではないか、壊れています。",
            "新しいチケットを取得してください（arame console {id} は毎回取得します）。"
        ),
        (
            "This ticket does not open a console of instance {id}.",
            "A ticket is used once: it was used already, or is another instance's, or is damaged.",
            "Ask for a new one (arame console {id} does so each time)."
        )
    )
}

pub(super) fn ticket_too_old() -> RefusalEntry {
    entry!(
        "ticket_too_old",
        "InvalidRequestCredentials",
        103,
        403,
        (
            "インスタンス {id} のコンソールのチケットは期限切れです。",
            "チケットは発行から 30 秒以内に使う必要があります。",
            "新しいチケットを取得してください（arame console {id} は毎回取得します）。"
        ),
        (
            "The ticket for the console of instance {id} is too old.",
            "A ticket must be used within 30 seconds.",
            "Ask for a new one (arame console {id} does so each time)."
        )
    )
}

pub(super) fn console_in_use() -> RefusalEntry {
    entry!(
        "console_in_use",
        "OperationNotPermitted",
        105,
        409,
        (
            "インスタンス {id} のシリアルコンソールは別の人が開いています。",
            "シリアルコンソールを同時に開けるのは一人だけです。",
            "相手が閉じるのを待ってください（誰が開いたかは操作記録にあります）。これまでの出力は arame console {id} --log で読めます。"
        ),
        (
            "Another viewer has the serial console of instance {id}.",
            "A serial console has one viewer at a time.",
            "Wait until it is closed (the audit log says who opened it). arame console {id} --log shows what was written so far."
        )
    )
}

pub(super) fn no_console() -> RefusalEntry {
    entry!(
        "no_console",
        "InvalidInstanceState",
        125,
        409,
        (
            "動いているインスタンス {id} にはこのコンソールがありません。",
            "コンソールに対応していない以前の版で起動されたままです。",
            "一度電源を切って入れ直してください（ゲスト内の再起動では付きません）。"
        ),
        (
            "Instance {id}, as it runs, does not have this console.",
            "It was started by an earlier version that gave it none.",
            "Switch it off and on again (a reboot from inside is not enough)."
        )
    )
}

pub(super) fn origin_refused() -> RefusalEntry {
    entry!(
        "origin_refused",
        "OperationNotPermitted",
        105,
        403,
        (
            "{origin} のページからコンソールを開くことはできません。",
            "この API と同じ場所のページか、設定で許可されたページだけが開けます。",
            "API と同じ URL のページから開くか、管理者に dcmgr の設定 console_origins への追加を依頼してください。"
        ),
        (
            "A page of {origin} may not open consoles.",
            "Only pages of the place where this API is, and of those in the configuration, may.",
            "Open it from a page of the API's own URL, or ask the operator to add the origin to console_origins of dcmgr."
        )
    )
}

/// Of hosts and storage nodes: which of them it is says the id.
pub(super) fn host_silent() -> RefusalEntry {
    entry!(
        "host_silent",
        "MessagingFailed",
        171,
        503,
        (
            "{host} から連絡がないため、今の値はわかりません。",
            "{host} のエージェントからの最後の連絡は {since} です。",
            "連絡が戻るのを待ってください。続く場合は管理者がその機器の電源とネットワークを確認してください。"
        ),
        (
            "What is true now cannot be told: {host} is silent.",
            "The agent of {host} was heard last at {since}.",
            "Wait until it is back. If it stays so, an operator should look at that machine's power and network."
        )
    )
}

pub(super) fn never_heard() -> RefusalEntry {
    entry!(
        "never_heard",
        "MessagingFailed",
        171,
        503,
        (
            "{host} はまだ参加していないため、今の値はわかりません。",
            "{host} のエージェントからは、これまで一度も連絡がありません。",
            "管理者がその機器でエージェントを起動してください。起動している場合は、設定の ID と鍵を確認してください。"
        ),
        (
            "What is true now cannot be told: {host} has not joined yet.",
            "The agent of {host} was never heard.",
            "An operator should start the agent on that machine, or look at the id and key in its configuration."
        )
    )
}
