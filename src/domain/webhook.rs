//! Webhooks: addresses that are told what happens, and what each was told.

use super::id::{AccountId, DeliveryId, RepoKey, TokenId, WebhookId};
use super::time::Timestamp;

/// What a webhook may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WebhookEvent {
    JobStarted,
    JobSucceeded,
    JobFailed,
    JobCancelled,
    VersionPublished,
    DiscussionOpened,
    /// Sent because its owner wants to see whether it arrives.
    Test,
}
super::user::words!(
    WebhookEvent,
    JobStarted = "job.started",
    JobSucceeded = "job.succeeded",
    JobFailed = "job.failed",
    JobCancelled = "job.cancelled",
    VersionPublished = "version.published",
    DiscussionOpened = "discussion.opened",
    Test = "webhook.test"
);

impl WebhookEvent {
    /// Those that may be asked for.
    pub const ALL: [WebhookEvent; 6] = [
        WebhookEvent::JobStarted,
        WebhookEvent::JobSucceeded,
        WebhookEvent::JobFailed,
        WebhookEvent::JobCancelled,
        WebhookEvent::VersionPublished,
        WebhookEvent::DiscussionOpened,
    ];

    /// One that may be asked for, by its word.
    pub fn find(word: &str) -> Option<WebhookEvent> {
        WebhookEvent::ALL.into_iter().find(|event| event.as_str() == word)
    }
}

/// An address that somebody wants to be told at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    pub id: WebhookId,
    pub owner: AccountId,
    /// It ends with this token.
    pub token: TokenId,
    pub url: String,
    pub events: Vec<WebhookEvent>,
    /// Only what is about this repo; else the owner's jobs, and repos of namespaces that are theirs.
    pub repo: Option<RepoKey>,
    pub created: Timestamp,
    /// Why it is off.
    pub disabled: Option<String>,
    /// Attempts that failed, one after the other, since the last that did not.
    pub failures: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// Not told yet; tried again where it failed.
    Waiting,
    Delivered,
    /// Given up.
    Failed,
    /// Not to be told any more: the webhook was switched off, or its owner may not know it any more.
    Dropped,
}
super::user::words!(DeliveryState, Waiting = "waiting", Delivered = "delivered", Failed = "failed", Dropped = "dropped");

/// Something a webhook is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub event: WebhookEvent,
    pub created: Timestamp,
    pub state: DeliveryState,
    pub attempts: u64,
    /// While it waits.
    pub next_attempt: Timestamp,
    /// Of the last answer.
    pub status: Option<u16>,
    /// The beginning of the last answer, or why there was none.
    pub answer: String,
    pub ended: Option<Timestamp>,
}

/// Waits before further attempts, in seconds: after the last one it is given up, three days and three hours after the event. The schedule is the
/// one that Standard Webhooks gives as its example.
const RETRY_AFTER_S: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// When to try again after so many attempts that failed.
pub fn next_attempt(attempts: u64, now: Timestamp) -> Option<Timestamp> {
    let after = usize::try_from(attempts).ok()?.checked_sub(1)?;
    RETRY_AFTER_S.get(after).map(|seconds| now.plus_ms(seconds * 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_go_on_for_three_days() {
        let now = Timestamp::from_unix_ms(0);
        assert_eq!(next_attempt(1, now), Some(Timestamp::from_unix_ms(5_000)));
        let total: i64 = (1..).map_while(|attempts| next_attempt(attempts, now)).map(Timestamp::unix_ms).sum();
        assert_eq!(total / 3_600_000, 75);
        assert_eq!((next_attempt(10, now), next_attempt(0, now)), (None, None));
    }

    #[test]
    fn a_test_is_no_event_to_ask_for() {
        assert_eq!(WebhookEvent::find("job.failed"), Some(WebhookEvent::JobFailed));
        assert_eq!(WebhookEvent::find("webhook.test"), None);
        assert!(WebhookEvent::ALL.iter().all(|event| WebhookEvent::parse(event.as_str()) == Some(*event)));
    }
}
