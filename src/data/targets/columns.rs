//! Several columns of targets: numbers in all of them are one kind of target with several values; anything else, and columns of
//! which some cells are empty, are a head each.

use std::sync::Arc;

use super::form::{Column, Kind};
use super::{Target, Targets, classes, labels, values};
use crate::data::error::{Error, Result};
use crate::data::labelled::Labelled;
use crate::data::limits::Limits;
use crate::data::name;

const HINT: &str = "fill the column, correct it, or leave it out of the table";
/// Most columns that are read.
pub const MOST: usize = 256;

pub fn read(columns: &[Column], samples: &[Labelled], limits: &Limits) -> Result<(Targets, Vec<Target>)> {
    if columns.len() > MOST {
        let reason = format!("there are {} columns of them, at most {MOST} are taken", columns.len());
        return Err(Error::BadTargets { reason, hint: "name those that are meant in the card's `targets`" });
    }
    let rows: Vec<Vec<Option<String>>> = samples.iter().map(|sample| serde_json::from_str(&sample.text).unwrap_or_default()).collect();
    let cell = |row: &Vec<Option<String>>, at: usize| row.get(at).cloned().flatten().filter(|text| !text.trim().is_empty());
    let cells: Vec<Vec<Option<String>>> = (0..columns.len()).map(|at| rows.iter().map(|row| cell(row, at)).collect()).collect();
    let is_number = |(column, cells): &(&Column, &Vec<Option<String>>)| match column.kind {
        Some(kind) => kind == Kind::Number,
        // Whole numbers may be classes; who does not say so has fractions among them.
        None => cells.iter().flatten().all(|text| text.parse::<f64>().is_ok()) && cells.iter().flatten().any(|text| text.contains('.')),
    };
    let numbers: Vec<bool> = columns.iter().zip(&cells).map(|pair| is_number(&pair)).collect();
    if numbers.iter().all(|number| *number) && cells.iter().flatten().all(Option::is_some) {
        return all_numbers(columns, &cells);
    }
    let mut heads = Vec::new();
    let mut targets: Vec<Vec<Target>> = vec![Vec::with_capacity(columns.len()); samples.len()];
    for ((column, cells), number) in columns.iter().zip(&cells).zip(numbers) {
        let (kind, found) = head(column, cells, number, limits)?;
        heads.push((column.name.clone(), kind));
        targets.iter_mut().zip(found).for_each(|(row, target)| row.push(target));
    }
    Ok((Targets::Heads(heads), targets.into_iter().map(|row| Target::Heads(Arc::from(row))).collect()))
}

fn all_numbers(columns: &[Column], cells: &[Vec<Option<String>>]) -> Result<(Targets, Vec<Target>)> {
    let mut rows: Vec<Vec<f32>> = vec![Vec::new(); cells.first().map_or(0, Vec::len)];
    for (column, cells) in columns.iter().zip(cells) {
        for (row, text) in rows.iter_mut().zip(cells.iter().flatten()) {
            row.push(number(column, text)?);
        }
    }
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    values::several(names, rows)
}

fn number(column: &Column, text: &str) -> Result<f32> {
    let bad = || Error::BadTargets {
        reason: format!("`{}` in the column `{}` is not a finite number", name::shown(text.as_bytes()), column.name),
        hint: HINT,
    };
    values::parse(text).ok_or_else(bad)
}

/// One column as a head: its kind, and the target of each item, unknown where its cell is empty.
fn head(column: &Column, cells: &[Option<String>], is_number: bool, limits: &Limits) -> Result<(Targets, Vec<Target>)> {
    let bad = |reason: String| Error::BadTargets { reason: format!("the column `{}` {reason}", column.name), hint: HINT };
    let known: Vec<&str> = cells.iter().flatten().map(String::as_str).collect();
    if known.is_empty() {
        return Err(bad("is empty".into()));
    }
    let (kind, found) = if is_number {
        let found = known.iter().map(|text| number(column, text).map(Target::Value)).collect::<Result<Vec<_>>>()?;
        (Targets::Values(vec![column.name.clone()]), found)
    } else if column.kind == Some(Kind::Labels) {
        let (names, found) = labels::indexed(&labels::lists(&known)?, limits)?;
        (Targets::Labels(names), found)
    } else {
        let texts: Vec<String> = known.iter().map(|text| name::class_text(text)).collect();
        let names = classes::names(&texts, limits)?;
        if names.len() < 2 {
            return Err(bad(format!("has one class, `{}`, from which nothing can be learned", names.concat())));
        }
        let found = texts.iter().map(|text| Target::Class(names.binary_search(text).unwrap_or_default() as u32)).collect();
        (Targets::Classes(names), found)
    };
    let mut found = found.into_iter();
    let targets = cells.iter().map(|cell| cell.as_ref().and_then(|_| found.next()).unwrap_or(Target::Unknown)).collect();
    Ok((kind, targets))
}

#[cfg(test)]
mod tests {
    use super::super::form;
    use super::*;
    use crate::data::labelled::Split;

    fn read_all(columns: &[&str], rows: &[&str]) -> Result<(Targets, Vec<Target>)> {
        let columns = form::declared(&columns.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        let samples: Vec<Labelled> = rows.iter().map(|text| Labelled { entry: 0, split: Split::Train, text: (*text).into() }).collect();
        read(&columns, &samples, &Limits::default())
    }

    #[test]
    fn numbers_everywhere_are_values_and_gaps_make_heads() {
        let (targets, found) = read_all(&["w=number", "h"], &[r#"["1","2.5"]"#, r#"["3","4"]"#]).unwrap();
        assert_eq!(targets, Targets::Values(vec!["w".into(), "h".into()]));
        assert_eq!(found[0], Target::Values([1.0, 2.5].into()));
        let (targets, found) = read_all(&["w=number", "colour"], &[r#"["1","red"]"#, r#"[null,"blue"]"#, r#"["3",""]"#]).unwrap();
        let kinds =
            vec![("w".into(), Targets::Values(vec!["w".into()])), ("colour".into(), Targets::Classes(vec!["blue".into(), "red".into()]))];
        assert_eq!(targets, Targets::Heads(kinds));
        assert_eq!(found[1], Target::Heads([Target::Unknown, Target::Class(0)].into()));
        assert_eq!(found[2], Target::Heads([Target::Value(3.0), Target::Unknown].into()));
        assert_eq!(targets.word(&found[2]), "w: 3");
    }

    #[test]
    fn what_teaches_nothing_is_refused_with_its_column() {
        let refused = |columns: &[&str], rows: &[&str]| read_all(columns, rows).unwrap_err().to_string();
        assert!(refused(&["a", "b"], &[r#"["x",null]"#, r#"["y",""]"#]).contains("the column `b` is empty"));
        assert!(refused(&["a", "b"], &[r#"["x","u"]"#, r#"["x","v"]"#]).contains("the column `a` has one class, `x`"));
        assert!(
            refused(&["a=number", "b"], &[r#"["NaN","u"]"#, r#"["1","v"]"#]).contains("`NaN` in the column `a` is not a finite number")
        );
        assert!(refused(&["a=number", "b=number"], &[r#"["1","2"]"#, r#"["1","3"]"#]).contains("`a`"));
        assert!(form::declared(&["x=colour".into()]).is_err());
    }
}
