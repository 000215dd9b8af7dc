//! Activations, the batch norm fused with them, squeeze-and-excite and the linear layer.

use candle_core::{Tensor, Var};
use proptest::prelude::*;

use super::activation::{self, Function};
use super::naive_tests::{F32, close, gelu, gradients, judge, linear, on_tape, random, sigmoid, values};
use super::ops::Road;
use super::reference_tests::normalise;
use super::tape::{Node, layers};
use super::{Activation, Gate, Norm, SqueezeExcite, portable};

const SMOOTH: [Activation; 3] = [Activation::HardSwish, Activation::Silu, Activation::Gelu];
const ALL: [Activation; 8] =
    [Activation::None, Activation::Relu, Activation::Relu6, SMOOTH[0], SMOOTH[1], SMOOTH[2], Activation::QuickGelu, Activation::GeluTanh];

fn activated(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Silu => x * sigmoid(x),
        Activation::Gelu => gelu(x),
        Activation::QuickGelu => x * sigmoid(1.702 * x),
        Activation::GeluTanh => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh()),
    }
}

#[test]
fn curves_are_right_to_the_last_places_and_slopes_are_their_derivatives() {
    fn try_function<F: Function>(truth: impl Fn(f64) -> f64, name: &str) {
        for step in -9_000..=9_000i32 {
            let x = f64::from(step as f32 * 1.1e-3);
            let (value, slope) = (f64::from(F::value(x as f32)), f64::from(F::slope(x as f32)));
            assert!((value - truth(x)).abs() <= 5e-7 * (1.0 + truth(x).abs()), "{name}({x}) is {value}, not {}", truth(x));
            // Across a kink there is no derivative to compare with.
            if [0.0, 3.0, -3.0, 6.0].iter().all(|kink: &f64| (x - kink).abs() > 1e-3) {
                let truth = (truth(x + 1e-5) - truth(x - 1e-5)) / 2e-5;
                assert!((slope - truth).abs() <= 2e-6, "the slope of {name} at {x} is {slope}, not {truth}");
            }
        }
    }
    try_function::<activation::Straight>(|x| activated(Activation::None, x), "none");
    try_function::<activation::Relu>(|x| activated(Activation::Relu, x), "relu");
    try_function::<activation::Relu6>(|x| activated(Activation::Relu6, x), "relu6");
    try_function::<activation::HardSwish>(|x| activated(Activation::HardSwish, x), "hard-swish");
    try_function::<activation::Silu>(|x| activated(Activation::Silu, x), "silu");
    try_function::<activation::Gelu>(|x| activated(Activation::Gelu, x), "gelu");
    try_function::<activation::QuickGelu>(|x| activated(Activation::QuickGelu, x), "quick gelu");
    try_function::<activation::GeluTanh>(|x| activated(Activation::GeluTanh, x), "gelu by tanh");
    try_function::<activation::Sigmoid>(sigmoid, "sigmoid");
    try_function::<activation::HardSigmoid>(|x| (x + 3.0).clamp(0.0, 6.0) / 6.0, "hard-sigmoid");
}

#[test]
fn exponentials_keep_their_digits_and_nan_shows() {
    for step in -8_600..=8_700i32 {
        let x = step as f32 * 0.01;
        let truth = f64::from(x).exp();
        assert!((f64::from(activation::exp(x)) / truth - 1.0).abs() < 3e-7, "e^{x}");
    }
    assert!(activation::exp(-1e9) < 1e-37 && activation::exp(1e9) > 1e38);
    for value in [
        activation::exp(f32::NAN),
        activation::Gelu::value(f32::NAN),
        activation::Silu::value(f32::NAN),
        activation::HardSwish::value(f32::NAN),
    ] {
        assert!(value.is_nan());
    }
    // Large arguments neither overflow nor lose their sign.
    assert_eq!((activation::Gelu::value(50.0), activation::Silu::value(90.0)), (50.0, 90.0));
    assert!(activation::Gelu::value(-50.0).abs() < 1e-30);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn activations_of_tensors(count in 1..400usize, which in 0..8usize, seed: u64) {
        let activation = ALL[which];
        // Kinks are where finite differences fail; the twin still judges there.
        let x = random(seed, 0, &[count]);
        let (mut y, dy) = (x.to_vec1::<f32>().unwrap(), random(seed, 1, &[count]));
        let (mut dx, before) = (dy.to_vec1::<f32>().unwrap(), y.clone());
        activation.apply(&mut y);
        activation.backward(&mut dx, &before);
        let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
        let truth: Vec<f64> = values(&x).into_iter().map(|x| activated(activation, x)).collect();
        let twin = portable::activate(&x, activation).unwrap();
        close("value", &wide(y), &truth, 1e-6)?;
        close("twin", &values(&twin), &truth, 1e-6)?;
        if activation != Activation::None {
            close("gradient", &wide(dx), &gradients(&twin, &dy, &[x])[0], 1e-5)?;
        }
    }

    #[test]
    fn batch_norm_with_any_activation(
        shape in (1..4usize, 1..6usize, 1..6usize, 1..40usize),
        which in 0..8usize,
        from_batch: bool,
        add: bool,
        seed: u64,
    ) {
        let (b, h, w, c) = shape;
        let (rows, activation) = (b * h * w, ALL[which]);
        // A variance over so few values hangs on each of them: f32 has no digits to compare there.
        prop_assume!(rows > 3 || !from_batch);
        // The tape takes no sum before an activation whose slope does not show in its output; no family has one.
        let on_the_tape = from_batch && !(add && activation.is_smooth());
        let statistics = (random(seed, 50, &[c]), random(seed, 51, &[c]).sqr().unwrap());
        let composed = |vars: &[Var]| {
            let norm = Norm { gamma: &vars[1], beta: &vars[2], eps: 1e-2, activation };
            let extra = add.then(|| vars[3].as_tensor());
            match from_batch {
                true => portable::batch_norm_train(&vars[0], &norm, extra).map(|found| found.0),
                false => portable::batch_norm_eval(&vars[0], &norm, &statistics.0, &statistics.1, extra),
            }
        };
        let ours = |vars: &[Var]| {
            if !on_the_tape {
                return composed(vars);
            }
            let norm = Norm { gamma: &vars[1], beta: &vars[2], eps: 1e-2, activation };
            let extra = add.then(|| Node::enter(&vars[3], F32)).transpose()?;
            on_tape(&vars[0], |x| Ok(normalise(x, &norm, extra.as_ref())?.0))
        };
        let naive = |inputs: &[Vec<f64>]| {
            let x = &inputs[0];
            let mean_of = |term: &dyn Fn(f64) -> f64, channel: usize| {
                (0..rows).map(|row| term(x[row * c + channel])).sum::<f64>() / rows as f64
            };
            let (mean, variance): (Vec<f64>, Vec<f64>) = match from_batch {
                false => (values(&statistics.0), values(&statistics.1)),
                true => (0..c).map(|channel| {
                    let mean = mean_of(&|x| x, channel);
                    (mean, mean_of(&|x| (x - mean) * (x - mean), channel))
                }).unzip(),
            };
            let residual = |at: usize| if add { inputs[3][at] } else { 0.0 };
            (0..rows * c).map(|at| {
                let channel = at % c;
                let normal = (x[at] - mean[channel]) / (variance[channel] + 1e-2).sqrt();
                activated(activation, normal * inputs[1][channel] + inputs[2][channel] + residual(at))
            }).collect()
        };
        let map = [b, h, w, c];
        let shapes: [&[usize]; 4] = [&map, &[c], &[c], &map];
        judge(&shapes[..if add { 4 } else { 3 }], seed, ours, composed, naive)?;
    }

    #[test]
    fn squeeze_and_excite(
        shape in (1..4usize, 1..6usize, 1..6usize, 1..40usize),
        reduced in 1..12usize,
        silu: bool,
        seed: u64,
    ) {
        let (b, h, w, c) = shape;
        let (activation, gate) = if silu { (Activation::Silu, Gate::Sigmoid) } else { (Activation::Relu, Gate::HardSigmoid) };
        fn squeeze(vars: &[Var], activation: Activation, gate: Gate) -> SqueezeExcite<'_> {
            SqueezeExcite { reduce: (&vars[1], &vars[2]), expand: (&vars[3], &vars[4]), activation, gate }
        }
        let naive = |inputs: &[Vec<f64>]| {
            let pixels = h * w;
            let mean = |image: usize, channel: usize| {
                (0..pixels).map(|pixel| inputs[0][(image * pixels + pixel) * c + channel]).sum::<f64>() / pixels as f64
            };
            let means: Vec<f64> = (0..b * c).map(|at| mean(at / c, at % c)).collect();
            let small: Vec<f64> = linear(&means, &inputs[1], &inputs[2]).into_iter().map(|x| activated(activation, x)).collect();
            let open = |x: f64| if silu { sigmoid(x) } else { (x + 3.0).clamp(0.0, 6.0) / 6.0 };
            let gates: Vec<f64> = linear(&small, &inputs[3], &inputs[4]).into_iter().map(open).collect();
            inputs[0].iter().enumerate().map(|(at, x)| x * gates[at / (pixels * c) * c + at % c]).collect()
        };
        let shapes: [&[usize]; 5] = [&[b, h, w, c], &[reduced, c, 1, 1], &[reduced], &[c, reduced, 1, 1], &[c]];
        judge(
            &shapes,
            seed,
            |vars| on_tape(&vars[0], |x| layers::squeeze_excite(x, &squeeze(vars, activation, gate))),
            |vars| portable::squeeze_excite(&vars[0], &squeeze(vars, activation, gate)),
            naive,
        )?;
    }

    #[test]
    fn linear_layers(rows in 1..9usize, inputs in 1..40usize, outputs in 1..40usize, which in 0..4usize, seed: u64) {
        let activation = [Activation::None, SMOOTH[0], SMOOTH[1], SMOOTH[2]][which];
        let naive = |x: &[Vec<f64>]| linear(&x[0], &x[1], &x[2]).into_iter().map(|x| activated(activation, x)).collect();
        judge(
            &[&[rows, inputs], &[outputs, inputs], &[outputs]],
            seed,
            |vars| Road::Tape.linear(&vars[0], &vars[1], &vars[2], activation),
            |vars| portable::linear(&vars[0], &vars[1], &vars[2], activation),
            naive,
        )?;
    }
}

#[test]
fn a_linear_layer_over_several_blocks_of_rows_is_its_twin() {
    let vars = [random(1, 0, &[601, 17]), random(1, 1, &[23, 17, 1, 1]), random(1, 2, &[23])];
    let (x, weight, bias) = (&vars[0], &vars[1], &vars[2]);
    let y = Road::Tape.linear(x, weight, bias, Activation::HardSwish).unwrap();
    let twin = portable::linear(x, weight, bias, Activation::HardSwish).unwrap();
    close("value", &values(&y), &values(&twin), 1e-5).unwrap();
    let dy = random(1, 3, y.dims());
    for (ours, theirs) in gradients(&y, &dy, &vars).iter().zip(gradients(&twin, &dy, &vars)) {
        close("gradient", ours, &theirs, 1e-4).unwrap();
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let x = random(0, 0, &[2, 3, 3, 8]);
    let (weight, bias) = (random(0, 1, &[4, 8, 1, 1]), random(0, 2, &[4]));
    let squeeze = SqueezeExcite { reduce: (&weight, &bias), expand: (&weight, &bias), activation: Activation::Relu, gate: Gate::Sigmoid };
    assert!(on_tape(&x, |x| layers::squeeze_excite(x, &squeeze)).is_err());
    assert!(portable::squeeze_excite(&x, &squeeze).is_err());
    let flat: Tensor = x.reshape((18, 8)).unwrap();
    assert!(Road::Tape.linear(&flat, &bias.reshape((2, 2)).unwrap(), &bias, Activation::None).is_err());
    assert!(Road::Tape.linear(&flat, &weight, &weight, Activation::None).is_err());
}
