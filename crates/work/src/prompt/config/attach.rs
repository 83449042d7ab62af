//! What goes with a prompt.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An image or a file that goes with the prompt: `{ image: FIELD }` or `{ file: FIELD }`. The field holds one or an array
/// of them; one that is empty or `null` adds nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Attach {
    /// The field that holds an image: an `https://` or `data:` URL, or the path of a JPEG, PNG, GIF, WebP or BMP file,
    /// relative to the folder of the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// How closely the model looks at the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
    /// The field that holds a file: its path, relative to the folder of the pipeline, or a `data:` URL. Files ending in
    /// `.txt`, `.md` or `.csv` are sent as text, others as they are (PDF, where the model reads it).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The greatest size of a file in bytes. 32 MiB unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_bytes: Option<u64>,
}

/// How closely a model looks at an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// At a small copy of it.
    Low,
    /// At all of it.
    High,
    /// As the model likes.
    Auto,
}

impl Detail {
    /// Returns the word of requests and of the pipeline file.
    pub(in super::super) fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::High => "high",
            Self::Auto => "auto",
        }
    }
}
