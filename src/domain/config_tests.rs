//! timm's present and old config.json, keys of other tools, and values no model has.

use super::*;

const PRESENT: &str = r#"{
  "architecture": "tf_efficientnet_lite0", "num_classes": 2, "num_features": 1280, "global_pool": "avg",
  "label_names": ["cat", "dog"], "model_args": {"drop_rate": 0.2},
  "pretrained_cfg": {"tag": "in1k", "custom_load": false, "input_size": [3, 224, 200], "fixed_input_size": false,
    "interpolation": "bicubic", "crop_pct": 0.875, "crop_mode": "center", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
    "num_classes": 2, "pool_size": [7, 7], "first_conv": "conv_stem", "classifier": "classifier", "license": "apache-2.0"},
  "someone_elses": {"key": 1}}"#;

#[test]
fn reads_the_present_form() {
    let config = ModelConfig::read(PRESENT).unwrap();
    assert_eq!(config.architecture, "tf_efficientnet_lite0");
    assert_eq!(config.label_names.as_deref(), Some(&["cat".to_owned(), "dog".to_owned()][..]));
    let input = config.preprocessing();
    assert_eq!((input.height, input.width, input.interpolation.as_str()), (224, 200, "bicubic"));
    assert_eq!((input.mean, input.std), ([0.5; 3], [0.5; 3]));
}

#[test]
fn unknown_keys_survive_a_round_trip() {
    let config = ModelConfig::read(PRESENT).unwrap();
    let written: Value = serde_json::from_str(&config.to_json()).unwrap();
    let original: Value = serde_json::from_str(PRESENT).unwrap();
    assert_eq!(written["someone_elses"], original["someone_elses"]);
    assert_eq!(written["pretrained_cfg"]["pool_size"], original["pretrained_cfg"]["pool_size"]);
    assert_eq!(written["pretrained_cfg"]["tag"], "in1k");
    assert_eq!(written.as_object().unwrap().len(), original.as_object().unwrap().len(), "nothing is added");
    assert_eq!(written["pretrained_cfg"].as_object().unwrap().len(), original["pretrained_cfg"].as_object().unwrap().len());
    assert_eq!(ModelConfig::read(&config.to_json()).unwrap(), config);
}

#[test]
fn reads_the_old_flat_form() {
    let old = r#"{"architecture": "resnet18", "num_classes": 1000, "num_features": 512, "input_size": [3, 160, 160],
        "interpolation": "bilinear", "crop_pct": 0.95, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "first_conv": "conv1",
        "classifier": "fc", "license": "mit", "pool_size": [5, 5]}"#;
    let config = ModelConfig::read(old).unwrap();
    let input = config.preprocessing();
    assert_eq!((input.height, input.interpolation.as_str(), input.crop_pct), (160, "bilinear", 0.95));
    assert_eq!(input.mean, [0.1, 0.2, 0.3]);
    assert_eq!(config.pretrained_cfg.classifier, Some(Value::from("fc")));
    assert_eq!(config.num_classes, Some(1000));
    assert!(config.pretrained_cfg.extra.is_empty(), "timm refuses strangers inside pretrained_cfg");
}

#[test]
fn a_bare_config_gets_timms_defaults() {
    let input = ModelConfig::read(r#"{"architecture": "resnet18"}"#).unwrap().preprocessing();
    assert_eq!((input.height, input.width, input.crop_pct, input.interpolation.as_str()), (224, 224, 0.875, "bicubic"));
    assert_eq!((input.mean, input.std), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]));
}

#[test]
fn values_no_model_has_are_refused_by_name() {
    let cfg = |fields: &str| format!(r#"{{"architecture": "resnet18", "pretrained_cfg": {{{fields}}}}}"#);
    for (text, setting) in [
        (r#"{"architecture": "../x"}"#.to_owned(), "`architecture`"),
        (r#"{"architecture": ""}"#.to_owned(), "`architecture`"),
        (format!(r#"{{"architecture": "{}"}}"#, "a".repeat(129)), "`architecture`"),
        (r#"{"architecture": "resnet18", "num_classes": 100001}"#.to_owned(), "`num_classes`"),
        (r#"{"architecture": "resnet18", "num_features": 0}"#.to_owned(), "`num_features`"),
        (r#"{"architecture": "resnet18", "num_classes": 3, "label_names": ["a"]}"#.to_owned(), "`label_names`: 1 names for 3"),
        (r#"{"architecture": "resnet18", "label_names": ["a\u001b"]}"#.to_owned(), "`label_names`"),
        (cfg(r#""input_size": [3, 0, 224]"#), "input_size"),
        (cfg(r#""input_size": [3, 224, 2049]"#), "input_size"),
        (cfg(r#""input_size": [1, 224, 224]"#), "1 channels"),
        (cfg(r#""crop_pct": 0"#), "crop_pct"),
        (cfg(r#""mean": [1e39, 0, 0]"#), "mean"),
        (cfg(r#""std": [0.1, 0.0, 0.1]"#), "std"),
        (cfg(r#""std": [0.1, 1e39, 0.1]"#), "std"),
        (cfg(r#""interpolation": "<b>""#), "interpolation"),
    ] {
        let error = ModelConfig::read(&text).unwrap_err().to_string();
        assert!(error.contains(setting), "{text}: {error}");
    }
    assert!(matches!(ModelConfig::read("[]"), Err(ConfigError::Json(_))));
    assert!(matches!(ModelConfig::read(&"[".repeat(100_000)), Err(ConfigError::Json(_))));
    assert!(matches!(ModelConfig::read(&" ".repeat(MAX_CONFIG_BYTES + 1)), Err(ConfigError::TooLarge { .. })));
}

#[test]
fn what_python_and_windows_write_is_read() {
    let config =
        ModelConfig::read("\u{feff}{\"architecture\": \"resnet18\", \"num_classes\": 2, \"eps\": NaN, \"limits\": [0, Infinity]}").unwrap();
    assert_eq!((config.num_classes, &config.extra["eps"]), (Some(2), &Value::from("NaN")));
    // A setting that counts is not taken for one that is absent.
    assert!(ModelConfig::read(r#"{"architecture": "resnet18", "pretrained_cfg": {"crop_pct": NaN}}"#).is_err());
    let named = |names: &str| ModelConfig::read(&format!(r#"{{"architecture": "resnet18", "num_classes": 2, "label_names": {names}}}"#));
    assert_eq!(named(r#"{"1": "b", "0": "a"}"#).unwrap().label_names, Some(vec!["a".to_owned(), "b".to_owned()]));
    for names in [r#"{"a": 0, "b": 1}"#, r#"{"1": "a", "2": "b"}"#, r#"{"0": "a", "1": 2}"#, r#""a, b""#, r#"["a", 1]"#] {
        assert!(named(names).unwrap_err().to_string().contains("label_names"), "{names}");
    }
}

#[test]
fn of_what_nothing_can_be_built_from_the_rest_is_read() {
    let salvage = |text: &str| ModelConfig::salvage(&serde_json::from_str(text).unwrap());
    let grey = salvage(
        r#"{"architecture": "resnet18", "num_classes": 2, "label_names": {"0": "a", "1": "b"}, "num_features": 512,
            "pretrained_cfg": {"input_size": [1, 28, 28], "mean": [0.5], "license": "mit"}}"#,
    );
    assert_eq!((grey.architecture.as_str(), grey.num_classes, grey.num_features), ("resnet18", Some(2), Some(512)));
    assert_eq!((grey.label_names.map(|names| names.len()), grey.pretrained_cfg.input_size), (Some(2), Some([1, 28, 28])));
    let other = salvage(r#"{"architecture": "My U-Net (v2)", "num_classes": 1e9, "num_features": -1, "label_names": ["a\u0007"]}"#);
    assert_eq!(other, ModelConfig::default());
    assert_eq!(salvage(r#"{"architecture": {"layers": [1]}, "pretrained_cfg": 7}"#), ModelConfig::default());
}
