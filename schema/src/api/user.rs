//! Users, what they may do for which account, and sessions.

use super::language::wordless;
use super::{Role, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A person who signs in with a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    pub id: String,
    /// What is typed at sign-in: lower case, unique among those that are there.
    pub name: String,
    pub display_name: Option<String>,
    /// A disabled user's sessions are refused, and nobody signs in by that name.
    pub enabled: bool,
    /// Whether a password was ever set.
    pub has_password: bool,
    pub memberships: Vec<Membership>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// As what a user acts for an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    #[schema(example = "a-demo")]
    pub account_id: String,
    pub role: Role,
}

/// A session that was begun: its secret is a bearer token until it expires or is ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Of its token.
    pub id: String,
    pub user: User,
    /// Acted for when a request names no other.
    pub account_id: String,
    pub role: Role,
    pub expires_at: Option<Timestamp>,
    /// In the answer that begins it and nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Who a credential is, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Whoami {
    pub token: String,
    pub role: Role,
    /// Acted for by this request; null: every account.
    pub account_id: Option<String>,
    /// Null for a token that is no session.
    pub user: Option<User>,
    pub expires_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateUser {
    /// `[a-z0-9][a-z0-9._-]{0,62}`
    #[schema(example = "hanako")]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// 8 to 1024 bytes. Without one nobody can sign in yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(default)]
    pub memberships: Vec<Membership>,
}

/// What is absent stays; memberships are replaced as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateUser {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Ends the user's sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memberships: Option<Vec<Membership>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateSession {
    pub name: String,
    pub password: String,
    /// One of the user's; the first unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
}

/// A user's own password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangePassword {
    pub password: String,
    pub new_password: String,
}

wordless!(User, Session, Whoami);
