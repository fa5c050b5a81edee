//! What was signed here, so that all of it can be renewed by one line: `certificates.toml` beside the authority.
//!
//! Rule: an entry is its certificate's path: asked for again with other names it is replaced. It holds no secret. What somebody
//! deleted is not made again by a renewal.

use super::{Authority, AuthorityError, Outcome, Wish, place, read, unusable};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const ABOUT: &str = "# What `arame-dcmgr certificate` signed. `arame-dcmgr renew` (weekly: arame-certificates.timer) keeps it good.\n\n";

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Register {
    #[serde(default)]
    certificate: Vec<Wish>,
}

fn file(folder: &Path) -> PathBuf {
    folder.join("certificates.toml")
}

fn opened(folder: &Path) -> Result<Register, AuthorityError> {
    let path = file(folder);
    if !path.exists() {
        return Ok(Register::default());
    }
    toml::from_str(&read(&path)?).map_err(|error| unusable(&path, error.message()))
}

/// Keeps the wish for renewals. Paths are made absolute: a timer runs elsewhere.
///
/// # Errors
/// The register cannot be read or written.
pub fn remember(folder: &Path, wish: &Wish) -> Result<(), AuthorityError> {
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|source| AuthorityError::File { path: path.to_owned(), source })
    };
    let wish = Wish {
        certificate_file: absolute(&wish.certificate_file)?,
        key_file: absolute(&wish.key_file)?,
        ..wish.clone()
    };
    let mut register = opened(folder)?;
    if register.certificate.contains(&wish) {
        return Ok(());
    }
    register.certificate.retain(|one| one.certificate_file != wish.certificate_file);
    register.certificate.push(wish);
    let path = file(folder);
    let text = toml::to_string(&register).map_err(|error| unusable(&path, error))?;
    place(&path, &format!("{ABOUT}{text}"), 0o644, None)
}

/// What became of one certificate.
pub type Renewal = (PathBuf, Result<Outcome, AuthorityError>);

/// Sees to it that everything that was signed here, and is still there, is good for a month more. One that fails keeps none of
/// the others.
///
/// # Errors
/// The register, or the authority, cannot be read.
pub fn renew(folder: &Path, now: SystemTime) -> Result<Vec<Renewal>, AuthorityError> {
    let register = opened(folder)?;
    if register.certificate.is_empty() {
        return Ok(Vec::new());
    }
    let authority = Authority::at(folder, now)?;
    let there = register.certificate.into_iter().filter(|wish| wish.certificate_file.exists());
    Ok(there.map(|wish| (wish.certificate_file.clone(), authority.ensure(&wish, now))).collect())
}
