//! Answers as a Parquet file: `name` and `error`, and of classes `label`, `probability` of the likeliest with the lists `labels`,
//! `probabilities` of all that were asked for; of numbers a column each; of features the list `features`.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, FloatType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::{Answers, Matrix, Said};
use crate::domain::prediction::Class;

/// Definition levels of a list's column that is optional, and whose elements are not: no list, an empty one, an element.
const NO_LIST: i16 = 0;
const EMPTY: i16 = 1;
const ELEMENT: i16 = 2;

type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;
type Written = parquet::errors::Result<()>;

pub(super) fn write(answers: &Answers) -> Result<Vec<u8>, String> {
    let matrix = answers.matrix();
    written(answers, &matrix).map_err(|e| e.to_string())
}

fn written(answers: &Answers, matrix: &Matrix) -> parquet::errors::Result<Vec<u8>> {
    let schema = Arc::new(parse_message_type(&schema(matrix))?);
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties)?;
    let mut group = writer.next_row_group()?;
    let items = &answers.items;
    texts(&mut group, &items.iter().map(|item| Some(item.name.as_str())).collect::<Vec<_>>(), false)?;
    texts(&mut group, &items.iter().map(|item| item.reason().map(|reason| reason.message.as_str())).collect::<Vec<_>>(), true)?;
    match matrix.name {
        "probabilities" => {
            let first: Vec<Option<&Class>> = items.iter().map(|item| classes(item)?.first()).collect();
            texts(&mut group, &first.iter().map(|class| class.map(|class| class.label.as_str())).collect::<Vec<_>>(), true)?;
            floats(&mut group, &first.iter().map(|class| class.map(|class| class.probability)).collect::<Vec<_>>())?;
            let labels = items.iter().map(|item| classes(item).map(|all| all.iter().map(|class| bytes(&class.label)).collect()));
            list::<ByteArrayType>(&mut group, labels.collect())?;
            let shares = items.iter().map(|item| classes(item).map(|all| all.iter().map(|class| class.probability).collect()));
            list::<FloatType>(&mut group, shares.collect())?;
        }
        "values" => {
            for column in 0..matrix.width {
                let cell = |row: &[f32]| Some(row[column]).filter(|value| !value.is_nan());
                floats(&mut group, &matrix.values.chunks_exact(matrix.width).map(cell).collect::<Vec<_>>())?;
            }
        }
        _ => list::<FloatType>(&mut group, items.iter().map(|item| item.content.features().map(<[f32]>::to_vec)).collect())?,
    }
    group.close()?;
    writer.into_inner()
}

fn classes(item: &Said) -> Option<&[Class]> {
    item.content.answer().map(|answer| answer.classes())
}

fn bytes(text: &str) -> ByteArray {
    ByteArray::from(text.as_bytes().to_vec())
}

fn schema(matrix: &Matrix) -> String {
    let list = |name: &str, kind: &str| format!("optional group {name} (LIST) {{ repeated group list {{ required {kind}; }} }}\n");
    let columns = match matrix.name {
        "probabilities" => {
            let one = "optional binary label (UTF8);\noptional float probability;\n".to_owned();
            one + &list("labels", "binary element (UTF8)") + &list("probabilities", "float element")
        }
        // Names of targets are other people's: the parser takes words.
        "values" => (0..matrix.width).map(|at| format!("optional float {};\n", word(&matrix.columns, at))).collect(),
        _ => list("features", "float element"),
    };
    format!("message answers {{\nrequired binary name (UTF8);\noptional binary error (UTF8);\n{columns}}}")
}

/// A column's name as a word that no other column has.
fn word(columns: &[String], at: usize) -> String {
    let plain = |name: &str| name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect::<String>();
    let own = plain(&columns[at]);
    let taken = ["name", "error", ""].contains(&own.as_str())
        || own.starts_with(|c: char| c.is_ascii_digit())
        || columns[..at].iter().any(|other| plain(other) == own);
    if taken { format!("value_{at}") } else { own }
}

fn texts(group: &mut Group<'_>, values: &[Option<&str>], optional: bool) -> Written {
    let Some(mut column) = group.next_column()? else { return Ok(()) };
    let present: Vec<ByteArray> = values.iter().flatten().map(|text| bytes(text)).collect();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    column.typed::<ByteArrayType>().write_batch(&present, optional.then_some(&levels[..]), None)?;
    column.close()
}

fn floats(group: &mut Group<'_>, values: &[Option<f32>]) -> Written {
    let Some(mut column) = group.next_column()? else { return Ok(()) };
    let present: Vec<f32> = values.iter().flatten().copied().collect();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    column.typed::<FloatType>().write_batch(&present, Some(&levels), None)?;
    column.close()
}

fn list<T: parquet::data_type::DataType>(group: &mut Group<'_>, rows: Vec<Option<Vec<T::T>>>) -> Written {
    let Some(mut column) = group.next_column()? else { return Ok(()) };
    let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let (level, row) = row.map_or((NO_LIST, Vec::new()), |row| (EMPTY, row));
        if row.is_empty() {
            defined.push(level);
            repeated.push(0);
        }
        for (at, value) in row.into_iter().enumerate() {
            values.push(value);
            defined.push(ELEMENT);
            repeated.push(i16::from(at > 0));
        }
    }
    column.typed::<T>().write_batch(&values, Some(&defined), Some(&repeated))?;
    column.close()
}
