//! What an upstream takes, as far as it is known.

/// Which demands on the form of an answer an upstream takes, from the most to the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Json {
    /// `response_format` with a JSON Schema.
    #[default]
    Schema,
    /// `response_format` that asks for some JSON object; the schema is told in words.
    Object,
    /// No `response_format`; everything is told in words.
    None,
}

/// What an upstream takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Which demands on the form of an answer.
    pub json: Json,
    /// Whether it takes `stream_options`.
    pub stream_options: bool,
}

/// What an upstream said that it does not take, of what it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The demand on the form of the answer.
    Form,
    /// `stream_options`.
    StreamOptions,
}

impl Default for Abilities {
    fn default() -> Self {
        Self { json: Json::Schema, stream_options: true }
    }
}

impl Abilities {
    /// Returns what is left without what the upstream lacks; `None` where there is nothing less to ask for.
    #[must_use]
    pub fn without(self, lack: Lack) -> Option<Self> {
        match lack {
            Lack::Form => {
                let json = match self.json {
                    Json::Schema => Json::Object,
                    Json::Object => Json::None,
                    Json::None => return None,
                };
                Some(Self { json, ..self })
            }
            Lack::StreamOptions => self.stream_options.then_some(Self { stream_options: false, ..self }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_asked_for_no_more_until_nothing_is_left() {
        let all = Abilities::default();
        let object = all.without(Lack::Form);
        assert_eq!(object, Some(Abilities { json: Json::Object, stream_options: true }));
        let none = object.and_then(|it| it.without(Lack::Form));
        assert_eq!(none, Some(Abilities { json: Json::None, stream_options: true }));
        assert_eq!(none.and_then(|it| it.without(Lack::Form)), None);
        let plain = none.and_then(|it| it.without(Lack::StreamOptions));
        assert_eq!(plain, Some(Abilities { json: Json::None, stream_options: false }));
        assert_eq!(plain.and_then(|it| it.without(Lack::StreamOptions)), None);
    }
}
