//! Who has what, and is sent what.

use super::super::ObjectKind;
use super::*;

/// `main` is 0 1 2 3 4; 5 and 6 are a branch upon 1.
fn history() -> History {
    let mut history = History::default();
    for (number, parent) in [None, Some(0), Some(1), Some(2), Some(3), Some(1), Some(5)].into_iter().enumerate() {
        let text = format!("commit {number}");
        let id = ObjectId::of(ObjectKind::Commit, text.as_bytes());
        history.push(Commit { id, tree: ObjectId::NONE, parent, number: number as u32, seconds: 100 * number as i64, files: 1, text });
    }
    history
}

fn places(history: &History, ids: &[ObjectId]) -> Vec<usize> {
    ids.iter().map(|id| history.find(id).unwrap()).collect()
}

/// What is sent, held, and where the asker's history ends after it and no more.
fn select(asked: Asked) -> [Vec<usize>; 4] {
    let history = history();
    let Selection { commits, held, shallow, unshallow } = history.select(&asked);
    [commits, held, places(&history, &shallow), places(&history, &unshallow)]
}

fn depth(depth: u32) -> Deepening {
    Deepening { depth: Some(depth), ..Deepening::default() }
}

#[test]
fn whoever_has_nothing_is_sent_everything_once() {
    let all = select(Asked { wants: vec![4, 6, 4], ..Asked::default() });
    assert_eq!(all, [vec![6, 5, 4, 3, 2, 1, 0], vec![], vec![], vec![]]);
}

#[test]
fn what_is_there_is_not_sent_again() {
    let fetch = Asked { wants: vec![4, 6], common: vec![2], ..Asked::default() };
    assert_eq!(select(fetch), [vec![6, 5, 4, 3], vec![2, 1], vec![], vec![]]);
    let nothing = Asked { wants: vec![3], common: vec![4], ..Asked::default() };
    assert_eq!(select(nothing)[0], Vec::<usize>::new());
}

#[test]
fn a_short_history_ends_where_it_was_asked_to() {
    let first = Asked { wants: vec![4], deepening: depth(1), ..Asked::default() };
    assert_eq!(select(first), [vec![4], vec![], vec![4], vec![]]);
    let to_the_root = Asked { wants: vec![1], deepening: depth(2), ..Asked::default() };
    assert_eq!(select(to_the_root), [vec![1, 0], vec![], vec![], vec![]], "the first commit stands upon nothing");
    let deeper = Asked { wants: vec![4], common: vec![4], shallow: [4].into(), deepening: depth(3) };
    assert_eq!(select(deeper), [vec![3, 2], vec![4], vec![2], vec![4]]);
    let whole = Asked { wants: vec![4], common: vec![4], shallow: [4].into(), deepening: depth(i32::MAX as u32) };
    assert_eq!(select(whole), [vec![3, 2, 1, 0], vec![4], vec![], vec![4]]);
    let relative = Deepening { depth: Some(2), relative: true, ..Deepening::default() };
    let by_two = Asked { wants: vec![4], common: vec![4], shallow: [3].into(), deepening: relative };
    assert_eq!(select(by_two), [vec![2, 1], vec![3], vec![1], vec![3]]);
    let recent = Deepening { since: Some(300), ..Deepening::default() };
    assert_eq!(select(Asked { wants: vec![4], deepening: recent, ..Asked::default() }), [vec![4, 3], vec![], vec![3], vec![]]);
    let without = Deepening { not: vec![2], ..Deepening::default() };
    assert_eq!(select(Asked { wants: vec![4], deepening: without, ..Asked::default() }), [vec![4, 3], vec![], vec![3], vec![]]);
}

#[test]
fn a_fetch_into_a_short_history_leaves_it_short() {
    let fetch = Asked { wants: vec![4], common: vec![3], shallow: [3].into(), ..Asked::default() };
    assert_eq!(select(fetch), [vec![4], vec![3], vec![], vec![]]);
    // What lies under its end is not there, though something above it is common.
    let other = Asked { wants: vec![6], common: vec![4], shallow: [4].into(), ..Asked::default() };
    assert_eq!(select(other)[0], [6, 5, 1, 0]);
}

#[test]
fn enough_is_known_when_every_wish_stands_upon_something_common() {
    let settled = |wants: Vec<usize>, common: Vec<usize>| history().is_settled(&Asked { wants, common, ..Asked::default() });
    assert!(settled(vec![4, 6], vec![1]) && settled(vec![4], vec![4]));
    assert!(!settled(vec![4, 6], vec![2]) && !settled(vec![4], vec![]) && !settled(vec![1], vec![4]));
}
