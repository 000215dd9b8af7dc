//! Writes a model of word vectors as it comes, row by row: `model.safetensors`, `vocabulary.safetensors`, and what config.json
//! says of them.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::error::{Error, Result, shown};
use super::matrix::{Dtype, MatrixWriter};
use super::subwords::Subwords;
use super::tensors::TensorWriter;
use super::vocabulary::{VOCABULARY_FILE, Words, objection};
use super::{MAX_WIDTH, WEIGHTS_FILE};
use crate::domain::config::ModelConfig;

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// `word2vec`, `fasttext` or `glove`.
    pub architecture: String,
    pub words: usize,
    pub width: usize,
    pub dtype: Dtype,
    /// Rows of n-grams, where words are put together of them.
    pub subwords: usize,
    /// What the source had that is not stored, in sentences.
    pub notes: Vec<String>,
    pub config: ModelConfig,
}

/// Things of one kind that were left out or changed; the first of them is named.
#[derive(Debug, Default)]
struct Counted(usize, String);

impl Counted {
    fn one(&mut self, first: impl FnOnce() -> String) {
        if self.0 == 0 {
            self.1 = first();
        }
        self.0 += 1;
    }
}

/// A model that is being written.
pub struct Store {
    folder: PathBuf,
    source: PathBuf,
    dtype: Dtype,
    width: usize,
    rows: MatrixWriter,
    words: Words,
    counts: Vec<u64>,
    norms: Vec<f32>,
    duplicates: Counted,
    empty: Counted,
    repaired: Counted,
}

impl Store {
    /// Begins a model in `folder`, which exists; `source` is named in errors.
    pub fn begin(folder: &Path, source: &Path, dtype: Dtype, width: usize) -> Result<Store> {
        if width == 0 || width > MAX_WIDTH {
            return Err(Error::corrupt(source, 0, format!("vectors of {width} numbers are not between 1 and {MAX_WIDTH} wide")));
        }
        let out = TensorWriter::create(&folder.join(WEIGHTS_FILE))?;
        Ok(Store {
            folder: folder.to_owned(),
            source: source.to_owned(),
            dtype,
            width,
            rows: MatrixWriter::new(out, dtype, width),
            words: Words::default(),
            counts: Vec::new(),
            norms: Vec::new(),
            duplicates: Counted::default(),
            empty: Counted::default(),
            repaired: Counted::default(),
        })
    }

    /// Adds a word, which stands at byte `at` of the source, and its vector. Of words that come again the first stays; an empty word,
    /// which no text has, is left out. Bytes that are no UTF-8 become U+FFFD: word2vec's own tool cuts long words anywhere.
    pub fn push(&mut self, word: &[u8], count: Option<u64>, values: &[f32], at: u64) -> Result<()> {
        let text = String::from_utf8_lossy(word);
        if matches!(text, std::borrow::Cow::Owned(_)) {
            self.repaired.one(|| format!("`{}` at byte {at}", shown(&text)));
        }
        if text.is_empty() {
            self.empty.one(|| format!("at byte {at}"));
            return Ok(());
        }
        if let Some(problem) = objection(&text) {
            return Err(Error::corrupt(&self.source, at, problem));
        }
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            let problem = format!("number {} of the vector of `{}` is {}", place + 1, shown(&text), values[place]);
            return Err(Error::corrupt(&self.source, at, problem));
        }
        let crowded = |_| Error::corrupt(&self.source, at, "these words are too many, or made to collide");
        let (_, is_new) = self.words.add(text.as_bytes()).map_err(crowded)?;
        if !is_new {
            self.duplicates.one(|| format!("`{}` at byte {at}", shown(&text)));
            return Ok(());
        }
        self.norms.push(self.rows.push(values)?);
        self.counts.extend(count);
        Ok(())
    }

    /// Ends the model. `subwords` gives the n-grams' settings and rows, and, where only some buckets were kept, which ones.
    pub fn finish(self, architecture: &str, args: Map<String, Value>, parts: Option<Parts>) -> Result<Stored> {
        let Store { folder, source, dtype, width, rows, words, counts, norms, .. } = self;
        if words.is_empty() {
            return Err(Error::corrupt(&source, 0, "there are no words in it"));
        }
        let mut out = rows.end("vectors")?;
        let (mut args, mut kept, mut subwords) = (args, None, 0);
        if let Some(mut parts) = parts {
            let mut matrix = MatrixWriter::new(out, dtype, width);
            let mut row = vec![0.0; width];
            for index in 0..parts.rows {
                (parts.read)(index, &mut row)?;
                matrix.push(&row)?;
            }
            out = matrix.end("subwords")?;
            subwords = parts.rows;
            parts.settings.into_args(&mut args);
            kept = parts.kept;
        }
        out.finish()?;
        let kept = kept.iter().flat_map(|(buckets, of)| [("subwords.buckets", buckets.as_slice()), ("subwords.rows", of.as_slice())]);
        // Counts that only some words have are of no use.
        let counts = if counts.len() == words.len() { counts.as_slice() } else { &[] };
        words.write(&folder.join(VOCABULARY_FILE), counts, &norms, &kept.collect::<Vec<_>>())?;
        args.insert("vocab_size".into(), json!(words.len()));
        args.insert("dtype".into(), json!(dtype.as_str()));
        let config =
            ModelConfig { architecture: architecture.into(), num_features: Some(width), model_args: Some(args), ..ModelConfig::default() };
        let notes = notes([&self.duplicates, &self.empty, &self.repaired]);
        Ok(Stored { architecture: architecture.into(), words: words.len(), width, dtype, subwords, notes, config })
    }

    /// Words so far.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

/// Writes the row of that number into a run of the width.
pub type ReadRow<'a> = Box<dyn FnMut(usize, &mut [f32]) -> Result<()> + 'a>;

/// Rows of n-grams on their way.
pub struct Parts<'a> {
    pub settings: Subwords,
    pub rows: usize,
    pub read: ReadRow<'a>,
    /// The buckets that were kept, in ascending order, and the row of each.
    pub kept: Option<(Vec<u32>, Vec<u32>)>,
}

fn notes([duplicates, empty, repaired]: [&Counted; 3]) -> Vec<String> {
    let said = |counted: &Counted, what: &str| (counted.0 > 0).then(|| format!("{} {what}; the first: {}", counted.0, counted.1));
    let all = [
        said(duplicates, "words came again and were left out"),
        said(empty, "empty words were left out"),
        said(repaired, "words are no UTF-8 and were repaired with U+FFFD"),
    ];
    all.into_iter().flatten().collect()
}
