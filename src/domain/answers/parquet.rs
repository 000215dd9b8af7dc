//! Answers as a Parquet file: `name` and `error`, and of classes `label`, `probability` of the likeliest with the lists `labels`,
//! `probabilities` of all that were asked for; of numbers a column each; of entities and objects their JSON list `entities` or `boxes`; of features the list
//! `features`.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, FloatType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::shape::Kind;
use super::writer::Form;
use super::{Said, Shape};
use crate::domain::prediction::Class;

/// Definition levels of a list's column that is optional, and whose elements are not: no list, an empty one, an element.
const NO_LIST: i16 = 0;
const EMPTY: i16 = 1;
const ELEMENT: i16 = 2;

/// Rows of a group, which wait in memory; and numbers in them, of features many rows.
const MOST_ROWS: usize = 4_096;
const MOST_NUMBERS: usize = 1 << 20;

type Out<'a> = &'a mut (dyn Write + Send);
type Group<'a, 'o> = SerializedRowGroupWriter<'a, Out<'o>>;
type Written = parquet::errors::Result<()>;

pub(super) struct Parquet<'a> {
    writer: SerializedFileWriter<Out<'a>>,
    waiting: Vec<Said>,
    most: usize,
}

impl<'a> Parquet<'a> {
    pub fn begin(shape: &Shape, out: Out<'a>) -> io::Result<Parquet<'a>> {
        let schema = parse_message_type(&schema(shape)).map_err(io::Error::other)?;
        let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
        let writer = SerializedFileWriter::new(out, Arc::new(schema), properties).map_err(io::Error::other)?;
        let most = (MOST_NUMBERS / shape.width.max(1)).clamp(1, MOST_ROWS);
        Ok(Parquet { writer, waiting: Vec::new(), most })
    }

    fn flush(&mut self, shape: &Shape) -> io::Result<()> {
        let items = std::mem::take(&mut self.waiting);
        let mut write = || {
            let mut group = self.writer.next_row_group()?;
            rows(&mut group, &items, shape)?;
            group.close().map(drop)
        };
        write().map_err(io::Error::other)
    }
}

impl Form for Parquet<'_> {
    fn add(&mut self, shape: &Shape, item: Said) -> io::Result<()> {
        self.waiting.push(item);
        if self.waiting.len() >= self.most { self.flush(shape) } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>, shape: &Shape) -> io::Result<()> {
        if !self.waiting.is_empty() {
            self.flush(shape)?;
        }
        self.writer.close().map(drop).map_err(io::Error::other)
    }
}

fn rows(group: &mut Group<'_, '_>, items: &[Said], shape: &Shape) -> Written {
    texts(group, &items.iter().map(|item| Some(item.name.as_str())).collect::<Vec<_>>(), false)?;
    texts(group, &items.iter().map(|item| item.reason().map(|reason| reason.message.as_str())).collect::<Vec<_>>(), true)?;
    match shape.kind {
        Kind::Probabilities => {
            let first: Vec<Option<&Class>> = items.iter().map(|item| classes(item)?.first()).collect();
            texts(group, &first.iter().map(|class| class.map(|class| class.label.as_str())).collect::<Vec<_>>(), true)?;
            floats(group, &first.iter().map(|class| class.map(|class| class.probability)).collect::<Vec<_>>())?;
            let labels = items.iter().map(|item| classes(item).map(|all| all.iter().map(|class| bytes(&class.label)).collect()));
            list::<ByteArrayType>(group, labels.collect())?;
            let shares = items.iter().map(|item| classes(item).map(|all| all.iter().map(|class| class.probability).collect()));
            list::<FloatType>(group, shares.collect())
        }
        Kind::Values => {
            let found: Vec<Vec<f32>> = items.iter().map(|item| shape.row(item)).collect();
            (0..shape.width).try_for_each(|column| {
                let cell = |row: &Vec<f32>| Some(row[column]).filter(|value| !value.is_nan());
                floats(group, &found.iter().map(cell).collect::<Vec<_>>())
            })
        }
        Kind::Entities | Kind::Boxes | Kind::Shots => {
            let listed: Vec<Option<String>> = items.iter().map(|item| item.content.answer()?.listed()).collect();
            texts(group, &listed.iter().map(Option::as_deref).collect::<Vec<_>>(), true)
        }
        Kind::Features => list::<FloatType>(group, items.iter().map(|item| item.content.features().map(<[f32]>::to_vec)).collect()),
    }
}

fn classes(item: &Said) -> Option<&[Class]> {
    item.content.answer().map(|answer| answer.classes())
}

fn bytes(text: &str) -> ByteArray {
    ByteArray::from(text.as_bytes().to_vec())
}

fn schema(shape: &Shape) -> String {
    let list = |name: &str, kind: &str| format!("optional group {name} (LIST) {{ repeated group list {{ required {kind}; }} }}\n");
    let columns = match shape.kind {
        Kind::Probabilities => {
            let one = "optional binary label (UTF8);\noptional float probability;\n".to_owned();
            one + &list("labels", "binary element (UTF8)") + &list("probabilities", "float element")
        }
        // Names of targets are other people's: the parser takes words.
        Kind::Values => (0..shape.width).map(|at| format!("optional float {};\n", word(&shape.columns, at))).collect(),
        Kind::Entities | Kind::Boxes | Kind::Shots => format!("optional binary {} (UTF8);\n", shape.kind.name()),
        Kind::Features => list("features", "float element"),
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

fn texts(group: &mut Group<'_, '_>, values: &[Option<&str>], optional: bool) -> Written {
    let Some(mut column) = group.next_column()? else { return Ok(()) };
    let present: Vec<ByteArray> = values.iter().flatten().map(|text| bytes(text)).collect();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    column.typed::<ByteArrayType>().write_batch(&present, optional.then_some(&levels[..]), None)?;
    column.close()
}

fn floats(group: &mut Group<'_, '_>, values: &[Option<f32>]) -> Written {
    let Some(mut column) = group.next_column()? else { return Ok(()) };
    let present: Vec<f32> = values.iter().flatten().copied().collect();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    column.typed::<FloatType>().write_batch(&present, Some(&levels), None)?;
    column.close()
}

fn list<T: parquet::data_type::DataType>(group: &mut Group<'_, '_>, rows: Vec<Option<Vec<T::T>>>) -> Written {
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
