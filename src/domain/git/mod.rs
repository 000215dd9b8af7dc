//! What git reads of a repo: each version is a commit, its files a tree of blobs, branches and tags are refs. The same version is always
//! the same commit, so that a clone made yesterday and a fetch of today agree. Formats as git's own documentation describes them
//! (gitformat-pack, gitprotocol-common).

pub mod history;
pub mod layout;
pub mod object;
pub mod pack;
pub mod packet;
pub mod tree;

pub use object::{ObjectId, ObjectKind};
