//! What every store must do with another storage node's snapshots: received whole and equal or not at all, from where it broke
//! off, and only what changed where an earlier one is there.

use crate::kit::*;
use crate::proxy::{Proxy, Trouble};
use arame_framework::agent::{Agent, Stopped};
use arame_schema::jobs::Job;
use arame_schema::jobs::report::{FactReport, Retry};
use arame_schema::jobs::sta::{
    ClonedReplica, CreateVolume, OfferSnapshot, OfferedSnapshot, Replica, ReplicaSource, StoredReplica,
};
use arame_schema::model::{Fact, FactName, Secret};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod with_sim { $( #[tokio::test] async fn $name() { super::on(super::Drivers::Sim, async |pair| super::$name(pair).await).await } )* }
        mod with_file { $( #[tokio::test] async fn $name() { super::on(super::Drivers::File, async |pair| super::$name(pair).await).await } )* }
        mod with_zfs { $( #[tokio::test] #[ignore = "sent to the lab machine"] async fn $name() { super::on(super::Drivers::Zfs, async |pair| super::$name(pair).await).await } )* }
    };
}

contract!(
    a_snapshot_is_received_and_a_volume_of_it_begins_with_its_bytes,
    a_later_snapshot_is_received_as_what_changed_since_the_newest_one_that_is_there,
    a_snapshot_taken_again_under_its_old_name_is_no_base,
    what_is_not_offered_or_asked_for_wrongly_is_not_sent,
    what_was_changed_on_its_way_does_not_count_and_leaves_nothing,
    what_broke_off_is_told_as_a_part_and_goes_on,
    one_that_is_deleted_while_it_comes_leaves_nothing,
    an_older_job_is_refused_and_what_is_not_ours_is_not_touched,
);

/// Of which the most is data that no store makes smaller.
pub const SIZE: u64 = 32 * MIB;
/// More than a store receives before it notes how far it is.
pub const MOST: u64 = 24 * MIB;

/// Where a busy machine makes a node silent for seconds, that is no trouble between the two.
pub async fn patient(drivers: Drivers) -> Option<Kit> {
    let mut kit = Kit::new(drivers).await?;
    kit.place.silence_seconds = 60;
    Some(kit.restart().await)
}

/// A node that has the snapshots and one that receives them.
pub struct Pair {
    pub here: Kit,
    pub there: Kit,
    pub address: SocketAddr,
}

impl Pair {
    pub async fn new(here: Drivers, there: Drivers) -> Option<Self> {
        let (here, there) = (patient(here).await?, patient(there).await?);
        let listener = arame_sta::http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(arame_sta::http::serve(listener, here.sta().shelf()));
        Some(Self { here, there, address })
    }

    pub async fn offered(&self, volume: &str, key: &str) -> OfferedSnapshot {
        offered(&self.here, self.address, volume, key).await
    }

    /// Another road to the same node.
    async fn through(&self, trouble: Trouble, offered: &OfferedSnapshot) -> (Proxy, OfferedSnapshot) {
        let proxy = Proxy::new(self.address, trouble).await;
        let url = offered.url.replace(&self.address.to_string(), &proxy.address.to_string());
        (proxy, OfferedSnapshot { url, ..offered.clone() })
    }
}

async fn on(drivers: Drivers, test: impl AsyncFnOnce(&Pair)) {
    let Some(pair) = Pair::new(drivers, drivers).await else { return };
    test(&pair).await;
    for kit in [&pair.here, &pair.there] {
        assert!(!kit.data_files().iter().any(|name| name.starts_with(".tmp-")), "{:?}", kit.data_files());
        assert_eq!(parts(kit), [] as [&str; 0]);
    }
}

/// What lies there of replicas that are not whole.
pub fn parts(kit: &Kit) -> Vec<String> {
    if let Some(pool) = &kit.place.pool {
        let all = told("zfs", &["list", "-Hr", "-t", "all", "-o", "name", pool]);
        return all.lines().filter(|name| name.contains("/part-")).map(str::to_owned).collect();
    }
    let Ok(entries) = std::fs::read_dir(kit.place.root.join("data/parts")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

const READER: &str = "let me in";

pub fn offer(volume: &str, key: &str, reader: Option<&str>) -> Job {
    Job::OfferSnapshot(OfferSnapshot {
        snapshot: format!("snap-{key}").parse().unwrap(),
        key: key.to_owned(),
        volume_key: volume.to_owned(),
        reader: reader.map(Secret::new),
    })
}

pub async fn offered(kit: &Kit, address: SocketAddr, volume: &str, key: &str) -> OfferedSnapshot {
    let answer = kit.run(offer(volume, key, Some(READER)), 1).await.unwrap();
    let told: Vec<_> = answer.iter().map(|fact| (fact.name, fact.value)).collect();
    assert_eq!(told, [(FactName::Snapshot, Fact::Yes), (FactName::Offered, Fact::Yes)], "{answer:?}");
    let told: OfferedSnapshot = serde_json::from_value(answer[1].detail.clone().unwrap()).unwrap();
    let url = told.url.replace("storage:9080", &address.to_string());
    OfferedSnapshot { url, ..told }
}

fn replica(name: &str) -> Replica {
    Replica {
        replica: format!("rep-{name}").parse().unwrap(),
        volume: "vol-k1".parse().unwrap(),
        key: name.to_owned(),
        from: None,
        origin: None,
    }
}

pub fn receive(name: &str, offered: &OfferedSnapshot) -> Job {
    receive_showing(name, offered, READER)
}

fn receive_showing(name: &str, offered: &OfferedSnapshot, reader: &str) -> Job {
    let from = ReplicaSource { offered: offered.clone(), reader: Secret::new(reader) };
    Job::ReceiveReplica(Replica { from: Some(from), ..replica(name) })
}

pub fn remove(name: &str) -> Job {
    Job::DeleteReplica(replica(name))
}

pub fn look(name: &str) -> Job {
    Job::ObserveReplica(replica(name))
}

pub fn of_replica(key: &str, size_bytes: u64, name: &str) -> Job {
    let Job::CreateVolume(job) = create(key, size_bytes) else { unreachable!("it is one") };
    let from = ClonedReplica { replica: format!("rep-{name}").parse().unwrap(), key: name.to_owned() };
    Job::CreateVolume(CreateVolume { replica: Some(from), ..job })
}

pub fn stored(answer: &Result<Vec<FactReport>, Stopped>) -> StoredReplica {
    serde_json::from_value(answer.as_ref().unwrap()[0].detail.clone().unwrap()).unwrap()
}

/// As dcmgr does: asked again while it still comes, or while the store is not done with the last attempt.
pub async fn received(kit: &Kit, job: &Job, generation: u64) -> StoredReplica {
    for _ in 0..200 {
        match kit.run(job.clone(), generation).await {
            Ok(facts) if facts[0].value == Fact::Yes => return stored(&Ok(facts)),
            Ok(_) => {}
            Err(Stopped::Failed { code, retry: Retry::Later, .. }) if code == "in_use" => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("it did not come")
}

/// Data all over the volume, and a word in it.
pub fn fill(kit: &Kit, key: &str, seed: u64, word: &str) {
    if kit.place.drivers != Drivers::Sim {
        use std::os::unix::fs::FileExt;
        let mut state = seed;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(64 << 10)
        .collect();
        let mut bytes = noise.repeat((SIZE - 2 * MIB) as usize / noise.len());
        for (number, block) in bytes.chunks_mut(4096).enumerate() {
            block[..8].copy_from_slice(&(number as u64).to_be_bytes());
        }
        let file = std::fs::File::options().write(true).open(kit.volume_file(key)).unwrap();
        file.write_all_at(&bytes, MIB).unwrap();
        file.sync_all().unwrap();
    }
    kit.write(key, word);
}

fn same(pair: &Pair, (here, there): (&str, &str)) {
    if pair.here.place.drivers == Drivers::Sim {
        return assert_eq!(pair.here.read(here), pair.there.read(there));
    }
    let [a, b] = [pair.here.volume_file(here), pair.there.volume_file(there)].map(|path| std::fs::read(path).unwrap());
    assert!(a == b, "{} and {} bytes differ", a.len(), b.len());
}

async fn a_snapshot_is_received_and_a_volume_of_it_begins_with_its_bytes(pair: &Pair) {
    let Pair { here, there, .. } = pair;
    here.run(create("k1", SIZE), 1).await.unwrap();
    fill(here, "k1", 1, "old");
    here.run(take("k1", "s1"), 1).await.unwrap();
    let offered = pair.offered("k1", "s1").await;
    assert_eq!(pair.offered("k1", "s1").await, offered, "it is the same one when it is asked again");
    let answer = there.run(receive("ra", &offered), 1).await;
    assert_eq!(value(&answer), Fact::Yes);
    let fact = &answer.as_ref().unwrap()[0];
    assert_eq!((fact.thing.as_str(), fact.name, fact.generation), ("rep-ra", FactName::Replica, 1));
    let told = StoredReplica { size_bytes: SIZE, guid: Some(offered.guid), base: None };
    assert_eq!(stored(&answer), told);
    let listing = there.list().await;
    let thing = &listing.things[0];
    assert_eq!((listing.things.len(), thing.kind.as_str(), thing.owner.as_deref()), (1, "replica", Some("rep-ra")));
    assert!(thing.holds_data && thing.facts[0].value == Fact::Yes, "{thing:?}");

    here.run(create("k2", SIZE), 1).await.unwrap();
    assert_eq!(code(&there.run(of_replica("k9", MIB, "ra"), 1).await), "volume_too_small");
    assert_eq!(value(&there.run(of_replica("k9", SIZE, "ra"), 1).await), Fact::Yes);
    same(pair, ("k1", "k9"));
    assert_eq!(there.read("k9"), "old");
    there.write("k9", "mine");
    assert_eq!(stored(&there.run(receive("ra", &offered), 2).await), told, "it is there already");
    assert_eq!(value(&there.run(remove("ra"), 3).await), Fact::No);
    assert_eq!(value(&there.run(remove("ra"), 3).await), Fact::No, "again");
    assert_eq!(there.read("k9"), "mine", "what was made of it lives on");
    there.run(delete("k9"), 2).await.unwrap();
    assert_eq!(there.things().await, []);
    assert_eq!(code(&there.run(of_replica("k9", SIZE, "ra"), 1).await), "replica_missing");
}

async fn a_later_snapshot_is_received_as_what_changed_since_the_newest_one_that_is_there(pair: &Pair) {
    let Pair { here, there, .. } = pair;
    here.run(create("k1", SIZE), 1).await.unwrap();
    fill(here, "k1", 1, "one");
    let mut guids = Vec::new();
    for (snapshot, word) in [("s1", "one"), ("s2", "two"), ("s3", "three")] {
        here.write("k1", word);
        here.run(take("k1", snapshot), 1).await.unwrap();
        let offered = pair.offered("k1", snapshot).await;
        let (proxy, offered) = pair.through(Trouble::None, &offered).await;
        let told = received(there, &receive(&format!("r{snapshot}"), &offered), 1).await;
        assert_eq!((told.guid, told.base), (Some(offered.guid), guids.last().copied()), "{snapshot}");
        let passed = proxy.passed.load(Ordering::SeqCst);
        if here.place.drivers != Drivers::Sim {
            let few = guids.is_empty() || passed < 4 * MIB;
            assert!(few && (passed > MOST || !guids.is_empty()), "{snapshot}: {passed} bytes came");
        }
        guids.push(offered.guid);
    }
    // The base goes, and what stands on it stays.
    for (job, generation) in [(remove("rs1"), 2), (of_replica("k8", SIZE, "rs2"), 1), (remove("rs2"), 2)] {
        there.run(job, generation).await.unwrap();
    }
    there.run(of_replica("k9", SIZE, "rs3"), 1).await.unwrap();
    assert_eq!((there.read("k8").as_str(), there.read("k9").as_str()), ("two", "three"));
    same(pair, ("k1", "k9"));
    assert_eq!(value(&there.run(look("rs3"), 1).await), Fact::Yes);
    for (job, generation) in [(remove("rs3"), 2), (delete("k8"), 2)] {
        assert_eq!(value(&there.run(job, generation).await), Fact::No);
    }
    assert_eq!(there.read("k9"), "three");
    there.run(delete("k9"), 2).await.unwrap();
    assert_eq!(there.things().await, []);
}

async fn a_snapshot_taken_again_under_its_old_name_is_no_base(pair: &Pair) {
    let Pair { here, there, .. } = pair;
    here.run(create("k1", SIZE), 1).await.unwrap();
    here.write("k1", "one");
    here.run(take("k1", "s1"), 1).await.unwrap();
    let first = pair.offered("k1", "s1").await;
    received(there, &receive("ra", &first), 1).await;
    here.run(drop_snapshot("k1", "s1"), 1).await.unwrap();
    here.write("k1", "another");
    here.run(take("k1", "s1"), 1).await.unwrap();
    let again = pair.offered("k1", "s1").await;
    assert_ne!(first.guid, again.guid, "it is another one");
    here.write("k1", "two");
    here.run(take("k1", "s2"), 1).await.unwrap();
    let second = pair.offered("k1", "s2").await;
    let told = received(there, &receive("rb", &second), 1).await;
    assert_eq!((told.guid, told.base), (Some(second.guid), None), "all of it came");
    there.run(of_replica("k9", SIZE, "rb"), 1).await.unwrap();
    assert_eq!(there.read("k9"), "two");
    // What the job says that it is, it is not any more.
    let stale = there.run(receive("rc", &OfferedSnapshot { url: again.url.clone(), ..first }), 1).await;
    assert_eq!(code(&stale), "replica_checksum_mismatch");
    assert_eq!(value(&there.run(look("rc"), 1).await), Fact::No);
}

async fn what_is_not_offered_or_asked_for_wrongly_is_not_sent(pair: &Pair) {
    let Pair { here, there, .. } = pair;
    here.run(create("k1", SIZE), 1).await.unwrap();
    here.run(take("k1", "s1"), 1).await.unwrap();
    here.run(take("k1", "s2"), 1).await.unwrap();
    let offered = pair.offered("k1", "s1").await;
    let other = OfferedSnapshot { url: offered.url.replace("@s1", "@s2"), ..offered.clone() };
    let nowhere = OfferedSnapshot { url: offered.url.replace("@s1", ""), ..offered.clone() };
    for (job, what) in [
        (receive_showing("ra", &offered, "guessed"), "another token"),
        (receive_showing("ra", &offered, ""), "no token"),
        (receive("ra", &other), "a snapshot that was not offered"),
        (receive("ra", &nowhere), "no snapshot"),
    ] {
        assert_eq!(code(&there.run(job, 1).await), "replica_source_unavailable", "{what}");
    }
    assert_eq!(code(&there.run(Job::ReceiveReplica(replica("ra")), 1).await), "replica_source_unavailable");
    let withdrawn = here.run(offer("k1", "s1", None), 1).await.unwrap();
    assert_eq!((withdrawn[1].name, withdrawn[1].value, &withdrawn[1].detail), (FactName::Offered, Fact::No, &None));
    assert_eq!(code(&there.run(receive("ra", &offered), 1).await), "replica_source_unavailable", "withdrawn");
    assert_eq!(there.things().await, []);
    assert_eq!(reqwest::get(&offered.url).await.unwrap().status(), 401);
    let again = pair.offered("k1", "s1").await;
    assert_eq!(value(&there.run(receive("ra", &again), 1).await), Fact::Yes, "control");
    assert_eq!(code(&here.run(offer("k1", "s9", Some("x")), 1).await), "snapshot_missing");
}

async fn what_was_changed_on_its_way_does_not_count_and_leaves_nothing(pair: &Pair) {
    let Pair { here, there, .. } = pair;
    here.run(create("k1", SIZE), 1).await.unwrap();
    fill(here, "k1", 1, "word");
    here.run(take("k1", "s1"), 1).await.unwrap();
    let offered = pair.offered("k1", "s1").await;
    let at = if here.place.drivers == Drivers::Sim { 30 } else { 9 * MIB + 12_345 };
    let (_proxy, tampered) = pair.through(Trouble::Flip(at), &offered).await;
    assert_eq!(code(&there.run(receive("ra", &tampered), 1).await), "replica_checksum_mismatch");
    assert_eq!(value(&there.run(look("ra"), 1).await), Fact::No);
    assert_eq!((there.things().await, parts(there)), (vec![], vec![]));
    received(there, &receive("ra", &offered), 1).await;
    there.run(of_replica("k9", SIZE, "ra"), 1).await.unwrap();
    same(pair, ("k1", "k9"));
}

async fn what_broke_off_is_told_as_a_part_and_goes_on(pair: &Pair) {
    let Pair { here, there, .. } = pair;
    here.run(create("k1", SIZE), 1).await.unwrap();
    fill(here, "k1", 1, "word");
    here.run(take("k1", "s1"), 1).await.unwrap();
    let offered = pair.offered("k1", "s1").await;
    let is_sim = here.place.drivers == Drivers::Sim;
    let (_cut, broken) = pair.through(Trouble::Cut(if is_sim { 20 } else { MOST }), &offered).await;
    let answer = there.run(receive("ra", &broken), 1).await;
    assert_eq!(code(&answer), "replica_broke_off");
    let Err(Stopped::Failed { facts, retry: Retry::Later, .. }) = answer else { unreachable!("just seen") };
    assert_eq!((facts.len(), facts[0].value), (1, Fact::Maybe), "a part is no replica");
    let listing = there.list().await;
    let thing = &listing.things[0];
    assert_eq!(
        (thing.kind.as_str(), thing.owner.as_deref(), thing.installation),
        ("replica", Some("rep-ra"), Some(INSTALLATION))
    );
    assert!(!thing.holds_data && thing.facts[0].value == Fact::Maybe, "{thing:?}");
    assert_eq!(thing.detail.as_ref().unwrap()["is_whole"], false);
    assert_eq!(code(&there.run(of_replica("k9", SIZE, "ra"), 1).await), "replica_missing", "nothing is made of a part");

    let (proxy, whole) = pair.through(Trouble::None, &offered).await;
    received(there, &receive("ra", &whole), 1).await;
    let passed = proxy.passed.load(Ordering::SeqCst);
    assert!(is_sim || (0 < passed && passed < SIZE - 14 * MIB), "the rest came: {passed} bytes");
    there.run(of_replica("k9", SIZE, "ra"), 1).await.unwrap();
    same(pair, ("k1", "k9"));

    // A part that cannot be gone on with is begun anew.
    let (_cut, broken) = pair.through(Trouble::Cut(if is_sim { 20 } else { MOST }), &offered).await;
    assert_eq!(code(&there.run(receive("rb", &broken), 1).await), "replica_broke_off");
    here.run(drop_snapshot("k1", "s1"), 2).await.unwrap();
    here.run(take("k1", "s1"), 1).await.unwrap();
    let other = pair.offered("k1", "s1").await;
    let told = loop {
        match there.run(receive("rb", &other), 1).await {
            Err(Stopped::Failed { code, retry: Retry::Later, .. }) if code == "replica_began_anew" => {}
            answer => break stored(&answer),
        }
    };
    assert_eq!(told.guid, Some(other.guid));
}

async fn one_that_is_deleted_while_it_comes_leaves_nothing(pair: &Pair) {
    let Pair { here, there, .. } = pair;
    here.run(create("k1", SIZE), 1).await.unwrap();
    fill(here, "k1", 1, "word");
    here.run(take("k1", "s1"), 1).await.unwrap();
    let offered = pair.offered("k1", "s1").await;
    let at = if here.place.drivers == Drivers::Sim { 1 } else { 9 * MIB };
    let (proxy, slow) = pair.through(Trouble::Trickle(at), &offered).await;
    let job = receive("ra", &slow);
    let coming = {
        let (sta, job, work) = (there.sta().clone(), job.clone(), work(&job, 1, &there.standing));
        tokio::spawn(async move { sta.handle(job, work).await })
    };
    proxy.struck.notified().await;
    while there.list().await.things.is_empty() {
        tokio::task::yield_now().await;
    }
    coming.abort();
    let _ = coming.await;
    assert_eq!(value(&there.run(look("ra"), 1).await), Fact::Maybe, "control: it comes");
    assert_eq!(value(&there.run(remove("ra"), 2).await), Fact::No);
    assert_eq!((there.things().await, parts(there)), (vec![], vec![]));
}

async fn an_older_job_is_refused_and_what_is_not_ours_is_not_touched(pair: &Pair) {
    let Pair { here, there, .. } = pair;
    here.run(create("k1", MIB), 1).await.unwrap();
    here.run(take("k1", "s1"), 1).await.unwrap();
    let offered = pair.offered("k1", "s1").await;
    received(there, &receive("ra", &offered), 5).await;
    for job in [receive("ra", &offered), remove("ra")] {
        let answer = there.run(job, 4).await;
        assert!(matches!(answer, Err(Stopped::Refused { found_generation: 5, .. })), "{answer:?}");
    }
    let thief = |job: Job| match job {
        Job::ReceiveReplica(job) => Job::ReceiveReplica(Replica { replica: "rep-thief".parse().unwrap(), ..job }),
        Job::DeleteReplica(job) => Job::DeleteReplica(Replica { replica: "rep-thief".parse().unwrap(), ..job }),
        Job::ObserveReplica(job) => Job::ObserveReplica(Replica { replica: "rep-thief".parse().unwrap(), ..job }),
        other => other,
    };
    for job in [receive("ra", &offered), remove("ra"), look("ra")] {
        let answer = there.run(thief(job), 9).await;
        assert_eq!(code(&answer), "foreign_thing");
        let Err(Stopped::Failed { facts, .. }) = answer else { unreachable!("just seen") };
        assert!(facts.is_empty(), "nothing is said of it: {facts:?}");
    }
    assert_eq!(value(&there.run(look("ra"), 1).await), Fact::Yes);
    assert_eq!(value(&there.run(remove("ra"), 5).await), Fact::No, "control");
}

#[tokio::test]
async fn a_snapshot_of_another_kind_of_store_is_refused_with_its_reason() {
    let Some(pair) = Pair::new(Drivers::Sim, Drivers::File).await else { return };
    pair.here.run(create("k1", MIB), 1).await.unwrap();
    pair.here.run(take("k1", "s1"), 1).await.unwrap();
    let offered = pair.offered("k1", "s1").await;
    let answer = pair.there.run(receive("ra", &offered), 1).await;
    assert_eq!(code(&answer), "replica_store_differs");
    let Err(Stopped::Failed { message, retry, .. }) = answer else { unreachable!("just seen") };
    assert!(retry == Retry::Never && message.contains("`file`") && message.contains("`sim`"), "{message}");
    // What the node itself says counts, not what the job says of it.
    let claimed = OfferedSnapshot { store: "file".into(), ..offered };
    assert_eq!(code(&pair.there.run(receive("ra", &claimed), 1).await), "replica_store_differs");
    assert_eq!((pair.there.things().await, parts(&pair.there)), (vec![], vec![]));
}
