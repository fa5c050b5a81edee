//! What a service manager hears of a program: its datagrams, one by one.

#![allow(dead_code)]

use super::LIMIT;
use arame_service::{Loops, Notifier};
use std::time::Duration;
use tokio::net::UnixDatagram;

/// What the manager waits for a sign of life; a loop turns four times in it.
const WITHIN: Duration = Duration::from_millis(200);

/// The service manager's end.
pub struct Manager {
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
}

impl Manager {
    pub fn new() -> (Self, Loops) {
        Self::that_waits(Some(WITHIN))
    }

    /// It wants no sign of life: those would fill the socket while a test waits for something else, and what is said then is lost.
    pub fn without_watchdog() -> (Self, Loops) {
        Self::that_waits(None)
    }

    fn that_waits(within: Option<Duration>) -> (Self, Loops) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let loops = Loops::new(Notifier::to(path.as_os_str()).unwrap(), within);
        (Self { socket, _folder: folder }, loops)
    }

    pub async fn heard(&self) -> String {
        let mut buffer = [0; 1024];
        let length = tokio::time::timeout(LIMIT, self.socket.recv(&mut buffer)).await.expect("a word comes").unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    pub async fn until(&self, what: &str) -> String {
        loop {
            let heard = self.heard().await;
            if heard.contains(what) {
                return heard;
            }
        }
    }

    /// What is in the socket by now.
    pub fn left(&self) -> usize {
        let mut buffer = [0; 1024];
        std::iter::from_fn(|| self.socket.try_recv(&mut buffer).ok()).count()
    }
}
