//! `POST /api/validate-yaml`: what of this README.md would not be read? Clients ask before each commit that holds one,
//! and would not send it if there were errors; nothing in a card keeps it from being published.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::card::Card;
use crate::domain::user::Actor;
use crate::http::error::Answer;
use crate::http::extract::Json;
use crate::http::rates::share;
use crate::service::Service;
use crate::wire::hf::{CardToCheck, CheckedCard, Message};

pub async fn check(request: HttpRequest, service: web::Data<Service>, body: Json<CardToCheck>) -> Answer {
    let whose = share(&request, &Actor::Anonymous)?;
    let (card, problems) = service.work().run(&whose, move || Card::read(&body.0.content)).await?;
    let mut warnings: Vec<_> = problems.iter().map(|problem| Message { message: problem.to_string() }).collect();
    if card.license.is_none() {
        let message = "the card names no licence (`license:`): others cannot know what they may do with this";
        warnings.push(Message { message: message.into() });
    }
    Ok(HttpResponse::Ok().json(CheckedCard { errors: Vec::new(), warnings }))
}
