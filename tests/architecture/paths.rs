//! Paths between rooms: those that stand in the code, also through what one room hands on of another
//! (`pub use crate::nn::Device` in `train` makes `crate::train::Device`, which is still `nn`'s).

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, is_use};

/// A path from the crate's root, and the name it goes by where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub path: Vec<String>,
    pub name: String,
}

/// Paths that begin with `crate::` or `hub::`, also inside `use crate::{a::b, c::{d as e}}`.
pub fn named(line: &str) -> Vec<Named> {
    let mut found = Vec::new();
    for prefix in ["crate::", "hub::"] {
        for (at, _) in line.match_indices(prefix) {
            if begins_a_path(line, at) {
                spread(&[], &line[at + prefix.len()..], &mut found);
            }
        }
    }
    found
}

fn begins_a_path(line: &str, at: usize) -> bool {
    !line[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
}

/// `a::{b, c as d}` -> `a::b`, `a::c` known as `d`.
fn spread(before: &[String], text: &str, found: &mut Vec<Named>) {
    let text = text.trim_start();
    if let Some(list) = text.strip_prefix('{') {
        top_level_items(list).iter().for_each(|item| spread(before, item, found));
        return;
    }
    let (mut path, mut name) = (before.to_vec(), before.last().cloned().unwrap_or_default());
    match word(text) {
        Some(segment) if segment == "self" => {}
        Some(segment) => {
            path.push(segment.clone());
            let rest = &text[segment.len()..];
            if let Some(further) = rest.strip_prefix("::") {
                return spread(&path, further, found);
            }
            name = rest.trim_start().strip_prefix("as ").and_then(word).unwrap_or(segment);
        }
        None if text.starts_with('*') => name = "*".into(),
        None => {}
    }
    if !path.is_empty() {
        found.push(Named { path, name });
    }
}

/// `a::{b, c}, d::e}` -> `a::{b, c}`, `d::e`.
fn top_level_items(list: &str) -> Vec<String> {
    let (mut depth, mut items, mut item) = (0, Vec::new(), String::new());
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(std::mem::take(&mut item));
                continue;
            }
            _ => {}
        }
        item.push(c);
    }
    items.push(item);
    items
}

pub fn word(text: &str) -> Option<String> {
    let word: String = text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

/// Every path from the root that a file names, with its line: written out, or begun by a module it has imported.
pub fn all_named(source: &Source) -> Vec<(usize, Named)> {
    let statements = source.statements();
    let mut found: Vec<(usize, Named)> =
        statements.iter().flat_map(|(line, statement)| named(statement).into_iter().map(move |named| (*line, named))).collect();
    let modules: BTreeMap<String, Vec<String>> = statements
        .iter()
        .filter(|(_, statement)| is_use(statement))
        .flat_map(|(_, statement)| named(statement))
        .filter(|named| named.name.starts_with(|c: char| c.is_lowercase()))
        .map(|named| (named.name, named.path))
        .collect();
    for (line, statement) in &statements {
        for (at, _) in statement.match_indices("::") {
            let start = statement[..at].rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |before| before + 1);
            if let Some(path) = modules.get(&statement[start..at]).filter(|_| begins_a_path(statement, start)) {
                let mut behind = Vec::new();
                spread(path, &statement[at + 2..], &mut behind);
                found.extend(behind.into_iter().map(|named| (*line, named)));
            }
        }
    }
    found
}

/// What rooms hand on of others: (room, name there) -> where it comes from.
#[derive(Default)]
pub struct HandedOn(BTreeMap<(String, String), Vec<Vec<String>>>);

impl HandedOn {
    pub fn of(sources: &[Source]) -> HandedOn {
        let mut handed_on = HandedOn::default();
        for source in sources {
            for (_, statement) in source.statements() {
                let (item, crosses) = (statement.trim_start(), |named: &Named| named.path[0] != source.room());
                if item.starts_with("pub use ") || item.starts_with("pub(crate) use ") || item.starts_with("pub type ") {
                    let known_as = |named: &Named| match item.strip_prefix("pub type ") {
                        Some(rest) => word(rest).unwrap_or_default(),
                        None => named.name.clone(),
                    };
                    for named in named(item).into_iter().filter(crosses) {
                        let key = (source.room().to_owned(), known_as(&named));
                        handed_on.0.entry(key).or_default().push(named.path);
                    }
                }
            }
        }
        handed_on
    }

    /// The rooms a path leads to: the one it names, and those whose things it hands on.
    pub fn rooms(&self, path: &[String], declared: &impl Fn(&str, &str) -> bool) -> BTreeSet<String> {
        let mut rooms = BTreeSet::from([path[0].clone()]);
        if path[1..].iter().any(|name| declared(&path[0], name)) {
            return rooms;
        }
        for name in &path[1..] {
            let key = (path[0].clone(), name.clone());
            for origin in self.0.get(&key).into_iter().flatten() {
                rooms.extend(self.rooms(origin, declared));
            }
        }
        rooms
    }

    /// Rooms and names.
    pub fn names(&self) -> impl Iterator<Item = &(String, String)> {
        self.0.keys()
    }
}
