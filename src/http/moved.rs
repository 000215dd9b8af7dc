//! The way to a repo that was moved: the address that was asked for, with the present name in it. Clients keep their
//! token on it, since it leads to the same server.

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse};

use super::route::Traits;
use crate::domain::name::RepoId;

/// The answer to those who read. Who writes must know where, and is told the name as an error.
pub fn answer(request: &HttpRequest, to: &RepoId) -> Option<HttpResponse> {
    if !Traits::of(request).reads(request.method()) {
        return None;
    }
    let pattern = request.match_pattern()?;
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    // Relative: for the headers of a file, clients follow no other.
    let location = renamed(&pattern, request.uri().path(), to)? + &query;
    Some(HttpResponse::TemporaryRedirect().insert_header((LOCATION, location)).finish())
}

/// `path` with another repo's name where `pattern` has it. Names are as they are in addresses: they need no encoding.
fn renamed(pattern: &str, path: &str, to: &RepoId) -> Option<String> {
    let names: Vec<&str> = pattern.split('/').collect();
    let at = names.iter().position(|part| *part == "{ns}")?;
    let behind = names.get(at + 1)?.strip_prefix("{name}")?;
    let mut parts: Vec<&str> = path.split('/').collect();
    let name = format!("{}{behind}", to.name());
    *parts.get_mut(at)? = to.namespace().as_str();
    *parts.get_mut(at + 1)? = &name;
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_all_but_the_name() {
        let to = RepoId::parse("acme/web").unwrap();
        let renamed = |pattern: &str, path: &str| renamed(pattern, path, &to).unwrap_or_default();
        assert_eq!(renamed("/{ns}/{name}/resolve/{rev}/{path:.*}", "/ada/net/resolve/a%2Fb/c/d%20e"), "/acme/web/resolve/a%2Fb/c/d%20e");
        assert_eq!(renamed("/api/{kind:models|datasets}/{ns}/{name}", "/api/datasets/%61da/net"), "/api/datasets/acme/web");
        assert_eq!(
            renamed("/{kind:datasets}/{ns}/{name}.git/info/lfs/objects/batch", "/datasets/ada/net.git/info/lfs/objects/batch"),
            "/datasets/acme/web.git/info/lfs/objects/batch"
        );
        assert_eq!(renamed("/api/v1/finetunes/{id}", "/api/v1/finetunes/x"), "");
        assert_eq!(renamed("/{name}/resolve/{rev}/{path:.*}", "/net/resolve/main/x"), "");
    }
}
