//! What a text says, in 256 bytes: enough to find it again after some of its words were changed, and to tell apart texts that only
//! resemble each other.
//!
//! The words of a text, three by three, are a set; two texts are near where at least [`NEAR`] of the sets together is in both (their
//! Jaccard index). Of each of 128 orders of all such threes only the first in the text is kept (MinHash, Broder 1997): the share of
//! orders in which two texts have the same one is their index, within .035.
//!
//! ```text
//! keys    one bit each of the first 64 of them, twice (a text has no mirror image)
//! detail  16 bits each of all 128, the lowest first
//! ```

use super::words::Words;
use crate::data::modality::Look;

/// Share of threes of words that near-copies have in common.
pub const NEAR: f64 = 0.8;
const ORDERS: usize = 128;
/// Fewer words say nothing of where a text is from.
const FEWEST: usize = 3;

/// Of a text, or of the two of a pair.
pub fn of_texts(texts: &[&str]) -> Look {
    let (mut least, mut any, mut content) = ([u64::MAX; ORDERS], false, Fnv::default());
    for (at, text) in texts.iter().enumerate() {
        content.add(&[at as u8, 0]);
        text.split_whitespace().for_each(|word| content.add_word(word));
        // The same words in the second text of a pair are not those of the first.
        let mut last = [0u64; FEWEST];
        let mut words = 0;
        for word in Words::of(text) {
            let mut hash = Fnv::default();
            hash.add(word.as_bytes());
            last.rotate_left(1);
            last[FEWEST - 1] = hash.0;
            words += 1;
            if words >= FEWEST {
                any = true;
                let three = last.iter().fold(at as u64, |all, word| mixed(all ^ word));
                take(three, &mut least);
            }
        }
    }
    if !any {
        return Look { content: content.0, keys: None, detail: Box::default() };
    }
    let found = least.map(|value| value ^ (value >> 32));
    let key: u64 = found.iter().take(64).enumerate().map(|(at, value)| (value >> 16 & 1) << at).sum();
    let detail = found.iter().flat_map(|value| (*value as u16).to_le_bytes()).collect();
    Look { content: content.0, keys: Some([key, key]), detail }
}

/// Whether two looks are of texts that are the same but for a few words.
pub fn are_alike(a: &Look, b: &Look) -> bool {
    let (a, b) = (a.detail.as_chunks::<2>().0, b.detail.as_chunks::<2>().0);
    let same = a.iter().zip(b).filter(|(a, b)| a == b).count();
    a.len() == ORDERS && b.len() == ORDERS && same as f64 >= NEAR * ORDERS as f64
}

/// Keeps the first of each order.
fn take(three: u64, least: &mut [u64; ORDERS]) {
    for (least, (turn, factor)) in least.iter_mut().zip(&ORDER) {
        *least = (*least).min((three ^ turn).wrapping_mul(*factor));
    }
}

/// What makes each order: an odd factor, so that no two threes share a place.
static ORDER: [(u64, u64); ORDERS] = orders();

const fn orders() -> [(u64, u64); ORDERS] {
    let (mut all, mut at) = ([(0, 0); ORDERS], 0);
    while at < ORDERS {
        all[at] = (mixed(2 * at as u64 + 1), mixed(2 * at as u64) | 1);
        at += 1;
    }
    all
}

/// Spreads a number over all bits (the finaliser of SplitMix64: Steele, Lea, Flood 2014).
const fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a of 64 bits.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    }

    /// A word and its end.
    fn add_word(&mut self, word: &str) {
        self.add(word.as_bytes());
        self.add(b" ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::copies::RADIUS;

    /// So many words that come again only by chance.
    fn words(seed: u64, count: usize) -> Vec<String> {
        (0..count as u64).map(|at| format!("w{}", mixed(seed << 32 | at) % 5_000)).collect()
    }

    fn look(words: &[String]) -> Look {
        of_texts(&[&words.join(" ")])
    }

    fn found(a: &Look, b: &Look) -> bool {
        let near = a.keys.zip(b.keys).is_some_and(|(a, b)| (a[0] ^ b[0]).count_ones() <= RADIUS);
        near && are_alike(a, b)
    }

    #[test]
    fn a_text_with_few_words_changed_is_found_and_others_are_others() {
        let mut again = 0;
        for seed in 0..20 {
            let text = words(seed, 100);
            let mut changed = text.clone();
            // Three words of a hundred: 9 threes of 98 on each side, an index of .83 and more.
            for at in [10, 50, 51] {
                changed[at] = format!("other{at}");
            }
            again += usize::from(found(&look(&text), &look(&changed)));
            let mut half = text.clone();
            (0..100).step_by(8).for_each(|at| half[at] = format!("other{at}"));
            assert!(!found(&look(&text), &look(&half)), "{seed}: a word in eight");
            assert!(!found(&look(&text), &look(&words(seed + 100, 100))), "{seed}: another text");
        }
        assert!(again >= 16, "{again} of 20");
    }

    #[test]
    fn case_signs_and_spaces_do_not_count() {
        let (a, b) = (of_texts(&["Free entry now, to WIN"]), of_texts(&["free  entry NOW to win!!!\n"]));
        assert!(found(&a, &b) && a.content != b.content);
        assert_eq!(of_texts(&["a  b"]).content, of_texts(&[" a b\n"]).content);
        assert_ne!(of_texts(&["a", "b"]).content, of_texts(&["a b"]).content);
        assert!(of_texts(&["ok then"]).keys.is_none(), "too short to tell");
        let pair = |a: &str, b: &str| of_texts(&[a, b]);
        assert!(!found(&pair("one two three four", "five six seven eight"), &pair("five six seven eight", "one two three four")));
        assert!(of_texts(&["我喜欢猫"]).keys.is_some(), "words without spaces between them");
    }
}
