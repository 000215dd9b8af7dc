//! When the frames of films are shown that this process has looked into, by what is in them: a film is opened for each of its clips, its pieces
//! and in each epoch anew, and asking ffprobe costs as much as decoding a short one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::digest::Digest;

/// Numbers that are kept, 32 MiB of them; the films that were looked into first go first.
const MOST_NUMBERS: usize = 4 << 20;

static KNOWN: Mutex<Known> = Mutex::new(Known::new(MOST_NUMBERS));

/// Of a film with this sha256, if it was looked into lately.
pub fn find(film: &Digest) -> Option<Arc<[f64]>> {
    KNOWN.lock().times.get(film).cloned()
}

pub fn keep(film: Digest, times: &Arc<[f64]>) {
    KNOWN.lock().keep(film, times.clone());
}

struct Known {
    times: BTreeMap<Digest, Arc<[f64]>>,
    order: VecDeque<Digest>,
    numbers: usize,
    most: usize,
}

impl Known {
    const fn new(most: usize) -> Known {
        Known { times: BTreeMap::new(), order: VecDeque::new(), numbers: 0, most }
    }

    fn keep(&mut self, film: Digest, times: Arc<[f64]>) {
        if self.times.contains_key(&film) || times.len() > self.most {
            return;
        }
        self.numbers += times.len();
        self.times.insert(film, times);
        self.order.push_back(film);
        while self.numbers > self.most {
            let Some(first) = self.order.pop_front() else { return };
            self.numbers -= self.times.remove(&first).map_or(0, |times| times.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_films_go_first_and_no_more_is_kept_than_may_be() {
        let mut known = Known::new(10);
        let film = |n: u8| Digest::of(&[n]);
        for (n, frames) in [(1, 4), (2, 4), (2, 4), (3, 3), (4, 11)] {
            known.keep(film(n), vec![0.0; frames].into());
        }
        let there: Vec<bool> = (1..5).map(|n| known.times.contains_key(&film(n))).collect();
        assert_eq!((there, known.numbers), (vec![false, true, true, false], 7));
    }
}
