//! `hub import`: a weights file that others made becomes a model folder, and is published or kept.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::import_hub::{self, Source, Wanted};
use super::output::{CliError, Output, Result};
use super::publish::{self, How};
use super::remote::{Remote, Target};
use super::table::{count, plural};
use super::words::folder_of;
use crate::client::{Folder, FolderRules, hash_files};
use crate::import::{self, Imported, Options};
use crate::vectors::Dtype;

/// Turn weights that others made into a model, and publish it
///
/// Reads safetensors and PyTorch files (.pth, .pt, .bin, also in parts), executes nothing in them, finds the architecture by its
/// tensors, and writes config.json, model.safetensors and README.md in the form timm reads. Of TensorFlow.js it reads graph models whose
/// graph it knows (a folder with model.json and its shards, or the .json file). Word vectors are told by their content: word2vec (.bin,
/// .vec, .txt), GloVe (.txt), fastText (.bin, .ftz, .vec), gensim's files, NumPy arrays (.npy) with --words.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub import efficientnet_lite0.pth efficientnet-lite0 --license apache-2.0 --dataset imagenet-1k
  hub import weights.safetensors --architecture resnet50 --to ./resnet50
  hub import models/centernet.json centernet --license mit --dataset coco
  hub import glove.6B.50d.txt glove-50d --license pddl --dtype f16
  hub import hf://timm/resnet18.a1_in1k timm/resnet18
  hub import --inflate resnet50 ada/resnet50-3d
  hub import hf://datasets/ada/flowers@v1 --endpoint https://hub.example.org --to ./flowers

A repo of another hub (hf://) is fetched whole, each file proved, and published as it is. HF_ENDPOINT and HF_TOKEN
are used as other tools use them.")]
pub struct Import {
    /// A weights file, a folder with one, or hf://NAMESPACE/NAME[@REVISION]; with --inflate also a model of the hub, NAME[@REVISION]
    source: PathBuf,
    /// Where to publish: namespace/name [default: of hf://, the same name]
    name: Option<String>,
    /// Only write the folder, and publish nothing
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// The hub that hf:// names [default: HF_ENDPOINT, else https://huggingface.co]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Make a network of images one of clips: it answers the same of a clip of one repeated image, and learns what other frames add
    #[arg(long)]
    inflate: bool,
    /// timm's name; found by the tensors if left out
    #[arg(long)]
    architecture: Option<String>,
    /// SPDX identifier, such as apache-2.0
    #[arg(long)]
    license: Option<String>,
    /// What the weights were trained on (may be repeated)
    #[arg(long = "dataset", value_name = "DATASET")]
    datasets: Vec<String>,
    /// The model these weights were made from (may be repeated)
    #[arg(long = "base-model", value_name = "MODEL")]
    base_models: Vec<String>,
    /// The class names: one a line, or JSON
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Where in the file the weights lie, if several are there: its key (model_ema) or prefix (encoder_q)
    #[arg(long)]
    key: Option<String>,
    /// How word vectors are stored: f32, f16 or int8
    #[arg(long, value_name = "KIND")]
    dtype: Option<String>,
    /// The words of a NumPy array's rows: one a line, or a JSON list [default: the list beside it]
    #[arg(long, value_name = "FILE")]
    words: Option<PathBuf>,
    /// The card's title
    #[arg(long)]
    title: Option<String>,
    /// The card's text, Markdown
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    how: How,
}

impl Import {
    pub async fn run(mut self, remote: &Remote) -> Result<Output> {
        if self.inflate {
            self.source = self.base(remote).await?;
        }
        if let Some(source) = Source::parse(&self.source) {
            let source = source?;
            self.refuse_weights_flags()?;
            let Import { name, to, endpoint, how, .. } = &self;
            return import_hub::run(Wanted { source, name, to, endpoint, how }, remote).await;
        }
        if self.endpoint.is_some() || self.name.is_none() && self.to.is_none() {
            let problem =
                if self.endpoint.is_some() { "--endpoint goes with hf:// only" } else { "a weights file has no name to publish it under" };
            return Err(CliError::usage(problem, "name it: hub import FILE NAMESPACE/NAME, or write a folder with --to"));
        }
        let target = self.name.as_deref().map(|name| Target::parse_repo(name, false)).transpose()?;
        let place = tempfile::tempdir().map_err(|e| {
            CliError::new(1, "io", format!("cannot make a temporary folder: {e}"), "set TMPDIR to a folder you may write to")
        })?;
        let out = self.to.clone().unwrap_or_else(|| place.path().join("model"));
        let imported = self.convert(remote, target.as_ref(), out.clone()).await?;
        imported.notes.iter().for_each(|text| remote.reporter.note(&format!("note: {text}")));
        let said = format!(
            "{}: {} with {} parameters, {} features{}",
            imported.form,
            imported.architecture,
            count(imported.parameters),
            imported.num_features,
            if imported.num_classes == 0 {
                ", no classifier".into()
            } else {
                format!(", {}", plural(imported.num_classes as u64, "class"))
            },
        );
        remote.reporter.note(&said);
        let Some(target) = target.filter(|_| self.to.is_none()) else {
            return Ok(converted(&imported, &out));
        };
        let folder = Folder::read(&out, &FolderRules::everything())?;
        let manifest = hash_files(&folder, None, &remote.reporter.sink()).await?;
        let mut publication = self.how.publication(&target)?;
        if publication.message.is_empty() {
            let name = self.source.file_name().unwrap_or_default().to_string_lossy().into_owned();
            publication.message = format!("Import {name}");
        }
        publish::send(remote, &folder, &manifest, &publication).await
    }

    /// What is to be inflated: a file or a folder here, or a model of the hub, which is pulled and named as what it was made from.
    async fn base(&mut self, remote: &Remote) -> Result<PathBuf> {
        if self.source.exists() {
            return Ok(self.source.clone());
        }
        let asked = self.source.to_string_lossy().into_owned();
        if Source::parse(&self.source).is_some() {
            let hint = "import it first, then inflate what was published: hub import --inflate NAME NEW";
            return Err(CliError::usage("--inflate takes a file, a folder or a model of this hub", hint));
        }
        let (folder, _) = folder_of(remote, &asked, false).await?;
        if self.base_models.is_empty() {
            let name = asked.split('@').next().unwrap_or_default();
            self.base_models.push(if name.contains('/') { name.to_owned() } else { format!("library/{name}") });
        }
        Ok(folder)
    }

    /// What describes a bare weights file has no place where a whole repo comes.
    fn refuse_weights_flags(&self) -> Result<()> {
        let texts = [&self.architecture, &self.key, &self.license, &self.title, &self.description];
        let given = texts.iter().any(|text| text.is_some()) || self.labels.is_some() || self.words.is_some() || self.dtype.is_some();
        if given || !self.datasets.is_empty() || !self.base_models.is_empty() {
            let hint = "import it with --to FOLDER, change its card there, and publish the folder";
            return Err(CliError::usage("a repo of another hub is taken as it is; its card says what it is", hint));
        }
        Ok(())
    }

    async fn convert(&self, remote: &Remote, target: Option<&Target>, out: PathBuf) -> Result<Imported> {
        let options = Options {
            architecture: self.architecture.clone(),
            name: self.title.clone().or_else(|| target.map(|target| target.id.name().to_string())),
            license: self.license.clone(),
            datasets: self.datasets.clone(),
            description: self.description.clone(),
            labels: self.labels.clone(),
            base_model: self.base_models.clone(),
            inflate: self.inflate,
            key: self.key.clone(),
            dtype: match &self.dtype {
                Some(name) => Dtype::parse(name)
                    .ok_or_else(|| CliError::usage(format!("--dtype: '{name}' is no kind of numbers"), "choose f32, f16 or int8"))?,
                None => Dtype::default(),
            },
            words: self.words.clone(),
        };
        let (source, progress) = (self.source.clone(), remote.reporter.clone());
        progress.step(&format!("reading {}", source.display()));
        let work = tokio::task::spawn_blocking(move || import::import(&source, &options, &out, &mut |_| ()));
        let done = work.await.map_err(|e| CliError::new(1, "internal", format!("the import failed: {e}"), "report this as a bug"))?;
        done.map_err(failed)
    }
}

/// The messages of an import say what to do with the file; the hints name our flags.
fn failed(error: import::Error) -> CliError {
    let message = error.to_string();
    match error {
        import::Error::RefusedGlobal { .. } => {
            CliError::new(4, "pickle_refused", message, "nothing in the file was executed, nothing was published")
        }
        import::Error::Corrupt(_) => CliError::new(5, "corrupt", message, "nothing was published"),
        import::Error::NoMatch(_) => CliError::new(1, "no_match", message, "name the architecture with --architecture if you know it"),
        import::Error::Invalid { .. } => CliError::usage(message, "`hub import --help` lists the flags"),
        import::Error::TooLarge(_) => CliError::new(1, "too_large", message, "convert the file to safetensors where it was made"),
        import::Error::Unsupported { .. } | import::Error::Io { .. } => {
            CliError::new(1, "source", message, "name a .safetensors, .pth or .pt file, or a folder with one")
        }
    }
}

fn converted(imported: &Imported, out: &std::path::Path) -> Output {
    let path = out.display().to_string();
    let json = json!({
        "architecture": imported.architecture, "num_classes": imported.num_classes, "num_features": imported.num_features,
        "parameters": imported.parameters, "tensors": imported.tensors, "mapping": imported.mapping, "form": imported.form,
        "source_sha256": imported.sha256, "notes": imported.notes, "path": path,
    });
    Output::new(path.clone(), json, path)
}
