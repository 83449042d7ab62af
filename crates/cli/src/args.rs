//! The command line.

mod before;
mod data;

use std::{net::IpAddr, path::PathBuf};

use clap::{Args as ClapArgs, Parser, Subcommand};
use simulate::Span;

pub(crate) use before::{Estimate, Import, PipelineFile};
pub(crate) use data::{Convert, Data, Head, Stats, TableFile};

use crate::{language::Language, progress::Mode, report::Format};

/// Takes a dataset and a fleet of AI models and finishes the job.
///
/// Exit status: 0 all records settled as the pipeline tolerates; 1 some failed or were skipped beyond that; 2 a mistake
/// in the command line or a file; 3 a fault of the environment (disk, permissions, a run in use); 4 stopped early and
/// resumable (dead key, no credit, outage); 130 interrupted, the state is safe.
#[derive(Debug, Parser)]
#[command(name = "tidemill", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// The language of messages, help and reports; that of the locale unless given.
    #[arg(long, global = true, value_name = "LANGUAGE")]
    pub(crate) lang: Option<Language>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a pipeline, or go on with it where it was interrupted.
    Run(Run),
    /// Find every mistake in a pipeline file, without asking anything.
    Check(Check),
    /// Print the pipeline that a file of another tool comes to: AI-DataFlux's `config.yaml`.
    Import(Import),
    /// Tell how many tokens a pipeline would take, and what they would cost, without asking anything.
    Estimate(Estimate),
    /// Try the failed records of a run again.
    Retry(Retry),
    /// Apply a mended field list, rule or policy to the answers that were paid for, and ask again only for what then
    /// fails.
    Reparse(Reparse),
    /// Call a run off: what is in flight ends, all other records end as cancelled, and the outputs are written.
    Cancel(Cancel),
    /// Tell what a run did: counts that add up, failures with examples, cost, latency and rate. Also of a run that is at
    /// work or was killed.
    Report(Report),
    /// Watch a run from another terminal: the same bar, until it ends. Ctrl-C leaves it alone.
    Monitor(Monitor),
    /// Have a run ask nothing new until it is told to go on.
    Pause(Steer),
    /// Have a paused run go on.
    Unpause(Steer),
    /// List runs, and look after them.
    Runs(Runs),
    /// Look at a table, and make another format of it.
    #[command(subcommand)]
    Data(Data),
    /// Be the gateway: one address with OpenAI's wire format before all models of a models file.
    ///
    /// The file is read again when it changes (Linux), and on SIGHUP: what is wrong in it is told, and what was served
    /// before stays. Ctrl-C or SIGTERM ends it when the answers in flight have.
    Gateway(Gateway),
    /// Be a vendor that follows a script: an OpenAI-shaped server on loopback, for tests and rehearsals.
    Simulate(Simulate),
    /// Write the script with which a shell completes this command line.
    Completions(Completions),
    /// Write the reference documentation.
    #[command(hide = true)]
    Reference(Reference),
}

/// Where Tidemill keeps what must survive.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct State {
    /// The folder for journals and manifests; users' outputs go elsewhere.
    #[arg(long, value_name = "DIR", default_value = ".tidemill")]
    pub(crate) state: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) file: PipelineFile,
    /// Use this models file instead of the pipeline's.
    #[arg(long, value_name = "FILE")]
    pub(crate) models: Option<PathBuf>,
    /// Work on the first N records of each source only. A later run without it goes on with the rest.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Start over; the old run is kept (`tidemill runs`).
    #[arg(long, conflicts_with = "resume")]
    pub(crate) fresh: bool,
    /// Go on with an earlier run, and fail if there is none. Without it and `--fresh`, whatever fits is done.
    #[arg(long)]
    pub(crate) resume: bool,
    /// The run's id; a name and the time of its start unless given.
    #[arg(long, value_name = "ID")]
    pub(crate) task_id: Option<String>,
    /// Show what would be sent and what it would cost, and ask nothing.
    #[arg(long, conflicts_with_all = ["sample", "fresh", "resume", "json"])]
    pub(crate) dry_run: bool,
    /// Tell every mistake in the file and what it comes to, and run nothing: as `tidemill check`, with more words.
    #[arg(long, conflicts_with_all = ["sample", "fresh", "resume", "json", "dry_run"])]
    pub(crate) validate: bool,
    /// Work again on rows that AI-DataFlux gave up: those with `ERROR: ` in a column for answers.
    #[arg(long)]
    pub(crate) errors_again: bool,
    /// Work on N records drawn at random, show their answers, and stop. A later run goes on with the others.
    #[arg(long, value_name = "N")]
    pub(crate) sample: Option<u64>,
    /// Show a sample's prompts and answers side by side instead of JSON.
    #[arg(long, requires = "sample")]
    pub(crate) preview: bool,
    /// The seed of the draw: the same seed draws the same records.
    #[arg(long, value_name = "N", requires = "sample")]
    pub(crate) seed: Option<u64>,
    /// Ask again for records whose answers in the journal are damaged. They are paid for twice.
    #[arg(long)]
    pub(crate) reask_damaged: bool,
    /// Make the columns that answers go to, or the whole table, where a database lacks them.
    #[arg(long)]
    pub(crate) create_columns: bool,
    /// Print the account to standard output as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// How to show progress, on standard error.
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub(crate) progress: Mode,
    /// Write progress into this file every 5 seconds, as AI-DataFlux does. It is removed when the run is over.
    #[arg(long, value_name = "FILE")]
    pub(crate) progress_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: State,
}

impl Run {
    /// A run of `file` with nothing else said.
    pub(crate) fn of(file: PathBuf) -> Self {
        let state = State { state: PathBuf::new() };
        Self {
            file: PipelineFile::of(file),
            models: None,
            limit: None,
            fresh: false,
            resume: false,
            task_id: None,
            dry_run: false,
            validate: false,
            errors_again: false,
            sample: None,
            preview: false,
            seed: None,
            reask_damaged: false,
            create_columns: false,
            json: false,
            progress: Mode::Auto,
            progress_file: None,
            state,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Check {
    /// The pipeline file.
    pub(crate) file: PathBuf,
    /// Use this models file instead of the pipeline's.
    #[arg(long, value_name = "FILE")]
    pub(crate) models: Option<PathBuf>,
    /// Print mistakes to standard output as JSON, one a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A run that exists, and how to work on it.
#[derive(Debug, ClapArgs)]
pub(crate) struct Existing {
    /// The run: its id, the beginning of its id, or `latest`.
    pub(crate) run: String,
    /// Use this models file instead of the one that the run used last.
    #[arg(long, value_name = "FILE")]
    pub(crate) models: Option<PathBuf>,
    /// Print the account to standard output as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// How to show progress, on standard error.
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub(crate) progress: Mode,
    #[command(flatten)]
    pub(crate) state: State,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Retry {
    #[command(flatten)]
    pub(crate) existing: Existing,
    /// Only records that failed in this way: a kind such as `invalid_output` or `timeout`, a reason such as `length`,
    /// `cancelled` or `missing`. May be given several times.
    #[arg(long = "kind", value_name = "KIND", value_parser = crate::commands::kinds())]
    pub(crate) kinds: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Reparse {
    #[command(flatten)]
    pub(crate) existing: Existing,
    /// Ask for nothing: what fails by the new rules ends as failed (`tidemill retry` asks for it later).
    #[arg(long)]
    pub(crate) no_ask: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Cancel {
    #[command(flatten)]
    pub(crate) existing: Existing,
    /// Return at once, where another process works on the run, instead of waiting until it is over.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Report {
    /// The run: its id, the beginning of its id, or `latest`.
    pub(crate) run: String,
    /// How it is written; as the name of the file says, or as Markdown, unless given.
    #[arg(long)]
    pub(crate) format: Option<Format>,
    /// Write it into a file instead of to standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: State,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Monitor {
    /// The run: its id, the beginning of its id, or `latest`.
    pub(crate) run: String,
    /// How to show progress: JSON goes to standard output, everything else to standard error.
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub(crate) progress: Mode,
    #[command(flatten)]
    pub(crate) state: State,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Steer {
    /// The run: its id, the beginning of its id, or `latest`.
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) state: State,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Runs {
    #[command(subcommand)]
    pub(crate) command: Option<RunsCommand>,
    /// Print JSON, one run a line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: State,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Show one run: what it is and how its records ended.
    Show {
        /// The run's id.
        id: String,
        /// Read the whole journal and report damage.
        #[arg(long)]
        verify: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        state: State,
    },
    /// Print a run's journal as JSON Lines: every outcome, failed attempt and raw answer.
    Export {
        /// The run's id.
        id: String,
        #[command(flatten)]
        state: State,
    },
    /// Tell what differs between two runs: the pipeline, counts and cost, and record by record what came out.
    Diff {
        /// The one run: its id, the beginning of its id, or `latest`.
        a: String,
        /// The other run.
        b: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        state: State,
    },
    /// Remove runs with their journals. Outputs stay.
    Rm {
        /// The runs' ids.
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        state: State,
    },
    /// Remove runs that are done, but for the last ones of each pipeline. Runs that can be gone on with stay.
    Gc {
        /// How many done runs of each pipeline to keep.
        #[arg(long, value_name = "N", default_value_t = 3)]
        keep: usize,
        /// Only tell what would be removed.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        state: State,
    },
}

#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Gateway {
    #[command(subcommand)]
    pub(crate) command: Option<GatewayCommand>,
    #[command(flatten)]
    pub(crate) serve: GatewayServe,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GatewayCommand {
    /// Watch the upstreams of a gateway that is running: a table that is drawn again every second. Ctrl-C ends it.
    Top(GatewayTop),
    /// Try out what a models file says: whether each vendor can be reached, takes the key and has the model.
    ///
    /// Exit status: 0 every model can be asked; 1 some cannot; 2 a mistake in the file.
    Check(GatewayCheck),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct GatewayTop {
    /// The gateway's address.
    #[arg(long, default_value = "http://127.0.0.1:8787")]
    pub(crate) url: String,
    /// The environment variable that holds a key with `admin: true`; without one in the gateway's file, its own machine needs none.
    #[arg(long, value_name = "ENV")]
    pub(crate) key: Option<String>,
    /// Print JSON, one object a second.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print one table, of one second, and end.
    #[arg(long)]
    pub(crate) once: bool,
}

/// How the log of requests is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogChoice {
    /// A line of `name=value` for each request.
    Text,
    /// A JSON object for each request.
    Json,
    /// Nothing.
    Off,
}

impl LogChoice {
    /// Returns the format that it stands for.
    pub(crate) fn format(self) -> gateway::LogFormat {
        match self {
            Self::Text => gateway::LogFormat::Text,
            Self::Json => gateway::LogFormat::Json,
            Self::Off => gateway::LogFormat::Off,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct GatewayCheck {
    /// The models file.
    #[arg(long, value_name = "FILE", default_value = "models.yaml")]
    pub(crate) config: PathBuf,
    /// Ask each model for one token as well. Vendors bill that.
    #[arg(long)]
    pub(crate) ask: bool,
    /// Print JSON, one model a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct GatewayServe {
    /// The models file: channels, models, routes, and what stands under `gateway`.
    #[arg(long, value_name = "FILE", default_value = "models.yaml")]
    pub(crate) config: PathBuf,
    /// The address to listen on. Beyond this machine it needs keys in the models file.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", value_parser = host)]
    pub(crate) host: IpAddr,
    /// The port; 0 lets the system choose.
    #[arg(long, default_value_t = 8787)]
    pub(crate) port: u16,
    /// How many threads serve; as many as there are processors unless given.
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<usize>,
    /// Serve others than this machine without keys.
    #[arg(long)]
    pub(crate) allow_anonymous: bool,
    /// Write a line for each request, to standard error or to the models file's `gateway: log: file:`; without it, as the
    /// models file says.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log: Option<LogChoice>,
    /// How long answers in flight may take to end after Ctrl-C or SIGTERM; what is open then is cut.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) drain: Span,
}

/// Reads an address to listen on.
fn host(text: &str) -> Result<IpAddr, String> {
    if text == "localhost" {
        return Ok(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    }
    text.parse().map_err(|_| {
        "not an address of this machine; write it in numbers, such as `127.0.0.1`, or `0.0.0.0` for all it has"
            .to_owned()
    })
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Simulate {
    /// The port on 127.0.0.1; 0 lets the system choose.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// The script, in YAML; without it every answer comes at once and fits the schema that was asked for.
    #[arg(long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Reference {
    /// The folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Args::command().debug_assert();
    }
}
