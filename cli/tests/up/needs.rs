//! What a test needs of the machine. Missing: the test says so and ends; missing but required by `ARAME_REQUIRE`: it
//! fails.

use std::io::Write;
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
    count(&format!("skipped: needs {item}\n"));
    false
}

/// A runner that hides what passing tests print counts the lines in the file that `ARAME_SKIPS` names.
fn count(line: &str) {
    let Some(file) = std::env::var_os("ARAME_SKIPS") else { return };
    let file = std::fs::OpenOptions::new().append(true).create(true).open(file);
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .expect("a skip that is not counted would be a silent one");
}

fn program(name: &str) -> bool {
    arame_cli::up::command::find(name).is_some()
}

/// Whether all are there.
pub fn all(items: &[&str]) -> bool {
    items.iter().all(|item| has(item))
}
