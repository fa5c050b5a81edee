//! The guest's files: what goes into the initramfs, what onto the root partition.
//!
//! Only what is listed here is taken from the packages; documentation and the rest stay behind. The host's own
//! files never enter the image.

use super::packages::Trees;
use super::{ImageError, assets, at, cpio};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Drivers the initramfs loads before the root partition is there; its script has the order.
const EARLY_MODULES: [&str; 9] = [
    "failover",
    "net_failover",
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_net",
    "virtio_blk",
];

/// Loaded later, from the root partition: entropy, power button.
const LATE_MODULES: [&str; 3] = ["virtio-rng", "button", "evdev"];

const PROGRAMS: [&str; 4] = ["usr/sbin/dropbear", "usr/bin/dropbearkey", "usr/bin/dbclient", "sbin/mke2fs"];
const MORE_PROGRAMS: [&str; 4] = ["sbin/e2fsck", "sbin/resize2fs", "sbin/tune2fs", "sbin/dumpe2fs"];

/// BusyBox applets the initramfs script uses.
const EARLY_APPLETS: [&str; 9] = ["sh", "mount", "echo", "insmod", "findfs", "usleep", "switch_root", "cat", "ls"];

/// What the disk is put together from.
#[derive(Debug)]
pub struct Parts {
    pub kernel: PathBuf,
    pub initramfs: PathBuf,
    pub root: PathBuf,
}

pub fn lay_out(trees: &Trees, work: &Path) -> Result<Parts, ImageError> {
    let busybox = first_existing(&trees.userland, &["bin/busybox", "usr/bin/busybox"])?;
    let kernel = find_kernel(&trees.kernel)?;
    let modules = Modules::below(&trees.kernel);
    let initramfs = work.join("initrd");
    std::fs::write(&initramfs, initramfs_bytes(&busybox, &modules)?).map_err(at(&initramfs))?;
    let root = work.join("root");
    fill_root(&root, &trees.userland, &busybox, &modules)?;
    Ok(Parts { kernel, initramfs, root })
}

fn first_existing(tree: &Path, candidates: &[&str]) -> Result<PathBuf, ImageError> {
    let missing = || ImageError::Incomplete { package: "the guest's packages".into(), path: candidates.join(" or ") };
    candidates.iter().map(|candidate| tree.join(candidate)).find(|path| path.is_file()).ok_or_else(missing)
}

fn find_kernel(tree: &Path) -> Result<PathBuf, ImageError> {
    let boot = tree.join("boot");
    let entries = std::fs::read_dir(&boot).map_err(at(&boot))?;
    let mut kernels = entries.flatten().map(|entry| entry.path());
    let is_kernel = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz"));
    let missing = || ImageError::Incomplete { package: "the kernel".into(), path: "boot/vmlinuz".into() };
    kernels.find(is_kernel).ok_or_else(missing)
}

/// Kernel modules by name. One that is not there is built into the kernel (as on Ubuntu) and needs no loading.
struct Modules(Vec<PathBuf>);

impl Modules {
    fn below(tree: &Path) -> Self {
        let mut found = Vec::new();
        let mut pending = vec![tree.join("lib/modules"), tree.join("usr/lib/modules")];
        while let Some(folder) = pending.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => pending.push(path),
                    Ok(_) if path.extension().is_some_and(|e| e == "ko") => found.push(path),
                    _ => {}
                }
            }
        }
        Self(found)
    }

    fn get(&self, name: &str) -> Option<&PathBuf> {
        self.0.iter().find(|path| path.file_stem().is_some_and(|stem| stem == name))
    }
}

fn initramfs_bytes(busybox: &Path, modules: &Modules) -> Result<Vec<u8>, ImageError> {
    let mut archive = cpio::Archive::default();
    for directory in ["bin", "dev", "proc", "sys", "root", "modules"] {
        archive.directory(directory, 0o755);
    }
    // The kernel opens this before any script of ours runs.
    archive.character_device("dev/console", 0o600, (5, 1));
    archive.file("init", 0o755, assets::INITRAMFS_INIT.as_bytes());
    archive.file("bin/busybox", 0o755, &std::fs::read(busybox).map_err(at(busybox))?);
    for applet in EARLY_APPLETS {
        archive.symlink(&format!("bin/{applet}"), "busybox");
    }
    for name in EARLY_MODULES {
        if let Some(path) = modules.get(name) {
            archive.file(&format!("modules/{name}.ko"), 0o644, &std::fs::read(path).map_err(at(path))?);
        }
    }
    Ok(archive.finish())
}

fn fill_root(root: &Path, userland: &Path, busybox: &Path, modules: &Modules) -> Result<(), ImageError> {
    let folders = [
        "bin",
        "sbin",
        "usr/bin",
        "usr/sbin",
        "dev",
        "proc",
        "sys",
        "run",
        "tmp",
        "mnt",
        "root",
        "etc/init.d",
        "etc/acpi/PWRF",
        "etc/dropbear",
        "lib/modules",
        "var/lib",
        "var/log",
    ];
    for folder in folders {
        make_folder(&root.join(folder), 0o755)?;
    }
    make_folder(&root.join("root"), 0o700)?;
    place(busybox, &root.join("bin/busybox"))?;
    for applet in applets(busybox)? {
        let link = root.join(&applet);
        if let Some(parent) = link.parent() {
            make_folder(parent, 0o755)?;
        }
        symlink("/bin/busybox", &link).map_err(at(&link))?;
    }
    for program in PROGRAMS.into_iter().chain(MORE_PROGRAMS) {
        let name = Path::new(program).file_name().unwrap_or_default();
        let source = first_existing(userland, &[program, &format!("usr/{program}")])?;
        place(&source, &root.join("usr/bin").join(name))?;
    }
    for kind in ["mkfs.ext2", "mkfs.ext3", "mkfs.ext4"] {
        let link = root.join("usr/bin").join(kind);
        symlink("mke2fs", &link).map_err(at(&link))?;
    }
    copy_libraries(userland, root)?;
    for name in LATE_MODULES {
        if let Some(path) = modules.get(name) {
            place(path, &root.join(format!("lib/modules/{name}.ko")))?;
        }
    }
    let mke2fs_conf = userland.join("etc/mke2fs.conf");
    place(&mke2fs_conf, &root.join("etc/mke2fs.conf"))?;
    write_texts(root)
}

fn write_texts(root: &Path) -> Result<(), ImageError> {
    let texts: [(&str, u32, &str); 18] = [
        ("etc/inittab", 0o644, assets::INITTAB),
        ("etc/init.d/boot", 0o755, assets::BOOT),
        ("etc/init.d/disks", 0o755, assets::DISKS),
        ("etc/init.d/ssh", 0o755, assets::SSH),
        ("etc/init.d/network", 0o755, assets::NETWORK),
        ("etc/init.d/metadata", 0o755, assets::METADATA),
        ("etc/init.d/shutdown", 0o755, assets::SHUTDOWN),
        ("etc/udhcpc.script", 0o755, assets::UDHCPC),
        ("etc/acpi/PWRF/00000080", 0o755, assets::POWER_BUTTON),
        ("etc/hostname", 0o644, "tiny\n"),
        ("etc/hosts", 0o644, "127.0.0.1 localhost\n"),
        ("etc/nsswitch.conf", 0o644, "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"),
        ("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n"),
        ("etc/group", 0o644, "root:x:0:\ntty:x:5:\n"),
        // `*`: no password fits; user-data may set one.
        ("etc/shadow", 0o600, "root:*:20000:0:99999:7:::\n"),
        ("etc/shells", 0o644, "/bin/sh\n"),
        ("etc/resolv.conf", 0o644, ""),
        ("etc/issue", 0o644, "Arame tiny guest \\n \\l\n"),
    ];
    for (name, permissions, text) in texts {
        let path = root.join(name);
        std::fs::write(&path, text).map_err(at(&path))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(permissions)).map_err(at(&path))?;
    }
    Ok(())
}

/// Paths of BusyBox's applets relative to the root, as it lists them itself.
fn applets(busybox: &Path) -> Result<Vec<String>, ImageError> {
    let output = std::process::Command::new(busybox).arg("--list-full").output().map_err(at(busybox))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().map(|line| line.trim_start_matches('/').to_owned());
    Ok(lines.filter(|line| !line.is_empty() && line != "bin/busybox" && !line.starts_with("linuxrc")).collect())
}

/// Shared libraries and the dynamic loader, at the places the loader looks.
fn copy_libraries(userland: &Path, root: &Path) -> Result<(), ImageError> {
    const NEEDED: [&str; 16] = [
        "libc.so.6",
        "libm.so.6",
        "libresolv.so.2",
        "libpthread.so.0",
        "libdl.so.2",
        "ld-linux-x86-64.so.2",
        "libcrypt.so.1",
        "libz.so.1",
        "libtomcrypt.so.1",
        "libtommath.so.1",
        "libgmp.so.10",
        "libext2fs.so.2",
        "libcom_err.so.2",
        "libblkid.so.1",
        "libuuid.so.1",
        "libe2p.so.2",
    ];
    let target = root.join("usr/lib/x86_64-linux-gnu");
    make_folder(&target, 0o755)?;
    for name in NEEDED {
        let candidates = [format!("lib/x86_64-linux-gnu/{name}"), format!("usr/lib/x86_64-linux-gnu/{name}")];
        let candidates: Vec<&str> = candidates.iter().map(String::as_str).collect();
        let source = first_existing(userland, &candidates)?;
        place(&source, &target.join(name))?;
    }
    let loader = root.join("lib64");
    make_folder(&loader, 0o755)?;
    let link = loader.join("ld-linux-x86-64.so.2");
    symlink("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", &link).map_err(at(&link))
}

fn make_folder(path: &Path, permissions: u32) -> Result<(), ImageError> {
    std::fs::create_dir_all(path).map_err(at(path))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(permissions)).map_err(at(path))
}

/// Copies a file (through symbolic links) with its permissions; an existing link is replaced.
fn place(from: &Path, to: &Path) -> Result<(), ImageError> {
    if to.symlink_metadata().is_ok() {
        std::fs::remove_file(to).map_err(at(to))?;
    }
    std::fs::copy(from, to).map(|_| ()).map_err(at(from))
}
