//! gensim's own files of word vectors: a pickle of a `KeyedVectors` or of a model that has one (`wv`), its larger arrays beside it
//! as `NAME.vectors.npy`. The pickle is read by the machine that reads PyTorch's, which builds values and runs nothing.

use std::path::{Path, PathBuf};

use serde_json::Map;

use super::error::{Error, Result, corrupt};
use super::pickle::{self, Id, Limits, Object, Pickle, Value};
use crate::vectors::store::{Parts, Store};
use crate::vectors::{self, Dtype, Stored, Subwords, formats};

/// A gensim file whose words and vectors were found.
pub struct Gensim<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    pickle: Pickle,
    /// The object that holds words and vectors, and what its arrays' files begin with.
    keyed: Id,
    prefix: PathBuf,
}

/// A matrix inside the pickle or beside it.
enum Array<'a> {
    Inside { rows: usize, width: usize, size: usize, bytes: std::borrow::Cow<'a, [u8]> },
    Beside { file: memmap2::Mmap, array: formats::Array },
}

impl Array<'_> {
    fn shape(&self) -> (usize, usize) {
        match self {
            Array::Inside { rows, width, .. } => (*rows, *width),
            Array::Beside { array, .. } => (array.rows, array.width),
        }
    }

    fn read_row(&self, row: usize, out: &mut [f32]) {
        match self {
            Array::Beside { file, array } => array.read_row(file, row, out),
            Array::Inside { width, size, bytes, .. } => {
                let row = bytes.get(row * width * size..(row + 1) * width * size).unwrap_or(&[]);
                match size {
                    4 => out.iter_mut().zip(row.as_chunks::<4>().0).for_each(|(out, bytes)| *out = f32::from_le_bytes(*bytes)),
                    _ => out.iter_mut().zip(row.as_chunks::<8>().0).for_each(|(out, bytes)| *out = f64::from_le_bytes(*bytes) as f32),
                }
            }
        }
    }
}

impl<'a> Gensim<'a> {
    /// Reads a pickle; `None` where it is none of gensim's.
    pub fn read(path: &'a Path, bytes: &'a [u8]) -> Result<Option<Gensim<'a>>> {
        // The name of the root's class is one of the first things in a pickle; others are not looked into.
        let is_named = bytes[..bytes.len().min(256)].windows(7).any(|name| name == b"gensim.");
        if !is_named || !matches!(bytes, [0x80, 2..=5, ..]) {
            return Ok(None);
        }
        let pickle = pickle::read_within(bytes, Limits::WORDS)?;
        if !pickle.class_of(pickle.root).is_some_and(|class| class.starts_with("gensim.")) {
            return Ok(None);
        }
        let root = pickle.root;
        let mut read = Gensim { path, bytes, pickle, keyed: root, prefix: path.to_owned() };
        if let Some(inner) = read.attribute("wv").filter(|inner| matches!(read.pickle.get(*inner), Value::Object(_))) {
            read.keyed = inner;
            read.prefix = with_ending(path, "wv");
        }
        Ok(Some(read))
    }

    /// An attribute of the object that holds the words.
    fn attribute(&self, name: &str) -> Option<Id> {
        self.attribute_of(self.keyed, name)
    }

    fn attribute_of(&self, object: Id, name: &str) -> Option<Id> {
        let Value::Object(object) = self.pickle.get(object) else { return None };
        let Value::Dict(items) = self.pickle.get(object.state?) else { return None };
        items.iter().rev().find(|(key, _)| self.pickle.text(*key) == Some(name)).map(|(_, value)| *value)
    }

    fn number(&self, id: Id) -> Option<usize> {
        match self.pickle.get(id) {
            Value::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The words in the order of their rows.
    fn words(&self) -> Result<Vec<&str>> {
        let list = ["index_to_key", "index2word", "index2entity"].into_iter().find_map(|name| self.attribute(name));
        // Before KeyedVectors a model held its words itself.
        let list = list.or_else(|| self.attribute_of(self.pickle.root, "index2word"));
        let Some(Value::List(items)) = list.map(|list| self.pickle.get(list)) else {
            return Err(corrupt("gensim's object holds no list of words (index_to_key, index2word)"));
        };
        let text =
            |(row, item): (usize, &Id)| self.pickle.text(*item).ok_or_else(|| corrupt(format!("word {row} of gensim's list is no text")));
        items.iter().enumerate().map(text).collect()
    }

    /// The first of these arrays that is there.
    fn array(&self, names: &[&str]) -> Result<Option<Array<'_>>> {
        for (holder, prefix) in [(self.keyed, &self.prefix), (self.pickle.root, &self.path.to_owned())] {
            for name in names {
                let inside = self.attribute_of(holder, name).map(|id| self.pickle.get(id));
                if let Some(Value::Object(object)) = inside {
                    return self.inside(object, name).map(Some);
                }
                let file = with_ending(prefix, &format!("{name}.npy"));
                if file.is_file() {
                    return self.beside(&file).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn beside(&self, path: &Path) -> Result<Array<'_>> {
        let file = std::fs::File::open(path).map_err(Error::io(path))?;
        // SAFETY: whoever truncates the file while it is imported ends the import's process by a signal and harms nobody else.
        let file = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io(path))?;
        let array = formats::read_array(path, &file).map_err(super::word_vectors::failed)?;
        Ok(Array::Beside { file, array })
    }

    /// An array as NumPy pickles it: `_reconstruct` and a state of (version, shape, dtype, is Fortran's, bytes), or, in protocol 5,
    /// `_frombuffer(bytes, dtype, shape, order)`.
    fn inside(&self, object: &Object, name: &str) -> Result<Array<'_>> {
        let refused = |problem: &str| corrupt(format!("gensim's array `{name}` {problem}"));
        let tuple = |id: Option<Id>| match id.map(|id| self.pickle.get(id)) {
            Some(Value::Tuple(items)) => items.as_slice(),
            _ => &[],
        };
        let (shape, dtype, is_fortran, data) = match (tuple(object.state), tuple(object.arguments)) {
            (&[_, shape, dtype, order, data, ..], _) => (shape, dtype, self.pickle.get(order) == &Value::Bool(true), data),
            (_, &[data, dtype, shape, order, ..]) => (shape, dtype, self.pickle.text(order) == Some("F"), data),
            _ => return Err(refused("is none of NumPy's")),
        };
        let Value::Tuple(sides) = self.pickle.get(shape) else { return Err(refused("has no shape")) };
        let sides: Option<Vec<usize>> = sides.iter().map(|side| self.number(*side)).collect();
        let Some(&[rows, width]) = sides.as_deref() else { return Err(refused("is no matrix")) };
        if is_fortran {
            return Err(refused("lies column by column"));
        }
        let size = match self.dtype(dtype) {
            Some("f4") => 4,
            Some("f8") => 8,
            _ => return Err(refused("holds no little-endian f4 or f8")),
        };
        let bytes = self.data(data).ok_or_else(|| refused("has no bytes"))?;
        if rows.checked_mul(width).and_then(|numbers| numbers.checked_mul(size)) != Some(bytes.len()) {
            return Err(refused(&format!("of {rows} x {width} has {} bytes", bytes.len())));
        }
        Ok(Array::Inside { rows, width, size, bytes })
    }

    /// `f4` of `dtype('f4', False, True)`, whose order is little-endian.
    fn dtype(&self, id: Id) -> Option<&str> {
        let Value::Object(object) = self.pickle.get(id) else { return None };
        let Value::Tuple(arguments) = self.pickle.get(object.arguments?) else { return None };
        let kind = self.pickle.text(*arguments.first()?)?;
        let Value::Tuple(state) = self.pickle.get(object.state?) else { return None };
        let order = self.pickle.text(*state.get(1)?)?;
        (order == "<").then_some(kind.trim_start_matches('<'))
    }

    /// The bytes of an array; Python 2's and protocol 2's stand as text of Latin-1.
    fn data(&self, id: Id) -> Option<std::borrow::Cow<'_, [u8]>> {
        match self.pickle.get(id) {
            Value::Bytes(range) => Some(self.bytes.get(range.clone())?.into()),
            Value::Text(text) => Some(text.as_bytes().into()),
            Value::Object(object) => {
                let Value::Tuple(arguments) = self.pickle.get(object.arguments?) else { return None };
                match self.pickle.get(*arguments.first()?) {
                    Value::Text(text) => text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>().map(Into::into),
                    Value::Bytes(range) => Some(self.bytes.get(range.clone())?.into()),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// fastText's n-grams, where gensim's object has them with the hash that fastText has too.
    fn subwords(&self) -> Option<Subwords> {
        let number = |name: &str| self.attribute(name).and_then(|id| self.number(id));
        let is_compatible = self.attribute("compatible_hash").is_none_or(|id| self.pickle.get(id) != &Value::Bool(false));
        let (min, max, buckets) = (number("min_n")?, number("max_n")?, u32::try_from(number("bucket")?).ok()?);
        (is_compatible && max > 0 && min <= max && max <= 64 && buckets > 0).then_some(Subwords { min, max, buckets })
    }

    /// Writes words and vectors as a model into `folder`.
    pub fn store(&self, dtype: Dtype, folder: &Path) -> Result<Stored> {
        let words = self.words()?;
        let array = self.array(&["vectors", "syn0"])?;
        let Some(array) = array else {
            let wanted = with_ending(&self.prefix, "vectors.npy");
            let problem = format!("its vectors are not in it, and {} is not beside it", wanted.display());
            return Err(Error::Unsupported { path: self.path.to_owned(), problem });
        };
        let (rows, width) = array.shape();
        if rows != words.len() {
            return Err(corrupt(format!("gensim's object has {} words and {rows} vectors", words.len())));
        }
        let failed = super::word_vectors::failed;
        let mut store = Store::begin(folder, self.path, dtype, width).map_err(failed)?;
        let mut values = vec![0.0; width];
        for (row, word) in words.iter().enumerate() {
            array.read_row(row, &mut values);
            store.push(word.as_bytes(), None, &values, 0).map_err(failed)?;
        }
        let (parts, mut notes) = (self.array(&["vectors_ngrams"])?, Vec::new());
        let parts = match (&parts, self.subwords()) {
            (Some(array), Some(settings)) if array.shape() == (settings.buckets as usize, width) => {
                let read = |row: usize, out: &mut [f32]| -> vectors::Result<()> {
                    array.read_row(row, out);
                    Ok(())
                };
                Some(Parts { settings, rows: settings.buckets as usize, read: Box::new(read), kept: None })
            }
            (Some(_), _) => {
                notes.push(
                    "its n-grams are of an older gensim's form and were left out: words that it does not know have no vectors".into(),
                );
                None
            }
            _ => None,
        };
        let architecture =
            if self.pickle.class_of(self.keyed).is_some_and(|class| class.contains("FastText")) { "fasttext" } else { "word2vec" };
        let mut stored = store.finish(architecture, Map::new(), parts).map_err(failed)?;
        stored.notes.append(&mut notes);
        Ok(stored)
    }
}

/// `NAME.ENDING`.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}
