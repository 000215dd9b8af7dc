//! Answers as one safetensors file: the matrix under the name of what it holds (`features`, `probabilities`, `values`), and in the
//! metadata, each as JSON, `names` of the rows, `columns` where they have names, `errors` by row. The header stands first and names what
//! could not be read, so rows wait in a spool.
//!
//! ```text
//! length of the header, u64 | header, JSON padded by spaces to a multiple of 8 | numbers, f32, all little end first
//! ```

use std::collections::BTreeMap;
use std::io::{self, SeekFrom, Write};

use serde_json::{Map, Value, json};

use super::writer::{Form, Spool};
use super::{Said, Shape, npy};

pub(super) struct Safetensors<'a> {
    model: String,
    out: &'a mut (dyn Write + Send),
    spool: Box<dyn Spool>,
    names: Vec<String>,
    errors: BTreeMap<usize, String>,
}

impl<'a> Safetensors<'a> {
    pub fn begin(model: &str, out: &'a mut (dyn Write + Send), spool: Box<dyn Spool>) -> Safetensors<'a> {
        Safetensors { model: model.to_owned(), out, spool, names: Vec::new(), errors: BTreeMap::new() }
    }
}

impl Form for Safetensors<'_> {
    fn add(&mut self, shape: &Shape, item: Said) -> io::Result<()> {
        self.spool.write_all(&npy::bytes(&shape.row(&item)))?;
        if let Some(reason) = item.reason() {
            self.errors.insert(self.names.len(), reason.message.clone());
        }
        self.names.push(item.name);
        Ok(())
    }

    fn finish(mut self: Box<Self>, shape: &Shape) -> io::Result<()> {
        let text = |value: Value| Value::from(value.to_string());
        let mut about = Map::from_iter([("model".to_owned(), Value::from(self.model.as_str()))]);
        if !shape.columns.is_empty() {
            about.insert("columns".into(), text(json!(shape.columns)));
        }
        about.insert("errors".into(), text(json!(self.errors)));
        let rows = self.names.len();
        about.insert("names".into(), text(json!(std::mem::take(&mut self.names))));
        let tensor = json!({ "dtype": "F32", "shape": [rows, shape.width], "data_offsets": [0, 4 * rows * shape.width] });
        let mut header = Map::from_iter([("__metadata__".to_owned(), Value::Object(about))]);
        header.insert(shape.kind.name().into(), tensor);
        let mut header = Value::Object(header).to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        self.out.write_all(&(header.len() as u64).to_le_bytes())?;
        self.out.write_all(&header)?;
        self.spool.seek(SeekFrom::Start(0))?;
        io::copy(&mut self.spool, &mut self.out).map(drop)
    }
}
