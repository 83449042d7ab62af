//! The connection.

use std::{
    collections::HashMap,
    error::Error as _,
    fs,
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use postgres::{Client, Config, NoTls, Statement, config::SslMode, error::SqlState, types::ToSql};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::sql::{self, Cell, Column, Database, DatabaseError, Flavor, Kind, Server, TableName, Tls, Trouble, Value};

/// Statements that are kept prepared.
const MOST: usize = 64;

/// Connects to a server.
pub(crate) fn connect(server: &Server) -> Result<Box<dyn Database>, DatabaseError> {
    let mut config = Config::new();
    config
        .host(&server.host)
        .port(server.port)
        .user(&server.user)
        .dbname(&server.database)
        .application_name("tidemill")
        .options(
            "-c datestyle=ISO -c timezone=UTC -c bytea_output=hex -c extra_float_digits=1 -c intervalstyle=iso_8601",
        )
        .connect_timeout(Duration::from_secs(10));
    if let Some(password) = &server.password {
        config.password(password.expose());
    }
    let tls = match server.tls {
        Tls::Off => None,
        _ => Some(tls(server).map_err(|message| server.told(DatabaseError::new(Trouble::Refused, message)))?),
    };
    let connect = move || match tls {
        None => config.ssl_mode(SslMode::Disable).connect(NoTls),
        Some(tls) => config.ssl_mode(SslMode::Require).connect(MakeRustlsConnect::new(tls)),
    };
    Postgres::start(connect).map_err(|error| server.told(error)).map(|postgres| Box::new(postgres) as Box<dyn Database>)
}

fn tls(server: &Server) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    if server.tls == Tls::Unverified {
        let anyone = Arc::new(Anyone(provider));
        return Ok(builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    match &server.ca {
        Some(path) => {
            let cannot = |error: String| format!("cannot read the certificates in `{}`: {error}", path.display());
            let text = fs::read(path).map_err(|error| cannot(error.to_string()))?;
            for certificate in CertificateDer::pem_slice_iter(&text) {
                let certificate = certificate.map_err(|error| cannot(error.to_string()))?;
                roots.add(certificate).map_err(|error| cannot(error.to_string()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Takes any certificate: the connection is secret, and nobody knows with whom.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A connection on a thread of its own: the client has a runtime, and can be called from none that is another one.
struct Postgres(SyncSender<Work>);

/// What the thread is to do.
type Work = Box<dyn FnOnce(&mut Connection) + Send>;

struct Connection {
    client: Client,
    prepared: HashMap<String, Statement>,
}

impl Postgres {
    fn start(
        connect: impl FnOnce() -> Result<Client, postgres::Error> + Send + 'static,
    ) -> Result<Self, DatabaseError> {
        let (sender, work) = sync_channel::<Work>(1);
        let (told_to, connected) = sync_channel(1);
        let thread = std::thread::Builder::new().name("postgres".to_owned());
        let started = thread.spawn(move || {
            let client = match connect() {
                Ok(client) => client,
                Err(error) => {
                    let _ = told_to.send(Err(told(&error)));
                    return;
                }
            };
            let mut connection = Connection { client, prepared: HashMap::new() };
            let _ = told_to.send(Ok(()));
            // It ends when nobody holds the connection any more.
            for work in work {
                work(&mut connection);
            }
        });
        started.map_err(|error| DatabaseError::new(Trouble::Refused, format!("no thread for it ({error})")))?;
        connected.recv().unwrap_or_else(|_| Err(gone()))?;
        Ok(Self(sender))
    }

    fn run<T: Send + 'static>(
        &mut self,
        run: impl FnOnce(&mut Connection) -> Result<T, postgres::Error> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let (sender, done) = sync_channel(1);
        let work: Work = Box::new(move |connection| {
            let _ = sender.send(run(connection).map_err(|error| told(&error)));
        });
        self.0.send(work).map_err(|_| gone())?;
        done.recv().unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> DatabaseError {
    DatabaseError::new(Trouble::Away, "the connection is closed")
}

impl Connection {
    fn prepared(&mut self, sql: &str) -> Result<Statement, postgres::Error> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        if self.prepared.len() >= MOST {
            self.prepared.clear();
        }
        let statement = self.client.prepare(sql)?;
        self.prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

fn bound(texts: &[Option<String>]) -> Vec<&(dyn ToSql + Sync)> {
    texts.iter().map(|text| text as &(dyn ToSql + Sync)).collect()
}

impl Database for Postgres {
    fn flavor(&self) -> Flavor {
        Flavor::Postgres
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Cell>>, DatabaseError> {
        let (sql, texts): (String, Vec<Option<String>>) = (sql.to_owned(), values.iter().map(text_of).collect());
        self.run(move |connection| {
            let statement = connection.prepared(&sql)?;
            let rows = connection.client.query(&statement, &bound(&texts))?;
            rows.iter()
                .map(|row| {
                    (0..row.len())
                        .map(|at| Ok(row.try_get::<_, Option<String>>(at)?.map_or(Cell::Null, Cell::Text)))
                        .collect()
                })
                .collect()
        })
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, DatabaseError> {
        let (sql, texts): (String, Vec<Option<String>>) = (sql.to_owned(), values.iter().map(text_of).collect());
        self.run(move |connection| {
            if texts.is_empty() {
                return connection.client.batch_execute(&sql).map(|()| 0);
            }
            let statement = connection.prepared(&sql)?;
            connection.client.execute(&statement, &bound(&texts))
        })
    }

    fn columns(&mut self, table: &TableName) -> Result<Vec<Column>, DatabaseError> {
        let sql = "SELECT a.attname::text, format_type(a.atttypid, -1)::text, COALESCE(b.typname, t.typname)::text, \
                   t.typcategory::text, COALESCE(array_position(i.indkey::int2[], a.attnum), -1)::text FROM pg_attribute a \
                   JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type t ON \
                   t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = NULLIF(t.typbasetype, 0) LEFT JOIN pg_index i ON \
                   i.indrelid = c.oid AND i.indisprimary WHERE n.nspname = COALESCE($1::text, current_schema()::text) AND \
                   c.relname = $2::text AND c.relkind IN ('r', 'v', 'm', 'f', 'p') AND a.attnum > 0 AND NOT a.attisdropped \
                   ORDER BY a.attnum";
        let schema = table.schema.clone().map_or(Value::Null, Value::Text);
        let rows = self.query(sql, &[schema, Value::Text(table.table.clone())])?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let kind = match (text(&row[2]).as_str(), text(&row[3]).as_str()) {
                    ("int2" | "int4" | "int8" | "oid", _) => Kind::Integer,
                    ("numeric", _) => Kind::Decimal,
                    ("float4" | "float8", _) => Kind::Float,
                    ("bool", _) => Kind::Bool,
                    ("bytea", _) => Kind::Binary,
                    ("json" | "jsonb", _) => Kind::Json,
                    ("timestamp" | "timestamptz", _) => Kind::DateTime,
                    (_, "S") => Kind::Text,
                    _ => Kind::Other,
                };
                // The places are counted from 0.
                let at: i64 = text(&row[4]).parse().unwrap_or(-1);
                let in_key = u32::try_from(at + 1).unwrap_or_default();
                Column { name: text(&row[0]), kind, declared: text(&row[1]), in_key }
            })
            .collect())
    }

    fn tables(&mut self, schema: Option<&str>) -> Result<Vec<String>, DatabaseError> {
        let sql = "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = \
                   COALESCE($1::text, current_schema()::text) AND c.relkind IN ('r', 'v', 'm', 'f', 'p') ORDER BY 1";
        let schema = schema.map_or(Value::Null, |schema| Value::Text(schema.to_owned()));
        Ok(self.query(sql, &[schema])?.into_iter().map(|row| text(&row[0])).collect())
    }
}

fn text_of(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Integer(number) => number.to_string(),
        Value::Unsigned(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Bytes(bytes) => sql::hex(bytes),
    })
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Number(text) | Cell::Text(text) => text.clone(),
        Cell::Null | Cell::Bytes(_) => String::new(),
    }
}

fn told(error: &postgres::Error) -> DatabaseError {
    let Some(said) = error.as_db_error() else {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        // A server that offers no TLS, or a certificate that is not trusted, will not change by itself.
        let words = error.to_string();
        let is_final = words.contains("TLS") || words.contains("password") || cause.contains("certificate");
        let trouble = if is_final { Trouble::Refused } else { Trouble::Away };
        return DatabaseError::new(trouble, format!("{words}{cause}"));
    };
    let state = said.code();
    let trouble = match &state.code()[..2] {
        // Connections, resources, an administrator's hand.
        "08" | "53" | "57" => Trouble::Away,
        _ if [
            &SqlState::T_R_SERIALIZATION_FAILURE,
            &SqlState::T_R_DEADLOCK_DETECTED,
            &SqlState::LOCK_NOT_AVAILABLE,
        ]
        .contains(&state) =>
        {
            Trouble::Away
        }
        "28" | "3D" => Trouble::Refused,
        _ if [&SqlState::INSUFFICIENT_PRIVILEGE, &SqlState::UNDEFINED_TABLE, &SqlState::READ_ONLY_SQL_TRANSACTION]
            .contains(&state) =>
        {
            Trouble::Refused
        }
        _ => Trouble::Statement,
    };
    let detail = said.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
    DatabaseError::new(trouble, format!("{}{detail}", said.message()))
}
