//! Items that come with a question become what a backbone takes, side by side.

use std::sync::Arc;

use rayon::prelude::*;

use super::error::Result;
use super::feed;
use super::predict::Predictor;
use crate::data;
use crate::data::modality::{self, View, Views};
use crate::nn::Input;

impl Predictor {
    /// The plain views of the items that can be read, if there are any, and for each item what keeps it from being read. Items
    /// are read side by side.
    pub(super) fn views_of<B: AsRef<[u8]> + Sync>(&self, items: &[B]) -> Result<(Option<Input>, Vec<Option<data::Error>>)> {
        let (batch, unreadable) = self.read_all(items)?;
        let views = batch.filter(|_| unreadable.iter().any(Option::is_none)).map(feed::input).transpose()?;
        Ok((views, unreadable))
    }

    /// The views of the other clips over which a model averages; none of most models. What can be read of an item in one can be in all.
    pub(super) fn other_clips<B: AsRef<[u8]> + Sync>(&self, items: &[B]) -> Result<Vec<Input>> {
        let mut found = Vec::new();
        let clips = self.views.as_ref().map_or(1, |views| views.clips());
        for clip in 1..clips {
            let (batch, unreadable) = self.read(self.views.as_ref(), items, (0, Some(clip)))?;
            if unreadable.iter().any(Option::is_none) {
                found.push(feed::input(batch)?);
            }
        }
        Ok(found)
    }

    /// The same before they are what a backbone takes.
    pub(super) fn read_all_by<B: AsRef<[u8]> + Sync>(
        &self,
        views: Option<&Arc<dyn Views>>,
        items: &[B],
    ) -> Result<(Option<modality::Input>, Vec<Option<data::Error>>)> {
        if items.len() == 1 {
            let (batch, unreadable) = self.read(views, items, (0, None))?;
            return Ok((Some(batch), unreadable));
        }
        let share = items.len().div_ceil(rayon::current_num_threads()).max(1);
        let parts = items.par_chunks(share).enumerate().map(|(part, items)| self.read(views, items, (part * share, None)));
        let parts: Result<Vec<_>> = parts.collect();
        let mut parts = parts?.into_iter();
        let Some((mut batch, mut unreadable)) = parts.next() else { return Ok((None, Vec::new())) };
        for (views, problems) in parts {
            batch.append(views);
            unreadable.extend(problems);
        }
        Ok((Some(batch), unreadable))
    }

    /// One after the other, or the views of another clip of each; the first is the `from`th of those that were asked about.
    fn read<B: AsRef<[u8]>>(
        &self,
        views: Option<&Arc<dyn Views>>,
        items: &[B],
        (from, clip): (usize, Option<u32>),
    ) -> Result<(modality::Input, Vec<Option<data::Error>>)> {
        let mut maker = self.maker_of(views)?;
        let mut batch = maker.batch(items.len());
        let mut unreadable = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let refused = |refusal: data::Refusal| self.modality.unreadable(format!("{} {}", self.modality.name(), from + at + 1), refusal);
            let view = clip.map_or(View::Plain, View::Clip);
            unreadable.push(maker.add(item.as_ref(), &self.limits, view, &mut batch)?.map_err(refused).err());
        }
        Ok((batch, unreadable))
    }
}
