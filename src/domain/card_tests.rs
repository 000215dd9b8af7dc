//! Cards as people and tools write them, cards that attack, and the way back to Markdown.

use proptest::prelude::*;

use super::*;

const MODEL: &str = "\u{feff}---
# written by hand
license: Apache-2.0
language: no
tags: [image-classification, timm, timm, 1.0]
datasets: imagenet-1k
base_model:
- timm/mobilenetv2_100.ra_in1k
base_model_relation: finetune
pipeline_tag: image-classification
library_name: timm
inference: {parameters: {top_k: 5}}
model-index:
- name: Mobile
  results:
  - task: {type: image-classification, name: Image Classification}
    dataset: {name: ImageNet-1k, type: imagenet-1k}
    metrics:
    - {type: accuracy, value: 72.97, name: Top 1}
    - {type: top5, value: '91.0'}
    - {type: table, value: [1, 2]}
---
# Mobile

Hello.
";

#[test]
fn reads_a_model_card() {
    let card = Card::parse(MODEL).unwrap();
    assert_eq!(card.license.as_deref(), Some("apache-2.0"));
    assert_eq!(card.language, ["no"]);
    assert_eq!(card.tags, ["image-classification", "timm", "1.0"]);
    assert_eq!(card.datasets, ["imagenet-1k"]);
    assert_eq!(card.base_model, ["timm/mobilenetv2_100.ra_in1k"]);
    assert_eq!(card.base_model_relation.as_deref(), Some("finetune"));
    assert_eq!(card.pipeline_tag.as_deref(), Some("image-classification"));
    let measured: Vec<_> = card.metrics.iter().map(|m| (m.task.as_str(), m.dataset.as_str(), m.kind.as_str(), m.value)).collect();
    let task = "image-classification";
    assert_eq!(measured, [(task, "ImageNet-1k", "accuracy", 72.97), (task, "ImageNet-1k", "top5", 91.0)]);
    assert_eq!(card.extra["inference"]["parameters"]["top_k"], 5);
    assert_eq!(card.body, "# Mobile\n\nHello.\n");
}

#[test]
fn reads_a_data_set_card() {
    let card = Card::parse("---\npretty_name: Fashion\nlicense: [mit]\ntask_categories:\n- image-classification\nsize_categories: 1K<n<10K\nhomepage: https://example.org\nsamples: 4000\nclasses: 10\n---\n").unwrap();
    assert_eq!((card.samples, card.classes), (Some(4000), Some(10)));
    assert_eq!(card.license.as_deref(), Some("mit"));
    assert_eq!(card.size_categories, ["1K<n<10K"]);
    assert_eq!(card.homepage.as_deref(), Some("https://example.org"));
}

#[test]
fn a_card_may_say_nothing() {
    assert_eq!(Card::parse("").unwrap(), Card::default());
    assert_eq!(Card::parse("# Only text\n").unwrap().body, "# Only text\n");
    assert_eq!(Card::parse("---\n---\nbody").unwrap().body, "body");
    assert_eq!(Card::parse("---\n# a comment\n---\nbody").unwrap().body, "body");
    assert_eq!(Card::parse("---\r\nlicense: mit\r\n---\r\nbody").unwrap().license.as_deref(), Some("mit"));
    assert_eq!(Card::parse("---\nlicense:\ntags: null\n---\n").unwrap(), Card::default());
    // A rule further down is not front matter.
    assert_eq!(Card::parse("text\n---\nmore").unwrap().body, "text\n---\nmore");
}

#[test]
fn broken_front_matter_names_its_line() {
    assert_eq!(Card::parse("---\nlicense: mit\n"), Err(CardError::Unclosed));
    let error = Card::parse("---\nlicense: mit\ntags: [a, b\npipeline_tag: x\n---\n").unwrap_err();
    assert!(matches!(error, CardError::Yaml { line: 3..=5, .. }), "{error}");
    let error = Card::parse("---\nlicense: mit\nlicense: gpl\n---\n").unwrap_err();
    assert!(matches!(error, CardError::Yaml { line: 3, .. }), "{error}");
    assert!(matches!(Card::parse("---\n- a\n- b\n---\n"), Err(CardError::Yaml { .. })));
    assert!(Card::parse("---\nlicense: [mit, gpl]\n---\n").unwrap_err().to_string().contains("`license`: one value"));
    assert!(Card::parse("---\ntags: {a: b}\n---\n").unwrap_err().to_string().contains("`tags`"));
    assert!(Card::parse("---\nsamples: many\n---\n").unwrap_err().to_string().contains("whole number"));
    assert!(Card::parse("---\npretty_name: \"a\\nb\"\n---\n").unwrap_err().to_string().contains("one line"));
}

#[test]
fn bombs_are_refused() {
    let mut laughs = String::from("---\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..10 {
        let one = format!("*a{}", level - 1);
        laughs.push_str(&format!("a{level}: &a{level} [{}]\n", vec![one; 10].join(",")));
    }
    laughs.push_str("---\n");
    assert!(matches!(Card::parse(&laughs), Err(CardError::Yaml { .. })));
    assert!(matches!(Card::parse(&format!("---\na: {}\n---\n", "[".repeat(100_000))), Err(CardError::Yaml { .. })));
    let deep: String = (0..2_000).map(|depth| format!("{}- a:\n", " ".repeat(depth % 200 * 2))).collect();
    assert!(Card::parse(&format!("---\n{deep}---\n")).is_err());
    let wide = format!("---\ntags: [{}]\n---\n", vec!["x"; 100_000].join(","));
    assert!(matches!(Card::parse(&wide), Err(CardError::Yaml { .. })));
    let many: Vec<String> = (0..1_001).map(|index| format!("t{index}")).collect();
    assert!(matches!(Card::parse(&format!("---\ntags: [{}]\n---\n", many.join(","))), Err(CardError::Field { .. })));
    assert!(matches!(Card::parse(&"x".repeat(MAX_CARD_BYTES + 1)), Err(CardError::TooLarge { .. })));
}

#[test]
fn yaml_tags_are_refused() {
    for tag in ["!!python/object/apply:os.system ['id']", "!include /etc/passwd", "!ruby/object:Gem {}", "!<tag:evil> x"] {
        let error = Card::parse(&format!("---\nlicense: mit\nx: {tag}\n---\n")).unwrap_err();
        assert!(matches!(error, CardError::Yaml { line: 3, .. }), "{tag}: {error}");
    }
    let included = Card::parse("---\nx: {<<: {a: 1}}\n---\n");
    assert!(included.is_err(), "merge keys are not needed and are off");
}

#[test]
fn a_card_survives_the_way_back() {
    let card = Card::parse(MODEL).unwrap();
    let again = Card::parse(&card.to_markdown()).unwrap();
    assert_eq!(again, card);
    assert_eq!(Card::default().to_markdown(), "");
    let plain = Card { body: "text".into(), ..Card::default() };
    assert_eq!(plain.to_markdown(), "text");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(---\n)?\\PC{0,200}(\n---\n)?\\PC{0,40}") {
        let _ = Card::parse(&text);
    }

    #[test]
    fn words_come_back_as_they_were(words in proptest::collection::vec("[ -~äλ]{1,30}", 0..6), name in "[ -~é]{1,40}", value in -1e9f64..1e9) {
        let mut words: Vec<String> = words.iter().map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect();
        words.dedup();
        let mut unique = Vec::new();
        words.retain(|word| !unique.contains(word) && { unique.push(word.clone()); true });
        let name = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
        let metric = Metric { model: "m".into(), task: "t".into(), dataset: "d".into(), kind: "k".into(), value };
        let card = Card { tags: words, pretty_name: name, metrics: vec![metric], body: "x\n---\ny".into(), ..Card::default() };
        prop_assert_eq!(Card::parse(&card.to_markdown()).unwrap(), card);
    }
}
