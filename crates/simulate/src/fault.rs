//! What goes wrong, and when: a function of the script, the request and how often it was asked.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    draw::{self, Salt},
    duration::Span,
    script::{Script, ScriptError},
};

/// One way in which the vendor fails, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// The share of asks that it strikes, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub rate: f64,
    /// It strikes only the first so many asks of a request; every ask by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub asks: Option<u32>,
    /// It does not strike a request that complains of an answer: one that ends with the answer and a user's message. For
    /// kinds that spoil a message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mends: bool,
    /// What the vendor asks the client to wait: `Retry-After`, and `retry-after-ms` where it is no whole number of
    /// seconds. For `throttled`, `unavailable` and `exhausted_credit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Span>,
    /// The HTTP status of `unavailable`, from 500 to 599; 503 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 500, max = 599))]
    pub status: Option<u16>,
    /// Behind how many events of a stream it strikes. For `half` and `ended_early` (by default behind half of the bytes),
    /// `stall` (0), `garbage_chunks` and `error_event` (1), and for `reset`, which without it strikes before the head. An
    /// answer that comes whole has no events: 0 is right behind its head, anything else behind half of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u32>,
    /// The wait between two bytes of `slow_head` (5 ms by default) and `split_bytes` (none).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Span>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum FaultKind {
    /// 429: too many requests.
    Throttled,
    /// 5xx: the vendor is down.
    Unavailable,
    /// No answer, until the client leaves or the vendor stops.
    Hang,
    /// The connection is closed before the first byte of an answer.
    Cut,
    /// Half an answer under the full `Content-Length`, or half a stream; then the connection is closed.
    Half,
    /// An answer in the right form, whose message is not the JSON that it should be.
    Garbage,
    /// An object whose first field has another name.
    WrongFields,
    /// 200 with a body that is not JSON.
    GarbageBody,
    /// A message cut in its middle, with the finish reason `length`.
    Length,
    /// A message without text.
    Empty,
    /// The model refuses: no content, but a refusal.
    Refused,
    /// The vendor's filter stops the answer: no content, and the finish reason `content_filter`.
    Filtered,
    /// 400: the request is not one that the vendor takes.
    Rejected,
    /// 401: the key is not valid.
    Unauthorized,
    /// 429 with the code `insufficient_quota`: no credit left.
    ExhaustedCredit,
    /// The connection is reset: before the first byte of an answer, or `after` some events.
    Reset,
    /// The head of an answer, and perhaps some events; then nothing, until the client leaves or the vendor stops.
    Stall,
    /// The head comes byte by byte.
    SlowHead,
    /// Half of an answer whose end is in order: the length is that of the half, or the last chunk comes, without `[DONE]`.
    EndedEarly,
    /// More bytes than the head announces.
    Excess,
    /// A stream with a chunk whose size is no number.
    GarbageChunks,
    /// An answer packed with gzip, for which nobody asked.
    Gzip,
    /// An answer with a header of 64 KiB.
    HugeHead,
    /// An answer behind a head of status 103.
    Informational,
    /// 200, and then an error: as an event of the stream, or as the body.
    ErrorEvent,
    /// A message that ends without a finish reason.
    NoFinish,
    /// A body that comes byte by byte.
    SplitBytes,
    /// 200 with a body of no bytes.
    EmptyBody,
}

/// Returns the identity of a request: the 128-bit XXH3 of its body's bytes, printed as 32 hexadecimal digits.
pub fn request_hash(body: &[u8]) -> u128 {
    xxh3_128(body)
}

impl Script {
    /// Returns the fault that strikes when the request with this hash is asked for the `ask`-th time (from 1).
    ///
    /// There is one draw per ask. Each fault owns a part of the range of the draw as wide as its rate, in the order of
    /// the list, so that no two overlap and a change of one fault's `asks` does not move the others.
    pub fn fault_for(&self, request_hash: u128, ask: u32) -> Option<&Fault> {
        if self.faults.is_empty() {
            return None;
        }
        let draw = draw::unit(draw::word(self.seed, request_hash, ask, Salt::Fault));
        let mut end = 0.0;
        let fault = self.faults.iter().find(|fault| {
            end += fault.rate;
            draw < end
        })?;
        fault.asks.is_none_or(|asks| ask <= asks).then_some(fault)
    }
}

impl Fault {
    /// Describes a fault that strikes this share of all asks.
    pub fn new(kind: FaultKind, rate: f64) -> Fault {
        Fault { kind, rate, asks: None, mends: false, retry_after: None, status: None, after: None, pause: None }
    }

    pub(crate) fn check(&self) -> Result<(), ScriptError> {
        use FaultKind::{ExhaustedCredit, Throttled, Unavailable};

        let kind = self.kind;
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(ScriptError::Rate { kind, rate: self.rate });
        }
        let problem = if self.asks == Some(0) {
            "`asks` is 0, so that it never strikes; leave the fault out"
        } else if self.mends && !kind.is_about_the_message() {
            "`mends` has no use here; it belongs to kinds that spoil a message, such as `wrong_fields`"
        } else if self.retry_after.is_some() && !matches!(kind, Throttled | Unavailable | ExhaustedCredit) {
            "`retry_after` has no use here; it belongs to `throttled`, `unavailable` and `exhausted_credit`"
        } else if self.status.is_some() && kind != Unavailable {
            "`status` has no use here; it belongs to `unavailable`"
        } else if self.status.is_some_and(|status| !(500..=599).contains(&status)) {
            "`status` is not between 500 and 599"
        } else if self.after.is_some() && !kind.is_midway() {
            "`after` has no use here; it belongs to kinds that strike in the middle of a stream, such as `half`"
        } else if self.pause.is_some() && !matches!(kind, FaultKind::SlowHead | FaultKind::SplitBytes) {
            "`pause` has no use here; it belongs to `slow_head` and `split_bytes`"
        } else {
            return Ok(());
        };
        Err(ScriptError::Fault { kind, problem })
    }
}

impl FaultKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [FaultKind; 28] = [
        FaultKind::Throttled,
        FaultKind::Unavailable,
        FaultKind::Hang,
        FaultKind::Cut,
        FaultKind::Half,
        FaultKind::Garbage,
        FaultKind::WrongFields,
        FaultKind::GarbageBody,
        FaultKind::Length,
        FaultKind::Empty,
        FaultKind::Refused,
        FaultKind::Filtered,
        FaultKind::Rejected,
        FaultKind::Unauthorized,
        FaultKind::ExhaustedCredit,
        FaultKind::Reset,
        FaultKind::Stall,
        FaultKind::SlowHead,
        FaultKind::EndedEarly,
        FaultKind::Excess,
        FaultKind::GarbageChunks,
        FaultKind::Gzip,
        FaultKind::HugeHead,
        FaultKind::Informational,
        FaultKind::ErrorEvent,
        FaultKind::NoFinish,
        FaultKind::SplitBytes,
        FaultKind::EmptyBody,
    ];

    /// Returns the name by which scripts and counts call it.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Throttled => "throttled",
            FaultKind::Unavailable => "unavailable",
            FaultKind::Hang => "hang",
            FaultKind::Cut => "cut",
            FaultKind::Half => "half",
            FaultKind::Garbage => "garbage",
            FaultKind::WrongFields => "wrong_fields",
            FaultKind::GarbageBody => "garbage_body",
            FaultKind::Length => "length",
            FaultKind::Empty => "empty",
            FaultKind::Refused => "refused",
            FaultKind::Filtered => "filtered",
            FaultKind::Rejected => "rejected",
            FaultKind::Unauthorized => "unauthorized",
            FaultKind::ExhaustedCredit => "exhausted_credit",
            FaultKind::Reset => "reset",
            FaultKind::Stall => "stall",
            FaultKind::SlowHead => "slow_head",
            FaultKind::EndedEarly => "ended_early",
            FaultKind::Excess => "excess",
            FaultKind::GarbageChunks => "garbage_chunks",
            FaultKind::Gzip => "gzip",
            FaultKind::HugeHead => "huge_head",
            FaultKind::Informational => "informational",
            FaultKind::ErrorEvent => "error_event",
            FaultKind::NoFinish => "no_finish",
            FaultKind::SplitBytes => "split_bytes",
            FaultKind::EmptyBody => "empty_body",
        }
    }

    /// Whether it spoils the text of a message, which an embedding has not.
    pub(crate) fn is_about_the_message(self) -> bool {
        use FaultKind::{Empty, Filtered, Garbage, Length, NoFinish, Refused, WrongFields};

        matches!(self, Garbage | WrongFields | Length | Empty | Refused | Filtered | NoFinish)
    }

    /// Whether it strikes in the middle of a stream.
    fn is_midway(self) -> bool {
        use FaultKind::{EndedEarly, ErrorEvent, GarbageChunks, Half, Reset, Stall};

        matches!(self, Half | Reset | Stall | EndedEarly | GarbageChunks | ErrorEvent)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
