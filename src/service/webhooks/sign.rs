//! Signatures as Standard Webhooks has them (<https://www.standardwebhooks.com>, "Symmetric signatures"): HMAC-SHA256 over
//! `id.timestamp.body` with the bytes of the secret, in base64 behind `v1,`; of several secrets one after the other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::domain::time::Timestamp;

/// Stands before the base64 of a secret.
pub const PREFIX: &str = "whsec_";

/// The headers of a message: its id, when it was sent in whole seconds, and a signature with each secret.
pub fn headers(secrets: &[&str], id: &str, now: Timestamp, body: &str) -> [(&'static str, String); 3] {
    let seconds = now.unix_ms().div_euclid(1_000).to_string();
    let signed = format!("{id}.{seconds}.{body}");
    let signatures: Vec<String> = secrets.iter().map(|secret| signature(secret, &signed)).collect();
    [("webhook-id", id.to_owned()), ("webhook-timestamp", seconds), ("webhook-signature", signatures.join(" "))]
}

fn signature(secret: &str, signed: &str) -> String {
    // Every secret here was made here, so that it decodes.
    let key = STANDARD.decode(secret.trim_start_matches(PREFIX)).unwrap_or_default();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed.as_bytes());
    format!("v1,{}", STANDARD.encode(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hmac` for this secret, id, time and body.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let now = Timestamp::from_unix_ms(1_614_265_330_999);
        let [id, time, signature] = headers(&[secret, secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", now, r#"{"test": 2432232314}"#);
        assert_eq!((id.1.as_str(), time.1.as_str()), ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330"));
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signature.1, format!("{expected} {expected}"));
    }
}
