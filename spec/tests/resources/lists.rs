//! Lists: a cursor goes on behind a row in every one of them, in the order it is sorted by.

use anyhow::{Context, ensure};
use arame_spec::surface::{ADMIN, Surface};
use arame_spec::world::{Size, World};
use serde_json::{Value, json};

/// Walks a list by its cursor, three rows at a time.
async fn walked(surface: &Surface, path: &str, query: &str, key: &str) -> anyhow::Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    // More pages than any list here has.
    for _ in 0..60 {
        let after = names.last().map(|name| format!("&after={name}")).unwrap_or_default();
        let page = surface.done(ADMIN, "GET", &format!("{path}?limit=3{query}{after}"), &Value::Null).await?;
        let rows = page[0]["results"].as_array().context("results")?;
        if rows.is_empty() {
            return Ok(names);
        }
        names.extend(rows.iter().filter_map(|row| row[key].as_str()).map(str::to_owned));
    }
    anyhow::bail!("{path}{query} has no end: {names:?}")
}

async fn whole(surface: &Surface, path: &str, query: &str, key: &str) -> anyhow::Result<Vec<String>> {
    let page = surface.done(ADMIN, "GET", &format!("{path}?limit=900{query}"), &Value::Null).await?;
    let rows = page[0]["results"].as_array().context("results")?;
    Ok(rows.iter().filter_map(|row| row[key].as_str()).map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_walks_every_list_in_any_order_without_gap_or_repetition() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let surface = Surface::of(&world.app).await?;
    let make = async |path: &str, body: Value| -> anyhow::Result<String> {
        let request = surface.request(ADMIN, "POST", path)?.header("x-vdc-account-uuid", "a-demo");
        let made = surface.send(request.json(&body)).await?;
        ensure!(made.status == 200, "{path}: {made:?}");
        Ok(made.json()["id"].as_str().context("an id")?.to_owned())
    };
    for n in 0..7 {
        // Names that are the same: the order among them is that of their creation.
        let name = ["b", "a", "b", "c"][n % 4];
        let launch = json!({ "image_id": "wmi-tiny", "cpu_cores": 1, "memory_size": 128, "display_name": name });
        make("/instances", launch).await?;
        let volume = make("/volumes", json!({ "volume_size": 16, "display_name": name })).await?;
        world.volume_in(&volume, "available").await?;
        make("/volume_snapshots", json!({ "volume_id": volume, "display_name": name })).await?;
        make("/security_groups", json!({ "display_name": name })).await?;
        make("/ssh_key_pairs", json!({ "display_name": name })).await?;
        make("/network_groups", json!({ "name": name })).await?;
        make("/ip_pools", json!({ "display_name": name, "dc_networks": ["dcn-main"] })).await?;
    }
    let (mut lists, mut rows) = (0, 0);
    let paths = [
        "/instances",
        "/volumes",
        "/volume_snapshots",
        "/security_groups",
        "/ssh_key_pairs",
        "/network_groups",
        "/ip_pools",
        "/images",
        "/networks",
        "/network_vifs",
        "/accounts",
        "/tokens",
        "/instance_types",
        "/host_nodes",
        "/storage_nodes",
        "/dc_networks",
        "/users",
        "/backup_objects",
        "/backup_storages",
        "/jobs",
    ];
    for path in paths {
        let orders: &[&str] = match path {
            "/jobs" => &["", "&sort_by=created_at.asc", "&sort_by=created_at.desc"],
            _ => &[
                "",
                "&sort_by=created_at.asc",
                "&sort_by=display_name.asc",
                "&sort_by=display_name.desc",
                "&sort_by=id.desc",
            ],
        };
        for order in orders {
            // Jobs of what is being made come and go: those of a thing that is done do not.
            let still = if path == "/jobs" { format!("{order}&thing=wmi-tiny") } else { (*order).to_owned() };
            let all = whole(&surface, path, &still, "id").await?;
            let by_cursor = walked(&surface, path, &still, "id").await?;
            ensure!(all == by_cursor, "{path}{still}: {all:?} and by its cursor {by_cursor:?}");
            lists += 1;
            rows += all.len();
        }
        let unknown = surface.ask(ADMIN, "GET", &format!("{path}?after=i-nothere1"), &Value::Null).await?;
        ensure!((unknown.status, unknown.reason().as_str()) == (400, "invalid_parameter"), "{path}: {unknown:?}");
    }
    let all = whole(&surface, "/audit_log", "", "request").await?;
    ensure!(all.len() >= 40, "{} lines", all.len());
    ensure!(walked(&surface, "/audit_log", "", "request").await? == all, "the log of changes is another by its cursor");
    let three = surface.done(ADMIN, "GET", &format!("/audit_log?limit=2&after={}", all[4]), &Value::Null).await?;
    ensure!(three[0]["results"][0]["request"] == all[5].as_str(), "{three}");
    println!("{lists} lists, {rows} rows");
    ensure!(lists >= 90 && rows > 200, "too little was walked: {lists} lists, {rows} rows");
    surface.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_events_are_the_last_ones_of_the_whole_list() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let surface = Surface::of(&world.app).await?;
    let one = world.launch("one").await?;
    world.instance_in(&one.id, arame_schema::model::instance::InstanceState::Running).await?;
    let ids = async |query: &str| -> anyhow::Result<Vec<u64>> {
        let found = surface.done(ADMIN, "GET", &format!("/events?{query}"), &Value::Null).await?;
        Ok(found.as_array().context("a list")?.iter().filter_map(|event| event["id"].as_u64()).collect())
    };
    // What a launch leaves gets its numbers while it is looked: the two answers agree when nothing came between them.
    let of_one = format!("resource={}", one.id);
    for (all, newest, count) in [("after=0", "last=3", 3), (&of_one, &*format!("last=1&{of_one}"), 1)] {
        let agree = async || {
            let (all, newest) = (ids(all).await?, ids(newest).await?);
            Ok(all.len() > count && newest == all[all.len() - count..])
        };
        world.until("the newest are the end of the whole list", agree).await?;
    }
    Ok(())
}
