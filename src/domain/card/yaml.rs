//! The YAML of a card's front matter as data. Cards come from strangers: size, depth, aliases and tags are bounded.
//! Where the whole cannot be read, each `key:` of the first column is read alone, so that one broken line costs one key.

use serde_json::{Map, Value};

use super::MAX_CARD_BYTES;
use super::reading::CardProblem;

/// Keys that are tried alone, and of those, how many may fail before the rest is left.
const MOST_KEYS: usize = 2_000;
const MOST_FAILURES: usize = 50;

/// What could be read; `None` where it is no list of `key: value` lines at all, but text between two rules.
pub(super) fn read(front: &str, problems: &mut Vec<CardProblem>) -> Option<Map<String, Value>> {
    let (line, problem) = match parse_all(front, 20_000) {
        Ok(Value::Object(map)) => return Some(map),
        Ok(Value::Null) => return Some(Map::new()),
        Ok(_) => return None,
        Err(wrong) => wrong,
    };
    let read = key_by_key(front, problems);
    if read.is_none() && problems.is_empty() {
        problems.push(CardProblem::Yaml { line: line + 1, problem });
    }
    read
}

const NO_NUMBERS: [&str; 9] = [".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "-.inf", "-.Inf", "-.INF"];

/// As [`parse`]; numbers that are none, which data of our kind cannot hold, become texts.
fn parse_all(yaml: &str, most_replayed: usize) -> Result<Value, (u64, String)> {
    let problem = match parse(yaml, most_replayed) {
        Err(problem) if NO_NUMBERS.iter().any(|word| yaml.contains(word)) => problem,
        other => return other,
    };
    let apart = |c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}');
    let words = yaml.split_inclusive(apart).map(|part| {
        let word = part.trim_end_matches(apart);
        if NO_NUMBERS.contains(&word) { format!("'{word}'{}", &part[word.len()..]) } else { part.to_owned() }
    });
    parse(&words.collect::<String>(), most_replayed).map_err(|_| problem)
}

/// The data, or the line (from 1) and what is wrong there.
fn parse(yaml: &str, most_replayed: usize) -> Result<Value, (u64, String)> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 100_000,
            max_nodes: 50_000,
            max_depth: 24,
            flow_nesting_limit: 24,
            max_documents: 1,
            max_anchors: 100,
            max_aliases: 1_000,
            max_merge_keys: 100,
            max_recorded_anchor_events: most_replayed,
            max_total_scalar_bytes: MAX_CARD_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: most_replayed,
            max_replay_stack_depth: 8,
            max_alias_expansions_per_anchor: 200,
        },
        reject_unsupported_tags: true,
        // `language: no` is Norwegian.
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Option<Value>>(yaml, options).map(Option::unwrap_or_default).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line().max(1));
        let text = error.without_snippet().to_string();
        (line, text.lines().next().unwrap_or_default().chars().take(300).collect())
    })
}

/// `None` where no line of the first column begins a key.
fn key_by_key(front: &str, problems: &mut Vec<CardProblem>) -> Option<Map<String, Value>> {
    let mut blocks: Vec<(u64, String)> = Vec::new();
    for (at, line) in front.split_inclusive('\n').enumerate() {
        match blocks.last_mut() {
            _ if begins_key(line) => blocks.push((at as u64, line.to_owned())),
            Some((_, block)) => block.push_str(line),
            None => {}
        }
    }
    if let Some((at, _)) = blocks.get(MOST_KEYS) {
        problems.push(CardProblem::Yaml { line: at + 2, problem: format!("only the first {MOST_KEYS} keys are") });
    }
    let (mut map, mut failures) = (Map::new(), 0);
    for (at, block) in blocks.iter().take(MOST_KEYS) {
        match parse_all(block, 2_000) {
            Ok(Value::Object(one)) => {
                for (key, value) in one {
                    // As Python's reader does: the last counts.
                    if map.insert(key.clone(), value).is_some() {
                        problems.push(CardProblem::Yaml { line: at + 2, problem: format!("`{key}` stands here again; the last counts") });
                    }
                }
            }
            Ok(_) => {}
            Err((line, problem)) => {
                problems.push(CardProblem::Yaml { line: at + line + 1, problem });
                failures += 1;
            }
        }
        if failures == MOST_FAILURES {
            break;
        }
    }
    (!blocks.is_empty()).then_some(map)
}

/// `license: mit`, `"my key":`, `model-index:`.
fn begins_key(line: &str) -> bool {
    let key = line.split_once(':').filter(|(_, rest)| rest.is_empty() || rest.starts_with([' ', '\n', '\r', '\t'])).map(|(key, _)| key);
    key.is_some_and(|key| {
        !key.is_empty() && key.len() <= 200 && !key.starts_with([' ', '\t', '#', '-', '{', '[', '&', '*', '!', '|', '>', '?', '}', ']'])
    })
}
