//! Products of bf16 numbers against f32 products of the same numbers rounded beforehand: only sums may differ.

use candle_core::{Device, Tensor, Var};
use half::bf16 as half;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::backend::{Arithmetic, Choice};
use super::bf16::{self, Bf16Linear};
use super::conv;
use super::conv::geometry::Geometry;
use super::proof::cpu_has_bf16;
use super::reference_tests::{close, random, values};
use super::tape::Node;
use super::{Activation, AttentionBlock, MlpBlock, Padding, Spec, portable};
use crate::domain::recipe::Precision::{self, Bf16, F32};

fn floats(seed: u64, stream: u64, shape: &[usize]) -> Vec<f32> {
    values(&random(seed, stream, shape)).into_iter().map(|value| value as f32).collect()
}

fn rounded(values: &[f32]) -> Vec<f32> {
    values.iter().map(|&value| half::from_f32(value).to_f32()).collect()
}

fn by_library(precision: Precision) -> Arithmetic {
    Arithmetic::new(Choice::OneDnn, precision)
}

/// Output and both gradients for these factors.
fn all(precision: Precision, g: &Geometry, x: &[f32], weight: &[f32], dy: &[f32]) -> [Vec<f32>; 3] {
    let arithmetic = by_library(precision);
    let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
    conv::forward(arithmetic, x, weight, g, &|_, _| {}, &mut y).unwrap();
    conv::input_gradient(arithmetic, &mut dy.to_vec(), &|_, _| {}, weight, g, &mut dx).unwrap();
    [y, dx, conv::weight_gradient(arithmetic, x, dy, g)]
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
        if !can_multiply_bf16() {
            return Ok(());
        }
        let shape = [batch, height, width, input * groups];
        let weight_shape = [output * groups, input, kernel, kernel];
        let g = Geometry::of(&shape, &weight_shape, &Spec { stride, padding: Padding::Same, groups, ..Spec::POINTWISE }).unwrap();
        let (x, weight) = (floats(seed, 0, &shape), floats(seed, 1, &weight_shape));
        let dy = floats(seed, 2, &g.output_shape());
        let run = |precision, [x, weight, dy]: [&[f32]; 3]| all(precision, &g, x, weight, dy);
        let ours = run(Bf16, [&x, &weight, &dy]);
        let same = match by_library(Bf16).precision_for(&g) {
            F32 => run(F32, [&x, &weight, &dy]),
            Bf16 => run(F32, [&rounded(&x), &rounded(&weight), &rounded(&dy)]),
        };
        for (what, (ours, same)) in ["output", "input gradient", "weight gradient"].iter().zip(ours.iter().zip(&same)) {
            let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&value| f64::from(value)).collect() };
            close(&wide(ours), &wide(same), 1e-5).map_err(|error| TestCaseError::fail(format!("{what}: {error}")))?;
        }
    }
}

/// Whether there is something to try; tells what is missing.
fn can_multiply_bf16() -> bool {
    let ready = cpu_has_bf16(Choice::OneDnn);
    if let Err(reason) = &ready {
        println!("not tried: {reason}");
    }
    ready.is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn linear_layers_over_tokens_only_round_their_factors(
        (images, tokens) in (1..5usize, 1..20usize),
        (inputs, outputs) in (8..60usize, 8..60usize),
        seed: u64,
    ) {
        if !can_multiply_bf16() {
            return Ok(());
        }
        let rows = images * tokens;
        let (x, weight) = (floats(seed, 0, &[rows, inputs]), floats(seed, 1, &[outputs, inputs]));
        let (dy, bias) = (floats(seed, 2, &[rows, outputs]), floats(seed, 3, &[outputs]));
        let layer = Bf16Linear::new(by_library(Bf16), [images, tokens], inputs, outputs).unwrap();
        let (mut y, mut dx) = (vec![0.0; rows * outputs], vec![0.0; rows * inputs]);
        layer.forward(&x, &weight, |row, y| bf16::add_both(y, &bias, &dy[row * outputs..][..outputs]), &mut y).unwrap();
        layer.input_gradient(&mut dy.clone(), &weight, &mut dx).unwrap();
        let dweight = layer.weight_gradient(&x, &dy);
        // The formula over factors rounded beforehand, in f64.
        let wide = |values: &[f32]| -> Vec<f64> { rounded(values).iter().map(|&value| f64::from(value)).collect() };
        let (x, weight, gradient) = (wide(&x), wide(&weight), wide(&dy));
        let sum = |count: usize, term: &dyn Fn(usize) -> f64| (0..count).map(term).sum::<f64>();
        let each = |rows: usize, columns: usize, value: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            (0..rows * columns).map(|index| value(index / columns, index % columns)).collect()
        };
        let wanted = each(rows, outputs, &|row, output| {
            let product = sum(inputs, &|input| x[row * inputs + input] * weight[output * inputs + input]);
            product + f64::from(bias[output]) + f64::from(dy[row * outputs + output])
        });
        let wanted_dx = each(rows, inputs, &|row, input| sum(outputs, &|output| gradient[row * outputs + output] * weight[output * inputs + input]));
        let wanted_dweight = each(outputs, inputs, &|output, input| sum(rows, &|row| gradient[row * outputs + output] * x[row * inputs + input]));
        for (what, ours, wanted) in [("output", &y, wanted), ("input gradient", &dx, wanted_dx), ("weight gradient", &dweight, wanted_dweight)] {
            let ours: Vec<f64> = ours.iter().map(|&value| f64::from(value)).collect();
            close(&ours, &wanted, 1e-5).map_err(|error| TestCaseError::fail(format!("{what}: {error}")))?;
        }
    }
}

/// Result and gradients, first of x, then of the parameters.
fn half_of_a_block(precision: Precision, shapes: &[&[usize]], layer: impl Fn(&Node, &[Var]) -> Node) -> Vec<Vec<f64>> {
    // Matrices that keep the size of what they multiply, as a network's do: else attention picks single tokens, and a
    // rounding may pick another.
    let drawn = |(stream, shape): (usize, &&[usize])| {
        let size = if shape.len() == 2 { (shape[1] as f64).sqrt() } else { 1.0 };
        Var::from_tensor(&(random(11, stream as u64, shape).as_tensor() / size).unwrap()).unwrap()
    };
    let vars: Vec<Var> = shapes.iter().enumerate().map(drawn).collect();
    let y = layer(&Node::enter_tokens(&vars[0], by_library(precision)).unwrap(), &vars).leave_tokens().unwrap();
    let dy = random(11, 99, y.dims());
    let gradients = (&y * dy.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
    let gradients = vars.iter().map(|var| values(gradients.get(var).expect("every parameter gets a gradient")));
    std::iter::once(values(&y)).chain(gradients).collect()
}

/// With its layers' own tests, this is that they are put together as in f32: what differs is a rounding's share, and
/// something does.
fn differs_by_a_rounding(shapes: &[&[usize]], layer: impl Fn(&Node, &[Var]) -> Node) {
    if !can_multiply_bf16() {
        return;
    }
    let run = |precision| half_of_a_block(precision, shapes, &layer);
    let length = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
    for (index, (rounded, exact)) in run(Bf16).iter().zip(run(F32)).enumerate() {
        let apart: Vec<f64> = rounded.iter().zip(&exact).map(|(a, b)| a - b).collect();
        let share = length(&apart) / length(&exact);
        assert!(share < 3e-2, "{index}: {share} apart");
        // The gradient to the last bias is a sum of what comes in, which no product touches.
        assert!(share > 1e-5 || index == shapes.len(), "{index}: nothing is rounded");
    }
    assert_eq!(run(Bf16), run(Bf16));
}

#[test]
fn halves_of_a_block_round_the_factors_of_their_linear_layers() {
    for queries in [13, 2] {
        let shapes: [&[usize]; 7] = [&[3, 13, 24], &[24], &[24], &[72, 24], &[72], &[24, 24], &[24]];
        differs_by_a_rounding(&shapes, |x, vars| {
            let (norm, qkv, projection) = ((&*vars[1], &*vars[2]), (&*vars[3], &*vars[4]), (&*vars[5], &*vars[6]));
            AttentionBlock { norm, qkv, projection, heads: 3, eps: 1e-6 }.forward(x, queries).unwrap()
        });
    }
    let shapes: [&[usize]; 7] = [&[3, 13, 24], &[24], &[24], &[50, 24], &[50], &[24, 50], &[24]];
    differs_by_a_rounding(&shapes, |x, vars| {
        let (norm, expand, contract) = ((&*vars[1], &*vars[2]), (&*vars[3], &*vars[4]), (&*vars[5], &*vars[6]));
        MlpBlock { norm, expand, contract, activation: Activation::Gelu, eps: 1e-6 }.forward(x).unwrap()
    });
}

/// What an op makes of these factors on the road of other devices, and its gradients.
fn composed(precision: Precision, factors: &[Var], dy: &Tensor, layer: impl Fn(&[Var], Precision) -> Tensor) -> Vec<Vec<f64>> {
    let y = layer(factors, precision);
    let gradients = (&y * dy).unwrap().sum_all().unwrap().backward().unwrap();
    let gradients = factors.iter().map(|var| values(gradients.get(var).unwrap()));
    std::iter::once(values(&y)).chain(gradients).collect()
}

#[test]
fn other_devices_round_the_factors_of_convolutions_too() {
    let (round, mut cases) = (
        |values: &Tensor| {
            Tensor::from_vec(rounded(&values.flatten_all().unwrap().to_vec1().unwrap()), values.shape(), &Device::Cpu).unwrap()
        },
        0,
    );
    for (input, output, groups, kernel, stride) in [(8, 9, 1, 3, 1), (12, 8, 2, 3, 2), (16, 24, 1, 1, 1), (3, 16, 1, 3, 2), (8, 8, 8, 3, 1)]
    {
        let spec = Spec { stride, padding: Padding::Symmetric(kernel / 2), groups, ..Spec::POINTWISE };
        let inputs = if groups == 8 { 8 } else { input * groups };
        let weight = [output * if groups == 2 { 2 } else { 1 }, inputs / groups, kernel, kernel];
        let factors = [random(5, 0, &[2, 7, 6, inputs]), random(5, 1, &weight)];
        let conv = |factors: &[Var], precision| portable::conv2d(&factors[0], &factors[1], &spec, precision).unwrap();
        let dy = random(5, 2, conv(&factors, F32).dims());
        let same = factors.each_ref().map(|var| Var::from_tensor(&round(var)).unwrap());
        let exact = composed(F32, &factors, &dy, conv);
        let ours = composed(Bf16, &factors, &dy, conv);
        match (inputs / groups).min(weight[0] / groups) < 8 {
            true => assert_eq!(ours, exact),
            false => {
                assert_eq!(ours, composed(F32, &same, &round(&dy), conv));
                assert_ne!(ours, exact);
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 3);
}

#[test]
fn other_devices_round_the_factors_of_a_blocks_linear_layers_as_a_cpu_does() {
    if !can_multiply_bf16() {
        return;
    }
    let shapes: [&[usize]; 7] = [&[3, 13, 24], &[24], &[24], &[72, 24], &[72], &[24, 24], &[24]];
    let vars: Vec<Var> = shapes
        .iter()
        .enumerate()
        .map(|(stream, shape)| {
            let size = if shape.len() == 2 { (shape[1] as f64).sqrt() } else { 1.0 };
            Var::from_tensor(&(random(11, stream as u64, shape).as_tensor() / size).unwrap()).unwrap()
        })
        .collect();
    fn attention(vars: &[Var]) -> AttentionBlock<'_> {
        let (norm, qkv, projection) = ((&*vars[1], &*vars[2]), (&*vars[3], &*vars[4]), (&*vars[5], &*vars[6]));
        AttentionBlock { norm, qkv, projection, heads: 3, eps: 1e-6 }
    }
    let block = |vars: &[Var], precision| portable::attention_block(&vars[0], &attention(vars), 13, precision).unwrap();
    let dy = random(11, 99, &[3, 13, 24]);
    let run = |precision| composed(precision, &vars, &dy, block);
    let cpu = half_of_a_block(Bf16, &shapes, |x, vars| attention(vars).forward(x, 13).unwrap());
    let length = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
    let apart = |a: &[f64], b: &[f64]| length(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>()) / length(b);
    for (index, ((ours, cpu), exact)) in run(Bf16).iter().zip(&cpu).zip(run(F32)).enumerate() {
        // A sum in another order may round the other way where it becomes a factor again, which is rare.
        assert!(apart(ours, cpu) < 0.5 * apart(cpu, &exact) + 1e-6, "{index}: {} and {}", apart(ours, cpu), apart(cpu, &exact));
    }
}
