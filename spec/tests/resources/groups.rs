//! Security groups: changed on interfaces while they run, and guarded while something names them.

use crate::support::{count, json, refused, small, told};
use anyhow::{Context, ensure};
use arame_dcmgr::app;
use arame_dcmgr::app::vifs::Turn;
use arame_schema::api::{Code, CreateSecurityGroup, Role, UpdateInstance, UpdateSecurityGroup};
use arame_schema::model::instance::InstanceState;
use arame_spec::world::{Size, World};
use serde_json::json as value;
use std::time::{Duration, Instant};

async fn group(world: &World, rule: &str) -> anyhow::Result<String> {
    let request = CreateSecurityGroup { rule: rule.into(), ..CreateSecurityGroup::default() };
    Ok(told(app::security_groups::create(&world.app, &world.demo(), request).await)?.id)
}

/// Whether every host has answered its newest policy.
async fn policies_applied(world: &World) -> anyhow::Result<bool> {
    let behind = "SELECT COUNT(*) AS n FROM host_nodes h WHERE NOT EXISTS (SELECT 1 FROM facts f WHERE f.thing = h.id \
                  AND f.agent_id = h.agent_id AND f.name = 'applied' AND f.value = 'yes' AND f.generation >= h.policy_version)";
    Ok(count(world, behind).await? == 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_a_running_machine_changes_within_a_second_on_every_host_it_concerns() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 2, ..Size::default() }).await?;
    let web = group(&world, "tcp:80,80,ip4:0.0.0.0").await?;
    let behind = group(&world, &format!("tcp:3306,3306,{web}")).await?;
    let mut ids = Vec::new();
    for (name, host) in [("one", "hn-h1"), ("two", "hn-h2")] {
        let mut request = World::request(name);
        request.host_node_id = Some(host.parse()?);
        let made = told(app::instances::create(&world.app, &world.demo(), request).await)?;
        world.instance_in(&made.id, InstanceState::Running).await?;
        ids.push(made.id);
    }
    let vif_of = async |id: &str| anyhow::Ok(world.instance(id).await?.vif.first().context("a vif")?.vif_id.clone());
    let (one, two) = (vif_of(&ids[0]).await?, vif_of(&ids[1]).await?);
    told(app::vifs::change_group(&world.app, &world.demo(), &two, &behind, Turn::Add).await)?;
    world.until("policies are applied", async || policies_applied(&world).await).await?;

    // The other host's rules name the group: its policy changes with the member.
    let policy = "SELECT policy_version AS n FROM host_nodes WHERE id = 'hn-h2'";
    let before = count(&world, policy).await?;
    let begun = Instant::now();
    let view = told(app::vifs::change_group(&world.app, &world.demo(), &one, &web, Turn::Add).await)?;
    ensure!(view.security_groups.contains(&web), "{view:?}");
    world.until("policies are applied", async || policies_applied(&world).await).await?;
    let took = begun.elapsed();
    ensure!(took < Duration::from_secs(1), "it took {took:?}");
    ensure!(count(&world, policy).await? > before, "the host that names the group was not told");
    println!("a change of groups was applied at two hosts after {took:?}");

    refused(app::vifs::change_group(&world.app, &world.demo(), &one, &web, Turn::Add).await, Code::AlreadyInGroup)?;
    told(app::vifs::change_group(&world.app, &world.demo(), &one, &web, Turn::Remove).await)?;
    refused(app::vifs::change_group(&world.app, &world.demo(), &one, &web, Turn::Remove).await, Code::NotInGroup)?;
    refused(
        app::vifs::change_group(&world.app, &world.demo(), &one, "sg-other", Turn::Add).await,
        Code::UnknownResource,
    )?;
    let stranger = world.caller("a-other", Role::Member);
    refused(app::vifs::change_group(&world.app, &stranger, &one, "sg-other", Turn::Add).await, Code::UnknownResource)?;

    // By the instance: these and no others.
    let both = UpdateInstance {
        security_groups: Some(vec![web.parse()?, behind.parse()?]),
        display_name: Some("renamed".into()),
        ..UpdateInstance::default()
    };
    let view = told(app::instances::changes::update(&world.app, &world.demo(), &ids[0], both).await)?;
    let mut groups = view.vif[0].security_groups.clone();
    groups.sort();
    let mut wanted = vec![web.clone(), behind.clone()];
    wanted.sort();
    ensure!(groups == wanted && view.display_name.as_deref() == Some("renamed"), "{view:?}");
    world.until("policies are applied", async || policies_applied(&world).await).await?;
    for id in &ids {
        told(app::instances::delete(&world.app, &world.demo(), id).await)?;
        world.instance_in(id, InstanceState::Terminated).await?;
    }
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_deleted_when_no_interface_and_no_rule_names_it_its_own_included() -> anyhow::Result<()> {
    let world = small().await?;
    let named = group(&world, "").await?;
    let naming = group(&world, &format!("tcp:22,22,{named}")).await?;
    // An id that begins like it is another group's.
    let prefix: CreateSecurityGroup = json(value!({ "id": "sg-a", "rule": "" }));
    let operator = || world.caller("a-demo", Role::Operator);
    told(app::security_groups::create(&world.app, &operator(), prefix).await)?;
    let longer: CreateSecurityGroup = json(value!({ "id": "sg-ab", "rule": "tcp:22,22,sg-ab" }));
    told(app::security_groups::create(&world.app, &operator(), longer).await)?;
    told(app::security_groups::delete(&world.app, &world.demo(), "sg-a").await)?;

    let refusal = refused(app::security_groups::delete(&world.app, &world.demo(), &named).await, Code::ResourceInUse)?;
    ensure!(refusal.values["by"] == naming, "{refusal:?}");
    refused(app::security_groups::delete(&world.app, &world.demo(), "sg-ab").await, Code::ResourceInUse)?;
    let clear = || UpdateSecurityGroup { rule: Some(String::new()), ..UpdateSecurityGroup::default() };
    for id in [naming.as_str(), "sg-ab"] {
        let cleared = told(app::security_groups::update(&world.app, &world.demo(), id, clear()).await)?;
        ensure!(cleared.rules.is_empty() && cleared.rule.is_empty(), "{cleared:?}");
    }
    for id in [naming.as_str(), named.as_str(), "sg-ab"] {
        told(app::security_groups::delete(&world.app, &world.demo(), id).await)?;
    }
    let unknown = CreateSecurityGroup { rule: "tcp:1,1,sg-none".into(), ..CreateSecurityGroup::default() };
    refused(app::security_groups::create(&world.app, &world.demo(), unknown).await, Code::UnknownResource)?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_of_a_group_is_told_to_its_account_and_to_no_other() -> anyhow::Result<()> {
    let world = small().await?;
    let made = world.launch("one").await?;
    let vif = made.vif.first().context("a vif")?.vif_id.clone();
    world.instance_in(&made.id, InstanceState::Running).await?;
    let web = group(&world, "tcp:80,80,ip4:0.0.0.0").await?;
    let change = UpdateSecurityGroup { rule: Some(String::new()), ..UpdateSecurityGroup::default() };
    told(app::security_groups::update(&world.app, &world.demo(), &web, change).await)?;
    for turn in [Turn::Add, Turn::Remove] {
        told(app::vifs::change_group(&world.app, &world.demo(), &vif, &web, turn).await)?;
    }
    told(app::security_groups::delete(&world.app, &world.demo(), &web).await)?;
    let stranger = world.caller("a-other", Role::Member);
    let theirs = CreateSecurityGroup::default();
    let theirs = told(app::security_groups::create(&world.app, &stranger, theirs).await)?.id;

    let codes = async |who: &app::Caller, id: &str| -> anyhow::Result<Vec<String>> {
        let found = told(app::events::after(&world.app, who, 0, Some(id)).await)?;
        Ok(found.into_iter().map(|event| event.code).collect())
    };
    let (demo, group) = (world.demo(), ["group_created", "group_changed", "group_deleted"]);
    world.until("the group's changes are told", async || Ok(codes(&demo, &web).await? == group)).await?;
    let joined = async || Ok(codes(&demo, &vif).await?.ends_with(&["group_joined".into(), "group_left".into()]));
    world.until("who joined and left is told", joined).await?;
    let own = async || Ok(codes(&stranger, &theirs).await? == ["group_created"]);
    world.until("the control: the other account is told of its own", own).await?;
    ensure!(codes(&stranger, &web).await?.is_empty() && codes(&stranger, &vif).await?.is_empty());
    ensure!(codes(&demo, &theirs).await?.is_empty());
    Ok(())
}
