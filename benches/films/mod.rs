//! Films from their bytes to the clip that a network takes, as training and answering read them.

use std::sync::atomic::{AtomicU32, Ordering};

use hub::data::Limits;
use hub::data::modality::{Modality, View};
use hub::data::video::{Videos, programs};
use hub::domain::config::ModelConfig;
use serde_json::{Value, json};

/// Films so far, of which no two are equal.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Seconds of a processor's time for each of `count` clips of so many frames from all over the film. The film is a new one each time, by a few bytes
/// that nobody reads, unless `again`: then what was found of it the first time is known.
pub fn time(file: &str, frames: usize, side: usize, count: usize, again: bool) -> Value {
    if programs().is_none() {
        return json!({ "skip": "there is no ffmpeg" });
    }
    let film = std::fs::read(file).unwrap();
    let config = format!(
        r#"{{"architecture": "resnet18", "temporal": {{"frames": {frames}}}, "pretrained_cfg": {{"input_size": [3, {side}, {side}], "interpolation": "bilinear", "crop_pct": 0.875}}}}"#
    );
    let views = Videos.views(&ModelConfig::read(&config).unwrap()).unwrap();
    let (mut maker, limits) = (views.maker().unwrap(), Limits::default());
    let mut seconds = Vec::new();
    for _ in 0..count {
        let number = if again { u32::MAX } else { NUMBER.fetch_add(1, Ordering::Relaxed) };
        let item = [film.as_slice(), &[0, 0, 0, 12], b"free", &number.to_be_bytes()].concat();
        let mut batch = maker.batch(1);
        let began = used();
        maker.add(&item, &limits, View::Plain, &mut batch).unwrap().unwrap();
        seconds.push(used() - began);
    }
    if again {
        // The first looks into the film.
        seconds.remove(0);
    }
    json!({ "seconds": seconds })
}

/// The processor's time of this process and of those it has waited for.
fn used() -> f64 {
    let of = |who| {
        // SAFETY: all zeros are a valid rusage, which the call fills.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        assert_eq!(unsafe { libc::getrusage(who, &mut usage) }, 0);
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
        seconds(usage.ru_utime) + seconds(usage.ru_stime)
    };
    of(libc::RUSAGE_SELF) + of(libc::RUSAGE_CHILDREN)
}
