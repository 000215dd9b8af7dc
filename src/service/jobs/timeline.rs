//! Items that go on for a time, asked about piece by piece: `every` so many seconds. How long each item is, is found before anything is asked, so that
//! a question is never longer than may be waited for.

use std::sync::Arc;

use bytes::Bytes;

use super::super::{Error, Result, Service};
use super::admit::unfit;
use super::line::Line;
use super::predict::{Item, Question, Sent};
use crate::domain::answers::{Answers, MOST_ITEMS, Reason};
use crate::domain::name::RepoId;
use crate::domain::revision::Revision;
use crate::domain::timeline::{Every, named};
use crate::domain::user::Actor;
use crate::train;

/// Pieces of an item that is tried by hand.
const MOST_TRIED: usize = 12;

impl Service {
    /// The pieces of items, for a model the caller may read, each named by where it lies; an item that cannot be read stays, with the reason.
    ///
    /// # Errors
    /// The model takes nothing that goes on for a time, or the pieces are more than may be asked about at once.
    pub async fn in_pieces(
        &self,
        actor: &Actor,
        (id, revision): (&RepoId, &Revision),
        items: Vec<Item>,
        every: Every,
    ) -> Result<Vec<Item>> {
        let (_, line) = self.line(actor, id, revision).await?;
        line.model.need_time().map_err(unfit)?;
        let mut pieces = Vec::new();
        for (name, sent) in self.checked(items)? {
            let length = match &sent {
                Ok(sent) => self.length(&line, sent).await?,
                Err(reason) => Err(reason.clone()),
            };
            match (sent, length) {
                (Ok(sent), Ok(whole)) => {
                    fits(&name, pieces.len(), every, whole)?;
                    pieces.extend(every.pieces(whole).map(|(from, to)| piece(&name, &sent, (from, to))));
                }
                (_, Err(reason)) | (Err(reason), _) => pieces.push(Item { name, bytes: Err(reason) }),
            }
        }
        Ok(pieces)
    }

    /// What a model says over the time of an item, in pieces of a length that suits it, named by where they lie; `None` where it is one piece.
    pub async fn over_time(&self, actor: &Actor, (id, revision): (&RepoId, &Revision), item: Bytes, top: usize) -> Result<Option<Answers>> {
        let (version, line) = self.line(actor, id, revision).await?;
        let sent = Sent::from(item);
        if line.model.need_time().is_err() || self.check_size(sent.whole()).is_err() {
            return Ok(None);
        }
        let Ok(whole) = self.length(&line, &sent).await? else { return Ok(None) };
        let Some(every) = Every::suited(whole, MOST_TRIED) else { return Ok(None) };
        let pieces = every.pieces(whole).map(|span| piece("", &sent, span)).collect();
        let model = format!("{id}@{}", version.number);
        self.ask_line_about_all(&line, model, Question::Answer { top }, pieces).await.map(Some)
    }

    /// How long an item is, in seconds, or why nobody knows.
    async fn length(&self, line: &Arc<Line>, sent: &Sent) -> Result<std::result::Result<f64, Reason>> {
        let _bytes = self.room_for(sent.whole().len())?;
        let (line, sent) = (line.clone(), sent.clone());
        let found = self.in_turn(move || line.model.seconds(sent.whole())).await?;
        Ok(found.map_err(|error: train::Error| Reason { code: error.code().into(), message: error.reason() }))
    }
}

fn piece(name: &str, sent: &Sent, (from, to): (f64, f64)) -> Item {
    Item { name: named(name, (from, to)), bytes: Ok(sent.piece(from, to)) }
}

/// Whether so many pieces more may be asked about.
fn fits(name: &str, before: usize, every: Every, whole: f64) -> Result<()> {
    let count = every.count(whole);
    if before + count <= MOST_ITEMS {
        return Ok(());
    }
    let message =
        format!("{name} is {whole:.1} s long and has {count} pieces of {every} s; {MOST_ITEMS} pieces may be asked about at once");
    let hint = "ask for longer pieces (`every`) or in several requests, run the model here (`hub predict --local --every`), or publish the videos as a data set and ask about that";
    Err(Error::too_large("too_many_items", message, hint))
}
