//! Rotary positions (Su et al. 2021): pairs of a query's or key's numbers are turned by an angle that grows with the place in the
//! sequence, so that scores depend on distances. The pairs are those of GPT-NeoX and of Hugging Face: number `i` of the first half
//! with number `i` of the second.

use std::sync::Arc;

use crate::nn::kernels::simd::vectorised;

/// Sines and cosines for each place and pair.
#[derive(Debug, Clone)]
pub(crate) struct Rotary {
    /// `(places, pairs)` each.
    sines: Arc<[f32]>,
    cosines: Arc<[f32]>,
    pairs: usize,
}

impl Rotary {
    /// For so many places of heads with `depth` numbers: pair `i` turns by `place * base ^ (-2 i / depth)`.
    pub fn new(places: usize, depth: usize, base: f64) -> Rotary {
        let pairs = depth / 2;
        let angle = |at: usize| {
            let (place, pair) = (at / pairs, at % pairs);
            // In single precision, as the reference does.
            let frequency = (1.0 / base.powf(2.0 * pair as f64 / depth as f64)) as f32;
            place as f32 * frequency
        };
        let table = |of: fn(f32) -> f32| (0..places * pairs).map(|at| of(angle(at))).collect();
        Rotary { sines: table(libm::sinf), cosines: table(libm::cosf), pairs }
    }

    /// Turns the queries and keys of one sequence, `qkv (tokens, 3 * width)`; or back.
    pub fn turn(&self, qkv: &mut [f32], width: usize, back: bool) {
        let (pairs, sign) = (self.pairs, if back { -1.0 } else { 1.0 });
        vectorised!({
            for (place, row) in qkv.chunks_exact_mut(3 * width).enumerate() {
                let (sines, cosines) = (&self.sines[place * pairs..][..pairs], &self.cosines[place * pairs..][..pairs]);
                for head in row[..2 * width].chunks_exact_mut(2 * pairs) {
                    let (first, second) = head.split_at_mut(pairs);
                    for (((a, b), sine), cosine) in first.iter_mut().zip(second).zip(sines).zip(cosines) {
                        let sine = sine * sign;
                        (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
                    }
                }
            }
        });
    }

    /// As many places as it knows.
    pub fn places(&self) -> usize {
        self.sines.len() / self.pairs.max(1)
    }
}
