//! `hub compare`: is one of two models better, or is it chance?

use clap::Args;
use serde_json::json;

use super::output::{Output, Result};
use super::remote::Remote;
use super::table::{facts, plural};
use crate::wire::compare::{Compared, Comparison};

/// Compare two models, or two jobs, on the items both were measured on
///
/// A model stands for the newest of your fine-tunes and evaluations that measured it. The difference comes with the interval it lies in
/// in 95 of 100 draws of the items; where that holds 0, there is no clear difference.
#[derive(Debug, Args)]
#[command(after_help = "Example: hub compare ada/flowers@1 ada/flowers@2 --dataset ada/flowers-test")]
pub struct Compare {
    /// A model, namespace/name with an optional @version, or a job's id
    a: String,
    /// The other
    b: String,
    /// Only what was measured on this data set
    #[arg(long, value_name = "NAMESPACE/NAME")]
    dataset: Option<String>,
}

impl Compare {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let found = remote.client()?.compare(&self.a, &self.b, self.dataset.as_deref()).await?;
        let quiet = found.better.clone();
        Ok(Output::new(said(&found), json!(found), quiet))
    }
}

fn said(found: &Comparison) -> String {
    let name = |side: &Compared| side.model.clone().unwrap_or_else(|| format!("job {}", side.job));
    let alone = |side: &Compared| {
        let left_out = if side.left_out > 0 { format!(", {} left out", plural(side.left_out, "item")) } else { String::new() };
        let right = if found.mcnemar_p.is_some() { format!(", {} right alone", side.alone_right) } else { String::new() };
        format!("{} {:.4}{right}{left_out}", name(side), side.value)
    };
    let (low, high) = found.interval_95;
    let rows = facts(&[
        ("measured on", format!("{} items of {}, {}", found.items, found.dataset, found.measure)),
        ("a", alone(&found.a)),
        ("b", alone(&found.b)),
        ("b less a", format!("{:+.4} ({low:+.4} to {high:+.4} in 95 of 100 draws)", found.difference)),
        ("b is better", format!("in {:.1} % of the draws", 100.0 * found.b_better)),
        ("McNemar", found.mcnemar_p.map(|p| format!("p = {p:.4}")).unwrap_or_default()),
    ]);
    format!("{}.\n{rows}", found.verdict)
}
