//! Sequences of tokens that were kept one behind the other, as a network takes them.

use candle_core::{Device, Tensor};

use super::error::Result;

/// Tokens of texts, `width` numbers each, the last of which is not 0 where a text begins: without it, and where the texts end.
pub fn apart(rows: &[f32], width: usize) -> (Vec<f32>, Vec<usize>) {
    let (mut values, mut ends) = (Vec::with_capacity(rows.len()), Vec::new());
    for token in rows.chunks_exact(width) {
        let (token, mark) = token.split_at(width - 1);
        if mark != [0.0] && !values.is_empty() {
            ends.push(values.len());
        }
        values.extend_from_slice(token);
    }
    if !values.is_empty() {
        ends.push(values.len());
    }
    (values, ends)
}

/// Sequences that lie one behind the other, each to its end, as `(B, N, width)` with zeros behind the ends.
pub fn padded(values: &[f32], ends: &[usize], width: usize) -> Result<Tensor> {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let rows: Vec<&[f32]> = starts.zip(ends).map(|(start, end)| &values[start..*end]).collect();
    let longest = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let mut padded = vec![0f32; rows.len() * longest];
    padded.chunks_exact_mut(longest.max(1)).zip(&rows).for_each(|(to, row)| to[..row.len()].copy_from_slice(row));
    Ok(Tensor::from_vec(padded, (rows.len(), longest / width.max(1), width), &Device::Cpu)?)
}
