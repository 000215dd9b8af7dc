//! How the tests of smooth and transformer kernels judge an op: its value against a naive formula in f64, its
//! gradients against finite differences of that formula, and both against the composed twin.

use candle_core::{Device, Result, Tensor, Var};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::backend::{Arithmetic, Choice};
use super::tape::Node;
use crate::domain::recipe::Precision;
use crate::nn::random::Draw;

/// What layers on the tape multiply unless a test says otherwise.
pub(super) const F32: Arithmetic = Arithmetic::new(Choice::Auto, Precision::F32);

/// Takes maps `(B, H, W, C)` through a layer on the tape.
pub(super) fn on_tape(x: &Tensor, layer: impl FnOnce(&Node) -> Result<Node>) -> Result<Tensor> {
    layer(&Node::enter(x, F32)?)?.leave()
}

/// Takes tokens `(B, N, D)` through a layer on the tape.
pub(super) fn tokens_on_tape(x: &Tensor, layer: impl FnOnce(&Node) -> Result<Node>) -> Result<Tensor> {
    layer(&Node::enter_tokens(x, F32)?)?.leave_tokens()
}

pub(super) fn random(seed: u64, stream: u64, shape: &[usize]) -> Var {
    let mut draw = Draw::new(seed, stream);
    Var::from_vec(draw.normals(shape.iter().product(), 1.0), shape, &Device::Cpu).unwrap()
}

pub(super) fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect()
}

/// The largest difference is small beside the largest value.
pub(super) fn close(what: &str, ours: &[f64], theirs: &[f64], tolerance: f64) -> std::result::Result<(), TestCaseError> {
    close_above(1e-2, what, ours, theirs, tolerance)
}

/// The same where values below `least` are what is left of larger ones that cancel, and their rounding with them: gradients
/// behind a softmax that has decided.
fn close_above(least: f64, what: &str, ours: &[f64], theirs: &[f64], tolerance: f64) -> std::result::Result<(), TestCaseError> {
    prop_assert_eq!(ours.len(), theirs.len());
    let scale = theirs.iter().fold(least, |largest, value| largest.max(value.abs()));
    for (index, (a, b)) in ours.iter().zip(theirs).enumerate() {
        prop_assert!((a - b).abs() <= tolerance * scale, "{what} at {index}: {a} and {b}, scale {scale}");
    }
    Ok(())
}

/// Gradients of `sum(y * dy)` to every variable; a variable without one is a failure.
pub(super) fn gradients(y: &Tensor, dy: &Var, vars: &[Var]) -> Vec<Vec<f64>> {
    let gradients = (y * dy.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
    vars.iter().map(|var| values(gradients.get(var).expect("every parameter gets a gradient"))).collect()
}

/// Compares an op, its portable twin and a naive formula, over `vars` of these shapes.
pub(super) fn judge(
    shapes: &[&[usize]],
    seed: u64,
    op: impl Fn(&[Var]) -> Result<Tensor>,
    twin: impl Fn(&[Var]) -> Result<Tensor>,
    naive: impl Fn(&[Vec<f64>]) -> Vec<f64>,
) -> std::result::Result<(), TestCaseError> {
    let vars: Vec<Var> = shapes.iter().enumerate().map(|(stream, shape)| random(seed, stream as u64, shape)).collect();
    let y = op(&vars).unwrap();
    let mut inputs: Vec<Vec<f64>> = vars.iter().map(|var| values(var)).collect();
    close("value", &values(&y), &naive(&inputs), 2e-5)?;
    let dy = random(seed, 99, y.dims());
    let ours = gradients(&y, &dy, &vars);
    let y = twin(&vars).unwrap();
    prop_assert_eq!(y.dims(), dy.dims());
    close("twin", &values(&y), &naive(&inputs), 2e-5)?;
    for (index, (ours, theirs)) in ours.iter().zip(gradients(&y, &dy, &vars)).enumerate() {
        close_above(0.5, &format!("gradient {index} beside the twin's"), ours, &theirs, 2e-4)?;
    }
    let dy = values(&dy);
    let loss = |inputs: &[Vec<f64>]| naive(inputs).iter().zip(&dy).map(|(y, dy)| y * dy).sum::<f64>();
    for index in 0..inputs.len() {
        let step = (inputs[index].len() / 8).max(1);
        let scale = ours[index].iter().fold(1e-1f64, |largest, value| largest.max(value.abs()));
        for at in (0..inputs[index].len()).step_by(step) {
            let start = inputs[index][at];
            let mut beside = |value: f64| {
                inputs[index][at] = value;
                loss(&inputs)
            };
            let (below, here, above) = (beside(start - 1e-5), beside(start), beside(start + 1e-5));
            // Beside a kink only the slope of its own side is the gradient.
            let slopes = [(above - below) / 2e-5, (here - below) / 1e-5, (above - here) / 1e-5];
            let found = ours[index][at];
            let near = slopes.iter().any(|slope| (slope - found).abs() <= 5e-4 * scale);
            prop_assert!(near, "argument {index} at {at}: slopes {slopes:?}, gradient {found}, scale {scale}");
            inputs[index][at] = start;
        }
    }
    Ok(())
}

/// `x (rows, inputs) * weight (outputs, inputs)^T + bias`.
pub(super) fn linear(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let inputs = weight.len() / bias.len();
    let row = |x: &[f64]| -> Vec<f64> {
        let dot = |weight: &[f64]| x.iter().zip(weight).map(|(x, w)| x * w).sum::<f64>();
        weight.chunks(inputs).zip(bias).map(|(weight, bias)| dot(weight) + bias).collect()
    };
    x.chunks(inputs).flat_map(row).collect()
}

pub(super) fn layer_norm(x: &[f64], gamma: &[f64], beta: &[f64], eps: f64) -> Vec<f64> {
    let width = gamma.len();
    let row = |x: &[f64]| -> Vec<f64> {
        let mean = x.iter().sum::<f64>() / width as f64;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / width as f64;
        x.iter().zip(gamma).zip(beta).map(|((x, gamma), beta)| (x - mean) / (variance + eps).sqrt() * gamma + beta).collect()
    };
    x.chunks(width).flat_map(row).collect()
}

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

pub(super) fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt()))
}
