//! From a sequence's tokens to one vector: sentence-transformers' poolings. Or to a vector for each of its words.

use candle_core::{D, DType, Device, Tensor};

use super::sequences::Sequences;
use crate::nn::error::{Error, Result};
use crate::nn::executors::pooling::{How, TokenPool};

/// `(T, D)` to `(B, D)`, or to `(words, D)`; gradients flow back.
pub(super) fn pooled(packed: &Tensor, sequences: &Sequences, pool: TokenPool) -> Result<Tensor> {
    let starts = sequences.starts();
    let rows = |places: Vec<u32>| -> Result<Tensor> { Ok(packed.index_select(&Tensor::new(places, packed.device())?, 0)?) };
    let pooled = match pool.how {
        How::First => rows(starts)?,
        How::Last => rows(starts.iter().zip(sequences.lengths.iter()).map(|(start, length)| start + *length as u32 - 1).collect())?,
        How::Mean => shares(packed, sequences, |length| 1.0 / length as f32)?,
        How::MeanBySqrt => shares(packed, sequences, |length| 1.0 / (length as f32).sqrt())?,
        How::Words if sequences.words.is_empty() => {
            return Err(Error::Invalid("nothing tells where words begin in these tokens, and each word is to be answered about".into()));
        }
        How::Words => rows(sequences.words.to_vec())?,
        How::Max => {
            let each = starts.iter().zip(sequences.lengths.iter());
            let largest = each.map(|(start, length)| Ok(packed.narrow(0, *start as usize, *length)?.max_keepdim(0)?));
            Tensor::cat(&largest.collect::<Result<Vec<_>>>()?, 0)?
        }
    };
    if pool.normalised { normalised(&pooled) } else { Ok(pooled) }
}

/// Each sequence's tokens times its share, summed: a product with a matrix that knows which token is whose.
fn shares(packed: &Tensor, sequences: &Sequences, share: impl Fn(usize) -> f32) -> Result<Tensor> {
    let (count, total) = (sequences.lengths.len(), sequences.total());
    let mut matrix = vec![0.0; count * total];
    let mut from = 0;
    for (at, &length) in sequences.lengths.iter().enumerate() {
        matrix[at * total + from..][..length].fill(share(length));
        from += length;
    }
    Ok(Tensor::from_vec(matrix, (count, total), &Device::Cpu)?.to_device(packed.device())?.to_dtype(DType::F32)?.matmul(packed)?)
}

/// Each row at length one; a row of zeros stays.
fn normalised(rows: &Tensor) -> Result<Tensor> {
    // torch's least length, squared.
    let lengths = (rows.sqr()?.sum_keepdim(D::Minus1)? + 1e-24)?.sqrt()?;
    Ok(rows.broadcast_div(&lengths)?)
}
