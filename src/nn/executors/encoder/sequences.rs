//! Sequences of unequal lengths: padded to rectangles, as tensors pass between people, and packed one behind the other, as they are
//! worked on.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::plan::Plan;
use crate::nn::error::{Error, Result};
use crate::nn::input::{PADDING, WORD};

/// How long the sequences of a batch are, and to what they were padded.
#[derive(Debug, Clone)]
pub(super) struct Sequences {
    pub lengths: Arc<[usize]>,
    pub padded: usize,
    /// Where words begin, among the packed; none where nobody said.
    pub words: Arc<[u32]>,
}

/// A batch of token ids, packed.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    pub ids: Vec<u32>,
    pub types: Vec<u32>,
    pub sequences: Sequences,
}

impl Sequences {
    /// The lengths of sequences `(B, N, D)` whose padding is rows of zeros, and their tokens packed, `(T, D)`; gradients flow back. Rows of one
    /// number more than `width` end with 1 where a word begins, as those of [`Sequences::marked`] do, and with 0 elsewhere.
    pub fn of_rows(rows: &Tensor, width: usize) -> Result<(Sequences, Tensor)> {
        let sequences = Sequences::measured(rows)?;
        let packed = sequences.pack(rows)?;
        if packed.dim(1)? != width + 1 {
            return Ok((sequences, packed));
        }
        let marks = packed.narrow(1, width, 1)?.detach().flatten_all()?.to_device(&Device::Cpu)?.to_vec1::<f32>()?;
        let words = marks.iter().enumerate().filter(|(_, mark)| **mark != 0.0).map(|(token, _)| token as u32);
        Ok((Sequences { words: words.collect(), ..sequences }, packed.narrow(1, 0, width)?.contiguous()?))
    }

    fn measured(rows: &Tensor) -> Result<Sequences> {
        let (batch, padded, width) = rows.dims3()?;
        let used = rows.detach().abs()?.sum(2)?.to_device(&Device::Cpu)?.to_vec2::<f32>()?;
        let length = |row: &Vec<f32>| row.iter().rposition(|sum| *sum != 0.0).map_or(0, |last| last + 1);
        let lengths: Vec<usize> = used.iter().map(length).collect();
        if batch * width == 0 || lengths.contains(&0) {
            return Err(Error::Invalid(format!(
                "a batch of tokens has the shape (batch, tokens, width) and rows that are not zero, not {:?}",
                rows.dims()
            )));
        }
        Ok(Sequences { lengths: lengths.into(), padded, words: Arc::default() })
    }

    /// Tokens of all sequences.
    pub fn total(&self) -> usize {
        self.lengths.iter().sum()
    }

    pub fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or(0)
    }

    /// Where each sequence begins among the packed.
    pub fn starts(&self) -> Vec<u32> {
        let starts = self.lengths.iter().scan(0, |next, length| {
            let start = *next;
            *next += *length as u32;
            Some(start)
        });
        starts.collect()
    }

    /// `(B, N, D)` to `(T, D)`; gradients flow back.
    pub fn pack(&self, rows: &Tensor) -> Result<Tensor> {
        let places =
            self.lengths.iter().enumerate().flat_map(|(at, length)| (0..*length).map(move |token| (at * self.padded + token) as u32));
        let places = Tensor::new(places.collect::<Vec<_>>(), rows.device())?;
        Ok(rows.contiguous()?.flatten(0, 1)?.index_select(&places, 0)?)
    }

    /// `(T, D)` to `(B, N, D)` with zeros behind the ends; gradients flow back. Where words are told, each token has one number more: whether one
    /// begins with it.
    pub fn marked(&self, packed: &Tensor) -> Result<Tensor> {
        if self.words.is_empty() {
            return self.unpack(packed, self.padded);
        }
        let mut marks = vec![0f32; self.total()];
        self.words.iter().for_each(|word| marks[*word as usize] = 1.0);
        let marks = Tensor::from_vec(marks, (self.total(), 1), &Device::Cpu)?.to_device(packed.device())?;
        self.unpack(&Tensor::cat(&[packed, &marks], 1)?, self.padded)
    }

    /// The same without words.
    pub fn unpack(&self, packed: &Tensor, padded: usize) -> Result<Tensor> {
        let (total, width) = packed.dims2()?;
        let zeros = Tensor::zeros((1, width), DType::F32, packed.device())?;
        let starts = self.starts();
        let places =
            self.lengths.iter().zip(&starts).flat_map(|(length, start)| {
                (0..padded).map(move |token| if token < *length { start + token as u32 } else { total as u32 })
            });
        let places = Tensor::new(places.collect::<Vec<_>>(), packed.device())?;
        let rows = Tensor::cat(&[packed, &zeros], 0)?.index_select(&places, 0)?;
        Ok(rows.reshape((self.lengths.len(), padded, width))?)
    }
}

impl Tokens {
    /// Takes token ids and types `(B, N, 2)`, padded by [`PADDING`].
    ///
    /// # Errors
    /// Numbers that the plan's tables do not have, sequences that are empty or too long for it.
    pub fn read(batch: &Tensor, plan: &Plan) -> Result<Tokens> {
        let wrong = |what: String| Error::Invalid(what);
        let (count, padded) = match batch.dims() {
            [count, padded, 2] if batch.dtype() == DType::U32 => (*count, *padded),
            other => {
                return Err(wrong(format!(
                    "a text encoder takes token ids and types (batch, tokens, 2) as u32, not {other:?} of {:?}",
                    batch.dtype()
                )));
            }
        };
        let numbers = batch.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<u32>()?;
        let (mut ids, mut types, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(count));
        let mut words = Vec::new();
        for row in numbers.chunks_exact(2 * padded.max(1)).take(count) {
            let before = ids.len();
            for token in row.chunks_exact(2).take_while(|token| token[0] != PADDING) {
                if token[1] & WORD != 0 {
                    words.push(ids.len() as u32);
                }
                ids.push(token[0]);
                types.push(token[1] & !WORD);
            }
            // What it is filled with is read as any other token. Nothing is filled that has nothing in it.
            if let Some(token) = plan.filled.filter(|_| ids.len() > before && ids.len() - before < plan.longest) {
                ids.resize(before + plan.longest, token);
                types.resize(before + plan.longest, 0);
            }
            lengths.push(ids.len() - before);
        }
        let padded = lengths.iter().copied().max().unwrap_or(0).max(padded);
        let most = plan.types.as_ref().map_or(1, |table| table.rows) as u32;
        match lengths.iter().max() {
            None => return Err(wrong("a batch without texts has no features".into())),
            Some(longest) if *longest > plan.longest => {
                return Err(wrong(format!(
                    "a sequence of {longest} tokens is longer than the {} this encoder has learnt places for; cut it",
                    plan.longest
                )));
            }
            Some(_) if lengths.contains(&0) => return Err(wrong("a sequence without tokens has no features".into())),
            Some(_) => {}
        }
        if let Some(id) = ids.iter().find(|id| **id as usize >= plan.words.rows) {
            return Err(wrong(format!(
                "token {id} is not among the {} this encoder knows: the tokenizer is that of another model",
                plan.words.rows
            )));
        }
        // An encoder with one type of tokens, or none, is told of two by tokenizers that pack pairs.
        types.iter_mut().for_each(|kind| *kind = (*kind).min(most - 1));
        Ok(Tokens { ids, types, sequences: Sequences { lengths: lengths.into(), padded, words: words.into() } })
    }

    /// The place of each token in its sequence, counted from `first`.
    pub fn places(&self, first: usize) -> Vec<u32> {
        self.sequences.lengths.iter().flat_map(|length| first as u32..(first + length) as u32).collect()
    }
}
