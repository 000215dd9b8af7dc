//! The ways people lay out labelled images, and the ways that cannot be read.

use hub::data::{Dataset, Limits, Source, check};
use hub::domain::task::Task;

use crate::support::*;

fn files(paths: &[&str]) -> Vec<(String, Vec<u8>)> {
    paths.iter().zip(0..).map(|(path, seed)| (path.to_string(), png(seed))).collect()
}

fn text(files: &mut Vec<(String, Vec<u8>)>, path: &str, content: &str) {
    files.push((path.into(), content.as_bytes().to_vec()));
}

fn error_of(files: &[(String, Vec<u8>)]) -> (&'static str, String) {
    let error = check_folder(files).unwrap_err();
    (error.code(), error.to_string())
}

/// (split, class, path) of every sample.
fn seen(files: &[(String, Vec<u8>)]) -> Vec<(String, String, String)> {
    let dir = folder(files);
    let dataset = Dataset::open(&Source::Folder(dir.path().into()), &Limits::default()).unwrap();
    dataset.samples().iter().map(|s| (s.split.to_string(), dataset.targets.word(&s.target), s.path.clone())).collect()
}

fn row(split: &str, class: &str, path: &str) -> (String, String, String) {
    (split.into(), class.into(), path.into())
}

#[test]
fn a_folder_per_class() {
    let got = seen(&files(&["dog/1.png", "cat/1.png", "cat/deep/2.png", "README.md", ".hidden/x.png", "__MACOSX/cat/._1.png"]));
    assert_eq!(got, [row("train", "cat", "cat/1.png"), row("train", "cat", "cat/deep/2.png"), row("train", "dog", "dog/1.png")]);
}

#[test]
fn splits_by_the_names_people_use_inside_one_wrapping_folder() {
    let got = seen(&files(&["pets/training/cat/1.png", "pets/training/dog/1.png", "pets/valid/dog/2.png", "pets/test/cat/3.png"]));
    assert_eq!(got[0], row("train", "cat", "pets/training/cat/1.png"));
    assert_eq!(got[2], row("val", "dog", "pets/valid/dog/2.png"));
    assert_eq!(got[3], row("test", "cat", "pets/test/cat/3.png"));
}

#[test]
fn a_class_may_be_called_train() {
    let got = seen(&files(&["train/1.png", "car/2.png"]));
    assert_eq!(got, [row("train", "car", "car/2.png"), row("train", "train", "train/1.png")]);
}

#[test]
fn a_table_of_labels() {
    let mut set = files(&["images/a.png", "images/b.png", "images/c.png", "spare.png"]);
    text(
        &mut set,
        "metadata.csv",
        "\u{feff}label,file_name,split,note\ncat,images/a.png,train,x\n\"dog, big\",images/b.png,,\ncat,images/c.png,validation,\n",
    );
    let got = seen(&set);
    assert_eq!(got, [row("train", "cat", "images/a.png"), row("train", "dog, big", "images/b.png"), row("val", "cat", "images/c.png")]);
    let report = check_folder(&set).unwrap();
    assert!(report.warnings.iter().any(|w| w.contains("without a row") && w.contains("spare.png")), "{:?}", report.warnings);
}

#[test]
fn tables_of_json_lines_in_split_folders() {
    let mut set = files(&["train/a.png", "train/b.png", "test/a.png"]);
    set[2].1 = png(77);
    text(&mut set, "train/metadata.jsonl", "{\"file_name\":\"a.png\",\"label\":3}\n\n{\"file_name\":\"./b.png\",\"label\":\"x\"}\n");
    text(&mut set, "test/metadata.jsonl", "{\"file_name\":\"a.png\",\"label\":\"x\"}");
    assert_eq!(seen(&set), [row("train", "3", "train/a.png"), row("train", "x", "train/b.png"), row("test", "x", "test/a.png")]);
}

#[test]
fn tables_as_spreadsheets_save_them() {
    let rows = [("a.png", "cat"), ("i/b.png", "dog"), ("i/c.png", "cat")];
    let table = |divider: &str, header: [&str; 2], end: &str| {
        let lines = rows.iter().map(|(file, label)| format!("{file}{divider}{label}{end}")).collect::<String>();
        format!("{}{divider}{}{end}{lines}", header[0], header[1])
    };
    let wide = |text: &str, pair: fn(u16) -> [u8; 2], mark: [u8; 2]| {
        mark.into_iter().chain(text.encode_utf16().flat_map(pair)).collect::<Vec<u8>>()
    };
    let plain = table(",", ["file_name", "label"], "\n");
    for bytes in [
        format!("\u{feff}{}", table(",", ["file_name", "label"], "\r\n")).into_bytes(),
        table(";", ["file_name", "label"], "\n").into_bytes(),
        table("\t", ["File Name", "Class"], "\n").into_bytes(),
        table("|", ["filename", "category"], "\n").into_bytes(),
        table(",", ["image", "class"], "\n").into_bytes(),
        plain.replace("i/", "i\\").into_bytes(),
        wide(&plain, u16::to_le_bytes, [0xff, 0xfe]),
        wide(&plain, u16::to_be_bytes, [0xfe, 0xff]),
    ] {
        let mut set = files(&["a.png", "i/b.png", "i/c.png"]);
        set.push(("Metadata.csv".into(), bytes));
        let report = check_folder(&set).unwrap();
        assert_eq!((report.classes, report.samples), (vec!["cat".into(), "dog".into()], 3));
    }
    let mut set = files(&["a.png", "b.png", "c.png", "d.png"]);
    text(&mut set, "metadata.csv", "file_name,label\na.png,cafe\u{301}\nb.png,caf\u{e9}\nc.png,big\u{a0}cat\nd.png,big cat\n");
    assert_eq!(check_folder(&set).unwrap().classes, ["big cat", "caf\u{e9}"]);
    for (bytes, line) in [(&b"file_name,label\na.png,caf\xe9\n"[..], "line 2: byte 0xe9"), (b"f\0i\0", "line 1: it holds a zero byte")] {
        set.pop();
        set.push(("metadata.csv".into(), bytes.to_vec()));
        let (code, message) = error_of(&set);
        assert!(code == "bad_metadata" && message.contains(line), "{message}");
    }
}

#[test]
fn tables_that_cannot_be_right_name_their_line() {
    for (table, line, reason) in [
        ("file_name,label\na.png,cat\nno.png,dog\n", "line 3", "there is no file"),
        ("file_name,label\na.png,cat\n../b.png,dog\n", "line 3", "outside"),
        ("file_name,label\na.png,cat\na.png,dog\n", "line 3", "row already"),
        ("file_name,label\na.png,\n", "line 2", "no label"),
        ("file_name,label,split\na.png,cat,middle\n", "line 2", "not train, val or test"),
        ("picture;kind\na.png;cat\n", "line 1", "divided at semicolons, has the columns `picture`, `kind` and no `file_name`"),
        ("\n\nFile_Name\tx\na.png\tcat\n", "line 3", "divided at tabs, has the columns `File_Name`, `x` and no `label`"),
        ("file_name,label\nB.PNG,cat\n", "line 2", "there is `b.png`"),
        ("file_name,label\nb,cat\n", "line 2", "there is `b.png`"),
        ("file_name,label\na.png,cat,extra\n", "line 2", ""),
    ] {
        let mut set = files(&["a.png", "b.png"]);
        text(&mut set, "metadata.csv", table);
        let (code, message) = error_of(&set);
        assert_eq!(code, "bad_metadata", "{message}");
        assert!(message.contains(line) && message.contains(reason), "{message}");
    }
    let mut set = files(&["a.png", "b.png"]);
    text(&mut set, "metadata.jsonl", "{\"file_name\":\"a.png\",\"label\":1}\n{\"file_name\":\"b.png\",\"label\":null}");
    assert!(error_of(&set).1.contains("line 2"));
    text(&mut set, "metadata.csv", "file_name,label\n");
    assert_eq!(error_of(&set).0, "bad_layout");
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    assert_eq!(error_of(&files(&["cat/1.png", "cat/2.png"])).0, "one_class");
    assert!(error_of(&files(&["cat/1.png"])).1.contains("`cat`"));
    assert_eq!(error_of(&files(&["1.png", "2.png"])).0, "layout_unclear");
    assert_eq!(error_of(&[]).0, "no_images");
    assert_eq!(error_of(&files(&["README.md"])).0, "no_images");
    assert_eq!(error_of(&files(&["train/cat/1.png", "train/dog/1.png", "extra/cat/2.png"])).0, "layout_unclear");
    let (code, message) = error_of(&files(&["cat/1.png", "Cat/2.png", "Cat/3.png"]));
    assert!(code == "classes_alike" && message.contains("`Cat` (2 items)") && message.contains("`cat` (1 items)"), "{message}");
    let long = format!("{}/1.png", "k".repeat(101));
    assert_eq!(error_of(&files(&["cat/1.png", &long])).0, "class_name");
    let many: Vec<String> = (0..30).map(|i| format!("c{i}/1.png")).collect();
    let dir = folder(&files(&many.iter().map(String::as_str).collect::<Vec<_>>()));
    let limits = Limits { classes: 20, ..Limits::default() };
    let error = check(&Source::Folder(dir.path().into()), &limits, &mut |_, _| {}).unwrap_err();
    assert_eq!(error.code(), "too_many_classes");
}

#[test]
fn what_systems_leave_is_no_part_of_the_data_and_hidden_pictures_are_told() {
    let mut set: Vec<(String, Vec<u8>)> = four_images();
    for litter in
        ["cat/Icon\r", "__MACOSX/cat/._Icon\r", "cat/@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg", "$RECYCLE.BIN/9.png", ".ipynb_checkpoints/9.png"]
    {
        set.push((litter.into(), png(9)));
    }
    set.push((".wild/1.png".into(), png(8)));
    for bytes in [zip_of(&set), tar_of(&set)] {
        let report = check_bytes(&bytes, &Limits::default()).unwrap();
        assert_eq!((report.samples, report.classes.len()), (4, 2));
        let told: Vec<_> = report.warnings.iter().filter(|warning| !warning.contains("training image")).collect();
        assert!(told.len() == 1 && told[0].contains("1 images lie in hidden folders") && told[0].contains("`.wild`"), "{told:?}");
    }
    assert_eq!(check_folder(&set).unwrap().samples, 4);
}

#[test]
fn names_of_many_scripts_are_classes() {
    let set = files(&[
        "می\u{200c}خواهم/1.png",
        "گل/2.png",
        "ශ\u{dca}\u{200d}රී/3.png",
        "👨\u{200d}👩\u{200d}👧/4.png",
        "Ficus sp./5.png",
        "cafe\u{301}/6.png",
    ]);
    let report = check_bytes(&zip_of(&set), &Limits::default()).unwrap();
    assert_eq!(report.samples, 6);
    for class in ["می\u{200c}خواهم", "ශ\u{dca}\u{200d}රී", "👨\u{200d}👩\u{200d}👧", "Ficus sp.", "caf\u{e9}"] {
        assert!(report.classes.contains(&class.to_string()), "{class}: {:?}", report.classes);
    }
}

#[test]
fn thousands_of_findings_are_a_few_sentences() {
    let many: Vec<String> = (0..200).map(|class| format!("species_{class:03}/{}.png", class % 2)).collect();
    let report = check_folder(&files(&many.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
    assert_eq!(report.classes.len(), 200);
    assert!(report.warnings.len() < 5 && report.warnings.iter().all(|warning| warning.len() < 400), "{:?}", report.warnings);
    assert!(report.warnings.iter().any(|warning| warning.starts_with("200 classes have only 1 training image: `species_000`")));
}

#[test]
fn oddities_are_told_and_not_fatal() {
    let mut set = files(&["train/cat/1.png", "train/dog/1.png", "test/bird/1.png", "val/cat/9.png"]);
    text(&mut set, "train/cat/notes.txt", "hello");
    set[3].1 = set[0].1.clone();
    let report = check_folder(&set).unwrap();
    let told = |needle: &str| assert!(report.warnings.iter().any(|w| w.contains(needle)), "{needle}: {:?}", report.warnings);
    told("class `bird` has no training images");
    told("notes.txt");
    told("1 of 1 validation images is also in train");
    assert_eq!(report.duplicates_across_splits.len(), 1);
    assert!(report.duplicates_across_splits[0].0.ends_with("train/cat/1.png"));
    assert_eq!(report.classes, ["bird", "cat", "dog"]);
}

#[test]
fn a_table_of_numbers_is_read_as_targets() {
    let mut set = files(&["a/1.png", "b/2.png", "c/3.png", "d/4.png"]);
    text(&mut set, "metadata.csv", "file_name,target,split\na/1.png,2.5,train\nb/2.png,-1e3,train\nc/3.png,0,val\nd/4.png,7,train\n");
    let dir = folder(&set);
    let dataset = Dataset::open(&Source::Folder(dir.path().into()), &Limits::default()).unwrap();
    assert_eq!((dataset.targets.task(), dataset.classes().len()), (Task::Regression, 0));
    let targets: Vec<_> = dataset.samples().iter().map(|s| (s.split.as_str(), s.target.value().unwrap())).collect();
    assert_eq!(targets, [("train", 2.5), ("train", -1e3), ("train", 7.0), ("val", 0.0)]);
    let report = check_folder(&set).unwrap();
    assert_eq!((report.task, report.samples, report.classes.len()), (Task::Regression, 4, 0));
    let spread = report.values.unwrap();
    assert_eq!((spread.min, spread.max), (-1e3, 7.0));
    assert_eq!(report.splits[0].samples, 3);
    assert_eq!((report.previews.len(), report.previews[0].class.as_str()), (4, "2.5"));
    assert_eq!(report.digest, digest(&dataset));
    // JSON lines may hold fractions here, and the first line says which column it is.
    let mut lines = files(&["1.png", "2.png"]);
    text(&mut lines, "metadata.jsonl", "{\"file_name\": \"1.png\", \"target\": 0.5}\n{\"file_name\": \"2.png\", \"target\": \"1e-2\"}\n");
    assert_eq!(check_folder(&lines).unwrap().values.unwrap().max, 0.5);
}

#[test]
fn targets_that_cannot_be_learned_are_named() {
    let with = |table: &str| {
        let mut set = files(&["1.png", "2.png"]);
        text(&mut set, "metadata.csv", table);
        set
    };
    assert_eq!(error_of(&with("file_name,target\n1.png,3\n2.png,3.0\n")).0, "bad_targets");
    for bad in ["three", "NaN", "inf", "1e60"] {
        let (code, message) = error_of(&with(&format!("file_name,target\n1.png,1\n2.png,{bad}\n")));
        assert!(code == "bad_targets" && message.contains(bad), "{message}");
    }
    let (code, message) = error_of(&with("file_name,target\n1.png,1\n2.png,\n"));
    assert!(code == "bad_metadata" && message.contains("has no target"), "{message}");
    // A table with both is one of classes, and says so.
    let report = check_folder(&with("file_name,target,label\n1.png,1,cat\n2.png,2,dog\n")).unwrap();
    assert_eq!(report.classes, ["cat", "dog"]);
    assert!(report.warnings.iter().any(|warning| warning.contains("column `target` was not")), "{:?}", report.warnings);
    // Tables of two kinds contradict each other.
    let mut torn = files(&["train/1.png", "val/2.png"]);
    text(&mut torn, "train/metadata.csv", "file_name,target\n1.png,1\n");
    text(&mut torn, "val/metadata.csv", "file_name,label\n2.png,cat\n");
    assert_eq!(error_of(&torn).0, "bad_metadata");
}

#[test]
fn links_in_a_folder_are_refused() {
    let dir = folder(&four_images());
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("cat/link.png")).unwrap();
    let error = check(&Source::Folder(dir.path().into()), &Limits::default(), &mut |_, _| {}).unwrap_err();
    assert_eq!(error.code(), "archive_entry_kind");
    assert!(error.to_string().contains("cat/link.png"));
}

#[test]
fn a_version_of_files_or_of_one_archive() {
    let dir = folder(&four_images());
    let loose: Vec<_> = four_images().into_iter().map(|(path, _)| (path.clone(), dir.path().join(&path))).collect();
    let by_files = check(&Source::Files(loose), &Limits::default(), &mut |_, _| {}).unwrap();
    let zip = packed(&zip_of(&four_images()));
    std::fs::write(dir.path().join("README.md"), "# Pets").unwrap();
    let version = vec![("README.md".into(), dir.path().join("README.md")), ("pets.zip".into(), zip.path.clone())];
    let by_archive = check(&Source::Files(version), &Limits::default(), &mut |_, _| {}).unwrap();
    assert_eq!(by_files.digest, by_archive.digest);
    assert_eq!(by_archive.samples, 4);
}

#[test]
fn progress_reaches_the_end() {
    let file = packed(&zip_of(&four_images()));
    let mut steps = Vec::new();
    check(&Source::Archive(file.path.clone()), &Limits::default(), &mut |done, all| steps.push((done, all))).unwrap();
    assert_eq!((steps.first(), steps.last()), (Some(&(0, 4)), Some(&(4, 4))));
}
