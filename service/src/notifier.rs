//! The protocol of sd_notify(3): datagrams of `KEY=value` lines to the socket that the environment names.
//!
//! Rule: nothing waits for the service manager and nothing fails for it: a datagram that cannot be sent is lost.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;

/// Whom to tell; nobody, where there is no service manager.
#[derive(Debug, Clone, Default)]
pub struct Notifier(Option<Arc<End>>);

#[derive(Debug)]
struct End {
    socket: UnixDatagram,
    manager: SocketAddr,
}

impl Notifier {
    /// As `NOTIFY_SOCKET` says: a path, or `@name` in the abstract namespace.
    pub fn of_the_environment() -> Self {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        Self::to(&name).unwrap_or_else(|error| {
            eprintln!("NOTIFY_SOCKET={} cannot be used: {error}", name.display());
            Self::default()
        })
    }

    /// # Errors
    /// The name is no socket's, or no socket can be had.
    pub fn to(name: &OsStr) -> io::Result<Self> {
        let manager = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(OsString::from(name))?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self(Some(Arc::new(End { socket, manager }))))
    }

    /// It serves from now on. `status` is what `systemctl status` shows.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// What it is at, in words.
    pub fn status(&self, status: &str) {
        self.send(&format!("STATUS={}", one_line(status)));
    }

    /// It was asked to end and does.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping");
    }

    pub(crate) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, text: &str) {
        let Some(end) = &self.0 else { return };
        let _ = end.socket.send_to_addr(text.as_bytes(), &end.manager);
    }
}

/// A line's end would begin another assignment.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    fn tell_everything(notifier: &Notifier, manager: &UnixDatagram) {
        notifier.ready("serving");
        notifier.status("two\nlines=1\nREADY=0");
        notifier.alive();
        notifier.stopping();
        let told: Vec<String> = (0..4).map(|_| heard(manager)).collect();
        assert_eq!(
            told,
            ["READY=1\nSTATUS=serving", "STATUS=two lines=1 READY=0", "WATCHDOG=1", "STOPPING=1\nSTATUS=stopping"]
        );
    }

    #[test]
    fn what_is_told_arrives_as_the_protocol_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        tell_everything(&Notifier::to(path.as_os_str()).unwrap(), &manager);
        let name = format!("arame-service-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        tell_everything(&Notifier::to(OsStr::new(&format!("@{name}"))).unwrap(), &manager);
    }

    #[test]
    fn nobody_to_tell_is_no_trouble() {
        Notifier::default().ready("serving");
        let folder = tempfile::tempdir().unwrap();
        let nobody = Notifier::to(folder.path().join("nobody").as_os_str()).unwrap();
        nobody.ready("serving");
        nobody.stopping();
    }
}
