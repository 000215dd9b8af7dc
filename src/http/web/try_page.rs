//! A model tried by hand: vectors of texts and their cosines, texts ranked by a question, classes of texts, nearest words; and pictures that
//! are told by the names of classes (`try_pictures`). The form is on the model's page, and texts ask by its address, so that it works
//! without scripts and can be passed on.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use askama::Template;

use super::frame::{Frame, page_with};
use super::repo::look;
use super::repo_head::{Head, urlencode};
use super::{try_image, try_pictures};
use crate::domain::answers::{Answers, Content, Said, Tokens};
use crate::domain::modality::Modality;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::prediction::Answer as Judged;
use crate::domain::repo::RepoSummary;
use crate::domain::revision::Revision;
use crate::domain::tower_config::ImageTower;
use crate::domain::user::Actor;
use crate::http::body::Body;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Query, RepoAt};
use crate::service::Service;
use crate::service::jobs::predict::{Item, Question};
use crate::service::jobs::texts::Wish;
use crate::service::jobs::words::{self, WordQuestion};

/// Lines that are tried at once, and their characters in all.
const MOST_LINES: usize = 16;
const MOST_CHARACTERS: usize = 4_000;
/// Numbers of a vector that are shown, nearest words, and likeliest classes.
const NUMBERS: usize = 8;
const WORDS: usize = 15;
const CLASSES: usize = 5;
/// What the forms are about.
const OF_WORDS: &str = "words";
const OF_PAIRS: &str = "pairs";
const OF_CLASSES: &str = "classes";
const OF_VECTORS: &str = "vectors";
const OF_NAMES: &str = "names";

/// A form as it is shown, with what was typed into it.
pub struct TryForm {
    pub action: String,
    pub rev: String,
    pub kind: &'static str,
    pub text: String,
    pub query: String,
    pub word: String,
    pub a: String,
    pub b: String,
    pub c: String,
    /// Names of classes with commas between, and the text in which they are read.
    pub names: String,
    pub prompt: String,
    /// Of those who are logged in.
    pub csrf: String,
}

#[derive(Template)]
#[template(path = "try.html")]
struct TryPage {
    frame: Frame,
    head: Head,
    form: Option<TryForm>,
    problem: String,
    heading: String,
    note: String,
    near: Vec<NearLine>,
    ranked: Vec<RankedLine>,
    texts: Vec<TextLine>,
    matrix: Vec<Row>,
}

struct NearLine {
    word: String,
    cosine: String,
    href: String,
}

struct RankedLine {
    text: String,
    score: String,
    read: String,
}

struct TextLine {
    text: String,
    /// A line each.
    said: Vec<String>,
    read: String,
}

/// Of the matrix of cosines.
struct Row {
    number: usize,
    cells: Vec<String>,
}

/// What was answered.
#[derive(Default)]
pub(super) struct Found {
    heading: String,
    note: String,
    near: Vec<NearLine>,
    ranked: Vec<RankedLine>,
    texts: Vec<TextLine>,
    matrix: Vec<Row>,
}

impl Found {
    /// What was said of each picture.
    pub(super) fn of_pictures(answers: &Answers) -> Found {
        let texts = answers.items.iter().enumerate().map(|(at, said)| line(at + 1, said)).collect();
        Found { heading: "What they show".into(), texts, ..Found::default() }
    }
}

impl TryForm {
    /// The form of a model that reads texts, knows words, or has a network for texts beside; `None` of others.
    pub fn of(summary: &RepoSummary, query: &Query, csrf: &str) -> Option<TryForm> {
        let facts = &summary.facts;
        summary.head.as_ref()?;
        let reads_texts = Modality::parse(&facts.modality).is_some_and(|modality| modality.items() == "texts");
        let kind = match facts.num_classes {
            _ if words::has_words(facts) => OF_WORDS,
            0 if ImageTower::of_name(&facts.architecture).is_some() && facts.can_be_run() => OF_NAMES,
            _ if !reads_texts || !facts.can_be_run() => return None,
            0 => OF_VECTORS,
            1 => OF_PAIRS,
            _ => OF_CLASSES,
        };
        let [rev, text, asked, word, a, b, c] = ["rev", "text", "query", "word", "a", "b", "c"].map(|key| query.text(key));
        let action = format!("{}/try", super::card::href(RepoKind::Model, &summary.repo.id));
        let (names, prompt, csrf) = (query.text("names"), query.text("prompt"), csrf.to_owned());
        Some(TryForm { action, rev, kind, text, query: asked, word, a, b, c, names, prompt, csrf })
    }

    /// The lines that were typed, without empty ones.
    fn lines(&self) -> Result<Vec<String>, HttpError> {
        let lines: Vec<String> = self.text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        if lines.len() > MOST_LINES || self.text.chars().count() > MOST_CHARACTERS {
            let message = format!("more than {MOST_LINES} lines or {MOST_CHARACTERS} characters are too much to try");
            return Err(HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_items", message, "try fewer, or ask with `hub embed`"));
        }
        Ok(lines)
    }
}

pub async fn show(visitor: Visitor, service: Data<Service>, at: RepoAt, query: Query) -> Answer {
    let actor = visitor.actor();
    let (summary, revision) = look(&service, &actor, RepoKind::Model, &at.id, &query).await?;
    let rev_query = query.find("rev").map(|rev| format!("?rev={}", urlencode(rev))).unwrap_or_default();
    if let Some(action) = try_image::action(&summary, &rev_query) {
        return try_image::show(&visitor, &summary, &query, action);
    }
    let form = TryForm::of(&summary, &query, visitor.csrf());
    let found = match &form {
        Some(form) => ask(&service, &actor, (&summary.repo.id, &revision), form).await,
        None => Ok(Found::default()),
    };
    shown(&visitor, &summary, &query, (form, found))
}

/// Pictures that are sent: to a head, or to a model that knows classes by their names.
pub async fn send(request: HttpRequest, visitor: Visitor, service: Data<Service>, at: RepoAt, query: Query, body: Body) -> Answer {
    let (summary, _) = look(&service, &visitor.actor(), RepoKind::Model, &at.id, &query).await?;
    match try_image::action(&summary, "") {
        Some(_) => try_image::ask(request, visitor, service, at, query, body).await,
        None => try_pictures::ask(request, visitor, service, at, query, body).await,
    }
}

/// The page with what was answered, or why nothing was.
pub(super) fn shown(
    visitor: &Visitor,
    summary: &RepoSummary,
    query: &Query,
    (form, found): (Option<TryForm>, Result<Found, HttpError>),
) -> Answer {
    let (status, problem, found) = match found {
        Ok(found) => (StatusCode::OK, String::new(), found),
        Err(refused) if refused.status.is_server_error() => return Err(refused),
        Err(refused) => (refused.status, format!("{}; {}", refused.problem.message, refused.problem.hint), Found::default()),
    };
    let Found { heading, note, near, ranked, texts, matrix } = found;
    let (frame, head) = (Frame::of(visitor, "models"), Head::of(summary, "try", query));
    page_with(status, &TryPage { frame, head, form, problem, heading, note, near, ranked, texts, matrix })
}

async fn ask(service: &Service, actor: &Actor, model: (&RepoId, &Revision), form: &TryForm) -> Result<Found, HttpError> {
    if form.kind == OF_WORDS {
        return of_words(service, actor, model, form).await;
    }
    let lines = form.lines()?;
    match (lines.is_empty(), form.kind) {
        (true, _) | (_, OF_NAMES) => Ok(Found::default()),
        (_, OF_PAIRS) => of_pairs(service, actor, model, (form.query.trim(), lines)).await,
        (_, kind) => of_texts(service, actor, model, (kind, lines)).await,
    }
}

async fn of_words(service: &Service, actor: &Actor, model: (&RepoId, &Revision), form: &TryForm) -> Result<Found, HttpError> {
    let [word, a, b, c] = [&form.word, &form.a, &form.b, &form.c].map(|text| text.trim().to_owned());
    let (heading, question) = if !word.is_empty() {
        (format!("Nearest to {word}"), WordQuestion::Neighbors { word })
    } else if ![&a, &b, &c].iter().all(|word| word.is_empty()) {
        (format!("What is to {c} as {b} is to {a}"), WordQuestion::Analogy { words: [a, b, c] })
    } else {
        return Ok(Found::default());
    };
    let said = service.ask_words(actor, model, question, (WORDS, false)).await?;
    let rev = if form.rev.is_empty() { String::new() } else { format!("&rev={}", urlencode(&form.rev)) };
    let near = |near: words::NearWord| NearLine {
        href: format!("{}?word={}{rev}", form.action, urlencode(&near.word)),
        cosine: format!("{:.4}", near.similarity),
        word: near.word,
    };
    let subwords = said.subwords.map(|parts| format!("It is not in the vocabulary: its vector is the mean of {parts} n-grams. "));
    let quick = if said.exact { "" } else { "The most promising of all words were looked at; the API takes exact=true." };
    let note = format!("{}{quick}", subwords.unwrap_or_default());
    Ok(Found { heading, note, near: said.words.into_iter().map(near).collect(), ..Found::default() })
}

async fn of_pairs(
    service: &Service,
    actor: &Actor,
    (id, revision): (&RepoId, &Revision),
    (query, lines): (&str, Vec<String>),
) -> Result<Found, HttpError> {
    if query.is_empty() {
        return Err(HttpError::bad_request("nothing_asked", "there is no question", "type one"));
    }
    let scores = service.rerank(actor, id, revision, query.to_owned(), lines.clone()).await?;
    let mut rows: Vec<(f32, RankedLine)> = Vec::new();
    for (text, score) in lines.into_iter().zip(scores) {
        rows.push(match score {
            Ok((logit, tokens)) => {
                let score = 1.0 / (1.0 + (-logit).exp());
                (score, RankedLine { text, score: format!("{score:.4}"), read: read(Some(tokens)) })
            }
            Err(reason) => (-1.0, RankedLine { text, score: String::new(), read: reason.message }),
        });
    }
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ok(Found { heading: "Ranked".into(), ranked: rows.into_iter().map(|(_, row)| row).collect(), ..Found::default() })
}

async fn of_texts(
    service: &Service,
    actor: &Actor,
    (id, revision): (&RepoId, &Revision),
    (kind, lines): (&str, Vec<String>),
) -> Result<Found, HttpError> {
    let item = |text: &String| Item::new(text, text.clone());
    let items = lines.iter().map(item).collect();
    let answers = match kind {
        OF_CLASSES => service.ask(actor, id, revision, Question::Answer { top: CLASSES }, items).await?,
        _ => service.embed_all(actor, id, revision, &Wish::default(), items).await?,
    };
    let vectors: Vec<&[f32]> = answers.items.iter().map(vector).collect();
    let matrix = if vectors.len() > 1 && vectors.iter().any(|vector| !vector.is_empty()) { cosines(&vectors) } else { Vec::new() };
    let heading = if kind == OF_CLASSES { "What they are" } else { "Vectors" };
    let texts = answers.items.iter().enumerate().map(|(at, said)| line(at + 1, said)).collect();
    Ok(Found { heading: heading.into(), texts, matrix, ..Found::default() })
}

fn vector(said: &Said) -> &[f32] {
    match &said.content {
        Content::Features { features, .. } => features,
        _ => &[],
    }
}

fn line(number: usize, said: &Said) -> TextLine {
    let text = format!("{number}. {}", said.name);
    match &said.content {
        Content::Features { features, tokens } => {
            let numbers: Vec<String> = features.iter().take(NUMBERS).map(|value| format!("{value:.4}")).collect();
            let rest = if features.len() > NUMBERS { " …" } else { "" };
            let said = vec![format!("{}{rest}", numbers.join(" ")), format!("{} numbers", features.len())];
            TextLine { text, said, read: read(*tokens) }
        }
        Content::Answer(answered) => TextLine { text, said: judged(&answered.answer), read: String::new() },
        Content::Unanswered { error } => TextLine { text, said: vec![error.message.clone()], read: String::new() },
    }
}

fn judged(answer: &Judged) -> Vec<String> {
    let classes = answer.classes().iter().map(|class| format!("{} {:.1} %", class.label, 100.0 * class.probability));
    let entities = answer.entities().unwrap_or_default().iter();
    let entities = entities.map(|entity| format!("{} ({}, {:.1} %)", entity.text, entity.label, 100.0 * entity.score));
    classes.chain(answer.values().iter().map(|value| format!("{}: {}", value.name, value.value))).chain(entities).collect()
}

/// How much of a text was read.
fn read(tokens: Option<Tokens>) -> String {
    match tokens {
        None => String::new(),
        Some(Tokens { read, of }) if read < of => format!("{read} of {of} tokens: the rest was not read"),
        Some(Tokens { read, .. }) => format!("{read} tokens"),
    }
}

/// Between each two; nothing where a text has no vector.
fn cosines(vectors: &[&[f32]]) -> Vec<Row> {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let cosine = |a: &[f32], b: &[f32]| {
        let lengths = (product(a, a) * product(b, b)).sqrt();
        if lengths > 0.0 { format!("{:.3}", product(a, b) / lengths) } else { String::new() }
    };
    let row = |(at, a): (usize, &&[f32])| Row { number: at + 1, cells: vectors.iter().map(|b| cosine(a, b)).collect() };
    vectors.iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_stand_between_each_two() {
        let rows = cosines(&[&[1.0, 0.0], &[1.0, 1.0], &[]]);
        let cells: Vec<Vec<&str>> = rows.iter().map(|row| row.cells.iter().map(String::as_str).collect()).collect();
        assert_eq!(cells, [["1.000", "0.707", ""], ["0.707", "1.000", ""], ["", "", ""]]);
    }

    #[test]
    fn what_was_not_read_is_said() {
        assert_eq!(read(Some(Tokens { read: 8, of: 9 })), "8 of 9 tokens: the rest was not read");
        assert_eq!((read(Some(Tokens { read: 3, of: 3 })), read(None)), ("3 tokens".into(), String::new()));
    }
}
