//! Refusals about DNS records of networks, in words.
//!
//! Rule: as in the table above them, which names each of these for its code.

use crate::api::catalogue::{RefusalEntry, Words};

pub(super) fn record_conflict() -> RefusalEntry {
    entry!(
        "record_conflict",
        "DuplicateRecord",
        110,
        409,
        (
            "{name} に {kind} レコードは追加できません。",
            "この名前には {other} が既にあります。マシンの名前は常に優先され、CNAME はほかのレコードと並べられません。",
            "別の名前を指定するか、先に既存のレコードを削除してください（arame network record list で確かめられます）。"
        ),
        (
            "{name} cannot have a {kind} record.",
            "The name has {other} already; a machine's name always wins, and a CNAME stands alone.",
            "Choose another name, or remove the other record first (see arame network record list)."
        )
    )
}

pub(super) fn record_loop() -> RefusalEntry {
    entry!(
        "record_loop",
        "InvalidParameter",
        143,
        400,
        (
            "{name} の CNAME は追加できません。",
            "別名が循環するか、長すぎます: {chain}",
            "循環しない、実在する名前を指定してください。"
        ),
        (
            "The CNAME of {name} cannot be added.",
            "The aliases would go round in a circle, or are too many in a row: {chain}",
            "Name one that ends at a machine or at a name elsewhere."
        )
    )
}

pub(super) fn name_of_external_address() -> RefusalEntry {
    entry!(
        "name_of_external_address",
        "DuplicateRecord",
        110,
        409,
        (
            "{name} は外部アドレス {address} の名前です。",
            "外部アドレスを持つマシンには ext.‹ホスト名› という名前が付きます。同じ名前の A・CNAME レコードは答えに使われません。",
            "レコードには別の名前を使うか、レコードか外部アドレスのどちらかを先に外してください。"
        ),
        (
            "{name} is the name of external address {address}.",
            "A machine with an external address has the name ext.‹hostname›; an A or CNAME record of that name would never be answered.",
            "Choose another name for the record, or take the record or the external address away first."
        )
    )
}
