//! The heartbeat of a running job: once a second it tells the service what happened and hears whether to go on.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

use super::Error;
use super::office::{Beat, Office};
use crate::domain::job::Lease;
use crate::domain::job_event::Event;
use crate::train::Control;

/// Also how long a cancelled job goes on at most, beside the step it is in.
const EVERY: Duration = Duration::from_secs(1);

/// How often what does not speak itself looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(200);
/// Pieces of news in one beat.
const AT_ONCE: usize = 1_000;

const GO_ON: u8 = 0;
const CANCEL: u8 = 1;
const LOST: u8 = 2;
const STOPPING: u8 = 3;

/// What the training thread and the beating share.
#[derive(Default)]
pub(super) struct Heartbeat {
    news: Mutex<Vec<(u64, Event)>>,
    /// The number of the newest piece of news: by it the hub knows what it has heard before.
    told: AtomicU64,
    halt: AtomicU8,
    /// One beat at a time, so that news stays in order.
    beating: tokio::sync::Mutex<()>,
    done: Notify,
}

impl Heartbeat {
    /// Takes an event to be told with the next beat, and says whether to go on. Called between training steps.
    pub fn note(&self, event: Event) -> Control {
        let mut news = self.news();
        // Where a job stood a moment ago is no news once it stands elsewhere.
        if matches!((&event, news.last()), (Event::Progress(_), Some((_, Event::Progress(_))))) {
            news.pop();
        }
        // Never the number of what it takes the place of: that may be on its way.
        news.push((self.told.fetch_add(1, Ordering::Relaxed) + 1, event));
        self.control()
    }

    pub fn control(&self) -> Control {
        if self.halt.load(Ordering::Relaxed) == GO_ON { Control::Continue } else { Control::Stop }
    }

    /// Comes to its end once the job must not go on.
    pub async fn halted(&self) {
        while self.control() == Control::Continue {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Why the job must not go on, if so.
    pub fn verdict(&self) -> Option<Error> {
        match self.halt.load(Ordering::Relaxed) {
            CANCEL => Some(Error::Cancelled),
            LOST => Some(Error::Lost),
            STOPPING => Some(Error::Stopping),
            _ => None,
        }
    }

    fn news(&self) -> MutexGuard<'_, Vec<(u64, Event)>> {
        self.news.lock()
    }

    fn halt(&self, why: u8) {
        self.halt.store(why, Ordering::Relaxed);
    }

    /// Tells all news now.
    pub async fn beat(&self, office: &dyn Office, lease: &Lease) {
        let _one = self.beating.lock().await;
        let news = {
            let mut waiting = self.news();
            let some = waiting.len().min(AT_ONCE);
            waiting.drain(..some).collect::<Vec<_>>()
        };
        match office.beat(lease, &news).await {
            Ok(Beat::GoOn) => {}
            Ok(Beat::Cancel) => self.halt(CANCEL),
            // Given back as it is, as when the worker ends.
            Ok(Beat::Pause) => self.halt(STOPPING),
            Ok(Beat::Lost) | Err(Error::Lost) => self.halt(LOST),
            Err(error) => {
                // The lease outlives a few missed beats; the news goes with the next one.
                tracing::warn!(%error, job = %lease.job, "a heartbeat failed");
                let mut waiting = self.news();
                let later = std::mem::replace(&mut *waiting, news);
                waiting.extend(later);
            }
        }
    }

    /// Ends [`Heartbeat::run`]. Never in the middle of a beat: its news would be lost.
    pub fn finish(&self) {
        self.done.notify_one();
    }

    /// Beats until [`Heartbeat::finish`], and once more for what happened last.
    pub async fn run(&self, office: &dyn Office, lease: &Lease, mut stopping: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if *stopping.borrow() {
                self.halt(STOPPING);
            }
            tokio::select! {
                _ = ticks.tick() => self.beat(office, lease).await,
                // A sender that is gone says nothing more: then only the ticks count.
                Ok(()) = stopping.changed() => {}
                () = self.done.notified() => break,
            }
        }
        self.beat(office, lease).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job_event::{Level, Progress};

    fn progress(step: u64) -> Event {
        Event::Progress(Progress { stage: "epoch".into(), step, total_steps: 9, samples_per_second: 1.0, eta_seconds: 1.0 })
    }

    #[test]
    fn only_the_newest_progress_is_news() {
        let heartbeat = Heartbeat::default();
        let log = Event::log(Level::Info, "x");
        for event in [progress(1), progress(2), log.clone(), progress(3)] {
            assert_eq!(heartbeat.note(event), Control::Continue);
        }
        assert_eq!(*heartbeat.news(), [(2, progress(2)), (3, log), (4, progress(3))]);
        heartbeat.halt(CANCEL);
        assert_eq!(heartbeat.note(progress(4)), Control::Stop);
        assert!(matches!(heartbeat.verdict(), Some(Error::Cancelled)));
    }
}
