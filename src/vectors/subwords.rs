//! fastText's parts of words (Bojanowski et al. 2017, "Enriching Word Vectors with Subword Information"): character n-grams of
//! the word between `<` and `>`, hashed into a fixed number of rows.

use serde_json::{Map, Value, json};

/// The lengths of n-grams in characters, and the number of rows that they are hashed into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subwords {
    pub min: usize,
    pub max: usize,
    pub buckets: u32,
}

/// The end of a sentence, which has no parts.
pub const END_OF_SENTENCE: &[u8] = b"</s>";

impl Subwords {
    /// From `model_args`, if such settings stand there.
    pub fn of_args(args: &Map<String, Value>) -> Option<Subwords> {
        let number = |key: &str| args.get(key).and_then(Value::as_u64);
        let (min, max) = (number("minn")? as usize, number("maxn")? as usize);
        let buckets = u32::try_from(number("bucket")?).ok()?;
        (max > 0 && min <= max && max <= 64 && buckets > 0).then_some(Subwords { min, max, buckets })
    }

    pub fn into_args(self, args: &mut Map<String, Value>) {
        args.extend([("minn".into(), json!(self.min)), ("maxn".into(), json!(self.max)), ("bucket".into(), json!(self.buckets))]);
    }

    /// The buckets of a word's n-grams, in fastText's order; of a single character the brackets alone are left out. A word is bytes, as fastText has it:
    /// a character begins at each that does not go on another of UTF-8.
    pub fn of(&self, word: &[u8]) -> Vec<u32> {
        if word == END_OF_SENTENCE {
            return Vec::new();
        }
        let word = [b"<", word, b">"].concat();
        let starts: Vec<usize> = (0..word.len()).filter(|at| word[*at] & 0xc0 != 0x80).chain([word.len()]).collect();
        let characters = starts.len() - 1;
        let mut found = Vec::new();
        for first in 0..characters {
            for length in self.min.max(1)..=self.max.min(characters - first) {
                let is_bracket = length == 1 && (first == 0 || first + 1 == characters);
                if !is_bracket {
                    found.push(hash(&word[starts[first]..starts[first + length]]) % self.buckets);
                }
            }
        }
        found
    }
}

/// FNV-1a of 32 bits over signed bytes, as fastText's C++ has it: bytes above 127 are sign-extended before they are mixed in.
pub fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(2_166_136_261, |hash: u32, byte| (hash ^ (*byte as i8 as u32)).wrapping_mul(16_777_619))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ngrams_are_those_of_fasttext() {
        let subwords = Subwords { min: 3, max: 4, buckets: u32::MAX };
        let expected: Vec<u32> = ["<où", "<où>", "où>"].iter().map(|part| hash(part.as_bytes()) % u32::MAX).collect();
        assert_eq!(subwords.of("où".as_bytes()), expected);
        let single = Subwords { min: 1, max: 2, buckets: u32::MAX };
        let expected: Vec<u32> = ["<a", "a", "a>"].iter().map(|part| hash(part.as_bytes()) % u32::MAX).collect();
        assert_eq!(single.of(b"a"), expected);
        assert_eq!(subwords.of(END_OF_SENTENCE), [0; 0]);
    }

    #[test]
    fn the_hash_extends_the_sign() {
        // Of the published FNV-1a vectors; ASCII is not touched by the sign.
        assert_eq!(hash(b""), 0x811c_9dc5);
        assert_eq!(hash(b"foobar"), 0xbf9c_f968);
        let unsigned = (0x811c_9dc5u32 ^ 0xc3).wrapping_mul(16_777_619);
        assert_ne!(hash(&[0xc3]), unsigned);
    }
}
