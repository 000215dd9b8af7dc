//! A model of images tried by hand: a picture is chosen or dropped, and the classes come back as bars. It asks what the API's `predict` asks, changes
//! nothing, and needs no script.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::frame::{Frame, page_with};
use super::repo::look;
use super::repo_head::Head;
use super::small_form::SmallForm;
use crate::domain::answers::{Content, Said};
use crate::domain::modality::Modality;
use crate::domain::name::RepoKind;
use crate::domain::prediction::Answer as Judged;
use crate::domain::repo::RepoSummary;
use crate::http::body::Body;
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Query, RepoAt};
use crate::service::Service;

/// Classes shown.
const CLASSES: usize = 8;
/// Larger pictures are not shown again beside the answer.
const SHOWN_BYTES: usize = 48 << 10;

#[derive(Template)]
#[template(path = "try_image.html")]
pub struct TryImage {
    frame: Frame,
    head: Head,
    action: Sending,
    problem: String,
    name: String,
    /// As a `data:` address.
    picture: Option<String>,
    classes: Vec<ClassBar>,
    values: Vec<(String, String)>,
    /// What was said of places, over the picture: SVG.
    drawn: String,
    /// Of a video that is longer than one piece.
    timeline: Vec<Moment>,
}

/// A piece of a video, and the likeliest of what is said about it.
struct Moment {
    /// From and to.
    span: String,
    said: String,
    /// Of a class; none of numbers, or where there is no answer.
    bar: Option<ClassBar>,
}

impl Moment {
    fn of(item: &Said) -> Moment {
        let told = |said: String, bar| Moment { span: item.name.clone(), said, bar };
        match &item.content {
            Content::Answer(answered) => match (answered.classes().first(), answered.values().first()) {
                (Some(class), _) => told(class.label.clone(), Some(ClassBar::of(&class.label, class.probability))),
                (None, Some(value)) => told(format!("{}: {}", value.name, value.value), None),
                (None, None) => told(String::new(), None),
            },
            Content::Unanswered { error } => told(error.message.clone(), None),
            Content::Features { .. } => told(String::new(), None),
        }
    }
}

struct ClassBar {
    label: String,
    /// In thousandths.
    thousandths: u64,
    share: String,
}

impl ClassBar {
    fn of(label: &str, probability: f32) -> ClassBar {
        let probability = f64::from(probability);
        ClassBar {
            label: label.to_owned(),
            thousandths: (probability * 1e3).round() as u64,
            share: format!("{:.1} %", 100.0 * probability),
        }
    }
}

/// A form by which an item is sent.
pub struct Sending {
    /// Where it goes.
    pub action: String,
    pub item: &'static str,
    /// What a browser offers to choose.
    pub accept: &'static str,
}

/// The form of a model that says something about images or videos and runs here.
pub fn action(summary: &RepoSummary, rev_query: &str) -> Option<Sending> {
    let facts = &summary.facts;
    summary.head.as_ref().filter(|_| summary.repo.kind == RepoKind::Model && facts.can_be_run() && facts.num_classes > 0)?;
    let modality = Modality::parse(&facts.modality).filter(|modality| modality.has_frames() || modality.items() == "images")?;
    let (item, accept) = if modality.has_frames() { ("A video or a strip of frames", "video/*,image/*") } else { ("A picture", "image/*") };
    Some(Sending { action: format!("{}/try{rev_query}", super::card::href(RepoKind::Model, &summary.repo.id)), item, accept })
}

/// The form alone.
pub fn show(visitor: &Visitor, summary: &RepoSummary, query: &Query, action: Sending) -> Answer {
    let head = Head::of(summary, "try", query);
    page_with(StatusCode::OK, &TryImage::empty(Frame::of(visitor, "models"), head, action))
}

/// A picture that is sent: `multipart/form-data` from our own page.
pub async fn ask(request: HttpRequest, visitor: Visitor, service: Data<Service>, at: RepoAt, query: Query, body: Body) -> Answer {
    let form = SmallForm::receive(&request, &service, body).await?;
    let actor = visitor.actor();
    let (summary, revision) = look(&service, &actor, RepoKind::Model, &at.id, &query).await?;
    let head = Head::of(&summary, "try", &query);
    let Some(action) = action(&summary, &head.rev_query) else { return Err(HttpError::of_status(StatusCode::NOT_FOUND)) };
    let nothing = || HttpError::bad_request("nothing_asked", "there is no picture", "choose one, or drop it on the field");
    let (name, bytes) = form.files("image").next().ok_or_else(nothing)?;
    let mut page = TryImage::empty(Frame::of(&visitor, "models"), head, action);
    page.picture = shown(&bytes);
    page.name = name;
    match service.predict(&actor, &summary.repo.id, &revision, bytes.clone(), CLASSES).await.map_err(HttpError::from) {
        Ok((_, answered)) => {
            page.take(&answered.answer);
            page.drawn = service.drawn(bytes.clone(), answered).await.unwrap_or_default();
            let over_time = service.over_time(&actor, (&summary.repo.id, &revision), bytes, 1).await;
            // The answer about the whole stands without it.
            page.timeline = over_time.ok().flatten().map_or_else(Vec::new, |told| told.items.iter().map(Moment::of).collect());
            page_with(StatusCode::OK, &page)
        }
        Err(refused) if refused.status.is_server_error() => Err(refused),
        Err(refused) => {
            page.problem = format!("{}; {}", refused.problem.message, refused.problem.hint);
            page_with(refused.status, &page)
        }
    }
}

impl TryImage {
    fn empty(frame: Frame, head: Head, action: Sending) -> TryImage {
        TryImage {
            frame,
            head,
            action,
            problem: String::new(),
            name: String::new(),
            picture: None,
            classes: Vec::new(),
            values: Vec::new(),
            drawn: String::new(),
            timeline: Vec::new(),
        }
    }

    fn take(&mut self, answer: &Judged) {
        self.classes = answer.classes().iter().map(|class| ClassBar::of(&class.label, class.probability)).collect();
        self.values = answer.values().iter().map(|value| (value.name.clone(), value.value.to_string())).collect();
        if let Some(boxes) = answer.boxes() {
            self.values = boxes.counted().into_iter().map(|(label, count)| (label.to_owned(), count.to_string())).collect();
            if self.values.is_empty() {
                self.values.push(("Found".into(), "nothing".into()));
            }
        }
        let counted = |objects: Option<usize>| objects.map(|count| format!(", {count} objects")).unwrap_or_default();
        let areas = answer.mask().into_iter().flat_map(|mask| &mask.classes);
        self.values.extend(areas.map(|area| (area.label.clone(), format!("{:.1} %{}", 100.0 * area.share, counted(area.objects)))));
    }
}

/// The picture again, if it is one that a browser shows and small.
fn shown(bytes: &Bytes) -> Option<String> {
    let media_type = match bytes.get(..4)? {
        [0x89, b'P', b'N', b'G'] => "image/png",
        [0xff, 0xd8, 0xff, _] => "image/jpeg",
        b"GIF8" => "image/gif",
        _ => return None,
    };
    (bytes.len() <= SHOWN_BYTES).then(|| format!("data:{media_type};base64,{}", STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_say_what_is_likeliest_or_why_nothing_is() {
        use crate::domain::prediction::{Class, Value};
        let said = |answer: Judged| Said { name: "0.00-1.00 s".into(), content: Content::Answer(answer.into()) };
        let class = Class { label: "run".into(), probability: 0.75, ..Class::default() };
        let told = Moment::of(&said(Judged::Classes(vec![class])));
        assert_eq!((told.span.as_str(), told.said.as_str(), told.bar.unwrap().thousandths), ("0.00-1.00 s", "run", 750));
        let told = Moment::of(&said(Judged::Values(vec![Value { name: "speed".into(), value: 2.5 }])));
        assert!(told.said == "speed: 2.5" && told.bar.is_none());
        assert_eq!(Moment::of(&Said::unanswered("1.00-2.00 s", "video_unreadable", "it is cut short")).said, "it is cut short");
    }

    #[test]
    fn small_pictures_are_shown_again() {
        assert!(shown(&Bytes::from_static(&[0x89, b'P', b'N', b'G', 1])).unwrap().starts_with("data:image/png;base64,"));
        assert_eq!(shown(&Bytes::from_static(b"<svg onload=x>")), None, "nothing that could hold a script");
        assert_eq!(shown(&Bytes::from([0xff, 0xd8, 0xff, 0].repeat(20_000))), None, "nor what is large");
        assert_eq!(shown(&Bytes::new()), None);
    }
}
