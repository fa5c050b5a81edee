//! The program under a wall clock that is stepped while it runs and while it is away: leases, times to live, limits and ages go
//! on as if nothing had been. Needs faketime.
//!
//! The control: its log is dated by the stepped clock, and an age across boots, for which there is no other, follows it.

use crate::kit::{INSTALLATION, snapshot};
use crate::trouble::{discover, free, resolve};
use arame_nsa::snapshot::Served;
use arame_nsa::store::Store;
use arame_nsa::truth::Moment;
use dhcproto::v4::{DhcpOption, Message, OptionCode};
use dhcproto::{Decodable, Decoder};
use hickory_proto::op::{Message as DnsMessage, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const DAY: i64 = 86_400;
const KNOWN: [u8; 6] = [0x52, 0x54, 0, 0, 0x65, 0x0a];
/// What the truth's age is at the first start.
const AGE: i64 = 1_000;

fn library() -> Option<PathBuf> {
    let entries = std::fs::read_dir("/usr/lib").ok()?.flatten();
    entries.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.is_file())
}

struct Program {
    process: Child,
    dir: PathBuf,
    dns: SocketAddr,
    dhcp: SocketAddr,
    metrics: SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Program {
    fn start(dir: &Path, library: &Path) -> Self {
        let (dns, dhcp, metrics) = (free(), free(), free());
        std::fs::write(dir.join("key"), "key\n").unwrap();
        let text = format!(
            "[common]\nagent = 'nsa.n1'\nkey_file = '{0}/key'\nstate_dir = '{0}/state'\n[common.broker]\nhost = '127.0.0.1'\n\
             port = 1\nvhost = 'x'\nuser = 'nsa.n1'\npassword_file = '{0}/key'\n[common.metrics]\nlisten = '{metrics}'\n\
             [nsa]\ndriver = 'sim'\ndata_dir = '{0}/data'\nquestions_per_second = 100\n[nsa.sim]\nlisten_dns = '{dns}'\n\
             listen_dhcp = '{dhcp}'\n",
            dir.display()
        );
        std::fs::write(dir.join("nsa.toml"), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_arame-nsa"));
        command.arg("--config").arg(dir.join("nsa.toml")).stdin(Stdio::null());
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", dir.join("clock"));
        command.env("FAKETIME_CACHE_DURATION", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
        let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).unwrap();
        let process = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let program = Self { process, dir: dir.to_owned(), dns, dhcp, metrics };
        let begin = Instant::now();
        while program.ttl().is_none() || TcpStream::connect(metrics).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(30), "{}", program.log());
        }
        program
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Of the machine's name, where it is answered right.
    fn ttl(&self) -> Option<u32> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut question = DnsMessage::new(7, MessageType::Query, OpCode::Query);
        question.add_query(Query::query(Name::from_ascii("web1.t101.example.").unwrap(), RecordType::A));
        socket.send_to(&question.to_vec().unwrap(), self.dns).unwrap();
        let mut bytes = [0; 1500];
        let length = socket.recv(&mut bytes).ok()?;
        let answer = DnsMessage::from_vec(&bytes[..length]).unwrap();
        let record = answer.answers.first()?;
        assert_eq!(record.data.to_string(), "10.0.0.10");
        Some(record.ttl)
    }

    /// What the machine is offered it for, in seconds.
    fn lease(&self) -> u32 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.send_to(&discover(KNOWN), self.dhcp).unwrap();
        let mut bytes = [0; 1500];
        let length = socket.recv(&mut bytes).unwrap();
        let offer = Message::decode(&mut Decoder::new(&bytes[..length])).unwrap();
        match offer.opts().get(OptionCode::AddressLeaseTime) {
            Some(DhcpOption::AddressLeaseTime(seconds)) => *seconds,
            other => panic!("{other:?}"),
        }
    }

    /// The number of the line of `/metrics` that begins so; 0 where there is none.
    fn metric(&self, name: &str, label: &str) -> f64 {
        let mut stream = TcpStream::connect(self.metrics).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let line = text.lines().find(|line| line.starts_with(name) && line.contains(label));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }

    fn age(&self) -> f64 {
        self.metric("arame_nsa_truth_age_seconds", "")
    }

    fn set_clock(&self, seconds: i64) {
        set_clock(&self.dir, seconds);
    }

    fn ask_as(&self, stranger: [u8; 6]) {
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&discover(stranger), self.dhcp).unwrap();
    }

    /// The dates of the lines that name a stranger.
    fn told_of(&self, stranger: [u8; 6]) -> Vec<OffsetDateTime> {
        let mac = arame_schema::model::MacAddress(stranger).to_string();
        let log = self.log();
        let lines = log.lines().filter(|line| line.contains(&mac));
        lines.filter_map(date).collect()
    }

    /// Waits until it lives by the clock that it was given.
    fn live_by(&self, step: i64, number: u8) {
        let begin = Instant::now();
        for n in 0u8.. {
            let stranger = [2, 0, 0, 1, number, n];
            self.ask_as(stranger);
            std::thread::sleep(Duration::from_millis(300));
            let wanted = OffsetDateTime::now_utc() + time::Duration::seconds(step);
            if self.told_of(stranger).iter().any(|at| (*at - wanted).abs() < time::Duration::seconds(30)) {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "{step}: {}", self.log());
        }
    }
}

fn set_clock(dir: &Path, seconds: i64) {
    std::fs::write(dir.join("clock"), format!("{seconds:+}\n")).unwrap();
}

/// Wherever a line of the log has it.
fn date(line: &str) -> Option<OffsetDateTime> {
    let words = line.split(|letter: char| letter.is_whitespace() || letter == '"');
    words.filter_map(|word| OffsetDateTime::parse(word, &Rfc3339).ok()).next()
}

/// What a life left that ended [`AGE`] seconds ago, in this boot or in another one.
fn leave(dir: &Path, is_this_boot: bool) {
    let store = Store::open(&dir.join("data")).unwrap();
    store.write(INSTALLATION, &Served::new(snapshot("nw-one", 101), 1, 1).unwrap()).unwrap();
    let mut heard = serde_json::to_value(Moment::now()).unwrap();
    for key in ["uptime_seconds", "unix_seconds"] {
        // The machine may have been started since.
        heard[key] = (heard[key].as_i64().unwrap() - AGE).max(0).into();
    }
    if !is_this_boot {
        heard["boot"] = Value::from("00000000-0000-4000-8000-000000000001");
    }
    std::fs::write(dir.join("data/heard"), serde_json::to_vec(&heard).unwrap()).unwrap();
}

#[test]
fn steps_of_the_wall_clock_change_no_lease_no_limit_and_no_age() {
    let Some(library) = library() else {
        arame_framework::testkit::skip("faketime");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    leave(dir.path(), true);
    set_clock(dir.path(), 0);
    let program = Program::start(dir.path(), &library);
    let begin = Instant::now();
    let first = program.age();
    assert!((1.0..AGE as f64 + 60.0).contains(&first), "{first}");
    let stranger = [2, 0, 0, 0, 0, 9];
    program.ask_as(stranger);
    for (number, step) in [300, -300, DAY, -DAY].into_iter().enumerate() {
        program.set_clock(step);
        program.live_by(step, number as u8);
        assert_eq!((program.ttl(), program.lease()), (Some(60), 3_600), "{step}");
        let (age, passed) = (program.age() - first, begin.elapsed().as_secs_f64());
        assert!((0.0..passed + 2.0).contains(&age), "{step}: the age grew by {age} s in {passed} s");
        // A stranger is named once a minute, and an address is held to its rate.
        program.ask_as(stranger);
        let limited = || program.metric("arame_nsa_dns_questions_total", "answer=\"limited\"");
        let before = limited();
        let socket = UdpSocket::bind("127.0.0.2:0").unwrap();
        (0..500).for_each(|_| drop(socket.send_to(&[0; 12], program.dns)));
        let sent = Instant::now();
        while limited() < before + 100.0 {
            assert!(sent.elapsed() < Duration::from_secs(10), "{step}: {} of 500", limited() - before);
        }
        let neighbour = resolve("127.0.0.3", program.dns, "web1.t101.example.", Duration::from_secs(5));
        assert!(neighbour.is_some(), "{step}");
    }
    if begin.elapsed() < Duration::from_secs(55) {
        assert_eq!(program.told_of(stranger).len(), 1, "{}", program.log());
    }
    // Killed, and begun again a day before.
    drop(program);
    let program = Program::start(dir.path(), &library);
    let (age, passed) = (program.age() - first, begin.elapsed().as_secs_f64());
    assert!((0.0..passed + 2.0).contains(&age), "the age grew by {age} s in {passed} s");
    assert_eq!((program.ttl(), program.lease()), (Some(60), 3_600));
}

#[test]
fn an_age_across_boots_follows_the_wall_clock_and_is_never_below_zero() {
    let Some(library) = library() else {
        arame_framework::testkit::skip("faketime");
        return;
    };
    for (step, least, most) in [(0, AGE, AGE + 120), (DAY, DAY, DAY + AGE + 120), (-DAY, 0, 0)] {
        let dir = tempfile::tempdir().unwrap();
        leave(dir.path(), false);
        set_clock(dir.path(), step);
        let age = Program::start(dir.path(), &library).age() as i64;
        assert!((least..=most).contains(&age), "{step}: {age}");
    }
}
