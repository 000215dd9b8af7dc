//! Word vectors: words as rows of a matrix (Word2Vec, GloVe, fastText), read from the forms in which others write them, stored so
//! that millions open at once, searched, made into features of texts, and trained.
//!
//! A model is a folder: `config.json` (`architecture` is `word2vec`, `glove` or `fasttext`; `num_features` the width; `model_args`
//! how it was trained, and fastText's n-grams), `model.safetensors` (`vectors`, and `subwords` where words are put together
//! of n-grams) and `vocabulary.safetensors` (`vocabulary`). `formats` reads what others wrote, `store` writes, `model` opens, `search`
//! finds the nearest, in large vocabularies among `lists`, `measures` compares with people's judgements, `features` makes vectors of texts, `train` is Word2Vec.

mod error;
mod features;
pub mod folder;
pub mod formats;
mod lists;
mod matrix;
mod measures;
mod model;
mod search;
mod simd;
pub mod store;
mod subwords;
mod tensors;
mod tokens;
pub mod train;
mod vocabulary;

pub use error::{Error, Result, shown};
pub use features::{Pooling, TextFeatures, WordCounts};
pub use lists::{LARGE_VOCABULARY, Lists};
pub use matrix::Dtype;
pub use measures::{Agreement, Section};
pub use model::{Files, Found, WordVectors};
pub use search::{Neighbor, cosine};
pub use store::Stored;
pub use subwords::Subwords;
pub use tokens::Tokenizer;
pub use vocabulary::VOCABULARY_FILE;

/// What `architecture` of config.json may be.
pub const ARCHITECTURES: [&str; 3] = ["word2vec", "glove", "fasttext"];
/// Name of the matrix' file.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// Widest vectors.
pub const MAX_WIDTH: usize = 65_536;
