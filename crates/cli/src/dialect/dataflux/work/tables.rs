//! Their tables: where rows are read, and where answers are written.

use std::path::Path;

use domain::Secret;
use serde_json::{Map, Value, json};

use super::{Columns, Making, STEP, unneeded};
use crate::{config::closest, dialect::dataflux::entry::Entry};

const TYPES: [&str; 7] = ["excel", "csv", "mysql", "postgresql", "sqlite", "feishu_bitable", "feishu_sheet"];

const DATASOURCE: [&str; 10] = [
    "type",
    "engine",
    "excel_reader",
    "excel_writer",
    "require_all_input_fields",
    "app_token",
    "table_id",
    "spreadsheet_token",
    "sheet_id",
    "concurrency",
];

impl Making<'_> {
    pub(super) fn source(&mut self, columns: &Columns) {
        let datasource = self.section("datasource", &DATASOURCE);
        for key in ["engine", "excel_reader", "excel_writer"] {
            if let Some(entry) = datasource.as_ref().filter(|entry| entry.get(key).is_some()) {
                self.unneeded.add(entry.place(key), key, unneeded::READER);
            }
        }
        let kind = datasource.as_ref().and_then(|entry| entry.text("type", &mut self.remarks));
        let kind = kind.unwrap_or_else(|| "excel".to_owned());
        match kind.as_str() {
            "excel" | "csv" => self.file(&kind, columns),
            "mysql" | "postgresql" | "sqlite" => self.database(&kind, columns),
            "feishu_bitable" | "feishu_sheet" => self.tell_mistake(
                &["datasource", "type"],
                format!("`{kind}` is not supported yet: tables of Feishu can be neither read nor written"),
                Some("export the table as CSV or Excel, and name that in `csv: input_path:` or `excel: input_path:`"),
            ),
            other => {
                let known = TYPES.map(|kind| format!("`{kind}`")).join(", ");
                let help = closest(other, &TYPES).map(|near| format!("did you mean `{near}`?"));
                let message = format!("`{other}` is no type of a data source; there are {known}");
                self.tell_mistake(&["datasource", "type"], message, help.as_deref());
            }
        }
        let source = ["steps", STEP, "source"];
        let at = |key: &'static str| [&source[..], &[key]].concat();
        // What begins with an underscore is never shown to the model.
        let (hidden, shown): (Vec<&String>, Vec<&String>) = columns.read.iter().partition(|name| name.starts_with('_'));
        if !hidden.is_empty() {
            let names = hidden.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ");
            let message = format!("columns that begin with an underscore are not shown to the model: {names}");
            self.remarks.push(self.top.remark("columns_to_extract", message));
        }
        let places = vec!["columns_to_extract".to_owned()];
        self.draft.set(&at("fields"), json!(shown), places.clone());
        for (i, name) in shown.iter().enumerate() {
            let theirs = columns.read.iter().position(|read| read == *name).unwrap_or_default();
            let i = i.to_string();
            let path = [&at("fields")[..], &[&i]].concat();
            self.draft.comes_from(&path, places.iter().cloned().chain([theirs.to_string()]).collect());
        }
        let all = datasource.as_ref().and_then(|entry| entry.truth("require_all_input_fields", &mut self.remarks));
        let place = vec!["datasource".to_owned(), "require_all_input_fields".to_owned()];
        self.draft.set(&at("require"), if all.unwrap_or(true) { "all" } else { "any" }, place);
        self.draft.set(&at("omit_empty"), true, places);
        self.draft.set(&at("pending"), true, vec!["columns_to_write".to_owned()]);
    }

    /// The sink stands behind the work, where people look for it. What it is was found out with the source.
    pub(super) fn sink(&mut self, columns: &Columns) {
        let kind = self.top.section("datasource").and_then(|entry| entry.text("type", &mut Vec::new()));
        let kind = kind.unwrap_or_else(|| "excel".to_owned());
        let Some(entry) = self.top.section(&kind) else { return };
        let written: Map<String, Value> =
            columns.written.iter().map(|(alias, column)| (alias.clone(), Value::from(column.clone()))).collect();
        let (word, mut options) = match kind.as_str() {
            "excel" | "csv" => {
                let Some(input) = entry.text("input_path", &mut Vec::new()) else { return };
                let output = entry.text("output_path", &mut self.remarks).unwrap_or_else(|| input.clone());
                let word = format_of(&output).unwrap_or_else(|| format_of(&input).unwrap_or(word_of(&kind)));
                let mut options = Map::new();
                options.insert("path".to_owned(), (self.around.path)(&output).into());
                if word == "csv" {
                    options.insert("rows".to_owned(), "all".into());
                }
                (word, options)
            }
            "mysql" | "postgresql" | "sqlite" => {
                let Some((word, mut options)) = self.table(&kind, &entry) else { return };
                options.insert("failures".to_owned(), format!("{}.failures.jsonl", self.around.name).into());
                (word, options)
            }
            _ => return,
        };
        options.insert("columns".to_owned(), Value::Object(written));
        options.insert("overwrite".to_owned(), true.into());
        let sink = ["steps", STEP, "sink", word];
        let place = if entry.get("output_path").is_some() { "output_path" } else { "input_path" };
        let has_path = options.contains_key("path") && matches!(kind.as_str(), "excel" | "csv");
        self.draft.set(&sink, Value::Object(options), entry.place(""));
        if has_path {
            self.draft.comes_from(&[&sink[..], &["path"]].concat(), entry.place(place));
        }
        self.draft.comes_from(&[&sink[..], &["columns"]].concat(), vec!["columns_to_write".to_owned()]);
    }

    fn file(&mut self, kind: &str, columns: &Columns) {
        let section = self.section(kind, &["input_path", "output_path"]);
        let input = section.as_ref().and_then(|entry| entry.text("input_path", &mut self.remarks));
        let (Some(entry), Some(input)) = (section, input) else {
            let message = format!("`{kind}: input_path:` is missing: it names the file with the rows");
            return self.mistake(&[if self.top.get(kind).is_some() { kind } else { "datasource" }], message);
        };
        let word = format_of(&input).unwrap_or(word_of(kind));
        for key in ["input_path", "output_path"] {
            let path = entry.text(key, &mut Vec::new()).unwrap_or_default();
            if has_ending(&path, &["xls", "xlsb"]) {
                let message = format!("`{path}` is a workbook of an old format, which is not read");
                self.tell_mistake(&[kind, key], message, Some("save it as `.xlsx`"));
            }
        }
        let mut options = Map::new();
        options.insert("path".to_owned(), (self.around.path)(&input).into());
        if word == "csv" {
            options.insert("delimiter".to_owned(), ",".into());
        } else {
            // Their file sources give text, whatever a cell is.
            options.insert("text".to_owned(), true.into());
        }
        let source = ["steps", STEP, "source", word];
        self.draft.set(&source, Value::Object(options), entry.place(""));
        self.draft.comes_from(&[&source[..], &["path"]].concat(), entry.place("input_path"));
        if columns.written.iter().any(|(_, column)| columns.read.contains(column)) {
            let message =
                "a column is read and written: its text is replaced by the answer, and shown to the model as it was";
            self.remarks.push(self.top.remark("columns_to_write", message.to_owned()));
        }
    }

    fn database(&mut self, kind: &str, _: &Columns) {
        let known: &[&str] = match kind {
            "sqlite" => &["db_path", "table_name"],
            "mysql" => &["host", "port", "user", "password", "database", "table_name", "pool_size"],
            _ => &["host", "port", "user", "password", "database", "table_name", "schema_name", "pool_size"],
        };
        let Some(entry) = self.section(kind, known) else {
            return self
                .mistake(&["datasource", "type"], format!("the section `{kind}` is missing: it says which table"));
        };
        let is_optional = |key: &&&str| matches!(**key, "port" | "pool_size" | "schema_name" | "password");
        for key in known.iter().filter(|key| !is_optional(key)) {
            if entry.text(key, &mut self.remarks).is_none() {
                self.mistake(&[kind], format!("`{kind}: {key}:` is missing"));
            }
        }
        if entry.get("pool_size").is_some() {
            self.unneeded.add(entry.place("pool_size"), "pool_size", unneeded::CONNECTIONS);
        }
        let Some((word, options)) = self.table(kind, &entry) else { return };
        let source = ["steps", STEP, "source", word];
        if let Some(variable) = variable_of(kind).filter(|_| options.contains_key("password")) {
            let password = entry.get("password").and_then(super::text_of).unwrap_or_default();
            self.secrets.insert(variable.to_owned(), Secret::new(password));
            let note = format!("the password stands in the variable {variable}");
            self.draft.note(&[&source[..], &["password"]].concat(), note);
        }
        self.draft.set(&source, Value::Object(options), entry.place(""));
        for (ours, theirs) in [("path", "db_path"), ("table", "table_name"), ("schema", "schema_name"), ("url", "host")]
        {
            self.draft.comes_from(&[&source[..], &[ours]].concat(), entry.place(theirs));
        }
    }

    /// Returns our word for a database, and where the table is in it.
    fn table(&mut self, kind: &str, entry: &Entry<'_>) -> Option<(&'static str, Map<String, Value>)> {
        let text = |key: &str| entry.text(key, &mut Vec::new());
        let table = text("table_name")?;
        let mut options = Map::new();
        if kind == "sqlite" {
            options.insert("path".to_owned(), (self.around.path)(&text("db_path")?).into());
            options.insert("table".to_owned(), table.into());
            return Some(("sqlite", options));
        }
        let (word, scheme, usual_port) =
            if kind == "mysql" { ("mysql", "mysql", 3306) } else { ("postgres", "postgres", 5432) };
        let port = match entry.number("port", &mut self.remarks) {
            // It is a whole number between these.
            Some(port) if (1.0..=65_535.0).contains(&port) && port.fract() == 0.0 => port as u32,
            Some(_) => {
                self.mistake(&[kind, "port"], "a port is a whole number between 1 and 65535");
                return None;
            }
            None => usual_port,
        };
        let host = text("host")?;
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
        let (user, database) = (encoded(&text("user")?), encoded(&text("database")?));
        options.insert("url".to_owned(), format!("{scheme}://{user}@{host}:{port}/{database}").into());
        let has_password = entry.get("password").and_then(super::text_of).is_some_and(|text| !text.is_empty());
        if let Some(variable) = variable_of(kind).filter(|_| has_password) {
            options.insert("password".to_owned(), json!({ "env": variable }));
        }
        if kind == "postgresql" {
            let schema = text("schema_name").unwrap_or_else(|| "public".to_owned());
            options.insert("schema".to_owned(), schema.into());
        }
        options.insert("table".to_owned(), table.into());
        Some((word, options))
    }
}

/// The variable that a pipeline names for a password of theirs.
fn variable_of(kind: &str) -> Option<&'static str> {
    match kind {
        "mysql" => Some("MYSQL_PASSWORD"),
        "postgresql" => Some("POSTGRES_PASSWORD"),
        _ => None,
    }
}

fn word_of(kind: &str) -> &'static str {
    if kind == "csv" { "csv" } else { "excel" }
}

/// Returns the format that a file's ending tells.
fn format_of(path: &str) -> Option<&'static str> {
    if has_ending(path, &["csv"]) {
        return Some("csv");
    }
    has_ending(path, &["xlsx", "xlsm"]).then_some("excel")
}

fn has_ending(path: &str, endings: &[&str]) -> bool {
    let ending = Path::new(path).extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.is_some_and(|ending| endings.contains(&ending.as_str()))
}

/// Writes a name as a part of a URL.
fn encoded(name: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    name.bytes().map(|b| if is_plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
