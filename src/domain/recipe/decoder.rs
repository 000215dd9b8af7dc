//! Which layers say something about the places of an image, over the maps of a backbone.

use serde::{Deserialize, Serialize};

use super::{Recipe, RecipeError, Strategy};
use crate::domain::task::Task;

/// A head over maps, or the linear one on rows of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Decoder {
    /// What is usual for the task and the strategy.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// One linear layer on what the maps of all scales say at each place: the best there is of it is found, and no stage learns.
    #[serde(rename = "linear")]
    Linear,
    /// Lite R-ASPP (Howard et al. 2019): for small networks.
    #[serde(rename = "lr-aspp")]
    LrAspp,
    /// DeepLabV3+ (Chen et al. 2018) of depthwise separable layers.
    #[serde(rename = "deeplabv3+")]
    DeepLab,
    /// A decoder like U-Net's (Ronneberger et al. 2015): each scale joined to what the coarser ones say.
    #[serde(rename = "unet")]
    UNet,
    /// A feature pyramid whose maps are summed (Kirillov et al. 2019, the semantic branch).
    #[serde(rename = "fpn")]
    Fpn,
    /// Objects in boxes, without anchors (Tian et al. 2019).
    #[serde(rename = "fcos")]
    Fcos,
    /// Objects in boxes, from anchors by depthwise separable layers (Liu et al. 2016, Sandler et al. 2018): for small networks.
    #[serde(rename = "ssdlite")]
    SsdLite,
}
crate::domain::user::words!(
    Decoder,
    Auto = "auto",
    Linear = "linear",
    LrAspp = "lr-aspp",
    DeepLab = "deeplabv3+",
    UNet = "unet",
    Fpn = "fpn",
    Fcos = "fcos",
    SsdLite = "ssdlite"
);

impl Decoder {
    /// Whether it finds objects in boxes; the others say a class about each pixel.
    pub const fn finds_objects(self) -> bool {
        matches!(self, Decoder::Fcos | Decoder::SsdLite)
    }
}

impl Recipe {
    /// The name of the head over maps that learns for targets of this task; `None` where a linear head does, or something is said about
    /// whole items.
    pub fn decoder_of(&self, task: Task) -> Option<&'static str> {
        match self.decoder {
            _ if !task.is_of_places() => None,
            named if !task.is_of_pixels() && named.finds_objects() => Some(named.as_str()),
            _ if !task.is_of_pixels() => Some(Decoder::Fcos.as_str()),
            Decoder::Linear => None,
            Decoder::Auto if self.strategy == Strategy::Head => None,
            Decoder::Auto => Some(Decoder::UNet.as_str()),
            named => Some(named.as_str()),
        }
    }

    /// Refuses a decoder where nothing is said about places.
    pub(super) fn check_decoder(&self, task: Task) -> Result<(), RecipeError> {
        let refuse = |problem: String| Err(RecipeError { setting: "decoder", problem });
        match self.decoder {
            Decoder::Auto => Ok(()),
            _ if !task.is_of_places() => {
                refuse(format!("it says something about places of an image, and {task} about whole items; leave it out"))
            }
            named if task.is_of_pixels() == named.finds_objects() => {
                let fits = if task.is_of_pixels() {
                    "a class for each pixel is said by the others"
                } else {
                    "objects are found by fcos and ssdlite"
                };
                refuse(format!("{named} is not for {task}: {fits}; leave it out"))
            }
            _ => Ok(()),
        }
    }
}
