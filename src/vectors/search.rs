//! The nearest words, by the cosine of the angle between vectors: every row is looked at, on all cores; or, where a large vocabulary
//! has `lists`, those of the lists that are nearest.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::Range;

use rayon::prelude::*;

use super::error::{Error, Result};
use super::model::{Found, WordVectors};

/// A word and how near it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbor {
    pub word: String,
    /// The cosine, from -1 to 1.
    pub similarity: f32,
}

/// Rows that one thread looks at before it takes others.
const ROWS: usize = 4096;

#[derive(PartialEq)]
struct Candidate {
    similarity: f32,
    row: usize,
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Candidate) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The worst is the greatest, so that a heap gives it away first; of equals the later row is worse.
impl Ord for Candidate {
    fn cmp(&self, other: &Candidate) -> Ordering {
        other.similarity.total_cmp(&self.similarity).then(self.row.cmp(&other.row))
    }
}

/// The `k` best so far.
struct Best {
    heap: BinaryHeap<Candidate>,
    k: usize,
}

impl Best {
    fn new(k: usize) -> Best {
        Best { heap: BinaryHeap::with_capacity(k + 1), k }
    }

    fn offer(&mut self, candidate: Candidate) {
        if self.heap.len() < self.k {
            self.heap.push(candidate);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && candidate < *worst
        {
            *worst = candidate;
        }
    }
}

impl WordVectors {
    /// Offers rows that were looked at, each with its inner product.
    fn offer(&self, best: &mut Best, rows: impl Iterator<Item = usize>, products: &[f32], (length, without): (f32, &[usize])) {
        for (row, product) in rows.zip(products) {
            let norm = self.vocabulary.norm(row);
            let similarity = product / (norm * length);
            if norm > 0.0 && similarity.is_finite() && !without.contains(&row) {
                best.offer(Candidate { similarity, row });
            }
        }
    }

    /// The `k` rows nearest to `query`, best first, without those in `without`; rows of zeros are near to nothing.
    fn nearest_rows(&self, query: &[f32], k: usize, without: &[usize]) -> Vec<Candidate> {
        let length = query.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt() as f32;
        if length <= 0.0 || k == 0 {
            return Vec::new();
        }
        let begin = || (Best::new(k), Vec::new());
        let found: Vec<Best> = match &self.lists {
            None => {
                let rows = self.vocabulary.len();
                let part = |part: usize| -> Range<usize> { part * ROWS..rows.min((part + 1) * ROWS) };
                let look = |(mut best, mut products): (Best, Vec<f32>), range: Range<usize>| {
                    self.vectors.products(range.clone(), query, &mut products);
                    self.offer(&mut best, range, &products, (length, without));
                    (best, products)
                };
                (0..rows.div_ceil(ROWS)).into_par_iter().map(part).fold(begin, look).map(|(best, _)| best).collect()
            }
            Some(lists) => {
                let near = lists.near(query, k + without.len());
                let look = |(mut best, mut products): (Best, Vec<f32>), rows: &[u32]| {
                    self.vectors.products_of(rows, query, &mut products);
                    self.offer(&mut best, rows.iter().map(|row| *row as usize), &products, (length, without));
                    (best, products)
                };
                near.par_chunks(ROWS).fold(begin, look).map(|(best, _)| best).collect()
            }
        };
        let mut all = Best::new(k);
        found.into_iter().flat_map(|best| best.heap).for_each(|candidate| all.offer(candidate));
        all.heap.into_sorted_vec()
    }

    fn named(&self, rows: Vec<Candidate>) -> Result<Vec<Neighbor>> {
        let named = |found: Candidate| Ok(Neighbor { word: self.vocabulary.word(found.row)?.to_owned(), similarity: found.similarity });
        rows.into_iter().map(named).collect()
    }

    /// The `k` words nearest to a vector of the model's width, best first.
    pub fn nearest(&self, query: &[f32], k: usize) -> Result<Vec<Neighbor>> {
        self.named(self.nearest_rows(query, k, &[]))
    }

    /// The `k` words nearest to a word, best first, without the word itself.
    ///
    /// # Errors
    /// [`Error::UnknownWord`] where it has no vector.
    pub fn neighbors(&self, word: &str, k: usize) -> Result<(Vec<Neighbor>, Found)> {
        let (query, found) = self.vector(word)?;
        let without = if let Found::Word(row) = found { vec![row] } else { Vec::new() };
        Ok((self.named(self.nearest_rows(&query, k, &without))?, found))
    }

    /// What is to `c` as `b` is to `a`: the `k` words nearest to b - a + c, each of length 1 (3CosAdd of Mikolov et al. 2013,
    /// "Linguistic Regularities in Continuous Space Word Representations"); the three words themselves are no answers.
    pub fn analogy(&self, [a, b, c]: [&str; 3], k: usize) -> Result<Vec<Neighbor>> {
        let mut query = vec![0.0; self.width()];
        let mut without = Vec::new();
        for (word, sign) in [(b, 1.0f32), (a, -1.0), (c, 1.0)] {
            let (vector, found) = self.vector(word)?;
            let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
            if length <= 0.0 {
                return Err(Error::UnknownWord { word: word.to_owned(), why: " with a vector that points anywhere: it is all zeros" });
            }
            query.iter_mut().zip(&vector).for_each(|(sum, value)| *sum += sign * value / length);
            without.extend(if let Found::Word(row) = found { Some(row) } else { None });
        }
        self.named(self.nearest_rows(&query, k, &without))
    }

    /// The cosine between two words.
    pub fn similarity(&self, a: &str, b: &str) -> Result<f32> {
        Ok(cosine(&self.vector(a)?.0, &self.vector(b)?.0))
    }
}

/// The cosine of the angle between two vectors; 0 where one is all zeros.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let lengths = (product(a, a) * product(b, b)).sqrt();
    if lengths > 0.0 { (product(a, b) / lengths) as f32 } else { 0.0 }
}
