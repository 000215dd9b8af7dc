//! Rows are written as they come, so that the answers about a whole data set need not be in memory together.

use std::io::{self, Read, Seek, Write};

use super::{Format, Said, Shape, coco, csv, npy, parquet, safetensors};

/// A place for what cannot stand where it belongs before all rows are known.
pub trait Spool: Read + Write + Seek + Send {}

impl<T: Read + Write + Seek + Send> Spool for T {}

/// One form, in the making.
pub(super) trait Form {
    fn add(&mut self, shape: &Shape, item: Said) -> io::Result<()>;

    fn finish(self: Box<Self>, shape: &Shape) -> io::Result<()>;
}

/// Writes answers in one of their forms, item by item.
pub struct Writer<'a> {
    shape: Shape,
    form: Box<dyn Form + 'a>,
}

impl<'a> Writer<'a> {
    /// Of `items` answers of this shape. `spool` is asked for where the form needs a second place.
    ///
    /// # Errors
    /// Those of writing; what the form cannot hold is one of them.
    pub fn begin(
        format: Format,
        model: &str,
        (shape, items): (Shape, usize),
        out: &'a mut (dyn Write + Send),
        spool: impl FnOnce() -> io::Result<Box<dyn Spool>>,
    ) -> io::Result<Writer<'a>> {
        let form: Box<dyn Form + 'a> = match format {
            Format::Json => Box::new(Json::begin(model, out)?),
            Format::Csv => Box::new(csv::Csv::begin(&shape, out)?),
            Format::Npy => Box::new(npy::Npy::begin(&shape, items, out)?),
            Format::Safetensors => Box::new(safetensors::Safetensors::begin(model, out, spool()?)),
            Format::Parquet => Box::new(parquet::Parquet::begin(&shape, out)?),
            Format::Coco => Box::new(coco::Coco::begin(out)?),
        };
        Ok(Writer { shape, form })
    }

    /// # Errors
    /// Those of writing.
    pub fn add(&mut self, item: Said) -> io::Result<()> {
        self.form.add(&self.shape, item)
    }

    /// # Errors
    /// Those of writing.
    pub fn finish(self) -> io::Result<()> {
        self.form.finish(&self.shape)
    }
}

/// `{"model": ..., "items": [...]}`, as [`super::Answers`] is read.
struct Json<'a> {
    out: &'a mut (dyn Write + Send),
    any: bool,
}

impl<'a> Json<'a> {
    fn begin(model: &str, out: &'a mut (dyn Write + Send)) -> io::Result<Json<'a>> {
        write!(out, "{{\"model\":{},\"items\":[", serde_json::Value::from(model))?;
        Ok(Json { out, any: false })
    }
}

impl Form for Json<'_> {
    fn add(&mut self, _shape: &Shape, item: Said) -> io::Result<()> {
        if std::mem::replace(&mut self.any, true) {
            self.out.write_all(b",")?;
        }
        serde_json::to_writer(&mut self.out, &item).map_err(io::Error::from)
    }

    fn finish(self: Box<Self>, _shape: &Shape) -> io::Result<()> {
        self.out.write_all(b"]}")
    }
}
