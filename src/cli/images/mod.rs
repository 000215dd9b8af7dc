//! `hub embed` and `hub predict`: what a model makes of images and texts, asked of the server or worked out here.

mod asked;
mod draw;
mod inputs;
mod oracle;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use self::asked::{Asked, Heard, More};
pub use self::inputs::lines as lines_of;
use self::oracle::Question;
pub use self::oracle::blocking;
use super::output::{CliError, Output, Result};
use super::remote::Remote;
use super::table::percent;
use crate::data::Limits;
use crate::domain::answers::{Answers, Content, Format, Said};
use crate::domain::prediction::{Anomaly, Answer, Answered, Area, Class, Entity, Familiarity, FoundBox, Head, Shot, Value as Number};

/// Every class a head may have.
const ALL_CLASSES: usize = 100_000;

/// Turn images or texts into features
///
/// Prints the pooled features of each item: a line of numbers (with --quiet), JSON (with --json), or a summary. Folders and archives
/// stand for the items in them. Models of word vectors make a text's features of those of its words.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub embed resnet50 cat.png dog.png --json > features.json
  hub embed resnet50 photos/ --format npy -o features.npy
  hub embed resnet50 photos.zip --local -o features.parquet
  hub embed ada/minilm --text 'a happy person' --text 'a sunny day'
  cat mails.txt | hub embed ada/minilm - --lines -o mails.npy
  hub embed ada/clip fox.jpg --text 'a photo of a fox' --json
  hub embed ada/e5 questions.txt --lines --prompt query
  hub embed glove-50d mails.txt --lines --pooling sif -o mails.npy")]
pub struct Embed {
    #[command(flatten)]
    asked: Asked,
    /// Put this prompt of the model's config before every text, instead of the usual one
    #[arg(long, value_name = "NAME", conflicts_with = "dataset")]
    prompt: Option<String>,
    /// Of word vectors: mean, or sif, in which frequent words count less and what all texts share is taken away
    #[arg(long, value_name = "KIND", value_parser = ["mean", "sif"], conflicts_with = "dataset")]
    pooling: Option<String>,
}

/// Say what images show, or what texts are about
///
/// Folders and archives stand for the items in them. An item without an answer takes none from the others.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub predict resnet50 cat.png
  hub predict acme/flowers-net@2 *.jpg --top 1 --json
  hub predict acme/flowers-net photos/ --format csv -o answers.csv
  hub predict acme/flowers-net --dataset acme/flowers --format parquet -o answers.parquet
  hub predict cat.png --model resnet50 --local     without sending the image anywhere
  hub predict ada/spam --text 'You have won'
  hub predict ada/sentences --text 'The match was lost in the last minute' --classes sport,politics,weather
  hub predict ada/clip photos/ --classes 'red fox,badger,hare' --prompt 'a photo of a {}'
  hub predict ada/blood-boxes smear.jpg --draw found.svg
  hub predict ada/shots match.mp4 --json
  hub predict ada/blood-boxes --dataset ada/blood --split val --format coco -o results.json
  hub predict acme/moves match.mp4 --every 2 --format csv
  hub predict resnet50 cat.png --support acme/flowers
  hub predict resnet50 cat.png --local --support examples/")]
pub struct Predict {
    #[command(flatten)]
    asked: Asked,
    /// Answer classes that the model was not trained for, by the nearest mean of examples: a data set of the server, NAME[@REVISION];
    /// with --local a folder or archive here, as a data set lies
    #[arg(long, value_name = "NAME|PATH")]
    support: Option<String>,
    /// Of a model of texts, or one of images with a network for texts beside: answer these classes, by the nearest of their names, whatever
    /// the model was trained for
    #[arg(long, value_name = "NAME,NAME...", conflicts_with = "support")]
    classes: Option<String>,
    /// With --classes: a text in which their names are read, such as 'a photo of a {}'; else put this prompt of the model's config before
    /// every text, instead of the usual one
    #[arg(long, value_name = "TEXT|NAME", conflicts_with = "support")]
    prompt: Option<String>,
    /// So many of the likeliest classes
    #[arg(long, default_value_t = 5)]
    top: usize,
    /// Of models that find objects or say a class about each pixel: draw that over the image, with the names of objects, as PNG, or as SVG
    /// where the file is called so; of several images into this folder
    #[arg(long, value_name = "FILE", conflicts_with = "dataset")]
    draw: Option<PathBuf>,
}

/// The result, and what has none.
fn with(output: Output, failure: Option<CliError>) -> Output {
    match failure {
        Some(failure) => output.but(failure),
        None => output,
    }
}

/// The items that have an answer.
fn answered(answers: &Answers) -> impl Iterator<Item = &Said> {
    answers.items.iter().filter(|item| item.reason().is_none())
}

/// As JSON, under the name of its file, or with its text, and with who says so.
fn as_json(heard: &Heard) -> Value {
    let one = |(at, item): (usize, &Said)| {
        item.reason().is_none().then(|| {
            let mut value = match heard.texts.get(at).cloned().flatten() {
                Some(text) => json!({ "text": *text, "model": heard.answers.model }),
                None => json!({ "image": item.name, "model": heard.answers.model }),
            };
            if let (Some(object), Value::Object(said)) = (value.as_object_mut(), json!(item.content)) {
                object.extend(said);
            }
            value
        })
    };
    heard.answers.items.iter().enumerate().filter_map(one).collect()
}

/// How much of a text was read, where that is not all of it.
fn read_of(content: &Content) -> String {
    match content {
        Content::Features { tokens: Some(tokens), .. } if tokens.read < tokens.of => format!(" ({} of {} tokens)", tokens.read, tokens.of),
        _ => String::new(),
    }
}

impl Embed {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        if let Some(dataset) = &self.asked.dataset {
            return self.asked.ask_about_dataset(remote, dataset, None, &More::default()).await;
        }
        let format = self.asked.format()?;
        let more = More { prompt: self.prompt, pooling: self.pooling, ..More::default() };
        let heard = self.asked.ask(remote, Question::Features, &more).await?;
        if let Some(format) = format {
            return self.asked.hand_over(&heard.answers, format, heard.failure);
        }
        let json = as_json(&heard);
        let Heard { answers, failure, .. } = heard;
        let features = |item: &Said| match &item.content {
            Content::Features { features, .. } => features.clone(),
            _ => Vec::new(),
        };
        let line = |features: &[f32]| features.iter().map(f32::to_string).collect::<Vec<_>>().join(" ");
        let human = answered(&answers).map(|item| {
            let features = features(item);
            let norm = features.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
            let beginning = line(&features[..features.len().min(6)]);
            let read = read_of(&item.content);
            format!("{}{read}: {} features from {}, length {norm:.4}, beginning {beginning}", item.name, features.len(), answers.model)
        });
        let human = human.collect::<Vec<_>>().join("\n");
        let quiet: Vec<_> = answered(&answers).map(|item| line(&features(item))).collect();
        if remote.style == super::output::Style::Human {
            remote.reporter.note("--json or --quiet prints all numbers, --format writes them for other programs");
        }
        Ok(with(Output::new(human, json, quiet.join("\n")), failure))
    }
}

impl Predict {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        if let Some(dataset) = &self.asked.dataset {
            if self.prompt.is_some() && self.classes.is_none() {
                return Err(CliError::usage("--prompt is for texts that are given here", "leave it out, or add --classes"));
            }
            let more = More { support: self.support, classes: self.classes, prompt: self.prompt, ..More::default() };
            return self.asked.ask_about_dataset(remote, dataset, Some(self.top.max(1)), &more).await;
        }
        let format = self.asked.format()?;
        if self.draw.is_some() && self.asked.reads_stdin() {
            return Err(CliError::usage("what is drawn on is read twice, and standard input is there once", "give the image as a file"));
        }
        let top = if format.is_some_and(Format::is_matrix) { ALL_CLASSES } else { self.top.max(1) };
        let question = Question::Answer { top };
        let heard = match &self.support {
            Some(support) => self.asked.ask_by(remote, question, support).await?,
            None => self.asked.ask(remote, question, &More { classes: self.classes, prompt: self.prompt, ..More::default() }).await?,
        };
        if let Some(path) = &self.draw {
            draw::all(&self.asked.items(remote)?, &heard.answers, path, &Limits::of(&remote.config.data_limits))?;
            remote.reporter.note(&format!("drawn into {}", path.display()));
        }
        if let Some(format) = format {
            return self.asked.hand_over(&heard.answers, format, heard.failure);
        }
        let json = as_json(&heard);
        let Heard { answers, failure, .. } = heard;
        let (mut human, mut quiet) = (String::new(), Vec::new());
        for item in answered(&answers) {
            let Content::Answer(answer) = &item.content else { continue };
            if answers.items.len() > 1 {
                human.push_str(&format!("{}\n", item.name));
            }
            human.push_str(&lines(answer));
            human.push_str(&unknown(answer));
            quiet.push(first(answer));
        }
        Ok(with(Output::new(human.trim_end_matches('\n'), json, quiet.join("\n")), failure))
    }
}

/// Says so where the item is of no kind that the model was trained on.
fn unknown(answered: &Answered) -> String {
    let strange = answered.familiarity.filter(|familiarity| !familiarity.known);
    let told = |f: Familiarity| {
        format!(" unknown  like nothing it was trained on ({:.3}, known up to {:.3})\n", f.unknown_score, f.unknown_threshold)
    };
    strange.map(told).unwrap_or_default()
}

/// A line for each class and each number, head by head; of labels those that are there are marked.
fn lines(answer: &Answer) -> String {
    let mark = |class: &Class| if class.present == Some(true) { "  *" } else { "" };
    let class = |class: &Class| format!("{:>8}  {}{}\n", percent(f64::from(class.probability)), class.label, mark(class));
    let value = |number: &Number| format!("{:>8}  {}\n", number.value, number.name);
    let head = |head: &Head| format!("{}:\n{}", head.name, lines(&head.answer));
    let judged = |anomaly: Anomaly| {
        let word = if anomaly.is_anomaly { "anomaly" } else { "good" };
        format!("{word:>8}  score {:.4}, good up to {:.4}\n", anomaly.score, anomaly.threshold)
    };
    let own = answer.classes().iter().map(class).chain(answer.values().iter().map(value)).chain(answer.anomaly().map(judged));
    let entity = |entity: &Entity| {
        let Entity { text, label, start, end, score } = entity;
        format!("{:>8}  {label}  {text}  ({start} to {end})\n", percent(f64::from(*score)))
    };
    let entities = answer.entities().unwrap_or_default().iter().map(entity);
    let area = |area: &Area| {
        let counted = area.objects.map(|count| format!("  {count} objects")).unwrap_or_default();
        format!("{:>8}  {}{counted}\n", percent(f64::from(area.share)), area.label)
    };
    let areas = answer.mask().into_iter().flat_map(|mask| &mask.classes).map(area);
    let boxed = |found: &FoundBox| {
        let [x, y, w, h] = found.bbox;
        format!("{:>8}  {}  at {x:.0}, {y:.0}, {w:.0} wide and {h:.0} high\n", percent(f64::from(found.score)), found.label)
    };
    let boxes = answer.boxes().into_iter().flat_map(|boxes| boxes.present()).map(boxed);
    let shot = |shot: &Shot| {
        let Shot { start_frame, end_frame, start_seconds, end_seconds, .. } = shot;
        let seconds = start_seconds.zip(*end_seconds).map(|(start, end)| format!("  {start:.3} to {end:.3} s")).unwrap_or_default();
        format!("{:>8}  frames {start_frame} to {end_frame}{seconds}\n", percent(f64::from(shot.probability)))
    };
    let shots = answer.shots().into_iter().flat_map(|shots| &shots.found).map(shot);
    own.chain(answer.heads().iter().map(head)).chain(entities).chain(areas).chain(boxes).chain(shots).collect()
}

/// The likeliest class, the labels that are there, the numbers; of several heads what each says.
fn first(answer: &Answer) -> String {
    let joined = |words: Vec<String>| words.join(" ");
    if let Some(anomaly) = answer.anomaly() {
        return if anomaly.is_anomaly { "anomaly".into() } else { "good".into() };
    }
    if let Some(entities) = answer.entities() {
        return joined(entities.iter().map(|entity| format!("{}={}", entity.label, entity.text)).collect());
    }
    if let Some(mask) = answer.mask() {
        return joined(mask.classes.iter().map(|area| format!("{}={}", area.label, percent(f64::from(area.share)))).collect());
    }
    if let Some(boxes) = answer.boxes() {
        return joined(boxes.counted().into_iter().map(|(label, count)| format!("{label}={count}")).collect());
    }
    if let Some(shots) = answer.shots() {
        return joined(shots.found.iter().map(|shot| format!("{}-{}", shot.start_frame, shot.end_frame)).collect());
    }
    match answer.classes().first() {
        Some(class) if class.present.is_none() => class.label.clone(),
        Some(_) => joined(answer.classes().iter().filter(|class| class.present == Some(true)).map(|class| class.label.clone()).collect()),
        None if answer.heads().is_empty() => joined(answer.values().iter().map(|number| number.value.to_string()).collect()),
        None => joined(answer.heads().iter().map(|head| format!("{}={}", head.name, first(&head.answer))).collect()),
    }
}
