//! `hub embed` and `hub predict`: what a model makes of images, asked of the server or worked out here.

mod inputs;
mod oracle;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use self::oracle::{Oracle, Question, blocking};
use super::output::{CliError, Output, Result, raw};
use super::pull::pull;
use super::remote::{Remote, Target};
use super::table::percent;
use super::watch;
use crate::client::Pulled;
use crate::data::Limits;
use crate::domain::answers::{Answers, Content, Format, Said};
use crate::domain::prediction::{Answer, Answered, Class, Familiarity, Head, Value as Number};
use crate::train::{Predictor, device};
use crate::wire::predict::AskedAbout;

/// Every class a head may have.
const ALL_CLASSES: usize = 100_000;

/// Turn images into features
///
/// Prints the pooled features of each image: a line of numbers (with --quiet), JSON (with --json), or a summary. Folders and archives
/// stand for the images in them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub embed resnet50 cat.png dog.png --json > features.json
  hub embed resnet50 photos/ --format npy -o features.npy
  hub embed resnet50 photos.zip --local -o features.parquet")]
pub struct Embed {
    #[command(flatten)]
    asked: Asked,
}

/// Say what images show
///
/// Folders and archives stand for the images in them. An image without an answer takes none from the others.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub predict resnet50 cat.png
  hub predict acme/flowers-net@2 *.jpg --top 1 --json
  hub predict acme/flowers-net photos/ --format csv -o answers.csv
  hub predict acme/flowers-net --dataset acme/flowers --format parquet -o answers.parquet
  hub predict cat.png --model resnet50 --local     without sending the image anywhere")]
pub struct Predict {
    #[command(flatten)]
    asked: Asked,
    /// So many of the likeliest classes
    #[arg(long, default_value_t = 5)]
    top: usize,
}

#[derive(Debug, Args)]
struct Asked {
    /// The model, NAME[@REVISION], unless --model names it; then image files (JPEG, PNG, WebP, GIF, BMP, TIFF, JPEG XL, JPEG 2000
    /// and a few more), folders, archives
    #[arg(required_unless_present = "dataset", value_name = "MODEL|IMAGE")]
    words: Vec<PathBuf>,
    /// NAME[@REVISION]
    #[arg(long, short, value_name = "NAME")]
    model: Option<String>,
    /// Pull the model and run it here
    #[arg(long)]
    local: bool,
    /// With --local: take the model from the cache without asking the server
    #[arg(long, requires = "local")]
    offline: bool,
    /// Ask about a data set of the server instead, NAME[@REVISION], as a job
    #[arg(long, short, value_name = "NAME", conflicts_with_all = ["local", "offline"])]
    dataset: Option<String>,
    /// Of that data set only train, val or test
    #[arg(long, requires = "dataset")]
    split: Option<String>,
    /// csv, json, npy, parquet or safetensors
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Write the answers into this file; its ending is the format if --format names none
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Asked {
    /// The model, and the paths of what it is asked about.
    fn split(&self) -> Result<(Target, &[PathBuf])> {
        if let Some(model) = &self.model {
            return Ok((Target::parse(model, false)?, &self.words));
        }
        match self.words.split_first() {
            Some((model, images)) if !images.is_empty() => Ok((Target::parse(&model.display().to_string(), false)?, images)),
            _ => Err(CliError::usage(
                "a model and an image are wanted",
                "write `hub predict MODEL IMAGE...`, or name the model with --model",
            )),
        }
    }

    /// Has the server ask about one of its data sets, and fetches what the job leaves.
    async fn ask_about_dataset(&self, remote: &Remote, dataset: &str, top: Option<usize>) -> Result<Output> {
        let target = match (&self.model, self.words.as_slice()) {
            (None, [model]) => Target::parse(&model.display().to_string(), false)?,
            (Some(model), []) => Target::parse(model, false)?,
            _ => return Err(CliError::usage("images and a data set are asked about apart", "name either images or --dataset")),
        };
        let dataset = Target::parse(dataset, true)?;
        let format = self.format()?.unwrap_or(Format::Csv);
        let client = remote.client()?;
        let (name, split) = (format!("{}@{}", dataset.id, dataset.revision), self.split.clone());
        let asked = AskedAbout { dataset: Some(name), split, ..AskedAbout::default() };
        let job = client.ask_about_dataset(&target.id, &target.revision, top, format, &asked).await?;
        watch::quietly(remote, &client, &job.id).await?;
        let files = client.job_files(&job.id).await?.items;
        let gone = || CliError::failed("the job has left no file", format!("look at `hub jobs logs {}`", job.id));
        let file = files.iter().find(|file| file.name.ends_with(&format!(".{format}"))).ok_or_else(gone)?;
        let path = self.output.clone().unwrap_or_else(|| PathBuf::from(&file.name));
        client.fetch_job_file(&job.id, file, &path).await?;
        let shown = path.display().to_string();
        Ok(Output::new(format!("wrote {shown}"), json!({"file": shown, "job": job.id, "format": format.as_str()}), shown))
    }

    /// The form of a file or of standard output; `None` where people read it.
    fn format(&self) -> Result<Option<Format>> {
        let unknown = |word: &str| CliError::usage(format!("'{word}' is no form of answers"), format!("choose one of {}", Format::names()));
        let ending = self.output.as_deref().and_then(Path::extension).map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        let format = match (&self.format, ending) {
            (Some(word), _) => Some(Format::parse(word).ok_or_else(|| unknown(word))?),
            (None, Some(ending)) => Some(Format::parse(&ending).ok_or_else(|| unknown(&ending))?),
            (None, None) if self.output.is_some() => Some(Format::Json),
            _ => None,
        };
        if self.output.is_none() && format.is_some_and(Format::is_binary) && std::io::stdout().is_terminal() {
            return Err(CliError::usage("this form is nothing for a terminal", "name a file with -o, or send the output into one"));
        }
        Ok(format)
    }

    async fn oracle(&self, remote: &Remote, target: &Target) -> Result<Oracle> {
        let client = remote.client()?;
        if !self.local {
            return Ok(Oracle::Server(client));
        }
        let pulled: Pulled = pull(&client, remote, target, self.offline).await?;
        let (path, name) = (pulled.path.clone(), format!("{}@{}", pulled.id, pulled.number));
        let device = remote.config.device.clone();
        let limits = remote.config.data_limits;
        let predictor = blocking(move || Ok(Predictor::load(&path, &device.parse().and_then(device::open)?)?.within(&limits))).await?;
        Ok(Oracle::Here(Arc::new(predictor), name))
    }

    /// All answers, and what stands in the way of a good end. `Err` where there is no answer at all.
    async fn ask(&self, remote: &Remote, question: Question) -> Result<(Answers, Option<CliError>)> {
        let (target, paths) = self.split()?;
        let inputs = inputs::all(paths, &Limits::of(&remote.config.data_limits))?;
        let count = inputs.len();
        let oracle = self.oracle(remote, &target).await?;
        let asked = oracle.ask(&target, question, inputs, &remote.reporter).await;
        let failure = asked.ended.or_else(|| unanswered(&asked.answers.items, count));
        match failure {
            Some(failure) if asked.answers.failed() == asked.answers.items.len() => Err(failure),
            failure => Ok((asked.answers, failure)),
        }
    }

    /// Hands the answers over in the form that was asked for.
    fn hand_over(&self, answers: &Answers, format: Format, failure: Option<CliError>) -> Result<Output> {
        let bytes = answers.write(format).map_err(|e| CliError::failed(e, "choose another --format"))?;
        let Some(path) = &self.output else {
            raw(&bytes);
            return Ok(with(Output::none(), failure));
        };
        let failed = |e| CliError::new(1, "file", format!("cannot write {}: {e}", path.display()), "choose another place with -o");
        std::fs::write(path, &bytes).map_err(failed)?;
        let (count, shown) = (answers.items.len() - answers.failed(), path.display().to_string());
        let about =
            json!({"file": shown, "format": format.as_str(), "model": answers.model, "answered": count, "failed": answers.failed()});
        Ok(with(Output::new(format!("wrote {count} answers of {} to {shown}", answers.model), about, shown), failure))
    }
}

/// One failure that names every image without an answer.
fn unanswered(items: &[Said], asked: usize) -> Option<CliError> {
    let failed: Vec<_> = items.iter().filter_map(|item| Some((item, item.reason()?))).collect();
    let (_, first) = failed.first()?;
    let line = |(item, reason): &(&Said, &crate::domain::answers::Reason)| format!("{}: {}", item.name, reason.message);
    let message = match failed.as_slice() {
        [only] => line(only),
        all => {
            let lines: Vec<_> = all.iter().map(|failure| format!("\n  {}", line(failure))).collect();
            format!("{} of {asked} images have no answer:{}", all.len(), lines.concat())
        }
    };
    Some(CliError::new(1, &first.code, message, "check the paths, and open the images in a viewer and save them again as JPEG or PNG"))
}

/// The result, and what has none.
fn with(output: Output, failure: Option<CliError>) -> Output {
    match failure {
        Some(failure) => output.but(failure),
        None => output,
    }
}

/// The images that have an answer.
fn answered(answers: &Answers) -> impl Iterator<Item = &Said> {
    answers.items.iter().filter(|item| item.reason().is_none())
}

/// As JSON, under the name of its image and of who says so.
fn as_json(answers: &Answers) -> Value {
    let one = |item: &Said| {
        let mut value = json!({ "image": item.name, "model": answers.model });
        if let (Some(object), Value::Object(said)) = (value.as_object_mut(), json!(item.content)) {
            object.extend(said);
        }
        value
    };
    answered(answers).map(one).collect()
}

impl Embed {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        if let Some(dataset) = &self.asked.dataset {
            return self.asked.ask_about_dataset(remote, dataset, None).await;
        }
        let format = self.asked.format()?;
        let (answers, failure) = self.asked.ask(remote, Question::Features).await?;
        if let Some(format) = format {
            return self.asked.hand_over(&answers, format, failure);
        }
        let features = |item: &Said| match &item.content {
            Content::Features { features } => features.clone(),
            _ => Vec::new(),
        };
        let line = |features: &[f32]| features.iter().map(f32::to_string).collect::<Vec<_>>().join(" ");
        let human = answered(&answers).map(|item| {
            let features = features(item);
            let norm = features.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
            let beginning = line(&features[..features.len().min(6)]);
            format!("{}: {} features from {}, length {norm:.4}, beginning {beginning}", item.name, features.len(), answers.model)
        });
        let human = human.collect::<Vec<_>>().join("\n");
        let quiet: Vec<_> = answered(&answers).map(|item| line(&features(item))).collect();
        if remote.style == super::output::Style::Human {
            remote.reporter.note("--json or --quiet prints all numbers, --format writes them for other programs");
        }
        Ok(with(Output::new(human, as_json(&answers), quiet.join("\n")), failure))
    }
}

impl Predict {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        if let Some(dataset) = &self.asked.dataset {
            return self.asked.ask_about_dataset(remote, dataset, Some(self.top.max(1))).await;
        }
        let format = self.asked.format()?;
        let top = if format.is_some_and(Format::is_matrix) { ALL_CLASSES } else { self.top.max(1) };
        let (answers, failure) = self.asked.ask(remote, Question::Answer { top }).await?;
        if let Some(format) = format {
            return self.asked.hand_over(&answers, format, failure);
        }
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
        Ok(with(Output::new(human.trim_end_matches('\n'), as_json(&answers), quiet.join("\n")), failure))
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
    let own = answer.classes().iter().map(class).chain(answer.values().iter().map(value));
    own.chain(answer.heads().iter().map(head)).collect()
}

/// The likeliest class, the labels that are there, the numbers; of several heads what each says.
fn first(answer: &Answer) -> String {
    let joined = |words: Vec<String>| words.join(" ");
    match answer.classes().first() {
        Some(class) if class.present.is_none() => class.label.clone(),
        Some(_) => joined(answer.classes().iter().filter(|class| class.present == Some(true)).map(|class| class.label.clone()).collect()),
        None if answer.heads().is_empty() => joined(answer.values().iter().map(|number| number.value.to_string()).collect()),
        None => joined(answer.heads().iter().map(|head| format!("{}={}", head.name, first(&head.answer))).collect()),
    }
}
