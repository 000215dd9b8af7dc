//! Randomness of the training: which words are dropped, how wide a window is, which wrong answers are drawn. All of it follows from
//! the seed, the epoch and the batch, so that one thread makes the same vectors each time, whether the run was ended in between or not.

/// So that the order of an epoch has nothing to do with what its batches draw.
const ORDER: u64 = 0x6f72_6465_7200_0000;

/// A generator of 64 bits (SplitMix64, Steele et al. 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn of(seed: u64, epoch: usize, batch: usize) -> Random {
        let mut random = Random(seed ^ (epoch as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mixed = random.next() ^ batch as u64;
        let mut random = Random(mixed);
        random.next();
        random
    }

    #[inline(always)]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below `bound`.
    #[inline(always)]
    pub fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }
}

/// The order in which an epoch takes its batches: another in each epoch. Corpora seldom stand in a random order (dictionaries go by the
/// alphabet, collections by their sources), and what comes last, at the smallest rates, would otherwise be the same in every epoch.
pub fn order(seed: u64, epoch: usize, batches: usize) -> Vec<u32> {
    let mut random = Random::of(seed ^ ORDER, epoch, 0);
    let mut order: Vec<u32> = (0..batches as u32).collect();
    for last in (1..batches).rev() {
        order.swap(last, random.below(last as u32 + 1) as usize);
    }
    order
}

/// Draws numbers by their weights in constant time (the alias method, Walker 1977).
#[derive(Debug, Clone)]
pub struct Alias {
    /// Of each place: below which 32 random bits it is itself, and who is drawn otherwise.
    places: Vec<(u32, u32)>,
}

impl Alias {
    /// Of weights that are not negative and not all zero.
    pub fn of(weights: &[f64]) -> Alias {
        let sum: f64 = weights.iter().sum();
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight / sum * weights.len() as f64).collect();
        let mut places: Vec<(u32, u32)> = (0..weights.len() as u32).map(|index| (u32::MAX, index)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..shares.len()).partition(|index| shares[*index] < 1.0);
        while let (Some(low), Some(&high)) = (small.pop(), large.last()) {
            places[low] = ((shares[low] * f64::from(u32::MAX)) as u32, high as u32);
            shares[high] -= 1.0 - shares[low];
            if shares[high] < 1.0 {
                large.pop();
                small.push(high);
            }
        }
        Alias { places }
    }

    #[inline(always)]
    pub fn draw(&self, random: &mut Random) -> u32 {
        let bits = random.next();
        let place = (((bits >> 32) * self.places.len() as u64) >> 32) as usize;
        let (threshold, other) = self.places[place];
        if (bits as u32) < threshold { place as u32 } else { other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_weights() {
        let weights = [5.0, 1.0, 0.0, 3.0, 1.0];
        let alias = Alias::of(&weights);
        let mut random = Random::of(7, 0, 0);
        let mut drawn = [0usize; 5];
        let draws = 200_000;
        (0..draws).for_each(|_| drawn[alias.draw(&mut random) as usize] += 1);
        for (drawn, weight) in drawn.iter().zip(weights) {
            let share = weight / 10.0;
            let deviation = (share * (1.0 - share) / f64::from(draws)).sqrt();
            assert!((*drawn as f64 / f64::from(draws) - share).abs() <= 5.0 * deviation, "{drawn} of {draws}, {share} expected");
        }
    }

    #[test]
    fn an_epoch_takes_each_batch_once_in_an_order_of_its_own() {
        let first = order(1, 0, 500);
        assert_eq!(first, order(1, 0, 500));
        assert!(first != order(1, 1, 500) && first != order(2, 0, 500));
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert!(sorted != first && sorted.into_iter().eq(0..500));
        assert!(order(1, 0, 0).is_empty());
    }

    #[test]
    fn a_batch_has_its_own_randomness() {
        let first = |epoch, batch| Random::of(1, epoch, batch).next();
        assert_eq!(first(0, 0), first(0, 0));
        assert_ne!(first(0, 1), first(1, 0));
        assert_ne!(first(0, 1), first(0, 0));
        let mut random = Random::of(1, 0, 0);
        assert!((0..1000).all(|_| random.below(5) < 5));
    }
}
