//! Whether guests can use KVM here: proved by booting one, remembered for this kernel.
//!
//! An open `/dev/kvm` proves nothing: where this machine is itself a paravirtual guest QEMU aborts or the guest hangs
//! in its boot loader. Only the guest's own first line counts.

use super::files;
use super::image::{GuestImage, MARKER};
use super::layout::Layout;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// With working KVM the line comes in about a second.
const PROBE_LIMIT: Duration = Duration::from_secs(6);

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

/// The remembered verdict, or a new probe.
pub async fn decide(layout: &Layout, image: &GuestImage) -> io::Result<Acceleration> {
    let path = layout.path("kvm.json");
    let kernel = kernel_release();
    let known: Option<Verdict> = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    if let Some(verdict) = known.filter(|verdict| verdict.kernel == kernel) {
        return Ok(verdict.acceleration);
    }
    let acceleration = if probe(image).await { Acceleration::Kvm } else { Acceleration::Qemu };
    let verdict = Verdict { kernel, acceleration };
    files::replace(&path, &serde_json::to_vec_pretty(&verdict)?, 0o644)?;
    Ok(acceleration)
}

/// Boots the guest image with KVM, without network, writing nothing; true when its first line came in time.
async fn probe(image: &GuestImage) -> bool {
    if !PathBuf::from("/dev/kvm").exists() {
        return false;
    }
    let drive = format!("file={},format={},if=virtio,snapshot=on", image.path.display(), image.format);
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args([
            "-machine",
            "q35",
            "-accel",
            "kvm",
            "-cpu",
            "host",
            "-smp",
            "1",
            "-m",
            "192",
            "-nodefaults",
            "-no-reboot",
        ])
        .args(["-display", "none", "-serial", "stdio", "-drive", &drive])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let Ok(mut child) = command.spawn() else { return false };
    let Some(output) = child.stdout.take() else { return false };
    let mut lines = BufReader::new(output).split(b'\n');
    let watch = async {
        while let Ok(Some(line)) = lines.next_segment().await {
            if String::from_utf8_lossy(&line).contains(MARKER) {
                return true;
            }
        }
        false
    };
    let proved = tokio::time::timeout(PROBE_LIMIT, watch).await.unwrap_or(false);
    let _ = child.kill().await;
    proved
}
