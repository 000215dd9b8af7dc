//! Numbers survive their JSON, and what earlier releases wrote is still read.

use super::*;

/// As version 0.1 wrote it.
const BEFORE: &str = r#"{
  "base": "library/tiny@1", "recipe": {"strategy": "head"}, "best_epoch": 4, "stopped": "early", "seconds": 12.5,
  "majority_top1": 0.34, "validated_on": "held_out",
  "validation": {"images": 3, "loss": 0.4, "top1": 0.6666666666666666, "top5": 1.0, "macro_f1": 0.65,
    "per_class": [{"class": "cat", "support": 2, "precision": 1.0, "recall": 0.5, "f1": 0.66},
                  {"class": "dog", "support": 1, "precision": 0.5, "recall": 1.0, "f1": 0.66}],
    "confusion": [[1, 1], [0, 1]]},
  "test": null, "epochs": [], "skipped": []
}"#;

#[test]
fn a_metrics_file_of_before_is_read() {
    let outcome = Outcome::read(BEFORE.as_bytes()).unwrap();
    assert_eq!((outcome.best_epoch, outcome.stopped, outcome.baseline), (4, Stopped::Early, 0.34));
    assert_eq!((outcome.task(), outcome.validated_on), (Task::Classification, Held::HeldOut));
    let (split, measured) = outcome.measured();
    assert_eq!((split, measured.samples, measured.get("top5")), ("validation", 3, 1.0));
    assert_eq!(measured.confusion, [(0, 0, 1), (0, 1, 1), (1, 1, 1)]);
    assert_eq!(measured.confusion_matrix(), [[1, 1], [0, 1]]);
    // And written as it was, with how far the first number may be believed.
    let before: Value = serde_json::from_str(BEFORE).unwrap();
    let mut now = json!(outcome.validation);
    assert!(now.as_object_mut().unwrap().remove("interval_95").is_some());
    assert_eq!(now, before["validation"]);
    let headline = outcome.headline();
    assert_eq!((&headline["top1"], &headline["majority_top1"], &headline["stopped"]), (&json!(2.0 / 3.0), &json!(0.34), &json!("early")));
    let said = headline_sentence(&headline).unwrap();
    assert_eq!(said, "top-1 66.67 % (20.77 % to 93.85 %, 95 % interval) on 3 items of validation");
    assert_eq!(
        headline_sentence(&json!({"task": "regression", "rmse": 2.5, "images": 9, "split": "test"})).unwrap(),
        "RMSE 2.500 on 9 items of test"
    );
    assert_eq!(headline_sentence(&json!({})), None);
    assert!(Outcome::read(br#"{"validation": {"images": 1, "loss": 1.0}}"#).is_none(), "numbers of nothing");
    assert!(Outcome::read(b"[]").is_none());
}

#[test]
fn intervals_are_wilsons_and_never_a_single_point() {
    let interval = |top1: f64, samples: u64| {
        let evaluation = Evaluation {
            task: Task::Classification,
            samples,
            loss: 0.5,
            values: vec![top1, 1.0, 1.0],
            per_class: Vec::new(),
            confusion: Vec::new(),
            more: More::default(),
        };
        evaluation.interval()
    };
    // Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for (right, of, low, high) in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)] {
        let (found_low, found_high) = interval(f64::from(right) / f64::from(of), of as u64).unwrap();
        assert!((found_low - low).abs() < 5e-5 && (found_high - high).abs() < 5e-5, "{right} of {of}: {found_low} {found_high}");
    }
    let (low, high) = interval(1.0, 40).unwrap();
    assert!((low - 0.9124).abs() < 1e-4 && high == 1.0);
    assert_eq!(interval(0.0, 0), None);
}

#[test]
fn many_classes_are_listed_pair_by_pair() {
    let score = |n: usize| ClassScore { class: n.to_string(), support: 1, precision: 1.0, recall: 1.0, f1: 1.0 };
    for classes in [3, 256, 257] {
        let evaluation = Evaluation {
            task: Task::Classification,
            samples: 3,
            loss: 0.5,
            values: vec![1.0, 1.0, 1.0],
            per_class: (0..classes).map(score).collect(),
            confusion: vec![(0, 2, 1), (1, 1, 1), (2, 0, 1)],
            more: More::default(),
        };
        let text = serde_json::to_string(&evaluation).unwrap();
        assert_eq!(serde_json::from_str::<Evaluation>(&text).unwrap(), evaluation, "{classes}");
    }
}

#[test]
fn numbers_of_another_task_say_which() {
    let evaluation = Evaluation {
        task: Task::Regression,
        samples: 9,
        loss: 0.25,
        values: vec![1.5, 1.25, 0.75],
        per_class: Vec::new(),
        confusion: Vec::new(),
        more: More::default(),
    };
    let value = json!(evaluation);
    assert_eq!(value, json!({"images": 9, "loss": 0.25, "rmse": 1.5, "mae": 1.25, "r2": 0.75, "task": "regression"}));
    assert_eq!(serde_json::from_value::<Evaluation>(value).unwrap(), evaluation);
    assert!(evaluation.get("top1").is_nan() && evaluation.primary() == 1.5);
}
