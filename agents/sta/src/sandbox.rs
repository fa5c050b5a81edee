//! `qemu-img` on a file that a stranger made: another user, no privilege to gain, no network, and an end to everything.
//!
//! ```text
//! unshare --net ─► prlimit (cpu, memory, file size, files, threads) ─► setpriv (uid, no new privileges, no capability)
//!                                                                          └─► qemu-img … -f <format> /proc/self/fd/0
//! ```
//!
//! Rule: it is given open files and no paths: what it may read is its standard input, what it may write its standard
//! output. The format is always named. Without the walls it does not run at all. Never a shell.

use crate::command::{self, CommandError, Streams};
use arame_schema::jobs::hva::DiskFormat;
use nix::unistd::{Gid, Uid, fchown, geteuid};
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// `qemu-img info` reads a header; a loaded machine still does that in this time.
const INFO_LIMIT: Duration = Duration::from_secs(30);
/// Seconds on a processor, of which `info` needs hundredths.
const INFO_CPU_SECONDS: u64 = 10;
/// A conversion may be of terabytes: its job's budget ends it before.
const CONVERT_CPU_SECONDS: u64 = 15 * 60;
/// Of address space: QEMU's libraries take a third of it, a qcow2's caches 32 MiB.
const MEMORY_BYTES: u64 = 2 << 30;
const FILES_MAX: u32 = 64;
/// Threads of the checker's user, whoever started them: a conversion has up to 16, and four go on at once.
const THREADS_MAX: u32 = 256;

/// Runs `qemu-img` behind walls.
#[derive(Debug, Clone, Copy)]
pub struct Checker {
    uid: u32,
}

impl Checker {
    pub fn new(uid: u32) -> Self {
        Self { uid }
    }

    /// What `qemu-img info` says of the file, as JSON.
    ///
    /// # Errors
    /// It does not run, or refuses the file.
    pub async fn info(&self, path: &Path, format: DiskFormat) -> Result<String, CommandError> {
        let file = self.readable(path)?;
        let words = ["info", "--output=json", "-f", word(format), "/proc/self/fd/0"];
        let streams = Streams { input: file.into(), output: Stdio::piped() };
        self.run(INFO_CPU_SECONDS, 0, &words, streams, INFO_LIMIT).await
    }

    /// Writes the disk inside `image` to `target`, which has room for it and reads as zeros. `onto`: `raw` for a file,
    /// `host_device` for a block device.
    ///
    /// # Errors
    /// It does not run, or does not get to the end.
    pub async fn convert(
        &self,
        (image, format): (&Path, DiskFormat),
        (target, onto): (&Path, &str),
        limit: Duration,
    ) -> Result<(), CommandError> {
        let source = self.readable(image)?;
        let lent = Lent::to(self.uid, target)?;
        let words =
            ["convert", "-n", "--target-is-zero", "-f", word(format), "-O", onto, "/proc/self/fd/0", "/proc/self/fd/1"];
        let streams = Streams { input: source.into(), output: lent.handle()?.into() };
        let bytes = lent.file.metadata().map_err(begin)?.len();
        self.run(CONVERT_CPU_SECONDS, bytes, &words, streams, limit).await.map(drop)
    }

    async fn run(
        &self,
        cpu: u64,
        writes: u64,
        words: &[&str],
        streams: Streams,
        limit: Duration,
    ) -> Result<String, CommandError> {
        let mut line: Vec<String> = match geteuid().is_root() {
            true => vec!["--net".into()],
            // An ordinary user makes a network of its own only inside a user namespace of its own.
            false => vec!["--user".into(), "--map-current-user".into(), "--net".into()],
        };
        let limits = format!(
            "prlimit --cpu={cpu} --as={MEMORY_BYTES} --fsize={writes} --nofile={FILES_MAX} --nproc={THREADS_MAX} --core=0"
        );
        line.extend(limits.split(' ').map(str::to_owned));
        line.extend(["setpriv".into(), "--no-new-privs".into()]);
        if geteuid().is_root() {
            let (uid, gid) = (format!("--reuid={}", self.uid), format!("--regid={}", self.uid));
            line.extend([uid, gid, "--clear-groups".into()]);
            line.extend(["--inh-caps=-all".into(), "--bounding-set=-all".into()]);
        }
        line.push("qemu-img".into());
        line.extend(words.iter().map(|word| (*word).to_owned()));
        command::run_with("unshare", &line, limit, streams).await
    }

    /// Opens a file and lets the checker's group read it: it opens its standard input once more, and is asked for
    /// permission then. No folder on the way to the file is opened to it.
    fn readable(&self, path: &Path) -> Result<File, CommandError> {
        let file = File::open(path).map_err(begin)?;
        if geteuid().is_root() {
            fchown(&file, None, Some(Gid::from_raw(self.uid))).map_err(|errno| begin(errno.into()))?;
            file.set_permissions(Permissions::from_mode(0o640)).map_err(begin)?;
        }
        Ok(file)
    }
}

/// A file that the checker may write to, until this is dropped.
struct Lent {
    file: File,
}

impl Lent {
    fn to(uid: u32, path: &Path) -> Result<Self, CommandError> {
        let file = File::options().read(true).write(true).open(path).map_err(begin)?;
        if geteuid().is_root() {
            fchown(&file, Some(Uid::from_raw(uid)), None).map_err(|errno| begin(errno.into()))?;
        }
        Ok(Self { file })
    }

    fn handle(&self) -> Result<File, CommandError> {
        self.file.try_clone().map_err(begin)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if geteuid().is_root() {
            let _ = fchown(&self.file, Some(Uid::from_raw(0)), None);
        }
    }
}

fn word(format: DiskFormat) -> &'static str {
    match format {
        DiskFormat::Raw => "raw",
        DiskFormat::Qcow2 => "qcow2",
    }
}

fn begin(source: std::io::Error) -> CommandError {
    CommandError::Start { program: "qemu-img".into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CHECKER_UID;
    use std::path::PathBuf;

    fn image(folder: &Path) -> PathBuf {
        let path = folder.join("disk.qcow2");
        let mut create = std::process::Command::new("qemu-img");
        assert!(create.args(["create", "-q", "-f", "qcow2"]).arg(&path).arg("8M").status().unwrap().success());
        path
    }

    /// The same walls around another program.
    async fn inside(words: &[&str]) -> Result<String, CommandError> {
        let null = || File::open("/dev/null").unwrap();
        let checker = Checker::new(CHECKER_UID);
        let streams = Streams { input: null().into(), output: Stdio::piped() };
        // `qemu-img` is the last word before these: the shell's own option to name what it runs is not at hand.
        let mut line: Vec<String> = vec!["--net".into(), "prlimit".into(), "--fsize=0".into(), "setpriv".into()];
        line.extend(["--no-new-privs".into(), format!("--reuid={}", checker.uid), format!("--regid={}", checker.uid)]);
        line.extend(["--clear-groups".into(), "--inh-caps=-all".into(), "--bounding-set=-all".into()]);
        line.extend(words.iter().map(|word| (*word).to_owned()));
        command::run_with("unshare", &line, INFO_LIMIT, streams).await
    }

    #[tokio::test]
    async fn an_image_is_looked_at_and_converted_without_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = image(folder.path());
        let checker = Checker::new(CHECKER_UID);
        let told = checker.info(&path, DiskFormat::Qcow2).await.unwrap();
        assert!(told.contains("8388608"), "{told}");
        let target = folder.path().join("raw");
        File::create(&target).unwrap().set_len(8 << 20).unwrap();
        checker.convert((&path, DiskFormat::Qcow2), (&target, "raw"), INFO_LIMIT).await.unwrap();
        assert!(checker.info(&path, DiskFormat::Raw).await.is_ok(), "raw is whatever it is told to be");
        std::fs::write(&path, [0; 4096]).unwrap();
        assert!(matches!(checker.info(&path, DiskFormat::Qcow2).await, Err(CommandError::Failed { .. })));
    }

    #[tokio::test]
    async fn behind_the_walls_there_is_no_root_no_network_and_no_way_back() {
        if !geteuid().is_root() {
            return arame_framework::testkit::skip("root");
        }
        assert_eq!(inside(&["id", "-u"]).await.unwrap().trim(), CHECKER_UID.to_string());
        let links = inside(&["cat", "/proc/net/dev"]).await.unwrap();
        assert_eq!(links.lines().count(), 3, "two lines of head, and the loopback that is down: {links}");
        let outside = std::fs::read_to_string("/proc/net/route").unwrap();
        let routes = inside(&["cat", "/proc/net/route"]).await.unwrap();
        assert!(routes.lines().count() <= 1 && outside.lines().count() >= routes.lines().count(), "{routes}");
        let status = inside(&["cat", "/proc/self/status"]).await.unwrap();
        let field = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(field("NoNewPrivs").ends_with('1') && field("CapBnd").ends_with("0000000000000000"), "{status}");
        assert!(field("CapEff").ends_with("0000000000000000"));
        let secret = tempfile::NamedTempFile::new().unwrap();
        assert!(std::fs::read(secret.path()).is_ok(), "control: we read it");
        assert!(inside(&["cat", &secret.path().display().to_string()]).await.is_err(), "a file of ours was read");
    }
}
