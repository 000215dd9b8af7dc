//! The contract of the catalog's registry tables: what is written reads back, names and numbers are given once,
//! and who may name a blob is decided by who sent or may read it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

#[allow(dead_code, clippy::disallowed_methods)]
#[path = "support/postgres.rs"]
mod postgres;

use hub::catalog::reservations::{self, Keeper};
use hub::catalog::{Visibility, blobs, counters, facts, lineage, refs, repos, segments, uploads, versions};
use hub::db::{Db, Error, Result, Tx};
use hub::domain::digest::Digest;
use hub::domain::id::{AccountId, RepoKey, UploadId};
use hub::domain::manifest::{Manifest, ManifestEntry};
use hub::domain::name::{RepoId, RepoKind};
use hub::domain::path::RepoPath;
use hub::domain::pieces::Piece;
use hub::domain::ranges::Ranges;
use hub::domain::repo::{Facts, Metric, Repo, TrainedAs, Version, VersionState};
use hub::domain::revision::{Line, RefName};
use hub::domain::segments::{Layout, Segment};
use hub::domain::time::Timestamp;
use hub::domain::upload::Upload;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

fn repo(id: &str) -> Repo {
    let digest = Digest::of(id.as_bytes());
    let mut random = [0; 10];
    random.copy_from_slice(&digest.as_bytes()[..10]);
    Repo {
        key: RepoKey::new(at(1), random),
        kind: RepoKind::Model,
        id: RepoId::parse(id).unwrap(),
        private: false,
        summary: "one line".into(),
        downloads: 0,
        created: at(1),
        updated: at(2),
    }
}

fn manifest(files: &[(&str, &str)]) -> Manifest {
    let entry = |(path, text): &(&str, &str)| ManifestEntry {
        path: RepoPath::parse(path).unwrap(),
        size_bytes: text.len() as u64,
        digest: Digest::of(text.as_bytes()),
    };
    Manifest::new(files.iter().map(entry).collect()).unwrap()
}

fn facts_of(license: &str) -> Facts {
    Facts {
        license: license.into(),
        tags: vec!["tiny".into(), "timm".into()],
        metrics: vec![Metric { dataset: "pets".into(), name: "accuracy".into(), value: 0.5 }],
        labels: vec!["cat".into(), "dog".into()],
        parameters: 14,
        card_html: "<p>A net</p>".into(),
        warnings: vec!["a warning".into()],
        ..Facts::default()
    }
}

/// Writes the next version of a repo.
fn publish(tx: &mut Tx<'_>, repo: &Repo, files: &[(&str, &str)], facts: &Facts) -> Result<Version> {
    let manifest = manifest(files);
    let version = Version {
        number: repos::next_number(tx, &repo.key)?,
        commit: manifest.commit_id(),
        manifest: manifest.digest(),
        parent: versions::find_head(tx, &repo.key)?.map(|head| head.number),
        line: Line::main(),
        author: "ada".into(),
        message: "a message".into(),
        created: at(3),
        state: VersionState::Live,
        files: files.len() as u64,
        total_bytes: manifest.total_bytes(),
    };
    versions::insert(tx, &repo.key, &version, &manifest, &facts::encode(facts))?;
    facts::insert_details(tx, &repo.key, version.number, facts, "the card's words", "")?;
    refs::set(tx, &repo.key, &RefName::main(), version.number, at(3))?;
    facts::set_head(tx, repo, Some(&version))?;
    Ok(version)
}

/// A new database of each engine.
async fn of_each_engine(dir: &tempfile::TempDir) -> [Db; 2] {
    let address = tokio::task::spawn_blocking(|| postgres::Cluster::shared().database()).await.unwrap();
    [Db::open(&dir.path().join("hub.db")).await.unwrap(), Db::connect(&address).await.unwrap()]
}

/// Runs a story in one write transaction of a fresh database, of each engine.
async fn story(run: impl FnOnce(&mut Tx<'_>) -> Result<()> + Clone + Send + 'static) {
    let dir = tempfile::tempdir().unwrap();
    for db in of_each_engine(&dir).await {
        db.write(run.clone()).await.unwrap();
    }
}

#[tokio::test]
async fn a_repo_is_found_by_its_folded_name_and_its_name_is_given_once() {
    story(|tx| {
        let net = repo("Ada/My.Net");
        repos::insert(tx, &net)?;
        let found = repos::find(tx, RepoKind::Model, &RepoId::parse("ada/my_net").unwrap())?;
        assert_eq!(found.as_ref(), Some(&net), "kept as written");
        assert_eq!(repos::find_by_key(tx, &net.key)?, Some(net.clone()));
        assert_eq!(repos::find(tx, RepoKind::Dataset, &net.id)?, None);
        let same = Repo { key: repo("other/key").key, id: RepoId::parse("ada/my-net").unwrap(), ..net.clone() };
        assert!(matches!(tx.attempt(|tx| repos::insert(tx, &same)), Err(Error::Conflict(_))));
        let dataset = Repo { key: repo("data/key").key, kind: RepoKind::Dataset, ..net.clone() };
        repos::insert(tx, &dataset)?;

        publish(tx, &net, &[("a", "1")], &facts_of("mit"))?;
        repos::bury(tx, &net.key, at(9))?;
        assert_eq!(repos::find(tx, RepoKind::Model, &net.id)?, None);
        assert!(repos::is_buried(tx, RepoKind::Model, &net.id)?);
        assert!(!repos::is_buried(tx, RepoKind::Dataset, &net.id)?);
        assert!(matches!(tx.attempt(|tx| repos::insert(tx, &same)), Err(Error::Conflict(_))), "the tombstone keeps the name");
        assert_eq!(versions::find(tx, &net.key, 1)?.map(|v| v.state), Some(VersionState::Deleted));
        assert!(versions::files(tx, &net.key, 1)?.is_empty());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn versions_read_back_and_numbers_are_given_once() {
    story(|tx| {
        let net = repo("ada/net");
        repos::insert(tx, &net)?;
        let first = publish(tx, &net, &[("b", "2"), ("a/c", "3")], &facts_of("mit"))?;
        assert_eq!(versions::find(tx, &net.key, 1)?, Some(first.clone()));
        assert_eq!(versions::find_head(tx, &net.key)?, Some(first.clone()));
        let files = versions::files(tx, &net.key, 1)?;
        assert_eq!(files.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["a/c", "b"]);
        assert_eq!(versions::find_file(tx, &net.key, 1, "b")?.map(|f| f.digest), Some(Digest::of(b"2")));
        assert_eq!(versions::find_file(tx, &net.key, 1, "B")?, None);

        let second = publish(tx, &net, &[("b", "4")], &facts_of("mit"))?;
        versions::bury(tx, &net.key, 2)?;
        assert_eq!(versions::find_newest_live(tx, &net.key)?.map(|v| v.number), Some(1));
        let third = publish(tx, &net, &[("b", "4")], &facts_of("mit"))?;
        assert_eq!((third.number, &third.commit), (3, &second.commit), "the same files, another number");
        let same: Vec<u32> = versions::with_commit(tx, &net.key, &second.commit.as_str()[..7])?.iter().map(|v| v.number).collect();
        assert_eq!(same, [3, 2], "tombstones come last");
        let page = versions::list(tx, &net.key, None, 2)?;
        assert_eq!(page.items.iter().map(|v| v.number).collect::<Vec<_>>(), [3, 2]);
        let rest = versions::list(tx, &net.key, page.next.map(|n| n.parse().unwrap()), 2)?;
        assert_eq!((rest.items.len(), rest.next), (1, None));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn facts_are_split_between_lists_and_the_versions_own_page() {
    story(|tx| {
        let net = repo("ada/net");
        repos::insert(tx, &net)?;
        publish(tx, &net, &[("a", "1")], &facts_of("mit"))?;
        let mut read = facts::find(tx, &net.key, 1)?.unwrap();
        assert_eq!(read, Facts { card_html: String::new(), labels: vec![], ..facts_of("mit") });
        facts::complete(tx, &net.key, 1, &mut read)?;
        assert_eq!(read, facts_of("mit"));
        assert_eq!(facts::find(tx, &net.key, 2)?, None);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn refs_name_versions() {
    story(|tx| {
        let net = repo("ada/net");
        repos::insert(tx, &net)?;
        let version = publish(tx, &net, &[("a", "1")], &facts_of("mit"))?;
        let tag = RefName::parse("best").unwrap();
        refs::set(tx, &net.key, &tag, 1, at(5))?;
        assert_eq!(refs::find(tx, &net.key, &tag)?.map(|r| r.commit), Some(version.commit));
        assert_eq!(refs::list(tx, &net.key)?.iter().map(|r| r.name.to_string()).collect::<Vec<_>>(), ["main", "best"]);
        assert_eq!((refs::naming(tx, &net.key, 1)?.len(), refs::count(tx, &net.key)?), (2, 2));
        refs::delete(tx, &net.key, &tag)?;
        assert_eq!(refs::find(tx, &net.key, &tag)?, None);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_blob_is_for_those_who_sent_it_or_may_read_it() {
    story(|tx| {
        let (ada, eve) = (AccountId::new(at(1), [1; 10]), AccountId::new(at(1), [2; 10]));
        let digest = Digest::of(b"secret");
        let holder = UploadId::new(at(1), [9; 10]);
        let keeper = Keeper::Holder(holder.clone());
        assert!(matches!(blobs::insert(tx, &digest, 6, &keeper, at(1)), Err(Error::Overtaken(_))), "nobody kept the collector away");
        reservations::reserve(tx, &digest, &holder, at(1), at(5))?;
        blobs::insert(tx, &digest, 6, &keeper, at(1))?;
        blobs::insert(tx, &digest, 6, &keeper, at(2))?;
        assert!(matches!(blobs::insert(tx, &digest, 6, &keeper, at(5)), Err(Error::Overtaken(_))), "it took too long");
        assert_eq!(blobs::find_size(tx, &digest)?, Some(6));
        blobs::grant(tx, &digest, &ada, at(1))?;
        assert!(blobs::has_grant(tx, &digest, &ada)? && !blobs::has_grant(tx, &digest, &eve)?);
        let nobody = Visibility::Public { and_namespaces: vec![] };
        let usable = [Some(&ada), Some(&eve), None].map(|account| blobs::find_usable_size(tx, &digest, account, &nobody).unwrap());
        assert_eq!(usable, [Some(6), None, None]);
        blobs::revoke(tx, &digest, &ada)?;
        assert!(!blobs::has_grant(tx, &digest, &ada)?);

        let public = Visibility::Public { and_namespaces: vec![] };
        let members = Visibility::Public { and_namespaces: vec!["ada".into()] };
        let neighbours = Visibility::Public { and_namespaces: vec!["ad".into(), "ada-b".into()] };
        let mut net = Repo { private: true, ..repo("ada/net") };
        repos::insert(tx, &net)?;
        assert!(!blobs::is_readable(tx, &digest, &Visibility::Everything)?, "no repo holds it yet");
        publish(tx, &net, &[("a", "secret")], &facts_of("mit"))?;
        for (visible, readable) in [(&public, false), (&neighbours, false), (&members, true), (&Visibility::Everything, true)] {
            assert_eq!(blobs::is_readable(tx, &digest, visible)?, readable, "{visible:?}");
            assert_eq!(blobs::find_usable_size(tx, &digest, None, visible)?, readable.then_some(6), "{visible:?}");
            assert_eq!(repos::find_seen(tx, net.kind, &net.id, visible)?, readable.then(|| net.clone()), "{visible:?}");
            assert_eq!(blobs::find_usable_size(tx, &Digest::of(b"unknown"), Some(&ada), visible)?, None);
        }
        net.private = false;
        repos::update(tx, &net)?;
        assert!(blobs::is_readable(tx, &digest, &public)?);
        versions::bury(tx, &net.key, 1)?;
        assert!(!blobs::is_readable(tx, &digest, &Visibility::Everything)?);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn uploads_belong_to_their_account_and_expire() {
    story(|tx| {
        let (ada, eve) = (AccountId::new(at(1), [1; 10]), AccountId::new(at(1), [2; 10]));
        let digest = Digest::of(b"x");
        let id = UploadId::new(at(1), [3; 10]);
        let upload = Upload {
            id: id.clone(),
            account: ada.clone(),
            digest,
            size_bytes: 10,
            received: Ranges::default(),
            complete: false,
            created: at(1),
            expires: at(100),
        };
        uploads::insert(tx, &upload)?;
        assert_eq!(uploads::find(tx, &ada, &id)?, Some(upload.clone()));
        assert_eq!(uploads::find(tx, &eve, &id)?, None);
        assert_eq!(uploads::find_of_digest(tx, &ada, &digest)?, Some(upload));
        let received = Ranges::parse("0-2,5-9").unwrap();
        uploads::set_received(tx, &id, &received, at(200))?;
        let found = uploads::find(tx, &ada, &id)?.unwrap();
        assert_eq!((found.offset(), found.is_whole(), found.received, found.expires), (2, false, received, at(200)));
        assert_eq!(uploads::known(tx, &[UploadId::new(at(1), [4; 10]), id.clone()])?, std::slice::from_ref(&id));
        assert_eq!((uploads::count_open(tx, &ada)?, uploads::count_open(tx, &eve)?), (1, 0));
        assert!(uploads::expired(tx, at(150), 9)?.is_empty());
        assert_eq!(uploads::expired(tx, at(201), 9)?[0].id, id);
        blobs::grant(tx, &digest, &ada, at(1))?;
        assert_eq!(uploads::find(tx, &ada, &id)?.map(|u| (u.complete, u.offset())), Some((true, 10)), "proved bytes complete it");
        uploads::set_received(tx, &id, &Ranges::from(0..10), at(200))?;
        assert_eq!(uploads::count_open(tx, &ada)?, 0);
        uploads::delete(tx, &id)?;
        assert_eq!(uploads::find(tx, &ada, &id)?, None);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn lineage_meets_by_folded_name_at_the_head() {
    story(|tx| {
        let (net, tuned) = (repo("ada/net"), repo("ada/tuned"));
        for repo in [&net, &tuned] {
            repos::insert(tx, repo)?;
            publish(tx, repo, &[("a", "1")], &facts_of("mit"))?;
        }
        lineage::insert_sources(tx, &net.key, 1, &["ImageNet_1k".into()], TrainedAs::Pretrained)?;
        lineage::insert_sources(tx, &tuned.key, 1, &["library/imagenet-1k".into()], TrainedAs::FineTuned)?;
        lineage::insert_bases(tx, &tuned.key, 1, &[("Ada/Net".into(), Some(1)), ("elsewhere/x".into(), None)])?;
        let all = Visibility::Everything;
        for (how, of) in [(TrainedAs::Pretrained, &net), (TrainedAs::FineTuned, &tuned)] {
            assert_eq!(lineage::trained_on(tx, "library/imagenet-1k", how, &all, 9)?, (vec![of.key.clone()], false));
        }
        assert_eq!(lineage::sources(tx, &net.key, 1)?[0], ("ImageNet_1k".into(), "library/imagenet-1k".into(), TrainedAs::Pretrained));
        assert_eq!(lineage::children(tx, "ada/net", &all, 9)?, (vec![tuned.key.clone()], false));
        assert_eq!(lineage::bases(tx, &tuned.key, 1)?[1], ("elsewhere/x".into(), "elsewhere/x".into(), None));
        // Another head that says nothing of it: the old lines are history.
        publish(tx, &tuned, &[("a", "2")], &facts_of("mit"))?;
        assert_eq!(lineage::children(tx, "ada/net", &all, 9)?, (vec![], false));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn downloads_are_counted() {
    story(|tx| {
        let net = repo("ada/net");
        repos::insert(tx, &net)?;
        publish(tx, &net, &[("a", "123")], &facts_of("mit"))?;
        counters::add_downloads(tx, &net.key, 2, at(86_400_000))?;
        counters::add_downloads(tx, &net.key, 3, at(86_400_001))?;
        assert_eq!(repos::find_by_key(tx, &net.key)?.map(|r| r.downloads), Some(5));
        let site = counters::site(tx)?;
        assert_eq!((site.models, site.datasets, site.bytes, site.jobs), (1, 0, 3, 0));
        Ok(())
    })
    .await;
}

#[tokio::test]
#[allow(clippy::single_range_in_vec_init)] // a list of one run is meant
async fn what_is_shared_is_found_by_those_who_may_read_it() {
    story(|tx| {
        let (base, tune, account) = (Digest::of(b"base"), Digest::of(b"tune"), AccountId::new(at(1), [7; 10]));
        let everybody = Visibility::Public { and_namespaces: Vec::new() };
        let ada = Visibility::Public { and_namespaces: vec!["ada".into()] };
        let holder = UploadId::new(at(1), [9; 10]);
        for (digest, size) in [(base, 1_000_000), (tune, 500_000), (Digest::of(b"rest"), 100_000)] {
            reservations::reserve(tx, &digest, &holder, at(1), at(5))?;
            blobs::insert(tx, &digest, size, &Keeper::Holder(holder.clone()), at(1))?;
        }
        let piece = |offset, size_bytes| Piece { offset, size_bytes, sha256: Digest::of(b"tensor") };
        segments::insert_pieces(tx, &base, &[piece(100, 400_000), piece(400_100, 4_095)])?;
        segments::insert_pieces(tx, &base, &[piece(100, 400_000)])?;
        let place = segments::Place { source: base, offset: 100 };
        assert_eq!(segments::places(tx, &piece(7, 400_000))?, [place]);
        assert!(segments::places(tx, &piece(7, 399_999))?.is_empty() && segments::places(tx, &piece(7, 4_095))?.is_empty());

        let run = |offset, size_bytes, source, source_offset| Segment { offset, size_bytes, source, source_offset };
        let layout = vec![run(0, 100_000, Digest::of(b"rest"), 0), run(100_000, 400_000, base, 100)];
        let layout = Layout::covering(500_000, layout).unwrap();
        segments::insert(tx, &tune, &layout)?;
        segments::insert(tx, &tune, &layout)?;
        assert_eq!((segments::find_layout(tx, &tune)?, segments::find_layout(tx, &base)?), (Some(layout), None));
        assert_eq!((segments::sources(tx, &tune)?.len(), segments::dependents(tx, &base, 9)?), (2, vec![tune]));
        assert!(segments::is_whole(tx, &base)? && !segments::is_whole(tx, &tune)? && !segments::is_whole(tx, &Digest::of(b"?"))?);

        // Nobody: neither blob is in a repo they see. The sender of one, the reader of the other, the reader of all.
        let none: [std::ops::Range<u64>; 0] = [];
        assert_eq!(segments::readable(tx, &base, Some(&account), &everybody)?, none);
        blobs::grant(tx, &tune, &account, at(1))?;
        assert_eq!(segments::readable(tx, &base, Some(&account), &everybody)?, [100..400_100]);
        assert_eq!(segments::readable(tx, &base, None, &everybody)?, none);
        let net = Repo { private: true, ..repo("ada/net") };
        repos::insert(tx, &net)?;
        publish(tx, &net, &[("model.safetensors", "base")], &facts_of("mit"))?;
        assert_eq!(segments::readable(tx, &base, None, &ada)?, [0..1_000_000]);
        assert_eq!(segments::readable(tx, &base, None, &everybody)?, none);
        assert!(segments::may_read(tx, &base, None, &Visibility::Everything)?);

        segments::forget(tx, &base)?;
        assert!(segments::places(tx, &piece(7, 400_000))?.is_empty());
        assert_eq!(segments::dependents(tx, &base, 9)?, [tune], "those made of it are not touched");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acts_of_one_millisecond_are_listed_in_the_order_they_were_written() {
    use hub::catalog::audit;
    use hub::domain::audit::{AuditEntry, AuditFilter};
    let folder = tempfile::tempdir().unwrap();
    let [embedded, server] = of_each_engine(&folder).await;
    for db in [embedded, server] {
        // Random parts fall as time goes on, and the last act of all was noted late.
        let acts = [(5, 9, "a"), (5, 7, "b"), (5, 0xff, "c"), (5, 0, "d"), (6, 1, "e"), (5, 3, "late")];
        db.write(move |tx| {
            acts.iter().try_for_each(|&(time, random, subject)| {
                let entry = AuditEntry {
                    time: at(time),
                    account: "ada".into(),
                    action: "act".into(),
                    subject: subject.into(),
                    detail: String::new(),
                    token: String::new(),
                    address: String::new(),
                    request: String::new(),
                };
                audit::insert(tx, &entry, [random; 10])
            })
        })
        .await
        .unwrap();
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = hub::domain::page::PageRequest { limit: 2, cursor };
            let page = db.read(move |tx| audit::list(tx, &AuditFilter::default(), &page)).await.unwrap();
            seen.extend(page.items.into_iter().map(|entry| entry.subject));
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, ["e", "late", "d", "c", "b", "a"]);
    }
}
