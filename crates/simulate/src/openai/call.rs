//! A call of a tool: whom a model calls, and with what.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    chat::{Identity, quote},
    error::WireError,
};
use crate::answer::{Demand, Schemas};

/// The tool that is to be called.
pub(super) struct Callee {
    name: String,
    arguments: Demand,
}

/// A call.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    /// A JSON object, as text.
    pub(super) arguments: String,
}

/// A tool as chats have it, or as responses do: without the `function` around it.
#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    function: Option<Function<'a>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    function: Option<Name<'a>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Name<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

impl Callee {
    /// Chooses the tool that a request demands, or the first one where a call is wanted; none otherwise.
    pub(super) fn choose(
        tools: Option<&RawValue>,
        choice: Option<&RawValue>,
        calls_any: bool,
        schemas: &Schemas,
    ) -> Result<Option<Callee>, WireError> {
        let Some(tools) = tools else { return Ok(None) };
        let choice = choice.map_or("\"auto\"", RawValue::get);
        let named = match choice {
            "\"required\"" => None,
            "\"auto\"" | "null" if calls_any => None,
            choice if choice.starts_with('{') => {
                let named: Named<'_> = serde_json::from_str(choice)
                    .map_err(|error| WireError::invalid(Some("tool_choice"), format!("`tool_choice`: {error}")))?;
                named.function.map(|function| function.name).or(named.name)
            }
            _ => return Ok(None),
        };
        let refused = |message: String| WireError::invalid(Some("tools"), message);
        let tools: Vec<Tool<'_>> =
            serde_json::from_str(tools.get()).map_err(|error| refused(format!("`tools`: {error}")))?;
        let functions = tools.into_iter().filter_map(|tool| {
            let Tool { function, name, parameters } = tool;
            function.or_else(|| name.map(|name| Function { name, parameters }))
        });
        let mut functions = functions.filter(|function| named.as_ref().is_none_or(|name| *name == function.name));
        let Some(Function { name, parameters }) = functions.next() else {
            return Err(refused("`tool_choice` demands a call, and there is no such function".to_owned()));
        };
        let arguments = match parameters {
            None => Demand::Text("{}".into()),
            Some(parameters) => {
                let schema = schemas.compile(parameters.get());
                Demand::Schema(schema.map_err(|reason| refused(format!("no call of `{name}`: {reason}")))?)
            }
        };
        Ok(Some(Callee { name: name.into_owned(), arguments }))
    }

    /// Makes the call of one choice.
    pub(super) fn call(&self, seed: u64, identity: Identity, choice: u32) -> Call {
        let Identity { request_hash, ask } = identity;
        Call {
            id: format!("call_{:016x}_{ask}_{choice}", request_hash as u64),
            name: self.name.clone(),
            arguments: self.arguments.satisfy(seed, request_hash, choice),
        }
    }
}

impl Call {
    /// Writes the call as chats have it, under its index where it is a piece of a stream.
    pub(super) fn write(&self, index: Option<u32>, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(index) = index {
            out.extend_from_slice(format!("\"index\":{index},").as_bytes());
        }
        out.extend_from_slice(b"\"id\":");
        quote(Some(&self.id), out);
        out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
        quote(Some(&self.name), out);
        out.extend_from_slice(b",\"arguments\":");
        quote(Some(&self.arguments), out);
        out.extend_from_slice(b"}}");
    }
}
