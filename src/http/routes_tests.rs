//! Every route says of itself what the frame must know.

use std::collections::HashMap;

use actix_web::dev::{Path, ResourceDef};
use actix_web::http::Method;

use super::*;
use crate::domain::name::RepoId;
use crate::domain::name::RepoKind;
use crate::http::error::Dialect;
use crate::http::route::Traits;

#[test]
fn every_route_says_which_repo_it_is_about() {
    for Entry { path, traits, .. } in routes() {
        let said = match traits.about {
            About::NoRepo => (false, false, false),
            About::RepoOfKind => (true, true, false),
            About::Repo(kind) => (true, false, kind == RepoKind::Dataset),
        };
        let dataset = path.contains("/datasets/{ns}/");
        assert_eq!(said, (path.contains("{ns}/{name}"), path.contains("{kind:") && path.contains("{ns}"), dataset), "{path}");
    }
}

#[test]
fn every_pattern_has_one_meaning() {
    let mut seen = HashMap::new();
    for Entry { path, traits, .. } in routes() {
        assert_eq!(*seen.entry(path).or_insert(traits), traits, "{path}");
    }
}

#[test]
fn every_route_that_gives_or_takes_files_says_so() {
    for Entry { path, traits, .. } in routes() {
        let last = path.rsplit('/').next().unwrap_or_default();
        let names_bytes = ["{path:.*}", "{sha256}"].contains(&last)
            || ["/uploads/{id}", "/parts/{number}", "/pictures/{number}"].iter().any(|end| path.ends_with(end));
        let lists = ["/tree/", "/segments/"].iter().any(|word| path.contains(word));
        assert_eq!(traits.bytes, names_bytes && !lists, "{path}");
    }
    let counted = ["/api/v1/search", "/api/v1/uploads", "/api/v1/blobs/missing", "/api/{kind:models|datasets}/{ns}/{name}/commit/{rev}"];
    for path in counted {
        assert!(routes().iter().any(|entry| entry.path == path && !entry.traits.bytes), "{path}");
    }
}

#[test]
fn a_question_is_asked_by_post_alone() {
    let questions: Vec<Entry> = routes().into_iter().filter(|entry| entry.traits.question).collect();
    assert_eq!(questions.len(), 8, "paths-info with and without a namespace, what LFS has of a model and a data set, and git's own");
    for Entry { path, methods, traits, .. } in questions {
        assert_eq!(methods, [Method::POST], "{path}");
        assert!(traits.reads(&Method::POST) && !traits.reads(&Method::PUT));
    }
    assert!(!Traits::PLAIN.reads(&Method::POST) && Traits::PLAIN.reads(&Method::HEAD));
}

#[test]
fn the_dialects_routes_are_told_from_ours() {
    let speaks = |path: &str| routes().iter().any(|entry| entry.path == path && entry.traits.dialect == Dialect::HuggingFace);
    for theirs in ["/api/{kind:models|datasets}/{ns}/{name}", "/{ns}/{name}/resolve/{rev}/{path:.*}", "/api/whoami-v2", "/api/{rest:.*}"] {
        assert!(speaks(theirs), "{theirs}");
    }
    for ours in ["/api/v1/models/{ns}/{name}/embed", "/{ns}/{name}", "/api/v1/{rest:.*}", "/api"] {
        assert!(!speaks(ours), "{ours}");
    }
}

#[test]
fn addresses_name_repos() {
    let named = |path: &str| {
        // As the router finds it: the first that fits, and by its key where it asks for one.
        let fits = |pattern: &str| {
            let mut parts = Path::new(path);
            ResourceDef::new(pattern).capture_match_info(&mut parts).then_some(parts)
        };
        let routes = routes();
        let (entry, parts) = routes.iter().filter(|entry| entry.asking.is_none()).find_map(|entry| Some((entry, fits(entry.path)?)))?;
        entry.traits.repo(|name| parts.get(name))
    };
    let model = [
        "/ada/net",
        "/ada/net/resolve/main/a/b",
        "/api/models/ada/net",
        "/api/models/ada/net/revision/main",
        "/ada/net/1",
        "/api/v1/models/ada/net/versions",
        "/files/ada/net/1.0/model.safetensors",
        "/ada/net.git/info/lfs/objects/batch",
    ];
    for path in model {
        assert_eq!(named(path), Some((RepoKind::Model, RepoId::from_parts("ada", "net").unwrap())), "{path}");
    }
    for path in [
        "/datasets/ada/net",
        "/datasets/ada/net/resolve/main/x",
        "/api/datasets/%61da/net",
        "/api/v1/datasets/ada/net",
        "/datasets/ada/net.git/info/lfs/objects/batch",
    ] {
        assert_eq!(named(path).unwrap().0, RepoKind::Dataset, "{path}");
    }
    for path in [
        "/",
        "/healthz",
        "/api/v1/whoami",
        "/api/v1/finetunes/abc",
        "/api/models",
        "/api/models/ada",
        "/..%2f/x",
        "/static/style.css",
        "/jobs/1/x",
    ] {
        assert_eq!(named(path), None, "{path}");
    }
}
