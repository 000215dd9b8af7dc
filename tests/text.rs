//! Text encoders against transformers: features, scores of a classifier, and the gradient of every parameter, of each family. The
//! golden numbers are those of `golden/make_text.py`. Towers that share a space with one for images are in `text/towers.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "golden/formula.rs"]
mod formula;
#[path = "text/towers.rs"]
mod towers;

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use hub::domain::config::ModelConfig;
use hub::nn::architectures::{self, How, Pool, TokenPool};
use hub::nn::kernels::backward;
use hub::nn::{Backbone, Input, Mode, PADDING, Weights};
use serde_json::{Value, json};

const FAMILIES: [&str; 6] = ["bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "modernbert"];

fn golden(family: &str) -> Value {
    golden_of(&format!("text_{family}"))
}

/// The file of that name.
fn golden_of(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"));
    let path = if path.exists() { path } else { PathBuf::from(file!()).parent().unwrap().join(format!("golden/{name}.json")) };
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

/// By the formula of `make_text.py`.
fn fill(name: &str, shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    let value = |u: f64| match shape {
        [_, _] if name.contains("embeddings.") => 2.0 * u - 1.0,
        [_, inputs] => (2.0 * u - 1.0) * (3.0 / *inputs as f64).sqrt(),
        _ if name.ends_with(".weight") => 0.5 + u,
        _ => (2.0 * u - 1.0) * 0.2,
    };
    let values: Vec<f32> = formula::uniform(name, count).map(|u| value(u) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn filled(architecture: &str, classes: usize) -> Weights {
    let tensors = architectures::expected(architecture, classes).unwrap();
    Weights::from_tensors(tensors.into_iter().map(|tensor| (tensor.name.clone(), fill(&tensor.name, &tensor.shape))).collect()).unwrap()
}

/// As a folder's config.json; of a sequence classifier where one is named.
fn config(golden: &Value, class: Option<&str>) -> ModelConfig {
    let mut config = golden["config"].clone();
    config["architectures"] = json!([class.unwrap_or("Model")]);
    ModelConfig::read(&config.to_string()).unwrap()
}

/// Padded, in the order of these texts.
fn input(golden: &Value, order: &[usize]) -> Input {
    let rows = |key: &str| -> Vec<Vec<u32>> {
        let all: Vec<Vec<u32>> = serde_json::from_value(golden[key].clone()).unwrap();
        order.iter().map(|at| all[*at].clone()).collect()
    };
    let (ids, types) = (rows("ids"), rows("types"));
    let longest = ids.iter().map(Vec::len).max().unwrap();
    let mut numbers = Vec::new();
    for (ids, types) in ids.iter().zip(&types) {
        for at in 0..longest {
            numbers.extend([ids.get(at).copied().unwrap_or(PADDING), types.get(at).copied().unwrap_or(0)]);
        }
    }
    Input::Tokens(Tensor::from_vec(numbers, (order.len(), longest, 2), &Device::Cpu).unwrap())
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest difference, as a share of the largest number where that is above one.
fn apart(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    let largest = wanted.iter().fold(1f32, |largest, value| largest.max(value.abs()));
    found.iter().zip(wanted).fold(0f32, |most, (found, wanted)| if found.is_nan() { f32::NAN } else { most.max((found - wanted).abs()) })
        / largest
}

#[test]
fn features_and_every_gradient_are_those_of_transformers() {
    for family in FAMILIES {
        let golden = golden(family);
        let config = config(&golden, None);
        assert_eq!(architectures::unobeyed_in(&config), Vec::<String>::new(), "{family}");
        let weights = filled(&config.architecture, 0);
        let backbone = architectures::build(&config.architecture, &weights).unwrap();
        let (input, wanted) = (input(&golden, &[0, 1, 2, 3]), floats(&golden["features"]));
        let answered = backbone.pooled(&input, 0, Mode::Eval).unwrap();
        let learned = backbone.pooled(&input, 0, Mode::Train).unwrap();
        for (road, features) in [("answering", &answered), ("learning", &learned)] {
            let apart = apart(&numbers(features), &wanted);
            assert!(apart < 1e-4, "{family} {road}: {apart}");
        }
        let staged = backbone.pool(&backbone.features(&input, 0, Mode::Eval).unwrap()).unwrap();
        assert!(apart(&numbers(&staged), &wanted) < 1e-4, "{family} stage by stage");
        let factors: Vec<f32> = formula::uniform("loss", wanted.len()).map(|u| (2.0 * u - 1.0) as f32).collect();
        let factors = Tensor::from_vec(factors, learned.dims(), &Device::Cpu).unwrap();
        let gradients = backward(&(learned * factors).unwrap().sum_all().unwrap()).unwrap();
        let gradients_of = golden["gradients"].as_object().unwrap();
        assert_eq!(gradients_of.len(), weights.len(), "{family}");
        let mut worst = 0f32;
        for (name, wanted) in gradients_of {
            let found = gradients.get(weights.get(name).unwrap()).unwrap_or_else(|| panic!("{family}: {name} has no gradient"));
            let apart = apart(&numbers(found), &floats(wanted));
            assert!(apart < 1e-3, "{family} {name}: {apart}");
            worst = worst.max(apart);
        }
        println!("{family}: features {:.1e}, gradients {worst:.1e}", apart(&numbers(&answered), &wanted));
    }
}

#[test]
fn classifiers_score_as_those_of_transformers() {
    for (family, class) in FAMILIES.iter().zip(["Bert", "Roberta", "XLMRoberta", "DistilBert", "MPNet", "ModernBert"]) {
        let golden = golden(family);
        let config = config(&golden, Some(&format!("{class}ForSequenceClassification")));
        let known = architectures::get(&config.architecture).unwrap();
        // Under the names of a file that transformers writes, with all it holds.
        let plain = filled(known.name, 1);
        let mut named = HashMap::new();
        for name in golden["tensors"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()) {
            let own = ["bert.", "roberta.", "distilbert.", "mpnet.", "model."]
                .iter()
                .find_map(|prefix| name.strip_prefix(prefix))
                .unwrap_or(name);
            let tensor = plain.get(own).map(|var| var.as_tensor().clone());
            named.insert(name.to_owned(), tensor.unwrap_or_else(|| Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap()));
        }
        let weights = known.fitted(Weights::from_tensors(named).unwrap(), 0).unwrap();
        let classifier = architectures::build_classifier(known.name, 1, &weights).unwrap_or_else(|error| panic!("{family}: {error}"));
        let pooled = classifier.backbone.pooled(&input(&golden, &[0, 1, 2, 3]), 0, Mode::Eval).unwrap();
        let scores = classifier.head.forward(&pooled, Mode::Eval, 0).unwrap();
        let apart = apart(&numbers(&scores), &floats(&golden["scores"]));
        assert!(apart < 1e-4, "{family}: {apart}");
    }
}

#[test]
fn a_text_has_the_same_features_in_any_company_and_pooling_is_as_asked() {
    for family in FAMILIES {
        let golden = golden(family);
        let config = config(&golden, None);
        let weights = filled(&config.architecture, 0);
        let build = |pool| architectures::build_pooled(&config.architecture, pool, &weights).unwrap();
        let rows = |backbone: &dyn Backbone, order: &[usize]| -> Vec<Vec<f32>> {
            backbone.pooled(&input(&golden, order), 0, Mode::Eval).unwrap().to_vec2().unwrap()
        };
        let usual = build(Pool::Usual);
        let (together, alone) = (rows(&*usual, &[0, 1, 2, 3]), rows(&*usual, &[1]));
        assert!(apart(&together[1], &alone[0]) < 1e-5, "{family}");
        let many: Vec<usize> = (0..64).map(|at| at % 4).collect();
        for (at, row) in rows(&*usual, &many).iter().enumerate() {
            assert!(apart(row, &together[at % 4]) < 1e-5, "{family} {at}");
        }
        let mut settled = build(Pool::Usual);
        settled.settle();
        let (first, second) = (rows(&*settled, &many), rows(&*settled, &many));
        assert!(first == second && apart(&first[1], &alone[0]) < 1e-5, "{family}");
        let pooled = |how, normalised| build(Pool::Tokens(TokenPool { how, normalised }));
        let first = rows(&*pooled(How::First, false), &[0, 1, 2, 3]).concat();
        assert!(apart(&first, &floats(&golden["first"])) < 1e-4, "{family}");
        for normalised in rows(&*pooled(How::Mean, true), &[0, 1, 2, 3]) {
            let length = normalised.iter().map(|value| value * value).sum::<f32>();
            assert!((length - 1.0).abs() < 1e-5, "{family}: {length}");
        }
        // A text of one token is that token, however it is pooled.
        for how in [How::First, How::Mean, How::MeanBySqrt, How::Max, How::Last] {
            let row = rows(&*pooled(how, false), &[2, 0]);
            assert!(apart(&row[0], &together[2]) < 1e-5, "{family} {how:?}");
        }
    }
}

#[test]
fn what_a_config_asks_for_beside_its_sizes_is_refused_by_name() {
    let problems = |family: &str, key: &str, value: Value| {
        let mut config = golden(family)["config"].clone();
        config[key] = value;
        architectures::unobeyed_in(&ModelConfig::read(&config.to_string()).unwrap()).join("; ")
    };
    for (family, key, value) in [
        ("bert", "hidden_act", json!("relu")),
        ("bert", "position_embedding_type", json!("relative_key")),
        ("bert", "is_decoder", json!(true)),
        ("bert", "layer_norm_eps", json!(2e-5)),
        ("distilbert", "activation", json!("relu")),
        ("mpnet", "relative_attention_num_buckets", json!(16)),
        ("modernbert", "local_attention", json!(64)),
        ("modernbert", "layer_types", json!(["full_attention", "full_attention", "full_attention"])),
        ("modernbert", "rope_parameters", json!({"full_attention": {"rope_theta": 1.0}})),
    ] {
        let problem = problems(family, key, value);
        assert!(problem.contains(&format!("`{key}`")), "{family} {key}: {problem}");
    }
    assert_eq!(problems("bert", "hidden_dropout_prob", json!(0.3)), "");
}
