//! Sends what the outbox holds: any server may, under the webhook's lease, at least once. A server that dies in between leaves the lease to
//! run out, and another one sends again under the same id. An answer of 2xx is what counts; nothing else is followed or believed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};

use super::super::{Result, Service, access};
use super::sign;
use crate::catalog::webhooks::{Attempt, Due};
use crate::catalog::{repos, tokens, users, webhooks};
use crate::db::Tx;
use crate::domain::network::Network;
use crate::domain::time::Timestamp;
use crate::domain::user::{Account, Actor, Scope};
use crate::domain::webhook::{DeliveryState, next_attempt};
use crate::outbound::Destinations;

/// What one attempt may take, from the look-up of the name to the last byte of the answer that is read.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longer than an attempt takes.
const LEASE_MS: i64 = 20_000;
/// Of an answer's body.
const MOST_READ: usize = 4 << 10;
const MOST_SHOWN: usize = 500;
/// Attempts in a row that fail before a webhook is switched off.
const MOST_FAILURES: u64 = 30;
/// What says that nobody wants to be told any more (RFC 9110, 15.5.11).
const GONE: u16 = 410;

/// What tells webhooks: it connects to nothing but what its destinations admit, and follows nobody elsewhere.
#[derive(Clone)]
pub struct Sender {
    client: Client,
    destinations: Destinations,
}

/// What became of an attempt.
struct Answered {
    status: Option<u16>,
    /// The beginning of the answer, or why there was none.
    text: String,
}

impl Sender {
    /// # Errors
    /// The system's TLS cannot be used.
    pub fn new(networks: &[Network]) -> io::Result<Sender> {
        // A second call would only say that there is a provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let destinations = Destinations::with_networks(networks);
        let client = Client::builder()
            .user_agent(concat!("backbone-hub/", env!("CARGO_PKG_VERSION")))
            .timeout(PATIENCE)
            .redirect(Policy::none())
            // A proxy would look names up itself, and a kept connection was checked long ago.
            .no_proxy()
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(destinations.clone()))
            .build();
        Ok(Sender { client: client.map_err(io::Error::other)?, destinations })
    }

    async fn send(&self, due: &Due, now: Timestamp) -> Answered {
        let forbidden = || Answered { status: None, text: "it leads to no address that webhooks may be sent to".into() };
        let Some(url) = Url::parse(&due.webhook.url).ok().filter(|url| self.destinations.admit(url)) else { return forbidden() };
        let secrets: Vec<&str> = std::iter::once(due.secret.as_str()).chain(due.former_secret.as_deref()).collect();
        let mut request = self.client.post(url).header(CONTENT_TYPE, "application/json").body(due.body.clone());
        for (name, value) in sign::headers(&secrets, due.delivery.id.as_str(), now, &due.body) {
            request = request.header(name, value);
        }
        match request.send().await {
            Ok(response) => Answered { status: Some(response.status().as_u16()), text: beginning(response).await },
            Err(error) => Answered { status: None, text: reason(&error) },
        }
    }
}

/// Why nothing was answered, in words that do not tell what there is in a network.
fn reason(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "it did not answer in time"
    } else if error.is_connect() {
        "it could not be connected to, or leads to no address that webhooks may be sent to"
    } else {
        "the connection broke"
    };
    what.to_owned()
}

/// The beginning of an answer's body as text.
async fn beginning(response: Response) -> String {
    let mut read = Vec::new();
    let mut body = response.bytes_stream();
    while let Some(Ok(bytes)) = body.next().await {
        read.extend_from_slice(&bytes);
        if read.len() >= MOST_READ {
            break;
        }
    }
    read.truncate(MOST_READ);
    String::from_utf8_lossy(&read).chars().filter(|c| !c.is_control() || *c == '\n').take(MOST_SHOWN).collect()
}

impl Service {
    /// The next thing to tell, leased; what its owner may not know any more is dropped on the way.
    pub async fn lease_delivery(&self) -> Result<Option<Due>> {
        let now = self.now();
        if !self.db.read(move |tx| webhooks::is_due(tx, now)).await? {
            return Ok(None);
        }
        self.db
            .write(move |tx| {
                while let Some(due) = webhooks::lease_due(tx, now, now.plus_ms(LEASE_MS))? {
                    match standing(tx, &due, now)? {
                        Standing::Good => return Ok(Some(due)),
                        Standing::Lost(why) => webhooks::drop_delivery(tx, &due.webhook.id, &due.delivery.id, why, now)?,
                        Standing::Ended(why) => webhooks::disable(tx, &due.webhook.id, why, now)?,
                    }
                }
                Ok(None)
            })
            .await
    }

    /// Tells it, and writes down what was answered.
    pub async fn deliver(&self, sender: &Sender, due: Due) -> Result<()> {
        let answered = sender.send(&due, self.now()).await;
        let now = self.now();
        self.db.write(move |tx| note(tx, &due, &answered, now)).await
    }
}

fn note(tx: &mut Tx<'_>, due: &Due, answered: &Answered, now: Timestamp) -> Result<()> {
    let good = answered.status.is_some_and(|status| (200..300).contains(&status));
    let again = next_attempt(due.delivery.attempts + 1, now);
    let state = match again {
        _ if good => DeliveryState::Delivered,
        Some(_) if answered.status != Some(GONE) => DeliveryState::Waiting,
        _ => DeliveryState::Failed,
    };
    let redirected = answered.status.is_some_and(|status| (300..400).contains(&status));
    let text = if redirected { "it leads elsewhere, which is not followed" } else { &answered.text };
    let attempt = Attempt { state, next_attempt: again.unwrap_or(now), status: answered.status, answer: text };
    let failures = webhooks::note_attempt(tx, &due.webhook.id, &due.delivery.id, &attempt, now)?;
    if answered.status == Some(GONE) {
        webhooks::disable(tx, &due.webhook.id, "it answered 410 Gone", now)?;
    } else if failures >= MOST_FAILURES {
        webhooks::disable(tx, &due.webhook.id, &format!("{failures} attempts failed one after the other; the last: {text}"), now)?;
    }
    Ok(())
}

/// May its owner be told?
enum Standing {
    Good,
    /// Not this.
    Lost(&'static str),
    /// Nothing any more.
    Ended(&'static str),
}

fn standing(tx: &mut Tx<'_>, due: &Due, now: Timestamp) -> Result<Standing> {
    let owner = users::find_by_id(tx, &due.webhook.owner)?.filter(|owner| !owner.disabled);
    let Some(owner) = owner else { return Ok(Standing::Ended("its owner may no longer log in")) };
    let token = tokens::find(tx, &due.webhook.token)?.filter(|token| token.expires.is_none_or(|at| at > now));
    if token.is_none() {
        return Ok(Standing::Ended("the token it was made with was revoked or has expired"));
    }
    let Some(key) = &due.repo else { return Ok(Standing::Good) };
    let repo = repos::find_by_key(tx, key)?;
    let actor = acting_as(owner, due);
    let seen = repo.is_some_and(|repo| access::see_repo(tx, &actor, repo.kind, &repo.id).is_ok());
    Ok(if seen { Standing::Good } else { Standing::Lost("the repo is gone, or not for its owner any more") })
}

fn acting_as(owner: Account, due: &Due) -> Actor {
    Actor::User { account: owner.id, name: owner.name, is_admin: owner.is_admin, scope: Scope::Read, token: due.webhook.token.clone() }
}
