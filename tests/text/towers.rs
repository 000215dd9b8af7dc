//! Two towers that share a space against transformers, CLIP's and SigLIP's: features of images and of texts, the gradient of every parameter,
//! and how likely each text is for an image. The golden numbers are those of `golden/make_towers.py`.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use hub::domain::answers::Content;
use hub::domain::config::ModelConfig;
use hub::domain::prompt::Template;
use hub::import::{Options, import};
use hub::nn::architectures::{self, Architecture};
use hub::nn::kernels::backward;
use hub::nn::{Input, Mode, PADDING, Weights};
use hub::train::Predictor;
use hub::train::support::Support;
use image::{Rgb, RgbImage};
use serde_json::{Value, json};

use super::{apart, floats, formula, golden_of, numbers};

const KINDS: [&str; 3] = ["clip", "clip_gelu", "siglip"];
const SIDE: usize = 16;

fn golden(kind: &str) -> Value {
    golden_of(&format!("towers_{kind}"))
}

/// By the formula of `make_towers.py`.
fn fill(name: &str, shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let inputs: usize = shape.iter().skip(1).product();
    let value = |u: f64| match shape {
        _ if name == "logit_scale" => 2.0,
        [_, _] if name.contains("embeddings.") => 2.0 * u - 1.0,
        _ if name.ends_with("probe") => 2.0 * u - 1.0,
        [_, _, ..] => (2.0 * u - 1.0) * (3.0 / inputs as f64).sqrt(),
        _ if name.ends_with(".weight") => 0.5 + u,
        _ => (2.0 * u - 1.0) * 0.2,
    };
    let values: Vec<f32> = formula::uniform(name, count).map(|u| value(u) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn shapes(golden: &Value) -> Vec<(String, Vec<usize>)> {
    golden["tensors"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, shape)| (name.clone(), serde_json::from_value(shape.clone()).unwrap()))
        .collect()
}

/// As they lie in the file of both.
fn filled(golden: &Value) -> Weights {
    Weights::from_tensors(shapes(golden).into_iter().map(|(name, shape)| (name.clone(), fill(&name, &shape))).collect()).unwrap()
}

fn config(golden: &Value) -> ModelConfig {
    ModelConfig::read(&golden["config"].to_string()).unwrap()
}

/// The architectures of images and of texts.
fn both(config: &ModelConfig) -> (&'static Architecture, &'static Architecture) {
    (architectures::get(&config.architecture).unwrap(), architectures::get(&config.text_tower().unwrap()).unwrap())
}

fn pixels() -> Input {
    let values: Vec<f32> = formula::uniform("pixels", 2 * 3 * SIDE * SIDE).map(|u| (2.0 * u - 1.0) as f32).collect();
    Input::Pixels(Tensor::from_vec(values, (2, 3, SIDE, SIDE), &Device::Cpu).unwrap())
}

fn tokens(golden: &Value, order: &[usize]) -> Input {
    let all: Vec<Vec<u32>> = serde_json::from_value(golden["ids"].clone()).unwrap();
    let longest = order.iter().map(|at| all[*at].len()).max().unwrap();
    let row = |at: &usize| (0..longest).flat_map(|place| [all[*at].get(place).copied().unwrap_or(PADDING), 0]).collect::<Vec<u32>>();
    let ids: Vec<u32> = order.iter().flat_map(row).collect();
    Input::Tokens(Tensor::from_vec(ids, (order.len(), longest, 2), &Device::Cpu).unwrap())
}

/// Both roads, and stage by stage; then every gradient of the learning one.
fn compare(kind: &str, what: &str, (known, side): (&'static Architecture, usize), input: &Input, golden: &Value) {
    let weights = known.fitted(filled(golden), side).unwrap();
    let backbone = architectures::build(known.name, &weights).unwrap_or_else(|error| panic!("{kind} {what}: {error}"));
    let wanted = floats(&golden[what]);
    let answered = backbone.pooled(input, 0, Mode::Eval).unwrap();
    let learned = backbone.pooled(input, 0, Mode::Train).unwrap();
    assert_eq!(answered.dim(1).unwrap(), backbone.num_features(), "{kind} {what}");
    for (road, features) in [("answering", &answered), ("learning", &learned)] {
        let apart = apart(&numbers(features), &wanted);
        assert!(apart < 1e-4, "{kind} {what} {road}: {apart}");
    }
    let staged = backbone.pool(&backbone.features(input, 0, Mode::Eval).unwrap()).unwrap();
    assert!(apart(&numbers(&staged), &wanted) < 1e-4, "{kind} {what} stage by stage");
    // A frozen lower part changes nothing but what learns.
    let frozen = backbone.pooled(input, 1, Mode::Train).unwrap();
    assert!(apart(&numbers(&frozen), &wanted) < 1e-4, "{kind} {what} with a frozen stage");

    let factors: Vec<f32> = formula::uniform(what, wanted.len()).map(|u| (2.0 * u - 1.0) as f32).collect();
    let factors = Tensor::from_vec(factors, learned.dims(), &Device::Cpu).unwrap();
    let found = backward(&(learned * factors).unwrap().sum_all().unwrap()).unwrap();
    // Under our names they are put together as the weights are.
    let shapes: HashMap<String, Vec<usize>> = shapes(golden).into_iter().collect();
    let theirs = golden["gradients"].as_object().unwrap().iter();
    let theirs =
        theirs.map(|(name, values)| (name.clone(), Tensor::from_vec(floats(values), shapes[name].as_slice(), &Device::Cpu).unwrap()));
    let theirs = known.fitted(Weights::from_tensors(theirs.collect()).unwrap(), side).unwrap();
    for (name, var) in weights.iter() {
        let wanted = theirs.get(name).unwrap_or_else(|| panic!("{kind} {what}: transformers has no gradient of {name}"));
        let found = found.get(var).unwrap_or_else(|| panic!("{kind} {what}: {name} has no gradient"));
        let apart = apart(&numbers(found), &numbers(wanted.as_tensor()));
        assert!(apart < 1e-3, "{kind} {what} {name}: {apart}");
    }
}

#[test]
fn both_towers_and_every_gradient_are_those_of_transformers() {
    for kind in KINDS {
        let golden = golden(kind);
        let config = config(&golden);
        assert_eq!(architectures::unobeyed_in(&config), Vec::<String>::new(), "{kind}");
        let (images, texts) = both(&config);
        compare(kind, "images", (images, SIDE), &pixels(), &golden);
        compare(kind, "texts", (texts, 0), &tokens(&golden, &[0, 1, 2, 3]), &golden);
    }
}

#[test]
fn a_text_has_the_same_features_in_any_company() {
    for kind in KINDS {
        let golden = golden(kind);
        let (_, texts) = both(&config(&golden));
        let backbone = architectures::build(texts.name, &texts.fitted(filled(&golden), 0).unwrap()).unwrap();
        let rows =
            |order: &[usize]| -> Vec<Vec<f32>> { backbone.pooled(&tokens(&golden, order), 0, Mode::Eval).unwrap().to_vec2().unwrap() };
        let together = rows(&[0, 1, 2, 3]);
        for (at, among) in together.iter().enumerate() {
            assert!(apart(&rows(&[at])[0], among) < 1e-5, "{kind} {at}");
        }
    }
}

/// Whole words by their numbers, between the first and the last token.
fn tokenizer() -> Value {
    let words =
        (0..39).map(|at| (format!("w{at}"), json!(at))).chain([("<first>".to_owned(), json!(39)), ("<last>".to_owned(), json!(40))]);
    let special = |id: usize, content: &str| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let piece = |word: &str| json!({"SpecialToken": {"id": word, "type_id": 0}});
    let token = |id: usize, word: &str| json!({"id": word, "ids": [id], "tokens": [word]});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [special(39, "<first>"), special(40, "<last>")], "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing", "single": [piece("<first>"), json!({"Sequence": {"id": "A", "type_id": 0}}), piece("<last>")],
            "pair": [json!({"Sequence": {"id": "A", "type_id": 0}}), json!({"Sequence": {"id": "B", "type_id": 0}})],
            "special_tokens": {"<first>": token(39, "<first>"), "<last>": token(40, "<last>")}
        },
        "decoder": null, "model": {"type": "WordLevel", "vocab": words.collect::<serde_json::Map<_, _>>(), "unk_token": "w0"}
    })
}

/// A folder as transformers writes it.
fn folder(golden: &Value, at: &Path) {
    std::fs::write(at.join("config.json"), golden["config"].to_string()).unwrap();
    std::fs::write(at.join("tokenizer.json"), tokenizer().to_string()).unwrap();
    filled(golden).save(&at.join("model.safetensors"), &[]).unwrap();
}

fn picture(colour: [u8; 3]) -> Vec<u8> {
    let image = RgbImage::from_fn(SIDE as u32, SIDE as u32, |x, y| Rgb(if (x + y) % 3 == 0 { [9, 9, 9] } else { colour }));
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// The text that this tokenizer takes apart into those tokens, without the first and the last.
fn text_of(ids: &[u32]) -> String {
    ids[1..ids.len() - 1].iter().map(|id| format!("w{id}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_folder_of_both_embeds_texts_and_images_and_names_images_by_texts() {
    for kind in KINDS {
        let golden = golden(kind);
        let at = tempfile::tempdir().unwrap();
        folder(&golden, at.path());
        let model = Predictor::load(at.path(), &Device::Cpu).unwrap();
        assert!((model.text_scale().unwrap() - 2f32.exp()).abs() < 1e-4 && !model.reads_texts(), "{kind}");
        let ids: Vec<Vec<u32>> = serde_json::from_value(golden["ids"].clone()).unwrap();
        // The one without a word cannot be written.
        let texts: Vec<String> = [0, 1, 3].into_iter().map(|at: usize| text_of(&ids[at])).collect();
        let (red, broken) = (picture([200, 30, 30]), b"\xff\xd8 no picture".to_vec());
        let items = [texts[0].as_bytes(), red.as_slice(), texts[1].as_bytes(), broken.as_slice(), texts[2].as_bytes()];
        let said = model.features_batch(&items).unwrap();
        let wanted: Vec<Vec<f32>> = floats(&golden["texts"]).chunks(model.num_features()).map(<[f32]>::to_vec).collect();
        for (place, text) in [(0, 0), (2, 1), (4, 3)] {
            let Ok(Content::Features { features, tokens: Some(tokens) }) = &said[place] else { panic!("{kind}: {:?}", said[place]) };
            assert!(apart(features, &wanted[text]) < 1e-4, "{kind} {text}: {}", apart(features, &wanted[text]));
            assert_eq!((tokens.read, tokens.of), (ids[text].len(), ids[text].len()), "{kind}");
        }
        let Ok(Content::Features { features: image, tokens: None }) = &said[1] else { panic!("{kind}: {:?}", said[1]) };
        assert!(said[3].is_err() && image.len() == model.num_features(), "{kind}");

        // How likely each text is, as transformers has it: the softmax of the cosines times the scale.
        let template = Template::parse("{}").unwrap();
        let support = Support::by_names(&model, &texts, &template).unwrap();
        let unit = |row: &[f32]| {
            let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
            row.iter().map(|value| value / length).collect::<Vec<f32>>()
        };
        let cosine = |a: &[f32], b: &[f32]| unit(a).iter().zip(unit(b)).map(|(a, b)| a * b).sum::<f32>();
        let powers: Vec<f32> = [0, 1, 3].iter().map(|text| (2f32.exp() * cosine(image, &wanted[*text])).exp()).collect();
        let predicted = model.by_support(support).predict(&red, 3).unwrap();
        for class in predicted.answer.classes() {
            let at = texts.iter().position(|text| *text == class.label).unwrap();
            let share = powers[at] / powers.iter().sum::<f32>();
            assert!((class.probability - share).abs() < 1e-4, "{kind} {at}: {} and {share}", class.probability);
        }
    }
}

#[test]
fn an_imported_folder_keeps_both_towers() {
    for kind in ["clip", "siglip"] {
        let golden = golden(kind);
        let at = tempfile::tempdir().unwrap();
        let (from, to) = (at.path().join("from"), at.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        folder(&golden, &from);
        let imported = import(&from, &Options::default(), &to, &mut |_| {}).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!((imported.num_classes, imported.tensors), (0, shapes(&golden).len()), "{kind}");
        let (before, after) = (Predictor::load(&from, &Device::Cpu).unwrap(), Predictor::load(&to, &Device::Cpu).unwrap());
        let items = [b"w3 w4".to_vec(), picture([3, 90, 5])];
        let rows = |model: &Predictor| -> Vec<Content> { model.features_batch(&items).unwrap().into_iter().map(Result::unwrap).collect() };
        assert_eq!(rows(&before), rows(&after), "{kind}");

        // One tensor less, and nothing is written.
        let mut less = HashMap::new();
        for (name, var) in filled(&golden).iter().filter(|(name, _)| !name.ends_with("final_layer_norm.bias")) {
            less.insert(name.to_owned(), var.as_tensor().clone());
        }
        Weights::from_tensors(less).unwrap().save(&from.join("model.safetensors"), &[]).unwrap();
        let out = at.path().join("less");
        let refused = import(&from, &Options::default(), &out, &mut |_| {}).unwrap_err().to_string();
        assert!(refused.contains("final_layer_norm.bias") && !out.exists(), "{kind}: {refused}");
    }
}

/// The softmax over all texts of the golden images is transformers' own.
#[test]
fn shares_of_texts_are_those_of_transformers() {
    for kind in KINDS {
        let golden = golden(kind);
        let width = config(&golden).num_features.unwrap();
        let rows = |key: &str| -> Vec<Vec<f32>> { floats(&golden[key]).chunks(width).map(<[f32]>::to_vec).collect() };
        let names: Vec<String> = (0..4).map(|at| format!("text {at}")).collect();
        let support = Support::of_texts(width, &rows("texts").concat(), &names, Some(2f32.exp())).unwrap();
        for (image, wanted) in rows("images").iter().zip(floats(&golden["shares"]).chunks(4)) {
            for class in support.answer(image, 4).classes() {
                let at = names.iter().position(|name| *name == class.label).unwrap();
                assert!((class.probability - wanted[at]).abs() < 1e-5, "{kind}: {} and {}", class.probability, wanted[at]);
            }
        }
    }
}

#[test]
fn a_tower_alone_is_opened_and_what_lacks_its_tokenizer_says_so() {
    let golden = golden("clip");
    let at = tempfile::tempdir().unwrap();
    folder(&golden, at.path());
    std::fs::remove_file(at.path().join("tokenizer.json")).unwrap();
    let model = Predictor::load(at.path(), &Device::Cpu).unwrap();
    assert!(model.embed(&picture([1, 2, 3])).is_ok());
    let error = model.features_batch(&[b"w3".as_slice()]).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json"), "{error}");

    // Images alone: the same features, and no words.
    let mut alone = golden["config"]["vision_config"].clone();
    alone["architectures"] = json!(["CLIPVisionModelWithProjection"]);
    alone["projection_dim"] = golden["config"]["projection_dim"].clone();
    std::fs::write(at.path().join("config.json"), alone.to_string()).unwrap();
    let images = Predictor::load(at.path(), &Device::Cpu).unwrap();
    assert_eq!(images.embed(&picture([1, 2, 3])).unwrap(), model.embed(&picture([1, 2, 3])).unwrap());
    let names = ["w1".to_owned(), "w2".to_owned()];
    assert!(images.text_scale().is_none() && Support::by_names(&images, &names, &Template::usual(true)).is_err());

    // Texts alone: an encoder like others.
    let mut alone = golden["config"]["text_config"].clone();
    alone["architectures"] = json!(["CLIPTextModelWithProjection"]);
    alone["projection_dim"] = golden["config"]["projection_dim"].clone();
    std::fs::write(at.path().join("config.json"), alone.to_string()).unwrap();
    std::fs::write(at.path().join("tokenizer.json"), tokenizer().to_string()).unwrap();
    let texts = Predictor::load(at.path(), &Device::Cpu).unwrap();
    assert!(texts.reads_texts() && texts.embed(b"w1 w2").unwrap().len() == 12);

    // What is missing is missed by name.
    let one = Tensor::zeros(20, DType::F32, &Device::Cpu).unwrap();
    let known = architectures::get(&config(&golden).architecture).unwrap();
    let one = Weights::from_tensors(HashMap::from([("vision_model.pre_layrnorm.weight".to_owned(), one)])).unwrap();
    assert!(architectures::build(known.name, &known.fitted(one, SIDE).unwrap()).is_err());
}
