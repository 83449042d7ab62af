//! An answer's text into new fields.

use domain::json;
use serde_json::{Value, value::RawValue};

use super::{Fields, Mistake, Prompt, PromptError, extract::object_in, fields, parse::cut};

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
    /// The names, and each as a JSON string with its colon.
    names: Vec<(String, String)>,
    schema: jsonschema::Validator,
}

impl Check {
    pub(super) fn new(output: Option<&Fields>) -> Result<Self, PromptError> {
        let Some(output) = output else { return Ok(Self::Text) };
        let schema = jsonschema::validator_for(&fields::answer_schema(output)).map_err(|error| {
            PromptError(vec![Mistake { path: vec!["output".to_owned()], line: None, message: error.to_string() }])
        })?;
        let names = output.0.iter().map(|(name, _)| (name.clone(), quoted(name))).collect();
        Ok(Self::Fields(Box::new(Declared { names, schema })))
    }

    /// Returns the new fields as one object: all that are declared, in declared order, values as the model wrote them.
    pub(super) fn output_of(&self, content: &str) -> Result<Box<RawValue>, String> {
        let output = match self {
            Self::Text => format!("{{{}{}}}", quoted(Prompt::ANSWER), Value::from(content)),
            Self::Fields(declared) => declared.output_of(content)?,
        };
        RawValue::from_string(output).map_err(|error| json::in_words(&error))
    }
}

impl Declared {
    fn output_of(&self, content: &str) -> Result<String, String> {
        let object = object_in(content).ok_or_else(|| format!("the answer holds no JSON object: {}", cut(content)))?;
        let value: Value = serde_json::from_str(object).map_err(|error| json::in_words(&error))?;
        self.schema.validate(&value).map_err(|error| in_words(&error))?;
        let mut values: Vec<Option<&RawValue>> = vec![None; self.names.len()];
        json::members(object, |name, value| {
            if let Some(i) = self.names.iter().position(|(known, _)| *known == name) {
                values[i] = Some(value);
            }
        })
        .map_err(|error| error.0)?;
        let mut output = String::with_capacity(object.len());
        output.push('{');
        for ((_, quoted), value) in self.names.iter().zip(values) {
            // The schema requires every field, so each has a value.
            let Some(value) = value else { continue };
            output.push_str(if output.len() > 1 { "," } else { "" });
            output.push_str(quoted);
            json::compact(value.get(), &mut output);
        }
        output.push('}');
        Ok(output)
    }
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

fn quoted(name: &str) -> String {
    format!("{}:", Value::from(name))
}
