//! The HTTP edge: the API, the pages, and the frame around both. Handlers extract, call the service and render;
//! all routes stand on two pages, `routes.rs` and `page_routes.rs`.

mod address;
pub mod api;
pub mod assets;
pub mod attempts;
pub mod body;
mod broken;
pub mod caller;
mod compare;
pub mod connection;
mod cors;
mod curves;
mod embeddings;
mod entry;
pub mod error;
pub mod extract;
pub mod git;
pub mod guard;
pub mod hf;
pub mod job_events;
mod json;
pub mod limits;
pub mod lines;
mod moved;
mod packing;
mod page_routes;
mod proxies;
pub mod rates;
mod response_cache;
mod rights;
mod route;
pub mod routes;
mod rows;
pub mod socket;
pub mod stream;
mod strict;
pub mod tfhub;
pub mod torch_hub;
mod turns;
pub mod web;
pub mod worker;

use std::net::TcpListener;
use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, HttpMessage as _, HttpRequest, HttpServer};

use self::address::{LOOPBACK, PublicUrl, split};
use self::limits::Limits;
use self::proxies::Client;
use crate::domain::network::Network;
use crate::service::Service;
use crate::service::people::journal::Origin;
use crate::telemetry::Metrics;

/// What the edge knows about this server as a whole.
pub struct Site {
    /// Where people reach it, and below which path it stands.
    public: PublicUrl,
    /// Lower-case host names it answers to.
    hosts: Vec<String>,
    pub metrics: Metrics,
    pub attempts: attempts::Attempts,
    rates: rates::Rates,
    limits: Limits,
    proxies: proxies::TrustedProxies,
    cors: cors::Origins,
    gathered: Arc<body::Gathered>,
    answers: response_cache::ResponseCache,
    told: Told,
}

/// What administrators are told of the machine and its settings.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Key, value, where it is from, meaning; no secrets.
    pub settings: Vec<[String; 4]>,
    /// Where the data lie, if they lie on this machine.
    pub data: std::path::PathBuf,
}

/// How long requests in flight may go on when the server is told to stop.
const SHUTDOWN_SECONDS: u64 = 10;

/// Those who watch are few.
const METRICS_CONNECTIONS: usize = 64;

impl Site {
    /// `trusted_hosts` are further names beside that of `public_url` and those of loopback. It answers to no other, so that
    /// no web page can reach it under a name of its own (DNS rebinding), and no link leads where a caller wants.
    pub fn new(public_url: Option<String>, trusted_hosts: &[String], metrics: Metrics) -> Site {
        let public = PublicUrl::parse(public_url.as_deref());
        let public_host = Some(public.host.clone()).filter(|host| !host.is_empty());
        let trusted = trusted_hosts.iter().map(|host| split(host).0.to_lowercase());
        let hosts = trusted.chain(public_host).chain(LOOPBACK.iter().map(|host| host.to_string())).collect();
        let (limits, gathered) = (Limits::default(), Arc::default());
        let rates = rates::Rates::new(limits.max_requests_per_minute);
        let (proxies, cors, attempts, answers) = Default::default();
        Site { public, hosts, metrics, attempts, rates, limits, proxies, cors, gathered, answers, told: Told::default() }
    }

    /// The same site, which tells its administrators this.
    pub fn telling(self, told: Told) -> Site {
        Site { told, ..self }
    }

    /// What administrators are told.
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// The same site with limits of its own.
    pub fn within(self, limits: Limits) -> Site {
        Site { limits, rates: rates::Rates::new(limits.max_requests_per_minute), ..self }
    }

    /// The same site, which takes the word of these proxies on who calls.
    pub fn behind(self, proxies: Vec<Network>) -> Site {
        Site { proxies: proxies::TrustedProxies(proxies), ..self }
    }

    /// The same site, whose public files pages of these origins may read.
    pub fn readable_from(self, origins: Vec<String>) -> Site {
        Site { cors: cors::Origins(origins), ..self }
    }

    /// Who made a request.
    pub fn client(&self, request: &HttpRequest) -> Client {
        self.proxies.client(request.peer_addr().map(|peer| peer.ip()), request.headers())
    }

    /// Where a request came from, for the audit log.
    pub fn origin(&self, request: &HttpRequest) -> Origin {
        let id = request.extensions().get::<guard::RequestId>().map_or(String::new(), |id| id.0.clone());
        Origin { address: self.client(request).address.to_string(), request: id }
    }

    /// The site a request came to.
    pub fn of(request: &HttpRequest) -> Result<Data<Site>, error::HttpError> {
        request.app_data::<Data<Site>>().cloned().ok_or_else(|| error::HttpError::internal("the site is not registered"))
    }

    /// Does the server answer to this `host` or `host:port`?
    pub fn knows_host(&self, host: &str) -> bool {
        let (name, _) = split(host);
        let is_loopback = || name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback());
        self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name)) || is_loopback()
    }

    pub fn is_https(&self) -> bool {
        self.public.is_https()
    }

    /// The address programs are told: the name they asked, with the path this server stands at.
    pub fn address(&self, request: &HttpRequest) -> String {
        self.public.for_programs(request)
    }

    /// The address people are shown: the configured one, or the name this server was called by.
    pub fn public_address(&self, request: &HttpRequest) -> String {
        self.public.for_people(request)
    }

    /// The path it stands at; empty for the root.
    pub fn base(&self) -> &str {
        &self.public.base
    }

    /// `__Host-` binds a cookie to this host, its root and to TLS, `__Secure-` to TLS; without TLS browsers would refuse
    /// both.
    pub fn cookie_name(&self) -> &'static str {
        match (self.is_https(), self.base()) {
            (true, "") => "__Host-hub",
            (true, _) => "__Secure-hub",
            (false, _) => "hub",
        }
    }

    /// A path of this server as others see it: cookies, the description of the API.
    pub fn outer_path(&self, path: &str) -> String {
        let whole = format!("{}{path}", self.base());
        if whole.is_empty() { "/".to_owned() } else { whole }
    }
}

/// Starts serving on a bound listener. HTTP/1.1 only, strict parsing, bounded connections and patience.
pub fn serve(listener: TcpListener, service: Service, site: Site, threads: usize) -> std::io::Result<Server> {
    let limits = site.limits;
    let limiter = connection::ConnectionLimiter::new(limits, site.proxies.clone(), site.metrics.clone());
    let (site, service) = (Data::new(site), Data::new(service));
    let server = HttpServer::new(move || {
        App::new().app_data(site.clone()).app_data(service.clone()).configure(routes::configure).wrap(from_fn(guard::frame))
    })
    .workers(threads)
    .max_connections(limits.max_connections.div_ceil(threads.max(1)).max(1))
    .client_request_timeout(limits.head())
    .keep_alive(limits.keep_alive())
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals()
    .on_connect(move |connection, data| limiter.greet(connection, data))
    .listen(listener)?;
    Ok(server.run())
}

/// Starts answering `/metrics`, and nothing else but whether the server is well, on a listener of its own.
pub fn serve_metrics(listener: TcpListener, service: Service, site: Site) -> std::io::Result<Server> {
    let (site, service) = (Data::new(site), Data::new(service));
    let server = HttpServer::new(move || {
        App::new().app_data(site.clone()).app_data(service.clone()).configure(routes::configure_metrics).wrap(from_fn(guard::frame))
    });
    let server = server.workers(1).max_connections(METRICS_CONNECTIONS).shutdown_timeout(1).disable_signals();
    Ok(server.listen(listener)?.run())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(public_url: Option<&str>, trusted: &[&str]) -> Site {
        let trusted: Vec<String> = trusted.iter().map(|h| h.to_string()).collect();
        Site::new(public_url.map(String::from), &trusted, Metrics::new().unwrap())
    }

    #[test]
    fn a_site_answers_to_its_names_only() {
        let public = site(Some("https://hub.example.org"), &["other.lan", "third.lan:8080"]);
        for good in [
            "hub.example.org",
            "HUB.example.org:443",
            "other.lan:8080",
            "third.lan",
            "localhost:1",
            "127.0.0.1",
            "127.1.2.3:80",
            "[::1]:8080",
        ] {
            assert!(public.knows_host(good), "{good}");
        }
        for bad in ["evil", "hub.example.org.evil", "evil:443", "", "127.0.0.1.evil"] {
            assert!(!public.knows_host(bad), "{bad}");
        }
        let nameless = site(None, &[]);
        assert!(nameless.knows_host("localhost:8080") && !nameless.knows_host("rebound.example"));
    }

    #[test]
    fn only_tls_sites_use_host_bound_cookies() {
        assert_eq!(site(Some("https://x.org"), &[]).cookie_name(), "__Host-hub");
        assert_eq!(site(Some("http://x.org"), &[]).cookie_name(), "hub");
        let below = site(Some("https://x.org/ml/hub"), &[]);
        assert_eq!(
            (below.cookie_name(), below.outer_path(""), below.outer_path("/login")),
            ("__Secure-hub", "/ml/hub".into(), "/ml/hub/login".into())
        );
        assert_eq!(site(None, &[]).outer_path(""), "/");
    }
}
