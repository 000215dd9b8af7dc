//! A class for each pixel: a raster beside the image, whose values are read as classes.
//!
//! What a value means is said once for the whole data set ([`Reading`]): values that are indices, colours of a palette, or two values of
//! which the other than 0 is the object.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::data::error::{Refusal, Result};
use crate::data::image::draw;
use crate::data::image::raster::{self, Raster};
use crate::data::limits::Limits;
use crate::data::place::Entry;

/// The value of pixels of which nothing is said, among classes.
pub const UNSAID: u8 = 255;

/// How the values of a raster are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Each value is a class, up to this many; 255 says nothing.
    Indices(usize),
    /// 0 and one other value: background and object.
    Binary,
    /// 0 is background, every other value is an object of one class.
    Instances,
    /// A class for each colour; [`UNSAID`] for colours that say nothing.
    Palette(BTreeMap<[u8; 3], u8>),
}

/// The mask of one image.
#[derive(Clone)]
pub struct Mask {
    /// Classes that are there, rising, each once.
    pub kinds: Arc<[u32]>,
    /// Of each of them, how many pixels.
    pub pixels: Arc<[u64]>,
    pub width: u32,
    pub height: u32,
    /// Objects that are told apart, where there is a raster that does.
    pub instances: Option<usize>,
    entry: Arc<Entry>,
    reading: Arc<Reading>,
    hash: [u8; 32],
}

/// A class for each pixel, row by row; [`UNSAID`] where nothing is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    pub width: u32,
    pub height: u32,
    pub values: Vec<u8>,
}

impl Mask {
    /// Opens a raster and counts its classes.
    ///
    /// # Errors
    /// It cannot be read as bytes; inside, why it is no mask of this reading.
    pub fn open(
        entry: &Entry,
        reading: &Arc<Reading>,
        instances: Option<usize>,
        limits: &Limits,
    ) -> Result<std::result::Result<Mask, Refusal>> {
        let bytes = entry.read(limits)?;
        let labels = match labels(&bytes, reading, limits) {
            Ok(labels) => labels,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let there = labels.counts();
        Ok(Ok(Mask {
            kinds: there.iter().map(|(_, kind)| *kind).collect(),
            pixels: there.iter().map(|(count, _)| *count).collect(),
            width: labels.width,
            height: labels.height,
            instances,
            entry: Arc::new(entry.clone()),
            reading: reading.clone(),
            hash: Sha256::digest(&bytes).into(),
        }))
    }

    /// Where it lies.
    pub fn path(&self) -> &str {
        &self.entry.path
    }

    /// Its pixels, which are read anew.
    ///
    /// # Errors
    /// Those of reading; inside, what changed since it was opened.
    pub fn labels(&self, limits: &Limits) -> Result<std::result::Result<Labels, Refusal>> {
        Ok(labels(&self.entry.read(limits)?, &self.reading, limits))
    }

    /// Names what is said.
    pub fn digest(&self) -> String {
        hex::encode(&self.hash[..8])
    }

    /// The share of each class that is there, the largest first, such as `background 62 %, cell 38 %`.
    pub fn told(&self, names: &[String]) -> String {
        told(self.pixels.iter().copied().zip(self.kinds.iter().copied()).collect(), (self.width, self.height), names)
    }
}

/// The share of each of these counts in all pixels, the largest first.
fn told(mut shares: Vec<(u64, u32)>, (width, height): (u32, u32), names: &[String]) -> String {
    let all = (f64::from(width) * f64::from(height)).max(1.0);
    shares.sort_by_key(|(count, kind)| (std::cmp::Reverse(*count), *kind));
    let name = |kind: u32| names.get(kind as usize).map_or_else(|| kind.to_string(), Clone::clone);
    shares.iter().map(|(count, kind)| format!("{} {:.0} %", name(*kind), 100.0 * *count as f64 / all)).collect::<Vec<_>>().join(", ")
}

impl Labels {
    /// As [`Mask::told`].
    pub fn told(&self, names: &[String]) -> String {
        told(self.counts(), (self.width, self.height), names)
    }

    /// Classes that are there, with how many pixels they have.
    fn counts(&self) -> Vec<(u64, u32)> {
        let mut counts = [0u64; 256];
        self.values.iter().for_each(|value| counts[usize::from(*value)] += 1);
        counts.into_iter().zip(0..u32::from(UNSAID)).filter(|(count, _)| *count > 0).collect()
    }

    /// A PNG of their indices, each shown in the colour of its class and the first in black; `None` where it cannot be written.
    pub fn to_png(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width, self.height);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        let shown = |class: u32| if class == 0 { [0; 3] } else { draw::colour(class) };
        encoder.set_palette((0..256).flat_map(shown).collect::<Vec<u8>>());
        let mut writer = encoder.write_header().ok()?;
        writer.write_image_data(&self.values).ok()?;
        writer.finish().ok()?;
        Some(bytes)
    }
}

impl PartialEq for Mask {
    fn eq(&self, other: &Mask) -> bool {
        self.hash == other.hash && self.reading == other.reading
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({})", self.entry.path)
    }
}

/// The classes of a raster's pixels.
///
/// # Errors
/// A value or a colour that stands for no class, with the first pixel that has it; what cannot be decoded.
pub fn labels(bytes: &[u8], reading: &Reading, limits: &Limits) -> std::result::Result<Labels, Refusal> {
    let raster = raster::decode(bytes, limits)?;
    let (width, height) = (raster.width(), raster.height());
    let at = |place: usize| format!("at pixel {}, {}", place % width as usize, place / width as usize);
    let values = match (reading, &raster) {
        (Reading::Palette(palette), raster) => {
            let class = |(place, colour): (usize, [u8; 3])| {
                let [r, g, b] = colour;
                let unknown = || Refusal(format!("the colour {r}, {g}, {b} {} is not in the palette", at(place)));
                palette.get(&colour).copied().ok_or_else(unknown)
            };
            raster.colours().enumerate().map(class).collect::<std::result::Result<Vec<u8>, _>>()?
        }
        (_, Raster::Colours { .. }) => {
            return Err(Refusal("it has colours, and no file says which class each of them is".into()));
        }
        (reading, Raster::Values { values, .. }) => {
            let class = |(place, value): (usize, &u16)| match reading {
                Reading::Indices(classes) if usize::from(*value) < *classes => Ok(*value as u8),
                Reading::Indices(_) if *value == u16::from(UNSAID) => Ok(UNSAID),
                Reading::Indices(classes) => {
                    Err(Refusal(format!("the index {value} {} is unknown: there are {classes} classes, and 255 says nothing", at(place))))
                }
                _ => Ok(u8::from(*value > 0)),
            };
            values.iter().enumerate().map(class).collect::<std::result::Result<Vec<u8>, _>>()?
        }
    };
    Ok(Labels { width, height, values })
}
