//! Whether guests can use KVM here: proved by booting one, remembered for this kernel.
//!
//! ```text
//! remembered ─► verdict
//! boot sector (no image needed) ─ silent ─► emulation
//!             └ speaks ─► the guest image ─ silent ─► emulation
//!                                         └ its first line ─► KVM
//! ```
//!
//! An open `/dev/kvm` proves nothing: where this machine is itself a paravirtual guest QEMU aborts or the guest hangs
//! in its boot loader. The boot sector finds that out while the image is still being made; only the guest's own first
//! line proves that KVM works.

use super::files;
use super::image::{GuestImage, MARKER};
use super::layout::Layout;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// With working KVM the line comes in about a second.
const PROBE_LIMIT: Duration = Duration::from_secs(6);

/// What the boot sector says.
const SECTOR_WORD: &[u8] = b"arame-probe\r\n";

/// Where the BIOS loads the sector.
const SECTOR_ADDRESS: u16 = 0x7c00;

/// SeaBIOS boots no disk of a single sector.
const PROBE_DISK_BYTES: usize = 1 << 20;

/// Base of the first serial port on a PC.
const COM1: u16 = 0x3f8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acceleration {
    Kvm,
    /// QEMU's own emulation: guests run ten to thirty times slower.
    Qemu,
}

impl Acceleration {
    /// libvirt's `<domain type=…>`.
    pub fn domain_type(self) -> &'static str {
        match self {
            Acceleration::Kvm => "kvm",
            Acceleration::Qemu => "qemu",
        }
    }
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Verdict {
    kernel: String,
    acceleration: Acceleration,
}

fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// What is known of KVM before there is an image to boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstLook {
    Decided(Acceleration),
    /// A boot sector spoke: a real guest has to prove the rest.
    Promising,
}

/// The remembered verdict, or what a boot sector says.
///
/// # Errors
/// The verdict or the sector cannot be written.
pub async fn first_look(layout: &Layout) -> io::Result<FirstLook> {
    let known: Option<Verdict> =
        std::fs::read(verdict_path(layout)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    if let Some(verdict) = known.filter(|verdict| verdict.kernel == kernel_release()) {
        return Ok(FirstLook::Decided(verdict.acceleration));
    }
    let sector = layout.path("run").join("kvm-probe.img");
    files::replace(&sector, &probe_disk(), 0o600)?;
    let spoke = probe(&sector, "raw", &String::from_utf8_lossy(SECTOR_WORD)).await;
    std::fs::remove_file(&sector)?;
    if spoke {
        return Ok(FirstLook::Promising);
    }
    remember(layout, Acceleration::Qemu).map(FirstLook::Decided)
}

/// Boots the guest image where the first look left it open.
///
/// # Errors
/// The verdict cannot be written.
pub async fn decide(layout: &Layout, look: FirstLook, image: &GuestImage) -> io::Result<Acceleration> {
    if let FirstLook::Decided(acceleration) = look {
        return Ok(acceleration);
    }
    let proved = probe(&image.path, &image.format, MARKER).await;
    remember(layout, if proved { Acceleration::Kvm } else { Acceleration::Qemu })
}

fn verdict_path(layout: &Layout) -> PathBuf {
    layout.path("kvm.json")
}

fn remember(layout: &Layout, acceleration: Acceleration) -> io::Result<Acceleration> {
    let verdict = Verdict { kernel: kernel_release(), acceleration };
    files::replace(&verdict_path(layout), &serde_json::to_vec_pretty(&verdict)?, 0o644)?;
    Ok(acceleration)
}

/// A disk whose boot sector is 16-bit code that writes [`SECTOR_WORD`] to the first serial port and halts.
fn probe_disk() -> Vec<u8> {
    let mut sector = vec![0u8; PROBE_DISK_BYTES];
    let code_length: u16 = 22;
    let [word_low, word_high] = (SECTOR_ADDRESS + code_length).to_le_bytes();
    let [port_low, port_high] = COM1.to_le_bytes();
    #[rustfmt::skip]
    let code = [
        0xfc,                       // cld
        0x31, 0xc0,                 // xor ax, ax
        0x8e, 0xd8,                 // mov ds, ax
        0xbe, word_low, word_high,  // mov si, word
        0xba, port_low, port_high,  // mov dx, port
        0xac,                       // next: lodsb
        0x84, 0xc0,                 // test al, al
        0x74, 0x03,                 // jz end
        0xee,                       // out dx, al
        0xeb, 0xf8,                 // jmp next
        0xf4,                       // end: hlt
        0xeb, 0xfd,                 // jmp end
    ];
    sector[..code.len()].copy_from_slice(&code);
    sector[code.len()..code.len() + SECTOR_WORD.len()].copy_from_slice(SECTOR_WORD);
    sector[510] = 0x55;
    sector[511] = 0xaa;
    sector
}

/// Boots a disk with KVM, without network, writing nothing; true when its first line came in time.
async fn probe(disk: &Path, format: &str, line: &str) -> bool {
    PathBuf::from("/dev/kvm").exists() && boots("kvm", disk, format, line).await
}

async fn boots(accelerator: &str, disk: &Path, format: &str, line: &str) -> bool {
    let drive = format!("file={},format={format},if=virtio,snapshot=on", disk.display());
    let processor = if accelerator == "kvm" { "host" } else { "qemu64" };
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-machine", "q35", "-accel", accelerator, "-cpu", processor, "-smp", "1", "-m", "192"])
        .args(["-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio", "-drive", &drive])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let Ok(mut child) = command.spawn() else { return false };
    let Some(output) = child.stdout.take() else { return false };
    let mut lines = BufReader::new(output).split(b'\n');
    let watch = async {
        while let Ok(Some(said)) = lines.next_segment().await {
            if String::from_utf8_lossy(&said).contains(line.trim_end()) {
                return true;
            }
        }
        false
    };
    let proved = tokio::time::timeout(PROBE_LIMIT, watch).await.unwrap_or(false);
    let _ = child.kill().await;
    proved
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Under emulation, which every machine with QEMU has: what is silent under KVM is KVM's fault, not the sector's.
    #[tokio::test]
    async fn the_boot_sector_speaks_and_an_empty_one_does_not() {
        if crate::up::command::find("qemu-system-x86_64").is_none() {
            println!("skipped: needs qemu");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("probe.img");
        std::fs::write(&path, probe_disk()).unwrap();
        assert!(boots("tcg", &path, "raw", "arame-probe").await);
        std::fs::write(&path, [0u8; PROBE_DISK_BYTES]).unwrap();
        assert!(!boots("tcg", &path, "raw", "arame-probe").await);
    }
}
