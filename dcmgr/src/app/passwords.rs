//! Passwords: hashed with argon2id at sign-in and nowhere else (DESIGN 4).
//!
//! Rule: at most two hashes are computed at a time, the others wait a limited while, so that a crowd at the door takes
//! neither the memory nor the processors of those inside. A name that nobody has costs the same time as a wrong password.
//! What is stored is a PHC string; its parameters are its own, so that later ones can be greater.

use arame_schema::api::{Code, Refusal};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::time::Duration;
use tokio::sync::Semaphore;

/// OWASP, Password Storage Cheat Sheet: argon2id with 19 MiB of memory, 2 passes, 1 lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// RFC 9106 section 3.1: 16 bytes of salt; section 4: a tag of 32.
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Two: 38 MiB at most, and a machine of two cores still answers the others between them.
const AT_ONCE: usize = 2;

/// Who cannot have a turn within this is told to come again.
const TURN_LIMIT: Duration = Duration::from_secs(5);

/// The two turns.
#[derive(Debug)]
pub struct Passwords {
    turns: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Semaphore::new(AT_ONCE) }
    }
}

/// What a stored password is made of.
struct Stored {
    params: Params,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

fn failed(what: impl std::fmt::Display) -> Refusal {
    tracing::error!(error = %what, "a password could not be hashed");
    Refusal::new(Code::Internal)
}

fn params() -> Result<Params, Refusal> {
    Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES)).map_err(failed)
}

fn compute(params: Params, password: &[u8], salt: &[u8]) -> Result<[u8; HASH_BYTES], Refusal> {
    let mut hash = [0; HASH_BYTES];
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(password, salt, &mut hash).map_err(failed)?;
    Ok(hash)
}

/// `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`
fn parse(text: &str) -> Option<Stored> {
    let mut parts = text.split('$').skip(1);
    let (kind, version, numbers, salt, hash) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if kind != "argon2id" || version != "v=19" {
        return None;
    }
    let mut numbers = numbers.split(',').map(|pair| pair.split_once('=')?.1.parse::<u32>().ok());
    let (memory, passes, lanes) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let (salt, hash) = (STANDARD_NO_PAD.decode(salt).ok()?, STANDARD_NO_PAD.decode(hash).ok()?);
    let params = Params::new(memory, passes, lanes, Some(hash.len())).ok()?;
    Some(Stored { params, salt, hash })
}

/// Without a branch on where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |seen, (a, b)| seen | (a ^ b)) == 0
}

impl Passwords {
    /// The text to store.
    ///
    /// # Errors
    /// No turn in time, or a defect.
    pub async fn hash(&self, password: &str) -> Result<String, Refusal> {
        let mut salt = [0; SALT_BYTES];
        crate::rehearsal::fill_bytes(&mut salt);
        let hash = self.in_turn(params()?, password, salt.to_vec()).await?;
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
        Ok(format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${hash}"))
    }

    /// Whether it is the stored one. Nothing stored is no password at all, found out as slowly.
    ///
    /// # Errors
    /// As [`Self::hash`].
    pub async fn verify(&self, password: &str, stored: Option<&str>) -> Result<bool, Refusal> {
        let known = stored.and_then(parse);
        let decoy = Stored { params: params()?, salt: vec![0; SALT_BYTES], hash: Vec::new() };
        let Stored { params, salt, hash } = known.unwrap_or(decoy);
        let computed = self.in_turn(params, password, salt).await?;
        Ok(same(&computed, &hash))
    }

    async fn in_turn(&self, params: Params, password: &str, salt: Vec<u8>) -> Result<[u8; HASH_BYTES], Refusal> {
        let busy = || Refusal::new(Code::Unavailable).with("what", "sign-in");
        let turn = tokio::time::timeout(TURN_LIMIT, self.turns.acquire()).await;
        let _turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
        let password = password.as_bytes().to_vec();
        crate::rehearsal::blocking(move || compute(params, &password, &salt)).await.map_err(failed)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_no_other_is() {
        let passwords = Passwords::default();
        let stored = passwords.hash("correct horse").await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && !stored.contains("horse"), "{stored}");
        assert_ne!(stored, passwords.hash("correct horse").await.unwrap(), "a salt was used twice");
        assert!(passwords.verify("correct horse", Some(&stored)).await.unwrap());
        assert!(!passwords.verify("correct hors", Some(&stored)).await.unwrap());
        assert!(!passwords.verify("", None).await.unwrap(), "a name without a password let somebody in");
        assert!(!passwords.verify("x", Some("$argon2id$v=19$m=8,t=1,p=1$$")).await.unwrap());
    }

    #[tokio::test]
    async fn only_two_are_computed_at_a_time_and_who_waits_too_long_is_sent_away() {
        tokio::time::pause();
        let passwords = Passwords::default();
        let held = passwords.turns.acquire_many(AT_ONCE as u32).await.unwrap();
        let refused = passwords.hash("somebody").await.unwrap_err();
        assert_eq!((refused.code, refused.values["what"].as_str()), (Code::Unavailable, "sign-in"));
        drop(held);
        tokio::time::resume();
        assert!(passwords.hash("somebody").await.is_ok());
    }
}
