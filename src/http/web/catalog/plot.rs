//! Models as points: how often they are right, over how large or how slow they are. Drawn by the server as SVG, so that it is there without a script;
//! each point is a link and says what it is. Those that nothing beats stand in a table below it.

use super::super::axes::{Axes, Scale, Sheet};
use super::super::card::{href, title};
use super::super::format;
use super::links::{Choice, Links};
use crate::domain::repo::RepoSummary;
use crate::domain::results::{GMACS, ModelResult, SPEED, TOP1, best, best_on, dataset_name};
use crate::service::repos::browse::SearchHits;

const SHEET: Sheet = Sheet { width: 920.0, height: 420.0, left: 56.0, right: 24.0, top: 16.0, bottom: 44.0 };
/// Values written at the side.
const LINES: usize = 7;
/// Groups with a colour and a shape of their own; the rest is one.
const GROUPS: usize = 4;
/// The data set whose shares are drawn where nobody chose one.
const USUAL: &str = "imagenet-1k";
/// Names written beside their points.
const NAMED: usize = 8;

/// What models are drawn over: word in addresses, label, and whether less is better.
const AXES: [(&str, &str, bool); 3] = [("parameters", "Parameters", true), ("gmacs", "GMACs", true), ("speed", "Items a second", false)];

pub struct Plot {
    pub axes: Vec<Choice>,
    pub x_label: &'static str,
    pub y_label: String,
    pub points: Vec<Point>,
    pub groups: Vec<Group>,
    pub x_ticks: Vec<Tick>,
    pub y_ticks: Vec<Tick>,
    /// Along those that nothing beats: `x,y x,y`.
    pub front: String,
    pub names: Vec<Name>,
    /// Models that do not say both numbers.
    pub left_out: usize,
    /// Places of those that nothing beats among the hits.
    pub best: Vec<usize>,
}

pub struct Point {
    pub href: String,
    pub about: String,
    /// Which group it is of, from 0.
    pub group: usize,
    pub path: String,
}

pub struct Group {
    pub label: String,
    pub number: usize,
    /// Its sign in the legend.
    pub path: String,
}

pub struct Tick {
    pub at: String,
    pub label: String,
}

pub struct Name {
    pub x: String,
    pub y: String,
    pub text: String,
    pub anchor: &'static str,
}

/// A model that says both numbers.
struct Placed<'a> {
    /// Its place among the hits.
    at: usize,
    model: &'a RepoSummary,
    x: f64,
    y: f64,
    group: String,
}

impl Plot {
    pub fn of(hits: &SearchHits, links: &Links<'_>, on: Option<&str>) -> Plot {
        let asked = links.query.text("x");
        let (axis, x_label, less) = AXES.into_iter().find(|(word, ..)| *word == asked).unwrap_or(AXES[0]);
        // Shares on different data sets say nothing beside each other: where nobody chose one, it is the one that all compare by.
        let usual = hits.results.iter().any(|known| best_on(known, TOP1, USUAL).is_some());
        let on = on.or_else(|| usual.then_some(USUAL));
        let all = hits.page.items.iter().zip(&hits.results).enumerate();
        let placed: Vec<Placed<'_>> = all.filter_map(|(at, (model, known))| Placed::of(at, (model, known), (axis, on))).collect();
        let scale = axes_of(&placed);
        let groups = groups(&placed);
        let group_of = |one: &Placed<'_>| groups.iter().position(|name| *name == one.group).unwrap_or(groups.len().saturating_sub(1));
        let point = |one: &Placed<'_>| Point {
            href: href(one.model.repo.kind, &one.model.repo.id),
            about: format!("{}: {}, {}", title(&one.model.repo.id), format::percent(one.y), shown(axis, one.x)),
            group: group_of(one),
            path: shape(group_of(one), scale.x(one.x), scale.y(one.y)),
        };
        let front = front(&placed, less);
        Plot {
            axes: AXES
                .iter()
                .map(|(word, label, _)| Choice { label: (*label).to_owned(), href: links.with("x", Some(word)), on: *word == axis })
                .collect(),
            x_label,
            y_label: on.map_or_else(|| "Top-1".to_owned(), |on| format!("Top-1 on {on}")),
            points: placed.iter().map(point).collect(),
            groups: groups
                .iter()
                .enumerate()
                .map(|(number, label)| Group { label: label.clone(), number, path: shape(number, 8.0, 8.0) })
                .collect(),
            x_ticks: x_ticks(&scale, axis),
            y_ticks: y_ticks(&scale),
            front: front.iter().map(|one| format!("{:.1},{:.1}", scale.x(one.x), scale.y(one.y))).collect::<Vec<_>>().join(" "),
            names: names(&front, &scale),
            left_out: hits.page.items.len() - placed.len(),
            best: front.iter().map(|one| one.at).collect(),
        }
    }
}

impl<'a> Placed<'a> {
    fn of(at: usize, (model, known): (&'a RepoSummary, &[ModelResult]), (axis, on): (&str, Option<&str>)) -> Option<Placed<'a>> {
        let y = on.map_or_else(|| best(known, TOP1), |on| best_on(known, TOP1, on))?.value;
        let x = match axis {
            "gmacs" => best(known, GMACS)?.value,
            "speed" => best(known, SPEED)?.value,
            _ => model.facts.parameters as f64,
        };
        let group = model.facts.source_datasets.first().map_or_else(|| "not said".to_owned(), |name| dataset_name(name));
        (x > 0.0 && (0.0..=1.0).contains(&y)).then_some(Placed { at, model, x, y, group })
    }
}

/// The most frequent data sets models begin with; what there is no room for is `others`.
fn groups(placed: &[Placed<'_>]) -> Vec<String> {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for one in placed {
        match counted.iter_mut().find(|(name, _)| *name == one.group) {
            Some((_, count)) => *count += 1,
            None => counted.push((&one.group, 1)),
        }
    }
    counted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let more = counted.len() > GROUPS + 1;
    let mut names: Vec<String> =
        counted.into_iter().take(if more { GROUPS } else { GROUPS + 1 }).map(|(name, _)| name.to_owned()).collect();
    if more {
        names.push("others".to_owned());
    }
    names
}

/// Those that no other beats in both numbers, from the smallest to the best.
fn front<'a, 'b>(placed: &'b [Placed<'a>], less: bool) -> Vec<&'b Placed<'a>> {
    let mut sorted: Vec<&Placed<'a>> = placed.iter().collect();
    sorted.sort_by(|a, b| if less { a.x.total_cmp(&b.x) } else { b.x.total_cmp(&a.x) }.then(b.y.total_cmp(&a.y)));
    let mut best = f64::NEG_INFINITY;
    sorted.retain(|one| {
        let better = one.y > best;
        best = best.max(one.y);
        better
    });
    sorted
}

/// Names of the best of them, where there is room between one and the next.
fn names(front: &[&Placed<'_>], scale: &Axes) -> Vec<Name> {
    const APART: f64 = 18.0;
    let mut named: Vec<Name> = Vec::new();
    let mut last = f64::INFINITY;
    for one in front.iter().rev() {
        let (x, y) = (scale.x(one.x), scale.y(one.y));
        if named.len() == NAMED || (last.is_finite() && (y - last).abs() < APART) {
            continue;
        }
        last = y;
        let left = x > SHEET.left + 0.55 * (SHEET.end() - SHEET.left);
        let text: String = title(&one.model.repo.id).chars().take(32).collect();
        let (x, anchor) = if left { (x - 9.0, "end") } else { (x + 9.0, "start") };
        named.push(Name { x: format!("{x:.1}"), y: format!("{:.1}", y - 7.0), text, anchor });
    }
    named
}

/// The first number by its logarithm.
fn axes_of(placed: &[Placed<'_>]) -> Axes {
    let x = Scale::around(placed.iter().map(|one| one.x.log10()), 0.04, 0.1).unwrap_or((6.0, 9.0));
    let (low, high) = Scale::around(placed.iter().map(|one| one.y), 0.06, 0.01).unwrap_or((0.0, 1.0));
    let low = low.max(0.0);
    Axes { sheet: SHEET, x: Scale::Powers(x.0, x.1), y: Scale::Even(low, high.min(1.0).max(low + 0.01)) }
}

fn x_ticks(axes: &Axes, axis: &str) -> Vec<Tick> {
    let tick = |value: f64| Tick { at: format!("{:.1}", axes.x(value)), label: bare(axis, value) };
    axes.x.ticks(LINES, 0.0).into_iter().map(tick).collect()
}

/// In whole per cents.
fn y_ticks(axes: &Axes) -> Vec<Tick> {
    let tick = |value: f64| Tick { at: format!("{:.1}", axes.y(value)), label: format!("{:.0} %", value * 100.0) };
    axes.y.ticks(LINES, 0.01).into_iter().map(tick).collect()
}

/// On an axis.
fn bare(axis: &str, value: f64) -> String {
    if axis == "gmacs" || value < 10.0 { format!("{value}") } else { format::count(value.round() as u64) }
}

fn shown(axis: &str, value: f64) -> String {
    match axis {
        "gmacs" => format!("{value:.2} GMACs"),
        "speed" => format!("{value:.0} items a second"),
        _ => format!("{} parameters", format::count(value as u64)),
    }
}

/// Groups are told apart by their shape as well as by their colour: disc, square, triangle, diamond, cross.
fn shape(group: usize, x: f64, y: f64) -> String {
    match group {
        0 => format!("M{:.1} {y:.1}a5 5 0 1 0 10 0a5 5 0 1 0-10 0", x - 5.0),
        1 => format!("M{:.1} {:.1}h9v9h-9z", x - 4.5, y - 4.5),
        2 => format!("M{x:.1} {:.1}l5.5 10h-11z", y - 6.0),
        3 => format!("M{x:.1} {:.1}l6 6l-6 6l-6-6z", y - 6.0),
        _ => format!("M{:.1} {:.1}l4 4l4-4l2 2l-4 4l4 4l-2 2l-4-4l-4 4l-2-2l4-4l-4-4z", x - 4.0, y - 6.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::RepoKey;
    use crate::domain::name::{RepoId, RepoKind};
    use crate::domain::repo::{Facts, Repo};
    use crate::domain::time::Timestamp;

    fn model(name: &str) -> RepoSummary {
        let now = Timestamp::from_unix_ms(0);
        let key = RepoKey::new(now, [0; 10]);
        let id = RepoId::parse(name).unwrap();
        let repo =
            Repo { key, kind: RepoKind::Model, id, private: false, summary: String::new(), downloads: 0, created: now, updated: now };
        RepoSummary { repo, head: None, facts: Facts::default(), is_newest: true }
    }

    #[test]
    fn what_is_beaten_is_not_on_the_front() {
        let (a, b, c) = (model("a"), model("b"), model("c"));
        let place = |model, x, y| Placed { at: 0, model, x, y, group: String::new() };
        let placed = [place(&a, 1e7, 0.8), place(&b, 2e7, 0.7), place(&c, 3e7, 0.9)];
        let names = |less| front(&placed, less).iter().map(|one| one.model.repo.id.name().to_string()).collect::<Vec<_>>();
        assert_eq!(names(true), ["a", "c"]);
        assert_eq!(names(false), ["c"], "where more is better the largest of these is also the best");
    }

    #[test]
    fn ticks_lie_within() {
        let axes = Axes { sheet: SHEET, x: Scale::Powers(6.7, 8.2), y: Scale::Even(0.681, 0.872) };
        let labels: Vec<_> = x_ticks(&axes, "parameters").into_iter().map(|tick| tick.label).collect();
        assert_eq!(labels, ["10.0 M", "20.0 M", "50.0 M", "100 M"]);
        let labels: Vec<_> = y_ticks(&axes).into_iter().map(|tick| tick.label).collect();
        assert_eq!(labels, ["70 %", "75 %", "80 %", "85 %"]);
    }
}
