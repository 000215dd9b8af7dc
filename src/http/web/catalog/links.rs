//! Addresses that differ from a list's present one in one thing: a filter, a sort, a view.

use url::form_urlencoded::Serializer;

use super::View;
use crate::domain::human;
use crate::domain::results::{ModelResult, TOP1};
use crate::domain::search::{ChoiceBy, Facet, Sort};
use crate::http::api::search::given;
use crate::http::extract::Query;

/// A link with a text, one of several. In a form `href` is the field's value.
pub struct Choice {
    pub label: String,
    pub href: String,
    pub on: bool,
}

pub struct FacetView {
    pub name: &'static str,
    pub label: &'static str,
    pub values: Vec<FacetValue>,
    /// Facets in use, and the first ones, stand open.
    pub open: bool,
}

pub struct FacetValue {
    pub value: String,
    pub count: u64,
    pub href: String,
    pub on: bool,
}

/// Facet names as they stand in addresses, and as people read them.
const FACETS: &[(&str, &str)] = &[
    ("task", "Task"),
    ("source_dataset", "Trained on"),
    ("architecture", "Architecture"),
    ("modality", "Modality"),
    ("license", "Licence"),
    ("author", "Owner"),
];

/// Filters that are no facets, but may stand in an address.
const MORE_FILTERS: &[(&str, &str)] = &[
    ("base_model", "Base model"),
    ("tag", "Tag"),
    ("library", "Library"),
    ("min_parameters", "At least (parameters)"),
    ("max_parameters", "At most (parameters)"),
    ("min_top1", "At least (top-1)"),
    ("max_top1", "At most (top-1)"),
    ("runs", "Runs here"),
    ("here", "Files here"),
];

/// What else stands in an address and is kept: how the list is shown.
const SHOWN: &[&str] = &["view", "on", "x"];
/// Fields of the form of filters, which says them itself.
const OWN_FIELDS: &[&str] = &["q", "min_parameters", "max_parameters", "min_top1", "runs", "here"];

const SORTS: &[(&str, &str)] =
    &[("relevance", "Best match"), ("downloads", "Downloads"), ("newest", "Newest"), ("size", "Size"), ("top1", "Top-1"), ("name", "Name")];
/// Orders of a list of models besides.
const MODEL_SORTS: &[(&str, &str)] = &[("measure:gmacs", "GMACs"), ("measure:items_per_second", "Speed")];
/// Steps of the filter by size, and of the one by accuracy.
const SIZES: &[u64] =
    &[1_000_000, 3_000_000, 6_000_000, 12_000_000, 25_000_000, 50_000_000, 100_000_000, 200_000_000, 400_000_000, 1_000_000_000];
const SHARES: &[f64] = &[0.65, 0.7, 0.75, 0.78, 0.8, 0.82, 0.84, 0.86, 0.88];

/// Makes addresses that differ from the present one.
pub struct Links<'a> {
    pub path: &'static str,
    pub query: &'a Query,
}

impl Links<'_> {
    /// The present address with `key` set or removed, and back on the first page.
    pub fn with(&self, key: &str, value: Option<&str>) -> String {
        self.with_all(&[(key, value.as_slice())])
    }

    /// The same with several keys.
    pub fn with_all(&self, changed: &[(&str, &[&str])]) -> String {
        let names = ["q", "kind", "sort", "reversed"].into_iter().chain(FACETS.iter().chain(MORE_FILTERS).map(|(name, _)| *name));
        let mut text = Serializer::new(String::new());
        for name in names.chain(SHOWN.iter().copied()).filter(|name| changed.iter().all(|(key, _)| key != name)) {
            self.present(name).into_iter().filter(|value| !value.is_empty()).for_each(|present| _ = text.append_pair(name, present));
        }
        for (key, values) in changed {
            values.iter().for_each(|value| _ = text.append_pair(key, value));
        }
        let text = text.finish();
        if text.is_empty() { self.path.to_owned() } else { format!("{}?{text}", self.path) }
    }

    /// What stands in the present address: several values of what a list is filtered by, one of all else.
    fn present(&self, name: &str) -> Vec<&str> {
        match ChoiceBy::parse(name) {
            Some(by) => given(self.query, by),
            None => self.query.find(name).into_iter().collect(),
        }
    }

    /// What the form of filters does not ask itself.
    pub fn hidden(&self) -> Vec<(&'static str, String)> {
        let names = ["kind", "sort", "reversed"].into_iter().chain(FACETS.iter().chain(MORE_FILTERS).map(|(name, _)| *name));
        let names = names.chain(SHOWN.iter().copied()).filter(|name| !OWN_FIELDS.contains(name));
        names
            .flat_map(|name| self.present(name).into_iter().filter(|value| !value.is_empty()).map(move |value| (name, value.to_owned())))
            .collect()
    }

    pub fn facet(&self, facet: &Facet) -> Option<FacetView> {
        let at = FACETS.iter().position(|(name, _)| *name == facet.name)?;
        let (name, label) = FACETS[at];
        let present = self.present(name);
        let value = |(value, count): &(String, u64)| {
            let on = present.contains(&value.as_str());
            let others = present.iter().copied().filter(|other| other != value);
            let values: Vec<&str> = others.chain((!on).then_some(value.as_str())).collect();
            FacetValue { value: value.clone(), count: *count, href: self.with_all(&[(name, &values)]), on }
        };
        let values: Vec<_> = facet.values.iter().map(value).collect();
        (!values.is_empty()).then_some(FacetView { name, label, values, open: at < 2 || !present.is_empty() })
    }

    /// Filters in use, each with a link that takes it away.
    pub fn chosen(&self) -> Vec<Choice> {
        let chips = |(name, label): &(&str, &str)| {
            let present = self.present(name);
            let chip = |value: &&str| {
                let others: Vec<&str> = present.iter().copied().filter(|other| other != value).collect();
                let label = match (*name, value.parse::<u64>(), value.parse::<f64>()) {
                    ("runs" | "here", ..) => (*label).to_owned(),
                    ("min_parameters" | "max_parameters", Ok(number), _) => format!("{label}: {}", human::count(number)),
                    ("min_top1" | "max_top1", _, Ok(share)) => format!("{label}: {}", human::percent(share)),
                    _ => format!("{label}: {value}"),
                };
                Choice { label, href: self.with_all(&[(name, &others)]), on: true }
            };
            present.iter().filter(|value| !value.is_empty() && **value != "false").map(chip).collect::<Vec<_>>()
        };
        FACETS.iter().chain(MORE_FILTERS).flat_map(chips).collect()
    }

    /// The order now, as it stands in the address.
    pub fn sort(&self) -> String {
        let text = self.query.text("sort");
        if text.starts_with("measure:") { text } else { Sort::parse(&text).unwrap_or_default().to_string() }
    }

    pub fn is_reversed(&self) -> bool {
        self.query.flag("reversed").unwrap_or_default()
    }

    pub fn sorts(&self, is_models: bool) -> Vec<Choice> {
        let present = self.sort();
        let more: &[(&str, &str)] = if is_models { MODEL_SORTS } else { &[] };
        let choice = |(sort, label): &(&'static str, &str)| Choice {
            label: if *sort == "relevance" && self.query.text("q").trim().is_empty() { "Recommended" } else { label }.to_owned(),
            href: self.with_all(&[("sort", Some(*sort).filter(|sort| *sort != "relevance").as_slice()), ("reversed", &[])]),
            on: *sort == present,
        };
        SORTS.iter().chain(more).map(choice).collect()
    }

    pub fn views(&self, view: View, is_models: bool) -> Vec<Choice> {
        let all = [("table", "Table", View::Table), ("cards", "Cards", View::Cards), ("plot", "Chart", View::Plot)];
        let all = all.into_iter().filter(|(_, _, view)| is_models || *view != View::Plot);
        all.map(|(word, label, of)| Choice { label: label.to_owned(), href: self.with("view", Some(word)), on: of == view }).collect()
    }

    /// Data sets on which models of this page were measured; none where there is nothing to choose.
    pub fn measured_on(&self, results: &[Vec<ModelResult>], on: Option<&str>) -> Vec<Choice> {
        const MOST: usize = 8;
        let mut names: Vec<&str> = Vec::new();
        for result in results.iter().flatten().filter(|result| result.measure == TOP1 && !result.dataset.is_empty()) {
            if names.len() < MOST && !names.contains(&result.dataset.as_str()) {
                names.push(&result.dataset);
            }
        }
        if names.len() < 2 && on.is_none() {
            return Vec::new();
        }
        names.sort_unstable();
        let choice = |name: &&str| {
            let is_on = on == Some(*name);
            let sorted = format!("measure:{TOP1}@{name}");
            let href = if is_on {
                self.with_all(&[("on", &[]), ("sort", &["top1"]), ("reversed", &[])])
            } else {
                self.with_all(&[("on", &[*name]), ("sort", &[sorted.as_str()]), ("reversed", &[])])
            };
            Choice { label: (*name).to_owned(), href, on: is_on }
        };
        names.iter().map(choice).collect()
    }

    /// Steps of the filter by size, and whatever else the address says.
    pub fn sizes(&self, field: &str) -> Vec<Choice> {
        let present = self.query.find(field).and_then(|text| text.parse::<u64>().ok());
        let mut all: Vec<u64> = SIZES.iter().copied().chain(present).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter().map(|size| Choice { label: human::count(size), href: size.to_string(), on: present == Some(size) }).collect()
    }

    pub fn least_top1(&self) -> Vec<Choice> {
        let present = self.query.find("min_top1").and_then(|text| text.parse::<f64>().ok()).filter(|share| (0.0..=1.0).contains(share));
        let mut all: Vec<f64> = SHARES.iter().copied().chain(present).collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        all.into_iter().map(|share| Choice { label: human::percent(share), href: share.to_string(), on: present == Some(share) }).collect()
    }
}
