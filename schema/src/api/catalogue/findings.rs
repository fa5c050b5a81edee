//! Findings of the audit and what is done about them, in words.
//!
//! Rule: no wildcard; the places are `{thing}`, `{agent}`, `{owner}`, `{mac}` and `{reason}` (of the detail), which the view fills.

use super::Sentence;
use crate::api::{FindingKind, FindingRule};

pub fn finding_kind(kind: FindingKind) -> Sentence {
    let (ja, en) = match kind {
        FindingKind::Unknown => (
            "{agent} に {thing} がありますが、対応する記録がありません（持ち主: {owner}）。",
            "{thing} exists at {agent} and no row knows it (owner: {owner}).",
        ),
        FindingKind::Missing => (
            "{agent} にあるはずの {thing} がありません（持ち主: {owner}）。",
            "{thing} should exist at {agent} and does not (owner: {owner}).",
        ),
        FindingKind::Lost => (
            "{agent} にあったデータ {thing} が見つかりません（持ち主: {owner}）。",
            "{thing} held data at {agent} and is not found any more (owner: {owner}).",
        ),
        FindingKind::Mismatch => (
            "{agent} の {thing} が記録と異なります（持ち主: {owner}）。",
            "{thing} at {agent} is not as its row says (owner: {owner}).",
        ),
        FindingKind::AgentSilent => ("エージェント {agent} から連絡がありません。", "Agent {agent} is silent."),
        FindingKind::ListingIncomplete => (
            "{agent} の一覧が届いていないか不完全なため、何がないのか判断できません（{reason}）。",
            "The listing of {agent} is old or not complete, so what is missing is not known ({reason}).",
        ),
        FindingKind::DeadMessage => (
            "{agent} のメッセージ {thing} は、何度配送しても処理されなかったため取り除かれました。",
            "Message {thing} of {agent} was delivered too often, taken in by nobody, and put aside.",
        ),
        FindingKind::MemoryLoss => (
            "データベースがエージェントの見たものより古くなっています（{reason}）。",
            "The database is older than what the agents have seen ({reason}).",
        ),
        FindingKind::AnotherMachine => (
            "参加時とは別のマシン、または再インストールされたマシンが {agent} を名乗っています。参加を断っています。",
            "A machine that is not the one that joined, or that was reinstalled, asks to be {agent}. It is refused.",
        ),
        FindingKind::AddressInUse => (
            "{mac} は、割り当てられたアドレス {thing} を別の機器が使っていることを見つけました（{agent} が聞きました）。",
            "{mac} found its address {thing} in use by another machine ({agent} heard it).",
        ),
    };
    Sentence { code: kind.as_str(), ja, en }
}

pub fn finding_rule(rule: FindingRule) -> Sentence {
    let (ja, en) = match rule {
        FindingRule::Removed => {
            ("記録では削除済みなので、自動で取り除きます。", "Its row says deleted: it is removed by itself.")
        }
        FindingRule::PlannedAgain => ("自動で作り直します。", "It is made again by itself."),
        FindingRule::OperatorDecides => (
            "データを含むため自動では処理しません。arame audit adopt または remove で決めてください。",
            "It may hold data, so nothing is done by itself. Decide with arame audit adopt or remove.",
        ),
        FindingRule::OwnerDeletes => (
            "失われたものや失敗したものが自動で作り直されることはありません。理由を確かめ、不要になったら {owner} を削除してください。",
            "What is lost or failed is never made again by itself. Look why, and delete {owner} when it is not needed any more.",
        ),
        FindingRule::NeverTouched => (
            "このデータセンターのものではないため、触れません。",
            "It does not belong to this data center: it is never touched.",
        ),
        FindingRule::Waiting => (
            "エージェントの連絡が戻れば自動で解消します。戻らない場合はノードとログを確認してください。",
            "It settles when the agent is heard again. If it is not, look at the node and its log.",
        ),
        FindingRule::Held => (
            "動いているものはそのままで、仕事は保留されています。不明なものを arame audit adopt または remove で決めてから、arame audit confirm で再開してください。",
            "What runs goes on and jobs are held. Decide about what is unknown with arame audit adopt or remove, then go on with arame audit confirm.",
        ),
        FindingRule::ToldAgain => (
            "失われたものはありません。仕事は再び知らされ、エージェントは見たものを報告し直します。処理できなかった理由は受け手のログにあります。一日後に表示されなくなります。",
            "Nothing is lost: jobs are rung again, and agents tell again what they see. Why it could not be taken in is in its receiver's log. It is shown for a day.",
        ),
        FindingRule::MachineOrNewHost => (
            "新しいホストとして別の ID で参加させてください。元のマシンが二度と戻らない場合に限り、arame audit adopt {agent} で後継にできます。新しいマシンにないデータは失われたものとして扱われます。",
            "Join it as a new host with an id of its own. Only when the former machine never comes back: arame audit adopt {agent} lets it take the place, and data that it does not have counts as lost.",
        ),
        FindingRule::FindTheOther => (
            "アドレスは {mac} のものとして残ります。同じセグメントで勝手にこのアドレスを使っている機器を探して止めてください（そこから arping で MAC が分かります）。訴えがなくなれば 10 分で消えます。",
            "The address stays that of {mac}. Find the machine on the segment that took it by itself and stop it (arping from there tells its MAC). The finding goes ten minutes after the last complaint.",
        ),
    };
    Sentence { code: rule.as_str(), ja, en }
}
