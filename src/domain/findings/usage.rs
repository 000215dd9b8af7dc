//! How a result is used, from a shell and from a notebook.

use serde::{Deserialize, Serialize};

/// A title and what to type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub title: String,
    pub code: String,
}

/// Of the model `name`; `address` is the hub's.
pub fn usage(name: &str, address: &str) -> Vec<Usage> {
    let of = |title: &str, code: String| Usage { title: title.into(), code };
    vec![
        of("In a shell", format!("hub predict photo.jpg --model {name}")),
        of(
            "Over HTTP",
            format!("curl --data-binary @photo.jpg {address}/api/v1/models/{name}/predict -H \"Authorization: Bearer $HUB_TOKEN\""),
        ),
        of(
            "In Python, with timm",
            format!(
                "# HF_ENDPOINT={address} in the environment\nimport timm\nmodel = timm.create_model(\"hf-hub:{name}\", pretrained=True).eval()\n# as a base for other classes:\nbase = timm.create_model(\"hf-hub:{name}\", pretrained=True, num_classes=3)"
            ),
        ),
    ]
}
