//! Kubernetes, by four calls of its API on `batch/v1` Jobs: list, create, delete, and what an answer says. A job of the hub is a Job with one
//! pod that tries once: what failed or was evicted is handed over again by the next look, under another name.
//!
//! With a queue of Kueue's (`kueue.x-k8s.io/queue-name`) a Job begins suspended and Kueue admits it by its requests.
//!
//! The calls are made by the HTTP client this program has: four of them do not earn the client library of a whole API.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::engine::{Engine, Error, Launch, Result, Task, There, Usual};

const PATIENCE: Duration = Duration::from_secs(30);
/// A pod that is deleted has so long to store what it has.
const SECONDS_TO_STOP: u64 = 60;
/// Jobs that have ended are there so long, for people.
const KEPT_SECONDS: u64 = 3_600;
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const MANAGER: &str = "hub-dispatch";
const PLACE: &str = "backbone-hub/place";
const JOB: &str = "backbone-hub/job";
/// What the device plugin of NVIDIA calls a card.
const GPU: &str = "nvidia.com/gpu";
const QUEUE: &str = "kueue.x-k8s.io/queue-name";
/// Jobs in one answer of a list.
const AT_ONCE: usize = 500;
/// Of one answer.
const LARGEST_ANSWER: usize = 64 << 20;
/// Where the token of workers is mounted, and where they work.
const TOKEN_FOLDER: &str = "/var/run/secrets/hub";
const WORK_FOLDER: &str = "/work";

/// How jobs are handed to Kubernetes.
#[derive(Debug, Clone)]
pub struct KubernetesOptions {
    /// The dispatcher's name for the cluster.
    pub place: String,
    /// `https://10.96.0.1:443`
    pub server: String,
    /// Of the service account that may list, create and delete Jobs.
    pub token: Option<String>,
    /// The certificate of the API server, PEM.
    pub ca: Option<Vec<u8>>,
    pub namespace: String,
    pub image: String,
    /// The Secret with the worker's token under the key `token`.
    pub secret: String,
    /// Kueue's.
    pub queue: Option<String>,
    pub hub: String,
    pub insecure: bool,
    pub usual: Usual,
}

pub struct Kubernetes {
    http: reqwest::Client,
    options: KubernetesOptions,
}

impl Kubernetes {
    /// Connects to nothing yet.
    pub fn new(options: KubernetesOptions) -> Result<Kubernetes> {
        let failed = |e: reqwest::Error| Error::Engine(format!("no connection to Kubernetes can be made: {e}"));
        let builder = reqwest::Client::builder().user_agent(concat!("hub/", env!("CARGO_PKG_VERSION"))).timeout(PATIENCE).no_proxy();
        let builder = builder.redirect(reqwest::redirect::Policy::none());
        let builder = match &options.ca {
            Some(pem) => builder.tls_certs_only([reqwest::Certificate::from_pem(pem).map_err(failed)?]),
            // Plain http to a proxy of kubectl's needs none.
            None if options.server.starts_with("http://") => builder.tls_certs_only([]),
            None => builder,
        };
        Ok(Kubernetes { http: builder.build().map_err(failed)?, options })
    }

    fn at(&self, rest: &str) -> String {
        let (server, namespace) = (self.options.server.trim_end_matches('/'), &self.options.namespace);
        format!("{server}/apis/batch/v1/namespaces/{namespace}/jobs{rest}")
    }

    async fn call(&self, method: Method, address: String, body: Option<&Value>) -> Result<(StatusCode, Value)> {
        let failed = |e: reqwest::Error| Error::Engine(format!("Kubernetes: {e}"));
        let mut request = self.http.request(method, address);
        if let Some(token) = &self.options.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(failed)?;
        let (status, mut text) = (response.status(), Vec::new());
        while let Some(some) = response.chunk().await.map_err(failed)? {
            if text.len() + some.len() > LARGEST_ANSWER {
                return Err(Error::Engine("Kubernetes: its answer does not end".into()));
            }
            text.extend_from_slice(&some);
        }
        Ok((status, serde_json::from_slice(&text).unwrap_or_default()))
    }

    fn manifest(&self, task: &Task) -> Value {
        let (options, usual) = (&self.options, &self.options.usual);
        let (cpus, memory) = (task.needs.cpus(usual), task.needs.memory_bytes(usual).div_ceil(1 << 20));
        let launch = Launch {
            program: "hub".into(),
            hub: options.hub.clone(),
            token_file: Path::new(TOKEN_FOLDER).join("token"),
            folder: Some(WORK_FOLDER.into()),
            insecure: options.insecure,
        };
        let mut command = launch.words(cpus, task.follows);
        command.push(task.job.clone());
        let mut labels = json!({ MANAGED_BY: MANAGER, PLACE: options.place, JOB: task.job });
        if let Some(queue) = &options.queue {
            labels[QUEUE] = json!(queue);
        }
        let asked = json!({ "cpu": cpus.to_string(), "memory": format!("{memory}Mi") });
        let mut limits = json!({ "memory": format!("{memory}Mi") });
        let mut variables = json!([{ "name": "HOME", "value": WORK_FOLDER }]);
        let gpus = task.needs.gpus(usual);
        if gpus > 0 {
            limits[GPU] = json!(gpus.to_string());
            variables = json!([{ "name": "HOME", "value": WORK_FOLDER }, { "name": "HUB_DEVICE", "value": "auto" }]);
        }
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": { "name": name_of(task), "namespace": options.namespace, "labels": labels },
            "spec": {
                "suspend": options.queue.is_some(),
                "backoffLimit": 0,
                "activeDeadlineSeconds": task.needs.minutes(usual).saturating_mul(60),
                "ttlSecondsAfterFinished": KEPT_SECONDS,
                "template": {
                    "metadata": { "labels": labels },
                    "spec": {
                        "restartPolicy": "Never",
                        "terminationGracePeriodSeconds": SECONDS_TO_STOP,
                        "automountServiceAccountToken": false,
                        "containers": [{
                            "name": "worker",
                            "image": options.image,
                            "command": command,
                            "env": variables,
                            "resources": { "requests": asked, "limits": limits },
                            "volumeMounts": [
                                { "name": "token", "mountPath": TOKEN_FOLDER, "readOnly": true },
                                { "name": "work", "mountPath": WORK_FOLDER },
                            ],
                        }],
                        "volumes": [
                            { "name": "token", "secret": { "secretName": options.secret } },
                            { "name": "work", "emptyDir": {} },
                        ],
                    },
                },
            },
        })
    }
}

/// Each time another one: a Job that ended keeps its name for a while.
fn name_of(task: &Task) -> String {
    format!("hub-{}-{}", task.job, task.times + 1)
}

/// Neither complete nor failed nor on its way out.
fn is_alive(job: &Value) -> bool {
    let ended = |condition: &Value| {
        ["Complete", "Failed"].contains(&condition["type"].as_str().unwrap_or_default()) && condition["status"] == json!("True")
    };
    let going = !job["metadata"]["deletionTimestamp"].is_null();
    !going && !job["status"]["conditions"].as_array().is_some_and(|all| all.iter().any(ended))
}

fn refusal(what: &str, status: StatusCode, answer: &Value) -> Error {
    let said: String = answer["message"].as_str().unwrap_or_default().chars().take(500).collect();
    Error::Engine(format!("Kubernetes does not {what} (status {}): {said}", status.as_u16()))
}

#[async_trait]
impl Engine for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    async fn there(&self) -> Result<There> {
        let (mut there, mut more) = (There::default(), String::new());
        loop {
            let mut address = reqwest::Url::parse(&self.at("")).map_err(|e| Error::Engine(format!("Kubernetes' address: {e}")))?;
            let labels = format!("{MANAGED_BY}={MANAGER},{PLACE}={}", self.options.place);
            address.query_pairs_mut().append_pair("labelSelector", &labels).append_pair("limit", &AT_ONCE.to_string());
            if !more.is_empty() {
                address.query_pairs_mut().append_pair("continue", &more);
            }
            let (status, answer) = self.call(Method::GET, address.into(), None).await?;
            if !status.is_success() {
                return Err(refusal("list Jobs", status, &answer));
            }
            let items = answer["items"].as_array().ok_or_else(|| refusal("list Jobs", status, &answer))?;
            there
                .numbers
                .extend(items.iter().filter(|job| is_alive(job)).filter_map(|job| job["metadata"]["name"].as_str().map(str::to_owned)));
            match answer["metadata"]["continue"].as_str() {
                Some(next) if !next.is_empty() && next != more => more = next.to_owned(),
                _ => return Ok(there),
            }
        }
    }

    async fn submit(&self, tasks: &[Task]) -> Result<Vec<String>> {
        let mut names = Vec::with_capacity(tasks.len());
        for task in tasks {
            let (status, answer) = self.call(Method::POST, self.at(""), Some(&self.manifest(task))).await?;
            // One of this name was made by a look whose word did not reach the hub.
            if !status.is_success() && status != StatusCode::CONFLICT {
                return Err(refusal("take a Job", status, &answer));
            }
            names.push(name_of(task));
        }
        Ok(names)
    }

    async fn cancel(&self, numbers: &[String]) -> Result<()> {
        for name in numbers {
            let address = self.at(&format!("/{name}?propagationPolicy=Background"));
            let (status, answer) = self.call(Method::DELETE, address, None).await?;
            if !status.is_success() && status != StatusCode::NOT_FOUND {
                return Err(refusal("delete a Job", status, &answer));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::engine::Needs;
    use super::*;

    fn kubernetes(queue: Option<&str>) -> Kubernetes {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let usual = Usual { cpus: 2, memory_bytes: 1 << 30, minutes: 60, gpus: 0, gpus_from_minutes: 30 };
        let text = str::to_owned;
        Kubernetes::new(KubernetesOptions {
            place: text("main"),
            server: text("http://127.0.0.1:1/"),
            token: None,
            ca: None,
            namespace: text("hub"),
            image: text("hub:0.1"),
            secret: text("hub-worker"),
            queue: queue.map(text),
            hub: text("http://hub:8080"),
            insecure: true,
            usual,
        })
        .unwrap()
    }

    #[test]
    fn a_job_is_a_job_with_one_try() {
        let needs = Needs { cpus: 4, memory_bytes: Some(1 << 30), slowest_seconds: None };
        let task = Task { job: "01jx".into(), needs, parent: None, times: 1, follows: false };
        let made = kubernetes(None).manifest(&task);
        assert_eq!(
            (&made["apiVersion"], &made["kind"], &made["metadata"]["name"]),
            (&json!("batch/v1"), &json!("Job"), &json!("hub-01jx-2"))
        );
        assert_eq!((&made["spec"]["backoffLimit"], &made["spec"]["suspend"]), (&json!(0), &json!(false)));
        let container = &made["spec"]["template"]["spec"]["containers"][0];
        let command: Vec<&str> = container["command"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!((command[0], command[command.len() - 2], command[command.len() - 1]), ("hub", "--job", "01jx"));
        assert_eq!(container["resources"]["requests"], json!({ "cpu": "4", "memory": "1536Mi" }));
        assert_eq!(made["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"], "hub-worker");
        let queued = kubernetes(Some("training")).manifest(&task);
        assert_eq!((&queued["spec"]["suspend"], &queued["metadata"]["labels"][QUEUE]), (&json!(true), &json!("training")));
    }

    #[test]
    fn what_has_ended_or_goes_is_not_alive() {
        let job = |conditions: Value| json!({ "metadata": { "name": "x" }, "status": { "conditions": conditions } });
        assert!(is_alive(&json!({ "metadata": { "name": "x" }, "status": {} })));
        assert!(is_alive(&job(json!([{ "type": "Suspended", "status": "True" }, { "type": "Failed", "status": "False" }]))));
        assert!(!is_alive(&job(json!([{ "type": "Failed", "status": "True" }]))));
        assert!(!is_alive(&job(json!([{ "type": "Complete", "status": "True" }]))));
        assert!(!is_alive(&json!({ "metadata": { "name": "x", "deletionTimestamp": "2026-01-01T00:00:00Z" } })));
    }
}
