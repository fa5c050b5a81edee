//! The contract of measures for a forecast, kept alike by the simulator and by libvirt: nothing invented, nothing stopped,
//! and not measured again for whoever asks again.

use super::{Pair, Seen, node, spec};
use arame_schema::jobs::forecast::{
    FORECAST, ForecastAnswer, GuestLoad, LINK, LinkEnd, LinkRate, Measured, Unmeasured,
};
use arame_schema::jobs::hva::InstanceSpec;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A measure takes a second; a busy machine may take many.
const MEASURED_WITHIN: Duration = Duration::from_secs(60);

fn open(pair: &dyn Pair, host: usize) -> LinkEnd {
    serde_json::from_value(pair.question(host, LINK, Value::Null).unwrap()).unwrap()
}

fn ask(pair: &dyn Pair, spec: &InstanceSpec, link: Option<&LinkEnd>) -> ForecastAnswer {
    let asked = json!({ "instance": spec.instance, "to": node(1), "endpoints": pair.endpoints(1), "link": link });
    serde_json::from_value(pair.question(0, FORECAST, asked).unwrap()).unwrap()
}

/// Asked until both are measured, as somebody does who is told that it goes on; how old each was.
fn measured(pair: &dyn Pair, spec: &InstanceSpec) -> ((u64, GuestLoad), (u64, LinkRate)) {
    let until = Instant::now() + MEASURED_WITHIN;
    let mut asked = 0;
    loop {
        let end = open(pair, 1);
        let answer = ask(pair, spec, Some(&end));
        asked += 1;
        match (answer.load, answer.link) {
            (Measured::Known { age_ms, value: load }, Measured::Known { age_ms: age, value: link }) => {
                println!("asked {asked} times: {load:?} {link:?}");
                return ((age_ms, load), (age, link));
            }
            unknown => assert!(Instant::now() < until, "{unknown:?}"),
        }
    }
}

pub fn a_move_is_forecast_from_what_was_measured(pair: &dyn Pair) {
    let spec = pair.prepared(spec("forecast", 100, 40));
    pair.apply(0, &spec, 1).done();
    let ((_, load), (_, link)) = measured(pair, &spec);
    assert!(load.memory_bytes > 0 && load.memory_bytes <= spec.memory_mib << 20, "{load:?}");
    assert!(load.disk_bytes > 0 && load.disk_bytes <= spec.boot.disk_size_bytes * 2, "{load:?}");
    assert!(load.pause_limit_ms > 0 && load.dirty_error_bytes_per_second > 0, "{load:?}");
    assert!(link.slowest_bytes_per_second <= link.bytes_per_second, "{link:?}");
    assert!(link.bytes_per_second <= link.fastest_bytes_per_second, "{link:?}");
    assert!(link.carried_bytes > 0 && link.carried_bytes <= 17 << 20, "no more than some MiB: {link:?}");
    assert_eq!(pair.look(0, &spec), Seen::Running, "nothing was stopped");
    // The link is remembered, so that nobody makes load by asking; a guest is another's for each.
    let again = ask(pair, &spec, None);
    let Measured::Known { age_ms, value } = again.link else { panic!("{again:?}") };
    assert_eq!((value, age_ms < 60_000), (link, true), "it was measured again");
    pair.receive(1, &spec, 2).done();
    let sent = pair.send(0, &spec, 2).done();
    if pair.takes_time() {
        as_long_as_foretold(&load, &link, sent.worked_ms as f64 / 1000.0);
    }
    pair.clear(&spec, 4);
}

/// Of an idle guest dcmgr foretells all that is carried over the link, with 1.8 s before and after. Emulated guests on a
/// machine that does much else are slower or faster than that by this factor, and both are slow alike.
const FACTOR: f64 = 8.0;

fn as_long_as_foretold(load: &GuestLoad, link: &LinkRate, seconds: f64) {
    let foretold = 1.8 + (load.memory_bytes + load.disk_bytes) as f64 / link.bytes_per_second as f64;
    println!("foretold {foretold:.1} s, took {seconds:.1} s");
    assert!(seconds < foretold * FACTOR && seconds > foretold / FACTOR, "foretold {foretold} s, took {seconds} s");
}

pub fn what_cannot_be_measured_says_why(pair: &dyn Pair) {
    let mut spec = pair.prepared(spec("unmeasured", 100, 41));
    let why = |answer: &ForecastAnswer| match &answer.load {
        Measured::Unknown { why, .. } => Some(*why),
        Measured::Known { .. } => None,
    };
    assert_eq!(why(&ask(pair, &spec, None)), Some(Unmeasured::NotRunning), "nobody knows it");
    spec.power = super::off();
    pair.apply(0, &spec, 1).done();
    assert_eq!(why(&ask(pair, &spec, None)), Some(Unmeasured::NotRunning), "it is off");
    let elsewhere = json!({ "instance": spec.instance, "to": "hn-nowhere" });
    let answer = pair.question(0, FORECAST, elsewhere).unwrap();
    assert_eq!(answer["link"]["unknown"]["why"], "no_link");
    let end = json!({ "port": 49_200, "word": "0".repeat(32) });
    let closed = json!({ "instance": spec.instance, "to": "hn-closed", "endpoints": pair.endpoints(1), "link": end });
    let answer = pair.question(0, FORECAST, closed).unwrap();
    assert_eq!(answer["link"]["unknown"]["why"], "link_unreachable", "{answer}");
    pair.clear(&spec, 2);
}

/// The last one: the link stays narrow.
pub fn a_guest_that_changes_faster_than_the_link_carries_is_seen(pair: &dyn Pair) {
    let spec = pair.prepared(spec("busy", 100, 42));
    pair.apply(0, &spec, 1).done();
    pair.keep_busy(0, &spec);
    pair.narrow_link(0);
    let until = Instant::now() + MEASURED_WITHIN * 2;
    loop {
        let ((_, load), (age, link)) = measured(pair, &spec);
        // The link of before is believed for half a minute.
        if link.bytes_per_second < 500_000 {
            assert!(load.dirty_bytes_per_second > link.bytes_per_second, "{load:?} {link:?} {age}");
            break;
        }
        assert!(Instant::now() < until, "{link:?}");
    }
    assert_eq!(pair.look(0, &spec), Seen::Running);
    pair.clear(&spec, 2);
}
