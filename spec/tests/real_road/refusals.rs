//! Bad input: refused with a sentence in the asker's language, and nothing changes.

use anyhow::{Context, ensure};
use arame_spec::real::DataCenter;
use arame_spec::real::guest::Guest;
use arame_spec::real::program::Said;

pub async fn bad_input_is_refused_in_words_and_changes_nothing(dc: &DataCenter, guest: &Guest) -> anyhow::Result<()> {
    dc.step("bad input");
    let before = everything(dc).await?;
    unknown_image(dc).await?;
    too_much_memory(dc).await?;
    a_strangers_token(dc, guest).await?;
    over_large_and_malformed(dc).await?;
    let used = dc.arame(&["volume", "create", "--size", "lots"]).await?;
    ensure!(used.code == Some(2) && used.err.contains("lots"), "{used:?}");
    let nowhere = dc.arame(&["--url", "http://127.0.0.1:1", "instance", "list"]).await?;
    ensure!(nowhere.code == Some(3), "{nowhere:?}");
    ensure!(everything(dc).await? == before, "something changed");
    Ok(())
}

/// What stands in the records, without the moments that pass.
async fn everything(dc: &DataCenter) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for kind in ["instance", "volume", "security-group", "image", "network"] {
        for one in dc.json(&[kind, "list"]).await?.as_array().context("a list")? {
            lines.push(format!("{kind} {} {} {}", one["id"], one["state"], one["generation"]));
        }
    }
    Ok(lines)
}

async fn unknown_image(dc: &DataCenter) -> anyhow::Result<()> {
    let words = ["instance", "create", "--image", "nope", "--name", "bad1"];
    in_both(dc, &words, "nope", "イメージ").await.map(|_| ())
}

async fn too_much_memory(dc: &DataCenter) -> anyhow::Result<()> {
    let words =
        ["instance", "create", "--image", "tiny", "--name", "bad2", "--cpu-cores", "1", "--memory-size", "900000"];
    for said in in_both(dc, &words, "No host", "ホスト").await? {
        for host in ["hn-h1", "hn-h2"] {
            let verdict = said.err.lines().find(|line| line.trim_start().starts_with(&format!("{host}:")));
            ensure!(verdict.is_some_and(|line| line.contains("900000 MiB")), "no verdict of {host}: {}", said.err);
        }
        ensure!(!said.err.contains('?') && !said.err.contains('{'), "a value is missing: {}", said.err);
    }
    Ok(())
}

async fn a_strangers_token(dc: &DataCenter, guest: &Guest) -> anyhow::Result<()> {
    let own = dc.arame(&["--as", "stranger", "instance", "list", "--json"]).await?;
    ensure!(own.ended_well() && own.out.trim() == "[]", "control: the stranger's token is good: {own:?}");
    for words in
        [["--as", "stranger", "instance", "delete", &guest.id], ["--as", "stranger", "instance", "show", &guest.id]]
    {
        let said = dc.arame(&words).await?;
        ensure!(said.code == Some(1) && said.err.contains("next step:"), "{said:?}");
    }
    dc.done(&["instance", "show", &guest.id]).await.context("control: its owner sees it").map(|_| ())
}

async fn over_large_and_malformed(dc: &DataCenter) -> anyhow::Result<()> {
    let token = std::fs::read_to_string(dc.dir().join("tokens/demo"))?.trim().to_owned();
    let client = reqwest::Client::builder().no_proxy().build()?;
    let post = |body: String| {
        let request = client.post(dc.api("/instances")).bearer_auth(&token).header("content-type", "application/json");
        async move { anyhow::Ok(request.body(body).send().await?) }
    };
    let padding = "x".repeat(2 * 1024 * 1024);
    let large = serde_json::json!({ "image_id": "wmi-tiny", "user_data": padding }).to_string();
    for (body, status) in [(large, 413), ("{".to_owned(), 400), ("[1]".to_owned(), 400)] {
        let answer = post(body).await?;
        let got = answer.status().as_u16();
        let view: serde_json::Value = answer.json().await?;
        ensure!(got == status, "{got}: {view}");
        for field in ["code", "message", "next_step"] {
            ensure!(view[field].as_str().is_some_and(|text| !text.is_empty()), "no {field}: {view}");
        }
    }
    Ok(())
}

/// Refused with status 1 in both languages: sentence, cause and next step.
async fn in_both(dc: &DataCenter, words: &[&str], english: &str, japanese: &str) -> anyhow::Result<[Said; 2]> {
    let en = dc.arame_in("en_US.UTF-8", words).await?;
    ensure!(en.code == Some(1) && en.err.contains(english) && en.err.contains("next step:"), "{en:?}");
    let ja = dc.arame_in("ja_JP.UTF-8", words).await?;
    ensure!(ja.code == Some(1) && ja.err.contains(japanese) && ja.err.contains("対処:"), "{ja:?}");
    Ok([en, ja])
}
