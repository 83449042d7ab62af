//! Where a table is, and how to get to it.

use std::{borrow::Cow, fmt, path::PathBuf};

use domain::Secret;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{Database, DatabaseError, TableName, Trouble};
use crate::{Place, mysql, postgres, sqlite};

/// Where a password is found: `{ env: NAME }` or `{ file: PATH }`, and never the password itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// In a variable of the environment.
    Env(String),
    /// In a file that holds nothing else.
    File(PathBuf),
    /// The password itself. Only a dialect makes it: no pipeline file can.
    Given(Secret),
}

/// Told to whoever writes a password into the file. It does not repeat what stands there.
const NO_LITERAL: &str = "a password never stands in the file itself; write `password: { env: NAME }` with the name of \
                          an environment variable, or `password: { file: PATH }`";

// serde's derive would do, but for its message, which quotes what it found: the password.
impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase", deny_unknown_fields)]
        enum Kept {
            Env(String),
            File(PathBuf),
        }

        struct Reference;
        impl<'de> Visitor<'de> for Reference {
            type Value = Password;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`{ env: NAME }` or `{ file: PATH }`")
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Password, E> {
                Err(E::custom(NO_LITERAL))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Password, A::Error> {
                Ok(match Kept::deserialize(MapAccessDeserializer::new(map))? {
                    Kept::Env(name) => Password::Env(name),
                    Kept::File(path) => Password::File(path),
                })
            }
        }
        deserializer.deserialize_any(Reference)
    }
}

impl JsonSchema for Password {
    fn schema_name() -> Cow<'static, str> {
        "Password".into()
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
            "description": "Where the password is found: `{ env: NAME }` or `{ file: PATH }`, and never the password itself.",
            "oneOf": [
                branch("env", "The name of an environment variable."),
                branch("file", "The path of a file that holds the password and nothing else."),
            ],
            "writeOnly": true,
            "examples": [{ "env": "DATABASE_PASSWORD" }],
        })
    }
}

/// How a connection is kept secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Not at all.
    #[default]
    Off,
    /// Encrypted, with a server whose certificate is right.
    Verified,
    /// Encrypted, with whoever answers.
    Unverified,
}

/// A server, and the database in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) password: Option<Secret>,
    pub(crate) tls: Tls,
    /// A file of certificates in place of those that the system trusts.
    pub(crate) ca: Option<PathBuf>,
}

impl Server {
    /// Reads `SCHEME://user@host:port/database`.
    pub(crate) fn parse(url: &str, schemes: &[&str], port: u16) -> Result<Self, String> {
        let form = format!("write the address as `{}://user@host:{port}/database`", schemes[0]);
        let Some((scheme, rest)) = url.split_once("://") else { return Err(form) };
        if !schemes.contains(&scheme) {
            return Err(form);
        }
        let Some((access, database)) = rest.split_once('/') else { return Err(form) };
        let Some((user, host)) = access.rsplit_once('@') else { return Err(form) };
        if user.contains(':') {
            return Err("a password never stands in the address; write `password: { env: NAME }` beside it".to_owned());
        }
        if let Some((_, _)) = database.split_once('?') {
            return Err("the address takes no options behind `?`; they are keys of their own, such as `tls`".to_owned());
        }
        let (host, port) = match host.rsplit_once(':') {
            Some((name, number)) if !number.contains(']') => (name, number.parse::<u16>().map_err(|_| form.clone())?),
            _ => (host, port),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if user.is_empty() || host.is_empty() || database.is_empty() {
            return Err(form);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            user: decoded(user),
            database: decoded(database),
            password: None,
            tls: Tls::Off,
            ca: None,
        })
    }

    /// Returns whether it is the same database by its address, whoever the user is.
    pub(crate) fn is_at(&self, other: &Self) -> bool {
        self.host.eq_ignore_ascii_case(&other.host) && (self.port, &self.database) == (other.port, &other.database)
    }

    /// Returns what a server said with where it is, and with what to try.
    pub(crate) fn told(&self, error: DatabaseError) -> DatabaseError {
        let Self { host, port, user, database, .. } = self;
        let DatabaseError { message, trouble } = error;
        let message = match trouble {
            Trouble::Away => format!("cannot reach the database at {host}:{port}: {message}"),
            Trouble::Refused | Trouble::Statement => format!(
                "the database at {host}:{port} does not let `{user}` into `{database}`: {message}; see that the user, \
                 `password` and the name of the database are right"
            ),
        };
        let message = self.password.as_ref().map_or(message.clone(), |password| password.redact(&message));
        DatabaseError { message, trouble }
    }
}

/// `a%40b` → `a@b`
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let code =
            if *first == b'%' { text_of(behind).and_then(|code| u8::from_str_radix(code, 16).ok()) } else { None };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn text_of(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes.get(..2)?).ok()
}

/// A database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    Sqlite(Place),
    Mysql(Server),
    Postgres(Server),
}

/// A table, and how to get to it.
#[derive(Clone, Debug)]
pub struct Access {
    pub(crate) at: Where,
    pub(crate) name: TableName,
    /// Columns that name a row, where the primary key does not.
    pub(crate) key: Option<Vec<String>>,
}

impl Access {
    /// Connects.
    pub(crate) fn connect(&self) -> Result<Box<dyn Database>, DatabaseError> {
        match &self.at {
            Where::Sqlite(place) => sqlite::open(place),
            Where::Mysql(server) => mysql::connect(server),
            Where::Postgres(server) => postgres::connect(server),
        }
    }

    /// Returns the table's name for people.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.name.schema {
            Some(schema) if schema != "public" => format!("{schema}.{}", self.name.table),
            _ => self.name.table.clone(),
        }
    }

    /// Returns the table with where it is, for people who have several.
    pub(crate) fn spelled(&self) -> String {
        let TableName { schema, table } = &self.name;
        let table = schema.as_ref().map_or(table.clone(), |schema| format!("{schema}.{table}"));
        match &self.at {
            Where::Sqlite(place) => format!("`{table}` in `{}`", place.name),
            Where::Mysql(Server { host, port, database, .. })
            | Where::Postgres(Server { host, port, database, .. }) => {
                format!("`{table}` at {host}:{port}/{database}")
            }
        }
    }
}
