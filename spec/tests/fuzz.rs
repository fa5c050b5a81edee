//! schemathesis over the document, bounded: no 5xx, no undeclared status, content or field.
//!
//! The program comes from the Python package index into a folder of its own (`scripts/schemathesis`, which `make test`
//! runs); where it is not, this is skipped aloud. `ARAME_SCHEMATHESIS` names it; `ARAME_FUZZ_EXAMPLES` makes it longer.

use anyhow::{Context, ensure};
use arame_spec::surface::{DEMO, Surface};
use arame_spec::world::{Size, World};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Requests tried for one operation.
const EXAMPLES: &str = "8";

/// The whole run on two busy cores.
const FUZZ_LIMIT: Duration = Duration::from_secs(400);

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// 501 is told by what `schema/not_implemented.txt` lists, declared where it may come; 503 by a node that was never heard, of
/// which the requests register some; every other 5xx is a defect.
const SETTINGS: &str = r#"
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 501]

[[operations]]
include-path = "/api/12.03/host_nodes/{id}/usage"
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]

[[operations]]
include-path = "/api/12.03/storage_nodes/{id}/usage"
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]
"#;

fn program() -> Option<PathBuf> {
    let named = std::env::var_os("ARAME_SCHEMATHESIS").map(PathBuf::from);
    let kept =
        std::env::var_os("ARAME_TEST_CACHE").map(|cache| PathBuf::from(cache).join("schemathesis/bin/schemathesis"));
    named.or(kept).filter(|path| path.is_file())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_that_the_document_allows_or_forbids_meets_a_defect_or_an_undeclared_answer() -> anyhow::Result<()> {
    let Some(program) = program() else {
        arame_framework::testkit::skip("schemathesis");
        return Ok(());
    };
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let surface = Surface::of(&world.app).await?;
    // Things to find: without them everything is 404.
    world.launch("web1").await?;
    surface.done(DEMO, "POST", "/volumes", &serde_json::json!({ "volume_size": 64 })).await?;
    let examples = std::env::var("ARAME_FUZZ_EXAMPLES").unwrap_or_else(|_| EXAMPLES.into());
    let mut summaries = Vec::new();
    for (who, secret) in [("member", "demo-secret"), ("admin", "admin-secret")] {
        let mut command = Command::new(&program);
        command.args(["run", &surface.url("/openapi.json"), "--checks", CHECKS, "--max-examples", &examples]);
        command.args(["--header", &format!("Authorization: Bearer {secret}")]);
        command.args(["--header", "X-VDC-Account-UUID: a-demo", "--phases", "examples,coverage,fuzzing"]);
        command.args(["--seed", "1", "--request-timeout", "20", "--workers", "2", "--no-color"]);
        // An audit that is fresh asks every agent, and the streams of events do not end.
        command.args(["--exclude-path", "/api/12.03/events"]);
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("schemathesis.toml"), SETTINGS)?;
        command.current_dir(folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(FUZZ_LIMIT, command.output()).await.context("schemathesis hangs")??;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let summary = told.rsplit_once("SUMMARY").map_or(told.as_str(), |(_, rest)| rest);
        println!("{who}: {summary}");
        if !output.status.success() {
            summaries.push(format!("{who}:\n{told}\n{}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    ensure!(summaries.is_empty(), "{}", summaries.join("\n"));
    surface.end().await
}
