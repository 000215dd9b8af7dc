//! The data sets a model comes from: those its card names, and those of its bases, theirs and so on. Bases hand on what they come from only to
//! models that everybody may see no sooner than the base: a private one to private ones of its namespace.

use std::collections::{HashSet, VecDeque};

use super::search::listing;
use super::search::terms;
use crate::db::{Result, Tx};
use crate::domain::id::RepoKey;
use crate::domain::name::RepoKind;
use crate::params;

/// Bases looked through for one model, and data sets found for it.
const MOST_BASES: usize = 256;
const MOST_SOURCES: usize = 64;
/// Fine-tunes that are told in the transaction that changes a base; the others are told after it, some at a time.
const AT_ONCE: usize = 200;

/// The model whose data sets are asked for.
pub(super) struct Root<'a> {
    pub key: &'a str,
    /// The version that lists show.
    pub number: i64,
    pub folded: &'a str,
    /// Folded.
    pub namespace: &'a str,
    pub private: bool,
}

/// The folded names of all data sets a model comes from, its own first.
pub(super) fn closure(tx: &mut Tx<'_>, root: &Root<'_>) -> Result<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    let mut seen = HashSet::from([root.folded.to_owned()]);
    let mut queue = VecDeque::from([(root.key.to_owned(), root.number)]);
    let mut looked_at = 0;
    while let Some((key, number)) = queue.pop_front() {
        looked_at += 1;
        let named =
            tx.all("select folded from version_sources where repo = $1 and number = $2 order by position", params![&key, number])?;
        for row in named {
            let folded = row.text("folded")?;
            if found.len() < MOST_SOURCES && !found.contains(&folded) {
                found.push(folded);
            }
        }
        if looked_at + queue.len() > MOST_BASES {
            continue;
        }
        let bases = tx.all("select folded from version_bases where repo = $1 and number = $2 order by position", params![&key, number])?;
        for row in bases {
            let folded = row.text("folded")?;
            if !seen.contains(&folded) {
                queue.extend(base(tx, root, &folded)?);
                seen.insert(folded);
            }
        }
    }
    Ok(found)
}

/// A base that hands on to the model, with the version that lists show.
fn base(tx: &mut Tx<'_>, root: &Root<'_>, folded: &str) -> Result<Option<(String, i64)>> {
    let sql = "select r.key, r.private, f.number from repos r join repo_facts f on f.repo = r.key
               where r.kind = 'model' and r.folded = $1 and r.deleted is null";
    let Some(row) = tx.find(sql, params![folded])? else { return Ok(None) };
    let together = root.private && folded.split('/').next() == Some(root.namespace);
    let hands_on = !row.flag("private")? || together;
    Ok(if hands_on { Some((row.text("key")?, row.int("number")?)) } else { None })
}

/// Tells what was made from a base that something about it has changed: at once where that is little, else what is left is written down.
pub(super) fn tell(tx: &mut Tx<'_>, folded: &str) -> Result<()> {
    let mut room = AT_ONCE;
    let mut bases = VecDeque::from([folded.to_owned()]);
    while let Some(base) = bases.pop_front() {
        let after = match room {
            0 => Some(0),
            _ => tell_some(tx, &base, 0, &mut room, &mut bases)?,
        };
        if let Some(after) = after {
            leave(tx, &base, after)?;
        }
    }
    Ok(())
}

/// Tells as many of a base's fine-tunes as there is room for; where it stopped, unless that was the end. Those that changed are bases themselves.
fn tell_some(tx: &mut Tx<'_>, base: &str, after: i64, room: &mut usize, bases: &mut VecDeque<String>) -> Result<Option<i64>> {
    let Some(term) = terms::find(tx, RepoKind::Model, terms::BASE, base)? else { return Ok(None) };
    let sql = "select l.id, l.repo from listing_terms t cross join listing l
               where t.term = $1 and t.listing > $2 and l.id = t.listing order by t.listing limit $3";
    let children = tx.all(sql, params![term.id, after, *room])?;
    let mut last = after;
    let full = children.len() == *room;
    for child in &children {
        last = child.int("id")?;
        let (before, now) = listing::rewrite(tx, &child.parse("repo", RepoKey::parse)?)?;
        if before != now {
            bases.extend(now.map(|legacy| legacy.folded));
        }
    }
    *room -= children.len();
    Ok(full.then_some(last))
}

fn leave(tx: &mut Tx<'_>, folded: &str, after: i64) -> Result<()> {
    let sql = "insert into lineage_pending (folded, after) values ($1, $2) on conflict (folded) do update set after = $2";
    tx.execute(sql, params![folded, after]).map(drop)
}

/// Is anybody still to be told?
pub fn is_pending(tx: &mut Tx<'_>) -> Result<bool> {
    Ok(tx.find("select folded from lineage_pending limit 1", &[])?.is_some())
}

/// Tells some of those that are still to be told.
pub fn tell_pending(tx: &mut Tx<'_>) -> Result<()> {
    let Some(row) = tx.find("select folded, after from lineage_pending order by folded limit 1", &[])? else { return Ok(()) };
    let (folded, after) = (row.text("folded")?, row.int("after")?);
    tx.execute("delete from lineage_pending where folded = $1", params![&folded])?;
    let (mut room, mut changed) = (AT_ONCE, VecDeque::new());
    if let Some(after) = tell_some(tx, &folded, after, &mut room, &mut changed)? {
        leave(tx, &folded, after)?;
    }
    for base in changed {
        leave(tx, &base, 0)?;
    }
    Ok(())
}
