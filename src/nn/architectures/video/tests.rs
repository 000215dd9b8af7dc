//! Networks of clips: the numbers that others counted, and what inflation makes of one of images.

use super::*;
use crate::domain::modality::Modality;
use crate::domain::safetensors::is_buffer;
use crate::nn::architectures::{expected, get};

#[test]
fn parameters_and_multiply_adds_are_the_published_ones() {
    // torchvision's for Kinetics-400; pytorchvideo's, rounded to 10,000.
    let counted = [("r3d_18", 33_371_472, 40.697), ("mc3_18", 11_695_440, 43.343), ("r2plus1d_18", 31_505_325, 40.519)];
    for (name, parameters, multiply_adds) in counted {
        let learned = expected(name, 400).unwrap().into_iter().filter(|tensor| !is_buffer(&tensor.name)).map(|tensor| tensor.count());
        assert_eq!(learned.sum::<usize>(), parameters, "{name}");
        let costs = get(name).unwrap().costs(&[3, 16, 112, 112]).iter().map(|cost| cost.multiply_adds).sum::<f64>() / 1e9;
        assert!((costs - multiply_adds).abs() < 0.01, "{name}: {costs}");
    }
    for (name, parameters) in [("s3d", 8_320_048), ("slow_r50", 32_454_096), ("i3d_r50", 28_043_472), ("x3d_s", 3_794_274)] {
        let learned = expected(name, 400).unwrap().into_iter().filter(|tensor| !is_buffer(&tensor.name)).map(|tensor| tensor.count());
        assert_eq!(learned.sum::<usize>(), parameters, "{name}");
    }
}

#[test]
fn inception_modules_fit_each_other() {
    let widths: Vec<_> = inception::MODULES.iter().flat_map(|modules| modules.iter()).collect();
    assert!(widths.windows(2).all(|pair| pair[0].output() == pair[1].input));
    assert_eq!(widths.last().map(|last| last.output()), Some(inception::FEATURES));
}

#[test]
fn inflated_networks_are_found_by_the_name_of_the_base() {
    let found = get("resnet50_3d").unwrap();
    assert_eq!((found.modality(), found.num_features, found.classifier, found.frames()), (Modality::Video, 2048, "fc", Some(8)));
    assert!(std::ptr::eq(found, get("resnet50_3d.mine").unwrap()));
    for none in ["vit_tiny_patch16_224_3d", "r3d_18_3d", "resnet51_3d", "_3d", "resnet50_3d_3d"] {
        assert!(get(none).is_err(), "{none}");
    }
    let shape = |name: &str| found.expected(0).into_iter().find(|tensor| tensor.name == name).unwrap().shape;
    assert_eq!(shape("conv1.weight"), [64, 3, 3, 7, 7]);
    assert_eq!((shape("layer1.0.conv1.weight"), shape("layer1.0.conv2.weight")), (vec![64, 64, 3, 1, 1], vec![64, 64, 1, 3, 3]));
}

#[test]
fn a_classifier_over_one_pixel_is_a_linear_layer_and_back() {
    let kernel = Var::zeros((4, 1024, 1, 1, 1), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
    let mut weights = Weights::default();
    weights.insert("logits.conv3d.weight".into(), kernel);
    let known = get("i3d").unwrap();
    let adopted = known.adopted(weights);
    assert_eq!(adopted.get("logits.conv3d.weight").unwrap().dims(), [4, 1024]);
    let back = crate::nn::architectures::published("i3d", &adopted);
    assert_eq!(back.get("logits.conv3d.weight").unwrap().dims(), [4, 1024, 1, 1, 1]);
}
