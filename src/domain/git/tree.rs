//! Trees: one object a folder, made of the sorted paths of a version.

use super::{ObjectId, ObjectKind};

/// A file of a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TreeFile {
    pub path: String,
    pub id: ObjectId,
}

/// The tree of these files, which are sorted by path; `made` is told of every tree, folders before what they are in.
///
/// Sorted paths are in git's order: it compares a folder as if its name ended with `/`.
pub fn write(files: &[TreeFile], made: &mut impl FnMut(ObjectId, Vec<u8>)) -> ObjectId {
    folder(files, 0, made)
}

fn folder(files: &[TreeFile], below: usize, made: &mut impl FnMut(ObjectId, Vec<u8>)) -> ObjectId {
    let (mut bytes, mut at) = (Vec::new(), 0);
    while let Some(file) = files.get(at) {
        let name = &file.path[below..];
        let (mode, name, id, count) = match name.find('/') {
            None => ("100644", name, file.id, 1),
            Some(end) => {
                let within = &file.path[..below + end + 1];
                let count = files[at..].iter().take_while(|file| file.path.starts_with(within)).count();
                ("40000", &name[..end], folder(&files[at..at + count], within.len(), made), count)
            }
        };
        bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        bytes.extend_from_slice(id.as_bytes());
        at += count;
    }
    let id = ObjectId::of(ObjectKind::Tree, &bytes);
    made(id, bytes);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_trees_in_gits_order() {
        let blob = ObjectId::of(ObjectKind::Blob, b"hello\n");
        let mut files: Vec<TreeFile> = ["a.c", "a/b/c", "a-b", "a/b.c", "z"].map(|path| TreeFile { path: path.into(), id: blob }).into();
        files.sort();
        let mut made = Vec::new();
        let top = write(&files, &mut |id, bytes| made.push((id, String::from_utf8_lossy(&bytes).into_owned())));
        // As `git mktree` and `git write-tree` name the same files.
        assert_eq!(top.to_string(), "56ee10a191f3fb6761419b722ce63b9a403a1b39");
        assert_eq!(made.len(), 3);
        let names = |text: &str| text.matches("100644 ").count() + text.matches("40000 ").count();
        assert_eq!(made.iter().map(|(_, text)| names(text)).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!(made[2].0, top);
    }
}
