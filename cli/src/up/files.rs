//! Small files written whole: beside the old one, then renamed. Secrets are made once and are readable by root only.

use rand::RngCore;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Writes a file in one step; a reader sees the old content or the new, never half.
pub fn replace(path: &Path, content: &[u8], permissions: u32) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    // A leftover of a killed run may carry other permissions.
    let _ = std::fs::remove_file(&temporary);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(permissions).open(&temporary)?;
    file.write_all(content)?;
    std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(permissions))?;
    std::fs::rename(&temporary, path)
}

/// Whether a server listens at this socket. Its file appears a moment earlier, when nobody can connect yet.
pub fn listens(socket: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(socket).is_ok()
}

/// As [`replace`], but leaves an equal file alone.
pub fn replace_if_different(path: &Path, content: &[u8], permissions: u32) -> io::Result<()> {
    let same = std::fs::read(path).is_ok_and(|old| old == content)
        && std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o777 == permissions);
    if same { Ok(()) } else { replace(path, content, permissions) }
}

/// The secret in this file, drawn now if there is none (32 random bytes as 64 hex digits).
pub fn secret(path: &Path) -> io::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    let text = hex::encode(bytes);
    replace(path, format!("{text}\n").as_bytes(), 0o600)?;
    Ok(text)
}

/// A folder with these permissions, its parents as they come.
pub fn folder(path: &Path, permissions: u32) -> io::Result<()> {
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(permissions))
}

/// Gives a file or folder (not what is in it) to an unprivileged user.
pub fn give(path: &Path, user: Option<(u32, u32)>) -> io::Result<()> {
    match user {
        Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_drawn_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let first = secret(&path).unwrap();
        assert_eq!(first.len(), 64);
        assert_eq!(secret(&path).unwrap(), first);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_leftover_of_a_killed_run_does_not_hinder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(dir.path().join("x.new"), "half").unwrap();
        replace(&path, b"whole", 0o644).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
    }

    #[test]
    fn a_socket_nobody_listens_at_is_not_ready() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let address = nix::sys::socket::UnixAddr::new(&path).unwrap();
        use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, bind, listen, socket};
        let server = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(std::os::fd::AsRawFd::as_raw_fd(&server), &address).unwrap();
        assert!(path.exists() && !listens(&path));
        listen(&server, Backlog::new(1).unwrap()).unwrap();
        assert!(listens(&path));
    }
}
