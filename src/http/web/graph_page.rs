//! Where a model comes from, drawn: its data sets and bases through any number of steps on the left, what was made from it on the right; and the same
//! as a list.

use askama::Template;

use super::card::{href, title};
use super::frame::{Frame, page};
use super::model_parts::address;
use super::repo_head::Head;
use crate::domain::name::RepoKind;
use crate::domain::repo::RepoSummary;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::http::error::Answer;
use crate::service::Service;
use crate::service::repos::ancestry::Ancestry;
use crate::service::repos::relations::Wanted;

/// Boxes of one column, and letters in a box.
const COLUMN: usize = 14;
const LETTERS: usize = 27;
const WIDE: usize = 210;
const HIGH: usize = 44;
const GAP_X: usize = 60;
const GAP_Y: usize = 14;

#[derive(Template)]
#[template(path = "graph.html")]
struct GraphPage {
    frame: Frame,
    head: Head,
    width: usize,
    height: usize,
    boxes: Vec<BoxView>,
    lines: Vec<String>,
    /// What there was no room for.
    left_out: usize,
    alone: bool,
}

struct BoxView {
    x: usize,
    y: usize,
    kind: &'static str,
    label: &'static str,
    text: String,
    whole: String,
    href: Option<String>,
    /// What it was made from, in words.
    from: String,
}

/// A box before it has a place.
struct Node {
    column: usize,
    kind: &'static str,
    text: String,
    href: Option<String>,
    /// Nodes that it was made from.
    from: Vec<usize>,
}

pub async fn show(service: &Service, actor: &Actor, summary: &RepoSummary, revision: &Revision, frame: Frame, head: Head) -> Answer {
    let id = &summary.repo.id;
    let ancestry = match summary.head {
        Some(_) => service.ancestry_of(actor, id, revision).await?,
        None => service.ancestry_of_listed(actor, id).await?,
    };
    let children = service.children_of(actor, id, Wanted { shown: COLUMN, named: 0 }).await?;
    let mut nodes = nodes(&ancestry);
    let column = nodes.first().map_or(0, |this| this.column);
    for child in &children.models {
        let (kind, text) = ("model", title(&child.repo.id));
        nodes.push(Node { column: column + 1, kind, text, href: Some(href(RepoKind::Model, &child.repo.id)), from: vec![0] });
    }
    let mut left_out = usize::from(children.more);
    let mut counts = vec![0; column + 2];
    let places: Vec<Option<(usize, usize)>> = nodes.iter().map(|node| place(node, &mut counts, &mut left_out)).collect();
    let rows = counts.iter().map(|count| (*count).min(COLUMN)).max().unwrap_or(1);
    let columns = counts.iter().rposition(|count| *count > 0).unwrap_or(0) + 1;
    page(&GraphPage {
        frame,
        head,
        width: columns * (WIDE + GAP_X) - GAP_X + 4,
        height: rows * (HIGH + GAP_Y) + 4,
        lines: lines(&nodes, &places),
        alone: nodes.len() == 1,
        boxes: nodes.iter().zip(&places).filter_map(|(node, place)| Some(boxed(node, (*place)?, &nodes))).collect(),
        left_out,
    })
}

/// The model itself first; each data set once, to the left of the farthest model that has seen it.
fn nodes(ancestry: &Ancestry) -> Vec<Node> {
    let deepest = ancestry.models.iter().map(|model| model.depth).max().unwrap_or(0);
    let mut nodes: Vec<Node> = Vec::new();
    for (at, model) in ancestry.models.iter().enumerate() {
        let kind = if at == 0 { "this" } else { "model" };
        nodes.push(Node { column: deepest - model.depth + 1, kind, text: model.name(), href: address(model), from: model.bases.clone() });
    }
    for (at, model) in ancestry.models.iter().enumerate() {
        for seen in &model.datasets {
            let known = nodes.iter().position(|node| node.kind == "dataset" && node.text == seen.written);
            let column = deepest - model.depth;
            let place = known.unwrap_or(nodes.len());
            match known {
                Some(known) => nodes[known].column = nodes[known].column.min(column),
                None => {
                    let href = seen.repo.as_ref().map(|id| href(RepoKind::Dataset, id));
                    nodes.push(Node { column, kind: "dataset", text: seen.written.clone(), href, from: Vec::new() });
                }
            }
            nodes[at].from.push(place);
        }
    }
    nodes
}

fn place(node: &Node, counts: &mut [usize], left_out: &mut usize) -> Option<(usize, usize)> {
    let count = counts.get_mut(node.column)?;
    if *count == COLUMN {
        *left_out += 1;
        return None;
    }
    *count += 1;
    Some((2 + node.column * (WIDE + GAP_X), 2 + (*count - 1) * (HIGH + GAP_Y)))
}

fn boxed(node: &Node, (x, y): (usize, usize), nodes: &[Node]) -> BoxView {
    let mut text: String = node.text.chars().take(LETTERS).collect();
    if text.len() < node.text.len() {
        text.push('…');
    }
    let from: Vec<&str> = node.from.iter().filter_map(|at| nodes.get(*at)).map(|from| from.text.as_str()).collect();
    let label = match node.kind {
        "this" => "this model",
        "dataset" => "data set",
        _ => "model",
    };
    BoxView { x, y, kind: node.kind, label, text, whole: node.text.clone(), href: node.href.clone(), from: from.join(", ") }
}

/// From the right side of what is made from to the left side of what was made.
fn lines(nodes: &[Node], places: &[Option<(usize, usize)>]) -> Vec<String> {
    let mut all = Vec::new();
    for (node, place) in nodes.iter().zip(places) {
        for from in node.from.iter().filter_map(|at| places.get(*at).copied().flatten()) {
            let Some((x, y)) = *place else { continue };
            let (x1, y1, y2) = (from.0 + WIDE, from.1 + HIGH / 2, y + HIGH / 2);
            let half = (x.saturating_sub(x1)) / 2;
            all.push(format!("M{x1} {y1}C{} {y1} {} {y2} {x} {y2}", x1 + half, x.saturating_sub(half)));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::repo::TrainedAs;
    use crate::service::repos::ancestry::{Ancestor, Seen};

    fn ancestor(name: &str, depth: usize, bases: Vec<usize>, datasets: &[&str]) -> Ancestor {
        let seen = |name: &&str| Seen { written: (*name).to_owned(), repo: None, trained_as: TrainedAs::Pretrained };
        Ancestor { written: name.into(), repo: None, number: None, depth, bases, datasets: datasets.iter().map(seen).collect() }
    }

    #[test]
    fn each_stands_right_of_what_it_was_made_from() {
        let models = vec![ancestor("tuned", 0, vec![1], &["flowers"]), ancestor("base", 1, vec![], &["imagenet-1k"])];
        let nodes = nodes(&Ancestry { models });
        let found: Vec<_> = nodes.iter().map(|node| (node.text.as_str(), node.kind, node.column)).collect();
        assert_eq!(found, [("tuned", "this", 2), ("base", "model", 1), ("flowers", "dataset", 1), ("imagenet-1k", "dataset", 0)]);
        assert!(nodes.iter().all(|node| node.from.iter().all(|from| nodes[*from].column < node.column)));
    }
}
