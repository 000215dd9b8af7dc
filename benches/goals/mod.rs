//! What was asked of a catalog of a million repos, and whether what was measured keeps it: a line for each, `goal NAME VALUE (at most MOST): met`.

/// Milliseconds of a page, a list or a search, eight clients at once: half of them, and 99 of 100.
pub const P50_MS: f64 = 3.0;
pub const P99_MS: f64 = 10.0;
/// From the smallest catalog to the largest.
pub const GROWTH: f64 = 2.0;
/// Derived tables beside the others.
pub const DERIVED_SHARE: f64 = 0.30;
pub const REBUILT_A_SECOND: f64 = 20_000.0;
pub const READY_SECONDS: f64 = 1.0;
pub const RESIDENT_MB: f64 = 500.0;
/// Of a hub that has nothing and does nothing.
pub const IDLE_MB: f64 = 60.0;
/// A page as it is, unpacked.
pub const PAGE_KB: f64 = 100.0;
/// Of the server, for a page: one client, one request after the other.
pub const PAGE_MS: f64 = 15.0;
/// Answers a second over 32 connections.
pub const JSON_A_SECOND: f64 = 20_000.0;
pub const PAGES_A_SECOND: f64 = 10_000.0;
/// What two nodes on PostgreSQL do beside one on SQLite.
pub const NODES: f64 = 1.0;

/// All verdicts of a run.
#[derive(Default)]
pub struct Goals {
    met: usize,
    missed: Vec<String>,
    unknown: Vec<String>,
}

impl Goals {
    pub fn at_most(&mut self, name: &str, value: f64, most: f64) {
        self.judge(name, value, "at most", most, value <= most);
    }

    pub fn at_least(&mut self, name: &str, value: f64, least: f64) {
        self.judge(name, value, "at least", least, value >= least);
    }

    /// What this run could not measure.
    pub fn not_measured(&mut self, name: &str, why: &str) {
        println!("goal {name}: not measured, {why}");
        self.unknown.push(name.to_owned());
    }

    fn judge(&mut self, name: &str, value: f64, words: &str, bound: f64, is_met: bool) {
        println!("goal {name} {value:.2} ({words} {bound}): {}", if is_met { "met" } else { "MISSED" });
        match is_met {
            true => self.met += 1,
            false => self.missed.push(format!("{name} {value:.2}")),
        }
    }

    pub fn sum_up(&self) {
        println!("goals: {} met, {} missed, {} not measured", self.met, self.missed.len(), self.unknown.len());
        if !self.missed.is_empty() {
            println!("missed: {}", self.missed.join(", "));
        }
    }
}
