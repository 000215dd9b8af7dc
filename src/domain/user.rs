//! People: users and organisations own namespaces; tokens act for users within a scope.

use super::id::{AccountId, TokenId};
use super::name::Name;
use super::time::Timestamp;

/// Who owns a namespace of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub name: Name,
    pub kind: AccountKind,
    /// Site administrators may do everything.
    pub is_admin: bool,
    /// A disabled user's tokens are refused.
    pub disabled: bool,
    pub full_name: String,
    pub created: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKind {
    User,
    Organisation,
}

/// What a member may do in a namespace. Ordered: each includes the ones below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Read,
    Write,
    Admin,
}

/// What a token may be used for. Ordered: each includes the ones below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    Read,
    Write,
    Admin,
}

macro_rules! words {
    ($type:ty, $($variant:ident = $word:literal),+) => {
        impl $type {
            pub fn as_str(self) -> &'static str {
                match self { $(<$type>::$variant => $word),+ }
            }

            pub fn parse(text: &str) -> Option<$type> {
                match text { $($word => Some(<$type>::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words!(AccountKind, User = "user", Organisation = "organisation");
words!(Role, Read = "read", Write = "write", Admin = "admin");
words!(Scope, Read = "read", Write = "write", Admin = "admin");

/// A member of an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub user: Name,
    pub role: Role,
}

/// A token as its owner sees it; the secret is shown once, at birth, and only its hash is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub id: TokenId,
    pub owner: AccountId,
    /// The token it was made with, whose end is its own.
    pub parent: Option<TokenId>,
    pub name: String,
    pub scope: Scope,
    pub created: Timestamp,
    pub expires: Option<Timestamp>,
    pub last_used: Option<Timestamp>,
}

/// A token of machines that work on jobs. It acts for nobody: what it may read and write is what the jobs it holds may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerToken {
    pub id: TokenId,
    /// Which machine, or which cluster.
    pub name: String,
    pub created: Timestamp,
    pub expires: Option<Timestamp>,
    pub last_used: Option<Timestamp>,
}

/// Who is asking. Every service method takes one, first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    Anonymous,
    User {
        account: AccountId,
        name: Name,
        is_admin: bool,
        scope: Scope,
        token: TokenId,
    },
    /// The house itself: the worker publishing a result, the first start.
    System,
}

impl Actor {
    pub fn name(&self) -> Option<&Name> {
        match self {
            Actor::User { name, .. } => Some(name),
            _ => None,
        }
    }

    pub fn account(&self) -> Option<&AccountId> {
        match self {
            Actor::User { account, .. } => Some(account),
            _ => None,
        }
    }
}
