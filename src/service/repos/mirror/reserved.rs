//! Names that belong to the hub behind this one: whoever had such a namespace here would be taken for its owner there,
//! and nothing could be mirrored into it any more.

use super::Mirroring;
use crate::catalog::users;
use crate::db::Tx;
use crate::domain::name::{LIBRARY, Name};
use crate::domain::page::PageRequest;
use crate::domain::user::{Account, AccountKind, Actor};
use crate::service::people::accounts::FIRST_ADMIN;
use crate::service::{Error, Result, Service};

/// Accounts here whose names mean somebody else there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clashes {
    /// Every namespace of the other hub is mirrored.
    pub all: bool,
    pub accounts: Vec<Name>,
}

impl Mirroring {
    fn reserves(&self, account: &Account) -> bool {
        let ours = [FIRST_ADMIN, LIBRARY].contains(&account.name.as_str());
        !ours && self.allows(&account.name)
    }
}

impl Service {
    /// May this account be made? Administrators may always: they know whom they give the name to.
    pub(in crate::service) fn check_reserved(&self, actor: &Actor, account: &Account) -> Result<()> {
        let Some(mirroring) = self.mirroring.as_ref().filter(|mirroring| mirroring.reserves(account)) else { return Ok(()) };
        if matches!(actor, Actor::System | Actor::User { is_admin: true, .. }) {
            return Ok(());
        }
        if mirroring.namespaces.is_some() {
            let message = format!("'{}' is a namespace of the hub behind this one", account.name);
            return Err(Error::conflict("name_reserved", message, "choose another name; a site administrator can give you this one"));
        }
        let hint = "ask a site administrator: every name here may be somebody's of the hub behind this one";
        Err(match account.kind {
            AccountKind::User => Error::forbidden("signup_closed", "this server does not let people sign up by themselves", hint),
            AccountKind::Organisation => Error::forbidden("site_admin_only", "only site administrators make organisations here", hint),
        })
    }

    /// The accounts that stand where the hub behind this one has a namespace that is to be mirrored.
    pub async fn list_clashes(&self) -> Result<Clashes> {
        let Some(mirroring) = self.mirroring.clone() else { return Ok(Clashes::default()) };
        let all = mirroring.namespaces.is_none();
        let accounts = self.db.read(move |tx| clashing(tx, &mirroring)).await?;
        Ok(Clashes { all, accounts })
    }
}

fn clashing(tx: &mut Tx<'_>, mirroring: &Mirroring) -> Result<Vec<Name>> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = users::list(tx, &PageRequest::new(Some(100), cursor))?;
        found.extend(page.items.into_iter().filter(|account| mirroring.reserves(account)).map(|account| account.name));
        cursor = page.next;
        if cursor.is_none() {
            return Ok(found);
        }
    }
}
