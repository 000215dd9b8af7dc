//! Rows of items that are more than one vector each: the words of a text, and the tokens of both texts of a pair.

/// Vectors of words that lie one behind the other, item by item.
pub(super) fn rows_of_words<'a>(mut values: &'a [f32], words: &[usize], width: usize) -> Vec<&'a [f32]> {
    let cut = |count: &usize| {
        let (own, rest) = values.split_at((count * width).min(values.len()));
        values = rest;
        own
    };
    words.iter().map(cut).collect()
}

/// The tokens `(2 B, N, width)` of both texts of each item, one behind the other; each ends with 1 where its text begins, and with 0 elsewhere.
pub(super) fn rows_of_pairs(values: &[f32], lengths: &[usize], width: usize) -> Vec<Vec<f32>> {
    let padded = values.len() / lengths.len().max(1);
    let texts: Vec<(&[f32], &usize)> = values.chunks_exact(padded.max(1)).zip(lengths).collect();
    let of_pair = |pair: &[(&[f32], &usize)]| {
        let mut row = Vec::with_capacity(pair.iter().map(|(_, length)| **length * (width + 1)).sum());
        for (text, length) in pair {
            for (at, token) in text.chunks_exact(width).take(**length).enumerate() {
                row.extend_from_slice(token);
                row.push(f32::from(u8::from(at == 0)));
            }
        }
        row
    };
    texts.chunks_exact(2).map(of_pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_texts_of_a_pair_lie_in_one_row_with_marks_where_they_begin() {
        // Two texts of two tokens and one, padded to two, each token of two numbers.
        let rows = rows_of_pairs(&[1., 2., 3., 4., 5., 6., 0., 0.], &[2, 1], 2);
        assert_eq!(rows, [[1., 2., 1., 3., 4., 0., 5., 6., 1.]]);
        assert!(rows_of_pairs(&[], &[], 2).is_empty());
    }

    #[test]
    fn words_are_cut_by_their_number() {
        assert_eq!(rows_of_words(&[1., 2., 3.], &[1, 2], 1), [&[1.][..], &[2., 3.]]);
    }
}
