//! The class in a file's name: `cat.0.jpg`, `Abyssinian_12.jpg`.

use std::collections::BTreeSet;

use super::Tree;

/// What stands before the number at the end of a file's name.
pub fn class_of(path: &str) -> Option<&str> {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let class = stem.trim_end_matches([')', ']']).trim_end_matches(|c: char| c.is_ascii_digit());
    if class.len() == stem.len() {
        return None;
    }
    let class = class.trim_end_matches(['.', '_', '-', ' ', '(', '[']);
    class.chars().any(char::is_alphabetic).then_some(class)
}

/// A sentence where the names of the files seem to hold their classes.
pub fn hint(tree: &Tree<'_>) -> Option<String> {
    let classes: Vec<&str> = tree.items.iter().filter_map(|item| class_of(item.path)).collect();
    let different: BTreeSet<&str> = classes.iter().copied().collect();
    let some = 2 * classes.len() >= tree.items.len() && different.len() >= 2 && 2 * different.len() <= classes.len();
    let example = tree.items.iter().find(|item| class_of(item.path).is_some())?;
    some.then(|| format!("file names such as `{}` may hold the class (`--layout names`)", example.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_stands_before_the_number() {
        for (path, class) in [
            ("train/cat.0.jpg", Some("cat")),
            ("Abyssinian_100.jpg", Some("Abyssinian")),
            ("great dane (12).jpeg", Some("great dane")),
            ("cat-7", Some("cat")),
            ("7.jpg", None),
            ("2024_01.png", None),
            ("cat.jpg", None),
        ] {
            assert_eq!(class_of(path), class, "{path}");
        }
    }
}
