//! A real data set of the repository, with its numbers.

use hub::data::{Dataset, Limits, Source, Target, check};
use hub::domain::dataset_report::Spread;

fn fashion() -> Source {
    Source::Archive(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/fashion_mnist_4k.zip").into())
}

#[test]
fn the_report_of_fashion_mnist_is_right_to_the_number() {
    let report = check(&fashion(), &Limits::default(), &mut |_, _| {}).unwrap();
    let classes = ["ankle_boot", "bag", "coat", "dress", "pullover", "sandal", "shirt", "sneaker", "trouser", "tshirt_top"];
    assert_eq!(report.classes, classes);
    assert_eq!(report.samples, 4_000);
    let splits: Vec<_> = report.splits.iter().map(|s| (s.name.as_str(), s.samples, s.per_class.clone())).collect();
    assert_eq!(splits, [("train", 3_000, vec![300; 10]), ("val", 1_000, vec![100; 10])]);
    let spread = |s: Spread| (s.min, s.median, s.max);
    assert_eq!((spread(report.sizes["width"]), spread(report.sizes["height"])), ((28, 28, 28), (28, 28, 28)));
    assert_eq!((report.channels["gray"], report.formats["png"]), (4_000, 4_000));
    assert!(report.unreadable.is_empty());
    assert_eq!(report.warnings, Vec::<String>::new());
    assert_eq!(report.previews.len(), 30);
    let dataset = Dataset::open(&fashion(), &Limits::default()).unwrap();
    assert_eq!(crate::support::digest(&dataset), report.digest);
    assert_eq!(report.digest, "92482209ee4dd32c4b86fa80d5012bb681417f5c01fc4213117bdc5962b75188");
}

#[test]
fn a_share_of_each_class_is_held_out() {
    let dataset = Dataset::open(&fashion(), &Limits::default()).unwrap();
    let (train, held) = dataset.split_train(&hub::data::Copies::default(), 0.2, 1);
    assert_eq!((train.len(), held.len()), (2_400, 600));
    for label in 0..10 {
        assert_eq!(held.iter().filter(|s| s.target == Target::Class(label)).count(), 60);
    }
    assert!(train.iter().all(|s| !held.contains(s)));
}
