//! Acts of administration on a data directory itself, for whoever may read and write it: also while a server
//! runs on it, since both go through the same database.

use std::path::PathBuf;

use super::{Error, Result, database, modes, names, open_service};
use crate::config::Config;
use crate::domain::audit::{AuditEntry, AuditFilter};
use crate::domain::id::TokenId;
use crate::domain::name::Name;
use crate::domain::page::{Page, PageRequest};
use crate::domain::quotas::Usage;
use crate::domain::time::Timestamp;
use crate::domain::user::{Account, AccountKind, Actor, Role, Scope, Token, WorkerToken};
use crate::domain::worker::Worker;
use crate::service::Service;
use crate::service::people::accounts::AccountChange;
use crate::service::repos::results::Imported;

/// Something in the set-up that needs a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ailment {
    pub code: &'static str,
    pub what: String,
    pub advice: String,
}

/// The house, opened for its administrator.
pub struct Administration {
    pub(super) service: Service,
    pub(super) data: PathBuf,
}

impl Administration {
    /// The directory must hold a hub already: a mistyped one must not become a new, empty hub.
    pub async fn open(config: &Config) -> Result<Administration> {
        if !database::is_there(config) {
            let message = format!("there is no hub in {}", config.data.display());
            let hint = "name its directory with --data DIR or HUB_DATA; 'hub serve' makes a new one".into();
            return Err(Error::NotFound { message, hint });
        }
        Ok(Administration { service: open_service(config).await?, data: config.data.clone() })
    }

    /// What in the set-up needs a person.
    pub async fn ailments(&self, config: &Config) -> Result<Vec<Ailment>> {
        let mut found = Vec::new();
        if let Err(refused) = names::check(config) {
            found.push(Ailment { code: "nameless", what: refused.to_string(), advice: refused.hint().to_owned() });
        }
        let clashes = self.service.list_clashes().await?;
        for name in clashes.accounts {
            let what = format!("the account '{name}' stands where the hub behind this one has, or may have, a namespace of that name");
            let advice = "nothing is mirrored there; if it is not theirs, disable it and tell people which name to use instead".to_owned();
            found.push(Ailment { code: "name_clash", what, advice });
        }
        for path in modes::list_open(&self.data).map_err(|e| Error::data(&self.data, &e))? {
            let what = format!("other users of this machine may look into {}", path.display());
            let advice = "'hub serve' closes it when it starts, if it belongs to the user it runs as; else chown it".to_owned();
            found.push(Ailment { code: "open_to_others", what, advice });
        }
        Ok(found)
    }

    /// Lines of the audit log, newest first; `since_ms`: from so long ago on.
    pub async fn audit(&self, filter: AuditFilter, since_ms: Option<i64>, cursor: Option<String>) -> Result<Page<AuditEntry>> {
        let since = since_ms.map(|ms| self.service.now().plus_ms(ms.saturating_neg()));
        let page = PageRequest::new(Some(100), cursor);
        Ok(self.service.list_audit(&Actor::System, AuditFilter { since, ..filter }, page).await?)
    }

    /// A new user and their first token.
    pub async fn add_user(&self, name: &str, full_name: &str, is_admin: bool) -> Result<(Account, String)> {
        let (account, secret) = self.service.create_account(&Actor::System, name, AccountKind::User, full_name).await?;
        let change = AccountChange { is_admin: is_admin.then_some(true), ..AccountChange::default() };
        let account = if is_admin { self.service.patch_account(&Actor::System, &account.name, change).await? } else { account };
        Ok((account, secret.unwrap_or_default()))
    }

    pub async fn add_organisation(&self, name: &str, full_name: &str) -> Result<Account> {
        Ok(self.service.create_account(&Actor::System, name, AccountKind::Organisation, full_name).await?.0)
    }

    pub async fn set_member(&self, organisation: &Name, user: &Name, role: Role) -> Result<()> {
        Ok(self.service.set_member(&Actor::System, organisation, user, role).await?)
    }

    /// Every account, by name.
    pub async fn list_accounts(&self) -> Result<Vec<Account>> {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.service.list_accounts(&Actor::System, PageRequest::new(Some(100), cursor)).await?;
            all.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return Ok(all);
            }
        }
    }

    pub async fn set_disabled(&self, name: &Name, disabled: bool) -> Result<Account> {
        let change = AccountChange { disabled: Some(disabled), ..AccountChange::default() };
        Ok(self.service.patch_account(&Actor::System, name, change).await?)
    }

    /// What an account holds and may hold.
    pub async fn usage(&self, name: &Name) -> Result<Usage> {
        Ok(self.service.usage(&Actor::System, name).await?)
    }

    /// None: as the settings say.
    pub async fn set_quota(&self, name: &Name, quota_bytes: Option<u64>) -> Result<Usage> {
        self.service.set_quota(&Actor::System, name, quota_bytes).await?;
        self.usage(name).await
    }

    /// Takes a table of results over.
    pub async fn import_results(&self, name: &str, on: Option<&str>, text: &str) -> Result<Imported> {
        Ok(self.service.import_results(&Actor::System, name, on, text).await?)
    }

    /// A token for a user, and its secret.
    pub async fn create_token(&self, user: &Name, name: &str, scope: Scope, days: Option<u32>) -> Result<(Token, String)> {
        Ok(self.service.create_token(&Actor::System, name, scope, days, Some(user)).await?)
    }

    pub async fn list_tokens(&self, user: &Name) -> Result<Vec<Token>> {
        Ok(self.service.list_tokens(&Actor::System, Some(user)).await?)
    }

    /// A token for workers elsewhere, and its secret.
    pub async fn create_worker_token(&self, name: &str, days: Option<u32>) -> Result<(WorkerToken, String)> {
        Ok(self.service.create_worker_token(&Actor::System, name, days).await?)
    }

    pub async fn list_worker_tokens(&self) -> Result<Vec<WorkerToken>> {
        Ok(self.service.list_worker_tokens(&Actor::System).await?)
    }

    /// Workers that were heard of within the hour, and what time it is there.
    pub async fn list_workers(&self) -> Result<Vec<(Worker, Timestamp)>> {
        let (found, now) = (self.service.list_workers(&Actor::System).await?, self.service.now());
        Ok(found.into_iter().map(|worker| (worker, now)).collect())
    }

    /// By its name or its id.
    pub async fn revoke_worker_token(&self, named: &str) -> Result<()> {
        Ok(self.service.revoke_worker_token(&Actor::System, named).await?)
    }

    pub async fn revoke_token(&self, id: &TokenId) -> Result<()> {
        Ok(self.service.revoke_token(&Actor::System, id).await?)
    }
}
