//! Files that say which colour of a mask is which class, in the forms that tools of the field write: a line with a name and three numbers
//! (`class_dict.csv`, `labelmap.txt`, `label_colors.txt`, `palette.txt`), or JSON.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Given;
use crate::data::error::{Error, Result};
use crate::data::targets::UNSAID;

const FILES: [&str; 11] = [
    "palette.json",
    "palette.csv",
    "palette.txt",
    "class_dict.csv",
    "labelmap.txt",
    "label_colors.txt",
    "colors.json",
    "colors.txt",
    "color_map.csv",
    "classes.csv",
    "class_colors.json",
];
/// What classes are called that say that nothing is said.
const VOID: [&str; 5] = ["void", "ignore", "ignored", "unlabeled", "unlabelled"];

/// Colours with their classes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Palette {
    pub names: Vec<String>,
    pub colours: BTreeMap<[u8; 3], u8>,
    /// What of it says nothing.
    pub void: Vec<String>,
}

/// The data set's palette and the file that has it, if there is one.
///
/// # Errors
/// Two classes of one colour, more classes than a mask can tell apart.
pub fn find(given: &Given<'_>) -> Result<Option<(Palette, String)>> {
    let called = |path: &&&str| FILES.contains(&path.rsplit('/').next().unwrap_or(path).to_lowercase().as_str());
    let mut files: Vec<&str> = given.tree.others.iter().filter(called).copied().collect();
    files.sort_by_key(|path| (path.matches('/').count(), *path));
    for path in files {
        let Some(text) = given.text(path)? else { continue };
        let entries = match path.to_lowercase().ends_with(".json") {
            true => serde_json::from_str(&text).ok().and_then(|value| of_json(&value)).unwrap_or_default(),
            false => of_lines(&text),
        };
        if !entries.is_empty() {
            let palette = Palette::of(entries).map_err(|reason| Error::BadLayout { reason: format!("`{path}`: {reason}") })?;
            return Ok(Some((palette, path.to_owned())));
        }
    }
    Ok(None)
}

impl Palette {
    fn of(entries: Vec<(String, [u8; 3])>) -> std::result::Result<Palette, String> {
        let mut palette = Palette::default();
        for (name, colour) in entries {
            let [r, g, b] = colour;
            let void = VOID.contains(&name.to_lowercase().as_str());
            let known = palette.names.iter().position(|known| *known == name);
            let class = match known {
                _ if void => usize::from(UNSAID),
                Some(class) => class,
                None => palette.names.len(),
            };
            if !void && class >= usize::from(UNSAID) {
                return Err(format!("it names more than {UNSAID} classes"));
            }
            if palette.colours.insert(colour, class as u8).is_some_and(|other| usize::from(other) != class) {
                return Err(format!("the colour {r}, {g}, {b} is that of two classes, `{name}` and another"));
            }
            match () {
                () if void => palette.void.push(name),
                () if known.is_none() => palette.names.push(name),
                () => {}
            }
        }
        Ok(palette)
    }
}

/// Three numbers beside each other are a colour, and what else stands there is the name.
fn of_lines(text: &str) -> Vec<(String, [u8; 3])> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entry = |line: &str| {
        let words: Vec<&str> = line.split([',', ';', ':', '\t', ' ', '"']).filter(|word| !word.is_empty()).collect();
        let level = |word: &&str| word.parse::<u8>().ok();
        let colour = |three: &[&str]| Some([level(&three[0])?, level(&three[1])?, level(&three[2])?]);
        // A number before the name is the class's own: the last three that stand together are the colour, where a name comes first.
        let places: Vec<usize> = words.windows(3).enumerate().filter(|(_, three)| colour(three).is_some()).map(|(at, _)| at).collect();
        let at = *places.iter().find(|at| words[..**at].iter().any(|word| level(word).is_none())).or_else(|| places.first())?;
        let before: Vec<&str> = words[..at].to_vec();
        let before = if before.len() > 1 && level(&before[0]).is_some() { &before[1..] } else { &before[..] };
        let name = if before.is_empty() { words[at + 3..].join(" ") } else { before.join(" ") };
        (!name.is_empty()).then_some(())?;
        Some((name, colour(&words[at..at + 3])?))
    };
    lines.filter_map(entry).collect()
}

fn of_json(value: &Value) -> Option<Vec<(String, [u8; 3])>> {
    let colour = |value: &Value| {
        let level = |at: usize| value.get(at)?.as_u64().and_then(|level| u8::try_from(level).ok());
        Some([level(0)?, level(1)?, level(2)?])
    };
    match value {
        Value::Object(map) => map.iter().map(|(name, value)| Some((name.clone(), colour(value)?))).collect(),
        Value::Array(all) => {
            let one = |value: &Value| {
                let of = |keys: &[&str]| keys.iter().find_map(|key| value.get(*key));
                Some((of(&["name", "label", "class"])?.as_str()?.to_owned(), colour(of(&["color", "colour", "color_rgb", "rgb"])?)?))
            };
            all.iter().map(one).collect()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn palettes_are_read_in_every_form() {
        let wanted = [("sky".to_owned(), [128, 128, 128]), ("road sign".to_owned(), [0, 1, 2])];
        for text in [
            "name,r,g,b\nsky,128,128,128\nroad sign,0,1,2\n",
            "# label:color_rgb:parts:actions\nsky:128,128,128::\nroad sign:0,1,2::\n",
            "128 128 128\tsky\n0 1 2\troad sign\n",
            "0 sky 128 128 128\n1 road sign 0 1 2\n",
        ] {
            assert_eq!(of_lines(text), wanted, "{text}");
        }
        assert_eq!(of_json(&serde_json::json!({"sky": [128, 128, 128], "road sign": [0, 1, 2]})).unwrap(), wanted);
        let listed = serde_json::json!([{"name": "sky", "color": [128, 128, 128]}, {"name": "road sign", "color": [0, 1, 2]}]);
        assert_eq!(of_json(&listed).unwrap(), wanted);
    }

    #[test]
    fn colours_are_classes_in_their_order_and_void_says_nothing() {
        let entry = |name: &str, level: u8| (name.to_owned(), [level; 3]);
        let palette = Palette::of(vec![entry("sky", 1), entry("Void", 2), entry("road", 3), entry("sky", 4)]).unwrap();
        assert_eq!((palette.names, palette.void), (vec!["sky".to_owned(), "road".to_owned()], vec!["Void".to_owned()]));
        assert_eq!([1, 2, 3, 4].map(|level| palette.colours[&[level; 3]]), [0, UNSAID, 1, 0]);
        assert!(Palette::of(vec![entry("a", 1), entry("b", 1)]).unwrap_err().contains("two classes"));
    }
}
