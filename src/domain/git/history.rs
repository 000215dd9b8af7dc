//! The commits of a repo, each upon at most one other, and which of them somebody is sent who has some already.

use std::collections::{HashMap, HashSet, VecDeque};

use super::ObjectId;

/// One version as a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub id: ObjectId,
    pub tree: ObjectId,
    /// Its place in the history.
    pub parent: Option<usize>,
    /// Of the version.
    pub number: u32,
    pub seconds: i64,
    /// Files of the version.
    pub files: u64,
    pub text: String,
}

/// All commits, parents first; they are named by their places.
#[derive(Debug, Clone, Default)]
pub struct History {
    commits: Vec<Commit>,
    by_id: HashMap<ObjectId, usize>,
}

/// How much of the past somebody wants; with none of it all that they lack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deepening {
    /// So many commits down from what is wanted.
    pub depth: Option<u32>,
    /// The depth counts from where their history ends.
    pub relative: bool,
    /// None older than this.
    pub since: Option<i64>,
    /// Nothing that these stand upon.
    pub not: Vec<usize>,
}

impl Deepening {
    pub fn is_asked(&self) -> bool {
        self.depth.is_some() || self.since.is_some() || !self.not.is_empty()
    }
}

#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub wants: Vec<usize>,
    /// What both sides have.
    pub common: Vec<usize>,
    /// Where the asker's own history ends: they have these, and not what these stand upon.
    pub shallow: HashSet<usize>,
    pub deepening: Deepening,
}

/// What is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Newest first.
    pub commits: Vec<usize>,
    /// Commits the asker has beside those: their files need not come again.
    pub held: Vec<usize>,
    /// Where the asker's history will end, and where it will no longer.
    pub shallow: Vec<ObjectId>,
    pub unshallow: Vec<ObjectId>,
}

/// Each costs reading its list of files: more of them save less than they cost.
const MOST_HELD: usize = 16;

impl History {
    /// Parents before what stands upon them.
    pub fn push(&mut self, commit: Commit) -> usize {
        let at = self.commits.len();
        self.by_id.insert(commit.id, at);
        self.commits.push(commit);
        at
    }

    pub fn find(&self, id: &ObjectId) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub fn at(&self, place: usize) -> Option<&Commit> {
        self.commits.get(place)
    }

    fn parent(&self, place: usize) -> Option<usize> {
        self.commits.get(place)?.parent
    }

    /// Some commits and all that they stand upon; `stops` are the last of their line.
    fn reached(&self, from: &[usize], stops: &HashSet<usize>) -> HashSet<usize> {
        let mut reached = HashSet::new();
        for start in from {
            let mut next = Some(*start);
            while let Some(place) = next.filter(|place| reached.insert(*place)) {
                next = self.parent(place).filter(|_| !stops.contains(&place));
            }
        }
        reached
    }

    /// Does everything that is wanted stand upon something both have? Then no more need be asked.
    pub fn is_settled(&self, asked: &Asked) -> bool {
        let common: HashSet<usize> = asked.common.iter().copied().collect();
        let mut stands: Vec<bool> = Vec::with_capacity(self.commits.len());
        for (place, commit) in self.commits.iter().enumerate() {
            stands.push(common.contains(&place) || commit.parent.is_some_and(|parent| stands.get(parent) == Some(&true)));
        }
        asked.wants.iter().all(|want| stands.get(*want) == Some(&true))
    }

    pub fn select(&self, asked: &Asked) -> Selection {
        let reach = self.reach(asked);
        let has = self.reached(&asked.common, &asked.shallow);
        let mut commits: Vec<usize> = reach.within.difference(&has).copied().collect();
        commits.sort_unstable_by(|a, b| b.cmp(a));
        let sent: HashSet<usize> = commits.iter().copied().collect();
        let under = commits.iter().filter_map(|place| self.parent(*place)).filter(|place| has.contains(place));
        let above = has.iter().copied().filter(|place| self.parent(*place).is_some_and(|parent| sent.contains(&parent)));
        let mut held: Vec<usize> = under.chain(above).collect::<HashSet<_>>().into_iter().collect();
        held.sort_unstable_by(|a, b| b.cmp(a));
        held.truncate(MOST_HELD);
        let ids = |places: &[usize]| places.iter().filter_map(|place| self.at(*place)).map(|commit| commit.id).collect();
        Selection { held, shallow: ids(&reach.ends), unshallow: ids(&reach.ends_no_more), commits }
    }

    /// From what is wanted down to where the asker's history is to end, the nearest first.
    fn reach(&self, asked: &Asked) -> Reach {
        let deepening = &asked.deepening;
        let excluded = self.reached(&deepening.not, &HashSet::new());
        let limit = deepening.depth.map(|depth| if deepening.relative { depth.saturating_add(1) } else { depth });
        let mut reach = Reach::default();
        let mut queue: VecDeque<(usize, u32)> = asked.wants.iter().map(|want| (*want, u32::from(!deepening.relative))).collect();
        while let Some((place, depth)) = queue.pop_front() {
            if !reach.within.insert(place) {
                continue;
            }
            let was_end = asked.shallow.contains(&place);
            // From here on it counts.
            let depth = if depth == 0 && was_end { 1 } else { depth };
            let Some(parent) = self.parent(place) else { continue };
            let goes_on = match deepening.is_asked() {
                false => !was_end,
                true => {
                    limit.is_none_or(|limit| depth < limit)
                        && deepening.since.is_none_or(|since| self.at(parent).is_some_and(|commit| commit.seconds >= since))
                        && !excluded.contains(&parent)
                }
            };
            match (goes_on, was_end) {
                (true, _) => queue.push_back((parent, if depth == 0 { 0 } else { depth.saturating_add(1) })),
                (false, false) => reach.ends.push(place),
                (false, true) => {}
            }
            if goes_on && was_end {
                reach.ends_no_more.push(place);
            }
        }
        reach
    }
}

#[derive(Debug, Default)]
struct Reach {
    within: HashSet<usize>,
    ends: Vec<usize>,
    ends_no_more: Vec<usize>,
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
