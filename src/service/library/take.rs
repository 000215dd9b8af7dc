//! One fetch: what the upstream lists is compared with the index, fetched, proved, given a card, and published as the entry's repo.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::super::repos::mirror::fetch::remove_abandoned;
use super::super::repos::publish::{Also, Committed};
use super::super::repos::publish_folder::FolderCommit;
use super::super::{Error, Problem, Service};
use super::EntryDetail;
use super::fetch::{Meter, Outcome, Source, problem_of};
use crate::catalog::{library, repos};
use crate::checks::{Checks, ToImport};
use crate::domain::card::{Card, MAX_CARD_BYTES};
use crate::domain::digest::Digest;
use crate::domain::disk;
use crate::domain::human;
use crate::domain::library::{Entry, Pin};
use crate::domain::path::RepoPath;
use crate::domain::user::Actor;
use crate::import::mirror::{self, Naming, Snapshot};

const CARD: &str = "README.md";
/// What holds weights in a form that does not run anything.
const WEIGHTS: &str = ".safetensors";
/// PyTorch's files, which are pickles inside.
const PICKLES: &[&str] = &[".bin", ".pt", ".pth", ".ckpt"];
/// The same weights for other programs.
const OTHER_FORMS: &[&str] = &[".h5", ".msgpack", ".ot", ".onnx", ".onnx_data", ".tflite", ".mlmodel", ".xml"];
const OTHER_FOLDERS: &[&str] = &["onnx/", "openvino/", "coreml/"];
/// An import holds its weights in memory, twice.
const MOST_IMPORTED_BYTES: u64 = 4 << 30;
/// Files of one reason that a warning names.
const MOST_NAMED: usize = 5;

/// The two ways on for a server that cannot fetch.
fn two_ways(name: &str) -> String {
    format!(
        "two ways on: 'hub library bundle FILE {name}' against a hub with a network and 'hub library add --bundle FILE' here; \
         or 'hub import' with the weights by hand"
    )
}

fn problem(code: &'static str, message: String, hint: String) -> Problem {
    Problem { code, message, hint, moved_to: None }
}

/// Files to be published, with their paths.
type Files = Vec<(RepoPath, PathBuf)>;

impl Service {
    pub(super) async fn take_entry(&self, source: &Source, found: &EntryDetail, meter: &Arc<Meter>) -> Outcome {
        let name = found.entry.name();
        match self.take_files(source, found, meter).await {
            Ok(done) => {
                tracing::info!(name, version = done.version.number, "an entry of the library was fetched");
                Outcome::Here { warnings: done.warnings }
            }
            Err(problem) => {
                tracing::warn!(name, code = problem.code, problem = problem.message, "an entry of the library was not fetched");
                Outcome::Failed(problem)
            }
        }
    }

    async fn take_files(&self, source: &Source, found: &EntryDetail, meter: &Arc<Meter>) -> std::result::Result<Committed, Problem> {
        let name = found.entry.name();
        let Some(there) = found.entry.upstream() else {
            let message = format!("'{name}': the index names no place its files could be fetched from");
            return Err(problem("facts_only", message, "its page says where it is to be had; bring it in with 'hub import'".into()));
        };
        let Some(upstream) = &source.upstream else {
            let message = format!("'{name}' was not fetched: this server fetches nothing for its library (library_upstream is off)");
            return Err(problem("library_off", message, two_ways(name)));
        };
        let tell = meter.tell();
        let revision = revision(&found.entry);
        let listed = upstream.snapshot(found.repo.kind, there, revision, &tell).await;
        let mut snapshot = listed.map_err(|e| refused(name, e))?;
        if snapshot.private && !upstream.has_token() {
            return Err(gate(name, &format!("{} shows '{there}' to those who agreed to its licence", upstream.address())));
        }
        self.choose(&mut snapshot);
        compare(found, &snapshot)?;
        let place = source.folder.join(format!("{}-{}", found.repo.id.folded().replace('/', "--"), snapshot.commit));
        let folder = source.folder.clone();
        // Whether it goes well matters to nobody now.
        let _ = spawn_blocking(move || remove_abandoned(&folder)).await;
        let files = place.join("files");
        let fetched = upstream.fetch(&snapshot, &files, Naming::Theirs, &place.join("parts"), &tell).await;
        fetched.map_err(|e| refused(name, e))?;
        let published = self.publish_entry(upstream.address(), found, &snapshot, &place).await;
        // What cannot be published now never can; what can is safe. A full disk may have room later.
        if published.as_ref().map_or_else(|problem| problem.code != "disk_full", |_| true) {
            let _ = tokio::fs::remove_dir_all(&place).await;
        }
        published
    }

    /// Leaves out what this server never takes, by its size, and the same weights in other forms.
    fn choose(&self, snapshot: &mut Snapshot) {
        let most = self.policy.max_file_bytes;
        snapshot.leave_out(|file| (file.size_bytes > most).then(|| format!("it has more than the {most} bytes a file may have here")));
        let ends = |path: &RepoPath, endings: &[&str]| endings.iter().any(|ending| path.as_str().to_ascii_lowercase().ends_with(ending));
        let safe = snapshot.files.iter().any(|file| ends(&file.path, &[WEIGHTS]));
        let torch = snapshot.files.iter().any(|file| ends(&file.path, PICKLES));
        snapshot.leave_out(|file| {
            let elsewhere = OTHER_FOLDERS.iter().any(|folder| file.path.as_str().starts_with(folder)) || ends(&file.path, OTHER_FORMS);
            let again = safe && ends(&file.path, PICKLES) || (safe || torch) && elsewhere;
            again.then(|| "the same weights in another form".to_owned())
        });
    }

    async fn publish_entry(
        &self,
        address: &str,
        found: &EntryDetail,
        snapshot: &Snapshot,
        place: &Path,
    ) -> std::result::Result<Committed, Problem> {
        let (read, entry, at, checks) = (snapshot.clone(), found.entry.clone(), place.to_owned(), self.checks.clone());
        let pins = [found.entry.pins(), &found.pins[..]].concat();
        let prepared = spawn_blocking(move || prepare(&checks, &read, &entry, &pins, &at)).await;
        let (files, pins, mut warnings) =
            prepared.unwrap_or_else(|e| Err(problem_of(Error::Internal(format!("preparing an entry: {e}")))))?;
        warnings.extend(snapshot.said_of_left_out(MOST_NAMED));
        let message = format!("Library: {} at {address} ({})", snapshot.id, snapshot.commit);
        let commit = FolderCommit { message, private: snapshot.private, warnings, ..FolderCommit::default() };
        let (kind, id) = (found.repo.kind, &found.repo.id);
        let hidden = match snapshot.private {
            true => self.patch_repo(&Actor::System, kind, id, Some(true), None).await.map(drop),
            false => Ok(()),
        };
        hidden.map_err(problem_of)?;
        let also = also(found, format!("{} of {} at {address}", snapshot.commit, snapshot.id), pins);
        self.publish_files_and(&Actor::System, kind, id, files, commit, Some(also)).await.map_err(problem_of)
    }
}

fn revision(entry: &Entry) -> &str {
    match entry {
        Entry::Model(model) if !model.revision.is_empty() => &model.revision,
        _ => "main",
    }
}

/// In the transaction that makes the version: what was fetched is written down, and the stages of its training. What people published
/// meanwhile stands.
pub(super) fn also(found: &EntryDetail, commit: String, pins: Vec<Pin>) -> Also {
    let key = found.repo.key.clone();
    Arc::new(move |tx, version| {
        let Some(listed) = library::find(tx, &key)? else {
            return Err(Error::conflict("not_in_library", "it is no entry of the library any more", "'hub library list' lists those"));
        };
        if listed.commit.is_empty() && version.parent.is_some() {
            let message = format!("'{}' was published by somebody meanwhile; theirs stays", listed.entry.name());
            return Err(Error::conflict("published_by_people", message, "fetch it from there with 'hub pull'"));
        }
        library::set_fetched(tx, &key, &commit, &pins)?;
        if let Some(repo) = repos::find_by_key(tx, &key)? {
            library::put_stages(tx, &repo, version.number, &listed.entry)?;
        }
        Ok(())
    })
}

/// What is announced must be what the index says, and what came before. Asked before anything is fetched, where that is announced.
fn compare(found: &EntryDetail, snapshot: &Snapshot) -> std::result::Result<(), Problem> {
    let name = found.entry.name();
    for pin in found.entry.pins() {
        if !snapshot.files.iter().any(|file| file.path.as_str() == pin.path) {
            return Err(digest(name, &format!("'{}' of the index is not among the upstream's files", pin.path)));
        }
    }
    let pins = [found.entry.pins(), &found.pins[..]].concat();
    for file in &snapshot.files {
        let wrong = file.sha256().and_then(|announced| Pin::problem(&pins, file.path.as_str(), &announced));
        if let Some(wrong) = wrong {
            return Err(digest(name, &wrong));
        }
    }
    let weights = |path: &str| path.ends_with(WEIGHTS) || PICKLES.iter().any(|ending| path.ends_with(ending));
    if found.repo.kind == crate::domain::name::RepoKind::Model && !snapshot.files.iter().any(|file| weights(file.path.as_str())) {
        let message = format!("'{name}' was not fetched: the upstream holds no weights that could be taken");
        return Err(problem("library_unfit", message, two_ways(name)));
    }
    Ok(())
}

/// Hashes the weights, turns those that are pickles into safetensors where an architecture here has such tensors, and writes the card.
fn prepare(
    checks: &Checks,
    snapshot: &Snapshot,
    entry: &Entry,
    pins: &[Pin],
    place: &Path,
) -> std::result::Result<(Files, Vec<Pin>, Vec<String>), Problem> {
    let folder = place.join("files");
    let mut files: Files = snapshot.files.iter().map(|file| (file.path.clone(), Naming::Theirs.place(&folder, file))).collect();
    let mut found = Vec::new();
    for (path, at) in &files {
        if !path.as_str().ends_with(WEIGHTS) && !PICKLES.iter().any(|ending| path.as_str().ends_with(ending)) {
            continue;
        }
        let (hash, size_bytes) = hash(at).map_err(|e| problem_of(Error::of_file("hashing an entry of the library", &e)))?;
        if let Some(wrong) = Pin::problem(pins, path.as_str(), &hash) {
            return Err(digest(entry.name(), &wrong));
        }
        found.push(Pin { path: path.to_string(), sha256: hash.to_hex(), size_bytes: Some(size_bytes) });
    }
    let mut warnings = Vec::new();
    if !files.iter().any(|(path, _)| path.as_str().ends_with(WEIGHTS)) {
        import_pickle(checks, entry, &folder, &place.join("imported"), &mut files, &mut warnings)?;
    }
    let written = write_card(entry, &mut files, place);
    written.map_err(|e| problem_of(Error::of_file("writing the card of an entry of the library", &e)))?;
    Ok((files, found, warnings))
}

/// Weights of PyTorch go through the reader that executes nothing, in a process that holds nothing else. Those of a network that nothing
/// here has are kept as they came.
fn import_pickle(
    checks: &Checks,
    entry: &Entry,
    folder: &Path,
    place: &Path,
    files: &mut Files,
    warnings: &mut Vec<String>,
) -> std::result::Result<(), Problem> {
    let Entry::Model(model) = entry else { return Ok(()) };
    let pickle = |path: &RepoPath| PICKLES.iter().any(|ending| path.as_str().ends_with(ending));
    let size = |at: &PathBuf| std::fs::metadata(at).map_or(0, |found| found.len());
    let pickles: Vec<PathBuf> = files.iter().filter(|(path, _)| pickle(path)).map(|(_, at)| at.clone()).collect();
    let bytes: u64 = pickles.iter().map(size).sum();
    if bytes > MOST_IMPORTED_BYTES {
        warnings.push(format!("the weights stay in PyTorch's form: {} are too many to be read here", human::bytes(bytes)));
        return Ok(());
    }
    // What an earlier try left.
    let _ = std::fs::remove_dir_all(place);
    // Word vectors are one file, and no network.
    let source = match &pickles[..] {
        [one] if model.is_word_vectors() => one.clone(),
        _ => folder.to_owned(),
    };
    let to_import = ToImport {
        source,
        out: place.join("model"),
        architecture: Some(model.architecture.clone()).filter(|name| !name.is_empty() && !model.is_word_vectors()),
        license: Some(model.license.clone()).filter(|license| !license.is_empty()),
    };
    match checks.import(&to_import) {
        Ok(Ok(made)) => {
            files.retain(|(path, _)| !pickle(path) && made.files.iter().all(|(name, _)| path.as_str() != *name));
            files.extend(made.files.into_iter().filter_map(|(name, at)| Some((RepoPath::parse(name).ok()?, at))));
            warnings.push(format!("the weights were read from {} and written as safetensors", made.form));
            Ok(())
        }
        Ok(Err(why)) if why.runs_code => {
            let message = format!("'{}' was not fetched: loading its weights would run code: {}", entry.name(), why.problem);
            Err(problem("library_unsafe", message, "tell whoever keeps it there, or find the same weights as safetensors".into()))
        }
        Ok(Err(why)) => {
            warnings.push(format!("the weights stay in PyTorch's form, since nothing here is built of them: {}", why.problem));
            Ok(())
        }
        Err(error) => {
            tracing::warn!(name = entry.name(), %error, "weights of the library were not read");
            warnings.push(format!("the weights stay in PyTorch's form: their reading {error}"));
            Ok(())
        }
    }
}

/// The card that came, with what the index knows and it does not say; or that of the index.
fn write_card(entry: &Entry, files: &mut Files, place: &Path) -> std::io::Result<()> {
    let own = files.iter().find(|(path, _)| path.as_str() == CARD).map(|(_, at)| at.clone());
    let text = match &own {
        Some(at) => std::fs::read(at)?,
        None => Vec::new(),
    };
    if text.len() > MAX_CARD_BYTES {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&text);
    let (card, problems) = Card::read(&text);
    let complete = entry.complete(card.clone());
    // One that cannot be read entirely is left as it is: writing it again could lose something.
    if own.is_some() && (!problems.is_empty() || complete == card) {
        return Ok(());
    }
    let at = place.join("card");
    std::fs::write(&at, complete.to_markdown())?;
    files.retain(|(path, _)| path.as_str() != CARD);
    files.extend(RepoPath::parse(CARD).ok().map(|path| (path, at)));
    Ok(())
}

fn hash(path: &Path) -> std::io::Result<(Digest, u64)> {
    use std::io::Read as _;

    use sha2::{Digest as _, Sha256};
    let (mut file, mut hash, mut block, mut size) = (std::fs::File::open(path)?, Sha256::new(), vec![0; 1 << 20], 0);
    loop {
        match file.read(&mut block)? {
            0 => return Ok((Digest::from_bytes(hash.finalize().into()), size)),
            read => {
                hash.update(&block[..read]);
                size += read as u64;
            }
        }
    }
}

fn gate(name: &str, why: &str) -> Problem {
    let hint = format!("agree to its licence there, and give this server a token of that account (library_token); {}", two_ways(name));
    problem("library_gate", format!("'{name}' was not fetched because of its licence: {why}"), hint)
}

fn digest(name: &str, why: &str) -> Problem {
    let hint = format!("nothing was published; tell whoever keeps it there, or whoever wrote the index; {}", two_ways(name));
    problem("library_digest", format!("'{name}' was not taken because of its digest: {why}"), hint)
}

/// Which of network, licence gate and digest it was.
fn refused(name: &str, error: mirror::Error) -> Problem {
    let network = |why: String| {
        let hint = format!("{}; {}", "try again later, what has arrived is kept", two_ways(name));
        problem("library_network", format!("'{name}' was not fetched because of the network: {why}"), hint)
    };
    match error {
        mirror::Error::Refused { .. } => gate(name, &error.to_string()),
        mirror::Error::Damaged { .. } => digest(name, &error.to_string()),
        mirror::Error::Unfit(why) => problem("library_unfit", format!("'{name}' cannot be taken: {why}"), two_ways(name)),
        // What it says names places of this machine, which are the administrator's business.
        mirror::Error::Io { source, .. } if disk::is_full(&source) => problem_of(Error::of_file("an entry of the library", &source)),
        mirror::Error::Io { path, source } => problem_of(Error::Internal(format!("{}: {source}", path.display()))),
        other => network(other.to_string()),
    }
}

/// For [`super::adopt`].
pub(super) fn wrong_digest(name: &str, why: &str) -> Error {
    let Problem { code, message, hint, .. } = digest(name, why);
    Error::invalid(code, message, hint)
}
