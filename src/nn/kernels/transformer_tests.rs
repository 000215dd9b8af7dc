//! Layer norm, the halves of a transformer's block, and what goes into it.

use std::sync::Arc;

use candle_core::{Tensor, Var};
use proptest::prelude::*;

use super::naive_tests::{close, gelu, gradients, judge, layer_norm, linear, on_tape, random, tokens_on_tape, values};
use super::ops::Road;
use super::{Activation, AttentionBlock, Masks, MlpBlock, PatchEmbed, WindowAttention, portable};
use crate::domain::recipe::Precision::F32;

const EPS: f64 = 1e-3;

fn attention(vars: &[Var], heads: usize) -> AttentionBlock<'_> {
    AttentionBlock { norm: (&vars[1], &vars[2]), qkv: (&vars[3], &vars[4]), projection: (&vars[5], &vars[6]), heads, eps: EPS }
}

fn mlp(vars: &[Var]) -> MlpBlock<'_> {
    MlpBlock {
        norm: (&vars[1], &vars[2]),
        expand: (&vars[3], &vars[4]),
        contract: (&vars[5], &vars[6]),
        activation: Activation::Gelu,
        eps: EPS,
    }
}

/// The last of the parameters, where there is one more, stands before the patches.
fn embed(vars: &[Var]) -> PatchEmbed<'_> {
    PatchEmbed { projection: (&vars[1], &vars[2]), position: &vars[3], prefix: vars.get(4).map(|var| var.as_tensor()) }
}

fn attend(block: &AttentionBlock<'_>, x: &Tensor, queries: usize) -> candle_core::Result<Tensor> {
    tokens_on_tape(x, |x| block.forward(x, queries))
}

fn perceive(block: &MlpBlock<'_>, x: &Tensor) -> candle_core::Result<Tensor> {
    tokens_on_tape(x, |x| block.forward(x))
}

/// The formula, loop by loop; `added` is what a score gets besides: of an image, a head, a query and a key.
fn naive_attention(
    inputs: &[Vec<f64>],
    tokens: usize,
    queries: usize,
    heads: usize,
    added: impl Fn(usize, usize, usize, usize) -> f64,
) -> Vec<f64> {
    let width = inputs[1].len();
    let depth = width / heads;
    let qkv = linear(&layer_norm(&inputs[0], &inputs[1], &inputs[2], EPS), &inputs[3], &inputs[4]);
    let batch = inputs[0].len() / (tokens * width);
    let mut mixed = vec![0.0; batch * queries * width];
    let mut kept = Vec::new();
    for image in 0..batch {
        let at = |token: usize, part: usize, column: usize| qkv[((image * tokens + token) * 3 + part) * width + column];
        for query in 0..queries {
            for head in 0..heads {
                let columns = head * depth..(head + 1) * depth;
                let score = |key: usize| columns.clone().map(|column| at(query, 0, column) * at(key, 1, column)).sum::<f64>();
                let share = |key| (score(key) / (depth as f64).sqrt() + added(image, head, query, key)).exp();
                let shares: Vec<f64> = (0..tokens).map(share).collect();
                let sum: f64 = shares.iter().sum();
                for column in columns.clone() {
                    let value = (0..tokens).map(|key| shares[key] / sum * at(key, 2, column)).sum();
                    mixed[(image * queries + query) * width + column] = value;
                }
            }
            kept.extend_from_slice(&inputs[0][(image * tokens + query) * width..][..width]);
        }
    }
    linear(&mixed, &inputs[5], &inputs[6]).iter().zip(kept).map(|(y, x)| y + x).collect()
}

fn naive_mlp(inputs: &[Vec<f64>]) -> Vec<f64> {
    let wide = linear(&layer_norm(&inputs[0], &inputs[1], &inputs[2], EPS), &inputs[3], &inputs[4]);
    let activated: Vec<f64> = wide.into_iter().map(gelu).collect();
    linear(&activated, &inputs[5], &inputs[6]).iter().zip(&inputs[0]).map(|(y, x)| y + x).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn layer_norms(rows in 1..9usize, width in 2..70usize, seed: u64) {
        judge(
            &[&[rows, width], &[width], &[width]],
            seed,
            |vars| Road::Tape.layer_norm(&vars[0], &vars[1], &vars[2], EPS),
            |vars| portable::layer_norm(&vars[0], &vars[1], &vars[2], EPS),
            |inputs| layer_norm(&inputs[0], &inputs[1], &inputs[2], EPS),
        )?;
    }

    #[test]
    fn attention_blocks(batch in 1..4usize, tokens in 1..9usize, few in 1..9usize, heads in 1..4usize, depth in 2..8usize, seed: u64) {
        let (width, queries) = (heads * depth, few.min(tokens));
        judge(
            &[&[batch, tokens, width], &[width], &[width], &[3 * width, width], &[3 * width], &[width, width], &[width]],
            seed,
            |vars| attend(&attention(vars, heads), &vars[0], queries),
            |vars| portable::attention_block(&vars[0], &attention(vars, heads), queries, F32),
            |inputs| naive_attention(inputs, tokens, queries, heads, |_, _, _, _| 0.0),
        )?;
    }

    #[test]
    // Of one token alone the bias has no gradient, and what rounding leaves of it has no scale to be held against.
    fn attentions_in_windows(images in 1..3usize, tokens in 2..9usize, heads in 1..4usize, depth in 2..8usize, seed: u64) {
        let width = heads * depth;
        // Two windows an image; in the second one, tokens see those before them only.
        let hidden = |window: usize, query: usize, key: usize| if window % 2 == 1 && key > query { -100.0 } else { 0.0 };
        let mask = |window: usize| (0..tokens * tokens).map(|at| hidden(window, at / tokens, at % tokens) as f32).collect();
        let masks = Arc::new(Masks::new([mask(0), mask(1)]));
        let windowed = |vars: &[Var], run: &dyn Fn(&WindowAttention<'_>) -> candle_core::Result<Tensor>| {
            run(&WindowAttention { block: attention(vars, heads), bias: &vars[7], masks: &masks })
        };
        judge(
            &[
                &[2 * images, tokens, width],
                &[width],
                &[width],
                &[3 * width, width],
                &[3 * width],
                &[width, width],
                &[width],
                &[heads, tokens, tokens],
            ],
            seed,
            |vars| windowed(vars, &|window| tokens_on_tape(&vars[0], |x| window.forward(x))),
            |vars| windowed(vars, &|window| portable::window_attention(&vars[0], window, F32)),
            |inputs| {
                naive_attention(inputs, tokens, tokens, heads, |window, head, query, key| {
                    inputs[7][(head * tokens + query) * tokens + key] + hidden(window, query, key)
                })
            },
        )?;
    }

    #[test]
    fn perceptrons(batch in 1..4usize, tokens in 1..9usize, width in 2..20usize, hidden in 1..40usize, seed: u64) {
        judge(
            &[&[batch, tokens, width], &[width], &[width], &[hidden, width], &[hidden], &[width, hidden], &[width]],
            seed,
            |vars| perceive(&mlp(vars), &vars[0]),
            |vars| portable::mlp_block(&vars[0], &mlp(vars), F32),
            naive_mlp,
        )?;
    }

    #[test]
    fn patches(
        batch in 1..4usize, sides in (1..4usize, 1..4usize), before in 0..4usize, patch in 1..5usize, channels in 1..4usize,
        width in 1..20usize, seed: u64,
    ) {
        let (down, across) = sides;
        let naive = |inputs: &[Vec<f64>]| {
            let mut y = Vec::new();
            for image in 0..batch {
                y.extend(inputs.get(4).into_iter().flatten());
                for index in 0..down * across {
                    let (top, left) = (index / across * patch, index % across * patch);
                    let mut pixels = Vec::new();
                    for (channel, line, column) in (0..channels * patch * patch).map(|i| (i / (patch * patch), i / patch % patch, i % patch)) {
                        let line = (image * channels + channel) * down * patch + top + line;
                        pixels.push(inputs[0][line * across * patch + left + column]);
                    }
                    let token = linear(&pixels, &inputs[1], &inputs[2]);
                    y.extend(token.iter().zip(&inputs[3][index * width..]).map(|(token, position)| token + position));
                }
            }
            y
        };
        let shapes: [&[usize]; 5] = [
            &[batch, channels, down * patch, across * patch],
            &[width, channels, patch, patch],
            &[width],
            &[1, down * across, width],
            &[1, before, width],
        ];
        judge(
            &shapes[..if before == 0 { 4 } else { 5 }],
            seed,
            |vars| on_tape(&vars[0], |x| embed(vars).forward(x))?.squeeze(2),
            |vars| portable::patch_embed(&vars[0], &embed(vars)),
            naive,
        )?;
    }
}

/// As [`judge`] does, but of a size that crosses every block's border, beside the twin alone.
fn twins(shapes: &[&[usize]], op: impl Fn(&[Var]) -> Tensor, twin: impl Fn(&[Var]) -> Tensor) {
    let vars: Vec<Var> = shapes.iter().enumerate().map(|(stream, shape)| random(7, stream as u64, shape)).collect();
    let (ours, theirs) = (op(&vars), twin(&vars));
    close("value", &values(&ours), &values(&theirs), 2e-5).unwrap();
    let dy = random(7, 99, ours.dims());
    for (index, (ours, theirs)) in gradients(&ours, &dy, &vars).iter().zip(gradients(&theirs, &dy, &vars)).enumerate() {
        close(&format!("gradient {index}"), ours, &theirs, 2e-4).unwrap();
    }
}

#[test]
fn large_shapes_and_their_gradients_are_those_of_the_twin() {
    twins(
        &[&[5, 70, 36], &[36], &[36], &[108, 36], &[108], &[36, 36], &[36]],
        |vars| attend(&attention(vars, 3), &vars[0], 70).unwrap(),
        |vars| portable::attention_block(&vars[0], &attention(vars, 3), 70, F32).unwrap(),
    );
    twins(
        &[&[9, 77, 20], &[20], &[20], &[33, 20], &[33], &[20, 33], &[20]],
        |vars| perceive(&mlp(vars), &vars[0]).unwrap(),
        |vars| portable::mlp_block(&vars[0], &mlp(vars), F32).unwrap(),
    );
    twins(
        &[&[2, 150, 17], &[17], &[17]],
        |vars| Road::Tape.layer_norm(&vars[0], &vars[1], &vars[2], EPS).unwrap(),
        |vars| portable::layer_norm(&vars[0], &vars[1], &vars[2], EPS).unwrap(),
    );
}

#[test]
fn constants_get_no_gradient_and_leave_no_graph() {
    let shapes: [&[usize]; 7] = [&[2, 5, 12], &[12], &[12], &[36, 12], &[36], &[12, 12], &[12]];
    let vars: Vec<Var> = shapes.iter().enumerate().map(|(stream, shape)| random(3, stream as u64, shape)).collect();
    let constants: Vec<Tensor> = vars.iter().map(|var| var.detach()).collect();
    let frozen = AttentionBlock {
        norm: (&constants[1], &constants[2]),
        qkv: (&constants[3], &constants[4]),
        projection: (&constants[5], &constants[6]),
        heads: 4,
        eps: EPS,
    };
    let plain = attend(&frozen, &constants[0], 5).unwrap();
    assert!(!plain.track_op());
    // The way that keeps nothing and the way that keeps everything give the same numbers.
    let kept = attend(&attention(&vars, 4), &vars[0], 5).unwrap();
    assert_eq!(values(&plain), values(&kept));
    // A gradient to the input alone is the same gradient.
    let dx = |y: &Tensor| values(y.sqr().unwrap().sum_all().unwrap().backward().unwrap().get(&vars[0]).unwrap());
    assert_eq!(dx(&attend(&frozen, &vars[0], 5).unwrap()), dx(&kept));
    let below = attend(&attention(&vars, 4), &constants[0], 5).unwrap().sum_all().unwrap().backward().unwrap();
    assert!(below.get(&vars[3]).is_some() && below.get(&constants[0]).is_none());
}

#[test]
fn nan_shows_and_shapes_that_do_not_fit_are_refused() {
    let shapes: [&[usize]; 7] = [&[1, 3, 8], &[8], &[8], &[24, 8], &[24], &[8, 8], &[8]];
    let vars: Vec<Var> = shapes.iter().enumerate().map(|(stream, shape)| random(3, stream as u64, shape)).collect();
    assert!(attend(&attention(&vars, 3), &vars[0], 3).is_err());
    assert!(attend(&attention(&vars, 2), &vars[0], 4).is_err());
    assert!(perceive(&mlp(&vars), &vars[0]).is_err());
    assert!(Road::Tape.layer_norm(&vars[0], &vars[4], &vars[4], EPS).is_err());
    let wrong = (vars[0].as_tensor() * f64::NAN).unwrap();
    assert!(values(&attend(&attention(&vars, 2), &wrong, 3).unwrap()).iter().all(|value| value.is_nan()));
}
