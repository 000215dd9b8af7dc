//! Word vectors beside people's judgements: how similar two words are (Spearman's rank correlation with the scores of a set of
//! pairs), and analogies (Mikolov et al. 2013).

use std::path::Path;

use super::error::{Error, Result, shown};
use super::model::WordVectors;

/// Largest file of pairs or questions in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// How a model agrees with people on the similarity of words.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Spearman's rank correlation of cosines and scores, from -1 to 1; equal values share their rank.
    pub spearman: f64,
    /// Pairs whose words have vectors.
    pub pairs: usize,
    /// Pairs that were left out because a word has none.
    pub unknown: usize,
}

/// Answers to analogies of one section.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    pub name: String,
    pub right: usize,
    pub asked: usize,
    /// Questions that were left out because a word has no vector.
    pub unknown: usize,
}

fn read(path: &Path) -> Result<String> {
    let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if size > MAX_BYTES {
        return Err(Error::Unsupported { path: path.to_owned(), problem: format!("{size} bytes are more than {MAX_BYTES}") });
    }
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let broken = |error: std::string::FromUtf8Error| {
        Error::corrupt(path, error.utf8_error().valid_up_to() as u64, "this is not UTF-8; save the file as UTF-8")
    };
    String::from_utf8(bytes).map_err(broken)
}

/// The lines of a text, each with the byte at which it begins; blank ones and those that begin with `#` are left out.
fn lines(text: &str) -> impl Iterator<Item = (u64, &str)> {
    let start = text.as_ptr() as usize;
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(move |line| ((line.as_ptr() as usize - start) as u64, line))
}

impl WordVectors {
    /// The vector of a word as it stands, or in lower case.
    fn either(&self, word: &str, out: &mut [f32]) -> bool {
        self.look_up(word, out).is_some() || self.look_up(&word.to_lowercase(), out).is_some()
    }

    /// Agreement with a file of pairs: a line is two words and a score, between tabs, spaces, commas or semicolons. A first line whose
    /// third piece is no number names the columns.
    pub fn agreement(&self, path: &Path) -> Result<Agreement> {
        let text = read(path)?;
        let (mut cosines, mut scores, mut unknown) = (Vec::new(), Vec::new(), 0);
        let (mut a, mut b) = (vec![0.0; self.width()], vec![0.0; self.width()]);
        for (index, (at, line)) in lines(&text).enumerate() {
            let pieces: Vec<&str> = line.split(['\t', ' ', ',', ';']).filter(|piece| !piece.is_empty()).collect();
            let score = pieces.get(2).and_then(|score| score.parse::<f64>().ok()).filter(|score| score.is_finite());
            let (Some(score), [first, second, ..]) = (score, pieces.as_slice()) else {
                if index == 0 {
                    continue;
                }
                return Err(Error::corrupt(path, at, format!("`{}` is not two words and a score", shown(line))));
            };
            if self.either(first, &mut a) && self.either(second, &mut b) {
                cosines.push(f64::from(super::cosine(&a, &b)));
                scores.push(score);
            } else {
                unknown += 1;
            }
        }
        if cosines.len() < 2 {
            let problem = format!("of {} pairs fewer than two have vectors", cosines.len() + unknown);
            return Err(Error::Unsupported { path: path.to_owned(), problem });
        }
        Ok(Agreement { spearman: spearman(&cosines, &scores), pairs: cosines.len(), unknown })
    }

    /// Answers a file of analogies in the form of `questions-words.txt`: a line is four words, and `: NAME` begins a section.
    pub fn questions(&self, path: &Path, progress: &mut dyn FnMut(usize)) -> Result<Vec<Section>> {
        let text = read(path)?;
        let section = |name: &str| Section { name: name.to_owned(), right: 0, asked: 0, unknown: 0 };
        let mut sections = Vec::new();
        for (index, (at, line)) in lines(&text).enumerate() {
            progress(index);
            if let Some(name) = line.strip_prefix(':') {
                sections.push(section(name.trim()));
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let &[a, b, c, d] = words.as_slice() else {
                return Err(Error::corrupt(path, at, format!("`{}` is not four words", shown(line))));
            };
            if sections.is_empty() {
                sections.push(section("all"));
            }
            let Some(current) = sections.last_mut() else { continue };
            let known = [a, b, c, d].map(|word| self.as_known(word));
            let [Some(a), Some(b), Some(c), Some(d)] = &known else {
                current.unknown += 1;
                continue;
            };
            current.asked += 1;
            let answers = self.analogy([a, b, c], 1)?;
            current.right += usize::from(answers.first().is_some_and(|answer| answer.word == *d));
        }
        Ok(sections)
    }

    /// The word as the vocabulary has it: as it stands, or in lower case.
    fn as_known(&self, word: &str) -> Option<String> {
        let lower = word.to_lowercase();
        [word, &lower].into_iter().find(|word| self.vocabulary.find(word).is_some()).map(str::to_owned)
    }
}

/// Spearman's rank correlation; equal values share the mean of their ranks.
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let lengths = (product(&a, &a) * product(&b, &b)).sqrt();
    if lengths > 0.0 { product(&a, &b) / lengths } else { 0.0 }
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    for equal in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let first = order.partition_point(|index| values[*index].total_cmp(&values[equal[0]]).is_lt());
        let rank = first as f64 + (equal.len() as f64 - 1.0) / 2.0;
        equal.iter().for_each(|index| ranks[*index] = rank);
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_shared_and_compared() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [2.5, 0.0, 2.5, 1.0]);
        assert!((spearman(&[1.0, 2.0, 3.0, 4.0], &[10.0, 20.0, 25.0, 90.0]) - 1.0).abs() < 1e-12);
        assert!((spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]) + 1.0).abs() < 1e-12);
        // scipy.stats.spearmanr([1, 2, 2, 4], [1, 3, 2, 4]) says 0.9486832980505138.
        assert!((spearman(&[1.0, 2.0, 2.0, 4.0], &[1.0, 3.0, 2.0, 4.0]) - 0.948_683_298_050_513_8).abs() < 1e-12);
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), 0.0);
    }
}
