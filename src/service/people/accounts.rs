//! People and organisations: making them, changing them, and who is a member of which.

use super::super::access;
use super::super::{Error, Result, Service};
use super::journal::note_act;
use super::quotas::one_more;
use crate::catalog::{repos, usage, users};
use crate::db::Tx;
use crate::domain::id::{AccountId, TokenId};
use crate::domain::name::{LIBRARY, Name};
use crate::domain::page::{Page, PageRequest};
use crate::domain::user::{Account, AccountKind, Actor, Member, Role, Scope};

/// The account made at the first start.
pub const FIRST_ADMIN: &str = "admin";
const MAX_FULL_NAME: usize = 200;

/// What the first start made: the administrator, and their token, which is in no other answer.
#[derive(Debug)]
pub struct FirstStart {
    pub admin: Name,
    pub token: String,
}

/// What may change about an account; `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct AccountChange {
    pub full_name: Option<String>,
    pub disabled: Option<bool>,
    pub is_admin: Option<bool>,
}

/// A caller as they see themselves.
#[derive(Debug, Clone)]
pub struct Whoami {
    pub name: Name,
    pub is_admin: bool,
    pub scope: Scope,
    /// Their own first.
    pub namespaces: Vec<(Name, Role)>,
}

impl Service {
    /// On an empty database: makes the administrator and the organisation `library`. Else does nothing.
    pub async fn first_start(&self) -> Result<Option<FirstStart>> {
        let (now, secret) = (self.now(), self.new_secret()?);
        let (admin, library) = (self.new_account(FIRST_ADMIN, AccountKind::User)?, self.new_account(LIBRARY, AccountKind::Organisation)?);
        let (token, note) = (self.token_of(&admin.id, "first start", Scope::Admin, None)?, self.note()?);
        self.db
            .write(move |tx| {
                if users::count(tx)? > 0 {
                    return Ok(None);
                }
                let admin = Account { is_admin: true, ..admin };
                users::insert(tx, &admin)?;
                users::insert(tx, &Account { full_name: "Models everybody starts from".into(), ..library })?;
                crate::catalog::tokens::insert(tx, &token, &secret.hash())?;
                note_act(tx, now, note, &Actor::System, "site.first_start", admin.name.as_str(), "")?;
                Ok(Some(FirstStart { admin: admin.name, token: secret.reveal().to_owned() }))
            })
            .await
    }

    /// Who the caller is and where they may do what.
    pub async fn whoami(&self, actor: &Actor) -> Result<Whoami> {
        let actor = actor.clone();
        self.db
            .read(move |tx| {
                let account = access::known(&actor)?;
                let Actor::User { name, is_admin, scope, .. } = &actor else { return Err(Error::Internal("not a user".into())) };
                let own = Name::parse_owner(name.as_str()).ok().map(|name| (name, Role::Admin));
                let mut namespaces: Vec<_> = own.into_iter().chain(users::list_memberships(tx, account)?).collect();
                let library = Name::parse_owner(LIBRARY).ok().filter(|_| *is_admin);
                namespaces.extend(library.filter(|name| !namespaces.iter().any(|(n, _)| n == name)).map(|name| (name, Role::Admin)));
                Ok(Whoami { name: name.clone(), is_admin: *is_admin, scope: *scope, namespaces })
            })
            .await
    }

    /// A new user, with a first token of their own, or an organisation the caller becomes administrator of.
    /// Users are made by site administrators, and by anybody where sign-up is open.
    pub async fn create_account(&self, actor: &Actor, name: &str, kind: AccountKind, full_name: &str) -> Result<(Account, Option<String>)> {
        let open = kind == AccountKind::User && self.policy.open_signup;
        match (kind, actor) {
            (AccountKind::User, _) if open => {}
            (AccountKind::User, Actor::Anonymous) => return Err(signup_closed()),
            (AccountKind::User, _) => access::admin_site(actor)?,
            (AccountKind::Organisation, _) => access::scope(actor, Role::Admin)?,
        }
        let account = Account { full_name: checked_full_name(full_name)?, ..self.new_account(name, kind)? };
        self.check_reserved(actor, &account)?;
        let (actor, now, note) = (actor.clone(), self.now(), self.note()?);
        let most_organisations = self.policy.quotas.organisations_per_user;
        let secret = self.new_secret()?;
        let token = self.token_of(&account.id, "first token", Scope::Admin, None)?;
        self.db
            .write(move |tx| {
                if let Some(taken) = users::find(tx, &account.name)? {
                    return Err(name_taken(&account.name, &taken.name));
                }
                // Whoever took the name would own what was mirrored under it.
                if !matches!(actor, Actor::System | Actor::User { is_admin: true, .. }) && repos::has_any_in(tx, &account.name)? {
                    return Err(name_taken(&account.name, &account.name));
                }
                users::insert(tx, &account)?;
                let secret = match (account.kind, actor.account()) {
                    (AccountKind::User, _) => {
                        crate::catalog::tokens::insert(tx, &token, &secret.hash())?;
                        Some(secret.reveal().to_owned())
                    }
                    (AccountKind::Organisation, Some(founder)) => {
                        let (held, hint) =
                            (usage::count_organisations(tx, founder)?, "leave one, or ask an administrator to make this one");
                        one_more("too_many_organisations", "organisations you administer", held, most_organisations, hint)?;
                        users::set_member(tx, &account.id, founder, Role::Admin)?;
                        None
                    }
                    (AccountKind::Organisation, None) => None,
                };
                note_act(tx, now, note, &actor, "account.create", account.name.as_str(), account.kind.as_str())?;
                Ok((account, secret))
            })
            .await
    }

    /// A new user of a server whose sign-up is open.
    pub async fn sign_up(&self, name: &str, full_name: &str) -> Result<(Account, String)> {
        let (account, secret) = self.create_account(&Actor::Anonymous, name, AccountKind::User, full_name).await?;
        secret.map(|secret| (account, secret)).ok_or_else(|| Error::Internal("a new user got no token".into()))
    }

    pub async fn get_account(&self, actor: &Actor, name: &Name) -> Result<Account> {
        access::scope(actor, Role::Read)?;
        let name = name.clone();
        self.db.read(move |tx| users::find(tx, &name)?.ok_or_else(|| unknown_account(&name))).await
    }

    /// All accounts, for site administrators.
    pub async fn list_accounts(&self, actor: &Actor, page: PageRequest) -> Result<Page<Account>> {
        access::admin_site(actor)?;
        Ok(self.db.read(move |tx| users::list(tx, &page)).await?)
    }

    /// Users change their own full name; the rest is for site administrators, and the last one stays.
    pub async fn patch_account(&self, actor: &Actor, name: &Name, change: AccountChange) -> Result<Account> {
        let (actor, name, now, note) = (actor.clone(), name.clone(), self.now(), self.note()?);
        self.db
            .write(move |tx| {
                if change.disabled.is_some() || change.is_admin.is_some() {
                    access::admin_site(&actor)?;
                } else {
                    access::admin_namespace(tx, &actor, &name)?;
                }
                let mut account = users::find(tx, &name)?.ok_or_else(|| unknown_account(&name))?;
                if let Some(full_name) = &change.full_name {
                    account.full_name = checked_full_name(full_name)?;
                }
                account.disabled = change.disabled.unwrap_or(account.disabled);
                account.is_admin = change.is_admin.unwrap_or(account.is_admin);
                if account.kind == AccountKind::Organisation && (account.is_admin || account.disabled) {
                    return Err(Error::invalid("users_only", "only a user can be disabled or an administrator", "name a user"));
                }
                users::update(tx, &account)?;
                if users::count_administrators(tx)? == 0 {
                    return Err(Error::conflict(
                        "last_admin",
                        "this is the last administrator",
                        "make another user an administrator first",
                    ));
                }
                let detail = format!("disabled={} admin={}", account.disabled, account.is_admin);
                note_act(tx, now, note, &actor, "account.change", account.name.as_str(), &detail)?;
                Ok(account)
            })
            .await
    }

    pub async fn list_members(&self, actor: &Actor, organisation: &Name) -> Result<Vec<Member>> {
        let (actor, organisation) = (actor.clone(), organisation.clone());
        self.db
            .read(move |tx| {
                if access::role_in(tx, &actor, &organisation)?.is_none() {
                    return Err(unknown_account(&organisation));
                }
                let account = find_organisation(tx, &organisation)?;
                Ok(users::list_members(tx, &account.id)?)
            })
            .await
    }

    /// Gives a user a role in an organisation, in place of the one they had.
    pub async fn set_member(&self, actor: &Actor, organisation: &Name, user: &Name, role: Role) -> Result<()> {
        let (actor, organisation, user) = (actor.clone(), organisation.clone(), user.clone());
        let (now, note) = (self.now(), self.note()?);
        self.db
            .write(move |tx| {
                access::admin_namespace(tx, &actor, &organisation)?;
                let organisation = find_organisation(tx, &organisation)?;
                let user = find_user(tx, &user)?;
                let before = users::find_role(tx, &organisation.name, &user.id)?;
                users::set_member(tx, &organisation.id, &user.id, role)?;
                keep_an_administrator(tx, &organisation, &user, before)?;
                let detail = format!("{}={role}", user.name);
                note_act(tx, now, note, &actor, "member.set", organisation.name.as_str(), &detail)
            })
            .await
    }

    /// Takes a role away; members may also leave by themselves.
    pub async fn remove_member(&self, actor: &Actor, organisation: &Name, user: &Name) -> Result<()> {
        let (actor, organisation, user) = (actor.clone(), organisation.clone(), user.clone());
        let (now, note) = (self.now(), self.note()?);
        self.db
            .write(move |tx| {
                let leaves = actor.name().is_some_and(|name| name.folded() == user.folded());
                if leaves {
                    access::scope(&actor, Role::Admin)?;
                } else {
                    access::admin_namespace(tx, &actor, &organisation)?;
                }
                let organisation = find_organisation(tx, &organisation)?;
                let user = find_user(tx, &user)?;
                let before = users::find_role(tx, &organisation.name, &user.id)?;
                if !users::delete_member(tx, &organisation.id, &user.id)? {
                    let message = format!("'{}' is no member of '{}'", user.name, organisation.name);
                    return Err(Error::not_found("not_a_member", message, "list the members to see who is"));
                }
                keep_an_administrator(tx, &organisation, &user, before)?;
                note_act(tx, now, note, &actor, "member.remove", organisation.name.as_str(), user.name.as_str())
            })
            .await
    }

    /// The actor a job runs as: its owner as they are today, with the right to write and no token in hand.
    pub async fn actor_for(&self, account: &AccountId) -> Result<Actor> {
        let (id, token) = (account.clone(), TokenId::new(self.now(), [0; 10]));
        let account = self.db.read(move |tx| users::find_by_id(tx, &id)).await?;
        let gone = || Error::forbidden("account_disabled", "the owner's account is disabled or gone", "ask a site administrator");
        let account = account.filter(|account| !account.disabled).ok_or_else(gone)?;
        Ok(Actor::User { account: account.id, name: account.name, is_admin: account.is_admin, scope: Scope::Write, token })
    }

    fn new_account(&self, name: &str, kind: AccountKind) -> Result<Account> {
        let wrong = |e: crate::domain::name::NameError| Error::invalid("bad_name", e.to_string(), "choose another name");
        let name = Name::parse_owner(name).map_err(wrong)?;
        let (id, created) = (AccountId::new(self.now(), self.random()?), self.now());
        Ok(Account { id, name, kind, is_admin: false, disabled: false, full_name: String::new(), created })
    }
}

pub(super) fn find_user(tx: &mut Tx<'_>, name: &Name) -> Result<Account> {
    let account = users::find(tx, name)?.filter(|account| account.kind == AccountKind::User);
    account.ok_or_else(|| unknown_account(name))
}

fn find_organisation(tx: &mut Tx<'_>, name: &Name) -> Result<Account> {
    let account = users::find(tx, name)?.filter(|account| account.kind == AccountKind::Organisation);
    account.ok_or_else(|| unknown_account(name))
}

/// An organisation that none of its members can manage would be nobody's.
fn keep_an_administrator(tx: &mut Tx<'_>, organisation: &Account, user: &Account, before: Option<Role>) -> Result<()> {
    if before != Some(Role::Admin) || users::list_members(tx, &organisation.id)?.iter().any(|member| member.role == Role::Admin) {
        return Ok(());
    }
    let message = format!("'{}' is the last administrator of '{}'", user.name, organisation.name);
    Err(Error::conflict("last_admin", message, "give another member the role 'admin' first"))
}

fn checked_full_name(text: &str) -> Result<String> {
    let text = text.trim();
    let good = text.len() <= MAX_FULL_NAME && !text.chars().any(char::is_control);
    let error = || Error::invalid("bad_full_name", "a full name has at most 200 bytes and no control characters", "shorten it");
    if good { Ok(text.into()) } else { Err(error()) }
}

pub(super) fn unknown_account(name: &Name) -> Error {
    Error::not_found("account_not_found", format!("there is no '{name}' here"), "check the spelling")
}

fn name_taken(asked: &Name, taken: &Name) -> Error {
    Error::conflict("name_taken", format!("'{asked}' is too close to '{taken}', which exists"), "choose another name")
}

fn signup_closed() -> Error {
    Error::forbidden("signup_closed", "this server does not let people sign up by themselves", "ask its administrator for an account")
}
