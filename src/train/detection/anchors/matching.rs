//! Which anchor is to find which object: each object the anchor that it overlaps most, so that none is left out, and every other anchor the object
//! with which it shares more than half of the union (Liu et al. 2016).

use super::Anchor;
use crate::data::targets::Boxed;
use crate::train::measures::detection::overlap;

/// A share of the union from which on an anchor shows an object, and a share of the anchor within objects that are not told apart.
const ENOUGH: f64 = 0.5;

/// What an anchor is to answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Wanted {
    Nothing,
    /// Anything: it lies among objects that are not told apart.
    Anything,
    /// An object: its class, and its box as left, top, width and height.
    Object {
        class: u32,
        bbox: [f32; 4],
    },
}

/// What each anchor is to answer.
pub(super) fn matched(objects: &[Boxed], anchors: &[Anchor]) -> Vec<Wanted> {
    let (crowds, single): (Vec<&Boxed>, Vec<&Boxed>) = objects.iter().partition(|object| object.crowd);
    let mut wanted = vec![Wanted::Nothing; anchors.len()];
    let mut most = vec![0f64; anchors.len()];
    let mut best: Vec<(f64, usize)> = vec![(0.0, 0); single.len()];
    for (at, anchor) in anchors.iter().enumerate() {
        let own = anchor.bbox();
        for (object, best) in single.iter().zip(&mut best) {
            let share = overlap(&own, &object.bbox.map(f64::from), false);
            if share > best.0 {
                *best = (share, at);
            }
            if share > ENOUGH && share > most[at] {
                (most[at], wanted[at]) = (share, object_of(object));
            }
        }
        if wanted[at] == Wanted::Nothing && crowds.iter().any(|crowd| overlap(&own, &crowd.bbox.map(f64::from), true) > ENOUGH) {
            wanted[at] = Wanted::Anything;
        }
    }
    // Of objects with the same best anchor the one that overlaps it most has it.
    let mut order: Vec<usize> = (0..single.len()).filter(|object| best[*object].0 > 0.0).collect();
    order.sort_by(|a, b| best[*a].0.total_cmp(&best[*b].0));
    for object in order {
        wanted[best[object].1] = object_of(single[object]);
    }
    wanted
}

fn object_of(object: &Boxed) -> Wanted {
    Wanted::Object { class: object.class, bbox: object.bbox }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(class: u32, bbox: [f32; 4]) -> Boxed {
        Boxed { class, bbox, area: bbox[2] * bbox[3], crowd: false }
    }

    fn found(wanted: &[Wanted]) -> Vec<(usize, u32)> {
        let of = |(at, wanted): (usize, &Wanted)| if let Wanted::Object { class, .. } = wanted { Some((at, *class)) } else { None };
        wanted.iter().enumerate().filter_map(of).collect()
    }

    #[test]
    fn every_object_has_its_best_anchor_and_all_that_share_half() {
        let anchors = Anchor::all([64, 64]);
        // Exactly the first anchor of the place in row 3, column 3 of the finest map, whose middle is (28, 28).
        let own = (3 * 8 + 3) * 4;
        let all = found(&matched(&[object(1, [16.0, 16.0, 24.0, 24.0])], &anchors));
        assert!(all.contains(&(own, 1)), "{all:?}");
        // Its neighbours eight pixels away share 16 x 24 of 32 x 24, half and no more; the larger square at the same place shares half of its area.
        let of = |at: usize| overlap(&anchors[at].bbox(), &[16.0, 16.0, 24.0, 24.0], false);
        assert!(all.iter().all(|(at, _)| of(*at) > 0.5 || *at == own));
        assert!((0..anchors.len()).filter(|at| of(*at) > 0.5).all(|at| all.contains(&(at, 1))));
        let tiny = found(&matched(&[object(0, [25.0, 25.0, 3.0, 3.0])], &anchors));
        assert_eq!(tiny.len(), 1, "what shares half with none has one anchor: {tiny:?}");
    }

    #[test]
    fn of_two_objects_an_anchor_finds_the_one_it_overlaps_most_and_crowds_teach_nothing() {
        let anchors = Anchor::all([64, 64]);
        let own = (3 * 8 + 3) * 4;
        let both = [object(0, [16.0, 16.0, 24.0, 20.0]), object(2, [16.0, 16.0, 24.0, 24.0])];
        let wanted = matched(&both, &anchors);
        assert_eq!(wanted[own], Wanted::Object { class: 2, bbox: [16.0, 16.0, 24.0, 24.0] });
        let crowd = Boxed { crowd: true, ..object(0, [0.0, 0.0, 64.0, 20.0]) };
        let wanted = matched(&[crowd], &anchors);
        assert!(found(&wanted).is_empty() && wanted[(8 + 3) * 4] == Wanted::Anything && wanted[7 * 8 * 4] == Wanted::Nothing);
        assert!(matched(&[], &anchors).iter().all(|wanted| *wanted == Wanted::Nothing));
    }
}
