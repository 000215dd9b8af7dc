//! Every decoder of pixels: the same answers and gradients on both roads, gradients that are slopes, and tensors that come back.

use candle_core::{Device, Var};

use super::*;
use crate::nn::kernels::ops::{Forced, Road};
use crate::nn::random::Draw;

const VIEW: usize = 64;
const OUTPUTS: usize = 3;
const DECODERS: [&str; 4] = ["lr-aspp", "deeplabv3+", "unet", "fpn"];

fn scales() -> Vec<Scale> {
    [(0, 4, 5), (2, 8, 6), (3, 16, 7), (5, 32, 8)].map(|(stage, stride, width)| Scale { stage, stride, width }).into()
}

fn design(scales: &[Scale], shortcut: bool) -> Design<'_> {
    Design { scales, outputs: OUTPUTS, view: (VIEW, VIEW), shortcut }
}

/// Maps `(2, C, h, w)` of all scales.
fn maps(seed: u64) -> Vec<Var> {
    let one = |(at, scale): (usize, &Scale)| {
        let side = VIEW / scale.stride;
        let values = Draw::new(seed, at as u64).normals(2 * scale.width * side * side, 1.0);
        Var::from_vec(values, (2, scale.width, side, side), &Device::Cpu).unwrap()
    };
    scales().iter().enumerate().map(one).collect()
}

/// The sum of answers, each times a number of its own, and gradients to maps and parameters.
fn pulled(head: &Dense, maps: &[Var]) -> (f64, Vec<Vec<f32>>) {
    let given: Vec<Tensor> = maps.iter().map(|map| map.as_tensor().clone()).collect();
    let answers = head.forward(&given, Mode::Train, false).unwrap();
    let factors = Tensor::from_vec(Draw::new(77, 0).normals(answers.elem_count(), 1.0), answers.shape(), &Device::Cpu).unwrap();
    let sum = (answers * factors).unwrap().sum_all().unwrap();
    let gradients = sum.backward().unwrap();
    let parameters = head.parameters();
    let vars = maps.iter().chain(parameters.iter().map(|(_, var)| *var));
    let found = vars.map(|var| gradients.get(var).map_or_else(Vec::new, |g| g.flatten_all().unwrap().to_vec1().unwrap())).collect();
    (f64::from(sum.to_scalar::<f32>().unwrap()), found)
}

#[test]
fn both_roads_agree_and_every_parameter_learns() {
    for name in DECODERS {
        let (scales, maps) = (scales(), maps(3));
        let head = Dense::fresh(name, &design(&scales, false), 5, &Device::Cpu).unwrap();
        let on = |road: Road| {
            head.settings.force(Forced { road: Some(road), ..Forced::default() });
            pulled(&head, &maps)
        };
        let ((tape, own), (portable, theirs)) = (on(Road::Tape), on(Road::Portable));
        assert!((tape - portable).abs() <= 1e-3 * tape.abs().max(1.0), "{name}: {tape} and {portable}");
        for (at, (own, theirs)) in own.iter().zip(&theirs).enumerate() {
            assert!(own.len() == theirs.len() && (at < 4 || !own.is_empty()), "{name}: gradient {at} is missing");
            let scale = theirs.iter().fold(1e-2f32, |most, value| most.max(value.abs()));
            let apart = own.iter().zip(theirs).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(apart <= 2e-3 * scale, "{name}: gradient {at} is {apart} apart, of {scale}");
        }
    }
}

#[test]
fn gradients_are_slopes() {
    for name in DECODERS {
        let (scales, maps) = (scales(), maps(4));
        let head = Dense::fresh(name, &design(&scales, false), 6, &Device::Cpu).unwrap();
        let (_, gradients) = pulled(&head, &maps);
        // Along a direction in all maps: single entries drown in what f32 rounds off.
        let directions: Vec<Vec<f32>> =
            maps.iter().enumerate().map(|(at, map)| Draw::new(8, at as u64).normals(map.elem_count(), 1.0)).collect();
        let slope: f64 =
            gradients.iter().zip(&directions).flat_map(|(g, d)| g.iter().zip(d)).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
        let moved = |by: f32| {
            let moved: Vec<Var> = maps
                .iter()
                .zip(&directions)
                .map(|(map, direction)| {
                    let direction = Tensor::from_slice(direction, map.shape(), &Device::Cpu).unwrap();
                    Var::from_tensor(&(map.as_tensor() + (direction * f64::from(by)).unwrap()).unwrap()).unwrap()
                })
                .collect();
            pulled(&head, &moved).0
        };
        let step = 2e-3;
        let found = (moved(step) - moved(-step)) / f64::from(2.0 * step);
        // Rectifiers turn in between.
        assert!((found - slope).abs() <= 0.1 * slope.abs().max(10.0), "{name}: {found} and {slope}");
    }
}

#[test]
fn a_head_comes_back_from_its_tensors_and_starts_at_a_linear_one() {
    let (scales, maps) = (scales(), maps(5));
    let given: Vec<Tensor> = maps.iter().map(|map| map.as_tensor().detach()).collect();
    let width: usize = scales.iter().map(|scale| scale.width).sum();
    let weight = Tensor::from_vec(Draw::new(1, 1).normals(OUTPUTS * width, 1.0), (OUTPUTS, width), &Device::Cpu).unwrap();
    let bias = Tensor::new(&[0.5f32, -1.0, 2.0], &Device::Cpu).unwrap();
    for name in DECODERS {
        let head = Dense::fresh(name, &design(&scales, true), 7, &Device::Cpu).unwrap();
        start_from(&head, &scales, &weight, &bias).unwrap();
        let answers = head.forward(&given, Mode::Eval, false).unwrap();
        assert_eq!(answers.dims(), [2 * 16 * 16, OUTPUTS]);
        // The finest maps' part and what others say at a corner, where they are not interpolated.
        let corner = |map: &Tensor| map.get(0).unwrap().narrow(1, 0, 1).unwrap().narrow(2, 0, 1).unwrap().flatten_all().unwrap();
        let row = Tensor::cat(&given.iter().map(corner).collect::<Vec<_>>(), 0).unwrap().unsqueeze(1).unwrap();
        let wanted = (weight.matmul(&row).unwrap().squeeze(1).unwrap() + &bias).unwrap().to_vec1::<f32>().unwrap();
        let found = answers.get(0).unwrap().to_vec1::<f32>().unwrap();
        assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-4), "{name}: {found:?} and {wanted:?}");
        let again = Dense::given(name, &design(&scales, false), head.weights()).unwrap();
        let same = again.forward(&given, Mode::Eval, false).unwrap();
        assert_eq!(same.to_vec2::<f32>().unwrap(), answers.to_vec2::<f32>().unwrap(), "{name}");
        let mirrored = again.forward(&given, Mode::Eval, true).unwrap();
        let (plain, turned) = (answers.to_vec2::<f32>().unwrap(), mirrored.to_vec2::<f32>().unwrap());
        assert!((0..16).all(|at| plain[at] == turned[15 - at]), "{name}");
        let fewer = Dense::given(name, &design(&scales[..3], false), head.weights());
        assert!(name != "unet" || fewer.is_err(), "another backbone's tensors do not fit");
    }
    assert!(Dense::fresh("pspnet", &design(&scales, false), 0, &Device::Cpu).is_err());
    let plain = Dense::fresh("unet", &design(&scales, false), 0, &Device::Cpu).unwrap();
    assert!(start_from(&plain, &scales, &weight, &bias).is_err());
}
