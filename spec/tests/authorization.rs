//! Every operation of the OpenAPI document, by every role, on what is one's own, another's and nobody's.
//!
//! The expectation is what the document says (`x-roles`, one list an operation, in `schema/openapi.json`): who is in it
//! gets through, who is not gets 403, a stranger 401, and what belongs to another account is 404 for who acts for one
//! account. An operation on a kind of resource that the table below does not know fails the test: it needs a row.
//!
//! Nothing is changed by the walk over one's own: its changes come with an `If-Match` that names nothing, so that whoever
//! gets through is told 412.

use anyhow::{Context, ensure};
use arame_schema::model::instance::InstanceState;
use arame_spec::surface::{ADMIN, Answer, Surface};
use arame_spec::world::{Size, World};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ROLES: [&str; 4] = ["admin", "operator", "member", "auditor"];

/// One's own and another's resource of a kind; the same where a kind belongs to nobody.
type Things = BTreeMap<&'static str, (String, String)>;

/// Operations that look outside of what the walk may judge: what they change is everybody's, or oneself.
const NOT_SENT: [&str; 2] = ["POST /audit/confirm", "DELETE /sessions/current"];

/// What is put for a part of a resource, of which there need be none.
const PARTS: [(&str, &str); 5] = [
    ("{name}", "env"),
    ("{volume}", "vol-kpzz2px7"),
    ("{vif}", "vif-kpzz2px7"),
    ("{record}", "dnr-kpzz2px7"),
    ("{schedule}", "vsc-kpzz2px7"),
];

/// A token of each role, for the account.
async fn tokens(surface: &Surface, account: &str) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let mut tokens = BTreeMap::new();
    for role in ROLES {
        let request = surface.request(ADMIN, "POST", "/tokens")?.header("x-vdc-account-uuid", account);
        let made = surface.send(request.json(&json!({ "role": role, "display_name": role }))).await?;
        ensure!(made.status == 200, "{made:?}");
        tokens.insert(role, made.json()["secret"].as_str().context("a secret")?.to_owned());
    }
    Ok(tokens)
}

/// What an account of the walk has.
async fn belongings(
    world: &World,
    surface: &Surface,
    account: &str,
    storage: &str,
) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let make = async |path: &str, body: Value| -> anyhow::Result<String> {
        let request = surface.request(ADMIN, "POST", path)?.header("x-vdc-account-uuid", account);
        let made = surface.send(request.json(&body)).await?;
        ensure!(made.status == 200, "POST {path} for {account}: {made:?}");
        Ok(made.json()["id"].as_str().context("an id")?.to_owned())
    };
    let mut things = BTreeMap::from([("accounts", account.to_owned())]);
    let launch = json!({ "image_id": "wmi-tiny", "instance_type": "small" });
    let instance = make("/instances", launch).await?;
    world.instance_in(&instance, InstanceState::Running).await?;
    let volume = make("/volumes", json!({ "volume_size": 64 })).await?;
    world.volume_in(&volume, "available").await?;
    let snapshot = make("/volume_snapshots", json!({ "volume_id": volume })).await?;
    let taken = async || {
        let found = arame_dcmgr::db::volume_snapshots::get(world.db(), &snapshot, None).await?;
        Ok(found.is_some_and(|one| one.state.as_str() == "available"))
    };
    world.until("the snapshot is taken", taken).await?;
    things.insert("snapshot_replicas", make("/snapshot_replicas", json!({ "snapshot_id": snapshot })).await?);
    things.insert("volume_snapshots", snapshot);
    things.insert("volumes", volume);
    things.insert("security_groups", make("/security_groups", json!({ "display_name": "walk" })).await?);
    things.insert("ssh_key_pairs", make("/ssh_key_pairs", json!({ "display_name": "walk" })).await?);
    things.insert("tokens", make("/tokens", json!({ "role": "auditor" })).await?);
    let view = surface.done(ADMIN, "GET", &format!("/instances/{instance}"), &Value::Null).await?;
    things.insert("network_vifs", view["vif"][0]["vif_id"].as_str().context("a vif")?.to_owned());
    for kind in ["network_groups", "host_node_groups", "storage_node_groups"] {
        things.insert(kind, make(&format!("/{kind}"), json!({ "name": account })).await?);
    }
    let pool = make("/ip_pools", json!({ "display_name": "walk", "dc_networks": ["dcn-main"] })).await?;
    let network = view["vif"][0]["network_id"].clone();
    let request = surface.request(ADMIN, "PUT", &format!("/ip_pools/{pool}/acquire"))?;
    let request = request.header("x-vdc-account-uuid", account).json(&json!({ "network_id": network }));
    let handle = surface.send(request).await?;
    things.insert("ip_handles", handle.json()["ip_handle_id"].as_str().context("a handle")?.to_owned());
    things.insert("ip_pools", pool);
    let backup = json!({ "backup_storage_id": storage, "object_key": account });
    things.insert("backup_objects", make("/backup_objects", backup).await?);
    let member = json!([{ "account_id": account, "role": "member" }]);
    things.insert("users", make("/users", json!({ "name": account, "memberships": member })).await?);
    let statement = format!("SELECT id AS one FROM jobs WHERE thing = '{instance}' LIMIT 1");
    let job = world.db().rows(statement, ()).await?;
    things.insert("jobs", arame_dcmgr::db::Columns::text(job.first().context("a job")?, "one")?);
    things.insert("instances", instance);
    Ok(things)
}

async fn things(world: &World, surface: &Surface) -> anyhow::Result<Things> {
    let make = async |path: &str, body: Value| -> anyhow::Result<String> {
        let made = surface.done(ADMIN, "POST", path, &body).await?;
        Ok(made["id"].as_str().context("an id")?.to_owned())
    };
    let storage =
        make("/backup_storages", json!({ "storage_type": "local", "base_uri": "file:///srv/backup/" })).await?;
    let own = belongings(world, surface, "a-demo", &storage).await?;
    let mut foreign = belongings(world, surface, "a-other", &storage).await?;
    let mut things: Things =
        own.into_iter().filter_map(|(kind, own)| Some((kind, (own, foreign.remove(kind)?)))).collect();
    let token = "INSERT INTO join_tokens (id, agent_id, secret_sha256, created_by, created_at, expires_at) \
                 VALUES ('jt-walk', 'hva.h9', REPEAT('0', 64), 'tok-walk', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL 1 HOUR)";
    world.db().run(token, ()).await?;
    let networks = ("nw-demo1".to_owned(), "nw-other".to_owned());
    things.insert("networks", networks);
    // Public, or the data center's: nobody's in particular.
    for (kind, id) in [
        ("images", "wmi-tiny"),
        ("host_nodes", "hn-h1"),
        ("storage_nodes", "sn-s1"),
        ("naming_nodes", "nsa.n1"),
        ("join_tokens", "jt-walk"),
        ("dc_networks", "dcn-main"),
        ("instance_types", "it-small"),
        ("backup_storages", storage.as_str()),
    ] {
        things.insert(kind, (id.to_owned(), id.to_owned()));
    }
    Ok(things)
}

/// One operation of the document.
struct Operation {
    method: String,
    path: String,
    roles: Vec<String>,
    body: Value,
}

impl Operation {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn kind(&self) -> &str {
        self.path.split('/').nth(1).unwrap_or_default()
    }

    fn has_id(&self) -> bool {
        self.path.contains("{id}")
    }

    /// It is about a part of a resource, which need not be there.
    fn is_of_part(&self) -> bool {
        self.path.matches('{').count() > 1
    }

    /// As it is sent, for a resource.
    fn place_of(&self, id: &str) -> String {
        let monitor = if self.kind() == "instances" { "imon-kpzz2px7" } else { "nwm-kpzz2px7" };
        let path = self.path.replace("{id}", id).replace("{monitor}", monitor);
        PARTS.iter().fold(path, |path, (part, value)| path.replace(part, value))
    }
}

fn operations(document: &Value) -> anyhow::Result<Vec<Operation>> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().context("paths")? {
        for (method, told) in item.as_object().context("a path has operations")? {
            let below = path.strip_prefix("/api/12.03").context("an operation is below the API")?;
            let words = told["x-roles"].as_array().context("x-roles")?;
            let roles = words.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            let body = told["requestBody"]["content"]["application/json"]["example"].clone();
            found.push(Operation { method: method.to_uppercase(), path: below.to_owned(), roles, body });
        }
    }
    Ok(found)
}

/// Refusals that say that somebody may not.
fn is_shut_out(answer: &Answer) -> bool {
    let reasons = ["not_permitted", "account_not_permitted", "unauthenticated", "too_many_failures"];
    reasons.contains(&answer.reason().as_str())
}

/// What no agent can do yet is told to whoever may do it.
fn is_absent(answer: &Answer) -> bool {
    (answer.status, answer.reason().as_str()) == (501, "not_implemented")
}

/// The walk of one operation; counts what it sent.
struct Walk<'a> {
    surface: &'a Surface,
    things: &'a Things,
    tokens: &'a BTreeMap<&'static str, String>,
    sent: usize,
    foreign: usize,
    absent: usize,
}

impl Walk<'_> {
    async fn send(
        &mut self,
        operation: &Operation,
        secret: &str,
        id: &str,
        more: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let path = operation.place_of(id);
        let mut request = self.surface.request(secret, &operation.method, &path)?;
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        if !operation.body.is_null() {
            request = request.json(&operation.body);
        }
        self.sent += 1;
        self.surface.send(request).await
    }

    async fn walk(&mut self, operation: &Operation) -> anyhow::Result<()> {
        let place = operation.name();
        let (own, foreign) = match operation.has_id() {
            true => self.things.get(operation.kind()).cloned().with_context(|| {
                format!("{place}: no resource of this kind is known to the walk; give `things` a row for it")
            })?,
            false => Default::default(),
        };
        let anyone = operation.roles == ["anyone"];
        let stranger = self.send(operation, "", &own, &[]).await?;
        match anyone {
            true => ensure!(stranger.reason() != "unauthenticated", "{place}: a stranger: {stranger:?}"),
            false => ensure!(stranger.status == 401, "{place}: a stranger: {stranger:?}"),
        }
        if anyone || NOT_SENT.contains(&place.as_str()) {
            return Ok(());
        }
        for role in ROLES {
            let secret = self.tokens[role].clone();
            let may = operation.roles.iter().any(|one| one == role);
            self.own(operation, role, &secret, &own, may).await?;
            // Who acts for every account meets no foreign one.
            if operation.has_id() && ["member", "auditor"].contains(&role) {
                self.foreign(operation, role, &secret, (&own, &foreign), may).await?;
            }
        }
        Ok(())
    }

    async fn own(
        &mut self,
        operation: &Operation,
        role: &str,
        secret: &str,
        own: &str,
        may: bool,
    ) -> anyhow::Result<()> {
        let place = format!("{role}: {}", operation.name());
        let mut more = vec![("x-vdc-account-uuid", "a-demo")];
        let conditional = operation.has_id() && ["PUT", "DELETE"].contains(&operation.method.as_str());
        if conditional {
            more.push(("if-match", "\"nothing\""));
        }
        let answer = self.send(operation, secret, own, &more).await?;
        if !may {
            ensure!((answer.status, answer.reason().as_str()) == (403, "not_permitted"), "{place}: {answer:?}");
            return Ok(());
        }
        ensure!(!is_shut_out(&answer) && (answer.status < 500 || is_absent(&answer)), "{place}: {answer:?}");
        if is_absent(&answer) {
            self.absent += 1;
        } else if conditional {
            ensure!(answer.status == 412, "{place}: {answer:?}");
        } else if operation.has_id() && !operation.is_of_part() {
            let is_there = answer.status != 404 || answer.reason() != "unknown_resource";
            ensure!(is_there, "{place}: one's own is not there: {answer:?}");
        }
        // Another account cannot be chosen by a header.
        if ["member", "auditor"].contains(&role) {
            let answer = self.send(operation, secret, own, &[("x-vdc-account-uuid", "a-other")]).await?;
            ensure!(answer.reason() == "account_not_permitted", "{place} for a-other: {answer:?}");
        }
        Ok(())
    }

    async fn foreign(
        &mut self,
        operation: &Operation,
        role: &str,
        secret: &str,
        (own, foreign): (&str, &str),
        may: bool,
    ) -> anyhow::Result<()> {
        if own == foreign {
            return Ok(());
        }
        let answer = self.send(operation, secret, foreign, &[]).await?;
        let wanted = if may { (404, "unknown_resource") } else { (403, "not_permitted") };
        let place = operation.name();
        // It is not built, for anybody.
        if may && is_absent(&answer) {
            return Ok(());
        }
        ensure!((answer.status, answer.reason().as_str()) == wanted, "{role}: {place} of another: {answer:?}");
        self.foreign += 1;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_lets_in_whom_the_document_names_and_shows_nobody_what_is_anothers() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, storage: 2, ..Size::default() }).await?;
    let surface = Surface::of(&world.app).await?;
    let document = surface.done("", "GET", "/openapi.json", &Value::Null).await?;
    let operations = operations(&document)?;
    let (things, tokens) = (things(&world, &surface).await?, tokens(&surface, "a-demo").await?);
    let mut walk = Walk { surface: &surface, things: &things, tokens: &tokens, sent: 0, foreign: 0, absent: 0 };
    let mut wrong = Vec::new();
    for operation in &operations {
        wrong.extend(walk.walk(operation).await.err().map(|error| format!("{error:#}")));
    }
    println!(
        "{} operations, {} requests, {} of them for another's, {} answered that it is not built",
        operations.len(),
        walk.sent,
        walk.foreign,
        walk.absent
    );
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(operations.len() > 200 && walk.sent > 1_400 && walk.foreign > 200, "too little was walked");
    surface.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_without_a_row_and_a_route_that_lets_too_many_in_are_found() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let surface = Surface::of(&world.app).await?;
    let tokens = tokens(&surface, "a-demo").await?;
    let things = Things::from([("networks", ("nw-demo1".into(), "nw-demo2".into()))]);
    let mut walk = Walk { surface: &surface, things: &things, tokens: &tokens, sent: 0, foreign: 0, absent: 0 };
    let operation = |method: &str, path: &str, roles: &[&str]| Operation {
        method: method.into(),
        path: path.into(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        body: Value::Null,
    };
    let all = ROLES.as_slice();
    let unknown = walk.walk(&operation("GET", "/load_balancers/{id}", all)).await.unwrap_err();
    ensure!(unknown.to_string().contains("no resource of this kind"), "{unknown:#}");
    // "Another's" is the demo account's own here: a route that shows it must be found out.
    let shown = walk.walk(&operation("GET", "/networks/{id}", all)).await.unwrap_err();
    ensure!(shown.to_string().contains("of another"), "{shown:#}");
    let wide = walk.walk(&operation("GET", "/host_nodes", all)).await.unwrap_err();
    ensure!(wide.to_string().contains("member: GET /host_nodes"), "{wide:#}");
    let narrow = walk.walk(&operation("GET", "/instances", &["admin"])).await.unwrap_err();
    ensure!(narrow.to_string().contains("operator: GET /instances"), "{narrow:#}");
    surface.end().await
}
