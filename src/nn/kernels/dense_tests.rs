//! Layers of heads over maps: values against plain formulas, gradients against finite differences of them, and both against the composed
//! twins.

use proptest::prelude::*;

use super::conv::resize::{Between, taps};
use super::naive_tests::{judge, on_tape};
use super::portable;
use super::tape::dense;

fn naive_resize(x: &[f64], [b, h, w, c]: [usize; 4], [out_h, out_w]: [usize; 2], between: Between) -> Vec<f64> {
    let (lines, columns) = (taps(h, out_h, between), taps(w, out_w, between));
    let mut y = Vec::new();
    for image in 0..b {
        for line in &lines {
            for column in &columns {
                for channel in 0..c {
                    let at = |row: usize, place: usize| x[((image * h + row) * w + place) * c + channel];
                    let across = |row: usize| {
                        let part = f64::from(column.part);
                        at(row, column.low) * (1.0 - part) + at(row, column.high) * part
                    };
                    let part = f64::from(line.part);
                    y.push(across(line.low) * (1.0 - part) + across(line.high) * part);
                }
            }
        }
    }
    y
}

fn naive_dilated(x: &[f64], weight: &[f64], [b, h, w, c]: [usize; 4], kernel: usize, rate: usize) -> Vec<f64> {
    let half = (kernel / 2 * rate) as i64;
    let mut y = vec![0.0; x.len()];
    for (at, y) in y.iter_mut().enumerate() {
        let (image, row, column, channel) = (at / (h * w * c), (at / (w * c) % h) as i64, (at / c % w) as i64, at % c);
        for tap in 0..kernel * kernel {
            let (from_row, from_column) = (row - half + (tap / kernel * rate) as i64, column - half + (tap % kernel * rate) as i64);
            if (0..h as i64).contains(&from_row) && (0..w as i64).contains(&from_column) {
                let place = ((image * h + from_row as usize) * w + from_column as usize) * c + channel;
                *y += x[place] * weight[channel * kernel * kernel + tap];
            }
        }
    }
    assert_eq!(y.len(), b * h * w * c);
    y
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn maps_are_brought_to_other_sides(
        shape in (1..3usize, 1..7usize, 1..7usize, 1..20usize),
        sides in (1..12usize, 1..12usize),
        bilinear: bool,
        seed: u64,
    ) {
        let ((b, h, w, c), sides) = (shape, [sides.0, sides.1]);
        let between = if bilinear { Between::Bilinear } else { Between::Nearest };
        judge(
            &[&[b, h, w, c]],
            seed,
            |vars| on_tape(&vars[0], |x| dense::resize(x, sides, between)),
            |vars| portable::resize(&vars[0], sides, between),
            |x| naive_resize(&x[0], [b, h, w, c], sides, between),
        )?;
    }

    #[test]
    fn taps_lie_apart(shape in (1..3usize, 1..9usize, 1..9usize, 1..20usize), rate in 1..7usize, wide: bool, seed: u64) {
        let ((b, h, w, c), kernel) = (shape, if wide { 5 } else { 3 });
        judge(
            &[&[b, h, w, c], &[c, 1, kernel, kernel]],
            seed,
            |vars| on_tape(&vars[0], |x| dense::dilated(x, &vars[1], rate)),
            |vars| portable::dilated(&vars[0], &vars[1], rate),
            |x| naive_dilated(&x[0], &x[1], [b, h, w, c], kernel, rate),
        )?;
    }

    #[test]
    fn channels_are_opened_and_shut(shape in (1..4usize, 1..6usize, 1..6usize, 1..40usize), seed: u64) {
        let (b, h, w, c) = shape;
        judge(
            &[&[b, h, w, c], &[b, c]],
            seed,
            |vars| on_tape(&vars[0], |x| dense::gated(x, &vars[1])),
            |vars| portable::scale_channels(&vars[0], &vars[1]),
            |x| x[0].iter().enumerate().map(|(at, value)| value * x[1][at / (h * w * c) * c + at % c]).collect(),
        )?;
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let x = candle_core::Tensor::zeros((1, 4, 4, 3), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
    let weight = |dims: (usize, usize, usize, usize)| candle_core::Tensor::zeros(dims, candle_core::DType::F32, x.device()).unwrap();
    for dims in [(2, 1, 3, 3), (3, 1, 2, 2), (3, 2, 3, 3), (3, 1, 3, 5)] {
        assert!(on_tape(&x, |x| dense::dilated(x, &weight(dims), 1)).is_err(), "{dims:?}");
    }
    assert!(on_tape(&x, |x| dense::dilated(x, &weight((3, 1, 3, 3)), 0)).is_err());
    assert!(on_tape(&x, |x| dense::resize(x, [0, 2], Between::Nearest)).is_err());
    let gates = candle_core::Tensor::zeros((2, 3), candle_core::DType::F32, x.device()).unwrap();
    assert!(on_tape(&x, |x| dense::gated(x, &gates)).is_err());
}
