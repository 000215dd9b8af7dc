//! `hub dispatch`: hands a hub's queued jobs to Slurm or Kubernetes, which starts a worker for each.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::worker::read_token;
use super::{CliError, Context, Output, Result};
use crate::client::{self, Address, Client};
use crate::dispatch::{self, Engine, Kubernetes, KubernetesOptions, Launch, Slurm, SlurmOptions, Usual};
use crate::{config, telemetry};

/// Where a pod finds the API server it belongs to.
const IN_POD: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const API_IN_CLUSTER: &str = "https://kubernetes.default.svc";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Slurm,
    Kubernetes,
}

#[derive(Debug, Args)]
pub struct DispatchArgs {
    /// Who runs the workers
    #[arg(long, value_enum)]
    engine: Kind,
    /// The hub's address, as its workers reach it
    #[arg(long, value_name = "URL")]
    hub: String,
    /// The file with a worker's token; on Slurm where its machines find it too
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// Where the engine's machines find the worker's token, if elsewhere
    #[arg(long, value_name = "FILE")]
    worker_token_file: Option<PathBuf>,
    /// What the hub calls this cluster: letters, digits, '-', '_' and '.'
    #[arg(long, value_name = "NAME", default_value = "main")]
    place: String,
    /// Jobs the engine has at a time, waiting or running
    #[arg(long, value_name = "N", default_value_t = 200)]
    most: usize,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    every: u64,
    /// End after one look
    #[arg(long)]
    once: bool,
    /// Processors of a job whose recipe names no number of threads
    #[arg(long, value_name = "N", default_value_t = 2)]
    cpus: u32,
    /// Memory of a job whose needs are not known, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    memory: u64,
    /// Minutes of a job whose needs are not known
    #[arg(long, value_name = "MINUTES", default_value_t = 240)]
    time: u64,
    /// Cards (GPUs) of a job that takes long without one
    #[arg(long, value_name = "N", default_value_t = 0)]
    gpus: u32,
    /// How long it must take on processors, by its estimate, to be given them; 0: every fine-tune
    #[arg(long, value_name = "MINUTES", default_value_t = 30)]
    gpus_from: u64,
    #[command(flatten)]
    slurm: SlurmArgs,
    #[command(flatten)]
    kubernetes: KubernetesArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Slurm")]
struct SlurmArgs {
    #[arg(long, value_name = "NAME")]
    partition: Option<String>,
    /// Handed to sbatch as it is, may be given several times: --sbatch=--gres=gpu:1
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    sbatch: Vec<String>,
    /// This program on Slurm's machines [default: where it is here]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where workers keep inputs and work on Slurm's machines [default: as `hub worker` has it]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Where the workers' logs go, a file a job [default: /dev/null]
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Kubernetes")]
struct KubernetesArgs {
    /// The API server [default: the one of the pod this runs in]
    #[arg(long, value_name = "URL")]
    kube_server: Option<String>,
    /// The token for it [default: the pod's]
    #[arg(long, value_name = "FILE")]
    kube_token_file: Option<PathBuf>,
    /// Its certificate, PEM [default: the pod's]
    #[arg(long, value_name = "FILE")]
    kube_ca_file: Option<PathBuf>,
    #[arg(long, value_name = "NAME", default_value = "hub")]
    namespace: String,
    /// The container image with this program
    #[arg(long, value_name = "IMAGE", required_if_eq("engine", "kubernetes"))]
    image: Option<String>,
    /// The Secret with the worker's token, under the key 'token'
    #[arg(long, value_name = "NAME", default_value = "hub-worker")]
    secret: String,
    /// Kueue's local queue: jobs begin suspended, and Kueue admits them
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
}

impl DispatchArgs {
    fn usual(&self) -> Usual {
        let (memory_bytes, gpus_from_minutes) = (self.memory.saturating_mul(1 << 20), self.gpus_from);
        Usual { cpus: self.cpus.max(1), memory_bytes, minutes: self.time, gpus: self.gpus, gpus_from_minutes }
    }

    fn slurm(&self, context: &Context) -> Result<Slurm> {
        let own =
            || config::own_executable().map_err(|e| CliError::failed(format!("the own program was not found: {e}"), "give --program"));
        let program = self.slurm.program.clone().map_or_else(own, Ok)?;
        let token_file = self.worker_token_file.clone().unwrap_or_else(|| self.token_file.clone());
        let token_file = std::path::absolute(&token_file).unwrap_or(token_file);
        let (folder, insecure) = (self.slurm.folder.clone(), context.globals.insecure);
        let launch = Launch { program, hub: self.hub.clone(), token_file, folder, insecure };
        let logs = self.slurm.logs.clone();
        let (place, partition, more) = (self.place.clone(), self.slurm.partition.clone(), self.slurm.sbatch.clone());
        Ok(Slurm::new(SlurmOptions { place, partition, more, logs, launch, usual: self.usual() }))
    }

    fn kubernetes(&self, context: &Context) -> Result<Kubernetes> {
        let args = &self.kubernetes;
        let read = |given: &Option<PathBuf>, pods: &str| -> Result<Option<Vec<u8>>> {
            match given {
                Some(path) => {
                    std::fs::read(path).map(Some).map_err(|e| CliError::failed(format!("{}: {e}", path.display()), "check the path"))
                }
                // Elsewhere than in a pod there is none.
                None => Ok(std::fs::read(format!("{IN_POD}/{pods}")).ok()),
            }
        };
        let token = read(&args.kube_token_file, "token")?.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        let options = KubernetesOptions {
            place: self.place.clone(),
            server: args.kube_server.clone().unwrap_or_else(|| API_IN_CLUSTER.into()),
            token,
            ca: read(&args.kube_ca_file, "ca.crt")?,
            namespace: args.namespace.clone(),
            image: args.image.clone().unwrap_or_default(),
            secret: args.secret.clone(),
            queue: args.queue.clone(),
            hub: self.hub.clone(),
            insecure: context.globals.insecure,
            usual: self.usual(),
        };
        Kubernetes::new(options).map_err(failed)
    }
}

pub fn run(args: DispatchArgs, context: &Context) -> Result<Output> {
    telemetry::start(&context.config.log, &context.config.log_format);
    let refused = |e: client::Error| CliError::new(u8::try_from(e.exit_code()).unwrap_or(1), e.code(), e.to_string(), e.hint());
    let options = client::Options { token: Some(read_token(&args.token_file)?), insecure: context.globals.insecure, sink: None };
    let client = Client::new(Address::parse(&args.hub).map_err(refused)?, options).map_err(refused)?;
    let engine: Box<dyn Engine> = match args.engine {
        Kind::Slurm => Box::new(args.slurm(context)?),
        Kind::Kubernetes => Box::new(args.kubernetes(context)?),
    };
    let every = Duration::from_secs(args.every.max(1));
    let options = dispatch::Options { place: args.place.clone(), most: args.most, every, once: args.once };
    let done = context.block_on(async {
        let stopping = crate::app::told_to_stop()?;
        dispatch::run(&client, engine.as_ref(), &options, stopping).await.map_err(failed)
    })??;
    let dispatch::Round { submitted, behind, cancelled, lost, ended } = done;
    let text = format!("handed over {submitted}, and {behind} behind others; {lost} were lost; cancelled {cancelled}; {ended} have ended");
    let json = json!({ "submitted": submitted, "behind": behind, "lost": lost, "cancelled": cancelled, "ended": ended });
    Ok(Output::new(text, json, submitted.to_string()))
}

fn failed(error: dispatch::Error) -> CliError {
    let hint = error.hint();
    match error {
        dispatch::Error::Hub(error) => CliError::new(u8::try_from(error.exit_code()).unwrap_or(1), error.code(), error.to_string(), hint),
        dispatch::Error::Engine(message) => CliError::new(1, "engine", message, hint),
    }
}
