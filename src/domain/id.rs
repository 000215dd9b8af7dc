//! Ids the program makes: 128 random bits as 26 characters that sort by the time they were made.

use std::fmt;

use super::time::Timestamp;

/// The text was not an id of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id has 26 characters from 0-9 and a-v")]
pub struct IdError;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

fn encode(mut value: u128) -> String {
    let mut text = [b'0'; 26];
    for slot in text.iter_mut().rev() {
        *slot = ALPHABET[(value & 31) as usize];
        value >>= 5;
    }
    text.iter().map(|&b| char::from(b)).collect()
}

fn checked(text: &str) -> Result<String, IdError> {
    let ok = text.len() == 26 && text.bytes().all(|b| ALPHABET.contains(&b));
    if ok { Ok(text.into()) } else { Err(IdError) }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// 48 bits of time, 80 bits of randomness.
            pub fn new(now: Timestamp, random: [u8; 10]) -> $name {
                let mut low = [0u8; 16];
                low[6..].copy_from_slice(&random);
                $name(encode((u128::from(now.unix_ms() as u64 & 0xffff_ffff_ffff) << 80) | u128::from_be_bytes(low)))
            }

            pub fn parse(text: &str) -> Result<$name, IdError> {
                checked(text).map($name)
            }

            /// The next id in order.
            pub fn successor(&self) -> $name {
                let value = self.0.bytes().fold(0u128, |sum, byte| (sum << 5) | ALPHABET.iter().position(|&b| b == byte).unwrap_or(0) as u128);
                $name(encode(value.wrapping_add(1)))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// A repo, whatever it is called today.
    RepoKey
);
id!(
    /// A user or an organisation.
    AccountId
);
id!(
    /// A token (not its secret).
    TokenId
);
id!(
    /// An upload session.
    UploadId
);
id!(
    /// A job.
    JobId
);
id!(
    /// A webhook (not its secret).
    WebhookId
);
id!(
    /// Something a webhook is told.
    DeliveryId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_read_back() {
        let early = JobId::new(Timestamp::from_unix_ms(1_000), [255; 10]);
        let late = JobId::new(Timestamp::from_unix_ms(1_001), [0; 10]);
        assert!(early < late);
        assert_eq!(JobId::parse(early.as_str()).unwrap(), early);
        assert!(early < early.successor() && early.successor() <= late);
        for text in ["", "x", &"w".repeat(26), &"A".repeat(26), "../../../../../etc/passwd/"] {
            assert!(JobId::parse(text).is_err());
        }
    }
}
