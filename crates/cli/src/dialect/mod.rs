//! Other tools' files, read as ours.
//!
//! One pure translation per tool: what was parsed goes in, a file of ours comes out, with remarks on what is not as its
//! writer may think. Keys that the tool documented and never read are honoured where their meaning is clear, else named.

pub(crate) mod dataflux;

use gateway::ModelsFile;

/// Something that the writer of a file should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    /// Where it stands in their file: keys of maps, and indices of lists.
    pub(crate) path: Vec<String>,
    pub(crate) message: String,
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
