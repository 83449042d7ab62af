//! What a client is told where there is no answer: OpenAI's shape, and a status that is true.

use std::time::Duration;

use bytes::Bytes;
use domain::{Failure, FailureKind, Usage, Waiting};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::body::FaceBody;
use crate::queue::{Refused, Why};

/// When it may help to ask again where nobody knows.
pub(super) const A_MOMENT: Duration = Duration::from_secs(1);

/// <https://github.com/openai/openai-python>: what its clients look for first.
pub(super) const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// Why there is no answer. <https://platform.openai.com/docs/guides/error-codes>
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// OpenAI's word for the sort of it.
    pub(super) kind: &'static str,
    /// A word for programs.
    pub(super) code: &'static str,
    pub(super) message: String,
    /// The member of the request that is at fault.
    param: Option<&'static str>,
    /// When it may help to ask again.
    pub(super) retry_after: Option<Duration>,
    /// What the answer cost as far as it came.
    usage: Option<Box<Usage>>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let kind = match status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_client_error() => "invalid_request_error",
            _ => "server_error",
        };
        Self { status, kind, code, message: message.into(), param: None, retry_after: None, usage: None }
    }

    pub(super) fn after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    pub(super) fn about(self, param: &'static str) -> Self {
        Self { param: Some(param), ..self }
    }

    pub(super) fn with_usage(self, usage: Option<Usage>) -> Self {
        Self { usage: usage.map(Box::new), ..self }
    }

    /// Sorts the failure of an upstream that said nothing which a client could be handed.
    pub(super) fn of_failure(failure: &Failure) -> Self {
        let (status, code) = match failure.kind {
            FailureKind::Throttled => (StatusCode::TOO_MANY_REQUESTS, "upstream_rate_limited"),
            FailureKind::Timeout => (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout"),
            // The client's own key is good; it is ours at the vendor that is not.
            FailureKind::Unauthorized => (StatusCode::SERVICE_UNAVAILABLE, "upstream_unauthorized"),
            FailureKind::ExhaustedCredit => (StatusCode::SERVICE_UNAVAILABLE, "upstream_credit_exhausted"),
            FailureKind::Rejected => (StatusCode::BAD_REQUEST, "rejected"),
            FailureKind::InvalidOutput => (StatusCode::BAD_GATEWAY, "upstream_answer_unusable"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "upstream_unavailable"),
        };
        Self::new(status, code, failure.message.clone()).after(failure.retry_after_ms.map(Duration::from_millis))
    }

    /// Says why there is no place, and when one is likely.
    pub(super) fn of_line(refused: &Refused) -> Self {
        let busy = |code, message: &str| Self::new(StatusCode::TOO_MANY_REQUESTS, code, message);
        let problem = match &refused.why {
            Why::TooLong => busy("queue_full", "too many requests wait for a place already"),
            Why::TooSlow => busy("rate_limited", "no place will be free in the time that a request may wait"),
            Why::Away(Waiting::Outage(trouble)) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "upstream_unavailable", trouble.clone())
            }
            Why::Away(_) => busy("upstream_rate_limited", "every upstream has asked for a rest"),
            Why::Closed(failure) => match Self::of_failure(failure) {
                problem if problem.status.is_server_error() => problem,
                // It is the request's own fault, and will be later.
                problem => return problem,
            },
        };
        problem.after(Some(refused.retry_after.max(A_MOMENT)))
    }

    pub(super) fn json(&self) -> Value {
        let Self { kind, code, message, param, .. } = self;
        let mut error = json!({ "error": { "message": message, "type": kind, "param": param, "code": code } });
        if let Some(usage) = &self.usage {
            error["usage"] = json!({
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "total_tokens": usage.total(),
            });
        }
        error
    }

    /// Returns it as the last event of a stream that began.
    pub(super) fn event(&self, events: Option<provider::watch::Events>) -> Bytes {
        match events {
            Some(provider::watch::Events::Responses) => {
                let Self { code, message, .. } = self;
                let event =
                    json!({ "type": "error", "code": code, "message": message, "param": null, "sequence_number": 0 });
                format!("event: error\ndata: {event}\n\n").into()
            }
            _ => format!("data: {}\n\n", self.json()).into(),
        }
    }

    pub(super) fn response(&self) -> Response<FaceBody> {
        let mut response = Response::new(FaceBody::whole(self.json().to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        set_retry_after(headers, self.retry_after);
        response
    }
}

/// Says when to ask again: in whole seconds as HTTP has it and never too early, and as exactly as OpenAI's clients read it.
pub(super) fn set_retry_after(headers: &mut HeaderMap, wait: Option<Duration>) {
    if let Some(wait) = wait {
        let exactly = wait.as_micros().div_ceil(1_000).max(1);
        let exactly = u64::try_from(exactly).unwrap_or(u64::MAX);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(exactly.div_ceil(1_000)));
        headers.insert(RETRY_AFTER_MS, HeaderValue::from(exactly));
    }
}
