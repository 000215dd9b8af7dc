//! The row that lists and searches know of a repo, and what counts it: written anew whenever something it follows from has changed, in the same
//! transaction, so that whoever publishes finds what they have published and nothing can tell the two apart.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{facts, full_text, library, results, sources};
use super::terms::{self, LISTING, State};
use super::{measures, merit};
use crate::db::{Result, Row, Tx};
use crate::domain::controlled;
use crate::domain::id::RepoKey;
use crate::domain::repo::Facts;
use crate::domain::results::dataset_name;
use crate::params;

/// What a repo hands on to what was made from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::catalog) struct Legacy {
    pub folded: String,
    pub private: bool,
    /// Numbers of the data sets it comes from.
    pub sources: String,
}

/// A repo as the catalog's own tables have it.
struct Repo {
    kind: String,
    namespace: String,
    folded: String,
    private: bool,
    downloads: i64,
    created: i64,
    updated: i64,
    /// Of the version its facts are of; none where nothing is known.
    number: Option<i64>,
    columns: BTreeMap<&'static str, String>,
    parameters: Option<i64>,
    total_bytes: i64,
    top1: f64,
    runs: bool,
    /// The first data set it was trained on, as pages write it.
    source: String,
}

/// What was written before.
struct Before {
    id: i64,
    state: State,
    bytes: i64,
    terms: BTreeSet<i64>,
    /// Those of them that stand in `listing_terms`.
    posted: BTreeSet<i64>,
    legacy: Legacy,
}

/// Writes what lists and searches know of a repo; what was made from it is told if that changes what it comes from.
pub fn refresh(tx: &mut Tx<'_>, key: &RepoKey) -> Result<()> {
    let (before, after) = rewrite(tx, key)?;
    if before != after {
        let names: BTreeSet<String> = [before, after].into_iter().flatten().map(|legacy| legacy.folded).collect();
        for folded in names {
            sources::tell(tx, &folded)?;
        }
    }
    Ok(())
}

/// Is it in lists and searches?
pub(super) fn is_listed(tx: &mut Tx<'_>, key: &RepoKey) -> Result<bool> {
    Ok(tx.find("select id from listing where repo = $1", params![key.as_str()])?.is_some())
}

/// Takes a repo out of lists and searches. Its row of `repos` says by then that it is deleted, or is about to go.
pub fn remove(tx: &mut Tx<'_>, key: &RepoKey) -> Result<()> {
    full_text::unindex(tx, key)?;
    let Some(before) = before(tx, key)? else { return Ok(()) };
    erase(tx, &before)?;
    sources::tell(tx, &before.legacy.folded)
}

/// Writes the row of one repo; what it handed on before and what it hands on now.
pub(in crate::catalog) fn rewrite(tx: &mut Tx<'_>, key: &RepoKey) -> Result<(Option<Legacy>, Option<Legacy>)> {
    tx.lock(LISTING)?;
    let before = before(tx, key)?;
    let Some(mut repo) = Repo::find(tx, key)? else {
        if let Some(before) = &before {
            erase(tx, before)?;
        }
        return Ok((before.map(|before| before.legacy), None));
    };
    let facts = repo.facts(tx, key)?;
    let known = measures::all(&facts, results::of_repos(tx, std::slice::from_ref(key))?.remove(key).unwrap_or_default());
    repo.top1 = measures::top1(&known);
    repo.runs = facts.listing.is_none() && facts.can_be_run();
    repo.source = facts.source_datasets.first().map(|name| dataset_name(name)).unwrap_or_default();
    let columns = repo.columns.iter().map(|(facet, value)| Ok((*facet, number_of(tx, &repo, facet, value)?)));
    let columns: BTreeMap<&str, i64> = columns.collect::<Result<_>>()?;
    let (mut posted, sources) = repo.posted(tx, key)?;
    for word in beyond(&repo) {
        posted.insert(terms::number(tx, &repo.kind, terms::TAG, &word)?);
    }
    if repo.runs {
        posted.insert(terms::number(tx, &repo.kind, terms::RUNS, terms::YES)?);
    }
    let id = match &before {
        Some(before) => before.id,
        None => tx.one("select coalesce(max(id), 0) + 1 as id from listing", &[])?.int("id")?,
    };
    insert(tx, key, id, (&repo, &columns, &sources))?;
    let mut all: BTreeSet<i64> = columns.values().copied().filter(|term| *term > 0).chain(posted.iter().copied()).collect();
    let everything = terms::number(tx, &repo.kind, terms::ALL, "")?;
    all.insert(everything);
    post(tx, id, before.as_ref().map(|before| &before.posted), &posted)?;
    count(tx, (&repo, everything), before.as_ref(), &all)?;
    measures::write(tx, id, (&repo.kind, repo.private), &known)?;
    let legacy = Legacy { folded: repo.folded, private: repo.private, sources };
    Ok((before.map(|before| before.legacy), Some(legacy)))
}

/// Words for a task or a licence that facets do not offer; they are found as tags are.
fn beyond(repo: &Repo) -> Vec<String> {
    let word = |facet: &str| repo.columns.get(facet).map_or("", String::as_str);
    let task = Some(word(terms::TASK)).filter(|task| !task.is_empty() && !controlled::is_task(task));
    let license = Some(word(terms::LICENSE)).filter(|license| !license.is_empty() && !controlled::is_license(license));
    task.into_iter().chain(license).map(str::to_lowercase).collect()
}

fn number_of(tx: &mut Tx<'_>, repo: &Repo, facet: &str, value: &str) -> Result<i64> {
    if value.is_empty() { Ok(0) } else { terms::number(tx, &repo.kind, facet, value) }
}

fn before(tx: &mut Tx<'_>, key: &RepoKey) -> Result<Option<Before>> {
    let sql = "select id, kind, private, here, folded, task, modality, architecture, license, library, author, namespace, sources, bytes
               from listing where repo = $1";
    let Some(row) = tx.find(sql, params![key.as_str()])? else { return Ok(None) };
    let id = row.int("id")?;
    let posted = tx.all("select term from listing_terms where listing = $1", params![id])?;
    let posted: BTreeSet<i64> = posted.iter().map(|row| row.int("term")).collect::<Result<_>>()?;
    let mut all = posted.clone();
    for column in terms::COLUMNS {
        all.insert(row.int(column)?);
    }
    all.remove(&0);
    all.insert(terms::number(tx, &row.text("kind")?, terms::ALL, "")?);
    let state = State { private: row.flag("private")?, here: row.flag("here")? };
    let legacy = Legacy { folded: row.text("folded")?, private: state.private, sources: row.text("sources")? };
    Ok(Some(Before { id, state, bytes: row.int("bytes")?, terms: all, posted, legacy }))
}

fn erase(tx: &mut Tx<'_>, before: &Before) -> Result<()> {
    for sql in [
        "delete from listing_terms where listing = $1",
        "delete from repo_measures where listing = $1",
        "delete from listing where id = $1",
    ] {
        tx.execute(sql, params![before.id])?;
    }
    for term in &before.terms {
        if is_all(tx, *term)? {
            terms::add_bytes(tx, *term, -counted_bytes(before.state, before.bytes))?;
        }
        terms::count(tx, *term, before.state, -1)?;
    }
    Ok(())
}

fn is_all(tx: &mut Tx<'_>, term: i64) -> Result<bool> {
    Ok(tx.find("select id from terms where id = $1 and facet = ''", params![term])?.is_some())
}

/// Bytes that the home page counts.
fn counted_bytes(state: State, bytes: i64) -> i64 {
    if state.here && !state.private { bytes } else { 0 }
}

impl Repo {
    fn find(tx: &mut Tx<'_>, key: &RepoKey) -> Result<Option<Repo>> {
        let sql = "select r.kind, r.namespace, r.folded, r.private, r.downloads, r.created, r.updated, f.number, f.task, f.modality,
                          f.architecture, f.license, f.library, f.parameters, f.total_bytes
                   from repos r left join repo_facts f on f.repo = r.key where r.key = $1 and r.deleted is null";
        tx.find(sql, params![key.as_str()])?.as_ref().map(Repo::from_row).transpose()
    }

    fn from_row(row: &Row) -> Result<Repo> {
        let (namespace, folded) = (row.text("namespace")?, row.text("folded")?);
        let mut columns = BTreeMap::new();
        for facet in [terms::TASK, terms::MODALITY, terms::ARCHITECTURE, terms::LICENSE, terms::LIBRARY] {
            columns.insert(facet, row.find_text(facet)?.unwrap_or_default());
        }
        columns.insert(terms::AUTHOR, namespace);
        let namespace = folded.split('/').next().unwrap_or_default().to_owned();
        columns.insert(terms::NAMESPACE, namespace.clone());
        Ok(Repo {
            kind: row.text("kind")?,
            namespace,
            folded,
            private: row.flag("private")?,
            downloads: row.int("downloads")?,
            created: row.int("created")?,
            updated: row.int("updated")?,
            number: row.find_int("number")?,
            columns,
            parameters: row.find_int("parameters")?,
            total_bytes: row.find_int("total_bytes")?.unwrap_or(0),
            top1: -1.0,
            runs: false,
            source: String::new(),
        })
    }

    /// What is known of the version that lists show, or of the entry of the library.
    fn facts(&self, tx: &mut Tx<'_>, key: &RepoKey) -> Result<Facts> {
        let facts = match self.number {
            None => None,
            Some(number) if number > 0 => facts::find(tx, key, u32::try_from(number).unwrap_or(u32::MAX))?,
            Some(_) => library::find_facts(tx, key)?.map(|(facts, _)| facts),
        };
        Ok(facts.unwrap_or_default())
    }

    /// Where nothing is known, it is people's; the library would know something.
    fn here(&self) -> bool {
        self.number.unwrap_or(1) > 0
    }

    fn state(&self) -> State {
        State { private: self.private, here: self.here() }
    }

    fn is_published(&self) -> bool {
        self.number.is_some_and(|number| number > 0)
    }

    fn merit(&self) -> f64 {
        let (here, newest) = (self.is_published(), if self.is_published() { self.updated } else { 0 });
        merit::of(&merit::Known { downloads: self.downloads, newest, here, runs: here && self.runs, top1: self.top1 })
    }

    fn is_model(&self) -> bool {
        self.kind == "model"
    }

    /// The terms of facets with several values; and of these, the data sets it comes from.
    fn posted(&self, tx: &mut Tx<'_>, key: &RepoKey) -> Result<(BTreeSet<i64>, String)> {
        let mut posted = BTreeSet::new();
        for row in tx.all("select tag from repo_tags where repo = $1", params![key.as_str()])? {
            posted.insert(terms::number(tx, &self.kind, terms::TAG, &row.text("tag")?)?);
        }
        let Some(number) = self.number else { return Ok((posted, String::new())) };
        let root = sources::Root { key: key.as_str(), number, folded: &self.folded, namespace: &self.namespace, private: self.private };
        let mut sources = Vec::new();
        for folded in sources::closure(tx, &root)? {
            sources.push(terms::number(tx, &self.kind, terms::SOURCE, &folded)?);
        }
        posted.extend(&sources);
        let bases = tx.all("select folded from version_bases where repo = $1 and number = $2", params![key.as_str(), number])?;
        for row in &bases {
            posted.insert(terms::number(tx, &self.kind, terms::BASE, &row.text("folded")?)?);
        }
        let direct = "select folded, trained_as from version_sources where repo = $1 and number = $2";
        for row in tx.all(direct, params![key.as_str(), number])? {
            let facet = if row.text("trained_as")? == "pretrained" { terms::PRETRAINED_ON } else { terms::FINE_TUNED_ON };
            posted.insert(terms::number(tx, &self.kind, facet, &row.text("folded")?)?);
        }
        Ok((posted, sources.iter().map(i64::to_string).collect::<Vec<_>>().join(" ")))
    }
}

fn insert(tx: &mut Tx<'_>, key: &RepoKey, id: i64, (repo, columns, sources): (&Repo, &BTreeMap<&str, i64>, &str)) -> Result<()> {
    let term = |facet: &str| columns.get(facet).copied().unwrap_or(0);
    // What is only listed is no news, and neither is a repo into which nothing was published.
    let news = |at: i64| if repo.is_published() { at } else { 0 };
    let size = if repo.is_model() { repo.parameters.unwrap_or(0) } else { repo.total_bytes };
    let name = repo.folded.split_once('/').map_or(repo.folded.as_str(), |(_, name)| name);
    tx.execute(
        "insert into listing (id, repo, document, kind, private, here, folded, name, task, modality, architecture, license, library, author,
                              namespace, sources, parameters, top1, downloads, newest, born, size, bytes, merit, license_word, source_word)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)
         on conflict (id) do update set private = $5, here = $6, folded = $7, name = $8, task = $9, modality = $10, architecture = $11,
             license = $12, library = $13, author = $14, namespace = $15, sources = $16, parameters = $17, top1 = $18, downloads = $19,
             newest = $20, born = $21, size = $22, bytes = $23, merit = $24, license_word = $25, source_word = $26",
        params![
            id,
            key.as_str(),
            full_text::row_id(key),
            &repo.kind,
            repo.private,
            repo.here(),
            &repo.folded,
            name,
            term(terms::TASK),
            term(terms::MODALITY),
            term(terms::ARCHITECTURE),
            term(terms::LICENSE),
            term(terms::LIBRARY),
            term(terms::AUTHOR),
            term(terms::NAMESPACE),
            sources,
            repo.parameters,
            repo.top1,
            repo.downloads,
            news(repo.updated),
            news(repo.created),
            size,
            repo.total_bytes,
            repo.merit(),
            word(repo.columns.get(terms::LICENSE).map_or("", String::as_str)),
            word(&repo.source),
        ],
    )?;
    Ok(())
}

/// As lists are sorted by it: what says nothing comes last.
fn word(text: &str) -> String {
    if text.is_empty() { "~".to_owned() } else { text.to_lowercase() }
}

fn post(tx: &mut Tx<'_>, id: i64, before: Option<&BTreeSet<i64>>, after: &BTreeSet<i64>) -> Result<()> {
    let none = BTreeSet::new();
    let before = before.unwrap_or(&none);
    for term in before.difference(after) {
        tx.execute("delete from listing_terms where term = $1 and listing = $2", params![*term, id])?;
    }
    for term in after.difference(before) {
        tx.execute("insert into listing_terms (term, listing) values ($1, $2)", params![*term, id])?;
    }
    Ok(())
}

/// First what there is more of, so that no value goes and comes again under another number.
fn count(tx: &mut Tx<'_>, (repo, everything): (&Repo, i64), before: Option<&Before>, after: &BTreeSet<i64>) -> Result<()> {
    let state = repo.state();
    let same = before.filter(|before| before.state == state).map(|before| &before.terms);
    for term in after.iter().filter(|term| same.is_none_or(|same| !same.contains(*term))) {
        terms::count(tx, *term, state, 1)?;
    }
    let bytes = counted_bytes(state, repo.total_bytes) - before.map_or(0, |before| counted_bytes(before.state, before.bytes));
    if bytes != 0 {
        terms::add_bytes(tx, everything, bytes)?;
    }
    let Some(before) = before else { return Ok(()) };
    for term in before.terms.iter().filter(|term| before.state != state || !after.contains(*term)) {
        terms::count(tx, *term, before.state, -1)?;
    }
    Ok(())
}
