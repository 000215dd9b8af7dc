//! `hub login`, `logout`, `whoami`.

use std::io::{self, BufRead, IsTerminal};

use clap::Args;
use serde_json::json;

use super::output::{CliError, Output, Result};
use super::remote::Remote;
use super::table::facts;
use crate::config::Source;

/// Keep a token for the server
///
/// Reads the token from --token, from a pipe (`hub login < token`) or from a prompt that does not show it,
/// asks the server whose it is, and keeps it in a file only you can read.
#[derive(Debug, Args)]
#[command(after_help = "Example: hub login --server https://hub.example.com")]
pub struct Login {}

/// Forget the token for the server
#[derive(Debug, Args)]
pub struct Logout {}

/// Say who the server takes you for
#[derive(Debug, Args)]
pub struct Whoami {}

impl Login {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let address = remote.address()?;
        let token = match &remote.config.token {
            Some(token) if remote.config.source("token") == Source::Flag => token.clone(),
            _ => read_token(&address.to_string())?,
        };
        let me = remote.client_with(address.clone(), Some(token.clone()))?.whoami().await?;
        let credentials = remote.credentials()?;
        credentials.keep(&address, &me.name, token.trim())?;
        if remote.config.source("token") == Source::Environment {
            remote.reporter.note("HUB_TOKEN is set and goes before the token just kept");
        }
        let human = format!("Logged in to {address} as {}; the token is kept in {}", me.name, credentials.path().display());
        Ok(Output::new(human, json!({"server": address.to_string(), "user": me.name, "scope": me.scope}), me.name))
    }
}

fn read_token(server: &str) -> Result<String> {
    let failed = |e: io::Error| CliError::new(1, "token", format!("cannot read the token: {e}"), "pass it with --token");
    let text = if io::stdin().is_terminal() {
        super::output::note(&format!("Token for {server} (it is not shown):"));
        console::Term::stderr().read_secure_line().map_err(failed)?
    } else {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map_err(failed)?;
        line
    };
    match text.trim() {
        "" => Err(CliError::usage("no token was given", "make one on the page /settings/tokens, or ask the server's administrator")),
        token => Ok(token.to_owned()),
    }
}

impl Logout {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let address = remote.address()?;
        let found = remote.credentials()?.forget(&address)?;
        if remote.config.token.is_some() {
            remote.reporter.note("a token in HUB_TOKEN, --token or the configuration file stays in use");
        }
        let human = if found { format!("Logged out of {address}") } else { format!("No token was kept for {address}") };
        Ok(Output::new(human, json!({"server": address.to_string(), "logged_out": found}), ""))
    }
}

impl Whoami {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        let client = remote.client()?;
        if !client.has_token() {
            let message = format!("not logged in to {}", client.address());
            return Err(CliError::new(4, "not_logged_in", message, "log in with `hub login`, or set HUB_TOKEN"));
        }
        let me = client.whoami().await?;
        let roles: Vec<_> = me.namespaces.iter().map(|space| format!("{} ({})", space.name, space.role)).collect();
        let name = if me.is_admin { format!("{} (site administrator)", me.name) } else { me.name.clone() };
        let human = facts(&[
            ("user", name),
            ("token", format!("may {}", me.scope)),
            ("namespaces", roles.join(", ")),
            ("server", client.address().to_string()),
        ]);
        let quiet = me.name.clone();
        Ok(Output::new(human, json!(me), quiet))
    }
}
