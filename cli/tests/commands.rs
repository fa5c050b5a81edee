//! The commands against a small API of their own: what is sent, what is printed, how it ends.

mod support;

use arame_cli::failure::{CliError, REFUSED, UNREACHABLE, WAIT_FAILED};
use arame_cli::{Cli, Command, Streams, run};
use arame_schema::api::Language;
use clap::{CommandFactory, Parser};
use serde_json::{Value, json};
use support::{Api, event, instance};

/// What a command left behind.
struct Ran {
    out: String,
    remarks: String,
    ended: Result<(), CliError>,
}

impl Ran {
    fn status(&self) -> u8 {
        self.ended.as_ref().err().map_or(0, CliError::status)
    }

    fn told(&self, language: Language) -> String {
        self.ended.as_ref().err().map(|error| error.told(language)).unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out))
    }
}

async fn arame(api: &Api, arguments: &str) -> Ran {
    arame_at(api, &api.url(), arguments).await
}

async fn arame_at(api: &Api, url: &str, arguments: &str) -> Ran {
    let token = api.token_file();
    let fixed = ["arame", "--lang", "en", "--url", url, "--token-file", token.to_str().unwrap()];
    let cli = Cli::try_parse_from(fixed.into_iter().chain(arguments.split_whitespace())).unwrap();
    let (mut out, mut remarks) = (Vec::new(), Vec::new());
    let Command::Rest(command) = cli.command else { panic!("not a command of the API") };
    let streams = Streams { out: &mut out, remarks: &mut remarks, terminal: false };
    let ended = run(&cli.common, command, streams).await;
    Ran { out: String::from_utf8(out).unwrap(), remarks: String::from_utf8(remarks).unwrap(), ended }
}

#[test]
fn the_arguments_are_put_together_rightly() {
    Cli::command().debug_assert();
}

#[tokio::test]
async fn create_turns_names_into_ids_and_chooses_what_is_not_said() {
    let api = Api::up().await;
    let ran = arame(&api, "instance create --image tiny --name web1 --ssh-key demo --json").await;
    assert_eq!(ran.status(), 0, "{}", ran.told(Language::En));
    let sent = api.sent("POST", "/instances");
    let wanted = json!({
        "image_id": "wmi-tiny", "hostname": "web1", "display_name": "web1", "ssh_key_id": "ssh-demo",
        "instance_type": "it-small", "security_groups": ["sg-default"],
        "vifs": {"eth0": {"index": 0, "network": "nw-demo1"}},
    });
    assert_eq!(sent[0], wanted);
    assert!(ran.remarks.contains("nw-demo1") && ran.remarks.contains("small"), "{}", ran.remarks);
    assert_eq!(ran.json()["id"], "i-new");
}

#[tokio::test]
async fn wait_tells_the_timeline_live_and_ends_when_the_instance_runs() {
    let api = Api::up().await;
    api.on_create(&["pending", "initializing", "running"]);
    api.tell(event(1, "i-new", "placed on host hn-1"));
    api.tell(event(2, "i-other", "not to be told"));
    api.tell(event(3, "i-new", "hva.h1 finished job hva.instance.apply"));
    let ran = arame(&api, "instance create --image tiny --name web1 --wait").await;
    assert_eq!(ran.status(), 0, "{}", ran.told(Language::En));
    assert!(ran.remarks.contains("placed on host hn-1"), "{}", ran.remarks);
    assert!(ran.remarks.contains("i-new is running after"), "{}", ran.remarks);
    assert!(!ran.remarks.contains("not to be told"), "{}", ran.remarks);
    assert!(ran.out.contains("10.100.0.10"), "{}", ran.out);
}

#[tokio::test]
async fn jobs_show_tells_one_things_timeline_with_times_and_its_jobs() {
    let api = Api::up().await;
    let mut running = instance("i-one", "web1", "running");
    running.display_name = Some("web1".into());
    api.have(running);
    for (number, at_ms, text) in [(1, 1_000, "creation was asked for"), (2, 1_410, "state changed")] {
        let mut event = event(number, "i-one", text);
        event.at_ms = at_ms;
        api.tell(event);
    }
    api.tell(event(3, "i-other", "not to be told"));
    let ran = arame(&api, "jobs show web1").await;
    assert_eq!(ran.status(), 0, "{}", ran.told(Language::En));
    assert!(
        ran.out.contains("0.00 s") && ran.out.contains("0.41 s") && ran.out.contains("state changed"),
        "{}",
        ran.out
    );
    assert!(!ran.out.contains("not to be told"), "{}", ran.out);
    let ran = arame(&api, "jobs show i-one --json").await;
    assert_eq!(ran.json()["events"].as_array().map(Vec::len), Some(2), "{}", ran.out);
    assert_eq!(ran.json()["jobs"], json!([]));
    let ran = arame(&api, "jobs show nothing").await;
    assert_eq!(ran.status(), REFUSED);
    assert!(ran.told(Language::En).contains("There is no instance `nothing`"), "{}", ran.told(Language::En));
}

#[tokio::test]
async fn wait_goes_on_by_looking_when_there_are_no_events() {
    let api = Api::up().await;
    api.refuse_events();
    api.on_create(&["pending", "running"]);
    let ran = arame(&api, "instance create --image tiny --name web1 --wait").await;
    assert_eq!(ran.status(), 0, "{}", ran.told(Language::En));
}

#[tokio::test]
async fn a_wait_that_ends_in_failure_tells_reason_cause_and_next_step() {
    let api = Api::up().await;
    api.on_create(&["pending", "failed"]);
    let ran = arame(&api, "instance create --image tiny --name web1 --wait").await;
    assert_eq!(ran.status(), WAIT_FAILED);
    let told = ran.told(Language::En);
    for part in ["i-new failed", "The disk was full.", "cause: no room on h1", "next step: make room"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(ran.told(Language::Ja).contains("原因: no room on h1"));
}

#[tokio::test]
async fn a_wait_is_bounded() {
    let api = Api::up().await;
    api.on_create(&["pending"]);
    let ran = arame(&api, "instance create --image tiny --name web1 --wait --timeout 0").await;
    assert_eq!(ran.status(), WAIT_FAILED);
    assert!(ran.told(Language::En).contains("still pending"), "{}", ran.told(Language::En));
}

#[tokio::test]
async fn delete_waits_until_the_instance_is_not_there() {
    let api = Api::up().await;
    api.have(instance("i-a", "web1", "running"));
    let ran = arame(&api, "instance delete web1 --wait --json").await;
    assert_eq!(ran.status(), 0, "{}", ran.told(Language::En));
    assert_eq!(ran.json(), json!(["i-a"]));
    let again = arame(&api, "instance delete web1").await;
    assert_eq!(again.status(), REFUSED);
}

#[tokio::test]
async fn poweroff_asks_the_guest_unless_forced() {
    let api = Api::up().await;
    api.have(instance("i-a", "web1", "running"));
    arame(&api, "instance poweroff web1").await;
    arame(&api, "instance poweroff i-a --force").await;
    assert_eq!(api.sent("PUT", "/instances/i-a/poweroff"), [json!({"force": false}), json!({"force": true})]);
}

#[tokio::test]
async fn an_ambiguous_name_is_refused_with_both_and_touches_neither() {
    let api = Api::up().await;
    api.have(instance("i-a", "web1", "running"));
    api.have(instance("i-b", "web1", "running"));
    let ran = arame(&api, "instance delete web1").await;
    assert_eq!(ran.status(), REFUSED);
    let told = ran.told(Language::En);
    assert!(told.contains("web1 (i-a)") && told.contains("web1 (i-b)"), "{told}");
    assert!(api.sent("DELETE", "/instances/i-a").is_empty() && api.sent("DELETE", "/instances/i-b").is_empty());
    assert_eq!(arame(&api, "instance delete i-b").await.status(), 0);
    assert_eq!(api.sent("DELETE", "/instances/i-b").len(), 1);
}

#[tokio::test]
async fn an_unknown_name_is_refused_with_those_there_are() {
    let api = Api::up().await;
    let ran = arame(&api, "instance create --image tyny --name web1").await;
    assert_eq!(ran.status(), REFUSED);
    assert!(ran.told(Language::En).contains("tiny (wmi-tiny)"), "{}", ran.told(Language::En));
    assert!(api.sent("POST", "/instances").is_empty());
}

#[tokio::test]
async fn a_refusal_is_told_as_the_api_said_it_with_the_verdict_of_each_host() {
    let api = Api::up().await;
    api.refuse_creation();
    let ran = arame(&api, "instance create --image tiny --name web1").await;
    assert_eq!(ran.status(), REFUSED);
    let told = ran.told(Language::En);
    for part in [
        "error: No host fits",
        "cause: Every host",
        "next step: It would fit",
        "hn-1: memory (NEEDED 512 MiB, HAD 256 MiB)",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!told.contains("CPU cores"), "a rule that holds is told: {told}");
}

#[tokio::test]
async fn an_api_that_is_not_there_is_told_with_the_next_step() {
    let api = Api::up().await;
    let ran = arame_at(&api, "http://127.0.0.1:1", "instance list").await;
    assert_eq!(ran.status(), UNREACHABLE);
    let told = ran.told(Language::En);
    assert!(told.contains("Connection refused") && told.contains("arame up"), "{told}");
    assert_eq!(arame(&api, "instance list").await.status(), 0);
}

#[tokio::test]
async fn an_empty_audit_is_an_empty_list() {
    let api = Api::up().await;
    let ran = arame(&api, "audit --fresh --json").await;
    assert_eq!((ran.status(), ran.out.as_str()), (0, "[]\n"));
    assert!(api.asked("/audit?fresh=true"));
    assert!(arame(&api, "audit").await.out.contains("Nothing was found"));
}

#[tokio::test]
async fn every_request_carries_token_language_and_account() {
    let api = Api::up().await;
    let ran = arame(&api, "--account a-demo instance list --json").await;
    assert_eq!(ran.json(), json!([]));
    let headers = api.headers();
    assert_eq!(headers["authorization"], "Bearer s3cret");
    assert_eq!(headers["accept-language"], "en");
    assert_eq!(headers["x-vdc-account-uuid"], "a-demo");
}

#[tokio::test]
async fn a_long_list_is_read_page_by_page() {
    let api = Api::up().await;
    for n in 0..7 {
        api.have(instance(&format!("i-{n}"), &format!("web{n}"), "running"));
    }
    api.pages_of(3);
    let ran = arame(&api, "instance list --json").await;
    assert_eq!(ran.json().as_array().unwrap().len(), 7);
}
