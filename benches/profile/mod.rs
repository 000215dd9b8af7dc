//! Where a step's time goes, from the spans that the kernels open on the thread that asks for them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tracing::Subscriber;
use tracing::span::Id;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// The spans that are open, and the time each name had for itself.
#[derive(Default)]
struct State {
    open: Vec<(&'static str, Instant, Duration)>,
    parts: BTreeMap<&'static str, Duration>,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

/// Counts what happens on one thread: what other threads do meanwhile is part of the span that waits for them.
struct Clock(std::thread::ThreadId);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Clock {
    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if std::thread::current().id() == self.0
            && let (Some(span), Some(state)) = (context.span(id), STATE.lock().unwrap().as_mut())
        {
            state.open.push((span.name(), Instant::now(), Duration::ZERO));
        }
    }

    fn on_exit(&self, _: &Id, _: Context<'_, S>) {
        if std::thread::current().id() != self.0 {
            return;
        }
        let mut guard = STATE.lock().unwrap();
        let Some(state) = guard.as_mut() else { return };
        let Some((name, began, inside)) = state.open.pop() else { return };
        let took = began.elapsed();
        *state.parts.entry(name).or_default() += took.saturating_sub(inside);
        if let Some((_, _, inside)) = state.open.last_mut() {
            *inside += took;
        }
    }
}

/// Runs `work`, which answers JSON, and adds to it how long each part took in all, in seconds.
pub fn of(work: impl FnOnce() -> Value) -> Value {
    *STATE.lock().unwrap() = Some(State::default());
    let subscriber = Registry::default().with(Clock(std::thread::current().id()));
    let mut answer = tracing::subscriber::with_default(subscriber, work);
    let parts = STATE.lock().unwrap().take().unwrap().parts;
    answer["parts"] = json!(parts.into_iter().map(|(name, took)| (name, took.as_secs_f64())).collect::<BTreeMap<_, _>>());
    answer
}
