//! Accounts, tokens and sessions under a clock that the tests move.

use std::sync::atomic::{AtomicI64, Ordering};

use super::super::*;
use super::accounts::AccountChange;
use crate::catalog::{audit, tokens as stored};
use crate::domain::name::Name;
use crate::domain::user::{AccountKind, Actor, Role, Scope};

struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.load(Ordering::SeqCst))
    }
}

const DAY_MS: i64 = 86_400_000;

struct House {
    service: Service,
    hands: Arc<Hands>,
    admin: Actor,
    _dir: tempfile::TempDir,
}

impl House {
    async fn new(policy: Policy) -> House {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("hub.db")).await.unwrap();
        let hands = Arc::new(Hands(AtomicI64::new(1_700_000_000_000)));
        let service = Service::new(db, Blobs::memory().unwrap(), hands.clone(), policy);
        let first = service.first_start().await.unwrap().unwrap();
        let admin = service.authenticate(&first.token).await.unwrap();
        House { service, hands, admin, _dir: dir }
    }

    fn wait(&self, ms: i64) {
        self.hands.0.fetch_add(ms, Ordering::SeqCst);
    }

    async fn user(&self, name: &str) -> (Actor, String) {
        let (_, secret) = self.service.create_account(&self.admin, name, AccountKind::User, "").await.unwrap();
        let secret = secret.unwrap();
        (self.service.authenticate(&secret).await.unwrap(), secret)
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[track_caller]
fn code<T: std::fmt::Debug>(result: Result<T>) -> &'static str {
    match result.unwrap_err() {
        Error::NotFound(p) | Error::Unauthorized(p) | Error::Forbidden(p) | Error::Conflict(p) | Error::Invalid(p) => p.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_start_happens_once() {
    let house = House::new(Policy::default()).await;
    assert!(house.service.first_start().await.unwrap().is_none());
    let me = house.service.whoami(&house.admin).await.unwrap();
    assert_eq!(me.namespaces, [(name("admin"), Role::Admin), (name("library"), Role::Admin)]);
}

#[tokio::test]
async fn a_token_ends_with_its_time() {
    let house = House::new(Policy::default()).await;
    let (_, secret) = house.service.create_token(&house.admin, "short", Scope::Write, Some(2), None).await.unwrap();
    house.wait(2 * DAY_MS - 1);
    assert!(house.service.authenticate(&secret).await.is_ok());
    house.wait(1);
    assert_eq!(code(house.service.authenticate(&secret).await), "bad_token");
    for days in [0, 3_661, u32::MAX] {
        assert_eq!(code(house.service.create_token(&house.admin, "x", Scope::Read, Some(days), None).await), "bad_expiry");
    }
}

#[tokio::test]
async fn a_token_that_ended_since_it_was_shown_makes_none() {
    let house = House::new(Policy::default()).await;
    let (token, secret) = house.service.create_token(&house.admin, "short", Scope::Admin, Some(1), None).await.unwrap();
    let shown = house.service.authenticate(&secret).await.unwrap();
    house.wait(DAY_MS);
    assert_eq!(code(house.service.create_token(&shown, "late", Scope::Read, None, None).await), "bad_token");
    house.wait(-DAY_MS);
    house.service.revoke_token(&house.admin, &token.id).await.unwrap();
    assert_eq!(code(house.service.create_token(&shown, "late", Scope::Read, None, None).await), "bad_token");
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_with_its_sessions() {
    let house = House::new(Policy::default()).await;
    let (token, secret) = house.service.create_token(&house.admin, "t", Scope::Admin, None, None).await.unwrap();
    let session = house.service.open_session(&secret).await.unwrap();
    assert!(house.service.find_session(&session.cookie).await.unwrap().is_some());
    house.service.revoke_token(&house.admin, &token.id).await.unwrap();
    assert_eq!(code(house.service.authenticate(&secret).await), "bad_token");
    assert!(house.service.find_session(&session.cookie).await.unwrap().is_none());
    assert_eq!(code(house.service.revoke_token(&house.admin, &token.id).await), "token_not_found");
}

#[tokio::test]
async fn sessions_are_new_at_each_login_and_end_by_time_or_logout() {
    let house = House::new(Policy::default()).await;
    let (_, secret) = house.user("ada").await;
    let (first, second) = (house.service.open_session(&secret).await.unwrap(), house.service.open_session(&secret).await.unwrap());
    assert_ne!((&first.cookie, &first.csrf), (&second.cookie, &second.csrf));
    assert_ne!(first.cookie, secret);
    house.service.close_session(&first.cookie).await.unwrap();
    assert!(house.service.find_session(&first.cookie).await.unwrap().is_none());
    let found = house.service.find_session(&second.cookie).await.unwrap().unwrap();
    assert_eq!((&found.csrf, &found.actor), (&second.csrf, &second.actor));
    house.wait(14 * DAY_MS);
    assert!(house.service.find_session(&second.cookie).await.unwrap().is_none());
    for planted in ["", "x", &secret, "hub_x"] {
        assert!(house.service.find_session(planted).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_token_makes_no_stronger_one_and_no_one_elses() {
    let house = House::new(Policy::default()).await;
    let (ada, _) = house.user("ada").await;
    house.user("bob").await;
    let (_, weak) = house.service.create_token(&ada, "w", Scope::Write, None, None).await.unwrap();
    let weak = house.service.authenticate(&weak).await.unwrap();
    for scope in [Scope::Read, Scope::Write, Scope::Admin] {
        assert_eq!(code(house.service.create_token(&weak, "a", scope, None, None).await), "token_scope");
    }
    assert_eq!(code(house.service.create_token(&ada, "b", Scope::Read, None, Some(&name("bob"))).await), "site_admin_only");
    assert_eq!(code(house.service.list_tokens(&ada, Some(&name("bob"))).await), "site_admin_only");
    let bobs = house.service.list_tokens(&house.admin, Some(&name("Bob"))).await.unwrap();
    assert_eq!(code(house.service.revoke_token(&ada, &bobs[0].id).await), "token_not_found");
    house.service.revoke_token(&house.admin, &bobs[0].id).await.unwrap();
    assert_eq!(code(house.service.create_token(&Actor::Anonymous, "x", Scope::Read, None, None).await), "login_required");
}

#[tokio::test]
async fn only_the_hash_of_a_secret_is_stored() {
    let house = House::new(Policy::default()).await;
    let (_, secret) = house.user("ada").await;
    let session = house.service.open_session(&secret).await.unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(house._dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds(&secret[4..]) && !holds(&session.cookie[4..]) && !holds(&session.csrf));
        seen += usize::from(holds(&crate::domain::secret::hash(&secret)));
    }
    assert!(seen > 0, "the hash is somewhere in the database, so the search works");
}

#[tokio::test]
async fn the_last_use_is_noted_once_a_minute() {
    let house = House::new(Policy::default()).await;
    let (_, secret) = house.user("ada").await;
    let hash = crate::domain::secret::hash(&secret);
    let last_used = async |at_least: i64| loop {
        let hash = hash.clone();
        let found = house.service.db.read(move |tx| stored::find_by_hash(tx, &hash)).await.unwrap().unwrap();
        match found.token.last_used {
            Some(at) if at.unix_ms() >= at_least => return at.unix_ms(),
            _ => tokio::task::yield_now().await,
        }
    };
    let start = house.hands.now().unix_ms();
    assert_eq!(last_used(start).await, start);
    house.wait(30_000);
    house.service.authenticate(&secret).await.unwrap();
    house.wait(31_000);
    house.service.authenticate(&secret).await.unwrap();
    assert_eq!(last_used(start + 1).await, start + 61_000, "the use after 30 s was not worth a write");
}

#[tokio::test]
async fn disabled_users_are_out_and_the_last_administrator_stays() {
    let house = House::new(Policy::default()).await;
    let (ada, secret) = house.user("ada").await;
    let disable = AccountChange { disabled: Some(true), ..AccountChange::default() };
    let promote = AccountChange { is_admin: Some(true), ..AccountChange::default() };
    let session = house.service.open_session(&secret).await.unwrap();
    assert_eq!(code(house.service.patch_account(&ada, &name("ada"), promote.clone()).await), "site_admin_only");
    house.service.patch_account(&house.admin, &name("ada"), disable.clone()).await.unwrap();
    assert_eq!(code(house.service.authenticate(&secret).await), "bad_token");
    assert!(house.service.find_session(&session.cookie).await.unwrap().is_none());
    assert_eq!(code(house.service.actor_for(ada.account().unwrap()).await), "account_disabled");
    assert_eq!(code(house.service.patch_account(&house.admin, &name("admin"), disable.clone()).await), "last_admin");
    assert_eq!(
        code(
            house
                .service
                .patch_account(&house.admin, &name("ada"), promote.clone())
                .await
                .and(Err::<(), _>(Error::not_found("fine", "", "")))
        ),
        "fine"
    );
    // A disabled administrator does not count.
    assert_eq!(code(house.service.patch_account(&house.admin, &name("admin"), disable).await), "last_admin");
    assert_eq!(code(house.service.patch_account(&house.admin, &name("library"), promote).await), "users_only");
}

#[tokio::test]
async fn sign_up_is_closed_unless_opened() {
    let closed = House::new(Policy::default()).await;
    assert_eq!(code(closed.service.sign_up("eve", "").await), "signup_closed");
    let (ada, _) = closed.user("ada").await;
    assert_eq!(code(closed.service.create_account(&ada, "eve", AccountKind::User, "").await), "site_admin_only");
    let open = House::new(Policy { open_signup: true, ..Policy::default() }).await;
    let (eve, secret) = open.service.sign_up("eve", "Eve").await.unwrap();
    assert!(!eve.is_admin);
    assert!(open.service.authenticate(&secret).await.is_ok());
    for taken in ["eve", "EVE", "Library", "admin"] {
        assert_eq!(code(open.service.sign_up(taken, "").await), "name_taken", "{taken}");
    }
    for bad in ["", "api", "a b", "x/y", "mоdel", "root"] {
        assert_eq!(code(open.service.sign_up(bad, "").await), "bad_name", "{bad}");
    }
    assert_eq!(code(open.service.create_account(&Actor::Anonymous, "org", AccountKind::Organisation, "").await), "login_required");
}

#[tokio::test]
async fn organisations_have_members_with_roles() {
    let house = House::new(Policy::default()).await;
    let ((ada, _), (bob, _), (eve, _)) = (house.user("ada").await, house.user("bob").await, house.user("eve").await);
    let service = &house.service;
    service.create_account(&ada, "acme", AccountKind::Organisation, "Acme").await.unwrap();
    service.set_member(&ada, &name("acme"), &name("bob"), Role::Write).await.unwrap();
    let roles: Vec<_> =
        service.list_members(&bob, &name("Acme")).await.unwrap().into_iter().map(|m| (m.user.to_string(), m.role)).collect();
    assert_eq!(roles, [("ada".to_owned(), Role::Admin), ("bob".to_owned(), Role::Write)]);
    assert_eq!(code(service.set_member(&bob, &name("acme"), &name("bob"), Role::Admin).await), "no_right", "nobody promotes themselves");
    assert_eq!(code(service.list_members(&eve, &name("acme")).await), "account_not_found");
    assert_eq!(code(service.remove_member(&eve, &name("acme"), &name("bob")).await), "no_right");
    service.remove_member(&bob, &name("acme"), &name("bob")).await.unwrap();
    assert_eq!(code(service.list_members(&bob, &name("acme")).await), "account_not_found");
    assert_eq!(code(service.set_member(&ada, &name("acme"), &name("library"), Role::Read).await), "account_not_found");
}

#[tokio::test]
async fn each_act_leaves_an_audit_row() {
    let house = House::new(Policy::default()).await;
    house.user("ada").await;
    let (token, _) = house.service.create_token(&house.admin, "t", Scope::Read, None, None).await.unwrap();
    house.service.revoke_token(&house.admin, &token.id).await.unwrap();
    let entries = house.service.db.read(|tx| audit::list(tx, &Default::default(), &Default::default())).await.unwrap().items;
    let mut acts: Vec<_> = entries.iter().map(|e| format!("{} {}", e.account, e.action)).collect();
    acts.sort();
    assert_eq!(acts, ["admin account.create", "admin token.create", "admin token.revoke", "system site.first_start"]);
}

#[tokio::test]
async fn old_lines_of_the_audit_log_are_forgotten_and_others_kept() {
    let house = House::new(Policy::default()).await;
    house.user("ada").await;
    house.wait(10 * DAY_MS);
    house.user("bob").await;
    let acts = async || house.service.list_audit(&house.admin, Default::default(), Default::default()).await.unwrap().items.len();
    assert_eq!(acts().await, 3);
    assert_eq!(house.service.forget_audit(0).await.unwrap(), 0, "0 is for ever");
    assert_eq!(house.service.forget_audit(5 * DAY_MS).await.unwrap(), 2);
    assert_eq!(acts().await, 1);
    assert_eq!(
        house.service.db.write(|tx| audit::forget(tx, Timestamp::from_unix_ms(0), 0)).await.unwrap(),
        1,
        "the oldest beyond the bound"
    );
    assert_eq!(acts().await, 0);
}
