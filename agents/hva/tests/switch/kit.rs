//! Hosts, guests and the cable between them, in network namespaces of threads: nothing of this machine is touched, and all is
//! gone with the process.
//!
//! A guest is a kernel's own network in a namespace of its own behind the tap that the switch made, as QEMU would hold it; what
//! passes that tap is recorded. The cable between hosts is the tap that is their trunk: its frames are seen with their tags.

use crate::frames::{self, Mac};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use std::fs::File;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// For a state to come about on a machine that is slow and busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// For a connection that nobody shall answer: one that is answered took a few milliseconds just before.
const UNANSWERED: Duration = Duration::from_secs(1);
/// How often a reader looks whether it shall end.
const TICK_MS: u16 = 100;
/// A frame with a tag, and more.
const FRAME_BYTES: usize = 4096;

/// Waits for a state; it is named in the failure.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it did not come about that {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

type Task = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// A network namespace, with a thread and a runtime in it.
pub struct Place {
    tasks: mpsc::UnboundedSender<Task>,
}

impl Place {
    pub fn new() -> Self {
        let (tasks, mut wanted) = mpsc::unbounded_channel::<Task>();
        std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                while let Some(task) = wanted.recv().await {
                    task().await;
                }
            });
        });
        let place = Self { tasks };
        place.must("ip", &["link", "set", "lo", "up"]);
        place
    }

    /// Runs something in the place to its end.
    #[track_caller]
    pub fn run<T, F>(&self, work: impl FnOnce() -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (tell, told) = std::sync::mpsc::channel();
        let task: Task = Box::new(move || {
            Box::pin(async move {
                let _ = tell.send(work().await);
            })
        });
        assert!(self.tasks.send(task).is_ok(), "the place is gone");
        told.recv().expect("what ran in the place ended well")
    }

    /// A program's output and whether it succeeded.
    pub fn tell(&self, program: &str, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        let output = self.run(move || async move { command.output() });
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }

    #[track_caller]
    pub fn must(&self, program: &str, arguments: &[&str]) -> String {
        let (done, text) = self.tell(program, arguments);
        assert!(done, "{program} {arguments:?}: {text}");
        text
    }

    /// Opens a tap of the place, as QEMU does; makes it when there is none.
    pub fn tap(&self, name: &str) -> Arc<File> {
        let name = name.to_owned();
        Arc::new(self.run(move || async move { open_tap(&name) }))
    }
}

/// `struct ifreq` as `TUNSETIFF` reads it (linux/if.h, linux/if_tun.h).
#[repr(C)]
pub struct TapRequest {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

const IFF_TAP: i16 = 0x0002;
/// Frames as they are, without a header.
const IFF_NO_PI: i16 = 0x1000;

nix::ioctl_write_ptr_bad!(
    /// Attaches the descriptor to a tap.
    tun_set_iff,
    0x4004_54ca,
    TapRequest
);

#[allow(unsafe_code)] // the one way to a tap's frames is this ioctl
fn open_tap(name: &str) -> File {
    let tap = File::options().read(true).write(true).open("/dev/net/tun").unwrap();
    let mut request = TapRequest { name: [0; 16], flags: IFF_TAP | IFF_NO_PI, rest: [0; 22] };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: the request is as large as the kernel's and lives through the call, the descriptor is open.
    unsafe { tun_set_iff(tap.as_raw_fd(), &request) }.unwrap();
    tap
}

/// Takes a frame in.
type Sink = Arc<dyn Fn(&[u8]) + Send + Sync>;

type Frames = Arc<Mutex<Vec<Vec<u8>>>>;

/// Reads frames of a tap until it shall end.
fn read_frames(tap: Arc<File>, ended: Arc<AtomicBool>, mut each: impl FnMut(&[u8]) + Send + 'static) {
    std::thread::spawn(move || {
        let mut frame = [0; FRAME_BYTES];
        while !ended.load(Ordering::Relaxed) {
            let mut ready = [PollFd::new(tap.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ready, PollTimeout::from(TICK_MS)).is_ok_and(|count| count > 0) {
                match (&*tap).read(&mut frame) {
                    Ok(length) => each(&frame[..length]),
                    // Its device is gone.
                    Err(_) => return,
                }
            }
        }
    });
}

/// A machine behind a tap of a host, or on the cable.
pub struct Guest {
    pub place: Place,
    pub mac: Mac,
    pub ip: Ipv4Addr,
    /// Into the tap, as the guest's network card does.
    outer: Sink,
    heard: Frames,
    ended: Arc<AtomicBool>,
}

impl Guest {
    fn new(mac: Mac, ip: Ipv4Addr, outer: Sink) -> (Self, Arc<File>) {
        let place = Place::new();
        let inner = place.tap("eth0");
        let address = mac.map(|byte| format!("{byte:02x}")).join(":");
        place.must("ip", &["link", "set", "eth0", "address", &address, "addrgenmode", "none"]);
        place.must("ip", &["addr", "add", &format!("{ip}/24"), "dev", "eth0"]);
        place.must("ip", &["link", "set", "eth0", "up"]);
        let (heard, ended) = (Frames::default(), Arc::new(AtomicBool::new(false)));
        let out = outer.clone();
        read_frames(inner.clone(), ended.clone(), move |frame| out(frame));
        (Self { place, mac, ip, outer, heard, ended }, inner)
    }

    /// On the tap that a switch made for it.
    pub fn plugged(host: &Place, tap: &str, mac: Mac, ip: Ipv4Addr) -> Self {
        let tap = host.tap(tap);
        let into = tap.clone();
        let (guest, inner) = Self::new(mac, ip, Arc::new(move |frame| drop((&*into).write(frame))));
        let heard = guest.heard.clone();
        read_frames(tap, guest.ended.clone(), move |frame| {
            heard.lock().unwrap().push(frame.to_vec());
            let _ = (&*inner).write(frame);
        });
        guest
    }

    /// Says a frame, whatever its own kernel would.
    pub fn say(&self, frame: &[u8]) {
        (self.outer)(frame);
    }

    pub fn heard(&self, is_it: impl Fn(&[u8]) -> bool) -> bool {
        self.heard.lock().unwrap().iter().any(|frame| is_it(frame))
    }

    /// Sends back what comes to a port.
    pub fn echoes(&self, port: u16) {
        let listening = self.place.run(move || async move { TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) });
        let listener = listening.unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut &stream, &mut &stream);
                });
            }
        });
    }

    /// A connection that is answered, however long that takes.
    pub fn connect(&self, to: Ipv4Addr, port: u16) -> Option<Talk> {
        self.connect_within(to, port, PATIENCE)
    }

    /// Nobody answers.
    pub fn cannot_reach(&self, to: Ipv4Addr, port: u16) -> bool {
        self.connect_within(to, port, UNANSWERED).is_none()
    }

    fn connect_within(&self, to: Ipv4Addr, port: u16, limit: Duration) -> Option<Talk> {
        let address = SocketAddr::from((to, port));
        let stream = self.place.run(move || async move { TcpStream::connect_timeout(&address, limit) }).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Some(Talk(stream))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// A connection to somebody who sends back what comes.
pub struct Talk(pub TcpStream);

impl Talk {
    pub fn is_alive(&mut self, word: &str) -> bool {
        let mut back = vec![0; word.len()];
        self.0.write_all(word.as_bytes()).is_ok() && self.0.read_exact(&mut back).is_ok() && back == word.as_bytes()
    }
}

#[derive(Clone)]
struct End {
    into: Sink,
    /// A machine's own VLAN; a host's trunk takes all.
    tag: Option<u16>,
}

/// What connects the hosts' trunks, and machines that are no guests: servers, somebody's router.
#[derive(Clone, Default)]
pub struct Cable {
    ends: Arc<Mutex<Vec<End>>>,
    seen: Frames,
    ended: Arc<AtomicBool>,
}

impl Cable {
    /// The trunk of a host, by a tap of this name.
    pub fn trunk(&self, host: &Place, name: &str) {
        host.must("ip", &["tuntap", "add", "dev", name, "mode", "tap"]);
        host.must("ip", &["link", "set", name, "addrgenmode", "none"]);
        host.must("ip", &["link", "set", name, "up"]);
        let tap = host.tap(name);
        let (cable, into) = (self.clone(), tap.clone());
        let number = self.add(End { into: Arc::new(move |frame| drop((&*into).write(frame))), tag: None });
        read_frames(tap, self.ended.clone(), move |frame| cable.carry(frame, number));
    }

    /// A machine on a VLAN of the cable.
    pub fn machine(&self, tag: u16, mac: Mac, ip: Ipv4Addr) -> Guest {
        let (cable, place) = (self.clone(), Arc::new(Mutex::new(usize::MAX)));
        let number = place.clone();
        let out = Arc::new(move |frame: &[u8]| cable.carry(&frames::tagged(frame, tag), *number.lock().unwrap()));
        let (guest, inner) = Guest::new(mac, ip, out);
        let heard = guest.heard.clone();
        let into = move |frame: &[u8]| {
            heard.lock().unwrap().push(frame.to_vec());
            let _ = (&*inner).write(frame);
        };
        *place.lock().unwrap() = self.add(End { into: Arc::new(into), tag: Some(tag) });
        guest
    }

    fn add(&self, end: End) -> usize {
        let mut ends = self.ends.lock().unwrap();
        ends.push(end);
        ends.len() - 1
    }

    /// To every end but the one it came from; a machine hears its own VLAN, without the tag.
    fn carry(&self, frame: &[u8], from: usize) {
        self.seen.lock().unwrap().push(frame.to_vec());
        let (tag, plain) = frames::untagged(frame);
        let ends = self.ends.lock().unwrap().clone();
        for (_, end) in ends.iter().enumerate().filter(|(number, _)| *number != from) {
            match end.tag {
                None => (end.into)(frame),
                Some(own) if tag == Some(own) => (end.into)(&plain),
                Some(_) => {}
            }
        }
    }

    /// Whether a frame with this tag (or none) was seen.
    pub fn saw(&self, tag: Option<u16>, is_it: impl Fn(&[u8]) -> bool) -> bool {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|frame| frames::untagged(frame)).any(|(its, plain)| its == tag && is_it(&plain))
    }

    /// Every tag that was seen.
    pub fn tags(&self) -> Vec<Option<u16>> {
        let mut tags: Vec<_> = self.seen.lock().unwrap().iter().map(|frame| frames::untagged(frame).0).collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    }
}

impl Cable {
    /// Its readers end.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}
