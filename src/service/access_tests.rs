//! Role x visibility x scope, each cell said once in a table.

use super::*;
use crate::db::{self, Db};
use crate::domain::id::TokenId;
use crate::domain::time::Timestamp;
use crate::domain::user::{Account, AccountKind};
use crate::params;

const T: Timestamp = Timestamp::from_unix_ms(1);

/// Who asks.
const ANONYMOUS: &str = "anonymous";
const SYSTEM: &str = "system";

fn account(n: u8, name: &str, kind: AccountKind, is_admin: bool) -> Account {
    let name = Name::parse(name).unwrap();
    Account { id: AccountId::new(T, [n; 10]), name, kind, is_admin, disabled: false, full_name: String::new(), created: T }
}

/// An organisation `acme` with one member per role, a stranger, a site administrator; a public and a private
/// repo in `acme` and in the stranger's own namespace.
async fn house() -> (tempfile::TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("hub.db")).await.unwrap();
    db.write(|tx| {
        let acme = account(1, "acme", AccountKind::Organisation, false);
        users::insert(tx, &acme)?;
        for (n, name) in [(2, "reader"), (3, "writer"), (4, "owner"), (5, "stranger"), (6, "root0")] {
            let user = account(n, name, AccountKind::User, name == "root0");
            users::insert(tx, &user)?;
            let role = match name {
                "reader" => Role::Read,
                "writer" => Role::Write,
                "owner" => Role::Admin,
                _ => continue,
            };
            users::set_member(tx, &acme.id, &user.id, role)?;
        }
        for (key, namespace, name, private) in
            [("0", "acme", "open", false), ("1", "acme", "closed", true), ("2", "stranger", "own", true)]
        {
            let sql = "insert into repos (key, kind, namespace, name, folded, private, created, updated) values ($1, 'model', $2, $3, $4, $5, 0, 0)";
            tx.execute(sql, params![key.repeat(26), namespace, name, format!("{namespace}/{name}"), private])?;
        }
        Ok::<_, db::Error>(())
    })
    .await
    .unwrap();
    (dir, db)
}

fn actor(tx: &mut Tx<'_>, who: &str, scope: Scope) -> Actor {
    match who {
        ANONYMOUS => Actor::Anonymous,
        SYSTEM => Actor::System,
        name => {
            let account = users::find(tx, &Name::parse(name).unwrap()).unwrap().unwrap();
            let token = TokenId::new(T, [0; 10]);
            Actor::User { account: account.id, name: account.name, is_admin: account.is_admin, scope, token }
        }
    }
}

/// One letter per answer: `y` yes, `0` does not exist, `l` log in first, `s` scope too small, `f` forbidden.
fn letter<T>(result: Result<T>) -> char {
    match result {
        Ok(_) => 'y',
        Err(Error::NotFound(p)) if p.code == "repo_not_found" => '0',
        Err(Error::Unauthorized(p)) if p.code == "login_required" => 'l',
        Err(Error::Forbidden(p)) if p.code == "token_scope" => 's',
        Err(Error::Forbidden(p)) if ["no_right", "site_admin_only"].contains(&p.code) => 'f',
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_role_visibility_and_scope() {
    let (_dir, db) = house().await;
    // who, scope -> see write admin of the open repo, of the closed one, write and admin of the namespace, admin of the site
    let table = [
        (ANONYMOUS, Scope::Admin, "yll 000 ll l"),
        ("stranger", Scope::Admin, "yff 000 ff f"),
        ("stranger", Scope::Read, "yff 000 ff f"),
        ("reader", Scope::Admin, "yff yff ff f"),
        ("reader", Scope::Read, "yff yff ff f"),
        ("writer", Scope::Admin, "yyf yyf yf f"),
        ("writer", Scope::Write, "yyf yyf yf f"),
        ("writer", Scope::Read, "ysf ysf sf f"),
        ("owner", Scope::Admin, "yyy yyy yy f"),
        ("owner", Scope::Write, "yys yys ys f"),
        ("owner", Scope::Read, "yss yss ss f"),
        ("root0", Scope::Admin, "yyy yyy yy y"),
        ("root0", Scope::Write, "yys yys ys s"),
        ("root0", Scope::Read, "yss yss ss s"),
        (SYSTEM, Scope::Read, "yyy yyy yy y"),
    ];
    for (who, scope, expected) in table {
        let answer: String = db
            .read(move |tx| {
                let actor = actor(tx, who, scope);
                let mut answer = String::new();
                for name in ["open", "closed"] {
                    let id = RepoId::from_parts("Acme", name).unwrap();
                    answer.push(letter(see_repo(tx, &actor, RepoKind::Model, &id)));
                    answer.push(letter(write_repo(tx, &actor, RepoKind::Model, &id)));
                    answer.push(letter(admin_repo(tx, &actor, RepoKind::Model, &id)));
                    answer.push(' ');
                }
                let acme = Name::parse("acme").unwrap();
                answer.push(letter(write_namespace(tx, &actor, &acme)));
                answer.push(letter(admin_namespace(tx, &actor, &acme)));
                answer.push(' ');
                answer.push(letter(admin_site(&actor)));
                Ok::<_, Error>(answer)
            })
            .await
            .unwrap();
        assert_eq!(answer, expected, "{who} with a token of scope {scope}");
    }
}

#[tokio::test]
async fn unknown_private_and_other_kind_answer_alike() {
    let (_dir, db) = house().await;
    let texts = db
        .read(|tx| {
            let actor = actor(tx, "stranger", Scope::Admin);
            let mut text =
                |kind, name| format!("{:?}", see_repo(tx, &actor, kind, &RepoId::from_parts("acme", name).unwrap()).unwrap_err());
            let private = text(RepoKind::Model, "closed");
            let unknown = text(RepoKind::Model, "nothere").replace("nothere", "closed");
            let own_kind = text(RepoKind::Dataset, "open");
            Ok::<_, Error>((private, unknown, own_kind))
        })
        .await
        .unwrap();
    assert_eq!(texts.0, texts.1);
    assert!(texts.2.contains("repo_not_found"));
}

#[tokio::test]
async fn a_namespace_nobody_owns_is_nobodys() {
    let (_dir, db) = house().await;
    let letters: String = db
        .read(|tx| {
            let nobody = Name::parse("nobody").unwrap();
            let own = Name::parse("Stranger").unwrap();
            let (stranger, admin) = (actor(tx, "stranger", Scope::Write), actor(tx, "root0", Scope::Admin));
            let mut letters = String::new();
            letters.push(letter(write_namespace(tx, &stranger, &nobody)));
            letters.push(letter(write_namespace(tx, &admin, &nobody)));
            letters.push(letter(write_namespace(tx, &stranger, &own)));
            letters.push(letter(write_namespace(tx, &admin, &own)));
            Ok::<_, Error>(letters)
        })
        .await
        .unwrap();
    assert_eq!(letters, "ffyy");
}

#[tokio::test]
async fn lists_show_what_may_be_seen() {
    let (_dir, db) = house().await;
    let seen = db
        .read(|tx| {
            let mut seen = Vec::new();
            for who in [ANONYMOUS, "stranger", "reader", "root0", SYSTEM] {
                let actor = actor(tx, who, Scope::Read);
                seen.push(visible_to(tx, &actor)?);
            }
            Ok::<_, Error>(seen)
        })
        .await
        .unwrap();
    let public = |names: &[&str]| Visibility::Public { and_namespaces: names.iter().map(|n| n.to_string()).collect() };
    let expected = [public(&[]), public(&["stranger"]), public(&["reader", "acme"]), Visibility::Everything, Visibility::Everything];
    assert_eq!(seen, expected);
}
