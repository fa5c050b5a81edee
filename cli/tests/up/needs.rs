//! What a test needs of the machine. Missing: the test says so and ends; missing but required by `ARAME_REQUIRE`: it
//! fails.

use std::path::Path;

/// Whether the item is there; prints the skip line or panics otherwise.
pub fn has(item: &str) -> bool {
    let there = match item {
        "root" => nix::unistd::geteuid().is_root(),
        "tun" => std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun").is_ok(),
        "mariadb" => program("mariadbd"),
        "rabbitmq" => Path::new("/usr/lib/rabbitmq/lib").is_dir() && program("erl"),
        "libvirt" => program("libvirtd") && program("virsh"),
        "ovs" => program("ovs-vswitchd") && program("ovs-vsctl"),
        "tgt" => program("tgtd"),
        "qemu" => program("qemu-system-x86_64") && program("qemu-img"),
        "image-tools" => ["mkfs.vfat", "mcopy", "syslinux", "mke2fs", "dpkg-deb", "apt-get"].iter().all(|p| program(p)),
        "busybox" => program("busybox"),
        "tcpdump" => program("tcpdump"),
        "ssh" => program("ssh"),
        other => panic!("unknown need {other}"),
    };
    if there {
        return true;
    }
    let required = std::env::var("ARAME_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|word| word == item), "{item} is required and missing");
    println!("skipped: needs {item}");
    false
}

fn program(name: &str) -> bool {
    arame_cli::up::command::find(name).is_some()
}

/// Whether all are there.
pub fn all(items: &[&str]) -> bool {
    items.iter().all(|item| has(item))
}
