//! Layouts of the field that hold something else than classes, as a table: how they are told, and what they are. They only name
//! what was found where folders give no classes; a folder per class stays one, whatever lies beside it.

use std::collections::HashSet;

use super::Tree;

struct Known {
    /// What it is, as in "this looks like ...".
    what: &'static str,
    is: fn(&Tree<'_>) -> bool,
}

const KNOWN: &[Known] = &[
    Known { what: "COCO: boxes and outlines of objects, in JSON", is: coco },
    Known { what: "Pascal VOC: boxes of objects, in an XML file for each image", is: voc },
    Known { what: "YOLO: boxes of objects, in a text file for each image", is: yolo },
    Known { what: "Cityscapes: a label for each pixel", is: |tree| tree.has_folder(&["leftimg8bit", "gtfine", "gtcoarse"]) },
    Known {
        what: "segmentation: a mask for each image",
        is: |tree| tree.has_folder(&["masks", "mask", "segmentationclass", "segmentationobject", "trimaps", "trainannot", "segmentations"]),
    },
    Known { what: "images with a list of labels for each (`_classes.csv`)", is: |tree| tree.others_named(|name| name == "_classes.csv") },
];

/// What it looks like, if it is one of the table.
pub fn recognise(tree: &Tree<'_>) -> Option<&'static str> {
    KNOWN.iter().find(|known| (known.is)(tree)).map(|known| known.what)
}

fn coco(tree: &Tree<'_>) -> bool {
    const STARTS: [&str; 5] = ["instances_", "captions_", "person_keypoints_", "panoptic_", "stuff_"];
    let annotations =
        |name: &str| name.contains(".coco.") || name == "_annotations.json" || STARTS.iter().any(|start| name.starts_with(start));
    tree.others_named(|name| name.ends_with(".json") && annotations(name))
}

fn voc(tree: &Tree<'_>) -> bool {
    tree.has_folder(&["jpegimages"]) || beside_images(tree, "xml")
}

fn yolo(tree: &Tree<'_>) -> bool {
    beside_images(tree, "txt") || tree.others_named(|name| matches!(name, "data.yaml" | "data.yml" | "obj.data" | "obj.names"))
}

/// Whether at least half of the images have a file of the same name with this ending.
fn beside_images(tree: &Tree<'_>, ending: &str) -> bool {
    let stem = |path: &str| path.rsplit('/').next().and_then(|file| file.rsplit_once('.')).map(|(stem, _)| stem.to_owned());
    let is = |path: &&&str| path.rsplit_once('.').is_some_and(|(_, found)| found.eq_ignore_ascii_case(ending));
    let beside: HashSet<String> = tree.others.iter().filter(is).filter_map(|path| stem(path)).collect();
    let have = tree.items.iter().filter(|item| stem(item.path).is_some_and(|stem| beside.contains(&stem))).count();
    have > 0 && 2 * have >= tree.items.len()
}
