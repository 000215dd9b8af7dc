//! `hub doctor` and `hub relabel`: what is wrong with a data set, and labels put right.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::output::{CliError, Output, Result};
use super::remote::{Remote, Target};
use super::table::{facts, plural, table};
use super::watch;
use crate::domain::dataset_report::DatasetReport;
use crate::domain::examination::Examination;
use crate::wire::doctor::{Checkup, ExamineDataset, RelabelDataset};

/// Say what is wrong with a data set: copies, uneven classes, odd items, labels that are probably wrong
///
/// It looks at data. What needs a person in the set-up of a server is told by `hub admin doctor`, on the server's machine.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub doctor acme/flowers
  hub doctor acme/flowers@2 --json
  hub doctor acme/flowers --labels --watch
  hub doctor acme/flowers --labels --base library/mobilenetv2_100")]
pub struct Doctor {
    /// NAME[@REVISION] of a data set
    #[arg(value_name = "NAME[@REVISION]")]
    name: String,
    /// Look for labels that are probably wrong: a job on the features of a base
    #[arg(long)]
    labels: bool,
    /// With --labels: the model whose features are looked at [default: a small one of the hub]
    #[arg(long, value_name = "NAME", requires = "labels")]
    base: Option<String>,
    /// With --labels: follow the job to its end
    #[arg(long, requires = "labels")]
    watch: bool,
}

impl Doctor {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let target = Target::parse(&self.name, true)?;
        let client = remote.client()?;
        if self.labels {
            let base = self.base.as_deref().map(|base| Target::parse(base, false)).transpose()?;
            let base = base.map(|base| format!("{}@{}", base.id, base.revision));
            let body = ExamineDataset { base, revision: Some(target.revision.to_string()) };
            let job = client.create_examination(&target.id, &body).await?;
            if self.watch {
                return watch::to_the_end(remote, &client, &job.id, 0).await;
            }
            let human = format!("Queued job {}\nFollow it with: hub jobs watch {}", job.id, job.id);
            let quiet = job.id.clone();
            return Ok(Output::new(human, json!(job), quiet));
        }
        Ok(shown(&target, &client.checkup(&target.id, &target.revision).await?))
    }
}

/// Suspects that are listed.
const LISTED: usize = 20;

fn shown(target: &Target, found: &Checkup) -> Output {
    let report: DatasetReport = serde_json::from_value(found.report.clone()).unwrap_or_default();
    let items = report.modality.items();
    let splits: Vec<_> = report.splits.iter().map(|split| format!("{} {}", split.name, split.samples)).collect();
    let balance = report.health.balance.as_ref().map_or(String::new(), |balance| {
        let ((large, most), (small, least)) = (&balance.largest, &balance.smallest);
        format!(
            "{:.1} to 1 (`{large}` {most}, `{small}` {least}); always `{large}` is right {:.1} %",
            balance.ratio,
            100.0 * balance.majority
        )
    });
    let mut human = facts(&[
        ("data set", format!("{}@{}", target.id, found.version.number)),
        (items, splits.join(", ")),
        ("classes", if report.classes.is_empty() { String::new() } else { report.classes.len().to_string() }),
        ("balance", balance),
        ("language", report.language()),
    ]);
    match found.findings.is_empty() {
        true => human.push_str("\n\nNothing was found that a person should know."),
        false => found.findings.iter().for_each(|finding| human.push_str(&format!("\n- {finding}"))),
    }
    if let Some(examination) = Some(&found.examination).filter(|value| !value.is_null()).and_then(read) {
        let row = |suspect: &crate::domain::examination::Suspect| {
            vec![suspect.path.clone(), suspect.given.clone(), suspect.suggested.clone(), format!("{:.3}", suspect.score)]
        };
        let rows: Vec<_> = examination.suspects.iter().take(LISTED).map(row).collect();
        if !rows.is_empty() {
            human.push_str(&format!("\n\nFirst suspects:\n{}", table(&["path", "given", "suggested", ">score"], &rows)));
        }
    }
    let quiet = found.findings.join("\n");
    Output::new(human, json!(found), quiet)
}

fn read(value: &Value) -> Option<Examination> {
    serde_json::from_value(value.clone()).ok()
}

/// Put labels of a data set right, by a list: makes its next version, and sends no item again
///
/// The list is a table in CSV with the columns `path` and `label`, such as the suspects.csv of an examination with
/// its column `label` put right. Lines whose label is still the given one change nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub relabel acme/flowers --from fixes.csv
  hub relabel acme/flowers --from suspects.csv --accept 0.95 -m 'What the doctor is surest of'")]
pub struct Relabel {
    /// The data set
    name: String,
    /// The list, in CSV
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Take what is suggested in lines that nobody changed, from this score on
    #[arg(long, value_name = "SCORE")]
    accept: Option<f64>,
    /// What the version's message is
    #[arg(long, short, default_value = "")]
    message: String,
}

impl Relabel {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let target = Target::parse_repo(&self.name, true)?;
        let unread = |e: std::io::Error| CliError::usage(format!("{} cannot be read: {e}", self.from.display()), "name a table in CSV");
        let table = std::fs::read_to_string(&self.from).map_err(unread)?;
        let body = RelabelDataset { table, accept: self.accept, message: self.message.clone() };
        let done = remote.client()?.relabel(&target.id, &body).await?;
        done.warnings.iter().for_each(|warning| remote.reporter.note(&format!("warning: {warning}")));
        let name = format!("{}@{}", target.id, done.version.number);
        let human = format!(
            "Made {name}: {} went to another folder, {} in corrections.csv",
            plural(done.moved as u64, "file"),
            plural(done.listed as u64, "label")
        );
        Ok(Output::new(human, json!(done), name))
    }
}
