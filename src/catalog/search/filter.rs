//! What a search asks, as conditions on `listing l`, each with how many repos it holds for: so it is known which one finds few repos.

use super::super::visibility::Visibility;
use super::terms::{self, Counts};
use super::{fold, fold_repo};
use crate::db::{Result, Tx, Value};
use crate::domain::name::RepoKind;
use crate::domain::repo::TrainedAs;
use crate::domain::search::{ChoiceBy, Label, SearchQuery};

/// One of several values, perhaps of several facets.
#[derive(Debug, Clone, Default)]
pub(super) struct Condition {
    /// Numbers of values, by the column they stand in.
    columns: Vec<(&'static str, Vec<i64>)>,
    /// Numbers of values that stand in `listing_terms`.
    posted: Vec<i64>,
    /// Of each value one after the other; repos that have several are counted several times.
    pub counts: Counts,
    /// Values that were found.
    values: usize,
}

impl Condition {
    fn one_of(tx: &mut Tx<'_>, kinds: &[RepoKind], facets: &[(&'static str, String)]) -> Result<Condition> {
        let mut condition = Condition::default();
        for (facet, value) in facets {
            let mut numbers = Vec::new();
            for kind in kinds {
                if let Some(term) = terms::find(tx, *kind, facet, value)? {
                    numbers.push(term.id);
                    condition.counts = condition.counts.plus(term.counts);
                }
            }
            if numbers.is_empty() {
                continue;
            }
            condition.values += 1;
            match terms::COLUMNS.iter().find(|column| *column == facet) {
                Some(column) => condition.columns.push((*column, numbers)),
                None => condition.posted.extend(numbers),
            }
        }
        Ok(condition)
    }

    /// Nothing has any of the values.
    fn is_impossible(&self) -> bool {
        self.values == 0
    }

    /// Whether `counts` counts no repo twice.
    pub fn counts_each_once(&self) -> bool {
        self.values == 1
    }

    pub fn is_posted(&self) -> bool {
        !self.posted.is_empty()
    }

    /// True of a row `l`.
    fn sql(&self, params: &mut Vec<Value>) -> String {
        let mut parts: Vec<String> = self.columns.iter().map(|(column, ids)| format!("l.{column} in ({})", list(ids, params))).collect();
        if self.is_posted() {
            let ids = list(&self.posted, params);
            parts.push(format!("exists (select 1 from listing_terms t where t.term in ({ids}) and t.listing = l.id)"));
        }
        format!("({})", parts.join(" or "))
    }

    /// All rows it is true of, each once, from the indexes of the values.
    pub fn rows(&self, params: &mut Vec<Value>) -> String {
        let mut parts: Vec<String> =
            self.columns.iter().map(|(column, ids)| format!("select id from listing where {column} in ({})", list(ids, params))).collect();
        if self.is_posted() {
            parts.push(format!("select listing as id from listing_terms where term in ({})", list(&self.posted, params)));
        }
        // One repo may have several of the values.
        if parts.len() == 1 && self.posted.len() > 1 {
            return parts[0].replacen("select listing", "select distinct listing", 1);
        }
        parts.join(" union ")
    }
}

fn list(ids: &[i64], params: &mut Vec<Value>) -> String {
    let names = ids.iter().map(|id| {
        params.push(Value::Int(*id));
        format!("${}", params.len())
    });
    names.collect::<Vec<_>>().join(", ")
}

/// Which repos may be seen.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    Everything,
    /// Public ones, and private ones of these namespaces (numbers of terms), of which there are so many.
    Public {
        own: Vec<i64>,
        own_private: u64,
    },
}

/// All that a search asks.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    pub kinds: Vec<RepoKind>,
    pub seen: Seen,
    pub here: bool,
    pub conditions: Vec<Condition>,
    /// A value is asked for that nothing has.
    pub is_impossible: bool,
    parameters: (Option<u64>, Option<u64>),
    top1: (Option<f64>, Option<f64>),
}

impl Filter {
    pub fn of(tx: &mut Tx<'_>, query: &SearchQuery, visible: &Visibility) -> Result<Filter> {
        let kinds = query.kind.map_or_else(|| vec![RepoKind::Model, RepoKind::Dataset], |kind| vec![kind]);
        let mut conditions = Vec::new();
        for facets in asked(query) {
            conditions.push(Condition::one_of(tx, &kinds, &facets)?);
        }
        Ok(Filter {
            seen: seen(tx, &kinds, visible)?,
            here: query.here,
            is_impossible: conditions.iter().any(Condition::is_impossible),
            conditions,
            parameters: (query.min_parameters, query.max_parameters),
            top1: (query.min_top1, query.max_top1),
            kinds,
        })
    }

    pub fn has_ranges(&self) -> bool {
        self.parameters != (None, None) || self.top1 != (None, None)
    }

    pub fn asks_nothing(&self) -> bool {
        self.conditions.is_empty() && !self.has_ranges()
    }

    /// Whether a row that a walk comes by costs a look elsewhere.
    pub fn is_posted(&self) -> bool {
        self.conditions.iter().any(Condition::is_posted)
    }

    /// The condition that holds for the fewest repos.
    pub fn rarest(&self) -> Option<&Condition> {
        self.conditions.iter().min_by_key(|condition| condition.counts.all())
    }

    /// All but kind and visibility: ` and ...` of a row `l`.
    pub fn sql(&self, params: &mut Vec<Value>) -> String {
        let mut sql = String::new();
        if self.here {
            sql += " and l.here = 1";
        }
        for condition in &self.conditions {
            sql += &format!(" and {}", condition.sql(params));
        }
        let mut bound = |condition: &str, value: Value| {
            params.push(value);
            sql += &format!(" and {condition} ${}", params.len());
        };
        let (least, most) = self.parameters;
        least.into_iter().for_each(|least| bound("l.parameters >=", least.into()));
        most.into_iter().for_each(|most| bound("l.parameters <=", most.into()));
        let (least, most) = self.top1;
        // What no card says lies below.
        least.or(most.map(|_| 0.0)).into_iter().for_each(|least| bound("l.top1 >=", least.into()));
        most.into_iter().for_each(|most| bound("l.top1 <=", most.into()));
        sql
    }

    /// Kind and visibility: ` and ...` of a row `l`.
    pub fn visible(&self, params: &mut Vec<Value>) -> String {
        let mut sql = String::new();
        if let [kind] = self.kinds.as_slice() {
            params.push(Value::from(kind.as_str()));
            sql += &format!(" and l.kind = ${}", params.len());
        }
        if let Seen::Public { own, .. } = &self.seen {
            sql += &match own.is_empty() {
                true => " and l.private = 0".to_owned(),
                false => format!(" and (l.private = 0 or l.namespace in ({}))", list(own, params)),
            };
        }
        sql
    }

    /// Private rows of one's own namespaces, at most so many, as [`Condition::rows`].
    pub fn own_rows(own: &[i64], most: usize, params: &mut Vec<Value>) -> String {
        let own = list(own, params);
        params.push(Value::from(most));
        format!("select id from listing where namespace in ({own}) and private = 1 limit ${}", params.len())
    }

    /// What a walk by parameters or by top-1 may begin and end at, as ` and ...`; the filter is to be asked besides.
    pub fn narrowed(&self, column: &str, kind: RepoKind, params: &mut Vec<Value>) -> String {
        let (least, most): (Option<Value>, Option<Value>) = match column {
            "size" if kind == RepoKind::Model => (self.parameters.0.map(Value::from), self.parameters.1.map(Value::from)),
            "top1" => (self.top1.0.map(Value::from), self.top1.1.map(Value::from)),
            _ => (None, None),
        };
        let mut sql = String::new();
        for (compare, value) in [(">=", least), ("<=", most)] {
            if let Some(value) = value {
                params.push(value);
                sql += &format!(" and l.{column} {compare} ${}", params.len());
            }
        }
        sql
    }
}

fn seen(tx: &mut Tx<'_>, kinds: &[RepoKind], visible: &Visibility) -> Result<Seen> {
    let Visibility::Public { and_namespaces } = visible else { return Ok(Seen::Everything) };
    let (mut own, mut own_private) = (Vec::new(), 0);
    for namespace in and_namespaces {
        for kind in kinds {
            if let Some(term) = terms::find(tx, *kind, terms::NAMESPACE, namespace)? {
                own.push(term.id);
                own_private += term.counts.private;
            }
        }
    }
    Ok(Seen::Public { own, own_private })
}

/// What is asked, each as values of facets of which a repo must have one.
fn asked(query: &SearchQuery) -> Vec<Vec<(&'static str, String)>> {
    let single = [
        (ChoiceBy::Task, &query.task),
        (ChoiceBy::Modality, &query.modality),
        (ChoiceBy::Architecture, &query.architecture),
        (ChoiceBy::SourceDataset, &query.source_dataset),
        (ChoiceBy::BaseModel, &query.base_model),
        (ChoiceBy::License, &query.license),
        (ChoiceBy::Tag, &query.tag),
        (ChoiceBy::Library, &query.library),
        (ChoiceBy::Author, &query.author),
    ];
    let single = single.into_iter().filter(|(_, value)| !value.is_empty()).map(|(by, value)| vec![value_of(by, value)]);
    let choices = query.choices.iter().map(|choice| {
        let mut values: Vec<_> = choice.values.iter().map(|value| value_of(choice.by, value)).collect();
        values.sort();
        values.dedup();
        values
    });
    let runs = query.runs.then(|| vec![(terms::RUNS, terms::YES.to_owned())]);
    single.chain(choices).chain(runs).chain(query.labels.iter().map(of_label)).collect()
}

fn value_of(by: ChoiceBy, value: &str) -> (&'static str, String) {
    match by {
        ChoiceBy::Task => (terms::TASK, value.to_owned()),
        ChoiceBy::Modality => (terms::MODALITY, value.to_owned()),
        ChoiceBy::Architecture => (terms::ARCHITECTURE, value.to_owned()),
        ChoiceBy::SourceDataset => (terms::SOURCE, fold_repo(value)),
        ChoiceBy::BaseModel => (terms::BASE, fold_repo(value)),
        ChoiceBy::License => (terms::LICENSE, value.to_owned()),
        ChoiceBy::Tag => (terms::TAG, value.to_owned()),
        ChoiceBy::Library => (terms::LIBRARY, value.to_owned()),
        ChoiceBy::Author => (terms::NAMESPACE, fold(value)),
    }
}

fn of_label(label: &Label) -> Vec<(&'static str, String)> {
    match label {
        Label::Word(word) => vec![(terms::LIBRARY, word.clone()), (terms::TASK, word.clone()), (terms::TAG, word.to_lowercase())],
        Label::License(license) => vec![(terms::LICENSE, license.clone())],
        Label::SourceDataset(name) => [terms::PRETRAINED_ON, terms::FINE_TUNED_ON].map(|facet| (facet, fold_repo(name))).to_vec(),
        Label::BaseModel(name) => vec![(terms::BASE, fold_repo(name))],
        Label::TrainedOn(TrainedAs::Pretrained, name) => vec![(terms::PRETRAINED_ON, fold_repo(name))],
        Label::TrainedOn(TrainedAs::FineTuned, name) => vec![(terms::FINE_TUNED_ON, fold_repo(name))],
    }
}
