//! The values of facets, each under a number of its own for each kind of repo, with how many repos have it. Counts are kept with every change, so
//! that neither a list nor its facets have to count; a value that nobody has any more is gone.

use std::collections::HashMap;

use crate::db::{Result, Row, Tx, Value};
use crate::domain::name::RepoKind;
use crate::params;

/// The name that whoever changes lists, counts or words takes first ([`Tx::lock`]).
pub const LISTING: &str = "listing";

/// The facet whose one value, '', stands for all repos of a kind.
pub const ALL: &str = "";
pub const TASK: &str = "task";
pub const MODALITY: &str = "modality";
pub const ARCHITECTURE: &str = "architecture";
pub const LICENSE: &str = "license";
pub const LIBRARY: &str = "library";
/// The namespace as it is written.
pub const AUTHOR: &str = "author";
/// The namespace, folded.
pub const NAMESPACE: &str = "namespace";
pub const TAG: &str = "tag";
/// A data set it comes from, through any number of bases.
pub const SOURCE: &str = "source_dataset";
/// What its card names as its base.
pub const BASE: &str = "base_model";
/// A data set its card names, where it has no base.
pub const PRETRAINED_ON: &str = "pretrained_on";
/// A data set its card names beside a base.
pub const FINE_TUNED_ON: &str = "fine_tuned_on";
/// Whether it can be run, and be the base of a fine-tune, here and now.
pub const RUNS: &str = "runs";
/// The one value of [`RUNS`].
pub const YES: &str = "yes";

/// Facets of which a repo has one value at most; each is a column of `listing`.
pub const COLUMNS: [&str; 7] = [TASK, MODALITY, ARCHITECTURE, LICENSE, LIBRARY, AUTHOR, NAMESPACE];

/// How many repos there are of a sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub public: u64,
    pub public_here: u64,
    pub private: u64,
    pub private_here: u64,
}

impl Counts {
    /// Of all that is visible to whoever sees `private` repos too, or only the public ones; `here`: without what is only listed.
    pub fn seen(&self, private: bool, here: bool) -> u64 {
        let (public, hidden) = if here { (self.public_here, self.private_here) } else { (self.public, self.private) };
        if private { public + hidden } else { public }
    }

    pub fn all(&self) -> u64 {
        self.public + self.private
    }

    pub fn plus(self, other: Counts) -> Counts {
        Counts {
            public: self.public + other.public,
            public_here: self.public_here + other.public_here,
            private: self.private + other.private,
            private_here: self.private_here + other.private_here,
        }
    }
}

/// A value with its number and counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    pub id: i64,
    pub value: String,
    pub counts: Counts,
}

const FIELDS: &str = "id, value, public, public_here, private, private_here";

fn from_row(row: &Row) -> Result<Term> {
    let counts = Counts {
        public: row.count("public")?,
        public_here: row.count("public_here")?,
        private: row.count("private")?,
        private_here: row.count("private_here")?,
    };
    Ok(Term { id: row.int("id")?, value: row.text("value")?, counts })
}

/// A value of a facet, if any repo of the kind has it.
pub fn find(tx: &mut Tx<'_>, kind: RepoKind, facet: &str, value: &str) -> Result<Option<Term>> {
    let sql = format!("select {FIELDS} from terms where kind = $1 and facet = $2 and value = $3");
    tx.find(&sql, params![kind.as_str(), facet, value])?.as_ref().map(from_row).transpose()
}

/// The values of a facet that most public repos have, most frequent first.
pub fn most_frequent(tx: &mut Tx<'_>, kind: RepoKind, facet: &str, limit: usize) -> Result<Vec<Term>> {
    let sql = format!("select {FIELDS} from terms where kind = $1 and facet = $2 order by public desc limit $3");
    tx.all(&sql, params![kind.as_str(), facet, limit])?.iter().map(from_row).collect()
}

/// Values of a facet that begin so and that a public repo has.
pub fn beginning_with(tx: &mut Tx<'_>, kind: RepoKind, facet: &str, beginning: &str, limit: usize) -> Result<Vec<Term>> {
    let sql = format!(
        "select {FIELDS} from terms where kind = $1 and facet = $2 and value >= $3 and value < $4 and public > 0 order by value limit $5"
    );
    let end = super::end_of(beginning);
    tx.all(&sql, params![kind.as_str(), facet, beginning, end, limit])?.iter().map(from_row).collect()
}

/// The texts of values, by their numbers.
pub fn values(tx: &mut Tx<'_>, ids: &[i64]) -> Result<HashMap<i64, String>> {
    let ids: Vec<Value> = ids.iter().map(|id| Value::Int(*id)).collect();
    let rows = tx.all_of("select id, value from terms where id in ($keys)", &ids)?;
    rows.iter().map(|row| Ok((row.int("id")?, row.text("value")?))).collect()
}

/// The number of a value, which gets one if it has none.
pub fn number(tx: &mut Tx<'_>, kind: &str, facet: &str, value: &str) -> Result<i64> {
    let sql = "select id from terms where kind = $1 and facet = $2 and value = $3";
    if let Some(row) = tx.find(sql, params![kind, facet, value])? {
        return row.int("id");
    }
    tx.execute(
        "insert into terms (id, kind, facet, value) values ((select coalesce(max(id), 0) + 1 from terms), $1, $2, $3)",
        params![kind, facet, value],
    )?;
    tx.one(sql, params![kind, facet, value])?.int("id")
}

/// What a repo is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub private: bool,
    pub here: bool,
}

/// Counts one repo more (`by` 1) or fewer (-1) that has the value.
pub fn count(tx: &mut Tx<'_>, id: i64, state: State, by: i64) -> Result<()> {
    let here = if state.here { by } else { 0 };
    let sql = match state.private {
        false => "update terms set public = public + $2, public_here = public_here + $3 where id = $1",
        true => "update terms set private = private + $2, private_here = private_here + $3 where id = $1",
    };
    tx.execute(sql, params![id, by, here])?;
    if by < 0 {
        tx.execute("delete from terms where id = $1 and public = 0 and private = 0", params![id])?;
    }
    Ok(())
}

/// Adds to the bytes of public heads.
pub fn add_bytes(tx: &mut Tx<'_>, id: i64, bytes: i64) -> Result<()> {
    tx.execute("update terms set public_bytes = public_bytes + $2 where id = $1", params![id, bytes]).map(drop)
}

/// How many repos of a kind there are, and the bytes of the heads of those that are public and here.
pub fn totals(tx: &mut Tx<'_>, kind: RepoKind) -> Result<(Counts, u64)> {
    let sql = format!("select {FIELDS}, public_bytes from terms where kind = $1 and facet = '' and value = ''");
    match tx.find(&sql, params![kind.as_str()])? {
        Some(row) => Ok((from_row(&row)?.counts, row.count("public_bytes")?)),
        None => Ok((Counts::default(), 0)),
    }
}

/// How many repos there are of the kinds.
pub fn everything(tx: &mut Tx<'_>, kinds: &[RepoKind]) -> Result<Counts> {
    kinds.iter().try_fold(Counts::default(), |all, kind| Ok(all.plus(totals(tx, *kind)?.0)))
}
