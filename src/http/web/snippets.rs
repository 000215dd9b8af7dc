//! How to use a repo, with this server's address filled in.

use crate::domain::name::RepoKind;
use crate::domain::repo::RepoSummary;

pub struct Snippet {
    pub label: &'static str,
    pub text: String,
}

pub fn snippets(summary: &RepoSummary, address: &str) -> Vec<Snippet> {
    let repo = &summary.repo;
    let (short, id) = (super::card::title(&repo.id), repo.id.to_string());
    let kind = match repo.kind {
        RepoKind::Model => "models",
        RepoKind::Dataset => "datasets",
    };
    let flag = if repo.kind == RepoKind::Dataset { " --dataset" } else { "" };
    let base = format!("{address}/api/v1/{kind}/{id}/versions/main");
    let mut all = vec![Snippet { label: "Command line", text: format!("export HUB_SERVER={address}\nhub pull {short}{flag}") }];
    // Its files mean nothing one by one.
    if summary.facts.saved_model.is_none() {
        all.push(Snippet { label: "curl, verified", text: curl(repo.kind, &base) });
    }
    if repo.kind == RepoKind::Model && !summary.facts.architecture.is_empty() {
        let architecture = &summary.facts.architecture;
        let classes = summary.facts.num_classes;
        let text = format!(
            "import timm\nfrom safetensors.torch import load_file\n\nmodel = timm.create_model(\"{architecture}\", num_classes={classes})\n\
             model.load_state_dict(load_file(\"model.safetensors\"))"
        );
        all.push(Snippet { label: "timm, from a pulled folder", text });
        let text = format!("export HF_ENDPOINT={address}\npython -c 'import timm; timm.create_model(\"hf-hub:{id}\", pretrained=True)'");
        all.push(Snippet { label: "timm, from here", text });
        let text = format!("hub embed photo.jpg --model {short}\nhub predict photo.jpg --model {short}");
        all.push(Snippet { label: "Features and classes of an image", text });
    }
    if let (Some(_), Some(head)) = (&summary.facts.saved_model, &summary.head) {
        let text = format!("import tensorflow_hub as hub\n\nmodel = hub.load(\"{address}/{id}/{}\")", head.number);
        all.push(Snippet { label: "tensorflow_hub", text });
        let text = format!("curl -fo {}.tar.gz '{address}/{id}/{}?tf-hub-format=compressed'", repo.id.name(), head.number);
        all.push(Snippet { label: "curl, the SavedModel as an archive", text });
    }
    all
}

fn curl(kind: RepoKind, base: &str) -> String {
    match kind {
        RepoKind::Model => {
            format!("curl -O -C - {base}/files/model.safetensors\ncurl -s {base}/SHA256SUMS | sha256sum -c --ignore-missing")
        }
        RepoKind::Dataset => format!("curl -s {base}/SHA256SUMS"),
    }
}
