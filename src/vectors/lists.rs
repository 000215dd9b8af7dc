//! Approximate search in large vocabularies: rows in lists, each around a centre (an inverted file, IVF: Jégou, Douze and Schmid 2011,
//! "Product Quantization for Nearest Neighbor Search", section 4, without the quantisation). A query looks at the rows of the lists
//! whose centres are nearest, and their cosines are exact: what is missed is missed, what is answered is right.
//!
//! The lists of a model are found once, by k-means over directions, and kept in a file that any process may make again:
//!
//! | tensor | dtype | shape | what |
//! | --- | --- | --- | --- |
//! | `centres` | F32 | `[C, D]` | of length 1 |
//! | `offsets` | I64 | `[C + 1]` | where each list begins in `rows` |
//! | `rows` | I32 | `[V]` | rows of the matrix, list by list |

use std::path::{Path, PathBuf};

use pulp::Simd;
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::error::{Error, Result};
use super::model::WordVectors;
use super::simd;
use super::tensors::{TensorFile, TensorWriter};

/// From so many words on, lists are worth finding: below, looking at every row takes a moment.
pub const LARGE_VOCABULARY: usize = 1_000_000;
/// Rows by which centres are found, for each of them, and how often they move.
const SAMPLE_ROWS: usize = 64;
const ROUNDS: usize = 8;
/// Rows that one thread compares with all centres at once, and rows between two reports.
const BLOCK: usize = 64;
const SLAB: usize = 1 << 16;
/// An eighth of all lists is looked at, and this many at least.
const PROBES: usize = 32;
/// As many rows are looked at for each that is wanted, at least.
const ROWS_EACH: usize = 4;
/// Rows that tell one matrix from another.
const MARKS: usize = 256;

/// The rows of a matrix in lists.
pub struct Lists {
    width: usize,
    centres: Vec<f32>,
    offsets: Vec<usize>,
    rows: Vec<u32>,
}

impl Lists {
    /// Finds the lists of a model: about twice as many as the square root of its words. `report` hears how many of its rows have found theirs.
    pub fn of(vectors: &WordVectors, report: &mut dyn FnMut(usize, usize)) -> Lists {
        let (count, width) = (vectors.vectors.rows, vectors.width());
        let centres = centres(vectors, ((2.0 * (count as f64).sqrt()).round() as usize).clamp(1, count.max(1)));
        let mut nearest = Vec::with_capacity(count);
        for begin in (0..count).step_by(SLAB) {
            let end = count.min(begin + SLAB);
            let blocks: Vec<usize> = (begin..end).step_by(BLOCK).collect();
            let found: Vec<Vec<u32>> = blocks
                .into_par_iter()
                .map(|from| {
                    let mut rows = vec![0.0; (end.min(from + BLOCK) - from) * width];
                    rows.chunks_exact_mut(width).enumerate().for_each(|(at, row)| vectors.vectors.read(from + at, row));
                    assigned(&centres, &rows, width)
                })
                .collect();
            nearest.extend(found.into_iter().flatten());
            report(end, count);
        }
        let mut offsets = vec![0usize; centres.len() / width + 1];
        nearest.iter().for_each(|list| offsets[*list as usize + 1] += 1);
        (1..offsets.len()).for_each(|list| offsets[list] += offsets[list - 1]);
        let (mut next, mut rows) = (offsets.clone(), vec![0u32; count]);
        for (row, list) in nearest.iter().enumerate() {
            rows[next[*list as usize]] = row as u32;
            next[*list as usize] += 1;
        }
        Lists { width, centres, offsets, rows }
    }

    /// The rows of the lists nearest to a query; enough of them for `k` answers where there are so many.
    pub(super) fn near(&self, query: &[f32], k: usize) -> Vec<u32> {
        let count = self.offsets.len() - 1;
        let mut products = Vec::with_capacity(count);
        simd::dispatch(Products { centres: &self.centres, width: self.width, query, out: &mut products });
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_unstable_by(|a, b| products[*b].total_cmp(&products[*a]));
        let probes = (count / 8).max(PROBES);
        let mut rows = Vec::new();
        for (at, list) in order.into_iter().enumerate() {
            if at >= probes && rows.len() >= k.saturating_mul(ROWS_EACH) {
                break;
            }
            rows.extend_from_slice(&self.rows[self.offsets[list]..self.offsets[list + 1]]);
        }
        rows
    }

    /// Writes them into a file, which is renamed into its place.
    pub fn save(&self, path: &Path) -> Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let part = tempfile::NamedTempFile::new_in(folder).map_err(Error::io(folder))?;
        let mut out = TensorWriter::create(part.path())?;
        let count = self.offsets.len() - 1;
        out.tensor("centres", "F32", &[count, self.width], self.centres.iter().map(|value| value.to_le_bytes()))?;
        out.tensor("offsets", "I64", &[count + 1], self.offsets.iter().map(|value| (*value as u64).to_le_bytes()))?;
        out.tensor("rows", "I32", &[self.rows.len()], self.rows.iter().map(|value| value.to_le_bytes()))?;
        out.finish()?;
        part.persist(path).map_err(|error| Error::io(path)(error.error))?;
        Ok(())
    }

    /// Reads what [`Lists::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where it does not fit a matrix of so many rows and numbers.
    pub fn load(path: &Path, (count, width): (usize, usize)) -> Result<Lists> {
        let file = TensorFile::open(path)?;
        let unfit = |problem: &str| Error::corrupt(path, 0, format!("{problem}; remove the file, and the lists are found anew"));
        let (centres, shape) = file.get("centres", "F32", 2)?;
        let (offsets, _) = file.get("offsets", "I64", 1)?;
        let (rows, _) = file.get("rows", "I32", 1)?;
        let fours = |range| file.bytes(range).as_chunks::<4>().0.iter();
        let centres: Vec<f32> = fours(&centres).map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let rows: Vec<u32> = fours(&rows).map(|bytes| u32::from_le_bytes(*bytes)).collect();
        let eights = file.bytes(&offsets).as_chunks::<8>().0.iter();
        let offsets: Vec<usize> = eights.map(|bytes| u64::from_le_bytes(*bytes) as usize).collect();
        let whole = offsets.first() == Some(&0) && offsets.last() == Some(&rows.len()) && offsets.is_sorted();
        if shape[1] != width || offsets.len() != shape[0] + 1 || rows.len() != count || !whole {
            return Err(unfit("these lists are of another model"));
        }
        let mut seen = vec![false; count];
        if rows.iter().any(|row| seen.get_mut(*row as usize).is_none_or(|seen| std::mem::replace(seen, true))) {
            return Err(unfit("a row is in two lists, or is not there"));
        }
        Ok(Lists { width, centres, offsets, rows })
    }

    /// The file of a model's lists in a folder: its name is told by the matrix.
    pub fn path(folder: &Path, vectors: &WordVectors) -> PathBuf {
        let (count, width) = (vectors.vectors.rows, vectors.width());
        let mut hash = Sha256::new();
        hash.update(format!("lists 1 {count} {width} {}", vectors.vectors.dtype.as_str()));
        let mut row = vec![0.0; width];
        for mark in 0..MARKS.min(count) {
            vectors.vectors.read(mark * count / MARKS.min(count), &mut row);
            row.iter().for_each(|value| hash.update(value.to_le_bytes()));
        }
        folder.join(format!("{}.lists.safetensors", &hex::encode(hash.finalize())[..32]))
    }
}

impl WordVectors {
    /// The same, whose nearest words are looked for in lists, if it has `least` words or more: those kept in the folder, else new ones that are
    /// kept there. A folder that cannot be written to costs finding them again.
    pub fn with_lists(self, folder: &Path, least: usize, report: &mut dyn FnMut(usize, usize)) -> WordVectors {
        if self.vectors.rows < least {
            return self;
        }
        let path = Lists::path(folder, &self);
        let lists = Lists::load(&path, (self.vectors.rows, self.width())).unwrap_or_else(|_| {
            let lists = Lists::of(&self, report);
            if let Err(error) = lists.save(&path) {
                tracing::warn!(%error, "lists of words are not kept");
            }
            lists
        });
        let mut quick = self;
        quick.lists = Some(lists);
        quick
    }

    /// Whether nearest words are looked for in lists, and some may be missed.
    pub fn has_lists(&self) -> bool {
        self.lists.is_some()
    }
}

/// `count` directions around which rows lie, found by a sample of them: k-means by the cosine.
fn centres(vectors: &WordVectors, count: usize) -> Vec<f32> {
    let (rows, width) = (vectors.vectors.rows, vectors.width());
    let taken = rows.min(count * SAMPLE_ROWS);
    let mut sample = vec![0.0f32; taken * width];
    sample.par_chunks_exact_mut(width).enumerate().for_each(|(at, row)| {
        // Evenly from the frequent to the rare.
        vectors.vectors.read((at as u64 * rows as u64 / taken as u64) as usize, row);
        normalise(row);
    });
    let mut centres: Vec<f32> = (0..count).flat_map(|at| sample[at * taken / count * width..][..width].iter().copied()).collect();
    for round in 0..ROUNDS {
        let blocks: Vec<Vec<u32>> = sample.par_chunks(BLOCK * width).map(|rows| assigned(&centres, rows, width)).collect();
        let (mut sums, mut sizes) = (vec![0.0f32; count * width], vec![0usize; count]);
        for (list, row) in blocks.into_iter().flatten().zip(sample.chunks_exact(width)) {
            let list = list as usize;
            sizes[list] += 1;
            sums[list * width..][..width].iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        for (list, size) in sizes.iter().enumerate() {
            let centre = &mut sums[list * width..][..width];
            if *size == 0 {
                // An empty list begins again somewhere else.
                let at = (list * 31 + round * 17 + 7) % taken;
                centre.copy_from_slice(&sample[at * width..][..width]);
            }
            normalise(centre);
        }
        centres = sums;
    }
    centres
}

/// To length 1; zeros stay.
fn normalise(row: &mut [f32]) {
    let length = row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 && length.is_finite() {
        row.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    }
}

/// Of each row the centre in whose direction it lies most.
fn assigned(centres: &[f32], rows: &[f32], width: usize) -> Vec<u32> {
    let mut best = vec![(0, f32::NEG_INFINITY); rows.len() / width];
    simd::dispatch(Assign { centres, rows, width, best: &mut best });
    best.into_iter().map(|(list, _)| list).collect()
}

struct Assign<'a> {
    centres: &'a [f32],
    rows: &'a [f32],
    width: usize,
    best: &'a mut [(u32, f32)],
}

impl pulp::WithSimd for Assign<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (list, centre) in self.centres.chunks_exact(self.width).enumerate() {
            for (row, best) in self.rows.chunks_exact(self.width).zip(self.best.iter_mut()) {
                let product = simd::dot(simd, centre, row);
                if product > best.1 {
                    *best = (list as u32, product);
                }
            }
        }
    }
}

struct Products<'a> {
    centres: &'a [f32],
    width: usize,
    query: &'a [f32],
    out: &'a mut Vec<f32>,
}

impl pulp::WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.out.extend(self.centres.chunks_exact(self.width).map(|centre| simd::dot(simd, centre, self.query)));
    }
}

#[cfg(test)]
#[path = "lists_tests.rs"]
mod tests;
