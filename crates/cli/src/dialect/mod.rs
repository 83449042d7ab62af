//! Other tools' files, read as ours.
//!
//! One pure translation per tool: what was parsed goes in, a file of ours comes out, with remarks on what is not as its
//! writer may think. Keys that the tool documented and never read are honoured where their meaning is clear, else named.
//! What comes out is a [`draft`], which knows where in their file each part of it was said, and which can be written as
//! [`yaml`].

pub(crate) mod dataflux;
mod draft;
#[cfg(test)]
mod tests;
mod yaml;

use gateway::ModelsFile;

pub(crate) use draft::Draft;

/// Something that the writer of a file should know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Remark {
    /// Where it stands in their file: keys of maps, and indices of lists.
    pub(crate) path: Vec<String>,
    pub(crate) message: String,
    /// What to try.
    pub(crate) help: Option<String>,
    /// Whether the file cannot be used for it.
    pub(crate) is_mistake: bool,
}

impl Remark {
    /// Adds what to try.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Makes it a mistake, for which the file cannot be used.
    pub(crate) fn mistake(self) -> Self {
        Self { is_mistake: true, ..self }
    }
}

/// The models of another tool's file.
#[derive(Clone, Debug)]
pub(crate) struct Translated {
    pub(crate) models: ModelsFile,
    pub(crate) remarks: Vec<Remark>,
    /// Where each model stands in their list.
    places: Vec<usize>,
    /// Our keys with theirs.
    keys: &'static [(&'static str, &'static str)],
}

impl Translated {
    /// Returns where in their file stands what is at `path` in ours.
    pub(crate) fn place(&self, path: &[String]) -> Vec<String> {
        let mut place = path.to_vec();
        if let [list, index, ..] = place.as_mut_slice()
            && list == "models"
            && let Some(theirs) = index.parse::<usize>().ok().and_then(|index| self.places.get(index))
        {
            *index = theirs.to_string();
        }
        if let Some(key) = place.get_mut(2)
            && let Some((_, theirs)) = self.keys.iter().find(|(ours, _)| ours == key)
        {
            *key = (*theirs).to_owned();
        }
        place
    }
}
