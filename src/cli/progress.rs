//! How long work shows itself on stderr: bars on a terminal, plain lines or nothing elsewhere.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;

use super::Progress;
use super::output::note;
use super::table::{bytes, plural, visible};
use crate::app::upkeep::{self, Tell};
use crate::client::{Event, Sink};

/// Shows one thing at a time; cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    shown: Shown,
    /// Notes are printed: nobody asked for quiet.
    notes: bool,
    bar: Arc<Mutex<Option<ProgressBar>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Bars,
    Lines,
    Nothing,
}

impl Reporter {
    pub fn new(asked: Progress, quiet: bool) -> Reporter {
        let terminal = io::stderr().is_terminal();
        let shown = match asked {
            _ if quiet => Shown::Nothing,
            Progress::None => Shown::Nothing,
            Progress::Plain => Shown::Lines,
            Progress::Auto if terminal => Shown::Bars,
            Progress::Auto => Shown::Nothing,
        };
        Reporter { shown, notes: !quiet, bar: Arc::default() }
    }

    /// A line for the person, above a bar if there is one.
    pub fn note(&self, text: &str) {
        if !self.notes {
            return;
        }
        match &*self.bar.lock() {
            Some(bar) if self.shown == Shown::Bars => bar.suspend(|| note(text)),
            _ => note(text),
        }
    }

    /// A line that only matters where progress is shown.
    pub fn step(&self, text: &str) {
        if self.shown != Shown::Nothing {
            self.note(text);
        }
    }

    /// Shows the events of the client's stories.
    pub fn sink(&self) -> Sink {
        let progress = self.clone();
        Arc::new(move |event| progress.show(event))
    }

    /// Shows the events of upkeep.
    pub fn upkeep(&self) -> Tell {
        let progress = self.clone();
        Arc::new(move |event| {
            progress.show(match event {
                upkeep::Event::Begin { what, items, bytes } => Event::Begin { what, files: items, bytes },
                upkeep::Event::Advance(bytes) => Event::Advance(bytes),
                upkeep::Event::End => Event::End,
                upkeep::Event::Note(text) => Event::Note(text),
            });
        })
    }

    fn show(&self, event: Event) {
        match event {
            Event::Begin { what, files, bytes: total } => {
                let files = plural(files, "file");
                match self.shown {
                    Shown::Bars => self.start(total, bytes_style(), format!("{what} {files}")),
                    Shown::Lines => note(&format!("{what} {files}, {}", bytes(total))),
                    Shown::Nothing => {}
                }
            }
            Event::Advance(count) => self.with_bar(|bar| bar.inc(count)),
            Event::Retreat(count) => self.with_bar(|bar| bar.set_position(bar.position().saturating_sub(count))),
            Event::End => self.finish(),
            Event::Repeat { reason, after } => self.note(&format!("{reason}; trying again in {:.1} s", after.as_secs_f64())),
            Event::Waiting { what } => self.note(&format!("another hub process is fetching {what}; waiting for it")),
            Event::Note(text) => self.note(&text),
        }
    }

    /// A bar over steps with a message, for following a job.
    pub fn steps(&self, position: u64, total: u64, message: &str) {
        if self.shown != Shown::Bars {
            return;
        }
        if self.bar.lock().is_none() {
            self.start(total, step_style(), String::new());
        }
        self.with_bar(|bar| {
            bar.set_length(total);
            bar.set_position(position);
            bar.set_message(visible(message));
        });
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = self.bar.lock().take() {
            bar.finish_and_clear();
        }
    }

    fn start(&self, total: u64, style: ProgressStyle, message: String) {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
        bar.set_style(style);
        bar.set_message(message);
        if let Some(old) = self.bar.lock().replace(bar) {
            old.finish_and_clear();
        }
    }

    fn with_bar(&self, change: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = &*self.bar.lock() {
            change(bar);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━╌")
}

fn bytes_style() -> ProgressStyle {
    style("{msg} {bar:30} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}")
}

fn step_style() -> ProgressStyle {
    style("{bar:30} {pos}/{len} {msg}")
}
