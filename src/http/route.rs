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
    pub const PLAIN: Traits = Traits { dialect: Dialect::Hub, about: About::NoRepo, bytes: false, question: false };

    /// Of the route a request is for, also before it has come there.
    pub fn of(request: &HttpRequest) -> Traits {
        let table = request.app_data::<Data<Table>>();
        let found = request.match_pattern().and_then(|pattern| table?.0.get(pattern.as_str()).copied());
        found.unwrap_or(Traits::PLAIN)
    }

    /// Does a request of this method only ask?
    pub fn reads(&self, method: &Method) -> bool {
        [Method::GET, Method::HEAD].contains(method) || self.question && *method == Method::POST
    }

    /// The repo the `path` of a request for `pattern` names.
    pub fn repo(&self, pattern: &str, path: &str) -> Option<(RepoKind, RepoId)> {
        let parts: Vec<&str> = path.split('/').collect();
        let kind = match self.about {
            About::NoRepo => return None,
            About::Repo(kind) => kind,
            About::RepoOfKind => {
                let at = pattern.split('/').position(|part| part.starts_with("{kind:"))?;
                RepoKind::parse(parts.get(at)?).ok()?
            }
        };
        let Names { at, behind } = Names::find(pattern)?;
        let decoded = |part: &str| Some(percent_decode_str(part).decode_utf8().ok()?.into_owned());
        let (namespace, name) = (decoded(parts.get(at)?)?, decoded(parts.get(at + 1)?)?);
        RepoId::from_parts(&namespace, name.strip_suffix(behind)?).ok().map(|id| (kind, id))
    }
}

/// Where a pattern has `{ns}/{name}`: the place of the first among the parts, and what stands right behind the second.
pub struct Names<'a> {
    pub at: usize,
    pub behind: &'a str,
}

impl Names<'_> {
    pub fn find(pattern: &str) -> Option<Names<'_>> {
        let parts: Vec<&str> = pattern.split('/').collect();
        let at = parts.iter().position(|part| *part == "{ns}")?;
        Some(Names { at, behind: parts.get(at + 1)?.strip_prefix("{name}")? })
    }
}
