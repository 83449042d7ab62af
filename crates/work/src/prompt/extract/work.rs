//! How much one answer may cost.

/// Bytes that may be looked at for each byte of an answer. An honest answer needs about two; a text that is nothing but
/// openings of things that never close would cost its length squared.
const FOR_EACH_BYTE: usize = 8;

/// Bytes that may be looked at whatever the length.
const AT_LEAST: usize = 64 * 1024;

/// Counts the bytes that are looked at, so that the worst answer costs a known multiple of its length.
#[derive(Debug)]
pub(super) struct Work {
    done: usize,
    most: usize,
}

impl Work {
    pub(super) fn on(text: &str) -> Self {
        Self { done: 0, most: text.len().saturating_mul(FOR_EACH_BYTE).saturating_add(AT_LEAST) }
    }

    /// Counts `bytes`; false when no more may be looked at.
    pub(super) fn spend(&mut self, bytes: usize) -> bool {
        self.done = self.done.saturating_add(bytes);
        self.done <= self.most
    }

    /// Returns how many bytes may still be looked at.
    pub(super) fn left(&self) -> usize {
        self.most.saturating_sub(self.done)
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn done(&self) -> usize {
        self.done
    }
}
