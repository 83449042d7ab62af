//! Examples of records and their answers, as messages.

use serde_json::Value;

use super::{Prompt, body::push_message, render::TEMPLATE};
use crate::{
    mistake::{Mistake, Mistakes},
    template::Templates,
};

/// Renders the examples once: messages with a comma behind each, ready to be put before a prompt.
pub(super) fn messages(prompt: &Prompt, templates: &Templates) -> Result<Vec<u8>, Mistakes> {
    let (mut messages, mut mistakes) = (Vec::new(), Vec::new());
    for (i, example) in prompt.examples.iter().flatten().enumerate() {
        let record = Value::Object(example.record.clone()).to_string();
        let seen = templates.look_into(record.as_bytes());
        match seen.and_then(|seen| templates.render(TEMPLATE, &seen)) {
            Ok(asked) => {
                push_message("user", &asked, &mut messages);
                messages.push(b',');
                push_message("assistant", &text_of(&example.answer), &mut messages);
                messages.push(b',');
            }
            Err(trouble) => mistakes.push(Mistake::new(&["examples", &i.to_string(), "record"], trouble.what)),
        }
    }
    if mistakes.is_empty() { Ok(messages) } else { Err(Mistakes(mistakes)) }
}

/// Returns an answer as the model would have said it.
pub(super) fn text_of(answer: &Value) -> String {
    match answer {
        Value::String(text) => text.clone(),
        json => json.to_string(),
    }
}
