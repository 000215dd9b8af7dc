//! What somebody may be about to type: names of repos and values of facets that begin so.

use std::cmp::Reverse;

use super::filter::{Filter, Seen};
use super::terms;
use super::{end_of, fold};
use crate::catalog::visibility::Visibility;
use crate::db::{Result, Row, Tx, Value};
use crate::domain::name::{LIBRARY, RepoKind};
use crate::domain::search::{SearchQuery, Suggestion};

/// Names looked at: those that come first by the alphabet, and among the most downloaded repos.
const BY_NAME: usize = 200;
const BY_DOWNLOADS: usize = 500;
/// Names suggested at most.
const MOST: usize = 20;
/// Values looked at of each facet and kind.
const VALUES: usize = 50;
/// Facets whose values are suggested.
const FACETS: [&str; 6] = [terms::TASK, terms::ARCHITECTURE, terms::SOURCE, terms::LICENSE, terms::LIBRARY, terms::AUTHOR];

/// At most `limit` names of repos, most downloaded first, and as many values, most frequent first.
pub fn suggest(tx: &mut Tx<'_>, text: &str, visible: &Visibility, limit: usize) -> Result<Vec<Suggestion>> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let filter = Filter::of(tx, &SearchQuery::default(), visible)?;
    let mut suggested = names(tx, &filter, &fold(text))?;
    suggested.truncate(limit);
    let mut values = values(tx, text)?;
    values.truncate(limit);
    suggested.extend(values);
    Ok(suggested)
}

fn names(tx: &mut Tx<'_>, filter: &Filter, beginning: &str) -> Result<Vec<Suggestion>> {
    let column = if beginning.contains('/') { "folded" } else { "name" };
    let (from, to) = (Value::from(beginning), Value::from(end_of(beginning)));
    let mut rows = Vec::new();
    for kind in [RepoKind::Model, RepoKind::Dataset] {
        let seen: &[bool] = if matches!(filter.seen, Seen::Everything) { &[false, true] } else { &[false] };
        for private in seen {
            let sql = format!(
                "select l.id, l.downloads from listing l where l.kind = $1 and l.private = $2 and l.{column} >= $3 and l.{column} < $4
                 order by l.{column} limit $5"
            );
            let params = [kind.as_str().into(), (*private).into(), from.clone(), to.clone(), BY_NAME.into()];
            rows.extend(tx.all(&sql, &params)?);
        }
        let popular = format!(
            "select l.id, l.downloads from (select id, downloads, folded, name from listing where kind = $1 and private = 0
             order by downloads desc, id desc limit $2) l where l.{column} >= $3 and l.{column} < $4"
        );
        rows.extend(tx.all(&popular, &[kind.as_str().into(), BY_DOWNLOADS.into(), from.clone(), to.clone()])?);
    }
    if let Seen::Public { own, .. } = &filter.seen {
        for namespace in own {
            let sql = format!(
                "select l.id, l.downloads from listing l
                 where l.namespace = $1 and l.private = 1 and l.{column} >= $2 and l.{column} < $3 limit $4"
            );
            rows.extend(tx.all(&sql, &[Value::Int(*namespace), from.clone(), to.clone(), BY_NAME.into()])?);
        }
    }
    let mut found: Vec<(i64, i64)> = rows.iter().map(|row: &Row| Ok((row.int("downloads")?, row.int("id")?))).collect::<Result<_>>()?;
    found.sort_by_key(|found| Reverse(*found));
    found.dedup();
    found.into_iter().take(MOST).map(|(downloads, id)| named(tx, id, downloads)).collect()
}

fn named(tx: &mut Tx<'_>, id: i64, downloads: i64) -> Result<Suggestion> {
    let sql = "select r.kind, r.namespace, r.name from listing l join repos r on r.key = l.repo where l.id = $1";
    let row = tx.one(sql, &[Value::Int(id)])?;
    Ok(Suggestion {
        kind: row.parse("kind", RepoKind::parse)?,
        of: "name".into(),
        value: format!("{}/{}", row.text("namespace")?, row.text("name")?),
        count: downloads.unsigned_abs(),
    })
}

fn values(tx: &mut Tx<'_>, beginning: &str) -> Result<Vec<Suggestion>> {
    let mut found = Vec::new();
    for facet in FACETS {
        for kind in [RepoKind::Model, RepoKind::Dataset] {
            for beginning in beginnings(facet, beginning) {
                for term in terms::beginning_with(tx, kind, facet, &beginning, VALUES)? {
                    let bare = term.value.strip_prefix(LIBRARY).and_then(|rest| rest.strip_prefix('/'));
                    let value = if facet == terms::SOURCE { bare.unwrap_or(&term.value) } else { &term.value };
                    found.push(Suggestion { kind, of: facet.to_owned(), value: value.to_owned(), count: term.counts.public });
                }
            }
        }
    }
    found.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    found.dedup_by(|a, b| (a.kind, &a.of, &a.value) == (b.kind, &b.of, &b.value));
    Ok(found)
}

/// As the values of a facet are kept: data sets folded, those of the library under its namespace.
fn beginnings(facet: &str, typed: &str) -> Vec<String> {
    if facet != terms::SOURCE {
        return vec![typed.to_owned()];
    }
    let folded = fold(typed);
    let mut beginnings = vec![folded.clone()];
    if !folded.contains('/') {
        beginnings.push(format!("{LIBRARY}/{folded}"));
    }
    beginnings
}
