//! Which records are kept.

use std::fmt;

use domain::Record;
use minijinja::Value;

use super::{Expression, Named, Shown, Wants};

/// A condition over a record's fields: those for which it is not true are left out.
///
/// An expression in the language of templates, such as `lang == 'zh' and score > 3`. A field that a record does not
/// have is undefined: it is false, `is defined` tells it apart, and it is neither less nor greater than anything. Text
/// that is a number is compared with numbers as one, as cells of a CSV file are all text.
#[derive(Debug)]
pub struct Filter {
    text: String,
    expression: Expression,
    wants: Wants,
}

impl Filter {
    /// Makes a filter ready.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub fn new(text: &str) -> Result<Self, String> {
        let expression = Expression::new(text)?;
        let mut wants = Wants::default();
        wants.add(expression.names());
        Ok(Self { text: text.trim().to_owned(), expression, wants })
    }

    /// Returns whether a record is kept. One that is no JSON object is: what is wrong with it is told by those who work
    /// on it.
    ///
    /// # Errors
    /// Why that cannot be said: a filter failed on a value of this record.
    pub fn keeps(&self, record: &Record) -> Result<bool, String> {
        let Ok(text) = str::from_utf8(&record.bytes) else { return Ok(true) };
        let Ok(scanned) = self.wants.scan(text, Shown::default(), &[]) else { return Ok(true) };
        let context = Value::from_object(Named(scanned.named));
        self.expression.is_true(&context).map_err(|what| format!("`where` failed: {what}: {self}"))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
