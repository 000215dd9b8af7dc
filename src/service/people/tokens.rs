//! Tokens: who a secret belongs to, making and revoking them. Only their hash is stored.

use subtle::ConstantTimeEq as _;

use super::super::{Error, Result, Service, access};
use super::accounts::find_user;
use super::journal::note_act;
use super::quotas::one_more;
use super::worker_tokens::only_for_workers;
use crate::catalog::{tokens, usage, worker_tokens};
use crate::db::Tx;
use crate::domain::id::{AccountId, TokenId};
use crate::domain::name::Name;
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;
use crate::domain::user::{Account, Actor, Role, Scope, Token};

/// How exactly the last use of a token is known: a write per request would cost a disk sync each.
pub(super) const LAST_USED_EXACT_TO_MS: i64 = 60_000;
pub(super) const DAY_MS: i64 = 86_400_000;
pub(super) const MAX_DAYS: u32 = 3_660;

impl Service {
    /// Who a token's secret belongs to; it must be known, in its time, and its owner enabled.
    pub async fn authenticate(&self, secret: &str) -> Result<Actor> {
        let secret = Secret::parse(secret.trim()).map_err(|e| bad_token(&e.to_string()))?;
        let (hash, now) = (secret.hash(), self.now());
        let wanted = hash.clone();
        let found = self.db.read(move |tx| {
            let found = tokens::find_by_hash(tx, &wanted)?;
            let of_worker = found.is_none() && worker_tokens::find_by_hash(tx, &wanted)?.is_some();
            Ok::<_, Error>((found, of_worker))
        });
        let (found, of_worker) = found.await?;
        if of_worker {
            return Err(only_for_workers());
        }
        // The row was found by an index on the hash; comparing once more in constant time costs nothing.
        let found = found.filter(|found| bool::from(found.hash.as_bytes().ct_eq(hash.as_bytes())));
        let found = found.ok_or_else(|| bad_token("the token is unknown or was revoked"))?;
        let actor = self.actor_of(&found.token, &found.owner)?;
        let stale = found.token.last_used.is_none_or(|at| at.plus_ms(LAST_USED_EXACT_TO_MS) < now);
        if stale {
            self.note_use(found.token.id);
        }
        Ok(actor)
    }

    /// The actor behind a token that may be used now.
    pub(super) fn actor_of(&self, token: &Token, owner: &Account) -> Result<Actor> {
        if token.expires.is_some_and(|at| at <= self.now()) {
            return Err(bad_token("the token has expired"));
        }
        if owner.disabled {
            return Err(bad_token("the account of this token is disabled"));
        }
        let (account, name, token, scope) = (owner.id.clone(), owner.name.clone(), token.id.clone(), token.scope);
        Ok(Actor::User { account, name, is_admin: owner.is_admin, scope, token })
    }

    /// Notes the use in the background: nobody waits for it, and losing one is no harm.
    fn note_use(&self, id: TokenId) {
        let (db, now) = (self.db.clone(), self.now());
        tokio::spawn(async move {
            let noted = db.write(move |tx| tokens::touch(tx, &id, now, now.plus_ms(-LAST_USED_EXACT_TO_MS))).await;
            if let Err(error) = noted {
                tracing::warn!(%error, "the last use of a token was not noted");
            }
        });
    }

    /// Makes a token, for the caller or (site administrators) for another user. It never reaches further than
    /// the token that asks, which needs the scope `admin`, and ends with that one at the latest. The secret is in no
    /// other answer.
    pub async fn create_token(
        &self,
        actor: &Actor,
        name: &str,
        scope: Scope,
        expires_in_days: Option<u32>,
        for_user: Option<&Name>,
    ) -> Result<(Token, String)> {
        access::scope(actor, Role::Admin)?;
        if expires_in_days.is_some_and(|days| days == 0 || days > MAX_DAYS) {
            return Err(Error::invalid("bad_expiry", "a token lasts 1 to 3660 days", "leave the days out for one that does not expire"));
        }
        let name = checked_name(name)?;
        let expires = expires_in_days.map(|days| self.now().plus_ms(i64::from(days) * DAY_MS));
        let (actor, for_user, secret) = (actor.clone(), for_user.cloned(), self.new_secret()?);
        let (now, note, id) = (self.now(), self.note()?, TokenId::new(self.now(), self.random()?));
        let most = self.policy.quotas.tokens_per_user;
        self.db
            .write(move |tx| {
                let foreign = for_user.filter(|user| actor.name().map(Name::folded) != Some(user.folded()));
                let owner = match foreign {
                    None => access::known(&actor)?.clone(),
                    Some(user) => {
                        access::admin_site(&actor)?;
                        find_user(tx, &user)?.id
                    }
                };
                let (held, hint) = (usage::count_tokens(tx, &owner, now.unix_ms())?, "revoke those that are not needed");
                one_more("too_many_tokens", "tokens of this user", held, most, hint)?;
                let parent = maker(tx, &actor, now)?;
                let expires = expires.into_iter().chain(parent.as_ref().and_then(|parent| parent.expires)).min();
                let parent = parent.map(|parent| parent.id);
                let token = Token { id, owner, parent, name, scope, created: now, expires, last_used: None };
                tokens::insert(tx, &token, &secret.hash())?;
                note_act(tx, now, note, &actor, "token.create", token.id.as_str(), &format!("scope={scope} owner={}", token.owner))?;
                Ok((token, secret.reveal().to_owned()))
            })
            .await
    }

    /// The caller's tokens, newest first; site administrators may ask for another user's.
    pub async fn list_tokens(&self, actor: &Actor, of_user: Option<&Name>) -> Result<Vec<Token>> {
        let (actor, of_user) = (actor.clone(), of_user.cloned());
        self.db
            .read(move |tx| {
                let owner = match of_user {
                    None => access::known(&actor)?.clone(),
                    Some(user) => {
                        access::admin_site(&actor)?;
                        find_user(tx, &user)?.id
                    }
                };
                Ok(tokens::list(tx, &owner)?)
            })
            .await
    }

    /// Ends a token of the caller's (or, for site administrators, anyone's), at once and for good, and all that were made
    /// with it.
    pub async fn revoke_token(&self, actor: &Actor, id: &TokenId) -> Result<()> {
        let (actor, id, now, note) = (actor.clone(), id.clone(), self.now(), self.note()?);
        self.db
            .write(move |tx| {
                let token = tokens::find(tx, &id)?;
                // A token may always end itself; any other needs the scope that could have made it.
                let itself = matches!(&actor, Actor::User { token, .. } if *token == id);
                let own = token.as_ref().is_some_and(|token| actor.account() == Some(&token.owner));
                if !itself && own {
                    access::scope(&actor, Role::Admin)?;
                } else if !itself && access::admin_site(&actor).is_err() {
                    access::known(&actor)?;
                    return Err(unknown_token());
                }
                let token = token.ok_or_else(unknown_token)?;
                let ended = tokens::revoke(tx, &token.id, now)?;
                note_act(tx, now, note, &actor, "token.revoke", token.id.as_str(), &format!("owner={} ended={ended}", token.owner))
            })
            .await
    }

    pub(super) fn new_secret(&self) -> Result<Secret> {
        Ok(Secret::new(self.random()?))
    }

    pub(super) fn token_of(&self, owner: &AccountId, name: &str, scope: Scope, days: Option<u32>) -> Result<Token> {
        let now = self.now();
        let expires = days.map(|days| now.plus_ms(i64::from(days) * DAY_MS));
        let (id, owner, name) = (TokenId::new(now, self.random()?), owner.clone(), name.to_owned());
        Ok(Token { id, owner, parent: None, name, scope, created: now, expires, last_used: None })
    }
}

/// The token in the caller's hand, as it is now: it may have ended since it was shown.
fn maker(tx: &mut Tx<'_>, actor: &Actor, now: Timestamp) -> Result<Option<Token>> {
    let Actor::User { token, .. } = actor else { return Ok(None) };
    let parent = tokens::find(tx, token)?.filter(|parent| parent.expires.is_none_or(|at| at > now));
    parent.map(Some).ok_or_else(|| bad_token("the token was revoked or has expired"))
}

pub(super) fn checked_name(name: &str) -> Result<String> {
    let name = name.trim();
    let good = !name.is_empty() && name.len() <= 96 && !name.chars().any(char::is_control);
    let error = || Error::invalid("bad_token_name", "a token's name has 1 to 96 bytes and no control characters", "say what it is for");
    if good { Ok(name.into()) } else { Err(error()) }
}

pub(super) fn bad_token(message: &str) -> Error {
    Error::unauthorized("bad_token", message, "make a new token on the site's token page, then 'hub login'")
}

fn unknown_token() -> Error {
    Error::not_found("token_not_found", "you have no such token", "list your tokens to see their ids")
}
