//! The Debian packages of the guest: which, in which version, fetched and unpacked.
//!
//! Versions are whatever the machine's own apt would install; apt checks the archive's signatures. Nothing here
//! changes the machine's package state.

use super::{ImageError, at};
use crate::up::command::Call;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A download of 30 MB on a slow line.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(600);
const UNPACK_LIMIT: Duration = Duration::from_secs(120);

/// Metapackages that pull the newest kernel: Debian's for clouds, then Ubuntu's for virtual machines.
const KERNELS: [&str; 2] = ["linux-image-cloud-amd64", "linux-image-virtual"];

/// Everything but the kernel; libraries are those the named programs link to.
const USERLAND: [&str; 14] = [
    "busybox-static",
    "dropbear-bin",
    "libtomcrypt1",
    "libtommath1",
    "libgmp10",
    "zlib1g",
    "libcrypt1",
    "libc6",
    "e2fsprogs",
    "libext2fs2",
    "libcom-err2",
    "libblkid1",
    "libuuid1",
    "libss2",
];

/// Libraries that the 64-bit time transition renamed (Ubuntu 24.04, Debian 13): asked for where the old name is gone.
const RENAMED: [(&str, &str); 1] = [("libext2fs2", "libext2fs2t64")];

/// One package file as apt names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    /// `name_version_arch.deb`: the version is part of the name.
    pub file: String,
    pub size_bytes: u64,
}

impl Package {
    fn is_kernel(&self) -> bool {
        self.name.starts_with("linux-")
    }
}

/// Unpacked packages.
#[derive(Debug)]
pub struct Trees {
    pub kernel: PathBuf,
    pub userland: PathBuf,
}

/// Asks apt which files the guest is made of; needs no network.
pub async fn resolve(debs: &Path) -> Result<Vec<Package>, ImageError> {
    let mut names = kernel_packages(debs).await?;
    for name in USERLAND {
        names.push(present_name(debs, name).await.to_owned());
    }
    // Elsewhere than among the packages: apt leaves out those it finds in the present directory.
    let elsewhere = debs.parent().unwrap_or(debs);
    let call = apt("apt-get", debs).args(["download", "--print-uris", "-qq"]).args(&names).directory(elsewhere);
    let text = call.run().await.map_err(|source| ImageError::Mirror { source })?;
    let packages: Vec<Package> = text.lines().filter_map(parse_uri_line).collect();
    match names.iter().find(|name| !packages.iter().any(|package| package.name == **name)) {
        None => Ok(packages),
        Some(missing) => Err(ImageError::NoKernel { tried: missing.clone() }),
    }
}

/// A program of apt with an index of the package lists beside our packages: where the machine keeps none (container
/// images switch it off) each call would read all lists anew, 1.7 s each.
fn apt(program: &str, debs: &Path) -> Call {
    let folder = debs.parent().unwrap_or(debs);
    let index = |name: &str| format!("Dir::Cache::{name}={}", folder.join(format!("{name}.bin")).display());
    Call::new(program).args(["-o", &index("pkgcache"), "-o", &index("srcpkgcache")])
}

/// The name under which apt can install a package here.
async fn present_name(debs: &Path, name: &'static str) -> &'static str {
    let Some((old, new)) = RENAMED.into_iter().find(|(old, _)| *old == name) else { return name };
    let policy = apt("apt-cache", debs).args(["policy", old]).run().await.unwrap_or_default();
    if has_candidate(&policy) { old } else { new }
}

/// `  Candidate: 1.47.0-2+b2`; `(none)` or nothing at all when it cannot be installed.
fn has_candidate(policy: &str) -> bool {
    let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"));
    candidate.is_some_and(|version| version.trim() != "(none)")
}

/// The real packages behind the first metapackage apt knows.
async fn kernel_packages(debs: &Path) -> Result<Vec<String>, ImageError> {
    for meta in KERNELS {
        let Ok(text) = apt("apt-cache", debs).args(["depends", "--important", meta]).run().await else { continue };
        let real: Vec<String> = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .filter(|name| name.starts_with("linux-image-") || name.starts_with("linux-modules-"))
            .map(str::to_owned)
            .collect();
        if !real.is_empty() {
            return Ok(real);
        }
    }
    Err(ImageError::NoKernel { tried: KERNELS.join(", ") })
}

/// `'http://…/x_1%3a2_amd64.deb' x_1%3a2_amd64.deb 928188 SHA256:…`
fn parse_uri_line(line: &str) -> Option<Package> {
    let mut words = line.split_whitespace();
    let _uri = words.next().filter(|word| word.starts_with('\''))?;
    let file = words.next()?.to_owned();
    let size_bytes = words.next()?.parse().ok()?;
    let name = file.split('_').next()?.to_owned();
    Some(Package { name, file, size_bytes })
}

/// Fetches what is not in the cache yet.
pub async fn download(debs: &Path, wanted: &[Package]) -> Result<(), ImageError> {
    let there = |package: &Package| {
        std::fs::metadata(debs.join(&package.file)).is_ok_and(|meta| meta.len() == package.size_bytes)
    };
    let missing: Vec<&str> = wanted.iter().filter(|package| !there(package)).map(|p| p.name.as_str()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    // apt's own download user cannot write into a private folder; then apt warns and fetches as root, as wanted.
    let options = ["download", "-qq", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=2"];
    let call = apt("apt-get", debs).args(options).args(&missing).directory(debs).limit(DOWNLOAD_LIMIT);
    call.run().await.map_err(|source| ImageError::Mirror { source })?;
    Ok(())
}

pub async fn unpack(debs: &Path, wanted: &[Package], work: &Path) -> Result<Trees, ImageError> {
    let trees = Trees { kernel: work.join("kernel"), userland: work.join("userland") };
    for tree in [&trees.kernel, &trees.userland] {
        std::fs::create_dir_all(tree).map_err(at(tree))?;
    }
    let kernel = async {
        for package in wanted.iter().filter(|package| package.is_kernel()) {
            extract(&debs.join(&package.file), &trees.kernel).await?;
        }
        Ok::<(), ImageError>(())
    };
    let userland = async {
        for package in wanted.iter().filter(|package| !package.is_kernel()) {
            extract(&debs.join(&package.file), &trees.userland).await?;
        }
        Ok::<(), ImageError>(())
    };
    tokio::try_join!(kernel, userland)?;
    Ok(trees)
}

async fn extract(deb: &Path, into: &Path) -> Result<(), ImageError> {
    Call::new("dpkg-deb").arg("-x").arg(deb).arg(into).limit(UNPACK_LIMIT).run().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_without_a_candidate_cannot_be_installed() {
        assert!(has_candidate("libext2fs2:\n  Installed: (none)\n  Candidate: 1.47.0-2+b2\n"));
        assert!(!has_candidate("libext2fs2:\n  Installed: (none)\n  Candidate: (none)\n"));
        assert!(!has_candidate(""));
    }

    #[test]
    fn a_line_of_apt_names_file_and_size() {
        let line = "'http://deb.debian.org/x/busybox-static_1.35.0-4+b1_amd64.deb' busybox-static_1%3a1.35.0-4+b1_amd64.deb 928188 MD5Sum:00";
        let package = parse_uri_line(line).unwrap();
        assert_eq!(package.name, "busybox-static");
        assert_eq!(package.file, "busybox-static_1%3a1.35.0-4+b1_amd64.deb");
        assert_eq!(package.size_bytes, 928_188);
        assert_eq!(parse_uri_line("W: something else"), None);
    }
}
