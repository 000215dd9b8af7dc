//! Web sessions: a cookie in the place of a token, ended by logging out, by time, or with the token it stands on.

use super::super::{Error, Result, Service, access};
use super::journal::note_act;
use crate::catalog::tokens;
use crate::domain::secret::{self, Secret};
use crate::domain::time::Timestamp;
use crate::domain::user::{Actor, Role};

/// What the secret of a session's forms is computed for.
const FORM: &str = "form";
const LASTS_MS: i64 = 14 * 86_400_000;

/// A logged-in browser.
#[derive(Debug, Clone)]
pub struct Session {
    /// The cookie's value; only its hash is stored.
    pub cookie: String,
    /// What every form of this browser must carry; computed from the cookie and stored nowhere.
    pub csrf: String,
    pub actor: Actor,
    pub expires: Timestamp,
    /// Milliseconds from now to `expires`.
    pub lasts_ms: i64,
}

impl Service {
    /// Logs a browser in with a token. Cookie and form token are new each time: none can be planted beforehand.
    pub async fn open_session(&self, secret: &str) -> Result<Session> {
        let actor = self.authenticate(secret).await?;
        let Actor::User { token, .. } = &actor else { return Err(Error::Internal("a token without a user".into())) };
        let cookie = self.new_secret()?.reveal().to_owned();
        let csrf = secret::derived(&cookie, FORM);
        let (now, token, note, who) = (self.now(), token.clone(), self.note()?, actor.clone());
        let expires = now.plus_ms(LASTS_MS);
        let hash = secret::hash(&cookie);
        self.db
            .write(move |tx| {
                tokens::delete_expired_sessions(tx, now)?;
                tokens::insert_session(tx, &hash, &token, now, expires)?;
                note_act(tx, now, note, &who, "login", token.as_str(), "")
            })
            .await?;
        Ok(Session { cookie, csrf, actor, expires, lasts_ms: LASTS_MS })
    }

    /// The session of a cookie, if it and its token are still good.
    pub async fn find_session(&self, cookie: &str) -> Result<Option<Session>> {
        if Secret::parse(cookie).is_err() {
            return Ok(None);
        }
        let (hash, now) = (secret::hash(cookie), self.now());
        let found = self.db.read(move |tx| tokens::find_session(tx, &hash)).await?;
        let Some(found) = found.filter(|found| found.expires > now) else { return Ok(None) };
        let Ok(actor) = self.actor_of(&found.token, &found.owner) else { return Ok(None) };
        let lasts_ms = found.expires.unix_ms() - now.unix_ms();
        Ok(Some(Session { cookie: cookie.to_owned(), csrf: secret::derived(cookie, FORM), actor, expires: found.expires, lasts_ms }))
    }

    pub async fn close_session(&self, cookie: &str) -> Result<()> {
        let hash = secret::hash(cookie);
        Ok(self.db.write(move |tx| tokens::delete_session(tx, &hash)).await?)
    }

    /// Ends all browser sessions of the caller, also the one that asks; how many that were.
    pub async fn close_all_sessions(&self, actor: &Actor) -> Result<u64> {
        access::scope(actor, Role::Read)?;
        let (actor, now, note) = (actor.clone(), self.now(), self.note()?);
        self.db
            .write(move |tx| {
                let account = access::known(&actor)?;
                let ended = tokens::delete_sessions_of(tx, account)?;
                let name = actor.name().map(ToString::to_string).unwrap_or_default();
                note_act(tx, now, note, &actor, "session.end_all", &name, &format!("{ended} ended"))?;
                Ok(ended)
            })
            .await
    }
}
