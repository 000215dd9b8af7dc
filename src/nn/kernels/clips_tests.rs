//! Kernels that see several frames against plain loops in f64: values and gradients by every backend, and of the portable twins.

use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::backend::{Arithmetic, Choice};
use super::conv;
use super::conv::geometry::Geometry;
use super::memory::read;
use super::naive_tests::{judge, on_tape};
use super::reference_tests::{close, random, values};
use super::tape::joins;
use super::{Average, Clip, Padding, Spec, Window, portable};
use crate::domain::recipe::Precision;

/// Clips, their frames, height, width and channels; outputs, kernel over frames, lines and columns, groups.
#[derive(Debug, Clone)]
struct Case {
    input: [usize; 5],
    outputs: usize,
    kernel: [usize; 3],
    spec: Spec,
}

impl Case {
    fn shape(&self) -> [usize; 4] {
        let [clips, frames, height, width, channels] = self.input;
        [clips * frames, height, width, channels]
    }

    fn weight(&self) -> [usize; 5] {
        let [frames, lines, columns] = self.kernel;
        [self.outputs, self.input[4] / self.spec.groups, frames, lines, columns]
    }
}

/// One direction: outputs, and the place of the first tap of each.
fn places(side: usize, kernel: usize, stride: usize, padding: Option<usize>) -> Vec<isize> {
    let (count, before) = match padding {
        Some(padding) => ((side + 2 * padding - kernel) / stride + 1, padding),
        None => {
            let count = side.div_ceil(stride);
            (count, ((count - 1) * stride + kernel).saturating_sub(side) / 2)
        }
    };
    (0..count).map(|at| (at * stride) as isize - before as isize).collect()
}

/// Calls `with(output, input, tap)` for each place that a window over the case's clips sees, channels apart; answers how many outputs there
/// are without their channels.
fn seen(
    input: [usize; 5],
    kernel: [usize; 3],
    steps: [usize; 3],
    padding: [Option<usize>; 3],
    mut with: impl FnMut(usize, usize, usize),
) -> usize {
    let [clips, sides @ .., _] = input;
    let along = [0, 1, 2].map(|axis| places(sides[axis], kernel[axis], steps[axis], padding[axis]));
    let counts = [along[0].len(), along[1].len(), along[2].len()];
    let outputs: usize = counts.iter().product();
    for output in 0..clips * outputs {
        let (clip, t, y, x) =
            (output / outputs, output / counts[2] / counts[1] % counts[0], output / counts[2] % counts[1], output % counts[2]);
        for tap in 0..kernel.iter().product() {
            let taps = [tap / kernel[2] / kernel[1], tap / kernel[2] % kernel[1], tap % kernel[2]];
            let at = [along[0][t] + taps[0] as isize, along[1][y] + taps[1] as isize, along[2][x] + taps[2] as isize];
            if at.iter().zip(sides).all(|(&at, side)| at >= 0 && (at as usize) < side) {
                let at = at.map(|at| at as usize);
                with(output, ((clip * sides[0] + at[0]) * sides[1] + at[1]) * sides[2] + at[2], tap);
            }
        }
    }
    clips * outputs
}

/// Calls `with(output, input, weight)` for every product of a convolution.
fn products(case: &Case, mut with: impl FnMut(usize, usize, usize)) -> usize {
    let (channels, groups, taps) = (case.input[4], case.spec.groups, case.kernel.iter().product::<usize>());
    let (inputs, outputs) = (channels / groups, case.outputs / groups);
    let spatial = match case.spec.padding {
        Padding::Symmetric(padding) => Some(padding),
        _ => None,
    };
    let padding = [spatial.map(|_| case.spec.clip.padding), spatial, spatial];
    let steps = [case.spec.clip.stride, case.spec.stride, case.spec.stride];
    let pixels = seen(case.input, case.kernel, steps, padding, |output, input, tap| {
        for o in 0..case.outputs {
            for i in 0..inputs {
                with(output * case.outputs + o, input * channels + o / outputs * inputs + i, (o * inputs + i) * taps + tap);
            }
        }
    });
    pixels * case.outputs
}

/// By every backend and by the portable twin.
fn compare(case: &Case, seed: u64) -> Result<(), TestCaseError> {
    let spec = case.spec.over(case.input[1]);
    let g = Geometry::of(&case.shape(), &case.weight(), &spec).unwrap();
    let (x, w, dy) = (random(seed, 0, &case.shape()), random(seed, 1, &case.weight()), random(seed, 2, &g.output_shape()));
    let (xs, ws, dys) = (values(&x), values(&w), values(&dy));
    let (mut ys, mut dxs, mut dws) = (vec![0.0; dys.len()], vec![0.0; xs.len()], vec![0.0; ws.len()]);
    let outputs = products(case, |o, i, k| {
        ys[o] += xs[i] * ws[k];
        dxs[i] += dys[o] * ws[k];
        dws[k] += dys[o] * xs[i];
    });
    prop_assert_eq!(outputs, ys.len());
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
    for choice in [Choice::OneDnn, Choice::Rust] {
        let arithmetic = Arithmetic::new(choice, Precision::F32);
        let (x, w, mut gradient) = (read(&x).unwrap(), read(&w).unwrap(), read(&dy).unwrap().to_vec());
        let (mut y, mut dx) = (vec![f32::NAN; ys.len()], vec![f32::NAN; dxs.len()]);
        conv::forward(arithmetic, &x, &w, &g, &|_, _| {}, &mut y).unwrap();
        close(&wide(&y), &ys, 1e-5)?;
        conv::input_gradient(arithmetic, &mut gradient, &|_, _| {}, &w, &g, &mut dx).unwrap();
        close(&wide(&dx), &dxs, 1e-5)?;
        close(&wide(&conv::weight_gradient(arithmetic, &x, &gradient, &g)), &dws, 1e-5)?;
    }
    for limit in [usize::MAX, 1] {
        let y = portable::conv2d_in_parts(&x, &w, &spec, Precision::F32, limit).unwrap();
        let gradients = (&y * dy.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
        close(&values(&y), &ys, 1e-5)?;
        close(&values(gradients.get(&x).unwrap()), &dxs, 1e-5)?;
        close(&values(gradients.get(&w).unwrap()), &dws, 1e-5)?;
    }
    Ok(())
}

fn spec(stride: usize, padding: Option<usize>, groups: usize, step: usize, along: usize) -> Spec {
    let padding = padding.map_or(Padding::Same, Padding::Symmetric);
    Spec { stride, padding, groups, clip: Clip { frames: 1, stride: step, padding: along } }
}

#[test]
fn the_convolutions_of_known_networks_are_those_of_plain_loops() {
    let case = |input, outputs, kernel, spec| Case { input, outputs, kernel, spec };
    let cases = [
        // R(2+1)D: pixels, frames, and the shortcut.
        case([2, 5, 7, 6, 3], 9, [1, 7, 7], spec(2, Some(3), 1, 1, 0)),
        case([2, 5, 4, 3, 18], 8, [3, 1, 1], spec(1, Some(0), 1, 2, 1)),
        case([2, 5, 5, 7, 4], 6, [1, 1, 1], spec(2, Some(0), 1, 2, 0)),
        case([2, 6, 5, 7, 4], 6, [1, 1, 1], spec(1, Some(0), 1, 2, 0)),
        // R3D.
        case([1, 4, 9, 5, 16], 32, [3, 3, 3], spec(1, Some(1), 1, 1, 1)),
        case([3, 5, 9, 5, 16], 8, [3, 3, 3], spec(2, Some(1), 1, 2, 1)),
        case([2, 4, 9, 11, 3], 8, [3, 7, 7], spec(2, Some(3), 1, 1, 1)),
        // I3D, padded as TensorFlow does.
        case([2, 7, 9, 8, 3], 8, [7, 7, 7], spec(2, None, 1, 2, 0)),
        case([2, 3, 5, 4, 6], 8, [3, 3, 3], spec(1, None, 1, 1, 0)),
        // X3D: depthwise.
        case([2, 5, 6, 5, 34], 34, [3, 3, 3], spec(2, Some(1), 34, 1, 1)),
        case([2, 6, 3, 5, 24], 24, [5, 1, 1], spec(1, Some(0), 24, 1, 2)),
        // Clips of one frame, and shorter than the kernel.
        case([3, 1, 5, 5, 4], 6, [3, 3, 3], spec(1, Some(1), 1, 1, 1)),
        case([2, 2, 5, 5, 4], 6, [5, 3, 3], spec(1, Some(1), 1, 2, 2)),
    ];
    for (seed, case) in cases.iter().enumerate() {
        compare(case, seed as u64).unwrap_or_else(|error| panic!("{case:?}: {error}"));
    }
}

#[test]
fn maps_that_are_not_whole_clips_are_refused() {
    let spec = spec(1, Some(1), 1, 1, 1);
    let of = |maps: usize, frames: usize| Geometry::of(&[maps, 5, 5, 4], &[6, 4, 3, 3, 3], &spec.over(frames));
    assert!(of(6, 3).is_ok() && of(7, 3).is_err() && of(6, 0).is_err());
    let short = Spec { clip: Clip { frames: 2, stride: 1, padding: 0 }, ..spec };
    assert!(Geometry::of(&[6, 5, 5, 4], &[6, 4, 3, 3, 3], &short).unwrap_err().to_string().contains("too small"));
    assert_eq!(short.frames(3), 0);
}

#[test]
fn a_kernel_over_single_frames_costs_what_it_does_over_images() {
    let over = |frames: usize| Geometry::of(&[12, 9, 9, 8], &[6, 8, 1, 3, 3], &spec(2, Some(1), 1, 1, 0).over(frames)).unwrap();
    let images = Geometry::of(&[12, 9, 9, 8], &[6, 8, 3, 3], &Spec { clip: Clip::STILL, ..spec(2, Some(1), 1, 1, 0) }).unwrap();
    assert_eq!((over(4), over(12)), (images, images));
    // Points of single frames are one product over all of them.
    assert!(Geometry::of(&[12, 9, 9, 8], &[6, 8, 1, 1, 1], &spec(1, Some(0), 1, 1, 0).over(4)).unwrap().is_pointwise());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn convolutions_over_clips_are_those_of_plain_loops(
        sides in (1..3usize, 1..6usize, 1..8usize, 1..8usize),
        kernel in (1..4usize, 1..4usize, 1..4usize),
        steps in (1..3usize, 1..3usize, prop_oneof![Just(None), (0..2usize).prop_map(Some)], 0..2usize),
        channels in prop_oneof![
            (1..9usize, 1..9usize).prop_map(|(input, output)| (input, output, 1)),
            (1..4usize, 1..4usize, 2..4usize).prop_map(|(input, output, groups)| (input * groups, output * groups, groups)),
            (2..40usize).prop_map(|channels| (channels, channels, channels)),
        ],
        seed: u64,
    ) {
        let ((clips, t, h, w), (kt, kh, kw), (stride, step, padding, along)) = (sides, kernel, steps);
        let (input, output, groups) = channels;
        let around = padding.unwrap_or(9);
        let kernel = [kt.min(t + 2 * if padding.is_some() { along } else { 9 }), kh.min(h + 2 * around), kw.min(w + 2 * around)];
        compare(&Case { input: [clips, t, h, w, input], outputs: output, kernel, spec: spec(stride, padding, groups, step, along) }, seed)?;
    }

    #[test]
    fn the_largest_of_windows_over_clips(
        sides in (1..3usize, 1..7usize, 2..8usize, 2..8usize, 1..40usize),
        window in (1..4usize, 1..3usize, 1..4usize, 1..3usize),
        same: bool,
        seed: u64,
    ) {
        let ((b, t, h, w, c), (kernel, stride, frames, step)) = (sides, window);
        let padding = kernel / 2;
        prop_assume!(same || t + 2 * (frames / 2) >= frames);
        let window = Window::new(kernel, stride, padding).over(frames, step, frames / 2);
        let window = if same { window.same() } else { window };
        let pads = if same { [None; 3] } else { [Some(frames / 2), Some(padding), Some(padding)] };
        let input = [b, t, h, w, c];
        let naive = |x: &[Vec<f64>]| {
            let mut largest: Vec<f64> = Vec::new();
            let pixels = seen(input, [frames, kernel, kernel], [step, stride, stride], pads, |output, at, _| {
                largest.resize(largest.len().max((output + 1) * c), f64::NEG_INFINITY);
                for channel in 0..c {
                    largest[output * c + channel] = largest[output * c + channel].max(x[0][at * c + channel]);
                }
            });
            assert_eq!(largest.len(), pixels * c);
            largest
        };
        judge(
            &[&[b * t, h, w, c]],
            seed,
            |vars| on_tape(&vars[0], |x| joins::max_pool(x, t, window)),
            |vars| portable::max_pool(&vars[0], t, window),
            naive,
        )?;
    }

    #[test]
    fn means_that_slide_over_clips(sides in (1..3usize, 1..6usize, 1..7usize, 1..7usize, 1..40usize), window in (1..4usize, 1..5usize), all: bool, seed: u64) {
        let ((b, t, h, w, c), (frames, side)) = (sides, window);
        let average = if all { Average::All } else { Average::Sliding { frames, side } };
        let kernel = if all { [t, h, w] } else { [frames.min(t), side.min(h), side.min(w)] };
        let naive = |x: &[Vec<f64>]| {
            let mut sums: Vec<f64> = Vec::new();
            seen([b, t, h, w, c], kernel, [1; 3], [Some(0); 3], |output, at, _| {
                sums.resize(sums.len().max((output + 1) * c), 0.0);
                for channel in 0..c {
                    sums[output * c + channel] += x[0][at * c + channel] / kernel.iter().product::<usize>() as f64;
                }
            });
            sums
        };
        judge(
            &[&[b * t, h, w, c]],
            seed,
            |vars| on_tape(&vars[0], |x| joins::average_pool(x, t, average)),
            |vars| portable::average_pool(&vars[0], t, average),
            naive,
        )?;
    }
}

#[test]
fn windows_larger_than_can_be_told_apart_are_refused() {
    let x = Tensor::zeros((20, 20, 20, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
    let wide = Window::new(10, 1, 0).over(3, 1, 0);
    assert!(portable::max_pool(&x, 20, wide).is_err() && on_tape(&x, |x| joins::max_pool(x, 20, wide)).is_err());
    assert!(portable::max_pool(&x, 20, Window::new(3, 1, 0).over(3, 1, 2)).is_err());
    assert!(portable::max_pool(&x, 3, Window::new(3, 1, 0).over(3, 1, 0)).is_err());
}
