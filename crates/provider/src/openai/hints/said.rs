//! How long to wait, in the words of a refusal.

use std::time::Duration;

use super::reading;

/// No refusal says it later than here; a page of HTML is not read to its end.
const READ: usize = 16 << 10;

/// What stands before a length of time, in small letters. The first that has one behind it decides.
const BEFORE: &[&str] = &[
    // https://ai.google.dev/gemini-api/docs/troubleshooting: `RetryInfo` of google.rpc, `"retryDelay": "34s"`.
    "\"retrydelay\"",
    // https://platform.openai.com/docs/guides/rate-limits: "Please try again in 1.2s"; Groq's are the same.
    "try again in",
    // https://learn.microsoft.com/azure/ai-foundry/openai/how-to/quota: "Please retry after 20 seconds".
    "retry after",
    "try again after",
    // https://ai.google.dev/gemini-api/docs/rate-limits: "Please retry in 34.07483s".
    "retry in",
];

/// What stands behind a length of time, in Chinese: "请在 20 秒后重试".
const BEHIND: [&str; 2] = ["后重试", "后再试"];

/// Returns the wait that the body of a refusal asks for.
pub(super) fn wait(body: &[u8]) -> Option<Duration> {
    let text = String::from_utf8_lossy(&body[..body.len().min(READ)]).to_ascii_lowercase();
    let told = BEFORE.iter().find_map(|before| {
        text.match_indices(before).find_map(|(at, _)| {
            let behind = text[at + before.len()..].trim_start_matches([' ', ':', '"', '~']);
            reading::span_before(behind).map(|(wait, _)| wait)
        })
    });
    told.or_else(|| {
        BEHIND.iter().find_map(|behind| {
            let before = text[..text.find(behind)?].trim_end();
            let seconds = before.strip_suffix('秒')?.trim_end();
            let start = seconds
                .rfind(|c: char| !c.is_ascii_digit() && c != '.')
                .map_or(0, |at| at + seconds[at..].chars().next().map_or(0, char::len_utf8));
            reading::number(&seconds[start..]).map(reading::seconds)
        })
    })
}
