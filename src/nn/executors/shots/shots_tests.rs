//! The parts of a network that finds shots against plain loops; all of it learning against answering. Its own weights and clip are asked about in
//! `tests/stories/shots.rs`.

use candle_core::{Device, Tensor, Var};

use super::*;
use crate::nn::architectures;
use crate::nn::random::Draw;

const NAME: &str = "transnetv2";

fn random(shape: &[usize], seed: u64) -> Tensor {
    let count = shape.iter().product();
    Tensor::from_vec(Draw::new(seed, 0).normals(count, 1.0), shape, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Pixels from 0 to 1.
fn clip(frames: usize, seed: u64) -> Tensor {
    let count = 3 * frames * 27 * 48;
    let pixels = Draw::new(seed, 0).uniform(count, 0.5).into_iter().map(|value| value + 0.5).collect::<Vec<f32>>();
    Tensor::from_vec(pixels, (1, 3, frames, 27, 48), &Device::Cpu).unwrap()
}

#[test]
fn kernels_see_frames_that_lie_apart() {
    let (clips, frames, pixels, inputs, outputs) = (2, 7, 3, 4, 2);
    let (x, kernel) = (random(&[clips, frames, pixels, inputs], 1), Var::from_tensor(&random(&[outputs, inputs, 3, 1, 1], 2)).unwrap());
    for rate in [1, 2, 4, 8] {
        let y = over_frames(&x, &kernel, rate).unwrap();
        assert_eq!(y.dims(), [clips, frames, pixels, outputs]);
        let (seen, factors, weights) = (values(&x), values(&kernel), values(&random(y.dims(), 3)));
        let mut slopes = vec![0f64; factors.len()];
        for (at, found) in values(&y).iter().enumerate() {
            let (output, pixel, frame, clip) =
                (at % outputs, at / outputs % pixels, at / outputs / pixels % frames, at / outputs / pixels / frames);
            let mut sum = 0f64;
            for (tap, input) in (0..3).flat_map(|tap| (0..inputs).map(move |input| (tap, input))) {
                let Some(from) = (frame + tap * rate).checked_sub(rate).filter(|from| *from < frames) else { continue };
                let value = f64::from(seen[((clip * frames + from) * pixels + pixel) * inputs + input]);
                let factor = (output * inputs + input) * 3 + tap;
                sum += value * f64::from(factors[factor]);
                slopes[factor] += value * f64::from(weights[at]);
            }
            assert!((sum - f64::from(*found)).abs() < 1e-4, "rate {rate}, {at}: {sum} and {found}");
        }
        let loss = (y * Tensor::from_vec(weights, (clips, frames, pixels, outputs), &Device::Cpu).unwrap()).unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        for (found, slope) in values(gradients.get(&kernel).unwrap()).iter().zip(slopes) {
            assert!((f64::from(*found) - slope).abs() < 1e-3, "rate {rate}: {found} and {slope}");
        }
    }
}

#[test]
fn frames_are_held_against_those_around_them() {
    let rows = unit(&random(&[1, 4, 5], 4)).unwrap();
    let alike = alike(&rows).unwrap();
    let told = around(&alike).unwrap().squeeze(0).unwrap().to_vec2::<f32>().unwrap();
    let alike = alike.squeeze(0).unwrap().to_vec2::<f32>().unwrap();
    let middle = AROUND / 2;
    for (frame, told) in told.iter().enumerate() {
        assert!((told[middle] - 1.0).abs() < 1e-5, "itself");
        for (at, value) in told.iter().enumerate() {
            let other = (frame + at).checked_sub(middle).filter(|other| *other < 4);
            assert_eq!(*value, other.map_or(0.0, |other| alike[frame][other]), "{frame} {at}");
        }
    }
}

#[test]
fn colours_are_counted_by_their_upper_bits() {
    // A frame of two colours, three to one: 255, 128, 31 and 32, 0, 0.
    let pixels = [[255u8, 128, 31], [255, 128, 31], [255, 128, 31], [32, 0, 0]];
    let planes: Vec<f32> = (0..3).flat_map(|channel| pixels.map(|pixel| f32::from(pixel[channel]) / 255.0)).collect();
    let clip = Tensor::from_vec(planes, (1, 3, 1, 2, 2), &Device::Cpu).unwrap();
    let bins = values(&histograms(&clip).unwrap());
    let length = 10f32.sqrt();
    assert!((bins[(7 << 6) | (4 << 3)] - 3.0 / length).abs() < 1e-6 && (bins[1 << 6] - 1.0 / length).abs() < 1e-6);
    assert_eq!(bins.iter().filter(|count| **count > 0.0).count(), 2);
}

#[test]
fn it_learns_and_answers_alike_frame_by_frame() {
    let weights = Weights::random(NAME, 0, 5).unwrap();
    let network = architectures::build(NAME, &weights).unwrap();
    network.freeze_norms();
    let clip = clip(12, 6);
    let (seen, learned) = (network.forward_stage(0, &clip, Mode::Eval).unwrap(), network.forward_stage(0, &clip, Mode::Train).unwrap());
    assert_eq!(seen.dims(), [1, 1024, 12, 1, 1]);
    let scale = values(&seen).into_iter().fold(1e-3f32, f32::max);
    assert!(values(&seen).iter().zip(values(&learned)).all(|(a, b)| (a - b).abs() < 1e-4 * scale));
    let pooled = network.pool(&learned).unwrap();
    let gradients = crate::nn::kernels::backward(&pooled.sqr().unwrap().sum_all().unwrap()).unwrap();
    for name in &network.stages()[0].parameters {
        let gradient = values(gradients.get(weights.get(name).unwrap()).unwrap_or_else(|| panic!("{name} has no gradient")));
        assert!(gradient.iter().all(|value| value.is_finite()) && gradient.iter().any(|value| *value != 0.0), "{name}");
    }
    assert!(network.trainable(0).iter().all(|name| !name.starts_with("cls_layer")) && network.trainable(1).is_empty());
    let logits = network.shot_logits(&clip).unwrap().unwrap();
    assert_eq!(logits.dims(), [1, 12, 2]);
    // Two clips at once are each by itself.
    let other = self::clip(12, 7);
    let both = network.shot_logits(&Tensor::cat(&[&clip, &other], 0).unwrap()).unwrap().unwrap();
    let (first, second) = (both.narrow(0, 0, 1).unwrap(), network.shot_logits(&other).unwrap().unwrap());
    assert!(values(&first).iter().zip(values(&logits)).all(|(a, b)| (a - b).abs() < 1e-4));
    assert!(values(&both.narrow(0, 1, 1).unwrap()).iter().zip(values(&second)).all(|(a, b)| (a - b).abs() < 1e-4));
    let square = Tensor::zeros((1, 3, 4, 48, 48), candle_core::DType::F32, &Device::Cpu).unwrap();
    assert!(network.shot_logits(&square).unwrap_err().to_string().contains("27 lines and 48 columns"));
}
