//! Users and sessions, revocation on two dcmgr, conditional and repeated requests, plans, an end without a failed request.

use anyhow::{Context, ensure};
use arame_schema::model::instance::InstanceState;
use arame_spec::surface::{ADMIN, Answer, DEMO, Surface};
use arame_spec::world::{Size, World};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

async fn world() -> anyhow::Result<(World, Surface)> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let surface = Surface::of(&world.app).await?;
    Ok((world, surface))
}

fn is(answer: &Answer, status: u16, reason: &str) -> anyhow::Result<()> {
    ensure!((answer.status, answer.reason().as_str()) == (status, reason), "wanted {status} {reason}: {answer:?}");
    Ok(())
}

const PASSWORD: &str = "correct horse battery";

async fn make_user(surface: &Surface, name: &str, memberships: Value) -> anyhow::Result<Value> {
    let body = json!({ "name": name, "password": PASSWORD, "memberships": memberships });
    surface.done(ADMIN, "POST", "/users", &body).await
}

async fn sign_in(surface: &Surface, name: &str, password: &str) -> anyhow::Result<Answer> {
    surface.ask("", "POST", "/sessions", &json!({ "name": name, "password": password })).await
}

fn secret(answer: &Value) -> anyhow::Result<String> {
    Ok(answer["secret"].as_str().with_context(|| answer.to_string())?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_signs_in_acts_by_membership_and_loses_it_at_once() -> anyhow::Result<()> {
    let (world, surface) = world().await?;
    let two = json!([{ "account_id": "a-demo", "role": "member" }, { "account_id": "a-other", "role": "auditor" }]);
    let user = make_user(&surface, "hanako", two).await?;
    let id = user["id"].as_str().context("an id")?.to_owned();
    ensure!(!user.to_string().contains(PASSWORD) && user["has_password"] == true, "{user}");
    let again = json!({ "name": "hanako", "password": PASSWORD });
    is(&surface.ask(ADMIN, "POST", "/users", &again).await?, 409, "already_exists")?;

    is(&sign_in(&surface, "hanako", "wrong password").await?, 401, "sign_in_failed")?;
    is(&sign_in(&surface, "nobody", PASSWORD).await?, 401, "sign_in_failed")?;
    let signed = sign_in(&surface, "hanako", PASSWORD).await?;
    ensure!(signed.status == 200, "{signed:?}");
    let signed = signed.json();
    ensure!((&signed["account_id"], &signed["role"]) == (&json!("a-demo"), &json!("member")), "{signed}");
    let session = secret(&signed)?;
    let me = surface.done(&session, "GET", "/whoami", &Value::Null).await?;
    ensure!(me["user"]["name"] == "hanako" && me["account_id"] == "a-demo", "{me}");

    // In the other account an auditor: it looks and does not change.
    let group = json!({ "display_name": "g" });
    let for_other = |method: &str| {
        Ok::<_, anyhow::Error>(
            surface.request(&session, method, "/security_groups")?.header("x-vdc-account-uuid", "a-other").json(&group),
        )
    };
    is(&surface.send(for_other("POST")?).await?, 403, "not_permitted")?;
    ensure!(surface.send(for_other("GET")?).await?.status == 200);
    surface.done(&session, "POST", "/security_groups", &group).await?;

    // The membership is taken away: on this dcmgr at once.
    let less = json!({ "memberships": [{ "account_id": "a-demo", "role": "auditor" }] });
    surface.done(ADMIN, "PUT", &format!("/users/{id}"), &less).await?;
    is(&surface.ask(&session, "POST", "/security_groups", &group).await?, 403, "not_permitted")?;
    is(&surface.send(for_other("GET")?).await?, 403, "account_not_permitted")?;

    // Nobody gives a role above their own, nor changes who has one.
    make_user(&surface, "root", json!([{ "account_id": "a-demo", "role": "admin" }])).await?;
    let minted = surface.request(ADMIN, "POST", "/tokens")?.header("x-vdc-account-uuid", "a-demo");
    let operator = secret(&surface.send(minted.json(&json!({ "role": "operator" }))).await?.json())?;
    let users = surface.done(&operator, "GET", "/users", &Value::Null).await?;
    let root = users[0]["results"].as_array().context("users")?.iter().find(|user| user["name"] == "root");
    let root = root.and_then(|user| user["id"].as_str()).context("root")?.to_owned();
    let change = json!({ "password": "another password" });
    is(&surface.ask(&operator, "PUT", &format!("/users/{root}"), &change).await?, 403, "not_permitted")?;

    // A new password ends the other sessions; signing out ends this one.
    let second = secret(&sign_in(&surface, "hanako", PASSWORD).await?.json())?;
    let change = json!({ "password": PASSWORD, "new_password": "staple that too" });
    surface.done(&second, "PUT", "/whoami/password", &change).await?;
    is(&surface.ask(&session, "GET", "/whoami", &Value::Null).await?, 401, "unauthenticated")?;
    surface.done(&second, "DELETE", "/sessions/current", &Value::Null).await?;
    is(&surface.ask(&second, "GET", "/whoami", &Value::Null).await?, 401, "unauthenticated")?;
    is(&surface.ask(DEMO, "DELETE", "/sessions/current", &Value::Null).await?, 404, "unknown_resource")?;

    surface.done(ADMIN, "DELETE", &format!("/users/{id}"), &Value::Null).await?;
    is(&sign_in(&surface, "hanako", "staple that too").await?, 401, "sign_in_failed")?;
    make_user(&surface, "hanako", json!([])).await?;
    is(&sign_in(&surface, "hanako", PASSWORD).await?, 401, "sign_in_failed")?;
    surface.end().await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guesser_is_told_when_to_come_again_and_a_right_token_is_let_in_all_the_while() -> anyhow::Result<()> {
    let (_world, surface) = world().await?;
    make_user(&surface, "taro", json!([{ "account_id": "a-demo", "role": "member" }])).await?;
    let mut last = None;
    for _ in 0..11 {
        last = Some(sign_in(&surface, "taro", "a wrong password").await?);
    }
    let shut = last.context("an answer")?;
    is(&shut, 429, "too_many_failures")?;
    let seconds: u64 = shut.header("retry-after").context("Retry-After")?.parse()?;
    ensure!((1..=60).contains(&seconds), "{seconds}");
    is(&sign_in(&surface, "taro", PASSWORD).await?, 429, "too_many_failures")?;
    let mut refused = std::collections::BTreeMap::new();
    for n in 0..80 {
        let answer = surface.ask(&format!("guess-{n}"), "GET", "/whoami", &Value::Null).await?;
        *refused.entry(answer.status).or_insert(0) += 1;
    }
    ensure!(refused[&401] > 30 && refused[&429] > 5 && refused.len() == 2, "{refused:?}");
    surface.done(DEMO, "GET", "/whoami", &Value::Null).await?;
    surface.end().await
}

/// Whether a stream ended, and when.
async fn until_it_ends(mut stream: reqwest::Response) -> anyhow::Result<Instant> {
    while stream.chunk().await?.is_some() {}
    Ok(Instant::now())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_refused_by_every_dcmgr_within_a_second_and_its_streams_end_within_five()
-> anyhow::Result<()> {
    let (world, surface) = world().await?;
    let other = Surface::of(&world.second().await?).await?;
    let made = surface.request(ADMIN, "POST", "/tokens")?.header("x-vdc-account-uuid", "a-demo");
    let made = surface.send(made.json(&json!({ "role": "member" }))).await?.json();
    let (id, token) = (made["id"].as_str().context("an id")?.to_owned(), secret(&made)?);
    let mut streams = JoinSet::new();
    for one in [&surface, &other] {
        let request = one.request(&token, "GET", "/events")?.header("accept", "text/event-stream");
        let stream = request.timeout(Duration::from_secs(60)).send().await?.error_for_status()?;
        streams.spawn(until_it_ends(stream));
    }
    // The other one has just found the token good, and believes it.
    other.done(&token, "GET", "/whoami", &Value::Null).await?;
    surface.done(ADMIN, "DELETE", &format!("/tokens/{id}"), &Value::Null).await?;
    let revoked = Instant::now();
    is(&surface.ask(&token, "GET", "/whoami", &Value::Null).await?, 401, "unauthenticated")?;
    while other.ask(&token, "GET", "/whoami", &Value::Null).await?.status == 200 {
        ensure!(revoked.elapsed() < Duration::from_secs(1), "the other dcmgr lets it in after a second");
    }
    println!("refused by the other dcmgr after {:?}", revoked.elapsed());
    while let Some(ended) = streams.join_next().await {
        let took = ended??.duration_since(revoked);
        println!("a stream ended after {took:?}");
        ensure!(took < Duration::from_secs(5), "a stream went on for {took:?}");
    }
    // The control: a stream of a good token goes on.
    let request = surface.request(DEMO, "GET", "/events")?.header("accept", "text/event-stream");
    let stream = request.timeout(Duration::from_secs(60)).send().await?.error_for_status()?;
    let goes_on = tokio::time::timeout(Duration::from_secs(5), until_it_ends(stream)).await;
    ensure!(goes_on.is_err(), "a good token's stream ended");
    surface.end().await?;
    other.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changes_what_somebody_else_changed_first_is_told_so_and_of_many_at_once_one_wins() -> anyhow::Result<()> {
    let (world, surface) = world().await?;
    let other = Surface::of(&world.second().await?).await?;
    let made = surface.done(DEMO, "POST", "/security_groups", &json!({ "display_name": "g" })).await?;
    let path = format!("/security_groups/{}", made["id"].as_str().context("an id")?);
    let shown = surface.ask(DEMO, "GET", &path, &Value::Null).await?;
    let etag = shown.header("etag").context("an ETag")?.to_owned();
    ensure!(!etag.starts_with("W/"), "{etag}");
    let known = surface.request(DEMO, "GET", &path)?.header("if-none-match", &etag);
    let known = surface.send(known).await?;
    ensure!(known.status == 304 && known.text.is_empty() && known.header("etag") == Some(&*etag), "{known:?}");
    // The same in Japanese is another representation, and its ETag serves as well.
    let japanese = surface.request(DEMO, "GET", &path)?.header("accept-language", "ja");
    ensure!(surface.send(japanese).await?.status == 200);

    let mut writers = JoinSet::new();
    for n in 0..8 {
        let to = if n % 2 == 0 { &surface } else { &other };
        let request = to.request(DEMO, "PUT", &path)?.header("if-match", &etag);
        let request = request.json(&json!({ "description": format!("writer {n}") }));
        writers.spawn(async move { anyhow::Ok(request.send().await?.status().as_u16()) });
    }
    let mut statuses = Vec::new();
    while let Some(status) = writers.join_next().await {
        statuses.push(status??);
    }
    statuses.sort_unstable();
    ensure!(statuses == [200, 412, 412, 412, 412, 412, 412, 412], "{statuses:?}");
    let stale = surface.request(DEMO, "DELETE", &path)?.header("if-match", &etag);
    is(&surface.send(stale).await?, 412, "changed")?;
    let now = surface.ask(DEMO, "GET", &path, &Value::Null).await?;
    let fresh = surface.request(DEMO, "DELETE", &path)?.header("if-match", now.header("etag").context("an ETag")?);
    ensure!(surface.send(fresh).await?.status == 200);
    surface.end().await?;
    other.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_with_a_representation_of_its_own_is_changed_by_its_own_etag() -> anyhow::Result<()> {
    let (world, surface) = world().await?;
    let volume = surface.ask(DEMO, "POST", "/volumes", &json!({ "volume_size": 64 })).await?.json()["id"].clone();
    let volume = volume.as_str().context("a volume's id")?;
    world.volume_in(volume, "available").await?;
    let wish = json!({ "every": "day", "hour": 3, "minute": 30, "makes": "snapshot", "time_zone": "Asia/Tokyo" });
    let made = surface.ask(DEMO, "POST", &format!("/volumes/{volume}/schedules"), &wish).await?;
    let path = format!("/volumes/{volume}/schedules/{}", made.json()["id"].as_str().context("an id")?);
    let etag_of = async |path: &str| {
        let shown = surface.ask(DEMO, "GET", path, &Value::Null).await?;
        Ok::<_, anyhow::Error>(shown.header("etag").context("an ETag")?.to_owned())
    };
    let change = async |path: &str, etag: &str, minute: u64| {
        let request = surface.request(DEMO, "PUT", path)?.header("if-match", etag);
        surface.send(request.json(&json!({ "minute": minute }))).await
    };
    let (own, whole) = (etag_of(&path).await?, etag_of(&format!("/volumes/{volume}")).await?);
    is(&change(&path, &whole, 31).await?, 412, "changed")?;
    ensure!(change(&path, &own, 32).await?.status == 200, "by its own");
    is(&change(&path, &own, 33).await?, 412, "changed")?;
    ensure!(change(&path, &etag_of(&path).await?, 34).await?.status == 200, "by what it is now");
    is(&change(&format!("/volumes/{volume}/schedules/vsc-kpzz2px7"), &own, 35).await?, 412, "changed")?;
    let now = surface.ask(DEMO, "GET", &path, &Value::Null).await?;
    ensure!(now.json()["minute"] == 34, "{now:?}");
    surface.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_makes_one_thing_and_is_answered_alike_also_by_a_dcmgr_started_since() -> anyhow::Result<()>
{
    let (mut world, surface) = world().await?;
    let keyed = |to: &Surface, path: &str, body: &Value, key: &str| {
        Ok::<_, anyhow::Error>(
            to.request(ADMIN, "POST", path)?
                .header("x-vdc-account-uuid", "a-demo")
                .header("idempotency-key", key)
                .json(body),
        )
    };
    let making = [
        ("/accounts", json!({ "id": "a-team" })),
        ("/tokens", json!({ "role": "member" })),
        ("/users", json!({ "name": "hanako" })),
        ("/security_groups", json!({ "display_name": "once" })),
        ("/ssh_key_pairs", json!({ "display_name": "once" })),
        ("/volumes", json!({ "volume_size": 64 })),
        ("/instances", json!({ "image_id": "wmi-tiny", "instance_type": "small" })),
    ];
    let mut first = Vec::new();
    for (path, body) in &making {
        let answer = surface.send(keyed(&surface, path, body, path)?).await?;
        ensure!(answer.status == 200, "{path}: {answer:?}");
        let again = surface.send(keyed(&surface, path, body, path)?).await?;
        ensure!(again.json()["id"] == answer.json()["id"], "{path} was made twice: {again:?}");
        ensure!(again.header("idempotency-replayed") == Some("true"), "{path}: {again:?}");
        ensure!(again.json().get("secret").is_none() && again.json()["private_key"].is_null(), "{path}: {again:?}");
        first.push(answer.json()["id"].clone());
    }
    // The same key with another request is a mistake.
    let other = keyed(&surface, "/security_groups", &json!({ "display_name": "twice" }), "/security_groups")?;
    is(&surface.send(other).await?, 409, "idempotency_conflict")?;
    // Many at once: one is made, each is told which.
    let mut crowd = JoinSet::new();
    for _ in 0..6 {
        let request = keyed(&surface, "/security_groups", &json!({ "display_name": "crowd" }), "crowd")?;
        crowd.spawn(async move { anyhow::Ok(request.send().await?.json::<Value>().await?) });
    }
    let mut made = std::collections::BTreeSet::new();
    while let Some(answer) = crowd.join_next().await {
        made.insert(answer??["id"].to_string());
    }
    ensure!(made.len() == 1, "{made:?}");
    // The same account at once, without a key: one is made, the others are told that it is there.
    let mut crowd = JoinSet::new();
    for _ in 0..6 {
        let request = surface.request(ADMIN, "POST", "/accounts")?.json(&json!({ "id": "a-crowd" }));
        crowd.spawn(async move { anyhow::Ok(request.send().await?.status().as_u16()) });
    }
    let mut statuses = Vec::new();
    while let Some(status) = crowd.join_next().await {
        statuses.push(status??);
    }
    statuses.sort_unstable();
    ensure!(statuses == [200, 409, 409, 409, 409, 409], "{statuses:?}");
    surface.end().await?;
    world.restart_dcmgr().await?;
    let surface = Surface::of(&world.app).await?;
    for ((path, body), id) in making.iter().zip(&first) {
        let again = surface.send(keyed(&surface, path, body, path)?).await?;
        ensure!(again.json()["id"] == *id, "{path} after a restart: {again:?}");
    }
    surface.end().await
}

/// Every row of the data center but for what the agents' reports write by themselves, as one text.
async fn picture(world: &World) -> anyhow::Result<String> {
    let moving = ["agents", "inventories", "tokens", "refinery_schema_history"];
    let tables =
        "SELECT table_name AS one FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name";
    let mut picture = String::new();
    for row in world.db().rows(tables, ()).await? {
        let name = arame_dcmgr::db::Columns::text(&row, "one")?;
        if moving.contains(&name.as_str()) {
            continue;
        }
        let rows = world.db().rows(format!("CHECKSUM TABLE {name}"), ()).await?;
        picture.push_str(&format!("{name} {rows:?}\n"));
    }
    Ok(picture)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_tells_what_would_happen_and_changes_no_row() -> anyhow::Result<()> {
    let (world, surface) = world().await?;
    let launch = json!({ "image_id": "wmi-tiny", "instance_type": "small", "hostname": "web1" });
    let made = surface.done(DEMO, "POST", "/instances", &launch).await?;
    let id = made["id"].as_str().context("an id")?.to_owned();
    world.instance_in(&id, InstanceState::Running).await?;
    world.until("no job is open", async || Ok(arame_dcmgr::db::jobs::open_count(world.db()).await? == 0)).await?;
    world
        .until("events have their numbers", async || {
            Ok(world.db().rows("SELECT 1 AS one FROM events WHERE number IS NULL", ()).await?.is_empty())
        })
        .await?;
    let before = picture(&world).await?;
    let again = surface.done(DEMO, "POST", "/instances?plan=true", &launch).await?;
    ensure!(again["refusals"][0]["reason"] == "duplicate_hostname", "{again}");
    ensure!(again["refusals"][0]["message"].as_str().is_some_and(|text| text.contains("web1")), "{again}");
    let fresh = json!({ "image_id": "wmi-tiny", "instance_type": "small", "hostname": "web2" });
    let plan = surface.done(DEMO, "POST", "/instances?plan=true", &fresh).await?;
    ensure!(plan["refusals"] == json!([]) && plan["host"] == "hn-h1", "{plan}");
    let quota = json!([{ "quota": "instance.count", "used": 1, "after": 2, "limit": 400 }]);
    ensure!(plan["quotas"] == quota, "{plan}");
    let gone = surface.done(DEMO, "DELETE", &format!("/instances/{id}?plan=true"), &Value::Null).await?;
    ensure!(gone["releases"] == json!(["10.100.0.10"]) && gone["quotas"][0]["after"] == 0, "{gone}");
    let foreign = surface.ask("other-secret", "DELETE", &format!("/instances/{id}?plan=true"), &Value::Null).await?;
    is(&foreign, 404, "unknown_resource")?;
    ensure!(picture(&world).await? == before, "a plan changed rows:\n{before}\n{}", picture(&world).await?);
    // The control: the real request changes them.
    surface.done(DEMO, "POST", "/instances", &fresh).await?;
    ensure!(picture(&world).await? != before, "the picture shows nothing");
    surface.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_end_fails_no_request_that_is_under_way() -> anyhow::Result<()> {
    let (_world, surface) = world().await?;
    let mut under_way = JoinSet::new();
    for n in 0..40 {
        let request = surface
            .request(DEMO, "POST", "/volumes")?
            .json(&json!({ "volume_size": 64, "display_name": n.to_string() }));
        under_way.spawn(async move { anyhow::Ok((request.send().await?.status().as_u16(), Instant::now())) });
    }
    // Ended when some are done and others are not.
    let mut done = Vec::new();
    while done.len() < 5 {
        done.push(under_way.join_next().await.context("a request")???);
    }
    let told = Instant::now();
    surface.stop.cancel();
    let (mut after, mut refused) = (0, 0);
    while let Some(answer) = under_way.join_next().await {
        match answer? {
            Ok((200, at)) => after += usize::from(at > told),
            Ok((status, _)) => anyhow::bail!("a request was answered {status}"),
            // One that had not been taken in: nothing was begun, and a client goes to another dcmgr.
            Err(error) if error.to_string().contains("connect") || format!("{error:#}").contains("connect") => {
                refused += 1
            }
            Err(error) => anyhow::bail!("a request that was taken in failed: {error:#}"),
        }
    }
    println!("{after} were answered after the end was asked for, {refused} were not taken in any more");
    ensure!(after > 0, "none was under way");
    tokio::time::timeout(Duration::from_secs(10), surface.served).await.context("the server does not end")???;
    Ok(())
}

/// `arame` as a person at this machine runs it: the login is in a folder of its own, a secret is a line of input.
async fn arame(
    surface: &Surface,
    home: &std::path::Path,
    words: &[&str],
    input: &str,
) -> anyhow::Result<(bool, String)> {
    use tokio::io::AsyncWriteExt;
    let mut command = tokio::process::Command::new(arame_spec::processes::programs()?.join("arame"));
    command.env("XDG_CONFIG_HOME", home).env("HOME", home).env_remove("ARAME_TOKEN").env_remove("ARAME_DIR");
    command.current_dir(home).args(["--lang", "en"]).args(words).kill_on_drop(true);
    if words[0] == "login" {
        command.args(["--url", &format!("http://{}", surface.address)]);
    }
    let pipe = std::process::Stdio::piped;
    let mut child = command.stdin(pipe()).stdout(pipe()).stderr(pipe()).spawn()?;
    let mut typed = child.stdin.take().context("its input")?;
    typed.write_all(input.as_bytes()).await?;
    drop(typed);
    let output =
        tokio::time::timeout(Duration::from_secs(30), child.wait_with_output()).await.context("arame hangs")??;
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.success(), told))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_logs_in_by_the_command_works_and_logs_out() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let (_world, surface) = world().await?;
    make_user(&surface, "hanako", json!([{ "account_id": "a-demo", "role": "member" }])).await?;
    let home = tempfile::tempdir()?;
    let run = async |words: &[&str], input: &str| arame(&surface, home.path(), words, input).await;
    let (well, told) = run(&["whoami"], "").await?;
    ensure!(!well && told.contains("arame login"), "the control: nobody is logged in: {told}");
    let (well, told) = run(&["login", "hanako"], "wrong password\n").await?;
    ensure!(!well && told.contains("Signing in failed"), "{told}");
    let (well, told) = run(&["login", "hanako"], &format!("{PASSWORD}\n")).await?;
    ensure!(well && told.contains("hanako") && !told.contains(PASSWORD), "{told}");
    let file = home.path().join("arame/login.json");
    ensure!(std::fs::metadata(&file)?.permissions().mode() & 0o777 == 0o600);
    let token =
        serde_json::from_slice::<Value>(&std::fs::read(&file)?)?["token"].as_str().context("a token")?.to_owned();
    let (well, told) = run(&["--json", "whoami"], "").await?;
    ensure!(well && told.contains("\"member\""), "{told}");
    let (well, told) = run(&["instance", "list"], "").await?;
    ensure!(well, "{told}");
    let (well, told) = run(&["user", "list"], "").await?;
    ensure!(!well && told.contains("not permitted"), "a member lists users: {told}");
    let (well, told) = run(&["logout"], "").await?;
    ensure!(well && !file.exists(), "{told}");
    is(&surface.ask(&token, "GET", "/whoami", &Value::Null).await?, 401, "unauthenticated")?;
    let (well, told) = run(&["login", "--with-token"], "admin-secret\n").await?;
    ensure!(well && told.contains("tok-admin"), "{told}");
    let (well, told) = run(&["user", "create", "jiro", "--member", "a-demo:auditor"], "his own password\n").await?;
    ensure!(well && told.contains("a-demo:auditor"), "{told}");
    ensure!(sign_in(&surface, "jiro", "his own password").await?.status == 200);
    surface.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_goes_on_behind_its_last_row_also_when_rows_come_before_it() -> anyhow::Result<()> {
    let (_world, surface) = world().await?;
    let launch = async |name: &str| {
        let body = json!({ "image_id": "wmi-tiny", "instance_type": "small", "hostname": name });
        surface.done(DEMO, "POST", "/instances", &body).await
    };
    for name in ["m1", "m2", "m3", "m4"] {
        launch(name).await?;
    }
    let names = |page: &Value| -> Vec<String> {
        let rows = page[0]["results"].as_array().cloned().unwrap_or_default();
        rows.iter().filter_map(|row| row["hostname"].as_str().map(str::to_owned)).collect()
    };
    let first = surface.done(DEMO, "GET", "/instances?limit=2", &Value::Null).await?;
    ensure!(names(&first) == ["m4", "m3"], "{first}");
    let last = first[0]["results"][1]["id"].as_str().context("an id")?.to_owned();
    launch("m5").await?;
    let next = surface.done(DEMO, "GET", &format!("/instances?limit=2&after={last}"), &Value::Null).await?;
    ensure!(names(&next) == ["m2", "m1"] && next[0]["total"] == 5, "{next}");
    // The control: a start counts from the front, and meets one again.
    let counted = surface.done(DEMO, "GET", "/instances?limit=2&start=2", &Value::Null).await?;
    ensure!(names(&counted) == ["m3", "m2"], "{counted}");
    surface.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_compressed_for_who_asks_and_every_answer_has_its_number() -> anyhow::Result<()> {
    let (_world, surface) = world().await?;
    for n in 0..10 {
        surface.done(DEMO, "POST", "/security_groups", &json!({ "display_name": format!("group {n}") })).await?;
    }
    let plain = surface.ask(DEMO, "GET", "/security_groups", &Value::Null).await?;
    let asked = surface.request(DEMO, "GET", "/security_groups")?.header("accept-encoding", "gzip").send().await?;
    ensure!(asked.headers()["content-encoding"] == "gzip", "{asked:?}");
    let bytes = asked.bytes().await?;
    ensure!(
        bytes.starts_with(&[0x1f, 0x8b]) && bytes.len() * 2 < plain.text.len(),
        "{} {}",
        bytes.len(),
        plain.text.len()
    );
    ensure!(plain.header("content-encoding").is_none() && plain.header("x-vdc-request-id").is_some());
    let page = surface.ask("", "GET", "/docs", &Value::Null).await?;
    ensure!(page.status == 200 && page.text.contains("docs/page.js") && !page.text.contains("http"), "{page:?}");
    surface.end().await
}
