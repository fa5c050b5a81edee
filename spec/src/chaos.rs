//! Chaos: a data center of real processes (MariaDB, RabbitMQ, two dcmgr, three hva, two sta, two nsa with simulated
//! backends, and, where the machine can, one hva on libvirt and Open vSwitch in a host of its own) under a mixed load, while processes are killed and frozen, links cut, disks filled, clocks stepped,
//! messages replayed. At the end every accepted request has ended as asked or failed with a reason, nothing is lost,
//! nothing is there twice, nothing is left behind, nothing is stuck.
//!
//! Rule: the kit reaches into no program. It starts them from written files, speaks REST as a patient client, sends
//! signals, changes links and files, and judges by what no program can colour: rows and simulated worlds. Everything
//! happens in namespaces of its own ([`cell`]), which vanish with it. A seed fixes orders, faults and their moments
//! as far as it decides them; a moment of a real process cannot be repeated exactly.
//!
//! ```text
//!   cell (net, mount, pid namespaces): the kit ── bridge ─┬─ mariadb     each in a network namespace
//!     load ─► ledger ◄─ judge ◄─ evidence                 ├─ rabbitmq    of its own, on one veth
//!     faults ─► signals, links, files, clocks             ├─ dcmgr.1, dcmgr.2
//!     probes ─► API, jobs, DHCP, DNS                      └─ hva.h1-3, sta.s1-2, nsa.n1-2
//!                                                         └─ host.h4: libvirtd, ovs-vswitchd, guests; hva.h4 in it
//! ```

pub mod campaign;
pub mod cell;
pub mod center;
pub mod evidence;
pub mod fabric;
pub mod faults;
pub mod files;
pub mod host;
pub mod inject;
pub mod judge;
pub mod ledger;
pub mod load;
pub mod probes;
pub mod program;
pub mod table;
pub mod tap;
pub mod wire;
