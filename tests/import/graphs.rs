//! Graph models of TensorFlow.js. The two published graphs are fixtures without weights, which a formula makes here and in
//! `golden/make_tfjs.mjs`, where TensorFlow.js answered.

use std::io::Cursor;
use std::path::Path;

use candle_core::{Device, Tensor};
use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};

use hub::domain::prediction::{Answer, Answered};
use hub::import::{Imported, Options};
use hub::nn::architectures::{self, Pool};
use hub::nn::heads::dense::{self, Below, Design};
use hub::nn::{Dense, Input, Mode, Weights};
use hub::train::Predictor;

use super::made_graphs::graph;
use super::{card, config, formula::uniform, run};

/// The operation of this name.
fn node<'a>(model: &'a mut Value, name: &str) -> &'a mut Value {
    model["modelTopology"]["node"].as_array_mut().unwrap().iter_mut().find(|node| node["name"] == name).unwrap()
}

fn imported(name: &str) -> (tempfile::TempDir, Imported) {
    let (source, home) = (graph(name, |_, _| ()), tempfile::tempdir().unwrap());
    let options = Options { license: Some("MIT".into()), datasets: vec!["ada/photos".into()], ..Options::default() };
    let made = run(source.path(), &options, &home.path().join("model")).unwrap();
    (home, made)
}

fn refused(name: &str, change: impl FnOnce(&mut Value, &mut Vec<u8>)) -> String {
    let (source, home) = (graph(name, change), tempfile::tempdir().unwrap());
    let out = home.path().join("model");
    let error = run(source.path(), &Options::default(), &out).unwrap_err().to_string();
    assert!(!out.exists(), "{error}");
    error
}

/// The picture that the golden answers are about, `(3, side, side)` bytes by the formula.
fn pixels(side: u32) -> RgbImage {
    let bytes = uniform("image", 3 * (side * side) as usize).map(|value| (256.0 * value).floor() as u8).collect();
    RgbImage::from_raw(side, side, bytes).unwrap()
}

fn predicted(model: &Path, side: u32) -> Answered {
    let mut png = Cursor::new(Vec::new());
    pixels(side).write_to(&mut png, ImageFormat::Png).unwrap();
    Predictor::load(model, &Device::Cpu).unwrap().predict(&png.into_inner(), 5).unwrap()
}

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/tfjs.json")).unwrap()
}

#[test]
fn objects_are_those_that_tensorflow_js_finds() {
    let (home, made) = imported("centernet");
    let model = home.path().join("model");
    assert_eq!((made.parameters, made.num_classes, made.form.as_str()), (2_014_924, 80, "TensorFlow.js graph model"));
    assert!(made.notes.iter().any(|note| note.contains("`centernet` answers, and is not trained here")), "{:?}", made.notes);
    let (config, card) = (config(&model), card(&model));
    assert_eq!((config.decoder(), config.num_classes), (Some(("centernet", 84)), Some(80)));
    assert_eq!((card.pipeline_tag.as_deref(), card.license.as_deref()), (Some("object-detection"), Some("mit")));
    let Answer::Boxes(said) = predicted(&model, 512).answer else { panic!("no boxes") };
    assert_eq!((said.width, said.height, said.found.len()), (512, 512, 100));
    for wanted in golden()["found"].as_array().unwrap() {
        let wanted: Vec<f64> = wanted.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
        let sides: Vec<f64> = wanted[..4].iter().map(|side| side.clamp(0.0, 512.0)).collect();
        let bbox = [sides[0], sides[1], sides[2] - sides[0], sides[3] - sides[1]];
        let is_it = |found: &&hub::domain::prediction::FoundBox| {
            let near = found.bbox.iter().zip(bbox).all(|(own, wanted)| (f64::from(*own) - wanted).abs() < 0.05);
            near && found.index == wanted[5] as usize && (f64::from(found.score) - wanted[4]).abs() < 1e-3
        };
        let found = said.found.iter().find(is_it).unwrap_or_else(|| panic!("{wanted:?} is not among {:?}", &said.found[..5]));
        assert!(found.label == "chair" || found.index != 56);
    }
}

#[test]
fn masks_are_those_that_tensorflow_js_makes() {
    let (home, made) = imported("selfie");
    let model = home.path().join("model");
    assert_eq!((made.parameters, made.num_classes), (106_401, 2));
    let all = Weights::load(&model.join("model.safetensors")).unwrap();
    let (below, of_head) = all.split(dense::MODULE);
    let backbone = architectures::build_pooled(&made.architecture, Pool::Places, &below).unwrap();
    let design = Design { scales: backbone.scales(), outputs: 2, view: (256, 256), shortcut: false };
    let head = Dense::given("gated", &design, &of_head).unwrap();
    let bytes: Vec<f32> = pixels(256).into_raw().into_iter().map(|byte| f32::from(byte) / 255.0).collect();
    let x = Tensor::from_vec(bytes, (1, 256, 256, 3), &Device::Cpu).unwrap().permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
    let stages = backbone.stages().len();
    let below = Below::nothing(&Input::Pixels(x));
    let rows: Vec<Vec<f32>> = dense::answers(&*backbone, &head, below, stages, Mode::Eval, false).unwrap().to_vec2().unwrap();
    assert!(rows.len() == 256 * 256 && rows.iter().all(|row| row[0] == 0.0));
    let golden = golden();
    let (every, chances) = (golden["every"].as_u64().unwrap() as usize, golden["chances"].as_array().unwrap());
    for (wanted, row) in chances.iter().zip(rows.iter().step_by(every)) {
        let chance = 1.0 / (1.0 + (-f64::from(row[1])).exp());
        assert!((chance - wanted.as_f64().unwrap()).abs() < 1e-3, "{chance} for {wanted}");
    }
    let Answer::Mask(mask) = predicted(&model, 256).answer else { panic!("no mask") };
    let share = rows.iter().filter(|row| row[1] > 0.0).count() as f32 / rows.len() as f32;
    let said: Vec<_> = mask.classes.iter().map(|area| area.label.as_str()).collect();
    assert_eq!((said.as_slice(), mask.width, mask.height), (&["background", "person"][..], 256, 256));
    assert!((mask.classes[1].share - share).abs() < 1e-6 && share > 0.0 && share < 1.0, "{share}");
}

#[test]
fn another_graph_is_refused_by_the_first_layer_that_differs() {
    let block = "tower_0/MobilenetV3/expanded_conv_1/depthwise/depthwise";
    let error = refused("centernet", |model, _| node(model, block)["attr"]["strides"]["list"]["i"] = json!(["1", "1", "1", "1"]));
    assert!(
        error.contains("expanded_conv_1/expand/Relu") && error.contains("depthwise convolution 3x3 of 64 channels at stride 2"),
        "{error}"
    );
    let error = refused("centernet", |model, _| node(model, "tower_0/CenternetHead/Relu_1")["op"] = json!("Elu"));
    assert!(error.contains("there is Elu"), "{error}");
    let error = refused("centernet", |model, _| node(model, "tower_0/Sigmoid")["op"] = json!("Tanh"));
    assert!(error.contains("should be Sigmoid") && error.contains("Tanh"), "{error}");
    let error = refused("centernet", |model, _| {
        let more = json!({"name": "more", "op": "Softmax", "input": ["tower_0/keypoints"]});
        model["modelTopology"]["node"].as_array_mut().unwrap().push(more);
    });
    assert!(error.contains("it has more: 1 operations such as `Softmax`"), "{error}");
    let error = refused("selfie", |model, _| {
        node(model, "up_sampling2d_lambda/resize/ResizeBilinear")["attr"]["half_pixel_centers"]["b"] = json!(false)
    });
    assert!(error.contains("middles of pixels") && error.contains("ResizeBilinear 32,32"), "{error}");
    let error = refused("selfie", |model, _| {
        let nodes = model["modelTopology"]["node"].as_array_mut().unwrap();
        nodes.retain(|node| node["op"] == "Const" || node["op"] == "Placeholder");
    });
    assert!(error.contains("there is nothing"), "{error}");
    let (source, home) = (graph("selfie", |_, _| ()), tempfile::tempdir().unwrap());
    let options = Options { architecture: Some("resnet18".into()), ..Options::default() };
    let error = run(source.path(), &options, &home.path().join("model")).unwrap_err().to_string();
    assert!(error.contains("and not `resnet18`"), "{error}");
}

#[test]
fn files_that_lie_are_refused_by_name() {
    let first = |model: &mut Value| model["weightsManifest"][0]["weights"][0].take();
    let error = refused("selfie", |_, bytes| bytes.truncate(1000));
    assert!(error.contains("is larger than its shards"), "{error}");
    let error = refused("selfie", |_, bytes| bytes.extend([0; 3]));
    assert!(error.contains("have 3 bytes more"), "{error}");
    let error = refused("selfie", |model, _| model["weightsManifest"][0]["paths"] = json!(["../model.json"]));
    assert!(error.contains("`../model.json`, which is no file beside model.json"), "{error}");
    let error = refused("selfie", |model, _| model["weightsManifest"][0]["paths"] = json!(["other.bin"]));
    assert!(error.contains("the shard `other.bin`, which is not there"), "{error}");
    let error = refused("selfie", |model, _| {
        let spec = first(model);
        model["weightsManifest"][0]["weights"][0] = json!({"name": spec["name"], "shape": [1_u64 << 62, 16], "dtype": "float32"});
    });
    assert!(error.contains("is larger than its shards"), "{error}");
    let error = refused("selfie", |model, _| {
        let spec = first(model);
        model["weightsManifest"][0]["weights"][0] = json!({"name": spec["name"], "shape": spec["shape"], "dtype": "complex64"});
    });
    assert!(error.contains("the dtype `complex64`"), "{error}");
    let error = refused("selfie", |model, _| model["modelTopology"] = json!({"model_config": {}}));
    assert!(error.contains("layers model"), "{error}");
    let error = refused("selfie", |model, _| node(model, "Conv2D")["input"] = json!(["input_1", "nowhere"]));
    assert!(error.contains("no operation `nowhere`"), "{error}");
}
