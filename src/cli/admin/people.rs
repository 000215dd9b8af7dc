//! `hub admin user|org|token`: people of a data directory.

use clap::Subcommand;
use serde_json::{Value, json};

use super::super::output::table;
use super::super::{CliError, Output, Result};
use crate::app::Administration;
use crate::domain::id::TokenId;
use crate::domain::name::Name;
use crate::domain::secret;
use crate::domain::user::{Account, Role, Scope, Token};
use crate::wire::users as wire;

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user and print their first token
    Add {
        name: String,
        #[arg(long, default_value = "")]
        full_name: String,
        /// Make them a site administrator
        #[arg(long)]
        admin: bool,
    },
    /// List users and organisations
    List,
    /// Refuse a user's tokens from now on
    Disable { name: String },
    /// Take a disabled user's tokens again
    Enable { name: String },
}

#[derive(Debug, Subcommand)]
pub(super) enum OrgCommand {
    /// Add an organisation
    Add {
        name: String,
        #[arg(long, default_value = "")]
        full_name: String,
    },
    /// Give a user a role in it: read, write or admin
    Member { organisation: String, user: String, role: String },
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and print its secret
    Create {
        user: String,
        /// What it is for
        #[arg(long, default_value = "made by hub admin")]
        name: String,
        /// read, write or admin
        #[arg(long, default_value = "write")]
        scope: String,
        /// Days until it expires [default: never]
        #[arg(long)]
        days: Option<u32>,
    },
    /// List a user's tokens
    List { user: String },
    /// End a token, at once
    Revoke { id: String },
}

pub(super) async fn user(house: &Administration, command: UserCommand) -> Result<Output> {
    match command {
        UserCommand::Add { name, full_name, admin } => {
            let (account, secret) = house.add_user(&name, &full_name, admin).await?;
            let human = format!("added the user '{}' with the token\n\n    {}\n\nwhich is not shown again", account.name, both(&secret));
            let json = json!(wire::CreatedAccount::new(account, Some(secret.clone())));
            Ok(Output::new(human, json, secret))
        }
        UserCommand::List => Ok(accounts(house.list_accounts().await?)),
        UserCommand::Disable { name } => changed(house.set_disabled(&parsed(&name)?, true).await?, "disabled"),
        UserCommand::Enable { name } => changed(house.set_disabled(&parsed(&name)?, false).await?, "enabled"),
    }
}

pub(super) async fn organisation(house: &Administration, command: OrgCommand) -> Result<Output> {
    match command {
        OrgCommand::Add { name, full_name } => changed(house.add_organisation(&name, &full_name).await?, "added"),
        OrgCommand::Member { organisation, user, role } => {
            let known = Role::parse(&role).ok_or_else(|| CliError::usage(format!("'{role}' is no role"), "give read, write or admin"))?;
            house.set_member(&parsed(&organisation)?, &parsed(&user)?, known).await?;
            let human = format!("'{user}' has the role {role} in '{organisation}'");
            Ok(Output::new(human, json!({ "organisation": organisation, "user": user, "role": role }), user))
        }
    }
}

pub(super) async fn token(house: &Administration, command: TokenCommand) -> Result<Output> {
    match command {
        TokenCommand::Create { user, name, scope, days } => {
            let known =
                Scope::parse(&scope).ok_or_else(|| CliError::usage(format!("'{scope}' is no scope"), "give read, write or admin"))?;
            let (token, secret) = house.create_token(&parsed(&user)?, &name, known, days).await?;
            let human = format!("{}\n\nThis token of '{user}' has the scope {scope} and is not shown again.", both(&secret));
            Ok(Output::new(human, json!(wire::CreatedToken::new(token, secret.clone())), secret))
        }
        TokenCommand::List { user } => Ok(tokens(house.list_tokens(&parsed(&user)?).await?)),
        TokenCommand::Revoke { id } => {
            let known = TokenId::parse(&id).map_err(|e| CliError::usage(e.to_string(), "'hub admin token list USER' shows ids"))?;
            house.revoke_token(&known).await?;
            Ok(Output::new(format!("revoked {id}"), json!({ "revoked": id }), id))
        }
    }
}

fn parsed(name: &str) -> Result<Name> {
    Name::parse(name).map_err(|e| CliError::usage(e.to_string(), "'hub admin user list' shows the names"))
}

fn changed(account: Account, what: &str) -> Result<Output> {
    let name = account.name.to_string();
    Ok(Output::new(format!("{what} '{name}'"), json!(wire::Account::from(account)), name))
}

fn accounts(all: Vec<Account>) -> Output {
    let mark = |account: &Account| match (account.disabled, account.is_admin) {
        (true, _) => "disabled",
        (_, true) => "administrator",
        _ => "",
    };
    let row = |a: &Account| vec![a.name.to_string(), a.kind.to_string(), mark(a).to_owned(), a.full_name.clone()];
    let rows: Vec<_> = all.iter().map(row).collect();
    let names: Vec<String> = all.iter().map(|account| account.name.to_string()).collect();
    let json: Vec<Value> = all.into_iter().map(|account| json!(wire::Account::from(account))).collect();
    Output::new(table(&["NAME", "KIND", "STATE", "FULL NAME"], &rows), json!(json), names.join("\n"))
}

/// A token in both its forms.
fn both(secret: &str) -> String {
    format!("{secret}\n    {} (the same, for clients that want hf_ in front)", secret::alias(secret))
}

fn tokens(all: Vec<Token>) -> Output {
    let time = |at: Option<crate::domain::time::Timestamp>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    let row = |t: &Token| vec![t.id.to_string(), t.scope.to_string(), time(t.expires), time(t.last_used), t.name.clone()];
    let rows: Vec<_> = all.iter().map(row).collect();
    let ids: Vec<String> = all.iter().map(|token| token.id.to_string()).collect();
    let json: Vec<Value> = all.into_iter().map(|token| json!(wire::Token::from(token))).collect();
    Output::new(table(&["ID", "SCOPE", "EXPIRES", "LAST USED", "NAME"], &rows), json!(json), ids.join("\n"))
}
