//! Reading the rows of a table, a few at a time.

use std::collections::VecDeque;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::file::reader::{FileReader, RowGroupReader};

use super::columns::Columns;
use super::{Rows, Table, pages};
use crate::data::error::Result;

/// Rows under way at a time.
const AT_ONCE: usize = 16;

type Read<T> = std::result::Result<T, String>;

/// Hands every row of a table on, after its pages were held against what they may hold.
pub fn read_all(table: &Table<'_>, columns: &Columns, rows: &mut Rows<'_>) -> Result<()> {
    for index in 0..table.reader.num_row_groups() {
        let group = table.caught(|_| {
            let group = table.reader.get_row_group(index).map_err(|e| e.to_string())?;
            for column in [columns.image, columns.target] {
                pages::check(&table.file, group.metadata().column(column), rows.limits)?;
            }
            let targets = targets(&*group, columns)?;
            Ok::<_, String>((group, targets))
        })?;
        let (group, mut targets) = group.map_err(|reason| table.broken(reason))?;
        let column = table.caught(|_| group.get_column_reader(columns.image))?.map_err(|e| table.broken(e))?;
        let ColumnReader::ByteArrayColumnReader(mut images) = column else {
            return Err(table.broken("its images are not bytes"));
        };
        let deepest = group.metadata().column(columns.image).column_descr().max_def_level();
        loop {
            let next = table.caught(|_| next(&mut images, deepest))?.map_err(|reason| table.broken(reason))?;
            if next.is_empty() {
                break;
            }
            for image in next {
                let Some(target) = targets.pop_front() else {
                    return Err(table.broken("it has more images than labels"));
                };
                rows.add(image.as_ref().map_or(&[][..], ByteArray::data), target)?;
            }
        }
        if !targets.is_empty() {
            return Err(table.broken("it has more labels than images"));
        }
    }
    Ok(())
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

fn targets(group: &dyn RowGroupReader, columns: &Columns) -> Read<Texts> {
    let deepest = group.metadata().column(columns.target).column_descr().max_def_level();
    let word =
        |bytes: ByteArray| bytes.as_utf8().map(|text| Some(text.trim().to_owned())).map_err(|_| "its labels are no UTF-8".to_owned());
    match group.get_column_reader(columns.target).map_err(|e| e.to_string())? {
        ColumnReader::Int32ColumnReader(reader) => all(reader, deepest, |number| columns.class(number.into())),
        ColumnReader::Int64ColumnReader(reader) => all(reader, deepest, |number| columns.class(number)),
        ColumnReader::FloatColumnReader(reader) => all(reader, deepest, |number| Ok(Some(number.to_string()))),
        ColumnReader::DoubleColumnReader(reader) => all(reader, deepest, |number| Ok(Some(number.to_string()))),
        ColumnReader::BoolColumnReader(reader) => all(reader, deepest, |truth| Ok(Some(truth.to_string()))),
        ColumnReader::ByteArrayColumnReader(reader) => all(reader, deepest, word),
        _ => Err("its labels are neither text nor numbers".into()),
    }
}
