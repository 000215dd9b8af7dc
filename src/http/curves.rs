//! The curves of a job as files: JSON, a table, TensorBoard's events. The API and the job's page both hand them out.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION};
use serde_json::{Value, json};

use super::error::{Answer, HttpError};
use super::job_events;
use crate::domain::curves::{self, Point};
use crate::domain::id::JobId;
use crate::domain::job_event::{Event, JobEvent};
use crate::domain::user::Actor;
use crate::service::Service;
use crate::wire::List;

/// In the format asked for; JSON where none is.
pub async fn answer(service: &Service, actor: &Actor, job: &JobId, format: Option<&str>) -> Answer {
    service.get_job(actor, job).await?;
    let points = points(job_events::all(service, actor, job).await?);
    let file = |media_type: &str, name: String, body: Vec<u8>| {
        Ok(HttpResponse::Ok()
            .content_type(media_type)
            .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
            .insert_header((CACHE_CONTROL, "private, no-cache"))
            .body(body))
    };
    match format.unwrap_or("json") {
        "json" => Ok(HttpResponse::Ok().json(List::<Value> { items: points.iter().map(line).collect(), next: None })),
        "csv" => file("text/csv; charset=utf-8", format!("curves-{job}.csv"), curves::to_csv(&points).into_bytes()),
        "tensorboard" => {
            let began = points.first().map_or(0, |point| point.time.unix_ms() / 1_000);
            file("application/octet-stream", format!("events.out.tfevents.{began}.{job}"), curves::to_events(&points))
        }
        _ => Err(HttpError::bad_request("bad_query", "there is no such format of curves", "use json, csv or tensorboard")),
    }
}

/// Of a run that was taken up again from a checkpoint, the newest numbers of each epoch.
fn points(events: Vec<JobEvent>) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    for event in events {
        if let Event::Epoch(numbers) = event.event {
            points.retain(|point| point.numbers.epoch < numbers.epoch);
            points.push(Point { time: event.time, numbers });
        }
    }
    points
}

fn line(point: &Point) -> Value {
    let mut line = json!(point.numbers);
    line["time"] = json!(point.time.to_string());
    line
}
