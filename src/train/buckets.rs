//! Batches of items that are about equally long: what is shorter than the longest of its batch is padded, or leaves a core idle.

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

/// Batches among which items are put in order of their length: enough to fill batches evenly, few enough to mix an epoch well (fairseq and
/// transformers have 50, too).
const WINDOW: usize = 50;
/// Tells these random numbers from those that shuffle.
const SEED: u64 = 0x6275_636b_6574;

/// An epoch of items in an order of chance, in batches of `size`: windows of it are ordered by length, and the whole batches that come of
/// it stand in an order of chance again. The last batch, which may be a small one, stays the last. The same seed, epoch and order give
/// the same batches.
pub fn bucketed<T>(items: Vec<T>, size: usize, length: impl Fn(&T) -> usize, (seed, epoch): (u64, u32)) -> Vec<T> {
    let size = size.max(1);
    let mut items = items;
    // Stable: equally long ones stay in the order that chance gave them.
    items.chunks_mut(size * WINDOW).for_each(|window| window.sort_by_key(|item| std::cmp::Reverse(length(item))));
    let whole = items.len() / size;
    let mut batches: Vec<Vec<T>> = Vec::with_capacity(whole + 1);
    let mut rest = items.into_iter();
    loop {
        let batch: Vec<T> = rest.by_ref().take(size).collect();
        if batch.is_empty() {
            break;
        }
        batches.push(batch);
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ SEED ^ (u64::from(epoch) << 32));
    batches[..whole].shuffle(&mut random);
    batches.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items 0.. whose lengths go up and down.
    fn items(count: usize) -> Vec<(usize, usize)> {
        (0..count).map(|at| (at, 1 + at * 37 % 101)).collect()
    }

    fn padding(items: &[(usize, usize)], size: usize) -> usize {
        items.chunks(size).map(|batch| batch.iter().map(|item| item.1).max().unwrap() * batch.len()).sum()
    }

    #[test]
    fn batches_are_even_and_nothing_is_lost() {
        let given = items(1_000);
        let made = bucketed(given.clone(), 16, |item| item.1, (7, 1));
        let mut back = made.clone();
        back.sort_unstable();
        assert_eq!(back, given);
        let tokens: usize = given.iter().map(|item| item.1).sum();
        assert!(padding(&given, 16) > tokens * 3 / 2, "{} {tokens}", padding(&given, 16));
        assert!(padding(&made, 16) < tokens * 11 / 10, "{} {tokens}", padding(&made, 16));
        let longest: Vec<usize> = made.chunks(16).map(|batch| batch[0].1).collect();
        assert!(!longest.is_sorted() && !longest.is_sorted_by(|a, b| a >= b), "batches come in an order of chance: {longest:?}");
    }

    #[test]
    fn chance_follows_from_seed_and_epoch_alone() {
        let of = |seed, epoch| bucketed(items(200), 8, |item| item.1, (seed, epoch));
        assert_eq!(of(1, 1), of(1, 1));
        assert!(of(1, 1) != of(1, 2) && of(1, 1) != of(2, 1));
    }

    #[test]
    fn a_small_batch_stays_last() {
        for (count, size) in [(10, 4), (3, 8), (0, 8), (1, 1), (811, 16)] {
            let made = bucketed(items(count), size, |item| item.1, (3, 3));
            assert_eq!(made.len(), count);
            // Whole batches are cut of descending windows.
            assert!(made.chunks(size).all(|batch| batch.is_sorted_by(|a, b| a.1 >= b.1)), "{count} by {size}");
        }
    }
}
