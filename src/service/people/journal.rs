//! The audit log: who did what, from where. Acts write their line in their own transaction (`note_act`). What is no act of
//! its own, refusals, failed log-ins and the first use of a token at an address on a day, waits in memory for at most a
//! second and is written together, so that no request waits for it. What waits is bounded, refusals by address and minute;
//! what is too much is counted, and the count is a line.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;

use super::super::{Error, Result, Service, access};
use crate::catalog::audit;
use crate::db::Tx;
use crate::domain::audit::{AuditEntry, AuditFilter};
use crate::domain::id::TokenId;
use crate::domain::page::{Page, PageRequest};
use crate::domain::time::Timestamp;
use crate::domain::user::Actor;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;
/// Lines that wait; further ones are counted.
const MOST_WAITING: usize = 2_000;
/// Refusals of a minute that get a line: of one address, and of all.
const REFUSALS_OF_ONE: u32 = 20;
const REFUSALS_OF_ALL: u32 = 300;
/// Uses of tokens that are remembered as noted.
const MOST_USES: usize = 50_000;
/// Longest part of a line.
const LONGEST: usize = 300;
/// Lines that are kept, however young.
pub const MOST_LINES: usize = 1_000_000;

/// Where a request came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    pub address: String,
    pub request: String,
}

tokio::task_local! {
    static ORIGIN: Origin;
}

/// Runs a story; the acts in it are noted with this origin.
pub async fn coming_from<F: Future>(origin: Origin, story: F) -> F::Output {
    ORIGIN.scope(origin, story).await
}

/// Where the request came from that is being answered; empty outside of any.
pub(in crate::service) fn address() -> String {
    ORIGIN.try_with(|origin| origin.address.clone()).unwrap_or_default()
}

/// What the line of an act needs beside the act: made before its transaction begins.
#[derive(Debug, Clone)]
pub(in crate::service) struct Note {
    random: [u8; 10],
    origin: Origin,
}

/// Lines that wait to be written.
#[derive(Default)]
pub(in crate::service) struct Journal(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    lines: Vec<AuditEntry>,
    /// Lines for which there was no room.
    lost: u64,
    minute: i64,
    refusals: HashMap<String, u32>,
    refused: u32,
    unnoted: u64,
    uses: HashSet<(TokenId, String, i64)>,
}

impl Waiting {
    fn push(&mut self, line: AuditEntry) {
        if self.lines.len() < MOST_WAITING { self.lines.push(line) } else { self.lost += 1 }
    }

    /// May a refusal of this address have a line of its own?
    fn admits(&mut self, address: &str, now: Timestamp) -> bool {
        let minute = now.unix_ms().div_euclid(MINUTE_MS);
        if minute != self.minute {
            (self.minute, self.refused) = (minute, 0);
            self.refusals.clear();
        }
        let of_one = self.refusals.entry(address.to_owned()).or_default();
        if *of_one >= REFUSALS_OF_ONE || self.refused >= REFUSALS_OF_ALL {
            self.unnoted += 1;
            return false;
        }
        *of_one += 1;
        self.refused += 1;
        true
    }
}

impl Service {
    pub(in crate::service) fn note(&self) -> Result<Note> {
        Ok(Note { random: self.random()?, origin: ORIGIN.try_with(Clone::clone).unwrap_or_default() })
    }

    /// Notes what is no act of its own, such as a failed log-in.
    pub fn note_event(&self, origin: &Origin, actor: &Actor, action: &str, subject: &str, detail: &str) {
        let line = line(self.now(), origin, actor, action, subject, detail);
        self.journal.0.lock().push(line);
    }

    /// Notes a refused request, unless there are too many of them.
    pub fn note_refusal(&self, origin: &Origin, actor: &Actor, request: &str, why: &str) {
        let now = self.now();
        let mut waiting = self.journal.0.lock();
        if waiting.admits(&origin.address, now) {
            waiting.push(line(now, origin, actor, "refused", request, why));
        }
    }

    /// Notes the first use of a token at an address on a day.
    pub fn note_token_use(&self, origin: &Origin, actor: &Actor) {
        let Actor::User { token, .. } = actor else { return };
        let now = self.now();
        let mut waiting = self.journal.0.lock();
        if waiting.uses.len() >= MOST_USES {
            waiting.uses.clear();
        }
        if waiting.uses.insert((token.clone(), origin.address.clone(), now.unix_ms().div_euclid(DAY_MS))) {
            waiting.push(line(now, origin, actor, "token.use", token.as_str(), "first at this address today"));
        }
    }

    /// Writes what waits.
    pub async fn write_journal(&self) -> Result<()> {
        let mut lines = {
            let mut waiting = self.journal.0.lock();
            let mut lines = std::mem::take(&mut waiting.lines);
            for (count, what) in [(std::mem::take(&mut waiting.lost), "lines"), (std::mem::take(&mut waiting.unnoted), "refusals")] {
                if count > 0 {
                    let detail = format!("{count} more {what} without a line of their own");
                    lines.push(line(self.now(), &Origin::default(), &Actor::System, "audit.more", "", &detail));
                }
            }
            lines
        };
        if lines.is_empty() {
            return Ok(());
        }
        lines.sort_by_key(|line| line.time);
        let lines: Vec<_> = lines.into_iter().map(|line| Ok((line, self.random()?))).collect::<Result<_>>()?;
        let again: Vec<AuditEntry> = lines.iter().map(|(line, _)| line.clone()).collect();
        let written = self.db.write(move |tx| lines.iter().try_for_each(|(line, random)| audit::insert(tx, line, *random))).await;
        let written = written.map_err(Error::from);
        if let Err(Error::Busy(_)) = written {
            // The database is away for a moment: they wait for the next time, as far as there is room.
            let mut waiting = self.journal.0.lock();
            again.into_iter().for_each(|line| waiting.push(line));
        }
        written
    }

    /// Lines of the log, newest first, for site administrators.
    pub async fn list_audit(&self, actor: &Actor, filter: AuditFilter, page: PageRequest) -> Result<Page<AuditEntry>> {
        access::admin_site(actor)?;
        self.write_journal().await?;
        Ok(self.db.read(move |tx| audit::list(tx, &filter, &page)).await?)
    }

    /// Forgets lines that are older than `keep_ms` (0: none for their age), and those that are too many.
    pub async fn forget_audit(&self, keep_ms: i64) -> Result<u64> {
        let before = if keep_ms > 0 { self.now().plus_ms(-keep_ms) } else { Timestamp::from_unix_ms(i64::MIN) };
        let mut gone = 0;
        loop {
            match self.db.write(move |tx| audit::forget(tx, before, MOST_LINES)).await? {
                0 => return Ok(gone),
                some => gone += some,
            }
        }
    }
}

/// Writes the line of an act into its own transaction.
pub(in crate::service) fn note_act(
    tx: &mut Tx<'_>,
    time: Timestamp,
    note: Note,
    actor: &Actor,
    action: &str,
    subject: &str,
    detail: &str,
) -> Result<()> {
    Ok(audit::insert(tx, &line(time, &note.origin, actor, action, subject, detail), note.random)?)
}

/// The same for the house itself, where nothing was prepared: `key` tells this act from all others.
pub(in crate::service) fn note_own_act(
    tx: &mut Tx<'_>,
    time: Timestamp,
    key: &str,
    action: &str,
    subject: &str,
    detail: &str,
) -> Result<()> {
    let mut random = [0; 10];
    let digest = crate::domain::digest::Digest::of(format!("{action}\n{key}").as_bytes());
    random.copy_from_slice(&digest.as_bytes()[..10]);
    Ok(audit::insert(tx, &line(time, &Origin::default(), &Actor::System, action, subject, detail), random)?)
}

fn line(time: Timestamp, origin: &Origin, actor: &Actor, action: &str, subject: &str, detail: &str) -> AuditEntry {
    let short = |text: &str| -> String { text.chars().filter(|c| !c.is_control()).take(LONGEST).collect() };
    let (account, token) = match actor {
        Actor::Anonymous => ("anonymous".to_owned(), String::new()),
        Actor::System => ("system".to_owned(), String::new()),
        Actor::User { name, token, .. } => (name.to_string(), token.to_string()),
    };
    let (address, request) = (origin.address.clone(), origin.request.clone());
    AuditEntry { time, account, action: action.into(), subject: short(subject), detail: short(detail), token, address, request }
}
