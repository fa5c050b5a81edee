//! The console's server before a small API made for the test: what goes on with which secret, what comes back, what is refused.
//!
//! Rule: each "does not" has its positive control beside it. The real API, a real browser and a real console: `webui/e2e`.

use arame_webui::{Transport, Webui, router};
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use axum::{Json, Router};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::sync::CancellationToken;

const MARK: (&str, &str) = ("x-arame-page", "1");

async fn listening(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn bearer(headers: &HeaderMap) -> String {
    headers.get("authorization").map_or(String::new(), |value| value.to_str().unwrap().to_owned())
}

/// Tells what it was asked, and knows one secret.
fn api() -> Router {
    let echo = |headers: HeaderMap, uri: Uri, body: Bytes| async move {
        if bearer(&headers) != "Bearer s3cret" {
            return (
                StatusCode::UNAUTHORIZED,
                [("www-authenticate", "Basic")],
                Json(json!({ "reason": "unauthenticated" })),
            )
                .into_response();
        }
        let account = headers.get("x-vdc-account-uuid").map(|value| value.to_str().unwrap().to_owned());
        let cookie = headers.contains_key("cookie");
        let told = json!({ "uri": uri.to_string(), "body": String::from_utf8_lossy(&body), "account": account, "cookie": cookie });
        Json(told).into_response()
    };
    let session = Json(json!({
        "id": "tok-1", "account_id": "a-demo", "role": "member", "secret": "s3cret",
        "user": { "id": "u-1", "name": "hanako", "enabled": true, "has_password": true, "memberships": [],
                  "created_at": "2026-11-22 00:00:00 UTC", "updated_at": "2026-11-22 00:00:00 UTC" },
    }));
    let sessions = move |Json(body): Json<Value>| async move {
        if body["password"] == "right" { session.into_response() } else { StatusCode::UNAUTHORIZED.into_response() }
    };
    let console = |upgrade: WebSocketUpgrade| async move { upgrade.on_upgrade(echoing) };
    Router::new()
        .route("/api/12.03/sessions", post(sessions))
        .route("/api/12.03/instances/{id}/console", get(console).post(echo))
        .route("/api/12.03/{*path}", any(echo))
}

/// Answers every text frame by bytes.
async fn echoing(mut socket: WebSocket) {
    while let Some(Ok(Message::Text(text))) = socket.recv().await {
        let bytes = text.as_str().as_bytes().to_vec();
        socket.send(Message::Binary(bytes.into())).await.unwrap();
    }
}

async fn console() -> (String, SocketAddr) {
    let api = listening(api()).await;
    let url = format!("http://{api}").parse().unwrap();
    let webui = Webui::new(&url, Transport::Plain, CancellationToken::new()).unwrap();
    let address = listening(router(webui)).await;
    (format!("http://{address}"), address)
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn cookie_of(answer: &reqwest::Response) -> String {
    answer.headers().get("set-cookie").map_or(String::new(), |value| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn signing_in_gives_a_cookie_and_tells_the_secret_to_no_script() {
    let (base, _) = console().await;
    let begin = |body: Value| client().post(format!("{base}/session")).header(MARK.0, MARK.1).json(&body).send();
    for body in [json!({ "name": "hanako", "password": "right" }), json!({ "token": "s3cret" })] {
        let answer = begin(body).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let cookie = cookie_of(&answer);
        assert!(cookie.starts_with("arame_session=s3cret;") && cookie.contains("HttpOnly"), "{cookie}");
        assert!(!answer.text().await.unwrap().contains("s3cret"));
    }
    for body in
        [json!({ "name": "hanako", "password": "wrong" }), json!({ "token": "other" }), json!({ "token": "a\r\nb" })]
    {
        let answer = begin(body).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert!(!cookie_of(&answer).contains("s3cret"));
    }
    // The API's own way would hand the secret to the page.
    let direct = client().post(format!("{base}/api/12.03/sessions")).header(MARK.0, MARK.1);
    let answer = direct.json(&json!({ "name": "hanako", "password": "right" })).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_request_goes_on_with_the_sessions_secret_and_without_the_cookie() {
    let (base, _) = console().await;
    let url = format!("{base}/api/12.03/volumes/vol-1/attach?plan=true");
    let asked = client().put(&url).header(MARK.0, MARK.1).header("cookie", "arame_session=s3cret");
    let answer = asked.header("x-vdc-account-uuid", "a-team").body("{\"instance_id\":\"i-1\"}").send().await.unwrap();
    let told: Value = answer.json().await.unwrap();
    assert_eq!(told["uri"], "/api/12.03/volumes/vol-1/attach?plan=true");
    assert_eq!((&told["body"], &told["account"]), (&json!("{\"instance_id\":\"i-1\"}"), &json!("a-team")));
    assert_eq!(told["cookie"], false);
    // An ended session: the cookie is taken away, and no browser asks for a password by itself.
    let answer = client().get(&url).header("cookie", "arame_session=ended").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(cookie_of(&answer).contains("Max-Age=0") && !answer.headers().contains_key("www-authenticate"));
}

#[tokio::test]
async fn a_change_from_another_place_reaches_nobody() {
    let (base, address) = console().await;
    let delete = || client().delete(format!("{base}/api/12.03/instances/i-1")).header("cookie", "arame_session=s3cret");
    let own = format!("http://{address}");
    let marked = delete().header(MARK.0, MARK.1).header("origin", &own).send().await.unwrap();
    assert_eq!(marked.status(), StatusCode::OK, "the positive control");
    let unmarked = delete().header("origin", &own).send().await.unwrap();
    let foreign = delete().header(MARK.0, MARK.1).header("origin", "http://evil.example").send().await.unwrap();
    assert_eq!((unmarked.status(), foreign.status()), (StatusCode::FORBIDDEN, StatusCode::FORBIDDEN));
}

#[tokio::test]
async fn every_answer_carries_the_policy_and_unknown_places_are_the_applications() {
    let (base, _) = console().await;
    for place in ["/", "/instances/i-1", "/api/12.03/whoami", "/assets/none.js"] {
        let answer: reqwest::Response = client().get(format!("{base}{place}")).send().await.unwrap();
        let policy = answer.headers().get("content-security-policy").unwrap().to_str().unwrap().to_owned();
        assert!(
            policy.contains("script-src 'self';") && policy.contains("frame-ancestors 'none'"),
            "{place}: {policy}"
        );
    }
    let missing = client().get(format!("{base}/assets/none.js")).send().await.unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    let page = client().get(format!("{base}/instances/i-1")).send().await.unwrap();
    assert!(page.text().await.unwrap().to_lowercase().starts_with("<!doctype html>"));
}

#[tokio::test]
async fn a_console_is_carried_both_ways_for_pages_of_this_place_only() {
    let (_, address) = console().await;
    let open = |origin: String| async move {
        let mut request = format!("ws://{address}/api/12.03/instances/i-1/console").into_client_request().unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        tokio_tungstenite::connect_async(request).await
    };
    let (mut socket, _) = open(format!("http://{address}")).await.unwrap();
    socket.send(tungstenite::Message::text("ticket")).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap();
    assert_eq!(answer, tungstenite::Message::Binary("ticket".as_bytes().to_vec().into()));
    assert!(open("http://evil.example".into()).await.is_err());
}

#[tokio::test]
async fn an_api_that_is_away_is_said_so_in_a_form_the_pages_know() {
    let nobody = "http://127.0.0.1:9".parse().unwrap();
    let webui = Webui::new(&nobody, Transport::Plain, CancellationToken::new()).unwrap();
    let address = listening(router(webui)).await;
    let answer = client().get(format!("http://{address}/api/12.03/whoami")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(answer.json::<Value>().await.unwrap()["reason"], "api_unreachable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_is_ready_when_it_answers_lives_while_it_does_and_says_when_it_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = tokio::net::UnixDatagram::bind(&path).unwrap();
    let heard = async || {
        let mut buffer = [0; 1024];
        let within = tokio::time::timeout(std::time::Duration::from_secs(60), manager.recv(&mut buffer));
        let length = within.await.expect("a word comes").unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let settings = folder.path().join("webui.toml");
    std::fs::write(&settings, "listen = \"127.0.0.1:0\"\n").unwrap();
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_arame-webui"));
    program.arg("--config").arg(&settings).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    let mut process = program.env_remove("WATCHDOG_PID").kill_on_drop(true).spawn().unwrap();

    let ready = heard().await;
    let address =
        ready.strip_prefix("READY=1\nSTATUS=serving the console on ").and_then(|words| words.split(';').next());
    let address = address.unwrap_or_else(|| panic!("{ready}"));
    assert!(client().get(format!("http://{address}/")).send().await.is_ok(), "it was ready");
    for _ in 0..3 {
        assert_eq!(heard().await, "WATCHDOG=1");
    }
    let pid = process.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    while heard().await == "WATCHDOG=1" {}
    assert!(process.wait().await.unwrap().success());
}

#[tokio::test]
async fn settings_that_are_wrong_are_told_in_both_languages_and_end_it_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("webui.toml");
    std::fs::write(&settings, "lissten = \"127.0.0.1:0\"\n").unwrap();
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_arame-webui"));
    let output = program.arg("--config").arg(&settings).kill_on_drop(true).output().await.unwrap();
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("lissten") && said.contains("is not as it should be") && said.contains("誤りがあります"),
        "{said}"
    );
}
