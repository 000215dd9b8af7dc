//! Webhooks: people name an address and what they want to be told there. What is to be told is written with what it tells (`outbox`) and
//! sent afterwards by any server (`send`), signed (`sign`). A webhook is its owner's business alone, and ends with the token that made it.

pub(in crate::service) mod outbox;
pub mod send;
mod sign;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::people::journal::note_act;
use super::people::quotas::one_more;
use super::{Error, Result, Service, access};
use crate::catalog::{repos, webhooks};
use crate::db::Tx;
use crate::domain::id::WebhookId;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::time::Timestamp;
use crate::domain::user::{Actor, Role};
use crate::domain::webhook::{Delivery, Webhook, WebhookEvent};
use crate::outbound::Destinations;

/// Webhooks one person may have.
const MOST: u64 = 20;
const LONGEST_URL: usize = 2_000;
/// How long a name may take to be looked up.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(5);
/// Deliveries that are shown.
const SHOWN: usize = 100;
/// How long the secret before the newest signs beside it.
const BOTH_SIGN_MS: i64 = 86_400_000;

/// A webhook to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWebhook {
    pub url: String,
    /// Words; empty for all.
    pub events: Vec<String>,
    pub repo: Option<(RepoKind, RepoId)>,
}

/// A webhook as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownWebhook {
    pub webhook: Webhook,
    /// What its repo is called now; of one that its owner may not see any more, nothing.
    pub repo: Option<(RepoKind, RepoId)>,
}

impl Service {
    /// Makes a webhook of the caller's; its secret is in no other answer.
    pub async fn create_webhook(&self, actor: &Actor, asked: NewWebhook) -> Result<(ShownWebhook, String)> {
        access::scope(actor, Role::Write)?;
        let Actor::User { account, token, .. } = actor.clone() else { return Err(ownerless()) };
        let events = read_events(&asked.events)?;
        let url = self.checked_address(&asked.url).await?;
        let (now, note, secret) = (self.now(), self.note()?, self.new_webhook_secret()?);
        let id = WebhookId::new(now, self.random()?);
        let actor = actor.clone();
        self.db
            .write(move |tx| {
                let held = webhooks::list(tx, &account)?.len() as u64;
                one_more("too_many_webhooks", "webhooks of this user", held, MOST, "remove those that are not needed")?;
                let repo = asked.repo.map(|(kind, name)| access::see_repo(tx, &actor, kind, &name)).transpose()?;
                let key = repo.as_ref().map(|repo| repo.key.clone());
                let webhook = Webhook { id, owner: account, token, url, events, repo: key, created: now, disabled: None, failures: 0 };
                webhooks::insert(tx, &webhook, &secret)?;
                note_act(tx, now, note, &actor, "webhook.create", webhook.id.as_str(), host_of(&webhook.url).as_str())?;
                Ok((ShownWebhook { webhook, repo: repo.map(|repo| (repo.kind, repo.id)) }, secret))
            })
            .await
    }

    /// The caller's webhooks, newest first.
    pub async fn list_webhooks(&self, actor: &Actor) -> Result<Vec<ShownWebhook>> {
        access::scope(actor, Role::Write)?;
        let actor = actor.clone();
        self.db
            .read(move |tx| {
                let all = webhooks::list(tx, access::known(&actor)?)?;
                all.into_iter().map(|webhook| shown(tx, &actor, webhook)).collect()
            })
            .await
    }

    pub async fn remove_webhook(&self, actor: &Actor, id: &WebhookId) -> Result<()> {
        access::scope(actor, Role::Write)?;
        let (actor, id, now, note) = (actor.clone(), id.clone(), self.now(), self.note()?);
        self.db
            .write(move |tx| {
                own(tx, &actor, &id)?;
                webhooks::delete(tx, &id)?;
                note_act(tx, now, note, &actor, "webhook.remove", id.as_str(), "")
            })
            .await
    }

    /// Gives it a new secret; the one before signs beside it for a day, so that whoever checks can change over.
    pub async fn rotate_webhook(&self, actor: &Actor, id: &WebhookId) -> Result<String> {
        access::scope(actor, Role::Write)?;
        let (actor, id, now, note, secret) = (actor.clone(), id.clone(), self.now(), self.note()?, self.new_webhook_secret()?);
        self.db
            .write(move |tx| {
                own(tx, &actor, &id)?;
                webhooks::rotate(tx, &id, &secret, now.plus_ms(BOTH_SIGN_MS))?;
                note_act(tx, now, note, &actor, "webhook.rotate", id.as_str(), "")?;
                Ok(secret)
            })
            .await
    }

    /// Switches one on again that was switched off, from now on with the caller's token.
    pub async fn enable_webhook(&self, actor: &Actor, id: &WebhookId) -> Result<ShownWebhook> {
        access::scope(actor, Role::Write)?;
        let Actor::User { token, .. } = actor.clone() else { return Err(ownerless()) };
        let (actor, id, now, note) = (actor.clone(), id.clone(), self.now(), self.note()?);
        self.db
            .write(move |tx| {
                own(tx, &actor, &id)?;
                webhooks::enable(tx, &id, &token)?;
                note_act(tx, now, note, &actor, "webhook.enable", id.as_str(), "")?;
                let webhook = own(tx, &actor, &id)?;
                shown(tx, &actor, webhook)
            })
            .await
    }

    /// Puts a delivery into the outbox that says nothing but that it arrived.
    pub async fn test_webhook(&self, actor: &Actor, id: &WebhookId) -> Result<Delivery> {
        access::scope(actor, Role::Write)?;
        let (actor, id, now) = (actor.clone(), id.clone(), self.now());
        self.db
            .write(move |tx| {
                let webhook = own(tx, &actor, &id)?;
                if webhook.disabled.is_some() {
                    return Err(Error::conflict("webhook_disabled", format!("webhook {id} is off"), "switch it on first"));
                }
                let number = outbox::test(tx, &webhook, now)?;
                let delivery = webhooks::find_delivery(tx, &id, number)?;
                delivery.ok_or_else(|| Error::Internal("a delivery vanished as it was written".into()))
            })
            .await
    }

    /// What it was told, newest first.
    pub async fn webhook_deliveries(&self, actor: &Actor, id: &WebhookId) -> Result<Vec<Delivery>> {
        access::scope(actor, Role::Write)?;
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                own(tx, &actor, &id)?;
                Ok(webhooks::deliveries(tx, &id, SHOWN)?)
            })
            .await
    }

    fn new_webhook_secret(&self) -> Result<String> {
        Ok(format!("{}{}", sign::PREFIX, STANDARD.encode(self.random::<32>()?)))
    }

    /// The address, if it may be told things now. Whether a name is known and leads inside, or is not known, is not told apart: what names
    /// there are in a network is nobody's business outside.
    async fn checked_address(&self, text: &str) -> Result<String> {
        let wrong = |problem: &str, hint: &str| Error::invalid("bad_url", format!("'{text}' {problem}"), hint);
        let url =
            Url::parse(text.trim()).map_err(|e| wrong(&format!("is no address: {e}"), "give one such as https://example.org/hook"))?;
        if text.len() > LONGEST_URL {
            return Err(wrong(&format!("has more than {LONGEST_URL} characters"), "give a shorter one"));
        }
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(wrong("is no plain http or https address", "leave out names, passwords and what follows '#'"));
        }
        let destinations = Destinations::with_networks(&self.policy.webhook_networks);
        let inside =
            || wrong("leads to no address that webhooks may be sent to", "an administrator may allow networks with 'webhook_networks'");
        if !destinations.admit(&url) {
            return Err(inside());
        }
        if let (Some(name), Some(port)) = (url.domain(), url.port_or_known_default()) {
            let found = tokio::time::timeout(LOOK_UP_WITHIN, destinations.look_up(name, port)).await;
            if !matches!(found, Ok(Ok(addresses)) if !addresses.is_empty()) {
                return Err(inside());
            }
        }
        Ok(url.to_string())
    }
}

/// The caller's own; anybody else's does not exist, not for administrators either.
fn own(tx: &mut Tx<'_>, actor: &Actor, id: &WebhookId) -> Result<Webhook> {
    let account = access::known(actor)?;
    let found = webhooks::find(tx, id)?.filter(|webhook| webhook.owner == *account);
    found.ok_or_else(|| Error::not_found("webhook_not_found", format!("you have no webhook {id}"), "list yours with `hub webhooks list`"))
}

fn shown(tx: &mut Tx<'_>, actor: &Actor, webhook: Webhook) -> Result<ShownWebhook> {
    let found = webhook.repo.as_ref().map(|key| repos::find_by_key(tx, key)).transpose()?.flatten();
    let seen = found.filter(|repo| access::see_repo(tx, actor, repo.kind, &repo.id).is_ok());
    Ok(ShownWebhook { webhook, repo: seen.map(|repo| (repo.kind, repo.id)) })
}

fn read_events(words: &[String]) -> Result<Vec<WebhookEvent>> {
    if words.is_empty() {
        return Ok(WebhookEvent::ALL.to_vec());
    }
    let all = WebhookEvent::ALL.map(WebhookEvent::as_str).join(", ");
    let unknown = |word: &String| Error::invalid("bad_event", format!("there is no event '{word}'"), format!("name some of: {all}"));
    let mut events = words.iter().map(|word| WebhookEvent::find(word).ok_or_else(|| unknown(word))).collect::<Result<Vec<_>>>()?;
    events.sort();
    events.dedup();
    Ok(events)
}

/// What the audit log says of an address: the rest may hold secrets.
fn host_of(url: &str) -> String {
    Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

fn ownerless() -> Error {
    Error::unauthorized("login_required", "webhooks belong to somebody", "log in, or send a token of scope 'write'")
}

/// How long what webhooks were told is kept.
const KEEP_MS: i64 = 30 * 86_400_000;

impl Service {
    /// Forgets deliveries that ended long ago.
    pub async fn forget_deliveries(&self) -> Result<u64> {
        let before: Timestamp = self.now().plus_ms(-KEEP_MS);
        let mut gone = 0;
        loop {
            match self.db.write(move |tx| webhooks::forget(tx, before)).await? {
                0 => return Ok(gone),
                some => gone += some,
            }
        }
    }
}
