//! What items look like, kept from one run to the next by the content of each: an item that was opened once is read and hashed
//! again, and not decoded.
//!
//! ```text
//! magic | number of items u32 | items | sha256 of all before
//! item: sha256 of its bytes | 0 (cannot be read)
//!                           | 1 or 2 (without or with keys) | content u64 | [2 keys u64] | length u16 | detail
//! ```

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::copies::Print;
use super::dataset::Dataset;
use super::modality::Look;

/// Changes with the form, and with whatever a look is made by.
const MAGIC: &[u8; 8] = b"looks 1\n";
const HASH: usize = 32;

/// By the sha256 of an item's bytes; `None` of those that cannot be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looks(HashMap<[u8; HASH], Option<Look>>);

impl Looks {
    /// Names the items of a data set by what can be known of them without reading them, and all that decides what they look
    /// like. Another data set of the same name loses nothing but time.
    pub fn key(dataset: &Dataset) -> String {
        let mut hash = Sha256::new();
        hash.update(MAGIC);
        hash.update(format!("{} {:?}\n", dataset.modality.name(), dataset.limits()));
        for sample in dataset.samples() {
            hash.update(format!("{} {}\n", dataset.size_of(sample), sample.path));
        }
        hex::encode(&hash.finalize()[..16])
    }

    pub fn of(prints: &[Print]) -> Looks {
        Looks(prints.iter().map(|print| (print.hash, print.look.clone())).collect())
    }

    /// The look of the item with these bytes, if it was kept.
    pub fn find(&self, hash: &[u8; HASH]) -> Option<Option<&Look>> {
        self.0.get(hash).map(Option::as_ref)
    }

    pub fn write(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend((self.0.len() as u32).to_le_bytes());
        for (hash, look) in &self.0 {
            bytes.extend(hash);
            let Some(look) = look else {
                bytes.push(0);
                continue;
            };
            bytes.push(if look.keys.is_some() { 2 } else { 1 });
            bytes.extend(look.content.to_le_bytes());
            look.keys.iter().flatten().for_each(|key| bytes.extend(key.to_le_bytes()));
            bytes.extend((look.detail.len() as u16).to_le_bytes());
            bytes.extend(&look.detail[..]);
        }
        bytes.extend(Sha256::digest(&bytes));
        bytes
    }

    /// `None` of what is damaged.
    pub fn read(bytes: &[u8]) -> Option<Looks> {
        let (whole, sum) = bytes.split_last_chunk::<HASH>()?;
        if Sha256::digest(whole)[..] != sum[..] {
            return None;
        }
        let mut rest = whole.strip_prefix(MAGIC)?;
        let count = u32::from_le_bytes(take(&mut rest)?);
        let mut looks = HashMap::new();
        for _ in 0..count {
            let hash: [u8; HASH] = take(&mut rest)?;
            let [kind] = take(&mut rest)?;
            let look = match kind {
                0 => None,
                _ => {
                    let content = u64::from_le_bytes(take(&mut rest)?);
                    let keys = match kind {
                        2 => Some([u64::from_le_bytes(take(&mut rest)?), u64::from_le_bytes(take(&mut rest)?)]),
                        _ => None,
                    };
                    let length = u16::from_le_bytes(take(&mut rest)?);
                    let (detail, after) = rest.split_at_checked(length.into())?;
                    rest = after;
                    Some(Look { content, keys, detail: detail.into() })
                }
            };
            looks.insert(hash, look);
        }
        rest.is_empty().then_some(Looks(looks))
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_what_is_damaged_is_not() {
        let print = |hash: u8, look: Option<Look>| Print { hash: [hash; HASH], look };
        let plain = Look { content: 7, keys: None, detail: Box::default() };
        let full = Look { content: u64::MAX, keys: Some([1, 2]), detail: vec![9; 288].into() };
        let looks = Looks::of(&[print(1, None), print(2, Some(plain)), print(3, Some(full.clone()))]);
        let bytes = looks.write();
        assert_eq!(Looks::read(&bytes), Some(looks.clone()));
        assert_eq!((looks.find(&[3; HASH]), looks.find(&[1; HASH]), looks.find(&[4; HASH])), (Some(Some(&full)), Some(None), None));
        for at in [0, 9, 60, bytes.len() - 1] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(Looks::read(&damaged), None, "{at}");
        }
        assert_eq!(Looks::read(&bytes[..bytes.len() - 1]), None);
    }
}
