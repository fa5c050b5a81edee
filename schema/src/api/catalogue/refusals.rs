//! Refusals in words: our code, the original's class and number, a status, both languages.
//!
//! Rule: one `match` without a wildcard. Numbers are the original's (Wakame-vdc, errors of API 12.03); where it has no
//! fitting one, the nearest stands and `wire` tells them apart.

use super::{RefusalEntry, Words};
use crate::api::Code;

macro_rules! entry {
    ($wire:literal, $class:literal, $number:literal, $status:literal, $ja:tt, $en:tt) => {
        RefusalEntry { wire: $wire, class: $class, number: $number, status: $status, ja: words!($ja), en: words!($en) }
    };
}

macro_rules! words {
    (($sentence:literal, $cause:literal, $next_step:literal)) => {
        Words { sentence: $sentence, cause: $cause, next_step: $next_step }
    };
}

// After the macros, which they use.
mod access;
mod consoles;
mod images;
mod joins;
mod moves;
mod names;
mod outside;
mod resources;
mod volumes;

/// The entry of a code. Far longer than a function should be: it is a table, and one `match` without a wildcard is
/// what makes the compiler ask for the words of a new code.
pub fn refusal(code: Code) -> RefusalEntry {
    match code {
        Code::Unauthenticated => access::unauthenticated(),
        Code::AccountNotPermitted => access::account_not_permitted(),
        Code::DisabledAccount => access::disabled_account(),
        Code::AccountNeeded => access::account_needed(),
        Code::NotPermitted => access::not_permitted(),
        Code::IdempotencyConflict => access::idempotency_conflict(),
        Code::Repeated => access::repeated(),
        Code::TooManyFailures => access::too_many_failures(),
        Code::SignInFailed => access::sign_in_failed(),
        Code::Changed => access::changed(),
        Code::CompatRefused => access::compat_refused(),
        Code::TicketUsed => consoles::ticket_used(),
        Code::TicketTooOld => consoles::ticket_too_old(),
        Code::ConsoleInUse => consoles::console_in_use(),
        Code::NoConsole => consoles::no_console(),
        Code::OriginRefused => consoles::origin_refused(),
        Code::InvalidParameter => entry!(
            "invalid_parameter",
            "InvalidParameter",
            143,
            400,
            (
                "パラメーター {name} の値「{value}」は使えません。",
                "この形の値が必要です: {expected}",
                "{name} の値を直して、もう一度送ってください。"
            ),
            (
                "`{value}` is not a valid value of {name}.",
                "It must be of this form: {expected}",
                "Correct {name} and send it again."
            )
        ),
        Code::MissingParameter => entry!(
            "missing_parameter",
            "UndefinedRequiredParameter",
            118,
            400,
            (
                "パラメーター {name} がありません。",
                "この要求には {name} が必須です。",
                "{name} を加えて、もう一度送ってください。"
            ),
            ("Parameter {name} is missing.", "This request needs {name}.", "Add {name} and send it again.")
        ),
        Code::UnknownParameter => entry!(
            "unknown_parameter",
            "InvalidParameter",
            143,
            400,
            (
                "パラメーター {name} は知られていません。",
                "綴りが違うか、この要求では使えない名前です。",
                "名前を確かめてください。使える名前の一覧は /api/12.03/openapi.json にあります。"
            ),
            (
                "Parameter {name} is not known.",
                "It is misspelt, or this request has no such parameter.",
                "Check the name. /api/12.03/openapi.json lists those that exist."
            )
        ),
        Code::InvalidBody => entry!(
            "invalid_body",
            "InvalidParameter",
            143,
            400,
            (
                "要求の本文を読み取れませんでした。",
                "形式が正しくありません: {reason}",
                "フォーム形式または JSON として正しい本文を送ってください。"
            ),
            (
                "The request's body could not be read.",
                "Its form is not right: {reason}",
                "Send a body that is a valid form or valid JSON."
            )
        ),
        Code::TooLarge => entry!(
            "too_large",
            "InvalidParameter",
            143,
            413,
            (
                "要求の本文が大きすぎます。",
                "本文は {limit} バイトまでです。",
                "本文を小さくしてください。大きなデータは user_data ではなくボリュームに置きます。"
            ),
            (
                "The request's body is too large.",
                "A body may have {limit} bytes.",
                "Make it smaller. Large data belongs on a volume, not in user_data."
            )
        ),
        Code::UnknownRoute => entry!(
            "unknown_route",
            "UnknownUUIDResource",
            100,
            404,
            (
                "{method} {path} という API はありません。",
                "URL が間違っているか、まだ提供されていない機能です。",
                "URL を確かめてください。一覧は /api/12.03/openapi.json にあります。"
            ),
            (
                "There is no {method} {path}.",
                "The URL is wrong, or that part does not exist yet.",
                "Check the URL. /api/12.03/openapi.json lists all of them."
            )
        ),
        Code::MethodNotAllowed => entry!(
            "method_not_allowed",
            "OperationNotPermitted",
            105,
            405,
            (
                "{path} に {method} は使えません。",
                "この URL は別のメソッドだけを受け付けます。",
                "Allow ヘッダーにあるメソッドを使ってください。"
            ),
            (
                "{path} does not take {method}.",
                "This URL takes other methods only.",
                "Use a method named in the Allow header."
            )
        ),
        Code::UnknownResource => entry!(
            "unknown_resource",
            "UnknownUUIDResource",
            100,
            404,
            (
                "{id} は見つかりません。",
                "存在しないか、削除されたか、ほかのアカウントのものです。",
                "一覧で ID を確かめてください。"
            ),
            (
                "There is no {id}.",
                "It does not exist, was deleted, or belongs to another account.",
                "Look up the id in the list."
            )
        ),
        Code::OutOfHostCapacity => entry!(
            "out_of_host_capacity",
            "OutOfHostCapacity",
            120,
            400,
            (
                "このインスタンスを置けるホストがありません。",
                "すべてのホストで、いずれかの条件を満たしませんでした（detail にホストごとの判定があります）。",
                "小さい instance_type を選ぶか、不要なインスタンスを削除してください。"
            ),
            (
                "No host fits this instance.",
                "Every host failed at least one rule (detail has the verdict of each).",
                "Choose a smaller instance_type, or delete instances that are not needed."
            )
        ),
        Code::OutOfNetworkCapacity => entry!(
            "out_of_network_capacity",
            "OutOfNetworkCapacity",
            130,
            400,
            (
                "ネットワーク {network} に空いているアドレスがありません。",
                "DHCP 範囲のアドレスがすべて使用中か、解放直後の待機中です。",
                "別のネットワークを使うか、不要なインスタンスを削除してから 1 分ほど待ってください。"
            ),
            (
                "Network {network} has no free address.",
                "Every address of its DHCP range is in use or was released just now.",
                "Use another network, or delete instances that are not needed and wait about a minute."
            )
        ),
        Code::OutOfStorageCapacity => entry!(
            "out_of_storage_capacity",
            "OutOfDiskSpace",
            109,
            400,
            (
                "{needed} を置けるストレージノードがありません。",
                "どのストレージノードも条件を満たしません。それぞれの理由は detail にあります（空き、応答、配置の有効・無効）。",
                "小さいサイズにするか、不要なものを削除してください。arame storage list で空きを確認できます。"
            ),
            (
                "No storage node takes {needed} more.",
                "Each does not for a reason that the detail names: its room, its agent, or its scheduling.",
                "Choose a smaller size, or delete what is not needed. arame storage list shows the room."
            )
        ),
        Code::ExceedQuota => entry!(
            "exceed_quota",
            "ExceedQuotaLimit",
            162,
            400,
            (
                "割り当て {quota} を超えます。",
                "上限は {limit}、現在の使用量は {used} です。",
                "不要なものを削除するか、管理者に割り当ての変更を依頼してください。"
            ),
            (
                "This exceeds the quota {quota}.",
                "The limit is {limit}, in use are {used}.",
                "Delete what is not needed, or ask your administrator for more."
            )
        ),
        Code::DuplicateHostname => entry!(
            "duplicate_hostname",
            "DuplicateHostname",
            126,
            400,
            (
                "ホスト名 {hostname} はすでに使われています。",
                "ホスト名はアカウントの中で一意でなければなりません。",
                "別のホスト名にするか、同名のインスタンスを先に削除してください。"
            ),
            (
                "The hostname {hostname} is taken.",
                "A hostname is unique in its account.",
                "Choose another, or delete the instance that has it."
            )
        ),
        Code::DuplicateAddress => entry!(
            "duplicate_address",
            "DuplicateIPAddress",
            177,
            400,
            (
                "アドレス {address} は使用中です。",
                "ほかのインターフェースが使っているか、解放直後の待機中です。",
                "別のアドレスにするか、アドレスを指定せず自動割り当てにしてください。"
            ),
            (
                "The address {address} is in use.",
                "Another interface has it, or it was released just now.",
                "Choose another, or leave the choice to us."
            )
        ),
        Code::DuplicateMacAddress => entry!(
            "duplicate_mac_address",
            "DuplicateMacAddress",
            175,
            400,
            (
                "MAC アドレス {mac} は使用中です。",
                "ほかのインターフェースが使っています。",
                "mac_addr を外すか、別の値にしてください。"
            ),
            ("The MAC address {mac} is in use.", "Another interface has it.", "Leave mac_addr out, or choose another.")
        ),
        Code::AddressNotInNetwork => entry!(
            "address_not_in_network",
            "IPAddressNotInSegment",
            178,
            400,
            (
                "アドレス {address} はネットワーク {network} で使えません。",
                "サブネットの外か、割り当て範囲の外です。",
                "arame network show {network} で範囲を確かめてください。"
            ),
            (
                "The address {address} cannot be used in network {network}.",
                "It is outside the subnet or outside the range given out.",
                "See the range with arame network show {network}."
            )
        ),
        Code::InvalidSecurityGroupRule => entry!(
            "invalid_security_group_rule",
            "InvalidSecurityGroupRule",
            142,
            400,
            (
                "セキュリティグループの規則に誤りがあります（{line} 行目）: {text}",
                "{reason}（規則の書式に合いません）",
                "tcp:22,22,ip4:0.0.0.0 のように、1 行に 1 規則で書いてください。"
            ),
            (
                "Line {line} of the security group's rules is wrong: {text}",
                "{reason}",
                "Write one rule a line, like tcp:22,22,ip4:0.0.0.0"
            )
        ),
        Code::InvalidPublicKey => entry!(
            "invalid_public_key",
            "InvalidSshPublicKey",
            173,
            400,
            (
                "公開鍵を読み取れません。",
                "OpenSSH 形式の公開鍵ではありません: {reason}",
                "id_ed25519.pub のような .pub ファイルの中身をそのまま送ってください。"
            ),
            (
                "The public key cannot be read.",
                "It is not a public key in OpenSSH form: {reason}",
                "Send the contents of a .pub file as it is, such as id_ed25519.pub."
            )
        ),
        Code::InvalidInstanceState => entry!(
            "invalid_instance_state",
            "InvalidInstanceState",
            125,
            400,
            (
                "インスタンス {id} は今 {state} なので、この操作はできません。",
                "この操作には {needed} の状態が必要です。",
                "arame instance show {id} で状態を確かめ、必要な状態になってからやり直してください。"
            ),
            (
                "Instance {id} is {state}: this cannot be done now.",
                "It must be {needed}.",
                "See its state with arame instance show {id} and try again when it is so."
            )
        ),
        Code::InstanceMigrating => moves::instance_migrating(),
        Code::InstanceHasVolumes => moves::instance_has_volumes(),
        Code::HostCannotMove => moves::host_cannot_move(),
        Code::HostMakesNoImages => moves::host_makes_no_images(),
        Code::InvalidVolumeState => entry!(
            "invalid_volume_state",
            "InvalidVolumeState",
            140,
            400,
            (
                "ボリューム {id} は今 {state} なので、この操作はできません。",
                "この操作には {needed} の状態が必要です。",
                "arame volume list で状態を確かめ、必要な状態になってからやり直してください。"
            ),
            (
                "Volume {id} is {state}: this cannot be done now.",
                "It must be {needed}.",
                "See its state with arame volume list and try again when it is so."
            )
        ),
        Code::UploadFailed => images::upload_failed(),
        Code::InvalidImageState => entry!(
            "invalid_image_state",
            "InvalidImageID",
            137,
            400,
            (
                "イメージ {id} は今 {state} なので使えません。",
                "イメージは available になってから使えます。",
                "arame image list で状態を確かめ、別のイメージを使うか、完了を待ってください。"
            ),
            (
                "Image {id} is {state} and cannot be used.",
                "An image can be used when it is available.",
                "See arame image list; use another image, or wait."
            )
        ),
        Code::VolumeAttached => entry!(
            "volume_attached",
            "AttachVolumeFailure",
            124,
            400,
            (
                "ボリューム {id} はインスタンス {instance} に接続されています。",
                "ボリュームは同時に一つのインスタンスだけに接続できます。",
                "先に arame volume detach {id} で切り離してください。"
            ),
            (
                "Volume {id} is attached to instance {instance}.",
                "A volume is attached to one instance at a time.",
                "Detach it first: arame volume detach {id}"
            )
        ),
        Code::VolumeNotAttached => entry!(
            "volume_not_attached",
            "DetachVolumeFailure",
            123,
            400,
            (
                "ボリューム {id} はどこにも接続されていません。",
                "すでに切り離されています。",
                "何もする必要はありません。"
            ),
            ("Volume {id} is not attached.", "It was detached before.", "Nothing needs to be done.")
        ),
        Code::VolumeInUse => volumes::volume_in_use(),
        Code::VolumeHasSnapshots => volumes::volume_has_snapshots(),
        Code::NewerSnapshots => volumes::newer_snapshots(),
        Code::NewerSnapshotsUsed => volumes::newer_snapshots_used(),
        Code::InvalidSnapshotState => volumes::invalid_snapshot_state(),
        Code::InvalidBackupState => volumes::invalid_backup_state(),
        Code::BackupStorageNotReached => volumes::backup_storage_not_reached(),
        Code::AlreadyExists => entry!(
            "already_exists",
            "DatabaseError",
            110,
            409,
            (
                "{id} は既にあります。",
                "同じ ID のものが、今あるか、以前ありました。ID は使い回されません。",
                "別の ID を指定するか、ID を省いてください。"
            ),
            (
                "{id} exists already.",
                "One of this id is there, or was: an id is never given twice.",
                "Choose another id, or leave it out."
            )
        ),
        Code::ResourceInUse => entry!(
            "resource_in_use",
            "OperationNotPermitted",
            105,
            403,
            (
                "{id} は使用中です。",
                "{by} が使っています。",
                "使っているものを先に削除するか、関連付けを外してください。"
            ),
            ("{id} is in use.", "It is used by {by}.", "Delete what uses it first, or take the connection away.")
        ),
        Code::Unavailable => entry!(
            "unavailable",
            "MessagingFailed",
            171,
            503,
            (
                "今は応じられません。",
                "{what} に接続できません。",
                "しばらく待ってからやり直してください。続く場合は管理者が arame audit を確認してください。"
            ),
            (
                "This cannot be answered now.",
                "{what} cannot be reached.",
                "Try again in a moment. If it stays so, an operator should look at arame audit."
            )
        ),
        Code::HostSilent => consoles::host_silent(),
        Code::NeverHeard => consoles::never_heard(),
        Code::HostHeard => moves::host_heard(),
        Code::HostLost => moves::host_lost(),
        Code::JoinNotOffered => joins::not_offered(),
        Code::JoinTokenUnknown => joins::token_unknown(),
        Code::JoinTokenUsed => joins::token_used(),
        Code::JoinTokenExpired => joins::token_expired(),
        Code::JoinTokenRevoked => joins::token_revoked(),
        Code::AgentHasJoined => joins::agent_has_joined(),
        Code::NodeNotEmpty => joins::node_not_empty(),
        Code::GuestHoldsVolume => volumes::guest_holds_volume(),
        Code::Recovering => entry!(
            "recovering",
            "MessagingFailed",
            171,
            503,
            (
                "データセンターは復旧中のため、新しいものは作れません。",
                "データベースが古い状態に戻り、管理者の確認を待っています。",
                "管理者が arame audit で確認し、arame audit confirm を実行するのを待ってください。"
            ),
            (
                "The data center is recovering; nothing new is made.",
                "The database went back to an older state and waits for an operator's confirmation.",
                "Wait until an operator has looked at arame audit and run arame audit confirm."
            )
        ),
        Code::NotAdoptable => entry!(
            "not_adoptable",
            "InvalidParameter",
            115,
            400,
            (
                "{id} を引き取れません。",
                "引き取れるのは、このデータセンターの印があり、記録のないインスタンス、ボリューム、スナップショット、複製、バックアップ、接続だけです。",
                "arame audit で一覧を確認し、引き取れるものの ID を指定してください。"
            ),
            (
                "{id} cannot be adopted.",
                "Only an instance, volume, snapshot, replica, backup or attachment that carries this data center's mark and has no row can be.",
                "Look at arame audit and name something that can be."
            )
        ),
        Code::NotImplemented => resources::not_implemented(),
        Code::UnknownDcNetwork => resources::unknown_dc_network(),
        Code::DcNetworkNotPermitted => resources::dc_network_not_permitted(),
        Code::NetworkNotEditable => resources::network_not_editable(),
        Code::NoPassword => resources::no_password(),
        Code::UnknownLabel => resources::unknown_label(),
        Code::VifAttached => resources::vif_attached(),
        Code::VifNotAttached => resources::vif_not_attached(),
        Code::AlreadyInGroup => resources::already_in_group(),
        Code::NotInGroup => resources::not_in_group(),
        Code::OutOfSegments => resources::out_of_segments(),
        Code::IpHandleInUse => resources::ip_handle_in_use(),
        Code::NoWayOut => outside::no_way_out(),
        Code::AddressNotOutside => outside::address_not_outside(),
        Code::NetworkNotInDcNetwork => resources::network_not_in_dc_network(),
        Code::NameTaken => resources::name_taken(),
        Code::TooMany => resources::too_many(),
        Code::RecordConflict => names::record_conflict(),
        Code::RecordLoop => names::record_loop(),
        Code::NameOfExternalAddress => names::name_of_external_address(),
        Code::Internal => entry!(
            "internal",
            "DatabaseError",
            110,
            500,
            (
                "内部エラーが起きました。",
                "プログラムの誤りです。要求番号 {request} で記録されています。",
                "もう一度試し、繰り返す場合は要求番号を添えて管理者に連絡してください。"
            ),
            (
                "Something went wrong inside.",
                "This is a defect of ours. It is logged under request {request}.",
                "Try again; if it happens again, tell your administrator the request's number."
            )
        ),
    }
}
