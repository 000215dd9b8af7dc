//! What holds for every architecture of the list, and the numbers that others counted.

use super::*;
use crate::domain::modality::Modality;
use crate::domain::safetensors::is_buffer;
use candle_core::{DType, Device, Var};

#[test]
fn widths_in_the_tables_are_those_of_the_networks() {
    for architecture in all() {
        let mut weights = Weights::default();
        for tensor in architecture.expected(0) {
            weights.insert(tensor.name, Var::zeros(tensor.shape, DType::F32, &Device::Cpu).unwrap());
        }
        let backbone = build(architecture.name, &weights).unwrap();
        assert_eq!(backbone.num_features(), architecture.num_features, "{}", architecture.name);
        let costs = architecture.costs(&[3, 224, 224]);
        assert_eq!(costs.len(), backbone.stages().len(), "{}", architecture.name);
    }
}

#[test]
fn names_are_found_with_and_without_a_tag() {
    assert_eq!(find("resnet50.a1_in1k").map(|found| found.name), Some("resnet50"));
    assert!(find("resnet51").is_none());
    assert!(get("resnet51").unwrap_err().to_string().contains("tf_efficientnet_lite0"));
}

#[test]
fn sides_are_taken_by_what_positions_are_learnt_of() {
    let refused = |name: &str, side: usize| get(name).unwrap().refuses_side(side);
    assert!([32, 97, 224].iter().all(|side| refused("resnet18", *side).is_none()));
    assert!(refused("vit_small_patch14_dinov2", 224).is_none() && refused("vit_small_patch14_dinov2", 518).is_none());
    assert!(refused("vit_small_patch14_dinov2", 230).unwrap().contains("such as 224"));
    assert!(refused("vit_tiny_patch16_224", 4).unwrap().contains("such as 16"));
    assert!(refused("swin_tiny_patch4_window7_224", 256).unwrap().contains("224 pixels, not 256"));
    let fewer = get("vit_small_patch14_dinov2").unwrap().expected_at(224, 0);
    assert!(fewer.iter().any(|tensor| tensor.name == "pos_embed" && tensor.shape == [1, 257, 384]));
}

#[test]
fn names_are_given_once_and_families_take_one_kind_of_input() {
    let names: HashSet<_> = all().map(|architecture| architecture.name).collect();
    assert_eq!(names.len(), all().count());
    assert!(all().all(|architecture| [Modality::Image, Modality::Video].contains(&architecture.modality())));
    assert!(families().contains(&"resnet") && families().is_sorted());
}

#[test]
fn embeddings_and_vectors_do_not_decay() {
    for architecture in all() {
        for tensor in architecture.expected(2) {
            let embedding =
                ["cls_token", "reg_token", "pos_embed", "relative_position_bias_table"].iter().any(|end| tensor.name.ends_with(end));
            let matrix = tensor.shape.len() > 1 && !embedding;
            assert_eq!(architecture.decays(&tensor.name, tensor.shape.len()), matrix, "{}: {}", architecture.name, tensor.name);
        }
    }
}

#[test]
fn parameter_counts_are_the_published_ones() {
    let count = |name: &str| -> usize {
        let tensors = expected(name, 1000).unwrap().into_iter();
        tensors.filter(|tensor| !is_buffer(&tensor.name)).map(|tensor| tensor.count()).sum()
    };
    assert_eq!(count("resnet18"), 11_689_512);
    assert_eq!(count("resnet50"), 25_557_032);
    assert_eq!(count("resnext50_32x4d"), 25_028_904);
    assert_eq!(count("mobilenetv2_100"), 3_504_872);
    assert_eq!(count("tf_efficientnet_lite0"), 4_652_008);
    assert_eq!(count("mobilenetv3_small_050"), 1_593_224);
    assert_eq!(count("mobilenetv3_small_075"), 2_041_872);
    assert_eq!(count("mobilenetv3_small_100"), 2_542_856);
    assert_eq!(count("mobilenetv3_large_100"), 5_483_032);
    assert_eq!(count("efficientnet_b0"), 5_288_548);
    assert_eq!(count("vit_tiny_patch16_224"), 5_717_416);
    assert_eq!(count("deit_small_patch16_224"), 22_050_664);
    assert_eq!(count("convnext_atto"), 3_695_520);
    assert_eq!(count("resnet50d"), 25_576_264);
    assert_eq!(count("swin_tiny_patch4_window7_224"), 28_288_354);
    assert_eq!(count("swin_small_patch4_window7_224"), 49_606_258);
    assert_eq!(count("vgg16"), 138_357_544);
    assert_eq!(count("vgg16_bn"), 138_365_992);
    assert_eq!(count("densenet121"), 7_978_856);
    assert_eq!(count("inception_v3"), 23_834_568);
    assert_eq!(count("mobilenetv4_conv_small"), 3_774_024);
    assert_eq!(count("convnextv2_atto"), 3_708_400);
    assert_eq!(count("mobilenetv2_110d"), 4_516_520);
    assert_eq!(count("tf_efficientnet_b7"), 66_347_960);
    assert_eq!(count("tf_efficientnetv2_l"), 118_515_272);
    assert_eq!(count("deit3_small_patch16_224"), 22_059_496);
    assert_eq!(count("vit_large_patch16_224"), 304_326_632);
    assert_eq!(count("swin_large_patch4_window12_384"), 196_735_516);
}

/// Counted with forward hooks over the convolutions, linear layers, squeezes and attentions of timm's models at 224
/// pixels: millions of outputs, millions of multiply-adds. (Layers inside a squeeze count their arithmetic only.)
#[test]
fn costs_are_those_counted_in_timm() {
    let counted = [
        ("tf_efficientnet_lite0", 6.74, 384.0),
        ("tf_efficientnet_lite4", 15.70, 1346.0),
        ("mobilenetv2_100", 6.68, 299.0),
        ("mobilenetv2_140", 9.57, 580.0),
        ("resnet18", 2.48, 1814.0),
        ("resnet50", 11.11, 4087.0),
        ("resnet152", 22.55, 11512.0),
        ("resnext50_32x4d", 14.40, 4228.4),
        ("mobilenetv3_small_100", 1.70, 55.5),
        ("mobilenetv3_large_100", 5.00, 215.3),
        ("efficientnet_b0", 9.04, 384.5),
        ("convnext_atto", 3.81, 547.0),
        ("vit_tiny_patch16_224", 4.58, 1253.5),
        ("vit_small_patch16_224", 9.15, 4598.5),
    ];
    for (name, outputs, multiply_adds) in counted {
        let costs = get(name).unwrap().costs(&[3, 224, 224]);
        let sum = |of: fn(&StageCost) -> f64| costs.iter().map(of).sum::<f64>() / 1e6;
        assert!((sum(|c| c.outputs) - outputs).abs() < 0.006, "{name}: {}", sum(|c| c.outputs));
        assert!((sum(|c| c.multiply_adds) - multiply_adds).abs() < 1.5, "{name}: {}", sum(|c| c.multiply_adds));
    }
    // Of these, norms by themselves and joined maps are outputs here, which no hook counts.
    let counted = [
        ("densenet121", 2833.1),
        ("inception_v3", 2835.9),
        ("vgg11_bn", 7605.0),
        ("squeezenet1_1", 262.6),
        ("mobilenetv4_conv_small", 184.7),
        ("convnextv2_atto", 547.0),
    ];
    for (name, multiply_adds) in counted {
        let sum = get(name).unwrap().costs(&[3, 224, 224]).iter().map(|cost| cost.multiply_adds).sum::<f64>() / 1e6;
        assert!((sum - multiply_adds).abs() < 1.5, "{name}: {sum}");
    }
}
