//! `hub library bundle` and `add --bundle`: entries with their files in one tar. Whoever reads it believes nothing that does not hash
//! to what its list says, and the server holds that against the index.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::super::output::{CliError, Output, Result};
use super::super::pull;
use super::super::remote::{Remote, Target};
use super::super::table::{bytes, plural};
use super::ensure;
use crate::client::{Folder, FolderRules, LocalFile, hash_files};
use crate::domain::digest::Digest;
use crate::domain::library::bundle::{BLOBS, Bundle, BundleEntry, BundleFile, FORMAT, LIST, MAX_LIST_BYTES};
use crate::domain::manifest::{Manifest, ManifestEntry};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::path::RepoPath;

/// An entry that goes into a bundle, and where its files lie.
struct Packed {
    entry: BundleEntry,
    places: HashMap<String, PathBuf>,
}

/// Writes a bundle.
pub async fn make(remote: &Remote, file: &Path, names: &[String]) -> Result<Output> {
    let mut all = Vec::new();
    for name in names {
        all.push(match name.split_once('=') {
            Some((name, folder)) => from_folder(remote, name, Path::new(folder)).await?,
            None => from_server(remote, name).await?,
        });
    }
    let bundle = Bundle { format: FORMAT, entries: all.iter().map(|packed| packed.entry.clone()).collect() };
    let places: HashMap<String, PathBuf> = all.into_iter().flat_map(|packed| packed.places).collect();
    let (to, list) = (file.to_owned(), bundle.clone());
    let written = tokio::task::spawn_blocking(move || write(&to, &list, &places)).await;
    written
        .map_err(|e| CliError::failed(format!("writing the bundle was stopped: {e}"), "run the command again"))?
        .map_err(|e| unwritten(file, &e))?;
    let total: u64 = bundle.blobs().iter().map(|(_, size)| size).sum();
    let path = file.display().to_string();
    let human = format!("{path}: {}, {}", plural(bundle.entries.len() as u64, "entry"), bytes(total));
    Ok(Output::new(human, json!({ "file": path, "bytes": total, "entries": bundle.entries }), path))
}

/// Fetched by the server if it must be, and pulled from there.
async fn from_server(remote: &Remote, name: &str) -> Result<Packed> {
    let target = Target::parse_repo(name, false)?;
    let client = remote.client()?;
    ensure(&client, remote, target.kind, &target.id, false).await?;
    let pulled = pull::pull(&client, remote, &target, false).await?;
    let entry = client.library_entry(pulled.kind, &pulled.id).await?;
    let files: Vec<&ManifestEntry> = pulled.manifest.entries().iter().collect();
    if !pulled.is_whole() {
        let hint = "its pickles were left out; a bundle holds whole entries";
        return Err(CliError::failed(format!("'{name}' was not pulled as a whole"), hint));
    }
    let places = files.iter().map(|file| (file.digest.to_hex(), pulled.path.join(file.path.as_str()))).collect();
    Ok(Packed { entry: listed(pulled.kind, &pulled.id, entry.commit, &files), places })
}

/// Of files that lie on this machine, in the form of a model folder.
async fn from_folder(remote: &Remote, name: &str, folder: &Path) -> Result<Packed> {
    let target = Target::parse_repo(name, false)?;
    let id = remote.client()?.library_entry(target.kind, &target.id).await?.entry.id;
    let id = RepoId::parse(&id).map_err(|e| CliError::failed(format!("the server calls it '{id}': {e}"), "check the server's address"))?;
    let read = Folder::read(folder, &FolderRules::everything())?;
    let manifest = hash_files(&read, remote.cache().ok().as_ref(), &remote.reporter.sink()).await?;
    let files: Vec<&ManifestEntry> = manifest.entries().iter().collect();
    let place = |file: &LocalFile| Some((manifest.find(file.path.as_str())?.digest.to_hex(), file.source.clone()));
    let places = read.files.iter().filter_map(place).collect();
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Packed { entry: listed(target.kind, &id, format!("a folder of a person ({name})"), &files), places })
}

fn listed(kind: RepoKind, id: &RepoId, origin: String, files: &[&ManifestEntry]) -> BundleEntry {
    let file =
        |file: &&ManifestEntry| BundleFile { path: file.path.to_string(), size_bytes: file.size_bytes, sha256: file.digest.to_hex() };
    BundleEntry { kind: kind.as_str().to_owned(), name: id.to_string(), origin, files: files.iter().map(file).collect() }
}

fn unwritten(file: &Path, error: &std::io::Error) -> CliError {
    CliError::failed(format!("{}: {error}", file.display()), "check free space and permissions")
}

/// Beside its place, and named when it is whole.
fn write(file: &Path, bundle: &Bundle, places: &HashMap<String, PathBuf>) -> std::io::Result<()> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new().prefix(".hub-bundle-").tempfile_in(parent)?;
    let mut tar = tar::Builder::new(BufWriter::new(temporary.as_file()));
    let list = serde_json::to_vec_pretty(bundle)?;
    append(&mut tar, LIST, list.len() as u64, &list[..])?;
    for (digest, size) in bundle.blobs() {
        let place = places.get(digest).ok_or_else(|| std::io::Error::other(format!("no file of sha256 {digest}")))?;
        append(&mut tar, &format!("{BLOBS}{digest}"), size, BufReader::new(File::open(place)?))?;
    }
    tar.into_inner()?.flush()?;
    temporary.as_file().sync_all()?;
    temporary.persist(file).map_err(|e| e.error)?;
    Ok(())
}

/// The same bytes for the same entries: no times, no owners.
fn append(tar: &mut tar::Builder<impl std::io::Write>, name: &str, size: u64, from: impl std::io::Read) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    tar.append_data(&mut header, name, from)
}

/// Reads a bundle, sends what the server lacks, and lets it publish each entry.
pub async fn add(remote: &Remote, file: &Path) -> Result<Output> {
    remote.on_interrupt("entries that were added stay; run the command again for the others");
    let place = tempfile::tempdir().map_err(|e| unwritten(file, &e))?;
    let (from, to) = (file.to_owned(), place.path().to_owned());
    let read = tokio::task::spawn_blocking(move || unpack(&from, &to)).await;
    let read = read.map_err(|e| CliError::failed(format!("reading the bundle was stopped: {e}"), "run the command again"))?;
    let bundle = read.map_err(|problem| refused(file, &problem))?;
    let client = remote.client()?;
    let (mut lines, mut answers) = (Vec::new(), Vec::new());
    for entry in &bundle.entries {
        let (kind, id) = parsed(entry).map_err(|problem| refused(file, &problem))?;
        let (folder, manifest) = laid_out(entry, place.path()).map_err(|problem| refused(file, &problem))?;
        remote.reporter.step(&format!("adding {id}"));
        let done = client.adopt_entry(kind, &id, &entry.origin, &folder, &manifest).await?;
        done.warnings.iter().for_each(|warning| remote.reporter.note(&format!("warning: {id}: {warning}")));
        let how = if done.created { "added" } else { "here already" };
        lines.push(format!("{id}: {how}, version {}", done.version.number));
        answers.push(json!({ "id": id.to_string(), "created": done.created, "version": done.version.number }));
    }
    Ok(Output::new(lines.join("\n"), json!({ "entries": answers }), lines.join("\n")))
}

fn refused(file: &Path, problem: &str) -> CliError {
    CliError::new(5, "bad_bundle", format!("{}: {problem}", file.display()), "nothing of it was published; copy or make the bundle again")
}

fn parsed(entry: &BundleEntry) -> std::result::Result<(RepoKind, RepoId), String> {
    let kind = RepoKind::parse(&entry.kind).map_err(|e| e.to_string())?;
    Ok((kind, RepoId::parse(&entry.name).map_err(|e| e.to_string())?))
}

/// Everything in it, proved, each blob under its digest. Nothing is read behind the first that is not as listed.
fn unpack(file: &Path, to: &Path) -> std::result::Result<Bundle, String> {
    let opened = File::open(file).map_err(|e| e.to_string())?;
    let mut tar = tar::Archive::new(BufReader::new(opened));
    let mut members = tar.entries().map_err(|e| format!("it is no bundle: {e}"))?;
    let mut next = || members.next().transpose().map_err(|e| format!("it is no bundle, or was cut: {e}"));
    let mut first = next()?.filter(|member| member.path_bytes().as_ref() == LIST.as_bytes()).ok_or("it does not begin with its list")?;
    let mut list = Vec::new();
    std::io::Read::by_ref(&mut first).take(MAX_LIST_BYTES).read_to_end(&mut list).map_err(|e| format!("its list was cut: {e}"))?;
    let bundle = Bundle::read(&list)?;
    for (digest, size) in bundle.blobs() {
        let name = format!("{BLOBS}{digest}");
        let member = next()?.ok_or_else(|| format!("it was cut: {name} is missing"))?;
        if member.path_bytes().as_ref() != name.as_bytes() || member.size() != size || !member.header().entry_type().is_file() {
            return Err(format!("where {name} of {size} bytes should be, there is something else"));
        }
        prove(member, digest, &to.join(digest))?;
    }
    match next()? {
        None => Ok(bundle),
        Some(_) => Err("it holds more than its list names".to_owned()),
    }
}

fn prove(mut member: impl std::io::Read, digest: &str, to: &Path) -> std::result::Result<(), String> {
    let failed = |e: std::io::Error| format!("{digest}: {e}");
    let (mut out, mut hash, mut block) = (File::create(to).map_err(failed)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        match member.read(&mut block).map_err(failed)? {
            0 => break,
            read => {
                hash.update(&block[..read]);
                out.write_all(&block[..read]).map_err(failed)?;
            }
        }
    }
    let found = hex::encode(hash.finalize());
    if found == digest { Ok(()) } else { Err(format!("{BLOBS}{digest} hashes to {found}")) }
}

/// The files of an entry as a publish would send them.
fn laid_out(entry: &BundleEntry, place: &Path) -> std::result::Result<(Folder, Manifest), String> {
    let (mut files, mut entries) = (Vec::new(), Vec::new());
    for file in &entry.files {
        let path = RepoPath::parse(&file.path).map_err(|e| e.to_string())?;
        let digest = Digest::parse(&file.sha256).map_err(|e| e.to_string())?;
        files.push(LocalFile { path: path.clone(), source: place.join(&file.sha256), size_bytes: file.size_bytes });
        entries.push(ManifestEntry { path, size_bytes: file.size_bytes, digest });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let manifest = Manifest::new(entries).map_err(|e| format!("{}: {e}", entry.name))?;
    Ok((Folder { files, ignored: Vec::new() }, manifest))
}
