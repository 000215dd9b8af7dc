//! People and tokens.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::quotas::Usage as Held;
use crate::domain::secret;
use crate::domain::user as domain;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Whoami {
    pub name: String,
    pub is_admin: bool,
    /// Of the token in use: `read`, `write` or `admin`
    pub scope: String,
    /// Namespaces the caller has a role in, their own first.
    pub namespaces: Vec<Namespace>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Namespace {
    pub name: String,
    /// `read`, `write` or `admin`
    pub role: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Account {
    pub name: String,
    /// `user` or `organisation`
    pub kind: String,
    pub full_name: String,
    pub is_admin: bool,
    pub disabled: bool,
    pub created: String,
}

/// What an account holds and may hold.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    pub name: String,
    /// Different bytes in the repos of its namespace.
    pub stored_bytes: u64,
    /// Bytes it has sent that are kept, published or not, and those it has announced; at most twice the quota.
    pub sent_bytes: u64,
    /// For `stored_bytes`; 0: no limit.
    pub quota_bytes: u64,
    /// It was set for this account, and is not the server's.
    pub quota_is_own: bool,
    pub repos: u64,
    /// That the user administers.
    pub organisations: u64,
    pub tokens: u64,
    /// Unfinished ones.
    pub uploads: u64,
    /// Queued and running ones.
    pub jobs: u64,
}

/// What an account may hold; `null`, or nothing, for what the server's settings say.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetQuota {
    /// 0: no limit.
    #[serde(default)]
    pub quota_bytes: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAccount {
    pub name: String,
    /// `user` (default) or `organisation`
    #[serde(default)]
    pub kind: Option<String>,
    #[serde(default)]
    pub full_name: String,
}

/// A new user and their first token, shown this once; an organisation has none.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedAccount {
    pub account: Account,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The same token for clients that take only those that begin with `hf_`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PatchAccount {
    pub full_name: Option<String>,
    /// Site administrators only.
    pub disabled: Option<bool>,
    /// Site administrators only; the last administrator stays one.
    pub is_admin: Option<bool>,
}

/// A role of a user in an organisation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Member {
    pub user: String,
    pub role: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    pub name: String,
    /// `read` (default), `write` or `admin`. The token that asks must have the scope `admin`.
    #[serde(default)]
    pub scope: Option<String>,
    /// Absent: it ends with the token that asks. Never later than that one.
    #[serde(default)]
    pub expires_in_days: Option<u32>,
    /// Site administrators may make one for another user.
    #[serde(default)]
    pub user: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Token {
    pub id: String,
    /// The token it was made with: it ends with that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    pub name: String,
    pub scope: String,
    pub created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<String>,
}

/// The secret is in no other answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    #[serde(flatten)]
    pub token: Token,
    pub secret: String,
    /// The same token for clients that take only those that begin with `hf_`.
    #[serde(default)]
    pub alias: String,
}

impl CreatedToken {
    pub fn new(token: domain::Token, secret: String) -> CreatedToken {
        CreatedToken { token: token.into(), alias: secret::alias(&secret), secret }
    }
}

impl CreatedAccount {
    pub fn new(account: domain::Account, token: Option<String>) -> CreatedAccount {
        CreatedAccount { account: account.into(), alias: token.as_deref().map(secret::alias), token }
    }
}

impl From<domain::Account> for Account {
    fn from(a: domain::Account) -> Account {
        Account {
            name: a.name.to_string(),
            kind: a.kind.to_string(),
            full_name: a.full_name,
            is_admin: a.is_admin,
            disabled: a.disabled,
            created: a.created.to_string(),
        }
    }
}

impl From<Held> for Usage {
    fn from(held: Held) -> Usage {
        Usage {
            name: held.account.name.to_string(),
            stored_bytes: held.stored_bytes,
            sent_bytes: held.sent_bytes,
            quota_bytes: held.quota_bytes,
            quota_is_own: held.quota_is_own,
            repos: held.repos,
            organisations: held.organisations,
            tokens: held.tokens,
            uploads: held.uploads,
            jobs: held.jobs,
        }
    }
}

impl From<domain::Member> for Member {
    fn from(m: domain::Member) -> Member {
        Member { user: m.user.to_string(), role: m.role.to_string() }
    }
}

impl From<domain::Token> for Token {
    fn from(t: domain::Token) -> Token {
        Token {
            id: t.id.to_string(),
            parent: t.parent.map(|id| id.to_string()),
            name: t.name,
            scope: t.scope.to_string(),
            created: t.created.to_string(),
            expires: t.expires.map(|at| at.to_string()),
            last_used: t.last_used.map(|at| at.to_string()),
        }
    }
}
