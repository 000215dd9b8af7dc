//! Webhooks and their outbox. A delivery is written in the transaction of what it tells; who sends takes the webhook's lease first, so
//! that one server tells it one thing at a time, in order.

use crate::db::{Error, Result, Row, Tx};
use crate::domain::id::{AccountId, DeliveryId, RepoKey, TokenId, WebhookId};
use crate::domain::time::Timestamp;
use crate::domain::webhook::{Delivery, DeliveryState, Webhook, WebhookEvent};
use crate::params;

const COLUMNS: &str = "w.id, w.owner, w.token, w.url, w.events, w.repo, w.created, w.disabled, w.failures";
const DELIVERY: &str = "d.id, d.event, d.created, d.state, d.attempts, d.next_attempt, d.status, d.answer, d.ended";

fn from_row(row: &Row) -> Result<Webhook> {
    let repo = row.text("repo")?;
    let events = row.text("events")?;
    Ok(Webhook {
        id: row.parse("id", WebhookId::parse)?,
        owner: row.parse("owner", AccountId::parse)?,
        token: row.parse("token", TokenId::parse)?,
        url: row.text("url")?,
        events: events.split(' ').filter_map(WebhookEvent::parse).collect(),
        repo: if repo.is_empty() { None } else { Some(row.parse("repo", RepoKey::parse)?) },
        created: Timestamp::from_unix_ms(row.int("created")?),
        disabled: row.find_text("disabled")?,
        failures: row.count("failures")?,
    })
}

fn delivery_from_row(row: &Row) -> Result<Delivery> {
    Ok(Delivery {
        id: row.parse("id", DeliveryId::parse)?,
        event: row.parse("event", |word| WebhookEvent::parse(word).ok_or("is no event"))?,
        created: Timestamp::from_unix_ms(row.int("created")?),
        state: row.parse("state", |word| DeliveryState::parse(word).ok_or("is no state"))?,
        attempts: row.count("attempts")?,
        next_attempt: Timestamp::from_unix_ms(row.int("next_attempt")?),
        status: row.find_int("status")?.and_then(|status| u16::try_from(status).ok()),
        answer: row.text("answer")?,
        ended: row.find_int("ended")?.map(Timestamp::from_unix_ms),
    })
}

pub fn insert(tx: &mut Tx<'_>, webhook: &Webhook, secret: &str) -> Result<()> {
    let events: Vec<&str> = webhook.events.iter().map(|event| event.as_str()).collect();
    let (id, owner, token) = (webhook.id.as_str(), webhook.owner.as_str(), webhook.token.as_str());
    let repo = webhook.repo.as_ref().map_or("", RepoKey::as_str);
    tx.execute(
        "insert into webhooks (id, owner, token, url, events, repo, secret, created) values ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![id, owner, token, &webhook.url, events.join(" "), repo, secret, webhook.created.unix_ms()],
    )?;
    Ok(())
}

pub fn find(tx: &mut Tx<'_>, id: &WebhookId) -> Result<Option<Webhook>> {
    tx.find(&format!("select {COLUMNS} from webhooks w where w.id = $1"), params![id.as_str()])?.as_ref().map(from_row).transpose()
}

/// A person's webhooks, newest first.
pub fn list(tx: &mut Tx<'_>, owner: &AccountId) -> Result<Vec<Webhook>> {
    let sql = format!("select {COLUMNS} from webhooks w where w.owner = $1 order by w.id desc");
    tx.all(&sql, params![owner.as_str()])?.iter().map(from_row).collect()
}

/// Those of a person that are on.
pub fn on_of_owner(tx: &mut Tx<'_>, owner: &AccountId) -> Result<Vec<Webhook>> {
    let sql = format!("select {COLUMNS} from webhooks w where w.owner = $1 and w.disabled is null order by w.id");
    tx.all(&sql, params![owner.as_str()])?.iter().map(from_row).collect()
}

/// Those that are on and concern a repo: about it alone, or of people whose namespace it is in (folded).
pub fn on_of_repo(tx: &mut Tx<'_>, repo: &RepoKey, namespace: &str) -> Result<Vec<Webhook>> {
    let sql = format!(
        "select {COLUMNS} from webhooks w join accounts a on a.id = w.owner
         where w.disabled is null and (w.repo = $1 or w.repo = '' and (a.folded = $2 or exists
         (select 1 from members m join accounts o on o.id = m.organisation where o.folded = $2 and m.account = w.owner)))
         order by w.id"
    );
    tx.all(&sql, params![repo.as_str(), namespace])?.iter().map(from_row).collect()
}

/// Takes it away with all it was told.
pub fn delete(tx: &mut Tx<'_>, id: &WebhookId) -> Result<()> {
    tx.execute("delete from webhook_deliveries where webhook = $1", params![id.as_str()])?;
    tx.execute("delete from webhooks where id = $1", params![id.as_str()])?;
    Ok(())
}

/// Switches it off, with a reason; what waits is not told any more.
pub fn disable(tx: &mut Tx<'_>, id: &WebhookId, why: &str, now: Timestamp) -> Result<()> {
    tx.execute("update webhooks set disabled = $2, lease_until = 0 where id = $1", params![id.as_str(), why])?;
    let sql = "update webhook_deliveries set state = 'dropped', answer = $2, ended = $3 where webhook = $1 and state = 'waiting'";
    tx.execute(sql, params![id.as_str(), why, now.unix_ms()])?;
    Ok(())
}

/// Switches it on, from now on with this token.
pub fn enable(tx: &mut Tx<'_>, id: &WebhookId, token: &TokenId) -> Result<()> {
    let sql = "update webhooks set disabled = null, failures = 0, token = $2 where id = $1";
    tx.execute(sql, params![id.as_str(), token.as_str()])?;
    Ok(())
}

/// Gives it another secret; the one before signs beside it until then.
pub fn rotate(tx: &mut Tx<'_>, id: &WebhookId, secret: &str, former_until: Timestamp) -> Result<()> {
    let sql = "update webhooks set former_secret = secret, former_until = $3, secret = $2 where id = $1";
    tx.execute(sql, params![id.as_str(), secret, former_until.unix_ms()])?;
    Ok(())
}

/// Writes down what is to be told; `random` is what its id is drawn from.
pub fn tell(
    tx: &mut Tx<'_>,
    webhook: &WebhookId,
    (event, repo): (WebhookEvent, Option<&RepoKey>),
    body: &str,
    now: Timestamp,
) -> Result<u64> {
    tx.lock(&format!("webhook {webhook}"))?;
    let sql = "select coalesce(max(number), 0) as n from webhook_deliveries where webhook = $1";
    let number = tx.one(sql, params![webhook.as_str()])?.count("n")? + 1;
    tx.execute(
        "insert into webhook_deliveries (id, webhook, number, event, repo, body, created, state, next_attempt)
         values ($1, $2, $3, $4, $5, $6, $7, 'waiting', $7)",
        params![
            delivery_id(webhook, number, now).as_str(),
            webhook.as_str(),
            number,
            event.as_str(),
            repo.map_or("", RepoKey::as_str),
            body,
            now.unix_ms()
        ],
    )?;
    Ok(number)
}

/// It follows from what it names, so that no transaction needs randomness.
fn delivery_id(webhook: &WebhookId, number: u64, now: Timestamp) -> DeliveryId {
    let digest = crate::domain::digest::Digest::of(format!("{webhook}\n{number}").as_bytes());
    let mut random = [0; 10];
    random.copy_from_slice(&digest.as_bytes()[..10]);
    DeliveryId::new(now, random)
}

pub fn find_delivery(tx: &mut Tx<'_>, webhook: &WebhookId, number: u64) -> Result<Option<Delivery>> {
    let sql = format!("select {DELIVERY} from webhook_deliveries d where d.webhook = $1 and d.number = $2");
    tx.find(&sql, params![webhook.as_str(), number])?.as_ref().map(delivery_from_row).transpose()
}

/// What it was told, newest first.
pub fn deliveries(tx: &mut Tx<'_>, webhook: &WebhookId, limit: usize) -> Result<Vec<Delivery>> {
    let sql = format!("select {DELIVERY} from webhook_deliveries d where d.webhook = $1 order by d.number desc limit $2");
    tx.all(&sql, params![webhook.as_str(), limit])?.iter().map(delivery_from_row).collect()
}

/// A delivery whose time has come, with all that sending it needs.
pub struct Due {
    pub webhook: Webhook,
    pub delivery: Delivery,
    pub repo: Option<RepoKey>,
    pub body: String,
    pub secret: String,
    pub former_secret: Option<String>,
}

/// Waits, and nobody tells its owner anything just now: a person who has many webhooks waits for themselves only.
const DUE: &str = "from webhook_deliveries d join webhooks w on w.id = d.webhook
     where d.state = 'waiting' and d.next_attempt <= $1 and w.lease_until <= $1
     and not exists (select 1 from webhooks o where o.owner = w.owner and o.lease_until > $1)
     order by d.next_attempt, d.webhook, d.number limit 1";

pub fn is_due(tx: &mut Tx<'_>, now: Timestamp) -> Result<bool> {
    Ok(tx.find(&format!("select d.id {DUE}"), params![now.unix_ms()])?.is_some())
}

/// The next that is due, its webhook leased until then.
pub fn lease_due(tx: &mut Tx<'_>, now: Timestamp, until: Timestamp) -> Result<Option<Due>> {
    let found =
        tx.find(&format!("select d.id as delivery, d.webhook as webhook, d.repo as repo, d.body as body {DUE}"), params![now.unix_ms()])?;
    let Some(found) = found else { return Ok(None) };
    let id = found.parse("webhook", WebhookId::parse)?;
    tx.execute("update webhooks set lease_until = $2 where id = $1", params![id.as_str(), until.unix_ms()])?;
    let secrets = tx.one("select secret, former_secret, former_until from webhooks where id = $1", params![id.as_str()])?;
    let former_until = secrets.find_int("former_until")?.unwrap_or(0);
    let row = tx.one(&format!("select {DELIVERY} from webhook_deliveries d where d.id = $1"), params![found.text("delivery")?])?;
    let repo = found.text("repo")?;
    Ok(Some(Due {
        webhook: find(tx, &id)?.ok_or_else(|| Error::Engine("a webhook vanished while it was leased".into()))?,
        delivery: delivery_from_row(&row)?,
        repo: if repo.is_empty() { None } else { Some(found.parse("repo", RepoKey::parse)?) },
        body: found.text("body")?,
        secret: secrets.text("secret")?,
        former_secret: secrets.find_text("former_secret")?.filter(|_| former_until > now.unix_ms()),
    }))
}

/// What an attempt came to, written beside the delivery; the lease ends.
pub struct Attempt<'a> {
    pub state: DeliveryState,
    pub next_attempt: Timestamp,
    pub status: Option<u16>,
    pub answer: &'a str,
}

/// The number of failures in a row there are now.
pub fn note_attempt(tx: &mut Tx<'_>, webhook: &WebhookId, delivery: &DeliveryId, attempt: &Attempt<'_>, now: Timestamp) -> Result<u64> {
    let waits = attempt.state == DeliveryState::Waiting;
    tx.execute(
        "update webhook_deliveries set state = $2, next_attempt = $3, status = $4, answer = $5, ended = $6, attempts = attempts + 1
         where id = $1 and state = 'waiting'",
        params![
            delivery.as_str(),
            attempt.state.as_str(),
            attempt.next_attempt.unix_ms(),
            attempt.status.map(u32::from),
            attempt.answer,
            (!waits).then_some(now.unix_ms())
        ],
    )?;
    let failures = if attempt.state == DeliveryState::Delivered { "0" } else { "failures + 1" };
    tx.execute(&format!("update webhooks set failures = {failures}, lease_until = 0 where id = $1"), params![webhook.as_str()])?;
    let row = tx.find("select failures from webhooks where id = $1", params![webhook.as_str()])?;
    row.map_or(Ok(0), |row| row.count("failures"))
}

/// Drops a delivery that is not to be told any more.
pub fn drop_delivery(tx: &mut Tx<'_>, webhook: &WebhookId, delivery: &DeliveryId, why: &str, now: Timestamp) -> Result<()> {
    let sql = "update webhook_deliveries set state = 'dropped', answer = $2, ended = $3 where id = $1";
    tx.execute(sql, params![delivery.as_str(), why, now.unix_ms()])?;
    tx.execute("update webhooks set lease_until = 0 where id = $1", params![webhook.as_str()])?;
    Ok(())
}

/// Forgets a bounded number of those that ended before then; how many that were.
pub fn forget(tx: &mut Tx<'_>, before: Timestamp) -> Result<u64> {
    let sql = "delete from webhook_deliveries where id in
        (select id from webhook_deliveries where state <> 'waiting' and ended < $1 limit 5000)";
    tx.execute(sql, params![before.unix_ms()])
}
