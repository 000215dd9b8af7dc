//! The calls about repos: search, read, make, move refs.

use reqwest::{Method, Url};

use super::retry::Repeat;
use super::send::Call;
use super::{Client, Result};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::revision::{RefName, Revision};
use crate::wire::List;
use crate::wire::files::{Manifest, Tensor};
use crate::wire::repos::{
    CreateRepo, ModelsOfDataset, PatchRepo, PatchVersion, Ref, RepoDetail, SearchAnswer, SetRef, SourceDataset, Version,
};

impl Client {
    /// `query`: the parameters of `GET /api/v1/search` (q, kind, task, license, sort, limit, cursor ...).
    pub async fn search(&self, query: &[(&str, String)]) -> Result<SearchAnswer> {
        self.json(Call::get(self.address.api(&["search"])).query(query)).await
    }

    pub async fn repo(&self, kind: RepoKind, id: &RepoId) -> Result<RepoDetail> {
        self.json(Call::get(self.address.repo(kind, id, &[]))).await
    }

    pub async fn create_repo(&self, body: &CreateRepo) -> Result<RepoDetail> {
        self.json(Call::with(Method::POST, self.address.api(&["repos"]), Repeat::IfRefused, body)?).await
    }

    pub async fn patch_repo(&self, kind: RepoKind, id: &RepoId, body: &PatchRepo) -> Result<RepoDetail> {
        self.json(Call::with(Method::PATCH, self.address.repo(kind, id, &[]), Repeat::Always, body)?).await
    }

    pub async fn delete_repo(&self, kind: RepoKind, id: &RepoId) -> Result<()> {
        self.done(Call::delete(self.address.repo(kind, id, &[]))).await
    }

    /// Newest first.
    pub async fn versions(&self, kind: RepoKind, id: &RepoId, cursor: Option<&str>) -> Result<List<Version>> {
        let mut query = vec![("limit", "100".to_owned())];
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        self.json(Call::get(self.address.repo(kind, id, &["versions"])).query(&query)).await
    }

    pub async fn version(&self, kind: RepoKind, id: &RepoId, revision: &Revision) -> Result<RepoDetail> {
        self.json(Call::get(self.address.repo(kind, id, &["versions", &revision.to_string()]))).await
    }

    pub async fn patch_version(&self, kind: RepoKind, id: &RepoId, number: u32, body: &PatchVersion) -> Result<Version> {
        let url = self.address.repo(kind, id, &["versions", &number.to_string()]);
        self.json(Call::with(Method::PATCH, url, Repeat::Always, body)?).await
    }

    pub async fn delete_version(&self, kind: RepoKind, id: &RepoId, number: u32) -> Result<()> {
        self.done(Call::delete(self.address.repo(kind, id, &["versions", &number.to_string()]))).await
    }

    /// As the server says it; [`Client::pull`] proves it.
    pub async fn manifest(&self, kind: RepoKind, id: &RepoId, revision: &Revision) -> Result<Manifest> {
        self.json(Call::get(self.address.repo(kind, id, &["versions", &revision.to_string(), "manifest"]))).await
    }

    /// The same, and the name to expect in it: of a repo that was moved, the one its server led us to.
    pub(super) async fn manifest_and_name(&self, kind: RepoKind, id: &RepoId, revision: &Revision) -> Result<(Manifest, RepoId)> {
        let url = self.address.repo(kind, id, &["versions", &revision.to_string(), "manifest"]);
        let response = self.send(Call::get(url.clone())).await?;
        let name = led_to(&url, response.url()).unwrap_or_else(|| id.clone());
        Ok((self.read(response).await?, name))
    }

    pub async fn tensors(&self, kind: RepoKind, id: &RepoId, revision: &Revision) -> Result<List<Tensor>> {
        self.json(Call::get(self.address.repo(kind, id, &["versions", &revision.to_string(), "tensors"]))).await
    }

    pub async fn refs(&self, kind: RepoKind, id: &RepoId) -> Result<List<Ref>> {
        self.json(Call::get(self.address.repo(kind, id, &["refs"]))).await
    }

    pub async fn set_ref(&self, kind: RepoKind, id: &RepoId, name: &RefName, body: &SetRef) -> Result<Ref> {
        let url = self.address.repo(kind, id, &["refs", name.as_str()]);
        self.json(Call::with(Method::PUT, url, Repeat::IfRefused, body)?).await
    }

    pub async fn delete_ref(&self, kind: RepoKind, id: &RepoId, name: &RefName) -> Result<()> {
        self.done(Call::delete(self.address.repo(kind, id, &["refs", name.as_str()]))).await
    }

    /// What a model was trained on.
    pub async fn datasets_of(&self, id: &RepoId) -> Result<List<SourceDataset>> {
        self.json(Call::get(self.address.repo(RepoKind::Model, id, &["datasets"]))).await
    }

    /// Which models were trained on a data set.
    pub async fn models_of(&self, id: &RepoId) -> Result<ModelsOfDataset> {
        self.json(Call::get(self.address.repo(RepoKind::Dataset, id, &["models"]))).await
    }
}

/// The repo whose manifest was answered, where that is the one of `asked` but for the repo's name: `.../{ns}/{name}/versions/
/// {rev}/manifest` of the same server.
fn led_to(asked: &Url, answered: &Url) -> Option<RepoId> {
    let parts = |url: &Url| url.path_segments().map(|parts| parts.map(str::to_owned).collect::<Vec<_>>());
    let (asked_parts, parts) = (parts(asked)?, parts(answered)?);
    let at = asked_parts.len().checked_sub(5)?;
    let rest = |parts: &[String]| [&parts[..at], &parts[at + 2..]].concat();
    if asked.origin() != answered.origin() || parts.len() != asked_parts.len() || rest(&parts) != rest(&asked_parts) {
        return None;
    }
    RepoId::from_parts(&parts[at], &parts[at + 1]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_may_differ() {
        let led = |asked: &str, answered: &str| {
            let url = |path: &str| Url::parse(path).unwrap();
            led_to(&url(asked), &url(answered)).map(|id| id.to_string())
        };
        let asked = "http://h:1/hub/api/v1/models/ada/net/versions/v1/manifest";
        assert_eq!(led(asked, asked).as_deref(), Some("ada/net"));
        assert_eq!(led(asked, &asked.replace("ada/net", "acme/web")).as_deref(), Some("acme/web"));
        for other in [
            asked.replace("h:1", "evil:1"),
            asked.replace("v1/manifest", "v2/manifest"),
            asked.replace("models", "datasets"),
            asked.replace("ada/net", "ada/x/net"),
            asked.replace("ada/net", "ada/%2e%2e%2f"),
            "http://h:1/".into(),
        ] {
            assert_eq!(led(asked, &other), None, "{other}");
        }
    }
}
