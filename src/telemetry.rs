//! Logs and numbers. Logs go to stderr: text on a terminal, JSON lines elsewhere; control characters of
//! callers' texts are escaped by the formatter. Numbers are counted here and read at `/metrics`.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::{Encoder as _, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};
use tracing_subscriber::EnvFilter;

/// Starts logging for this process; a second call changes nothing. `format` is auto, text or json.
pub fn start(filter: &str, format: &str) {
    let terminal = std::io::stderr().is_terminal();
    let filter = EnvFilter::try_new(quiet_libraries(filter)).unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let json = format == "json" || (format == "auto" && !terminal);
    // An error means that a subscriber is set already, which tests of the library do.
    let _ = if json { logs.json().flatten_event(true).try_init() } else { logs.with_ansi(terminal).try_init() };
}

/// A bare level is ours; libraries speak up only when something is wrong.
fn quiet_libraries(filter: &str) -> String {
    let bare = !filter.contains(['=', ',']);
    if bare { format!("warn,hub={filter}") } else { filter.into() }
}

/// What the server counts about itself.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    sent: IntCounterVec,
    received: IntCounterVec,
    jobs: IntGaugeVec,
    refused: IntCounterVec,
    cut: IntCounterVec,
    connections: IntGauge,
    /// Numbers kept elsewhere and only shown here, by name.
    shown: Arc<Mutex<HashMap<&'static str, Shown>>>,
}

enum Shown {
    Total(IntCounter),
    Now(IntGauge),
}

/// One answered request.
pub struct Answered<'a> {
    /// The pattern of the route, never the path itself: paths are without number.
    pub route: &'a str,
    pub method: &'a str,
    pub status: u16,
    pub seconds: f64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
}

const BUCKETS: &[f64] = &[0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

impl Metrics {
    pub fn new() -> prometheus::Result<Metrics> {
        use prometheus::Opts;
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let requests = counter("hub_http_requests_total", "Requests answered.", &["route", "method", "status"])?;
        let sent = counter("hub_http_sent_bytes_total", "Bytes of answers whose length was known.", &["route"])?;
        let received = counter("hub_http_received_bytes_total", "Bytes of announced request bodies.", &["route"])?;
        let refused = counter("hub_refused_total", "Requests refused before any handler.", &["reason"])?;
        let cut = counter("hub_connections_cut_total", "Connections ended because nothing moved or there were too many.", &["reason"])?;
        let connections = IntGauge::new("hub_connections", "Open connections.")?;
        registry.register(Box::new(connections.clone()))?;
        let options = prometheus::HistogramOpts::new("hub_http_seconds", "Time to the head of the answer.").buckets(BUCKETS.to_vec());
        let seconds = HistogramVec::new(options, &["route"])?;
        registry.register(Box::new(seconds.clone()))?;
        let jobs = IntGaugeVec::new(Opts::new("hub_jobs", "Jobs by state."), &["state"])?;
        registry.register(Box::new(jobs.clone()))?;
        Ok(Metrics { registry, requests, seconds, sent, received, jobs, refused, cut, connections, shown: Arc::default() })
    }

    pub fn answered(&self, request: &Answered<'_>) {
        let status = request.status.to_string();
        self.requests.with_label_values(&[request.route, request.method, &status]).inc();
        self.seconds.with_label_values(&[request.route]).observe(request.seconds);
        self.sent.with_label_values(&[request.route]).inc_by(request.sent_bytes);
        self.received.with_label_values(&[request.route]).inc_by(request.received_bytes);
    }

    /// A request refused at the door: a wrong host, too many failed logins ...
    pub fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// A connection ended from our side.
    pub fn cut(&self, reason: &str) {
        self.cut.with_label_values(&[reason]).inc();
    }

    /// One connection more (1) or fewer (-1).
    pub fn connections(&self, change: i64) {
        self.connections.add(change);
    }

    pub fn jobs(&self, state: &str, count: u64) {
        self.jobs.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Shows a total that is kept in the catalog, where all processes add to it.
    pub fn total(&self, name: &'static str, help: &'static str, value: u64) -> prometheus::Result<()> {
        let mut shown = self.shown.lock();
        if !shown.contains_key(name) {
            let counter = IntCounter::new(name, help)?;
            self.registry.register(Box::new(counter.clone()))?;
            shown.insert(name, Shown::Total(counter));
        }
        if let Some(Shown::Total(counter)) = shown.get(name) {
            counter.inc_by(value.saturating_sub(counter.get()));
        }
        Ok(())
    }

    /// Shows a number as it is now.
    pub fn gauge(&self, name: &'static str, help: &'static str, value: i64) -> prometheus::Result<()> {
        let mut shown = self.shown.lock();
        if !shown.contains_key(name) {
            let gauge = IntGauge::new(name, help)?;
            self.registry.register(Box::new(gauge.clone()))?;
            shown.insert(name, Shown::Now(gauge));
        }
        if let Some(Shown::Now(gauge)) = shown.get(name) {
            gauge.set(value);
        }
        Ok(())
    }

    /// Prometheus' text form.
    pub fn text(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route() {
        let metrics = Metrics::new().unwrap();
        let request = Answered { route: "/x/{name}", method: "GET", status: 200, seconds: 0.002, sent_bytes: 7, received_bytes: 0 };
        metrics.answered(&request);
        metrics.answered(&request);
        metrics.jobs("running", 3);
        let text = metrics.text().unwrap();
        assert!(text.contains(r#"hub_http_requests_total{method="GET",route="/x/{name}",status="200"} 2"#), "{text}");
        assert!(text.contains(r#"hub_http_sent_bytes_total{route="/x/{name}"} 14"#));
        assert!(text.contains(r#"hub_jobs{state="running"} 3"#));
    }

    #[test]
    fn numbers_of_others_are_shown_as_they_stand() {
        let metrics = Metrics::new().unwrap();
        for value in [3, 5, 5] {
            metrics.total("hub_x_total", "All.", value).unwrap();
            metrics.gauge("hub_y", "Now.", 9 - value as i64).unwrap();
        }
        let text = metrics.text().unwrap();
        assert!(text.contains("# TYPE hub_x_total counter\nhub_x_total 5\n"), "{text}");
        assert!(text.contains("# TYPE hub_y gauge\nhub_y 4\n"), "{text}");
    }

    #[test]
    fn a_bare_level_leaves_libraries_quiet() {
        assert_eq!(quiet_libraries("debug"), "warn,hub=debug");
        assert_eq!(quiet_libraries("hub=trace,actix=info"), "hub=trace,actix=info");
    }
}
