//! Webhooks and what they were told.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::name::{RepoId, RepoKind};
use crate::domain::webhook as domain;

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWebhook {
    /// An http or https address. It must lead into the open internet, or into a network that the server's administrator allowed.
    pub url: String,
    /// `job.started`, `job.succeeded`, `job.failed`, `job.cancelled`, `version.published`, `discussion.opened`; none: all of them.
    #[serde(default)]
    pub events: Vec<String>,
    /// Only what is about this repo, `namespace/name`. Without one: your jobs, and the repos of your namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Of what kind it is: `model` (default) or `dataset`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_kind: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    pub id: String,
    pub url: String,
    pub events: Vec<String>,
    /// The one repo it is about, as it is called now; absent where you may not see it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_kind: Option<String>,
    /// Whether it is told about one repo only.
    pub one_repo: bool,
    pub created: String,
    /// Why it is off; absent while it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<String>,
    /// Attempts that failed since the last that did not.
    pub failures: u64,
}

/// The secret is in no other answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedWebhook {
    #[serde(flatten)]
    pub webhook: Webhook,
    /// `whsec_...`, as libraries of Standard Webhooks take it.
    pub secret: String,
}

/// A new secret; the one before signs beside it for a day.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WebhookSecret {
    pub secret: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// The header `webhook-id` of each attempt.
    pub id: String,
    pub event: String,
    pub created: String,
    /// `waiting`, `delivered`, `failed` (given up) or `dropped` (not to be told any more)
    pub state: String,
    pub attempts: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<String>,
    /// Of the last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The beginning of the last answer, or why there was none.
    #[serde(default)]
    pub answer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

impl Webhook {
    pub fn new(webhook: domain::Webhook, repo: Option<(RepoKind, RepoId)>) -> Webhook {
        Webhook {
            id: webhook.id.to_string(),
            url: webhook.url,
            events: webhook.events.iter().map(ToString::to_string).collect(),
            one_repo: webhook.repo.is_some(),
            repo_kind: repo.as_ref().map(|(kind, _)| kind.to_string()),
            repo: repo.map(|(_, id)| id.to_string()),
            created: webhook.created.to_string(),
            disabled: webhook.disabled,
            failures: webhook.failures,
        }
    }
}

impl From<domain::Delivery> for Delivery {
    fn from(delivery: domain::Delivery) -> Delivery {
        let waits = delivery.state == domain::DeliveryState::Waiting;
        Delivery {
            id: delivery.id.to_string(),
            event: delivery.event.to_string(),
            created: delivery.created.to_string(),
            state: delivery.state.to_string(),
            attempts: delivery.attempts,
            next_attempt: waits.then(|| delivery.next_attempt.to_string()),
            status: delivery.status,
            answer: delivery.answer,
            ended: delivery.ended.map(|time| time.to_string()),
        }
    }
}
