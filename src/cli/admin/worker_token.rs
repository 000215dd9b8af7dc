//! `hub admin worker-token`: secrets of machines that work on jobs over HTTP (`hub worker --hub URL`).

use clap::Subcommand;
use serde_json::json;

use super::super::output::table;
use super::super::{Output, Result};
use crate::app::Administration;
use crate::wire::List;
use crate::wire::worker as wire;

#[derive(Debug, Subcommand)]
pub(super) enum WorkerTokenCommand {
    /// Make a token for a machine or a cluster and print its secret; it is good for the jobs it works on, and for nothing else
    Create {
        /// Which machine, or which cluster
        name: String,
        /// Days until it expires [default: never]
        #[arg(long)]
        days: Option<u32>,
    },
    /// List them
    List,
    /// End one, by its name or its id, at once
    Revoke { token: String },
}

pub(super) async fn run(house: &Administration, command: WorkerTokenCommand) -> Result<Output> {
    match command {
        WorkerTokenCommand::Create { name, days } => {
            let (token, secret) = house.create_worker_token(&name, days).await?;
            let human = format!(
                "made the worker token '{}' ({})\n\n    {secret}\n\nwhich is not shown again; keep it in a file: hub worker --hub URL --token-file FILE",
                token.name, token.id
            );
            let json = json!(wire::CreatedWorkerToken { token: token.into(), secret: secret.clone() });
            Ok(Output::new(human, json, secret))
        }
        WorkerTokenCommand::List => {
            let items: Vec<wire::WorkerToken> = house.list_worker_tokens().await?.into_iter().map(wire::WorkerToken::from).collect();
            let none = || "-".to_owned();
            let row = |token: &wire::WorkerToken| {
                let (expires, used) = (token.expires.clone().unwrap_or_else(none), token.last_used.clone().unwrap_or_else(none));
                vec![token.id.clone(), token.name.clone(), token.created.clone(), expires, used]
            };
            let rows: Vec<Vec<String>> = items.iter().map(row).collect();
            let quiet = items.iter().map(|token| token.id.clone()).collect::<Vec<_>>().join("\n");
            let human = table(&["ID", "NAME", "CREATED", "EXPIRES", "LAST USED"], &rows);
            Ok(Output::new(human, json!(List { items, next: None }), quiet))
        }
        WorkerTokenCommand::Revoke { token } => {
            house.revoke_worker_token(&token).await?;
            Ok(Output::new(format!("ended the worker token '{token}'"), json!({ "revoked": token }), token))
        }
    }
}
