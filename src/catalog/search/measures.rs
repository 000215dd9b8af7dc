//! The numbers lists may be sorted by: those of cards, of tables that were taken over and of measurements, by their names. A number on a data set is
//! also found under `measure@dataset`.

use std::collections::BTreeMap;

use crate::db::{Result, Tx};
use crate::domain::repo::Facts;
use crate::domain::results::{self, ModelResult, TOP1};
use crate::params;

/// Numbers of one repo, and the longest name of one.
const MOST: usize = 64;
const LONGEST: usize = 64;

/// Everything that is known of a model in numbers: what its facts say, and what the hub knows besides.
pub(in crate::catalog) fn all(facts: &Facts, known: Vec<ModelResult>) -> Vec<ModelResult> {
    results::of_facts(facts).into_iter().chain(known).collect()
}

/// The share of first answers that are right, which the list of the best is sorted by; -1 where nobody says it.
pub(super) fn top1(results: &[ModelResult]) -> f64 {
    results::best(results, TOP1).map(|result| result.value).filter(|value| (0.0..=1.0).contains(value)).unwrap_or(-1.0)
}

/// Writes them in place of the earlier ones.
pub(super) fn write(tx: &mut Tx<'_>, listing: i64, (kind, private): (&str, bool), results: &[ModelResult]) -> Result<()> {
    tx.execute("delete from repo_measures where listing = $1", params![listing])?;
    for (name, value) in named(results) {
        tx.execute(
            "insert into repo_measures (name, listing, kind, private, value) values ($1, $2, $3, $4, $5)",
            params![name, listing, kind, private, value],
        )?;
    }
    Ok(())
}

/// One number of each name.
fn named(all: &[ModelResult]) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    let mut put = |name: String, value: Option<&ModelResult>| {
        if let Some(result) = value.filter(|result| result.value.is_finite())
            && found.len() < MOST
            && !name.is_empty()
            && name.len() <= LONGEST
        {
            found.entry(name).or_insert(result.value);
        }
    };
    for result in all {
        put(result.measure.clone(), results::best(all, &result.measure));
    }
    for result in all.iter().filter(|result| !result.dataset.is_empty()) {
        put(format!("{}@{}", result.measure, result.dataset), results::best_on(all, &result.measure, &result.dataset));
    }
    found
}

/// A name that somebody asks for, as it is kept.
pub(super) fn asked(written: &str) -> String {
    match written.split_once('@') {
        Some((measure, dataset)) => format!("{}@{}", results::measure_name(measure), results::dataset_name(dataset)),
        None => results::measure_name(written),
    }
}
