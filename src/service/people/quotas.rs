//! How much one account or namespace may hold. Each limit is asked in the transaction that would go beyond it, of numbers that are
//! kept up to date: two requests at once do not both slip through.

use super::super::{Error, Policy, Result, Service, access};
use super::accounts::unknown_account;
use super::journal::note_act;
use crate::catalog::{jobs, uploads, usage, users};
use crate::db::Tx;
use crate::domain::human;
use crate::domain::id::AccountId;
use crate::domain::name::{LIBRARY, Name};
use crate::domain::quotas::Usage;
use crate::domain::user::{Account, Actor};

impl Service {
    /// What an account holds, for itself, the members of an organisation, and administrators.
    pub async fn usage(&self, actor: &Actor, name: &Name) -> Result<Usage> {
        let (actor, name, policy, now) = (actor.clone(), name.clone(), self.policy.clone(), self.now());
        self.db
            .read(move |tx| {
                if access::role_in(tx, &actor, &name)?.is_none() {
                    return Err(unknown_account(&name));
                }
                let account = users::find(tx, &name)?.ok_or_else(|| unknown_account(&name))?;
                let (sent, own) = usage::find(tx, &account.id)?;
                Ok(Usage {
                    stored_bytes: usage::stored(tx, &account.name)?,
                    sent_bytes: sent + usage::announced(tx, &account.id)?,
                    quota_bytes: own.unwrap_or_else(|| usual(&policy, &account)),
                    quota_is_own: own.is_some(),
                    repos: usage::count_repos(tx, &account.name)?,
                    organisations: usage::count_organisations(tx, &account.id)?,
                    tokens: usage::count_tokens(tx, &account.id, now.unix_ms())?,
                    uploads: uploads::count_open(tx, &account.id)?,
                    jobs: jobs::count_unfinished(tx, &account.id)?,
                    account,
                })
            })
            .await
    }

    /// Says what an account and its namespace may hold (0: no limit); none for what the settings say. For administrators.
    pub async fn set_quota(&self, actor: &Actor, name: &Name, quota_bytes: Option<u64>) -> Result<()> {
        access::admin_site(actor)?;
        let (actor, name, now, note) = (actor.clone(), name.clone(), self.now(), self.note()?);
        self.db
            .write(move |tx| {
                let account = users::find(tx, &name)?.ok_or_else(|| unknown_account(&name))?;
                usage::set_quota(tx, &account.id, quota_bytes.map(|bytes| bytes.min(i64::MAX as u64)))?;
                let detail = quota_bytes.map_or("as the settings say".to_owned(), |bytes| bytes.to_string());
                note_act(tx, now, note, &actor, "account.quota", account.name.as_str(), &detail)
            })
            .await
    }

    /// Is there room for so many bytes more in a namespace? Asked before they are sent; what counts is asked when they are published.
    pub async fn check_room(&self, actor: &Actor, namespace: &Name, more: u64) -> Result<()> {
        let (actor, namespace, policy) = (actor.clone(), namespace.clone(), self.policy.clone());
        self.db.read(move |tx| room_in_namespace(tx, &policy, &actor, &namespace, more)).await
    }
}

/// What the settings say of an account. Administrators and the site's own library have no limit but one of their own.
fn usual(policy: &Policy, account: &Account) -> u64 {
    if account.is_admin || account.name.as_str() == LIBRARY { 0 } else { policy.quotas.bytes }
}

fn quota_of(tx: &mut Tx<'_>, policy: &Policy, account: &Account) -> Result<(u64, u64)> {
    let (sent, own) = usage::find(tx, &account.id)?;
    Ok((sent, own.unwrap_or_else(|| usual(policy, account))))
}

/// Fails where a namespace would hold too much with so many bytes more.
pub(in crate::service) fn room_in_namespace(tx: &mut Tx<'_>, policy: &Policy, actor: &Actor, namespace: &Name, more: u64) -> Result<()> {
    // What is mirrored is nobody's.
    let (true, Some(account)) = (*actor != Actor::System && more > 0, users::find(tx, namespace)?) else { return Ok(()) };
    let (_, quota) = quota_of(tx, policy, &account)?;
    if quota == 0 {
        return Ok(());
    }
    // Publishes into other repos of it may be counting at the same time. Of what they have not committed nothing is seen.
    tx.lock(&format!("namespace {}", account.name.folded()))?;
    let held = usage::stored(tx, &account.name)?;
    match held.saturating_add(more) > quota {
        false => Ok(()),
        true => Err(exceeded(&format!("the repos of '{namespace}' hold"), held, more, quota, "delete versions or repos that nobody needs")),
    }
}

/// Fails where an account would have sent too much with so many bytes more.
pub(in crate::service) fn room_to_send(tx: &mut Tx<'_>, policy: &Policy, account: &AccountId, more: u64) -> Result<()> {
    let Some(account) = users::find_by_id(tx, account)? else { return Ok(()) };
    let (sent, quota) = quota_of(tx, policy, &account)?;
    if quota == 0 {
        return Ok(());
    }
    let (held, most) = (sent.saturating_add(usage::announced(tx, &account.id)?), quota.saturating_mul(2));
    let hint = "publish what you have sent, cancel uploads, or wait until what nobody names is collected (a day or two)";
    match held.saturating_add(more) > most {
        false => Ok(()),
        true => Err(exceeded("what you have sent and is kept has", held, more, most, hint)),
    }
}

fn exceeded(what: &str, held: u64, more: u64, most: u64, hint: &str) -> Error {
    let (held, more, allowed) = (human::bytes(held), human::bytes(more), human::bytes(most));
    let message = format!("{what} {held}; {more} more would exceed the {allowed} that are allowed");
    Error::too_large("quota_exceeded", message, format!("{hint}, or ask an administrator for more ('hub admin quota')"))
}

/// Fails where a count is at its limit.
pub(in crate::service) fn one_more(code: &'static str, what: &str, held: u64, most: u64, hint: &str) -> Result<()> {
    match held < most {
        true => Ok(()),
        false => Err(Error::busy(code, format!("{what}: {held} are there, and {most} are allowed"), hint)),
    }
}
