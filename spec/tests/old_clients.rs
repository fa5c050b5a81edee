//! Unchanged old clients, by curl exactly as the original's shell client calls it: no credential, underscored header,
//! `.yml`, form bodies, a PUT without a length, a DELETE with a body. And who may not use their listener.

use anyhow::{Context, ensure};
use arame_schema::model::instance::InstanceState;
use arame_spec::surface::{ADMIN, DEMO, Surface};
use arame_spec::world::{Size, World};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

const CURL_LIMIT: Duration = Duration::from_secs(30);

/// The flags of the shell client: with `-f` a refusal is exit status 22 and no body.
async fn mussel(surface: &Surface, words: &[&str], path: &str) -> anyhow::Result<Result<String, i32>> {
    let mut command = Command::new("curl");
    command.args(["-fsSkL", "-H", "X_VDC_ACCOUNT_UUID:a-demo"]).args(words);
    command.arg(surface.url(path)).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(CURL_LIMIT, command.output()).await.context("curl hangs")??;
    Ok(match output.status.code() {
        Some(0) => Ok(String::from_utf8(output.stdout)?),
        other => Err(other.unwrap_or(-1)),
    })
}

async fn done(surface: &Surface, words: &[&str], path: &str) -> anyhow::Result<String> {
    let answer = mussel(surface, words, path).await?;
    answer.map_err(|status| anyhow::anyhow!("curl {words:?} {path} ended with {status}"))
}

/// What the shell client reads out of YAML: the first `:id:`.
fn id_of(yaml: &str) -> anyhow::Result<String> {
    let line = yaml.lines().find_map(|line| line.trim_start_matches("- ").trim().strip_prefix(":id: "));
    Ok(line.with_context(|| yaml.to_owned())?.to_owned())
}

/// Bytes as they are, on a connection of their own; the whole answer.
async fn raw(surface: &Surface, request: &str) -> anyhow::Result<String> {
    let mut socket = TcpStream::connect(surface.address).await?;
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    tokio::time::timeout(CURL_LIMIT, socket.read_to_string(&mut answer)).await.context("no answer")??;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_client_makes_lists_switches_and_deletes_without_a_credential() -> anyhow::Result<()> {
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().await.is_err() {
        arame_framework::testkit::skip("curl");
        return Ok(());
    }
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let (surface, compat) = (Surface::of(&world.app).await?, Surface::compat(&world.app, DEMO).await?);
    // The control: the API itself lets nobody in without a credential.
    ensure!(mussel(&surface, &["-X", "GET"], "/instances.yml").await? == Err(22));

    let rule = "rule=tcp:22,22,ip4:0.0.0.0\nicmp:-1,-1,ip4:0.0.0.0\n";
    let words = ["-X", "POST", "--data-urlencode", rule, "--data-urlencode", "service_type=std"];
    let group = id_of(&done(&compat, &words, "/security_groups.yml").await?)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("vifs.json");
    std::fs::write(&file, format!("{{\"eth0\":{{\"network\":\"nw-demo1\",\"security_groups\":\"{group}\"}}}}\n"))?;
    let vifs = format!("vifs@{}", file.display());
    let parameters = [
        "image_id=wmi-tiny",
        "hypervisor=kvm",
        "cpu_cores=1",
        "memory_size=128",
        "hostname=old1",
        "service_type=std",
        &vifs,
    ];
    let mut words = vec!["-X", "POST"];
    parameters.iter().for_each(|one| words.extend(["--data-urlencode", one]));
    let instance = id_of(&done(&compat, &words, "/instances.yml").await?)?;
    world.instance_in(&instance, InstanceState::Running).await?;
    let list = done(&compat, &["-G", "-X", "GET", "--data-urlencode", "service_type=std"], "/instances.yml").await?;
    ensure!(list.starts_with("---\n- :total: 1\n") && list.contains(&format!("  - :id: {instance}\n")), "{list}");

    // A PUT as the recorder saw it: neither body nor length.
    let put = format!(
        "PUT /api/12.03/instances/{instance}/poweroff.yml HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
         X_VDC_ACCOUNT_UUID:a-demo\r\nAccept: */*\r\n\r\n"
    );
    let answer = raw(&compat, &put).await?;
    ensure!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(&format!(":instance_id: {instance}")), "{answer}");
    world.instance_in(&instance, InstanceState::Halted).await?;
    // A DELETE with a form body, and one without an extension.
    let words = ["-X", "DELETE", "--data-urlencode", "force=true"];
    ensure!(done(&compat, &words, &format!("/instances/{instance}.yml")).await?.contains(&instance));
    world.instance_in(&instance, InstanceState::Terminated).await?;
    ensure!(done(&compat, &["-X", "DELETE"], &format!("/security_groups/{group}")).await?.contains(&group));

    // Refusals are exit status 22; an unreadable body is answered in plain text.
    ensure!(mussel(&compat, &["-X", "GET"], "/instances/i-nothing.yml").await? == Err(22));
    let bad = "POST /api/12.03/security_groups.yml HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
               Content-Type: application/json\r\nContent-Length: 1\r\n\r\n{";
    let answer = raw(&compat, bad).await?;
    ensure!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("\r\n\r\nInvalid request body."), "{answer}");
    surface.end().await?;
    compat.end().await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_for_old_clients_takes_no_page_of_a_browser_no_other_account_and_no_operators_token()
-> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let compat = Surface::compat(&world.app, DEMO).await?;
    let ask = async |more: &str| {
        let request = format!("GET /api/12.03/instances HTTP/1.1\r\nConnection: close\r\n{more}\r\n");
        raw(&compat, &request).await
    };
    let taken = ask("Host: localhost:9002\r\n").await?;
    ensure!(taken.starts_with("HTTP/1.1 200 "), "the control: {taken}");
    for more in [
        "Host: localhost\r\nOrigin: http://evil.example\r\n",
        "Host: localhost\r\nOrigin: null\r\n",
        "Host: evil.example\r\n",
        "Host: 10.0.0.1:9002\r\n",
    ] {
        let answer = ask(more).await?;
        ensure!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("compat_refused"), "{more}: {answer}");
    }
    for account in ["a-other", "all"] {
        let answer = ask(&format!("Host: localhost\r\nX_VDC_ACCOUNT_UUID:{account}\r\n")).await?;
        ensure!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("account_not_permitted"), "{answer}");
    }
    let answer = ask("Host: localhost\r\nAuthorization: Bearer admin-secret\r\n").await?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "a credential of its own is not looked at: {answer}");
    let operators = Surface::compat(&world.app, ADMIN).await?;
    let request = "GET /api/12.03/instances HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = raw(&operators, request).await?;
    ensure!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("compat_refused"), "{answer}");
    operators.end().await?;
    compat.end().await
}
