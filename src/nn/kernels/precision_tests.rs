//! Products of bf16 numbers against f32 products of the same numbers rounded beforehand: only sums may differ.

use half::bf16;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::backend::{self, Choice};
use super::conv;
use super::geometry::Geometry;
use super::reference_tests::{close, random, values};
use super::{Padding, Spec};
use crate::domain::recipe::Precision::{self, Bf16, F32};

fn floats(seed: u64, stream: u64, shape: &[usize]) -> Vec<f32> {
    values(&random(seed, stream, shape)).into_iter().map(|value| value as f32).collect()
}

fn rounded(values: &[f32]) -> Vec<f32> {
    values.iter().map(|&value| bf16::from_f32(value).to_f32()).collect()
}

/// Output and both gradients for these factors.
fn all(precision: Precision, g: &Geometry, x: &[f32], weight: &[f32], dy: &[f32]) -> [Vec<f32>; 3] {
    let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
    conv::forward(precision, x, weight, g, &|_, _| {}, &mut y).unwrap();
    conv::input_gradient(precision, &mut dy.to_vec(), &|_, _| {}, weight, g, &mut dx).unwrap();
    [y, dx, conv::weight_gradient(precision, x, dy, g)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn bf16_only_rounds_the_factors(
        (batch, height, width) in (1..5usize, 1..12usize, 1..12usize),
        (input, output, groups) in (1..40usize, 1..40usize, 1..3usize),
        (kernel, stride) in (1..4usize, 1..3usize),
        seed: u64,
    ) {
        if let Err(reason) = backend::with(Choice::OneDnn, backend::has_bf16) {
            println!("not tried: {reason}");
            return Ok(());
        }
        let shape = [batch, height, width, input * groups];
        let weight_shape = [output * groups, input, kernel, kernel];
        let g = Geometry::of(&shape, &weight_shape, &Spec { stride, padding: Padding::Same, groups }).unwrap();
        let (x, weight) = (floats(seed, 0, &shape), floats(seed, 1, &weight_shape));
        let dy = floats(seed, 2, &g.output_shape());
        let run = |precision, [x, weight, dy]: [&[f32]; 3]| backend::with(Choice::OneDnn, || all(precision, &g, x, weight, dy));
        let ours = run(Bf16, [&x, &weight, &dy]);
        let same = match backend::usable(Bf16, &g) {
            F32 => run(F32, [&x, &weight, &dy]),
            Bf16 => run(F32, [&rounded(&x), &rounded(&weight), &rounded(&dy)]),
        };
        for (what, (ours, same)) in ["output", "input gradient", "weight gradient"].iter().zip(ours.iter().zip(&same)) {
            let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&value| f64::from(value)).collect() };
            close(&wide(ours), &wide(same), 1e-5).map_err(|error| TestCaseError::fail(format!("{what}: {error}")))?;
        }
    }
}
