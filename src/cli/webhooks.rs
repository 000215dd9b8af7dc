//! `hub webhooks`: addresses that are told what happens.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::output::{CliError, Output, Result};
use super::remote::Remote;
use super::table::{facts, minute, table};
use crate::client::Client;
use crate::domain::id::WebhookId;
use crate::domain::webhook::WebhookEvent;
use crate::wire::webhooks::{CreateWebhook, Delivery, Webhook};

/// Looks for what became of a test.
const LOOKS: usize = 40;
const PAUSE: Duration = Duration::from_millis(500);

/// Have addresses told what happens, signed as Standard Webhooks has it
#[derive(Debug, Args)]
pub struct Webhooks {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Have an address told; prints the secret that its messages are signed with, this once
    ///
    /// It ends with the token that made it.
    Add {
        url: String,
        /// What to tell; several times for several [default: all]
        #[arg(long = "event", value_name = "EVENT", value_parser = WebhookEvent::ALL.map(WebhookEvent::as_str))]
        events: Vec<String>,
        /// Only what is about this repo [default: your jobs and the repos of your namespaces]
        #[arg(long, value_name = "NAMESPACE/NAME")]
        repo: Option<String>,
        /// That repo is a data set
        #[arg(long, requires = "repo")]
        dataset: bool,
    },
    /// List your webhooks
    List,
    /// Take one away
    Remove { id: String },
    /// Tell one something that means nothing, and say what was answered
    Test { id: String },
    /// List what one was told, and what was answered
    Deliveries { id: String },
    /// Give one a new secret; the one before signs beside it for a day
    Rotate { id: String },
    /// Switch one on again that was switched off
    Enable { id: String },
}

impl Webhooks {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let client = remote.client()?;
        match self.command {
            Command::Add { url, events, repo, dataset } => {
                let repo_kind = dataset.then(|| "dataset".to_owned());
                let made = client.create_webhook(&CreateWebhook { url, events, repo, repo_kind }).await?;
                let human = facts(&[
                    ("webhook", made.webhook.id.clone()),
                    ("told", made.webhook.events.join(", ")),
                    ("secret", format!("{} (shown this once)", made.secret)),
                ]);
                let quiet = made.secret.clone();
                Ok(Output::new(human, json!(made), quiet))
            }
            Command::List => list(&client.webhooks().await?.items),
            Command::Remove { id } => {
                client.remove_webhook(&checked(&id)?).await?;
                Ok(Output::new(format!("Webhook {id} is gone"), json!({ "id": id }), id))
            }
            Command::Test { id } => test(&client, &checked(&id)?).await,
            Command::Deliveries { id } => deliveries(&client.webhook_deliveries(&checked(&id)?).await?.items),
            Command::Rotate { id } => {
                let made = client.rotate_webhook(&checked(&id)?).await?;
                let human = format!("{}\nThe secret before it signs beside it for a day.", made.secret);
                Ok(Output::new(human, json!(made), made.secret.clone()))
            }
            Command::Enable { id } => {
                let webhook = client.enable_webhook(&checked(&id)?).await?;
                Ok(Output::new(format!("Webhook {id} is on"), json!(webhook), id))
            }
        }
    }
}

fn checked(id: &str) -> Result<String> {
    WebhookId::parse(id).map_err(|e| CliError::usage(format!("'{id}': {e}"), "`hub webhooks list` shows the ids"))?;
    Ok(id.to_owned())
}

fn list(webhooks: &[Webhook]) -> Result<Output> {
    let about = |webhook: &Webhook| match (&webhook.repo, webhook.one_repo) {
        (Some(repo), _) => repo.clone(),
        (None, true) => "a repo that you do not see".into(),
        (None, false) => "all of yours".into(),
    };
    let state = |webhook: &Webhook| webhook.disabled.as_ref().map_or_else(|| "on".to_owned(), |why| format!("off: {why}"));
    let row = |webhook: &Webhook| vec![webhook.id.clone(), webhook.url.clone(), about(webhook), webhook.events.join(" "), state(webhook)];
    let rows: Vec<_> = webhooks.iter().map(row).collect();
    let human = if rows.is_empty() {
        "No webhooks yet; `hub webhooks add URL` makes one".into()
    } else {
        table(&["id", "address", "about", "told", "state"], &rows)
    };
    let ids: Vec<_> = webhooks.iter().map(|webhook| webhook.id.clone()).collect();
    Ok(Output::new(human, json!(webhooks), ids.join("\n")))
}

/// In a line: what was answered, or why nothing was.
fn outcome(delivery: &Delivery) -> String {
    let status = delivery.status.map(|status| status.to_string()).unwrap_or_default();
    let answer = delivery.answer.lines().next().unwrap_or_default();
    [status.as_str(), answer].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" ")
}

fn deliveries(told: &[Delivery]) -> Result<Output> {
    let row = |delivery: &Delivery| {
        vec![
            delivery.id.clone(),
            delivery.event.clone(),
            minute(&delivery.created),
            delivery.state.clone(),
            delivery.attempts.to_string(),
            outcome(delivery),
        ]
    };
    let rows: Vec<_> = told.iter().map(row).collect();
    let human =
        if rows.is_empty() { "It was told nothing yet".into() } else { table(&["id", "event", "at", "state", ">tries", "answer"], &rows) };
    let ids: Vec<_> = told.iter().map(|delivery| delivery.id.clone()).collect();
    Ok(Output::new(human, json!(told), ids.join("\n")))
}

/// Waits for the first attempt.
async fn test(client: &Client, id: &str) -> Result<Output> {
    let sent = client.test_webhook(id).await?;
    for _ in 0..LOOKS {
        tokio::time::sleep(PAUSE).await;
        let told = client.webhook_deliveries(id).await?.items;
        let Some(now) = told.into_iter().find(|delivery| delivery.id == sent.id) else { break };
        if now.state == "delivered" {
            return Ok(Output::new(format!("It arrived and was answered with {}", outcome(&now)), json!(now), now.state.clone()));
        }
        if now.attempts > 0 || now.state != "waiting" {
            let failed = CliError::failed(
                format!("it was not taken: {}", outcome(&now)),
                "it is tried again by itself; see `hub webhooks deliveries`",
            );
            return Ok(Output::new("", json!(now), now.state.clone()).but(failed));
        }
    }
    Err(CliError::failed("nothing was sent so far", "look later with `hub webhooks deliveries`"))
}
