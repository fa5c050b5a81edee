//! The surface as a client meets it, over a real socket: what does not depend on what the application holds.

use super::app::App;
use super::{API, serve};
use arame_schema::api::{ErrorBody, Event, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// A server on a free port, ended with the test.
struct Surface {
    address: std::net::SocketAddr,
    app: App,
    stop: CancellationToken,
    served: Option<tokio::task::JoinHandle<std::io::Result<()>>>,
}

struct Reply {
    status: u16,
    headers: String,
    body: String,
}

impl Reply {
    fn refusal(&self) -> ErrorBody {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.body))
    }
}

impl Surface {
    async fn up() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (app, stop) = (App::default(), CancellationToken::new());
        let served = tokio::spawn(serve(app.clone(), listener, stop.clone()));
        Self { address, app, stop, served: Some(served) }
    }

    async fn send(&self, request: &str) -> Reply {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        tokio::time::timeout(DEADLINE, socket.read_to_end(&mut bytes)).await.expect("an answer in time").unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (headers, body) = text.split_once("\r\n\r\n").unwrap();
        let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, headers: headers.to_ascii_lowercase(), body: body.to_owned() }
    }

    /// Sends with `Authorization: Bearer <secret>` and these further header lines.
    async fn ask(&self, secret: &str, line: &str, more: &str, body: &str) -> Reply {
        let length = body.len();
        self.send(&format!(
            "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {secret}\r\n{more}\
             Content-Length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    async fn get(&self, secret: &str, path: &str) -> Reply {
        self.ask(secret, &format!("GET {path}"), "", "").await
    }
}

const DEADLINE: Duration = Duration::from_secs(20);

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

#[tokio::test]
async fn a_list_is_the_originals_envelope_with_and_without_extension() {
    let surface = Surface::up().await;
    for path in ["/instance_types", "/instance_types.json", "/instance_types.json?start=0"] {
        let reply = surface.get("member", &format!("{API}{path}")).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(reply.body, r#"[{"total":0,"start":0,"limit":250,"results":[]}]"#);
        assert!(reply.headers.contains("x-vdc-request-id: "));
    }
}

#[tokio::test]
async fn a_stranger_learns_nothing_but_how_to_come_in() {
    let surface = Surface::up().await;
    for path in ["/instances", "/instances/i-x", "/audit", "/jobs"] {
        let reply = surface.get("nobody", &format!("{API}{path}")).await;
        assert_eq!((reply.status, reply.refusal().reason.as_str()), (401, "unauthenticated"));
        assert!(reply.headers.contains("www-authenticate: bearer"), "{}", reply.headers);
        let let_in = surface.get("admin", &format!("{API}/instance_types")).await;
        assert_eq!(let_in.status, 200);
    }
}

#[tokio::test]
async fn a_role_without_the_right_is_refused_before_its_body_is_read() {
    let surface = Surface::up().await;
    let line = format!("POST {API}/instances");
    let auditor = surface.ask("auditor", &line, FORM, "a=%").await;
    assert_eq!((auditor.status, auditor.refusal().reason.as_str()), (403, "not_permitted"));
    let member = surface.ask("member", &line, FORM, "a=%").await;
    assert_eq!((member.status, member.refusal().reason.as_str()), (400, "invalid_body"));
    assert_eq!(surface.get("member", &format!("{API}/host_nodes")).await.status, 403);
}

#[tokio::test]
async fn refusals_speak_the_readers_language_and_keep_the_originals_keys() {
    let surface = Surface::up().await;
    let line = format!("GET {API}/instances/vol-1");
    let japanese = surface.ask("member", &line, "Accept-Language: ja\r\n", "").await;
    let english = surface.ask("member", &line, "Accept-Language: en-US,en;q=0.9\r\n", "").await;
    assert!(japanese.refusal().message.contains("使えません"), "{}", japanese.body);
    assert!(english.refusal().message.contains("not a valid value"), "{}", english.body);
    assert!(japanese.headers.contains("content-language: ja"));
    let refusal = english.refusal();
    assert_eq!(refusal.error, "Dcmgr::Endpoints::Errors::InvalidParameter");
    assert_eq!((refusal.code.as_str(), english.status), ("143", 400));
    assert!(english.headers.contains(&refusal.request_id));
}

#[tokio::test]
async fn unknown_routes_and_methods_are_refused_with_our_body() {
    let surface = Surface::up().await;
    for path in ["/", "/nothing", "/instances/i-x/nothing", "/instances.xml"] {
        let reply = surface.get("admin", &format!("{API}{path}")).await;
        assert_eq!((reply.status, reply.refusal().reason.as_str()), (404, "unknown_route"), "{path}");
    }
    let reply = surface.ask("admin", &format!("DELETE {API}/instances"), "", "").await;
    assert_eq!((reply.status, reply.refusal().reason.as_str()), (405, "method_not_allowed"));
    assert!(reply.headers.contains("allow: get,head,post"), "{}", reply.headers);
}

#[tokio::test]
async fn an_overlarge_body_is_refused_whether_it_tells_its_length_or_not() {
    let surface = Surface::up().await;
    let line = format!("POST {API}/instances");
    let told = surface
        .send(&format!(
            "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer member\r\n\
             Content-Length: 1048577\r\n\r\n"
        ))
        .await;
    assert_eq!((told.status, told.refusal().reason.as_str()), (413, "too_large"));
    let chunked = |more: &str| {
        let piece = format!("10000\r\n{}\r\n", "a".repeat(0x10000)).repeat(16);
        format!(
            "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer member\r\n\
             Transfer-Encoding: chunked\r\n\r\n{piece}{more}"
        )
    };
    let untold = surface.send(&chunked("1\r\na\r\n")).await;
    assert_eq!((untold.status, untold.refusal().reason.as_str()), (413, "too_large"));
    let just_within = surface.send(&chunked("0\r\n\r\n")).await;
    assert_eq!((just_within.status, just_within.refusal().reason.as_str()), (400, "invalid_body"));
}

/// As the original's shell client asks: the extension, the underscored header, a form body on PUT.
#[tokio::test]
async fn yml_answers_with_symbol_keys_also_when_it_refuses() {
    let surface = Surface::up().await;
    let ask = |path: &str| {
        format!(
            "GET {API}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer member\r\n\
             X_VDC_ACCOUNT_UUID:a-demo\r\nAccept: */*\r\n\r\n"
        )
    };
    let list = surface.send(&ask("/instance_types.yml?limit=1")).await;
    assert_eq!(list.status, 200);
    assert!(list.headers.contains("content-type: text/yaml"), "{}", list.headers);
    assert!(list.body.starts_with("---\n- :total: "), "{}", list.body);
    let refused = surface.send(&ask("/instances/i-x.yml")).await;
    assert_eq!(refused.status, 404);
    assert!(
        refused.body.starts_with("---\n:error: Dcmgr::Endpoints::Errors::UnknownUUIDResource\n:message: "),
        "{}",
        refused.body
    );
    assert!(refused.body.contains("\n:code: '100'\n"), "{}", refused.body);
    let accepted = ask("/instance_types").replace("*/*", "text/yaml, */*");
    assert!(surface.send(&accepted).await.body.starts_with("---\n"));
    assert!(surface.send(&ask("/instance_types")).await.body.starts_with("[{"), "control: JSON without it");
}

#[tokio::test]
async fn a_panic_becomes_our_500_and_the_server_goes_on() {
    let surface = Surface::up().await;
    let reply = surface.ask("member", &format!("PUT {API}/instances/i-x/reboot"), "", "").await;
    assert_eq!((reply.status, reply.refusal().reason.as_str()), (500, "internal"));
    assert!(!reply.body.contains("stub"), "{}", reply.body);
    assert_eq!(surface.get("member", &format!("{API}/instance_types")).await.status, 200);
}

#[tokio::test]
async fn a_put_without_a_body_or_a_length_works() {
    let surface = Surface::up().await;
    let reply = surface
        .send(&format!(
            "PUT {API}/instances/i-x/poweron.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Authorization: Bearer member\r\nX_VDC_ACCOUNT_UUID:a-demo\r\n\r\n"
        ))
        .await;
    // The instance is not there; had the form been wrong it were a 400.
    assert_eq!((reply.status, reply.refusal().reason.as_str()), (404, "unknown_resource"));
}

#[tokio::test]
async fn health_and_the_document_need_no_credential_and_metrics_do() {
    let surface = Surface::up().await;
    let bare = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let health = surface.send(&bare("/healthz")).await;
    assert_eq!((health.status, health.body.as_str()), (200, r#"{"database":true,"broker":true}"#));
    let document = surface.send(&bare(&format!("{API}/openapi.json"))).await;
    assert!(document.body.starts_with(r#"{"openapi":"3.1.0""#), "{:.80}", document.body);
    assert_eq!(surface.send(&bare("/metrics")).await.status, 401);
    assert_eq!(surface.get("auditor", "/metrics").await.status, 200);
}

#[tokio::test]
async fn the_status_page_asks_a_browser_for_the_token() {
    let surface = Surface::up().await;
    let bare = surface.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert_eq!(bare.status, 401);
    assert!(bare.headers.contains("www-authenticate: basic"), "{}", bare.headers);
}

fn event(id: u64, resource: &str) -> Event {
    Event {
        id,
        at: Timestamp::parse("2026-01-02 03:04:05 UTC").unwrap(),
        at_ms: 0,
        resource: resource.into(),
        operation: None,
        code: "state_changed".into(),
        values: BTreeMap::from([("from".into(), "pending".into()), ("to".into(), "running".into())]),
        text: String::new(),
        job: None,
        agent: None,
    }
}

/// Reads events of a stream until one with this id came.
async fn read_until(lines: &mut (impl AsyncBufReadExt + Unpin), last: u64) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let reading = async {
        let mut line = String::new();
        while events.last().is_none_or(|event| event.id < last) {
            line.clear();
            assert!(lines.read_line(&mut line).await.unwrap() > 0, "the stream ended after {events:?}");
            if let Some(data) = line.trim_end().strip_prefix("data: ") {
                events.push(serde_json::from_str(data).unwrap());
            }
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.expect("the event in time");
    events
}

async fn follow(surface: &Surface, query: &str, more: &str) -> BufReader<TcpStream> {
    let mut socket = TcpStream::connect(surface.address).await.unwrap();
    let request = format!(
        "GET {API}/events{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer member\r\n\
         Accept: text/event-stream\r\n{more}\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(socket);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        tokio::time::timeout(DEADLINE, lines.read_line(&mut line)).await.expect("headers in time").unwrap();
    }
    lines
}

#[tokio::test]
async fn a_stream_tells_what_was_and_what_comes_and_goes_on_where_it_was_cut() {
    let surface = Surface::up().await;
    surface.app.tell(event(1, "i-a"));
    surface.app.tell(event(2, "i-b"));
    let mut lines = follow(&surface, "?after=0&resource=i-a", "").await;
    assert_eq!(read_until(&mut lines, 1).await.len(), 1);
    surface.app.tell(event(3, "i-b"));
    surface.app.tell(event(4, "i-a"));
    let live = read_until(&mut lines, 4).await;
    assert_eq!(live.iter().map(|event| event.id).collect::<Vec<_>>(), [4]);
    assert!(live[0].text.contains("running"), "{:?}", live[0]);
    drop(lines);
    surface.app.tell(event(5, "i-a"));
    let mut again = follow(&surface, "?after=0&resource=i-a", "Last-Event-ID: 4\r\n").await;
    let rest = read_until(&mut again, 5).await;
    assert_eq!(rest.iter().map(|event| event.id).collect::<Vec<_>>(), [5]);
}

#[tokio::test]
async fn an_open_stream_does_not_hold_a_shutdown_back() {
    let mut surface = Surface::up().await;
    surface.app.tell(event(1, "i-a"));
    let mut lines = follow(&surface, "?after=0", "").await;
    read_until(&mut lines, 1).await;
    surface.stop.cancel();
    let served = surface.served.take().unwrap();
    tokio::time::timeout(DEADLINE, served).await.expect("the server ends").unwrap().unwrap();
}

#[tokio::test]
async fn events_without_a_stream_are_a_list() {
    let surface = Surface::up().await;
    surface.app.tell(event(1, "i-a"));
    surface.app.tell(event(2, "i-a"));
    let reply = surface.get("member", &format!("{API}/events?after=1")).await;
    let events: Vec<Event> = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(events.len(), 1);
}

#[tokio::test]
async fn the_newest_events_come_oldest_first_and_only_so_many() {
    let surface = Surface::up().await;
    for number in 1..=4 {
        surface.app.tell(event(number, "i-a"));
    }
    let reply = surface.get("member", &format!("{API}/events?last=3")).await;
    let events: Vec<Event> = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), [2, 3, 4]);
    for count in ["0", "201", "many"] {
        let reply = surface.get("member", &format!("{API}/events?last={count}")).await;
        assert!(reply.body.contains("invalid_parameter"), "{count}: {}", reply.body);
    }
}

/// Lines of the checked-in list of what answers 501, those of whole verbs.
fn listed_as_absent() -> Vec<String> {
    let text = include_str!("../../../schema/not_implemented.txt");
    let whole = text.lines().filter(|line| !line.starts_with('#') && !line.contains(':'));
    whole.map(str::to_owned).collect()
}

#[tokio::test]
async fn exactly_the_listed_verbs_answer_501() {
    let surface = Surface::up().await;
    let mut absent = Vec::new();
    let mut asked = 0;
    for (path, item) in &super::document().paths.paths {
        let verbs = [("GET", &item.get), ("POST", &item.post), ("PUT", &item.put), ("DELETE", &item.delete)];
        for (verb, _) in verbs.into_iter().filter(|(_, operation)| operation.is_some()) {
            let below = path.strip_prefix(API).unwrap_or(path);
            // The stub panics on purpose at one verb, and a stream has no end.
            if below == "/instances/{id}/reboot" || below == "/events" {
                continue;
            }
            let place = path.replace("{id}", "x-1").replace(['{', '}'], "");
            let reply = surface.ask("admin", &format!("{verb} {place}"), "", "").await;
            asked += 1;
            if reply.status == 501 {
                assert_eq!(reply.refusal().reason, "not_implemented", "{verb} {below}");
                absent.push(format!("{verb} {below}"));
            }
        }
    }
    assert!(asked > 150, "only {asked} verbs were asked");
    let mut listed = listed_as_absent();
    listed.sort();
    absent.sort();
    assert_eq!(absent, listed, "schema/not_implemented.txt is not what answers 501");
}
