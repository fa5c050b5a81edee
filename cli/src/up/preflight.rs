//! What must be so before anything is started; each failure has a name, a reason and a fix, in both languages.
//!
//! All checks run and all failures are shown at once. Nothing is changed here.

use super::command;
use super::configs;
use super::layout::{DIR_LENGTH_MAX, Kind, Layout, REAL_HOSTS_MAX, Wish};
use super::words::{Language, Text};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

/// Free disk below `--dir`: database, broker, image and a few guests.
const DISK_MIB: u64 = 3 * 1024;

/// Resident memory of a process of one simulated host, of each host in a shared one with its queue in the broker, and of
/// everything else together.
const SIM_HOST_MIB: u64 = 30;
const SIM_HOST_SHARED_MIB: u64 = 4;
const BASE_MIB: u64 = 600;

/// Of one real host: libvirtd, switch, agent; guests come on top.
const REAL_HOST_MIB: u64 = 120;

/// One thing that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub name: &'static str,
    pub why: Text,
    pub fix: Text,
}

impl Problem {
    pub fn show(&self, language: Language) -> String {
        let arrow = match language {
            Language::En => "fix",
            Language::Ja => "対処",
        };
        format!("  ✗ {}: {}\n      {arrow}: {}", self.name, self.why.get(language), self.fix.get(language))
    }
}

/// Programs and the Debian packages that hold them.
const PROGRAMS_ALWAYS: [(&str, &str); 3] =
    [("mariadbd", "mariadb-server"), ("mariadb-install-db", "mariadb-server"), ("erl", "rabbitmq-server")];

const PROGRAMS_REAL: [(&str, &str); 25] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("ethtool", "ethtool"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("ovsdb-tool", "openvswitch-switch"),
    ("ovsdb-server", "openvswitch-switch"),
    ("ovs-vswitchd", "openvswitch-switch"),
    ("ovs-vsctl", "openvswitch-switch"),
    ("ovs-ofctl", "openvswitch-switch"),
    ("libvirtd", "libvirt-daemon-system"),
    ("virsh", "libvirt-clients"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("qemu-img", "qemu-utils"),
    ("tgtd", "tgt"),
    ("tgtadm", "tgt"),
    ("apt-get", "apt"),
    ("dpkg-deb", "dpkg"),
    ("mkfs.vfat", "dosfstools"),
    ("mcopy", "mtools"),
    ("syslinux", "syslinux"),
    ("mke2fs", "e2fsprogs"),
    ("/usr/lib/syslinux/mbr/mbr.bin", "syslinux-common"),
    ("/usr/lib/x86_64-linux-gnu/qemu/block-iscsi.so", "qemu-block-extra"),
    ("ssh", "openssh-client"),
];

/// Programs of this project, beside `arame`.
pub const OWN_PROGRAMS: [&str; 5] = ["arame-dcmgr", "arame-hva", "arame-sta", "arame-nsa", "arame-webui"];

/// What is looked at.
pub struct Checks<'a> {
    pub layout: &'a Layout,
    pub wish: &'a Wish,
    /// Folder of the programs of this project, or none when they are not to be started.
    pub programs: Option<&'a Path>,
    /// Whether children of an earlier supervisor still run: their ports are taken by ourselves then.
    pub children_run: ChildrenRun,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildrenRun {
    Yes,
    No,
}

impl Checks<'_> {
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        problems.extend(self.folder());
        problems.extend(self.founded());
        problems.extend(self.programs());
        problems.extend(self.memory());
        problems.extend(self.disk());
        if self.wish.kind == Kind::Real {
            problems.extend(privileges());
            problems.extend(tun());
            problems.extend(self.host_count());
            problems.extend(self.routes());
        }
        if self.children_run == ChildrenRun::No {
            problems.extend(self.ports());
        }
        problems
    }

    /// Namespaces lay their own folders over some paths, and unix sockets have short names.
    fn folder(&self) -> Option<Problem> {
        let dir = self.layout.dir();
        let covered = [
            "/run",
            "/var/run",
            "/var/lib/libvirt",
            "/var/log/libvirt",
            "/var/cache/libvirt",
            "/etc/libvirt",
            "/var/lib/mysql",
            "/var/lib/rabbitmq",
        ];
        let hidden = covered.iter().any(|path| dir.starts_with(path)) && self.wish.kind == Kind::Real;
        let long = dir.as_os_str().len() > DIR_LENGTH_MAX;
        let odd = dir.to_str().is_none_or(|text| text.contains([',', '=', '"', '\\', '\n']));
        (hidden || long || odd).then(|| Problem {
            name: "dir",
            why: Text::new(
                format!("{} cannot hold a data center: longer than {DIR_LENGTH_MAX} bytes, with characters other programs treat specially, or below a folder that hosts cover with their own", dir.display()),
                format!("{} にはデータセンターを置けません ({DIR_LENGTH_MAX} バイトを超える、特別な文字を含む、またはホストが自分のフォルダーで覆う場所の下にあります)", dir.display()),
            ),
            fix: Text::new("choose another folder with --dir, for example --dir /srv/arame", "--dir で別のフォルダーを選んでください (例: --dir /srv/arame)"),
        })
    }

    /// What the database of this folder was seeded with does not change afterwards.
    fn founded(&self) -> Option<Problem> {
        let founded = founded(self.layout)?;
        let same =
            (founded.kind, founded.demo, founded.management) == (self.wish.kind, self.wish.demo, self.wish.management);
        let was = match founded.kind {
            Kind::Real => format!("--demo-network {} --management-network {}", founded.demo, founded.management),
            Kind::Sim => "--sim".to_owned(),
        };
        (!same).then(|| Problem {
            name: "dir",
            why: Text::new(
                format!("{} holds a data center made with {was}", self.layout.dir().display()),
                format!("{} には {was} で作られたデータセンターがあります", self.layout.dir().display()),
            ),
            fix: Text::new(
                format!("use these options again ({was}), or another folder with --dir"),
                format!("同じオプション ({was}) を使うか、--dir で別のフォルダーを選んでください"),
            ),
        })
    }

    fn programs(&self) -> Vec<Problem> {
        let real = if self.wish.kind == Kind::Real { PROGRAMS_REAL.as_slice() } else { &[] };
        let wanted = PROGRAMS_ALWAYS.iter().chain(real);
        let missing: Vec<&(&str, &str)> = wanted.filter(|(program, _)| command::find(program).is_none()).collect();
        let mut problems: Vec<Problem> =
            missing.into_iter().map(|(program, package)| missing_program(program, package)).collect();
        if let Some(folder) = self.programs {
            let absent = OWN_PROGRAMS.iter().filter(|name| !folder.join(name).is_file());
            problems.extend(absent.map(|name| missing_own_program(folder, name)));
        }
        problems
    }

    fn host_count(&self) -> Option<Problem> {
        (self.wish.hosts > REAL_HOSTS_MAX).then(|| Problem {
            name: "hosts",
            why: Text::new(
                format!("{} hosts do not fit into the management network", self.wish.hosts),
                format!("ホスト {} 台は管理ネットワークに収まりません", self.wish.hosts),
            ),
            fix: Text::new(
                format!("at most --hosts {REAL_HOSTS_MAX}, or --sim"),
                format!("--hosts {REAL_HOSTS_MAX} 以下にするか --sim を使ってください"),
            ),
        })
    }

    fn memory(&self) -> Option<Problem> {
        let needed = BASE_MIB + hosts_mib(self.wish);
        let free = available_memory_mib()?;
        (free < needed && self.children_run == ChildrenRun::No).then(|| Problem {
            name: "memory",
            why: Text::new(
                format!("{} hosts need about {needed} MiB of memory, {free} MiB are available", self.wish.hosts),
                format!(
                    "ホスト {} 台には約 {needed} MiB のメモリーが必要ですが、空きは {free} MiB です",
                    self.wish.hosts
                ),
            ),
            fix: Text::new(
                "fewer hosts (--hosts), or end other programs",
                "--hosts を減らすか、他のプログラムを終了してください",
            ),
        })
    }

    fn disk(&self) -> Option<Problem> {
        let free = free_disk_mib(self.layout.dir())?;
        (free < DISK_MIB).then(|| Problem {
            name: "disk",
            why: Text::new(
                format!("{} has {free} MiB free, {DISK_MIB} MiB are needed", self.layout.dir().display()),
                format!("{} の空きは {free} MiB です ({DISK_MIB} MiB 必要)", self.layout.dir().display()),
            ),
            fix: Text::new(
                "make room, or choose a folder on another disk with --dir",
                "空きを作るか、--dir で別のディスク上のフォルダーを選んでください",
            ),
        })
    }

    /// A network routed elsewhere already would be torn away from its owner.
    fn routes(&self) -> Vec<Problem> {
        let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
        let link = self.layout.link();
        let taken = |net: ipnet::Ipv4Net| {
            routes.lines().skip(1).filter_map(parse_route).find(|(device, other)| {
                *device != link && other.prefix_len() > 0 && (net.contains(other) || other.contains(&net))
            })
        };
        let (machine, _) = self.layout.link_addresses();
        let link_net = ipnet::Ipv4Net::new(machine, 30).map(|net| net.trunc());
        let wanted = [("--demo-network", Some(self.wish.demo)), ("--dir", link_net.ok())];
        let clashes = wanted.into_iter().filter_map(|(option, net)| Some((option, net?, taken(net?)?)));
        clashes.map(|(option, net, (device, other))| route_problem(option, net, &device, other)).collect()
    }

    fn ports(&self) -> Vec<Problem> {
        let ports = self.wish.ports();
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut wanted = vec![(self.wish.listen, "--listen")];
        // One of our own programs: not looked at where those are not started.
        wanted.extend(self.programs.and(self.wish.webui).map(|webui| (webui, "--webui")));
        if self.wish.kind == Kind::Sim {
            let numbers = [ports.broker(), ports.broker_distribution(), ports.images()];
            wanted.extend(numbers.map(|port| (local(port), "--port-base")));
        }
        let taken = wanted
            .into_iter()
            .filter_map(|(address, option)| Some((address, option, TcpListener::bind(address).err()?)));
        taken.map(|(address, option, error)| port_problem(address, option, &error)).collect()
    }
}

/// With what the data center of this folder was made first.
fn founded(layout: &Layout) -> Option<Wish> {
    serde_json::from_slice(&std::fs::read(layout.path("etc/founded.json")).ok()?).ok()
}

/// Remembers the wish; called when the first seed is written.
pub fn found(layout: &Layout, wish: &Wish) -> std::io::Result<()> {
    if founded(layout).is_some() {
        return Ok(());
    }
    super::files::replace(&layout.path("etc/founded.json"), &serde_json::to_vec_pretty(wish)?, 0o644)
}

fn missing_program(program: &str, package: &str) -> Problem {
    Problem {
        name: "program",
        why: Text::new(
            format!("{program} is not installed (Debian package {package})"),
            format!("{program} がありません (Debian パッケージ {package})"),
        ),
        fix: Text::new(
            format!("apt-get install --no-install-recommends {package}, or `make up`, which installs all of them"),
            format!("apt-get install --no-install-recommends {package}、または必要なものをすべて入れる `make up`"),
        ),
    }
}

fn missing_own_program(folder: &Path, name: &str) -> Problem {
    Problem {
        name: "program",
        why: Text::new(
            format!("{name} is not beside arame in {}", folder.display()),
            format!("{name} が arame と同じ場所 ({}) にありません", folder.display()),
        ),
        fix: Text::new(
            "cargo build --release --workspace, or `make up`",
            "cargo build --release --workspace または `make up`",
        ),
    }
}

fn route_problem(option: &str, net: ipnet::Ipv4Net, device: &str, other: ipnet::Ipv4Net) -> Problem {
    Problem {
        name: "route",
        why: Text::new(
            format!("{net} is wanted, but {device} has a route to {other} already"),
            format!("{net} を使いますが、{device} にすでに {other} への経路があります"),
        ),
        fix: Text::new(
            format!("choose another with {option}, or stop the other data center (arame down --dir …)"),
            format!("{option} で別のものを選ぶか、もう一方のデータセンターを止めてください (arame down --dir …)"),
        ),
    }
}

fn port_problem(address: SocketAddr, option: &str, error: &std::io::Error) -> Problem {
    Problem {
        name: "port",
        why: Text::new(
            format!("{address} cannot be listened on: {error}"),
            format!("{address} で待ち受けできません: {error}"),
        ),
        fix: Text::new(
            format!("end the program that uses it (ss -ltnp), or choose another with {option}"),
            format!("使っているプログラムを終了するか (ss -ltnp)、{option} で別の番号を選んでください"),
        ),
    }
}

fn privileges() -> Option<Problem> {
    (!nix::unistd::geteuid().is_root()).then(|| Problem {
        name: "root",
        why: Text::new(
            "namespaces, switches and virtual machines need root",
            "名前空間・スイッチ・仮想マシンには root 権限が必要です",
        ),
        fix: Text::new(
            "sudo make up, or `arame up --sim`, which needs no privileges",
            "sudo make up、または権限の要らない `arame up --sim`",
        ),
    })
}

fn tun() -> Option<Problem> {
    let path = PathBuf::from("/dev/net/tun");
    let opened = std::fs::OpenOptions::new().read(true).write(true).open(&path);
    opened.err().map(|error| Problem {
        name: "tun",
        why: Text::new(format!("/dev/net/tun: {error}"), format!("/dev/net/tun: {error}")),
        fix: Text::new(
            "modprobe tun (in a container: --device /dev/net/tun)",
            "modprobe tun (コンテナーでは --device /dev/net/tun)",
        ),
    })
}

/// A line of /proc/net/route: addresses are hexadecimal in the machine's byte order.
fn parse_route(line: &str) -> Option<(String, ipnet::Ipv4Net)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let address = |word: &str| u32::from_str_radix(word, 16).ok().map(u32::from_be);
    let destination = address(words.get(1)?)?;
    let mask = address(words.get(7)?)?;
    let net = ipnet::Ipv4Net::new(destination.into(), mask.count_ones() as u8).ok()?;
    Some(((*words.first()?).to_owned(), net))
}

/// Memory the kernel could give without swapping.
fn available_memory_mib() -> Option<u64> {
    meminfo("MemAvailable:")
}

pub fn total_memory_mib() -> Option<u64> {
    meminfo("MemTotal:")
}

fn meminfo(field: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}

/// Free disk at the folder, or at its nearest parent that exists.
pub fn free_disk_mib(dir: &Path) -> Option<u64> {
    let existing = dir.ancestors().find(|path| path.exists())?;
    let stat = nix::sys::statvfs::statvfs(existing).ok()?;
    Some(stat.blocks_available() as u64 * stat.fragment_size() as u64 / (1024 * 1024))
}

fn hosts_mib(wish: &Wish) -> u64 {
    let hosts = u64::from(wish.hosts);
    match wish.kind {
        Kind::Real => REAL_HOST_MIB * hosts,
        Kind::Sim => SIM_HOST_MIB * configs::groups(wish).len() as u64 + SIM_HOST_SHARED_MIB * hosts,
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::wish;
    use super::*;

    #[test]
    fn a_route_line_is_read_in_the_machines_byte_order() {
        let (device, net) = parse_route("eth0\t0000640A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0").unwrap();
        assert_eq!((device.as_str(), net.to_string().as_str()), ("eth0", "10.100.0.0/24"));
    }

    #[test]
    fn a_taken_port_is_named_with_its_option() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let wish = Wish { listen: taken.local_addr().unwrap(), port_base: 1, ..wish(Kind::Sim) };
        let layout = Layout::new(Path::new("/tmp/arame-preflight"));
        let checks = Checks { layout: &layout, wish: &wish, programs: None, children_run: ChildrenRun::No };
        let problems = checks.ports();
        let named = problems.iter().any(|problem| problem.name == "port" && problem.fix.en.contains("--listen"));
        assert!(named, "{problems:?}");
        let ours = Checks { children_run: ChildrenRun::Yes, ..checks };
        assert!(ours.problems().iter().all(|problem| problem.name != "port"));
    }

    #[test]
    fn a_thousand_simulated_hosts_share_few_processes_and_little_memory() {
        let many = Wish { hosts: 1_000, ..wish(Kind::Sim) };
        let groups = configs::groups(&many);
        assert_eq!(groups.iter().flat_map(|group| &group.agents).count(), 1_002);
        assert!(groups.len() < 10, "{} processes", groups.len());
        assert!(hosts_mib(&many) < 8 * 1024);
        let few = configs::groups(&Wish { hosts: 8, ..many });
        assert!(few.iter().all(|group| group.name == group.agents[0].as_str()), "each is a process by itself");
    }

    #[test]
    fn every_problem_speaks_both_languages() {
        let wish = Wish { hosts: 60_000, ..wish(Kind::Real) };
        let layout = Layout::new(Path::new("/run/with,comma"));
        let nowhere = Path::new("/nowhere");
        let checks = Checks { layout: &layout, wish: &wish, programs: Some(nowhere), children_run: ChildrenRun::No };
        let problems = checks.problems();
        assert!(problems.len() >= 6, "{problems:?}");
        for problem in problems.iter().filter(|problem| problem.name != "tun") {
            assert!(problem.why.ja.chars().any(|c| ('\u{3040}'..='\u{9fff}').contains(&c)), "{problem:?}");
            assert!(problem.fix.ja.chars().any(|c| ('\u{3040}'..='\u{9fff}').contains(&c)), "{problem:?}");
        }
    }
}
