//! Why a naming service answers a machine or does not, in words.
//!
//! Rule: what is, by the service's own look. A code that is not here is shown as it is.

use super::Sentence;

/// The sentence of a reason's code.
pub fn silence(code: &str) -> Option<&'static Sentence> {
    ALL.iter().find(|entry| entry.code == code)
}

pub static ALL: &[Sentence] = sentences! {
    "answered": "{name}（{mac}）に {address} を渡しています", "{name} ({mac}) is given {address}";
    "never_heard": "{name}（{mac}）には {address} を渡しますが、まだ何も聞いていません。ポートとタグ、ゲストの DHCP クライアントを確かめてください", "{name} ({mac}) would be given {address}, but nothing was heard from it: look at its port and tag, and at the guest's DHCP client";
    "named": "{name} には DNS で応答しています", "{name} is answered by DNS";
    "unknown_name": "{name} という名前はこのネットワークにありません", "there is no name {name} in this network";
    "unknown_mac": "{mac} はこのネットワークのインターフェースではないので、応答しません", "{mac} is not an interface of this network, so it is not answered";
    "other_network": "{mac} はネットワーク {network} のインターフェースで、このネットワークでは応答しません", "{mac} is an interface of network {network}, so it is not answered in this one";
    "link_down": "ネットワークへの接続がないので、誰にも応答できません: {reason}", "the link into the network is down, so nobody is answered: {reason}";
    "dhcp_off": "このネットワークの DHCP は止めてあります", "DHCP is switched off in this network";
    "not_served": "このネームサービスはこのネットワークを担当していません", "this naming service does not serve this network";
    "no_answer": "ネームサービスから返事がありません: {message}", "the naming service does not answer: {message}";
    "malformed": "DHCP のメッセージとして読めません: {reason}", "it cannot be read as a DHCP message: {reason}";
    "not_a_client": "イーサネットのクライアントからの要求ではありません", "it is not a request of a client on an Ethernet";
    "other_server": "クライアントは別のサーバー {server} を選びました", "the client chose another server, {server}";
    "no_address": "要求にアドレスがありません", "the request names no address";
    "unconfirmed": "クライアントは {asked}、記録は {known} ですが、記録は保存されていたものでまだ確かめられていないので、拒否しません", "the client has {asked} and the records say {known}, but the records are those kept on disk and not yet confirmed, so it is not refused";
    "foreign_relay": "リレー {relay} はこのネットワークにありません", "the relay {relay} is not in this network";
    "too_many": "この MAC アドレスからのメッセージが多すぎます", "there are too many messages from this MAC";
    "released": "クライアントはアドレスを返しました。アドレスは引き続き予約されています", "the client gave its address back; it stays reserved for it";
    "declined": "クライアントは、{address} を別の機器が使っていることを見つけました", "the client found {address} in use by another machine";
    "not_for_servers": "サーバーへのメッセージではありません（{type}）", "messages of type {type} are not for servers";
    "wrong_address": "{asked} はこのインターフェースのアドレスではありません（{known} です）", "{asked} is not the address of this interface, {known} is";
};
