//! How many repos have each value: of all of a kind from what is counted with every change, of hits by counting them.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::filter::{Filter, Seen};
use super::hits::Hit;
use super::terms::{self, Term};
use crate::db::{Result, Tx};
use crate::domain::controlled;
use crate::domain::name::LIBRARY;
use crate::domain::search::Facet;

/// Values listed per facet.
const VALUES: usize = 20;
/// Values looked at per facet and kind. Sums of several counts may order them otherwise than the index does.
const LOOKED_AT: usize = 200;
/// Of hits, whose values are counted one by one: two kinds have numbers of their own for the same value, and not every value is offered.
const NAMED: usize = 3 * VALUES;

/// The facets that lists show, and a hit's value of each but the data sets it comes from.
type Of = fn(&Hit) -> i64;
const FACETS: [(&str, Option<Of>); 6] = [
    (terms::TASK, Some(|hit| hit.task)),
    (terms::MODALITY, Some(|hit| hit.modality)),
    (terms::ARCHITECTURE, Some(|hit| hit.architecture)),
    (terms::SOURCE, None),
    (terms::LICENSE, Some(|hit| hit.license)),
    (terms::AUTHOR, Some(|hit| hit.author)),
];

/// Of some hits.
pub(super) fn of_hits(tx: &mut Tx<'_>, hits: &[Hit]) -> Result<Vec<Facet>> {
    FACETS.iter().map(|(name, of)| Ok(facet(name, named(tx, counted(hits, *of))?))).collect()
}

/// Of all that may be seen of the kinds; `own`: one's own private repos among them.
pub(super) fn of_all(tx: &mut Tx<'_>, filter: &Filter, own: &[Hit]) -> Result<Vec<Facet>> {
    let mut facets = Vec::new();
    for (name, of) in FACETS {
        let mut counts: HashMap<String, u64> = HashMap::new();
        let mut add = |value: String, count: u64| *counts.entry(value).or_default() += count;
        for kind in &filter.kinds {
            for Term { value, counts, .. } in terms::most_frequent(tx, *kind, name, LOOKED_AT)? {
                add(value, counts.seen(matches!(filter.seen, Seen::Everything), filter.here));
            }
        }
        for (value, count) in named(tx, counted(own, of))? {
            add(value, count);
        }
        facets.push(facet(name, counts.into_iter().collect()));
    }
    Ok(facets)
}

fn counted(hits: &[Hit], of: Option<Of>) -> HashMap<i64, u64> {
    let mut counts = HashMap::new();
    for hit in hits {
        match of {
            Some(of) => *counts.entry(of(hit)).or_default() += 1,
            None => {
                for id in hit.sources.split(' ').filter_map(|id| id.parse().ok()) {
                    *counts.entry(id).or_default() += 1;
                }
            }
        }
    }
    counts.remove(&0);
    counts
}

/// The values that may be among those listed, with their texts; the same value of two kinds has two numbers.
fn named(tx: &mut Tx<'_>, counts: HashMap<i64, u64>) -> Result<Vec<(String, u64)>> {
    let mut counts: Vec<(i64, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(id, count)| (Reverse(*count), *id));
    counts.truncate(NAMED);
    let mut values = terms::values(tx, &counts.iter().map(|(id, _)| *id).collect::<Vec<_>>())?;
    let mut named: HashMap<String, u64> = HashMap::new();
    for (id, count) in counts {
        *named.entry(values.remove(&id).unwrap_or_default()).or_default() += count;
    }
    Ok(named.into_iter().collect())
}

/// Most frequent first, of tasks and licences those that the field knows; a data set of the library goes without its namespace.
fn facet(name: &str, mut values: Vec<(String, u64)>) -> Facet {
    let bare = |value: String| match value.strip_prefix(LIBRARY).and_then(|rest| rest.strip_prefix('/')) {
        Some(rest) => rest.to_owned(),
        None => value,
    };
    let offered = |value: &str| match name {
        terms::TASK => controlled::is_task(value),
        terms::LICENSE => controlled::is_license(value),
        _ => !value.is_empty(),
    };
    values.retain(|(value, count)| *count > 0 && offered(value));
    values.sort_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
    values.truncate(VALUES);
    Facet { name: name.into(), values: values.into_iter().map(|(value, count)| (bare(value), count)).collect() }
}
