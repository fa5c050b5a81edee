//! What a service manager hears of an agent: ready without a broker, joined in words, alive for as long as its loop turns and
//! not a moment longer.

mod support;

use arame_framework::agent::{Agent, Profile, Stopped, Work};
use arame_framework::bus::memory::MemoryBroker;
use arame_framework::runtime::{Post, run_at_post};
use arame_framework::testkit::DCMGR;
use arame_schema::jobs::Job;
use arame_schema::jobs::report::{Capacity, FactReport};
use arame_service::{Loops, Notifier};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use support::dcmgr::Dcmgr;
use support::scripted::{common, no_broker};
use support::{Kit, LIMIT};
use tokio::net::UnixDatagram;
use tokio_util::sync::CancellationToken;

/// What the manager waits; a loop turns four times in it.
const WITHIN: Duration = Duration::from_millis(200);

/// Turns of the healthy agent that must be heard while the hung one says nothing.
const TURNS: usize = 12;

/// Its loop hangs in a call that blocks, once it is told to, until it is let go.
#[derive(Default)]
struct Blocking {
    hang: AtomicBool,
    hangs: AtomicBool,
    held: Mutex<bool>,
    let_go: Condvar,
}

#[async_trait::async_trait]
impl Agent for Blocking {
    fn profile(&self) -> Profile {
        Profile { kinds: vec!["sta.volume.observe"], capacity: Capacity::default(), endpoints: BTreeMap::new() }
    }

    fn linked(&self, _: bool) {
        if self.hang.load(Ordering::SeqCst) {
            self.hangs.store(true, Ordering::SeqCst);
            let held = self.held.lock().unwrap();
            drop(self.let_go.wait_while(held, |held| *held).unwrap());
        }
    }

    async fn handle(&self, _: Job, _: Work) -> Result<Vec<FactReport>, Stopped> {
        Ok(Vec::new())
    }
}

struct Manager {
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> (Self, Loops) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let loops = Loops::new(Notifier::to(path.as_os_str()).unwrap(), Some(WITHIN));
        (Self { socket, _folder: folder }, loops)
    }

    async fn heard(&self) -> String {
        let mut buffer = [0; 1024];
        let length = tokio::time::timeout(LIMIT, self.socket.recv(&mut buffer)).await.expect("a word comes").unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    async fn until(&self, what: &str) -> String {
        loop {
            let heard = self.heard().await;
            if heard.contains(what) {
                return heard;
            }
        }
    }

    /// What is in the socket by now.
    fn left(&self) -> usize {
        let mut buffer = [0; 1024];
        std::iter::from_fn(|| self.socket.try_recv(&mut buffer).ok()).count()
    }
}

struct Watched {
    manager: Manager,
    agent: Arc<Blocking>,
    dir: tempfile::TempDir,
    stop: CancellationToken,
    process: tokio::task::JoinHandle<anyhow::Result<()>>,
}

fn start(broker: &MemoryBroker, name: &str) -> Watched {
    let (manager, loops) = Manager::new();
    let (agent, stop) = (Arc::new(Blocking::default()), CancellationToken::new());
    let dir = tempfile::tempdir().unwrap();
    let common = common(dir.path(), name, no_broker());
    let post = Post::each_of(1, &loops).pop().unwrap();
    let process = tokio::spawn(run_at_post(common, broker.bus(name), agent.clone(), stop.clone(), post));
    Watched { manager, agent, dir, stop, process }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_agent_is_ready_before_anybody_welcomes_it_and_says_when_it_has_joined() {
    let broker = MemoryBroker::new();
    let watched = start(&broker, "sta.s1");
    let ready = watched.manager.heard().await;
    assert!(ready.starts_with("READY=1\nSTATUS=sta.s1 serves what it knows"), "{ready}");
    let mut dcmgr = Dcmgr::new(&Kit::Memory(broker.clone()), "sta.s1").await;
    dcmgr.welcome().await;
    let joined = watched.manager.until("has joined").await;
    assert_eq!(joined, "STATUS=sta.s1 has joined (incarnation 1)");
    watched.stop.cancel();
    watched.process.await.unwrap().unwrap();
    assert!(watched.dir.path().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_agent_whose_loop_hangs_is_not_told_alive_by_anything_else() {
    let broker = MemoryBroker::new();
    let _dcmgr = broker.bus(DCMGR);
    let (hung, healthy) = (start(&broker, "sta.s1"), start(&broker, "sta.s2"));
    hung.manager.until("WATCHDOG=1").await;
    healthy.manager.until("WATCHDOG=1").await;

    *hung.agent.held.lock().unwrap() = true;
    hung.agent.hang.store(true, Ordering::SeqCst);
    broker.disconnect("sta.s1");
    while !hung.agent.hangs.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    hung.manager.left();
    healthy.manager.left();
    for _ in 0..TURNS {
        healthy.manager.until("WATCHDOG=1").await;
    }
    assert_eq!(hung.manager.left(), 0, "its loop hangs, and {TURNS} turns of another's were heard");

    hung.agent.hang.store(false, Ordering::SeqCst);
    *hung.agent.held.lock().unwrap() = false;
    hung.agent.let_go.notify_all();
    hung.manager.until("WATCHDOG=1").await;
    for watched in [hung, healthy] {
        watched.stop.cancel();
        watched.process.await.unwrap().unwrap();
    }
}
