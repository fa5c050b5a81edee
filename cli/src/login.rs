//! The login of a person: which API, and the token for it, kept in a file of the person's own; secrets typed at a terminal.
//!
//! Rule: the file has mode 0600 and is written beside and renamed; a secret is read without echo or from standard input,
//! never from an argument.

use crate::failure::{CliError, USAGE};
use crate::words::{Message, say, word};
use arame_schema::api::Language;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    pub url: String,
    pub token: String,
}

/// `$XDG_CONFIG_HOME/arame/login.json`, else below `~/.config` (XDG Base Directory Specification 0.8).
pub fn path() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder =
        set("XDG_CONFIG_HOME").filter(|path| path.is_absolute()).or_else(|| Some(set("HOME")?.join(".config")));
    folder.map(|folder| folder.join("arame/login.json"))
}

/// The login that is kept here; one that others can read or that is not as it should be is none.
pub fn read(path: &Path) -> Option<Login> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return None;
    }
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

pub fn write(path: &Path, login: &Login, language: Language) -> Result<(), CliError> {
    let unwritable = |source: std::io::Error| {
        let sentence = say(language, Message::FileUnwritable, &[("path", &path.display().to_string())]);
        CliError::because(USAGE, sentence, source, word(language, Message::FileNext).into())
    };
    let text = serde_json::to_string(login).map_err(|source| unwritable(source.into()))?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(unwritable)?;
    }
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
    let written = opened.and_then(|mut file| {
        writeln!(file, "{text}")?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    });
    written.map_err(|source| {
        let _ = std::fs::remove_file(&beside);
        unwritable(source)
    })
}

/// A line of standard input; at a terminal after a prompt and without echo.
pub fn secret(prompt: Message, language: Language) -> Result<String, CliError> {
    let input = std::io::stdin();
    let hidden = input.is_terminal().then(|| {
        let _ = write!(std::io::stderr(), "{}: ", word(language, prompt));
        Hidden::begin()
    });
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    if let Some(hidden) = hidden {
        drop(hidden);
        let _ = writeln!(std::io::stderr());
    }
    let line = line.trim_end_matches(['\r', '\n']).to_owned();
    match read {
        Ok(_) if !line.is_empty() => Ok(line),
        _ => {
            let words = [Message::NoSecret, Message::NoSecretCause, Message::NoSecretNext];
            Err(CliError::own(USAGE, language, words, &[]))
        }
    }
}

/// The terminal does not show what is typed while this lives.
struct Hidden {
    before: Option<nix::sys::termios::Termios>,
}

impl Hidden {
    fn begin() -> Self {
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(mut quiet) = before.clone() {
            quiet.local_flags.remove(LocalFlags::ECHO);
            quiet.local_flags.insert(LocalFlags::ECHONL);
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, &quiet);
        }
        Self { before }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_kept_for_its_owner_alone_and_one_that_others_can_read_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("arame/login.json");
        let login = Login { url: "http://127.0.0.1:9001".into(), token: "s3cret".into() };
        write(&path, &login, Language::En).unwrap();
        assert_eq!(read(&path), Some(login.clone()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let other = Login { token: "other".into(), ..login };
        write(&path, &other, Language::En).unwrap();
        assert_eq!(read(&path), Some(other), "a login replaces the one before");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(&path), None);
    }
}
