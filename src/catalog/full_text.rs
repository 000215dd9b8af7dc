//! Words and the repos that hold them: how they are kept, matched and ranked. The one place of the catalog where
//! engines differ, and so the only one that knows the table `search_index`: the embedded one has FTS5, which reads the texts itself; a
//! server has a `tsvector` that is made here of the same words, and a function that ranks as FTS5 does. Both find the same repos in the
//! same order.
//!
//! What a search costs is known beforehand from the vocabulary. Where all its words together are in few repos, every match is found and ranked by
//! BM25. Else a part of the index is looked at, as large as holds about as many matches as may be looked at: its rows are numbered by a hash of their
//! repos, and so a range of numbers is a fair sample.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::search::Bounds;
use super::search::terms::{self, LISTING};
use super::vocabulary;
use crate::db::{Kind, Result, Tx, Value};
use crate::domain::digest::Digest;
use crate::domain::id::RepoKey;
use crate::domain::name::RepoKind;
use crate::params;

/// More words than this say nothing more and only cost time.
pub(super) const MAX_WORDS: usize = 12;
/// Of a longer one only the beginning is looked for.
const LONGEST_ASKED: usize = 250;
/// Beginnings of words of up to so many letters have lists of their own in the index.
const INDEXED_BEGINNING: std::ops::RangeInclusive<usize> = 2..=3;
/// Words that stand for beginnings that too many repos have, for all of them together.
const STAND_INS: usize = 16;
/// What a `tsvector` takes: words of one repo, their places, and the bytes of one of them.
const MOST_INDEXED: usize = 50_000;
const LAST_PLACE: usize = 16_383;
const LONGEST_INDEXED: usize = 1_000;
/// Bytes of different words of one repo; the server refuses a vector of a megabyte.
const MOST_BYTES: usize = 500_000;
/// Repos whose words are read in one transaction.
const READ_AT_ONCE: usize = 200;

/// A question for repos by their words, as parts of a statement.
pub(super) struct Words {
    /// Their letters, without case and accents.
    pub words: Vec<String>,
    /// The words in the form the index reads: the value of the one parameter of `condition`.
    pub query: String,
    /// The index of words and the rows `l` of the listing that belong to its rows by `condition`.
    pub from: &'static str,
    /// True of a repo with all the words; `$` is the parameter.
    pub condition: &'static str,
    /// How well it fits, lower is better; `$` is the parameter. `None` where to know that would cost too much.
    pub rank: Option<&'static str>,
    /// In which order the index is read where not all of it is: always the same.
    pub order: &'static str,
    /// A further condition that leaves a sample of all repos; `$` is the parameter. `None` where all are looked at.
    pub sample: Option<(&'static str, i64)>,
    /// Whether some matches are passed over, beside those outside of the sample.
    pub passes_over: bool,
}

/// The question for all words of a text; `None` where it has none.
pub(super) fn words(tx: &mut Tx<'_>, text: &str, bounds: &Bounds) -> Result<Option<Words>> {
    let words = vocabulary::words(text).into_iter().take(MAX_WORDS);
    let words: Vec<String> = words.map(|word| word.chars().take(LONGEST_ASKED).collect()).collect();
    if words.is_empty() {
        return Ok(None);
    }
    let all = terms::everything(tx, &[RepoKind::Model, RepoKind::Dataset])?.all();
    let counted = words.iter().map(|word| Counted::of(tx, word, bounds, all)).collect::<Result<Vec<_>>>()?;
    let crowded = counted.iter().filter(|word| word.is_crowded).count();
    let (mut parts, mut passes_over) = (Vec::new(), false);
    for (word, Counted { different, is_crowded, .. }) in words.iter().zip(&counted) {
        let part = match is_crowded {
            false => Part::Beginning(word.clone()),
            true => Part::OneOf(vocabulary::most_frequent(tx, word, (STAND_INS / crowded).max(1))?),
        };
        passes_over |= *is_crowded && part.terms() < *different;
        parts.push(part);
    }
    let fewest = counted.iter().map(|word| word.repos).min().unwrap_or(0);
    let together: u64 = counted.iter().map(|word| word.repos).sum();
    let sample = share(&counted, &parts, bounds).map(|share| ("search_index.rowid <= $", (share * i64::MAX as f64) as i64));
    // To rank, every word is counted in every row.
    let is_ranked = together <= bounds.ranked && fewest <= bounds.candidates;
    let asked = match tx.kind() {
        Kind::Embedded => asked_of_fts5(words, &parts, is_ranked),
        // All rows of the sample are read one by one where that is less than all that have the rarest word.
        Kind::Server => asked_of_vectors(tx, words, &parts, (is_ranked, sample.is_some() && bounds.examined * all < fewest * fewest))?,
    };
    Ok(Some(Words { sample, passes_over, ..asked }))
}

/// How often a word of a question is there.
struct Counted {
    /// Words that begin so, and repos that have one.
    different: usize,
    repos: u64,
    /// Not all of them are put together.
    is_crowded: bool,
}

impl Counted {
    fn of(tx: &mut Tx<'_>, word: &str, bounds: &Bounds, all: u64) -> Result<Counted> {
        let (different, repos) = vocabulary::beginning_with(tx, word)?;
        let many = different >= vocabulary::ADDED_UP;
        // Repos with several of the words are counted several times, but there are no more than all.
        let repos = if many { repos.max(bounds.merged + 1) } else { repos }.min(all);
        let is_crowded = repos > bounds.merged && !INDEXED_BEGINNING.contains(&word.chars().count());
        Ok(Counted { different, repos, is_crowded })
    }
}

/// The share of all repos that is looked at; `None` where it is all of them. Each row of the rarest word is looked up in the rows of every other one.
fn share(counted: &[Counted], parts: &[Part], bounds: &Bounds) -> Option<f64> {
    let (rarest, part) = counted.iter().zip(parts).min_by_key(|(word, _)| word.repos)?;
    let others = parts.iter().map(Part::terms).sum::<usize>() - part.terms();
    let share = |most: u64, of: u64| if of > most { most as f64 / of as f64 } else { 1.0 };
    let share = share(bounds.examined, rarest.repos).min(share(bounds.looked_up, rarest.repos * others as u64));
    (share < 1.0).then_some(share)
}

/// What stands for one word of a question.
enum Part {
    Beginning(String),
    OneOf(Vec<String>),
}

impl Part {
    /// Words of the index that are read for it; of a beginning they are put together first.
    fn terms(&self) -> usize {
        match self {
            Part::Beginning(_) => 1,
            Part::OneOf(words) => words.len(),
        }
    }

    /// Words have letters and digits alone, and so need no escape in quotes.
    fn written(&self, quote: char, beginning: &str, or: &str) -> String {
        match self {
            Part::Beginning(word) => format!("{quote}{word}{quote}{beginning}"),
            Part::OneOf(words) => {
                format!("({})", words.iter().map(|word| format!("{quote}{word}{quote}")).collect::<Vec<_>>().join(or))
            }
        }
    }
}

fn asked_of_fts5(words: Vec<String>, parts: &[Part], is_ranked: bool) -> Words {
    Words {
        words,
        query: parts.iter().map(|part| part.written('"', "*", " OR ")).collect::<Vec<_>>().join(" AND "),
        // By itself it would go by the index that has nothing but that number.
        from: "search_index cross join listing l indexed by listing_document",
        condition: "search_index match $ and l.document = search_index.rowid",
        // A hit in the name weighs most.
        rank: is_ranked.then_some("bm25(search_index, 0.0, 10.0, 4.0, 3.0, 1.0)"),
        // As it is read anyhow.
        order: "",
        sample: None,
        passes_over: false,
    }
}

/// The parameter says what is to match, and what ranks are measured by.
fn asked_of_vectors(tx: &mut Tx<'_>, words: Vec<String>, parts: &[Part], (is_ranked, is_read_through): (bool, bool)) -> Result<Words> {
    let (mut phrases, mut average) = (Vec::new(), 1.0);
    if is_ranked {
        let totals = tx.one("select repos, words from search_totals where id = 1", &[])?;
        let repos = totals.real("repos")?;
        average = (totals.real("words")? / repos.max(1.0)).max(1.0);
        for (word, part) in words.iter().zip(parts) {
            let sql = "select count(*) as n from search_index where words @@ cast(cast($1 as text) as tsquery)";
            let hits = tx.one(sql, &[Value::from(part.written('\'', ":*", " | "))])?.real("n")?;
            // As FTS5 weighs a word that more than half of all repos have.
            let weight = ((repos - hits + 0.5) / (hits + 0.5)).ln();
            phrases.push(json!([word, if weight > 0.0 { weight } else { 1e-6 }]));
        }
    }
    let matched = parts.iter().map(|part| part.written('\'', ":*", " | ")).collect::<Vec<_>>().join(" & ");
    Ok(Words {
        words,
        query: json!({ "match": matched, "average": average, "phrases": phrases }).to_string(),
        from: "search_index cross join listing l",
        condition: match is_read_through {
            false => "search_index.words @@ cast(cast(cast($ as text) as json) ->> 'match' as tsquery) and l.document = search_index.rowid",
            // The same, and never from the index of words, which would first gather all that have them.
            true => {
                "ts_match_vq(search_index.words, cast(cast(cast($ as text) as json) ->> 'match' as tsquery)) \
                 and l.document = search_index.rowid"
            }
        },
        rank: is_ranked.then_some("search_rank(search_index.words, search_index.length, cast($ as text))"),
        order: " order by search_index.rowid",
        sample: None,
        passes_over: false,
    })
}

/// Makes a repo findable by its words, in place of what was there before.
pub fn index(tx: &mut Tx<'_>, key: &RepoKey, name: &str, summary: &str, tags: &str, body: &str) -> Result<()> {
    tx.lock(LISTING)?;
    let before = indexed(tx, key)?;
    let public = tx.find("select key from repos where key = $1 and private = 0", params![key.as_str()])?.is_some();
    erase(tx, key)?;
    let (id, texts) = (row_id(key), [name, summary, tags, body]);
    match tx.kind() {
        Kind::Embedded => tx.execute(
            "insert into search_index (rowid, repo, name, summary, tags, body) values ($1, $2, $3, $4, $5, $6)",
            params![id, key.as_str(), name, summary, tags, body],
        )?,
        Kind::Server => {
            let (vector, length) = vector(&texts);
            add_to_totals(tx, 1, length as i64)?;
            tx.execute(
                "insert into search_index (rowid, repo, name, summary, tags, body, words, length)
                 values ($1, $2, $3, $4, $5, $6, cast(cast($7 as text) as tsvector), $8)",
                params![id, key.as_str(), name, summary, tags, body, vector, length],
            )?
        }
    };
    vocabulary::change(tx, before, Some((vocabulary::counted(&[name, summary, tags, body]), public)))
}

/// Takes a repo out of the index; its row of the listing goes after this.
pub fn unindex(tx: &mut Tx<'_>, key: &RepoKey) -> Result<()> {
    tx.lock(LISTING)?;
    let before = indexed(tx, key)?;
    erase(tx, key)?;
    vocabulary::change(tx, before, None)
}

fn erase(tx: &mut Tx<'_>, key: &RepoKey) -> Result<()> {
    let id = row_id(key);
    if tx.kind() == Kind::Server
        && let Some(row) = tx.find("select length from search_index where rowid = $1 and words is not null", params![id])?
    {
        add_to_totals(tx, -1, -row.int("length")?)?;
    }
    tx.execute("delete from search_index where rowid = $1", params![id]).map(drop)
}

fn add_to_totals(tx: &mut Tx<'_>, repos: i64, words: i64) -> Result<()> {
    let sql = "update search_totals set repos = repos + $1, words = words + $2 where id = 1";
    tx.execute(sql, params![repos, words]).map(drop)
}

/// Reads the words of some repos whose texts were copied from a hub on another engine; of how many, none where all are read.
pub fn read_copied(tx: &mut Tx<'_>) -> Result<usize> {
    if tx.kind() == Kind::Embedded {
        return Ok(0);
    }
    tx.lock(LISTING)?;
    let sql = "select rowid, name, summary, tags, body from search_index where words is null order by rowid limit $1";
    let rows = tx.all(sql, params![READ_AT_ONCE])?;
    for row in &rows {
        let texts = TEXTS.iter().map(|column| row.text(column)).collect::<Result<Vec<_>>>()?;
        let (vector, length) = vector(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let sql = "update search_index set words = cast(cast($2 as text) as tsvector), length = $3 where rowid = $1";
        tx.execute(sql, params![row.int("rowid")?, vector, length])?;
        add_to_totals(tx, 1, length as i64)?;
    }
    Ok(rows.len())
}

/// The columns that are read for words, in the order of their weights.
const TEXTS: [&str; 4] = ["name", "summary", "tags", "body"];

/// The words of texts with their places, as the server takes them (`'cat':1A,7D 'net':2A`), and how many there are.
fn vector(texts: &[&str]) -> (String, usize) {
    let (mut places, mut length, mut bytes): (BTreeMap<String, Vec<String>>, usize, usize) = (BTreeMap::new(), 0, 0);
    for (text, weight) in texts.iter().zip(['A', 'B', 'C', 'D']) {
        for word in vocabulary::words(text) {
            length += 1;
            if length > MOST_INDEXED || word.len() > LONGEST_INDEXED {
                continue;
            }
            let place = format!("{}{weight}", length.min(LAST_PLACE));
            match places.get_mut(&word) {
                Some(places) => places.push(place),
                None if bytes + word.len() <= MOST_BYTES => {
                    bytes += word.len();
                    places.insert(word, vec![place]);
                }
                None => {}
            }
        }
    }
    let words = places.iter().map(|(word, places)| format!("'{word}':{}", places.join(",")));
    (words.collect::<Vec<_>>().join(" "), length)
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
    let texts = TEXTS.iter().map(|column| row.text(column)).collect::<Result<Vec<_>>>()?;
    Ok(Some(vocabulary::counted(&texts.iter().map(String::as_str).collect::<Vec<_>>())))
}

/// A row of the index is found by its whole number alone: 63 bits of the key's digest.
pub(super) fn row_id(key: &RepoKey) -> i64 {
    let digest = Digest::of(key.as_str().as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    i64::from_be_bytes(first) & i64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_say_where_each_word_stands() {
        let (vector, length) = vector(&["acme/Cat-net", "a cat", "", "it's a Café"]);
        assert_eq!(vector, "'a':4B,8D 'acme':1A 'cafe':9D 'cat':2A,5B 'it':6D 'net':3A 's':7D");
        assert_eq!(length, 9);
    }

    #[test]
    fn parts_are_written_in_the_words_of_each_engine() {
        let parts = [Part::Beginning("cat".into()), Part::OneOf(vec!["a".into(), "b".into()])];
        let words = asked_of_fts5(Vec::new(), &parts, false);
        assert_eq!((words.query.as_str(), words.rank), ("\"cat\"* AND (\"a\" OR \"b\")", None));
        assert_eq!(parts.map(|part| part.written('\'', ":*", " | ")), ["'cat':*", "('a' | 'b')"]);
    }
}
