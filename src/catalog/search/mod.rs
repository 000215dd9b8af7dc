//! Catalog search: words, filters, sorts, keyset cursors and facet counts, all in SQL.
//!
//! Every answer is built from one common table expression, `hits`: the visible repos that match the words and
//! all filters, with the value they are sorted by. How words match and rank is in `full_text`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::full_text::{self, Words};
use super::visibility::{Visibility, in_namespace, seen_by};
use crate::db::{Result, Tx, Value};
use crate::domain::digest::Digest;
use crate::domain::id::RepoKey;
use crate::domain::name::LIBRARY;
use crate::domain::page::Page;
use crate::domain::search::{Facet, Label, SearchQuery, Sort};

/// Values listed per facet.
const FACET_VALUES: usize = 20;

/// What a search found: keys in order, how many in all, and the facets of all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHits {
    pub page: Page<RepoKey>,
    pub total: u64,
    pub facets: Vec<Facet>,
}

/// Where a page ended. Bound to its query: with another one it reads as no cursor at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    query: String,
    value: CursorValue,
    key: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum CursorValue {
    Int(i64),
    Real(f64),
    Text(String),
}

impl Cursor {
    /// Reads what an earlier page of the same query gave; `None` for anything else.
    pub fn parse(query: &SearchQuery, text: &str) -> Option<Cursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let cursor: Cursor = serde_json::from_slice(&bytes).ok()?;
        (cursor.query == fingerprint(query)).then_some(cursor)
    }

    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

fn fingerprint(query: &SearchQuery) -> String {
    Digest::of(format!("{query:?}").as_bytes()).to_hex()[..12].into()
}

/// Runs a search; `after` is where the page before ended.
pub fn search(tx: &mut Tx<'_>, query: &SearchQuery, visible: &Visibility, limit: usize, after: Option<&Cursor>) -> Result<SearchHits> {
    let hits = Hits::of(query, visible);
    let total = tx.one(&format!("{} select count(*) as n from hits", hits.sql), &hits.params)?.count("n")?;
    let page = page(tx, query, &hits, limit, after)?;
    let facets = FACETS.iter().map(|facet| count_facet(tx, &hits, facet)).collect::<Result<_>>()?;
    Ok(SearchHits { page, total, facets })
}

fn page(tx: &mut Tx<'_>, query: &SearchQuery, hits: &Hits, limit: usize, after: Option<&Cursor>) -> Result<Page<RepoKey>> {
    let (compare, direction) = if hits.order.descending { ("<", "desc") } else { (">", "asc") };
    let mut params = hits.params.clone();
    let mut sql = format!("{} select key, sort_value from hits", hits.sql);
    if let Some(cursor) = after {
        params.push(match &cursor.value {
            CursorValue::Int(value) => Value::Int(*value),
            CursorValue::Real(value) => Value::Real(*value),
            CursorValue::Text(value) => Value::Text(value.clone()),
        });
        params.push(Value::Text(cursor.key.clone()));
        sql += &format!(" where (sort_value, key) {compare} (${}, ${})", params.len() - 1, params.len());
    }
    params.push(Value::from(limit + 1));
    sql += &format!(" order by sort_value {direction}, key {direction} limit ${}", params.len());
    let mut rows = tx.all(&sql, &params)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let mut next = None;
    if let (true, Some(last)) = (more, rows.last()) {
        let value = match hits.order.column {
            Column::Int => CursorValue::Int(last.int("sort_value")?),
            Column::Real => CursorValue::Real(last.real("sort_value")?),
            Column::Text => CursorValue::Text(last.text("sort_value")?),
        };
        next = Some(Cursor { query: fingerprint(query), value, key: last.text("key")? }.encode());
    }
    let items = rows.iter().map(|row| row.parse("key", RepoKey::parse)).collect::<Result<_>>()?;
    Ok(Page { items, next })
}

/// Facet name, the value's column, and what is joined to `hits h` to reach it.
const FACETS: &[(&str, &str, &str)] = &[
    ("task", "f.task", "join repo_facts f on f.repo = h.key"),
    ("modality", "f.modality", "join repo_facts f on f.repo = h.key"),
    ("architecture", "f.architecture", "join repo_facts f on f.repo = h.key"),
    ("source_dataset", "v.folded", "join repo_facts f on f.repo = h.key join version_sources v on v.repo = f.repo and v.number = f.number"),
    ("license", "f.license", "join repo_facts f on f.repo = h.key"),
    ("author", "h.namespace", ""),
];

fn count_facet(tx: &mut Tx<'_>, hits: &Hits, (name, column, join): &(&str, &str, &str)) -> Result<Facet> {
    let sql = format!(
        "{} select {column} as value, count(distinct h.key) as n from hits h {join} \
         where {column} <> '' group by {column} order by n desc, value limit {FACET_VALUES}",
        hits.sql
    );
    let bare = |value: String| match value.strip_prefix(LIBRARY).and_then(|rest| rest.strip_prefix('/')) {
        Some(rest) => rest.to_owned(),
        None => value,
    };
    let rows = tx.all(&sql, &hits.params)?;
    let values = rows.iter().map(|row| Ok((bare(row.text("value")?), row.count("n")?))).collect::<Result<_>>()?;
    Ok(Facet { name: (*name).into(), values })
}

struct Order {
    sql: &'static str,
    column: Column,
    descending: bool,
}

enum Column {
    Int,
    Real,
    Text,
}

/// The common table expression every question of a search starts with.
struct Hits {
    sql: String,
    params: Vec<Value>,
    order: Order,
}

impl Hits {
    fn of(query: &SearchQuery, visible: &Visibility) -> Hits {
        let words = full_text::words(&query.text);
        let order = order(query.sort, words.as_ref());
        let order = Order { descending: order.descending != query.reversed, ..order };
        let mut filter = Filter::default();
        let repos = match words {
            Some(words) => {
                filter.add(words.condition, words.query);
                words.repos
            }
            None => "repos r",
        };
        filter.visible(visible);
        filter.facts(query);
        let sql = format!(
            "with hits as materialized (select r.key as key, r.namespace as namespace, {} as sort_value from {repos} \
             left join repo_facts f on f.repo = r.key where r.deleted is null{})",
            order.sql, filter.sql
        );
        Hits { sql, params: filter.params, order }
    }
}

fn order(sort: Sort, words: Option<&Words>) -> Order {
    let column = Column::Int;
    match (sort, words) {
        (Sort::Relevance, Some(words)) => Order { sql: words.rank, column: Column::Real, descending: false },
        (Sort::Relevance | Sort::Downloads, _) => Order { sql: "r.downloads", column, descending: true },
        // What is only listed is no news.
        (Sort::Newest, _) => Order { sql: "case when coalesce(f.number, 1) > 0 then r.updated else 0 end", column, descending: true },
        (Sort::Created, _) => Order { sql: "case when coalesce(f.number, 1) > 0 then r.created else 0 end", column, descending: true },
        (Sort::Top1, _) => Order { sql: "coalesce(f.top1, -1.0)", column: Column::Real, descending: true },
        (Sort::Size, _) => Order {
            sql: "case r.kind when 'model' then coalesce(f.parameters, 0) else coalesce(f.total_bytes, 0) end",
            column,
            descending: true,
        },
        (Sort::Name, _) => Order { sql: "r.folded", column: Column::Text, descending: false },
    }
}

#[derive(Default)]
struct Filter {
    sql: String,
    params: Vec<Value>,
}

impl Filter {
    /// Adds a condition; each `$` in it becomes the new parameter's name.
    fn add(&mut self, condition: &str, value: impl Into<Value>) {
        self.params.push(value.into());
        let name = format!("${}", self.params.len());
        self.sql += &format!(" and {}", condition.replace('$', &name));
    }

    fn visible(&mut self, visible: &Visibility) {
        let seen = seen_by(visible, &mut self.params);
        self.sql += &format!(" and ({seen})");
    }

    /// The version names this repo as a source or a base.
    fn names(&mut self, table: &str, name: &str) {
        let condition = format!("exists (select 1 from {table} v where v.repo = r.key and v.number = f.number and v.folded = $)");
        self.add(&condition, fold_repo(name));
    }

    fn label(&mut self, label: &Label) {
        match label {
            Label::Word(word) => {
                let tag = "exists (select 1 from repo_tags t where t.repo = r.key and t.tag = lower($))";
                self.add(&format!("(f.library = $ or f.task = $ or {tag})"), word.as_str());
            }
            Label::License(license) => self.add("f.license = $", license.as_str()),
            Label::SourceDataset(name) => self.names("version_sources", name),
            Label::BaseModel(name) => self.names("version_bases", name),
        }
    }

    fn facts(&mut self, query: &SearchQuery) {
        if let Some(kind) = query.kind {
            self.add("r.kind = $", kind.as_str());
        }
        let equal = [
            ("f.task = $", &query.task),
            ("f.modality = $", &query.modality),
            ("f.architecture = $", &query.architecture),
            ("f.license = $", &query.license),
            ("f.library = $", &query.library),
            ("exists (select 1 from repo_tags t where t.repo = r.key and t.tag = $)", &query.tag),
        ];
        for (condition, value) in equal.into_iter().filter(|(_, value)| !value.is_empty()) {
            self.add(condition, value.as_str());
        }
        for (table, name) in [("version_sources", &query.source_dataset), ("version_bases", &query.base_model)] {
            if !name.is_empty() {
                self.names(table, name);
            }
        }
        query.labels.iter().for_each(|label| self.label(label));
        if !query.author.is_empty() {
            let inside = in_namespace(&fold(&query.author), &mut self.params);
            self.sql += &format!(" and {inside}");
        }
        if query.here {
            self.sql += " and coalesce(f.number, 1) > 0";
        }
        if let Some(least) = query.min_parameters {
            self.add("f.parameters >= $", least);
        }
        if let Some(most) = query.max_parameters {
            self.add("f.parameters <= $", most);
        }
    }
}

fn fold(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '.' | '_') { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// The folded name a data set or base model would have here: a bare name lives in the library, and the
/// version a card may name after it (`acme/cats@3`) is no part of the name.
pub fn fold_repo(written: &str) -> String {
    let folded = fold(written.trim().split('@').next().unwrap_or_default());
    if folded.contains('/') { folded } else { format!("{LIBRARY}/{folded}") }
}
