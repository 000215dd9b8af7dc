//! What the catalog claims, laid open for those who compare it with the store and with itself.

use crate::db::{Result, Row, Tx};
use crate::domain::digest::Digest;
use crate::domain::id::{RepoKey, UploadId};
use crate::domain::time::Timestamp;
use crate::params;

/// A version that is not deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub repo: RepoKey,
    pub number: u32,
    /// `model ada/net@3`
    pub name: String,
    /// sha256 of the manifest its files must make.
    pub manifest: Digest,
}

const NAME: &str = "r.kind, r.namespace, r.name";

fn name(row: &Row, number: i64) -> Result<String> {
    Ok(format!("{} {}/{}@{number}", row.text("kind")?, row.text("namespace")?, row.text("name")?))
}

/// Versions in the order of their keys, after `after`.
pub fn versions(tx: &mut Tx<'_>, after: Option<&Claim>, limit: usize) -> Result<Vec<Claim>> {
    let sql = format!(
        "select v.repo, v.number, v.manifest, {NAME} from versions v join repos r on r.key = v.repo
         where v.state <> 'deleted' and (v.repo > $1 or (v.repo = $1 and v.number > $2)) order by v.repo, v.number limit $3"
    );
    let (repo, number) = after.map_or(("", 0), |claim| (claim.repo.as_str(), claim.number));
    let claim = |row: &Row| {
        let number = row.int("number")?;
        let (repo, manifest) = (row.parse("repo", RepoKey::parse)?, row.parse("manifest", Digest::parse)?);
        Ok(Claim { repo, number: u32::try_from(number).unwrap_or(u32::MAX), name: name(row, number)?, manifest })
    };
    tx.all(&sql, params![repo, number, limit])?.iter().map(claim).collect()
}

/// The files of versions that hold a blob or one that lies in pieces of it, such as
/// `model ada/net@3: model.safetensors`; at most `limit`.
pub fn named_by(tx: &mut Tx<'_>, digest: &Digest, limit: usize) -> Result<Vec<String>> {
    let sql = format!(
        "select f.number, f.path, {NAME} from files f join repos r on r.key = f.repo
         where f.digest = $1 or f.digest in (select s.digest from blob_segments s where s.source = $1)
         order by r.namespace, r.name, f.number, f.path limit $2"
    );
    let file = |row: &Row| Ok(format!("{}: {}", name(row, row.int("number")?)?, row.text("path")?));
    tx.all(&sql, params![digest.to_hex(), limit])?.iter().map(file).collect()
}

/// Refs that name no version that is there.
pub fn lost_refs(tx: &mut Tx<'_>) -> Result<Vec<String>> {
    let sql = format!(
        "select m.name as ref, m.number, {NAME} from refs m join repos r on r.key = m.repo
         left join versions v on v.repo = m.repo and v.number = m.number where v.repo is null or v.state = 'deleted'"
    );
    let lost = |row: &Row| Ok(format!("{}, named by '{}'", name(row, row.int("number")?)?, row.text("ref")?));
    tx.all(&sql, &[])?.iter().map(lost).collect()
}

/// How many rows of files have no version that is there.
pub fn count_stray_files(tx: &mut Tx<'_>) -> Result<u64> {
    let sql = "select count(*) as n from files f left join versions v on v.repo = f.repo and v.number = f.number
         where v.repo is null or v.state = 'deleted'";
    tx.one(sql, &[])?.count("n")
}

/// Jobs that may be taken up again, and the checkpoint each would go on from.
pub fn checkpoints(tx: &mut Tx<'_>) -> Result<Vec<(String, Digest)>> {
    let sql = "select id, checkpoint from jobs where state in ('queued', 'running') and checkpoint is not null";
    let read = |row: &Row| Ok((row.text("id")?, row.parse("checkpoint", Digest::parse)?));
    tx.all(sql, &[])?.iter().map(read).collect()
}

/// Files of jobs: what people call each, and its blob.
pub fn job_files(tx: &mut Tx<'_>) -> Result<Vec<(String, Digest)>> {
    let read = |row: &Row| Ok((format!("{} of job {}", row.text("name")?, row.text("job")?), row.parse("digest", Digest::parse)?));
    tx.all("select job, name, digest from job_files", &[])?.iter().map(read).collect()
}

/// Uploads under way that some bytes have arrived of.
pub fn begun_uploads(tx: &mut Tx<'_>, now: Timestamp) -> Result<Vec<UploadId>> {
    let sql = "select u.id from uploads u left join blob_grants g on g.digest = u.digest and g.account = u.account
         where g.digest is null and u.received_bytes > 0 and u.expires > $1";
    tx.all(sql, params![now.unix_ms()])?.iter().map(|row| row.parse("id", UploadId::parse)).collect()
}
