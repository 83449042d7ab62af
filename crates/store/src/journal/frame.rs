//! One entry as bytes.
//!
//! ```text
//! magic "TMJ1"   4 bytes
//! body length    u32, header and raw bytes together
//! group start    u32, the offset in the segment at which this frame's commit group begins
//! header length  u32
//! checksum       u32, CRC-32C of the 16 bytes above and of the body
//! body           header (JSON), then the raw bytes
//! ```
//!
//! All numbers are little-endian. The group start is a witness: a group is written only after the group before it was
//! synced, so a sound frame proves that everything before its group start was durable. What is broken before that
//! point is damage and is reported; what is broken behind it is a torn tail that nobody was told about, and is cut.

use bytes::Bytes;
use domain::{Entry, Header};

/// Begins every frame; looked for when a damaged stretch must be passed over.
pub(super) const MAGIC: [u8; 4] = *b"TMJ1";
/// The length of a frame's head.
pub(super) const HEAD: usize = 20;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) body: u32,
    pub(super) group_start: u32,
    pub(super) header: u32,
    pub(super) checksum: u32,
}

impl Head {
    /// Reads a head; `None` where it cannot be one.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEAD)?;
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let head = Self { body: word(4), group_start: word(8), header: word(12), checksum: word(16) };
        (bytes[..4] == MAGIC && head.header <= head.body).then_some(head)
    }

    /// Returns the length of the whole frame.
    pub(super) fn frame(&self) -> u64 {
        HEAD as u64 + u64::from(self.body)
    }

    /// Returns whether `frame` (head and body) is what was written.
    pub(super) fn is_sound(&self, frame: &[u8]) -> bool {
        frame.len() as u64 == self.frame()
            && crc32c::crc32c_append(crc32c::crc32c(&frame[..16]), &frame[HEAD..]) == self.checksum
    }
}

/// Appends a frame to `out`.
pub(super) fn encode(entry: &Entry, group_start: u32, out: &mut Vec<u8>) -> Result<(), String> {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; HEAD - MAGIC.len()]);
    serde_json::to_writer(&mut *out, &entry.header).map_err(|e| format!("an entry cannot be written as JSON: {e}"))?;
    let header = out.len() - start - HEAD;
    out.extend_from_slice(&entry.raw);
    let body = out.len() - start - HEAD;
    let (Ok(header), Ok(body)) = (u32::try_from(header), u32::try_from(body)) else {
        out.truncate(start);
        return Err("an answer is longer than 4 GiB".to_owned());
    };
    let frame = &mut out[start..];
    frame[4..8].copy_from_slice(&body.to_le_bytes());
    frame[8..12].copy_from_slice(&group_start.to_le_bytes());
    frame[12..16].copy_from_slice(&header.to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&frame[..16]), &frame[HEAD..]);
    frame[16..20].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// Reads the entry of a sound frame.
pub(super) fn decode(head: &Head, frame: &[u8]) -> Result<Entry, String> {
    let (header, raw) = frame[HEAD..].split_at(head.header as usize);
    let header: Header = serde_json::from_slice(header)
        .map_err(|e| format!("a sound frame holds a header that this version cannot read: {e}"))?;
    Ok(Entry { header, raw: Bytes::copy_from_slice(raw) })
}
