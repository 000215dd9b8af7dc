//! The tensors of a model, level by level of their names, with their shapes, types and shares of all parameters; and what is other than in its base.

use std::collections::BTreeMap;

use askama::Template;

use super::format;
use super::frame::{Frame, page};
use super::model_parts::address;
use super::repo_head::{Head, urlencode};
use crate::domain::human;
use crate::domain::name::RepoKind;
use crate::domain::repo::{RepoSummary, TensorEntry};
use crate::domain::revision::Revision;
use crate::domain::tensor_tree::{self, Beside, Branch, Difference};
use crate::domain::user::Actor;
use crate::http::error::Answer;
use crate::http::extract::Query;
use crate::service::Service;

/// So many tensors are listed as they are; more are gathered under their names.
const FLAT: usize = 80;
/// Lines of a page.
const MOST: usize = 400;

#[derive(Template)]
#[template(path = "tensors.html")]
struct Tensors {
    frame: Frame,
    head: Head,
    total: usize,
    parameters: String,
    /// From the root to here: name and address.
    path: Vec<(String, String)>,
    lines: Vec<TensorLine>,
    left_out: usize,
    base: Option<Base>,
}

/// The base it is held beside.
struct Base {
    name: String,
    href: Option<String>,
    about: String,
}

struct TensorLine {
    name: String,
    /// Of names below which there is more.
    href: Option<String>,
    tensors: usize,
    dtype: String,
    shape: String,
    parameters: String,
    share: String,
    /// In thousandths, for a bar.
    thousandths: u64,
    size: String,
    beside: &'static str,
}

pub async fn show(
    service: &Service,
    actor: &Actor,
    (summary, revision): (&RepoSummary, &Revision),
    query: &Query,
    frame: Frame,
    head: Head,
) -> Answer {
    let id = &summary.repo.id;
    let list = match summary.head {
        Some(_) => service.list_tensors(actor, RepoKind::Model, id, revision).await?,
        None => vec![],
    };
    let (base_tensors, mut base) = if list.is_empty() { (vec![], None) } else { base_of(service, actor, summary, revision).await? };
    let known = tensor_tree::by_name(&base_tensors);
    if let Some(base) = &mut base {
        base.about = told(tensor_tree::difference(&list, &known));
    }
    let all: u64 = list.iter().map(tensor_tree::count).fold(0, u64::saturating_add);
    let under = query.text("under");
    let branches = tensor_tree::level(&list, &under, FLAT);
    let held = base.is_some().then_some(&known);
    page(&Tensors {
        total: list.len(),
        parameters: format::count(all),
        path: path(&head, &under),
        left_out: branches.len().saturating_sub(MOST),
        lines: branches.iter().take(MOST).map(|branch| TensorLine::of(branch, all, &head, (&list, held))).collect(),
        base,
        frame,
        head,
    })
}

/// The tensors of the nearest base that is here.
async fn base_of(
    service: &Service,
    actor: &Actor,
    summary: &RepoSummary,
    revision: &Revision,
) -> crate::service::Result<(Vec<TensorEntry>, Option<Base>)> {
    let ancestry = service.ancestry_of(actor, &summary.repo.id, revision).await?;
    let nearest = ancestry.models.iter().skip(1).find(|model| model.depth == 1 && model.number.is_some());
    let Some((base, id, number)) = nearest.and_then(|model| Some((model, model.repo.as_ref()?, model.number?))) else {
        return Ok((vec![], None));
    };
    // A version that is gone, or holds no such files, is nothing to be held beside.
    let Ok(tensors) = service.list_tensors(actor, RepoKind::Model, id, &Revision::Number(number)).await else { return Ok((vec![], None)) };
    if tensors.is_empty() {
        return Ok((vec![], None));
    }
    Ok((tensors, Some(Base { name: base.name(), href: address(base), about: String::new() })))
}

/// `58 of 60 have the shape and type of the base's, 2 have another, 1 is new`
fn told(found: Difference) -> String {
    let mut parts = vec![format!("{} have the shape and type they have there", found.same)];
    parts.extend((found.changed > 0).then(|| format!("{} have another", found.changed)));
    parts.extend((found.new > 0).then(|| format!("{} are new", found.new)));
    parts.extend((found.gone > 0).then(|| format!("{} of the base's are gone", found.gone)));
    parts.join(", ")
}

fn with_under(head: &Head, under: &str) -> String {
    let joint = if head.rev_query.is_empty() { "?" } else { "&" };
    let query = if under.is_empty() { String::new() } else { format!("{joint}under={}", urlencode(under)) };
    format!("{}/tensors{}{query}", head.href, head.rev_query)
}

fn path(head: &Head, under: &str) -> Vec<(String, String)> {
    let mut path = vec![("all".to_owned(), with_under(head, ""))];
    if !under.is_empty() {
        let ends = under.match_indices('.').map(|(at, _)| at).chain([under.len()]);
        let mut begin = 0;
        for end in ends {
            let Some((name, whole)) = under.get(begin..end).zip(under.get(..end)) else { continue };
            path.push((name.to_owned(), with_under(head, whole)));
            begin = end + 1;
        }
    }
    path
}

impl TensorLine {
    fn of(branch: &Branch, all: u64, head: &Head, (list, base): (&[TensorEntry], Option<&BTreeMap<&str, &TensorEntry>>)) -> TensorLine {
        let share = branch.parameters as f64 / all.max(1) as f64;
        let shape = branch.tensor.as_ref().map(|tensor| match tensor.shape.as_slice() {
            [] => "one number".to_owned(),
            sides => sides.iter().map(u64::to_string).collect::<Vec<_>>().join(" × "),
        });
        TensorLine {
            name: branch.name.clone(),
            href: branch.tensor.is_none().then(|| with_under(head, &branch.name)),
            tensors: branch.tensors,
            dtype: branch.dtypes.join(", "),
            shape: shape.unwrap_or_default(),
            parameters: format::count(branch.parameters),
            share: human::percent(share),
            thousandths: (share * 1e3).round() as u64,
            size: format::bytes(branch.size_bytes),
            beside: base.map_or("", |base| stands(branch, list, base)),
        }
    }
}

/// How a line stands beside the base.
fn stands(branch: &Branch, list: &[TensorEntry], base: &BTreeMap<&str, &TensorEntry>) -> &'static str {
    let below = |tensor: &&TensorEntry| {
        tensor.name == branch.name || tensor.name.strip_prefix(branch.name.as_str()).is_some_and(|rest| rest.starts_with('.'))
    };
    let found: Vec<Beside> = list.iter().filter(below).map(|tensor| tensor_tree::beside(tensor, base)).collect();
    match () {
        () if found.iter().all(|one| *one == Beside::Same) => "as there",
        () if found.iter().all(|one| *one == Beside::New) => "new",
        () if branch.tensor.is_some() => "other",
        () => "other in part",
    }
}
