//! What people and programs ask of a large catalog: addresses that differ from request to request.

use hub::catalog::repos;
use hub::db::{Error, Result, Tx};
use hub::domain::name::{RepoId, RepoKind};
use hub::domain::repo::Repo;

use super::scale_kit::{Draw, Drawn, TASKS, drawn, key, put};

pub struct Asked {
    pub name: &'static str,
    /// For people: it has a weight and a time of its own to keep.
    pub is_page: bool,
    pub path: fn(&mut Draw, u64) -> String,
}

const fn page(name: &'static str, path: fn(&mut Draw, u64) -> String) -> Asked {
    Asked { name, is_page: true, path }
}

const fn answer(name: &'static str, path: fn(&mut Draw, u64) -> String) -> Asked {
    Asked { name, is_page: false, path }
}

/// Data sets that more models name than any other, which the drawn catalog has no repos for.
const SOURCES: u64 = 3;

pub const ASKED: &[Asked] = &[
    page("home", |_, _| "/".into()),
    page("models", |draw, _| format!("/models?sort={}", ["downloads", "newest", "size", "top1", "name"][draw.below(5) as usize])),
    page("datasets", |draw, _| format!("/datasets?sort={}", ["downloads", "newest", "name"][draw.below(3) as usize])),
    page("facet", |draw, _| format!("/models?task={}", TASKS[draw.skewed(5) as usize])),
    page("facets", |draw, many| {
        let like = drawn(draw.below(many), many).facts;
        format!("/models?task={}&license={}&tag={}", like.task, like.license, like.tags[0])
    }),
    page("source-dataset", |draw, many| format!("/models?source_dataset=set{}", draw.skewed(many / 20 + 3))),
    page("search-one-word", |draw, _| format!("/search?q=word{}", draw.skewed(3_000))),
    page("search-words", |draw, _| format!("/search?q=resnet+word{}+word{}", draw.skewed(300), draw.skewed(300))),
    page("model", |draw, many| format!("/{}", public(draw, many, RepoKind::Model))),
    page("dataset", |draw, many| format!("/datasets/{}", public(draw, many, RepoKind::Dataset))),
    page("dataset-of-many", |draw, _| format!("/datasets/library/set{}", draw.below(SOURCES))),
    page("compare", |draw, many| {
        let models: Vec<String> = (0..6).map(|_| format!("m={}", public(draw, many, RepoKind::Model))).collect();
        format!("/compare?{}", models.join("&"))
    }),
    answer("suggest", |draw, _| {
        format!("/api/v1/suggest?q={}", ["r", "re", "resn", "mob", "image-", "set", "ns1"][draw.below(7) as usize])
    }),
    answer("hf-list", |draw, many| {
        let like = drawn(draw.below(many), many).facts;
        let tag = &like.tags[0];
        format!("/api/models?filter={tag}&pipeline_tag={}&sort=downloads&num_parameters=max:150M&limit=20", like.task)
    }),
    answer("far-page", |draw, _| format!("/api/v1/models?sort=name&reversed={}&limit=100", draw.below(2) == 0)),
];

/// The name of a public repo.
fn public(draw: &mut Draw, many: u64, kind: RepoKind) -> RepoId {
    loop {
        let one = drawn(draw.below(many), many).repo;
        if one.kind == kind && !one.private {
            return one.id;
        }
    }
}

/// Puts the data sets there that most models were trained on, unless they are.
pub fn put_sources(tx: &mut Tx<'_>, many: u64) -> Result<()> {
    for at in 0..SOURCES {
        let id = RepoId::parse(&format!("library/set{at}")).map_err(|e| Error::Engine(e.to_string()))?;
        if repos::find(tx, RepoKind::Dataset, &id)?.is_none() {
            // One like others, but for its name.
            let like = drawn(4, many);
            let repo = Repo { key: key(many + at), id, private: false, ..like.repo };
            put(tx, &Drawn { repo, ..like }, 1)?;
        }
    }
    Ok(())
}
