//! Words of running text as data sets of tagged words have them: divided at white space, with the signs before and behind a word as words
//! of their own (the Penn Treebank's way, in short).

use std::ops::Range;

/// What words of one item are divided by: one of these, and nothing else. Items hold no other white space.
pub const DIVIDER: char = ' ';
/// Takes the place of white space within a word, and of a word without letters.
pub const WITHIN: char = '\u{a0}';

/// What may stand before and behind a word without being part of it.
const OPENING: &[char] = &['(', '[', '{', '<', '"', '\'', '“', '‘', '«', '„', '‚', '¿', '¡', '*', '_'];
const CLOSING: &[char] = &[')', ']', '}', '>', '"', '\'', '”', '’', '»', '“', ',', ';', ':', '!', '?', '.', '…', '*', '_'];
/// What hangs on a word and is one of its own.
const HANGING: [&str; 2] = ["'s", "’s"];

/// The words of an item of a data set.
pub fn of_item(item: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut from = 0;
    item.split(DIVIDER).map(move |word| {
        let range = from..from + word.len();
        from = range.end + DIVIDER.len_utf8();
        range
    })
}

/// Words as one item.
pub fn item<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let plain = |word: &str| match word.is_empty() {
        true => WITHIN.to_string(),
        false => word.chars().map(|c| if c.is_whitespace() || c.is_control() { WITHIN } else { c }).collect(),
    };
    words.map(plain).collect::<Vec<String>>().join(" ")
}

/// Where the words of a text lie in it, in bytes.
pub fn words(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut rest = text.char_indices().peekable();
    while let Some((from, c)) = rest.next() {
        if c.is_whitespace() {
            continue;
        }
        let mut to = from + c.len_utf8();
        while let Some((at, c)) = rest.next_if(|(_, c)| !c.is_whitespace()) {
            to = at + c.len_utf8();
        }
        divide(text, from..to, &mut found);
    }
    found
}

/// Takes the signs off a run of letters, from outside inwards.
fn divide(text: &str, run: Range<usize>, found: &mut Vec<Range<usize>>) {
    let (mut from, mut to, mut behind) = (run.start, run.end, Vec::new());
    while let Some(c) = text[from..to].chars().next().filter(|c| OPENING.contains(c) && from + c.len_utf8() < to) {
        found.push(from..from + c.len_utf8());
        from += c.len_utf8();
    }
    while let Some(c) = text[from..to].chars().next_back().filter(|c| CLOSING.contains(c) && from + c.len_utf8() < to) {
        if c == '.' && is_shortened(&text[from..to]) {
            break;
        }
        behind.push(to - c.len_utf8()..to);
        to -= c.len_utf8();
    }
    if let Some(hanging) = HANGING.into_iter().find(|hanging| text[from..to].len() > hanging.len() && text[from..to].ends_with(hanging)) {
        behind.push(to - hanging.len()..to);
        to -= hanging.len();
    }
    found.push(from..to);
    found.extend(behind.into_iter().rev());
}

/// Whether the point at its end belongs to a word: that of an initial, or of letters with points between.
fn is_shortened(word: &str) -> bool {
    let before = word.trim_end_matches('.');
    let is_short = |part: &str| (1..=2).contains(&part.chars().count()) && part.chars().all(char::is_alphabetic);
    let initial = before.chars().count() == 1 && before.chars().all(char::is_uppercase);
    before.len() + 1 == word.len() && (initial || before.contains('.') && before.split('.').all(is_short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_words_of_their_own() {
        let cut = |text: &str| words(text).into_iter().map(|range| text[range].to_owned()).collect::<Vec<_>>().join("|");
        assert_eq!(cut("Anna's dog met J. Smith (U.N.)."), "Anna|'s|dog|met|J.|Smith|(|U.N.|)|.");
        assert_eq!(cut("the U.N. said: \"No!\" at 3.5."), "the|U.N.|said|:|\"|No|!|\"|at|3.5|.");
        assert_eq!(cut("  Zürich,\u{a0}Genève… "), "Zürich|,|Genève|…");
        assert_eq!(cut("... 3.5 a-b"), ".|.|.|3.5|a-b");
        assert_eq!(cut(" \n"), "");
    }

    #[test]
    fn an_item_has_the_words_it_was_made_of() {
        let made = item(["New York", "", "is", "\t"].into_iter());
        let back: Vec<&str> = of_item(&made).map(|range| &made[range]).collect();
        assert_eq!(back, ["New\u{a0}York", "\u{a0}", "is", "\u{a0}"]);
    }
}
