//! The few loops over numbers, compiled for each instruction set and chosen at run time.

use pulp::{Arch, Simd, WithSimd};

/// Runs `body` with the widest vectors this CPU has.
#[inline(always)]
pub fn dispatch<W: WithSimd>(body: W) -> W::Output {
    Arch::new().dispatch(body)
}

/// The inner product of two runs of equally many numbers.
#[inline(always)]
pub fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    let zero = simd.splat_f32s(0.0);
    let mut sums = [zero; 4];
    let (a_four, a_one) = a.as_chunks::<4>();
    let (b_four, b_one) = b.as_chunks::<4>();
    for (a, b) in a_four.iter().zip(b_four) {
        for lane in 0..4 {
            sums[lane] = simd.mul_add_e_f32s(a[lane], b[lane], sums[lane]);
        }
    }
    for (a, b) in a_one.iter().zip(b_one) {
        sums[0] = simd.mul_add_e_f32s(*a, *b, sums[0]);
    }
    let sum = simd.add_f32s(simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    simd.reduce_sum_f32s(sum) + rest
}

/// `y += scale * x`
#[inline(always)]
pub fn add_scaled<S: Simd>(simd: S, scale: f32, x: &[f32], y: &mut [f32]) {
    let ((x, x_rest), (y, y_rest)) = (S::as_simd_f32s(x), S::as_mut_simd_f32s(y));
    let factor = simd.splat_f32s(scale);
    for (x, y) in x.iter().zip(y) {
        *y = simd.mul_add_e_f32s(factor, *x, *y);
    }
    for (x, y) in x_rest.iter().zip(y_rest) {
        *y += scale * x;
    }
}
