//! Trouble on request, as the simulated data center's campaigns use it.

use crate::kit::*;
use arame_framework::agent::Agent;
use arame_schema::jobs::Job;
use arame_schema::jobs::hva::DiskFormat;
use arame_schema::jobs::sta::ImportImage;
use arame_schema::model::Fact;
use arame_sta::faults::{Action, Fault};
use std::time::Duration;

async fn with(at: &str, action: Action) -> Kit {
    let mut kit = Kit::new(Drivers::Sim).await.unwrap();
    kit.place.faults = vec![Fault { at: at.into(), action, times: 1 }];
    kit.restart().await
}

#[tokio::test]
async fn a_verb_fails_before_or_after_its_effect_as_asked() {
    for (at, effect) in [("create_volume:before", Fact::No), ("create_volume:after", Fact::Yes)] {
        let kit = with(at, Action::Fail).await;
        let failed = kit.run(create("k1", MIB), 1).await;
        assert_eq!(code(&failed), "injected");
        let Err(arame_framework::agent::Stopped::Failed { facts, .. }) = failed else { unreachable!("just seen") };
        assert_eq!(facts[0].value, effect, "{at}: what is seen is said");
        assert_eq!(value(&kit.run(create("k1", MIB), 1).await), Fact::Yes, "once and no more");
    }
}

#[tokio::test(start_paused = true)]
async fn a_verb_hangs_as_asked() {
    let kit = with("sta.volume.create:answer", Action::Hang).await;
    let hung = tokio::time::timeout(Duration::from_secs(600), kit.run(create("k1", MIB), 1)).await;
    assert!(hung.is_err());
    assert_eq!(value(&kit.run(create("k1", MIB), 1).await), Fact::Yes, "control: the next one answers");
}

#[tokio::test]
async fn an_image_without_bytes_can_be_imported_into_the_simulated_store_only() {
    let job = |kit: &Kit| {
        let image = kit.image("a", b"x", DiskFormat::Qcow2);
        Job::ImportImage(ImportImage { source: "sim://tiny".into(), ..image })
    };
    let kit = Kit::new(Drivers::Sim).await.unwrap();
    assert_eq!(value(&kit.run(job(&kit), 1).await), Fact::Yes);
    let real = Kit::new(Drivers::File).await.unwrap();
    assert_eq!(code(&real.run(job(&real), 1).await), "image_refused");
}

#[tokio::test]
async fn the_agent_tells_what_it_offers() {
    for (drivers, driver) in [(Drivers::Sim, "sim"), (Drivers::File, "file")] {
        let kit = Kit::new(drivers).await.unwrap();
        let profile = kit.sta().profile();
        assert_eq!(profile.kinds.len(), 22);
        assert_eq!(profile.capacity.driver, driver);
        assert!(profile.capacity.disk_mib > 0);
        assert_eq!(profile.endpoints["portal"], kit.place.portal);
        assert_eq!(profile.endpoints["http"], "http://storage:9080");
    }
}
