//! Two models or jobs side by side, on the items that both were measured on.

use actix_web::HttpRequest;
use actix_web::web::Data;
use askama::Template;

use super::compare_models;
use super::frame::{Frame, page, see_other};
use crate::http::caller::Visitor;
use crate::http::compare;
use crate::http::error::Answer;
use crate::http::extract::Query;
use crate::service::Service;
use crate::wire::compare::{Compared, Comparison};

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparePage {
    frame: Frame,
    a: String,
    b: String,
    dataset: String,
    problem: String,
    found: Option<View>,
}

struct View {
    tone: &'static str,
    verdict: String,
    measured: String,
    sides: Vec<SideView>,
    /// Title and text.
    facts: Vec<(&'static str, String)>,
    counts: bool,
}

struct SideView {
    name: String,
    href: String,
    value: String,
    alone_right: u64,
    left_out: u64,
}

impl From<Comparison> for View {
    fn from(found: Comparison) -> View {
        let share = found.measure == "share right";
        let value = |value: f64| if share { format!("{:.2} %", 100.0 * value) } else { format!("{value:.4}") };
        let gap = |value: f64| if share { format!("{:+.2} points", 100.0 * value) } else { format!("{value:+.4}") };
        let side = |side: &Compared| SideView {
            name: side.model.clone().unwrap_or_else(|| format!("job {}", side.job)),
            href: format!("/jobs/{}", side.job),
            value: value(side.value),
            alone_right: side.alone_right,
            left_out: side.left_out,
        };
        let mut facts = vec![
            ("The second less the first", gap(found.difference)),
            ("In 95 of 100 draws", format!("{} to {}", gap(found.interval_95.0), gap(found.interval_95.1))),
            ("The second is better", format!("in {:.1} % of the draws", 100.0 * found.b_better)),
        ];
        facts.extend(found.mcnemar_p.map(|p| ("McNemar's exact test", format!("p = {p:.4}"))));
        View {
            tone: if found.better == "neither" { "" } else { "good" },
            sides: vec![side(&found.a), side(&found.b)],
            measured: format!("{} items of {}: {}", found.items, found.dataset, found.measure),
            counts: found.mcnemar_p.is_some(),
            verdict: found.verdict,
            facts,
        }
    }
}

/// Without both sides only the form.
pub async fn show(visitor: Visitor, service: Data<Service>, query: Query, request: HttpRequest) -> Answer {
    if compare_models::is_asked(&query) {
        return compare_models::show(visitor, service, query, request).await;
    }
    if visitor.0.is_none() {
        return Ok(see_other("/login?next=/jobs"));
    }
    let (a, b) = (query.text("a"), query.text("b"));
    let (found, problem) = if a.is_empty() || b.is_empty() {
        (None, String::new())
    } else {
        match compare::asked(&service, &visitor.actor(), &query).await {
            Ok(found) => (Some(View::from(found)), String::new()),
            Err(error) if error.status.is_client_error() => (None, format!("{}; {}", error.problem.message, error.problem.hint)),
            Err(error) => return Err(error),
        }
    };
    page(&ComparePage { frame: Frame::of(&visitor, "jobs"), a, b, dataset: query.text("dataset"), problem, found })
}
