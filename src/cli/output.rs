//! What commands return and the one place that prints it: data on stdout, all else on stderr. Texts from a
//! server are stripped of control characters before they reach a terminal.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::app;
use crate::domain::path::invisible;
use crate::wire::error::Kind;

/// What a command has to say, in each of the ways it may be asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// For people; may have several lines, ends without a newline.
    pub human: String,
    /// With `--json`.
    pub json: Value,
    /// With `--quiet`: the one line that matters, or nothing.
    pub quiet: String,
    /// Why the command did not end well although it has something to say.
    pub failure: Option<CliError>,
}

impl Output {
    pub fn new(human: impl Into<String>, json: Value, quiet: impl Into<String>) -> Output {
        Output { human: human.into(), json, quiet: quiet.into(), failure: None }
    }

    /// The same result, and the command did not end well.
    pub fn but(self, failure: CliError) -> Output {
        Output { failure: Some(failure), ..self }
    }

    /// Nothing to say.
    pub fn none() -> Output {
        Output::new("", Value::Null, "")
    }
}

/// Why a command did not succeed: what went wrong, what to do next, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    /// 1 failed, 2 usage, 3 not found, 4 refused, 5 corrupt, 130 interrupted.
    pub exit_code: u8,
    /// For programs: `not_found` ...; the server's code where it came from there.
    pub code: String,
    pub message: String,
    pub hint: String,
}

pub type Result<T> = std::result::Result<T, CliError>;

impl CliError {
    pub fn new(exit_code: u8, code: &str, message: impl Into<String>, hint: impl Into<String>) -> CliError {
        CliError { exit_code, code: code.into(), message: message.into(), hint: hint.into() }
    }

    pub fn failed(message: impl Into<String>, hint: impl Into<String>) -> CliError {
        CliError::new(1, "failed", message, hint)
    }

    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> CliError {
        CliError::new(2, "usage", message, hint)
    }

    pub fn not_found(message: impl Into<String>, hint: impl Into<String>) -> CliError {
        CliError::new(3, "not_found", message, hint)
    }

    pub fn refused(message: impl Into<String>, hint: impl Into<String>) -> CliError {
        CliError::new(4, "refused", message, hint)
    }

    pub fn corrupt(message: impl Into<String>, hint: impl Into<String>) -> CliError {
        CliError::new(5, "corrupt", message, hint)
    }

    pub fn interrupted() -> CliError {
        CliError::new(130, "interrupted", "interrupted", "run the same command again to go on")
    }

    /// A problem of this kind, by the one table of exit codes.
    pub fn of_kind(kind: Kind, code: &str, message: impl Into<String>, hint: impl Into<String>) -> CliError {
        CliError::new(u8::try_from(kind.exit_code()).unwrap_or(1), code, message, hint)
    }
}

impl From<app::Error> for CliError {
    fn from(error: app::Error) -> CliError {
        let (message, hint) = (error.to_string(), error.hint().to_owned());
        match error {
            app::Error::NotFound { .. } => CliError::not_found(message, hint),
            app::Error::Refused { .. } => CliError::refused(message, hint),
            app::Error::Corrupt { .. } => CliError::corrupt(message, hint),
            app::Error::Failed { .. } => CliError::failed(message, hint),
        }
    }
}

/// How results are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Human,
    Json,
    Quiet,
}

impl Style {
    pub fn of(json: bool, quiet: bool) -> Style {
        match (json, quiet) {
            (true, _) => Style::Json,
            (_, true) => Style::Quiet,
            _ => Style::Human,
        }
    }
}

/// The printer of one process.
pub struct Printer {
    style: Style,
}

impl Printer {
    pub fn new(style: Style) -> Printer {
        Printer { style }
    }

    /// Prints a result on stdout, and a failure that comes with it on stderr.
    pub fn print(&self, output: &Output) -> ExitCode {
        let text = match self.style {
            Style::Human => clean(&output.human),
            Style::Quiet => clean(&output.quiet),
            Style::Json if output.json.is_null() => String::new(),
            Style::Json => serde_json::to_string_pretty(&output.json).unwrap_or_default(),
        };
        if !text.is_empty() {
            // A reader that closed the pipe has seen enough.
            let _ = writeln!(std::io::stdout(), "{text}");
        }
        output.failure.as_ref().map_or(ExitCode::SUCCESS, |failure| self.fail(failure))
    }

    /// Prints an error on stderr; with `--json` as an object.
    pub fn fail(&self, error: &CliError) -> ExitCode {
        let CliError { exit_code, code, message, hint } = error;
        if self.style == Style::Json {
            let body = json!({ "error": { "code": code, "message": message, "hint": hint, "exit_code": exit_code } });
            let _ = writeln!(std::io::stderr(), "{body}");
        } else {
            note(&format!("error: {message}"));
            if !hint.is_empty() {
                note(&format!("hint: {hint}"));
            }
        }
        ExitCode::from(*exit_code)
    }
}

/// A line for people on stderr, beside the result.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", clean(line));
}

/// A value on a line of its own on stdout, at once: for results that come bit by bit.
pub fn json_line(value: &impl serde::Serialize) {
    let text = serde_json::to_string(value).unwrap_or_default();
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Data for other programs on stdout, as it is.
pub fn raw(bytes: &[u8]) {
    // A reader that closed the pipe has seen enough.
    let _ = std::io::stdout().write_all(bytes);
}

/// What the argument parser says: help and version on stdout, mistakes on stderr with exit code 2.
pub fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

/// A table with aligned columns; the last is not padded.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let wide = |cell: &str| cell.chars().count();
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let width = |(column, name): (usize, &&str)| cells(column).map(|cell| wide(cell)).max().unwrap_or(0).max(wide(name));
    let widths: Vec<usize> = header.iter().enumerate().map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = line(header.to_vec());
    let body = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(head).chain(body).collect::<Vec<_>>().join("\n")
}

/// Without what could move a terminal's cursor or hide text.
fn clean(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !invisible(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_and_terminals_are_safe() {
        let rows = vec![vec!["a".into(), "1".into()], vec!["long".into(), "22".into()]];
        assert_eq!(table(&["name", "n"], &rows), "name  n\na     1\nlong  22");
        assert_eq!(clean("a\u{1b}[31mred\r\u{202e}\nb\tc"), "a[31mred\nb\tc");
        assert_eq!(clean("a\u{ad}\u{200b}b\u{2028}c"), "abc");
    }

    #[test]
    fn exit_codes_are_those_of_the_design() {
        assert_eq!(CliError::from(app::Error::Corrupt { message: "x".into(), hint: "y".into() }).exit_code, 5);
        assert_eq!(CliError::of_kind(Kind::Forbidden, "no_right", "x", "y").exit_code, 4);
        assert_eq!(CliError::of_kind(Kind::NotFound, "x", "x", "y").exit_code, 3);
    }
}
