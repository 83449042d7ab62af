//! Embeddings: small vectors of length one, always the same for the same input.

use std::{borrow::Cow, io::Write as _};

use bytes::Bytes;
use http::{HeaderValue, Response, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::error::WireError;
use crate::{body::Body, draw::Draws, script::Script};

/// The dimensions of a vector unless the request says otherwise.
const DIMENSIONS: usize = 8;
const MOST_DIMENSIONS: usize = 4_096;

/// As many inputs as OpenAI takes at most.
const MOST_INPUTS: usize = 2_048;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What of a request matters here.
pub(crate) struct EmbeddingsRequest<'a> {
    /// The model's name as JSON text.
    model: &'a str,
    /// Each input as JSON text.
    inputs: Vec<&'a str>,
    dimensions: usize,
    is_base64: bool,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    dimensions: Option<usize>,
    #[serde(borrow)]
    encoding_format: Option<Cow<'a, str>>,
}

impl<'a> EmbeddingsRequest<'a> {
    /// Reads a request, or says what is wrong with it.
    pub(crate) fn parse(body: &'a [u8], script: &Script) -> Result<EmbeddingsRequest<'a>, WireError> {
        let wire: Wire<'a> = serde_json::from_slice(body)
            .map_err(|error| WireError::invalid(None, format!("the body is not an embeddings request: {error}")))?;
        let model = super::model_of(wire.model)?.get();
        let refused = || WireError::invalid(Some("input"), "`input` is not a text, nor a list of texts or tokens");
        let input = wire.input.ok_or_else(refused)?.get();
        let inputs = if input.starts_with('"') {
            vec![input]
        } else {
            let inputs: Vec<&'a RawValue> = serde_json::from_str(input).map_err(|_| refused())?;
            match inputs.first().map(|first| first.get().as_bytes()[0]) {
                Some(b'"' | b'[') => inputs.into_iter().map(RawValue::get).collect(),
                // A list of numbers is one input, as tokens.
                Some(b'0'..=b'9') => vec![input],
                _ => return Err(refused()),
            }
        };
        if inputs.len() > MOST_INPUTS {
            return Err(WireError::invalid(Some("input"), format!("`input` has more than {MOST_INPUTS} texts")));
        }
        if let Some(most) = script.lacks.inputs_above
            && let Some(index) = inputs.iter().position(|input| script.usage.of_input(input) > most as usize)
        {
            let message = format!("Invalid 'input[{index}]': maximum input length is {most} tokens.");
            return Err(WireError::invalid(Some("input"), message));
        }
        let dimensions = wire.dimensions.unwrap_or(DIMENSIONS);
        if !(1..=MOST_DIMENSIONS).contains(&dimensions) {
            let message = format!("`dimensions` is not between 1 and {MOST_DIMENSIONS}");
            return Err(WireError::invalid(Some("dimensions"), message));
        }
        let is_base64 = match wire.encoding_format.as_deref() {
            None | Some("float") => false,
            Some("base64") => true,
            Some(_) => return Err(WireError::invalid(Some("encoding_format"), "`encoding_format` is unknown")),
        };
        Ok(EmbeddingsRequest { model, inputs, dimensions, is_base64 })
    }

    /// Answers the request.
    pub(crate) fn answer(&self, script: &Script) -> Response<Body> {
        let mut out = Vec::with_capacity(256 + self.inputs.len() * (64 + 12 * self.dimensions));
        out.extend_from_slice(b"{\"object\":\"list\",\"data\":[");
        for (index, input) in self.inputs.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(out, "{comma}{{\"object\":\"embedding\",\"index\":{index},\"embedding\":");
            let vector = self.vector(script.seed, input);
            if self.is_base64 {
                out.push(b'"');
                base64(vector.into_iter().flat_map(f32::to_le_bytes), &mut out);
                out.push(b'"');
            } else {
                let _ = serde_json::to_writer(&mut out, &vector);
            }
            out.push(b'}');
        }
        let tokens: usize = self.inputs.iter().map(|input| script.usage.of_input(input)).sum();
        let model = self.model;
        let _ = write!(out, "],\"model\":{model},\"usage\":{{\"prompt_tokens\":{tokens},\"total_tokens\":{tokens}}}}}");
        let bytes = Bytes::from(out);
        let mut response = Response::new(Body::whole(bytes));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    fn vector(&self, seed: u64, input: &str) -> Vec<f32> {
        let mut draws = Draws::new(xxh3_64_with_seed(input.as_bytes(), seed));
        let vector: Vec<f64> = (0..self.dimensions).map(|_| draws.normal()).collect();
        let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        vector.into_iter().map(|x| (x / length) as f32).collect()
    }
}

/// Writes the bytes in base 64, with padding.
pub(super) fn base64(bytes: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    let bytes: Vec<u8> = bytes.collect();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0_u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let is_padding = digit > group.len();
            let index = (word >> (18 - 6 * digit)) & 63;
            out.push(if is_padding { b'=' } else { BASE64[index as usize] });
        }
    }
}
