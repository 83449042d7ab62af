//! An answer's text into new fields.

use domain::{Reason, json};
use serde_json::{Value, value::RawValue};

use super::{
    Fields, Prompt,
    extract::{Wanted, json_in},
    fields,
};
use crate::{
    mistake::{Mistake, Mistakes},
    reply::cut,
};

/// What makes new fields of what a model said.
#[derive(Debug)]
pub(super) enum Check {
    /// The text is the answer.
    Text,
    /// The text holds an object with fields.
    Fields(Box<Declared>),
}

#[derive(Debug)]
pub(super) struct Declared {
    /// The names that are looked for: those that every answer has.
    sought: Vec<String>,
    /// The names of the new fields, and each as a JSON string with its colon.
    names: Vec<(String, String)>,
    schema: jsonschema::Validator,
}

impl Check {
    pub(super) fn new(output: Option<&Fields>) -> Result<Self, Mistakes> {
        let Some(output) = output else { return Ok(Self::Text) };
        let schema = jsonschema::validator_for(&fields::answer_schema(output))
            .map_err(|error| Mistake::new(&["output"], error.to_string()))?;
        let names = output.kept().map(|name| (name.to_owned(), quoted(name))).collect();
        let all = || output.0.iter();
        let sought: Vec<_> = all().filter(|(_, field)| !field.optional).map(|(name, _)| name.clone()).collect();
        // Where none has to be there, any of them tells the answer from what stands around it.
        let sought = if sought.is_empty() { all().map(|(name, _)| name.clone()).collect() } else { sought };
        Ok(Self::Fields(Box::new(Declared { sought, names, schema })))
    }

    /// Returns the new fields as one object of JSON without white space: all that are declared, in declared order, values
    /// as the model wrote them.
    ///
    /// # Errors
    /// Why the answer does not have them.
    pub(super) fn output_of(&self, answer: &str) -> Result<String, (Reason, String)> {
        match self {
            Self::Text => Ok(of_answer(&Value::from(answer).to_string())),
            Self::Fields(declared) => declared.output_of(answer),
        }
    }
}

impl Declared {
    fn output_of(&self, answer: &str) -> Result<String, (Reason, String)> {
        // On the stack where they are few: this is done for every answer.
        let mut few = [""; 16];
        let many: Vec<&str>;
        let names = match few.get_mut(..self.sought.len()) {
            Some(few) => {
                few.iter_mut().zip(&self.sought).for_each(|(few, name)| *few = name);
                &*few
            }
            None => {
                many = self.sought.iter().map(String::as_str).collect();
                &many
            }
        };
        let Some(object) = json_in(answer, Wanted::Object, names) else {
            return Err((Reason::NoJson, format!("the answer holds no JSON object: {}", cut(answer))));
        };
        let object = object.as_ref();
        let invalid = |what: String| (Reason::Schema, what);
        let value: Value = serde_json::from_str(object).map_err(|error| invalid(json::in_words(&error)))?;
        self.schema.validate(&value).map_err(|error| invalid(in_words(&error)))?;
        let mut values: Vec<Option<&RawValue>> = vec![None; self.names.len()];
        json::members(object, |name, value| {
            if let Some(i) = self.names.iter().position(|(known, _)| *known == name) {
                values[i] = Some(value);
            }
        })
        .map_err(|error| invalid(error.0))?;
        let mut output = String::with_capacity(object.len());
        output.push('{');
        for ((_, quoted), value) in self.names.iter().zip(values) {
            output.push_str(if output.len() > 1 { "," } else { "" });
            output.push_str(quoted);
            match value {
                Some(value) => json::compact(value.get(), &mut output),
                // The schema requires every field that is not optional.
                None => output.push_str("null"),
            }
        }
        output.push('}');
        Ok(output)
    }
}

/// Makes the one field of a prompt without `output`.
pub(super) fn of_answer(json: &str) -> String {
    format!("{{{}{json}}}", quoted(Prompt::ANSWER))
}

fn in_words(error: &jsonschema::ValidationError<'_>) -> String {
    let path = error.instance_path().to_string();
    let path = path.trim_start_matches('/').replace('/', ".");
    let what = match error.kind() {
        jsonschema::error::ValidationErrorKind::Required { property } => {
            format!("the field `{}` is missing", property.as_str().unwrap_or_default())
        }
        _ => cut(&error.to_string()).into_owned(),
    };
    if path.is_empty() { what } else { format!("`{path}`: {what}") }
}

/// Returns a name as a JSON string with its colon.
pub(super) fn quoted(name: &str) -> String {
    format!("{}:", Value::from(name))
}
