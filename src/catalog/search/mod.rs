//! Catalog search: words, filters, sorts, keyset cursors and facet counts, none of which costs more in a large catalog than in a small one.
//!
//! Lists do not read the catalog's own tables but `listing`, a row a repo with all that they sort and filter by, and `terms`, the values of facets with
//! how many repos have each; both are written with every change (`listing`). By the counts it is known which way is short:
//!
//! - a value that few repos have, or words that few have: every hit is read, sorted and counted (`collect`);
//! - else the index of the order asked for is walked along until the page is full or as many rows were looked at as [`Bounds`] allow (`walk`). Where
//!   that ends before the list does, the page is short and its cursor goes on; totals are then said to be at least so many, and facets are those of
//!   the first hits;
//! - lists without filters take totals and facets from the counts (`facets`).
//!
//! What may not be seen is never read: visibility is part of each statement.

mod collect;
mod facets;
mod filter;
mod hits;
pub mod listing;
pub(in crate::catalog) mod measures;
pub(in crate::catalog) mod merit;
mod order;
pub mod rebuild;
pub mod suggest;
pub(super) mod terms;
mod walk;

use std::collections::HashMap;

use filter::{Filter, Seen};
use hits::{Found, Hit};
pub use order::Cursor;
use order::{Order, Place};

use super::visibility::Visibility;
use super::{full_text, vocabulary};
use crate::db::{Result, Tx, Value};
use crate::domain::id::RepoKey;
use crate::domain::name::LIBRARY;
use crate::domain::page::Page;
use crate::domain::search::{Facet, SearchQuery};
use crate::params;

/// What a search found: keys in order, how many in all, and the facets of all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHits {
    pub page: Page<RepoKey>,
    pub total: u64,
    /// There may be more than `total`.
    pub at_least: bool,
    pub facets: Vec<Facet>,
    /// The facets are those of so many hits, and not of all.
    pub facets_of: Option<u64>,
    /// The words that may have been meant, where nothing was found.
    pub did_you_mean: Option<String>,
}

/// The most that one search looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Hits that are read, sorted and counted one by one.
    pub candidates: u64,
    /// Rows of an order's index; fewer where each costs a look elsewhere.
    pub walked: usize,
    pub probed: usize,
    /// Hits that facets and totals of a walk are counted over.
    pub counted: usize,
    /// Rows of the index of words.
    pub examined: u64,
    /// Looks into the index of words, of all words together, for what the rarest of them has.
    pub looked_up: u64,
    /// Rows of the index of words that are counted, of all words together, to rank by them.
    pub ranked: u64,
    /// Rows of the index of words that are put together for beginnings of words.
    pub merged: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            candidates: 1_000,
            walked: 10_000,
            probed: 2_000,
            counted: 500,
            examined: 2_000,
            looked_up: 8_000,
            ranked: 4_000,
            merged: 10_000,
        }
    }
}

/// A search, read.
struct Question<'a> {
    filter: Filter,
    order: Order,
    bounds: &'a Bounds,
}

/// Runs a search; `after` is where the page before ended.
pub fn search(tx: &mut Tx<'_>, query: &SearchQuery, visible: &Visibility, limit: usize, after: Option<&Cursor>) -> Result<SearchHits> {
    search_within(tx, query, visible, (limit, after), &Bounds::default())
}

/// The same, looking at no more than is said.
pub fn search_within(
    tx: &mut Tx<'_>,
    query: &SearchQuery,
    visible: &Visibility,
    (limit, after): (usize, Option<&Cursor>),
    bounds: &Bounds,
) -> Result<SearchHits> {
    let words = full_text::words(tx, &query.text, bounds)?;
    let asked = Question { filter: Filter::of(tx, query, visible)?, order: Order::of(query, words.is_some()), bounds };
    let after = after.map(|after| place(tx, &asked.order, after)).transpose()?;
    let few = asked.filter.rarest().is_some_and(|rarest| rarest.counts.all() <= bounds.candidates);
    let mut hits = match &words {
        _ if asked.filter.is_impossible => of_found(tx, query, &asked, (&Found::default(), true), (limit, after.as_ref()))?,
        Some(words) => {
            let (found, is_all) = collect::by_words(tx, &asked, words)?;
            of_found(tx, query, &asked, (&found, is_all), (limit, after.as_ref()))?
        }
        None if few => {
            let found = collect::by_rarest(tx, &asked)?;
            of_found(tx, query, &asked, (&found, true), (limit, after.as_ref()))?
        }
        None => walked(tx, query, &asked, (limit, after.as_ref()))?,
    };
    if hits.total == 0 && words.is_some() {
        hits.did_you_mean = vocabulary::corrected(tx, &query.text, full_text::MAX_WORDS)?;
    }
    Ok(hits)
}

/// A page of hits that were all read.
fn of_found(
    tx: &mut Tx<'_>,
    query: &SearchQuery,
    asked: &Question<'_>,
    (found, is_all): (&Found, bool),
    (limit, after): (usize, Option<&Place>),
) -> Result<SearchHits> {
    let (page, next) = collect::page(&found.hits, &asked.order, after, limit);
    let next = next.map(|place| cursor(tx, query, place)).transpose()?;
    let total = found.hits.len() as u64;
    Ok(SearchHits {
        page: Page { items: keys(tx, page)?, next },
        total,
        at_least: !is_all,
        facets: if query.plain { Vec::new() } else { facets::of_hits(tx, &found.hits)? },
        facets_of: (!is_all && !query.plain).then_some(total),
        did_you_mean: None,
    })
}

/// A page of a list that is walked along.
fn walked(tx: &mut Tx<'_>, query: &SearchQuery, asked: &Question<'_>, (limit, after): (usize, Option<&Place>)) -> Result<SearchHits> {
    let own = collect::own(tx, asked)?;
    let known = known_total(tx, asked, &own)?;
    // The first hits of all: for the total where it is not known, and for facets.
    let counts = known.is_none() || !(query.plain || asked.filter.asks_nothing());
    let first = if counts { walk::walk(tx, asked, &own, None, asked.bounds.counted.max(limit) + 1)? } else { Found::default() };
    let here = match after {
        None if counts => first.clone(),
        _ => walk::walk(tx, asked, &own, after, limit + 1)?,
    };
    let page = &here.hits[..here.hits.len().min(limit)];
    let next = if here.hits.len() > limit { page.last().map(|hit| &hit.place) } else { here.horizon.as_ref() };
    let next = next.map(|place| cursor(tx, query, place)).transpose()?;
    let is_all = first.horizon.is_none();
    let (facets, facets_of) = match query.plain {
        true => (Vec::new(), None),
        false if asked.filter.asks_nothing() && query.measure.is_empty() => (facets::of_all(tx, &asked.filter, &own)?, None),
        false => (facets::of_hits(tx, &first.hits)?, (!is_all).then_some(first.hits.len() as u64)),
    };
    Ok(SearchHits {
        page: Page { items: keys(tx, page)?, next },
        total: known.unwrap_or(first.hits.len() as u64),
        at_least: known.is_none() && !is_all,
        facets,
        facets_of,
        did_you_mean: None,
    })
}

/// How many hits there are, where that is counted anyhow: of all of a kind, and of those that have one value.
fn known_total(tx: &mut Tx<'_>, asked: &Question<'_>, own: &[Hit]) -> Result<Option<u64>> {
    let filter = &asked.filter;
    if filter.has_ranges() || matches!(asked.order.by, order::By::Measure(_)) {
        return Ok(None);
    }
    let seen = match filter.conditions.as_slice() {
        [] => terms::everything(tx, &filter.kinds)?,
        [one] if one.counts_each_once() => one.counts,
        _ => return Ok(None),
    };
    Ok(Some(seen.seen(matches!(filter.seen, Seen::Everything), filter.here) + own.len() as u64))
}

/// Where a cursor stands. Its repo may be gone since: then its neighbours come again rather than not at all.
fn place(tx: &mut Tx<'_>, order: &Order, after: &Cursor) -> Result<Place> {
    let id = match tx.find("select id from listing where repo = $1", params![after.key()])? {
        Some(row) => row.int("id")?,
        None if order.descending => i64::MAX,
        None => 0,
    };
    Ok(after.place(id))
}

/// Names the repo, whose number would tell how many there are.
fn cursor(tx: &mut Tx<'_>, query: &SearchQuery, place: &Place) -> Result<String> {
    Ok(Cursor::encode(query, place, key(tx, place.id)?.as_str()))
}

fn keys(tx: &mut Tx<'_>, hits: &[Hit]) -> Result<Vec<RepoKey>> {
    let ids: Vec<Value> = hits.iter().map(|hit| Value::Int(hit.place.id)).collect();
    let rows = tx.all_of("select id, repo from listing where id in ($keys)", &ids)?;
    let keys = rows.iter().map(|row| Ok((row.int("id")?, row.parse("repo", RepoKey::parse)?)));
    let mut keys = keys.collect::<Result<HashMap<i64, RepoKey>>>()?;
    Ok(hits.iter().filter_map(|hit| keys.remove(&hit.place.id)).collect())
}

fn key(tx: &mut Tx<'_>, id: i64) -> Result<RepoKey> {
    tx.one("select repo from listing where id = $1", params![id])?.parse("repo", RepoKey::parse)
}

/// What all texts with a beginning come before.
pub(super) fn end_of(beginning: &str) -> String {
    format!("{beginning}\u{10ffff}")
}

pub(super) fn fold(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '.' | '_') { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// The folded name a data set or base model would have here: a bare name lives in the library, and the
/// version a card may name after it (`acme/cats@3`) is no part of the name.
pub fn fold_repo(written: &str) -> String {
    let folded = fold(written.trim().split('@').next().unwrap_or_default());
    if folded.contains('/') { folded } else { format!("{LIBRARY}/{folded}") }
}
