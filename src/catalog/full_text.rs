//! Words and the repos that hold them: how they are kept, matched and ranked. The one place of the catalog where
//! engines differ (here FTS5), and so the only one that knows the table `search_index`.

use crate::db::{Result, Tx};
use crate::domain::digest::Digest;
use crate::domain::id::RepoKey;
use crate::params;

/// More words than this say nothing more and only cost time.
const MAX_WORDS: usize = 12;

/// A question for repos by their words, as parts of a statement.
pub(super) struct Words {
    /// The words in the form the index reads: the value of the one parameter of `condition`.
    pub query: String,
    /// What takes the place of `repos r`.
    pub repos: &'static str,
    /// True of a repo with all the words; `$` is the parameter.
    pub condition: &'static str,
    /// How well it fits. Lower is better.
    pub rank: &'static str,
}

/// The question for all words of a text; `None` where it has none.
pub(super) fn words(text: &str) -> Option<Words> {
    Some(Words {
        query: match_words(text)?,
        repos: "search_index join repos r on r.key = search_index.repo",
        condition: "search_index match $",
        // A hit in the name weighs most.
        rank: "bm25(search_index, 0.0, 10.0, 4.0, 3.0, 1.0)",
    })
}

/// The words as an FTS5 query in which nothing is an operator: each quoted, each a prefix, all required.
fn match_words(text: &str) -> Option<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let quoted: Vec<String> = words.take(MAX_WORDS).map(|word| format!("\"{word}\"*")).collect();
    (!quoted.is_empty()).then(|| quoted.join(" "))
}

/// Makes a repo findable by its words, in place of what was there before.
pub fn index(tx: &mut Tx<'_>, key: &RepoKey, name: &str, summary: &str, tags: &str, body: &str) -> Result<()> {
    unindex(tx, key)?;
    tx.execute(
        "insert into search_index (rowid, repo, name, summary, tags, body) values ($1, $2, $3, $4, $5, $6)",
        params![row_id(key), key.as_str(), name, summary, tags, body],
    )?;
    Ok(())
}

/// Takes a repo out of the index.
pub fn unindex(tx: &mut Tx<'_>, key: &RepoKey) -> Result<()> {
    tx.execute("delete from search_index where rowid = $1", params![row_id(key)])?;
    Ok(())
}

/// FTS5 finds a row to replace only by its whole number: 63 bits of the key's digest.
fn row_id(key: &RepoKey) -> i64 {
    let digest = Digest::of(key.as_str().as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    i64::from_be_bytes(first) & i64::MAX
}
