//! How to use a repo: a text for each tool that can, correct for this repo, its files and the revision that is looked at. A tool that could not is left
//! out: no classes are asked of a model without a head, and no timm of what timm does not know.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::card::title;
use crate::domain::modality::Modality;
use crate::domain::name::RepoKind;
use crate::domain::repo::{FileEntry, RepoSummary};

pub struct Use {
    pub label: &'static str,
    pub about: String,
    pub text: String,
}

/// What stands in an address as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A path as people read it in an address.
fn in_address(path: &str) -> String {
    utf8_percent_encode(path, PLAIN).to_string()
}

/// What texts are made of.
struct Subject<'a> {
    summary: &'a RepoSummary,
    address: &'a str,
    /// `@3` where an older version is looked at, else empty.
    at: String,
    /// The same as other tools say it: `3` or `main`.
    revision: String,
    files: &'a [FileEntry],
}

/// `rev`: what the address of the page says, if it does; `files`: the first of the version's.
pub fn uses(summary: &RepoSummary, address: &str, rev: Option<&str>, files: &[FileEntry]) -> Vec<Use> {
    let Some(head) = &summary.head else { return Vec::new() };
    let number = head.number.to_string();
    let subject = Subject {
        summary,
        address,
        at: rev.map(|_| format!("@{number}")).unwrap_or_default(),
        revision: rev.map_or_else(|| "main".to_owned(), |_| number),
        files,
    };
    let mut all = vec![subject.hub()];
    if summary.repo.kind == RepoKind::Model {
        all.extend(subject.timm());
        all.extend(subject.transformers());
    }
    all.push(subject.huggingface_hub());
    if summary.repo.kind == RepoKind::Model {
        all.extend(subject.tensorflow_hub());
        all.extend(subject.torch_hub());
    }
    all.extend(subject.curl());
    all.extend(subject.rust());
    all.extend(subject.dockerfile());
    all
}

impl Subject<'_> {
    fn id(&self) -> String {
        self.summary.repo.id.to_string()
    }

    fn is_private(&self) -> bool {
        self.summary.repo.private
    }

    /// What its items are called; empty where nobody says.
    fn items(&self) -> &'static str {
        Modality::parse(&self.summary.facts.modality).map_or("", Modality::items)
    }

    fn has(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }

    /// The weights, by the names that tools look for.
    fn weights(&self) -> Option<&FileEntry> {
        self.files
            .iter()
            .find(|file| file.path == "model.safetensors")
            .or_else(|| self.files.iter().find(|file| file.path.ends_with(".safetensors")))
    }

    /// Where the version's files are, for programs.
    fn files_address(&self) -> String {
        let number = self.summary.head.as_ref().map_or(1, |head| head.number);
        format!("{}/api/v1/{}s/{}/versions/{number}", self.address, self.summary.repo.kind, self.id())
    }

    fn endpoint(&self) -> String {
        let token = if self.is_private() { "\nexport HF_TOKEN=hub_...   # a token of yours" } else { "" };
        format!("export HF_ENDPOINT={}{token}", self.address)
    }

    fn hub(&self) -> Use {
        let (name, at) = (title(&self.summary.repo.id), &self.at);
        let facts = &self.summary.facts;
        let is_dataset = self.summary.repo.kind == RepoKind::Dataset;
        let mut text = match self.is_private() {
            true => format!("hub login --server {}\n", self.address),
            false => format!("export HUB_SERVER={}\n", self.address),
        };
        text += &format!("hub pull {name}{at}{}", if is_dataset { " --dataset" } else { "" });
        if !is_dataset && facts.can_be_run() {
            let item = Modality::parse(&facts.modality).unwrap_or_default().sample().0;
            text += &format!("\nhub embed {item} --model {name}{at}");
            if facts.num_classes > 0 {
                text += &format!("\nhub predict {item} --model {name}{at}");
            }
        }
        Use { label: "hub", about: "Every file is held against its sha256.".to_owned(), text }
    }

    fn timm(&self) -> Option<Use> {
        let facts = &self.summary.facts;
        let is_image = self.items() == "images";
        let known = is_image
            && facts.library != "transformers"
            && !facts.architecture.is_empty()
            && self.has("config.json")
            && self.weights().is_some();
        let classes = if facts.num_classes == 0 { ", num_classes=0" } else { "" };
        let name = match self.revision.as_str() {
            "main" => self.id(),
            revision => format!("{}@{revision}", self.id()),
        };
        let text = format!(
            "{}\npython - <<'END'\nimport timm\nmodel = timm.create_model(\"hf-hub:{name}\", pretrained=True{classes})\nEND",
            self.endpoint()
        );
        known.then(|| Use { label: "timm", about: format!("It builds {} and loads these weights.", facts.architecture), text })
    }

    fn transformers(&self) -> Option<Use> {
        let facts = &self.summary.facts;
        let sentences = self.has("modules.json") || facts.library == "sentence-transformers";
        let revision = if self.revision == "main" { String::new() } else { format!(", revision=\"{}\"", self.revision) };
        let (label, code) = match () {
            () if sentences => (
                "sentence-transformers",
                format!("from sentence_transformers import SentenceTransformer\nmodel = SentenceTransformer(\"{}\"{revision})", self.id()),
            ),
            () if facts.library == "transformers" || (self.items() == "texts" && self.has("config.json")) => (
                "transformers",
                format!("from transformers import AutoModel\nmodel = AutoModel.from_pretrained(\"{}\"{revision})", self.id()),
            ),
            () => return None,
        };
        Some(Use { label, about: String::new(), text: format!("{}\npython - <<'END'\n{code}\nEND", self.endpoint()) })
    }

    fn huggingface_hub(&self) -> Use {
        let kind = if self.summary.repo.kind == RepoKind::Dataset { " --repo-type dataset" } else { "" };
        let revision = if self.revision == "main" { String::new() } else { format!(" --revision {}", self.revision) };
        let text = format!("{}\nhf download {}{kind}{revision}", self.endpoint(), self.id());
        Use { label: "huggingface_hub", about: "All files into the cache of Hugging Face's tools.".to_owned(), text }
    }

    fn tensorflow_hub(&self) -> Option<Use> {
        self.summary.facts.saved_model.as_ref()?;
        let number = self.summary.head.as_ref()?.number;
        let text = format!("import tensorflow_hub as hub\n\nmodel = hub.load(\"{}/{}/{number}\")", self.address, self.id());
        Some(Use { label: "tensorflow_hub", about: "The SavedModel, as an archive that it unpacks.".to_owned(), text })
    }

    /// It reads pickles alone, under a name that says their sha256.
    fn torch_hub(&self) -> Option<Use> {
        let file = self.files.iter().find(|file| [".pth", ".pt", ".bin"].iter().any(|end| file.path.ends_with(end)))?;
        let (stem, ending) = file.path.rsplit_once('.')?;
        let sha: String = file.digest.to_hex().chars().take(8).collect();
        let text = format!(
            "import torch\n\nweights = torch.hub.load_state_dict_from_url(\n    \"{}/files/{}/{stem}-{sha}.{ending}\", check_hash=True)",
            self.address,
            self.id()
        );
        (!self.is_private()).then(|| Use { label: "torch.hub", about: "The name says what it must hash to.".to_owned(), text })
    }

    fn curl(&self) -> Option<Use> {
        let base = self.files_address();
        let token = if self.is_private() { " -H \"Authorization: Bearer $HUB_TOKEN\"" } else { "" };
        let text = match (self.summary.repo.kind, self.weights().or(self.files.first())) {
            (RepoKind::Model, Some(file)) if self.summary.facts.saved_model.is_none() => {
                let path = in_address(&file.path);
                format!("curl -O -C -{token} {base}/files/{path}\ncurl -s{token} {base}/SHA256SUMS | sha256sum -c --ignore-missing")
            }
            (RepoKind::Model, _) => format!(
                "curl -fo {}.tar.gz{token} '{}/{}/{}?tf-hub-format=compressed'",
                self.summary.repo.id.name(),
                self.address,
                self.id(),
                self.summary.head.as_ref()?.number
            ),
            (RepoKind::Dataset, _) => format!("curl -s{token} {base}/SHA256SUMS"),
        };
        Some(Use { label: "curl", about: "Of the version shown here, also when a newer one comes.".to_owned(), text })
    }

    fn rust(&self) -> Option<Use> {
        let file = self.weights().or(self.files.first()).filter(|_| !self.is_private())?;
        let kind = if self.summary.repo.kind == RepoKind::Dataset { "Dataset" } else { "Model" };
        let text = format!(
            "// hf-hub = \"0.5\"\nuse hf_hub::{{Repo, RepoType, api::sync::ApiBuilder}};\n\nlet api = ApiBuilder::new().with_endpoint(\"{}\".into()).build()?;\n\
             let repo = Repo::with_revision(\"{}\".into(), RepoType::{kind}, \"{}\".into());\nlet path = api.repo(repo).get(\"{}\")?;",
            self.address,
            self.id(),
            self.revision,
            file.path
        );
        Some(Use { label: "Rust", about: String::new(), text })
    }

    /// The digest is part of the line: what changed on the way does not build.
    fn dockerfile(&self) -> Option<Use> {
        const MOST: usize = 4;
        if self.is_private() || self.summary.repo.kind == RepoKind::Dataset {
            return None;
        }
        let base = self.files_address();
        let wanted = ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"];
        let named = self.files.iter().filter(|file| wanted.contains(&file.path.as_str())).take(MOST);
        let line = |file: &FileEntry| {
            format!("ADD --checksum=sha256:{} \\\n    {base}/files/{} /model/", file.digest.to_hex(), in_address(&file.path))
        };
        let lines: Vec<String> = named.map(line).collect();
        let about = "Whatever does not hash to this does not build.".to_owned();
        (!lines.is_empty()).then(|| Use { label: "Dockerfile", about, text: lines.join("\n") })
    }
}
