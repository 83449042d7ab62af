//! What is wrong with a configuration, and where.

use std::fmt;

/// A mistake in the configuration of a kind of work, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The way to the value, from the keys of the work itself down.
    pub path: Vec<String>,
    /// The line within the value, from 1, where it is a template.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl Mistake {
    pub(crate) fn new(path: &[&str], message: impl Into<String>) -> Self {
        let path = path.iter().map(|&key| key.to_owned()).collect();
        Self { path, line: None, message: message.into() }
    }

    pub(crate) fn at_line(mut self, line: Option<usize>) -> Self {
        self.line = line;
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.join(".");
        match self.line {
            Some(line) => write!(f, "{path}, line {line}: {}", self.message),
            None => write!(f, "{path}: {}", self.message),
        }
    }
}

/// All mistakes of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Mistakes(pub Vec<Mistake>);

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }
}
