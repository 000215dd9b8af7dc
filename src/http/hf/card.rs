//! `POST /api/validate-yaml`: what of this README.md would not be read? Clients ask before each commit that holds one,
//! and would not send it if there were errors; nothing in a card keeps it from being published.

use actix_web::HttpResponse;

use crate::domain::card::Card;
use crate::http::error::Answer;
use crate::http::extract::Json;
use crate::wire::hf::{CardToCheck, CheckedCard, Message};

pub async fn check(body: Json<CardToCheck>) -> Answer {
    let (card, problems) = Card::read(&body.0.content);
    let mut warnings: Vec<_> = problems.iter().map(|problem| Message { message: problem.to_string() }).collect();
    if card.license.is_none() {
        let message = "the card names no licence (`license:`): others cannot know what they may do with this";
        warnings.push(Message { message: message.into() });
    }
    Ok(HttpResponse::Ok().json(CheckedCard { errors: Vec::new(), warnings }))
}
