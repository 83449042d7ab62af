//! OpenAI's wire format, and everybody's who speaks it.
//!
//! The body is this shape already when it comes in, so encoding puts the vendor's name of the model into it and touches
//! nothing else. What was read in documents and not seen live is marked so in `classify` and in the fixtures.

mod classify;
mod decode;
mod encode;
mod retry_after;

use std::time::Instant;

use bytes::Bytes;
use domain::{Clock, Failure, FailureKind, Secret};
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
    uri::PathAndQuery,
};

use crate::{
    Failed, Replied,
    transport::{Endpoint, EndpointError, Request, Transport},
};

/// Where chat completions are asked for, below the base URL.
const PATH: &str = "/chat/completions";

/// One model of one vendor, asked through chat completions.
#[derive(Clone, Debug)]
pub struct Chat {
    endpoint: Endpoint,
    path: PathAndQuery,
    /// Those of every request, the key among them.
    headers: HeaderMap,
    /// The vendor's name of the model, as a JSON string.
    model: String,
    key: Option<Secret>,
}

impl Chat {
    /// Makes the way to `model`, as the vendor names it.
    ///
    /// # Errors
    /// Where the key cannot be sent in a header, or the path is none.
    pub fn new(endpoint: Endpoint, model: &str, key: Option<Secret>) -> Result<Self, EndpointError> {
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(key) = &key {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose()))
                .map_err(|_| EndpointError("the key holds characters that a header cannot carry".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let model = serde_json::Value::from(model).to_string();
        Ok(Self { path: endpoint.path(PATH)?, endpoint, headers, model, key })
    }

    /// Asks once. `body` is the request with any name in `model`.
    ///
    /// # Errors
    /// Where there is no answer, or one that refuses.
    pub async fn ask(
        &self,
        transport: &Transport,
        body: &Bytes,
        deadline: Instant,
        clock: &dyn Clock,
    ) -> Result<Replied, Failed> {
        let body = encode::with_model(body, &self.model).map_err(|e| Failed {
            failure: Failure::new(FailureKind::Rejected, format!("the request body is {e}")),
            is_reached: false,
            body: Bytes::new(),
        })?;
        let request = Request { path: self.path.clone(), headers: self.headers.clone(), body };
        let reply = transport.send(&self.endpoint, request, deadline).await?;
        decode::read(reply, self.key.as_ref(), || clock.now())
    }
}
