//! `hub admin audit`: the audit log, to read or to keep elsewhere.

use clap::Args;

use super::super::output::{json_line, table};
use super::super::{Output, Result};
use crate::app::Administration;
use crate::domain::audit::{AuditEntry, AuditFilter};
use crate::domain::time::parse_span_ms;
use crate::wire;

/// Lines that people are shown without --all.
const SHOWN: usize = 50;

/// Show who did what: publishes, log-ins, refusals, jobs, tokens, people
#[derive(Debug, Args)]
#[command(after_help = "Newest first. With --json each line is an object, and all that match are printed.\n\n\
    Examples:\n  hub admin audit --action login.failed --since 24h\n  hub admin audit --since 30d --json > audit.ndjson")]
pub(super) struct Audit {
    /// From so long ago on, such as 24h or 30d [default: all that is kept]
    #[arg(long, value_name = "TIME", value_parser = span)]
    since: Option<i64>,
    /// Of this account only; also anonymous and system
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    account: String,
    /// Of this action only, such as publish, refused or token.create
    #[arg(long, value_name = "ACTION", default_value = "", hide_default_value = true)]
    action: String,
    /// Show people all lines, too
    #[arg(long)]
    all: bool,
}

fn span(text: &str) -> std::result::Result<i64, String> {
    parse_span_ms(text).map_err(|e| e.to_string())
}

impl Audit {
    pub async fn run(self, house: &Administration, json: bool) -> Result<Output> {
        let (mut rows, mut cursor, mut more) = (Vec::new(), None, false);
        loop {
            let filter = AuditFilter { account: self.account.clone(), action: self.action.clone(), since: None };
            let page = house.audit(filter, self.since, cursor).await?;
            for entry in page.items {
                match json {
                    true => json_line(&wire::audit::AuditEntry::from(entry)),
                    false => rows.push(row(entry)),
                }
            }
            cursor = page.next;
            more |= cursor.is_some() && !json && !self.all && rows.len() >= SHOWN;
            if cursor.is_none() || more {
                break;
            }
        }
        if json {
            return Ok(Output::none());
        }
        let mut human = table(&["TIME", "ACCOUNT", "ACTION", "SUBJECT", "DETAIL", "ADDRESS"], &rows);
        if more {
            human += "\n\nand more; --all shows them";
        }
        Ok(Output::new(human, serde_json::Value::Null, rows.len().to_string()))
    }
}

fn row(entry: AuditEntry) -> Vec<String> {
    let AuditEntry { time, account, action, subject, detail, address, .. } = entry;
    vec![time.to_string(), account, action, subject, detail, address]
}
