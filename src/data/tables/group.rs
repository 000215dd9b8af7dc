//! Reading the rows of a table, a few at a time.

use std::collections::VecDeque;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::file::reader::{FileReader, RowGroupReader};

use super::columns::{Columns, TargetColumn};
use super::{Table, pages};
use crate::data::error::Result;
use crate::data::limits::Limits;
use crate::data::records;

/// Rows under way at a time.
const AT_ONCE: usize = 16;

type Read<T> = std::result::Result<T, String>;

/// Takes in the next row: its item, or the two of a pair, and what is said about it. Words and their tags come as JSON lists.
pub type Taker<'a> = &'a mut dyn FnMut(&[&[u8]], Option<String>) -> Result<()>;

/// Hands every row of a table on, after its pages were held against what they may hold.
pub fn read_all(table: &Table<'_>, columns: &Columns, limits: &Limits, take: Taker<'_>) -> Result<()> {
    for index in 0..table.reader.num_row_groups() {
        let group = table.caught(|_| {
            let group = table.reader.get_row_group(index).map_err(|e| e.to_string())?;
            for column in columns.items.iter().copied().chain(columns.targets.iter().map(|target| target.at)) {
                pages::check(&table.file, group.metadata().column(column), limits)?;
            }
            if columns.is_of_words() {
                return Ok((None, lists_of_words(&*group, columns)?));
            }
            let targets = rows_of_targets(&*group, columns)?;
            Ok::<_, String>((Some(group), targets.into_iter().map(|target| (None, target)).collect::<VecDeque<_>>()))
        })?;
        let (group, mut targets) = group.map_err(|reason| table.broken(reason))?;
        let Some(group) = group else {
            targets.into_iter().try_for_each(|(words, tags)| take(&[words.unwrap_or_default().as_bytes()], tags))?;
            continue;
        };
        let mut items = Vec::new();
        for column in &columns.items {
            let reader = table.caught(|_| group.get_column_reader(*column))?.map_err(|e| table.broken(e))?;
            let ColumnReader::ByteArrayColumnReader(reader) = reader else {
                return Err(table.broken("its items are not bytes"));
            };
            items.push((reader, group.metadata().column(*column).column_descr().max_def_level()));
        }
        loop {
            let next = table.caught(|_| items.iter_mut().map(|(reader, deepest)| next(reader, *deepest)).collect::<Read<Vec<_>>>())?;
            let next = next.map_err(|reason| table.broken(reason))?;
            let count = next.iter().map(Vec::len).max().unwrap_or(0);
            if count == 0 {
                break;
            }
            for row in 0..count {
                let Some((_, target)) = targets.pop_front() else {
                    return Err(table.broken("it has more items than labels"));
                };
                let item: Vec<&[u8]> =
                    next.iter().map(|column| column.get(row).and_then(Option::as_ref).map_or(&[][..], ByteArray::data)).collect();
                take(&item, target)?;
            }
        }
        if !targets.is_empty() {
            return Err(table.broken("it has more labels than items"));
        }
    }
    Ok(())
}

/// The words of each row and their tags, a JSON list each.
fn lists_of_words(group: &dyn RowGroupReader, columns: &Columns) -> Read<VecDeque<(Option<String>, Option<String>)>> {
    let [words, tags] = columns.targets.as_slice() else { return Err("it has no lists of words and tags".into()) };
    Ok(targets(group, words)?.into_iter().zip(targets(group, tags)?).collect())
}

/// What is said about each row; of several columns as one text.
fn rows_of_targets(group: &dyn RowGroupReader, columns: &Columns) -> Read<Texts> {
    let mut all: Vec<Texts> = columns.targets.iter().map(|column| targets(group, column)).collect::<Read<_>>()?;
    let Some(chosen) = &columns.texts else { return Ok(all.pop().unwrap_or_default()) };
    // Pairs may have no column of targets.
    let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
    let count = all.iter().map(VecDeque::len).max().unwrap_or(rows);
    let mut next = || all.iter_mut().map(|column| column.pop_front().flatten().filter(|text| !text.is_empty())).collect();
    Ok((0..count).map(|_| records::join(chosen, next())).collect())
}

/// The next few values of a column; empty at its end.
fn next<T: DataType>(reader: &mut ColumnReaderImpl<T>, deepest: i16) -> Read<Vec<Option<T::T>>> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let (rows, ..) = reader.read_records(AT_ONCE, Some(&mut levels), None, &mut values).map_err(|e| e.to_string())?;
    let mut values = values.into_iter();
    let of = |row: usize| (deepest == 0 || levels.get(row) == Some(&deepest)).then(|| values.next()).flatten();
    Ok((0..rows).map(of).collect())
}

fn all<T: DataType>(mut reader: ColumnReaderImpl<T>, deepest: i16, text: impl Fn(T::T) -> Read<Option<String>>) -> Read<Texts> {
    let mut texts = VecDeque::new();
    loop {
        let values = next(&mut reader, deepest)?;
        if values.is_empty() {
            return Ok(texts);
        }
        for value in values {
            texts.push_back(value.map_or(Ok(None), &text)?);
        }
    }
}

/// The text of each row's target; `None` where a row has none.
type Texts = VecDeque<Option<String>>;

fn targets(group: &dyn RowGroupReader, columns: &TargetColumn) -> Read<Texts> {
    let deepest = group.metadata().column(columns.at).column_descr().max_def_level();
    let word =
        |bytes: ByteArray| bytes.as_utf8().map(|text| Some(text.trim().to_owned())).map_err(|_| "its labels are no UTF-8".to_owned());
    let plain = |number: f64| Ok(Some(number.to_string()));
    let list = columns.list;
    match group.get_column_reader(columns.at).map_err(|e| e.to_string())? {
        ColumnReader::Int32ColumnReader(reader) => each(reader, deepest, list, |number| columns.class(number.into())),
        ColumnReader::Int64ColumnReader(reader) => each(reader, deepest, list, |number| columns.class(number)),
        ColumnReader::FloatColumnReader(reader) => each(reader, deepest, list, |number| Ok(Some(number.to_string()))),
        ColumnReader::DoubleColumnReader(reader) => each(reader, deepest, list, plain),
        ColumnReader::BoolColumnReader(reader) => each(reader, deepest, list, |truth| Ok(Some(truth.to_string()))),
        ColumnReader::ByteArrayColumnReader(reader) => each(reader, deepest, list, word),
        _ => Err("its labels are neither text nor numbers".into()),
    }
}

fn each<T: DataType>(
    reader: ColumnReaderImpl<T>,
    deepest: i16,
    list: Option<(i16, i16)>,
    text: impl Fn(T::T) -> Read<Option<String>>,
) -> Read<Texts> {
    match list {
        None => all(reader, deepest, text),
        Some((empty, deepest)) => lists(reader, empty, deepest, text),
    }
}

/// The JSON list of each row; `None` where a row has none. Numbers are written as numbers.
fn lists<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    empty: i16,
    deepest: i16,
    text: impl Fn(T::T) -> Read<Option<String>>,
) -> Read<Texts> {
    let mut texts = VecDeque::new();
    loop {
        let (mut levels, mut repeats, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let (rows, ..) = reader.read_records(AT_ONCE, Some(&mut levels), Some(&mut repeats), &mut values).map_err(|e| e.to_string())?;
        if rows == 0 {
            return Ok(texts);
        }
        let mut values = values.into_iter();
        let mut found: Vec<Option<Vec<serde_json::Value>>> = Vec::new();
        for (level, repeat) in levels.iter().zip(&repeats) {
            if *repeat == 0 {
                found.push((*level >= empty).then(Vec::new));
            }
            let value = if *level == deepest { values.next().map_or(Ok(None), &text)? } else { None };
            if let (Some(Some(row)), Some(word)) = (found.last_mut(), value) {
                row.push(
                    word.parse::<f64>()
                        .ok()
                        .filter(|_| is_fraction::<T>())
                        .map_or_else(|| serde_json::json!(word), |n| serde_json::json!(n)),
                );
            }
        }
        texts.extend(found.into_iter().map(|row| row.map(|row| serde_json::json!(row).to_string())));
    }
}

/// Whether its values are fractions, which are no classes.
fn is_fraction<T: DataType>() -> bool {
    matches!(T::get_physical_type(), parquet::basic::Type::FLOAT | parquet::basic::Type::DOUBLE)
}
