//! Every message of the command itself, in Japanese and English. What the API says comes in the right language already.
//!
//! Rule: no text for people stands anywhere else in this crate but in help texts; tests hold both languages complete.

use arame_schema::api::{Language, catalogue};
use std::collections::BTreeMap;

macro_rules! messages {
    ($($name:ident: $ja:literal, $en:literal;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Message { $($name),* }

        impl Message {
            #[cfg(test)]
            const ALL: &'static [Message] = &[$(Message::$name),*];

            fn texts(self) -> (&'static str, &'static str) {
                match self { $(Message::$name => ($ja, $en)),* }
            }
        }
    };
}

messages! {
    // Errors
    Error: "エラー", "error";
    Cause: "原因", "cause";
    NextStep: "対処", "next step";
    RequestId: "要求番号", "request";
    Unreachable: "API（{url}）に接続できません。", "The API at {url} cannot be reached.";
    UnreachableNext: "arame up でデータセンターを起動するか、--url で正しい URL を指定してください。", "Start a data center with arame up, or name the right URL with --url.";
    BadAnswer: "API（{url}）の答えを読み取れません。", "The answer of {url} cannot be read.";
    BadAnswerNext: "URL が Arame の API かどうか、arame と dcmgr の版が同じかどうかを確かめてください。", "See whether the URL is an Arame API, and whether arame and dcmgr have the same version.";
    NoToken: "トークンがありません（{path}）。", "There is no token ({path}).";
    NoTokenNext: "arame login でログインするか、arame up を実行したフォルダーで実行するか、--dir または --token-file を指定してください。", "Log in with arame login, run it in the folder of arame up, or use --dir or --token-file.";
    ConsoleOpened: "インスタンス {id} のシリアルコンソールです。Ctrl-] で終了します。何も表示されないときは Enter を押してください。", "Serial console of {id}. Ctrl-] leaves it. Press Enter if nothing is shown.";
    ConsoleLeft: "\r\nコンソールを閉じました（{id}）", "\r\nthe console of {id} is closed";
    ConsoleEnded: "インスタンス {id} のコンソールが終わりました。", "The console of {id} has ended.";
    ConsoleEndedCause: "電源が切れたか、別のホストへ移ったか、ホストのエージェントが止まりました。", "The machine was switched off or moved to another host, or the agent of its host ended.";
    ConsoleEndedNext: "arame instance show {id} で状態を確かめ、arame console {id} で開き直してください。", "See arame instance show {id}, and open it again with arame console {id}.";
    ConsoleRevoked: "コンソールを開いた認証情報が無効になりました。", "The credential that opened the console lets in no more.";
    ConsoleRevokedCause: "トークンが取り消されたか、ログアウトしたか、権限が変わりました。", "The token was revoked, the session has ended, or its rights were changed.";
    ConsoleRevokedNext: "arame login でログインし直してください。", "Log in again with arame login.";
    ConsoleLost: "コンソールの接続が切れました。", "The connection to the console was lost.";
    ConsoleLostCause: "dcmgr が停止したか、ネットワークが切れました。ゲストは影響を受けません。", "dcmgr stopped, or the network failed. The guest is not affected.";
    ConsoleLostNext: "arame console {id} で開き直してください。", "Open it again with arame console {id}.";
    OpenToken: "トークンのファイル {path} は他人にも読めます。", "The token's file {path} can be read by others.";
    OpenTokenCause: "ファイルのモードは {mode} です（0600 が必要）。", "Its mode is {mode}; it must be 0600.";
    OpenTokenNext: "chmod 600 {path} を実行してください。", "Run chmod 600 {path}";
    UnknownName: "{kind}「{name}」は見つかりません。", "There is no {kind} `{name}`.";
    UnknownNameCause: "その ID または名前のものが一覧にありません。", "The list holds none with that id or name.";
    UnknownNameNext: "あるもの: {known}", "There are: {known}";
    AmbiguousName: "{kind}「{name}」は複数あります。", "More than one {kind} is called `{name}`.";
    AmbiguousNameCause: "同じ名前のもの: {known}", "Of that name: {known}";
    AmbiguousNameNext: "名前の代わりに ID を指定してください。", "Name it by its id.";
    NothingToChoose: "{kind} が一つもありません。", "There is no {kind}.";
    NothingToChooseCause: "このアカウントから見えるものがありません。", "This account sees none.";
    NothingToChooseNext: "管理者が登録してください（arame up はデモ用のものを用意します）。", "An operator should register one (arame up makes some for the demo).";
    BadSize: "サイズ「{value}」を読み取れません。", "The size `{value}` cannot be read.";
    BadSizeNext: "10M、1G、2T のように書いてください。", "Write it like 10M, 1G or 2T.";
    FileUnreadable: "ファイル {path} を読めません。", "The file {path} cannot be read.";
    FileUnwritable: "ファイル {path} に書けません。", "The file {path} cannot be written.";
    SecretOnce: "トークン {id} の秘密を {path} に保存しました（再表示はできません）", "the secret of {id} was written to {path}; it is not shown again";
    SecretShownOnce: "トークン {id} の秘密です（再表示はできません）:", "the secret of {id}; it is not shown again:";
    FileNext: "パスと権限を確かめてください。", "Check the path and its permissions.";
    NoSecret: "入力がありません。", "Nothing was entered.";
    NoSecretCause: "パスワードまたはトークンが空です。", "The password or token is empty.";
    NoSecretNext: "端末で入力するか、標準入力の 1 行目に書いてください。", "Type it at the terminal, or give it as the first line of standard input.";
    NoHome: "ログイン情報の保存先がわかりません。", "There is no place to keep the login.";
    NoHomeCause: "HOME も XDG_CONFIG_HOME も設定されていません。", "Neither HOME nor XDG_CONFIG_HOME is set.";
    NoHomeNext: "HOME を設定して、もう一度実行してください。", "Set HOME and run it again.";
    AskPassword: "パスワード", "password";
    AskNewPassword: "新しいパスワード", "new password";
    AskToken: "トークン", "token";
    LoggedIn: "ログイン情報を {path} に保存しました", "the login is kept in {path}";
    LoggedOut: "ログアウトしました", "logged out";
    NotLoggedIn: "ログインしていません", "nobody is logged in";
    SshMissing: "ssh を実行できません。", "ssh cannot be run.";
    SshMissingNext: "openssh-client をインストールしてください。", "Install openssh-client.";
    NoAddress: "インスタンス {name} にはまだアドレスがありません。", "Instance {name} has no address yet.";
    NoAddressCause: "ネットワークインターフェースがないか、準備中です。", "It has no network interface, or is still being made.";
    NoAddressNext: "arame instance show {name} で確かめてください。", "See arame instance show {name}";
    WaitFailed: "{id} は失敗しました（状態: {state}）。", "{id} failed (state: {state}).";
    RollbackFailed: "{id} を {snapshot} の内容に戻せませんでした。", "{id} could not be rolled back to {snapshot}.";
    WaitTimeout: "{id} は {seconds} 秒待っても {state} のままです。", "{id} is still {state} after {seconds} seconds.";
    WaitTimeoutNext: "arame jobs show {id} と arame audit で、何を待っているかを確かめてください。", "See with arame jobs show {id} and arame audit what it waits for.";
    NotMoved: "{id} は移動せず、ホスト {host} にあります。", "{id} was not moved: it is on host {host}.";
    NotMovedCause: "移動は取りやめられたか、できませんでした。", "The move was taken back or could not be done.";
    NotMovedNext: "arame instance timeline {id} で理由を確かめてください。", "See why with arame instance timeline {id}";
    NotDrained: "ホスト {host} にはまだ {count} 台のインスタンスがあります。", "{count} instances are still on host {host}.";
    NotDrainedCause: "移せないものがあります。止めたものはありません。", "Some could not be moved. None was stopped.";
    NotDrainedNext: "上の理由を解決してから、もう一度 arame host drain {host} を実行してください。", "Mend what is said above and run arame host drain {host} again.";
    BulkRefused: "{count} 件には実行できませんでした。", "{count} of them refused it.";
    BulkRefusedCause: "それぞれの理由は上の一覧にあります。ほかのものには実行しました。", "Why stands in the list above. The others were asked.";
    BulkRefusedNext: "理由を解決してから、もう一度実行してください。", "Mend it and run it again.";
    NotRoot: "root で実行する必要があります。", "This must be run as root.";
    NotRootCause: "/etc/arame の鍵とサービスは root のものです。", "Keys in /etc/arame and services are root's.";
    NotRootNext: "sudo を付けて、もう一度実行してください。", "Run it again with sudo.";
    AskInvitation: "招待（arame join-token create の行）", "invitation (the line of arame join-token create)";
    NoInvitation: "これは招待ではありません。", "This is no invitation.";
    NoInvitationCause: "hva.h3@dcm.example:9443/… の形の、完全な一行ではありません。", "It is not a whole line of the form hva.h3@dcm.example:9443/….";
    NoInvitationNext: "管理サーバーで arame join-token create が表示した行を、全部そのまま写してください。", "Copy the whole line that arame join-token create printed on the manager.";
    NoPackage: "パッケージ {package} がこの機械にありません。", "The package {package} is not on this machine.";
    NoPackageCause: "参加するエージェントのプログラムと設定ファイルが必要です。", "The program of the agent that is to join and its settings are needed.";
    NoPackageNext: "apt install ./{package}_*.deb を実行してから、もう一度実行してください。", "Run apt install ./{package}_*.deb, then this again.";
    JoinedAlready: "この機械はすでに {agent} です。", "This machine is {agent} already.";
    JoinedAlreadyCause: "{path} にその名前が書かれています。", "{path} says so.";
    JoinedAlreadyNext: "先に arame leave で外すか、手で書いたものであれば {path} の [common] を元に戻してください。", "Leave with arame leave first or, if somebody wrote it by hand, comment [common] in {path} out again.";
    Unsettable: "設定 {name} は書けません。", "The setting {name} cannot be written.";
    UnsettableCause: "その名前の設定の場所がないか、値がありません。", "There is no place of that name, or no value.";
    UnsettableNext: "--set hva.switch.trunk=eth1 のように書いてください。", "Write it like --set hva.switch.trunk=eth1.";
    SettingMissing: "設定 {name} が決まっていません。", "The setting {name} is not known.";
    SettingMissingCause: "ボリュームをどこに置くかは、この機械の管理者だけが知っています。", "Where volumes go only the operator of this machine knows.";
    SettingMissingNext: "--set sta.store=zfs --set sta.zfs_pool=tank/arame（または --set sta.store=file）を付けて、もう一度実行してください。招待はまだ有効です。", "Run it again with --set sta.store=zfs --set sta.zfs_pool=tank/arame (or --set sta.store=file). The invitation is still good.";
    JoinUnreached: "管理サーバー {manager} に接続できません。", "The manager {manager} cannot be reached.";
    JoinUnreachedNext: "名前解決と経路、管理サーバーの arame-dcmgr（[https]）を確かめて、もう一度実行してください。招待はまだ有効です。", "See whether its name and the way there are right and arame-dcmgr serves [https] there, then run it again. The invitation is still good.";
    LeaveUnreachedNext: "経路と、管理サーバーの arame-dcmgr（[https]）を確かめて、もう一度実行してください。何も変わっていません。", "See whether the way there is right and arame-dcmgr serves [https] there, then run it again. Nothing was changed.";
    JoinDistrusted: "{manager} を信用できないので、何も送りませんでした。", "{manager} is not believed, and nothing was said to it.";
    DistrustAuthority: "相手の証明書は、招待にある認証局のものではありません。別のデータセンターか、途中に誰かがいます。", "Its certificate is not of the authority in the invitation: it is another data center, or somebody is between.";
    DistrustAuthorityNext: "招待を写し直してください。管理サーバーの認証局を作り直したときは、新しい招待を作ってください。それ以外のときはネットワークを疑ってください。", "Copy the invitation again. If the manager's authority was made anew, make a new invitation. Otherwise suspect the network.";
    DistrustName: "相手の証明書は、この名前のものではありません。", "Its certificate is not for this name.";
    DistrustNameNext: "管理サーバーで arame-dcmgr certificate --name にこの名前を加えてください。", "Add this name on the manager: arame-dcmgr certificate --name.";
    DistrustTime: "相手の証明書は期限切れか、まだ有効ではありません。", "Its certificate has expired or is not valid yet.";
    DistrustTimeNext: "この機械の時計（date）を合わせてください。合っていれば、管理サーバーで arame-dcmgr renew を実行してください。", "Set this machine's clock (date). If it is right, run arame-dcmgr renew on the manager.";
    DistrustOther: "相手の証明書は使えないものです。", "Its certificate cannot be used.";
    AnotherCenter: "この機械は別のデータセンターの認証局を信用しています。", "This machine believes the authority of another data center.";
    AnotherCenterCause: "{path} は、この管理サーバーのものではありません。", "{path} is not this manager's.";
    AnotherCenterNext: "ほかのエージェントを arame leave で外すか、{path} を別の場所に移してから、もう一度実行してください。招待はまだ有効です。", "Let the other agents leave with arame leave, or move {path} away, then run this again. The invitation is still good.";
    JoinWritten: "設定を {path} に書きました", "settings are in {path}";
    JoinStarted: "{agent} を起動しました。参加を待っています", "{agent} is started; waiting for it to join";
    JoinDone: "{agent} は {node} として参加しました", "{agent} has joined as {node}";
    JoinEnded: "{agent} は登録されましたが、サービスが終了しました。", "{agent} is registered, but its service has ended.";
    JoinLate: "{agent} は登録されましたが、まだ参加していません。", "{agent} is registered, but has not joined yet.";
    JoinEndedNext: "systemctl status {unit} と journalctl -u {unit} を確かめ、設定を直してから、同じ招待でもう一度 arame join を実行してください。", "See systemctl status {unit} and journalctl -u {unit}, mend the settings, and run arame join with the same invitation again.";
    JoinServices: "サービスを操作できません。", "The service manager refused.";
    JoinServicesNext: "直してから、もう一度実行してください。途中までのことはやり直しになりません。", "Mend it and run this again: it goes on where it was.";
    LeaveWhich: "この機械には複数のエージェントがあります。", "This machine is several agents.";
    LeaveWhichCause: "あるもの: {known}", "There are: {known}";
    LeaveWhichNext: "arame leave hva.h3 のように、どれかを指定してください。", "Name one, like arame leave hva.h3.";
    NotJoined: "この機械に、arame join で参加したそのようなエージェントはありません。", "No such agent joined on this machine with arame join.";
    NotJoinedCause: "あるもの: {known}", "There are: {known}";
    NotJoinedNext: "手で設定したものは、管理サーバーの arame host delete（storage delete、naming delete）で外してください。", "Take one that was set up by hand out with arame host delete (storage delete, naming delete) on the manager.";
    Left: "{agent} はデータセンターから外れました。{data} のデータは残してあります", "{agent} is no part of the data center any more; the data in {data} is kept";
    Invitation: "招待 {id} です（{until} まで、一度だけ、再表示はできません）。新しい機械で root として次を実行してください:", "invitation {id}, good once until {until}, not shown again. Run on the new machine, as root:";
    JoinTokenOpen: "有効", "open";
    JoinTokenUsed: "使用済み", "used";
    JoinTokenExpired: "期限切れ", "expired";
    JoinTokenRevoked: "取り消し済み", "revoked";
    UsedAt: "使用日時", "USED";
    UsedFrom: "参加元", "FROM";
    Machine: "機械", "MACHINE";
    // Progress
    BulkAsked: "依頼しました", "asked";
    BulkMore: "まだ残っています。もう一度実行してください", "there are more: run it again";
    Waiting: "{id}: {state}（待機中）", "{id}: {state}";
    Done: "{id} は {state} になりました（{seconds} 秒）", "{id} is {state} after {seconds} s";
    ChoseNetwork: "ネットワーク {network} を使います（--network で変更できます）", "using network {network} (--network chooses another)";
    ChoseType: "インスタンスタイプ {name} を使います（--type で変更できます）", "using instance type {name} (--type chooses another)";
    ChoseGroup: "セキュリティグループ {group} を使います（--security-group で変更できます）", "using security group {group} (--security-group chooses another)";
    Accepted: "{id}: 受け付けました（--wait で完了まで待てます）", "{id}: accepted (--wait follows it to its end)";
    Moving: "{id}: ホスト {host} へ移動します", "{id}: moving to host {host}";
    ForecastTime: "約 {seconds} 秒（±{span} 秒）", "{seconds} s ± {span}";
    ForecastLeast: "{seconds} 秒以上", "{seconds} s or more";
    ForecastNever: "終わりません", "it would not end";
    ForecastUnknown: "不明", "not known";
    ForecastWithout: "うち {count} 台は時間が分からず、合計に含みません", "{count} of them without a time: not in the sum";
    InAll: "合計", "in all";
    NotRunning: "{state} です（動いているものだけを移せます）", "it is {state}; only running ones are moved";
    NoHostTakes: "受け入れられるホストがありません", "no other host takes it";
    WouldBeLost: "まだ何もしていません。ホスト {host} の電源を必ず切ってから、arame host declare-lost {host} --confirm {host} を実行してください。動いたままのホストのマシンは、ボリュームを断たれても動き続けます。", "Nothing was done. Make sure that the power of {host} is cut, then run arame host declare-lost {host} --confirm {host}. A host that still runs goes on running its machines, cut off from their volumes.";
    DeclaredLost: "ホスト {host} を失われたものと宣言しました。ボリュームは断たれたことが確かめられしだい空きます（arame volume list）。", "Host {host} is declared lost. Its volumes are free as soon as it is proved that they are cut off (arame volume list).";
    FateLost: "停止します。ディスクはこのホストにあります（ホストが戻れば見つかります）", "off: its disk is on this host, and is found again if that comes back";
    FatePlacedAgain: "一度も動いていないので、ボリュームを断ってから別のホストで作り直します", "never ran: made anew on another host, after its volumes are cut off";
    FateStays: "移動先または移動元のホストにあり、そのまま動き続けます", "is whole on the other host of its move, and stays there";
    FateUndecided: "移動の相手のホストも応答しません。それが戻るか、失われたと宣言されたときに決まります", "the other host of its move is silent too: decided when that is heard, or declared lost";
    FateEnded: "削除を終えます", "its deletion ends";
    VolumeFreed: "断ったことを確かめてから、切り離します", "detached, when it is proved that it is cut off";
    VolumeFollows: "断ったことを確かめてから、インスタンスとともに別のホストへ移ります", "goes with its instance, when it is proved that it is cut off";
    Drained: "ホスト {host} にはインスタンスがありません", "no instance is on host {host}";
    Uploading: "{name} を送信しています", "sending {name}";
    FormatNeeded: "イメージの形式が分かりません: {name}", "The format of the image is not known: {name}";
    FormatNeededCause: "名前の末尾が .qcow2 でも .raw でもありません。", "Its name ends neither in .qcow2 nor in .raw.";
    FormatNeededNext: "--format raw または --format qcow2 を付けてください。", "Say --format raw or --format qcow2.";
    Deleted: "{id} を削除しました", "{id} was deleted";
    PrivateKeyOnce: "秘密鍵を {path} に保存しました（再表示はできません）", "the private key was written to {path}; it is not shown again";
    Decided: "{id} を処理しました", "{id}: done";
    NoFindings: "問題は見つかりませんでした。", "Nothing was found.";
    None_: "ありません。", "None.";
    Fits: "ホスト {host} に置けます。", "It fits on host {host}.";
    DoesNotFit: "置けるホストがありません。", "No host fits.";
    // Words of kinds
    KindInstance: "インスタンス", "instance";
    KindImage: "イメージ", "image";
    KindVolume: "ボリューム", "volume";
    KindSnapshot: "スナップショット", "snapshot";
    KindNetwork: "ネットワーク", "network";
    KindGroup: "セキュリティグループ", "security group";
    KindKey: "SSH 鍵", "SSH key";
    KindHost: "ホスト", "host";
    KindStorage: "ストレージノード", "storage node";
    KindType: "インスタンスタイプ", "instance type";
    // Headings
    Id: "識別子", "ID";
    Name: "名前", "NAME";
    State: "状態", "STATE";
    Address: "アドレス", "ADDRESS";
    Host: "ホスト", "HOST";
    Image: "イメージ", "IMAGE";
    Type: "タイプ", "TYPE";
    Created: "作成日時", "CREATED";
    Size: "サイズ", "SIZE";
    Instance: "インスタンス", "INSTANCE";
    Volume: "ボリューム", "VOLUME";
    Rollback: "巻き戻し", "ROLLBACK";
    Device: "デバイス", "DEVICE";
    Subnet: "サブネット", "SUBNET";
    Gateway: "ゲートウェイ", "GATEWAY";
    Vlan: "VLAN タグ", "VLAN";
    Domain: "ドメイン", "DOMAIN";
    Used: "使用中", "USED";
    Range: "配布範囲", "RANGE";
    Format: "形式", "FORMAT";
    Public: "公開", "PUBLIC";
    Agent: "エージェント", "AGENT";
    Driver: "方式", "DRIVER";
    Cpu: "CPU 使用", "CPU";
    CpuAllocation: "CPU の約束", "CPU PROMISED";
    Forecast: "見込み時間", "EXPECTED";
    Pause: "停止時間", "PAUSE";
    Changes: "メモリーの変化", "CHANGES";
    LinkRate: "経路の速さ", "LINK";
    MeasuredAt: "計測時刻", "MEASURED";
    Memory: "メモリー", "MEMORY";
    MemoryKept: "予約メモリー", "MEMORY KEPT";
    DiskKept: "予約ディスク", "DISK KEPT";
    PlacementGroup: "配置グループ", "PLACED WITH";
    NodeGroup: "ホストグループ", "HOST GROUP";
    Disk: "ディスク", "DISK";
    Scheduling: "新規配置", "SCHEDULING";
    Degraded: "不調", "DEGRADED";
    Kind: "種類", "KIND";
    Count: "個数", "COUNT";
    VolumesGo: "一緒に削除されるボリューム", "DELETED WITH IT";
    CpuSeconds: "CPU コア秒", "CPU CORE SECONDS";
    MemorySeconds: "メモリー GB 秒", "MEMORY GB SECONDS";
    DiskSeconds: "ディスク GB 秒", "DISK GB SECONDS";
    Thing: "対象", "THING";
    Attempt: "試行", "ATTEMPT";
    Error_: "誤り", "ERROR";
    Since: "検出", "SINCE";
    What: "内容", "WHAT";
    WhatFollows: "対応", "WHAT FOLLOWS";
    LastSeen: "最後の連絡", "LAST HEARD";
    Rules: "規則", "RULES";
    Fingerprint: "指紋", "FINGERPRINT";
    At: "日時", "AT";
    Role: "役割", "ROLE";
    Token: "トークン", "TOKEN";
    User: "利用者", "USER";
    Quota: "割り当て", "QUOTA";
    Then: "実行後", "THEN";
    Limit: "上限", "LIMIT";
    Memberships: "所属と役割", "MEMBERSHIPS";
    Expires: "有効期限", "EXPIRES";
    LastUsed: "最終使用", "LAST USED";
    Enabled: "有効", "ENABLED";
    QuotaInstances: "インスタンス上限", "INSTANCES MAX";
    QuotaVolumes: "ボリューム上限", "VOLUMES MAX";
    Event: "出来事", "EVENT";
    After: "経過", "AFTER";
    Rule: "条件", "RULE";
    Needed: "必要", "NEEDED";
    Had: "実際", "HAD";
    Verdict: "判定", "VERDICT";
    Yes: "はい", "yes";
    No: "いいえ", "no";
    Account: "アカウント", "ACCOUNT";
    Hypervisor: "ハイパーバイザー", "HYPERVISOR";
    Hostname: "ホスト名", "HOSTNAME";
    Mac: "MAC アドレス", "MAC";
    DnsName: "DNS 名", "DNS NAME";
    Volumes: "接続ボリューム", "VOLUMES";
    Key: "SSH 鍵", "SSH KEY";
    Failure: "失敗の理由", "FAILURE";
    Description: "説明", "DESCRIPTION";
    Interface: "インターフェース", "INTERFACE";
    Services: "サービス", "SERVICES";
    NamingServices: "ネーミングサービス", "NAMING SERVICES";
    Groups: "セキュリティグループ", "SECURITY GROUPS";
    Network: "ネットワーク", "NETWORK";
    Modes: "方式", "MODES";
    TakesNetworks: "新規ネットワーク", "NEW NETWORKS";
    VlanFirst: "VLAN タグ先頭", "VLAN FIRST";
    VlanLast: "VLAN タグ末尾", "VLAN LAST";
    Members: "構成員", "MEMBERS";
    Place: "場所", "PLACE";
    Networks: "ネットワーク", "NETWORKS";
    DcNetworks: "DC ネットワーク", "DC NETWORKS";
    Value: "値", "VALUE";
    Ttl: "TTL（秒）", "TTL";
    Version: "版", "VERSION";
    Silence: "応答なし", "silence";
    PartInstance: "インスタンス", "machine";
    PartHost: "ホスト", "host";
    PartDisk: "ゲストのディスク", "disk in the guest";
    PartAttachment: "接続", "attachment";
    PartSession: "セッション", "session";
    PartTarget: "ターゲット", "target";
    PartVolume: "ボリューム", "volume";
    PartPool: "プール", "pool";
    PartStorageNode: "ストレージノード", "storage node";
    KeptOnly: "（保存されていたもの）", "(as it was kept)";
    AgeSeconds: "最後に確かめてから（秒）", "seconds since it could hear of a newer one";
    Strangers: "知らない MAC アドレス", "UNKNOWN MACS";
    JoinKey: "参加鍵", "JOIN KEY";
    Seconds: "秒", "SECONDS";
    Result: "結果", "RESULT";
    Age: "経過", "AGE";
    CpuTime: "CPU 時間", "CPU TIME";
    MemoryGiven: "実メモリー", "RESIDENT";
    MemoryUsed: "ゲストの使用メモリー", "USED BY THE GUEST";
    ReadBytes: "読み込み", "READ";
    WrittenBytes: "書き込み", "WRITTEN";
    Reads: "読み込み回数", "READS";
    Writes: "書き込み回数", "WRITES";
    ReceivedBytes: "受信", "RECEIVED";
    SentBytes: "送信", "SENT";
    ReceivedPackets: "受信パケット", "PACKETS IN";
    SentPackets: "送信パケット", "PACKETS OUT";
    Drops: "破棄（受信/送信）", "DROPPED IN/OUT";
    Ago: "前", "AGO";
    NothingRead: "まだ何も測られていません。電源が切れているか、起動したばかりです。", "Nothing was measured yet: it is off, or has just begun.";
    OldFigures: "値は {age} 前のものです。電源が切れているか、ホストのハイパーバイザーが応答していません。", "These are from {age} ago: it is off, or its host's hypervisor does not answer.";
    Load: "負荷", "LOAD";
    NothingReadOfNode: "まだ何も測られていません。エージェントが起動したばかりです。", "Nothing was measured yet: its agent has just begun.";
    OldFiguresOfNode: "値は {age} 前のものです。この機器のディスクが応答していません。", "These are from {age} ago: a disk of the machine does not answer.";
    RestartPolicy: "異常終了時", "WHEN IT DIES";
    Schedule: "スケジュール", "schedule";
    Makes: "作るもの", "MAKES";
    When: "時期", "WHEN";
    Keeps: "残す数", "KEEPS";
    Kept: "現在の数", "THERE";
    NextRun: "次回", "NEXT RUN";
    LastResult: "結果", "RESULT";
    ScheduledFor: "予定", "SCHEDULED FOR";
    Made: "作られたもの", "MADE";
    Missed: "逃した回", "MISSED";
    Hourly: "毎時", "hourly";
    Daily: "毎日", "daily";
    Weekly: "毎週", "weekly";
    EveryWeekday: "毎週{weekday}", "{weekday}s";
    Monday: "月曜日", "Monday";
    Tuesday: "火曜日", "Tuesday";
    Wednesday: "水曜日", "Wednesday";
    Thursday: "木曜日", "Thursday";
    Friday: "金曜日", "Friday";
    Saturday: "土曜日", "Saturday";
    Sunday: "日曜日", "Sunday";
    KeepLast: "直近 {n} 個", "the last {n}";
    KeepHourly: "{n} 時間分", "{n} hourly";
    KeepDaily: "{n} 日分", "{n} daily";
    KeepWeekly: "{n} 週分", "{n} weekly";
    KeepMonthly: "{n} か月分", "{n} monthly";
    MakesSnapshot: "スナップショット", "snapshots";
    MakesBackup: "バックアップ", "backups";
    RunMaking: "作成中", "being made";
    RunWhole: "成功", "made";
    RunFailed: "失敗", "failed";
    RunRefused: "実行されず", "not made";
    RunSkipped: "見送り", "skipped";
    RunEnded: "途中で削除", "deleted before it was whole";
    BecauseLast: "直近", "last";
    BecauseHourly: "1 時間に 1 つ", "hourly";
    BecauseDaily: "1 日に 1 つ", "daily";
    BecauseWeekly: "1 週間に 1 つ", "weekly";
    BecauseMonthly: "1 か月に 1 つ", "monthly";
    BecauseAll: "すべて残す", "all are kept";
    BecauseMarked: "保護されている", "marked to be kept";
    BecauseMaking: "作成中", "being made";
    BecauseLost: "失われている", "lost";
    BecauseFailure: "最後の失敗", "the last that failed";
    All: "すべて", "all";
    Off: "停止中", "off";
    MarkedKept: "保護", "MARKED";
    OfSchedule: "スケジュール", "SCHEDULE";
    FromSnapshot: "元のスナップショット", "FROM SNAPSHOT";
    FromReplica: "元の複製", "FROM REPLICA";
    OnStorageNode: "ストレージノード", "STORAGE NODE";
    OfSnapshot: "スナップショット", "SNAPSHOT";
    WouldKeep: "残るもの", "WOULD KEEP";
    WouldDelete: "削除されるもの", "WOULD DELETE";
    WouldDeleteLater: "使用後に削除されるもの", "WOULD DELETE LATER";
    // Labels and seeds
    NoLabels: "{id} にはラベルを付けられません。", "{id} cannot have labels.";
    NoLabelsCause: "ラベルはインスタンス、イメージ、セキュリティグループ、SSH 鍵に付けます。", "Labels are for instances, images, security groups and SSH keys.";
    NoLabelsNext: "i-、wmi-、sg-、ssh- で始まる ID を指定してください。", "Name an id that begins with i-, wmi-, sg- or ssh-.";
    SeedCreated: "作成", "created";
    SeedChanged: "変更", "changed";
    SeedUnchanged: "変更なし", "unchanged";
    SeedFixed: "{id} の {field} は変更できません。", "{field} of {id} cannot be changed.";
    SeedFixedCause: "今は「{had}」で、ファイルには「{wanted}」とあります。", "It is `{had}` and the file says `{wanted}`.";
    SeedFixedNext: "ファイルを今の値に合わせるか、別の ID で新しく作ってください。", "Make the file say what is there, or declare a new one with another id.";
    SeedFormNext: "例は cli/seed.example.toml にあります。", "An example is in cli/seed.example.toml.";
}

/// The message in one language.
pub fn word(language: Language, message: Message) -> &'static str {
    let (ja, en) = message.texts();
    match language {
        Language::Ja => ja,
        Language::En => en,
    }
}

/// The message with its places filled.
pub fn say(language: Language, message: Message, values: &[(&str, &str)]) -> String {
    let values: BTreeMap<&str, &str> = values.iter().copied().collect();
    catalogue::fill(word(language, message), &values)
}

/// The language of the environment: LC_ALL, then LC_MESSAGES, then LANG (POSIX.1-2017, 8.2).
pub fn language_of(environment: impl Fn(&str) -> Option<String>) -> Language {
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .into_iter()
        .find_map(|name| environment(name).filter(|value| !value.is_empty()));
    Language::from_locale(&locale.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn places(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
    }

    fn is_japanese(text: &str) -> bool {
        text.chars().any(|c| matches!(c, '\u{3040}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}'))
    }

    #[test]
    fn every_message_stands_in_both_languages_with_the_same_values() {
        for message in Message::ALL {
            let (ja, en) = message.texts();
            assert!(!en.is_empty() && !is_japanese(en), "{message:?}: {en}");
            let only_latin = matches!(message, Message::Vlan);
            assert!(is_japanese(ja) || only_latin, "{message:?}: {ja}");
            assert_eq!(places(ja), places(en), "{message:?}");
        }
    }

    #[test]
    fn the_first_locale_that_is_set_decides() {
        let of = |pairs: &'static [(&str, &str)]| {
            language_of(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string()))
        };
        assert_eq!(of(&[("LANG", "ja_JP.UTF-8")]), Language::Ja);
        assert_eq!(of(&[("LC_ALL", "C"), ("LANG", "ja_JP.UTF-8")]), Language::En);
        assert_eq!(of(&[("LC_ALL", ""), ("LANG", "ja_JP.UTF-8")]), Language::Ja);
        assert_eq!(of(&[]), Language::En);
    }
}
