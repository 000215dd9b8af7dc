//! What clients of the Hugging Face Hub can ask and no hub of this kind does: 501, in a sentence that their user reads.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;

use crate::http::error::{Answer, HttpError};

/// A word of an address, what it is about, and what to do instead.
const WORDS: &[(&str, &str, &str)] = &[
    ("lfs-files", "keeps no list of large files apart", "list the repo's tree, which says the sha256 and the size of every file"),
    (
        "duplicate",
        "copies no repos by itself",
        "download the repo and upload it under the other name; what is here already is not sent again",
    ),
    ("like", "keeps no likes", "go by the downloads"),
    (
        "user-access-request",
        "has no gated repos, and so no requests for access",
        "make the repo private and add members to its organisation",
    ),
    ("ask-access", "has no gated repos, and so no requests for access", "ask an administrator of the namespace for a role"),
    (
        "safetensors-metadata",
        "does not read a file's header for others",
        "read it from the file with a range request, or ask /api/v1/models/NAMESPACE/NAME/versions/REV/tensors",
    ),
    ("resource-group", "has no resource groups", "use organisations and their roles"),
    ("resource-groups", "has no resource groups", "use organisations and their roles"),
    ("collections", "keeps no collections", "name related repos in a card"),
    ("webhooks", "calls no webhooks", "ask for a repo's versions, or follow a fine-tune's events"),
    ("notifications", "sends no notifications", "look at the repo"),
    ("spaces", "runs no Spaces", "models and data sets are kept here"),
    ("jobs", "runs no jobs of this kind", "fine-tunes are asked for at /api/v1/finetunes"),
    ("scheduled-jobs", "runs no jobs of this kind", "fine-tunes are asked for at /api/v1/finetunes"),
    ("buckets", "has no buckets", "keep files in a model or a data set"),
    ("kernels", "has no kernels", "models and data sets are kept here"),
    ("papers", "keeps no papers", "name a paper in a card"),
    ("daily_papers", "keeps no papers", "name a paper in a card"),
    ("endpoint", "runs no inference endpoints", "ask /api/v1/models/NAMESPACE/NAME/predict"),
    ("inference", "runs no inference providers", "ask /api/v1/models/NAMESPACE/NAME/predict"),
    ("discussions", "does not keep this about discussions", "look at the repo's pull requests"),
    ("models-tags-by-type", "has no list of all tags", "the facets of /api/v1/search say which tags there are"),
    ("datasets-tags-by-type", "has no list of all tags", "the facets of /api/v1/search say which tags there are"),
    ("oauth", "has no log-in by OAuth", "make a token on the page /settings/tokens"),
    (".well-known", "has no log-in by OAuth", "make a token on the page /settings/tokens"),
    ("settings", "has no such settings", "accounts and tokens are managed at /settings/tokens and with 'hub admin'"),
    ("organizations", "says no more of organisations", "ask for their overview or members"),
    ("users", "says no more of people", "ask for their overview"),
];

pub async fn refuse(request: HttpRequest) -> Answer {
    let (what, instead) = about(request.uri().path());
    Err(HttpError::new(StatusCode::NOT_IMPLEMENTED, "not_offered", format!("this hub {what}"), instead).for_hugging_face(None))
}

fn about(path: &str) -> (String, &'static str) {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != "api").collect();
    // What follows is the name of a repo, and anybody's to choose.
    let named = parts.first().is_some_and(|first| ["models", "datasets"].contains(first));
    let said = parts.iter().skip(if named { 3 } else { 0 });
    // Many things are set somewhere: what is set says more.
    let (general, special): (Vec<&str>, Vec<&str>) = said.partition(|part| **part == "settings");
    match special.iter().chain(&general).find_map(|part| WORDS.iter().find(|(word, ..)| word == part)) {
        Some((_, what, instead)) => ((*what).to_owned(), instead),
        None => {
            let shown: String = path.chars().filter(|c| c.is_ascii_graphic()).take(100).collect();
            (format!("does not offer '{shown}'"), "what it does is described at /api and in docs/CLIENTS.md")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_is_about_what_was_asked() {
        let said = |path: &str| about(path).0;
        for (path, word) in [
            ("/api/models/jobs/spaces/lfs-files", "large files"),
            ("/api/spaces/ada/demo/restart", "Spaces"),
            ("/api/settings/webhooks/1/enable", "webhooks"),
            ("/api/collections/ada/x-1/items", "collections"),
            ("/api/datasets/ada/d/user-access-request/pending", "gated"),
            ("/api/jobs/ada/1/logs", "jobs"),
            ("/.well-known/openid-configuration", "OAuth"),
        ] {
            assert!(said(path).contains(word), "{path}: {}", said(path));
        }
        assert_eq!(said("/api/models/papers/jobs/unheard-of"), "does not offer '/api/models/papers/jobs/unheard-of'");
    }
}
