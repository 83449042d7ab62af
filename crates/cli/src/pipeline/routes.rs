//! Which models a step may ask.

use gateway::{Model, ModelsFile};

use super::StepConfig;

impl StepConfig {
    /// Returns the routes that the step asks.
    pub(crate) fn routes(&self) -> Vec<&str> {
        self.work.asked().into_iter().map(|(_, route)| route).collect()
    }

    /// Returns the models that may answer, some of them twice where several routes lead to them.
    pub(crate) fn models<'a>(&self, file: &'a ModelsFile) -> Vec<&'a Model> {
        self.routes().into_iter().flat_map(|route| models_of(file, route)).collect()
    }
}

/// Returns the models that a route may lead to.
pub(crate) fn models_of<'a>(file: &'a ModelsFile, route: &str) -> Vec<&'a Model> {
    file.models_of(route).unwrap_or_default()
}
