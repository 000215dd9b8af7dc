//! The files of a model folder as this hub writes and reads one.

/// The weights.
pub const WEIGHTS: &str = "model.safetensors";
/// What says how to use them, for people and for programs.
pub const PAPERS: [&str; 3] = ["README.md", CONFIG, "metrics.json"];
pub const CONFIG: &str = "config.json";
/// What tells items of other kinds from those that were trained on; the known items of what measures distances.
pub const REJECT: &str = "reject.safetensors";
pub const DISTANCES: &str = "distances.safetensors";
/// How a text encoder cuts texts into tokens.
pub const TOKENIZER: &str = "tokenizer.json";

/// All that a fine-tune makes; the last two where there is something to put in them.
pub const MADE: [&str; 6] = [PAPERS[0], PAPERS[1], PAPERS[2], WEIGHTS, REJECT, DISTANCES];
/// Those that may be missing.
pub const MAYBE: [&str; 2] = [REJECT, DISTANCES];
/// What a model needs beside weights and config to answer, where it has them.
pub const BESIDE: [&str; 3] = [REJECT, DISTANCES, TOKENIZER];
/// What of a text encoder's folder goes on to what is made from it, so that texts are cut as before and other programs find what they ask for.
pub const CARRIED: [&str; 9] = [
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "merges.txt",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::path::RepoPath;

    #[test]
    fn every_name_is_a_path_and_stands_once() {
        let mut all: Vec<&str> = MADE.into_iter().chain(CARRIED).collect();
        assert!(all.iter().all(|name| RepoPath::parse(name).is_ok()));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(MAYBE.iter().chain(&[WEIGHTS]).all(|name| MADE.contains(name)));
    }
}
