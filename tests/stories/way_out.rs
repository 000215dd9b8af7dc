//! The way out through a company's proxy: `https_proxy` names it, and a hub behind TLS is reached through it alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::connect::ConnectProxy;
use crate::support::nginx::{Nginx, free_port};
use crate::support::publishing::{create_repo, publish, random, safetensors};
use crate::support::{Server, hub};

/// A name that leads nowhere but through the proxy.
const NAME: &str = "upstream.example";

/// A certificate for the name, which proves itself; and its key.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let [config, key, certificate] = ["config", "key.pem", "certificate.pem"].map(|name| folder.join(name));
    let text = format!(
        "[req]\ndistinguished_name = who\nx509_extensions = about\nprompt = no\n[who]\nCN = {NAME}\n\
         [about]\nsubjectAltName = DNS:{NAME}\nbasicConstraints = critical, CA:FALSE\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-config"]);
    let made = command.arg(&config).arg("-keyout").arg(&key).arg("-out").arg(&certificate).output().expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn https_goes_through_the_proxy_that_the_environment_names() {
    let (home, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let address = format!("https://{NAME}");
    let behind = Server::start_with(&["--workers", "0"], &[("HUB_PUBLIC_URL", &address)]);
    let ada = behind.user("ada").await;
    let weights = safetensors(&[("weight", &[50_000])]);
    create_repo(&ada, "model", "ada/net").await;
    let files: &[(&str, &[u8])] = &[("README.md", b"# Net\n"), ("model.safetensors", &weights), ("notes.txt", &random(1, 5_000))];
    publish(&ada, "models/ada/net", None, files).await.created();

    let (certificate, key) = certificate(folder.path());
    let (plain, port) = (free_port(), free_port());
    let _nginx = Nginx::start(
        plain,
        &format!(
            "listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {}; \
             location / {{ proxy_pass {}; proxy_set_header Host $http_host; }}",
            certificate.display(),
            key.display(),
            behind.url
        ),
    );
    let proxy = ConnectProxy::start(port);
    let certificate = certificate.to_str().unwrap();
    let through = format!("CONNECT {NAME}:443");
    let run = |proxied: bool, words: &[&str]| {
        let mut command = hub(home.path());
        command.current_dir(home.path()).env("HUB_SERVER", &address).env("SSL_CERT_FILE", certificate);
        if proxied {
            command.env("https_proxy", &proxy.url);
        }
        let done = command.args(words).output().unwrap();
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };

    let (done, said) = run(true, &["pull", "ada/net", "--to", "pulled"]);
    assert!(done, "{said}");
    assert_eq!(std::fs::read(home.path().join("pulled/model.safetensors")).unwrap(), weights);
    let asked = proxy.take();
    assert!(!asked.is_empty() && asked.iter().all(|line| *line == through), "{asked:?}");

    let (done, said) = run(true, &["import", "hf://ada/net", "--endpoint", &address, "--to", "imported"]);
    assert!(done, "{said}");
    assert_eq!(std::fs::read(home.path().join("imported/model.safetensors")).unwrap(), weights);
    let asked = proxy.take();
    assert!(!asked.is_empty() && asked.iter().all(|line| *line == through), "{asked:?}");

    // A hub that has another one behind it, at such an address.
    let environment = [
        ("HUB_UPSTREAM", address.as_str()),
        ("HUB_UPSTREAM_NAMESPACES", "ada"),
        ("https_proxy", &proxy.url),
        ("SSL_CERT_FILE", certificate),
    ];
    let before = Server::start_with(&["--workers", "0"], &environment);
    let got = before.anonymous().get("/ada/net/resolve/main/model.safetensors").await;
    assert!(got.status == 200 && got.bytes == weights, "{}", got.text());
    let asked = proxy.take();
    assert!(!asked.is_empty() && asked.iter().all(|line| *line == through), "{asked:?}");

    // Without the proxy there is no way, and nothing but the proxy is asked for it.
    for words in [&["pull", "ada/net", "--to", "none"][..], &["import", "hf://ada/net", "--endpoint", &address, "--to", "none"]] {
        let (done, said) = run(false, words);
        assert!(!done && !home.path().join("none").exists(), "{said}");
    }
    assert_eq!(proxy.take(), Vec::<String>::new());
}
