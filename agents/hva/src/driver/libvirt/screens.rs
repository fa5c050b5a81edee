//! Consoles of a libvirt guest: QEMU's own unix sockets, found in the running definition; its screen as libvirt copies it.
//!
//! Rule: never TCP. A guest that an earlier version started has no such sockets, and that is said.

use super::moves::file_of;
use super::{Libvirt, QUICK, Told, failed, owned, power_of};
use crate::driver::consoles::{Consoles, NotShown};
use crate::driver::{DriverError, SeenPower};
use crate::screen::Picture;
use arame_framework::stream::BoxedWire;
use arame_schema::jobs::report::Retry;
use arame_schema::model::{ConsoleKind, InstanceId, NoConsole};
use async_trait::async_trait;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::stream::Stream;

/// QEMU takes a visitor at once, or has hung.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// The largest raw picture taken from libvirt: 4096 by 4096 points and a header.
const PICTURE_BYTES_MAX: usize = 3 * 4096 * 4096 + 64;
const PIECE: usize = 64 * 1024;

/// The guest's serial port, on this host. An id is a name of letters, digits, `_` and `-`, and fits into `sun_path`.
pub(super) fn serial_socket(dir: &Path, instance: &InstanceId) -> PathBuf {
    dir.join(format!("{instance}.serial"))
}

/// The definition of the guest that runs, or why it shows nothing.
fn running(link: &Connect, name: &str) -> Told<Result<(Domain, String), NoConsole>> {
    let Some((domain, _)) = owned(link, name)? else { return Ok(Err(NoConsole::Off)) };
    if power_of(&domain)? == SeenPower::Off {
        return Ok(Err(NoConsole::Off));
    }
    let live = domain.get_xml_desc(0).map_err(|e| failed("describe", &e))?;
    Ok(Ok((domain, live)))
}

fn socket_of(live: &str, kind: ConsoleKind) -> Option<String> {
    match kind {
        ConsoleKind::Serial => file_of(live, "<source mode='bind' path="),
        ConsoleKind::Vnc => file_of(live, "<listen type='socket' socket="),
    }
}

fn picture_of(link: &Connect, domain: &Domain) -> Told<Vec<u8>> {
    let stream = Stream::new(link, 0).map_err(|e| failed("picture", &e))?;
    domain.screenshot(&stream, 0, 0).map_err(|e| failed("picture", &e))?;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; PIECE]);
    loop {
        match stream.recv(&mut piece).map_err(|e| failed("picture", &e))? {
            0 => break,
            count if bytes.len() + count > PICTURE_BYTES_MAX => {
                let _ = stream.abort();
                return Err(DriverError::new("libvirt_error", "the guest's screen is too large", Retry::Never));
            }
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
    stream.finish().map_err(|e| failed("picture", &e))?;
    Ok(bytes)
}

#[async_trait]
impl Consoles for Libvirt {
    async fn open(&self, instance: &InstanceId, kind: ConsoleKind) -> Result<BoxedWire, NotShown> {
        let name = instance.to_string();
        let found = self.call("look for a console", QUICK, move |link| running(link, &name)).await?;
        let (_, live) = found.map_err(NotShown::No)?;
        let path = socket_of(&live, kind).ok_or(NotShown::No(NoConsole::Absent))?;
        match tokio::time::timeout(CONNECT_LIMIT, UnixStream::connect(&path)).await {
            Ok(Ok(socket)) => Ok(Box::new(socket)),
            Ok(Err(error)) => Err(NotShown::Failed(format!("{path}: {error}"))),
            Err(_) => Err(NotShown::Failed(format!("{path} does not answer"))),
        }
    }

    async fn picture(&self, instance: &InstanceId) -> Result<Picture, NotShown> {
        let name = instance.to_string();
        let taken = self.call("picture", QUICK, move |link| match running(link, &name)? {
            Ok((_, live)) if !live.contains("<graphics ") => Ok(Err(NoConsole::Absent)),
            Ok((domain, _)) => picture_of(link, &domain).map(Ok),
            Err(why) => Ok(Err(why)),
        });
        let bytes = taken.await?.map_err(NotShown::No)?;
        Picture::read(&bytes).map_err(NotShown::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_found_in_a_running_definition_and_not_in_an_older_one() {
        let live = "<serial type='unix'><source mode='bind' path='/run/arame-hva/i-a.serial'/></serial>\
                    <graphics type='vnc'><listen type='socket' socket='/var/lib/libvirt/qemu/domain-3-i-a/vnc.sock'/></graphics>";
        assert_eq!(socket_of(live, ConsoleKind::Serial).unwrap(), "/run/arame-hva/i-a.serial");
        assert!(socket_of(live, ConsoleKind::Vnc).unwrap().ends_with("vnc.sock"));
        let older = "<serial type='pty'><source path='/dev/pts/3'/></serial>";
        assert_eq!((socket_of(older, ConsoleKind::Serial), socket_of(older, ConsoleKind::Vnc)), (None, None));
    }

    #[test]
    fn the_longest_id_fits_into_the_path_of_a_socket() {
        let id = format!("i-{}", "a".repeat(arame_schema::limits::ID_LENGTH_MAX - 2));
        let path = serial_socket(Path::new(crate::config::CONSOLE_DIR), &id.parse().unwrap());
        assert!(path.as_os_str().len() < 108, "{}", path.display());
    }
}
