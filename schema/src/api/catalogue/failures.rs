//! Why work failed, by the text code an agent or dcmgr gave it, in words.
//!
//! Rule: an unknown code is told by [`GENERIC`], with the code and the agent's own message: nothing is hidden.

use super::{FailureEntry, Words};

macro_rules! failures {
    ($($($code:literal)|+: $ja:tt, $en:tt;)*) => {
        &[$(failures!(@each ($($code)|+) $ja, $en)),*]
    };
    (@each ($($code:literal)|+) $ja:tt, $en:tt) => {
        FailureEntry { codes: &[$($code),+], ja: words!($ja), en: words!($en) }
    };
}

macro_rules! words {
    (($sentence:literal, $cause:literal, $next_step:literal)) => {
        Words { sentence: $sentence, cause: $cause, next_step: $next_step }
    };
}

/// The entry of a failure's code.
pub fn failure(code: &str) -> &'static FailureEntry {
    ALL.iter().find(|entry| entry.codes.contains(&code)).unwrap_or(&GENERIC)
}

/// For codes not listed. `{code}` is always filled.
pub static GENERIC: FailureEntry = FailureEntry {
    codes: &["generic"],
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
    "image_url_refused":
        ("このアドレスからはイメージを取得しません。", "アドレスの形か、転送先が許可されていません: {message}",
         "https のアドレスで登録し直してください。http や内部のサーバーは、管理者がストレージノードの設定（sta.fetch）で許可できます。"),
        ("An image is not fetched from this address.", "The address, or where it leads, is not allowed: {message}",
         "Register it again with an https address. An operator may allow http or a server of the house (sta.fetch in the storage node's configuration).");
    "image_address_refused":
        ("このサーバーからはイメージを取得しません。", "名前が指す先が、公開されたインターネットのアドレスではありません: {message}",
         "公開サーバーに置いて登録し直すか、イメージをアップロードしてください。内部のサーバーは管理者が許可できます（sta.fetch.allow_networks）。"),
        ("An image is not fetched from this server.", "Its name leads to an address that is not the public Internet's: {message}",
         "Put it on a public server and register it again, or upload it. An operator may allow a server of the house (sta.fetch.allow_networks).");
    "image_host_unknown":
        ("イメージのサーバーの名前が見つかりません。", "ストレージノードから名前を引けませんでした: {message}",
         "綴りを確かめて登録し直してください。名前が正しければ管理者がストレージノードの DNS を確認してください。"),
        ("The name of the image's server was not found.", "The storage node could not resolve it: {message}",
         "Check the spelling and register it again. If it is right, an operator should look at the storage node's DNS.");
    "image_server_unreachable":
        ("イメージのサーバーに接続できませんでした。", "接続または TLS の確立に失敗しました: {message}",
         "サーバーの稼働と証明書を確かめて登録し直すか、イメージをアップロードしてください。"),
        ("The image's server could not be reached.", "The connection or its TLS failed: {message}",
         "See that the server runs and that its certificate is good, and register the image again; or upload it.");
    "image_not_found":
        ("アドレスにイメージがありません。", "サーバーが、無い、または見せられないと答えました: {message}",
         "アドレスを確かめ、誰でも読めるものを登録し直してください。"),
        ("There is no image at the address.", "The server says that it is not there, or not for everybody: {message}",
         "Check the address and register one again that everybody may read.");
    "image_server_error":
        ("イメージのサーバーが思わぬ答えを返しました。", "サーバーの応答: {message}",
         "時間をおいて登録し直すか、別のサーバーを使ってください。"),
        ("The image's server answered strangely.", "It said: {message}",
         "Register it again later, or from another server.");
    "image_too_large":
        ("イメージが大きすぎます。", "受け入れる上限を超えています: {message}",
         "イメージを小さくする（qcow2 に変換する）か、管理者に上限（sta.fetch.image_mib_max）を相談してください。"),
        ("The image is too large.", "It is more than is let in: {message}",
         "Make it smaller (as qcow2), or ask an operator about the limit (sta.fetch.image_mib_max).");
    "image_server_silent":
        ("イメージの転送が止まりました。", "サーバーから十分な速さでデータが届きません: {message}",
         "速いサーバーから登録し直すか、イメージをアップロードしてください。"),
        ("The image's bytes stopped to come.", "The server does not send, or too slowly: {message}",
         "Register it again from a faster server, or upload it.");
    "image_took_too_long":
        ("イメージの転送が制限時間内に終わりませんでした。", "時間の上限に達しました: {message}",
         "速いサーバーから登録し直すか、管理者に上限（sta.fetch.minutes_max）を相談してください。"),
        ("The image's bytes did not all come in time.", "The limit of time was met: {message}",
         "Register it again from a faster server, or ask an operator about the limit (sta.fetch.minutes_max).");
    "image_broke_off":
        ("イメージの転送が途中で切れました。", "サーバーとの接続が途切れたか、告げられた長さと違います: {message}",
         "もう一度登録してください。続く場合は別のサーバーを使ってください。"),
        ("The image's bytes broke off.", "The connection was lost, or the length is not what the server said: {message}",
         "Register it again. If it happens again, use another server.");
    "upload_broken":
        ("アップロードが途中で切れました。", "内容が最後まで届きませんでした: {message}",
         "イメージは引き続きアップロードを待っています。初めから送り直してください（arame image upload）。"),
        ("The upload broke off.", "Its bytes did not all come: {message}",
         "The image waits for them still. Send them again from their begin (arame image upload).");
    "image_unavailable" | "image_unreachable" | "image_missing" | "image_source_missing":
        ("イメージを取得できませんでした。", "ストレージノードからイメージを受け取れません: {message}",
         "ストレージノードの稼働を確かめてください（arame storage list）。復帰後に自動で再試行します。"),
        ("The image could not be fetched.", "The storage node did not hand it out: {message}",
         "See whether the storage node is online (arame storage list). It is tried again when it is back.");
    "libvirt_error" | "libvirt_unreachable" | "libvirt_hung":
        ("仮想マシンの操作に失敗しました。", "libvirt がエラーを返しました: {message}",
         "もう一度試してください。続く場合は管理者がそのホストの libvirt のログを確認してください。"),
        ("The virtual machine could not be changed.", "libvirt answered an error: {message}",
         "Try again. If it stays so, an operator should read the libvirt log of that host.");
    "link_unreachable":
        ("ホスト間の経路を測れませんでした。", "移動先のホストにつながらないか、応答がありません: {message}",
         "2 台のホストの間で移動に使うポート（49152〜49215）が通ることを確かめてください。"),
        ("The link between the two hosts could not be measured.", "The other host was not reached, or said nothing: {message}",
         "See that the ports of migrations (49152 to 49215) are open between the two hosts.");
    "switch_error" | "switch_unavailable" | "link_failed" | "port_taken":
        ("仮想スイッチの設定に失敗しました。", "Open vSwitch がエラーを返しました: {message}",
         "管理者がホストの Open vSwitch の稼働を確認してください。復帰後に自動で再試行します。"),
        ("The virtual switch could not be set.", "Open vSwitch answered an error: {message}",
         "An operator should see whether Open vSwitch runs on the host. It is tried again by itself.");
    "store_error" | "store_unavailable":
        ("ストレージの操作に失敗しました。", "バッキングストアがエラーを返しました: {message}",
         "管理者がストレージノードのディスクを確認してください。"),
        ("The storage could not be changed.", "The backing store answered an error: {message}",
         "An operator should look at the storage node's disks.");
    "fence_unproved":
        ("ボリュームへの経路が断たれたことを確かめられません。", "失われたホストがまだ書き込めるかもしれません: {message}",
         "管理者がストレージノードの tgtd とそのアドレスを確認してください。確かめられるまで自動で繰り返し、それまでボリュームは誰にも渡りません。"),
        ("It could not be proved that the volume is cut off.", "The lost host may still write to it: {message}",
         "An operator should look at tgtd and its address on the storage node. It is tried again until it is proved, and nobody gets the volume before.");
    "export_error" | "export_unavailable" | "export_remains":
        ("ボリュームを iSCSI で公開できませんでした。", "iSCSI ターゲットがエラーを返しました: {message}",
         "管理者がストレージノードの tgtd の稼働を確認してください。復帰後に自動で再試行します。"),
        ("The volume could not be exported over iSCSI.", "The iSCSI target answered an error: {message}",
         "An operator should see whether tgtd runs on the storage node. It is tried again by itself.");
    "budget_spent" | "handler_hung" | "too_many_jobs" | "agent_leaving":
        ("制限時間内に終わりませんでした。", "ノードが混んでいるか、応答しない処理があります: {message}",
         "しばらく待つと自動で再試行します。続く場合は管理者がノードの負荷を確認してください。"),
        ("It did not end in its time.", "The node is busy, or something on it hangs: {message}",
         "It is tried again by itself. If it stays so, an operator should look at the node's load.");
    "agent_panic" | "internal" | "wrong_agent" | "wrong_thing" | "bad_name" | "snapshot_invalid":
        ("エージェントの内部で誤りが起きました。", "プログラムの誤りです: {message}",
         "自動で再試行します。繰り返す場合はエージェントのログを添えて報告してください。"),
        ("The agent failed inside.", "This is a defect of ours: {message}",
         "It is tried again by itself. If it happens again, report it with the agent's log.");
    "unsupported":
        ("エージェントがこの仕事を理解できません。", "エージェントの版が古い可能性があります: {message}",
         "管理者がエージェントを dcmgr と同じ版に更新してください。"),
        ("The agent does not understand this work.", "It may be an older version: {message}",
         "An operator should bring the agent to the version of dcmgr.");
    "volume_exported" | "in_use":
        ("ボリュームはまだ公開されています。", "接続が残っているため削除できません: {message}",
         "切り離しの完了を待ちます。自動で再試行します。"),
        ("The volume is still exported.", "A connection to it is left: {message}",
         "It is tried again when the detaching is done.");
    "foreign_thing" | "foreign_domain" | "foreign_link" | "foreign_network":
        ("同じ名前の、このデータセンターのものではない資源があります。", "印のない、または別の導入環境のものには触れません: {message}",
         "管理者がノード上のその資源を確認し、移動または削除してください。"),
        ("Something of that name is there and is not ours.", "What carries no mark of ours is never touched: {message}",
         "An operator should look at it on the node and move or delete it.");
    "guest_holds_volume" | "volume_busy":
        ("ゲストがボリュームを手放しません。", "ゲスト OS が取り外しに応じていません: {message}",
         "ゲストの中でアンマウント（umount）してください。電源を切れば必ず切り離せます。"),
        ("The guest does not let go of the volume.", "Its operating system does not answer the unplugging: {message}",
         "Unmount it in the guest. Powering the instance off always detaches it.");
    "guest_died":
        ("ゲストが異常終了しました。まもなく起動し直します。", "続けて {count} 回異常終了しました。{until} に起動し直します。",
         "繰り返す場合は、コンソールのログとゲストの中を確認してください。起動し直さないようにするには restart_policy=never を使います。"),
        ("The guest died and will be started again soon.", "It died {count} times in a row; it is started again at {until}.",
         "If it goes on, look at its console log and into the guest. To let it stay off when it dies: restart_policy=never.");
    "guest_keeps_dying":
        ("ゲストが繰り返し異常終了するため、起動し直すのをやめました。", "短い間に続けて異常終了しました: {message}",
         "コンソールのログで原因を確認し、直してから arame instance poweron で起動してください。"),
        ("The guest keeps dying and is not started again.", "Too many deaths within a short time: {message}",
         "See its console log for the cause, mend it, and start it with arame instance poweron.");
    "guest_holds_interface":
        ("ゲストがネットワークインターフェースを手放しません。", "ゲスト OS が取り外しに応じていません: {message}",
         "ゲストの中でインターフェースを止めてから、切り離しをもう一度依頼してください。電源を切れば必ず切り離せます。"),
        ("The guest does not let go of the interface.", "Its operating system does not answer the unplugging: {message}",
         "Take the interface down in the guest and detach it again. Powering the instance off always detaches it.");
    "host_silent" | "agent_silent":
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
    "data_lost" | "disk_lost":
        ("データが見つかりません。", "存在していたはずのデータがノードの一覧にありません: {message}",
         "自動では作り直しません。管理者が arame audit を見て、復旧か削除を選んでください。"),
        ("Its data is not found.", "It was there, and a complete listing of the node does not have it: {message}",
         "It is never made again by itself. An operator should look at arame audit, then restore or delete it.");
    "host_lost":
        ("ホストとともに失われました。", "このマシンのディスクがあるホストは、失われたと宣言されました: {message}",
         "接続されていたボリュームは新しいマシンに接続できます。ホストがディスクとともに戻れば、また電源を入れられます。要らなければ削除してください。"),
        ("It was lost with its host.", "The host that has its disk was declared lost: {message}",
         "The volumes it had can be attached to a new machine. If the host comes back with the disk, it can be switched on again. Else delete it.");
    "memory_loss":
        ("作成の途中でデータベースが古い状態に戻りました。", "その後どうなったかは分かりません: {message}",
         "削除して作り直してください。"),
        ("The database went back to a state in which this was being made.", "What became of it is not known: {message}",
         "Delete it and make it again.");
    "deadline_passed":
        ("期限内に終わりませんでした。", "状態 {state} のまま期限を過ぎました: {message}",
         "arame jobs で待っている仕事を確認してください。"),
        ("It did not end before its deadline.", "It stayed {state} for too long: {message}",
         "See with arame jobs what it waits for.");
    "simulated" | "injected" | "sim_fault":
        ("シミュレーターが指示どおりに失敗しました。", "設定で失敗するように指示されています: {message}",
         "シミュレーターの設定から失敗の指示を外してください。"),
        ("The simulator failed as it was told to.", "Its configuration asks for this failure: {message}",
         "Take the failure out of the simulator's configuration.");
    "disk_error" | "host_disk_error" | "state_dir_error":
        ("ノードのディスクを読み書きできませんでした。", "ファイルシステムがエラーを返しました: {message}",
         "管理者がノードのディスクの状態と権限を確認してください。自動で再試行します。"),
        ("The node's disk could not be read or written.", "Its file system answered an error: {message}",
         "An operator should look at the node's disk and its permissions. It is tried again by itself.");
    "host_error":
        ("ホストの設定に失敗しました。", "ホスト上のコマンドが失敗しました: {message}",
         "管理者がホストのエージェントのログを確認してください。自動で再試行します。"),
        ("The host could not be set up.", "A command on the host failed: {message}",
         "An operator should read the log of the host's agent. It is tried again by itself.");
    "configuration" | "laboratory_settings":
        ("エージェントの設定に問題があります。", "この設定では安全に実行できません: {message}",
         "管理者がエージェントの設定ファイルを直して再起動してください。"),
        ("The agent's configuration is not right.", "It cannot work safely like this: {message}",
         "An operator should correct the agent's configuration file and start it again.");
    "domain_missing":
        ("仮想マシンがホストにありません。", "操作の対象が見つかりません: {message}",
         "状態が確認され次第、自動で作り直されます。arame instance show で確認してください。"),
        ("The virtual machine is not on its host.", "What was to be changed is not found: {message}",
         "It is made again as soon as this is confirmed. See arame instance show.");
    "too_many_disks":
        ("これ以上ボリュームを接続できません。", "仮想マシンの空きスロットがありません: {message}",
         "不要なボリュームを切り離してください。"),
        ("No more volumes can be attached.", "The virtual machine has no free slot: {message}",
         "Detach a volume that is not needed.");
    "volume_missing":
        ("ボリュームがストレージノードにありません。", "対象のデータが見つかりません: {message}",
         "管理者が arame audit とストレージノードのディスクを確認してください。自動では作り直しません。"),
        ("The volume is not on its storage node.", "Its data is not found: {message}",
         "An operator should look at arame audit and at the storage node's disks. It is never made again by itself.");
    "volume_too_small":
        ("ボリュームが小さすぎます。", "イメージやスナップショットより小さくはできません: {message}",
         "大きいサイズで作り直してください。"),
        ("The volume is too small.", "It cannot be smaller than its image or snapshot: {message}",
         "Create it with a larger size.");
    "snapshot_missing":
        ("スナップショットがストレージノードにありません。", "もとになるデータが見つかりません: {message}",
         "何も変わっていません。別のスナップショットを選んでください。"),
        ("The snapshot is not on the storage node.", "What it holds is not found: {message}",
         "Nothing was changed. Choose another snapshot.");
    "replica_missing":
        ("スナップショットの複製がストレージノードにそろっていません。", "受信の途中か、削除されています: {message}",
         "受信が終わるのを待ってください。自動で作成を続けます。"),
        ("The replica of the snapshot is not whole on the storage node.", "It is still being received, or was deleted: {message}",
         "Wait until it was received: it is tried again by itself.");
    "replica_source_gone":
        ("複製元のスナップショットがなくなりました。", "そろう前に失われたか、取得に失敗しました: {message}",
         "届いた分は残していません。この複製を削除し、別のスナップショットから複製してください。"),
        ("The snapshot that was to be copied is gone.", "It was lost, or never taken, before all of it was here: {message}",
         "What came was not kept. Delete this replica, and replicate another snapshot.");
    "replica_store_differs":
        ("このストレージノードには複製できません。", "ストアの種類が違います: {message}",
         "同じ種類のストア（zfs と zfs、file と file）を持つストレージノードを選ぶか、バックアップを使ってください。"),
        ("The snapshot cannot be replicated to this storage node.", "Its store is of another kind: {message}",
         "Choose a storage node with a store of the same kind (zfs and zfs, file and file), or use a backup.");
    "replica_source_unavailable":
        ("複製元のストレージノードから受信できません。", "スナップショットを送っていません: {message}",
         "複製元のストレージノードが動いているか、スナップショットが残っているかを管理者が確かめてください。自動で再試行します。"),
        ("The snapshot's storage node does not send it.", "{message}",
         "An operator should look whether that node is up and still has the snapshot. It is tried again by itself.");
    "replica_broke_off":
        ("複製の受信が途中で切れました。", "接続が切れました: {message}",
         "届いた分は残っています。自動で続きから受信します。"),
        ("Receiving the replica broke off.", "{message}",
         "What came is kept, and the rest is received by itself.");
    "replica_began_anew":
        ("複製の受信を初めからやり直します。", "続きから受信できませんでした: {message}",
         "そのままお待ちください。自動で再試行します。"),
        ("The replica is received from its beginning again.", "It could not be gone on with: {message}",
         "Nothing is to be done: it is tried again by itself.");
    "replica_checksum_mismatch":
        ("受信した複製が元のスナップショットと一致しません。", "チェックサムか識別子が違います: {message}",
         "届いたものは残していません。繰り返すときは、管理者がストレージノード間のネットワークとディスクを確かめてください。"),
        ("What was received is not the snapshot.", "Its checksum or its identity differs: {message}",
         "Nothing of it was kept. If it happens again, an operator should look at the network between the storage nodes and their disks.");
    "newer_snapshots":
        ("ストレージにより新しいスナップショットがあります。", "このデータセンターの記録にない、より新しいスナップショットが巻き戻しを妨げています: {message}",
         "管理者が arame audit とストレージノードを確認し、そのスナップショットを残すか消すかを決めてください。"),
        ("The store holds newer snapshots.", "Snapshots that no row of this data center knows stand in the way: {message}",
         "An operator should look at arame audit and at the storage node, and decide whether they may go.");
    "backup_checksum_mismatch":
        ("バックアップの内容が壊れています。", "チェックサムが一致しません: {message}",
         "ボリュームは作られず、何も残っていません。別のバックアップから作り直してください。"),
        ("The backup is damaged.", "Its checksum differs: {message}",
         "No volume was made and nothing is left. Make it from another backup.");
    "backup_missing":
        ("バックアップが保存先にありません。", "対象のデータが見つかりません: {message}",
         "管理者が arame audit とバックアップの保存先を確認してください。別のバックアップがあればそこから作れます。"),
        ("The backup is not in its storage.", "Its data is not found: {message}",
         "An operator should look at arame audit and at the backup storage. Another backup can be restored meanwhile.");
    "backup_storage_unavailable":
        ("バックアップの保存先を見られません。", "保存先が接続（マウント）されていないか、設定にありません: {message}",
         "管理者が保存先の接続とストレージエージェントの設定（sta.backups）を確かめてください。"),
        ("The backup storage cannot be looked at.", "It is not mounted, or the agent's configuration does not name it: {message}",
         "An operator should look at its mount and at the storage agent's configuration (sta.backups).");
    "backup_storage_full":
        ("バックアップの保存先の空きが足りません。", "ディスクがいっぱいになる前に中止しました: {message}",
         "不要なバックアップを削除するか、管理者が保存先を広げてから、もう一度取ってください。"),
        ("The backup storage has not enough room.", "It was stopped before the disk was full: {message}",
         "Delete backups that are not needed, or have an operator enlarge it, and take it again.");
    "backup_spoiled":
        ("バックアップの途中でスナップショットが失われました。", "同じ時点の内容をもう取れません: {message}",
         "このバックアップを削除し、もう一度取ってください。"),
        ("The snapshot was lost before the backup was whole.", "The same moment cannot be had again: {message}",
         "Delete this backup and take another.");
    "copy_source_gone":
        ("写す前に元のものがなくなりました。", "元のバックアップまたはイメージがありません: {message}",
         "この写しを削除してください。"),
        ("What it is a copy of is gone.", "The backup or image that was to be copied is not there: {message}",
         "Delete this copy.");
    "capture_machine_gone":
        ("ディスクを写す前にマシンがなくなりました。", "マシンが削除されたか、そのホストにありません: {message}",
         "このイメージを削除してください。"),
        ("The machine was gone before its disk was copied.", "It was deleted, or is not on its host any more: {message}",
         "Delete this image.");
    "capture_no_room":
        ("ホストのディスクに、写しを作る空きがありません。", "必要な大きさと空き: {message}",
         "ホストの空きを増やすか、そのホストの不要なマシンを削除してから、イメージを作り直してください。"),
        ("The host's disk has no room for the copy.", "What is needed and what is free: {message}",
         "Have an operator make room on the host, or delete machines that are not needed, and make the image again.");
    "capture_interrupted":
        ("ディスクを写している間にマシンが何度も止まったか起動しました。", "写しが最後まで終わりませんでした: {message}",
         "このイメージを削除し、マシンが落ち着いてから作り直してください。"),
        ("The machine stopped or started again and again while its disk was copied.", "The copy did not get to its end: {message}",
         "Delete this image, and make another when the machine goes on undisturbed.");
    "backup_volume_gone":
        ("バックアップする前にボリュームが削除されました。", "対象のボリュームがありません: {message}",
         "このバックアップを削除してください。"),
        ("The volume was deleted before it was backed up.", "There is nothing to back up: {message}",
         "Delete this backup.");
    "snapshot_needs_detached":
        ("使用中のボリュームのスナップショットは取れません。", "このストレージは瞬間の複製ができず、書き込み中の写しは使えないものになります: {message}",
         "ボリュームを切り離してから取り直してください。ZFS や XFS・Btrfs のストレージでは使用中でも取れます。"),
        ("No snapshot can be taken of a volume in use.", "This store cannot copy it in one moment, and a copy made while it is written to is of no use: {message}",
         "Detach the volume and take it again. A store on ZFS, XFS or Btrfs can take it also in use.");
    "volume_has_snapshots":
        ("ボリュームにスナップショットが残っています。", "スナップショットがある間は削除しません: {message}",
         "スナップショットの削除後に自動で続きます。記録にないものは arame audit で決めてください。"),
        ("The volume still has snapshots.", "It is not deleted while there are any: {message}",
         "It goes on by itself when they are deleted. Decide about unknown ones with arame audit.");
    "rollback_overtaken":
        ("巻き戻しは取りやめられました。", "依頼の後にボリュームが新しくなっていました: {message}",
         "新しいデータを守るため、自動では巻き戻しません。内容を確かめ、必要ならもう一度依頼してください。"),
        ("The rollback was dropped.", "The volume is newer than the request: {message}",
         "Newer data is never undone by itself. Look at the content and ask again if it is still wanted.");
    "stale_epoch" | "refused":
        ("ノード上のものの方が新しいため、断られました。", "記録より新しい世代が見つかりました: {message}",
         "自動で記録を合わせて再試行します。"),
        ("It was refused because what is on the node is newer.", "A newer generation than the row's was found: {message}",
         "The row is lifted past it and it is tried again by itself.");
    "not_waited_for" | "nothing_to_send" | "guest_is_here" | "between_hosts":
        ("移動の準備が二つのホストで揃いませんでした。", "ホストの状態が変わっていました: {message}",
         "自動で状態を確かめて続けるか、元のホストに留まります。arame instance timeline で経過を確かめてください。"),
        ("The two hosts were not ready for the move.", "Something had changed on a host: {message}",
         "It is looked at again and goes on, or the machine stays where it is. See arame instance timeline.");
    "guest_is_off" | "guest_stopped":
        ("移動中にゲストが停止しました。", "動いているゲストだけを移動できます: {message}",
         "元のホストに留まります。起動した後にもう一度移動してください。"),
        ("The guest stopped during the move.", "Only a running guest is moved: {message}",
         "It stays on its host. Move it again when it runs.");
    "host_cannot_move" | "no_trunk":
        ("このホストは動いているマシンの受け渡しに対応していません。", "受け渡しの設定がありません: {message}",
         "管理者がエージェントの設定（hva.libvirt.migration_uri）を確かめてください。"),
        ("This host cannot hand over running machines.", "It is not configured for it: {message}",
         "An operator should look at the agent's configuration (hva.libvirt.migration_uri).");
    "schedule_earlier_run":
        ("前の回がまだ終わっていないため、この回は行いませんでした。", "{made} の作成が続いています。",
         "次の回にまた行います。繰り返す場合は間隔を広げるか、{made} の進み具合を確かめてください。"),
        ("Nothing was made: an earlier run had not ended.", "{made} was still being made.",
         "It is tried at the next time. If this goes on, choose a longer interval or look at how far {made} is.");
    "schedule_account_disabled":
        ("アカウントが停止されているため、この回は行いませんでした。", "アカウント {account} は使えません。",
         "管理者がアカウントを使えるようにすれば、次の回から行います。"),
        ("Nothing was made: the account is disabled.", "Account {account} may not be used.",
         "When an operator enables the account, it goes on with the next time.");
    "schedule_made_deleted":
        ("完成する前に削除されました。", "{made} は作成中に削除が依頼されました。", "次の回にまた行います。"),
        ("It was deleted before it was whole.", "Deletion of {made} was asked for while it was being made.",
         "It is made again at the next time.");
    "held_epoch":
        ("エージェントが破壊的な操作を保留しています。", "データベースが以前より古い状態に戻っています: {message}",
         "管理者が復元したデータベースでよいことを確認してください。"),
        ("The agent holds back what may destroy something.", "The database is older than one it has met: {message}",
         "An operator should confirm that the restored database is the right one.");
};
