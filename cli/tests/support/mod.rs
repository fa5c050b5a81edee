//! A small API: it keeps what it was sent and walks one new instance through the states it is told.

use arame_schema::api::placement::{HostVerdict, RuleVerdict};
use arame_schema::api::{
    ErrorBody, Event, Failure, Instance, InstanceVif, Page, Placement, Timestamp, VifIpv4, catalogue,
};
use arame_schema::model::instance::InstanceState;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct World {
    instances: Vec<Instance>,
    events: Vec<Event>,
    steps: VecDeque<InstanceState>,
    sent: Vec<(String, String, Value)>,
    headers: HeaderMap,
    page: Option<usize>,
    no_events: bool,
    no_room: bool,
}

pub struct Api {
    world: Arc<Mutex<World>>,
    address: std::net::SocketAddr,
    dir: tempfile::TempDir,
}

impl Api {
    pub async fn up() -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(world.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let dir = tempfile::tempdir().unwrap();
        let api = Self { world, address, dir };
        std::fs::write(api.token_file(), "s3cret\n").unwrap();
        std::fs::set_permissions(api.token_file(), std::fs::Permissions::from_mode(0o600)).unwrap();
        api
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn token_file(&self) -> PathBuf {
        self.dir.path().join("token")
    }

    pub fn have(&self, instance: Instance) {
        self.world.lock().unwrap().instances.push(instance);
    }

    pub fn tell(&self, event: Event) {
        self.world.lock().unwrap().events.push(event);
    }

    /// The states a new instance shows, one a look.
    pub fn on_create(&self, states: &[&str]) {
        self.world.lock().unwrap().steps = states.iter().map(|state| InstanceState::parse(state).unwrap()).collect();
    }

    pub fn refuse_events(&self) {
        self.world.lock().unwrap().no_events = true;
    }

    pub fn refuse_creation(&self) {
        self.world.lock().unwrap().no_room = true;
    }

    pub fn pages_of(&self, rows: usize) {
        self.world.lock().unwrap().page = Some(rows);
    }

    pub fn sent(&self, method: &str, path: &str) -> Vec<Value> {
        let world = self.world.lock().unwrap();
        let fits = |(verb, at, _): &&(String, String, Value)| verb == method && at == path;
        world.sent.iter().filter(fits).map(|(_, _, body)| body.clone()).collect()
    }

    pub fn asked(&self, path: &str) -> bool {
        self.world.lock().unwrap().sent.iter().any(|(_, at, _)| at == path)
    }

    pub fn headers(&self) -> HeaderMap {
        self.world.lock().unwrap().headers.clone()
    }
}

async fn answer(State(world): State<Arc<Mutex<World>>>, request: Request) -> Response {
    let method = request.method().to_string();
    let target = request.uri().path_and_query().unwrap().as_str().replacen("/api/12.03", "", 1);
    let headers = request.headers().clone();
    let bytes = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let mut world = world.lock().unwrap();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    world.headers = headers.clone();
    let recorded = if query.starts_with("start=") { path.to_owned() } else { target.clone() };
    world.sent.push((method.clone(), recorded, body));
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["events"]) => events(&world, query, &headers),
        ("GET", ["jobs" | "volumes"]) => page(Vec::<Value>::new(), query, None),
        ("GET", ["audit"]) => Json(json!([])).into_response(),
        ("GET", ["instances"]) => page(world.instances.clone(), query, world.page),
        ("GET", ["images"]) => page(vec![image()], query, None),
        ("GET", ["networks"]) => page(vec![network("nw-demo2"), network("nw-demo1")], query, None),
        ("GET", ["ssh_key_pairs"]) => page(vec![key()], query, None),
        ("GET", ["security_groups"]) => page(vec![group()], query, None),
        ("GET", ["instance_types"]) => page(vec![size("big", 4096), size("small", 256)], query, None),
        ("POST", ["instances"]) if world.no_room => no_room(),
        ("POST", ["instances"]) => {
            let first = world.steps.front().copied().unwrap_or(InstanceState::Pending);
            world.instances.push(instance("i-new", "web1", first.as_str()));
            Json(world.instances.last().unwrap().clone()).into_response()
        }
        ("GET", ["instances", id]) => show(&mut world, id),
        ("DELETE", ["instances", id]) => {
            world.instances.retain(|one| one.id != *id);
            Json(json!([id])).into_response()
        }
        ("PUT", ["instances", id, _]) => Json(json!({ "instance_id": id })).into_response(),
        _ => refused("unknown_route", 404),
    }
}

fn show(world: &mut World, id: &str) -> Response {
    let next =
        if id == "i-new" && world.steps.len() > 1 { world.steps.pop_front() } else { world.steps.front().copied() };
    let Some(one) = world.instances.iter_mut().find(|one| one.id == id) else {
        return refused("unknown_resource", 404);
    };
    if let (Some(state), "i-new") = (next, id) {
        one.state = state;
    }
    if one.state == InstanceState::Failed {
        one.failure = Some(Failure {
            code: "disk_full".into(),
            sentence: "The disk was full.".into(),
            cause: "no room on h1".into(),
            next_step: "make room".into(),
            values: BTreeMap::new(),
        });
    }
    Json(one.clone()).into_response()
}

fn events(world: &World, query: &str, headers: &HeaderMap) -> Response {
    if world.no_events {
        return refused("unavailable", 503);
    }
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)).map(str::to_owned);
    let after: u64 = value("after=").map_or(0, |text| text.parse().unwrap());
    let resource = value("resource=");
    let wanted = |event: &&Event| event.id > after && resource.as_ref().is_none_or(|id| event.resource == *id);
    let found: Vec<Event> = world.events.iter().filter(wanted).cloned().collect();
    if headers.get("accept").is_none_or(|accept| accept != "text/event-stream") {
        return Json(found).into_response();
    }
    let lines =
        found.iter().map(|event| format!("id: {}\ndata: {}\n\n", event.id, serde_json::to_string(event).unwrap()));
    lines.collect::<String>().into_response()
}

fn page<T: serde::Serialize>(rows: Vec<T>, query: &str, limit: Option<usize>) -> Response {
    let start: usize = query.split('&').find_map(|pair| pair.strip_prefix("start=")).map_or(0, |n| n.parse().unwrap());
    let (total, limit) = (rows.len() as u64, limit.unwrap_or(250));
    let results: Vec<T> = rows.into_iter().skip(start).take(limit).collect();
    Json([Page { total, start: start as u64, limit: limit as u64, results }]).into_response()
}

fn refused(reason: &str, status: u16) -> Response {
    let code = catalogue::code_of(reason).unwrap();
    let words = catalogue::refusal(code).en;
    error(reason, status, words.sentence, words.cause, words.next_step, None)
}

fn error(reason: &str, status: u16, message: &str, cause: &str, next_step: &str, detail: Option<Value>) -> Response {
    let body = ErrorBody {
        error: "Dcmgr::Endpoints::Errors::X".into(),
        message: message.into(),
        code: "100".into(),
        reason: reason.into(),
        cause: cause.into(),
        next_step: next_step.into(),
        language: "en".into(),
        detail,
        request_id: "r-1".into(),
    };
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

fn no_room() -> Response {
    let rule = |rule: &str, needed: &str, had: &str, ok| RuleVerdict {
        rule: rule.into(),
        needed: needed.into(),
        had: had.into(),
        ok,
    };
    let rules = vec![rule("memory_size", "512 MiB", "256 MiB", false), rule("cpu_cores", "1", "4", true)];
    let verdicts = vec![HostVerdict { host: "hn-1".into(), fits: false, rules }];
    let placement = Placement { verdicts, ..Placement::default() };
    let (message, cause) = ("No host fits this instance.", "Every host failed at least one rule.");
    let detail = Some(serde_json::to_value(placement).unwrap());
    error("out_of_host_capacity", 400, message, cause, "It would fit on hn-1 if 256 MiB more were free.", detail)
}

fn now() -> Timestamp {
    Timestamp::parse("2026-01-02 03:04:05 UTC").unwrap()
}

pub fn event(id: u64, resource: &str, text: &str) -> Event {
    Event {
        id,
        at: now(),
        at_ms: 0,
        resource: resource.into(),
        operation: None,
        code: "x".into(),
        values: BTreeMap::new(),
        text: text.into(),
        job: None,
        agent: None,
    }
}

pub fn instance(id: &str, hostname: &str, state: &str) -> Instance {
    Instance {
        id: id.into(),
        account_id: "a-demo".into(),
        host_node: Some("hn-1".into()),
        cpu_cores: 1,
        memory_size: 256,
        arch: "x86_64".into(),
        image_id: "wmi-tiny".into(),
        created_at: now(),
        updated_at: now(),
        terminated_at: None,
        deleted_at: None,
        state: InstanceState::parse(state).unwrap(),
        status: "online".into(),
        ssh_key_pair: None,
        volume: vec![],
        vif: vec![InstanceVif {
            vif_id: "vif-1".into(),
            network_id: "nw-demo1".into(),
            index: 0,
            ipv4: Some(VifIpv4 { address: "10.100.0.10".into(), nat_address: None }),
            security_groups: vec!["sg-default".into()],
            mac_addr: Some("52:54:00:00:00:01".into()),
            dns_name: None,
        }],
        hostname: hostname.into(),
        ha_enabled: 0,
        hypervisor: "kvm".into(),
        display_name: Some(hostname.into()),
        service_type: "std".into(),
        monitoring: Default::default(),
        labels: vec![],
        boot_volume_id: None,
        instance_type: Some("small".into()),
        disk_size: 1024,
        generation: 1,
        failure: None,
        progress: None,
        placement_group: None,
        placement_policy: None,
        node_group: None,
        restart_policy: "always".into(),
    }
}

/// Views that are only looked up by id and name.
fn image() -> Value {
    let at = now().to_string();
    json!({"id": "wmi-tiny", "account_id": "a-demo", "uuid": "wmi-tiny", "created_at": at, "updated_at": at,
        "boot_dev_type": 2, "arch": "x86_64", "description": "", "is_public": true, "state": "available", "features": {},
        "file_format": "raw", "root_device": "", "is_cacheable": true, "instance_model_name": "i", "parent_image_id": null,
        "service_type": "std", "display_name": "tiny", "backup_object_id": null, "deleted_at": null, "os_type": "linux",
        "size": 1, "checksum": "", "login_user": null, "failure": null, "progress": null})
}

fn network(id: &str) -> Value {
    let at = now().to_string();
    json!({"id": id, "account_id": "a-demo", "uuid": id, "ipv4_network": "10.100.0.0", "ipv4_gw": "10.100.0.1",
        "prefix": 24, "metric": 100, "domain_name": "demo", "dns_server": null, "dhcp_server": null,
        "metadata_server": null, "metadata_server_port": null, "nat_network_id": null, "description": "",
        "created_at": at, "updated_at": at, "network_mode": "securitygroup", "bandwidth": null, "ip_assignment": "asc",
        "editable": false, "service_type": "std", "display_name": id, "bandwidth_mark": null, "network_services": [],
        "dc_network": null, "dhcp_ranges": [], "vlan_tag": 101, "mtu": 1500, "addresses_total": 1, "addresses_used": 0, "lease_seconds": 3600,
        "ttl_seconds": 60, "dns_servers": [], "ntp_servers": [], "query_log": false, "routes": [], "forwarders": null})
}

fn key() -> Value {
    let at = now().to_string();
    json!({"id": "ssh-demo", "account_id": "a-demo", "uuid": "ssh-demo", "finger_print": "", "public_key": "",
        "description": "", "created_at": at, "updated_at": at, "service_type": "std", "display_name": "demo",
        "deleted_at": null})
}

fn group() -> Value {
    let at = now().to_string();
    json!({"id": "sg-default", "account_id": "a-demo", "uuid": "sg-default", "created_at": at, "updated_at": at,
        "description": "", "rule": "", "service_type": "std", "display_name": "default", "rules": []})
}

fn size(name: &str, memory: u64) -> Value {
    json!({"id": format!("it-{name}"), "name": name, "cpu_cores": 1, "memory_size": memory, "disk_size": 1024,
        "description": ""})
}
