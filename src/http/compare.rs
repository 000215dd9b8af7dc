//! The comparison of two models or jobs, as an answer of the API and as a page have it.

use super::error::HttpError;
use super::extract::Query;
use crate::domain::repo_ref::RepoRef;
use crate::domain::user::Actor;
use crate::service::Service;
use crate::service::jobs::compare::{self, Side, Verdict};
use crate::wire::compare::{Compared, Comparison};

/// What `a`, `b` and `dataset` of an address ask for.
pub async fn asked(service: &Service, actor: &Actor, query: &Query) -> Result<Comparison, HttpError> {
    let side = |name: &str| {
        let missing = || HttpError::bad_request("bad_query", format!("'{name}' is missing"), "name two models or jobs as 'a' and 'b'");
        query.find(name).ok_or_else(missing).and_then(|text| Ok(Side::parse(text)?))
    };
    let wrong = |e| HttpError::bad_request("bad_name", format!("dataset: {e}"), "write namespace/name@version");
    let dataset = query.find("dataset").map(|text| RepoRef::parse(text.trim())).transpose().map_err(wrong)?;
    Ok(written(&service.compare(actor, &side("a")?, &side("b")?, dataset.as_ref()).await?))
}

fn written(found: &compare::Comparison) -> Comparison {
    let side = |side: &compare::Compared| Compared {
        job: side.job.to_string(),
        model: side.model.as_ref().map(|(id, version)| format!("{id}@{version}")),
        value: side.value,
        left_out: side.left_out,
        alone_right: side.alone_right,
    };
    let better = match found.verdict() {
        Verdict::A => "a",
        Verdict::B => "b",
        Verdict::Neither => "neither",
    };
    Comparison {
        a: side(&found.a),
        b: side(&found.b),
        dataset: format!("{}@{}", found.dataset.0, found.dataset.1),
        items: found.items,
        measure: found.measure.as_str().into(),
        difference: found.difference,
        interval_95: found.interval_95,
        b_better: found.b_better,
        mcnemar_p: found.p,
        better: better.into(),
        verdict: found.sentence(),
    }
}
