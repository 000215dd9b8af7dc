//! fastText's own models: magic and version (its first files have neither), the arguments of the training, the dictionary, the input matrix (rows of words, then
//! of n-gram buckets), the output matrix, which word vectors do not need. Of a quantised model (`.ftz`) the input is codes (`quantised`).

use serde_json::{Map, json};

use super::cursor::Cursor;
use super::quantised::Quantised;
use super::{REPORT, Reading};
use crate::vectors::MAX_WIDTH;
use crate::vectors::error::Result;
use crate::vectors::store::{Parts, Stored};
use crate::vectors::subwords::Subwords;
use crate::vectors::vocabulary::{MAX_WORD_BYTES, MAX_WORDS};

const MAGIC: i32 = 793_712_314;
/// The first version whose files begin with the magic, and the newest.
const VERSIONS: std::ops::RangeInclusive<i32> = 11..=12;
const SUPERVISED: i32 = 3;

pub fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC.to_le_bytes()) || begins_without_magic(bytes)
}

/// fastText's first files begin with the arguments. They are told by all of them being what arguments are, and by a dictionary whose
/// parts make its whole.
fn begins_without_magic(bytes: &[u8]) -> bool {
    let number = |at: usize| bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(-1, i32::from_le_bytes);
    let [width, window, epochs, min_count, negative, word_ngrams, loss, model, bucket, minn, maxn] =
        std::array::from_fn(|index| number(4 * index));
    let sample = bytes.get(48..56).and_then(|bytes| bytes.try_into().ok()).map_or(f64::NAN, f64::from_le_bytes);
    let [size, words, labels] = std::array::from_fn(|index| number(56 + 4 * index));
    let is_small = (1..=MAX_WIDTH as i32).contains(&width) && (0..=10_000).contains(&window) && (1..=1_000_000).contains(&epochs);
    let is_model =
        (1..=4).contains(&loss) && (1..=3).contains(&model) && [min_count, negative, word_ngrams, bucket].iter().all(|n| *n >= 0);
    let is_ngrams = (0..=64).contains(&minn) && (0..=64).contains(&maxn) && (0.0..=1.0).contains(&sample);
    let is_dictionary = words > 0 && labels >= 0 && words.checked_add(labels) == Some(size);
    is_small && is_model && is_ngrams && is_dictionary
}

/// The arguments that word vectors depend on, or that tell how they were made.
struct Args {
    width: usize,
    window: i32,
    epochs: i32,
    min_count: i32,
    negative: i32,
    model: i32,
    loss: i32,
    bucket: usize,
    minn: usize,
    maxn: usize,
    sample: f64,
}

impl Args {
    fn read(cursor: &mut Cursor, version: i32) -> Result<Args> {
        let mut number = |what: &str| cursor.i32(what);
        let width = number("the width")?;
        let [window, epochs, min_count, negative] = [number("the window")?, number("the epochs")?, number("minCount")?, number("neg")?];
        number("wordNgrams")?;
        let [loss, model] = [number("the loss")?, number("the model")?];
        let [bucket, minn, maxn] = [number("bucket")?, number("minn")?, number("maxn")?];
        number("lrUpdateRate")?;
        let sample = cursor.f64("t")?;
        let width = cursor.count(width, MAX_WIDTH, "the width")?;
        let bucket = cursor.count(bucket, MAX_WORDS, "the number of buckets")?;
        let (minn, mut maxn) = (cursor.count(minn, 64, "minn")?, cursor.count(maxn, 64, "maxn")?);
        // Classifiers of the old version were trained without n-grams of characters, whatever they say.
        if version == 11 && model == SUPERVISED {
            maxn = 0;
        }
        Ok(Args { width, window, epochs, min_count, negative, model, loss, bucket, minn, maxn, sample })
    }

    fn as_json(&self) -> Map<String, serde_json::Value> {
        let model = ["", "cbow", "skipgram", "supervised"].get(self.model as usize).copied().unwrap_or_default();
        let loss = ["", "hierarchical softmax", "negative sampling", "softmax", "one versus all"];
        let loss = loss.get(self.loss as usize).copied().unwrap_or_default();
        let of = json!({
            "model": model, "loss": loss, "window": self.window, "epochs": self.epochs, "min_count": self.min_count,
            "negative": self.negative, "sample": self.sample,
        });
        of.as_object().cloned().unwrap_or_default()
    }
}

/// A word with how often it was seen, and where it stands.
struct Entry<'a> {
    word: &'a [u8],
    count: u64,
    at: usize,
}

/// The dictionary: its words (labels of a classifier are left out), and the buckets that pruning kept with their rows.
struct Dictionary<'a> {
    words: Vec<Entry<'a>>,
    labels: usize,
    kept: Option<(Vec<u32>, Vec<u32>)>,
}

fn dictionary<'a>(reading: &'a Reading<'a>, cursor: &mut Cursor<'a>, has_magic: bool) -> Result<Dictionary<'a>> {
    let [size, words, labels] = [cursor.i32("the dictionary")?, cursor.i32("the dictionary")?, cursor.i32("the dictionary")?];
    let size = cursor.count(size, MAX_WORDS, "the size of the dictionary")?;
    let (words, labels) = (cursor.count(words, size, "the number of words")?, cursor.count(labels, size, "the number of labels")?);
    if words + labels != size {
        return Err(reading.corrupt(cursor.at, format!("a dictionary of {size} entries has {words} words and {labels} labels")));
    }
    cursor.i64("the number of tokens")?;
    let pruned = if has_magic { cursor.i64("the number of kept buckets")? } else { -1 };
    let mut entries = Vec::with_capacity(words.min(reading.bytes.len() / 10));
    for index in 0..size {
        let at = cursor.at;
        let word = cursor.until_nul(MAX_WORD_BYTES, "a word")?;
        let count = cursor.i64("the count of a word")?;
        let count = u64::try_from(count).map_err(|_| reading.corrupt(at, format!("a word was seen {count} times")))?;
        let is_label = cursor.byte("the kind of a word")? != 0;
        if is_label != (index >= words) {
            return Err(reading.corrupt(at, format!("entry {} of the dictionary is of the wrong kind", index + 1)));
        }
        if !is_label {
            entries.push(Entry { word, count, at });
        }
    }
    let kept = if pruned >= 0 { Some(pruned_buckets(cursor, pruned)?) } else { None };
    Ok(Dictionary { words: entries, labels, kept })
}

/// Pairs of a bucket and its row, sorted by bucket.
fn pruned_buckets(cursor: &mut Cursor, pairs: i64) -> Result<(Vec<u32>, Vec<u32>)> {
    let pairs = cursor.count(pairs, MAX_WORDS, "the number of kept buckets")?;
    let mut kept = Vec::new();
    for _ in 0..pairs {
        let [bucket, row] = [cursor.i32("a kept bucket")?, cursor.i32("the row of a kept bucket")?];
        let number = |cursor: &mut Cursor, value| cursor.count(value, MAX_WORDS, "a kept bucket").map(|value| value as u32);
        kept.push((number(cursor, bucket)?, number(cursor, row)?));
    }
    kept.sort_unstable();
    Ok(kept.into_iter().unzip())
}

/// The input matrix, row by row.
enum Input<'a> {
    Plain(&'a [u8]),
    Quantised(Quantised<'a>),
}

impl Input<'_> {
    fn read(&self, row: usize, out: &mut [f32]) {
        match self {
            Input::Plain(bytes) => {
                let stride = 4 * out.len();
                let row = bytes.get(row * stride..(row + 1) * stride).unwrap_or(&[]);
                out.iter_mut().zip(row.as_chunks::<4>().0).for_each(|(value, bytes)| *value = f32::from_le_bytes(*bytes));
            }
            Input::Quantised(quantised) => quantised.read_row(row, out),
        }
    }
}

/// Reads the input matrix, and answers its number of rows.
fn input<'a>(reading: &'a Reading<'a>, cursor: &mut Cursor<'a>, has_magic: bool, width: usize) -> Result<(Input<'a>, usize)> {
    let begun = cursor.at;
    let (input, rows, columns) = if has_magic && cursor.flag("whether the model is quantised")? {
        let quantised = Quantised::read(reading, cursor)?;
        let (rows, columns) = (quantised.rows, quantised.columns);
        (Input::Quantised(quantised), rows, columns)
    } else {
        let [rows, columns] = [cursor.i64("the matrix")?, cursor.i64("the matrix")?];
        let rows = cursor.count(rows, 2 * MAX_WORDS, "the height of the matrix")?;
        let columns = cursor.count(columns, MAX_WIDTH, "the width of the matrix")?;
        (Input::Plain(cursor.take(4 * rows * columns, "the matrix")?), rows, columns)
    };
    if columns != width {
        return Err(reading.corrupt(begun, format!("the matrix is {columns} wide, where the arguments say {width}")));
    }
    Ok((input, rows))
}

fn version(reading: &Reading, cursor: &mut Cursor) -> Result<i32> {
    cursor.i32("the magic")?;
    let version = cursor.i32("the version")?;
    if !VERSIONS.contains(&version) {
        return Err(reading.corrupt(4, format!("version {version} of fastText's form is not read; 11 and 12 are")));
    }
    Ok(version)
}

pub fn store(reading: &Reading, progress: &mut dyn FnMut(u64, u64)) -> Result<Stored> {
    let mut cursor = Cursor::new(reading);
    let has_magic = reading.bytes.starts_with(&MAGIC.to_le_bytes());
    let version = if has_magic { version(reading, &mut cursor)? } else { *VERSIONS.start() };
    let args = Args::read(&mut cursor, version)?;
    let Dictionary { words, labels, kept } = dictionary(reading, &mut cursor, has_magic)?;
    let begun = cursor.at;
    let (input, rows) = input(reading, &mut cursor, has_magic, args.width)?;
    let has_parts = args.maxn > 0 && args.bucket > 0 && args.minn <= args.maxn && rows > words.len();
    let parts = rows.saturating_sub(words.len());
    let wanted = if let Some((_, rows)) = &kept { rows.iter().max().map_or(0, |row| *row as usize + 1) } else { args.bucket };
    if rows < words.len() || has_parts && parts < wanted {
        let problem = format!("the matrix has {rows} rows, too few for {} words and {wanted} buckets", words.len());
        return Err(reading.corrupt(begun, problem));
    }
    let settings = Subwords { min: args.minn, max: args.maxn, buckets: args.bucket as u32 };
    let find = |bucket: u32| match &kept {
        Some((buckets, rows)) => buckets.binary_search(&bucket).ok().map(|at| rows[at] as usize),
        None => Some(bucket as usize),
    };
    let mut store = reading.begin(args.width)?;
    let (mut sum, mut row) = (vec![0.0f32; args.width], vec![0.0f32; args.width]);
    for (index, entry) in words.iter().enumerate() {
        input.read(index, &mut sum);
        if has_parts {
            let buckets = settings.of(entry.word).into_iter().filter_map(find);
            let mut count = 1.0;
            for bucket in buckets {
                input.read(words.len() + bucket, &mut row);
                sum.iter_mut().zip(&row).for_each(|(sum, value)| *sum += value);
                count += 1.0;
            }
            sum.iter_mut().for_each(|sum| *sum /= count);
        }
        store.push(entry.word, Some(entry.count), &sum, entry.at as u64)?;
        if index % REPORT == 0 {
            progress((begun + index * (reading.bytes.len() - begun) / words.len()) as u64, reading.bytes.len() as u64);
        }
    }
    let read = Box::new(|index: usize, out: &mut [f32]| {
        input.read(words.len() + index, out);
        match out.iter().all(|value| value.is_finite()) {
            true => Ok(()),
            false => Err(reading.corrupt(begun, format!("the row of bucket {index} holds numbers that are none"))),
        }
    });
    let parts = has_parts.then_some(Parts { settings, rows: parts, read, kept: kept.clone() });
    let mut stored = store.finish("fasttext", args.as_json(), parts)?;
    if labels > 0 {
        stored.notes.push(format!("a classifier with {labels} labels was left out; its word vectors are stored"));
    }
    Ok(stored)
}
