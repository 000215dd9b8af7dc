//! A token's secret: `hub_`, 256 random bits, and a check sum, so that secret scanners find it by its shape and
//! a mistyped one is refused without asking the database. Only its sha256 is ever stored.
//!
//! `hf_` may stand before it (`hf_hub_...`): clients of the Hugging Face Hub in JavaScript take no token that begins
//! otherwise. Both forms are one token.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

const PREFIX: &str = "hub_";
const ALIAS: &str = "hf_";
/// 32 bytes and 4 bytes of check sum in base64url without padding.
const BODY_CHARS: usize = 43;
const CHECK_CHARS: usize = 6;

/// A secret in the open. `Debug` shows no part of it, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// The text has not the shape of a token, or was mistyped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no token of a hub, or it was mistyped; tokens start with 'hub_'")]
pub struct SecretError;

impl Secret {
    pub fn new(random: [u8; 32]) -> Secret {
        let body = URL_SAFE_NO_PAD.encode(random);
        Secret(format!("{PREFIX}{body}{}", check(&body)))
    }

    pub fn parse(text: &str) -> Result<Secret, SecretError> {
        let own = text.strip_prefix(ALIAS).unwrap_or(text);
        let rest = own.strip_prefix(PREFIX).ok_or(SecretError)?;
        if !rest.is_ascii() || rest.len() != BODY_CHARS + CHECK_CHARS {
            return Err(SecretError);
        }
        let (body, sum) = rest.split_at(BODY_CHARS);
        if check(body) == sum { Ok(Secret(own.into())) } else { Err(SecretError) }
    }

    /// The text itself: to show it to its owner once, and to nobody else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored in its place.
    pub fn hash(&self) -> String {
        hash(&self.0)
    }
}

/// sha256 of a secret text as 64 hex digits. A plain hash is enough: 256 random bits cannot be guessed.
pub fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// Another secret that whoever holds the first can compute and nobody else: `purpose` says what for.
pub fn derived(secret: &str, purpose: &str) -> String {
    hash(&format!("{purpose}\n{secret}"))
}

/// The form of a token for clients that take none that begins otherwise.
pub fn alias(secret: &str) -> String {
    format!("{ALIAS}{secret}")
}

/// Was this text meant for a hub of this kind, right or wrong?
pub fn is_ours(text: &str) -> bool {
    text.strip_prefix(ALIAS).unwrap_or(text).starts_with(PREFIX)
}

fn check(body: &str) -> String {
    URL_SAFE_NO_PAD.encode(crc32fast::hash(body.as_bytes()).to_be_bytes())
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hub_...)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_and_a_typo_is_seen() {
        let secret = Secret::new([7; 32]);
        let text = secret.reveal();
        assert_eq!(text.len(), 53);
        assert_eq!(Secret::parse(text).unwrap(), secret);
        let mut typo = text.to_owned();
        typo.replace_range(10..11, if &text[10..11] == "A" { "B" } else { "A" });
        for bad in [typo.as_str(), "", "hub_", "hub_x", &text[4..], &format!("{text}x"), "hub_é"] {
            assert_eq!(Secret::parse(bad), Err(SecretError), "{bad}");
        }
        assert_eq!(format!("{secret:?}"), "Secret(hub_...)");
        assert_eq!(secret.hash().len(), 64);
    }

    #[test]
    fn the_form_for_other_clients_is_the_same_token() {
        let secret = Secret::new([7; 32]);
        let alias = alias(secret.reveal());
        assert!(alias.starts_with("hf_hub_"));
        assert_eq!(Secret::parse(&alias).unwrap(), secret);
        assert_eq!(Secret::parse(&alias).unwrap().hash(), secret.hash());
        for foreign in ["hf_abcdefghijklmnopqrstuvwxyzABCDEFGH", "ghp_x", "", "hf_", &format!("hf_{alias}")] {
            assert!(Secret::parse(foreign).is_err() && !is_ours(foreign), "{foreign}");
        }
        assert!(is_ours("hub_mistyped") && is_ours(&alias) && is_ours(secret.reveal()));
    }
}
