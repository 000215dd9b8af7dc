//! What `hub embed` and `hub predict` are asked about: files, folders and archives, texts, lines, a data set of the server; who answers; and
//! how the answers are handed over.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::super::output::{CliError, Output, Result, raw};
use super::super::pull::pull;
use super::super::remote::{Remote, Target};
use super::super::watch;
use super::inputs::{self, Input};
use super::oracle::{Oracle, Question, blocking};
use super::with;
use crate::client::{Client, Pulled};
use crate::data::{Dataset, Limits};
use crate::domain::answers::{Answers, Format, Said};
use crate::domain::prompt::Template;
use crate::domain::timeline::Every;
use crate::train::support::Support;
use crate::train::{Predictor, device};
use crate::vectors::WordVectors;
use crate::wire::jobs::CreateEmbedding;
use crate::wire::predict::AskedAbout;

/// What else is asked beside the items.
#[derive(Debug, Clone, Default)]
pub struct More {
    /// The examples whose classes are meant.
    pub support: Option<String>,
    /// Names of classes, with commas between.
    pub classes: Option<String>,
    /// A prompt of the model's config.
    pub prompt: Option<String>,
    /// Of word vectors: mean or sif.
    pub pooling: Option<String>,
}

impl More {
    /// As it stands in an address.
    fn query(&self) -> Vec<(&'static str, String)> {
        let all = [("support", &self.support), ("classes", &self.classes), ("prompt", &self.prompt), ("pooling", &self.pooling)];
        all.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect()
    }
}

/// What was answered.
pub struct Heard {
    pub answers: Answers,
    /// Of each item the text, where it was given as one.
    pub texts: Vec<Option<Arc<str>>>,
    /// What stands in the way of a good end.
    pub failure: Option<CliError>,
}

/// What is asked about, and how the answers are wanted.
#[derive(Debug, Args)]
pub struct Asked {
    /// The model, NAME[@REVISION], unless --model names it; then files of what it reads (images: JPEG, PNG, WebP, GIF, BMP, TIFF, JPEG XL,
    /// JPEG 2000 and a few more; texts: UTF-8), folders, archives; - for standard input
    #[arg(required_unless_present_any = ["dataset", "model"], value_name = "MODEL|FILE")]
    words: Vec<PathBuf>,
    /// NAME[@REVISION]
    #[arg(long, short, value_name = "NAME")]
    model: Option<String>,
    /// A text (may be repeated)
    #[arg(long, value_name = "TEXT", conflicts_with = "dataset")]
    text: Vec<String>,
    /// Each line of the files is a text of its own
    #[arg(long, conflicts_with = "dataset")]
    lines: bool,
    /// Pull the model and run it here
    #[arg(long)]
    local: bool,
    /// With --local: take the model from the cache without asking the server
    #[arg(long, requires = "local")]
    pub offline: bool,
    /// Of videos: ask about each piece of so many seconds, one after the other
    #[arg(long, value_name = "SECONDS", value_parser = seconds, conflicts_with_all = ["text", "lines"])]
    every: Option<Every>,
    /// Ask about a data set of the server instead, NAME[@REVISION], as a job
    #[arg(long, short, value_name = "NAME", conflicts_with_all = ["local", "offline"])]
    pub dataset: Option<String>,
    /// Of that data set only train, val or test
    #[arg(long, requires = "dataset")]
    split: Option<String>,
    /// csv, json, npy, parquet or safetensors; of boxes and masks also coco, the list of results that COCO's tools read
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Write the answers into this file; its ending is the format if --format names none
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Asked {
    /// The model, and the paths of what it is asked about.
    fn split(&self) -> Result<(Target, &[PathBuf])> {
        let (model, paths) = match (&self.model, self.words.split_first()) {
            (Some(model), _) => (model.clone(), self.words.as_slice()),
            (None, Some((model, paths))) => (model.display().to_string(), paths),
            (None, None) => (String::new(), &[][..]),
        };
        if model.is_empty() || paths.is_empty() && self.text.is_empty() {
            let hint = "write `hub predict MODEL FILE...` or `hub predict MODEL --text TEXT`, or name the model with --model";
            return Err(CliError::usage("a model and what it is asked about are wanted", hint));
        }
        Ok((Target::parse(&model, false)?, paths))
    }

    /// Has the server ask about one of its data sets, and fetches what the job leaves.
    pub async fn ask_about_dataset(&self, remote: &Remote, dataset: &str, top: Option<usize>, more: &More) -> Result<Output> {
        let target = match (&self.model, self.words.as_slice()) {
            (None, [model]) => Target::parse(&model.display().to_string(), false)?,
            (Some(model), []) => Target::parse(model, false)?,
            _ => return Err(CliError::usage("files and a data set are asked about apart", "name either files or --dataset")),
        };
        let dataset = Target::parse(dataset, true)?;
        let format = self.format()?.unwrap_or(Format::Csv);
        let client = remote.client()?;
        let (name, split) = (format!("{}@{}", dataset.id, dataset.revision), self.split.clone());
        let asked = AskedAbout { dataset: Some(name), split, ..AskedAbout::default() };
        let job = client.ask_about_dataset(&target.id, &target.revision, top, (format, &self.query(more)), &asked).await?;
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
    pub fn format(&self) -> Result<Option<Format>> {
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

    /// What else is asked, as it stands in an address.
    fn query(&self, more: &More) -> Vec<(&'static str, String)> {
        let every = self.every.map(|every| ("every", every.to_string()));
        more.query().into_iter().chain(every).collect()
    }

    async fn oracle(&self, remote: &Remote, target: &Target, more: &More) -> Result<Oracle> {
        let client = remote.client()?;
        if !self.local {
            return Ok(Oracle::Server(client, self.query(more)));
        }
        let examples = match &more.support {
            Some(support) => Some(self.examples(remote, &client, support).await?),
            None => None,
        };
        let pulled: Pulled = pull(&client, remote, target, self.offline).await?;
        let (path, name) = (pulled.path.clone(), format!("{}@{}", pulled.id, pulled.number));
        if WordVectors::is_in(&path) && examples.is_none() {
            return Oracle::of_words(&path, name, more);
        }
        if more.pooling.is_some() {
            return Err(CliError::usage("--pooling is for word vectors: an encoder pools as its files say", "leave --pooling out"));
        }
        let device = remote.config.device.clone();
        let limits = remote.config.data_limits;
        let prompt = more.prompt.clone();
        let classes: Option<Vec<String>> = more.classes.as_ref().map(|names| names.split(',').map(|name| name.trim().to_owned()).collect());
        let load = move || {
            let predictor = Predictor::load(&path, &device.parse().and_then(device::open)?)?.within(&limits);
            if let Some(names) = classes {
                let template = template(&predictor, &names, prompt.as_deref())?;
                let support = Support::by_names(&predictor, &names, &template)?;
                return Ok((predictor.by_support(support), None));
            }
            let prompt = prompt.map(|name| predictor.prompt_of(&name)).transpose()?;
            let Some(examples) = examples else { return Ok((predictor, prompt)) };
            let dataset = Dataset::open(&inputs::labelled(&examples), &Limits::of(&limits))?;
            let support = Support::by(&predictor, &dataset)?;
            Ok((predictor.by_support(support), prompt))
        };
        let (predictor, prompt) = blocking(load).await?;
        Ok(Oracle::Here(Arc::new(predictor), name, prompt))
    }

    /// A folder or an archive of labelled examples here, or one that is pulled.
    async fn examples(&self, remote: &Remote, client: &Client, support: &str) -> Result<PathBuf> {
        let path = PathBuf::from(support);
        if path.exists() {
            return Ok(path);
        }
        let target = Target::parse(support, true)?;
        Ok(pull(client, remote, &target, self.offline).await?.path)
    }

    /// Has the model look at the examples, where it has not yet, and asks again.
    pub async fn ask_by(&self, remote: &Remote, question: Question, support: &str) -> Result<Heard> {
        let more = More { support: Some(support.to_owned()), ..More::default() };
        match self.ask(remote, question, &more).await {
            Err(refused) if refused.code == "not_embedded" && !self.local => {
                remote.reporter.note("this model has not looked at these examples yet: that is done first");
                let (target, client) = (self.split()?.0, remote.client()?);
                let model = format!("{}@{}", target.id, target.revision);
                let job = client.create_embedding(&CreateEmbedding { model, dataset: support.to_owned() }).await?;
                watch::quietly(remote, &client, &job.id).await?;
                self.ask(remote, question, &more).await
            }
            asked => asked,
        }
    }

    /// Whether standard input is asked about.
    pub fn reads_stdin(&self) -> bool {
        self.words.iter().any(|word| word.as_os_str() == "-")
    }

    /// What is asked about.
    pub fn items(&self, remote: &Remote) -> Result<Vec<Input>> {
        let mut inputs: Vec<Input> = self.text.iter().cloned().map(Input::of_text).collect();
        inputs.extend(inputs::all(self.split()?.1, self.lines, &Limits::of(&remote.config.data_limits))?);
        Ok(inputs)
    }

    /// All answers. `Err` where there is no answer at all.
    pub async fn ask(&self, remote: &Remote, question: Question, more: &More) -> Result<Heard> {
        let (target, mut inputs) = (self.split()?.0, self.items(remote)?);
        let oracle = self.oracle(remote, &target, more).await?;
        if let Some(every) = self.every.filter(|_| self.local) {
            oracle.need_time()?;
            let limits = Limits::of(&remote.config.data_limits);
            inputs = blocking(move || Ok(inputs::every(inputs, every, &limits))).await??;
        }
        let texts = inputs.iter().map(|input| input.text.clone()).collect();
        let count = inputs.len();
        let asked = oracle.ask(&target, question, inputs, &remote.reporter).await?;
        let failure = asked.ended.or_else(|| unanswered(&asked.answers.items, count.max(asked.answers.items.len())));
        match failure {
            Some(failure) if asked.answers.failed() == asked.answers.items.len() => Err(failure),
            failure => Ok(Heard { answers: asked.answers, texts, failure }),
        }
    }

    /// Hands the answers over in the form that was asked for.
    pub fn hand_over(&self, answers: &Answers, format: Format, failure: Option<CliError>) -> Result<Output> {
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

fn seconds(text: &str) -> std::result::Result<Every, String> {
    Every::parse(text).ok_or_else(Every::bounds)
}

/// The text in which names of classes are read.
fn template(predictor: &Predictor, names: &[String], text: Option<&str>) -> crate::train::Result<Template> {
    let wrong = |what: String| crate::train::Error::Unsupported(what);
    if let Some(name) = names.iter().find(|name| name.is_empty() || names.iter().filter(|other| other == name).count() > 1) {
        return Err(wrong(format!("names of classes are different ones, none of them empty, and `{name}` is not")));
    }
    let usual = || Template::usual(predictor.text_scale().is_some());
    let parse = |text: &str| Template::parse(text).ok_or_else(|| wrong(format!("`{text}` has no place for a name: write `{{}}` once")));
    text.map_or_else(|| Ok(usual()), parse)
}

/// One failure that names every item without an answer.
fn unanswered(items: &[Said], asked: usize) -> Option<CliError> {
    let failed: Vec<_> = items.iter().filter_map(|item| Some((item, item.reason()?))).collect();
    let (_, first) = failed.first()?;
    let line = |(item, reason): &(&Said, &crate::domain::answers::Reason)| format!("{}: {}", item.name, reason.message);
    let message = match failed.as_slice() {
        [only] => line(only),
        all => {
            let lines: Vec<_> = all.iter().map(|failure| format!("\n  {}", line(failure))).collect();
            format!("{} of {asked} items have no answer:{}", all.len(), lines.concat())
        }
    };
    let hint = match first.code.as_str() {
        "text_unreadable" => "save texts as UTF-8, and give none that are empty",
        "no_known_word" => "take a model that knows these words, or one with subwords (fastText)",
        _ => "check the paths, and open the images in a viewer and save them again as JPEG or PNG",
    };
    Some(CliError::new(1, &first.code, message, hint))
}
