//! One configuration for server, worker and client: each setting has a default, which a file, the environment
//! (`HUB_*`) and a flag override in that order. `hub config` prints all of it and where each value came from.
//! This is the only place that reads the environment.

mod file;
mod hugging_face;
mod library;
mod places;
mod reader;
mod settings;
mod store;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::ToSocketAddrs as _;
use std::path::{Path, PathBuf};

pub use hugging_face::HuggingFace;
pub use library::Library;
use places::Places;
use reader::Reader;
pub use settings::SETTINGS;
pub use store::{AwsVariables, Bucket};

use crate::domain::data_limits::DataLimits;
use crate::domain::database;
use crate::domain::network::Network;
use crate::domain::quotas::Quotas;

/// Where a value came from; later ones win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Default,
    File,
    Environment,
    Flag,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Default => "default",
            Source::File => "file",
            Source::Environment => "environment",
            Source::Flag => "flag",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the configuration file {path}: {problem}")]
    File { path: String, problem: String },
    #[error("the setting '{key}' ({from}) is '{value}', but should be {expected}")]
    Value { key: String, value: String, from: &'static str, expected: &'static str },
}

/// The resolved configuration. Typed fields are for use, [`Config::entries`] is for printing.
#[derive(Debug, Clone)]
pub struct Config {
    pub data: PathBuf,
    /// The address of a database server; `None`: the database is a file in the data directory.
    pub db: Option<String>,
    /// `None`: blobs lie in the data directory.
    pub store: Option<Bucket>,
    pub redirect_downloads: bool,
    pub listen: String,
    pub metrics_listen: Option<String>,
    /// Without a slash at the end.
    pub public_url: Option<String>,
    pub trusted_hosts: Vec<String>,
    pub trusted_proxies: Vec<Network>,
    /// Each as browsers write it, or `*`.
    pub cors_origins: Vec<String>,
    pub open_signup: bool,
    /// `refuse`, `scan` or `allow`.
    pub pickle: String,
    pub max_file_bytes: u64,
    /// What data sets may ask.
    pub data_limits: DataLimits,
    pub xet: bool,
    pub patience_seconds: u64,
    pub max_connections: usize,
    pub max_connections_per_peer: usize,
    /// 0: no limit.
    pub max_requests_per_minute: u32,
    pub max_jobs_per_user: u64,
    pub quotas: Quotas,
    /// 0: never.
    pub gc_interval_ms: i64,
    pub gc_grace_ms: i64,
    /// 0: never.
    pub scrub_period_ms: i64,
    /// 0: for ever.
    pub audit_keep_ms: i64,
    /// Beside the open internet.
    pub webhook_networks: Vec<Network>,
    /// The hub behind this one.
    pub upstream: Option<String>,
    pub upstream_namespaces: Vec<String>,
    pub upstream_token: Option<String>,
    /// 0: never.
    pub upstream_refresh_ms: i64,
    /// What is known before it is here.
    pub library: Library,
    /// Hosts of the proxies that the environment names.
    pub proxies: Vec<String>,
    /// Where `hub import hf://` looks, and as whom: `HF_ENDPOINT`, `HF_TOKEN`.
    pub hugging_face: HuggingFace,
    pub workers: usize,
    /// auto, require or off.
    pub confinement: String,
    pub frozen_cache_bytes: u64,
    /// At least 1.
    pub threads: usize,
    /// auto, onednn or rust.
    pub backend: String,
    /// auto, cpu, cuda or cuda:N.
    pub device: String,
    pub log: String,
    pub log_format: String,
    pub server: String,
    pub token: Option<String>,
    /// Empty where neither a setting nor a home says where it is; so are the other folders.
    pub cache: PathBuf,
    /// The cache of `huggingface_hub`.
    pub hf_cache: PathBuf,
    /// Where `hub login` keeps its token and a user's own `hub.toml` may stand.
    pub config_dir: PathBuf,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// People asked for no colours (`NO_COLOR`).
    pub no_color: bool,
    /// How to reach the S3 store: the usual `AWS_*` variables.
    pub aws: AwsVariables,
    /// What of the environment a worker process inherits.
    passed_on: Vec<(String, String)>,
    values: BTreeMap<&'static str, (String, Source)>,
}

/// Variables a worker process needs beside its settings and the store's; nothing that could hold a secret.
const PASSED_ON: &[&str] = &["PATH", "LANG", "HOME", "TMPDIR", "TZ"];

impl Config {
    /// Resolves the configuration of this process. `flags` are (key, value) pairs from the command line;
    /// `file` names a configuration file that must exist.
    pub fn load(flags: &[(&'static str, String)], file: Option<&Path>) -> Result<Config, Error> {
        let texts = |(key, value): (OsString, OsString)| Some((key.into_string().ok()?, value.into_string().ok()?));
        let environment: BTreeMap<String, String> = std::env::vars_os().filter_map(texts).collect();
        Config::resolve(flags, file, &environment)
    }

    fn resolve(flags: &[(&'static str, String)], file: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<Config, Error> {
        let mut values: BTreeMap<&'static str, (String, Source)> =
            SETTINGS.iter().map(|(key, default, _)| (*key, (default.to_string(), Source::Default))).collect();
        for (key, ..) in SETTINGS {
            let name = format!("HUB_{}", key.to_uppercase());
            if let Some(value) = environment.get(&name).filter(|v| !v.is_empty()) {
                values.insert(key, (value.clone(), Source::Environment));
            }
        }
        for (key, value) in flags {
            values.insert(key, (value.clone(), Source::Flag));
        }
        let places = Places { environment };
        for (key, path) in places.defaults() {
            if values[key].1 == Source::Default {
                let path = path.unwrap_or_default().to_string_lossy().into_owned();
                values.insert(key, (path, Source::Default));
            }
        }
        let config_dir = places.config_dir();
        let file = file.map(PathBuf::from).or_else(|| places.file(Path::new(&values["data"].0), &config_dir));
        if let Some(path) = &file {
            for (key, value) in file::read(path)? {
                if values[key].1 == Source::Default {
                    values.insert(key, (value, Source::File));
                }
            }
        }
        let mut config = Config::typed(values, config_dir, file)?;
        config.no_color = environment.get("NO_COLOR").is_some_and(|v| !v.is_empty());
        config.aws = AwsVariables::of(environment);
        config.hugging_face = HuggingFace::of(environment);
        config.proxies = hugging_face::proxies(environment);
        config.passed_on = PASSED_ON.iter().filter_map(|key| Some((key.to_string(), environment.get(*key)?.clone()))).collect();
        Ok(config)
    }

    fn typed(values: BTreeMap<&'static str, (String, Source)>, config_dir: PathBuf, file: Option<PathBuf>) -> Result<Config, Error> {
        let read = Reader { values: &values };
        let threads = read.number("threads")?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Config {
            data: read.path("data"),
            db: read.database("db")?,
            store: read.bucket("store")?,
            redirect_downloads: read.flag("redirect_downloads")?,
            listen: read.checked("listen", "an address and a port, such as 127.0.0.1:8080", |v| v.to_socket_addrs().is_ok())?,
            metrics_listen: read.address("metrics_listen")?,
            public_url: read.url("public_url")?,
            trusted_hosts: read.list("trusted_hosts").iter().map(|host| host.to_lowercase()).collect(),
            trusted_proxies: read.networks("trusted_proxies")?,
            cors_origins: read.origins("cors_origins")?,
            open_signup: read.flag("open_signup")?,
            pickle: read.pickle()?,
            max_file_bytes: read.number("max_file_bytes")?,
            data_limits: read.data_limits()?,
            xet: read.flag("xet")?,
            patience_seconds: read.number("patience_seconds")?.max(1),
            max_connections: read.size("max_connections")?.max(1),
            max_connections_per_peer: read.size("max_connections_per_peer")?,
            max_requests_per_minute: u32::try_from(read.number("max_requests_per_minute")?).unwrap_or(u32::MAX),
            max_jobs_per_user: read.number("max_jobs_per_user")?,
            quotas: read.quotas()?,
            gc_interval_ms: read.span("gc_interval")?,
            gc_grace_ms: read.span("gc_grace")?,
            scrub_period_ms: read.span("scrub_period")?,
            audit_keep_ms: read.span("audit_keep")?,
            webhook_networks: read.networks("webhook_networks")?,
            upstream: Some(read.text("upstream").to_owned()).filter(|url| !url.is_empty()),
            upstream_namespaces: read.list("upstream_namespaces"),
            upstream_token: Some(read.text("upstream_token").trim().to_owned()).filter(|token| !token.is_empty()),
            upstream_refresh_ms: read.span("upstream_refresh")?,
            library: Library::read(&read)?,
            proxies: Vec::new(),
            hugging_face: HuggingFace::default(),
            workers: read.number("workers")?.min(64) as usize,
            confinement: read.checked("confinement", "auto, require or off", |v| ["auto", "require", "off"].contains(&v))?,
            frozen_cache_bytes: read.number("frozen_cache_bytes")?,
            threads: if threads == 0 { cores } else { threads.min(1024) as usize },
            backend: read.checked("backend", "auto, onednn or rust", |v| ["auto", "onednn", "rust"].contains(&v))?,
            device: read.checked("device", "auto, cpu, cuda or cuda:N", is_device)?,
            log: read.text("log").into(),
            log_format: read.checked("log_format", "auto, text or json", |v| ["auto", "text", "json"].contains(&v))?,
            // The client reads it, also without a scheme, and says what is wrong.
            server: read.text("server").to_owned(),
            token: Some(read.text("token").trim().to_owned()).filter(|t| !t.is_empty()),
            cache: read.path("cache"),
            hf_cache: read.path("hf_cache"),
            config_dir,
            file,
            no_color: false,
            aws: AwsVariables::default(),
            passed_on: Vec::new(),
            values,
        })
    }

    /// Key, value, where from, meaning; tokens and passwords are not shown.
    pub fn entries(&self) -> Vec<(&'static str, String, Source, &'static str)> {
        let entry = |(key, _, meaning): &(&'static str, &'static str, &'static str)| {
            let (value, from) = &self.values[key];
            let shown = match *key {
                _ if value.is_empty() => String::new(),
                key if key.ends_with("token") => "hub_...".into(),
                "db" => database::shown(value),
                _ => value.clone(),
            };
            (*key, shown, *from, *meaning)
        };
        SETTINGS.iter().map(entry).collect()
    }

    /// Where a setting came from.
    pub fn source(&self, key: &str) -> Source {
        self.values.get(key).map_or(Source::Default, |(_, from)| *from)
    }

    /// What a worker process is given: the settings that concern it, the way into the store if that is elsewhere, and
    /// no token of the hub.
    pub fn worker_environment(&self, remote_store: bool) -> Vec<(String, String)> {
        let keys = [
            "data",
            "db",
            "store",
            "confinement",
            "frozen_cache_bytes",
            "threads",
            "backend",
            "device",
            "log",
            "log_format",
            "max_file_bytes",
        ];
        let own = keys
            .iter()
            .chain(&DataLimits::SETTINGS)
            .chain(&Quotas::SETTINGS)
            .map(|key| (format!("HUB_{}", key.to_uppercase()), self.values[key].0.clone()));
        let own = own.chain([("HUB_PICKLE".into(), self.pickle.clone())]);
        let keys = self.aws.0.iter().filter(|_| remote_store).cloned();
        own.chain(keys).chain(self.passed_on.iter().cloned()).collect()
    }
}

fn is_device(text: &str) -> bool {
    let card = text.strip_prefix("cuda:").is_some_and(|number| number.parse::<u16>().is_ok());
    card || ["auto", "cpu", "cuda"].contains(&text)
}

/// The path of the running program, for starting it again as a worker.
pub fn own_executable() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn flag_beats_environment_beats_file_beats_default() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("hub.toml"), "workers = 3\nopen_signup = true\nlog = 'debug'\n").unwrap();
        let data = dir.path().to_str().unwrap();
        let env = environment(&[("HUB_DATA", data), ("HUB_LOG", "warn"), ("HUB_LISTEN", "127.0.0.1:1")]);
        let config = Config::resolve(&[("listen", "127.0.0.1:0".into())], None, &env).unwrap();
        assert_eq!((config.listen.as_str(), config.log.as_str(), config.workers), ("127.0.0.1:0", "warn", 3));
        let from = |key| config.source(key);
        assert_eq!([from("listen"), from("log"), from("workers")], [Source::Flag, Source::Environment, Source::File]);
        assert_eq!((from("cache"), config.open_signup, config.pickle.as_str()), (Source::Default, true, "scan"));
    }

    #[test]
    fn wrong_values_say_where_they_came_from() {
        let wrong = |pairs: &[(&str, &str)]| Config::resolve(&[], None, &environment(pairs)).unwrap_err().to_string();
        assert!(wrong(&[("HUB_WORKERS", "many")]).contains("'workers' (environment) is 'many'"));
        assert!(wrong(&[("HUB_PUBLIC_URL", "ftp://x")]).contains("public_url"));
        assert!(wrong(&[("HUB_LISTEN", "nonsense")]).contains("an address and a port"));
        assert!(wrong(&[("HUB_BACKEND", "cuda")]).contains("auto, onednn or rust"));
        assert!(
            wrong(&[("HUB_DEVICE", "gpu")]).contains("auto, cpu, cuda or cuda:N") && wrong(&[("HUB_DEVICE", "cuda:x")]).contains("cuda:N")
        );
        assert!(wrong(&[("HUB_GC_GRACE", "24")]).contains("a length of time"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.toml");
        std::fs::write(&file, "wrokers = 1\n").unwrap();
        let error = Config::resolve(&[], Some(&file), &environment(&[])).unwrap_err().to_string();
        assert!(error.contains("'wrokers' is no setting"), "{error}");
        assert!(Config::resolve(&[], Some(&dir.path().join("none.toml")), &environment(&[])).is_err());
    }

    #[test]
    fn a_token_is_not_printed_and_not_given_to_workers() {
        let config = Config::resolve(&[], None, &environment(&[("HUB_TOKEN", "hub_secret"), ("HOME", "/h")])).unwrap();
        assert_eq!(config.token.as_deref(), Some("hub_secret"));
        assert!(!format!("{:?}", config.entries()).contains("secret"));
        assert!(config.worker_environment(true).iter().all(|(_, value)| !value.contains("secret")));
        assert_eq!(config.data, Path::new("/h/.local/share/backbone-hub"));
        assert_eq!((config.store, config.redirect_downloads), (None, false));
    }

    #[test]
    fn workers_get_the_way_into_the_store_and_nobody_sees_its_keys() {
        let variables = environment(&[("HUB_STORE", "s3://models/hub"), ("AWS_SECRET_ACCESS_KEY", "hidden"), ("HOME", "/h")]);
        let config = Config::resolve(&[], None, &variables).unwrap();
        let given = config.worker_environment(true);
        assert!(given.contains(&("HUB_STORE".into(), "s3://models/hub".into())));
        let key = ("AWS_SECRET_ACCESS_KEY".into(), "hidden".into());
        assert!(given.contains(&key) && !config.worker_environment(false).contains(&key));
        assert!(!format!("{config:?} {:?}", config.entries()).contains("hidden"));
        assert!(Config::resolve(&[("store", "s3://key:secret@models".into())], None, &variables).is_err());
    }
}
