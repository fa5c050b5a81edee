//! Everything in the API is in the command: the table `parity.txt` names for each operation of the document the command that
//! calls it, and each is run and seen to call it, against answers that are the document's own examples.

use arame_cli::{Cli, Command, Streams, run};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use clap::Parser;
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const API: &str = "/api/12.03";

/// One command: what it asks for is asked at once.
const RUN_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Row {
    Command(String),
    /// Not run here, or there is none: why.
    Told(String),
}

fn table() -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    for line in include_str!("parity.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.splitn(4, ' ');
        let [method, path, sign, rest] = std::array::from_fn(|_| words.next().unwrap_or_else(|| panic!("{line}")));
        let row = match sign {
            "=" => Row::Command(rest.to_owned()),
            "~" | "-" => Row::Told(rest.to_owned()),
            other => panic!("{other}: {line}"),
        };
        assert!(rows.insert(format!("{method} {path}"), row).is_none(), "twice: {line}");
    }
    rows
}

/// (operation, example of its answer) of everything the document says is built.
fn operations(document: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let below = path.strip_prefix(API).unwrap();
            let answer = &operation["responses"]["200"];
            if !answer.is_null() {
                let example = answer["content"]["application/json"]["example"].clone();
                found.insert(format!("{} {below}", method.to_uppercase()), example);
            }
        }
    }
    found
}

fn document() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../schema/openapi.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The operations without a row, and the rows without an operation.
fn unmatched(operations: &BTreeMap<String, Value>, table: &BTreeMap<String, Row>) -> Vec<String> {
    let without = operations.keys().filter(|name| !table.contains_key(*name)).map(|name| format!("{name}: no command"));
    let gone = table.keys().filter(|name| !operations.contains_key(*name)).map(|name| format!("{name}: not there"));
    without.chain(gone).collect()
}

/// The operation that a request is of: that with the most fixed words where several fit.
fn operation_of<'a>(operations: &'a BTreeMap<String, Value>, method: &str, path: &str) -> Option<&'a str> {
    let below = path.strip_prefix(API)?;
    let fits = |name: &&String| {
        let (verb, template) = name.split_once(' ').unwrap();
        let (steps, given): (Vec<_>, Vec<_>) = (template.split('/').collect(), below.split('/').collect());
        verb == method
            && steps.len() == given.len()
            && steps.iter().zip(&given).all(|(step, one)| step.starts_with('{') || step == one)
    };
    let found = operations.keys().filter(fits).min_by_key(|name| name.matches('{').count());
    found.map(String::as_str)
}

#[derive(Clone)]
struct Stub {
    operations: Arc<BTreeMap<String, Value>>,
    called: Arc<Mutex<Vec<String>>>,
}

async fn answer(State(stub): State<Stub>, request: Request) -> Response {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let Some(name) = operation_of(&stub.operations, &method, &path) else {
        stub.called.lock().unwrap().push(format!("{method} {path}"));
        return axum::http::StatusCode::NOT_FOUND.into_response();
    };
    stub.called.lock().unwrap().push(name.to_owned());
    Json(stub.operations[name].clone()).into_response()
}

#[test]
fn every_operation_has_a_command_or_a_reason_and_one_without_is_found() {
    let (operations, table) = (operations(&document()), table());
    assert_eq!(unmatched(&operations, &table), [""; 0]);
    let commands = table.values().filter(|row| matches!(row, Row::Command(_))).count();
    println!("{} operations, {commands} run, {} with a reason", operations.len(), table.len() - commands);
    assert!(commands > 180 && table.len() - commands < 20, "{commands} of {}", table.len());
    let mut more = operations.clone();
    more.insert("GET /load_balancers".into(), Value::Null);
    assert_eq!(unmatched(&more, &table), ["GET /load_balancers: no command"]);
}

#[tokio::test]
async fn every_command_of_the_table_calls_its_operation() {
    let operations = Arc::new(operations(&document()));
    let stub = Stub { operations, called: Arc::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(stub.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut wrong = Vec::new();
    for (name, row) in table() {
        let Row::Command(line) = row else { continue };
        stub.called.lock().unwrap().clear();
        let fixed = ["arame", "--lang", "ja", "--url", &url, "--token-file", token.to_str().unwrap()];
        let cli = match Cli::try_parse_from(fixed.into_iter().chain(line.split(' '))) {
            Ok(cli) => cli,
            Err(error) => {
                wrong.push(format!("{name}: arame {line}: {error}"));
                continue;
            }
        };
        let Command::Rest(command) = cli.command else { panic!("{line}: not a command of the API") };
        let (mut out, mut remarks) = (Vec::new(), Vec::new());
        let streams = Streams { out: &mut out, remarks: &mut remarks, terminal: false };
        let ended = tokio::time::timeout(RUN_LIMIT, run(&cli.common, command, streams)).await;
        let called = stub.called.lock().unwrap().clone();
        if !called.contains(&name) {
            let told = ended.map(|ended| ended.err().map(|error| error.told(arame_schema::api::Language::En)));
            wrong.push(format!("{name}: arame {line} called {called:?}: {told:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
