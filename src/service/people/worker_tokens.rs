//! Tokens of workers: made, listed and revoked by administrators, and good for nothing but jobs. Such a token is nobody's: whoever shows it
//! holds what the jobs it leased hold, while it holds them.

use subtle::ConstantTimeEq as _;

use super::super::{Error, Result, Service, access};
use super::journal::note_act;
use super::tokens::{DAY_MS, LAST_USED_EXACT_TO_MS, MAX_DAYS, bad_token, checked_name};
use crate::catalog::{tokens, worker_tokens};
use crate::domain::id::TokenId;
use crate::domain::secret::Secret;
use crate::domain::user::{Actor, WorkerToken};

/// Tokens of workers that one hub has.
const MOST: usize = 10_000;

impl Service {
    /// The worker token of a secret. A person's token is refused with 403, an unknown one with 401.
    pub async fn authenticate_worker(&self, secret: &str) -> Result<WorkerToken> {
        let secret = Secret::parse(secret.trim()).map_err(|e| bad_token(&e.to_string()))?;
        let (hash, now) = (secret.hash(), self.now());
        let wanted = hash.clone();
        let found = self.db.read(move |tx| {
            let found = worker_tokens::find_by_hash(tx, &wanted)?;
            let of_person = found.is_none() && tokens::find_by_hash(tx, &wanted)?.is_some();
            Ok::<_, Error>((found, of_person))
        });
        let (found, of_person) = found.await?;
        if of_person {
            return Err(not_a_worker());
        }
        let found = found.filter(|(_, stored)| bool::from(stored.as_bytes().ct_eq(hash.as_bytes())));
        let (token, _) = found.ok_or_else(|| bad_token("the token is unknown or was revoked"))?;
        if token.expires.is_some_and(|at| at <= now) {
            return Err(bad_token("the token has expired"));
        }
        if token.last_used.is_none_or(|at| at.plus_ms(LAST_USED_EXACT_TO_MS) < now) {
            let (id, since) = (token.id.clone(), now.plus_ms(-LAST_USED_EXACT_TO_MS));
            self.db.write(move |tx| Ok::<_, Error>(worker_tokens::touch(tx, &id, now, since)?)).await?;
        }
        Ok(token)
    }

    /// Makes one, for a machine or a cluster of this name. The secret is in no other answer.
    pub async fn create_worker_token(&self, actor: &Actor, name: &str, days: Option<u32>) -> Result<(WorkerToken, String)> {
        access::admin_site(actor)?;
        if days.is_some_and(|days| days == 0 || days > MAX_DAYS) {
            return Err(Error::invalid("bad_expiry", "a token lasts 1 to 3660 days", "leave the days out for one that does not expire"));
        }
        let (now, note, secret, name) = (self.now(), self.note()?, self.new_secret()?, checked_name(name)?);
        let expires = days.map(|days| now.plus_ms(i64::from(days) * DAY_MS));
        let token = WorkerToken { id: TokenId::new(now, self.random()?), name, created: now, expires, last_used: None };
        let actor = actor.clone();
        self.db
            .write(move |tx| {
                let known = worker_tokens::list(tx)?;
                if known.iter().any(|known| known.name == token.name) {
                    let message = format!("there is a worker token called '{}'", token.name);
                    return Err(Error::conflict("name_taken", message, "revoke it, or choose another name"));
                }
                if known.len() >= MOST {
                    return Err(Error::busy(
                        "too_many_tokens",
                        format!("{MOST} worker tokens are there"),
                        "revoke those that are not needed",
                    ));
                }
                worker_tokens::insert(tx, &token, &secret.hash())?;
                note_act(tx, now, note, &actor, "worker_token.create", token.id.as_str(), &token.name)?;
                Ok((token, secret.reveal().to_owned()))
            })
            .await
    }

    /// Those that may be used, newest first.
    pub async fn list_worker_tokens(&self, actor: &Actor) -> Result<Vec<WorkerToken>> {
        access::admin_site(actor)?;
        Ok(self.db.read(worker_tokens::list).await?)
    }

    /// Ends one, by its id or its name, at once: what it holds goes to others when its leases run out.
    pub async fn revoke_worker_token(&self, actor: &Actor, named: &str) -> Result<()> {
        access::admin_site(actor)?;
        let (now, note, named, actor) = (self.now(), self.note()?, named.to_owned(), actor.clone());
        self.db
            .write(move |tx| {
                let unknown = || {
                    let message = format!("there is no worker token '{named}'");
                    Error::not_found("token_not_found", message, "`hub admin worker-token list` shows names and ids")
                };
                let token = worker_tokens::find(tx, &named)?.ok_or_else(unknown)?;
                worker_tokens::revoke(tx, &token.id, now)?;
                note_act(tx, now, note, &actor, "worker_token.revoke", token.id.as_str(), &token.name)
            })
            .await
    }
}

/// What a worker's token is told everywhere but at the routes of workers.
pub(super) fn only_for_workers() -> Error {
    Error::forbidden("worker_token", "a worker's token is good for the jobs it works on, and for nothing else", "use a token of your own")
}

fn not_a_worker() -> Error {
    let hint = "an administrator makes one: `hub admin worker-token create NAME`";
    Error::forbidden("not_a_worker_token", "only a worker's token is taken here, and this is a person's", hint)
}
