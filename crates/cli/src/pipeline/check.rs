//! Checking a pipeline file with everything it names, so that every mistake is told before anything is asked.

mod asking;
mod look;
mod models;
mod slips;
mod theirs;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use connect::{Input, Mistake, Place, SourceConfig};
use domain::{Record, SkipReason, ports::Source as _};
use gateway::ModelsFile;

use super::{BudgetConfig, Named, Pending, Pipeline, StepConfig, Written};
use crate::config::{self, Diagnostic, Document, Severity};

pub(crate) use look::look;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use models::read_for_a_run;
#[cfg(test)]
pub(crate) use models::read_models;
pub(crate) use models::{Places, models_file};
pub(crate) use theirs::import;

/// What checking brings.
pub(crate) struct Checked {
    /// The pipeline and its models file; there are both exactly if no diagnostic is an error.
    pub(crate) ready: Option<Ready>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// A pipeline that can run.
pub(crate) struct Ready {
    pub(crate) pipeline: Pipeline,
    pub(crate) text: String,
    /// The pipeline file, absolute.
    pub(crate) file: PathBuf,
    pub(crate) models: ModelsFile,
}

impl Ready {
    /// Returns a file that the pipeline names.
    pub(crate) fn place(&self, path: &Path) -> Place {
        self.named().place(path)
    }

    /// Returns what the tables of the pipeline are named in.
    pub(crate) fn named(&self) -> Named<'_> {
        Named { file: &self.file, name: &self.pipeline.name }
    }
}

/// Reads the pipeline at `file` with the models file that it or `models` names, and checks both.
///
/// # Errors
/// Where a file cannot be read at all; where there is no mistake, and the environment does not let an output be written.
pub(crate) fn check(file: &Path, models: Option<&Path>) -> anyhow::Result<Checked> {
    check_for(file, models, Wish::default())
}

/// What a command wants of a pipeline beside what its file says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    /// To work again on rows that AI-DataFlux gave up, with `ERROR: ` in their answer columns.
    pub(crate) errors_again: bool,
    /// To make the columns that a table lacks.
    pub(crate) creates: bool,
}

impl Wish {
    /// Tells it to a pipeline: rows that were given up are pending where only pending ones are worked on.
    fn tell(self, (pipeline, document, diagnostics): &mut (Option<Pipeline>, Document, Vec<Diagnostic>)) {
        let Some(pipeline) = pipeline.as_mut().filter(|_| self.errors_again) else { return };
        let steps = pipeline.steps.0.iter_mut();
        let pending: Vec<&mut Pending> = steps.filter_map(|(_, step)| step.source.pending.as_mut()).collect();
        if pending.is_empty() {
            let message = "`--errors-again` has no use here: no step works on what is pending only";
            let help = "add `pending: true` to the `source:` of a step";
            diagnostics.push(document.error(None, message).help(help));
        }
        pending.into_iter().for_each(|pending| pending.errors = true);
    }
}

/// A file as a pipeline: one of ours, or what one of another tool's was made into.
struct Parsed {
    /// The pipeline as text.
    text: String,
    /// The pipeline, if it is one; and where its parts stand in the file, with what is wrong there.
    read: (Option<Pipeline>, Document, Vec<Diagnostic>),
}

/// Reads the pipeline at `file`; what is wrong with it where it is no text.
///
/// # Errors
/// Where the file cannot be read.
fn parse(file: &Path) -> anyhow::Result<Result<Parsed, Box<Diagnostic>>> {
    let bytes = read(file, "pipeline")?;
    let text = match config::decode(file, &bytes) {
        Ok(text) => text,
        Err(diagnostic) => return Ok(Err(diagnostic)),
    };
    Ok(Ok(match theirs::read(file, text) {
        Some(made) => Parsed { text: made.text, read: (made.pipeline, made.document, made.diagnostics) },
        None => Parsed { text: text.to_owned(), read: config::read(file, text) },
    }))
}

/// As [`check`], with a wish.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_for(file: &Path, models: Option<&Path>, wish: Wish) -> anyhow::Result<Checked> {
    let absolute = std::path::absolute(file)?;
    let Parsed { text, mut read } = match parse(file)? {
        Ok(parsed) => parsed,
        Err(diagnostic) => return Ok(Checked { ready: None, diagnostics: vec![*diagnostic] }),
    };
    wish.tell(&mut read);
    let (pipeline, document, mut diagnostics) = read;
    let Some(mut pipeline) = pipeline else {
        let is_models_file = document.at(&["channels"]).is_some() && document.at(&["steps"]).is_none();
        if is_models_file {
            let diagnostic = document.error(document.at(&["channels"]), "this is a models file, not a pipeline");
            diagnostics =
                vec![diagnostic.help("name the pipeline file; the models file is named in it, or with --models")];
        }
        return Ok(Checked { ready: None, diagnostics });
    };

    for (_, step) in &mut pipeline.steps.0 {
        step.complete();
    }
    let models_path = match (models, &pipeline.models) {
        (Some(path), _) => Some(path.to_owned()),
        (None, Some(path)) => Some(folder_of(file).join(path)),
        (None, None) => None,
    };
    let models = match models_path {
        Some(path) => match fs::read(&path) {
            Ok(bytes) => {
                let asked: Vec<&str> = pipeline.steps.0.iter().flat_map(|(_, step)| step.routes()).collect();
                models::read_for_a_run(&path, &bytes, &asked, &mut diagnostics)
            }
            Err(error) => {
                let message = format!("the models file `{}` cannot be read: {error}", path.display());
                let diagnostic = document.error(document.at(&["models"]), message);
                diagnostics.push(match slips::near(&path) {
                    Some(near) => diagnostic.help(format!("did you mean `{}`?", near.display())),
                    None => diagnostic,
                });
                None
            }
        },
        None => {
            let message = "the pipeline names no models file";
            let help = "add `models: models.yaml`, or give one with --models";
            diagnostics.push(document.error(None, message).help(help));
            None
        }
    };
    // One file may be both, and what is odd at its top is told once.
    let mut seen: Vec<Diagnostic> = Vec::new();
    diagnostics.retain(|diagnostic| {
        let is_new = !seen.contains(diagnostic);
        seen.push(diagnostic.clone());
        is_new
    });
    let named = Named { file: &absolute, name: &pipeline.name };
    let mut whole = Whole {
        document: &document,
        named,
        diagnostics,
        outputs: BTreeMap::new(),
        environment: None,
        creates: wish.creates,
    };
    for path in slips::lonely_enums(&document.to_json()) {
        let keys: Vec<&str> = path.iter().map(String::as_str).collect();
        let message = "`enum` allows one value only: every answer would be the same";
        let warning = document.warning(document.at(&keys), message);
        whole.diagnostics.push(warning.help("list every value, as in `enum: [good, bad]`"));
    }
    for (name, step) in &pipeline.steps.0 {
        whole.check_step(name, step, models.as_ref());
    }
    whole.check_finish(&pipeline);
    if let (Some(budget), Some(models)) = (&pipeline.budget, &models) {
        whole.check_budget(budget, &pipeline, models);
    }
    let Whole { diagnostics, environment, .. } = whole;
    let is_sound = diagnostics.iter().all(|diagnostic| diagnostic.severity != Severity::Error);
    if let Some(fault) = environment.filter(|_| is_sound) {
        anyhow::bail!(fault);
    }
    let ready = models.filter(|_| is_sound).map(|models| Ready { pipeline, text, file: absolute, models });
    Ok(Checked { ready, diagnostics })
}

fn read(file: &Path, what: &str) -> anyhow::Result<Vec<u8>> {
    fs::read(file).map_err(|error| {
        let hint = match (error.kind(), slips::near(file)) {
            (std::io::ErrorKind::NotFound, Some(near)) => format!("; did you mean `{}`?", near.display()),
            (std::io::ErrorKind::NotFound, None) => {
                "; see `tidemill run --help`, and examples/quickstart for a first one".to_owned()
            }
            (std::io::ErrorKind::IsADirectory, _) => "; name the file in it".to_owned(),
            _ => String::new(),
        };
        let message = format!("cannot read the {what} file `{}`: {error}{hint}", file.display());
        anyhow::Error::new(crate::exit::ConfigurationError(message))
    })
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// Returns where the value at `keys` stands, or the nearest one above it.
fn deepest(document: &Document, keys: &[&str]) -> Option<config::Span> {
    (0..=keys.len()).rev().find_map(|n| document.at(&keys[..n]))
}

/// What is checked over the whole pipeline.
struct Whole<'a> {
    document: &'a Document,
    named: Named<'a>,
    diagnostics: Vec<Diagnostic>,
    /// Outputs seen so far, and the step that writes each.
    outputs: BTreeMap<PathBuf, String>,
    /// What is nobody's mistake and stands in the way all the same.
    environment: Option<String>,
    /// Whether columns that a table lacks are made.
    creates: bool,
}

impl Whole<'_> {
    fn error(&mut self, keys: &[&str], message: impl Into<String>) {
        self.diagnostics.push(self.document.error(deepest(self.document, keys), message));
    }

    fn check_step(&mut self, name: &str, step: &StepConfig, models: Option<&ModelsFile>) {
        self.check_work(name, step, models);
        self.check_tables(name, step, &step.work.new_fields());
        self.try_first_record(name, step);
    }

    /// What is written when all is done must not be a part of what the next run reads.
    fn check_finish(&mut self, pipeline: &Pipeline) {
        let Some((first_name, first)) = pipeline.steps.0.first() else { return };
        let output = self.named.output(&first.sink);
        let beside_output = ["steps", first_name, "sink", first.sink.word(), "path"];
        let (account, keys) = match &pipeline.finish.accounting {
            Some(path) => (self.named.place(path), &["finish", "accounting"][..]),
            None => (output.beside(".accounting.json"), &beside_output[..]),
        };
        let report = (!pipeline.finish.report.is_empty()).then(|| output.beside(".report.json"));
        for (name, step) in &pipeline.steps.0 {
            let Ok((source, _)) = self.source(name, step) else { continue };
            for place in [Some(&account), report.as_ref()].into_iter().flatten() {
                if let Some(message) = source.files().would_read("file", place) {
                    self.error(keys, message);
                }
            }
        }
    }

    /// A budget of money counts only what has a price in its currency.
    fn check_budget(&mut self, budget: &BudgetConfig, pipeline: &Pipeline, models: &ModelsFile) {
        if budget.money.is_empty() || budget.tokens.is_some() {
            return;
        }
        let prices = models.prices();
        let currencies: Vec<&str> = budget.money.keys().map(String::as_str).collect();
        let currencies = currencies.join(" and ");
        let mut seen = Vec::new();
        for model in pipeline.steps.0.iter().flat_map(|(_, step)| step.models(models)) {
            if seen.contains(&model.name.as_str()) {
                continue;
            }
            seen.push(model.name.as_str());
            let message = match prices.0.get(&model.name) {
                None => format!(
                    "the budget is in {currencies}, and model `{}` has no price: what it costs would not be counted",
                    model.name
                ),
                Some(price) if !budget.money.contains_key(&price.currency) => format!(
                    "the budget is in {currencies}, and model `{}` is paid in {}: what it costs would not be counted",
                    model.name, price.currency
                ),
                Some(_) => continue,
            };
            let help = "give the model a `price:` in the models file, or add a budget in its currency or in tokens: \
                        `budget: [5 USD, 2M tokens]`";
            let diagnostic = self.document.error(deepest(self.document, &["budget"]), message);
            self.diagnostics.push(diagnostic.help(help));
        }
    }

    fn check_tables(&mut self, name: &str, step: &StepConfig, fields: &[String]) {
        let (source, sink) = (&step.source.table, &step.sink);
        let (from, to) = (["steps", name, "source", source.word()], ["steps", name, "sink", sink.word()]);
        let (wrong_source, wrong_sink) = (source.mistakes(), sink.mistakes());
        for (keys, mistake) in
            wrong_source.iter().map(|mistake| (from, mistake)).chain(wrong_sink.iter().map(|mistake| (to, mistake)))
        {
            self.error(&[&keys[..], &[mistake.option]].concat(), mistake.message.clone());
        }
        let output = self.named.output(sink);
        if !sink.is_database()
            && let Some(other) = self.outputs.insert(output.path, name.to_owned())
        {
            let message = format!("step `{other}` writes `{}` already", sink.path().display());
            self.error(&[&to[..], &["path"]].concat(), message);
        }
        if !wrong_source.is_empty() || !wrong_sink.is_empty() {
            return;
        }
        let input = match self.source(name, step) {
            Ok(input) => input,
            Err(Mistake { option, message }) => return self.error(&[&from[..], &[option]].concat(), message),
        };
        // The file may be the output of an earlier step: then it comes into being during the run. Standard input is read
        // when the run begins.
        let is_made_here = self.outputs.iter().any(|(path, by)| *path == input.1.path && by != name);
        let is_there = !is_made_here && !source.is_standard_input();
        if let Some(table) = input.0.table() {
            match table.reach() {
                Ok(()) => {}
                // That it cannot be reached now is no mistake in the file.
                Err(error) if error.is_away => {
                    self.environment.get_or_insert(error.message);
                }
                Err(error) => self.error(&[&from[..], &["table"]].concat(), error.message),
            }
        } else if is_there && let Err(error) = input.0.fingerprint() {
            let is_of_windows = error.0.contains('\\');
            self.error(&[&from[..], &["path"]].concat(), error.0);
            if let Some(diagnostic) = self.diagnostics.pop_if(|_| is_of_windows) {
                self.diagnostics.push(diagnostic.help("write `/` between folders"));
            }
        }
        self.check_rows(name, step);
        let places = self.named.sink(step, &self.folder(), name);
        for place in [&places.failures, &places.live] {
            let other = self.outputs.insert(place.path.clone(), name.to_owned());
            if let Some(other) = other.filter(|other| other != name) {
                let message = format!("step `{other}` writes `{}` already", place.name);
                self.error(&[&to[..], &["path"]].concat(), message);
            }
        }
        if sink.is_database() {
            return self.check_written(name, step, &input.0);
        }
        match sink.sink(places, fields, "check", input.0.files()) {
            Ok(_) if is_made_here => {}
            Ok(sink) => match sink.check() {
                Ok(()) => {}
                Err(error) if error.is_environment => {
                    self.environment.get_or_insert(error.message);
                }
                Err(error) => self.error(&[&to[..], &["path"]].concat(), error.message),
            },
            Err(error) => self.error(&[&to[..], &["columns"]].concat(), error.message),
        }
    }

    /// An output in which every record of the source stands has one row for each, and is in the format of its source.
    fn check_rows(&mut self, name: &str, step: &StepConfig) {
        let (source, sink) = (&step.source.table, &step.sink);
        let keys = ["steps", name, "sink", sink.word()];
        let is_in_place = self.named.is_in_place(step);
        if is_in_place && source.word() != sink.word() {
            let message = format!(
                "`{}` is read with `{}:`, and cannot be written in place with `{}:`; write it with `{}:`, or name another \
                 file",
                sink.path().display(),
                source.word(),
                sink.word(),
                source.word()
            );
            self.error(&[&keys[..], &["path"]].concat(), message);
        }
        let is_in_place = is_in_place || step.is_table_in_place();
        if (is_in_place || sink.keeps_all()) && step.work.samples() > 1 {
            let message = "every record of the source stands in the output once, and each is asked about several times; \
                           write the answers to another file, without `rows: all` and `status`";
            self.error(&[&keys[..], &["path"]].concat(), message);
        }
    }

    /// Returns the source of a step with its place.
    fn source(&self, name: &str, step: &StepConfig) -> Result<(Input, Place), Mistake> {
        let place = self.named.source(&step.source.table, &self.folder(), name);
        let source = self.named.input(step, 0, place.clone(), None)?;
        Ok((source, place))
    }

    /// A table that is written is there, and has the columns.
    fn check_written(&mut self, name: &str, step: &StepConfig, input: &Input) {
        let keys = ["steps", name, "sink", step.sink.word()];
        let parts = Written { input, folder: &self.folder(), run: "check", number: 0, creates: self.creates };
        match self.named.table_sink(step, &parts) {
            Err(Mistake { option, message }) => self.error(&[&keys[..], &[option]].concat(), message),
            Ok(sink) => match sink.check() {
                Ok(()) => {}
                Err(error) if error.is_environment => {
                    self.environment.get_or_insert(error.message);
                }
                Err(error) => self.error(&[&keys[..], &["table"]].concat(), error.message),
            },
        }
    }

    /// There is no run yet, so that what a run's folder would hold is looked for beside the pipeline file.
    fn folder(&self) -> PathBuf {
        folder_of(self.named.file).to_owned()
    }

    fn try_first_record(&mut self, name: &str, step: &StepConfig) {
        // Standard input is not touched before the run.
        if step.source.table.is_standard_input() {
            return;
        }
        let Ok((source, input)) = self.source(name, step) else { return };
        if let SourceConfig::Jsonl(lines) = &step.source.table
            && lines.encoding.is_none()
            && let Some((what, help)) = slips::of_lines(&input.path)
        {
            let keys = ["steps", name, "source", "jsonl"];
            let diagnostic = self.document.error(deepest(self.document, &keys), what);
            return self.diagnostics.push(diagnostic.help(help));
        }
        // What is wrong with the source is told elsewhere.
        let Ok(Some(record)) = source.first() else { return };
        if let Err((reason, what)) = source.inspect(&record) {
            // That there is an answer already is what the user knows, and wants.
            if reason == SkipReason::Answered {
                return;
            }
            let keys = ["steps", name, "source", step.source.table.word()];
            let warning = self.document.warning(deepest(self.document, &keys), what);
            return self
                .diagnostics
                .push(warning.help("it is the first record; all that are like it would not be asked about"));
        }
        if !matches!(step.source.table, SourceConfig::Jsonl(_) | SourceConfig::Json(_)) {
            let n_before = self.diagnostics.len();
            self.check_columns(name, step, &record);
            if self.diagnostics.len() > n_before {
                return;
            }
        }
        self.try_record(name, step, &source.place_of(&record), &record);
    }

    /// Every row of a table has the same columns, so that what one lacks, all do.
    fn check_columns(&mut self, name: &str, step: &StepConfig, record: &Record) {
        let mut columns = Vec::new();
        let text = str::from_utf8(&record.bytes).unwrap_or_default();
        // What is wrong with the record itself was told.
        if domain::json::members(text, |name, _| columns.push(name.into_owned())).is_err() {
            return;
        }
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        for (i, field) in step.source.fields.iter().flatten().enumerate() {
            if columns.contains(&field.as_str()) {
                continue;
            }
            let has = columns.iter().map(|column| format!("`{column}`")).collect::<Vec<_>>().join(", ");
            let i = i.to_string();
            let keys = ["steps", name, "source", "fields", &i];
            let message = format!("the table has no column `{field}`; it has {has}");
            let diagnostic = self.document.error(deepest(self.document, &keys), message);
            self.diagnostics.push(match config::closest(field, &columns) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic,
            });
        }
    }
}
