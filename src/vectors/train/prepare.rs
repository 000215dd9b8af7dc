//! The corpus as numbers: words are counted, and the text is written as a run of numbers of words, so that epochs read those. Both
//! lie in the working folder, so that a run that goes on reads no text again.
//!
//! `corpus.ids` holds u32, little-endian: the row of each word of the vocabulary, and `u32::MAX` at the end of each sentence.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use super::corpus::{Corpus, PassedOver};
use super::phrases::{Counting, Phrases};
use super::{GoOn, Progress, Settings};
use crate::vectors::error::{Error, Result};
use crate::vectors::tensors;
use crate::vectors::tokens::Tokens;
use crate::vectors::vocabulary::{Crowded, MAX_WORD_BYTES, Vocabulary, Words};

pub const IDS_FILE: &str = "corpus.ids";
pub const WORDS_FILE: &str = "words.safetensors";
/// Ends a sentence.
pub const END: u32 = u32::MAX;
/// Longest sentence in words: as gensim cuts them.
const MAX_SENTENCE: usize = 10_000;
/// Words of a batch, about: few, since batches are what the order of an epoch mixes.
const BATCH: usize = 2_000;
/// Lines between two reports.
const REPORT: u64 = 20_000;

/// What counting found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Words of the corpus, phrases joined.
    pub corpus_words: u64,
    /// Of them those of the vocabulary.
    pub known_words: u64,
    /// Words of the vocabulary that stand in the corpus; those taken over follow them.
    pub corpus_vocabulary: usize,
    /// Phrases of each round.
    pub phrases: Vec<usize>,
    /// In sentences: what was passed over.
    pub notes: Vec<String>,
}

type Report<'a> = &'a mut dyn FnMut(Progress) -> GoOn;

/// Numbers of words as they are met, whatever is forgotten meanwhile: a word that was forgotten and comes again gets another number.
#[derive(Default)]
struct Numbering {
    words: Words,
    /// Of each row: how often, and its number.
    rows: Vec<(u64, u32)>,
    next: u32,
    /// Rarer words are forgotten when there are too many.
    floor: u64,
}

impl Numbering {
    fn number(&mut self, word: &[u8]) -> std::result::Result<u32, Crowded> {
        let (row, is_new) = self.words.add(word)?;
        if is_new {
            self.rows.push((0, self.next));
            self.next = self.next.checked_add(1).filter(|next| *next != END).ok_or(Crowded)?;
        }
        self.rows[row].0 += 1;
        Ok(self.rows[row].1)
    }

    fn forget_rare(&mut self, most: usize) -> std::result::Result<(), Crowded> {
        while self.words.len() > most {
            self.floor += 1;
            let (words, rows) = (std::mem::take(&mut self.words), std::mem::take(&mut self.rows));
            for (row, of) in rows.into_iter().enumerate().filter(|(_, (count, _))| *count > self.floor) {
                self.words.add(words.get(row))?;
                self.rows.push(of);
            }
        }
        Ok(())
    }
}

/// A line's words, with the phrases of the rounds so far.
struct Cutter<'a> {
    settings: &'a Settings,
    rounds: &'a [Phrases],
    tokens: Tokens,
    joined: Tokens,
}

impl Cutter<'_> {
    fn new<'a>(settings: &'a Settings, rounds: &'a [Phrases]) -> Cutter<'a> {
        Cutter { settings, rounds, tokens: Tokens::default(), joined: Tokens::default() }
    }

    fn cut(&mut self, line: &str) -> &Tokens {
        self.tokens.clear();
        self.settings.tokenizer().cut(line, &mut self.tokens);
        for round in self.rounds {
            round.join(&self.tokens, &mut self.joined);
            std::mem::swap(&mut self.tokens, &mut self.joined);
        }
        &self.tokens
    }
}

fn crowded(_: Crowded) -> Error {
    Error::invalid("corpus", "its words are too many, or made to collide")
}

fn stopped() -> Error {
    Error::invalid("training", "it was ended while the corpus was counted")
}

/// Reads the corpus and writes `corpus.ids` and the vocabulary into `folder`. `more` are words that stay whether the corpus has them or not.
pub fn prepare(corpus: &Corpus, settings: &Settings, more: Option<&Vocabulary>, folder: &Path, report: Report) -> Result<Counted> {
    let mut rounds = Vec::new();
    for _ in 0..settings.phrases {
        rounds.push(find_phrases(corpus, settings, &rounds, report)?);
    }
    let raw = folder.join("corpus.raw");
    let (numbering, passed) = number(corpus, settings, &rounds, &raw, report)?;
    let corpus_words = numbering.rows.iter().map(|(count, _)| count).sum();
    let mut order: Vec<usize> = (0..numbering.rows.len()).filter(|row| numbering.rows[*row].0 >= settings.min_count).collect();
    order.sort_by(|a, b| numbering.rows[*b].0.cmp(&numbering.rows[*a].0));
    if order.is_empty() {
        let problem = format!("no word of the corpus comes {} times or more, of {corpus_words} words", settings.min_count);
        return Err(Error::invalid("corpus", problem));
    }
    let mut rows = vec![END; numbering.next as usize];
    let (mut words, mut counts) = (Words::default(), Vec::new());
    for row in order {
        let (count, number) = numbering.rows[row];
        rows[number as usize] = words.add(numbering.words.get(row)).map_err(crowded)?.0 as u32;
        counts.push(count);
    }
    let known_words = counts.iter().sum();
    let corpus_vocabulary = words.len();
    if let Some(more) = more {
        for row in 0..more.len() {
            if words.add(more.word(row)?.as_bytes()).map_err(crowded)?.1 {
                counts.push(0);
            }
        }
    }
    drop(numbering);
    write_ids(&raw, &rows, &folder.join(IDS_FILE))?;
    words.write(&folder.join(WORDS_FILE), &counts, &vec![0.0; words.len()], &[])?;
    let phrases = rounds.iter().map(Phrases::len).collect();
    Ok(Counted { corpus_words, known_words, corpus_vocabulary, phrases, notes: notes(&passed) })
}

fn notes(passed: &PassedOver) -> Vec<String> {
    let mut notes = Vec::new();
    if passed.files > 0 {
        notes.push(format!("{} files that hold no text were passed over", passed.files));
    }
    if let Some(first) = &passed.first {
        notes.push(format!("{} lines are no UTF-8; the first: {first}", passed.lines));
    }
    notes
}

fn find_phrases(corpus: &Corpus, settings: &Settings, rounds: &[Phrases], report: Report) -> Result<Phrases> {
    let (mut counting, mut cutter, mut words, mut lines) = (Counting::default(), Cutter::new(settings, rounds), 0u64, 0u64);
    corpus.read(&mut |line| {
        let tokens = cutter.cut(line);
        words += tokens.len() as u64;
        lines += 1;
        counting.line(tokens, settings.max_counted).map_err(crowded)?;
        let goes_on = !lines.is_multiple_of(REPORT) || report(Progress::Counting { words, different: 0 }) == GoOn::Yes;
        if goes_on { Ok(()) } else { Err(stopped()) }
    })?;
    Ok(counting.phrases(settings))
}

/// Counts words, and writes the corpus as their numbers.
fn number(corpus: &Corpus, settings: &Settings, rounds: &[Phrases], raw: &Path, report: Report) -> Result<(Numbering, PassedOver)> {
    let (mut numbering, mut cutter, mut words, mut lines) = (Numbering::default(), Cutter::new(settings, rounds), 0u64, 0u64);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(raw).map_err(Error::io(raw))?);
    let passed = corpus.read(&mut |line| {
        let tokens = cutter.cut(line);
        words += tokens.len() as u64;
        lines += 1;
        for (index, word) in tokens.iter().enumerate() {
            if index > 0 && index % MAX_SENTENCE == 0 {
                out.write_all(&END.to_le_bytes()).map_err(Error::io(raw))?;
            }
            if word.len() <= MAX_WORD_BYTES {
                let number = numbering.number(word.as_bytes()).map_err(crowded)?;
                out.write_all(&number.to_le_bytes()).map_err(Error::io(raw))?;
            }
        }
        if !tokens.is_empty() {
            out.write_all(&END.to_le_bytes()).map_err(Error::io(raw))?;
        }
        numbering.forget_rare(settings.max_counted).map_err(crowded)?;
        let different = numbering.words.len();
        let goes_on = !lines.is_multiple_of(REPORT) || report(Progress::Counting { words, different }) == GoOn::Yes;
        if goes_on { Ok(()) } else { Err(stopped()) }
    })?;
    out.flush().map_err(Error::io(raw))?;
    if words == 0 {
        return Err(Error::invalid("corpus", "there are no words in it"));
    }
    Ok((numbering, passed))
}

/// Turns numbers into rows; words that have none are left out, and so are sentences without a word.
fn write_ids(raw: &Path, rows: &[u32], path: &Path) -> Result<()> {
    let map = tensors::map(raw)?;
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).map_err(Error::io(path))?);
    let mut is_empty = true;
    for bytes in map.as_chunks::<4>().0 {
        let number = u32::from_le_bytes(*bytes);
        let row = if number == END { END } else { rows[number as usize] };
        if row == END && (number != END || is_empty) {
            continue;
        }
        is_empty = row == END;
        out.write_all(&row.to_le_bytes()).map_err(Error::io(path))?;
    }
    out.flush().map_err(Error::io(path))?;
    out.get_ref().sync_all().map_err(Error::io(path))?;
    drop(map);
    std::fs::remove_file(raw).map_err(Error::io(raw))
}

/// The corpus as rows of the vocabulary, in batches of whole sentences.
pub struct Ids {
    map: Mmap,
    /// Where batches begin and the last ends, in numbers.
    pub bounds: Vec<usize>,
}

impl Ids {
    /// Opens `corpus.ids`, all of whose rows must be below `rows`.
    pub fn open(folder: &Path, rows: usize) -> Result<Ids> {
        let path = folder.join(IDS_FILE);
        let map = tensors::map(&path)?;
        let (mut bounds, mut begun) = (vec![0], 0);
        let numbers = map.as_chunks::<4>().0;
        for (index, bytes) in numbers.iter().enumerate() {
            let number = u32::from_le_bytes(*bytes);
            if number != END && number as usize >= rows {
                return Err(Error::corrupt(&path, 4 * index as u64, format!("there is no row {number}")));
            }
            if number == END && index + 1 - begun >= BATCH || index + 1 == numbers.len() {
                bounds.push(index + 1);
                begun = index + 1;
            }
        }
        Ok(Ids { map, bounds })
    }

    pub fn batches(&self) -> usize {
        self.bounds.len() - 1
    }

    /// The numbers of a batch.
    pub fn batch(&self, batch: usize, out: &mut Vec<u32>) {
        out.clear();
        let bytes = &self.map[4 * self.bounds[batch]..4 * self.bounds[batch + 1]];
        out.extend(bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)));
    }
}
