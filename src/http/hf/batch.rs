//! What a batch of git-lfs is answered: per object where it is sent or fetched, or that nothing is to be done.

use std::collections::BTreeMap;

use crate::domain::digest::Digest;
use crate::service::storage::parts::MAX_PART_BYTES;
use crate::wire::hf_write::{Action, Batch, Object, ObjectAnswer, ObjectError};

/// Larger objects come in parts, to clients that can send them so.
pub const PARTS_FROM_BYTES: u64 = 4 * MAX_PART_BYTES;

/// Where objects of a repo are sent and fetched: an address, and perhaps a pass.
pub struct Place {
    /// `http://host/{id}.git/info/lfs/objects`
    pub objects: String,
    pub pass: Option<String>,
}

/// How objects travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    Basic,
    Multipart,
    Xet,
}

impl Transfer {
    /// The Rust client offers Xet and can do nothing else; all others do without it here. Where `xet` is off, it sends
    /// its files inside the commit.
    pub fn choose(asked: &Batch, user_agent: &str, xet: bool) -> Transfer {
        let offers = |name: &str| asked.transfers.iter().any(|transfer| transfer == name);
        match asked.operation.as_str() {
            "upload" if xet && offers("xet") && user_agent.starts_with("hf-hub/") => Transfer::Xet,
            "upload" if offers("multipart") && asked.objects.iter().any(|object| object.size > PARTS_FROM_BYTES) => Transfer::Multipart,
            _ => Transfer::Basic,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Transfer::Basic => "basic",
            Transfer::Multipart => "multipart",
            Transfer::Xet => "xet",
        }
    }
}

impl Place {
    pub fn upload(&self, object: &Object, digest: &Digest, transfer: Transfer) -> BTreeMap<&'static str, Action> {
        let plain = |href: String| Action { href, header: BTreeMap::new() };
        let whole = self.address(&digest.to_hex(), object.size);
        let upload = match transfer {
            Transfer::Multipart => Action { href: whole.clone(), header: self.parts(digest, object.size) },
            Transfer::Basic | Transfer::Xet => plain(whole.clone()),
        };
        BTreeMap::from([("upload", upload), ("verify", plain(whole))])
    }

    pub fn download(&self, object: &Object, digest: &Digest) -> BTreeMap<&'static str, Action> {
        BTreeMap::from([("download", Action { href: self.address(&digest.to_hex(), object.size), header: BTreeMap::new() })])
    }

    fn parts(&self, digest: &Digest, size: u64) -> BTreeMap<String, String> {
        let part = |number: u64| (number.to_string(), self.address(&format!("{digest}/parts/{number}"), size));
        let count = size.div_ceil(MAX_PART_BYTES).max(1);
        std::iter::once(("chunk_size".to_owned(), MAX_PART_BYTES.to_string())).chain((1..=count).map(part)).collect()
    }

    fn address(&self, below: &str, size: u64) -> String {
        let pass = self.pass.as_ref().map_or(String::new(), |pass| format!("&pass={pass}"));
        format!("{}/{below}?size={size}{pass}", self.objects)
    }
}

pub fn answer(object: &Object, actions: BTreeMap<&'static str, Action>) -> ObjectAnswer {
    ObjectAnswer { oid: object.oid.clone(), size: object.size, authenticated: true, actions, error: None }
}

pub fn refusal(object: &Object, code: u16, message: impl Into<String>) -> ObjectAnswer {
    ObjectAnswer { error: Some(ObjectError { code, message: message.into() }), ..answer(object, BTreeMap::new()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_is_answered_what_it_can_do() {
        let asked = |operation: &str, transfers: &[&str], size| Batch {
            operation: operation.into(),
            transfers: transfers.iter().map(|t| t.to_string()).collect(),
            objects: vec![Object { oid: String::new(), size }],
            hash_algo: None,
        };
        let all = &["basic", "multipart", "xet"];
        let choose = |asked: &Batch, user_agent| Transfer::choose(asked, user_agent, true);
        assert_eq!(choose(&asked("upload", all, 1), "hf-hub/1.0.0"), Transfer::Xet);
        assert_eq!(Transfer::choose(&asked("upload", all, 1), "hf-hub/1.0.0", false), Transfer::Basic);
        assert_eq!(choose(&asked("upload", all, 1), "unknown/None; hf_hub/0.36.2"), Transfer::Basic);
        assert_eq!(choose(&asked("upload", all, PARTS_FROM_BYTES + 1), "git-lfs"), Transfer::Multipart);
        assert_eq!(choose(&asked("upload", &["basic"], 1 << 40), "git-lfs"), Transfer::Basic);
        assert_eq!(choose(&asked("download", all, 1 << 40), "hf-hub/1.0.0"), Transfer::Basic);
    }

    #[test]
    fn parts_cover_the_object() {
        let place = Place { objects: "http://h/a/b.git/info/lfs/objects".into(), pass: Some("p".into()) };
        let parts = place.parts(&Digest::of(b""), 2 * MAX_PART_BYTES + 1);
        assert_eq!(parts.len(), 4);
        assert!(parts["3"].ends_with(&format!("/parts/3?size={}&pass=p", 2 * MAX_PART_BYTES + 1)));
    }
}
