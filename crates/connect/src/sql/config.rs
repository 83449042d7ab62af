//! From what a pipeline file says to a table that can be reached.

use std::path::Path;

use domain::{Secret, ports::SinkError};

use super::{Access, Password, Server, SqlSink, SqlSinkSettings, TableName, Tls, Where};
use crate::{Mistake, Place, SinkConfig, SourceConfig, table::Naming};

/// What only the place of a pipeline file and the environment tell.
pub struct Resolver<'a> {
    /// Resolves a path that the pipeline file names.
    pub place: &'a dyn Fn(&Path) -> Place,
    /// Finds a password.
    pub password: &'a dyn Fn(&Password) -> Result<Secret, String>,
}

/// How to get to a server, as a pipeline file says it.
struct Network<'a> {
    url: &'a str,
    password: Option<&'a Password>,
    tls: Tls,
    ca: Option<&'a Path>,
}

impl Network<'_> {
    fn server(&self, is_mysql: bool, resolver: &Resolver<'_>) -> Result<Server, Mistake> {
        let wrong = |option: &'static str| move |message: String| Mistake { option, message };
        let server = parse(self.url, is_mysql).map_err(wrong("url"))?;
        let password = self.password.map(|password| (resolver.password)(password)).transpose();
        let password = password.map_err(wrong("password"))?;
        let ca = self.ca.map(|ca| (resolver.place)(ca).path);
        Ok(Server { password, tls: self.tls, ca, ..server })
    }
}

fn parse(url: &str, is_mysql: bool) -> Result<Server, String> {
    if is_mysql {
        Server::parse(url, &["mysql", "mariadb"], 3306)
    } else {
        Server::parse(url, &["postgres", "postgresql"], 5432)
    }
}

/// Puts passwords in place of the variables that are named for them, where `given` has them.
fn give(password: &mut Option<Password>, given: &dyn Fn(&str) -> Option<Secret>) {
    if let Some(Password::Env(name)) = password
        && let Some(secret) = given(name)
    {
        *password = Some(Password::Given(secret));
    }
}

impl SourceConfig {
    /// Puts a password in place of the variable that is named for it, where `given` has it: for dialects.
    pub fn give_password(&mut self, given: &dyn Fn(&str) -> Option<Secret>) {
        match self {
            Self::Mysql(it) => give(&mut it.password, given),
            Self::Postgres(it) => give(&mut it.password, given),
            _ => {}
        }
    }

    /// Returns the table of a database, where it is one.
    ///
    /// # Errors
    /// The option that is wrong.
    pub fn access(&self, resolver: &Resolver<'_>) -> Result<Option<Access>, Mistake> {
        let (at, schema, table, key) = match self {
            Self::Sqlite(it) => (Where::Sqlite((resolver.place)(&it.path)), None, &it.table, &it.key),
            Self::Mysql(it) => {
                let network =
                    Network { url: &it.url, password: it.password.as_ref(), tls: it.tls, ca: it.ca.as_deref() };
                (Where::Mysql(network.server(true, resolver)?), None, &it.table, &it.key)
            }
            Self::Postgres(it) => {
                let network =
                    Network { url: &it.url, password: it.password.as_ref(), tls: it.tls, ca: it.ca.as_deref() };
                (Where::Postgres(network.server(false, resolver)?), it.schema.clone(), &it.table, &it.key)
            }
            _ => return Ok(None),
        };
        Ok(Some(Access { at, name: TableName { schema, table: table.clone() }, key: key.clone() }))
    }

    /// Returns whether rows are claimed, so that several runs may work on the table.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Sqlite(it) => it.share,
            Self::Mysql(it) => it.share,
            Self::Postgres(it) => it.share,
            _ => false,
        }
    }

    /// Returns what is wrong with the address of a database.
    pub(crate) fn wrong_address(&self) -> Option<Mistake> {
        let parsed = match self {
            Self::Mysql(it) => parse(&it.url, true),
            Self::Postgres(it) => parse(&it.url, false),
            _ => return None,
        };
        parsed.err().map(|message| Mistake { option: "url", message })
    }
}

impl SinkConfig {
    /// As [`SourceConfig::give_password`].
    pub fn give_password(&mut self, given: &dyn Fn(&str) -> Option<Secret>) {
        match self {
            Self::Mysql(it) => give(&mut it.password, given),
            Self::Postgres(it) => give(&mut it.password, given),
            _ => {}
        }
    }

    /// Returns the table of a database, where it is one: what is left out is the source's.
    ///
    /// # Errors
    /// The option that is wrong or missing.
    pub fn access(&self, source: Option<&Access>, resolver: &Resolver<'_>) -> Result<Option<Access>, Mistake> {
        let missing = |option: &'static str| {
            let message = format!("the source is no table of such a database; say `{option}`");
            Mistake { option, message }
        };
        let (at, schema, table, key) = match self {
            Self::Sqlite(it) => {
                let at = match (&it.path, source.map(|source| &source.at)) {
                    (Some(path), _) => Where::Sqlite((resolver.place)(path)),
                    (None, Some(at @ Where::Sqlite(_))) => at.clone(),
                    (None, _) => return Err(missing("path")),
                };
                (at, None, &it.table, &it.key)
            }
            Self::Mysql(it) => {
                let at = match (&it.url, source.map(|source| &source.at)) {
                    (Some(url), _) => {
                        let network =
                            Network { url, password: it.password.as_ref(), tls: it.tls, ca: it.ca.as_deref() };
                        Where::Mysql(network.server(true, resolver)?)
                    }
                    (None, Some(at @ Where::Mysql(_))) => at.clone(),
                    (None, _) => return Err(missing("url")),
                };
                (at, None, &it.table, &it.key)
            }
            Self::Postgres(it) => {
                let at = match (&it.url, source.map(|source| &source.at)) {
                    (Some(url), _) => {
                        let network =
                            Network { url, password: it.password.as_ref(), tls: it.tls, ca: it.ca.as_deref() };
                        Where::Postgres(network.server(false, resolver)?)
                    }
                    (None, Some(at @ Where::Postgres(_))) => at.clone(),
                    (None, _) => return Err(missing("url")),
                };
                let of_source = source.and_then(|source| source.name.schema.clone());
                let schema = it.schema.clone().or(of_source.filter(|_| it.url.is_none()));
                (at, schema, &it.table, &it.key)
            }
            _ => return Ok(None),
        };
        let table = match (table, source) {
            (Some(table), _) => table.clone(),
            (None, Some(source)) => source.name.table.clone(),
            (None, None) => return Err(missing("table")),
        };
        Ok(Some(Access { at, name: TableName { schema, table }, key: key.clone() }))
    }

    /// Makes a sink of a table.
    ///
    /// # Errors
    /// Where `columns` names a field that is not there, or one name twice.
    pub fn sql_sink(&self, settings: SqlSinkSettings, fields: &[String]) -> Result<SqlSink, SinkError> {
        // How rows ended is told for those that failed too, so that it is no new field.
        let naming = Naming { status: None, ..self.naming() };
        SqlSink::new(settings, &naming, fields)
    }

    /// Returns whether it is said to be the very table that is read. One that is, though nobody would tell by its address,
    /// is found out when it is connected to.
    #[must_use]
    pub fn is_table_of(&self, source: &SourceConfig) -> bool {
        let same = |one: Option<&String>, other: &String| one.is_none_or(|one| one == other);
        let is_at = |one: Option<&String>, other: &str, is_mysql: bool| {
            one.is_none_or(|one| match (parse(one, is_mysql), parse(other, is_mysql)) {
                (Ok(one), Ok(other)) => one.is_at(&other),
                _ => one == other,
            })
        };
        match (self, source) {
            (Self::Sqlite(to), SourceConfig::Sqlite(from)) => {
                to.path.as_ref().is_none_or(|path| *path == from.path) && same(to.table.as_ref(), &from.table)
            }
            (Self::Mysql(to), SourceConfig::Mysql(from)) => {
                is_at(to.url.as_ref(), &from.url, true) && same(to.table.as_ref(), &from.table)
            }
            (Self::Postgres(to), SourceConfig::Postgres(from)) => {
                let is_same_schema = to.schema == from.schema || (to.schema.is_none() && to.url.is_none());
                is_at(to.url.as_ref(), &from.url, false) && same(to.table.as_ref(), &from.table) && is_same_schema
            }
            _ => false,
        }
    }

    /// Returns whether it is a table of a database.
    #[must_use]
    pub fn is_database(&self) -> bool {
        matches!(self, Self::Sqlite(_) | Self::Mysql(_) | Self::Postgres(_))
    }
}
