//! Which header tells what.

/// What a header tells.
#[derive(Clone, Copy)]
pub(super) enum Tells {
    /// How many milliseconds to wait.
    WaitMillis,
    /// How long to wait: seconds, or a date.
    Wait,
    /// The same, of a header that says nothing about the next request unless this one is refused.
    WaitIfRefused,
    /// A part of what is told of a limit.
    Of(Kept, Part),
    /// All parts in one value, as members.
    Members(Kept),
}

/// A limit of which vendors tell. Some tell of several at once.
#[derive(Clone, Copy)]
pub(super) enum Kept {
    Requests,
    RequestsMinute,
    RequestsDay,
    Tokens,
    TokensMinute,
    TokensDay,
    InputTokens,
    OutputTokens,
}

/// A part of what is told of a limit.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Limit,
    Remaining,
    Reset,
}

impl Kept {
    pub(super) const N: usize = Kept::OutputTokens as usize + 1;
    pub(super) const REQUESTS: &[Kept] = &[Kept::Requests, Kept::RequestsMinute, Kept::RequestsDay];
    pub(super) const TOKENS: &[Kept] =
        &[Kept::Tokens, Kept::TokensMinute, Kept::TokensDay, Kept::InputTokens, Kept::OutputTokens];
}

/// Prefixes behind which stand `limit-WHAT`, `remaining-WHAT` and `reset-WHAT`, or nothing but the part.
const PREFIXES: [&str; 2] = [
    // https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers; Azure's are the same:
    // https://learn.microsoft.com/azure/ai-foundry/openai/how-to/quota; Groq's: https://console.groq.com/docs/rate-limits
    "x-ratelimit-",
    // https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-05
    "ratelimit-",
];

/// <https://docs.anthropic.com/en/api/rate-limits#response-headers>: `WHAT-limit`, `WHAT-remaining`, `WHAT-reset`.
const ANTHROPIC: &str = "anthropic-ratelimit-";

const PARTS: [(&str, Part); 3] = [("limit", Part::Limit), ("remaining", Part::Remaining), ("reset", Part::Reset)];

/// What a limit is on, by its name in a header.
const KEPT: &[(&str, Kept)] = &[
    // https://openrouter.ai/docs/api-reference/limits: no name, and requests are meant.
    ("", Kept::Requests),
    ("requests", Kept::Requests),
    ("tokens", Kept::Tokens),
    // https://docs.anthropic.com/en/api/rate-limits#response-headers
    ("input-tokens", Kept::InputTokens),
    ("output-tokens", Kept::OutputTokens),
    // https://inference-docs.cerebras.ai/support/rate-limits
    ("requests-minute", Kept::RequestsMinute),
    ("requests-day", Kept::RequestsDay),
    ("tokens-minute", Kept::TokensMinute),
    ("tokens-day", Kept::TokensDay),
    // https://github.com/mistralai/client-ts/issues/169
    ("req-minute", Kept::RequestsMinute),
];

/// Names that stand for themselves.
const WHOLE: &[(&str, Tells)] = &[
    // RFC 9110 section 10.2.3.
    ("retry-after", Tells::Wait),
    // https://github.com/openai/openai-python: its clients prefer it to the whole seconds.
    ("retry-after-ms", Tells::WaitMillis),
    // https://learn.microsoft.com/azure/ai-foundry/openai/how-to/provisioned-throughput-onboarding
    ("x-ms-retry-after-ms", Tells::WaitMillis),
    // https://open.feishu.cn/document/server-docs/api-call-guide/frequency-control
    ("x-ogw-ratelimit-reset", Tells::WaitIfRefused),
    // https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers: `"default";r=50;t=30`.
    ("ratelimit", Tells::Members(Kept::Requests)),
    // https://docs.together.ai/docs/rate-limits
    ("x-tokenlimit-limit", Tells::Of(Kept::Tokens, Part::Limit)),
    ("x-tokenlimit-remaining", Tells::Of(Kept::Tokens, Part::Remaining)),
    ("x-tokenlimit-reset", Tells::Of(Kept::Tokens, Part::Reset)),
];

/// Members of the one header that tells all, in its newer and its older spelling.
const MEMBERS: [(&str, Part); 5] = [
    ("r", Part::Remaining),
    ("t", Part::Reset),
    ("limit", Part::Limit),
    ("remaining", Part::Remaining),
    ("reset", Part::Reset),
];

/// Whether a look at the tables is worth its while: of the headers of an answer, most begin otherwise.
pub(super) fn may_be_one(name: &str) -> bool {
    matches!(
        name.as_bytes(),
        [b'r', b'a' | b'e', b't', ..] | [b'x', b'-', b'r' | b'm' | b'o' | b't', ..] | [b'a', b'n', b't', ..]
    )
}

/// Returns what the header of this name tells, if the tables know it.
pub(super) fn find(name: &str) -> Option<Tells> {
    if let Some((_, tells)) = WHOLE.iter().find(|(whole, _)| *whole == name) {
        return Some(*tells);
    }
    let (part, kept) = match name.strip_prefix(ANTHROPIC) {
        Some(rest) => rest.rsplit_once('-').map(|(kept, part)| (part, kept))?,
        None => {
            let rest = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix))?;
            rest.split_once('-').unwrap_or((rest, ""))
        }
    };
    let (_, part) = PARTS.iter().find(|(name, _)| *name == part)?;
    let (_, kept) = KEPT.iter().find(|(name, _)| *name == kept)?;
    Some(Tells::Of(*kept, *part))
}

/// Returns the members of a value that tells all at once. Of several limits the first one is read.
pub(super) fn members(text: &str) -> impl Iterator<Item = (Part, &str)> {
    // In the newer spelling a comma parts limits, in the older one the parts of a limit, which has no name before them.
    let is_newer = text.starts_with('"');
    let first = if is_newer { text.split(',').next().unwrap_or(text) } else { text };
    first.split([';', ',']).filter_map(|member| {
        let (name, value) = member.trim().split_once('=')?;
        let (_, part) = MEMBERS.iter().find(|(known, _)| *known == name.trim())?;
        Some((*part, value.trim()))
    })
}
