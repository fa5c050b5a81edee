//! A private RabbitMQ for tests: own directory, own ports on loopback, own epmd, accounts and virtual hosts by a
//! definitions file. No system service is touched.
//!
//! Rule: whatever is started here is ended. [`Rabbit::private`] ends with its value. [`Rabbit::shared`] is one server
//! for all test processes that overlap in time (a test runner may give every test a process of its own): each holds
//! a shared lock on a file, and a waiting `flock` process ends the server when the last holder is gone. It is for
//! tests only: passwords are known, data is thrown away.

mod server;

pub use server::{Rabbit, Shown};

use crate::config::Broker;
use arame_schema::model::AgentId;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// The accounts every virtual host knows: dcmgr may do everything, an agent what DESIGN (Permissions) allows.
pub const DCMGR: &str = "dcmgr";
pub const AGENTS: [&str; 5] = ["hva.h1", "hva.h2", "hva.h3", "sta.s1", "nsa.n1"];

/// Virtual hosts in the definitions of a server: one for each test that asks.
const VHOSTS: usize = 32;

/// Longest a server may take to answer; 11 to 25 s were seen on two busy cores.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Prints the agreed line and answers `true` when the machine has no RabbitMQ; panics when `ARAME_REQUIRE` wants it.
pub fn lacks_rabbitmq() -> bool {
    if server::is_installed() {
        return false;
    }
    skip("rabbitmq");
    true
}

/// Says `skipped: needs X`, or panics when `ARAME_REQUIRE` lists X. A runner that hides what passing tests print counts
/// the lines in the file that `ARAME_SKIPS` names.
///
/// # Panics
/// When `ARAME_REQUIRE` (a comma list) contains `needed`.
pub fn skip(needed: &str) {
    let required = std::env::var("ARAME_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|item| item.trim() == needed), "ARAME_REQUIRE wants {needed}, which is missing");
    println!("skipped: needs {needed}");
    if let Some(file) = std::env::var_os("ARAME_SKIPS") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(file);
        // Tests are processes: one write each, so that their lines do not mix.
        let written = file.and_then(|mut file| file.write_all(format!("skipped: needs {needed}\n").as_bytes()));
        written.expect("the file of ARAME_SKIPS can be written: a skip that is not counted would be a silent one");
    }
}

/// One test's virtual host on a server.
pub struct Realm {
    server: std::sync::Arc<Rabbit>,
    vhost: String,
}

impl Realm {
    /// How `user` (one of [`DCMGR`], [`AGENTS`]) reaches this virtual host.
    pub fn broker(&self, user: &str) -> Broker {
        Broker {
            host: "127.0.0.1".into(),
            port: self.server.port(),
            vhost: self.vhost.clone(),
            user: user.to_owned(),
            password_file: self.server.password_file(),
            ca_file: None,
            plain_text: false,
        }
    }

    /// The same by TLS, on a server that has it.
    pub fn broker_by_tls(&self, user: &str, ca_file: &Path) -> Broker {
        Broker { port: self.server.tls_port(), ca_file: Some(ca_file.to_owned()), ..self.broker(user) }
    }

    pub fn server(&self) -> &Rabbit {
        &self.server
    }

    pub fn vhost(&self) -> &str {
        &self.vhost
    }
}

/// One of [`AGENTS`] as an id.
pub fn agent(name: &str) -> AgentId {
    name.parse().expect("the kit's agents have valid ids")
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within `limit`, naming `what`.
pub async fn eventually(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + limit;
    while !condition() {
        assert!(tokio::time::Instant::now() < end, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
