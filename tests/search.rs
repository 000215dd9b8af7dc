//! The contract of catalog search on a real database: words, filters, sorts, pages, facets, visibility.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

#[allow(dead_code, clippy::disallowed_methods)]
#[path = "support/postgres.rs"]
mod postgres;

use hub::catalog::search::{self, Cursor, SearchHits, listing};
use hub::catalog::{Visibility, full_text};
use hub::db::{Db, Error};
use hub::domain::id::RepoKey;
use hub::domain::name::RepoKind;
use hub::domain::search::{SearchQuery, Sort};
use hub::domain::time::Timestamp;
use hub::params;

const SOURCES: [&str; 3] = ["library/imagenet-1k", "acme/cats", "library/imagenet-21k"];

fn key(i: u32) -> RepoKey {
    let mut random = [0; 10];
    random[..4].copy_from_slice(&i.to_be_bytes());
    RepoKey::new(Timestamp::from_unix_ms(1_000), random)
}

/// A new database of each engine.
async fn of_each_engine(dir: &tempfile::TempDir) -> [Db; 2] {
    let address = tokio::task::spawn_blocking(|| postgres::Cluster::shared().database()).await.unwrap();
    [Db::open(&dir.path().join("hub.db")).await.unwrap(), Db::connect(&address).await.unwrap()]
}

/// `count` models and data sets whose facts follow from their number, in a database of each engine.
async fn filled(dir: &tempfile::TempDir, count: u32) -> [Db; 2] {
    let databases = of_each_engine(dir).await;
    for db in &databases {
        fill(db, count).await;
    }
    databases
}

async fn fill(db: &Db, count: u32) {
    db.write(move |tx| {
        for i in 0..count {
            let key = key(i);
            let kind = if i % 5 == 4 { "dataset" } else { "model" };
            let namespace = if i % 2 == 0 { "Acme" } else { "beta" };
            let architecture = if i % 3 == 0 { "resnet50" } else { "mobilenetv2_100" };
            let name = format!("{architecture}-{i}");
            let folded = format!("{}/{}", namespace.to_lowercase(), name.replace('_', "-"));
            tx.execute(
                "insert into repos (key, kind, namespace, name, folded, private, downloads, created, updated) \
                 values ($1, $2, $3, $4, $5, $6, $7, 0, $8)",
                params![key.as_str(), kind, namespace, &name, &folded, i % 7 == 6, i % 10, i],
            )?;
            tx.execute(
                "insert into repo_facts (repo, number, task, modality, architecture, license, parameters, total_bytes) \
                 values ($1, 1, 'image-classification', 'image', $2, $3, $4, 5)",
                params![key.as_str(), architecture, if i % 4 == 0 { "mit" } else { "apache-2.0" }, u64::from(i) * 1_000],
            )?;
            tx.execute(
                "insert into version_sources (repo, number, position, written, folded, trained_as) values ($1, 1, 0, $2, $2, 'pretrained')",
                params![key.as_str(), SOURCES[i as usize % 3]],
            )?;
            let body = if i == 11 { "the only one about penguins" } else { "a plain card" };
            full_text::index(tx, &key, &format!("{namespace}/{name}"), "", "timm", body)?;
            listing::refresh(tx, &key)?;
        }
        Ok::<_, Error>(())
    })
    .await
    .unwrap();
}

async fn run(db: &Db, query: SearchQuery, visible: Visibility, limit: usize, after: Option<String>) -> SearchHits {
    let cursor = after.map(|text| Cursor::parse(&query, &text).expect("a cursor of this query"));
    db.read(move |tx| search::search(tx, &query, &visible, limit, cursor.as_ref())).await.unwrap()
}

fn stranger() -> Visibility {
    Visibility::Public { and_namespaces: vec![] }
}

#[tokio::test]
async fn filters_hold_together_and_count_facets() {
    let dir = tempfile::tempdir().unwrap();
    for db in &filled(&dir, 210).await {
        let query = SearchQuery {
            kind: Some(RepoKind::Model),
            architecture: "resnet50".into(),
            source_dataset: "ImageNet_1k".into(),
            author: "ACME".into(),
            min_parameters: Some(30_000),
            max_parameters: Some(120_000),
            ..SearchQuery::default()
        };
        let expected: Vec<u32> = (0..210).filter(|i| i % 5 != 4 && i % 3 == 0 && i % 2 == 0 && (30..=120).contains(i)).collect();
        let hits = run(db, query.clone(), Visibility::Everything, 100, None).await;
        assert_eq!(hits.total, expected.len() as u64);
        let mut found: Vec<_> = hits.page.items.clone();
        found.sort();
        assert_eq!(found, expected.iter().map(|i| key(*i)).collect::<Vec<_>>());
        let license = hits.facets.iter().find(|f| f.name == "license").unwrap();
        assert_eq!(license.values.iter().map(|(_, n)| n).sum::<u64>(), hits.total);
        let source = hits.facets.iter().find(|f| f.name == "source_dataset").unwrap();
        assert_eq!(source.values, vec![("imagenet-1k".to_owned(), hits.total)]);
        assert_eq!(hits.facets.iter().find(|f| f.name == "author").unwrap().values, vec![("Acme".to_owned(), hits.total)]);
    }
}

#[tokio::test]
async fn pages_cover_every_hit_once_in_each_order() {
    let dir = tempfile::tempdir().unwrap();
    for db in &filled(&dir, 60).await {
        for sort in [Sort::Relevance, Sort::Downloads, Sort::Newest, Sort::Size, Sort::Name, Sort::License, Sort::Dataset] {
            for text in ["", "resnet50"] {
                let query = SearchQuery { sort, text: text.into(), ..SearchQuery::default() };
                let all = run(db, query.clone(), Visibility::Everything, 100, None).await;
                let (mut seen, mut after) = (Vec::new(), None);
                loop {
                    let hits = run(db, query.clone(), Visibility::Everything, 7, after).await;
                    assert_eq!(hits.total, all.total);
                    seen.extend(hits.page.items);
                    after = hits.page.next;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(seen, all.page.items, "{sort:?} {text:?}");
                assert_eq!(seen.len() as u64, all.total);
            }
        }
        let newest = run(db, SearchQuery { sort: Sort::Newest, ..SearchQuery::default() }, Visibility::Everything, 3, None).await;
        assert_eq!(newest.page.items, vec![key(59), key(58), key(57)]);
    }
}

#[tokio::test]
async fn words_are_words_and_never_operators() {
    let dir = tempfile::tempdir().unwrap();
    for db in &filled(&dir, 40).await {
        let text = |text: &str| SearchQuery { text: text.into(), ..SearchQuery::default() };
        let total = |query| async { run(db, query, Visibility::Everything, 5, None).await.total };
        assert_eq!(total(text("penguin")).await, 1);
        assert_eq!(total(text("resnet pengu")).await, 0, "11 is a mobilenet");
        assert_eq!(total(text("MobileNetV2_100 penguins")).await, 1);
        assert_eq!(total(text("resnet50-12")).await, 1);
        for hostile in
            ["\"", "NEAR(a b)", "a* OR b", "^", "name:x", "'; drop table repos; --", "()", "-", "*", "%", "\u{0}", &"x".repeat(5_000)]
        {
            total(text(hostile)).await;
        }
        assert_eq!(total(text("")).await, 40);
        assert_eq!(total(text("!!!")).await, 40, "no word, no filter");
    }
}

#[tokio::test]
async fn strangers_see_and_count_only_public_repos() {
    let dir = tempfile::tempdir().unwrap();
    for db in &filled(&dir, 70).await {
        let public = run(db, SearchQuery::default(), stranger(), 100, None).await;
        assert_eq!(public.total, 60);
        assert_eq!(public.facets.iter().find(|f| f.name == "author").unwrap().values.iter().map(|v| v.1).sum::<u64>(), 60);
        let member = Visibility::Public { and_namespaces: vec!["beta".into()] };
        assert_eq!(run(db, SearchQuery::default(), member, 100, None).await.total, 65);
        assert_eq!(run(db, SearchQuery::default(), Visibility::Everything, 100, None).await.total, 70);
    }
}

#[tokio::test]
async fn a_cursor_serves_only_its_own_query() {
    let dir = tempfile::tempdir().unwrap();
    for db in &filled(&dir, 20).await {
        let query = SearchQuery::default();
        let next = run(db, query.clone(), Visibility::Everything, 5, None).await.page.next.unwrap();
        assert!(Cursor::parse(&query, &next).is_some());
        assert!(Cursor::parse(&SearchQuery { task: "x".into(), ..query.clone() }, &next).is_none());
        for text in ["", "x", "e30", &next[..next.len() - 2], "\u{1F600}"] {
            assert!(Cursor::parse(&query, text).is_none(), "{text:?}");
        }
    }
}

#[tokio::test]
async fn indexing_again_replaces_the_words() {
    let dir = tempfile::tempdir().unwrap();
    for db in &filled(&dir, 3).await {
        db.write(|tx| full_text::index(tx, &key(1), "beta/renamed", "", "", "zebra")).await.unwrap();
        let text = |text: &str| SearchQuery { text: text.into(), ..SearchQuery::default() };
        assert_eq!(run(db, text("zebra"), Visibility::Everything, 5, None).await.page.items, vec![key(1)]);
        assert_eq!(run(db, text("mobilenetv2"), Visibility::Everything, 5, None).await.total, 1);
        db.write(|tx| full_text::unindex(tx, &key(1))).await.unwrap();
        assert_eq!(run(db, text("zebra"), Visibility::Everything, 5, None).await.total, 0);
    }
}
