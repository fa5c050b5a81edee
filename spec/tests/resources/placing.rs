//! Where machines go: apart from each other, together, spread, within a group of hosts, and within what a host promises.

use crate::support::{json, operator, refused, small, told};
use anyhow::ensure;
use arame_dcmgr::app;
use arame_dcmgr::app::node_groups::Kind;
use arame_schema::api::{Code, CreateInstance, Instance, Refusal, UpdateNode};
use arame_schema::model::instance::InstanceState;
use arame_spec::world::{Size, World};
use serde_json::json as value;
use std::collections::BTreeMap;

fn request(name: &str, wishes: serde_json::Value) -> CreateInstance {
    let mut body = value!({ "image_id": "wmi-tiny", "instance_type": "small", "hostname": name });
    let wishes = wishes.as_object().cloned().unwrap_or_default();
    body.as_object_mut().expect("it is an object").extend(wishes);
    json(body)
}

async fn launch(world: &World, name: &str, wishes: serde_json::Value) -> Result<Instance, Refusal> {
    app::instances::create(&world.app, &world.demo(), request(name, wishes)).await
}

/// The rule of a refusal's verdicts that is broken on every host, and the smallest change.
fn broken(refusal: &Refusal) -> (Vec<String>, String) {
    let detail = refusal.detail.as_deref().cloned().unwrap_or_default();
    let verdicts = detail["verdicts"].as_array().cloned().unwrap_or_default();
    let rules = verdicts.iter().flat_map(|one| one["rules"].as_array().cloned().unwrap_or_default());
    let mut rules: Vec<String> =
        rules.filter(|rule| rule["ok"] == false).map(|rule| rule["rule"].as_str().unwrap_or_default().into()).collect();
    rules.sort();
    rules.dedup();
    (rules, detail["smallest_change"]["code"].as_str().unwrap_or_default().to_owned())
}

/// Sabotage: without the second look under the host's lock two of them meet on one host.
#[tokio::test(flavor = "multi_thread")]
async fn those_that_keep_apart_never_meet_on_a_host_however_they_come() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 3, ..Size::default() }).await?;
    let apart = value!({ "placement_group": "web" });
    let tried = (0..8).map(|n| {
        let (app, caller, request) = (world.app.clone(), world.demo(), request(&format!("web{n}"), apart.clone()));
        tokio::spawn(async move { app::instances::create(&app, &caller, request).await })
    });
    let tried: Vec<_> = tried.collect();
    let (mut hosts, mut made, mut refusals) = (BTreeMap::new(), Vec::new(), Vec::new());
    for one in tried {
        match one.await? {
            Ok(instance) => {
                *hosts.entry(instance.host_node.clone()).or_insert(0) += 1;
                made.push(instance);
            }
            Err(refusal) => refusals.push(refusal),
        }
    }
    ensure!(hosts.len() == 3 && hosts.values().all(|count| *count == 1), "{hosts:?}");
    ensure!(refusals.len() == 5 && refusals.iter().all(|one| one.code == Code::OutOfHostCapacity), "{refusals:?}");
    ensure!(broken(&refusals[0]) == (vec!["apart_from".to_owned()], "leave_group".to_owned()), "{:?}", refusals[0]);
    let plan = app::instances::plan(&world.app, &world.demo(), request("web9", apart.clone())).await;
    ensure!(!told(plan)?.fits, "a plan says the same");

    for one in &made {
        world.instance_in(&one.id, InstanceState::Running).await?;
    }
    let to = made[1].host_node.clone().unwrap_or_default();
    let moved = app::moves::start(&world.app, &world.demo(), &made[0].id, &to).await;
    let refusal = refused(moved, Code::OutOfHostCapacity)?;
    ensure!(broken(&refusal).0.contains(&"apart_from".to_owned()), "{refusal:?}");
    let other = told(launch(&world, "db1", value!({ "placement_group": "db" })).await)?;
    ensure!(other.placement_policy.as_deref() == Some("apart"), "another group is not in its way: {other:?}");

    told(app::instances::delete(&world.app, &world.demo(), &made[0].id).await)?;
    world.instance_in(&made[0].id, InstanceState::Terminated).await?;
    let again = told(launch(&world, "web9", apart).await)?;
    ensure!(again.host_node == made[0].host_node, "what has ended is in nobody's way: {again:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn some_stay_together_and_some_are_spread_as_evenly_as_they_can() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 3, ..Size::default() }).await?;
    let mut homes = BTreeMap::new();
    for (policy, count) in [("together", 4), ("spread", 6)] {
        for n in 0..count {
            let wishes = value!({ "placement_group": policy, "placement_policy": policy });
            let made = told(launch(&world, &format!("{policy}{n}"), wishes).await)?;
            ensure!(made.placement_group.as_deref() == Some(policy), "{made:?}");
            *homes.entry((policy, made.host_node)).or_insert(0) += 1;
        }
    }
    let of = |policy: &str| homes.iter().filter(|((of, _), _)| *of == policy).map(|(_, n)| *n).collect::<Vec<i32>>();
    ensure!(of("together") == [4], "{homes:?}");
    ensure!(of("spread") == [2, 2, 2], "{homes:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_hosts_holds_those_who_asked_for_it_and_stays_while_they_live() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let made = json(value!({ "id": "hng-fast", "name": "fast" }));
    told(app::node_groups::create(&world.app, &operator(&world), Kind::Hosts, made).await)?;
    let wish = value!({ "node_group": "hng-fast" });
    let refusal = refused(launch(&world, "early", wish.clone()).await, Code::OutOfHostCapacity)?;
    ensure!(broken(&refusal) == (vec!["node_group".to_owned()], "in_node_group".to_owned()), "{refusal:?}");
    let change = json(value!({ "host_nodes": ["hn-h2"] }));
    told(app::node_groups::update(&world.app, &operator(&world), Kind::Hosts, "hng-fast", change).await)?;
    let mut last = String::new();
    for n in 0..3 {
        let made = told(launch(&world, &format!("fast{n}"), wish.clone()).await)?;
        ensure!(
            made.host_node.as_deref() == Some("hn-h2") && made.node_group.as_deref() == Some("hng-fast"),
            "{made:?}"
        );
        last = world.instance_in(&made.id, InstanceState::Running).await?.id;
    }
    let moved = app::moves::start(&world.app, &world.demo(), &last, "hn-h1").await;
    ensure!(broken(&refused(moved, Code::OutOfHostCapacity)?).0.contains(&"node_group".to_owned()), "it stays in it");
    let unknown = launch(&world, "lost", value!({ "node_group": "hng-none" })).await;
    refused(unknown, Code::UnknownResource)?;
    let deleted = app::node_groups::delete(&world.app, &operator(&world), Kind::Hosts, "hng-fast").await;
    ensure!(refused(deleted, Code::ResourceInUse)?.values["by"].contains(&last), "it is in use");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_promises_and_keeps_what_its_operator_says() -> anyhow::Result<()> {
    let world = small().await?;
    let before = told(app::nodes::host(&world.app, &operator(&world), "hn-h1").await)?;
    ensure!(before.cpu_allocation_percent == 800 && before.reserved_memory_size == 0, "{before:?}");
    let set = async |change: UpdateNode| app::nodes::update(&world.app, &operator(&world), "hn-h1", change).await;
    let kept = before.offering_memory_size - 64;
    told(set(UpdateNode { reserved_memory_size: Some(kept), ..UpdateNode::default() }).await)?;
    let refusal = refused(launch(&world, "web1", value!({})).await, Code::OutOfHostCapacity)?;
    ensure!(broken(&refusal) == (vec!["memory_size".to_owned()], "smaller_memory".to_owned()), "{refusal:?}");
    told(set(UpdateNode { reserved_memory_size: Some(0), ..UpdateNode::default() }).await)?;
    told(launch(&world, "web1", value!({})).await)?;

    let many = value!({ "cpu_cores": 100, "memory_size": 128 });
    let whole = UpdateNode { cpu_allocation_percent: Some(100), ..UpdateNode::default() };
    told(set(whole).await)?;
    let refusal = refused(launch(&world, "web2", many.clone()).await, Code::OutOfHostCapacity)?;
    ensure!(broken(&refusal).0 == ["cpu_cores"], "{refusal:?}");
    told(set(UpdateNode { cpu_allocation_percent: Some(200), ..UpdateNode::default() }).await)?;
    told(launch(&world, "web2", many).await)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_hosts_that_is_packed_fills_one_before_the_next_and_its_verdicts_say_so() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 3, ..Size::default() }).await?;
    for name in ["packed", "even"] {
        let made = json(value!({ "id": format!("hng-{name}"), "name": name }));
        told(app::node_groups::create(&world.app, &operator(&world), Kind::Hosts, made).await)?;
        let mut change = value!({ "host_nodes": ["hn-h1", "hn-h2", "hn-h3"] });
        if name == "packed" {
            change["placement_weight"] = value!("pack");
        }
        let id = format!("hng-{name}");
        told(app::node_groups::update(&world.app, &operator(&world), Kind::Hosts, &id, json(change)).await)?;
    }
    let mut homes = BTreeMap::new();
    for (group, count) in [("packed", 4), ("even", 3)] {
        for n in 0..count {
            let wish = value!({ "node_group": format!("hng-{group}") });
            let made = told(launch(&world, &format!("{group}{n}"), wish).await)?;
            *homes.entry(group).or_insert_with(BTreeMap::new).entry(made.host_node).or_insert(0) += 1;
            if group == "packed" {
                let placement = told(app::instances::placement(&world.app, &world.demo(), &made.id).await)?;
                let says =
                    |verdict: &arame_schema::api::HostVerdict| verdict.rules.iter().any(|rule| rule.rule == "packed");
                ensure!(placement.verdicts.iter().all(says), "{placement:?}");
            }
        }
    }
    ensure!(homes["packed"].values().copied().collect::<Vec<i32>>() == [4], "{homes:?}");
    ensure!(homes["even"].len() >= 2, "the control: the others go where there is room: {homes:?}");
    Ok(())
}
