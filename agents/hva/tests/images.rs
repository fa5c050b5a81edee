//! The image cache and the overlays, against a real HTTP server and real files: what goes wrong leaves nothing.
#![allow(clippy::unwrap_used)] // a test that cannot go on ends there

#[path = "support/fixtures.rs"]
mod fixtures;

use arame_framework::agent::{Stopped, Work};
use arame_hva::driver::Store;
use arame_hva::driver::files::Files;
use arame_schema::jobs::hva::{BootDisk, DiskFormat};
use arame_schema::jobs::report::Retry;
use axum::body::{Body, Bytes};
use fixtures::*;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Whether the tools are here.
fn able(root: bool) -> bool {
    let tool =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|d| d.join("qemu-img").exists());
    for (need, here) in [("qemu-img", tool), ("root", !root || nix::unistd::geteuid().is_root())] {
        if !here {
            arame_framework::testkit::skip(need);
            return false;
        }
    }
    true
}

/// An image server: counts requests, and sends each piece only when it is let.
struct Server {
    requests: Arc<AtomicUsize>,
    pieces: Arc<Semaphore>,
    boot: BootDisk,
}

const PIECE: usize = 64 * 1024;

async fn serve(bytes: Vec<u8>, format: DiskFormat, free: bool) -> Server {
    let requests = Arc::new(AtomicUsize::new(0));
    let pieces = Arc::new(Semaphore::new(if free { Semaphore::MAX_PERMITS } else { 0 }));
    let (count, gate) = (requests.clone(), pieces.clone());
    let boot = BootDisk {
        image: "wmi-test".parse().unwrap(),
        url: None,
        sha256: hex::encode(Sha256::digest(&bytes)),
        size_bytes: bytes.len() as u64,
        format,
        disk_size_bytes: 8 << 20,
        used: false,
    };
    let whole = Bytes::from(bytes);
    let router = axum::Router::new().fallback(move || {
        count.fetch_add(1, Ordering::SeqCst);
        let (gate, whole) = (gate.clone(), whole.clone());
        async move {
            let parts: Vec<Bytes> = whole.chunks(PIECE).map(Bytes::copy_from_slice).collect();
            Body::from_stream(futures_util::stream::iter(parts).then(move |part| {
                let gate = gate.clone();
                async move {
                    gate.acquire().await.unwrap().forget();
                    Ok::<_, std::io::Error>(part)
                }
            }))
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/image", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Server { requests, pieces, boot: BootDisk { url: Some(url), ..boot } }
}

fn a_qcow2(backing: Option<&Path>) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("image");
    let mut command = std::process::Command::new("qemu-img");
    command.args(["create", "-q", "-f", "qcow2"]);
    if let Some(backing) = backing {
        command.args(["-F", "raw", "-b"]).arg(backing);
    }
    assert!(command.arg(&at).arg("4M").status().unwrap().success());
    std::fs::read(&at).unwrap()
}

fn job(token: CancellationToken) -> Work {
    work_with(&standing(), "i-a", 1, Duration::from_secs(60), token)
}

/// What is under `images`, in order.
fn cached(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join("images")).unwrap().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn disk(files: &Files, name: &str, boot: &BootDisk, work: &Work) -> Result<(), Stopped> {
    let mut record_of = spec(name, 100, 5);
    record_of.boot = boot.clone();
    let record = arame_hva::records::Record::of(INSTALLATION, 1, &record_of, None);
    files.write(&record).await?;
    files.ensure_disk(&record.instance, boot, work).await
}

#[track_caller]
fn failed(result: Result<(), Stopped>) -> (String, Retry) {
    match result {
        Err(Stopped::Failed { code, retry, .. }) => (code, retry),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_image_is_fetched_once_for_many_instances_at_once() {
    if !able(false) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let files = Files::open(dir.path(), None).unwrap();
    let server = serve(a_qcow2(None), DiskFormat::Qcow2, true).await;
    let work = job(CancellationToken::new());
    let names: Vec<String> = (0..5).map(|n| format!("i{n}")).collect();
    let all = names.iter().map(|name| disk(&files, name, &server.boot, &work));
    for result in futures_util::future::join_all(all).await {
        result.unwrap();
    }
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);
    assert!(files.has_disk(&"i-i3".parse().unwrap()).await.unwrap());
}

#[tokio::test]
async fn a_cached_image_that_changed_on_disk_is_fetched_again() {
    if !able(false) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let files = Files::open(dir.path(), None).unwrap();
    let server = serve(a_qcow2(None), DiskFormat::Qcow2, true).await;
    let work = job(CancellationToken::new());
    disk(&files, "a", &server.boot, &work).await.unwrap();
    let image = dir.path().join("images").join(&server.boot.sha256);
    let mut bytes = std::fs::read(&image).unwrap();
    bytes[4096] ^= 1;
    std::fs::remove_file(&image).unwrap();
    std::fs::write(&image, bytes).unwrap();
    disk(&files, "b", &server.boot, &work).await.unwrap();
    assert_eq!(server.requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_wrong_checksum_is_refused_and_nothing_is_kept() {
    if !able(false) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let files = Files::open(dir.path(), None).unwrap();
    let server = serve(a_qcow2(None), DiskFormat::Qcow2, true).await;
    let wrong = BootDisk { sha256: "a".repeat(64), ..server.boot.clone() };
    let refused = failed(disk(&files, "a", &wrong, &job(CancellationToken::new())).await);
    assert_eq!(refused, ("image_checksum_mismatch".to_owned(), Retry::Never));
    assert!(cached(dir.path()).is_empty());
    assert!(!files.has_disk(&"i-a".parse().unwrap()).await.unwrap());
}

#[tokio::test]
async fn a_broken_image_or_one_that_reads_the_hosts_files_is_refused() {
    if !able(false) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let files = Files::open(dir.path(), None).unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, vec![0; 1 << 20]).unwrap();
    let cases = [(b"no image at all".repeat(1000), "image_broken"), (a_qcow2(Some(&secret)), "image_refused")];
    for (bytes, code) in cases {
        let server = serve(bytes, DiskFormat::Qcow2, true).await;
        let refused = failed(disk(&files, "a", &server.boot, &job(CancellationToken::new())).await);
        assert_eq!(refused, (code.to_owned(), Retry::Never));
        assert!(cached(dir.path()).is_empty());
    }
}

#[tokio::test]
async fn an_overtaken_download_stops_and_leaves_no_part() {
    if !able(false) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let files = Arc::new(Files::open(dir.path(), None).unwrap());
    let server = serve(a_qcow2(None), DiskFormat::Qcow2, false).await;
    let token = CancellationToken::new();
    let (running, work, boot) = (files.clone(), job(token.clone()), server.boot.clone());
    let download = tokio::spawn(async move { disk(&running, "a", &boot, &work).await });
    server.pieces.add_permits(1);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while cached(dir.path()).is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "the download never began");
        tokio::task::yield_now().await;
    }
    token.cancel();
    assert_eq!(download.await.unwrap(), Err(Stopped::Overtaken { facts: vec![] }));
    assert!(cached(dir.path()).is_empty());
    // The next job fetches it.
    server.pieces.add_permits(1000);
    disk(&files, "a", &server.boot, &job(CancellationToken::new())).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_no_part() {
    if !able(true) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mount = |argv: &[&str]| std::process::Command::new(argv[0]).args(&argv[1..]).status().unwrap().success();
    let at = dir.path().to_str().unwrap().to_owned();
    assert!(mount(&["mount", "-t", "tmpfs", "-o", "size=40m", "hva-full", &at]));
    let result = async {
        let files = Files::open(dir.path(), None).unwrap();
        let server = serve(vec![7; 30 << 20], DiskFormat::Raw, true).await;
        let full = failed(disk(&files, "a", &server.boot, &job(CancellationToken::new())).await);
        // A size that lies passes the first look and meets the end of the disk.
        let server = serve(vec![7; 60 << 20], DiskFormat::Raw, true).await;
        let liar = BootDisk { size_bytes: 1 << 20, ..server.boot.clone() };
        let lied = failed(disk(&files, "a", &liar, &job(CancellationToken::new())).await);
        (full, lied, cached(dir.path()))
    }
    .await;
    assert!(mount(&["umount", &at]));
    assert_eq!(result.0, ("disk_full".to_owned(), Retry::Elsewhere));
    assert_eq!(result.1.0, "image_checksum_mismatch");
    assert!(result.2.is_empty(), "{:?}", result.2);
}

#[tokio::test]
async fn a_full_disk_is_met_while_writing_too() {
    if !able(true) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_str().unwrap().to_owned();
    let mount = |argv: &[&str]| std::process::Command::new(argv[0]).args(&argv[1..]).status().unwrap().success();
    assert!(mount(&["mount", "-t", "tmpfs", "-o", "size=40m", "hva-full", &at]));
    let result = async {
        let files = Arc::new(Files::open(dir.path(), None).unwrap());
        let server = serve(vec![7; 20 << 20], DiskFormat::Raw, false).await;
        let (running, boot) = (files.clone(), server.boot.clone());
        let download = tokio::spawn(async move { disk(&running, "a", &boot, &job(CancellationToken::new())).await });
        server.pieces.add_permits(1);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while cached(dir.path()).is_empty() {
            assert!(tokio::time::Instant::now() < deadline, "the download never began");
            tokio::task::yield_now().await;
        }
        // Somebody else takes the room meanwhile.
        std::fs::write(dir.path().join("other"), vec![0; 30 << 20]).unwrap();
        server.pieces.add_permits(10_000);
        let full = failed(download.await.unwrap());
        (full, cached(dir.path()))
    }
    .await;
    assert!(mount(&["umount", &at]));
    assert_eq!(result.0, ("disk_full".to_owned(), Retry::Elsewhere));
    assert!(result.1.is_empty(), "{:?}", result.1);
}
