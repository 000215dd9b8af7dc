//! What a list begins with where nobody gave words: the sum of what speaks for a repo. Each part is worth about as much as the others, so that a
//! hub nobody has pulled from yet begins with what is here, works and is known to be right, and one in use with what is used. It does not change by
//! time passing, as it is walked along in an index: what is newer has more from its birth on.

const YEAR_MS: f64 = 365.25 * 86_400_000.0;
/// 2024 began.
const EPOCH_MS: f64 = 1_704_067_200_000.0;

/// What is known of a repo.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    pub downloads: i64,
    /// When its newest version came, in milliseconds since 1970; 0 for none.
    pub newest: i64,
    /// It has files here; it can be run and fine-tuned here.
    pub here: bool,
    pub runs: bool,
    /// The share of first answers that are right, 0 to 1; below 0 where nobody says it.
    pub top1: f64,
}

/// One each for being here and for running here, up to two for being right, one for each year it is newer, one for each doubling of downloads but
/// for a factor: their logarithm.
pub(super) fn of(known: &Known) -> f64 {
    let flag = |is: bool| if is { 1.0 } else { 0.0 };
    let years = if known.newest > 0 { ((known.newest as f64 - EPOCH_MS) / YEAR_MS).clamp(0.0, 100.0) } else { 0.0 };
    of_downloads(known.downloads) + flag(known.here) + flag(known.runs) + 2.0 * known.top1.clamp(0.0, 1.0) + years
}

/// The part that grows with each pull.
pub(in crate::catalog) fn of_downloads(downloads: i64) -> f64 {
    (1.0 + downloads.max(0) as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_right_here_or_new_comes_first() {
        let listed = Known { top1: -1.0, ..Known::default() };
        let accurate = Known { top1: 0.85, ..listed };
        let here = Known { here: true, runs: true, newest: 1_796_000_000_000, top1: -1.0, ..listed };
        let older = Known { newest: here.newest - 86_400_000, ..here };
        let used = Known { downloads: 1_000, ..older };
        let all: Vec<f64> = [listed, accurate, older, here, used].iter().map(of).collect();
        assert!(all.is_sorted() && all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
        assert_eq!((of(&listed), of(&Known { newest: 1, downloads: -3, ..listed })), (0.0, 0.0));
    }
}
