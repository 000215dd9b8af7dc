//! The only place that knows the parts: configuration -> database and blobs -> service -> server and workers;
//! and how all of it stops.

mod administration;
pub mod confinement;
mod database;
mod error;
mod housekeeping;
mod library;
mod limits;
mod lock;
mod modes;
mod names;
mod soundness;
mod store;
mod supervisor;
pub mod upkeep;
mod work;

use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
pub use administration::{Administration, Ailment};
pub use database::migrate_database;
pub use error::{Error, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
pub use upkeep::restore;
pub use work::{Far, Manner, note_out_of_memory, told_to_stop, work};

use crate::config::Config;
use crate::confine;
use crate::db;
use crate::domain::secret;
use crate::http::{self, Site};
use crate::service::repos::mirror::Mirroring;
use crate::service::{Pickles, Policy, Service};
use crate::telemetry::Metrics;
/// How long a worker works, and how its job ended.
pub use crate::worker::{Outcome, Until};

/// The file the first administrator's token is written to.
pub const ADMIN_TOKEN_FILE: &str = "admin-token";
const DATABASE_FILE: &str = "hub.db";
/// Repos after which it is said how far the tables of lists and searches are.
const TOLD_EACH: usize = 50_000;
/// Kept connections of a small server; each thread serves thousands.
const MAX_HTTP_THREADS: usize = 8;

/// Opens the database and the blobs of a data directory. Several processes may (the server and its workers).
pub async fn open_service(config: &Config) -> Result<Service> {
    modes::make_private();
    let data = &config.data;
    std::fs::create_dir_all(data).map_err(|e| Error::data(data, &e))?;
    let db = database::open(config).await?;
    let blobs = store::open(config)?;
    let policy = Policy {
        open_signup: config.open_signup,
        pickles: Pickles::parse(&config.pickle).unwrap_or(Pickles::Scan),
        redirect_downloads: config.redirect_downloads,
        max_file_bytes: config.max_file_bytes,
        data_limits: config.data_limits,
        xet: config.xet,
        quotas: config.quotas,
        max_jobs_per_user: config.max_jobs_per_user,
        max_job_bytes: confine::limits::machine_memory_bytes() / 10 * 8,
        webhook_networks: config.webhook_networks.clone(),
        ..Policy::default()
    };
    let clock = database::clock(&db).await?;
    let service = Service::new(db, blobs, clock, policy).mirroring(mirroring(config)?);
    soundness::examine_small(&service, data, config.db.is_some()).await?;
    derive(&service).await?;
    Ok(service.checked_by(confinement::checks(config)?).signing_from(data).await?)
}

/// After an upgrade: makes what lists and searches read from what the catalog holds.
async fn derive(service: &Service) -> Result<()> {
    if service.is_derived().await? {
        return Ok(());
    }
    let (begun, mut done, mut told) = (Instant::now(), 0, 0);
    loop {
        let some = service.derive_some().await?;
        if some == 0 {
            break;
        }
        done += some;
        if done >= told + TOLD_EACH {
            told = done;
            tracing::info!(repos = done, "making the tables of lists and searches");
        }
    }
    if done > 0 {
        tracing::info!(repos = done, ms = begun.elapsed().as_millis(), "the tables of lists and searches were made");
    }
    Ok(())
}

/// The hub behind this one, if there is one.
fn mirroring(config: &Config) -> Result<Option<Mirroring>> {
    let Some(address) = &config.upstream else { return Ok(None) };
    let mirroring =
        Mirroring::open(address, config.upstream_token.as_deref(), &config.proxies, Duration::from_secs(config.patience_seconds))?;
    let mirroring = mirroring.of(&config.upstream_namespaces, config.upstream_refresh_ms, config.data.join("mirror"));
    if config.upstream_namespaces.is_empty() {
        tracing::warn!("nothing is fetched from the upstream: 'upstream_namespaces' names nobody");
    }
    Ok(Some(mirroring))
}

/// A server that listens, and has not yet begun to serve.
pub struct App {
    config: Config,
    service: Service,
    listener: TcpListener,
    /// For metrics alone.
    metrics: Option<TcpListener>,
    address: SocketAddr,
    first_start: Option<FirstStart>,
    stop: StopSignals,
    /// Held as long as the server lives.
    _lock: lock::Lock,
}

/// What the very first start made.
#[derive(Debug, Clone)]
pub struct FirstStart {
    pub admin: String,
    /// Where the administrator's token was written; it is nowhere else.
    pub file: PathBuf,
}

impl App {
    /// Takes the data directory for itself, opens it, makes the administrator on the first start, and listens.
    pub async fn build(config: Config) -> Result<App> {
        names::check(&config)?;
        limits::huge_pages(false);
        limits::ignore_file_size_signal();
        modes::make_private();
        let stop = StopSignals::catch()?;
        std::fs::create_dir_all(&config.data).map_err(|e| Error::data(&config.data, &e))?;
        let lock = lock::Lock::take(&config.data)?;
        confinement::agree(&config)?;
        modes::tighten_and_tell(&config.data);
        let service = open_service(&config).await?.on_device(&config.device)?.keeping_lists_in(config.data.join("word-lists"));
        store::greet(&service).await?;
        let service = library::open(service, &config).await?;
        names::tell_of_clashes(&service, config.open_signup).await?;
        let first_start = match service.first_start().await? {
            None => None,
            Some(made) => {
                // In the form that every client takes.
                let file = write_token(&config.data, &secret::alias(&made.token)).map_err(|e| Error::data(&config.data, &e))?;
                Some(FirstStart { admin: made.admin.to_string(), file })
            }
        };
        let listener = listen(&config.listen)?;
        let metrics = config.metrics_listen.as_deref().map(listen).transpose()?;
        let address = listener.local_addr().map_err(|e| Error::failed(format!("listening: {e}"), "try again"))?;
        Ok(App { config, service, listener, metrics, address, first_start, stop, _lock: lock })
    }

    /// Where it listens; the port is the real one even if 0 was asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn first_start(&self) -> Option<&FirstStart> {
        self.first_start.as_ref()
    }

    /// Serves until SIGTERM or SIGINT, then lets requests in flight end and stops the workers.
    pub async fn run(mut self) -> Result<()> {
        let metrics = Metrics::new().map_err(|e| Error::failed(format!("metrics: {e}"), "report this"))?;
        let watched = self.metrics.take().map(|listener| serve_metrics(listener, &self.config, &self.service, &metrics)).transpose()?;
        let config = &self.config;
        let site = Site::new(config.public_url.clone(), &config.trusted_hosts, metrics).within(limits::of(config));
        let site = site.behind(config.trusted_proxies.clone()).readable_from(config.cors_origins.clone());
        let site = site.telling(told(config));
        let threads = config.threads.clamp(2, MAX_HTTP_THREADS);
        let server = http::serve(self.listener, self.service.clone(), site, threads);
        let server = server.map_err(|e| Error::failed(format!("serving: {e}"), "try again"))?;
        let handle = server.handle();
        let workers = supervisor::Supervisor::start(config, self.service.has_remote_store())?;
        let housekeeping = housekeeping::Housekeeping::start(&self.service, config);
        let mut serving = tokio::spawn(server);
        tokio::select! {
            () = self.stop.wait() => tracing::info!("stopping"),
            _ = &mut serving => tracing::error!("the server stopped by itself"),
        }
        housekeeping.stop();
        self.service.stop_examining();
        workers.stop().await;
        if let Some(watched) = watched {
            watched.stop(true).await;
        }
        handle.stop(true).await;
        if let Err(error) = self.service.write_journal().await {
            tracing::warn!(%error, "the last lines of the audit log were not written");
        }
        if let Err(error) = self.service.write_downloads().await {
            tracing::warn!(%error, "the last downloads were not counted");
        }
        Ok(())
    }
}

fn open_error(data: &Path, error: db::Error) -> Error {
    match error {
        db::Error::Corrupt(problem) => {
            let message = format!("the database {} is damaged: {problem}", data.join(DATABASE_FILE).display());
            Error::corrupt(message, "restore the data directory from a backup; nothing was changed")
        }
        other => Error::failed(format!("the database in {}: {other}", data.display()), "check the directory's owner and free space"),
    }
}

/// Answers `/metrics` to whoever reaches this listener.
fn serve_metrics(listener: TcpListener, config: &Config, service: &Service, metrics: &Metrics) -> Result<ServerHandle> {
    let failed = |e: std::io::Error| Error::failed(format!("serving metrics: {e}"), "try again");
    let address = listener.local_addr().map_err(failed)?;
    let mut names = config.trusted_hosts.clone();
    if !address.ip().is_unspecified() {
        names.push(address.ip().to_string());
    }
    let site = Site::new(config.public_url.clone(), &names, metrics.clone());
    let server = http::serve_metrics(listener, service.clone(), site).map_err(failed)?;
    tracing::info!(%address, "metrics are answered here, to anybody");
    let handle = server.handle();
    tokio::spawn(server);
    Ok(handle)
}

/// What administrators are told of this machine.
fn told(config: &Config) -> http::Told {
    let entries = config.entries().into_iter();
    let settings = entries.map(|(key, value, from, meaning)| [key.into(), value, from.as_str().into(), meaning.into()]).collect();
    http::Told { settings, data: config.data.clone() }
}

fn listen(address: &str) -> Result<TcpListener> {
    let wrong = |e: std::io::Error| {
        let hint = "another program may use the port; choose one with --listen 127.0.0.1:PORT (0 for a free one)";
        Error::failed(format!("cannot listen on {address}: {e}"), hint)
    };
    let addresses: Vec<SocketAddr> = address.to_socket_addrs().map_err(wrong)?.collect();
    let listener = TcpListener::bind(&addresses[..]).map_err(wrong)?;
    limits::widen_queue(&listener);
    Ok(listener)
}

/// Writes the administrator's token where only this user may read it.
fn write_token(data: &Path, token: &str) -> std::io::Result<PathBuf> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = data.join(ADMIN_TOKEN_FILE);
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    Ok(path)
}

/// The signals that end a server, caught from before it says that it listens.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn catch() -> Result<StopSignals> {
        let wrong = |e: std::io::Error| Error::failed(format!("signals: {e}"), "report this");
        let terminate = signal(SignalKind::terminate()).map_err(wrong)?;
        Ok(StopSignals { terminate, interrupt: signal(SignalKind::interrupt()).map_err(wrong)? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
