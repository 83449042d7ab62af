//! A table as it is: its columns, its key, and the statements over it.

use super::{
    Cell, Column, Database, DatabaseError, Flavor, Kind, TableName, Trouble, Value, cells, database::Statement,
};

/// A table that was looked at.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) flavor: Flavor,
    pub(crate) name: TableName,
    pub(crate) columns: Vec<Column>,
    /// Which columns name a row, in order.
    pub(crate) key: Vec<usize>,
}

/// Which rows are wanted: conditions that the database itself applies.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Columns that must hold something.
    pub required: Vec<String>,
    /// All of them, or any.
    pub all: bool,
    /// Columns of answers: a row is wanted while any of them is empty. All rows where there are none.
    pub pending: Vec<String>,
    /// Whether a text that begins with `ERROR: ` is no answer.
    pub errors: bool,
}

impl Table {
    /// Looks at a table; `key` names its rows where the table has no primary key, or another one is meant.
    pub(crate) fn look(
        database: &mut dyn Database,
        name: &TableName,
        key: Option<&[String]>,
    ) -> Result<Self, DatabaseError> {
        let flavor = database.flavor();
        let columns = database.columns(name)?;
        if columns.is_empty() {
            let tables = database.tables(name.schema.as_deref())?;
            let near = nearest(&name.table, tables.iter().map(String::as_str));
            let message = format!("there is no table `{}`{near}", name.table);
            return Err(DatabaseError::new(Trouble::Refused, message));
        }
        let mut table = Self { flavor, name: name.clone(), columns, key: Vec::new() };
        table.key = match key {
            Some(names) => names.iter().map(|name| table.index(name)).collect::<Result<_, _>>()?,
            None => {
                let mut key: Vec<usize> = (0..table.columns.len()).filter(|n| table.columns[*n].in_key > 0).collect();
                key.sort_by_key(|n| table.columns[*n].in_key);
                key
            }
        };
        if flavor == Flavor::Sqlite {
            table.look_into_key(database)?;
        }
        Ok(table)
    }

    /// Columns of SQLite may hold bytes whatever they are declared as (`id UUID`), and a key must be bound as what it is.
    fn look_into_key(&mut self, database: &mut dyn Database) -> Result<(), DatabaseError> {
        for n in self.key.clone() {
            let name = self.flavor.quoted(&self.columns[n].name);
            let sql = format!("SELECT typeof({name}) FROM {} LIMIT 1", self.flavor.table(&self.name));
            let rows = database.query(&sql, &[])?;
            if matches!(rows.first().map(Vec::as_slice), Some([Cell::Text(text)]) if text == "blob") {
                self.columns[n].kind = Kind::Binary;
            }
        }
        Ok(())
    }

    /// Makes sure that the keys of rows name them: the next page is asked for behind the last one.
    fn make_sure(&self, rows: &[Vec<Cell>]) -> Result<(), DatabaseError> {
        for (n, row) in self.key.iter().flat_map(|n| rows.iter().map(move |row| (*n, row))) {
            let Column { name, kind, .. } = &self.columns[n];
            let is_mixed = self.flavor == Flavor::Sqlite && matches!(row[n], Cell::Bytes(_)) != (*kind == Kind::Binary);
            let message = match &row[n] {
                Cell::Null => format!(
                    "the column `{name}` of the key is NULL in a row; name columns that are unique and never NULL with `key:`"
                ),
                _ if is_mixed => format!(
                    "the column `{name}` of the key holds bytes in some rows and something else in others; name columns that hold one \
                     kind of values with `key:`"
                ),
                _ => continue,
            };
            return Err(DatabaseError::new(Trouble::Refused, message));
        }
        Ok(())
    }

    /// Makes sure that rows can be told apart.
    pub(crate) fn with_key(self) -> Result<Self, DatabaseError> {
        if self.key.is_empty() {
            let message = format!(
                "the table `{}` has no primary key; name the columns that are unique and never NULL with `key: [id]`",
                self.name.table
            );
            return Err(DatabaseError::new(Trouble::Refused, message));
        }
        Ok(self)
    }

    /// Returns the number of a column.
    pub(crate) fn index(&self, name: &str) -> Result<usize, DatabaseError> {
        self.find(name).ok_or_else(|| {
            let near = nearest(name, self.columns.iter().map(|column| column.name.as_str()));
            let message = format!("the table `{}` has no column `{name}`{near}", self.name.table);
            DatabaseError::new(Trouble::Refused, message)
        })
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().map(|n| &self.columns[*n])
    }

    /// Begins to select `columns` of the table.
    pub(crate) fn select(&self, columns: impl Iterator<Item = usize>) -> Statement {
        let mut statement = Statement::new(self.flavor, "SELECT ");
        for (n, column) in columns.enumerate() {
            if n > 0 {
                statement.push(", ");
            }
            statement.name(&self.columns[column].name);
            if self.flavor == Flavor::Postgres {
                statement.push("::text");
            }
        }
        statement.push(" FROM ").push(&self.flavor.table(&self.name));
        statement
    }

    /// Returns a page of wanted rows behind the key `last`, in the order of the key.
    pub(crate) fn page(
        &self,
        database: &mut dyn Database,
        wanted: &Wanted,
        last: Option<&[Value]>,
        n: usize,
    ) -> Result<Vec<Vec<Cell>>, DatabaseError> {
        let mut statement = self.select(0..self.columns.len());
        self.restrict(&mut statement, wanted, last)?;
        statement.push(" ORDER BY ");
        self.order(&mut statement);
        statement.push(&format!(" LIMIT {n}"));
        let rows = statement.query(database)?;
        self.make_sure(&rows)?;
        Ok(rows)
    }

    /// Counts the wanted rows behind the key `last`.
    pub(crate) fn count(
        &self,
        database: &mut dyn Database,
        wanted: &Wanted,
        last: Option<&[Value]>,
    ) -> Result<u64, DatabaseError> {
        let count =
            if self.flavor == Flavor::Postgres { "SELECT COUNT(*)::text FROM " } else { "SELECT COUNT(*) FROM " };
        let mut statement = Statement::new(self.flavor, count);
        statement.push(&self.flavor.table(&self.name));
        self.restrict(&mut statement, wanted, last)?;
        let rows = statement.query(database)?;
        Ok(match rows.first().and_then(|row| row.first()) {
            Some(Cell::Number(text) | Cell::Text(text)) => text.parse().unwrap_or_default(),
            _ => 0,
        })
    }

    /// Returns columns of the rows with these `keys`, locked until the transaction ends.
    pub(crate) fn rows(
        &self,
        database: &mut dyn Database,
        columns: &[usize],
        keys: &[&[Value]],
        locking: bool,
    ) -> Result<Vec<Vec<Cell>>, DatabaseError> {
        let mut statement = self.select(self.key.iter().chain(columns).copied());
        statement.push(" WHERE ");
        self.among(&mut statement, keys);
        if locking {
            statement.push(self.flavor.locking());
        }
        statement.query(database)
    }

    /// Returns which of the rows with these `keys` are wanted, in the order of the key.
    pub(crate) fn still_wanted(
        &self,
        database: &mut dyn Database,
        wanted: &Wanted,
        keys: &[Vec<Value>],
    ) -> Result<Vec<Vec<Cell>>, DatabaseError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut statement = self.select(0..self.columns.len());
        let is_restricted = self.restrict(&mut statement, wanted, None)?;
        statement.push(if is_restricted { " AND (" } else { " WHERE (" });
        self.among(&mut statement, &keys.iter().map(Vec::as_slice).collect::<Vec<_>>());
        statement.push(") ORDER BY ");
        self.order(&mut statement);
        statement.query(database)
    }

    fn order(&self, statement: &mut Statement) {
        for (n, column) in self.keys().enumerate() {
            if n > 0 {
                statement.push(", ");
            }
            // The name alone would be the selected text of PostgreSQL, whose order is another one than the column's.
            let place = format!("{}.{}", self.flavor.table(&self.name), self.flavor.quoted(&column.name));
            statement.push(&place);
        }
    }

    /// Adds the condition that a row has one of these keys.
    pub(crate) fn among(&self, statement: &mut Statement, keys: &[&[Value]]) {
        if let [single] = *self.key {
            let column = &self.columns[single];
            statement.name(&column.name).push(" IN (");
            for (n, key) in keys.iter().enumerate() {
                if n > 0 {
                    statement.push(", ");
                }
                statement.bind_key(column, key[0].clone());
            }
            statement.push(")");
            return;
        }
        // Planners that scan the whole table for a list of row values take an index for this.
        for (n, key) in keys.iter().enumerate() {
            statement.push(if n > 0 { " OR (" } else { "(" });
            self.equals(statement, key);
            statement.push(")");
        }
    }

    /// Adds the condition that a row has this key.
    pub(crate) fn equals(&self, statement: &mut Statement, key: &[Value]) {
        for (n, (column, value)) in self.keys().zip(key).enumerate() {
            if n > 0 {
                statement.push(" AND ");
            }
            statement.name(&column.name).push(" = ").bind_key(column, value.clone());
        }
    }

    /// Adds the conditions for wanted rows behind `last`, and returns whether there are any.
    fn restrict(
        &self,
        statement: &mut Statement,
        wanted: &Wanted,
        last: Option<&[Value]>,
    ) -> Result<bool, DatabaseError> {
        let mut joint = " WHERE ";
        if !wanted.required.is_empty() {
            let between = if wanted.all { " AND " } else { " OR " };
            statement.push(joint).push("(");
            for (n, name) in wanted.required.iter().enumerate() {
                let column = &self.columns[self.index(name)?];
                statement.push(if n > 0 { between } else { "" }).push("NOT ");
                self.is_empty(statement, column);
            }
            statement.push(")");
            joint = " AND ";
        }
        // An answer column that is not there yet is empty in every row.
        let pending: Option<Vec<usize>> = wanted.pending.iter().map(|name| self.find(name)).collect();
        if let Some(pending) = pending.filter(|pending| !pending.is_empty()) {
            statement.push(joint).push("(");
            for (n, column) in pending.into_iter().enumerate() {
                statement.push(if n > 0 { " OR " } else { "" });
                let column = &self.columns[column];
                self.is_empty(statement, column);
                if wanted.errors && (column.kind == Kind::Text || self.flavor == Flavor::Sqlite) {
                    statement.push(" OR ").name(&column.name).push(" LIKE 'ERROR: %'");
                }
            }
            statement.push(")");
            joint = " AND ";
        }
        if let Some(last) = last {
            statement.push(joint);
            self.behind(statement, last);
            joint = " AND ";
        }
        Ok(joint == " AND ")
    }

    /// Adds the condition that a column holds nothing: NULL, or text that is blank. A number 0 is something.
    fn is_empty(&self, statement: &mut Statement, column: &Column) {
        let quoted = self.flavor.quoted(&column.name);
        let condition = match (self.flavor, column.kind) {
            (Flavor::Sqlite, _) => format!("({quoted} IS NULL OR TRIM({quoted}, ' \t\r\n') = '')"),
            (Flavor::Postgres, Kind::Text) => format!("({quoted} IS NULL OR BTRIM({quoted}, E' \\t\\r\\n') = '')"),
            (Flavor::Mysql, Kind::Text) => format!("({quoted} IS NULL OR {quoted} NOT REGEXP '[^ \t\r\n]')"),
            _ => format!("({quoted} IS NULL)"),
        };
        statement.push(&condition);
    }

    /// Adds the condition that a row stands behind `last` in the order of the key.
    fn behind(&self, statement: &mut Statement, last: &[Value]) {
        let keys: Vec<&Column> = self.keys().collect();
        // `a >= 1 AND (a > 1 OR (a = 1 AND b > 2))`: the first part is what every planner finds in the index.
        if keys.len() > 1 {
            statement.name(&keys[0].name).push(" >= ").bind_key(keys[0], last[0].clone()).push(" AND ");
        }
        statement.push("(");
        for n in 0..keys.len() {
            statement.push(if n > 0 { " OR (" } else { "(" });
            for (column, value) in keys.iter().zip(last).take(n) {
                statement.name(&column.name).push(" = ").bind_key(column, value.clone()).push(" AND ");
            }
            statement.name(&keys[n].name).push(" > ").bind_key(keys[n], last[n].clone()).push(")");
        }
        statement.push(")");
    }

    /// Appends a row of all columns as a JSON object.
    pub(crate) fn push_object(&self, row: &[Cell], out: &mut String) {
        out.push('{');
        for (n, (column, cell)) in self.columns.iter().zip(row).enumerate() {
            if n > 0 {
                out.push(',');
            }
            cells::push_text(&column.name, out);
            out.push(':');
            cells::push_json(self.flavor, column, cell, out);
        }
        out.push('}');
    }

    /// Returns the key of a record, which is a row as JSON.
    pub(crate) fn key_of(&self, record: &str) -> Option<Vec<Value>> {
        let mut key = vec![None; self.key.len()];
        domain::json::members(record, |name, value| {
            if let Some(at) = self.key.iter().position(|n| self.columns[*n].name == name) {
                key[at] = Some(cells::to_value(self.flavor, &self.columns[self.key[at]], value.get()));
            }
        })
        .ok()?;
        key.into_iter().collect()
    }

    /// Returns the statement that adds columns for text.
    pub(crate) fn alter(&self, names: &[String]) -> String {
        let adds: Vec<String> = names
            .iter()
            .map(|name| format!("ADD COLUMN {} {}", self.flavor.quoted(name), self.flavor.text_type()))
            .collect();
        let table = self.flavor.table(&self.name);
        match self.flavor {
            // It takes one at a time.
            Flavor::Sqlite => {
                adds.iter().map(|add| format!("ALTER TABLE {table} {add};")).collect::<Vec<_>>().join(" ")
            }
            Flavor::Mysql | Flavor::Postgres => format!("ALTER TABLE {table} {};", adds.join(", ")),
        }
    }
}

/// Returns which name was meant, if one is near.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> String {
    /// Below this, suggestions are noise (Jaro-Winkler).
    const NEAR: f64 = 0.8;
    let mut near: Vec<(f64, &str)> = names
        .map(|name| (strsim::jaro_winkler(&wanted.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    match near.iter().take(3).map(|(_, name)| format!("`{name}`")).collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        found => format!("; did you mean {}?", found.join(" or ")),
    }
}
