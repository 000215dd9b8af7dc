//! What the frame around the handlers must know of a route: each says it of itself on the page of all routes
//! (`routes.rs`), which fills the table that is asked here.

use std::collections::HashMap;

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::web::Data;
use percent_encoding::percent_decode_str;

use super::error::Dialect;
use crate::domain::name::{RepoId, RepoKind};

/// What a route says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// Whose clients ask there, and read its refusals.
    pub dialect: Dialect,
    pub about: About,
    /// Nothing is asked there but bytes: those are bounded by connections and patience, and cost no allowance.
    pub bytes: bool,
    /// Its POST changes nothing: it is a question too long for an address.
    pub question: bool,
    /// People ask there, with a cookie; programs ask the others, with a token.
    pub page: bool,
    /// Its answer costs more than a moment of a processor: it is made in its caller's turn.
    pub heavy: bool,
    /// The same for all strangers: they are given one answer for a moment.
    pub cached: bool,
    /// Workers ask there, with a token of theirs and the lease on a job.
    pub worker: bool,
}

/// The repo that `{ns}/{name}` of a route name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    NoRepo,
    Repo(RepoKind),
    /// Of the kind that `{kind:...}` says.
    RepoOfKind,
}

/// The traits of all routes, by pattern.
pub struct Table(pub HashMap<&'static str, Traits>);

impl Traits {
    /// Of a route nobody described: ours, about nothing, and counted.
    pub const PLAIN: Traits = Traits {
        dialect: Dialect::Hub,
        about: About::NoRepo,
        bytes: false,
        question: false,
        page: false,
        heavy: false,
        cached: false,
        worker: false,
    };

    /// Of the route that took a request. Not for what comes before the router: by its address alone it may look like
    /// another one's.
    pub fn of(request: &HttpRequest) -> Traits {
        let table = request.app_data::<Data<Table>>();
        let found = request.match_pattern().and_then(|pattern| table?.0.get(pattern.as_str()).copied());
        found.unwrap_or(Traits::PLAIN)
    }

    /// Does a request of this method only ask?
    pub fn reads(&self, method: &Method) -> bool {
        [Method::GET, Method::HEAD].contains(method) || self.question && *method == Method::POST
    }

    /// The repo an address names, by the `part`s the router found in it.
    pub fn repo<'a>(&self, part: impl Fn(&str) -> Option<&'a str>) -> Option<(RepoKind, RepoId)> {
        let kind = match self.about {
            About::NoRepo => return None,
            About::Repo(kind) => kind,
            About::RepoOfKind => RepoKind::parse(part("kind")?).ok()?,
        };
        let decoded = |name: &str| percent_decode_str(part(name)?).decode_utf8().ok();
        RepoId::from_parts(&decoded("ns")?, &decoded("name")?).ok().map(|id| (kind, id))
    }
}
