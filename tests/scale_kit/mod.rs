//! Catalogs of any size, written by the catalog's own functions: what repo a number stands for follows from the number alone, with a few
//! values that many have and many that few have.

// The bench and the test each use what they need of this.
#![allow(dead_code)]

use hub::catalog::{facts, lineage, refs, repos, versions};
use hub::db::{Error, Result, Tx};
use hub::domain::digest::Digest;
use hub::domain::id::RepoKey;
use hub::domain::manifest::{Manifest, ManifestEntry};
use hub::domain::name::{RepoId, RepoKind};
use hub::domain::path::RepoPath;
use hub::domain::repo::{Facts, Metric, Repo, TrainedAs, Version, VersionState};
use hub::domain::revision::{Line, RefName};
use hub::domain::time::Timestamp;

pub const TASKS: [&str; 5] = ["image-classification", "image-feature-extraction", "text-classification", "sentence-similarity", "other"];
pub const LICENSES: [&str; 4] = ["apache-2.0", "mit", "cc-by-4.0", "other"];
const FAMILIES: [&str; 6] = ["resnet", "mobilenet", "bert", "vit", "efficientnet", "distil"];

/// Numbers that look drawn, from one number (splitmix64).
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Draw {
        Draw(seed)
    }

    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, count: u64) -> u64 {
        self.any() % count
    }

    /// Small numbers often, large ones seldom.
    pub fn skewed(&mut self, count: u64) -> u64 {
        let share = (self.any() >> 11) as f64 / (1u64 << 53) as f64;
        ((count as f64).powf(share) as u64).saturating_sub(1).min(count - 1)
    }
}

pub fn key(at: u64) -> RepoKey {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&at.to_be_bytes());
    RepoKey::new(Timestamp::from_unix_ms(1_700_000_000_000), random)
}

/// What a number stands for, among so many.
pub struct Drawn {
    pub repo: Repo,
    pub facts: Facts,
    pub card: String,
    pub bases: Vec<(String, Option<u32>)>,
}

fn name_of(at: u64, many: u64) -> String {
    let mut draw = Draw::new(at ^ 0x5eed);
    format!("ns{}/{}-{at}", draw.skewed(many / 10 + 2), FAMILIES[draw.below(6) as usize])
}

pub fn drawn(at: u64, many: u64) -> Drawn {
    let mut draw = Draw::new(at.wrapping_mul(7_919) ^ 0xca7a_1095);
    let kind = if at % 5 == 4 { RepoKind::Dataset } else { RepoKind::Model };
    let id = RepoId::parse(&name_of(at, many)).unwrap();
    let ms = |ms: u64| Timestamp::from_unix_ms(1_700_000_000_000 + ms as i64);
    let repo = Repo {
        key: key(at),
        kind,
        id,
        private: draw.below(9) == 0,
        summary: format!("number {}", draw.below(1_000)),
        downloads: 0,
        created: ms(at * 1_000),
        updated: ms(at * 1_000 + draw.below(1_000_000)),
    };
    let metric = |name: &str, value: f64| Metric { dataset: "imagenet-1k".into(), name: name.into(), value };
    let top1 = draw.below(1_000) as f64 / 1_000.0;
    let facts = Facts {
        license: LICENSES[draw.skewed(4) as usize].into(),
        tags: (0..3).map(|_| format!("tag{}", draw.skewed(80))).collect(),
        task: TASKS[draw.skewed(5) as usize].into(),
        modality: if draw.below(3) == 0 { "text" } else { "image" }.into(),
        library: if draw.below(2) == 0 { "timm" } else { "" }.into(),
        source_datasets: if kind == RepoKind::Model { vec![format!("set{}", draw.skewed(many / 20 + 3))] } else { vec![] },
        metrics: if draw.below(2) == 0 { vec![metric("top1", top1), metric("f1", top1 / 2.0)] } else { vec![] },
        architecture: format!("{}{}", FAMILIES[draw.below(6) as usize], draw.skewed(40)),
        parameters: draw.below(200_000_000),
        ..Facts::default()
    };
    let bases = match kind {
        RepoKind::Model if at > 10 && draw.below(3) == 0 => vec![(name_of(draw.skewed(at), many), None)],
        _ => vec![],
    };
    let words = (0..12).map(|_| format!("word{}", draw.skewed(3_000))).collect::<Vec<_>>();
    Drawn { repo, facts, card: words.join(" "), bases }
}

/// Writes a repo with so many versions of three files each.
pub fn put(tx: &mut Tx<'_>, drawn: &Drawn, count: u32) -> Result<()> {
    let wrong = |e: &dyn std::fmt::Display| Error::Engine(e.to_string());
    let repo = &drawn.repo;
    repos::insert(tx, repo)?;
    let mut head = None;
    for number in 1..=count {
        let entry = |path: &str, size_bytes: u64| {
            let digest = Digest::of(format!("{} {number} {path}", repo.key).as_bytes());
            Ok::<_, Error>(ManifestEntry { path: RepoPath::parse(path).map_err(|e| wrong(&e))?, size_bytes, digest })
        };
        let files = vec![entry("README.md", 900)?, entry("config.json", 400)?, entry("model.safetensors", drawn.facts.parameters * 4)?];
        let manifest = Manifest::new(files).map_err(|e| wrong(&e))?;
        let version = Version {
            number,
            commit: manifest.commit_id(),
            manifest: manifest.digest(),
            parent: (number > 1).then(|| number - 1),
            line: Line::main(),
            author: repo.id.namespace().to_string(),
            message: String::new(),
            created: repo.updated,
            state: VersionState::Live,
            files: 3,
            total_bytes: manifest.total_bytes(),
        };
        versions::insert(tx, &repo.key, &version, &manifest, &facts::encode(&drawn.facts))?;
        facts::insert_details(tx, &repo.key, number, &drawn.facts, &drawn.card, "")?;
        let trained_as = if drawn.bases.is_empty() { TrainedAs::Pretrained } else { TrainedAs::FineTuned };
        lineage::insert_sources(tx, &repo.key, number, &drawn.facts.source_datasets, trained_as)?;
        lineage::insert_bases(tx, &repo.key, number, &drawn.bases)?;
        refs::set(tx, &repo.key, &RefName::main(), number, repo.updated)?;
        head = Some(version);
    }
    facts::set_head(tx, repo, head.as_ref())
}
