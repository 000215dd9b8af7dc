//! Searches answer as a plain look at all repos would, and what one costs does not grow with the catalog: counted in steps of the database, not
//! in seconds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod scale_kit;
#[path = "scale_queue/mod.rs"]
mod scale_queue;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use hub::catalog::search::{self, Bounds, Cursor, SearchHits, listing, rebuild, suggest};
use hub::catalog::{Visibility, counters, repos};
use hub::db::{Db, Error};
use hub::domain::name::RepoKind;
use hub::domain::search::{Choice, ChoiceBy, Label, SearchQuery, Sort};
use hub::domain::time::Timestamp;
use scale_kit::{Draw, Drawn, LICENSES, TASKS, drawn, key, put};

async fn filled(dir: &tempfile::TempDir, many: u64) -> Db {
    let db = Db::open(&dir.path().join(format!("hub{many}.db"))).await.unwrap();
    db.write(|tx| rebuild::some(tx).map(drop)).await.unwrap();
    for from in (0..many).step_by(500) {
        db.write(move |tx| (from..many.min(from + 500)).try_for_each(|at| put(tx, &drawn(at, many), 1))).await.unwrap();
    }
    db.write(move |tx| {
        for at in (0..many).step_by(3) {
            counters::add_downloads(tx, &key(at), at % 17, Timestamp::from_unix_ms(1))?;
        }
        Ok::<_, Error>(())
    })
    .await
    .unwrap();
    db
}

async fn run(db: &Db, query: &SearchQuery, visible: &Visibility, bounds: &Bounds, limit: usize, after: Option<String>) -> SearchHits {
    let (query, visible, bounds) = (query.clone(), visible.clone(), bounds.clone());
    let cursor = after.map(|text| Cursor::parse(&query, &text).expect("a cursor of this query"));
    db.read(move |tx| search::search_within(tx, &query, &visible, (limit, cursor.as_ref()), &bounds)).await.unwrap()
}

fn stranger() -> Visibility {
    Visibility::Public { and_namespaces: vec![] }
}

/// All repos, to be looked through one by one.
struct Reference {
    all: Vec<Drawn>,
    sources: Vec<BTreeSet<String>>,
}

impl Reference {
    fn of(many: u64) -> Reference {
        let all: Vec<Drawn> = (0..many).map(|at| drawn(at, many)).collect();
        let by_name: HashMap<String, usize> = all.iter().enumerate().map(|(at, one)| (one.repo.id.folded(), at)).collect();
        let sources = (0..all.len()).map(|at| closure(&all, &by_name, at)).collect();
        Reference { all, sources }
    }

    fn downloads(at: usize) -> u64 {
        if at.is_multiple_of(3) { at as u64 % 17 } else { 0 }
    }

    fn fits(&self, at: usize, query: &SearchQuery, visible: &Visibility) -> bool {
        let Drawn { repo, facts, bases, .. } = &self.all[at];
        let namespace = repo.id.namespace().folded();
        let sees = match visible {
            Visibility::Everything => true,
            Visibility::Public { and_namespaces } => !repo.private || and_namespaces.contains(&namespace),
        };
        let is = |by: ChoiceBy, value: &str| match by {
            ChoiceBy::Task => facts.task == value,
            ChoiceBy::Modality => facts.modality == value,
            ChoiceBy::Architecture => facts.architecture == value,
            ChoiceBy::License => facts.license == value,
            ChoiceBy::Library => facts.library == value,
            ChoiceBy::Tag => facts.tags.iter().any(|tag| tag == value),
            ChoiceBy::Author => namespace == value,
            ChoiceBy::SourceDataset => self.sources[at].contains(&search::fold_repo(value)),
            ChoiceBy::BaseModel => bases.iter().any(|(base, _)| search::fold_repo(base) == search::fold_repo(value)),
        };
        let words = format!("{} {} {}", repo.id, repo.summary, self.all[at].card).to_lowercase();
        let tags = [&facts.tags[..], &[facts.task.clone(), facts.architecture.clone(), facts.license.clone()]].concat().join(" ");
        let words: Vec<String> = format!("{words} {tags}").split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect();
        sees && query.kind.is_none_or(|kind| kind == repo.kind)
            && query.choices.iter().all(|choice| choice.values.iter().any(|value| is(choice.by, value)))
            && query.labels.iter().all(|label| match label {
                Label::Word(word) => facts.library == *word || facts.task == *word || facts.tags.contains(word),
                _ => false,
            })
            && query.min_parameters.is_none_or(|least| facts.parameters >= least)
            && query.max_parameters.is_none_or(|most| facts.parameters <= most)
            && query.min_top1.is_none_or(|least| facts.top1().is_some_and(|top1| top1 >= least))
            && query.text.split(' ').filter(|word| !word.is_empty()).all(|asked| words.iter().any(|word| word.starts_with(asked)))
            && (query.measure.is_empty() || !facts.metrics.is_empty())
    }

    fn found(&self, query: &SearchQuery, visible: &Visibility) -> BTreeSet<String> {
        let fitting = (0..self.all.len()).filter(|at| self.fits(*at, query, visible));
        fitting.map(|at| key(at as u64).as_str().to_owned()).collect()
    }
}

/// Through bases that hand on to this one: public ones, and private ones of a private one's namespace.
fn closure(all: &[Drawn], by_name: &HashMap<String, usize>, root: usize) -> BTreeSet<String> {
    let (mut found, mut seen, mut stack) = (BTreeSet::new(), HashSet::from([root]), vec![root]);
    while let Some(at) = stack.pop() {
        found.extend(all[at].facts.source_datasets.iter().map(|name| search::fold_repo(name)));
        for (base, _) in &all[at].bases {
            let Some(base) = by_name.get(&search::fold_repo(base)).copied().filter(|base| all[*base].repo.kind == RepoKind::Model) else {
                continue;
            };
            let (mine, its) = (&all[root].repo, &all[base].repo);
            let together = mine.private && mine.id.namespace().folded() == its.id.namespace().folded();
            if (!its.private || together) && seen.insert(base) {
                stack.push(base);
            }
        }
    }
    found
}

/// A question drawn from what there is.
fn question(draw: &mut Draw, many: u64) -> SearchQuery {
    let mut query = SearchQuery { plain: draw.below(4) == 0, reversed: draw.below(5) == 0, ..SearchQuery::default() };
    query.kind = [None, Some(RepoKind::Model), Some(RepoKind::Model), Some(RepoKind::Dataset)][draw.below(4) as usize];
    query.sort =
        [Sort::Relevance, Sort::Downloads, Sort::Newest, Sort::Created, Sort::Size, Sort::Top1, Sort::Name, Sort::License, Sort::Dataset]
            [draw.below(9) as usize];
    for _ in 0..draw.below(3) {
        let like = drawn(draw.below(many), many);
        let values = [like, drawn(draw.below(many), many)];
        let by = [
            ChoiceBy::Task,
            ChoiceBy::Modality,
            ChoiceBy::Architecture,
            ChoiceBy::License,
            ChoiceBy::Tag,
            ChoiceBy::Author,
            ChoiceBy::SourceDataset,
            ChoiceBy::BaseModel,
        ][draw.below(8) as usize];
        let value = |one: &Drawn| match by {
            ChoiceBy::Task => one.facts.task.clone(),
            ChoiceBy::Modality => one.facts.modality.clone(),
            ChoiceBy::Architecture => one.facts.architecture.clone(),
            ChoiceBy::License => one.facts.license.clone(),
            ChoiceBy::Tag => one.facts.tags[0].clone(),
            ChoiceBy::Author => one.repo.id.namespace().folded(),
            ChoiceBy::SourceDataset => one.facts.source_datasets.first().cloned().unwrap_or("set0".into()),
            _ => one.bases.first().map_or("ns0/none".into(), |(base, _)| base.clone()),
        };
        let count = 1 + draw.below(2) as usize;
        query.choices.push(Choice { by, values: values.iter().take(count).map(value).collect() });
    }
    match draw.below(6) {
        0 => query.min_parameters = Some(draw.below(200_000_000)),
        1 => query.max_parameters = Some(draw.below(200_000_000)),
        2 => query.min_top1 = Some(draw.below(1_000) as f64 / 1_000.0),
        3 => query.labels.push(Label::Word(format!("tag{}", draw.below(10)))),
        _ => {}
    }
    match draw.below(5) {
        0 => query.text = format!("word{}", draw.skewed(3_000)),
        1 => query.text = format!("{} word{}", ["resnet", "bert", "vit"][draw.below(3) as usize], draw.skewed(300)),
        2 => query.measure = "F1".into(),
        _ => {}
    }
    query
}

async fn all_pages(db: &Db, query: &SearchQuery, visible: &Visibility, bounds: &Bounds, limit: usize) -> (Vec<String>, SearchHits) {
    let first = run(db, query, visible, bounds, limit, None).await;
    let mut keys: Vec<String> = first.page.items.iter().map(|key| key.as_str().to_owned()).collect();
    let mut after = first.page.next.clone();
    while let Some(cursor) = after {
        let hits = run(db, query, visible, bounds, limit, Some(cursor)).await;
        assert_eq!((hits.total, hits.at_least), (first.total, first.at_least), "{query:?}");
        keys.extend(hits.page.items.iter().map(|key| key.as_str().to_owned()));
        after = hits.page.next;
    }
    (keys, first)
}

#[tokio::test]
async fn the_answers_are_those_of_a_plain_look() {
    const MANY: u64 = 600;
    let dir = tempfile::tempdir().unwrap();
    let (db, reference) = (filled(&dir, MANY).await, Reference::of(MANY));
    let mut draw = Draw::new(11);
    // Ways to look that differ with size are all taken: few candidates, and walks that stop early.
    let narrow = Bounds { candidates: 40, walked: 50, probed: 30, counted: 25, ..Bounds::default() };
    for round in 0..120 {
        let query = question(&mut draw, MANY);
        let visible = match round % 3 {
            0 => stranger(),
            1 => Visibility::Public { and_namespaces: vec!["ns0".into(), "ns3".into()] },
            _ => Visibility::Everything,
        };
        let expected = reference.found(&query, &visible);
        for bounds in [Bounds::default(), Bounds { candidates: 0, ..Bounds::default() }] {
            if bounds.candidates == 0 && !query.text.is_empty() {
                continue;
            }
            let (keys, hits) = all_pages(&db, &query, &visible, &bounds, 100).await;
            assert_eq!(keys.iter().cloned().collect::<BTreeSet<_>>(), expected, "{query:?} {visible:?}");
            assert_eq!((keys.len(), hits.total, hits.at_least), (expected.len(), expected.len() as u64, false), "{query:?} {visible:?}");
        }
        if query.text.is_empty() {
            let (keys, hits) = all_pages(&db, &query, &visible, &narrow, 7).await;
            assert_eq!(keys.iter().cloned().collect::<BTreeSet<_>>(), expected, "{query:?} {visible:?}");
            assert_eq!(keys.len(), expected.len(), "each once: {query:?}");
            assert!(hits.at_least || hits.total == expected.len() as u64, "{query:?}");
            assert!(hits.total <= expected.len() as u64, "{query:?}");
        }
    }
}

#[tokio::test]
async fn orders_and_facets_are_right() {
    const MANY: u64 = 400;
    let dir = tempfile::tempdir().unwrap();
    let (db, reference) = (filled(&dir, MANY).await, Reference::of(MANY));
    let query = SearchQuery { kind: Some(RepoKind::Model), sort: Sort::Downloads, ..SearchQuery::default() };
    let (keys, hits) = all_pages(&db, &query, &stranger(), &Bounds::default(), 50).await;
    let mut expected: Vec<usize> = (0..MANY as usize).filter(|at| reference.fits(*at, &query, &stranger())).collect();
    expected.sort_by_key(|at| std::cmp::Reverse((Reference::downloads(*at), *at)));
    assert_eq!(keys, expected.iter().map(|at| key(*at as u64).as_str().to_owned()).collect::<Vec<_>>());
    let task = Choice { by: ChoiceBy::Task, values: vec![TASKS[0].into()] };
    let filtered = SearchQuery { choices: vec![task], ..query.clone() };
    let some = run(&db, &filtered, &stranger(), &Bounds::default(), 5, None).await;
    for (hits, query) in [(&hits, &query), (&some, &filtered)] {
        let mut licenses: BTreeMap<&str, u64> = BTreeMap::new();
        for at in (0..MANY as usize).filter(|at| reference.fits(*at, query, &stranger())) {
            *licenses.entry(reference.all[at].facts.license.as_str()).or_default() += 1;
        }
        let facet = hits.facets.iter().find(|facet| facet.name == "license").unwrap();
        let told: BTreeMap<&str, u64> = facet.values.iter().map(|(value, count)| (value.as_str(), *count)).collect();
        assert_eq!(told, licenses);
        assert!(told.len() <= LICENSES.len());
    }
    let member = Visibility::Public { and_namespaces: vec!["ns0".into()] };
    let own = run(&db, &SearchQuery::default(), &member, &Bounds::default(), 5, None).await;
    let authors = &own.facets.iter().find(|facet| facet.name == "author").unwrap().values;
    let of_mine = (0..MANY as usize).filter(|at| reference.all[*at].repo.id.namespace().as_str() == "ns0").count() as u64;
    assert!(authors.contains(&("ns0".to_owned(), of_mine)), "{authors:?}");
}

#[tokio::test]
async fn a_search_costs_no_more_in_a_larger_catalog() {
    let dir = tempfile::tempdir().unwrap();
    let (small, large) = (filled(&dir, 300).await, filled(&dir, 3_000).await);
    let bounds = Bounds { candidates: 50, walked: 100, probed: 50, counted: 40, examined: 50, looked_up: 200, ranked: 100, merged: 100 };
    let of = |by: ChoiceBy, value: &str| Choice { by, values: vec![value.into()] };
    let models = SearchQuery { kind: Some(RepoKind::Model), ..SearchQuery::default() };
    let mut questions = vec![
        SearchQuery::default(),
        models.clone(),
        SearchQuery { here: true, plain: true, sort: Sort::Newest, ..models.clone() },
        SearchQuery { choices: vec![of(ChoiceBy::Task, TASKS[0])], ..models.clone() },
        SearchQuery { choices: vec![of(ChoiceBy::Task, TASKS[0]), of(ChoiceBy::License, LICENSES[1])], ..models.clone() },
        SearchQuery { choices: vec![of(ChoiceBy::SourceDataset, "set0"), of(ChoiceBy::Tag, "tag0")], ..models.clone() },
        SearchQuery { choices: vec![of(ChoiceBy::SourceDataset, "set9")], ..models.clone() },
        SearchQuery { labels: vec![Label::Word("tag0".into()), Label::Word("tag1".into())], here: true, plain: true, ..models.clone() },
        SearchQuery { max_parameters: Some(10), sort: Sort::Size, ..models.clone() },
        SearchQuery { measure: "f1".into(), ..models.clone() },
        SearchQuery { text: "word0".into(), ..models.clone() },
        SearchQuery { text: "w".into(), ..models.clone() },
        SearchQuery { text: "resnet word0 word1".into(), ..models.clone() },
        SearchQuery { text: "a b c d e f g h i j k l m n o".into(), ..SearchQuery::default() },
    ];
    questions.extend([Sort::Created, Sort::Top1, Sort::Name].map(|sort| SearchQuery { sort, ..models.clone() }));
    for query in questions {
        let mut steps = Vec::new();
        for db in [&small, &large] {
            run(db, &query, &stranger(), &bounds, 10, None).await;
            let before = db.steps();
            run(db, &query, &stranger(), &bounds, 10, None).await;
            steps.push(db.steps() - before);
        }
        println!("{steps:?} {query:?}");
        // Ten times as many repos; facets may have some more values, and a sample may hold some more.
        assert!(steps[1] < 2 * steps[0] + 8_000, "{steps:?}: {query:?}");
        assert!(steps[1] < 60_000, "{steps:?}: {query:?}");
    }
}

#[tokio::test]
async fn what_is_derived_follows_every_change_and_can_be_made_again() {
    const MANY: u64 = 200;
    let dir = tempfile::tempdir().unwrap();
    let db = filled(&dir, MANY).await;
    let tables = ["terms", "listing", "listing_terms", "repo_measures", "vocabulary"];
    // Without numbers, which are given in the order things come.
    let texts = [
        "select kind, facet, value, public, public_here, private, private_here, public_bytes from terms order by kind, facet, value",
        "select repo, kind, private, here, folded, name, parameters, top1, downloads, newest, born, size, bytes, license_word, source_word from listing order by repo",
        "select l.repo, t.facet, t.value from listing_terms p join listing l on l.id = p.listing join terms t on t.id = p.term order by 1, 2, 3",
        "select m.name, l.repo, m.value, m.private from repo_measures m join listing l on l.id = m.listing order by 1, 2",
        "select word, repos, public from vocabulary order by word",
    ];
    let dump = async || {
        db.read(move |tx| texts.iter().map(|sql| Ok(format!("{:?}", tx.all(sql, &[])?))).collect::<Result<Vec<_>, Error>>()).await.unwrap()
    };
    db.write(move |tx| {
        for at in 0..MANY {
            let Drawn { repo, .. } = drawn(at, MANY);
            match at % 10 {
                1 => repos::bury(tx, &repo.key, Timestamp::from_unix_ms(5))?,
                2 => {
                    let changed = hub::domain::repo::Repo { private: !repo.private, ..repo };
                    repos::update(tx, &changed)?;
                    let head = hub::catalog::versions::find_head(tx, &changed.key)?;
                    hub::catalog::facts::set_head(tx, &changed, head.as_ref())?;
                }
                3 => listing::refresh(tx, &repo.key)?,
                _ => {}
            }
        }
        Ok::<_, Error>(())
    })
    .await
    .unwrap();
    while db.write(|tx| hub::catalog::sources::tell_pending(tx).and_then(|()| hub::catalog::sources::is_pending(tx))).await.unwrap() {}
    let before = dump().await;
    db.write(rebuild::begin_again).await.unwrap();
    while db.write(rebuild::some).await.unwrap() > 0 {}
    for ((before, after), table) in before.iter().zip(dump().await).zip(tables) {
        assert_eq!(*before, after, "{table}");
    }
}

#[tokio::test]
async fn fine_tunes_are_found_under_what_their_bases_were_trained_on() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("hub.db")).await.unwrap();
    let make = |at: u64, name: &str, private: bool, source: &str, base: &str| {
        let mut one = drawn(at, 10);
        one.repo.id = hub::domain::name::RepoId::parse(name).unwrap();
        one.repo.kind = RepoKind::Model;
        one.repo.private = private;
        one.facts.source_datasets = if source.is_empty() { vec![] } else { vec![source.into()] };
        one.bases = if base.is_empty() { vec![] } else { vec![(base.into(), None)] };
        one
    };
    // The last of a chain first: a base may come later.
    let chain = [
        make(0, "ada/third", false, "acme/cats", "ada/second"),
        make(1, "ada/second", false, "acme/dogs", "library/first"),
        make(2, "library/first", false, "imagenet-1k", "ada/third"),
        make(3, "ada/hidden", true, "acme/secrets", "library/first"),
        make(4, "bob/of-hidden", false, "", "ada/hidden"),
        make(5, "ada/mine", true, "", "ada/hidden"),
    ];
    let keys: Vec<_> = chain.iter().map(|one| one.repo.key.clone()).collect();
    db.write(move |tx| chain.iter().try_for_each(|one| put(tx, one, 1))).await.unwrap();
    let found = async |name: &str| {
        let query = SearchQuery { source_dataset: name.into(), sort: Sort::Name, ..SearchQuery::default() };
        run(&db, &query, &Visibility::Everything, &Bounds::default(), 50, None).await.page.items
    };
    let named = |at: &[usize]| at.iter().map(|at| keys[*at].clone()).collect::<Vec<_>>();
    assert_eq!(found("imagenet-1k").await, named(&[3, 5, 1, 0, 2]), "ada/hidden, ada/mine, ada/second, ada/third, library/first");
    assert_eq!(found("acme/secrets").await, named(&[3, 5]), "a private base hands on to no public model");
    db.write({
        let key = keys[1].clone();
        move |tx| repos::bury(tx, &key, Timestamp::from_unix_ms(9))
    })
    .await
    .unwrap();
    assert_eq!(found("acme/dogs").await, named(&[]));
    assert_eq!(found("imagenet-1k").await, named(&[3, 5, 2]), "the chain is cut");
}

#[tokio::test]
async fn what_is_typed_is_completed_and_corrected() {
    let dir = tempfile::tempdir().unwrap();
    let db = filled(&dir, 120).await;
    let suggested =
        async |text: &'static str, visible: Visibility| db.read(move |tx| suggest::suggest(tx, text, &visible, 8)).await.unwrap();
    let of = |suggested: &[hub::domain::search::Suggestion], of: &str| suggested.iter().any(|one| one.of == of);
    assert!(of(&suggested("resn", stranger()).await, "name"));
    assert!(of(&suggested("image-cl", stranger()).await, "task"));
    assert!(of(&suggested("set", stranger()).await, "source_dataset"));
    assert!(of(&suggested("ns0/", stranger()).await, "name"));
    assert!(suggested("zzzz", stranger()).await.is_empty() && suggested(" ", stranger()).await.is_empty());
    let hidden: HashSet<String> =
        (0..120).map(|at| drawn(at, 120).repo).filter(|repo| repo.private).map(|repo| repo.id.to_string()).collect();
    for text in ["r", "b", "v", "m", "d", "e", "ns"] {
        assert!(suggested(text, stranger()).await.iter().all(|one| !hidden.contains(&one.value)), "{text}");
    }
    let meant = async |text: &str, visible: &Visibility| {
        let query = SearchQuery { text: text.into(), ..SearchQuery::default() };
        run(&db, &query, visible, &Bounds::default(), 5, None).await.did_you_mean
    };
    assert_eq!(meant("rsenet", &stranger()).await.as_deref(), Some("resnet"));
    assert_eq!(meant("mobilnet", &stranger()).await.as_deref(), Some("mobilenet"));
    assert_eq!(meant("qqqqqqq", &stranger()).await, None);
    assert_eq!(meant("resnet", &stranger()).await, None);
}
