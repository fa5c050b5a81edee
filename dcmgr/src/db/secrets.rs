//! Secrets at rest: sealed with a key that lives in a file outside the database (DESIGN, Secrets).
//!
//! AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce; text is base64(nonce ‖ ciphertext ‖ tag). A dump of the
//! database alone opens nothing.

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::path::Path;

const NONCE_BYTES: usize = 12;

#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("cannot read the secret key `{path}`: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("the secret key `{path}` is not 64 hex digits")]
    Form { path: String },
    #[error("a sealed secret does not open with this key")]
    Open,
}

/// Seals and opens.
#[derive(Clone)]
pub struct Vault {
    cipher: Aes256Gcm,
}

impl Vault {
    /// Reads the key: one line of 64 hex digits.
    ///
    /// # Errors
    /// Unreadable, or not a key.
    pub fn open(path: &Path) -> Result<Vault, SealError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| SealError::Read { path: shown.clone(), source })?;
        let bytes = hex::decode(text.trim()).map_err(|_| SealError::Form { path: shown.clone() })?;
        let key: [u8; 32] = bytes.try_into().map_err(|_| SealError::Form { path: shown })?;
        Ok(Vault { cipher: Aes256Gcm::new(&Key::<Aes256Gcm>::from(key)) })
    }

    /// # Errors
    /// [`SealError::Open`] stands for every failure of the cipher.
    pub fn seal(&self, secret: &str) -> Result<String, SealError> {
        let mut nonce = [0u8; NONCE_BYTES];
        crate::rehearsal::fill_bytes(&mut nonce);
        let sealed = self.cipher.encrypt(&Nonce::from(nonce), secret.as_bytes()).map_err(|_| SealError::Open)?;
        Ok(STANDARD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// # Errors
    /// The text was sealed with another key, or is not a sealed secret.
    pub fn unseal(&self, text: &str) -> Result<String, SealError> {
        let bytes = STANDARD.decode(text).map_err(|_| SealError::Open)?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES).ok_or(SealError::Open)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| SealError::Open)?;
        let plain = self.cipher.decrypt(&Nonce::from(nonce), sealed).map_err(|_| SealError::Open)?;
        String::from_utf8(plain).map_err(|_| SealError::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_with_its_key_and_with_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        std::fs::write(&one, "11".repeat(32)).unwrap();
        std::fs::write(&two, "22".repeat(32)).unwrap();
        let vault = Vault::open(&one).unwrap();
        let sealed = vault.seal("chap-secret").unwrap();
        assert!(!sealed.contains("chap"));
        assert_eq!(vault.unseal(&sealed).unwrap(), "chap-secret");
        assert!(Vault::open(&two).unwrap().unseal(&sealed).is_err());
        assert_ne!(vault.seal("chap-secret").unwrap(), sealed, "a nonce was used twice");
    }
}
