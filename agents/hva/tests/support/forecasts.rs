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

/// Between two looks at what has to come true.
const LOOK: Duration = Duration::from_millis(200);

/// None: too many are open already, and what is remembered is told.
fn open(pair: &dyn Pair) -> Option<LinkEnd> {
    let end = pair.question(1, LINK, Value::Null).ok()?;
    Some(serde_json::from_value(end).unwrap())
}

/// `name`: under which the measure of the link to the second host is remembered.
pub fn ask(pair: &dyn Pair, spec: &InstanceSpec, name: &str, link: Option<LinkEnd>) -> ForecastAnswer {
    let asked = json!({ "instance": spec.instance, "to": name, "endpoints": pair.endpoints(1), "link": link });
    serde_json::from_value(pair.question(0, FORECAST, asked).unwrap()).unwrap()
}

/// Asked until both are measured, as somebody does who is told that it goes on.
pub fn measured(pair: &dyn Pair, spec: &InstanceSpec, name: &str) -> (GuestLoad, LinkRate) {
    let until = Instant::now() + MEASURED_WITHIN;
    let mut asked = 0;
    loop {
        let answer = ask(pair, spec, name, open(pair));
        asked += 1;
        match (answer.load, answer.link) {
            (Measured::Known { value: load, .. }, Measured::Known { value: link, .. }) => {
                println!("asked {asked} times: {load:?} {link:?}");
                return (load, link);
            }
            unknown => assert!(Instant::now() < until, "{unknown:?}"),
        }
    }
}

pub fn a_move_is_forecast_from_what_was_measured(pair: &dyn Pair) {
    let spec = pair.prepared(spec("forecast", 100, 40));
    pair.apply(0, &spec, 1).done();
    let there = node(1);
    let (load, link) = measured(pair, &spec, there.as_str());
    assert!(load.memory_bytes > 0 && load.memory_bytes <= spec.memory_mib << 20, "{load:?}");
    assert!(load.disk_bytes > 0 && load.disk_bytes <= spec.boot.disk_size_bytes * 2, "{load:?}");
    assert!(load.pause_limit_ms > 0 && load.dirty_error_bytes_per_second > 0, "{load:?}");
    assert!(link.slowest_bytes_per_second <= link.bytes_per_second, "{link:?}");
    assert!(link.bytes_per_second <= link.fastest_bytes_per_second, "{link:?}");
    assert!(link.carried_bytes > 0 && link.carried_bytes <= 17 << 20, "no more than some MiB: {link:?}");
    assert_eq!(pair.look(0, &spec), Seen::Running, "nothing was stopped");
    // The link is remembered, so that nobody makes load by asking.
    let again = ask(pair, &spec, there.as_str(), None);
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
    assert_eq!(why(&ask(pair, &spec, "hn-nowhere", None)), Some(Unmeasured::NotRunning), "nobody knows it");
    spec.power = super::off();
    pair.apply(0, &spec, 1).done();
    assert_eq!(why(&ask(pair, &spec, "hn-nowhere", None)), Some(Unmeasured::NotRunning), "it is off");
    let elsewhere = json!({ "instance": spec.instance, "to": "hn-nowhere" });
    let answer = pair.question(0, FORECAST, elsewhere).unwrap();
    assert_eq!(answer["link"]["unknown"]["why"], "no_link");
    let end = json!({ "port": 49_200, "word": "0".repeat(32) });
    let closed = json!({ "instance": spec.instance, "to": "hn-closed", "endpoints": pair.endpoints(1), "link": end });
    let answer = pair.question(0, FORECAST, closed).unwrap();
    assert_eq!(answer["link"]["unknown"]["why"], "link_unreachable", "{answer}");
    pair.clear(&spec, 2);
}

/// The last one: the link stays narrow. It is measured under a name of its own, under which nothing is remembered.
pub fn a_guest_that_changes_faster_than_the_link_carries_is_seen(pair: &dyn Pair) {
    let spec = pair.prepared(spec("busy", 100, 42));
    pair.apply(0, &spec, 1).done();
    pair.keep_busy(0, &spec);
    pair.narrow_link(0);
    let until = Instant::now() + MEASURED_WITHIN;
    loop {
        let (load, link) = measured(pair, &spec, "hn-narrow");
        assert!(link.bytes_per_second < 600_000, "{link:?}");
        if load.dirty_bytes_per_second > link.bytes_per_second {
            break;
        }
        // An emulated guest may not have had its turn in the second that is remembered.
        assert!(Instant::now() < until, "{load:?} {link:?}");
        std::thread::sleep(LOOK);
    }
    assert_eq!(pair.look(0, &spec), Seen::Running);
    pair.clear(&spec, 2);
}
