//! What a refusal means, as a table.

use domain::FailureKind;

/// One line of the table: an answer with a status of `statuses` whose code, type or message holds one of `words` (any
/// answer where there are none) is a failure of `kind`.
struct Row {
    statuses: &'static [(u16, u16)],
    words: &'static [&'static str],
    kind: FailureKind,
}

/// Codes by which vendors say that money is the matter. Words that vendors also use for limits per minute ("quota",
/// "billing details") are left out on purpose: such a limit passes by itself, and an empty account does not.
const NO_CREDIT: &[&str] = &[
    // https://platform.openai.com/docs/guides/error-codes: 429 "You exceeded your current quota".
    "insufficient_quota",
    // The same page and https://community.openai.com: 400 or 429, with these as `code` or `type`.
    "billing_hard_limit_reached",
    "billing_not_active",
    // https://openrouter.ai/docs/api-reference/errors and https://docs.siliconflow.cn/en/faqs/error-code: 402, 403.
    "insufficient credits",
    "insufficient_credits",
    "insufficient balance",
    "insufficient_balance",
    "balance is insufficient",
    // https://help.aliyun.com/zh/model-studio/error-code: 400 `Arrearage`, the account is overdue.
    "arrearage",
    // https://platform.moonshot.ai/docs/api/errors: 429 `exceeded_current_quota_error`, the account has no balance.
    "exceeded_current_quota_error",
];

/// Read from above; the first line that fits decides. None of it but the scripted vendor's has been seen live.
const ROWS: &[Row] = &[
    // An empty account comes under many statuses; see the words.
    Row { statuses: &[(400, 400), (403, 403), (429, 429)], words: NO_CREDIT, kind: FailureKind::ExhaustedCredit },
    // https://api-docs.deepseek.com/quick_start/error_codes: "Insufficient Balance".
    Row { statuses: &[(402, 402)], words: &[], kind: FailureKind::ExhaustedCredit },
    // https://platform.openai.com/docs/guides/error-codes: rate limit reached; RFC 6585 section 4.
    Row { statuses: &[(429, 429)], words: &[], kind: FailureKind::Throttled },
    // https://openrouter.ai/docs/api-reference/errors: 403, "your chosen model requires moderation and your input was
    // flagged". That is about one request; a key that was taken for bad would be lost for all others.
    Row { statuses: &[(403, 403)], words: &["moderation", "flagged"], kind: FailureKind::Rejected },
    // The same page: 401 invalid authentication, 403 country or region not supported.
    Row { statuses: &[(401, 401), (403, 403)], words: &[], kind: FailureKind::Unauthorized },
    // RFC 9110 section 15.5.9: the server gave up waiting for the request; asking again may help.
    Row { statuses: &[(408, 408)], words: &[], kind: FailureKind::Timeout },
    // https://platform.openai.com/docs/guides/error-codes/python-library-error-types: BadRequestError (400),
    // NotFoundError (404), UnprocessableEntityError (422); RFC 9110 sections 15.5.6 to 15.5.18, RFC 6585 section 5: the
    // method, a condition, the length, the type, the range, the headers. Whoever asks for these could else make an
    // upstream look ill.
    Row {
        statuses: &[(400, 400), (404, 406), (410, 417), (422, 422), (431, 431)],
        words: &[],
        kind: FailureKind::Rejected,
    },
    // The same pages: 500, 503; https://docs.anthropic.com/en/api/errors: 529 overloaded, relayed by routers.
    Row { statuses: &[(500, 599)], words: &[], kind: FailureKind::Unavailable },
    // Redirects, proxies' inventions: nobody documented them, and they may pass.
    Row { statuses: &[(0, u16::MAX)], words: &[], kind: FailureKind::Unavailable },
];

/// Words of errors that come as an event and without a status: <https://platform.openai.com/docs/guides/error-codes>.
const OVERLOADED: &[&str] = &["rate_limit", "rate limit", "too many requests"];

/// Returns the kind of failure that an event tells in the middle of an answer.
pub(super) fn kind_of_event(status: Option<u16>, said: &[&str]) -> FailureKind {
    let holds =
        |words: &[&str]| said.iter().any(|text| words.iter().any(|word| text.to_ascii_lowercase().contains(word)));
    match status {
        Some(status) => kind(status, said),
        None if holds(NO_CREDIT) => FailureKind::ExhaustedCredit,
        None if holds(OVERLOADED) => FailureKind::Throttled,
        // It began to answer, so nothing is wrong with the request; it may do better next time.
        None => FailureKind::Unavailable,
    }
}

/// Returns the kind of failure that `status` is, with what the vendor said beside it.
pub(super) fn kind(status: u16, said: &[&str]) -> FailureKind {
    let said: Vec<String> = said.iter().map(|text| text.to_ascii_lowercase()).collect();
    let fits = |row: &&Row| {
        row.statuses.iter().any(|&(low, high)| (low..=high).contains(&status))
            && (row.words.is_empty() || row.words.iter().any(|word| said.iter().any(|text| text.contains(word))))
    };
    // The last row takes every status.
    ROWS.iter().find(fits).map_or(FailureKind::Unavailable, |row| row.kind)
}
