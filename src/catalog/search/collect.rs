//! All hits of a search that finds few repos: through the value that the fewest have, or through their words.

use super::super::full_text::Words;
use super::filter::{Filter, Seen};
use super::hits::{COLUMNS, Found, Hit};
use super::order::{By, Order, Place, SortValue};
use super::{Question, end_of, fold};
use crate::db::{Result, Row, Tx, Value};

/// Names that begin with the words, where not all that have the words are looked at.
const NAMED: usize = 200;

/// Every hit, through the rarest of the conditions.
pub(super) fn by_rarest(tx: &mut Tx<'_>, asked: &Question<'_>) -> Result<Found> {
    let mut params = Vec::new();
    let Some(rarest) = asked.filter.rarest() else { return Ok(Found::default()) };
    let rows = rarest.rows(&mut params);
    collect(tx, asked, &rows, params)
}

/// One's own private repos that a search finds; they are in no index that others walk along. Of very many some.
pub(super) fn own(tx: &mut Tx<'_>, asked: &Question<'_>) -> Result<Vec<Hit>> {
    match &asked.filter.seen {
        Seen::Public { own, own_private } if *own_private > 0 => {
            let mut params = Vec::new();
            let rows = Filter::own_rows(own, asked.bounds.walked, &mut params);
            Ok(collect(tx, asked, &rows, params)?.hits)
        }
        _ => Ok(Vec::new()),
    }
}

/// Of some rows of the listing those that the search finds.
fn collect(tx: &mut Tx<'_>, asked: &Question<'_>, rows: &str, mut params: Vec<Value>) -> Result<Found> {
    let (value, table, condition) = sorted_by(&asked.order, &mut params);
    let visible = asked.filter.visible(&mut params);
    let filtered = asked.filter.sql(&mut params);
    let sql = format!(
        "with d as materialized ({rows}) select {COLUMNS}, {value} as sort_value from d cross join listing l{table} \
         where l.id = d.id{condition}{visible}{filtered}"
    );
    let hits = tx.all(&sql, &params)?.iter().map(|row| Hit::read(&asked.order, row)).collect::<Result<_>>()?;
    Ok(Found { hits, horizon: None }.settle(&asked.order))
}

/// The value rows `l` are sorted by, and what must be joined to them for it.
fn sorted_by(order: &Order, params: &mut Vec<Value>) -> (String, &'static str, String) {
    match &order.by {
        By::Column(column, _) => (format!("l.{column}"), "", String::new()),
        By::Measure(name) => {
            params.push(Value::from(name));
            ("m.value".to_owned(), " cross join repo_measures m", format!(" and m.listing = l.id and m.name = ${}", params.len()))
        }
        By::Fit => ("cast(0.0 as double precision)".to_owned(), "", String::new()),
    }
}

/// What has the words: all of it, or as much as a search may look at. And whether that was all.
pub(super) fn by_words(tx: &mut Tx<'_>, asked: &Question<'_>, words: &Words) -> Result<(Found, bool)> {
    let most = usize::try_from(asked.bounds.candidates).unwrap_or(usize::MAX);
    let mut params = vec![Value::from(&words.query)];
    let mut matched = words.condition.replace('$', "$1");
    if let Some((condition, value)) = words.sample {
        params.push(Value::Int(value));
        matched += &format!(" and {}", condition.replace('$', "$2"));
    }
    let (mut hits, full) = matching(tx, asked, (words, Some(words.from), &matched), params, most)?;
    let is_all = words.sample.is_none() && !words.passes_over && !full;
    if !is_all && words.rank.is_none() {
        let name = fold(&words.words.join("-"));
        let params = vec![Value::from(&name), Value::from(end_of(&name))];
        // One's own private ones are left to the index of words: nobody walks along all private names.
        let private = if matches!(asked.filter.seen, Seen::Everything) { "l.private in (0, 1)" } else { "l.private = 0" };
        let named = format!("l.kind in ('model', 'dataset') and {private} and l.name >= $1 and l.name < $2");
        hits.extend(matching(tx, asked, (words, None, &named), params, NAMED)?.0);
    }
    Ok((Found { hits, horizon: None }.settle(&asked.order), is_all))
}

/// Rows that match, at most so many; and whether there are more. They are found in the index of words, or without it.
fn matching(
    tx: &mut Tx<'_>,
    asked: &Question<'_>,
    (words, index, matched): (&Words, Option<&str>, &str),
    mut params: Vec<Value>,
    most: usize,
) -> Result<(Vec<Hit>, bool)> {
    let (mut value, table, condition) = sorted_by(&asked.order, &mut params);
    // Only all matches are ranked by the index.
    let rank = words.rank.filter(|_| index.is_some() && asked.order.by == By::Fit);
    if let Some(rank) = rank {
        value = rank.replace('$', "$1");
    }
    let order = if index.is_some() { words.order } else { "" };
    let from = index.unwrap_or("listing l");
    let visible = asked.filter.visible(&mut params);
    let filtered = asked.filter.sql(&mut params);
    params.push(Value::from(most + 1));
    let sql = format!(
        "select {COLUMNS}, l.name as name, l.downloads as downloads, {value} as sort_value from {from}{table} \
         where {matched}{condition}{visible}{filtered}{order} limit ${}",
        params.len()
    );
    let read = |row: &Row| {
        let mut hit = Hit::read(&asked.order, row)?;
        if rank.is_none() && asked.order.by == By::Fit {
            hit.place.value = SortValue::Real(fit(&row.text("name")?, row.int("downloads")?, &words.words));
        }
        Ok(hit)
    };
    let mut hits = tx.all(&sql, &params)?.iter().map(read).collect::<Result<Vec<_>>>()?;
    let full = hits.len() > most;
    hits.truncate(most);
    Ok((hits, full))
}

/// How well a repo fits that has all the words somewhere: by how many begin parts of its name, then by downloads. Lower is better.
fn fit(name: &str, downloads: i64, words: &[String]) -> f64 {
    let in_name = words.iter().filter(|word| name.split('-').any(|part| part.starts_with(word.as_str()))).count();
    let whole = name == words.join("-");
    let popular = (1.0 + downloads.max(0) as f64).ln();
    -(in_name as f64 * 100.0 + if whole { 1_000.0 } else { 0.0 } + popular)
}

/// The part of all hits that a page holds, and where the next one begins.
pub(super) fn page<'a>(hits: &'a [Hit], order: &Order, after: Option<&Place>, limit: usize) -> (&'a [Hit], Option<&'a Place>) {
    let from = after.map_or(0, |after| hits.partition_point(|hit| order.compare(&hit.place, after).is_le()));
    let page = &hits[from..hits.len().min(from + limit)];
    let more = from + limit < hits.len();
    (page, page.last().map(|hit| &hit.place).filter(|_| more))
}
