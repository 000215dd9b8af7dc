//! The files of a report: kept with the job, also where nothing is published, for those who may see it. They name and show items of
//! the data set.

use std::path::Path;

use serde_json::json;

use super::error::{Error, Result};
use super::model_folder::metrics;
use super::report::{Lineage, Report};
use crate::domain::findings::{PREDICTIONS, REPORT, Used, usage};

/// Writes both into a folder that is there.
///
/// # Errors
/// A file cannot be written.
pub fn write_report(report: &Report, lineage: &Lineage, folder: &Path) -> Result<()> {
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(Error::io("cannot write", path))
    };
    let mut all = metrics(report, lineage);
    all.insert("objection".into(), json!(report.found.objection()));
    all.insert("mistakes".into(), json!(report.mistakes));
    all.insert("lineage".into(), json!(lineage));
    let used = Used::of(&report.config, report.modality);
    all.insert("used".into(), json!(used));
    all.insert("usage".into(), json!(usage(&lineage.name, "$HUB_URL", used)));
    write(REPORT, serde_json::to_string_pretty(&all).unwrap_or_default() + "\n")?;
    write(PREDICTIONS, report.predictions.clone())
}
