//! Refusals about who asks and how, in words: credentials, sign-in, repeated and conditional requests.
//!
//! Rule: as in the table above them, which names each of these for its code.

use crate::api::catalogue::{RefusalEntry, Words};

pub(super) fn unauthenticated() -> RefusalEntry {
    entry!(
        "unauthenticated",
        "InvalidRequestCredentials",
        103,
        401,
        (
            "認証できませんでした。",
            "トークンが送られていないか、無効、または期限切れです。",
            "Authorization: Bearer <トークン> を付けてください。arame コマンドでは --token-file または --as で指定します。"
        ),
        (
            "The request could not be authenticated.",
            "No token was sent, or it is not valid any more.",
            "Send Authorization: Bearer <token>. With the arame command use --token-file or --as."
        )
    )
}

pub(super) fn account_not_permitted() -> RefusalEntry {
    entry!(
        "account_not_permitted",
        "InvalidCredentialHeaders",
        102,
        403,
        (
            "アカウント {account} として操作することはできません。",
            "このトークンはそのアカウントを代理できません。",
            "X-VDC-Account-UUID ヘッダーを外すか、そのアカウントのトークンを使ってください。"
        ),
        (
            "You cannot act for account {account}.",
            "This token does not act for that account.",
            "Leave out the X-VDC-Account-UUID header, or use a token of that account."
        )
    )
}

pub(super) fn disabled_account() -> RefusalEntry {
    entry!(
        "disabled_account",
        "DisabledAccount",
        104,
        403,
        (
            "アカウント {account} は停止されています。",
            "管理者がこのアカウントを停止しました。",
            "管理者に問い合わせてください。"
        ),
        ("Account {account} is disabled.", "An administrator disabled it.", "Ask your administrator.")
    )
}

pub(super) fn account_needed() -> RefusalEntry {
    entry!(
        "account_needed",
        "UndefinedRequiredParameter",
        118,
        400,
        (
            "どのアカウントに作成するかが指定されていません。",
            "このトークンは全アカウントを代理しています。",
            "X-VDC-Account-UUID ヘッダー（arame では --account）でアカウントを一つ選んでください。"
        ),
        (
            "No account was chosen to make it in.",
            "This token acts for all accounts.",
            "Choose one account by the X-VDC-Account-UUID header (--account with arame)."
        )
    )
}

pub(super) fn not_permitted() -> RefusalEntry {
    entry!(
        "not_permitted",
        "OperationNotPermitted",
        105,
        403,
        (
            "この操作は許可されていません。",
            "このトークンの役割ではこの操作ができません。",
            "権限のある役割のトークンを使うか、管理者に依頼してください。"
        ),
        (
            "This is not permitted.",
            "The role of this token does not include it.",
            "Use a token with a role that may do this, or ask your administrator."
        )
    )
}

pub(super) fn idempotency_conflict() -> RefusalEntry {
    entry!(
        "idempotency_conflict",
        "InvalidParameter",
        143,
        409,
        (
            "Idempotency-Key「{key}」は別の要求で使用済みです。",
            "同じキーで内容の違う要求が送られました。",
            "要求ごとに新しいキーを使ってください。"
        ),
        (
            "The Idempotency-Key `{key}` was used by another request.",
            "The same key came with different contents.",
            "Use a new key for each request."
        )
    )
}

pub(super) fn repeated() -> RefusalEntry {
    entry!(
        "repeated",
        "InvalidParameter",
        143,
        409,
        (
            "この要求はすでに実行されました（{id}）。",
            "同じ Idempotency-Key の要求が先に完了し、その答えは残っていません。",
            "{id} を取得して結果を確かめてください。新しく作るときは新しいキーを使ってください。"
        ),
        (
            "This request was carried out already ({id}).",
            "An earlier request with the same Idempotency-Key was done, and its answer is not kept.",
            "Get {id} to see what it did. Use a new key to make another."
        )
    )
}

pub(super) fn too_many_failures() -> RefusalEntry {
    entry!(
        "too_many_failures",
        "InvalidRequestCredentials",
        103,
        429,
        (
            "認証の失敗が多すぎるため、今は受け付けません。",
            "同じアドレスまたは同じ名前で、認証の失敗が続きました。",
            "{seconds} 秒待ってから、正しいトークンまたはパスワードでやり直してください。"
        ),
        (
            "Too many credentials failed; none is looked at now.",
            "Credentials from this address or for this name failed again and again.",
            "Wait {seconds} seconds, then try again with the right token or password."
        )
    )
}

pub(super) fn sign_in_failed() -> RefusalEntry {
    entry!(
        "sign_in_failed",
        "InvalidRequestCredentials",
        103,
        401,
        (
            "ログインできませんでした。",
            "名前かパスワードが違うか、その利用者は停止されているか、どのアカウントにも属していません。",
            "名前とパスワードを確かめてください。忘れた場合は管理者に再設定を依頼してください。"
        ),
        (
            "Signing in failed.",
            "The name or the password is wrong, the user is disabled, or belongs to no account.",
            "Check both. If the password is lost, ask an administrator to set a new one."
        )
    )
}

pub(super) fn changed() -> RefusalEntry {
    entry!(
        "changed",
        "InvalidParameter",
        143,
        412,
        (
            "ほかの誰かが先に変更しました。",
            "If-Match の値が現在の版（{etag}）と一致しません。",
            "もう一度取得し、変更を確かめてから送り直してください。"
        ),
        (
            "Somebody else changed it first.",
            "If-Match does not name its present version ({etag}).",
            "Get it again, look at what changed, then send your change anew."
        )
    )
}

pub(super) fn compat_refused() -> RefusalEntry {
    entry!(
        "compat_refused",
        "OperationNotPermitted",
        105,
        403,
        (
            "互換リスナーはこの要求を受け付けません。",
            "このマシンの古いクライアントから来たものではありません: {reason}",
            "互換リスナーはこのマシン上の古いクライアント専用です。ほかの用途には通常の API をトークン付きで使ってください。"
        ),
        (
            "The listener for old clients does not take this request.",
            "It does not come from an old client of this machine: {reason}",
            "It is for old clients on this machine only. For anything else use the API itself, with a token."
        )
    )
}
