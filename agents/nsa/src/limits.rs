//! Limits of the nsa alone, each with its reason. Limits shared with other programs are in `arame_schema::limits`.

use std::time::Duration;

/// One `ip`, `ethtool` or `ovs-vsctl` call; the slowest seen on a busy two-core machine took 0.4 s.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(8);

/// One question to the switch's database over its socket. It answers in under a millisecond when it lives.
pub const SWITCH_QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// How often links are looked at. A link taken away is back within two of these (the promise is 2 s).
pub const WATCH_INTERVAL: Duration = Duration::from_millis(700);

/// One link's repair by the watcher: jobs for that network wait no longer for it. Seven commands make a link.
pub const MEND_TIMEOUT: Duration = Duration::from_secs(20);

/// Namespaces looked into at one tick: bounds the cost of a tick with a thousand networks.
pub const INSPECTIONS_PER_TICK: usize = 100;

/// Links repaired or made side by side at start.
pub const LINKS_AT_ONCE: usize = 4;

/// A snapshot loaded from disk counts as current this long after the welcome: two inventories went by, so dcmgr
/// had its chance to send a newer one. Until then no NAK is sent (DESIGN 8).
pub const CONFIRMED_AFTER: Duration = Duration::from_secs(40);

/// How often it is written down that what is served is current: a process that begins says an age that is too old by at most
/// this.
pub const KEEP_INTERVAL: Duration = Duration::from_secs(30);

/// How often the log says how old what is served is, while the manager is not heard.
pub const AGE_TOLD_EVERY: Duration = Duration::from_secs(600);

/// Exchanges kept per network for known MACs, and apart for unknown ones, so that a flood of strangers does not
/// push out what `nsa.why` is asked about.
pub const EXCHANGES_KNOWN: usize = 256;
pub const EXCHANGES_UNKNOWN: usize = 64;

/// DHCP messages a MAC may send at once, and how many a second it earns back. dhclient and udhcpc need two per boot
/// and resend after seconds; more is a broken or hostile guest.
pub const DHCP_BURST: f64 = 20.0;
pub const DHCP_PER_SECOND: f64 = 5.0;

/// At most one log line per unknown MAC in this time, and at most this many MACs remembered for it.
pub const UNKNOWN_LOG_INTERVAL: Duration = Duration::from_secs(60);
pub const UNKNOWN_LOG_MACS: usize = 1024;

/// How long an address counts as in use by another machine after a client said so: clients say it again within a minute
/// or two while it is so.
pub const COMPLAINT_AGE: Duration = Duration::from_secs(600);

/// What a socket may hold while its network has not its turn: a few thousand small packets, some hundredths of a second of a
/// full load. The kernel takes it only while it is used.
pub const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// How long a way out that a file tells of is neither announced nor made, and another listened for, when a process begins:
/// more than the pause between two announcements of a new one.
pub const HOLD_WAY: Duration = Duration::from_secs(5);

/// Pause between two announcements of a way out: often while machines may still believe another one, then as often as a
/// switch forgets where an address was.
pub const ANNOUNCE_WAY_NEW: Duration = Duration::from_secs(1);
pub const ANNOUNCE_WAY: Duration = Duration::from_secs(3);
pub const WAY_IS_NEW: Duration = Duration::from_secs(60);

/// How often a naming service says where its address is, alone and beside another. A client that asked one that died has its
/// answer from another after this and one retry.
pub const ANNOUNCE_ALONE: Duration = Duration::from_secs(20);
pub const ANNOUNCE_SHARED: Duration = Duration::from_millis(500);

/// How long after another was heard last its machines may still be pointed at it: longer than an ARP entry is believed.
pub const SHARED_FOR: Duration = Duration::from_secs(600);

/// Largest datagram read. Guests send at most one frame; bigger ones are cut and fail to parse.
pub const DATAGRAM_MAX: usize = 4096;

/// Least length of a BOOTP message (RFC 951): some clients drop shorter ones.
pub const DHCP_PACKET_MIN: usize = 300;

/// How long a resolver may remember that a name does not exist: names appear while somebody waits for them.
pub const NEGATIVE_TTL_SECONDS: u32 = 5;

/// Largest DNS answer over UDP: what fits unfragmented everywhere (DNS flag day 2020).
pub const DNS_UDP_PAYLOAD: u16 = 1232;

/// A TCP question must arrive within this time, and a forwarder must answer within [`FORWARD_TIMEOUT`].
pub const DNS_TCP_TIMEOUT: Duration = Duration::from_secs(5);
pub const FORWARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Largest question read over TCP; a question is one name of 255 octets and some options.
pub const DNS_QUESTION_MAX: usize = 4096;

/// Datagrams taken from a socket at once, and how often in a row before other networks have their turn: a flood at one
/// network costs the others a wait of some hundred answers, about two milliseconds.
pub const BATCH: usize = 32;
pub const BATCHES_IN_A_ROW: usize = 8;

/// Questions one address may ask a second, unless the configuration says another number: a machine that resolves names
/// for a busy service stays far below, and a flood of one does not cost the others their answers.
pub const DNS_QUESTIONS_PER_SECOND: u32 = 20_000;

/// Of these, what may be asked elsewhere: each costs a socket and up to [`FORWARD_TIMEOUT`].
pub const DNS_FORWARDS_PER_SECOND: u32 = 500;

/// Addresses whose rates are kept per network; one more takes another's place, which begins anew.
pub const DNS_CLIENTS: usize = 512;

/// The last questions kept of a network whose questions are logged, and lines of the log a second: a guest must not fill
/// the disk.
pub const QUERIES_KEPT: usize = 512;
pub const QUERY_LINES_PER_SECOND: u32 = 50;

/// TCP connections and forwarded questions of one network at a time: a tenant must not use up what all share.
pub const DNS_TCP_CONNECTIONS: usize = 32;
pub const FORWARDS_AT_ONCE: usize = 64;

/// Pause after a connection that could not be taken: without descriptors the next try fails as well.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Descriptors wanted: six a network (three sockets, a namespace now and then) for a thousand networks, and connections.
pub const DESCRIPTORS: u64 = 65_536;

/// A network of fewer hosts is written whole at every version: it takes no longer than to append, and is read at once.
pub const CHANGES_FROM_HOSTS: usize = 256;

/// Changes kept beside a snapshot before it is written whole again: bounds what a start has to do.
pub const CHANGES_MAX: usize = 200;
