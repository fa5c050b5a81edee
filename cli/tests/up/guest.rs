//! The guest image: made from packages, boots under QEMU's emulation, takes its name, key and user-data from metadata.

use crate::folder::eventually;
use crate::needs;
use arame_cli::up::image::Builder;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Boots under emulation took 4 s on an idle machine; this one is shared.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

struct Machine {
    netns: String,
    children: Vec<Child>,
}

impl Machine {
    /// A namespace of its own: QEMU's user network turns 169.254.169.254 into its loopback, where metadata is served.
    fn new() -> Self {
        let netns = format!("arame-guest-{}", std::process::id());
        let ip = |words: &[&str]| assert!(Command::new("ip").args(words).status().unwrap().success());
        ip(&["netns", "add", &netns]);
        ip(&["-n", &netns, "link", "set", "lo", "up"]);
        Self { netns, children: Vec::new() }
    }

    fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.netns)).args(["--", program]).stdin(Stdio::null());
        command
    }

    fn serve(&mut self, folder: &Path) {
        let mut command = self.inside("busybox");
        command.args(["httpd", "-f", "-p", "127.0.0.1:80", "-h"]).arg(folder);
        self.children.push(command.spawn().unwrap());
    }

    fn boot(&mut self, disk: &Path, console: &Path) {
        let mut command = self.inside("qemu-system-x86_64");
        let network =
            "user,id=n0,net=169.254.0.0/16,dhcpstart=169.254.10.1,host=169.254.169.254,hostfwd=tcp:127.0.0.1:2222-:22";
        command.args([
            "-machine",
            "q35",
            "-accel",
            "tcg",
            "-cpu",
            "qemu64",
            "-m",
            "192",
            "-nodefaults",
            "-display",
            "none",
        ]);
        command.args(["-netdev", network, "-device", "virtio-net-pci,netdev=n0,romfile=", "-no-reboot"]);
        command.args(["-device", "virtio-rng-pci", "-serial", &format!("file:{}", console.display())]);
        command.args(["-drive", &format!("file={},format=qcow2,if=virtio,snapshot=on", disk.display())]);
        self.children.push(command.spawn().unwrap());
    }

    fn ssh(&self, key: &Path, words: &str) -> Option<String> {
        let options = [
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=5",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
            "-p",
            "2222",
            "-i",
        ];
        let mut command = self.inside("ssh");
        let output = command.args(options).arg(key).args(["root@127.0.0.1", words]).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = Command::new("ip").args(["netns", "delete", &self.netns]).status();
    }
}

fn key(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status();
    assert!(made.unwrap().success());
    path
}

fn metadata(folder: &Path, public_key: &str) -> PathBuf {
    let latest = folder.join("metadata/latest");
    let meta = latest.join("meta-data");
    std::fs::create_dir_all(meta.join("public-keys/0")).unwrap();
    std::fs::write(meta.join("instance-id"), "i-test0001").unwrap();
    std::fs::write(meta.join("local-hostname"), "web1.demo.example").unwrap();
    // Without a final newline, as the metadata service lists it.
    std::fs::write(meta.join("public-keys/index.html"), "0=demo").unwrap();
    std::fs::write(meta.join("public-keys/0/openssh-key"), public_key).unwrap();
    std::fs::write(latest.join("user-data"), "#!/bin/sh\necho \"ran on $(hostname)\" >/root/user-data-ran\n").unwrap();
    folder.join("metadata")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_takes_name_key_and_user_data_from_metadata_and_lets_only_that_key_in() {
    if !needs::all(&["root", "qemu", "image-tools", "busybox", "ssh"]) {
        return;
    }
    let shared = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    std::fs::create_dir_all(&cache).unwrap();
    std::fs::create_dir_all(shared.join("debs")).unwrap();
    std::os::unix::fs::symlink(shared.join("debs"), cache.join("debs")).unwrap();
    let builder = Builder { cache, images: folder.path().join("images") };
    let (image, _) = builder.ensure().await.unwrap();
    let (again, origin) = builder.ensure().await.unwrap();
    assert_eq!((&again, origin), (&image, arame_cli::up::image::Origin::Cached));

    let (ours, other) = (key(folder.path(), "ours"), key(folder.path(), "other"));
    let public = std::fs::read_to_string(folder.path().join("ours.pub")).unwrap();
    let mut machine = Machine::new();
    machine.serve(&metadata(folder.path(), &public));
    let (console, began) = (folder.path().join("console"), Instant::now());
    machine.boot(&image.path, &console);
    let said = || String::from_utf8_lossy(&std::fs::read(&console).unwrap_or_default()).into_owned();
    eventually("the guest has its address", BOOT_LIMIT, || said().contains("eth0 has 169.254.10.1"));
    println!("exec to lease: {:?}", began.elapsed());
    eventually("user-data ran", BOOT_LIMIT, || said().contains("user-data ended with 0"));

    let answer = machine.ssh(&ours, "hostname; cat /root/user-data-ran; stat -c %a /root/.ssh/authorized_keys");
    assert_eq!(answer.as_deref(), Some("web1\nran on web1\n600\n"), "{}", said());
    // The positive control is the line above: same address, same server, the other key.
    assert_eq!(machine.ssh(&other, "true"), None);
    let tools = machine.ssh(&ours, "mkfs.ext4 -V 2>&1 && command -v nc ping wget mkfs.ext2");
    assert!(tools.is_some(), "a tool is missing");
}
