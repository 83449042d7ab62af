//! Where a key is found.

use std::{borrow::Cow, fmt, path::PathBuf};

use domain::Secret;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// Where a key is found: `{ env: NAME }` or `{ file: PATH }`, and never the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// In a variable of the environment.
    Env(String),
    /// In a file that holds nothing else.
    File(PathBuf),
    /// The key itself. Only a dialect makes it: no models file can.
    Given(Secret),
}

/// Told to whoever writes a key into the file. It does not repeat what stands there.
const NO_LITERAL: &str = "a key never stands in the file itself; write `key: { env: NAME }` with the name of an \
                          environment variable, or `key: { file: PATH }`";

// serde's derive would do, but for its message, which quotes what it found: the key.
impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase", deny_unknown_fields)]
        enum Place {
            Env(String),
            File(PathBuf),
        }

        struct Reference;
        impl<'de> Visitor<'de> for Reference {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`{ env: NAME }` or `{ file: PATH }`")
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Key, E> {
                Err(E::custom(NO_LITERAL))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Key, A::Error> {
                Ok(match Place::deserialize(MapAccessDeserializer::new(map))? {
                    Place::Env(name) => Key::Env(name),
                    Place::File(path) => Key::File(path),
                })
            }
        }
        deserializer.deserialize_any(Reference)
    }
}

impl JsonSchema for Key {
    fn schema_name() -> Cow<'static, str> {
        "Key".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let branch = |name: &str, description: &str| {
            json_schema!({
                "type": "object",
                "properties": { name: { "type": "string", "minLength": 1, "description": description } },
                "required": [name],
                "additionalProperties": false,
            })
        };
        json_schema!({
            "description": "Where the key is found: `{ env: NAME }` or `{ file: PATH }`, and never the key itself.",
            "oneOf": [
                branch("env", "The name of an environment variable."),
                branch("file", "The path of a file that holds the key and nothing else."),
            ],
            // What stands here by mistake is a secret: a message about it must not quote it.
            "writeOnly": true,
            "examples": [{ "env": "API_KEY" }],
        })
    }
}
