//! A source file as the checks see it: without comments and without what exists under test only.

pub struct Source {
    pub path: String,
    pub text: String,
    /// The live lines; those of comments and test items are empty, so that numbers stay true.
    pub code: Vec<String>,
}

impl Source {
    /// `..._tests.rs` is nothing but tests.
    pub fn new(path: &str, text: &str) -> Source {
        let code = if path.ends_with("tests.rs") { Vec::new() } else { live(text) };
        Source { path: path.into(), text: text.into(), code }
    }

    pub fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or(&self.path);
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Line number and text; `use` items may span lines, so each statement is joined into one.
    pub fn statements(&self) -> Vec<(usize, String)> {
        let (mut joined, mut open): (Vec<(usize, String)>, bool) = (Vec::new(), false);
        for (at, line) in self.code.iter().enumerate() {
            match (open, joined.last_mut()) {
                (true, Some(last)) => last.1 += line.trim(),
                _ => joined.push((at + 1, line.clone())),
            }
            open = (open || is_use(line)) && !line.trim_end().ends_with(';');
        }
        joined
    }

    /// Line, name and length of each function of rustfmt's output, whose closing brace stands under its `fn`.
    pub fn functions(&self) -> Vec<(usize, String, usize)> {
        let mut found = Vec::new();
        for (at, line) in self.code.iter().enumerate() {
            let indent = indent(line);
            let words: Vec<&str> = line.split_whitespace().collect();
            let Some(position) = words.iter().position(|w| *w == "fn") else { continue };
            let modifiers = ["pub", "pub(crate)", "pub(super)", "async", "const", "unsafe", "extern", "\"C\""];
            if !words[..position].iter().all(|w| modifiers.contains(w)) || words.len() <= position + 1 {
                continue;
            }
            let close = format!("{}}}", " ".repeat(indent));
            let end = self.code[at..].iter().position(|l| *l == close || (self::indent(l) == indent && l.ends_with(';')));
            let name = super::paths::word(words[position + 1]).unwrap_or_default();
            let one_line = line.ends_with('}') || line.ends_with(';');
            found.push((at + 1, name, if one_line { 1 } else { end.map_or(1, |n| n + 1) }));
        }
        found
    }
}

pub fn is_use(line: &str) -> bool {
    ["use ", "pub use ", "pub(crate) use ", "pub(super) use "].iter().any(|start| line.trim_start().starts_with(start))
}

fn live(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let (mut code, mut at) = (Vec::new(), 0);
    while at < lines.len() {
        let trimmed = lines[at].trim_start();
        if trimmed.starts_with("#[cfg(test)]") || trimmed.starts_with("#[cfg(all(test,") {
            at = end_of_item(&lines, at) + 1;
        } else {
            code.push(if trimmed.starts_with("//") { String::new() } else { lines[at].to_owned() });
            at += 1;
        }
        code.resize(at, String::new());
    }
    code
}

/// The last line of the item under an attribute, in rustfmt's output: the item's first line, or else the closing line
/// that stands as deep as its first.
fn end_of_item(lines: &[&str], attribute: usize) -> usize {
    let depth = indent(lines[attribute]);
    let on_top = |line: &str| line.trim_start().starts_with("#[") || line.trim_start().starts_with("//");
    let Some(first) = (attribute + 1..lines.len()).find(|at| !on_top(lines[*at])) else { return lines.len() - 1 };
    if lines[first].ends_with([';', ',', '}']) {
        return first;
    }
    let closes = |line: &str| indent(line) == depth && line.trim_start().starts_with(['}', ')', ']']) && !line.ends_with('{');
    (first + 1..lines.len()).find(|at| closes(lines[*at])).unwrap_or(lines.len() - 1)
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}
