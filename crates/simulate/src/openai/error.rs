//! Errors as OpenAI words them: a status, a JSON object, and how long to wait.

use std::{borrow::Cow, time::Duration};

use http::{
    Response, StatusCode,
    header::{CONTENT_TYPE, DATE, HeaderName, HeaderValue, RETRY_AFTER},
};
use serde_json::{Value, json};

use crate::{
    body::Body,
    duration::Span,
    fault::{Fault, FaultKind},
    limit::told,
    script::Spelling,
};

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const X_MS_RETRY_AFTER_MS: HeaderName = HeaderName::from_static("x-ms-retry-after-ms");
const INVALID_REQUEST: &str = "invalid_request_error";

/// An error to be sent to the client.
#[derive(Debug)]
pub(crate) struct WireError {
    status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<&'static str>,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
    /// Whose headers or words tell the wait.
    spelling: Option<Spelling>,
    /// The whole body, where it is in another vendor's words.
    body: Option<String>,
}

impl WireError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<Cow<'static, str>>) -> WireError {
        WireError {
            status,
            kind,
            code: None,
            param: None,
            message: message.into(),
            retry_after: None,
            spelling: None,
            body: None,
        }
    }

    /// The request is not one that the vendor takes.
    pub(crate) fn invalid(param: Option<&'static str>, message: impl Into<Cow<'static, str>>) -> WireError {
        WireError { param, ..WireError::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, message) }
    }

    /// The request is not one that the vendor takes, as another vendor would say it.
    pub(crate) fn in_words(status: StatusCode, body: &Value) -> WireError {
        WireError { body: Some(body.to_string()), ..WireError::new(status, INVALID_REQUEST, "") }
    }

    pub(crate) fn too_long(most_bytes: usize) -> WireError {
        let message = format!("the request is longer than {most_bytes} bytes");
        WireError::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID_REQUEST, message)
    }

    pub(crate) fn unauthorized() -> WireError {
        let error = WireError::new(StatusCode::UNAUTHORIZED, INVALID_REQUEST, "the API key is not valid");
        WireError { code: Some("invalid_api_key"), ..error }
    }

    pub(crate) fn unknown_path(method: &str, path: &str) -> WireError {
        WireError::new(StatusCode::NOT_FOUND, INVALID_REQUEST, format!("there is nothing at `{method} {path}`"))
    }

    pub(crate) fn unknown_model(name: &str) -> WireError {
        let error = WireError::new(StatusCode::NOT_FOUND, INVALID_REQUEST, format!("there is no model `{name}`"));
        WireError { code: Some("model_not_found"), param: Some("model"), ..error }
    }

    pub(crate) fn throttled(message: &'static str, retry_after: Option<Duration>) -> WireError {
        let error = WireError::new(StatusCode::TOO_MANY_REQUESTS, "requests", message);
        WireError { code: Some("rate_limit_exceeded"), retry_after, ..error }
    }

    /// Lets the wait be told as this vendor tells it.
    pub(crate) fn told(self, spelling: Option<Spelling>) -> WireError {
        WireError { spelling, ..self }
    }

    /// Words the fault as an error, if it is one that a vendor words.
    pub(crate) fn of_fault(fault: &Fault) -> Option<WireError> {
        let retry_after = fault.retry_after.map(|Span(wait)| wait);
        Some(match fault.kind {
            FaultKind::Throttled => WireError::throttled("too many requests, as the script says", retry_after),
            FaultKind::Unavailable => {
                let status = fault.status.and_then(|status| StatusCode::from_u16(status).ok());
                let status = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                let error = WireError::new(status, "server_error", "the vendor is down, as the script says");
                WireError { retry_after, ..error }
            }
            FaultKind::Rejected => WireError::invalid(None, "the request is rejected, as the script says"),
            FaultKind::Unauthorized => WireError::unauthorized(),
            FaultKind::ExhaustedCredit => {
                let message = "no credit is left, as the script says";
                let error = WireError::new(StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", message);
                WireError { code: Some("insufficient_quota"), retry_after, ..error }
            }
            _ => return None,
        })
    }

    pub(crate) fn response(self) -> Response<Body> {
        let body = self.body.unwrap_or_else(|| {
            let mut error =
                json!({ "message": self.message, "type": self.kind, "param": self.param, "code": self.code });
            match (self.spelling, self.retry_after) {
                (Some(Spelling::Gemini), Some(wait)) => {
                    let info = "type.googleapis.com/google.rpc.RetryInfo";
                    error["details"] = json!([{ "@type": info, "retryDelay": format!("{}s", wait.as_secs_f64()) }]);
                }
                (Some(Spelling::Words), Some(wait)) => {
                    let wait = wait.as_secs_f64();
                    error["message"] = json!(format!("{}. Please try again in {wait:.3}s.", self.message));
                }
                _ => {}
            }
            json!({ "error": error }).to_string()
        });
        let mut response = Response::new(Body::whole(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(wait) =
            self.retry_after.filter(|_| !matches!(self.spelling, Some(Spelling::Gemini | Spelling::Words)))
        {
            if self.spelling == Some(Spelling::Dates)
                && let Some([date, until]) = told::dates(wait)
            {
                headers.insert(DATE, date);
                headers.insert(RETRY_AFTER, until);
                return response;
            }
            // The header holds whole seconds; a client that knows no milliseconds waits the longer.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            let millis = match self.spelling {
                None | Some(Spelling::OpenAi) => Some(RETRY_AFTER_MS),
                Some(Spelling::Azure) => Some(X_MS_RETRY_AFTER_MS),
                Some(_) => None,
            };
            if let Some(name) = millis.filter(|_| wait.subsec_nanos() > 0) {
                let millis = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
                headers.insert(name, HeaderValue::from(millis));
            }
        }
        response
    }
}
