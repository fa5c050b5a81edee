//! Keeps console logs bounded: QEMU appends, and what is over the limit is cut here.
//!
//! Rule: a log never grows past [`LOG_MAX`] by more than one round's writing, and the newest half stays. QEMU has the
//! file open for append, so it goes on at the new end (no rename: it would write into the old file).

pub mod relay;

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bound of one log: a day of a chatty guest, and little beside its disk.
pub const LOG_MAX: u64 = 1024 * 1024;
const ROUND: Duration = Duration::from_secs(10);

/// Cuts the logs of every instance under `data_dir`, for as long as it is polled.
pub async fn keep_bounded(data_dir: PathBuf) {
    let mut round = tokio::time::interval(ROUND);
    loop {
        round.tick().await;
        let dir = data_dir.join("instances");
        let cut = tokio::task::spawn_blocking(move || {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                let log = entry.path().join("console.log");
                if let Err(error) = cut(&log) {
                    tracing::warn!(%error, log = %log.display(), "console log not cut");
                }
            }
        });
        let _ = cut.await;
    }
}

/// Leaves the newest half of a log that is over the limit.
pub fn cut(log: &Path) -> std::io::Result<()> {
    let Ok(found) = std::fs::metadata(log) else { return Ok(()) };
    if found.len() <= LOG_MAX {
        return Ok(());
    }
    let mut file = std::fs::OpenOptions::new().read(true).append(true).open(log)?;
    file.seek(SeekFrom::End(-((LOG_MAX / 2) as i64)))?;
    let mut newest = Vec::with_capacity(LOG_MAX as usize);
    file.read_to_end(&mut newest)?;
    file.set_len(0)?;
    file.write_all(&newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_keeps_its_newest_half_and_its_writer() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("console.log");
        let mut writer = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        writer.write_all(&vec![b'a'; LOG_MAX as usize]).unwrap();
        writer.write_all(b"the end").unwrap();
        cut(&log).unwrap();
        writer.write_all(b" goes on").unwrap();
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(text.ends_with("the end goes on"));
        assert!(text.len() as u64 <= LOG_MAX / 2 + 8);
    }
}
