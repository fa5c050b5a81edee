//! A small OVSDB client (RFC 7047): a live copy of the few columns we need, and transactions.
//!
//! Rule: the copy is what the server told by its monitor, so waiting for a change costs nothing. When the connection
//! ends the client connects again and the copy starts anew; a transaction in flight then is an error, never repeated
//! here.

use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};

/// A transaction or connection takes no longer on a living server.
const LIMIT: Duration = Duration::from_secs(5);
/// Between two attempts to reach the server.
const RECONNECT: Duration = Duration::from_millis(200);
/// Messages waiting to be written.
const QUEUE: usize = 64;
/// Most bytes of one message from the server; more is not a database we know.
const MESSAGE_MAX: usize = 64 * 1024 * 1024;

#[derive(Debug, Clone, thiserror::Error)]
pub enum DbError {
    #[error("Open vSwitch's database at {0} cannot be reached")]
    Unreachable(PathBuf),
    #[error("Open vSwitch's database did not answer within {LIMIT:?}")]
    Late,
    #[error("Open vSwitch's database refused: {0}")]
    Refused(String),
}

/// Rows by table and uuid, as monitored.
#[derive(Debug, Default)]
pub struct Copy {
    tables: HashMap<String, HashMap<String, Value>>,
    pub connected: bool,
}

/// A row of Interface with its Port's own columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub port: String,
    pub ofport: Option<i64>,
    pub error: Option<String>,
    pub external_ids: BTreeMap<String, String>,
    pub trunk: bool,
}

impl Copy {
    fn table(&self, name: &str) -> impl Iterator<Item = (&String, &Value)> {
        self.tables.get(name).into_iter().flatten()
    }

    fn apply(&mut self, update: &Value) {
        for (table, rows) in update.as_object().into_iter().flatten() {
            let kept = self.tables.entry(table.clone()).or_default();
            for (uuid, change) in rows.as_object().into_iter().flatten() {
                match change.get("new") {
                    Some(row) => kept.insert(uuid.clone(), row.clone()),
                    None => kept.remove(uuid),
                };
            }
        }
    }

    /// The bridge's row id, when it exists.
    pub fn bridge(&self, name: &str) -> Option<String> {
        self.table("Bridge").find(|(_, row)| row["name"] == name).map(|(uuid, _)| uuid.clone())
    }

    /// Every interface of the bridge.
    pub fn interfaces(&self, bridge: &str) -> Vec<Interface> {
        let Some((_, bridge)) = self.table("Bridge").find(|(_, row)| row["name"] == bridge) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for port_id in uuids(&bridge["ports"]) {
            let Some(port) = self.tables.get("Port").and_then(|rows| rows.get(&port_id)) else { continue };
            for id in uuids(&port["interfaces"]) {
                let Some(row) = self.tables.get("Interface").and_then(|rows| rows.get(&id)) else { continue };
                found.push(Interface {
                    name: text(&row["name"]).unwrap_or_default(),
                    port: port_id.clone(),
                    ofport: row["ofport"].as_i64(),
                    error: text(&row["error"]),
                    external_ids: pairs(&row["external_ids"]),
                    trunk: port["vlan_mode"] == "trunk",
                });
            }
        }
        found
    }
}

/// `["uuid", x]` or `["set", [["uuid", x], …]]` (RFC 7047, 5.1).
fn uuids(value: &Value) -> Vec<String> {
    let one = |pair: &Value| pair.get(1).and_then(Value::as_str).map(str::to_owned);
    match value.get(0).and_then(Value::as_str) {
        Some("uuid") => one(value).into_iter().collect(),
        Some("set") => value[1].as_array().into_iter().flatten().filter_map(one).collect(),
        _ => Vec::new(),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn pairs(value: &Value) -> BTreeMap<String, String> {
    let entries = value.get(1).and_then(Value::as_array).into_iter().flatten();
    entries.filter_map(|pair| Some((text(&pair[0])?, text(&pair[1])?))).collect()
}

type Answers = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<Value, DbError>>>>>;

struct Session {
    out: mpsc::Sender<Value>,
    answers: Answers,
}

/// The client; clones share one connection.
#[derive(Clone)]
pub struct Db {
    socket: PathBuf,
    copy: watch::Receiver<Arc<Mutex<Copy>>>,
    requests: mpsc::Sender<(Value, oneshot::Sender<Result<Value, DbError>>)>,
}

impl Db {
    /// Starts the connection's task; it ends when the last clone is dropped.
    pub fn connect(socket: &Path) -> Self {
        let (tell, copy) = watch::channel(Arc::new(Mutex::new(Copy::default())));
        let (requests, wanted) = mpsc::channel(QUEUE);
        tokio::spawn(keep(socket.to_owned(), tell, wanted));
        Self { socket: socket.to_owned(), copy, requests }
    }

    /// Looks at the copy. `Err` while the server is away: an old copy says nothing.
    pub fn look<T>(&self, at: impl FnOnce(&Copy) -> T) -> Result<T, DbError> {
        let copy = self.copy.borrow().clone();
        let copy = copy.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if copy.connected { Ok(at(&copy)) } else { Err(DbError::Unreachable(self.socket.clone())) }
    }

    /// Follows the copy: changes whenever the server told something, or went away.
    pub fn changes(&self) -> watch::Receiver<Arc<Mutex<Copy>>> {
        self.copy.clone()
    }

    /// Waits until `found` sees what it waits for.
    pub async fn until<T>(&self, limit: Duration, mut found: impl FnMut(&Copy) -> Option<T>) -> Result<T, DbError> {
        let mut changes = self.copy.clone();
        let wait = async {
            loop {
                changes.borrow_and_update();
                if let Ok(Some(value)) = self.look(&mut found) {
                    return Ok(value);
                }
                if changes.changed().await.is_err() {
                    return Err(DbError::Unreachable(self.socket.clone()));
                }
            }
        };
        tokio::time::timeout(limit, wait).await.map_err(|_| DbError::Late)?
    }

    /// One transaction: all operations or none.
    pub async fn transact(&self, operations: Vec<Value>) -> Result<Value, DbError> {
        let mut params = vec![json!("Open_vSwitch")];
        params.extend(operations);
        let (answer, answered) = oneshot::channel();
        let unreachable = || DbError::Unreachable(self.socket.clone());
        self.requests.send((Value::Array(params), answer)).await.map_err(|_| unreachable())?;
        let result =
            tokio::time::timeout(LIMIT, answered).await.map_err(|_| DbError::Late)?.map_err(|_| unreachable())??;
        for part in result.as_array().into_iter().flatten() {
            if let Some(error) = part.get("error").and_then(Value::as_str) {
                let details = part.get("details").and_then(Value::as_str).unwrap_or_default();
                return Err(DbError::Refused(format!("{error}: {details}")));
            }
        }
        Ok(result)
    }
}

type Requests = mpsc::Receiver<(Value, oneshot::Sender<Result<Value, DbError>>)>;

async fn keep(socket: PathBuf, tell: watch::Sender<Arc<Mutex<Copy>>>, mut wanted: Requests) {
    while !tell.is_closed() {
        if let Ok(Ok(stream)) = tokio::time::timeout(LIMIT, UnixStream::connect(&socket)).await {
            serve(stream, &tell, &mut wanted).await;
            tell.send_replace(Arc::new(Mutex::new(Copy::default())));
        }
        tokio::select! {
            () = tokio::time::sleep(RECONNECT) => {}
            request = wanted.recv() => match request {
                Some((_, answer)) => { let _ = answer.send(Err(DbError::Unreachable(socket.clone()))); }
                None => return,
            }
        }
    }
}

/// One connection, until it ends or nobody wants it.
async fn serve(stream: UnixStream, tell: &watch::Sender<Arc<Mutex<Copy>>>, wanted: &mut Requests) {
    let (mut reader, mut writer) = stream.into_split();
    let (out, mut queue) = mpsc::channel::<Value>(QUEUE);
    let session = Session { out, answers: Answers::default() };
    let copy = Arc::new(Mutex::new(Copy::default()));
    let write = async {
        while let Some(message) = queue.recv().await {
            if writer.write_all(message.to_string().as_bytes()).await.is_err() {
                return;
            }
        }
    };
    let read = async {
        let mut buffer = Vec::new();
        let mut chunk = vec![0u8; 64 * 1024];
        loop {
            match reader.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(n) => buffer.extend_from_slice(&chunk[..n]),
            }
            if buffer.len() > MESSAGE_MAX {
                return;
            }
            let mut messages = serde_json::Deserializer::from_slice(&buffer).into_iter::<Value>();
            let mut complete = Vec::new();
            while let Some(Ok(message)) = messages.next() {
                complete.push(message);
            }
            let used = messages.byte_offset();
            drop(messages);
            buffer.drain(..used);
            for message in complete {
                session.receive(message, &copy, tell).await;
            }
        }
    };
    let ask = async {
        let _ = session.out.send(monitor()).await;
        let mut id = 1u64;
        while let Some((params, answer)) = wanted.recv().await {
            id += 1;
            lock(&session.answers).insert(id, answer);
            let _ = session.out.send(json!({ "method": "transact", "params": params, "id": id })).await;
        }
    };
    tokio::select! { () = write => {}, () = read => {}, () = ask => {} }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn monitor() -> Value {
    json!({ "method": "monitor", "id": 1, "params": ["Open_vSwitch", "arame", {
        "Bridge": { "columns": ["name", "ports"] },
        "Port": { "columns": ["interfaces", "vlan_mode"] },
        "Interface": { "columns": ["name", "ofport", "error", "external_ids"] },
    }]})
}

impl Session {
    async fn receive(&self, message: Value, copy: &Arc<Mutex<Copy>>, tell: &watch::Sender<Arc<Mutex<Copy>>>) {
        match message.get("method").and_then(Value::as_str) {
            Some("echo") => {
                let answer = json!({ "result": message["params"], "error": null, "id": message["id"] });
                let _ = self.out.send(answer).await;
            }
            Some("update") => {
                lock(copy).apply(&message["params"][1]);
                tell.send_replace(copy.clone());
            }
            Some(_) => {}
            None => self.answered(&message, copy, tell),
        }
    }

    fn answered(&self, message: &Value, copy: &Arc<Mutex<Copy>>, tell: &watch::Sender<Arc<Mutex<Copy>>>) {
        if message["id"] == 1 {
            let mut copy_now = lock(copy);
            copy_now.apply(&message["result"]);
            copy_now.connected = true;
            drop(copy_now);
            tell.send_replace(copy.clone());
            return;
        }
        let Some(answer) = message["id"].as_u64().and_then(|id| lock(&self.answers).remove(&id)) else { return };
        let result = match &message["error"] {
            Value::Null => Ok(message["result"].clone()),
            error => Err(DbError::Refused(error.to_string())),
        };
        let _ = answer.send(result);
    }
}

/// A map value in OVSDB's form.
pub fn map<const N: usize>(entries: [(&str, String); N]) -> Value {
    json!(["map", entries.iter().map(|(key, value)| json!([key, value])).collect::<Vec<_>>()])
}
