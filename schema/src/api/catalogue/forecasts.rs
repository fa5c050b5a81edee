//! Why a move of a running machine would not end, or why that is not known, in words, with what to do about it.
//!
//! Rule: figures come as texts with their unit. A code that is not here is one of a newer version.

use super::Sentence;

/// The sentence of a reason's code, and the next step.
pub fn forecast(code: &str) -> (&'static Sentence, &'static Sentence) {
    ALL.chunks_exact(2).find(|pair| pair[0].code == code).map_or((&ALL[0], &ALL[1]), |pair| (&pair[0], &pair[1]))
}

macro_rules! reasons {
    ($($code:literal: $ja:literal, $en:literal => $ja_next:literal, $en_next:literal;)*) => {
        &[$(
            Sentence { code: $code, ja: $ja, en: $en },
            Sentence { code: concat!($code, " next step"), ja: $ja_next, en: $en_next },
        )*]
    };
}

/// By two: what is, then what to do.
pub static ALL: &[Sentence] = reasons! {
    "no_answer": "移動の見通しを計測できません: {message}", "the forecast could not be measured: {message}"
        => "見通しなしでも移動できます。もう一度試すか、ホスト {host} のエージェントを確かめてください。", "It can be moved without a forecast. Try again, or look at the agent of host {host}.";
    "will_not_converge": "終わりません: メモリーが毎秒 {dirty} 変わるのに、経路は毎秒 {link} しか運べません", "it will not converge: it changes {dirty} of its memory in a second, the link carries {link}"
        => "電源を切るか、ゲストの負荷が下がってから移動してください（始めても 15 分で取りやめられ、マシンは動き続けます）。", "Stop it first, or move it when its guest does less (begun now it is given up after 15 minutes, and the machine goes on).";
    "disk_will_not_converge": "終わりません: ディスクに毎秒 {written} 書き込まれるのに、経路は毎秒 {link} しか運べません", "it will not converge: {written} a second are written to its disk, the link carries {link}"
        => "電源を切るか、ゲストの書き込みが減ってから移動してください（始めても 15 分で取りやめられ、マシンは動き続けます）。", "Stop it first, or move it when its guest writes less (begun now it is given up after 15 minutes, and the machine goes on).";
    "too_long": "約 {seconds} 秒かかりますが、移動は {limit} 秒で取りやめられます", "it would take about {seconds} s, and a move is given up after {limit} s"
        => "速い経路のあるホストを選ぶか、電源を切ってください。", "Choose a host with a faster link, or stop it first.";
    "may_not_converge": "終わらないかもしれません: 毎秒変わる {dirty} は、{pause} ms の停止の間には送りきれません", "it may not converge: the {dirty} that it changes in a second do not go over within the pause of {pause} ms"
        => "負荷の低いときに移動してください。終わらなければ 15 分で取りやめられ、マシンは元のホストで動き続けます。", "Move it when it does less. Should it not end, it is given up after 15 minutes and the machine goes on where it is.";
    "measuring": "計測中です", "it is being measured"
        => "数秒後にもう一度確かめてください。", "Ask again in a few seconds.";
    "host_silent": "ホスト {host} から {since} 以降、連絡がないため計測できません", "host {host} has been silent since {since}, so nothing can be measured"
        => "ホスト {host} のエージェントを確かめてください。連絡が戻るまで、マシンは移動できません。", "Look at the agent of host {host}: until it is heard the machine cannot be moved.";
    "agent_too_old": "ホスト {host} のエージェントは古く、移動の見通しを計測できません", "the agent of host {host} is of an earlier version and cannot measure for a forecast"
        => "見通しなしでも移動できます。エージェントを更新すれば計測できます。", "It can be moved without a forecast. Update that agent to have one.";
    "not_running": "ホスト {host} でマシンが稼働していないため計測できません", "its guest does not run on host {host}, so nothing can be measured"
        => "稼働してからもう一度確かめてください。", "Ask again when it runs.";
    "no_link": "ホスト {host} への経路を計測できません: {message}", "the link to host {host} could not be measured: {message}"
        => "数秒後にもう一度確かめてください。見通しなしでも移動できます。", "Ask again in a few seconds. It can be moved without a forecast.";
    "link_unreachable": "ホスト {host} への経路がつながりません: {message}", "host {host} could not be reached by the link: {message}"
        => "ホストの間のファイアウォールで、移動に使うポート（TCP 49152〜49215）が開いているかを確かめてください。", "See that the ports of migrations (TCP 49152 to 49215) are open between the hosts.";
    "measure_failed": "ハイパーバイザーが計測できませんでした: {message}", "the hypervisor could not measure it: {message}"
        => "数秒後にもう一度確かめてください。見通しなしでも移動できます。", "Ask again in a few seconds. It can be moved without a forecast.";
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_words() {
        for pair in ALL.chunks_exact(2) {
            assert_eq!(forecast(pair[0].code).0.code, pair[0].code);
            assert_eq!(forecast(pair[0].code).1.code, pair[1].code);
        }
        assert_eq!(forecast("of_a_newer_version").0.code, "no_answer");
    }
}
