//! Every limit on time, size and count that more than one program must agree on, each with its reason.

use std::time::Duration;

/// Version of the message form on the wire (`v`). Raised only when an old reader would misunderstand a message.
pub const WIRE_VERSION: u16 = 1;

/// Longest a job may run (DESIGN 3.7): longer work is split into *start* and *observe*.
pub const JOB_BUDGET_MAX: Duration = Duration::from_secs(15 * 60);

/// What an agent may take for a job that only changes local state (export, firewall, DNS).
pub const JOB_BUDGET_SHORT: Duration = Duration::from_secs(60);

/// Interval of heartbeats. A peer is *late* after three of them, which bounds how long placement trusts a dead host.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// Missed heartbeats before an agent counts as offline.
pub const HEARTBEATS_MISSED_MAX: u32 = 3;

/// Interval of unasked inventories. Something taken away behind our back is noticed within this time.
pub const INVENTORY_INTERVAL: Duration = Duration::from_secs(20);

/// A read-only question to an agent waits no longer (DESIGN 3.14).
pub const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// Deliveries of one job message before the broker moves it to the `dead` queue (DESIGN, On the wire).
pub const DELIVERY_LIMIT: u32 = 5;

/// How long an agent keeps the small file that remembers a deleted thing (DESIGN 3.6).
pub const TOMBSTONE_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest resource id, prefix included: the original allowed operators any word; seeds use up to 63 characters.
pub const ID_LENGTH_MAX: usize = 63;

/// Longest hostname of an instance: the original's limit (`[0-9a-z][0-9a-z-]{0,31}`), also within RFC 1035's label.
pub const HOSTNAME_LENGTH_MAX: usize = 32;

/// Virtual CPUs of one instance: the original's range.
pub const CPU_CORES: std::ops::RangeInclusive<u32> = 1..=128;

/// Memory of one instance in MiB. The original's floor was 128; small initramfs guests boot with 96.
pub const MEMORY_MIB: std::ops::RangeInclusive<u64> = 96..=999_999;

/// Size of one volume in MiB: the original's floor; the ceiling is 16 TiB, ext4's limit with 4 KiB blocks.
pub const VOLUME_SIZE_MIB: std::ops::RangeInclusive<u64> = 10..=16 * 1024 * 1024;

/// User-data of one instance in bytes: EC2's limit, which cloud-init's documentation names.
pub const USER_DATA_BYTES_MAX: usize = 16 * 1024;

/// Network interfaces of one instance: PCIe root ports of the guest's machine type leave room for this many.
pub const NICS_MAX: usize = 8;

/// Volumes attached to one instance beside its boot disk: root ports again.
pub const VOLUMES_MAX: usize = 16;

/// Snapshots of one volume: bounds what its deletion, its listing and a rollback past them can cost.
pub const VOLUME_SNAPSHOTS_MAX: usize = 64;

/// Rules in one security group: bounds the flows one port can cost.
pub const SECURITY_GROUP_RULES_MAX: usize = 100;

/// Aliases (CNAME) that are followed in a row: more than anybody needs, few enough for one small answer.
pub const DNS_CHAIN_MAX: usize = 8;

/// TTL of DNS records in seconds, and the least time a released address cools before it is given out again.
pub const DNS_TTL_SECONDS: u32 = 60;

/// Lease time offered by DHCP in seconds: long enough that an outage of the nsa over a night drops no guest.
pub const DHCP_LEASE_SECONDS: u32 = 86_400;

/// Length of a password in bytes. NIST SP 800-63B section 5.1.1.2: at least 8, no rules of composition; the upper bound
/// limits what hashing is given.
pub const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=1024;

/// A console's ticket is worth this long: a browser needs a moment to open its WebSocket, a thief shall not find more.
pub const CONSOLE_TICKET_AGE: Duration = Duration::from_secs(30);

/// Consoles open at once in one dcmgr, and streams at once of one agent: each costs a socket at either end and two buffers.
pub const CONSOLES_MAX: usize = 256;
pub const AGENT_STREAMS_MAX: usize = 32;

/// Bytes a second of a stream each way, beyond a first burst of as many: a screen that is repainted needs a few, and one
/// viewer must not fill the management network.
pub const STREAM_BYTES_PER_SECOND: u64 = 8 * 1024 * 1024;

/// A stream in which nothing moved for this long has no viewer any more.
pub const STREAM_IDLE_MAX: Duration = Duration::from_secs(60 * 60);

/// Longest a stream lives: a working day.
pub const STREAM_AGE_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// Longest PNG of a screen: it travels in a message of the bus.
pub const SCREENSHOT_BYTES_MAX: usize = 2 * 1024 * 1024;
