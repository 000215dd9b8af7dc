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
    let card = whole(MODEL);
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
    let card = whole(
        "---\npretty_name: Fashion\nlicense: [mit]\ntask_categories:\n- image-classification\nsize_categories: 1K<n<10K\nhomepage: https://example.org\nsamples: 4000\nclasses: 10\n---\n",
    );
    assert_eq!((card.samples, card.classes), (Some(4000), Some(10)));
    assert_eq!(card.license.as_deref(), Some("mit"));
    assert_eq!(card.size_categories, ["1K<n<10K"]);
    assert_eq!(card.homepage.as_deref(), Some("https://example.org"));
}

#[test]
fn a_card_may_say_nothing() {
    assert_eq!(whole(""), Card::default());
    assert_eq!(whole("# Only text\n").body, "# Only text\n");
    assert_eq!(whole("---\n---\nbody").body, "body");
    assert_eq!(whole("---\n# a comment\n---\nbody").body, "body");
    assert_eq!(whole("---\r\nlicense: mit\r\n---\r\nbody").license.as_deref(), Some("mit"));
    assert_eq!(whole("---\nlicense:\ntags: null\n---\n"), Card::default());
    // A rule further down is not front matter.
    assert_eq!(whole("text\n---\nmore").body, "text\n---\nmore");
}

/// The card, and what of it was not read, as text.
fn told(text: &str) -> (Card, Vec<String>) {
    let (card, problems) = Card::read(text);
    (card, problems.iter().map(ToString::to_string).collect())
}

fn whole(text: &str) -> Card {
    let (card, problems) = told(text);
    assert!(problems.is_empty(), "{text}: {problems:?}");
    card
}

#[test]
fn one_broken_line_costs_one_key() {
    let (card, problems) = told("---\nlicense: mit\ntags: [a, b\npipeline_tag: x\n---\nbody");
    assert_eq!((card.license.as_deref(), card.pipeline_tag.as_deref(), card.body.as_str()), (Some("mit"), Some("x"), "body"));
    assert!(problems.len() == 1 && (problems[0].contains("line 3") || problems[0].contains("line 4")), "{problems:?}");
    let (card, problems) = told("---\nlicense: mit\nlicense: gpl\ntags: [a]\n---\n");
    assert_eq!((card.license.as_deref(), &card.tags[..]), (Some("gpl"), &["a".to_owned()][..]));
    assert!(problems.len() == 1 && problems[0].contains("line 3") && problems[0].contains("`license`"), "{problems:?}");
    let (card, problems) = told("---\nlicense: mit\nname: \"unclosed\n---\nbody");
    assert_eq!((card.license.as_deref(), card.body.as_str(), problems.len()), (Some("mit"), "body", 1));
}

#[test]
fn a_leading_rule_is_text() {
    for text in ["---\nlicense: mit\n", "---\n\n# Title\n\ntext\n", "---\nSome words.\n\n---\nMore.", "---\n- a\n- b\n---\n"] {
        let (card, problems) = told(text);
        assert_eq!((card.body.as_str(), card.license.as_deref()), (text, None));
        assert!(problems.len() == 1 && problems[0].contains("begins with a rule"), "{text}: {problems:?}");
    }
}

#[test]
fn values_of_other_shapes_are_named_and_kept() {
    let several = whole("---\nlicense: [CC-BY-SA-3.0, gfdl]\n---\n");
    assert_eq!((several.license.as_deref(), several.licenses().count()), (Some("cc-by-sa-3.0, gfdl"), 2));
    assert_eq!(several.front_matter()["license"], json!(["cc-by-sa-3.0", "gfdl"]));
    for (field, value, kept) in [
        ("tags", "{a: b}", json!({"a": "b"})),
        ("classes", "[cat, dog]", json!(["cat", "dog"])),
        ("classes", "{0: cat}", json!({"0": "cat"})),
        ("samples", "many", json!("many")),
        ("samples", "-1", json!(-1)),
        ("samples", "1.5", json!(1.5)),
        ("pretty_name", "[a, b]", json!(["a", "b"])),
        ("license", "{name: x}", json!({"name": "x"})),
    ] {
        let (card, problems) = told(&format!("---\nhomepage: x\n{field}: {value}\nlibrary_name: timm\n---\n"));
        assert_eq!((card.homepage.as_deref(), card.library_name.as_deref()), (Some("x"), Some("timm")), "{field}");
        assert!(problems.len() == 1 && problems[0].contains(&format!("`{field}`")), "{field}: {problems:?}");
        assert_eq!(card.front_matter()[field], kept);
    }
    let (card, problems) = told("---\ndatasets: [{name: x}, imagenet-1k]\npretty_name: \"a\\nb\"\n---\n");
    assert_eq!((&card.datasets[..], card.pretty_name.as_deref()), (&["imagenet-1k".to_owned()][..], Some("a b")));
    assert!(problems.len() == 1 && problems[0].contains("`datasets`"), "{problems:?}");
}

#[test]
fn what_yaml_allows_is_read() {
    let card = whole(
        "---\nbase: &b {lr: 0.1, when: 2024-01-01}\nrun: {<<: *b, lr: 1}\nagain: *b\ndate: 2024-01-01\ntags: [2024-01-01, 1.0]\n---\n",
    );
    assert_eq!(card.extra["run"], json!({"lr": 1, "when": "2024-01-01"}));
    assert_eq!((&card.extra["again"]["lr"], &card.extra["date"], card.tags.len()), (&json!(0.1), &json!("2024-01-01"), 2));
    let card = told("---\nloss: .nan\nbest: -.inf\nlicense: mit\nmodel-index:\n- name: a\n  results:\n  - metrics:\n    - {type: x, value: .nan}\n    - {type: y, value: 1}\n---\n").0;
    assert_eq!((card.license.as_deref(), card.metrics.len(), &card.extra["loss"]), (Some("mit"), 1, &json!(".nan")));
    let card = told("---\nlicense: mit\n1: x\ntrue: y\n---\n").0;
    assert_eq!(card.license.as_deref(), Some("mit"));
}

#[test]
fn bombs_cost_little_and_the_rest_is_read() {
    let mut laughs = String::from("---\nlicense: mit\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..10 {
        let one = format!("*a{}", level - 1);
        laughs.push_str(&format!("a{level}: &a{level} [{}]\n", vec![one; 10].join(",")));
    }
    laughs.push_str("---\nbody");
    let deep: String = (0..2_000).map(|depth| format!("{}- a:\n", " ".repeat(depth % 200 * 2))).collect();
    let many: Vec<String> = (0..1_001).map(|index| format!("t{index}")).collect();
    for text in [
        laughs,
        format!("---\nlicense: mit\na: {}\n---\nbody", "[".repeat(100_000)),
        format!("---\nlicense: mit\na:\n{deep}---\nbody"),
        format!("---\nlicense: mit\ntags: [{}]\n---\nbody", vec!["x"; 100_000].join(",")),
        format!("---\nlicense: mit\ntags: [{}]\n---\nbody", many.join(",")),
        format!("---\nlicense: mit\n{}---\nbody", (0..60_000).map(|key| format!("k{key}: 1\n")).collect::<String>()),
    ] {
        let (card, problems) = told(&text);
        assert!(card.license.as_deref() == Some("mit") && ["body", ""].contains(&card.body.as_str()), "{}", &text[..80]);
        assert!((1..=12).contains(&problems.len()), "{problems:?}");
    }
    assert_eq!(told(&format!("---\ntags: [{}]\n---\n", many.join(","))).0.tags.len(), 1_000);
    let (card, problems) = told(&format!("---\nlicense: mit\n---\n{}", "words and words\n".repeat(60_000)));
    assert!(
        card.license.as_deref() == Some("mit") && card.body.len() <= MAX_CARD_BYTES && problems[0].contains("960021 bytes"),
        "{problems:?}"
    );
}

#[test]
fn bytes_that_are_no_text_are_named() {
    let (card, problems) = Card::read_bytes(b"---\nlicense: mit\n---\ncaf\xe9", 25);
    assert_eq!((card.license.as_deref(), card.body.as_str()), (Some("mit"), "caf\u{fffd}"));
    assert!(matches!(problems[..], [CardProblem::NotUtf8 { byte: 24 }]), "{problems:?}");
    let (_, problems) = Card::read_bytes("é".as_bytes()[..1].into(), 600_000);
    assert!(matches!(problems[..], [CardProblem::TooLarge { bytes: 600_000 }]), "{problems:?}");
}

#[test]
fn yaml_tags_cost_their_key() {
    for tag in ["!!python/object/apply:os.system ['id']", "!include /etc/passwd", "!ruby/object:Gem {}", "!<tag:evil> x"] {
        let (card, problems) = told(&format!("---\nlicense: mit\nx: {tag}\n---\n"));
        assert_eq!((card.license.as_deref(), card.extra.len()), (Some("mit"), 0), "{tag}");
        assert!(problems.len() == 1 && problems[0].contains("line 3"), "{tag}: {problems:?}");
    }
}

#[test]
fn a_card_survives_the_way_back() {
    let card = whole(MODEL);
    let again = whole(&card.to_markdown());
    assert_eq!(again, card);
    assert_eq!(Card::default().to_markdown(), "");
    let plain = Card { body: "text".into(), ..Card::default() };
    assert_eq!(plain.to_markdown(), "text");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(---\n)?\\PC{0,200}(\n---\n)?\\PC{0,40}") {
        let _ = Card::read(&text);
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
        prop_assert_eq!(whole(&card.to_markdown()), card);
    }
}
