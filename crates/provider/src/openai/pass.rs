//! Passing a client's request on, and handing back what comes as it comes.
//!
//! Nothing is put together here and nothing is read to its end: that is for whoever stands between the client and the
//! vendor. What is changed in a request is what [`super::encode::adapt`] says.

use std::borrow::Cow;

use bytes::Bytes;
use domain::{Clock, Failure, json::NotAnObject};
use http::{HeaderMap, Method, StatusCode, header::CONTENT_TYPE};

use super::{OpenAi, decode, encode, scan::Scan};
use crate::{
    Failed,
    abilities::Json,
    transport::{Answering, EndpointError, Form, Payload, Reply, Request, Transport, TransportError},
};

/// How a client's request goes to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path<'a> {
    /// `/chat/completions`.
    Chat,
    /// `/embeddings`.
    Embeddings,
    /// Any other, below the version: `/audio/speech`, with its query.
    Other(&'a Method, &'a str),
}

/// A client's request.
#[derive(Debug)]
pub struct Passing<'a> {
    /// Where it goes.
    pub path: Path<'a>,
    /// Those of its headers that are passed on.
    pub headers: Cow<'a, HeaderMap>,
    /// Its body, as [`OpenAi::adapt`] made it.
    pub body: Payload,
    /// Whether the answer will come in pieces.
    pub is_stream: bool,
}

impl OpenAi {
    /// Returns a client's request as this model is to see it: with its name, no more demand on the form of the answer than
    /// it takes, and those of `defaults`, members as they stand in JSON, that it lacks.
    ///
    /// # Errors
    /// Where `body` is not what `scan` was made of.
    pub fn adapt(
        &self,
        body: &Bytes,
        scan: &Scan,
        json: Json,
        defaults: &[(String, String)],
    ) -> Result<Payload, NotAnObject> {
        encode::adapt(body, scan, &self.model, json, defaults)
    }

    /// Returns the vendor's name of the model, as a JSON string.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Passes a request on and returns when the answer begins. It knows no deadline, and calls an answer of every status
    /// an answer.
    ///
    /// # Errors
    /// Where no answer begins.
    pub async fn pass(&self, transport: &Transport, passing: Passing<'_>) -> Result<Answering, TransportError> {
        let Passing { path, headers, body, is_stream } = passing;
        let other;
        let form = match path {
            Path::Chat if is_stream => &*self.chat_stream,
            Path::Chat => &*self.chat,
            Path::Embeddings => &*self.embeddings,
            Path::Other(method, path) => {
                other = self.form(method, path).map_err(|e| TransportError::Protocol(e.to_string()))?;
                &other
            }
        };
        transport.open(&self.endpoint, Request { form, headers, body, is_stream }).await
    }

    fn form(&self, method: &Method, path: &str) -> Result<Form, EndpointError> {
        let mut headers = HeaderMap::new();
        if let Some(authorization) = &self.authorization {
            headers.insert(http::header::AUTHORIZATION, authorization.clone());
        }
        Form::new(&self.endpoint, method.clone(), path, headers)
    }

    /// Says what an answer means that refuses: of a status that is no success, or with an error in a body that should be
    /// an answer. Nothing where it is an answer.
    #[must_use]
    pub fn refused(&self, status: StatusCode, headers: &HeaderMap, body: &Bytes, clock: &dyn Clock) -> Option<Failed> {
        let is_json = || headers.get(CONTENT_TYPE).is_none_or(|kind| kind.as_bytes().ends_with(b"json"));
        if status.is_success() && !is_json() && !body.starts_with(b"{") {
            return None;
        }
        let reply = Reply { status, headers: headers.clone(), body: body.clone() };
        decode::read(reply, self.key.as_ref(), || clock.now()).err()
    }

    /// Says what an error means that came as an event, before or in the middle of an answer.
    #[must_use]
    pub fn refused_in_stream(&self, event: &[u8]) -> Failure {
        let mut failure = decode::Said::read(event).of_event();
        if let Some(key) = &self.key {
            failure.message = key.redact(&failure.message);
        }
        failure
    }

    /// Blots the key out of what goes to a client: vendors like to repeat a key that they do not accept.
    #[must_use]
    pub fn without_key(&self, body: Bytes) -> Bytes {
        decode::without(self.key.as_ref(), body)
    }
}
