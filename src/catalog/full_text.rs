//! Words and the repos that hold them: how they are kept, matched and ranked. The one place of the catalog where
//! engines differ (here FTS5), and so the only one that knows the table `search_index`.
//!
//! What a search costs is known beforehand from the vocabulary. Where all its words together are in few repos, every match is found and ranked by
//! BM25. Else a part of the index is looked at, as large as holds about as many matches as may be looked at: its rows are numbered by a hash of their
//! repos, and so a range of numbers is a fair sample.

use std::collections::BTreeSet;

use super::search::Bounds;
use super::vocabulary;
use crate::db::{Result, Tx};
use crate::domain::digest::Digest;
use crate::domain::id::RepoKey;
use crate::params;

/// More words than this say nothing more and only cost time.
pub(super) const MAX_WORDS: usize = 12;
/// Beginnings of words of up to so many letters have lists of their own in the index.
const INDEXED_BEGINNING: std::ops::RangeInclusive<usize> = 2..=3;
/// Words that stand for a beginning that too many repos have.
const STAND_INS: usize = 48;

/// A question for repos by their words, as parts of a statement.
pub(super) struct Words {
    /// Their letters, without case and accents.
    pub words: Vec<String>,
    /// The words in the form the index reads: the value of the one parameter of `condition`.
    pub query: String,
    /// What `listing l` is joined to, by `condition`.
    pub index: &'static str,
    /// True of a repo with all the words; `$` is the parameter.
    pub condition: &'static str,
    /// How well it fits, lower is better; `None` where to know that would cost too much.
    pub rank: Option<&'static str>,
    /// A further condition that leaves a sample of all repos; `$` is the parameter. `None` where all are looked at.
    pub sample: Option<(&'static str, i64)>,
    /// Whether some matches are passed over, beside those outside of the sample.
    pub passes_over: bool,
}

/// The question for all words of a text; `None` where it has none.
pub(super) fn words(tx: &mut Tx<'_>, text: &str, bounds: &Bounds) -> Result<Option<Words>> {
    let words: Vec<String> = vocabulary::words(text).into_iter().take(MAX_WORDS).collect();
    if words.is_empty() {
        return Ok(None);
    }
    let (mut parts, mut fewest, mut together, mut passes_over) = (Vec::new(), u64::MAX, 0, false);
    for word in &words {
        let (different, repos) = vocabulary::beginning_with(tx, word)?;
        let many = different >= vocabulary::ADDED_UP;
        let repos = if many { repos.max(bounds.merged + 1) } else { repos };
        (fewest, together) = (fewest.min(repos), together + repos);
        if repos <= bounds.merged || INDEXED_BEGINNING.contains(&word.chars().count()) {
            parts.push(format!("\"{word}\"*"));
            continue;
        }
        let stand_ins = vocabulary::most_frequent(tx, word, STAND_INS)?;
        passes_over |= stand_ins.len() < different;
        parts.push(format!("({})", stand_ins.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" OR ")));
    }
    let sample = (fewest > bounds.examined).then(|| {
        let share = bounds.examined as f64 / fewest as f64;
        ("search_index.rowid <= $", (share * i64::MAX as f64) as i64)
    });
    // To rank, the index counts every word in every row. A hit in the name weighs most.
    let rank = (together <= bounds.merged && fewest <= bounds.candidates).then_some("bm25(search_index, 0.0, 10.0, 4.0, 3.0, 1.0)");
    Ok(Some(Words {
        words,
        query: parts.join(" AND "),
        index: "search_index",
        condition: "search_index match $ and l.document = search_index.rowid",
        rank,
        sample,
        passes_over,
    }))
}

/// Makes a repo findable by its words, in place of what was there before.
pub fn index(tx: &mut Tx<'_>, key: &RepoKey, name: &str, summary: &str, tags: &str, body: &str) -> Result<()> {
    let before = indexed(tx, key)?;
    let public = tx.find("select key from repos where key = $1 and private = 0", params![key.as_str()])?.is_some();
    tx.execute("delete from search_index where rowid = $1", params![row_id(key)])?;
    tx.execute(
        "insert into search_index (rowid, repo, name, summary, tags, body) values ($1, $2, $3, $4, $5, $6)",
        params![row_id(key), key.as_str(), name, summary, tags, body],
    )?;
    vocabulary::change(tx, before, Some((vocabulary::counted(&[name, summary, tags, body]), public)))
}

/// Takes a repo out of the index; its row of the listing goes after this.
pub fn unindex(tx: &mut Tx<'_>, key: &RepoKey) -> Result<()> {
    let before = indexed(tx, key)?;
    tx.execute("delete from search_index where rowid = $1", params![row_id(key)])?;
    vocabulary::change(tx, before, None)
}

/// Counts the words of a repo that was indexed before there was a vocabulary.
pub(super) fn count(tx: &mut Tx<'_>, key: &RepoKey) -> Result<()> {
    let words = texts(tx, key)?;
    let public = tx.find("select key from repos where key = $1 and private = 0", params![key.as_str()])?.is_some();
    vocabulary::change(tx, None, words.map(|words| (words, public)))
}

/// The words that are counted for a repo, and whether as those of a public one: as its row of the listing says, which is written after its words.
fn indexed(tx: &mut Tx<'_>, key: &RepoKey) -> Result<Option<(BTreeSet<String>, bool)>> {
    let Some(words) = texts(tx, key)? else { return Ok(None) };
    let public = match tx.find("select private from listing where repo = $1", params![key.as_str()])? {
        Some(row) => !row.flag("private")?,
        None => tx.find("select key from repos where key = $1 and private = 0", params![key.as_str()])?.is_some(),
    };
    Ok(Some((words, public)))
}

fn texts(tx: &mut Tx<'_>, key: &RepoKey) -> Result<Option<BTreeSet<String>>> {
    let row = tx.find("select name, summary, tags, body from search_index where rowid = $1", params![row_id(key)])?;
    let Some(row) = row else { return Ok(None) };
    let texts = ["name", "summary", "tags", "body"].iter().map(|column| row.text(column)).collect::<Result<Vec<_>>>()?;
    Ok(Some(vocabulary::counted(&texts.iter().map(String::as_str).collect::<Vec<_>>())))
}

/// FTS5 finds a row to replace only by its whole number: 63 bits of the key's digest.
pub(super) fn row_id(key: &RepoKey) -> i64 {
    let digest = Digest::of(key.as_str().as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    i64::from_be_bytes(first) & i64::MAX
}
