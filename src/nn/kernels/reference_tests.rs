//! The kernels against plain loops in f64, over random shapes: values, gradients, and the portable twins.

use candle_core::{Device, Tensor, Var};
use proptest::prelude::*;

use super::backend::{Arithmetic, Backend, Choice};
use super::conv;
use super::conv::geometry::Geometry;
use super::memory::read;
use super::naive_tests::{F32, on_tape};
use super::ops::Road;
use super::tape::{Node, joins, layers};
use super::{Activation, BatchStatistics, Folded, MaxPool, Norm, Padding, Spec, Threads, Window, portable};
use crate::domain::recipe::Precision;
use crate::nn::random::Draw;

/// A convolution to try.
#[derive(Debug, Clone)]
struct Case {
    shape: [usize; 4],
    weight: [usize; 4],
    spec: Spec,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let image = (1..4usize, 1..14usize, 1..14usize);
    let kernel = (1..6usize, 1..6usize, 1..4usize, prop_oneof![Just(None), (0..4usize).prop_map(Some)]);
    let channels = prop_oneof![
        // Dense, grouped, depthwise (over and under the width of a vector).
        (1..9usize, 1..9usize).prop_map(|(input, output)| (input, output, 1)),
        (1..4usize, 1..4usize, 2..4usize).prop_map(|(input, output, groups)| (input * groups, output * groups, groups)),
        (2..75usize).prop_map(|channels| (channels, channels, channels)),
    ];
    (image, kernel, channels, any::<u64>()).prop_map(|((b, h, w), (kh, kw, stride, padding), (input, output, groups), seed)| {
        let kernel = [kh.min(h + 2 * padding.unwrap_or(9)), kw.min(w + 2 * padding.unwrap_or(9))];
        let padding = padding.map_or(Padding::Same, Padding::Symmetric);
        Case {
            shape: [b, h, w, input],
            weight: [output, input / groups, kernel[0], kernel[1]],
            spec: Spec { stride, padding, groups, ..Spec::POINTWISE },
            seed,
        }
    })
}

const BACKENDS: [Choice; 2] = [Choice::OneDnn, Choice::Rust];

#[test]
#[allow(clippy::print_stderr)] // Whoever reads the tests' output should know that a backend was not tested.
fn the_backend_in_use_says_its_name_or_why_it_is_not_onednn() {
    assert_eq!(Choice::Rust.backend().to_string(), "Rust");
    match Choice::Auto.backend() {
        used @ Backend::OneDnn { version } => {
            assert!([2, 3].contains(&version.0));
            println!("convolutions by {used}");
        }
        Backend::Rust { because } => eprintln!("ONEDNN WAS NOT TESTED, both backends were our own: {}", because.unwrap()),
    }
}

pub(super) fn random(seed: u64, stream: u64, shape: &[usize]) -> Var {
    let mut draw = Draw::new(seed, stream);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| draw.normal() as f32).collect();
    Var::from_vec(values, shape, &Device::Cpu).unwrap()
}

pub(super) fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect()
}

/// The convolution on slices, by that backend.
fn convolve(choice: Choice, x: &Tensor, weight: &Tensor, g: &Geometry) -> Vec<f32> {
    let mut y = vec![f32::NAN; g.output_shape().iter().product()];
    conv::forward(Arithmetic::new(choice, Precision::F32), &read(x).unwrap(), &read(weight).unwrap(), g, &|_, _| {}, &mut y).unwrap();
    y
}

/// The batch norm of a layer on the tape, behind a convolution that changes nothing.
pub(super) fn normalise(x: &Node, norm: &Norm<'_>, residual: Option<&Node>) -> candle_core::Result<(Node, BatchStatistics)> {
    let channels = x.shape[3];
    let ones = Tensor::ones((channels, 1, 1, 1), candle_core::DType::F32, &Device::Cpu)?;
    let (y, batch) = layers::conv_norm(x, &ones, &Spec { groups: channels, ..Spec::POINTWISE }, norm, residual, None)?;
    batch.map(|batch| (y, batch)).ok_or_else(|| candle_core::Error::Msg("a norm that learns has statistics".into()))
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// The largest difference is small beside the largest value.
pub(super) fn close(ours: &[f64], theirs: &[f64], tolerance: f64) -> Result<(), TestCaseError> {
    prop_assert_eq!(ours.len(), theirs.len());
    let scale = theirs.iter().fold(1e-3f64, |largest, value| largest.max(value.abs()));
    for (index, (a, b)) in ours.iter().zip(theirs).enumerate() {
        prop_assert!((a - b).abs() <= tolerance * scale, "at {index}: {a} and {b}, scale {scale}");
    }
    Ok(())
}

/// A batch norm with known statistics as inference has it: folded behind a convolution that changes nothing.
fn folded(x: &Tensor, norm: &Norm<'_>, [mean, variance]: [&Tensor; 2], residual: Option<&Tensor>) -> Vec<f64> {
    let [gamma, beta, mean, variance] = [norm.gamma, norm.beta, mean, variance].map(values);
    let scale: Vec<f32> = gamma.iter().zip(&variance).map(|(gamma, variance)| (gamma / (variance + norm.eps).sqrt()) as f32).collect();
    let shift = beta.iter().zip(&mean).zip(&scale).map(|((beta, mean), &scale)| (beta - mean * f64::from(scale)) as f32);
    let (shift, ones) = (shift.collect::<Vec<_>>(), vec![1.0; gamma.len()]);
    let g = Geometry::of(x.dims(), &[ones.len(), 1, 1, 1], &Spec { groups: ones.len(), ..Spec::POINTWISE }).unwrap();
    let layer = Folded::new(&ones, &g, (&scale, &shift), norm.activation, Threads::All, Choice::Auto).unwrap();
    let mut y = vec![f32::NAN; x.elem_count()];
    let residual = residual.map(|residual| read(residual).unwrap());
    layer.forward(&read(x).unwrap(), residual.as_deref(), &mut y).unwrap();
    wide(&y)
}

/// `activation(x * scale + shift + residual)` over channels last.
fn affine(x: &Tensor, scale: &Tensor, shift: &Tensor, residual: Option<&Tensor>, activation: Activation) -> candle_core::Result<Tensor> {
    let y = x.broadcast_mul(scale)?.broadcast_add(shift)?;
    let y = match residual {
        Some(residual) => (y + residual)?,
        None => y,
    };
    portable::activate(&y, activation)
}

/// Calls `with(output, input, weight)` for every product of a convolution.
fn products(g: &Geometry, mut with: impl FnMut(usize, usize, usize)) {
    let (inputs, outputs) = (g.in_c / g.groups, g.out_c / g.groups);
    for (b, y, x, o) in quads([g.batch, g.out_h, g.out_w, g.out_c]) {
        for (ky, kx, i, _) in quads([g.kernel_h, g.kernel_w, inputs, 1]) {
            let iy = (y * g.stride + ky) as isize - g.pad_top;
            let ix = (x * g.stride + kx) as isize - g.pad_left;
            if iy < 0 || ix < 0 || iy >= g.in_h as isize || ix >= g.in_w as isize {
                continue;
            }
            let channel = o / outputs * inputs + i;
            let input = ((b * g.in_h + iy as usize) * g.in_w + ix as usize) * g.in_c + channel;
            let weight = ((o * inputs + i) * g.kernel_h + ky) * g.kernel_w + kx;
            with(((b * g.out_h + y) * g.out_w + x) * g.out_c + o, input, weight);
        }
    }
}

fn quads([a, b, c, d]: [usize; 4]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..a * b * c * d).map(move |i| (i / (b * c * d), i / (c * d) % b, i / d % c, i % d))
}

/// Values and gradients of a convolution by every backend, and of its portable twin, against plain loops.
fn compare(case: &Case) -> Result<(), TestCaseError> {
    let g = Geometry::of(&case.shape, &case.weight, &case.spec).unwrap();
    let (x, w) = (random(case.seed, 0, &case.shape), random(case.seed, 1, &case.weight));
    let dy = random(case.seed, 2, &g.output_shape());
    let (xs, ws, dys) = (values(&x), values(&w), values(&dy));
    let (mut ys, mut dxs, mut dws) = (vec![0.0; dys.len()], vec![0.0; xs.len()], vec![0.0; ws.len()]);
    products(&g, |o, i, k| {
        ys[o] += xs[i] * ws[k];
        dxs[i] += dys[o] * ws[k];
        dws[k] += dys[o] * xs[i];
    });
    for choice in BACKENDS {
        let arithmetic = Arithmetic::new(choice, Precision::F32);
        close(&wide(&convolve(choice, &x, &w, &g)), &ys, 1e-5)?;
        let (mut gradient, mut dx) = (read(&dy).unwrap().to_vec(), vec![f32::NAN; dxs.len()]);
        conv::input_gradient(arithmetic, &mut gradient, &|_, _| {}, &read(&w).unwrap(), &g, &mut dx).unwrap();
        close(&wide(&dx), &dxs, 1e-5)?;
        close(&wide(&conv::weight_gradient(arithmetic, &read(&x).unwrap(), &gradient, &g)), &dws, 1e-5)?;
    }
    // Also in parts of an image or two, as where memory is short.
    for limit in [usize::MAX, 1, 2 * g.kernel_h * g.kernel_w * (g.out_h * g.out_w * g.in_c).max(g.in_h * g.in_w * g.out_c)] {
        let y = portable::conv2d_in_parts(&x, &w, &case.spec, Precision::F32, limit).unwrap();
        let gradients = (&y * dy.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
        close(&values(&y), &ys, 1e-5)?;
        close(&values(gradients.get(&x).unwrap()), &dxs, 1e-5)?;
        close(&values(gradients.get(&w).unwrap()), &dws, 1e-5)?;
    }
    Ok(())
}

#[test]
fn a_kernel_as_large_as_the_image_is_a_linear_layer() {
    for (shape, weight) in [([3, 7, 7, 5], [6, 5, 7, 7]), ([2, 1, 3, 4], [9, 4, 1, 3]), ([40, 2, 2, 8], [4, 8, 2, 2])] {
        let case = Case { shape, weight, spec: Spec::POINTWISE, seed: 3 };
        assert!(Geometry::of(&shape, &weight, &case.spec).unwrap().flattened().is_some_and(|flat| flat.is_pointwise()));
        compare(&case).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn convolution_and_its_gradients_are_those_of_plain_loops(case in cases()) {
        compare(&case)?;
    }

    #[test]
    fn a_folded_convolution_is_convolution_then_scale_shift_sum_and_activation(case in cases(), relu in 0..3usize, add: bool) {
        let activation = [Activation::None, Activation::Relu, Activation::Relu6][relu];
        let (x, w) = (random(case.seed, 0, &case.shape), random(case.seed, 1, &case.weight));
        let (scale, shift) = (random(case.seed, 2, &case.weight[..1]), random(case.seed, 3, &case.weight[..1]));
        let g = Geometry::of(&case.shape, &case.weight, &case.spec).unwrap();
        let plain = Tensor::from_vec(convolve(Choice::Rust, &x, &w, &g), &g.output_shape()[..], &Device::Cpu).unwrap();
        let residual = random(case.seed, 4, plain.dims());
        let residual = add.then_some(residual.as_tensor());
        let expected = affine(&plain, &scale, &shift, residual, activation).unwrap();
        let affine = (scale.to_vec1::<f32>().unwrap(), shift.to_vec1::<f32>().unwrap());
        let weight = w.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let residual = residual.map(|residual| residual.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        for (choice, threads) in BACKENDS.into_iter().flat_map(|choice| [(choice, Threads::All), (choice, Threads::One)]) {
            let mut y = vec![f32::NAN; plain.elem_count()];
            let layer = Folded::new(&weight, &g, (&affine.0, &affine.1), activation, threads, choice).unwrap();
            layer.forward(&read(&x).unwrap(), residual.as_deref(), &mut y).unwrap();
            close(&wide(&y), &values(&expected), 1e-5)?;
        }
    }

    #[test]
    fn batch_norm_and_its_gradients_are_those_of_the_formula(
        shape in (1..4usize, 1..9usize, 1..9usize, 1..40usize),
        relu in 0..3usize,
        add: bool,
        from_batch: bool,
        offset in -3..4i32,
        seed: u64,
    ) {
        let (b, h, w, c) = shape;
        prop_assume!(b * h * w > 1);
        let activation = [Activation::None, Activation::Relu, Activation::Relu6][relu];
        // Away from zero, where one pass in f32 would lose digits.
        let x = Var::from_tensor(&(random(seed, 0, &[b, h, w, c]).as_tensor() + f64::from(offset)).unwrap()).unwrap();
        let (gamma, beta) = (random(seed, 1, &[c]), random(seed, 2, &[c]));
        let residual = random(seed, 3, &[b, h, w, c]);
        let (mean, variance) = (random(seed, 4, &[c]), random(seed, 5, &[c]).sqr().unwrap());
        let norm = Norm { gamma: &gamma, beta: &beta, eps: 1e-2, activation };
        let extra = add.then_some(residual.as_tensor());
        if !from_batch {
            // Where a network answers: folded to one scale and shift, without a gradient.
            let theirs = portable::batch_norm_eval(&x, &norm, &mean, &variance, extra).unwrap();
            close(&folded(&x, &norm, [&mean, &variance], extra), &values(&theirs), 2e-5)?;
            return Ok(());
        }
        let run = |portable: bool| match portable {
            false => {
                let extra = extra.map(|extra| Node::enter(extra, F32).unwrap());
                on_tape(&x, |x| Ok(normalise(x, &norm, extra.as_ref())?.0)).unwrap()
            }
            true => portable::batch_norm_train(&x, &norm, extra).unwrap().0,
        };
        let dy = random(seed, 6, &[b, h, w, c]);
        let (ours, theirs) = (run(false), run(true));
        close(&values(&ours), &values(&theirs), 2e-5)?;
        // The clamp's own edge is where both may differ.
        let edge = values(&theirs).iter().any(|y| y.abs() < 1e-5 || (y - 6.0).abs() < 1e-5);
        prop_assume!(activation == Activation::None || !edge || relu_zeros_only(&values(&theirs), &values(&ours)));
        let backward = |y: &Tensor| (y * dy.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
        let (ours, theirs) = (backward(&ours), backward(&theirs));
        let vars = [&x, &gamma, &beta];
        for var in vars.into_iter().chain(add.then_some(&residual)) {
            close(&values(ours.get(var).unwrap()), &values(theirs.get(var).unwrap()), 2e-4)?;
        }
    }

    #[test]
    fn max_pooling_gives_the_largest_and_its_gradient_to_that_pixel(
        shape in (1..4usize, 1..12usize, 1..12usize, 1..20usize),
        kernel in 1..5usize,
        stride in 1..4usize,
        padding in 0..3usize,
        seed: u64,
    ) {
        let (b, h, w, c) = shape;
        prop_assume!(padding * 2 <= kernel && h + 2 * padding >= kernel && w + 2 * padding >= kernel);
        let x = random(seed, 0, &[b, h, w, c]);
        let y = on_tape(&x, |x| joins::max_pool(x, 1, Window::new(kernel, stride, padding))).unwrap();
        let spec = Spec { stride, padding: Padding::Symmetric(padding), groups: c, ..Spec::POINTWISE };
        let g = Geometry::of(x.dims(), &[c, 1, kernel, kernel], &spec).unwrap();
        let (xs, mut best) = (values(&x), vec![(f64::NEG_INFINITY, 0); y.elem_count()]);
        products(&g, |o, i, _| if xs[i] > best[o].0 { best[o] = (xs[i], i) });
        close(&values(&y), &best.iter().map(|best| best.0).collect::<Vec<_>>(), 0.0)?;
        close(&values(&portable::max_pool(&x, 1, Window::new(kernel, stride, padding)).unwrap()), &values(&y), 0.0)?;
        let mut largest = vec![f32::NAN; y.elem_count()];
        MaxPool::new(x.dims(), 1, Window::new(kernel, stride, padding)).unwrap().largest(&read(&x).unwrap(), Threads::One, &mut largest);
        close(&wide(&largest), &values(&y), 0.0)?;
        let dy = random(seed, 1, y.dims());
        let gradients = (&y * dy.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
        let mut dxs = vec![0.0; xs.len()];
        best.iter().zip(values(&dy)).for_each(|(best, dy)| dxs[best.1] += dy);
        close(&values(gradients.get(&x).unwrap()), &dxs, 1e-5)?;
        let twin = portable::max_pool(&x, 1, Window::new(kernel, stride, padding)).unwrap();
        let gradients = (&twin * dy.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
        close(&values(gradients.get(&x).unwrap()), &dxs, 1e-5)?;
    }

    #[test]
    fn global_average_and_its_gradient(shape in (1..4usize, 1..9usize, 1..9usize, 1..40usize), seed: u64) {
        let (b, h, w, c) = shape;
        let x = random(seed, 0, &[b, h, w, c]);
        let y = Road::Folded.global_average_pool(&x).unwrap();
        close(&values(&y), &values(&x.mean((1, 2)).unwrap()), 1e-5)?;
        let dy = random(seed, 1, &[b, c]);
        let backward = |y: &Tensor| (y * dy.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
        let theirs = backward(&x.mean((1, 2)).unwrap());
        close(&values(backward(&y).get(&x).unwrap()), &values(theirs.get(&x).unwrap()), 1e-5)?;
        let on_the_tape = layers::average(&Node::enter(&x, F32).unwrap()).unwrap();
        for twin in [on_the_tape, portable::global_average_pool(&x).unwrap()] {
            close(&values(&twin), &values(&y), 1e-5)?;
            close(&values(backward(&twin).get(&x).unwrap()), &values(theirs.get(&x).unwrap()), 1e-5)?;
        }
    }
}

/// Values held at an edge by both; candle splits no gradient there, and we give none.
fn relu_zeros_only(theirs: &[f64], ours: &[f64]) -> bool {
    theirs.iter().zip(ours).all(|(a, b)| (a.abs() >= 1e-5 && (a - 6.0).abs() >= 1e-5) || a == b)
}

/// Finite differences through convolution, norm, sum and activation together: nothing here knows the formulas.
#[test]
fn a_block_has_the_gradient_that_finite_differences_show() {
    let spec = Spec { stride: 2, padding: Padding::Same, groups: 1, ..Spec::POINTWISE };
    let vars =
        [random(1, 0, &[3, 7, 6, 5]), random(1, 1, &[6, 5, 3, 3]), random(1, 2, &[6]), random(1, 3, &[6]), random(1, 4, &[3, 4, 3, 6])];
    let coefficients = random(1, 5, &[3, 4, 3, 6]);
    // By the batch's statistics, and by those that are fixed.
    let (mean, variance) = (random(1, 6, &[6]), (random(1, 7, &[6]).sqr().unwrap() + 0.5).unwrap());
    let loss = |fixed| {
        let norm = Norm { gamma: &vars[2], beta: &vars[3], eps: 1e-3, activation: Activation::None };
        let residual = Node::enter(&vars[4], F32).unwrap();
        let fixed = if fixed { Some((mean.as_tensor(), &variance)) } else { None };
        let y = on_tape(&vars[0], |x| Ok(layers::conv_norm(x, &vars[1], &spec, &norm, Some(&residual), fixed)?.0)).unwrap();
        (y.sqr().unwrap() * coefficients.as_tensor()).unwrap().sum_all().unwrap()
    };
    for (fixed, (index, var)) in [false, true].into_iter().flat_map(|fixed| vars.iter().enumerate().map(move |var| (fixed, var))) {
        let loss = || loss(fixed);
        let gradients = loss().backward().unwrap();
        let direction = random(2, index as u64, var.dims());
        let start = Tensor::from_vec(var.flatten_all().unwrap().to_vec1::<f32>().unwrap(), var.shape(), &Device::Cpu).unwrap();
        // With fixed statistics the loss is a square in each argument, of which differences are exact, and large: a wide step has less of
        // the noise of f32.
        let step = if fixed { 0.1 } else { 1e-3 };
        let at = |factor: f64| {
            var.set(&(&start + (direction.as_tensor() * factor).unwrap()).unwrap()).unwrap();
            let y = loss().to_scalar::<f32>().unwrap();
            var.set(&start).unwrap();
            f64::from(y)
        };
        let slope = (at(step) - at(-step)) / (2.0 * step);
        let promised: f64 = values(gradients.get(var).unwrap()).iter().zip(values(&direction)).map(|(g, d)| g * d).sum();
        assert!((slope - promised).abs() < 0.02 * (1.0 + slope.abs()), "argument {index}: {slope} and {promised}");
    }
}

#[test]
fn nan_shows() {
    let x = Tensor::new(&[[[[f32::NAN]], [[1.0]]]], &Device::Cpu).unwrap();
    assert!(values(&on_tape(&x, |x| joins::max_pool(x, 1, Window::new(2, 1, 1))).unwrap()).iter().any(|value| value.is_nan()));
    let one = Tensor::new(&[1f32], &Device::Cpu).unwrap();
    let norm = Norm { gamma: &one, beta: &one, eps: 1e-5, activation: Activation::Relu6 };
    assert!(folded(&x, &norm, [&one, &one], None)[0].is_nan());
    assert!(values(&on_tape(&x, |x| Ok(normalise(x, &norm, None)?.0)).unwrap())[0].is_nan());
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let (x, w) = (random(0, 0, &[1, 4, 4, 6]), random(0, 1, &[4, 5, 3, 3]));
    let spec = Spec { stride: 1, padding: Padding::Symmetric(0), groups: 1, ..Spec::POINTWISE };
    let four = random(0, 2, &[4]);
    let norm = Norm { gamma: &four, beta: &four, eps: 1e-5, activation: Activation::None };
    let large = random(0, 1, &[4, 6, 5, 5]);
    for weight in [w, large] {
        assert!(on_tape(&x, |x| Ok(layers::conv_norm(x, &weight, &spec, &norm, None, None)?.0)).is_err());
        assert!(portable::conv2d(&x, &weight, &spec, Precision::F32).is_err());
    }
    assert!(
        on_tape(&x, |x| joins::max_pool(x, 1, Window::new(3, 0, 1))).is_err() && portable::max_pool(&x, 1, Window::new(3, 0, 1)).is_err()
    );
    let one = random(0, 2, &[6]);
    let norm = Norm { gamma: &one, beta: &one, eps: 1e-5, activation: Activation::None };
    let pixel = random(0, 3, &[1, 1, 1, 6]);
    assert!(on_tape(&pixel, |x| Ok(normalise(x, &norm, None)?.0)).is_err());
    assert!(portable::batch_norm_train(&pixel, &norm, None).is_err());
}
