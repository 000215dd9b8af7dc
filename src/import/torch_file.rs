//! PyTorch's two file forms, opened without PyTorch.
//!
//! ```text
//! zip form (torch >= 1.6)          legacy form
//!   NAME/data.pkl    the objects     pickle: magic number
//!   NAME/byteorder   "little"        pickle: protocol version, 1001
//!   NAME/data/KEY    raw numbers     pickle: system facts (little_endian)
//!   NAME/version                     pickle: the objects
//!                                    pickle: list of storage keys
//!                                    for each key: count as i64, raw numbers
//! ```

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};

use super::error::{Error, Result, corrupt};
use super::pickle::{self, Id, Pickle, Storage, Value};
use crate::archive;

/// First bytes of the legacy form: the magic number as a pickled long.
pub const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// First bytes of a zip archive.
pub const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
const PROTOCOL: i128 = 1001;
const MAX_ENTRIES: usize = 200_000;

/// The objects a file holds, and the bytes of the storages they refer to by key.
#[derive(Debug)]
pub struct TorchFile {
    pub pickle: Pickle,
    pub storages: HashMap<String, Vec<u8>>,
}

/// Opens either form; `file` is the whole file.
pub fn open(file: &[u8]) -> Result<TorchFile> {
    if file.starts_with(LEGACY_MAGIC) { open_legacy(file) } else { open_zip(file) }
}

fn open_zip(file: &[u8]) -> Result<TorchFile> {
    archive::zip::sound(&file).map_err(|refused| corrupt(format!("as a zip {refused}")))?;
    let mut archive = zip::ZipArchive::new(Cursor::new(file)).map_err(|error| corrupt(format!("its zip archive is broken: {error}")))?;
    if archive.len() > MAX_ENTRIES {
        return Err(Error::TooLarge(format!("more than {MAX_ENTRIES} entries")));
    }
    let mut bytes_left = file.len() as u64;
    let mut entries = BTreeMap::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index_raw(index).map_err(|error| corrupt(format!("its zip archive is broken: {error}")))?;
        let name = entry.name().map_err(|error| corrupt(format!("an entry's name: {error}")))?.into_owned();
        if entry.encrypted() || entry.compression() != zip::CompressionMethod::Stored || entry.size() != entry.compressed_size() {
            return Err(corrupt(format!("entry `{}` is compressed or encrypted, which PyTorch never does", name.escape_debug())));
        }
        // Entries that overlap would otherwise multiply a small file.
        bytes_left = bytes_left.checked_sub(entry.size()).ok_or_else(|| corrupt("its zip entries overlap"))?;
        let mut bytes = Vec::with_capacity(entry.size() as usize);
        entry.read_to_end(&mut bytes).map_err(|error| corrupt(format!("entry `{}`: {error}", name.escape_debug())))?;
        if bytes.len() as u64 != entry.size() {
            return Err(corrupt(format!("entry `{}` is shorter than it says", name.escape_debug())));
        }
        let checksum = entry.crc32();
        // PyTorch may be told to leave checksums out, and then writes zero.
        if checksum != 0 && crc32fast::hash(&bytes) != checksum {
            return Err(corrupt(format!("entry `{}` does not match its checksum", name.escape_debug())));
        }
        if entries.insert(name, bytes).is_some() {
            return Err(corrupt("two of its zip entries have the same name"));
        }
    }
    from_entries(entries)
}

fn from_entries(mut entries: BTreeMap<String, Vec<u8>>) -> Result<TorchFile> {
    let root = entries.keys().find_map(|name| name.strip_suffix("data.pkl").filter(|root| is_root(root)).map(str::to_owned));
    let Some(root) = root else {
        return Err(corrupt("this zip archive holds no `data.pkl`, so it is not a PyTorch file"));
    };
    if let Some(order) = entries.get(&format!("{root}byteorder"))
        && order.trim_ascii() != b"little"
    {
        return Err(corrupt("it was written on a big-endian machine, which is not supported"));
    }
    let objects = entries.remove(&format!("{root}data.pkl")).unwrap_or_default();
    let pickle = pickle::read(&objects)?;
    let folder = format!("{root}data/");
    let storages = entries.into_iter().filter_map(|(name, bytes)| Some((name.strip_prefix(&folder)?.to_owned(), bytes))).collect();
    Ok(TorchFile { pickle, storages })
}

/// `data.pkl` lies in the archive's one top folder.
fn is_root(root: &str) -> bool {
    root.is_empty() || root.ends_with('/') && root.matches('/').count() == 1
}

fn open_legacy(file: &[u8]) -> Result<TorchFile> {
    let mut at = LEGACY_MAGIC.len();
    let protocol = next_pickle(file, &mut at)?;
    if *protocol.get(protocol.root) != Value::Int(PROTOCOL) {
        return Err(corrupt("its protocol version is not the one PyTorch wrote before 1.6"));
    }
    let system = next_pickle(file, &mut at)?;
    if !is_little_endian(&system) {
        return Err(corrupt("it was written on a big-endian machine, which is not supported"));
    }
    let pickle = next_pickle(file, &mut at)?;
    let sizes = storage_sizes(&pickle)?;
    let keys = next_pickle(file, &mut at)?;
    let Value::List(keys_in_order) = keys.get(keys.root) else {
        return Err(corrupt("its list of storages is missing"));
    };
    let mut storages = HashMap::new();
    for &key in keys_in_order {
        let key = keys.text(key).ok_or_else(|| corrupt("a storage's key is not text"))?;
        let size_bytes = *sizes.get(key).ok_or_else(|| corrupt(format!("storage `{}` belongs to no tensor", key.escape_debug())))?;
        let bytes = next_storage(file, &mut at, size_bytes.0, size_bytes.1)?;
        if storages.insert(key.to_owned(), bytes.to_vec()).is_some() {
            return Err(corrupt("a storage is listed twice"));
        }
    }
    if at != file.len() {
        return Err(corrupt(format!("{} bytes follow its last storage", file.len() - at)));
    }
    Ok(TorchFile { pickle, storages })
}

fn next_pickle(file: &[u8], at: &mut usize) -> Result<Pickle> {
    let pickle = pickle::read(&file[*at..])?;
    *at += pickle.length;
    Ok(pickle)
}

fn next_storage<'a>(file: &'a [u8], at: &mut usize, count: u64, size: usize) -> Result<&'a [u8]> {
    let ended = || corrupt("it ends inside a storage");
    let (head, rest) = file[*at..].split_first_chunk::<8>().ok_or_else(ended)?;
    if u64::from_le_bytes(*head) != count {
        return Err(corrupt("a storage's length differs from the one its tensors claim"));
    }
    let length = usize::try_from(count).ok().and_then(|count| count.checked_mul(size)).ok_or_else(ended)?;
    let bytes = rest.get(..length).ok_or_else(ended)?;
    *at += 8 + length;
    Ok(bytes)
}

fn is_little_endian(system: &Pickle) -> bool {
    let Value::Dict(facts) = system.get(system.root) else { return false };
    facts.iter().any(|&(key, value)| system.text(key) == Some("little_endian") && *system.get(value) == Value::Bool(true))
}

/// Length in elements and element size of each storage the objects mention.
fn storage_sizes(pickle: &Pickle) -> Result<HashMap<String, (u64, usize)>> {
    let mut sizes = HashMap::new();
    for storage in pickle.storages() {
        let size = (storage.len, storage.dtype.size_bytes());
        if *sizes.entry(storage.key.clone()).or_insert(size) != size {
            return Err(corrupt(format!("storage `{}` has two lengths", storage.key.escape_debug())));
        }
    }
    Ok(sizes)
}

impl Pickle {
    /// Every storage that was named while reading.
    fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.values().iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(storage.as_ref()),
            _ => None,
        })
    }

    /// The items with text keys of a dict, or of an object that behaves as one; None when the value is neither.
    pub fn items(&self, id: Id) -> Option<Vec<(&str, Id)>> {
        let items = match self.get(id) {
            Value::Dict(items) => items,
            Value::Object(object) if !object.items.is_empty() => &object.items,
            _ => return None,
        };
        Some(items.iter().filter_map(|&(key, value)| Some((self.text(key)?, value))).collect())
    }
}
