//! Data sets whose places are labelled, in the formats of the field, drawn here: each is read as what it is, and what is wrong is named.

use hub::data::targets::Outline;
use hub::data::{Dataset, Limits, Object, Objects, Source, Target, Targets, UNSAID};
use hub::domain::dataset_report::DatasetReport;
use hub::domain::task::Task;
use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};

use crate::support::*;

const WIDTH: u32 = 40;
const HEIGHT: u32 = 30;

type Files = Vec<(String, Vec<u8>)>;

/// A bright rectangle on noise; the same seed draws the same.
fn drawn(seed: u32, [x, y, w, h]: [u32; 4]) -> Vec<u8> {
    let noise = |x: u32, y: u32| ((x * 7 + y * 13 + seed * 31).wrapping_mul(2_654_435_761) >> 26) as u8;
    let inside = |px: u32, py: u32| (x..x + w).contains(&px) && (y..y + h).contains(&py);
    let image = RgbImage::from_fn(WIDTH, HEIGHT, |px, py| {
        if inside(px, py) { Rgb([240, 40, (seed as u8).wrapping_mul(20)]) } else { Rgb([noise(px, py); 3]) }
    });
    encoded(&image, ImageFormat::Png)
}

/// The same rectangle as a mask, of this value in 0.
fn mask(value: u8, [x, y, w, h]: [u32; 4]) -> Vec<u8> {
    let inside = |px: u32, py: u32| (x..x + w).contains(&px) && (y..y + h).contains(&py);
    gray(&GrayImage::from_fn(WIDTH, HEIGHT, |px, py| Luma([if inside(px, py) { value } else { 0 }])))
}

fn gray(image: &GrayImage) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    image.write_to(&mut out, ImageFormat::Png).unwrap();
    out.into_inner()
}

fn file(path: &str, bytes: impl Into<Vec<u8>>) -> (String, Vec<u8>) {
    (path.to_owned(), bytes.into())
}

fn opened(files: &Files) -> Opened {
    let folder = folder(files);
    Opened { dataset: Dataset::open(&Source::Folder(folder.path().to_path_buf()), &Limits::default()).unwrap(), _folder: folder }
}

/// A data set whose files stay as long as it is looked at.
struct Opened {
    dataset: Dataset,
    _folder: tempfile::TempDir,
}

impl std::ops::Deref for Opened {
    type Target = Dataset;

    fn deref(&self) -> &Dataset {
        &self.dataset
    }
}

#[track_caller]
fn told(report: &DatasetReport, needles: &[&str]) {
    let warning = report.warnings.iter().find(|warning| needles.iter().all(|needle| warning.contains(needle)));
    assert!(warning.is_some(), "{needles:?}: {:#?}", report.warnings);
}

/// The objects of the image at a path.
fn objects<'a>(dataset: &'a Dataset, path: &str) -> &'a Objects {
    match &dataset.find(path).unwrap().target {
        Target::Objects(objects) => objects,
        other => panic!("{other:?}"),
    }
}

fn splits(report: &DatasetReport) -> Vec<(&str, usize)> {
    report.splits.iter().map(|split| (split.name.as_str(), split.samples)).collect()
}

const BOX: [u32; 4] = [10, 5, 12, 8];

fn coco() -> Files {
    let train = r#"{"images": [{"id": 7, "file_name": "a.png", "width": 40, "height": 30}, {"id": 8, "file_name": "b.png", "width": 40, "height": 30},
            {"id": 9, "file_name": "gone.png", "width": 40, "height": 30}],
        "categories": [{"id": 3, "name": "dog"}, {"id": 1, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 5, 12, 8], "area": 90, "iscrowd": 0, "segmentation": [[10, 5, 22, 5, 22, 13, 10, 13]]},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [10, 5, 12, 8], "area": 96, "iscrowd": 0},
            {"id": 3, "image_id": 7, "category_id": 1, "bbox": [3, 3, 0, 4], "area": 0},
            {"id": 4, "image_id": 8, "category_id": 1, "bbox": [30, 20, 20, 5], "iscrowd": 1, "segmentation": {"counts": [600, 60, 540], "size": [30, 40]}},
            {"id": 5, "image_id": 99, "category_id": 1, "bbox": [1, 1, 2, 2]},
            {"id": 6, "image_id": 7, "category_id": 55, "bbox": [1, 1, 2, 2]}]}"#;
    let val = r#"{"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "cat"}], "annotations": []}"#;
    vec![
        file("train2017/a.png", drawn(1, BOX)),
        file("train2017/b.png", drawn(2, BOX)),
        file("train2017/spare.png", drawn(3, BOX)),
        file("val2017/a.png", drawn(4, BOX)),
        file("annotations/instances_train2017.json", train),
        file("annotations/instances_val2017.json", val),
        file("annotations/captions_train2017.json", r#"{"images": [], "annotations": []}"#),
    ]
}

#[test]
fn coco_is_read_and_its_faults_are_named() {
    let report = check_folder(&coco()).unwrap();
    assert_eq!((report.task, report.classes.as_slice()), (Task::ObjectDetection, &["cat".to_owned(), "dog".into()][..]));
    assert_eq!(splits(&report), [("train", 2), ("val", 1)]);
    let facts = report.annotations.as_ref().unwrap();
    assert_eq!((facts.per_class.as_slice(), facts.objects, facts.crowds, facts.outlines, facts.empty), (&[1, 1][..], 2, 1, 2, 1));
    assert_eq!(facts.sizes, [2, 0, 0]);
    for needles in [
        &["read as images with boxes in COCO's JSON"][..],
        &["zero area", "train2017/a.png", "cat at 3, 3, 0 wide and 4 high"],
        &["annotated twice", "train2017/a.png"],
        &["over the edge", "train2017/b.png", "cat at 30, 20, 20 wide and 5 high"],
        &["annotated and not there", "gone.png"],
        &["no annotation file names", "train2017/spare.png"],
        &["images that the file does not name", "image 99"],
        &["a category that the file does not name", "category 55"],
        &["the class names of train and val differ", "train alone has `dog`"],
        &["1 image has nothing in it"],
    ] {
        told(&report, needles);
    }
    assert_eq!(facts.found, facts.faults.len());
    let dataset = opened(&coco());
    let found = objects(&dataset, "train2017/a.png");
    let outline = Outline::Polygons(Box::new([[10.0, 5.0, 22.0, 5.0, 22.0, 13.0, 10.0, 13.0].into()]));
    let dog = Object { class: 1, bbox: [10.0, 5.0, 12.0, 8.0], area: Some(90.0), crowd: false, outline: Some(outline) };
    assert_eq!(*found.list, [dog]);
    let (kept, wrong) = objects(&dataset, "train2017/b.png").on(WIDTH, HEIGHT);
    assert_eq!((kept[0].bbox, kept[0].crowd, wrong.len()), ([30.0, 20.0, 10.0, 5.0], true, 1));
}

#[test]
fn a_preview_shows_what_is_said() {
    let report = check_folder(&coco()).unwrap();
    let shown = report.previews.iter().find(|preview| preview.path == "train2017/a.png").unwrap();
    assert_eq!(shown.class, "1 dog");
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(&shown.base64).unwrap();
    let (seen, plain) =
        (image::load_from_memory(&bytes).unwrap().into_rgb8(), image::load_from_memory(&drawn(1, BOX)).unwrap().into_rgb8());
    let differs = |x: u32, y: u32| seen.get_pixel(x, y) != plain.get_pixel(x, y);
    assert!(differs(10, 5) && differs(21, 12) && differs(15, 9) && !differs(2, 2) && !differs(30, 20));
}

fn xml(name: &str, [left, top, right, bottom]: [u32; 4]) -> String {
    format!(
        "<annotation><filename>x.png</filename><size><width>40</width><height>30</height><depth>3</depth></size><object><name>{name}</name>\
         <bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object></annotation>"
    )
}

#[test]
fn pascal_voc_counts_pixels_from_one() {
    let files = vec![
        file("train/images/a.png", drawn(1, BOX)),
        file("train/annotations/a.xml", xml("RBC", [11, 6, 22, 13])),
        file("train/images/spare.png", drawn(2, BOX)),
        file("train/annotations/broken.xml", "<annotation><object>"),
        file("val/images/b.png", drawn(3, BOX)),
        file("val/annotations/b.xml", xml("WBC", [1, 1, 40, 30])),
        file("val/annotations/stray.xml", xml("WBC", [1, 1, 4, 4])),
    ];
    let report = check_folder(&files).unwrap();
    assert_eq!((report.task, splits(&report)), (Task::ObjectDetection, vec![("train", 1), ("val", 1)]));
    let dataset = opened(&files);
    assert_eq!(objects(&dataset, "train/images/a.png").list[0].bbox, [10.0, 5.0, 12.0, 8.0]);
    assert_eq!(objects(&dataset, "val/images/b.png").list[0].bbox, [0.0, 0.0, 40.0, 30.0]);
    told(&report, &["images without an annotation", "train/images/spare.png"]);
    told(&report, &["no XML", "broken.xml"]);
    told(&report, &["images that are not there", "stray.xml"]);
    told(&report, &["the class names of train and val differ"]);
}

#[test]
fn lists_of_pascal_voc_say_the_splits() {
    let mut files: Files = (0..4)
        .flat_map(|at| {
            [
                file(&format!("VOC/JPEGImages/{at}.png"), drawn(at, BOX)),
                file(&format!("VOC/Annotations/{at}.xml"), xml("cat", [0, 5, 22, 13])),
            ]
        })
        .collect();
    files.push(file("VOC/ImageSets/Main/train.txt", "0\n1\n"));
    files.push(file("VOC/ImageSets/Main/val.txt", "2\n3\n"));
    files.push(file("VOC/ImageSets/Main/trainval.txt", "0\n1\n2\n3\n"));
    let report = check_folder(&files).unwrap();
    assert_eq!(splits(&report), [("train", 2), ("val", 2)]);
    told(&report, &["counting from 0"]);
    assert_eq!(objects(&opened(&files), "VOC/JPEGImages/0.png").list[0].bbox, [0.0, 5.0, 22.0, 8.0]);
}

#[test]
fn yolo_is_read_with_the_names_of_its_yaml() {
    let files = vec![
        file("images/train/a.png", drawn(1, BOX)),
        file("labels/train/a.txt", "1 0.4 0.3 0.3 0.266667\n7 0.5 0.5 0.1 0.1\nx\n"),
        file("images/train/nothing.png", drawn(2, BOX)),
        file("labels/train/nothing.txt", ""),
        file("images/val/b.png", drawn(3, BOX)),
        file("labels/val/b.txt", "0 0.1 0.1 0.5 0.1 0.5 0.5\n"),
        file("images/val/spare.png", drawn(4, BOX)),
        file("labels/val/stray.txt", "0 0.5 0.5 0.1 0.1\n"),
        file("data.yaml", "train: images/train\nval: images/val\nnc: 2\nnames: [cat, dog]\n"),
    ];
    let report = check_folder(&files).unwrap();
    assert_eq!((report.task, report.classes.as_slice()), (Task::ObjectDetection, &["cat".to_owned(), "dog".into()][..]));
    assert_eq!(splits(&report), [("train", 2), ("val", 2)]);
    told(&report, &["a class without a name", "images/train/a.png", "class 7 of 2"]);
    told(&report, &["lines that are no box", "labels/train/a.txt", "line 3"]);
    told(&report, &["taken for images with nothing in them", "images/val/spare.png"]);
    told(&report, &["without an image", "labels/val/stray.txt"]);
    let dataset = opened(&files);
    let (kept, _) = objects(&dataset, "images/train/a.png").on(WIDTH, HEIGHT);
    let near = kept[0].bbox.iter().zip([10.0, 5.0, 12.0, 8.0]).all(|(own, wanted)| (own - wanted).abs() < 0.01);
    assert!(near && kept[0].class == 1, "{kept:?}");
    let (kept, _) = objects(&dataset, "images/val/b.png").on(WIDTH, HEIGHT);
    assert!(matches!(&kept[0].outline, Some(Outline::Polygons(all)) if (all[0][0] - 4.0).abs() < 1e-3 && (all[0][1] - 3.0).abs() < 1e-3));
    let bare: Files = files.into_iter().filter(|(path, _)| path != "data.yaml").collect();
    told(&check_folder(&bare).unwrap(), &["no file names the classes"]);
}

/// Pairs of images and masks in two splits.
fn masked(value: u8) -> Files {
    let pair = |split: &str, at: u32| {
        [file(&format!("{split}/images/{at}.png"), drawn(at, BOX)), file(&format!("{split}/masks/{at}.png"), mask(value, BOX))]
    };
    [("train", 1), ("train", 2), ("val", 3)].into_iter().flat_map(|(split, at)| pair(split, at)).collect()
}

#[test]
fn masks_of_two_values_are_a_background_and_an_object() {
    for value in [1, 255] {
        let report = check_folder(&masked(value)).unwrap();
        assert_eq!((report.task, splits(&report)), (Task::SemanticSegmentation, vec![("train", 2), ("val", 1)]));
        assert_eq!(report.classes, ["background", "object"]);
        assert_eq!(report.annotations.unwrap().per_class, [3 * (1_200 - 96), 3 * 96]);
    }
    let mut named = masked(255);
    named.push(file("classes.txt", "outside\ncell\n"));
    assert_eq!(check_folder(&named).unwrap().classes, ["outside", "cell"]);
}

#[test]
fn masks_of_indices_and_what_is_wrong_with_them() {
    let mut files: Files = Vec::new();
    for at in 0..30 {
        files.push(file(&format!("images/{at}.png"), drawn(at, BOX)));
        files.push(file(&format!("masks/{at}_mask.png"), mask(if at == 4 { 9 } else { 2 }, BOX)));
    }
    files.push(file("classes.txt", "ground\nroad\ncar\n"));
    files.push(file("images/spare.png", drawn(77, BOX)));
    files.push(file("masks/stray_mask.png", mask(1, BOX)));
    let mut unsaid = GrayImage::new(WIDTH, HEIGHT);
    unsaid.put_pixel(0, 0, Luma([255]));
    files.push(file("images/u.png", drawn(78, BOX)));
    files.push(file("masks/u.png", gray(&unsaid)));
    let report = check_folder(&files).unwrap();
    assert_eq!((report.samples, report.classes.as_slice()), (30, &["ground".to_owned(), "road".into(), "car".into()][..]));
    told(&report, &["masks that cannot be read", "masks/4_mask.png", "the index 9 at pixel 10, 5 is unknown: there are 3 classes"]);
    told(&report, &["images without a mask", "images/spare.png"]);
    told(&report, &["masks without an image", "masks/stray_mask.png"]);
    let dataset = opened(&files);
    let Target::Mask(mask) = &dataset.find("images/u.png").unwrap().target else { panic!("a mask") };
    let labels = mask.labels(dataset.limits()).unwrap().unwrap();
    assert_eq!((labels.values[0], labels.values[1], mask.kinds.as_ref()), (UNSAID, 0, &[0][..]));
}

#[test]
fn a_mask_of_another_size_is_named() {
    let mut files = masked(1);
    files.push(file("train/images/odd.png", drawn(9, BOX)));
    files.push(file("train/masks/odd.png", gray(&GrayImage::new(HEIGHT, WIDTH))));
    let error = check_folder(&files).unwrap_err();
    assert_eq!(error.code(), "too_many_unreadable");
    assert!(error.to_string().contains("its mask is for 30 x 40 pixels, and it has 40 x 30"), "{error}");
}

#[test]
fn colours_want_a_palette() {
    let colour = |at: u32| {
        let image =
            RgbImage::from_fn(WIDTH, HEIGHT, |x, _| if x < 8 { Rgb([128, 64, 0]) } else { Rgb([0, 0, if at == 9 { 7 } else { 200 }]) });
        encoded(&image, ImageFormat::Png)
    };
    let mut files: Files =
        (0..3).flat_map(|at| [file(&format!("images/{at}.png"), drawn(at, BOX)), file(&format!("masks/{at}.png"), colour(at))]).collect();
    let asked = check_folder(&files).unwrap_err();
    assert_eq!(asked.code(), "layout_unclear");
    assert!(asked.to_string().contains("no file says which class"), "{asked}");
    files.push(file("class_dict.csv", "name,r,g,b\nroad,128,64,0\nsky,0,0,200\n"));
    let report = check_folder(&files).unwrap();
    assert_eq!((report.classes.as_slice(), report.task), (&["road".to_owned(), "sky".into()][..], Task::SemanticSegmentation));
    assert_eq!(report.annotations.unwrap().per_class, [3 * 8 * 30, 3 * 32 * 30]);
    files.push(file("images/9.png", drawn(9, BOX)));
    files.push(file("masks/9.png", colour(9)));
    assert!(check_folder(&files).unwrap_err().to_string().contains("the colour 0, 0, 7 at pixel 8, 0 is not in the palette"));
}

#[test]
fn rasters_of_objects_are_counted() {
    let instances = |count: u16| {
        let image: image::ImageBuffer<Luma<u16>, Vec<u16>> =
            image::ImageBuffer::from_fn(WIDTH, HEIGHT, |x, _| Luma([if x < 5 * u32::from(count) { 300 * (1 + x as u16 / 5) } else { 0 }]));
        let mut out = std::io::Cursor::new(Vec::new());
        image.write_to(&mut out, ImageFormat::Png).unwrap();
        out.into_inner()
    };
    let mut files = masked(1);
    for (split, at) in [("train", 1), ("train", 2), ("val", 3)] {
        files.push(file(&format!("{split}/instances/{at}.png"), instances(at + 1)));
    }
    let report = check_folder(&files).unwrap();
    let counted = report.annotations.as_ref().unwrap().per_image.unwrap();
    assert_eq!((counted.min, counted.median, counted.max), (2, 3, 4));
    assert_eq!(report.classes, ["background", "object"]);
    // Alone they say where objects are, too.
    files.retain(|(path, _)| !path.contains("masks"));
    let alone = check_folder(&files).unwrap();
    assert_eq!(alone.annotations.unwrap().per_class, [3 * 1_200 - (10 + 15 + 20) * 30, (10 + 15 + 20) * 30]);
}

#[test]
fn folders_of_pairs_are_no_classes_and_two_formats_are_asked_about() {
    let pair = |kind: &str| -> Files {
        (0..3)
            .flat_map(|at| [file(&format!("images/{at}.png"), drawn(at, BOX)), file(&format!("{kind}/{at}.png"), drawn(at + 9, BOX))])
            .collect()
    };
    for kind in ["heat", "outlines", "depth"] {
        let error = check_folder(&pair(kind)).unwrap_err();
        assert_eq!(error.code(), "layout_unclear", "{kind}: {error}");
    }
    // A table with a box in each row is no table of classes.
    let mut boxed: Files = (0..3).map(|at| file(&format!("{at}.png"), drawn(at, BOX))).collect();
    let rows = "file_name,xmin,ymin,xmax,ymax,label\n0.png,1,1,9,9,cat\n1.png,1,1,9,9,dog\n2.png,1,1,9,9,cat\n";
    boxed.push(file("metadata.csv", rows));
    let error = check_folder(&boxed).unwrap_err();
    assert!(error.to_string().contains("`xmin`, `ymin`, `xmax`, `ymax`") && error.to_string().contains("COCO"), "{error}");
    let mut both = masked(1);
    both.push(file("train/annotations/1.xml", xml("cat", [1, 1, 9, 9])));
    both.push(file("train/annotations/2.xml", xml("cat", [1, 1, 9, 9])));
    let asked = check_folder(&both).unwrap_err();
    assert!(asked.to_string().contains("--layout voc") && asked.to_string().contains("--layout masks"), "{asked}");
    let said = |word: &str| {
        let mut files = both.clone();
        files.push(file("README.md", format!("---\nlayout: {word}\n---\n")));
        check_folder(&files).map(|report| report.task).map_err(|error| error.to_string())
    };
    assert_eq!((said("voc"), said("masks")), (Ok(Task::ObjectDetection), Ok(Task::SemanticSegmentation)));
    assert!(said("coco").unwrap_err().contains("there are no boxes in COCO's JSON"));
}

#[test]
fn the_same_annotations_have_the_same_digest_and_others_another() {
    let digest_of = |files: &Files| digest(&opened(files));
    let (one, mut other) = (coco(), coco());
    assert_eq!(digest_of(&one), digest_of(&coco()));
    other[4].1 = String::from_utf8(other[4].1.clone()).unwrap().replace("[30, 20, 20, 5]", "[30, 20, 20, 6]").into_bytes();
    assert_ne!(digest_of(&one), digest_of(&other));
    assert_ne!(digest_of(&masked(1)), digest_of(&masked(255)));
    assert!(matches!(opened(&one).targets, Targets::Objects(_)));
}

#[test]
fn outlines_cover_the_pixels_that_pycocotools_gives_them() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("../golden/detection.json")).unwrap();
    for case in golden["outlines"].as_array().unwrap() {
        let number = |key: &str| case[key].as_u64().unwrap() as u32;
        let (width, height) = (number("width"), number("height"));
        let points = |one: &serde_json::Value| one.as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect();
        let polygons = Outline::Polygons(case["polygons"].as_array().unwrap().iter().map(points).collect());
        let packed = Outline::packed(case["packed"].as_str().unwrap(), [width, height]).unwrap();
        let on: Vec<usize> = case["on"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap() as usize).collect();
        for outline in [polygons, packed.clone()] {
            let raster = outline.raster(width, height);
            let own: Vec<usize> = (0..raster.len()).filter(|at| raster[*at]).collect();
            assert_eq!(own, on, "{}", case["name"]);
        }
        let bbox: Vec<f32> = case["bbox"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect();
        assert_eq!(packed.bbox().unwrap().to_vec(), bbox, "{}", case["name"]);
    }
    assert_eq!(Outline::packed("~", [4, 4]), None);
    assert_eq!(Outline::packed("1", [4, 4]), None);
}
