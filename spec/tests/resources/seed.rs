//! The command against the real API over a socket: a data center from one file, and the new nouns as a person types them.

use crate::support::small;
use anyhow::{Context, ensure};
use arame_cli::{Cli, Command, Streams, run};
use arame_spec::world::World;
use clap::Parser;
use serde_json::Value;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// The API of a world on a socket, and the operator's token in a file.
struct Desk {
    url: String,
    folder: tempfile::TempDir,
    stop: CancellationToken,
}

impl Desk {
    async fn open(world: &World) -> anyhow::Result<Desk> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let stop = CancellationToken::new();
        tokio::spawn(arame_dcmgr::http::serve(world.app.clone(), listener, stop.clone()));
        let folder = tempfile::Builder::new().prefix("arame-desk-").tempdir()?;
        let token = folder.path().join("token");
        std::fs::write(&token, "admin-secret")?;
        std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(Desk { url, folder, stop })
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    async fn arame(&self, words: &[&str]) -> anyhow::Result<Value> {
        let token = self.file("token");
        let fixed = ["arame", "--lang", "en", "--json", "--url", &self.url, "--token-file", &token];
        let cli = Cli::try_parse_from(fixed.into_iter().chain(words.iter().copied()))?;
        let Command::Rest(command) = cli.command else { anyhow::bail!("not a command of the API") };
        let (mut out, mut remarks) = (Vec::new(), Vec::new());
        let streams = Streams { out: &mut out, remarks: &mut remarks, terminal: false };
        run(&cli.common, command, streams).await.map_err(|error| anyhow::anyhow!("{words:?}: {error:?}"))?;
        Ok(serde_json::from_slice(&out)?)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn outcomes(lines: &Value) -> Vec<&str> {
    lines.as_array().into_iter().flatten().filter_map(|line| line["outcome"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_seed_is_applied_and_applied_again_changes_nothing() -> anyhow::Result<()> {
    let world = small().await?;
    let desk = Desk::open(&world).await?;
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/seed.example.toml");
    let text = std::fs::read_to_string(example)?;
    std::fs::write(desk.file("seed.toml"), &text)?;
    let file = desk.file("seed.toml");

    let first = desk.arame(&["seed", "apply", &file]).await?;
    let told = outcomes(&first);
    ensure!(told.len() == 12 && told.iter().all(|outcome| *outcome == "created"), "{first:#}");
    let again = desk.arame(&["seed", "apply", &file]).await?;
    ensure!(outcomes(&again).iter().all(|outcome| *outcome == "unchanged"), "{again:#}");

    // With the ids it gives, byte for byte, and the secrets beside it.
    let network = desk.arame(&["network", "show", "nw-lab1"]).await?;
    ensure!(
        network["vlan_tag"] == 301 && network["dhcp_ranges"].as_array().is_some_and(|all| all.len() == 2),
        "{network:#}"
    );
    ensure!(network["editable"] == false && network["account_id"] == "a-lab", "{network:#}");
    ensure!(desk.arame(&["network", "show", "nw-LAB1"]).await.is_err(), "another case is another id");
    for name in ["lab.token", "hva.lab1.key", "sta.lab1.key"] {
        ensure!(std::fs::read_to_string(desk.file(name))?.trim().len() > 20, "{name}");
    }

    // What differs is changed, and only that; what cannot be is refused with what is there.
    let other = text.replace("display_name = \"lab 1\"", "display_name = \"lab one\"");
    std::fs::write(
        desk.file("seed.toml"),
        other.replace("[[\"10.30.0.10\"", "[[\"10.30.0.201\", \"10.30.0.209\"], [\"10.30.0.10\""),
    )?;
    let changed = desk.arame(&["seed", "apply", &file]).await?;
    let of = |id: &str| changed.as_array().into_iter().flatten().find(|line| line["id"] == id).cloned();
    ensure!(of("nw-lab1").context("the network")?["outcome"] == "changed", "{changed:#}");
    ensure!(outcomes(&changed).iter().filter(|outcome| **outcome == "changed").count() == 1, "{changed:#}");
    let network = desk.arame(&["network", "show", "nw-lab1"]).await?;
    ensure!(network["dhcp_ranges"].as_array().is_some_and(|all| all.len() == 3), "{network:#}");
    ensure!(network["display_name"] == "lab one" && network["editable"] == false, "{network:#}");
    std::fs::write(desk.file("seed.toml"), text.replace("prefix = 24", "prefix = 25"))?;
    let refused = desk.arame(&["seed", "apply", &file]).await.err().context("a prefix was changed")?;
    ensure!(refused.to_string().contains("prefix"), "{refused}");
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_nouns_do_what_they_say() -> anyhow::Result<()> {
    let world = small().await?;
    let desk = Desk::open(&world).await?;
    let made = desk.arame(&["dc-network", "create", "name=lab", "allow_new_networks=true"]).await?;
    let id = made["id"].as_str().context("an id")?.to_owned();
    let modes = desk.arame(&["dc-network", "do", &id, "offering_modes/add", "mode=passthrough"]).await?;
    ensure!(modes.as_array().is_some_and(|modes| modes.len() == 2), "{modes}");
    let dc = format!("dc_network={id}");
    let network = [
        "--account",
        "a-demo",
        "network",
        "create",
        &dc,
        "network=10.9.0.0",
        "prefix=24",
        "network_mode=securitygroup",
        "dhcp_range=default",
        "display_name=nine",
    ];
    desk.arame(&network).await?;
    desk.arame(&["network", "update", "nine", "editable=true"]).await?;
    desk.arame(&["network", "do", "nine", "dhcp/reserve", "ipaddr=10.9.0.7"]).await?;
    let shown = desk.arame(&["network", "show", "nine"]).await?;
    ensure!(shown["addresses_used"] == 1 && shown["editable"] == true, "{shown:#}");
    desk.arame(&["label", "set", "wmi-tiny", "env", "test"]).await?;
    let labels = desk.arame(&["label", "list", "wmi-tiny"]).await?;
    ensure!(labels[0]["value"] == "test", "{labels}");
    let host = desk.arame(&["host", "register", "id=hn-new", "node_id=hva.new"]).await?;
    ensure!(host["join_key"].as_str().is_some_and(|key| key.len() == 64), "{host:#}");
    desk.arame(&["host", "delete", "hn-new"]).await?;
    let size = ["instance-type", "create", "name=big", "cpu_cores=2", "memory_size=256", "disk_size=64"];
    desk.arame(&size).await?;
    desk.arame(&["instance-type", "delete", "big"]).await?;
    let refused = desk.arame(&["dc-network", "delete", &id]).await.err().context("one in use was deleted")?;
    ensure!(refused.to_string().contains("resource_in_use"), "{refused}");
    desk.arame(&["network", "delete", "nine"]).await?;
    ensure!(desk.arame(&["report"]).await?.as_array().is_some_and(Vec::is_empty));
    ensure!(desk.arame(&["dc-network", "create", "colour=red"]).await.is_err(), "an unknown name was let through");
    world.ends_clean().await
}
