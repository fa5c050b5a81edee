//! A configuration that only a person can mend: said in one sentence, in both languages, with an exit code that no service
//! manager answers by starting the program again.

use std::path::{Path, PathBuf};

/// `EX_CONFIG` of sysexits.h; the units name it in `RestartPreventExitStatus`.
pub const EXIT_CONFIGURATION: u8 = 78;

/// Shown in English; [`Unusable::japanese`] is the same sentence.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// As the package installed it.
    #[error("{} is not filled in yet: every setting in it is commented out. Fill it in and start this service again.", path.display())]
    NotFilledIn { path: PathBuf },
    #[error("{} is not as it should be: {reason}. Correct it and start this service again.", path.display())]
    Wrong { path: PathBuf, reason: String },
    #[error("{}, which the configuration names, cannot be read: {reason}. Put it there and start this service again.", path.display())]
    Unreadable { path: PathBuf, reason: String },
}

impl Unusable {
    pub fn japanese(&self) -> String {
        match self {
            Unusable::NotFilledIn { path } => format!(
                "{} はまだ記入されていません(すべての設定がコメントのままです)。記入してから、このサービスをもう一度起動してください。",
                path.display()
            ),
            Unusable::Wrong { path, reason } => format!(
                "{} に誤りがあります: {reason}。直してから、このサービスをもう一度起動してください。",
                path.display()
            ),
            Unusable::Unreadable { path, reason } => format!(
                "設定が指す {} を読めません: {reason}。置いてから、このサービスをもう一度起動してください。",
                path.display()
            ),
        }
    }
}

/// What reading `path` gave, where its failure is the configuration's.
///
/// # Errors
/// The file is as the package left it, or wrong.
pub fn configured<T, E: Into<anyhow::Error>>(path: &Path, read: Result<T, E>) -> Result<T, Unusable> {
    read.map_err(|error| {
        let path = path.to_owned();
        match std::fs::read_to_string(&path) {
            Ok(text) if !is_filled_in(&text) => Unusable::NotFilledIn { path },
            _ => Unusable::Wrong { reason: told(&error.into()), path },
        }
    })
}

/// A file that the configuration names: a key, a password.
///
/// # Errors
/// It is not there, or not for this program to read.
pub fn readable(path: &Path) -> Result<(), Unusable> {
    std::fs::File::open(path)
        .map(drop)
        .map_err(|error| Unusable::Unreadable { path: path.to_owned(), reason: error.to_string() })
}

/// An error and its causes on one line, each said once: some tell their cause themselves.
fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain() {
        let cause = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if !told.contains(&cause) {
            told.push_str(if told.is_empty() { "" } else { ": " });
            told.push_str(&cause);
        }
    }
    told.trim_end_matches('.').to_owned()
}

/// Some line sets something.
fn is_filled_in(text: &str) -> bool {
    text.lines().map(str::trim).any(|line| !line.is_empty() && !line.starts_with(['#', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Unusable {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        std::fs::write(&path, text).unwrap();
        configured(&path, Err::<(), _>(anyhow::anyhow!("missing field `host`\n"))).unwrap_err()
    }

    #[test]
    fn a_file_as_it_was_installed_is_told_apart_from_one_with_a_mistake() {
        let empty = refused("# About this.\n[common]\n\n#agent = \"hva.h1\"\n  # indented\n");
        assert!(matches!(empty, Unusable::NotFilledIn { .. }), "{empty}");
        assert!(empty.japanese().contains("記入されていません"));
        let wrong = refused("[common]\nagent = \"hva.h1\"\n");
        assert!(wrong.to_string().contains("missing field `host`. Correct it"), "{wrong}");
        assert!(wrong.japanese().contains("missing field `host`。"));
        let twice = anyhow::anyhow!("line 1\n  is odd").context("x.toml: line 1\n  is odd").context("no file");
        assert_eq!(told(&twice), "no file: x.toml: line 1 is odd");
        assert_eq!(configured(Path::new("/nowhere"), Ok::<_, anyhow::Error>(1)).unwrap(), 1);
    }

    #[test]
    fn a_key_that_is_not_there_is_named() {
        let here = tempfile::NamedTempFile::new().unwrap();
        readable(here.path()).unwrap();
        let gone = readable(Path::new("/nowhere/key")).unwrap_err();
        assert!(gone.to_string().contains("/nowhere/key") && gone.japanese().contains("/nowhere/key"), "{gone}");
    }
}
