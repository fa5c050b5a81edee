//! `/`: a small page for a person with a browser, in Japanese or English, without a script.
//!
//! Rule: it shows what the API shows to the same credential and nothing else, every value escaped. It changes nothing:
//! the console is another program.

use super::Http;
use super::answer::{Answer, Refused};
use super::app;
use super::asked::Asked;
use arame_schema::api::{Code, Finding, HostNode, Instance, Language, ListFilter, Role, StorageNode};
use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::fmt::Write;

/// Seconds after which a browser asks again.
const REFRESH_SECONDS: u32 = 10;

pub fn routes() -> Router<Http> {
    Router::new().route("/", get(page))
}

/// Asks for the password (a token) where the API would only refuse.
async fn page(asked: Result<Asked, Refused>) -> Response {
    match asked {
        Ok(asked) => match render(&asked).await {
            Ok(html) => {
                let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
                let kind = HeaderValue::from_static("text/html; charset=utf-8");
                ([(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, policy)], html).into_response()
            }
            Err(refused) => refused.into_response(),
        },
        Err(refused) => {
            let unknown = refused.0.code == Code::Unauthenticated;
            let mut response = refused.into_response();
            if unknown {
                let challenge = HeaderValue::from_static("Basic realm=\"arame\", charset=\"UTF-8\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            }
            response
        }
    }
}

/// What the page shows.
struct Shown {
    instances: Vec<Instance>,
    hosts: Vec<HostNode>,
    storage: Vec<StorageNode>,
    findings: Vec<Finding>,
    /// Whether this role sees the data center's inside.
    inside: bool,
    well: (bool, bool),
}

async fn render(asked: &Asked) -> Result<String, Refused> {
    let (app, caller) = (asked.app(), &asked.caller);
    let inside = caller.role != Role::Member;
    let language = asked.frame().language;
    let mut shown = Shown {
        instances: app::instances::list(app, caller, ListFilter::default()).await?.results,
        hosts: Vec::new(),
        storage: Vec::new(),
        findings: Vec::new(),
        inside,
        well: {
            let health = app.health().await;
            (health.database, health.broker)
        },
    };
    if inside {
        shown.hosts = app::nodes::hosts(app, caller, ListFilter::default()).await?.results;
        shown.storage = app::nodes::storage(app, caller, ListFilter::default()).await?.results;
        let findings: Answer<Vec<Finding>> = asked.answer(app::audit::findings(app, caller, false).await?);
        shown.findings = findings?.0;
    }
    Ok(html(&shown, language))
}

fn html(shown: &Shown, language: Language) -> String {
    let word = |ja: &'static str, en: &'static str| if language == Language::Ja { ja } else { en };
    let mut page = String::with_capacity(8 * 1024);
    let _ = write!(
        page,
        "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\"><title>Arame</title>\
         <meta http-equiv=\"refresh\" content=\"{REFRESH_SECONDS}\"><style>{STYLE}</style></head><body><h1>Arame</h1>",
        language.as_str()
    );
    let state = |well: bool| if well { word("正常", "well") } else { word("不通", "not reachable") };
    let _ = write!(
        page,
        "<p>{}: {} · {}: {}</p>",
        word("データベース", "database"),
        state(shown.well.0),
        word("メッセージ基盤", "broker"),
        state(shown.well.1)
    );
    page.push_str(&instances(&shown.instances, &word));
    if shown.inside {
        page.push_str(&hosts(&shown.hosts, &word));
        page.push_str(&storage(&shown.storage, &word));
        page.push_str(&findings(&shown.findings, &word));
    }
    page.push_str("</body></html>\n");
    page
}

const STYLE: &str = "body{font-family:sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse;width:100%}\
    th,td{text-align:left;padding:.3em .8em;border-bottom:1px solid #ccc}h2{margin-top:1.5em}";

type Word<'a> = &'a dyn Fn(&'static str, &'static str) -> &'static str;

fn instances(list: &[Instance], word: Word) -> String {
    let head = [
        word("名前", "name"),
        "ID",
        word("状態", "state"),
        word("アドレス", "address"),
        word("ホスト", "host"),
        word("理由", "reason"),
    ];
    let rows = list.iter().map(|one| {
        let addresses: Vec<&str> =
            one.vif.iter().filter_map(|vif| vif.ipv4.as_ref().map(|ipv4| ipv4.address.as_str())).collect();
        vec![
            one.hostname.clone(),
            one.id.clone(),
            one.state.to_string(),
            addresses.join(", "),
            one.host_node.clone().unwrap_or_default(),
            one.failure.as_ref().map(|failure| failure.code.clone()).unwrap_or_default(),
        ]
    });
    table(word("インスタンス", "Instances"), &head, rows.collect(), word)
}

fn hosts(list: &[HostNode], word: Word) -> String {
    let head = [
        "ID",
        word("エージェント", "agent"),
        word("状態", "status"),
        word("方式", "driver"),
        "CPU",
        word("メモリー MiB", "memory MiB"),
        word("不調", "degraded"),
    ];
    let rows = list.iter().map(|one| {
        vec![
            one.id.clone(),
            one.node_id.clone(),
            one.status.clone(),
            one.driver.clone(),
            format!("{} / {}", one.used_cpu_cores, one.offering_cpu_cores),
            format!("{} / {}", one.used_memory_size, one.offering_memory_size),
            one.degraded.clone().unwrap_or_default(),
        ]
    });
    table(word("ホスト", "Hosts"), &head, rows.collect(), word)
}

fn storage(list: &[StorageNode], word: Word) -> String {
    let head = [
        "ID",
        word("エージェント", "agent"),
        word("状態", "status"),
        word("種類", "type"),
        word("ディスク MiB", "disk MiB"),
    ];
    let rows = list.iter().map(|one| {
        vec![
            one.id.clone(),
            one.node_id.clone(),
            one.status.clone(),
            one.storage_type.clone(),
            format!("{} / {}", one.used_disk_space_mb + one.kept_disk_space_mb, one.offering_disk_space_mb),
        ]
    });
    table(word("ストレージノード", "Storage nodes"), &head, rows.collect(), word)
}

fn findings(list: &[Finding], word: Word) -> String {
    let head = [word("内容", "what"), word("対処", "what follows"), word("検出", "since")];
    let rows = list.iter().map(|one| vec![one.sentence.clone(), one.next_step.clone(), one.since.to_string()]);
    table(word("監査", "Audit"), &head, rows.collect(), word)
}

fn table(title: &str, head: &[&str], rows: Vec<Vec<String>>, word: Word) -> String {
    let mut text = format!("<h2>{} ({})</h2>", escape(title), rows.len());
    if rows.is_empty() {
        let _ = write!(text, "<p>{}</p>", word("ありません。", "None."));
        return text;
    }
    text.push_str("<table><tr>");
    head.iter().for_each(|cell| text.push_str(&format!("<th>{}</th>", escape(cell))));
    text.push_str("</tr>");
    for row in rows {
        text.push_str("<tr>");
        row.iter().for_each(|cell| text.push_str(&format!("<td>{}</td>", escape(cell))));
        text.push_str("</tr>");
    }
    text.push_str("</table>");
    text
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_escaped() {
        let page = table("t", &["h"], vec![vec!["<script>alert(\"1\")</script>&".into()]], &|_, en| en);
        assert!(page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;"), "{page}");
        assert!(!page.contains("<script"));
    }

    #[test]
    fn the_page_speaks_the_readers_language() {
        let shown = Shown {
            instances: vec![],
            hosts: vec![],
            storage: vec![],
            findings: vec![],
            inside: true,
            well: (true, false),
        };
        assert!(html(&shown, Language::Ja).contains("インスタンス"));
        let english = html(&shown, Language::En);
        assert!(english.contains("Instances") && english.contains("broker: not reachable"));
    }
}
