//! The list of models: one.

use http::{HeaderValue, Response, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{CREATED, error::WireError};
use crate::body::Body;

/// Returns the list of models.
pub(crate) fn list(model: &str) -> Response<Body> {
    respond(&json!({ "object": "list", "data": [describe(model)] }))
}

/// Returns the model of this name.
pub(crate) fn retrieve(model: &str, name: &str) -> Response<Body> {
    if name == model { respond(&describe(model)) } else { WireError::unknown_model(name).response() }
}

fn describe(model: &str) -> Value {
    json!({ "id": model, "object": "model", "created": CREATED, "owned_by": "simulate" })
}

fn respond(value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::whole(value.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
