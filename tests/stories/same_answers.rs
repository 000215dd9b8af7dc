//! Strangers who ask the same within a moment are given the same answer; what that may not change: who sees what, and when what was published is found.

use crate::support::publishing::{create_repo, publish, safetensors};
use crate::support::{Api, Server, until};
use serde_json::json;

const LISTS: [&str; 5] = ["/", "/models", "/api/models?limit=20", "/api/v1/models", "/search?q=net"];

async fn shows(api: &Api, list: &str, name: &str) -> bool {
    let answer = api.get(list).await;
    assert_eq!(answer.status, 200, "{list}");
    answer.text().contains(name)
}

#[tokio::test]
async fn what_is_published_is_found_at_once_and_what_is_private_by_its_owner_alone() {
    let server = Server::start();
    let (ada, stranger) = (server.user("ada").await, server.anonymous());
    for (at, list) in LISTS.iter().enumerate() {
        assert!(!shows(&stranger, list, &format!("ada/net{at}")).await);
    }
    let weights = safetensors(&[("weight", &[4])]);
    for (at, list) in LISTS.iter().enumerate() {
        let name = format!("ada/net{at}");
        create_repo(&ada, "model", &name).await;
        publish(&ada, &format!("models/{name}"), None, &[("model.safetensors", &weights)]).await.created();
        assert!(shows(&stranger, list, &name).await, "{list} has it at once");
        assert!(shows(&stranger, list, &name).await, "{list} has it again");
    }
    ada.patch("/api/v1/models/ada/net0", &json!({"private": true})).await.ok();
    for list in ["/api/v1/models", "/api/models?limit=20"] {
        assert!(shows(&ada, list, "ada/net0").await, "{list} shows its owner's");
        assert!(!shows(&stranger, list, "ada/net0").await, "{list} shows strangers nothing of it, though its owner asked first");
        assert!(shows(&ada, list, "ada/net0").await, "{list} shows its owner's, though a stranger asked");
    }
    for page in ["/api/v1/models/ada/net0", "/api/models/ada/net0", "/ada/net0"] {
        ada.get(page).await;
        assert!(!stranger.get(page).await.status.is_success(), "{page}");
    }
}

#[tokio::test]
async fn what_another_process_writes_is_found_a_moment_later() {
    let server = Server::start();
    let (ada, stranger) = (server.user("ada").await, server.anonymous());
    create_repo(&ada, "model", "ada/net").await;
    publish(&ada, "models/ada/net", None, &[("model.safetensors", &safetensors(&[("weight", &[4])]))]).await.created();
    assert!(shows(&stranger, "/api/v1/models", "ada/net").await);
    let database = rusqlite::Connection::open(server.data().join("hub.db")).unwrap();
    database.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
    database.execute("update repos set summary = 'seen from elsewhere'", []).unwrap();
    until("the list has the other summary", async || shows(&stranger, "/api/v1/models", "seen from elsewhere").await).await;
}

#[tokio::test]
async fn an_answer_names_the_server_as_it_was_called() {
    let server = Server::start();
    let port = server.authority().rsplit(':').next().unwrap().to_owned();
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
        for _ in 0..2 {
            let page =
                server.anonymous().request(reqwest::Method::GET, "/").header("host", &host).send().await.unwrap().text().await.unwrap();
            assert!(page.contains(&format!("http://{host}")), "{host}");
        }
    }
}
