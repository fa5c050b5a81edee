//! Credentials: whom a secret belongs to, remembered for a moment, and how often secrets were wrong.
//!
//! Rule: what was found is believed for half a second, so a revocation by another dcmgr takes effect within that time;
//! one by this dcmgr forgets everything at once. What a session may do is its user's membership now, not when it began.
//! Nothing here is needed for correctness after a restart: both tables are memories of one process.

use super::{App, AppError, Caller};
use crate::db;
use crate::db::access::TokenRow;
use arame_schema::api::{Code, Refusal, Role};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a credential that was found is believed: well below the second within which a revocation is promised.
const BELIEVED: Duration = Duration::from_millis(500);

/// Credentials remembered at once; beyond it the memory begins anew.
const REMEMBERED_MAX: usize = 10_000;

/// Failures are counted in windows of this length.
const WINDOW: Duration = Duration::from_secs(60);

/// Wrong credentials of one address in a window: a program with an old token retries now and then, a guesser does more.
const OF_ADDRESS_MAX: u32 = 60;

/// Wrong passwords for one name in a window: a person mistypes a few.
const OF_NAME_MAX: u32 = 10;

/// Addresses and names counted at once; beyond it those whose window is over are forgotten.
const COUNTED_MAX: usize = 10_000;

/// What a secret may do, for the account it was asked for.
#[derive(Debug, Clone)]
struct Standing {
    token: String,
    role: Role,
    account: Option<String>,
}

/// By the secret's digest and the account asked for.
type Known = HashMap<(String, Option<String>), (Instant, Standing)>;

/// What this process remembers of credentials.
#[derive(Debug, Default)]
pub struct Credentials {
    known: Mutex<Known>,
    failures: Mutex<HashMap<String, (Instant, u32)>>,
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Credentials {
    /// Something about credentials was changed here.
    pub fn forget(&self) {
        held(&self.known).clear();
    }

    fn known(&self, digest: &str, wanted: Option<&str>) -> Option<Standing> {
        let known = held(&self.known);
        let (at, standing) = known.get(&(digest.to_owned(), wanted.map(str::to_owned)))?;
        (at.elapsed() < BELIEVED).then(|| standing.clone())
    }

    fn remember(&self, digest: String, wanted: Option<&str>, standing: Standing) {
        let mut known = held(&self.known);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert((digest, wanted.map(str::to_owned)), (Instant::now(), standing));
    }

    /// Seconds until credentials of this name or address are looked at again, if too many were wrong.
    fn shut_for(&self, who: &str, most: u32) -> Option<u64> {
        let failures = held(&self.failures);
        let (begun, count) = failures.get(who)?;
        let left = WINDOW.checked_sub(begun.elapsed()).filter(|left| !left.is_zero())?;
        (*count >= most).then(|| left.as_secs().max(1))
    }

    fn failed(&self, who: &str) {
        let mut failures = held(&self.failures);
        if failures.len() >= COUNTED_MAX {
            failures.retain(|_, (begun, _)| begun.elapsed() < WINDOW);
        }
        if failures.len() >= COUNTED_MAX && !failures.contains_key(who) {
            return;
        }
        let (begun, count) = failures.entry(who.to_owned()).or_insert((Instant::now(), 0));
        if begun.elapsed() >= WINDOW {
            (*begun, *count) = (Instant::now(), 0);
        }
        *count = count.saturating_add(1);
    }

    /// Before a password is looked at.
    ///
    /// # Errors
    /// Too many were wrong, for this name or from this address.
    pub fn check_sign_in(&self, name: &str, address: &str) -> Result<(), Refusal> {
        let name = self.shut_for(&format!("name {name}"), OF_NAME_MAX);
        match name.max(self.shut_for(address, OF_ADDRESS_MAX)) {
            Some(seconds) => Err(too_many(seconds)),
            None => Ok(()),
        }
    }

    pub fn sign_in_failed(&self, name: &str, address: &str) {
        self.failed(&format!("name {name}"));
        self.failed(address);
    }

    /// A secret that nobody has. A right one is let in however many wrong ones came from its address: 256 bits are not
    /// guessed, and one address may be that of many.
    fn unknown_secret(&self, address: &str) -> Refusal {
        self.failed(address);
        match self.shut_for(address, OF_ADDRESS_MAX + 1) {
            Some(seconds) => too_many(seconds),
            None => Refusal::new(Code::Unauthenticated),
        }
    }
}

fn too_many(seconds: u64) -> Refusal {
    metrics::counter!("arame_credentials_refused_total").increment(1);
    Refusal::new(Code::TooManyFailures).with("seconds", seconds)
}

impl App {
    /// Who the secret belongs to, and for which account it acts.
    ///
    /// # Errors
    /// `Unauthenticated`, `TooManyFailures`, `AccountNotPermitted`, `DisabledAccount`, or the database's failure.
    pub async fn authenticate(&self, secret: &str, wanted: Option<&str>, address: &str) -> Result<Caller, Refusal> {
        let digest = db::seed::digest(secret);
        let standing = match self.credentials().known(&digest, wanted) {
            Some(standing) => standing,
            None => {
                let standing = self.standing(&digest, wanted, address).await?;
                self.credentials().remember(digest, wanted, standing.clone());
                standing
            }
        };
        let Standing { token, role, account } = standing;
        let request = crate::rehearsal::uuid_v7();
        Ok(Caller { token, role, account, request, address: address.to_owned(), idempotency_key: None })
    }

    /// Whom a token that was shown before acts as now: of what goes on while nobody shows it.
    ///
    /// # Errors
    /// It does not let in any more.
    pub async fn caller_of(&self, token: &str, wanted: Option<&str>, address: &str) -> Result<Caller, Refusal> {
        let row = db::access::token_of_id(self.db(), token).await.map_err(AppError::from)?;
        let row = row.ok_or_else(|| Refusal::new(Code::Unauthenticated))?;
        let Standing { token, role, account } = match row.user.clone() {
            None => self.of_token(row, wanted).await?,
            Some(user) => self.of_session(row, &user, wanted).await?,
        };
        let request = crate::rehearsal::uuid_v7();
        Ok(Caller { token, role, account, request, address: address.to_owned(), idempotency_key: None })
    }

    async fn standing(&self, digest: &str, wanted: Option<&str>, address: &str) -> Result<Standing, Refusal> {
        let db = self.db();
        let row = db::access::token(db, digest).await.map_err(AppError::from)?;
        let row = row.ok_or_else(|| self.credentials().unknown_secret(address))?;
        if row.use_unnoted {
            db::accounts::touch_token(db, &row.id).await.map_err(AppError::from)?;
        }
        match row.user.clone() {
            None => self.of_token(row, wanted).await,
            Some(user) => self.of_session(row, &user, wanted).await,
        }
    }

    async fn of_token(&self, row: TokenRow, wanted: Option<&str>) -> Result<Standing, Refusal> {
        if !row.account_enabled {
            return Err(Refusal::new(Code::DisabledAccount).with("account", row.account));
        }
        let role = Role::parse(&row.role).ok_or_else(|| Refusal::new(Code::Unauthenticated))?;
        let account = match (role, wanted) {
            (Role::Admin | Role::Operator, wanted) => self.chosen(wanted).await?,
            (Role::Member | Role::Auditor, Some(other)) if other != row.account => return Err(not_permitted(other)),
            (Role::Member | Role::Auditor, _) => Some(row.account),
        };
        Ok(Standing { token: row.id, role, account })
    }

    /// The account an operator looks at; none is all.
    async fn chosen(&self, wanted: Option<&str>) -> Result<Option<String>, Refusal> {
        match wanted {
            None | Some("all") => Ok(None),
            Some(other) if db::access::account_exists(self.db(), other).await.map_err(AppError::from)? => {
                Ok(Some(other.to_owned()))
            }
            Some(other) => Err(not_permitted(other)),
        }
    }

    /// A session acts for each account of its user, in the role the user has there now.
    async fn of_session(&self, row: TokenRow, user: &str, wanted: Option<&str>) -> Result<Standing, Refusal> {
        let home = self.role_in(user, &row.account).await?;
        let token = row.id;
        if let Some(role @ (Role::Admin | Role::Operator)) = home {
            return Ok(Standing { token, role, account: self.chosen(wanted).await? });
        }
        match wanted {
            Some(other) if other != row.account => {
                let role = self.role_in(user, other).await?.ok_or_else(|| not_permitted(other))?;
                Ok(Standing { token, role, account: Some(other.to_owned()) })
            }
            _ => {
                let role = home.ok_or_else(|| Refusal::new(Code::Unauthenticated))?;
                Ok(Standing { token, role, account: Some(row.account) })
            }
        }
    }

    async fn role_in(&self, user: &str, account: &str) -> Result<Option<Role>, Refusal> {
        let found = db::users::standing(self.db(), user, account).await.map_err(AppError::from)?;
        match found {
            Some((_, false)) => Err(Refusal::new(Code::DisabledAccount).with("account", account)),
            Some((role, true)) => Ok(Role::parse(&role)),
            None => Ok(None),
        }
    }
}

fn not_permitted(account: &str) -> Refusal {
    Refusal::new(Code::AccountNotPermitted).with("account", account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_guesser_is_told_to_wait_until_the_window_is_over() {
        let credentials = Credentials::default();
        for _ in 0..OF_NAME_MAX {
            credentials.check_sign_in("hanako", "192.0.2.1").unwrap();
            credentials.sign_in_failed("hanako", "192.0.2.1");
        }
        let refused = credentials.check_sign_in("hanako", "192.0.2.9").unwrap_err();
        assert_eq!(refused.code, Code::TooManyFailures);
        let seconds: u64 = refused.values["seconds"].parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
        credentials.check_sign_in("taro", "192.0.2.1").expect("another name is not shut");
        tokio::time::advance(WINDOW).await;
        credentials.check_sign_in("hanako", "192.0.2.1").expect("the window is over");
    }

    #[tokio::test(start_paused = true)]
    async fn unknown_secrets_of_one_address_are_counted_and_no_other_address_is_shut() {
        let credentials = Credentials::default();
        for _ in 0..OF_ADDRESS_MAX {
            assert_eq!(credentials.unknown_secret("192.0.2.1").code, Code::Unauthenticated);
        }
        assert_eq!(credentials.unknown_secret("192.0.2.1").code, Code::TooManyFailures);
        assert_eq!(credentials.unknown_secret("192.0.2.2").code, Code::Unauthenticated);
    }

    #[test]
    fn what_is_counted_is_bounded() {
        let credentials = Credentials::default();
        for n in 0..COUNTED_MAX + 10 {
            credentials.failed(&n.to_string());
        }
        assert_eq!(held(&credentials.failures).len(), COUNTED_MAX);
    }
}
