//! The words there are in names, summaries, tags and cards, with how many repos have each: by them it is known beforehand what a search will cost,
//! and what a mistyped word may mean. A word that no public repo has is counted and never shown.

use std::collections::{BTreeSet, HashMap};

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use crate::db::{Result, Tx};
use crate::params;

/// Words of one repo that are counted, and the longest of them in characters; longer ones are no words.
const MOST_WORDS: usize = 2_000;
const LONGEST: usize = 40;
/// Words looked at that may have been meant by a mistyped one, of each beginning.
const LOOKED_AT: usize = 1_000;
/// The same of beginnings that differ in one letter.
const LOOKED_AT_BESIDE: usize = 100;
/// Words with a beginning that are added up; where there are more, they are many.
pub const ADDED_UP: usize = 1_000;

/// The words of a text as the index of words has them: no case, no accents.
pub fn words(text: &str) -> Vec<String> {
    let plain: String = text.nfd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect();
    plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The words of a repo that are counted.
pub(super) fn counted(texts: &[&str]) -> BTreeSet<String> {
    let all = texts.iter().flat_map(|text| words(text));
    all.filter(|word| word.chars().count() <= LONGEST).take(MOST_WORDS).collect()
}

/// A repo had some words and has others; each time with whether it is public.
pub(super) fn change(tx: &mut Tx<'_>, before: Option<(BTreeSet<String>, bool)>, after: Option<(BTreeSet<String>, bool)>) -> Result<()> {
    let none = (BTreeSet::new(), false);
    let (before, was_public) = before.unwrap_or_else(|| none.clone());
    let (after, is_public) = after.unwrap_or(none);
    let same = was_public == is_public;
    for word in before.iter().filter(|word| !same || !after.contains(*word)) {
        add(tx, word, -1, was_public)?;
    }
    for word in after.iter().filter(|word| !same || !before.contains(*word)) {
        add(tx, word, 1, is_public)?;
    }
    for word in before.difference(&after) {
        tx.execute("delete from vocabulary where word = $1 and repos <= 0", params![word])?;
    }
    Ok(())
}

fn add(tx: &mut Tx<'_>, word: &str, by: i64, public: bool) -> Result<()> {
    let public = if public { by } else { 0 };
    tx.execute(
        "insert into vocabulary (word, beginning, repos, public) values ($1, $2, $3, $4)
         on conflict (word) do update set repos = vocabulary.repos + $3, public = vocabulary.public + $4",
        params![word, beginning(word), by, public],
    )?;
    Ok(())
}

fn beginning(word: &str) -> String {
    word.chars().take(2).collect()
}

/// How many words begin so, and how many repos have them, counted once for each word; both are bounded by [`ADDED_UP`] words.
pub(super) fn beginning_with(tx: &mut Tx<'_>, beginning: &str) -> Result<(usize, u64)> {
    let sql = "select count(*) as words, cast(coalesce(sum(repos), 0) as bigint) as repos
               from (select repos from vocabulary where word >= $1 and word < $2 limit $3) w";
    let row = tx.one(sql, params![beginning, super::search::end_of(beginning), ADDED_UP])?;
    Ok((usize::try_from(row.count("words")?).unwrap_or(usize::MAX), row.count("repos")?))
}

/// The word itself, if there is one, and then those that begin so, of most repos first; of a bounded number of them.
pub(super) fn most_frequent(tx: &mut Tx<'_>, beginning: &str, limit: usize) -> Result<Vec<String>> {
    let sql = "select word from (select word, repos from vocabulary where word >= $1 and word < $2 order by word limit $3) w
               order by case when word = $1 then 0 else 1 end, repos desc, word limit $4";
    let rows = tx.all(sql, params![beginning, super::search::end_of(beginning), ADDED_UP, limit])?;
    rows.iter().map(|row| row.text("word")).collect()
}

/// A text of which every word is known: unknown ones are replaced by the nearest that a public repo has. `None` where all are known, or one has
/// nothing near it.
pub(super) fn corrected(tx: &mut Tx<'_>, text: &str, most_words: usize) -> Result<Option<String>> {
    let (mut corrected, mut changed) = (Vec::new(), false);
    for word in words(text).into_iter().take(most_words) {
        if is_known(tx, &word)? {
            corrected.push(word);
            continue;
        }
        let Some(nearest) = nearest(tx, &word)? else { return Ok(None) };
        changed = true;
        corrected.push(nearest);
    }
    Ok(changed.then(|| corrected.join(" ")))
}

fn is_known(tx: &mut Tx<'_>, beginning: &str) -> Result<bool> {
    let sql = "select word from (select word, public from vocabulary where word >= $1 and word < $2 limit $3) w where public > 0 limit 1";
    Ok(tx.find(sql, params![beginning, super::search::end_of(beginning), ADDED_UP])?.is_some())
}

/// The nearest public word, of one change, or two in a long word; of equally near ones that of most repos.
fn nearest(tx: &mut Tx<'_>, word: &str) -> Result<Option<String>> {
    let letters: Vec<char> = word.chars().collect();
    let far = match letters.len() {
        0..=2 => return Ok(None),
        3..=7 => 1,
        8..=LONGEST => 2,
        _ => return Ok(None),
    };
    // A change may be in the first two letters: one too many, one too few, two that changed places, or another one.
    let beginnings: BTreeSet<String> =
        [[0, 1], [1, 2], [0, 2], [1, 0]].iter().map(|at| at.iter().map(|at| letters[*at]).collect()).collect();
    let others = another_first(tx, &letters)?.into_iter().map(|beginning| (beginning, LOOKED_AT_BESIDE));
    let mut known: HashMap<String, i64> = HashMap::new();
    for (beginning, limit) in beginnings.into_iter().map(|beginning| (beginning, LOOKED_AT)).chain(others) {
        let sql = "select word, public from vocabulary where beginning = $1 and public > 0 order by public desc limit $2";
        for row in tx.all(sql, params![beginning, limit])? {
            known.insert(row.text("word")?, row.int("public")?);
        }
    }
    let near = known.into_iter().filter_map(|(other, public)| {
        let distance = distance(&letters, &other.chars().collect::<Vec<_>>(), far)?;
        Some((distance, std::cmp::Reverse(public), other))
    });
    Ok(near.min().map(|(_, _, other)| other))
}

/// Beginnings that differ in one letter: the known ones, of a bounded number.
fn another_first(tx: &mut Tx<'_>, letters: &[char]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for letter in 'a'..='z' {
        for beginning in [format!("{}{letter}", letters[0]), format!("{letter}{}", letters[1])] {
            let sql = "select word from vocabulary where beginning = $1 and public > 0 limit 1";
            if found.len() < 26 && tx.find(sql, params![&beginning])?.is_some() {
                found.push(beginning);
            }
        }
    }
    Ok(found)
}

/// Letters to put in, take out, change or swap with their neighbour to make one word of another (Damerau, Levenshtein), if that is at most `far`.
fn distance(a: &[char], b: &[char], far: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > far {
        return None;
    }
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let changed = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            next[j] = changed.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                next[j] = next[j].min(above[j - 2] + 1);
            }
        }
        if next.iter().min().is_some_and(|least| *least > far) {
            return None;
        }
        above = std::mem::replace(&mut row, next);
    }
    row.last().copied().filter(|distance| *distance <= far)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_no_case_and_no_accents() {
        assert_eq!(words("Café-ResNet_50.v1/été"), ["cafe", "resnet", "50", "v1", "ete"]);
        assert!(words("-_./ !").is_empty());
        assert_eq!(counted(&["a b", "b c"]).len(), 3);
    }

    #[test]
    fn one_slip_is_one_change() {
        let distance = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>(), 2);
        assert_eq!(distance("resnet", "resnet"), Some(0));
        for slip in ["rsenet", "renet", "resneet", "rasnet"] {
            assert_eq!(distance(slip, "resnet"), Some(1), "{slip}");
        }
        assert_eq!(distance("penguni", "penguins"), Some(2));
        assert_eq!(distance("cat", "resnet"), None);
        assert_eq!(distance("abcdef", "uvwxyz"), None);
    }
}
