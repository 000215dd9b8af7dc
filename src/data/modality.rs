//! What a modality answers: which files are its items, what an item is, and how items become what a backbone takes.
//!
//! To add one: a folder beside `image/` that implements [`Modality`], a line in the list of `modalities.rs`, a variant of [`Input`].

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;

use super::error::{Error, Refusal, Result};
use super::limits::Limits;
use crate::domain::config::ModelConfig;
use crate::domain::modality::Modality as Name;
use crate::domain::recipe::Augment;

/// A kind of item.
pub trait Modality: Debug + Send + Sync {
    fn name(&self) -> Name;

    /// Whether a file of this name is meant as an item. The content decides later.
    fn is_item(&self, path: &str) -> bool;

    /// Whether its ending is that of a format we read.
    fn is_readable(&self, path: &str) -> bool;

    /// Whether its items are writing, as a repo's papers and the notes beside other data are.
    fn is_writing(&self) -> bool {
        false
    }

    /// Opens an item and says what it is, with a small picture of it if one is wanted.
    ///
    /// # Errors
    /// [`Refusal`] in words for the person who sent it.
    fn inspect(&self, bytes: &[u8], limits: &Limits, preview: bool) -> std::result::Result<Seen, Refusal>;

    /// How long an item goes on, in seconds.
    ///
    /// # Errors
    /// [`Refusal`] in words: it cannot be read, or has no time.
    fn seconds(&self, _bytes: &[u8], _limits: &Limits) -> std::result::Result<f64, Refusal> {
        Err(Refusal("it goes on for no time".into()))
    }

    /// Whether two items whose sketches are near are the same one, but for its packing and small changes.
    fn are_alike(&self, a: &Look, b: &Look) -> bool;

    /// How items become views for a model of this config.
    ///
    /// # Errors
    /// [`super::Error::BadPreprocessing`] names the setting that makes no sense.
    fn views(&self, config: &ModelConfig) -> Result<Arc<dyn Views>>;

    /// A file of the model's folder without which its items cannot become views.
    fn needs(&self) -> Option<&'static str> {
        None
    }

    /// The error of an item that cannot be read, by its name.
    fn unreadable(&self, path: String, refusal: Refusal) -> Error;

    /// The same for a model with files that say more than its config does.
    ///
    /// # Errors
    /// As [`Modality::views`]; a file that cannot be used, by its name.
    fn views_by(&self, config: &ModelConfig, _beside: &Beside<'_>) -> Result<Arc<dyn Views>> {
        self.views(config)
    }
}

/// What lies beside a model's config.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    /// Files, each by the name it has in the model's folder.
    pub files: &'a [(&'a str, PathBuf)],
    /// Of what has a length, the most that the network takes: tokens of a text.
    pub longest: usize,
}

impl Beside<'_> {
    pub fn find(&self, name: &str) -> Option<&Path> {
        self.files.iter().find(|(known, _)| *known == name).map(|(_, path)| path.as_path())
    }
}

/// What one look at an item gave.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What is measured of it: of images `width` and `height`.
    pub sizes: Vec<(&'static str, u32)>,
    /// `gray`, `rgb` ...; empty where it has none.
    pub channels: &'static str,
    /// `jpeg`, `png` ...
    pub format: &'static str,
    pub preview: Option<Picture>,
    pub look: Look,
    /// What else is measured of it, of which a data set's spread is told.
    pub traits: Vec<Trait>,
    /// Whether nothing is to be seen in it.
    pub blank: bool,
    /// What language it is in, by a guess; empty where nothing tells.
    pub language: &'static str,
}

/// A number measured of an item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trait {
    pub name: &'static str,
    pub value: f32,
    pub scale: Scale,
}

/// How such numbers are to be compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// By their differences; all lie between these.
    Between(f32, f32),
    /// By their ratios; they are above zero, and may be odd from so many times the usual one on.
    Ratio { odd: f32 },
}

/// What an item looks like, small enough to be kept for every item of a data set: by it copies are found that are not equal
/// byte for byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Names what the item decodes to.
    pub content: u64,
    /// A sketch of it, of which copies differ in few bits, and the sketch of what it would be turned around; `None` of items
    /// that have nothing to be told by.
    pub keys: Option<[u64; 2]>,
    /// What [`Modality::are_alike`] compares.
    pub detail: Box<[u8]>,
}

/// An encoded small picture, or the beginning of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub bytes: Vec<u8>,
    /// `image/png`, `image/jpeg` or `text/plain`.
    pub media_type: &'static str,
    /// In pixels; 0 of a text.
    pub width: u32,
    pub height: u32,
}

/// Marks the type of a token with which a word begins that is to be answered about.
pub const WORD: u32 = 1 << 31;

/// The views of a batch, ready for a backbone of their modality.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// `(B, height, width, 3)`, normalised.
    Pixels { values: Vec<f32>, height: usize, width: usize },
    /// `(B, frames, height, width, 3)`, normalised.
    Clips { values: Vec<f32>, frames: usize, height: usize, width: usize },
    /// Of each text its tokens, id and type (with [`WORD`] in it where words are answered about), and how many there were before the end
    /// was cut off.
    Tokens { rows: Vec<Vec<[u32; 2]>>, of: Vec<usize> },
}

impl Input {
    /// Memory its views take.
    pub fn bytes(&self) -> usize {
        match self {
            Input::Pixels { values, .. } | Input::Clips { values, .. } => 4 * values.len(),
            Input::Tokens { rows, .. } => rows.iter().map(|row| 8 * row.len()).sum(),
        }
    }

    /// How long each view is, where views are not all equally long.
    pub fn lengths(&self) -> Option<Vec<usize>> {
        match self {
            Input::Pixels { .. } | Input::Clips { .. } => None,
            Input::Tokens { rows, .. } => Some(rows.iter().map(Vec::len).collect()),
        }
    }

    /// Words of each view that are answered about.
    pub fn words(&self) -> Vec<usize> {
        match self {
            Input::Pixels { .. } | Input::Clips { .. } => Vec::new(),
            Input::Tokens { rows, .. } => rows.iter().map(|row| row.iter().filter(|token| token[1] & WORD != 0).count()).collect(),
        }
    }

    /// Adds the views of another batch of the same form behind its own.
    pub fn append(&mut self, other: Input) {
        match (self, other) {
            (Input::Pixels { values, .. }, Input::Pixels { values: more, .. })
            | (Input::Clips { values, .. }, Input::Clips { values: more, .. }) => values.extend(more),
            (Input::Tokens { rows, of }, Input::Tokens { rows: more, of: wholes }) => {
                rows.extend(more);
                of.extend(wholes);
            }
            // One maker's batches have one form.
            (Input::Pixels { .. } | Input::Clips { .. } | Input::Tokens { .. }, _) => {}
        }
    }
}

/// One view of an item.
pub enum View<'a> {
    /// As a model that is used sees it.
    Plain,
    /// The plain one turned around, for answers that are averaged over both.
    Mirrored,
    /// That of another clip of a video, by its number from 1, for answers that are averaged over several.
    Clip(u32),
    /// A random one for training, which follows from these numbers alone.
    Random(&'a Augment, Box<ChaCha8Rng>),
}

/// Where a view lies in its item, and how: what moves targets of places along with their pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    /// Left, top, width and height of what of the item is seen, as shares of its sides.
    pub window: [f64; 4],
    /// The same of the part of the view that shows it, as shares of the view's sides; nothing is around it.
    pub part: [f64; 4],
    /// Whether left and right are exchanged, in the view as a whole.
    pub mirrored: bool,
}

impl Geometry {
    /// A place of the item in the view, both in shares of their sides; outside of 0 to 1 it is not seen.
    pub fn to_view(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let ([left, top, width, height], [at, down, across, along]) = (self.window, self.part);
        let x = at + (x - left) / width * across;
        [if self.mirrored { 1.0 - x } else { x }, down + (y - top) / height * along]
    }

    /// The place of the item that a place of the view shows, likewise.
    pub fn to_item(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let ([left, top, width, height], [at, down, across, along]) = (self.window, self.part);
        let x = if self.mirrored { 1.0 - x } else { x };
        [left + (x - at) / across * width, top + (y - down) / along * height]
    }

    /// [`Self::part`] as it lies in the view that is seen.
    pub fn shown(&self) -> [f64; 4] {
        let [left, top, width, height] = self.part;
        [if self.mirrored { 1.0 - left - width } else { left }, top, width, height]
    }
}

/// How items become views: shared by the threads that make them.
pub trait Views: Debug + Send + Sync {
    /// Names everything that a plain view depends on.
    fn key(&self) -> String;

    /// Whether items have other views than the plain one.
    fn varies(&self) -> bool {
        true
    }

    /// Clips of an item over which answers are averaged; the plain view is of the first.
    fn clips(&self) -> u32 {
        1
    }

    /// Whether each word of an item is answered about, instead of the item.
    fn of_words(&self) -> bool {
        false
    }

    /// Whether an item is two, each with a view of its own.
    fn of_pairs(&self) -> bool {
        false
    }

    /// Whether each place of an item is answered about.
    fn of_places(&self) -> bool {
        false
    }

    /// The shorter side of a view in pixels, where views have sides that could be others.
    fn side(&self) -> Option<usize> {
        None
    }

    /// The same with so many pixels more on either side of a view, or fewer; `None` where views have no sides that could be others.
    fn widened(&self, _by: i64) -> Option<Arc<dyn Views>> {
        None
    }

    /// A maker with buffers of its own, for one thread.
    fn maker(&self) -> Result<Box<dyn ViewMaker>>;
}

/// Makes views, one after the other.
pub trait ViewMaker: Send {
    /// A batch without views, with room for so many.
    fn batch(&self, views: usize) -> Input;

    /// A batch of one view that shows nothing, to learn what shapes a network makes of it.
    fn blank(&self) -> Input;

    /// Of each word of an item whether the network sees it, where words are answered about; `None` where they are not.
    fn seen_words(&mut self, _item: &[u8]) -> Option<std::result::Result<Vec<bool>, Refusal>> {
        None
    }

    /// Where the view lies in the item that [`Self::add`] makes of the same numbers; `None` where items have no places, or it cannot be read.
    fn geometry(&self, _item: &[u8], _limits: &Limits, _view: View<'_>) -> Option<Geometry> {
        None
    }

    /// Adds one view that shows parts of four items, and says where each part lies; `None` where items have no places or one of them cannot be
    /// read: nothing is added then.
    fn add_mosaic(
        &mut self,
        _items: &[Bytes; 4],
        _limits: &Limits,
        _drawn: (&Augment, &mut ChaCha8Rng),
        _batch: &mut Input,
    ) -> Result<Option<[Geometry; 4]>> {
        Ok(None)
    }

    /// Adds a view of an encoded item to the batch. An item that cannot be read adds nothing and says why.
    fn add(&mut self, item: &[u8], limits: &Limits, view: View<'_>, batch: &mut Input) -> Result<std::result::Result<(), Refusal>>;
}
