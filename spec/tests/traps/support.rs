//! What the stories share: requests, and looks at the world.

use arame_dcmgr::app;
use arame_schema::api::{CreateInstance, Finding, FindingKind, Instance, Refusal, Volume};
use arame_schema::model::instance::InstanceState;
use arame_spec::world::World;
use serde_json::Value;

/// The sentence of a refusal, as an error of the story.
pub fn told<T>(result: Result<T, Refusal>) -> anyhow::Result<T> {
    result.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))
}

/// A request that only one host can fulfil.
pub fn on_host(hostname: &str, host: &str) -> CreateInstance {
    let mut request = World::request(hostname);
    request.host_node_id = host.parse().ok();
    request
}

pub async fn ask(world: &World, request: CreateInstance) -> anyhow::Result<Instance> {
    told(app::instances::create(&world.app, &world.demo(), request).await)
}

pub async fn running(world: &World, request: CreateInstance) -> anyhow::Result<Instance> {
    let made = ask(world, request).await?;
    world.instance_in(&made.id, InstanceState::Running).await
}

pub async fn ask_delete(world: &World, id: &str) -> anyhow::Result<()> {
    told(app::instances::delete(&world.app, &world.demo(), id).await).map(|_| ())
}

pub async fn deleted(world: &World, id: &str) -> anyhow::Result<()> {
    ask_delete(world, id).await?;
    world.instance_in(id, InstanceState::Terminated).await.map(|_| ())
}

pub async fn ask_volume(world: &World, name: &str) -> Result<Volume, Refusal> {
    let request = arame_schema::api::CreateVolume {
        volume_size: 64,
        display_name: Some(name.into()),
        backup_object_id: None,
        snapshot_id: None,
        replica_id: None,
    };
    app::volumes::create(&world.app, &world.demo(), request).await
}

pub async fn volume(world: &World, name: &str) -> anyhow::Result<Volume> {
    let made = told(ask_volume(world, name).await)?;
    world.volume_in(&made.id, "available").await
}

pub async fn delete_volume(world: &World, id: &str) -> anyhow::Result<()> {
    told(app::volumes::delete(&world.app, &world.demo(), id).await).map(|_| ())
}

/// The audit as it stands, without asking anybody.
pub async fn audit(world: &World) -> anyhow::Result<Vec<Finding>> {
    told(app::audit::findings(&world.app, &world.demo(), false).await)
}

pub async fn finds(world: &World, kind: FindingKind) -> anyhow::Result<bool> {
    Ok(audit(world).await?.iter().any(|finding| finding.kind == kind))
}

/// What is left of a thing in the simulated worlds: `agent part`.
pub fn left_of(world: &World, id: &str) -> anyhow::Result<Vec<String>> {
    let mut left = Vec::new();
    for (agent, seen) in world.worlds()? {
        for part in ["domains", "disks", "records", "ports", "volumes", "targets"] {
            if seen[part].to_string().contains(id) {
                left.push(format!("{agent} {part}"));
            }
        }
    }
    Ok(left)
}

pub fn address(instance: &Instance) -> String {
    instance.vif.first().and_then(|vif| vif.ipv4.as_ref()).map(|ipv4| ipv4.address.clone()).unwrap_or_default()
}

/// A message whose fields have these values.
pub fn says(fields: Value) -> impl Fn(&[u8]) -> bool + Send + 'static {
    move |body| {
        let message: Value = serde_json::from_slice(body).unwrap_or_default();
        let has = |(name, value): (&String, &Value)| message.get(name) == Some(value);
        fields.as_object().is_some_and(|fields| fields.iter().all(has))
    }
}

pub fn read(bodies: &[Vec<u8>]) -> Vec<Value> {
    bodies.iter().map(|body| serde_json::from_slice(body).unwrap_or_default()).collect()
}
