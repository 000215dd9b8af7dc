//! Items that are two texts, each with a view of its own: what is compared is worked out apart.

use std::sync::Arc;

use super::error::{Error, Result};
use crate::data::modality::{self, View, ViewMaker, Views};
use crate::data::text::of_pair;
use crate::data::{self, Dataset, Limits, Refusal, Sample};

/// What is wrong with an item that is one text where two are compared.
pub const SINGLE: &str = "two texts are compared, and this is one";

/// Whether the items are pairs, as the first of them tells.
pub fn are_pairs(dataset: &Dataset) -> Result<bool> {
    let first: Option<&Sample> = dataset.samples().first();
    first.map_or(Ok(false), |first| Ok(of_pair(&dataset.encoded(first)?).is_some()))
}

/// Views of both texts of each item, the first before the second.
///
/// # Errors
/// The items of the data set are single texts.
pub fn apart(views: Arc<dyn Views>, dataset: &Dataset) -> Result<Arc<dyn Views>> {
    if !are_pairs(dataset)? {
        let what = "how alike two texts are is learned from pairs, and the items of the data set are single ones; leave task out, or publish columns such as sentence1 and sentence2";
        return Err(Error::Unsupported(what.into()));
    }
    Ok(Arc::new(Apart { views }))
}

#[derive(Debug)]
struct Apart {
    views: Arc<dyn Views>,
}

impl Views for Apart {
    fn key(&self) -> String {
        format!("apart {}", self.views.key())
    }

    fn varies(&self) -> bool {
        self.views.varies()
    }

    fn of_pairs(&self) -> bool {
        true
    }

    fn maker(&self) -> data::Result<Box<dyn ViewMaker>> {
        Ok(Box::new(Maker { one: self.views.maker()? }))
    }
}

struct Maker {
    one: Box<dyn ViewMaker>,
}

impl ViewMaker for Maker {
    fn batch(&self, views: usize) -> modality::Input {
        self.one.batch(2 * views)
    }

    fn blank(&self) -> modality::Input {
        let mut both = self.one.blank();
        both.append(self.one.blank());
        both
    }

    fn add(
        &mut self,
        item: &[u8],
        limits: &Limits,
        view: View<'_>,
        batch: &mut modality::Input,
    ) -> data::Result<std::result::Result<(), Refusal>> {
        let Some((first, second)) = of_pair(item) else { return Ok(Err(Refusal(SINGLE.into()))) };
        if !matches!(view, View::Plain) {
            return Err(data::Error::BadPreprocessing { reason: "pairs of texts have no other views than the plain one".into() });
        }
        // Both or none: a batch has two views for each item.
        let mut both = self.one.batch(2);
        for text in [first, second] {
            if let Err(refusal) = self.one.add(text, limits, View::Plain, &mut both)? {
                return Ok(Err(refusal));
            }
        }
        batch.append(both);
        Ok(Ok(()))
    }
}
