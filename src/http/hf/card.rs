//! `POST /api/validate-yaml`: would this README.md be taken? Clients ask before each commit that holds one.

use actix_web::HttpResponse;

use crate::domain::card::Card;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::Json;
use crate::wire::hf::{CardToCheck, CheckedCard, Message};

pub async fn check(body: Json<CardToCheck>) -> Answer {
    let wrong = |e| HttpError::bad_request("card_invalid", format!("{e}"), "correct README.md");
    let card = Card::parse(&body.0.content).map_err(wrong)?;
    let warning = "the card names no licence (`license:`): others cannot know what they may do with this";
    let warnings = if card.license.is_none() { vec![Message { message: warning.into() }] } else { Vec::new() };
    Ok(HttpResponse::Ok().json(CheckedCard { errors: Vec::new(), warnings }))
}
