//! `hub admin gc|scrub|fsck|backup|restore`: upkeep by hand, also while a server runs on the directory.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::super::output::table;
use super::super::table::{bytes, plural};
use super::super::{CliError, Output, Result};
use crate::app::upkeep::{BackedUp, BackupPlan, Checked, Collected, Collection, Count, Finding, Lost, Restored, Scrubbed, Tell};
use crate::app::{self, Administration};
use crate::config::Config;
use crate::domain::time::parse_span_ms;

/// Lines of one kind that people are shown; `--json` has all.
const SHOWN: usize = 20;

/// Remove the bytes of deleted versions and abandoned uploads
#[derive(Debug, Args)]
#[command(after_help = "A blob goes in two steps: when nobody names it any more its row goes, and a grace period later its bytes.\n\
    Uploads and publishes under way are left alone, also with --grace 0s.\n\n\
    Examples:\n  hub admin gc --dry-run\n  hub admin gc --grace 0s      # make room now; deleted versions cannot be had back from a backup of the catalog alone")]
pub(super) struct Gc {
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    /// How long bytes stay after nobody names them any more, such as 24h or 0s [default: the setting gc_grace]
    #[arg(long, value_name = "TIME", value_parser = span)]
    grace: Option<i64>,
    /// Also if most of what lies in the store is unknown to the catalog
    #[arg(long)]
    force: bool,
}

/// Read stored bytes again and find what the disk has damaged
#[derive(Debug, Args)]
#[command(after_help = "Damaged blobs are moved to DATA/quarantine; publishing the same files again repairs them.\n\
    Exit code 5 if there is damage.\n\nExamples:\n  hub admin scrub\n  hub admin scrub --sample 10%")]
pub(super) struct Scrub {
    /// Read only this share of the blobs, drawn at random
    #[arg(long, value_name = "PERCENT", value_parser = share)]
    sample: Option<f64>,
}

/// Compare the catalog with the store, both ways
#[derive(Debug, Args)]
#[command(after_help = "Looks at names and sizes; 'hub admin scrub' reads the bytes.\n\
    Exit code 5 if something acknowledged is damaged, 0 if there is only garbage.")]
pub(super) struct Fsck {}

/// Back up catalog and blobs while the hub runs
#[derive(Debug, Args)]
#[command(
    after_help = "The first backup copies all blobs, later ones only new ones. On the same disk blobs are linked, which is quick but does\n\
    not outlive the disk. 'hub admin restore DIR' makes a hub from it.\n\nExamples:\n  hub admin backup /mnt/backup/hub --keep 14"
)]
pub(super) struct Backup {
    /// An empty directory, or one that holds an earlier backup
    dir: PathBuf,
    /// Catalogs of earlier moments to keep, this one included
    #[arg(long, value_name = "N", default_value_t = 7)]
    keep: usize,
    /// Also read again what earlier backups copied
    #[arg(long)]
    verify: bool,
}

/// Make a hub from a backup, every blob proved
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  hub admin restore /mnt/backup/hub --data /srv/hub")]
pub(super) struct Restore {
    /// The directory 'hub admin backup' wrote to
    dir: PathBuf,
    /// The moment to go back to [default: the newest]
    #[arg(long, value_name = "MOMENT")]
    generation: Option<String>,
    /// Restore although some blobs are damaged in the backup
    #[arg(long)]
    incomplete: bool,
}

fn span(text: &str) -> std::result::Result<i64, String> {
    parse_span_ms(text).map_err(|e| e.to_string())
}

/// `10%` as 0.1
fn share(text: &str) -> std::result::Result<f64, String> {
    let percent = text.trim().trim_end_matches('%').parse::<f64>().ok().filter(|percent| *percent > 0.0 && *percent <= 100.0);
    percent.map(|percent| percent / 100.0).ok_or_else(|| "a share is more than 0% and at most 100%, such as 10%".to_owned())
}

impl Gc {
    pub async fn run(self, house: &Administration, config: &Config, tell: &Tell) -> Result<Output> {
        let grace_ms = self.grace.unwrap_or(config.gc_grace_ms);
        let done = house.collect(Collection { grace_ms, dry_run: self.dry_run, force: self.force }, tell).await?;
        let quiet = done.freed.bytes.to_string();
        Ok(Output::new(collected(&done, self.dry_run), collected_json(&done, self.dry_run), quiet))
    }
}

fn amount(count: Count) -> String {
    format!("{}, {}", plural(count.blobs, "blob"), bytes(count.bytes))
}

fn collected(done: &Collected, dry_run: bool) -> String {
    let (verb, mut lines) = (if dry_run { "would be " } else { "" }, Vec::new());
    lines.push(format!("{verb}removed: {}", amount(done.freed)));
    let mut also = |count: Count, what: &str| {
        if count.blobs > 0 {
            lines.push(format!("{}: {what}", amount(count)));
        }
    };
    also(done.marked, &format!("named by nobody; {verb}condemned"));
    also(done.orphans, &format!("without a row in the catalog; {verb}condemned"));
    also(done.waiting, "condemned, until their grace period is over");
    also(done.leftovers, &format!("half-written files; {verb}removed"));
    if done.expired_uploads > 0 {
        lines.push(format!("{}: expired", plural(done.expired_uploads, "unfinished upload")));
    }
    if !done.list.is_empty() {
        let rows: Vec<_> =
            done.list.iter().take(SHOWN).map(|(d, size, why)| vec![d.to_string(), bytes(*size), (*why).to_owned()]).collect();
        lines.push(format!("\n{}", table(&["BLOB", "SIZE", "WHY"], &rows)));
        lines.extend(more(done.list.len()));
    }
    lines.join("\n")
}

fn more(all: usize) -> Option<String> {
    (all > SHOWN).then(|| format!("and {} more; --json lists all", all - SHOWN))
}

fn counted(count: Count) -> Value {
    json!({ "blobs": count.blobs, "bytes": count.bytes })
}

fn collected_json(done: &Collected, dry_run: bool) -> Value {
    let list: Vec<_> = done.list.iter().map(|(d, size, why)| json!({ "sha256": d.to_hex(), "size_bytes": size, "reason": why })).collect();
    json!({
        "dry_run": dry_run,
        "freed": counted(done.freed),
        "condemned": counted(done.marked),
        "orphans": counted(done.orphans),
        "waiting": counted(done.waiting),
        "leftovers": { "files": done.leftovers.blobs, "bytes": done.leftovers.bytes },
        "expired_uploads": done.expired_uploads,
        "list": list,
    })
}

impl Scrub {
    pub async fn run(self, house: &Administration, tell: &Tell) -> Result<Output> {
        let scrubbed = house.scrub(self.sample.unwrap_or(1.0), tell).await?;
        let output = Output::new(scrubbed_text(&scrubbed), scrubbed_json(&scrubbed), scrubbed.damaged.len().to_string());
        let message = format!("{} damaged", plural(scrubbed.damaged.len() as u64, "blob"));
        Ok(damaged(output, scrubbed.damaged.is_empty(), message, "publish the files named above again, or restore them from a backup"))
    }
}

/// A result that is also bad news.
fn damaged(output: Output, well: bool, message: String, hint: &str) -> Output {
    if well { output } else { output.but(CliError::corrupt(message, hint)) }
}

fn scrubbed_text(scrubbed: &Scrubbed) -> String {
    let mut lines =
        vec![format!("read {}: {}", amount(scrubbed.read), if scrubbed.damaged.is_empty() { "all good" } else { "not all good" })];
    for damage in &scrubbed.damaged {
        lines.push(format!("\n{}  {}{}", damage.digest, damage.problem, if damage.quarantined { "; moved to quarantine" } else { "" }));
        lines.extend(named(&damage.named_by));
    }
    lines.join("\n")
}

fn named(by: &[String]) -> Vec<String> {
    if by.is_empty() { vec!["  in no version".to_owned()] } else { by.iter().map(|name| format!("  in {name}")).collect() }
}

fn scrubbed_json(scrubbed: &Scrubbed) -> Value {
    let damage = |damage: &app::upkeep::Damage| {
        json!({
            "sha256": damage.digest.to_hex(),
            "size_bytes": damage.size_bytes,
            "problem": damage.problem,
            "quarantined": damage.quarantined,
            "named_by": damage.named_by,
        })
    };
    json!({ "read": counted(scrubbed.read), "damaged": scrubbed.damaged.iter().map(damage).collect::<Vec<_>>() })
}

impl Fsck {
    pub async fn run(self, house: &Administration, tell: &Tell) -> Result<Output> {
        let checked = house.fsck(tell).await?;
        let output = Output::new(checked_text(&checked), checked_json(&checked), checked.damaged.len().to_string());
        let message = format!("{} of damage", plural(checked.damaged.len() as u64, "finding"));
        Ok(damaged(output, checked.damaged.is_empty(), message, "publish the files named above again, or restore the hub from a backup"))
    }
}

fn checked_text(checked: &Checked) -> String {
    let verdict = if checked.damaged.is_empty() { "all there" } else { "not all there" };
    let mut lines = vec![format!("compared {} and {}: {verdict}", amount(checked.blobs), plural(checked.versions, "version"))];
    for (kind, count) in &checked.garbage {
        let size = if count.bytes > 0 { format!(", {}", bytes(count.bytes)) } else { String::new() };
        lines.push(format!("{} {}{size}", count.blobs, explain(kind)));
    }
    for Finding { code, message, named_by } in &checked.damaged {
        lines.push(format!("\n{code}: {message}"));
        lines.extend(if named_by.is_empty() { Vec::new() } else { named(named_by) });
    }
    lines.join("\n")
}

fn explain(kind: &str) -> &str {
    match kind {
        "orphan" => "in the store without a row; 'hub admin gc' removes it",
        "condemned" => "condemned; gc removes it after its grace period",
        "in_flight" => "on its way into the store",
        "leftover" => "half-written by a process that died; gc removes it",
        "foreign" => "in the store and not the hub's",
        "stray_upload" => "in the staging directory without an upload; gc removes it",
        "row_without_bytes" => "named by nobody and without bytes; gc removes the row",
        "row_of_deleted_version" => "file rows of deleted versions",
        "upload_to_send_again" => "unfinished uploads whose bytes are gone",
        other => other,
    }
}

fn checked_json(checked: &Checked) -> Value {
    let finding = |f: &Finding| json!({ "code": f.code, "message": f.message, "named_by": f.named_by });
    let garbage: serde_json::Map<String, Value> =
        checked.garbage.iter().map(|(kind, count)| ((*kind).to_owned(), counted(*count))).collect();
    json!({
        "blobs": counted(checked.blobs),
        "versions": checked.versions,
        "damaged": checked.damaged.iter().map(finding).collect::<Vec<_>>(),
        "garbage": garbage,
    })
}

impl Backup {
    pub async fn run(self, house: &Administration, tell: &Tell) -> Result<Output> {
        let BackedUp { generation, blobs, copied, generations, removed, lost } =
            house.back_up(&self.dir, BackupPlan { keep: self.keep, verify: self.verify }, tell).await?;
        let mut lines = vec![format!("backed up {generation}: {}; new since the last: {}", amount(blobs), amount(copied))];
        lines.push(format!("{} of {} kept", plural(generations.len() as u64, "moment"), self.dir.display()));
        if removed.blobs > 0 {
            lines.push(format!("removed with older ones: {}", amount(removed)));
        }
        lines.extend(lost.iter().flat_map(lost_text));
        let json = json!({
            "generation": generation, "blobs": counted(blobs), "copied": counted(copied), "generations": generations,
            "removed": counted(removed), "lost": lost.iter().map(lost_json).collect::<Vec<_>>(),
        });
        let output = Output::new(lines.join("\n"), json, generation);
        let message = format!("{} not backed up: the hub does not have them whole", plural(lost.len() as u64, "blob"));
        Ok(damaged(output, lost.is_empty(), message, "publish the files named above again, then back up again"))
    }
}

fn lost_text(lost: &Lost) -> Vec<String> {
    let mut lines = vec![format!("\n{}  {}", lost.digest, lost.problem)];
    lines.extend(named(&lost.named_by));
    lines
}

fn lost_json(lost: &Lost) -> Value {
    json!({ "sha256": lost.digest.to_hex(), "problem": lost.problem, "named_by": lost.named_by })
}

impl Restore {
    pub async fn run(self, config: &Config, tell: &Tell) -> Result<Output> {
        let Restored { generation, blobs, lost } =
            app::restore(config, &self.dir, self.generation.as_deref(), self.incomplete, tell).await?;
        let data = config.data.display().to_string();
        let mut lines = vec![format!("restored {generation} to {data}: {}, each proved", amount(blobs))];
        lines.extend(lost.iter().flat_map(lost_text));
        let json = json!({
            "generation": generation, "data": data, "blobs": counted(blobs), "lost": lost.iter().map(lost_json).collect::<Vec<_>>(),
        });
        let output = Output::new(lines.join("\n"), json, data);
        let message = format!("{} not restored: the backup does not have them whole", plural(lost.len() as u64, "blob"));
        Ok(damaged(output, lost.is_empty(), message, "publish the files named above again"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_read_as_percent() {
        assert_eq!([share("10%"), share("100"), share(" 0.5% ")], [Ok(0.1), Ok(1.0), Ok(0.005)]);
        for text in ["", "%", "0%", "101%", "-1%", "NaN", "ten"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
