//! Items whose words are answered about one by one: which of them the network sees, and what a published model finds in running text.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::Training;
use super::error::{Error, Result, in_order};
use super::feed;
use super::predict::Predictor;
use super::progress::ProgressReporter;
use super::tasks::Tagger;
use crate::data::modality::{ViewMaker, Views};
use crate::data::text::{decode_text, word_ranges, words_item};
use crate::data::{self, Dataset, Sample, Tags, Target};
use crate::domain::config::ModelConfig;
use crate::domain::human;
use crate::domain::prediction::{Answer, Answered, Entity};
use crate::nn::Mode;

/// Items between two words of progress, and those of a thread.
const CHUNK: usize = 4_096;
const PART: usize = 128;
/// Pieces of texts that are worked on at once, and words that are looked at for one.
const PIECES: usize = 32;
const WINDOW: usize = 1_024;
/// Words of a text that are answered about.
const MOST_WORDS: usize = 20_000;

const NO_VECTOR: &str =
    "this model says something about each word, and has no vector of a whole text; embed with the model it was made from";

/// The base's config where it has another head than the targets need: with a classifier of each word, or without one.
///
/// # Errors
/// Words are to be answered about, and the base is no text encoder.
pub fn config(training: &Training) -> Result<Option<ModelConfig>> {
    let no_encoder = || {
        Error::Unsupported(format!(
            "each word is to be answered about, which text encoders do, and the base is {}; choose one of those",
            training.config.architecture
        ))
    };
    match (training.dataset.targets.task().is_of_words(), training.config.tags_words()) {
        (true, false) => training.config.tagging().map(Some).ok_or_else(no_encoder),
        (false, true) => Ok(training.config.untagged()),
        _ => Ok(None),
    }
}

/// Words that the network does not see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unseen {
    /// Behind the last token that is read, and the texts they are of.
    pub cut: usize,
    pub texts: usize,
    /// Without a token of their own, such as signs that a tokenizer takes away.
    pub bare: usize,
}

impl Unseen {
    fn add(self, other: Unseen) -> Unseen {
        Unseen { cut: self.cut + other.cut, texts: self.texts + other.texts, bare: self.bare + other.bare }
    }

    fn of(seen: &[bool]) -> Unseen {
        let read = seen.iter().rposition(|seen| *seen).map_or(0, |last| last + 1);
        let cut = seen.len() - read;
        Unseen { cut, texts: usize::from(cut > 0), bare: seen[..read].iter().filter(|seen| !**seen).count() }
    }

    /// In sentences, where there are some.
    pub fn sentences(self) -> Vec<String> {
        let Unseen { cut, texts, bare } = self;
        let ends = (cut > 0).then(|| {
            let (words, texts) = (human::plural(cut as u64, "word"), human::plural(texts as u64, "text"));
            format!("{words} at the end of {texts} behind the last token that is read: neither trained on nor measured")
        });
        let signs = (bare > 0).then(|| {
            let (one, many) = ("word has no token of its own: it is", "words have no token of their own: they are");
            format!("{} neither trained on nor measured", human::of_one_or_many(bare, one, many))
        });
        ends.into_iter().chain(signs).collect()
    }
}

/// The target for the words that the network sees; an item that cannot be read keeps its own.
fn aligned(maker: &mut dyn ViewMaker, item: &[u8], target: &Target) -> (Target, Unseen) {
    match (target, maker.seen_words(item)) {
        (Target::Tags(tags), Some(Ok(seen))) => {
            let each = tags.each.iter().zip(&seen).filter(|(_, seen)| **seen).map(|(tag, _)| *tag).collect();
            (Target::Tags(Tags::new(each)), Unseen::of(&seen))
        }
        _ => (target.clone(), Unseen::default()),
    }
}

/// The samples with tags for the words that the network sees.
///
/// # Errors
/// Those of reading, and [`Error::Cancelled`].
pub fn seen(
    dataset: &Dataset,
    views: &Arc<dyn Views>,
    samples: &[Sample],
    reporter: &mut ProgressReporter,
) -> Result<(Vec<Sample>, Unseen)> {
    let (mut found, mut unseen) = (Vec::with_capacity(samples.len()), Unseen::default());
    let of_part = |part: &[Sample]| -> Result<Vec<(Sample, Unseen)>> {
        let mut maker = views.maker()?;
        let of = |sample: &Sample| -> Result<(Sample, Unseen)> {
            let (target, unseen) = aligned(&mut *maker, &dataset.encoded(sample)?, &sample.target);
            Ok((Sample { target, ..sample.clone() }, unseen))
        };
        part.iter().map(of).collect()
    };
    for chunk in samples.chunks(CHUNK) {
        let parts: Vec<_> = chunk.par_chunks(PART).map(of_part).collect::<Result<_>>()?;
        for (sample, own) in parts.into_iter().flatten() {
            found.push(sample);
            unseen = unseen.add(own);
        }
        reporter.prepare("measuring texts", found.len() as u64, samples.len() as u64)?;
    }
    Ok((found, unseen))
}

/// A text's words, and the pieces in which they are read.
struct Reading {
    words: Vec<Range<usize>>,
    /// Each with which of its words the network sees.
    pieces: Vec<(Range<usize>, Vec<bool>)>,
}

/// A text and how it is read, or what keeps it from being.
type Readable<'t> = std::result::Result<(&'t str, Reading), data::Error>;

/// A text is read piece by piece, as many words in each as the network takes, so that none of it is lost.
fn read(maker: &mut dyn ViewMaker, text: &str) -> std::result::Result<Reading, data::Refusal> {
    let words = word_ranges(text);
    if words.len() > MOST_WORDS {
        return Err(data::Refusal(format!(
            "the text has {} words, more than the {MOST_WORDS} that are read; cut it into parts",
            words.len()
        )));
    }
    let (mut pieces, mut from, mut nothing) = (Vec::new(), 0, None);
    while from < words.len() {
        let window = from..words.len().min(from + WINDOW);
        let item = words_item(words[window.clone()].iter().map(|word| &text[word.clone()]));
        match maker.seen_words(item.as_bytes()) {
            Some(Ok(seen)) => {
                let read = seen.iter().rposition(|seen| *seen).map_or(seen.len(), |last| last + 1);
                pieces.push((from..from + read, seen[..read].to_vec()));
                from += read.max(1);
            }
            // Signs that no token stands for.
            Some(Err(refusal)) => {
                nothing = Some(refusal);
                from = window.end;
            }
            None => break,
        }
    }
    if let (true, Some(refusal)) = (pieces.is_empty(), nothing) {
        return Err(refusal);
    }
    Ok(Reading { words, pieces })
}

impl Predictor {
    /// Refuses to make one vector of a text where each of its words is answered about.
    pub(super) fn need_vector(&self) -> Result<()> {
        if self.config.tags_words() { Err(Error::Unsupported(NO_VECTOR.into())) } else { self.need_whole() }
    }

    /// The head's numbers for the words of items as data sets have them, those of an item one behind the other.
    pub(super) fn rows_of_words<B: AsRef<[u8]> + Sync>(&self, items: &[B]) -> Result<Vec<Result<Vec<f32>>>> {
        let (batch, unreadable) = self.read_all(items)?;
        let Some(batch) = batch.filter(|_| unreadable.iter().any(Option::is_none)) else { return Ok(in_order(unreadable, Vec::new())) };
        let counts = batch.words();
        let views = feed::input(batch)?;
        let Some(head) = &self.head else { return self.need_head().map(|()| Vec::new()) };
        let rows = {
            let _turn = self.turn();
            head.forward(&self.pooled(&views)?, Mode::Eval, 0)?.to_vec2::<f32>()?
        };
        let mut rows = rows.into_iter();
        let each = counts.into_iter().map(|count| rows.by_ref().take(count).flatten().collect()).collect();
        Ok(in_order(unreadable, each))
    }

    /// The same target for the words of an item that the network sees.
    pub(super) fn target_seen(&self, item: &[u8], target: &Target) -> Result<Target> {
        let Some(views) = self.views.as_ref().filter(|views| views.of_words()) else { return Ok(target.clone()) };
        Ok(aligned(&mut *views.maker()?, item, target).0)
    }

    /// The so manieth of those that were asked about.
    fn reading<'t>(&self, views: &Arc<dyn Views>, at: usize, text: &'t [u8]) -> Result<Readable<'t>> {
        let mut maker = views.maker()?;
        let found = decode_text(text).and_then(|text| Ok((text, read(&mut *maker, text)?)));
        Ok(found.map_err(|refusal| self.modality.unreadable(format!("{} {}", self.modality.name(), at + 1), refusal)))
    }

    /// What running texts name.
    pub(super) fn entities_batch<B: AsRef<[u8]> + Sync>(&self, texts: &[B]) -> Result<Vec<Result<Answered>>> {
        let Some(views) = &self.views else { return self.rows_of_words(texts).map(|_| Vec::new()) };
        let readings: Vec<Readable> =
            texts.par_iter().enumerate().map(|(at, text)| self.reading(views, at, text.as_ref())).collect::<Result<_>>()?;
        let items: Vec<String> = readings
            .iter()
            .flatten()
            .flat_map(|(text, reading)| {
                let item = |piece: &Range<usize>| words_item(reading.words[piece.clone()].iter().map(|word| &text[word.clone()]));
                reading.pieces.iter().map(move |(piece, _)| item(piece)).collect::<Vec<_>>()
            })
            .collect();
        let mut rows = Vec::with_capacity(items.len());
        for items in items.chunks(PIECES) {
            rows.extend(self.rows_of_words(items)?);
        }
        let (mut rows, tagger) = (rows.into_iter(), Tagger::of(&self.config, self.outputs()));
        let mut said = Vec::with_capacity(texts.len());
        for reading in readings {
            said.push(match reading {
                Err(problem) => Err(Error::Data(problem)),
                Ok((text, reading)) => {
                    let own: Vec<Result<Vec<f32>>> = rows.by_ref().take(reading.pieces.len()).collect();
                    own.into_iter().collect::<Result<Vec<_>>>().map(|own| named(text, &reading, &own.concat(), &tagger))
                }
            });
        }
        Ok(said)
    }
}

/// The entities among the words that were seen, where they stand in the text.
fn named(text: &str, reading: &Reading, rows: &[f32], tagger: &Tagger) -> Answered {
    let seen = reading.pieces.iter().flat_map(|(piece, seen)| piece.clone().zip(seen)).filter(|(_, seen)| **seen);
    let words: Vec<&Range<usize>> = seen.filter_map(|(at, _)| reading.words.get(at)).collect();
    let (mut characters, mut counted) = (0, 0);
    // Entities come in their order, so that each character is counted once.
    let mut place = |byte: usize| {
        characters += text[counted..byte].chars().count();
        counted = byte;
        characters
    };
    let mut entities = Vec::new();
    for (span, score) in tagger.entities(rows) {
        let (Some(first), Some(last)) = (words.get(span.from), words.get(span.to - 1)) else { continue };
        let (start, end) = (place(first.start), place(last.end));
        entities.push(Entity { text: text[first.start..last.end].to_owned(), label: span.kind.to_owned(), start, end, score });
    }
    Answered { answer: Answer::Entities(entities), familiarity: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_not_seen_are_counted() {
        let unseen = Unseen::of(&[true, false, true, false, false]);
        assert_eq!(unseen, Unseen { cut: 2, texts: 1, bare: 1 });
        assert_eq!(unseen.add(Unseen::of(&[true])).sentences().len(), 2);
        assert!(Unseen::of(&[true, true]).sentences().is_empty());
    }
}
