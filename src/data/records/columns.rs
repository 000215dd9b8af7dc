//! Which columns of a table hold texts and what is to be said about them: by what the card declares, else by the names that people give
//! them.

use super::super::metadata::column_name;
use super::super::name;
use super::super::targets::Form;
use super::super::targets::form::{self, Column, Kind};
use crate::domain::dataset_layout::Declared;

/// Columns that hold one text; the first that a table has is read.
const TEXTS: [&str; 32] = [
    "text",
    "sentence",
    "content",
    "review",
    "message",
    "body",
    "tweet",
    "comment",
    "document",
    "utterance",
    "sms",
    "review_text",
    "review_body",
    "comment_text",
    "headline",
    "description",
    "question",
    "article",
    "abstract",
    "passage",
    "paragraph",
    "email",
    "mail",
    "post",
    "news",
    "query",
    "phrase",
    "statement",
    "transcript",
    "data",
    "input",
    "title",
];

/// Two columns that hold one text each of a pair.
const PAIRS: [(&str, &str); 14] = [
    ("sentence1", "sentence2"),
    ("sentence_1", "sentence_2"),
    ("premise", "hypothesis"),
    ("text_a", "text_b"),
    ("text1", "text2"),
    ("text_1", "text_2"),
    ("sentence_a", "sentence_b"),
    ("question1", "question2"),
    ("question", "answer"),
    ("question", "sentence"),
    ("query", "document"),
    ("query", "passage"),
    ("anchor", "positive"),
    ("claim", "evidence"),
];

/// How alike the texts of a pair are; of a single text a mark that was given.
const SCORES: [&str; 6] = ["score", "similarity_score", "similarity", "relatedness_score", "rating", "stars"];

/// Columns that say what a text is.
const LABELS: [&str; 21] = [
    "label",
    "class",
    "class_name",
    "category",
    "target",
    "sentiment",
    "labels",
    "targets",
    "label_name",
    "label_text",
    "gold_label",
    "intent",
    "topic",
    "emotion",
    "polarity",
    "spam",
    "is_spam",
    "toxic",
    "class_index",
    "coarse_label",
    "tag",
];

/// Lists of words, and of a tag for each.
const WORDS: [&str; 2] = ["tokens", "words"];
const TAGS: [&str; 6] = ["ner_tags", "tags", "labels", "ner", "ner_labels", "bio_tags"];

/// Names of the classes beside their numbers.
const NAMES: [&str; 2] = ["label_text", "label_name"];

/// What stands for a row and says nothing of it.
const IDS: [&str; 10] = ["", "id", "idx", "index", "row", "guid", "uid", "uuid", "unnamed:_0", "row_id"];

/// How the targets of a table are to be read.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// Numbers where there are fractions among them, else classes; lists are labels.
    Either,
    /// The same of a column whose name says that there are several: what is divided is labels.
    Perhaps,
    Form(Form),
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// One column, or the two of a pair.
    pub texts: Vec<String>,
    /// One, or several where they are each a target.
    pub targets: Vec<String>,
    pub split: Option<String>,
    pub wanted: Wanted,
    /// What is odd about the choice.
    pub note: Option<String>,
}

impl Chosen {
    /// Columns that are read, as people see them.
    pub fn shown(&self) -> String {
        listed(self.texts.iter().chain(&self.targets))
    }

    /// Whether what is said is said about each word.
    pub fn is_of_words(&self) -> bool {
        self.wanted == Wanted::Form(Form::Tags)
    }

    /// Whether rows read by both may stand in one data set.
    pub fn fits(&self, other: &Chosen) -> bool {
        let one = self.targets.len() == 1 && other.targets.len() == 1;
        self.is_of_words() == other.is_of_words() && self.texts.len() == other.texts.len() && (one || self.targets == other.targets)
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(|column| format!("`{}`", name::shown(column.as_bytes()))).collect::<Vec<_>>().join(", ")
}

/// Chooses among columns, whose names are in the form of [`column_name`].
///
/// # Errors
/// What is missing, in words that follow the name of the table.
pub fn choose(names: &[String], declared: &Declared) -> Result<Chosen, String> {
    if let Some(chosen) = tagged(names, declared) {
        return Ok(chosen);
    }
    let (texts, others) = texts(names, declared)?;
    let (targets, wanted, mut note) = targets(names, &texts, declared)?;
    if note.is_none() && !others.is_empty() {
        note = Some(format!("the column {} was read as text, and {} not", listed(texts.iter()), listed(others.iter())));
    }
    let split = names.iter().find(|name| *name == "split" && !targets.contains(name)).cloned();
    Ok(Chosen { texts, targets, split, wanted, note })
}

/// Lists of words and lists of their tags. What the card names comes first; a text with a label is no such thing.
fn tagged(names: &[String], declared: &Declared) -> Option<Chosen> {
    let has = |name: &str| names.iter().any(|found| found == name);
    let first = |known: &[&str], said: &[String]| match said {
        [] => known.iter().find(|name| has(name)).map(|name| (*name).to_owned()),
        [said] => Some(column_name(said)).filter(|name| known.contains(&name.as_str()) && has(name)),
        _ => None,
    };
    if declared.texts.is_empty() && declared.targets.is_empty() && has("text") && has("label") {
        return None;
    }
    let (words, tags) = (first(&WORDS, &declared.texts)?, first(&TAGS, &declared.targets)?);
    let split = names.iter().find(|name| *name == "split").cloned();
    Some(Chosen { texts: vec![words], targets: vec![tags], split, wanted: Wanted::Form(Form::Tags), note: None })
}

/// The columns of texts, and those that could be, too.
fn texts(names: &[String], declared: &Declared) -> Result<(Vec<String>, Vec<String>), String> {
    let has = |name: &str| names.iter().any(|found| found == name);
    if !declared.texts.is_empty() {
        let texts: Vec<String> = declared.texts.iter().map(|name| column_name(name)).collect();
        if texts.len() > 2 {
            return Err(format!("is said to have {} columns of texts, and one or a pair are read", texts.len()));
        }
        return match texts.iter().find(|name| !has(name)) {
            Some(missing) => Err(format!("has no column `{missing}`, which the card's `texts` names; it has {}", some(names))),
            None => Ok((texts, Vec::new())),
        };
    }
    if let Some((first, second)) = PAIRS.into_iter().find(|(first, second)| has(first) && has(second)) {
        return Ok((vec![first.into(), second.into()], Vec::new()));
    }
    let mut found = TEXTS.into_iter().filter(|name| has(name)).map(String::from);
    if let Some(text) = found.next() {
        return Ok((vec![text], found.filter(|name| name != "title" && name != "data" && name != "input").collect()));
    }
    let mut halves = PAIRS.into_iter().flat_map(|(first, second)| [(first, second), (second, first)]);
    if let Some((there, lacks)) = halves.find(|(half, _)| has(half)) {
        return Err(format!("has the column `{there}` of a pair, and no `{lacks}`; name the columns in the card's `texts`"));
    }
    if let Some(words) = WORDS.into_iter().find(|name| has(name)) {
        return Err(format!(
            "has lists of words (`{words}`) and no lists of their tags (`ner_tags`, `tags` ...); name them in the card's `targets`"
        ));
    }
    Err(format!("has no column of texts (`text`, `sentence`, `review` ...); it has {}", some(names)))
}

/// The first names of many.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let more = if names.len() > SHOWN { " ..." } else { "" };
    format!("{}{more}", listed(names.iter().take(SHOWN)))
}

type Targets = (Vec<String>, Wanted, Option<String>);

fn targets(names: &[String], texts: &[String], declared: &Declared) -> Result<Targets, String> {
    let has = |name: &str| names.iter().any(|found| found == name) && !texts.iter().any(|text| text == name);
    if !declared.targets.is_empty() {
        return declared_targets(names, declared);
    }
    let (first, then) = if texts.len() == 2 { (SCORES.as_slice(), LABELS.as_slice()) } else { (LABELS.as_slice(), SCORES.as_slice()) };
    if let Some(found) = first.iter().chain(then).copied().find(|name| has(name)) {
        let names = NAMES.into_iter().find(|name| found == "label" && has(name));
        let named = names.unwrap_or(found);
        let wanted = if matches!(found, "labels" | "targets") { Wanted::Perhaps } else { Wanted::Either };
        return Ok((vec![named.to_owned()], wanted, None));
    }
    let columns: Vec<Column> = names.iter().filter_map(|name| form::of_name(name)).collect();
    if !columns.is_empty() {
        let shown = columns.iter().map(Column::to_string).collect::<Vec<_>>().join(", ");
        let note = format!("the columns {shown} were read as targets, as their names say; `targets` in the card names others");
        return Ok((columns.iter().map(|column| column.name.clone()).collect(), Wanted::Form(Form::Columns(columns)), Some(note)));
    }
    let is_id = |name: &str| IDS.contains(&name) || name.ends_with("_id");
    let rest: Vec<&String> = names.iter().filter(|name| !texts.contains(name) && !is_id(name) && *name != "split").collect();
    match rest.as_slice() {
        [] if texts.len() == 2 => {
            let note = format!("{} are pairs without a score: the two texts of each belong together", listed(texts.iter()));
            Ok((Vec::new(), Wanted::Form(Form::Together), Some(note)))
        }
        [only] => {
            let note = format!(
                "the column {} was read as the label, since there is no other; `targets` in the card names another",
                some(&[(*only).clone()])
            );
            Ok((vec![(*only).clone()], Wanted::Either, Some(note)))
        }
        _ => Err(format!(
            "has texts in {} and no column of labels (`label`, `category`, `score` ...); name it in the card's `targets`; it has {}",
            listed(texts.iter()),
            some(names)
        )),
    }
}

fn declared_targets(names: &[String], declared: &Declared) -> Result<Targets, String> {
    let mut columns = form::declared(&declared.targets).map_err(|reason| format!("cannot be read: {reason}"))?;
    columns.iter_mut().for_each(|column| column.name = column_name(&column.name));
    if let Some(missing) = columns.iter().find(|column| !names.contains(&column.name)) {
        return Err(format!("has no column `{}`, which the card's `targets` names; it has {}", missing.name, some(names)));
    }
    let targets: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let wanted = match columns.as_slice() {
        [Column { kind: None, .. }] => Wanted::Either,
        [Column { kind: Some(Kind::Class), .. }] => Wanted::Form(Form::default()),
        [Column { kind: Some(Kind::Labels), .. }] => Wanted::Form(Form::Labels),
        [Column { kind: Some(Kind::Number), .. }] => Wanted::Form(Form::number()),
        _ => Wanted::Form(Form::Columns(columns)),
    };
    Ok((targets, wanted, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str], declared: &Declared) -> Result<(String, Wanted), String> {
        let names: Vec<String> = names.iter().map(|name| column_name(name)).collect();
        choose(&names, declared).map(|chosen| (format!("{} -> {}", chosen.texts.join("+"), chosen.targets.join("+")), chosen.wanted))
    }

    #[test]
    fn columns_are_found_by_their_names() {
        for (names, found) in [
            (&["text", "label"][..], "text -> label"),
            (&["Category", "Message"], "message -> category"),
            (&["review", "sentiment", "id"], "review -> sentiment"),
            (&["Class Index", "Title", "Description"], "description -> class_index"),
            (&["sentence1", "sentence2", "label", "score"], "sentence1+sentence2 -> score"),
            (&["premise", "hypothesis", "label", "idx"], "premise+hypothesis -> label"),
            (&["question", "answer", "label"], "question+answer -> label"),
            (&["question", "label"], "question -> label"),
            (&["label", "label_text", "text"], "text -> label_text"),
            (&["id", "tweet", "offensive"], "tweet -> offensive"),
            (&["text", "label_mood", "target_age"], "text -> label_mood+target_age"),
        ] {
            assert_eq!(chosen(names, &Declared::default()).unwrap().0, found, "{names:?}");
        }
        assert_eq!(chosen(&["text", "labels"], &Declared::default()).unwrap().1, Wanted::Perhaps);
        for names in [&["id", "tokens", "pos_tags", "ner_tags"][..], &["text", "words", "labels"], &["tokens", "tags", "label", "split"]] {
            assert_eq!(chosen(names, &Declared::default()).unwrap().1, Wanted::Form(Form::Tags), "{names:?}");
        }
        assert_eq!(chosen(&["text", "tokens", "tags", "label"], &Declared::default()).unwrap().0, "text -> label");
    }

    #[test]
    fn what_is_declared_comes_first_and_what_is_missing_has_a_name() {
        let declared = Declared { texts: vec!["V2".into()], targets: vec!["v1=class".into()], ..Declared::default() };
        assert_eq!(chosen(&["v1", "v2", "text"], &declared).unwrap(), ("v2 -> v1".into(), Wanted::Form(Form::default())));
        let why = |names: &[&str], declared: &Declared| chosen(names, declared).unwrap_err();
        assert!(why(&["v1", "text"], &declared).contains("no column `v2`"));
        let plain = Declared::default();
        assert!(why(&["premise", "label"], &plain).contains("`premise` of a pair, and no `hypothesis`"));
        assert!(why(&["tokens", "pos"], &plain).contains("no lists of their tags"));
        assert!(why(&["text", "a", "b"], &plain).contains("no column of labels"));
        assert!(why(&["anchor", "positive", "a", "b"], &plain).contains("no column of labels"));
        assert_eq!(chosen(&["anchor", "positive", "id"], &plain).unwrap(), ("anchor+positive -> ".into(), Wanted::Form(Form::Together)));
        assert!(why(&["sepal", "petal"], &plain).contains("it has `sepal`, `petal`"));
    }
}
