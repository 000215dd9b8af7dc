//! A fetch as it was asked for, in either version of the protocol.

use std::collections::HashSet;

use crate::domain::git::ObjectId;
use crate::domain::git::history::{Asked, Deepening, Selection};
use crate::domain::git::packet::{Packet, Packets, line};
use crate::service::repos::git::GitRepo;

use super::Told;

/// What the asker says.
#[derive(Debug, Default)]
pub(super) struct Fetch {
    pub wants: Vec<ObjectId>,
    pub shallow: Vec<ObjectId>,
    pub deepening: Deepening,
    /// Refs whose past is not wanted.
    pub not: Vec<String>,
}

/// A fetch that is answered with a pack.
pub(super) struct Ready {
    pub selection: Selection,
    /// In packets of a sideband, and not bare.
    pub banded: bool,
    pub progress: bool,
    /// Nothing of it was there: a clone.
    pub begins: bool,
}

impl Fetch {
    /// Takes a line that says how much is wanted. `None`: it says nothing of that.
    pub fn read(&mut self, words: &str) -> Option<Told<()>> {
        let (word, rest) = words.split_once(' ').unwrap_or((words, ""));
        let taken = match word {
            "want" => id(rest).map(|id| self.wants.push(id)),
            "shallow" => id(rest).map(|id| self.shallow.push(id)),
            "deepen" => number(rest).map(|depth: u32| self.deepening.depth = (depth > 0).then_some(depth)),
            "deepen-since" => number(rest).map(|since| self.deepening.since = Some(since)),
            "deepen-not" => {
                self.not.push(rest.to_owned());
                Ok(())
            }
            "deepen-relative" => {
                self.deepening.relative = true;
                Ok(())
            }
            _ => return None,
        };
        Some(taken)
    }

    /// What that is in a repo. What is not there any more was not ours to give.
    pub fn find_in(self, repo: &GitRepo) -> Told<Asked> {
        let want = |id: &ObjectId| repo.history.find(id).ok_or_else(|| format!("upload-pack: not our ref {id}"));
        let wants = self.wants.iter().map(want).collect::<Told<Vec<_>>>()?;
        let mut deepening = self.deepening;
        for name in self.not {
            let full = [name.clone(), format!("refs/tags/{name}"), format!("refs/heads/{name}")];
            let found = repo.refs.iter().find(|(known, _)| full.contains(known)).and_then(|(_, id)| repo.history.find(id));
            deepening.not.push(found.ok_or_else(|| format!("there is no branch or tag '{name}' here"))?);
        }
        let shallow: HashSet<usize> = self.shallow.iter().filter_map(|id| repo.history.find(id)).collect();
        Ok(Asked { wants, common: Vec::new(), shallow, deepening })
    }
}

pub(super) fn id(text: &str) -> Told<ObjectId> {
    ObjectId::parse(text.trim_end()).ok_or_else(|| "an object is named by 40 hexadecimal digits here".to_owned())
}

fn number<T: std::str::FromStr>(text: &str) -> Told<T> {
    text.trim_end().parse().map_err(|_| format!("'{text}' is no number"))
}

/// Where a history will end.
pub(super) fn tell_ends(out: &mut Vec<u8>, selection: &Selection) {
    for id in &selection.shallow {
        line(out, &format!("shallow {id}\n"));
    }
    for id in &selection.unshallow {
        line(out, &format!("unshallow {id}\n"));
    }
}

/// A packet of a question; its line without the end of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    Flush,
    Delimiter,
    Words(&'a str),
}

/// The next packet; `None` at the end.
pub(super) fn next<'a>(packets: &mut Packets<'a>) -> Told<Option<Said<'a>>> {
    let Some(packet) = packets.next() else { return Ok(None) };
    let words = match packet {
        Ok(Packet::Flush) => return Ok(Some(Said::Flush)),
        Ok(Packet::Delimiter) => return Ok(Some(Said::Delimiter)),
        Ok(Packet::Line(line)) => std::str::from_utf8(line).ok(),
        Err(()) => None,
    };
    let words = words.ok_or_else(|| "the request could not be read".to_owned())?;
    Ok(Some(Said::Words(words.strip_suffix('\n').unwrap_or(words))))
}
