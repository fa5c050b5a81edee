//! A host that is not heard any more and still writes: through a real tgtd, with QEMU's own initiator in the host's place.
//!
//! Each story has the old host alive: its session open, its writes on their way. What it is told and what is on the volume is
//! compared.

use crate::chap::options;
use crate::kit::*;
use arame_schema::jobs::sta::FenceProof;
use arame_schema::model::Fact;
use arame_sta::export::knock::{Answer, knock};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const TARGET: &str = "iqn.2026-11.jp.arame:att-k1-1";

/// The old host's guest: counts on the volume, each value written through (O_DIRECT and flushed) before the next.
struct Counter {
    process: Child,
    keyboard: Option<ChildStdin>,
    acknowledged: Arc<AtomicU64>,
    said: Option<std::thread::JoinHandle<()>>,
}

/// More than are written before the fence; a value is its sector, so that each of them can be told apart.
const VALUES: u64 = 20_000;
const SECTOR: u64 = 512;

impl Counter {
    fn start(options: &str) -> Self {
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "stdbuf", "-oL", "qemu-io", "-t", "directsync", "--image-opts", options])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let acknowledged = Arc::new(AtomicU64::new(0));
        let count = acknowledged.clone();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let said = std::thread::spawn(move || {
            for _ in lines.map_while(Result::ok).filter(|line| line.contains("wrote 512/512")) {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        let keyboard = process.stdin.take();
        Self { process, keyboard, acknowledged, said: Some(said) }
    }

    /// Everything is asked for at once: the guest writes as fast as it is answered.
    fn count(&mut self) {
        let mut keyboard = self.keyboard.take().unwrap();
        std::thread::spawn(move || {
            for value in 0..VALUES {
                if writeln!(keyboard, "write -P {} {} {SECTOR}", value % 250 + 1, value * SECTOR).is_err() {
                    return;
                }
            }
            // Held open: an end of the input would end the program.
            std::thread::park();
        });
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// How many values the old host was told of in its whole life.
    fn end(mut self) -> u64 {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.said.take().unwrap().join().unwrap();
        self.acknowledged()
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The highest value that is on the volume, with everything before it.
fn counted(volume: &Path) -> u64 {
    let bytes = as_stored(volume);
    let is = |value: u64| {
        let sector = &bytes[(value * SECTOR) as usize..][..SECTOR as usize];
        sector.iter().all(|byte| u64::from(*byte) == value % 250 + 1)
    };
    (0..VALUES).take_while(|value| is(*value)).count() as u64
}

/// What is on the volume. A block device's is read past this machine's page cache: the kernel's target writes past it too.
fn as_stored(volume: &Path) -> Vec<u8> {
    if !volume.starts_with("/dev") {
        return std::fs::read(volume).unwrap();
    }
    let copy = tempfile::NamedTempFile::new().unwrap();
    let [from, to] = [volume, copy.path()].map(|path| path.display().to_string());
    told("qemu-img", &["convert", "-f", "raw", "-O", "raw", "-T", "none", &from, &to]);
    std::fs::read(copy.path()).unwrap()
}

/// Runs `qemu-io` once and answers what it says.
async fn once(options: String, words: &[&str]) -> Result<String, String> {
    let mut command = tokio::process::Command::new("timeout");
    command.args(["20", "qemu-io", "-t", "directsync", "--image-opts", &options]);
    for word in words {
        command.args(["-c", word]);
    }
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() && !said.contains("verification failed") { Ok(said) } else { Err(said) }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_of_a_counter_is_acknowledged_after_the_proof_and_the_new_host_reads_the_last_one() {
    let Some(kit) = Kit::new(Drivers::FileTgt).await else { return };
    a_counting_host_is_fenced(&kit).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "sent to the lab machine"]
async fn with_zfs_and_lio_no_value_of_a_counter_is_acknowledged_after_the_proof() {
    let kit = Kit::new(Drivers::ZfsLio).await.expect("nothing is lacking there");
    a_counting_host_is_fenced(&kit).await;
}

#[tokio::test]
#[ignore = "sent to the lab machine"]
async fn with_zfs_and_lio_a_portal_that_nobody_has_any_more_is_a_proof_and_one_that_is_elsewhere_is_none() {
    let mut kit = Kit::new(Drivers::ZfsLio).await.expect("nothing is lacking there");
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.run(export("k1", 1), 1).await.unwrap();
    let target = format!("{}:att-k1-1", kit.place.iqn_prefix);
    let portal = kit.place.portal.clone();
    assert_eq!(knock(&portal, INITIATOR, &target).await.unwrap(), Answer::Open, "control: the door was open");
    // Somebody else listens there and says nothing that a target would say.
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    kit.place.portal = stranger.local_addr().unwrap().to_string();
    let mut kit = kit.restart().await;
    assert_eq!(code(&kit.run(fence("k1", 1), 2).await), "fence_unproved");
    kit.place.portal = portal;
    let kit = kit.restart().await;
    let proved = kit.run(fence("k1", 1), 2).await;
    assert_eq!(value(&proved), Fact::No);
    assert_eq!(proved.unwrap()[0].detail.as_ref().unwrap()["refusal"], "closed");
}

async fn a_counting_host_is_fenced(kit: &Kit) {
    for key in ["k1", "k2"] {
        kit.run(create(key, 16 * MIB), 1).await.unwrap();
        kit.run(export(key, 1), 1).await.unwrap();
    }
    let file = kit.volume_file("k1");
    let old = options(kit, 1, INITIATOR, Some(("att-k1-1", SECRET)));
    let mut guest = Counter::start(&old);
    guest.count();
    assert!(wait_until(|| guest.acknowledged() >= 50), "control: the old host counts, and is told so");

    let answer = kit.run(fence("k1", 1), 2).await;
    let at_the_proof = counted(&file);
    assert_eq!(value(&answer), Fact::No);
    let proof: FenceProof = serde_json::from_value(answer.unwrap()[0].detail.clone().unwrap()).unwrap();
    assert_eq!(proof.sessions_ended, [INITIATOR], "its session was open when the fence came");
    assert_eq!(proof.refusal, kit.place.no_such_target());
    assert!(at_the_proof < VALUES, "control: there was more to write");

    // The old host tries again by itself; the new one has a session of its own meanwhile.
    assert!(once(old.clone(), &["write -P 0xee 0 512"]).await.is_err(), "the old secret got in");
    let mut other = export_body("k1", 2);
    other.initiator_iqn = "iqn.2026-11.jp.arame:h2".into();
    kit.run(arame_schema::jobs::Job::ExportVolume(other), 3).await.unwrap();
    let new = options(kit, 2, "iqn.2026-11.jp.arame:h2", Some(("att-k1-2", SECRET)));
    let last = at_the_proof - 1;
    let read = format!("read -P {} {} {SECTOR}", last % 250 + 1, last * SECTOR);
    let beyond = format!("read -P 0 {} {SECTOR}", at_the_proof * SECTOR);
    let here = format!("write -P 0xcc {} {SECTOR}", 15 * MIB);
    let seen = once(new, &[&read, &beyond, &here]).await;
    assert!(seen.is_ok(), "{seen:?}");

    let told = guest.end();
    assert!(told <= at_the_proof, "{told} values were acknowledged, {at_the_proof} stood when the fence was proved");
    assert!(told + 1 >= at_the_proof, "{at_the_proof} values stand and only {told} were acknowledged");
    assert_eq!(counted(&file), at_the_proof, "nothing was written after the proof");
}

/// An XFS on a file: a file system whose writes can be held.
struct Frozen {
    place: PathBuf,
}

impl Frozen {
    fn mounted(folder: &Path) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let (disk, place) = (folder.join("disk"), folder.join("data"));
        std::fs::File::create(&disk).unwrap().set_len(320 * MIB).unwrap();
        std::fs::create_dir_all(&place).unwrap();
        let did = |program: &str, words: &[&str], last: &Path| {
            Command::new(program).args(words).arg(last).status().is_ok_and(|status| status.success())
        };
        let mount = ["-o", "loop", &disk.display().to_string()].map(str::to_owned);
        let mount: Vec<&str> = mount.iter().map(String::as_str).collect();
        if !did("mkfs.xfs", &["-q"], &disk) || !did("mount", &mount, &place) {
            lacks("xfs");
            return None;
        }
        Some(Self { place })
    }

    fn freeze(&self, word: &str) {
        let done = Command::new("fsfreeze").arg(word).arg(&self.place).status();
        assert!(done.is_ok_and(|status| status.success()), "fsfreeze {word}");
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.place).stderr(Stdio::null()).status();
        let _ = Command::new("umount").arg("-l").arg(&self.place).status();
    }
}

/// Threads of a process that wait in the kernel and cannot be interrupted: a write that is on its way.
fn stuck_threads(process: u32) -> usize {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else { return 0 };
    let stats = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    stats.filter(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('D'))).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_flight_is_waited_for_before_anything_is_proved() {
    let folder = tempfile::Builder::new().prefix("arame-sta-").tempdir().unwrap();
    let Some(disk) = Frozen::mounted(folder.path()) else { return };
    let Some(kit) = Kit::at(folder.path().to_owned(), Drivers::FileTgt, Some(folder)).await else { return };
    let kit = Arc::new(kit);
    kit.run(create("k1", 16 * MIB), 1).await.unwrap();
    kit.run(export("k1", 1), 1).await.unwrap();
    let file = kit.volume_file("k1");
    let mut guest = Counter::start(&options(&kit, 1, INITIATOR, Some(("att-k1-1", SECRET))));
    guest.count();
    assert!(wait_until(|| guest.acknowledged() >= 5), "control: it counts");
    disk.freeze("-f");
    let daemon = kit.tgtd.as_ref().unwrap().process();
    assert!(wait_until(|| stuck_threads(daemon) > 0), "control: a write is on its way");

    let fencing = tokio::spawn({
        let kit = kit.clone();
        async move { kit.run(fence("k1", 1), 2).await }
    });
    let target = async || kit.list().await.things.into_iter().find(|thing| thing.kind == "target");
    let is_empty = |thing: &arame_schema::jobs::report::InventoryThing, what: &str| {
        thing.detail.as_ref().unwrap()[what].as_array().unwrap().is_empty()
    };
    // Nobody new gets in from here on; the fence goes round after round over the one session.
    while !target().await.is_some_and(|thing| is_empty(&thing, "initiators")) {
        assert!(!fencing.is_finished(), "something was proved while a write was on its way");
    }
    for _ in 0..100 {
        let seen = target().await.expect("the target stands while a write is on its way");
        assert!(!is_empty(&seen, "sessions"), "its session counts as ended while a write is on its way");
        assert!(!fencing.is_finished(), "something was proved while a write was on its way");
    }
    let before = guest.acknowledged();
    disk.freeze("-u");
    let answer = fencing.await.unwrap();
    assert_eq!(value(&answer), Fact::No);
    let at_the_proof = counted(&file);
    assert!(at_the_proof > before, "what was on its way was written before the proof");
    let told = guest.end();
    assert!(told <= at_the_proof && counted(&file) == at_the_proof, "{told} of {at_the_proof}");
}

#[tokio::test]
async fn a_portal_that_does_not_answer_proves_nothing() {
    let Some(mut kit) = Kit::new(Drivers::FileTgt).await else { return };
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.run(export("k1", 1), 1).await.unwrap();
    let portal = kit.place.portal.clone();
    assert_eq!(knock(&portal, INITIATOR, TARGET).await.unwrap(), Answer::Open, "control: the door was open");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    kit.place.portal = closed;
    let mut kit = kit.restart().await;
    assert_eq!(code(&kit.run(fence("k1", 1), 2).await), "fence_unproved", "although the daemon says that it is gone");
    kit.place.portal = portal.clone();
    let kit = kit.restart().await;
    assert_eq!(value(&kit.run(fence("k1", 1), 2).await), Fact::No, "asked again, it is proved");
    assert_eq!(knock(&portal, INITIATOR, TARGET).await.unwrap(), Answer::HungUp, "it has no target any more");
    kit.run(export("k1", 2), 3).await.unwrap();
    let refused = Answer::Refused { class: 2, detail: 3 };
    assert_eq!(knock(&portal, INITIATOR, TARGET).await.unwrap(), refused, "it has another");
}

#[tokio::test]
async fn a_dead_daemon_proves_nothing() {
    let Some(mut kit) = Kit::new(Drivers::FileTgt).await else { return };
    kit.run(create("k1", MIB), 1).await.unwrap();
    kit.run(export("k1", 1), 1).await.unwrap();
    kit.tgtd.as_mut().unwrap().kill();
    assert_eq!(code(&kit.run(fence("k1", 1), 2).await), "export_unavailable");
    kit.tgtd = Tgtd::start(&kit.place.root, &kit.place.portal);
    assert_eq!(value(&kit.run(fence("k1", 1), 2).await), Fact::No, "a new one has no target: that is seen, and proved");
}
