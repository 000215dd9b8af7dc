//! `hub serve`: opens the house and keeps it open until it is told to stop.

use std::path::PathBuf;

use clap::Args;

use super::output::note;
use super::remote::placed;
use super::{Context, Output, Result};
use crate::app::App;
use crate::telemetry;

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Directory of the database and the blobs [env: HUB_DATA] [default: ~/.local/share/backbone-hub]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Keep the catalog in a PostgreSQL database that several hubs share [env: HUB_DB; passwords belong there]
    #[arg(long, value_name = "ADDRESS")]
    db: Option<String>,
    /// Keep blobs in an S3 bucket, such as s3://bucket/prefix; AWS_* variables say how to reach it [env: HUB_STORE]
    #[arg(long, value_name = "S3_URL")]
    store: Option<String>,
    /// Send clients to short-lived addresses of the S3 store for large files [env: HUB_REDIRECT_DOWNLOADS]
    #[arg(long)]
    redirect_downloads: bool,
    /// Address and port; port 0 picks a free one [env: HUB_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The address people reach this server at [env: HUB_PUBLIC_URL]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Further names this server answers to [env: HUB_TRUSTED_HOSTS, with commas]
    #[arg(long, value_name = "HOST")]
    trusted_host: Vec<String>,
    /// Let anybody create an account [env: HUB_OPEN_SIGNUP]
    #[arg(long)]
    open_signup: bool,
    /// Which pickles may be published: refuse, scan (those that name nothing but what builds data) or allow [env: HUB_PICKLE]
    #[arg(long, value_name = "LEVEL")]
    pickle: Option<String>,
    /// The same as --pickle allow
    #[arg(long, conflicts_with = "pickle", hide = true)]
    allow_pickle: bool,
    /// Another hub, such as https://huggingface.co: what is asked for and not here is fetched from there [env: HUB_UPSTREAM]
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Whose repos are fetched from there: names with commas, or * for all [env: HUB_UPSTREAM_NAMESPACES]
    #[arg(long, value_name = "NAMES")]
    upstream_namespaces: Option<String>,
    /// Worker processes for fine-tunes [env: HUB_WORKERS] [default: 1]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Threads for training and predictions [env: HUB_THREADS] [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// What to log: error, warn, info, debug, trace or a filter [env: HUB_LOG] [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// auto, text or json [env: HUB_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl ServeArgs {
    /// The settings these flags set.
    pub fn flags(&self) -> Vec<(&'static str, String)> {
        let hosts = Some(self.trusted_host.join(",")).filter(|hosts| !hosts.is_empty());
        let given = [
            ("data", self.data.as_ref().map(|path| path.to_string_lossy().into_owned())),
            ("db", self.db.clone()),
            ("store", self.store.clone()),
            ("redirect_downloads", self.redirect_downloads.then(|| "true".into())),
            ("listen", self.listen.clone()),
            ("public_url", self.public_url.clone()),
            ("trusted_hosts", hosts),
            ("open_signup", self.open_signup.then(|| "true".into())),
            ("pickle", self.pickle.clone().or_else(|| self.allow_pickle.then(|| "allow".into()))),
            ("upstream", self.upstream.clone()),
            ("upstream_namespaces", self.upstream_namespaces.clone()),
            ("workers", self.workers.map(|n| n.to_string())),
            ("threads", self.threads.map(|n| n.to_string())),
            ("log", self.log.clone()),
            ("log_format", self.log_format.clone()),
        ];
        given.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

pub fn run(_: ServeArgs, context: &Context) -> Result<Output> {
    placed(&context.config.data, "data directory", "HUB_DATA")?;
    let config = context.config.clone();
    telemetry::start(&config.log, &config.log_format);
    context.block_on(async {
        let app = App::build(config).await?;
        if let Some(first) = app.first_start() {
            let (admin, file) = (&first.admin, first.file.display());
            note(&format!("This hub is new. Its administrator is '{admin}', whose token is in the file {file} and nowhere else"));
        }
        note(&format!("listening on http://{}", app.address()));
        app.run().await?;
        Ok(Output::none())
    })?
}
