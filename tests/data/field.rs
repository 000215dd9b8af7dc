//! Layouts that data sets of the field have: each is read as what it is, or asked about; its splits are never its classes.

use hub::data::{Dataset, Error, Limits, Source, check};
use hub::domain::dataset_report::DatasetReport;

use crate::support::*;

/// Files by their paths; images where the ending says so.
fn set(paths: &[&str]) -> Vec<(String, Vec<u8>)> {
    let bytes = |path: &str, seed: u32| if path.ends_with(".jpg") || path.ends_with(".png") { png(seed) } else { b"x".to_vec() };
    paths.iter().zip(0..).map(|(path, seed)| (path.to_string(), bytes(path, seed))).collect()
}

fn report(paths: &[&str]) -> DatasetReport {
    check_folder(&set(paths)).unwrap()
}

/// (class, split, count) wherever there are items.
fn counts(report: &DatasetReport) -> Vec<(String, String, usize)> {
    let of = |name: &str, split: &str, count: usize| (name.to_owned(), split.to_owned(), count);
    let split = |split: &hub::domain::dataset_report::SplitCount| {
        report
            .classes
            .iter()
            .zip(&split.per_class)
            .filter(|(_, n)| **n > 0)
            .map(|(class, n)| of(class, &split.name, *n))
            .collect::<Vec<_>>()
    };
    report.splits.iter().flat_map(split).collect()
}

fn is(report: &DatasetReport, wanted: &[(&str, &str, usize)]) {
    let wanted: Vec<_> = wanted.iter().map(|(class, split, n)| (class.to_string(), split.to_string(), *n)).collect();
    assert_eq!(counts(report), wanted, "{:?}", report.warnings);
}

#[track_caller]
fn told(report: &DatasetReport, needles: &[&str]) {
    let warning = report.warnings.iter().find(|warning| needles.iter().all(|needle| warning.contains(needle)));
    assert!(warning.is_some(), "{needles:?}: {:?}", report.warnings);
}

#[track_caller]
fn asked(paths: &[&str], needles: &[&str]) {
    let error = check_folder(&set(paths)).map(|report| report.classes).unwrap_err();
    assert_eq!(error.code(), "layout_unclear", "{error}");
    let text = error.to_string();
    assert!(needles.iter().all(|needle| text.contains(needle)) && error.hint().contains("--layout"), "{text}");
}

/// The same files with a card.
fn with_card(paths: &[&str], front: &str) -> Result<DatasetReport, Error> {
    let mut files = set(paths);
    files.push(("README.md".into(), format!("---\n{front}\n---\n# Pets\n").into_bytes()));
    check_folder(&files)
}

#[test]
fn detection_and_segmentation_are_named_and_asked_about() {
    asked(
        &["train2017/1.jpg", "val2017/2.jpg", "annotations/instances_train2017.json"],
        &["COCO", "train2017/ (1 image)", "instances_train2017.json"],
    );
    asked(&["train/1.jpg", "valid/2.jpg", "train/_annotations.coco.json", "valid/_annotations.coco.json"], &["COCO"]);
    asked(
        &["VOC2012/JPEGImages/1.jpg", "VOC2012/Annotations/1.xml", "VOC2012/SegmentationClass/1.png"],
        &["Pascal VOC", "Annotations/1.xml"],
    );
    asked(&["train/a.jpg", "train/a.xml", "valid/b.jpg", "valid/b.xml"], &["Pascal VOC"]);
    asked(&["images/train/1.jpg", "images/val/2.jpg", "labels/train/1.txt", "labels/val/2.txt"], &["YOLO"]);
    asked(&["train/images/1.jpg", "train/labels/1.txt", "valid/images/2.jpg", "valid/labels/2.txt", "data.yaml"], &["YOLO"]);
    asked(&["obj_train_data/1.jpg", "obj_train_data/1.txt", "obj_train_data/2.jpg", "obj_train_data/2.txt", "obj.names"], &["YOLO"]);
    asked(&["images/1.jpg", "masks/1.png"], &["segmentation"]);
    asked(&["leftImg8bit/train/aachen/1.png", "gtFine/train/aachen/1.png"], &["Cityscapes"]);
    asked(&["train/1.png", "trainannot/1.png", "val/2.png", "valannot/2.png"], &["segmentation"]);
    asked(&["train/a.jpg", "train/_classes.csv", "valid/b.jpg", "valid/_classes.csv"], &["list of labels"]);
}

#[test]
fn flat_splits_and_parts_are_asked_about() {
    let flat = ["train/cat.0.jpg", "train/cat.1.jpg", "train/dog.0.jpg", "train/dog.1.jpg", "test/1.jpg", "train.csv"];
    asked(&flat, &["`test`, `train` lie in no class folders", "--layout names", "train.csv"]);
    asked(&["train/0.jpg", "test1/1.jpg", "sampleSubmission.csv"], &["in no class folders"]);
    asked(&["fold1/1.jpg", "fold2/2.jpg", "fold3/3.jpg"], &["`fold1`"]);
    asked(&["fold1/cat/1.jpg", "fold1/dog/1.jpg", "fold2/cat/2.jpg", "fold2/dog/2.jpg"], &["`fold1`"]);
    asked(&["train/1.jpg", "validation/2.jpg", "holdout/3.jpg"], &["`holdout`"]);
    asked(&["trainA/1.jpg", "trainB/2.jpg", "testA/3.jpg", "testB/4.jpg"], &["could both be"]);
    asked(&["images_001/1.png", "images_002/2.png", "labels.csv"], &["what kind of files", "labels.csv"]);
    asked(&["1.jpg", "2.jpg"], &["in no folders"]);
    asked(&["cars_train/1.jpg", "cars_test/2.jpg", "devkit/cars_meta.mat"], &["in no class folders"]);
    asked(
        &["images/Abyssinian_1.jpg", "images/Abyssinian_2.jpg", "images/beagle_1.jpg", "images/beagle_2.jpg", "annotations/list.txt"],
        &["--layout names"],
    );
    asked(&["train2014/1.jpg", "train2017/2.jpg"], &["could both be train"]);
}

#[test]
fn folders_that_could_be_two_things_are_asked_about() {
    asked(&["train/cat/1.jpg", "train/dog/1.jpg", "extra/cat/2.jpg"], &["`extra` stands beside"]);
    asked(&["color/rust/1.jpg", "color/blight/1.jpg", "gray/rust/2.jpg", "gray/blight/2.jpg"], &["either could be the classes"]);
    asked(&["data/train/cat/1.jpg", "data/test/cat/1.jpg", "old/cat/1.jpg"], &["`data` has split folders in it"]);
}

#[test]
fn splits_of_the_field_are_read_as_splits() {
    let intel = report(&[
        "seg_train/seg_train/sea/1.jpg",
        "seg_train/seg_train/ice/2.jpg",
        "seg_test/seg_test/sea/3.jpg",
        "seg_test/seg_test/ice/4.jpg",
        "seg_pred/seg_pred/5.jpg",
    ]);
    is(&intel, &[("ice", "train", 1), ("sea", "train", 1), ("ice", "test", 1), ("sea", "test", 1)]);
    told(&intel, &["`seg_train` was read as train"]);
    told(&intel, &["1 file was left out", "seg_pred/seg_pred/5.jpg"]);
    let cats = report(&["training_set/training_set/cats/1.jpg", "training_set/training_set/dogs/2.jpg", "test_set/test_set/cats/3.jpg"]);
    is(&cats, &[("cats", "train", 1), ("dogs", "train", 1), ("cats", "test", 1)]);
    let dev = report(&["train/a/1.jpg", "train/b/2.jpg", "dev/a/3.jpg", "test/4.jpg", "README.roboflow.txt"]);
    is(&dev, &[("a", "train", 1), ("b", "train", 1), ("a", "val", 1)]);
    told(&dev, &["lie in no class folder", "test/4.jpg"]);
    let tiny = report(&["train/n01/images/1.jpg", "train/n02/images/2.jpg", "val/images/3.jpg", "val/val_annotations.txt"]);
    is(&tiny, &[("n01", "train", 1), ("n02", "train", 1)]);
    told(&tiny, &["which are not images", "val/val_annotations.txt"]);
    let imagenet = report(&[
        "ILSVRC/Data/CLS-LOC/train/n01/1.jpg",
        "ILSVRC/Data/CLS-LOC/train/n02/2.jpg",
        "ILSVRC/Data/CLS-LOC/val/3.jpg",
        "ILSVRC/Annotations/CLS-LOC/train/n01/1.xml",
        "ILSVRC/ImageSets/CLS-LOC/train_cls.txt",
    ]);
    is(&imagenet, &[("n01", "train", 1), ("n02", "train", 1)]);
    told(&imagenet, &["1 .txt", "1 .xml"]);
}

#[test]
fn classes_stay_classes() {
    is(&report(&["bus/1.jpg", "train/2.jpg", "tram/3.jpg"]), &[("bus", "train", 1), ("train", "train", 1), ("tram", "train", 1)]);
    is(&report(&["test_tube/1.jpg", "train_station/2.jpg"]), &[("test_tube", "train", 1), ("train_station", "train", 1)]);
    is(&report(&["0/1.jpg", "1/2.jpg"]), &[("0", "train", 1), ("1", "train", 1)]);
    is(&report(&["with_mask/1.jpg", "without_mask/2.jpg"]), &[("with_mask", "train", 1), ("without_mask", "train", 1)]);
    is(&report(&["label_0/1.jpg", "label_1/2.jpg"]), &[("label_0", "train", 1), ("label_1", "train", 1)]);
    is(&report(&["cat/deep/1.jpg", "cat/2.jpg", "dog/3.jpg"]), &[("cat", "train", 2), ("dog", "train", 1)]);
    let birds = report(&[
        "CUB/images/001.Auk/1.jpg",
        "CUB/images/002.Jay/2.jpg",
        "CUB/images.txt",
        "CUB/train_test_split.txt",
        "CUB/parts/parts.txt",
    ]);
    is(&birds, &[("001.Auk", "train", 1), ("002.Jay", "train", 1)]);
    told(&birds, &["3 files were left out", "which are not images", "train_test_split.txt"]);
    let inside = report(&["cat/train/1.jpg", "cat/test/2.jpg", "dog/train/3.jpg"]);
    is(&inside, &[("cat", "train", 1), ("dog", "train", 1), ("cat", "test", 1)]);
    told(&inside, &["read as classes"]);
    // Annotations without an ending beside images with one are no items.
    let dogs = report(&["Images/n02-Pug/1.jpg", "Images/n03-Elk/2.jpg", "Annotation/n02-Pug/1", "Annotation/n03-Elk/2"]);
    is(&dogs, &[("n02-Pug", "train", 1), ("n03-Elk", "train", 1)]);
    told(&dogs, &["2 without an ending"]);
}

#[test]
fn what_the_card_says_is_obeyed() {
    let flat = ["train/cat.0.jpg", "train/cat.1.jpg", "train/dog.0.jpg", "test/dog.9.jpg", "test/1.jpg"];
    let names = with_card(&flat, "layout: names").unwrap();
    is(&names, &[("cat", "train", 2), ("dog", "train", 1), ("dog", "test", 1)]);
    told(&names, &["test/1.jpg"]);
    assert!(names.declared.contains("names"), "{}", names.declared);
    is(&with_card(&["train/1.jpg", "test/2.jpg"], "layout: folders").unwrap(), &[("test", "train", 1), ("train", "train", 1)]);
    let folds = ["fold1/cat/1.jpg", "fold1/dog/2.jpg", "fold2/cat/3.jpg", "fold2/dog/4.jpg", "fold3/cat/5.jpg"];
    let configs = "configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: [fold1/**, fold2/*]\n  - split: validation\n    path: fold3/**";
    let folds = with_card(&folds, configs).unwrap();
    is(&folds, &[("cat", "train", 2), ("dog", "train", 2), ("cat", "val", 1)]);
    // Inside of a folder that is wrapped around everything, and with files that no split names.
    let wrapped = ["pets/a/cat/1.jpg", "pets/a/dog/2.jpg", "pets/b/cat/3.jpg", "pets/notes/cat/4.jpg"];
    let wrapped =
        with_card(&wrapped, "configs:\n- data_files:\n  - {split: train, path: 'pets/a/**'}\n  - {split: test, path: 'b'}").unwrap();
    is(&wrapped, &[("cat", "train", 1), ("dog", "train", 1), ("cat", "test", 1)]);
    told(&wrapped, &["outside of the folders that the card names", "notes/cat/4.jpg"]);
    // Where nothing lies there, the folders are read as without a card.
    let absent = with_card(&["cat/1.jpg", "dog/2.jpg"], "configs:\n- data_files: data/train-*").unwrap();
    is(&absent, &[("cat", "train", 1), ("dog", "train", 1)]);
    told(&absent, &["`data/train-*`", "no image lies there"]);
    // Tables of any name, one a split.
    let mut tabled = set(&["img/1.jpg", "img/2.jpg", "img/3.jpg"]);
    let table = |rows: &str| format!("file_name,label\n{rows}").into_bytes();
    tabled.push(("learn.csv".into(), table("img/1.jpg,cat\nimg/2.jpg,dog\n")));
    tabled.push(("check.csv".into(), table("img/3.jpg,cat\n")));
    let front = "---\nconfigs:\n- data_files:\n  - {split: train, path: learn.csv}\n  - {split: test, path: check.csv}\n---\n";
    tabled.push(("README.md".into(), front.into()));
    let tabled = check_folder(&tabled).unwrap();
    is(&tabled, &[("cat", "train", 1), ("dog", "train", 1), ("cat", "test", 1)]);
    assert!(!tabled.warnings.iter().any(|said| said.contains("configs")), "{:?}", tabled.warnings);
    let odd = with_card(&["cat/1.jpg", "dog/2.jpg"], "layout: post").unwrap();
    told(&odd, &["`layout: post`"]);
    assert_eq!(with_card(&["train2017/1.jpg", "val2017/2.jpg"], "layout: none").unwrap_err().code(), "kept_as_is");
    assert_eq!(with_card(&["cat/1.jpg", "dog/2.jpg"], "layout: table").unwrap_err().code(), "layout_unclear");
}

#[test]
fn a_version_of_an_archive_and_a_card_is_read_by_the_card() {
    let dir = folder(&[("README.md".into(), b"---\nlayout: folders\n---\n".to_vec())]);
    let zip = packed(&zip_of(&set(&["train/1.png", "test/2.png"])));
    let version = vec![("README.md".into(), dir.path().join("README.md")), ("data.zip".into(), zip.path.clone())];
    let found = check(&Source::Files(version.clone()), &Limits::default(), &mut |_, _| {}).unwrap();
    assert_eq!(found.classes, ["test", "train"]);
    assert_eq!(Dataset::open(&Source::Files(version), &Limits::default()).unwrap().classes(), ["test", "train"]);
}

#[test]
fn files_that_took_no_part_are_grouped() {
    let mut paths = vec!["cat/1.jpg".to_string(), "dog/2.jpg".to_string(), "labels.csv".into()];
    paths.extend((0..500).map(|n| format!("cat/{n}.xml")));
    let report = report(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    told(&report, &["501 files were left out, which are not images: 1 .csv (`labels.csv`), 500 .xml (`cat/0.xml`"]);
}

#[test]
fn names_of_a_zip_that_says_no_encoding_are_read_and_told() {
    // 犬 and 猫 as a machine in Japan writes them, and a table beside the archive.
    let paths = ["xx/1.png", "yy/2.png"];
    let mut zip = zip_of(&set(&paths));
    for (from, to) in [(b"xx/1.png", b"\x8c\xa2/1.png"), (b"yy/2.png", b"\x94L/2.png")] {
        while let Some(at) = zip.windows(from.len()).position(|window| window == from) {
            zip[at..at + to.len()].copy_from_slice(to);
        }
    }
    let zip = packed(&zip);
    let read = |front: &str| {
        let dir = folder(&[("README.md".into(), format!("---\n{front}\n---\n").into_bytes()), ("labels.csv".into(), b"x".to_vec())]);
        let file = |name: &str| (name.to_string(), dir.path().join(name));
        let version = vec![file("README.md"), file("labels.csv"), ("data.zip".into(), zip.path.clone())];
        check(&Source::Files(version), &Limits::default(), &mut |_, _| {}).unwrap()
    };
    let guessed = read("license: mit");
    assert_eq!((guessed.samples, guessed.classes.len()), (2, 2));
    told(&guessed, &["2 names in the zip say no encoding", "`犬/1.png` with shift_jis", "--zip-encoding"]);
    told(&guessed, &["beside the archive", "labels.csv"]);
    let said = read("zip_encoding: shift_jis");
    assert_eq!(said.classes, ["犬", "猫"]);
    assert!(said.warnings.iter().all(|warning| !warning.contains("encoding")));
    told(&read("zip_encoding: klingon"), &["`zip_encoding: klingon`"]);
}
