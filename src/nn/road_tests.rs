//! Whole networks on the road that other devices take, run on the CPU, beside the CPU's own kernels: features, logits,
//! running statistics and every gradient. What holds here holds on a card, but for the order of its sums.

use candle_core::{Device, Tensor};

use super::kernels;
use super::kernels::ops::{Forced, Road};
use super::random::Draw;
use super::{Classifier, Input, Mode, PADDING, Weights, architectures, loss};

/// Of a clip.
const FRAMES: usize = 5;

fn drawn(shape: &[usize]) -> Tensor {
    Tensor::from_vec(Draw::new(1, 0).normals(shape.iter().product(), 1.0), shape, &Device::Cpu).unwrap()
}

/// What one training step and one answer show of a network.
struct Shown {
    answer: Vec<f32>,
    logits: Vec<f32>,
    /// By name.
    gradients: Vec<(String, Vec<f32>)>,
    buffers: Vec<(String, Vec<f32>)>,
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Weights of that architecture with nothing silent in them, so that every part takes part.
fn model(architecture: &str) -> Classifier {
    let weights = Weights::random(architecture, 5, 3).unwrap();
    for (index, (name, var)) in weights.iter().enumerate() {
        if var.rank() == 1 && !name.ends_with(".bias") && !name.ends_with(".running_mean") {
            let scales: Vec<f32> = Draw::new(9, index as u64).uniform(var.elem_count(), 0.3).iter().map(|x| 1.0 + x).collect();
            var.set(&Tensor::new(scales, &Device::Cpu).unwrap()).unwrap();
        }
    }
    architectures::build_classifier(architecture, 5, &weights).unwrap()
}

fn show(architecture: &str, batch: usize, side: usize, frozen: usize, road: Option<Road>) -> Shown {
    let model = model(architecture);
    model.backbone.settings().force(Forced { road, ..Forced::default() });
    let known = architectures::get(architecture).unwrap();
    let side = known.fixed_side().unwrap_or(side);
    let x = match known.frames() {
        Some(_) => Input::Clips(drawn(&[batch, 3, FRAMES, side, side])),
        None => Input::Pixels(drawn(&[batch, 3, side, side])),
    };
    let labels: Vec<u32> = (0..batch as u32).map(|index| index % 5).collect();
    let answer = values(&model.logits(&x, Mode::Eval).unwrap());
    let logits = model.forward(&x, frozen, Mode::Train, 0).unwrap();
    let loss = loss::cross_entropy(&logits, &Tensor::new(labels, &Device::Cpu).unwrap(), 0.1).unwrap();
    let found = kernels::backward(&loss).unwrap();
    let weights = model.weights();
    let learning = weights.parameters().filter_map(|(name, var)| Some((name.to_owned(), values(found.get(var)?))));
    let buffers = weights.buffers().map(|(name, var)| (name.to_owned(), values(var)));
    Shown { answer, logits: values(&logits), gradients: learning.collect(), buffers: buffers.collect() }
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt()
}

/// How far apart they are, as a share of their length, or of `floor` where they are shorter. Lengths, because a value
/// beside an activation's edge may fall on the other side of it, and then single gradients differ.
fn close(what: &str, ours: &[f32], theirs: &[f32], floor: f64, tolerance: f64) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let apart: Vec<f32> = ours.iter().zip(theirs).map(|(a, b)| a - b).collect();
    let share = norm(&apart) / norm(theirs).max(floor);
    assert!(share <= tolerance, "{what}: {share} apart, and the length is {}", norm(theirs));
}

fn both_roads_agree(architecture: &str, batch: usize, side: usize, frozen: usize) {
    both_roads_agree_within(1e-4, architecture, batch, side, frozen);
}

/// `tolerance`: of the outputs. Long chains of norms over few values carry the rounding of sums on.
fn both_roads_agree_within(tolerance: f64, architecture: &str, batch: usize, side: usize, frozen: usize) {
    let show = |road| show(architecture, batch, side, frozen, road);
    let (kernels, composed) = (show(None), show(Some(Road::Portable)));
    close(&format!("answer of {architecture}"), &composed.answer, &kernels.answer, 0.0, tolerance);
    close(&format!("logits of {architecture}"), &composed.logits, &kernels.logits, 0.0, tolerance);
    let names = |list: &[(String, Vec<f32>)]| list.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&composed.gradients), names(&kernels.gradients));
    // The gradient to a shift that the next batch norm takes away again is nothing but what sums leave that cancel.
    let floor = 1e-2 * kernels.gradients.iter().map(|(_, values)| norm(values)).fold(0.0, f64::max);
    for ((name, ours), (_, theirs)) in composed.gradients.iter().zip(&kernels.gradients) {
        close(name, ours, theirs, floor, tolerance.max(2e-2));
    }
    for ((name, ours), (_, theirs)) in composed.buffers.iter().zip(&kernels.buffers) {
        close(name, ours, theirs, 1e-2, 1e-3);
    }
}

#[test]
fn resnet() {
    both_roads_agree("resnet18", 3, 64, 0);
    both_roads_agree("resnet50", 3, 65, 4);
    both_roads_agree("resnext50_32x4d", 3, 64, 3);
    both_roads_agree("seresnet18", 3, 64, 1);
    both_roads_agree("regnety_002", 4, 64, 0);
}

#[test]
fn mobile_networks() {
    both_roads_agree("mobilenetv2_100", 4, 64, 0);
    both_roads_agree("tf_efficientnet_lite0", 4, 49, 0);
}

#[test]
fn networks_with_bent_activations_and_squeezes() {
    both_roads_agree("mobilenetv3_small_100", 4, 64, 0);
    both_roads_agree("efficientnet_b0", 4, 64, 1);
}

#[test]
fn networks_of_clips() {
    both_roads_agree("r2plus1d_18", 2, 35, 0);
    both_roads_agree("r3d_18", 2, 34, 3);
    both_roads_agree("resnet18_3d", 2, 64, 1);
    both_roads_agree_within(1e-3, "x3d_s", 2, 64, 0);
    // Maxima of overlapping cubes: one that is nearly another falls to either.
    both_roads_agree_within(0.1, "i3d", 3, 65, 2);
}

#[test]
fn networks_with_norms_over_channels() {
    both_roads_agree("convnext_atto", 2, 70, 0);
    both_roads_agree("convnext_atto", 1, 64, 3);
}

#[test]
fn networks_that_shrink_by_means_and_join_branches() {
    both_roads_agree("resnet10t", 3, 67, 0);
    both_roads_agree_within(1e-3, "densenet121", 3, 66, 3);
    both_roads_agree("squeezenet1_1", 2, 70, 1);
    both_roads_agree_within(1e-3, "inception_v3", 4, 107, 2);
}

#[test]
fn networks_whose_last_layer_sees_a_pixel_and_those_that_respond() {
    both_roads_agree("mobilenetv4_conv_small", 4, 64, 0);
    both_roads_agree("convnextv2_atto", 2, 70, 0);
}

#[test]
fn transformers() {
    both_roads_agree("vit_tiny_patch16_224", 2, 224, 0);
    both_roads_agree("deit_tiny_patch16_224", 1, 224, 7);
    both_roads_agree("vit_base_patch32_clip_224", 1, 224, 10);
    both_roads_agree("vit_base_patch16_siglip_224", 1, 224, 11);
}

#[test]
fn towers_that_share_a_space() {
    both_roads_agree("clip_vision_model_l2_d16_h2_f24_i32_q8_e5_a2_o8", 2, 32, 0);
    both_roads_agree("clip_vision_model_l2_d16_h2_f24_i32_q8_e5_a1_o8", 2, 32, 2);
    both_roads_agree("siglip_vision_model_l2_d16_h2_f24_i32_q8_e6_a3", 2, 32, 0);
    for (name, frozen) in [
        ("clip_text_model_l2_d16_h2_f24_v41_p12_e5_o8_a2", 0),
        ("clip_text_model_l2_d16_h2_f24_v41_p12_e5_o8_a2", 2),
        ("siglip_text_model_l2_d16_h2_f24_v41_p12_e6_o8_a3_z1", 0),
    ] {
        // Of unequal lengths, one of a single token.
        let rows: [&[u32]; 3] = [&[39, 5, 7, 9, 40], &[40], &[39, 3, 3, 11, 12, 13, 14, 40]];
        let ids: Vec<u32> = rows.iter().flat_map(|row| (0..8).flat_map(|at| [row.get(at).copied().unwrap_or(PADDING), 0])).collect();
        let input = Input::Tokens(Tensor::from_vec(ids, (3, 8, 2), &Device::Cpu).unwrap());
        let roads = [None, Some(Road::Portable)].map(|road| {
            let weights = Weights::random(name, 0, 3).unwrap();
            let backbone = architectures::build(name, &weights).unwrap();
            backbone.settings().force(Forced { road, ..Forced::default() });
            let features = backbone.pooled(&input, frozen, Mode::Train).unwrap();
            let found = kernels::backward(&features.sqr().unwrap().sum_all().unwrap()).unwrap();
            let gradients = weights.parameters().filter_map(|(name, var)| Some((name.to_owned(), values(found.get(var)?))));
            (values(&features), gradients.collect::<Vec<_>>())
        });
        let [(kernels, learned), (composed, theirs)] = &roads;
        close(name, composed, kernels, 0.0, 1e-4);
        assert!(!learned.is_empty() && learned.len() == theirs.len(), "{name}");
        let floor = 1e-2 * learned.iter().map(|(_, values)| norm(values)).fold(0.0, f64::max);
        for ((part, ours), (_, theirs)) in theirs.iter().zip(learned) {
            close(&format!("{name} {part}"), ours, theirs, floor, 2e-2);
        }
    }
}

#[test]
fn transformers_with_windows() {
    both_roads_agree("swin_tiny_patch4_window7_224", 2, 224, 0);
    both_roads_agree("swin_tiny_patch4_window7_224", 1, 224, 4);
}

#[test]
fn norms_that_keep_their_statistics_answer_while_learning_as_they_do_after() {
    for architecture in ["resnet18", "mobilenetv2_100", "mobilenetv3_small_100", "densenet121"] {
        let pixels = Draw::new(1, 0).normals(2 * 3 * 64 * 64, 1.0);
        let x = Tensor::from_vec(pixels, (2, 3, 64, 64), &Device::Cpu).unwrap();
        let learned = [None, Some(Road::Portable)].map(|road| {
            let model = model(architecture);
            let before: Vec<Vec<f32>> = model.weights().buffers().map(|(_, var)| values(var)).collect();
            let answer = values(&model.logits(&x, Mode::Eval).unwrap());
            model.backbone.settings().force(Forced { road, ..Forced::default() });
            model.backbone.freeze_norms();
            let logits = model.logits(&x, Mode::Train).unwrap();
            close("logits", &values(&logits), &answer, 0.0, 1e-4);
            let found = kernels::backward(&logits.sqr().unwrap().sum_all().unwrap()).unwrap();
            let after: Vec<Vec<f32>> = model.weights().buffers().map(|(_, var)| values(var)).collect();
            assert_eq!(before, after, "{architecture}: running statistics have moved");
            let weights = model.weights();
            weights.parameters().map(|(name, var)| (name.to_owned(), values(found.get(var).unwrap()))).collect::<Vec<_>>()
        });
        let [kernels, composed] = &learned;
        let floor = 1e-3 * kernels.iter().map(|(_, values)| norm(values)).fold(0.0, f64::max);
        for ((name, ours), (_, theirs)) in composed.iter().zip(kernels) {
            close(name, ours, theirs, floor, 2e-2);
        }
    }
}
