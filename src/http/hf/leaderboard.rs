//! `/api/datasets/{id}/leaderboard`, and `evalResults` of a model: what this hub measured is `verified`, what cards say is not.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::refuse;
use crate::domain::measurement::Measurement;
use crate::domain::name::RepoId;
use crate::domain::task::{Measure, Task};
use crate::domain::user::{AccountKind, Actor};
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Query, RepoAt};
use crate::service::Service;
use crate::service::repos::leaderboard::{Author, Claim, Leaderboard, Signed};

/// Where results of this hub would lie, had they been sent as files.
const FILE: &str = ".eval_results/hub.yaml";
const CARD: &str = "README.md";

/// Models without a base, unless `base_model=false`: so do their clients' defaults have it.
pub async fn list(service: web::Data<Service>, caller: Caller, at: RepoAt, query: Query) -> Answer {
    let found = service.leaderboard(&caller.0, &at.id).await.map_err(refuse)?;
    let all = query.find("base_model").is_some_and(|word| word.eq_ignore_ascii_case("false"));
    let measured: Vec<&Signed> = found.measured.iter().filter(|row| all || !row.has_base).collect();
    let mut rows: Vec<Value> = measured.iter().map(|row| measured_row(row, &found)).collect();
    let told = |claim: &&Claim| !measured.iter().any(|row| row.other == claim.model.repo.id);
    let claims = found.claims.iter().filter(|claim| all || claim.model.facts.base_models.is_empty()).filter(told);
    for claim in first_of_each(claims) {
        rows.push(claimed_row(claim, &found));
    }
    for (at, row) in rows.iter_mut().enumerate() {
        row["rank"] = json!(at + 1);
    }
    Ok(HttpResponse::Ok().json(rows))
}

fn measured_row(row: &Signed, board: &Leaderboard) -> Value {
    let measurement = &row.measurement;
    json!({
        "modelId": row.other.to_string(),
        "value": measurement.findings.primary(),
        "filename": FILE,
        "verified": true,
        "source": { "url": format!("/{}", row.other), "name": "measured by this hub", "isExternal": false },
        "author": author(&board.author(&row.other)),
        "notes": measurement.findings.sentence(),
    })
}

fn claimed_row(claim: &Claim, board: &Leaderboard) -> Value {
    let id = &claim.model.repo.id;
    json!({
        "modelId": id.to_string(),
        "value": claim.metric.value,
        "filename": CARD,
        "verified": false,
        "author": author(&board.author(id)),
        "notes": format!("{}, as the model's card says", claim.metric.name),
    })
}

/// As their client tells a `User` from an `Organization`.
fn author(author: &Author) -> Value {
    let kind = match author.kind {
        AccountKind::User => "user",
        AccountKind::Organisation => "org",
    };
    json!({ "type": kind, "name": author.name, "fullname": author.full_name, "avatarUrl": "" })
}

/// The first number of each card that a task is decided by, best first.
fn first_of_each<'a>(claims: impl Iterator<Item = &'a Claim>) -> Vec<&'a Claim> {
    let decides = |claim: &Claim| Task::ALL.iter().any(|task| task.primary().card == claim.metric.name);
    let mut kept: Vec<&Claim> = Vec::new();
    for claim in claims.filter(|claim| decides(claim)) {
        if !kept.iter().any(|known| known.model.repo.id == claim.model.repo.id) {
            kept.push(claim);
        }
    }
    let merit = |claim: &Claim| match Measure::of_card(&claim.metric.name) {
        Some(measure) if measure.rises => -claim.metric.value,
        _ => claim.metric.value,
    };
    kept.sort_by(|a, b| merit(a).total_cmp(&merit(b)));
    kept
}

/// What this hub measured of a model, as `evalResults` has it: a measure each.
pub async fn results(service: &Service, actor: &Actor, id: &RepoId) -> Result<Vec<Value>, HttpError> {
    let found = service.measurements_of(actor, id).await.map_err(refuse)?;
    Ok(found.iter().flat_map(|row| of_one(id, row)).collect())
}

fn of_one(id: &RepoId, row: &Signed) -> Vec<Value> {
    let measurement: &Measurement = &row.measurement;
    let entry = |(measure, value): (&String, &f64)| {
        json!({
            "filename": FILE,
            "verified": true,
            "data": {
                "dataset": {
                    "id": row.other.to_string(),
                    "task_id": format!("{}/{measure}", measurement.findings.split),
                    "revision": measurement.dataset_commit,
                },
                "value": value,
                "verifyToken": row.signed,
                "date": measurement.measured_at,
                "source": { "url": format!("/{id}"), "name": "measured by this hub" },
                "notes": measurement.findings.sentence(),
            },
        })
    };
    measurement.findings.measures.iter().map(entry).collect()
}
