//! A record into the texts of a request.

use std::borrow::Cow;

use domain::{Record, Unplanned};

use super::{Prompt, attach, examples, messages};
use crate::{
    mistake::Mistakes,
    template::{Inputs, Templates, Trouble},
};
use attach::{Attached, Attachments};

const SYSTEM: &str = "system";
pub(super) const TEMPLATE: &str = "template";

/// The texts of one prompt, ready for records.
#[derive(Debug)]
pub(super) struct Renderer {
    templates: Templates,
    system: Option<Part>,
    has_template: bool,
    own: Own,
}

/// What of a record is passed on as it stands: names of fields, and where they are among those that are looked for.
#[derive(Debug, Default)]
struct Own {
    fields: Vec<String>,
    messages: Option<usize>,
    tools: Option<usize>,
    attach: Vec<(usize, super::Attach)>,
}

/// The system message: the same for every record where it names nothing.
#[derive(Debug)]
enum Part {
    Fixed(String),
    Rendered,
}

/// The texts for one record.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rendered<'a> {
    pub(super) system: Option<Cow<'a, str>>,
    /// The record's own tools: an array as it stands.
    pub(super) tools: Option<Cow<'a, str>>,
    /// The record's own messages as they stand, without the brackets around them.
    pub(super) own: Option<Cow<'a, str>>,
    pub(super) prompt: Option<String>,
    /// What goes with the prompt: content parts as JSON, each with a comma before it.
    pub(super) parts: Vec<u8>,
    /// About how many tokens these parts take.
    pub(super) parts_tokens: u32,
}

impl Renderer {
    pub(super) fn new(prompt: &Prompt, inputs: Inputs) -> Result<Self, Mistakes> {
        let texts = [(SYSTEM, prompt.system.as_deref()), (TEMPLATE, prompt.template.as_deref())];
        let texts: Vec<(&'static str, &str)> = texts.into_iter().filter_map(|(key, text)| Some((key, text?))).collect();
        let own = Own::of(prompt);
        let templates = Templates::new(&texts, own.fields.clone(), inputs)?;
        let system = match (&prompt.system, templates.fixed(SYSTEM)) {
            (None, _) => None,
            (Some(_), Some(text)) => Some(Part::Fixed(text?)),
            (Some(_), None) => Some(Part::Rendered),
        };
        let renderer = Self { templates, system, has_template: prompt.template.is_some(), own };
        // So that what is wrong with them is told before there is a record.
        renderer.examples(prompt)?;
        Ok(renderer)
    }

    /// Renders the examples: messages with a comma behind each.
    pub(super) fn examples(&self, prompt: &Prompt) -> Result<Vec<u8>, Mistakes> {
        examples::messages(prompt, &self.templates)
    }

    /// Renders a record, or tells why not. Without `attachments` no file is looked at.
    pub(super) fn render<'a>(
        &'a self,
        record: &'a Record,
        attachments: Option<&dyn Attachments>,
    ) -> Result<Rendered<'a>, Unplanned> {
        self.try_render(record, attachments).map_err(Unplanned::from)
    }

    fn try_render<'a>(
        &'a self,
        record: &'a Record,
        attachments: Option<&dyn Attachments>,
    ) -> Result<Rendered<'a>, Trouble> {
        let seen = self.templates.look(record)?;
        let system = match &self.system {
            None => None,
            Some(Part::Fixed(text)) => Some(Cow::Borrowed(text.as_str())),
            Some(Part::Rendered) => Some(Cow::Owned(self.templates.render(SYSTEM, &seen)?)),
        };
        let prompt = if self.has_template { Some(self.templates.render(TEMPLATE, &seen)?) } else { None };
        let mut rendered = Rendered { system, prompt, ..Rendered::default() };
        if self.own.fields.is_empty() {
            return Ok(rendered);
        }
        let field = |i: usize| (self.own.fields[i].as_str(), seen.raw[i]);
        if let Some(i) = self.own.messages {
            let (name, value) = field(i);
            rendered.own = messages::conversation(name, value, self.has_template)?;
        }
        if let Some(i) = self.own.tools {
            let (name, value) = field(i);
            rendered.tools = messages::tools(name, value)?;
        }
        let mut attached = Attached::default();
        for (i, attach) in &self.own.attach {
            let (_, value) = field(*i);
            attached.add(attach, value, attachments)?;
        }
        (rendered.parts, rendered.parts_tokens) = (attached.parts, attached.tokens);
        Ok(rendered)
    }
}

impl Own {
    fn of(prompt: &Prompt) -> Self {
        let mut fields: Vec<String> = Vec::new();
        let mut at = |name: &str| {
            fields.iter().position(|known| known == name).unwrap_or_else(|| {
                fields.push(name.to_owned());
                fields.len() - 1
            })
        };
        let messages = prompt.messages.as_deref().map(&mut at);
        let tools = prompt.tools.as_deref().map(&mut at);
        let attach = prompt.attach.iter().flatten();
        let attach = attach.filter_map(|one| Some((at(one.field()?), one.clone()))).collect();
        Self { fields, messages, tools, attach }
    }
}

impl Prompt {
    /// Renders the texts of the prompt for one record, to see whether they can be. No file is looked at.
    ///
    /// # Errors
    /// Why they cannot. Mistakes of the prompt itself are none here; see [`Prompt::mistakes`].
    pub fn try_out(&self, inputs: Inputs, record: &Record) -> Result<(), Unplanned> {
        match Renderer::new(&self.of_record(record), inputs) {
            Ok(renderer) => renderer.render(record, None).map(drop),
            Err(_) => Ok(()),
        }
    }
}
