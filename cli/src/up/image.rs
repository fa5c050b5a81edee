//! The small guest image, made on the spot from Debian packages: kernel, BusyBox, an SSH server, mkfs.
//!
//! What must stay true: the image is written beside and renamed, with its stamp last, so a half-made image is never
//! used; it is made again only when its package versions or this program's own files changed. Nothing is installed
//! on the machine and nothing is mounted: packages are unpacked below the cache folder, file systems are filled by
//! their own tools. It does not register the image; the seed does.

mod cpio;
mod disk;
mod packages;
mod root;

use crate::up::command::{Call, CommandError};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Virtual size of the root partition: room for a few packages of the user's own; the file grows only as it fills.
const ROOT_MIB: u64 = 256;

/// The boot partition holds one kernel (14 MB) and one initramfs (3 MB).
const BOOT_MIB: u64 = 24;

/// The way of building: an image made by another version of it is made again.
const BUILDER: [&str; 2] = [include_str!("image/packages.rs"), include_str!("image/root.rs")];

/// The first line the guest prints: the KVM probe waits for it.
pub const MARKER: &str = "arame-guest: kernel is up";

/// Files of the guest, compiled in, so that the program is complete in one file.
pub(crate) mod assets {
    pub const INITRAMFS_INIT: &str = include_str!("../../assets/guest/initramfs-init");
    pub const INITTAB: &str = include_str!("../../assets/guest/inittab");
    pub const BOOT: &str = include_str!("../../assets/guest/boot");
    pub const DISKS: &str = include_str!("../../assets/guest/disks");
    pub const SSH: &str = include_str!("../../assets/guest/ssh");
    pub const NETWORK: &str = include_str!("../../assets/guest/network");
    pub const UDHCPC: &str = include_str!("../../assets/guest/udhcpc.script");
    pub const METADATA: &str = include_str!("../../assets/guest/metadata");
    pub const POWER_BUTTON: &str = include_str!("../../assets/guest/power-button");
    pub const SHUTDOWN: &str = include_str!("../../assets/guest/shutdown");
    pub const SYSLINUX: &str = include_str!("../../assets/guest/syslinux.cfg");
    pub const ALL: [&str; 11] =
        [INITRAMFS_INIT, INITTAB, BOOT, DISKS, SSH, NETWORK, UDHCPC, METADATA, POWER_BUTTON, SHUTDOWN, SYSLINUX];
}

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("the Debian packages of the guest image cannot be fetched: {source}")]
    Mirror { source: CommandError },
    #[error("no kernel package is known to apt (tried {tried})")]
    NoKernel { tried: String },
    #[error("package {package} holds no {path}")]
    Incomplete { package: String, path: String },
    #[error(transparent)]
    Tool(#[from] CommandError),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
}

/// Turns an I/O error into one that names the file.
pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> ImageError + '_ {
    move |source| ImageError::File { path: path.to_owned(), source }
}

/// A finished image, as the seed needs it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GuestImage {
    pub path: PathBuf,
    pub sha256: String,
    pub size_bytes: u64,
    pub format: String,
    pub arch: String,
}

/// What the stamp beside the image remembers.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Stamp {
    inputs: String,
    image: GuestImage,
}

/// Where things are kept.
#[derive(Debug, Clone)]
pub struct Builder {
    /// Packages and unpacked trees.
    pub cache: PathBuf,
    /// Finished images.
    pub images: PathBuf,
}

/// How the image came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Cached,
    Built,
}

impl Builder {
    fn image_path(&self) -> PathBuf {
        self.images.join("tiny.qcow2")
    }

    fn stamp_path(&self) -> PathBuf {
        self.images.join("tiny.json")
    }

    /// The image as it was made, whatever has changed since. A data center that has registered it once keeps it: the
    /// bytes behind an image's id never change.
    pub fn made(&self) -> Option<GuestImage> {
        self.stamp().map(|stamp| stamp.image)
    }

    /// The image, made now if there is none for the present package versions.
    pub async fn ensure(&self) -> Result<(GuestImage, Origin), ImageError> {
        std::fs::create_dir_all(&self.images).map_err(at(&self.images))?;
        let debs = self.cache.join("debs");
        std::fs::create_dir_all(&debs).map_err(at(&debs))?;
        if let Some(image) = self.usable_without_asking_apt() {
            return Ok((image, Origin::Cached));
        }
        let wanted = packages::resolve(&debs).await?;
        let inputs = inputs_digest(&wanted);
        if let Some(stamp) = self.stamp().filter(|stamp| stamp.inputs == inputs) {
            self.write_stamp(&stamp)?;
            return Ok((stamp.image, Origin::Cached));
        }
        packages::download(&debs, &wanted).await?;
        let image = self.build(&debs, &wanted).await?;
        self.write_stamp(&Stamp { inputs, image: image.clone() })?;
        Ok((image, Origin::Built))
    }

    fn stamp(&self) -> Option<Stamp> {
        let text = std::fs::read(self.stamp_path()).ok()?;
        let stamp: Stamp = serde_json::from_slice(&text).ok()?;
        let there = std::fs::metadata(&stamp.image.path).is_ok_and(|meta| meta.len() == stamp.image.size_bytes);
        (there && stamp.image.path == self.image_path()).then_some(stamp)
    }

    /// Asking apt for versions takes a second or two; its lists tell by their age whether it could answer anew.
    fn usable_without_asking_apt(&self) -> Option<GuestImage> {
        let made = std::fs::metadata(self.stamp_path()).ok()?.modified().ok()?;
        let lists = std::fs::metadata("/var/lib/apt/lists").and_then(|meta| meta.modified());
        let stamp = self.stamp()?;
        let same_program = stamp.inputs.starts_with(&program_digest());
        (same_program && lists.is_ok_and(|changed| changed < made)).then_some(stamp.image)
    }

    fn write_stamp(&self, stamp: &Stamp) -> Result<(), ImageError> {
        let path = self.stamp_path();
        let temporary = path.with_extension("json.new");
        let text = serde_json::to_vec_pretty(stamp).unwrap_or_default();
        std::fs::write(&temporary, text).map_err(at(&temporary))?;
        std::fs::rename(&temporary, &path).map_err(at(&path))
    }

    async fn build(&self, debs: &Path, wanted: &[packages::Package]) -> Result<GuestImage, ImageError> {
        let work = self.cache.join("build");
        if work.exists() {
            std::fs::remove_dir_all(&work).map_err(at(&work))?;
        }
        std::fs::create_dir_all(&work).map_err(at(&work))?;
        let trees = packages::unpack(debs, wanted, &work).await?;
        let parts = root::lay_out(&trees, &work)?;
        let boot = boot_partition(&work, &parts).await?;
        let root = root_partition(&work, &parts.root).await?;
        let raw = work.join("disk.raw");
        let mbr = Path::new("/usr/lib/syslinux/mbr/mbr.bin");
        let boot_code = std::fs::read(mbr).map_err(at(mbr))?;
        disk::assemble(&raw, &boot_code, &boot, &root).map_err(at(&raw))?;
        let temporary = self.images.join("tiny.qcow2.new");
        let convert = ["convert", "-f", "raw", "-O", "qcow2"];
        Call::new("qemu-img").args(convert).arg(&raw).arg(&temporary).limit(Duration::from_secs(120)).run().await?;
        let path = self.image_path();
        let file = std::fs::File::open(&temporary).map_err(at(&temporary))?;
        file.sync_all().map_err(at(&temporary))?;
        std::fs::rename(&temporary, &path).map_err(at(&path))?;
        std::fs::remove_dir_all(&work).map_err(at(&work))?;
        describe(&path)
    }
}

fn describe(path: &Path) -> Result<GuestImage, ImageError> {
    Ok(GuestImage {
        path: path.to_owned(),
        sha256: sha256_of(path).map_err(at(path))?,
        size_bytes: std::fs::metadata(path).map_err(at(path))?.len(),
        format: "qcow2".into(),
        arch: "x86_64".into(),
    })
}

fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut block = vec![0u8; 1 << 20];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(&block[..read]);
    }
}

fn program_digest() -> String {
    let mut hash = Sha256::new();
    hash.update(ROOT_MIB.to_le_bytes());
    for text in BUILDER.iter().chain(&assets::ALL) {
        hash.update(text.as_bytes());
    }
    hex::encode(&hash.finalize()[..8])
}

fn inputs_digest(wanted: &[packages::Package]) -> String {
    let mut hash = Sha256::new();
    for package in wanted {
        hash.update(package.file.as_bytes());
        hash.update(b"\n");
    }
    format!("{}-{}", program_digest(), hex::encode(&hash.finalize()[..8]))
}

/// FAT with syslinux, the kernel and the initramfs.
async fn boot_partition(work: &Path, parts: &root::Parts) -> Result<PathBuf, ImageError> {
    let path = work.join("boot.fat");
    let file = std::fs::File::create(&path).map_err(at(&path))?;
    file.set_len(BOOT_MIB * 1024 * 1024).map_err(at(&path))?;
    // -h: "hidden sectors", the partition's place on the disk, which the boot sector needs to find itself.
    Call::new("mkfs.vfat").args(["-n", "ARAMEBOOT", "-h", "2048"]).arg(&path).run().await?;
    let config = work.join("syslinux.cfg");
    std::fs::write(&config, assets::SYSLINUX).map_err(at(&config))?;
    let sources = [(&parts.kernel, "::vmlinuz"), (&parts.initramfs, "::initrd"), (&config, "::syslinux.cfg")];
    for (source, target) in sources {
        Call::new("mcopy").arg("-i").arg(&path).arg(source).arg(target).env("MTOOLS_SKIP_CHECK", "1").run().await?;
    }
    Call::new("syslinux").arg("--install").arg(&path).run().await?;
    Ok(path)
}

async fn root_partition(work: &Path, root: &Path) -> Result<PathBuf, ImageError> {
    let path = work.join("root.ext4");
    // No reserved blocks, no journal larger than a small disk needs; metadata is written now, not lazily by the guest.
    let options = ["-q", "-F", "-t", "ext4", "-L", "arame-root", "-m", "0", "-J", "size=4"];
    let eager = ["-E", "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0", "-d"];
    let call = Call::new("mke2fs").args(options).args(eager).arg(root).arg(&path).arg(format!("{ROOT_MIB}M"));
    call.limit(Duration::from_secs(60)).run().await?;
    Ok(path)
}
