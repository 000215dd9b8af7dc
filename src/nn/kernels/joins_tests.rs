//! Poolings by means, channels shifted along time, maps joined by their channels, batch norm by itself and global response norm: values against plain formulas,
//! gradients against finite differences of them, and both against the composed twins.

use candle_core::Tensor;
use proptest::prelude::*;

use super::naive_tests::{judge, on_tape, random};
use super::tape::{Node, joins, norm, response};
use super::{Activation, Average, Norm, Window, portable};

/// Each pixel's place in `(B, H, W, C)`.
fn places([b, h, w, c]: [usize; 4]) -> impl Iterator<Item = [usize; 4]> {
    (0..b * h * w * c).map(move |at| [at / (h * w * c), at / (w * c) % h, at / c % w, at % c])
}

/// The mean over those of `taps` that lie on the side, or over all of them.
fn mean_of(x: &[f64], [_, h, w, c]: [usize; 4], [image, channel]: [usize; 2], lines: (i64, i64), columns: (i64, i64), all: bool) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for (y, x_at) in (lines.0..lines.1).flat_map(|y| (columns.0..columns.1).map(move |x| (y, x))) {
        let inside = (0..h as i64).contains(&y) && (0..w as i64).contains(&x_at);
        if inside {
            sum += x[((image * h + y as usize) * w + x_at as usize) * c + channel];
        }
        count += f64::from(u8::from(inside || all));
    }
    sum / count
}

fn naive_average(x: &[f64], shape: [usize; 4], average: Average) -> Vec<f64> {
    let [b, h, w, c] = shape;
    let [out_h, out_w] = average.output([h, w]).unwrap();
    let range = |at: usize, side: usize, outputs: usize| -> (i64, i64) {
        match average {
            Average::Windows(window) | Average::Padded(window) => {
                let from = (at * window.stride) as i64 - window.padding as i64;
                (from, from + window.kernel as i64)
            }
            Average::AtLeast(_) | Average::All | Average::Sliding { .. } => {
                ((at * side / outputs) as i64, ((at + 1) * side).div_ceil(outputs) as i64)
            }
        }
    };
    let all = matches!(average, Average::Padded(_));
    places([b, out_h, out_w, c]).map(|[i, y, x_at, k]| mean_of(x, shape, [i, k], range(y, h, out_h), range(x_at, w, out_w), all)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn means_are_those_of_what_lies_under_each_window(
        shape in (1..3usize, 2..8usize, 2..8usize, 1..40usize),
        window in (1..4usize, 1..3usize, 0..2usize),
        which in 0..5usize,
        seed: u64,
    ) {
        let (b, h, w, c) = shape;
        let (kernel, stride, padding) = window;
        prop_assume!(padding * 2 <= kernel && h + 2 * padding >= kernel && w + 2 * padding >= kernel);
        let window = Window::new(kernel, stride, padding);
        let average = [
            Average::Windows(window),
            Average::Windows(window.overhanging()),
            Average::Padded(window),
            Average::AtLeast(4),
            Average::All,
        ][which];
        judge(
            &[&[b, h, w, c]],
            seed,
            |vars| on_tape(&vars[0], |x| joins::average_pool(x, 1, average)),
            |vars| portable::average_pool(&vars[0], 1, average),
            |x| naive_average(&x[0], [b, h, w, c], average),
        )?;
    }

    #[test]
    fn an_eighth_of_the_channels_is_that_of_the_next_frame_and_one_that_of_the_last(
        clips in (1..3usize, 1..6usize),
        sides in (1..4usize, 1..4usize),
        channels in 1..40usize,
        seed: u64,
    ) {
        let ((clips, frames), (h, w), part) = (clips, sides, channels / 8);
        let shape = [clips * frames, h, w, channels];
        let naive = |x: &[Vec<f64>]| {
            let value = |[map, y, x_at, k]: [usize; 4]| {
                let (first, frame) = (map - map % frames, map % frames);
                let from = match k {
                    _ if k < part => Some(frame + 1).filter(|next| *next < frames),
                    _ if k < 2 * part => frame.checked_sub(1),
                    _ => Some(frame),
                };
                from.map_or(0.0, |from| x[0][(((first + from) * h + y) * w + x_at) * channels + k])
            };
            places(shape).map(value).collect()
        };
        judge(
            &[&shape],
            seed,
            |vars| on_tape(&vars[0], |x| joins::shift(x, frames)),
            |vars| portable::shift(&vars[0], frames),
            naive,
        )?;
        let x = random(seed, 3, &shape);
        let (shift, mut y) = (super::Shift::new(&shape, frames).unwrap(), vec![f32::NAN; shape.iter().product()]);
        shift.forward(&x.flatten_all().unwrap().to_vec1::<f32>().unwrap(), super::Threads::One, &mut y);
        let twin = portable::shift(&x, frames).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        prop_assert_eq!(y, twin);
        prop_assert!(super::Shift::new(&shape, frames * clips + 1).is_err());
    }

    #[test]
    fn joined_maps_keep_their_channels(
        sides in (1..3usize, 1..9usize, 1..80usize),
        widths in (1..40usize, 1..5usize, 1..20usize),
        seed: u64,
    ) {
        let ((b, h, w), widths) = (sides, [widths.0, widths.1, widths.2]);
        let shapes = widths.map(|width| [b, h, w, width]);
        let naive = |x: &[Vec<f64>]| {
            let pixel = |at: usize| (0..3).flat_map(move |map| (at * widths[map]..(at + 1) * widths[map]).map(move |place| (map, place)));
            (0..b * h * w).flat_map(pixel).map(|(map, place)| x[map][place]).collect()
        };
        let enter = |x: &Tensor| Node::enter(x, super::naive_tests::F32);
        judge(
            &shapes.each_ref().map(|shape| &shape[..]),
            seed,
            |vars| joins::join(&[enter(&vars[0])?, enter(&vars[1])?, enter(&vars[2])?])?.leave(),
            |vars| Tensor::cat(&[vars[0].as_tensor(), vars[1].as_tensor(), vars[2].as_tensor()], 3),
            naive,
        )?;
    }

    #[test]
    fn batch_norm_by_itself(shape in (2..4usize, 1..5usize, 1..5usize, 1..24usize), smooth: bool, fixed: bool, seed: u64) {
        let (b, h, w, c) = shape;
        let activation = if smooth { Activation::HardSwish } else { Activation::None };
        let known = (random(seed, 8, &[c]), random(seed, 9, &[c]));
        let known = (known.0.as_tensor().clone(), (known.1.sqr().unwrap() + 0.5).unwrap());
        let (given, spread) = (known.0.to_vec1::<f32>().unwrap(), known.1.to_vec1::<f32>().unwrap());
        let naive = |x: &[Vec<f64>]| {
            let pixels = (b * h * w) as f64;
            let value = |at: usize| {
                let (k, column) = (at % c, x[0].iter().skip(at % c).step_by(c));
                let mean = if fixed { f64::from(given[k]) } else { column.clone().sum::<f64>() / pixels };
                let variance = if fixed { f64::from(spread[k]) } else { column.map(|x| (x - mean).powi(2)).sum::<f64>() / pixels };
                let y = (x[0][at] - mean) / (variance + 1e-3).sqrt() * x[1][k] + x[2][k];
                if smooth { y * (y + 3.0).clamp(0.0, 6.0) / 6.0 } else { y }
            };
            (0..x[0].len()).map(value).collect()
        };
        judge(
            &[&[b, h, w, c], &[c], &[c]],
            seed,
            |vars| {
                let parts = Norm { gamma: &vars[1], beta: &vars[2], eps: 1e-3, activation };
                on_tape(&vars[0], |x| Ok(norm::batch_norm(x, &parts, fixed.then_some((&known.0, &known.1)))?.0))
            },
            |vars| {
                let parts = Norm { gamma: &vars[1], beta: &vars[2], eps: 1e-3, activation };
                match fixed {
                    true => portable::batch_norm_eval(&vars[0], &parts, &known.0, &known.1, None),
                    false => Ok(portable::batch_norm_train(&vars[0], &parts, None)?.0),
                }
            },
            naive,
        )?;
    }

    #[test]
    fn channels_respond_by_their_length_beside_the_mean(shape in (1..4usize, 1..6usize, 1..6usize, 1..40usize), seed: u64) {
        let (b, h, w, c) = shape;
        let naive = |x: &[Vec<f64>]| {
            let length = |image: usize, k: usize| {
                let pixels = (0..h * w).map(|at| x[0][(image * h * w + at) * c + k]);
                pixels.map(|value| value * value).sum::<f64>().sqrt()
            };
            let level = |image: usize| (0..c).map(|k| length(image, k)).sum::<f64>() / c as f64 + 1e-6;
            places([b, h, w, c])
                .zip(&x[0])
                .map(|([image, _, _, k], value)| value + x[1][k] * value * length(image, k) / level(image) + x[2][k])
                .collect()
        };
        judge(
            &[&[b, h, w, c], &[c], &[c]],
            seed,
            |vars| on_tape(&vars[0], |x| response::response_norm(x, &vars[1], &vars[2], 1e-6)),
            |vars| portable::response_norm(&vars[0], &vars[1], &vars[2], 1e-6),
            naive,
        )?;
    }
}

#[test]
fn channels_that_are_zero_respond_with_nothing_and_pull_at_nothing() {
    let x = candle_core::Var::zeros((1, 2, 2, 3), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
    let (weight, bias) = (random(1, 1, &[3]), random(1, 2, &[3]));
    let ours = on_tape(&x, |x| response::response_norm(x, &weight, &bias, 1e-6)).unwrap();
    for y in [ours, portable::response_norm(&x, &weight, &bias, 1e-6).unwrap()] {
        let gradients = y.sum_all().unwrap().backward().unwrap();
        let dx = gradients.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(dx.iter().all(|value| *value == 1.0), "{dx:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let enter = |shape: &[usize]| Node::enter(&random(0, 0, shape), super::naive_tests::F32).unwrap();
    assert!(joins::join(&[]).is_err());
    assert!(joins::join(&[enter(&[1, 4, 4, 2]), enter(&[1, 4, 3, 2])]).is_err());
    assert!(joins::average_pool(&enter(&[1, 1, 4, 2]), 1, Average::Windows(Window::new(2, 2, 0))).is_err());
    let (weight, bias) = (random(0, 1, &[3]), random(0, 2, &[2]));
    assert!(response::response_norm(&enter(&[1, 4, 4, 2]), &weight, &bias, 1e-6).is_err());
    let parts = Norm { gamma: &weight, beta: &bias, eps: 1e-3, activation: Activation::None };
    assert!(norm::batch_norm(&enter(&[1, 4, 4, 2]), &parts, None).is_err());
    let one = Norm { gamma: &bias, beta: &bias, eps: 1e-3, activation: Activation::None };
    assert!(norm::batch_norm(&enter(&[1, 1, 1, 2]), &one, None).is_err(), "a single value per channel has no variance");
}
