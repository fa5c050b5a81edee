//! The clause of the contract about copies of a machine's disk.

use super::{Answer, Fact, FactName, Job, Subject, fact, off, spec};
use arame_schema::jobs::hva::{Captured, DropCapture, InstanceSpec, TakeCapture};

fn take(image: &str, spec: &InstanceSpec) -> Job {
    let reader = arame_schema::model::Secret::new("let me in");
    Job::TakeCapture(TakeCapture { image: image.parse().unwrap(), instance: spec.instance.clone(), reader })
}

fn end(image: &str, spec: &InstanceSpec) -> Job {
    Job::DropCapture(DropCapture { image: image.parse().unwrap(), instance: spec.instance.clone() })
}

fn captured(answer: &Answer) -> Captured {
    let found = answer.facts.iter().find(|fact| fact.name == FactName::Captured).unwrap();
    assert_eq!(found.value, Fact::Yes);
    serde_json::from_value(found.detail.clone().unwrap()).unwrap()
}

pub fn a_machines_disk_is_copied_once_whether_it_runs_or_not_and_its_copy_goes(host: &dyn Subject) {
    let mut spec = host.prepared(spec("copied", 100, 31));
    host.apply(&spec, 1).done();
    for (round, image) in ["wmi-running", "wmi-halted"].into_iter().enumerate() {
        let first = captured(&host.job(&take(image, &spec), image, 3).done());
        assert!(first.size_bytes > 0 && first.sha256.len() == 64, "{first:?}");
        let again = captured(&host.job(&take(image, &spec), image, 4).done());
        assert_eq!(first, again, "a copy that is kept was made again");
        let refused = host.job(&end(image, &spec), image, 3);
        assert_eq!((refused.result.as_str(), refused.found_generation), ("refused", 4));
        assert_eq!(host.kinds_of(image), ["capture"]);
        assert_eq!(host.kinds_of("i-copied"), ["domain", "overlay", "port"]);
        let power = if round == 0 { Fact::Yes } else { Fact::No };
        assert_eq!(fact(&host.observe(&spec).facts, "i-copied", FactName::Power), Some(power), "the guest goes on");
        let gone = host.job(&end(image, &spec), image, 5).done();
        assert_eq!(fact(&gone.facts, image, FactName::Captured), Some(Fact::No));
        assert_eq!(gone.facts[0].generation, 5);
        let refused = host.job(&take(image, &spec), image, 5);
        assert_eq!((refused.result.as_str(), refused.found_generation), ("refused", 5), "a job frozen on its way");
        assert!(host.kinds_of(image).is_empty());
        spec.power = off();
        host.apply(&spec, 2 + round as u64).done();
    }
    host.delete(&spec, 9).done();
    let gone = host.job(&take("wmi-late", &spec), "wmi-late", 1);
    assert_eq!(gone.code, "capture_machine_gone");
    host.job(&end("wmi-late", &spec), "wmi-late", 2).done();
}
