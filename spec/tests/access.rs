//! Who may come in: accounts, tokens, quotas and the log of changes, on the real application.

use anyhow::{Context, ensure};
use arame_dcmgr::app::{self, Caller};
use arame_schema::api::{Code, CreateAccount, CreateToken, ListFilter, Refusal, Role};
use arame_schema::model::instance::InstanceState;
use arame_spec::world::{Size, World};

fn told<T>(result: Result<T, Refusal>) -> anyhow::Result<T> {
    result.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))
}

fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>, code: Code) -> anyhow::Result<Refusal> {
    match result {
        Err(refusal) if refusal.code == code => Ok(refusal),
        other => anyhow::bail!("not refused as {code:?}: {other:?}"),
    }
}

/// Each change is known by its request.
fn anew(caller: &Caller) -> Caller {
    Caller { request: uuid::Uuid::now_v7(), ..caller.clone() }
}

fn token(role: Role) -> CreateToken {
    CreateToken { role, display_name: None, expires_in: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_made_used_emptied_and_ended_and_its_id_is_never_given_again() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let operator = world.caller("a-demo", Role::Operator);
    let request = CreateAccount { id: Some("a-team".into()), quota_instances: Some(1), ..CreateAccount::default() };
    let made = told(app::accounts::create(&world.app, &operator, request.clone()).await)?;
    ensure!((made.id.as_str(), made.enabled, made.quota_instances) == ("a-team", true, Some(1)), "{made:?}");
    refused(app::accounts::create(&world.app, &anew(&operator), request.clone()).await, Code::AlreadyExists)?;

    let team = world.caller("a-team", Role::Operator);
    let minted = told(app::tokens::create(&world.app, &team, token(Role::Member)).await)?;
    let secret = minted.secret.context("a secret")?;
    let member = told(world.app.authenticate(&secret, None, "192.0.2.7").await)?;
    ensure!((member.account.as_deref(), member.role) == (Some("a-team"), Role::Member), "{member:?}");
    let listed = told(app::tokens::list(&world.app, &member, ListFilter::default()).await)?;
    ensure!(listed.results.len() == 1 && listed.results[0].secret.is_none(), "{listed:?}");
    ensure!(listed.results[0].last_used_at.is_some() && listed.results[0].created_by.is_some(), "{listed:?}");

    // It has something: it stays. Its own token makes none with more rights, and sees no other account.
    let statement = "UPDATE networks SET account_id = 'a-team' WHERE id = 'nw-other'";
    world.db().rows(statement, ()).await?;
    let refusal = refused(app::accounts::delete(&world.app, &anew(&operator), "a-team").await, Code::ResourceInUse)?;
    ensure!(refusal.values["by"] == "1 networks", "{refusal:?}");
    world.db().rows("UPDATE networks SET account_id = 'a-other' WHERE id = 'nw-other'", ()).await?;
    refused(app::tokens::create(&world.app, &anew(&member), token(Role::Operator)).await, Code::NotPermitted)?;
    refused(app::accounts::get(&world.app, &member, "a-demo").await, Code::UnknownResource)?;
    refused(app::tokens::revoke(&world.app, &anew(&member), "tok-demo").await, Code::UnknownResource)?;

    let off = app::accounts::Change { enabled: Some(false), quota_instances: Some(None), ..Default::default() };
    let changed = told(app::accounts::update(&world.app, &anew(&operator), "a-team", off).await)?;
    ensure!(!changed.enabled && changed.quota_instances.is_none(), "{changed:?}");
    refused(world.app.authenticate(&secret, None, "192.0.2.7").await.map(|_| ()), Code::DisabledAccount)?;
    let on = app::accounts::Change { enabled: Some(true), ..Default::default() };
    told(app::accounts::update(&world.app, &anew(&operator), "a-team", on).await)?;
    told(world.app.authenticate(&secret, None, "192.0.2.7").await)?;

    told(app::accounts::delete(&world.app, &anew(&operator), "a-team").await)?;
    refused(world.app.authenticate(&secret, None, "192.0.2.7").await.map(|_| ()), Code::Unauthenticated)?;
    refused(app::accounts::get(&world.app, &anew(&operator), "a-team").await, Code::UnknownResource)?;
    refused(app::accounts::create(&world.app, &anew(&operator), request).await, Code::AlreadyExists)?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_when_it_is_revoked_or_its_time_is_over() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let demo = world.demo();
    let revoked = told(app::tokens::create(&world.app, &demo, token(Role::Auditor)).await)?;
    let short = CreateToken { expires_in: Some(3600), ..token(Role::Member) };
    let short = told(app::tokens::create(&world.app, &anew(&demo), short).await)?;
    let (first, second) = (revoked.secret.context("a secret")?, short.secret.context("a secret")?);
    told(world.app.authenticate(&first, None, "local").await)?;
    told(world.app.authenticate(&second, None, "local").await)?;
    told(app::tokens::revoke(&world.app, &anew(&demo), &revoked.id).await)?;
    told(app::tokens::revoke(&world.app, &anew(&demo), &revoked.id).await)?;
    refused(world.app.authenticate(&first, None, "local").await.map(|_| ()), Code::Unauthenticated)?;
    world.db().rows("UPDATE tokens SET expires_at = UTC_TIMESTAMP(3) WHERE id = ?", (&short.id,)).await?;
    // What was found is believed for half a second.
    world
        .until("the token has ended", async || Ok(world.app.authenticate(&second, None, "local").await.is_err()))
        .await?;
    refused(world.app.authenticate(&second, None, "local").await.map(|_| ()), Code::Unauthenticated)?;
    let auditor = world.caller("a-demo", Role::Auditor);
    refused(app::tokens::create(&world.app, &auditor, token(Role::Auditor)).await, Code::NotPermitted)?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_stands_in_the_log_of_its_account_and_no_secret_does() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let one = world.launch("web1").await?;
    world.instance_in(&one.id, InstanceState::Running).await?;
    let usage = told(app::accounts::usage(&world.app, &world.demo(), "a-demo").await)?.0;
    ensure!((usage["instance.count"], usage["instance.memory_mb"]) == (1, 128), "{usage:?}");
    told(app::instances::delete(&world.app, &world.demo(), &one.id).await)?;
    world.instance_in(&one.id, InstanceState::Terminated).await?;
    let minted = told(app::tokens::create(&world.app, &world.demo(), token(Role::Member)).await)?;
    let log =
        told(app::audit_log::list(&world.app, &world.demo(), ListFilter { limit: 10, ..ListFilter::default() }).await)?;
    let verbs: Vec<(&str, &str)> = log.results.iter().map(|e| (e.verb.as_str(), e.resource.as_str())).collect();
    let wanted = [
        ("token.create", minted.id.as_str()),
        ("instance.delete", one.id.as_str()),
        ("instance.create", one.id.as_str()),
    ];
    ensure!(verbs == wanted, "{verbs:?}");
    let other = world.caller("a-other", Role::Member);
    let foreign =
        told(app::audit_log::list(&world.app, &other, ListFilter { limit: 10, ..ListFilter::default() }).await)?;
    ensure!(foreign.results.is_empty() && foreign.total == 0, "another account's log: {foreign:?}");
    let secret = minted.secret.context("a secret")?;
    let dump = world.db().rows("SELECT GROUP_CONCAT(secret_sha256) AS all_of_it FROM tokens", ()).await?;
    let dump = arame_dcmgr::db::Columns::text(dump.first().context("a row")?, "all_of_it")?;
    ensure!(!dump.contains(&secret) && !serde_json::to_string(&log)?.contains(&secret));
    world.ends_clean().await
}
