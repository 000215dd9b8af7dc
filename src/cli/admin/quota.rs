//! `hub admin quota`: what accounts hold and may hold.

use clap::Args;
use serde_json::json;

use super::super::output::table;
use super::super::{CliError, Output, Result};
use crate::app::Administration;
use crate::domain::human;
use crate::domain::name::Name;
use crate::domain::user::Account;
use crate::wire::users as wire;

/// Show what users and organisations hold, or say what one may hold
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hub admin quota\n  hub admin quota ada\n  hub admin quota ada --bytes 500G\n  hub admin quota ada --default"
)]
pub(super) struct Quota {
    /// A user or an organisation [default: all]
    name: Option<String>,
    /// Bytes its repos may hold, such as 500G or 2T; 0 for no limit
    #[arg(long, value_name = "BYTES", requires = "name", conflicts_with = "default", value_parser = bytes)]
    bytes: Option<u64>,
    /// Let the setting 'quota_bytes' decide again
    #[arg(long, requires = "name")]
    default: bool,
}

fn bytes(text: &str) -> std::result::Result<u64, String> {
    let wrong = || format!("'{text}' is no number of bytes; write 500G, 2T or 1000000");
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit: u64 = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" => 1_000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "T" | "TB" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)
}

impl Quota {
    pub(super) async fn run(self, house: &Administration) -> Result<Output> {
        let parsed = |name: &String| Name::parse(name).map_err(|e| CliError::usage(e.to_string(), "'hub admin user list' shows the names"));
        let mut all = Vec::new();
        match (&self.name, self.bytes, self.default) {
            (Some(name), Some(bytes), _) => all.push(house.set_quota(&parsed(name)?, Some(bytes)).await?),
            (Some(name), None, true) => all.push(house.set_quota(&parsed(name)?, None).await?),
            (Some(name), None, false) => all.push(house.usage(&parsed(name)?).await?),
            (None, ..) => {
                for Account { name, .. } in house.list_accounts().await? {
                    all.push(house.usage(&name).await?);
                }
            }
        }
        let all: Vec<wire::Usage> = all.into_iter().map(wire::Usage::from).collect();
        let row = |usage: &wire::Usage| {
            let quota = match (usage.quota_bytes, usage.quota_is_own) {
                (0, _) => "none".to_owned(),
                (bytes, true) => format!("{} (its own)", human::bytes(bytes)),
                (bytes, false) => human::bytes(bytes),
            };
            let (stored, sent) = (human::bytes(usage.stored_bytes), human::bytes(usage.sent_bytes));
            vec![usage.name.clone(), stored, quota, sent, usage.repos.to_string(), usage.tokens.to_string(), usage.uploads.to_string()]
        };
        let rows: Vec<_> = all.iter().map(row).collect();
        let human = table(&["NAME", "STORED", "QUOTA", "SENT", "REPOS", "TOKENS", "UPLOADS"], &rows);
        let quiet = all.iter().map(|usage| format!("{} {}", usage.name, usage.stored_bytes)).collect::<Vec<_>>().join("\n");
        Ok(Output::new(human, if self.name.is_some() { json!(all[0]) } else { json!(all) }, quiet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_with_a_unit() {
        assert_eq!((bytes("500G"), bytes("2tb"), bytes("0"), bytes("12")), (Ok(500_000_000_000), Ok(2_000_000_000_000), Ok(0), Ok(12)));
        for wrong in ["", "G", "5X", "-1", "1.5G", "99999999999T"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
