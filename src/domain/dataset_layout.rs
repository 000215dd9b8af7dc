//! What a card says about how its data set lies: `layout` (our word for it) and `configs` (Hugging Face's, which paths are which
//! split). It goes with the files, so that everyone who reads the version sees the same classes.

use serde_json::{Map, Value, json};

/// Most paths that are read of one card.
const MOST_PATHS: usize = 1_000;

/// What the folders of a data set mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataLayout {
    /// A folder per class.
    Folders,
    /// Folders of splits with a folder per class in each.
    Splits,
    /// A folder per class with folders of splits in each.
    ClassSplits,
    /// The class is what stands before the number in a file's name.
    Names,
    /// A table names every item.
    Table,
    /// Boxes of objects in COCO's JSON.
    Coco,
    /// Boxes of objects in Pascal VOC's XML.
    Voc,
    /// Boxes of objects in YOLO's text files.
    Yolo,
    /// A mask beside each image.
    Masks,
    /// Files that are kept as they are and have no classes.
    Kept,
}

impl DataLayout {
    pub const ALL: [DataLayout; 10] = [
        DataLayout::Folders,
        DataLayout::Splits,
        DataLayout::ClassSplits,
        DataLayout::Names,
        DataLayout::Table,
        DataLayout::Coco,
        DataLayout::Voc,
        DataLayout::Yolo,
        DataLayout::Masks,
        DataLayout::Kept,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            DataLayout::Folders => "folders",
            DataLayout::Splits => "splits",
            DataLayout::ClassSplits => "classes/splits",
            DataLayout::Names => "names",
            DataLayout::Table => "table",
            DataLayout::Coco => "coco",
            DataLayout::Voc => "voc",
            DataLayout::Yolo => "yolo",
            DataLayout::Masks => "masks",
            DataLayout::Kept => "none",
        }
    }

    /// The name, or one that people also write for it.
    pub fn parse(text: &str) -> Option<DataLayout> {
        let text = match text.trim() {
            "splits/classes" => "splits",
            "flat" => "names",
            "as-is" => "none",
            other => other,
        };
        DataLayout::ALL.into_iter().find(|layout| layout.as_str() == text)
    }
}

/// What makes videos of files that are pictures to everyone else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoLayout {
    /// Square frames side by side in one picture.
    Strips,
    /// A folder for each video, with a picture for each frame.
    Frames,
    /// Each file is one: GIFs, also such as do not move.
    Files,
}
super::user::words!(VideoLayout, Strips = "strips", Frames = "frames", Files = "files");

/// Where the items of a split lie: folders or patterns, from the top of the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitPaths {
    pub split: String,
    pub paths: Vec<String>,
}

/// What is said about a data set's files; empty where nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    pub layout: Option<DataLayout>,
    pub splits: Vec<SplitPaths>,
    /// Whether an image may have several labels: its copies in several class folders are one item.
    pub multi_label: bool,
    /// Classes from the lowest to the highest, where they have an order.
    pub ordered: Vec<String>,
    /// The class of the good items, where all others are anomalies.
    pub good: Option<String>,
    /// The columns of a table that hold targets, as `COLUMN` or `COLUMN=class`, `COLUMN=labels`, `COLUMN=number`.
    pub targets: Vec<String>,
    /// The column of a table that holds texts, or the two columns of a pair; by number from 0 where it has no header.
    pub texts: Vec<String>,
    /// How its videos lie, where they would be taken for pictures.
    pub video: Option<VideoLayout>,
    /// In what encoding a zip without the UTF-8 mark has its names.
    pub zip_encoding: Option<String>,
    /// What was said and not understood, in sentences.
    pub odd: Vec<String>,
}

impl Declared {
    /// Reads the front matter of a card.
    pub fn of_front(front: &Map<String, Value>) -> Declared {
        let mut declared = Declared::default();
        let word = |key: &str| front.get(key).and_then(Value::as_str).map(str::trim).filter(|word| !word.is_empty());
        // A word that is none of ours may be another tool's key of the same name.
        if let Some(text) = word("layout") {
            declared.layout = DataLayout::parse(text);
            if declared.layout.is_none() {
                let shown: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
                declared.odd.push(format!("the card's `layout: {shown}` is none of {} and was not followed", names()));
            }
        }
        let listed = |key: &str| match front.get(key) {
            Some(Value::Array(all)) => all.iter().take(MOST_PATHS).filter_map(text_of).collect(),
            Some(Value::Object(map)) => map.iter().take(MOST_PATHS).map(|(name, kind)| pair_of(name, kind)).collect(),
            Some(one) if key == "texts" => text_of(one).into_iter().filter(|name| !name.is_empty()).collect(),
            _ => Vec::new(),
        };
        declared.ordered = listed("ordered");
        declared.targets = listed("targets");
        declared.texts = listed("texts");
        let task_ids = front.get("task_ids").and_then(Value::as_array).into_iter().flatten();
        declared.multi_label = front.get("multi_label") == Some(&Value::Bool(true))
            || task_ids.filter_map(Value::as_str).any(|id| matches!(id, "multi-label-image-classification" | "multi-label-classification"));
        if let Some(text) = word("video") {
            declared.video = VideoLayout::parse(text);
            if declared.video.is_none() {
                let shown: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
                declared.odd.push(format!("the card's `video: {shown}` is none of strips, frames, files and was not followed"));
            }
        }
        declared.good = word("good").map(str::to_owned);
        declared.zip_encoding = word("zip_encoding").map(str::to_owned);
        if let Some(configs) = front.get("configs") {
            let all: &[Value] = if let Value::Array(all) = configs { all } else { std::slice::from_ref(configs) };
            let (config, is_guess) = default_config(all);
            declared.splits = config.map(splits_of_config).unwrap_or_default();
            if let (true, Some(name)) = (is_guess && !declared.splits.is_empty(), config.and_then(name_of)) {
                let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
                declared.odd.push(format!(
                    "the card's `configs` has {} and none is the default: `{shown}`, the first, was read; `default: true` marks another",
                    all.len()
                ));
            }
        }
        declared
    }

    /// Writes it into the front matter of a card, over what that said before.
    pub fn write(&self, front: &mut Map<String, Value>) {
        if let Some(layout) = self.layout {
            front.insert("layout".into(), json!(layout.as_str()));
        }
        if self.multi_label {
            front.insert("multi_label".into(), json!(true));
        }
        for (key, list) in [("ordered", &self.ordered), ("targets", &self.targets), ("texts", &self.texts)] {
            if !list.is_empty() {
                front.insert(key.into(), json!(list));
            }
        }
        if let Some(good) = &self.good {
            front.insert("good".into(), json!(good));
        }
        if let Some(video) = self.video {
            front.insert("video".into(), json!(video.as_str()));
        }
        if let Some(encoding) = &self.zip_encoding {
            front.insert("zip_encoding".into(), json!(encoding));
        }
        if !self.splits.is_empty() {
            let files: Vec<Value> = self.splits.iter().map(|split| json!({"split": split.split, "path": split.paths})).collect();
            front.insert("configs".into(), json!([{"config_name": "default", "data_files": files}]));
        }
    }

    /// Names everything that decides how the files are read; empty where nothing is said.
    pub fn key(&self) -> String {
        let mut front = Map::new();
        self.write(&mut front);
        if front.is_empty() { String::new() } else { Value::Object(front).to_string() }
    }
}

/// The layouts' names, for people.
pub fn names() -> String {
    DataLayout::ALL.map(DataLayout::as_str).join(", ")
}

/// `train=FOLDER,validation=FOLDER`; a split may come more than once.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse_split_names(text: &str) -> Result<Vec<SplitPaths>, String> {
    let mut splits: Vec<SplitPaths> = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((split, path)) = pair.split_once('=').map(|(split, path)| (split.trim(), path.trim().trim_matches('/'))) else {
            return Err(format!("`{pair}` is not SPLIT=FOLDER"));
        };
        if split.is_empty() || path.is_empty() {
            return Err(format!("`{pair}` is not SPLIT=FOLDER"));
        }
        let path = if path.contains(['*', '?', '[']) { path.to_owned() } else { format!("{path}/**") };
        match splits.iter_mut().find(|known| known.split == split) {
            Some(known) => known.paths.push(path),
            None => splits.push(SplitPaths { split: split.into(), paths: vec![path] }),
        }
    }
    Ok(splits)
}

/// A name or a number of a card as text.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn pair_of(name: &str, kind: &Value) -> String {
    kind.as_str().map_or_else(|| name.to_owned(), |kind| format!("{name}={kind}"))
}

fn name_of(config: &Value) -> Option<&str> {
    config.get("config_name").and_then(Value::as_str)
}

/// Of several configurations the default one, as Hugging Face's libraries choose it; else the first, which is a guess.
fn default_config(all: &[Value]) -> (Option<&Value>, bool) {
    let is_default = |config: &&Value| config.get("default") == Some(&Value::Bool(true));
    match all.iter().find(is_default).or_else(|| all.iter().find(|config| name_of(config) == Some("default"))) {
        Some(config) => (Some(config), false),
        None => (all.first(), all.len() > 1),
    }
}

fn splits_of_config(config: &Value) -> Vec<SplitPaths> {
    let below = config.get("data_dir").and_then(Value::as_str).unwrap_or_default().trim_matches('/');
    let mut splits = Vec::new();
    let mut add = |split: &str, paths: &Value| {
        let texts: Vec<&str> = match paths {
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        let whole = |path: &str| if below.is_empty() { path.to_owned() } else { format!("{below}/{path}") };
        let paths: Vec<String> = texts.into_iter().take(MOST_PATHS).map(|path| whole(path.trim_start_matches("./"))).collect();
        if !paths.is_empty() && splits.len() < MOST_PATHS {
            splits.push(SplitPaths { split: split.into(), paths });
        }
    };
    match config.get("data_files") {
        Some(Value::Object(map)) => map.iter().for_each(|(split, paths)| add(split, paths)),
        Some(Value::Array(all)) if all.iter().any(Value::is_object) => {
            for item in all {
                let split = item.get("split").and_then(Value::as_str).unwrap_or("train");
                add(split, item.get("path").unwrap_or(&Value::Null));
            }
        }
        Some(paths) => add("train", paths),
        None if !below.is_empty() => add("train", &json!("**")),
        None => {}
    }
    splits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(front: Value) -> Declared {
        Declared::of_front(front.as_object().unwrap())
    }

    fn split(split: &str, paths: &[&str]) -> SplitPaths {
        SplitPaths { split: split.into(), paths: paths.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn configs_are_read_in_every_form() {
        let of =
            |files: Value| read(json!({"configs": [{"config_name": "other"}, {"config_name": "default", "data_files": files}]})).splits;
        let listed = json!([{"split": "train", "path": "a/*"}, {"split": "test", "path": ["b/*", "c/**"]}]);
        assert_eq!(of(listed), [split("train", &["a/*"]), split("test", &["b/*", "c/**"])]);
        assert_eq!(of(json!({"validation": "v/**"})), [split("validation", &["v/**"])]);
        assert_eq!(of(json!("x/*")), [split("train", &["x/*"])]);
        assert_eq!(of(json!(["x", "y"])), [split("train", &["x", "y"])]);
        assert_eq!(read(json!({"configs": {"data_dir": "main/"}})).splits, [split("train", &["main/**"])]);
        for odd in [json!({"configs": 3}), json!({"configs": []}), json!({"configs": [{"data_files": [{"split": 1}]}]}), json!({})] {
            assert_eq!(read(odd), Declared::default());
        }
    }

    #[test]
    fn of_several_configs_the_default_is_read_and_a_guess_is_told() {
        let config = |name: &str, path: &str| json!({"config_name": name, "data_files": [{"split": "train", "path": path}]});
        let mut fancy = config("fancy", "f/*");
        let both = |fancy: &Value| read(json!({"configs": [config("plain", "p/*"), fancy]}));
        let guessed = both(&fancy);
        assert_eq!(guessed.splits, [split("train", &["p/*"])]);
        assert!(guessed.odd[0].contains("`plain`") && guessed.odd[0].contains("`default: true`"), "{guessed:?}");
        fancy["default"] = json!(true);
        assert_eq!(both(&fancy), Declared { splits: vec![split("train", &["f/*"])], ..Declared::default() });
        let named = read(json!({"configs": [config("plain", "p/*"), config("default", "d/*")]}));
        assert_eq!(named, Declared { splits: vec![split("train", &["d/*"])], ..Declared::default() });
    }

    #[test]
    fn what_is_written_is_read_again() {
        let declared = Declared {
            layout: Some(DataLayout::Names),
            splits: parse_split_names("train=a, train=b/,validation=c/*.png").unwrap(),
            multi_label: true,
            ordered: vec!["low".into(), "high".into()],
            targets: vec!["colour".into(), "size=number".into()],
            texts: vec!["premise".into(), "hypothesis".into()],
            zip_encoding: Some("shift_jis".into()),
            video: Some(VideoLayout::Strips),
            good: None,
            odd: Vec::new(),
        };
        let map = read(
            json!({"targets": {"size": "number", "colour": null}, "ordered": [1, 2], "task_ids": ["multi-label-image-classification"]}),
        );
        assert_eq!(
            (map.targets.as_slice(), map.ordered.as_slice()),
            (&["size=number".to_owned(), "colour".into()][..], &["1".to_owned(), "2".into()][..])
        );
        assert!(map.multi_label && !read(json!({"multi_label": "yes"})).multi_label);
        assert_eq!(declared.splits, [split("train", &["a/**", "b/**"]), split("validation", &["c/*.png"])]);
        let mut front = Map::new();
        declared.write(&mut front);
        assert_eq!(Declared::of_front(&front), declared);
        assert!(declared.key().contains("names") && Declared::default().key().is_empty());
        assert!(parse_split_names("train").is_err() && parse_split_names("=a").is_err());
    }

    #[test]
    fn texts_are_one_column_or_two() {
        for (written, texts) in
            [(json!("review"), &["review"][..]), (json!(["a", "b"]), &["a", "b"]), (json!(1), &["1"]), (json!(""), &[]), (json!(true), &[])]
        {
            assert_eq!(read(json!({"texts": written})).texts, texts);
        }
    }

    #[test]
    fn another_tools_layout_is_told_and_not_followed() {
        let declared = read(json!({"layout": "post"}));
        assert!(declared.layout.is_none() && declared.odd[0].contains("`layout: post`"), "{declared:?}");
        for (text, layout) in [("splits/classes", DataLayout::Splits), ("flat", DataLayout::Names), ("none", DataLayout::Kept)] {
            assert_eq!(DataLayout::parse(text), Some(layout));
        }
    }
}
