//! Models of word vectors as they are asked: nearest words, analogies, similarities, and vectors of texts. Their files are mapped where
//! they lie (a remote store's are copied first) and stay open among the other models. Of a large vocabulary the lists by which it is
//! searched are found once, in the background, and kept; until then every row is looked at.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::super::{Error, Result, Service};
use super::predict::Opened;
use super::texts::Wish;
use crate::data::text::decode_text;
use crate::domain::answers::{Content, Reason, Said, Tokens};
use crate::domain::config::ModelConfig;
use crate::domain::manifest::Manifest;
use crate::domain::name::RepoId;
use crate::domain::repo::Facts;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::vectors::{self, ARCHITECTURES, Found, LARGE_VOCABULARY, Neighbor, Pooling, VOCABULARY_FILE, WordVectors};

/// Of a text none of whose words has a vector.
pub(super) const NO_WORD: &str = "no_known_word";
/// Longest word that is asked about, in bytes.
const LONGEST_WORD: usize = 1_024;
/// Lists are found for one model at a time.
static FINDING: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

/// An open model. Large ones have a twin that is searched by lists.
pub(in crate::service) struct Words {
    exact: WordVectors,
    quick: OnceLock<WordVectors>,
}

/// What is asked about words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WordQuestion {
    /// The nearest words to one.
    Neighbors { word: String },
    /// What is to the third as the second is to the first.
    Analogy { words: [String; 3] },
    /// The cosine between two.
    Similarity { words: [String; 2] },
}

/// A word and its cosine.
#[derive(Debug, Clone, PartialEq)]
pub struct NearWord {
    pub word: String,
    pub similarity: f32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct WordAnswer {
    /// `namespace/name@version`
    pub model: String,
    /// Nearest first; none for a similarity.
    pub words: Vec<NearWord>,
    pub similarity: Option<f32>,
    /// So many n-grams the word was put together of that has no row of its own.
    pub subwords: Option<usize>,
    /// Whether every row was looked at.
    pub exact: bool,
}

/// Whether a version holds word vectors.
pub(super) fn are_in(config: &ModelConfig, manifest: &Manifest) -> bool {
    is_of_words(&config.architecture) && manifest.find(VOCABULARY_FILE).is_some()
}

/// Whether these facts are those of word vectors.
pub fn has_words(facts: &Facts) -> bool {
    is_of_words(&facts.architecture)
}

fn is_of_words(architecture: &str) -> bool {
    ARCHITECTURES.contains(&architecture)
}

/// What an open model weighs among those that are loaded: its pages are the system's to give and take.
pub(super) fn weight(bytes: u64) -> u64 {
    (1 << 20) + bytes / 64
}

/// Of one that was to be a network.
pub(super) fn no_network(id: &RepoId) -> Error {
    let hint = "ask for embeddings of texts (`/embed`), or about words (`/words/neighbors`, `/words/analogy`, `/words/similarity`)";
    Error::invalid("word_vectors", format!("{id} holds word vectors, which classify nothing"), hint)
}

impl Words {
    fn of(&self, exact: bool) -> &WordVectors {
        if exact { &self.exact } else { self.quick.get().unwrap_or(&self.exact) }
    }

    fn answer(&self, question: &WordQuestion, limit: usize, exact: bool) -> vectors::Result<WordAnswer> {
        let model = self.of(exact);
        let mut said = WordAnswer { model: String::new(), words: Vec::new(), similarity: None, subwords: None, exact: !model.has_lists() };
        let near = |found: Vec<Neighbor>| found.into_iter().map(|near| NearWord { word: near.word, similarity: near.similarity }).collect();
        match question {
            WordQuestion::Neighbors { word } => {
                let (found, from) = model.neighbors(word, limit)?;
                said.words = near(found);
                said.subwords = if let Found::Subwords(parts) = from { Some(parts) } else { None };
            }
            WordQuestion::Analogy { words: [a, b, c] } => said.words = near(model.analogy([a, b, c], limit)?),
            WordQuestion::Similarity { words: [a, b] } => said.similarity = Some(model.similarity(a, b)?),
        }
        Ok(said)
    }

    /// A row for each text, or why there is none.
    fn pooled(&self, items: &[Bytes], pooling: Pooling) -> vectors::Result<Vec<std::result::Result<Content, Reason>>> {
        let texts: Vec<_> = items.iter().map(|item| decode_text(item).map_err(|refusal| unreadable(refusal.0))).collect();
        let sound: Vec<&str> = texts.iter().filter_map(|text| text.as_ref().ok().copied()).collect();
        let made = self.exact.features(&sound, pooling, None)?;
        let mut made = made.rows.into_iter().zip(made.each);
        let row = |text: std::result::Result<&str, Reason>| {
            text?;
            let (features, words) = made.next().ok_or_else(|| unreadable("the model gave no answer; ask again"))?;
            if words.used() == 0 {
                let message = format!("none of its {} words has a vector in this model", words.all());
                return Err(Reason { code: NO_WORD.into(), message });
            }
            Ok(Content::Features { features, tokens: Some(Tokens { read: words.used(), of: words.all() }) })
        };
        Ok(texts.into_iter().map(row).collect())
    }
}

pub(super) fn unreadable(message: impl Into<String>) -> Reason {
    Reason { code: "text_unreadable".into(), message: message.into() }
}

/// The row of an item; those that were asked about take the next answer.
pub(super) fn said<T>(
    name: String,
    item: std::result::Result<T, Reason>,
    rows: &mut impl Iterator<Item = std::result::Result<Content, Reason>>,
) -> Said {
    let row = item.and_then(|_| rows.next().unwrap_or_else(|| Err(unreadable("the model gave no answer; ask again"))));
    Said { name, content: row.unwrap_or_else(|error| Content::Unanswered { error }) }
}

impl Service {
    /// Keeps the lists by which large vocabularies are searched in this folder.
    pub fn keeping_lists_in(mut self, folder: PathBuf) -> Service {
        self.word_lists = Some(Arc::from(folder));
        self
    }

    /// What a model of word vectors that the caller may read says about words; of the nearest so many. `exact`: every row is looked at.
    ///
    /// # Errors
    /// The model is none, or a word has no vector.
    pub async fn ask_words(
        &self,
        actor: &Actor,
        (id, revision): (&RepoId, &Revision),
        question: WordQuestion,
        (limit, exact): (usize, bool),
    ) -> Result<WordAnswer> {
        check(&question)?;
        let (version, words) = match self.opened(actor, id, revision).await? {
            (version, Opened::Words(words)) => (version, words),
            (_, Opened::Network(_)) => {
                let hint = "choose a model of word vectors (Word2Vec, GloVe, fastText)";
                return Err(Error::invalid("no_word_vectors", format!("{id} holds no word vectors"), hint));
            }
        };
        let said = self.in_turn(move || words.answer(&question, limit, exact)).await?;
        Ok(WordAnswer { model: format!("{id}@{}", version.number), ..said.map_err(refused)? })
    }

    /// Vectors of texts, made of those of their words.
    pub(super) async fn pool_words(
        &self,
        words: &Arc<Words>,
        wish: &Wish,
        items: Vec<Bytes>,
    ) -> Result<Vec<std::result::Result<Content, Reason>>> {
        if let Some(name) = &wish.prompt {
            let message = format!("word vectors have no prompts, and not `{name}`");
            return Err(Error::invalid("unknown_prompt", message, "name no prompt"));
        }
        let pooling = wish.pooling.as_deref().map_or(Some(Pooling::Mean), Pooling::parse);
        let unknown = || Error::invalid("bad_pooling", "`pooling` is neither mean nor sif", "choose one of them, or none for mean");
        let (pooling, words) = (pooling.ok_or_else(unknown)?, words.clone());
        let _bytes = self.room_for(items.iter().map(Bytes::len).sum())?;
        self.in_turn(move || words.pooled(&items, pooling)).await?.map_err(refused)
    }

    /// Work on a model, in the turn of whoever asks.
    pub(super) async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let full = |_| Error::busy("busy", "too many questions wait for their turn", "try again in a moment");
        let _place = self.models.places.try_acquire().map_err(full)?;
        let turn = self.models.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|_| Error::Internal("the queue of questions is closed".into()))?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|e| Error::Internal(format!("an answer was stopped: {e}")))
    }

    /// Maps the files of a model.
    pub(super) async fn open_words(
        &self,
        config: ModelConfig,
        weights: PathBuf,
        files: Vec<(&'static str, PathBuf)>,
    ) -> Result<Arc<Words>> {
        let missing = || Error::invalid("model_unusable", format!("there is no {VOCABULARY_FILE}"), "publish the model again, whole");
        let vocabulary = files.into_iter().next().map(|(_, path)| path).ok_or_else(missing)?;
        let open = move || open(config, &vocabulary, &weights);
        let opened = tokio::task::spawn_blocking(open).await;
        let (words, twin) = opened.map_err(|e| Error::Internal(format!("opening a model was stopped: {e}")))?.map_err(refused)?;
        let words = Arc::new(words);
        if let (Some(twin), Some(folder)) = (twin, self.word_lists.clone()) {
            let words = words.clone();
            // Nobody waits for it.
            drop(tokio::task::spawn_blocking(move || {
                let _one = FINDING.lock();
                let _ = words.quick.set(twin.with_lists(&folder, LARGE_VOCABULARY, &mut |_, _| ()));
            }));
        }
        Ok(words)
    }
}

/// The model, and once more for those that are large.
fn open(config: ModelConfig, vocabulary: &Path, weights: &Path) -> vectors::Result<(Words, Option<WordVectors>)> {
    let exact = WordVectors::of_files(config.clone(), vocabulary, weights)?;
    let is_large = exact.vocabulary.len() >= LARGE_VOCABULARY;
    let twin = if is_large { Some(WordVectors::of_files(config, vocabulary, weights)?) } else { None };
    Ok((Words { exact, quick: OnceLock::new() }, twin))
}

fn check(question: &WordQuestion) -> Result<()> {
    let words: &[String] = match question {
        WordQuestion::Neighbors { word } => std::slice::from_ref(word),
        WordQuestion::Analogy { words } => words,
        WordQuestion::Similarity { words } => words,
    };
    let bad = |message: String| Err(Error::invalid("bad_word", message, "name each word that is asked about"));
    match words.iter().find(|word| word.is_empty() || word.len() > LONGEST_WORD) {
        None => Ok(()),
        Some(word) if word.is_empty() => bad("a word is missing".into()),
        Some(word) => bad(format!("a word has {} bytes, and {LONGEST_WORD} are read", word.len())),
    }
}

/// What word vectors refuse, without the places of this machine.
fn refused(error: vectors::Error) -> Error {
    let again = "publish the model again (`hub import` writes one)";
    match error {
        vectors::Error::UnknownWord { .. } => {
            Error::not_found("unknown_word", error.to_string(), "check the spelling, or take a model with subwords (fastText)")
        }
        vectors::Error::Corrupt { offset, problem, .. } => Error::invalid("model_unusable", format!("at byte {offset}: {problem}"), again),
        vectors::Error::Unsupported { problem, .. } => Error::invalid("model_unusable", problem, again),
        vectors::Error::Invalid { setting, problem } => {
            Error::invalid("bad_setting", format!("{setting}: {problem}"), "correct that setting")
        }
        vectors::Error::Io { source, .. } => Error::of_file("cannot read word vectors", &source),
    }
}
