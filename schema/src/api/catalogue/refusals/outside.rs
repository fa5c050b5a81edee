//! Refusals about the way out of a network and external addresses, in words.
//!
//! Rule: as in the table above it, which calls these by their codes.

use crate::api::catalogue::{RefusalEntry, Words};

pub(super) fn no_way_out() -> RefusalEntry {
    entry!(
        "no_way_out",
        "OperationNotPermitted",
        105,
        400,
        (
            "ネットワーク {id} には外への出口がありません。",
            "ゲートウェイと、外側のネットワーク（nat_network_id）の両方が必要です。",
            "arame network add {id} services name=gateway でゲートウェイを、arame network update {id} nat_network_id=nw-… で外側のネットワークを決めてください。"
        ),
        (
            "Network {id} has no way out.",
            "It needs a gateway, and a network outside (nat_network_id).",
            "Give it a gateway by arame network add {id} services name=gateway, and name the network outside by arame network update {id} nat_network_id=nw-…."
        )
    )
}

pub(super) fn address_not_outside() -> RefusalEntry {
    entry!(
        "address_not_outside",
        "InvalidParameter",
        100,
        400,
        (
            "IP ハンドル {id} のアドレスはこのインターフェースには使えません。",
            "アドレスはネットワーク {network} のもので、出口の先は {outside} です。",
            "arame ip-pool do POOL acquire network_id={outside} で {outside} のアドレスを取ってください。"
        ),
        (
            "The address of IP handle {id} cannot be this interface's.",
            "It is of network {network}, and the way out leads to {outside}.",
            "Acquire an address of {outside}: arame ip-pool do POOL acquire network_id={outside}"
        )
    )
}
