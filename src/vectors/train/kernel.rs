//! A batch of sentences: the loops in which all the time goes.

use pulp::Simd;

use super::sampling::{Alias, Random};
use super::weights::Weights;
use super::{Architecture, Settings};
use crate::vectors::simd;

/// Beyond this the sigmoid is taken for 0 or 1, and nothing is learned; as gensim does.
const MOST: f32 = 6.0;
const STEPS: usize = 1024;

/// What all batches share.
pub struct Shared<'a> {
    pub settings: &'a Settings,
    /// `[words, width]`: the vectors.
    pub input: &'a Weights,
    /// `[words of the corpus, width]`: the weights of the predictions.
    pub output: &'a Weights,
    pub negatives: &'a Alias,
    /// Of each word: it stays where 32 random bits are below or equal.
    pub keep: &'a [u32],
    pub tables: &'a Tables,
}

/// The sigmoid and its logarithm from -6 to 6.
pub struct Tables {
    sigmoid: Vec<f32>,
    loss: Vec<f32>,
}

impl Tables {
    pub fn new() -> Tables {
        let at = |step: usize| (step as f64 + 0.5) / STEPS as f64 * f64::from(2.0 * MOST) - f64::from(MOST);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        Tables {
            sigmoid: (0..STEPS).map(|step| sigmoid(at(step)) as f32).collect(),
            loss: (0..STEPS).map(|step| -sigmoid(at(step)).ln() as f32).collect(),
        }
    }

    #[inline(always)]
    fn step(x: f32) -> usize {
        (((x + MOST) * (STEPS as f32 / (2.0 * MOST))) as usize).min(STEPS - 1)
    }
}

/// One thread's rooms, and what it has counted.
pub struct Worker {
    kept: Vec<u32>,
    error: Vec<f32>,
    mean: Vec<f32>,
    /// The sum of the losses of predictions in nats, and their number.
    pub loss: f64,
    pub predictions: u64,
}

impl Worker {
    pub fn new(padded: usize) -> Worker {
        Worker { kept: Vec::new(), error: vec![0.0; padded], mean: vec![0.0; padded], loss: 0.0, predictions: 0 }
    }

    /// Trains on the sentences of a batch: numbers of words, each sentence ended by `u32::MAX`.
    pub fn train(&mut self, shared: &Shared, ids: &[u32], rate: f32, random: Random) {
        simd::dispatch(Batch { worker: self, shared, ids, rate, random });
    }
}

struct Batch<'a, 'b> {
    worker: &'a mut Worker,
    shared: &'a Shared<'b>,
    ids: &'a [u32],
    rate: f32,
    random: Random,
}

impl pulp::WithSimd for Batch<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Batch { worker, shared, ids, rate, mut random } = self;
        for sentence in ids.split(|id| *id == u32::MAX) {
            worker.kept.clear();
            // Words that are dropped leave no gap: windows reach further then.
            worker.kept.extend(sentence.iter().filter(|id| (random.next() as u32) <= shared.keep[**id as usize]));
            let mut sentence = Sentence { simd, shared, rate, worker: &mut *worker };
            match shared.settings.architecture {
                Architecture::SkipGram => sentence.skip_gram(&mut random),
                Architecture::Cbow => sentence.cbow(&mut random),
            }
        }
    }
}

struct Sentence<'a, 'b, S> {
    simd: S,
    shared: &'a Shared<'b>,
    rate: f32,
    worker: &'a mut Worker,
}

impl<S: Simd> Sentence<'_, '_, S> {
    /// The positions around `at` within a window of random width.
    #[inline(always)]
    fn window(&self, at: usize, random: &mut Random) -> (usize, usize) {
        let width = 1 + random.below(self.shared.settings.window as u32) as usize;
        (at.saturating_sub(width), self.worker.kept.len().min(at + width + 1))
    }

    /// Each word of the window, by its vector, predicts the word in the middle.
    #[inline(always)]
    fn skip_gram(&mut self, random: &mut Random) {
        for at in 0..self.worker.kept.len() {
            let word = self.worker.kept[at];
            let (from, to) = self.window(at, random);
            for other in from..to {
                if other == at {
                    continue;
                }
                let context = self.worker.kept[other] as usize;
                // SAFETY: hogwild, see `weights`; the row is let go of before another is asked for of this matrix.
                let input = unsafe { self.shared.input.row(context) };
                self.worker.error.fill(0.0);
                self.predict(input, word, random);
                simd::add_scaled(self.simd, 1.0, &self.worker.error, input);
            }
        }
    }

    /// The mean of the window's vectors predicts the word in the middle; each of them takes the whole error.
    #[inline(always)]
    fn cbow(&mut self, random: &mut Random) {
        for at in 0..self.worker.kept.len() {
            let word = self.worker.kept[at];
            let (from, to) = self.window(at, random);
            if to - from < 2 {
                continue;
            }
            let mut mean = std::mem::take(&mut self.worker.mean);
            mean.fill(0.0);
            let share = 1.0 / (to - from - 1) as f32;
            for other in (from..to).filter(|other| *other != at) {
                // SAFETY: hogwild, see `weights`.
                let row = unsafe { self.shared.input.row(self.worker.kept[other] as usize) };
                simd::add_scaled(self.simd, share, row, &mut mean);
            }
            self.worker.error.fill(0.0);
            self.predict(&mean, word, random);
            self.worker.mean = mean;
            for other in (from..to).filter(|other| *other != at) {
                // SAFETY: hogwild, see `weights`.
                let row = unsafe { self.shared.input.row(self.worker.kept[other] as usize) };
                simd::add_scaled(self.simd, 1.0, &self.worker.error, row);
            }
        }
    }

    /// The right word and some wrong ones; what the input should change by is added to the worker's error.
    #[inline(always)]
    fn predict(&mut self, input: &[f32], word: u32, random: &mut Random) {
        self.answer(input, word, 1.0);
        for _ in 0..self.shared.settings.negative {
            let other = self.shared.negatives.draw(random);
            if other != word {
                self.answer(input, other, 0.0);
            }
        }
    }

    #[inline(always)]
    fn answer(&mut self, input: &[f32], word: u32, label: f32) {
        // SAFETY: hogwild, see `weights`; the row is let go of at the end.
        let output = unsafe { self.shared.output.row(word as usize) };
        let score = simd::dot(self.simd, input, output);
        self.worker.predictions += 1;
        let sign = 2.0 * label - 1.0;
        if score.is_nan() || score.abs() >= MOST {
            self.worker.loss += f64::from((-sign * score).max(0.0));
            return;
        }
        let tables = self.shared.tables;
        self.worker.loss += f64::from(tables.loss[Tables::step(sign * score)]);
        let change = (label - tables.sigmoid[Tables::step(score)]) * self.rate;
        let (inputs, _) = S::as_simd_f32s(input);
        let (outputs, _) = S::as_mut_simd_f32s(output);
        let (errors, _) = S::as_mut_simd_f32s(&mut self.worker.error);
        let change = self.simd.splat_f32s(change);
        for ((input, output), error) in inputs.iter().zip(outputs).zip(errors) {
            *error = self.simd.mul_add_e_f32s(change, *output, *error);
            *output = self.simd.mul_add_e_f32s(change, *input, *output);
        }
    }
}
