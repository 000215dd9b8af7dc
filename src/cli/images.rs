//! `hub embed` and `hub predict`: what a model makes of images, asked of the server or worked out here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::output::{CliError, Output, Result};
use super::pull::pull;
use super::remote::{Remote, Target};
use super::table::percent;
use crate::client::{Client, Pulled};
use crate::train::{Predictor, device};
use crate::wire::predict::Prediction;

/// Images under way at the same time.
const AT_ONCE: usize = 4;

/// Turn images into features
///
/// Prints the pooled features of each image: a line of numbers (with --quiet), JSON (with --json), or a summary.
#[derive(Debug, Args)]
#[command(after_help = "Example: hub embed cat.png dog.png --model resnet50 --json > features.json")]
pub struct Embed {
    #[command(flatten)]
    asked: Asked,
}

/// Say what images show
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub predict cat.png --model resnet50
  hub predict *.jpg --model acme/flowers-net@2 --top 1 --json
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
    /// Image files (JPEG, PNG, WebP, GIF, BMP, TIFF, JPEG XL, JPEG 2000 and a few more)
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// NAME[@REVISION]
    #[arg(long, short, value_name = "NAME")]
    model: String,
    /// Pull the model and run it here
    #[arg(long)]
    local: bool,
    /// With --local: take the model from the cache without asking the server
    #[arg(long, requires = "local")]
    offline: bool,
}

/// Who answers.
enum Oracle {
    Server(Client),
    Here(Arc<Predictor>, String),
}

impl Asked {
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

    fn target(&self) -> Result<Target> {
        Target::parse(&self.model, false)
    }
}

/// Off the threads that wait for the network.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> crate::train::Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|e| CliError::new(1, "internal", format!("the model failed: {e}"), "report this as a bug"))?;
    done.map_err(|error| {
        let code = if matches!(error, crate::train::Error::Data(_)) { error.code() } else { "model" };
        CliError::new(1, code, error.to_string(), "check the image and that the model folder is whole (`hub show NAME --files`)")
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| CliError::new(1, "file", format!("it cannot be read: {e}"), "check the path of the image"))
}

/// Whether a failure is about the image that was asked about: the others may do better.
fn is_about_the_image(failure: &CliError) -> bool {
    matches!(failure.code.as_str(), "file" | "image_unreadable" | "image_too_large" | "too_large")
}

/// Asks about every image. One that gets no answer takes none from the others; what concerns all of them ends the asking, and
/// what was answered before stays.
///
/// # Errors
/// There is no answer at all.
async fn ask_all<'a, T, F>(images: &'a [PathBuf], ask: impl Fn(&'a Path) -> F) -> Result<(Vec<T>, Option<CliError>)>
where
    F: Future<Output = Result<T>>,
{
    let asked = stream::iter(images).map(|path| {
        let asked = ask(path);
        async move { (path, asked.await) }
    });
    let mut asked = std::pin::pin!(asked.buffered(AT_ONCE));
    let (mut answers, mut failures) = (Vec::new(), Vec::new());
    while let Some((path, answer)) = asked.next().await {
        match answer {
            Ok(answer) => answers.push(answer),
            Err(failure) => {
                let ends = !is_about_the_image(&failure);
                failures.push((path, failure));
                if ends {
                    break;
                }
            }
        }
    }
    let failure = unanswered(&failures, images.len());
    match failure {
        Some(failure) if answers.is_empty() => Err(failure),
        failure => Ok((answers, failure)),
    }
}

/// One failure that names every image without an answer.
fn unanswered(failures: &[(&PathBuf, CliError)], asked: usize) -> Option<CliError> {
    let line = |(path, failure): &(&PathBuf, CliError)| format!("{}: {}", path.display(), failure.message);
    let (_, first) = failures.first()?;
    let message = match failures {
        [only] => line(only),
        all => {
            let lines: Vec<_> = all.iter().map(|failure| format!("\n  {}", line(failure))).collect();
            format!("{} of {asked} images have no answer:{}", all.len(), lines.concat())
        }
    };
    Some(CliError { message, ..first.clone() })
}

/// The result, and what has none.
fn with(output: Output, failure: Option<CliError>) -> Output {
    match failure {
        Some(failure) => output.but(failure),
        None => output,
    }
}

impl Embed {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let target = self.asked.target()?;
        let oracle = self.asked.oracle(remote, &target).await?;
        let (answers, failure) = ask_all(&self.asked.images, |path| embed(&oracle, &target, path)).await?;
        let line = |features: &[f32]| features.iter().map(f32::to_string).collect::<Vec<_>>().join(" ");
        let human = answers.iter().map(|(path, model, features)| {
            let norm = features.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
            format!(
                "{}: {} features from {model}, length {norm:.4}, beginning {}",
                path.display(),
                features.len(),
                line(&features[..features.len().min(6)])
            )
        });
        let human = human.collect::<Vec<_>>().join("\n");
        let json: Vec<Value> = answers
            .iter()
            .map(|(path, model, features)| json!({"image": path.display().to_string(), "model": model, "features": features}))
            .collect();
        let quiet: Vec<_> = answers.iter().map(|(_, _, features)| line(features)).collect();
        if remote.style == super::output::Style::Human {
            remote.reporter.note("--json or --quiet prints all numbers");
        }
        Ok(with(Output::new(human.trim_end_matches('\n'), json!(json), quiet.join("\n")), failure))
    }
}

async fn embed(oracle: &Oracle, target: &Target, path: &Path) -> Result<(PathBuf, String, Vec<f32>)> {
    let image = read(path)?;
    let (model, features) = match oracle {
        Oracle::Server(client) => {
            let answer = client.embed(&target.id, &target.revision, image.into()).await?;
            (answer.model, answer.features)
        }
        Oracle::Here(predictor, name) => {
            let predictor = predictor.clone();
            (name.clone(), blocking(move || predictor.embed(&image)).await?)
        }
    };
    Ok((path.to_path_buf(), model, features))
}

impl Predict {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let target = self.asked.target()?;
        let oracle = self.asked.oracle(remote, &target).await?;
        let top = self.top.max(1);
        let (answers, failure) = ask_all(&self.asked.images, |path| predict(&oracle, &target, path, top)).await?;
        let mut human = String::new();
        for (path, answer) in &answers {
            if self.asked.images.len() > 1 {
                human.push_str(&format!("{}\n", path.display()));
            }
            for class in &answer.classes {
                human.push_str(&format!("{:>8}  {}\n", percent(f64::from(class.probability)), class.label));
            }
            for number in &answer.values {
                human.push_str(&format!("{:>8}  {}\n", number.value, number.name));
            }
        }
        let json: Vec<Value> = answers.iter().map(as_json).collect();
        let quiet: Vec<_> = answers.iter().map(|(_, answer)| first(answer)).collect();
        Ok(with(Output::new(human.trim_end_matches('\n'), json!(json), quiet.join("\n")), failure))
    }
}

/// The likeliest class, or the numbers.
fn first(answer: &Prediction) -> String {
    match answer.classes.first() {
        Some(class) => class.label.clone(),
        None => answer.values.iter().map(|number| number.value.to_string()).collect::<Vec<_>>().join(" "),
    }
}

fn as_json((path, answer): &(PathBuf, Prediction)) -> Value {
    let mut value = json!({ "image": path.display().to_string() });
    if let (Some(object), Value::Object(answer)) = (value.as_object_mut(), json!(answer)) {
        object.extend(answer);
    }
    value
}

async fn predict(oracle: &Oracle, target: &Target, path: &Path, top: usize) -> Result<(PathBuf, Prediction)> {
    let image = read(path)?;
    let answer = match oracle {
        Oracle::Server(client) => client.predict(&target.id, &target.revision, image.into(), top).await?,
        Oracle::Here(predictor, name) => {
            let predictor = predictor.clone();
            Prediction::new(name.clone(), &blocking(move || predictor.predict(&image, top)).await?)
        }
    };
    Ok((path.to_path_buf(), answer))
}
