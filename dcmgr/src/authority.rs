//! The data center's own certificate authority, and the certificates it signs for what other machines reach: the broker, the
//! end of streams, a proxy before the API.
//!
//! ```text
//! ca.key, ca.pem: there ─► used      ca.key alone ─► ca.pem is made of it      none ─► both are made
//! certificate: good for a month more ─► left alone      else ─► signed anew for the same key      no key ─► a key first
//! ```
//!
//! Rule: it is run by hand and by a weekly timer, as root, and nothing that is reached from outside reads `ca.key`. Run again it
//! changes nothing that is good; stopped after any line and run again it ends whole: every file appears at once, and a key before
//! what is made of it. What is there by somebody else's hand, an authority whose key is kept elsewhere, is not replaced.

mod register;

pub use register::{Renewal, remember, renew};

use arame_schema::api::join;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nix::unistd::{Gid, Group};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An authority is changed on every machine by hand, so it lasts.
const AUTHORITY_LASTS: Duration = DAY.saturating_mul(3650);

/// A certificate is renewed by the same line that made it.
const CERTIFICATE_LASTS: Duration = DAY.saturating_mul(365);

/// What would end within this is renewed: a timer that runs once a week has four tries.
const RENEWED_BEFORE: Duration = DAY.saturating_mul(30);

/// Clocks of the machines differ.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60 * 60);

/// Shown in English; [`AuthorityError::japanese`] is the same sentence.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is there without its key {}: sign certificates where the key is, or put it there.", certificate.display(), key.display())]
    KeyElsewhere { certificate: PathBuf, key: PathBuf },
    #[error("`{0}` is neither a host's name nor an address: no certificate can be for it.")]
    Name(String),
    #[error("There is no group `{0}` on this machine.")]
    Group(String),
    #[error("{} cannot be used: {reason}. Move it away, or put the right one there.", path.display())]
    Damaged { path: PathBuf, reason: String },
}

impl AuthorityError {
    pub fn japanese(&self) -> String {
        match self {
            Self::File { path, source } => format!("{}: {source}", path.display()),
            Self::KeyElsewhere { certificate, key } => format!(
                "{} はありますが、その鍵 {} がありません。鍵のあるところで署名するか、鍵を置いてください。",
                certificate.display(),
                key.display()
            ),
            Self::Name(name) => {
                format!("`{name}` はホスト名でもアドレスでもないので、証明書を作れません。")
            }
            Self::Group(group) => format!("この機械にはグループ `{group}` がありません。"),
            Self::Damaged { path, reason } => {
                format!("{} を使えません: {reason}。別の場所に移すか、正しいものを置いてください。", path.display())
            }
        }
    }
}

/// What is to be there at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Names and addresses at which it is reached.
    pub names: Vec<String>,
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
    /// Whose members may read the key, beside root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Signed,
    /// What is there is good for a month more, and for all of the names.
    GoodStill,
}

/// An authority whose key is here.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, which every machine may have.
    file: PathBuf,
}

fn unusable(path: &Path, error: impl ToString) -> AuthorityError {
    AuthorityError::Damaged { path: path.to_owned(), reason: error.to_string() }
}

impl Authority {
    /// The authority whose `ca.pem` and `ca.key` are in `folder`; made, where there is none.
    ///
    /// # Errors
    /// Files that cannot be read, written or understood; a certificate whose key is not here.
    pub fn at(folder: &Path, now: SystemTime) -> Result<Self, AuthorityError> {
        let (file, key_file) = (folder.join("ca.pem"), folder.join("ca.key"));
        if file.exists() && !key_file.exists() {
            return Err(AuthorityError::KeyElsewhere { certificate: file, key: key_file });
        }
        let key = key_of(&key_file, 0o600, None)?;
        if !file.exists() {
            let made = authority(now).self_signed(&key).map_err(|error| unusable(&key_file, error))?;
            place(&file, &made.pem(), 0o644, None)?;
        }
        let text = read(&file)?;
        let issuer = Issuer::from_ca_cert_pem(&text, key).map_err(|error| unusable(&file, error))?;
        Ok(Self { issuer, file })
    }

    /// Sees to it that there is a good certificate with its key.
    ///
    /// # Errors
    /// A name that cannot be in a certificate, a group that is not there, files that cannot be read or written; an authority
    /// of which nothing signed would be believed.
    pub fn ensure(&self, wish: &Wish, now: SystemTime) -> Result<Outcome, AuthorityError> {
        if let Some(name) = wish.names.iter().find(|name| ServerName::try_from(name.as_str()).is_err()) {
            return Err(AuthorityError::Name(name.clone()));
        }
        let (mode, group) = match &wish.group {
            Some(group) => (0o640, Some(gid(group)?)),
            None => (0o600, None),
        };
        let key = key_of(&wish.key_file, mode, group)?;
        if wish.certificate_file.exists() && self.would_be_believed(wish, now + RENEWED_BEFORE).is_ok() {
            return Ok(Outcome::GoodStill);
        }
        let signed = self.sign(&wish.names, &key, now).map_err(|error| unusable(&self.file, error))?;
        place(&wish.certificate_file, &self.chain(&signed)?, 0o644, None)?;
        // An authority that was put here may not sign for everybody: better told now than by every agent.
        self.would_be_believed(wish, now).map_err(|error| unusable(&self.file, error))?;
        Ok(Outcome::Signed)
    }

    fn sign(&self, names: &[String], key: &KeyPair, now: SystemTime) -> Result<String, rcgen::Error> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, names.first().map_or("arame", String::as_str));
        params.not_before = (now - CLOCKS_DIFFER).into();
        params.not_after = (now + CERTIFICATE_LASTS).into();
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Ok(params.signed_by(key, &self.issuer)?.pem())
    }

    /// What callers are shown: the authority as well, for one who knows only its key (an invitation's).
    fn chain(&self, signed: &str) -> Result<String, AuthorityError> {
        Ok(format!("{signed}{}", read(&self.file)?))
    }

    /// Whether a machine that has this authority's certificate would believe what is there at that moment, whichever of the
    /// names it dials; and whether the key is the certificate's.
    fn would_be_believed(&self, wish: &Wish, at: SystemTime) -> anyhow::Result<()> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.file)?)?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
        let chain: Vec<_> = CertificateDer::pem_file_iter(&wish.certificate_file)?.collect::<Result<_, _>>()?;
        let (own, above) = chain.split_first().ok_or_else(|| anyhow::anyhow!("no certificate in it"))?;
        let at = UnixTime::since_unix_epoch(at.duration_since(SystemTime::UNIX_EPOCH)?);
        for name in &wish.names {
            verifier.verify_server_cert(own, above, &ServerName::try_from(name.as_str())?, &[], at)?;
        }
        let key = PrivateKeyDer::from_pem_file(&wish.key_file)?;
        let pair = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        pair.with_no_client_auth().with_single_cert(chain, key)?;
        Ok(())
    }
}

/// The digest of an authority's key by which an invitation names it (RFC 7469 section 2.4), of the first certificate in the file.
///
/// # Errors
/// The file cannot be read, or holds no authority's certificate.
pub fn pin(file: &Path) -> Result<String, AuthorityError> {
    let read = |path: &Path| -> anyhow::Result<String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(path)?)?;
        let anchor = roots.roots.first().ok_or_else(|| anyhow::anyhow!("no certificate in it"))?;
        let digest = Sha256::digest(join::public_key_info(&anchor.subject_public_key_info));
        Ok(URL_SAFE_NO_PAD.encode(digest))
    };
    read(file).map_err(|error| unusable(file, error))
}

fn authority(now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, "Arame data center");
    // It signs servers, no further authority.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now - CLOCKS_DIFFER).into();
    params.not_after = (now + AUTHORITY_LASTS).into();
    params
}

fn gid(group: &str) -> Result<Gid, AuthorityError> {
    let found = Group::from_name(group).ok().flatten();
    found.map(|group| group.gid).ok_or_else(|| AuthorityError::Group(group.to_owned()))
}

/// The key in a file; made there, where there is none.
fn key_of(path: &Path, mode: u32, group: Option<Gid>) -> Result<KeyPair, AuthorityError> {
    if path.exists() {
        return KeyPair::from_pem(&read(path)?).map_err(|error| unusable(path, error));
    }
    let key = KeyPair::generate().map_err(|error| unusable(path, error))?;
    place(path, &key.serialize_pem(), mode, group)?;
    Ok(key)
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    std::fs::read_to_string(path).map_err(|source| AuthorityError::File { path: path.to_owned(), source })
}

/// The file is whole and has its mode and group, or it is not there. A file of before is there until then.
fn place(path: &Path, text: &str, mode: u32, group: Option<Gid>) -> Result<(), AuthorityError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = || -> io::Result<()> {
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        if let Some(group) = group {
            fchown(&file, None, Some(group.as_raw()))?;
        }
        // Whatever the umask is.
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    written().map_err(|source| AuthorityError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
