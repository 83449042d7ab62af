//! A schema that is told in words instead of being demanded: a model reads it, and so does the scripted vendor.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::chat::{Message, text_of};
use crate::answer::{Schema, Schemas};

/// What stands before a schema that is told.
const WORDS: &str = "JSON Schema";

/// Returns the schema that a system message tells, if one does and it can be followed.
pub(super) fn schema(messages: &[Message<'_>], schemas: &Schemas) -> Option<Arc<Schema>> {
    let is_system = |message: &&Message<'_>| matches!(&*message.role, "system" | "developer");
    messages.iter().filter(is_system).find_map(|message| {
        // Most system messages tell none, and are not read.
        message.content.filter(|content| content.get().contains(WORDS))?;
        let text = text_of(message);
        let behind = &text[text.find(WORDS)?..];
        let schema = &behind[behind.find('{')?..];
        let schema = serde_json::Deserializer::from_str(schema).into_iter::<&RawValue>().next()?.ok()?;
        schemas.compile(schema.get()).ok()
    })
}
