//! What is said about a repo: discussions, and the pull requests among them, which ask to change a branch.

use super::revision::RefName;
use super::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discussion {
    pub number: u32,
    pub title: String,
    /// Who began it.
    pub author: String,
    pub state: DiscussionState,
    /// Absent where it is talk alone.
    pub pull: Option<Pull>,
    pub created: Timestamp,
}

/// What a pull request asks for. Versions are absent where nothing was published when it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// The branch that is to take the changes.
    pub target: RefName,
    /// The version the changes are counted from.
    pub base: Option<u32>,
    /// Where it stands.
    pub head: Option<u32>,
    /// The version that took it in.
    pub merged: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiscussionState {
    /// A pull request that was opened before there was anything in it.
    Draft,
    Open,
    Closed,
    Merged,
}
super::user::words!(DiscussionState, Draft = "draft", Open = "open", Closed = "closed", Merged = "merged");

impl DiscussionState {
    /// Still to be decided?
    pub fn is_open(self) -> bool {
        matches!(self, DiscussionState::Draft | DiscussionState::Open)
    }
}

/// One thing that happened in a discussion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscussionEvent {
    /// Its place, from 0.
    pub position: u32,
    pub author: String,
    pub created: Timestamp,
    pub what: Happening,
    /// When a comment got its present text.
    pub edited: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    Comment { text: String, hidden: bool },
    Commit { commit: String, subject: String },
    State(DiscussionState),
    Title { from: String, to: String },
}

/// Which discussions a list shall hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiscussionFilter {
    pub pulls: Option<bool>,
    pub open: Option<bool>,
    pub author: Option<String>,
}
