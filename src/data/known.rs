//! What the items of one data set look like, small enough to be kept with it, so that another one can be asked whether it holds the
//! same: what is trained on must not be measured on, also where the two lie in different data sets.
//!
//! ```text
//! base64 of: magic | items in the data set u32 | items told u32 | items
//! item: content u64 | 0 or 1 (with keys) | [2 keys u64] | length u16 | detail | length u16 | path
//! ```

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::copies::{Index, Print};
use super::modality::{Look, Modality};
use super::sample::Sample;

const MAGIC: &[u8; 8] = b"known 1\n";
/// Items told of one data set; of more, evenly many.
pub const MOST: usize = 4_096;
const LONGEST: u16 = 512;
/// Pairs that are named.
const NAMED: usize = 20;

/// Items of one data set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// In the whole data set.
    pub samples: usize,
    items: Vec<(String, Look)>,
}

/// What two data sets have in common, as far as their items are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shared {
    /// Items of the first that are also in the second.
    pub copies: usize,
    /// Those of them that are not equal, but the same for small changes.
    pub near: usize,
    /// Items of each that were held against each other.
    pub looked_at: usize,
    pub among: usize,
    /// The first of them, with what they are copies of.
    pub pairs: Vec<(String, String)>,
}

impl Known {
    pub fn of<'a>(items: impl ExactSizeIterator<Item = (&'a Sample, &'a Print)>) -> Known {
        let samples = items.len();
        let step = samples.div_ceil(MOST).max(1);
        let told = items.step_by(step).filter_map(|(sample, print)| Some((sample.path.clone(), print.look.clone()?)));
        Known { samples, items: told.collect() }
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn write(&self) -> String {
        let mut bytes = MAGIC.to_vec();
        bytes.extend((self.samples as u32).to_le_bytes());
        bytes.extend((self.items.len() as u32).to_le_bytes());
        let part = |part: &[u8], bytes: &mut Vec<u8>| {
            let length = part.len().min(LONGEST.into());
            bytes.extend((length as u16).to_le_bytes());
            bytes.extend(&part[..length]);
        };
        for (path, look) in &self.items {
            bytes.extend(look.content.to_le_bytes());
            bytes.push(u8::from(look.keys.is_some()));
            look.keys.iter().flatten().for_each(|key| bytes.extend(key.to_le_bytes()));
            part(&look.detail, &mut bytes);
            part(path.as_bytes(), &mut bytes);
        }
        STANDARD.encode(bytes)
    }

    /// `None` of what does not read as one.
    pub fn read(text: &str) -> Option<Known> {
        let bytes = STANDARD.decode(text).ok()?;
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let samples = u32::from_le_bytes(take(&mut rest)?) as usize;
        let count = u32::from_le_bytes(take(&mut rest)?) as usize;
        let mut items = Vec::with_capacity(count.min(MOST));
        for _ in 0..count.min(MOST) {
            let content = u64::from_le_bytes(take(&mut rest)?);
            let keys = match take::<1>(&mut rest)? {
                [0] => None,
                _ => Some([u64::from_le_bytes(take(&mut rest)?), u64::from_le_bytes(take(&mut rest)?)]),
            };
            let detail = part(&mut rest)?.into();
            let path = String::from_utf8_lossy(part(&mut rest)?).into_owned();
            items.push((path, Look { content, keys, detail }));
        }
        Some(Known { samples, items })
    }

    /// How many of these are also among `others`.
    pub fn shared(&self, others: &Known, modality: &dyn Modality) -> Shared {
        let by_content: HashMap<u64, usize> = others.items.iter().enumerate().rev().map(|(at, (_, look))| (look.content, at)).collect();
        let mut index = Index::new(modality);
        for (at, (_, look)) in others.items.iter().enumerate() {
            index.find_or_add(at as u32, look);
        }
        let mut shared = Shared { looked_at: self.items.len(), among: others.items.len(), ..Shared::default() };
        for (path, look) in &self.items {
            let equal = by_content.get(&look.content).copied();
            let Some(of) = equal.or_else(|| look.keys.and_then(|keys| index.find(keys, look)).map(|id| id as usize)) else { continue };
            shared.copies += 1;
            shared.near += usize::from(equal.is_none());
            if shared.pairs.len() < NAMED {
                shared.pairs.push((path.clone(), others.items[of].0.clone()));
            }
        }
        shared
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*first)
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u16::from_le_bytes(take(rest)?);
    let (part, after) = rest.split_at_checked(length.into())?;
    *rest = after;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::super::image::Images;
    use super::super::labelled::Split;
    use super::super::targets::Target;
    use super::*;

    fn known(contents: &[u64], folder: &str) -> Known {
        let samples: Vec<Sample> = (0..contents.len() as u32)
            .map(|id| Sample { id, target: Target::Class(0), split: Split::Train, path: format!("{folder}/{id}.png") })
            .collect();
        let look = |content: &u64| Look { content: *content, keys: Some([*content, 0]), detail: vec![3; 288].into() };
        let prints: Vec<Print> = contents.iter().map(|content| Print { hash: [0; 32], look: Some(look(content)) }).collect();
        Known::of(samples.iter().zip(&prints))
    }

    #[test]
    fn what_is_written_is_read_again_and_nonsense_is_not() {
        let items = known(&[1, 2, 3], "a");
        assert_eq!(Known::read(&items.write()), Some(items.clone()));
        assert_eq!((Known::read(""), Known::read("!!"), Known::read(&items.write()[..40])), (None, None, None));
        let many = known(&(0..10_000).collect::<Vec<u64>>(), "a");
        assert!(many.samples == 10_000 && (3_000..=MOST).contains(&many.len()), "{}", many.len());
    }

    #[test]
    fn copies_in_another_data_set_are_named() {
        let shared = known(&[7, 8, 900], "mine").shared(&known(&[5, 7, 8], "theirs"), &Images);
        assert_eq!((shared.copies, shared.near, shared.looked_at, shared.among), (2, 0, 3, 3));
        let pair = |mine: &str, theirs: &str| (mine.to_owned(), theirs.to_owned());
        assert_eq!(shared.pairs, [pair("mine/0.png", "theirs/1.png"), pair("mine/1.png", "theirs/2.png")]);
        assert_eq!(known(&[1], "a").shared(&Known::default(), &Images).copies, 0);
    }
}
