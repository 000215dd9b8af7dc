//! The server as a process and as an HTTP peer: first start, headers, refusals at the door, how it ends.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::support::{Reply, STUCK_AFTER, Server, eventually, fill, hub};
use hub::http::routes::routes;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn a_first_start_makes_the_administrator_and_says_so_once() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_on(data.path(), &["--workers", "0"], &[]);
    let file = data.path().join("admin-token");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let (token, bare) = (server.admin_token.clone(), server.admin_token.trim_start_matches("hf_").to_owned());
    assert!(!server.log().contains(&bare), "the token is in its file only");
    assert!(server.log().contains(file.to_str().unwrap()), "and the log says in which");
    let me = server.admin().get("/api/v1/whoami").await.ok();
    assert_eq!((me["name"].as_str(), me["is_admin"].as_bool(), me["scope"].as_str()), (Some("admin"), Some(true), Some("admin")));
    assert!(me["namespaces"].to_string().contains("library"));
    assert_eq!(server.stop(), Some(0));
    let server = Server::start_on(data.path(), &["--workers", "0"], &[]);
    assert!(!server.log().contains(file.to_str().unwrap()), "which is said once");
    assert_eq!(server.with_token(&token).get("/api/v1/whoami").await.ok()["name"], "admin");
}

#[tokio::test]
async fn it_is_alive_ready_and_counts() {
    let server = Server::start();
    let api = server.anonymous();
    assert_eq!(api.get("/healthz").await.text(), "ok\n");
    assert_eq!(api.get("/readyz").await.text(), "ok\n");
    api.get("/api/v1/whoami").await.problem(401, "login_required");
    let metrics = server.admin().get("/metrics").await.text();
    assert!(metrics.contains(r#"hub_http_requests_total{method="GET",route="/api/v1/whoami",status="401"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"hub_jobs{state="queued"} 0"#), "{metrics}");
}

#[tokio::test]
async fn numbers_of_the_site_are_for_administrators_or_for_who_reaches_their_own_listener() {
    let server = Server::start_with(&["--workers", "0"], &[("HUB_METRICS_LISTEN", "127.0.0.1:0")]);
    server.anonymous().get("/metrics").await.problem(401, "login_required");
    server.user("ada").await.get("/metrics").await.problem(403, "site_admin_only");
    let reading = server.admin().post("/api/v1/tokens", &json!({"name": "prometheus", "scope": "read"})).await.created();
    let reading = server.with_token(reading["secret"].as_str().unwrap());
    assert!(reading.get("/metrics").await.text().contains("hub_store_bytes 0\n"), "a token that only reads is enough");

    let log = server.log();
    let line = log.lines().find(|line| line.contains("metrics are answered here")).expect("the log says where");
    let at = line.find("127.0.0.1:").unwrap();
    let address: String = line[at..].chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
    let get = async |path: &str| crate::support::http().get(format!("http://{address}{path}")).send().await.unwrap();
    assert!(get("/metrics").await.text().await.unwrap().contains("hub_store_bytes 0\n"));
    assert_eq!(get("/healthz").await.status(), 200);
    for path in ["/", "/api/v1/whoami", "/api/v1/search", "/login"] {
        assert_eq!(get(path).await.status(), 404, "{path}");
    }
    assert_eq!(server.stop(), Some(0));
}

#[tokio::test]
async fn every_answer_wears_the_security_headers() {
    let server = Server::start();
    let api = server.anonymous();
    let answers = [
        api.get("/healthz").await,
        api.get("/api/v1/openapi.json").await,
        api.get("/api/v1/nothing").await,
        api.get("/no/such/page/here/at/all").await,
        api.get("/api/v1/whoami").await,
        Reply::of(api.request(Method::TRACE, "/healthz")).await,
        Reply::of(api.request(Method::GET, "/healthz").header("host", "evil.example")).await,
    ];
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [200, 200, 404, 404, 401, 405, 421]);
    for answer in &answers {
        assert!(answer.header("content-security-policy").contains("default-src 'none'"));
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
        assert!(answer.header("permissions-policy").contains("camera=()"));
        assert_eq!(answer.header("x-request-id").len(), 16);
        assert_eq!(answer.header("access-control-allow-origin"), "", "no other site may read");
        assert_eq!(answer.header("strict-transport-security"), "", "not without TLS");
    }
    let public = Server::start_with(&["--workers", "0", "--public-url", "https://hub.example.org"], &[]);
    let answer = public.anonymous().get("/healthz").await;
    assert!(answer.header("strict-transport-security").contains("max-age=63072000"));
}

#[tokio::test]
async fn a_request_keeps_the_id_its_caller_gave_it_if_that_is_harmless() {
    let server = Server::start();
    let api = server.anonymous();
    let with = async |id: &str| Reply::of(api.request(Method::GET, "/api/v1/whoami").header("x-request-id", id)).await;
    let answer = with("trace-1.2_3").await;
    assert_eq!(answer.header("x-request-id"), "trace-1.2_3");
    assert_eq!(answer.json()["request_id"], "trace-1.2_3");
    let answer = with("<script>alert(1)</script>").await;
    assert_eq!(answer.header("x-request-id").len(), 16);
}

#[tokio::test]
async fn it_answers_to_its_own_names_only() {
    let server = Server::start();
    let asked =
        async |server: &Server, host: &str| Reply::of(server.anonymous().request(Method::GET, "/healthz").header("host", host)).await;
    for good in [server.authority(), "localhost", "[::1]:99"] {
        assert_eq!(asked(&server, good).await.status, 200, "{good}");
    }
    asked(&server, "rebound.evil.example").await.problem(421, "unknown_host");
    let absolute = raw(&server, "GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(absolute.starts_with("HTTP/1.1 421"), "{absolute}");
    let named = Server::start_with(&["--workers", "0", "--trusted-host", "hub.lan", "--public-url", "http://hub.example.org:8080"], &[]);
    for good in ["hub.lan:1", "HUB.LAN", "hub.example.org", "127.0.0.1"] {
        assert_eq!(asked(&named, good).await.status, 200, "{good}");
    }
    let forwarded = named.anonymous().request(Method::GET, "/healthz").header("host", "evil").header("x-forwarded-host", "hub.lan");
    Reply::of(forwarded).await.problem(421, "unknown_host");
}

#[tokio::test]
async fn other_methods_are_refused_with_those_that_work() {
    let server = Server::start();
    let api = server.admin();
    for entry in routes().iter().filter(|entry| !entry.methods.is_empty()) {
        let path = fill(entry.path, |name| (name != "kind").then(|| "x".into()));
        let mut unknown = vec![Method::TRACE, Method::OPTIONS];
        unknown.extend([Method::PUT, Method::PATCH, Method::POST, Method::DELETE].into_iter().filter(|m| !served(&entry.methods, m)));
        for method in unknown {
            let answer = Reply::of(api.request(method.clone(), &path)).await;
            // What nothing else answers below these is said not to be offered, whatever is asked.
            if answer.status == 501 {
                assert!(answer.text().contains("this hub"), "{method} {path}: {}", answer.text());
                continue;
            }
            assert_eq!(answer.status, 405, "{method} {path}: {}", answer.text());
            assert!(entry.methods.iter().all(|m| answer.header("allow").contains(m.as_str())), "{method} {path}");
        }
    }
}

/// Compares method names: the framework and the client have types of their own.
fn served(methods: &[actix_web::http::Method], method: &Method) -> bool {
    methods.iter().any(|m| m.as_str() == method.as_str())
}

#[tokio::test]
async fn hostile_path_parts_open_nothing_on_any_route() {
    let server = Server::start();
    let long = "a".repeat(300);
    let hostile = [
        "..%2F..%2F..%2F..%2Fetc%2Fpasswd",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "..%5c..%5cwindows",
        "%00",
        "a%00b",
        "a%0d%0aX-Evil:%201",
        "%252e%252e%252fetc",
        "a;x=1",
        "a%23b",
        "a%3fb",
        "%ff%fe",
        "%e2%80%aeevil",
        "..",
        ".",
        "%2e%2e",
        "-rf",
        "a..b",
        "x.git",
        &long,
    ];
    let has_room = |path: &str| path.replace("{kind:", "").contains('{');
    for entry in routes().iter().filter(|entry| has_room(entry.path) && !entry.methods.is_empty()) {
        let is_api = entry.path.starts_with("/api/");
        for text in hostile {
            for method in entry.methods.iter().filter(|method| is_api || method.as_str() == "GET") {
                let path = fill(entry.path, |name| (name != "kind").then(|| text.into()));
                let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n", server.admin_token);
                let body = "Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
                let answer = raw(&server, &format!("{head}{body}"));
                let status: u16 = answer.split(' ').nth(1).unwrap().parse().unwrap();
                let fine: &[u16] = match is_api {
                    // Heard and forgotten, whatever it is called.
                    true if entry.path.contains("/telemetry/") => &[200, 400, 404],
                    // For workers' own tokens.
                    true if entry.path.starts_with("/api/v1/worker/") => &[400, 403, 404],
                    true => &[400, 404, 501],
                    false => &[303, 400, 404, 501],
                };
                assert!(fine.contains(&status), "{method} {path}: {answer}");
                assert!(!answer.contains("root:") && !answer.contains("\nX-Evil"), "{method} {path}: {answer}");
            }
        }
    }
    assert!(!server.log().contains("panicked"), "no handler panicked");
    assert_eq!(server.anonymous().get("/healthz").await.status, 200);
}

#[tokio::test]
async fn ambiguous_requests_are_refused_and_the_line_is_cut() {
    let server = Server::start();
    let post = |headers: &str, body: &str| format!("POST /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n{body}");
    let forms = [
        post("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        post("Content-Length: 2\r\nContent-Length: 2", "{}"),
        post("Content-Length: 2\r\nContent-Length: 3", "{}"),
        post("Content-Length: 2,2", "{}"),
        post("Content-Length: +2", "{}"),
        post("Content-Length: -1", "{}"),
        post("Content-Length: 0x2", "{}"),
        post("Content-Length: 18446744073709551616", "{}"),
        post("Transfer-Encoding: xchunked", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked, identity", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
        post("Content-Length : 2", "{}"),
        post("X-A: b\r\n folded: c", ""),
        "GET /healthz HTTP/1.1\r\n\r\n".into(),
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n".into(),
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: \0\r\n\r\n".into(),
    ];
    for form in forms {
        let second = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let answer = raw(&server, &format!("{form}{second}"));
        assert!(answer.starts_with("HTTP/1.1 400"), "{form:?} was answered {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "what follows is not a request: {form:?}");
    }
}

/// Sends bytes as they are and reads until the server closes.
fn raw(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.authority()).unwrap();
    stream.set_read_timeout(Some(STUCK_AFTER)).unwrap();
    // A server that has refused may close before all is written.
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn bodies_are_bounded_plain_json() {
    let server = Server::start();
    let api = server.admin();
    let send = async |body: Vec<u8>, kind: &str, encoding: &str| {
        let request = api.request(Method::POST, "/api/v1/tokens").header("content-type", kind).body(body);
        Reply::of(if encoding.is_empty() { request } else { request.header("content-encoding", encoding) }).await
    };
    let json = "application/json";
    send(b"{\"name\":\"x\"}".to_vec(), json, "gzip").await.problem(415, "encoded_body");
    send(b"{\"name\":\"x\"}".to_vec(), "text/plain", "").await.problem(415, "not_json");
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{\"name\":\"a\",\"name\":\"b\"}",
        "{\"name\":\"a\",\"surprise\":1}",
        "{\"name\":\"a\",\"expires_in_days\":1e400}",
    ] {
        send(body.as_bytes().to_vec(), json, "").await.problem(400, "bad_json");
    }
    send(format!("{{\"name\":{}", "[".repeat(200_000)).into_bytes(), json, "").await.problem(400, "bad_json");
    send(vec![b' '; 9 << 20], json, "").await.problem(413, "too_large");
}

#[tokio::test]
async fn another_sites_form_is_refused() {
    let server = Server::start();
    let post = |name: &'static str, value: String| server.anonymous().request(Method::POST, "/login").header(name, value);
    for request in [
        post("origin", "https://evil.example".into()),
        post("origin", "null".into()),
        post("sec-fetch-site", "cross-site".into()),
        post("sec-fetch-site", "same-site".into()),
    ] {
        Reply::of(request).await.problem(403, "cross_site");
    }
    let own = Reply::of(post("origin", server.url.clone())).await;
    assert_ne!(own.status, 403, "{}", own.text());
}

/// The processes whose parent is `pid`.
fn children(pid: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.parse::<u32>().ok());
    let parent = |process: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    processes.filter(|process| parent(*process) == Some(pid)).collect()
}

#[test]
fn a_worker_is_kept_alive_without_tokens_and_goes_with_the_server() {
    let environment = [("HUB_TOKEN", "hub_a_secret_of_the_shell"), ("AWS_SECRET_ACCESS_KEY", "another"), ("HUB_LOG", "info")];
    let server = Server::start_with(&["--workers", "1"], &environment);
    let worker_of = |server: &Server| {
        let pid = server.pid();
        eventually("the worker has begun", move || {
            let process = *children(pid).first()?;
            let environment = std::fs::read_to_string(format!("/proc/{process}/environ")).ok()?;
            let command = std::fs::read_to_string(format!("/proc/{process}/cmdline")).ok()?;
            command.contains("\0worker\0").then_some((process, environment))
        })
    };
    let (first, environment) = worker_of(&server);
    assert!(environment.contains("HUB_DATA=") && environment.contains("PATH="), "{environment:?}");
    assert!(!environment.contains("HUB_TOKEN") && !environment.contains("SECRET"), "{environment:?}");
    crate::support::signal(first, libc::SIGKILL);
    let pid = server.pid();
    let second = eventually("another worker is started", move || children(pid).into_iter().find(|process| *process != first));
    let gone = move || (!std::path::Path::new(&format!("/proc/{second}")).exists()).then_some(());
    assert_eq!(server.stop(), Some(0));
    eventually("the worker ends", gone);
}

#[test]
fn a_worker_does_not_outlive_a_server_that_was_killed() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let pid = server.pid();
    // Only once it has set up its limits does the kernel know that it shall go with its parent.
    let worker = eventually("the worker has begun", move || {
        let process = *children(pid).first()?;
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        status.contains("Threads:").then_some(process)
    });
    eventually("the worker has set its limits", || server.log().contains("worker").then_some(()));
    let _directory = server.kill();
    eventually("the worker goes with its server", move || (!std::path::Path::new(&format!("/proc/{worker}")).exists()).then_some(()));
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let server = Server::start();
    let second = hub(server.data()).args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(server.data()).assert();
    let second = second.code(1);
    let text = String::from_utf8_lossy(&second.get_output().stderr).into_owned();
    assert!(text.contains("already serving") && text.contains("hint:"), "{text}");
}

#[test]
fn a_damaged_database_is_named_and_not_served() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_on(data.path(), &["--workers", "0"], &[]);
    assert_eq!(server.stop(), Some(0));
    let file = data.path().join("hub.db");
    // What the log still holds goes into the file first, so that there is a page to tear.
    rusqlite::Connection::open(&file).unwrap().execute_batch("pragma wal_checkpoint(truncate)").unwrap();
    let whole = std::fs::read(&file).unwrap();
    let mut torn = whole.clone();
    torn[8192..12288].fill(0);
    for damaged in [vec![7u8; 65_536], torn] {
        std::fs::write(&file, &damaged).unwrap();
        let outcome = hub(data.path()).args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data.path()).assert().code(5);
        let text = String::from_utf8_lossy(&outcome.get_output().stderr).into_owned();
        assert!(text.contains("damaged") && text.contains("backup"), "{text}");
    }
    std::fs::write(&file, &whole).unwrap();
    assert_eq!(Server::start_on(data.path(), &["--workers", "0"], &[]).stop(), Some(0));
}

#[test]
fn a_taken_port_and_a_wrong_setting_say_what_to_do() {
    let server = Server::start();
    let data = tempfile::tempdir().unwrap();
    let outcome = hub(data.path()).args(["serve", "--listen", server.authority()]).assert().code(1);
    let text = String::from_utf8_lossy(&outcome.get_output().stderr).into_owned();
    assert!(text.contains("cannot listen") && text.contains("hint:"), "{text}");
    let outcome = hub(data.path()).env("HUB_WORKERS", "many").arg("serve").assert().code(2);
    let text = String::from_utf8_lossy(&outcome.get_output().stderr).into_owned();
    assert!(text.contains("'workers' (environment) is 'many'"), "{text}");
}

#[tokio::test]
async fn secrets_do_not_reach_the_log() {
    let server = Server::start_with(&["--workers", "0", "--log", "trace", "--log-format", "json"], &[]);
    let api = server.user("ada").await;
    api.get("/api/v1/whoami?token=hub_query_secret").await.ok();
    server.with_token("hub_wrong_secret").get("/api/v1/whoami").await.problem(401, "bad_token");
    let cookie = api.request(Method::GET, "/api/v1/whoami").header("cookie", "hub=hub_cookie_secret");
    Reply::of(cookie).await.ok();
    raw(&server, "GET /api/v1/\u{1b}[31mred HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let log = server.log();
    let after_start = log.split("listening on").nth(1).unwrap();
    assert!(after_start.contains("/api/v1/whoami"), "requests are logged");
    for secret in ["query_secret", "wrong_secret", "cookie_secret", api.token.as_str(), server.admin_token.as_str()] {
        assert!(!after_start.contains(secret), "{secret} is in the log");
    }
    assert!(!after_start.contains('\u{1b}'));
}

#[tokio::test]
async fn nobody_else_on_the_machine_reads_what_it_keeps() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let server = Server::start_on(&data, &["--workers", "1"], &[]);
    let ada = server.user("ada").await;
    crate::support::publishing::create_repo(&ada, "model", "ada/net").await;
    crate::support::publishing::publish(&ada, "models/ada/net", None, &[("README.md", b"# x")]).await.created();
    let open = || -> Vec<String> {
        let all = walkdir::WalkDir::new(&data).into_iter().filter_map(Result::ok);
        let modes = all.filter_map(|entry| Some((entry.metadata().ok()?.permissions().mode() & 0o777, entry.path().to_owned())));
        modes.filter(|(mode, _)| mode & 0o077 != 0).map(|(mode, path)| format!("{mode:o} {}", path.display())).collect()
    };
    assert_eq!(open(), [""; 0]);
    let backup = dir.path().join("backup");
    hub(dir.path()).args(["admin", "--data"]).arg(&data).arg("backup").arg(&backup).assert().success();
    let modes: Vec<u32> = walkdir::WalkDir::new(&backup)
        .into_iter()
        .map(|entry| entry.unwrap().metadata().unwrap().permissions().mode() & 0o077)
        .filter(|mode| *mode != 0)
        .collect();
    assert_eq!(modes, [0; 0]);
    assert_eq!(server.stop(), Some(0));
    // What an earlier hub left open is closed, and said.
    for entry in walkdir::WalkDir::new(&data).into_iter().map(Result::unwrap) {
        let mode = if entry.file_type().is_dir() { 0o755 } else { 0o644 };
        std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let server = Server::start_on(&data, &["--workers", "0"], &[]);
    assert_eq!(open(), [""; 0]);
    assert!(server.log().contains("for this user alone now"), "{}", server.log());
}

#[tokio::test]
async fn a_server_that_others_can_reach_knows_its_name_or_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut command = hub(dir.path());
    command.args(["serve", "--workers", "0", "--listen", "0.0.0.0:0", "--data"]).arg(&data);
    let refused = command.assert().failure().get_output().stderr.clone();
    let said = String::from_utf8(refused).unwrap();
    assert!(said.contains("does not know under which name") && said.contains("HUB_PUBLIC_URL"), "{said}");
    assert!(!data.exists(), "nothing was begun");
    // As the image is set up.
    let server = Server::start_at("0.0.0.0:0", &data, &["--workers", "0"], &[("HUB_TRUSTED_HOSTS", "localhost")]);
    let port = server.authority().rsplit_once(':').unwrap().1.to_owned();
    let here = format!("http://127.0.0.1:{port}");
    let status = async |host: &str| {
        crate::support::http().get(format!("{here}/readyz")).header("host", host).send().await.unwrap().status().as_u16()
    };
    assert_eq!((status("localhost:8080").await, status("127.0.0.1").await, status("evil.test").await), (200, 200, 421));
}
