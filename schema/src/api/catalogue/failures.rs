//! Why work failed, by the text code an agent or dcmgr gave it, in words.
//!
//! Rule: an unknown code is told by [`GENERIC`], with the code and the agent's own message: nothing is hidden.

use super::{FailureEntry, Words};

macro_rules! failures {
    ($($code:literal: $ja:tt, $en:tt;)*) => {
        &[$(FailureEntry { code: $code, ja: words!($ja), en: words!($en) }),*]
    };
}

macro_rules! words {
    (($sentence:literal, $cause:literal, $next_step:literal)) => {
        Words { sentence: $sentence, cause: $cause, next_step: $next_step }
    };
}

/// The entry of a failure's code.
pub fn failure(code: &str) -> &'static FailureEntry {
    ALL.iter().find(|entry| entry.code == code).unwrap_or(&GENERIC)
}

/// For codes not listed. `{code}` is always filled.
pub static GENERIC: FailureEntry = FailureEntry {
    code: "generic",
    ja: words!((
        "処理に失敗しました（{code}）。",
        "エージェントの報告: {message}",
        "もう一度試してください。繰り返す場合は管理者が arame jobs でエラーを確認してください。"
    )),
    en: words!((
        "It failed ({code}).",
        "The agent said: {message}",
        "Try again. If it happens again, an operator should look at the error in arame jobs."
    )),
};

/// Places any failure may use: `{code}`, `{message}` (the agent's own words), `{agent}`.
pub static ALL: &[FailureEntry] = failures! {
    "disk_full":
        ("ディスクの空きが足りませんでした。", "ノードのディスクがいっぱいです: {message}",
         "管理者がノードの空きを増やすか、不要なイメージやインスタンスを削除してください。空きができれば自動で再試行します。"),
        ("The disk was full.", "The node has no room left: {message}",
         "An operator should make room on the node or delete images and instances that are not needed. It is tried again by itself when there is room.");
    "image_checksum_mismatch":
        ("イメージの内容が登録時と異なります。", "チェックサムが一致しません: {message}",
         "イメージのファイルが壊れたか差し替えられています。管理者がイメージを登録し直してください。"),
        ("The image is not what was registered.", "Its checksum differs: {message}",
         "The image's file was damaged or exchanged. An operator should register it again.");
    "image_broken":
        ("イメージを読み取れません。", "ファイルが壊れているか、形式が違います: {message}",
         "管理者がイメージを作り直して登録してください。"),
        ("The image cannot be read.", "The file is damaged or of another format: {message}",
         "An operator should make and register the image again.");
    "image_refused":
        ("イメージは安全上の理由で拒否されました。", "ほかのファイルを参照するなど、許可されない内容です: {message}",
         "外部ファイルに依存しない単独のイメージに変換して登録してください。"),
        ("The image was refused for safety.", "It refers to other files or holds what is not allowed: {message}",
         "Convert it to an image that stands alone, and register that.");
    "image_unavailable":
        ("イメージを取得できませんでした。", "ストレージノードからイメージを受け取れません: {message}",
         "ストレージノードの稼働を確かめてください（arame storage list）。復帰後に自動で再試行します。"),
        ("The image could not be fetched.", "The storage node did not hand it out: {message}",
         "See whether the storage node is online (arame storage list). It is tried again when it is back.");
    "libvirt_error":
        ("仮想マシンの操作に失敗しました。", "libvirt がエラーを返しました: {message}",
         "もう一度試してください。続く場合は管理者がそのホストの libvirt のログを確認してください。"),
        ("The virtual machine could not be changed.", "libvirt answered an error: {message}",
         "Try again. If it stays so, an operator should read the libvirt log of that host.");
    "switch_error":
        ("仮想スイッチの設定に失敗しました。", "Open vSwitch がエラーを返しました: {message}",
         "管理者がホストの Open vSwitch の稼働を確認してください。復帰後に自動で再試行します。"),
        ("The virtual switch could not be set.", "Open vSwitch answered an error: {message}",
         "An operator should see whether Open vSwitch runs on the host. It is tried again by itself.");
    "store_error":
        ("ストレージの操作に失敗しました。", "バッキングストアがエラーを返しました: {message}",
         "管理者がストレージノードのディスクを確認してください。"),
        ("The storage could not be changed.", "The backing store answered an error: {message}",
         "An operator should look at the storage node's disks.");
    "export_error":
        ("ボリュームを iSCSI で公開できませんでした。", "iSCSI ターゲットがエラーを返しました: {message}",
         "管理者がストレージノードの tgtd の稼働を確認してください。復帰後に自動で再試行します。"),
        ("The volume could not be exported over iSCSI.", "The iSCSI target answered an error: {message}",
         "An operator should see whether tgtd runs on the storage node. It is tried again by itself.");
    "budget_spent":
        ("制限時間内に終わりませんでした。", "ノードが混んでいるか、応答しない処理があります: {message}",
         "しばらく待つと自動で再試行します。続く場合は管理者がノードの負荷を確認してください。"),
        ("It did not end in its time.", "The node is busy, or something on it hangs: {message}",
         "It is tried again by itself. If it stays so, an operator should look at the node's load.");
    "agent_panic":
        ("エージェントの内部で誤りが起きました。", "プログラムの誤りです: {message}",
         "自動で再試行します。繰り返す場合はエージェントのログを添えて報告してください。"),
        ("The agent failed inside.", "This is a defect of ours: {message}",
         "It is tried again by itself. If it happens again, report it with the agent's log.");
    "unsupported":
        ("エージェントがこの仕事を理解できません。", "エージェントの版が古い可能性があります: {message}",
         "管理者がエージェントを dcmgr と同じ版に更新してください。"),
        ("The agent does not understand this work.", "It may be an older version: {message}",
         "An operator should bring the agent to the version of dcmgr.");
    "volume_exported":
        ("ボリュームはまだ公開されています。", "接続が残っているため削除できません: {message}",
         "切り離しの完了を待ちます。自動で再試行します。"),
        ("The volume is still exported.", "A connection to it is left: {message}",
         "It is tried again when the detaching is done.");
    "foreign_thing":
        ("同じ名前の、このデータセンターのものではない資源があります。", "印のない、または別の導入環境のものには触れません: {message}",
         "管理者がノード上のその資源を確認し、移動または削除してください。"),
        ("Something of that name is there and is not ours.", "What carries no mark of ours is never touched: {message}",
         "An operator should look at it on the node and move or delete it.");
    "guest_holds_volume":
        ("ゲストがボリュームを手放しません。", "ゲスト OS が取り外しに応じていません: {message}",
         "ゲストの中でアンマウント（umount）してください。電源を切れば必ず切り離せます。"),
        ("The guest does not let go of the volume.", "Its operating system does not answer the unplugging: {message}",
         "Unmount it in the guest. Powering the instance off always detaches it.");
    "host_lost":
        ("ホストが失われました。", "ホスト {agent} は失われたと宣言されました。", "インスタンスを削除して作り直すか、バックアップから復元してください。"),
        ("Its host is lost.", "The host {agent} was declared lost.", "Delete the instance and make it again, or restore a backup.");
    "host_silent":
        ("ホストが応答しません。", "エージェント {agent} からの連絡が途絶えています。",
         "ホストの電源とネットワークを確かめてください。連絡が戻れば自動で続きます。"),
        ("Its host is silent.", "The agent {agent} is not heard.",
         "See to the host's power and network. It goes on by itself when the agent is heard again.");
    "attempts_used_up":
        ("再試行の回数を使い切りました。", "最後のエラー: {message}",
         "原因を取り除いてから、電源投入または削除をやり直してください。ホストが復帰したときは自動で再開します。"),
        ("All attempts are used up.", "The last error: {message}",
         "Remove the cause, then power it on or delete it again. It also goes on when a host comes back.");
    "no_network_answer":
        ("ネットワークの準備ができませんでした。", "DHCP/DNS エージェントから確認が届きません: {message}",
         "管理者が nsa の稼働を確認してください（arame audit）。復帰後に自動で続きます。"),
        ("Its network was not made ready.", "The DHCP and DNS agent did not confirm: {message}",
         "An operator should see whether the nsa runs (arame audit). It goes on by itself.");
    "out_of_host_capacity":
        ("置けるホストがなくなりました。", "試したホストはすべて条件を満たしませんでした: {message}",
         "管理者がホストを増やすか、不要なインスタンスを削除してください。"),
        ("No host is left that fits.", "Every host tried did not do: {message}",
         "An operator should add a host, or delete instances that are not needed.");
    "image_failed":
        ("イメージを用意できませんでした。", "イメージの取り込みが失敗しています: {message}",
         "arame image list でイメージの状態を確認してください。"),
        ("Its image could not be made ready.", "The import of the image failed: {message}",
         "See the image's state with arame image list.");
    "data_lost":
        ("データが見つかりません。", "存在していたはずのデータがノードの一覧にありません: {message}",
         "自動では作り直しません。管理者が arame audit を見て、復旧か削除を選んでください。"),
        ("Its data is not found.", "It was there, and a complete listing of the node does not have it: {message}",
         "It is never made again by itself. An operator should look at arame audit, then restore or delete it.");
    "deadline_passed":
        ("期限内に終わりませんでした。", "状態 {state} のまま期限を過ぎました: {message}",
         "arame jobs で待っている仕事を確認してください。"),
        ("It did not end before its deadline.", "It stayed {state} for too long: {message}",
         "See with arame jobs what it waits for.");
    "simulated":
        ("シミュレーターが指示どおりに失敗しました。", "設定で失敗するように指示されています: {message}",
         "シミュレーターの設定から失敗の指示を外してください。"),
        ("The simulator failed as it was told to.", "Its configuration asks for this failure: {message}",
         "Take the failure out of the simulator's configuration.");
};
