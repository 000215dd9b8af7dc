//! Every architecture of every mapping is recognised from its own names, and what is wrong is named.

use super::*;
use crate::import::names::Mapping;
use crate::import::tensor::Dtype;

/// Matching looks at names, shapes and dtypes only.
fn tensor(shape: &[usize]) -> Found {
    Found::hollow(Dtype::F32, shape)
}

fn checkpoint(dicts: Vec<(&str, StateDict)>) -> Checkpoint {
    let candidates = dicts.into_iter().map(|(key, tensors)| Candidate { key: key.into(), tensors }).collect();
    Checkpoint::of(candidates)
}

fn find(tensors: StateDict, architecture: Option<&str>) -> Result<Match> {
    super::find(&checkpoint(vec![("", tensors)]), architecture, None)
}

fn prefixed(prefix: &str, tensors: StateDict) -> StateDict {
    tensors.into_iter().map(|(name, found)| (format!("{prefix}{name}"), found)).collect()
}

/// The state dict of an architecture in a mapping's names.
fn state_dict(mapping: &Mapping, target: &Target, num_classes: usize) -> StateDict {
    let expected = architectures::expected(&target.name, num_classes).unwrap();
    let stored = expected.into_iter().filter(|one| mapping.implied(&one.name, &one.shape).is_none());
    stored.map(|one| (mapping.original(target, &one.name).unwrap(), tensor(&mapping.stored(&one.shape)))).collect()
}

fn named(title: &str, architecture: &str, num_classes: usize) -> StateDict {
    let mappings = mappings().unwrap();
    let mapping = mappings.iter().find(|mapping| mapping.title.contains(title)).unwrap();
    state_dict(mapping, mapping.architectures.iter().find(|target| target.name == architecture).unwrap(), num_classes)
}

#[test]
fn every_architecture_of_every_mapping_is_recognised() {
    for mapping in mappings().unwrap() {
        for target in &mapping.architectures {
            for num_classes in [0, 7] {
                let found = find(state_dict(&mapping, target, num_classes), Some(&target.name)).unwrap();
                assert_eq!((found.architecture.as_str(), found.num_classes), (target.name.as_str(), num_classes));
                assert_eq!(found.mapping, mapping.title);
                let expected = architectures::expected(&target.name, num_classes).unwrap();
                assert_eq!(found.tensors.len(), expected.len());
                assert!(expected.iter().all(|one| found.tensors[&one.name].shape == one.shape));
                // Without being told, the same is found or the choice is asked for.
                match find(state_dict(&mapping, target, num_classes), None) {
                    Ok(found) => assert_eq!(found.architecture, target.name),
                    Err(error) => {
                        // Twins that differ in preprocessing alone.
                        let twins = target.name.contains("efficientnet")
                            || ["vit_", "deit_", "x3d_"].iter().any(|twin| target.name.starts_with(twin));
                        assert!(error.to_string().contains("--architecture") && twins, "{error}")
                    }
                }
            }
        }
    }
}

#[test]
fn timm_names_cover_the_registry_and_agree_with_it() {
    let mappings = mappings().unwrap();
    for known in architectures::all() {
        let target = mappings[0].architectures.iter().find(|target| target.name == known.name).unwrap();
        let input = mappings[0].input_of(target);
        let architectures::UsualInput::Image(image) = known.input else { continue };
        assert_eq!(input.size, Some(image.size), "{}", known.name);
        assert_eq!(input.crop_pct, Some(image.crop_pct), "{}", known.name);
        assert_eq!(input.interpolation.as_deref(), Some(image.interpolation), "{}", known.name);
        assert_eq!((input.mean, input.std), (Some(image.mean), Some(image.std)), "{}", known.name);
        assert_eq!(input.first_conv.as_deref(), Some(known.first_conv), "{}", known.name);
        assert_eq!(input.classifier.as_deref(), Some(known.classifier), "{}", known.name);
    }
}

#[test]
fn a_classifier_over_each_place_of_a_clip_is_taken_as_one_over_their_mean() {
    let mut tensors = named("timm", "i3d", 0);
    tensors.insert("logits.conv3d.weight".into(), tensor(&[7, 1024, 1, 1, 1]));
    tensors.insert("logits.conv3d.bias".into(), tensor(&[7]));
    let found = find(tensors, None).unwrap();
    assert_eq!((found.architecture.as_str(), found.num_classes), ("i3d", 7));
    assert_eq!(found.tensors["logits.conv3d.weight"].shape, [7, 1024]);
}

#[test]
fn deepminds_names_of_i3d_are_understood() {
    let mut tensors = named("DeepMind", "i3d", 0);
    // As its checkpoints have them: vectors and the classifier with axes of one.
    tensors.insert("RGB/inception_i3d/Logits/Conv3d_0c_1x1/conv_3d/w".into(), tensor(&[1, 1, 1, 1024, 7]));
    tensors.insert("RGB/inception_i3d/Logits/Conv3d_0c_1x1/conv_3d/b".into(), tensor(&[7]));
    tensors.insert("RGB/inception_i3d/Mixed_3b/Branch_1/Conv3d_0a_1x1/batch_norm/moving_variance".into(), tensor(&[1, 1, 1, 1, 96]));
    let stem = "RGB/inception_i3d/Conv3d_1a_7x7/conv_3d/w";
    assert_eq!(tensors[stem].shape, [7, 7, 7, 3, 64]);
    // One module of theirs is called otherwise than its like.
    for leaf in ["conv_3d/w", "batch_norm/beta", "batch_norm/moving_mean", "batch_norm/moving_variance"] {
        let name = |unit: &str| format!("RGB/inception_i3d/Mixed_5b/Branch_2/{unit}/{leaf}");
        let found = tensors.remove(&name("Conv3d_0a_3x3")).or_else(|| tensors.remove(&name("Conv3d_0b_3x3"))).unwrap();
        tensors.insert(name("Conv3d_0a_3x3"), found);
    }
    let found = find(tensors.clone(), None).unwrap();
    assert_eq!((found.architecture.as_str(), found.num_classes), ("i3d", 7));
    let expected = architectures::expected("i3d", 7).unwrap();
    assert!(expected.len() == found.tensors.len() && expected.iter().all(|one| found.tensors[&one.name].shape == one.shape));
    // Of two channels, for optical flow.
    tensors.insert(stem.into(), tensor(&[7, 7, 7, 2, 64]));
    assert!(find(tensors, None).unwrap_err().to_string().contains("it takes images of 2 channels"));
}

#[test]
fn the_names_torchvision_writes_are_understood() {
    // Names and shapes as printed by torchvision 0.29.2: `name 32x3x3x3`, a line each.
    let text = include_str!("../../tests/fixtures/import/torchvision_mobilenet_v2.txt");
    let mut tensors = StateDict::new();
    for line in text.lines() {
        let (name, shape) = line.split_once(' ').unwrap();
        let shape: Vec<usize> = shape.split('x').filter(|side| !side.is_empty()).map(|side| side.parse().unwrap()).collect();
        tensors.insert(name.to_owned(), tensor(&shape));
    }
    let found = find(tensors, None).unwrap();
    assert_eq!((found.architecture.as_str(), found.num_classes, found.num_features), ("mobilenetv2_100", 1000, 1280));
    assert_eq!(found.dropped, 52);
    assert!(found.mapping.contains("torchvision"));
}

#[test]
fn what_is_made_here_is_left_out_though_others_store_it() {
    let mut tensors = named("names of its authors", "swin_tiny_patch4_window7_224", 10);
    assert!(tensors.contains_key("layers.0.downsample.reduction.weight") && tensors.contains_key("head.weight"));
    let mut index = tensor(&[49, 49]);
    index.dtype = Dtype::I64;
    tensors.insert("layers.0.blocks.0.attn.relative_position_index".into(), index);
    tensors.insert("layers.0.blocks.1.attn_mask".into(), tensor(&[64, 49, 49]));
    let found = find(tensors, None).unwrap();
    assert_eq!((found.architecture.as_str(), found.num_classes), ("swin_tiny_patch4_window7_224", 10));
    assert!(found.tensors.contains_key("layers.1.downsample.reduction.weight") && found.tensors.contains_key("head.fc.bias"));
    assert!(found.notes.iter().any(|note| note.contains("attn_mask")), "{:?}", found.notes);
}

#[test]
fn linear_layers_over_whole_maps_are_convolutions_as_large() {
    let mut tensors = named("VGG", "vgg11", 7);
    tensors.insert("classifier.0.weight".into(), tensor(&[4096, 25088]));
    let found = find(tensors.clone(), None).unwrap();
    assert_eq!((found.architecture.as_str(), found.num_classes, found.num_features), ("vgg11", 7, 4096));
    assert_eq!(found.tensors["pre_logits.fc1.weight"].shape, [4096, 512, 7, 7]);
    tensors.insert("classifier.0.weight".into(), tensor(&[4096, 25087]));
    assert!(find(tensors, None).unwrap_err().to_string().contains("`classifier.0.weight` has shape [4096, 25087]"));
}

#[test]
fn the_names_of_torchvisions_large_networks_are_understood() {
    let text = include_str!("../../tests/golden/torchvision_names.json");
    let networks: BTreeMap<String, BTreeMap<String, Vec<usize>>> = serde_json::from_str(text).unwrap();
    assert_eq!(networks.len(), 7);
    for (architecture, tensors) in networks {
        let tensors = tensors.into_iter().map(|(name, shape)| (name, tensor(&shape))).collect();
        let found = find(tensors, Some(&architecture)).unwrap();
        assert_eq!((found.architecture.as_str(), found.num_classes), (architecture.as_str(), 5), "{:?}", found.notes);
        let expected = architectures::expected(&architecture, 5).unwrap();
        assert!(expected.len() == found.tensors.len() && expected.iter().all(|one| found.tensors[&one.name].shape == one.shape));
    }
}

#[test]
fn positions_for_images_of_another_side_are_taken_as_they_are() {
    let at = |side: usize, architecture: &str| -> StateDict {
        let expected = architectures::get(architecture).unwrap().expected_at(side, 7);
        expected.into_iter().map(|one| (one.name, tensor(&one.shape))).collect()
    };
    let found = find(at(224, "vit_small_patch14_dinov2"), None).unwrap();
    assert_eq!((found.architecture.as_str(), found.input.size, found.num_classes), ("vit_small_patch14_dinov2", Some(224), 7));
    assert_eq!(found.tensors["pos_embed"].shape, [1, 257, 384]);
    assert!(found.notes.iter().any(|note| note.contains("224 pixels")), "{:?}", found.notes);
    // One that is made for this side stands before those that are made for others.
    let found = find(at(384, "vit_tiny_patch16_224"), None).unwrap();
    assert_eq!((found.architecture.as_str(), found.input.size), ("vit_tiny_patch16_384", Some(384)));
    let asked = find(at(384, "vit_tiny_patch16_224"), Some("vit_tiny_patch16_224")).unwrap();
    assert_eq!((asked.architecture.as_str(), asked.input.size), ("vit_tiny_patch16_224", Some(384)));
    let alike = find(at(320, "vit_tiny_patch16_224"), None).unwrap_err().to_string();
    assert!(alike.contains("vit_tiny_patch16_384") && alike.contains("--architecture"), "{alike}");
    let mut oblong = at(224, "vit_small_patch14_dinov2");
    oblong.insert("pos_embed".into(), tensor(&[1, 255, 384]));
    assert!(find(oblong, None).unwrap_err().to_string().contains("`pos_embed` has shape [1, 255, 384]"));
}

#[test]
fn a_second_classifier_that_training_needed_is_left_out() {
    let mut tensors = named("timm", "inception_v3", 7);
    tensors.insert("AuxLogits.fc.weight".into(), tensor(&[7, 768]));
    tensors.insert("AuxLogits.conv0.conv.weight".into(), tensor(&[128, 768, 1, 1]));
    let found = find(tensors.clone(), None).unwrap();
    assert_eq!((found.architecture.as_str(), found.num_classes), ("inception_v3", 7));
    assert!(found.notes.iter().any(|note| note.contains("AuxLogits")), "{:?}", found.notes);
    tensors.insert("AuxLogits2.fc.weight".into(), tensor(&[7, 768]));
    assert!(find(tensors, None).unwrap_err().to_string().contains("`AuxLogits2.fc.weight` has no place"));
}

#[test]
fn missing_extra_and_misshaped_tensors_are_named() {
    let change = |edit: fn(&mut StateDict)| {
        let mut tensors = named("tonylins", "mobilenetv2_100", 10);
        edit(&mut tensors);
        find(tensors, None).unwrap_err().to_string()
    };
    let missing = change(|tensors| drop(tensors.remove("features.3.conv.6.weight")));
    assert!(missing.contains("Closest is mobilenetv2_100") && missing.contains("`blocks.1.1.conv_pwl.weight` is missing"), "{missing}");
    let extra = change(|tensors| drop(tensors.insert("features.3.conv.9.weight".into(), tensor(&[1]))));
    assert!(extra.contains("`features.3.conv.9.weight` has no place"), "{extra}");
    let misshaped = change(|tensors| drop(tensors.insert("features.3.conv.6.weight".into(), tensor(&[24, 144, 1, 2]))));
    assert!(misshaped.contains("`features.3.conv.6.weight` has shape [24, 144, 1, 2]"), "{misshaped}");
    let whole = change(|tensors| tensors.get_mut("features.0.1.bias").unwrap().dtype = Dtype::I64);
    assert!(whole.contains("`features.0.1.bias` holds whole numbers"), "{whole}");
    let twice = change(|tensors| drop(tensors.insert("classifier.1.weight".into(), tensor(&[10, 1280]))));
    assert!(twice.contains("are the same one"), "{twice}");
}

#[test]
fn an_architecture_may_be_asked_for() {
    let error = find(named("names of timm", "resnet18", 10), Some("resnet34")).unwrap_err().to_string();
    assert!(error.contains("Closest is resnet34") && error.contains("is missing"), "{error}");
    let error = find(named("names of timm", "resnet18", 10), Some("resnext")).unwrap_err().to_string();
    assert!(error.contains("`resnext` is not known; known are"), "{error}");
    let found = find(named("names of timm", "efficientnet_lite0", 3), Some("tf_efficientnet_lite0.in1k")).unwrap();
    assert_eq!(found.architecture, "tf_efficientnet_lite0");
    assert!(find(StateDict::new(), None).is_err());
}

#[test]
fn whatever_is_wrapped_around_the_weights_is_taken_off() {
    let net = || named("names of timm", "resnet18", 4);
    let headless = || named("names of timm", "resnet18", 0);
    let both = |a: StateDict, b: StateDict| a.into_iter().chain(b).collect::<StateDict>();
    let found = |tensors: StateDict| find(tensors, None).unwrap();
    for prefix in ["module.", "_orig_mod.", "model.", "net.", "network.", "_orig_mod.module.", "backbone.body."] {
        let found = found(prefixed(prefix, net()));
        assert_eq!((found.architecture.as_str(), found.num_classes), ("resnet18", 4), "{prefix}");
        assert!(found.notes[0].contains(prefix.trim_end_matches('.')), "{:?}", found.notes);
    }
    // A head beside the backbone, a projection beside it, and a second copy.
    let head = StateDict::from([("head.fc.weight".into(), tensor(&[5, 512])), ("head.fc.bias".into(), tensor(&[5]))]);
    let one = found(both(prefixed("backbone.", headless()), head));
    assert_eq!(one.num_classes, 5);
    assert!(one.notes.iter().any(|note| note.contains("`head.fc` was taken for the classifier")), "{:?}", one.notes);
    assert!(one.tensors.contains_key("fc.weight"));
    let queue = StateDict::from([("module.queue".into(), tensor(&[128, 64])), ("module.queue_ptr".into(), tensor(&[1]))]);
    let copies = both(prefixed("module.encoder_q.", headless()), prefixed("module.encoder_k.", headless()));
    let one = found(both(copies, queue));
    assert_eq!(one.num_classes, 0);
    assert!(one.notes[0].contains("`module.encoder_q` were taken") && one.notes[0].contains("`module.encoder_k`"), "{:?}", one.notes);
    assert!(one.notes.iter().any(|note| note.contains("`module.queue`")), "{:?}", one.notes);
    // A head of another make is left out and named; a tensor inside the network that has no place is a fault.
    let projection = StateDict::from([("fc.0.weight".into(), tensor(&[512, 512])), ("fc.2.weight".into(), tensor(&[128, 512]))]);
    let one = found(both(headless(), projection));
    assert!(one.num_classes == 0 && one.notes.iter().any(|note| note.contains("`fc.2.weight`")), "{:?}", one.notes);
    let squeezed = both(headless(), StateDict::from([("layer1.0.se.fc.weight".into(), tensor(&[4, 64]))]));
    assert!(find(squeezed, None).unwrap_err().to_string().contains("`layer1.0.se.fc.weight` has no place"));
    let token = both(headless(), StateDict::from([("fc_norm.weight".into(), tensor(&[512])), ("gate".into(), tensor(&[512]))]));
    assert!(find(token, None).is_err());
}

#[test]
fn of_several_dicts_the_averaged_one_is_taken_and_said() {
    let net = || named("names of timm", "resnet18", 4);
    let odd = StateDict::from([("class_weights".into(), tensor(&[4]))]);
    let file = checkpoint(vec![("", odd), ("model", net()), ("model_ema", prefixed("module.", net())), ("optimizer", StateDict::new())]);
    let found = super::find(&file, None, None).unwrap();
    let note = &found.notes[0];
    assert!(note.contains("`model_ema.module` were taken") && note.contains("`model`") && note.contains("--key"), "{note}");
    for (key, taken) in [("model", "lie under `model`"), ("model_ema", "`model_ema.module`"), ("model_ema.module", "`model_ema.module`")] {
        let found = super::find(&file, None, Some(key)).unwrap();
        assert!(found.notes[0].contains(taken), "{key}: {:?}", found.notes);
    }
    let error = super::find(&file, None, Some("generator")).unwrap_err().to_string();
    assert!(error.contains("`generator`") && error.contains("`model`"), "{error}");
}

#[test]
fn other_numbers_of_channels_are_called_so() {
    let mut grey = named("names of timm", "resnet18", 4);
    grey.insert("conv1.weight".into(), tensor(&[64, 1, 7, 7]));
    let error = find(grey, None).unwrap_err().to_string();
    assert!(error.contains("images of 1 channels, and only 3"), "{error}");
}

#[test]
fn linear_layers_stand_for_convolutions_over_a_pixel() {
    let found = find(named("MobileNetV3, names of torchvision", "mobilenetv3_small_100", 4), None).unwrap();
    assert_eq!(found.add_to_variances, 0.00099);
    let mut flat = named("ConvNeXt, names of torchvision", "convnext_atto", 4);
    flat.insert("features.1.0.block.3.weight".into(), tensor(&[160, 40]));
    flat.insert("features.1.0.layer_scale".into(), tensor(&[40, 1, 1]));
    let found = find(flat, None).unwrap();
    assert_eq!(found.tensors["stages.0.blocks.0.mlp.fc1.weight"].shape, [160, 40, 1, 1]);
    assert_eq!(found.tensors["stages.0.blocks.0.gamma"].shape, [40]);
}
