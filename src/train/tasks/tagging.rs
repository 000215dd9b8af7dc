//! A tag for each word: cross entropy over the words, and precision, recall and F1 of whole entities. Each row of the outputs is a word's;
//! those of an item lie one behind the other, as many as it has tags.

use std::collections::{BTreeMap, HashSet};

use candle_core::{Device, Tensor};
use serde_json::Value as Json;

use super::entities::{Counts, Span, spans};
use super::{Partition, TASK, Tally, Task, Told, argmax, labels_of, nothing, softmax};
use crate::data::Target;
use crate::data::targets::{OUTSIDE, Place, parse_tag};
use crate::domain::config::ModelConfig;
use crate::domain::evaluation::{ClassScore, Evaluation, More};
use crate::domain::prediction::Answer;
use crate::domain::recipe::Recipe;
use crate::domain::task::Task as Name;
use crate::nn::loss;
use crate::train::error::Result;
use crate::train::measures;
use crate::train::probe::{Part, Wanted};

/// What tags say, in the order of the outputs.
#[derive(Debug, Clone)]
pub struct Tagger {
    names: Vec<String>,
}

impl Tagger {
    /// Of a published model.
    pub fn of(config: &ModelConfig, outputs: usize) -> Tagger {
        Tagger { names: labels_of(config, outputs) }
    }

    /// A name of no scheme is taken for a type: words next to each other that have it are one entity.
    fn read(&self, tag: u32) -> (Place, &str) {
        let name = self.names.get(tag as usize).map_or(OUTSIDE, String::as_str);
        parse_tag(name).unwrap_or((Place::Inside, name))
    }

    fn spans(&self, tags: &[u32]) -> Vec<Span<'_>> {
        spans(tags.iter().map(|tag| self.read(*tag)))
    }

    /// The likeliest tag of each word, `(words, n)` row by row.
    fn likeliest(&self, rows: &[f32]) -> Vec<u32> {
        rows.chunks_exact(self.names.len().max(1)).map(|row| argmax(row) as u32).collect()
    }

    /// What is named by a text's words, and how sure that is: the mean probability of their tags.
    pub fn entities(&self, rows: &[f32]) -> Vec<(Span<'_>, f32)> {
        let tags = self.likeliest(rows);
        let width = self.names.len();
        let sure = |at: usize| softmax(&rows[at * width..(at + 1) * width]).get(tags[at] as usize).copied().unwrap_or_default();
        let scored = |span: Span<'_>| (span.from..span.to).map(sure).sum::<f32>() / (span.to - span.from) as f32;
        self.spans(&tags).into_iter().map(|span| (span, scored(span))).collect()
    }
}

pub struct Tagging {
    tagger: Tagger,
}

impl Tagging {
    /// Of these tags, in the order of the outputs.
    pub fn new(names: &[String]) -> Tagging {
        Tagging { tagger: Tagger { names: names.to_vec() } }
    }

    fn names(&self) -> &[String] {
        &self.tagger.names
    }
}

/// In nats.
fn cross_entropy(row: &[f32], tag: u32) -> f64 {
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = row.iter().map(|value| (f64::from(*value) - largest).exp()).sum();
    sum.ln() + largest - row.get(tag as usize).map_or(f64::NAN, |own| f64::from(*own))
}

impl Task for Tagging {
    fn name(&self) -> Name {
        Name::TokenClassification
    }

    fn outputs(&self) -> usize {
        self.names().len()
    }

    fn rows(&self, target: &Target) -> usize {
        target.tags().len()
    }

    fn loss(&self, outputs: &Tensor, targets: &[Target], _recipe: &Recipe) -> Result<Tensor> {
        let tags: Vec<u32> = targets.iter().flat_map(|target| target.tags()).copied().collect();
        let count = tags.len();
        Ok(loss::cross_entropy(outputs, &Tensor::from_vec(tags, count, &Device::Cpu)?, 0.0)?)
    }

    fn tally(&self, settled: bool) -> Box<dyn Tally + '_> {
        Box::new(Entities { task: self, settled, texts: Vec::new(), kinds: BTreeMap::new(), loss: 0.0, right: 0, words: 0 })
    }

    fn check(&self, partition: &Partition) -> Result<()> {
        let names_something = |target: &Target| !self.tagger.spans(target.tags()).is_empty();
        if !partition.train.iter().any(|sample| names_something(&sample.target)) {
            return Err(nothing("no training text has an entity; add some that have to `train`"));
        }
        Ok(())
    }

    fn baseline(&self, _partition: &Partition) -> f64 {
        0.0
    }

    fn convex(&self, targets: &[Target], _recipe: &Recipe) -> Option<Vec<Part>> {
        let labels = targets.iter().flat_map(|target| target.tags()).map(|tag| Some(*tag)).collect();
        Some(vec![Part { outputs: self.outputs(), wanted: Wanted::Class { labels, smoothing: 0.0 } }])
    }

    /// Every word outside.
    fn simplest(&self, _partition: &Partition) -> Option<Vec<f32>> {
        let outside = self.names().iter().position(|name| name == OUTSIDE)?;
        Some((0..self.outputs()).map(|tag| f32::from(u8::from(tag == outside))).collect())
    }

    fn configure(&self, config: &mut ModelConfig) {
        config.problem_type = None;
        config.num_classes = Some(self.outputs());
        config.pretrained_cfg.num_classes = Some(self.outputs());
        config.label_names = Some(self.names().to_vec());
        config.extra.insert(TASK.into(), Json::from(self.name().as_str()));
    }

    /// The score is the share of words that are right.
    fn told(&self, row: &[f32], target: &Target) -> Option<Told> {
        let (answered, tags) = (self.tagger.likeliest(row), target.tags());
        let right = answered.iter().zip(tags).filter(|(answer, tag)| answer == tag).count();
        let losses = row.chunks_exact(self.outputs().max(1)).zip(tags).map(|(row, tag)| cross_entropy(row, *tag));
        let name = |tag: &u32| self.names().get(*tag as usize).map_or(OUTSIDE, String::as_str);
        Some(Told {
            score: right as f64 / tags.len().max(1) as f64,
            loss: super::sums::mean(losses),
            answer: answered.iter().map(name).collect::<Vec<_>>().join(" "),
            right: Some(self.tagger.spans(&answered) == self.tagger.spans(tags)),
            ..Told::default()
        })
    }

    /// Entities are counted over all texts together.
    fn scores_items(&self) -> bool {
        false
    }
}

struct Entities<'a> {
    task: &'a Tagging,
    settled: bool,
    /// Of each text.
    texts: Vec<Counts>,
    /// Of each type.
    kinds: BTreeMap<&'a str, Counts>,
    /// Over all words.
    loss: f64,
    right: u64,
    words: u64,
}

impl<'a> Entities<'a> {
    fn add_text(&mut self, rows: &[f32], tags: &[u32]) {
        let task: &'a Tagging = self.task;
        let tagger = &task.tagger;
        let answered = tagger.likeliest(rows);
        self.words += answered.len() as u64;
        self.right += answered.iter().zip(tags).filter(|(answer, tag)| answer == tag).count() as u64;
        self.loss += rows.chunks_exact(self.task.outputs().max(1)).zip(tags).map(|(row, tag)| cross_entropy(row, *tag)).sum::<f64>();
        let (found, there): (Vec<Span<'a>>, HashSet<Span<'a>>) = (tagger.spans(&answered), tagger.spans(tags).into_iter().collect());
        let mut text = Counts::default();
        let mut note = |kind: &'a str, counts: Counts| {
            text.add(counts, 1.0);
            self.kinds.entry(kind).or_default().add(counts, 1.0);
        };
        there.iter().for_each(|span| note(span.kind, Counts { there: 1.0, ..Counts::default() }));
        let right = |span: &Span<'a>| f64::from(u8::from(there.contains(span)));
        found.iter().for_each(|span| note(span.kind, Counts { found: 1.0, right: right(span), ..Counts::default() }));
        self.texts.push(text);
    }

    fn all(&self, weights: &[f32]) -> Counts {
        let mut all = Counts::default();
        self.texts.iter().zip(weights).for_each(|(text, weight)| all.add(*text, f64::from(*weight)));
        all
    }

    fn even(&self) -> Counts {
        self.all(&measures::even(self.texts.len()))
    }

    fn more(&self) -> More {
        let mut more = More::default();
        if self.settled {
            let of = |weights: &[f32]| {
                let all = self.all(weights);
                let (precision, recall) = all.rates();
                vec![all.f1(), precision, recall]
            };
            let found = measures::intervals(self.texts.len(), self.texts.len() as u64, of);
            let keys = self.task.name().measures().iter().map(|measure| measure.key.to_owned());
            more.intervals.extend(keys.zip(found.into_iter().flatten()));
        }
        more
    }
}

impl Tally for Entities<'_> {
    fn add(&mut self, outputs: &[f32], targets: &[Target]) {
        let width = self.task.outputs();
        let mut rest = outputs;
        for target in targets {
            let (own, others) = rest.split_at((target.tags().len() * width).min(rest.len()));
            rest = others;
            self.add_text(own, target.tags());
        }
    }

    fn samples(&self) -> u64 {
        self.texts.len() as u64
    }

    /// The mean over all words.
    fn loss(&self) -> f64 {
        self.loss / self.words.max(1) as f64
    }

    fn primary(&self) -> f64 {
        self.even().f1()
    }

    fn finish(self: Box<Self>) -> Evaluation {
        let all = self.even();
        let (precision, recall) = all.rates();
        let accuracy = self.right as f64 / self.words.max(1) as f64;
        let score = |(kind, counts): (&&str, &Counts)| {
            let (precision, recall) = counts.rates();
            ClassScore { class: (*kind).to_owned(), support: counts.there as u64, precision, recall, f1: counts.f1() }
        };
        Evaluation {
            task: self.task.name(),
            samples: self.samples(),
            loss: Tally::loss(&*self),
            values: vec![all.f1(), precision, recall, accuracy],
            per_class: self.kinds.iter().map(score).collect(),
            more: self.more(),
            ..Evaluation::default()
        }
    }
}

/// What it says lies in the text, which is told where the text is: here there is nothing.
pub fn answerer() -> super::Answerer {
    Box::new(|_row, _top| Answer::Entities(Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Sample, Split, Tags};

    const NAMES: [&str; 5] = ["O", "B-MISC", "B-PER", "I-MISC", "I-PER"];

    fn task() -> Tagging {
        Tagging::new(&NAMES.map(String::from))
    }

    fn tags(of: &str) -> Vec<u32> {
        of.split(' ').map(|tag| NAMES.iter().position(|name| *name == tag).unwrap() as u32).collect()
    }

    fn target(of: &str) -> Target {
        Target::Tags(Tags::new(tags(of)))
    }

    fn rows(of: &str) -> Vec<f32> {
        tags(of).into_iter().flat_map(|tag| (0..5).map(move |at| if at == tag { 2.0 } else { 0.0 })).collect()
    }

    /// seqeval's own example, with the numbers its page has.
    #[test]
    fn the_numbers_are_seqevals() {
        let task = task();
        let mut tally = task.tally(true);
        let answers = [rows("O O B-MISC I-MISC I-MISC I-MISC O"), rows("B-PER I-PER O")].concat();
        tally.add(&answers, &[target("O O O B-MISC I-MISC I-MISC O"), target("B-PER I-PER O")]);
        assert_eq!((tally.primary(), tally.samples()), (0.5, 2));
        let found = tally.finish();
        assert_eq!((found.get("entity_precision"), found.get("entity_recall")), (0.5, 0.5));
        assert!((found.get("token_accuracy") - 0.8).abs() < 1e-12, "{found:?}");
        let of: Vec<_> = found.per_class.iter().map(|score| (score.class.as_str(), score.support, score.f1)).collect();
        assert_eq!(of, [("MISC", 1, 0.0), ("PER", 1, 1.0)]);
        let again: Evaluation = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
        assert!(again.per_class.len() == 2 && again.primary() == 0.5, "{again:?}");
    }

    #[test]
    fn by_hand_three_of_five_found_are_right() {
        let task = task();
        let mut tally = task.tally(false);
        // There: PER 0-2, MISC 3-4, PER 5-6, MISC 6-7; found: PER 0-2, MISC 3-5, PER 5-6, MISC 6-7, PER 7-8.
        tally.add(&rows("B-PER I-PER O B-MISC I-MISC B-PER B-MISC B-PER"), &[target("B-PER I-PER O B-MISC O B-PER B-MISC O")]);
        let found = tally.finish();
        assert!((found.get("entity_precision") - 0.6).abs() < 1e-12 && (found.get("entity_recall") - 0.75).abs() < 1e-12);
        assert!((found.primary() - 2.0 / 3.0).abs() < 1e-12 && (found.get("token_accuracy") - 0.75).abs() < 1e-12, "{found:?}");
        // A word that is right: ln(1 + 4 e^-2); one that is wrong misses by 2 more.
        let right = (1.0 + 4.0 * (-2f64).exp()).ln();
        assert!((found.loss - (right + 2.0 * 2.0 / 8.0)).abs() < 1e-6, "{}", found.loss);
    }

    #[test]
    fn the_loss_is_over_all_words_and_entities_are_scored() {
        let task = task();
        let outputs = Tensor::from_vec([rows("O B-PER"), rows("O")].concat(), (3, 5), &Device::Cpu).unwrap();
        let loss = task.loss(&outputs, &[target("O B-PER"), target("B-PER")], &Recipe::default()).unwrap().to_scalar::<f32>().unwrap();
        let right = (1.0 + 4.0 * (-2f64).exp()).ln();
        assert!((f64::from(loss) - (right + 2.0 / 3.0)).abs() < 1e-5, "{loss}");
        let told = task.told(&rows("B-PER I-PER O"), &target("B-PER O O")).unwrap();
        assert_eq!((told.answer.as_str(), told.right), ("B-PER I-PER O", Some(false)));
        let (span, score) = task.tagger.entities(&rows("O B-PER I-PER"))[0];
        assert!((span.from, span.to, span.kind) == (1, 3, "PER") && (f64::from(score) - (-right).exp()).abs() < 1e-6);
    }

    #[test]
    fn texts_without_an_entity_teach_nothing() {
        let sample = |of: &str| Sample { id: 0, target: target(of), split: Split::Train, path: "0".into() };
        let of = |train: Vec<Sample>| Partition { train, ..Partition::default() };
        assert!(task().check(&of(vec![sample("O O")])).is_err());
        let some = of(vec![sample("O O"), sample("I-PER")]);
        task().check(&some).unwrap();
        assert_eq!(task().simplest(&some).unwrap(), [1.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
