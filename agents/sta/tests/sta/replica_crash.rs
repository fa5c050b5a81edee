//! Either side of a replica on its way dies at every named point; the next process goes on, and all is as it should be.

use crate::crash::{CHILD_SERVES, crash};
use crate::kit::*;
use crate::proxy::{Proxy, Trouble};
use crate::replicas::*;
use arame_framework::agent::Stopped;
use arame_schema::jobs::report::Retry;
use arame_schema::jobs::sta::OfferedSnapshot;
use arame_schema::model::Fact;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

/// A node with two snapshots of one volume, offered.
async fn sender(drivers: Drivers) -> Option<(Pair, [OfferedSnapshot; 2])> {
    let there = if drivers == Drivers::File { Drivers::FileTgt } else { Drivers::ZfsLio };
    let pair = Pair::new(drivers, there).await?;
    pair.here.run(create("k1", SIZE), 1).await.unwrap();
    pair.here.write("k1", "one");
    pair.here.run(take("k1", "s1"), 1).await.unwrap();
    let first = pair.offered("k1", "s1").await;
    fill(&pair.here, "k1", 1, "two");
    pair.here.run(take("k1", "s2"), 1).await.unwrap();
    let second = pair.offered("k1", "s2").await;
    Some((pair, [first, second]))
}

/// The first is there, the second is received as what changed: most of it.
async fn a_receiver_that_dies_goes_on(drivers: Drivers, points: &[&str], ends: &[&str]) {
    let Some((mut pair, [first, second])) = sender(drivers).await else { return };
    received(&pair.there, &receive("ra", &first), 1).await;
    let job = receive("rb", &second);
    for at in points {
        let there = pair.there.release().await;
        crash(&there, at, &job, 1);
        let there = there.restart().await;
        let seen = there.run(look("rb"), 1).await;
        let whole = ["receive_replica:renamed", "receive_replica:after", "sta.replica.receive:answer"].contains(at);
        assert_eq!(value(&seen) == Fact::Yes, whole, "{at}: whole or not at all");
        for _ in 0..2 {
            let told = received(&there, &job, 1).await;
            assert_eq!((told.guid, told.base), (Some(second.guid), Some(first.guid)), "{at}");
        }
        assert_eq!(parts(&there), [] as [&str; 0], "{at}");
        there.run(of_replica("k9", SIZE, "rb"), 1).await.unwrap();
        assert_eq!(there.read("k9"), "two", "{at}");
        for (job, generation) in [(delete("k9"), 2), (remove("rb"), 2)] {
            assert_eq!(value(&there.run(job, generation).await), Fact::No, "{at}");
        }
        pair.there = there;
    }
    for at in ends {
        received(&pair.there, &job, 1).await;
        pair.there.run(of_replica("k9", SIZE, "ra"), 1).await.unwrap();
        let there = pair.there.release().await;
        crash(&there, at, &remove("ra"), 2);
        let there = there.restart().await;
        for _ in 0..2 {
            assert_eq!(value(&there.run(remove("ra"), 2).await), Fact::No, "{at}");
        }
        assert_eq!(there.read("k9"), "one", "{at}");
        assert_eq!(stored(&there.run(look("rb"), 1).await).guid, Some(second.guid), "{at}");
        for (job, generation) in [(delete("k9"), 2), (remove("rb"), 2)] {
            assert_eq!(value(&there.run(job, generation).await), Fact::No, "{at}");
        }
        assert_eq!(there.things().await, [], "{at}");
        received(&there, &receive("ra", &first), 1).await;
        pair.there = there;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_receiver_is_killed_at_any_point_converges() {
    let points = [
        "sta.replica.receive:before",
        "receive_replica:before",
        "receive_replica:begun",
        "receive_replica:halfway",
        "receive_replica:received",
        "receive_replica:proved",
        "receive_replica:marked",
        "receive_replica:after",
        "sta.replica.receive:answer",
    ];
    let ends = ["delete_replica:before", "delete_replica:half", "delete_replica:after", "sta.replica.delete:answer"];
    a_receiver_that_dies_goes_on(Drivers::File, &points, &ends).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "sent to the lab machine"]
async fn with_zfs_and_lio_a_replica_whose_receiver_is_killed_at_any_point_converges() {
    let points = ["receive_replica:halfway", "receive_replica:marked", "receive_replica:renamed"];
    a_receiver_that_dies_goes_on(Drivers::Zfs, &points, &["delete_volume:handed_over"]).await;
}

/// Another process serves what is in the kit's folder.
fn serve(kit: &Kit, port: u16) -> Child {
    let order = serde_json::json!({ "root": kit.place.root, "pool": kit.place.pool, "port": port });
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_that_serves", "--nocapture"])
        .env(CHILD_SERVES, order.to_string())
        .current_dir(&kit.place.root)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    assert!(wait_until(|| std::net::TcpStream::connect(address).is_ok()));
    child
}

async fn a_sender_that_dies_is_gone_on_with(drivers: Drivers) {
    let (Some(here), Some(there)) = (patient(drivers).await, patient(drivers).await) else { return };
    here.run(create("k1", SIZE), 1).await.unwrap();
    fill(&here, "k1", 1, "word");
    here.run(take("k1", "s1"), 1).await.unwrap();
    let port = free_port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let offered = offered(&here, address, "k1", "s1").await;
    let here = here.release().await;

    let mut serving = serve(&here, port);
    // More than is noted at once, and less than would fit with the buffers of two connections.
    let killing = Proxy::new(address, Trouble::Kill(17 * MIB, serving.id() as i32)).await;
    let through = |proxy: &Proxy| {
        let url = offered.url.replace(&address.to_string(), &proxy.address.to_string());
        receive("ra", &OfferedSnapshot { url, ..offered.clone() })
    };
    let answer = there.run(through(&killing), 1).await;
    assert_eq!(code(&answer), "replica_broke_off");
    serving.wait().unwrap();
    let refused = there.run(through(&killing), 1).await;
    assert_eq!(code(&refused), "replica_source_unavailable", "nobody is there");
    assert!(matches!(refused, Err(Stopped::Failed { retry: Retry::Later, .. })));
    assert_eq!(value(&there.run(look("ra"), 1).await), Fact::Maybe);

    let mut serving = serve(&here, port);
    let plain = Proxy::new(address, Trouble::None).await;
    let told = received(&there, &through(&plain), 1).await;
    assert_eq!(told.guid, Some(offered.guid));
    let passed = plain.passed.load(Ordering::SeqCst);
    assert!(0 < passed && passed < SIZE - 14 * MIB, "the rest came: {passed} bytes");
    serving.kill().unwrap();
    serving.wait().unwrap();
    there.run(of_replica("k9", SIZE, "ra"), 1).await.unwrap();
    assert_eq!(there.read("k9"), "word");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_sender_is_killed_goes_on_with_the_next_one() {
    a_sender_that_dies_is_gone_on_with(Drivers::File).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "sent to the lab machine"]
async fn with_zfs_a_replica_whose_sender_is_killed_goes_on_with_the_next_one() {
    a_sender_that_dies_is_gone_on_with(Drivers::Zfs).await;
}
