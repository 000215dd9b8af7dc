//! `hub cache`: what was pulled is listed, read again, thrown away, found.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::{CliError, Output, Result, Style, json_line};
use super::remote::{Remote, Target};
use super::table::{bytes, minute, plural, table};
use crate::cache::{Cached, Choice, Damaged, Pruned, Tally, Verified};
use crate::client::Event;
use crate::domain::revision::Revision;
use crate::domain::time::Timestamp;

/// List, verify, prune and find what was pulled
///
/// The cache keeps each file once, under its sha256, and each version as a folder of links. Several processes may use
/// it at the same time. HUB_CACHE says where it lies.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct CacheArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the versions that are here, with their sizes and when they were last used
    List,
    /// Read every file again and compare it with its sha256
    ///
    /// Damaged files are named and thrown away, so that the next pull fetches them anew; the exit code is then 5.
    Verify,
    Prune(Prune),
    /// Print the folder of a version that is here, or of the cache
    Path {
        /// NAME[@REVISION]
        #[arg(value_name = "NAME[@REVISION]")]
        name: Option<String>,
        /// The name is a data set's (also: dataset:NAME)
        #[arg(long, requires = "name")]
        dataset: bool,
    },
}

/// Throw away what is not needed any more
///
/// Without further words: files of no version, and downloads that were cut more than a day ago. With names or
/// times also the versions that fit all of them. What a running pull needs stays.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub cache prune --dry-run               what would go, and how many bytes
  hub cache prune --unused-for 30d        also versions nobody used for 30 days
  hub cache prune acme/net dataset:pets   also every version of these
  hub cache prune acme/net@3              also this version
  hub cache prune --all                   everything that is not in use")]
struct Prune {
    /// Versions to throw away: NAME or NAME@REVISION
    #[arg(value_name = "NAME[@REVISION]")]
    names: Vec<String>,
    /// The versions that were not used for so long: 12h, 30d, 8w
    #[arg(long, value_name = "TIME", value_parser = period)]
    unused_for: Option<Duration>,
    /// The versions that came here longer ago than this
    #[arg(long, value_name = "TIME", value_parser = period)]
    older_than: Option<Duration>,
    /// All versions, and every download that was cut
    #[arg(long, conflicts_with_all = ["names", "unused_for", "older_than"])]
    all: bool,
    /// Say what would go, and keep it
    #[arg(long)]
    dry_run: bool,
}

impl CacheArgs {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        remote.on_interrupt("nothing is lost; run the command again");
        match self.command {
            Command::List => list(remote),
            Command::Verify => verify(remote).await,
            Command::Prune(args) => args.run(remote).await,
            Command::Path { name: None, .. } => {
                let root = remote.cache()?.root().display().to_string();
                Ok(Output::new(root.clone(), json!({ "path": root }), root))
            }
            Command::Path { name: Some(name), dataset } => path(remote, &Target::parse(&name, dataset)?),
        }
    }
}

fn list(remote: &Remote) -> Result<Output> {
    let cache = remote.cache()?;
    let versions = cache.list()?;
    let (blobs, partial) = cache.usage()?;
    let rows: Vec<Vec<String>> = versions.iter().map(row).collect();
    let root = cache.root().display();
    let cut = if partial.count > 0 { format!("; {} of downloads that were cut", bytes(partial.bytes)) } else { String::new() };
    let shared = "counting once what versions share";
    let count = plural(versions.len() as u64, "version");
    remote.reporter.note(&format!("{count} in {root}: {} on the disk, {shared}{cut}", bytes(blobs.bytes)));
    let human =
        if versions.is_empty() { String::new() } else { table(&["name", "refs", ">files", ">size", "last used (UTC)", "server"], &rows) };
    let json = json!({
        "path": cache.root(), "versions": versions.iter().map(described).collect::<Vec<_>>(),
        "blobs": tally(blobs), "partial": tally(partial),
    });
    Ok(Output::new(human, json, versions.iter().map(Cached::label).collect::<Vec<_>>().join("\n")))
}

fn row(version: &Cached) -> Vec<String> {
    let refs = version.refs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let files = version.entries.len();
    let files = if version.whole { files.to_string() } else { format!("{files} of {}", version.files_of_version) };
    let used = minute(&version.last_used.to_string());
    vec![version.label(), refs, files, bytes(version.total_bytes()), used, version.server.clone()]
}

fn described(version: &Cached) -> Value {
    json!({
        "server": version.server, "kind": version.kind.as_str(), "repo": version.id.to_string(), "version": version.number,
        "commit": version.commit.as_str(), "refs": version.refs.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "files": version.entries.len(), "files_of_version": version.files_of_version, "whole": version.whole,
        "total_bytes": version.total_bytes(), "since": version.since.to_string(), "last_used": version.last_used.to_string(),
        "path": version.path,
    })
}

fn tally(tally: Tally) -> Value {
    json!({ "count": tally.count, "bytes": tally.bytes })
}

async fn verify(remote: &Remote) -> Result<Output> {
    let (cache, sink) = (remote.cache()?, remote.reporter.sink());
    let verified = blocking(move || {
        let begin = |files: usize, bytes| sink(Event::Begin { what: "verifying", files: files as u64, bytes });
        let verified = cache.verify(&begin, &|count| sink(Event::Advance(count)));
        sink(Event::End);
        verified
    });
    let Verified { files, bytes: read, damaged } = verified.await?;
    let named = |damaged: &Damaged| json!({ "path": damaged.path, "stood_for": damaged.stood_for });
    let json = json!({ "files": files, "bytes": read, "damaged": damaged.iter().map(named).collect::<Vec<_>>() });
    if damaged.is_empty() {
        let human = format!("{}, {}: every sha256 is as it should be", plural(files as u64, "file"), bytes(read));
        return Ok(Output::new(human, json, ""));
    }
    if remote.style == Style::Json {
        json_line(&json);
    }
    for file in &damaged {
        let what = if file.stood_for.is_empty() { "a file of no version".to_owned() } else { file.stood_for.join(", ") };
        remote.reporter.note(&format!("damaged: {what} ({})", file.path.display()));
    }
    let message = format!("{} of {} were damaged and have been thrown away", damaged.len(), plural(files as u64, "file"));
    let mut versions: Vec<&str> = damaged.iter().flat_map(|file| &file.stood_for).filter_map(|name| name.split(' ').next()).collect();
    versions.sort_unstable();
    versions.dedup();
    let hint = match versions.first() {
        Some(version) => format!("fetch them again: `hub pull {version}`{}", if versions.len() > 1 { " and so on" } else { "" }),
        None => "no version needs them".to_owned(),
    };
    Err(CliError::new(5, "damaged", message, format!("{hint}; if it happens again, check the disk")))
}

impl Prune {
    async fn run(self, remote: &Remote) -> Result<Output> {
        let cache = remote.cache()?;
        let names = self.names.iter().map(|name| Ok((Target::parse(name, false)?, name.contains('@')))).collect::<Result<Vec<_>>>()?;
        let known = cache.list()?;
        if let Some((target, _)) = names.iter().find(|name| !known.iter().any(|version| is_named(version, name))) {
            let hint = "`hub cache list` shows what is here; data sets are written dataset:NAME";
            return Err(CliError::new(3, "not_cached", format!("{} is not in the cache", target.id), hint));
        }
        let dry_run = self.dry_run;
        let now = now();
        let pruned = blocking(move || {
            let choice = Choice { versions: &|version| self.chooses(version, &names, now), fresh: self.all, now };
            cache.prune(&choice, dry_run)
        });
        Ok(report(remote, &pruned.await?, dry_run))
    }

    fn chooses(&self, version: &Cached, names: &[(Target, bool)], now: Timestamp) -> bool {
        let before = |time: Timestamp, period: Option<Duration>| {
            period.is_none_or(|period| now.unix_ms() - time.unix_ms() > i64::try_from(period.as_millis()).unwrap_or(i64::MAX))
        };
        let some = !names.is_empty() || self.unused_for.is_some() || self.older_than.is_some();
        let fits = (names.is_empty() || names.iter().any(|name| is_named(version, name)))
            && before(version.last_used, self.unused_for)
            && before(version.since, self.older_than);
        self.all || some && fits
    }
}

fn is_named(version: &Cached, (target, with_revision): &(Target, bool)) -> bool {
    let same = version.kind == target.kind && version.id.folded() == target.id.folded();
    let revision = match &target.revision {
        Revision::Ref(name) => version.refs.contains(name),
        Revision::Number(number) => version.number == Some(*number),
        Revision::Commit(prefix) => version.commit.as_str().starts_with(prefix.as_str()),
        Revision::Manifest(digest) => digest.to_hex().starts_with(version.commit.as_str()),
    };
    same && (revision || !with_revision)
}

fn report(remote: &Remote, pruned: &Pruned, dry_run: bool) -> Output {
    let mut lines: Vec<String> = pruned.versions.iter().map(Cached::label).collect();
    for (what, tally) in [("file", pruned.blobs), ("cut download", pruned.partial), ("other file", pruned.other)] {
        if tally.count > 0 {
            lines.push(format!("{}, {}", plural(tally.count as u64, what), bytes(tally.bytes)));
        }
    }
    for version in &pruned.in_use {
        remote.reporter.note(&format!("{} is in use and stays", version.label()));
    }
    let freed = pruned.freed_bytes();
    lines.push(format!("{} {}", if dry_run { "would free" } else { "freed" }, bytes(freed)));
    let labels = |versions: &[Cached]| versions.iter().map(described).collect::<Vec<_>>();
    let json = json!({
        "dry_run": dry_run, "freed_bytes": freed, "versions": labels(&pruned.versions), "in_use": labels(&pruned.in_use),
        "blobs": tally(pruned.blobs), "partial": tally(pruned.partial), "other": tally(pruned.other),
    });
    Output::new(lines.join("\n"), json, freed.to_string())
}

fn path(remote: &Remote, target: &Target) -> Result<Output> {
    let cache = remote.cache()?;
    let server = remote.address()?.folder();
    let here: Vec<Cached> = cache.list()?.into_iter().filter(|v| v.server == server && is_named(v, &(target.clone(), true))).collect();
    if let Some(version) = here.iter().find(|version| version.whole) {
        let path = version.path.display().to_string();
        return Ok(Output::new(path.clone(), described(version), path));
    }
    let hint = match here.first() {
        Some(some) => format!("some of its files are in {}; `hub pull {}` fetches the rest", some.path.display(), some.label()),
        None => format!("`hub pull {}` fetches it; `hub cache list` shows what is here", target.id),
    };
    Err(CliError::new(3, "not_cached", format!("{}@{} is not in the cache", target.id, target.revision), hint))
}

/// `90m`, `12h`, `30d`, `8w`
fn period(text: &str) -> std::result::Result<Duration, String> {
    let units = [('m', 60), ('h', 3_600), ('d', 86_400), ('w', 604_800)];
    let read = units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?.parse::<u32>().ok()?, seconds)));
    let (count, seconds) = read.ok_or("write a number and m, h, d or w, such as 30d")?;
    Ok(Duration::from_secs(u64::from(count) * seconds))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Off the thread that hears Ctrl-C.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> crate::cache::Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|e| CliError::new(1, "internal", format!("the cache failed: {e}"), "report this as a bug"))?;
    Ok(done?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_as_people_write_them() {
        let read = |text| period(text).map(|period| period.as_secs());
        assert_eq!(["90m", "12h", "30d", "8w", "0d"].map(read), [5_400, 43_200, 2_592_000, 4_838_400, 0].map(Ok));
        for text in ["", "30", "d", "-1d", "1.5h", "1y", "99999999999d"] {
            assert!(period(text).is_err(), "{text}");
        }
    }
}
