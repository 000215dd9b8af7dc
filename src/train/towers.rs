//! A model of two networks that share a space: items are named by texts, without an example of any. The one for texts stands beside the one
//! that a predictor is about.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::Device;

use super::error::{Error, Result, in_order};
use super::feed;
use super::predict::Predictor;
use super::support::Support;
use crate::data::modality::{self, Beside, Modality, View, Views};
use crate::data::text::decode_text;
use crate::data::{self, Limits, modalities};
use crate::domain::answers::{Content, Tokens};
use crate::domain::config::ModelConfig;
use crate::domain::prompt::Template;
use crate::nn::{Backbone, Mode, Weights, architectures};

/// What logits of such models are at most (Radford et al. 2021, 2.5), and where a file has no scale.
const LARGEST_SCALE: f32 = 100.0;
/// The tensor whose exponential cosines are multiplied by.
const SCALE: &str = "logit_scale";

/// The network for texts.
pub(super) struct TextTower {
    backbone: Box<dyn Backbone>,
    modality: &'static dyn Modality,
    /// None while the file is missing by which texts are cut.
    views: Option<Arc<dyn Views>>,
    longest: usize,
    /// What cosines with items are multiplied by before their softmax.
    scale: f32,
    pub bytes: u64,
}

impl TextTower {
    /// Of a config that speaks of both, and the tensors of both.
    ///
    /// # Errors
    /// It is not built here, or tensors do not fit it (named).
    pub fn open(config: &ModelConfig, weights: &Weights, device: &Device) -> Result<Option<TextTower>> {
        let Some(name) = config.text_tower() else { return Ok(None) };
        let architecture = architectures::get(&name)?;
        let scale = match weights.get(SCALE) {
            Some(scale) => scale.flatten_all()?.to_device(&Device::Cpu)?.to_vec1::<f32>()?.first().map_or(LARGEST_SCALE, |log| log.exp()),
            None => LARGEST_SCALE,
        };
        // Those of the other network are no strangers to be refused, under whatever names.
        let others: HashSet<String> = architectures::expected(&config.architecture, 0)?.into_iter().map(|tensor| tensor.name).collect();
        let mut own = Weights::default();
        weights.iter().filter(|(name, _)| !others.contains(*name)).for_each(|(name, var)| own.insert(name.to_owned(), var.clone()));
        let own = architecture.fitted(own, 0)?.to_device(device)?;
        let bytes = own.iter().map(|(_, var)| 4 * var.elem_count() as u64).sum();
        let mut backbone = architectures::build(architecture.name, &own)?;
        backbone.settle();
        let takes = architecture.modality();
        let modality = modalities::find(takes).ok_or_else(|| Error::Unsupported(format!("this build opens no {}", takes.items())))?;
        let scale = if scale.is_finite() { scale.min(LARGEST_SCALE) } else { LARGEST_SCALE };
        Ok(Some(TextTower { backbone, modality, views: None, longest: architecture.longest(), scale, bytes }))
    }

    /// With what lies beside the weights.
    pub fn read_by(&mut self, config: &ModelConfig, files: &[(&str, PathBuf)]) -> Result<()> {
        self.views = Some(self.modality.views_by(config, &Beside { files, longest: self.longest })?);
        Ok(())
    }

    /// Texts in tokens, and for each what keeps it from being read.
    fn read<B: AsRef<[u8]>>(&self, texts: &[B], limits: &Limits) -> Result<(modality::Input, Vec<Option<data::Error>>)> {
        let missing = || {
            let needs = self.modality.needs().unwrap_or("file");
            Error::Unsupported(format!("the model has no {needs}, without which no text can be read; publish it with that file"))
        };
        let mut maker = self.views.as_ref().ok_or_else(missing)?.maker()?;
        let mut batch = maker.batch(texts.len());
        let mut unreadable = Vec::with_capacity(texts.len());
        for (at, text) in texts.iter().enumerate() {
            let refused = |refusal: data::Refusal| self.modality.unreadable(format!("text {}", at + 1), refusal);
            unreadable.push(maker.add(text.as_ref(), limits, View::Plain, &mut batch)?.map_err(refused).err());
        }
        Ok((batch, unreadable))
    }
}

impl Predictor {
    /// What cosines of items and texts are multiplied by before their softmax, where its items can be named by texts.
    pub fn text_scale(&self) -> Option<f32> {
        self.texts.as_ref().map(|tower| tower.scale)
    }

    /// The features of items and of texts, each by the network that is for it: what is UTF-8 is a text.
    pub(super) fn features_of_both<B: AsRef<[u8]> + Sync>(&self, items: &[B]) -> Result<Vec<Result<Content>>> {
        let is_text: Vec<bool> = items.iter().map(|item| decode_text(item.as_ref()).is_ok()).collect();
        let of = |wanted: bool| -> Vec<&[u8]> {
            items.iter().zip(&is_text).filter(|(_, text)| **text == wanted).map(|(item, _)| item.as_ref()).collect()
        };
        let (texts, others) = (of(true), of(false));
        let mut texts = if texts.is_empty() { Vec::new() } else { self.features_of_texts(&texts)? }.into_iter();
        let mut others = if others.is_empty() { Vec::new() } else { self.features_of(self.read_all(&others)?)? }.into_iter();
        let missing = || Err(Error::Unsupported("the model gave fewer answers than it was asked for".into()));
        Ok(is_text.iter().map(|text| if *text { texts.next() } else { others.next() }.unwrap_or_else(missing)).collect())
    }

    /// The features of texts, by the network beside.
    fn features_of_texts<B: AsRef<[u8]>>(&self, texts: &[B]) -> Result<Vec<Result<Content>>> {
        let Some(tower) = &self.texts else { return Err(no_words()) };
        let (batch, unreadable) = tower.read(texts, &self.limits)?;
        let modality::Input::Tokens { rows, of } = &batch else { return Err(no_words()) };
        if rows.is_empty() {
            return Ok(in_order(unreadable, Vec::new()));
        }
        let tokens: Vec<Tokens> = rows.iter().zip(of).map(|(row, of)| Tokens { read: row.len(), of: *of }).collect();
        let views = feed::input(batch)?;
        let rows = {
            let _turn = self.turn();
            let views = views.to_device(self.device())?;
            tower.backbone.pooled(&views, tower.backbone.stages().len(), Mode::Eval)?.to_vec2::<f32>()?
        };
        let said = |(features, tokens)| Content::Features { features, tokens: Some(tokens) };
        Ok(in_order(unreadable, rows.into_iter().zip(tokens).map(said).collect()))
    }
}

impl Support {
    /// Of the names of classes alone, each in the place of the `{}` of a text: where the model has a network for texts beside, by the
    /// cosines of items with those texts; of a model of texts each is the one example of its class.
    ///
    /// # Errors
    /// The model reads no texts; a name cannot be read, or two are the same.
    pub fn by_names(model: &Predictor, names: &[String], template: &Template) -> Result<Support> {
        if model.text_scale().is_none() && !model.reads_texts() {
            return Err(no_words());
        }
        let texts: Vec<Vec<u8>> = names.iter().map(|name| template.of(name).into_bytes()).collect();
        let (mut rows, mut width) = (Vec::new(), 0);
        for (at, texts) in texts.chunks(model.batch_items()).enumerate() {
            let said = match model.text_scale() {
                Some(_) => model.features_of_texts(texts)?,
                None => model.features_batch(texts)?,
            };
            for (place, said) in said.into_iter().enumerate() {
                let name = names.get(at * model.batch_items() + place).map_or("", String::as_str);
                match said? {
                    Content::Features { features, .. } => {
                        width = features.len();
                        rows.extend(features);
                    }
                    _ => return Err(Error::Unsupported(format!("`{name}` has no features of its own"))),
                }
            }
        }
        Support::of_texts(width, &rows, names, model.text_scale())
    }
}

fn no_words() -> Error {
    Error::Unsupported("the model reads no texts, and cannot tell what classes are called; give examples of them as a support set".into())
}
