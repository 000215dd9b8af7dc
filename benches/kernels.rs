//! GFLOP/s of convolutions and their gradients, by each backend, beside what this machine's cores can do at most.
//!
//! `cargo bench --bench kernels [PATTERN]` prints a table: the median of seven runs, and its share of the peak.
//! The peak is measured, too: products and sums in registers on all of rayon's threads (`RAYON_NUM_THREADS`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

use std::hint::black_box;
use std::time::Instant;

use hub::domain::recipe::Precision;
use hub::nn::kernels::backend::{Arithmetic, Backend, Choice};
use hub::nn::kernels::{Geometry, Padding, Spec, conv, has_bf16};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 16;
const ROUNDS: usize = 7;

/// Kernel, stride, channels in and out, side of the input, groups: layers of ResNet-50, MobileNetV2 and V3, Lite0.
const LAYERS: &[(usize, usize, usize, usize, usize, usize)] = &[
    (7, 2, 3, 64, 224, 1),
    (1, 1, 64, 256, 56, 1),
    (3, 1, 64, 64, 56, 1),
    (1, 2, 256, 512, 56, 1),
    (3, 1, 128, 128, 28, 1),
    (1, 1, 512, 128, 28, 1),
    (3, 1, 256, 256, 14, 1),
    (1, 1, 1024, 256, 14, 1),
    (3, 1, 512, 512, 7, 1),
    (1, 1, 16, 96, 112, 1),
    (1, 1, 144, 24, 56, 1),
    (3, 1, 144, 144, 56, 144),
    (3, 2, 96, 96, 112, 96),
    (5, 2, 240, 240, 28, 240),
    (5, 1, 672, 672, 14, 672),
];

fn main() {
    let pattern = std::env::args().skip(1).find(|word| !word.starts_with("--")).unwrap_or_default();
    let peak = peak();
    println!("peak: {peak:.0} GFLOP/s on {} threads; batch {BATCH}, median of {ROUNDS}", rayon::current_num_threads());
    let ways =
        [("rust", Choice::Rust, Precision::F32), ("onednn", Choice::OneDnn, Precision::F32), ("bf16", Choice::OneDnn, Precision::Bf16)];
    println!("| layer | backend | forward | input gradient | weight gradient |\n| --- | --- | --- | --- | --- |");
    for &(kernel, stride, input, output, side, groups) in LAYERS {
        let grouped = if groups > 1 { " depthwise" } else { "" };
        let name = format!("{kernel}x{kernel}/{stride} {input}-{output}, {side}{grouped}");
        for (way, choice, precision) in ways.into_iter().filter(|_| name.contains(&pattern)) {
            let is_there = match precision {
                Precision::F32 => choice == Choice::Rust || matches!(choice.backend(), Backend::OneDnn { .. }),
                Precision::Bf16 => has_bf16(&candle_core::Device::Cpu).is_ok() && groups == 1,
            };
            if is_there {
                let spec = Spec { stride, padding: Padding::Symmetric(kernel / 2), groups, ..Spec::POINTWISE };
                let g = Geometry::of(&[BATCH, side, side, input], &[output, input / groups, kernel, kernel], &spec).unwrap();
                let speeds = speeds(&g, Arithmetic::new(choice, precision));
                let cells = speeds.map(|speed| format!("{speed:.0} ({:.0} %)", 100.0 * speed / peak));
                println!("| {name} | {way} | {} |", cells.join(" | "));
            }
        }
    }
}

/// GFLOP/s of the convolution and its two gradients.
fn speeds(g: &Geometry, arithmetic: Arithmetic) -> [f64; 3] {
    let noise =
        |count: usize| -> Vec<f32> { (0..count).map(|i| (i as u32).wrapping_mul(2_654_435_761) as f32 / u32::MAX as f32 - 0.5).collect() };
    let count = |shape: [usize; 4]| shape.iter().product::<usize>();
    let (x, weight) = (noise(count(g.input_shape())), noise(count(g.weight_shape())));
    let (mut y, mut dy, mut dx) = (noise(count(g.output_shape())), noise(count(g.output_shape())), noise(x.len()));
    let products = 2.0 * (g.rows() * g.out_c * g.depth()) as f64;
    let forward = median(|| conv::forward(arithmetic, &x, &weight, g, &|_, _| {}, &mut y).unwrap());
    let input = median(|| conv::input_gradient(arithmetic, &mut dy, &|_, _| {}, &weight, g, &mut dx).unwrap());
    let last = median(|| {
        black_box(conv::weight_gradient(arithmetic, &x, &dy, g));
    });
    [forward, input, last].map(|seconds| products / seconds / 1e9)
}

/// Seconds.
fn median(mut work: impl FnMut()) -> f64 {
    work();
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

/// What all threads together multiply and add in registers, in GFLOP/s: the best of some tries.
fn peak() -> f64 {
    let try_once = || {
        let began = Instant::now();
        let products: usize = (0..rayon::current_num_threads()).into_par_iter().map(|_| pulp::Arch::new().dispatch(Registers)).sum();
        2.0 * products as f64 / began.elapsed().as_secs_f64() / 1e9
    };
    (0..ROUNDS).map(|_| try_once()).fold(0.0, f64::max)
}

/// Products and sums in as many registers as hide how long one takes; answers how many there were.
struct Registers;

impl WithSimd for Registers {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        const REGISTERS: usize = 12;
        const TURNS: usize = 4_000_000;
        let factor = simd.splat_f32s(black_box(0.999));
        let mut sums = [simd.splat_f32s(black_box(1.0)); REGISTERS];
        for _ in 0..TURNS {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, factor, factor);
            }
        }
        black_box(sums);
        REGISTERS * TURNS * S::F32_LANES
    }
}
