//! `hub finetune`: a base model and a data set become a new model, on the server.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Map, Value, json};

use super::output::{CliError, Output, Result};
use super::remote::{Remote, Target};
use super::sweep::SweepArgs;
use super::table::facts;
use super::{publish, recommend, watch};
use crate::client::{Client, FolderRules, Publication, hash_files};
use crate::domain::human;
use crate::domain::modality::Modality;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::recipe::{Asked, Recipe, Strategy};
use crate::domain::revision::Revision;
use crate::domain::work::AUTO;
use crate::wire::jobs::{CreateFineTune, Expected, Job, ReplayFineTune};

/// Fine-tune a model on a data set, on the server
///
/// The server finds the best new head on the backbone of the base, trains more of it where that pays (or what --strategy
/// says) and publishes the result with its lineage. A data set that is a path here is published first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub finetune --base mobilenetv2_100 --dataset acme/flowers --name acme/flowers-net --watch
  hub finetune --base resnet50@2 --dataset ./flowers.zip --name acme/net --strategy full --epochs 20 --frozen-stages 2
  hub finetune --base resnet18 --dataset acme/flowers --name acme/net --set augment.horizontal_flip=false --set optimizer=adamw
  hub finetune --base auto --dataset acme/flowers --name acme/net --watch
  hub finetune --base resnet18 --dataset acme/flowers --name acme/net --sweep lr=1e-4,3e-4 --sweep epochs=5,10 --watch")]
pub struct Finetune {
    /// The model to start from: NAME[@REVISION]; or auto: the first that `hub recommend` would name
    #[arg(long, value_name = "NAME", required_unless_present = "replay")]
    base: Option<String>,
    /// With --base auto: let the best three race before one is chosen
    #[arg(long)]
    race: bool,
    /// A data set on the server, or a folder or archive here
    #[arg(long, value_name = "NAME|PATH", required_unless_present = "replay")]
    dataset: Option<String>,
    /// Where to publish the result: namespace/name
    #[arg(long)]
    name: String,
    /// The result is only visible to its namespace
    #[arg(long)]
    private: bool,
    /// Run the recipe of this published fine-tune again, and say whether the weights are the same
    #[arg(long, value_name = "NAME@VERSION", conflicts_with_all = ["base", "dataset"])]
    replay: Option<String>,
    /// Only say what it would cost
    #[arg(long)]
    dry_run: bool,
    /// Follow the job to its end
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    sweep: SweepArgs,
}

/// What is left out keeps its default.
#[derive(Debug, Args)]
#[command(next_help_heading = "Recipe")]
struct RecipeArgs {
    /// How much learns: auto finds the best head first and goes on where that pays; head stops there; lp-ft, gradual and lora
    /// (adapters, for transformers) start from it; full, freeze and scratch from a new head; contrast is for a few examples
    #[arg(long, value_parser = PossibleValuesParser::new(Strategy::ALL.map(Strategy::as_str)).try_map(strategy))]
    strategy: Option<Strategy>,
    /// Times each image is seen
    #[arg(long)]
    epochs: Option<u32>,
    /// Learning rate of the backbone
    #[arg(long)]
    lr: Option<f64>,
    /// Learning rate of the head
    #[arg(long)]
    head_lr: Option<f64>,
    /// Look for the backbone's rate before training, on copies of the weights; the head's keeps its ratio to it
    #[arg(long)]
    find_lr: bool,
    /// Images per step
    #[arg(long)]
    batch_size: Option<usize>,
    /// Stages kept as they are, from the input (the stem is the first)
    #[arg(long, value_name = "COUNT")]
    frozen_stages: Option<usize>,
    /// Side of the input in pixels
    #[arg(long, value_name = "PIXELS")]
    image_size: Option<usize>,
    /// The same seed gives the same weights
    #[arg(long)]
    seed: Option<u64>,
    /// Start from random weights, to see what the pretrained ones are worth
    #[arg(long)]
    from_scratch: bool,
    /// Any other setting of the recipe, such as augment.views=2 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Finetune {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let recipe = self.recipe.asked()?;
        let sweep = self.sweep.read()?;
        if let Some(sweep) = &sweep {
            let usual = recipe.over(Modality::default()).and_then(|recipe| sweep.trials(&recipe));
            usual.map_err(|e| CliError::usage(e.to_string(), "docs/FINETUNE.md says how sweeps are written"))?;
        }
        let client = remote.client()?;
        if let Some(of) = &self.replay {
            let body = ReplayFineTune { model: of.clone(), name: self.name.clone() };
            let job = client.replay_finetune(&body).await?;
            return if self.watch { watch::to_the_end(remote, &client, &job.id, 0).await } else { Ok(queued(&client, job)) };
        }
        let base = self.base.as_deref().unwrap_or_default();
        if self.race && base != AUTO {
            return Err(CliError::usage("--race chooses between bases, and one is named", "leave --race out, or write --base auto"));
        }
        let base = match base {
            AUTO => AUTO.to_owned(),
            name => Target::parse(name, false).map(|base| named(&base.id, &base.revision))?,
        };
        let name = Target::parse_repo(&self.name, false)?.id;
        let dataset = self.dataset(remote, &client, &name).await?;
        let body = CreateFineTune {
            base,
            race: self.race,
            dataset: named(&dataset.id, &dataset.revision),
            name: name.to_string(),
            private: self.private,
            recipe,
            sweep,
        };
        if self.dry_run {
            return Ok(expected(&client.estimate_finetune(&body).await?));
        }
        let job = client.create_finetune(&body).await?;
        if self.watch && self.base.as_deref() == Some(AUTO) {
            let (chose, next) = recommend::follow(remote, &client, &job.id).await?;
            let answer = recommend::answer(&client, &chose).await?;
            remote.reporter.note(&recommend::in_words(&answer));
            let lost = || CliError::failed("no fine-tune follows the choice", "name its first with --base");
            return watch::to_the_end(remote, &client, &next.ok_or_else(lost)?, 0).await;
        }
        if self.watch {
            return watch::to_the_end(remote, &client, &job.id, 0).await;
        }
        Ok(queued(&client, job))
    }

    /// The data set's name; a path is published first, beside where the result will be.
    async fn dataset(&self, remote: &Remote, client: &Client, result: &RepoId) -> Result<Target> {
        let asked = self.dataset.as_deref().unwrap_or_default();
        let path = PathBuf::from(asked);
        if !path.exists() || asked.starts_with("dataset:") {
            let looks_like_path = asked.starts_with(['.', '/', '~']) || asked.matches('/').count() > 1;
            if looks_like_path {
                return Err(CliError::usage(
                    format!("{asked} does not exist"),
                    "name a folder or archive here, or a data set on the server",
                ));
            }
            return Target::parse(asked, true);
        }
        let id = repo_for(&path, result)?;
        remote.reporter.note(&format!("publishing {} as the data set {id}", path.display()));
        let folder = publish::read(&path, RepoKind::Dataset, None, &FolderRules::everything(), remote)?;
        let (folder, _archive) = publish::pack_if_many(folder, RepoKind::Dataset, false, remote).await?;
        let manifest = hash_files(&folder, remote.cache().ok().as_ref(), &remote.reporter.sink()).await?;
        let message = format!("For the fine-tune {result}");
        let publication =
            Publication { kind: RepoKind::Dataset, id: id.clone(), message, branch: None, tags: Vec::new(), private: self.private };
        let published = client.publish(&folder, &manifest, &publication).await?;
        published.warnings.iter().for_each(|warning| remote.reporter.note(&format!("warning: {warning}")));
        Ok(Target { kind: RepoKind::Dataset, id, revision: Revision::Number(published.version.number) })
    }
}

/// `acme/flowers` for `./Flowers 2.tar.gz` and a result in `acme`.
fn repo_for(path: &Path, result: &RepoId) -> Result<RepoId> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let name = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let endings = [".tar.gz", ".tar.zst", ".tgz", ".tar", ".zip"];
    let stem = endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    let words: Vec<_> =
        stem.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.')).filter(|word| !word.is_empty()).collect();
    let clean = words.join("-");
    RepoId::from_parts(result.namespace().as_str(), &clean).map_err(|e| {
        CliError::usage(
            format!("'{stem}' cannot name a data set: {e}"),
            "publish it with `hub publish PATH NAME --dataset`, then name it here",
        )
    })
}

fn named(id: &RepoId, revision: &Revision) -> String {
    format!("{id}@{revision}")
}

fn expected(cost: &Expected) -> Output {
    let human = facts(&[
        ("trials", if cost.trials > 1 { cost.trials.to_string() } else { String::new() }),
        ("jobs", if cost.runs > 1 { cost.runs.to_string() } else { String::new() }),
        ("steps", cost.steps.to_string()),
        ("memory", human::bytes(cost.memory_bytes)),
        ("disk", human::bytes(cost.scratch_bytes)),
        ("time", format!("at most {}", human::duration(cost.seconds_at_most))),
    ]);
    let human = if cost.sentence.is_empty() { human } else { format!("{human}\n\n{}", cost.sentence) };
    Output::new(human, json!(cost), format!("{:.0}", cost.seconds_at_most))
}

fn queued(client: &Client, job: Job) -> Output {
    let human = format!(
        "Queued job {} for {}\n{}\nFollow it with: hub jobs watch {}",
        job.id,
        if job.name.is_empty() { &job.title } else { &job.name },
        client.address().job_page(&job.id),
        job.id
    );
    let quiet = job.id.clone();
    Output::new(human, json!(job), quiet)
}

impl RecipeArgs {
    /// What `--set` names, then the flags; checked before anything is sent. All else follows the data set's items.
    fn asked(&self) -> Result<Asked> {
        let known = serde_json::to_value(Recipe::default()).unwrap_or_default();
        let mut settings = Map::new();
        for pair in &self.set {
            set(&mut settings, &known, pair)?;
        }
        let flags = [
            ("strategy", self.strategy.map(|strategy| json!(strategy))),
            ("epochs", self.epochs.map(Value::from)),
            ("lr", self.lr.map(Value::from)),
            ("head_lr", self.head_lr.map(Value::from)),
            ("batch_size", self.batch_size.map(Value::from)),
            ("frozen_stages", self.frozen_stages.map(Value::from)),
            ("image_size", self.image_size.map(Value::from)),
            ("seed", self.seed.map(Value::from)),
            ("from_scratch", self.from_scratch.then_some(Value::from(true))),
            ("find_lr", self.find_lr.then_some(Value::from(true))),
        ];
        settings.extend(flags.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        let wrong = |message: String| CliError::usage(message, "docs/FINETUNE.md lists every setting with its bounds");
        let asked = Asked::new(settings).map_err(|e| wrong(format!("the recipe is refused: {e}")))?;
        asked.over(Modality::default()).map_err(|e| wrong(e.to_string()))?;
        Ok(asked)
    }
}

fn strategy(word: String) -> std::result::Result<Strategy, String> {
    Strategy::parse(&word).ok_or_else(|| format!("there is no strategy '{word}'"))
}

/// Adds `augment.views=2` to the settings; a key that no recipe has is refused with those that there are.
fn set(settings: &mut Map<String, Value>, known: &Value, pair: &str) -> Result<()> {
    let (key, text) = pair.split_once('=').ok_or_else(|| CliError::usage(format!("--set {pair}: no '='"), "write --set KEY=VALUE"))?;
    let mut place = known;
    for part in key.split('.') {
        let Some(next) = place.get(part) else {
            let names: Vec<String> = place.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default();
            return Err(CliError::usage(
                format!("--set {pair}: there is no setting '{part}'"),
                format!("settings are {}", names.join(", ")),
            ));
        };
        place = next;
    }
    // What does not read as JSON is a word, such as adamw.
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    match key.split_once('.') {
        None => drop(settings.insert(key.to_owned(), value)),
        Some((group, name)) => {
            let group = settings.entry(group).or_insert_with(|| Map::new().into());
            if let Some(group) = group.as_object_mut() {
                group.insert(name.to_owned(), value);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(set: &[&str], epochs: Option<u32>) -> Result<Recipe> {
        let args = RecipeArgs {
            strategy: Some(Strategy::Full),
            epochs,
            lr: None,
            head_lr: None,
            find_lr: true,
            batch_size: None,
            frozen_stages: None,
            image_size: None,
            seed: Some(7),
            from_scratch: false,
            set: set.iter().map(|text| (*text).to_owned()).collect(),
        };
        let recipe = args.asked()?.over(Modality::default());
        recipe.map_err(|e| CliError::usage(e.to_string(), ""))
    }

    #[test]
    fn settings_and_flags_make_a_recipe() {
        let made = recipe(&["augment.views=2", "optimizer=adamw", "epochs=3"], Some(4)).unwrap();
        assert_eq!((made.augment.views, made.epochs, made.seed, made.find_lr), (2, 4, 7, true));
        assert_eq!(made.optimizer, crate::domain::recipe::Optimizer::Adamw);
    }

    #[test]
    fn what_cannot_be_a_recipe_is_refused_here() {
        let refused = |set: &[&str], epochs| recipe(set, epochs).unwrap_err();
        assert!(refused(&["speed=9"], None).message.contains("no setting 'speed'"));
        assert!(refused(&["speed=9"], None).hint.contains("batch_size"));
        assert!(refused(&["epochs"], None).message.contains("no '='"));
        assert!(refused(&["lr=fast"], None).message.contains("refused"));
        assert!(refused(&[], Some(1_000_000_000)).message.contains("epochs"));
        assert_eq!(refused(&["lr=0"], None).exit_code, 2);
    }

    #[test]
    fn a_path_names_its_data_set() {
        let result = RepoId::parse("acme/net").unwrap();
        let name = |path: &str| repo_for(Path::new(path), &result).unwrap().to_string();
        assert_eq!(name("/x/fashion_mnist_4k.zip"), "acme/fashion_mnist_4k");
        assert_eq!(name("/x/My Flowers (2).tar.gz"), "acme/My-Flowers-2");
        assert!(repo_for(Path::new("/x/..."), &result).is_err());
    }
}
