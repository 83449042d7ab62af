//! What the face is told by its user.

use std::{collections::HashMap, fmt, time::Duration};

use domain::{Secret, ports::Class};

/// How the face serves.
#[derive(Clone, Debug)]
pub struct FaceSettings {
    /// Who may ask; everybody where it is empty.
    pub keys: Vec<ClientKey>,
    /// How many requests may wait for a place.
    pub queue_length: usize,
    /// How long a request may wait for a place.
    pub queue_wait: Duration,
    /// Paths below the version that are passed through as they are: `audio/*`, `moderations`.
    pub pass_through: Vec<String>,
    /// The longest request in bytes.
    pub body_limit: usize,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Duration,
    /// How long a stream may be silent towards the client before a comment is sent.
    pub keep_alive: Duration,
    /// Whether the answer's `model` is the name that was asked for.
    pub echo_model: bool,
}

/// A client.
#[derive(Clone)]
pub struct ClientKey {
    /// Its name, in logs and metrics.
    pub name: String,
    /// What it shows as its bearer.
    pub key: Secret,
    /// Who goes first when places are short.
    pub class: Class,
    /// Whether it may look behind the scenes.
    pub is_admin: bool,
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKey").field("name", &self.name).field("class", &self.class).finish_non_exhaustive()
    }
}

impl Default for FaceSettings {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            queue_length: 1_000,
            queue_wait: Duration::from_mins(1),
            pass_through: Vec::new(),
            body_limit: 100 << 20,
            header_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(15),
            echo_model: false,
        }
    }
}

/// The keys as they are looked up: by what a client shows.
#[derive(Default)]
pub(super) struct KeyRing(HashMap<Vec<u8>, usize>);

impl KeyRing {
    pub(super) fn new(keys: &[ClientKey]) -> Self {
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
