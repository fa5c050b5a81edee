//! Refusals about networks, labels, addresses and what does not exist yet, in words.
//!
//! Rule: as in the table above them, which names each of these for its code.

use crate::api::catalogue::{RefusalEntry, Words};

pub(super) fn not_implemented() -> RefusalEntry {
    entry!(
        "not_implemented",
        "OperationNotPermitted",
        105,
        501,
        (
            "{what} はまだできません。",
            "そのための仕組みが、このデータセンターのエージェントにまだありません。",
            "API の一覧（openapi.json）でできることを確かめてください。"
        ),
        (
            "{what} cannot be done yet.",
            "The agents of this data center have no means for it yet.",
            "See what can be done in the API's own description (openapi.json)."
        )
    )
}

pub(super) fn unknown_dc_network() -> RefusalEntry {
    entry!(
        "unknown_dc_network",
        "UnknownDcNetwork",
        163,
        404,
        (
            "DC ネットワーク {id} は見つかりません。",
            "その ID または名前のものがありません。",
            "arame dc-network list で確かめてください。"
        ),
        ("There is no dc network {id}.", "None has this id or name.", "See arame dc-network list.")
    )
}

pub(super) fn dc_network_not_permitted() -> RefusalEntry {
    entry!(
        "dc_network_not_permitted",
        "DcNetworkNotPermitted",
        165,
        400,
        (
            "DC ネットワーク {id} にはこのネットワークを作れません。",
            "新しいネットワークを受け入れないか、方式 {mode} を提供していません。",
            "管理者が arame dc-network update {id} allow_new_networks=true または arame dc-network do {id} offering_modes/add mode={mode} で変更できます。"
        ),
        (
            "This network cannot be made in dc network {id}.",
            "It takes no new networks, or does not offer the mode {mode}.",
            "An operator can change that: arame dc-network update {id} allow_new_networks=true, or arame dc-network do {id} offering_modes/add mode={mode}"
        )
    )
}

pub(super) fn network_not_editable() -> RefusalEntry {
    entry!(
        "network_not_editable",
        "NetworkNotPermitted",
        164,
        400,
        (
            "ネットワーク {id} の範囲とサービスは変更できません。",
            "変更できないネットワーク（editable が false）です。",
            "管理者が arame network update {id} editable=true で変更できるようにします。"
        ),
        (
            "The ranges and services of network {id} cannot be changed.",
            "It is not editable.",
            "An operator can make it so: arame network update {id} editable=true"
        )
    )
}

pub(super) fn no_password() -> RefusalEntry {
    entry!(
        "no_password",
        "PasswordNotInDatabase",
        201,
        410,
        (
            "インスタンス {id} のパスワードはありません。",
            "ゲストが作っていないか、既に削除されました。",
            "SSH 鍵で入ってください: arame ssh {id}"
        ),
        (
            "There is no password of instance {id}.",
            "Its guest made none, or it was deleted.",
            "Use its SSH key: arame ssh {id}"
        )
    )
}

pub(super) fn unknown_label() -> RefusalEntry {
    entry!(
        "unknown_label",
        "UnknownResourceLabel",
        187,
        404,
        (
            "{id} に {name} というラベルはありません。",
            "付けられていないか、既に外されました。",
            "arame label list {id} で確かめてください。"
        ),
        ("{id} has no label {name}.", "It was never set, or was taken away.", "See arame label list {id}")
    )
}

pub(super) fn vif_attached() -> RefusalEntry {
    entry!(
        "vif_attached",
        "NetworkVifAlreadyAttached",
        145,
        400,
        (
            "インターフェース {id} は既につながっています。",
            "つながっている先は {network} です。",
            "別のものにつなぐには、先に切り離してください。"
        ),
        ("Interface {id} is attached already.", "It is in {network}.", "To put it into another, detach it first.")
    )
}

pub(super) fn vif_not_attached() -> RefusalEntry {
    entry!(
        "vif_not_attached",
        "NetworkVifNotAttached",
        147,
        400,
        (
            "インターフェース {id} はネットワーク {network} につながっていません。",
            "既に切り離されたか、別のネットワークにつながっています。",
            "何もする必要はありません。"
        ),
        (
            "Interface {id} is not in network {network}.",
            "It was detached, or is in another.",
            "Nothing needs to be done."
        )
    )
}

pub(super) fn already_in_group() -> RefusalEntry {
    entry!(
        "already_in_group",
        "DuplicatedSecurityGroup",
        135,
        400,
        (
            "{id} は既にセキュリティグループ {group} に入っています。",
            "二重には入れません。",
            "何もする必要はありません。"
        ),
        ("{id} is in security group {group} already.", "It cannot be in it twice.", "Nothing needs to be done.")
    )
}

pub(super) fn not_in_group() -> RefusalEntry {
    entry!(
        "not_in_group",
        "UnknownSecurityGroup",
        133,
        404,
        (
            "{id} はセキュリティグループ {group} に入っていません。",
            "入っていないものは外せません。",
            "何もする必要はありません。"
        ),
        (
            "{id} is not in security group {group}.",
            "What is not in it cannot be taken out.",
            "Nothing needs to be done."
        )
    )
}

pub(super) fn out_of_segments() -> RefusalEntry {
    entry!(
        "out_of_segments",
        "OutOfNetworkCapacity",
        130,
        400,
        (
            "DC ネットワーク {id} に空いているタグがありません。",
            "VLAN タグはすべて使われているか、削除されたネットワークの冷却中です。",
            "使っていないネットワークを削除して 1 分ほど待つか、管理者が別の DC ネットワークを用意してください。"
        ),
        (
            "Dc network {id} has no free tag.",
            "Every VLAN tag is used, or cools after its network was deleted.",
            "Delete a network that is not used and wait about a minute, or ask an operator for another dc network."
        )
    )
}

pub(super) fn ip_handle_in_use() -> RefusalEntry {
    entry!(
        "ip_handle_in_use",
        "IpHandleInUse",
        185,
        400,
        ("IP ハンドル {id} は使用中です。", "{by} が使っています。", "先に外してください。"),
        ("IP handle {id} is in use.", "It is used by {by}.", "Take it away there first.")
    )
}

pub(super) fn network_not_in_dc_network() -> RefusalEntry {
    entry!(
        "network_not_in_dc_network",
        "NetworkNotInDcNetwork",
        190,
        400,
        (
            "ネットワーク {id} はこのプールに属していません。",
            "プール {pool} が扱う DC ネットワークに含まれません。",
            "arame ip-pool show {pool} で対象の DC ネットワークを確かめてください。"
        ),
        (
            "Network {id} is not one of this pool.",
            "It lies in no dc network of pool {pool}.",
            "See the pool's dc networks with arame ip-pool show {pool}."
        )
    )
}

pub(super) fn name_taken() -> RefusalEntry {
    entry!(
        "name_taken",
        "DatabaseError",
        110,
        409,
        ("{name} という名前は既に使われています。", "同じ名前のものがあります。", "別の名前を指定してください。"),
        ("The name {name} is taken.", "Another one has it.", "Choose another name.")
    )
}

pub(super) fn too_many() -> RefusalEntry {
    entry!(
        "too_many",
        "InvalidParameter",
        143,
        400,
        (
            "{id} にはこれ以上付けられません。",
            "{what} は {limit} 個までです。",
            "使っていないものを先に削除してください。"
        ),
        ("{id} can have no more.", "It has {limit} {what}, the most there may be.", "Delete some that are not used.")
    )
}
