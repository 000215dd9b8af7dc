//! Which frames of a video a clip shows.
//!
//! ```text
//! uniform  T equally long parts, one frame of each: at the same place in all for plain clips (the middle for the first), at a random one for
//!          training (Wang et al. 2016, TSN)
//! dense    T frames, each `stride` after the one before: from the middle of the video for the first plain clip, from anywhere for training
//! ```
//!
//! A video that is too short is begun again from its start.

use rand::{Rng, RngExt};

use crate::domain::recipe::FrameSampling;
use crate::domain::temporal_config::Temporal;

/// Frames of plain clip `number` (from 0) of a video of so many, rising but where it is begun again.
pub fn plain(temporal: &Temporal, count: usize, number: u32) -> Vec<usize> {
    let place = place(number);
    match temporal.sampling {
        FrameSampling::Uniform => parts(temporal.frames, count, |_| place),
        FrameSampling::Dense => run(temporal, count, place),
    }
}

/// Frames of a random clip.
pub fn random(temporal: &Temporal, count: usize, random: &mut impl Rng) -> Vec<usize> {
    match temporal.sampling {
        FrameSampling::Uniform => parts(temporal.frames, count, |_| random.random_range(0.0..1.0)),
        FrameSampling::Dense => {
            let place = random.random_range(0.0..1.0);
            run(temporal, count, place)
        }
    }
}

/// Where in its room a plain clip lies: 1/2, 1/4, 3/4, 1/8 ..., so that one more clip moves no other.
fn place(number: u32) -> f64 {
    let (mut number, mut place, mut share) = (number + 1, 0.0, 0.5);
    while number > 0 {
        place += share * f64::from(number & 1);
        (number, share) = (number >> 1, share / 2.0);
    }
    place
}

fn parts(frames: usize, count: usize, mut place: impl FnMut(usize) -> f64) -> Vec<usize> {
    let of = |part: usize, place: f64| ((part as f64 + place) * count as f64 / frames as f64) as usize;
    (0..frames).map(|part| of(part, place(part)).min(count.saturating_sub(1))).collect()
}

fn run(temporal: &Temporal, count: usize, place: f64) -> Vec<usize> {
    let span = (temporal.frames - 1) * temporal.stride + 1;
    let first = (place * (count.saturating_sub(span) + 1) as f64) as usize;
    let first = first.min(count.saturating_sub(span));
    (0..temporal.frames).map(|at| (first + at * temporal.stride) % count.max(1)).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn of(sampling: FrameSampling, frames: usize, stride: usize) -> Temporal {
        Temporal { frames, sampling, stride, ..Temporal::default() }
    }

    #[test]
    fn uniform_clips_show_a_frame_of_each_part() {
        let eight = of(FrameSampling::Uniform, 8, 1);
        assert_eq!(plain(&eight, 8, 0), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(plain(&eight, 16, 0), [1, 3, 5, 7, 9, 11, 13, 15]);
        assert_eq!(plain(&eight, 16, 1), [0, 2, 4, 6, 8, 10, 12, 14]);
        assert_eq!(plain(&of(FrameSampling::Uniform, 4, 1), 8, 0), [1, 3, 5, 7]);
        assert_eq!(plain(&eight, 1, 0), [0; 8]);
        assert_eq!(plain(&eight, 3, 0), [0, 0, 0, 1, 1, 2, 2, 2]);
    }

    #[test]
    fn dense_clips_are_runs_and_begin_again_where_a_video_ends() {
        let four = of(FrameSampling::Dense, 4, 2);
        assert_eq!(plain(&four, 17, 0), [5, 7, 9, 11]);
        assert_eq!(plain(&four, 7, 0), [0, 2, 4, 6]);
        assert_eq!(plain(&four, 5, 0), [0, 2, 4, 1]);
        assert_eq!(plain(&four, 1, 3), [0; 4]);
        let starts: Vec<usize> = (0..4).map(|clip| plain(&four, 107, clip)[0]).collect();
        assert_eq!(starts, [50, 25, 75, 12]);
    }

    #[test]
    fn random_clips_stay_within_and_follow_from_their_numbers() {
        for sampling in [FrameSampling::Uniform, FrameSampling::Dense] {
            let temporal = of(sampling, 8, 3);
            for (seed, count) in [(0, 1), (1, 7), (2, 40), (3, 1_000)] {
                let draw = || random(&temporal, count, &mut ChaCha8Rng::seed_from_u64(seed));
                assert!(draw().iter().all(|frame| *frame < count) && draw() == draw());
            }
            let starts: Vec<usize> = (0..20).map(|seed| random(&temporal, 1_000, &mut ChaCha8Rng::seed_from_u64(seed))[0]).collect();
            assert!(starts.iter().any(|start| *start != starts[0]), "{sampling}");
        }
    }
}
