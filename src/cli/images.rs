//! `hub embed` and `hub predict`: what a model makes of images, asked of the server or worked out here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
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
    /// Image files (PNG, JPEG, WebP, GIF, BMP)
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
        let predictor = blocking(move || Predictor::load(&path, &device.parse().and_then(device::open)?)).await?;
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
        CliError::new(1, "model", error.to_string(), "check the image and that the model folder is whole (`hub show NAME --files`)")
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| CliError::new(1, "file", format!("cannot read {}: {e}", path.display()), "check the path of the image"))
}

/// Names the image a failure is about.
fn about(path: &Path) -> impl FnOnce(CliError) -> CliError {
    let path = path.display().to_string();
    move |failure| CliError { message: format!("{path}: {}", failure.message), ..failure }
}

impl Embed {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let target = self.asked.target()?;
        let oracle = self.asked.oracle(remote, &target).await?;
        let answers: Vec<(PathBuf, String, Vec<f32>)> =
            stream::iter(&self.asked.images).map(|path| embed(&oracle, &target, path)).buffered(AT_ONCE).try_collect().await?;
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
        Ok(Output::new(human.trim_end_matches('\n'), json!(json), quiet.join("\n")))
    }
}

async fn embed(oracle: &Oracle, target: &Target, path: &Path) -> Result<(PathBuf, String, Vec<f32>)> {
    let image = read(path)?;
    let (model, features) = match oracle {
        Oracle::Server(client) => {
            let answer = client.embed(&target.id, &target.revision, image.into()).await.map_err(CliError::from).map_err(about(path))?;
            (answer.model, answer.features)
        }
        Oracle::Here(predictor, name) => {
            let predictor = predictor.clone();
            (name.clone(), blocking(move || predictor.embed(&image)).await.map_err(about(path))?)
        }
    };
    Ok((path.to_path_buf(), model, features))
}

impl Predict {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let target = self.asked.target()?;
        let oracle = self.asked.oracle(remote, &target).await?;
        let answers: Vec<(PathBuf, Prediction)> = stream::iter(&self.asked.images)
            .map(|path| predict(&oracle, &target, path, self.top.max(1)))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let mut human = String::new();
        for (path, answer) in &answers {
            if answers.len() > 1 {
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
        Ok(Output::new(human.trim_end_matches('\n'), json!(json), quiet.join("\n")))
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
        Oracle::Server(client) => {
            client.predict(&target.id, &target.revision, image.into(), top).await.map_err(CliError::from).map_err(about(path))?
        }
        Oracle::Here(predictor, name) => {
            let predictor = predictor.clone();
            Prediction::new(name.clone(), &blocking(move || predictor.predict(&image, top)).await.map_err(about(path))?)
        }
    };
    Ok((path.to_path_buf(), answer))
}
