//! Phrases: neighbours that stand together more often than by chance become one word, `new_york` (Mikolov et al. 2013, section 4).
//! The score is (count(a b) - min_count) * |V| / (count(a) * count(b)), as gensim has it.

use std::collections::HashSet;

use super::Settings;
use crate::vectors::tokens::Tokens;
use crate::vectors::vocabulary::{Crowded, Words};

/// What joins the words of a phrase.
const JOINT: char = '_';

/// The phrases of one round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Phrases(HashSet<String>);

impl Phrases {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Joins the words of a line, from left to right, into `out`.
    pub fn join(&self, words: &Tokens, out: &mut Tokens) {
        out.clear();
        let (mut index, mut pair) = (0, String::new());
        while index < words.len() {
            let word = words.get(index);
            out.text.push_str(word);
            index += 1;
            if index < words.len() {
                joined(word, words.get(index), &mut pair);
                if self.0.contains(&pair) {
                    out.text.push(JOINT);
                    out.text.push_str(words.get(index));
                    index += 1;
                }
            }
            out.end();
        }
    }
}

fn joined(a: &str, b: &str, out: &mut String) {
    out.clear();
    out.push_str(a);
    out.push(JOINT);
    out.push_str(b);
}

/// Counts of words and pairs while a corpus is read.
#[derive(Default)]
pub struct Counting {
    words: Words,
    word_counts: Vec<u64>,
    pairs: Words,
    /// With the row of each word.
    pair_counts: Vec<(u64, u32, u32)>,
}

impl Counting {
    pub fn line(&mut self, tokens: &Tokens, max_counted: usize) -> Result<(), Crowded> {
        let mut before: Option<(usize, &str)> = None;
        let mut pair = String::new();
        for word in tokens.iter() {
            let (row, is_new) = self.words.add(word.as_bytes())?;
            if is_new {
                self.word_counts.push(0);
            }
            self.word_counts[row] += 1;
            if let Some((first, text)) = before {
                joined(text, word, &mut pair);
                let (place, is_new) = self.pairs.add(pair.as_bytes())?;
                if is_new {
                    self.pair_counts.push((0, first as u32, row as u32));
                }
                self.pair_counts[place].0 += 1;
            }
            before = Some((row, word));
        }
        if self.pairs.len() > max_counted {
            self.forget_rare()?;
        }
        Ok(())
    }

    /// Pairs that were seen once so far are forgotten.
    fn forget_rare(&mut self) -> Result<(), Crowded> {
        let (pairs, counts) = (std::mem::take(&mut self.pairs), std::mem::take(&mut self.pair_counts));
        for (row, count) in counts.into_iter().enumerate().filter(|(_, count)| count.0 > 1) {
            self.pairs.add(pairs.get(row))?;
            self.pair_counts.push(count);
        }
        Ok(())
    }

    /// The pairs whose score reaches the threshold.
    pub fn phrases(&self, settings: &Settings) -> Phrases {
        let (min, words) = (settings.min_count as f64, self.words.len() as f64);
        let is_phrase = |&(count, a, b): &(u64, u32, u32)| {
            let [a, b] = [a, b].map(|row| self.word_counts[row as usize] as f64);
            count >= settings.min_count && (count as f64 - min) * words / (a * b) > settings.phrase_threshold
        };
        let chosen = self.pair_counts.iter().enumerate().filter(|(_, pair)| is_phrase(pair));
        Phrases(chosen.filter_map(|(row, _)| String::from_utf8(self.pairs.get(row).to_vec()).ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::tokens::Tokenizer;

    #[test]
    fn what_stands_together_is_joined() {
        let cut = |line: &str| {
            let mut tokens = Tokens::default();
            Tokenizer::Words.cut(line, &mut tokens);
            tokens
        };
        let mut counting = Counting::default();
        for index in 0..40 {
            counting.line(&cut(&format!("we saw new york and x{index} the y{index}")), 1_000_000).unwrap();
        }
        let settings = Settings { min_count: 5, phrase_threshold: 1.5, ..Settings::default() };
        // (40 - 5) * 86 / (40 * 40) = 1.88 for each pair that always stands together.
        let phrases = counting.phrases(&settings);
        let mut out = Tokens::default();
        phrases.join(&cut("in new york saw new york and new"), &mut out);
        assert_eq!(out.iter().collect::<Vec<_>>(), ["in", "new_york", "saw_new", "york_and", "new"]);
        assert_eq!(counting.phrases(&Settings { phrase_threshold: 2.0, ..settings }).len(), 0);
    }
}
