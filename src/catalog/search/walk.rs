//! Hits from an index that is in the order asked for, from its beginning or behind a place, for as many rows as a search may look at.

use super::Question;
use super::filter::{Filter, Seen};
use super::hits::{COLUMNS, Found, Hit};
use super::order::{By, Place};
use crate::db::{Result, Tx, Value};
use crate::domain::name::RepoKind;

/// A part of the listing that is in order in each index; all of it may be seen by who asks.
struct Arm {
    kind: RepoKind,
    private: bool,
}

/// The arms that together hold all that may be seen, but for one's own private repos: they are found by themselves, so that nobody walks by those
/// of others.
fn arms(filter: &Filter) -> Vec<Arm> {
    let mut arms = Vec::new();
    for kind in &filter.kinds {
        arms.push(Arm { kind: *kind, private: false });
        if matches!(filter.seen, Seen::Everything) {
            arms.push(Arm { kind: *kind, private: true });
        }
    }
    arms
}

/// The first hits behind a place, together with those among `own`, which are all that there are of one's own.
pub(super) fn walk(tx: &mut Tx<'_>, asked: &Question<'_>, own: &[Hit], after: Option<&Place>, most: usize) -> Result<Found> {
    let order = &asked.order;
    let behind = |hit: &&Hit| after.is_none_or(|after| order.compare(&hit.place, after).is_gt());
    let mut found = Found { hits: own.iter().filter(behind).cloned().collect(), horizon: None };
    for arm in arms(&asked.filter) {
        let hits = along(tx, asked, &arm, after, most)?;
        match hits.last() {
            Some(last) if hits.len() >= most => found.draw_nearer(order, last.place.clone()),
            _ => {
                if let Some(place) = end(tx, asked, &arm, after)? {
                    found.draw_nearer(order, place);
                }
            }
        }
        found.hits.extend(hits);
    }
    let mut found = found.settle(order);
    if found.hits.len() > most {
        found.hits.truncate(most);
        found.horizon = found.hits.last().map(|hit| hit.place.clone());
    }
    Ok(found)
}

/// Rows that a walk may look at.
fn budget(asked: &Question<'_>) -> usize {
    let slow = asked.filter.is_posted() || matches!(asked.order.by, By::Measure(_));
    if slow { asked.bounds.probed } else { asked.bounds.walked }
}

/// The rows of an arm behind a place, in order, without what is filtered: `what` of `listing l`.
fn rows(asked: &Question<'_>, arm: &Arm, after: Option<&Place>, what: &str, params: &mut Vec<Value>) -> String {
    let order = &asked.order;
    params.extend([Value::from(arm.kind.as_str()), Value::from(arm.private)]);
    let (table, column, id, conditions) = match &order.by {
        By::Measure(name) => {
            params.push(Value::from(name));
            let conditions = format!("m.kind = $1 and m.private = $2 and m.name = ${} and l.id = m.listing", params.len());
            ("repo_measures m cross join listing l", "m.value", "m.listing", conditions)
        }
        By::Column(column, _) => {
            let narrowed = asked.filter.narrowed(column, arm.kind, params);
            ("listing l", column_of(column), "l.id", format!("l.kind = $1 and l.private = $2{narrowed}"))
        }
        By::Fit => ("listing l", "l.downloads", "l.id", "l.kind = $1 and l.private = $2".to_owned()),
    };
    let mut sql = format!("select {what}, {column} as sort_value from {table} where {conditions}");
    if let Some(place) = after {
        params.extend([place.value.to_value(), Value::Int(place.id)]);
        sql += &format!(" and ({column}, {id}) {} (${}, ${})", order.behind(), params.len() - 1, params.len());
    }
    sql + &format!(" order by {column} {direction}, {id} {direction}", direction = order.direction())
}

fn column_of(column: &str) -> &'static str {
    match column {
        "newest" => "l.newest",
        "born" => "l.born",
        "top1" => "l.top1",
        "size" => "l.size",
        "folded" => "l.folded",
        "merit" => "l.merit",
        "license_word" => "l.license_word",
        "source_word" => "l.source_word",
        _ => "l.downloads",
    }
}

/// The inner question goes along the index and stops by its limit; the outer one takes what fits, in the order it comes, and stops it earlier.
fn along(tx: &mut Tx<'_>, asked: &Question<'_>, arm: &Arm, after: Option<&Place>, most: usize) -> Result<Vec<Hit>> {
    let mut params = Vec::new();
    let rows = rows(asked, arm, after, COLUMNS, &mut params);
    params.push(Value::from(budget(asked)));
    let limit = params.len();
    let filtered = asked.filter.sql(&mut params);
    params.push(Value::from(most));
    let direction = asked.order.direction();
    let ordered = tx.in_order_still(&format!("l.sort_value {direction}, l.id {direction}"));
    let sql = format!("select * from ({rows} limit ${limit}) l where 1 = 1{filtered}{ordered} limit ${}", params.len());
    tx.all(&sql, &params)?.iter().map(|row| Hit::read(&asked.order, row)).collect()
}

/// The last row that a walk may look at, if it comes so far.
fn end(tx: &mut Tx<'_>, asked: &Question<'_>, arm: &Arm, after: Option<&Place>) -> Result<Option<Place>> {
    let mut params = Vec::new();
    let rows = rows(asked, arm, after, "l.id as id", &mut params);
    params.push(Value::from(budget(asked).saturating_sub(1)));
    let sql = format!("{rows} limit 1 offset ${}", params.len());
    let row = tx.find(&sql, &params)?;
    row.map(|row| Ok(Place { value: asked.order.read(&row)?, id: row.int("id")? })).transpose()
}
