//! A job's events on the wire: as server-sent events that end when the job does, and as log lines. The API and
//! the job's page both use them.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use bytes::Bytes;
use futures_util::stream;
use tokio::time::Instant;

use super::error::{Answer, HttpError};
use crate::domain::id::JobId;
use crate::domain::job_event::{self, Event};
use crate::domain::task::Unit;
use crate::domain::user::Actor;
use crate::service::Service;
use crate::service::jobs::queue::JobNews;
use crate::wire::jobs::JobEvent;

/// How often the table is looked at for news.
const LOOK: Duration = Duration::from_millis(500);
/// The same where the database tells of them: a word may be lost.
const LOOK_BEHIND: Duration = Duration::from_secs(5);
/// A comment this often keeps proxies from thinking the line dead.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// What the stream knows between two pieces.
struct Follower {
    service: Service,
    actor: Actor,
    job: JobId,
    after: u64,
    spoke: Instant,
    ended: bool,
    /// Tells when something happened, at whatever node.
    news: Option<JobNews>,
    write: fn(job_event::JobEvent) -> String,
}

/// Answers with the events after number `after`, then with each as it happens; ends after the last one.
pub async fn stream(service: Service, actor: Actor, job: JobId, after: u64) -> Answer {
    stream_as(service, actor, job, after, |event| message(event.into())).await
}

/// The same, each event in a form of its own.
pub async fn stream_as(service: Service, actor: Actor, job: JobId, after: u64, write: fn(job_event::JobEvent) -> String) -> Answer {
    // A job that is not for this caller is refused before the stream begins.
    service.get_job(&actor, &job).await?;
    let news = service.job_news();
    let follower = Follower { service, actor, job, after, spoke: Instant::now(), ended: false, news, write };
    let pieces = stream::unfold(follower, |mut follower| async move {
        let piece = follower.next_piece().await?;
        Some((Ok::<_, actix_web::Error>(piece), follower))
    });
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CONTENT_TYPE, "text/event-stream"));
    answer.insert_header((CACHE_CONTROL, "no-store")).insert_header(("x-accel-buffering", "no"));
    Ok(answer.streaming(Box::pin(pieces)))
}

impl Follower {
    /// The next bytes to send; `None` ends the stream.
    async fn next_piece(&mut self) -> Option<Bytes> {
        loop {
            if self.ended {
                return None;
            }
            let text = match self.look().await {
                Ok(text) => text,
                Err(error) => {
                    // The browser comes back with the last number it saw.
                    tracing::warn!(error = %error.problem.message, job = %self.job, "an event stream broke off");
                    return None;
                }
            };
            if !text.is_empty() {
                self.spoke = Instant::now();
                return Some(text.into());
            }
            if self.spoke.elapsed() >= SIGN_OF_LIFE {
                self.spoke = Instant::now();
                return Some(Bytes::from_static(b": still here\n\n"));
            }
            if !self.ended {
                self.pause().await;
            }
        }
    }

    async fn pause(&mut self) {
        let Some(news) = &mut self.news else { return tokio::time::sleep(LOOK).await };
        let patience = if news.is_live() { LOOK_BEHIND } else { LOOK };
        // Woken or not, the table is looked at.
        let _ = tokio::time::timeout(patience, news.wait_for(&self.job)).await;
    }

    /// New events as text. The state is read before the events: if the job had ended by then, they are the last.
    async fn look(&mut self) -> Result<String, HttpError> {
        let ended = self.service.get_job(&self.actor, &self.job).await?.state.is_final();
        let events = self.service.job_events(&self.actor, &self.job, self.after).await?;
        self.ended = ended && events.is_empty();
        self.after = events.last().map_or(self.after, |event| event.number);
        Ok(events.into_iter().map(self.write).collect())
    }
}

/// `id`, `event` and `data` lines. JSON has no line breaks, so one data line holds it all.
fn message(event: JobEvent) -> String {
    let data = serde_json::to_string(&event).unwrap_or_default();
    format!("id: {}\nevent: {}\ndata: {data}\n\n", event.number, event.kind)
}

/// A job's events from the first; the service hands over so many at a time.
pub async fn all(service: &Service, actor: &Actor, job: &JobId) -> Result<Vec<job_event::JobEvent>, HttpError> {
    let mut all: Vec<job_event::JobEvent> = Vec::new();
    loop {
        let after = all.last().map_or(0, |event| event.number);
        let more = service.job_events(actor, job, after).await?;
        if more.is_empty() {
            return Ok(all);
        }
        all.extend(more);
    }
}

/// All lines of a job's log.
pub async fn log(service: &Service, actor: &Actor, job: &JobId) -> Result<String, HttpError> {
    Ok(all(service, actor, job).await?.iter().map(line).collect())
}

/// One line; what other people's files are called cannot break it.
pub fn line(event: &job_event::JobEvent) -> String {
    let clean: String = said(&event.event).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{} {clean}\n", event.time)
}

fn said(event: &Event) -> String {
    match event {
        Event::Log { level, message } => format!("{level}: {message}"),
        Event::State { state, error } => format!("{state} {}", error.as_deref().unwrap_or_default()).trim_end().to_owned(),
        Event::Epoch(numbers) => {
            let primary = numbers.task.primary();
            let shown = |value: f64| match primary.unit {
                Unit::Share => format!("{:.2}%", 100.0 * value),
                _ => primary.show(value, 4),
            };
            format!(
                "epoch {}/{}: train loss {:.4} {title} {}, validation loss {:.4} {title} {}, {:.1} s",
                numbers.epoch,
                numbers.epochs,
                numbers.train_loss,
                shown(numbers.train_primary),
                numbers.val_loss,
                shown(numbers.val_primary()),
                numbers.seconds,
                title = primary.title,
            )
        }
        Event::Progress(progress) => format!("{}: step {} of {}", progress.stage, progress.step, progress.total_steps),
        Event::Result { published: Some((name, version)), .. } => format!("published {name}@{version}"),
        Event::Result { published: None, files, .. } => format!("left {}", files.join(", ")),
        Event::Other { kind, .. } => kind.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn event(kind: &str, body: &str) -> job_event::JobEvent {
        let event = Event::read(kind, serde_json::from_str(body).unwrap());
        job_event::JobEvent { number: 3, time: Timestamp::from_unix_ms(0), event }
    }

    #[test]
    fn an_event_is_one_message_of_three_lines() {
        let text = message(event("log", "{\"level\":\"info\",\"message\":\"a\\nid: 9\\n\\nb\"}").into());
        assert_eq!(text.lines().count(), 4, "{text:?}");
        assert!(text.starts_with("id: 3\nevent: log\ndata: {\"number\":3,") && text.ends_with("}\n\n"));
    }

    #[test]
    fn log_lines_stay_lines() {
        let text = line(&event("log", "{\"level\":\"warn\",\"message\":\"a\\nfake\\u001b[31m\"}"));
        assert_eq!(text, "1970-01-01T00:00:00.000Z warn: a fake [31m\n");
        let epoch = r#"{"epoch":1,"epochs":2,"train_loss":0.5,"train_top1":0.5,"val_loss":0.75,"val_top1":0.25,"val_top5":1,"macro_f1":0.5,
            "lr":0.01,"images_per_second":9.5,"seconds":1.25,"eta_seconds":1.0,"best":true}"#;
        let text = line(&event("epoch", epoch));
        assert!(text.ends_with("epoch 1/2: train loss 0.5000 top-1 50.00%, validation loss 0.7500 top-1 25.00%, 1.2 s\n"), "{text}");
        let epoch = r#"{"epoch":1,"epochs":2,"train_loss":0.5,"train_rmse":3.5,"val_loss":0.75,"val_rmse":4.25,"val_mae":1,"val_r2":0.5,
            "lr":0.01,"images_per_second":9.5,"seconds":1.25,"eta_seconds":1.0,"best":true,"task":"regression"}"#;
        let text = line(&event("epoch", epoch));
        assert!(text.ends_with("epoch 1/2: train loss 0.5000 RMSE 3.500, validation loss 0.7500 RMSE 4.250, 1.2 s\n"), "{text}");
        assert!(line(&event("epoch", r#"{"epoch":1}"#)).ends_with(" epoch\n"), "what cannot be read is named");
        assert!(line(&event("state", "{\"state\":\"failed\",\"error\":\"no\"}")).ends_with("failed no\n"));
    }
}
