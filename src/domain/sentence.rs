//! What sentence-transformers' files say beside the config.json of a text encoder: how its tokens become one vector, how long a text
//! may be, and what is put before it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::json;

/// The settings of an encoder of sentences.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sentence {
    /// `mean`, `cls`, `max`, `mean_sqrt_len_tokens` or `lasttoken`; as the architecture is pooled where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<String>,
    /// Whether vectors are scaled to length one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub normalize: bool,
    /// Tokens of a text at most; what is longer is cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_seq_length: Option<usize>,
    /// Whether texts are lowered before they are cut into tokens.
    #[serde(default, skip_serializing_if = "is_false")]
    pub do_lower_case: bool,
    /// What is put before a text, by what it is for: `query`, `passage` ...
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub prompts: Map<String, Value>,
    /// The one of them that is used where nobody names another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_prompt_name: Option<String>,
    /// What asks for more than is built here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The list of parts.
const MODULES: &str = "modules.json";
/// The part over tokens, and all parts together.
const TRANSFORMER: &str = "sentence_bert_config.json";
const WHOLE: &str = "config_sentence_transformers.json";
/// The longest of these files that is read, in bytes.
pub const MOST_BYTES: u64 = 1 << 20;
/// Longest prompt, in bytes.
const LONGEST_PROMPT: usize = 8_192;

impl Sentence {
    /// Whether a file of a model folder is one of these.
    pub fn is_paper(path: &str) -> bool {
        let of_part = |path: &str| {
            path.split_once('/').is_some_and(|(part, file)| file == "config.json" && part.starts_with(|c: char| c.is_ascii_digit()))
        };
        [MODULES, TRANSFORMER, WHOLE].contains(&path) || of_part(path)
    }

    /// What the files of a folder say, each by its path; `None` where there is none of them.
    pub fn of_papers(papers: &[(String, String)]) -> Option<Sentence> {
        if papers.is_empty() {
            return None;
        }
        let mut sentence = Sentence::default();
        let mut read = |path: &str| match papers.iter().find(|(name, _)| name == path).map(|(_, text)| json::read(text)) {
            None => None,
            Some(Ok(value)) => Some(value),
            Some(Err(error)) => {
                sentence.problem.get_or_insert(format!("{path} is no JSON: {error}"));
                None
            }
        };
        let (modules, transformer, whole) = (read(MODULES), read(TRANSFORMER), read(WHOLE));
        let parts = modules.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let poolings: Vec<_> = parts.iter().map(|part| (part, read(&format!("{}/config.json", text(part, "path"))))).collect();
        for (part, config) in poolings {
            sentence.take_module(text(part, "type"), text(part, "path"), config.as_ref());
        }
        if let Some(config) = &transformer {
            sentence.max_seq_length = config.get("max_seq_length").and_then(Value::as_u64).map(|tokens| tokens as usize);
            sentence.do_lower_case = config.get("do_lower_case").is_some_and(|value| value == true);
        }
        if let Some(config) = &whole {
            sentence.take_prompts(config);
        }
        Some(sentence)
    }

    fn take_module(&mut self, kind: &str, path: &str, config: Option<&Value>) {
        match kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" => {}
            "Normalize" => self.normalize = true,
            "Pooling" => match config {
                None => self.refuse(format!("{MODULES} names {path}, and there is no {path}/config.json")),
                Some(config) => self.take_pooling(path, config),
            },
            _ => self.refuse(format!("{MODULES} names a part `{kind}` (`{path}`)")),
        }
    }

    fn take_pooling(&mut self, path: &str, config: &Value) {
        let asked = config.get("pooling_mode").and_then(Value::as_str).map(str::to_owned);
        let switches = config.as_object().into_iter().flatten().filter_map(|(key, value)| {
            let how = key.strip_prefix("pooling_mode_").filter(|_| *value == true)?;
            Some(match how {
                "mean_tokens" => "mean".to_owned(),
                other => other.trim_end_matches("_token").trim_end_matches("_tokens").to_owned(),
            })
        });
        // `mean_sqrt_len_tokens` keeps its name.
        let switches = switches.map(|how| if how == "mean_sqrt_len" { "mean_sqrt_len_tokens".to_owned() } else { how });
        let all: Vec<String> = asked.into_iter().chain(switches).collect();
        match all.as_slice() {
            [one] => self.pooling = Some(one.clone()),
            [] => self.refuse(format!("{path}/config.json names no pooling")),
            several => self.refuse(format!("{path}/config.json asks for several poolings at once ({})", several.join(", "))),
        }
        if config.get("include_prompt").is_some_and(|value| value == false) {
            self.refuse(format!("{path}/config.json says `include_prompt`: false"));
        }
    }

    fn take_prompts(&mut self, config: &Value) {
        let prompts = config.get("prompts").and_then(Value::as_object).into_iter().flatten();
        let sound = |(_, prompt): &(&String, &Value)| prompt.as_str().is_some_and(|prompt| prompt.len() <= LONGEST_PROMPT);
        self.prompts = prompts.filter(sound).map(|(name, prompt)| (name.clone(), prompt.clone())).collect();
        self.default_prompt_name = config.get("default_prompt_name").and_then(Value::as_str).map(str::to_owned);
        if let Some(name) = self.default_prompt_name.as_ref().filter(|name| !self.prompts.contains_key(*name)) {
            self.refuse(format!("{WHOLE} says `default_prompt_name`: {name:?}, and there is no such prompt"));
        }
    }

    fn refuse(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    /// What is put before a text: by that name, or the usual one.
    pub fn prompt(&self, name: Option<&str>) -> Option<&str> {
        self.prompts.get(name.or(self.default_prompt_name.as_deref())?)?.as_str()
    }

    /// The names of its prompts.
    pub fn prompt_names(&self) -> String {
        self.prompts.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(papers: &[(&str, &str)]) -> Sentence {
        Sentence::of_papers(&papers.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect::<Vec<_>>()).unwrap()
    }

    const PARTS: &str = r#"[{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]"#;

    #[test]
    fn the_files_of_minilm_are_understood() {
        let pooling = r#"{"word_embedding_dimension": 384, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false}"#;
        let whole = r#"{"prompts": {"query": "query: ", "bad": 3}, "default_prompt_name": null}"#;
        let limits = r#"{"max_seq_length": 256, "do_lower_case": false}"#;
        let read = of(&[("modules.json", PARTS), ("1_Pooling/config.json", pooling), (TRANSFORMER, limits), (WHOLE, whole)]);
        assert_eq!((read.pooling.as_deref(), read.normalize, read.max_seq_length, &read.problem), (Some("mean"), true, Some(256), &None));
        assert_eq!((read.prompt(None), read.prompt(Some("query")), read.prompt(Some("bad"))), (None, Some("query: "), None));
        assert_eq!(Sentence::of_papers(&[]), None);
        let later = of(&[("modules.json", PARTS), ("1_Pooling/config.json", r#"{"pooling_mode": "cls"}"#)]);
        assert_eq!(later.pooling.as_deref(), Some("cls"));
        for (switch, how) in
            [("cls_token", "cls"), ("max_tokens", "max"), ("mean_sqrt_len_tokens", "mean_sqrt_len_tokens"), ("lasttoken", "lasttoken")]
        {
            let config = format!(r#"{{"pooling_mode_{switch}": true}}"#);
            assert_eq!(of(&[("modules.json", PARTS), ("1_Pooling/config.json", &config)]).pooling.as_deref(), Some(how));
        }
    }

    #[test]
    fn what_asks_for_more_is_named() {
        let dense = r#"[{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]"#;
        let two = r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}"#;
        for (papers, word) in [
            (vec![("modules.json", dense)], "models.Dense"),
            (vec![("modules.json", PARTS)], "1_Pooling/config.json"),
            (vec![("modules.json", PARTS), ("1_Pooling/config.json", two)], "several poolings"),
            (vec![("modules.json", "{")], "no JSON"),
            (vec![(WHOLE, r#"{"default_prompt_name": "q"}"#)], "no such prompt"),
        ] {
            let problem = of(&papers).problem.unwrap();
            assert!(problem.contains(word), "{problem}");
        }
        assert!(Sentence::is_paper("1_Pooling/config.json") && Sentence::is_paper("modules.json"));
        assert!(
            !Sentence::is_paper("config.json") && !Sentence::is_paper("onnx/config.json") && !Sentence::is_paper("1_Pooling/x/config.json")
        );
    }
}
