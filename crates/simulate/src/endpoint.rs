//! What can be asked for.

/// Where a request goes that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Endpoint {
    Chat,
    Completions,
    Responses,
    Embeddings,
    Moderations,
    Rerank,
    Images,
    Transcriptions,
    Speech,
}

impl Endpoint {
    pub(crate) const ALL: [Endpoint; 9] = [
        Endpoint::Chat,
        Endpoint::Completions,
        Endpoint::Responses,
        Endpoint::Embeddings,
        Endpoint::Moderations,
        Endpoint::Rerank,
        Endpoint::Images,
        Endpoint::Transcriptions,
        Endpoint::Speech,
    ];

    /// Returns its path behind the version.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Endpoint::Chat => "/chat/completions",
            Endpoint::Completions => "/completions",
            Endpoint::Responses => "/responses",
            Endpoint::Embeddings => "/embeddings",
            Endpoint::Moderations => "/moderations",
            Endpoint::Rerank => "/rerank",
            Endpoint::Images => "/images/generations",
            Endpoint::Transcriptions => "/audio/transcriptions",
            Endpoint::Speech => "/audio/speech",
        }
    }

    pub(crate) fn of_path(path: &str) -> Option<Endpoint> {
        Endpoint::ALL.into_iter().find(|endpoint| endpoint.path() == path)
    }

    /// Whether an answer has a message that a fault could spoil.
    pub(crate) fn has_message(self) -> bool {
        matches!(self, Endpoint::Chat | Endpoint::Completions | Endpoint::Responses)
    }
}
