//! Networks of clips under the names of others.

use hub::import::Options;
use hub::nn::architectures;
use hub::nn::weights::Weights;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::formula::uniform;
use super::{config, run};

/// The numbers of a tensor `(O, I, t, h, w)` as TensorFlow stores it, `(t, h, w, I, O)`.
fn outputs_last(values: &[f32], shape: &[usize]) -> Vec<f32> {
    let (outputs, inputs) = (shape[0], shape[1]);
    let taps = shape[2..].iter().product::<usize>();
    let place = |at: usize| (at % outputs, at / outputs % inputs, at / outputs / inputs);
    (0..values.len()).map(place).map(|(output, input, tap)| values[(output * inputs + input) * taps + tap]).collect()
}

/// What DeepMind's checkpoint of I3D calls a tensor of its common PyTorch version.
fn deepminds(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let leaf = match parts[parts.len() - 2..] {
        ["conv3d", "weight"] => "conv_3d/w",
        ["conv3d", "bias"] => "conv_3d/b",
        ["bn", "bias"] => "batch_norm/beta",
        ["bn", "running_mean"] => "batch_norm/moving_mean",
        ["bn", "running_var"] => "batch_norm/moving_variance",
        _ => panic!("{name}"),
    };
    let module = match parts[..parts.len() - 2] {
        ["logits"] => "Logits/Conv3d_0c_1x1".to_owned(),
        [stem] => stem.to_owned(),
        [module, branch] => {
            let unit = match branch {
                "b0" => "Branch_0/Conv3d_0a_1x1",
                "b1a" => "Branch_1/Conv3d_0a_1x1",
                "b1b" => "Branch_1/Conv3d_0b_3x3",
                "b2a" => "Branch_2/Conv3d_0a_1x1",
                "b2b" if module == "Mixed_5b" => "Branch_2/Conv3d_0a_3x3",
                "b2b" => "Branch_2/Conv3d_0b_3x3",
                _ => "Branch_3/Conv3d_0b_1x1",
            };
            format!("{module}/{unit}")
        }
        _ => panic!("{name}"),
    };
    format!("RGB/inception_i3d/{module}/{leaf}")
}

#[test]
fn i3d_by_deepminds_names_is_the_same_network() {
    let home = tempfile::tempdir().unwrap();
    let (source, out) = (home.path().join("rgb.safetensors"), home.path().join("i3d"));
    let mut stored: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    let mut known: Vec<(String, Vec<f32>)> = Vec::new();
    for tensor in architectures::expected("i3d", 6).unwrap() {
        let scales = tensor.name.ends_with(".bn.weight");
        let value = |u: f64| if scales { 1.0 } else { u as f32 + 0.5 };
        let values: Vec<f32> = uniform(&tensor.name, tensor.count()).map(value).collect();
        known.push((tensor.name.clone(), values.clone()));
        if scales {
            continue;
        }
        // The classifier is a convolution there, and vectors have five axes, but for its bias.
        let (shape, values) = match tensor.shape.as_slice() {
            [outputs, inputs] => (vec![1, 1, 1, *inputs, *outputs], outputs_last(&values, &tensor.shape)),
            shape @ [outputs, inputs, t, h, w] => (vec![*t, *h, *w, *inputs, *outputs], outputs_last(&values, shape)),
            [rows] if tensor.name.starts_with("logits") => (vec![*rows], values),
            shape => (vec![1, 1, 1, 1, shape[0]], values),
        };
        stored.push((deepminds(&tensor.name), shape, values.iter().flat_map(|value| value.to_le_bytes()).collect()));
    }
    let mut views = Vec::new();
    for one in &stored {
        views.push((one.0.clone(), TensorView::new(Dtype::F32, one.1.clone(), &one.2).unwrap()));
    }
    safetensors::serialize_to_file(views, None, &source).unwrap();

    let imported = run(&source, &Options::default(), &out).unwrap();
    assert_eq!((imported.architecture.as_str(), imported.num_classes, imported.num_features), ("i3d", 6, 1024));
    assert!(imported.mapping.contains("DeepMind"), "{}", imported.mapping);
    let written = Weights::load(&out.join("model.safetensors")).unwrap();
    for (name, expected) in known {
        let found = written.get(&name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(found == expected, "{name}");
    }
    let config = config(&out);
    assert_eq!((config.preprocessing().mean, config.extra["temporal"]["frames"].as_u64()), ([0.5; 3], Some(64)));
    architectures::build_classifier("i3d", 6, &written).unwrap();
}
