//! The form of every message on the wire, pinned by the files in `schema/messages/`: another program, or an agent of
//! another version, is written against these.
//!
//! What must stay true: a file is read into its type and written back as the same JSON, and every kind has a file. The
//! files hold every optional field at least once. A changed file is a changed protocol: it may gain fields, an old
//! reader ignores them; what exists keeps its name and meaning, or `WIRE_VERSION` rises.

use arame_schema::jobs::report::{
    Ask, Heartbeat, Hello, Inventory, JobResult, Outcome, Reply, Retry, StreamAsk, Unwelcome, Welcome,
};
use arame_schema::jobs::{Envelope, Job, control};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("messages")
}

fn golden(name: &str) -> Value {
    let path = folder().join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Reads `value`, writes it again and compares.
fn same<T: DeserializeOwned + Serialize>(name: &str, value: &Value) -> T {
    let read: T = serde_json::from_value(value.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(&serde_json::to_value(&read).unwrap(), value, "{name}");
    read
}

/// Adds a field that nobody knows to every object.
fn with_unknown_fields(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // `endpoints` is a map by itself, any key of it is known.
            fields.iter_mut().filter(|(key, _)| *key != "endpoints").for_each(|(_, value)| with_unknown_fields(value));
            // The key beside `Ok` and `Err` is serde's own form of a result: one key, no more.
            if !fields.contains_key("Ok") && !fields.contains_key("Err") {
                fields.insert("from_a_newer_version".into(), Value::Bool(true));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(with_unknown_fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Reads a golden message of one form and compares it.
type Check = fn(&str, &Value);

/// Whatever is not a job and not an envelope, with the type it is read into.
fn reports() -> Vec<(&'static str, Check)> {
    fn check<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(name: &str, value: &Value) {
        let read: T = same(name, value);
        let mut newer = value.clone();
        with_unknown_fields(&mut newer);
        let ignoring: T = serde_json::from_value(newer).unwrap_or_else(|e| panic!("{name} with unknown fields: {e}"));
        // `detail` and an answer are free JSON: what is added there is part of the value, so only the rest is compared.
        if !value.to_string().contains("\"detail\"") && !value.to_string().contains("\"Ok\"") {
            assert_eq!(ignoring, read, "{name}");
        }
    }
    vec![
        ("hello", check::<Hello>),
        ("heartbeat", check::<Heartbeat>),
        ("inventory", check::<Inventory>),
        ("reply", check::<Reply>),
        ("reply.err", check::<Reply>),
        ("outcome.done", check::<Outcome>),
        ("outcome.failed", check::<Outcome>),
        ("outcome.refused", check::<Outcome>),
        ("outcome.unsupported", check::<Outcome>),
        ("outcome.overtaken", check::<Outcome>),
        ("outcome.held_epoch", check::<Outcome>),
        ("outcome.progress", check::<Outcome>),
    ]
}

/// Control kinds, with the type of their body.
fn controls() -> Vec<(&'static str, Check)> {
    fn check<T: DeserializeOwned + Serialize>(name: &str, body: &Value) {
        same::<T>(name, body);
    }
    vec![
        (control::WELCOME, check::<Welcome>),
        (control::UNWELCOME, check::<Unwelcome>),
        (control::INVENTORY, check::<()>),
        (control::HELLO_AGAIN, check::<()>),
        (control::ASK, check::<Ask>),
        (control::CONFIRM_EPOCH, check::<()>),
    ]
}

#[test]
fn every_job_kind_has_a_golden_envelope_that_reads_and_writes_the_same() {
    for kind in Job::KINDS {
        let value = golden(kind);
        let envelope: Envelope = same(kind, &value);
        assert_eq!(envelope.kind, kind);
        let job = envelope.job().unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert_eq!(job.kind(), kind);
        assert_eq!(Envelope::body_of(&job), envelope.body, "{kind}");
    }
}

#[test]
fn every_control_kind_has_a_golden_envelope() {
    for (kind, check) in controls() {
        let envelope: Envelope = same(kind, &golden(kind));
        assert_eq!(envelope.kind, kind);
        check(kind, &envelope.body);
        assert!(envelope.job().is_err(), "{kind} is not a job");
    }
}

/// The body of a question whose answer is a stream.
const ASK_STREAM: &str = "ask.stream";

#[test]
fn a_question_for_a_stream_is_a_question_to_those_who_know_no_streams() {
    let value = golden(ASK_STREAM);
    let asked: StreamAsk = same(ASK_STREAM, &value);
    assert_eq!(serde_json::from_value::<Ask>(value).unwrap(), asked.ask);
    assert!(!format!("{asked:?}").contains("3q2"), "a secret is printed");
}

#[test]
fn every_report_reads_and_writes_the_same_and_ignores_fields_it_does_not_know() {
    for (name, check) in reports() {
        check(name, &golden(name));
    }
}

#[test]
fn a_job_with_fields_it_does_not_know_is_the_same_job() {
    for kind in Job::KINDS {
        let plain: Envelope = serde_json::from_value(golden(kind)).unwrap();
        let mut value = golden(kind);
        with_unknown_fields(&mut value);
        let newer: Envelope = serde_json::from_value(value).unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert_eq!(newer.job().unwrap(), plain.job().unwrap(), "{kind}");
        // The control: a field that is known and wrong is not ignored.
        let mut broken = golden(kind);
        broken["body"] = Value::String("nonsense".into());
        let broken: Envelope = serde_json::from_value(broken).unwrap();
        assert!(broken.job().is_err(), "{kind}");
    }
}

#[test]
fn every_way_a_job_ends_has_a_golden_outcome() {
    // Matched without a wildcard: a new result does not compile until it is named here.
    fn word(result: &JobResult) -> &'static str {
        match result {
            JobResult::Done => "done",
            JobResult::Failed { retry: Retry::Later | Retry::Elsewhere | Retry::Never, .. } => "failed",
            JobResult::Refused { .. } => "refused",
            JobResult::Unsupported { .. } => "unsupported",
            JobResult::Overtaken => "overtaken",
            JobResult::HeldEpoch { .. } => "held_epoch",
            JobResult::Progress { .. } => "progress",
        }
    }
    let mut seen = BTreeSet::new();
    for (name, _) in reports().into_iter().filter(|(name, _)| name.starts_with("outcome.")) {
        let outcome: Outcome = serde_json::from_value(golden(name)).unwrap();
        assert_eq!(format!("outcome.{}", word(&outcome.result)), name);
        seen.insert(word(&outcome.result));
    }
    assert_eq!(seen.len(), 7);
}

#[test]
fn a_kind_that_nobody_knows_is_not_a_job_and_keeps_its_name() {
    let mut value = golden("hva.instance.observe");
    value["kind"] = Value::String("hva.instance.levitate".into());
    let envelope: Envelope = serde_json::from_value(value).unwrap();
    assert_eq!(envelope.kind, "hva.instance.levitate");
    assert!(envelope.job().is_err());
}

#[test]
fn there_is_no_golden_file_that_no_test_reads() {
    let mut known: BTreeSet<String> = Job::KINDS.iter().map(|kind| (*kind).to_owned()).collect();
    known.insert(ASK_STREAM.to_owned());
    known.extend(reports().iter().map(|(name, _)| (*name).to_owned()));
    known.extend(controls().iter().map(|(name, _)| (*name).to_owned()));
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .collect();
    assert_eq!(files, known);
}
