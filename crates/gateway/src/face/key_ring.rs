//! The keys of clients, as they are looked up.

use std::collections::HashMap;

use crate::FaceKey;

/// Keys by what a client shows.
#[derive(Default)]
pub(super) struct KeyRing(HashMap<Vec<u8>, usize>);

impl KeyRing {
    pub(super) fn new(keys: &[FaceKey]) -> Self {
        // The table's hash is keyed by chance, so how long a look-up takes tells nothing about a key.
        Self(keys.iter().enumerate().map(|(number, key)| (key.key.expose().as_bytes().to_vec(), number)).collect())
    }

    pub(super) fn find(&self, shown: &[u8]) -> Option<usize> {
        self.0.get(shown).copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
