//! Users, organisations and who is a member of which.

use super::rights;
use crate::db::{Result, Row, Tx};
use crate::domain::id::AccountId;
use crate::domain::name::Name;
use crate::domain::page::{Page, PageRequest};
use crate::domain::time::Timestamp;
use crate::domain::user::{Account, AccountKind, Member, Role};
use crate::params;

/// Every column [`from_row`] reads.
const COLUMNS: &str = "id, name, kind, is_admin, disabled, full_name, created";

fn from_row(row: &Row) -> Result<Account> {
    Ok(Account {
        id: row.parse("id", AccountId::parse)?,
        name: row.parse("name", Name::parse)?,
        kind: row.parse("kind", |text| AccountKind::parse(text).ok_or("is no kind of account"))?,
        is_admin: row.flag("is_admin")?,
        disabled: row.flag("disabled")?,
        full_name: row.text("full_name")?,
        created: Timestamp::from_unix_ms(row.int("created")?),
    })
}

fn role_of(row: &Row) -> Result<Role> {
    row.parse("role", |text| Role::parse(text).ok_or("is no role"))
}

/// Adds an account; a name taken in any spelling is a `Conflict`.
pub fn insert(tx: &mut Tx<'_>, account: &Account) -> Result<()> {
    let sql =
        "insert into accounts (id, name, folded, kind, is_admin, disabled, full_name, created) values ($1, $2, $3, $4, $5, $6, $7, $8)";
    let (id, name, kind) = (account.id.as_str(), account.name.as_str(), account.kind.as_str());
    let values =
        params![id, name, account.name.folded(), kind, account.is_admin, account.disabled, &account.full_name, account.created.unix_ms()];
    tx.execute(sql, values)?;
    Ok(())
}

pub fn find(tx: &mut Tx<'_>, name: &Name) -> Result<Option<Account>> {
    let sql = format!("select {COLUMNS} from accounts where folded = $1");
    tx.find(&sql, params![name.folded()])?.as_ref().map(from_row).transpose()
}

pub fn find_by_id(tx: &mut Tx<'_>, id: &AccountId) -> Result<Option<Account>> {
    let sql = format!("select {COLUMNS} from accounts where id = $1");
    tx.find(&sql, params![id.as_str()])?.as_ref().map(from_row).transpose()
}

/// All accounts by name; the cursor is the last folded name.
pub fn list(tx: &mut Tx<'_>, page: &PageRequest) -> Result<Page<Account>> {
    let sql = format!("select {COLUMNS} from accounts where folded > $1 order by folded limit $2");
    let after = page.cursor.clone().unwrap_or_default();
    let mut rows = tx.all(&sql, params![after, page.limit + 1])?;
    let more = rows.len() > page.limit;
    rows.truncate(page.limit);
    let items: Vec<Account> = rows.iter().map(from_row).collect::<Result<_>>()?;
    let next = items.last().filter(|_| more).map(|account| account.name.folded());
    Ok(Page { items, next })
}

/// Writes what may change about an account: full name, disabled, administrator.
pub fn update(tx: &mut Tx<'_>, account: &Account) -> Result<()> {
    let sql = "update accounts set full_name = $2, disabled = $3, is_admin = $4 where id = $1";
    tx.execute(sql, params![account.id.as_str(), &account.full_name, account.disabled, account.is_admin])?;
    rights::lost(tx)
}

/// How many users could administer the site today.
pub fn count_administrators(tx: &mut Tx<'_>) -> Result<u64> {
    tx.one("select count(*) as n from accounts where is_admin = 1 and disabled = 0", &[])?.count("n")
}

pub fn count(tx: &mut Tx<'_>) -> Result<u64> {
    tx.one("select count(*) as n from accounts", &[])?.count("n")
}

/// The role of a user in the organisation of this name.
pub fn find_role(tx: &mut Tx<'_>, organisation: &Name, user: &AccountId) -> Result<Option<Role>> {
    let sql = "select role from members join accounts on accounts.id = organisation where folded = $1 and account = $2";
    tx.find(sql, params![organisation.folded(), user.as_str()])?.as_ref().map(role_of).transpose()
}

/// Organisations a user has a role in, by name.
pub fn list_memberships(tx: &mut Tx<'_>, user: &AccountId) -> Result<Vec<(Name, Role)>> {
    let sql = "select name, role from members join accounts on accounts.id = organisation where account = $1 order by folded";
    let rows = tx.all(sql, params![user.as_str()])?;
    rows.iter().map(|row| Ok((row.parse("name", Name::parse)?, role_of(row)?))).collect()
}

/// The members of an organisation, by name.
pub fn list_members(tx: &mut Tx<'_>, organisation: &AccountId) -> Result<Vec<Member>> {
    let sql = "select name, role from members join accounts on accounts.id = account where organisation = $1 order by folded";
    let rows = tx.all(sql, params![organisation.as_str()])?;
    rows.iter().map(|row| Ok(Member { user: row.parse("name", Name::parse)?, role: role_of(row)? })).collect()
}

/// Gives a user a role in an organisation, in place of the one they had.
pub fn set_member(tx: &mut Tx<'_>, organisation: &AccountId, user: &AccountId, role: Role) -> Result<()> {
    let sql = "insert into members (organisation, account, role) values ($1, $2, $3)
        on conflict (organisation, account) do update set role = excluded.role";
    tx.execute(sql, params![organisation.as_str(), user.as_str(), role.as_str()])?;
    rights::lost(tx)
}

/// Takes a user's role away; whether there was one.
pub fn delete_member(tx: &mut Tx<'_>, organisation: &AccountId, user: &AccountId) -> Result<bool> {
    rights::lost(tx)?;
    let sql = "delete from members where organisation = $1 and account = $2";
    Ok(tx.execute(sql, params![organisation.as_str(), user.as_str()])? > 0)
}
